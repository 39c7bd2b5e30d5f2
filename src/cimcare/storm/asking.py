"""Asks the other side afterwards: single requests, over a connection each, with headers and TLS of a storm."""

import asyncio
import ssl
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

from cimcare.storm.sending import Exchange
from cimcare.storm.wording import Target, with_head

__all__ = ["Asking", "Got"]


class Got(NamedTuple):
    """Status and body; status 0 if there was no answer."""

    status: int
    body: bytes


class Asking:
    """Asks one target."""

    def __init__(self, target: Target, tls: ssl.SSLContext | None, *, timeout: float = 60.0) -> None:
        self._target, self._tls, self._timeout = target, tls, timeout

    async def get(self, path: str, **parameters: str) -> Got:
        """What a page of the REST interface shows."""
        parts = urlsplit(f"{self._target.api}{path}")
        query = f"?{urlencode(parameters)}" if parameters else (f"?{parts.query}" if parts.query else "")
        more = "".join(f"{name}: {value}\r\n" for name, value in self._target.headers)
        head = f"GET {parts.path}{query} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: application/json\r\n{more}\r\n"
        return await self.send(self._target.api, head.encode("latin-1"))

    async def post(self, body: bytes) -> Got:
        """The answer to a message."""
        return await self.send(self._target.url, with_head(self._target, body))

    async def send(self, url: str, request: bytes) -> Got:
        """The answer to a request that is written already."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Got] = loop.create_future()

        def take(_: Exchange, status: int, __: bytes, body: bytes) -> None:
            if not answer.done():
                answer.set_result(Got(status, body))

        def end(_: Exchange) -> None:
            if not answer.done():
                answer.set_result(Got(0, b""))

        parts = urlsplit(url)
        tls = self._tls if parts.scheme == "https" else None
        port = parts.port or (443 if tls is not None else 80)
        try:
            async with asyncio.timeout(self._timeout):
                _, line = await loop.create_connection(
                    lambda: Exchange(take, end),
                    parts.hostname or "",
                    port,
                    ssl=tls,
                    server_hostname=parts.hostname if tls is not None else None,
                )
                line.ask(0, request, loop.time())
                try:
                    return await answer
                finally:
                    line.close()
        except (OSError, TimeoutError):
            return Got(0, b"")
