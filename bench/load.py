"""Load for measurements of a hub: senders that keep their pace whatever the hub does, and figures of what they saw.

The client is as thin as a client can be, so that on a small machine the hub is measured and not its sender.
"""

import argparse
import asyncio
import json
import os
import random
import re
import statistics
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from bench.intake import a_create
from cimcare.codec.envelope import parse_message, render_message
from cimcare.exchange.facts import priority_of
from cimcare.exchange.outbox import Priority
from cimcare.hub.serving.lifespan import loop_factory
from cimcare.model.envelope import RequestMessage
from cimcare.model.identity import MessageID
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples.build import build_message

__all__ = [
    "Answered",
    "Client",
    "Outgoing",
    "cpu_seconds",
    "creates",
    "median",
    "mixed_creates",
    "percentile",
    "play_in",
    "play_in_turns",
    "run",
    "send_at_rate",
    "send_in_turn",
    "show_beside",
    "work_requests",
]

T = TypeVar("T")

_IDLE_SECONDS = 3.0
"""Servers close a connection that nobody uses for 5 s."""

_PATTERNS = 1500
_MESSAGE_ID = re.compile(rb"<MessageID>[^<]*</MessageID>")
_MRID = re.compile(rb"<TroubleTicket><mRID>[^<]*</mRID>")

_TICKS = os.sysconf("SC_CLK_TCK")


class Outgoing(msgspec.Struct, frozen=True):
    """A message to be sent: its MessageID, how urgent it is, its bytes."""

    message_id: str
    priority: Priority
    raw: bytes


class Answered(msgspec.Struct, frozen=True):
    """What became of one: when it was due to be sent, how long the answer took from then, HTTP status, first words."""

    message: Outgoing
    sent_at: datetime
    seconds: float
    status: int
    is_ok: bool


class _Line(asyncio.Protocol):
    """One connection, with one request under way at most."""

    def __init__(self) -> None:
        self.transport: Any = None  # a transport of uvloop is none of asyncio's by type
        self.used_at = 0.0
        self._received = b""
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def ask(self, request: bytes) -> asyncio.Future[tuple[int, bytes]]:
        self._received = b""
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or self._answer is None or self._answer.done():
            return
        lower = head.lower()
        _, _, rest = lower.partition(b"content-length:")
        if len(body) >= int(rest.split(b"\r\n", 1)[0] or 0):
            self._answer.set_result((int(head[9:12]), body))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("closed before the answer"))


class Client:
    """Posts to one address over as many connections as are needed at once; used ones are used again."""

    def __init__(self, address: str, *, path: str = "/messages", content_type: str = "application/xml") -> None:
        parts = urlsplit(address)
        self._host, self._port = parts.hostname, parts.port
        self._head = (
            f"POST {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: {content_type}\r\nContent-Length: "
        ).encode()
        self._idle: deque[_Line] = deque()

    async def post(self, raw: bytes) -> tuple[int, bytes]:
        """HTTP status and body of the answer. Raises OSError."""
        now = asyncio.get_running_loop().time()
        while self._idle and now - self._idle[0].used_at > _IDLE_SECONDS:
            self._idle.popleft().transport.close()
        line = self._idle.pop() if self._idle else await self._connect()
        answer = await line.ask(b"%b%d\r\n\r\n%b" % (self._head, len(raw), raw))
        line.used_at = asyncio.get_running_loop().time()
        self._idle.append(line)
        return answer

    def close(self) -> None:
        """Close what is open."""
        for line in self._idle:
            line.transport.close()

    async def _connect(self) -> _Line:
        _, line = await asyncio.get_running_loop().create_connection(_Line, self._host, self._port)
        return line


async def send_at_rate(client: Client, messages: Sequence[Outgoing], rate: float) -> list[Answered]:
    """Send `rate` messages a second, whether or not earlier ones have been answered; what became of all of them.

    Seconds count from when a message was due, so that a sender that falls behind hides nothing.
    """
    loop = asyncio.get_running_loop()
    started, started_at = loop.time(), datetime.now(UTC)
    found: list[Answered] = []

    async def one(message: Outgoing, due: float) -> None:
        try:
            status, body = await client.post(message.raw)
        except OSError:
            status, body = 0, b""
        ended = loop.time()
        sent_at = datetime.fromtimestamp(started_at.timestamp() + due - started, UTC)
        is_ok = status == 200 and b"<Result>FAILED" not in body
        found.append(Answered(message, sent_at, ended - due, status, is_ok))

    async with asyncio.TaskGroup() as group:
        for number, message in enumerate(messages):
            due = started + number / rate
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            group.create_task(one(message, due))
    return found


async def send_in_turn(client: Client, messages: Sequence[Outgoing], connections: int) -> float:
    """Send over so many connections, each waiting for its answer before it sends again; messages a second."""
    waiting = iter(messages)
    loop = asyncio.get_running_loop()

    async def one_connection() -> None:
        for message in waiting:
            status, body = await client.post(message.raw)
            assert status == 200, body
            assert b"<Result>FAILED" not in body, body

    started = loop.time()
    await asyncio.gather(*(one_connection() for _ in range(connections)))
    return len(messages) / (loop.time() - started)


def creates(seeds: Iterable[int], *, name: str) -> Iterator[Outgoing]:
    """Creates of trouble tickets as they come, each with a MessageID of its own; `name` tells runs apart."""
    for seed in seeds:
        message = parse_message(a_create(seed))
        assert isinstance(message, RequestMessage)
        yield _outgoing(message, f"{name}-{seed}")


def mixed_creates(shares: dict[Priority, float], count: int, *, first: int, name: str) -> list[Outgoing]:
    """So many creates, of which each priority has its share, in an order by chance.

    Contents come again; identifiers of messages and tickets count from `first`.
    """
    chance = random.Random(first)
    patterns: dict[Priority, list[bytes]] = {priority: [] for priority in shares}
    for message in creates(range(_PATTERNS), name="pattern"):
        if message.priority in patterns:
            patterns[message.priority].append(message.raw)
    drawn = chance.choices(list(shares), list(shares.values()), k=count)
    found = []
    for number, priority in enumerate(drawn, first):
        raw = chance.choice(patterns[priority])
        raw = _MESSAGE_ID.sub(b"<MessageID>%b-%d</MessageID>" % (name.encode(), number), raw, count=1)
        raw = _MRID.sub(b"<TroubleTicket><mRID>00000000-0000-4000-8000-%012d</mRID>" % number, raw, count=1)
        found.append(Outgoing(f"{name}-{number}", priority, raw))
    return found


def work_requests(seeds: Iterable[int], *, name: str) -> Iterator[Outgoing]:
    """Creates of work requests."""
    for seed in seeds:
        message = build_message(Noun.WORK_REQUESTS, Verb.CREATE, seed=seed)
        assert isinstance(message, RequestMessage)
        yield _outgoing(message, f"{name}-{seed}")


def _outgoing(message: RequestMessage, message_id: str) -> Outgoing:
    header = msgspec.structs.replace(message.header, message_id=MessageID(message_id), source="SENDER")
    message = msgspec.structs.replace(message, header=header)
    return Outgoing(message_id, priority_of(message), render_message(message))


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of all does not exceed; NaN without any."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def median(values: Sequence[float]) -> float:
    """NaN without any."""
    return statistics.median(values) if values else float("nan")


def cpu_seconds(process: int) -> float:
    """Processor time that a process has used so far; of other load on the machine it says nothing. Linux."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def show_beside(figures: Mapping[str, Mapping[str, float]]) -> None:
    """Print figures by tree, `this` and perhaps `beside`, with their ratio."""
    for field in figures["this"]:
        values = "  ".join(f"{name} {of_tree[field]:8.3f}" for name, of_tree in figures.items())
        ratio = f"  ratio {figures['this'][field] / figures['beside'][field]:.2f}" if "beside" in figures else ""
        print(f"  {field:28} {values}{ratio}")


def play_in(tree: Path, script: str, *arguments: str) -> bytes:
    """The last line that a script prints with `--child`, in a process of its own with the code of a tree."""
    command = [sys.executable, script, "--child", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(tree / "src")}
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout.splitlines()[-1]


def play_in_turns(options: argparse.Namespace, play: Callable[[Path], msgspec.Struct]) -> None:
    """Play this tree, and beside it another one if that is asked for, in turns; print medians, as JSON or for people.

    Args:
        options: `rounds`, `beside` and `json`.
        play: One round with the code of a tree.
    """
    trees = {"this": Path(__file__).resolve().parents[1]}
    if options.beside:
        trees["beside"] = options.beside.resolve()
    played: dict[str, list[dict[str, float]]] = {name: [] for name in trees}
    for _ in range(options.rounds):
        for name, tree in trees.items():
            played[name].append(msgspec.structs.asdict(play(tree)))
    middle = {
        name: {field: statistics.median(one[field] for one in figures) for field in figures[0]}
        for name, figures in played.items()
    }
    if options.json:
        print(json.dumps(middle))
    else:
        show_beside(middle)


def run(work: Callable[[], Coroutine[object, object, T]]) -> T:
    """Run it on the loop that the hub runs on."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(work())
