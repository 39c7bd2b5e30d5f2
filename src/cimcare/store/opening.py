"""Which store a URL means, and opening it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.util import find_spec

from cimcare.exchange.store import Reader, Store
from cimcare.store import memory, sqlite
from cimcare.store.errors import DatabaseError
from cimcare.store.urls import is_postgres, shown_url

__all__ = ["open_reader", "open_store", "shown_url"]

_PACKAGES = ("asyncpg", "greenlet")


async def open_store(url: str, *, on_commit: Callable[[int], None] = lambda _: None) -> Store:
    """Open the database that a URL names; make its tables or bring them up to date where needed.

    Args:
        url: `sqlite:///file`, `postgresql://user:password@host:port/name`, or `memory:` for an empty store that ends
            with the process.
        on_commit: Told after each commit how many transactions it made durable.

    Raises:
        DatabaseError: A URL of another kind, or a database that cannot be used.
    """
    if url == memory.URL:
        return memory.MemoryStore(on_commit=on_commit)
    if not is_postgres(url):
        return sqlite.SqliteStore.open(sqlite.path_of(url), on_commit=on_commit)
    _require_packages()
    from cimcare.store.postgres import PostgresStore  # noqa: PLC0415 - its packages are an extra

    return await PostgresStore.open(url, on_commit=on_commit)


@asynccontextmanager
async def open_reader(url: str) -> AsyncIterator[Reader]:
    """What is committed in the database that a URL names, to be read from beside a running hub.

    Raises:
        DatabaseError: A URL of another kind, no such database, or none of this release.
    """
    if url == memory.URL:
        raise DatabaseError("database memory: is seen by the process alone that opened it; accepted: one that lasts")
    if not is_postgres(url):
        reader, close = sqlite.open_reader(sqlite.path_of(url))
        try:
            yield reader
        finally:
            close()
        return
    _require_packages()
    from cimcare.store.postgres import open_postgres_reader  # noqa: PLC0415 - its packages are an extra

    async with open_postgres_reader(url) as postgres_reader:
        yield postgres_reader


def _require_packages() -> None:
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise DatabaseError(
            f"PostgreSQL needs packages that are not installed: {', '.join(missing)}. Accepted: an installation by"
            " `pip install 'cimcare[postgresql]'`, or a database sqlite:///name.db"
        )
