"""What the built-in systems do by the clock: each in its turn, by one process, whatever goes wrong."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import structlog

from cimcare.errors import finding_of
from cimcare.exchange.dispatch import System
from cimcare.exchange.outbox import Priority
from cimcare.exchange.partners import Partner
from cimcare.exchange.ports import Served, ServingContext, Tick
from cimcare.exchange.store import Reader, Store, StoreError, Transaction
from cimcare.hub import app
from cimcare.hub.acts.acting import Acting
from cimcare.hub.acts.ticking import Ticking
from cimcare.hub.acts.turns import Turns
from cimcare.hub.intake.setup import setup_of
from cimcare.hub.operation import upkeep
from cimcare.model.envelope import Result
from cimcare.model.nouns import Role
from cimcare.store.memory import MemoryStore
from tests.support.stored import THINGS, a_thing, stored_in
from tests.unit.hub.conftest import HeldHub

NOON = datetime(2030, 6, 1, 12, 30, tzinfo=UTC)
SOURCES = {role: role.value.upper() for role in Role}
EVERY = timedelta(minutes=1)
REAL_OMS = Partner(name="adms", url="http://adms.example/soap", source="ADMS", role=Role.OMS)


class Scene:
    """A store, a clock, and processes that tick. What was called stands in `called`."""

    def __init__(self) -> None:
        self.now = NOON
        self.store = MemoryStore()
        self.partners: list[Partner] = []
        self.called: list[str] = []
        self.contexts: list[ServingContext] = []
        self.logged: list[structlog.typing.EventDict] = []
        self.rests: list[float] = []
        self._ids = 0

    def new_id(self) -> str:
        self._ids += 1
        return f"id {self._ids}"

    async def rest(self, seconds: float) -> None:
        self.rests.append(seconds)

    def tick(self, name: str, *outcomes: Served | Exception, takes: timedelta = timedelta()) -> Tick:
        """A tick that saves an object each time, and says these things one after another, then OK."""
        left = list(outcomes)

        async def tick(context: ServingContext) -> Served:
            self.called.append(name)
            self.contexts.append(context)
            self.now += takes
            await context.records.save(THINGS, a_thing(f"{name} {len(self.called)}"))
            said = left.pop(0) if left else Served(result=Result.OK)
            if isinstance(said, Exception):
                raise said
            return said

        tick.__name__ = name
        return tick

    def process(self, *ticks: Tick, role: Role = Role.OMS, store: Store | None = None) -> Ticking:
        capture = structlog.testing.LogCapture()
        capture.entries = self.logged
        return Ticking(
            acting=Acting(
                store=store or self.store,
                setup=lambda: setup_of(SOURCES, self.partners),
                clock=lambda: self.now,
                new_id=self.new_id,
            ),
            ticks=[(role, tick) for tick in ticks],
            turns=Turns(self.store, self.new_id()),
            turn="ticks",
            clock=lambda: self.now,
            every=EVERY,
            logger=structlog.wrap_logger(structlog.testing.ReturnLogger(), processors=[capture]),
            pause=self.rest,
        )


MORE = Served(result=Result.OK, has_more=True)


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_each_is_called_once_a_round_and_one_with_more_again_at_once(scene: Scene) -> None:
    """A thousand things that are due need not wait a minute for each hundred; and one tick keeps no other waiting."""
    process = scene.process(scene.tick("a", MORE, MORE), scene.tick("b", MORE), scene.tick("c"))
    await process.round()
    assert scene.called == ["a", "b", "c", "a", "b", "a"]
    scene.now += EVERY
    await process.round()
    assert scene.called[6:] == ["a", "b", "c"]


async def test_it_works_in_the_name_of_its_system_and_at_its_time(scene: Scene) -> None:
    """What it writes down as now, and as who, is told to others."""
    await scene.process(scene.tick("a")).round()
    (context,) = scene.contexts
    assert (context.now, context.header.source, context.header.noun) == (NOON, "OMS", "")
    assert context.header.correlation_id


async def test_one_process_ticks_for_all(scene: Scene) -> None:
    """Each notice would be planned as often as there are processes."""
    one, two = scene.process(scene.tick("one")), scene.process(scene.tick("two"))
    await asyncio.gather(one.round(), two.round())
    assert len(scene.called) == 1
    scene.now += timedelta(seconds=40)
    await one.round()
    await two.round()
    assert len(scene.called) == 1
    scene.now += timedelta(seconds=20)
    await two.round()
    await one.round()
    assert scene.called[1:] == ["two"]


async def test_a_long_round_stays_with_its_process(scene: Scene) -> None:
    """Another that comes meanwhile must not begin the same."""
    two = scene.process(scene.tick("two"))
    taken: list[bool] = []

    async def look(context: ServingContext) -> Served:
        scene.called.append("look")
        asked = asyncio.create_task(two.round())
        await asyncio.sleep(0)
        taken.append(asked.done())
        return Served(result=Result.OK)

    one = scene.process(*(scene.tick("one", takes=timedelta(seconds=30)) for _ in range(5)), look)
    await one.round()
    for _ in range(20):
        await asyncio.sleep(0)
    assert scene.called == ["one"] * 5 + ["look"]


async def test_who_lost_the_turn_stops(scene: Scene) -> None:
    """A process that was frozen for an hour is not the one that ticks any more."""
    two = scene.process(scene.tick("two"))

    async def freeze(context: ServingContext) -> Served:
        scene.now += timedelta(hours=1)
        return Served(result=Result.OK)

    async def thaw(context: ServingContext) -> Served:
        scene.called.append("thaw")
        return Served(result=Result.OK)

    one = scene.process(freeze, thaw)
    turns = Turns(scene.store, "another")
    acting = one._acting.act

    async def act(role: Role, work: Tick, *, priority: Priority = Priority.NORMAL) -> Served:
        served = await acting(role, work, priority=priority)
        await turns.take("ticks", scene.now, EVERY)
        return served

    one._acting.act = act  # type: ignore[method-assign]
    await one.round()
    assert scene.called == []
    scene.now += EVERY
    await two.round()
    assert scene.called == ["two"]


async def test_what_goes_wrong_is_noted_and_stops_nothing(scene: Scene) -> None:
    """Neither the ticks behind it nor itself the next time; and nothing is kept of it."""
    finding = finding_of("BUS-101", "/", "content", "something", "ours")
    process = scene.process(
        scene.tick("error", ZeroDivisionError("content")),
        scene.tick("refusal", Served(result=Result.FAILED, findings=(finding,), has_more=True)),
        scene.tick("fine"),
    )
    await process.round()
    assert scene.called == ["error", "refusal", "fine"]
    assert [(one["event"], one["tick"], one.get("code"), one.get("codes")) for one in scene.logged] == [
        ("tick failed", "error", "EXC-109", None),
        ("tick failed", "refusal", None, ["BUS-101"]),
    ]
    assert scene.logged[0]["error"] == "ZeroDivisionError"
    assert "content" not in str(scene.logged)
    assert await stored_in(scene.store) == ["fine 3"]
    scene.now += EVERY
    await process.round()
    assert scene.called[3:] == ["error", "refusal", "fine"]
    assert len(scene.logged) == 2


class Failing:
    """A store whose next transaction fails."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.fails = 1

    @property
    def reader(self) -> Reader:
        return self._store.reader

    @asynccontextmanager
    async def transaction(self, priority: Priority = Priority.NORMAL) -> AsyncIterator[Transaction]:
        if self.fails:
            self.fails -= 1
            raise StoreError("disk full")
        async with self._store.transaction(priority) as transaction:
            yield transaction

    async def reclaim(self) -> None: ...

    async def close(self) -> None: ...


async def test_a_store_that_fails_is_noted_too(scene: Scene) -> None:
    """It is not the fault of the tick."""
    process = scene.process(scene.tick("a"), scene.tick("b"), store=Failing(scene.store))
    await process.round()
    assert scene.called == ["b"]
    assert [(one["tick"], one["code"]) for one in scene.logged] == [("a", "EXC-111")]


async def test_a_role_that_a_partner_plays_does_not_tick(scene: Scene) -> None:
    """From the moment on at which the configuration says so."""
    process = scene.process(scene.tick("a"))
    scene.partners = [REAL_OMS]
    await process.round()
    assert scene.called == []
    scene.partners = []
    await process.round()
    assert scene.called == ["a"]


# ------------------------------------------------------------------------------------------------------- in a hub


def _systems(ticks: Sequence[Tick]) -> tuple[System, ...]:
    return tuple(
        msgspec.structs.replace(one, ticks=tuple(ticks) if one.role is Role.OMS else ()) for one in app.SYSTEMS
    )


@pytest.mark.parametrize(("text", "is_called"), [("", True), ("hub.tick_seconds = 0\n", False)])
async def test_a_running_hub_ticks(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, is_called: bool
) -> None:
    """Without a word in the settings, and not at all with a zero."""
    monkeypatch.setattr(app, "SYSTEMS", _systems([scene.tick("a")]))
    sleep = asyncio.sleep
    monkeypatch.setattr(upkeep.asyncio, "sleep", lambda _: sleep(0))
    held = HeldHub()
    await held.open(tmp_path, text)
    for _ in range(300):
        await sleep(0)
        if scene.called:
            break
    await held.hub.close()
    assert (scene.called == ["a"]) is is_called


async def test_one_with_much_to_do_leaves_the_others_two_thirds_of_the_time(scene: Scene) -> None:
    """Where processes share one file, those who take messages would get hardly any of it while thousands are due."""
    tenth = timedelta(seconds=0.1)
    await scene.process(scene.tick("a", MORE, MORE, takes=tenth), scene.tick("b", takes=tenth)).round()
    assert scene.called == ["a", "b", "a", "a"]
    assert scene.rests == [0.2, 0.2]
    scene.now += EVERY
    scene.rests.clear()
    await scene.process(scene.tick("long", MORE, takes=timedelta(seconds=9))).round()
    assert scene.rests == [0.5]
