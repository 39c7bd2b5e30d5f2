"""Connections to PostgreSQL: how one is made, what its errors mean, how texts are made to fit, reading by a pool."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Protocol, TypeAlias

import asyncpg

from cimcare.exchange.store import StoreError
from cimcare.store.errors import DatabaseError
from cimcare.store.urls import shown_url

__all__ = [
    "LOCK",
    "TROUBLE",
    "Connection",
    "Place",
    "ReadingSession",
    "Row",
    "Session",
    "Value",
    "WritingSession",
    "as_key",
    "as_text",
    "store_error",
]

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Row: TypeAlias = asyncpg.Record
Value: TypeAlias = str | int | bytes | bool | list[str] | list[int] | list[bool] | list[bytes] | None

TROUBLE = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""What the driver raises when the server, the network or a statement fails; running out of time is an OSError."""

LOCK = int.from_bytes(b"cimcare", "big")
"""Advisory lock of the database: whoever holds it is the one hub that writes."""

_OLDEST_SERVER = 15
_CONNECT_SECONDS = 10
_STATEMENT_SECONDS = 60
_READERS = 4
_SETTINGS = {
    "application_name": "cimcare",
    "idle_in_transaction_session_timeout": "60s",  # a hub that hangs gives the lock back
    "lock_timeout": "10s",
    # Every statement is short and looks up by index. Tables that grew in the last minute have no statistics yet, and
    # the planner would read them whole, again and again.
    "jit": "off",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
_LONGEST_KEY_BYTES = 2000
"""A B-tree takes 2,704 bytes a row, and the other columns of these indexes need their share."""

_ACCEPTED = (
    "postgresql://user:password@host:port/name, characters such as @ : / ? # in user or password written as %40 and so"
    " on, of a PostgreSQL server from release 15 on"
)


class Place:
    """The database that a URL names, and connections to it. `shown` is the URL without the password."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.shown = shown_url(url)

    async def connect(self, *, statement_seconds: float | None = _STATEMENT_SECONDS) -> Connection:
        """A connection that may write; a statement may take so long.

        Raises one of TROUBLE, or ValueError for a URL that the driver does not take.
        """
        return await asyncpg.connect(
            self._url, timeout=_CONNECT_SECONDS, command_timeout=statement_seconds, server_settings=_SETTINGS
        )

    async def connect_first(self) -> Connection:
        """A connection to a database that can be used.

        Raises:
            DatabaseError: It cannot.
        """
        try:
            connection = await self.connect()
        except asyncpg.InvalidCatalogNameError as error:
            raise self.unusable(f"{error}; `createdb` makes it") from error
        except asyncpg.InvalidAuthorizationSpecificationError as error:  # a wrong password is one of them
            raise self.unusable(str(error)) from error
        except (asyncpg.ClientConfigurationError, ValueError):
            raise self.unusable("the URL cannot be read") from None  # the cause may quote the password
        except asyncpg.PostgresError as error:
            raise self.unusable(f"the server refuses: {error}") from error
        except TROUBLE as error:
            raise self.unusable(f"no server answers there: {str(error) or type(error).__name__}") from error
        version, encoding = connection.get_server_version().major, connection.get_settings().server_encoding
        if version >= _OLDEST_SERVER and encoding == "UTF8":
            return connection
        await connection.close()
        raise self.unusable(f"the server is of release {version}, the database in encoding {encoding}")

    def pool(self) -> "asyncpg.Pool[asyncpg.Record]":
        """Connections that read only; made when they are needed."""
        return asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=_READERS,
            timeout=_CONNECT_SECONDS,
            command_timeout=_STATEMENT_SECONDS,
            server_settings={**_SETTINGS, "default_transaction_read_only": "on"},
            reset=_keep_as_it_is,
        )

    def unusable(self, reason: str) -> DatabaseError:
        """Error of a database that cannot be used."""
        return DatabaseError(f"database {self.shown} cannot be used: {reason}. Accepted: {_ACCEPTED}, encoding UTF8")


async def _keep_as_it_is(connection: object) -> None:
    """Nothing to tidy up after single statements that read; the pool would ask the server to, after each."""
    del connection


def store_error(place: str, error: BaseException) -> StoreError:
    """What the driver raised, in words of the store, without any value of a statement."""
    if isinstance(error, asyncpg.LockNotAvailableError):
        return StoreError(f"{place}: another hub wrote for longer than {_SETTINGS['lock_timeout']}")
    # The text of an error of the server names tables and columns; its details, which may quote values, are not in it.
    return StoreError(f"{place}: {str(error) or type(error).__name__}")


class Session(Protocol):
    """Where statements run."""

    async def fetch(self, statement: str, *values: Value) -> list[Row]:
        """All rows."""
        ...

    async def fetch_one(self, statement: str, *values: Value) -> Row | None:
        """The first row; None if there is none."""
        ...


class WritingSession(Session, Protocol):
    """Where statements run inside a transaction."""

    async def copy(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Value, ...]]) -> None:
        """Write rows, all at once."""
        ...


class ReadingSession:
    """Statements that read, each over any connection of the pool and outside of all transactions."""

    def __init__(self, place: str, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._place = place
        self._pool = pool

    async def fetch(self, statement: str, *values: Value) -> list[Row]:
        """All rows. Raises StoreError."""
        try:
            try:
                return await self._fetch(statement, values)
            except (asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError, ConnectionError):
                return await self._fetch(statement, values)  # the pool did not know yet that its connection was gone
        except TROUBLE as error:
            raise store_error(self._place, error) from error

    async def fetch_one(self, statement: str, *values: Value) -> Row | None:
        """The first row. Raises StoreError."""
        return next(iter(await self.fetch(statement, *values)), None)

    async def _fetch(self, statement: str, values: tuple[Value, ...]) -> list[Row]:
        async with self._pool.acquire(timeout=_CONNECT_SECONDS) as connection:
            return await connection.fetch(statement, *values)


def as_text(text: str) -> str:
    """The text as PostgreSQL can hold it: NUL and halves of surrogate pairs become the replacement character."""
    if text.isascii():
        return text.replace("\0", "\ufffd")
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\ufffd")


def as_key(text: str) -> str:
    """The text, or where an index cannot hold it something that stands for this text alone.

    What stands for it begins with a character that no XML has.
    """
    encoded = text.encode("utf-8", "surrogatepass")
    if len(encoded) <= _LONGEST_KEY_BYTES and as_text(text) == text:
        return text
    return f"\x01{sha256(encoded).hexdigest()}"
