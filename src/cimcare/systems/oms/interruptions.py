"""Who was out from when to when: intervals of each service point, joined so that nobody is counted twice. Pure.

A point is without supply while at least one outage has it. Outages overlap, are nested, are restored in steps, and a
restoration may prove untrue; what counts is the union of all intervals of the point. Intervals are half open: the
instant of restoration is with supply.

Source: IEEE 1366 for interruptions as the customer has them; the arithmetic is ours.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, TypeVar

import msgspec

__all__ = [
    "Change",
    "Interval",
    "Occurrence",
    "clip",
    "duration_of",
    "intervals_of",
    "points_out",
    "union",
]

PointT = TypeVar("PointT", bound=Hashable)


class Interval(NamedTuple):
    """From `start` on and before `end`; None where the end is not known, because the point is still out."""

    start: datetime
    end: datetime | None


class Change(StrEnum):
    """What happened to points: an outage has begun for them, or it has ended, or its end proved untrue."""

    OUT = "out"
    RESTORED = "restored"
    STILL_OUT = "still out"


class Occurrence(msgspec.Struct, frozen=True, kw_only=True):
    """One step in the history of an outage: which points, when. `outage` tells apart those that overlap.

    For `STILL_OUT` the instant does not matter: the points of that outage were out without a break since they went out.
    """

    at: datetime
    outage: str
    change: Change
    points: frozenset[str]


def union(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """The intervals joined where they overlap or touch, in order; empty ones are left out."""
    joined: list[Interval] = []
    for one in sorted(intervals, key=lambda interval: interval.start):
        if one.end is not None and one.end <= one.start:
            continue
        last = joined[-1] if joined else None
        if last is None or (last.end is not None and one.start > last.end):
            joined.append(one)
        elif last.end is not None and (one.end is None or one.end > last.end):
            joined[-1] = Interval(last.start, one.end)
    return tuple(joined)


def clip(interval: Interval, until: datetime) -> Interval:
    """The interval as far as it is known at an instant: what goes on then ends there."""
    end = until if interval.end is None else min(interval.end, until)
    return Interval(interval.start, max(end, interval.start))


def duration_of(intervals: Iterable[Interval], until: datetime) -> timedelta:
    """How long a point was without supply, up to an instant; time that several intervals cover counts once."""
    total = timedelta()
    for one in union(clip(each, until) for each in intervals):
        assert one.end is not None  # clipped
        total += one.end - one.start
    return total


def intervals_of(history: Sequence[Occurrence]) -> dict[str, tuple[Interval, ...]]:
    """Intervals of each point after these occurrences, which come in the order of their instants.

    What repeats changes nothing: a point that is out already by the same outage, or restored already. A restoration
    that proved untrue is as if it had never been said.
    """
    ended: dict[tuple[str, str], list[Interval]] = {}
    since: dict[tuple[str, str], datetime] = {}
    for one in history:
        for point in one.points:
            place = (one.outage, point)
            if one.change is Change.OUT:
                since.setdefault(place, one.at)
            elif one.change is Change.RESTORED:
                start = since.pop(place, None)
                if start is not None:
                    ended.setdefault(place, []).append(Interval(start, one.at))
            elif place not in since and ended.get(place):
                since[place] = ended[place].pop().start
    found: dict[str, list[Interval]] = {}
    for (_, point), intervals in ended.items():
        found.setdefault(point, []).extend(intervals)
    for (_, point), start in since.items():
        found.setdefault(point, []).append(Interval(start, None))
    return {point: joined for point, intervals in found.items() if (joined := union(intervals))}


def points_out(intervals: Mapping[PointT, Iterable[Interval]], at: datetime) -> frozenset[PointT]:
    """Points without supply at an instant."""
    return frozenset(
        point
        for point, own in intervals.items()
        if any(one.start <= at and (one.end is None or at < one.end) for one in own)
    )
