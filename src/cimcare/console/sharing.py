"""One look serves all who watch the same: pages that go on by themselves are made once for many.

Who asks says how old an answer may be at most (`x-not-before`), and is told how old it is (`x-made-at`). So nobody is
shown what was before that which is shown already, nor before the change of which news came; and a page that a person
opens says nothing, and is always made anew.
"""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from starlette.requests import Request

from cimcare.exchange.ports import Clock

__all__ = ["MADE_AT", "NOT_BEFORE", "Sharing", "made_of", "stamp_of"]

T = TypeVar("T")

NOT_BEFORE = "x-not-before"
"""Header field: what was looked up before this instant does not do."""

MADE_AT = "x-made-at"
"""Header field: all that was committed by this instant is in the answer."""

_LONGEST = timedelta(seconds=3)
"""How long a look may be used."""

_MOST = 64
"""Looks that are kept at once."""


def stamp_of(at: datetime) -> str:
    """An instant as text that sorts as instants do."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def made_of(request: Request) -> str:
    """Instant from which on what is answered to the request was looked up; empty where nobody noted it."""
    made: str = getattr(request.state, "made", "")
    return made


class _Look:
    """One look, which may still be under way. `made` is when it began, or the oldest look that it made use of did."""

    def __init__(self, at: datetime) -> None:
        self.at = at
        self.made = stamp_of(at)
        self.work: asyncio.Task[Any]

    async def run(self, request: Request, making: Coroutine[Any, Any, T]) -> T:
        found = await making
        self.made = min(self.made, made_of(request) or self.made)
        return found


class Sharing:
    """The looks of the last seconds.

    Args:
        clock: Gives instants.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._looks: dict[Hashable, _Look] = {}

    def begin(self, request: Request) -> None:
        """Note that from now on is looked up what will be answered."""
        request.state.made = stamp_of(self._clock())

    async def look(self, request: Request, key: Hashable, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What somebody else has just looked up, or is looking up, if that is young enough; else what `make` finds.

        Whatever goes wrong there is raised here, and is not kept.
        """
        bound = request.headers.get(NOT_BEFORE, "")
        if not bound:
            return await make()
        while True:
            known = self._looks.get(key)
            is_mine = known is None or known.made < bound or not self._is_young(known)
            if known is None or is_mine:
                known = self._start(request, key, make)
            try:
                found: T = await asyncio.shield(known.work)
            except BaseException:
                if self._looks.get(key) is known and known.work.done():
                    del self._looks[key]
                raise
            if is_mine or known.made >= bound:  # it may have made use of another look that was older
                request.state.made = min(made_of(request) or known.made, known.made)
                return found

    def _start(self, request: Request, key: Hashable, make: Callable[[], Coroutine[Any, Any, T]]) -> _Look:
        self._looks = {key: look for key, look in self._looks.items() if self._is_young(look)}
        look = _Look(self._clock())
        look.work = asyncio.create_task(look.run(request, make()))
        if len(self._looks) < _MOST:
            self._looks[key] = look
        return look

    def _is_young(self, look: _Look) -> bool:
        return timedelta() <= self._clock() - look.at < _LONGEST
