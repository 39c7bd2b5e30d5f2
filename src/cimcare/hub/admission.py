"""Who is let in: a bound on messages in work, a reserve for the urgent, and an answer at once for all others.

Source: guarantee G8.
"""

from collections.abc import Callable

from cimcare.exchange.outbox import Priority

__all__ = ["Admission"]

_WEIGHT = 0.05
"""Share of the newest message in the estimate of how long one takes."""

_SIGNS = (b"azard", b"pecialNeed")
"""What the content of every urgent message holds somewhere; others may hold it too."""


class Admission:
    """Counts messages in work and estimates how long a new one would wait.

    Args:
        limit: Most messages in work at once.
        reserve: Places above that for the urgent.
        wait_seconds: A message that would wait longer is not let in.
        now: A clock that only moves forward, in seconds.
    """

    def __init__(self, *, limit: int, reserve: int, wait_seconds: float, now: Callable[[], float]) -> None:
        self._limit = limit
        self._reserve = reserve
        self._wait_seconds = wait_seconds
        self._now = now
        self._pace = 0.0
        self._last_left: float | None = None
        self.in_work = 0

    def may_enter(self, raw: bytes) -> bool:
        """Whether a message may be looked at. Who looks urgent may, as long as the reserve lasts."""
        if self._is_free():
            return True
        return self.in_work < self._limit + self._reserve and any(sign in raw for sign in _SIGNS)

    def may_stay(self, priority: Priority) -> bool:
        """Whether a message that was let in, and counts as in work, may stay now that it was read."""
        return priority is not Priority.NORMAL or self._is_free(besides=1)

    def enter(self) -> None:
        """One more in work."""
        if self.in_work == 0:
            self._last_left = self._now()  # an idle time says nothing of the pace
        self.in_work += 1

    def leave(self) -> None:
        """One less in work."""
        self.in_work -= 1
        now = self._now()
        if self._last_left is not None:
            self._pace += _WEIGHT * (now - self._last_left - self._pace)
        self._last_left = now

    def suspend(self) -> None:
        """One in work begins to wait for somebody else, and takes nobody's place meanwhile."""
        self.in_work -= 1

    def resume(self) -> None:
        """It goes on."""
        self.in_work += 1

    def _is_free(self, *, besides: int = 0) -> bool:
        before = self.in_work - besides
        return before < self._limit and before * self._pace <= self._wait_seconds
