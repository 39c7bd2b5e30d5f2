"""The news of the console: one stream that says when something has changed, so that pages look again by themselves.

It carries no data. A process looks at the version of its database every two seconds for all who watch; nobody watches,
nobody looks. What is kept outside of the database, and what is only a matter of time ("3 min ago"), is caught by the
word that nothing changed, which is sent every ten seconds.

Source: HTML Living Standard, server-sent events; our profile.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
from starlette.responses import Response

from cimcare.console.rendering import SAFE
from cimcare.console.sharing import stamp_of
from cimcare.exchange.ports import Clock
from cimcare.exchange.store import StoreError
from cimcare.hub.rest.audience import HELLO, Audience, TooManyStreamsError

__all__ = ["MOST_WATCHERS", "News", "NewsTimes"]

MOST_WATCHERS = 500
"""Browsers that one process tells at once; more are told to come again, and their pages look by the clock."""

_UNREADABLE = "unreadable"


class NewsTimes(msgspec.Struct, frozen=True, kw_only=True):
    """In seconds: how often the database is looked at, and how long nothing is said while nothing has changed.

    `linger` is how long it is looked at after the last watcher has gone: who goes from page to page watches with gaps.
    """

    pause: float = 2.0
    silence: float = 10.0
    linger: float = 10.0


class News:
    """Says `changed` when a change was found, and `still` after a while without one. One object for a console.

    The data of both is an instant: whoever looks from then on sees all that the word is about.

    Args:
        audience: Who watches.
        version: Gives the version of what is committed (`Reader.version`).
        clock: Gives instants.
        times: See `NewsTimes`.
    """

    def __init__(
        self,
        audience: Audience,
        version: Callable[[], Awaitable[str]],
        clock: Clock,
        *,
        times: NewsTimes | None = None,
    ) -> None:
        self._audience = audience
        self._version = version
        self._clock = clock
        self._times = times or NewsTimes()
        self._looking: asyncio.Task[None] | None = None
        self._changed = self._said = b""

    def answer(self) -> Response:
        """The stream for one more client, or that there are too many."""
        try:
            return self._audience.admit(self.frames(), SAFE)
        except TooManyStreamsError as error:
            return Response(str(error), 503, headers={**SAFE, "retry-after": "30"}, media_type="text/plain")

    async def frames(self) -> AsyncIterator[bytes]:
        """The stream of one client, who is told at once when the last change was found.

        One that falls behind misses some words; the last one says as much.
        """
        yield HELLO
        seen = self._said
        if self._changed:
            yield self._changed
        while not self._audience.stopped.is_set():
            news = self._audience.news
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._look_while_watched())
            said = self._said
            if said and said is not seen:
                seen = said
                yield said
            elif not await self._audience.comes(news):
                yield b":\n\n"

    async def _look_while_watched(self) -> None:
        loop, times = asyncio.get_running_loop(), self._times
        known: str | None = None
        watched_at = said_at = loop.time()
        try:
            while not self._audience.stopped.is_set() and loop.time() - watched_at <= times.linger:
                version = await self._look()
                if version != known:
                    known, said_at = version, loop.time()
                    self._changed = self._say("changed")
                elif loop.time() - said_at >= times.silence:
                    said_at = loop.time()
                    self._say("still")
                await self._wait(times.pause)
                if self._audience.clients:
                    watched_at = loop.time()
        finally:
            self._changed = self._said = b""

    async def _look(self) -> str:
        """That the database cannot be read is news, too: pages look, and say so."""
        try:
            return await self._version()
        except StoreError:
            return _UNREADABLE

    def _say(self, word: str) -> bytes:
        """Tell all. The instant is taken after the look, so that what was committed during it comes before."""
        self._said = f"event: {word}\ndata: {stamp_of(self._clock())}\n\n".encode()
        self._audience.announce()
        return self._said

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._audience.stopped.wait()
        except TimeoutError:
            pass
