"""Sending dead letters again, or discarding them, as work that goes on by itself and can be watched and halted.

How far a job is stands in the database, so that it can be looked at and halted through every process of a hub, and
that what was done is known when the process that did it has died. The work itself is that of `DeadLetters`.

Source: guarantee G5.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec

from cimcare.errors import CimcareError
from cimcare.exchange.audit import Action
from cimcare.exchange.ports import Clock, Collection, NewID, Selection, Stored
from cimcare.exchange.removal import runs_of
from cimcare.exchange.store import Store, Transaction
from cimcare.hub.outgoing.dead_letters import Control, DeadLetters, Tally
from cimcare.model.identity import MRID

__all__ = ["JOBS", "Job", "JobTimes", "Jobs"]

_KEPT = 100
"""Jobs that are remembered; the oldest that have ended are forgotten."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of work.

    `action` is `resend` or `discard`. `runs` are first and last numbers of the deliveries. `seen_at` is when its
    process last said how far it is. `halted_by` asks it to stop before its next transaction. `failure` says why it
    broke off.
    """

    id: str
    action: Action
    actor: str
    reason: str
    rate: float
    runs: tuple[tuple[int, int], ...]
    began_at: datetime
    seen_at: datetime
    tally: Tally
    ended_at: datetime | None = None
    halted_by: str = ""
    failure: str = ""

    @property
    def numbers(self) -> tuple[int, ...]:
        """The deliveries that were chosen, rising."""
        return tuple(number for first, last in self.runs for number in range(first, last + 1))

    @property
    def left(self) -> tuple[int, ...]:
        """Those whose turn has not come."""
        last = self.tally.last
        return self.numbers if last is None else tuple(number for number in self.numbers if number > last)


class JobTimes(msgspec.Struct, frozen=True, kw_only=True):
    """How often a job says how far it is, and how long it watches what it has sent again."""

    step: timedelta = timedelta(seconds=0.5)
    watch: timedelta = timedelta(minutes=10)


JOBS: Collection[Job] = Collection("hub.dead-letter-jobs", Job)


class Jobs:
    """Begins jobs in this process, and shows and halts those of all.

    Args:
        store: Where dead letters and jobs are.
        clock: Now.
        new_id: New identifiers.
        is_stopping: Whether the hub is about to end; jobs then stop before their next transaction.
        times: See `JobTimes`.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock,
        new_id: NewID,
        is_stopping: Callable[[], bool],
        times: JobTimes | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._new_id = new_id
        self._is_stopping = is_stopping
        self._times = times or JobTimes()
        self._running: dict[str, asyncio.Task[None]] = {}

    async def begin(self, action: Action, numbers: Sequence[int], *, actor: str, reason: str, rate: float = 0.0) -> Job:
        """Begin to send these dead letters again, or to discard them.

        Args:
            action: `resend` or `discard`.
            numbers: The deliveries.
            actor: Who does it.
            reason: Why, for the audit trail.
            rate: Most that are sent again a second; 0 for no bound.

        Raises:
            ReasonError: The reason says nothing.
            StoreError: It could not be kept.
        """
        letters = DeadLetters(self._store, actor=actor, reason=reason, clock=self._clock)
        rising = sorted(set(numbers))
        now = self._clock()
        job = Job(
            id=self._new_id(),
            action=action,
            actor=actor,
            reason=reason.strip(),
            rate=rate,
            runs=tuple((run.start, run.stop - 1) for run in runs_of(rising)),
            began_at=now,
            seen_at=now,
            tally=Tally(chosen=len(rising)),
        )
        async with self._store.transaction() as transaction:
            await self._forget_old(transaction)
            await _save(transaction, job)
        task = asyncio.create_task(self._run(job, letters))
        self._running[job.id] = task
        task.add_done_callback(lambda _: self._running.pop(job.id, None))
        return job

    async def settle(self, job: str, seconds: float) -> None:
        """Wait until a job of this process has ended, so long at most."""
        if (task := self._running.get(job)) is not None:
            await asyncio.wait({task}, timeout=seconds)

    async def find(self, job: str) -> Job | None:
        """A job; None if there is none."""
        stored = await self._store.reader.records.find(JOBS, MRID(job))
        return stored.body if stored is not None else None

    async def latest(self) -> tuple[Job, ...]:
        """All that are remembered, the newest first."""
        found = await self._store.reader.records.select(JOBS, Selection(limit=2 * _KEPT))
        return tuple(stored.body for stored in reversed(found))

    async def halt(self, job: str, *, actor: str) -> bool:
        """Ask a job to stop before its next transaction; False if it has ended, or is not there."""
        async with self._store.transaction() as transaction:
            found = await transaction.records.find(JOBS, MRID(job))
            if found is None or found.body.ended_at is not None:
                return False
            await _save(transaction, msgspec.structs.replace(found.body, halted_by=found.body.halted_by or actor))
        return True

    def is_lost(self, job: Job) -> bool:
        """Whether nothing was heard for so long that the process which did it must have ended."""
        return job.ended_at is None and self._clock() - job.seen_at > 60 * self._times.step

    # ------------------------------------------------------------------------------------------------------- work

    async def _run(self, job: Job, letters: DeadLetters) -> None:
        halted, tally, failure = asyncio.Event(), job.tally, ""

        async def pause(seconds: float) -> None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await halted.wait()

        def report(so_far: Tally) -> None:
            nonlocal tally
            tally = so_far

        async def tell() -> None:
            while True:
                await asyncio.sleep(self._times.step.total_seconds())
                with contextlib.suppress(CimcareError):  # it is told the next time
                    if await self._tell(job.id, tally):
                        halted.set()

        control = Control(is_halted=lambda: halted.is_set() or self._is_stopping(), pause=pause, report=report)
        teller = asyncio.create_task(tell())
        try:
            if job.action is Action.RESEND:
                tally = await letters.resend(job.numbers, control, rate=job.rate)
                tally = await self._watch(letters, control, tally)
            else:
                tally = await letters.discard(job.numbers, control)
        except CimcareError as error:
            failure = str(error)
        finally:
            teller.cancel()
            await asyncio.wait({teller})  # so that what it says does not come after the end
        with contextlib.suppress(CimcareError):  # what was done is done; the job is seen to be lost
            await self._tell(job.id, tally, ended_at=self._clock(), failure=failure)

    async def _watch(self, letters: DeadLetters, control: Control, tally: Tally) -> Tally:
        """See what becomes of what was sent again, until all has ended or it takes too long."""
        looks = max(1, self._times.watch // self._times.step)
        for _ in range(looks):
            if tally.is_halted or not tally.open or control.is_halted():
                return tally
            await control.pause(self._times.step.total_seconds())
            tally = await letters.look()
            control.report(tally)
        return tally

    async def _tell(self, job: str, tally: Tally, *, ended_at: datetime | None = None, failure: str = "") -> bool:
        """Say how far it is; whether somebody wants it to stop."""
        async with self._store.transaction() as transaction:
            found = await transaction.records.find(JOBS, MRID(job))
            if found is None:
                return True
            told = msgspec.structs.replace(
                found.body, tally=tally, seen_at=self._clock(), ended_at=ended_at, failure=failure
            )
            await _save(transaction, told)
        return bool(found.body.halted_by)

    async def _forget_old(self, transaction: Transaction) -> None:
        found = await transaction.records.select(JOBS, Selection(limit=2 * _KEPT))
        ended = [stored.mrid for stored in found if stored.body.ended_at is not None or self.is_lost(stored.body)]
        for mrid in ended[: max(0, len(found) - _KEPT)]:
            await transaction.records.drop(JOBS, mrid)


async def _save(transaction: Transaction, job: Job) -> None:
    stored = Stored(mrid=MRID(job.id), body=job, created_at=job.began_at, modified_at=job.seen_at)
    await transaction.records.save(JOBS, stored)
