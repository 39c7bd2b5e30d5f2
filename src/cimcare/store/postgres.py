"""The durable store on PostgreSQL, for several hubs on one database.

One connection of each hub writes. Messages are worked on one after another inside one database transaction, each under
a savepoint of its own, so that one that fails is undone alone; the transaction is committed when nobody waits for his
turn, or when it is long enough. Many messages, one fsync. It begins by taking a lock of the database, so that of all
hubs one writes at a time: a message sees everything that was done before it, and sequences rise in the order of
commits. Reads for console and command line go over connections of their own and wait for nobody.

What is new waits in memory until its batch is committed, so that all of it is written at once. Decisions 0030 and 0042
have the reasons.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import asyncpg
import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

from cimcare.exchange.audit import START, AuditReader
from cimcare.exchange.ledger import LedgerReader
from cimcare.exchange.log import MessageReader
from cimcare.exchange.outbox import OutboxReader, Priority
from cimcare.exchange.ports import Records
from cimcare.exchange.store import Reader, StoreError, Transaction
from cimcare.store import migrations
from cimcare.store.pending import Undoable
from cimcare.store.postgres_audit import PostgresAudit, PostgresAuditReader
from cimcare.store.postgres_ledger import PostgresLedger, PostgresLedgerReader
from cimcare.store.postgres_log import PostgresLog, PostgresLogReader
from cimcare.store.postgres_outbox import PostgresOutbox, PostgresOutboxReader
from cimcare.store.postgres_records import PostgresRecords
from cimcare.store.postgres_session import (
    LOCK,
    TROUBLE,
    Connection,
    Place,
    ReadingSession,
    Row,
    Session,
    Value,
    store_error,
)
from cimcare.store.turns import Turns

__all__ = ["PostgresStore", "open_postgres_reader"]

T = TypeVar("T")

_BEGIN = (
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;"  # so that each statement sees what others committed before it
    f" SELECT pg_advisory_xact_lock({LOCK}); SAVEPOINT message"
)
_NEXT = "RELEASE SAVEPOINT message; SAVEPOINT message"
_UNDO = "ROLLBACK TO SAVEPOINT message"
_PART = "SAVEPOINT part"
_UNDO_PART = "ROLLBACK TO SAVEPOINT part"
_KEEP_PART = "RELEASE SAVEPOINT part"
_FACTS = (
    "SELECT pg_current_xact_id()::text AS number, messages.last_value AS message, messages.is_called AS has_messages,"
    " deliveries.last_value AS delivery, deliveries.is_called AS has_deliveries, audit.number AS row, audit.hash"
    " FROM messages_sequence_seq AS messages CROSS JOIN deliveries_number_seq AS deliveries"
    " LEFT JOIN (SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1) AS audit ON true"
)
_GO_ON = "SELECT setval('{}', {}); "
_DURABLE = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
_END_REST = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE pid = $1 AND backend_xid = ($2::text::xid8)::xid AND pid <> pg_backend_pid()"
)
_BECAME = "SELECT pg_xact_status($1::text::xid8)"

_RECLAIM = (
    "SET vacuum_cost_delay = '2ms'",  # as gentle as what the server does by itself
    "VACUUM (ANALYZE, SKIP_LOCKED) messages, message_terms, deliveries, delivery_keys, backlogs, records, record_keys,"
    " ledger",
)

_MOST_TOGETHER = 64
"""Messages of one commit: more would make the other hubs wait."""

_LONGEST_SECONDS = 0.05
"""After this long a transaction takes no further message."""

_CLOSE_SECONDS = 5.0

_PAUSES_SECONDS = (0.0, 0.2, 1.0, 3.0)
"""Before each attempt to learn what became of a commit whose answer was lost."""

_LOST = (asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError, asyncpg.InterfaceError, ConnectionError)


class _Access:
    """What may be written together inside one database transaction, message by message."""

    def __init__(self, batch: "_Batch", facts: Row) -> None:
        self.records: Records = PostgresRecords(batch)
        self.outbox = PostgresOutbox(batch, last=facts["delivery"] if facts["has_deliveries"] else 0)
        self.log = PostgresLog(
            batch, last=facts["message"] if facts["has_messages"] else 0, write_outbox=self.outbox.write
        )
        self.ledger = PostgresLedger(batch, write_log=self.log.write)
        self.audit = PostgresAudit(batch, number=facts["row"] or 0, end=facts["hash"] or START)
        self._batch = batch
        self._pending: Sequence[Undoable] = (
            self.log.pending,
            self.outbox.pending,
            self.outbox.counts.pending,
            self.ledger.pending,
            self.audit.pending,
        )
        self.undo = self._mark()

    def begin(self) -> None:
        """A message begins: from now on `undo` forgets what was kept for it, which is undone in the database too."""
        self.log.sealing.clear()
        self.undo = self._mark()

    def seal(self) -> None:
        """A message ends: its row of the audit trail."""
        note = self.log.sealing.note()
        if note is not None:
            self.audit.put(note)

    async def write(self) -> None:
        """Write what is only in memory. Raises StoreError."""
        await self.log.write()
        await self.outbox.write()
        await self.ledger.write()
        await self.audit.write()

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """A part that can be undone alone. PostgreSQL takes the innermost of several parts with one name."""
        undo = self._mark()
        await self._batch.fetch(_PART)
        try:
            yield
        except BaseException:
            await _to_the_end(self._undo_part(undo))
            raise
        await self._batch.fetch(_KEEP_PART)

    async def _undo_part(self, undo: Callable[[], None]) -> None:
        await self._batch.fetch(_UNDO_PART)
        await self._batch.fetch(_KEEP_PART)
        undo()

    def _mark(self) -> Callable[[], None]:
        """What forgets all that is added from now on."""
        marks = [pending.mark() for pending in self._pending]
        sealed = self.log.sealing.mark()

        def undo() -> None:
            for pending, mark in zip(self._pending, marks, strict=True):
                pending.undo(mark)
            self.log.sealing.undo(sealed)

        return undo


class _ReadAccess:
    """What is committed, to be read."""

    def __init__(self, session: Session) -> None:
        self.log: MessageReader = PostgresLogReader(session)
        self.records: Records = PostgresRecords(session)
        self.outbox: OutboxReader = PostgresOutboxReader(session)
        self.ledger: LedgerReader = PostgresLedgerReader(session)
        self.audit: AuditReader = PostgresAuditReader(session)
        self._session = session

    async def version(self) -> str:
        """Which transactions that wrote have ended: of all databases of the server, since it numbers them together."""
        row = await self._session.fetch_one("SELECT pg_current_snapshot()::text AS version")
        assert row is not None
        return str(row["version"])


class _Batch:
    """One database transaction and the messages in it. `number` is PostgreSQL's for it."""

    def __init__(self, place: str, connection: Connection, facts: Row) -> None:
        self._place = place
        self.connection = connection
        self.number: str = facts["number"]
        self.process: int = connection.get_server_pid()
        self.access = _Access(self, facts)
        self.waiters: list[asyncio.Future[None]] = []
        self.begun_at = asyncio.get_running_loop().time()

    async def fetch(self, statement: str, *values: Value) -> list[Row]:
        """All rows. Raises StoreError."""
        try:
            return await self.connection.fetch(statement, *values)
        except TROUBLE as error:
            raise store_error(self._place, error) from error

    async def fetch_one(self, statement: str, *values: Value) -> Row | None:
        """The first row. Raises StoreError."""
        try:
            return await self.connection.fetchrow(statement, *values)
        except TROUBLE as error:
            raise store_error(self._place, error) from error

    async def copy(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Value, ...]]) -> None:
        """Write rows, all at once. Raises StoreError."""
        try:
            await self.connection.copy_records_to_table(table, records=rows, columns=list(columns))
        except TROUBLE as error:
            raise store_error(self._place, error) from error

    @property
    def commit(self) -> str:
        """Statements that move the sequences of the database on and commit."""
        log, outbox = self.access.log, self.access.outbox
        moved = [
            _GO_ON.format(name, part.last)
            for name, part in (("messages_sequence_seq", log), ("deliveries_number_seq", outbox))
            if part.pending
        ]
        return f"{''.join(moved)}COMMIT"

    def new_waiter(self) -> asyncio.Future[None]:
        """Done when the work of one more message is on disk, or lost."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter.add_done_callback(lambda one: one.cancelled() or one.exception())  # perhaps nobody waits any more
        self.waiters.append(waiter)
        return waiter

    @property
    def is_full(self) -> bool:
        """Whether it should end now."""
        age = asyncio.get_running_loop().time() - self.begun_at
        return len(self.waiters) >= _MOST_TOGETHER or age >= _LONGEST_SECONDS

    def settle(self, error: StoreError | None) -> None:
        """Tell all who wait what became of their work."""
        for waiter in self.waiters:
            if waiter.done():  # nobody waits for it any more
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)


class PostgresStore:
    """A store in one database. Make it with `open`; use it on one event loop."""

    def __init__(
        self,
        place: Place,
        connection: Connection,
        pool: "asyncpg.Pool[asyncpg.Record]",
        on_commit: Callable[[int], None],
    ) -> None:
        self._place = place
        self._connection: Connection | None = connection
        self._pool = pool
        self._on_commit = on_commit
        self._read = _ReadAccess(ReadingSession(place.shown, pool))
        self._turn = Turns()
        self._queued = 0
        self._batch: _Batch | None = None
        self._rest: tuple[int, str] | None = None
        self._left: set[asyncio.Task[None]] = set()
        self._is_closed = False

    @classmethod
    async def open(cls, url: str, *, on_commit: Callable[[int], None] = lambda _: None) -> "PostgresStore":
        """Open the database and bring its tables up to date where needed. Several hubs may do so at once.

        Args:
            url: As `postgresql://user:password@host:port/name`.
            on_commit: Told after each commit how many transactions it made durable.

        Raises:
            DatabaseError: No server or database there, no right to use it, or written by a later release.
        """
        place = Place(url)
        connection = await place.connect_first()
        try:
            await _upgrade(place)
            await connection.execute(_DURABLE)
            pool = place.pool()
            await pool
        except TROUBLE as error:
            connection.terminate()
            raise place.unusable(str(error)) from error
        except BaseException:
            connection.terminate()
            raise
        return cls(place, connection, pool, on_commit)

    @property
    def reader(self) -> Reader:
        """What is committed, to be read."""
        return self._read

    @asynccontextmanager
    async def transaction(self, priority: Priority = Priority.NORMAL) -> AsyncIterator[Transaction]:
        """One transaction, as `Store.transaction` promises. Commits together with its neighbours."""
        await self._take_turn(priority)
        try:
            if self._is_closed:
                raise StoreError(f"{self._place.shown}: closed")
            batch = await _to_the_end(self._begin())
            try:
                yield batch.access
            except BaseException:
                await _to_the_end(self._undo(batch))
                raise
            batch.access.seal()
            waiter = batch.new_waiter()
        finally:
            try:
                await _to_the_end(self._end_turn())
            finally:
                self._turn.release()
        await waiter

    async def reclaim(self) -> None:
        """Make the room of removed rows free for new ones, and give the end of the tables back to the disk.

        Neither readers nor writers wait for it.

        Raises:
            StoreError: The server cannot be reached, or refuses.
        """
        connection = await self._connect_beside()
        try:
            for statement in _RECLAIM:
                await connection.execute(statement)
        except TROUBLE as error:
            raise store_error(self._place.shown, error) from error
        finally:
            connection.terminate()

    async def _connect_beside(self) -> Connection:
        try:
            return await self._place.connect(statement_seconds=None)
        except TROUBLE as error:
            raise store_error(self._place.shown, error) from error

    async def close(self) -> None:
        """Commit what waits, and close."""
        await self._take_turn()
        try:
            if self._is_closed:
                return
            self._is_closed = True
            await _to_the_end(self._commit())
            # What is committed is safe; a server that does not say good-bye must not keep a hub from stopping.
            if self._connection is not None:
                with suppress(*TROUBLE):
                    await self._connection.close(timeout=_CLOSE_SECONDS)
            try:
                await asyncio.wait_for(self._pool.close(), _CLOSE_SECONDS)
            except TROUBLE:
                self._pool.terminate()
        finally:
            self._turn.release()

    # ---------------------------------------------------------------------------------------------- turns

    async def _take_turn(self, priority: Priority = Priority.NORMAL) -> None:
        self._queued += 1
        try:
            await self._turn.acquire(priority)
        except BaseException:
            if self._queued == 1:  # the one before left the commit to us
                task = asyncio.ensure_future(self._commit_what_was_left())
                self._left.add(task)
                task.add_done_callback(self._left.discard)
            raise
        finally:
            self._queued -= 1

    async def _commit_what_was_left(self) -> None:
        await self._turn.acquire()
        try:
            await self._end_turn()
        finally:
            self._turn.release()

    async def _end_turn(self) -> None:
        if self._batch is not None and (self._queued == 0 or self._batch.is_full):
            await self._commit()

    # --------------------------------------------------------------------------------- database transaction

    async def _begin(self) -> _Batch:
        """Begin a message: in the transaction that is open, or in a new one."""
        if self._batch is not None:
            try:
                await self._batch.connection.execute(_NEXT)
            except TROUBLE as error:
                self._lose(error)
        if self._batch is None:
            try:
                self._batch = await self._open_batch()
            except TROUBLE as error:
                raise store_error(self._place.shown, error) from error
        self._batch.access.begin()
        return self._batch

    async def _open_batch(self) -> _Batch:
        connection = self._connection
        if connection is not None and not connection.is_closed():
            try:
                return await self._start(connection)
            except _LOST:  # it was gone before anything was done over it
                pass
        self._connection = connection = await self._connect()
        return await self._start(connection)

    async def _connect(self) -> Connection:
        try:
            connection = await self._place.connect()
        except ValueError as error:
            raise StoreError(f"{self._place.shown}: the URL cannot be read") from error
        try:
            await connection.execute(_DURABLE)
            if self._rest is not None:
                await connection.fetch(_END_REST, *self._rest)
                self._rest = None
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _start(self, connection: Connection) -> _Batch:
        try:
            await connection.execute(_BEGIN)
            facts = await connection.fetchrow(_FACTS)
        except BaseException:
            connection.terminate()  # which gives the lock back, whatever the state is
            raise
        assert facts is not None
        return _Batch(self._place.shown, connection, facts)

    async def _undo(self, batch: _Batch) -> None:
        """Undo the message that failed. Its neighbours stay, unless the database cannot say so."""
        try:
            await batch.connection.execute(_UNDO)
        except TROUBLE as error:
            self._lose(error)
        else:
            batch.access.undo()

    def _lose(self, error: BaseException) -> None:
        """Give up the open transaction, which the database undoes."""
        batch = self._batch
        if batch is None:
            return
        self._batch = None
        self._rest = (batch.process, batch.number)
        batch.connection.terminate()
        batch.settle(error if isinstance(error, StoreError) else store_error(self._place.shown, error))

    async def _commit(self) -> None:
        batch = self._batch
        if batch is None:
            return
        if not batch.waiters:  # all were undone
            try:
                await batch.connection.execute("ROLLBACK")
                self._batch = None
            except TROUBLE as error:
                self._lose(error)
            return
        try:
            await batch.access.write()
        except StoreError as error:
            self._lose(error)
            return
        try:
            done = await batch.connection.execute(batch.commit)
        except TROUBLE as error:
            if isinstance(error, asyncpg.PostgresError) and not batch.connection.is_closed():
                self._lose(error)
            else:
                await self._learn(batch, error)
        else:
            if done == "COMMIT":
                self._succeed(batch)
            else:
                self._lose(StoreError(f"{self._place.shown}: undone by the database"))

    def _succeed(self, batch: _Batch) -> None:
        self._batch = None
        self._on_commit(len(batch.waiters))
        batch.settle(None)

    async def _learn(self, batch: _Batch, error: BaseException) -> None:
        """The answer to a commit was lost. The database knows what became of it, and nobody is told a guess."""
        batch.connection.terminate()
        for pause in _PAUSES_SECONDS:
            await asyncio.sleep(pause)
            try:
                became = await self._ask(batch)
            except (*TROUBLE, StoreError):
                continue
            if became == "committed":
                self._succeed(batch)
            else:
                self._lose(error)
            return
        self._batch = None
        self._rest = (batch.process, batch.number)
        batch.settle(
            StoreError(
                f"{self._place.shown}: the connection was lost during the commit and the server does not answer;"
                " whether the message was kept is unknown. The same message with the same MessageID has one effect"
            )
        )

    async def _ask(self, batch: _Batch) -> str | None:
        """What became of a transaction, once nothing of it is under way any more."""
        self._rest = (batch.process, batch.number)
        self._connection = connection = await self._connect()
        try:
            await connection.execute(_BEGIN)  # the lock is free when the transaction has ended, either way
            became: str | None = await connection.fetchval(_BECAME, batch.number)
            await connection.execute("ROLLBACK")
        except BaseException:
            connection.terminate()
            raise
        return became


async def _to_the_end(work: Coroutine[object, object, T]) -> T:
    """Do the work even if who waits for it is cancelled meanwhile; then the cancellation goes on.

    A transaction that others have a part in must not be left in a state that nobody knows.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # seen, so that nothing complains of it
        raise


@asynccontextmanager
async def open_postgres_reader(url: str) -> AsyncIterator[Reader]:
    """What is committed in the database, to be read from beside running hubs.

    Raises:
        DatabaseError: No such database, or none of a hub.
    """
    place = Place(url)
    connection = await place.connect_first()
    try:
        await connection.execute("SELECT 1 FROM backlogs LIMIT 1")  # the youngest table
    except TROUBLE as error:
        raise place.unusable(str(error)) from error
    finally:
        connection.terminate()
    async with place.pool() as pool:
        yield _ReadAccess(ReadingSession(place.shown, pool))


async def _upgrade(place: Place) -> None:
    def upgrade_alone(connection: sqlalchemy.Connection) -> None:
        # Of hubs that start together one upgrades, and none writes meanwhile.
        connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
        migrations.upgrade(connection)

    async def connect_patiently() -> Connection:
        return await place.connect(statement_seconds=None)  # a large table takes its time

    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=connect_patiently, poolclass=sqlalchemy.pool.NullPool
    )
    try:
        async with engine.begin() as connection:
            await connection.run_sync(upgrade_alone)
    except sqlalchemy.exc.DBAPIError as error:
        raise place.unusable(str(error.orig)) from error
    except migrations.UnknownRevisionError as error:
        raise place.unusable(f"its tables are of revision {error}, which a later release wrote") from error
    finally:
        await engine.dispose()
