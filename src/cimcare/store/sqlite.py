"""The durable store on SQLite, with group commit.

One connection writes. Messages are worked on one after another inside one open transaction, each under a savepoint of
its own, so that one that fails is undone alone. A commit is scheduled with the first of them and runs when the event
loop has served all that was ready: many messages, one fsync. Only then are those who wait told that their work is on
disk.

Everything runs on the event loop, since handing work to a thread costs more than it wins. Another connection reads.
"""

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import sqlalchemy

from cimcare.exchange.outbox import Outbox, OutboxReader
from cimcare.exchange.ports import Records
from cimcare.exchange.store import Reader, StoreError, Transaction
from cimcare.store import migrations
from cimcare.store.errors import DatabaseError
from cimcare.store.sqlite_log import SqliteLog
from cimcare.store.sqlite_outbox import SqliteOutbox
from cimcare.store.sqlite_records import SqliteRecords
from cimcare.store.urls import shown_url

__all__ = ["DatabaseError", "SqliteStore", "open_reader", "path_of"]

_PREFIX = "sqlite:///"
_MEMORY = re.compile(r"^(:memory:|file:)?$")


def path_of(url: str) -> Path:
    """File that a URL names: `sqlite:///relative.db` or `sqlite:////absolute.db`.

    Raises:
        DatabaseError: The URL is of another kind.
    """
    name = url.removeprefix(_PREFIX)
    if not url.startswith(_PREFIX) or _MEMORY.match(name):
        raise DatabaseError(
            f"database {shown_url(url)!r} names no file of SQLite; accepted: sqlite:///name.db for a file in the"
            " working directory, sqlite:////path/name.db for one elsewhere, postgresql://user:password@host:port/name"
            " for PostgreSQL"
        )
    return Path(name)


class _Access:
    """Log and objects over one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.log = SqliteLog(connection)
        self.records: Records = SqliteRecords(connection)


class _Writing(_Access):
    """Log and objects inside the transaction that is open."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self._connection = connection

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """A part that can be undone alone. SQLite takes the innermost of several parts with one name."""
        self._connection.execute("SAVEPOINT part")
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:  # else the database has undone everything by itself
                self._connection.execute("ROLLBACK TO part")
                self._connection.execute("RELEASE part")
            raise
        self._connection.execute("RELEASE part")


class SqliteStore:
    """A store in one file. Make it with `open`; use it on one event loop."""

    def __init__(
        self, path: Path, writer: sqlite3.Connection, reader: sqlite3.Connection, on_commit: Callable[[int], None]
    ) -> None:
        self._path = path
        self._writer = writer
        self._reader = reader
        self._on_commit = on_commit
        self._written: Transaction = _Writing(writer)
        self._read: Reader = _Access(reader)
        self._outbox = SqliteOutbox(writer)
        self._outbox_reader = SqliteOutbox(reader)
        self._turn = asyncio.Lock()
        self._waiters: list[asyncio.Future[None]] = []
        self._is_flush_due = False
        self._is_closed = False

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
        try:
            writer = _connect(path, busy_timeout_seconds)
            try:
                _upgrade(path)
                reader = _connect(path, busy_timeout_seconds, read_only=True)
            except BaseException:
                writer.close()
                raise
        except (sqlite3.Error, sqlalchemy.exc.SQLAlchemyError) as error:
            raise _unusable(path, str(error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else error)) from error
        except migrations.UnknownRevisionError as error:
            raise _unusable(path, f"its tables are of revision {error}, which a later release wrote") from error
        return cls(path, writer, reader, on_commit)

    @property
    def reader(self) -> Reader:
        """What is committed, to be read."""
        return self._read

    @property
    def outbox_reader(self) -> OutboxReader:
        """The outbox, to be read: what is committed."""
        return self._outbox_reader

    def outbox_of(self, transaction: Transaction) -> Outbox:
        """The outbox, to be written within the transaction that is open."""
        assert transaction is self._written
        return self._outbox

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """One transaction, as `Store.transaction` promises. Commits together with its neighbours."""
        async with self._turn:
            if self._is_closed:
                raise StoreError(f"{self._path}: closed")
            try:
                self._begin()
                try:
                    yield self._written
                except BaseException:
                    self._undo()
                    raise
                self._writer.execute("RELEASE message")
            except sqlite3.Error as error:
                self._require_open()
                raise StoreError(f"{self._path}: {error}") from error
            finally:
                self._schedule_flush()
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
        await waiter

    async def close(self) -> None:
        """Commit what waits, move the log of writes into the file, close."""
        async with self._turn:
            if self._is_closed:
                return
            self._flush_now()
            self._is_closed = True
            with suppress(sqlite3.Error):  # another process may be reading; what is committed is safe all the same
                self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._reader.close()
            self._writer.close()

    def _begin(self) -> None:
        if not self._writer.in_transaction:
            self._writer.execute("BEGIN IMMEDIATE")
        self._writer.execute("SAVEPOINT message")

    def _undo(self) -> None:
        try:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK TO message")
                self._writer.execute("RELEASE message")
        except sqlite3.Error:
            self._writer.rollback()
        self._require_open()

    def _require_open(self) -> None:
        """Tell all who wait that their work is gone, if the database has undone the whole transaction by itself."""
        if not self._writer.in_transaction:
            self._settle(StoreError(f"{self._path}: undone by the database after an error of the disk"))

    def _schedule_flush(self) -> None:
        if not self._is_flush_due:
            self._is_flush_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flush_due = False
        if not self._turn.locked():  # else a message is half done; its end schedules the next flush
            self._flush_now()

    def _flush_now(self) -> None:
        if self._is_closed or not self._writer.in_transaction:
            return
        try:
            self._writer.execute("COMMIT")
        except sqlite3.Error as error:
            if self._writer.in_transaction:
                self._writer.rollback()
            self._settle(StoreError(f"{self._path}: {error}"))
        else:
            if self._waiters:
                self._on_commit(len(self._waiters))
            self._settle(None)

    def _settle(self, error: StoreError | None) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if waiter.done():  # nobody waits for it any more
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)


def open_reader(path: Path) -> tuple[Reader, Callable[[], None]]:
    """What is committed in the file, to be read from beside a running hub; and how to close it.

    Raises:
        DatabaseError: No such file, or no database of this release.
    """
    try:
        connection = _connect(path, 5.0, read_only=True)
        connection.execute("SELECT 1 FROM messages LIMIT 1")
    except sqlite3.Error as error:
        raise _unusable(path, str(error)) from error
    return _Access(connection), connection.close


def _connect(path: Path, busy_timeout_seconds: float, *, read_only: bool = False) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"
    connection = sqlite3.connect(
        uri, uri=True, timeout=busy_timeout_seconds, isolation_level=None, cached_statements=512
    )
    try:
        if not read_only:
            connection.execute("PRAGMA page_size = 16384")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA cache_size = -65536")
        if read_only:
            connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _upgrade(path: Path) -> None:
    engine = sqlalchemy.create_engine(sqlalchemy.URL.create("sqlite", database=str(path.absolute())))
    try:
        with engine.begin() as connection:
            migrations.upgrade(connection)
    finally:
        engine.dispose()


def _unusable(path: Path, reason: str) -> DatabaseError:
    return DatabaseError(
        f"database {path} cannot be used: {reason}. Accepted: a file that this user may write, in a folder that exists,"
        " made by this release or an earlier one"
    )
