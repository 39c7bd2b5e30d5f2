"""Incidents that are opened, placed at a device, confirmed and ended. Which one and why is decided elsewhere.

Source: IEC 61968-8:2015, clause 5.3; what stands in Location is our profile.
"""

from datetime import datetime

import msgspec

from cimcare.exchange.ports import Event, ServingContext, Stored
from cimcare.model.identity import MRID
from cimcare.model.incident import Incident, IncidentLocation, IncidentOutage, UsagePointIdentity
from cimcare.model.trouble_ticket import TroubleTicket
from cimcare.model.values import DateTimeInterval, PositionPoint, Status
from cimcare.systems.oms.decisions import Decisions
from cimcare.systems.oms.devices import DeviceRecord, names_of_device
from cimcare.systems.oms.estimating import VALIDITIES, expect_estimate
from cimcare.systems.oms.kinds import CLOSED, OPEN, ExtentRecord
from cimcare.systems.oms.restored import (
    PENDING,
    RESTORATIONS,
    count_restored_below,
    save_word,
    start_of,
    word_of_callbacks,
)
from cimcare.systems.oms.shelf import Shelf

__all__ = ["SERVICE", "UNRESOLVED", "Openings"]

UNRESOLVED = "unresolved"
"""`Location.type` of an incident at a place that the network model does not know."""

SERVICE = "service"
"""`Location.type` of an incident of one of the premises alone."""


class Openings:
    """Incidents of one message, as far as they do not depend on who is in them."""

    def __init__(self, context: ServingContext) -> None:
        self._context = context
        self._shelf = Shelf(context)
        self.decisions = Decisions(context)

    async def find(self, mrid: MRID | None) -> Stored[Incident] | None:
        """The incident, if it is there."""
        return await self._shelf.find(mrid) if mrid else None

    async def find_open(self, mrid: MRID | None) -> Stored[Incident] | None:
        """The incident, if it is there and open."""
        stored = await self.find(mrid)
        return stored if stored is not None and stored.state == OPEN else None

    async def extent(self, mrid: MRID) -> ExtentRecord:
        """What the incident covers."""
        return await self._shelf.extent(mrid)

    async def open_at(
        self,
        device: DeviceRecord | None,
        reason: str,
        at: datetime,
        extent: ExtentRecord,
        *,
        stated: str = "",
        is_planned: bool = False,
        feeder: DeviceRecord | None = None,
        mrid: MRID | None = None,
    ) -> Stored[Incident]:
        """Open an incident. `feeder` is shown as its place where the premises are the only ones that it supplies."""
        now, mrid = self._context.now, mrid or MRID(self._context.new_id())
        body = Incident(
            mrid=mrid,
            created_date_time=now,
            type="planned" if is_planned else "unplanned",
            location=_location(device or feeder, stated, is_unresolved=extent.is_unresolved),
            outage=IncidentOutage(is_planned=is_planned, estimated_period=DateTimeInterval(start=at)),
            status=Status(date_time=now, reason="none", value=OPEN),
            comment=await self.decisions.note(mrid, reason),
        )
        stored = Stored(mrid=mrid, body=body, created_at=at, modified_at=now, state=OPEN)
        self._shelf.add(stored)
        if not is_planned:
            await expect_estimate(self._context.records, mrid, now)
        return await self._shelf.write(stored, body, _at_device(extent, device))

    async def place(
        self, incident: Stored[Incident], device: DeviceRecord | None, reason: str, **members: object
    ) -> Stored[Incident]:
        """Give an open incident another device, or none; `members` are those of its extent."""
        extent = await self.extent(incident.mrid)
        wanted = device.mrid if device is not None else None
        if extent.restored and wanted != extent.device:  # what was said of other points does not count here
            restored = await count_restored_below(self._context.records, incident.mrid, wanted)
            extent = msgspec.structs.replace(extent, restored=restored)
        blank = {"device": None, "device_name": "", "kind": "", "customers": 0, "critical_below": 0, "service": ""}
        extent = _at_device(msgspec.structs.replace(extent, **{**blank, "is_adrift": False, **members}), device)
        body = msgspec.structs.replace(
            incident.body,
            location=_location(device, "", is_unresolved=extent.is_unresolved),
            comment=await self.decisions.note(incident.mrid, reason),
        )
        return await self._shelf.write(incident, body, extent)

    async def write(self, incident: Stored[Incident], body: Incident, extent: ExtentRecord) -> Stored[Incident]:
        """Write an open incident and its extent; the outage begins with the first report that counts."""
        outage = body.outage
        if outage is not None and not outage.is_planned and extent.first_at is not None:
            period = msgspec.structs.replace(outage.estimated_period or DateTimeInterval(), start=extent.first_at)
            body = msgspec.structs.replace(body, outage=msgspec.structs.replace(outage, estimated_period=period))
            incident = msgspec.structs.replace(incident, created_at=extent.first_at)
        return await self._shelf.write(incident, body, extent)

    async def finish(self, incident: Stored[Incident], state: str, reason: str, at: datetime | None = None) -> None:
        """Close (`at` says when supply was back) or cancel an incident."""
        now = self._context.now
        outage = incident.body.outage or IncidentOutage()
        extent = await self.extent(incident.mrid)
        if state == CLOSED:
            end = at or extent.settled_at or now
            outage = msgspec.structs.replace(outage, actual_period=DateTimeInterval(start=start_of(incident), end=end))
            if await self._context.records.find(RESTORATIONS, incident.mrid) is None:
                word = await word_of_callbacks(self._context.records, incident, extent, end)
                await save_word(self._context.records, word, PENDING, now)
        else:
            outage = msgspec.structs.replace(outage, cancelled_date_time=now)
        status = msgspec.structs.replace(incident.body.status or Status(), date_time=now, value=state)
        comment = await self.decisions.note(incident.mrid, reason) if reason else incident.body.comment
        body = msgspec.structs.replace(incident.body, outage=outage, status=status, comment=comment)
        await self._shelf.write(incident, body, extent, state)
        await self._context.records.drop(VALIDITIES, incident.mrid)

    def is_new(self, mrid: MRID) -> bool:
        """Whether the incident was opened during this service."""
        return self._shelf.is_new(mrid)

    def tell_restored(self, mrid: MRID, at: datetime, points: tuple[UsagePointIdentity, ...]) -> None:
        """Points of an incident have supply again since an instant."""
        self._shelf.tell_restored(mrid, at, points)

    def name(self, mrid: MRID, ticket: Stored[TroubleTicket]) -> None:
        """The ticket is new in the incident."""
        self._shelf.name(mrid, ticket)

    def tell_moved(self, ticket: Stored[TroubleTicket]) -> None:
        """A ticket of which the message itself does not speak has another incident now."""
        self._shelf.tell_moved(ticket)

    async def events(self) -> tuple[Event, ...]:
        """What has changed so far, and is to be told now."""
        return await self._shelf.events()


def _at_device(extent: ExtentRecord, device: DeviceRecord | None) -> ExtentRecord:
    if device is None:
        return extent
    return msgspec.structs.replace(
        extent,
        device=device.mrid,
        device_name=device.name,
        kind=device.kind.value,
        path=device.path,
        customers=device.customers,
        critical_below=device.critical,
    )


def _location(device: DeviceRecord | None, stated: str, *, is_unresolved: bool) -> IncidentLocation:
    if device is None:
        kind = UNRESOLVED if is_unresolved else SERVICE
        return IncidentLocation(type=kind, names=names_of_device(stated) if stated else ())
    points: tuple[PositionPoint, ...] = ()
    if device.position is not None:
        x, y = device.position
        points = (PositionPoint(x_position=str(x), y_position=str(y)),)
    names = device.names or names_of_device(device.name)
    return IncidentLocation(type=device.kind.value, names=names, position_points=points)
