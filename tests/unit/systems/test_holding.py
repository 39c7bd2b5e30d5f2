"""Incidents of many: who else has called is told together after a moment, and nothing of it is lost or told wrongly."""

import random
from datetime import timedelta

import pytest

from cimcare.exchange.ports import Event, Served
from cimcare.model.envelope import Result
from cimcare.model.incident import Incident, IncidentHazard, TroubleTicketIdentity
from cimcare.model.nouns import Noun
from cimcare.model.trouble_ticket import ServiceLocationIdentity, TroubleTicket
from cimcare.model.verbs import Verb
from cimcare.systems import oms
from cimcare.systems.oms.kinds import EXTENTS
from tests.unit.systems.outages import ControlRoom, feeder
from tests.unit.systems.utility import MONDAY, items_of, mrid

TT, INC = Noun.TROUBLE_TICKETS, Noun.INCIDENTS
MANY = 25
HOUSES = [f"H{fuse}{at}-{number}" for number in range(1, 21) for fuse in "12" for at in "12"]


@pytest.fixture
async def room() -> ControlRoom:
    """The breaker is out, which its control room knows; as many houses have called as make an incident of many."""
    room = ControlRoom()
    await room.open(feeder(houses=20))
    await room.outage("I", "B")
    for number, house in enumerate(HOUSES[: MANY - 1]):
        assert incidents_of(await room.call(house, f"T{number}"))
    return room


async def tell(room: ControlRoom) -> Served:
    context = room.context(Verb.EXECUTE, INC)
    served = await oms.NEWS.tell(context)
    assert served.result is Result.OK
    return served


def incidents_of(served: Served) -> list[Incident]:
    """What events say of incidents."""
    return [
        item
        for event in served.events
        if event.noun == INC
        for item in items_of(event.payload)
        if isinstance(item, Incident)
    ]


def tickets_in(*told: Incident) -> list[str]:
    return [str(ticket.mrid) for incident in told for ticket in incident.trouble_tickets]


async def test_the_caller_hears_at_once_and_the_others_together(room: ControlRoom) -> None:
    """A hundred calls a second into one outage are no hundred messages about it; each caller has his answer all the
    same, and the event of each ticket says where it belongs.
    """
    for number in range(MANY, MANY + 10):
        served = await room.call(HOUSES[number], f"T{number}")
        assert [event.noun for event in served.events] == [TT]
        (ticket,) = items_of(served.events[0].payload)
        assert isinstance(ticket, TroubleTicket)
        assert ticket.incident is not None
        assert ticket.incident.mrid == "I"
        assert any("is in incident I" in finding.found for finding in served.findings)
    assert await oms.NEWS.is_waiting(room.records)
    served = await tell(room)
    (told,) = incidents_of(served)
    assert sorted(tickets_in(told)) == sorted(f"T{number}" for number in range(MANY, MANY + 10))
    assert told.outage is not None
    assert told.outage.summary == (await room.incident("I")).outage.summary  # type: ignore[union-attr]
    assert [event.verb for event in served.events] == [Verb.CHANGED]


async def test_what_was_told_is_not_told_again(room: ControlRoom) -> None:
    """Each message that says nothing new is one that a partner stores, checks and shows for nothing."""
    await room.call(HOUSES[MANY], "more")
    assert incidents_of(await tell(room))
    assert not await oms.NEWS.is_waiting(room.records)
    assert not (await tell(room)).events


async def test_an_estimate_takes_along_what_is_held(room: ControlRoom) -> None:
    """Who reads of a time of restoration reads in the same message for whom it is."""
    await room.call(HOUSES[MANY], "more")
    (told,) = incidents_of(await room.say("I", etr=room.now + timedelta(hours=2)))
    assert tickets_in(told) == ["more"]
    assert told.outage is not None
    assert told.outage.estimated_period is not None
    assert told.outage.summary is not None
    assert not await oms.NEWS.is_waiting(room.records)


async def test_the_end_takes_along_what_is_held(room: ControlRoom) -> None:
    """An incident that is over has no message after it that still adds somebody."""
    await room.call(HOUSES[MANY], "more")
    (told,) = [one for one in incidents_of(await room.close("I")) if one.mrid == "I"]
    assert tickets_in(told) == ["more"]
    assert not await oms.NEWS.is_waiting(room.records)


async def test_a_ticket_that_has_left_is_not_named(room: ControlRoom) -> None:
    """What was true when it was held need not be true when it is told."""
    await room.call(HOUSES[MANY], "stays")
    await room.call(HOUSES[MANY + 1], "goes")
    await room.outage("other", "T12")
    named = (TroubleTicketIdentity(mrid=mrid("goes")),)
    goes = await room.ask(Verb.CHANGE, INC, Incident(mrid=mrid("other"), trouble_tickets=named))
    told = [one for one in (*incidents_of(goes), *incidents_of(await tell(room))) if one.mrid == "I"]
    assert tickets_in(*told) == ["stays"]
    assert await room.incident_of("goes") == "other"


async def test_danger_is_told_at_once(room: ControlRoom) -> None:
    """A wire that is down does not wait with who else is without light."""
    body = TroubleTicket(
        mrid=mrid("danger"),
        date_time_of_report=room.now,
        service_location=ServiceLocationIdentity(mrid=mrid(HOUSES[MANY])),
        hazards=(IncidentHazard(type="wireDown"),),
    )
    (told,) = incidents_of(await room.ask(Verb.CREATE, TT, body))
    assert told.hazards
    assert tickets_in(told) == ["danger"]


async def test_no_record_grows_without_bound(room: ControlRoom) -> None:
    """Whoever does not tell for long has not a message of thousands at the end."""
    longest, named = 0, []
    for number in range(450):
        served = await room.call(HOUSES[number % len(HOUSES)], f"again {number}")
        named += tickets_in(*incidents_of(served))
        extent = await room.records.find(EXTENTS, mrid("I"))
        assert extent is not None
        longest = max(longest, len(extent.body.held.tickets) if extent.body.held is not None else 0)
    assert longest == 200
    named += tickets_in(*incidents_of(await tell(room)))
    assert len(named) == len(set(named)) == 450


@pytest.mark.parametrize("seed", range(5))
async def test_in_whatever_order_it_comes_to_what_is(seed: int) -> None:
    """Who adds up all that was told has what the outage management has: the tickets of each incident and its number."""
    draw, room = random.Random(seed), ControlRoom()
    await room.open(feeder(houses=20))
    await room.outage("I", "B")
    heard: dict[str, set[str]] = {}
    counts: dict[str, object] = {}
    tickets: list[str] = []

    def hear(events: tuple[Event, ...]) -> None:
        for event in events:
            if event.noun != INC:
                for ticket in items_of(event.payload):
                    assert isinstance(ticket, TroubleTicket)
                    if event.verb is Verb.CANCELED:
                        for members in heard.values():
                            members.discard(str(ticket.mrid))
                continue
            for incident in items_of(event.payload):
                assert isinstance(incident, Incident)
                new = {str(ticket.mrid) for ticket in incident.trouble_tickets}
                for members in heard.values():
                    members -= new
                heard.setdefault(str(incident.mrid), set()).update(new)
                if incident.outage is not None and incident.outage.summary is not None:
                    counts.setdefault(str(incident.mrid), {}).update(  # type: ignore[attr-defined]
                        {
                            name: value
                            for name in ("total_count", "critical_count")
                            if (value := getattr(incident.outage.summary, name)) is not None
                        }
                    )

    hear((await room.outage("second", "F2", at=MONDAY - timedelta(days=3))).events)
    for number in range(160):
        room.pass_time(seconds=draw.randrange(5))
        act = draw.random()
        if act < 0.75 or not tickets:
            tickets.append(f"T{number}")
            hear((await room.call(draw.choice(HOUSES), tickets[-1])).events)
        elif act < 0.85:
            name = tickets.pop(draw.randrange(len(tickets)))
            hear((await room.ask(Verb.CANCEL, TT, ids=(name,))).events)
        elif act < 0.95:
            hear((await tell(room)).events)
        else:
            hear((await room.say("I", etr=room.now + timedelta(hours=draw.randrange(1, 9)))).events)
    hear((await tell(room)).events)
    found: dict[str, set[str]] = {}
    for name in tickets:
        found.setdefault(await room.incident_of(name), set()).add(name)
    assert {name: members for name, members in heard.items() if members} == found
    summary = (await room.incident("I")).outage.summary  # type: ignore[union-attr]
    assert summary is not None
    assert counts["I"] == {"total_count": summary.total_count, "critical_count": summary.critical_count}
