"""Which restoration is gone through next: each in its turn, so that one that fails does not hold up those behind it.

What fails leaves nothing behind, since its transaction is undone. Whose turn it is stands therefore in a record of its
own, which is written before: `turn_to_next` comes first in each round of the clock, and moves on whatever has become of
the one before. Within a round the turn moves on as one after the other is done.
"""

import msgspec

from cimcare.exchange.ports import Collection, Records, Selection, Served, ServingContext, Stored
from cimcare.model.envelope import Result
from cimcare.model.identity import MRID
from cimcare.systems.oms.restored import PENDING, RESTORATIONS, RestorationRecord

__all__ = ["TURNS", "TurnRecord", "pass_turn", "turn_to_next", "whose_turn"]


class TurnRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The restoration that is gone through now; it is named by the mRID of its incident."""

    word: MRID


TURNS: Collection[TurnRecord] = Collection("oms.RestorationTurns", TurnRecord)
"""One record at most."""

_TURN = MRID("turn")


async def turn_to_next(context: ServingContext) -> Served:
    """A tick: it is the turn of the next restoration that is not gone through yet."""
    turn = await context.records.find(TURNS, _TURN)
    await _give(context, turn, await _next(context.records, turn.body.word if turn is not None else None))
    return Served(result=Result.OK)


async def whose_turn(records: Records) -> Stored[RestorationRecord] | None:
    """The restoration to be gone through now, the oldest one if nobody has the turn; None if all are gone through."""
    turn = await records.find(TURNS, _TURN)
    stored = await records.find(RESTORATIONS, turn.body.word) if turn is not None else None
    if stored is not None and stored.state == PENDING:
        return stored
    return await _next(records, None)


async def pass_turn(context: ServingContext, done: MRID) -> bool:
    """One is gone through; it is the turn of the one after it. Whether there is one."""
    following = await _next(context.records, done)
    await _give(context, await context.records.find(TURNS, _TURN), following)
    return following is not None


async def _next(records: Records, after: MRID | None) -> Stored[RestorationRecord] | None:
    """The one after this, in the order of the instants of restoration; after the last comes the first again."""
    found = await records.select(RESTORATIONS, Selection(states=(PENDING,), after=after, limit=1))
    if not found and after is not None:
        found = await records.select(RESTORATIONS, Selection(states=(PENDING,), limit=1))
    return found[0] if found else None


async def _give(context: ServingContext, turn: Stored[TurnRecord] | None, to: Stored[RestorationRecord] | None) -> None:
    if to is None:
        if turn is not None:
            await context.records.drop(TURNS, _TURN)
    elif turn is None or turn.body.word != to.mrid:
        body = TurnRecord(word=to.mrid)
        await context.records.save(
            TURNS, Stored(mrid=_TURN, body=body, created_at=context.now, modified_at=context.now)
        )
