"""How points hung in the network before it was switched or altered: below which devices, and until when.

The model has the way of supply as it is now. An outage has a point while the point is below its device, so what has
changed since the outage began has to be known when it ends. A device that gets another way leaves one record, and so
does a point that gets another device or leaves the network. Nothing of it is on the way of a message.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from cimcare.exchange.ports import Collection, Key, Records, Selection, Stored
from cimcare.model.identity import MRID
from cimcare.systems.oms.devices import DEVICES, SERVICE_POINTS, DeviceRecord, ServicePointRecord
from cimcare.systems.oms.interruptions import Interval, union

__all__ = ["WAYS", "PointWay", "WayRecord", "left_since", "note_ways", "times_below"]

_PAGE = 500


class WayRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """That a device or a point hung below these devices until an instant, nearest first.

    `point` is the point as it was, None for a device.
    """

    what: MRID
    until: datetime
    above: tuple[MRID, ...]
    point: ServicePointRecord | None = None


WAYS: Collection[WayRecord] = Collection("oms.Ways", WayRecord)
"""Found by the key `what`, and by `above` of each device above, in the order of their instants."""


class PointWay(NamedTuple):
    """A point, and when it was below a device."""

    point: ServicePointRecord
    times: tuple[Interval, ...]


async def note_ways(records: Records, ways: Iterable[WayRecord]) -> None:
    """Keep how something hung until now. Of one instant the first is kept: what came in between was for no time."""
    for way in ways:
        mrid = MRID(f"{way.what}@{way.until.isoformat()}")
        if await records.find(WAYS, mrid) is not None:
            continue
        keys = {Key("what", way.what)} | {Key("above", device) for device in way.above}
        stored = Stored(
            mrid=mrid,
            body=way,
            created_at=way.until,
            modified_at=way.until,
            keys=frozenset(keys),
        )
        await records.save(WAYS, stored)


async def times_below(
    records: Records, points: Sequence[ServicePointRecord], device: MRID, span: Interval
) -> tuple[PointWay, ...]:
    """When each of these points was below a device, or at it, within a span that has an end."""
    start, end = span
    assert end is not None
    before = await _before(records, [point.mrid for point in points], start)
    nearest = {point.device for point in points if point.device is not None}
    nearest |= {way.above[0] for ways in before.values() for way in ways if way.above}
    # Where nothing was altered these are the only look-ups.
    before |= await _before(records, sorted(nearest), start)
    found = await records.select(DEVICES, Selection(mrids=tuple(sorted(nearest)), limit=len(nearest) or 1))
    devices: dict[MRID, DeviceRecord] = {stored.mrid: stored.body for stored in found} if nearest else {}
    ways = []
    for point in points:
        times: list[Interval] = []
        for near, since, until in _segments(before.get(point.mrid, ()), point.device, start, end):
            if near is None:
                continue
            now = devices[near].path if near in devices else ()
            for above, first, last in _paths(before.get(near, ()), now, since, until):
                if device in (near, *above):
                    times.append(Interval(first, last))
        ways.append(PointWay(point, union(times)))
    return tuple(ways)


async def left_since(
    records: Records, device: MRID, since: datetime, after: MRID | None, limit: int
) -> tuple[tuple[ServicePointRecord, ...], MRID | None]:
    """Points that were below a device after an instant and have got another way since; a page of them.

    Returns: the points, some of which may be below it again, and the record after which to go on; None at the end.
    """
    wanted = Selection(keys=((Key("above", device),),), since=since, after=after, limit=limit)
    page = await records.select(WAYS, wanted)
    found: dict[MRID, ServicePointRecord] = {}
    moved = {stored.body.what for stored in page if stored.body.point is None}
    for stored in page:
        if stored.body.point is not None:
            found.setdefault(stored.body.what, stored.body.point)
    for each in sorted(moved):
        last: MRID | None = None
        while True:
            at_it = Selection(keys=((Key("device", each),),), after=last, limit=_PAGE)
            points = await records.select(SERVICE_POINTS, at_it)
            found.update((one.mrid, one.body) for one in points)
            if len(points) < _PAGE:
                break
            last = points[-1].mrid
        for one in await records.select(WAYS, Selection(keys=((Key("above", each),),), since=since, limit=_PAGE)):
            if one.body.point is not None:
                found.setdefault(one.body.what, one.body.point)
    current = await records.select(SERVICE_POINTS, Selection(mrids=tuple(found), limit=len(found) or 1))
    found.update((stored.mrid, stored.body) for stored in current if found)
    gone = found.keys() - {stored.mrid for stored in current}
    points_now = tuple(
        msgspec.structs.replace(point, device=None) if mrid in gone else point for mrid, point in found.items()
    )
    return points_now, page[-1].mrid if len(page) == limit else None


async def _before(records: Records, mrids: Sequence[MRID], since: datetime) -> dict[MRID, list[WayRecord]]:
    """How these hung before, as far as it matters after an instant, in order."""
    found: dict[MRID, list[WayRecord]] = {}
    for number in range(0, len(mrids), _PAGE):
        keys = tuple(Key("what", mrid) for mrid in mrids[number : number + _PAGE])
        wanted = Selection(keys=(keys,), since=since, limit=_PAGE)
        while True:
            page = await records.select(WAYS, wanted)
            for stored in page:
                found.setdefault(stored.body.what, []).append(stored.body)
            if len(page) < wanted.limit:
                break
            wanted = msgspec.structs.replace(wanted, after=page[-1].mrid)
    return found


def _segments(
    before: Sequence[WayRecord], now: MRID | None, start: datetime, end: datetime
) -> Iterable[tuple[MRID | None, datetime, datetime]]:
    """The nearest device of a point, from when to when."""
    for way in before:
        if way.until > start:
            yield (way.above[0] if way.above else None), start, min(way.until, end)
            start = way.until
        if start >= end:
            return
    yield now, start, end


def _paths(
    before: Sequence[WayRecord], now: tuple[MRID, ...], start: datetime, end: datetime
) -> Iterable[tuple[tuple[MRID, ...], datetime, datetime]]:
    """The devices above a device, from when to when."""
    for way in before:
        if way.until > start:
            yield way.above, start, min(way.until, end)
            start = way.until
        if start >= end:
            return
    yield now, start, end
