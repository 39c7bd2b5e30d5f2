"""What the customer system does with the events of tickets and incidents: keep them, and see who is to be told."""

from collections.abc import Sequence
from typing import TypeVar

from cimcare.exchange.ports import EventHandler, Served, ServingContext
from cimcare.model.envelope import EventMessage
from cimcare.model.identity import MRID
from cimcare.model.nouns import Noun
from cimcare.model.structure import Structure
from cimcare.model.verbs import Verb
from cimcare.systems.cis.copies import keep_incidents, keep_tickets
from cimcare.systems.cis.following import Following
from cimcare.systems.cis.kinds import INCIDENTS, TICKETS
from cimcare.systems.identity import labels_of, mrid_of
from cimcare.systems.keeping import DELETED, listeners_of
from cimcare.systems.objects import said_in

__all__ = ["incident_listeners", "ticket_listeners"]

BodyT = TypeVar("BodyT", bound=Structure)


def ticket_listeners() -> dict[tuple[Verb, Noun], EventHandler]:
    """Handlers for the events of tickets."""
    return dict.fromkeys(listeners_of(TICKETS), _hear_tickets)


def incident_listeners() -> dict[tuple[Verb, Noun], EventHandler]:
    """Handlers for the events of incidents."""
    return dict.fromkeys(listeners_of(INCIDENTS), _hear_incidents)


async def _hear_tickets(message: EventMessage, context: ServingContext) -> Served:
    served = await keep_tickets(message, context)
    said = [one.body for one in said_in(message, TICKETS) if one.body is not None]
    following = Following(context.records, context.now, context.new_id)
    for identifier in served.ids:
        stored = await context.records.find(TICKETS.collection, MRID(identifier.value))
        if stored is not None and stored.state != DELETED:
            await following.ticket(stored, _said_of(stored.body, said))
    return served


async def _hear_incidents(message: EventMessage, context: ServingContext) -> Served:
    served = await keep_incidents(message, context)
    # What a message removes is no news of what there is.
    said = [] if context.removes else [one.body for one in said_in(message, INCIDENTS) if one.body is not None]
    following = Following(context.records, context.now, context.new_id)
    for identifier in served.ids:
        stored = await context.records.find(INCIDENTS.collection, MRID(identifier.value))
        if stored is not None and stored.state != DELETED:
            await following.incident(stored, _said_of(stored.body, said))
    return served


def _said_of(body: BodyT, said: Sequence[BodyT]) -> BodyT | None:
    """What a message says of an object that it has led to."""
    for one in said:
        mrid = mrid_of(one)
        if mrid == mrid_of(body) if mrid else not set(labels_of(one)).isdisjoint(labels_of(body)):
            return one
    return None
