"""One run: the world of a plan lives until it has healed and come to rest, and then all promises are checked."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from datetime import datetime, timedelta
from functools import lru_cache, partial
from unittest.mock import patch

import msgspec

from cimcare.exchange.booking import book_discarded, book_resent
from cimcare.exchange.outbox import Delivery, DeliverySelection, DeliveryState
from cimcare.exchange.store import StoreError, Transaction
from cimcare.hub import app
from cimcare.hub.config.configuration import apply
from cimcare.hub.operation.retention import Ages, Retention
from cimcare.hub.outgoing.abandoning import abandon
from cimcare.hub.outgoing.halting import halt, release
from cimcare.schema import Catalog
from cimcare.transport.channel import Answer
from tests.simulation.actors import Actors
from tests.simulation.checks import Evidence, check_answer, check_evidence, check_swept, gather_evidence
from tests.simulation.durable import Durable, MemoryDurable
from tests.simulation.hubs import START, Identifiers, Process
from tests.simulation.loop import DeadlockError, EndlessError, VirtualLoop
from tests.simulation.network import Line, SimulatedNetwork
from tests.simulation.peers import Behaviour, Known, PeerModel
from tests.simulation.plan import Plan, Trouble, TroubleKind, plan_of, stream
from tests.simulation.trace import Trace, ViolationError

__all__ = ["Run", "World", "simulate"]

_MOST_STEPS = 400_000
_REST_SECONDS = 300.0
"""How long after it has healed the world may take until nothing is left to be done."""

_LOOK_SECONDS = 2.0
_RESTART_SECONDS = 1.0
_AGES_DAYS = (10, 60, 100, 500)
_OPEN = (DeliveryState.WAITING, DeliveryState.LEASED, DeliveryState.AWAITING)


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What a run came to. `violations` is empty if every promise was kept. `counts` say how much happened."""

    plan: Plan
    violations: tuple[str, ...]
    trace: Trace
    seconds: float
    steps: int
    counts: Counter[str]

    def describe(self, about: str = "") -> Iterator[str]:
        """The run in lines for people: what was wrong, the plan, and the conversation."""
        yield f"seed {self.plan.seed}: {len(self.violations)} violation(s) in {self.seconds:.1f} s, {self.steps} steps"
        yield from (f"  ! {violation}" for violation in self.violations)
        yield from (f"  {line}" for line in self.plan.describe())
        yield from self.trace.lines(about)


_shared_catalog = lru_cache(Catalog)
"""Schemas compiled once for all runs: they are the same every time, and take longer than anything else in one."""


def simulate(seed: int, durable: Durable | None = None) -> Run:
    """Run a seed; in memory if nothing else is given."""
    return World(plan_of(seed), durable or MemoryDurable()).run()


def _same(value: datetime) -> datetime:
    return value


class World:
    """All of a run.

    Args:
        plan: What is to happen.
        durable: What survives the processes.
    """

    def __init__(self, plan: Plan, durable: Durable) -> None:
        self._plan = plan
        self._durable = durable
        durable.begin(plan.storage, stream(plan.seed, "durable"), self._is_troubled)
        self._loop = VirtualLoop(most_steps=_MOST_STEPS, before_step=self._before_step)
        self._trace = Trace(self._loop)
        self._identifiers = Identifiers()
        self._settings = plan.settings
        self._absent: Counter[str] = Counter()
        self._fuses: dict[str, list[_Fuse]] = {}
        self._violations: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._evidence: Evidence | None = None
        self._processes = [self._process(f"hub-{number}", skew) for number, skew in enumerate(plan.skews, 1)]
        self._models = {
            peer.partner.name: self._model(
                peer.partner.name,
                peer.partner.source,
                Behaviour(
                    moods=peer.moods,
                    refuses=peer.refuses,
                    bare=peer.bare,
                    begun=peer.begun if peer.pieces > 1 else 0.0,
                    replies=peer.partner.replies,
                ),
            )
            for peer in plan.peers
        }
        self._mailboxes = {
            client.host: self._model(
                client.host, client.source, Behaviour(moods=client.moods, refuses=client.refuses, bare=0.5)
            )
            for client in plan.clients
        }
        self._network = SimulatedNetwork(
            plan.seed,
            plan.network,
            self._loop,
            self._trace,
            processes=self._processes,
            peers={**self._models, **self._mailboxes},
            troubled=self._is_troubled,
            answered=self._answered,
        )
        self._actors = Actors(
            self._loop,
            self._trace,
            peers={peer.partner.name: peer for peer in plan.peers},
            ask=self._network.ask,
            new_id=self._identifiers.new,
            clock=self._clock,
            chance=stream(plan.seed, "actors"),
            troubled=self._is_troubled,
        )

    def run(self) -> Run:
        """Live, come to rest, and check."""
        try:
            with patch.object(app, "Catalog", _shared_catalog):
                self._loop.run(self._live())
        except (DeadlockError, EndlessError, ViolationError) as error:
            self._violations.append(f"{type(error).__name__}: {error}")
        finally:
            for process in self._processes:
                process.die()
            self._loop.abandon()
            self._durable.close()
        if self._evidence is not None:
            self._violations += check_evidence(self._evidence)
        self._violations += [f"asyncio: {complaint}" for complaint in self._loop.complaints]
        return Run(
            plan=self._plan,
            violations=tuple(self._violations),
            trace=self._trace,
            seconds=self._loop.time(),
            steps=self._loop.steps,
            counts=self._counts(),
        )

    # ----------------------------------------------------------------------------------------------------- living

    async def _live(self) -> None:
        for process in self._processes:
            self._start(self._bring_up(process))
        self._actors.begin(self._plan.clients)
        for trouble in self._plan.troubles:
            self._start(self._trouble(trouble))
        await asyncio.sleep(self._plan.active)
        self._heal()
        while not await self._is_at_rest():
            if self._loop.time() > self._plan.active + _REST_SECONDS:
                self._violations.append(f"G6: not at rest {_REST_SECONDS:g} s after the world has healed")
                break
            await asyncio.sleep(_LOOK_SECONDS)
            self._raise_failures()
        self._evidence = await gather_evidence(
            self._plan, self._durable.reader, self._actors.errands.values(), self._models, self._mailboxes
        )
        await self._grow_old()

    async def _grow_old(self) -> None:
        """Long afterwards retention removes what is too old, again and again; what failed has to be left."""
        for days in _AGES_DAYS if self._plan.grows_old else ():
            now = self._clock() + timedelta(days=days)
            swept = await Retention(self._durable.writer, Ages.of(self._plan.settings), partial(_same, now)).sweep()
            self._trace.note("retention", "after {} days: {}", days, swept)
            self._violations += await check_swept(self._durable.reader)

    def _heal(self) -> None:
        """From now on nothing goes wrong any more."""
        self._trace.note("world", "heals")
        for fuses in self._fuses.values():
            for fuse in fuses:
                fuse.struck.cancel()
        self._fuses.clear()
        for model in (*self._models.values(), *self._mailboxes.values()):
            model.heals = True
        if self._plan.resends:
            self._start(self._resend())
        if self._plan.discards:
            self._start(self._discard())

    async def _is_at_rest(self) -> bool:
        """Whether nobody has anything left to do."""
        if self._actors.unfinished or any(not task.done() for task in self._tasks):
            return False
        reader = self._durable.reader
        if await reader.outbox.select(DeliverySelection(states=_OPEN, limit=1)):
            return False
        return not await reader.log.find_in_work(self._clock() + timedelta(days=1), 1)

    def _raise_failures(self) -> None:
        """What ends a task of the hub is a finding about the hub, any other error one about the simulation."""
        for name, tasks in self._loop.tasks.items():
            for task in tasks:
                if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                    if name and not isinstance(error, ViolationError):
                        raise ViolationError(f"a task of {name} ended by {type(error).__name__}: {error}") from error
                    raise error

    def _start(self, coroutine: Coroutine[None, None, None]) -> None:
        self._tasks.append(self._loop.create_task(coroutine))

    async def _bring_up(self, process: Process) -> None:
        """Start a process until it is up, as whatever watches over processes does."""
        while not await process.start():
            await asyncio.sleep(_RESTART_SECONDS)

    def _answered(self, process: Process, raw: bytes, answer: Answer) -> None:
        """The hub gives an answer, which is checked at once: what it says has to be durable by now."""
        errand, heard = self._actors.heard(raw, answer)
        if (violation := check_answer(self._durable.reader, errand, heard)) is not None:
            self._trace.note(process.tag, "VIOLATION {}", violation)
            self._violations.append(violation)

    # --------------------------------------------------------------------------------------------------- troubles

    async def _trouble(self, trouble: Trouble) -> None:
        await asyncio.sleep(trouble.at)
        if trouble.kind is TroubleKind.HALT:
            await self._halt(self._plan.peers[trouble.partner].partner.name, trouble.lasts)
            return
        if trouble.kind is TroubleKind.REMOVE:
            await self._remove(self._plan.peers[trouble.partner].partner.name, trouble.lasts)
            return
        if trouble.kind is TroubleKind.ABANDON:
            await self._abandon(self._plan.peers[trouble.partner].partner.name)
            return
        process = self._processes[trouble.process]
        fuse = _Fuse(trouble.steps, lambda: self._strike(trouble, process), self._loop.create_future())
        if trouble.steps:
            self._fuses.setdefault(process.name, []).append(fuse)
        else:
            fuse.burn()
        try:
            struck = await fuse.struck
        except asyncio.CancelledError:
            return
        if trouble.kind is TroubleKind.STOP:
            for one, _ in struck:
                await one.stop()
        await asyncio.sleep(trouble.lasts)
        for one, tag in struck:
            self._loop.thaw(tag)
            if one.tag == tag and not one.is_alive:
                await self._bring_up(one)

    def _strike(self, trouble: Trouble, process: Process) -> list[tuple[Process, str]]:
        """What happens at one instant, between two steps; whom it has struck, and in which life."""
        if not process.is_alive:
            return []
        self._trace.note("world", "{} {} for {:.2f} s", trouble.kind.value, process.tag, trouble.lasts)
        struck = self._processes if trouble.kind is TroubleKind.POWER else [process]
        lives = [(one, one.tag) for one in struck if one.is_alive]
        if trouble.kind is TroubleKind.FREEZE:
            self._loop.freeze(process.tag)
        if trouble.kind in (TroubleKind.KILL, TroubleKind.POWER):
            for one, _ in lives:
                one.die()
        if trouble.kind is TroubleKind.POWER:
            self._durable.lose_power()
        return lives

    def _before_step(self, tag: str) -> None:
        if self._fuses and tag:
            for fuse in tuple(self._fuses.get(tag.partition(".")[0], ())):
                fuse.burn()

    async def _halt(self, partner: str, lasts: float) -> None:
        """An operator halts delivery to a partner, and lets it go on later."""
        how = {"actor": "operator", "reason": "maintenance"}
        await self._write(lambda transaction: halt(transaction, partner, now=self._clock(), **how))
        self._trace.note("operator", "halts {}", partner)
        await asyncio.sleep(lasts)
        await self._write(lambda transaction: release(transaction, partner, now=self._clock(), **how))
        self._trace.note("operator", "releases {}", partner)

    async def _remove(self, partner: str, lasts: float) -> None:
        """An operator takes a partner out of the file of settings and of what is in force, and puts it back later."""
        for present in (-1, 1):
            self._absent[partner] -= present
            absent = +self._absent
            self._settings = self._plan.settings_without(absent)
            self._trace.note("operator", "applies the configuration without {}", ", ".join(absent) or "nobody")
            await self._write(
                lambda transaction: apply(transaction, self._settings, actor="operator", now=self._clock())
            )
            if present < 0:
                await asyncio.sleep(lasts)

    async def _abandon(self, partner: str) -> None:
        """An operator makes dead letters of all that waits for a partner."""
        self._trace.note("operator", "abandons {}", partner)
        wanted = DeliverySelection(partner=partner)
        how = {"actor": "operator", "reason": "gone", "clock": self._clock, "new_id": self._identifiers.new}
        with contextlib.suppress(StoreError):  # what was done before that stays done
            async for batch in abandon(self._durable.writer, wanted, **how):
                self._trace.note("operator", "has abandoned {}", [one.number for one in batch])

    async def _resend(self) -> None:
        """An operator sends all dead letters again, several times, as there may be more."""
        for _ in range(3):
            await asyncio.sleep(10)
            for delivery in await self._dead_letters():
                resend = partial(book_resent, number=delivery.number, now=self._clock())
                await self._write(resend)
                self._trace.note("operator", "resends {} to {}", delivery.number, delivery.partner)

    async def _discard(self) -> None:
        """An operator ends all dead letters."""
        await asyncio.sleep(5)
        for delivery in await self._dead_letters():
            discard = partial(book_discarded, number=delivery.number, now=self._clock(), reason="nobody wants it")
            await self._write(discard)
            self._trace.note("operator", "discards {} to {}", delivery.number, delivery.partner)

    async def _dead_letters(self) -> tuple[Delivery, ...]:
        return await self._durable.reader.outbox.select(DeliverySelection(states=(DeliveryState.DEAD,), limit=1000))

    async def _write(self, do: Callable[[Transaction], Awaitable[object]]) -> None:
        """What an operator does is tried until it is done, and again if the power failed while it was done."""
        while True:
            store = self._durable.writer
            try:
                async with store.transaction() as transaction:
                    await do(transaction)
            except StoreError:
                await asyncio.sleep(_RESTART_SECONDS)
            else:
                if store is self._durable.writer:
                    return

    # ------------------------------------------------------------------------------------------------------ parts

    def _counts(self) -> Counter[str]:
        """How much has happened."""
        counts = self._evidence.counts() if self._evidence is not None else Counter()
        counts["lives"] = sum(process.life for process in self._processes)
        return counts

    def _process(self, name: str, skew: float) -> Process:
        return Process(
            name,
            self._plan,
            self._loop,
            self._trace,
            identifiers=self._identifiers,
            settings=lambda: self._settings,
            durable=self._durable,
            make_sender=lambda process: Line(self._network, process),
            troubled=self._is_troubled,
            skew=skew,
        )

    def _model(self, name: str, source: str, behaviour: Behaviour) -> PeerModel:
        return PeerModel(
            name,
            source,
            behaviour,
            chance=stream(self._plan.seed, name),
            clock=self._clock,
            time=self._loop.time,
            new_id=self._identifiers.new,
            reply_later=self._reply_later,
        )

    def _reply_later(self, model: PeerModel, known: Known) -> None:
        self._actors.reply_later(model, known)

    def _is_troubled(self) -> bool:
        return self._loop.time() < self._plan.active

    def _clock(self) -> datetime:
        return START + timedelta(seconds=self._loop.time())


class _Fuse:
    """Counts steps down, and then strikes at once. `struck` is whom, for who waits."""

    def __init__(
        self,
        steps: int,
        strike: Callable[[], list[tuple[Process, str]]],
        struck: asyncio.Future[list[tuple[Process, str]]],
    ) -> None:
        self._steps = steps
        self._strike = strike
        self.struck = struck

    def burn(self) -> None:
        """One step less."""
        self._steps -= 1
        if self._steps <= 0 and not self.struck.done():
            self.struck.set_result(self._strike())
