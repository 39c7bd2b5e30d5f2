"""The audit trail: what was kept and what operators did, as a chain of hashes.

Each row holds the hash of the row before it and a hash of itself, so that nobody can alter, remove or move a row and
leave no trace. A row names the messages that were kept or got their outcome in one transaction, each with the hash of
its facts and bytes, or an action with who did it, on what, and why.

Source: guarantee G10.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from operator import attrgetter
from typing import Protocol

import msgspec

from cimcare.exchange.log import LogEntry

__all__ = [
    "START",
    "Action",
    "AuditReader",
    "AuditRow",
    "AuditTrail",
    "Note",
    "Sealed",
    "chained",
    "hash_of_message",
    "hash_of_row",
    "seal",
]

_ADDED = "redeliveries"
"""A fact that came with a later release: where it says nothing the hash is what it was without."""

_FACTS = tuple(sorted(set(LogEntry.__struct_fields__) - {_ADDED}))
_DIGEST = _FACTS.index("digest")
_values_of = attrgetter(*_FACTS)
_encode = msgspec.json.Encoder().encode

START = b"\0" * 32
"""Hash before the first row."""


class Action(StrEnum):
    """What a row tells of."""

    MESSAGES = "messages"
    RESEND = "resend"
    DISCARD = "discard"
    ABANDON = "abandon"
    HALT = "halt"
    RELEASE = "release"
    CONFIGURE = "configure"
    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"
    REMOVE = "remove"
    CONSENT = "consent"
    REVEAL = "reveal"
    FILTER = "filter"
    NETWORK = "network"
    OPERATE = "operate"
    DIRECTORY = "directory"
    ALARM = "alarm"
    DRILL = "drill"
    START = "start"
    STOP = "stop"


class Sealed(msgspec.Struct, frozen=True):
    """A message in the chain: its sequence and `hash_of_message` in hexadecimal digits."""

    sequence: int
    hash: str


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be put into the trail. `actor` did it, `subject` is what it was done to, `details` say why and how."""

    at: datetime
    action: Action
    actor: str = ""
    subject: str = ""
    details: str = ""
    messages: tuple[Sealed, ...] = ()


class AuditRow(Note, frozen=True, kw_only=True):
    """A row of the trail. Numbers rise by one."""

    number: int
    previous: bytes
    hash: bytes


class AuditReader(Protocol):
    """The trail, to be read."""

    async def rows(self, after: int = 0, limit: int = 1000) -> tuple[AuditRow, ...]:
        """Rows behind the number `after`, in order."""
        ...

    async def acts(self, before: int | None = None, limit: int = 1000) -> tuple[AuditRow, ...]:
        """Rows that tell of more than messages, older than the number `before`, the newest first.

        The cost does not grow with the number of rows that tell of messages.
        """
        ...


class AuditTrail(AuditReader, Protocol):
    """The trail, inside one transaction."""

    async def append(self, note: Note) -> None:
        """Put a row at the end. Messages need no call: each transaction that kept some ends with their row."""
        ...


def chained(note: Note, number: int, previous: bytes) -> AuditRow:
    """The note as the row with this number, behind the row with the hash `previous`."""
    row = AuditRow(
        **{name: getattr(note, name) for name in Note.__struct_fields__}, number=number, previous=previous, hash=b""
    )
    return msgspec.structs.replace(row, hash=hash_of_row(row))


def hash_of_row(row: AuditRow) -> bytes:
    """Hash over all of a row but its hash."""
    told = (
        row.number,
        row.at.isoformat(),
        row.action.value,
        row.actor,
        row.subject,
        row.details,
        [(one.sequence, one.hash) for one in row.messages],
        row.previous.hex(),
    )
    return sha256(msgspec.json.encode(told)).digest()


def hash_of_message(entry: LogEntry, raw: bytes) -> str:
    """Hash over the facts of a message, its outcome included, and its bytes; in hexadecimal digits."""
    values = list(_values_of(entry))
    values[_DIGEST] = ""  # it comes behind the others, in digits
    facts = list(zip(_FACTS, values, strict=True))
    if entry.redeliveries:
        facts.append((_ADDED, entry.redeliveries))
    found = sha256(_encode((facts, entry.digest.hex())))
    found.update(b"\n")
    found.update(raw)
    return found.hexdigest()


def seal(entries: Iterable[tuple[LogEntry, bytes]]) -> tuple[Sealed, ...]:
    """Messages of one transaction for its row."""
    return tuple(Sealed(entry.sequence, hash_of_message(entry, raw)) for entry, raw in entries)
