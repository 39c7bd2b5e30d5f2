"""Accepts connections: in each round of the event loop all that wait.

uvloop takes one connection a round. When a round is long, most callers would then wait with the system, where no bound
holds, nobody is refused, and a hazard is behind all others.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable

__all__ = ["Accepting"]

_MOST_AT_ONCE = 256
_TROUBLE_SECONDS = 1.0


class Accepting:
    """Accepts at one socket and gives each connection away. Use it on one event loop.

    Args:
        listener: The socket that listens; closed at the end.
        take: Given each connection, which belongs to it from then on, unless it raises OSError.
        on_trouble: Told why no connection can be accepted; it is tried again after a second.
    """

    def __init__(
        self,
        listener: socket.socket,
        take: Callable[[socket.socket], Awaitable[None]],
        on_trouble: Callable[[OSError], None],
    ) -> None:
        self._listener = listener
        self._take = take
        self._on_trouble = on_trouble
        self._taking: set[asyncio.Future[None]] = set()
        self._is_ended = False
        listener.setblocking(False)

    def begin(self) -> None:
        """Accept from now on."""
        if not self._is_ended:
            asyncio.get_running_loop().add_reader(self._listener, self._accept)

    async def end(self) -> None:
        """Accept no more, so that callers turn elsewhere at once; what was accepted has been given away afterwards."""
        if not self._is_ended:
            self._is_ended = True
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
        if self._taking:
            await asyncio.wait(self._taking)

    def _accept(self) -> None:
        for _ in range(_MOST_AT_ONCE):
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:  # as many files open as there may be
                self._on_trouble(error)
                loop = asyncio.get_running_loop()
                loop.remove_reader(self._listener)
                loop.call_later(_TROUBLE_SECONDS, self.begin)
                return
            taking = asyncio.ensure_future(self._give(connection))
            self._taking.add(taking)
            taking.add_done_callback(self._taking.discard)

    async def _give(self, connection: socket.socket) -> None:
        try:
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._take(connection)
        except OSError:  # it has ended already
            connection.close()
