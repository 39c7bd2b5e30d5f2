"""What the built-in systems do by the clock: every so often, by one process for all.

Each tick has a transaction of its own, between which messages have their turn. One that has more to do goes to the end
of the line, so that a long one keeps no other from its turn, and the next comes after a rest: where processes share one
file, much that is due by the clock would else leave those who take messages hardly any of it. An error is noted, and
stops neither the others nor itself the next time.
"""

import asyncio
import traceback
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import structlog

from cimcare.exchange.ports import Clock, Tick
from cimcare.exchange.store import StoreError
from cimcare.hub.acts.acting import Acting
from cimcare.hub.acts.turns import Turns
from cimcare.model.envelope import Result
from cimcare.model.nouns import Role

__all__ = ["Ticking"]

_ITS_OWN = 0.9
"""For this part of the time from one round to the next no other process begins one."""

_REST = 2.0
"""Behind a tick that has more to do, so many times as long as it took: a third of the time is left to it."""

_LONGEST_REST = timedelta(seconds=0.5)


class Ticking:
    """Rounds of ticks of one process.

    Args:
        acting: Does the work.
        ticks: What is done, and by which system.
        turns: Which process has them in hand.
        turn: The name of their turn.
        clock: Now.
        every: From one round to the next.
        logger: Where it is noted what went wrong.
        pause: Waits for so many seconds.
    """

    def __init__(
        self,
        *,
        acting: Acting,
        ticks: Sequence[tuple[Role, Tick]],
        turns: Turns,
        turn: str,
        clock: Clock,
        every: timedelta,
        logger: structlog.typing.FilteringBoundLogger,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._acting = acting
        self._ticks = tuple(ticks)
        self._turns = turns
        self._turn = turn
        self._clock = clock
        self._pause = _ITS_OWN * every
        self._log = logger
        self._rest = pause

    async def round(self) -> None:
        """Each tick once, and again those that have more, if no other process does so. Raises StoreError."""
        waiting = deque(each for each in self._ticks if self._acting.is_built_in(each[0]))
        began = self._clock()
        if not waiting or not await self._turns.take(self._turn, began, self._pause):
            return
        while waiting:
            role, tick = waiting.popleft()
            started = self._clock()
            if await self._has_more(role, tick) and self._acting.is_built_in(role):
                waiting.append((role, tick))
                took = self._clock() - started
                await self._rest(max(timedelta(), min(_REST * took, _LONGEST_REST)).total_seconds())
            now = self._clock()
            if waiting and not timedelta() <= now - began < self._pause / 2:
                if not await self._turns.keep(self._turn, now):
                    return
                began = now

    async def _has_more(self, role: Role, tick: Tick) -> bool:
        name = getattr(tick, "__name__", type(tick).__name__)
        try:
            served = await self._acting.act(role, tick)
        except StoreError as error:
            self._log.error("tick failed", role=role.value, tick=name, code=error.code, reason=str(error))
            return False
        except Exception as error:  # noqa: BLE001 - one tick must not keep the others from their turn
            trace = "".join(traceback.format_tb(error.__traceback__))  # without the text, which may quote content
            self._log.error(
                "tick failed", role=role.value, tick=name, code="EXC-109", error=type(error).__name__, trace=trace
            )
            return False
        if served.result is Result.FAILED:
            codes = [finding.code for finding in served.findings]
            self._log.error("tick failed", role=role.value, tick=name, codes=codes)
        return served.has_more
