"""Files of SQLite: which one a URL names, opening it, and bringing its tables up to date."""

import re
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import sqlalchemy

from cimcare.store import migrations
from cimcare.store.errors import DatabaseError
from cimcare.store.sqlite_checkpoints import AT_LATEST_BYTES
from cimcare.store.sqlite_session import is_busy, version_after
from cimcare.store.urls import shown_url

__all__ = ["connect_mover", "connect_reader", "connect_writer", "path_of", "upgrade"]

T = TypeVar("T")

_PREFIX = "sqlite:///"
_MEMORY = re.compile(r"^(:memory:|file:)?$")
_CACHE = "PRAGMA cache_size = -65536"  # KiB
_PAUSE_SECONDS = 0.005
_READER_SECONDS = 5.0


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
            " for PostgreSQL, memory: for a database that ends with the process"
        )
    return Path(name)


def connect_writer(path: Path, busy_timeout_seconds: float) -> sqlite3.Connection:
    """A connection that may write, to a file that is created where needed. It never waits for another process itself.

    Raises:
        DatabaseError: No database, not writable, or locked for longer than that.
    """

    def connect() -> sqlite3.Connection:
        connection = _connect(path, "rwc", 0.0)
        try:
            connection.execute(_CACHE)
            if connection.execute("PRAGMA page_count").fetchone()[0] == 0:  # afterwards they cannot be chosen any more
                connection.execute("PRAGMA page_size = 4096")
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA temp_store = MEMORY")  # of pages as they were before a message that may fail
            (page,) = connection.execute("PRAGMA page_size").fetchone()
            connection.execute(f"PRAGMA wal_autocheckpoint = {AT_LATEST_BYTES // page}")
            connection.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            connection.close()
            raise
        return connection

    try:
        return _patiently(connect, busy_timeout_seconds)
    except sqlite3.Error as error:
        raise _unusable(path, str(error)) from error


def connect_mover(path: Path) -> sqlite3.Connection:
    """A connection for a thread that moves the log of writes into the file.

    Raises:
        DatabaseError: No such file, or no database.
    """
    try:
        connection = _connect(path, "rw", 0.0, is_for_a_thread=True)
        connection.execute("PRAGMA synchronous = FULL")  # the file is on disk before the log begins anew
        return connection
    except sqlite3.Error as error:
        raise _unusable(path, str(error)) from error


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that reads only.

    Raises:
        DatabaseError: No such file, or no database of this release.
    """
    try:
        connection = _connect(path, "ro", _READER_SECONDS)
        try:
            connection.execute(_CACHE)
            connection.execute("PRAGMA query_only = ON")
            connection.execute("SELECT 1 FROM backlogs LIMIT 1")
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise _unusable(path, str(error)) from error
    return connection


def upgrade(path: Path, busy_timeout_seconds: float) -> None:
    """Bring the tables up to this release, all or nothing; nothing happens if they are. Several hubs may do so at once.

    Raises:
        DatabaseError: No database, not writable, locked for longer than that, or written by a later release.
    """
    url = sqlalchemy.URL.create("sqlite", database=str(path.absolute()))
    engine = sqlalchemy.create_engine(
        url, poolclass=sqlalchemy.pool.NullPool, connect_args={"isolation_level": None, "timeout": 0.0}
    )

    def upgrade_alone() -> None:
        with engine.connect() as connection:
            if migrations.is_current(connection):
                return
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # of hubs that start together one upgrades
            migrations.upgrade(connection)
            raised = version_after(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
            connection.exec_driver_sql(f"PRAGMA user_version = {raised}")  # of the objects; they may have been changed
            connection.commit()

    try:
        _patiently(upgrade_alone, busy_timeout_seconds)
    except (sqlite3.Error, sqlalchemy.exc.SQLAlchemyError) as error:
        raise _unusable(path, str(_cause_of(error))) from error
    except migrations.UnknownRevisionError as error:
        raise _unusable(path, f"its tables are of revision {error}, which a later release wrote") from error
    finally:
        engine.dispose()


def _patiently(action: Callable[[], T], seconds: float) -> T:
    """Do it, again and again while another process has the file, but no longer than that."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return action()
        except (sqlite3.Error, sqlalchemy.exc.SQLAlchemyError) as error:
            cause = _cause_of(error)
            if not isinstance(cause, sqlite3.Error) or not is_busy(cause) or time.monotonic() >= deadline:
                raise
        time.sleep(_PAUSE_SECONDS)


def _cause_of(error: BaseException) -> BaseException:
    """What the driver raised, where SQLAlchemy wrapped it."""
    return error.orig or error if isinstance(error, sqlalchemy.exc.DBAPIError) else error


def _connect(path: Path, mode: str, seconds: float, *, is_for_a_thread: bool = False) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=seconds,
        isolation_level=None,
        cached_statements=512,
        check_same_thread=not is_for_a_thread,
    )


def _unusable(path: Path, reason: str) -> DatabaseError:
    return DatabaseError(
        f"database {path} cannot be used: {reason}. Accepted: a file that this user may write, in a folder that exists,"
        " made by this release or an earlier one"
    )
