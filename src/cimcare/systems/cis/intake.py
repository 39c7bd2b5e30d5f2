"""Taking a call: who it is, whether the trouble is reported already, which message follows, and what the caller hears.

Report once, attach many: as long as a ticket of the premises is open, a call adds to it what is new, and never makes a
second one. A caller whom nobody knows is taken all the same, with the place as it was said.
"""

from datetime import datetime, tzinfo

import msgspec

from cimcare.errors import CimcareError, Finding, finding_of
from cimcare.exchange.ports import Collection, Key, Records, Selection, Stored
from cimcare.model.enumerations import NotificationTriggerKind, TroubleReportingKind
from cimcare.model.identity import MRID, Name, NameType
from cimcare.model.incident import Incident, IncidentHazard, IncidentIdentity
from cimcare.model.trouble_ticket import (
    CustomerNotification,
    ServiceLocationIdentity,
    TroubleTicket,
    TroubleTicketCustomer,
)
from cimcare.rules.lifecycle import TicketState
from cimcare.systems.cis import wording
from cimcare.systems.cis.callers import Caller, find_callers
from cimcare.systems.cis.kinds import INCIDENTS, TICKETS
from cimcare.systems.cis.members import MEMBERS, digest_of, members_of_ticket, out_at
from cimcare.systems.etr import Etr
from cimcare.systems.identity import mrid_of

__all__ = [
    "REPORTED",
    "Call",
    "CallError",
    "OpenTicket",
    "Reported",
    "Wanted",
    "addition_of",
    "count_tickets",
    "find_incident",
    "find_open_ticket",
    "note_reported",
    "recognise",
    "say_taken",
    "ticket_of",
]

_LONGEST_COMMENT = 2000
_CLAUSE = "call intake (our profile)"
_AS_SAID = "AsSaid"
"""Type of the name of a place that nobody knows: what the caller called it."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What the caller wants to be told, and how; not before and not after these instants."""

    trigger: NotificationTriggerKind
    contact_type: str
    contact_value: str
    earliest: datetime | None = None
    latest: datetime | None = None


class Call(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A call as it is taken.

    Who calls is said by `premises` (mRID or number), `account`, `customer`, `telephone` or `caller` (as typed), the
    first of them that is given. `trouble` is a code such as `noPower`, `hazards` are dangers such as `wireDown`.
    """

    premises: str = ""
    account: str = ""
    customer: str = ""
    telephone: str = ""
    caller: str = ""
    trouble: str = ""
    hazards: tuple[str, ...] = ()
    comment: str = ""
    multiple_premises: bool | None = None
    reporting_kind: TroubleReportingKind = TroubleReportingKind.call
    reported_at: datetime | None = None
    notify: Wanted | None = None

    @property
    def said(self) -> str:
        """By what the caller is to be recognised."""
        given = (self.premises, self.account, self.customer, self.telephone, self.caller)
        return next((text.strip() for text in given if text.strip()), "")


class CallError(CimcareError):
    """A call that cannot be taken as it is; `findings` say why, `callers` who may be meant where several fit."""

    def __init__(self, finding: Finding, callers: tuple[Caller, ...] = ()) -> None:
        super().__init__(finding.describe())
        self.finding = finding
        self.callers = callers
        self.code = finding.code


class OpenTicket(msgspec.Struct, frozen=True, kw_only=True):
    """A ticket that is open at the premises, and its incident. `is_told` says that its owner has told us so."""

    ticket: Stored[TroubleTicket]
    incident: MRID | None
    is_told: bool


class Reported(msgspec.Struct, frozen=True, kw_only=True):
    """The ticket that a call from the premises made last."""

    ticket: MRID


REPORTED: Collection[Reported] = Collection("cis.Reported", Reported)
"""What was reported last, by the mRID of the premises: an OMS may take calls and tell nothing of them."""


async def recognise(records: Records, call: Call) -> Stored[Caller] | None:
    """Who calls; None if nobody knows.

    Raises:
        CallError: BUS-141 nothing says who it is and there is no danger, BUS-143 several fit.
    """
    if not call.said:
        if call.hazards:  # a passer-by who reports a wire down
            return None
        raise CallError(
            finding_of(
                "BUS-141",
                "/",
                "neither caller, place nor hazard",
                "one of premises, account, customer, telephone and caller; or a hazard",
                _CLAUSE,
            )
        )
    found, has_more = await find_callers(records, call.said)
    if len(found) > 1 or has_more:
        several = tuple(one.body for one in found)
        raise CallError(
            finding_of(
                "BUS-143",
                "/",
                f"{len(found)}{' or more' if has_more else ''} premises fit what was said",
                "the mRID or number of one of them as `premises`",
                _CLAUSE,
            ),
            several,
        )
    return found[0] if found else None


async def find_open_ticket(records: Records, premises: MRID) -> OpenTicket | None:
    """The ticket that is open at the premises, the latest if there are several.

    Where we were told of none it is the one that we have reported ourselves, as long as nobody has told of its end.
    """
    for member in reversed(await out_at(records, premises)):
        if member.body.ticket is not None:
            ticket = await records.find(TICKETS.collection, member.body.ticket)
            if ticket is not None:
                return OpenTicket(ticket=ticket, incident=member.body.incident, is_told=True)
    reported = await records.find(REPORTED, premises)
    ticket = await records.find(TICKETS.collection, reported.body.ticket) if reported is not None else None
    if ticket is None or ticket.state not in ("", TicketState.OPEN) or await members_of_ticket(records, ticket.mrid):
        return None
    identity = ticket.body.incident
    return OpenTicket(ticket=ticket, incident=mrid_of(identity) if identity is not None else None, is_told=False)


async def note_reported(
    records: Records, premises: MRID | None, ticket: TroubleTicket, incident: MRID | None, now: datetime
) -> None:
    """Note a ticket that its owner has taken, where no event has told of it meanwhile."""
    mrid = mrid_of(ticket)
    if mrid is None:
        return
    if await records.find(TICKETS.collection, mrid) is None:
        body = msgspec.structs.replace(
            ticket, incident=IncidentIdentity(mrid=incident) if incident is not None else None
        )
        keys = TICKETS.name_keys(body)
        stored = Stored(mrid=mrid, body=body, created_at=now, modified_at=now, state=TicketState.OPEN, keys=keys)
        await records.save(TICKETS.collection, stored)
    if premises is not None:
        known = await records.find(REPORTED, premises)
        first_at = known.created_at if known is not None else now
        reported = Stored(mrid=premises, body=Reported(ticket=mrid), created_at=first_at, modified_at=now)
        await records.save(REPORTED, reported)


async def count_tickets(records: Records, premises: MRID) -> int:
    """How many tickets of the premises were ever told of, up to a thousand."""
    return len(await records.select(MEMBERS, Selection(keys=((Key("place", premises),),))))


def ticket_of(call: Call, caller: Caller | None, *, mrid: MRID, now: datetime) -> TroubleTicket:
    """The ticket of a call that reports something new, with a number that can be told over the telephone."""
    digits = digest_of("number", mrid)[:12].upper()
    number = f"T-{digits[:4]}-{digits[4:8]}-{digits[8:]}"
    place = None
    if caller is not None:
        place = ServiceLocationIdentity(mrid=caller.premises)
    elif call.said:
        place = ServiceLocationIdentity(names=(Name(name=call.said[:200], name_type=NameType(name=_AS_SAID)),))
    customer = None
    if caller is not None and caller.customer is not None:
        customer = TroubleTicketCustomer(mrid=caller.customer, special_need=caller.special_need)
    return TroubleTicket(
        mrid=mrid,
        names=(Name(name=number, name_type=NameType(name="TicketNumber")),),
        date_time_of_report=call.reported_at or now,
        reporting_kind=call.reporting_kind,
        trouble_code=call.trouble or None,
        comment=call.comment[:_LONGEST_COMMENT] or None,
        multiple_premises=call.multiple_premises,
        hazards=_hazards(call),
        notification=_notification(call),
        service_location=place,
        customer=customer,
    )


def addition_of(call: Call, known: Stored[TroubleTicket]) -> TroubleTicket | None:
    """What a call adds to an open ticket: dangers, a wish, what was said; None if all of it is known."""
    body = known.body
    hazards = tuple(one for one in _hazards(call) if one.type not in {each.type for each in body.hazards})
    notification = _notification(call)
    comment = None
    if call.comment and call.comment not in (body.comment or ""):
        comment = f"{body.comment} | {call.comment}" if body.comment else call.comment
        comment = comment[-_LONGEST_COMMENT:]
    trouble = call.trouble if call.trouble and not body.trouble_code else None
    neighbours = call.multiple_premises if call.multiple_premises and not body.multiple_premises else None
    if notification == body.notification:
        notification = None
    if not (hazards or notification or comment or trouble or neighbours):
        return None
    return TroubleTicket(
        mrid=known.mrid,
        hazards=hazards,
        notification=notification,
        comment=comment,
        trouble_code=trouble,
        multiple_premises=neighbours,
    )


async def find_incident(records: Records, ticket: MRID) -> tuple[MRID | None, Incident | None]:
    """The incident of a ticket as far as we were told of it: which it is, and what is known of it."""
    stored = await records.find(TICKETS.collection, ticket)
    identity = stored.body.incident if stored is not None else None
    mrid = mrid_of(identity) if identity is not None else None
    incident = await records.find(INCIDENTS.collection, mrid) if mrid is not None else None
    return mrid, incident.body if incident is not None else None


def say_taken(etr: Etr, *, is_new: bool, address: str, has_hazard: bool, zone: tzinfo) -> str:
    """What the caller is told, in one go. Nothing is said that is not known."""
    where = f" for {address}" if address else ""
    known = f"The trouble{where} is reported already; your call is noted."
    taken = f"Your report{where} is taken." if is_new else known
    danger = " Danger goes before everything else: please keep away and keep others away." if has_hazard else ""
    return f"{taken}{danger} {wording.say_etr(etr, zone)}"


def _hazards(call: Call) -> tuple[IncidentHazard, ...]:
    return tuple(IncidentHazard(type=one.strip()) for one in dict.fromkeys(call.hazards) if one.strip())


def _notification(call: Call) -> CustomerNotification | None:
    wanted = call.notify
    if wanted is None:
        return None
    return CustomerNotification(
        contact_type=wanted.contact_type,
        contact_value=wanted.contact_value,
        trigger=wanted.trigger,
        earliest_date_time_to_call=wanted.earliest,
        latest_date_time_to_call=wanted.latest,
    )
