"""The seeded day: a utility after a day that is the same whenever it is made, and every page that shows it.

What each area of the console shows is put there by a module of its own beside this one: `seed` does what happened that
day, `PAGES` names the pages.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.support.console import configuration, deliveries, desk, exchanges, incidents, past, storm_hour
from tests.support.hub import HubProcess, hub_process

__all__ = ["PAGES", "utility"]

_AREAS = (exchanges, deliveries, configuration, incidents, past, desk, storm_hour)
"""In the order in which they happened: pages of an earlier one do not depend on a later one, and the reverse."""

PAGES = {name: shown for area in _AREAS for name, shown in area.PAGES.items()}
"""Every page of the console, by the name of its picture."""


@contextmanager
def utility(folder: Path) -> Iterator[HubProcess]:
    """A hub with its console after the seeded day."""
    with hub_process(folder, seed_town=True) as hub, deliveries.troubled(folder), storm_hour.storm_hour(folder):
        with ThreadPoolExecutor(1) as aside:  # Playwright has a loop of its own in this thread
            for area in _AREAS:
                aside.submit(area.seed, hub).result()
        yield hub
