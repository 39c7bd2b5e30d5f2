"""A peer whose answers the test decides, and a session to reach it."""

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from tests.support.fake_peer import FakePeer, fake_peer


@pytest.fixture
def peer() -> Iterator[FakePeer]:
    with fake_peer() as peer:
        yield peer


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session
