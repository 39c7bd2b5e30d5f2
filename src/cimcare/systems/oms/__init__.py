"""Built-in outage management: takes trouble tickets, groups them into incidents, reports back.

Owner of TroubleTickets and Incidents (IEC 61968-8:2015, clauses 5.2 and 5.3).
"""

from cimcare.exchange.ports import EventHandler, Handler, Tick
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.systems.oms import clockwork, works
from cimcare.systems.oms.accounts import ENTRIES
from cimcare.systems.oms.decisions import DECISIONS
from cimcare.systems.oms.devices import DEVICES, SERVICE_POINTS
from cimcare.systems.oms.dispatching import cancel_incidents, change_incidents, close_incidents, create_incidents
from cimcare.systems.oms.estimating import DURATIONS, ESTIMATE_RULES, ESTIMATES, VALIDITIES
from cimcare.systems.oms.evidence import EVIDENCE
from cimcare.systems.oms.holding import NEWS
from cimcare.systems.oms.importing import REVISIONS
from cimcare.systems.oms.kinds import EXTENTS, INCIDENTS, REPORTS, TICKETS
from cimcare.systems.oms.looking import get_incidents
from cimcare.systems.oms.meters import METER_EVENTS, take_meter_events
from cimcare.systems.oms.parts import PARTS
from cimcare.systems.oms.queueing import TURNS
from cimcare.systems.oms.quieting import regroup
from cimcare.systems.oms.regrouping import REGROUPINGS
from cimcare.systems.oms.restored import INTERRUPTIONS, RESTORATIONS
from cimcare.systems.oms.rules import GROUPING_RULES
from cimcare.systems.oms.tickets import (
    cancel_trouble_tickets,
    change_trouble_tickets,
    close_trouble_tickets,
    create_trouble_tickets,
    delete_trouble_tickets,
    get_trouble_tickets,
    hear_trouble_tickets_canceled,
    hear_trouble_tickets_changed,
    hear_trouble_tickets_closed,
    hear_trouble_tickets_created,
)
from cimcare.systems.oms.ways import WAYS
from cimcare.systems.oms.words import WORDS

__all__ = ["COLLECTIONS", "LISTENS", "NEWS", "SERVES", "TICKS", "get_incidents", "take_meter_events"]


SERVES: dict[tuple[Verb, Noun], Handler] = {
    (Verb.CREATE, Noun.TROUBLE_TICKETS): create_trouble_tickets,
    (Verb.CHANGE, Noun.TROUBLE_TICKETS): change_trouble_tickets,
    (Verb.CANCEL, Noun.TROUBLE_TICKETS): cancel_trouble_tickets,
    (Verb.CLOSE, Noun.TROUBLE_TICKETS): close_trouble_tickets,
    (Verb.DELETE, Noun.TROUBLE_TICKETS): delete_trouble_tickets,
    (Verb.GET, Noun.TROUBLE_TICKETS): get_trouble_tickets,
    (Verb.CREATE, Noun.INCIDENTS): create_incidents,
    (Verb.CHANGE, Noun.INCIDENTS): change_incidents,
    (Verb.CANCEL, Noun.INCIDENTS): cancel_incidents,
    (Verb.CLOSE, Noun.INCIDENTS): close_incidents,
    (Verb.GET, Noun.INCIDENTS): get_incidents,
}
"""Requests that this system serves."""

LISTENS: dict[tuple[Verb, Noun], EventHandler] = {
    (Verb.CREATED, Noun.TROUBLE_TICKETS): hear_trouble_tickets_created,
    (Verb.CHANGED, Noun.TROUBLE_TICKETS): hear_trouble_tickets_changed,
    (Verb.CANCELED, Noun.TROUBLE_TICKETS): hear_trouble_tickets_canceled,
    (Verb.CLOSED, Noun.TROUBLE_TICKETS): hear_trouble_tickets_closed,
    **works.LISTENS,
}
"""Events that this system takes."""

TICKS: tuple[Tick, ...] = (regroup, *clockwork.TICKS)
"""What this system does by the clock."""

COLLECTIONS = (
    TICKETS.collection,
    INCIDENTS.collection,
    REPORTS,
    EXTENTS,
    METER_EVENTS,
    EVIDENCE,
    DECISIONS,
    REGROUPINGS,
    GROUPING_RULES,
    DEVICES,
    SERVICE_POINTS,
    PARTS,
    WAYS,
    REVISIONS,
    ESTIMATES,
    ESTIMATE_RULES,
    VALIDITIES,
    DURATIONS,
    RESTORATIONS,
    INTERRUPTIONS,
    WORDS,
    ENTRIES,
    TURNS,
    works.WORKS,
)
"""What this system keeps."""
