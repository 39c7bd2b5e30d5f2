"""The feed of events as a stream: server-sent events to many clients, read from the store once.

While anybody listens, one watcher looks into the log and keeps the youngest events for all. A client that is further
behind reads on its own until it has caught up. Nothing is kept for a single client: who is slow falls behind, and who
takes nothing at all is cut off.

Source: HTML Living Standard, server-sent events; our profile.
"""

import asyncio
import contextlib
from bisect import bisect_right
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta

import msgspec
import structlog
from starlette.responses import StreamingResponse

from cimcare.errors import CimcareError
from cimcare.exchange.store import StoreError
from cimcare.exchange.subscriptions import Filter, Matcher
from cimcare.hub.events import EventPage, Events, Told
from cimcare.transport.http import ReceiveEvent, Scope, Send

__all__ = ["EventStream", "StreamTimes", "Streams", "TooManyStreamsError"]

_AT_ONCE = 100
"""Events of one reading."""

_MOST_KEPT = 1000
_MOST_KEPT_BYTES = 16 * 1024 * 1024
"""Bounds of what the watcher keeps."""

_HELLO = b"retry: 2000\n\n"
_GRACE = timedelta(seconds=1)
"""How long a stream may take to end by itself when the hub stops."""


class TooManyStreamsError(CimcareError):
    """As many clients listen as may."""

    code = "EXC-120"


class StreamTimes(msgspec.Struct, frozen=True, kw_only=True):
    """How often the log is looked into, when a silent stream shows that it lives, and when a client is given up."""

    poll: timedelta = timedelta(seconds=0.25)
    heart_beat: timedelta = timedelta(seconds=15)
    patience: timedelta = timedelta(seconds=30)


class _Window:
    """The youngest events: all of those behind `start` up to `end`."""

    def __init__(self, end: int) -> None:
        self.start = self.end = end
        self._kept: list[Told] = []
        self._sequences: list[int] = []
        self._size = 0

    def add(self, page: EventPage) -> None:
        """Put in what was read behind `end`, and let the oldest go where it is too much."""
        self._kept += page.items
        self._sequences += (told.sequence for told in page.items)
        self._size += sum(len(told.body) for told in page.items)
        self.end = page.last
        too_many = max(0, len(self._kept) - _MOST_KEPT)
        size = self._size - sum(len(told.body) for told in self._kept[:too_many])
        while size > _MOST_KEPT_BYTES:
            size -= len(self._kept[too_many].body)
            too_many += 1
        if too_many:
            self.start, self._size = self._sequences[too_many - 1], size
            del self._kept[:too_many], self._sequences[:too_many]

    def next_after(self, position: int, matcher: Matcher) -> tuple[Told | None, int]:
        """The next event behind a position, which is not before `start`, and the position that is then reached."""
        for index in range(bisect_right(self._sequences, position), len(self._kept)):
            if matcher.accepts(self._kept[index].facts):
                return self._kept[index], self._sequences[index]
        return None, max(position, self.end)


class Streams:
    """All streams of one process.

    Args:
        events: The feed.
        logger: Where troubles are noted.
        times: See `StreamTimes`.
        most: Most clients at once.
    """

    def __init__(
        self,
        events: Events,
        logger: structlog.typing.FilteringBoundLogger,
        *,
        times: StreamTimes | None = None,
        most: int = 100,
    ) -> None:
        self._events = events
        self._log = logger
        self.times = times or StreamTimes()
        self.most = most
        self.clients = 0
        self.stopped = asyncio.Event()
        self._window: _Window | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    def open(self, wanted: Filter, *, after: int | None, headers: Mapping[str, str]) -> "EventStream":
        """A stream of events behind `after`, or from now on.

        Raises:
            TooManyStreamsError: There are as many as there may be.
        """
        if self.clients >= self.most:
            raise TooManyStreamsError(f"{self.clients} clients listen; accepted up to {self.most} at once")
        return EventStream(self, self._frames(wanted, after), headers)

    def stop(self) -> None:
        """End all streams, at once and for good. Clients come again when there is somebody to listen to."""
        self.stopped.set()
        self._announce()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Count a client in, and watch as long as there is one."""
        self.clients += 1
        if self._watcher is None:
            self._watcher = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            self.clients -= 1
            if not self.clients:
                watcher, self._watcher, self._window = self._watcher, None, None
                watcher.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watcher

    def note_stalled(self) -> None:
        """A client took nothing for too long."""
        self._log.warning("stream given up", patience=self.times.patience.total_seconds())

    async def _frames(self, wanted: Filter, after: int | None) -> AsyncIterator[bytes]:
        """What a client is sent: events as they come, and signs of life between them."""
        yield _HELLO
        matcher = Matcher(wanted)
        position = await self._events.end() if after is None else after
        while not self.stopped.is_set():
            news, window = self._news, self._window
            start = None if window is None else window.start
            if window is not None and position >= window.start:
                told, position = window.next_after(position, matcher)
                if told is not None:
                    yield _frame_of(told)
                elif not await self._comes(news):
                    yield _sign_of_life(position)
                continue
            page = await self._events.page(wanted, after=position, limit=_AT_ONCE)
            for told in page.items:
                yield _frame_of(told)
            position = page.last
            if not page.is_end:
                yield _sign_of_life(position)
            elif start is not None:  # what came before the window began to be kept was read just now
                position = max(position, start)
            elif not await self._comes(news):
                yield _sign_of_life(position)

    async def _comes(self, news: asyncio.Event) -> bool:
        """Wait for news, at most until a sign of life is due."""
        try:
            async with asyncio.timeout(self.times.heart_beat.total_seconds()):
                await news.wait()
        except TimeoutError:
            return False
        return True

    async def _watch(self) -> None:
        """Keep the window up to date until cancelled."""
        while True:
            try:
                if self._window is None:
                    self._window = _Window(await self._events.end())
                    self._announce()
                page = await self._events.page(Filter(), after=self._window.end, limit=_AT_ONCE)
            except StoreError as error:
                self._log.error("events cannot be read", code=error.code, reason=str(error))
                await asyncio.sleep(self.times.poll.total_seconds())
                continue
            if page.last > self._window.end:
                self._window.add(page)
                self._announce()
            if page.is_end:
                await asyncio.sleep(self.times.poll.total_seconds())

    def _announce(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


class EventStream(StreamingResponse):
    """One stream, as the response to a request."""

    def __init__(self, streams: Streams, frames: AsyncIterator[bytes], headers: Mapping[str, str]) -> None:
        own = {"cache-control": "no-store", "x-accel-buffering": "no"}
        super().__init__(frames, headers={**headers, **own}, media_type="text/event-stream")
        self._streams = streams
        self._frames = frames

    async def __call__(self, scope: Scope, receive: ReceiveEvent, send: Send) -> None:
        """Send until the client goes, takes nothing any more, or the hub stops."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        async with self._streams.listening():
            sending = asyncio.create_task(self._send_all(send))
            others = [asyncio.create_task(_gone(receive)), asyncio.create_task(self._streams.stopped.wait())]
            try:
                await asyncio.wait({sending, *others}, return_when=asyncio.FIRST_COMPLETED)
                if self._streams.stopped.is_set():
                    await asyncio.wait({sending}, timeout=_GRACE.total_seconds())
            finally:
                for task in (sending, *others):
                    task.cancel()
                await asyncio.gather(sending, *others, return_exceptions=True)
        if not sending.cancelled():
            sending.result()

    async def _send_all(self, send: Send) -> None:
        async for frame in self._frames:
            try:
                async with asyncio.timeout(self._streams.times.patience.total_seconds()):
                    await send({"type": "http.response.body", "body": frame, "more_body": True})
            except TimeoutError:
                self._streams.note_stalled()
                return
        await send({"type": "http.response.body", "body": b""})


async def _gone(receive: ReceiveEvent) -> None:
    """Wait until the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _frame_of(told: Told) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (told.sequence, told.name.encode(), told.body)


def _sign_of_life(position: int) -> bytes:
    """A comment, and the place from which the client goes on when it comes again."""
    return b":\nid: %d\n\n" % position
