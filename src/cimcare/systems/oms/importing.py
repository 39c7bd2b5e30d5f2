"""A network made to be the one that is kept, by writing what differs and nothing else.

It is planned by reading, which may take long and holds up nobody, and then done in one transaction, in which a count of
what has altered the network tells whether the plan still holds. What the file does not have any more is removed;
incidents keep the names of their devices.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Generic, NamedTuple, TypeVar

import msgspec

from cimcare.errors import Finding, InputError
from cimcare.exchange.ports import Collection, Key, Records, Selection, Stored
from cimcare.model.identity import MRID
from cimcare.model.network import Network
from cimcare.systems.oms.devices import (
    DEVICES,
    SERVICE_POINTS,
    DeviceRecord,
    ServicePointRecord,
    device_keys,
    point_keys,
)
from cimcare.systems.oms.parts import PARTS, NetworkPart
from cimcare.systems.oms.ways import WayRecord, note_ways
from cimcare.systems.oms.wiring import Wired, check_network, wire

__all__ = [
    "REVISIONS",
    "Changes",
    "Difference",
    "Imported",
    "Plan",
    "apply_plan",
    "customers_of",
    "find_customers",
    "find_revision",
    "has_network",
    "import_network",
    "plan_import",
    "raise_revision",
]


class _Revision(msgspec.Struct, frozen=True, kw_only=True):
    """How often the network was altered, and how many customers it had when it was imported.

    Switching moves customers from one device to another and makes none; None before the first import of this release.
    """

    number: int
    customers: int | None = None


REVISIONS: Collection[_Revision] = Collection("oms.NetworkRevisions", _Revision)
"""One record, under `network`."""

_ONLY = MRID("network")
_PAGE = 1000
_MOST_EXAMPLES = 10
"""Names of each kind of difference that are told."""

BodyT = TypeVar("BodyT", bound=msgspec.Struct)
WantedT = TypeVar("WantedT", bound=msgspec.Struct)


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


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be written of one collection: which objects are to be saved, and which dropped."""

    difference: Difference
    saves: frozenset[MRID]
    drops: tuple[MRID, ...]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What an import is to write, and `revision`, the count of changes of the network that it was made for."""

    revision: int
    wired: Wired
    devices: Changes
    points: Changes
    parts: Changes
    imported: Imported


async def has_network(records: Records) -> bool:
    """Whether any network is known."""
    return bool(await records.select(DEVICES, Selection(limit=1)))


async def import_network(records: Records, network: Network, now: datetime, *, takes_states: bool = False) -> Imported:
    """Plan and do an import in one transaction (see `plan_import`)."""
    plan = await plan_import(records, network, takes_states=takes_states)
    assert await apply_plan(records, plan, now)  # nothing else happens in this transaction
    return plan.imported


async def plan_import(records: Records, network: Network, *, takes_states: bool = False) -> Plan:
    """What is to be written so that this network is the one that is kept. Writes nothing.

    A device that is known already stays open or closed, since a file seldom knows what was operated today.

    Args:
        records: Objects of the store.
        network: The whole network, not a piece of it.
        takes_states: Devices stand as the file says, also those that are known.

    Raises:
        InputError: The network cannot be used (REF-122, REF-124, REF-129).
    """
    for finding in check_network(network):
        raise InputError(finding)
    revision = await find_revision(records)
    states: dict[MRID, bool] = {}
    async for stored in _all(records, DEVICES):
        states[stored.mrid] = stored.body.is_open
    kept = () if takes_states else tuple(_that_differ(network, states))
    wired = wire(network, {} if takes_states else states)
    devices = await _compare(records, _DEVICES, _by_mrid(wired.devices), _same)
    points = await _compare(records, _POINTS, _by_mrid(network.points), wired.point_of)
    parts = await _compare(records, _PARTS, _by_mrid(wired.parts), _same)
    imported = Imported(
        devices=devices.difference,
        points=points.difference,
        parts=parts.difference,
        kept=kept,
        findings=wired.findings,
    )
    return Plan(revision=revision, wired=wired, devices=devices, points=points, parts=parts, imported=imported)


async def apply_plan(records: Records, plan: Plan, now: datetime) -> bool:
    """Do what was planned; False, and nothing done, if the network was altered since.

    Args:
        records: Objects of the store, in one transaction.
        plan: The plan.
        now: An aware instant in UTC.
    """
    if await find_revision(records) != plan.revision:
        return False
    if plan.imported.is_change:
        # Points come first, since how they hung follows from devices as they were.
        await _write(records, _POINTS, plan.wired.points(), plan.points, now)
        await _write(records, _DEVICES, plan.wired.devices, plan.devices, now)
        await _write(records, _PARTS, plan.wired.parts, plan.parts, now)
        await raise_revision(records, now, customers=customers_of(plan.wired.devices))
    return True


def customers_of(devices: Iterable[DeviceRecord]) -> int:
    """Customers below these devices, each once: those that have no other device above count all that are below."""
    return sum(device.customers for device in devices if device.upstream is None)


async def find_revision(records: Records) -> int:
    """How often the network was altered."""
    stored = await records.find(REVISIONS, _ONLY)
    return stored.body.number if stored is not None else 0


async def find_customers(records: Records) -> int | None:
    """Customers of the network, as they were counted when it was imported; None if they were not."""
    stored = await records.find(REVISIONS, _ONLY)
    return stored.body.customers if stored is not None else None


async def raise_revision(records: Records, now: datetime, *, customers: int | None = None) -> None:
    """Count that the network was altered, so that no plan made before is carried out; `customers` if these are new."""
    if customers is None:
        customers = await find_customers(records)
    body = _Revision(number=await find_revision(records) + 1, customers=customers)
    await records.save(REVISIONS, Stored(mrid=_ONLY, body=body, created_at=now, modified_at=now))


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
        examples = {kind: tuple(names) for kind, names in self.examples.items() if names}
        return Difference(**self.counts, examples=examples)


class _Sort(NamedTuple, Generic[BodyT]):
    """A sort of objects: where they are kept, under which keys, and how they are called."""

    collection: Collection[BodyT]
    keys_of: Callable[[BodyT], frozenset[Key]]
    name_of: Callable[[BodyT], str]
    leave: Callable[[Records, Sequence[tuple[BodyT, BodyT | None]], datetime], Awaitable[None]]
    """What is to be kept of objects as they were, each with what it is from now on; None if it is gone."""


async def _leave_devices(
    records: Records, altered: Sequence[tuple[DeviceRecord, DeviceRecord | None]], now: datetime
) -> None:
    """How devices hung that hang otherwise now, or not any more."""
    await note_ways(
        records,
        [
            WayRecord(what=old.mrid, until=now, above=old.path)
            for old, new in altered
            if new is None or new.path != old.path
        ],
    )


async def _leave_points(
    records: Records, altered: Sequence[tuple[ServicePointRecord, ServicePointRecord | None]], now: datetime
) -> None:
    """How points hung that hang at another device now, or have left the network."""
    moved = [old for old, new in altered if old.device is not None and (new is None or new.device != old.device)]
    mrids = tuple({old.device for old in moved if old.device is not None})
    found = await records.select(DEVICES, Selection(mrids=mrids, limit=len(mrids))) if mrids else ()
    paths = {stored.mrid: (stored.mrid, *stored.body.path) for stored in found}
    await note_ways(
        records,
        [
            WayRecord(what=old.mrid, until=now, above=paths.get(old.device, ()), point=old)
            for old in moved
            if old.device is not None
        ],
    )


async def _leave_parts(
    records: Records, altered: Sequence[tuple[NetworkPart, NetworkPart | None]], now: datetime
) -> None:
    """Of parts nothing is kept: they say how to trace, and not what was."""


_DEVICES = _Sort(DEVICES, device_keys, lambda device: device.name, _leave_devices)
_POINTS = _Sort(SERVICE_POINTS, point_keys, _name_of_point, _leave_points)
_PARTS: _Sort[NetworkPart] = _Sort(PARTS, lambda _: frozenset(), lambda part: part.mrid, _leave_parts)


async def _compare(
    records: Records, sort: _Sort[BodyT], wanted: Mapping[MRID, WantedT], make: Callable[[WantedT], BodyT]
) -> Changes:
    """What is new or altered, and what is gone. What is kept is read once, in the order in which it lies there."""
    tally = _Tally()
    seen: set[MRID] = set()
    saves: set[MRID] = set()
    drops: list[MRID] = []
    async for stored in _all(records, sort.collection):
        source = wanted.get(stored.mrid)
        if source is None:
            tally.count("removed", sort.name_of(stored.body))
            drops.append(stored.mrid)
            continue
        seen.add(stored.mrid)
        body = make(source)
        is_same = body == stored.body and sort.keys_of(body) == stored.keys
        tally.count("same" if is_same else "changed", sort.name_of(body))
        if not is_same:
            saves.add(stored.mrid)
    for mrid, source in wanted.items():
        if mrid not in seen:
            tally.count("added", sort.name_of(make(source)))
            saves.add(mrid)
    return Changes(difference=tally.difference(), saves=frozenset(saves), drops=tuple(drops))


def _by_mrid(items: Iterable[WantedT]) -> dict[MRID, WantedT]:
    return {_mrid_of(item): item for item in items}


def _same(body: BodyT) -> BodyT:
    return body


async def _write(
    records: Records, sort: _Sort[BodyT], wanted: Iterable[BodyT], changes: Changes, now: datetime
) -> None:
    collection, keys_of, _, leave = sort
    for page in _pages(body for body in wanted if _mrid_of(body) in changes.saves):
        found: tuple[Stored[BodyT], ...] = ()
        if changes.difference.changed:
            mrids = tuple(_mrid_of(body) for body in page)
            found = await records.select(collection, Selection(mrids=mrids, limit=_PAGE))
        known = {stored.mrid: stored.created_at for stored in found}
        bodies = {_mrid_of(body): body for body in page}
        await leave(records, [(stored.body, bodies[stored.mrid]) for stored in found], now)
        await records.save_all(
            collection,
            [
                Stored(mrid=mrid, body=body, created_at=known.get(mrid, now), modified_at=now, keys=keys_of(body))
                for mrid, body in bodies.items()
            ],
        )
    for start in range(0, len(changes.drops), _PAGE):
        mrids = changes.drops[start : start + _PAGE]
        gone = await records.select(collection, Selection(mrids=mrids, limit=_PAGE))
        await leave(records, [(stored.body, None) for stored in gone], now)
        for mrid in mrids:
            await records.drop(collection, mrid)


def _pages(bodies: Iterable[BodyT]) -> Iterator[list[BodyT]]:
    each = iter(bodies)
    while page := list(islice(each, _PAGE)):
        yield page


def _mrid_of(body: msgspec.Struct) -> MRID:
    mrid: MRID = getattr(body, "mrid")  # noqa: B009 - whatever belongs to a network has one
    return mrid
