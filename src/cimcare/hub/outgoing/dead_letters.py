"""Dead letters: which there are, and sending many again or discarding them.

Many are done in small transactions, each dead letter with its count in the ledger and its row in the audit trail, so
that whoever stops in between leaves nothing half done, and a hub at work beside is not held up.

Source: guarantees G5, G7 and G10.
"""

import re
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime

import msgspec

from cimcare.errors import Finding, finding_of
from cimcare.exchange.audit import Action, Note
from cimcare.exchange.booking import book_discarded, book_resent
from cimcare.exchange.outbox import Delivery, DeliverySelection, DeliveryState, OutboxReader
from cimcare.exchange.ports import Clock
from cimcare.exchange.store import Store, Transaction
from cimcare.hub.outgoing.reasons import require_reason

__all__ = [
    "Chosen",
    "Control",
    "DeadFilter",
    "DeadLetters",
    "Group",
    "Tally",
    "choose",
    "choose_numbers",
    "codes_of",
    "each_dead",
    "explain",
    "is_code",
]

_PAGE = 500
_BATCH = 50
"""Most dead letters of one transaction."""

_LOOKS = 100
"""How many of those that were sent again are looked at after each transaction."""

_WATCH_SECONDS = 0.5

_CODE = re.compile(r"(?<![\w./-])(?:[A-Z]{3}-\d{3}|\d{1,2}\.\d{1,2})(?![\w-]|\.\d)")


class DeadFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which dead letters are meant; what is None or empty does not filter.

    `since` and `before` bound when they were put in, both included; `code` is one that stands in the reason; `after` is
    the number behind which to begin.
    """

    partner: str = ""
    noun: str = ""
    verb: str = ""
    code: str = ""
    since: datetime | None = None
    before: datetime | None = None
    after: int | None = None


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Dead letters of one destination, verb, noun and first code in the reason; `reason` is that of the first."""

    partner: str
    verb: str
    noun: str
    code: str
    count: int
    first: int
    last: int
    reason: str


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """Dead letters by number, rising, and what they are, the largest group first."""

    numbers: tuple[int, ...]
    groups: tuple[Group, ...]


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """How far the work is.

    `chosen` were to be done, `done` of them are. `skipped` were no dead letters any more when it was their turn. Of
    those that were sent again `delivered` have arrived, `died` are dead letters anew, `other` were discarded or removed
    as too old, as far as that was seen; `open` have not been seen to end. `last` is the number of the last one that was
    looked after.
    """

    chosen: int
    done: int = 0
    skipped: tuple[int, ...] = ()
    delivered: int = 0
    died: int = 0
    other: int = 0
    open: int = 0
    last: int | None = None
    is_halted: bool = False


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """How the one who started the work steers it.

    `is_halted` is asked before each transaction; `pause` waits for so many seconds, or shorter if the work is halted;
    `report` is told after each transaction.
    """

    is_halted: Callable[[], bool]
    pause: Callable[[float], Awaitable[None]]
    report: Callable[[Tally], None]


def codes_of(reason: str) -> tuple[str, ...]:
    """Codes that stand in a reason: of replies, such as 2.15, and of the table of errors, such as NET-109."""
    return tuple(_CODE.findall(reason))


def is_code(text: str) -> bool:
    """Whether the text could be a code."""
    return _CODE.fullmatch(text) is not None


async def each_dead(outbox: OutboxReader, wanted: DeadFilter) -> AsyncIterator[Delivery]:
    """Dead letters that match, oldest first, page by page."""
    after = wanted.after
    while True:
        page = await outbox.select(
            DeliverySelection(
                after=after,
                limit=_PAGE,
                partner=wanted.partner,
                noun=wanted.noun,
                verb=wanted.verb,
                states=(DeliveryState.DEAD,),
                since=wanted.since,
                before=wanted.before,
            )
        )
        for delivery in page:
            if not wanted.code or wanted.code in codes_of(delivery.reason):
                yield delivery
        if len(page) < _PAGE:
            return
        after = page[-1].number


async def choose(outbox: OutboxReader, wanted: DeadFilter, *, most: int | None = None) -> Chosen:
    """The dead letters that match now, the oldest so many of them. What dies later is not among them."""
    grouping = _Grouping()
    async for delivery in each_dead(outbox, wanted):
        if len(grouping) == most:
            break
        grouping.add(delivery)
    return grouping.chosen()


async def choose_numbers(outbox: OutboxReader, numbers: Sequence[int]) -> Chosen:
    """Those of these deliveries that are dead letters now."""
    grouping = _Grouping()
    for number in sorted(set(numbers)):
        delivery = await outbox.find(number)
        if delivery is not None and delivery.state is DeliveryState.DEAD:
            grouping.add(delivery)
    return grouping.chosen()


class _Grouping:
    """Puts dead letters together that come by number, rising."""

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._groups: dict[tuple[str, str, str, str], Group] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def add(self, delivery: Delivery) -> None:
        number, code = delivery.number, next(iter(codes_of(delivery.reason)), "")
        self._numbers.append(number)
        key = (delivery.partner, delivery.verb, delivery.noun, code)
        known = self._groups.get(key)
        if known is not None:
            self._groups[key] = msgspec.structs.replace(known, count=known.count + 1, last=number)
            return
        self._groups[key] = Group(
            partner=delivery.partner,
            verb=delivery.verb,
            noun=delivery.noun,
            code=code,
            count=1,
            first=number,
            last=number,
            reason=delivery.reason,
        )

    def chosen(self) -> Chosen:
        largest_first = sorted(self._groups.values(), key=lambda group: (-group.count, group.first))
        return Chosen(numbers=tuple(self._numbers), groups=tuple(largest_first))


async def explain(outbox: OutboxReader, numbers: Sequence[int]) -> tuple[Finding, ...]:
    """What these deliveries are that are no dead letters."""
    findings = []
    for number in numbers:
        delivery = await outbox.find(number)
        found = "there is no such delivery" if delivery is None else f"it is {_TOLD[delivery.state]}"
        accepted = "a dead letter; `cimcare deadletters list` shows them"
        findings.append(finding_of("EXC-135", f"delivery {number}", found, accepted, "guarantee G5"))
    return tuple(findings)


_TOLD = {
    DeliveryState.WAITING: "waiting for its next attempt",
    DeliveryState.LEASED: "being sent",
    DeliveryState.AWAITING: "acknowledged, and its reply is awaited",
    DeliveryState.DELIVERED: "delivered",
    DeliveryState.DISCARDED: "discarded",
    DeliveryState.DEAD: "a dead letter since, and was none when it was its turn",
}


class DeadLetters:
    """Sends dead letters again, or discards them, on behalf of somebody and for a reason.

    Args:
        store: Where they are.
        actor: Who does it, for the audit trail.
        reason: Why, for the audit trail; of one that is discarded it is the reason kept with it.
        clock: Now.

    Raises:
        ReasonError: The reason says nothing.
    """

    def __init__(self, store: Store, *, actor: str, reason: str, clock: Clock) -> None:
        self._store = store
        self._actor = actor
        self._reason = require_reason(reason)
        self._clock = clock
        self._resent: deque[int] = deque()
        self._tally = Tally(chosen=0)

    async def resend(self, numbers: Sequence[int], control: Control, *, rate: float = 0.0) -> Tally:
        """Let them wait again, the oldest first, up to `rate` a second (0: no bound). Raises StoreError."""
        return await self._work(Action.RESEND, numbers, control, rate)

    async def discard(self, numbers: Sequence[int], control: Control) -> Tally:
        """End them for good, the oldest first. Raises StoreError."""
        return await self._work(Action.DISCARD, numbers, control, 0.0)

    async def watch(self, control: Control) -> Tally:
        """Wait until all that were sent again have ended, or the work is halted."""
        while True:
            await self._look(len(self._resent))
            control.report(self._tally)
            if not self._resent:
                return self._tally
            if not control.is_halted():
                await control.pause(_WATCH_SECONDS)
            if control.is_halted():
                return self._note(is_halted=True)

    async def look(self) -> Tally:
        """See what became of some of those that were sent again. Raises StoreError."""
        await self._look(_LOOKS)
        return self._tally

    # ----------------------------------------------------------------------------------------------------- work

    async def _work(self, action: Action, numbers: Sequence[int], control: Control, rate: float) -> Tally:
        todo = sorted(set(numbers))
        size = max(1, min(_BATCH, int(rate))) if rate else _BATCH
        self._tally = Tally(chosen=len(todo))
        for start in range(0, len(todo), size):
            if start and rate:
                await control.pause(size / rate)
            if control.is_halted():
                return self._note(is_halted=True)
            await self._do(action, todo[start : start + size])
            await self._look(_LOOKS)
            control.report(self._tally)
        return self._tally

    async def _do(self, action: Action, batch: list[int]) -> None:
        """One transaction."""
        async with self._store.transaction() as transaction:
            done = [number for number in batch if await self._do_one(transaction, action, number)]
        skipped = tuple(number for number in batch if number not in done)
        if action is Action.RESEND:
            self._resent.extend(done)
        tally = self._tally
        self._note(done=tally.done + len(done), skipped=(*tally.skipped, *skipped), last=batch[-1])

    async def _do_one(self, transaction: Transaction, action: Action, number: int) -> bool:
        """One dead letter, with its count and its row; False if it is none."""
        now = self._clock()
        delivery = await transaction.outbox.find(number)
        if delivery is None:
            return False
        if action is Action.RESEND:
            done = await book_resent(transaction, number, now=now)
        else:
            done = await book_discarded(transaction, number, now=now, reason=self._reason)
        if done:
            subject = f"delivery {number} to {delivery.partner}"
            note = Note(at=now, action=action, actor=self._actor, subject=subject, details=self._reason)
            await transaction.audit.append(note)
        return done

    async def _look(self, most: int) -> None:
        """See what became of some of those that were sent again, those first that were looked at longest ago."""
        delivered, died, other = self._tally.delivered, self._tally.died, self._tally.other
        for _ in range(min(most, len(self._resent))):
            number = self._resent.popleft()
            delivery = await self._store.reader.outbox.find(number)
            if delivery is None or delivery.state is DeliveryState.DISCARDED:
                other += 1
            elif delivery.state is DeliveryState.DELIVERED:
                delivered += 1
            elif delivery.state is DeliveryState.DEAD:
                died += 1
            else:
                self._resent.append(number)
        self._note(delivered=delivered, died=died, other=other, open=len(self._resent))

    def _note(self, **changes: object) -> Tally:
        self._tally = msgspec.structs.replace(self._tally, **changes)
        return self._tally
