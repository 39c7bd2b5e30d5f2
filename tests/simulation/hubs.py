"""Processes of the hub: they start, take messages, are killed, stopped or frozen at any step, and start again."""

import asyncio
import contextvars
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import Enum, auto

import structlog

from cimcare.exchange.log import Transport
from cimcare.exchange.sending import Sender
from cimcare.exchange.store import Store, StoreError
from cimcare.hub.app import Hub
from cimcare.hub.config.settings import Settings
from cimcare.store.errors import DatabaseError
from cimcare.transport.channel import Answer, Channel, Received
from cimcare.transport.rest import JsonChannel, XmlChannel
from cimcare.transport.soap import SoapChannel
from tests.simulation.durable import Durable
from tests.simulation.loop import PROCESS, VirtualLoop
from tests.simulation.plan import Plan, Storage, stream
from tests.simulation.store import ProcessStore
from tests.simulation.trace import Trace
from tests.support.channels import CHANNELS

__all__ = ["START", "Identifiers", "Process", "State"]

START = datetime(2031, 3, 1, 11, 59, 30, tzinfo=UTC)
"""The instant at which virtual time begins, shortly before a full hour, so that ledgers have more than one."""

_DRAIN_SECONDS = 10.0


class State(Enum):
    """Where a process is in its life."""

    DOWN = auto()
    STARTING = auto()
    UP = auto()
    STOPPING = auto()


class Identifiers:
    """The one place where the run's identifiers come from."""

    def __init__(self) -> None:
        self._count = 0

    def new(self) -> str:
        self._count += 1
        return f"00000000-0000-4000-8000-{self._count:012}"


class Process:
    """One process of the hub, through all its lives.

    Args:
        name: What the trace calls it.
        settings: What its file of settings says.
        durable: What it opens when it starts.
        make_sender: Makes its way to partners, for one life.
        troubled: Whether the store may still fail.
        skew: By how many seconds its clock is wrong.
    """

    def __init__(
        self,
        name: str,
        plan: Plan,
        loop: VirtualLoop,
        trace: Trace,
        *,
        identifiers: Identifiers,
        settings: Callable[[], Settings],
        durable: Durable,
        make_sender: Callable[["Process"], Sender],
        troubled: Callable[[], bool],
        skew: float,
    ) -> None:
        self.name = name
        self.state = State.DOWN
        self.life = 0
        self.tag = ""
        self.hub: Hub | None = None
        self._plan = plan
        self._loop = loop
        self._trace = trace
        self._identifiers = identifiers
        self._settings = settings
        self._durable = durable
        self._make_sender = make_sender
        self._troubled = troubled
        self._skew = skew
        self._chance = stream(plan.seed, name)
        self._opened: Store | None = None
        self._store: ProcessStore | None = None
        self._context = contextvars.copy_context()
        self._in_work: dict[asyncio.Task[Answer], None] = {}

    async def start(self) -> bool:
        """Begin another life, if it is down; whether it is up then, or about to be."""
        if self.state is not State.DOWN:
            return True
        self.life += 1
        life = self.life
        self.tag = f"{self.name}.{self.life}"
        self.state = State.STARTING
        self._context = contextvars.copy_context()
        self._context.run(PROCESS.set, self.tag)
        try:
            self._opened = self._durable.open()
        except DatabaseError as error:  # another process is writing in this moment
            self._trace.note(self.name, "does not start: {}", error)
            self.state = State.DOWN
            return False
        storage = self._plan.storage
        if self._durable.fails_by_itself:
            storage = Storage(suspends=storage.suspends)
        self._store = ProcessStore(self._opened, storage, self._chance, self._troubled)
        opening = self._loop.create_task(self._open(self._store), context=self._context)
        await asyncio.wait((opening,))
        if opening.cancelled() or self.life != life or self.state is not State.STARTING:
            return False  # it was killed meanwhile
        if (error := opening.exception()) is not None:
            if not isinstance(error, StoreError):
                raise error
            self._trace.note(self.name, "does not start: {}", error)
            self.die()
            return False
        self.hub = opening.result()
        self.state = State.UP
        self._trace.note(self.name, "is up, life {}", self.life)
        return True

    async def _open(self, store: ProcessStore) -> Hub:
        return await Hub.open(
            self._settings(),
            clock=self._clock,
            new_id=self._identifiers.new,
            logger=self._logger(),
            store=store,
            sender=self._make_sender(self),
            chance=self._chance,
        )

    async def receive(self, raw: bytes, transport: Transport) -> Answer | None:
        """The hub's answer to a message; None if the process ends before it gives one."""
        if self.state is not State.UP:
            return None
        assert self.hub is not None
        content_type = CHANNELS[transport].content_type
        received = Received(channel=_channel_of(transport), raw=raw, size_bytes=len(raw), content_type=content_type)
        task = self._loop.create_task(self.hub.pipeline.receive(received), context=self._context)
        self._in_work[task] = None
        await asyncio.wait((task,))
        self._in_work.pop(task, None)
        return None if task.cancelled() else task.result()

    def die(self) -> None:
        """End at once: nothing that still runs of it has any effect."""
        self.state = State.DOWN
        self.hub = None
        if self._store is not None and self._opened is not None:
            self._store.die()
            self._durable.abandon(self._opened)
            self._store = self._opened = None
        self._loop.kill(self.tag)

    async def stop(self) -> None:
        """Take nothing more, finish what is in work, and end."""
        if self.state is not State.UP:
            return
        self.state = State.STOPPING
        life, hub = self.life, self.hub
        assert hub is not None
        if self._in_work:
            await asyncio.wait(tuple(self._in_work), timeout=_DRAIN_SECONDS)
        closing = self._loop.create_task(hub.close(), context=self._context)
        await asyncio.wait((closing,))
        if self.life == life:
            self.die()

    @property
    def is_alive(self) -> bool:
        """Whether anything of it runs."""
        return self.state is not State.DOWN

    def _clock(self) -> datetime:
        return START + timedelta(seconds=self._loop.time() + self._skew)

    def _logger(self) -> structlog.typing.FilteringBoundLogger:
        """Puts what the hub logs into the trace."""

        def keep(_: object, level: str, event: structlog.typing.EventDict) -> str:
            what = event.pop("event")
            told = " ".join(f"{name}={value}" for name, value in event.items())
            self._trace.note(self.name, "log {}: {} {}", level, what, told)
            raise structlog.DropEvent

        return structlog.wrap_logger(
            structlog.testing.ReturnLogger(),
            processors=[keep],
            wrapper_class=structlog.make_filtering_bound_logger("info"),
        )


def _channel_of(transport: Transport) -> Channel:
    if transport is Transport.REST_XML:
        return XmlChannel()
    return JsonChannel() if transport is Transport.REST_JSON else SoapChannel(CHANNELS[transport].content_type)
