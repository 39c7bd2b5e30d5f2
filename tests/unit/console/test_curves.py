"""What a curve of the server shows, and what it does not make up."""

import re
from datetime import timedelta

import pytest

from cimcare.console.curves import Curve, Ink, Shape, Step, Trace, curve_of_bars
from cimcare.hub.operation.minutes import Bar
from tests.unit.console.control import call, keep_minutes
from tests.unit.hub.conftest import NOON, HeldHub

MINUTE = timedelta(minutes=1)


def a_line(*values: float | None, mark: float = 0) -> Curve:
    """One quantity, minute by minute."""
    steps = tuple(Step(at=NOON + place * MINUTE, values=(value,)) for place, value in enumerate(values))
    trace = Trace(name="Pace", shape=Shape.LINE, ink=Ink.BRAND)
    until = NOON + (len(values) - 1) * MINUTE
    return Curve(since=NOON, until=until, width=timedelta(), traces=(trace,), steps=steps, mark=mark)


def bars(*bars: Bar) -> Curve:
    """Bars of a minute each."""
    return curve_of_bars(bars, MINUTE, until=bars[-1].at + MINUTE, href=lambda at: f"?at={at:%H:%M}", zoom="?")


def test_a_line_is_broken_where_nothing_is_known() -> None:
    """A bridge over a gap is a figure that nobody has counted."""
    curve = a_line(0, 10, None, 5, 10)
    assert curve.lines(0) == ["0.00,90.00 150.00,4.00", "450.00,47.00 600.00,4.00"]
    assert not a_line(None, None).is_known
    assert a_line(None, 0).is_known


@pytest.mark.parametrize(("most", "has_mark", "high"), [(10, False, "4.00"), (25, True, "68.50"), (200, True, "4.00")])
def test_a_mark_far_above_does_not_press_everything_flat(most: float, *, has_mark: bool, high: str) -> None:
    """A calm hour has a curve too; from a quarter of the mark on both are to one scale."""
    curve = a_line(0, most, mark=100)
    assert curve.has_mark is has_mark
    assert curve.lines(0) == [f"0.00,90.00 600.00,{high}"]


def test_nothing_that_came_is_a_bar_and_nothing_known_is_none() -> None:
    """A quiet minute and one without a hub are two things."""
    curve = bars(Bar(at=NOON, received=0), Bar(at=NOON + MINUTE), Bar(at=NOON + 2 * MINUTE, received=4, refused=1))
    assert [one.name for one in curve.traces] == ["Messages in", "Refused"]
    assert [bool(curve.bar(0, step)) for step in curve.steps] == [True, False, True]
    assert [bool(curve.bar(1, step)) for step in curve.steps] == [False, False, True]
    assert curve.bar(0, curve.steps[2]) == ("420.00", "4.00", "160.00", "86.00")
    assert curve.steps[1].values == (None, None)
    assert [step.href for step in curve.steps] == ["?at=12:01", "?at=12:02", "?at=12:03"]


def test_customers_have_a_scale_of_their_own() -> None:
    """A thousand customers out do not hide ten messages."""
    curve = bars(Bar(at=NOON, received=10, customers=500), Bar(at=NOON + MINUTE, received=5, customers=1000))
    assert curve.lines(2) == ["150.00,47.00 450.00,4.00"]
    assert curve.bar(0, curve.steps[0]) == ("30.00", "4.00", "240.00", "86.00")
    assert curve.bar(2, curve.steps[0]) is None


async def test_the_storm_meter_has_the_course_of_its_minutes(held: HeldHub) -> None:
    """In words too; each leads to its messages, and none is shown of which nothing is known."""
    assert "Pace of the last minutes" not in (await held.get("/console/")).body.decode()
    await keep_minutes(held, 2)
    await call(held, 0)
    await keep_minutes(held, 2)
    text = (await held.get("/console/")).body.decode()
    assert 'data-mark-name="yardstick"' in text
    values = re.findall(r'<data value="(\d+)">', text)
    assert [float(one) > 0 for one in values].count(True) == 1
    assert re.search(r'<a href="/console/messages\?counted=received[^"]*until=[^"]*"><time', text)
