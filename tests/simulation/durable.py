"""What survives the processes of a run: the store in memory, or a file of SQLite.

Each process opens it for itself, and leaves it in the middle of whatever it does.
"""

import asyncio
import contextvars
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from cimcare.exchange.store import Reader, Store, StoreError
from cimcare.store.memory import MemorySnapshot, MemoryStore
from cimcare.store.sqlite import SqliteStore
from tests.simulation.plan import Storage

__all__ = ["DURABLES", "Durable", "MemoryDurable", "SqliteDurable"]


class Durable(Protocol):
    """What is durable, and who may use it. Where it does not fail by itself, `ProcessStore` does."""

    fails_by_itself: bool

    def begin(self, storage: Storage, chance: random.Random, troubled: Callable[[], bool]) -> None:
        """A run begins: how the store behaves, by whose chance, and whether it may still fail."""
        ...

    def open(self) -> Store:
        """The store for one process."""
        ...

    def abandon(self, store: Store) -> None:
        """The process that had opened it is gone."""
        ...

    def lose_power(self) -> None:
        """All processes are gone, and with them whatever is not durable."""
        ...

    @property
    def reader(self) -> Reader:
        """What is committed, for who watches."""
        ...

    @property
    def writer(self) -> Store:
        """The store for an operator."""
        ...

    def close(self) -> None:
        """Nobody needs it any more."""
        ...


class MemoryDurable:
    """The store in memory, which all processes share as they would share a server: it lives while one of them does.

    It fails and takes its time by itself, for all whose work it makes durable together.
    """

    fails_by_itself = True

    def __init__(self) -> None:
        self._world = contextvars.copy_context()
        self._users = 0
        self._storage = Storage()
        self._chance = random.Random()
        self._troubled: Callable[[], bool] = lambda: False
        self._store = self._make(None)

    def begin(self, storage: Storage, chance: random.Random, troubled: Callable[[], bool]) -> None:
        self._storage, self._chance, self._troubled = storage, chance, troubled

    def open(self) -> Store:
        self._users += 1
        return self._store

    def abandon(self, store: Store) -> None:
        self._users -= 1
        if not self._users:
            self.lose_power()

    def lose_power(self) -> None:
        self._users = 0
        self._store = self._make(self._store.snapshot())

    @property
    def reader(self) -> Reader:
        return self._store.reader

    @property
    def writer(self) -> Store:
        return self._store

    def close(self) -> None:
        pass

    def _make(self, snapshot: MemorySnapshot | None) -> "_SharedMemory":
        return _SharedMemory(world=self._world, fault=self._fail, disk=self._wait, snapshot=snapshot)

    def _fail(self, step: str) -> None:
        storage = self._storage
        part = storage.fails if step != "write" else storage.fails / 20
        if part and self._troubled() and self._chance.random() < part:
            raise StoreError(f"memory: {step} failed (simulated)")

    async def _wait(self) -> None:
        storage = self._storage
        await asyncio.sleep(0)
        if storage.slow and self._troubled() and self._chance.random() < storage.slow:
            await asyncio.sleep(self._chance.uniform(0, storage.slowest))


class _SharedMemory(MemoryStore):
    """A store whose commits are made by the world, and do not end with the process that had part in them."""

    def __init__(self, *, world: contextvars.Context, **options: Any) -> None:
        super().__init__(**options)
        self._world = world

    def _new_waiter(self) -> asyncio.Future[None]:
        return self._world.run(super()._new_waiter)


class SqliteDurable:
    """A file, which each process opens for itself. The file with empty tables is made once."""

    fails_by_itself = False
    _empty: bytes = b""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="simulation-"))
        self._path = self._folder / "hub.db"
        if not SqliteDurable._empty:
            store = SqliteStore.open(self._path)
            _leave(store)
            SqliteDurable._empty = self._path.read_bytes()
        self._path.write_bytes(SqliteDurable._empty)
        self._watcher = SqliteStore.open(self._path)

    def begin(self, storage: Storage, chance: random.Random, troubled: Callable[[], bool]) -> None:
        pass

    def open(self) -> Store:
        store = SqliteStore.open(self._path, busy_timeout_seconds=0)
        store._busy_timeout_seconds = 5.0  # on the loop's clock from here on
        return store

    def abandon(self, store: Store) -> None:
        assert isinstance(store, SqliteStore)
        _leave(store)

    def lose_power(self) -> None:
        pass

    @property
    def reader(self) -> Reader:
        return self._watcher.reader

    @property
    def writer(self) -> Store:
        return self._watcher

    def close(self) -> None:
        _leave(self._watcher)
        shutil.rmtree(self._folder)


DURABLES: dict[str, Callable[[], Durable]] = {"memory": MemoryDurable, "sqlite": SqliteDurable}
"""All of them, by the name of the store."""


def _leave(store: SqliteStore) -> None:
    """Close the connections as the end of a process does: what is not committed is undone."""
    store._is_closed = True
    store._reader.close()
    store._writer.close()
