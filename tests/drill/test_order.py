"""The order in which calls arrive does not change what becomes of them.

Call centres enter calls late, messages wait for a partner that was away, meters report when the radio lets them.
"""

import random
from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.drill.desk import Desk, open_desk, settings_of
from tests.drill.places import Northlake
from tests.drill.play import device_of, state_of
from tests.drill.scenario import instant

PLACES = Northlake()
NOON = instant("12:00")

Calls = list[tuple[str, int, datetime]]
"""Name of the ticket, premises, instant of the report."""


@st.composite
def bursts(draw: st.DrawFn) -> Calls:
    """Calls of a few faults, each with its share of callers within some minutes, and single calls between them."""
    calls: set[tuple[int, int]] = set()
    for _ in range(draw(st.integers(1, 4))):
        first, count = draw(st.sampled_from([(0, 5), (10, 5), (20, 20), (40, 60), (60, 20), (100, 100), (120, 20)]))
        callers = draw(st.integers(1, min(count, 12)))
        began = draw(st.integers(0, 500))
        for place in draw(st.permutations(range(first, first + count)))[:callers]:
            calls.add((place, began + draw(st.integers(0, 15))))
    lone = draw(st.lists(st.tuples(st.integers(0, 199), st.integers(0, 600)), max_size=4))
    ordered = sorted(calls | set(lone))
    return [(f"t{number}", place, NOON - timedelta(minutes=ago)) for number, (place, ago) in enumerate(ordered)]


async def outcome(desk: Desk) -> set[tuple[frozenset[str], str, str, datetime | None, int | None]]:
    """Incidents that are open: their tickets, device and its kind, begin and extent."""
    tickets = await desk.tickets()
    found = set()
    for one in await desk.incidents():
        if state_of(one) != "open":
            continue
        labels = frozenset(
            label for label, ticket in tickets.items() if ticket.incident and ticket.incident.mrid == one.mrid
        )
        outage = one.outage
        assert outage is not None
        began = outage.estimated_period.start if outage.estimated_period else None
        count = outage.summary.total_count if outage.summary else None
        found.add((labels, device_of(one), one.location.type or "" if one.location else "", began, count))
    return found


async def played(calls: Calls) -> set[tuple[frozenset[str], str, str, datetime | None, int | None]]:
    """What becomes of calls that arrive in this order."""
    async with open_desk(settings_of("memory:"), NOON) as desk:
        for label, place, at in calls:
            reply = await desk.call_in(label, PLACES.location(str(place)), reported_at=at)
            assert reply.reply.result == "OK", reply.reply.error
        await desk.tick()
        return await outcome(desk)


@settings(max_examples=settings.default.max_examples // 5)
@given(calls=bursts(), seed=st.integers(0, 1000))
async def test_the_same_calls_in_any_order_make_the_same_incidents(calls: Calls, seed: int) -> None:
    """Or two control rooms with the same storm would send their crews to different places."""
    shuffled = list(calls)
    random.Random(seed).shuffle(shuffled)
    first = await played(sorted(calls, key=lambda call: call[2]))
    assert await played(shuffled) == first
    assert {label for labels, *_ in first for label in labels} == {label for label, *_ in calls}
