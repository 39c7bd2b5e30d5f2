"""The command `record`: what a hub has exchanged becomes a scenario that gives nobody away and can be played."""

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner

from cimcare.cli import main
from cimcare.simulator.partner import SimulatedPartner
from cimcare.simulator.playing import Player
from cimcare.simulator.scenarios import Expectation, find_scenario, parse_scenario
from tests.support.hub import hub_process, local_hub

PLAYED = ("trouble-ticket", "service-order", "bad-sender")


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    result = CliRunner().invoke(main, ["record", *arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of a hub to which some scenarios were played."""
    folder = tmp_path_factory.mktemp("hub")
    with hub_process(folder) as hub:
        for name in PLAYED:
            played = ["simulate", "--scenario", name, "--to", f"{hub.address}/soap"]
            assert CliRunner().invoke(main, played).exit_code == 0
    return f"sqlite:///{folder / 'hub.db'}"


async def test_what_was_recorded_goes_the_same_way_again(database: str, tmp_path: Path) -> None:
    """At a hub that knows none of it, ten thousand times as fast, and once more with other identifiers."""
    file = tmp_path / "recorded.toml"
    code, out, err = await asyncio.to_thread(run, "--database", database, "--output", str(file))
    assert (code, out) == (0, "")
    assert "4 left out" in err
    scenario = find_scenario(str(file))
    assert scenario.steps[1].again == scenario.steps[0].name
    assert scenario.steps[1].expect == Expectation(same_as=scenario.steps[0].name)
    assert [step.expect.result for step in scenario.steps if step.expect][5] == "FAILED"
    ours = SimulatedPartner(name="CIS")
    await ours.start()
    async with local_hub(tmp_path) as running:
        for seed in ("", "2"):
            player = Player(f"{running.address}/messages", speed=10_000, seed=seed, ours=ours)
            assert await player.play(scenario) == len(scenario.steps)
    await ours.stop()


def test_events_have_to_arrive_where_that_is_wanted(database: str) -> None:
    """A partner that plays its part hears of what it did."""
    code, text, _ = run("--database", database, "--events", "--limit", "4")
    assert code == 0
    arrivals = [step.arrives for step in parse_scenario(text).steps if step.arrives]
    assert [(each.verb, each.noun) for each in arrivals][:1] == [("created", "TroubleTickets")]


def test_one_key_replaces_alike(database: str, tmp_path: Path) -> None:
    """So that two recordings of one hub speak of the same people; without it nobody can tell."""
    key = tmp_path / "key"
    key.write_bytes(b"0123456789abcdef")
    same = [run("--database", database, "--key-file", str(key))[1] for _ in range(2)]
    assert same[0] == same[1] != run("--database", database)[1]


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["--limit", "2"], 2),
        (["--partner", "CIS"], 12),
        (["--until", "2020-01-01T00:00:00Z"], 0),
        (["--since", "2020-01-01T00:00:00Z"], 12),
        (["--correlation", "nothing"], 0),
    ],
)
def test_one_chooses_what_is_recorded(database: str, arguments: list[str], count: int) -> None:
    """By time, partner, conversation and number."""
    code, text, err = run("--database", database, *arguments)
    if count:
        assert (code, len(parse_scenario(text).steps)) == (0, count)
    else:
        assert (code, text) == (1, "")
        assert "no message fits" in err


def test_wrong_use_is_told(database: str, tmp_path: Path) -> None:
    """Exit code 2, and no file."""
    key = tmp_path / "key"
    key.write_bytes(b"short")
    for more, told in (
        (["--key-file", str(key)], "too short"),
        (["--output", str(tmp_path / "no" / "where")], "cannot be written"),
        (["--keep", "TroubleTicket.colour"], "TroubleTicket.colour"),
    ):
        code, out, err = run("--database", database, *more)
        assert (code, out) == (2, "")
        assert told in err
