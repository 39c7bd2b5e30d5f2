"""Takes in again what came from a broker and was put aside, when an operator sends it again.

It goes through the same steps as any message. What has been served meanwhile is known as a repeat. No answer goes back
to the broker: whoever asked there has been told, or has ceased to wait; a later reply goes its usual way.

Source: guarantees G2, G5 and G6.
"""

import asyncio
from datetime import timedelta

import structlog

from cimcare.exchange.booking import book_buried, book_delivered
from cimcare.exchange.outbox import Delivery, DeliveryKind
from cimcare.exchange.partners import BROKER
from cimcare.exchange.ports import Clock
from cimcare.exchange.store import Store, StoreError
from cimcare.hub.outgoing.halting import find_halt
from cimcare.transport.broker.channel import BrokerChannel
from cimcare.transport.channel import Receive, Received

__all__ = ["TakingAgain"]

_AT_ONCE = 10
_LEASE = timedelta(seconds=60)
_PAUSE = timedelta(seconds=5)


class TakingAgain:
    """Looks for such messages. `start` and `stop` frame its life; several processes do not hinder each other.

    Args:
        store: Where they are.
        receive: The pipeline.
        poll: How often it looks.
        clock: Now.
        logger: Where it is noted what failed.
    """

    def __init__(
        self,
        *,
        store: Store,
        receive: Receive,
        poll: timedelta,
        clock: Clock,
        logger: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._store = store
        self._receive = receive
        self._poll = poll
        self._clock = clock
        self._log = logger
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End; what was under way is taken up again when its lease has run out."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def look(self) -> None:
        """Take in what is to be taken in now. Raises StoreError."""
        for backlog in await self._store.reader.outbox.backlogs():
            if backlog.waiting and backlog.partner.startswith(f"{BROKER} "):
                await self._take_from(backlog.partner)

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except StoreError as error:
                self._log.error("not taken in again", code=error.code, reason=str(error))
            except Exception as error:  # noqa: BLE001 - one of the places where everything is caught: it must go on
                self._log.error("not taken in again", code="EXC-109", error=type(error).__name__)
            await asyncio.sleep(self._poll.total_seconds())

    async def _take_from(self, name: str) -> None:
        if await find_halt(self._store.reader.records, name):
            return
        now = self._clock()
        async with self._store.transaction() as transaction:
            claimed = await transaction.outbox.claim(
                name, now=now, until=now + _LEASE, limit=_AT_ONCE, only=(DeliveryKind.INTAKE,)
            )
        for delivery in claimed:
            await self._take(delivery)

    async def _take(self, delivery: Delivery) -> None:
        """One of them: it is taken in, or a dead letter again with the new reason, or waits for its next turn."""
        log = self._store.reader.log
        entry, raw = await log.find(delivery.message), await log.find_raw(delivery.message)
        reason = ""
        if entry is None or raw is None:
            reason = "the log does not have the message any more"
        elif entry.truncated:
            reason = f"the log has only the beginning of the message, {len(raw)} of {entry.size_bytes} bytes"
        else:
            channel = BrokerChannel()
            received = Received(channel=channel, raw=raw, size_bytes=len(raw), content_type=entry.content_type)
            answer = await self._receive(received)
            if not answer.is_kept:
                async with self._store.transaction() as transaction:
                    await transaction.outbox.fail(
                        delivery.number,
                        delivery.attempts,
                        due_at=self._clock() + _PAUSE,
                        reason="the hub could not keep it just now",
                        received=b"",
                    )
                return
            reason = channel.refused
        async with self._store.transaction() as transaction:
            if reason:
                await book_buried(transaction, delivery, now=self._clock(), reason=reason, received=b"")
            else:
                await book_delivered(transaction, delivery, now=self._clock())
