"""Connections to partners: one pool for each TLS configuration, and a bound for each partner.

A hanging partner holds its own places only. Files of a TLS configuration are looked at before each use, so that a
renewed certificate is taken without a restart; what is under way ends over the connections it has.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path

import aiohttp
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from cimcare.exchange.partners import Tls

__all__ = ["Places", "Pools", "TlsFilesError", "context_of", "on_connected", "stamp_of"]

_IDLE_SECONDS = 4.0
"""Below what servers commonly keep an idle connection for (5 s and more): who closes first should be us."""

Stamp = tuple[tuple[int, int, int], ...]


def stamp_of(*files: str) -> Stamp:
    """What tells a file from the one that was there before: instant of change, size and place of each.

    Raises:
        OSError: One of them is not there.
    """
    stats = [Path(file).stat() for file in files if file]
    return tuple((stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in stats)


class TlsFilesError(Exception):
    """Files of a TLS configuration cannot be used; the text says which and why."""


class Places:
    """How much may be under way at once, for each destination; who finds all places taken waits for one."""

    def __init__(self) -> None:
        self._taken: dict[Hashable, _Place] = {}

    @asynccontextmanager
    async def take(self, destination: Hashable, most: int) -> AsyncIterator[None]:
        """Hold a place of a destination that has `most` of them."""
        key = (destination, most)
        place = self._taken.get(key)
        if place is None:
            place = self._taken[key] = _Place(most)
        place.users += 1
        try:
            async with place.semaphore:
                yield
        finally:
            place.users -= 1
            if not place.users:
                del self._taken[key]


class _Place:
    def __init__(self, most: int) -> None:
        self.semaphore = asyncio.Semaphore(most)
        self.users = 0


on_connected: ContextVar[Callable[[], None] | None] = ContextVar("on_connected", default=None)
"""Told, in the context of a request, that it has a connection.

The library has a way to say so, which costs each request a tenth of all it does: signals for each of its steps.
"""


class _Connector(aiohttp.TCPConnector):
    """Takes no connection again on which something came that nobody had asked for.

    Whoever answers twice would have the second answer read as the one to the next message.
    """

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the library calls it so
    ) -> Connection:
        """A connection on which nothing waits to be read."""
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            if protocol is None or not protocol.should_close:
                told = on_connected.get()
                if told is not None:
                    told()
                return connection
            connection.close()


class _Pool:
    """The connections of one state of the files of one TLS configuration."""

    def __init__(self, stamp: Stamp, session: aiohttp.ClientSession) -> None:
        self.stamp = stamp
        self.session = session
        self.users = 0
        self.is_current = True


class Pools:
    """All pools. End it with `close`."""

    def __init__(self) -> None:
        self._pools: dict[Tls, _Pool] = {}
        self._is_closed = False

    @asynccontextmanager
    async def use(self, tls: Tls) -> AsyncIterator[aiohttp.ClientSession]:
        """The session for a TLS configuration, with its files as they are now.

        Raises:
            TlsFilesError: They cannot be used.
        """
        pool = await self._current(tls)
        pool.users += 1
        try:
            yield pool.session
        finally:
            pool.users -= 1
            if not pool.users and not pool.is_current:
                await pool.session.close()

    async def close(self) -> None:
        """Close all connections, those in use included; nothing can be sent any more."""
        self._is_closed = True
        for pool in list(self._pools.values()):
            await pool.session.close()

    async def _current(self, tls: Tls) -> _Pool:
        if self._is_closed:
            raise TlsFilesError("the hub is being stopped")
        try:
            stamp = stamp_of(tls.ca_file, tls.certificate_file, tls.key_file)
            pool = self._pools.get(tls)
            if pool is not None and pool.stamp == stamp:
                return pool
            context = context_of(tls)
        except (OSError, ValueError) as error:
            raise TlsFilesError(_reason_of(error, tls)) from error
        renewed = self._pools[tls] = _Pool(stamp, self._session(context))
        if pool is not None:
            pool.is_current = False
            if not pool.users:
                await pool.session.close()
        return renewed

    def _session(self, context: ssl.SSLContext | bool) -> aiohttp.ClientSession:
        connector = _Connector(ssl=context, limit=0, keepalive_timeout=_IDLE_SECONDS)  # bounded by `Places`
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(),  # the caller has one deadline for all of it
            headers={"User-Agent": "cimcare", "Accept-Encoding": "identity"},
            auto_decompress=False,  # a small answer must not become a large one
        )


def context_of(tls: Tls) -> ssl.SSLContext | bool:
    """How TLS is spoken by these files; True for what the machine trusts. Raises OSError or ValueError."""
    if not (tls.ca_file or tls.certificate_file):
        return True  # what the library trusts: the authorities of the machine, which take long to load
    context = ssl.create_default_context(cafile=tls.ca_file or None)
    if tls.certificate_file:
        context.load_cert_chain(tls.certificate_file, tls.key_file or None, password=_no_password)
    return context


def _no_password() -> str:
    """Without this, a key that has a password would ask for it on the terminal, and everything would wait."""
    raise ValueError("the key has a password; give one without")


def _reason_of(error: Exception, tls: Tls) -> str:
    files = ", ".join(file for file in (tls.ca_file, tls.certificate_file, tls.key_file) if file)
    return f"{files}: {getattr(error, 'strerror', None) or error}"
