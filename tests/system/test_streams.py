"""Streams of events on real sockets: through another hub process on the same database, and when the hub stops."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from cimcare.codec.envelope import render_message
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from tests.support.hub import hub_process, local_hub


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as opened:
        yield opened


async def tell(session: aiohttp.ClientSession, address: str, seed: int) -> None:
    """Send a request that leads to events."""
    message = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=seed)
    headers = {"content-type": "application/xml"}
    async with session.post(f"{address}/messages", data=render_message(message), headers=headers) as response:
        assert response.status == 200


async def next_event(stream: aiohttp.ClientResponse) -> dict[str, str]:
    """Fields of the next block that has data."""
    fields: dict[str, str] = {}
    async for line in stream.content:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name:
            fields[name] = value
        elif "data" in fields:
            return fields
        else:
            fields = {}
    raise AssertionError("the stream has ended")


async def test_a_stream_tells_what_another_process_has_committed(
    session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """Which process of a hub a client has reached must make no difference."""
    with hub_process(tmp_path) as other:
        async with local_hub(tmp_path) as running:
            async with session.get(f"{running.address}/api/v1/events/stream?noun=TroubleTickets") as stream:
                assert stream.status == 200
                await tell(session, other.address, 1)
                first = await next_event(stream)
                assert first["event"] == "created.TroubleTickets"
                await tell(session, running.address, 2)
                assert int((await next_event(stream))["id"]) > int(first["id"])
            again = {"last-event-id": first["id"]}
            async with session.get(f"{other.address}/api/v1/events/stream", headers=again) as stream:
                assert int((await next_event(stream))["id"]) > int(first["id"])


async def test_a_hub_that_stops_ends_its_streams_and_does_not_wait_for_them(
    session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """Draining is for requests that come to an end; with an hour for it, a listener must not cost the hour."""
    with hub_process(tmp_path, "hub.drain_seconds = 3600\n") as running:
        async with session.get(f"{running.address}/api/v1/events/stream?after=0") as stream:
            await tell(session, running.address, 1)
            await next_event(stream)
            assert running.stop() == 0
            while await stream.content.readline():
                pass


async def test_a_hub_that_stops_ends_the_stream_of_alarms_too(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    """A screen that shows alarms is open day and night."""
    with hub_process(tmp_path, "hub.drain_seconds = 3600\n") as running:
        async with session.get(f"{running.address}/api/v1/alarms/stream") as stream:
            assert await stream.content.readline() == b"retry: 2000\n"
            assert running.stop() == 0
            while await stream.content.readline():
                pass
