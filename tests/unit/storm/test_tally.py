"""Counting: percentiles that are right, and estimates that change."""

import random

import pytest

from cimcare.storm.judging import Outcome
from cimcare.storm.plan import Item
from cimcare.storm.tally import Group, Histogram, Tally
from tests.unit.storm.profiles import a_plan


@pytest.mark.parametrize("percent", [50, 90, 99, 99.9])
def test_percentiles_are_right_to_a_few_percent(percent: float) -> None:
    """From microseconds to minutes, without keeping every latency."""
    draw = random.Random(1)
    values = [10 ** draw.uniform(-5, 2) for _ in range(20_000)]
    times = Histogram()
    for value in values:
        times.add(value)
    exact = sorted(values)[min(int(len(values) * percent / 100), len(values) - 1)]

    assert exact * 0.98 < times.percentile(percent) < exact * 1.05
    assert times.most == max(values)


def test_of_nothing_there_is_no_percentile() -> None:
    """A minute without messages has none."""
    assert Histogram().percentile(99) == 0.0


def test_histograms_add_up() -> None:
    """Minutes make a storm."""
    first, second, both = Histogram(), Histogram(), Histogram()
    for number in range(1, 200):
        (first if number % 2 else second).add(number / 1000)
        both.add(number / 1000)
    first.join(second)

    assert [first.percentile(p) for p in (10, 50, 99)] == [both.percentile(p) for p in (10, 50, 99)]
    assert (first.count, first.most) == (both.count, both.most)


def test_a_time_that_is_told_otherwise_is_churn() -> None:
    """The first one is none, nor is the same once more."""
    plan = a_plan()
    question = plan.kinds.index(Item.ASK_INCIDENT)
    tally = Tally(plan)
    for estimate in (b"10:00", b"10:00", b"11:00", b"10:00"):
        tally.tell_estimate(question, estimate)

    assert (sum(tally.estimates_told), sum(tally.estimates_changed)) == (4, 2)


def test_a_hazard_that_is_refused_or_late_counts_against_it() -> None:
    """Acknowledged within the time means both."""
    plan = a_plan(hazards={"share": 1.0})
    hazards = [number for number, kind in enumerate(plan.kinds) if kind == Item.TICKET]
    tally = Tally(plan)
    tally.settle(hazards[0], Outcome.OK, 0.5, "", allowed=1.0)
    tally.settle(hazards[1], Outcome.OK, 1.5, "", allowed=1.0)
    tally.settle(hazards[2], Outcome.BUSY, 0.1, "5.1", allowed=1.0)

    assert tally.hazards_late == 2
    assert tally.total(Outcome.OK, groups=(Group.HAZARD,)) == 2
    assert bytes(tally.accepted).count(1) == 2


def test_what_got_no_answer_is_in_doubt_unless_it_was_never_sent() -> None:
    """It may be there, or not; the proof looks for it without holding it against anybody."""
    plan = a_plan()
    first, second = [number for number, kind in enumerate(plan.kinds) if kind == Item.TICKET][:2]
    tally = Tally(plan)
    tally.settle(first, Outcome.TIMEOUT, 30, "", allowed=1.0)
    tally.settle(second, Outcome.UNSENT, 30, "", allowed=1.0)

    assert tally.accepted[plan.subjects[first]] == 2
    assert tally.accepted[plan.subjects[second]] == 0
