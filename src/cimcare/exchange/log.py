"""The message log as a Protocol, and the values that it exchanges.

Every message that enters or leaves is kept: what it was, from whom, what became of it, and its bytes.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeAlias

import msgspec

from cimcare.model.envelope import EventMessage, RequestMessage, ResponseMessage
from cimcare.model.verbs import EVENT_VERBS

__all__ = [
    "Content",
    "Counted",
    "Direction",
    "Expiry",
    "Found",
    "Group",
    "LogEntry",
    "LogSelection",
    "MessageLog",
    "MessageReader",
    "Outcome",
    "Transport",
    "is_event",
    "is_wanted",
]


Content: TypeAlias = RequestMessage | EventMessage | ResponseMessage
"""What a message says."""

Group: TypeAlias = frozenset[int]
"""Terms of which a message has to have one (`cimcare.exchange.searching`)."""


class Direction(StrEnum):
    """Which way a message went, seen from the hub."""

    IN = "in"
    OUT = "out"


class Counted(StrEnum):
    """As what the ledger counts a message that came in (guarantee G7), by the names of its columns.

    `received` are all of them, and each has one of the other ends; `waiting` has none yet. What a partner answered
    within an exchange that we began is in the log and not among them.
    """

    RECEIVED = "received"
    DELIVERED = "delivered"
    REFUSED = "refused"
    REPEATS = "repeats"
    WAITING = "waiting"


class Transport(StrEnum):
    """How a message came or went. `internal` is from one built-in system to another.

    `rest-table` is a table with rows, such as meter events, which is no message of the standard; its archetype is
    `Table`, and that of its answer `TableAnswer`.

    `jms` is by way of a message broker, whatever protocol that speaks.

    `filtered` is what a third party is sent in the place of an event or reply: the same, as far as it may see it.
    """

    SOAP11 = "soap11"
    SOAP12 = "soap12"
    SOAP_TYPED = "soap-typed"
    REST_XML = "rest-xml"
    REST_JSON = "rest-json"
    REST_TABLE = "rest-table"
    JMS = "jms"
    INTERNAL = "internal"
    FILTERED = "filtered"


class Outcome(StrEnum):
    """What became of a message, or what a reply says.

    NONE for a request that was passed on and is not answered yet, and for what nobody has judged.
    """

    OK = "OK"
    PARTIAL = "PARTIAL"
    FAILED = "FAILED"
    FAULT = "FAULT"
    NONE = ""


class LogEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A message in the log, without its bytes. Texts are empty where the message said nothing.

    `sequence` is given by the log, rises with time and is never used again. `received_at` is when the message came, or
    was made (UTC, microseconds). `partner` is Header/Source of what came in; for what goes out, to whom it goes.
    `answer_to` is the sequence of the message that this one answers or was caused by; None for what came by itself, and
    for an event that no message caused. `repeat_of` is the sequence of
    the message that this one repeats. `size_bytes` is the full size, also where only the beginning was kept
    (`truncated`). `status` is the HTTP status with which an answer left, 0 where there was none; by way of a broker 200
    stands for an answer in the same exchange. `redeliveries` is how often a broker had handed the message out before,
    as far as it says; 0 of what came otherwise.
    """

    received_at: datetime
    direction: Direction
    transport: Transport
    sequence: int = 0
    partner: str = ""
    archetype: str = ""
    verb: str = ""
    noun: str = ""
    message_id: str = ""
    correlation_id: str = ""
    context: str = ""
    outcome: Outcome = Outcome.NONE
    codes: tuple[str, ...] = ()
    answer_to: int | None = None
    repeat_of: int | None = None
    digest: bytes = b""
    content_type: str = ""
    status: int = 0
    truncated: bool = False
    size_bytes: int = 0
    redeliveries: int = 0


def is_event(entry: LogEntry) -> bool:
    """Whether a message is an event as it happened: told by the hub itself, or come from a partner and accepted.

    Each happened once: repeats are none, nor is what was sent to partners.
    """
    if entry.archetype not in ("EventMessage", "Message") or entry.verb not in EVENT_VERBS:
        return False
    if entry.direction is Direction.OUT:
        return entry.transport is Transport.INTERNAL
    return entry.repeat_of is None and entry.outcome not in (Outcome.FAILED, Outcome.FAULT)


class LogSelection(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries of the log are wanted. What is None or empty does not filter.

    `after` is the sequence of the last entry of the page before. `since` and `until` bound `received_at`, both
    included. `counted` is of what came in alone, whatever `direction` says. Entries come oldest first, or newest first
    with `newest_first`; then `after` means older than.
    """

    after: int | None = None
    limit: int = 100
    newest_first: bool = False
    verb: str = ""
    noun: str = ""
    partner: str = ""
    message_id: str = ""
    correlation_id: str = ""
    outcomes: tuple[Outcome, ...] = ()
    direction: Direction | None = None
    counted: Counted | None = None
    answer_to: int | None = None
    since: datetime | None = None
    until: datetime | None = None


def is_wanted(entry: LogEntry, selection: LogSelection) -> bool:
    """Whether an entry matches, whatever its place."""
    return (
        (not selection.verb or entry.verb == selection.verb)
        and (not selection.noun or entry.noun == selection.noun)
        and (not selection.partner or entry.partner == selection.partner)
        and (not selection.message_id or entry.message_id == selection.message_id)
        and (not selection.correlation_id or entry.correlation_id == selection.correlation_id)
        and (not selection.outcomes or entry.outcome in selection.outcomes)
        and (selection.direction is None or entry.direction is selection.direction)
        and (selection.counted is None or _is_counted(entry, selection.counted))
        and (selection.answer_to is None or entry.answer_to == selection.answer_to)
        and (selection.since is None or entry.received_at >= selection.since)
        and (selection.until is None or entry.received_at <= selection.until)
    )


def _is_counted(entry: LogEntry, counted: Counted) -> bool:
    if entry.direction is not Direction.IN or entry.status:  # a status has what came as an answer
        return False
    is_refused = entry.outcome in (Outcome.FAILED, Outcome.FAULT)
    is_first = entry.repeat_of is None
    match counted:
        case Counted.RECEIVED:
            return True
        case Counted.REPEATS:
            return not is_first
        case Counted.WAITING:
            return is_first and not entry.outcome
        case Counted.REFUSED:
            return is_first and is_refused
        case Counted.DELIVERED:
            return is_first and bool(entry.outcome) and not is_refused


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a search came to.

    `after` asks for what is behind; None if there is nothing. `looked_to` is when the message was received to which was
    looked, where that was not far enough to find a whole page or to know that there is no more; else None.
    """

    entries: tuple[LogEntry, ...]
    after: int | None = None
    looked_to: datetime | None = None


class Expiry(msgspec.Struct, frozen=True, kw_only=True):
    """Which messages may be forgotten: of one kind, received before an instant.

    `archetypes` and `verbs` are alternatives each; empty ones do not filter. With `refused` only what was answered with
    FAILED or a fault is meant, and such answers; without it only what was not.
    """

    before: datetime
    archetypes: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    refused: bool = False


class MessageReader(Protocol):
    """The log, to be read."""

    async def select(self, selection: LogSelection) -> tuple[LogEntry, ...]:
        """The entries that match."""
        ...

    async def search(self, selection: LogSelection, groups: Sequence[Group] = ()) -> Found:
        """A page of the entries that match, and whose messages have a term of each group; at a bounded cost."""
        ...

    async def find_unindexed(self, limit: int) -> tuple[int, ...]:
        """Messages that are not in the index of terms, newest first: those of an earlier release."""
        ...

    async def find(self, sequence: int) -> LogEntry | None:
        """The entry with this sequence; None if there is none."""
        ...

    async def find_raw(self, sequence: int) -> bytes | None:
        """The bytes of the message with this sequence, as received or sent; None if there is none."""
        ...

    async def find_whole(self, sequences: Collection[int]) -> Mapping[int, tuple[LogEntry, bytes]]:
        """Entries with the bytes of their messages, by sequence; those that are not there are left out."""
        ...

    async def find_original(self, partner: str, message_id: str, since: datetime) -> LogEntry | None:
        """The first message from `partner` with this identifier that was accepted (OK or PARTIAL) since then.

        Without one, the last that was passed on since then and has no outcome yet.
        """
        ...

    async def find_answer(self, sequence: int) -> LogEntry | None:
        """The reply that was sent to the message with this sequence; None if none was sent."""
        ...

    async def find_correlated(self, correlation_id: str) -> LogEntry | None:
        """The first request or event with this MessageID or CorrelationID that was not refused; None without one."""
        ...

    async def find_in_work(self, before: datetime, limit: int) -> tuple[LogEntry, ...]:
        """Messages that came in before then, were passed on and have no outcome yet, oldest first."""
        ...

    async def find_expired(self, expiry: Expiry, *, after: int, limit: int) -> tuple[int, ...]:
        """Sequences behind `after` of messages that match and that no live or failed work needs, oldest first.

        Needed is a message without an outcome that was passed on, and one to which a delivery leads that is neither
        delivered nor discarded: the message to be sent, the one that caused it, and the answer to that.
        """
        ...


class MessageLog(MessageReader, Protocol):
    """The log, to be read and written inside one transaction."""

    async def append(self, entry: LogEntry, raw: bytes, about: Content | None = None) -> int:
        """Keep the message. The log gives the sequence and returns it; that of `entry` is not looked at.

        Args:
            entry: What is known of it.
            raw: Its bytes.
            about: Its content, where it could be read, by which it can be searched.
        """
        ...

    async def index(self, sequence: int, about: Content | None) -> None:
        """Put a message of an earlier release into the index of terms; nothing happens if it is there, or is gone."""
        ...

    async def settle(self, sequence: int, outcome: Outcome, codes: tuple[str, ...] = ()) -> bool:
        """Give a message that was passed on its outcome; False, changing nothing, if it has one or is not there."""
        ...

    async def remove(self, sequences: Iterable[int]) -> None:
        """Forget messages for good. Who calls has to know that nothing needs them any more."""
        ...
