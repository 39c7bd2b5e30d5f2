"""How customers want to be told: by which contact, of what, and in which hours.

A wish comes with a ticket (`TroubleTicket.Notification`) and holds for its incident; preferences are stored for a
customer and hold for all. Pure but for `Records`.
"""

import re
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from cimcare.exchange.notices import ContactKind
from cimcare.exchange.ports import Collection, Records
from cimcare.model.enumerations import NotificationTriggerKind
from cimcare.model.identity import MRID
from cimcare.model.trouble_ticket import CustomerNotification
from cimcare.systems.objects import as_utc

__all__ = [
    "NOTICE_RULES",
    "PREFERENCES",
    "PREFERENCE_KINDS",
    "RULES_KEY",
    "Contact",
    "ContactPreference",
    "Hours",
    "NoticeRules",
    "Preferences",
    "contact_kind",
    "find_zone",
    "next_allowed",
    "normal_contact",
    "notice_zone",
    "parse_time",
    "wish_of",
]

_KINDS = {
    ContactKind.EMAIL: ("email", "e-mail", "mail"),
    ContactKind.SMS: ("sms", "text", "text message"),
    ContactKind.PHONE: ("phone", "telephone", "call", "voice", "mobile", "cell"),
}
_KIND_OF = {word: kind for kind, words in _KINDS.items() for word in words}
_TIME = re.compile(r"\A([01]\d|2[0-3]):([0-5]\d)\Z")

PREFERENCE_KINDS = (ContactKind.EMAIL, ContactKind.SMS, ContactKind.PHONE)
"""Kinds of contacts that can be stored for a customer."""


class Contact(NamedTuple):
    """A contact: its kind, and number or address as it was given."""

    kind: ContactKind
    value: str

    @property
    def key(self) -> str:
        """The same for two spellings of one contact."""
        return f"{self.kind}:{normal_contact(self.kind, self.value)}"


class Hours(msgspec.Struct, frozen=True, kw_only=True):
    """When a notice may go out.

    `not_before` and `not_after` are instants; `earliest` and `latest` times of day, both or none, in the zone of the
    customer. Where `latest` is before `earliest` the time in between is the quiet one.
    """

    not_before: datetime | None = None
    not_after: datetime | None = None
    earliest: str = ""
    latest: str = ""


class Wish(NamedTuple):
    """What somebody wants to be told, by which contact and when."""

    contact: Contact
    triggers: frozenset[NotificationTriggerKind]
    hours: Hours


class ContactPreference(msgspec.Struct, frozen=True, kw_only=True):
    """One stored contact. `triggers` empty: of nothing. `earliest` and `latest` as `HH:MM`, both or none."""

    kind: ContactKind
    value: str
    triggers: tuple[NotificationTriggerKind, ...]
    earliest: str = ""
    latest: str = ""


class Preferences(msgspec.Struct, frozen=True, kw_only=True):
    """Contacts of a customer, the one that is best first; `time_zone` empty for that of the utility."""

    contacts: tuple[ContactPreference, ...]
    time_zone: str = ""

    def wish_for(self, *triggers: NotificationTriggerKind) -> Wish | None:
        """The first contact that is meant for one of these triggers; one is enough, nobody is told twice."""
        for contact in self.contacts:
            if not set(triggers).isdisjoint(contact.triggers):
                hours = Hours(earliest=contact.earliest, latest=contact.latest)
                return Wish(Contact(contact.kind, contact.value), frozenset(contact.triggers), hours)
        return None


class NoticeRules(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for all notices.

    `time_zone` is that of the utility, in which hours are meant and instants are written. `keep_days` is how long what
    has ended is kept.
    """

    time_zone: str = "UTC"
    keep_days: int = 400


PREFERENCES: Collection[Preferences] = Collection("cis.Preferences", Preferences)
"""Preferences by the mRID of the customer."""

NOTICE_RULES: Collection[NoticeRules] = Collection("cis.NoticeRules", NoticeRules)
"""The one record of rules."""

RULES_KEY = MRID("rules")


def contact_kind(contact_type: str | None) -> ContactKind:
    """The kind that a free text such as `e-mail` means."""
    return _KIND_OF.get((contact_type or "").strip().casefold(), ContactKind.OTHER)


def normal_contact(kind: ContactKind, value: str) -> str:
    """A contact such that two spellings of it are equal: digits of a number, an address without case."""
    if kind in (ContactKind.SMS, ContactKind.PHONE):
        return "".join(sign for sign in value if sign.isdigit()) or value.strip()
    return value.strip().casefold()


def wish_of(notification: CustomerNotification | None) -> Wish | None:
    """What the caller of a ticket wants; None if nothing, or if nobody can be reached by it."""
    if notification is None or notification.trigger is None:
        return None
    value = " ".join((notification.contact_value or "").split())
    if not value:
        return None
    hours = Hours(
        not_before=as_utc(notification.earliest_date_time_to_call),
        not_after=as_utc(notification.latest_date_time_to_call),
    )
    return Wish(Contact(contact_kind(notification.contact_type), value), frozenset({notification.trigger}), hours)


def find_zone(name: str) -> tzinfo | None:
    """The time zone of this name of the IANA database; None if the machine does not know it."""
    if name in ("", "UTC"):
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


async def notice_zone(records: Records, customers_own: str = "") -> tzinfo:
    """The zone of a customer, failing that of the utility, failing that UTC."""
    if customers_own:
        zone = find_zone(customers_own)
        if zone is not None:
            return zone
    rules = await records.find(NOTICE_RULES, RULES_KEY)
    return (find_zone(rules.body.time_zone) if rules is not None else None) or UTC


def parse_time(text: str) -> time | None:
    """A time of day as `HH:MM`; None if it is none."""
    found = _TIME.match(text)
    return time(int(found[1]), int(found[2])) if found else None


def next_allowed(hours: Hours, zone: tzinfo, now: datetime) -> datetime | None:
    """The first instant from `now` on at which a notice may go out, in UTC; None if there is none any more.

    Both ends of the hours of a day belong to them. A time of day that a change of the clocks leaves out is as far
    behind midnight as the clock would have said without it.
    """
    due = max(now, hours.not_before or now)
    earliest, latest = parse_time(hours.earliest), parse_time(hours.latest)
    if earliest is not None and latest is not None and earliest != latest:
        local = due.astimezone(zone)
        minute = local.timetz().replace(second=0, microsecond=0, tzinfo=None)
        spans_midnight = latest < earliest
        is_allowed = (minute >= earliest or minute <= latest) if spans_midnight else earliest <= minute <= latest
        if not is_allowed:
            day = local.date() if minute < earliest else local.date() + timedelta(days=1)
            due = datetime.combine(day, earliest, tzinfo=zone).astimezone(UTC)
    if hours.not_after is not None and due > hours.not_after:
        return None
    return due
