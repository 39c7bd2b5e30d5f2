"""Turns: who is next, whatever becomes of those who wait."""

import asyncio
import random

import pytest

from cimcare.exchange.outbox import Priority
from cimcare.store.turns import Turns


async def settle() -> None:
    """Let everybody go on who can."""
    for _ in range(5):
        await asyncio.sleep(0)


class Queue:
    """Some who want a turn, each for as long as the test says. `order` is who had it."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.order: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._may_leave: dict[str, asyncio.Event] = {}

    async def join(self, name: str, priority: Priority = Priority.NORMAL) -> None:
        self._may_leave[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._hold(name, priority))
        await settle()

    async def leave(self, name: str) -> None:
        self._may_leave[name].set()
        await settle()

    async def _hold(self, name: str, priority: Priority) -> None:
        await self.turns.acquire(priority)
        try:
            self.order.append(name)
            await self._may_leave[name].wait()
        finally:
            self.turns.release()


@pytest.fixture
def queue() -> Queue:
    return Queue()


async def test_one_at_a_time_in_the_order_of_arrival(queue: Queue) -> None:
    """Two that write at once would undo each other."""
    assert not queue.turns.locked()
    for name in "abc":
        await queue.join(name)
    assert queue.order == ["a"]
    assert queue.turns.locked()
    await queue.leave("a")
    assert queue.order == ["a", "b"]
    await queue.leave("b")
    await queue.leave("c")
    assert queue.order == ["a", "b", "c"]
    assert not queue.turns.locked()
    await queue.join("d")
    assert queue.order[-1] == "d"


async def test_the_most_urgent_is_next(queue: Queue) -> None:
    """And among equally urgent ones who came first."""
    await queue.join("first")
    for name, priority in (("n1", 0), ("h1", 2), ("l1", 1), ("n2", 0), ("h2", 2), ("l2", 1)):
        await queue.join(name, Priority(priority))
    for name in ("first", "h1", "h2", "l1", "l2", "n1", "n2"):
        await queue.leave(name)
    assert queue.order == ["first", "h1", "h2", "l1", "l2", "n1", "n2"]


async def test_nobody_pushes_in_between_two_turns(queue: Queue) -> None:
    """Who comes in the moment of the hand-over is behind all who wait."""
    await queue.join("a")
    await queue.join("b")
    queue.turns.release()
    assert queue.turns.locked()
    taken: list[str] = []

    async def push_in() -> None:
        await queue.turns.acquire()
        taken.append("c")

    pushing = asyncio.create_task(push_in())
    await settle()
    assert (queue.order, taken) == (["a", "b"], [])
    await queue.leave("b")
    assert taken == ["c"]
    await pushing
    queue.tasks["a"].cancel()
    with pytest.raises(asyncio.CancelledError):
        await queue.tasks["a"]


async def test_who_goes_away_while_waiting_is_passed_over(queue: Queue) -> None:
    """A client that hung up must not hold the place of those behind it."""
    for name in "abc":
        await queue.join(name)
    queue.tasks["b"].cancel()
    await settle()
    await queue.leave("a")
    assert queue.order == ["a", "c"]
    await queue.leave("c")
    assert not queue.turns.locked()


async def test_who_goes_away_in_the_moment_of_the_hand_over_hands_on(queue: Queue) -> None:
    """Else the turn would be lost with it, and nothing would ever be written again."""
    await queue.turns.acquire()
    for name in "bc":
        await queue.join(name)
    queue.turns.release()
    queue.tasks["b"].cancel()  # it has the turn, and has not gone on yet
    await settle()
    assert queue.order == ["c"]
    assert queue.tasks["b"].cancelled()
    await queue.leave("c")
    assert not queue.turns.locked()


async def test_the_last_who_goes_away_leaves_the_turn_free(queue: Queue) -> None:
    """Whether before or after it got the turn."""
    await queue.turns.acquire()
    await queue.join("b")
    queue.turns.release()
    queue.tasks["b"].cancel()
    await settle()
    assert not queue.turns.locked()
    await queue.join("c")
    await queue.join("d")
    queue.tasks["d"].cancel()
    await settle()
    await queue.leave("c")
    assert queue.order == ["c"]
    assert not queue.turns.locked()


@pytest.mark.parametrize("seed", range(20))
async def test_no_turn_is_ever_lost_or_given_twice(seed: int) -> None:
    """Whoever arrives, is urgent or goes away at whatever moment."""
    chance = random.Random(seed)
    turns = Turns()
    inside = 0
    done = 0

    async def work(priority: Priority, steps: int) -> None:
        nonlocal inside, done
        await turns.acquire(priority)
        try:
            inside += 1
            assert inside == 1
            for _ in range(steps):
                await asyncio.sleep(0)
            done += 1
        finally:
            inside -= 1
            turns.release()

    tasks = []
    for _ in range(60):
        tasks.append(asyncio.create_task(work(chance.choice(list(Priority)), chance.randrange(3))))
        for _ in range(chance.randrange(3)):
            await asyncio.sleep(0)
        if chance.random() < 0.4:
            chance.choice(tasks).cancel()
    results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
    kept = [result for result in results if result is None]
    assert len(kept) == done
    assert all(result is None or isinstance(result, asyncio.CancelledError) for result in results)
    assert not turns.locked()
