"""States that the objects of each noun pass through, and the verbs that move them. Tables and pure functions.

Tickets, incidents and agreements have the states below; their state is free text in the standard, the words are ours.

======================  ==============================================================================================
TroubleTickets          open -> resolved (close) | cancelled (cancel)
Incidents               open -> closed (close) | cancelled (cancel)
CustomerAgreements      proposed -> active (its validity begins) | cancelled (cancel);
                        active -> ended (close) | cancelled (cancel: entered by mistake)
======================  ==============================================================================================

Work (ServiceRequests, ServiceOrders, WorkRequests) has the literals of WorkStatusKind, in this order:

    waitingOnApproval, approved, waitingToBeScheduled, scheduled, waitingOnMaterial, dispatched, enroute, onSite,
    inProgress, completed, closed

====================================================  ================================================================
from                                                  to
====================================================  ================================================================
any before closed                                     any later one: partners leave steps out
any before completed                                  cancelled
scheduled to inProgress                               back to waitingToBeScheduled or scheduled: visit not completed
any                                                   itself: a message may come twice
closed, cancelled                                     nothing else
====================================================  ================================================================

A cancel *request* is refused once work has begun (onSite and later), though the work management itself may still report
work as cancelled. `delete` removes an object in any state; `get` and `change` leave the state alone, and what has ended
cannot be changed.

A request that is carried out by service orders has the state that follows from theirs (`progress_of`), cancelled orders
left out:

====================================================  ================================================================
orders                                                request
====================================================  ================================================================
all completed or closed                               completed
one dispatched to inProgress, none completed          the state of the one that is furthest
one dispatched to inProgress, another completed       inProgress
none under way                                        the least state of those not completed
none left                                             waitingToBeScheduled
====================================================  ================================================================

Where the way of work does not lead from the request's state to that one, a request that is under way becomes scheduled,
and any other stays as it is.

Source: CIM enumeration WorkStatusKind for the literals; order of work and all other states: our rule.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from cimcare.errors import Finding, finding_of
from cimcare.model.enumerations import WorkStatusKind
from cimcare.model.nouns import NOUNS, Noun
from cimcare.model.verbs import EVENT_OF, Verb
from cimcare.rules.report import OUR_RULE

__all__ = [
    "NO_STATE",
    "UNDER_WAY",
    "WORK_NOUNS",
    "WORK_ORDER",
    "AgreementState",
    "IncidentState",
    "TicketState",
    "agreement_state",
    "check_transition",
    "initial_state",
    "is_begun",
    "is_ended",
    "is_ended_state",
    "next_state",
    "progress_of",
    "work_transition",
]

NO_STATE = ""
"""State of an object that does not exist: before its create, after its delete."""


class TicketState(StrEnum):
    """States of a trouble ticket."""

    OPEN = "open"
    RESOLVED = "resolved"
    CANCELLED = "cancelled"


class IncidentState(StrEnum):
    """States of an incident."""

    OPEN = "open"
    CLOSED = "closed"
    CANCELLED = "cancelled"


class AgreementState(StrEnum):
    """States of a customer agreement."""

    PROPOSED = "proposed"
    ACTIVE = "active"
    ENDED = "ended"
    CANCELLED = "cancelled"


WORK_ORDER: tuple[WorkStatusKind, ...] = (
    WorkStatusKind.waitingOnApproval,
    WorkStatusKind.approved,
    WorkStatusKind.waitingToBeScheduled,
    WorkStatusKind.scheduled,
    WorkStatusKind.waitingOnMaterial,
    WorkStatusKind.dispatched,
    WorkStatusKind.enroute,
    WorkStatusKind.onSite,
    WorkStatusKind.inProgress,
    WorkStatusKind.completed,
    WorkStatusKind.closed,
)
"""The way of work that is not cancelled."""

WORK_NOUNS = frozenset({Noun.SERVICE_REQUESTS, Noun.SERVICE_ORDERS, Noun.WORK_REQUESTS})
"""Nouns whose objects are work."""

_RANK = {status: rank for rank, status in enumerate(WORK_ORDER)}
UNDER_WAY = frozenset(
    {WorkStatusKind.dispatched, WorkStatusKind.enroute, WorkStatusKind.onSite, WorkStatusKind.inProgress}
)
"""States of work that a crew has in hand."""

_RESCHEDULED_FROM = UNDER_WAY | {WorkStatusKind.scheduled, WorkStatusKind.waitingOnMaterial}
_RESCHEDULED_TO = frozenset({WorkStatusKind.waitingToBeScheduled, WorkStatusKind.scheduled})

_INITIAL: dict[Noun, str] = {
    Noun.TROUBLE_TICKETS: TicketState.OPEN,
    Noun.INCIDENTS: IncidentState.OPEN,
    Noun.CUSTOMER_AGREEMENTS: AgreementState.ACTIVE,
    **dict.fromkeys(WORK_NOUNS, WorkStatusKind.waitingOnApproval),
}

# What cancel and close make of an object, by noun and state. What is not listed is not allowed.
_MOVES: dict[Noun, dict[tuple[str, Verb], str]] = {
    Noun.TROUBLE_TICKETS: {
        (TicketState.OPEN, Verb.CANCEL): TicketState.CANCELLED,
        (TicketState.OPEN, Verb.CLOSE): TicketState.RESOLVED,
    },
    Noun.INCIDENTS: {
        (IncidentState.OPEN, Verb.CANCEL): IncidentState.CANCELLED,
        (IncidentState.OPEN, Verb.CLOSE): IncidentState.CLOSED,
    },
    Noun.CUSTOMER_AGREEMENTS: {
        (AgreementState.PROPOSED, Verb.CANCEL): AgreementState.CANCELLED,
        (AgreementState.ACTIVE, Verb.CANCEL): AgreementState.CANCELLED,
        (AgreementState.ACTIVE, Verb.CLOSE): AgreementState.ENDED,
    },
}
for _noun in WORK_NOUNS:
    _MOVES[_noun] = {
        **{(each, Verb.CANCEL): WorkStatusKind.cancelled for each in WORK_ORDER[: _RANK[WorkStatusKind.onSite]]},
        **{(each, Verb.CLOSE): WorkStatusKind.closed for each in WORK_ORDER[:-1]},
    }

_ENDED: dict[Noun, frozenset[str]] = {
    Noun.TROUBLE_TICKETS: frozenset({TicketState.RESOLVED, TicketState.CANCELLED}),
    Noun.INCIDENTS: frozenset({IncidentState.CLOSED, IncidentState.CANCELLED}),
    Noun.CUSTOMER_AGREEMENTS: frozenset({AgreementState.ENDED, AgreementState.CANCELLED}),
    **dict.fromkeys(WORK_NOUNS, frozenset({WorkStatusKind.closed, WorkStatusKind.cancelled})),
}
_REQUEST_OF = {event: request for request, event in EVENT_OF.items()}
_CLAUSE = "WorkStatusKind" + OUR_RULE


def is_begun(status: WorkStatusKind) -> bool:
    """Whether a crew has begun: onSite, inProgress, completed, closed. Then a cancel comes too late."""
    return _RANK.get(status, -1) >= _RANK[WorkStatusKind.onSite]


def is_ended(status: WorkStatusKind) -> bool:
    """Whether nothing can happen to the work any more: closed or cancelled. Completed work has still to be closed."""
    return status in {WorkStatusKind.closed, WorkStatusKind.cancelled}


def is_ended_state(noun: Noun, state: str) -> bool:
    """Whether an object of this noun has ended, normally or not."""
    return state in _ENDED[noun]


def initial_state(noun: Noun) -> str:
    """State after a create. For an agreement that begins later see `agreement_state`."""
    return _INITIAL[noun]


def agreement_state(start: datetime | None, now: datetime) -> AgreementState:
    """State of an agreement that has neither ended nor been cancelled: proposed until its validity begins."""
    return AgreementState.PROPOSED if start is not None and start > now else AgreementState.ACTIVE


def work_transition(
    old: WorkStatusKind | None, new: WorkStatusKind, *, path: str = "", object_id: str | None = None
) -> Finding | None:
    """None if work may go from `old` to `new`, else what is wrong (LIF-102, or LIF-105 if it has ended).

    The table stands at the head of this module. From None, a status not known so far, everything is allowed.
    """
    if old is None or old is new:
        return None
    if is_ended(old):
        found = f"{new} after {old}"
        return finding_of("LIF-105", path, found, f"no other status: {old} is final", _CLAUSE, object_id=object_id)
    if _may_follow(old, new):
        return None
    accepted = ", ".join(each for each in WorkStatusKind if each is old or _may_follow(old, each))
    return finding_of("LIF-102", path, f"{new} after {old}", f"one of {accepted}", _CLAUSE, object_id=object_id)


def progress_of(old: WorkStatusKind | None, orders: Iterable[WorkStatusKind]) -> WorkStatusKind | None:
    """State of a request that is carried out by orders in these states. The table stands at the head of this module."""
    every = list(orders)
    live = [status for status in every if status is not WorkStatusKind.cancelled]
    to_do = sorted((status for status in live if not _is_done(status)), key=_RANK.__getitem__)
    if not every:
        return old
    if not live:
        wanted = WorkStatusKind.waitingToBeScheduled
    elif not to_do:
        wanted = WorkStatusKind.completed
    elif to_do[-1] not in UNDER_WAY:
        wanted = to_do[0]
    else:
        wanted = to_do[-1] if len(to_do) == len(live) else WorkStatusKind.inProgress
    if work_transition(old, wanted) is None:
        return wanted
    # A crew has left without being done while another is not yet as far: from here the way leads on by the schedule.
    return WorkStatusKind.scheduled if old in UNDER_WAY else old


def _is_done(status: WorkStatusKind) -> bool:
    return status in {WorkStatusKind.completed, WorkStatusKind.closed}


def _may_follow(old: WorkStatusKind, new: WorkStatusKind) -> bool:
    """Whether a status may follow another one that is not final."""
    if new is WorkStatusKind.cancelled:
        return _RANK[old] < _RANK[WorkStatusKind.completed]
    return _RANK[new] > _RANK[old] or (old in _RESCHEDULED_FROM and new in _RESCHEDULED_TO)


def next_state(noun: Noun, state: str, verb: Verb) -> str | None:
    """State of an object after a verb; None if its state does not allow it.

    `state` is `NO_STATE` for an object that does not exist, and that is also what a delete leads to. Event verbs count
    as their requests, but that the work management may report work as canceled until it is completed. A create, in the
    case of agreements, leads to the state of one that begins at once.
    """
    if verb is Verb.CANCELED and noun in WORK_NOUNS and state:
        status = WorkStatusKind(state)
        may_cancel = not is_ended(status) and _may_follow(status, WorkStatusKind.cancelled)
        return WorkStatusKind.cancelled if may_cancel else None
    verb = _REQUEST_OF.get(verb, verb)
    if verb is Verb.CREATE:
        return None if state else _INITIAL[noun]
    if verb in {Verb.EXECUTE, Verb.REPLY} or not state:
        return None
    if verb is Verb.GET:
        return state
    if verb is Verb.DELETE:
        return NO_STATE
    if verb is Verb.CHANGE:
        return None if state in _ENDED[noun] else state
    return _MOVES[noun].get((state, verb))


def check_transition(
    noun: Noun, state: str, verb: Verb, *, path: str = "", object_id: str | None = None
) -> Finding | None:
    """None if the state of an object allows the verb, else why not.

    REF-103 if it does not exist, LIF-103 if it does though it is to be created, LIF-104 if work has begun, LIF-105 if
    it has ended, LIF-101 otherwise. All but REF-103 leave with reply code 6.1.
    """
    if next_state(noun, state, verb) is not None:
        return None
    clause = NOUNS[noun].clause + OUR_RULE
    name = NOUNS[noun].item_name
    asked = _REQUEST_OF.get(verb, verb)
    if asked is Verb.CREATE:
        code, found, accepted = "LIF-103", f"{name} exists, in the state {state}", "an identity not yet used"
    elif not state:
        code, found, accepted = "REF-103", f"{name} is not known", "the identity of one that exists"
    elif is_ended_state(noun, state):
        code, found, accepted = "LIF-105", f"{verb} of a {name} that is {state}", f"a {name} that has not ended"
    elif noun in WORK_NOUNS and asked is Verb.CANCEL:
        limit = "before it is completed" if verb is Verb.CANCELED else "before the crew is on site"
        code, found, accepted = "LIF-104", f"{verb} of work that is {state}", f"{verb} {limit}"
    else:
        allowed = ", ".join(each for each in EVENT_OF if next_state(noun, state, each) is not None)
        code, found, accepted = "LIF-101", f"{verb} of a {name} that is {state}", f"one of {allowed}"
    return finding_of(code, path, found, accepted, clause, object_id=object_id)
