"""A hub with its console, without sockets."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cimcare.console.pages import console_pages
from tests.unit.hub.conftest import HeldHub


@pytest.fixture
async def held(tmp_path: Path) -> AsyncIterator[HeldHub]:
    held = HeldHub()
    await held.open(tmp_path, seed_town=True, pages=console_pages)
    yield held
    await held.hub.close()
