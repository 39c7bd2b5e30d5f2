"""Who may write next: a lock with an order, and without a gap in which somebody could push in."""

import asyncio
from heapq import heappop, heappush
from itertools import count

from cimcare.exchange.outbox import Priority

__all__ = ["Turns"]


class Turns:
    """One at a time; of those who wait the most urgent is next, then who has waited longest.

    The turn is handed over: between `release` and the moment in which the next one goes on, it is taken. Use it on one
    event loop.
    """

    def __init__(self) -> None:
        self._is_taken = False
        self._numbers = count()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []

    def locked(self) -> bool:
        """Whether somebody has the turn."""
        return self._is_taken

    async def acquire(self, priority: Priority = Priority.NORMAL) -> None:
        """Wait for the turn. Who is cancelled meanwhile does not have it."""
        if not self._is_taken:
            self._is_taken = True
            return
        handed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self._waiting, (-priority, next(self._numbers), handed))
        try:
            await handed
        except asyncio.CancelledError:
            if not handed.cancelled():  # it came in the same moment
                self.release()
            raise

    def release(self) -> None:
        """Hand the turn to the next one."""
        while self._waiting:
            handed = heappop(self._waiting)[2]
            if not handed.done():
                handed.set_result(None)
                return
        self._is_taken = False
