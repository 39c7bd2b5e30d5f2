"""Notices: who is told what, once each, and whether it is still true when it is about to leave.

A notice is known by contact, place, incident, trigger and content, so that no order and no repetition of events plans
it twice. What has to be done stands in a queue beside it, by the instant at which it is to be looked at.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import msgspec

from cimcare.exchange.notices import ContactKind
from cimcare.exchange.ports import Collection, Key, Records, Stored
from cimcare.model.enumerations import NotificationTriggerKind, WorkStatusKind
from cimcare.model.identity import MRID
from cimcare.model.trouble_ticket import TroubleTicket
from cimcare.rules.lifecycle import IncidentState
from cimcare.systems.cis.contacts import (
    Contact,
    Hours,
    Preferences,
    Wish,
    next_allowed,
    notice_zone,
    wish_of,
)
from cimcare.systems.cis.kinds import INCIDENTS
from cimcare.systems.cis.members import LEFT, OUT, PLANNED, Member, digest_of, members_at, out_at
from cimcare.systems.etr import etr_of
from cimcare.systems.identity import mrid_of
from cimcare.systems.premises import PREMISES

__all__ = [
    "ETR_TRIGGERS",
    "GONE_OUT",
    "NOTICES",
    "QUEUE",
    "SENT_TO",
    "WORKING",
    "NoticeRecord",
    "NoticeState",
    "Planned",
    "Queued",
    "find_untrue",
    "plan_notice",
    "preferred",
    "told_last",
    "wishes_at",
]

Trigger = NotificationTriggerKind

ETR_TRIGGERS = frozenset({Trigger.initialEtr, Trigger.etrChange})
"""Notices that tell a restoration time, or that there is none any more."""

WORKING = frozenset(
    {WorkStatusKind.dispatched, WorkStatusKind.enroute, WorkStatusKind.onSite, WorkStatusKind.inProgress}
)
"""States of work in which a crew has been sent."""


class NoticeState:
    """States of a notice.

    `planned` waits for its time; `sending` is with one process; `sent`, `refused` and `unknown` are what became of it;
    `withdrawn` was not true any more; `listed` has no channel, so that people are to call.
    """

    PLANNED = "planned"
    SENDING = "sending"
    SENT = "sent"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    WITHDRAWN = "withdrawn"
    LISTED = "listed"


SENT_TO = (NoticeState.SENDING, NoticeState.SENT, NoticeState.UNKNOWN)
"""States in which a customer may have been told."""

GONE_OUT = (*SENT_TO, NoticeState.REFUSED, NoticeState.LISTED)
"""States in which a notice is never planned again."""


class NoticeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One notice for one contact.

    `etr_at` is the restoration time that it tells, None where it tells that there is none; `work` the work of the crew;
    `restored_at` when supply was back. `reason` says why it is in its state. `process` is who sends it.
    """

    kind: ContactKind
    contact: str
    trigger: NotificationTriggerKind
    incident: MRID
    place: str
    subject: str
    text: str
    premises: MRID | None = None
    customer: MRID | None = None
    ticket: MRID | None = None
    etr_at: datetime | None = None
    work: str = ""
    restored_at: datetime | None = None
    hours: Hours = Hours()
    time_zone: str = ""
    attempts: int = 0
    process: str = ""
    reason: str = ""
    ended_at: datetime | None = None


class Queued(msgspec.Struct, frozen=True, kw_only=True):
    """That a notice is to be looked at, at the instant at which this was created: so the store finds what is due."""


NOTICES: Collection[NoticeRecord] = Collection("cis.Notices", NoticeRecord)
QUEUE: Collection[Queued] = Collection("cis.NoticeQueue", Queued)


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be told at a place. `content` tells it from other notices of its trigger."""

    trigger: NotificationTriggerKind
    content: str
    text: str
    etr_at: datetime | None = None
    work: str = ""
    restored_at: datetime | None = None


def wishes_at(
    members: Iterable[Stored[Member]], tickets: Mapping[MRID, Stored[TroubleTicket]]
) -> tuple[tuple[Wish, Stored[Member]], ...]:
    """What the callers of one place of an incident want to be told by their tickets, each contact once."""
    found: dict[str, tuple[Wish, Stored[Member]]] = {}
    for member in members:
        if member.state == LEFT or member.body.ticket is None:
            continue
        ticket = tickets.get(member.body.ticket)
        wish = wish_of(ticket.body.notification) if ticket is not None else None
        if wish is not None:
            known = found.get(wish.contact.key)
            if known is not None:
                wish = wish._replace(triggers=wish.triggers | known[0].triggers)
            found[wish.contact.key] = (wish, member)
    return tuple(found.values())


def preferred(stored: Stored[Preferences] | None, *triggers: NotificationTriggerKind) -> tuple[Wish, str] | None:
    """The stored contact of a customer for one of these triggers, and the customer's time zone."""
    wish = stored.body.wish_for(*triggers) if stored is not None else None
    return None if stored is None or wish is None else (wish, stored.body.time_zone)


async def told_last(records: Records, contact: Contact, member: Member) -> tuple[int, datetime | None, bool]:
    """How many restoration times somebody was told for this outage of a place, which was the last, whether any was."""
    found = [
        (_told_at(notice), notice.body.etr_at)
        for notice in await records.find_by_key(NOTICES, Key("told", f"{contact.key} {member.place}"))
        if notice.state in SENT_TO and _told_at(notice) >= member.since
    ]
    count = len(found)
    if member.heard is not None and member.heard_at is not None:
        found.append((member.heard_at, member.heard))
    last = max(found, key=lambda one: one[0], default=None)
    return count, last[1] if last is not None else None, last is not None


def _told_at(notice: Stored[NoticeRecord]) -> datetime:
    return notice.body.ended_at or notice.modified_at


async def plan_notice(
    records: Records, wish: Wish, member: Stored[Member], planned: Planned, now: datetime, *, time_zone: str = ""
) -> Stored[NoticeRecord] | None:
    """Plan a notice, unless it was planned before (also as the same word in another incident) or its hours are over.

    One that was withdrawn without having been sent may come again. None if nothing new was planned.
    """
    body, contact = member.body, wish.contact
    mrid = digest_of("notice", contact.key, body.incident, body.place, planned.trigger, planned.content)
    known = await records.find(NOTICES, mrid)
    if known is not None and known.state != NoticeState.WITHDRAWN:
        return None
    keys = {Key("incident", body.incident), Key("place", body.place)}
    if planned.restored_at is not None:
        # One word that supply is back is told once, however many incidents it was said of.
        word = Key("restored", f"{contact.key} {body.place} {planned.restored_at.isoformat()}")
        if any(one.state != NoticeState.WITHDRAWN for one in await records.find_by_key(NOTICES, word)):
            return None
        keys.add(word)
    due = next_allowed(wish.hours, await notice_zone(records, time_zone), now)
    record = NoticeRecord(
        kind=contact.kind,
        contact=contact.value,
        trigger=planned.trigger,
        incident=body.incident,
        place=body.place,
        subject=_SUBJECTS[planned.trigger],
        text=planned.text,
        premises=body.premises,
        customer=body.customer,
        ticket=body.ticket,
        etr_at=planned.etr_at,
        work=planned.work,
        restored_at=planned.restored_at,
        hours=wish.hours,
        time_zone=time_zone,
        reason="" if due is not None else _HOURS_OVER,
        ended_at=None if due is not None else now,
    )
    if planned.trigger in ETR_TRIGGERS:
        keys.add(Key("told", f"{contact.key} {body.place}"))
    if body.customer is not None:
        keys.add(Key("customer", body.customer))
    stored = Stored(
        mrid=mrid,
        body=record,
        created_at=known.created_at if known is not None else now,
        modified_at=now,
        state=NoticeState.PLANNED if due is not None else NoticeState.WITHDRAWN,
        keys=frozenset(keys),
    )
    await records.save(NOTICES, stored)
    if due is not None:
        at = now - _URGENT_BEFORE if due <= now and await _is_urgent(records, body) else due
        await records.save(QUEUE, Stored(mrid=mrid, body=Queued(), created_at=at, modified_at=now))
    return stored


async def _is_urgent(records: Records, member: Member) -> bool:
    """Whether somebody at the place depends on supply."""
    premises = await records.find(PREMISES, member.premises) if member.premises is not None else None
    return premises is not None and premises.body.is_critical


_URGENT_BEFORE = timedelta(hours=6)
"""By so much who depends on supply goes before others whose notices are due."""

_HOURS_OVER = "the hours in which the customer may be told are over"

_SUBJECTS = {
    Trigger.initialEtr: "Power outage: when supply is expected back",
    Trigger.etrChange: "Power outage: the restoration time has changed",
    Trigger.informDispatched: "Power outage: a crew has been sent",
    Trigger.powerOut: "Interruption of supply",
    Trigger.powerRestored: "Supply was restored",
}


async def find_untrue(records: Records, notice: NoticeRecord, now: datetime) -> str:
    """Why a notice must not leave any more; empty if all it says is still so."""
    if notice.trigger is Trigger.powerRestored:
        if await out_at(records, notice.place):
            return "supply at this place is reported to be out again"
        return ""
    here = await members_at(records, notice.incident, notice.place)
    if not any(member.state in (OUT, PLANNED) for member in here):
        return "supply at this place is back, or its outage belongs to another incident"
    incident = await records.find(INCIDENTS.collection, notice.incident)
    if incident is None:
        return ""
    if incident.state in (IncidentState.CANCELLED, IncidentState.CLOSED):
        return f"the incident is {incident.state}"
    if notice.trigger in ETR_TRIGGERS:
        etr = etr_of(incident.body)
        if etr.at != notice.etr_at:
            return "the restoration time has changed meanwhile"
        if etr.at is not None and etr.at <= now:
            return "the restoration time has passed"
        if etr.at is not None and etr.valid_until is not None and etr.valid_until <= now:
            return "the restoration time is no longer valid"
    if notice.trigger is Trigger.informDispatched and notice.work:
        states = [one.status_kind for one in incident.body.works if (mrid_of(one) or "") == notice.work]
        if states and not any(state in WORKING for state in states):
            return "the crew is no longer on its way or on site"
    return ""
