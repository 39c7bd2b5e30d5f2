"""What a running hub does besides messages, from time to time: alarms, ticks, stale requests, retention, its minutes.

Each is a task of its own, so that a long clean-up does not delay an alarm. None ends by an error. Of processes that
share the work, each looks for alarms, for each has its own wires and its own door; readiness is with those at the door,
which know whether it is busy, and what changes something is with those that carry.
"""

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta

import structlog

from cimcare.exchange.dispatch import System
from cimcare.exchange.partners import Partner
from cimcare.exchange.ports import Clock
from cimcare.exchange.sending import Circuit
from cimcare.exchange.store import Store, StoreError
from cimcare.hub.acts.acting import Acting
from cimcare.hub.acts.ticking import Ticking
from cimcare.hub.acts.turns import Turns
from cimcare.hub.config.settings import Settings
from cimcare.hub.duty import Duty
from cimcare.hub.intake.listening import BrokerState
from cimcare.hub.metrics import Metrics
from cimcare.hub.operation.alarms import AlarmLimits
from cimcare.hub.operation.broker_states import note_brokers
from cimcare.hub.operation.doctor import Doctor
from cimcare.hub.operation.indexing import index_old
from cimcare.hub.operation.minutes import keep_minute
from cimcare.hub.operation.retention import Ages, Retention
from cimcare.hub.operation.stale import settle_stale
from cimcare.hub.operation.watching import Watcher
from cimcare.model.nouns import Role

__all__ = ["Upkeep"]

_STALE_EVERY = timedelta(minutes=1)
_BROKERS_EVERY = timedelta(seconds=5)
_CIRCUITS_EVERY = timedelta(seconds=1)
_STALE_MARGIN = timedelta(minutes=1)
"""How long a request may be without outcome beyond the time that its partner has."""

_FIRST_RETENTION = timedelta(minutes=1)
"""A hub that starts has better things to do."""

_FIRST_TICKS = timedelta(seconds=5)
"""Soon, for much may be due that nobody did while no hub ran."""

_NEWS_EVERY = timedelta(seconds=2)
"""How long what is held back so as to be told together may be held."""

_MINUTE = timedelta(minutes=1)
_READINESS_EVERY = timedelta(minutes=1)
_FIRST_LOOK = timedelta(seconds=10)

_INDEX_EVERY = timedelta(hours=1)
"""Only an upgrade leaves anything to do, and only once."""

_WHOLE_RETENTION_EVERY = timedelta(days=1)
_PAUSE_SECONDS = 0.05
"""Between two batches of a clean-up."""

_Job = tuple[str, Callable[[], Awaitable[None]], timedelta, timedelta]
"""Name, work, after how long it is done first, and how often."""


class Upkeep:
    """All of it for one process. `start` and `stop` frame its life; `stop` also ends the streams of alarms.

    Args:
        store: The durable state.
        settings: All settings.
        partners: All partners that are configured now.
        circuits: The circuits of this process by name of the partner.
        metrics: Where gauges are set.
        acting: Does what the built-in systems do by the clock.
        systems: Whose ticks there are.
        clock: Now.
        process: A name that no other process has.
        logger: Where it is noted what was done, and what went wrong.
        doctor: Looks whether all is ready, and drills partners.
        duty: What this process is there for.
        share_circuits: Tells other processes whom this one spares, or hears it of them; None if there is no need.
        brokers: How it is with the brokers, seen from this process.
        on_alarms: Told when alarms were raised or cleared.
    """

    def __init__(
        self,
        *,
        store: Store,
        settings: Settings,
        partners: Callable[[], Collection[Partner]],
        circuits: Callable[[], Mapping[str, Circuit]],
        metrics: Metrics,
        acting: Acting,
        systems: Sequence[System],
        clock: Clock,
        process: str,
        logger: structlog.typing.FilteringBoundLogger,
        doctor: Doctor,
        duty: Duty = Duty.ALL,
        share_circuits: Callable[[], Awaitable[None]] | None = None,
        brokers: Callable[[], Collection[BrokerState]] = tuple,
        on_alarms: Callable[[], None] = lambda: None,
    ) -> None:
        self._doctor = doctor
        self._duty = duty
        self._share_circuits = share_circuits
        self._drills_every = timedelta(minutes=settings.doctor.every_minutes)
        self._store = store
        self._partners = partners
        self._clock = clock
        self._turns = Turns(store, process)
        self._log = logger
        self._retention_every = timedelta(minutes=settings.retention.every_minutes)
        self._alarms_every = timedelta(seconds=settings.alarms.every_seconds)
        self._ticks_every = timedelta(seconds=settings.hub.tick_seconds)
        self._retention = Retention(store, Ages.of(settings), clock, pause_seconds=_PAUSE_SECONDS)
        self._minutes_kept = timedelta(days=settings.retention.minutes_days)
        self._whole_at: datetime | None = None
        self._longest_deadline = timedelta(seconds=30)
        self._tasks: list[asyncio.Task[None]] = []
        self._brokers = brokers
        self._process = process
        self.ticking = Ticking(
            acting=acting,
            ticks=[(system.role, tick) for system in systems for tick in system.ticks],
            turns=self._turns,
            turn="ticks",
            clock=clock,
            every=self._ticks_every,
            logger=logger,
        )
        self._news = [system.news for system in systems if system.news is not None]
        self._telling = Ticking(
            acting=acting,
            ticks=[(system.role, system.news.tell) for system in systems if system.news is not None],
            turns=self._turns,
            turn="news",
            clock=clock,
            every=_NEWS_EVERY,
            logger=logger,
        )
        self.watcher = Watcher(
            store=store,
            limits=AlarmLimits.of(settings),
            partners=partners,
            circuits=circuits,
            metrics=metrics,
            clock=clock,
            process=process,
            every=self._alarms_every,
            logger=logger,
            brokers=brokers,
            on_change=on_alarms,
        )

    def start(self) -> None:
        """Begin."""
        jobs: list[_Job] = [("alarms", self.watcher.look, timedelta(), self._alarms_every)]
        if self._brokers():
            jobs.append(("brokers", self.note_brokers, timedelta(), _BROKERS_EVERY))
        if self._share_circuits is not None:
            jobs.append(("circuits", self._share_circuits, timedelta(), _CIRCUITS_EVERY))
        if self._duty.carries:
            jobs += self._jobs_behind_the_door()
        if self._duty.takes:
            jobs += self._jobs_at_the_door()
        self._tasks = [asyncio.create_task(self._repeat(*job), name=job[0]) for job in jobs]

    def _jobs_at_the_door(self) -> list[_Job]:
        jobs: list[_Job] = [("readiness", self.check, min(_FIRST_LOOK, self._alarms_every), _READINESS_EVERY)]
        if self._drills_every:
            jobs.append(("drills", self.drill, min(_FIRST_RETENTION, self._drills_every), self._drills_every))
        return jobs

    def _jobs_behind_the_door(self) -> list[_Job]:
        jobs: list[_Job] = [
            ("stale requests", self.settle, timedelta(), _STALE_EVERY),
            ("minutes", self.keep_minute, timedelta(), _MINUTE),
            ("search index", self.index, _FIRST_LOOK, _INDEX_EVERY),
            ("news", self.tell_news, _NEWS_EVERY, _NEWS_EVERY),
        ]
        if self._ticks_every:
            jobs.append(("ticks", self.ticking.round, min(_FIRST_TICKS, self._ticks_every), self._ticks_every))
        if self._retention_every:
            jobs.append(("retention", self.sweep, min(_FIRST_RETENTION, self._retention_every), self._retention_every))
        return jobs

    async def stop(self) -> None:
        """Do no more. A batch of a clean-up that is under way is undone."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._doctor.stop()
        self._tasks = []

    async def note_brokers(self) -> None:
        """Write how it is with the brokers, for whoever asks another process, or a command. Raises StoreError."""
        now = self._clock()
        await note_brokers(self._store, self._brokers(), process=self._process, now=now, hold=4 * _BROKERS_EVERY)

    async def keep_minute(self) -> None:
        """Keep how it stands now, if no other process has done so in this minute. Raises StoreError."""
        has_outages = all(partner.role is not Role.OMS for partner in self._partners())
        await keep_minute(self._store, self._clock(), has_outages=has_outages, keep=self._minutes_kept)

    async def tell_news(self) -> None:
        """Tell what is held back, if there is any and no other process does so. Raises StoreError."""
        for news in self._news:
            if await news.is_waiting(self._store.reader.records):  # most looks find nothing
                await self._telling.round()
                return

    async def settle(self) -> None:
        """End requests that nobody works on any more. Raises StoreError."""
        self._longest_deadline = max(self._longest_deadline, *(each.deadline for each in self._partners()), timedelta())
        settled = await settle_stale(self._store, self._clock() - 2 * self._longest_deadline - _STALE_MARGIN)
        if settled:
            self._log.warning("requests ended without outcome", code="NET-105", messages=settled)

    async def sweep(self) -> None:
        """Remove what is too old, if no other process has done so just now. Raises StoreError."""
        now = self._clock()
        if not await self._turns.take("retention", now, self._retention_every / 2):
            return
        await self._doctor.forget()
        is_whole = self._whole_at is None or now - self._whole_at >= _WHOLE_RETENTION_EVERY
        swept = await self._retention.sweep(is_whole=is_whole)
        if is_whole:
            self._whole_at = now
        if not swept.is_nothing:
            messages = {kind.value: number for kind, number in swept.messages.items() if number}
            self._log.info("removed what is too old", messages=messages, deliveries=swept.deliveries)

    async def index(self) -> None:
        """Put messages of an earlier release into the index, if no other process does so. Raises StoreError."""
        if await self._store.reader.log.find_unindexed(1):
            if not await self._turns.take("search index", self._clock(), _INDEX_EVERY / 2):
                return
            indexed = await index_old(self._store, pause_seconds=_PAUSE_SECONDS / 10)
            self._log.info("messages of an earlier release can be searched", messages=indexed)

    async def check(self) -> None:
        """Look whether all is ready, so that it can be read off the metrics. Raises StoreError."""
        await self._doctor.look()

    async def drill(self) -> None:
        """Drill all partners, if no other process has done so just now. Raises StoreError."""
        if await self._turns.take("drills", self._clock(), self._drills_every / 2):
            sheet = await self._doctor.examine(actor="hub")
            self._log.info("partners drilled", state=sheet.state.value)

    async def _repeat(self, name: str, work: Callable[[], Awaitable[None]], first: timedelta, every: timedelta) -> None:
        await asyncio.sleep(first.total_seconds())
        while True:
            try:
                await work()
            except StoreError as error:
                self._log.error("upkeep failed", job=name, code=error.code, reason=str(error))
            except Exception as error:  # noqa: BLE001 - the hub must go on, and this with it
                trace = "".join(traceback.format_tb(error.__traceback__))  # without the text, which may quote content
                self._log.error("upkeep failed", job=name, code="EXC-109", error=type(error).__name__, trace=trace)
            await asyncio.sleep(every.total_seconds())
