"""A hub seen from the outside: who sends it messages over SOAP, moves its clock and reads what it says.

What partners, dispatchers, crews and customers do are messages. Only the clock and the network, which in a real utility
come from elsewhere, are put in by hand.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import NamedTuple

import structlog

from cimcare.exchange.log import Direction, LogSelection
from cimcare.exchange.notices import ContactKind, Handed, HandOver, Outgoing
from cimcare.exchange.store import Store
from cimcare.hub.app import Hub
from cimcare.hub.config.settings import Settings, read_settings
from cimcare.model.enumerations import NotificationTriggerKind, WorkStatusKind
from cimcare.model.envelope import (
    EventMessage,
    Header,
    IDKind,
    ObjectID,
    Option,
    Payload,
    Request,
    RequestMessage,
    ResponseMessage,
    Result,
    User,
)
from cimcare.model.identity import MRID, MessageID, Name, NameType
from cimcare.model.incident import (
    Incident,
    IncidentHazard,
    IncidentIdentity,
    IncidentLocation,
    IncidentOutage,
    IncidentWork,
    TroubleTicketIdentity,
    UsagePointIdentity,
)
from cimcare.model.nouns import NOUNS, Noun
from cimcare.model.structure import Structure
from cimcare.model.trouble_ticket import (
    CustomerNotification,
    ServiceLocationIdentity,
    TroubleTicket,
    TroubleTicketCustomer,
)
from cimcare.model.values import DateTimeInterval, Status
from cimcare.model.verbs import EVENT_VERBS, Verb
from cimcare.store.opening import open_store
from tests.support.channels import CHANNELS, answer_of
from tests.support.hub import Response, call

__all__ = ["Desk", "RefusedError", "open_desk", "settings_of"]

_SOAP = CHANNELS["soap11"]


def settings_of(database: str, more: str = "", *, seed_town: bool = True) -> Settings:
    """Settings of a hub whose clock does not tick by itself."""
    town = f"systems.seed_town = {str(seed_town).lower()}\n"
    quiet = (
        "hub.tick_seconds = 0\nretention.every_minutes = 0\nalarms.every_seconds = 3600\ndelivery.poll_seconds = 60\n"
    )
    return read_settings(f'port = 0\ndatabase = "{database}"\n{town}{quiet}{more}')


class RefusedError(Exception):
    """A message was not taken. `reply` says why."""

    def __init__(self, reply: ResponseMessage) -> None:
        self.reply = reply
        super().__init__("; ".join(f"{one.code} {one.reason} {one.details}" for one in reply.reply.error))


class Sent(NamedTuple):
    """A notice that has left, and when."""

    at: datetime
    notice: Outgoing


class Phones:
    """The telephones of the town, and its mailboxes: a channel that takes all notices and keeps them."""

    def __init__(self, clock: list[datetime]) -> None:
        self._clock = clock
        self.sent: list[Sent] = []

    async def send(self, notice: Outgoing) -> HandOver:
        """Take a notice."""
        self.sent.append(Sent(self._clock[0], notice))
        return HandOver(result=Handed.SENT)

    async def close(self) -> None:
        """Nothing is open."""


class Desk:
    """One hub and who speaks with it. `now` is its clock, which stands still but for `move`."""

    def __init__(self, hub: Hub, store: Store, clock: list[datetime], phones: Phones, life: int = 0) -> None:
        self.hub = hub
        self.store = store
        self.phones = phones
        self._life = life
        self._clock = clock
        self._sent = 0

    @property
    def now(self) -> datetime:
        """What the clock of the hub says."""
        return self._clock[0]

    # --------------------------------------------------------------------------------------------------------- clock

    async def move(self, at: datetime) -> None:
        """Let the clock go on to an instant, and let the hub do what is due by then."""
        assert at >= self.now, f"the clock does not go back from {self.now} to {at}"
        self._clock[0] = at
        await self.tick()

    async def tick(self) -> None:
        """Let the hub do what is due by the clock."""
        await self.hub.upkeep.ticking.round()
        while await self.hub.notifier.round():
            pass

    # ------------------------------------------------------------------------------------------------------ messages

    async def ask(
        self,
        verb: Verb,
        noun: Noun,
        *objects: Structure,
        ids: Sequence[ObjectID] = (),
        source: str = "CONTROL-ROOM",
        user: str = "",
        options: dict[str, str] | None = None,
    ) -> ResponseMessage:
        """Send a request over SOAP and give the reply, whatever it says."""
        self._sent += 1
        entry = NOUNS[noun]
        header = Header(
            verb=verb,
            noun=noun,
            timestamp=self.now,
            source=source,
            user=User(user_id=user) if user else None,
            message_id=MessageID(f"{source}-{self._life}-{self._sent}"),
        )
        message = RequestMessage(
            header=header,
            request=Request(
                id=tuple(ids), option=tuple(Option(name=name, value=value) for name, value in (options or {}).items())
            )
            if ids or options
            else None,
            payload=Payload(content=(entry.payload(**{entry.item: tuple(objects)}),)) if objects else None,  # type: ignore[arg-type]
        )
        response = await call(self.hub.app, "/soap", _SOAP.render(message), headers={"content-type": "text/xml"})
        answer = answer_of(_SOAP, response)
        assert isinstance(answer, ResponseMessage), answer
        return answer

    async def do(self, verb: Verb, noun: Noun, *objects: Structure, **more: object) -> ResponseMessage:
        """Send a request that has to be taken. Raises RefusedError."""
        reply = await self.ask(verb, noun, *objects, **more)  # type: ignore[arg-type]
        if reply.reply.result is not Result.OK:
            raise RefusedError(reply)
        return reply

    async def get(self, noun: Noun, *ids: ObjectID) -> tuple[Structure, ...]:
        """Objects of a noun, all of them if none is named."""
        reply = await self.do(Verb.GET, noun, ids=ids, options={} if ids else {"limit": "1000"})
        assert reply.payload is not None
        (root,) = reply.payload.content
        found: tuple[Structure, ...] = getattr(root, NOUNS[noun].item)
        return found

    async def incidents(self) -> list[Incident]:
        """All incidents."""
        return [one for one in await self.get(Noun.INCIDENTS) if isinstance(one, Incident)]

    async def tickets(self) -> dict[str, TroubleTicket]:
        """All tickets by the name that they came with."""
        found = [one for one in await self.get(Noun.TROUBLE_TICKETS) if isinstance(one, TroubleTicket)]
        return {label_of(one): one for one in found}

    async def ticket(self, label: str) -> TroubleTicket:
        """One ticket by its name."""
        (found,) = await self.get(Noun.TROUBLE_TICKETS, ObjectID(value=label, kind=IDKind.name))
        assert isinstance(found, TroubleTicket)
        return found

    async def incident_of(self, label: str) -> MRID:
        """The incident to which a ticket belongs."""
        ticket = await self.ticket(label)
        assert ticket.incident is not None, f"ticket {label} belongs to no incident"
        assert ticket.incident.mrid is not None
        return ticket.incident.mrid

    async def events(self) -> list[EventMessage]:
        """All events that the hub has told so far, in order."""
        from cimcare.codec.envelope import parse_message

        found = []
        after = 0
        while page := (
            await self.hub.queries.list_messages(LogSelection(limit=1000, after=after, direction=Direction.OUT))
        ).items:
            for entry in page:
                after = entry.sequence
                if entry.verb in EVENT_VERBS:
                    raw = await self.hub.queries.find_raw(entry.sequence)
                    assert raw is not None
                    message = parse_message(raw)
                    assert isinstance(message, EventMessage)
                    found.append(message)
        return found

    async def rest(self, path: str, body: bytes = b"", *, method: str = "GET", content_type: str = "") -> Response:
        """What the REST interface answers."""
        headers = {"content-type": content_type} if content_type else {}
        response = await call(self.hub.app, path, body, method=method, headers=headers)
        assert response is not None
        return response

    # --------------------------------------------------------------------------------------------------- who does it

    async def call_in(
        self,
        label: str,
        place: ServiceLocationIdentity | None,
        *,
        reported_at: datetime | None = None,
        hazard: str = "",
        device: str = "",
        customer: TroubleTicketCustomer | None = None,
        code: str = "NO_SUPPLY",
        wants: CustomerNotification | None = None,
    ) -> ResponseMessage:
        """A customer calls: create(TroubleTickets) of the customer system."""
        names = [named(label, "TicketNumber"), *([named(device, "Device")] if device else [])]
        ticket = TroubleTicket(
            date_time_of_report=reported_at or self.now,
            trouble_code=code,
            customer=customer,
            hazards=(IncidentHazard(type=hazard),) if hazard else (),
            names=tuple(names),
            notification=wants,
            service_location=place,
        )
        return await self.ask(Verb.CREATE, Noun.TROUBLE_TICKETS, ticket, source="CALL-CENTRE")

    async def change_incident(self, incident: Incident, *, verb: Verb = Verb.CHANGE, by: str = "") -> ResponseMessage:
        """Dispatcher or crew say something of an incident."""
        return await self.ask(verb, Noun.INCIDENTS, incident, user=by)


def named(name: str, kind: str) -> Name:
    """A name of a numbering scheme."""
    return Name(name=name, name_type=NameType(name=kind))


def label_of(ticket: TroubleTicket) -> str:
    """The name under which a ticket came."""
    return next((name.name for name in ticket.names if name.name_type and name.name_type.name == "TicketNumber"), "")


def said(
    mrid: MRID,
    *,
    evidence: str,
    by: str = "",
    device: str = "",
    kind: str = "",
    etr: datetime | None = None,
    restored_at: datetime | None = None,
    restored: Sequence[UsagePointIdentity] = (),
    crew: WorkStatusKind | None = None,
    crew_name: str = "CREW-11",
    tickets: Sequence[MRID] = (),
    cause: str = "",
) -> Incident:
    """What somebody says of an incident, with the evidence that it rests on."""
    outage = None
    if etr or restored_at or restored:
        outage = IncidentOutage(
            estimated_period=DateTimeInterval(end=etr) if etr else None,
            actual_period=DateTimeInterval(end=restored_at) if restored_at else None,
            usage_points=tuple(restored),
        )
    return Incident(
        mrid=mrid,
        cause=cause or None,
        location=IncidentLocation(type=kind or None, names=(named(device, "Device"),)) if device else None,
        outage=outage,
        status=Status(reason=evidence, remark=by or None),
        trouble_tickets=tuple(TroubleTicketIdentity(mrid=ticket) for ticket in tickets),
        works=(IncidentWork(status_kind=crew, names=(named(crew_name, "Crew"),)),) if crew else (),
    )


def a_wish(trigger: str, way: str, value: str) -> CustomerNotification:
    """What a caller wants to be told, and how."""
    return CustomerNotification(contact_type=way, contact_value=value, trigger=NotificationTriggerKind(trigger))


def belongs_to(mrid: MRID) -> IncidentIdentity:
    """An incident as a ticket names it."""
    return IncidentIdentity(mrid=mrid)


@asynccontextmanager
async def open_desk(settings: Settings, at: datetime, *, life: int = 0) -> AsyncIterator[Desk]:
    """A hub in this process, and a desk before it; the clock stands at `at`. Each `life` has identifiers of its own."""
    clock = [at]
    counter = [0]

    def new_id() -> str:
        counter[0] += 1
        return f"00000000-0000-4000-9{life:03}-{counter[0]:012}"

    logger = structlog.wrap_logger(structlog.testing.ReturnLogger(), processors=[structlog.testing.LogCapture()])
    phones = Phones(clock)
    store = await open_store(settings.database)
    hub = await Hub.open(
        settings,
        clock=lambda: clock[0],
        new_id=new_id,
        logger=logger,
        store=store,
        channels={ContactKind.SMS: phones, ContactKind.EMAIL: phones},
    )
    try:
        yield Desk(hub, store, clock, phones, life)
    finally:
        await hub.close()
