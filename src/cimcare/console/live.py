"""The live feed of the console: one look at the hub every so often for all who watch, sent to each as it is.

Nobody watches, nobody looks. Source: HTML Living Standard, server-sent events.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.responses import Response

from cimcare.console.rendering import SAFE
from cimcare.hub.rest.audience import HELLO, Audience, TooManyStreamsError

__all__ = ["Live"]

_PAUSE_SECONDS = 2.0


class Live:
    """Sends parts of a page again and again. One object for a console.

    Args:
        audience: Who watches.
        look: Makes the parts: name of the event, and the HTML of the part.
        pause_seconds: How often.
    """

    def __init__(
        self,
        audience: Audience,
        look: Callable[[], Awaitable[dict[str, str]]],
        *,
        pause_seconds: float = _PAUSE_SECONDS,
    ) -> None:
        self.audience = audience
        self._look = look
        self._pause = pause_seconds
        self._looking: asyncio.Task[None] | None = None
        self._frame = b""

    def answer(self) -> Response:
        """The stream for one more client, or that there are too many."""
        try:
            return self.audience.admit(self.frames(), SAFE)
        except TooManyStreamsError as error:
            return Response(str(error), 503, headers={**SAFE, "retry-after": "30"}, media_type="text/plain")

    async def frames(self) -> AsyncIterator[bytes]:
        """The stream of one client, who is given the newest look at once; one that falls behind misses some."""
        yield HELLO
        seen = b""
        while not self.audience.stopped.is_set():
            news = self.audience.news
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._look_while_watched())
            frame = self._frame
            if frame and frame is not seen:
                seen = frame
                yield frame
            elif not await self.audience.comes(news):
                yield b":\n\n"

    async def _look_while_watched(self) -> None:
        try:
            while self.audience.clients and not self.audience.stopped.is_set():
                parts = await self._look()
                self._frame = b"".join(_frame_of(name, part) for name, part in parts.items())
                self.audience.announce()
                await asyncio.sleep(self._pause)
        finally:
            self._frame = b""


def _frame_of(name: str, part: str) -> bytes:
    lines = "".join(f"data: {line}\n" for line in part.splitlines())
    return f"event: {name}\n{lines}\n".encode()
