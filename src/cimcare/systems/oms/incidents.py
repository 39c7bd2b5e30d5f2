"""Incidents during the service of one message: opened, joined, left, ended; and the events that tell of them.

A premises counts once in an incident, however many tickets it has; all its open tickets are in one incident. What an
incident covers is counted and never listed, so that a ticket costs the same in an incident of one and of a hundred
thousand.

Source: IEC 61968-8:2015, clause 5.3; the end of estimatedPeriod is the estimated restoration time, and is not set here.
"""

from datetime import datetime

import msgspec

from cimcare.exchange.ports import Event, Key, Selection, ServingContext, Stored
from cimcare.model.identity import MRID
from cimcare.model.incident import (
    Incident,
    IncidentHazard,
    IncidentIdentity,
    IncidentLocation,
    IncidentOutage,
    UsagePointIdentity,
)
from cimcare.model.trouble_ticket import TroubleTicket
from cimcare.model.values import DateTimeInterval, PositionPoint, Status
from cimcare.systems.objects import as_utc
from cimcare.systems.oms.devices import DeviceRecord, names_of_device
from cimcare.systems.oms.estimating import VALIDITIES, expect_estimate
from cimcare.systems.oms.kinds import (
    CANCELLED,
    CLOSED,
    INCIDENTS,
    OPEN,
    REPORTS,
    RESOLVED,
    TICKETS,
    ExtentRecord,
    ReportRecord,
)
from cimcare.systems.oms.places import Place, devices_of
from cimcare.systems.oms.restored import (
    PENDING,
    RESTORATIONS,
    outages_below,
    reconsider,
    save_word,
    start_of,
    word_of_callbacks,
)
from cimcare.systems.oms.shelf import Shelf

__all__ = ["UNRESOLVED", "IncidentBook", "incident_of", "reported_at"]

UNRESOLVED = "unresolved"
"""`Location.type` of an incident at a place that the network model does not know."""

_SERVICE = "service"
"""`Location.type` of an incident of one of the premises alone."""

_PAGE = 500


def reported_at(ticket: TroubleTicket, now: datetime) -> datetime:
    """When the trouble was reported; when it was entered if the ticket does not say, failing that now."""
    return as_utc(ticket.date_time_of_report) or as_utc(ticket.created_date_time) or now


def incident_of(ticket: TroubleTicket) -> MRID | None:
    """The incident that a ticket names by its mRID."""
    return ticket.incident.mrid if ticket.incident is not None else None


class IncidentBook:
    """The incidents that one message touches. `events` comes last: it ends what has to end, and tells of all."""

    def __init__(self, context: ServingContext) -> None:
        self._context = context
        self._records = context.records
        self._shelf = Shelf(context)
        self._reports: dict[str, ReportRecord | None] = {}
        self._touched: dict[MRID, str] = {}

    # ------------------------------------------------------------------------------------------ incidents

    async def find_open(self, mrid: MRID | None) -> Stored[Incident] | None:
        """The incident, if it is there and open."""
        stored = await self._shelf.find(mrid) if mrid is not None else None
        return stored if stored is not None and stored.state == OPEN else None

    async def find(self, mrid: MRID) -> Stored[Incident] | None:
        """The incident as it stands now, whatever its state."""
        return await self._shelf.find(mrid)

    async def extent(self, mrid: MRID) -> ExtentRecord:
        """What an incident covers."""
        return await self._shelf.extent(mrid)

    async def open_for(
        self,
        device: DeviceRecord | None,
        reason: str,
        at: datetime,
        *,
        path: tuple[MRID, ...] = (),
        stated: str = "",
        is_unresolved: bool = False,
        is_planned: bool = False,
        is_pinned: bool = False,
        mrid: MRID | None = None,
    ) -> Stored[Incident]:
        """Open an incident at a device, or without one for the premises alone.

        Args:
            device: The device suspected or confirmed.
            reason: One sentence without a full stop at its end, that says why.
            at: Since when, an aware instant in UTC.
            path: Devices above the premises where no device is suspected, nearest first.
            stated: Name of the device that callers have named and the model does not know.
            is_unresolved: The model does not know the place.
            is_planned: Somebody has planned it.
            is_pinned: The device is confirmed: what is reported below it joins.
            mrid: That of the incident, if somebody has given it one.
        """
        now, mrid = self._context.now, mrid or MRID(self._context.new_id())
        body = Incident(
            mrid=mrid,
            created_date_time=now,
            type="planned" if is_planned else "unplanned",
            location=_location(device, stated, is_unresolved=is_unresolved),
            outage=IncidentOutage(is_planned=is_planned, estimated_period=DateTimeInterval(start=at)),
            status=Status(date_time=now, reason="none", value=OPEN),
            comment=_sentence(reason),
        )
        stored = Stored(mrid=mrid, body=body, created_at=at, modified_at=now, state=OPEN)
        self._shelf.add(stored)
        extent = _at_device(ExtentRecord(path=path, first_at=at if is_pinned else None, is_pinned=is_pinned), device)
        if not is_planned:
            await expect_estimate(self._records, mrid, now)
        return await self._shelf.write(stored, body, extent)

    async def pin(self, incident: Stored[Incident], device: DeviceRecord, reason: str) -> Stored[Incident]:
        """Somebody has confirmed the device: no rule moves the incident any more."""
        body = msgspec.structs.replace(
            incident.body, location=_location(device, "", is_unresolved=False), comment=_sentence(reason)
        )
        extent = msgspec.structs.replace(await self.extent(incident.mrid), is_pinned=True)
        return await self._shelf.write(incident, body, _at_device(extent, device))

    async def save(self, stored: Stored[Incident], body: Incident) -> Stored[Incident]:
        """Write what somebody has altered in an incident, to be told of; its state stays as it is."""
        return await self._shelf.write(stored, body, await self.extent(stored.mrid))

    async def end(self, incident: Stored[Incident], state: str, reason: str, at: datetime | None = None) -> None:
        """Close (`at` says when supply was back) or cancel an incident.

        Of one that is closed a tick goes through tickets and reports, however many there are.
        """
        now = self._context.now
        outage = incident.body.outage or IncidentOutage()
        extent = await self.extent(incident.mrid)
        if state == CLOSED:
            end = at or extent.settled_at or now
            outage = msgspec.structs.replace(outage, actual_period=DateTimeInterval(start=start_of(incident), end=end))
            if await self._records.find(RESTORATIONS, incident.mrid) is None:
                await save_word(self._records, word_of_callbacks(incident, end), PENDING, now)
        else:
            outage = msgspec.structs.replace(outage, cancelled_date_time=now)
        status = msgspec.structs.replace(incident.body.status or Status(), date_time=now, value=state)
        comment = _sentence(reason) if reason else incident.body.comment
        body = msgspec.structs.replace(incident.body, outage=outage, status=status, comment=comment)
        await self._shelf.write(incident, body, extent, state)
        await self._records.drop(VALIDITIES, incident.mrid)
        if state == CANCELLED:
            await self._release(incident.mrid)
            if extent.device is not None:
                await reconsider(self._records, extent.device, now)

    async def explain(self, mrid: MRID, reason: str) -> None:
        """Why an incident was opened during this service, if it was; nothing happens to one that was there before."""
        incident = await self.find_open(mrid)
        if incident is not None and self._shelf.is_new(mrid):
            await self.save(incident, msgspec.structs.replace(incident.body, comment=_sentence(reason)))

    async def count_restored(self, mrid: MRID, customers: int) -> None:
        """So many customers of an incident are known to have supply again who were not before."""
        if await self.find_open(mrid) is None:
            return
        extent = await self.extent(mrid)
        await self._write(mrid, msgspec.structs.replace(extent, restored=extent.restored + customers))
        self._touched.setdefault(mrid, "")

    def tell_restored(self, mrid: MRID, at: datetime, points: tuple[UsagePointIdentity, ...]) -> None:
        """Tell which points of an incident have supply again since an instant."""
        if points:
            self._shelf.tell_restored(mrid, at, points)

    async def events(self) -> tuple[Event, ...]:
        """End what nobody is left in; then one event for each manner in which incidents have changed."""
        for mrid, reason in list(self._touched.items()):
            incident = await self.find_open(mrid)
            extent = await self.extent(mrid)
            if incident is None:
                continue
            if extent.premises == 0 and not extent.is_pinned:
                await self.end(incident, CANCELLED, reason)
            elif extent.dark == 0 and await self._is_covered(incident, extent):
                await self.end(incident, CLOSED, "")
        return self._shelf.events()

    async def _is_covered(self, incident: Stored[Incident], extent: ExtentRecord) -> bool:
        """Whether somebody has said of all who are believed out that supply is back.

        Without a suspected device these are the callers. With one they are all below it, whether they have called or
        not, but for those below an outage of its own.
        """
        if extent.device is None:
            return extent.premises > 0
        if extent.restored == 0:
            return False
        at = self._context.now
        below = await outages_below(self._records, extent.device, but=incident.mrid, since_before=at)
        excepted = sum(max(one.customers, one.premises) for one in below)
        return extent.restored + excepted >= max(extent.customers, extent.premises)

    # -------------------------------------------------------------------------------------------- tickets

    async def enter(
        self, ticket: Stored[TroubleTicket], place: Place, asked: Stored[Incident] | None = None
    ) -> Stored[TroubleTicket]:
        """A ticket that is new, open, and not yet in any incident: in the one where it belongs."""
        at = reported_at(ticket.body, self._context.now)
        report = await self._report(_key_of(ticket))
        current = await self.find_open(report.incident) if report is not None else None
        if report is None or current is None:
            report = await self._first_report(ticket, place, at, asked)
        else:
            stated = report.stated or _stated_by(ticket, place)
            after = msgspec.structs.replace(report, at=min(at, report.at), tickets=report.tickets + 1, stated=stated)
            await self._put(report, after, "")
            report = await self._regroup(after, asked, "a call names it")
        return await self._linked(ticket, report.incident)

    async def alter(
        self,
        before: Stored[TroubleTicket],
        ticket: Stored[TroubleTicket],
        place: Place,
        asked: Stored[Incident] | None = None,
    ) -> Stored[TroubleTicket]:
        """A ticket with what has changed in it, in the incident where it belongs now."""
        key, report = _key_of(ticket), await self._report(_key_of(before))
        if report is None or await self.find_open(report.incident) is None:
            return await self.enter(ticket, place, asked)
        if key != _key_of(before):
            await self._leave(before, report, "its tickets are of another place")
            return await self.enter(ticket, place, asked)
        after = msgspec.structs.replace(report, at=await self._earliest(report, ticket))
        if not report.stated or devices_of(before.body)[:1] == (report.stated,):
            after = msgspec.structs.replace(after, stated=_stated_by(ticket, place))
        await self._put(report, after, "")
        report = await self._regroup(after, asked, "somebody has moved a ticket into it", besides=ticket.mrid)
        await self._take_hazards(report.incident, ticket)
        if report.incident == incident_of(before.body):
            return ticket
        return await self._linked(ticket, report.incident)

    async def settle(self, ticket: Stored[TroubleTicket]) -> bool:
        """A ticket was resolved. It counts until its incident ends. Whether nothing more is open at its premises."""
        report = await self._report(_key_of(ticket))
        if report is None or report.incident != incident_of(ticket.body):
            return False
        after = msgspec.structs.replace(report, tickets=max(0, report.tickets - 1), settled=report.settled + 1)
        await self._put(report, after, "", settled_at=as_utc(ticket.body.resolved_date_time))
        return not after.is_dark

    async def withdraw(self, ticket: Stored[TroubleTicket]) -> None:
        """A ticket was cancelled: it should not have been, and counts no longer."""
        report = await self._report(_key_of(ticket))
        if report is not None and report.incident == incident_of(ticket.body):
            await self._leave(ticket, report, "")

    async def join(
        self, ticket: Stored[TroubleTicket], incident: Stored[Incident], reason: str
    ) -> Stored[TroubleTicket]:
        """An open ticket, in this incident by somebody's word; all other tickets of the premises go with it.

        The ticket comes back as it is to be saved. To move one that is stored and be done with it: `move`.
        """
        report = await self._report(_key_of(ticket))
        if report is None:
            at = reported_at(ticket.body, self._context.now)
            report = _new_report(ticket, incident.mrid, at, Place(), is_placed=True)
            await self._put(None, report, reason)
        elif report.incident != incident.mrid:
            report = await self._place(report, incident, reason, besides=ticket.mrid)
        return await self._linked(ticket, report.incident)

    async def move(self, ticket: Stored[TroubleTicket], incident: Stored[Incident], reason: str) -> None:
        """Move a stored ticket, and with it all of its premises, into another incident, and tell of it."""
        if incident_of(ticket.body) == incident.mrid:
            return
        moved = await self.join(ticket, incident, reason)
        await self._records.save(TICKETS.collection, moved)
        self._shelf.tell_moved(moved)

    # -------------------------------------------------------------------------------------------- reports

    async def _report(self, key: str) -> ReportRecord | None:
        if key not in self._reports:
            stored = await self._records.find(REPORTS, MRID(key))
            self._reports[key] = stored.body if stored is not None else None
        return self._reports[key]

    async def _first_report(
        self, ticket: Stored[TroubleTicket], place: Place, at: datetime, asked: Stored[Incident] | None
    ) -> ReportRecord:
        report = _new_report(ticket, MRID(""), at, place, is_placed=asked is not None)
        incident, reason = asked, "the call names it"
        if incident is None and report.stated:
            incident, reason = await self._incident_at(report.stated), f"a call names device {report.stated} already"
        if incident is None:
            reason = f"Opened for ticket {ticket.mrid}: no open incident at its premises or stated device"
            incident = await self.open_for(None, reason, at, stated=report.stated, is_unresolved=True)
        report = msgspec.structs.replace(report, incident=incident.mrid)
        await self._put(None, report, reason)
        return report

    async def _regroup(
        self, report: ReportRecord, asked: Stored[Incident] | None, reason: str, besides: MRID | None = None
    ) -> ReportRecord:
        """The premises in the incident that somebody asks for, failing that where it belongs by rule."""
        if asked is not None:
            return await self._place(report, asked, reason, besides=besides)
        if report.is_placed or not report.stated:
            return report
        target = await self._incident_at(report.stated)
        if target is None:
            return report
        return await self._move(report, target, f"a call names device {report.stated} too", besides=besides)

    async def _incident_at(self, device: str) -> Stored[Incident] | None:
        wanted = Selection(keys=((Key("device", device),),), states=(OPEN,), limit=1)
        found = await self._records.select(INCIDENTS.collection, wanted)
        return await self.find_open(found[0].mrid) if found else None

    async def _leave(self, ticket: Stored[TroubleTicket], report: ReportRecord, reason: str) -> None:
        """The premises without this ticket, which no longer belongs to it."""
        tickets = max(0, report.tickets - 1)
        if tickets == 0 and report.settled == 0 and report.off_at is None:
            await self._put(report, None, reason)
            return
        at = await self._earliest(report, None, besides=ticket.mrid)
        await self._put(report, msgspec.structs.replace(report, tickets=tickets, at=at), reason)

    async def _earliest(
        self, report: ReportRecord, ticket: Stored[TroubleTicket] | None, besides: MRID | None = None
    ) -> datetime:
        """The earliest report of the premises that counts, as `ticket` stands now and without the one `besides`."""
        now = self._context.now
        mine = ticket.mrid if ticket is not None else besides
        others = [one for one in await self._tickets(report) if one.mrid != mine]
        instants = [reported_at(one.body, one.created_at) for one in others]
        instants += [reported_at(ticket.body, now)] if ticket is not None else []
        instants += [report.off_at] if report.off_at is not None else []
        return min(instants, default=report.at)

    async def _tickets(self, report: ReportRecord) -> tuple[Stored[TroubleTicket], ...]:
        """Tickets of the premises in its incident that count."""
        wanted = Selection(keys=((Key("premises", report.premises),),), states=(OPEN, RESOLVED))
        found = await self._records.select(TICKETS.collection, wanted)
        return tuple(one for one in found if incident_of(one.body) == report.incident)

    async def _place(
        self, report: ReportRecord, incident: Stored[Incident], reason: str, besides: MRID | None = None
    ) -> ReportRecord:
        """The premises in an incident by somebody's word."""
        placed = msgspec.structs.replace(report, is_placed=True)
        await self._put(report, placed, reason)
        return await self._move(placed, incident, reason, besides=besides)

    async def _move(
        self, report: ReportRecord, incident: Stored[Incident], reason: str, besides: MRID | None = None
    ) -> ReportRecord:
        """The premises in another incident, with all its tickets but the one that the caller saves himself."""
        if report.incident == incident.mrid:
            return report
        for ticket in await self._tickets(report):
            if ticket.mrid != besides:
                linked = await self._linked(ticket, incident.mrid)
                await self._records.save(TICKETS.collection, linked)
                self._shelf.tell_moved(linked)
        moved = msgspec.structs.replace(report, incident=incident.mrid)
        await self._put(report, moved, f"its last ticket has moved into incident {incident.mrid}: {reason}")
        return moved

    async def _linked(self, ticket: Stored[TroubleTicket], mrid: MRID) -> Stored[TroubleTicket]:
        """The ticket with the incident in it, which learns of the ticket and its hazards."""
        now = self._context.now
        body = msgspec.structs.replace(ticket.body, incident=IncidentIdentity(mrid=mrid), last_modified_date_time=now)
        keys = frozenset(key for key in ticket.keys if key.sort != "incident") | {Key("incident", mrid)}
        linked = msgspec.structs.replace(ticket, body=body, keys=keys, modified_at=now)
        self._shelf.name(mrid, linked)
        await self._take_hazards(mrid, linked)
        return linked

    async def _take_hazards(self, mrid: MRID, ticket: Stored[TroubleTicket]) -> None:
        incident = await self.find_open(mrid)
        if incident is None:
            return
        new = tuple(one for one in dict.fromkeys(ticket.body.hazards) if one not in incident.body.hazards)
        if new:
            hazards: tuple[IncidentHazard, ...] = (*incident.body.hazards, *new)
            await self.save(incident, msgspec.structs.replace(incident.body, hazards=hazards))

    async def _put(
        self,
        before: ReportRecord | None,
        after: ReportRecord | None,
        reason: str,
        *,
        settled_at: datetime | None = None,
    ) -> None:
        """Write a report, and bring the incidents up to date to which it has belonged and belongs."""
        if after == before:
            return
        if after is not None:
            self._reports[after.premises] = after
            stored = Stored(
                mrid=MRID(after.premises),
                body=after,
                created_at=after.at,
                modified_at=self._context.now,
                keys=frozenset({Key("incident", after.incident)}),
            )
            await self._records.save(REPORTS, stored)
        elif before is not None:
            self._reports[before.premises] = None
            await self._records.drop(REPORTS, MRID(before.premises))
        mrids = dict.fromkeys(one.incident for one in (before, after) if one is not None)
        for mrid in mrids:
            extent = await self.extent(mrid)
            if before is not None and before.incident == mrid:
                is_gone = after is None or after.incident != mrid or after.at > before.at
                extent = await self._without(extent, before, mrid, is_first_gone=is_gone)
            if after is not None and after.incident == mrid:
                extent = _with(extent, after)
            if settled_at is not None and (extent.settled_at is None or settled_at > extent.settled_at):
                extent = msgspec.structs.replace(extent, settled_at=settled_at)
            await self._write(mrid, extent)
            self._touched[mrid] = reason

    async def _without(
        self, extent: ExtentRecord, report: ReportRecord, mrid: MRID, *, is_first_gone: bool
    ) -> ExtentRecord:
        first = extent.first_at
        if is_first_gone and first is not None and report.at <= first:
            wanted = Selection(keys=((Key("incident", mrid),),), limit=1)
            found = await self._records.select(REPORTS, wanted)
            first = found[0].body.at if found else None
        return msgspec.structs.replace(
            extent,
            premises=extent.premises - 1,
            critical=extent.critical - report.is_critical,
            dark=extent.dark - report.is_dark,
            first_at=first,
        )

    async def _write(self, mrid: MRID, extent: ExtentRecord) -> None:
        incident = await self.find_open(mrid)
        if incident is None:
            return
        body, outage = incident.body, incident.body.outage
        if outage is not None and not outage.is_planned and extent.first_at is not None:
            period = msgspec.structs.replace(outage.estimated_period or DateTimeInterval(), start=extent.first_at)
            body = msgspec.structs.replace(body, outage=msgspec.structs.replace(outage, estimated_period=period))
        await self._shelf.write(incident, body, extent)

    async def _release(self, mrid: MRID) -> None:
        """Nothing that was reported counts any more once its incident has ended."""
        wanted = Selection(keys=((Key("incident", mrid),),), limit=_PAGE)
        while found := await self._records.select(REPORTS, wanted):
            for stored in found:
                self._reports[stored.body.premises] = None
                await self._records.drop(REPORTS, stored.mrid)


def _key_of(ticket: Stored[TroubleTicket]) -> str:
    return next((key.value for key in ticket.keys if key.sort == "premises"), "")


def _stated_by(ticket: Stored[TroubleTicket], place: Place) -> str:
    return next(iter(devices_of(ticket.body)), "")


def _new_report(
    ticket: Stored[TroubleTicket], incident: MRID, at: datetime, place: Place, *, is_placed: bool
) -> ReportRecord:
    return ReportRecord(
        premises=_key_of(ticket),
        incident=incident,
        at=at,
        tickets=1,
        stated=_stated_by(ticket, place),
        is_critical=any(key.sort == "critical" for key in ticket.keys),
        is_placed=is_placed,
    )


def _with(extent: ExtentRecord, report: ReportRecord) -> ExtentRecord:
    return msgspec.structs.replace(
        extent,
        premises=extent.premises + 1,
        critical=extent.critical + report.is_critical,
        dark=extent.dark + report.is_dark,
        first_at=report.at if extent.first_at is None else min(extent.first_at, report.at),
        last_at=report.at if extent.last_at is None else max(extent.last_at, report.at),
    )


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
        kind = UNRESOLVED if is_unresolved else _SERVICE
        return IncidentLocation(type=kind, names=names_of_device(stated) if stated else ())
    points: tuple[PositionPoint, ...] = ()
    if device.position is not None:
        x, y = device.position
        points = (PositionPoint(x_position=str(x), y_position=str(y)),)
    return IncidentLocation(type=device.kind.value, names=device.names, position_points=points)


def _sentence(reason: str) -> str:
    return f"{reason[:1].upper()}{reason[1:]}." if reason and not reason.endswith(".") else reason
