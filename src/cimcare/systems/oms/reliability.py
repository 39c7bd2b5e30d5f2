"""Reliability of a period, out of the accounts of points: indices, major event days, churn of estimates.

A report: it reads all interruptions of the period and of the years before it, and is not for the way of a message.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import TypeVar

import msgspec

from cimcare.exchange.ports import Collection, Records, Selection, Stored
from cimcare.model.identity import MRID
from cimcare.systems.oms.accounts import EntryRecord, all_entries
from cimcare.systems.oms.counting import outs_of
from cimcare.systems.oms.devices import DEVICES
from cimcare.systems.oms.estimates import Estimate, churn_of
from cimcare.systems.oms.estimating import ESTIMATES
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
from cimcare.systems.oms.interruptions import Interval
from cimcare.systems.oms.kinds import EXTENTS
from cimcare.systems.premises import PREMISES

__all__ = ["Reliability", "count_customers", "load_reliability"]

BodyT = TypeVar("BodyT", bound=msgspec.Struct)

_PAGE = 1000
_YEAR = timedelta(days=365.25)


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


async def count_customers(records: Records) -> int:
    """Customers served: those of the network model, failing that one for each of the premises of the directory."""
    total = 0
    async for device in _all(records, DEVICES, Selection(limit=_PAGE)):
        if device.body.upstream is None:
            total += device.body.customers
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
