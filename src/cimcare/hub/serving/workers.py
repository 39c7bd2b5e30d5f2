"""Several hub processes behind one address, on one database.

The parent binds the address and accepts; each connection goes to the worker with the fewest
(`cimcare.hub.serving.handing`). A worker is a hub in a process of its own, started anew and not forked. One that ends
without having been asked is replaced, after pauses that grow while it keeps failing. If none has ever been ready and
each has failed several times, the parent gives up and says why. A signal to end goes to all, and each drains. A worker
whose parent is gone drains and ends too, for it sees the end of the stream between them.

Beside the workers there may be couriers: processes that carry deliveries, and take no messages. Then workers carry
none; each tells the parent that it has put something into the outbox, and the parent lets the couriers look. Couriers
are started, replaced and ended as workers are, but are told to end when the last worker has ended.

Decisions 0048 and 0127 have the reasons.
"""

import asyncio
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import structlog

from cimcare.errors import CimcareError
from cimcare.exchange.store import StoreError
from cimcare.hub.app import make_logger
from cimcare.hub.config.settings import Settings
from cimcare.hub.duty import Duty
from cimcare.hub.metrics import forget_worker, share_metrics
from cimcare.hub.rest.inside import Pages, no_pages
from cimcare.hub.serving.collector import settle_collector
from cimcare.hub.serving.handing import Acceptor, Giver, Taker, read_order, send_order
from cimcare.hub.serving.lifespan import address_of, carrying_hub, listen, loop_factory, working_hub
from cimcare.store import memory
from cimcare.store.opening import shown_url

__all__ = ["WorkerError", "pause_after", "run_worker", "serve_workers"]

_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 30.0

_LONGEST_REASON = 4000

_STEADY_SECONDS = 60.0
"""A worker that was ready for so long has not failed to start."""

_MOST_FAILURES = 3
"""After so many failures of each worker the parent gives up, if none has ever been ready."""

_GRACE_SECONDS = 15.0
"""How much longer than it takes to drain a worker may take to end."""

# The worker looks for modules where the parent does, and not in the working directory before that.
_PROGRAM = (
    "import importlib, json, sys; sys.path[:] = json.loads(sys.argv[1]);"
    " sys.exit(importlib.import_module(sys.argv[3]).run_worker(int(sys.argv[2])))"
)

_Logger = structlog.typing.FilteringBoundLogger


class WorkerError(CimcareError):
    """Workers cannot be started or did not end as they should."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class _Post(msgspec.Struct, frozen=True, kw_only=True):
    """A place in the crew: what for, and which of those that are for the same.

    `counters` is its number among all, under which it has its counters.
    """

    duty: Duty
    number: int
    counters: int

    @property
    def kind(self) -> str:
        """What a process at this place is called."""
        return "worker" if self.duty.takes else "courier"

    @property
    def name(self) -> str:
        """What the process is called."""
        return f"{self.kind} {self.number}"

    def event(self, word: str) -> str:
        """Name of an event in the log."""
        return f"{self.kind} {word}"


class _Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is to do.

    `metrics` is the folder of counters. `adopts`: the hub starts, so what the settings say of partners is put in force;
    a worker that takes the place of another finds what was put in force since.
    """

    post: _Post
    settings: Settings
    metrics: str
    adopts: bool


class _Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a worker cannot start."""

    code: str
    text: str


class _End(msgspec.Struct, frozen=True, kw_only=True):
    """How a worker ended. `status` is its exit code, or minus the signal; `lived_seconds` counts from its start."""

    status: int
    lived_seconds: float
    was_ready: bool
    failure: _Failure | None = None

    @property
    def is_steady(self) -> bool:
        """Whether it worked before it ended, so that it makes sense to start it again soon."""
        return self.was_ready and self.lived_seconds >= _STEADY_SECONDS

    @property
    def code(self) -> str:
        """Row of the error table."""
        return self.failure.code if self.failure is not None else "SET-121"

    def describe(self) -> str:
        """The end in a few words."""
        if self.failure is not None:
            return self.failure.text
        if self.status >= 0:
            return f"ended with exit code {self.status}"
        with suppress(ValueError):
            return f"ended by {signal.Signals(-self.status).name}"
        return f"ended by signal {-self.status}"


def pause_after(failures: int) -> float:
    """Seconds before a worker is started again that has failed so many times in a row, one or more."""
    return min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 16))


def serve_workers(
    settings: Settings,
    *,
    workers: int,
    couriers: int = 0,
    on_start: Callable[[str], None] = lambda _: None,
    program: str = __name__,
) -> None:
    """Run several hub processes until SIGTERM or SIGINT; then all drain.

    Args:
        settings: All settings, the same for all.
        workers: How many take messages, one or more.
        couriers: How many carry deliveries in their stead; with none, each worker does.
        on_start: Told the address when the first of them is ready.
        program: Module whose `run_worker` each of them runs: this one, or one that gives it more pages.

    Raises:
        ListenError: The address is in use or not to be had.
        WorkerError: SET-120 they cannot start, and said why; SET-121 they end at once, and did not say why; SET-122
            one did not end in time, or not well.
    """
    if settings.database == memory.URL and workers + couriers > 1:
        raise WorkerError(
            "SET-120",
            f"workers cannot start: database {memory.URL} is seen by the process alone that opened it. Accepted: a"
            " database that processes can share, or one worker and no courier",
        )
    logger = make_logger(settings.hub.log_level)

    async def run(listener: socket.socket, folder: Path) -> None:
        await _Crew(settings, listener, folder, logger, on_start, program).run(workers, couriers)

    with listen(settings.host, settings.port) as listener, _folder_of_counters() as folder:
        asyncio.run(run(listener, folder))  # on Python's own loop, since uvloop makes no groups of processes
    logger.info("stopped")


@contextmanager
def _folder_of_counters() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cimcare-metrics-") as folder:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)  # systemd-tmpfiles removes what is old, but nothing that is locked
            yield Path(folder)
        finally:
            os.close(descriptor)


class _Crew:
    """The parent: accepts, and watches over the workers."""

    def __init__(
        self,
        settings: Settings,
        listener: socket.socket,
        folder: Path,
        logger: _Logger,
        on_start: Callable[[str], None],
        program: str,
    ) -> None:
        self._settings = settings
        self._program = program
        self._folder = folder
        self._logger = logger
        self._on_start = on_start
        self._address = address_of(listener)
        self._acceptor = Acceptor(listener, self._note_trouble)
        self._failures: dict[_Post, int] = {}
        self._couriers: set[Giver] = set()
        self._ready = asyncio.Event()
        self._stopping = asyncio.Event()
        self._workers_ended = asyncio.Event()
        self._error: WorkerError | None = None

    async def run(self, workers: int, couriers: int) -> None:
        """Keep so many workers and couriers until a signal. Raises WorkerError."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        duty = Duty.TAKE if couriers else Duty.ALL
        at_the_door = [_Post(duty=duty, number=number, counters=number) for number in range(1, workers + 1)]
        behind_it = [
            _Post(duty=Duty.CARRY, number=number, counters=workers + number) for number in range(1, couriers + 1)
        ]
        async with asyncio.TaskGroup() as group:
            announcing = group.create_task(self._announce(workers, couriers))
            self._failures = dict.fromkeys((*at_the_door, *behind_it), 0)
            keeping = [group.create_task(self._keep(post)) for post in at_the_door]
            carrying = [group.create_task(self._keep(post)) for post in behind_it]
            await asyncio.wait(keeping)
            self._workers_ended.set()
            if carrying:
                await asyncio.wait(carrying)
            announcing.cancel()
        if self._error is not None:
            raise self._error

    async def _announce(self, workers: int, couriers: int) -> None:
        await self._ready.wait()
        more = {"couriers": couriers} if couriers else {}
        self._logger.info(
            "listening", address=self._address, database=shown_url(self._settings.database), workers=workers, **more
        )
        self._on_start(self._address)

    def _let_couriers_look(self) -> None:
        for giver in self._couriers:
            giver.let_look()

    def _stop(self) -> None:
        if not self._stopping.is_set():
            self._stopping.set()
            self._acceptor.close()
            self._logger.info("draining")

    def _note_trouble(self, error: OSError) -> None:
        self._logger.error("no connection can be accepted", error=error.strerror or str(error))

    async def _keep(self, post: _Post) -> None:
        """See to it that there is such a worker or courier, until it is time to stop."""
        while not self._stopping.is_set():
            end = await self._run(post)
            if self._stopping.is_set():
                return
            self._failures[post] = 1 if end.is_steady else self._failures[post] + 1
            if self._is_hopeless:
                self._error = _cannot_start(end)
                self._stop()
                return
            pause = pause_after(self._failures[post])
            self._logger.warning(
                post.event("ended"),
                **{post.kind: post.number},
                code=end.code,
                reason=end.describe(),
                starts_again_in_seconds=pause,
            )
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    @property
    def _is_hopeless(self) -> bool:
        """Whether all workers fail. While one tries, it may be upgrading the database for which the others wait."""
        failures = [failed for post, failed in self._failures.items() if post.duty.takes]
        return not self._ready.is_set() and min(failures) >= _MOST_FAILURES

    async def _run(self, post: _Post) -> _End:
        """Start a worker or a courier and wait for its end."""
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = await _start(theirs, self._program if post.duty.takes else __name__)
            except OSError as error:
                ours.close()
                failure = _Failure(code="SET-120", text=f"no process can be started: {error.strerror or error}")
                return _End(status=1, lived_seconds=0.0, was_ready=False, failure=failure)

        def note_ready() -> None:
            self._logger.info(post.event("ready"), **{post.kind: post.number}, pid=process.pid)
            if post.duty.takes:
                self._ready.set()

        order = _Order(
            post=post,
            settings=self._settings,
            metrics=str(self._folder),
            adopts=not self._ready.is_set(),
        )
        giver = self._add(ours, post, note_ready)
        try:
            await send_order(ours, msgspec.msgpack.encode(order))
            status = await self._wait_for(process, post, giver)
        finally:
            if process.returncode is None:  # an error of the program
                _send(process, signal.SIGKILL)
                await process.wait()
            self._couriers.discard(giver)
            self._acceptor.drop(giver)
        forget_worker(self._folder, post.counters)
        return _End(
            status=status,
            lived_seconds=loop.time() - started_at,
            was_ready=giver.was_ready,
            failure=msgspec.json.decode(giver.failure, type=_Failure) if giver.failure else None,
        )

    def _add(self, channel: socket.socket, post: _Post, on_ready: Callable[[], None]) -> Giver:
        """Connections go to workers, and what workers put into the outbox is the couriers' business."""
        if post.duty.takes:
            return self._acceptor.add(channel, on_ready, self._let_couriers_look)
        giver = Giver(channel, on_ready=on_ready)
        self._couriers.add(giver)
        return giver

    async def _wait_for(self, process: asyncio.subprocess.Process, post: _Post, giver: Giver) -> int:
        """Exit code of a process. It is told to drain when it is time to stop, and ended if it does not.

        For a courier it is time when the workers have ended, so that what they put in last is under way before.
        """
        ending = asyncio.ensure_future(process.wait())
        stopping = asyncio.ensure_future((self._stopping if post.duty.takes else self._workers_ended).wait())
        await asyncio.wait({ending, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if ending.done():
            return ending.result()
        _send(process, signal.SIGTERM)
        patience = self._settings.hub.drain_seconds + _GRACE_SECONDS
        await asyncio.wait({ending}, timeout=patience)
        if not ending.done():
            self._note_bad_end(f"{post.name} did not end within {patience:g} s and was killed")
            _send(process, signal.SIGKILL)
        elif giver.was_ready and ending.result() != 0:
            self._note_bad_end(f"{post.name} ended with exit code {ending.result()} while it drained")
        return await ending

    def _note_bad_end(self, text: str) -> None:
        hint = "Nothing accepted is lost. Hint: setting hub.drain_seconds, and what the log says of it"
        self._error = self._error or WorkerError("SET-122", f"{text}. {hint}")


async def _start(channel: socket.socket, program: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-P", "-c", _PROGRAM, json.dumps(sys.path), str(channel.fileno()), program),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # which is for the address alone
        pass_fds=(channel.fileno(),),
        process_group=0,  # Ctrl-C is for the parent, which passes it on
    )


def _send(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Send a signal. Not by the method, which would take the exit code from who waits for it (Python before 3.13)."""
    with suppress(ProcessLookupError):
        os.kill(process.pid, number)


def _cannot_start(end: _End) -> WorkerError:
    if end.failure is not None:
        return WorkerError("SET-120", f"workers cannot start: {end.failure.text}")
    return WorkerError(
        "SET-121",
        f"workers cannot start: each ended {_MOST_FAILURES} times or more before it was ready; the last"
        f" {end.describe()}. Hint: what it wrote before its end stands above; if there is nothing, look whether the"
        " system ended it for want of memory",
    )


def run_worker(descriptor: int, pages: Pages = no_pages) -> int:
    """Be a worker, as the parent says over the channel with this descriptor; the exit code. `pages` as for `Hub`."""
    with socket.socket(fileno=descriptor) as channel:
        given = read_order(channel)
        if not given:  # the parent is gone
            return 0
        order = msgspec.msgpack.decode(given, type=_Order)
        share_metrics(Path(order.metrics), order.post.counters)
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            return runner.run(_work(order, channel, pages))


async def _work(order: _Order, channel: socket.socket, pages: Pages) -> int:
    post = order.post
    logger = make_logger(order.settings.hub.log_level).bind(**{post.kind: post.number})
    ended = asyncio.Event()

    async def serve() -> None:
        async with working_hub(
            order.settings, adopts=order.adopts, logger=logger, pages=pages, duty=post.duty, on_put=tell_put
        ) as working:
            settle_collector()
            taker.begin(working.take)
            begun.set()
            await ended.wait()
            taker.end()
            logger.info("draining", waiting=working.hub.pipeline.waiting)

    async def carry() -> None:
        async with carrying_hub(order.settings, adopts=order.adopts, logger=logger) as hub:

            async def look() -> None:
                with suppress(StoreError):  # the couriers look by themselves too, and then say why they cannot
                    await hub.couriers.look()

            settle_collector()
            taker.begin_to_look(look)
            begun.set()
            await ended.wait()
            logger.info("draining")

    def tell_put() -> None:
        if post.duty is Duty.TAKE:
            taker.tell_put()

    begun = asyncio.Event()
    serving = asyncio.ensure_future(serve() if post.duty.takes else carry())

    def end() -> None:
        ended.set()
        if not begun.is_set():  # perhaps it waits for a database
            serving.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    taker = Taker(channel, end)
    try:
        await serving
    except asyncio.CancelledError:
        pass
    except CimcareError as error:
        taker.fail(msgspec.json.encode(_Failure(code=error.code, text=str(error)[:_LONGEST_REASON])))
        return 1
    if taker.is_alone:  # what the parent can do no more
        shutil.rmtree(order.metrics, ignore_errors=True)
    return 0
