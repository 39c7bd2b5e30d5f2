"""Which pages are fetched again by themselves, and which have no reason to be."""

import msgspec
import pytest

from cimcare.model.nouns import Noun
from cimcare.model.trouble_ticket import TroubleTicket, TroubleTickets
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from cimcare.samples.northlake import find_premises
from tests.support.dead_letters import put_dead
from tests.support.forms import send_form
from tests.unit.hub.conftest import HeldHub


async def goes_on(held: HeldHub, path: str) -> bool:
    response = await held.get(path)
    assert response.status == 200, path
    return ' data-goes-on="' in response.body.decode()


async def test_a_message_goes_on_for_an_hour(held: HeldHub) -> None:
    """After that nothing is expected of it, and every look would check it once more."""
    await held.ask(build_message(Noun.TROUBLE_TICKETS, Verb.CREATE))
    assert await goes_on(held, "/console/messages/1?as=json")
    held.later(minutes=59)
    assert await goes_on(held, "/console/messages/1")
    held.later(minutes=2)
    assert not await goes_on(held, "/console/messages/1")


async def test_a_large_message_does_not(held: HeldHub) -> None:
    """Each look at it checks all of it."""
    message = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE)
    ticket = TroubleTicket(comment="dark " * 21_000)
    payload = msgspec.structs.replace(message.payload, content=(TroubleTickets(trouble_ticket=(ticket,)),))  # type: ignore[union-attr]
    await held.post(msgspec.structs.replace(message, payload=payload))
    assert not await goes_on(held, "/console/messages/1")


async def test_deliveries_go_on_where_new_ones_come(held: HeldHub) -> None:
    """On the first page, and not in a span that is over; one that was given up may be sent again."""
    (number,) = await put_dead(held.store)
    assert await goes_on(held, "/console/deliveries")
    assert await goes_on(held, f"/console/deliveries/{number}")
    assert not await goes_on(held, f"/console/deliveries?state=dead&after={number + 1}")
    assert not await goes_on(held, "/console/deliveries?before=2029-06-01T12:00Z")


async def test_a_report_up_to_now_goes_on(held: HeldHub) -> None:
    """One of a span that is said stays what it was, for whoever refers to it."""
    assert await goes_on(held, "/console/report")
    assert await goes_on(held, "/console/report?since=2030-06-01T11:00Z")
    assert not await goes_on(held, "/console/report?since=2030-06-01T11:00Z&until=2030-06-01T12:00Z")


async def test_what_answers_a_form_stays(held: HeldHub) -> None:
    """Personal data that were asked for are not masked again after ten seconds, and a refusal stays to be read."""
    path = f"/console/customers/{find_premises(66).account}"
    assert await goes_on(held, path)
    answer = await send_form(held, path, why="caller asks for a call-back")
    assert answer.status == 200
    assert ' data-goes-on="' not in answer.body.decode()


@pytest.mark.parametrize(
    ("path", "does"),
    [
        ("/console/", True),
        ("/console/incidents?state=planned", True),
        ("/console/tickets", True),
        ("/console/tickets?after=TT-1", False),
        ("/console/work", True),
        ("/console/readiness", True),
        ("/console/configuration", True),
        ("/console/configuration/rules", True),
        ("/console/audit?actor=kim", True),
        ("/console/audit?after=5", False),
        ("/console/audit?before=2029-06-01T12:00Z", False),
        ("/console/history", True),
        ("/console/history?span=6h", True),
        ("/console/history?at=2030-06-01T11:00:00Z", False),
        ("/console/report", True),
    ],
)
async def test_what_can_still_change_goes_on(held: HeldHub, path: str, does: bool) -> None:
    """What is now, and the newest of everything; the past, older pages and a report of a stretch stay as they are."""
    assert await goes_on(held, path) is does


async def test_a_text_that_is_proposed_stays(held: HeldHub) -> None:
    """Who reads what would change, or what is wrong with it, has not put it in force yet."""
    answer = await send_form(held, "/console/configuration/proposal", text="[partners]\n")
    assert ' data-goes-on="' not in answer.body.decode()
