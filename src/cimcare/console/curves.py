"""Curves: quantities over a stretch of time, as they are drawn, and as they stand in a table beside the drawing.

The drawing of the server is what is printed and what is shown without scripts. A browser draws the same again from the
table (`static/curve.js`), so that drawing and table cannot say two things.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from cimcare.hub.operation.minutes import Bar

__all__ = ["Curve", "Ink", "Shape", "Step", "Trace", "curve_of_bars"]

WIDE, HIGH = 600, 92
"""The drawing in its own units; a page stretches it."""

_ROOM = 86
_LEAST = 1.0
_SEEN_FROM = 0.25
"""From this part of the mark on, the mark stands in the drawing; below it everything else would lie flat."""


class Shape(StrEnum):
    """How a quantity is drawn; what is counted over each step as bars."""

    BARS = "bars"
    LINE = "line"


class Ink(StrEnum):
    """Colour of a quantity, by its name in the style sheet."""

    BRAND = "brand"
    WARN = "warn"
    BAD = "bad"


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """One quantity. Those on the same side are drawn to the same scale."""

    name: str
    shape: Shape
    ink: Ink
    is_right: bool = False


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What each trace is at an instant, or over a step from then on; None where nothing is known.

    `href` leads to what it is about; empty for nowhere.
    """

    at: datetime
    values: tuple[float | None, ...]
    href: str = ""


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """Traces over a stretch.

    `width` is how long a step is; zero where values are those of an instant. `here` is an instant that is pointed at.
    `mark` is a value to compare those on the left with, and `mark_name` its name. `zoom` is the address of the same
    page about a part of the stretch, but for `since` and `until`; empty where there is none.
    """

    since: datetime
    until: datetime
    width: timedelta
    traces: tuple[Trace, ...]
    steps: tuple[Step, ...]
    here: datetime | None = None
    mark: float = 0
    mark_name: str = ""
    zoom: str = ""

    @property
    def is_known(self) -> bool:
        """Whether anything of it is known."""
        return any(value is not None for step in self.steps for value in step.values)

    def most(self, place: int) -> float:
        """The largest value of a trace; 0 if none is known."""
        return max((value for step in self.steps if (value := step.values[place]) is not None), default=0)

    @property
    def has_mark(self) -> bool:
        """Whether the mark stands in the drawing; else it is too far above."""
        return self.mark > 0 and self._top(is_right=False) >= self.mark

    def across(self, at: datetime) -> str:
        """Where an instant is in the drawing."""
        return f"{WIDE * (at - self.since) / (self.until - self.since):.2f}"

    def up(self, value: float, *, is_right: bool = False) -> str:
        """Where a value is in the drawing, from above."""
        return f"{90 - self._high(value, is_right=is_right):.2f}"

    def bar(self, place: int, step: Step) -> tuple[str, str, str, str] | None:
        """A bar of a trace: x, y, width, height; None where it has none, as where nothing is known.

        Of the first trace a bar is seen also where nothing came, so that a gap is something else.
        """
        value, trace = step.values[place], self.traces[place]
        if trace.shape is not Shape.BARS or value is None or (place and not value):
            return None
        height = max(self._high(value, is_right=trace.is_right), _LEAST)
        wide = WIDE * self.width / (self.until - self.since)
        x = float(self.across(step.at)) + wide * 0.1
        return f"{x:.2f}", f"{90 - height:.2f}", f"{wide * 0.8:.2f}", f"{height:.2f}"

    def lines(self, place: int) -> list[str]:
        """The points of a trace, piece by piece: it is broken where nothing is known."""
        pieces: list[list[str]] = [[]]
        is_right = self.traces[place].is_right
        for step in self.steps:
            value = step.values[place]
            if value is None:
                pieces.append([])
            else:
                pieces[-1].append(f"{self.across(step.at + self.width / 2)},{self.up(value, is_right=is_right)}")
        return [" ".join(piece) for piece in pieces if piece]

    def _high(self, value: float, *, is_right: bool) -> float:
        return _ROOM * value / self._top(is_right=is_right)

    def _top(self, *, is_right: bool) -> float:
        most = max((self.most(place) for place, one in enumerate(self.traces) if one.is_right is is_right), default=0)
        if not is_right and most >= _SEEN_FROM * self.mark:
            most = max(most, self.mark)
        return most or 1


def curve_of_bars(
    bars: Sequence[Bar],
    width: timedelta,
    *,
    until: datetime,
    href: Callable[[datetime], str],
    zoom: str,
    here: datetime | None = None,
) -> Curve:
    """What came in, what of it was refused, and how many customers were out, over each part of a stretch.

    Args:
        bars: The parts, in order; there is one at least.
        width: How long each is.
        until: Where the stretch ends.
        href: Address of how it stood at an instant, given the end of a part.
        zoom: As of Curve.
        here: As of Curve.
    """
    traces = [
        Trace(name="Messages in", shape=Shape.BARS, ink=Ink.BRAND),
        Trace(name="Refused", shape=Shape.BARS, ink=Ink.WARN),
    ]
    if has_customers := any(bar.customers is not None for bar in bars):
        traces.append(Trace(name="Customers out", shape=Shape.LINE, ink=Ink.BAD, is_right=True))
    steps = [
        Step(at=bar.at, values=tuple(_values(bar, has_customers=has_customers)), href=href(bar.at + width))
        for bar in bars
    ]
    return Curve(
        since=bars[0].at,
        until=max(until, bars[-1].at + width),
        width=width,
        traces=tuple(traces),
        steps=tuple(steps),
        here=here,
        zoom=zoom,
    )


def _values(bar: Bar, *, has_customers: bool) -> Iterable[float | None]:
    yield bar.received
    yield bar.refused if bar.received is not None else None
    if has_customers:
        yield bar.customers
