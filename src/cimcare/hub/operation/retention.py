"""Retention: what has ended and is old enough is forgotten, and nothing else.

A message belongs to one class: what was refused, and of the rest questions (get), events, and all other requests. Each
class has its age. An answer goes with what it answers, whatever it says, when all of it is old enough; without that it
is a leftover. Kept whatever its age is

- what was passed on and has no outcome,
- what a delivery needs that waits, is under way, awaits its reply or is dead: the message to be sent, the one that led
  to it, and what answers or follows from either, such as what a partner said to a dead letter,
- what may still be repeated (G2), with its answers.

Audit trail and ledger are kept for good. Each batch is one short transaction, whose row of the audit trail names what
went.

Source: guarantees G2, G9 and G10.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from cimcare.exchange.audit import Action, Note
from cimcare.exchange.log import Direction, Expiry, LogEntry, LogSelection, Outcome
from cimcare.exchange.outbox import DeliverySelection, DeliveryState
from cimcare.exchange.ports import Clock
from cimcare.exchange.removal import removal_of
from cimcare.exchange.store import Reader, Store
from cimcare.hub.config.settings import Settings
from cimcare.model.verbs import EVENT_VERBS, REQUEST_VERBS, Verb

__all__ = ["Ages", "MessageClass", "Retention", "Swept", "count_expired", "expiries_of"]

_TOGETHER = 100
"""Messages, or deliveries, that one transaction removes."""

_WIDEST = 2000
"""Sequences among which the messages of one batch are, since these are looked at again inside its transaction."""

_PAGE = 1000
_ANSWERS = (Verb.REPLY, "")
"""Verbs of answers; a fault has none."""

_LIVE = (DeliveryState.WAITING, DeliveryState.LEASED, DeliveryState.AWAITING, DeliveryState.DEAD)
_ENDED = (DeliveryState.DELIVERED, DeliveryState.DISCARDED)


class MessageClass(StrEnum):
    """What messages are to retention. `leftovers` are answers to what is not there any more."""

    QUERIES = "queries"
    EVENTS = "events"
    REFUSED = "refused"
    REQUESTS = "requests"
    LEFTOVERS = "leftovers"


class Ages(msgspec.Struct, frozen=True, kw_only=True):
    """How long messages are kept by class, and deliveries after their end; `window` is how long a repeat is known."""

    requests: timedelta
    events: timedelta
    queries: timedelta
    refused: timedelta
    deliveries: timedelta
    window: timedelta

    @classmethod
    def of(cls, settings: Settings) -> "Ages":
        """The ages of the settings."""
        retention = settings.retention
        return cls(
            requests=timedelta(days=retention.requests_days),
            events=timedelta(days=retention.events_days),
            queries=timedelta(days=retention.queries_days),
            refused=timedelta(days=retention.refused_days),
            deliveries=timedelta(days=retention.deliveries_days),
            window=timedelta(days=settings.hub.repeat_window_days),
        )


class Swept(msgspec.Struct, frozen=True, kw_only=True):
    """How many messages of each class, and how many deliveries, were removed, or would be."""

    messages: dict[MessageClass, int]
    deliveries: int

    @property
    def is_nothing(self) -> bool:
        """Whether there was nothing to remove."""
        return not self.deliveries and not any(self.messages.values())


class _Batch(msgspec.Struct, frozen=True):
    """Messages that are removed together: each that may go, with all that goes with it, itself included.

    `seen` are all that are old enough from the first to the last of them, also those that something needs.
    """

    seen: list[int] = msgspec.field(default_factory=list)
    threads: dict[int, list[int]] = msgspec.field(default_factory=dict)

    @property
    def size(self) -> int:
        """How many messages go."""
        return sum(map(len, self.threads.values()))


def expiries_of(ages: Ages, now: datetime) -> dict[MessageClass, Expiry]:
    """What is old enough of each class."""

    def before(age: timedelta) -> datetime:
        return now - max(age, ages.window)

    return {
        MessageClass.QUERIES: Expiry(before=before(ages.queries), verbs=(Verb.GET,)),
        MessageClass.EVENTS: Expiry(before=before(ages.events), verbs=tuple(sorted(EVENT_VERBS))),
        MessageClass.REFUSED: Expiry(before=before(ages.refused), refused=True),
        MessageClass.REQUESTS: Expiry(before=before(ages.requests), verbs=tuple(sorted(REQUEST_VERBS - {Verb.GET}))),
        MessageClass.LEFTOVERS: Expiry(
            before=before(max(ages.requests, ages.events, ages.queries, ages.refused)), verbs=_ANSWERS
        ),
    }


async def count_expired(reader: Reader, ages: Ages, now: datetime) -> Swept:
    """What a sweep would remove. Raises StoreError."""
    messages = dict.fromkeys(MessageClass, 0)
    for kind, expiry in expiries_of(ages, now).items():
        async for batch in _batches(reader, expiry, after=0):
            messages[kind] += batch.size
    deliveries = after = 0
    while found := await reader.outbox.select(DeliverySelection(states=_ENDED, after=after, limit=_PAGE)):
        deliveries += sum(one.due_at < now - ages.deliveries for one in found)
        after = found[-1].number
        await asyncio.sleep(0)
    return Swept(messages=messages, deliveries=deliveries)


class Retention:
    """Removes what is too old.

    Args:
        store: Where it is.
        ages: How old is too old.
        clock: Now.
        pause_seconds: Pause between batches, in which others write.
    """

    def __init__(self, store: Store, ages: Ages, clock: Clock, *, pause_seconds: float = 0.0) -> None:
        self._store = store
        self._ages = ages
        self._clock = clock
        self._pause_seconds = pause_seconds
        self._judged: dict[MessageClass, int] = {}

    async def sweep(self, *, actor: str = "retention", is_whole: bool = True) -> Swept:
        """Remove all that may go. Raises StoreError; what was removed before that stays removed.

        Args:
            actor: Who is named in the audit trail.
            is_whole: Go through the whole log; else go on behind what was looked at by the sweep before, which leaves
                what was needed then to the next whole one.
        """
        if is_whole:
            self._judged.clear()
        now = self._clock()
        messages = {}
        for kind, expiry in expiries_of(self._ages, now).items():
            messages[kind] = await self._sweep_messages(kind, expiry, actor)
        swept = Swept(messages=messages, deliveries=await self._sweep_deliveries(now - self._ages.deliveries, actor))
        if not swept.is_nothing:
            await self._store.reclaim()
        return swept

    async def _sweep_messages(self, kind: MessageClass, expiry: Expiry, actor: str) -> int:
        removed = 0
        async for batch in _batches(self._store.reader, expiry, after=self._judged.get(kind, 0)):
            if batch.threads:
                removed += await self._remove(batch, expiry, actor)
            self._judged[kind] = batch.seen[-1]
            await asyncio.sleep(self._pause_seconds)
        return removed

    async def _remove(self, batch: _Batch, expiry: Expiry, actor: str) -> int:
        """Remove a batch but for what is needed by now, or was removed by somebody else."""
        async with self._store.transaction() as transaction:
            may_go = await transaction.log.find_expired(expiry, after=batch.seen[0] - 1, limit=len(batch.seen))
            gone = sorted({one for root in batch.threads.keys() & may_go for one in batch.threads[root]})
            if gone:
                await transaction.log.remove(gone)
                await transaction.audit.append(removal_of(gone, at=self._clock(), actor=actor))
        return len(gone)

    async def _sweep_deliveries(self, before: datetime, actor: str) -> int:
        removed, last = 0, _TOGETHER
        while last == _TOGETHER:
            async with self._store.transaction() as transaction:
                last = await transaction.outbox.remove_ended(before, limit=_TOGETHER)
                if last:
                    details = f"{last} that ended before {before.isoformat(timespec='seconds')}"
                    note = Note(
                        at=self._clock(), action=Action.REMOVE, actor=actor, subject="deliveries", details=details
                    )
                    await transaction.audit.append(note)
            removed += last
            await asyncio.sleep(self._pause_seconds)
        return removed


# --------------------------------------------------------------------------------------------------- what may go


async def _batches(reader: Reader, expiry: Expiry, *, after: int) -> AsyncIterator[_Batch]:
    """All that is old enough behind a sequence."""
    batch = _Batch()
    while found := await reader.log.find_expired(expiry, after=after, limit=_TOGETHER):
        for root in found:
            if batch.size >= _TOGETHER or (batch.seen and root - batch.seen[0] > _WIDEST):
                yield batch
                batch = _Batch()
            batch.seen.append(root)
            if members := await _thread_of(reader, root, expiry.before):
                batch.threads[root] = members
            await asyncio.sleep(0)  # a store may answer without ever suspending
        after = found[-1]
    if batch.seen:
        yield batch


async def _thread_of(reader: Reader, root: int, before: datetime) -> list[int]:
    """The message and its answers; nothing if something of it is needed or too young, or goes with something else."""
    entry = await reader.log.find(root)
    if entry is None:
        return []
    if entry.answer_to is not None:
        if entry.verb in _ANSWERS and await reader.log.find(entry.answer_to) is not None:
            return []
        if await _has_live_delivery(reader, entry.answer_to):
            return []
    members, waiting = [], [entry]
    while waiting:
        member = waiting.pop()
        is_young = member.received_at >= before
        if is_young or _is_in_work(member) or await _has_live_delivery(reader, member.sequence):
            return []
        members.append(member.sequence)
        waiting += [one async for one in _answers_to(reader, member.sequence)]
    return members


async def _answers_to(reader: Reader, sequence: int) -> AsyncIterator[LogEntry]:
    after = sequence
    while found := await reader.log.select(LogSelection(answer_to=sequence, after=after, limit=_PAGE)):
        for entry in found:
            if entry.verb in _ANSWERS:
                yield entry
        after = found[-1].sequence
        if len(found) < _PAGE:
            return


async def _has_live_delivery(reader: Reader, sequence: int) -> bool:
    """Whether a delivery that has not ended well is of this message, or was caused by it."""
    for selection in (
        DeliverySelection(message=sequence, states=_LIVE, limit=1),
        DeliverySelection(cause=sequence, states=_LIVE, limit=1),
    ):
        if await reader.outbox.select(selection):
            return True
    return False


def _is_in_work(entry: LogEntry) -> bool:
    return entry.direction is Direction.IN and entry.outcome is Outcome.NONE and entry.repeat_of is None
