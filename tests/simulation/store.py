"""The store as one process of the hub sees it: it takes its time, fails now and then, and ends with its process."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from cimcare.exchange.outbox import Priority
from cimcare.exchange.store import Reader, Store, StoreError, Transaction
from tests.simulation.plan import Storage

__all__ = ["ProcessStore"]


class _Access:
    """Hands calls on to a part of the store, each after a moment."""

    def __init__(self, target: object, moment: Callable[[], Awaitable[None]]) -> None:
        self._target = target
        self._moment = moment

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._target, name)

        async def call(*args: object, **options: object) -> object:
            await self._moment()
            return await method(*args, **options)

        setattr(self, name, call)
        return call


class _Parts:
    """A transaction or a reader whose parts take a moment each."""

    def __init__(self, target: Any, moment: Callable[[], Awaitable[None]]) -> None:
        self._target = target
        self.log = _Access(target.log, moment)
        self.records = _Access(target.records, moment)
        self.outbox = _Access(target.outbox, moment)
        self.ledger = _Access(target.ledger, moment)
        self.audit = _Access(target.audit, moment)

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        return self._target.savepoint()


class ProcessStore:
    """Implements `cimcare.exchange.store.Store` for one life of one process.

    After `die` nothing that the process does reaches the store: a transaction under way is undone, and no other begins.

    Args:
        inner: What the processes share.
        storage: How it behaves.
        chance: When it does so.
        troubled: Whether failures are still to happen.
    """

    def __init__(self, inner: Store, storage: Storage, chance: random.Random, troubled: Callable[[], bool]) -> None:
        self._inner = inner
        self._storage = storage
        self._chance = chance
        self._troubled = troubled
        self._is_dead = False
        self._reader: Reader = _Parts(inner.reader, self._moment) if storage.suspends else inner.reader

    def die(self) -> None:
        """The process is gone."""
        self._is_dead = True

    @property
    def reader(self) -> Reader:
        return self._reader

    @asynccontextmanager
    async def transaction(self, priority: Priority = Priority.NORMAL) -> AsyncIterator[Transaction]:
        self._require_life()
        await self._moment()
        self._may_fail("cannot be begun")
        async with self._inner.transaction(priority) as transaction:
            self._require_life()
            yield _Parts(transaction, self._moment) if self._storage.suspends else transaction
            self._require_life()
            await self._take_long()
            self._require_life()
            self._may_fail("cannot be made durable")
        await self._moment()  # it is durable, and whoever waits for it does not know that yet
        self._require_life()

    async def reclaim(self) -> None:
        await self._inner.reclaim()

    async def close(self) -> None:
        """The process is done with it; the others are not."""
        self.die()

    def _require_life(self) -> None:
        if self._is_dead:
            raise asyncio.CancelledError

    async def _moment(self) -> None:
        if self._storage.suspends:
            await asyncio.sleep(self._chance.choice((0, 0, 0.0005, 0.002)))

    async def _take_long(self) -> None:
        if not self._storage.suspends:
            await asyncio.sleep(0)
        if self._storage.slow and self._troubled() and self._chance.random() < self._storage.slow:
            await asyncio.sleep(self._chance.uniform(0, self._storage.slowest))

    def _may_fail(self, how: str) -> None:
        if self._storage.fails and self._troubled() and self._chance.random() < self._storage.fails / 2:
            raise StoreError(f"the database {how} (simulated)")
