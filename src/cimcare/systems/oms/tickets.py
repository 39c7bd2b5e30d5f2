"""Trouble tickets: what the outage management makes of calls, as requests or as events of the customer system.

No call is dropped: a ticket whose place nobody knows is taken with a warning and gets an incident of its own. The state
of a ticket is the OMS's to set; it is resolved by `close` alone, because somebody has to say that supply is back.

Source: IEC 61968-8:2015, clause 5.2 (our reading of its exchange).
"""

from datetime import datetime

import msgspec

from cimcare.errors import Finding, finding_of
from cimcare.exchange.ports import Key, Selection, Served, ServingContext, Stored
from cimcare.model.envelope import EventMessage, RequestMessage, Result
from cimcare.model.identity import MRID
from cimcare.model.incident import Incident, IncidentIdentity
from cimcare.model.trouble_ticket import TroubleTicket
from cimcare.model.values import Status
from cimcare.model.verbs import Verb
from cimcare.rules.lifecycle import check_transition
from cimcare.systems.identity import is_same, labels_of, mrid_of
from cimcare.systems.merging import difference, merge
from cimcare.systems.objects import Said, as_utc, find_by_names, find_twin, refused, said_in, unknown, warning_of
from cimcare.systems.oms.estimates import say_estimate
from cimcare.systems.oms.estimating import estimate_shown
from cimcare.systems.oms.incidents import IncidentBook
from cimcare.systems.oms.kinds import CANCELLED, INCIDENTS, OPEN, RESOLVED, TICKETS, incident_of
from cimcare.systems.oms.places import Place, find_place, key_of_point
from cimcare.systems.oms.reports import reported_at
from cimcare.systems.oms.restored import SKEW, Evidence, EvidenceKind
from cimcare.systems.oms.restoring import Restorer, is_later
from cimcare.systems.removing import left_of
from cimcare.systems.selecting import get_objects
from cimcare.systems.serving import Course, Verdict, change_each, create_each, delete_each, end_each, file_object

__all__ = [
    "cancel_trouble_tickets",
    "change_trouble_tickets",
    "close_trouble_tickets",
    "create_trouble_tickets",
    "delete_trouble_tickets",
    "get_trouble_tickets",
    "hear_trouble_tickets_canceled",
    "hear_trouble_tickets_changed",
    "hear_trouble_tickets_closed",
    "hear_trouble_tickets_created",
]

_CLAUSE = "IEC 61968-8:2015, 5.2"

_Verdict = Verdict[TroubleTicket]


async def create_trouble_tickets(message: RequestMessage, context: ServingContext) -> Served:
    """Take calls: each becomes an open ticket, and joins or opens an incident."""
    desk = _Desk(context)
    course = await create_each(message, context, TICKETS, desk.open)
    return await desk.answered(course.served(Verb.CREATED, await desk.book.events()))


async def change_trouble_tickets(message: RequestMessage, context: ServingContext) -> Served:
    """Note what a second call adds: hazards, call-back wishes, another place."""
    desk = _Desk(context)
    course = await change_each(message, context, TICKETS, desk.change)
    return await desk.answered(course.served(Verb.CHANGED, await desk.book.events()))


async def cancel_trouble_tickets(message: RequestMessage, context: ServingContext) -> Served:
    """Withdraw tickets that should not have been: wrong premises, or the customer's own fault."""
    desk = _Desk(context)
    course = await end_each(message, context, TICKETS, desk.cancel)
    return course.served(Verb.CANCELED, await desk.book.events())


async def close_trouble_tickets(message: RequestMessage, context: ServingContext) -> Served:
    """Resolve tickets, at the instant given or now.

    Where somebody was called back (`status.reason` `callback`), the other open tickets of the premises go with them.
    """
    desk = _Desk(context)
    course = await end_each(message, context, TICKETS, desk.close)
    await desk.take_words()
    return course.served(Verb.CLOSED, (*desk.restorer.events(), *await desk.book.events()))


async def delete_trouble_tickets(message: RequestMessage, context: ServingContext) -> Served:
    """Remove tickets that are resolved or cancelled."""
    course = await delete_each(message, context, TICKETS, lambda stored: stored.state != OPEN)
    return course.served(Verb.DELETED)


async def get_trouble_tickets(message: RequestMessage, context: ServingContext) -> Served:
    """Answer with tickets."""
    return await get_objects(message, context, TICKETS)


async def hear_trouble_tickets_created(message: EventMessage, context: ServingContext) -> Served:
    """Take tickets that the customer system has only told of. One that is known already has no effect.

    What the OMS adds, identity, state and incident, goes out as `changed`.
    """
    return await _hear_content(message, context)


async def hear_trouble_tickets_changed(message: EventMessage, context: ServingContext) -> Served:
    """Take changes that the customer system has only told of. A ticket that is not known yet is taken as it is told."""
    return await _hear_content(message, context)


async def hear_trouble_tickets_canceled(message: EventMessage, context: ServingContext) -> Served:
    """Withdraw tickets of which the customer system tells so."""
    return await _hear_end(message, context, CANCELLED)


async def hear_trouble_tickets_closed(message: EventMessage, context: ServingContext) -> Served:
    """Resolve tickets of which the customer system tells so."""
    return await _hear_end(message, context, RESOLVED)


async def _hear_content(message: EventMessage, context: ServingContext) -> Served:
    desk = _Desk(context)
    course: Course[TroubleTicket] = Course(TICKETS, context)
    for said in said_in(message, TICKETS):
        if said.body is None:
            continue
        twin = await find_twin(context.records, TICKETS, said.body)
        if twin is None and context.removes:
            course.refuse(unknown(TICKETS, said))
            continue
        if twin is None:
            body = TICKETS.put(said.body, mrid=mrid_of(said.body) or MRID(context.new_id()))
            verdict = await desk.open(said, body)
            if verdict.stored is not None:
                verdict = msgspec.structs.replace(verdict, shown=difference(said.body, verdict.stored.body))
        elif message.header.verb is Verb.CREATED:
            course.accept(twin.mrid, None)
            continue
        else:
            verdict = await _heard_change(said, said.body, twin, desk, removes=context.removes)
            if verdict.stored is None and not verdict.findings:
                course.accept(twin.mrid, None)
                continue
        await course.settle(verdict)
    return course.served(Verb.CHANGED, await desk.book.events())


async def _heard_change(
    said: Said[TroubleTicket],
    patch: TroubleTicket,
    stored: Stored[TroubleTicket],
    desk: "_Desk",
    *,
    removes: bool = False,
) -> _Verdict:
    """The change, or nothing if it says what is known already: an event may arrive twice, or be the OMS's own."""
    patch = TICKETS.put(patch, mrid=stored.mrid, last_modified_date_time=None)
    merged = left_of(stored.body, patch, TICKETS) if removes else merge(stored.body, patch)
    if merged == stored.body:
        return Verdict()
    verdict = await desk.change(said, stored, merged)
    if verdict.stored is None or verdict.stored.body.incident == stored.body.incident:
        return msgspec.structs.replace(verdict, shown=None)
    body = verdict.stored.body
    shown = msgspec.structs.replace(
        TICKETS.identity_only(body), incident=body.incident, last_modified_date_time=body.last_modified_date_time
    )
    return msgspec.structs.replace(verdict, shown=shown)


async def _hear_end(message: EventMessage, context: ServingContext, state: str) -> Served:
    """Ends of tickets. What has ended already stays as it is; what is not known is noted and left."""
    desk = _Desk(context)

    async def end(said: Said[TroubleTicket], stored: Stored[TroubleTicket], wanted: TroubleTicket) -> _Verdict:
        if stored.state != OPEN:
            return Verdict(stored=stored)
        return await (desk.cancel if state == CANCELLED else desk.close)(said, stored, wanted)

    served = (await end_each(message, context, TICKETS, end)).served(Verb.CLOSED)
    await desk.take_words()
    findings = tuple(warning_of(one) if one.code == "REF-103" else one for one in served.findings)
    is_harmless = all(one.code == "REF-103" for one in findings)
    return msgspec.structs.replace(
        served,
        result=Result.OK if is_harmless else served.result,
        findings=findings,
        # The customer system has told of the tickets itself; what follows from it is the OMS's to tell.
        events=(*desk.restorer.events(), *await desk.book.events()),
    )


class _Desk:
    """Judges the tickets of one message, one by one, and keeps the incidents in step."""

    def __init__(self, context: ServingContext) -> None:
        self._context = context
        self.book = IncidentBook(context)
        self.restorer = Restorer(context, self.book)
        self._words: list[tuple[Stored[TroubleTicket], datetime]] = []

    async def open(self, said: Said[TroubleTicket], body: TroubleTicket) -> _Verdict:
        """A new ticket: open unless it comes with the instant when it was resolved."""
        now = self._context.now
        state = OPEN if body.resolved_date_time is None else RESOLVED
        place = await find_place(self._context.records, body, said.path)
        body = msgspec.structs.replace(
            body,
            created_date_time=body.created_date_time or now,
            last_modified_date_time=now,
            status=self._status(body.status, state),
            incident=None,
        )
        stored = await self._file(body, place, state)
        findings = place.findings
        if state == OPEN:
            asked = said.body.incident if said.body is not None else None
            stated = await self._stated_incident(asked)
            if asked is not None and stated is None:
                findings = (*findings, _not_that_incident(said))
            contradicted = await self.restorer.find_contradicted(stored, place.transformer)
            stored = await self.book.enter(stored, place, stated)
            if contradicted is not None:
                stored = await self.restorer.go_on(stored, contradicted)
            else:
                await self.restorer.go_out_again(stored)
        return Verdict(stored=stored, shown=stored.body, findings=findings)

    async def change(self, said: Said[TroubleTicket], stored: Stored[TroubleTicket], wanted: TroubleTicket) -> _Verdict:
        """More about an open ticket. It moves to another incident if its place or stated device is another."""
        refusal = _refusal(said, stored, Verb.CHANGE)
        if refusal is not None:
            return Verdict(findings=(refusal,))
        if wanted.resolved_date_time is not None:
            return Verdict(findings=(_resolved_by_change(said),))
        findings: tuple[Finding, ...] = ()
        if wanted.status is not None and wanted.status.value not in (None, OPEN):
            findings = (_state_is_ours(said, wanted.status.value),)
        place = await find_place(self._context.records, wanted, said.path)
        body = msgspec.structs.replace(
            wanted,
            last_modified_date_time=self._context.now,
            status=self._status(wanted.status, OPEN),
            incident=stored.body.incident,
        )
        filed = await self._file(body, place, OPEN, stored)
        moved, warnings = await self._moved(said, stored, filed, place, wanted.incident)
        return Verdict(stored=moved, findings=(*findings, *place.findings, *warnings))

    async def cancel(self, said: Said[TroubleTicket], stored: Stored[TroubleTicket], wanted: TroubleTicket) -> _Verdict:
        """The end of a ticket that should not have been."""
        refusal = _refusal(said, stored, Verb.CANCEL)
        if refusal is not None:
            return Verdict(findings=(refusal,))
        return await self._ended(stored, msgspec.structs.replace(wanted, resolved_date_time=None), CANCELLED)

    async def close(self, said: Said[TroubleTicket], stored: Stored[TroubleTicket], wanted: TroubleTicket) -> _Verdict:
        """The end of a ticket whose trouble is settled."""
        refusal = _refusal(said, stored, Verb.CLOSE)
        if refusal is not None:
            return Verdict(findings=(refusal,))
        resolved = as_utc(wanted.resolved_date_time) or max(self._context.now, stored.created_at)
        if resolved < reported_at(wanted, stored.created_at):
            return Verdict(findings=(_resolved_before_report(said, wanted),))
        if resolved > max(self._context.now + SKEW, stored.created_at):
            return Verdict(findings=(_resolved_in_the_future(said, resolved),))
        if wanted.resolved_date_time is None:
            wanted = msgspec.structs.replace(wanted, resolved_date_time=resolved)
        verdict = await self._ended(stored, wanted, RESOLVED)
        status = said.body.status if said.body is not None else None
        if verdict.stored is not None and status is not None and status.reason == EvidenceKind.CALLBACK:
            await self.restorer.enter_word(verdict.stored, resolved)
            self._words.append((verdict.stored, resolved))
        return verdict

    async def take_words(self) -> None:
        """What somebody has said who was called back is the word of the premises.

        All their open tickets are resolved with the one that was named, but for those that were reported after the
        word. Comes when all tickets of the message are saved, so that what it names is not resolved twice.
        """
        for ticket, at in self._words:
            for other in await self._others(ticket):
                if is_later(other, at):
                    continue
                evidence = self._evidence()
                remark = f"restored, by {evidence}, asked about ticket {ticket.mrid}"
                resolved = await self.restorer.resolve(other, at, remark, EvidenceKind.CALLBACK)
                if await self.book.settle(resolved):
                    await self.restorer.settle(resolved, at, evidence)
        self._words.clear()

    async def _others(self, ticket: Stored[TroubleTicket]) -> tuple[Stored[TroubleTicket], ...]:
        """Open tickets of the same premises; none where the point stands for several customers, of whom one speaks."""
        keys = tuple(key for key in ticket.keys if key.sort == "premises")
        point = (await self.restorer.supply_of(ticket)).point
        if point is not None and point.customers > 1 and Key("premises", key_of_point(point)) in keys:
            return ()
        wanted = Selection(keys=(keys,), states=(OPEN,))
        return await self._context.records.select(TICKETS.collection, wanted) if keys else ()

    def _evidence(self) -> Evidence:
        """The close of a ticket is the word of its caller."""
        return Evidence(kind=EvidenceKind.CALLBACK, who=self._context.header.source or "customer system")

    async def answered(self, served: Served) -> Served:
        """The outcome, with the incident of each open ticket and what is known of its restoration time.

        So whoever takes the call hears both in the reply: BUS-120 says them, and Reply/ID names the incidents too.
        """
        findings, ids = list(served.findings), list(served.ids)
        for one in served.ids:
            stored = await self._context.records.find(TICKETS.collection, MRID(one.value))
            if stored is None or stored.state != OPEN:
                continue
            incident = await self.book.find_open(incident_of(stored.body))
            if incident is None:
                continue
            extent = await self.book.extent(incident.mrid)
            where = f"{extent.kind} {extent.device_name} suspected" if extent.kind else "its own premises"
            if extent.is_pinned:
                where = f"{extent.kind} {extent.device_name} confirmed"
            etr = say_estimate(estimate_shown(incident.body))
            findings.append(
                finding_of(
                    "BUS-120",
                    "/Reply/ID",
                    f"ticket {stored.mrid} is in incident {incident.mrid} ({where}). {etr}",
                    "nothing more to be done; what changes is told in events",
                    _CLAUSE,
                    object_id=stored.mrid,
                )
            )
            identifier = INCIDENTS.id_of(incident.mrid)
            if identifier not in ids:
                ids.append(identifier)
        return msgspec.structs.replace(served, findings=tuple(findings), ids=tuple(ids))

    async def _ended(self, stored: Stored[TroubleTicket], wanted: TroubleTicket, state: str) -> _Verdict:
        body = msgspec.structs.replace(
            wanted,
            last_modified_date_time=self._context.now,
            status=self._status(wanted.status, state),
            incident=stored.body.incident,
        )
        ended = msgspec.structs.replace(stored, body=body, state=state, modified_at=self._context.now)
        if state == CANCELLED:
            await self.restorer.forget(ended)
            await self.book.withdraw(ended)
        elif await self.book.settle(ended) and body.resolved_date_time is not None:
            at = as_utc(body.resolved_date_time) or self._context.now
            await self.restorer.settle(ended, at, self._evidence())
        return Verdict(stored=ended)

    async def _moved(
        self,
        said: Said[TroubleTicket],
        before: Stored[TroubleTicket],
        ticket: Stored[TroubleTicket],
        place: Place,
        asked: IncidentIdentity | None,
    ) -> tuple[Stored[TroubleTicket], tuple[Finding, ...]]:
        """The changed ticket in the incident where it belongs now, and warnings."""
        stated: Stored[Incident] | None = None
        warnings: tuple[Finding, ...] = ()
        if asked is not None and before.body.incident is not None and not is_same(asked, before.body.incident):
            stated = await self._stated_incident(asked)
            warnings = () if stated is not None else (_not_that_incident(said),)
        return await self.book.alter(before, ticket, place, stated), warnings

    async def _file(
        self, body: TroubleTicket, place: Place, state: str, before: Stored[TroubleTicket] | None = None
    ) -> Stored[TroubleTicket]:
        filed_at = reported_at(body, self._context.now)
        stored = await file_object(TICKETS, body, self._context, state=state, filed_at=filed_at, before=before)
        # One ticket is one of the premises, however many its customer has; without any it counts for itself.
        keys = {key for key in stored.keys if key.sort != "premises"} | place.keys
        if not place.key:
            keys.add(Key("premises", f"ticket:{stored.mrid}"))
        return msgspec.structs.replace(stored, keys=frozenset(keys))

    async def _stated_incident(self, identity: IncidentIdentity | None) -> Stored[Incident] | None:
        """The open incident that a ticket names; None if it names none or one that is not open."""
        if identity is None:
            return None
        mrid = mrid_of(identity)
        if mrid is None:
            found = await find_by_names(self._context.records, INCIDENTS, labels_of(identity))
            mrid = found[0].mrid if len(found) == 1 else None
        return await self.book.find_open(mrid)

    def _status(self, given: Status | None, value: str) -> Status:
        status = given or Status()
        is_new = status.value != value or status.date_time is None
        return msgspec.structs.replace(status, value=value, date_time=self._context.now if is_new else status.date_time)


def _refusal(said: Said[TroubleTicket], stored: Stored[TroubleTicket], verb: Verb) -> Finding | None:
    """Why the state of a ticket does not allow the verb; None if it does."""
    return check_transition(TICKETS.noun, stored.state, verb, path=said.path, object_id=stored.mrid)


def _resolved_by_change(said: Said[TroubleTicket]) -> Finding:
    return refused(
        "LIF-102",
        said,
        TICKETS,
        "a change that sets resolvedDateTime of an open ticket",
        "the verb close, which says who knows that the trouble is settled",
        _CLAUSE,
    )


def _state_is_ours(said: Said[TroubleTicket], value: str) -> Finding:
    return warning_of(
        refused(
            "LIF-102",
            said,
            TICKETS,
            f"status value {value} was not taken over",
            "the verbs cancel and close; the state of a ticket is set by the OMS",
            _CLAUSE,
        )
    )


def _not_that_incident(said: Said[TroubleTicket]) -> Finding:
    return warning_of(
        refused(
            "REF-107",
            said,
            TICKETS,
            "the ticket names an incident that is not open here; it was grouped by rule",
            "an open incident, or none",
            _CLAUSE,
        )
    )


def _resolved_in_the_future(said: Said[TroubleTicket], resolved: datetime) -> Finding:
    found = f"resolvedDateTime {resolved.isoformat()} is in the future"
    return refused("BUS-134", said, TICKETS, found, "the instant since when there is supply again", _CLAUSE)


def _resolved_before_report(said: Said[TroubleTicket], ticket: TroubleTicket) -> Finding:
    return refused(
        "BUS-102",
        said,
        TICKETS,
        f"resolvedDateTime {ticket.resolved_date_time} is before the report at {ticket.date_time_of_report}",
        "an instant at or after dateTimeOfReport",
        _CLAUSE,
    )
