"""Connections handed by the process that accepts them to those that serve them, each over a pair of Unix sockets.

Down go an order first (its length in four bytes, then its bytes), and then connections: one byte and one descriptor
each. Up go single bytes: that the worker is ready, that it has taken a connection, that one has ended, that it takes no
more; or, as the last thing, why it cannot start. Each side sees the end of the other by the end of the stream, however
it came about.

Over the same sockets a worker says that it has put something into the outbox, and one that carries is told to look what
was put there: a byte down, and one up when it has looked. What is said meanwhile is told it after that, all at once.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress

__all__ = ["Acceptor", "Giver", "Taker", "choose", "read_order", "send_order"]

_READY = b"R"
_TAKEN = b"+"
_ENDED = b"-"
_FULL = b"D"
_FAILED = b"F"
_PUT = b"P"
_LOOKED = b"L"

_CONNECTION = b"c"
_LOOK = b"l"

_LENGTH_BYTES = 4
_MOST_UNSEEN = 64
"""Connections on their way to one worker: one that does not look at them gets no more. Few enough for any buffer."""

_MOST_BYTES = 64 * 1024
_MOST_AT_ONCE = 64
_AGAIN_SECONDS = 0.01
_TROUBLE_SECONDS = 1.0


async def send_order(channel: socket.socket, order: bytes) -> None:
    """Tell a worker what to do. If it is gone already, that shows at its end."""
    with suppress(OSError):
        await asyncio.get_running_loop().sock_sendall(channel, len(order).to_bytes(_LENGTH_BYTES, "big") + order)


def read_order(channel: socket.socket) -> bytes:
    """What a worker is to do; empty if who wanted to say so is gone."""
    channel.setblocking(True)
    length = int.from_bytes(_read(channel, _LENGTH_BYTES), "big")
    return _read(channel, length)


def _read(channel: socket.socket, length: int) -> bytes:
    piece = channel.recv(length, socket.MSG_WAITALL) if length else b""
    return piece if len(piece) == length else b""


class Giver:
    """The side that hands connections down. Use it on one event loop.

    `open` counts connections handed that have not ended; `failure` is why the worker cannot start, as it said it.
    """

    def __init__(
        self,
        channel: socket.socket,
        *,
        on_ready: Callable[[], None],
        on_word: Callable[[], None] = lambda: None,
        on_put: Callable[[], None] = lambda: None,
    ) -> None:
        """Begin.

        Args:
            channel: Our end of the pair; closed with this.
            on_ready: Told when the other side is ready.
            on_word: Told when it has said anything.
            on_put: Told when it has put something into the outbox.
        """
        self.open = 0
        self.failure = b""
        self.was_ready = False
        self.last_given = 0
        self._unseen = 0
        self._is_taking = False
        self._is_refused = False
        self._has_failed = False
        self._channel = channel
        self._on_ready = on_ready
        self._on_word = on_word
        self._on_put = on_put
        self._is_looking = True  # until it is ready
        self._is_to_look = False
        channel.setblocking(False)
        asyncio.get_running_loop().add_reader(channel, self._listen)

    @property
    def has_room(self) -> bool:
        """Whether a connection can be handed down now."""
        return self._is_taking and not self._is_refused and self._unseen < _MOST_UNSEEN

    def hand(self, connection: socket.socket, number: int) -> bool:
        """Hand a connection down, unless it does not get through. `number` counts all that were handed to anybody."""
        try:
            socket.send_fds(self._channel, [_CONNECTION], [connection.fileno()])
        except OSError:  # the worker is gone, or too much is under way to it, of which it will say that it came
            self._is_refused = True
            return False
        self.open += 1
        self._unseen += 1
        self.last_given = number
        return True

    def let_look(self) -> None:
        """Let the other side look what was put into the outbox, now or when it has ended the look that is under way."""
        self._is_to_look = self._is_looking
        if not self._is_looking:
            with suppress(OSError):  # it is gone, and who takes its place looks by itself
                self._channel.send(_LOOK)
                self._is_looking = True

    def close(self) -> None:
        """End the stream, and hear what is left in it."""
        self._listen()
        self._end()

    def _listen(self) -> None:
        while self._channel.fileno() >= 0:
            try:
                said = self._channel.recv(_MOST_BYTES)
            except BlockingIOError:
                return
            except OSError:
                said = b""
            if not said:
                self._end()
                return
            self._hear(said)

    def _hear(self, said: bytes) -> None:
        if not self._has_failed:
            said, failed, reason = said.partition(_FAILED)
            self._has_failed = bool(failed)
        else:
            said, reason = b"", said
        self.failure += reason
        self._is_refused = False
        self.open -= said.count(_ENDED)
        self._unseen -= said.count(_TAKEN)
        if _READY in said:
            self.was_ready = self._is_taking = True
            self._on_ready()
        if _PUT in said:
            self._on_put()
        if _READY in said or _LOOKED in said:
            self._is_looking = False
            if self._is_to_look:
                self.let_look()
        if _FULL in said:
            self._is_taking = False
        self._on_word()

    def _end(self) -> None:
        self._is_taking = False
        if self._channel.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._channel)
            self._channel.close()


def choose(givers: Iterable[Giver]) -> Giver | None:
    """Who gets the next connection: of those with room who has the fewest; of several, who has waited longest."""
    return min((one for one in givers if one.has_room), key=lambda one: (one.open, one.last_given), default=None)


class Acceptor:
    """Accepts connections and hands each to one of those who take some. Use it on one event loop.

    While nobody does, connections wait with the system.
    """

    def __init__(self, listener: socket.socket, on_trouble: Callable[[OSError], None]) -> None:
        """Begin with nobody.

        Args:
            listener: The socket that listens; closed with the acceptor.
            on_trouble: Told why no connection can be accepted; it is tried again after a second.
        """
        self._listener = listener
        self._on_trouble = on_trouble
        self._givers: set[Giver] = set()
        self._given = 0
        self._is_accepting = False
        listener.setblocking(False)

    def add(
        self, channel: socket.socket, on_ready: Callable[[], None], on_put: Callable[[], None] = lambda: None
    ) -> Giver:
        """Hand connections down a channel too, as soon as the other side is ready for them; `on_put` as for `Giver`."""
        giver = Giver(channel, on_ready=on_ready, on_word=self._resume, on_put=on_put)
        self._givers.add(giver)
        return giver

    def drop(self, giver: Giver) -> None:
        """Hand nothing more there, and hear what is left to be heard."""
        self._givers.discard(giver)
        giver.close()

    def close(self) -> None:
        """Accept no more."""
        self._pause()
        self._listener.close()

    def _resume(self) -> None:
        if not self._is_accepting and self._listener.fileno() >= 0:
            self._is_accepting = True
            asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def _pause(self) -> None:
        if self._is_accepting:
            self._is_accepting = False
            asyncio.get_running_loop().remove_reader(self._listener)

    def _accept(self) -> None:
        for _ in range(_MOST_AT_ONCE):
            if choose(self._givers) is None:  # whoever has room again says a word before
                self._pause()
                return
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                self._on_trouble(error)
                self._pause()
                asyncio.get_running_loop().call_later(_TROUBLE_SECONDS, self._resume)
                return
            with connection:
                self._given += 1
                while (giver := choose(self._givers)) is not None and not giver.hand(connection, self._given):
                    pass


class Taker:
    """The side that is handed connections, or told to look. Use it on one event loop; begin when it can do so."""

    def __init__(self, channel: socket.socket, on_end: Callable[[], None]) -> None:
        self.is_alone = False
        self._channel = channel
        self._on_end = on_end
        self._take: Callable[[socket.socket, Callable[[], None]], Awaitable[None]] | None = None
        self._look: Callable[[], Awaitable[None]] | None = None
        self._taking: set[asyncio.Future[None]] = set()
        self._unsaid = bytearray()
        self._is_saying = False
        channel.setblocking(False)
        asyncio.get_running_loop().add_reader(channel, self._listen)

    def begin(self, take: Callable[[socket.socket, Callable[[], None]], Awaitable[None]]) -> None:
        """Take connections from now on. `take` is given each, and what to call when it has ended."""
        self._take = take
        self._say(_READY)

    def begin_to_look(self, look: Callable[[], Awaitable[None]]) -> None:
        """Look what was put into the outbox, whenever it is said that something was. No connections come."""
        self._look = look
        self._say(_READY)

    def tell_put(self) -> None:
        """Say that something was put into the outbox; what is said before it is told counts once."""
        if _PUT not in self._unsaid:
            self._say(_PUT)

    def end(self) -> None:
        """Take no more."""
        self._say(_FULL)

    def fail(self, reason: bytes) -> None:
        """Say why there is nothing to begin with, in some thousand bytes; the last thing to be said."""
        with suppress(OSError):
            self._channel.send(_FAILED + reason)

    def _listen(self) -> None:
        while True:
            try:
                said, descriptors, _, _ = socket.recv_fds(self._channel, 1, 1)
            except BlockingIOError:
                return
            except OSError:
                said, descriptors = b"", []
            if not said:
                asyncio.get_running_loop().remove_reader(self._channel)
                self.is_alone = True
                self._on_end()
                return
            if said == _LOOK:
                self._hold(self._look_now())
                continue
            self._say(_TAKEN)
            if not descriptors:  # this process has as many files open as it may
                self._say(_ENDED)
                continue
            self._hold(self._serve(socket.socket(fileno=descriptors[0])))

    def _hold(self, work: Coroutine[None, None, None]) -> None:
        taking = asyncio.ensure_future(work)
        self._taking.add(taking)
        taking.add_done_callback(self._taking.discard)

    async def _look_now(self) -> None:
        assert self._look is not None, "nobody is ready, and somebody was told to look"
        try:
            await self._look()
        finally:
            self._say(_LOOKED)

    async def _serve(self, connection: socket.socket) -> None:
        is_open = True

        def ended() -> None:
            nonlocal is_open
            if is_open:
                is_open = False
                self._say(_ENDED)

        assert self._take is not None, "nobody is ready, and somebody was given a connection"
        connection.setblocking(False)
        try:
            await self._take(connection, ended)
        except OSError:
            connection.close()
            ended()

    def _say(self, word: bytes) -> None:
        """Say it soon, together with what else is to be said by then."""
        self._unsaid += word
        if not self._is_saying:
            self._is_saying = True
            asyncio.get_running_loop().call_soon(self._say_now)

    def _say_now(self) -> None:
        try:
            said = self._channel.send(self._unsaid)
        except BlockingIOError:
            said = 0
        except OSError:  # nobody listens any more, which shows at the other end too
            said = len(self._unsaid)
        del self._unsaid[:said]
        self._is_saying = bool(self._unsaid)
        if self._is_saying:
            asyncio.get_running_loop().call_later(_AGAIN_SECONDS, self._say_now)
