"""What SQLite's log of writes holds is moved into the file by a thread, and the log does not grow without end."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cimcare.store import sqlite_checkpoints
from cimcare.store.sqlite import SqliteStore
from cimcare.store.sqlite_checkpoints import Checkpoints
from tests.support.stored import THINGS, a_thing, make_with_pages, stored_in

_ROWS = 200


@pytest.fixture
def movers(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """In which threads the log was moved; a round is worth it after few rows, and a little log is long."""
    monkeypatch.setattr(sqlite_checkpoints, "_ROWS", _ROWS)
    monkeypatch.setattr(sqlite_checkpoints, "_LONG_BYTES", 1 << 20)
    threads: list[int] = []
    move = Checkpoints._move

    def watched(checkpoints: Checkpoints) -> None:
        threads.append(threading.get_ident())
        move(checkpoints)

    monkeypatch.setattr(Checkpoints, "_move", watched)
    return threads


@pytest.fixture(params=[4096, 16384])
async def store(tmp_path: Path, movers: list[int], request: pytest.FixtureRequest) -> AsyncIterator[SqliteStore]:
    """On a file as it is made now, and on one that an earlier release made with larger pages."""
    if request.param != 4096:
        make_with_pages(tmp_path / "hub.db", request.param)
    store = SqliteStore.open(tmp_path / "hub.db", busy_timeout_seconds=0.0)
    yield store
    await store.close()


async def fill(store: SqliteStore, times: int, mark: str = "") -> None:
    """So many transactions, each of as many rows as are worth a round, with time for the round between them."""
    for number in range(times):
        async with store.transaction() as transaction:
            for each in range(_ROWS):
                await transaction.records.save(THINGS, a_thing(f"{mark}{number} {each}", text="x" * 1000))
        while store._checkpoints._round is not None:
            await asyncio.sleep(0.001)


def log_of(tmp_path: Path) -> int:
    """Bytes of the log of writes."""
    return (tmp_path / "hub.db-wal").stat().st_size


async def test_the_log_begins_anew_and_the_loop_does_not_stand_still_for_it(
    store: SqliteStore, tmp_path: Path, movers: list[int]
) -> None:
    """SQLite itself would let it grow up to 256 MiB here, and hold up whoever commits then."""
    await fill(store, 4)
    grown = log_of(tmp_path)
    await fill(store, 24, "more ")
    assert log_of(tmp_path) <= grown * 1.5
    assert len(movers) >= 10
    assert threading.get_ident() not in movers
    assert len(await stored_in(store)) == 28 * _ROWS


async def test_who_reads_what_is_old_does_not_lose_it_and_holds_up_nobody(
    store: SqliteStore, tmp_path: Path, movers: list[int]
) -> None:
    """A backup or a report that takes minutes reads one state of the file; the log begins anew behind it."""
    await fill(store, 4)
    old = sqlite3.connect(tmp_path / "hub.db")
    old.execute("BEGIN")
    count = "SELECT count(*) FROM records"
    assert old.execute(count).fetchone() == (4 * _ROWS,)
    await fill(store, 8, "more ")
    assert old.execute(count).fetchone() == (4 * _ROWS,)
    held = log_of(tmp_path)
    old.close()
    await fill(store, 8, "still more ")
    assert log_of(tmp_path) <= held * 1.5
    assert len(await stored_in(store)) == 20 * _ROWS


async def test_what_was_moved_is_the_whole_of_it(store: SqliteStore, tmp_path: Path, movers: list[int]) -> None:
    """Pages that were missed would be found by nobody until the log is gone."""
    await fill(store, 12)
    await store.close()
    connection = sqlite3.connect(tmp_path / "hub.db")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert connection.execute("SELECT count(*) FROM records").fetchone() == (12 * _ROWS,)
    connection.close()
    assert movers


async def test_two_processes_on_one_file_do_not_get_into_each_others_way(tmp_path: Path, movers: list[int]) -> None:
    """Each has a thread; one moves, and the other finds it at work."""
    one = SqliteStore.open(tmp_path / "hub.db")
    two = SqliteStore.open(tmp_path / "hub.db")
    await asyncio.gather(fill(one, 12, "one "), fill(two, 12, "two "))
    assert sorted(await stored_in(one)) == sorted(await stored_in(two))
    assert len(await stored_in(one)) == 24 * _ROWS
    await one.close()
    await two.close()
    assert movers


async def test_a_store_can_be_closed_while_the_thread_is_at_work(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection must not be closed under it."""
    begun, may_end = threading.Event(), threading.Event()

    def slow(checkpoints: Checkpoints) -> None:
        begun.set()
        may_end.wait(10)
        checkpoints._mover.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    monkeypatch.setattr(Checkpoints, "_move", slow)
    async with store.transaction() as transaction:
        for each in range(_ROWS):
            await transaction.records.save(THINGS, a_thing(f"{each}"))
    closing = asyncio.create_task(store.close())
    await asyncio.to_thread(begun.wait, 10)
    await asyncio.sleep(0)
    assert not closing.done()
    may_end.set()
    await closing
    connection = sqlite3.connect(tmp_path / "hub.db")
    assert connection.execute("SELECT count(*) FROM records").fetchone() == (_ROWS,)
    connection.close()
