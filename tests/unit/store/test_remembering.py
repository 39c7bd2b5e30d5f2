"""Objects in a transaction are read once and written once, and nobody can tell but by counting."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from cimcare.exchange.ports import Collection, Key, Records, Selection, Stored
from cimcare.exchange.store import Store, StoreError
from cimcare.model.identity import MRID
from cimcare.store import remembering
from cimcare.store.opening import open_store
from cimcare.store.sqlite import SqliteStore
from cimcare.store.sqlite_session import Session, version_after
from tests.support.stored import a_delivery

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)


class Thing(msgspec.Struct, frozen=True, kw_only=True):
    """Something to keep."""

    text: str


THINGS: Collection[Thing] = Collection("test.Things", Thing)
OTHERS: Collection[Thing] = Collection("test.Others", Thing)


_PLACES = ("p0", "p1", "||p2", "A|T|p2", "B|T|p2", "A||p2", "||A|p2")
"""Values of keys; those with two bars and the same end share a row of the table of keys."""


class _UndoneError(Exception):
    """Nothing is to be kept."""


def a_thing(mrid: str, *keys: Key, text: str = "", minutes: int = 0, state: str = "") -> Stored[Thing]:
    at = NOON + timedelta(minutes=minutes)
    return Stored(
        mrid=MRID(mrid), body=Thing(text=text), created_at=at, modified_at=NOON, state=state, keys=frozenset(keys)
    )


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore.open(tmp_path / "hub.db")
    yield store
    await store.close()


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Statements about objects, as they come."""
    seen: list[str] = []
    for name in ("run", "run_each", "all", "one"):
        method = getattr(Session, name)

        def watched(session: Session, statement: str, *rest: object, _method: object = method) -> object:
            if "record" in statement:
                seen.append(statement)
            return _method(session, statement, *rest)  # type: ignore[operator]

        monkeypatch.setattr(Session, name, watched)
    return seen


async def test_an_object_that_many_messages_change_is_read_and_written_once(
    store: SqliteStore, statements: list[str]
) -> None:
    """In a storm all messages of a moment are about the same few devices; each would pay for its own copy of them."""
    async with store.transaction() as transaction:
        await transaction.records.save(THINGS, a_thing("device", text="0"))
    statements.clear()

    async def count_one() -> None:
        async with store.transaction() as transaction:
            for _ in range(3):
                stored = await transaction.records.find(THINGS, MRID("device"))
                assert stored is not None
                more = a_thing("device", text=str(int(stored.body.text) + 1))
                await transaction.records.save(THINGS, more)

    await asyncio.gather(*(count_one() for _ in range(10)))
    assert [one.partition(" ")[0] for one in statements] == ["UPDATE"]
    found = await store.reader.records.find(THINGS, MRID("device"))
    assert found is not None
    assert found.body.text == "30"


async def test_what_another_process_has_written_is_seen(tmp_path: Path, store: SqliteStore) -> None:
    """Two processes on one file: what one remembers ends where the other has written."""
    other = SqliteStore.open(tmp_path / "hub.db")
    for number in range(3):
        for mine, text in ((store, f"here {number}"), (other, f"there {number}")):
            async with mine.transaction() as transaction:
                before = await transaction.records.find(THINGS, MRID("a"))
                if number or mine is other:
                    assert before is not None
                    assert before.body.text == (f"here {number}" if mine is other else f"there {number - 1}")
                await transaction.records.save(THINGS, a_thing("a", text=text))
    await other.close()


@pytest.fixture
async def other(tmp_path: Path, store: SqliteStore) -> AsyncIterator[SqliteStore]:
    """Another process on the same file."""
    other = SqliteStore.open(tmp_path / "hub.db")
    yield other
    await other.close()


async def find_text(store: Store, mrid: str = "a") -> str | None:
    """What a message finds."""
    async with store.transaction() as transaction:
        found = await transaction.records.find(THINGS, MRID(mrid))
    return found.body.text if found is not None else None


async def save_text(store: Store, text: str) -> None:
    async with store.transaction() as transaction:
        await transaction.records.save(THINGS, a_thing("a", text=text))


async def put_delivery(store: Store) -> None:
    async with store.transaction() as transaction:
        await transaction.outbox.enqueue(a_delivery())


async def test_objects_are_remembered_while_others_write_no_objects(
    store: SqliteStore, other: SqliteStore, statements: list[str]
) -> None:
    """A process that carries deliveries writes without end, and none of it is about objects."""
    await save_text(store, "mine")
    await find_text(other)
    statements.clear()
    for _ in range(3):
        await put_delivery(other)
        assert await find_text(store) == "mine"
    assert statements == [], "read anew, which nobody has changed"
    await save_text(other, "theirs")
    assert await find_text(store) == "theirs"
    async with other.transaction() as transaction:
        await transaction.records.drop(THINGS, MRID("a"))
    assert await find_text(store) is None


async def test_what_others_undid_is_remembered_as_it_is(store: SqliteStore, other: SqliteStore) -> None:
    """A version that was raised and undone must not stand for what comes after it."""
    await save_text(store, "first")
    for number in range(3):
        with pytest.raises(_UndoneError):
            async with other.transaction() as transaction:
                await transaction.records.save(THINGS, a_thing("a", text="undone"))
                await transaction.records.find_by_key(THINGS, Key("k", "v"))
                raise _UndoneError
        assert await find_text(store) in ("first", f"there {number - 1}")
        await save_text(other, f"there {number}")
        assert await find_text(store) == f"there {number}"


async def test_a_commit_that_failed_leaves_no_wrong_belief(
    store: SqliteStore, other: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk was full for a moment: neither process may take what it knows for what is on disk."""
    await save_text(store, "first")
    assert await find_text(other) == "first"
    with monkeypatch.context() as patched:
        patched.setattr(store._written.audit, "write", lambda: (_ for _ in ()).throw(StoreError("disk full")))
        with pytest.raises(StoreError):
            await save_text(store, "lost")
    assert await find_text(other) == "first"
    assert await find_text(store) == "first"
    await save_text(other, "second")
    assert await find_text(store) == "second"
    await save_text(store, "third")
    assert await find_text(other) == "third"


async def test_after_a_commit_of_which_nobody_knows_no_version_comes_twice(
    store: SqliteStore, other: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is on disk though it was said to have failed, and the other process has seen it."""
    await save_text(store, "first")
    with monkeypatch.context() as patched:
        patched.setattr(store._written, "note_end", lambda: (_ for _ in ()).throw(StoreError("input/output error")))
        with pytest.raises(StoreError):
            await save_text(store, "second")
    assert await find_text(other) == "second"
    await save_text(store, "third")
    assert await find_text(other) == "third"


async def test_an_upgrade_may_change_objects(tmp_path: Path, store: SqliteStore) -> None:
    """Migrations write past all that remembers."""
    before = store._writer.execute("PRAGMA user_version").fetchone()[0]
    store._writer.execute("UPDATE alembic_version SET version_num = '0006'")
    store._writer.execute("DROP TABLE backlogs")
    upgraded = SqliteStore.open(tmp_path / "hub.db")
    assert store._writer.execute("PRAGMA user_version").fetchone()[0] > before
    await upgraded.close()


def test_versions_of_objects_begin_anew_after_very_many() -> None:
    """Twenty commits a second reach the end of them after three years."""
    assert version_after(0) == 1
    assert version_after(2**31 - 1) == 0


@pytest.mark.parametrize("seed", range(30))
async def test_two_processes_read_what_they_would_in_memory(seed: int, tmp_path: Path) -> None:
    """Whoever of two has saved, dropped or undone, and whatever else they write: answers as by the reference."""
    memory = await open_store("memory:")
    both = [SqliteStore.open(tmp_path / "hub.db") for _ in range(2)]
    choose = random.Random(seed)
    for number in range(25):
        acting = choose.choice(both)
        if choose.random() < 0.4:
            await put_delivery(acting)
        else:
            draws = [random.Random(1000 * seed + number) for _ in range(2)]
            assert await _one_message(memory, draws[0]) == await _one_message(acting, draws[1]), number
    for store in (memory, *both):
        await store.close()


async def test_what_cannot_be_stored_fails_its_own_message(store: SqliteStore) -> None:
    """Others share its commit, and must not have to pay for it."""

    async def save(mrid: str, text: str) -> None:
        async with store.transaction() as transaction:
            await transaction.records.save(THINGS, a_thing(mrid, text=text))

    bad, good = await asyncio.gather(save("bad", "\ud800"), save("good", "fine"), return_exceptions=True)
    assert isinstance(bad, Exception)
    assert good is None
    assert await store.reader.records.find(THINGS, MRID("bad")) is None
    assert await store.reader.records.find(THINGS, MRID("good")) is not None


@pytest.mark.parametrize("most_remembered", [2, 4000])
@pytest.mark.parametrize("seed", range(30))
async def test_any_course_of_events_reads_as_it_does_in_memory(
    seed: int, most_remembered: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Saved, looked for, dropped, undone in part and as a whole, in any order: answers as by the reference."""
    monkeypatch.setattr(remembering, "_MOST_REMEMBERED", most_remembered)
    stores = [await open_store("memory:"), await open_store(f"sqlite:///{tmp_path / 'hub.db'}")]
    for number in range(12):
        answers = [await _one_message(store, random.Random(1000 * seed + number)) for store in stores]
        assert answers[0] == answers[1], number
    left = [
        [await store.reader.records.select(collection, Selection()) for collection in (THINGS, OTHERS)]
        for store in stores
    ]
    assert left[0] == left[1]
    for store in stores:
        await store.close()


async def _one_message(store: Store, draw: random.Random) -> list[object]:
    answers: list[object] = []
    try:
        async with store.transaction() as transaction:
            for _ in range(draw.randrange(1, 15)):
                if draw.random() < 0.15:
                    await _one_part(transaction, draw, answers)
                else:
                    await _one_step(transaction.records, draw, answers)
            if draw.random() < 0.2:
                raise _UndoneError
    except _UndoneError:
        pass
    return answers


async def _one_part(transaction: object, draw: random.Random, answers: list[object]) -> None:
    try:
        async with transaction.savepoint():  # type: ignore[attr-defined]
            for _ in range(draw.randrange(1, 6)):
                await _one_step(transaction.records, draw, answers)  # type: ignore[attr-defined]
            if draw.random() < 0.5:
                raise _UndoneError
    except _UndoneError:
        pass


async def _one_step(records: Records, draw: random.Random, answers: list[object]) -> None:
    collection = draw.choice((THINGS, OTHERS))
    mrid = MRID(f"m{draw.randrange(8)}")
    key = Key("place", draw.choice(_PLACES))
    what = draw.random()
    if what < 0.45:
        keys = [Key("place", draw.choice(_PLACES)) for _ in range(draw.randrange(3))]
        text, state = str(draw.random()), draw.choice(("open", "closed"))
        await records.save(collection, a_thing(mrid, *keys, text=text, state=state, minutes=int(mrid[1:]) // 4))
    elif what < 0.55:
        await records.drop(collection, mrid)
    elif what < 0.7:
        answers.append(await records.find(collection, mrid))
    elif what < 0.8:
        answers.append(await records.find_by_key(collection, key))
    else:
        groups = tuple(
            tuple(Key("place", draw.choice(_PLACES)) for _ in range(draw.choice((1, 1, 2, 3, 9))))
            for _ in range(draw.randrange(3))
        )
        wanted = Selection(
            mrids=(mrid, MRID("m1")) if draw.random() < 0.3 else (),
            keys=groups,
            states=("open",) if draw.random() < 0.3 else (),
            since=NOON + timedelta(minutes=1) if draw.random() < 0.2 else None,
            until=NOON if draw.random() < 0.2 else None,
            after=MRID(f"m{draw.randrange(8)}") if draw.random() < 0.2 else None,
            limit=draw.choice((1, 3, 100)),
            newest_first=draw.random() < 0.3,
        )
        answers.append(await records.select(collection, wanted))


async def test_where_there_is_nothing_nothing_is_looked_for(store: SqliteStore, statements: list[str]) -> None:
    """A ticket is held against words, pins and restorations of which there hardly ever are any."""

    async def look() -> int:
        statements.clear()
        async with store.transaction() as transaction:
            records = transaction.records
            assert await records.find(THINGS, MRID("one")) is None
            assert await records.find_by_key(THINGS, Key("name", "one")) == ()
            assert await records.select(THINGS, Selection(states=("open",))) == ()
        return len(statements)

    assert await look() == 1, "one statement asks whether there is any"
    assert await look() == 0


async def test_the_first_of_a_collection_is_found_at_once(store: SqliteStore) -> None:
    """By the message that saves it, by the next one, and not any more when it was undone."""
    with pytest.raises(_UndoneError):
        async with store.transaction() as transaction:
            assert await transaction.records.select(THINGS, Selection()) == ()
            await transaction.records.save(THINGS, a_thing("one", Key("name", "one")))
            assert len(await transaction.records.select(THINGS, Selection())) == 1
            raise _UndoneError
    async with store.transaction() as transaction:
        assert await transaction.records.find(THINGS, MRID("one")) is None
        await transaction.records.save(THINGS, a_thing("two", Key("name", "two")))
        assert len(await transaction.records.find_by_key(THINGS, Key("name", "two"))) == 1
    async with store.transaction() as transaction:
        assert [one.mrid for one in await transaction.records.select(THINGS, Selection())] == ["two"]
        await transaction.records.drop(THINGS, MRID("two"))
    async with store.transaction() as transaction:
        assert await transaction.records.select(THINGS, Selection()) == ()


async def test_what_another_process_saves_first_is_found(store: SqliteStore, tmp_path: Path) -> None:
    """That there was nothing is known for as long as nobody else has written objects."""
    other = SqliteStore.open(tmp_path / "hub.db")
    async with store.transaction() as transaction:
        assert await transaction.records.find(THINGS, MRID("one")) is None
        assert await transaction.records.select(OTHERS, Selection()) == ()
    async with other.transaction() as transaction:
        await transaction.records.save(THINGS, a_thing("one"))
    async with store.transaction() as transaction:
        assert await transaction.records.find(THINGS, MRID("one")) is not None
        assert await transaction.records.select(OTHERS, Selection()) == ()
    await other.close()


async def test_keys_of_a_sort_that_nothing_has_are_not_looked_for(store: SqliteStore, statements: list[str]) -> None:
    """Hardly ever is an outage confirmed by hand, and each ticket is held against those that are."""
    async with store.transaction() as transaction:
        await transaction.records.save(THINGS, a_thing("one", Key("name", "one")))

    async def look() -> int:
        statements.clear()
        async with store.transaction() as transaction:
            assert await transaction.records.find_by_key(THINGS, Key("pinned", "one")) == ()
            pinned = Selection(keys=((Key("pinned", "one"), Key("pinned", "two")),))
            assert await transaction.records.select(THINGS, pinned) == ()
        return len(statements)

    assert await look() == 1, "one statement asks whether there is any"
    assert await look() == 0
    async with store.transaction() as transaction:
        await transaction.records.save(THINGS, a_thing("two", Key("pinned", "one")))
        assert len(await transaction.records.find_by_key(THINGS, Key("pinned", "one"))) == 1
    async with store.transaction() as transaction:
        assert len(await transaction.records.find_by_key(THINGS, Key("pinned", "one"))) == 1


async def test_a_look_up_writes_nothing(store: SqliteStore, statements: list[str]) -> None:
    """What a message has just saved is found by its keys, and given to the database once, with the commit."""
    async with store.transaction() as transaction:
        await transaction.records.save(THINGS, a_thing("old", Key("place", "p"), Key("name", "old")))
        await transaction.records.save(THINGS, a_thing("gone", Key("place", "p")))
    async with store.transaction() as transaction:
        records = transaction.records
        assert len(await records.find_by_key(THINGS, Key("place", "p"))) == 2
        statements.clear()
        for text in ("first", "second"):
            await records.save(THINGS, a_thing("new", Key("place", "p"), text=text))
            await records.save(THINGS, a_thing("old", Key("place", "p"), text=text))
            await records.save(THINGS, a_thing("gone", text=text))
            found = await records.find_by_key(THINGS, Key("place", "p"))
            assert [(one.mrid, one.body.text) for one in found] == [("old", text), ("new", text)]
            assert await records.find_by_key(THINGS, Key("name", "old")) == ()
            named = await records.select(THINGS, Selection(mrids=(MRID("new"), MRID("gone"), MRID("none"))))
            assert [one.mrid for one in named] == ["gone", "new"]
        await records.drop(THINGS, MRID("gone"))
        assert not any(one.startswith(("INSERT", "UPDATE")) for one in statements)
    written = [one.partition(" ")[0] for one in statements if one.startswith(("INSERT INTO records ", "UPDATE"))]
    assert written == ["INSERT", "UPDATE"]


async def test_names_with_a_nul_are_told_apart(store: SqliteStore) -> None:
    """JSON can say them, and SQLite ends a text of JSON there: the object of another name must not be written over."""
    names = [f"a{end}" for end in ("", "\0", "\0b", "\0c", "b")]
    for text in ("first", "second"):
        async with store.transaction() as transaction:
            for name in names:  # saved without having been read
                await transaction.records.save(THINGS, a_thing(name, text=f"{name!r} {text}"))
        store._written.records.forget()
        async with store.transaction() as transaction:
            for name in names:
                found = await transaction.records.find(THINGS, MRID(name))
                assert found is not None
                assert found.body.text == f"{name!r} {text}"
            every = await transaction.records.select(THINGS, Selection())
            assert sorted(one.mrid for one in every) == sorted(names)
        store._written.records.forget()
        async with store.transaction() as transaction:
            asked = tuple(MRID(name) for name in (*names, "a\0none"))
            named = await transaction.records.select(THINGS, Selection(mrids=asked))
            assert sorted(one.mrid for one in named) == sorted(names)
            assert await transaction.records.find(THINGS, MRID("a\0b")) is not None
