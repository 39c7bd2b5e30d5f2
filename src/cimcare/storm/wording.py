"""The bytes of a storm: each message of a plan as it goes over the wire, with its head of HTTP.

Messages are written once for each sort by the codec, with marks where one differs from the next; the rest is putting
values between the pieces, which costs a few microseconds. Identifiers follow from the key of the plan and the number of
the message, instants from the virtual clock of the storm. Pure: the same plan and the same wire give the same bytes.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from operator import itemgetter
from urllib.parse import urlsplit

import msgspec

from cimcare.codec.envelope import render_message
from cimcare.codec.json_body import render_json
from cimcare.codec.soap import SoapVersion, render_soap
from cimcare.model.enumerations import NotificationTriggerKind, TroubleReportingKind
from cimcare.model.envelope import Header, Payload, Request, RequestMessage, User
from cimcare.model.identity import MRID, MessageID, Name, NameType, NameTypeAuthority
from cimcare.model.incident import IncidentHazard
from cimcare.model.nouns import Noun, PayloadRoot, Query
from cimcare.model.queries import GetIncidents, GetTroubleTickets, TroubleTicketFilter
from cimcare.model.trouble_ticket import (
    CustomerAgreementPlace,
    CustomerNotification,
    ServiceLocationIdentity,
    TroubleTicket,
    TroubleTicketCustomer,
    TroubleTickets,
)
from cimcare.model.values import Status
from cimcare.model.verbs import Verb
from cimcare.storm.plan import Hazard, Item, Origin, Plan

__all__ = ["Form", "Target", "Wording", "render_query", "with_head"]

_ACTION = "http://iec.ch/61968/Request"
_AUTHORITY = "Stormton CIS"
_MARK = re.compile(rb"@(\d)@")
_REPORTED = datetime(1901, 1, 1, tzinfo=UTC)
_SENT = datetime(1901, 1, 2, tzinfo=UTC)
_DATES = {b"1901-01-01T00:00:00Z": b"@5@", b"1901-01-02T00:00:00Z": b"@1@"}
_MESSAGE, _WHEN, _TICKET, _NAME, _PLACE, _REPORT = range(6)
"""The marks: MessageID, Timestamp, mRID and name of the ticket, number of the premises, instant of the report."""

_HAZARDS = {Hazard.WIRE_DOWN: "wireDown", Hazard.FIRE: "fire", Hazard.GAS: "gas"}
_COMMENTS = (
    "No light in the whole house since a few minutes.",
    "Everything went dark after a loud bang outside.",
    "Kitchen and cellar without supply, the other rooms are fine.",
    "The whole street is dark.",
    "A tree has fallen across the line behind the garden.",
    "Lights flickered twice and then went out.",
    "The neighbours are out, too.",
    "The transformer on the pole hummed, and then it was quiet.",
)
_STILL_OUT = "I was told that it is back, but supply is still out."


class Form(StrEnum):
    """How a message is written."""

    SOAP11 = "soap-1.1"
    SOAP12 = "soap-1.2"
    XML = "xml"
    JSON = "json"


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where a storm goes, and how it speaks.

    Args of it: `url` of the endpoint, `form`, further `headers` of HTTP, `source` and `context` of the messages, `api`
    the base of the REST interface of our hubs, empty where there is none.
    """

    url: str
    form: Form
    headers: tuple[tuple[str, str], ...] = ()
    source: str = "STORM"
    context: str = "TESTING"
    api: str = ""


class Wording:
    """Writes the messages of one plan.

    Args:
        plan: The storm.
        target: Where to, and how.
        start: What the virtual clock shows at the beginning; aware.
    """

    def __init__(self, plan: Plan, target: Target, start: datetime) -> None:
        self._plan = plan
        self._target = target
        self._start = start
        # Whoever sends the same storm under other names or at another time sends other messages.
        key = f"{plan.key}/{target.source}/{target.context}/{start.isoformat()}"
        self._tickets = _prefix(key, "ticket")
        self._messages = {item: _prefix(key, item.name) for item in Item}
        self.name_prefix = f"ST{sha256(key.encode()).hexdigest()[:10].upper()}"
        """How the names of all tickets of this storm begin."""
        self._head = _head(target.url, target.form, target.headers)
        self._meter_head = _meter_head(target) if target.api else b""
        self._templates: dict[tuple[int, ...], _Template] = {}
        self._second = -1
        self._second_text = b""

    def ticket_id(self, ticket: int) -> str:
        """MRID of a ticket."""
        return f"{self._tickets}{ticket:012x}"

    def ticket_name(self, ticket: int) -> str:
        """Number of a ticket, as people call it."""
        return f"{self.name_prefix}-{ticket}"

    def instant(self, seconds: float) -> datetime:
        """What the virtual clock shows so many seconds after the beginning."""
        return self._start + timedelta(seconds=seconds)

    def request(self, number: int) -> bytes:
        """One message of the plan with its head, as it goes over the wire."""
        plan = self._plan
        kind, subject = plan.kinds[number], plan.subjects[number]
        if kind == Item.METERS:
            return self._meters(subject)
        body = self.body(number)
        return b"%b%d\r\n\r\n%b" % (self._head, len(body), body)

    def body(self, number: int) -> bytes:
        """One message of the plan, without meters."""
        plan = self._plan
        kind, subject = plan.kinds[number], plan.subjects[number]
        if kind <= Item.AGAIN:
            return self._ticket(subject)
        sent = self._text(plan.at[number])
        ticket = subject if kind == Item.CLOSE else plan.asked[subject]
        template = self._templates.get((kind,)) or self._make((kind,), self._other(Item(kind)))
        message = b"%b%012x" % (self._messages[Item(kind)].encode(), subject)
        return template.fill((message, sent, self.ticket_id(ticket).encode(), b"", b"", sent))

    def bodies(self) -> Iterator[bytes]:
        """All messages in their order."""
        for number, kind in enumerate(self._plan.kinds):
            yield self.table(self._plan.subjects[number]) if kind == Item.METERS else self.body(number)

    # -------------------------------------------------------------------------------------------------------- tickets

    def _ticket(self, ticket: int) -> bytes:
        plan = self._plan
        premises, hazard, origin = plan.premises[ticket], plan.hazards[ticket], plan.origins[ticket]
        has_need = bool(plan.town.need(premises)) and origin != Origin.WRONG_ACCOUNT
        comment = len(_COMMENTS) if origin == Origin.STILL_OUT else ticket % len(_COMMENTS)
        which = (Item.TICKET, hazard, comment, has_need, origin == Origin.WRONG_ACCOUNT)
        template = self._templates.get(which) or self._make(which, self._new_ticket(*which[1:]))
        reported = self._text(plan.reported[ticket])
        return template.fill(
            (
                b"%b%012x" % (self._messages[Item.TICKET].encode(), ticket),
                reported,
                b"%b%012x" % (self._tickets.encode(), ticket),
                b"%b-%d" % (self.name_prefix.encode(), ticket),
                b"%d" % premises,
                reported,
            )
        )

    def _new_ticket(self, hazard: int, comment: int, has_need: bool, is_wrong: bool) -> RequestMessage:
        sort = "ST-X" if is_wrong else "ST-"
        location = ServiceLocationIdentity(names=_name(f"{sort}SL-@{_PLACE}@", "ServiceLocationNumber"))
        agreement = CustomerAgreementPlace(
            names=_name(f"{sort}AG-@{_PLACE}@", "AgreementNumber"), service_locations=(location,)
        )
        customer = TroubleTicketCustomer(
            names=_name(f"{sort}C-@{_PLACE}@", "CustomerNumber"),
            special_need="home ventilator" if has_need else None,
            customer_agreements=(agreement,),
        )
        kind = _HAZARDS.get(Hazard(hazard))
        ticket = TroubleTicket(
            mrid=MRID(f"@{_TICKET}@"),
            comment=(*_COMMENTS, _STILL_OUT)[comment],
            created_date_time=_REPORTED,
            date_time_of_report=_REPORTED,
            multiple_premises=comment in (3, 6) or None,
            reporting_kind=TroubleReportingKind.ivr if comment % 2 else TroubleReportingKind.call,
            trouble_code="STILL_OUT" if comment == len(_COMMENTS) else "NO_SUPPLY",
            customer=customer,
            hazards=(IncidentHazard(type=kind, description="seen from the window"),) if kind else (),
            names=_name(f"@{_NAME}@", "TroubleTicketNumber"),
            notification=CustomerNotification(
                contact_type="phone",
                contact_value="+1-906-555-0100",
                trigger=NotificationTriggerKind.powerRestored,
            ),
            service_location=location,
        )
        return self._message(Verb.CREATE, Noun.TROUBLE_TICKETS, payload=TroubleTickets(trouble_ticket=(ticket,)))

    # ------------------------------------------------------------------------------------------------- other messages

    def _other(self, item: Item) -> RequestMessage:
        if item is Item.CLOSE:
            ticket = TroubleTicket(
                mrid=MRID(f"@{_TICKET}@"), resolved_date_time=_REPORTED, status=Status(reason="callback")
            )
            return self._message(Verb.CLOSE, Noun.TROUBLE_TICKETS, payload=TroubleTickets(trouble_ticket=(ticket,)))
        asked = (TroubleTicketFilter(mrid=MRID(f"@{_TICKET}@")),)
        if item is Item.ASK_INCIDENT:
            return self._message(Verb.GET, Noun.INCIDENTS, query=GetIncidents(trouble_ticket=asked))
        return self._message(Verb.GET, Noun.TROUBLE_TICKETS, query=GetTroubleTickets(trouble_ticket=asked))

    def _message(
        self, verb: Verb, noun: Noun, *, payload: PayloadRoot | None = None, query: Query | None = None
    ) -> RequestMessage:
        header = _header(self._target, verb, noun, MessageID(f"@{_MESSAGE}@"), _SENT)
        return RequestMessage(
            header=header,
            request=Request(query=query) if query is not None else None,
            payload=Payload(content=(payload,)) if payload is not None else None,
        )

    def _make(self, which: tuple[int, ...], message: RequestMessage) -> "_Template":
        self._templates[which] = template = _Template(_RENDER[self._target.form](message))
        return template

    def _text(self, seconds: float) -> bytes:
        whole = int(seconds)
        if whole != self._second:
            self._second = whole
            self._second_text = f"{self._start + timedelta(seconds=whole):%Y-%m-%dT%H:%M:%SZ}".encode()
        return self._second_text

    # --------------------------------------------------------------------------------------------------------- meters

    def table(self, number: int) -> bytes:
        """A table of meter events."""
        rows = "".join(
            f"ST-UP-{premises},off,{self.instant(int(at)):%Y-%m-%dT%H:%M:%SZ}\n"
            for premises, at in self._plan.tables[number]
        )
        return f"point,state,at\n{rows}".encode()

    def _meters(self, number: int) -> bytes:
        body = self.table(number)
        key = f"{self._messages[Item.METERS]}{number:012x}".encode()
        return b"%bIdempotency-Key: %b\r\nContent-Length: %d\r\n\r\n%b" % (self._meter_head, key, len(body), body)


class _Template:
    """A message with marks, cut at them."""

    def __init__(self, raw: bytes) -> None:
        for date, mark in _DATES.items():
            raw = raw.replace(date, mark)
        marks = [int(found) for found in _MARK.findall(raw)]
        self._raw = _MARK.sub(b"%b", raw.replace(b"%", b"%%"))
        self._pick: Callable[[tuple[bytes, ...]], tuple[bytes, ...]] = itemgetter(*marks)

    def fill(self, values: tuple[bytes, ...]) -> bytes:
        """The message with these values at its marks."""
        return self._raw % self._pick(values)


def render_query(target: Target, wording: Wording, tickets: list[int], message_id: str, at: datetime) -> bytes:
    """The body of a request for tickets by their numbers."""
    asked = tuple(
        TroubleTicketFilter(names=_name(wording.ticket_name(ticket), "TroubleTicketNumber")) for ticket in tickets
    )
    header = _header(target, Verb.GET, Noun.TROUBLE_TICKETS, MessageID(message_id), at)
    message = RequestMessage(header=header, request=Request(query=GetTroubleTickets(trouble_ticket=asked)))
    return _RENDER[target.form](message)


def with_head(target: Target, body: bytes) -> bytes:
    """A message as it goes over HTTP."""
    return b"%b%d\r\n\r\n%b" % (_head(target.url, target.form, target.headers), len(body), body)


_RENDER: Mapping[Form, Callable[[RequestMessage], bytes]] = {
    Form.SOAP11: lambda message: render_soap(message, SoapVersion.V11),
    Form.SOAP12: lambda message: render_soap(message, SoapVersion.V12),
    Form.XML: render_message,
    Form.JSON: render_json,
}
_TYPES = {
    Form.SOAP11: "text/xml; charset=utf-8",
    Form.SOAP12: f'application/soap+xml; charset=utf-8; action="{_ACTION}"',
    Form.XML: "application/xml",
    Form.JSON: "application/json",
}


def _header(target: Target, verb: Verb, noun: Noun, message_id: MessageID, at: datetime) -> Header:
    return Header(
        verb=verb,
        noun=noun,
        revision="1",
        context=target.context or None,
        timestamp=at,
        source=target.source,
        user=User(user_id="storm", organization=target.source),
        message_id=message_id,
    )


def _head(url: str, form: Form, headers: tuple[tuple[str, str], ...]) -> bytes:
    """Request line and header fields up to the length of the body."""
    action = f'SOAPAction: "{_ACTION}"\r\n' if form is Form.SOAP11 else ""
    return f"{_first(url, headers)}Content-Type: {_TYPES[form]}\r\n{action}Content-Length: ".encode("latin-1")


def _meter_head(target: Target) -> bytes:
    first = _first(f"{target.api}/api/v1/meter-events", target.headers)
    return f"{first}Content-Type: text/csv\r\nX-Actor: {target.source}\r\n".encode("latin-1")


def _first(url: str, headers: tuple[tuple[str, str], ...]) -> str:
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    host = parts.netloc.rpartition("@")[2]
    more = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"POST {path} HTTP/1.1\r\nHost: {host}\r\n{more}"


def _name(name: str, name_type: str) -> tuple[Name, ...]:
    return (
        Name(name=name, name_type=NameType(name=name_type, name_type_authority=NameTypeAuthority(name=_AUTHORITY))),
    )


def _prefix(key: str, sort: str) -> str:
    """All of a UUID of version 4 but its last twelve digits."""
    digits = sha256(f"{key}/{sort}".encode()).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-"
