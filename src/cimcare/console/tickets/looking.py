"""What the pages of tickets show: who may be calling, the latest tickets, and all that is known of one. Reads only."""

from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import quote

import msgspec

from cimcare.console.masking import mask_contact
from cimcare.console.owned import callers_at, incidents, tickets
from cimcare.exchange.ports import Key, Records, Selection, Stored
from cimcare.hub.rest.inside import Inside
from cimcare.model.enumerations import TroubleReportingKind
from cimcare.model.identity import MRID
from cimcare.model.incident import Incident
from cimcare.model.trouble_ticket import TroubleTicket
from cimcare.rules.lifecycle import TicketState
from cimcare.systems.cis.callbacks import CALL_BACKS, CallBack
from cimcare.systems.cis.callers import CALLERS, Caller, find_callers
from cimcare.systems.cis.contacts import notice_zone
from cimcare.systems.cis.intake import find_incident, find_open_ticket, say_taken
from cimcare.systems.cis.kinds import AGREEMENTS, INCIDENTS
from cimcare.systems.cis.members import LEFT, Member, members_of_ticket, spot_of_ticket
from cimcare.systems.cis.notices import NOTICES, NoticeRecord
from cimcare.systems.cis.wording import say_etr
from cimcare.systems.etr import Etr, etr_of
from cimcare.systems.identity import labels_of, mrid_of
from cimcare.systems.objects import as_utc
from cimcare.systems.premises import PREMISES

__all__ = [
    "Callers",
    "Happened",
    "MayCall",
    "TicketPage",
    "TicketRow",
    "TicketView",
    "find_ticket",
    "list_tickets",
    "look_up",
    "number_of_ticket",
]

_MOST_ROWS = 20
_MOST_TOLD = 50


class MayCall(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who may be calling, with what an agent has to know before a word is said.

    `telephone` is masked. `supply` says how the premises are supplied, `is_supplied` whether they are. `words` are what
    there is to say about the trouble that is reported already, empty if none is.
    """

    caller: Caller
    telephone: str
    supply: str
    is_supplied: bool
    ticket: MRID | None = None
    number: str = ""
    incident: MRID | None = None
    words: str = ""


class Callers(msgspec.Struct, frozen=True, kw_only=True):
    """Who fits what was typed; `has_more` says that others do too."""

    asked: str
    items: tuple[MayCall, ...] = ()
    has_more: bool = False


class TicketRow(msgspec.Struct, frozen=True, kw_only=True):
    """A ticket in one line."""

    mrid: MRID
    number: str
    at: datetime
    state: str
    trouble: str
    hazards: tuple[str, ...]
    place: str
    is_critical: bool
    incident: MRID | None


class TicketPage(msgspec.Struct, frozen=True, kw_only=True):
    """Tickets, newest first. `after` asks for older ones; None if there are none."""

    items: tuple[TicketRow, ...]
    after: MRID | None = None


class Happened(msgspec.Struct, frozen=True, kw_only=True):
    """Something in the history of a ticket."""

    at: datetime
    what: str
    href: str = ""


class TicketView(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of a ticket. `sentence` is what there is to say to the caller now."""

    stored: Stored[TroubleTicket]
    number: str
    reported_at: datetime
    is_open: bool
    hazards: tuple[tuple[str, str], ...]
    place: str
    caller: Caller | None
    supply: str
    feeder: str
    transformer: str
    wish: str
    incident: MRID | None
    incident_state: str
    etr: Etr
    sentence: str
    history: tuple[Happened, ...]
    notices: tuple[Stored[NoticeRecord], ...]
    call_backs: tuple[Stored[CallBack], ...]


async def look_up(inside: Inside, asked: str) -> Callers:
    """Who fits what was typed, with what is reported from there already. At most twenty, each by look-ups."""
    records = inside.reader.records
    found, has_more = await find_callers(records, asked)
    return Callers(asked=asked, items=tuple([await _may_call(inside, one.body) for one in found]), has_more=has_more)


async def _may_call(inside: Inside, caller: Caller) -> MayCall:
    records = inside.reader.records
    supply, is_supplied = await _supply_of(records, caller.premises, inside.clock())
    shown = MayCall(caller=caller, telephone=mask_contact(caller.telephone), supply=supply, is_supplied=is_supplied)
    known = await find_open_ticket(records, caller.premises)
    if known is None:
        return shown
    incident, body = await find_incident(records, known.ticket.mrid)
    return msgspec.structs.replace(
        shown,
        ticket=known.ticket.mrid,
        number=number_of_ticket(known.ticket),
        incident=incident or known.incident,
        words=say_etr(etr_of(body) if body is not None else Etr(), await notice_zone(records)),
    )


async def _supply_of(records: Records, premises: MRID, now: datetime) -> tuple[str, bool]:
    """How premises are supplied, and whether they are: an account that was shut off is no outage."""
    place = await records.find(PREMISES, premises)
    if place is None or place.body.agreement is None:
        return "vacant, no agreement", False
    agreement = await records.find(AGREEMENTS.collection, place.body.agreement)
    if agreement is None:
        return "agreement not known", True
    body, told = agreement.body, [f"agreement {agreement.state}"]
    shut_at = as_utc(body.shut_off_date_time)
    is_shut = shut_at is not None and shut_at <= now
    if is_shut and shut_at is not None:
        told.append(f"shut off since {shut_at:%Y-%m-%d}")
    if body.is_pre_pay:
        told.append("prepaid")
    account = body.customer_account
    if account is not None and account.status is not None and account.status.value:
        told.append(f"account {account.status.value}")
    return ", ".join(told), not is_shut


# --------------------------------------------------------------------------------------------------------- tickets


async def list_tickets(inside: Inside, *, after: MRID | None = None, incident: str = "") -> TicketPage:
    """The newest tickets, or those behind one; of an incident, if it is named."""
    records = inside.reader.records
    keys = ((Key("incident", incident),),) if incident else ()
    selection = Selection(keys=keys, after=after, limit=_MOST_ROWS + 1, newest_first=True)
    found = await records.select(tickets(inside), selection)
    items = found[:_MOST_ROWS]
    places = [mrid for one in items if (mrid := _premises_of(one.body)) is not None]
    known = await callers_at(records, places)
    rows = tuple(_row_of(one, known.get(_premises_of(one.body) or MRID(""))) for one in items)
    return TicketPage(items=rows, after=items[-1].mrid if len(found) > len(items) else None)


def _row_of(stored: Stored[TroubleTicket], caller: Caller | None) -> TicketRow:
    body = stored.body
    need = body.customer.special_need if body.customer is not None else None
    return TicketRow(
        mrid=stored.mrid,
        number=number_of_ticket(stored),
        at=as_utc(body.date_time_of_report) or stored.created_at,
        state=stored.state,
        trouble=body.trouble_code or body.comment or "",
        hazards=tuple(one.type or one.description or "danger" for one in body.hazards),
        place=_place_of(body, caller),
        is_critical=bool(need or (caller is not None and caller.special_need)),
        incident=_incident_of(body),
    )


def number_of_ticket(stored: Stored[TroubleTicket]) -> str:
    """The number that people call a ticket by; failing that the beginning of its mRID."""
    labels = labels_of(stored.body)
    return labels[0].name if labels else f"{stored.mrid[:8]}…"


def _premises_of(body: TroubleTicket) -> MRID | None:
    return mrid_of(body.service_location) if body.service_location is not None else None


def _incident_of(body: TroubleTicket) -> MRID | None:
    return mrid_of(body.incident) if body.incident is not None else None


def _place_of(body: TroubleTicket, caller: Caller | None) -> str:
    if caller is not None:
        return caller.address or caller.place
    labels = labels_of(body.service_location) if body.service_location is not None else ()
    return labels[0].name if labels else ""


async def find_ticket(inside: Inside, mrid: MRID, *, taken: str = "") -> TicketView | None:
    """A ticket; None if there is none. `taken` is `new` or `known` where a call has just led to it."""
    records = inside.reader.records
    stored = await records.find(tickets(inside), mrid)
    if stored is None:
        return None
    body = stored.body
    spot = await spot_of_ticket(records, stored)
    premises = spot.premises.body if spot.premises is not None else None
    found = await records.find(CALLERS, premises.mrid) if premises is not None else None
    caller = found.body if found is not None else None
    members = await members_of_ticket(records, mrid)
    incident = _incident_of(body) or next((one.body.incident for one in reversed(members)), None)
    about = await _find_incident(inside, incident)
    etr = etr_of(about.body) if about is not None else Etr()
    here = ((Key("place", spot.key),),)
    told = Selection(keys=here, newest_first=True, limit=_MOST_TOLD)
    notices = tuple(one for one in await records.select(NOTICES, told) if one.body.incident == incident)
    calls = tuple(one for one in await records.select(CALL_BACKS, told) if one.body.incident == incident)
    supply, _ = await _supply_of(records, premises.mrid, inside.clock()) if premises is not None else ("", True)
    zone = await notice_zone(records)
    sentence = say_etr(etr, zone)
    if taken:
        address = caller.address if caller is not None else ""
        sentence = say_taken(etr, is_new=taken == "new", address=address, has_hazard=bool(body.hazards), zone=zone)
    reported_at = as_utc(body.date_time_of_report) or stored.created_at
    return TicketView(
        stored=stored,
        number=number_of_ticket(stored),
        reported_at=reported_at,
        is_open=stored.state in ("", TicketState.OPEN),
        hazards=tuple((one.type or "danger", one.description or "") for one in body.hazards),
        place=_place_of(body, caller),
        caller=caller,
        supply=supply,
        feeder=premises.feeder if premises is not None else "",
        transformer=premises.transformer if premises is not None else "",
        wish=_wish_in(body),
        incident=incident,
        incident_state=about.state if about is not None else "",
        etr=etr,
        sentence=sentence,
        history=_history_of(stored, reported_at, members, notices, calls),
        notices=notices,
        call_backs=calls,
    )


async def _find_incident(inside: Inside, mrid: MRID | None) -> Stored[Incident] | None:
    """The incident as the customer system was told of it, since that is what customers hear; else as it is kept."""
    if mrid is None:
        return None
    records = inside.reader.records
    return await records.find(INCIDENTS.collection, mrid) or await records.find(incidents(inside), mrid)


def _wish_in(body: TroubleTicket) -> str:
    wish = body.notification
    if wish is None:
        return ""
    parts = (wish.trigger, "by" if wish.contact_type else "", wish.contact_type, mask_contact(wish.contact_value or ""))
    return " ".join(part for part in parts if part)


def _history_of(
    stored: Stored[TroubleTicket],
    reported_at: datetime,
    members: Sequence[Stored[Member]],
    notices: Sequence[Stored[NoticeRecord]],
    calls: Sequence[Stored[CallBack]],
) -> tuple[Happened, ...]:
    """What happened to a ticket, as far as it was kept, in order."""
    body = stored.body
    kind = body.reporting_kind or TroubleReportingKind.other
    told = [Happened(at=reported_at, what=f"Reported ({kind})")]
    for member in members:
        told += _membership(member)
    for notice in notices:
        ended_at = notice.body.ended_at
        told.append(Happened(at=notice.created_at, what=f"Notice planned: {notice.body.trigger}"))
        if ended_at is not None:
            told.append(Happened(at=ended_at, what=f"Notice {notice.state}: {notice.body.trigger}"))
    for call in calls:
        if call.body.ended_at is not None:
            answer = f": {call.body.answer}" if call.body.answer is not None else ""
            told.append(Happened(at=call.body.ended_at, what=f"Call-back {call.state}{answer}"))
    status = body.status
    status_at = as_utc(status.date_time) if status is not None else None
    if status is not None and status_at is not None:
        why = ", ".join(part for part in (status.reason, status.remark) if part)
        told.append(Happened(at=status_at, what=f"Ticket {status.value or 'changed'}{f' ({why})' if why else ''}"))
    elif (resolved_at := as_utc(body.resolved_date_time)) is not None:
        told.append(Happened(at=resolved_at, what="Ticket resolved"))
    return tuple(sorted(told, key=lambda one: one.at))


def _membership(member: Stored[Member]) -> list[Happened]:
    body, href = member.body, f"/console/incidents/{quote(member.body.incident, '')}"
    joined = "Was put to another incident" if member.state == LEFT else "Belongs to the incident"
    told = [Happened(at=member.created_at, what=joined, href=href)]
    if body.heard is not None and body.heard_at is not None:
        told.append(Happened(at=body.heard_at, what=f"The caller heard: back by {body.heard.astimezone(UTC):%H:%M} Z"))
    if body.restored_at is not None:
        whose = "the customer says so" if body.is_own_word else "as was told"
        told.append(Happened(at=body.restored_at, what=f"Supply is back, {whose}"))
    return told
