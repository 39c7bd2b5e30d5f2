"""Kills a broker, or the hub beside it, under load in both directions, again and again, and counts what was lost.

A hub takes tickets (each created, changed twice and closed) as requests from a queue, work requests whose owner is on
another queue, and events of service orders from a topic; it tells of tickets on a topic. At a random instant of each
cycle the victim gets SIGKILL and is started again. Who asks sends again what has no answer, with the same MessageID;
who tells, what the broker has not confirmed. Nobody else does anything: consumers have to come back by themselves.
"""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, ExitStack
from pathlib import Path

import msgspec

from cimcare.model.envelope import EventMessage
from cimcare.model.identity import MessageID
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from cimcare.store.opening import open_reader
from tests.crash.bus import HEARD, OWNER, Bus
from tests.crash.judging import Report, is_told, judge, log_of, until_empty, until_less
from tests.crash.sending import SOURCE, Sending
from tests.support.hub import HubProcess, hub_process
from tests.support.listening import broker_table, declare, until_attached
from tests.support.services import Broker

__all__ = ["VICTIMS", "OpenBus", "run_broker_cycles"]

VICTIMS = ("broker", "hub", "both")

OpenBus = Callable[[Path], AbstractAsyncContextManager[Bus]]
"""Opens the other side; its logs go into the folder."""

_AGAIN_SECONDS = 0.1
_PATIENCE_SECONDS = 120.0
"""What of a cycle is not answered so long after the restart counts as lost."""


class _Telling:
    """Events of service orders; what the broker has not confirmed is told again as it is."""

    def __init__(self) -> None:
        self._next = 0
        self.open: list[EventMessage] = []
        self.confirmed: list[str] = []

    def add(self, count: int) -> None:
        for _ in range(count):
            self._next += 1
            event = build_message(Noun.SERVICE_ORDERS, Verb.CHANGED, seed=self._next)
            assert isinstance(event, EventMessage)
            told = {"source": SOURCE, "message_id": MessageID(f"e-{self._next}"), "correlation_id": None}
            self.open.append(msgspec.structs.replace(event, header=msgspec.structs.replace(event.header, **told)))

    async def run(self, bus: Bus) -> None:
        while self.open:
            if not await bus.tell(self.open[0]):
                return
            self.confirmed.append(str(self.open.pop(0).header.message_id))


def _settings(broker: Broker, scheme: str, context: str, folder: Path) -> str:
    quick = "reconnect_first_seconds = 0.1\nreconnect_most_seconds = 1\n"
    return f"""
[hub]
queue_limit = 5000
wait_seconds = 600
question_wait_seconds = 600
[delivery]
lease_seconds = 2
poll_seconds = 0.1
{broker_table(broker, scheme, context, folder, quick)}
[partners.owner]
kind = "jms"
broker = "main"
destination = "queue:{context}.{OWNER}.{{noun}}.{{verb}}"
source = "{OWNER}"
owns = ["WorkRequests"]
deadline_seconds = 3
[subscriptions.heard]
kind = "jms"
broker = "main"
destination = "topic:{context}.{HEARD}.{{noun}}"
nouns = ["TroubleTickets"]
deadline_seconds = 3
retry_first_seconds = 0.05
retry_most_seconds = 0.4
"""


async def run_broker_cycles(
    folder: Path,
    *,
    broker: Broker,
    scheme: str,
    open_bus: OpenBus,
    context: str,
    cycles: int,
    tickets: int,
    seed: int,
    victim: str = "broker",
    database: str = "",
) -> Report:
    """Kill `victim` `cycles` times while tickets pass, and look at what is left.

    Args:
        folder: For logs and, where `database` is empty, the database.
        broker: The broker, running.
        scheme: By which the hub speaks with it.
        open_bus: Opens the other side.
        context: First level of the names of queues and topics.
        cycles: How often the victim is killed and started again.
        tickets: Tickets in work at once.
        seed: Of all chance on this side; when which step is hit is up to the machine.
        victim: `broker`, `hub` or `both`.
        database: URL of an empty database; SQLite in the folder if empty.
    """
    chance = random.Random(seed)
    sending, telling = Sending(chance), _Telling()
    url = database or f"sqlite:///{folder / 'hub.db'}"
    hubs = _Hubs(folder, _settings(broker, scheme, context, folder), url)
    await declare(broker, scheme, context)
    with hubs:
        hubs.start()
        await until_attached(hubs.address)  # the first time: what a topic brings before is nobody's
        async with open_bus(folder) as bus:
            # Of topics that nobody has used yet ActiveMQ does not know after its death that somebody listens to all.
            sending.add(1)
            await sending.run(bus.ask)
            await until_empty(url)
            for _ in range(cycles):
                is_over = asyncio.Event()
                load = asyncio.gather(_ask_on(sending, bus, tickets, is_over), _tell_on(telling, bus, is_over))
                await asyncio.sleep(chance.uniform(0.05, 1.5))
                await _kill(victim, broker, hubs, chance.uniform(0.0, 1.0))
                is_over.set()
                await load
            await until_empty(url)
            await _until_all_came(url, telling, bus)
            hubs.stop()
            report = await judge(url, sending, cycles=cycles, heard={"heard": bus.heard}, owned=bus.owned)
            lost, doubled = await _came(url, telling)
    return msgspec.structs.replace(report, lost=report.lost + lost, doubled=report.doubled + doubled)


class _Hubs:
    """The hub, which may be killed and started again."""

    def __init__(self, folder: Path, settings: str, url: str) -> None:
        self._folder = folder
        self._settings = settings
        self._url = url
        self._stack = ExitStack()
        self._hub: HubProcess | None = None

    def __enter__(self) -> "_Hubs":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def address(self) -> str:
        assert self._hub is not None
        return self._hub.address

    def start(self) -> None:
        self._hub = self._stack.enter_context(hub_process(self._folder, self._settings, database=self._url))

    def kill(self) -> None:
        assert self._hub is not None
        self._hub.kill()

    def stop(self) -> None:
        assert self._hub is not None
        assert self._hub.stop() == 0


async def _kill(victim: str, broker: Broker, hubs: _Hubs, away_seconds: float) -> None:
    if victim != "hub":
        await asyncio.to_thread(broker.kill)
    if victim != "broker":
        await asyncio.to_thread(hubs.kill)
    await asyncio.sleep(away_seconds)
    if victim != "broker":
        await asyncio.to_thread(hubs.start)
    if victim != "hub":
        await asyncio.to_thread(broker.start)


async def _ask_on(sending: Sending, bus: Bus, tickets: int, is_over: asyncio.Event) -> None:
    """Make tickets, so many at once, until it is over; then go on until all is answered."""
    while not is_over.is_set():
        sending.add(max(0, tickets - len(sending.open)))
        await sending.run(bus.ask)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while sending.open:
                await sending.run(bus.ask)
                await asyncio.sleep(_AGAIN_SECONDS)


async def _tell_on(telling: _Telling, bus: Bus, is_over: asyncio.Event) -> None:
    """Tell events until it is over; then go on until all are confirmed."""
    while not is_over.is_set():
        telling.add(1)
        await telling.run(bus)
        if telling.open:  # a session that is lost says so at once: whoever went on at once would let nobody else work
            await asyncio.sleep(_AGAIN_SECONDS)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while telling.open:
                await telling.run(bus)
                await asyncio.sleep(_AGAIN_SECONDS)


async def _until_all_came(url: str, telling: _Telling, bus: Bus) -> None:
    """Wait until the broker has handed out what it has, to the listener and to the hub."""
    async with open_reader(url) as reader:

        async def left() -> int:
            entries = [entry async for entry in log_of(reader)]
            due = {entry.message_id for entry in entries if is_told(entry)} - set(bus.heard)
            return len(due) + len(set(telling.confirmed) - {entry.message_id for entry in entries})

        await until_less(left)


async def _came(url: str, telling: _Telling) -> tuple[int, int]:
    """How many confirmed events did not come into the hub, and how many took effect there more than once."""
    async with open_reader(url) as reader:
        came = Counter(
            [entry.message_id async for entry in log_of(reader) if entry.partner == SOURCE and entry.repeat_of is None]
        )
    return sum(one not in came for one in telling.confirmed), sum(came[one] > 1 for one in telling.confirmed)
