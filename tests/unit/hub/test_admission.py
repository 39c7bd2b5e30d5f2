"""Who is let in when too many come at once."""

import pytest

from cimcare.exchange.outbox import Priority
from cimcare.hub.admission import Admission


class Time:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def an_admission(time: Time, *, limit: int = 2, reserve: int = 1, wait_seconds: float = 10.0) -> Admission:
    return Admission(limit=limit, reserve=reserve, wait_seconds=wait_seconds, now=time)


def test_the_bound_holds_for_ordinary_messages() -> None:
    """A queue without a bound is a collapse that has not happened yet."""
    admission = an_admission(Time())
    for _ in range(2):
        assert admission.may_enter(b"<RequestMessage/>")
        admission.enter()
    assert not admission.may_enter(b"<RequestMessage/>")
    admission.leave()
    assert admission.may_enter(b"<RequestMessage/>")


def test_what_looks_urgent_has_places_of_its_own_and_has_to_be_urgent() -> None:
    """A wire down must get through when every line is busy; a message that only mentions one must not."""
    admission = an_admission(Time())
    admission.enter()
    admission.enter()
    assert admission.may_enter(b"<Hazards><type>wire down</type></Hazards>")
    admission.enter()
    assert admission.may_stay(Priority.HAZARD)
    assert admission.may_stay(Priority.LIFE_SUPPORT)
    assert not admission.may_stay(Priority.NORMAL)
    assert not admission.may_enter(b"<Hazards/>"), "the reserve is used up"


def test_a_message_within_the_bound_may_stay_whatever_it_is() -> None:
    """It does not compete with itself for the last place."""
    admission = an_admission(Time(), limit=1)
    admission.enter()
    assert admission.may_stay(Priority.NORMAL)


def test_nobody_is_let_in_to_wait_for_too_long() -> None:
    """An answer that comes after the caller has hung up is no answer."""
    time = Time()
    admission = an_admission(time, limit=1000, wait_seconds=10.0)
    for _ in range(100):
        admission.enter()
    for _ in range(90):
        time.seconds += 2.0
        admission.leave()
    assert not admission.may_enter(b"")
    for _ in range(9):
        time.seconds += 2.0
        admission.leave()
    assert admission.may_enter(b"")


def test_idle_time_does_not_count_as_slowness() -> None:
    """The first call after a quiet night is not refused."""
    time = Time()
    admission = an_admission(time, limit=1000, wait_seconds=1.0)
    for _ in range(100):
        time.seconds += 3600
        admission.enter()
        time.seconds += 0.01
        admission.leave()
    for _ in range(50):
        assert admission.may_enter(b"")
        admission.enter()


@pytest.mark.parametrize("times", [1, 5])
def test_who_waits_for_a_partner_takes_no_place(times: int) -> None:
    """A dead outage system must not keep the others' messages out (G11)."""
    admission = an_admission(Time())
    for _ in range(times):
        admission.enter()
        admission.suspend()
    assert admission.in_work == 0
    assert admission.may_enter(b"")
    admission.resume()
    assert admission.in_work == 1
