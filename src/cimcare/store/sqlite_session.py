"""Statements over one connection to SQLite, and what its errors mean."""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from cimcare.exchange.store import StoreError

__all__ = [
    "CatchingUp",
    "Session",
    "Value",
    "Values",
    "WritingSession",
    "is_busy",
    "objects_version",
    "raise_objects_version",
    "store_error",
    "version_after",
]

_HIGHEST_VERSION = 0x7FFFFFFF
"""SQLite keeps 32 bits with a sign."""

Value: TypeAlias = str | int | bytes | None
Values: TypeAlias = Sequence[Value] | Mapping[str, Value]


class Session:
    """Statements over one connection. All raise StoreError where the database fails."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self.connection = connection

    def run(self, statement: str, values: Values = ()) -> sqlite3.Cursor:
        """Run a statement that writes; its cursor says how many rows, and the number of a new one."""
        try:
            return self.connection.execute(statement, values)
        except sqlite3.Error as error:
            raise store_error(self.path, error) from error

    def run_each(self, statement: str, rows: Iterable[Sequence[Value]]) -> None:
        """Run a statement that writes once for each row."""
        try:
            self.connection.executemany(statement, rows)
        except sqlite3.Error as error:
            raise store_error(self.path, error) from error

    def require_transaction(self) -> None:
        """Outside of transactions there is nothing to look after: what must not be written the database refuses."""

    # The columns of a row are as the statement says, which its type cannot tell.

    def all(self, statement: str, values: Values = ()) -> list[Any]:
        """All rows."""
        try:
            return self.connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise store_error(self.path, error) from error

    def one(self, statement: str, values: Values = ()) -> Any:
        """The first row; None if there is none."""
        try:
            return self.connection.execute(statement, values).fetchone()
        except sqlite3.Error as error:
            raise store_error(self.path, error) from error


class WritingSession(Session):
    """Statements inside a transaction. None runs outside of it, where it would be kept whatever becomes of the rest."""

    def run(self, statement: str, values: Values = ()) -> sqlite3.Cursor:
        """Run a statement that writes."""
        self.require_transaction()
        return super().run(statement, values)

    def run_each(self, statement: str, rows: Iterable[Sequence[Value]]) -> None:
        """Run a statement that writes once for each row."""
        self.require_transaction()
        super().run_each(statement, rows)

    def require_transaction(self) -> None:
        """Raise StoreError if the transaction has ended."""
        if not self.connection.in_transaction:
            raise StoreError(f"{self.path}: undone by the database after an error of the disk")


class CatchingUp(Session):
    """Statements that are to see what waits in memory: it is written before each of them.

    Args:
        session: Where they run.
        catch_up: Writes what waits.
    """

    def __init__(self, session: Session, catch_up: Callable[[], None]) -> None:
        super().__init__(session.path, session.connection)
        self._session = session
        self._catch_up = catch_up

    def run(self, statement: str, values: Values = ()) -> sqlite3.Cursor:
        """Run a statement that writes."""
        self._catch_up()
        return self._session.run(statement, values)

    def run_each(self, statement: str, rows: Iterable[Sequence[Value]]) -> None:
        """Run a statement that writes once for each row."""
        self._catch_up()
        self._session.run_each(statement, rows)

    def all(self, statement: str, values: Values = ()) -> list[Any]:
        """All rows."""
        self._catch_up()
        return self._session.all(statement, values)

    def one(self, statement: str, values: Values = ()) -> Any:
        """The first row; None if there is none."""
        self._catch_up()
        return self._session.one(statement, values)

    def require_transaction(self) -> None:
        """Raise StoreError if the transaction has ended."""
        self._session.require_transaction()


def objects_version(connection: sqlite3.Connection) -> int:
    """Version of the objects in the file. It rises with each commit in which objects were written or removed.

    It stands in the head of the file, where SQLite has room for a number of the program, and so costs no table. Raises
    sqlite3.Error.
    """
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def raise_objects_version(session: Session) -> int:
    """Raise it in the transaction that is open; what it is then. Raises StoreError.

    It goes by what stands in the file, so that no version is given twice whatever became of an earlier commit.
    """
    version = version_after(session.one("PRAGMA user_version")[0])
    session.run(f"PRAGMA user_version = {version}")
    return version


def version_after(version: int) -> int:
    """The version of objects that follows another; after very many it begins anew."""
    return (version + 1) & _HIGHEST_VERSION


def is_busy(error: sqlite3.Error) -> bool:
    """Whether the error says that another process has the file just now."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def store_error(path: Path, error: sqlite3.Error) -> StoreError:
    """What the database raised, in words of the store."""
    return StoreError(f"{path}: {error}")
