"""A network made to be the one that is kept, by writing what differs and nothing else.

All of it belongs into one transaction. What the file does not have any more is removed; incidents keep the names of
their devices.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import TypeVar

import msgspec

from cimcare.errors import Finding, InputError
from cimcare.exchange.ports import Collection, Key, Records, Selection, Stored
from cimcare.model.identity import MRID
from cimcare.model.network import Network
from cimcare.systems.oms.devices import DEVICES, SERVICE_POINTS, ServicePointRecord, device_keys, point_keys
from cimcare.systems.oms.parts import PARTS
from cimcare.systems.oms.wiring import check_network, wire

__all__ = ["Difference", "Imported", "has_network", "import_network"]

_PAGE = 1000
_MOST_EXAMPLES = 10
"""Names of each kind of difference that are told."""

BodyT = TypeVar("BodyT", bound=msgspec.Struct)


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """How many objects of a sort are new, altered, gone and as they were; with the names of some of each."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    same: int = 0
    examples: Mapping[str, tuple[str, ...]] = {}


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What an import did, or would do.

    `kept` are names of devices that stay as they stand although the file has them otherwise.
    """

    devices: Difference
    points: Difference
    parts: Difference
    kept: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def is_change(self) -> bool:
        """Whether anything differs."""
        return any(one.added or one.changed or one.removed for one in (self.devices, self.points, self.parts))


async def has_network(records: Records) -> bool:
    """Whether any network is known."""
    return bool(await records.select(DEVICES, Selection(limit=1)))


async def import_network(
    records: Records, network: Network, now: datetime, *, takes_states: bool = False, is_dry: bool = False
) -> Imported:
    """Make this network the one that is kept.

    A device that is known already stays open or closed, since a file seldom knows what was operated today.

    Args:
        records: Objects of the store, in one transaction.
        network: The whole network, not a piece of it.
        now: An aware instant in UTC.
        takes_states: Devices stand as the file says, also those that are known.
        is_dry: Nothing is written.

    Raises:
        InputError: The network cannot be used (REF-122, REF-124, REF-129). Nothing is written.
    """
    for finding in check_network(network):
        raise InputError(finding)
    states: dict[MRID, bool] = {}
    async for stored in _all(records, DEVICES):
        states[stored.mrid] = stored.body.is_open
    kept = () if takes_states else tuple(_that_differ(network, states))
    wired = wire(network, {} if takes_states else states)
    writing = _Writing(records, now, is_dry=is_dry)
    return Imported(
        devices=await writing.replace(DEVICES, wired.devices, device_keys, lambda device: device.name),
        points=await writing.replace(SERVICE_POINTS, wired.points(), point_keys, _name_of_point),
        parts=await writing.replace(PARTS, wired.parts, lambda _: frozenset(), lambda part: part.mrid),
        kept=kept,
        findings=wired.findings,
    )


def _that_differ(network: Network, states: Mapping[MRID, bool]) -> Iterator[str]:
    return (device.name for device in network.devices if states.get(device.mrid, device.is_open) != device.is_open)


def _name_of_point(point: ServicePointRecord) -> str:
    return point.names[0].name if point.names else point.mrid


async def _all(records: Records, collection: Collection[BodyT]) -> AsyncIterator[Stored[BodyT]]:
    after = None
    while page := await records.select(collection, Selection(after=after, limit=_PAGE)):
        for stored in page:
            yield stored
        after = page[-1].mrid


class _Tally:
    """Counts of one sort of objects, and the names of the first ones of each kind."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(("added", "changed", "removed", "same"), 0)
        self.examples: dict[str, list[str]] = {"added": [], "changed": [], "removed": []}

    def count(self, kind: str, name: str) -> None:
        """One more of this kind."""
        self.counts[kind] += 1
        examples = self.examples.get(kind)
        if examples is not None and len(examples) < _MOST_EXAMPLES:
            examples.append(name)

    def difference(self) -> Difference:
        """All that was counted."""
        return Difference(
            **self.counts, examples={kind: tuple(names) for kind, names in self.examples.items() if names}
        )


class _Writing:
    """Replaces what a collection holds."""

    def __init__(self, records: Records, now: datetime, *, is_dry: bool) -> None:
        self._records = records
        self._now = now
        self._is_dry = is_dry

    async def replace(
        self,
        collection: Collection[BodyT],
        wanted: Iterable[BodyT],
        keys_of: Callable[[BodyT], frozenset[Key]],
        name_of: Callable[[BodyT], str],
    ) -> Difference:
        """Save what is new or altered, drop what is gone."""
        tally = _Tally()
        is_empty = not await self._records.select(collection, Selection(limit=1))
        seen: set[str] = set()
        each = iter(wanted)
        while page := list(islice(each, _PAGE)):
            mrids = [_mrid_of(body) for body in page]
            seen.update(mrids)
            known: dict[MRID, Stored[BodyT]] = {}
            if not is_empty:
                found = await self._records.select(collection, Selection(mrids=tuple(mrids), limit=_PAGE))
                known = {stored.mrid: stored for stored in found}
            for mrid, body in zip(mrids, page, strict=True):
                before = known.get(mrid)
                if before is not None and before.body == body:
                    tally.count("same", name_of(body))
                    continue
                tally.count("added" if before is None else "changed", name_of(body))
                await self._save(collection, mrid, body, keys_of(body), before)
        if not is_empty:
            gone = [
                (one.mrid, name_of(one.body)) async for one in _all(self._records, collection) if one.mrid not in seen
            ]
            for mrid, name in gone:
                tally.count("removed", name)
                if not self._is_dry:
                    await self._records.drop(collection, mrid)
        return tally.difference()

    async def _save(
        self,
        collection: Collection[BodyT],
        mrid: MRID,
        body: BodyT,
        keys: frozenset[Key],
        before: Stored[BodyT] | None,
    ) -> None:
        if self._is_dry:
            return
        created_at = before.created_at if before is not None else self._now
        stored = Stored(mrid=mrid, body=body, created_at=created_at, modified_at=self._now, keys=keys)
        await self._records.save(collection, stored)


def _mrid_of(body: msgspec.Struct) -> MRID:
    mrid: MRID = getattr(body, "mrid")  # noqa: B009 - each record of the network has one
    return mrid
