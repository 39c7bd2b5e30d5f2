"""Notices, call-backs and who was out are forgotten when they are old and nobody needs them any more.

They tell who was where without supply and how to be reached; a utility keeps that as long as it has to, and no longer.
What waits, is under way, or concerns an outage that goes on stays, however old it is.
"""

from datetime import timedelta
from typing import TypeVar

import msgspec

from cimcare.exchange.ports import Collection, Selection, Served, ServingContext, Stored
from cimcare.model.envelope import Result
from cimcare.model.identity import MRID
from cimcare.systems.cis.callbacks import CALL_BACKS, CallBackState
from cimcare.systems.cis.contacts import NOTICE_RULES, RULES_KEY, NoticeRules
from cimcare.systems.cis.members import FOLLOWED, LEFT, MEMBERS, RESTORED
from cimcare.systems.cis.notices import NOTICES, NoticeState

__all__ = ["forget_notices"]

_SLICE = 100
_MOST_SLICES = 5

BodyT = TypeVar("BodyT", bound=msgspec.Struct)


async def forget_notices(context: ServingContext) -> Served:
    """Drop a part of what is older than the rules say; a `Tick`."""
    stored = await context.records.find(NOTICE_RULES, RULES_KEY)
    rules = stored.body if stored is not None else NoticeRules()
    age = timedelta(days=rules.keep_days)
    ended_notices = (NoticeState.SENT, NoticeState.REFUSED, NoticeState.UNKNOWN, NoticeState.WITHDRAWN)
    dropped = [
        await _forget(context, NOTICES, (*ended_notices, NoticeState.LISTED), age),
        await _forget(context, CALL_BACKS, (CallBackState.ANSWERED, CallBackState.DROPPED), age),
        await _forget(context, MEMBERS, (RESTORED, LEFT), age),
        await _forget(context, FOLLOWED, ("",), age),
    ]
    return Served(result=Result.OK, has_more=any(dropped))


async def _forget(
    context: ServingContext, collection: Collection[BodyT], states: tuple[str, ...], age: timedelta
) -> bool:
    """Drop what has ended, of the oldest. Whether there may be more."""
    after: MRID | None = None
    for _ in range(_MOST_SLICES):
        wanted = Selection(until=context.now - age, after=after, limit=_SLICE)
        page = await context.records.select(collection, wanted)
        doomed = [one for one in page if one.state in states and _is_over(one) and one.modified_at <= context.now - age]
        for one in doomed:
            await context.records.drop(collection, one.mrid)
        if doomed:
            return len(page) == _SLICE
        if len(page) < _SLICE:
            return False
        after = page[-1].mrid
    return False


def _is_over(stored: Stored[BodyT]) -> bool:
    """Whether an incident that is followed has ended; of all else the state tells."""
    return bool(getattr(stored.body, "is_closed", True))
