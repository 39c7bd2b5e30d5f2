"""The outbox in memory: the reference of what `Outbox` means, held to the tests of every store."""

from datetime import datetime

import msgspec

from cimcare.exchange.outbox import Backlog, Delivery, DeliverySelection, DeliveryState, NewDelivery

__all__ = ["MemoryOutbox"]

_OPEN = frozenset({DeliveryState.WAITING, DeliveryState.LEASED})


class MemoryOutbox:
    """Implements `cimcare.exchange.outbox.Outbox`."""

    def __init__(self) -> None:
        self._rows: dict[int, Delivery] = {}

    async def find(self, number: int) -> Delivery | None:
        """The delivery with this number."""
        return self._rows.get(number)

    async def select(self, selection: DeliverySelection) -> tuple[Delivery, ...]:
        """The deliveries that match."""
        found = (
            row
            for row in self._rows.values()
            if (selection.after is None or row.number > selection.after)
            and (not selection.partner or row.partner == selection.partner)
            and (not selection.noun or row.noun == selection.noun)
            and (selection.state is None or row.state is selection.state)
            and (selection.before is None or row.created_at <= selection.before)
        )
        return tuple(found)[: selection.limit]

    async def backlogs(self) -> tuple[Backlog, ...]:
        """One for each partner that has any that wait or are dead."""
        found = []
        for partner in sorted({row.partner for row in self._rows.values()}):
            rows = [row for row in self._rows.values() if row.partner == partner]
            waiting = [row.created_at for row in rows if row.state in _OPEN]
            dead = sum(row.state is DeliveryState.DEAD for row in rows)
            if waiting or dead:
                oldest_at = min(waiting, default=None)
                found.append(Backlog(partner=partner, waiting=len(waiting), dead=dead, oldest_at=oldest_at))
        return tuple(found)

    async def enqueue(self, new: NewDelivery) -> int:
        """Put a delivery in."""
        number = len(self._rows) + 1
        given = {name: getattr(new, name) for name in NewDelivery.__struct_fields__}
        self._rows[number] = Delivery(number=number, state=DeliveryState.WAITING, due_at=new.created_at, **given)
        return number

    async def claim(self, partner: str, *, now: datetime, until: datetime, limit: int) -> tuple[Delivery, ...]:
        """Lease deliveries that are due."""
        claimed: list[Delivery] = []
        seen: set[str] = set()
        for row in list(self._rows.values()):
            if row.partner != partner or row.state not in _OPEN or len(claimed) >= limit:
                continue
            if row.object_key not in seen and row.due_at <= now:
                changed = self._change(row, state=DeliveryState.LEASED, due_at=until, attempts=row.attempts + 1)
                claimed.append(changed)
            seen.add(row.object_key)
        return tuple(claimed)

    async def succeed(self, number: int, attempt: int, *, now: datetime) -> bool:
        """The partner has it."""
        return self._end(number, attempt, state=DeliveryState.DELIVERED, due_at=now, reason="", received=b"")

    async def fail(self, number: int, attempt: int, *, due_at: datetime, reason: str, received: bytes) -> bool:
        """This attempt came to nothing."""
        return self._end(number, attempt, state=DeliveryState.WAITING, due_at=due_at, reason=reason, received=received)

    async def bury(self, number: int, attempt: int, *, now: datetime, reason: str, received: bytes) -> bool:
        """Give up."""
        return self._end(number, attempt, state=DeliveryState.DEAD, due_at=now, reason=reason, received=received)

    async def resend(self, number: int, *, now: datetime) -> bool:
        """Let a dead letter wait again."""
        row = self._rows.get(number)
        if row is None or row.state is not DeliveryState.DEAD:
            return False
        self._change(row, state=DeliveryState.WAITING, due_at=now, attempts_before=row.attempts)
        return True

    async def discard(self, number: int, *, now: datetime, reason: str) -> bool:
        """End a dead letter for good."""
        row = self._rows.get(number)
        if row is None or row.state is not DeliveryState.DEAD:
            return False
        self._change(row, state=DeliveryState.DISCARDED, due_at=now, reason=reason)
        return True

    def _end(self, number: int, attempt: int, **changes: object) -> bool:
        row = self._rows.get(number)
        if row is None or row.state is not DeliveryState.LEASED or row.attempts != attempt:
            return False
        self._change(row, **changes)
        return True

    def _change(self, row: Delivery, **changes: object) -> Delivery:
        changed = msgspec.structs.replace(row, **changes)
        self._rows[row.number] = changed
        return changed
