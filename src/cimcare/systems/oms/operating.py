"""A device opened or closed: the parts of the network that it touches are traced again, and what has changed is saved.

The way of supply is kept with each device, so it must be made anew for all whose way has changed, and for no other.
"""

from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import NamedTuple, TypeVar

import msgspec

from cimcare.errors import Finding, InputError, finding_of
from cimcare.exchange.ports import Collection, Key, Records, Selection, Stored
from cimcare.model.identity import MRID
from cimcare.systems.oms.devices import (
    DEVICES,
    SERVICE_POINTS,
    DeviceRecord,
    device_keys,
    find_device,
    point_keys,
)
from cimcare.systems.oms.importing import raise_revision
from cimcare.systems.oms.parts import PARTS, NetworkPart, Section, Stand, Standing, stand
from cimcare.systems.oms.ways import WayRecord, note_ways

__all__ = ["Operated", "operate"]

BodyT = TypeVar("BodyT", bound=msgspec.Struct)

_CLAUSE = "our reading of a radial network"
_MOST_POINTS = 1_000_000
"""Points below one device: as many as there are."""

_MOST_NAMED = 20
"""Devices of a loop that a finding names."""

_Parts = dict[MRID, NetworkPart]


class Operated(msgspec.Struct, frozen=True, kw_only=True):
    """What came of opening or closing a device.

    `changed` counts the devices whose way of supply, counts or state are others now, the device included. `lost` and
    `gained` count customers without supply and with supply who were not so before. `findings` warn of loops.
    """

    device: DeviceRecord
    changed: int
    lost: int = 0
    gained: int = 0
    findings: tuple[Finding, ...] = ()


async def operate(records: Records, name: str, now: datetime, *, is_open: bool) -> Operated:
    """Open or close a device.

    Args:
        records: Objects of the store, in one transaction.
        name: Name or mRID of the device.
        now: An aware instant in UTC.
        is_open: Whether it is to be open.

    Raises:
        InputError: REF-130, no such device, or one that cannot be opened.
    """
    stored = await find_device(records, name)
    if stored is None or not stored.body.kind.has_contacts:
        found = "no such device" if stored is None else f"a {stored.body.kind}"
        accepted = "the name or mRID of a breaker, recloser, sectionalizer, switch or fuse of the network"
        raise InputError(finding_of("REF-130", f"device {name}", found, accepted, _CLAUSE))
    if stored.body.is_open is is_open:
        return Operated(device=stored.body, changed=0)
    own, around = await _load_parts(records, stored.body)
    before = stand((*own.values(), *around.values()))
    own = {mrid: _with_state(part, stored.mrid, is_open=is_open) for mrid, part in own.items()}
    after = stand((*own.values(), *around.values()))
    change = _Change(records, now, tuple(own.values()), before, after)
    await change.save_parts(stored.body.parts)
    changed = await change.save_devices()
    await change.save_points()
    await raise_revision(records, now)
    current = await records.find(DEVICES, stored.mrid)
    assert current is not None  # it was changed in this transaction
    lost, gained = change.count_supply()
    findings = tuple([finding async for finding in change.find_loops()])
    return Operated(device=current.body, changed=changed, lost=lost, gained=gained, findings=findings)


async def _load_parts(records: Records, device: DeviceRecord) -> tuple[_Parts, _Parts]:
    """Parts in which something may change, and those around them, with which they share ties that are open.

    What is connected now changes together. A part without source of its own changes with each of its neighbours, for
    its way of supply goes through one of them, and leads over to another one as they change.
    """
    own: _Parts = {}
    around: _Parts = {}
    wanted = list(device.parts)
    while wanted:
        mrid = wanted.pop()
        part = around.pop(mrid, None) or await _load_part(records, mrid)
        if part is None or mrid in own:
            continue
        own[mrid] = part
        for link in part.links:
            for beyond in link.beyond:
                if beyond in own:
                    continue
                other = around.get(beyond) or await _load_part(records, beyond)
                if other is None:
                    continue
                around[beyond] = other
                if not link.is_open or not part.has_source or not other.has_source:
                    wanted.append(beyond)
    return own, around


async def _load_part(records: Records, mrid: MRID) -> NetworkPart | None:
    stored = await records.find(PARTS, mrid)
    return stored.body if stored is not None else None


def _with_state(part: NetworkPart, device: MRID, *, is_open: bool) -> NetworkPart:
    links = tuple(msgspec.structs.replace(one, is_open=is_open) if one.mrid == device else one for one in part.links)
    return msgspec.structs.replace(part, links=links)


class _Change(NamedTuple):
    """What is to be saved: parts as they are now, and how the network stood and stands."""

    records: Records
    now: datetime
    parts: tuple[NetworkPart, ...]
    before: Stand
    after: Stand

    async def save_parts(self, mrids: tuple[MRID, ...]) -> None:
        """Save those of the parts that hold the device."""
        for part in self.parts:
            if part.mrid in mrids:
                stored = await self.records.find(PARTS, part.mrid)
                assert stored is not None  # it was read in this transaction
                await self._save(PARTS, stored, part, stored.keys)

    async def save_devices(self) -> int:
        """Save the devices that stand otherwise than before; how many."""
        mrids = dict.fromkeys(link.mrid for part in self.parts for link in part.links)
        changed = tuple(mrid for mrid in mrids if self.before.devices[mrid] != self.after.devices[mrid])
        for stored in await self.records.select(DEVICES, Selection(mrids=changed, limit=len(changed))):
            standing = self.after.devices[stored.mrid]
            if standing.path != stored.body.path:
                await note_ways(self.records, [WayRecord(what=stored.mrid, until=self.now, above=stored.body.path)])
            members = {name: getattr(standing, name) for name in Standing.__struct_fields__}
            body = msgspec.structs.replace(stored.body, **members)
            await self._save(DEVICES, stored, body, device_keys(body))
        return len(changed)

    async def save_points(self) -> None:
        """Give the points of sections that another device feeds now their new device."""
        for section in self._sections():
            old, new = self.before.feeders[section.name], self.after.feeders[section.name]
            if old == new or not section.points:
                continue
            key = Key("device", old) if old is not None else Key("section", section.name)
            selection = Selection(keys=((key,),), limit=_MOST_POINTS)
            for stored in await self.records.select(SERVICE_POINTS, selection):
                if stored.body.section == section.name:
                    above = (old, *self.before.devices[old].path) if old is not None else ()
                    way = WayRecord(what=stored.mrid, until=self.now, above=above, point=stored.body)
                    await note_ways(self.records, [way])
                    body = msgspec.structs.replace(stored.body, device=new)
                    await self._save(SERVICE_POINTS, stored, body, point_keys(body))

    def count_supply(self) -> tuple[int, int]:
        """Customers who have lost their supply, and who have got it."""
        lost = gained = 0
        for section in self._sections():
            customers = sum(each * number for each, number in section.points)
            was, is_now = self.before.is_fed[section.name], self.after.is_fed[section.name]
            lost += customers if was and not is_now else 0
            gained += customers if is_now and not was else 0
        return lost, gained

    async def find_loops(self) -> AsyncIterator[Finding]:
        """REF-126 for each loop that was not there before."""
        for sort, old, new in (
            ("a loop", self.before.loops, self.after.loops),
            ("a way between two sources", self.before.between_sources, self.after.between_sources),
        ):
            known = {frozenset(way) for way in old}
            for way in new:
                if frozenset(way) in known:
                    continue
                named = way[:_MOST_NAMED]
                found = await self.records.select(DEVICES, Selection(mrids=named, limit=_MOST_NAMED))
                names = {stored.mrid: stored.body.name for stored in found}
                shown = ", ".join(names.get(mrid, mrid) for mrid in named) + (", ..." if named != way else "")
                text = f"{sort} of {len(way)} devices: {shown}"
                accepted = "one way from each customer to a source; open one of them"
                yield finding_of("REF-126", f"device {names.get(way[0], way[0])}", text, accepted, _CLAUSE)

    def _sections(self) -> Iterator[Section]:
        return (section for part in self.parts for section in part.sections)

    async def _save(
        self, collection: Collection[BodyT], stored: Stored[BodyT], body: BodyT, keys: frozenset[Key]
    ) -> None:
        altered = msgspec.structs.replace(stored, body=body, keys=keys, modified_at=self.now)
        await self.records.save(collection, altered)
