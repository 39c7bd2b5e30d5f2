"""Objects and entries of the log for tests of stores."""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from cimcare.exchange.log import Direction, LogEntry, Transport
from cimcare.exchange.outbox import DeliveryKind, NewDelivery
from cimcare.exchange.ports import Collection, Key, Selection, Stored
from cimcare.exchange.store import Store
from cimcare.model.identity import MRID

__all__ = [
    "ALL_STORES",
    "LASTING_STORES",
    "NOON",
    "THINGS",
    "Thing",
    "a_delivery",
    "a_thing",
    "an_entry",
    "is_defined_for_all",
    "make_with_pages",
    "save",
    "stored_in",
]

ALL_STORES = ["memory", "postgresql", "sqlite"]
"""Every store that `open_store` opens."""

LASTING_STORES = ["postgresql", "sqlite"]
"""Those whose database is there when the store is not."""

NOON = datetime(2030, 6, 1, 12, 0, 0, 123456, tzinfo=UTC)


class Thing(msgspec.Struct, frozen=True):
    """Body of an object of these tests."""

    text: str = ""


THINGS = Collection("things", Thing)


def a_thing(mrid: str, *keys: Key, text: str = "", state: str = "", at: datetime = NOON) -> Stored[Thing]:
    """An object."""
    return Stored(mrid=MRID(mrid), body=Thing(text), created_at=at, modified_at=at, state=state, keys=frozenset(keys))


def an_entry(**changes: object) -> LogEntry:
    """An entry of the log."""
    entry = LogEntry(received_at=NOON, direction=Direction.IN, transport=Transport.SOAP11)
    return msgspec.structs.replace(entry, **changes)


async def save(store: Store, mrid: str) -> None:
    """Save one object in a transaction of its own."""
    async with store.transaction() as transaction:
        await transaction.records.save(THINGS, a_thing(mrid))


async def stored_in(store: Store) -> list[str]:
    """Identities of all objects that are committed."""
    return [thing.mrid for thing in await store.reader.records.select(THINGS, Selection(limit=10_000))]


def a_delivery(*keys: str, **changes: object) -> NewDelivery:
    """A delivery of these objects, to be put in."""
    new = NewDelivery(
        message=7,
        cause=3,
        partner="GIS",
        kind=DeliveryKind.EVENT,
        object_keys=keys or ("TroubleTickets a",),
        verb="created",
        noun="TroubleTickets",
        message_id="m-1",
        created_at=NOON,
    )
    return msgspec.structs.replace(new, **changes)


def is_defined_for_all(_object: object, name: str | None, kind: str, _reflected: bool, _other: object) -> bool:
    """For Alembic: leaves out the index of terms, which is another thing on each database."""
    return kind != "table" or not str(name).startswith("message_terms")


def make_with_pages(path: Path, size: int) -> None:
    """A file of SQLite without tables whose pages have so many bytes. Whoever opens it later cannot choose any more."""
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in (f"page_size = {size}", "auto_vacuum = INCREMENTAL", "journal_mode = WAL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.close()
