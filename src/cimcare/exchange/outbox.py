"""The outbox: what is still to be delivered to partners, as a Protocol, and its values.

One row stands for one message and one destination. Rows are written in the transaction that made the message, claimed
under a lease, and end as delivered, dead or discarded. Source: guarantees G1, G3 to G6.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Protocol

import msgspec

__all__ = [
    "CARRIED",
    "Backlog",
    "Delivery",
    "DeliveryKind",
    "DeliverySelection",
    "DeliveryState",
    "NewDelivery",
    "Outbox",
    "OutboxReader",
    "Priority",
]


class DeliveryState(StrEnum):
    """Where a delivery stands.

    `awaiting`: a request that the partner has acknowledged and is to answer later. The last three are ends, of which an
    operator may open `dead` again.
    """

    WAITING = "waiting"
    LEASED = "leased"
    AWAITING = "awaiting"
    DELIVERED = "delivered"
    DEAD = "dead"
    DISCARDED = "discarded"


class DeliveryKind(StrEnum):
    """What is delivered: an event to who listens, a request to who owns its noun, a later reply to who asked.

    `intake` is what came from a broker and could not be taken in, for the hub itself, should an operator want it again.
    """

    EVENT = "event"
    REQUEST = "request"
    REPLY = "reply"
    INTAKE = "intake"


CARRIED = (DeliveryKind.EVENT, DeliveryKind.REQUEST, DeliveryKind.REPLY)
"""Kinds that go to somebody else."""


class Priority(IntEnum):
    """Who goes first, in intake and in delivery: danger to life, then who depends on supply, then all others."""

    NORMAL = 0
    LIFE_SUPPORT = 1
    HAZARD = 2


class NewDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery to be made.

    `message` is the sequence of the message in the log that is to be sent; `cause` that of the message received which
    led to it, or of the event with which it began if no message did. `partner` is the name of the destination;
    `address` the one URL where it goes, empty for the address that the destination has when it is sent. Deliveries of
    one `partner` that share one of their `object_keys` go one after another, in the order in which they were put in;
    one without keys waits for nobody.
    """

    message: int
    cause: int
    partner: str
    kind: DeliveryKind
    object_keys: tuple[str, ...]
    verb: str
    noun: str
    message_id: str
    created_at: datetime
    priority: Priority = Priority.NORMAL
    address: str = ""


class Delivery(NewDelivery, frozen=True, kw_only=True):
    """A delivery as stored.

    `attempts` counts all of them, and falls only where nothing was sent and the lease was given back; `attempts_before`
    is what it was when an operator last sent the delivery again. `due_at` is the earliest next attempt of one that
    waits, the end of the lease of one that is leased, when patience ends for one that awaits its reply, and the end of
    one that ended. `reason` says what went wrong last, or why it was abandoned or discarded; `received` is the
    beginning of what the partner sent last.
    `is_head` tells whether no older delivery goes before it.
    """

    number: int
    state: DeliveryState
    due_at: datetime
    is_head: bool = True
    attempts: int = 0
    attempts_before: int = 0
    reason: str = ""
    received: bytes = b""


class DeliverySelection(msgspec.Struct, frozen=True, kw_only=True):
    """Which deliveries are wanted, by number. What is None or empty does not filter.

    `since` and `before` bound `created_at`, both included; `after` is the number of the last one of the page before.
    `message` and `cause` are sequences of the log. `states` are alternatives. They come oldest first, or newest first
    with `newest_first`; then `after` means older than.
    """

    after: int | None = None
    limit: int = 100
    partner: str = ""
    noun: str = ""
    verb: str = ""
    states: tuple[DeliveryState, ...] = ()
    message: int | None = None
    cause: int | None = None
    since: datetime | None = None
    before: datetime | None = None
    newest_first: bool = False


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """What one partner has not got.

    `waiting` counts those that wait, leased ones included, `oldest_at` is when the oldest of them was put in;
    `awaiting` counts requests without their reply, `dead` dead letters.
    """

    partner: str
    waiting: int
    awaiting: int
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
        """One for each partner that has any that wait, await or are dead, by name."""
        ...

    async def count_open(self, partner: str, since: datetime, until: datetime) -> int:
        """How many of a partner's that were put in from `since` to before `until` wait, are leased or await."""
        ...


class Outbox(OutboxReader, Protocol):
    """The outbox, inside one transaction.

    What ends an attempt names the attempt (`Delivery.attempts`) and answers False, changing nothing, where the lease
    has meanwhile gone to somebody else.
    """

    async def enqueue(self, new: NewDelivery) -> int:
        """Put a delivery in; its number, which rises."""
        ...

    async def claim(
        self, partner: str, *, now: datetime, until: datetime, limit: int, only: Collection[DeliveryKind] = ()
    ) -> tuple[Delivery, ...]:
        """Lease deliveries of a partner that are due until then; their attempts are counted.

        The urgent first, then the oldest. Of those that share an object key only the oldest that waits or is leased can
        be claimed. A lease that has run out may be taken over. `only` restricts the kinds; empty means those that are
        carried to somebody else. The cost does not grow with the number that waits.
        """
        ...

    async def renew(self, number: int, attempt: int, *, until: datetime) -> bool:
        """Make a lease longer."""
        ...

    async def give_back(self, attempts: Sequence[tuple[int, int]], *, now: datetime) -> None:
        """These were claimed and nothing of them was sent: they are due again, and the attempt does not count.

        Each is named by number and attempt, and to be named once only: the attempt that follows has the same name.
        """
        ...

    async def succeed(self, attempts: Sequence[tuple[int, int]], *, now: datetime) -> frozenset[int]:
        """The partner has them, each named by number and attempt; the numbers of those that are ended so."""
        ...

    async def wait_for_reply(self, number: int, attempt: int, *, until: datetime) -> bool:
        """The partner has acknowledged a request; its reply is to come until then. Its object is not held up longer."""
        ...

    async def fail(self, number: int, attempt: int, *, due_at: datetime, reason: str, received: bytes) -> bool:
        """This attempt came to nothing; the next one is not before `due_at`."""
        ...

    async def bury(self, number: int, attempt: int, *, now: datetime, reason: str, received: bytes) -> bool:
        """Give up: the delivery is a dead letter, with its reason."""
        ...

    async def find_awaiting(self, message: int) -> Delivery | None:
        """The delivery of the message with this sequence that awaits its reply; None without one."""
        ...

    async def answer(self, number: int, *, now: datetime) -> bool:
        """The reply that was awaited has come, whole; False if none was awaited."""
        ...

    async def expire(self, *, now: datetime, reason: str, limit: int) -> tuple[Delivery, ...]:
        """Make dead letters of those that have awaited their reply until now and got none, as they then are."""
        ...

    async def abandon(
        self,
        partner: str,
        *,
        now: datetime,
        reason: str,
        noun: str = "",
        before: datetime | None = None,
        after: int = 0,
        limit: int,
    ) -> tuple[Delivery, ...]:
        """Make dead letters of those of a destination that wait or await their reply, as they then are, oldest first.

        A lease that has run out counts as waiting; one that has not is left alone. `noun`, `before` and `after`
        restrict them as in `DeliverySelection`.
        """
        ...

    async def resend(self, number: int, *, now: datetime) -> bool:
        """Let a dead letter wait again, due at once and with all its attempts; False if it is not dead.

        It goes before younger ones of its objects that have not begun.
        """
        ...

    async def settle(self, number: int, *, now: datetime, reason: str) -> bool:
        """The answer to a dead letter has come after all, so that the partner has it; False if it is not dead."""
        ...

    async def discard(self, number: int, *, now: datetime, reason: str) -> bool:
        """End a dead letter for good; False if it is not dead."""
        ...

    async def remove_ended(self, before: datetime, *, limit: int) -> int:
        """Forget deliveries that were delivered or discarded before then, the oldest first; how many."""
        ...
