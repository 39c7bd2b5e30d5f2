"""What every store promises about transactions."""

import asyncio

import pytest

from cimcare.exchange.audit import Action, Note
from cimcare.exchange.log import LogSelection
from cimcare.exchange.outbox import Priority
from cimcare.exchange.ports import Key, Selection
from cimcare.exchange.store import Store, StoreError
from cimcare.model.identity import MRID
from cimcare.store.opening import open_reader, open_store
from tests.support.stored import LASTING_STORES, NOON, THINGS, a_thing, an_entry, save, stored_in

lasting = pytest.mark.parametrize("store_kind", LASTING_STORES, indirect=True)
full = pytest.mark.parametrize("store_kind", indirect=True)


async def test_many_transactions_share_few_commits(store_url: str) -> None:
    """One fsync for all that waited is what makes durable work fast; each is counted once."""
    commits: list[int] = []
    store = await open_store(store_url, on_commit=commits.append)
    await asyncio.gather(*(save(store, f"t{number}") for number in range(50)))
    assert sum(commits) == 50
    assert len(commits) <= 10
    assert len(await stored_in(store)) == 50
    await store.close()


async def test_nobody_is_told_before_the_commit(store: Store) -> None:
    """An OK that leaves before the commit is a promise that a power cut breaks."""

    async def save_and_look(mrid: str) -> bool:
        await save(store, mrid)
        return mrid in await stored_in(store)

    assert await asyncio.gather(save_and_look("a"), save_and_look("b")) == [True, True]


async def test_one_that_fails_is_undone_alone(store: Store) -> None:
    """A message with an error in it must not take its neighbours along."""

    async def fail() -> None:
        async with store.transaction() as transaction:
            await transaction.records.save(THINGS, a_thing("half"))
            await transaction.records.drop(THINGS, MRID("a"))
            raise LookupError("on purpose")

    results = await asyncio.gather(save(store, "a"), fail(), save(store, "b"), fail(), return_exceptions=True)
    assert [type(result) for result in results] == [type(None), LookupError, type(None), LookupError]
    assert await stored_in(store) == ["a", "b"]


async def test_one_that_fails_alone_leaves_nothing(store: Store) -> None:
    """And the next one begins from clean ground."""
    with pytest.raises(LookupError):
        async with store.transaction() as transaction:
            await transaction.records.save(THINGS, a_thing("half", Key("name", "n")))
            await transaction.log.append(an_entry(), b"")
            raise LookupError("on purpose")
    assert await stored_in(store) == []
    assert await store.reader.log.select(LogSelection()) == ()
    await save(store, "a")
    assert await stored_in(store) == ["a"]


async def test_a_part_that_fails_is_undone_alone(store: Store) -> None:
    """Of several operations in one message the bad one must leave nothing: no object, no key, no line in the log."""
    async with store.transaction() as transaction:
        await transaction.records.save(THINGS, a_thing("a", Key("name", "old"), text="before"))
        first = await transaction.log.append(an_entry(message_id="kept"), b"1")
        with pytest.raises(LookupError):
            async with transaction.savepoint():
                await transaction.records.save(THINGS, a_thing("a", Key("name", "new"), text="inside"))
                await transaction.records.save(THINGS, a_thing("b"))
                await transaction.log.append(an_entry(message_id="undone"), b"2")
                assert len(await transaction.log.select(LogSelection())) == 2  # written to the database meanwhile
                raise LookupError("on purpose")
        assert [thing.mrid for thing in await transaction.records.find_by_key(THINGS, Key("name", "old"))] == ["a"]
        assert await transaction.records.find_by_key(THINGS, Key("name", "new")) == ()
        second = await transaction.log.append(an_entry(message_id="after"), b"3")
        assert second > first
    (kept,) = await store.reader.records.select(THINGS, Selection())
    assert (kept.mrid, kept.body.text) == ("a", "before")
    assert [entry.message_id for entry in await store.reader.log.select(LogSelection())] == ["kept", "after"]


async def test_parts_may_be_nested(store: Store) -> None:
    """What an inner part kept is gone when the part around it is undone, and the other way round it is not."""
    async with store.transaction() as transaction:
        with pytest.raises(LookupError):
            async with transaction.savepoint():
                async with transaction.savepoint():
                    await transaction.records.save(THINGS, a_thing("inner kept, outer undone"))
                raise LookupError("on purpose")
        async with transaction.savepoint():
            await transaction.records.save(THINGS, a_thing("outer kept"))
            with pytest.raises(LookupError):
                async with transaction.savepoint():
                    await transaction.records.save(THINGS, a_thing("inner undone"))
                    raise LookupError("on purpose")
    assert await stored_in(store) == ["outer kept"]


async def test_a_part_that_was_kept_is_undone_with_its_transaction(store: Store) -> None:
    """All or nothing holds over all operations of a message."""
    with pytest.raises(LookupError):
        async with store.transaction() as transaction:
            async with transaction.savepoint():
                await transaction.records.save(THINGS, a_thing("a"))
                await transaction.log.append(an_entry(), b"")
            raise LookupError("on purpose")
    assert await stored_in(store) == []
    assert await store.reader.log.select(LogSelection()) == ()


async def test_a_transaction_that_waits_keeps_others_out(store: Store) -> None:
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


async def test_each_sees_what_the_one_before_did(store: Store) -> None:
    """Two calls from one house must not both find that there is no incident yet."""

    async def join(number: int) -> None:
        async with store.transaction() as transaction:
            found = await transaction.records.find_by_key(THINGS, Key("place", "p"))
            if not found:
                await transaction.records.save(THINGS, a_thing(f"incident-{number}", Key("place", "p")))

    await asyncio.gather(*(join(number) for number in range(20)))
    assert len(await stored_in(store)) == 1


async def test_one_who_went_away_does_not_disturb(store: Store) -> None:
    """A client that hangs up, at whatever moment, takes nobody else's work along and leaves nothing half done."""

    async def save_two(name: str) -> None:
        async with store.transaction() as transaction:
            await transaction.records.save(THINGS, a_thing(f"{name}1"))
            await transaction.records.save(THINGS, a_thing(f"{name}2"))

    for patience in range(12):
        name = f"gone{patience}-"
        tasks = [
            asyncio.create_task(one)
            for one in (save(store, f"before{patience}"), save_two(name), save(store, f"after{patience}"))
        ]
        for _ in range(patience):
            await asyncio.sleep(0)
        tasks[1].cancel()
        before, gone, after = await asyncio.gather(*tasks, return_exceptions=True)
        assert (before, after) == (None, None)
        assert gone is None or isinstance(gone, asyncio.CancelledError)
        kept = await stored_in(store)
        assert f"before{patience}" in kept
        assert f"after{patience}" in kept
        assert len([mrid for mrid in kept if mrid.startswith(name)]) in (0, 2)


async def test_the_last_in_the_queue_may_go_away(store: Store) -> None:
    """Those who were told to wait for a common commit get it, although nobody follows any more."""
    entered, may_leave = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with store.transaction() as transaction:
            await transaction.records.save(THINGS, a_thing("a"))
            entered.set()
            await may_leave.wait()

    holding = asyncio.create_task(hold())
    await entered.wait()
    leaving = asyncio.create_task(save(store, "b"))
    await asyncio.sleep(0)
    may_leave.set()
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait_for(holding, 10)
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert "a" in await stored_in(store)


async def test_close_commits_what_waits(store_url: str) -> None:
    """A stop between the work and its commit still answers and keeps."""
    store = await open_store(store_url)
    waiting = asyncio.create_task(save(store, "a"))
    await asyncio.sleep(0)
    await store.close()
    await waiting
    await store.close()
    with pytest.raises(StoreError, match="closed"):
        await save(store, "b")


@lasting
async def test_what_was_closed_is_there_when_it_is_opened_again(store_url: str) -> None:
    """A hub that is started anew goes on where it stopped."""
    store = await open_store(store_url)
    await save(store, "a")
    await store.close()
    again = await open_store(store_url)
    assert await stored_in(again) == ["a"]
    await again.close()


async def test_reader_cannot_write(store: Store) -> None:
    """What reads for the console can never change anything."""
    with pytest.raises(StoreError, match=r"read-?only"):
        await store.reader.records.save(THINGS, a_thing("a"))
    assert await stored_in(store) == []


@lasting
async def test_reader_from_beside_sees_what_is_committed(store: Store, store_url: str) -> None:
    """The command line looks into the database of a running hub."""
    async with store.transaction() as transaction:
        sequence = await transaction.log.append(an_entry(verb="create"), b"<m/>")
        await transaction.records.save(THINGS, a_thing("a"))
        async with open_reader(store_url) as reader:
            assert await reader.log.find(sequence) is None
    async with open_reader(store_url) as reader:
        found = await reader.log.find(sequence)
        assert found is not None
        assert found.verb == "create"
        assert await reader.log.find_raw(sequence) == b"<m/>"
        assert [thing.mrid for thing in await reader.records.select(THINGS, Selection())] == ["a"]


async def test_the_version_is_another_one_after_each_commit(store: Store) -> None:
    """Whoever shows what is kept learns that there is something new without reading it."""
    versions = [await store.reader.version()]
    await save(store, "a")
    versions.append(await store.reader.version())
    async with store.transaction() as transaction:  # an object that is written again, with no message about it
        await transaction.records.save(THINGS, a_thing("a", text="otherwise"))
    versions.append(await store.reader.version())
    async with store.transaction() as transaction:
        await transaction.audit.append(Note(at=NOON, action=Action.CONFIGURE, actor="Kim", subject="rules"))
    versions.append(await store.reader.version())
    assert len(set(versions)) == len(versions)


async def test_the_version_stays_while_nothing_is_committed(store: Store) -> None:
    """Else everybody would look again and again at what is as it was."""
    await save(store, "a")
    seen = []
    for _ in range(5):
        seen.append(await store.reader.version())
        assert await stored_in(store) == ["a"]
        await store.reader.log.select(LogSelection(limit=5, newest_first=True))
    assert len(set(seen)) <= 2  # a server of PostgreSQL may tidy up by itself meanwhile, but not five times


@lasting
async def test_the_version_is_another_one_when_others_have_committed(store: Store, store_url: str) -> None:
    """Workers, couriers and commands write from processes of their own."""
    other = await open_store(store_url)
    version = await store.reader.version()
    await save(other, "a")
    assert await store.reader.version() != version
    async with open_reader(store_url) as beside:
        version = await beside.version()
        await save(store, "b")
        assert await beside.version() != version
    await other.close()


@lasting
async def test_sequences_go_on_after_a_restart(store_url: str) -> None:
    """A number that somebody wrote down keeps meaning the same message."""
    given = []
    for _ in range(3):
        store = await open_store(store_url)
        async with store.transaction() as transaction:
            given.append(await transaction.log.append(an_entry(), b""))
        await store.close()
    assert given == sorted(set(given))


async def test_the_most_urgent_is_next_then_the_oldest(store: Store) -> None:
    """A danger to life does not stand behind a hundred meter readings; among equals nobody is overtaken."""
    entered, may_leave = asyncio.Event(), asyncio.Event()
    order: list[str] = []

    async def hold() -> None:
        async with store.transaction():
            entered.set()
            await may_leave.wait()

    async def enter(name: str, priority: Priority) -> None:
        async with store.transaction(priority):
            order.append(name)

    holding = asyncio.create_task(hold())
    await entered.wait()
    waiting = []
    for name, priority in (
        ("n1", Priority.NORMAL),
        ("l1", Priority.LIFE_SUPPORT),
        ("n2", Priority.NORMAL),
        ("h1", Priority.HAZARD),
        ("l2", Priority.LIFE_SUPPORT),
        ("h2", Priority.HAZARD),
    ):
        waiting.append(asyncio.create_task(enter(name, priority)))
        await asyncio.sleep(0)
    may_leave.set()
    await asyncio.gather(holding, *waiting)
    assert order == ["h1", "h2", "l1", "l2", "n1", "n2"]


async def test_space_is_given_back_while_others_write(store: Store) -> None:
    """Clean-up runs beside the work; it loses nothing of it."""
    async with store.transaction() as transaction:
        gone = [await transaction.log.append(an_entry(), b"x" * 50_000) for _ in range(100)]
    async with store.transaction() as transaction:
        await transaction.log.remove(gone)
    await asyncio.gather(store.reclaim(), *(save(store, f"t{number}") for number in range(20)))
    assert len(await stored_in(store)) == 20
    await store.reclaim()
    await save(store, "after")
    assert len(await stored_in(store)) == 21
