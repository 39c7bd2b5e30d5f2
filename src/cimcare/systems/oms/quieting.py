"""Regrouping by the clock: what messages have left to be done, part by part, until nothing is left."""

from cimcare.exchange.ports import Served, ServingContext
from cimcare.model.envelope import Result
from cimcare.systems.oms.incidents import IncidentBook
from cimcare.systems.oms.regrouping import is_quiet

__all__ = ["regroup"]

_MOST_ITEMS = 20


async def regroup(context: ServingContext) -> Served:
    """A tick: do a part of what is left to be regrouped."""
    book = IncidentBook(context)
    if not await book.work.recall(_MOST_ITEMS):
        return Served(result=Result.OK)
    events = await book.events()
    return Served(result=Result.OK, events=events, has_more=not await is_quiet(context.records))
