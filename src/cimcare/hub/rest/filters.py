"""Query parameters of the REST interface: one table for reading them and for describing them."""

import re
from collections.abc import Callable, Iterable
from datetime import datetime

import msgspec

from cimcare.errors import CimcareError, Finding, finding_of
from cimcare.exchange.audit import Action
from cimcare.exchange.log import Counted, Direction, Outcome
from cimcare.exchange.outbox import DeliverySelection, DeliveryState
from cimcare.exchange.searching import words_of
from cimcare.exchange.subscriptions import Filter
from cimcare.hub.rest.queries import MOST_PER_PAGE, MessageFilter, ObjectFilter
from cimcare.model.envelope import OperationSet
from cimcare.model.nouns import Noun
from cimcare.model.payment import OWN_NOUN
from cimcare.model.verbs import EVENT_VERBS

__all__ = [
    "AUDIT_FILTERS",
    "CALLER_FILTERS",
    "CALL_BACK_FILTERS",
    "CUSTOMER_FILTERS",
    "DELIVERY_FILTERS",
    "EVENT_FILTERS",
    "LEDGER_FILTERS",
    "MESSAGE_FILTERS",
    "NOTICE_FILTERS",
    "OBJECT_FILTERS",
    "PAGE_FILTERS",
    "RECEIPT_FILTERS",
    "RECONCILIATION_FILTERS",
    "STREAM_FILTERS",
    "CustomerFilter",
    "EventFilter",
    "FilterError",
    "LedgerFilter",
    "LineFilter",
    "Parameter",
    "TrailFilter",
    "read_audit_filters",
    "read_call_back_filters",
    "read_caller_filters",
    "read_customer_filters",
    "read_delivery_filters",
    "read_event_filters",
    "read_last_event_id",
    "read_ledger_filters",
    "read_message_filters",
    "read_no_filters",
    "read_notice_filters",
    "read_object_filters",
    "read_table",
]

_LARGEST = 2**63 - 1
_LONGEST_QUERY = 200


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter: the field it sets, how its text is read, and how it is described.

    One that `repeats` may be given several times, with alternatives; its schema is that of one of them.
    """

    field: str
    read: Callable[[str], object]
    schema: dict[str, object]
    text: str
    repeats: bool = False


class EventFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which events are wanted, and from where on; `after` is None where that was not said.

    `partner` is for whom they are. The other fields are those of `Filter`; `having` is one property by name and value.
    """

    verbs: tuple[str, ...] = ()
    nouns: tuple[str, ...] = ()
    premises: tuple[str, ...] = ()
    areas: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    having: tuple[str, str] | None = None
    after: int | None = None
    limit: int = 100
    partner: str = ""

    @property
    def wanted(self) -> Filter:
        """The filter."""
        return Filter(
            verbs=self.verbs,
            nouns=self.nouns,
            premises=self.premises,
            areas=self.areas,
            sources=self.sources,
            properties=dict([self.having]) if self.having else {},
        )


class LedgerFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which hours of the ledger are wanted, and of whom; all partners if empty."""

    since: datetime | None = None
    until: datetime | None = None
    partner: str = ""


class TrailFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows of the audit trail are wanted."""

    action: Action | None = None
    after: int = 0
    limit: int = 100


class LineFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which notices or call-backs are wanted; what is empty does not filter."""

    state: str = ""
    incident: str = ""
    customer: str = ""
    group: str = ""
    after: str = ""
    limit: int = 100


class CustomerFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which customers are wanted; with `special_need` only those who depend on supply."""

    special_need: bool = False
    after: str = ""
    limit: int = 100


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What was typed."""

    q: str = ""


class FilterError(CimcareError):
    """A filter that is not served, or a value that it cannot have."""

    code = "EXC-110"

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.describe())
        self.finding = finding


def _read_text(text: str) -> str:
    if not text:
        raise ValueError(text)
    return text


_WITHOUT_SECONDS = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d)(?=Z$|[+-])")


def _read_instant(text: str) -> datetime:
    # A plus sign in a query is a blank; nobody who writes an offset by hand thinks of that.
    text = _WITHOUT_SECONDS.sub(r"\1:00", text.replace(" ", "+"))
    instant = msgspec.convert(text, datetime)
    if instant.tzinfo is None:
        raise ValueError(text)
    return instant


def _read_integer(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most):
            raise ValueError(text)
        return int(text)

    return read


def _read_property(text: str) -> tuple[str, str]:
    name, _, value = text.partition(":")
    return _read_text(name), value


def _read_query(text: str) -> str:
    if not 1 <= len(text) <= _LONGEST_QUERY:
        raise ValueError(text)
    return text


def _read_words(text: str) -> str:
    if not words_of(_read_query(text)):
        raise ValueError(text)
    return text


def _read_truth(text: str) -> bool:
    return {"true": True, "false": False}[text]


def _read_order(text: str) -> bool:
    return {"newest": True, "oldest": False}[text]


_EVENT_NOUNS = (*(noun.value for noun in Noun), OperationSet.XML_TYPE, OWN_NOUN)


_EVENT_VERBS = tuple(sorted(verb.value for verb in EVENT_VERBS))


def _read_one_of(literals: tuple[str, ...]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in literals:
            raise ValueError(text)
        return text

    return read


def _text(field: str, text: str) -> Parameter:
    return Parameter(field=field, read=_read_text, schema={"type": "string", "minLength": 1}, text=text)


def _instant(field: str, text: str) -> Parameter:
    return Parameter(field=field, read=_read_instant, schema={"type": "string", "format": "date-time"}, text=text)


def _integer(field: str, least: int, most: int, text: str) -> Parameter:
    schema: dict[str, object] = {"type": "integer", "minimum": least, "maximum": most}
    return Parameter(field=field, read=_read_integer(least, most), schema=schema, text=text)


def _choice(field: str, literals: Iterable[str], read: Callable[[str], object], text: str) -> Parameter:
    return Parameter(field=field, read=read, schema={"type": "string", "enum": list(map(str, literals))}, text=text)


def _many(parameter: Parameter) -> Parameter:
    return msgspec.structs.replace(parameter, repeats=True)


_LIMIT = _integer("limit", 1, MOST_PER_PAGE, "Most items of the page; 100 if not said.")

_PARTNER = _text("partner", "Name of the partner for whom it is; one outside of the utility is shown what it may see.")

OBJECT_FILTERS: dict[str, Parameter] = {
    "state": _text("state", "State of the object's lifecycle."),
    "premises": _text("premises", "mRID or name of the service location or usage point concerned."),
    "customer": _text("customer", "mRID or name of the customer or account concerned."),
    "name": _text("name", "A name of the object, of any type."),
    "since": _instant("since", "Created at this instant or later; with offset."),
    "until": _instant("until", "Created at this instant or earlier; with offset."),
    "after": _text("after", "mRID of the last object of the page before."),
    "limit": _LIMIT,
    "partner": _PARTNER,
}
"""Parameters of a list of objects."""

MESSAGE_FILTERS: dict[str, Parameter] = {
    "verb": _text("verb", "Header/Verb."),
    "noun": _text("noun", "Header/Noun."),
    "source": _text("partner", "Header/Source of what came in; for what went out, to whom."),
    "message": _text("message_id", "Header/MessageID."),
    "correlation": _text("correlation_id", "Header/CorrelationID."),
    "outcome": _many(_choice("outcomes", [one for one in Outcome if one], Outcome, "What became of it.")),
    "direction": _choice("direction", Direction, Direction, "Which way it went, seen from the hub."),
    "counted": _choice("counted", Counted, Counted, "As what the ledger counts it; of what came in alone."),
    "premises": _text("premises", "mRID or name of a service location or usage point in it; case does not count."),
    "account": _text("account", "mRID or name of a customer, account or agreement in it; case does not count."),
    "object": _text("object", "mRID or name of an object that it holds or refers to; case does not count."),
    "text": Parameter(
        field="text",
        read=_read_words,
        schema={"type": "string", "minLength": 3, "maxLength": _LONGEST_QUERY},
        text="Words of three characters or more that it has, all of them, behind its header; case does not count.",
    ),
    "answerTo": _integer("answer_to", 1, _LARGEST, "Number of the message that it answers or was caused by."),
    "since": _instant("since", "Received at this instant or later; with offset."),
    "until": _instant("until", "Received at this instant or earlier; with offset."),
    "order": _choice("newest_first", ("oldest", "newest"), _read_order, "Which come first; oldest if not said."),
    "after": _integer("after", 0, _LARGEST, "Number of the last message of the page before."),
    "limit": _LIMIT,
}
"""Parameters of a list of messages."""


_AFTER = _integer("after", 0, _LARGEST, "Sequence of the last event that is known; from the beginning if not said.")

EVENT_FILTERS: dict[str, Parameter] = {
    "verb": _many(_choice("verbs", _EVENT_VERBS, _read_one_of(_EVENT_VERBS), "Verb of the event, or of an operation.")),
    "noun": _many(_choice("nouns", _EVENT_NOUNS, _read_one_of(_EVENT_NOUNS), "Noun of the event, or of an operation.")),
    "premises": _many(_text("premises", "mRID or name of a service location or usage point; case does not count.")),
    "area": _many(_text("areas", "Town, section, postal code or state of an address; case does not count.")),
    "source": _many(_text("sources", "Header/Source.")),
    "property": Parameter(
        field="having",
        read=_read_property,
        schema={"type": "string", "pattern": "^[^:]+(:.*)?$"},
        text="Header/Property as `Name:Value`, or `Name` for any value.",
    ),
    "partner": _PARTNER,
    "after": _AFTER,
    "limit": _LIMIT,
}
"""Parameters of the feed of events. Values of one name are alternatives, names add up."""

STREAM_FILTERS = {
    **{name: one for name, one in EVENT_FILTERS.items() if name != "limit"},
    "after": msgspec.structs.replace(_AFTER, text="Sequence of the last event that is known; from now on if not said."),
}
"""Parameters of the stream of events."""

PAGE_FILTERS = {"after": _AFTER, "limit": _LIMIT}
"""Parameters of the events of a stored subscription."""


DELIVERY_FILTERS: dict[str, Parameter] = {
    "partner": _text("partner", "Name of the destination."),
    "noun": _text("noun", "Header/Noun."),
    "verb": _text("verb", "Header/Verb."),
    "state": _many(_choice("states", DeliveryState, DeliveryState, "Where it stands.")),
    "message": _integer("message", 1, _LARGEST, "Number of the message in the log that is delivered."),
    "cause": _integer("cause", 1, _LARGEST, "Number of the message in the log that led to it."),
    "since": _instant("since", "Put in at this instant or later; with offset."),
    "before": _instant("before", "Put in at this instant or earlier; with offset."),
    "after": _integer("after", 0, _LARGEST, "Number of the last delivery of the page before."),
    "limit": _LIMIT,
}
"""Parameters of a list of deliveries."""

LEDGER_FILTERS: dict[str, Parameter] = {
    "since": _instant("since", "From the hour that holds this instant; a day before the end if not said."),
    "until": _instant("until", "Hours that begin before this instant; now if not said."),
    "partner": _text("partner", "Source of the partner for what came in, its name for what went out."),
}
"""Parameters of the ledger."""

AUDIT_FILTERS: dict[str, Parameter] = {
    "action": _choice("action", Action, Action, "What the rows tell of."),
    "after": _integer("after", 0, _LARGEST, "Number of the last row of the page before."),
    "limit": _LIMIT,
}
"""Parameters of the audit trail."""


_LAST = _text("after", "`id` of the last item of the page before.")

NOTICE_FILTERS: dict[str, Parameter] = {
    "state": _text("state", "planned, sending, sent, refused, unknown, withdrawn or listed."),
    "incident": _text("incident", "mRID of the incident."),
    "customer": _text("customer", "mRID of the customer."),
    "after": _LAST,
    "limit": _LIMIT,
}
"""Parameters of a list of notices."""

CALL_BACK_FILTERS: dict[str, Parameter] = {
    "state": _text("state", "waiting, claimed, answered or dropped."),
    "group": _text("group", "Group, such as life-support or the name of a feeder; of calls that have not ended."),
    "incident": _text("incident", "mRID of the incident."),
    "after": _LAST,
    "limit": _LIMIT,
}
"""Parameters of a list of call-backs."""

CUSTOMER_FILTERS: dict[str, Parameter] = {
    "specialNeed": _choice("special_need", ("true", "false"), _read_truth, "Only those who depend on supply."),
    "after": _LAST,
    "limit": _LIMIT,
}
"""Parameters of a list of customers."""

CALLER_FILTERS: dict[str, Parameter] = {
    "q": Parameter(
        field="q",
        read=_read_query,
        schema={"type": "string", "minLength": 1, "maxLength": 200},
        text="What was typed: a number of account, customer or place, a telephone number, words of name and address.",
    ),
}
"""Parameters of the search for callers."""


def read_notice_filters(given: Iterable[tuple[str, str]]) -> LineFilter:
    """Filters of a list of notices. Raises FilterError."""
    return msgspec.structs.replace(LineFilter(), **_read(given, NOTICE_FILTERS))


def read_call_back_filters(given: Iterable[tuple[str, str]]) -> LineFilter:
    """Filters of a list of call-backs. Raises FilterError."""
    return msgspec.structs.replace(LineFilter(), **_read(given, CALL_BACK_FILTERS))


def read_customer_filters(given: Iterable[tuple[str, str]]) -> CustomerFilter:
    """Filters of a list of customers. Raises FilterError."""
    return msgspec.structs.replace(CustomerFilter(), **_read(given, CUSTOMER_FILTERS))


def read_caller_filters(given: Iterable[tuple[str, str]]) -> str:
    """What was typed; empty if nothing was. Raises FilterError."""
    return msgspec.structs.replace(_Asked(), **_read(given, CALLER_FILTERS)).q


RECONCILIATION_FILTERS: dict[str, Parameter] = {
    "partner": _text("partner", "Name of the partner whose list it is; one outside of the utility."),
    "asOf": _instant("as_of", "Those that are valid at this instant; with offset."),
    "changedSince": _instant("changed_since", "Those modified, deleted or hidden behind this instant; with offset."),
    "after": _text("after", "Place as the page before named it."),
    "limit": _LIMIT,
}
"""Parameters of the list for reconciliation."""

RECEIPT_FILTERS: dict[str, Parameter] = {
    "account": _text("account", "Number or mRID of the account."),
    "shift": _text("shift", "Number of the shift."),
    "after": _text("after", "Place as the page before named it."),
    "limit": _LIMIT,
}
"""Parameters of a list of receipts."""


def read_table(given: Iterable[tuple[str, str]], table: dict[str, Parameter]) -> dict[str, object]:
    """Values by field of what is given. Raises FilterError."""
    return _read(given, table)


def read_delivery_filters(given: Iterable[tuple[str, str]]) -> DeliverySelection:
    """Filters of a list of deliveries. Raises FilterError."""
    return msgspec.structs.replace(DeliverySelection(), **_read(given, DELIVERY_FILTERS))


def read_ledger_filters(given: Iterable[tuple[str, str]]) -> LedgerFilter:
    """Hours and partner of the ledger. Raises FilterError."""
    return msgspec.structs.replace(LedgerFilter(), **_read(given, LEDGER_FILTERS))


def read_audit_filters(given: Iterable[tuple[str, str]]) -> TrailFilter:
    """Filters of the audit trail. Raises FilterError."""
    return msgspec.structs.replace(TrailFilter(), **_read(given, AUDIT_FILTERS))


def read_event_filters(given: Iterable[tuple[str, str]], table: dict[str, Parameter]) -> EventFilter:
    """Filters of the feed, of a stream, or of a page. Raises FilterError."""
    return msgspec.structs.replace(EventFilter(), **_read(given, table))


def read_last_event_id(text: str) -> int | None:
    """Header Last-Event-ID, with which a client comes again; None if it is not given. Raises FilterError."""
    if not text:
        return None
    try:
        return _read_integer(0, _LARGEST)(text)
    except ValueError as error:
        raise FilterError(
            finding_of("EXC-110", "Last-Event-ID", f"value {text[:100]!r}", "the `id` of an event")
        ) from error


def read_object_filters(given: Iterable[tuple[str, str]]) -> ObjectFilter:
    """Filters of a list of objects. Raises FilterError."""
    return msgspec.structs.replace(ObjectFilter(), **_read(given, OBJECT_FILTERS))


def read_message_filters(given: Iterable[tuple[str, str]]) -> MessageFilter:
    """Filters of a list of messages. Raises FilterError."""
    return msgspec.structs.replace(MessageFilter(), **_read(given, MESSAGE_FILTERS))


def read_no_filters(given: Iterable[tuple[str, str]]) -> None:
    """For what takes no filter. Raises FilterError if one is given."""
    for name, _ in given:
        raise FilterError(_finding(name, "no such filter", "no filter"))


def _read(given: Iterable[tuple[str, str]], table: dict[str, Parameter]) -> dict[str, object]:
    values: dict[str, object] = {}
    for name, text in given:
        parameter = table.get(name)
        if parameter is None:
            raise FilterError(_finding(name, "no such filter", f"one of {', '.join(table)}"))
        known = values.get(parameter.field)
        if known is not None and not parameter.repeats:
            raise FilterError(_finding(name, "given more than once", "once"))
        try:
            value = parameter.read(text)
        except (ValueError, KeyError, msgspec.ValidationError) as error:
            accepted = ", ".join(f"{key} {value}" for key, value in parameter.schema.items())
            raise FilterError(_finding(name, f"value {text[:100]!r}", accepted)) from error
        values[parameter.field] = (
            (*known, value) if isinstance(known, tuple) else (value,) if parameter.repeats else value
        )
    return values


def _finding(name: str, found: str, accepted: str) -> Finding:
    return finding_of("EXC-110", f"?{name[:100]}", found, accepted, "REST interface (our profile)")
