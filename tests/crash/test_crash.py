"""The crash harness, small; `make crash` is its long form."""

from pathlib import Path

import pytest

from tests.crash.harness import first_delivery, run_cycles
from tests.support.postgres import a_database

STORES = ["sqlite", "postgresql"]


@pytest.mark.parametrize("store", STORES)
async def test_killed_again_and_again_it_loses_doubles_and_muddles_nothing(tmp_path: Path, store: str) -> None:
    """Ten deaths under load, with partners of every kind; what was answered OK is there once, everywhere, in order."""
    with a_database(store, tmp_path) as url:
        report = await run_cycles(tmp_path, database=url, cycles=10, tickets=5, seed=7)
    assert report.accepted > 0
    assert report.is_clean, report


@pytest.mark.parametrize("store", STORES)
async def test_after_a_restart_it_delivers_whatever_waits(tmp_path: Path, store: str) -> None:
    """Leases of a process that died are not in the way of all the others (G6); `make crash` says how soon."""
    with a_database(store, tmp_path) as url:
        assert await first_delivery(tmp_path, database=url, pending=3000) > 0
