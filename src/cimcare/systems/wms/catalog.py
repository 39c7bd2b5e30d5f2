"""Types of work: which orders follow from a request, and what each order asks of a crew. One readable table of each.

Requests (ServiceRequests, WorkRequests):

================  =================================  ===========  ======  ==============================================
type              taken for it, if not named         appointment  access  orders that follow
================  =================================  ===========  ======  ==============================================
connect           kind connect                       yes          yes     service line, connection
disconnect        kind disconnect                    no           no      disconnection
reconnect         kind reconnect                     no           no      reconnection
meter exchange    a task of kind exchange            yes          yes     meter exchange
special read                                         yes          yes     special read
inspection        kind inspection                    yes          yes     inspection
meter test        kind test                          yes          yes     meter test
repair            kind repair                        no           no      repair
street light                                         no           no      street light
dig notice        (work requests only)               no           no      locating
(any other)                                          yes          no      none: a planner makes them
================  =================================  ===========  ======  ==============================================

Orders:

==================  ===========================  ===================  =======  =========================================
type                taken for it, if not named   skills               minutes  before it is completed
==================  ===========================  ===================  =======  =========================================
service line                                     lines                90
connection          kind connect                 service, meters      60
disconnection       kind disconnect              service              30
reconnection        kind reconnect               service              30
meter exchange      a task of kind exchange      meters               60       both meters, each with a reading
special read                                     meters               20       a reading
inspection          kind inspection              inspection           60
meter test          kind test                    meters               60
repair              kind repair                  lines                120
street light                                     lights               45
locating                                         locating             60
(any other)                                      none                 60
==================  ===========================  ===================  =======  =========================================

A request or order names its type by Document.type, a work request by a name of type `WorkType`. An order without a type
of this table is no matter of judgement: any crew may have it, and nothing is asked of its report.

Source: all of it is ours; kinds of work and tasks are those of the CIM (WorkKind, WorkTaskKind).
"""

from enum import StrEnum

import msgspec

from cimcare.model.enumerations import WorkKind, WorkTaskKind
from cimcare.model.structure import Structure
from cimcare.systems.identity import labels_of
from cimcare.systems.wms.kinds import WORK_TYPE

__all__ = [
    "ORDER_TYPES",
    "OTHER_ORDER",
    "OTHER_WORK",
    "WORK_TYPES",
    "Evidence",
    "OrderType",
    "WorkType",
    "type_of_order",
]
__all__ += ["type_of_request"]


class Evidence(StrEnum):
    """What the report of a completion has to show."""

    NONE = "none"
    READING = "reading"
    EXCHANGE = "exchange"


class OrderType(msgspec.Struct, frozen=True, kw_only=True):
    """A type of order.

    `minutes` is the time that a crew is planned for, with the way there. What `is_urgent` is given to crews on call at
    any hour and needs no room in a window.
    """

    name: str
    kind: WorkKind
    skills: frozenset[str]
    minutes: int
    task: WorkTaskKind | None = None
    evidence: Evidence = Evidence.NONE
    is_urgent: bool = False


class WorkType(msgspec.Struct, frozen=True, kw_only=True):
    """A type of request: whether the customer is given an appointment and has to let the crew in, and its orders."""

    name: str
    has_appointment: bool
    needs_access: bool
    orders: tuple[OrderType, ...]


_SERVICE_LINE = OrderType(
    name="service line", kind=WorkKind.connect, skills=frozenset({"lines"}), minutes=90, task=WorkTaskKind.install
)
_CONNECTION = OrderType(
    name="connection",
    kind=WorkKind.connect,
    skills=frozenset({"service", "meters"}),
    minutes=60,
    task=WorkTaskKind.install,
)
_DISCONNECTION = OrderType(
    name="disconnection", kind=WorkKind.disconnect, skills=frozenset({"service"}), minutes=30, task=WorkTaskKind.remove
)
_RECONNECTION = OrderType(
    name="reconnection", kind=WorkKind.reconnect, skills=frozenset({"service"}), minutes=30, task=WorkTaskKind.install
)
_EXCHANGE = OrderType(
    name="meter exchange",
    kind=WorkKind.service,
    skills=frozenset({"meters"}),
    minutes=60,
    task=WorkTaskKind.exchange,
    evidence=Evidence.EXCHANGE,
)
_READ = OrderType(
    name="special read",
    kind=WorkKind.service,
    skills=frozenset({"meters"}),
    minutes=20,
    task=WorkTaskKind.investigate,
    evidence=Evidence.READING,
)
_INSPECTION = OrderType(
    name="inspection",
    kind=WorkKind.inspection,
    skills=frozenset({"inspection"}),
    minutes=60,
    task=WorkTaskKind.investigate,
)
_TEST = OrderType(
    name="meter test", kind=WorkKind.test, skills=frozenset({"meters"}), minutes=60, task=WorkTaskKind.investigate
)
_REPAIR = OrderType(
    name="repair",
    kind=WorkKind.repair,
    skills=frozenset({"lines"}),
    minutes=120,
    task=WorkTaskKind.investigate,
    is_urgent=True,
)
_LIGHT = OrderType(
    name="street light", kind=WorkKind.repair, skills=frozenset({"lights"}), minutes=45, task=WorkTaskKind.exchange
)
_LOCATING = OrderType(
    name="locating", kind=WorkKind.other, skills=frozenset({"locating"}), minutes=60, task=WorkTaskKind.investigate
)

OTHER_ORDER = OrderType(name="", kind=WorkKind.other, skills=frozenset(), minutes=60)
"""An order of no type of the table."""

ORDER_TYPES = {
    one.name: one
    for one in (
        _SERVICE_LINE,
        _CONNECTION,
        _DISCONNECTION,
        _RECONNECTION,
        _EXCHANGE,
        _READ,
        _INSPECTION,
        _TEST,
        _REPAIR,
        _LIGHT,
        _LOCATING,
    )
}
"""Types of orders by name."""

OTHER_WORK = WorkType(name="", has_appointment=True, needs_access=False, orders=())
"""A request of no type of the table."""

DIG_NOTICE = WorkType(name="dig notice", has_appointment=False, needs_access=False, orders=(_LOCATING,))
"""A builder or a road authority says where and when it is going to dig."""

WORK_TYPES = {
    one.name: one
    for one in (
        WorkType(name="connect", has_appointment=True, needs_access=True, orders=(_SERVICE_LINE, _CONNECTION)),
        WorkType(name="disconnect", has_appointment=False, needs_access=False, orders=(_DISCONNECTION,)),
        WorkType(name="reconnect", has_appointment=False, needs_access=False, orders=(_RECONNECTION,)),
        WorkType(name="meter exchange", has_appointment=True, needs_access=True, orders=(_EXCHANGE,)),
        WorkType(name="special read", has_appointment=True, needs_access=True, orders=(_READ,)),
        WorkType(name="inspection", has_appointment=True, needs_access=True, orders=(_INSPECTION,)),
        WorkType(name="meter test", has_appointment=True, needs_access=True, orders=(_TEST,)),
        WorkType(name="repair", has_appointment=False, needs_access=False, orders=(_REPAIR,)),
        WorkType(name="street light", has_appointment=False, needs_access=False, orders=(_LIGHT,)),
        DIG_NOTICE,
    )
}
"""Types of requests by name."""

_WORK_OF_KIND = {
    WorkKind.connect: "connect",
    WorkKind.disconnect: "disconnect",
    WorkKind.reconnect: "reconnect",
    WorkKind.inspection: "inspection",
    WorkKind.test: "meter test",
    WorkKind.repair: "repair",
}
_ORDER_OF_KIND = {
    WorkKind.connect: "connection",
    WorkKind.disconnect: "disconnection",
    WorkKind.reconnect: "reconnection",
    WorkKind.inspection: "inspection",
    WorkKind.test: "meter test",
    WorkKind.repair: "repair",
}


def type_of_request(core: Structure) -> WorkType:
    """Type of a service request or work request.

    The kind alone says nothing about a work request: it is the wish of a third party, and what comes of it is planned.
    """
    named = {label.name for label in labels_of(core) if label.type == WORK_TYPE}
    is_served = hasattr(core, "type")
    if is_served:
        named.add((getattr(core, "type", None) or "").strip())
    for name, found in WORK_TYPES.items():
        if name in named and (found is not DIG_NOTICE or not is_served):
            return found
    return WORK_TYPES.get(_implied(core, _WORK_OF_KIND) if is_served else "", OTHER_WORK)


def type_of_order(core: Structure) -> OrderType:
    """Type of a service order."""
    named = ORDER_TYPES.get((getattr(core, "type", None) or "").strip())
    return named or ORDER_TYPES.get(_implied(core, _ORDER_OF_KIND), OTHER_ORDER)


def _implied(core: Structure, kinds: dict[WorkKind, str]) -> str:
    kind = getattr(core, "kind", None)
    if kind in kinds:
        return kinds[kind]
    tasks = getattr(core, "work_tasks", ())
    return "meter exchange" if any(task.task_kind is WorkTaskKind.exchange for task in tasks) else ""
