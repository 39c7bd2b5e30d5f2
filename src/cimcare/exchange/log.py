"""The message log and the durable store, as Protocols, and the values that they exchange.

Every message that enters or leaves is kept: what it was, from whom, what became of it, and its bytes. The store gives
transactions in which messages and objects of the built-in systems are written together.
"""

from contextlib import AbstractAsyncContextManager
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import msgspec

from cimcare.errors import CimcareError
from cimcare.exchange.ports import Records

__all__ = [
    "Direction",
    "LogEntry",
    "LogSelection",
    "MessageLog",
    "MessageReader",
    "Outcome",
    "Reader",
    "Store",
    "StoreError",
    "Transaction",
    "Transport",
]


class Direction(StrEnum):
    """Which way a message went, seen from the hub."""

    IN = "in"
    OUT = "out"


class Transport(StrEnum):
    """How a message came or went. `internal` is from one built-in system to another."""

    SOAP11 = "soap11"
    SOAP12 = "soap12"
    SOAP_TYPED = "soap-typed"
    REST_XML = "rest-xml"
    REST_JSON = "rest-json"
    INTERNAL = "internal"


class Outcome(StrEnum):
    """What became of a message, or what a reply says. NONE for what nobody has judged."""

    OK = "OK"
    PARTIAL = "PARTIAL"
    FAILED = "FAILED"
    FAULT = "FAULT"
    NONE = ""


class LogEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A message in the log, without its bytes. Texts are empty where the message said nothing.

    `sequence` is given by the log, rises with time and is never used again. `received_at` is when the message came, or
    was made (UTC, microseconds). `partner` is Header/Source of what came in; for what goes out, to whom it goes.
    `answer_to` is the sequence of the message that this one answers or was caused by. `repeat_of` is the sequence of
    the message that this one repeats. `size_bytes` is the full size, also where only the beginning was kept
    (`truncated`). `status` is the HTTP status with which an answer left, 0 where there was none.
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


class LogSelection(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries of the log are wanted. What is None or empty does not filter.

    `after` is the sequence of the last entry of the page before. `since` and `until` bound `received_at`, both
    included. Entries come oldest first, or newest first with `newest_first`; then `after` means older than.
    """

    after: int | None = None
    limit: int = 100
    newest_first: bool = False
    verb: str = ""
    noun: str = ""
    partner: str = ""
    message_id: str = ""
    correlation_id: str = ""
    outcome: Outcome | None = None
    direction: Direction | None = None
    answer_to: int | None = None
    since: datetime | None = None
    until: datetime | None = None


class MessageReader(Protocol):
    """The log, to be read."""

    async def select(self, selection: LogSelection) -> tuple[LogEntry, ...]:
        """The entries that match."""
        ...

    async def find(self, sequence: int) -> LogEntry | None:
        """The entry with this sequence; None if there is none."""
        ...

    async def find_raw(self, sequence: int) -> bytes | None:
        """The bytes of the message with this sequence, as received or sent; None if there is none."""
        ...

    async def find_original(self, partner: str, message_id: str, since: datetime) -> LogEntry | None:
        """The first message from `partner` with this identifier that was accepted (OK or PARTIAL) since then."""
        ...

    async def find_answer(self, sequence: int) -> LogEntry | None:
        """The reply that was sent to the message with this sequence; None if none was sent."""
        ...

    async def find_correlated(self, correlation_id: str) -> LogEntry | None:
        """The first request or event with this MessageID or CorrelationID that was not refused; None without one."""
        ...


class MessageLog(MessageReader, Protocol):
    """The log, to be read and written inside one transaction."""

    async def append(self, entry: LogEntry, raw: bytes) -> int:
        """Keep the message. The log gives the sequence and returns it; that of `entry` is not looked at."""
        ...


class Transaction(Protocol):
    """What may be written together."""

    @property
    def log(self) -> MessageLog:
        """The message log."""
        ...

    @property
    def records(self) -> Records:
        """The objects of the built-in systems."""
        ...

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        """A part of the transaction that can be undone alone; parts may be nested.

        Leaving the block by an exception undoes what was written inside it, and lets the exception through; who catches
        it may go on with the transaction. Leaving it otherwise keeps the part as long as what is around it is kept.
        """
        ...


class Reader(Protocol):
    """The durable state, to be read: what is committed, and nothing else."""

    @property
    def log(self) -> MessageReader:
        """The message log."""
        ...

    @property
    def records(self) -> Records:
        """The objects of the built-in systems; saving to them is refused."""
        ...


class Store(Protocol):
    """A durable store."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """One transaction: all or nothing.

        Leaving the block without an exception returns when all that was written is on disk; leaving it by an exception
        undoes it.

        Raises:
            StoreError: The transaction could not be begun, written or made durable. Nothing of it is kept.
        """
        ...

    @property
    def reader(self) -> Reader:
        """The durable state, to be read."""
        ...

    async def close(self) -> None:
        """Finish what is under way, and close."""
        ...


class StoreError(CimcareError):
    """The store could not do what was asked, and kept nothing of it."""

    code = "EXC-111"
