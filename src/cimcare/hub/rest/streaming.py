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

import structlog

from cimcare.exchange.store import StoreError
from cimcare.exchange.subscriptions import Filter, Matcher
from cimcare.hub.intake.veiling import Viewer
from cimcare.hub.rest.audience import HELLO, Audience, EventStream, StreamTimes, TooManyStreamsError
from cimcare.hub.rest.events import EventPage, Events, Told

__all__ = ["EventStream", "StreamTimes", "Streams", "TooManyStreamsError"]

_AT_ONCE = 100
"""Events of one reading."""

_MOST_KEPT = 1000
_MOST_KEPT_BYTES = 16 * 1024 * 1024
"""Bounds of what the watcher keeps."""


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


class Streams(Audience):
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
        super().__init__(logger, times=times, most=most)
        self._events = events
        self._window: _Window | None = None
        self._watcher: asyncio.Task[None] | None = None

    def open(
        self, wanted: Filter, *, after: int | None, headers: Mapping[str, str], viewer: Viewer | None = None
    ) -> EventStream:
        """A stream of events behind `after`, or from now on, as `viewer` sees them.

        Raises:
            TooManyStreamsError: There are as many as there may be.
        """
        return self.admit(self._frames(wanted, after, viewer), headers)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Count a client in, and watch as long as there is one."""
        if self._watcher is None:
            self._watcher = asyncio.create_task(self._watch())
        try:
            async with super().listening():
                yield
        finally:
            if not self.clients:
                watcher, self._watcher, self._window = self._watcher, None, None
                watcher.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watcher

    async def _frames(self, wanted: Filter, after: int | None, viewer: Viewer | None) -> AsyncIterator[bytes]:
        """What a client is sent: events as they come, and signs of life between them."""
        yield HELLO
        matcher = Matcher(wanted)
        position = await self._events.end() if after is None else after
        while not self.stopped.is_set():
            news, window = self.news, self._window
            start = None if window is None else window.start
            if window is not None and position >= window.start and (viewer is None or position >= window.end):
                told, position = window.next_after(position, matcher)
                if told is not None:
                    yield _frame_of(told)
                elif not await self.comes(news):
                    yield _sign_of_life(position)
                continue
            page = await self._events.page(wanted, after=position, limit=_AT_ONCE, viewer=viewer)
            for told in page.items:
                yield _frame_of(told)
            position = page.last
            if not page.is_end:
                yield _sign_of_life(position)
            elif start is not None:  # what came before the window began to be kept was read just now
                position = max(position, start)
            elif not await self.comes(news):
                yield _sign_of_life(position)

    async def _watch(self) -> None:
        """Keep the window up to date until cancelled."""
        while True:
            try:
                if self._window is None:
                    self._window = _Window(await self._events.end())
                    self.announce()
                page = await self._events.page(Filter(), after=self._window.end, limit=_AT_ONCE)
            except StoreError as error:
                self._log.error("events cannot be read", code=error.code, reason=str(error))
                await asyncio.sleep(self.times.poll.total_seconds())
                continue
            if page.last > self._window.end:
                self._window.add(page)
                self.announce()
            if page.is_end:
                await asyncio.sleep(self.times.poll.total_seconds())


def _frame_of(told: Told) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (told.sequence, told.name.encode(), told.body)


def _sign_of_life(position: int) -> bytes:
    """A comment, and the place from which the client goes on when it comes again."""
    return b":\nid: %d\n\n" % position
