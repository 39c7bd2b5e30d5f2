"""The outbox in memory: the reference of what `Outbox` means, held to the tests of every store."""

from collections.abc import Collection, Hashable, Iterable, Sequence
from datetime import datetime
from heapq import merge
from itertools import islice

import msgspec

from cimcare.exchange.outbox import (
    CARRIED,
    Backlog,
    Delivery,
    DeliveryKind,
    DeliverySelection,
    DeliveryState,
    NewDelivery,
    Priority,
)
from cimcare.store.instants import to_micros
from cimcare.store.memory_tables import Tables, is_live

__all__ = ["MemoryOutbox", "MemoryOutboxReader"]

_WAITING = (DeliveryState.WAITING, DeliveryState.LEASED)
_OPEN = (*_WAITING, DeliveryState.AWAITING)
_LIVE = (*_OPEN, DeliveryState.DEAD)


class MemoryOutboxReader:
    """Implements `cimcare.exchange.outbox.OutboxReader`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def find(self, number: int) -> Delivery | None:
        """The delivery with this number."""
        return self._tables.deliveries.rows.get(number)

    async def select(self, selection: DeliverySelection) -> tuple[Delivery, ...]:
        """The deliveries that match."""
        found: list[Delivery] = []
        for number in self._candidates(selection):
            if len(found) >= selection.limit:
                break
            delivery = self._tables.deliveries.rows[number]
            if _is_wanted(delivery, selection):
                found.append(delivery)
        return tuple(found)

    async def backlogs(self) -> tuple[Backlog, ...]:
        """One for each partner that has any that wait, await or are dead."""
        return tuple(self._backlog_of(partner) for partner in self._partners())

    async def count_open(self, partner: str, since: datetime, until: datetime) -> int:
        """How many of a partner's wait, are leased or await."""
        rows = self._tables.deliveries.rows
        numbers = (number for state in _OPEN for number in self._tables.deliveries.keys(("live", partner, state)))
        return sum(since <= rows[number].created_at < until for number in numbers)

    def _backlog_of(self, partner: str) -> Backlog:
        waiting, leased, awaiting, dead = (self._tables.deliveries.places(("live", partner, state)) for state in _LIVE)
        oldest = min((places[0][-1] for places in (waiting, leased) if places), default=None)
        return Backlog(
            partner=partner,
            waiting=len(waiting) + len(leased),
            awaiting=len(awaiting),
            dead=len(dead),
            oldest_at=None if oldest is None else self._tables.deliveries.rows[oldest].created_at,
        )

    def _candidates(self, selection: DeliverySelection) -> Iterable[int]:
        """Numbers behind `after`, by the narrowest group that fits."""
        for name, value in (("message", selection.message), ("cause", selection.cause)):
            if value is not None:
                return self._page((name, value), selection)
        if not selection.states or not set(selection.states) <= set(_LIVE):
            return self._page("all", selection)
        partners = [selection.partner] if selection.partner else self._partners()
        groups = [("live", one, state) for one in partners for state in dict.fromkeys(selection.states)]
        return merge(*(self._page(group, selection) for group in groups), reverse=selection.newest_first)

    def _page(self, group: Hashable, selection: DeliverySelection) -> list[int]:
        """Numbers of a group, in the order that is wanted, from behind the page before on."""
        deliveries = self._tables.deliveries
        if not selection.newest_first:
            return deliveries.keys(group, after=(selection.after or 0,))
        numbers = deliveries.keys(group)
        return [number for number in reversed(numbers) if selection.after is None or number < selection.after]

    def _partners(self) -> list[str]:
        """Partners that have anything left."""
        return sorted(self._tables.live.rows)


class MemoryOutbox(MemoryOutboxReader):
    """Implements `cimcare.exchange.outbox.Outbox`."""

    async def enqueue(self, new: NewDelivery) -> int:
        """Put a delivery in."""
        numbers = self._tables.numbers
        number = numbers.delivery + 1
        self._tables.give(numbers._replace(delivery=number))
        given = {name: getattr(new, name) for name in NewDelivery.__struct_fields__}
        is_head = not any(self._first(new.partner, key) for key in new.object_keys)
        self._put(Delivery(number=number, state=DeliveryState.WAITING, due_at=new.created_at, is_head=is_head, **given))
        return number

    async def claim(
        self, partner: str, *, now: datetime, until: datetime, limit: int, only: Collection[DeliveryKind] = ()
    ) -> tuple[Delivery, ...]:
        """Lease deliveries that are due."""
        due = self._due(partner, now, limit, [kind for kind in DeliveryKind if kind in (only or CARRIED)])
        return tuple(
            self._change(row, state=DeliveryState.LEASED, due_at=until, attempts=row.attempts + 1) for row in due
        )

    async def renew(self, number: int, attempt: int, *, until: datetime) -> bool:
        """Make a lease longer."""
        return self._end(number, attempt, due_at=until)

    async def give_back(self, attempts: Sequence[tuple[int, int]], *, now: datetime) -> None:
        """These were claimed and nothing of them was sent."""
        for number, attempt in attempts:
            self._end(number, attempt, state=DeliveryState.WAITING, due_at=now, attempts=attempt - 1)

    async def succeed(self, attempts: Sequence[tuple[int, int]], *, now: datetime) -> frozenset[int]:
        """The partner has them."""
        return frozenset(
            number
            for number, attempt in attempts
            if self._end(number, attempt, state=DeliveryState.DELIVERED, due_at=now, reason="", received=b"")
        )

    async def wait_for_reply(self, number: int, attempt: int, *, until: datetime) -> bool:
        """The partner has acknowledged a request."""
        return self._end(number, attempt, state=DeliveryState.AWAITING, due_at=until, reason="", received=b"")

    async def fail(self, number: int, attempt: int, *, due_at: datetime, reason: str, received: bytes) -> bool:
        """This attempt came to nothing. It keeps its place."""
        return self._end(number, attempt, state=DeliveryState.WAITING, due_at=due_at, reason=reason, received=received)

    async def bury(self, number: int, attempt: int, *, now: datetime, reason: str, received: bytes) -> bool:
        """Give up."""
        return self._end(number, attempt, state=DeliveryState.DEAD, due_at=now, reason=reason, received=received)

    async def find_awaiting(self, message: int) -> Delivery | None:
        """The delivery of this message that awaits its reply."""
        for number in self._tables.deliveries.keys(("message", message)):
            delivery = self._tables.deliveries.rows[number]
            if delivery.state is DeliveryState.AWAITING:
                return delivery
        return None

    async def answer(self, number: int, *, now: datetime) -> bool:
        """The reply that was awaited has come."""
        row = self._in_state(number, DeliveryState.AWAITING)
        return row is not None and bool(self._change(row, state=DeliveryState.DELIVERED, due_at=now))

    async def expire(self, *, now: datetime, reason: str, limit: int) -> tuple[Delivery, ...]:
        """Make dead letters of those that got no reply in time."""
        deliveries = self._tables.deliveries
        numbers = islice(deliveries.keys_before("awaiting", (to_micros(now) + 1,)), limit)
        rows = [deliveries.rows[number] for number in numbers]
        return tuple(self._change(row, state=DeliveryState.DEAD, due_at=now, reason=reason) for row in rows)

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
        """Make dead letters of those of a destination that wait or await their reply."""
        wanted = DeliverySelection(partner=partner, states=_OPEN, noun=noun, before=before, after=after)
        found = (self._tables.deliveries.rows[number] for number in self._candidates(wanted))
        may_go = (
            row
            for row in found
            if _is_wanted(row, wanted) and not (row.state is DeliveryState.LEASED and row.due_at > now)
        )
        rows = list(islice(may_go, limit))  # all of them before the first changes
        return tuple(self._let_go(row, state=DeliveryState.DEAD, due_at=now, reason=reason) for row in rows)

    async def resend(self, number: int, *, now: datetime) -> bool:
        """Let a dead letter wait again, before the younger ones of its objects."""
        row = self._in_state(number, DeliveryState.DEAD)
        if row is None:
            return False
        first = [self._first(row.partner, key) for key in row.object_keys]
        is_head = all(one is None or one.number > number for one in first)
        self._change(row, state=DeliveryState.WAITING, due_at=now, is_head=is_head, attempts_before=row.attempts)
        for one in dict.fromkeys(first):
            if one is not None and one.number > number and one.is_head:
                self._change(one, is_head=False)
        return True

    async def settle(self, number: int, *, now: datetime, reason: str) -> bool:
        """The answer to a dead letter has come after all."""
        row = self._in_state(number, DeliveryState.DEAD)
        return row is not None and bool(self._change(row, state=DeliveryState.DELIVERED, due_at=now, reason=reason))

    async def discard(self, number: int, *, now: datetime, reason: str) -> bool:
        """End a dead letter for good."""
        row = self._in_state(number, DeliveryState.DEAD)
        return row is not None and bool(self._change(row, state=DeliveryState.DISCARDED, due_at=now, reason=reason))

    async def remove_ended(self, before: datetime, *, limit: int) -> int:
        """Forget deliveries that were delivered or discarded before then."""
        numbers = list(islice(self._tables.deliveries.keys_before("ended", (to_micros(before),)), limit))
        for number in numbers:  # of which none counts as left
            self._tables.deliveries.put(number, None)
        return len(numbers)

    def _due(self, partner: str, now: datetime, limit: int, kinds: list[DeliveryKind]) -> list[Delivery]:
        """What may be claimed, by urgency and number."""
        deliveries = self._tables.deliveries
        bound = (to_micros(now) + 1,)
        abandoned = [deliveries.rows[number] for number in deliveries.keys_before(("leased", partner), bound)]
        due: list[Delivery] = []
        for priority in sorted(Priority, reverse=True):
            found = [row for row in abandoned if row.is_head and row.priority is priority and row.kind in kinds]
            for kind in kinds:
                fresh = (place[-1] for place in deliveries.places(("fresh", partner, kind, priority)))
                tried = deliveries.keys_before(("tried", partner, kind, priority), bound)
                found += self._free(fresh, now, limit)
                found += self._free(tried, now, limit)
            due += sorted(found, key=lambda row: row.number)
            if len(due) >= limit:
                break
        return due[:limit]

    def _free(self, numbers: Iterable[int], now: datetime, limit: int) -> list[Delivery]:
        """The first of these that are due and wait for no younger one that has begun."""
        found: list[Delivery] = []
        for number in numbers:
            if len(found) >= limit:
                break
            row = self._tables.deliveries.rows[number]
            if row.due_at <= now and not (row.attempts_before and self._waits_for_younger(row, now)):
                found.append(row)
        return found

    def _waits_for_younger(self, row: Delivery, now: datetime) -> bool:
        deliveries = self._tables.deliveries
        running = deliveries.keys(("leased", row.partner), after=(to_micros(now) + 1,))
        younger = (deliveries.rows[number] for number in running if number > row.number)
        return any(not set(row.object_keys).isdisjoint(one.object_keys) for one in younger)

    def _end(self, number: int, attempt: int, **changes: object) -> bool:
        """End an attempt."""
        row = self._in_state(number, DeliveryState.LEASED)
        if row is None or row.attempts != attempt:
            return False
        is_over = changes.get("state", DeliveryState.LEASED) not in _WAITING
        if is_over:
            self._let_go(row, **changes)
        else:
            self._change(row, **changes)
        return True

    def _let_go(self, row: Delivery, **changes: object) -> Delivery:
        """Change one that waits no more; who stood behind it alone goes to the head of his objects."""
        changed = self._change(row, is_head=True, **changes)
        for one in dict.fromkeys(self._first(row.partner, key) for key in row.object_keys):
            if one is not None and not one.is_head:
                others = (self._first(one.partner, key) for key in one.object_keys)
                if all(other is one for other in others):
                    self._change(one, is_head=True)
        return changed

    def _first(self, partner: str, key: str) -> Delivery | None:
        """The oldest that waits or is leased of those with this key."""
        places = self._tables.deliveries.places(("key", partner, key))
        return self._tables.deliveries.rows[places[0][-1]] if places else None

    def _in_state(self, number: int, state: DeliveryState) -> Delivery | None:
        row = self._tables.deliveries.rows.get(number)
        return row if row is not None and row.state is state else None

    def _change(self, row: Delivery, **changes: object) -> Delivery:
        changed = msgspec.structs.replace(row, **changes)
        self._put(changed)
        return changed

    def _put(self, row: Delivery) -> None:
        before = self._tables.deliveries.rows.get(row.number)
        self._tables.deliveries.put(row.number, row)
        by = is_live(row) - (before is not None and is_live(before))
        if by:
            left = self._tables.live.rows.get(row.partner, 0) + by
            self._tables.live.put(row.partner, left or None)


def _is_wanted(delivery: Delivery, selection: DeliverySelection) -> bool:
    return (
        (not selection.partner or delivery.partner == selection.partner)
        and (not selection.noun or delivery.noun == selection.noun)
        and (not selection.verb or delivery.verb == selection.verb)
        and (not selection.states or delivery.state in selection.states)
        and (selection.message is None or delivery.message == selection.message)
        and (selection.cause is None or delivery.cause == selection.cause)
        and (selection.since is None or delivery.created_at >= selection.since)
        and (selection.before is None or delivery.created_at <= selection.before)
    )
