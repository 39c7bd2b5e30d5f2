"""Reliability indices of a distribution system: SAIDI, SAIFI, CAIDI, MAIFI, and major event days. Pure.

Interruptions longer than five minutes are sustained, all others momentary. An interruption that crosses midnight
belongs with all its duration to the day on which it began. Planned and unplanned interruptions are counted apart.

A day is a major event day if its SAIDI is more than T_MED = exp(alpha + 2.5 beta), alpha being the mean and beta the
standard deviation of the natural logarithms of the daily SAIDI of up to five years in sequence before the period; days
without any interruption are left out of it.

Source: IEEE 1366-2012, clauses 3 and 5, in our reading: beta is the standard deviation of a sample (n - 1), and major
event days are found by unplanned interruptions alone.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import NamedTuple

import msgspec

from cimcare.systems.oms.interruptions import Interval, clip, union

__all__ = [
    "HISTORY_YEARS",
    "MOMENTARY",
    "Indices",
    "Interruption",
    "Threshold",
    "daily_saidi",
    "indices_of",
    "interruptions_of",
    "major_days",
    "threshold_of",
]

MOMENTARY = timedelta(minutes=5)
"""Longest interruption that is momentary."""

HISTORY_YEARS = 5
"""Years of daily SAIDI on which the threshold of major event days rests."""

_LEAST_DAYS = 2  # of a single day there is no deviation


class Interruption(NamedTuple):
    """One interruption of a point: how many customers it has, from when to when."""

    customers: int
    start: datetime
    end: datetime

    @property
    def is_sustained(self) -> bool:
        """Whether it lasted for more than five minutes."""
        return self.end - self.start > MOMENTARY

    @property
    def customer_minutes(self) -> float:
        """Minutes without supply, times customers."""
        return self.customers * ((self.end - self.start) / timedelta(minutes=1))


class Threshold(NamedTuple):
    """T_MED in minutes, and what it was made of; None where fewer than two days had interruptions."""

    alpha: float | None
    beta: float | None
    minutes: float | None
    days: int


class Indices(msgspec.Struct, frozen=True, kw_only=True):
    """Indices of a period. Minutes and counts a customer; CAIDI is None where nobody had a sustained interruption.

    `customers` are those served, `interruptions` and `momentary` the customers interrupted, each as often as it
    happened, `customer_minutes` those of sustained interruptions.
    """

    customers: int
    interruptions: int
    momentary: int
    customer_minutes: float
    saidi: float
    saifi: float
    caidi: float | None
    maifi: float


def interruptions_of(
    points: Mapping[str, Sequence[Interval]], customers: Mapping[str, int], *, until: datetime
) -> tuple[Interruption, ...]:
    """The interruptions of all points: intervals joined, what goes on reckoned up to `until`.

    A point whose number of customers is not given has one.
    """
    found = []
    for point, intervals in points.items():
        for one in union(clip(each, until) for each in intervals):
            assert one.end is not None  # clipped
            found.append(Interruption(customers.get(point, 1), one.start, one.end))
    return tuple(found)


def indices_of(
    interruptions: Iterable[Interruption],
    *,
    customers: int,
    without: frozenset[date] = frozenset(),
    zone: tzinfo = UTC,
) -> Indices:
    """Indices over interruptions of one period. `without` are days in `zone` that do not count.

    Raises ValueError where there are no customers served to whom indices could relate.
    """
    if customers < 1:
        raise ValueError("indices relate to customers served: there has to be at least one")
    sustained = momentary = 0
    minutes = 0.0
    for one in interruptions:
        if without and day_of(one, zone) in without:
            continue
        if one.is_sustained:
            sustained += one.customers
            minutes += one.customer_minutes
        else:
            momentary += one.customers
    return Indices(
        customers=customers,
        interruptions=sustained,
        momentary=momentary,
        customer_minutes=minutes,
        saidi=minutes / customers,
        saifi=sustained / customers,
        caidi=minutes / sustained if sustained else None,
        maifi=momentary / customers,
    )


def day_of(interruption: Interruption, zone: tzinfo = UTC) -> date:
    """The day to which an interruption belongs: that on which it began."""
    return interruption.start.astimezone(zone).date()


def daily_saidi(interruptions: Iterable[Interruption], *, customers: int, zone: tzinfo = UTC) -> dict[date, float]:
    """SAIDI in minutes of each day on which a sustained interruption began."""
    days: dict[date, float] = {}
    for one in interruptions:
        if one.is_sustained:
            day = day_of(one, zone)
            days[day] = days.get(day, 0.0) + one.customer_minutes / customers
    return days


def threshold_of(daily: Iterable[float]) -> Threshold:
    """T_MED from the daily SAIDI of the years before; days with zero are left out, since they have no logarithm."""
    logs = [math.log(minutes) for minutes in daily if minutes > 0]
    if len(logs) < _LEAST_DAYS:
        return Threshold(alpha=None, beta=None, minutes=None, days=len(logs))
    alpha, beta = statistics.fmean(logs), statistics.stdev(logs)
    return Threshold(alpha=alpha, beta=beta, minutes=math.exp(alpha + 2.5 * beta), days=len(logs))


def major_days(daily: Mapping[date, float], threshold: Threshold) -> frozenset[date]:
    """Days whose SAIDI is more than the threshold; none where there is no threshold."""
    limit = threshold.minutes
    return frozenset() if limit is None else frozenset(day for day, minutes in daily.items() if minutes > limit)
