"""Reliability of a period, from what the outage management has noted to the figures of the report."""

from datetime import timedelta

import msgspec
import pytest

from cimcare.exchange.ports import Selection
from cimcare.model.envelope import Header
from cimcare.model.identity import MRID
from cimcare.model.incident import IncidentOutage
from cimcare.model.network import MeterEvent
from cimcare.model.nouns import Noun
from cimcare.model.values import DateTimeInterval
from cimcare.model.verbs import Verb
from cimcare.systems.oms.accounts import EntryRecord, EntrySort, OutageSpan, note_entry
from cimcare.systems.oms.devices import DEVICES
from cimcare.systems.oms.importing import REVISIONS, customers_of, find_customers
from cimcare.systems.oms.meters import take_meter_events
from cimcare.systems.oms.operating import operate
from cimcare.systems.oms.reliability import Reliability, count_customers, load_reliability
from tests.unit.systems.outages import ControlRoom
from tests.unit.systems.utility import MONDAY


@pytest.fixture
async def room() -> ControlRoom:
    room = ControlRoom()
    await room.open()
    return room


async def report(room: ControlRoom, days: int = 30) -> Reliability:
    return await load_reliability(
        room.records,
        since=MONDAY - timedelta(days=1),
        until=MONDAY + timedelta(days=days),
        now=room.now,
        customers=await count_customers(room.records),
    )


async def test_from_an_outage_in_steps_to_the_indices(room: ControlRoom) -> None:
    """Eight customers; four out for an hour, two of these for half of it: (2 x 60 + 2 x 30) / 8 = 22.5 min each."""
    await room.outage("I", "F1")
    room.pass_time(minutes=30)
    await room.say("I", kind="crew", who="7", restored_at=room.now, points=("UP11-1", "UP11-2"))
    room.pass_time(minutes=30)
    await room.close("I", kind="crew", who="7")
    await room.tick()
    found = await report(room)
    assert found.unplanned.customers == 8
    assert (found.unplanned.saidi, found.unplanned.saifi, found.unplanned.caidi) == (22.5, 0.5, 45)
    assert found.planned.interruptions == 0
    assert found.changes is None


async def test_a_restoration_that_was_not_true_counts_until_the_true_one(room: ControlRoom) -> None:
    """One of four is still out for another half an hour, and was interrupted once."""
    await room.outage("I", "F1")
    room.pass_time(minutes=30)
    await room.close("I", kind="crew", who="7")
    await room.tick()
    room.pass_time(minutes=10)
    await room.call("H11-1", "T1")
    room.pass_time(minutes=20)
    await room.hang_up("T1")
    await room.tick()
    found = await report(room)
    assert found.unplanned.interruptions == 4
    assert found.unplanned.customer_minutes == 3 * 30 + 60


async def test_planned_outages_are_reported_apart(room: ControlRoom) -> None:
    """The regulator asks for both."""
    planned = IncidentOutage(is_planned=True, actual_period=DateTimeInterval(start=room.now))
    await room.outage("P", "T11", outage=planned)
    room.pass_time(minutes=60)
    await room.close("P")
    await room.tick()
    found = await report(room)
    assert (found.unplanned.interruptions, found.planned.interruptions) == (0, 2)
    assert found.planned.customer_minutes == 120


async def test_interruptions_for_a_moment_have_an_index_of_their_own(room: ControlRoom) -> None:
    """Five minutes and no more, as meters tell: no outage, but MAIFI."""
    events = tuple(
        MeterEvent(point="UP11-1", is_off=is_off, at=MONDAY + timedelta(minutes=minute))
        for is_off, minute in ((True, 0), (False, 4), (True, 60), (False, 62))
    )
    room.pass_time(hours=2)
    await take_meter_events(events, room._context(Header(verb=Verb.EXECUTE, noun=Noun.INCIDENTS, source="HES")))
    found = await report(room)
    assert (found.unplanned.saifi, found.unplanned.maifi) == (0, 2 / 8)


async def test_major_event_days_are_found_by_the_years_before(room: ControlRoom) -> None:
    """Three quiet days in the year before with a SAIDI of some minutes; then a day that is beyond all of them."""
    for day, minutes in ((30, 8), (60, 16), (90, 24)):
        start = MONDAY - timedelta(days=day)
        end = start + timedelta(minutes=minutes)
        past = OutageSpan(incident=MRID(f"past-{day}"), started_at=start, ended_at=end)
        entry = EntryRecord(point="UP11-1", sort=EntrySort.OUTAGE, at=start, outage=past)
        await note_entry(room.records, entry, room.now)
    await room.outage("I", "B")
    room.pass_time(hours=10)
    await room.close("I")
    await room.tick()
    found = await report(room)
    assert found.threshold.days == 3
    assert found.major_days == (MONDAY.date(),)
    assert found.unplanned.saidi == 600
    assert found.without_major.saidi == 0


async def test_changes_of_times_are_weighted_by_who_heard_them(room: ControlRoom) -> None:
    """Two customers heard another time once, four never: a third of a change each."""
    await room.outage("I", "T11")
    await room.outage("N", "F2")
    await room.say("I", kind="crew", who="7", etr=room.minutes(60))
    await room.say("I", kind="crew", who="7", etr=room.minutes(120))
    await room.say("N", etr=room.minutes(90))
    assert (await report(room)).changes == pytest.approx(1 / 3)


async def test_an_outage_that_is_taken_back_has_interrupted_nobody(room: ControlRoom) -> None:
    """A part of it was said to be back before the operator saw that nothing had been out."""
    await room.outage("F", "F1")
    room.pass_time(minutes=30)
    await room.say("F", kind="crew", who="7", restored_at=room.now, points=("UP11-1",))
    await room.ask(Verb.CANCEL, Noun.INCIDENTS, ids=("F",))
    assert await room.state("F") == "cancelled"
    assert len(await room.interruptions("UP11-1")) == 1
    assert (await report(room)).unplanned.customer_minutes == 0


async def test_customers_served_are_counted_with_the_network(room: ControlRoom) -> None:
    """Indices of a quarter do not have to walk a model of a million points; switching makes no customers."""
    assert await find_customers(room.records) == 8
    for is_open in (True, False):
        await operate(room.records, "F1", room.now, is_open=is_open)
        devices = await room.records.select(DEVICES, Selection())
        assert await count_customers(room.records) == customers_of(one.body for one in devices) == 8


async def test_customers_of_a_network_of_an_earlier_release_are_counted_now(room: ControlRoom) -> None:
    """What it imported does not say how many there are."""
    (revision,) = await room.records.select(REVISIONS, Selection())
    body = msgspec.structs.replace(revision.body, customers=None)
    await room.records.save(REVISIONS, msgspec.structs.replace(revision, body=body))
    assert await count_customers(room.records) == 8
