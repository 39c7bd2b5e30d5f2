"""SQLite: group commit, who is told what when the disk fails, several stores on one file, and free pages."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cimcare.exchange.audit import START, hash_of_row
from cimcare.exchange.log import LogSelection
from cimcare.exchange.ports import Key, Selection
from cimcare.exchange.store import StoreError
from cimcare.model.identity import MRID
from cimcare.store import sqlite
from cimcare.store.errors import DatabaseError
from cimcare.store.sqlite import SqliteStore
from cimcare.store.sqlite_next import NextTurn
from cimcare.store.sqlite_session import Session
from tests.support.stored import NOON, THINGS, a_delivery, a_thing, an_entry, save, stored_in


@pytest.fixture
async def commits() -> list[int]:
    return []


@pytest.fixture
async def store(tmp_path: Path, commits: list[int]) -> AsyncIterator[SqliteStore]:
    store = SqliteStore.open(tmp_path / "hub.db", busy_timeout_seconds=0.0, on_commit=commits.append)
    yield store
    await store.close()


async def test_many_transactions_share_one_commit(
    store: SqliteStore, commits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One fsync for all that waited is what makes durable work fast."""
    monkeypatch.setattr(sqlite, "_LONGEST_SECONDS", 3600.0)
    await asyncio.gather(*(save(store, f"t{number}") for number in range(50)))
    assert commits == [50]
    assert len(await stored_in(store)) == 50


async def test_who_comes_while_others_wait_shares_their_commit(
    store: SqliteStore, commits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Senders come one after another, in rounds of the loop; a commit after each round would be one for nearly each."""
    monkeypatch.setattr(sqlite, "_LONGEST_SECONDS", 3600.0)

    async def save_after(rounds: int) -> None:
        for _ in range(rounds):
            await asyncio.sleep(0)
        await save(store, f"t{rounds}")

    await asyncio.gather(*(save_after(rounds) for rounds in range(8)))
    assert commits == [8]
    await save(store, "alone")
    assert commits == [8, 1]


async def test_a_transaction_that_is_long_enough_is_committed_though_others_wait(
    store: SqliteStore, commits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under constant load nobody's answer is put off for ever."""
    monkeypatch.setattr(sqlite, "_LONGEST_SECONDS", 0.0)
    await asyncio.gather(*(save(store, f"t{number}") for number in range(5)))
    assert commits == [1] * 5


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


async def test_what_goes_on_after_the_database_undid_everything_is_not_kept(store: SqliteStore) -> None:
    """A full disk may end the transaction in its middle; what follows must not be kept without what went before."""

    async def go_on_regardless() -> None:
        async with store.transaction() as transaction:
            await transaction.records.save(THINGS, a_thing("first"))
            store._writer.rollback()  # as SQLite does by itself
            for write in (
                transaction.records.save(THINGS, a_thing("second")),
                transaction.outbox.enqueue(a_delivery()),
                transaction.records.drop(THINGS, MRID("before")),
            ):
                with pytest.raises(StoreError, match="undone by the database"):
                    await write

    await save(store, "before")
    neighbour = asyncio.create_task(save(store, "neighbour"))
    with pytest.raises(StoreError, match="undone by the database"):
        await go_on_regardless()
    await neighbour
    await save(store, "after")
    assert sorted(await stored_in(store)) == ["after", "before", "neighbour"]


async def test_a_part_that_ends_after_the_database_undid_everything_says_so(store: SqliteStore) -> None:
    """The error that began it is the one that is told."""
    with pytest.raises(LookupError):
        async with store.transaction() as transaction, transaction.savepoint():
            await transaction.log.append(an_entry(), b"")
            store._writer.rollback()
            raise LookupError("on purpose")
    assert await store.reader.log.select(LogSelection()) == ()


# ---------------------------------------------------------------------------------------------- several on one file


@pytest.fixture
async def other(store: SqliteStore, tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """A second hub's store on the same file, which waits for its turn."""
    other = SqliteStore.open(tmp_path / "hub.db")
    yield other
    await other.close()


async def test_who_finds_the_file_in_use_waits_and_holds_up_nothing(other: SqliteStore, tmp_path: Path) -> None:
    """While one hub writes, the other goes on with everything else."""
    busy = sqlite3.connect(tmp_path / "hub.db", isolation_level=None)
    busy.execute("BEGIN IMMEDIATE")
    waiting = asyncio.create_task(save(other, "a"))
    for _ in range(20):
        await asyncio.sleep(0)
        assert not waiting.done()
    busy.execute("ROLLBACK")
    busy.close()
    await waiting
    assert await stored_in(other) == ["a"]


async def test_all_that_wait_for_the_file_share_its_turn(
    store: SqliteStore, commits: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Couriers get the file between two rows of commits of who takes messages; each alone would get it too rarely."""
    monkeypatch.setattr(sqlite, "_LONGEST_SECONDS", 3600.0)
    monkeypatch.setattr(store, "_busy_timeout_seconds", 60.0)
    busy = sqlite3.connect(tmp_path / "hub.db", isolation_level=None)
    busy.execute("BEGIN IMMEDIATE")
    waiting = [asyncio.create_task(save(store, f"t{number}")) for number in range(8)]
    await asyncio.sleep(0.01)
    busy.execute("ROLLBACK")
    busy.close()
    await asyncio.gather(*waiting)
    assert commits == [8]


async def test_who_goes_away_while_the_file_is_in_use_leaves_nothing(other: SqliteStore, tmp_path: Path) -> None:
    """And the turn is free for the next one."""
    busy = sqlite3.connect(tmp_path / "hub.db", isolation_level=None)
    busy.execute("BEGIN IMMEDIATE")
    leaving, staying = asyncio.create_task(save(other, "a")), asyncio.create_task(save(other, "b"))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    busy.execute("ROLLBACK")
    busy.close()
    await staying
    assert await stored_in(other) == ["b"]


async def test_who_writes_without_a_break_lets_the_other_in(other: SqliteStore, tmp_path: Path) -> None:
    """Twenty busy clients at one hub must not shut the other hub out."""
    store = SqliteStore.open(tmp_path / "hub.db")
    is_over = asyncio.Event()

    async def write_on(name: str) -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            await save(store, f"{name}-{number}")

    writers = [asyncio.create_task(write_on(f"w{number}")) for number in range(20)]
    await save(store, "first")
    for number in range(3):
        await save(other, f"other-{number}")
    is_over.set()
    await asyncio.gather(*writers)
    found = await store.reader.records.select(THINGS, Selection(mrids=tuple(MRID(f"other-{n}") for n in range(3))))
    assert len(found) == 3
    await store.close()


def test_a_store_that_cannot_be_opened_leaves_nothing_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever tries again until the disk is there would run out of descriptors, and lock the file against itself."""

    def refuse(path: Path) -> sqlite3.Connection:
        raise DatabaseError(f"{path}: on purpose")

    monkeypatch.setattr(sqlite, "connect_reader", refuse)
    with pytest.raises(DatabaseError, match="on purpose"):
        SqliteStore.open(tmp_path / "hub.db")
    opened = [descriptor.resolve() for descriptor in Path("/proc/self/fd").iterdir()]
    assert [path for path in opened if path.parent == tmp_path.resolve()] == []


async def test_who_has_written_for_a_while_lets_the_next_one_go_first(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the loop of the other one is at something else: it would miss any gap, and a hazard would wait."""
    monkeypatch.setattr(sqlite, "_ROW_SECONDS", 0.0)
    monkeypatch.setattr(sqlite, "_PATIENCE_SECONDS", 3600.0)
    monkeypatch.setattr(store, "_busy_timeout_seconds", 3600.0)
    await save(store, "first")
    other = NextTurn(tmp_path / "hub.db")
    assert other.claim()
    waiting = asyncio.create_task(save(store, "second"))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    assert await stored_in(store) == ["first"]
    other.let_go()
    await waiting
    assert other.claim()  # who has begun is not the next one any more
    other.close()


async def test_who_is_next_and_stands_still_is_not_waited_for(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was stopped, in a debugger or by an operator, must not stop the others."""
    monkeypatch.setattr(sqlite, "_ROW_SECONDS", 0.0)
    monkeypatch.setattr(sqlite, "_PATIENCE_SECONDS", 0.02)
    monkeypatch.setattr(store, "_busy_timeout_seconds", 3600.0)
    other = NextTurn(tmp_path / "hub.db")
    assert other.claim()
    for number in range(3):
        await save(store, f"t{number}")
    assert len(await stored_in(store)) == 3
    other.close()


async def test_who_gives_up_waiting_is_next_no_more(other: SqliteStore, tmp_path: Path) -> None:
    """Else nobody would write any more but for the patience of the others."""
    busy = sqlite3.connect(tmp_path / "hub.db", isolation_level=None)
    busy.execute("BEGIN IMMEDIATE")
    waiting = asyncio.create_task(save(other, "a"))
    turn = NextTurn(tmp_path / "hub.db")
    await asyncio.sleep(0.02)
    assert not turn.claim()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert turn.claim()
    turn.close()
    busy.close()


async def test_two_on_one_file_lose_nothing_and_keep_one_trail(other: SqliteStore, tmp_path: Path) -> None:
    """Each sees what the other did before it, and the rows of the audit trail follow one another (G10)."""
    second = SqliteStore.open(tmp_path / "hub.db")

    async def keep(store: SqliteStore, name: str) -> None:
        for number in range(20):
            async with store.transaction() as transaction:
                await transaction.log.append(an_entry(message_id=f"{name}-{number}"), b"x")
                await transaction.records.save(THINGS, a_thing("shared", Key("by", name)))
                await transaction.outbox.enqueue(a_delivery("k"))

    await asyncio.gather(*(keep(store, f"{n}") for n, store in enumerate((other, second) * 4)))
    rows = await other.reader.audit.rows()
    assert [row.number for row in rows] == list(range(1, 161))
    previous = START
    for row in rows:
        assert (row.previous, row.hash) == (previous, hash_of_row(row))
        previous = row.hash
    sealed = [one.sequence for row in rows for one in row.messages]
    assert len(set(sealed)) == len(sealed) == 160
    async with second.transaction() as transaction:
        taken = await transaction.outbox.claim("GIS", now=NOON, until=NOON, limit=1000)
    assert [one.number for one in taken] == [1]
    await second.close()


# ------------------------------------------------------------------------------------------------------ free pages


def size_of(path: Path) -> int:
    return path.stat().st_size


async def fill_and_clear(store: SqliteStore) -> None:
    """Keep ten megabytes, and forget them."""
    async with store.transaction() as transaction:
        gone = [await transaction.log.append(an_entry(), b"x" * 100_000) for _ in range(100)]
    async with store.transaction() as transaction:
        await transaction.log.remove(gone)


async def test_the_file_shrinks_when_space_is_reclaimed(store: SqliteStore, tmp_path: Path) -> None:
    """Retention that frees no space on the disk is no help when the disk is full."""
    await fill_and_clear(store)
    await save(store, "kept")
    store._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    full = size_of(tmp_path / "hub.db")
    await store.reclaim()
    assert size_of(tmp_path / "hub.db") < full / 5
    assert await stored_in(store) == ["kept"]


async def test_a_file_of_an_early_release_uses_its_free_pages_again(tmp_path: Path) -> None:
    """It cannot shrink, and does not grow either; nothing is said, for nothing is wrong."""
    path = tmp_path / "old.db"
    with sqlite3.connect(path) as old:
        old.execute("CREATE TABLE something (id INTEGER)")
    old.close()
    store = SqliteStore.open(path)
    await fill_and_clear(store)
    await store.reclaim()
    full = size_of(path)
    await fill_and_clear(store)
    await store.reclaim()
    assert size_of(path) <= full * 1.1
    await store.close()


async def test_space_that_cannot_be_reclaimed_is_said(store: SqliteStore, tmp_path: Path) -> None:
    """Another program holds the file; whoever asked for the space hears why there is none."""
    await fill_and_clear(store)
    busy = sqlite3.connect(tmp_path / "hub.db", isolation_level=None)
    busy.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="database is locked"):
        await store.reclaim()
    busy.execute("ROLLBACK")
    busy.close()
    await store.reclaim()
    await save(store, "after")


async def test_an_error_while_space_is_reclaimed_undoes_the_step(store: SqliteStore) -> None:
    """The next message finds no transaction left open."""
    await fill_and_clear(store)
    store._writer.set_progress_handler(lambda: 1, 10)  # every statement is broken off
    with pytest.raises(StoreError, match="interrupted"):
        await store.reclaim()
    store._writer.set_progress_handler(None, 0)
    assert not store._writer.in_transaction
    await save(store, "after")
    assert await stored_in(store) == ["after"]


# ------------------------------------------------------------------------------------------------- looking up objects

_KEY, _OTHER = (Key("name", "n1"),), (Key("name", "n2"), Key("name", "n3"))


@pytest.mark.parametrize(
    ("selection", "plan"),
    [
        (Selection(keys=(_KEY,)), "SEARCH records USING INTEGER PRIMARY KEY (rowid=?)"),
        (Selection(keys=(_KEY, _OTHER), states=("open",)), "SEARCH records USING INTEGER PRIMARY KEY (rowid=?)"),
        (
            Selection(keys=(_KEY,), since=NOON, until=NOON, after=MRID("m1"), limit=10),
            "SEARCH records USING INTEGER PRIMARY KEY (rowid=?)",
        ),
        (Selection(mrids=(MRID("m1"), MRID("m2"))), "sqlite_autoindex_records_1 (collection=? AND mrid=?)"),
        (
            Selection(mrids=(MRID("m1"),), keys=(_KEY,), states=("open",), since=NOON),
            "sqlite_autoindex_records_1 (collection=? AND mrid=?)",
        ),
        (Selection(since=NOON), "ix_records_collection_created_at_id (collection=? AND created_at>?)"),
        (Selection(), "ix_records_collection_created_at_id (collection=?)"),
        (Selection(after=MRID("m1"), limit=0), "(collection=? AND created_at=? AND id>?)"),
    ],
    ids=["keys", "several groups", "page of keys", "mrids", "mrids and keys", "since", "all", "page of all"],
)
async def test_objects_are_looked_up_by_what_is_asked_for(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, selection: Selection, plan: str
) -> None:
    """A walk over the collection makes each message dearer, the more is stored."""
    await save(store, "m1")
    asked: list[tuple[str, object]] = []
    monkeypatch.setattr(Session, "all", lambda _, statement, values: asked.append((statement, values)) or [])
    await store.reader.records.select(THINGS, selection)
    ((statement, values),) = asked
    steps = [row[3] for row in store._reader.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
    of_records = [step for step in steps if step.startswith(("SEARCH records ", "SCAN records"))]
    assert plan in of_records[0], steps
    assert not any(step.startswith(("SCAN records", "SCAN record_keys")) for step in steps), steps


async def test_a_key_is_looked_up_by_its_index(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """As above, for the plainest of look-ups."""
    asked: list[tuple[str, object]] = []
    monkeypatch.setattr(Session, "all", lambda _, statement, values: asked.append((statement, values)) or [])
    await store.reader.records.find_by_key(THINGS, _KEY[0])
    ((statement, values),) = asked
    steps = [row[3] for row in store._reader.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
    assert any("SEARCH records USING INTEGER PRIMARY KEY" in step for step in steps), steps
    assert any("SEARCH record_keys USING PRIMARY KEY (collection=? AND sort=? AND value=?)" in one for one in steps)


@pytest.mark.parametrize("is_turned", [False, True])
async def test_of_several_groups_of_keys_the_rarest_leads(store: SqliteStore, is_turned: bool) -> None:
    """A ticket among the many of its incident is found by its place, and not by looking at all of them."""
    common, rare = Key("incident", "i"), Key("place", "p7")
    async with store.transaction() as transaction:
        for number in range(2000):
            thing = a_thing(f"t{number}", common, Key("place", f"p{number}"))
            await transaction.records.save(THINGS, thing)
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    groups = ((rare,), (common,)) if is_turned else ((common,), (rare,))
    store._reader.set_progress_handler(count, 10)
    found = await store.reader.records.select(THINGS, Selection(keys=groups))
    store._reader.set_progress_handler(None, 10)
    assert [one.mrid for one in found] == ["t7"]
    assert steps < 200, "tens of steps for each of a hundred that are counted, and not for each of two thousand"
