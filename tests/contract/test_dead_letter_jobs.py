"""Jobs over dead letters, on every store: they can be looked at and halted through any process of a hub."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from itertools import count

import pytest

from cimcare.exchange.audit import Action
from cimcare.exchange.outbox import DeliverySelection, DeliveryState
from cimcare.exchange.store import Store, StoreError
from cimcare.hub.outgoing import dead_letter_jobs
from cimcare.hub.outgoing.dead_letter_jobs import Job, Jobs, JobTimes
from cimcare.hub.outgoing.dead_letters import DeadLetters
from cimcare.hub.outgoing.reasons import ReasonError
from tests.support.dead_letters import put_dead
from tests.support.stored import NOON

_ids = count(1)


def a_process(store: Store, is_stopping: Callable[[], bool] = lambda: False) -> Jobs:
    times = JobTimes(step=timedelta(seconds=0.02), watch=timedelta(seconds=0.04))
    return Jobs(store, clock=lambda: NOON, new_id=lambda: f"job-{next(_ids):06}", is_stopping=is_stopping, times=times)


async def ended(jobs: Jobs, job: Job) -> Job:
    async with asyncio.timeout(30):
        while True:
            found = await jobs.find(job.id)
            assert found is not None
            if found.ended_at is not None:
                return found
            await asyncio.sleep(0.01)


async def states(store: Store) -> list[DeliveryState]:
    return [one.state for one in await store.reader.outbox.select(DeliverySelection())]


async def test_a_job_is_seen_and_halted_through_another_process(store: Store) -> None:
    """A browser is answered by whichever process is free."""
    numbers = await put_dead(store, 4)
    one, other = a_process(store), a_process(store)
    job = await one.begin(Action.RESEND, numbers, actor="anna", reason=" mended ", rate=0.5)
    assert (await other.latest())[0].id == job.id
    assert await other.halt(job.id, actor="otto")
    found = await ended(other, job)
    assert (found.actor, found.reason, found.halted_by, found.tally.is_halted) == ("anna", "mended", "otto", True)
    assert found.left == tuple(numbers[found.tally.done :])
    assert found.left
    assert not await other.halt(job.id, actor="otto")
    assert not await other.halt("none", actor="otto")


async def test_a_job_is_done_with_what_was_chosen_and_nothing_else(store: Store) -> None:
    """Exactly what the preview named."""
    numbers = await put_dead(store, 5)
    jobs = a_process(store)
    job = await jobs.begin(Action.DISCARD, [numbers[0], numbers[1], numbers[3]], actor="anna", reason="told by phone")
    found = await ended(jobs, job)
    assert found.runs == ((numbers[0], numbers[1]), (numbers[3], numbers[3]))
    assert (found.tally.done, found.failure, found.left) == (3, "", ())
    dead, gone = DeliveryState.DEAD, DeliveryState.DISCARDED
    assert await states(store) == [gone, gone, dead, gone, dead]


async def test_what_was_sent_again_is_watched_for_a_while(store: Store) -> None:
    """A retry may take a day, and nobody watches so long."""
    numbers = await put_dead(store, 2)
    jobs = a_process(store)
    found = await ended(jobs, await jobs.begin(Action.RESEND, numbers, actor="anna", reason="mended"))
    assert (found.tally.done, found.tally.open, found.tally.is_halted) == (2, 2, False)


async def test_a_job_stops_with_its_hub(store: Store) -> None:
    """What was done is done, and what is left is known."""
    numbers = await put_dead(store, 2)
    jobs = a_process(store, lambda: True)
    found = await ended(jobs, await jobs.begin(Action.RESEND, numbers, actor="anna", reason="mended"))
    assert (found.tally.done, found.tally.is_halted, found.left) == (0, True, tuple(numbers))


async def test_a_job_that_breaks_off_says_why(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody must take it for done."""

    async def broken(*_: object, **__: object) -> None:
        raise StoreError("disk full")

    monkeypatch.setattr(DeadLetters, "discard", broken)
    jobs = a_process(store)
    found = await ended(jobs, await jobs.begin(Action.DISCARD, await put_dead(store, 1), actor="anna", reason="x"))
    assert "disk full" in found.failure
    assert await states(store) == [DeliveryState.DEAD]


async def test_nothing_begins_without_a_reason(store: Store) -> None:
    """The audit trail has to say why."""
    jobs = a_process(store)
    with pytest.raises(ReasonError):
        await jobs.begin(Action.DISCARD, await put_dead(store, 1), actor="anna", reason=" ")
    assert await jobs.latest() == ()


async def test_old_jobs_are_forgotten(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are in the audit trail."""
    monkeypatch.setattr(dead_letter_jobs, "_KEPT", 2)
    jobs = a_process(store)
    made = [await ended(jobs, await jobs.begin(Action.DISCARD, [1], actor="anna", reason="x")) for _ in range(4)]
    assert made[0].tally.skipped == (1,)
    assert {one.id for one in await jobs.latest()} >= {one.id for one in made[2:]}
    assert await jobs.find(made[0].id) is None
