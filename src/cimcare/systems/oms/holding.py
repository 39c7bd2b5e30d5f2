"""Who else has called in an incident of many: not told call by call, but every few seconds, of many incidents together.

The caller hears at once in which incident the call is, and the event of the ticket says so to all others. That one more
has called, and how many are out, is all that is held back, and of no incident but those that many have reported. What
is held stands with the extent of the incident, so no end of a process loses it; whatever else changes takes it along.
"""

import msgspec

from cimcare.exchange.ports import Key, News, Records, Selection, Served, ServingContext
from cimcare.model.envelope import Result
from cimcare.model.identity import MRID
from cimcare.model.incident import Incident, IncidentOutage, TroubleTicketIdentity
from cimcare.model.verbs import Verb
from cimcare.systems.oms.kinds import CANCELLED, EXTENTS, INCIDENTS, TICKETS, ExtentRecord, incident_of

__all__ = ["HELD", "NEWS", "is_told_later", "still_of", "with_held"]

HELD = Key("held", "on")
"""Key of the extents of incidents of which something is yet to be told."""

_MANY = 25
"""Premises that have reported; of an incident with fewer each call is told as it comes."""

_MOST_HELD = 200
"""Tickets of one incident; with more they are told at once, so that no record and no message grows without bound."""

_MOST_TOGETHER = 100
"""Incidents in one message: some 50 kB, and some 50 ms of work."""


def is_told_later(before: Incident, now: Incident, extent: ExtentRecord, tickets: int) -> bool:
    """Whether a change of an open incident can wait.

    Args:
        before: The incident as it was.
        now: The incident as it is.
        extent: What it covers now.
        tickets: How many are new in it.
    """
    held = len(extent.held.tickets) if extent.held is not None else 0
    if extent.premises < _MANY or held + tickets > _MOST_HELD:
        return False
    return _without_counts(before) == _without_counts(now)


def _without_counts(body: Incident) -> Incident:
    outage = body.outage
    if outage is not None:
        outage = msgspec.structs.replace(outage, summary=None)
    return msgspec.structs.replace(body, outage=outage, last_modified_date_time=None)


def with_held(shown: Incident | None, now: Incident) -> Incident:
    """What is told of an incident, with how many are out."""
    shown = shown or INCIDENTS.identity_only(now)
    summary = now.outage.summary if now.outage is not None else None
    if summary is None:
        return shown
    return msgspec.structs.replace(
        shown, outage=msgspec.structs.replace(shown.outage or IncidentOutage(), summary=summary)
    )


async def still_of(
    records: Records, incident: MRID, tickets: tuple[TroubleTicketIdentity, ...]
) -> tuple[TroubleTicketIdentity, ...]:
    """Those of the tickets that are in the incident now: one may have left it or been cancelled before it was told."""
    mrids = tuple(ticket.mrid for ticket in tickets if ticket.mrid is not None)
    if not mrids:
        return ()
    found = await records.select(TICKETS.collection, Selection(mrids=mrids, limit=len(mrids)))
    there = {one.mrid for one in found if one.state != CANCELLED and incident_of(one.body) == incident}
    return tuple(ticket for ticket in tickets if ticket.mrid in there)


async def _is_waiting(records: Records) -> bool:
    return bool(await records.select(EXTENTS, Selection(keys=((HELD,),), limit=1)))


async def _tell(context: ServingContext) -> Served:
    """Tell of a part of what is held: many incidents in one event."""
    found = await context.records.select(EXTENTS, Selection(keys=((HELD,),), limit=_MOST_TOGETHER))
    told = []
    for stored in found:
        held = stored.body.held
        extent = msgspec.structs.replace(stored, body=msgspec.structs.replace(stored.body, held=None))
        extent = msgspec.structs.replace(extent, keys=stored.keys - {HELD}, modified_at=context.now)
        await context.records.save(EXTENTS, extent)
        incident = await context.records.find(INCIDENTS.collection, stored.mrid)
        if incident is None or held is None:
            continue
        tickets = await still_of(context.records, stored.mrid, held.tickets)
        shown = msgspec.structs.replace(with_held(None, incident.body), trouble_tickets=tickets)
        told.append(INCIDENTS.told(shown, incident.body))
    events = (INCIDENTS.event(Verb.CHANGED, told),) if told else ()
    return Served(result=Result.OK, events=events, has_more=len(found) == _MOST_TOGETHER)


NEWS = News(is_waiting=_is_waiting, tell=_tell)
"""What is held of incidents."""
