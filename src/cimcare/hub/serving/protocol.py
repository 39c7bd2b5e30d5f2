"""HTTP as the server speaks it: uvicorn's protocol, with a bound on heads, and each answer in one piece.

Source: RFC 9110; ASGI 3.0, HTTP.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["HttpProtocol"]

_LONGEST_HEAD = 64 * 1024
_HEAD_TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_INTERIM = b"HTTP/1.1 1"


class _HeadWithBody:
    """A transport on which the head of one answer waits for the first piece of the body, for both to be one packet.

    In an overload most answers are short refusals, and what the system does for each packet is most of their cost.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head: bytes | None = None
        self._is_begun = False

    def write(self, data: bytes) -> None:
        """Send what comes, but for the head, which goes with what comes next."""
        if self._is_begun or data.startswith(_INTERIM):
            self._transport.write(data)
        elif self._head is None:
            self._head = data
        else:
            self._is_begun = True
            self._transport.write(self._head + data)

    def is_closing(self) -> bool:
        """Whether the connection ends or has ended."""
        return self._transport.is_closing()

    def close(self) -> None:
        """End the connection when all is sent."""
        self._transport.close()


class HttpProtocol(HttpToolsProtocol):
    """HTTP with a bound on request line and header fields, which the parser would collect without end.

    Head and body of an answer go out at once, as ASGI wants it: nothing of it before there is some of its body.
    """

    _head_bytes: int | None = None

    when_lost: Callable[[], None] = staticmethod(lambda: None)
    """Called when the connection has ended."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        super().connection_lost(exc)
        self.when_lost()

    def on_message_begin(self) -> None:
        """A request begins: count its head."""
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is there: the endpoints bound the body."""
        self._head_bytes = None
        super().on_headers_complete()
        if self.scope["method"] != "HEAD":  # which has no body
            self.cycle.transport = cast("asyncio.Transport", _HeadWithBody(self.cycle.transport))

    def data_received(self, data: bytes) -> None:
        """Take what came; end the connection if a head grows too long."""
        super().data_received(data)
        if self._head_bytes is None:
            return
        self._head_bytes += len(data)
        if self._head_bytes > _LONGEST_HEAD and not self.transport.is_closing():
            self.transport.write(_HEAD_TOO_LONG)
            self.transport.close()
