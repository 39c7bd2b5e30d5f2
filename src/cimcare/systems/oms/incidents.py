"""Incidents during the service of one message: opened, joined, left, ended; and the events that tell of them.

Which premises are in which incident is kept by `Reports`, what is looked at again by `Regrouper`. Here is what happens
to incidents from outside: tickets come and go, somebody knows the device, the outage is over.

Source: IEC 61968-8:2015, clause 5.3; the end of estimatedPeriod is the estimated restoration time, and is not set here.
"""

from datetime import datetime, timedelta

import msgspec

from cimcare.exchange.ports import Event, Key, Selection, ServingContext, Stored
from cimcare.model.identity import MRID
from cimcare.model.incident import Incident, UsagePointIdentity
from cimcare.model.trouble_ticket import TroubleTicket
from cimcare.systems.objects import as_utc
from cimcare.systems.oms.decisions import Decisions
from cimcare.systems.oms.devices import DeviceRecord, Supply
from cimcare.systems.oms.grouping import Judge
from cimcare.systems.oms.judgement import bucket_of
from cimcare.systems.oms.kinds import (
    CANCELLED,
    CLOSED,
    REPORTS,
    TICKETS,
    ExtentRecord,
    ReportRecord,
    incident_of,
)
from cimcare.systems.oms.opening import Openings
from cimcare.systems.oms.places import Place
from cimcare.systems.oms.regrouper import Regrouper
from cimcare.systems.oms.regrouping import FOR_EVER, Regrouping, Worklist
from cimcare.systems.oms.reports import Reports, key_of, reported_at, stated_by
from cimcare.systems.oms.restored import count_lacking, outages_below, reconsider

__all__ = ["IncidentBook"]

_MOST_MOVED = 50
"""Premises that one message or one tick looks at beside its own: some 50 ms of work."""


class IncidentBook:
    """The incidents that one message touches.

    `events` comes last: it regroups as much as one message may, ends what has to end, writes what is left to be
    written, and tells of all.
    """

    def __init__(self, context: ServingContext) -> None:
        self._context = context
        self._records = context.records
        self._openings = Openings(context)
        self._work = Worklist(context)
        self._judge = Judge(context, self._openings, self._work)
        self._reports = Reports(context, self._openings, self._judge, self._work)
        self._regrouper = Regrouper(context, self._openings, self._judge, self._work, self._reports)

    @property
    def decisions(self) -> Decisions:
        """Where decisions are kept."""
        return self._openings.decisions

    @property
    def work(self) -> Worklist:
        """What is left to be regrouped."""
        return self._work

    # ------------------------------------------------------------------------------------------ incidents

    async def find_open(self, mrid: MRID | None) -> Stored[Incident] | None:
        """The incident, if it is there and open."""
        return await self._openings.find_open(mrid)

    async def find(self, mrid: MRID) -> Stored[Incident] | None:
        """The incident as it stands now, whatever its state."""
        return await self._openings.find(mrid)

    async def extent(self, mrid: MRID) -> ExtentRecord:
        """What an incident covers."""
        return await self._openings.extent(mrid)

    async def supply(self, keys: frozenset[Key], transformer: str = "") -> Supply:
        """What supplies a place, looked up once a message."""
        return await self._judge.find_supply(keys, transformer, "")

    async def open_for(
        self,
        device: DeviceRecord | None,
        reason: str,
        at: datetime,
        *,
        path: tuple[MRID, ...] = (),
        is_unresolved: bool = False,
        is_planned: bool = False,
        is_pinned: bool = False,
        mrid: MRID | None = None,
    ) -> Stored[Incident]:
        """Open an incident by somebody's word, at a device or without one.

        Args:
            device: The device that is out, if that is known.
            reason: One sentence that says who says so and why.
            at: Since when, an aware instant in UTC.
            path: Devices above the premises where the device is not known, nearest first.
            is_unresolved: The model does not know the place.
            is_planned: Somebody has planned it.
            is_pinned: The device is confirmed: what is reported below it joins.
            mrid: That of the incident, if somebody has given it one.
        """
        extent = ExtentRecord(is_placed=True, path=path, is_unresolved=is_unresolved)
        incident = await self._openings.open_at(device, reason, at, extent, is_planned=is_planned, mrid=mrid)
        if is_pinned and device is not None:
            incident = await self.pin(incident, device, reason)
        return incident

    async def pin(self, incident: Stored[Incident], device: DeviceRecord, reason: str) -> Stored[Incident]:
        """Somebody has confirmed the device: no rule moves the incident, and what is reported below joins it."""
        extent = await self.extent(incident.mrid)
        await self._judge.release(incident.mrid)
        since = extent.first_at or incident.created_at
        if incident.body.outage is None or not incident.body.outage.is_planned:
            since -= timedelta(minutes=(await self._judge.rules()).separation_minutes)
        incident = await self._openings.place(incident, device, reason, anchor=None, is_pinned=True, pinned_since=since)
        self._work.add(Regrouping(device=device.mrid, first=bucket_of(since), last=FOR_EVER, why=reason))
        return incident

    async def save(self, stored: Stored[Incident], body: Incident) -> Stored[Incident]:
        """Write what somebody has altered in an incident, to be told of; its state stays as it is."""
        return await self._openings.write(stored, body, await self.extent(stored.mrid))

    async def end(self, incident: Stored[Incident], state: str, reason: str, at: datetime | None = None) -> None:
        """Close (`at` says when supply was back) or cancel an incident.

        What was reported in it counts no longer. Of one that is closed a tick goes through the tickets, however many
        there are.
        """
        await self._openings.finish(incident, state, reason, at)
        self._work.add(Regrouping(incident=incident.mrid, is_ended=True, why=reason))
        device = (await self.extent(incident.mrid)).device
        if state == CANCELLED and device is not None and incident.mrid not in self._reports.merged:
            await reconsider(self._records, device, self._context.now)

    async def explain(self, mrid: MRID, reason: str) -> None:
        """Why an incident was opened during this service, if it was; nothing happens to one that was there before."""
        incident = await self.find_open(mrid)
        if incident is not None and self._openings.is_new(mrid):
            comment = await self.decisions.note(mrid, reason)
            await self.save(incident, msgspec.structs.replace(incident.body, comment=comment))

    async def count_restored(self, mrid: MRID, customers: int) -> None:
        """So many customers of an incident are known to have supply again who were not before.

        Less than none where a caller has contradicted; none where he has contradicted what was said elsewhere.
        """
        await self._reports.count_restored(mrid, customers)

    def tell_restored(self, mrid: MRID, at: datetime, points: tuple[UsagePointIdentity, ...]) -> None:
        """Tell which points of an incident have supply again since an instant."""
        if points:
            self._openings.tell_restored(mrid, at, points)

    async def events(self) -> tuple[Event, ...]:
        """Regroup, end what nobody is left in; then one event for each manner in which incidents have changed."""
        left = _MOST_MOVED
        while True:
            while left > 0 and (item := self._work.take()) is not None:
                await self._find_first()
                left -= await self._regrouper.regroup(item, left)
            await self._find_first()
            if not await self._end_empty():
                break
        await self._work.keep()
        await self._judge.flush()
        return await self._openings.events()

    async def _find_first(self) -> None:
        """Find out when incidents have begun whose first report has left them; once, however many have."""
        for mrid in self._reports.headless:
            incident = await self.find_open(mrid)
            if incident is None:
                continue
            found = await self._records.select(REPORTS, Selection(keys=((Key("incident", mrid),),), limit=1))
            first = found[0].body.at if found else None
            extent = msgspec.structs.replace(await self.extent(mrid), first_at=first)
            await self._openings.write(incident, incident.body, extent)
        self._reports.headless.clear()

    async def _end_empty(self) -> bool:
        """End touched incidents in which nobody is left, or nobody who is not heard. Whether there were any."""
        touched, self._reports.touched = self._reports.touched, {}
        has_ended = False
        for mrid, reason in touched.items():
            incident = await self.find_open(mrid)
            extent = await self.extent(mrid)
            if incident is None:
                continue
            if extent.premises == 0 and not extent.is_pinned:
                await self.end(incident, CANCELLED, reason)
                has_ended = True
            elif extent.dark == 0 and await self._is_covered(incident, extent):
                await self.end(incident, CLOSED, "")
                has_ended = True
        return has_ended

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
        if extent.restored + excepted < max(extent.customers, extent.premises):
            return False
        # The numbers say so. Now each point, since a number may stand for a point twice and for another not at all.
        return await count_lacking(self._records, incident.mrid, extent.device, below) == 0

    # -------------------------------------------------------------------------------------------- tickets

    async def enter(
        self, ticket: Stored[TroubleTicket], place: Place, asked: Stored[Incident] | None = None
    ) -> Stored[TroubleTicket]:
        """A ticket that is new, open, and not yet in any incident: in the one where it belongs."""
        self.decisions.cause = ticket.mrid
        at = reported_at(ticket.body, self._context.now)
        report = await self._reports.current_report(key_of(ticket))
        if report is None:
            report = await self._reports.first_report(ticket, place, at, asked)
        else:
            await self.decisions.note(report.incident, f"repeat: premises {report.premises} counts once")
            after = msgspec.structs.replace(report, at=min(at, report.at), tickets=report.tickets + 1)
            if not report.path and stated_by(ticket) != report.stated:
                after = await self._reports.recalled(after, ticket)
            report = await self._reports.rewrite(report, after, asked, "the call names it")
        return await self._reports.linked(ticket, report.incident)

    async def alter(
        self,
        before: Stored[TroubleTicket],
        ticket: Stored[TroubleTicket],
        place: Place,
        asked: Stored[Incident] | None = None,
    ) -> Stored[TroubleTicket]:
        """A ticket with what has changed in it, in the incident where it belongs now."""
        self.decisions.cause = ticket.mrid
        key, report = key_of(ticket), await self._reports.report_of(key_of(before))
        if report is None or await self.find_open(report.incident) is None:
            return await self.enter(ticket, place, asked)
        if key != key_of(before):
            await self._reports.leave(before, report, "its tickets are of another place")
            return await self.enter(ticket, place, asked)
        after = await self._reports.recalled(report, ticket)
        report = await self._reports.rewrite(
            report, after, asked, "somebody has moved a ticket into it", besides=ticket.mrid
        )
        await self._reports.take_hazards(report.incident, ticket)
        if report.incident == incident_of(before.body):
            return ticket
        return await self._reports.linked(ticket, report.incident)

    async def settle(self, ticket: Stored[TroubleTicket]) -> bool:
        """A ticket was resolved. It counts until its incident ends. Whether nothing more is open at its premises."""
        report = await self._reports.report_of(key_of(ticket))
        if report is None or report.incident != incident_of(ticket.body):
            return False
        after = msgspec.structs.replace(report, tickets=max(0, report.tickets - 1), settled=report.settled + 1)
        await self._reports.put(report, after, "", settled_at=as_utc(ticket.body.resolved_date_time))
        return not after.is_dark

    async def withdraw(self, ticket: Stored[TroubleTicket]) -> None:
        """A ticket was cancelled: it should not have been, and counts no longer."""
        self.decisions.cause = ticket.mrid
        report = await self._reports.report_of(key_of(ticket))
        if report is not None and report.incident == incident_of(ticket.body):
            await self._reports.leave(ticket, report, "its last ticket was cancelled")

    async def join(
        self, ticket: Stored[TroubleTicket], incident: Stored[Incident], reason: str
    ) -> Stored[TroubleTicket]:
        """An open ticket, in this incident by somebody's word; all other tickets of the premises go with it.

        The ticket comes back as it is to be saved. To move one that is stored and be done with it: `move`.
        """
        self.decisions.cause = ticket.mrid
        report = await self._reports.report_of(key_of(ticket))
        if report is None:
            at = reported_at(ticket.body, self._context.now)
            report = await self._reports.first_report(ticket, Place(), at, incident, reason)
        elif report.incident != incident.mrid or not report.is_placed:
            after = msgspec.structs.replace(report, is_placed=True)
            report = await self._reports.rewrite(report, after, incident, reason, besides=ticket.mrid)
        return await self._reports.linked(ticket, report.incident)

    async def move(self, ticket: Stored[TroubleTicket], incident: Stored[Incident], reason: str) -> None:
        """Move a stored ticket, and with it all of its premises, into another incident, and tell of it."""
        if incident_of(ticket.body) == incident.mrid:
            return
        moved = await self.join(ticket, incident, reason)
        await self._records.save(TICKETS.collection, moved)
        self._openings.tell_moved(moved)

    # -------------------------------------------------------------------------------------------- reports

    async def current_report(self, key: str) -> ReportRecord | None:
        """What is reported of a premises in an open incident. What was in one that has ended is forgotten."""
        return await self._reports.current_report(key)

    async def admit(self, report: ReportRecord, asked: Stored[Incident] | None, reason: str) -> ReportRecord:
        """A report that is new: counted, and in an incident."""
        return await self._reports.admit(report, asked, reason)

    async def rewrite(
        self,
        before: ReportRecord,
        after: ReportRecord,
        reason: str,
        settled_at: datetime | None = None,
    ) -> ReportRecord:
        """A report that has changed, in the incident where it belongs by rule."""
        return await self._reports.rewrite(before, after, None, reason, settled_at=settled_at)

    async def drop(self, report: ReportRecord, reason: str) -> None:
        """A report that should not have been: it leaves its incident and counts no longer."""
        await self._reports.drop(report, reason)
