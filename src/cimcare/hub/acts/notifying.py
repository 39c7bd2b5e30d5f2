"""Sends notices to customers: takes what is due, marks it, hands it over, and notes what became of it.

A notice is marked as being sent, on disk, before anything leaves. So a process that dies leaves it unknown whether it
left, and the other ones never send it again (at most once); people call instead. Each notice is with one process.
"""

import asyncio
import contextlib
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import structlog

from cimcare.exchange.notices import Channel, ContactKind, Handed, HandOver, Outgoing
from cimcare.exchange.ports import Clock, NewID, Selection, Stored
from cimcare.exchange.store import Store, StoreError
from cimcare.hub.metrics import Metrics
from cimcare.model.identity import MRID
from cimcare.systems.cis.contacts import NOTICE_RULES, RULES_KEY, NoticeRules
from cimcare.systems.cis.following import ANNOUNCEMENTS, carry_on
from cimcare.systems.cis.notices import QUEUE
from cimcare.systems.cis.outgoing import claim_notices, settle_notice

__all__ = ["Notifier", "put_rules_in_force"]

_REST = 3.0
"""Behind a slice of what is told to many, so many times as long as it waited for its turn to write: who makes others
wait is made to wait. A hub with nothing else to do rests as long as the slice took."""

_LONGEST_REST_SECONDS = 1.0


class Notifier:
    """Sends the notices of one process. `start` and `stop` frame its life.

    Args:
        store: The durable state.
        channels: The way out for each kind of contact that has one.
        lease: After how long a notice whose sender has not come back is unknown; longer than any channel takes.
        parallel: Most notices under way at once.
        poll: How often one looks for work when there was none.
        process: A name that no other process has.
        clock: Now.
        new_id: New identifiers.
        metrics: Where outcomes are counted.
        logger: Where it is noted what went wrong.
        elapsed: A clock that only moves forward, in seconds.
    """

    def __init__(
        self,
        *,
        store: Store,
        channels: Mapping[ContactKind, Channel],
        lease: timedelta,
        parallel: int,
        poll: timedelta,
        process: str,
        clock: Clock,
        new_id: NewID,
        metrics: Metrics,
        logger: structlog.typing.FilteringBoundLogger,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._channels = channels
        self._lease = lease
        self._parallel = parallel
        self._poll = poll
        self._process = process
        self._clock = clock
        self._new_id = new_id
        self._metrics = metrics
        self._log = logger
        self._elapsed = elapsed
        self._rest_until = float("-inf")
        self._task: asyncio.Task[None] | None = None
        self._is_stopping = asyncio.Event()

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Take no more, end what is under way, and close the channels."""
        self._is_stopping.set()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        for channel in set(self._channels.values()):
            await channel.close()

    async def round(self) -> bool:
        """What is due now, as much as may be under way at once. Whether there was anything. Raises StoreError."""
        is_busy = self._elapsed() >= self._rest_until and await self._carry_on()
        if await self._store.reader.records.select(QUEUE, Selection(until=self._clock(), limit=1)):
            async with self._store.transaction() as transaction:
                claimed = await claim_notices(
                    transaction.records,
                    self._clock(),
                    channels=self._channels.keys(),
                    process=self._process,
                    lease=self._lease,
                    limit=self._parallel,  # no more than can begin at once, for the lease runs from now on
                )
            # Only here, behind the commit, may anything leave.
            await asyncio.gather(*map(self._send, claimed))
            is_busy = True
        return is_busy

    async def _carry_on(self) -> bool:
        """One slice of what is to be told to many; whether there was any.

        Then it rests, for in a storm there are very many slices, and calls are taken between them or not at all.
        """
        if not await self._store.reader.records.select(ANNOUNCEMENTS, Selection(limit=1)):
            return False
        asked = self._elapsed()
        async with self._store.transaction() as transaction:
            began = self._elapsed()
            is_busy = await carry_on(transaction.records, self._clock(), self._new_id)
            took = self._elapsed() - began
        self._rest_until = self._elapsed() + min(max(took, _REST * (began - asked)), _LONGEST_REST_SECONDS)
        return is_busy

    async def _send(self, notice: Outgoing) -> None:
        try:
            handed = await self._channels[notice.kind].send(notice)
        except Exception as error:  # noqa: BLE001 - one notice must not keep the others from leaving
            trace = "".join(traceback.format_tb(error.__traceback__))  # without the text, which may quote content
            self._log.error("notice failed", code="EXC-109", error=type(error).__name__, trace=trace)
            handed = HandOver(result=Handed.UNKNOWN, reason=f"an error inside the hub ({type(error).__name__})")
        try:
            async with self._store.transaction() as transaction:
                state = await settle_notice(
                    transaction.records, MRID(notice.id), handed, self._clock(), process=self._process
                )
        except StoreError as error:  # its lease ends, and then it is unknown
            self._log.error("outcome of a notice not stored", code=error.code, notice=notice.id, reason=str(error))
            return
        self._metrics.count_notice(notice.kind.value, state or handed.result.value)

    async def _run(self) -> None:
        poll = self._poll.total_seconds()
        while not self._is_stopping.is_set():
            is_busy = False
            try:
                is_busy = await self.round()
            except StoreError as error:
                self._log.error("notices wait", code=error.code, reason=str(error))
            except Exception as error:  # noqa: BLE001 - the hub must go on, and this with it
                trace = "".join(traceback.format_tb(error.__traceback__))
                self._log.error("notices wait", code="EXC-109", error=type(error).__name__, trace=trace)
            if not is_busy:
                with contextlib.suppress(TimeoutError):
                    rest = self._rest_until - self._elapsed()
                    async with asyncio.timeout(min(rest, poll) if rest > 0 else poll):
                        await self._is_stopping.wait()


async def put_rules_in_force(store: Store, rules: NoticeRules, now: datetime) -> None:
    """Keep the rules by which notices are planned, where they are not kept so already. Raises StoreError."""
    known = await store.reader.records.find(NOTICE_RULES, RULES_KEY)
    if (known.body if known is not None else NoticeRules()) == rules:
        return
    async with store.transaction() as transaction:
        stored = Stored(mrid=RULES_KEY, body=rules, created_at=now, modified_at=now)
        await transaction.records.save(NOTICE_RULES, stored)
