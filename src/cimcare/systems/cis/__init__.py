"""Built-in customer system: customers, accounts, premises and agreements; keeps what the events of the others tell.

Owner of CustomerAgreements (IEC 61968-8:2015, clause 5.7).
"""

from cimcare.exchange.ports import EventHandler, Handler, Tick
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.systems.cis.agreements import (
    cancel_customer_agreements,
    change_customer_agreements,
    close_customer_agreements,
    create_customer_agreements,
    delete_customer_agreements,
    get_customer_agreements,
)
from cimcare.systems.cis.callbacks import CALL_BACKS, LINE
from cimcare.systems.cis.callers import CALLERS
from cimcare.systems.cis.consents import CONSENTS
from cimcare.systems.cis.contacts import NOTICE_RULES, PREFERENCES
from cimcare.systems.cis.dates import keep_dates
from cimcare.systems.cis.due import DUE
from cimcare.systems.cis.following import ANNOUNCEMENTS
from cimcare.systems.cis.forgetting import forget_notices
from cimcare.systems.cis.hearing import incident_listeners, ticket_listeners
from cimcare.systems.cis.intake import REPORTED
from cimcare.systems.cis.kinds import (
    AGREEMENTS,
    INCIDENTS,
    SERVICE_ORDERS,
    SERVICE_REQUESTS,
    TICKETS,
    WORK_REQUESTS,
)
from cimcare.systems.cis.links import LINKS
from cimcare.systems.cis.members import FOLLOWED, MEMBERS
from cimcare.systems.cis.notices import NOTICES, QUEUE
from cimcare.systems.cis.point_of_sale import RECEIPTS, SHIFTS
from cimcare.systems.cis.town import Town, build_town, seed_town
from cimcare.systems.keeping import listeners_of
from cimcare.systems.premises import ACCOUNTS, CUSTOMERS, PREMISES

__all__ = ["COLLECTIONS", "LISTENS", "SERVES", "TICKS", "Town", "build_town", "keep_dates", "seed_town"]

SERVES: dict[tuple[Verb, Noun], Handler] = {
    (Verb.CREATE, Noun.CUSTOMER_AGREEMENTS): create_customer_agreements,
    (Verb.CHANGE, Noun.CUSTOMER_AGREEMENTS): change_customer_agreements,
    (Verb.CANCEL, Noun.CUSTOMER_AGREEMENTS): cancel_customer_agreements,
    (Verb.CLOSE, Noun.CUSTOMER_AGREEMENTS): close_customer_agreements,
    (Verb.DELETE, Noun.CUSTOMER_AGREEMENTS): delete_customer_agreements,
    (Verb.GET, Noun.CUSTOMER_AGREEMENTS): get_customer_agreements,
}
"""Requests that this system serves."""

LISTENS: dict[tuple[Verb, Noun], EventHandler] = {
    **ticket_listeners(),
    **incident_listeners(),
    **listeners_of(SERVICE_REQUESTS),
    **listeners_of(SERVICE_ORDERS),
    **listeners_of(WORK_REQUESTS),
}
"""Events that this system takes."""

TICKS: tuple[Tick, ...] = (keep_dates, forget_notices)
"""What this system does by the clock."""

COLLECTIONS = (
    AGREEMENTS.collection,
    TICKETS.collection,
    INCIDENTS.collection,
    SERVICE_REQUESTS.collection,
    SERVICE_ORDERS.collection,
    WORK_REQUESTS.collection,
    PREMISES,
    CUSTOMERS,
    ACCOUNTS,
    DUE,
    PREFERENCES,
    NOTICE_RULES,
    MEMBERS,
    FOLLOWED,
    ANNOUNCEMENTS,
    NOTICES,
    QUEUE,
    CALL_BACKS,
    LINE,
    CONSENTS,
    SHIFTS,
    RECEIPTS,
    LINKS,
    CALLERS,
    REPORTED,
)
"""What this system keeps."""
