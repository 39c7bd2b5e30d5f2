"""Meter events: evidence of an outage without a call, and of restoration for the meter's own point."""

from datetime import timedelta

import pytest

from cimcare.errors import Level
from cimcare.exchange.ports import Selection, Served
from cimcare.model.envelope import Result
from cimcare.model.identity import MRID
from cimcare.model.incident import Incident
from cimcare.model.network import MeterEvent
from cimcare.model.nouns import Noun
from cimcare.model.values import Status
from cimcare.model.verbs import Verb
from cimcare.samples.northlake import find_premises
from cimcare.systems.cis import seed_town
from cimcare.systems.oms import take_meter_events
from cimcare.systems.oms.interruptions import Interval, union
from cimcare.systems.oms.kinds import EXTENTS, OPEN, REPORTS
from cimcare.systems.oms.meters import METER_EVENTS
from cimcare.systems.oms.restored import INTERRUPTIONS, EvidenceKind
from tests.unit.systems.grouping import call, context_of, install, network, until_quiet
from tests.unit.systems.outages import ControlRoom, restored_points
from tests.unit.systems.utility import MONDAY, Utility, events_of, shown_in

TREE = {"S": None, "F1": "S", "F2": "S", "T1": "F1", "T2": "F1", "T3": "F2"}
POINTS = {f"p{number}": f"T{1 + number // 4}" for number in range(12)}


@pytest.fixture
async def town() -> Utility:
    utility = Utility()
    await install(utility, network(TREE, POINTS))
    return utility


async def say(utility: Utility, *events: tuple[str, str, float]) -> Served:
    """Meter, off or on, minutes after the beginning."""
    return await take_meter_events(
        tuple(
            MeterEvent(point=point, is_off=what == "off", at=MONDAY + timedelta(minutes=minutes))
            for point, what, minutes in events
        ),
        context_of(utility),
    )


async def open_devices(utility: Utility) -> list[str]:
    found = await utility.records.select(EXTENTS, Selection(states=(OPEN,)))
    return sorted(one.body.device_name for one in found)


async def test_meters_without_supply_count_like_calls(town: Utility) -> None:
    """At four in the morning nobody calls, and the fuse has blown all the same."""
    served = await say(town, *((f"p{number}", "off", number % 3) for number in range(8)))
    assert served.result is Result.OK
    assert events_of(served)[0][:2] == ("created", "Incidents")
    assert await open_devices(town) == ["F1"]
    await call(town, ("t1", "p0", 30))
    assert await open_devices(town) == ["F1"]
    (extent,) = await town.records.select(EXTENTS, Selection(states=(OPEN,)))
    assert extent.body.premises == 8


async def test_an_interruption_for_a_moment_is_no_outage(town: Utility) -> None:
    """The recloser has done its work; it is counted elsewhere."""
    served = await say(town, ("p0", "off", 0), ("p0", "on", 1))
    assert (served.result, served.events) == (Result.OK, ())
    await say(town, ("p1", "off", 0))
    served = await say(town, ("p1", "on", 5))
    assert events_of(served) == [("canceled", "Incidents", 1)]
    assert await open_devices(town) == []
    assert await town.records.select(REPORTS, Selection()) == ()
    assert len(await town.records.select(METER_EVENTS, Selection())) == 4


async def test_an_outage_is_over_when_the_meter_says_so_for_its_own_point(town: Utility) -> None:
    """Evidence for one is none for its neighbour."""
    await say(town, ("p0", "off", 0), ("p8", "off", 0))
    served = await say(town, ("p0", "on", 40))
    assert events_of(served) == [("closed", "Incidents", 1)]
    told = shown_in(served, Verb.CLOSED, Noun.INCIDENTS)
    assert isinstance(told, Incident)
    assert told.outage is not None
    assert told.outage.actual_period is not None
    assert told.outage.actual_period.end == MONDAY + timedelta(minutes=40)
    assert await open_devices(town) == [""]
    (point,) = await town.records.select(INTERRUPTIONS, Selection())
    assert (point.body.point, point.body.ended_at) == ("p0", MONDAY + timedelta(minutes=40))


async def test_restoration_in_steps_does_not_make_the_guess_wrong(town: Utility) -> None:
    """Meters come back one by one; the incident stays one until the last of them."""
    await say(town, *((f"p{number}", "off", 0) for number in range(8)))
    for number in range(7):
        await say(town, (f"p{number}", "on", 60 + number))
        assert await open_devices(town) == ["F1"]
    served = await say(town, ("p7", "on", 70))
    assert ("closed", "Incidents", 1) in events_of(served)
    await until_quiet(town)
    assert await town.records.select(REPORTS, Selection()) == ()


async def test_a_meter_with_supply_resolves_the_ticket_of_its_premises(town: Utility) -> None:
    """Unless somebody has called since: then the customer is believed."""
    await call(town, ("t1", "p0", 0), ("t2", "p8", 0), ("t3", "p8", 50))
    served = await say(town, ("p0", "on", 40), ("p8", "on", 40))
    assert events_of(served) == [("closed", "TroubleTickets", 1), ("closed", "Incidents", 1)]
    assert await open_devices(town) == [""]


async def test_a_meter_is_heard_though_nobody_has_called_there(town: Utility) -> None:
    """Of eight houses six have called; the two silent ones are believed out, and have nobody to speak for them."""
    await call(town, *((f"t{number}", f"p{number}", 0) for number in range(6)))
    assert await open_devices(town) == ["F1"]
    town.pass_time(minutes=30)
    served = await say(town, ("p6", "on", 20))
    assert events_of(served) == [("changed", "Incidents", 1)]
    told = [one for event in served.events for one in getattr(event.payload, "incident", ()) if one.outage]
    assert [point.mrid for one in told for point in one.outage.usage_points] == ["p6"]
    (extent,) = await town.records.select(EXTENTS, Selection(states=(OPEN,)))
    assert (extent.body.restored, extent.body.premises) == (1, 6)
    (row,) = await town.records.select(INTERRUPTIONS, Selection())
    assert (row.body.point, row.body.ended_at) == ("p6", MONDAY + timedelta(minutes=20))
    assert row.body.evidence is not None
    assert row.body.evidence.kind is EvidenceKind.METER
    assert (await say(town, ("p6", "on", 21))).events == ()
    for number in range(6):
        await town.ask(Verb.CLOSE, Noun.TROUBLE_TICKETS, ids=(f"t{number}",))
    assert await open_devices(town) == ["F1"]
    assert ("closed", "Incidents", 1) in events_of(await say(town, ("p7", "on", 25)))
    assert await open_devices(town) == []


async def test_a_meter_speaks_in_every_outage_that_believes_its_point_out() -> None:
    """One device below another, both out: the point is out by both until somebody says otherwise."""
    room = ControlRoom()
    await room.open()
    await room.outage("lower", "F1")
    await room.outage("upper", "B")
    await room.outage("beside", "F2")
    room.pass_time(minutes=30)
    served = await say(room, ("UP11-1", "on", 20))
    assert restored_points(served) == {"UP11-1"}
    assert [await room.extent(one) for one in ("lower", "upper", "beside")] == [3, 7, 4]
    assert {one.incident for one in await room.interruptions("UP11-1")} == {"lower", "upper"}


async def test_what_a_meter_said_before_an_outage_began_is_no_evidence_against_it() -> None:
    """It had supply then, as had everybody."""
    room = ControlRoom()
    await room.open()
    await room.outage("F", "F1")
    assert (await say(room, ("UP11-1", "on", -5))).events == ()
    assert await room.extent("F") == 4


async def test_events_come_in_any_order_and_again(town: Utility) -> None:
    """The head end retries, and its queues overtake each other."""
    await say(town, ("p0", "on", 40))
    served = await say(town, ("p0", "off", 0))
    assert served.events == ()
    await say(town, ("p1", "off", 0))
    served = await say(town, ("p1", "off", 0))
    assert (served.result, served.events) == (Result.OK, ())
    assert await open_devices(town) == [""]


async def test_off_again_after_on_is_off(town: Utility) -> None:
    """The repair did not hold."""
    await say(town, ("p0", "off", 0), ("p1", "off", 0))
    await say(town, ("p0", "on", 30))
    await say(town, ("p0", "off", 31))
    await say(town, ("p1", "on", 60))
    assert await open_devices(town) == ["T1"]


async def test_a_meter_that_nobody_knows_is_named(town: Utility) -> None:
    """The others are taken."""
    served = await say(town, ("nobody", "off", 0), ("p0", "off", 0), ("", "off", 0))
    assert served.result is Result.PARTIAL
    assert [(one.code, one.level, one.path) for one in served.findings] == [
        ("REF-140", Level.WARNING, "/events[1]/point"),
        ("REF-140", Level.WARNING, "/events[3]/point"),
    ]
    served = await say(town, ("nobody", "off", 0))
    assert (served.result, served.findings[0].level) == (Result.FAILED, Level.FATAL)


async def test_a_meter_and_a_call_are_of_one_premises_by_the_directory() -> None:
    """Without a model the directory still knows whose meter it is."""
    town = Utility()
    await seed_town(town.records, MONDAY)
    home = find_premises(3)
    await say(town, (home.usage_point, "off", 0))
    await call(town, ("t", home.mrid("usage_point"), 2))
    (report,) = await town.records.select(REPORTS, Selection())
    assert (report.mrid, report.body.tickets, report.body.off_at) == (MRID(home.mrid("location")), 1, MONDAY)
    assert report.body.is_critical


async def test_a_meter_that_goes_out_again_within_an_outage_is_out_anew() -> None:
    """Back at twenty past, gone again at half past: the customer sat in the dark twice, and both times count."""
    room = ControlRoom()
    await room.open()
    await room.outage("F", "F1")
    for what, minutes in (("off", 5), ("on", 20), ("off", 30)):
        await say(room, ("UP11-1", what, minutes))
    assert await room.extent("F") == 4, "all below the fuse are believed out again"
    room.pass_time(minutes=60)
    await room.close("F", restored_at=room.now)
    await room.tick()
    intervals = union(one.interval for one in await room.interruptions("UP11-1"))
    assert intervals == (
        Interval(MONDAY, MONDAY + timedelta(minutes=20)),
        Interval(MONDAY + timedelta(minutes=30), MONDAY + timedelta(minutes=60)),
    )


async def test_a_place_of_which_only_its_meter_has_told_is_counted(town: Utility) -> None:
    """A service cable is gone, nobody is at home, and a crew mends it: an interruption like any other."""
    await say(town, ("p0", "off", 0))
    (extent,) = await town.records.select(EXTENTS, Selection(states=(OPEN,)))
    town.pass_time(minutes=45)
    word = Incident(mrid=extent.mrid, status=Status(reason="crew", remark="7"))
    await town.ask(Verb.CLOSE, Noun.INCIDENTS, word)
    await until_quiet(town)
    (row,) = await town.records.select(INTERRUPTIONS, Selection())
    assert (row.body.point, row.body.started_at, row.body.ended_at) == ("p0", MONDAY, MONDAY + timedelta(minutes=45))


async def test_the_word_of_a_meter_holds_in_an_outage_that_is_found_later() -> None:
    """It had supply at ten past. That the feeder was out since eight is known at half past, and is not its business."""
    room = ControlRoom()
    await room.open()
    await say(room, ("UP11-1", "on", 10))
    await room.outage("F", "F1", at=MONDAY)
    room.pass_time(minutes=40)
    await room.close("F", restored_at=room.now)
    await room.tick()
    (row,) = await room.interruptions("UP11-1")
    assert row.interval == Interval(MONDAY, MONDAY + timedelta(minutes=10))


async def test_of_a_table_every_meter_that_has_supply_again_is_told() -> None:
    """Each of them lights a house whose people want to hear it; also where they came back one after another."""
    room = ControlRoom()
    await room.open()
    await room.outage("I", "F1")
    room.pass_time(minutes=20)
    events = tuple(
        MeterEvent(point=point, is_off=False, at=room.minutes(minute))
        for point, minute in (("UP11-1", 10), ("UP11-2", 10), ("UP12-1", 15))
    )
    served = await take_meter_events(events, context_of(room))
    assert restored_points(served) == {"UP11-1", "UP11-2", "UP12-1"}
    ends = {
        (point.mrid, incident.outage.actual_period.end)
        for event in served.events
        for incident in getattr(event.payload, "incident", ())
        if incident.outage is not None and incident.outage.actual_period is not None
        for point in incident.outage.usage_points
    }
    assert ends == {("UP11-1", room.minutes(10)), ("UP11-2", room.minutes(10)), ("UP12-1", room.minutes(15))}
