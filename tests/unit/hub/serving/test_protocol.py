"""HTTP as the server speaks it: answers in one piece, whatever a client makes of its connection."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from cimcare.hub.serving import protocol
from tests.support.hub import local_hub


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What is given to the transport of a connection, piece by piece."""
    pieces: list[bytes] = []

    class Watched:
        def __init__(self, transport: asyncio.Transport) -> None:
            self._transport = transport

        def write(self, data: bytes) -> None:
            pieces.append(data)
            self._transport.write(data)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._transport, name)

    real = protocol._HeadWithBody.__init__

    def watch(self: protocol._HeadWithBody, transport: asyncio.Transport) -> None:
        real(self, Watched(transport))  # type: ignore[arg-type]

    monkeypatch.setattr(protocol._HeadWithBody, "__init__", watch)
    return pieces


async def exchange(address: str, request: bytes, *, until: bytes) -> bytes:
    """Send bytes over a connection of its own; all that came up to an end."""
    host, _, port = address.partition("//")[2].partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    try:
        return await asyncio.wait_for(reader.readuntil(until), 10)
    finally:
        writer.close()


async def test_head_and_body_leave_together(tmp_path: Path, written: list[bytes]) -> None:
    """In an overload the packets are most of what a refusal costs."""
    async with local_hub(tmp_path) as running:
        came = await exchange(running.address, b"GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n", until=b'{"status":"ok"}')
    assert came.startswith(b"HTTP/1.1 200 OK\r\n")
    assert written == [came]


async def test_answers_of_requests_sent_at_once_come_in_order(tmp_path: Path, written: list[bytes]) -> None:
    """Each has its own head."""
    asked = b"".join(b"GET /%s HTTP/1.1\r\nHost: hub\r\n\r\n" % path for path in (b"healthz", b"nowhere", b"healthz"))
    async with local_hub(tmp_path) as running:
        host, _, port = running.address.partition("//")[2].partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(asked)
        lines = []
        for _ in range(3):
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            lines.append(head.split(b"\r\n")[0])
            length = next(
                int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
            )
            await asyncio.wait_for(reader.readexactly(length), 10)
        writer.close()
    assert [line[:12] for line in lines] == [b"HTTP/1.1 200", b"HTTP/1.1 404", b"HTTP/1.1 200"]
    assert len(written) == 3


async def test_an_answer_without_a_body_comes_at_once(tmp_path: Path) -> None:
    """HEAD has a head alone: nothing more comes that it could wait for."""
    async with local_hub(tmp_path) as running:
        came = await exchange(running.address, b"HEAD /soap?wsdl HTTP/1.1\r\nHost: hub\r\n\r\n", until=b"\r\n\r\n")
    assert came.startswith(b"HTTP/1.1 200 OK\r\n")


async def test_who_wants_to_be_told_to_go_on_is_told(tmp_path: Path, written: list[bytes]) -> None:
    """Nothing is held back of what is said before the answer."""
    head = b"POST /messages HTTP/1.1\r\nHost: hub\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
    async with local_hub(tmp_path) as running:
        host, _, port = running.address.partition("//")[2].partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(head)
        assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"<a>")
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 4")
    assert len(written) == 2


async def test_a_stream_of_events_begins_at_once(tmp_path: Path) -> None:
    """Its head goes with the first sign of life, and does not wait for an event."""
    async with local_hub(tmp_path) as running:
        came = await exchange(
            running.address,
            b"GET /api/v1/events/stream HTTP/1.1\r\nHost: hub\r\nAccept: text/event-stream\r\n\r\n",
            until=b"\n\n",
        )
    assert came.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"text/event-stream" in came
