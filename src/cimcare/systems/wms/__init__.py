"""Built-in work management: takes wishes for work, plans visits, follows crews, reports back.

Owner of ServiceRequests, ServiceOrders and WorkRequests (IEC 61968-8:2015, clauses 5.4 to 5.6).
"""

from cimcare.exchange.ports import EventHandler, Handler
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.systems.wms.appointments import WINDOWS
from cimcare.systems.wms.kinds import SERVICE_ORDERS, SERVICE_REQUESTS, WORK_REQUESTS
from cimcare.systems.wms.work import handlers_of

__all__ = ["COLLECTIONS", "LISTENS", "SERVES"]

SERVES: dict[tuple[Verb, Noun], Handler] = {
    **handlers_of(SERVICE_REQUESTS),
    **handlers_of(SERVICE_ORDERS),
    **handlers_of(WORK_REQUESTS),
}
"""Requests that this system serves."""

LISTENS: dict[tuple[Verb, Noun], EventHandler] = {}
"""Events that this system takes: none."""

COLLECTIONS = (
    SERVICE_REQUESTS.collection,
    SERVICE_ORDERS.collection,
    WORK_REQUESTS.collection,
    WINDOWS,
)
"""What this system keeps."""
