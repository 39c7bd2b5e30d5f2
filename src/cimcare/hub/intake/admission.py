"""Who is let in, and who is next: a bound on messages in work, a reserve for the urgent, one line for all who wait.

A message is counted the moment it has arrived. What cannot be begun at once waits in the line, the urgent first. Each
round of the event loop begins a slice of the line and no more, so that between two slices whoever arrives is counted
too, and is refused or put in his place: nobody waits where nobody counts him. Decision 0051 has the reasons.

Whoever only asks how far it is goes behind whoever reports, has half of the places (decision 0118), and is told to come
again much sooner (decision 0119).

Source: guarantee G8.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

from cimcare.exchange.outbox import Priority

__all__ = ["Admission", "Pace", "Place"]

_SIGNS = ((b"azard", Priority.HAZARD), (b"pecialNeed", Priority.LIFE_SUPPORT))
"""What the content of every urgent message holds somewhere; others may hold it too."""

_QUESTION = Priority.NORMAL - 1
"""Rank of a message that only asks. All others are ranked by their priority."""

_SIGNS_OF_QUESTION = (b">get<", b'"get"')
"""What every message with the verb get holds, in XML and in JSON."""

_SHARE_OF_QUESTIONS = 0.5
"""Of the places."""

_SLICE_SECONDS = 0.025
"""What one round of the event loop may take on: a quarter of what a transaction of the store may last."""

_FIRST_SLICE = 8
"""Messages of a round while nobody knows how long one takes."""

_TOGETHER = 64
"""Messages that may be begun and not done: as many as one commit takes. More would only wait elsewhere."""

_REMEMBERED = 128
"""Messages by which the pace is known: several commits, since all messages of one commit are done at once."""

_LEAST_KNOWN = 16
_PATIENCE = 1.2
"""What was let in and would then wait so many times longer than it may is refused all the same, when it is its turn."""

_SILENCE_SECONDS = 1.0


class Pace:
    """How long one message takes while others wait.

    Only while somebody waits does the time from one message done to the next tell how many can be done: a message alone
    takes its time too, but a second one would have cost little more. So each time that somebody has to wait it is
    learned anew, from the last 128 that were done since then.
    """

    def __init__(self) -> None:
        self._instants: deque[float] = deque(maxlen=_REMEMBERED + 1)

    def start(self, now: float) -> None:
        """From now on somebody waits."""
        self._instants.clear()
        self._instants.append(now)

    def stop(self) -> None:
        """Nobody waits any more."""
        self._instants.clear()

    def note(self, now: float) -> None:
        """One is done."""
        if self._instants:
            self._instants.append(now)

    def seconds(self, now: float) -> float:
        """Seconds for one message; 0 while too few were done to tell. If nothing is done any more, it grows."""
        done = len(self._instants) - 1
        if done < 0:
            return 0.0
        passed = now - self._instants[0]
        if done < _LEAST_KNOWN and passed < _SILENCE_SECONDS:
            return 0.0
        return passed / max(done, 1)


class Admission:
    """Counts messages in work, estimates how long a new one would wait, and says who is next.

    Use it on one event loop.

    Args:
        limit: Most messages in work at once, those that wait included.
        reserve: Places above that for the urgent.
        wait_seconds: A message that would wait longer is not let in.
        question_wait_seconds: The same for one that only asks.
        now: A clock that only moves forward, in seconds.
    """

    def __init__(
        self, *, limit: int, reserve: int, wait_seconds: float, question_wait_seconds: float, now: Callable[[], float]
    ) -> None:
        self._limit = limit
        self._reserve = reserve
        self._wait_seconds = wait_seconds
        self._question_wait_seconds = question_wait_seconds
        self._now = now
        self._pace = Pace()
        self._done = deque[int](maxlen=_REMEMBERED)
        self._done_by_rank = Counter[int]()
        self._numbers = count()
        self._line: list[tuple[int, int, float, asyncio.Future[bool]]] = []
        self._questions: deque[tuple[float, asyncio.Future[bool]]] = deque()
        self._waiting = 0
        self._questions_waiting = 0
        self._begun_in_round = 0
        self._is_round_due = False
        self.in_work = 0
        """Messages that wait or are begun, without those that wait for somebody else."""

    def enter(self, raw: bytes) -> "Place | None":
        """A place for a message that has arrived; None if there is none. Who looks urgent has the reserve besides."""
        rank = _QUESTION if any(sign in raw for sign in _SIGNS_OF_QUESTION) else Priority.NORMAL
        for sign, priority in _SIGNS:
            if sign in raw:
                has_place = self.in_work < self._limit + self._reserve
                return Place(self, next(self._numbers), priority, rank, self._now()) if has_place else None
        return Place(self, next(self._numbers), rank, rank, self._now()) if self.is_free(rank) else None

    def is_free(self, rank: int, *, besides: int = 0) -> bool:
        """Whether a message that is not urgent would get a place and its answer in time, `besides` places not counted.

        Those of a higher rank that are still to come go before it, as many as there were of late. Questions that wait
        are before none but questions, which have a part of the places alone.
        """
        taken = self.in_work - besides
        share = _SHARE_OF_QUESTIONS if rank == _QUESTION else 1.0
        before = taken if rank == _QUESTION else taken - self._questions_waiting
        return taken < max(1.0, self._limit * share) and before * self._seconds_of(rank) <= self._wait_of(rank)

    def is_crowded(self, *, besides: int = 0) -> bool:
        """Whether more than half of the ordinary places are taken, `besides` places not counted."""
        return 2 * (self.in_work - besides) > self._limit

    def count(self, change: int) -> None:
        """So many more in work, or less."""
        self.in_work += change
        if self._waiting and self._has_room():
            self._want_round()

    def note(self, rank: int) -> None:
        """One is done, as far as those who wait are concerned."""
        self._pace.note(self._now())
        if len(self._done) == _REMEMBERED:
            self._done_by_rank[self._done[0]] -= 1
        self._done.append(rank)
        self._done_by_rank[rank] += 1

    async def turn(self, rank: int, number: int, since: float) -> bool:
        """Wait until a message may be begun: at once if nobody waits, else behind the higher in rank and the earlier.

        False if one that is not urgent and has waited since then would have its answer much too late.
        """
        if not self._waiting and self._has_room() and self._begun_in_round < self._slice():
            self._begun_in_round += 1
            self._want_round()
            return True
        if not self._waiting:
            self._pace.start(self._now())
        begun: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if rank == _QUESTION:
            self._questions.append((since, begun))
            self._questions_waiting += 1
        else:
            heappush(self._line, (-rank, number, since, begun))
        self._waiting += 1
        if self._has_room():
            self._want_round()
        try:
            return await begun
        except asyncio.CancelledError:
            if begun.cancelled():  # else it was its turn in the same moment
                self._leave_line(rank)
            raise

    # -------------------------------------------------------------------------------------------------- rounds

    def _has_room(self) -> bool:
        return self.in_work - self._waiting < _TOGETHER

    def _wait_of(self, rank: int) -> float:
        return self._question_wait_seconds if rank == _QUESTION else self._wait_seconds

    def _seconds_of(self, rank: int) -> float:
        """Seconds for one message of a rank or below, those included in which higher ones are done."""
        done = max(len(self._done), 1)
        higher = sum(number for one, number in self._done_by_rank.items() if one > rank)
        return self._pace.seconds(self._now()) * done / max(done - higher, 1)

    def _slice(self) -> int:
        """How many may be begun in one round."""
        seconds = self._pace.seconds(self._now())
        return max(1, min(_TOGETHER, int(_SLICE_SECONDS / seconds))) if seconds else _FIRST_SLICE

    def _want_round(self) -> None:
        if not self._is_round_due:
            self._is_round_due = True
            asyncio.get_running_loop().call_soon(self._begin_round)

    def _begin_round(self) -> None:
        """Begin a slice of the line. Another round follows while there is more, and one more to forget this one."""
        self._is_round_due = False
        self._begun_in_round = 0
        most = self._slice()
        refused = 0
        while self._waiting and self._has_room() and self._begun_in_round < most and refused < _TOGETHER:
            rank, since, begun = self._next()
            if begun.done():  # its message is gone
                continue
            is_late = rank <= Priority.NORMAL and self._is_late(rank, since)
            refused += is_late
            self._begun_in_round += not is_late
            self._leave_line(rank)
            begun.set_result(not is_late)
        if self._begun_in_round or refused:
            self._want_round()

    def _next(self) -> tuple[int, float, "asyncio.Future[bool]"]:
        """Who is next of those who wait: rank, since when, and what it waits for.

        A question that is too late for an answer is told so, however many reports come.
        """
        if self._questions:
            since, begun = self._questions[0]
            if not self._line or begun.done() or self._is_late(_QUESTION, since):
                return (_QUESTION, *self._questions.popleft())
        negative, _, since, begun = heappop(self._line)
        return -negative, since, begun

    def _is_late(self, rank: int, since: float) -> bool:
        """Whether one of this rank that waits since then waits too long, with those before it that are not done."""
        now = self._now()
        begun = self.in_work - self._waiting
        return now - since + begun * self._pace.seconds(now) > _PATIENCE * self._wait_of(rank)

    def _leave_line(self, rank: int) -> None:
        self._waiting -= 1
        self._questions_waiting -= rank == _QUESTION
        if not self._waiting:
            self._line.clear()
            self._questions.clear()
            self._pace.stop()


class Place:
    """The place of one message, from its arrival until it is answered."""

    def __init__(self, admission: Admission, number: int, rank: int, without: int, now: float) -> None:
        """`rank` is what the message seems to have, `without` what it has if it is not urgent."""
        self._admission = admission
        self._since = now
        self._number = number
        self._rank = rank
        self._without = without
        self._is_noted = False
        admission.count(1)

    async def turn(self) -> bool:
        """Wait until the message may be looked at. False if by now it is too late for it."""
        return await self._admission.turn(self._rank, self._number, self._since)

    async def keep(self, priority: Priority) -> bool:
        """Whether the message may stay now that it was read. Who only looked urgent goes back to its place."""
        if priority is not Priority.NORMAL or self._rank == self._without:
            return True
        self._rank = self._without
        if not self._admission.is_free(self._rank, besides=1):
            return False
        return await self._admission.turn(self._rank, self._number, self._since)

    @property
    def is_crowded(self) -> bool:
        """Whether so many are in work that a message that nobody needs had better not be served."""
        return self._admission.is_crowded(besides=1)

    def suspend(self) -> None:
        """The message begins to wait for somebody else, and takes nobody's place meanwhile."""
        self._note()
        self._admission.count(-1)

    def resume(self) -> None:
        """It goes on."""
        self._admission.count(1)

    def leave(self) -> None:
        """The message is answered."""
        self._note()
        self._admission.count(-1)

    def _note(self) -> None:
        """Its turn is over. Once, however often it waits: what is left to do takes time, and is no further message."""
        if not self._is_noted:
            self._is_noted = True
            self._admission.note(self._rank)
