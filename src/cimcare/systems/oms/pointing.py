"""For whom a word about an outage speaks: points that are named, those below its device, and those that are not.

Source: guarantee G12.
"""

from datetime import datetime

from cimcare.errors import Finding
from cimcare.exchange.ports import Key, Selection, ServingContext, Stored
from cimcare.model.incident import Incident, UsagePointIdentity
from cimcare.systems.identity import labels_of, lookup_keys, mrid_of
from cimcare.systems.objects import Said
from cimcare.systems.oms import refusals
from cimcare.systems.oms.devices import DEVICES, DeviceRecord, ServicePointRecord, find_supply
from cimcare.systems.oms.incidents import IncidentBook
from cimcare.systems.oms.kinds import ExtentRecord
from cimcare.systems.oms.restored import Evidence, EvidenceKind, count_lacking, outages_above, outages_below
from cimcare.systems.oms.restoring import Restorer, is_later

__all__ = ["Pointing"]


class Pointing:
    """Finds out who is meant, and restores points that somebody names."""

    def __init__(self, context: ServingContext, book: IncidentBook, restorer: Restorer) -> None:
        self._records = context.records
        self._book = book
        self._restorer = restorer

    async def excepted(self, incident: Stored[Incident], at: datetime) -> tuple[ExtentRecord, ...]:
        """Outages below the device of an incident that had begun then and go on."""
        extent = await self._book.extent(incident.mrid)
        if extent.device is None:
            return ()
        return await outages_below(self._records, extent.device, but=incident.mrid, since_before=at)

    async def kept_out(self, incident: Stored[Incident], at: datetime) -> Stored[Incident] | None:
        """An open outage above the device of an incident that keeps somebody below it out; None if there is none."""
        extent = await self._book.extent(incident.mrid)
        if extent.device is None or not extent.path:
            return None
        path = await self._records.select(DEVICES, Selection(mrids=extent.path, limit=len(extent.path)))
        devices = tuple(stored.body for stored in path)
        for one in await outages_above(self._records, devices, but=incident.mrid, since_before=at):
            if await count_lacking(self._records, one.mrid, extent.device, ()):
                return one
        return None

    async def uncovered(
        self,
        incident: Stored[Incident],
        points: tuple[UsagePointIdentity, ...],
        excepted: tuple[ExtentRecord, ...],
        evidence: Evidence,
        at: datetime,
    ) -> int:
        """Customers who are believed out, and for whom neither these points speak nor what was said before."""
        extent = await self._book.extent(incident.mrid)
        out = {one.device for one in excepted if one.device is not None}
        named: set[str] = set()
        heard: set[Key] = set()
        for point in points:
            found = await self._point(incident, point)
            if found is None:
                continue
            record, key, path = found
            tickets = await self._restorer.open_tickets(incident.mrid, point, record)
            is_many = record is not None and record.customers > 1 and evidence.kind is EvidenceKind.CALLBACK
            is_below = any(device.mrid in out for device in path)
            if is_many or is_below or any(is_later(ticket, at) for ticket in tickets):
                continue
            named.add(key)
            heard |= {one for ticket in tickets for one in ticket.keys if one.sort == "premises"}
        silent = max(0, extent.dark - len(heard))
        if extent.device is None:
            return silent
        lacking = await count_lacking(self._records, incident.mrid, extent.device, excepted, frozenset(named))
        return max(lacking, silent)

    async def restore_points(
        self,
        said: Said[Incident],
        incident: Stored[Incident],
        points: tuple[UsagePointIdentity, ...],
        evidence: Evidence,
        at: datetime,
    ) -> tuple[Finding, ...]:
        """Points that have supply again, and warnings for those that do not or do not belong here."""
        excepted = {one.device for one in await self.excepted(incident, at)}
        warnings: list[Finding] = []
        told: list[UsagePointIdentity] = []
        for point in points:
            found = await self._point(incident, point)
            if found is None:
                warnings.append(refusals.not_its_point(said, point))
                continue
            record, key, path = found
            if any(device.mrid in excepted for device in path):
                warnings.append(refusals.point_goes_on(said, point, "an outage below goes on there"))
                continue
            tickets = await self._restorer.open_tickets(incident.mrid, point, record)
            if any(is_later(ticket, at) for ticket in tickets):
                warnings.append(refusals.point_goes_on(said, point, "somebody has called from there since"))
                continue
            customers = record.customers if record is not None else 1
            if customers > 1 and evidence.kind is EvidenceKind.CALLBACK:
                warnings.append(refusals.point_goes_on(said, point, "one of its several customers has spoken"))
                continue
            await self._restorer.points.restore(incident, key, customers, at, evidence, path)
            for ticket in tickets:
                resolved = await self._restorer.resolve(ticket, at, f"restored, by {evidence}")
                await self._book.settle(resolved)
            told.append(point)
        self._book.tell_restored(incident.mrid, at, tuple(told))
        return tuple(warnings)

    async def _point(
        self, incident: Stored[Incident], point: UsagePointIdentity
    ) -> tuple[ServicePointRecord | None, str, tuple[DeviceRecord, ...]] | None:
        """The point in the model, the key of its interruptions, the way up; None if it is not of this incident."""
        keys = frozenset(lookup_keys("usage-point", mrid_of(point), labels_of(point)))
        bare = frozenset(
            lookup_keys("usage-point", None, (label._replace(type="", authority="") for label in labels_of(point)))
        )
        supply = await find_supply(self._records, keys | bare)
        extent = await self._book.extent(incident.mrid)
        if supply.point is not None and any(device.mrid == extent.device for device in supply.path):
            return supply.point, supply.point.mrid, supply.path
        tickets = await self._restorer.open_tickets(incident.mrid, point, supply.point)
        if not tickets:
            return None
        key, _, path = await self._restorer.point_of(tickets[0])
        return supply.point, key, path
