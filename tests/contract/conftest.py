"""The durable stores, each in turn."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cimcare.exchange.store import Store
from cimcare.store.opening import open_store


@pytest.fixture(params=["postgresql", "sqlite"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'hub.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    """An open store."""
    store = await open_store(store_url)
    yield store
    await store.close()
