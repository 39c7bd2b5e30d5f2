"""What partners have not got is kept as counts, which are what a count of the rows would be, whatever happened.

Property: after any history of two hubs on one store, with messages and parts of messages that were undone in between,
the counts are those of the rows, for who reads and inside a transaction.
"""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta

import msgspec
import pytest

from cimcare.exchange.outbox import (
    Backlog,
    Delivery,
    DeliverySelection,
    DeliveryState,
    Outbox,
    OutboxReader,
)
from cimcare.exchange.store import Store, Transaction
from cimcare.store.opening import open_store
from tests.support.steps import steps_of
from tests.support.stored import NOON, a_delivery

LEASE = timedelta(seconds=30)
PARTNERS = ("CRM", "GIS", "http://peer/ä")
OPEN = (DeliveryState.WAITING, DeliveryState.LEASED)
MANY = 10_000


class UndoneError(Exception):
    """What a message fails with."""


async def counted(outbox: OutboxReader) -> tuple[Backlog, ...]:
    """Backlogs by looking at every delivery there is."""
    rows = await outbox.select(DeliverySelection(limit=MANY))
    left = [row for row in rows if row.state not in (DeliveryState.DELIVERED, DeliveryState.DISCARDED)]
    return tuple(
        Backlog(
            partner=partner,
            waiting=sum(row.state in OPEN for row in of),
            awaiting=sum(row.state is DeliveryState.AWAITING for row in of),
            dead=sum(row.state is DeliveryState.DEAD for row in of),
            oldest_at=next((row.created_at for row in of if row.state in OPEN), None),
        )
        for partner in sorted({row.partner for row in left})
        for of in [[row for row in left if row.partner == partner]]
    )


async def require_counts(outbox: OutboxReader) -> None:
    assert await outbox.backlogs() == await counted(outbox)


class History:
    """Steps of couriers and operators, drawn at random."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.now: datetime = NOON
        self._steps: tuple[Callable[[Outbox], object], ...] = (
            self.put_in,
            self.put_in,
            self.put_in,
            self.claim,
            self.claim,
            self.end,
            self.end,
            self.answer,
            self.expire,
            self.abandon,
            self.resend,
            self.discard,
            self.settle,
            self.purge,
        )

    async def step(self, outbox: Outbox) -> None:
        self.now += timedelta(seconds=self.draw.randrange(20))
        await self.draw.choice(self._steps)(outbox)  # type: ignore[misc]

    async def one_of(self, outbox: Outbox, *states: DeliveryState) -> Delivery | None:
        found = await outbox.select(DeliverySelection(states=states, limit=MANY))
        return self.draw.choice(found) if found else None

    async def put_in(self, outbox: Outbox) -> None:
        for _ in range(self.draw.randrange(1, 4)):
            new = a_delivery(
                f"object {self.draw.randrange(6)}", partner=self.draw.choice(PARTNERS), created_at=self.now
            )
            await outbox.enqueue(new)

    async def claim(self, outbox: Outbox) -> None:
        await outbox.claim(self.draw.choice(PARTNERS), now=self.now, until=self.now + LEASE, limit=3)

    async def end(self, outbox: Outbox) -> None:
        row = await self.one_of(outbox, DeliveryState.LEASED)
        if row is None:
            return
        attempt = row.attempts - (self.draw.random() < 0.1)  # somebody else may have it by now
        match self.draw.randrange(5):
            case 0:
                await outbox.succeed([(row.number, attempt), (row.number + 1, 1)], now=self.now)
            case 1:
                await outbox.fail(row.number, attempt, due_at=self.now + LEASE, reason="x", received=b"")
            case 2:
                await outbox.bury(row.number, attempt, now=self.now, reason="x", received=b"")
            case 3:
                await outbox.wait_for_reply(row.number, attempt, until=self.now + LEASE)
            case _:
                await outbox.renew(row.number, attempt, until=self.now + LEASE)

    async def answer(self, outbox: Outbox) -> None:
        row = await self.one_of(outbox, DeliveryState.AWAITING, DeliveryState.DEAD)
        if row is not None:
            await outbox.answer(row.number, now=self.now)

    async def expire(self, outbox: Outbox) -> None:
        await outbox.expire(now=self.now, reason="no reply", limit=2)

    async def abandon(self, outbox: Outbox) -> None:
        partner = self.draw.choice(PARTNERS)
        await outbox.abandon(partner, now=self.now, reason="gone", limit=self.draw.randrange(1, 4))

    async def resend(self, outbox: Outbox) -> None:
        row = await self.one_of(outbox, DeliveryState.DEAD, DeliveryState.WAITING)
        if row is not None:
            await outbox.resend(row.number, now=self.now)

    async def discard(self, outbox: Outbox) -> None:
        row = await self.one_of(outbox, DeliveryState.DEAD, DeliveryState.WAITING)
        if row is not None:
            await outbox.discard(row.number, now=self.now, reason="x")

    async def settle(self, outbox: Outbox) -> None:
        row = await self.one_of(outbox, DeliveryState.DEAD, DeliveryState.AWAITING)
        if row is not None:
            await outbox.settle(row.number, now=self.now, reason="x")

    async def purge(self, outbox: Outbox) -> None:
        await outbox.remove_ended(self.now - LEASE, limit=3)


@pytest.fixture
async def stores(store: Store, store_kind: str, store_url: str) -> AsyncIterator[tuple[Store, ...]]:
    """The store as two hubs have it; one alone where it is in the memory of one."""
    if store_kind == "memory":
        yield (store,)
        return
    other = await open_store(store_url)
    yield store, other
    await other.close()


async def work(transaction: Transaction, history: History) -> None:
    """A message: some steps, some of them in a part that may be undone."""
    for _ in range(history.draw.randrange(1, 4)):
        if history.draw.random() < 0.3:
            with suppress(UndoneError):
                async with transaction.savepoint():
                    await history.step(transaction.outbox)
                    if history.draw.random() < 0.3:
                        await require_counts(transaction.outbox)
                    if history.draw.random() < 0.5:
                        raise UndoneError
        await history.step(transaction.outbox)
    if history.draw.random() < 0.3:
        await require_counts(transaction.outbox)
    if history.draw.random() < 0.25:
        raise UndoneError


@pytest.mark.parametrize("seed", range(6))
async def test_kept_counts_are_what_a_count_would_be(stores: tuple[Store, ...], seed: int) -> None:
    """An operator who sees three dead letters where there are four does not look for the fourth."""
    history = History(seed)
    for _ in range(60):
        with suppress(UndoneError):
            async with history.draw.choice(stores).transaction() as transaction:
                await work(transaction, history)
        if history.draw.random() < 0.3:
            for store in stores:
                await require_counts(store.reader.outbox)
    for store in stores:
        await require_counts(store.reader.outbox)
    assert history.now > NOON


async def test_partners_that_have_everything_are_forgotten(store: Store) -> None:
    """Replies go to addresses that senders choose: what is long past must not be gone through with every look."""
    async with store.transaction() as transaction:
        outbox = transaction.outbox
        for number in range(3):
            await outbox.enqueue(a_delivery(partner=f"reply host{number}:80"))
            (one,) = await outbox.claim(f"reply host{number}:80", now=NOON, until=NOON + LEASE, limit=1)
            await outbox.succeed([(one.number, 1)], now=NOON)
        await outbox.enqueue(a_delivery())
    assert [one.partner for one in await store.reader.outbox.backlogs()] == ["GIS"]
    async with store.transaction() as transaction:
        assert await transaction.outbox.remove_ended(NOON + LEASE, limit=10) == 3
    assert [one.partner for one in await store.reader.outbox.backlogs()] == ["GIS"]
    assert msgspec.structs.asdict((await store.reader.outbox.backlogs())[0])["waiting"] == 1


LOOKS: dict[str, Callable[[Outbox], Awaitable[object]]] = {
    "backlogs": lambda outbox: outbox.backlogs(),
    "dead letters": lambda outbox: outbox.select(DeliverySelection(states=(DeliveryState.DEAD,), limit=20)),
    "newest": lambda outbox: outbox.select(
        DeliverySelection(states=(DeliveryState.DEAD, *OPEN), limit=20, newest_first=True)
    ),
    "a page of a partner": lambda outbox: outbox.select(
        DeliverySelection(partner="GIS", states=OPEN, limit=20, after=30)
    ),
    "giving up": lambda outbox: outbox.abandon("GIS", now=NOON, reason="gone", limit=1),
}


@pytest.mark.parametrize("store_kind", ["sqlite"])
@pytest.mark.parametrize("look", LOOKS)
async def test_a_look_costs_the_same_however_much_is_left(store: Store, look: str) -> None:
    """It is taken with every page and every few seconds, the most when the most waits. Counted in steps."""
    steps = []
    for count in (100, 4000):
        async with store.transaction() as transaction:
            for number in range(count):
                await transaction.outbox.enqueue(a_delivery(str(number)))
            for row in await transaction.outbox.claim("GIS", now=NOON, until=NOON + LEASE, limit=count // 2):
                await transaction.outbox.bury(row.number, 1, now=NOON, reason="x", received=b"")

        async def action() -> None:
            async with store.transaction() as transaction:
                await LOOKS[look](transaction.outbox)

        await action()
        steps.append(await steps_of(store, action))
    few, many = steps
    assert many <= 1.5 * few
