"""Reliability of a period, out of the accounts of points: indices, major event days, churn of estimates.

A report: it reads all interruptions of the period and of the years before it, and is not for the way of a message.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import TypeVar

import msgspec

from cimcare.exchange.ports import Collection, Records, Selection, Stored
from cimcare.model.identity import MRID
from cimcare.systems.oms.accounts import ENTRIES, EntryRecord, EntrySort, all_entries
from cimcare.systems.oms.counting import outs_of
from cimcare.systems.oms.devices import DEVICES
from cimcare.systems.oms.estimates import Estimate, churn_of
from cimcare.systems.oms.estimating import ESTIMATES
from cimcare.systems.oms.importing import customers_of, find_customers
from cimcare.systems.oms.indices import (
    HISTORY_YEARS,
    Indices,
    Interruption,
    Threshold,
    daily_saidi,
    indices_of,
    interruptions_of,
    major_days,
    threshold_of,
)
from cimcare.systems.oms.interruptions import Interval, clip, union
from cimcare.systems.oms.kinds import EXTENTS
from cimcare.systems.premises import PREMISES

__all__ = ["Reliability", "Span", "count_customers", "load_reliability", "load_span"]

BodyT = TypeVar("BodyT", bound=msgspec.Struct)

_PAGE = 1000
_YEAR = timedelta(days=365.25)
_SAID_LATER = timedelta(days=2)


class Reliability(msgspec.Struct, frozen=True, kw_only=True):
    """What a period was like for customers.

    `unplanned` are the indices of all unplanned interruptions, `without_major` of those that did not begin on a major
    event day, `planned` of the planned ones. `changes` is how often a customer in an outage heard another restoration
    time than before, on the average over customers; None where none was told.
    """

    since: datetime
    until: datetime
    unplanned: Indices
    without_major: Indices
    planned: Indices
    threshold: Threshold
    major_days: tuple[date, ...]
    changes: float | None


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Interruptions that began in a span of time. `minutes` are customer minutes by outage, planned ones included.

    Where two outages had a point at the same time, its minutes count for each of them.
    """

    unplanned: tuple[Interruption, ...]
    planned: tuple[Interruption, ...]
    minutes: dict[MRID, float]


async def count_customers(records: Records) -> int:
    """Customers served: those of the network model, failing that one for each of the premises of the directory.

    Those of the model were counted when it was imported; of one that an earlier release imported they are counted now.
    """
    total = await find_customers(records)
    if total is None:
        total = customers_of([device.body async for device in _all(records, DEVICES, Selection(limit=_PAGE))])
    if total:
        return total
    async for _ in _all(records, PREMISES, Selection(limit=_PAGE)):
        total += 1
    return total


async def load_reliability(
    records: Records, *, since: datetime, until: datetime, now: datetime, customers: int, zone: tzinfo = UTC
) -> Reliability:
    """Indices of the interruptions that began from `since` on and before `until`.

    Outages count when they have ended; what a meter has lost outside of any is reckoned up to `now`.

    Raises ValueError where there are no customers to whom indices could relate.
    """
    first = since - HISTORY_YEARS * _YEAR
    accounts: dict[str, list[EntryRecord]] = {}
    async for entry in all_entries(records, first):
        accounts.setdefault(entry.point, []).append(entry)
    points: dict[bool, dict[str, Sequence[Interval]]] = {True: {}, False: {}}
    for point, entries in accounts.items():
        points[False][point], points[True][point] = outs_of(entries)
    counts = {point: max(entry.customers for entry in entries) for point, entries in accounts.items()}
    unplanned = interruptions_of(points[False], counts, until=now)
    planned = interruptions_of(points[True], counts, until=now)
    before = [one for one in unplanned if first <= one.start < since]
    own = [one for one in unplanned if since <= one.start < until]
    threshold = threshold_of(daily_saidi(before, customers=customers, zone=zone).values())
    major = major_days(daily_saidi(own, customers=customers, zone=zone), threshold)
    return Reliability(
        since=since,
        until=until,
        unplanned=indices_of(own, customers=customers),
        without_major=indices_of(own, customers=customers, without=major, zone=zone),
        planned=indices_of(_within(planned, since, until), customers=customers),
        threshold=threshold,
        major_days=tuple(sorted(major)),
        changes=await _changes(records, since, until),
    )


async def load_span(records: Records, *, since: datetime, until: datetime, now: datetime) -> Span:
    """Interruptions that began from `since` on and before `until`, as `load_reliability` counts them.

    Unlike that it reads nothing of the years before, so it knows of no major event days, and a point that was out by
    another outage when the span began counts from then. What was said of single points more than `_SAID_LATER` after
    the span is not looked at.
    """
    accounts: dict[str, list[EntryRecord]] = {}
    async for stored in _all(records, ENTRIES, Selection(since=since, until=until + _SAID_LATER, limit=_PAGE)):
        accounts.setdefault(stored.body.point, []).append(stored.body)
    unplanned: dict[str, Sequence[Interval]] = {}
    planned: dict[str, Sequence[Interval]] = {}
    counts: dict[str, int] = {}
    minutes: dict[MRID, float] = {}
    for point, entries in accounts.items():
        unplanned[point], planned[point] = outs_of(entries)
        counts[point] = max(entry.customers for entry in entries)
        out = [clip(one, now) for one in (*unplanned[point], *planned[point])]
        for incident, spans in _spans_of(entries).items():
            shared = sum((_shared(clip(own, now), one) for own in spans for one in out), timedelta())
            minutes[incident] = minutes.get(incident, 0.0) + counts[point] * (shared / timedelta(minutes=1))
    return Span(
        unplanned=tuple(_within(interruptions_of(unplanned, counts, until=now), since, until)),
        planned=tuple(_within(interruptions_of(planned, counts, until=now), since, until)),
        minutes=minutes,
    )


def _spans_of(entries: Iterable[EntryRecord]) -> dict[MRID, tuple[Interval, ...]]:
    """When each outage had the point of these entries."""
    found: dict[MRID, list[Interval]] = {}
    for entry in entries:
        if entry.outage is not None:
            start = min(entry.at, entry.outage.started_at) if entry.sort is EntrySort.CALL else entry.at
            end = max(entry.until or entry.outage.ended_at, start)
            found.setdefault(entry.outage.incident, []).append(Interval(start, end))
    return {incident: tuple(union(own)) for incident, own in found.items()}


def _shared(one: Interval, other: Interval) -> timedelta:
    """How long two intervals with ends are the same time."""
    assert one.end is not None
    assert other.end is not None
    return max(min(one.end, other.end) - max(one.start, other.start), timedelta())


def _within(interruptions: tuple[Interruption, ...], since: datetime, until: datetime) -> list[Interruption]:
    return [one for one in interruptions if since <= one.start < until]


async def _changes(records: Records, since: datetime, until: datetime) -> float | None:
    told: dict[MRID, list[Estimate]] = {}
    async for stored in _all(records, ESTIMATES, Selection(since=since, until=until, limit=_PAGE)):
        if stored.body.is_told:
            told.setdefault(stored.body.incident, []).append(stored.body.estimate)
    customers = changes = 0
    for incident, estimates in told.items():
        extent = await records.find(EXTENTS, incident)
        affected = max(extent.body.customers, extent.body.premises, 1) if extent is not None else 1
        customers += affected
        changes += affected * churn_of(estimates)
    return changes / customers if customers else None


async def _all(records: Records, collection: Collection[BodyT], wanted: Selection) -> AsyncIterator[Stored[BodyT]]:
    while True:
        page = await records.select(collection, wanted)
        for stored in page:
            yield stored
        if len(page) < wanted.limit:
            return
        wanted = msgspec.structs.replace(wanted, after=page[-1].mrid)
