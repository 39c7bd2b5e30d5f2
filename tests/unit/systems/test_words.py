"""Words about single points outlive the incident they were said in: incidents are merged and come apart, houses do not.

A house of which somebody has said that it has supply is not out for as long as the incident that takes it over.
"""

from datetime import datetime, timedelta

import pytest

from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.systems.oms.interruptions import Interval, union
from tests.unit.systems.outages import ControlRoom, feeder
from tests.unit.systems.utility import MONDAY


@pytest.fixture
async def room() -> ControlRoom:
    room = ControlRoom()
    await room.open(feeder(5))
    return room


def minutes(after: float) -> datetime:
    """That many minutes after the beginning."""
    return MONDAY + timedelta(minutes=after)


async def named(room: ControlRoom, house: str) -> str:
    """The short name of the incident of a ticket."""
    return str(await room.incident_of(house))


async def break_fuse(room: ControlRoom, fuse: str) -> None:
    """Two houses below each transformer of a fuse call, so that the fuse is suspected."""
    for at in "12":
        for number in "12":
            await room.call(f"H{fuse}{at}-{number}", f"t{fuse}{at}-{number}")


async def interval_of(room: ControlRoom, point: str) -> list[Interval]:
    """From when to when a point was out, all incidents together."""
    return list(union(one.interval for one in await room.interruptions(point)))


async def test_a_word_of_a_caller_holds_when_his_incident_is_merged(room: ControlRoom) -> None:
    """Nobody calls twice to say that the light is on because two incidents have become one."""
    await break_fuse(room, "1")
    room.pass_time(minutes=10)
    await break_fuse(room, "2")
    absorbed = await named(room, "t21-1")
    room.pass_time(minutes=10)
    await room.hang_up("t21-1")
    room.pass_time(minutes=10)
    await room.outage("I", "B", at=minutes(0))
    await room.tick()
    assert (await room.state(absorbed), await named(room, "t21-2")) == ("cancelled", "I")
    assert await room.extent("I") == 19, "of twenty houses below the breaker one has supply"
    room.pass_time(minutes=30)
    await room.close("I", restored_at=room.now)
    await room.tick()
    assert await interval_of(room, "UP21-1") == [Interval(minutes(0), minutes(20))]
    assert await interval_of(room, "UP21-2") == [Interval(minutes(0), minutes(60))]


async def test_a_part_that_is_back_stays_back_when_its_incident_is_merged(room: ControlRoom) -> None:
    """The same for houses that have never called, of which a crew has spoken."""
    await break_fuse(room, "1")
    room.pass_time(minutes=10)
    await break_fuse(room, "2")
    room.pass_time(minutes=10)
    part = tuple(f"UP21-{number}" for number in range(1, 6))
    await room.say(await named(room, "t22-1"), kind="crew", who="7", restored_at=room.now, points=part)
    room.pass_time(minutes=10)
    await room.outage("I", "B", at=minutes(0))
    await room.tick()
    assert await room.extent("I") == 15
    room.pass_time(minutes=30)
    rest = tuple(f"UP{at}-{number}" for at in ("11", "12", "22") for number in range(1, 6))
    await room.say("I", kind="crew", who="7", restored_at=room.now, points=rest)
    await room.tick()
    assert await room.state("I") == "closed", "what was said before the merger counts for the last part"
    assert await interval_of(room, "UP21-5") == [Interval(minutes(0), minutes(20))]
    assert await interval_of(room, "UP22-5") == [Interval(minutes(0), minutes(60))]


async def test_a_caller_may_still_contradict_after_the_merger(room: ControlRoom) -> None:
    """A word that has gone along with its house is as open to doubt as where it was said."""
    await break_fuse(room, "1")
    await break_fuse(room, "2")
    room.pass_time(minutes=20)
    await room.hang_up("t21-1")
    room.pass_time(minutes=10)
    await room.outage("I", "B", at=minutes(0))
    await room.tick()
    room.pass_time(minutes=10)
    await room.call("H21-1", "again")
    assert await room.extent("I") == 20
    room.pass_time(minutes=20)
    await room.close("I", restored_at=room.now)
    await room.tick()
    assert await interval_of(room, "UP21-1") == [Interval(minutes(0), minutes(60))]


async def test_a_part_that_is_back_stays_back_when_its_incident_comes_apart(room: ControlRoom) -> None:
    """What was thought to be the feeder proves to be two transformers; the houses that have supply keep it."""
    await break_fuse(room, "1")
    await break_fuse(room, "2")
    whole = await named(room, "t11-1")
    assert await named(room, "t22-1") == whole, "the breaker is suspected"
    room.pass_time(minutes=20)
    part = ("UP11-1", "UP11-5", "UP21-1", "UP21-5")
    await room.say(whole, kind="crew", who="7", restored_at=room.now, points=part)
    room.pass_time(minutes=10)
    await room.ask(Verb.CANCEL, Noun.TROUBLE_TICKETS, ids=("t12-1", "t12-2", "t22-1", "t22-2"))
    await room.tick()
    two = {await named(room, "t11-2"), await named(room, "t21-2")}
    assert len(two) == 2, "each transformer has an incident of its own"
    assert [await room.extent(one) for one in sorted(two)] == [3, 3]
    room.pass_time(minutes=30)
    for one in two:
        await room.close(one, restored_at=room.now)
    await room.tick()
    for at in ("11", "21"):
        assert await interval_of(room, f"UP{at}-1") == [Interval(minutes(0), minutes(20))]
        assert await interval_of(room, f"UP{at}-5") == [Interval(minutes(0), minutes(20))]
        assert await interval_of(room, f"UP{at}-2") == [Interval(minutes(0), minutes(60))]


async def test_who_calls_once_more_contradicts_nothing_of_an_earlier_outage(room: ControlRoom) -> None:
    """Impatience is no news: between the outages there was supply, and nobody has ever denied that."""
    await room.outage("A", "F1")
    room.pass_time(minutes=30)
    await room.close("A", restored_at=room.now)
    await room.tick()
    room.pass_time(minutes=60)
    await room.outage("B", "F1")
    room.pass_time(minutes=10)
    await room.say("B", kind="crew", who="7", restored_at=room.now, points=("UP11-1",))
    room.pass_time(minutes=10)
    await room.call("H11-1", "first")
    room.pass_time(minutes=10)
    await room.call("H11-1", "second")
    room.pass_time(minutes=10)
    await room.close("B", restored_at=room.now)
    await room.tick()
    out = [Interval(minutes(0), minutes(30)), Interval(minutes(90), minutes(130))]
    assert await interval_of(room, "UP11-1") == out


async def test_a_call_that_comes_late_does_not_undo_a_later_word(room: ControlRoom) -> None:
    """A call of ten o'clock that is entered at noon says nothing of the word of eleven."""
    await room.outage("A", "F1", at=minutes(-60))
    await room.close("A", restored_at=room.now)
    await room.tick()
    await room.outage("B", "F1")
    room.pass_time(minutes=10)
    await room.say("B", kind="crew", who="7", restored_at=room.now, points=("UP11-1",))
    room.pass_time(minutes=10)
    await room.call("H11-1", "first")
    room.pass_time(minutes=20)
    await room.say("B", kind="crew", who="7", restored_at=room.now, points=("UP11-1",))
    room.pass_time(minutes=20)
    await room.call("H11-1", "second", at=minutes(30))
    last = [one for one in await interval_of(room, "UP11-1") if one.end != minutes(0)]
    assert [one.end for one in last] == [minutes(40)]


async def test_who_ends_the_incident_of_one_house_speaks_of_the_house_in_every_outage(room: ControlRoom) -> None:
    """The crew has stood on the doorstep. Whatever else is out there, this house has its lights."""
    await room.outage("I", "B", at=minutes(0))
    await room.outage("own", "", at=minutes(0))
    await room.call("H11-1", "t1", incident="own")
    room.pass_time(minutes=30)
    await room.close("own", restored_at=room.now)
    await room.tick()
    room.pass_time(minutes=30)
    await room.close("I", restored_at=room.now)
    await room.tick()
    assert await interval_of(room, "UP11-1") == [Interval(minutes(0), minutes(30))]
    assert await interval_of(room, "UP11-2") == [Interval(minutes(0), minutes(60))]


async def test_a_ticket_put_elsewhere_by_hand_is_not_restored_with_what_it_does_not_hang_on(room: ControlRoom) -> None:
    """Its own fuse is out still. The crew at the other one knows nothing of it."""
    await room.outage("own", "F1", at=minutes(0))
    await room.outage("other", "F2", at=minutes(0))
    await room.call("H11-1", "t1", incident="other")
    room.pass_time(minutes=30)
    await room.close("other", restored_at=room.now)
    await room.tick()
    assert await room.incident_of("t1") == "own"
    assert (await room.ticket("t1")).resolved_date_time is None
    room.pass_time(minutes=30)
    await room.close("own", restored_at=room.now)
    await room.tick()
    assert await interval_of(room, "UP11-1") == [Interval(minutes(0), minutes(60))]


async def test_a_second_word_about_a_point_is_kept_for_an_outage_found_later(room: ControlRoom) -> None:
    """Said twice in one incident. Another one that turns out to have had the house in between heeds the second."""
    await room.outage("F", "F1", at=minutes(0))
    room.pass_time(minutes=10)
    await room.say("F", kind="crew", who="7", restored_at=room.now, points=("UP11-1",))
    room.pass_time(minutes=30)
    await room.say("F", kind="crew", who="7", restored_at=room.now, points=("UP11-1",))
    room.pass_time(minutes=10)
    await room.outage("B", "B", at=minutes(20))
    room.pass_time(minutes=10)
    await room.close("B", restored_at=room.now)
    await room.tick()
    assert await interval_of(room, "UP11-1") == [Interval(minutes(0), minutes(10)), Interval(minutes(20), minutes(40))]


async def test_a_cancelled_call_leaves_what_others_have_said(room: ControlRoom) -> None:
    """Two of one house say still out. One call is withdrawn, and the other stands; both, and the word holds again."""
    await room.outage("F", "F1", at=minutes(0))
    room.pass_time(minutes=20)
    await room.say("F", kind="crew", who="7", restored_at=room.now, points=("UP11-1",))
    room.pass_time(minutes=10)
    await room.call("H11-1", "t1")
    await room.call("H11-1", "t2")
    await room.ask(Verb.CANCEL, Noun.TROUBLE_TICKETS, ids=("t1",))
    assert await interval_of(room, "UP11-1") == [Interval(minutes(0), None)]
    await room.ask(Verb.CANCEL, Noun.TROUBLE_TICKETS, ids=("t2",))
    assert await interval_of(room, "UP11-1") == [Interval(minutes(0), minutes(20))]
    assert await room.extent("F") == 9
