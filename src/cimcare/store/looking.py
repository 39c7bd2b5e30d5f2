"""A look at a database from beside the hub that uses it: of which release its tables are, and what its clock shows.

Over a connection of its own, which is closed again; nothing is written.
"""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from cimcare.store import memory, sqlite
from cimcare.store.errors import DatabaseError
from cimcare.store.migrations import heads
from cimcare.store.sqlite_file import connect_reader
from cimcare.store.urls import is_postgres

__all__ = ["Look", "folder_of", "look_at"]

_REVISIONS = "SELECT version_num FROM alembic_version"


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen.

    `failure` says why the database cannot be used by this release; empty if it can. `clock_at` is what a clock of its
    own showed between `began_at` and `ended_at`, None where it goes by the clock of this machine.
    """

    failure: str = ""
    clock_at: datetime | None = None
    began_at: datetime
    ended_at: datetime


async def look_at(url: str) -> Look:
    """Look at the database that a URL names. Raises nothing for what is wrong with it.

    A file is looked at without leaving the event loop, as the store does: one row is read.
    """
    began_at, clock_at = datetime.now(UTC), None
    try:
        if url == memory.URL:
            revisions = heads()
        elif is_postgres(url):
            revisions, clock_at = await _look_at_postgres(url)
        else:
            revisions = _revisions_of_file(sqlite.path_of(url))
    except DatabaseError as error:
        return Look(failure=str(error), began_at=began_at, ended_at=datetime.now(UTC))
    failure = ""
    if revisions != heads():
        failure = f"its tables are of revision {_told(revisions)}, and this release needs {_told(heads())}"
    return Look(failure=failure, clock_at=clock_at, began_at=began_at, ended_at=datetime.now(UTC))


def folder_of(url: str) -> Path | None:
    """The folder of the database on this machine; None where there is none, or it is that of a server."""
    if url == memory.URL or is_postgres(url):
        return None
    return sqlite.path_of(url).absolute().parent


def _revisions_of_file(path: Path) -> frozenset[str]:
    with closing(connect_reader(path)) as connection:
        try:
            return frozenset(str(row[0]) for row in connection.execute(_REVISIONS))
        except sqlite3.Error as error:
            raise DatabaseError(f"database {path} cannot be read: {error}") from error


async def _look_at_postgres(url: str) -> tuple[frozenset[str], datetime]:
    from cimcare.store.postgres_session import TROUBLE, Place  # noqa: PLC0415 - its packages are an extra

    place = Place(url)
    connection = await place.connect_first()
    try:
        rows = await connection.fetch("SELECT version_num, clock_timestamp() AS now FROM alembic_version")
    except TROUBLE as error:
        raise place.unusable(str(error)) from error
    finally:
        connection.terminate()
    if not rows:
        raise place.unusable("its tables are of no release")
    return frozenset(str(row["version_num"]) for row in rows), rows[0]["now"]


def _told(revisions: frozenset[str]) -> str:
    return ", ".join(sorted(revisions)) or "none"
