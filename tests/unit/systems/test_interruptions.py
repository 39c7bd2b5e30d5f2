"""Interruptions are unions of intervals: whatever happens to a point, no minute of it counts twice."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from cimcare.systems.oms.interruptions import (
    Change,
    Interval,
    Occurrence,
    clip,
    duration_of,
    intervals_of,
    points_out,
    union,
)

NINE = datetime(2026, 3, 2, 9, tzinfo=UTC)
HORIZON = 60
"""Minutes of a history."""


def minute(number: int) -> datetime:
    return NINE + timedelta(minutes=number)


def step(at: int, change: Change, points: str, outage: str = "A") -> Occurrence:
    return Occurrence(at=minute(at), outage=outage, change=change, points=frozenset(points))


def minutes_of(history: list[Occurrence], until: int = HORIZON) -> dict[str, int]:
    found = intervals_of(history)
    return {point: duration_of(own, minute(until)) // timedelta(minutes=1) for point, own in found.items()}


def count_by_minute(history: list[Occurrence]) -> dict[str, int]:
    """The count that nobody can get wrong: each minute, each point, is any outage on it in the end?

    A restoration is struck out if the next thing that is said of the same outage and point is that it is still out.
    """
    total: dict[str, int] = {}
    for point in {point for one in history for point in one.points}:
        dark: set[int] = set()
        for outage in {one.outage for one in history}:
            own = [one for one in history if one.outage == outage and point in one.points]
            while True:
                effective = [one for one in own if one.change is not Change.STILL_OUT]
                state: str | None = None
                struck = None
                kept: list[Occurrence] = []
                for one in own:
                    if one.change is Change.STILL_OUT:
                        if state == "restored":
                            struck = (kept[-1], one)
                            break
                    elif (one.change is Change.OUT) != (state == "out") and not (
                        one.change is Change.RESTORED and state is None
                    ):
                        kept.append(one)
                        state = "out" if one.change is Change.OUT else "restored"
                if struck is None:
                    break
                own = [one for one in own if one is not struck[0] and one is not struck[1]]
            for at in range(HORIZON):
                out = False
                for one in effective:
                    if one.at > minute(at):
                        break
                    out = one.change is Change.OUT
                if out:
                    dark.add(at)
        if dark:
            total[point] = len(dark)
    return total


occurrences = st.builds(
    step,
    at=st.integers(0, HORIZON - 1),
    change=st.sampled_from(Change),
    points=st.text("pqr", min_size=1, max_size=3),
    outage=st.sampled_from("AB"),
)


@given(st.lists(occurrences, max_size=14).map(lambda found: sorted(found, key=lambda one: one.at)))
@example([step(0, Change.OUT, "p"), step(5, Change.RESTORED, "p"), step(9, Change.STILL_OUT, "p")])
@example([step(0, Change.OUT, "p", "A"), step(3, Change.OUT, "p", "B"), step(9, Change.RESTORED, "p", "A")])
def test_customer_minutes_are_those_of_a_count_minute_by_minute(history: list[Occurrence]) -> None:
    """On any history: overlapping and nested outages, steps, repeats, restorations that were not true."""
    assert minutes_of(history) == count_by_minute(history)


@given(st.lists(st.tuples(st.integers(0, 50), st.none() | st.integers(0, 60)), max_size=12))
def test_a_union_covers_the_same_minutes_and_no_interval_twice(pairs: list[tuple[int, int | None]]) -> None:
    """The sum over the union is the time without supply, however the intervals lie."""
    given = [Interval(minute(start), None if end is None else minute(end)) for start, end in pairs]
    joined = union(given)
    covered = {
        at
        for at in range(HORIZON)
        for one in given
        if one.start <= minute(at) and (one.end is None or minute(at) < one.end)
    }
    assert covered == {at for at in range(HORIZON) if points_out({"p": joined}, minute(at))}
    for one, after in pairwise(joined):
        assert one.end is not None
        assert one.end < after.start
    assert duration_of(given, minute(HORIZON)) == timedelta(minutes=len(covered))


def test_nested_outages_count_once() -> None:
    """A transformer that fails below a feeder that is out already: its customers are out once."""
    history = [
        step(0, Change.OUT, "pqr", "feeder"),
        step(10, Change.OUT, "p", "transformer"),
        step(20, Change.RESTORED, "pqr", "feeder"),
        step(50, Change.RESTORED, "p", "transformer"),
    ]
    assert minutes_of(history) == {"p": 50, "q": 20, "r": 20}


def test_steps_of_a_restoration_end_each_point_when_it_is_back() -> None:
    """Half of the feeder is back by switching, the rest after the repair."""
    history = [
        step(0, Change.OUT, "pqr"),
        step(15, Change.RESTORED, "pq"),
        step(40, Change.RESTORED, "pqr"),
    ]
    assert minutes_of(history) == {"p": 15, "q": 15, "r": 40}


def test_still_out_goes_on_from_the_true_beginning() -> None:
    """A restoration that was not true ended nothing."""
    history = [step(0, Change.OUT, "pq"), step(15, Change.RESTORED, "pq"), step(30, Change.STILL_OUT, "p")]
    assert minutes_of(history) == {"p": HORIZON, "q": 15}
    assert intervals_of(history)["p"] == (Interval(minute(0), None),)


def test_what_is_not_over_ends_where_one_looks() -> None:
    """An outage that goes on has customer-minutes already."""
    assert clip(Interval(minute(0), None), minute(7)) == Interval(minute(0), minute(7))
    assert clip(Interval(minute(0), minute(9)), minute(7)) == Interval(minute(0), minute(7))
    assert duration_of([Interval(minute(9), None)], minute(7)) == timedelta()


def test_the_instant_of_restoration_is_with_supply() -> None:
    """Half open intervals: two outages that follow each other at once are one interruption."""
    own = (Interval(minute(0), minute(5)), Interval(minute(5), minute(9)))
    assert union(own) == (Interval(minute(0), minute(9)),)
    assert points_out({"p": own[:1]}, minute(5)) == frozenset()
