"""HTTP as a simulated partner needs it: every byte of an answer is in its hand, so that it can speak well and badly.

A server of the usual kind would repair what is to be broken here. Requests are read by httptools: bodies of any length
announced, chunked bodies, and `Expect: 100-continue`, as clients of all makes send them.
"""

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import Protocol, cast

import httptools
import msgspec

__all__ = ["Connection", "HttpRequest", "Serving", "render_response"]

_MOST_BYTES = 64 * 1024 * 1024
_REASONS = {
    200: "OK",
    204: "No Content",
    307: "Temporary Redirect",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
_RESET = struct.pack("ii", 1, 0)
"""For SO_LINGER: what is unsent is thrown away and the other end gets a reset."""


class HttpRequest(msgspec.Struct, frozen=True):
    """A request. Names of headers are in lower case; `path` is as it came, with its query."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    keeps_alive: bool


class Serving(Protocol):
    """Who serves requests."""

    def answer_at_once(self, request: HttpRequest) -> bytes | None:
        """The whole answer where nothing has to be waited for; None where `serve` is to be asked."""

    async def serve(self, request: HttpRequest, connection: "Connection") -> bool:
        """Serve a request by writing to the connection; whether the connection goes on."""


def render_response(status: int, content_type: str, body: bytes, **headers: str) -> bytes:
    """An answer. In names of headers an underscore stands for a hyphen."""
    lines = [f"HTTP/1.1 {status} {_REASONS[status]}"]
    if content_type:
        lines.append(f"Content-Type: {content_type}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


class Connection(asyncio.Protocol):
    """One connection of a client. Requests are served one after another, in the order in which they come."""

    def __init__(self, serving: Serving, on_change: Callable[["Connection", bool], None]) -> None:
        self._serving = serving
        self._on_change = on_change
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[HttpRequest] = deque()
        self._task: asyncio.Task[None] | None = None
        self._gone = asyncio.Event()
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._size = 0

    # ------------------------------------------------------------------------------------------- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)  # that of uvloop is one, and is not derived from it
        self._on_change(self, True)

    def connection_lost(self, error: Exception | None) -> None:
        """End; what was being served is given up."""
        del error
        self._gone.set()
        self._may_write.set()
        if self._task is not None:
            self._task.cancel()
        self._on_change(self, False)

    def data_received(self, data: bytes) -> None:
        """Read on; what is no HTTP ends the connection."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.close()
        except httptools.HttpParserError:
            self.write(render_response(400, "text/plain", b"this is no HTTP/1.1", Connection="close"))
            self.close()

    def pause_writing(self) -> None:
        """Wait with writing until the other end has read."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """Write on."""
        self._may_write.set()

    # ----------------------------------------------------------------------------------------- what httptools calls

    def on_message_begin(self) -> None:
        """Forget the last request."""
        self._url, self._headers, self._body, self._size = b"", {}, [], 0

    def on_url(self, url: bytes) -> None:
        """Part of the path."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1").strip()

    def on_headers_complete(self) -> None:
        """Let a client go on that asks whether it may."""
        if self._headers.get("expect", "").lower() == "100-continue":
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Part of the body."""
        self._size += len(body)
        if self._size > _MOST_BYTES:
            self.write(render_response(413, "text/plain", b"too large", Connection="close"))
            self.close()
            return
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Serve it now, or when it is its turn."""
        if self._transport is None or self._transport.is_closing():
            return
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        request = HttpRequest(
            self._parser.get_method().decode("latin-1"),
            self._url.decode("latin-1"),
            self._headers,
            body,
            self._parser.should_keep_alive(),
        )
        if self._task is None and (answer := self._serving.answer_at_once(request)) is not None:
            self.write(answer)
            if not request.keeps_alive:
                self.close()
            return
        self._waiting.append(request)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        try:
            while self._waiting:
                request = self._waiting.popleft()
                goes_on = await self._serving.serve(request, self)
                if not (goes_on and request.keeps_alive):
                    self.close()
                    return
        finally:
            self._task = None

    # ------------------------------------------------------------------------------------------ what a partner calls

    @property
    def is_gone(self) -> bool:
        """Whether the other end is gone."""
        return self._gone.is_set()

    def write(self, raw: bytes) -> None:
        """Write bytes as they are."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(raw)

    async def write_much(self, raw: bytes) -> None:
        """Write bytes as they are, and wait until the other end has taken most of them."""
        self.write(raw)
        await self._may_write.wait()

    def half_close(self) -> None:
        """Say no more, and go on listening; over TLS, which has no such thing, end the connection."""
        if self._transport is None:
            return
        if self._transport.can_write_eof():
            with contextlib.suppress(OSError):
                self._transport.write_eof()
        else:
            self._transport.close()

    def reset(self) -> None:
        """End the connection as if the machine had lost its power and come back."""
        if self._transport is None:
            return
        ours = self._transport.get_extra_info("socket")
        if ours is not None:
            with contextlib.suppress(OSError):
                ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()

    def close(self) -> None:
        """End the connection when all is written."""
        if self._transport is not None:
            self._transport.close()

    async def until_gone(self) -> None:
        """Wait until the other end is gone."""
        await self._gone.wait()

    async def end(self) -> None:
        """End it now, whatever hangs."""
        task = self._task
        if self._transport is not None:
            self._transport.abort()
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
