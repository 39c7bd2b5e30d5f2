"""PostgreSQL: what is kept in memory until a batch is written, several hubs on one trail, and walks along indexes."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import timedelta

import asyncpg
import pytest

from cimcare.exchange.audit import START, Action, AuditRow, Note, hash_of_message, hash_of_row
from cimcare.exchange.ledger import Account, Ends, Line, hour_of
from cimcare.exchange.log import Direction, Expiry, LogSelection, Outcome
from cimcare.exchange.outbox import Delivery, DeliveryKind, DeliverySelection, DeliveryState, Priority
from cimcare.exchange.ports import Selection
from cimcare.exchange.store import Reader, Store, StoreError, Transaction
from cimcare.model.identity import MRID
from cimcare.store import postgres_outbox
from cimcare.store.instants import to_micros
from cimcare.store.memory import MemoryStore
from cimcare.store.postgres import PostgresStore
from cimcare.store.postgres_session import ReadingSession, Row, Value
from tests.support.gate import COMMIT, Gate, cut, operator
from tests.support.stored import NOON, THINGS, a_delivery, a_thing, an_entry

LATER = NOON + timedelta(minutes=1)
HOUR = hour_of(NOON)
ALL = DeliverySelection(limit=10_000)


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    store = await PostgresStore.open(postgres_url)
    yield store
    await store.close()


@pytest.fixture
async def other(store: PostgresStore, postgres_url: str) -> AsyncIterator[PostgresStore]:
    """A second hub's store on the same database."""
    other = await PostgresStore.open(postgres_url)
    yield other
    await other.close()


async def keep(transaction: Transaction, name: str, *keys: str) -> int:
    """What a message leaves behind: an entry of the log, a delivery, a count; the number of the delivery."""
    sequence = await transaction.log.append(an_entry(message_id=name, partner="CRM"), name.encode())
    await transaction.ledger.count("CRM", NOON, Account.IN, Ends.RECEIVED)
    await transaction.ledger.count("CRM", NOON, Account.IN, Ends.DELIVERED)
    return await transaction.outbox.enqueue(a_delivery(*keys, message=sequence, cause=sequence, message_id=name))


async def read_all(reader: Reader | Transaction) -> None:
    """Ask for everything that has to be written before it can be answered."""
    await reader.log.select(LogSelection())
    await reader.outbox.select(ALL)
    await reader.ledger.lines(HOUR, LATER)
    await reader.audit.rows()


async def deliveries_of(store: Store) -> dict[str, Delivery]:
    return {one.message_id: one for one in await store.reader.outbox.select(ALL)}


async def sealed_rows(store: Store) -> list[AuditRow]:
    """All rows of the trail, held against one another and against the messages that they name."""
    rows = await store.reader.audit.rows(limit=100_000)
    previous = START
    for number, row in enumerate(rows, start=1):
        assert (row.number, row.previous) == (number, previous)
        assert row.hash == hash_of_row(row)
        previous = row.hash
    return list(rows)


async def require_sealed(store: Store) -> None:
    """Every message stands in the trail, and the last hash of it is that of the message as it is now."""
    told = {one.sequence: one.hash for row in await sealed_rows(store) for one in row.messages}
    entries = await store.reader.log.select(LogSelection(limit=100_000))
    assert sorted(told) == [entry.sequence for entry in entries]
    for entry in entries:
        raw = await store.reader.log.find_raw(entry.sequence)
        assert raw is not None
        assert told[entry.sequence] == hash_of_message(entry, raw)


# --------------------------------------------------------------------------------------------------- one batch


async def test_a_batch_is_written_in_few_statements(store: PostgresStore) -> None:
    """All hubs share one lock, and each way to the server and back is spent inside it."""

    async def work(number: int) -> None:
        async with store.transaction() as transaction:
            for part in range(3):
                await keep(transaction, f"{number}-{part}", f"{number % 5}")

    await work(0)  # the driver asks once for the types
    asked: list[str] = []
    assert store._connection is not None
    store._connection.add_query_logger(lambda record: asked.append(record.query))
    await asyncio.gather(*(work(number) for number in range(1, 61)))
    batches = sum(statement.startswith("BEGIN") for statement in asked)
    assert batches < 10
    assert sum("SAVEPOINT" not in statement for statement in asked) <= 5 * batches
    assert len(await deliveries_of(store)) == 183
    assert len(await sealed_rows(store)) == 61


@pytest.mark.parametrize("reads_before", [False, True])
@pytest.mark.parametrize("reads_inside", [False, True])
async def test_a_part_that_is_undone_leaves_none_of_its_rows(
    store: PostgresStore, reads_before: bool, reads_inside: bool
) -> None:
    """Whether its rows were still in memory or written already, and whether those before it were."""
    async with store.transaction() as transaction:
        first = await keep(transaction, "first", "a")
        if reads_before:
            await read_all(transaction)
        with pytest.raises(LookupError):
            async with transaction.savepoint():
                await keep(transaction, "undone", "a", "b")
                await transaction.audit.append(Note(at=NOON, action=Action.ALARM))
                async with transaction.savepoint():
                    await keep(transaction, "undone too", "c")
                    if reads_inside:
                        assert len(await transaction.outbox.select(ALL)) == 3
                        assert len(await transaction.audit.rows()) == 1
                        (line,) = await transaction.ledger.lines(HOUR, LATER)
                        assert line.received == 3
                raise LookupError("on purpose")
        last = await keep(transaction, "last", "b")
        assert last > first
    found = await deliveries_of(store)
    assert {name: (one.number, one.is_head) for name, one in found.items()} == {
        "first": (first, True),
        "last": (last, True),
    }
    assert await store.reader.ledger.lines(HOUR, LATER) == (
        Line(hour=HOUR, partner="CRM", account=Account.IN, received=2, delivered=2),
    )
    (row,) = await sealed_rows(store)
    assert [one.sequence for one in row.messages] == [found["first"].message, found["last"].message]
    await require_sealed(store)


@pytest.mark.parametrize("reads", [False, True])
async def test_a_message_that_fails_takes_nothing_of_its_neighbours_along(store: PostgresStore, reads: bool) -> None:
    """Their rows may be in memory, or written by the very message that is undone."""

    async def work(name: str, fails: bool) -> None:
        async with store.transaction() as transaction:
            await keep(transaction, name, "a")
            await transaction.audit.append(Note(at=NOON, action=Action.ALARM, subject=name))
            if reads:
                await read_all(transaction)
            if fails:
                raise LookupError("on purpose")

    names = [f"{number:02}" for number in range(12)]
    failing = {"03", "04", "11"}
    await asyncio.gather(*(work(name, name in failing) for name in names), return_exceptions=True)
    kept = [name for name in names if name not in failing]
    found = await deliveries_of(store)
    assert sorted(found) == kept
    assert [name for name in kept if found[name].is_head] == kept[:1]
    assert sorted(one.number for one in found.values()) == [found[name].number for name in kept]
    (line,) = await store.reader.ledger.lines(HOUR, LATER)
    assert (line.received, line.delivered) == (9, 9)
    rows = await sealed_rows(store)
    assert [row.subject for row in rows if row.action is Action.ALARM] == kept
    await require_sealed(store)


async def test_order_holds_between_what_is_in_memory_and_what_is_written(store: PostgresStore) -> None:
    """Deliveries of one object from several messages of a batch, some written before the others."""
    async with store.transaction() as transaction:
        first = await transaction.outbox.enqueue(a_delivery("a"))
        second = await transaction.outbox.enqueue(a_delivery("a", "b"))
        claimed = await transaction.outbox.claim("GIS", now=NOON, until=LATER, limit=10)
        assert [one.number for one in claimed] == [first]
        third = await transaction.outbox.enqueue(a_delivery("b"))
        alone = await transaction.outbox.enqueue(a_delivery("c", "c"))
        assert await transaction.outbox.succeed([(first, 1)], now=NOON)
        claimed = await transaction.outbox.claim("GIS", now=NOON, until=LATER, limit=10)
        assert [one.number for one in claimed] == [second, alone]
        assert await transaction.outbox.succeed([(second, 1)], now=NOON)
        claimed = await transaction.outbox.claim("GIS", now=NOON, until=LATER, limit=10)
        assert [one.number for one in claimed] == [third]


async def test_what_is_only_in_memory_is_covered_by_every_answer(store: PostgresStore) -> None:
    """A message sees everything that was done before it, be it by the message before in the same batch."""
    async with store.transaction() as transaction:
        number = await keep(transaction, "a")
        found = await transaction.outbox.find(number)
        assert found is not None
        assert (found.state, found.is_head) == (DeliveryState.WAITING, True)
        await keep(transaction, "b")
        (backlog,) = await transaction.outbox.backlogs()
        assert backlog.waiting == 2
        await keep(transaction, "c")
        assert await transaction.outbox.count_open("GIS", NOON, LATER) == 3
        assert await transaction.ledger.count_in_work("CRM", NOON, LATER) == 3
        assert [entry.message_id for entry in await transaction.log.find_in_work(LATER, 9)] == ["a", "b", "c"]
        settled = found.message
        await keep(transaction, "d")
        assert await transaction.log.settle(settled, Outcome.OK)
        assert await transaction.ledger.count_in_work("CRM", NOON, LATER) == 3
        expiry = Expiry(before=LATER)
        assert await transaction.log.find_expired(expiry, after=0, limit=9) == ()
    await require_sealed(store)


async def test_a_message_in_work_is_found_whether_written_or_not(store: PostgresStore) -> None:
    """A repeat of what was passed on and is not answered yet must not be passed on again."""
    async with store.transaction() as transaction:
        log = transaction.log
        first = await log.append(an_entry(message_id="m", partner="CRM"), b"1")
        assert await log.find_original("CRM", "m", NOON) == await log.find(first)
        await log.select(LogSelection())
        second = await log.append(an_entry(message_id="m", partner="CRM"), b"2")
        assert await log.find_original("CRM", "m", NOON) == await log.find(second)
        third = await log.append(an_entry(message_id="m", partner="CRM", outcome=Outcome.OK), b"3")
        assert await log.find_original("CRM", "m", NOON) == await log.find(third)
        assert await log.find_original("CRM", "m", LATER) is None
        assert await log.settle(first, Outcome.PARTIAL, ("1.2",))
        original = await log.find_original("CRM", "m", NOON)
        assert original is not None
        assert (original.sequence, original.outcome, original.codes) == (first, Outcome.PARTIAL, ("1.2",))


@pytest.mark.parametrize("seed", range(6))
async def test_any_course_of_a_batch_leaves_what_it_leaves_in_memory(store: PostgresStore, seed: int) -> None:
    """Held against the store without any batch, step by step: what is undone, written early, ended or sent again."""
    reference = MemoryStore()
    for batch in range(8):
        told, expected = [
            await asyncio.gather(*(run_course(through, seed * 1000 + batch * 10 + one) for one in range(5)))
            for through in (store, reference)
        ]
        assert told == expected
    for reads in (
        lambda reader: reader.outbox.select(ALL),
        lambda reader: reader.outbox.backlogs(),
        lambda reader: reader.ledger.lines(HOUR, LATER),
        lambda reader: reader.audit.rows(),
        lambda reader: reader.log.select(LogSelection(limit=10_000)),
    ):
        assert await reads(store.reader) == await reads(reference.reader)
    await require_sealed(store)
    await reference.close()


async def run_course(store: Store, seed: int) -> list[object]:
    """A transaction of random steps, with parts that are undone; what each step said."""
    chance = random.Random(seed)
    told: list[object] = []

    async def walk(transaction: Transaction, depth: int) -> None:
        for _ in range(chance.randrange(1, 12)):
            await step(transaction, depth)

    async def step(transaction: Transaction, depth: int) -> None:
        outbox, number, attempt = transaction.outbox, chance.randrange(1, 80), chance.randrange(1, 4)
        now = NOON + timedelta(seconds=chance.randrange(90))
        match chance.randrange(14):
            case 0 | 1 | 2:
                keys = chance.sample("abcd", chance.randrange(1, 3))
                told.append(await keep(transaction, f"{seed}", *keys))
            case 3 | 4:
                told.append(await outbox.claim("GIS", now=now, until=now + timedelta(seconds=30), limit=3))
            case 5 | 6:
                leased = await outbox.select(DeliverySelection(states=(DeliveryState.LEASED,), limit=1))
                told.extend([await outbox.succeed([(one.number, one.attempts)], now=now) for one in leased])
            case 7:
                told.append(await outbox.bury(number, attempt, now=now, reason="no", received=b"x"))
            case 8:
                told.append(await outbox.resend(number, now=now))
            case 9:
                told.append(await outbox.fail(number, attempt, due_at=now, reason="later", received=b""))
            case 10:
                told.append(await transaction.log.settle(number, Outcome.OK))
            case 11:
                await transaction.audit.append(Note(at=now, action=Action.ALARM, subject=str(number)))
            case _ if depth < 3:
                with suppress(LookupError):
                    async with transaction.savepoint():
                        await walk(transaction, depth + 1)
                        if chance.random() < 0.5:
                            raise LookupError("on purpose")

    with suppress(LookupError):
        async with store.transaction() as transaction:
            await walk(transaction, 0)
            if chance.random() < 0.3:
                raise LookupError("on purpose")
    return told


async def test_numbers_of_deliveries_rise_over_hubs_and_restarts(
    store: PostgresStore, other: PostgresStore, postgres_url: str
) -> None:
    """Order per object goes by number, and a number that somebody wrote down keeps its meaning."""
    given: list[int] = []
    for number, through in enumerate((store, other, store, other)):
        async with through.transaction() as transaction:
            given.append(await keep(transaction, str(number)))
    async with store.transaction() as transaction:
        for delivery in await transaction.outbox.select(ALL):
            await transaction.outbox.claim("GIS", now=NOON, until=LATER, limit=1)
            assert await transaction.outbox.succeed([(delivery.number, 1)], now=NOON)
        assert await transaction.outbox.remove_ended(LATER, limit=100) == 4
    again = await PostgresStore.open(postgres_url)
    async with again.transaction() as transaction:
        given.append(await keep(transaction, "after"))
    await again.close()
    assert given == sorted(set(given))


async def test_texts_of_any_kind_are_counted_sealed_and_kept_in_order(store: PostgresStore) -> None:
    """Senders choose their names and identifiers freely; none of them may break a chain, a count or an order."""
    long, other_long = "x" * 4999 + "a", "x" * 4999 + "b"
    odd = "a\0b\ud800"
    async with store.transaction() as transaction:
        for partner in (long, other_long, odd):
            await transaction.log.append(an_entry(partner=partner, message_id=odd, codes=("2.5", "")), b"\0")
            await transaction.ledger.count(partner, NOON, Account.IN, Ends.RECEIVED)
            await transaction.audit.append(Note(at=NOON, action=Action.REMOVE, actor=partner, details=odd))
            await transaction.outbox.enqueue(a_delivery(partner, message_id=partner[-1]))
            await transaction.outbox.enqueue(a_delivery(partner, message_id=f"{partner[-1]} again"))
    await require_sealed(store)
    for partner in (long, other_long, odd):
        (line,) = await store.reader.ledger.lines(HOUR, LATER, partner)
        assert line.received == 1
        assert await store.reader.ledger.count_in_work(line.partner, NOON, LATER) == 1
        assert await store.reader.ledger.count_in_work(partner, NOON, LATER) == 1
    found = await store.reader.outbox.select(ALL)
    assert [one.is_head for one in found] == [True, False] * 3
    assert found[0].object_keys == (long,)
    async with store.transaction() as transaction:
        for delivery in await transaction.outbox.claim("GIS", now=NOON, until=LATER, limit=10):
            assert await transaction.outbox.bury(delivery.number, 1, now=NOON, reason=odd, received=b"\0")
        claimed = await transaction.outbox.claim("GIS", now=NOON, until=LATER, limit=10)
        assert [one.number for one in claimed] == [one.number for one in found[1::2]]
        assert await transaction.outbox.resend(found[0].number, now=NOON)
        again = await transaction.outbox.find(found[1].number)
        assert again is not None
        assert not again.is_head


async def test_a_destination_that_fits_no_index_fails_alone(store: PostgresStore) -> None:
    """A ReplyAddress may name a host of any length; what is found only at the commit would take neighbours along."""

    async def work(name: str, partner: str) -> None:
        async with store.transaction() as transaction:
            await transaction.outbox.enqueue(a_delivery(message_id=name, partner=partner))

    results = await asyncio.gather(
        work("a", "GIS"), work("b", "reply " + "x" * 5000), work("c", "reply " + "x" * 900), return_exceptions=True
    )
    assert [type(result) for result in results] == [type(None), StoreError, type(None)]
    assert list(await deliveries_of(store)) == ["a", "c"]


# --------------------------------------------------------------------------------------- what gets lost on the way


@pytest.mark.parametrize("arrives", [True, False])
async def test_a_lost_answer_to_a_commit_leaves_all_rows_or_none(postgres_url: str, arrives: bool) -> None:
    """A delivery without its message, a count without its delivery or a gap in the trail would never heal."""
    gate = Gate(postgres_url)
    gate.passes_on = arrives
    async with gate() as url:
        store = await PostgresStore.open(url)

        async def work(name: str) -> None:
            async with store.transaction() as transaction:
                await keep(transaction, name, name)

        await work("before")
        gate.loses = COMMIT
        results = await asyncio.gather(work("a"), work("b"), return_exceptions=True)
        assert gate.loses is None
        assert [result is None for result in results] == [arrives, arrives]
        await work("after")
        kept = ["before", *(["a", "b"] if arrives else []), "after"]
        found = await deliveries_of(store)
        assert list(found) == kept
        assert [entry.message_id for entry in await store.reader.log.select(LogSelection())] == kept
        (line,) = await store.reader.ledger.lines(HOUR, LATER)
        assert line.received == len(kept)
        assert len(await sealed_rows(store)) == len(kept)
        await require_sealed(store)
        await store.close()


@pytest.mark.parametrize("last", ["c", "d"])
async def test_a_connection_lost_in_the_middle_leaves_the_trail_whole(
    store: PostgresStore, postgres_url: str, last: str
) -> None:
    """Rows that were chained in memory and got lost must not be missed by those that come after; and who is told that
    his message is kept finds it, whether it was lost on the way to the next message or to the commit.
    """
    told = ["a", "e"]

    async def work(name: str, *, lose: bool = False) -> None:
        async with store.transaction() as transaction:
            await keep(transaction, name)
            if lose:
                await cut(postgres_url)

    await work("a")
    names = [name for name in ("b", "c", "d") if name <= last]
    results = await asyncio.gather(*(work(name, lose=name == "c") for name in names), return_exceptions=True)
    assert isinstance(results[1], StoreError)
    told += [name for name, result in zip(names, results, strict=True) if result is None]
    await work("e")
    await require_sealed(store)
    assert sorted(await deliveries_of(store)) == sorted(told)
    assert len(await sealed_rows(store)) == len(told)


# ------------------------------------------------------------------------------------------------- several hubs


async def test_two_hubs_write_one_unbroken_trail(store: PostgresStore, other: PostgresStore, postgres_url: str) -> None:
    """Over messages that fail, parts that are undone and a hub whose connection is cut (G10)."""
    chance = random.Random(8)
    told: list[str] = []
    some_are_done = asyncio.Event()

    async def work(through: PostgresStore, name: str, kind: int) -> None:
        async with through.transaction() as transaction:
            await keep(transaction, name, name[-1])
            if kind == 0:
                raise LookupError("on purpose")
            if kind == 1:
                with pytest.raises(LookupError):
                    async with transaction.savepoint():
                        await keep(transaction, f"{name} undone")
                        await transaction.audit.append(Note(at=NOON, action=Action.ALARM))
                        raise LookupError("on purpose")
            if kind == 2:
                await read_all(transaction)
        told.append(name)
        if len(told) >= 10:
            some_are_done.set()

    works = [work((store, other)[number % 2], str(number), chance.randrange(6)) for number in range(120)]

    async def disturb() -> None:
        await some_are_done.wait()
        for _ in range(3):
            await cut(postgres_url)

    results = (await asyncio.gather(*works, disturb(), return_exceptions=True))[:-1]
    assert {type(result) for result in results} >= {type(None), LookupError}
    assert not [result for result in results if not isinstance(result, LookupError | StoreError | None)]
    kept = await deliveries_of(store)
    assert sorted(kept) == sorted(told)
    assert len(await sealed_rows(other)) == len(kept)
    await require_sealed(store)
    (line,) = await store.reader.ledger.lines(HOUR, LATER)
    assert line.received == len(kept)


async def test_an_outcome_that_comes_through_another_hub_is_sealed(store: PostgresStore, other: PostgresStore) -> None:
    """The later reply may come to any hub; the trail shows both what was passed on and what became of it."""
    async with store.transaction() as transaction:
        sequence = await transaction.log.append(an_entry(), b"<request/>")
    async with other.transaction() as transaction:
        assert await transaction.log.settle(sequence, Outcome.FAILED, ("5.1",))
        assert not await transaction.log.settle(sequence, Outcome.OK)
    async with other.transaction() as transaction:
        assert not await transaction.log.settle(sequence, Outcome.OK)
        assert not await transaction.log.settle(sequence + 1, Outcome.OK)
    rows = await sealed_rows(store)
    assert [[one.sequence for one in row.messages] for row in rows] == [[sequence], [sequence]]
    assert rows[0].messages != rows[1].messages
    await require_sealed(store)


async def test_two_hubs_never_lease_the_same_delivery(store: PostgresStore, other: PostgresStore) -> None:
    """Each is sent once, by whichever hub was first (G3)."""
    async with store.transaction() as transaction:
        for number in range(60):
            await transaction.outbox.enqueue(a_delivery(str(number % 20)))
    claimed: list[int] = []

    async def deliver(through: PostgresStore) -> None:
        while True:
            async with through.transaction() as transaction:
                found = await transaction.outbox.claim("GIS", now=NOON, until=LATER, limit=3)
            if not found:
                return
            claimed.extend(one.number for one in found)
            async with through.transaction() as transaction:
                for one in found:
                    assert await transaction.outbox.succeed([(one.number, one.attempts)], now=NOON)

    await asyncio.gather(deliver(store), deliver(other), deliver(store), deliver(other))
    await deliver(store)
    assert sorted(claimed) == sorted({one.number for one in await store.reader.outbox.select(ALL)})
    assert {one.state for one in await store.reader.outbox.select(ALL)} == {DeliveryState.DELIVERED}


# ---------------------------------------------------------------------------------------------- how much is read


def nodes_of(plan: dict[str, object]) -> Iterator[dict[str, object]]:
    """All steps of a plan."""
    yield plan
    children = plan.get("Plans", [])
    assert isinstance(children, list)
    for child in children:
        yield from nodes_of(child)


async def looked_at(connection: "asyncpg.Connection[asyncpg.Record]", statement: str, *values: object) -> Counter[str]:
    """How many rows a statement reads, by index; an exact figure, not a time."""
    async with connection.transaction():
        explained = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", *values)
    rows: Counter[str] = Counter()
    for node in nodes_of(json.loads(explained)[0]["Plan"]):
        if "Scan" in str(node["Node Type"]) and "Relation Name" in node:
            loops, found, removed = (
                node.get(name, 0) for name in ("Actual Loops", "Actual Rows", "Rows Removed by Filter")
            )
            assert isinstance(loops, int)
            assert isinstance(found, int | float)
            assert isinstance(removed, int | float)
            rows[str(node.get("Index Name", node["Node Type"]))] += round(loops * (found + removed))
    return rows


async def test_looking_at_backlogs_reads_no_more_rows_when_more_is_left(store: PostgresStore) -> None:
    """The overview and the metrics ask all the time, the most when the most waits."""
    assert store._connection is not None
    connection = store._connection
    for is_known in (False, True):  # with and without statistics
        async with store.transaction() as transaction:
            for number in range(2000):
                await transaction.outbox.enqueue(a_delivery(f"{is_known} {number}", partner="GIS"))
                await transaction.outbox.enqueue(a_delivery(f"{is_known} {number}", partner="CRM"))
            for one in await transaction.outbox.claim("GIS", now=NOON, until=LATER, limit=500):
                await transaction.outbox.bury(one.number, 1, now=NOON, reason="x", received=b"")
        if is_known:
            await connection.execute("ANALYZE deliveries, backlogs")
        rows = await looked_at(connection, postgres_outbox._BACKLOGS)
        assert sum(rows.values()) < 20, rows


async def test_claiming_reads_no_more_rows_when_more_wait(store: PostgresStore) -> None:
    """A partner that was away for a week must not slow down the rest; 100,000 wait, and eight are looked for (G6)."""
    assert store._connection is not None
    connection = store._connection
    wanted = (
        "GIS",
        to_micros(NOON),
        to_micros(LATER),
        8,
        [kind.value for kind in DeliveryKind],
        [priority.value for priority in Priority],
    )
    for is_known in (False, True):  # with and without statistics
        async with store.transaction() as transaction:
            for number in range(2000):
                one = f"{is_known} {number}"
                await transaction.outbox.enqueue(a_delivery(one, partner="AWAY"))
                await transaction.outbox.enqueue(a_delivery("the same", partner="GIS"))
                await transaction.outbox.enqueue(a_delivery(one, partner="GIS", kind=DeliveryKind.REQUEST))
            paused = await transaction.outbox.claim(
                "GIS", now=NOON, until=LATER, limit=500, only={DeliveryKind.REQUEST}
            )
            for delivery in paused:
                due_at = LATER + timedelta(hours=1)
                await transaction.outbox.fail(delivery.number, 1, due_at=due_at, reason="away", received=b"")
        if is_known:
            await connection.execute("ANALYZE")
        rows = await looked_at(connection, postgres_outbox._CLAIM, *wanted)
        assert set(rows) <= {"ix_deliveries_fresh", "ix_deliveries_tried", "pk_deliveries"}
        assert 8 <= sum(rows.values()) <= 50, rows


async def test_a_page_of_objects_reads_no_more_rows_wherever_it_begins(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An import makes a million objects in one instant, and the next one looks at each of them."""
    assert store._connection is not None
    async with store.transaction() as transaction:
        await transaction.records.save_all(THINGS, [a_thing(f"m-{at:05}") for at in range(5000)])
    await store._connection.execute("ANALYZE")
    asked: list[tuple[str, tuple[Value, ...]]] = []
    real = ReadingSession.fetch

    async def fetch(session: ReadingSession, statement: str, *values: Value) -> list[Row]:
        asked.append((statement, values))
        return await real(session, statement, *values)

    monkeypatch.setattr(ReadingSession, "fetch", fetch)
    found = await store.reader.records.select(THINGS, Selection(after=MRID("m-04900"), limit=10))
    assert [one.mrid for one in found] == [f"m-{at:05}" for at in range(4901, 4911)]
    statement, values = asked[-1]
    assert sum((await looked_at(store._connection, statement, *values)).values()) <= 20


async def test_what_may_be_forgotten_is_found_along_the_whole_log(store: PostgresStore) -> None:
    """Over many steps of the walk, by page, and no further than to what is too young."""
    async with store.transaction() as transaction:
        for number in range(2500):
            verb, direction = ("create", Direction.IN) if number % 2 else ("reply", Direction.OUT)
            await transaction.log.append(an_entry(verb=verb, direction=direction, outcome=Outcome.OK), b"")
        await transaction.log.append(an_entry(received_at=LATER, outcome=Outcome.OK), b"")
    expiry = Expiry(before=LATER, verbs=("create",))
    first = await store.reader.log.find_expired(expiry, after=0, limit=700)
    rest = await store.reader.log.find_expired(expiry, after=first[-1], limit=10_000)
    assert (*first, *rest) == tuple(range(2, 2501, 2))
    assert await store.reader.log.find_expired(Expiry(before=NOON), after=0, limit=5) == ()


# ----------------------------------------------------------------------------------------------------- clean-up


async def test_the_disk_gets_back_what_removed_messages_took(store: PostgresStore, postgres_url: str) -> None:
    """Retention that frees no room is none; and the next message finds the database as quick as before."""
    async with store.transaction() as transaction:
        gone = [await transaction.log.append(an_entry(), random.Random(n).randbytes(1500)) for n in range(2000)]
    async with operator(postgres_url) as connection:
        before = await connection.fetchval("SELECT pg_table_size('messages')")
        async with store.transaction() as transaction:
            await transaction.log.remove(gone)
        await store.reclaim()
        after = await connection.fetchval("SELECT pg_table_size('messages')")
        assert after < before / 10


async def test_clean_up_without_a_server_says_so(postgres_url: str) -> None:
    """It runs at night, and whoever reads the log in the morning has to see why nothing got smaller."""
    gate = Gate(postgres_url)
    async with gate() as url:
        store = await PostgresStore.open(url)
        gate.refuses = True
        with pytest.raises(StoreError):
            await store.reclaim()
        gate.refuses = False
        gate.loses = b"VACUUM"
        with pytest.raises(StoreError):
            await store.reclaim()
        assert gate.loses is None
        await store.reclaim()
        await store.close()
