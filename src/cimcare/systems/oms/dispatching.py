"""Incidents as requests: what dispatchers, crews and other systems say of outages, and what is taken over of it.

State, extent and restoration time of an incident are the OMS's to tell; a request says what somebody knows, and who
that is. `status.reason` names how it is known (`operator`, `crew`, `meter`, `callback`), `status.remark` or Header/User
by whom. Without that no restoration and no time of one is taken.

Source: IEC 61968-8:2015, clause 5.3, which knows the events and the get; the requests are our profile.
"""

from datetime import datetime

import msgspec

from cimcare.errors import Finding
from cimcare.exchange.ports import Event, Key, Selection, Served, ServingContext, Stored
from cimcare.model.enumerations import WorkStatusKind
from cimcare.model.envelope import RequestMessage
from cimcare.model.identity import MRID
from cimcare.model.incident import Incident, IncidentOutage, IncidentWork, UsagePointIdentity
from cimcare.model.values import DateTimeInterval, Status
from cimcare.model.verbs import Verb
from cimcare.rules.lifecycle import check_transition
from cimcare.systems.etr import parse_remark
from cimcare.systems.identity import describe_identity, labels_of, lookup_keys, mrid_of
from cimcare.systems.merging import merge
from cimcare.systems.objects import Said, as_utc, find_said, find_twin, refused, said_in, said_or_named_in, warning_of
from cimcare.systems.oms.devices import DEVICES, DeviceRecord, ServicePointRecord, find_device, find_supply
from cimcare.systems.oms.estimates import NOTHING_SAID, Estimate, EstimateSource, Stage
from cimcare.systems.oms.estimating import estimate_shown, judge_estimate, keep_estimate, with_estimate
from cimcare.systems.oms.incidents import IncidentBook
from cimcare.systems.oms.kinds import CANCELLED, DEVICE_NAMES, INCIDENTS, OPEN, TICKETS, ExtentRecord
from cimcare.systems.oms.restored import (
    SKEW,
    Evidence,
    EvidenceKind,
    count_lacking,
    named_in,
    outages_above,
    outages_below,
    read_evidence,
    start_of,
)
from cimcare.systems.oms.restoring import MOST_LATE, Restorer, is_later
from cimcare.systems.serving import Course

__all__ = ["cancel_incidents", "change_incidents", "close_incidents", "create_incidents"]

_CLAUSE = "IEC 61968-8:2015, 5.3"
_SENT = frozenset({WorkStatusKind.dispatched, WorkStatusKind.enroute, WorkStatusKind.onSite, WorkStatusKind.inProgress})
"""States of work in which a crew is on it."""

_OURS = ("created_date_time", "last_modified_date_time", "location", "outage", "status", "trouble_tickets", "type")
"""Members of an incident that a request may state and that are not merely copied."""

_WHO = "status.reason operator, crew, meter or callback, and who says it in status.remark or Header/User"


async def create_incidents(message: RequestMessage, context: ServingContext) -> Served:
    """Take outages that no call has told of: planned ones, or what the control room sees."""
    desk = _Desk(context)
    course: Course[Incident] = Course(INCIDENTS, context)
    for said in said_in(message, INCIDENTS):
        if said.body is not None:
            await desk.serve(course, said, await desk.create(said, said.body))
    return course.served(Verb.CREATED, await desk.events())


async def change_incidents(message: RequestMessage, context: ServingContext) -> Served:
    """Take what is known of outages: estimates, crews, causes, devices, points that have supply again."""
    desk = _Desk(context)
    course: Course[Incident] = Course(INCIDENTS, context)
    for said in said_in(message, INCIDENTS):
        found = await find_said(context.records, INCIDENTS, said)
        if isinstance(found, Finding) or said.body is None:
            course.refuse(*((found,) if isinstance(found, Finding) else ()))
        else:
            await desk.serve(course, said, await desk.change(said, found, said.body))
    return course.served(Verb.CHANGED, await desk.events())


async def close_incidents(message: RequestMessage, context: ServingContext) -> Served:
    """Take the word that outages are over, from who can know it."""
    return await _end(message, context, Verb.CLOSE)


async def cancel_incidents(message: RequestMessage, context: ServingContext) -> Served:
    """Take back outages that proved false."""
    return await _end(message, context, Verb.CANCEL)


async def _end(message: RequestMessage, context: ServingContext, verb: Verb) -> Served:
    desk = _Desk(context)
    course: Course[Incident] = Course(INCIDENTS, context)
    found: dict[MRID, tuple[Said[Incident], Stored[Incident]]] = {}
    for said in said_or_named_in(message, INCIDENTS):
        stored = await find_said(context.records, INCIDENTS, said)
        if isinstance(stored, Finding):
            course.refuse(stored)
        elif stored.mrid not in found or said.body is not None:
            found[stored.mrid] = (said, stored)
    for said, stored in found.values():
        end = desk.close if verb is Verb.CLOSE else desk.cancel
        await desk.serve(course, said, await end(said, stored, said.body or Incident()))
    return course.served(Verb.CLOSED if verb is Verb.CLOSE else Verb.CANCELED, await desk.events())


class _Outcome(msgspec.Struct, frozen=True):
    """The incident that was served, None if it was refused; findings are then why, else warnings."""

    mrid: MRID | None
    findings: tuple[Finding, ...] = ()


def _refusal(*findings: Finding) -> _Outcome:
    return _Outcome(None, findings)


class _Desk:
    """Judges the incidents of one message, one by one. A refusal comes before anything is written."""

    def __init__(self, context: ServingContext) -> None:
        self._context = context
        self._records = context.records
        self._book = IncidentBook(context)
        self._restorer = Restorer(context, self._book)

    async def events(self) -> tuple[Event, ...]:
        """What has come of it, to be told."""
        own = self._restorer.events()
        return (*await self._book.events(), *own)

    async def serve(self, course: Course[Incident], said: Said[Incident], outcome: _Outcome) -> None:
        """Note the outcome of one incident."""
        if outcome.mrid is None:
            course.refuse(*outcome.findings)
            return
        course.warn(*outcome.findings)
        course.accept(outcome.mrid, None)

    # ---------------------------------------------------------------------------------------------------- create

    async def create(self, said: Said[Incident], body: Incident) -> _Outcome:
        """A new incident at a device, or where its tickets are."""
        twin = await find_twin(self._records, INCIDENTS, body)
        if twin is not None:
            found = f"Incident {said.identity(INCIDENTS)} exists already (mRID {twin.mrid})"
            accepted = "an mRID and names that no other incident has, or the verb change"
            return _refusal(refused("LIF-103", said, INCIDENTS, found, accepted, _CLAUSE))
        outage = body.outage or IncidentOutage()
        if _ends(outage) is not None:
            return _refusal(self._restored_at_birth(said))
        new = self._estimate_of(body)
        if isinstance(new, str):
            return _refusal(self._nobody(said, new))
        decision = None if new is None else await judge_estimate(said, Incident(), new, self._context)
        if isinstance(decision, Finding):
            return _refusal(decision)
        period = outage.actual_period or outage.estimated_period or DateTimeInterval()
        started_at = as_utc(period.start) or self._context.now
        device, warnings = await self._device_of(said, body)
        who = named_in(body.status, self._context.header) or _owner_of(body) or "nobody named"
        opened = await self._book.open_for(
            device,
            f"Reported by {who} as a request",
            started_at,
            mrid=mrid_of(body),
            is_unresolved=device is None and body.location is None,
            is_planned=outage.is_planned is True,
            is_pinned=device is not None,
        )
        wanted = _copied(opened.body, body)
        if device is None and body.location is not None:
            wanted = msgspec.structs.replace(wanted, location=body.location)
        if new is not None and decision is not None:
            await keep_estimate(self._context, opened.mrid, NOTHING_SAID, new, decision)
            wanted = with_estimate(wanted, new)
        current = await self._book.save(opened, wanted)
        warnings += await self._take_tickets(said, current, body)
        return _Outcome(current.mrid, warnings)

    # ---------------------------------------------------------------------------------------------------- change

    async def change(self, said: Said[Incident], stored: Stored[Incident], body: Incident) -> _Outcome:
        """What somebody knows of an open incident."""
        current = await self._book.find(stored.mrid) or stored
        wrong = check_transition(INCIDENTS.noun, current.state, Verb.CHANGE, path=said.path, object_id=stored.mrid)
        if wrong is not None:
            return _refusal(wrong)
        if self._context.removes:
            return _refusal(self._not_removed(said))
        points = body.outage.usage_points if body.outage is not None else ()
        ended_at = _ends(body.outage) if body.outage is not None else None
        evidence = read_evidence(body.status, self._context.header)
        if points and ended_at is None:
            return _refusal(self._points_without_instant(said))
        if ended_at is not None:
            if evidence is None:
                return _refusal(self._nobody(said, "a restoration"))
            if not points:
                return _refusal(self._whole_by_change(said))
        wrong = self._not_at(said, current, body.outage, ended_at)
        if wrong is not None:
            return _refusal(wrong)
        new = self._estimate_of(body)
        if isinstance(new, str):
            return _refusal(self._nobody(said, new))
        if new is None:
            new = self._sent(current, body)
        ended_at = None if ended_at is None else min(ended_at, self._context.now)
        warnings: tuple[Finding, ...] = ()
        if body.status is not None and body.status.value not in (None, OPEN):
            warnings += (self._state_is_ours(said, body.status.value),)
        wanted = _copied(current.body, body)
        if new is not None:
            decision = await judge_estimate(said, current.body, new, self._context)
            if isinstance(decision, Finding):
                return _refusal(decision)
            await keep_estimate(self._context, current.mrid, estimate_shown(current.body), new, decision)
            if decision.is_told:
                wanted = with_estimate(wanted, new)
        device, unknown = await self._device_of(said, body)
        warnings += unknown
        current = await self._book.save(current, wanted)
        if device is not None:
            who = named_in(body.status, self._context.header) or "a request"
            current = await self._book.pin(current, device, f"{who} has confirmed {device.kind} {device.name}")
        warnings += await self._take_tickets(said, current, body)
        if points and ended_at is not None and evidence is not None:
            current = await self._book.find_open(current.mrid) or current
            warnings += await self._restore_points(said, current, points, evidence, ended_at)
        return _Outcome(stored.mrid, warnings)

    # ----------------------------------------------------------------------------------------------- close, cancel

    async def close(self, said: Said[Incident], stored: Stored[Incident], body: Incident) -> _Outcome:
        """The end of an outage, if the evidence covers all who are believed out."""
        current = await self._book.find(stored.mrid) or stored
        wrong = check_transition(INCIDENTS.noun, current.state, Verb.CLOSE, path=said.path, object_id=stored.mrid)
        if wrong is not None:
            return _refusal(wrong)
        evidence = read_evidence(body.status, self._context.header)
        if evidence is None:
            return _refusal(self._nobody(said, "a restoration"))
        at = (_ends(body.outage) if body.outage is not None else None) or self._context.now
        wrong = self._not_at(said, current, body.outage, at)
        if wrong is not None:
            return _refusal(wrong)
        at = min(at, self._context.now)
        points = body.outage.usage_points if body.outage is not None else ()
        excepted = await self._excepted(current, at)
        warnings: tuple[Finding, ...] = ()
        if not evidence.kind.covers_device:
            lacking = await self._uncovered(current, points, excepted, evidence, at)
            if lacking:
                return _refusal(self._not_covered(said, evidence, lacking))
            warnings = await self._restore_points(said, current, points, evidence, at)
            current = await self._book.find_open(current.mrid) or current
        elif (above := await self._kept_out(current, at)) is not None:
            return _refusal(self._out_above(said, above))
        elif len(await self._restorer.late_tickets(current.mrid, at)) > MOST_LATE:
            return _refusal(self._contradicted(said, at))
        current = await self._book.save(current, _copied(current.body, body))
        await self._restorer.restore_whole(current, evidence, at, excepted)
        return _Outcome(stored.mrid, (*warnings, *(self._goes_on(said, one) for one in excepted)))

    async def cancel(self, said: Said[Incident], stored: Stored[Incident], body: Incident) -> _Outcome:
        """The end of an outage that proved false: nobody may be left in it who says otherwise."""
        current = await self._book.find(stored.mrid) or stored
        wrong = check_transition(INCIDENTS.noun, current.state, Verb.CANCEL, path=said.path, object_id=stored.mrid)
        if wrong is not None:
            return _refusal(wrong)
        extent = await self._book.extent(stored.mrid)
        if extent.dark:
            found = f"{extent.dark} of its premises have an open ticket, or a meter without supply"
            accepted = "an incident that nobody has called about: close it, or cancel or move its tickets first"
            return _refusal(refused("BUS-133", said, INCIDENTS, found, accepted, _CLAUSE))
        who = named_in(body.status, self._context.header) or "a request"
        current = await self._book.save(current, _copied(current.body, body))
        await self._book.end(current, CANCELLED, f"taken back by {who}")
        return _Outcome(stored.mrid)

    # ---------------------------------------------------------------------------------------------------- parts

    async def _excepted(self, incident: Stored[Incident], at: datetime) -> tuple[ExtentRecord, ...]:
        extent = await self._book.extent(incident.mrid)
        if extent.device is None:
            return ()
        return await outages_below(self._records, extent.device, but=incident.mrid, since_before=at)

    async def _kept_out(self, incident: Stored[Incident], at: datetime) -> Stored[Incident] | None:
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

    async def _uncovered(
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

    async def _restore_points(
        self,
        said: Said[Incident],
        incident: Stored[Incident],
        points: tuple[UsagePointIdentity, ...],
        evidence: Evidence,
        at: datetime,
    ) -> tuple[Finding, ...]:
        """Points that have supply again, and warnings for those that do not or do not belong here."""
        excepted = {one.device for one in await self._excepted(incident, at)}
        warnings: list[Finding] = []
        told: list[UsagePointIdentity] = []
        for point in points:
            found = await self._point(incident, point)
            if found is None:
                warnings.append(self._not_its_point(said, point))
                continue
            record, key, path = found
            if any(device.mrid in excepted for device in path):
                warnings.append(self._point_goes_on(said, point, "an outage below goes on there"))
                continue
            tickets = await self._restorer.open_tickets(incident.mrid, point, record)
            if any(is_later(ticket, at) for ticket in tickets):
                warnings.append(self._point_goes_on(said, point, "somebody has called from there since"))
                continue
            customers = record.customers if record is not None else 1
            if customers > 1 and evidence.kind is EvidenceKind.CALLBACK:
                warnings.append(self._point_goes_on(said, point, "one of its several customers has spoken"))
                continue
            await self._restorer.restore_point(incident, key, customers, at, evidence, path)
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

    async def _take_tickets(
        self, said: Said[Incident], incident: Stored[Incident], body: Incident
    ) -> tuple[Finding, ...]:
        """Tickets that a request names belong to the incident from now on."""
        warnings: list[Finding] = []
        for named in body.trouble_tickets:
            ticket = None
            mrid = mrid_of(named)
            if mrid is not None:
                ticket = await self._records.find(TICKETS.collection, mrid)
            else:
                for key in lookup_keys("name", None, labels_of(named)):
                    ticket = next(iter(await self._records.find_by_key(TICKETS.collection, key)), None)
            if ticket is None or ticket.state != OPEN:
                found = f"ticket {describe_identity(named)} is not open here"
                wrong = refused("REF-107", said, INCIDENTS, found, "tickets that are open", _CLAUSE)
                warnings.append(warning_of(wrong))
                continue
            current = await self._book.find_open(incident.mrid)
            if current is not None:
                who = named_in(body.status, self._context.header) or "a request"
                await self._book.move(ticket, current, f"{who} has put it there")
        return tuple(warnings)

    async def _device_of(self, said: Said[Incident], body: Incident) -> tuple[DeviceRecord | None, tuple[Finding, ...]]:
        """The device that Location names, if the model knows it; a warning if it does not."""
        if body.location is None:
            return None, ()
        labels = [label.name for label in labels_of(body.location) if label.type in DEVICE_NAMES and label.name]
        named = labels[0] if labels else mrid_of(body.location)
        if named is None:
            return None, ()
        stored = await find_device(self._records, named)
        if stored is not None:
            return stored.body, ()
        found = f"device {named} is not in the network model"
        return None, (warning_of(refused("REF-107", said, INCIDENTS, found, "a device of the model", _CLAUSE)),)

    def _estimate_of(self, body: Incident) -> Estimate | str | None:
        """What a request says about the restoration time; a text saying what of it is by nobody; None if nothing."""
        outage = body.outage
        period = outage.estimated_period if outage is not None else None
        at = as_utc(period.end) if period is not None else None
        status = body.status or Status()
        reason = (status.reason or "").strip()
        who = named_in(status, self._context.header)
        stage = Stage(reason) if reason in frozenset(Stage) - {Stage.NONE} else None
        if at is None and stage not in (Stage.ASSESSING, Stage.WITHDRAWN):
            return None
        said = parse_remark(status.remark)
        if reason == EvidenceKind.CREW or stage is Stage.CREW or who.startswith("crew "):
            source = EstimateSource.CREW
        elif reason == EvidenceKind.OPERATOR or stage is not None:
            source = EstimateSource.OPERATOR
        elif not reason and _owner_of(body):
            source, who = EstimateSource.OPERATOR, who or _owner_of(body)
        else:
            return "an estimate"
        if not who:
            return "an estimate"
        if at is not None and stage not in (Stage.AREA, Stage.CREW):
            stage = Stage.CREW if source is EstimateSource.CREW else Stage.AREA
        assert stage is not None  # a time without stage has just got one
        return Estimate(
            stage=stage,
            at=at if stage in (Stage.AREA, Stage.CREW) else None,
            source=source,
            who=who.removeprefix(f"{source} ").strip() or who,
            confidence=said.confidence,
            valid_until=said.valid_until if stage in (Stage.AREA, Stage.CREW) else None,
            said_at=self._context.now,
        )

    def _sent(self, incident: Stored[Incident], body: Incident) -> Estimate | None:
        """Damage is being assessed from when a crew is sent, unless somebody has said more already."""
        crews = [work for work in body.works if work.status_kind in _SENT]
        if not crews or estimate_shown(incident.body).stage is not Stage.NONE:
            return None
        return Estimate(
            stage=Stage.ASSESSING,
            source=EstimateSource.CREW,
            who=_crew_of(crews[0]),
            said_at=self._context.now,
        )

    # --------------------------------------------------------------------------------------------------- findings

    def _not_at(
        self, said: Said[Incident], incident: Stored[Incident], outage: IncidentOutage | None, at: datetime | None
    ) -> Finding | None:
        """BUS-134 if an outage cannot have begun then, or been over at that instant."""
        period = outage.actual_period if outage is not None else None
        stated = as_utc(period.start) if period is not None else None
        start = stated or start_of(incident)
        found = ""
        latest = self._context.now + SKEW
        if stated is not None and stated > latest:
            found = f"an outage that has begun at {stated.isoformat()}"
        elif at is not None and not start <= at <= latest:
            found = f"restored at {at.isoformat()}, of an outage since {start.isoformat()}"
        if not found:
            return None
        return refused("BUS-134", said, INCIDENTS, found, "an instant since then that is not in the future", _CLAUSE)

    def _nobody(self, said: Said[Incident], what: str) -> Finding:
        return refused("BUS-130", said, INCIDENTS, f"{what}, and nobody is named who knows it", _WHO, _CLAUSE)

    def _not_covered(self, said: Said[Incident], evidence: Evidence, lacking: int) -> Finding:
        found = f"{evidence} speaks for single points, and at least {lacking} more customers are believed out"
        accepted = "the word of an operator or a crew, or a change with the points that have supply again"
        return refused("BUS-131", said, INCIDENTS, found, accepted, _CLAUSE)

    def _out_above(self, said: Said[Incident], above: Stored[Incident]) -> Finding:
        place = above.body.location
        where = describe_identity(place) if place is not None else above.mrid
        found = f"restored below {where}, where an outage goes on (incident {above.mrid})"
        accepted = "a close of that one first, or a change with the points that have supply again"
        return refused("BUS-136", said, INCIDENTS, found, accepted, _CLAUSE)

    def _contradicted(self, said: Said[Incident], at: datetime) -> Finding:
        found = f"more than {MOST_LATE} tickets were reported after {at.isoformat()}"
        return refused("BUS-134", said, INCIDENTS, found, "an instant that so many callers do not contradict", _CLAUSE)

    def _goes_on(self, said: Said[Incident], below: ExtentRecord) -> Finding:
        where = f"{below.kind} {below.device_name}" if below.device is not None else "premises below"
        found = f"the outage at {where} goes on: its own incident is open"
        return warning_of(refused("BUS-135", said, INCIDENTS, found, "a close of that incident too", _CLAUSE))

    def _point_goes_on(self, said: Said[Incident], point: UsagePointIdentity, why: str) -> Finding:
        found = f"usage point {describe_identity(point)} was not restored: {why}"
        return warning_of(refused("BUS-135", said, INCIDENTS, found, "points that have supply again", _CLAUSE))

    def _not_its_point(self, said: Said[Incident], point: UsagePointIdentity) -> Finding:
        found = f"usage point {describe_identity(point)} is not of this outage"
        accepted = "points below its device, or of its tickets"
        return warning_of(refused("REF-107", said, INCIDENTS, found, accepted, _CLAUSE))

    def _whole_by_change(self, said: Said[Incident]) -> Finding:
        found = "a change with the end of the actual period and no points"
        accepted = "the verb close for the whole outage, or Outage/UsagePoints for a part of it"
        return refused("LIF-102", said, INCIDENTS, found, accepted, _CLAUSE)

    def _points_without_instant(self, said: Said[Incident]) -> Finding:
        found = "usage points without the instant since when they have supply"
        return refused("BUS-134", said, INCIDENTS, found, "Outage/actualPeriod/end beside them", _CLAUSE)

    def _restored_at_birth(self, said: Said[Incident]) -> Finding:
        found = "a new incident whose outage is over"
        return refused("LIF-102", said, INCIDENTS, found, "create it, and close it with evidence", _CLAUSE)

    def _not_removed(self, said: Said[Incident]) -> Finding:
        return refused(
            "LIF-106", said, INCIDENTS, "removal of members of an incident", "a change with what holds now", _CLAUSE
        )

    def _state_is_ours(self, said: Said[Incident], value: str) -> Finding:
        found = f"status value {value} was not taken over"
        accepted = "the verbs cancel and close; the state of an incident is set by the OMS"
        return warning_of(refused("LIF-102", said, INCIDENTS, found, accepted, _CLAUSE))


def _copied(known: Incident, said: Incident) -> Incident:
    """The known incident with what a request says of members that are nobody's in particular."""
    blank = Incident()
    patch = msgspec.structs.replace(said, **{name: getattr(blank, name) for name in _OURS}, mrid=known.mrid)
    body = merge(known, patch)
    if said.outage is None:
        return body
    outage = body.outage or IncidentOutage()
    start = said.outage.actual_period.start if said.outage.actual_period is not None else None
    about = IncidentOutage(
        mrid=said.outage.mrid,
        names=said.outage.names,
        cause=said.outage.cause,
        is_planned=said.outage.is_planned,
        actual_period=DateTimeInterval(start=start) if start is not None else None,
    )
    return msgspec.structs.replace(body, outage=merge(outage, about))


def _ends(outage: IncidentOutage) -> datetime | None:
    """When an outage ended, as a message says."""
    return as_utc(outage.actual_period.end) if outage.actual_period is not None else None


def _owner_of(body: Incident) -> str:
    """The operator in charge, by name; empty if there is none."""
    return describe_identity(body.owner) if body.owner is not None else ""


def _crew_of(work: IncidentWork) -> str:
    labels = labels_of(work)
    return labels[0].name if labels else describe_identity(work) or "sent"
