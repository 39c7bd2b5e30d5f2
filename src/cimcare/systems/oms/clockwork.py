"""What the outage management does by the clock: estimates that are over, automatic ones, restorations gone through."""

from cimcare.exchange.ports import Served, ServingContext, Tick
from cimcare.model.envelope import Result
from cimcare.systems.oms.estimates import Decision, Stage
from cimcare.systems.oms.estimating import (
    VALIDITIES,
    automatic_estimate,
    due_incidents,
    estimate_shown,
    keep_estimate,
    renewed_estimate,
    with_estimate,
)
from cimcare.systems.oms.incidents import IncidentBook
from cimcare.systems.oms.passage import go_through_restorations
from cimcare.systems.oms.queueing import turn_to_next
from cimcare.systems.oms.restored import start_of

__all__ = ["TICKS", "look_at_estimates"]

_MOST = 50


async def look_at_estimates(context: ServingContext) -> Served:
    """Take back what may not be told any longer, and say what past outages say where the rules want it."""
    due = await due_incidents(context.records, context.now, _MOST)
    book = IncidentBook(context)
    for stored in due:
        await context.records.drop(VALIDITIES, stored.mrid)
        incident = await book.find_open(stored.mrid)
        if incident is None:
            continue
        told = estimate_shown(incident.body)
        if stored.body.told.stage is not Stage.NONE:
            new, decision = renewed_estimate(stored.body, context.now)
        elif told.stage is Stage.NONE:
            kind = (await book.extent(incident.mrid)).kind
            estimate = await automatic_estimate(context.records, kind, start_of(incident), context.now)
            if estimate is None:
                continue
            new = estimate
            decision = Decision(is_taken=True, is_told=True, reason="the rules want estimates from past outages")
        else:
            continue
        await keep_estimate(context, incident.mrid, told, new, decision)
        await book.save(incident, with_estimate(incident.body, new))
    return Served(result=Result.OK, events=await book.events(), has_more=len(due) == _MOST)


TICKS: tuple[Tick, ...] = (look_at_estimates, turn_to_next, go_through_restorations)
"""What is due by the clock."""
