"""The customer system's copies of incidents: without the list of their tickets, which its own tickets point back from.

A storm's incident has a hundred thousand tickets; a copy that listed them would be read and written whole with each.
"""

from collections.abc import Iterator
from datetime import datetime

import msgspec

from cimcare.exchange.ports import Key, Served, ServingContext, Stored
from cimcare.model.envelope import EventMessage
from cimcare.model.identity import MRID
from cimcare.model.incident import Incident, IncidentIdentity, Incidents, TroubleTicketIdentity
from cimcare.model.trouble_ticket import TroubleTicket
from cimcare.model.verbs import Verb
from cimcare.systems.cis.kinds import INCIDENTS, TICKETS
from cimcare.systems.keeping import DELETED, keep_told
from cimcare.systems.objects import as_utc, find_by_names

__all__ = ["keep_incidents", "keep_tickets"]


async def keep_tickets(message: EventMessage, context: ServingContext) -> Served:
    """Keep what an event tells of tickets; a ticket is found by its incident, too."""
    served = await keep_told(message, context, TICKETS)
    for one in served.ids:
        stored = await context.records.find(TICKETS.collection, MRID(one.value))
        if stored is not None:
            keys = TICKETS.name_keys(stored.body) | _incident_key(stored.body)
            if keys != stored.keys:
                await context.records.save(TICKETS.collection, msgspec.structs.replace(stored, keys=keys))
    return served


def _incident_key(ticket: TroubleTicket) -> frozenset[Key]:
    mrid = ticket.incident.mrid if ticket.incident is not None else None
    return frozenset({Key("incident", mrid)} if mrid else ())


async def keep_incidents(message: EventMessage, context: ServingContext) -> Served:
    """Keep what an event tells of incidents."""
    bare, payload = message, message.payload
    if payload is not None:
        content = tuple(_without_tickets(root) if isinstance(root, Incidents) else root for root in payload.content)
        bare = msgspec.structs.replace(message, payload=msgspec.structs.replace(payload, content=content))
    served = await keep_told(bare, context, INCIDENTS)
    if message.header.verb in (Verb.CREATED, Verb.CHANGED) and not context.removes:
        for incident in _incidents_in(message):
            for ticket in incident.trouble_tickets:
                await _link(ticket, incident, as_utc(incident.last_modified_date_time) or _told_at(message), context)
    return served


def _without_tickets(root: Incidents) -> Incidents:
    return msgspec.structs.replace(
        root, incident=tuple(msgspec.structs.replace(one, trouble_tickets=()) for one in root.incident)
    )


def _incidents_in(message: EventMessage) -> Iterator[Incident]:
    for root in message.payload.content if message.payload is not None else ():
        if isinstance(root, Incidents):
            yield from root.incident


def _told_at(message: EventMessage) -> datetime | None:
    stamp = message.header.timestamp
    return as_utc(stamp) if isinstance(stamp, datetime) else None


async def _link(
    named: TroubleTicketIdentity, incident: Incident, told_at: datetime | None, context: ServingContext
) -> None:
    """Let our copy of a ticket point to its incident. A ticket of which nothing was told yet is kept as it is named.

    What was told of the ticket itself since then holds.
    """
    if incident.mrid is None:
        return
    stored = await context.records.find(TICKETS.collection, named.mrid) if named.mrid else None
    if stored is None:
        found = await find_by_names(context.records, TICKETS, TICKETS.labels(_ticket(named)))
        stored = found[0] if len(found) == 1 else None
    if stored is None:
        if named.mrid is None:
            return
        now = context.now
        stored = Stored(mrid=named.mrid, body=_ticket(named), created_at=now, modified_at=now)
    elif stored.state == DELETED or (
        stored.body.incident is not None and told_at is not None and told_at < stored.modified_at
    ):
        return
    body = msgspec.structs.replace(stored.body, incident=IncidentIdentity(mrid=incident.mrid))
    linked = msgspec.structs.replace(stored, body=body, keys=TICKETS.name_keys(body) | _incident_key(body))
    if linked != stored:
        await context.records.save(TICKETS.collection, linked)


def _ticket(named: TroubleTicketIdentity) -> TroubleTicket:
    return TroubleTicket(mrid=named.mrid, names=named.names, trouble_code=named.trouble_code)
