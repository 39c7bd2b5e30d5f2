"""Thousands of histories of a hub, its store, its network and everybody around it: every promise is kept in each.

The long form is `make simulate`. A seed that fails is run again by `python -m tests.simulation --seed N --trace`.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.__main__ import main
from tests.simulation.durable import SqliteDurable
from tests.simulation.faults import FAULTS, Fault
from tests.simulation.world import simulate

ROOT = Path(__file__).resolve().parents[2]
TOGETHER = 50
BLOCKS = 40


@pytest.mark.no_cover
@pytest.mark.parametrize("block", range(BLOCKS))
def test_every_promise_is_kept_in_every_history(block: int) -> None:
    """G1 to G7, G9 and G10, whatever is killed, lost, slow, busy, out of order or configured anew meanwhile."""
    for seed in range(block * TOGETHER + 1, (block + 1) * TOGETHER + 1):
        run = simulate(seed)
        assert not run.violations, "\n".join(run.describe())


@pytest.mark.no_cover
@pytest.mark.parametrize("seed", range(1, 41))
def test_the_same_on_a_file_of_sqlite(seed: int) -> None:
    """The store in memory is the reference; this is what people run."""
    run = simulate(seed, SqliteDurable())
    assert not run.violations, "\n".join(run.describe())


_MOST_SEEDS = 500
"""The rarest of the faults shows in about one history of thirty, and which ones they are changes with the program."""


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what)
def test_each_known_fault_is_found(fault: Fault) -> None:
    """A simulation that finds nothing is worth as much as it would find."""
    with fault.put():
        for seed in range(1, _MOST_SEEDS + 1):
            if any(violation.startswith(f"{fault.promise}:") for violation in simulate(seed).violations):
                return
    pytest.fail(f"not found in {_MOST_SEEDS} seeds: {fault.what}")


def test_a_seed_is_the_same_history_every_time() -> None:
    """What failed once can be looked at again; the order of sets, which changes with each process, plays no part."""
    seen = set()
    for hash_seed in ("1", "2"):
        told = subprocess.run(
            [sys.executable, "-m", "tests.simulation", "--seed", "11", "--trace"],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        seen.add(told.stdout)
    (text,) = seen
    assert text.count("\n") > 100, text


def test_histories_are_rich() -> None:
    """Runs in which nothing happens would keep every promise."""
    runs = [simulate(seed) for seed in range(1, 61)]
    counts = sum((run.counts for run in runs), start=type(runs[0].counts)())
    least = {"accepted": 500, "repeats": 150, "deliveries": 500, "attempts": 900, "dead": 15, "lives": 90}
    assert {what: counts[what] for what in least if counts[what] < least[what]} == {}, counts


def test_the_command_names_what_failed_and_how_to_see_it_again(capsys: pytest.CaptureFixture[str]) -> None:
    """A number in a log of last night has to be enough."""
    assert main(["--seeds", "1:3", "--jobs", "1"]) == 0
    assert "3 seeds on memory" in capsys.readouterr().out
    fault = next(fault for fault in FAULTS if fault.promise == "G10")
    with fault.put():
        assert main(["--seeds", "1:9", "--jobs", "1", "--most", "2"]) == 1
        told = capsys.readouterr().out
        assert "seed 1: `python -m tests.simulation --store memory --seed 1 --trace`\n  ! G10: message" in told
        assert main(["--seed", "1", "--trace", "--about", "-> hub"]) == 1
    told = capsys.readouterr().out
    assert "client " in told
    assert " -> hub: " in told
