"""Who shows which circuits: those of this process and those that others have written, as long as they hold."""

import random
from datetime import datetime, timedelta

import pytest

from cimcare.exchange.partners import Partner, Retry
from cimcare.exchange.store import Store
from cimcare.hub.intake.passing import Circuits
from cimcare.hub.operation.circuit_states import SharedCircuits
from cimcare.store.opening import open_store
from tests.support.stored import NOON

GIS = Partner(name="gis", url="http://gis.example", source="GIS", retry=Retry(jitter=0.0))
CHANCE = random.Random(1)


class Process:
    """A process that sends to one partner."""

    def __init__(self, name: str, store: Store) -> None:
        self.now = NOON
        self.circuits = Circuits(2)
        self.shared = SharedCircuits(store, self.circuits, name, self.clock)

    def clock(self) -> datetime:
        return self.now

    def fail(self, times: int) -> None:
        for _ in range(times):
            self.circuits.of(GIS).note(is_reached=False, reason="NET-107 refused", now=self.now, chance=CHANCE)

    def succeed(self) -> None:
        self.circuits.of(GIS).note(is_reached=True, reason="", now=self.now, chance=CHANCE)

    async def shown(self) -> tuple[bool, int, str] | None:
        await self.shared.look()
        circuit = self.shared.all().get("gis")
        return None if circuit is None else (circuit.is_open, circuit.failures, circuit.reason)


@pytest.fixture
async def store() -> Store:
    return await open_store("memory:")


async def test_what_one_process_spares_another_shows(store: Store) -> None:
    """And no longer than it is so."""
    carrier, door = Process("carrier", store), Process("door", store)
    carrier.fail(1)
    await carrier.shared.note()
    assert await door.shown() is None, "a failure alone spares nobody"
    carrier.fail(2)
    await carrier.shared.note()
    assert await door.shown() == (True, 3, "NET-107 refused")
    carrier.succeed()
    await carrier.shared.note()
    assert await door.shown() is None


async def test_what_a_process_that_died_wrote_last_goes(store: Store) -> None:
    """The one in its place learns anew; nobody else would ever close that circuit."""
    dying, living, door = (Process(name, store) for name in ("dying", "living", "door"))
    dying.fail(2)
    await dying.shared.note()
    door.now += timedelta(seconds=15)
    assert await door.shown() == (True, 2, "NET-107 refused")
    door.now += timedelta(seconds=6)
    assert await door.shown() is None
    living.now += timedelta(seconds=30)
    living.fail(2)
    await living.shared.note()
    door.now = living.now - timedelta(seconds=30)
    assert await door.shown() == (True, 2, "NET-107 refused"), "and it was removed"


async def test_what_stays_open_is_written_again(store: Store) -> None:
    """For hours, in a storm."""
    carrier, door = Process("carrier", store), Process("door", store)
    carrier.fail(2)
    for _ in range(60):
        await carrier.shared.note()
        assert await door.shown() == (True, 2, "NET-107 refused")
        carrier.now += timedelta(seconds=1)
        door.now += timedelta(seconds=1)


async def test_nothing_is_written_while_nothing_changes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each write is a commit, and ends what other processes remember of objects."""
    carrier = Process("carrier", store)
    carrier.fail(2)
    await carrier.shared.note()
    monkeypatch.setattr(store, "transaction", None)
    carrier.now += timedelta(seconds=4)
    await carrier.shared.note()
    idle = Process("idle", store)
    await idle.shared.note()


async def test_of_several_the_one_that_has_failed_most_is_shown(store: Store) -> None:
    """Two processes carry, and the worker passes on requests itself."""
    first, second, door = (Process(name, store) for name in ("first", "second", "door"))
    first.fail(2)
    second.fail(5)
    for process in (first, second):
        await process.shared.note()
    assert await door.shown() == (True, 5, "NET-107 refused")
    door.fail(2)
    assert await door.shown() == (True, 2, "NET-107 refused"), "what it has seen itself"
    door.succeed()
    assert await door.shown() == (True, 5, "NET-107 refused")
