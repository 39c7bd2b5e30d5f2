"""States and the verbs that move them."""

from datetime import UTC, datetime, timedelta
from itertools import combinations

import pytest

from cimcare.errors import ERRORS
from cimcare.model.enumerations import WorkStatusKind
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.rules.lifecycle import (
    NO_STATE,
    WORK_NOUNS,
    WORK_ORDER,
    agreement_state,
    check_transition,
    initial_state,
    is_begun,
    is_ended,
    next_state,
    work_transition,
)

W = WorkStatusKind
NOON = datetime(2031, 2, 11, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(("old", "new"), list(combinations(WORK_ORDER, 2)))
def test_work_goes_forward_step_by_step_or_in_leaps(old: WorkStatusKind, new: WorkStatusKind) -> None:
    """Partners leave out what they do not track; that must not stop the story."""
    assert work_transition(old, new) is None


RESCHEDULED = {
    (old, new)
    for old in (W.scheduled, W.waitingOnMaterial, W.dispatched, W.enroute, W.onSite, W.inProgress)
    for new in (W.waitingToBeScheduled, W.scheduled)
}


@pytest.mark.parametrize(("new", "old"), list(combinations(WORK_ORDER, 2)))
def test_work_goes_back_only_when_it_is_scheduled_anew(old: WorkStatusKind, new: WorkStatusKind) -> None:
    """A late message with an old status must not undo what is known since."""
    finding = work_transition(old, new, path="/x", object_id="W-1")

    if (old, new) in RESCHEDULED:
        assert finding is None
    else:
        assert finding is not None
        assert finding.code == ("LIF-105" if old is W.closed else "LIF-102")
        assert (finding.path, finding.object_id) == ("/x", "W-1")
        assert finding.found == f"{new} after {old}"


@pytest.mark.parametrize("status", W)
def test_a_status_may_come_twice_and_follows_from_none(status: WorkStatusKind) -> None:
    """Messages are delivered at least once; the first one has no forerunner."""
    assert work_transition(status, status) is None
    assert work_transition(None, status) is None


@pytest.mark.parametrize("status", WORK_ORDER)
def test_work_is_cancelled_until_it_is_completed(status: WorkStatusKind) -> None:
    """What is done cannot be undone by a word."""
    finding = work_transition(status, W.cancelled)

    assert (finding is None) == (status not in {W.completed, W.closed})


def test_nothing_follows_a_cancelled_work() -> None:
    """The end is the end; a new wish is a new work."""
    for status in WORK_ORDER:
        finding = work_transition(W.cancelled, status)
        assert finding is not None
        assert finding.code == "LIF-105"


def test_what_has_begun_and_what_has_ended() -> None:
    """Two questions every handler asks."""
    assert [each for each in W if is_begun(each)] == [W.closed, W.completed, W.inProgress, W.onSite]
    assert [each for each in W if is_ended(each)] == [W.cancelled, W.closed]


MOVES = [
    (Noun.TROUBLE_TICKETS, "open", Verb.CLOSE, "resolved"),
    (Noun.TROUBLE_TICKETS, "open", Verb.CANCEL, "cancelled"),
    (Noun.TROUBLE_TICKETS, "open", Verb.CHANGE, "open"),
    (Noun.TROUBLE_TICKETS, "resolved", Verb.GET, "resolved"),
    (Noun.TROUBLE_TICKETS, "resolved", Verb.DELETE, NO_STATE),
    (Noun.INCIDENTS, "open", Verb.CLOSED, "closed"),
    (Noun.INCIDENTS, "open", Verb.CANCELED, "cancelled"),
    (Noun.CUSTOMER_AGREEMENTS, "proposed", Verb.CHANGE, "proposed"),
    (Noun.CUSTOMER_AGREEMENTS, "proposed", Verb.CANCEL, "cancelled"),
    (Noun.CUSTOMER_AGREEMENTS, "active", Verb.CLOSE, "ended"),
    (Noun.CUSTOMER_AGREEMENTS, "active", Verb.CANCEL, "cancelled"),
    (Noun.SERVICE_REQUESTS, "enroute", Verb.CANCEL, "cancelled"),
    (Noun.SERVICE_ORDERS, "inProgress", Verb.CANCELED, "cancelled"),
    (Noun.WORK_REQUESTS, "completed", Verb.CLOSE, "closed"),
]


@pytest.mark.parametrize(("noun", "state", "verb", "after"), MOVES)
def test_verbs_move_objects_along_their_table(noun: Noun, state: str, verb: Verb, after: str) -> None:
    """One table for the systems and for whoever follows their events."""
    assert next_state(noun, state, verb) == after
    assert check_transition(noun, state, verb) is None


REFUSALS = [
    (Noun.TROUBLE_TICKETS, "open", Verb.CREATE, "LIF-103"),
    (Noun.TROUBLE_TICKETS, NO_STATE, Verb.CHANGE, "REF-103"),
    (Noun.TROUBLE_TICKETS, "resolved", Verb.CLOSE, "LIF-105"),
    (Noun.TROUBLE_TICKETS, "cancelled", Verb.CHANGE, "LIF-105"),
    (Noun.INCIDENTS, "closed", Verb.CANCEL, "LIF-105"),
    (Noun.CUSTOMER_AGREEMENTS, "proposed", Verb.CLOSE, "LIF-101"),
    (Noun.CUSTOMER_AGREEMENTS, "ended", Verb.CANCEL, "LIF-105"),
    (Noun.SERVICE_REQUESTS, "onSite", Verb.CANCEL, "LIF-104"),
    (Noun.SERVICE_ORDERS, "inProgress", Verb.CANCEL, "LIF-104"),
    (Noun.WORK_REQUESTS, "completed", Verb.CANCEL, "LIF-104"),
    (Noun.WORK_REQUESTS, "completed", Verb.CANCELED, "LIF-104"),
    (Noun.SERVICE_ORDERS, "closed", Verb.CANCELED, "LIF-105"),
    (Noun.SERVICE_ORDERS, "cancelled", Verb.CLOSE, "LIF-105"),
]


@pytest.mark.parametrize(("noun", "state", "verb", "code"), REFUSALS)
def test_a_state_that_does_not_allow_a_verb_is_named_with_its_reason(
    noun: Noun, state: str, verb: Verb, code: str
) -> None:
    """The asking side learns whether it came too late, twice, or to the wrong object."""
    finding = check_transition(noun, state, verb, path="/RequestMessage", object_id="X-1")

    assert next_state(noun, state, verb) is None
    assert finding is not None
    assert finding.code == code
    assert (finding.path, finding.object_id) == ("/RequestMessage", "X-1")
    assert ERRORS[code].reply_code == ("2.15" if code == "REF-103" else "6.1")


def test_a_refusal_by_state_says_what_is_allowed() -> None:
    """`close` of a proposed agreement is a mistake for `cancel`: say so."""
    finding = check_transition(Noun.CUSTOMER_AGREEMENTS, "proposed", Verb.CLOSE)

    assert finding is not None
    assert finding.accepted == "one of change, cancel, delete"


@pytest.mark.parametrize("noun", Noun)
def test_a_create_leads_to_the_initial_state_and_a_delete_out_of_any(noun: Noun) -> None:
    """Life begins and ends the same way for all nouns."""
    state = next_state(noun, NO_STATE, Verb.CREATED)

    assert state == initial_state(noun)
    assert state is not None
    assert next_state(noun, state, Verb.DELETED) == NO_STATE
    assert next_state(noun, state, Verb.EXECUTE) is None


def test_work_begins_with_waiting_on_approval() -> None:
    """First of the literals in the order of a job."""
    assert {initial_state(noun) for noun in WORK_NOUNS} == {"waitingOnApproval"}


def test_an_agreement_is_proposed_until_its_validity_begins() -> None:
    """A contract signed for next month gives no supply today."""
    assert agreement_state(NOON + timedelta(days=1), NOON) == "proposed"
    assert agreement_state(NOON, NOON) == "active"
    assert agreement_state(None, NOON) == "active"
