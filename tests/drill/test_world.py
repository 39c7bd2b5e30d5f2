"""The model of the world, against a network small enough to be reckoned with by hand.

All else in this folder is held against it, so it has to be right by itself.
"""

from datetime import UTC, datetime, timedelta

import pytest

from cimcare.model.identity import MRID
from cimcare.model.network import Device, DeviceKind, Network, ServicePoint
from tests.drill.world import World, count_minutes

NINE = datetime(2026, 3, 2, 9, tzinfo=UTC)


def minutes(count: int) -> datetime:
    return NINE + timedelta(minutes=count)


def a_device(name: str, kind: DeviceKind, *nodes: str, is_open: bool = False) -> Device:
    return Device(mrid=MRID(name), name=name, kind=kind, nodes=nodes, is_open=is_open, is_normally_open=is_open)


def a_point(name: str, node: str, customers: int = 1) -> ServicePoint:
    return ServicePoint(mrid=MRID(name), name=name, node=node, customers=customers)


@pytest.fixture
def world() -> World:
    """Source, breaker, two fuses on the main line, a transformer below each, a tie between their ends."""
    return World(
        Network(
            devices=(
                a_device("S", DeviceKind.SOURCE, "bus"),
                a_device("B", DeviceKind.BREAKER, "bus", "main"),
                a_device("F1", DeviceKind.FUSE, "main", "one"),
                a_device("F2", DeviceKind.FUSE, "far", "two"),
                a_device("T1", DeviceKind.TRANSFORMER, "one", "low1"),
                a_device("T2", DeviceKind.TRANSFORMER, "two", "low2"),
                a_device("TIE", DeviceKind.SWITCH, "one", "two", is_open=True),
            ),
            lines=(("main", "far"), ("low1", "house")),
            points=(a_point("P1", "low1", 3), a_point("P2", "house"), a_point("P3", "low2", 2)),
        )
    )


def test_all_have_supply_as_long_as_nothing_happens(world: World) -> None:
    """The beginning of every scenario."""
    assert world.dark() == frozenset()
    assert world.dark(NINE) == frozenset()


@pytest.mark.parametrize(
    ("device", "points"),
    [("S", "P1 P2 P3"), ("B", "P1 P2 P3"), ("F1", "P1 P2"), ("T1", "P1 P2"), ("F2", "P3"), ("TIE", "")],
)
def test_what_is_below_a_device_goes_dark_with_it(world: World, device: str, points: str) -> None:
    """The measure of every suspect that the outage management names."""
    assert world.below(device) == frozenset(points.split())
    world.fail(device, at=NINE)
    assert world.dark() == frozenset(points.split())
    world.mend(device, at=minutes(1))
    assert world.dark() == frozenset()


def test_a_tie_that_is_closed_brings_supply_the_other_way(world: World) -> None:
    """Half of restoration is switching."""
    world.fail("F1", at=NINE)
    world.switch(closed=["TIE"], at=minutes(20))
    assert world.dark() == frozenset()
    assert world.below("F2") == {"P1", "P2", "P3"}
    world.switch(opened=["TIE"], at=minutes(30))
    world.mend("F1", at=minutes(40))
    assert world.intervals("P1", minutes(60)) == [(NINE, minutes(20)), (minutes(30), minutes(40))]
    assert world.was_dark("P1", minutes(25), minutes(30))
    assert not world.was_dark("P1", minutes(20), minutes(29))


def test_a_generator_feeds_what_is_behind_its_device_and_nothing_else(world: World) -> None:
    """Restoration in steps begins with it, and must not light the street."""
    world.fail("F1", at=NINE)
    world.feed("T1", at=minutes(10))
    assert world.dark() == frozenset()
    world.fail("B", at=minutes(20))
    assert world.dark() == {"P3"}
    world.mend("T1", at=minutes(30))
    assert world.dark() == {"P1", "P2", "P3"}


def test_what_is_out_twice_is_dark_once(world: World) -> None:
    """A fuse below a breaker that has opened too: minutes count once."""
    world.fail("F1", at=NINE)
    world.fail("B", at=minutes(10))
    world.mend("F1", at=minutes(20))
    world.mend("B", at=minutes(30))
    assert world.intervals("P2", minutes(60)) == [(NINE, minutes(30))]
    assert world.intervals("P3", minutes(25)) == [(minutes(10), minutes(25))]
    out = {name: world.intervals(name, minutes(60)) for name in ("P1", "P2", "P3")}
    assert count_minutes(out, {"P1": 3, "P2": 1, "P3": 2}, minutes(60)) == 3 * 30 + 30 + 2 * 20


def test_minutes_of_intervals_that_overlap_count_once() -> None:
    """The very mistake that the count is there to find."""
    twice = [(NINE, minutes(10)), (minutes(5), minutes(15)), (minutes(5), minutes(6))]
    assert count_minutes({"P": twice}, {"P": 4}, minutes(60)) == 4 * 15
    assert count_minutes({"P": twice}, {"P": 4}, minutes(8)) == 4 * 8
    assert count_minutes({}, {"P": 4}, minutes(8)) == 0


def test_devices_that_are_not_there_and_a_past_that_changes_are_errors(world: World) -> None:
    """A scenario with a slip of the pen must not pass for one that holds."""
    with pytest.raises(KeyError, match="F9"):
        world.fail("F9", at=NINE)
    world.fail("F1", at=minutes(5))
    with pytest.raises(ValueError, match="past"):
        world.mend("F1", at=NINE)
