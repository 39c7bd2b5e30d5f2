"""A broker that speaks as much STOMP 1.2 as a hub needs, and can be made deaf: it confirms, and hands out nothing."""

import asyncio
import re
from collections.abc import Callable
from itertools import count

__all__ = ["StompBroker"]

Answer = Callable[[bytes], bytes | None]


class StompBroker:
    """On the running event loop. `answers` holds, by queue, who consumes it: what he says to a message."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.is_deaf = False
        self._consumers: list[tuple[str, str, asyncio.StreamWriter]] = []
        self._numbers = count(1)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"stomp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\n\n")
                command, *lines = head.decode().strip("\n").replace("\r", "").split("\n")
                headers = dict(reversed([_unescaped(line.partition(":")) for line in lines]))
                length = int(headers.get("content-length", -1))
                body = await reader.readexactly(length) if length >= 0 else (await reader.readuntil(b"\0"))[:-1]
                if length >= 0:
                    await reader.readexactly(1)
                self._take(command, headers, body, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            self._consumers = [one for one in self._consumers if one[2] is not writer]
            writer.close()

    def _take(self, command: str, headers: dict[str, str], body: bytes, writer: asyncio.StreamWriter) -> None:
        if command in ("CONNECT", "STOMP"):
            _write(writer, "CONNECTED", {"version": "1.2", "heart-beat": "0,0", "server": "ActiveMQ/6"})
        elif command == "SUBSCRIBE":
            self._consumers.append((headers["destination"], headers["id"], writer))
        elif command == "UNSUBSCRIBE":
            self._consumers = [one for one in self._consumers if (one[1], one[2]) != (headers["id"], writer)]
        elif command == "SEND":
            self._route(headers, body, writer)
        if "receipt" in headers:
            _write(writer, "RECEIPT", {"receipt-id": headers["receipt"]})

    def _route(self, headers: dict[str, str], body: bytes, writer: asyncio.StreamWriter) -> None:
        destination = headers["destination"]
        answer = self.answers.get(destination)
        if answer is not None:
            said = answer(body)
            for name, number, consumer in self._consumers:
                if said is not None and (name, consumer) == (headers["reply-to"], writer):
                    reply = {"correlation-id": headers.get("correlation-id", ""), "destination": name}
                    _write(consumer, "MESSAGE", {**reply, **self._of(number)}, said)
            return
        if self.is_deaf:
            return
        for pattern, number, consumer in self._consumers:
            if _matches(pattern, destination):
                kept = {name: text for name, text in headers.items() if name not in ("receipt", "content-length")}
                _write(consumer, "MESSAGE", {**kept, **self._of(number)}, body)

    def _of(self, subscription: str) -> dict[str, str]:
        number = str(next(self._numbers))
        return {"subscription": subscription, "message-id": f"m-{number}", "ack": f"a-{number}"}


def _matches(pattern: str, destination: str) -> bool:
    """As ActiveMQ has it: `*` is one level, `>` all that follow, if any do."""
    wanted = re.escape(pattern).replace(r"\*", "[^.]+").replace(r"\.>", r"(\..+)?")
    return re.fullmatch(wanted, destination) is not None


def _write(writer: asyncio.StreamWriter, command: str, headers: dict[str, str], body: bytes = b"") -> None:
    lines = "".join(f"{name}:{_escaped(text)}\n" for name, text in headers.items())
    writer.write(f"{command}\n{lines}content-length:{len(body)}\n\n".encode() + body + b"\0\n")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace(":", "\\c")


def _unescaped(line: tuple[str, str, str]) -> tuple[str, str]:
    name, _, text = line
    return name.lstrip("\n"), text.replace("\\c", ":").replace("\\n", "\n").replace("\\\\", "\\")
