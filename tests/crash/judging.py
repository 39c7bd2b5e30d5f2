"""What came of a run of a crash harness: the hub's database and what its partners heard, held against the answers."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import timedelta

import msgspec

from cimcare.exchange.log import Direction, LogEntry, LogSelection, Outcome, Transport
from cimcare.exchange.outbox import DeliverySelection, DeliveryState
from cimcare.exchange.store import Reader
from cimcare.hub.operation.auditing import verify
from cimcare.hub.operation.balance import balances
from cimcare.store.opening import open_reader
from tests.crash.sending import SOURCE, Sending

__all__ = ["Report", "is_told", "judge", "log_of", "until_empty", "until_less"]

_PATIENCE_SECONDS = 60.0
"""What has not become less for so long is stuck."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a run. All but the first three have to be 0."""

    cycles: int
    sent: int
    accepted: int
    lost: int
    doubled: int
    disordered: int
    undelivered: int
    unbalanced: int
    unaudited: int
    stuck: int
    miscounted: int

    @property
    def is_clean(self) -> bool:
        """Whether every promise was kept."""
        return not any(getattr(self, name) for name in self.__struct_fields__[3:])


async def until_less(left: Callable[[], Awaitable[int]]) -> None:
    """Wait until nothing is left, as long as it becomes less."""
    least, since = 2**63, time.monotonic()
    while time.monotonic() - since < _PATIENCE_SECONDS:
        now = await left()
        if not now:
            return
        if now < least:
            least, since = now, time.monotonic()
        await asyncio.sleep(0.1)


async def until_empty(url: str) -> None:
    """Wait until no delivery waits any more, as long as they become less."""
    async with open_reader(url) as reader:

        async def left() -> int:
            return sum(one.waiting + one.awaiting for one in await reader.outbox.backlogs())

        await until_less(left)


async def judge(
    url: str,
    sending: Sending,
    *,
    cycles: int,
    heard: Mapping[str, Sequence[str]],
    owned: Counter[str],
    refuses: str = "",
) -> Report:
    """Hold what is left against what was answered.

    Args:
        url: Of the hub's database.
        sending: What was sent and answered.
        cycles: How often something was killed.
        heard: For each who hears all events of tickets, the MessageIDs of those that took effect there, in order.
        owned: How often each work request took effect at the partner that owns them.
        refuses: Name of a partner that may have refused for good.
    """
    async with open_reader(url) as reader:
        entries = [entry async for entry in log_of(reader)]
        events = [one for one in entries if is_told(one)]
        came = {one.message_id: one for one in entries if _is_taken(one)}
        backlogs = await reader.outbox.backlogs()
        start = min(entry.received_at for entry in entries)
        unbalanced = sum(bool(one.missing) for one in await balances(reader, start, start + timedelta(hours=24)))
        verification = await verify(reader)
        dead = [
            one
            for one in await reader.outbox.select(DeliverySelection(states=(DeliveryState.DEAD,), limit=1_000_000))
            if one.partner != refuses
        ]
        wanted = DeliverySelection(partner=refuses, states=(DeliveryState.DEAD,), limit=1_000_000)
        left = await _left(reader)
        refused = {one.message_id for one in await reader.outbox.select(wanted)} if refuses else set()
    effects = Counter((event.correlation_id, event.verb) for event in events)
    lost = [one for one in sending.accepted if one not in came or not _took_effect(one, effects, owned)]
    doubled = [key for key, count in effects.items() if count > 1] + [key for key, count in owned.items() if count > 1]
    undelivered = 0
    disordered = 0
    for name, has in heard.items():
        due = {event.message_id for event in events} - (refused if name == refuses else set())
        undelivered += len(due - set(has))
        disordered += _disorder(events, has)
    return Report(
        cycles=cycles,
        sent=sending.sent,
        accepted=len(sending.accepted),
        lost=len(lost) + sum(len(messages) for messages in sending.open.values()),
        doubled=len(doubled) + sending.differing,
        disordered=disordered,
        undelivered=undelivered + len(dead),
        unbalanced=unbalanced,
        unaudited=len(verification.flaws) + verification.more,
        stuck=sum(one.waiting + one.awaiting for one in backlogs),
        miscounted=sum(abs(left[one.partner] - one.waiting - one.awaiting - one.dead) for one in backlogs)
        + len(left.keys() - {one.partner for one in backlogs}),
    )


async def _left(reader: Reader) -> Counter[str]:
    """Deliveries of each partner that have not ended, by looking at each."""
    states = tuple(set(DeliveryState) - {DeliveryState.DELIVERED, DeliveryState.DISCARDED})
    return Counter(one.partner for one in await reader.outbox.select(DeliverySelection(states=states, limit=1_000_000)))


def _is_taken(entry: LogEntry) -> bool:
    return (
        entry.direction is Direction.IN
        and entry.partner == SOURCE
        and entry.repeat_of is None
        and entry.outcome in (Outcome.OK, Outcome.PARTIAL)
    )


def _took_effect(message_id: str, effects: Counter[tuple[str, str]], owned: Counter[str]) -> bool:
    if message_id.startswith("w-"):
        return owned[message_id] > 0
    return any(correlation == message_id for correlation, _ in effects)


def _disorder(events: list[LogEntry], received: Sequence[str]) -> int:
    """Events that a partner took in before an older one of the same ticket."""
    ticket_of = {event.message_id: event.correlation_id.rpartition("-")[0] for event in events}
    rank = {event.message_id: number for number, event in enumerate(events)}
    newest: dict[str, int] = {}
    wrong = 0
    for message_id in received:
        if message_id not in rank:
            continue
        ticket = ticket_of[message_id]
        wrong += rank[message_id] < newest.get(ticket, -1)
        newest[ticket] = max(rank[message_id], newest.get(ticket, -1))
    return wrong


def is_told(entry: LogEntry) -> bool:
    """Whether this is an event of tickets that the hub tells."""
    return entry.transport is Transport.INTERNAL and entry.noun == "TroubleTickets"


async def log_of(reader: Reader) -> AsyncIterator[LogEntry]:
    """The whole log."""
    after = 0
    while page := await reader.log.select(LogSelection(after=after, limit=1000)):
        for entry in page:
            yield entry
        after = page[-1].sequence
