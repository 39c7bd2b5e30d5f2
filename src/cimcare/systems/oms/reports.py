"""Premises of which something is reported, each in one incident, and what the incidents count of them.

A premises counts once in an incident, however many tickets it has; all its open tickets are in one incident. What an
incident covers is counted and never listed, so that a ticket costs the same in an incident of one and of a hundred
thousand.
"""

from datetime import datetime

import msgspec

from cimcare.exchange.ports import Key, Selection, ServingContext, Stored
from cimcare.model.identity import MRID
from cimcare.model.incident import Incident, IncidentHazard, IncidentIdentity
from cimcare.model.trouble_ticket import TroubleTicket
from cimcare.systems.objects import as_utc
from cimcare.systems.oms.accounts import EntryRecord, EntrySort, note_entry
from cimcare.systems.oms.devices import DeviceRecord, Supply
from cimcare.systems.oms.grouping import Judge
from cimcare.systems.oms.judgement import bucket_of
from cimcare.systems.oms.kinds import OPEN, REPORTS, RESOLVED, TICKETS, ExtentRecord, ReportRecord, incident_of
from cimcare.systems.oms.opening import Openings
from cimcare.systems.oms.places import Place, devices_of
from cimcare.systems.oms.points import Points
from cimcare.systems.oms.regrouping import Regrouping, Worklist
from cimcare.systems.oms.restored import RESTORATIONS

__all__ = ["Reports", "above", "key_of", "reported_at", "stated_by"]


def reported_at(ticket: TroubleTicket, now: datetime) -> datetime:
    """When the trouble was reported; when it was entered if the ticket does not say, failing that now."""
    return as_utc(ticket.date_time_of_report) or as_utc(ticket.created_date_time) or now


class Reports:
    """Premises with something reported, as one message touches them.

    `touched` are incidents that may have to end now, each with the reason; `merged` are those whose premises have moved
    into another; of the `headless` the first report has left them, so that their beginning has to be found out.
    """

    def __init__(self, context: ServingContext, openings: Openings, judge: Judge, work: Worklist) -> None:
        self._context = context
        self._records = context.records
        self._openings = openings
        self._judge = judge
        self._work = work
        self._known: dict[str, ReportRecord | None] = {}
        self.touched: dict[MRID, str] = {}
        self.merged: set[MRID] = set()
        self.headless: dict[MRID, None] = {}

    async def report_of(self, key: str) -> ReportRecord | None:
        """What is reported of a premises; None if nothing is."""
        if key not in self._known:
            stored = await self._records.find(REPORTS, MRID(key))
            self._known[key] = stored.body if stored is not None else None
        return self._known[key]

    async def current_report(self, key: str) -> ReportRecord | None:
        """What is reported of a premises in an open incident. What was in one that has ended is forgotten."""
        report = await self.report_of(key)
        if report is not None and await self._openings.find_open(report.incident) is None:
            await self.forget(report)
            return None
        return report

    async def first_report(
        self,
        ticket: Stored[TroubleTicket],
        place: Place,
        at: datetime,
        asked: Stored[Incident] | None,
        reason: str = "the call names it",
    ) -> ReportRecord:
        """What a ticket reports of premises of which nothing was reported yet."""
        stated = stated_by(ticket)
        supply = await self._judge.find_supply(ticket.keys, place.transformer, "")
        is_by_stated = not supply.path and bool(stated)
        if is_by_stated:
            supply = await self._judge.find_supply(frozenset(), "", stated)
        report = ReportRecord(
            premises=key_of(ticket),
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
            incident = await self.open_alone(report, why)
        else:
            await self._openings.decisions.note(incident.mrid, f"premises {report.premises} joins: {why}")
        report = msgspec.structs.replace(report, incident=incident.mrid)
        await self.put(None, report, why)
        return report

    async def open_alone(self, report: ReportRecord, why: str) -> Stored[Incident]:
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
        await self.put(report, None, reason)
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
        await self.put(before, after, reason, settled_at=settled_at)
        if is_recounted:
            await self._judge.settle(before)
            await self._judge.settle(after)
        if asked is not None:
            return await self.move(after, asked, reason, besides=besides)
        if after.is_placed or (not is_recounted and after.stated == before.stated):
            return after
        target, why = await self._judge.target(after)
        if target is None:
            extent = await self._openings.extent(after.incident)
            if extent.service == after.premises or not after.path:
                return after
            target = await self.open_alone(after, why)
        return await self.move(after, target, why, besides=besides)

    async def leave(self, ticket: Stored[TroubleTicket], report: ReportRecord, reason: str) -> None:
        """The premises without this ticket, which no longer belongs to it."""
        tickets = max(0, report.tickets - 1)
        if tickets == 0 and report.settled == 0 and report.off_at is None:
            await self.drop(report, reason)
            return
        after = await self.recalled(msgspec.structs.replace(report, tickets=tickets), None, besides=ticket.mrid)
        await self.rewrite(report, after, None, reason, besides=ticket.mrid)

    async def recalled(
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

    async def move(
        self, report: ReportRecord, incident: Stored[Incident], reason: str, besides: MRID | None = None
    ) -> ReportRecord:
        """The premises in another incident, with all its tickets but the one that the caller saves himself."""
        if report.incident == incident.mrid:
            return report
        for ticket in await self._tickets(report):
            if ticket.mrid != besides:
                linked = await self.linked(ticket, incident.mrid)
                await self._records.save(TICKETS.collection, linked)
                self._openings.tell_moved(linked)
        moved = msgspec.structs.replace(report, incident=incident.mrid)
        await self._openings.decisions.note(incident.mrid, f"premises {report.premises} moves in: {reason}")
        self.merged.add(report.incident)
        if (await self._openings.extent(report.incident)).has_words:
            self._work.add(Regrouping(incident=report.incident, into=incident.mrid, why="its premises have moved"))
        await self.put(report, moved, f"merged into incident {incident.mrid}: {reason}")
        return moved

    async def linked(self, ticket: Stored[TroubleTicket], mrid: MRID) -> Stored[TroubleTicket]:
        """The ticket with the incident in it, which learns of the ticket and its hazards."""
        now = self._context.now
        body = msgspec.structs.replace(ticket.body, incident=IncidentIdentity(mrid=mrid), last_modified_date_time=now)
        keys = frozenset(key for key in ticket.keys if key.sort != "incident") | {Key("incident", mrid)}
        linked = msgspec.structs.replace(ticket, body=body, keys=keys, modified_at=now)
        self._openings.name(mrid, linked)
        await self.take_hazards(mrid, linked)
        return linked

    async def take_hazards(self, mrid: MRID, ticket: Stored[TroubleTicket]) -> None:
        """The incident has the hazards of its ticket, too."""
        incident = await self._openings.find_open(mrid)
        if incident is None:
            return
        new = tuple(one for one in dict.fromkeys(ticket.body.hazards) if one not in incident.body.hazards)
        if new:
            hazards: tuple[IncidentHazard, ...] = (*incident.body.hazards, *new)
            body = msgspec.structs.replace(incident.body, hazards=hazards)
            await self._openings.write(incident, body, await self._openings.extent(mrid))

    async def put(
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
            self._known[after.premises] = after
            stored = Stored(
                mrid=MRID(after.premises),
                body=after,
                created_at=after.at,
                modified_at=self._context.now,
                keys=frozenset({Key("incident", after.incident)}),
            )
            await self._records.save(REPORTS, stored)
        elif before is not None:
            self._known[before.premises] = None
            await self._records.drop(REPORTS, MRID(before.premises))
        mrids = dict.fromkeys(one.incident for one in (before, after) if one is not None)
        for mrid in mrids:
            extent = await self._openings.extent(mrid)
            if before is not None and before.incident == mrid:
                is_gone = after is None or after.incident != mrid or after.at > before.at
                if is_gone and extent.first_at is not None and before.at <= extent.first_at:
                    self.headless[mrid] = None
                extent = _without(extent, before)
            if after is not None and after.incident == mrid:
                extent = _with(extent, after)
            if settled_at is not None and (extent.settled_at is None or settled_at > extent.settled_at):
                extent = msgspec.structs.replace(extent, settled_at=settled_at)
            incident = await self._openings.find_open(mrid)
            if incident is not None:
                await self._openings.write(incident, incident.body, extent)
            self.touched[mrid] = reason

    async def _end_meter(self, report: ReportRecord) -> None:
        """The word that ended an outage is about a place, too, of which nothing but a meter has told.

        Places below the device of the outage are gone through with all others there.
        """
        word = await self._records.find(RESTORATIONS, report.incident)
        incident = await self._openings.find(report.incident)
        if word is None or incident is None:
            return
        span = word.body.span
        entry = EntryRecord(
            point=report.point, sort=EntrySort.OUTAGE, at=span.started_at, outage=span, customers=report.customers
        )
        await note_entry(self._records, entry, self._context.now)
        if report.off_at is None or report.on_at is not None or word.body.device in report.path:
            return
        points = Points(self._context, self._openings.find_open, self.count_restored)
        devices = await self._judge.devices(report.path)
        said, is_by_point = word.body, word.body.device is None
        await points.restore(
            incident, report.point, report.customers, said.at, said.evidence, devices, is_by_point=is_by_point
        )

    async def forget(self, report: ReportRecord) -> None:
        """What was reported in an incident that has ended counts no longer."""
        if report.point:
            await self._end_meter(report)
        self._known[report.premises] = None
        await self._records.drop(REPORTS, MRID(report.premises))
        await self._judge.count(report, -1)
        await self._judge.settle(report)

    async def count_restored(self, mrid: MRID, customers: int) -> None:
        """So many customers of an incident are known to have supply again who were not before.

        Less than none where a caller has contradicted; none where he has contradicted what was said elsewhere.
        """
        incident = await self._openings.find_open(mrid)
        if incident is None:
            return
        extent = await self._openings.extent(mrid)
        extent = msgspec.structs.replace(extent, restored=extent.restored + customers, has_words=True)
        await self._openings.write(incident, incident.body, extent)
        self.touched.setdefault(mrid, "")


def key_of(ticket: Stored[TroubleTicket]) -> str:
    """The key of the premises of a ticket; empty if it has none."""
    return next((key.value for key in ticket.keys if key.sort == "premises"), "")


def stated_by(ticket: Stored[TroubleTicket]) -> str:
    """The device that a ticket names first; empty if it names none."""
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
