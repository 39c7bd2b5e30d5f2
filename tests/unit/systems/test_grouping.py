"""Grouping of calls into incidents: which device is suspected, and that nothing but the calls decides."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cimcare.systems.oms import incidents
from cimcare.systems.oms.judgement import DEFAULT_RULES
from tests.unit.systems.grouping import (
    Bench,
    call,
    cancel,
    expected_groups,
    groups,
    install,
    network,
    until_quiet,
)
from tests.unit.systems.utility import Utility

TREE = {
    "S": None,
    "F1": "S",
    "F2": "S",
    "F3": "S",
    "T1": "F1",
    "T2": "F1",
    "T3": "F1",
    "T4": "F2",
    "T5": "F2",
    "T6": "F3",
    "T7": "F3",
}
POINTS = {f"p{number}": f"T{1 + number // 4}" for number in range(28)}
BENCH = network(TREE, POINTS)

Calls = list[tuple[str, str, float]]


@st.composite
def benches(draw: st.DrawFn) -> Bench:
    """Any tree of devices, with points anywhere."""
    names = [f"d{number}" for number in range(draw(st.integers(1, 9)))]
    tree: dict[str, str | None] = {names[0]: None}
    for at, name in enumerate(names[1:], 1):
        tree[name] = names[draw(st.integers(0, at - 1))]
    count = draw(st.integers(1, 24))
    points = {f"p{number}": draw(st.sampled_from(names)) for number in range(count)}
    return network(tree, points)


@st.composite
def histories(draw: st.DrawFn) -> tuple[Bench, Calls, list[int], set[str]]:
    """A network, calls with repeats among them, an order of arrival, and the tickets that are cancelled."""
    bench = draw(benches() | st.just(BENCH))
    points = sorted(bench.points)
    minutes = st.integers(0, 60) | st.integers(0, 600)
    calls = [
        (f"t{number}", draw(st.sampled_from(points)), float(draw(minutes)))
        for number in range(draw(st.integers(1, 40)))
    ]
    order = draw(st.permutations(range(len(calls))))
    cancelled = draw(st.sets(st.sampled_from([ticket for ticket, _, _ in calls]), max_size=12))
    return bench, calls, order, cancelled


@settings(max_examples=150, deadline=None)
@given(histories(), st.sampled_from((1, 7, 1000)), st.booleans())
async def test_no_order_of_arrival_changes_what_the_calls_make(
    history: tuple[Bench, Calls, list[int], set[str]], most_moved: int, cancels_at_once: bool
) -> None:
    """Messages overtake each other in every storm; two control rooms must not see two different storms."""
    bench, calls, order, cancelled = history
    utility = Utility()
    await install(utility, bench)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(incidents, "_MOST_MOVED", most_moved)
        for at in order:
            await call(utility, calls[at])
            if cancels_at_once and calls[at][0] in cancelled:
                await cancel(utility, (calls[at][0],))
        if not cancels_at_once:
            await cancel(utility, sorted(cancelled))
        await until_quiet(utility)
    left = [one for one in calls if one[0] not in cancelled]
    assert await groups(utility) == expected_groups(bench, left, DEFAULT_RULES)
