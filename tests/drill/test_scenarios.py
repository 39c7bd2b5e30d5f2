"""The table of scenarios, each played before a hub of its own."""

from pathlib import Path

import msgspec
import pytest

from tests.drill.desk import open_desk, settings_of
from tests.drill.places import Northlake, places_of
from tests.drill.play import Player
from tests.drill.scenario import Expected, ExpectedIncident, Scenario, Step, instant, load_scenarios
from tests.drill.world import World

SCENARIOS = load_scenarios()
PLAYS = [pytest.param(one, store, id=f"{one.name}-{store}") for one in SCENARIOS for store in one.stores]


@pytest.mark.parametrize(("scenario", "store"), PLAYS)
async def test_a_scenario_ends_as_a_good_utility_would_end_it(
    scenario: Scenario, store: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Each is a mistake that some utility has made in front of its customers."""
    places = places_of(scenario.network)
    database = f"sqlite:///{tmp_path / 'hub.db'}" if store == "sqlite" else request.getfixturevalue("postgres_url")
    async with open_desk(settings_of(database, seed_town=places.has_town), instant("00:00")) as desk:
        await places.prepare(desk)
        if scenario.rules is not None:
            await places.rule(desk, scenario.rules)
        player = Player(scenario, desk, World(places.network), places)
        await player.play()
    assert player.wrong == []
    assert player.untrue() == [] or scenario.lie


def test_the_table_is_wide_enough_and_no_scenario_is_there_twice() -> None:
    """Scenarios that go missing in a merge would not be missed."""
    assert len(SCENARIOS) >= 50
    assert len({one.name for one in SCENARIOS}) == len({one.title for one in SCENARIOS}) == len(SCENARIOS)
    assert sum("postgresql" in one.stores for one in SCENARIOS) >= 4


@pytest.mark.parametrize("slip", [{"tickes": []}, {"told": ["0"], "tld": []}])
def test_an_expectation_with_a_slip_of_the_pen_is_refused(slip: dict[str, object]) -> None:
    """Or it would be an expectation of nothing."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(slip, Expected)


async def test_a_scenario_that_does_not_hold_is_said_to_be_wrong(tmp_path: Path) -> None:
    """The drill must be able to fail, in words that help."""
    places = Northlake()
    wrong = ExpectedIncident(tickets=["t1"], device="F-112", customers=20)
    call = Step(
        at="09:00", calls={"t1": "7"}, hears=["good news"], expect=Expected(incidents=[wrong], told=["7 powerOut"])
    )
    scenario = Scenario(
        name="wrong",
        title="Wrong",
        why="To see it fail.",
        steps=[call, Step(at="10:00", refused="BUS-130", withdraws=["t1"])],
    )
    async with open_desk(settings_of(f"sqlite:///{tmp_path / 'hub.db'}"), instant("00:00")) as desk:
        player = Player(scenario, desk, World(places.network), places)
        await player.play()
    told = "\n".join(player.wrong)
    for words in (
        "good news",
        "device is , expected F-112",
        "customers is 1, expected 20",
        "7 powerOut",
        "BUS-130 should refuse",
    ):
        assert words in told
