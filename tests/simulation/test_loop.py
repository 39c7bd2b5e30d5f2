"""The virtual loop: time that passes only when nothing else is left, steps that belong to somebody, and clear ends."""

import asyncio
import contextvars

import pytest

from tests.simulation.loop import PROCESS, DeadlockError, EndlessError, VirtualLoop


def a_loop(most_steps: int = 1000) -> VirtualLoop:
    return VirtualLoop(most_steps=most_steps)


def context_of(process: str) -> contextvars.Context:
    context = contextvars.copy_context()
    context.run(PROCESS.set, process)
    return context


def test_an_hour_passes_at_once_and_in_order() -> None:
    """Waiting costs nothing, and who waits for the same instant goes on in the order in which he began."""
    seen: list[tuple[float, str]] = []

    async def wait(seconds: float, name: str) -> None:
        await asyncio.sleep(seconds)
        seen.append((asyncio.get_running_loop().time(), name))

    async def main() -> None:
        await asyncio.gather(wait(3600, "c"), wait(1, "a"), wait(1, "b"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await asyncio.Event().wait()

    loop = a_loop()
    loop.run(main())
    assert seen == [(1, "a"), (1, "b"), (3600, "c")]
    assert loop.time() == 3660


def test_what_nobody_is_going_to_do_is_no_endless_wait() -> None:
    """A run that hangs would say nothing."""

    async def main() -> None:
        await asyncio.Event().wait()

    loop = a_loop()
    with pytest.raises(DeadlockError):
        loop.run(main())
    loop.abandon()


def test_going_round_in_circles_ends() -> None:
    """Time stands still while something is ready."""

    async def main() -> None:
        while True:
            await asyncio.sleep(0)

    loop = a_loop(most_steps=100)
    with pytest.raises(EndlessError):
        loop.run(main())
    loop.abandon()


def test_a_frozen_process_goes_on_where_it_was() -> None:
    """Its timers run out meanwhile, as those of a process that the system has stopped."""
    seen: list[float] = []

    async def tick() -> None:
        for _ in range(3):
            await asyncio.sleep(1)
            seen.append(asyncio.get_running_loop().time())

    async def main() -> None:
        task = loop.create_task(tick(), context=context_of("one"))
        await asyncio.sleep(1.5)
        loop.freeze("one")
        await asyncio.sleep(10)
        loop.thaw("one")
        await task

    loop = a_loop()
    loop.run(main())
    assert seen == [1, 11.5, 12.5]


def test_a_killed_process_runs_no_step_that_it_could_choose() -> None:
    """All of its tasks end, those that its tasks began included; others are not touched."""
    seen: list[str] = []

    async def work(name: str) -> None:
        asyncio.get_running_loop().create_task(inner(f"{name} inner"))
        await inner(name)

    async def inner(name: str) -> None:
        await asyncio.sleep(1)
        seen.append(name)

    async def main() -> None:
        loop.create_task(work("doomed"), context=context_of("one"))
        loop.create_task(work("spared"), context=context_of("two"))
        await asyncio.sleep(0.5)
        loop.kill("one")
        await asyncio.sleep(2)

    loop = a_loop()
    loop.run(main())
    assert seen == ["spared", "spared inner"]


def test_nothing_of_the_real_world_is_to_be_had() -> None:
    """A socket or a thread would bring in what no seed decides."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(NotImplementedError):
            await loop.create_connection(asyncio.Protocol, "127.0.0.1", 1)
        with pytest.raises(NotImplementedError):
            await asyncio.to_thread(int)

    a_loop().run(main())
