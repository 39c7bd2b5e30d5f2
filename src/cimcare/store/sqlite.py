"""The durable store on SQLite, with group commit.

One connection writes. Messages are worked on one after another inside one open transaction, each under a savepoint of
its own, so that one that fails is undone alone. A commit is scheduled with the first of them and runs when a round of
the event loop brought no further one, or when the transaction is long enough: many messages, one fsync. Only then are
those who wait told that their work is on disk.

All this runs on the event loop, since handing work to a thread costs more than it wins. Another connection reads, and a
third moves what was committed from SQLite's log of writes into the file, in a thread (`store/sqlite_checkpoints.py`).
Several processes may use one file. Who finds it in use looks again after a moment, without holding up its loop; who
has written for a while lets one that waits go first (`store/sqlite_next.py`). Decisions 0041 and 0138 have the reasons.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import ExitStack, asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

from cimcare.exchange.log import MessageReader
from cimcare.exchange.outbox import Priority
from cimcare.exchange.ports import Records
from cimcare.exchange.store import Reader, StoreError, Transaction
from cimcare.store.pending import Pending
from cimcare.store.remembering import RememberingRecords
from cimcare.store.sealing import Sealing
from cimcare.store.sqlite_audit import SqliteAudit, SqliteAuditReader
from cimcare.store.sqlite_checkpoints import Checkpoints
from cimcare.store.sqlite_file import connect_mover, connect_reader, connect_writer, path_of, upgrade
from cimcare.store.sqlite_ledger import SqliteLedger, SqliteLedgerReader
from cimcare.store.sqlite_log import SqliteLog, SqliteLogReader
from cimcare.store.sqlite_next import NextTurn
from cimcare.store.sqlite_outbox import SqliteOutbox, SqliteOutboxReader
from cimcare.store.sqlite_records import SqliteRecords, SqliteRow
from cimcare.store.sqlite_session import (
    Session,
    WritingSession,
    is_busy,
    objects_version,
    raise_objects_version,
    store_error,
)
from cimcare.store.turns import Turns

__all__ = ["SqliteStore", "open_reader", "path_of"]

_LONGEST_SECONDS = 0.1
"""After this long a transaction takes no further message."""

_ROW_SECONDS = 0.25
"""After this long a row of transactions makes room for another process. Each change of turns costs both what they have
in memory of the file."""

_PATIENCE_SECONDS = 0.5
"""So long others wait for who has claimed to be the next one: longer than a row of a third one takes."""

_LOOK_SECONDS = 0.001
"""How often a process that waits looks whether the file is free."""

_BYTES_TOGETHER = 1 << 20
"""Free pages given back at once."""

_INCREMENTAL = 2

_UNKNOWN = -1
"""No version of the objects."""


class _Reading:
    """What is committed, over a connection that reads."""

    def __init__(self, session: Session) -> None:
        self.log: MessageReader = SqliteLogReader(session)
        self.records: Records = SqliteRecords(session)
        self.outbox = SqliteOutboxReader(session)
        self.ledger = SqliteLedgerReader(session)
        self.audit = SqliteAuditReader(session)
        self._session = session

    async def version(self) -> str:
        """What SQLite counts for this connection: it is another number when any other connection has committed."""
        return str(self._session.one("PRAGMA data_version")[0])


class _Writing:
    """All that may be written, inside the transaction that is open."""

    def __init__(self, session: WritingSession) -> None:
        self._session = session
        self._sealing = Sealing()
        self.records: RememberingRecords[SqliteRow] = RememberingRecords(SqliteRecords(session))
        self.outbox = SqliteOutbox(session)
        self.log = SqliteLog(session, self._sealing, self.outbox.write)
        self.ledger = SqliteLedger(session)
        self.audit = SqliteAudit(session)
        self._pending: tuple[Pending[Any], ...] = (
            self.log.pending,
            self.outbox.pending,
            self.outbox.counts.pending,
            self.ledger.pending,
            self.audit.pending,
        )
        self._objects = _UNKNOWN
        self._raised = _UNKNOWN
        self._undo_message = self._mark()

    def begin(self) -> None:
        """A message begins."""
        self._session.run("SAVEPOINT message")
        self.records.begin()
        self._sealing.clear()
        self._undo_message = self._mark()

    def end(self) -> None:
        """A message ends: what was kept is sealed."""
        self.records.end()
        self.outbox.let_go()
        note = self._sealing.note()
        if note is not None:
            self.audit.put(note)
        self._session.run("RELEASE message")

    def write(self) -> None:
        """Give the database what waits in memory for the commit."""
        _at_once(self.records.write())
        if self.records.has_written:
            self._raised = raise_objects_version(self._session)
        self.log.write()
        self.outbox.write()
        self.ledger.write()
        self.audit.write()

    def undo(self) -> None:
        """What was done for a message was undone in the database."""
        self._undo_message()

    def note_end(self) -> None:
        """A transaction of the database was committed."""
        if self._raised != _UNKNOWN:
            self._objects, self._raised = self._raised, _UNKNOWN
        self.records.note_end()
        self._forget_ends()

    def note_others(self, objects: int) -> None:
        """Others have written. Objects are remembered if theirs is the version that is known here."""
        if objects != self._objects:
            self.records.forget()
            self._objects = objects
        self.outbox.drop_ended()
        self._forget_ends()

    def forget(self) -> None:
        """The database has undone everything."""
        self._objects = self._raised = _UNKNOWN  # whatever it says of a commit that failed
        self.records.forget()
        self.outbox.drop_ended()
        self._forget_ends()

    def _forget_ends(self) -> None:
        for pending in self._pending:
            pending.clear()
        self.outbox.forget_last()
        self.audit.forget_end()

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """A part that can be undone alone. SQLite takes the innermost of several parts with one name."""
        self.outbox.let_go()
        undo = self._mark()
        self._session.run("SAVEPOINT part")
        try:
            yield
        except BaseException:
            if self._session.connection.in_transaction:  # else the database has undone everything by itself
                self._session.run("ROLLBACK TO part")
                self._session.run("RELEASE part")
            undo()
            raise
        self._session.run("RELEASE part")

    def _mark(self) -> Callable[[], None]:
        """What forgets all that is added from now on, which is undone in the database too."""
        marks = [pending.mark() for pending in self._pending]
        sealed, saved = self._sealing.mark(), self.records.mark()

        def undo() -> None:
            for pending, mark in zip(self._pending, marks, strict=True):
                pending.undo(mark)
            self._sealing.undo(sealed)
            self.records.undo(saved)
            self.outbox.drop_ended()
            self.outbox.forget_last()

        return undo


class SqliteStore:
    """A store in one file. Make it with `open`; use it on one event loop."""

    def __init__(
        self,
        path: Path,
        writer: sqlite3.Connection,
        reader: sqlite3.Connection,
        mover: sqlite3.Connection,
        next_turn: NextTurn,
        busy_timeout_seconds: float,
        on_commit: Callable[[int], None],
    ) -> None:
        self._path = path
        self._writer = writer
        self._reader = reader
        self._busy_timeout_seconds = busy_timeout_seconds
        self._on_commit = on_commit
        self._written = _Writing(WritingSession(path, writer))
        self._read: Reader = _Reading(Session(path, reader))
        self._turns = Turns()
        self._next = next_turn
        self._checkpoints = Checkpoints(writer, mover)
        self._waiters: list[asyncio.Future[None]] = []
        self._begun_at = self._turn_at = float("-inf")
        self._is_flush_due = False
        self._is_closed = False
        self._version = -1

    @classmethod
    def open(
        cls, path: Path, *, busy_timeout_seconds: float = 5.0, on_commit: Callable[[int], None] = lambda _: None
    ) -> "SqliteStore":
        """Open the file; create it and bring its tables up to date where needed.

        Args:
            path: The file; its folder must exist.
            busy_timeout_seconds: How long to wait for another process that writes, zero or more.
            on_commit: Told after each commit how many transactions it made durable.

        Raises:
            DatabaseError: No database, not writable, locked, or written by a later release.
        """
        with ExitStack() as opened:
            writer = opened.enter_context(closing(connect_writer(path, busy_timeout_seconds)))
            next_turn = opened.enter_context(closing(NextTurn(path)))
            upgrade(path, busy_timeout_seconds)
            mover = opened.enter_context(closing(connect_mover(path)))
            reader = opened.enter_context(closing(connect_reader(path)))
            opened.pop_all()  # they are the store's from here on
        return cls(path, writer, reader, mover, next_turn, busy_timeout_seconds, on_commit)

    @property
    def reader(self) -> Reader:
        """What is committed, to be read."""
        return self._read

    @asynccontextmanager
    async def transaction(self, priority: Priority = Priority.NORMAL) -> AsyncIterator[Transaction]:
        """One transaction, as `Store.transaction` promises. Commits together with its neighbours."""
        async with self._turn(priority):
            await self._begin()
            self._written.begin()
            try:
                yield self._written
                self._written.end()
            except BaseException:
                self._undo()
                raise
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
        await waiter

    async def reclaim(self) -> None:
        """Give free pages back to the disk. A file of an early release keeps them, and uses them again."""
        while await self._give_back_some():
            pass
        async with self._turn(Priority.NORMAL):
            self._flush_now()
            with suppress(sqlite3.Error):  # somebody reads; the next commits do it bit by bit
                self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    async def close(self) -> None:
        """Commit what waits, move the log of writes into the file, close."""
        await self._turns.acquire()
        try:
            if self._is_closed:
                return
            self._flush_now()
            self._is_closed = True
            await self._checkpoints.close()
            with suppress(sqlite3.Error):  # another process may be reading; what is committed is safe all the same
                self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._reader.close()
            self._writer.close()
            self._next.close()
        finally:
            self._turns.release()

    # ------------------------------------------------------------------------------------------------ turns

    @asynccontextmanager
    async def _turn(self, priority: Priority) -> AsyncIterator[None]:
        """The turn to write. Whatever becomes of it, what others left to be committed will be."""
        try:
            await self._turns.acquire(priority)
        except BaseException:
            self._schedule_flush()
            raise
        try:
            if self._is_closed:
                raise StoreError(f"{self._path}: closed")
            yield
        finally:
            if asyncio.get_running_loop().time() - self._begun_at >= _LONGEST_SECONDS:
                self._flush_now()
            else:
                self._schedule_flush()
            self._turns.release()

    async def _begin(self) -> None:
        """Begin a transaction of the database if none is open, when no other process has one."""
        if self._writer.in_transaction:
            return
        loop = asyncio.get_running_loop()
        if loop.time() - self._turn_at >= _ROW_SECONDS or not self._try_to_begin(is_last_try=False):
            await self._take_turn(loop)
            self._turn_at = loop.time()
        self._begun_at = loop.time()
        self._look_for_others()

    async def _take_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin a transaction of the database as the next one, behind who has claimed that before."""
        began = loop.time()
        is_next = False
        try:
            while True:
                now = loop.time()
                is_next = is_next or self._next.claim()
                is_last_try = now - began >= self._busy_timeout_seconds
                if (is_next or is_last_try or now - began >= _PATIENCE_SECONDS) and self._try_to_begin(
                    is_last_try=is_last_try
                ):
                    return
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            if is_next:
                self._next.let_go()

    def _try_to_begin(self, *, is_last_try: bool) -> bool:
        try:
            self._writer.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            if is_last_try or not is_busy(error):
                raise store_error(self._path, error) from error
            return False
        return True

    def _look_for_others(self) -> None:
        """What is remembered holds as long as no other process has written: the file has another version then.

        Objects hold for longer, until another process has written objects.
        """
        try:
            version: int = self._writer.execute("PRAGMA data_version").fetchone()[0]
            if version == self._version:
                return
            objects = objects_version(self._writer)
        except sqlite3.Error as error:
            self._writer.rollback()
            raise store_error(self._path, error) from error
        self._version = version
        self._written.note_others(objects)

    def _undo(self) -> None:
        """Undo the message that failed. Its neighbours stay, unless the database has undone everything."""
        try:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK TO message")
                self._writer.execute("RELEASE message")
            self._written.undo()
        except sqlite3.Error:
            self._writer.rollback()
        if not self._writer.in_transaction:
            self._written.forget()
            self._settle(StoreError(f"{self._path}: undone by the database after an error of the disk"))

    # ---------------------------------------------------------------------------------------------- commits

    def _schedule_flush(self) -> None:
        if not self._is_flush_due:
            self._is_flush_due = True
            asyncio.get_running_loop().call_soon(self._flush, 0)

    def _flush(self, known: int) -> None:
        """Commit once a round of the loop has brought nobody who waits, of whom `known` were there before it."""
        self._is_flush_due = False
        if self._turns.locked():  # a message is half done; its end schedules the next flush
            return
        loop = asyncio.get_running_loop()
        if len(self._waiters) > known and loop.time() - self._begun_at < _LONGEST_SECONDS:
            self._is_flush_due = True
            loop.call_soon(self._flush, len(self._waiters))
        else:
            self._flush_now()

    def _flush_now(self) -> None:
        if self._is_closed or not self._writer.in_transaction:
            return
        try:
            self._commit()
        except StoreError as error:
            self._settle(error)
        else:
            if self._waiters:
                self._on_commit(len(self._waiters))
            self._settle(None)
            self._checkpoints.note_commit()

    def _commit(self) -> None:
        """Commit; what cannot be committed is undone."""
        try:
            self._written.write()
            self._writer.execute("COMMIT")
            self._written.note_end()
        except (sqlite3.Error, StoreError) as error:
            if self._writer.in_transaction:
                self._writer.rollback()
            self._written.forget()
            raise store_error(self._path, error) if isinstance(error, sqlite3.Error) else error from error

    def _settle(self, error: StoreError | None) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if waiter.done():  # nobody waits for it any more
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)

    # -------------------------------------------------------------------------------------------- free pages

    async def _give_back_some(self) -> bool:
        """Cut some free pages off the file; whether there may be more."""
        async with self._turn(Priority.NORMAL):
            self._flush_now()
            await self._begin()
            session = Session(self._path, self._writer)
            try:
                free: int = session.one("PRAGMA freelist_count")[0]
                if free and session.one("PRAGMA auto_vacuum")[0] == _INCREMENTAL:
                    together = _BYTES_TOGETHER // session.one("PRAGMA page_size")[0]
                    for _ in range(min(free, together)):  # the driver makes one step of it, which is one page
                        session.run("PRAGMA incremental_vacuum(1)")
                left: int = session.one("PRAGMA freelist_count")[0]
            except StoreError:
                self._writer.rollback()
                self._written.forget()
                raise
            self._commit()
        return 0 < left < free


def _at_once(work: Coroutine[object, object, None]) -> None:
    """Do work that never waits, without the loop. That of SQLite does not, since its statements end where they run."""
    try:
        work.send(None)
    except StopIteration:
        return
    raise AssertionError("what is written to SQLite waits for nobody")


def open_reader(path: Path) -> tuple[Reader, Callable[[], None]]:
    """What is committed in the file, to be read from beside a running hub; and how to close it.

    Raises:
        DatabaseError: No such file, or no database of this release.
    """
    connection = connect_reader(path)
    return _Reading(Session(path, connection)), connection.close
