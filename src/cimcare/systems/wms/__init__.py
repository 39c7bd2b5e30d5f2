"""Built-in work management: takes wishes for work, plans visits, sends crews, follows and reports.

Owner of ServiceRequests, ServiceOrders and WorkRequests (IEC 61968-8:2015, clauses 5.4 to 5.6).
"""

from cimcare.exchange.ports import EventHandler
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.systems.wms.appointments import WINDOWS
from cimcare.systems.wms.crews import CREWS, seed_crews
from cimcare.systems.wms.jobs import JOBS
from cimcare.systems.wms.kinds import SERVICE_ORDERS, SERVICE_REQUESTS, WORK_REQUESTS
from cimcare.systems.wms.ticks import dispatch_orders, end_dig_notices
from cimcare.systems.wms.work import SERVES

__all__ = ["COLLECTIONS", "LISTENS", "SERVES", "TICKS", "seed_crews"]

LISTENS: dict[tuple[Verb, Noun], EventHandler] = {}
"""Events that this system takes: none."""

TICKS = (dispatch_orders, end_dig_notices)
"""What it does by the clock."""

COLLECTIONS = (
    SERVICE_REQUESTS.collection,
    SERVICE_ORDERS.collection,
    WORK_REQUESTS.collection,
    WINDOWS,
    CREWS,
    JOBS,
)
"""What this system keeps."""
