"""The stream of events: catching up, going over to what is new, signs of life, slow and gone clients, the end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, MutableMapping
from datetime import timedelta
from typing import Any

import msgspec
import pytest
import structlog

from cimcare.codec.envelope import render_message
from cimcare.exchange.log import Direction, LogEntry, LogSelection, Transport
from cimcare.exchange.store import StoreError
from cimcare.exchange.subscriptions import Filter
from cimcare.hub.rest import audience, streaming
from cimcare.hub.rest.events import Events
from cimcare.hub.rest.streaming import Streams, StreamTimes, TooManyStreamsError
from cimcare.model.envelope import EventMessage
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from tests.unit.hub.conftest import NOON

LONG = timedelta(hours=1)
QUICK = StreamTimes(poll=timedelta(0), heart_beat=LONG, patience=LONG)


class Log:
    """A log that counts how often its bytes are read, and can be made to fail."""

    def __init__(self) -> None:
        self.rows: list[tuple[LogEntry, bytes]] = []
        self.readings = 0
        self.trouble: StoreError | None = None

    def tell(self, noun: Noun = Noun.INCIDENTS) -> int:
        """Put an event in; its sequence."""
        message = build_message(noun, Verb.CREATED, seed=len(self.rows))
        assert isinstance(message, EventMessage)
        entry = LogEntry(
            sequence=self.rows[-1][0].sequence + 1 if self.rows else 1,
            received_at=NOON,
            direction=Direction.OUT,
            transport=Transport.INTERNAL,
            archetype="EventMessage",
            verb="created",
            noun=noun.value,
        )
        self.rows.append((entry, render_message(message)))
        return entry.sequence

    async def select(self, selection: LogSelection) -> tuple[LogEntry, ...]:
        if self.trouble is not None:
            raise self.trouble
        entries = [entry for entry, _ in self.rows]
        if selection.newest_first:
            return tuple(entries[::-1][: selection.limit])
        return tuple(entry for entry in entries if entry.sequence > (selection.after or 0))[: selection.limit]

    async def find_raw(self, sequence: int) -> bytes | None:
        self.readings += 1
        return next((raw for entry, raw in self.rows if entry.sequence == sequence), None)


class Client:
    """A client of a stream, that reads when it is told to."""

    def __init__(self, stream: streaming.EventStream, *, method: str = "GET", deaf: bool = False) -> None:
        self.start: MutableMapping[str, Any] = {}
        self.frames: list[bytes] = []
        self.is_whole = False
        self.deaf = deaf
        self._came = asyncio.Event()
        self._gone = asyncio.Event()
        self._asked = False
        self.task = asyncio.create_task(stream({"type": "http", "method": method}, self._receive, self._send))

    async def _receive(self) -> MutableMapping[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, event: MutableMapping[str, Any]) -> None:
        if event["type"] == "http.response.start":
            self.start = event
            return
        if self.deaf:
            await asyncio.Event().wait()
        if event["body"]:
            self.frames.append(event["body"])
        self.is_whole = not event.get("more_body", False)
        self._came.set()

    async def until(self, count: int) -> None:
        """Wait for so many events or signs of life."""
        while len(self.seen) < count:
            self._came.clear()
            await self._came.wait()

    @property
    def seen(self) -> list[str]:
        """First lines of what came: ids of events, colons for signs of life."""
        return [frame.split(b"\n")[0].decode() for frame in self.frames if not frame.startswith(b"retry")]

    async def leave(self) -> None:
        self._gone.set()
        await self.task


async def turns() -> None:
    """Let everybody else go on until all of them wait."""
    for _ in range(50):
        await asyncio.sleep(0)


class Station:
    """Streams over a log in memory, and their clients."""

    def __init__(self, log: Log, times: StreamTimes = QUICK, most: int = 100) -> None:
        self.log = log
        capture = structlog.testing.LogCapture()
        self.logged = capture.entries
        logger = structlog.wrap_logger(structlog.testing.ReturnLogger(), processors=[capture])

        class Reader:
            pass

        reader: Any = Reader()
        reader.log = log
        self.streams = Streams(Events(reader, logger), logger, times=times, most=most)
        self.clients: list[Client] = []

    def listen(self, after: int | None = None, wanted: Filter | None = None, **how: Any) -> Client:
        client = Client(self.streams.open(wanted or Filter(), after=after, headers={"x-own": "1"}), **how)
        self.clients.append(client)
        return client


@contextlib.asynccontextmanager
async def a_station(**how: Any) -> AsyncIterator[Station]:
    station = Station(Log(), **how)
    try:
        yield station
    finally:
        station.streams.stop()
        for client in station.clients:
            await client.task
        assert station.streams.clients == 0


async def test_a_client_catches_up_and_then_gets_what_is_new() -> None:
    """Without a gap and without a repeat where the one goes over into the other."""
    async with a_station() as station:
        for _ in range(3):
            station.log.tell()
        client = station.listen(after=1)
        await client.until(2)
        for _ in range(3):
            station.log.tell()
        await client.until(5)
        assert client.seen == ["id: 2", "id: 3", "id: 4", "id: 5", "id: 6"]


async def test_a_client_that_does_not_say_from_where_gets_what_comes() -> None:
    """As somebody who turns on a radio."""
    async with a_station() as station:
        station.log.tell()
        client = station.listen()
        await turns()
        station.log.tell()
        await client.until(1)
        assert client.seen == ["id: 2"]


async def test_the_form_is_that_of_server_sent_events() -> None:
    """A browser takes it as it is: number, name, one line of data."""
    async with a_station() as station:
        station.log.tell()
        client = station.listen(after=0)
        await client.until(1)
        headers = {name.decode(): value.decode() for name, value in client.start["headers"]}
        assert headers["content-type"].startswith("text/event-stream")
        assert headers["cache-control"] == "no-store"
        assert headers["x-own"] == "1"
        number, name, data, *rest = client.frames[-1].split(b"\n")
        assert (number, name, rest) == (b"id: 1", b"event: created.Incidents", [b"", b""])
        assert msgspec.json.decode(data.removeprefix(b"data: "))["sequence"] == 1


async def test_clients_get_what_passes_their_filter() -> None:
    """Behind the place where they begin as well as later."""
    async with a_station() as station:
        wanted = Filter(nouns=("ServiceOrders",))
        for noun in (Noun.INCIDENTS, Noun.SERVICE_ORDERS):
            station.log.tell(noun)
        client, everything = station.listen(0, wanted), station.listen(0)
        await client.until(1)
        await everything.until(2)
        for noun in (Noun.INCIDENTS, Noun.SERVICE_ORDERS):
            station.log.tell(noun)
        await client.until(2)
        assert client.seen == ["id: 2", "id: 4"]


async def test_many_clients_cost_one_reading() -> None:
    """A hundred screens in a control room must not ask the database a hundred times."""
    async with a_station() as station:
        clients = [station.listen(after=0) for _ in range(20)]
        await turns()  # until all of them wait
        for _ in range(5):
            station.log.tell()
        for client in clients:
            await client.until(5)
        assert station.log.readings == 5


async def test_a_client_further_behind_than_is_kept_reads_on_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept for all is bounded, and still nothing is left out for who is slow."""
    monkeypatch.setattr(streaming, "_MOST_KEPT", 3)
    async with a_station() as station:
        quick = station.listen(after=0)
        await turns()
        for _ in range(10):
            station.log.tell()
        await quick.until(10)
        late = station.listen(after=2)
        await late.until(8)
        station.log.tell()
        await late.until(9)
        assert late.seen == [f"id: {number}" for number in range(3, 12)]


async def test_what_is_kept_is_bounded_in_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand large events are gigabytes."""
    monkeypatch.setattr(streaming, "_MOST_KEPT_BYTES", 1)
    async with a_station() as station:
        client = station.listen(after=0)
        for number in range(4):
            await turns()
            station.log.tell()
            await client.until(number + 1)
        assert client.seen == ["id: 1", "id: 2", "id: 3", "id: 4"]
        assert station.streams._window is not None
        assert not station.streams._window._kept


async def test_a_silent_stream_shows_that_it_lives_and_how_far_it_is() -> None:
    """Proxies cut what is silent; who comes again need not look through what did not pass the filter."""
    async with a_station(times=msgspec.structs.replace(QUICK, heart_beat=timedelta(0))) as station:
        for _ in range(3):
            station.log.tell()
        client = station.listen(0, Filter(nouns=("ServiceOrders",)))
        await client.until(2)
        assert set(client.seen) == {":"}
        assert client.frames[-1] == b":\nid: 3\n\n"


async def test_a_long_search_shows_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter that hardly anything passes may go through years of events before the first hit."""
    monkeypatch.setattr("cimcare.hub.rest.events._AT_ONCE", 2)
    monkeypatch.setattr("cimcare.hub.rest.events._MOST_READ", 2)
    async with a_station() as station:
        for _ in range(5):
            station.log.tell()
        client = station.listen(0, Filter(nouns=("ServiceOrders",)))
        await client.until(2)
        assert client.frames[1:] == [b":\nid: 2\n\n", b":\nid: 4\n\n"]


async def test_a_stream_goes_on_when_the_last_messages_were_removed() -> None:
    """Retention may take the end of a quiet log away; the place of the client is then behind it."""
    async with a_station() as station:
        for _ in range(3):
            station.log.tell()
        first = station.listen()
        await turns()
        kept = station.log.rows.pop()
        station.log.rows.pop()
        late = station.listen(after=0)
        await late.until(1)
        await turns()
        station.log.rows.append(kept)
        station.log.tell()
        await late.until(2)
        await first.until(1)
        assert (late.seen, first.seen) == (["id: 1", "id: 4"], ["id: 4"])


async def test_a_client_that_goes_leaves_nothing_behind() -> None:
    """Neither a place that is taken nor somebody who looks into the log for nobody."""
    async with a_station() as station:
        client, other = station.listen(0), station.listen(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert station.streams.clients == 2
        await client.leave()
        assert station.streams.clients == 1
        station.log.tell()
        await other.until(1)
        await other.leave()
        assert station.streams._watcher is None
        again = station.listen(0)
        await again.until(1)


async def test_a_client_that_takes_nothing_is_given_up() -> None:
    """Its place goes to somebody else, and the operator can read about it."""
    async with a_station(times=msgspec.structs.replace(QUICK, patience=timedelta(0))) as station:
        client = station.listen(0, deaf=True)
        await client.task
        assert not client.is_whole
        assert station.streams.clients == 0
        assert [line["event"] for line in station.logged] == ["stream given up"]


async def test_streams_end_whole_when_the_hub_stops() -> None:
    """Draining must not wait for those who would listen for ever; clients come again by themselves."""
    async with a_station() as station:
        client = station.listen(0)
        station.log.tell()
        await client.until(1)
        station.streams.stop()
        await client.task
        assert client.is_whole


async def test_a_client_that_takes_nothing_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audience, "_GRACE", timedelta(0))
    async with a_station() as station:
        client = station.listen(0, deaf=True)
        await asyncio.sleep(0)
        station.streams.stop()
        await client.task
        assert not client.is_whole


async def test_there_are_as_many_clients_as_may_be() -> None:
    """Each costs memory and work; the next one is told so instead of making all of them slow."""
    async with a_station(most=1) as station:
        client = station.listen(0)
        await asyncio.sleep(0)
        with pytest.raises(TooManyStreamsError, match="1 clients listen"):
            station.listen(0)
        await client.leave()
        station.listen(0)


async def test_head_says_what_get_would() -> None:
    """And ends, as there is no body to wait for."""
    async with a_station() as station:
        client = station.listen(0, method="HEAD")
        await client.task
        assert client.start["status"] == 200
        assert not client.frames
        assert client.is_whole


async def test_trouble_with_the_store_passes() -> None:
    """A database that is away for a moment ends no stream that waits for news."""
    async with a_station() as station:
        client = station.listen(after=0)
        await turns()
        station.log.trouble = StoreError("away")
        await turns()
        station.log.trouble = None
        station.log.tell()
        await client.until(1)
        assert station.logged[0]["reason"] == "away"


async def test_a_stream_that_cannot_begin_ends_with_the_reason() -> None:
    """It is an error of this response, and is answered and noted like any other."""
    async with a_station() as station:
        station.log.trouble = StoreError("away")
        client = station.listen(after=0)
        with pytest.raises(StoreError):
            await client.task
        station.clients.clear()
