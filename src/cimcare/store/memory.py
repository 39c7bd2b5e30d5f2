"""The store in memory: the reference of what a store promises, held to the same tests as the others.

It is durable as far as a test or a simulation says so. What a transaction changed is worked on at once and noted in a
journal; a commit, which a hook may hold up or refuse, repeats the journal in the tables of what is committed. Those are
what readers see and what a snapshot holds. Nothing survives the process. Frozen values are handed out as they are.

Nothing here asks for the time or for chance, so the same course of events has the same result.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from cimcare.exchange.outbox import Priority
from cimcare.exchange.ports import Records
from cimcare.exchange.store import Reader, StoreError, Transaction
from cimcare.store.memory_audit import MemoryAudit, MemoryAuditReader
from cimcare.store.memory_ledger import MemoryLedger, MemoryLedgerReader
from cimcare.store.memory_log import MemoryLog, MemoryLogReader
from cimcare.store.memory_outbox import MemoryOutbox, MemoryOutboxReader
from cimcare.store.memory_records import MemoryRecords, MemoryRecordsReader
from cimcare.store.memory_tables import Journal, MemorySnapshot, Tables
from cimcare.store.sealing import Sealing
from cimcare.store.turns import Turns

__all__ = ["URL", "MemoryRecords", "MemorySnapshot", "MemoryStore"]

URL = "memory:"
"""What names such a store where a URL of a database is asked for."""


class _Reading:
    """What is committed."""

    def __init__(self, tables: Tables) -> None:
        self.log = MemoryLogReader(tables)
        self.records: Records = MemoryRecordsReader(tables)
        self.outbox = MemoryOutboxReader(tables)
        self.ledger = MemoryLedgerReader(tables)
        self.audit = MemoryAuditReader(tables)
        self.commits = 0

    async def version(self) -> str:
        """How many commits there were."""
        return str(self.commits)


class _Writing:
    """All that may be written, inside the transaction that is open."""

    def __init__(self, committed: Tables, journal: Journal) -> None:
        tables = Tables()
        tables.follow(journal, committed)
        self._journal = journal
        self._sealing = Sealing()
        self.log = MemoryLog(tables, self._sealing)
        self.records: Records = MemoryRecords(tables)
        self.outbox = MemoryOutbox(tables)
        self.ledger = MemoryLedger(tables)
        self.audit = MemoryAudit(tables)

    @contextmanager
    def message(self) -> Iterator[None]:
        """A message: what it kept is sealed at its end, and undone if it fails."""
        mark = self._journal.mark()
        self._sealing.clear()
        try:
            yield
            note = self._sealing.note()
            if note is not None:
                self.audit.put(note)
        except BaseException:
            self._journal.undo(mark)
            raise

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """A part that can be undone alone."""
        mark, sealed = self._journal.mark(), self._sealing.mark()
        try:
            yield
        except BaseException:
            self._journal.undo(mark)
            self._sealing.undo(sealed)
            raise


async def _at_once() -> None:
    """A disk that takes no time."""


class MemoryStore:
    """A store in memory. Use it on one event loop.

    Args:
        on_commit: Told after each commit how many transactions it made durable.
        fault: Told `begin` before each transaction, `write` before each change of a row and `commit` before each
            commit. A StoreError or OSError from it fails that step, as an error of a database would.
        disk: Awaited by each commit before its work counts as committed. A StoreError or OSError from it fails the
            commit; while it does not end, nothing else is written.
        snapshot: What is committed at the beginning.
    """

    def __init__(
        self,
        *,
        on_commit: Callable[[int], None] = lambda _: None,
        fault: Callable[[str], None] | None = None,
        disk: Callable[[], Awaitable[None]] = _at_once,
        snapshot: MemorySnapshot | None = None,
    ) -> None:
        self._on_commit = on_commit
        self._fault = fault
        self._disk = disk
        self._committed = Tables()
        if snapshot is not None:
            self._committed.fill(snapshot)
        self._journal = Journal(self._fail)
        self._written = _Writing(self._committed, self._journal)
        self._read = _Reading(self._committed)
        self._turns = Turns()
        self._waiters: list[asyncio.Future[None]] = []
        self._committing: asyncio.Task[None] | None = None
        self._is_commit_due = False
        self._is_closed = False

    @classmethod
    def from_snapshot(
        cls,
        snapshot: MemorySnapshot,
        *,
        on_commit: Callable[[int], None] = lambda _: None,
        fault: Callable[[str], None] | None = None,
        disk: Callable[[], Awaitable[None]] = _at_once,
    ) -> "MemoryStore":
        """A store that goes on from what another had committed, as after a crash."""
        return cls(on_commit=on_commit, fault=fault, disk=disk, snapshot=snapshot)

    def snapshot(self) -> MemorySnapshot:
        """What is committed now, and nothing else. Later changes do not touch it."""
        return self._committed.snapshot()

    @property
    def reader(self) -> Reader:
        """What is committed, to be read."""
        return self._read

    @asynccontextmanager
    async def transaction(self, priority: Priority = Priority.NORMAL) -> AsyncIterator[Transaction]:
        """One transaction, as `Store.transaction` promises. Commits together with its neighbours."""
        await self._turns.acquire(priority)
        try:
            if self._is_closed:
                raise StoreError("memory: closed")
            self._fail("begin")
            with self._written.message():
                yield self._written
            waiter = self._new_waiter()
        finally:
            self._turns.release()
        await waiter

    async def reclaim(self) -> None:
        """Nothing is to be done: the memory of what was removed is free at once."""

    async def close(self) -> None:
        """Commit what waits, and close."""
        await self._turns.acquire(Priority.HAZARD)
        try:
            await self._commit()
            self._is_closed = True
        finally:
            self._turns.release()
        if self._committing is not None:
            await self._committing

    # ---------------------------------------------------------------------------------------------- commits

    def _new_waiter(self) -> asyncio.Future[None]:
        """Done when the work of one more transaction is committed, or lost."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        if not self._is_commit_due:
            self._is_commit_due = True
            self._committing = asyncio.create_task(self._commit_together())
        return waiter

    async def _commit_together(self) -> None:
        """Commit what was done when the turn comes: all who were ready in the meantime have their part in it."""
        await self._turns.acquire(Priority.HAZARD)
        try:
            self._is_commit_due = False
            await self._commit()
        finally:
            self._turns.release()

    async def _commit(self) -> None:
        waiters, self._waiters = self._waiters, []
        if not waiters:
            return
        try:
            self._fail("commit")
            await self._disk()
        except (StoreError, OSError) as error:
            self._journal.undo(0)
            for waiter in waiters:
                if not waiter.done():  # else nobody waits for it any more
                    waiter.set_exception(_store_error(error))
        except BaseException:  # the process ends, and nobody is told anything
            self._journal.undo(0)
            for waiter in waiters:
                waiter.cancel()
            raise
        else:
            self._journal.repeat()
            self._read.commits += 1
            self._on_commit(len(waiters))
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def _fail(self, step: str) -> None:
        if self._fault is not None:
            try:
                self._fault(step)
            except OSError as error:
                raise _store_error(error) from error


def _store_error(error: StoreError | OSError) -> StoreError:
    return error if isinstance(error, StoreError) else StoreError(f"memory: {error}")
