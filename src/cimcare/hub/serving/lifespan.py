"""Start, drain, stop: the hub behind a listening socket, in a process of its own or inside another program.

Several processes behind one socket: `cimcare.hub.serving.workers`.
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import structlog
import uvicorn

from cimcare.errors import CimcareError
from cimcare.exchange.ports import Clock, NewID
from cimcare.hub.app import Hub, make_logger
from cimcare.hub.config.settings import Settings
from cimcare.hub.duty import Duty
from cimcare.hub.rest.inside import Pages, no_pages
from cimcare.hub.serving.accepting import Accepting
from cimcare.hub.serving.collector import settle_collector
from cimcare.hub.serving.protocol import HttpProtocol
from cimcare.store.opening import shown_url

__all__ = [
    "ListenError",
    "RunningHub",
    "WorkingHub",
    "address_of",
    "carrying_hub",
    "listen",
    "loop_factory",
    "running_hub",
    "serve",
    "working_hub",
]

_BACKLOG = 2048


class ListenError(CimcareError):
    """The address cannot be listened on."""

    code = "SET-105"


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, which would end the process before the database is closed."""

    def __init__(
        self,
        config: uvicorn.Config,
        listeners: list[socket.socket],
        on_stop: Callable[[], None],
        on_trouble: Callable[[OSError], None],
    ) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self._on_stop = on_stop
        self._accepting = [Accepting(listener, self.take, on_trouble) for listener in listeners]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take connections, and say so."""
        try:
            await super().startup(sockets)
            for accepting in self._accepting:
                accepting.begin()
        finally:
            self.listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say that it is time to go, take no connection any more, and wait for requests under way."""
        self._on_stop()
        for accepting in self._accepting:
            await accepting.end()
        await super().shutdown(sockets)

    async def take(self, connection: socket.socket, when_lost: Callable[[], None] = lambda: None) -> None:
        """Serve a connection that was accepted here or by another process. Raises OSError if it has ended already."""
        loop = asyncio.get_running_loop()

        def protocol() -> HttpProtocol:
            made = HttpProtocol(self.config, self.server_state, self.lifespan.state, loop)
            made.when_lost = when_lost
            return made

        await loop.connect_accepted_socket(protocol, connection)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to whoever runs the hub."""
        yield


class RunningHub:
    """A hub that listens. `address` is where, such as `http://127.0.0.1:8968`."""

    def __init__(self, hub: Hub, address: str, stop: Callable[[], None]) -> None:
        self.hub = hub
        self.address = address
        self.stop = stop


@asynccontextmanager
async def running_hub(
    settings: Settings,
    *,
    clock: Clock | None = None,
    new_id: NewID | None = None,
    logger: structlog.typing.FilteringBoundLogger | None = None,
    pages: Pages = no_pages,
) -> AsyncIterator[RunningHub]:
    """A hub that listens on the running event loop while the block lasts; port 0 takes a free one.

    On leaving, no connection is taken any more, requests under way are finished (`hub.drain_seconds`), and what waits
    is made durable. `RunningHub.stop` begins the same at once.

    Raises:
        ListenError: The address is in use or not to be had.
        CimcareError: As `Hub.open`.
    """
    listener = listen(settings.host, settings.port)
    try:
        hub = await Hub.open(settings, clock=clock, new_id=new_id, logger=logger, pages=pages)
        try:
            async with _serving(hub, [listener], logger or make_logger(settings.hub.log_level)) as server:
                yield RunningHub(hub, address_of(listener), lambda: setattr(server, "should_exit", True))
        finally:
            await hub.close()
    finally:
        listener.close()


class WorkingHub:
    """A hub that listens on nothing and serves the connections that it is given."""

    def __init__(self, hub: Hub, server: _Server) -> None:
        self.hub = hub
        self._server = server

    async def take(self, connection: socket.socket, when_lost: Callable[[], None]) -> None:
        """Serve a connection that was accepted elsewhere.

        Args:
            connection: The connection, which belongs to the hub from now on.
            when_lost: Called when it has ended.

        Raises:
            OSError: It has ended already.
        """
        await self._server.take(connection, when_lost)


@asynccontextmanager
async def working_hub(
    settings: Settings,
    *,
    adopts: bool = True,
    logger: structlog.typing.FilteringBoundLogger | None = None,
    pages: Pages = no_pages,
    duty: Duty = Duty.ALL,
    on_put: Callable[[], None] = lambda: None,
) -> AsyncIterator[WorkingHub]:
    """A hub on the running event loop that is given its connections, while the block lasts; it drains on leaving.

    Args:
        settings: All settings.
        adopts: As for `Hub.open`.
        logger: Where what happens is noted; standard error if None.
        pages: As for `Hub.open`.
        duty: As for `Hub.open`; one that takes messages.
        on_put: As for `Hub.open`.

    Raises:
        CimcareError: As `Hub.open`.
    """
    hub = await Hub.open(settings, logger=logger, adopts=adopts, pages=pages, duty=duty, on_put=on_put)
    try:
        async with _serving(hub, [], logger or make_logger(settings.hub.log_level)) as server:
            yield WorkingHub(hub, server)
    finally:
        await hub.close()


@asynccontextmanager
async def carrying_hub(
    settings: Settings, *, adopts: bool = True, logger: structlog.typing.FilteringBoundLogger | None = None
) -> AsyncIterator[Hub]:
    """A hub on the running event loop that takes no messages, and carries what others put in, while the block lasts.

    Args:
        settings: All settings.
        adopts: As for `Hub.open`.
        logger: Where what happens is noted; standard error if None.

    Raises:
        CimcareError: As `Hub.open`.
    """
    hub = await Hub.open(settings, logger=logger, adopts=adopts, duty=Duty.CARRY)
    try:
        yield hub
    finally:
        await hub.close()


@asynccontextmanager
async def _serving(
    hub: Hub, listeners: list[socket.socket], logger: structlog.typing.FilteringBoundLogger
) -> AsyncIterator[_Server]:
    server = _Server(
        uvicorn.Config(
            hub.app,
            http=HttpProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=hub.settings.hub.drain_seconds,
        ),
        listeners,
        hub.end_streams,
        lambda error: logger.error("no connection accepted", reason=str(error)),
    )
    serving = asyncio.create_task(server.serve(sockets=[]))
    try:
        await server.listening.wait()
        yield server
    finally:
        server.should_exit = True
        await serving


def serve(settings: Settings, *, on_start: Callable[[str], None] = lambda _: None, pages: Pages = no_pages) -> None:
    """Run a hub until SIGTERM or SIGINT, then drain: take no more, finish what is under way, close the database.

    Args:
        settings: All settings.
        on_start: Told the address when the hub listens.
        pages: As for `Hub.open`.

    Raises:
        ListenError: The address is in use or not to be had.
        CimcareError: As `Hub.open`.
    """
    logger = make_logger(settings.hub.log_level)

    async def run() -> None:
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ended.set)
        async with running_hub(settings, logger=logger, pages=pages) as running:
            settle_collector()
            logger.info("listening", address=running.address, database=shown_url(settings.database))
            on_start(running.address)
            await ended.wait()
            logger.info("draining", waiting=running.hub.pipeline.waiting)
        logger.info("stopped")

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(run())


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Maker of the event loop on which a hub runs."""
    try:
        import uvloop  # noqa: PLC0415 - not made for every platform
    except ImportError:  # slower, and otherwise the same
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one.

    Raises:
        ListenError: The address is in use or not to be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _not_listening(host, port, error) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise _not_listening(host, port, error) from error
    return listener


def address_of(listener: socket.socket) -> str:
    """Where it listens, such as `http://127.0.0.1:8968`."""
    host, port = listener.getsockname()[:2]
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}"


def _not_listening(host: str, port: int, error: OSError) -> ListenError:
    return ListenError(
        f"{host} port {port} cannot be listened on: {error.strerror or error}. Accepted: an address of this machine and"
        " a port that no other program uses; settings host and port, variables CIMCARE_HOST and CIMCARE_PORT"
    )
