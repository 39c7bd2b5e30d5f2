"""What a hub does from time to time: each in its time, and none ends by an error."""

import asyncio
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import msgspec
import pytest
import structlog
from starlette.applications import Starlette

from cimcare.exchange.audit import Action
from cimcare.exchange.ledger import Account, Ends
from cimcare.exchange.log import Outcome
from cimcare.exchange.outbox import Priority
from cimcare.exchange.partners import Partner
from cimcare.exchange.store import Reader, Store, StoreError, Transaction
from cimcare.hub.acts.acting import Acting
from cimcare.hub.config.settings import Settings, read_settings
from cimcare.hub.intake.setup import setup_of
from cimcare.hub.metrics import Metrics
from cimcare.hub.operation import upkeep
from cimcare.hub.operation.doctor import Doctor
from cimcare.hub.operation.readiness_facts import Gatherer
from cimcare.hub.operation.upkeep import Upkeep
from cimcare.hub.outgoing.drilling import Driller
from cimcare.hub.rest.alarm_pages import AlarmPages
from cimcare.hub.rest.audience import Audience, StreamTimes
from cimcare.model.nouns import Role
from cimcare.schema import Catalog
from cimcare.store.memory import MemoryStore
from tests.support.hub import call
from tests.support.sender import ScriptedSender
from tests.support.stored import a_delivery, an_entry
from tests.unit.hub.conftest import HeldHub

NOON = datetime(2030, 6, 1, 12, 30, tzinfo=UTC)
OMS = Partner(name="oms", source="OMS", url="http://oms", role=Role.OMS, deadline=timedelta(minutes=2))


class Scene:
    """A store, a clock, and the upkeep of several processes."""

    def __init__(self) -> None:
        self.now = NOON
        self.store = MemoryStore()
        self.logged: list[structlog.typing.EventDict] = []
        self.partners = [OMS]
        self._ids = count()

    def clock(self) -> datetime:
        return self.now

    def process(self, store: Store | None = None, text: str = "") -> Upkeep:
        capture = structlog.testing.LogCapture()
        capture.entries = self.logged
        logger = structlog.wrap_logger(structlog.testing.ReturnLogger(), processors=[capture])
        self.audience = Audience(logger)
        settings = msgspec.structs.replace(read_settings(text), database="memory:")
        return Upkeep(
            store=store or self.store,
            settings=settings,
            partners=lambda: self.partners,
            circuits=dict,
            metrics=Metrics(),
            acting=Acting(store=store or self.store, setup=lambda: setup_of({}, ()), clock=self.clock, new_id=str),
            systems=(),
            clock=self.clock,
            process=f"process {next(self._ids)}",
            logger=logger,
            doctor=self.doctor(store or self.store, settings),
            on_alarms=self.audience.announce,
        )

    def doctor(self, store: Store, settings: Settings) -> Doctor:
        """One that has nobody to drill."""
        driller = Driller(
            store=store,
            sender=ScriptedSender(),
            catalog=Catalog(),
            settings=settings.doctor,
            sources={},
            context="",
            address="",
            circuits=dict,
            is_busy=lambda: False,
            clock=self.clock,
            new_id=str,
        )
        gatherer = Gatherer(store=store, settings=settings, catalog=Catalog(), clock=self.clock)
        return Doctor(
            store=store, settings=settings, driller=driller, gatherer=gatherer, partners=tuple, clock=self.clock
        )

    def pages(self, process: Upkeep) -> Starlette:
        """What `process`, the newest one, shows of alarms."""
        return Starlette(routes=AlarmPages(self.store.reader, process.watcher, self.audience).routes())

    async def receive(self, outcome: Outcome = Outcome.OK, *, at: datetime = NOON) -> int:
        async with self.store.transaction() as transaction:
            await transaction.ledger.count("OMS", at, Account.IN, Ends.RECEIVED)
            entry = an_entry(received_at=at, partner="OMS", verb="create", outcome=outcome)
            return await transaction.log.append(entry, b"")


@pytest.fixture
def scene() -> Scene:
    return Scene()


# -------------------------------------------------------------------------------------------------------- drills


async def test_partners_are_drilled_by_one_process_and_not_more_often_than_was_set(scene: Scene) -> None:
    """Each process has the same timer, and a partner is not to hear of how many there are."""
    processes = [scene.process(text="[doctor]\nevery_minutes = 10\n") for _ in range(2)]

    async def drill() -> int:
        for process in processes:
            await process.drill()
        rows = await scene.store.reader.audit.rows()
        return sum(row.action is Action.DRILL for row in rows)

    assert await drill() == 1
    scene.now += timedelta(minutes=1)
    assert await drill() == 1
    scene.now += timedelta(minutes=9)
    assert await drill() == 2


# -------------------------------------------------------------------------------------------------------- stale


async def test_a_request_is_given_up_when_its_partner_cannot_answer_any_more(scene: Scene) -> None:
    """Twice the deadline, for the reply may come later, and a margin. A shorter deadline does not apply backwards."""
    process = scene.process()
    sequence = await scene.receive(Outcome.NONE)
    scene.now += timedelta(minutes=5)
    await process.settle()
    scene.partners = []
    await process.settle()
    assert scene.logged == []
    scene.now += timedelta(seconds=1)
    await process.settle()
    entry = await scene.store.reader.log.find(sequence)
    assert entry is not None
    assert entry.outcome is Outcome.FAILED
    assert [(one["event"], one["messages"]) for one in scene.logged] == [("requests ended without outcome", 1)]


# ---------------------------------------------------------------------------------------------------- retention


async def test_one_process_cleans_up_for_all(scene: Scene) -> None:
    """Ten processes that walk the same log do ten times the work."""
    one, two = scene.process(), scene.process()
    await scene.receive(at=NOON - timedelta(days=500))
    await one.sweep()
    assert [(one["event"], one["messages"]) for one in scene.logged] == [("removed what is too old", {"requests": 1})]
    await scene.receive(at=NOON - timedelta(days=450))
    scene.now += timedelta(minutes=29)
    await two.sweep()
    assert len(scene.logged) == 1
    scene.now += timedelta(minutes=1)
    await two.sweep()
    assert len(scene.logged) == 2


async def test_a_turn_that_was_taken_in_the_future_holds_nobody_up(scene: Scene) -> None:
    """A clock that was set back must not stop clean-up for years."""
    process = scene.process()
    scene.now += timedelta(days=365)
    await process.sweep()
    scene.now = NOON
    await scene.receive(at=NOON - timedelta(days=500))
    await process.sweep()
    assert len(scene.logged) == 1


async def test_two_that_want_the_turn_at_once_do_not_both_get_it(scene: Scene) -> None:
    """The look before the transaction is only to spare one."""
    one, two = scene.process(), scene.process()
    taken = await asyncio.gather(
        *(process._turns.take("retention", NOON, timedelta(minutes=30)) for process in (one, two))
    )
    assert sorted(taken) == [False, True]


async def test_a_sweep_goes_on_where_the_last_one_was_but_for_once_a_day(scene: Scene) -> None:
    """What was needed at the time is found by then."""
    process = scene.process()
    sequence = await scene.receive(at=NOON - timedelta(days=500))
    await scene.receive(at=NOON - timedelta(days=500))
    async with scene.store.transaction() as transaction:
        number = await transaction.outbox.enqueue(a_delivery(message=sequence, cause=sequence, partner="oms"))
    await process.sweep()
    async with scene.store.transaction() as transaction:
        (delivery,) = await transaction.outbox.claim("oms", now=NOON, until=NOON, limit=1)
        await transaction.outbox.succeed([(number, delivery.attempts)], now=NOON)
    for hours, is_there in ((1, True), (22, True), (1, False)):
        scene.now += timedelta(hours=hours)
        await process.sweep()
        assert (await scene.store.reader.log.find(sequence) is not None) == is_there


# --------------------------------------------------------------------------------------------------------- life


class Failing:
    """A store whose reader fails, and then has an error in it."""

    def __init__(self, store: Store, errors: list[Exception]) -> None:
        self._store = store
        self._errors = errors

    @property
    def reader(self) -> Reader:
        if self._errors:
            raise self._errors.pop(0)
        return self._store.reader

    @asynccontextmanager
    async def transaction(self, priority: Priority = Priority.NORMAL) -> AsyncIterator[Transaction]:
        async with self._store.transaction(priority) as transaction:
            yield transaction

    async def reclaim(self) -> None: ...

    async def close(self) -> None: ...


async def until(is_so: Callable[[], bool]) -> None:
    """Let the others go on until something is so."""
    for _ in range(3000):
        if is_so():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never is")


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits for its time."""
    sleep = asyncio.sleep
    monkeypatch.setattr(upkeep.asyncio, "sleep", lambda _: sleep(0))


@pytest.mark.usefixtures("_at_once")
async def test_nothing_ends_by_an_error(scene: Scene) -> None:
    """Neither one of the database nor one of the program; both are noted, without contents."""
    errors: list[Exception] = []
    process = scene.process(Failing(scene.store, errors))
    errors += [StoreError("locked"), ZeroDivisionError("content")]
    process.start()
    await until(lambda: len(scene.logged) == 2)
    await scene.receive(Outcome.NONE, at=NOON - timedelta(hours=1))
    await until(lambda: len(scene.logged) == 3)
    await process.stop()
    assert [(one["event"], one.get("code")) for one in scene.logged] == [
        ("upkeep failed", "EXC-111"),
        ("upkeep failed", "EXC-109"),
        ("requests ended without outcome", "NET-105"),
    ]
    assert scene.logged[1]["error"] == "ZeroDivisionError"
    assert "content" not in str(scene.logged[1])


@pytest.mark.usefixtures("_at_once")
async def test_everything_is_done_while_it_runs_and_nothing_after(scene: Scene) -> None:
    """Alarms, requests without end, clean-up."""
    process = scene.process()
    await scene.receive()
    await scene.receive(at=NOON - timedelta(days=500))
    await scene.receive(Outcome.NONE, at=NOON - timedelta(hours=1))
    process.start()
    await until(lambda: len(scene.logged) >= 3 and bool(process.watcher.active))
    await process.stop()
    assert {one["event"] for one in scene.logged} >= {
        "alarm raised",
        "removed what is too old",
        "requests ended without outcome",
    }
    seen = len(scene.logged)
    await scene.receive(Outcome.NONE, at=NOON - timedelta(hours=1))
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(scene.logged) == seen
    await process.stop()


@pytest.mark.usefixtures("_at_once")
async def test_retention_can_be_switched_off(scene: Scene) -> None:
    """Who archives by other means keeps all until then."""
    process = scene.process(text="retention.every_minutes = 0\n")
    sequence = await scene.receive(at=NOON - timedelta(days=500))
    process.start()
    for _ in range(200):
        await asyncio.sleep(0)
    await process.stop()
    assert await scene.store.reader.log.find(sequence) is not None


# -------------------------------------------------------------------------------------------------------- pages


class Listener:
    """A client of the stream of alarms."""

    def __init__(self, app: Starlette) -> None:
        self.start: MutableMapping[str, Any] = {}
        self.frames: list[tuple[str, object]] = []
        self.signs_of_life = 0
        scope = {
            "type": "http", "method": "GET", "path": "/api/v1/alarms/stream", "headers": [], "query_string": b"",
        }  # fmt: skip
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, object]:
        await asyncio.Event().wait()
        raise AssertionError

    async def _send(self, event: MutableMapping[str, Any]) -> None:
        if event["type"] == "http.response.start":
            self.start = event
            return
        for frame in event["body"].split(b"\n\n"):
            if frame.startswith(b"event: "):
                word, _, data = frame.removeprefix(b"event: ").partition(b"\ndata: ")
                self.frames.append((word.decode(), msgspec.json.decode(data)["name"]))
            self.signs_of_life += frame == b":"


async def raise_ledger_alarm(scene: Scene, process: Upkeep) -> None:
    await scene.receive()
    await process.watcher.look()


async def clear_ledger_alarm(scene: Scene, process: Upkeep) -> None:
    async with scene.store.transaction() as transaction:
        await transaction.ledger.count("OMS", NOON, Account.IN, Ends.DELIVERED)
    await process.watcher.look()


async def test_active_alarms_are_listed(scene: Scene) -> None:
    """By any process, whoever found them."""
    await raise_ledger_alarm(scene, scene.process())
    app = scene.pages(scene.process())
    response = await call(app, "/api/v1/alarms", method="GET")
    assert response is not None
    (alarm,) = msgspec.json.decode(response.body)["items"]
    assert alarm == {
        "name": "ledger",
        "partner": "oms",
        "level": "critical",
        "since": "2030-06-01T12:30:00Z",
        "found": "1 missing in account in of the hour from 2030-06-01T12:00:00+00:00",
        "remedy": alarm["remedy"],
    }


async def test_the_stream_tells_what_is_active_and_then_what_changes(scene: Scene) -> None:
    """A screen that shows alarms needs no second question."""
    process = scene.process()
    await raise_ledger_alarm(scene, process)
    app = scene.pages(process)
    early = Listener(app)
    await until(lambda: early.frames == [("raised", "ledger")])
    await clear_ledger_alarm(scene, process)
    await until(lambda: early.frames == [("raised", "ledger"), ("cleared", "ledger")])
    late = Listener(app)
    await until(lambda: bool(late.start) and scene.audience.clients == 2)
    await raise_ledger_alarm(scene, process)
    await until(lambda: late.frames == [("raised", "ledger")])
    assert len(early.frames) == 3
    scene.audience.stop()
    await process.stop()
    await asyncio.gather(early.task, late.task)


async def test_a_silent_stream_shows_that_it_lives(scene: Scene) -> None:
    """Else what is between would end it."""
    process = scene.process()
    scene.audience.times = StreamTimes(heart_beat=timedelta(0))
    listener = Listener(scene.pages(process))
    await until(lambda: listener.signs_of_life > 2)
    scene.audience.stop()
    await process.stop()
    await listener.task


async def test_too_many_listeners_are_told_to_come_again(scene: Scene) -> None:
    """Each holds a connection."""
    process = scene.process()
    scene.audience.most = 0
    response = await call(scene.pages(process), "/api/v1/alarms/stream", method="GET")
    assert response is not None
    assert (response.status, response.headers["retry-after"]) == (503, "30")


async def test_a_hub_lists_its_alarms_and_takes_no_filter(held: HeldHub) -> None:
    """Whoever asks for less than all must not be given all without a word."""
    await held.hub.upkeep.watcher.look()
    listed = await held.get("/api/v1/alarms")
    assert (listed.status, msgspec.json.decode(listed.body)) == (200, {"items": []})
    for path in ("/api/v1/alarms?partner=oms", "/api/v1/alarms/stream?partner=oms"):
        refused = await held.get(path)
        assert refused.status == 400
        assert msgspec.json.decode(refused.body)["finding"]["code"] == "EXC-110"
