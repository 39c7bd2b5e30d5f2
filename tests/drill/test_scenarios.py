"""The table of scenarios, each played before a hub of its own."""

from pathlib import Path

import pytest

from tests.drill.desk import open_desk, settings_of
from tests.drill.places import places_of
from tests.drill.play import Player
from tests.drill.scenario import Scenario, instant, load_scenarios
from tests.drill.world import World

SCENARIOS = load_scenarios()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
async def test_a_scenario_ends_as_a_good_utility_would_end_it(scenario: Scenario, tmp_path: Path) -> None:
    """Each is a mistake that some utility has made in front of its customers."""
    places = places_of(scenario.network)
    settings = settings_of(f"sqlite:///{tmp_path / 'hub.db'}", scenario.settings, seed_town=places.has_town)
    async with open_desk(settings, instant("00:00")) as desk:
        await places.prepare(desk)
        player = Player(scenario, desk, World(places.network), places)
        await player.play()
    assert player.wrong == []
