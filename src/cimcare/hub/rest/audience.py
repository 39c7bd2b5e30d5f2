"""Streams of server-sent events: who listens, how many may, and one stream as the response to a request.

Nothing is kept for a single client: who takes nothing at all is cut off. Source: HTML Living Standard, server-sent
events.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta

import msgspec
import structlog
from starlette.responses import StreamingResponse

from cimcare.errors import CimcareError
from cimcare.transport.http import ReceiveEvent, Scope, Send

__all__ = ["HELLO", "Audience", "EventStream", "StreamTimes", "TooManyStreamsError"]

HELLO = b"retry: 2000\n\n"
"""First frame of each stream: when a client that lost it comes again, in milliseconds."""

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


class Audience:
    """All clients of one kind of stream in one process.

    Args:
        logger: Where troubles are noted.
        times: See `StreamTimes`.
        most: Most clients at once.
    """

    def __init__(
        self, logger: structlog.typing.FilteringBoundLogger, *, times: StreamTimes | None = None, most: int = 100
    ) -> None:
        self.times = times or StreamTimes()
        self.most = most
        self.clients = 0
        self.stopped = asyncio.Event()
        self.news = asyncio.Event()
        self._log = logger

    def admit(self, frames: AsyncIterator[bytes], headers: Mapping[str, str]) -> "EventStream":
        """A stream of these frames.

        Raises:
            TooManyStreamsError: There are as many as there may be.
        """
        if self.clients >= self.most:
            raise TooManyStreamsError(f"{self.clients} clients listen; accepted up to {self.most} at once")
        return EventStream(self, frames, headers)

    def stop(self) -> None:
        """End all streams, at once and for good. Clients come again when there is somebody to listen to."""
        self.stopped.set()
        self.announce()

    def announce(self) -> None:
        """There is something new."""
        self.news.set()
        self.news = asyncio.Event()

    async def comes(self, news: asyncio.Event) -> bool:
        """Wait for news, at most until a sign of life is due."""
        try:
            async with asyncio.timeout(self.times.heart_beat.total_seconds()):
                await news.wait()
        except TimeoutError:
            return False
        return True

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Count a client in."""
        self.clients += 1
        try:
            yield
        finally:
            self.clients -= 1

    def note_stalled(self) -> None:
        """A client took nothing for too long."""
        self._log.warning("stream given up", patience=self.times.patience.total_seconds())


class EventStream(StreamingResponse):
    """One stream, as the response to a request."""

    def __init__(self, audience: Audience, frames: AsyncIterator[bytes], headers: Mapping[str, str]) -> None:
        own = {"cache-control": "no-store", "x-accel-buffering": "no"}
        super().__init__(frames, headers={**headers, **own}, media_type="text/event-stream")
        self._audience = audience
        self._frames = frames

    async def __call__(self, scope: Scope, receive: ReceiveEvent, send: Send) -> None:
        """Send until the client goes, takes nothing any more, or the hub stops."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        async with self._audience.listening():
            sending = asyncio.create_task(self._send_all(send))
            others = [asyncio.create_task(_gone(receive)), asyncio.create_task(self._audience.stopped.wait())]
            try:
                await asyncio.wait({sending, *others}, return_when=asyncio.FIRST_COMPLETED)
                if self._audience.stopped.is_set():
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
                async with asyncio.timeout(self._audience.times.patience.total_seconds()):
                    await send({"type": "http.response.body", "body": frame, "more_body": True})
            except TimeoutError:
                self._audience.note_stalled()
                return
        await send({"type": "http.response.body", "body": b""})


async def _gone(receive: ReceiveEvent) -> None:
    """Wait until the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
