"""Group commit: who is told what, when the disk does its work and when it does not."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from cimcare.exchange.log import Direction, LogEntry, Transport
from cimcare.exchange.ports import Collection, Key, Selection, Stored
from cimcare.exchange.store import StoreError
from cimcare.model.identity import MRID
from cimcare.store.sqlite import SqliteStore

NOON = datetime(2030, 6, 1, 12, 0, 0, 123456, tzinfo=UTC)


class Thing(msgspec.Struct, frozen=True):
    """Body of an object of these tests."""

    text: str = ""


THINGS = Collection("things", Thing)


def a_thing(mrid: str, *keys: Key, text: str = "", state: str = "", at: datetime = NOON) -> Stored[Thing]:
    return Stored(mrid=MRID(mrid), body=Thing(text), created_at=at, modified_at=at, state=state, keys=frozenset(keys))


def an_entry(**changes: object) -> LogEntry:
    entry = LogEntry(received_at=NOON, direction=Direction.IN, transport=Transport.SOAP11)
    return msgspec.structs.replace(entry, **changes)


@pytest.fixture
async def commits() -> list[int]:
    return []


@pytest.fixture
async def store(tmp_path: Path, commits: list[int]) -> AsyncIterator[SqliteStore]:
    store = SqliteStore.open(tmp_path / "hub.db", busy_timeout_seconds=0.0, on_commit=commits.append)
    yield store
    await store.close()


async def save(store: SqliteStore, mrid: str) -> None:
    async with store.transaction() as transaction:
        await transaction.records.save(THINGS, a_thing(mrid))


async def stored_in(store: SqliteStore) -> list[str]:
    return [thing.mrid for thing in await store.reader.records.select(THINGS, Selection())]


async def test_many_transactions_share_one_commit(store: SqliteStore, commits: list[int]) -> None:
    """One fsync for all that waited is what makes durable work fast."""
    await asyncio.gather(*(save(store, f"t{number}") for number in range(50)))
    assert commits == [50]
    assert len(await stored_in(store)) == 50


async def test_a_failing_commit_is_told_to_all_and_keeps_nothing(store: SqliteStore, tmp_path: Path) -> None:
    """A full disk must not look like success to anyone, nor leave half of the work behind."""
    await save(store, "before")
    pages = store._writer.execute("PRAGMA page_count").fetchone()[0]
    store._writer.execute(f"PRAGMA max_page_count = {pages}")

    async def save_much(mrid: str) -> None:
        async with store.transaction() as transaction:
            await transaction.records.save(THINGS, a_thing(mrid, text="x" * 100_000))

    results = await asyncio.gather(save(store, "small"), save_much("a"), save_much("b"), return_exceptions=True)
    assert any(isinstance(result, StoreError) for result in results)
    kept = await stored_in(store)
    for mrid, result in zip(("small", "a", "b"), results, strict=True):
        assert (mrid in kept) == (result is None), "told and kept must agree"

    store._writer.execute("PRAGMA max_page_count = 1000000")
    await save(store, "after")
    assert "after" in await stored_in(store)


async def test_a_commit_that_raises_fails_every_waiter(tmp_path: Path) -> None:
    """Whatever the database says at the last moment reaches each sender."""
    store = SqliteStore.open(tmp_path / "hub.db")

    class Failing:
        """A connection whose next commit fails."""

        def __init__(self, inner: sqlite3.Connection) -> None:
            self.inner = inner

        def execute(self, statement: str, *values: object) -> sqlite3.Cursor:
            if statement == "COMMIT":
                raise sqlite3.OperationalError("disk I/O error")
            return self.inner.execute(statement, *values)

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

    real = store._writer
    store._writer = Failing(real)  # type: ignore[assignment]  # stands in for the real one
    results = await asyncio.gather(save(store, "a"), save(store, "b"), return_exceptions=True)
    assert [str(result) for result in results] == [f"{tmp_path / 'hub.db'}: disk I/O error"] * 2
    store._writer = real
    assert await stored_in(store) == []
    await save(store, "c")
    assert await stored_in(store) == ["c"]
    await store.close()


async def test_a_database_locked_by_another_refuses_and_recovers(store: SqliteStore, tmp_path: Path) -> None:
    """A backup tool that holds the file makes messages fail with a reason, and nothing worse."""
    other = sqlite3.connect(tmp_path / "hub.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="database is locked") as caught:
        await save(store, "a")
    assert caught.value.row.reply_code == "5.1"
    other.execute("ROLLBACK")
    other.close()
    await save(store, "b")
    assert await stored_in(store) == ["b"]


async def test_reader_cannot_write(store: SqliteStore) -> None:
    """What reads for the console can never change anything."""
    with pytest.raises(StoreError, match="readonly"):
        await store.reader.records.save(THINGS, a_thing("a"))


async def test_sequences_rise_and_are_not_used_again(store: SqliteStore) -> None:
    """A number that somebody wrote down keeps meaning the same message."""
    async with store.transaction() as transaction:
        first = await transaction.log.append(an_entry(), b"")
        second = await transaction.log.append(an_entry(), b"")
    assert second > first
    store._writer.execute("DELETE FROM messages")
    async with store.transaction() as transaction:
        assert await transaction.log.append(an_entry(), b"") > second


async def test_keys_follow_the_object(store: SqliteStore) -> None:
    """An object that moved is found at its new place and no longer at the old one."""
    old, new, kept = Key("place", "old"), Key("place", "new"), Key("name", "n")
    async with store.transaction() as transaction:
        records = transaction.records
        await records.save(THINGS, a_thing("a", old, kept))
        await records.save(THINGS, a_thing("a", new, kept, text="moved"))
        assert await records.find_by_key(THINGS, old) == ()
        assert [thing.body.text for thing in await records.find_by_key(THINGS, new)] == ["moved"]
        assert len(await records.find_by_key(THINGS, kept)) == 1
        await records.drop(THINGS, MRID("a"))
    assert store._writer.execute("SELECT count(*) FROM record_keys").fetchone() == (0,)


async def test_a_selection_may_name_more_objects_than_a_statement_has_variables(store: SqliteStore) -> None:
    """A get with a hundred thousand identifiers is answered, not broken."""
    await save(store, "t5")
    mrids = tuple(MRID(f"t{number}") for number in range(100_000))
    found = await store.reader.records.select(THINGS, Selection(mrids=mrids))
    assert [thing.mrid for thing in found] == ["t5"]
