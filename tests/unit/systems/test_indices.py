"""Reliability indices against figures that were worked out by hand."""

import math
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from cimcare.systems.oms.indices import (
    Interruption,
    daily_saidi,
    indices_of,
    interruptions_of,
    major_days,
    threshold_of,
)
from cimcare.systems.oms.interruptions import Interval

MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)


def out(customers: int, start: float, minutes: float) -> Interruption:
    """So many customers out from an hour of 2 March on, for so many minutes."""
    begin = MIDNIGHT + timedelta(hours=start)
    return Interruption(customers, begin, begin + timedelta(minutes=minutes))


def test_indices_of_a_day_worked_out_by_hand() -> None:
    """1,000 customers served; 200 out for 90 min, 50 for 30 min, 300 for 4 min.

    Customer-minutes of the sustained ones: 200 x 90 + 50 x 30 = 19,500. SAIDI 19,500 / 1,000 = 19.5 min; SAIFI
    250 / 1,000 = 0.25; CAIDI 19,500 / 250 = 78 min; MAIFI 300 / 1,000 = 0.3.
    """
    found = indices_of([out(200, 9, 90), out(50, 12, 30), out(300, 15, 4)], customers=1000)
    assert (found.saidi, found.saifi, found.caidi, found.maifi) == (19.5, 0.25, 78.0, 0.3)
    assert (found.interruptions, found.momentary, found.customer_minutes) == (250, 300, 19_500)
    assert found.caidi == pytest.approx(found.saidi / found.saifi)


def test_five_minutes_are_momentary_and_a_second_more_is_sustained() -> None:
    """The limit belongs to the momentary ones."""
    assert indices_of([out(1, 9, 5)], customers=1).maifi == 1
    longer = indices_of([out(1, 9, 5 + 1 / 60)], customers=1)
    assert (longer.maifi, longer.saifi) == (0, 1)
    assert longer.saidi == pytest.approx(5 + 1 / 60)


def test_without_interruptions_there_is_no_mean_duration() -> None:
    """Zero divided by zero is not zero minutes."""
    found = indices_of([], customers=10)
    assert (found.saidi, found.saifi, found.maifi, found.caidi) == (0, 0, 0, None)


def test_indices_relate_to_customers() -> None:
    """Without anybody served there is nothing to say."""
    with pytest.raises(ValueError, match="at least one"):
        indices_of([], customers=0)


def test_an_interruption_across_midnight_belongs_to_the_day_on_which_it_began() -> None:
    """With all its minutes; and the day is that of the utility, not of Greenwich."""
    late = out(10, 23, 180)
    assert daily_saidi([late], customers=10) == {date(2026, 3, 2): 180}
    assert daily_saidi([late], customers=10, zone=ZoneInfo("Asia/Tokyo")) == {date(2026, 3, 3): 180}
    assert daily_saidi([out(10, 12, 4)], customers=10) == {}


def test_the_threshold_of_major_event_days_worked_out_by_hand() -> None:
    """Daily SAIDI of 1, e and e^2 minutes: the logarithms are 0, 1, 2.

    Mean 1; standard deviation of the sample the root of ((-1)^2 + 0 + 1^2) / 2 = 1; T_MED = e^(1 + 2.5) = 33.1155.
    """
    threshold = threshold_of([1.0, math.e, math.e**2])
    assert threshold.days == 3
    assert threshold.alpha == pytest.approx(1)
    assert threshold.beta == pytest.approx(1)
    assert threshold.minutes == pytest.approx(33.11545, abs=1e-5)


def test_days_without_interruption_are_left_out_of_the_threshold() -> None:
    """Zero has no logarithm."""
    assert threshold_of([0.0, 1.0, 0.0, math.e, math.e**2]) == threshold_of([1.0, math.e, math.e**2])
    assert threshold_of([0.0, 3.0]).minutes is None
    assert major_days({date(2026, 3, 2): 1e9}, threshold_of([])) == frozenset()


def test_a_major_event_day_is_above_the_threshold_and_can_be_left_out() -> None:
    """What a hurricane does to a year is told apart, and not hidden."""
    threshold = threshold_of([1.0, math.e, math.e**2])
    storm, calm = out(100, 9, 40), out(100, 24 + 9, 33)
    days = daily_saidi([storm, calm], customers=100)
    major = major_days(days, threshold)
    assert major == {date(2026, 3, 2)}
    assert indices_of([storm, calm], customers=100).saidi == 73
    assert indices_of([storm, calm], customers=100, without=major).saidi == 33


def test_overlapping_outages_of_a_point_are_one_interruption() -> None:
    """SAIFI counts a customer once, though feeder and transformer were out at the same time."""
    points = {
        "p": (
            Interval(MIDNIGHT, MIDNIGHT + timedelta(minutes=50)),
            Interval(MIDNIGHT + timedelta(minutes=10), MIDNIGHT + timedelta(minutes=60)),
        ),
        "q": (Interval(MIDNIGHT, None),),
    }
    found = interruptions_of(points, {"p": 3}, until=MIDNIGHT + timedelta(minutes=100))
    assert sorted(found) == [
        Interruption(1, MIDNIGHT, MIDNIGHT + timedelta(minutes=100)),
        Interruption(3, MIDNIGHT, MIDNIGHT + timedelta(minutes=60)),
    ]
