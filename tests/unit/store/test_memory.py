"""The store in memory: what hooks do to its commits, faults, and what is left of it after a crash."""

import asyncio
from datetime import timedelta

import pytest

from cimcare.exchange.ledger import Account, Ends
from cimcare.exchange.log import LogSelection
from cimcare.exchange.outbox import DeliverySelection, DeliveryState
from cimcare.exchange.ports import Key
from cimcare.exchange.store import StoreError
from cimcare.store.errors import DatabaseError
from cimcare.store.memory import MemoryStore
from cimcare.store.opening import open_reader
from tests.support.stored import NOON, THINGS, a_delivery, a_thing, an_entry, save, stored_in


class Disk:
    """Holds each commit up until it is told how it ends."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def __call__(self) -> None:
        self.begun.set()
        await self.end


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


# ---------------------------------------------------------------------------------------------------- commits


async def test_nothing_is_told_or_seen_before_the_disk_has_it() -> None:
    """A slow disk delays the answer, and never makes it come too early (G1)."""
    disk = Disk()
    commits: list[int] = []
    store = MemoryStore(on_commit=commits.append, disk=disk)
    saving = asyncio.gather(save(store, "a"), save(store, "b"))
    await disk.begun.wait()
    late = asyncio.create_task(save(store, "c"))
    await settle()
    assert not saving.done()
    assert await stored_in(store) == []
    assert commits == []
    disk.end.set_result(None)
    await saving
    assert commits[0] == 2
    await late
    assert await stored_in(store) == ["a", "b", "c"]
    await store.close()


@pytest.mark.parametrize("error", [StoreError("memory: disk full"), OSError(28, "No space left on device")])
async def test_a_failing_commit_is_told_to_all_and_keeps_nothing(error: Exception) -> None:
    """What is told and what is kept agree."""
    disk = Disk()
    store = MemoryStore(disk=disk)
    saving = asyncio.gather(save(store, "a"), save(store, "b"), return_exceptions=True)
    await disk.begun.wait()
    disk.end.set_exception(error)
    results = await saving
    assert all(isinstance(result, StoreError) for result in results)
    assert await stored_in(store) == []
    store._disk = _quick
    await save(store, "a")
    assert await stored_in(store) == ["a"]
    await store.close()


async def _quick() -> None:
    pass


async def test_one_who_went_away_during_the_commit_is_kept_all_the_same() -> None:
    """It is on disk; only the answer has no receiver."""
    disk = Disk()
    store = MemoryStore(disk=disk)
    gone, stays = asyncio.create_task(save(store, "a")), asyncio.create_task(save(store, "b"))
    await disk.begun.wait()
    gone.cancel()
    await settle()
    disk.end.set_result(None)
    await stays
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert await stored_in(store) == ["a", "b"]
    await store.close()


async def test_one_who_went_away_is_not_told_of_a_failure() -> None:
    """And the others are."""
    disk = Disk()
    store = MemoryStore(disk=disk)
    gone, stays = asyncio.create_task(save(store, "a")), asyncio.create_task(save(store, "b"))
    await disk.begun.wait()
    gone.cancel()
    await settle()
    disk.end.set_exception(OSError(5, "Input/output error"))
    with pytest.raises(StoreError, match="Input/output error"):
        await stays
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_a_process_that_ends_during_the_commit_tells_nobody_anything() -> None:
    """Neither OK nor failure leaves, and nothing of it is there afterwards."""
    disk = Disk()
    store = MemoryStore(disk=disk)
    saving = asyncio.create_task(save(store, "a"))
    await disk.begun.wait()
    assert store._committing is not None
    store._committing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saving
    again = MemoryStore.from_snapshot(store.snapshot())
    assert await stored_in(again) == []


# ----------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize("step", ["begin", "write", "commit"])
@pytest.mark.parametrize("error", [StoreError("on purpose"), OSError(5, "on purpose")])
async def test_a_fault_at_any_step_is_said_and_leaves_nothing(step: str, error: Exception) -> None:
    """A transaction that could not be begun, written or committed is not there, and the next one is."""
    failing: set[str] = set()

    def fault(at: str) -> None:
        if at in failing:
            raise error

    store = MemoryStore(fault=fault)
    await save(store, "before")
    failing.add(step)
    with pytest.raises(StoreError, match="on purpose"):
        await save(store, "a")
    failing.clear()
    await save(store, "after")
    assert await stored_in(store) == ["before", "after"]
    await store.close()


@pytest.mark.parametrize("at", range(12))
async def test_a_fault_at_any_write_undoes_its_transaction_alone(at: int) -> None:
    """Whichever row it was, that of the audit trail included; neighbours in the same commit stay."""
    writes = 0

    def fault(step: str) -> None:
        nonlocal writes
        if step == "write" and in_second:
            writes += 1
            if writes == at + 1:
                raise OSError(28, "No space left on device")

    store = MemoryStore(fault=fault)
    in_second = False

    async def keep(name: str) -> None:
        nonlocal in_second
        async with store.transaction() as transaction:
            in_second = name == "b"
            await transaction.log.append(an_entry(message_id=name), b"x")
            await transaction.records.save(THINGS, a_thing(name))
            number = await transaction.outbox.enqueue(a_delivery(name))
            await transaction.outbox.claim("GIS", now=NOON, until=NOON, limit=9)
            await transaction.ledger.count("GIS", NOON, Account.IN, Ends.RECEIVED)
            await transaction.outbox.bury(number, 1, now=NOON, reason="", received=b"")
            await transaction.records.drop(THINGS, a_thing(name).mrid)
            await transaction.records.save(THINGS, a_thing(name))
        in_second = False

    results = await asyncio.gather(keep("a"), keep("b"), keep("c"), return_exceptions=True)
    assert [type(result) for result in results] in (
        [type(None), StoreError, type(None)],
        [type(None)] * 3,
    )
    kept = [name for name, result in zip("abc", results, strict=True) if result is None]
    assert (len(kept) == 2) == (writes > at), "every write of the second one was tried"
    assert await stored_in(store) == kept
    assert [entry.message_id for entry in await store.reader.log.select(LogSelection())] == kept
    assert [row.object_keys[0] for row in await store.reader.outbox.select(DeliverySelection())] == kept
    assert len(await store.reader.audit.rows()) == len(kept)
    (line,) = await store.reader.ledger.lines(NOON - timedelta(hours=1), NOON)
    assert line.received == len(kept)
    await store.close()


# ---------------------------------------------------------------------------------------------------- crashes


async def test_a_snapshot_is_what_was_committed_and_goes_on_from_there() -> None:
    """After a crash everything that was told is there, numbers and places in the order included; nothing else is."""
    store = MemoryStore()
    async with store.transaction() as transaction:
        for name in "ab":
            sequence = await transaction.log.append(an_entry(message_id=name), name.encode())
        await transaction.records.save(THINGS, a_thing("t", Key("name", "n")))
        first = await transaction.outbox.enqueue(a_delivery("k"))
        second = await transaction.outbox.enqueue(a_delivery("k"))
        await transaction.outbox.claim("GIS", now=NOON, until=NOON, limit=1)
        await transaction.ledger.count("GIS", NOON, Account.IN, Ends.RECEIVED)
    snapshot = store.snapshot()
    async with store.transaction() as transaction:
        await transaction.log.append(an_entry(message_id="half"), b"")
        await transaction.outbox.succeed([(first, 1)], now=NOON)
        assert store.snapshot() == snapshot
    assert store.snapshot() != snapshot

    again = MemoryStore.from_snapshot(snapshot)
    assert again.snapshot() == snapshot
    assert [entry.message_id for entry in await again.reader.log.select(LogSelection())] == ["a", "b"]
    assert await again.reader.log.find_raw(sequence) == b"b"
    async with again.transaction() as transaction:
        assert len(await transaction.records.find_by_key(THINGS, Key("name", "n"))) == 1
        assert await transaction.log.append(an_entry(), b"") == sequence + 1
        assert await transaction.outbox.enqueue(a_delivery("k")) == second + 1
        (taken,) = await transaction.outbox.claim("GIS", now=NOON, until=NOON, limit=9)
        assert (taken.number, taken.attempts) == (first, 2)
        await transaction.outbox.succeed([(first, 2)], now=NOON)
    rows = await again.reader.audit.rows()
    assert [row.number for row in rows] == [1, 2]
    assert rows[1].previous == rows[0].hash
    found = await again.reader.outbox.find(second)
    assert found is not None
    assert found.is_head
    assert snapshot.deliveries[first].state is DeliveryState.LEASED
    await store.close()
    await again.close()


async def test_nobody_else_can_look_into_it() -> None:
    """The command line says so, instead of showing an empty database."""
    with pytest.raises(DatabaseError, match="process alone that opened it"):
        async with open_reader("memory:"):
            pass


async def test_what_is_read_only_cannot_be_dropped() -> None:
    """Readers cannot remove either."""
    store = MemoryStore()
    await save(store, "a")
    with pytest.raises(StoreError, match="read-only"):
        await store.reader.records.drop(THINGS, a_thing("a").mrid)
    assert await stored_in(store) == ["a"]
