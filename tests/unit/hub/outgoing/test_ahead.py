"""What a courier claims ahead: begun without waiting for a commit, and never in place of what should go first."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from cimcare.exchange.facts import priority_of
from cimcare.exchange.outbox import Delivery, DeliveryState, Priority
from cimcare.exchange.partners import Partner
from cimcare.exchange.store import Store, Transaction
from cimcare.hub.intake.passing import Circuits
from cimcare.hub.intake.setup import setup_of
from cimcare.hub.outgoing import ahead as ahead_module
from cimcare.hub.outgoing import courier as courier_module
from cimcare.hub.outgoing.ahead import Ahead
from cimcare.hub.outgoing.halting import halt, release
from cimcare.hub.outgoing.house import CourierTimes
from cimcare.hub.outgoing.recalling import Recalled, Recalling
from tests.support.sender import silent
from tests.support.stored import a_delivery
from tests.unit.hub.conftest import NOON
from tests.unit.hub.outgoing.test_delivery import CRM, GIS, SUBSCRIPTIONS, Delivering, a_create, ask_ok

TWO = msgspec.structs.replace(GIS, parallel=2)
ORDINARY = [seed for seed in range(2, 200) if priority_of(a_create(seed)) is Priority.NORMAL]
HAZARD = next(seed for seed in range(2, 200) if priority_of(a_create(seed)) is Priority.HAZARD)


class Turnstile(asyncio.Event):
    """Lets as many answers of a partner through as a test says."""

    def __init__(self) -> None:
        super().__init__()
        self._let_through = asyncio.Semaphore(0)

    async def wait(self) -> bool:  # type: ignore[override]
        return await self._let_through.acquire()

    def let_through(self, count: int) -> None:
        for _ in range(count):
            self._let_through.release()


class Slow:
    """A store whose commits a test holds up."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.reader = store.reader
        self.gate = asyncio.Event()
        self.gate.set()

    @asynccontextmanager
    async def transaction(self, priority: Priority = Priority.NORMAL) -> AsyncIterator[Transaction]:
        async with self.store.transaction(priority) as transaction:
            yield transaction
        await self.gate.wait()


class Streaming(Delivering):
    """A hub in the midst of a stream to a partner with two places: two are under way, and two are claimed ahead."""

    def __init__(self) -> None:
        super().__init__()
        self.turnstile = Turnstile()
        self.slow: Slow

    async def begin(self, folder: Path, *partners: Partner) -> None:
        await super().begin(folder, *(partners or (TWO, CRM)))
        self.slow = self.hub.couriers.store = Slow(self.store)
        async with self.store.transaction() as transaction:
            for name in ("gis", "crm"):
                await halt(transaction, name, actor="ann", reason="x", now=NOON)
        for seed in ORDINARY[:8]:
            await ask_ok(self, a_create(seed))
        self.sender.gates["gis"] = self.turnstile
        self.hub.couriers.recalling = Recalling(
            self.store.reader.log
        )  # as behind a restart: no more is read than is needed
        async with self.store.transaction() as transaction:
            await release(transaction, "gis", actor="ann", reason="x", now=NOON)
        await self.until_given("gis", 2)
        self.turnstile.let_through(2)
        await self.until_given("gis", 4)
        await self.until_states("ddLLLLww")

    async def until_states(self, expected: str) -> None:
        """Let the couriers work until the deliveries stand so, by their initials; one that is leased is an L."""

        async def is_so() -> bool:
            return await self.standing() == expected

        await self.until(is_so)

    async def standing(self) -> str:
        initials = [state[0] if state is not DeliveryState.LEASED else "L" for state in await self.states("gis")]
        return "".join(initials)

    def sent(self) -> list[str]:
        return [one.id for one in self.sender.to("gis")]


@pytest.fixture
async def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Streaming]:
    monkeypatch.setattr(ahead_module, "_CURRENT_SECONDS", 60.0)
    monkeypatch.setattr(courier_module, "_QUICK_SECONDS", 60.0)
    monkeypatch.setattr(courier_module, "_PLACES_AHEAD", 1)
    hub = Streaming()
    await hub.begin(tmp_path)
    yield hub
    hub.slow.gate.set()
    await hub.hub.close()


async def test_a_free_place_does_not_wait_for_a_commit(hub: Streaming) -> None:
    """The way to the partner must not stand empty while the disk turns."""
    hub.slow.gate.clear()
    hub.turnstile.let_through(2)
    await hub.until_given("gis", 6)
    assert hub.sent() == [one.message_id for one in await hub.deliveries(partner="gis")][:6]
    hub.slow.gate.set()
    hub.turnstile.let_through(6)
    await hub.until_states("d" * 8)
    assert len(set(hub.sent())) == len(hub.sent()) == 8
    assert {one.attempts for one in await hub.deliveries(partner="gis")} == {1}


async def test_no_more_are_under_way_than_the_partner_takes(hub: Streaming) -> None:
    """Places of those that have ended are free, and no others."""
    hub.slow.gate.clear()
    hub.turnstile.let_through(1)
    await hub.until_given("gis", 5)
    await hub.quiet()
    assert len(hub.sent()) == 5


async def test_what_is_urgent_goes_before_what_was_claimed_ahead(hub: Streaming) -> None:
    """A wire is down: that does not wait behind anything that has not begun."""
    await ask_ok(hub, a_create(HAZARD))
    hub.turnstile.let_through(1)
    await hub.until_given("gis", 5)
    assert hub.sender.to("gis")[-1].priority is Priority.HAZARD


async def test_what_came_while_a_claim_was_written_is_not_overlooked(hub: Streaming) -> None:
    """The claim has not seen it, and says nothing of what is urgent now."""
    hub.slow.gate.clear()
    hub.turnstile.let_through(1)
    await hub.until_given("gis", 5)
    await ask_ok(hub, a_create(HAZARD))
    hub.turnstile.let_through(1)
    await hub.quiet()
    hub.slow.gate.set()
    await hub.until_given("gis", 6)
    assert hub.sender.to("gis")[5].priority is Priority.HAZARD


async def test_what_was_not_begun_when_the_hub_stops_waits_as_before(hub: Streaming) -> None:
    """The next process has it at once, and nobody is told of attempts that were not made."""
    closing = asyncio.create_task(hub.hub.couriers.stop())
    await hub.quiet()
    hub.turnstile.let_through(2)
    await closing
    assert await hub.standing() == "ddddwwww"
    assert [one.attempts for one in await hub.deliveries(partner="gis")] == [1] * 4 + [0] * 4
    assert len(hub.sent()) == 4


async def test_what_a_claim_gets_while_the_hub_stops_waits_as_before(hub: Streaming) -> None:
    """The claim is on its way to the disk, and nobody will begin what it brings."""
    hub.slow.gate.clear()
    hub.turnstile.let_through(1)
    await hub.until_given("gis", 5)
    closing = asyncio.create_task(hub.hub.couriers.stop())
    await hub.quiet()
    hub.slow.gate.set()
    hub.turnstile.let_through(2)
    await closing
    assert await hub.standing() == "dddddwww"
    assert [one.attempts for one in await hub.deliveries(partner="gis")] == [1] * 5 + [0] * 3


async def test_a_halt_takes_back_what_was_claimed_ahead(hub: Streaming, monkeypatch: pytest.MonkeyPatch) -> None:
    """A halted partner gets nothing, and what is not begun can be abandoned."""
    monkeypatch.setattr(ahead_module, "_CURRENT_SECONDS", 0.0)
    async with hub.store.transaction() as transaction:
        await halt(transaction, "gis", actor="ann", reason="x", now=NOON)
    hub.turnstile.let_through(2)
    await hub.until_states("ddddwwww")
    await hub.quiet()
    assert len(hub.sent()) == 4
    assert [one.attempts for one in await hub.deliveries(partner="gis")] == [1] * 4 + [0] * 4


async def test_what_was_claimed_ahead_goes_to_where_the_partner_is_now(hub: Streaming) -> None:
    """It was read for the partner as he was, who took it as it is kept; now it has to be written anew."""
    moved = msgspec.structs.replace(TWO, url="http://gis.example/moved", compress_above_bytes=1)
    assert (TWO.takes_kept, moved.takes_kept) == (True, False)
    hub.hub.couriers.change(setup_of(hub.hub.couriers.setup.sources, (moved, CRM), SUBSCRIPTIONS))
    hub.turnstile.let_through(4)
    await hub.until_given("gis", 8)
    assert [one.wire.url for one in hub.sender.to("gis")] == [TWO.url] * 4 + [moved.url] * 4
    assert all(one.message.payload is not None for one in hub.sender.to("gis"))
    hub.turnstile.let_through(4)
    await hub.until_states("d" * 8)
    assert {one.attempts for one in await hub.deliveries(partner="gis")} == {1}


async def test_a_partner_that_is_taken_away_has_nothing_claimed_for_it(hub: Streaming) -> None:
    """It can be abandoned without waiting for leases."""
    hub.hub.couriers.change(setup_of(hub.hub.couriers.setup.sources, (CRM,), SUBSCRIPTIONS))
    await hub.until_states("ddLLwwww")


async def test_a_partner_that_stands_still_gets_its_lease_on_what_is_under_way_alone(hub: Streaming) -> None:
    """Whoever else may serve it need not wait for what was not begun."""
    hub.hub.couriers.times = CourierTimes(lease=timedelta(seconds=0.15), poll=timedelta(seconds=0.02))
    hub.later(seconds=14.95)  # of fifteen
    await hub.until_states("ddLLwwww")
    assert [one.attempts for one in await hub.deliveries(partner="gis")] == [1] * 4 + [0] * 4


async def test_a_partner_that_falls_silent_gets_no_more_than_was_under_way(hub: Streaming) -> None:
    """What was claimed ahead goes back when the circuit opens (G11)."""
    hub.hub.couriers.circuits = Circuits(1)
    hub.sender.answers["gis"] = [silent()]
    hub.turnstile.let_through(100)
    await hub.until_states("ddwwwwww")
    await hub.quiet()
    assert len(hub.sent()) == 4
    assert [one.attempts for one in await hub.deliveries(partner="gis")] == [1] * 4 + [0] * 4


@pytest.mark.parametrize(
    ("partner", "quick"),
    [
        (msgspec.structs.replace(GIS, parallel=1), 60.0),
        (msgspec.structs.replace(TWO, rate=1000.0), 60.0),
        (TWO, 0.0),
    ],
)
async def test_is_not_done_where_it_does_not_pay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, partner: Partner, quick: float
) -> None:
    """One at a time, so many a second, or slow: then nothing is leased that is not being sent."""
    monkeypatch.setattr(courier_module, "_QUICK_SECONDS", quick)
    hub = Delivering()
    await hub.begin(tmp_path, partner, CRM)
    turnstile = hub.sender.gates["gis"] = Turnstile()
    for seed in ORDINARY[:8]:
        await ask_ok(hub, a_create(seed))
    for done in range(4):
        await hub.until_given("gis", done + partner.parallel)
        leased = await hub.deliveries(partner="gis", states=(DeliveryState.LEASED,))
        assert len(leased) <= partner.parallel
        turnstile.let_through(1)
    turnstile.let_through(8)
    await hub.until_state("gis", *[DeliveryState.DELIVERED] * 8)
    await hub.hub.close()


async def test_what_is_no_more_urgent_than_the_rest_is_no_news(hub: Streaming) -> None:
    """In a storm something is put in all the time; places would go on waiting for claims just then."""
    courier = hub.hub.couriers._couriers["gis"]
    hub.slow.gate.clear()
    for seed, is_current in ((ORDINARY[8], True), (HAZARD, False)):
        asked = asyncio.create_task(ask_ok(hub, a_create(seed)))
        await hub.quiet()
        assert courier._ahead.is_current(TWO, asyncio.get_running_loop().time()) is is_current
        await asked


# ------------------------------------------------------------------------------------------------- by itself


def ready(number: int, *, priority: Priority = Priority.NORMAL, seconds: int = 15) -> tuple[Delivery, Recalled]:
    new = msgspec.structs.asdict(a_delivery(priority=priority))
    until = NOON + timedelta(seconds=seconds)
    return Delivery(**new, number=number, state=DeliveryState.LEASED, due_at=until, attempts=1), Recalled()


def numbers(taken: list[tuple[Delivery, Recalled]]) -> list[int]:
    return [delivery.number for delivery, _ in taken]


def test_the_urgent_first_then_the_oldest() -> None:
    """As a claim would have it, over several claims."""
    ahead = Ahead()
    ahead.add([ready(4), ready(5)], GIS)
    ahead.add([ready(9, priority=Priority.HAZARD), ready(3)], GIS)
    assert numbers(ahead.take(3, NOON)) == [9, 3, 4]
    assert numbers(ahead.take(3, NOON)) == [5]
    assert not ahead


def test_a_lease_that_ran_out_is_not_ours() -> None:
    """A process that slept must not send what another one has taken over, and perhaps sent (G4)."""
    ahead = Ahead()
    ahead.add([ready(4, seconds=10), ready(5)], GIS)
    assert numbers(ahead.take(2, NOON + timedelta(seconds=10))) == [5]
    ahead.add([ready(6, seconds=10), ready(7)], GIS)
    assert [one.number for one in ahead.take_back(NOON + timedelta(seconds=10))] == [7]
    assert not ahead


def test_is_current_for_a_moment_and_until_there_is_news() -> None:
    """And never by a claim that looked before the news."""
    ahead = Ahead()
    ahead.note_claim(1.0)
    ahead.add([ready(4)], GIS)
    assert ahead.is_current(GIS, 1.05)
    assert not ahead.is_current(CRM, 1.05)
    assert not ahead.is_current(GIS, 1.0 + ahead_module._CURRENT_SECONDS)
    ahead.note_claim(2.0)
    ahead.note_news()
    ahead.add([ready(5)], GIS)
    assert not ahead.is_current(GIS, 2.0)
    ahead.note_claim(3.0)
    ahead.add([], GIS)
    assert ahead.is_current(GIS, 3.0)
