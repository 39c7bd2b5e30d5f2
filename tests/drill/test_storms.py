"""Random storms: whatever happens in whatever order, what the hub tells and counts holds against the world."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.drill.beliefs import believed, count
from tests.drill.desk import Desk, open_desk, settings_of
from tests.drill.places import Northlake
from tests.drill.scenario import instant
from tests.drill.storms import ALL_KINDS, KINDS, Move, Storm
from tests.drill.world import World

PLACES = Northlake()
MOVE = st.builds(Move, st.sampled_from(ALL_KINDS), st.integers(0, 999), st.integers(1, 40))


async def check(storm: Storm, desk: Desk) -> None:
    """What holds at the end of every storm."""
    assert storm.untrue() == []
    assert storm.twice() == []
    tickets, incidents = await desk.tickets(), await desk.incidents()
    assert sorted(tickets) == sorted(storm.calls), "a call was lost, or made twice"
    assert {ticket.status.value for ticket in tickets.values() if ticket.status} <= {"resolved", "cancelled"}
    out = believed(
        storm.wires,
        PLACES,
        incidents,
        tickets,
        await desk.events(),
        storm.meters,
        counted=storm.counted,
        until=desk.now,
    )
    customers = {point.name: point.customers for point in PLACES.network.points}
    reliability = await PLACES.reliability(desk, desk.now)
    for is_planned, found in ((False, reliability.unplanned), (True, reliability.planned)):
        expected = count(out[is_planned], customers)
        assert (round(found.customer_minutes), found.interruptions, found.momentary) == expected


@settings(max_examples=settings.default.max_examples // 3)
@given(moves=st.lists(MOVE, min_size=40, max_size=60))
async def test_any_storm_ends_without_a_lie_of_the_utility_and_each_minute_counts_once(moves: list[Move]) -> None:
    """What no scenario of the table has thought of."""
    async with open_desk(settings_of("memory:"), instant("06:00")) as desk:
        storm = Storm(desk, World(PLACES.network), PLACES)
        storm.world.fail("F-112", at=desk.now)
        for move in moves:
            await storm.happen(move)
        await storm.end()
        await check(storm, desk)


@pytest.mark.parametrize(
    ("seed", "length"),
    [(7, 40), (26, 80), (37, 80), (41, 40), (96, 40), (130, 35), (138, 40), (150, 35), (151, 30)],
)
async def test_words_about_single_houses_outlive_mergers_and_second_calls(seed: int, length: int) -> None:
    """Storms in which houses were counted as out for longer than anybody had said."""
    chance = random.Random(seed)
    async with open_desk(settings_of("memory:"), instant("06:00")) as desk:
        storm = Storm(desk, World(PLACES.network), PLACES)
        storm.world.fail("F-112", at=desk.now)
        moves = [
            Move(chance.choice(KINDS), chance.randrange(1000), chance.choice([1, 2, 3, 5, 10, 20, 40]))
            for _ in range(length)
        ]
        for move in moves:
            await storm.happen(move)
        await storm.end()
        await check(storm, desk)


@pytest.mark.parametrize(
    ("seed", "length"),
    [(0, 20), (6, 20), (23, 20), (24, 20), (26, 20), (25, 80)],
)
async def test_what_meters_and_crews_say_in_between_is_counted_as_it_was(seed: int, length: int) -> None:
    """Storms in which a house lost supply once more, or nothing but its meter told of it, and minutes were missing."""
    chance = random.Random(seed)
    async with open_desk(settings_of("memory:"), instant("06:00")) as desk:
        storm = Storm(desk, World(PLACES.network), PLACES)
        storm.world.fail("F-112", at=desk.now)
        for _ in range(length):
            minutes = chance.choice([1, 2, 3, 5, 10, 20, 40])
            await storm.happen(Move(chance.choice(ALL_KINDS), chance.randrange(1000), minutes))
        await storm.end()
        await check(storm, desk)


@settings(max_examples=settings.default.max_examples // 10)
@given(moves=st.lists(MOVE, min_size=5, max_size=40), every=st.integers(2, 6))
async def test_a_hub_that_is_begun_anew_amid_the_storm_does_not_lose_the_thread(
    tmp_path_factory: pytest.TempPathFactory, moves: list[Move], every: int
) -> None:
    """Storms are when power fails in the control room too. All that counts is on disk."""
    database = f"sqlite:///{tmp_path_factory.mktemp('storm') / 'hub.db'}"
    world, at = World(PLACES.network), instant("06:00")
    world.fail("F-112", at=at)
    before: Storm | None = None
    pieces = [moves[start : start + every] for start in range(0, len(moves), every)]
    for number, piece in enumerate(pieces):
        async with open_desk(settings_of(database), at, life=number) as desk:
            storm = Storm(desk, world, PLACES)
            storm.go_on(before)
            before = storm
            for move in piece:
                await storm.happen(move)
            if number == len(pieces) - 1:
                await storm.end()
                await check(storm, desk)
            at = desk.now
