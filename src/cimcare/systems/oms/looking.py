"""Incidents as they are asked for: found by themselves and through their tickets, shown with their tickets.

An incident does not hold its tickets. They are put in for the answer, at most `LIMIT` of them in all, so that no
question about a storm reads a hundred thousand; the rest are had by a get of TroubleTickets with the incident.
"""

from collections.abc import Sequence

import msgspec

from cimcare.errors import finding_of
from cimcare.exchange.ports import Key, Records, Selection, Served, ServingContext, Stored
from cimcare.model.envelope import RequestMessage, Result
from cimcare.model.identity import MRID
from cimcare.model.incident import Incident, Incidents, TroubleTicketIdentity
from cimcare.model.structure import Structure
from cimcare.model.trouble_ticket import TroubleTicket
from cimcare.systems.identity import RELATED, labels_of, lookup_keys, mrid_of
from cimcare.systems.objects import warning_of
from cimcare.systems.oms.kinds import INCIDENTS, OPEN, RESOLVED, TICKETS
from cimcare.systems.selecting import LIMIT, find_matching, get_objects

__all__ = ["get_incidents", "through_tickets", "with_tickets"]


async def get_incidents(message: RequestMessage, context: ServingContext) -> Served:
    """Answer with incidents and their tickets. A filter by place or customer is one by the tickets from there."""
    through = dict.fromkeys(("customer", "service_location", "usage_point"), _at_places)
    served = await get_objects(
        message, context, INCIDENTS, {**through, "trouble_ticket": _of_tickets}, through=_through
    )
    if not isinstance(served.payload, Incidents):
        return served
    most = None if context.is_unbounded else LIMIT
    shown, is_whole = await with_tickets(context.records, served.payload.incident, most)
    served = msgspec.structs.replace(served, payload=INCIDENTS.join(shown))
    if is_whole:
        return served
    cut = finding_of(
        "EXC-112",
        "/RequestMessage/Request",
        f"the incidents have more than {most} tickets; the oldest {most} are named",
        "fewer incidents, or a get of TroubleTickets with the mRID of the incident",
        "IEC 61968-100:2013, Reply/Result",
    )
    findings = (*served.findings, warning_of(cut))
    return msgspec.structs.replace(served, result=Result.PARTIAL, findings=findings)


async def _of_tickets(context: ServingContext, wanted: tuple[Structure, ...]) -> tuple[Key, ...]:
    return _incidents_of(await find_matching(context, TICKETS, wanted))


async def _at_places(context: ServingContext, wanted: tuple[Structure, ...]) -> tuple[Key, ...]:
    keys = [key for one in wanted for key in lookup_keys(RELATED[one.XML_TYPE], mrid_of(one), labels_of(one))]
    return await through_tickets(context.records, tuple(keys))


async def _through(context: ServingContext, keys: tuple[Key, ...]) -> tuple[Key, ...]:
    return await through_tickets(context.records, keys)


async def through_tickets(records: Records, keys: tuple[Key, ...]) -> tuple[Key, ...]:
    """Keys of the incidents of tickets that have one of these keys, as far as the oldest `LIMIT` tickets lead."""
    return _incidents_of(await records.select(TICKETS.collection, Selection(keys=(keys,), limit=LIMIT)))


def _incidents_of(tickets: Sequence[Stored[TroubleTicket]]) -> tuple[Key, ...]:
    mrids = (ticket.body.incident.mrid for ticket in tickets if ticket.body.incident is not None)
    return tuple(dict.fromkeys(Key("incident", mrid) for mrid in mrids if mrid))


async def with_tickets(
    records: Records, incidents: Sequence[Incident], most: int | None = LIMIT
) -> tuple[tuple[Incident, ...], bool]:
    """The incidents with their tickets that were not cancelled, and whether these are all.

    `most` bounds the number of tickets of all incidents together, the oldest first; None for no bound.
    """
    by_incident: dict[MRID, list[TroubleTicketIdentity]] = {one.mrid: [] for one in incidents if one.mrid}
    if not by_incident:
        return tuple(incidents), True
    keys = tuple(Key("incident", mrid) for mrid in by_incident)
    wanted = Selection(keys=(keys,), states=(OPEN, RESOLVED), limit=LIMIT + 1 if most is None else most + 1)
    tickets = await records.select(TICKETS.collection, wanted)
    is_whole = most is None or len(tickets) <= most
    while True:
        for ticket in tickets[:most]:
            body = ticket.body
            mrid = body.incident.mrid if body.incident is not None else None
            if mrid in by_incident:
                named = TroubleTicketIdentity(
                    mrid=ticket.mrid,
                    resolved_date_time=body.resolved_date_time,
                    trouble_code=body.trouble_code,
                    names=body.names,
                )
                by_incident[mrid].append(named)
        if most is not None or len(tickets) < wanted.limit:
            break
        tickets = await records.select(TICKETS.collection, msgspec.structs.replace(wanted, after=tickets[-1].mrid))
    shown = tuple(
        msgspec.structs.replace(one, trouble_tickets=tuple(by_incident[one.mrid])) if one.mrid else one
        for one in incidents
    )
    return shown, is_whole
