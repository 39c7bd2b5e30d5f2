"""When the first page says that all is well, and when it does not."""

import html
import random
import re
from collections.abc import Mapping
from datetime import timedelta

import msgspec
import pytest

from cimcare.codec.envelope import render_message
from cimcare.console.overview.looking import Overview, look_over
from cimcare.exchange.ledger import Account, Ends
from cimcare.exchange.log import Outcome
from cimcare.exchange.partners import Retry
from cimcare.exchange.sending import Circuit
from cimcare.hub.outgoing.halting import halt
from cimcare.hub.rest.inside import Inside
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from tests.support.channels import CHANNELS
from tests.support.dead_letters import deliver, put, put_dead
from tests.support.hub import call
from tests.support.stored import an_entry
from tests.unit.console.control import links_with_counts
from tests.unit.hub.conftest import NOON, HeldHub


def inside_of(held: HeldHub, circuits: Mapping[str, Circuit] | None = None) -> Inside:
    return msgspec.structs.replace(held.inside, circuits=lambda: circuits or {})


def wrong(seen: Overview) -> list[str]:
    return [check.name for check in seen.checks if not check.is_fine]


async def test_a_hub_that_works_is_well(held: HeldHub) -> None:
    """With the figures of what it did."""
    await held.ask(build_message(Noun.TROUBLE_TICKETS, Verb.CREATE))
    held.later(minutes=30)
    seen = await look_over(inside_of(held))
    assert seen.is_well
    assert seen.rate == pytest.approx(2)
    assert [count for _, count in seen.hourly][-2:] == [0, 1]
    (flow,) = seen.flows
    assert (flow.received, flow.refused) == (1, 0)
    assert [entry.verb for entry in seen.latest][-1] == "create"


async def test_each_figure_of_the_flow_leads_to_what_it_counts(held: HeldHub) -> None:
    """Whoever wonders at a number opens it, on the overview, in the list of partners and on the page of one."""
    good = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE)
    bad = build_message(Noun.TROUBLE_TICKETS, Verb.CLOSE, seed=2)
    source = str(good.header.source)  # type: ignore[union-attr]
    bad = msgspec.structs.replace(bad, header=msgspec.structs.replace(bad.header, source=source))  # type: ignore[union-attr]
    await held.ask(good)
    await held.ask(bad)  # nobody knows the ticket
    broken = (
        held.hub.app,
        CHANNELS["rest-xml"].path(good),
        render_message(good).replace(b"Verb>create<", b"Verb>creat<"),
    )
    await call(*broken, headers={"content-type": "application/xml"})  # a verb that there is not
    async with held.store.transaction() as transaction:  # what it answered to what it was sent is no message of its own
        for outcome in (Outcome.OK, Outcome.FAULT):
            answer = an_entry(partner=source, outcome=outcome, status=200, answer_to=1, received_at=held.now)
            await transaction.log.append(answer, b"<answer/>")
    linked = rf'href="(/console/messages\?counted=[^"]+source={source}[^"]*)">(\d+)</a>'
    for path in ("/console/", "/console/partners", f"/console/partners/{source}"):
        assert await links_with_counts(held, path, linked) == ["3", "2"], path


async def test_what_went_out_leads_to_what_was_delivered_of_those_hours(held: HeldHub) -> None:
    """And not to what was delivered in all time."""
    for hours in (25, 22, 1):
        number = await put(held.store, f"ago-{hours}", created_at=NOON - timedelta(hours=hours))
        await deliver(held.store, number)
    for path in ("/console/", "/console/partners", "/console/partners/gis"):
        text = (await held.get(path)).body.decode()
        ((href, count),) = re.findall(r'href="(/console/deliveries[^"]+state=delivered[^"]*)">(\d+)</a>', text)
        page = (await held.get(html.unescape(href))).body.decode()
        assert (count, len(re.findall(r'href="/console/deliveries/\d+"', page))) == ("2", 2), path


async def test_bars_and_storm_meter_lead_to_what_they_count(held: HeldHub) -> None:
    """Each hour to its own messages alone, to the last instant of it."""
    await held.ask(build_message(Noun.TROUBLE_TICKETS, Verb.CREATE))
    held.later(hours=1, microseconds=-1)
    await held.ask(build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=2))
    held.later(microseconds=1)
    await held.ask(build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=3))
    bars = r'<a href="(/console/messages[^"]+)" aria-label="[^"]+ Z: (\d+)">'
    assert await links_with_counts(held, "/console/", bars) == ["2", "1"]
    held.later(minutes=30)
    rates = r'<td class="num"><a href="(/console/messages[^"]+)">(\d+) an hour</a>'
    ((href, rate),) = re.findall(rates, (await held.get("/console/")).body.decode())
    assert rate == "2"
    assert (await held.get(html.unescape(href))).body.decode().count('<td class="when">') == 1


async def test_a_message_that_the_ledger_misses_shows(held: HeldHub) -> None:
    """Lost is the worst that can be."""
    async with held.store.transaction() as transaction:
        await transaction.ledger.count("CIS", NOON, Account.IN, Ends.RECEIVED)
    assert wrong(await look_over(inside_of(held))) == ["Ledger"]


async def test_what_waits_too_long_and_what_was_given_up_shows(held: HeldHub) -> None:
    """Each under its own name, with where to look."""
    await put(held.store, "one", created_at=NOON)
    held.later(minutes=4)
    assert (await look_over(inside_of(held))).is_well
    held.later(minutes=4)
    await put_dead(held.store)
    seen = await look_over(inside_of(held))
    assert wrong(seen) == ["Queues", "Dead letters"]
    (flow,) = [one for one in seen.flows if one.name == "gis"]
    assert flow.is_trouble
    assert (flow.waiting, flow.dead) == (1, 1)
    assert flow.oldest is not None
    assert flow.oldest >= timedelta(minutes=7)


async def test_a_partner_that_is_spared_or_halted_shows(held: HeldHub) -> None:
    """Nobody should have to find out that nothing goes there."""
    async with held.store.transaction() as transaction:
        await halt(transaction, "gis", actor="op", reason="works", now=NOON)
    circuit = Circuit(Retry(), opens_after=1)
    circuit.note(is_reached=False, reason="silence", now=NOON, chance=random.Random(1))
    seen = await look_over(inside_of(held, {"wms": circuit}))
    assert wrong(seen) == ["Partners", "Halts"]
    assert [check.found for check in seen.checks if not check.is_fine] == ["wms does not answer", "gis is halted"]


async def test_alarms_are_there_with_what_to_do(held: HeldHub) -> None:
    """As the watch has found them."""
    await put_dead(held.store)
    await held.hub.upkeep.watcher.look()
    page = (await held.get("/console/")).body.decode()
    assert "Something needs you" in page
    assert "dead-letters" in page
    assert "What to do:" in page
