"""How long answers and deliveries took in a span of time: by rows drawn evenly from it, not by all of them.

A span may hold millions; some hundred rows at even distances tell its middle and its tail well enough, at a cost that
does not grow. What retention has removed is not among them.
"""

import asyncio
import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import msgspec

from cimcare.exchange.log import Direction, LogSelection
from cimcare.exchange.outbox import DeliverySelection, DeliveryState
from cimcare.exchange.store import Reader
from cimcare.hub.operation.positions import last_delivery, last_message

__all__ = ["PartnerSpread", "Spread", "draw_answers", "draw_deliveries", "spread_of"]

_DRAWN = 300
_AT_ONCE = 20
_BEFORE = timedelta.resolution


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of `count` drawn rows: half took at most `middle`, all but one in twenty `most`, the longest `worst`.

    `slowest` is the number of the row that took the longest, of a message or a delivery.
    """

    count: int
    middle: float
    most: float
    worst: float
    slowest: int


class PartnerSpread(msgspec.Struct, frozen=True, kw_only=True):
    """How long deliveries to a partner took, from when they were put in.

    `retried` is the share of those that took several attempts.
    """

    partner: str
    spread: Spread
    retried: float


def spread_of(seconds: Mapping[int, float]) -> Spread | None:
    """The spread of the times that some rows took, by their numbers; None of none."""
    found = sorted(seconds.values())
    if not found:
        return None

    def at(share: float) -> float:
        return found[min(math.ceil(share * len(found)), len(found)) - 1]

    return Spread(
        count=len(found), middle=at(0.5), most=at(0.95), worst=found[-1], slowest=max(seconds, key=seconds.__getitem__)
    )


async def draw_answers(reader: Reader, since: datetime, until: datetime) -> tuple[Spread | None, int]:
    """How long requests waited for the answer of whom they were passed on to, and how many were answered at once.

    Of what a built-in system answers one instant is kept, that of the step that does all of it. Raises StoreError.
    """
    first, last = await last_message(reader.log, since - _BEFORE), await last_message(reader.log, until)
    seconds: dict[int, float] = {}
    for turn, place in enumerate(_places(first, last)):
        if turn % _AT_ONCE == 0:
            await asyncio.sleep(0)
        rows = await reader.log.select(LogSelection(after=place, limit=10))
        request = next(
            (row for row in rows if row.direction is Direction.IN and row.archetype == "RequestMessage"), None
        )
        if request is None or request.sequence > last or request.sequence in seconds:
            continue
        answer = await reader.log.find_answer(request.sequence)
        if answer is not None:
            seconds[request.sequence] = max((answer.received_at - request.received_at).total_seconds(), 0.0)
    later = {number: one for number, one in seconds.items() if one > 0}
    return spread_of(later), len(seconds) - len(later)


async def draw_deliveries(reader: Reader, since: datetime, until: datetime) -> tuple[PartnerSpread, ...]:
    """How long deliveries took that were put in, by partner, the slowest first. Raises StoreError."""
    first, last = await last_delivery(reader.outbox, since - _BEFORE), await last_delivery(reader.outbox, until)
    found: dict[str, dict[int, tuple[float, bool]]] = {}
    for turn, place in enumerate(_places(first, last)):
        if turn % _AT_ONCE == 0:
            await asyncio.sleep(0)
        for one in await reader.outbox.select(DeliverySelection(after=place, limit=1)):
            if one.state is DeliveryState.DELIVERED and one.number <= last:
                took = max((one.due_at - one.created_at).total_seconds(), 0.0)
                found.setdefault(one.partner, {})[one.number] = (took, one.attempts > 1)
    spreads = []
    for partner, drawn in found.items():
        spread = spread_of({number: took for number, (took, _) in drawn.items()})
        if spread is not None:
            retried = sum(is_retried for _, is_retried in drawn.values()) / len(drawn)
            spreads.append(PartnerSpread(partner=partner, spread=spread, retried=retried))
    return tuple(sorted(spreads, key=lambda one: -one.spread.most))


def _places(first: int, last: int) -> Iterable[int]:
    """Numbers at even distances, behind each of which a row is drawn."""
    count = min(last - first, _DRAWN)
    return dict.fromkeys(first + place * (last - first) // count for place in range(count)) if count > 0 else ()
