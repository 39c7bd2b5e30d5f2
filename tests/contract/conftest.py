"""The stores, each in turn."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cimcare.exchange.store import Store
from cimcare.store.opening import open_store
from tests.support.stored import ALL_STORES


@pytest.fixture(params=ALL_STORES)
def store_kind(request: pytest.FixtureRequest) -> str:
    """Which store; a suite or test that some stores cannot serve names its own."""
    kind: str = request.param
    return kind


@pytest.fixture
def store_url(store_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database."""
    if store_kind == "memory":
        return "memory:"
    if store_kind == "sqlite":
        return f"sqlite:///{tmp_path / 'hub.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    """An open store."""
    store = await open_store(store_url)
    yield store
    await store.close()
