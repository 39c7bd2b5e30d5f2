"""What REST interface and commands show of callers, customers, notices and call-backs."""

from datetime import datetime

import msgspec

from cimcare.exchange.notices import ContactKind
from cimcare.exchange.ports import Stored
from cimcare.model.enumerations import CustomerKind, NotificationTriggerKind
from cimcare.systems.cis.callbacks import CallBack
from cimcare.systems.cis.callers import Caller
from cimcare.systems.cis.contacts import ContactPreference, Preferences
from cimcare.systems.cis.notices import NoticeRecord
from cimcare.systems.premises import CustomerRecord

__all__ = [
    "CallBackList",
    "CallBackView",
    "CallerList",
    "CallerView",
    "ContactView",
    "CustomerDetail",
    "CustomerList",
    "CustomerView",
    "NoticeList",
    "NoticeView",
    "PreferencesView",
    "preferences_of",
    "view_call_back",
    "view_caller",
    "view_customer",
    "view_notice",
    "view_preferences",
]


class CallerView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Somebody who may call. `premises` is the mRID, `place` the number; what is not known is empty or null."""

    premises: str
    place: str
    address: str
    town: str
    usage_point: str
    customer: str | None
    customer_number: str
    account_number: str
    name: str
    telephone: str
    special_need: str | None
    open_ticket: str | None = None
    open_incident: str | None = None


class CallerList(msgspec.Struct, frozen=True, kw_only=True):
    """Callers that fit; `more` says that others do too, so that one has to say more."""

    items: list[CallerView]
    more: bool


class NoticeView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A notice. `dueAt` is when it is looked at next, null when that is over; `reason` says why it is in its state."""

    id: str
    state: str
    kind: ContactKind
    contact: str
    trigger: NotificationTriggerKind
    incident: str
    premises: str | None
    customer: str | None
    ticket: str | None
    subject: str
    text: str
    attempts: int
    reason: str
    planned_at: datetime
    due_at: datetime | None
    ended_at: datetime | None


class NoticeList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of notices, oldest first. `next` is the address of the next page, null on the last."""

    items: list[NoticeView]
    next: str | None


class CallBackView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A call to be made, or that was. `why` says why no notice could do, `text` what to say."""

    id: str
    state: str
    group: str
    trigger: NotificationTriggerKind
    why: str
    text: str
    name: str
    contact_kind: ContactKind
    contact: str
    address: str
    premises: str | None
    customer: str | None
    ticket: str | None
    incident: str
    tries: int
    agent: str
    claimed_until: datetime | None
    answer: str | None
    remark: str
    listed_at: datetime
    ended_at: datetime | None


class CallBackList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of call-backs, oldest first. `next` is the address of the next page, null on the last."""

    items: list[CallBackView]
    next: str | None


class ContactView(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A stored contact: of what it is told, and between which times of day (`HH:MM`, both or none)."""

    kind: ContactKind
    value: str
    triggers: tuple[NotificationTriggerKind, ...]
    earliest: str = ""
    latest: str = ""


class PreferencesView(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """How a customer wants to be told. Of several contacts for one trigger the first is used."""

    contacts: tuple[ContactView, ...]
    time_zone: str = ""


class CustomerView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A customer. `specialNeed` says what depends on supply, null if nothing does."""

    id: str
    number: str
    name: str
    kind: CustomerKind
    telephone: str
    email: str
    special_need: str | None


class CustomerDetail(CustomerView, frozen=True, kw_only=True, rename="camel"):
    """A customer with accounts, premises and preferences."""

    accounts: tuple[str, ...]
    premises: tuple[CallerView, ...]
    preferences: PreferencesView


class CustomerList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of customers, oldest first. `next` is the address of the next page, null on the last."""

    items: list[CustomerView]
    next: str | None


def view_caller(caller: Caller, ticket: str | None = None, incident: str | None = None) -> CallerView:
    """What is shown of a caller, with the ticket that is open at the premises."""
    facts = {name: getattr(caller, name) for name in caller.__struct_fields__}
    return CallerView(**facts, open_ticket=ticket, open_incident=incident)


def view_notice(stored: Stored[NoticeRecord], due_at: datetime | None) -> NoticeView:
    """What is shown of a notice."""
    body = stored.body
    return NoticeView(
        id=stored.mrid,
        state=stored.state,
        kind=body.kind,
        contact=body.contact,
        trigger=body.trigger,
        incident=body.incident,
        premises=body.premises,
        customer=body.customer,
        ticket=body.ticket,
        subject=body.subject,
        text=body.text,
        attempts=body.attempts,
        reason=body.reason,
        planned_at=stored.created_at,
        due_at=max(due_at, stored.modified_at) if due_at is not None else None,  # the urgent stand before all others
        ended_at=body.ended_at,
    )


def view_call_back(stored: Stored[CallBack]) -> CallBackView:
    """What is shown of a call-back."""
    body = stored.body
    return CallBackView(
        id=stored.mrid,
        state=stored.state,
        group=body.group,
        trigger=body.trigger,
        why=body.why,
        text=body.text,
        name=body.name,
        contact_kind=body.contact_kind,
        contact=body.contact,
        address=body.address,
        premises=body.premises,
        customer=body.customer,
        ticket=body.ticket,
        incident=body.incident,
        tries=body.tries,
        agent=body.agent,
        claimed_until=body.claimed_until,
        answer=body.answer.value if body.answer is not None else None,
        remark=body.remark,
        listed_at=stored.created_at,
        ended_at=body.ended_at,
    )


def view_customer(record: CustomerRecord) -> CustomerView:
    """What is shown of a customer in a list."""
    return CustomerView(
        id=record.mrid,
        number=next((name.name for name in record.names), ""),
        name=record.full_name,
        kind=record.kind,
        telephone=record.telephone,
        email=record.email,
        special_need=record.special_need,
    )


def view_preferences(preferences: Preferences | None) -> PreferencesView:
    """What is shown of preferences; none at all where nothing is stored."""
    if preferences is None:
        return PreferencesView(contacts=())
    contacts = tuple(
        ContactView(kind=one.kind, value=one.value, triggers=one.triggers, earliest=one.earliest, latest=one.latest)
        for one in preferences.contacts
    )
    return PreferencesView(contacts=contacts, time_zone=preferences.time_zone)


def preferences_of(view: PreferencesView) -> Preferences:
    """What is kept of preferences."""
    contacts = tuple(
        ContactPreference(
            kind=one.kind, value=one.value, triggers=one.triggers, earliest=one.earliest, latest=one.latest
        )
        for one in view.contacts
    )
    return Preferences(contacts=contacts, time_zone=view.time_zone)
