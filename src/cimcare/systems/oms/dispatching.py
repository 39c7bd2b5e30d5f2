"""Incidents as requests: what dispatchers, crews and other systems say of outages, and what is taken over of it.

State, extent and restoration time of an incident are the OMS's to tell; a request says what somebody knows, and who
that is. `status.reason` names how it is known (`operator`, `crew`, `meter`, `callback`), `status.remark` or Header/User
by whom. Without that no restoration and no time of one is taken.

Source: IEC 61968-8:2015, clause 5.3, which knows the events and the get; the requests are our profile.
"""

import msgspec

from cimcare.errors import Finding
from cimcare.exchange.ports import Event, Served, ServingContext, Stored
from cimcare.model.envelope import RequestMessage
from cimcare.model.identity import MRID
from cimcare.model.incident import Incident, IncidentOutage
from cimcare.model.values import DateTimeInterval
from cimcare.model.verbs import Verb
from cimcare.rules.lifecycle import check_transition
from cimcare.systems.identity import describe_identity, labels_of, lookup_keys, mrid_of
from cimcare.systems.objects import Said, as_utc, find_said, find_twin, refused, said_in, said_or_named_in, warning_of
from cimcare.systems.oms import refusals
from cimcare.systems.oms.devices import DeviceRecord, find_device
from cimcare.systems.oms.estimates import NOTHING_SAID
from cimcare.systems.oms.estimating import estimate_shown, judge_estimate, keep_estimate, with_estimate
from cimcare.systems.oms.incidents import IncidentBook
from cimcare.systems.oms.kinds import CANCELLED, DEVICE_NAMES, INCIDENTS, OPEN, TICKETS
from cimcare.systems.oms.pointing import Pointing
from cimcare.systems.oms.restored import (
    named_in,
    read_evidence,
)
from cimcare.systems.oms.restoring import MOST_LATE, Restorer
from cimcare.systems.oms.statements import assessing_since, copied, ends_at, estimate_of, owner_of
from cimcare.systems.serving import Course

__all__ = ["cancel_incidents", "change_incidents", "close_incidents", "create_incidents"]

_CLAUSE = "IEC 61968-8:2015, 5.3"


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
        self._pointing = Pointing(context, self._book, self._restorer)

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
        if ends_at(outage) is not None:
            return _refusal(refusals.restored_at_birth(said))
        new = estimate_of(body, self._context.header, self._context.now)
        if isinstance(new, str):
            return _refusal(refusals.nobody(said, new))
        decision = None if new is None else await judge_estimate(said, Incident(), new, self._context)
        if isinstance(decision, Finding):
            return _refusal(decision)
        period = outage.actual_period or outage.estimated_period or DateTimeInterval()
        started_at = as_utc(period.start) or self._context.now
        device, warnings = await self._device_of(said, body)
        who = named_in(body.status, self._context.header) or owner_of(body) or "nobody named"
        opened = await self._book.open_for(
            device,
            f"Reported by {who} as a request",
            started_at,
            mrid=mrid_of(body),
            is_unresolved=device is None and body.location is None,
            is_planned=outage.is_planned is True,
            is_pinned=device is not None,
        )
        wanted = copied(opened.body, body)
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
            return _refusal(refusals.not_removed(said))
        points = body.outage.usage_points if body.outage is not None else ()
        ended_at = ends_at(body.outage) if body.outage is not None else None
        evidence = read_evidence(body.status, self._context.header)
        if points and ended_at is None:
            return _refusal(refusals.points_without_instant(said))
        if ended_at is not None:
            if evidence is None:
                return _refusal(refusals.nobody(said, "a restoration"))
            if not points:
                return _refusal(refusals.whole_by_change(said))
        wrong = refusals.not_at(said, current, body.outage, ended_at, self._context.now)
        if wrong is not None:
            return _refusal(wrong)
        new = estimate_of(body, self._context.header, self._context.now)
        if isinstance(new, str):
            return _refusal(refusals.nobody(said, new))
        if new is None:
            new = assessing_since(current, body, self._context.now)
        ended_at = None if ended_at is None else min(ended_at, self._context.now)
        warnings: tuple[Finding, ...] = ()
        if body.status is not None and body.status.value not in (None, OPEN):
            warnings += (refusals.state_is_ours(said, body.status.value),)
        wanted = copied(current.body, body)
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
            warnings += await self._pointing.restore_points(said, current, points, evidence, ended_at)
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
            return _refusal(refusals.nobody(said, "a restoration"))
        at = (ends_at(body.outage) if body.outage is not None else None) or self._context.now
        wrong = refusals.not_at(said, current, body.outage, at, self._context.now)
        if wrong is not None:
            return _refusal(wrong)
        at = min(at, self._context.now)
        points = body.outage.usage_points if body.outage is not None else ()
        excepted = await self._pointing.excepted(current, at)
        warnings: tuple[Finding, ...] = ()
        if not evidence.kind.covers_device:
            lacking = await self._pointing.uncovered(current, points, excepted, evidence, at)
            if lacking:
                return _refusal(refusals.not_covered(said, evidence, lacking))
            warnings = await self._pointing.restore_points(said, current, points, evidence, at)
            current = await self._book.find_open(current.mrid) or current
        elif (above := await self._pointing.kept_out(current, at)) is not None:
            return _refusal(refusals.out_above(said, above))
        elif len(await self._restorer.late_tickets(current.mrid, at)) > MOST_LATE:
            return _refusal(refusals.contradicted(said, at))
        current = await self._book.save(current, copied(current.body, body))
        await self._restorer.restore_whole(current, evidence, at, excepted)
        return _Outcome(stored.mrid, (*warnings, *(refusals.goes_on(said, one) for one in excepted)))

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
        current = await self._book.save(current, copied(current.body, body))
        await self._book.end(current, CANCELLED, f"taken back by {who}")
        return _Outcome(stored.mrid)

    # ---------------------------------------------------------------------------------------------------- parts

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
