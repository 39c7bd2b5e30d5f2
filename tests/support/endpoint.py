"""An endpoint for storms: takes requests of HTTP as they come, and answers as a test wants. For one event loop."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from cimcare.codec.envelope import MESSAGE_NAMESPACE

__all__ = ["OK", "Arrived", "Endpoint", "answered", "reply"]

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class Arrived(NamedTuple):
    """One request: head and body."""

    head: bytes
    body: bytes


def reply(result: str = "OK", code: str = "0.0", more: str = "") -> bytes:
    """A ResponseMessage."""
    error = f"<Error><code>{code}</code></Error>"
    header = "<Header><Verb>reply</Verb><Noun>TroubleTickets</Noun></Header>"
    return (
        f'<ResponseMessage xmlns="{MESSAGE_NAMESPACE}">{header}<Reply><Result>{result}</Result>{error}</Reply>{more}'
        "</ResponseMessage>"
    ).encode()


def answered(body: bytes, status: int = 200, *more: str) -> bytes:
    """An answer of HTTP."""
    lines = [f"HTTP/1.1 {status} x", f"Content-Length: {len(body)}", *more, "", ""]
    return "\r\n".join(lines).encode() + body


OK = answered(reply())

Answer = Callable[[Arrived], Awaitable[bytes | None]]


class Endpoint:
    """Listens on a free port while it is entered. `answer` gives the bytes of each answer; None ends the connection."""

    def __init__(self, answer: Answer | None = None) -> None:
        self.arrived: list[Arrived] = []
        self.connections = 0
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        """Base address."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> "Endpoint":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Stop listening, and end what is open."""
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                request = Arrived(head, await reader.readexactly(int(length[1]) if length else 0))
                if head.startswith(b"GET"):
                    writer.write(answered(b"nothing here", 404))
                    continue
                self.arrived.append(request)
                answer = OK if self._answer is None else await self._answer(request)
                if answer is None:
                    return
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()
