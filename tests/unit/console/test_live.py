"""The news of the console: what is said when, and that nobody looks when nobody watches."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import structlog
from starlette.responses import Response

from cimcare.console.live import News, NewsTimes
from cimcare.exchange.store import StoreError
from cimcare.hub.rest.audience import HELLO, Audience, StreamTimes

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)


class Database:
    """Its version is what a test says; it counts how often it is looked at, and each look takes a second."""

    def __init__(self) -> None:
        self.version = "1"
        self.looks = 0

    async def __call__(self) -> str:
        self.looks += 1
        if not self.version:
            raise StoreError("gone")
        return self.version

    def clock(self) -> datetime:
        return NOON + timedelta(seconds=self.looks)


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def audience() -> Audience:
    times = StreamTimes(heart_beat=timedelta(seconds=5))
    return Audience(structlog.wrap_logger(structlog.testing.ReturnLogger()), times=times, most=2)


def news_of(audience: Audience, database: Database, *, silence: float = 60, linger: float = 0.05) -> News:
    times = NewsTimes(pause=0.01, silence=silence, linger=linger)
    return News(audience, database, database.clock, times=times)


async def said(stream: AsyncIterator[bytes]) -> str:
    frame = await asyncio.wait_for(anext(stream), 5)
    assert frame.endswith(b"\n\n")
    return frame.decode()


async def test_a_change_is_said_once_to_all(audience: Audience, database: Database) -> None:
    """Two hundred screens must not cost two hundred looks, nor look when there is nothing to see."""
    news = news_of(audience, database)
    async with audience.listening(), audience.listening():
        streams = [news.frames() for _ in range(2)]
        assert [await anext(stream) for stream in streams] == [HELLO, HELLO]
        for stream in streams:
            assert (await said(stream)).startswith("event: changed\ndata: 2030-06-01T12:00:0")
        waiting = [asyncio.ensure_future(anext(stream)) for stream in streams]
        looks = database.looks
        await asyncio.sleep(0.1)
        assert database.looks - looks <= 12  # of one watcher, and not of two
        assert not any(task.done() for task in waiting)
        database.version = "2"
        for task in waiting:
            assert (await task).startswith(b"event: changed\n")


async def test_the_instant_is_that_after_the_look(audience: Audience, database: Database) -> None:
    """A page that was made while the change was committed must not be taken for one that shows it."""
    stream = news_of(audience, database).frames()
    async with audience.listening():
        await anext(stream)
        assert await said(stream) == "event: changed\ndata: 2030-06-01T12:00:01.000000Z\n\n"


async def test_silence_ends_with_a_word(audience: Audience, database: Database) -> None:
    """Pages say "3 min ago", and circuits are kept outside of the database."""
    stream = news_of(audience, database, silence=0.05).frames()
    async with audience.listening():
        await anext(stream)
        assert (await said(stream)).startswith("event: changed\n")
        assert (await said(stream)).startswith("event: still\n")
        assert (await said(stream)).startswith("event: still\n")


async def test_who_comes_later_is_told_of_the_last_change(audience: Audience, database: Database) -> None:
    """What happened between the making of a page and its listening is not missed."""
    news = news_of(audience, database, silence=0.03)
    async with audience.listening():
        first, second = news.frames(), news.frames()
        await anext(first)
        changed = await said(first)
        assert (await said(first)).startswith("event: still\n")
        await anext(second)
        assert await said(second) == changed


async def test_nobody_watches_and_nobody_looks(audience: Audience, database: Database) -> None:
    """A hub without consoles has no work with them."""
    stream = news_of(audience, database).frames()
    async with audience.listening():
        await anext(stream)
        await said(stream)
    await asyncio.sleep(0.2)
    looks = database.looks
    await asyncio.sleep(0.1)
    assert database.looks == looks


async def test_a_person_who_goes_from_page_to_page_misses_nothing(audience: Audience, database: Database) -> None:
    """For a moment there is no stream; what changes then is told to the next one."""
    news = news_of(audience, database, linger=5)
    async with audience.listening():
        stream = news.frames()
        await anext(stream)
        before = await said(stream)
    database.version = "2"
    looks = database.looks
    while database.looks < looks + 2:
        await asyncio.sleep(0.01)
    async with audience.listening():
        stream = news.frames()
        await anext(stream)
        after = await said(stream)
        assert after.startswith("event: changed\n")
        assert after > before
    audience.stop()


async def test_a_database_that_cannot_be_read_is_news(audience: Audience, database: Database) -> None:
    """Pages look then, and say that they stand still; and look again as soon as it is back."""
    stream = news_of(audience, database).frames()
    async with audience.listening():
        await anext(stream)
        await said(stream)
        for version in ("", "1"):
            database.version = version
            assert (await said(stream)).startswith("event: changed\n")


async def test_too_many_are_told_to_come_again(audience: Audience, database: Database) -> None:
    """Their pages look by the clock meanwhile."""
    news = news_of(audience, database)
    async with audience.listening(), audience.listening():
        refused = news.answer()
    assert type(refused) is Response
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "30")


async def test_looking_ends_with_the_hub(audience: Audience, database: Database) -> None:
    """Nothing reads a database that is being closed."""
    stream = news_of(audience, database, linger=60).frames()
    async with audience.listening():
        await anext(stream)
        await said(stream)
        audience.stop()
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
    await asyncio.sleep(0.05)
    looks = database.looks
    await asyncio.sleep(0.05)
    assert database.looks == looks
