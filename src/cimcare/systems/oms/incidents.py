"""Incidents during the service of one message: opened, joined, left, ended; and the events that tell of them.

A premises counts once in an incident, however many tickets it has; all its open tickets are in one incident. What an
incident covers is counted and never listed, so that a ticket costs the same in an incident of one and of a hundred
thousand.

Source: IEC 61968-8:2015, clause 5.3; the end of estimatedPeriod is the estimated restoration time, and is not set here.
"""

from datetime import datetime, timedelta

import msgspec

from cimcare.exchange.ports import Event, Key, Selection, ServingContext, Stored
from cimcare.model.identity import MRID
from cimcare.model.incident import Incident, IncidentHazard, IncidentIdentity, UsagePointIdentity
from cimcare.model.trouble_ticket import TroubleTicket
from cimcare.systems.objects import as_utc
from cimcare.systems.oms.decisions import Decisions
from cimcare.systems.oms.devices import DeviceRecord, Supply
from cimcare.systems.oms.grouping import Judge
from cimcare.systems.oms.judgement import bucket_of, instant_of
from cimcare.systems.oms.kinds import (
    CANCELLED,
    CLOSED,
    EXTENTS,
    OPEN,
    REPORTS,
    RESOLVED,
    TICKETS,
    ExtentRecord,
    ReportRecord,
)
from cimcare.systems.oms.opening import Openings
from cimcare.systems.oms.places import Place, devices_of
from cimcare.systems.oms.regrouping import Regrouping, Worklist, behind, next_page
from cimcare.systems.oms.restored import INTERRUPTIONS, count_lacking, outages_below, reconsider
from cimcare.systems.oms.words import carry_words

__all__ = ["IncidentBook", "above", "incident_of", "reported_at"]

_MOST_MOVED = 50
"""Premises that one message or one tick looks at beside its own: some 50 ms of work."""

_PAGE = 50
_FOR_EVER = 10**9


def reported_at(ticket: TroubleTicket, now: datetime) -> datetime:
    """When the trouble was reported; when it was entered if the ticket does not say, failing that now."""
    return as_utc(ticket.date_time_of_report) or as_utc(ticket.created_date_time) or now


def incident_of(ticket: TroubleTicket) -> MRID | None:
    """The incident that a ticket names by its mRID."""
    return ticket.incident.mrid if ticket.incident is not None else None


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
        self._reports: dict[str, ReportRecord | None] = {}
        self._touched: dict[MRID, str] = {}
        self._merged: set[MRID] = set()
        self._headless: dict[MRID, None] = {}

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
        self._work.add(Regrouping(device=device.mrid, first=bucket_of(since), last=_FOR_EVER, why=reason))
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
        if state == CANCELLED and device is not None and incident.mrid not in self._merged:
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
        incident = await self.find_open(mrid)
        if incident is None:
            return
        extent = await self.extent(mrid)
        extent = msgspec.structs.replace(extent, restored=extent.restored + customers, has_words=True)
        await self._openings.write(incident, incident.body, extent)
        self._touched.setdefault(mrid, "")

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
                left -= await self._regroup(item, left)
            await self._find_first()
            if not await self._end_empty():
                break
        await self._work.keep()
        await self._judge.flush()
        return self._openings.events()

    async def _find_first(self) -> None:
        """Find out when incidents have begun whose first report has left them; once, however many have."""
        for mrid in self._headless:
            incident = await self.find_open(mrid)
            if incident is None:
                continue
            found = await self._records.select(REPORTS, Selection(keys=((Key("incident", mrid),),), limit=1))
            first = found[0].body.at if found else None
            extent = msgspec.structs.replace(await self.extent(mrid), first_at=first)
            await self._openings.write(incident, incident.body, extent)
        self._headless.clear()

    async def _end_empty(self) -> bool:
        """End touched incidents in which nobody is left, or nobody who is not heard. Whether there were any."""
        touched, self._touched = self._touched, {}
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
        report = await self.current_report(_key_of(ticket))
        if report is None:
            report = await self._first_report(ticket, place, at, asked)
        else:
            await self.decisions.note(report.incident, f"repeat: premises {report.premises} counts once")
            after = msgspec.structs.replace(report, at=min(at, report.at), tickets=report.tickets + 1)
            if not report.path and _stated_by(ticket) != report.stated:
                after = await self._recalled(after, ticket)
            report = await self.rewrite(report, after, asked, "the call names it")
        return await self._linked(ticket, report.incident)

    async def alter(
        self,
        before: Stored[TroubleTicket],
        ticket: Stored[TroubleTicket],
        place: Place,
        asked: Stored[Incident] | None = None,
    ) -> Stored[TroubleTicket]:
        """A ticket with what has changed in it, in the incident where it belongs now."""
        self.decisions.cause = ticket.mrid
        key, report = _key_of(ticket), await self.report_of(_key_of(before))
        if report is None or await self.find_open(report.incident) is None:
            return await self.enter(ticket, place, asked)
        if key != _key_of(before):
            await self._leave(before, report, "its tickets are of another place")
            return await self.enter(ticket, place, asked)
        after = await self._recalled(report, ticket)
        report = await self.rewrite(report, after, asked, "somebody has moved a ticket into it", besides=ticket.mrid)
        await self._take_hazards(report.incident, ticket)
        if report.incident == incident_of(before.body):
            return ticket
        return await self._linked(ticket, report.incident)

    async def settle(self, ticket: Stored[TroubleTicket]) -> bool:
        """A ticket was resolved. It counts until its incident ends. Whether nothing more is open at its premises."""
        report = await self.report_of(_key_of(ticket))
        if report is None or report.incident != incident_of(ticket.body):
            return False
        after = msgspec.structs.replace(report, tickets=max(0, report.tickets - 1), settled=report.settled + 1)
        await self._put(report, after, "", settled_at=as_utc(ticket.body.resolved_date_time))
        return not after.is_dark

    async def withdraw(self, ticket: Stored[TroubleTicket]) -> None:
        """A ticket was cancelled: it should not have been, and counts no longer."""
        self.decisions.cause = ticket.mrid
        report = await self.report_of(_key_of(ticket))
        if report is not None and report.incident == incident_of(ticket.body):
            await self._leave(ticket, report, "its last ticket was cancelled")

    async def join(
        self, ticket: Stored[TroubleTicket], incident: Stored[Incident], reason: str
    ) -> Stored[TroubleTicket]:
        """An open ticket, in this incident by somebody's word; all other tickets of the premises go with it.

        The ticket comes back as it is to be saved. To move one that is stored and be done with it: `move`.
        """
        self.decisions.cause = ticket.mrid
        report = await self.report_of(_key_of(ticket))
        if report is None:
            at = reported_at(ticket.body, self._context.now)
            report = await self._first_report(ticket, Place(), at, incident, reason)
        elif report.incident != incident.mrid or not report.is_placed:
            after = msgspec.structs.replace(report, is_placed=True)
            report = await self.rewrite(report, after, incident, reason, besides=ticket.mrid)
        return await self._linked(ticket, report.incident)

    async def move(self, ticket: Stored[TroubleTicket], incident: Stored[Incident], reason: str) -> None:
        """Move a stored ticket, and with it all of its premises, into another incident, and tell of it."""
        if incident_of(ticket.body) == incident.mrid:
            return
        moved = await self.join(ticket, incident, reason)
        await self._records.save(TICKETS.collection, moved)
        self._openings.tell_moved(moved)

    # ------------------------------------------------------------------------------------------ regrouping

    async def _regroup(self, item: Regrouping, most: int) -> int:
        """Do a part of the work; what is left of it goes back onto the list. How much of the budget it took."""
        if item.incident is None:
            return await self._spread(item)
        if item.into is not None:
            return await self._carry(item, item.incident, item.into)
        incident = await self._openings.find(item.incident)
        if incident is None or (incident.state == OPEN) == item.is_ended:
            return 1
        if not item.is_ended and item.after is None:
            await self._judge.loosen(incident)
        wanted = Selection(keys=((Key("incident", item.incident),),), limit=min(most, _PAGE))
        page = await next_page(self._records, REPORTS, wanted, item)
        for stored in page:
            if item.is_ended:
                await self._forget(stored.body)
            else:
                await self._look_again(stored.body, item)
        if len(page) == wanted.limit:
            self._work.put_back(item if item.is_ended else behind(item, page[-1]))
        elif item.is_ended:
            await self._judge.release(item.incident)
        else:
            await self._ground(item)
        return max(1, len(page))

    async def _carry(self, item: Regrouping, source: MRID, into: MRID) -> int:
        """What was said of single points of an incident holds in the one to which premises of it have moved."""
        target = await self.find_open(into)
        if target is None:
            return 1
        wanted = Selection(keys=((Key("incident", source),),), limit=_PAGE)
        page = await next_page(self._records, INTERRUPTIONS, wanted, item)
        if len(page) == wanted.limit:
            self._work.put_back(behind(item, page[-1]))
        device = (await self.extent(into)).device
        restored, is_any = await carry_words(self._records, page, target, device, self._context.now)
        if is_any:
            await self.count_restored(into, restored)
        return max(1, len(page))

    async def _spread(self, item: Regrouping) -> int:
        """Put the incidents on the list that are below a device, or all that are open."""
        wanted = Selection(states=(OPEN,), limit=_PAGE)
        if item.device is not None:
            wanted = msgspec.structs.replace(
                wanted,
                keys=((Key("above", item.device),),),
                since=instant_of(item.first),
                until=instant_of(item.last + 1) - timedelta(microseconds=1),
            )
        page = await next_page(self._records, EXTENTS, wanted, item)
        if len(page) == wanted.limit:
            self._work.put_back(behind(item, page[-1]))
        for stored in page:
            # What a suspected device has gathered is at home there; a confirmed one takes that over, too.
            is_at_home = stored.body.device == item.device and item.device is not None and item.last < _FOR_EVER
            if not stored.body.is_pinned and not is_at_home:
                self._work.add(Regrouping(incident=stored.mrid, why=item.why))
        return max(1, len(page) // 5)

    async def _look_again(self, report: ReportRecord, item: Regrouping) -> None:
        """A premises in the incident where it belongs by now."""
        report = await self.report_of(report.premises) or report
        incident = await self.find_open(item.incident)
        if incident is None or report.incident != item.incident or report.is_placed:
            return
        extent = await self.extent(incident.mrid)
        target, why = await self._judge.target(report, incident if extent.is_adrift else None)
        extent = await self.extent(incident.mrid)
        if target is None:
            if extent.is_adrift:
                await self._openings.place(
                    incident, None, f"{item.why}; {why}", path=report.path, service=report.premises
                )
                return
            if extent.device is None and extent.service == report.premises:
                return
            target = await self._open_alone(report, why)
        await self._move(report, target, why if item.why == why else f"{item.why}; {why}")

    async def _ground(self, item: Regrouping) -> None:
        """All of an incident were looked at, and nothing has claimed it: what is left in it was put there by hand."""
        incident = await self.find_open(item.incident)
        if incident is None:
            return
        extent = await self.extent(incident.mrid)
        self._touched.setdefault(incident.mrid, item.why)
        if extent.is_adrift and extent.premises > 0:
            await self._openings.place(incident, None, item.why, path=())

    async def _forget(self, report: ReportRecord) -> None:
        """What was reported in an incident that has ended counts no longer."""
        self._reports[report.premises] = None
        await self._records.drop(REPORTS, MRID(report.premises))
        await self._judge.count(report, -1)
        await self._judge.settle(report)

    # -------------------------------------------------------------------------------------------- reports

    async def report_of(self, key: str) -> ReportRecord | None:
        """What is reported of a premises; None if nothing is."""
        if key not in self._reports:
            stored = await self._records.find(REPORTS, MRID(key))
            self._reports[key] = stored.body if stored is not None else None
        return self._reports[key]

    async def current_report(self, key: str) -> ReportRecord | None:
        """What is reported of a premises in an open incident. What was in one that has ended is forgotten."""
        report = await self.report_of(key)
        if report is not None and await self.find_open(report.incident) is None:
            await self._forget(report)
            return None
        return report

    async def _first_report(
        self,
        ticket: Stored[TroubleTicket],
        place: Place,
        at: datetime,
        asked: Stored[Incident] | None,
        reason: str = "the call names it",
    ) -> ReportRecord:
        stated = _stated_by(ticket)
        supply = await self._judge.find_supply(ticket.keys, place.transformer, "")
        is_by_stated = not supply.path and bool(stated)
        if is_by_stated:
            supply = await self._judge.find_supply(frozenset(), "", stated)
        report = ReportRecord(
            premises=_key_of(ticket),
            incident=MRID(""),
            at=at,
            tickets=1,
            stated=stated,
            is_critical=any(key.sort == "critical" for key in ticket.keys)
            or (supply.point is not None and supply.point.is_critical),
            is_placed=asked is not None,
        )
        report = above(report, supply, is_by_stated=is_by_stated)
        return await self.admit(report, asked, reason)

    async def admit(self, report: ReportRecord, asked: Stored[Incident] | None, reason: str) -> ReportRecord:
        """A report that is new: counted, and in an incident."""
        await self._judge.count(report, 1)
        await self._judge.settle(report)
        incident, why = asked, reason
        if incident is None:
            incident, why = await self._judge.target(report)
        if incident is None:
            incident = await self._open_alone(report, why)
        else:
            await self.decisions.note(incident.mrid, f"premises {report.premises} joins: {why}")
        report = msgspec.structs.replace(report, incident=incident.mrid)
        await self._put(None, report, why)
        return report

    async def _open_alone(self, report: ReportRecord, why: str) -> Stored[Incident]:
        """An incident of one of the premises."""
        extent = ExtentRecord(path=report.path, service=report.premises, is_unresolved=not report.path)
        feeder = next(iter(await self._judge.devices(report.path[:1])), None)
        return await self._openings.open_at(
            None,
            f"opened for premises {report.premises}: {why}",
            report.at,
            extent,
            stated="" if report.path else report.stated,
            feeder=feeder if feeder is not None and feeder.customers <= 1 else None,
        )

    async def drop(self, report: ReportRecord, reason: str) -> None:
        """A report that should not have been: it leaves its incident and counts no longer."""
        await self._put(report, None, reason)
        await self._judge.count(report, -1)
        await self._judge.settle(report)

    async def rewrite(
        self,
        before: ReportRecord,
        after: ReportRecord,
        asked: Stored[Incident] | None,
        reason: str,
        besides: MRID | None = None,
        settled_at: datetime | None = None,
    ) -> ReportRecord:
        """A report that has changed, in the incident that somebody asks for, failing that where it belongs by rule."""
        if asked is not None:
            after = msgspec.structs.replace(after, is_placed=True)
        is_recounted = (bucket_of(after.at), after.path) != (bucket_of(before.at), before.path)
        if is_recounted:
            await self._judge.count(before, -1)
            await self._judge.count(after, 1)
        await self._put(before, after, reason, settled_at=settled_at)
        if is_recounted:
            await self._judge.settle(before)
            await self._judge.settle(after)
        if asked is not None:
            return await self._move(after, asked, reason, besides=besides)
        if after.is_placed or (not is_recounted and after.stated == before.stated):
            return after
        target, why = await self._judge.target(after)
        if target is None:
            extent = await self.extent(after.incident)
            if extent.service == after.premises or not after.path:
                return after
            target = await self._open_alone(after, why)
        return await self._move(after, target, why, besides=besides)

    async def _leave(self, ticket: Stored[TroubleTicket], report: ReportRecord, reason: str) -> None:
        """The premises without this ticket, which no longer belongs to it."""
        tickets = max(0, report.tickets - 1)
        if tickets == 0 and report.settled == 0 and report.off_at is None:
            await self.drop(report, reason)
            return
        after = await self._recalled(msgspec.structs.replace(report, tickets=tickets), None, besides=ticket.mrid)
        await self.rewrite(report, after, None, reason, besides=ticket.mrid)

    async def _recalled(
        self, report: ReportRecord, ticket: Stored[TroubleTicket] | None, besides: MRID | None = None
    ) -> ReportRecord:
        """The report by all tickets that count, as `ticket` stands now and without the one `besides`.

        It is of the earliest instant, and states what the earliest of them states.
        """
        now, mine = self._context.now, ticket.mrid if ticket is not None else besides
        counting = [one for one in await self._tickets(report) if one.mrid != mine]
        counting += [ticket] if ticket is not None else []
        counting.sort(key=lambda one: (reported_at(one.body, now), one.mrid))
        instants = [reported_at(one.body, now) for one in counting[:1]]
        instants += [report.off_at] if report.off_at is not None else []
        stated = next((name for one in counting for name in devices_of(one.body)), "")
        after = msgspec.structs.replace(report, at=min(instants, default=report.at), stated=stated)
        if stated != report.stated and (not report.path or report.is_by_stated):
            supply = await self._judge.find_supply(frozenset(), "", stated)
            after = above(after, supply, is_by_stated=True)
        return after

    async def _tickets(self, report: ReportRecord) -> tuple[Stored[TroubleTicket], ...]:
        """Tickets of the premises in its incident that count."""
        wanted = Selection(keys=((Key("premises", report.premises),),), states=(OPEN, RESOLVED))
        found = await self._records.select(TICKETS.collection, wanted)
        return tuple(one for one in found if incident_of(one.body) == report.incident)

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
                self._openings.tell_moved(linked)
        moved = msgspec.structs.replace(report, incident=incident.mrid)
        await self.decisions.note(incident.mrid, f"premises {report.premises} moves in: {reason}")
        self._merged.add(report.incident)
        if (await self.extent(report.incident)).has_words:
            self._work.add(Regrouping(incident=report.incident, into=incident.mrid, why="its premises have moved"))
        await self._put(report, moved, f"merged into incident {incident.mrid}: {reason}")
        return moved

    async def _linked(self, ticket: Stored[TroubleTicket], mrid: MRID) -> Stored[TroubleTicket]:
        """The ticket with the incident in it, which learns of the ticket and its hazards."""
        now = self._context.now
        body = msgspec.structs.replace(ticket.body, incident=IncidentIdentity(mrid=mrid), last_modified_date_time=now)
        keys = frozenset(key for key in ticket.keys if key.sort != "incident") | {Key("incident", mrid)}
        linked = msgspec.structs.replace(ticket, body=body, keys=keys, modified_at=now)
        self._openings.name(mrid, linked)
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
                if is_gone and extent.first_at is not None and before.at <= extent.first_at:
                    self._headless[mrid] = None
                extent = _without(extent, before)
            if after is not None and after.incident == mrid:
                extent = _with(extent, after)
            if settled_at is not None and (extent.settled_at is None or settled_at > extent.settled_at):
                extent = msgspec.structs.replace(extent, settled_at=settled_at)
            incident = await self.find_open(mrid)
            if incident is not None:
                await self._openings.write(incident, incident.body, extent)
            self._touched[mrid] = reason


def _key_of(ticket: Stored[TroubleTicket]) -> str:
    return next((key.value for key in ticket.keys if key.sort == "premises"), "")


def _stated_by(ticket: Stored[TroubleTicket]) -> str:
    return next(iter(devices_of(ticket.body)), "")


def above(report: ReportRecord, supply: Supply, *, is_by_stated: bool = False) -> ReportRecord:
    """The report with the devices above it."""
    path = supply.path
    own = supply.point.customers if supply.point is not None else 1
    return msgspec.structs.replace(
        report,
        path=tuple(device.mrid for device in path),
        sizes=(max(1, own), *(device.customers for device in path[:-1])) if path else (),
        spot=_spot_of(path[0]) if path else None,
        lateral=_lateral_of(path[1]) if len(path) > 1 else None,
        is_by_stated=is_by_stated,
    )


def _spot_of(device: DeviceRecord) -> tuple[MRID, int]:
    """Where calls are counted of customers that a device supplies directly: apart where it feeds other devices too."""
    is_leaf = device.direct == device.customers
    return device.mrid if is_leaf else MRID(f"{device.mrid}/direct"), device.direct


def _lateral_of(device: DeviceRecord) -> tuple[MRID, int]:
    """Where calls are counted of customers whose own device is fed next by this one."""
    return MRID(f"{device.mrid}/near"), device.near


def _without(extent: ExtentRecord, report: ReportRecord) -> ExtentRecord:
    """The extent without a report. When it begins then is found out later."""
    return msgspec.structs.replace(
        extent,
        premises=extent.premises - 1,
        critical=extent.critical - report.is_critical,
        dark=extent.dark - report.is_dark,
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
