"""The outbox: what is still to be delivered to partners, as a Protocol, and its values.

One row stands for one message and one subscriber. Rows are written in the transaction that made the message, claimed
under a lease, and end as delivered, dead or discarded. Source: guarantees G1, G3 to G6.
"""

from datetime import datetime
from enum import StrEnum
from typing import Protocol, runtime_checkable

import msgspec

from cimcare.exchange.log import Transaction

__all__ = [
    "Backlog",
    "DeliveringStore",
    "Delivery",
    "DeliverySelection",
    "DeliveryState",
    "NewDelivery",
    "Outbox",
    "OutboxReader",
]


class DeliveryState(StrEnum):
    """Where a delivery stands. The last three are ends, of which an operator may open `dead` again."""

    WAITING = "waiting"
    LEASED = "leased"
    DELIVERED = "delivered"
    DEAD = "dead"
    DISCARDED = "discarded"


class NewDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery to be made.

    `message` is the sequence of the message in the log. Deliveries of one `partner` with one `object_key` go one
    after another, in the order in which they were put in.
    """

    message: int
    partner: str
    object_key: str
    verb: str
    noun: str
    message_id: str
    created_at: datetime


class Delivery(NewDelivery, frozen=True, kw_only=True):
    """A delivery as stored.

    `attempts` counts all of them, and never falls; `attempts_before` is what it was when an operator last sent the
    delivery again. `due_at` is the earliest next attempt of one that waits, the end of the lease of one that is
    leased, and the end of one that ended. `reason` says what went wrong last, or why it was discarded; `received` is
    the beginning of what the partner sent last.
    """

    number: int
    state: DeliveryState
    due_at: datetime
    attempts: int = 0
    attempts_before: int = 0
    reason: str = ""
    received: bytes = b""


class DeliverySelection(msgspec.Struct, frozen=True, kw_only=True):
    """Which deliveries are wanted, oldest first. What is None or empty does not filter.

    `before` bounds `created_at`, included; `after` is the number of the last one of the page before.
    """

    after: int | None = None
    limit: int = 100
    partner: str = ""
    noun: str = ""
    state: DeliveryState | None = None
    before: datetime | None = None


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """What one partner has not got: how many wait (leased ones included), since when the oldest, how many are dead."""

    partner: str
    waiting: int
    dead: int
    oldest_at: datetime | None


class OutboxReader(Protocol):
    """The outbox, to be read."""

    async def find(self, number: int) -> Delivery | None:
        """The delivery with this number; None if there is none."""
        ...

    async def select(self, selection: DeliverySelection) -> tuple[Delivery, ...]:
        """The deliveries that match."""
        ...

    async def backlogs(self) -> tuple[Backlog, ...]:
        """One for each partner that has any that wait or are dead, by name."""
        ...


class Outbox(OutboxReader, Protocol):
    """The outbox, inside one transaction.

    What ends an attempt names the attempt (`Delivery.attempts`) and answers False, changing nothing, where the lease
    has meanwhile gone to somebody else.
    """

    async def enqueue(self, new: NewDelivery) -> int:
        """Put a delivery in; its number, which rises."""
        ...

    async def claim(self, partner: str, *, now: datetime, until: datetime, limit: int) -> tuple[Delivery, ...]:
        """Lease deliveries of a partner that are due until then, oldest first; their attempts are counted.

        Of one `object_key` only the oldest that waits or is leased can be claimed. A lease that has run out may be
        taken over.
        """
        ...

    async def succeed(self, number: int, attempt: int, *, now: datetime) -> bool:
        """The partner has it."""
        ...

    async def fail(self, number: int, attempt: int, *, due_at: datetime, reason: str, received: bytes) -> bool:
        """This attempt came to nothing; the next one is not before `due_at`."""
        ...

    async def bury(self, number: int, attempt: int, *, now: datetime, reason: str, received: bytes) -> bool:
        """Give up: the delivery is a dead letter, with its reason."""
        ...

    async def resend(self, number: int, *, now: datetime) -> bool:
        """Let a dead letter wait again, due at once and with all its attempts; False if it is not dead."""
        ...

    async def discard(self, number: int, *, now: datetime, reason: str) -> bool:
        """End a dead letter for good; False if it is not dead."""
        ...


@runtime_checkable
class DeliveringStore(Protocol):
    """A store that has an outbox."""

    def outbox_of(self, transaction: Transaction) -> Outbox:
        """The outbox, to be written within a transaction of this store."""
        ...

    @property
    def outbox_reader(self) -> OutboxReader:
        """The outbox, to be read: what is committed."""
        ...
