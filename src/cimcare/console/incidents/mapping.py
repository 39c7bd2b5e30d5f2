"""What the map shows: a bounded part of the network from the source down, and how each device and premises stands.

Everything is found by key from the devices above, so that a drawing costs the same in a town and in a country.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

import msgspec

from cimcare.console.incidents.board import Row
from cimcare.exchange.ports import Key, Records, Selection
from cimcare.model.identity import MRID
from cimcare.model.network import DeviceKind, Position
from cimcare.systems.oms.devices import DEVICES, SERVICE_POINTS, DeviceRecord, ServicePointRecord, find_device
from cimcare.systems.oms.kinds import REPORTS
from cimcare.systems.oms.parts import PARTS
from cimcare.systems.oms.places import key_of_point
from cimcare.systems.oms.restored import INTERRUPTIONS

__all__ = ["MOST_DEVICES", "MOST_POINTS", "Node", "Spot", "Supply", "Town", "look_at_map"]

MOST_DEVICES = 260
"""Devices of one drawing."""

MOST_POINTS = 420
"""Premises that one drawing shows singly; beyond that, and beyond 16 at one device, it shows their number."""

_MOST_AT_ONE = 16
_MOST_PARTS = 12
_MOST_READ = 1000


class Supply(StrEnum):
    """How something stands. The words are those of the legend."""

    SUPPLIED = "supplied"
    OUT = "out, confirmed"
    SUSPECTED = "out, suspected"
    REPORTED = "reported"
    BACK = "back again"


class Spot(msgspec.Struct, frozen=True, kw_only=True):
    """One of the premises, or with `number` above 1 so many customers at one device that are not shown singly."""

    label: str
    supply: Supply
    number: int = 1
    is_reported: bool = False
    is_critical: bool = False
    position: Position | None = None


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A device of the drawing. `row` is its open incident; `hidden` customers are below devices that are not drawn."""

    device: DeviceRecord
    supply: Supply
    row: Row | None
    children: tuple["Node", ...]
    spots: tuple[Spot, ...]
    hidden: int


class Town(msgspec.Struct, frozen=True, kw_only=True):
    """One drawing. `top` is the device from which it goes down, None for all sources; `above` the way up from it.

    `rows` are the open incidents that it shows, `elsewhere` those whose place has no device or is not in it.
    """

    roots: tuple[Node, ...]
    top: DeviceRecord | None
    above: tuple[DeviceRecord, ...]
    rows: tuple[Row, ...]
    elsewhere: tuple[Row, ...]
    has_more: bool

    def nodes(self) -> tuple[Node, ...]:
        """All devices, each before those that it feeds."""
        found: list[Node] = []
        waiting = list(reversed(self.roots))
        while waiting:
            node = waiting.pop()
            found.append(node)
            waiting.extend(reversed(node.children))
        return tuple(found)


async def look_at_map(records: Records, rows: Sequence[Row], *, root: str = "", feeder: str = "") -> Town | None:
    """A drawing of the network below a device, of a feeder, or from the sources on; None if there is no such thing.

    Args:
        records: Objects of the store.
        rows: Open incidents.
        root: mRID or name of the device from which the drawing goes down.
        feeder: Name of the feeder that is drawn.

    Raises:
        StoreError: The database cannot be read.
    """
    top = await _find_top(records, root, feeder)
    if top is None and (root or feeder):
        return None
    starts, has_more = ((top,), False) if top is not None else await _find_sources(records)
    affected = dict.fromkeys(mrid for row in rows if row.device is not None for mrid in (row.device, *row.above))
    below = await _walk(records, starts, tuple(affected))
    drawn = [*starts, *(one for group in below.values() for one in group)]
    points = await _find_points(records, drawn)
    above = await _find_above(records, top)
    by_device = {row.device: row for row in sorted(rows, key=lambda row: row.is_planned) if row.device is not None}
    painter = _Painter(by_device, below, points, await _find_words(records, rows, points, by_device))
    kept_out = next((by_device[one.mrid] for one in above if one.mrid in by_device), None)
    roots = tuple(painter.paint(one, kept_out) for one in starts)
    shown = {device.mrid for device in drawn}
    own = tuple(row for row in rows if row.device in shown or (kept_out is not None and row.mrid == kept_out.mrid))
    return Town(
        roots=roots,
        top=top,
        above=above,
        rows=own,
        elsewhere=tuple(row for row in rows if row not in own) if top is None else (),
        has_more=has_more,
    )


async def _find_top(records: Records, root: str, feeder: str) -> DeviceRecord | None:
    if root:
        stored = await find_device(records, root)
        return stored.body if stored is not None else None
    if not feeder:
        return None
    found = await records.select(DEVICES, Selection(keys=((Key("feeder", feeder),),), limit=1))
    if not found:
        return None
    own = [one for one in await _find_above(records, found[0].body) if one.feeder == feeder]
    return own[-1] if own else found[0].body


async def _find_above(records: Records, device: DeviceRecord | None) -> tuple[DeviceRecord, ...]:
    if device is None or not device.path:
        return ()
    found = await records.select(DEVICES, Selection(mrids=device.path, limit=len(device.path)))
    by_mrid = {stored.mrid: stored.body for stored in found}
    return tuple(by_mrid[mrid] for mrid in device.path if mrid in by_mrid)


async def _find_sources(records: Records) -> tuple[tuple[DeviceRecord, ...], bool]:
    """The sources of the first parts of the network, and whether it has more parts."""
    parts = await records.select(PARTS, Selection(limit=_MOST_PARTS + 1))
    mrids = tuple(
        link.mrid for part in parts[:_MOST_PARTS] for link in part.body.links if link.kind is DeviceKind.SOURCE
    )[:_MOST_PARTS]
    found = await records.select(DEVICES, Selection(mrids=mrids, limit=len(mrids))) if mrids else ()
    return tuple(stored.body for stored in found), len(parts) > _MOST_PARTS


async def _walk(
    records: Records, starts: Sequence[DeviceRecord], affected: Sequence[MRID]
) -> dict[MRID, list[DeviceRecord]]:
    """The devices below by the one that feeds them, level by level until there is no room.

    Where there is no room for all of a level, those with an outage at or below them go first.
    """
    wanted = tuple(affected[:_MOST_READ])
    known = await records.select(DEVICES, Selection(mrids=wanted, limit=len(wanted))) if wanted else ()
    below: dict[MRID, list[DeviceRecord]] = {}
    room, level = MOST_DEVICES - len(starts), list(starts)
    while level and room > 0:
        above = {one.mrid for one in level}
        first = [one.body for one in known if one.body.upstream in above]
        urgent = {one.mrid for one in first}
        keys = tuple(Key("upstream", mrid) for mrid in sorted(above))
        page = await records.select(DEVICES, Selection(keys=(keys,), limit=room + len(first)))
        level = [*first, *(one.body for one in page if one.mrid not in urgent)][:room]
        room -= len(level)
        for one in level:
            assert one.upstream is not None  # it was found by that
            below.setdefault(one.upstream, []).append(one)
    for group in below.values():
        group.sort(key=lambda one: one.name)
    return below


async def _find_points(records: Records, drawn: Sequence[DeviceRecord]) -> dict[MRID, list[ServicePointRecord]]:
    """The premises of each device, as far as they are to be shown singly."""
    few = [one for one in drawn if 0 < one.direct <= _MOST_AT_ONE]
    if not few or sum(one.direct for one in few) > MOST_POINTS:
        return {}
    keys = tuple(Key("device", one.mrid) for one in few)
    found: dict[MRID, list[ServicePointRecord]] = {}
    for stored in await records.select(SERVICE_POINTS, Selection(keys=(keys,), limit=MOST_POINTS)):
        if stored.body.device is not None:
            found.setdefault(stored.body.device, []).append(stored.body)
    return found


class _Words(msgspec.Struct, frozen=True):
    """Points of which somebody has reported, and pairs of an incident and a point that has supply again."""

    reported: frozenset[MRID]
    back: frozenset[str]


async def _find_words(
    records: Records,
    rows: Sequence[Row],
    points: Mapping[MRID, Sequence[ServicePointRecord]],
    by_device: Mapping[MRID, Row],
) -> _Words:
    every = [point for group in points.values() for point in group]
    if not every:
        return _Words(frozenset(), frozenset())
    keys = {MRID(key_of_point(point)): point.mrid for point in every}
    keys.update((point.location_mrid, point.mrid) for point in every if point.location_mrid is not None)
    is_open = {row.mrid for row in rows}
    found = await records.select(REPORTS, Selection(mrids=tuple(keys), limit=len(keys)))
    reported = {keys[one.mrid] for one in found if one.body.incident in is_open and one.body.is_dark}
    incidents = {row.mrid for row in by_device.values() if row.restored}
    back: set[str] = set()
    for incident in sorted(incidents)[:_MOST_PARTS]:
        wanted = tuple(MRID(f"{incident}/{point.mrid}") for point in every)
        known = await records.select(INTERRUPTIONS, Selection(mrids=wanted, limit=len(wanted)))
        back.update(one.mrid for one in known if one.body.ended_at is not None)
    return _Words(frozenset(reported), frozenset(back))


class _Painter:
    """Says of each device and each of the premises how it stands."""

    def __init__(
        self,
        rows: Mapping[MRID, Row],
        below: Mapping[MRID, Sequence[DeviceRecord]],
        points: Mapping[MRID, Sequence[ServicePointRecord]],
        words: _Words,
    ) -> None:
        self._rows = rows
        self._below = below
        self._points = points
        self._words = words

    def paint(self, device: DeviceRecord, kept_out: Row | None) -> Node:
        """A device and all below it; `kept_out` is the nearest outage above."""
        row = self._rows.get(device.mrid)
        by = row or kept_out
        supply = Supply.SUPPLIED
        if by is not None:
            supply = Supply.OUT if by.certainty == "confirmed" else Supply.SUSPECTED
        elif not device.is_fed:
            supply = Supply.OUT
        fed = self._below.get(device.mrid, ())
        return Node(
            device=device,
            supply=supply,
            row=row,
            children=tuple(self.paint(one, by) for one in fed),
            spots=tuple(self._spots(device, by, supply)),
            hidden=max(0, device.customers - device.direct - sum(one.customers for one in fed)),
        )

    def _spots(self, device: DeviceRecord, by: Row | None, supply: Supply) -> Iterable[Spot]:
        points = self._points.get(device.mrid)
        if points is None:
            if device.direct:
                yield Spot(label=f"{device.direct} customers", supply=supply, number=device.direct)
            return
        for point in points:
            named = (*point.location_names, *point.names)
            label = named[0].name if named else str(point.mrid)
            is_reported = point.mrid in self._words.reported
            own = supply
            if by is not None and f"{by.mrid}/{point.mrid}" in self._words.back:
                own = Supply.BACK
            elif is_reported and supply is Supply.SUPPLIED:
                own = Supply.REPORTED
            yield Spot(
                label=label,
                supply=own,
                is_reported=is_reported,
                is_critical=point.is_critical,
                position=point.position,
            )
