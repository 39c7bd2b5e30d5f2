"""Group commit: who is told what, when the disk does its work and when it does not."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from cimcare.exchange.log import Direction, LogEntry, LogSelection, Outcome, StoreError, Transport
from cimcare.exchange.ports import Collection, Key, Selection, Stored
from cimcare.model.identity import MRID
from cimcare.store.sqlite import SqliteStore, open_reader

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


async def test_nobody_is_told_before_the_commit(store: SqliteStore) -> None:
    """An OK that leaves before the commit is a promise that a power cut breaks."""
    told: list[tuple[str, list[str]]] = []

    async def save_and_look(mrid: str) -> None:
        await save(store, mrid)
        told.append((mrid, await stored_in(store)))

    await asyncio.gather(save_and_look("a"), save_and_look("b"))
    assert told == [("a", ["a", "b"]), ("b", ["a", "b"])]


async def test_one_that_fails_is_undone_alone(store: SqliteStore) -> None:
    """A message with an error in it must not take its neighbours along."""

    async def fail() -> None:
        async with store.transaction() as transaction:
            await transaction.records.save(THINGS, a_thing("half"))
            raise LookupError("on purpose")

    results = await asyncio.gather(save(store, "a"), fail(), save(store, "b"), return_exceptions=True)
    assert [type(result) for result in results] == [type(None), LookupError, type(None)]
    assert await stored_in(store) == ["a", "b"]


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


async def test_a_transaction_that_waits_keeps_others_out(store: SqliteStore) -> None:
    """Work that has to wait in the middle is neither committed half done nor mixed with another's."""
    entered, may_leave = asyncio.Event(), asyncio.Event()

    async def wait_inside() -> None:
        async with store.transaction() as transaction:
            await transaction.records.save(THINGS, a_thing("first half"))
            entered.set()
            await may_leave.wait()
            raise LookupError("second half failed")

    slow = asyncio.create_task(wait_inside())
    await entered.wait()
    quick = asyncio.create_task(save(store, "quick"))
    for _ in range(5):
        await asyncio.sleep(0)
    assert await stored_in(store) == []
    may_leave.set()
    with pytest.raises(LookupError):
        await slow
    await quick
    assert await stored_in(store) == ["quick"]


async def test_one_who_went_away_does_not_disturb(store: SqliteStore) -> None:
    """A client that hangs up while its message is being committed is nobody else's problem."""
    gone, stays = asyncio.create_task(save(store, "a")), asyncio.create_task(save(store, "b"))
    await asyncio.sleep(0)
    gone.cancel()
    await stays
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert await stored_in(store) == ["a", "b"]


async def test_close_commits_what_waits(tmp_path: Path) -> None:
    """A stop between the work and its commit still answers and keeps."""
    store = SqliteStore.open(tmp_path / "hub.db")
    waiting = asyncio.create_task(save(store, "a"))
    await asyncio.sleep(0)
    await store.close()
    await waiting
    again = SqliteStore.open(tmp_path / "hub.db")
    assert await stored_in(again) == ["a"]
    await again.close()
    with pytest.raises(StoreError, match="closed"):
        await save(store, "b")


async def test_reader_cannot_write(store: SqliteStore) -> None:
    """What reads for the console can never change anything."""
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        await store.reader.records.save(THINGS, a_thing("a"))


async def test_reader_from_beside_sees_what_is_committed(store: SqliteStore, tmp_path: Path) -> None:
    """The command line looks into the database of a running hub."""
    async with store.transaction() as transaction:
        sequence = await transaction.log.append(an_entry(verb="create"), b"<m/>")
    reader, close = open_reader(tmp_path / "hub.db")
    found = await reader.log.find(sequence)
    assert found is not None
    assert found.verb == "create"
    assert await reader.log.find_raw(sequence) == b"<m/>"
    close()


async def test_log_gives_back_what_it_was_given(store: SqliteStore) -> None:
    """The log is evidence: every field of it counts."""
    entry = an_entry(
        direction=Direction.OUT, transport=Transport.SOAP_TYPED, partner="CIS", archetype="ResponseMessage",
        verb="reply", noun="TroubleTickets", message_id="m", correlation_id="c", context="TESTING",
        outcome=Outcome.PARTIAL, codes=("0.2", "2.15"), answer_to=7, repeat_of=3, digest=b"\x00\xff",
        content_type="text/xml", status=200, truncated=True, size_bytes=70_000,
    )  # fmt: skip
    async with store.transaction() as transaction:
        sequence = await transaction.log.append(entry, b"\x00raw")
        assert await transaction.log.find(sequence) == msgspec.structs.replace(entry, sequence=sequence)
    assert await store.reader.log.find_raw(sequence) == b"\x00raw"
    assert await store.reader.log.find(sequence + 1) is None
    assert await store.reader.log.find_raw(sequence + 1) is None


async def test_sequences_rise_and_are_not_used_again(store: SqliteStore) -> None:
    """A number that somebody wrote down keeps meaning the same message."""
    async with store.transaction() as transaction:
        first = await transaction.log.append(an_entry(), b"")
        second = await transaction.log.append(an_entry(), b"")
    assert second > first
    store._writer.execute("DELETE FROM messages")
    async with store.transaction() as transaction:
        assert await transaction.log.append(an_entry(), b"") > second


async def test_original_is_the_first_accepted_of_its_partner(store: SqliteStore) -> None:
    """Failed attempts, repeats, replies and other partners' numbers are not originals."""
    early = NOON.replace(hour=1)
    async with store.transaction() as transaction:
        log = transaction.log
        await log.append(an_entry(partner="A", message_id="1", outcome=Outcome.OK, received_at=early), b"")
        await log.append(an_entry(partner="A", message_id="1", outcome=Outcome.FAILED), b"")
        await log.append(an_entry(partner="B", message_id="1", outcome=Outcome.OK), b"")
        await log.append(an_entry(partner="A", message_id="1", outcome=Outcome.OK, direction=Direction.OUT), b"")
        await log.append(an_entry(partner="A", message_id="1", outcome=Outcome.OK, repeat_of=1), b"")
        wanted = await log.append(an_entry(partner="A", message_id="1", outcome=Outcome.PARTIAL), b"")
        await log.append(an_entry(partner="A", message_id="1", outcome=Outcome.OK), b"")
        found = await log.find_original("A", "1", NOON)
        assert found is not None
        assert found.sequence == wanted
        assert await log.find_original("C", "1", NOON) is None


async def test_answer_is_the_reply_and_not_an_event(store: SqliteStore) -> None:
    """A repeat gets the reply again, never one of the events that the request caused."""
    async with store.transaction() as transaction:
        log = transaction.log
        asked = await log.append(an_entry(), b"")
        await log.append(an_entry(direction=Direction.OUT, archetype="EventMessage", answer_to=asked), b"")
        reply = await log.append(an_entry(direction=Direction.OUT, archetype="ResponseMessage", answer_to=asked), b"")
        found = await log.find_answer(asked)
        assert found is not None
        assert found.sequence == reply
        assert await log.find_answer(reply) is None


async def test_correlated_by_either_identifier(store: SqliteStore) -> None:
    """A later reply may name the request by its MessageID or by the CorrelationID that it carried."""
    async with store.transaction() as transaction:
        log = transaction.log
        for outcome in (Outcome.FAILED, Outcome.FAULT):
            await log.append(an_entry(message_id="m1", correlation_id="c1", outcome=outcome), b"")
        await log.append(an_entry(correlation_id="c1", archetype="ResponseMessage"), b"")
        by_message = await log.append(an_entry(message_id="m1", archetype="RequestMessage"), b"")
        by_correlation = await log.append(an_entry(correlation_id="c1", archetype="RequestMessage"), b"")
        assert [found.sequence for found in [await log.find_correlated("m1")] if found] == [by_message]
        assert [found.sequence for found in [await log.find_correlated("c1")] if found] == [by_correlation]
        assert await log.find_correlated("x") is None


@pytest.mark.parametrize(
    ("selection", "wanted"),
    [
        (LogSelection(), [1, 2, 3]),
        (LogSelection(newest_first=True), [3, 2, 1]),
        (LogSelection(after=1), [2, 3]),
        (LogSelection(after=3, newest_first=True, limit=1), [2]),
        (LogSelection(verb="get"), [2]),
        (LogSelection(noun="Incidents"), [2, 3]),
        (LogSelection(partner="A"), [1]),
        (LogSelection(message_id="m3"), [3]),
        (LogSelection(correlation_id="m1"), [3]),
        (LogSelection(outcome=Outcome.NONE), [2, 3]),
        (LogSelection(outcome=Outcome.OK), [1]),
        (LogSelection(direction=Direction.OUT), [3]),
        (LogSelection(answer_to=1), [3]),
        (LogSelection(since=NOON.replace(minute=1)), [2, 3]),
        (LogSelection(until=NOON.replace(minute=1)), [1, 2]),
    ],
)  # fmt: skip
async def test_selection_of_the_log(store: SqliteStore, selection: LogSelection, wanted: list[int]) -> None:
    """Each filter of `messages list` alone; a filter that is ignored would show too much."""
    async with store.transaction() as transaction:
        log = transaction.log
        await log.append(an_entry(partner="A", verb="create", message_id="m1", outcome=Outcome.OK), b"")
        await log.append(an_entry(verb="get", noun="Incidents", received_at=NOON.replace(minute=1)), b"")
        await log.append(
            an_entry(
                direction=Direction.OUT, verb="reply", noun="Incidents", message_id="m3", correlation_id="m1",
                answer_to=1, received_at=NOON.replace(minute=2),
            ),
            b"",
        )  # fmt: skip
    assert [entry.sequence for entry in await store.reader.log.select(selection)] == wanted


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
