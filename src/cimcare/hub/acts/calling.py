"""Calls and the answers of call-backs become messages of the customer system, and go the way of all messages.

So they are stored, safe to repeat, audited, and served by whoever owns the tickets, built in or remote. That two calls
from one place at once make no two tickets is seen to by the MessageID: it is the same for the first report of a place
until a ticket of it is known, and a message with other content under it is refused. Who is refused so joins.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime

import msgspec

from cimcare.errors import CimcareError, Finding, finding_of
from cimcare.exchange.ports import Clock, NewID, Served, ServingContext, Stored
from cimcare.exchange.store import Reader
from cimcare.hub.acts.acting import Acting
from cimcare.hub.acts.asking import Asking, MessageRefusedError
from cimcare.hub.acts.customer_views import CallerView, view_caller
from cimcare.model.enumerations import TroubleReportingKind
from cimcare.model.envelope import (
    IDKind,
    ObjectID,
    Payload,
    Request,
    Result,
)
from cimcare.model.identity import MRID, MessageID
from cimcare.model.incident import Incident, Incidents
from cimcare.model.nouns import Noun, Role
from cimcare.model.trouble_ticket import (
    ServiceLocationIdentity,
    TroubleTicket,
    TroubleTicketCustomer,
    TroubleTickets,
)
from cimcare.model.values import Status
from cimcare.model.verbs import Verb
from cimcare.systems.cis.callbacks import (
    CallBack,
    CallBackAnswer,
    claim_call_back,
    claim_next,
    note_answer,
    require_claimed,
)
from cimcare.systems.cis.callers import Caller
from cimcare.systems.cis.contacts import (
    PREFERENCE_KINDS,
    PREFERENCES,
    Preferences,
    find_zone,
    notice_zone,
    parse_time,
)
from cimcare.systems.cis.intake import (
    Call,
    OpenTicket,
    addition_of,
    count_tickets,
    find_incident,
    find_open_ticket,
    note_reported,
    recognise,
    say_taken,
    ticket_of,
)
from cimcare.systems.cis.kinds import TICKETS
from cimcare.systems.etr import Etr, etr_of
from cimcare.systems.premises import CUSTOMERS

__all__ = ["Calling", "EtrView", "PreferencesError", "Taken"]

_CLAUSE = "call intake (our profile)"
_CONTENT_DIFFERS = "EXC-101"


class EtrView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is known of the restoration time; `at` is null where no time is."""

    stage: str
    at: datetime | None
    source: str
    confidence: float | None
    valid_until: datetime | None


class Taken(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A call that was taken. `sentence` is what the caller hears; `isNew` whether there was no open ticket before.

    `caller` is null where nobody knows who it was. `warnings` are what the owner of the tickets had to remark.
    """

    ticket: str
    incident: str | None
    is_new: bool
    etr: EtrView
    sentence: str
    caller: CallerView | None
    warnings: tuple[str, ...] = ()


class PreferencesError(CimcareError):
    """Preferences that cannot be kept."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.describe())
        self.finding = finding
        self.code = finding.code


class Calling:
    """Takes calls, and the answers of call-backs.

    Args:
        asking: Makes requests.
        reader: The durable state.
        acting: Does the work of the customer system.
        sources: Header/Source of each role.
        clock: Now.
        new_id: New identifiers.
    """

    def __init__(
        self,
        *,
        asking: Asking,
        reader: Reader,
        acting: Acting,
        sources: Mapping[Role, str],
        clock: Clock,
        new_id: NewID,
    ) -> None:
        self._asking = asking
        self._reader = reader
        self._acting = acting
        self._sources = sources
        self._clock = clock
        self._new_id = new_id
        self._busy: dict[str, tuple[asyncio.Lock, int]] = {}

    # ---------------------------------------------------------------------------------------------------- calls

    async def take(self, call: Call, actor: str) -> Taken:
        """Take a call.

        Raises:
            CallError: It cannot be taken as it is.
            MessageRefusedError: Whoever owns the tickets has refused it.
            NotBuiltInError: Calls are taken by a partner's customer system.
            StoreError: The database cannot be used now.
        """
        self._acting.require_built_in(Role.CIS)
        records = self._reader.records
        caller = await recognise(records, call)
        body = caller.body if caller is not None else None
        if body is None:
            ticket, sent = await self._report(call, None, actor, MessageID(self._new_id()))
            return await self._taken(ticket, call, None, sent, actor, is_new=True)
        async with self._alone(body.premises):
            known = await find_open_ticket(records, body.premises)
            if known is None:
                count = await count_tickets(records, body.premises)
                first = MessageID(f"call-{body.premises}-{count}")
                try:
                    ticket, sent = await self._report(call, body, actor, first)
                    return await self._taken(ticket, call, body, sent, actor, is_new=True)
                except MessageRefusedError as error:
                    if _CONTENT_DIFFERS not in error.finding.found:
                        raise
                known = await find_open_ticket(records, body.premises)
            if known is not None:
                attached = await self._attach(call, body, known, actor)
                if attached is not None:
                    return attached
            # Another process has reported it and no event of it has come, or it has ended and nobody has told.
            ticket, sent = await self._report(call, body, actor, MessageID(self._new_id()))
            return await self._taken(ticket, call, body, sent, actor, is_new=True)

    async def _attach(self, call: Call, caller: Caller, known: OpenTicket, actor: str) -> Taken | None:
        """Add to an open ticket what is new; None if it proves not to be open any more."""
        addition = addition_of(call, known.ticket)
        sent = _Sent(incident=known.incident)
        if addition is None and not known.is_told:  # asked, since nobody has told whether it still is
            addition = TroubleTicket(mrid=known.ticket.mrid, comment=known.ticket.body.comment or "called again")
        if addition is not None:
            try:
                sent = await self._send(Verb.CHANGE, addition, actor, MessageID(self._new_id()))
            except MessageRefusedError as error:
                if known.is_told or error.retry_after_seconds:
                    raise
                return None
        return await self._taken(known.ticket.mrid, call, caller, sent, actor, is_new=False)

    async def _report(
        self, call: Call, caller: Caller | None, actor: str, message_id: MessageID
    ) -> tuple[MRID, "_Sent"]:
        mrid = MRID(self._new_id())
        ticket = ticket_of(call, caller, mrid=mrid, now=self._clock())
        sent = await self._send(Verb.CREATE, ticket, actor, message_id)

        async def note(context: ServingContext) -> Served:
            premises = caller.premises if caller is not None else None
            await note_reported(context.records, premises, ticket, sent.incident, context.now)
            return _DONE

        await self._acting.act(Role.CIS, note)
        return mrid, sent

    async def _taken(
        self, ticket: MRID, call: Call, caller: Caller | None, sent: "_Sent", actor: str, *, is_new: bool
    ) -> Taken:
        records = self._reader.records
        incident, body = await find_incident(records, ticket)
        if incident is None:
            incident = sent.incident
        if incident is not None and body is None:  # of an OMS that tells us nothing by itself
            body = await self._ask_incident(incident, actor)
        etr = etr_of(body) if body is not None else Etr()
        sentence = say_taken(
            etr,
            is_new=is_new,
            address=caller.address if caller is not None else "",
            has_hazard=bool(call.hazards),
            zone=await notice_zone(records),
        )
        return Taken(
            ticket=ticket,
            incident=incident,
            is_new=is_new,
            etr=EtrView(
                stage=etr.stage.value,
                at=etr.at,
                source=etr.source,
                confidence=etr.confidence,
                valid_until=etr.valid_until,
            ),
            sentence=sentence,
            caller=view_caller(caller) if caller is not None else None,
            warnings=sent.warnings,
        )

    @asynccontextmanager
    async def _alone(self, place: str) -> AsyncIterator[None]:
        """One call of a place at a time, as far as this process goes."""
        lock, users = self._busy.get(place, (asyncio.Lock(), 0))
        self._busy[place] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._busy[place]
            if users == 1:
                del self._busy[place]
            else:
                self._busy[place] = (lock, users - 1)

    # ----------------------------------------------------------------------------------------------- call-backs

    async def next_call_back(self, group: str, agent: str) -> Stored[CallBack] | None:
        """The next call of a list for an agent; None if there is none. Raises NotBuiltInError and StoreError."""
        claimed: list[Stored[CallBack]] = []

        async def work(context: ServingContext) -> Served:
            found = await claim_next(context.records, group, agent, context.now)
            claimed.extend(() if found is None else (found,))
            return _DONE

        await self._acting.act(Role.CIS, work)
        return claimed[0] if claimed else None

    async def claim(self, mrid: MRID, agent: str) -> Stored[CallBack]:
        """One call for an agent. Raises CallBackError, NotBuiltInError and StoreError."""
        claimed: list[Stored[CallBack]] = []

        async def work(context: ServingContext) -> Served:
            claimed.append(await claim_call_back(context.records, mrid, agent, context.now))
            return _DONE

        await self._acting.act(Role.CIS, work)
        return claimed[0]

    async def answer(self, mrid: MRID, agent: str, answer: CallBackAnswer, remark: str) -> Stored[CallBack]:
        """What became of a call: told to the outage management first, where it is its business, and then noted.

        Asked again after a breakdown in between, the message is known again and has no second effect.

        Raises:
            CallBackError: The call is not this agent's.
            MessageRefusedError: Whoever owns the tickets has refused what follows.
            StoreError: The database cannot be used now.
        """
        call = await require_claimed(self._reader.records, mrid, agent)
        if answer is CallBackAnswer.RESTORED:
            await self._tell_restored(call, agent)
        elif answer is CallBackAnswer.STILL_OUT:
            await self._tell_still_out(call, agent, remark)
        noted: list[Stored[CallBack]] = []

        async def work(context: ServingContext) -> Served:
            noted.append(await note_answer(context.records, mrid, agent, answer, remark, context.now))
            return _DONE

        await self._acting.act(Role.CIS, work)
        return noted[0]

    async def _tell_restored(self, call: Stored[CallBack], agent: str) -> None:
        """Close the ticket that is open at the place; the customer's word is evidence for this place and no other."""
        known = await find_open_ticket(self._reader.records, MRID(call.body.place))
        if known is None:
            return
        now = self._clock()
        ticket = TroubleTicket(
            mrid=known.ticket.mrid,
            resolved_date_time=now,
            status=Status(value="resolved", reason="callback", remark=f"call-back by {agent}", date_time=now),
        )
        await self._send(Verb.CLOSE, ticket, agent, MessageID(f"callback-{call.mrid}-{call.body.tries}-restored"))

    async def _tell_still_out(self, call: Stored[CallBack], agent: str, remark: str) -> None:
        """Believed at once: noted with the ticket that is open, or reported anew."""
        known = await find_open_ticket(self._reader.records, MRID(call.body.place))
        said = f"still without power, by call-back{': ' if remark else ''}{remark}"
        message_id = MessageID(f"callback-{call.mrid}-{call.body.tries}-still-out")
        if known is not None:
            before = known.ticket.body.comment
            comment = f"{before} | {said}" if before else said
            await self._send(
                Verb.CHANGE, TroubleTicket(mrid=known.ticket.mrid, comment=comment[-2000:]), agent, message_id
            )
            return
        await self._send(Verb.CREATE, await self._again(call.body, said), agent, message_id)

    async def _again(self, call: CallBack, said: str) -> TroubleTicket:
        """A ticket for the place of a call-back, as far as it is known; failing that for that of its ticket."""
        records = self._reader.records
        place, customer = None, None
        if call.premises is not None:
            place = ServiceLocationIdentity(mrid=call.premises)
        elif call.ticket is not None and (ended := await records.find(TICKETS.collection, call.ticket)) is not None:
            place, customer = ended.body.service_location, ended.body.customer
        known = await records.find(CUSTOMERS, call.customer) if call.customer is not None else None
        if known is not None:
            customer = TroubleTicketCustomer(mrid=known.mrid, special_need=known.body.special_need)
        return TroubleTicket(
            date_time_of_report=self._clock(),
            reporting_kind=TroubleReportingKind.call,
            trouble_code="noPower",
            comment=said,
            service_location=place,
            customer=customer,
        )

    # ---------------------------------------------------------------------------------------------- preferences

    async def prefer(self, customer: MRID, wanted: Preferences) -> Preferences | None:
        """Keep how a customer wants to be told; None if there is no such customer.

        Raises:
            PreferencesError: BUS-144 something about them cannot be.
            NotBuiltInError: Customers are kept by a partner.
            StoreError: The database cannot be used now.
        """
        if mistake := _mistake_in(wanted):
            found, accepted = mistake
            raise PreferencesError(finding_of("BUS-144", "/", found, accepted, "preferences (our profile)"))
        known: list[bool] = []

        async def work(context: ServingContext) -> Served:
            known.append(await context.records.find(CUSTOMERS, customer) is not None)
            if known[0]:
                stored = Stored(mrid=customer, body=wanted, created_at=context.now, modified_at=context.now)
                await context.records.save(PREFERENCES, stored)
            return _DONE

        await self._acting.act(Role.CIS, work)
        return wanted if known[0] else None

    # ------------------------------------------------------------------------------------------------- messages

    async def _send(self, verb: Verb, ticket: TroubleTicket, actor: str, message_id: MessageID) -> "_Sent":
        """Send a request about one ticket the way of all messages.

        Raises:
            MessageRefusedError: It was not served.
        """
        payload = Payload(content=(TroubleTickets(trouble_ticket=(ticket,)),))
        reply = await self._asking.ask(verb, Noun.TROUBLE_TICKETS, actor=actor, message_id=message_id, payload=payload)
        incidents = [one.value for one in reply.reply.id if one.object_type == "Incident"]
        return _Sent(
            incident=MRID(incidents[0]) if incidents else None,
            warnings=tuple(one.details or one.reason or one.code for one in reply.reply.error if one.code != "0.0"),
        )

    async def _ask_incident(self, mrid: MRID, actor: str) -> Incident | None:
        """What its owner knows of an incident; None if it does not say."""
        request = Request(id=(ObjectID(value=mrid, kind=IDKind.uuid, object_type="Incident"),))
        try:
            reply = await self._asking.ask(Verb.GET, Noun.INCIDENTS, actor=actor, request=request)
        except MessageRefusedError:
            return None
        contents = reply.payload.content if reply.payload is not None else ()
        found = [one for root in contents if isinstance(root, Incidents) for one in root.incident if one.mrid == mrid]
        return found[0] if found else None


class _Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What the reply to a request about a ticket said: its incident if it named one, and remarks."""

    incident: MRID | None = None
    warnings: tuple[str, ...] = ()


_DONE = Served(result=Result.OK)


def _mistake_in(wanted: Preferences) -> tuple[str, str] | None:
    """What is wrong about preferences, and what would pass."""
    if wanted.time_zone and find_zone(wanted.time_zone) is None:
        return f"time zone {wanted.time_zone!r}", "a name of the IANA time zone database, or empty"
    if len(wanted.contacts) > 20:
        return f"{len(wanted.contacts)} contacts", "at most 20"
    for contact in wanted.contacts:
        if contact.kind not in PREFERENCE_KINDS:
            return f"kind {contact.kind}", f"one of {', '.join(PREFERENCE_KINDS)}"
        if not contact.value.strip() or len(contact.value) > 300:
            return f"contact of {len(contact.value)} characters", "a number or address of 1 to 300 characters"
        if bool(contact.earliest) != bool(contact.latest):
            return "one of earliest and latest", "both, or neither"
        for text in (contact.earliest, contact.latest):
            if text and parse_time(text) is None:
                return f"time {text!r}", "a time of day such as 08:00"
    return None
