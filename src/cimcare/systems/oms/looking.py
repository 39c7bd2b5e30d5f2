"""Incidents as they are asked for: found by themselves and through their tickets, shown with their tickets.

An incident does not hold its tickets. They are put in for the answer, at most `LIMIT` of them in all, so that no
question about a storm reads a hundred thousand; the rest are had by a get of TroubleTickets with the incident. Who asks
by tickets, or by a place or customer, is told of the tickets by which the incident was found and of no others: how far
it is with one call costs the same however many have called, and nobody learns of them.

Source: IEC 61968-100:2013, Request; which tickets are named is ours (decision 117).
"""

from collections.abc import Iterable, Sequence

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
from cimcare.systems.selecting import LIMIT, Join, find_matching, get_objects

__all__ = ["get_incidents", "through_tickets", "with_tickets"]

_COUNTED = (OPEN, RESOLVED)
"""States of tickets that an incident names."""


async def get_incidents(message: RequestMessage, context: ServingContext) -> Served:
    """Answer with incidents and their tickets. A filter by place or customer is one by the tickets from there."""
    asked = _Asked()
    joins: dict[str, Join] = dict.fromkeys(("customer", "service_location", "usage_point"), asked.at_places)
    served = await get_objects(
        message, context, INCIDENTS, {**joins, "trouble_ticket": asked.of_tickets}, through=asked.through
    )
    if not isinstance(served.payload, Incidents):
        return served
    if asked.tickets:
        shown = _naming(served.payload.incident, asked.tickets.values())
        return msgspec.structs.replace(served, payload=INCIDENTS.join(shown))
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


class _Asked:
    """Tickets by which incidents are found. `tickets` are those that have led to one, by mRID."""

    def __init__(self) -> None:
        self.tickets: dict[MRID, Stored[TroubleTicket]] = {}

    async def of_tickets(self, context: ServingContext, wanted: tuple[Structure, ...]) -> tuple[Key, ...]:
        """Incidents of tickets that match one of these filters."""
        return self._note(await find_matching(context, TICKETS, wanted))

    async def at_places(self, context: ServingContext, wanted: tuple[Structure, ...]) -> tuple[Key, ...]:
        """Incidents of the tickets from one of these places or customers."""
        keys = [key for one in wanted for key in lookup_keys(RELATED[one.XML_TYPE], mrid_of(one), labels_of(one))]
        return await self.through(context, tuple(keys))

    async def through(self, context: ServingContext, keys: tuple[Key, ...]) -> tuple[Key, ...]:
        """Incidents of the tickets that have one of these keys."""
        return self._note(await _tickets_with(context.records, keys))

    def _note(self, tickets: Sequence[Stored[TroubleTicket]]) -> tuple[Key, ...]:
        self.tickets |= {ticket.mrid: ticket for ticket in tickets}
        return _incidents_of(tickets)


async def through_tickets(records: Records, keys: tuple[Key, ...]) -> tuple[Key, ...]:
    """Keys of the incidents of tickets that have one of these keys, as far as the oldest `LIMIT` tickets lead."""
    return _incidents_of(await _tickets_with(records, keys))


async def _tickets_with(records: Records, keys: tuple[Key, ...]) -> tuple[Stored[TroubleTicket], ...]:
    return await records.select(TICKETS.collection, Selection(keys=(keys,), limit=LIMIT))


def _incidents_of(tickets: Sequence[Stored[TroubleTicket]]) -> tuple[Key, ...]:
    mrids = (ticket.body.incident.mrid for ticket in tickets if ticket.body.incident is not None)
    return tuple(dict.fromkeys(Key("incident", mrid) for mrid in mrids if mrid))


async def with_tickets(
    records: Records, incidents: Sequence[Incident], most: int | None = LIMIT
) -> tuple[tuple[Incident, ...], bool]:
    """The incidents with their tickets that were not cancelled, and whether these are all.

    `most` bounds the number of tickets of all incidents together, the oldest first; None for no bound.
    """
    keys = tuple(Key("incident", one.mrid) for one in incidents if one.mrid)
    if not keys:
        return tuple(incidents), True
    wanted = Selection(keys=(keys,), states=_COUNTED, limit=LIMIT + 1 if most is None else most + 1)
    found = await records.select(TICKETS.collection, wanted)
    if most is not None:
        return _naming(incidents, found[:most]), len(found) <= most
    tickets = list(found)
    while len(found) == wanted.limit:
        found = await records.select(TICKETS.collection, msgspec.structs.replace(wanted, after=tickets[-1].mrid))
        tickets += found
    return _naming(incidents, tickets), True


def _naming(incidents: Sequence[Incident], tickets: Iterable[Stored[TroubleTicket]]) -> tuple[Incident, ...]:
    """The incidents with those of the tickets that belong to each and were not cancelled."""
    by_incident: dict[MRID | None, list[TroubleTicketIdentity]] = {}
    for ticket in tickets:
        body = ticket.body
        if body.incident is not None and ticket.state in _COUNTED:
            named = TroubleTicketIdentity(
                mrid=ticket.mrid,
                resolved_date_time=body.resolved_date_time,
                trouble_code=body.trouble_code,
                names=body.names,
            )
            by_incident.setdefault(body.incident.mrid, []).append(named)
    return tuple(
        msgspec.structs.replace(one, trouble_tickets=tuple(by_incident.get(one.mrid, ()))) if one.mrid else one
        for one in incidents
    )
