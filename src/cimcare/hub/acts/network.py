"""The network in the store of a hub: replaced and switched in one transaction each, with its row in the audit trail."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from datetime import datetime

import msgspec

from cimcare.exchange.audit import Action, Note
from cimcare.exchange.ports import Key, Records, Selection
from cimcare.exchange.store import Store
from cimcare.model.identity import MRID
from cimcare.model.network import DeviceKind, Network
from cimcare.systems.oms.devices import DEVICES, DeviceRecord
from cimcare.systems.oms.importing import Difference, Imported, apply_plan, plan_import
from cimcare.systems.oms.operating import Operated, operate

__all__ = ["FeederView", "each_device", "operate_device", "replace_network", "sum_feeders"]

_PAGE = 1000


class FeederView(msgspec.Struct, frozen=True, kw_only=True):
    """A feeder: its devices by kind, customers below the first ones of it, and what does not stand as it should.

    `operated` are devices that are open or closed against what they normally are, `not_fed` those without supply.
    """

    name: str
    devices: dict[DeviceKind, int]
    customers: int
    critical: int
    operated: tuple[str, ...]
    not_fed: int


async def replace_network(
    store: Store, network: Network, *, actor: str, takes_states: bool, is_dry: bool, now: datetime
) -> Imported:
    """Make this network the one that is kept (see `plan_import`).

    What differs is found before the transaction, so that an import holds up others only while it writes.

    Raises:
        InputError: The network cannot be used. Nothing is written.
        StoreError: It could not be written. Nothing is kept of it.
    """
    plan = await plan_import(store.reader.records, network, takes_states=takes_states)
    if is_dry or not plan.imported.is_change:
        return plan.imported
    async with store.transaction() as transaction:
        records = transaction.records
        while not await apply_plan(records, plan, now):  # a switch was operated meanwhile
            plan = await plan_import(records, network, takes_states=takes_states)
        done = plan.imported
        if done.is_change:
            details = f"devices: {_told(done.devices)}; points: {_told(done.points)}"
            note = Note(at=now, action=Action.NETWORK, actor=actor, subject="network", details=details)
            await transaction.audit.append(note)
    return done


def _told(difference: Difference) -> str:
    return f"{difference.added} added, {difference.changed} changed, {difference.removed} removed"


async def operate_device(store: Store, name: str, *, is_open: bool, actor: str, reason: str, now: datetime) -> Operated:
    """Open or close a device (see `operate`).

    Raises:
        InputError: REF-130, no such device, or one without contacts.
        StoreError: It could not be written. Nothing is kept of it.
    """
    async with store.transaction() as transaction:
        done = await operate(transaction.records, name, now, is_open=is_open)
        if done.changed:
            told = f"{'opened' if is_open else 'closed'}, {done.lost} customers lost supply, {done.gained} got it"
            details = "; ".join(part for part in (told, reason) if part)
            note = Note(at=now, action=Action.OPERATE, actor=actor, subject=done.device.name, details=details)
            await transaction.audit.append(note)
    return done


async def each_device(records: Records, feeder: str | None = None) -> AsyncIterator[DeviceRecord]:
    """All devices, or those of a feeder, page by page."""
    keys = ((Key("feeder", feeder),),) if feeder is not None else ()
    after = None
    while page := await records.select(DEVICES, Selection(keys=keys, after=after, limit=_PAGE)):
        for stored in page:
            yield stored.body
        after = page[-1].mrid


async def sum_feeders(records: Records) -> tuple[FeederView, ...]:
    """The feeders by name. Looks at every device, so it takes the longer the larger the network is."""
    sums: dict[str, _Sum] = {}
    feeders: dict[MRID, str] = {}
    async for device in each_device(records):
        feeders[device.mrid] = device.feeder
        sums.setdefault(device.feeder, _Sum()).add(device)
    return tuple(sums[name].view(name, feeders) for name in sorted(sums))


class _Sum:
    """What was seen of one feeder."""

    def __init__(self) -> None:
        self._kinds: Counter[DeviceKind] = Counter()
        self._below: list[tuple[MRID | None, int, int]] = []
        self._operated: list[str] = []
        self._not_fed = 0

    def add(self, device: DeviceRecord) -> None:
        """One more device of the feeder."""
        self._kinds[device.kind] += 1
        self._below.append((device.upstream, device.customers, device.critical))
        if device.is_open != device.is_normally_open:
            self._operated.append(device.name)
        self._not_fed += not device.is_fed

    def view(self, name: str, feeders: Mapping[MRID, str]) -> FeederView:
        """All of it. Customers are those below the devices that no other one of the feeder feeds."""
        tops = [below for below in self._below if below[0] is None or feeders.get(below[0]) != name]
        return FeederView(
            name=name,
            devices={kind: self._kinds[kind] for kind in DeviceKind if kind in self._kinds},
            customers=sum(customers for _, customers, _ in tops),
            critical=sum(critical for _, _, critical in tops),
            operated=tuple(sorted(self._operated)),
            not_fed=self._not_fed,
        )
