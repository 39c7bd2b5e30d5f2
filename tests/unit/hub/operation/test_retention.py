"""Retention: what may go goes, and what is needed stays."""

import asyncio
import shutil
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path

import asyncpg
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cimcare.exchange.audit import Action
from cimcare.exchange.log import Direction, LogEntry, LogSelection, Outcome
from cimcare.exchange.outbox import DeliverySelection, DeliveryState, Outbox, Priority
from cimcare.exchange.removal import removed_by
from cimcare.exchange.store import Reader, Store, Transaction
from cimcare.hub.config.settings import read_settings
from cimcare.hub.operation import retention
from cimcare.hub.operation.auditing import verify
from cimcare.hub.operation.retention import Ages, MessageClass, Retention, Swept, count_expired, expiries_of
from cimcare.model.verbs import EVENT_VERBS, Archetype, Verb
from cimcare.store import memory
from cimcare.store.opening import open_store
from cimcare.store.tables import METADATA
from tests.support.stored import ALL_STORES, NOON, a_delivery, an_entry

NOW = NOON + timedelta(days=100)
LIVE = (DeliveryState.WAITING, DeliveryState.LEASED, DeliveryState.AWAITING, DeliveryState.DEAD)
ANSWERS = (Verb.REPLY, "")

Open = Callable[[], "asynccontextmanager[Store]"]


def days(number: float) -> timedelta:
    return timedelta(days=number)


def some_ages(**changes: float) -> Ages:
    given = {"requests": 40, "events": 20, "queries": 5, "refused": 20, "deliveries": 3, "window": 7} | changes
    return Ages(**{name: days(number) for name, number in given.items()})


class Message(msgspec.Struct, frozen=True):
    """A message of a history. `answer_to` is the place of an earlier one; -1 stands for one that is not there."""

    age_days: float
    verb: str = "create"
    archetype: str = "RequestMessage"
    direction: Direction = Direction.IN
    outcome: Outcome = Outcome.OK
    answer_to: int | None = None
    is_repeat: bool = False
    message_id: str = ""


class Sent(msgspec.Struct, frozen=True):
    """A delivery of a history: of the message at a place, caused by that at another."""

    message: int
    cause: int
    state: DeliveryState
    age_days: float = 50


class History(msgspec.Struct, frozen=True):
    """Messages, oldest first, and deliveries."""

    messages: list[Message]
    deliveries: list[Sent] = []

    async def write(self, store: Store) -> list[int]:
        """Put all of it into an empty store; the sequences of the messages."""
        sequences: list[int] = []
        for one in self.messages:
            answer_to = None if one.answer_to is None else 10**6 if one.answer_to < 0 else sequences[one.answer_to]
            async with store.transaction() as transaction:
                entry = an_entry(
                    received_at=NOW - days(one.age_days), partner="OMS", verb=one.verb, archetype=one.archetype,
                    direction=one.direction, outcome=one.outcome, answer_to=answer_to, message_id=one.message_id,
                    repeat_of=1 if one.is_repeat else None,
                )  # fmt: skip
                sequences.append(await transaction.log.append(entry, one.verb.encode()))
        for number, sent in enumerate(self.deliveries):
            async with store.transaction() as transaction:
                await _deliver(transaction.outbox, sent, sequences, f"partner {number}")
        return sequences


async def _deliver(outbox: Outbox, sent: Sent, sequences: list[int], partner: str) -> None:
    at = NOW - days(sent.age_days)
    number = await outbox.enqueue(
        a_delivery(message=sequences[sent.message], cause=sequences[sent.cause], partner=partner, created_at=at)
    )
    if sent.state is DeliveryState.WAITING:
        return
    await outbox.claim(partner, now=at, until=at, limit=1)
    match sent.state:
        case DeliveryState.AWAITING:
            await outbox.wait_for_reply(number, 1, until=NOW)
        case DeliveryState.DELIVERED:
            await outbox.succeed([(number, 1)], now=at)
        case DeliveryState.DEAD | DeliveryState.DISCARDED:
            await outbox.bury(number, 1, now=at, reason="no", received=b"")
    if sent.state is DeliveryState.DISCARDED:
        await outbox.discard(number, now=at, reason="no use")


async def left(reader: Reader) -> dict[int, LogEntry]:
    return {entry.sequence: entry for entry in await reader.log.select(LogSelection(limit=10_000))}


async def deliveries_left(reader: Reader) -> set[int]:
    return {one.number for one in await reader.outbox.select(DeliverySelection(limit=10_000))}


async def empty(url: str) -> None:
    """Take all rows out of a database, if it has tables by now: making one takes long."""
    connection = await asyncpg.connect(url)
    try:
        if await connection.fetchval("SELECT to_regclass('messages')"):
            tables = ", ".join(METADATA.tables)
            await connection.execute(f"TRUNCATE {tables}, message_terms RESTART IDENTITY")
    finally:
        await connection.close()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database, to be copied: its tables take long to make."""
    path = tmp_path_factory.mktemp("template") / "hub.db"

    async def make() -> None:
        await (await open_store(f"sqlite:///{path}")).close()

    asyncio.run(make())
    return path


@pytest.fixture(params=ALL_STORES)
def open_empty(request: pytest.FixtureRequest, template: Path, tmp_path: Path) -> Open:
    """Opens an empty store, as often as one likes."""
    numbers = count()
    database = request.getfixturevalue("postgres_url") if request.param == "postgresql" else ""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Store]:
        url = memory.URL
        if request.param == "sqlite":
            file = tmp_path / f"{next(numbers)}.db"
            shutil.copy(template, file)
            url = f"sqlite:///{file}"
        elif database:
            url = database
            await empty(url)
        store = await open_store(url)
        yield store
        await store.close()

    return opened


@pytest.fixture(params=[(200, 2000, 1000), (2, 3, 1)], ids=["large batches", "small batches"])
def _batches(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_TOGETHER", request.param[0])
    monkeypatch.setattr(retention, "_WIDEST", request.param[1])
    monkeypatch.setattr(retention, "_PAGE", request.param[2])


# ------------------------------------------------------------------------------------------------- any history

_ages = st.builds(Ages, **dict.fromkeys(Ages.__struct_fields__, st.integers(1, 30).map(days)))


@st.composite
def histories(draw: st.DrawFn) -> History:
    """What may have come together, whether or not it makes sense."""
    ages = sorted(draw(st.lists(st.integers(0, 60), max_size=14)), reverse=True)
    messages = [
        Message(
            age_days=age,
            verb=draw(st.sampled_from(ANSWERS) | st.sampled_from([*Verb])),
            archetype=draw(st.sampled_from([*Archetype, ""])),
            direction=draw(st.sampled_from(Direction)),
            outcome=draw(st.sampled_from([Outcome.OK, Outcome.OK, *Outcome])),
            answer_to=draw(st.none() | st.integers(-1, place - 1) | st.integers(0, place - 1)) if place else None,
            is_repeat=draw(st.integers(0, 5)) == 0,
            message_id=draw(st.sampled_from(["a", "b"])),
        )
        for place, age in enumerate(ages)
    ]
    places = st.integers(0, len(messages) - 1)
    deliveries = st.lists(
        st.builds(
            Sent, message=places, cause=places, state=st.sampled_from(DeliveryState), age_days=st.integers(0, 60)
        ),
        max_size=5,
    )
    return History(messages, draw(deliveries) if messages else [])


def expected_to_go(history: History, ages: Ages) -> set[int]:
    """Places of the messages that retention has to remove, as its rules are told to operators."""
    messages = history.messages
    needed = {place for sent in history.deliveries if sent.state in LIVE for place in (sent.message, sent.cause)}
    answers = defaultdict(list)
    roots = []
    for place, one in enumerate(messages):
        if one.verb in ANSWERS and one.answer_to is not None and one.answer_to >= 0:
            answers[one.answer_to].append(place)
        else:
            roots.append(place)

    def thread(place: int) -> Iterator[int]:
        yield place
        for answer in answers[place]:
            yield from thread(answer)

    gone: set[int] = set()
    for root in roots:
        one = messages[root]
        if one.outcome in (Outcome.FAILED, Outcome.FAULT):
            age = ages.refused
        elif one.verb == Verb.GET:
            age = ages.queries
        elif one.verb in EVENT_VERBS:
            age = ages.events
        elif one.verb in ANSWERS:
            age = max(ages.requests, ages.events, ages.queries, ages.refused)
        else:
            age = ages.requests
        members = set(thread(root))
        if (
            members.isdisjoint(needed)
            and one.answer_to not in needed
            and all(days(messages[place].age_days) > max(age, ages.window) for place in members)
            and not any(
                messages[place].direction is Direction.IN
                and messages[place].outcome is Outcome.NONE
                and not messages[place].is_repeat
                for place in members
            )
        ):
            gone |= members
    return gone


@pytest.mark.usefixtures("_batches")
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(history=histories(), ages=_ages)
async def test_goes_what_is_expired_and_not_needed_and_nothing_else(
    open_empty: Open, history: History, ages: Ages
) -> None:
    """Operators switch clean-up off where they cannot trust it, and fill their disks where it leaves things behind."""
    async with open_empty() as store:
        sequences = await history.write(store)
        before = await left(store.reader)
        numbers = await deliveries_left(store.reader)
        counted = await count_expired(store.reader, ages, NOW)
        assert await left(store.reader) == before

        sweeper = Retention(store, ages, lambda: NOW)
        swept = await sweeper.sweep()

        gone = expected_to_go(history, ages)
        assert set(before) - set(await left(store.reader)) == {sequences[place] for place in gone}
        assert sum(swept.messages.values()) == len(gone)
        ended = [
            number
            for number, sent in enumerate(history.deliveries, start=1)
            if sent.state not in LIVE and days(sent.age_days) > ages.deliveries
        ]
        assert numbers - await deliveries_left(store.reader) == set(ended)
        assert swept.deliveries == len(ended)
        assert counted == swept
        assert (await verify(store.reader)).flaws == ()

        rows = await store.reader.audit.rows()
        assert (await sweeper.sweep()).is_nothing
        assert await store.reader.audit.rows() == rows
        await assert_nothing_is_missed(history, sequences, before, store.reader, ages)


async def assert_nothing_is_missed(
    history: History, sequences: list[int], before: dict[int, LogEntry], reader: Reader, ages: Ages
) -> None:
    """What who works with the messages asks for is still there: told without the rules of retention."""
    after = await left(reader)
    for sent in history.deliveries:
        if sent.state not in LIVE:
            continue
        for sequence in (sequences[sent.message], sequences[sent.cause]):
            assert sequence in after
            assert [one for one in after.values() if one.answer_to == sequence] == [
                one for one in before.values() if one.answer_to == sequence
            ]
    for entry in before.values():
        if entry.direction is Direction.IN and not entry.outcome and entry.repeat_of is None:
            assert entry.sequence in after
        if entry.outcome in (Outcome.OK, Outcome.PARTIAL) and entry.received_at >= NOW - ages.window:
            assert entry.sequence in after
            answers = (one for one in before.values() if one.answer_to == entry.sequence and one.verb in ANSWERS)
            assert all(one.sequence in after for one in answers)


# ------------------------------------------------------------------------------------------------- told one by one


async def swept(store: Store, ages: Ages | None = None) -> Swept:
    return await Retention(store, ages or some_ages(), lambda: NOW).sweep()


async def test_a_dead_letter_keeps_what_was_sent_and_what_was_said(open_empty: Open) -> None:
    """It is the reason why it is dead, which somebody has to understand before it is sent again."""
    wire = {"archetype": "EventMessage", "verb": "created", "age_days": 90}
    history = History(
        [
            Message(**wire),
            Message(**wire, direction=Direction.OUT, outcome=Outcome.FAILED, answer_to=0),
            Message(archetype="FaultMessage", verb="", outcome=Outcome.FAULT, answer_to=0, age_days=90),
        ],
        [Sent(message=0, cause=0, state=DeliveryState.DEAD)],
    )
    async with open_empty() as store:
        sequences = await history.write(store)
        assert (await swept(store)).is_nothing
        async with store.transaction() as transaction:
            await transaction.outbox.discard(1, now=NOW, reason="no use")
        assert sum((await swept(store)).messages.values()) == 3
        assert await left(store.reader) == {}
        assert await store.reader.log.find(sequences[0]) is None


async def test_a_question_goes_with_all_its_answers(open_empty: Open) -> None:
    """Answers to questions are the bulk of a log, and nobody looks for one without the other."""
    reply = {"archetype": "ResponseMessage", "verb": "reply", "direction": Direction.OUT}
    history = History(
        [
            Message(verb="get", age_days=10),
            Message(**reply, answer_to=0, age_days=10),
            Message(**reply, answer_to=0, age_days=9, outcome=Outcome.FAILED),
            Message(verb="create", age_days=10),
            Message(**reply, answer_to=3, age_days=9),
        ]
    )
    async with open_empty() as store:
        sequences = await history.write(store)
        counts = (await swept(store)).messages
        assert counts == dict.fromkeys(MessageClass, 0) | {MessageClass.QUERIES: 3}
        assert list(await left(store.reader)) == sequences[3:]


async def test_what_may_be_repeated_stays_whatever_its_age(open_empty: Open) -> None:
    """A repeat whose original is gone would have its effect twice."""
    history = History(
        [
            Message(age_days=8, message_id="old"),
            Message(age_days=6, message_id="new"),
            Message(age_days=6, archetype="ResponseMessage", verb="reply", direction=Direction.OUT, answer_to=1),
        ]
    )
    async with open_empty() as store:
        await history.write(store)
        await swept(store, some_ages(requests=1, queries=1, events=1, refused=1))
        since = NOW - days(7)
        assert await store.reader.log.find_original("OMS", "old", since) is None
        original = await store.reader.log.find_original("OMS", "new", since)
        assert original is not None
        assert await store.reader.log.find_answer(original.sequence) is not None


async def test_the_trail_says_what_went_and_who_did_it(open_empty: Open) -> None:
    """Removed can be told from missing."""
    history = History([Message(age_days=50)] * 3 + [Message(age_days=1)], [Sent(0, 0, DeliveryState.DELIVERED)])
    async with open_empty() as store:
        await history.write(store)
        await Retention(store, some_ages(), lambda: NOW).sweep(actor="somebody")
        rows = [row for row in await store.reader.audit.rows() if row.action is Action.REMOVE]
        assert [(row.at, row.actor, row.subject) for row in rows] == [
            (NOW, "somebody", "messages"),
            (NOW, "somebody", "deliveries"),
        ]
        assert [row.details for row in rows] == ["1-3", "1 that ended before 2030-09-06T12:00:00+00:00"]
        assert (await verify(store.reader)).is_whole


@pytest.mark.usefixtures("_batches")
async def test_each_transaction_is_short(open_empty: Open) -> None:
    """Messages that come in wait for a transaction that removes."""
    async with open_empty() as store:
        await History([Message(age_days=50)] * 7, [Sent(0, 0, DeliveryState.DELIVERED)] * 5).write(store)
        await swept(store)
        rows = [row for row in await store.reader.audit.rows() if row.action is Action.REMOVE]
        most = retention._TOGETHER
        assert [len(list(run)) <= most for row in rows for run in removed_by(row)] == [True] * -(-7 // most)
        assert len(rows) == -(-7 // most) + -(-5 // most)


class Meddling:
    """A store in which something happens just before each transaction but the own ones of what happens."""

    def __init__(self, store: Store, happens: Callable[[], Awaitable[None]]) -> None:
        self._store = store
        self._happens = happens
        self.reader = store.reader
        self.reclaimed = 0

    @asynccontextmanager
    async def transaction(self, priority: Priority = Priority.NORMAL) -> AsyncIterator[Transaction]:
        await self._happens()
        async with self._store.transaction(priority) as transaction:
            yield transaction

    async def reclaim(self) -> None:
        self.reclaimed += 1
        await self._store.reclaim()

    async def close(self) -> None:
        await self._store.close()


async def test_what_is_needed_by_the_time_stays(open_empty: Open) -> None:
    """A later reply may come to a request that is just about to be removed."""
    async with open_empty() as store:
        sequences = await History([Message(age_days=50)] * 2).write(store)

        async def reply_comes() -> None:
            async with store.transaction() as transaction:
                await transaction.outbox.enqueue(a_delivery(message=10**6, cause=sequences[0]))

        assert (await swept(Meddling(store, reply_comes))).messages[MessageClass.REQUESTS] == 1
        assert list(await left(store.reader)) == sequences[:1]


async def test_two_hubs_may_sweep_at_once(open_empty: Open) -> None:
    """Several processes work on one database. What one has removed the other leaves out."""
    async with open_empty() as store:
        await History([Message(age_days=50)] * 5).write(store)

        async def other_sweeps() -> None:
            await swept(store)

        meddling = Meddling(store, other_sweeps)
        assert (await swept(meddling)).is_nothing
        assert meddling.reclaimed == 0
        assert (await verify(store.reader)).removed == 5


async def test_a_sweep_that_goes_on_leaves_the_rest_to_a_whole_one(open_empty: Open) -> None:
    """A log of a year is not walked every hour."""
    async with open_empty() as store:
        sequences = await History([Message(age_days=50)] * 3, [Sent(0, 0, DeliveryState.DEAD)]).write(store)
        meddling = Meddling(store, _nothing)
        sweeper = Retention(meddling, some_ages(), lambda: NOW)
        assert (await sweeper.sweep()).messages[MessageClass.REQUESTS] == 2
        assert meddling.reclaimed == 1
        async with store.transaction() as transaction:
            await transaction.outbox.discard(1, now=NOW, reason="no use")
        assert (await sweeper.sweep(is_whole=False)).is_nothing
        assert list(await left(store.reader)) == sequences[:1]
        assert (await sweeper.sweep()).messages[MessageClass.REQUESTS] == 1


async def _nothing() -> None:
    pass


def test_each_kind_of_message_is_in_one_class() -> None:
    """Otherwise some messages would stay for ever, or go by the age of another class."""
    verbs = [verb for expiry in expiries_of(some_ages(), NOW).values() if not expiry.refused for verb in expiry.verbs]
    assert sorted(verbs) == sorted({*Verb, ""})
    assert all(expiry.archetypes == () for expiry in expiries_of(some_ages(), NOW).values())


def test_ages_are_those_of_the_settings() -> None:
    """Each has a setting of its own."""
    names = ("requests", "events", "queries", "refused", "deliveries")
    lines = "".join(f"{name}_days = {number}\n" for number, name in enumerate(names, start=10))
    ages = Ages.of(read_settings(f"hub.repeat_window_days = 9\n[retention]\n{lines}"))
    assert ages == some_ages(**{name: number for number, name in enumerate(names, start=10)}, window=9)
