"""Sends a storm: each message at its instant, whatever became of those before it.

Arrivals never wait for answers. Where all connections are busy, up to the bound, messages wait here and are counted as
late; their latency counts from their instant all the same. The client is as thin as a client can be, since on a small
machine the other side is to be measured and not the sender.
"""

import asyncio
import contextlib
import re
import ssl
from collections import deque
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlsplit

from cimcare.storm.judging import Outcome, find_estimate, judge
from cimcare.storm.plan import Item, Plan
from cimcare.storm.tally import Tally
from cimcare.storm.wording import Wording

__all__ = ["Exchange", "Pace", "Sending"]

_LEAD_SECONDS = 0.3
_IDLE_SECONDS = 3.0
"""Servers close a connection that nobody uses for 5 s or so."""

_SLICE = 64
"""Messages that are started in one go, before answers are looked at."""

_SWEEP_SECONDS = 0.25
_MOST_BYTES = 64 * 1024 * 1024
"""No answer is longer."""

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection:[ \t]*close", re.IGNORECASE)
_AGAIN = re.compile(rb"\r\nretry-after:[ \t]*(\d{1,4})\r", re.IGNORECASE)
_AGAIN_SECONDS = 2.0


class Pace(NamedTuple):
    """How a storm is played.

    `speed` is how many seconds of the storm pass in one; at most `connections` are open; an answer that takes longer
    than `timeout` seconds is not waited for. A message that was refused as one too many, or got no answer, is sent
    `resend` times more, as it is. Hazards have to be acknowledged within `hazard_seconds`.
    """

    speed: float = 1.0
    connections: int = 4000
    timeout: float = 30.0
    resend: int = 0
    hazard_seconds: float = 1.0


class Exchange(asyncio.Protocol):
    """One connection with at most one request under way.

    Reads as much of HTTP/1.1 as answers have: a length, chunks, or an end by closing.
    """

    def __init__(self, on_answer: "Callable[[Exchange, int, bytes, bytes], None]", on_end: "_OnEnd") -> None:
        self._on_answer, self._on_end = on_answer, on_end
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self.number = -1
        """Number of the message under way; -1 if there is none."""
        self.since = 0.0
        self.closes = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's is none of asyncio's by type

    def ask(self, number: int, request: bytes, now: float) -> None:
        """Send a request."""
        self.number, self.since = number, now
        self._received = b""
        assert self._transport is not None
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Something of an answer has come."""
        if self.number < 0 or len(self._received) > _MOST_BYTES:  # nobody asked, or it never ends
            self.close()
            return
        received = self._received = self._received + data if self._received else data
        try:
            self._read(received)
        except ValueError:  # the length of a chunk that is none
            self.close()

    def _read(self, received: bytes) -> None:
        end = received.find(b"\r\n\r\n")
        if end < 0:
            return
        status = int(received[9:12]) if received[9:12].isdigit() else 0
        if 100 <= status < 200:
            self._received = received[end + 4 :]
            self._read(self._received)
            return
        length = _LENGTH.search(received, 0, end + 2)
        if length is not None:
            if len(received) - end - 4 >= int(length[1]):
                self._answer(status, received[:end], received[end + 4 : end + 4 + int(length[1])])
        elif _CHUNKED.search(received, 0, end + 2):
            body = _unchunk(received, end + 4)
            if body is not None:
                self._answer(status, received[:end], body)
        elif status in (204, 304):
            self._answer(status, received[:end], b"")

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended; an answer without a length is complete by that."""
        self.closes = True
        end = self._received.find(b"\r\n\r\n")
        is_open_ended = end >= 0 and not _LENGTH.search(self._received, 0, end + 2)
        if self.number >= 0 and exc is None and is_open_ended and not _CHUNKED.search(self._received, 0, end + 2):
            status = int(self._received[9:12]) if self._received[9:12].isdigit() else 0
            self._answer(status, self._received[:end], self._received[end + 4 :])
        self._on_end(self)

    def close(self) -> None:
        """End it."""
        self.closes = True
        if self._transport is not None:
            self._transport.abort()

    def _answer(self, status: int, head: bytes, body: bytes) -> None:
        self._received = b""
        self.closes = self.closes or head.startswith(b"HTTP/1.0") or _CLOSES.search(head + b"\r\n") is not None
        self._on_answer(self, status, head, body)


_OnEnd = Callable[[Exchange], None]


class Sending:
    """One storm on its way.

    Use it on one event loop: `run` until all is answered, `stop` to end it early.

    Args:
        plan: What is sent, and when.
        wording: Its bytes.
        tally: What is counted.
        url: Address of the endpoint, for the connection.
        tls: How TLS is done, for https.
        pace: How it is played.
    """

    def __init__(
        self,
        plan: Plan,
        wording: Wording,
        tally: Tally,
        *,
        url: str,
        tls: ssl.SSLContext | None,
        pace: Pace,
    ) -> None:
        self._plan, self._wording, self._tally, self._pace = plan, wording, tally, pace
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = tls
        self._idle: deque[Exchange] = deque()
        self._busy: set[Exchange] = set()
        self._waiting: deque[int] = deque()
        self._again: dict[int, int] = {}
        self._opening: set[asyncio.Task[None]] = set()
        self._next = 0
        self._begin = 0.0
        self._handle: asyncio.Handle | None = None
        self._ended = asyncio.Event()
        self._over = asyncio.Event()
        self._stopped = False

    @property
    def connections(self) -> int:
        """How many are open or being opened."""
        return len(self._idle) + len(self._busy) + len(self._opening)

    @property
    def offered(self) -> int:
        """Messages of which the instant has come."""
        return self._next

    @property
    def under_way(self) -> int:
        """Messages begun and not settled."""
        return self._next - self._tally.settled

    @property
    def passed(self) -> float:
        """Seconds of the storm that have passed."""
        elapsed = (asyncio.get_running_loop().time() - self._begin) * self._pace.speed if self._begin else 0.0
        return min(max(elapsed, 0.0), self._plan.at[-1] if self._plan.at else 0.0)

    async def pass_to(self, seconds: float) -> None:
        """Wait until so many seconds of the storm have passed, or it is over."""
        loop = asyncio.get_running_loop()
        begin = self._begin or loop.time() + _LEAD_SECONDS
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(begin + seconds / self._pace.speed):
                await self._over.wait()

    async def reach(self) -> None:
        """Open one connection. Raises OSError or TimeoutError if nobody is there."""
        async with asyncio.timeout(self._pace.timeout):
            self._idle.append(await self._connect())

    async def run(self) -> None:
        """Send all of it, and wait for the answers."""
        loop = asyncio.get_running_loop()
        self._begin = loop.time() + _LEAD_SECONDS
        if not self._plan.at:
            return
        self._handle = loop.call_at(self._begin, self._pump)
        sweep = asyncio.create_task(self._sweep())
        try:
            await self._ended.wait()
        finally:
            sweep.cancel()
            self._handle.cancel()
            await self.close()

    async def close(self) -> None:
        """End all connections."""
        for line in (*self._idle, *self._busy):
            line.close()
        for task in self._opening:
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)

    def stop(self) -> None:
        """Begin nothing more; the second time, wait for nothing more either."""
        if self._stopped:
            self._ended.set()
        self._stopped = True
        self._over.set()
        self._waiting_is_over()
        self._look_for_end()

    # ------------------------------------------------------------------------------------------------------- arrivals

    def _pump(self) -> None:
        """Start what is due, a slice at a time."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        at, speed, begin, count = self._plan.at, self._pace.speed, self._begin, len(self._plan.at)
        last = min(self._next + _SLICE, count)
        while self._next < last and not self._stopped:
            if begin + at[self._next] / speed > now:
                break
            number = self._next
            self._next += 1
            self._tally.due(number)
            self._start(number, now)
        if self._next < count and not self._stopped:
            due = begin + at[self._next] / speed
            self._handle = loop.call_soon(self._pump) if due <= now else loop.call_at(due, self._pump)
        else:
            self._look_for_end()

    def _start(self, number: int, now: float) -> None:
        while self._idle:
            line = self._idle.pop()
            if line.closes:
                continue
            if now - line.since > _IDLE_SECONDS:  # the newest is too old, so all are
                line.close()
                continue
            self._ask(line, number, now)
            return
        if self.connections < self._pace.connections:
            task = asyncio.get_running_loop().create_task(self._open_for(number))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
        else:
            self._waiting.append(number)

    def _ask(self, line: Exchange, number: int, now: float) -> None:
        self._busy.add(line)
        if number not in self._again:
            self._tally.started(number, now - self._begin - self._plan.at[number] / self._pace.speed)
        self._tally.sent += 1
        line.ask(number, self._wording.request(number), now)

    async def _open_for(self, number: int) -> None:
        try:
            async with asyncio.timeout(self._pace.timeout):
                line = await self._connect()
        except (OSError, TimeoutError) as error:
            self._settle(number, Outcome.UNREACHABLE, type(error).__name__)
            self._opening.discard(asyncio.current_task())
            self._use_room()
            return
        # What has waited longer goes first.
        if self._waiting:
            self._waiting.append(number)
            number = self._waiting.popleft()
        self._ask(line, number, asyncio.get_running_loop().time())

    async def _connect(self) -> Exchange:
        name = self._host if self._tls is not None else None
        _, line = await asyncio.get_running_loop().create_connection(
            lambda: Exchange(self._answered, self._lost), self._host, self._port, ssl=self._tls, server_hostname=name
        )
        line.since = asyncio.get_running_loop().time()
        return line

    # -------------------------------------------------------------------------------------------------------- answers

    def _answered(self, line: Exchange, status: int, head: bytes, body: bytes) -> None:
        number, line.number = line.number, -1
        now = asyncio.get_running_loop().time()
        line.since = now
        self._busy.discard(line)
        self._judged(number, status, head, body)
        if line.closes:
            line.close()
            self._use_room()
        elif self._waiting:
            self._ask(line, self._waiting.popleft(), now)
        else:
            self._idle.append(line)

    def _judged(self, number: int, status: int, head: bytes, body: bytes) -> None:
        """An answer has come: count what it amounts to, or send the message once more."""
        outcome, reason = judge(status, body)
        if outcome is Outcome.BUSY and self._come_again(number, head):
            return
        if self._plan.kinds[number] == Item.ASK_INCIDENT:
            estimate = find_estimate(body)
            if estimate:
                self._tally.tell_estimate(number, estimate)
        self._settle(number, outcome, reason)

    def _lost(self, line: Exchange) -> None:
        if line in self._busy:
            self._busy.discard(line)
            number, line.number = line.number, -1
            if not self._come_again(number):
                self._settle(number, Outcome.BROKEN, "")
        elif line in self._idle:
            self._idle.remove(line)
        self._use_room()

    def _use_room(self) -> None:
        """Begin what waits for a connection, now that there is one less."""
        if self._waiting and not self._stopped and self.connections < self._pace.connections:
            self._start(self._waiting.popleft(), asyncio.get_running_loop().time())

    def _come_again(self, number: int, head: bytes = b"") -> bool:
        """Whether a message is sent once more, after the pause that the answer asks for."""
        attempts = self._again.get(number, 0)
        if attempts >= self._pace.resend or self._stopped or self._ended.is_set():
            return False
        self._again[number] = attempts + 1
        self._tally.sent_again += 1
        asked = _AGAIN.search(head + b"\r")
        loop = asyncio.get_running_loop()
        loop.call_later(float(asked[1]) if asked else _AGAIN_SECONDS, lambda: self._start(number, loop.time()))
        return True

    def _settle(self, number: int, outcome: Outcome, reason: str) -> None:
        now = asyncio.get_running_loop().time()
        seconds = now - self._begin - self._plan.at[number] / self._pace.speed
        self._again.pop(number, None)
        self._tally.settle(number, outcome, seconds, reason, allowed=self._pace.hazard_seconds)
        self._look_for_end()

    def _look_for_end(self) -> None:
        is_sent = self._stopped or self._next == len(self._plan.at)
        if is_sent and self._tally.settled >= self._next:
            self._ended.set()
            self._over.set()

    def _waiting_is_over(self) -> None:
        while self._waiting:
            self._settle(self._waiting.popleft(), Outcome.UNSENT, "")

    async def _sweep(self) -> None:
        """Give up what has waited too long."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            self._sweep_once(loop.time())

    def _sweep_once(self, now: float) -> None:
        for line in [line for line in self._busy if now - line.since > self._pace.timeout]:
            self._busy.discard(line)
            number, line.number = line.number, -1
            line.close()
            if not self._come_again(number):
                self._settle(number, Outcome.TIMEOUT, "")
        while self._waiting:
            due = self._begin + self._plan.at[self._waiting[0]] / self._pace.speed
            if now - due <= self._pace.timeout:
                break
            self._settle(self._waiting.popleft(), Outcome.UNSENT, "")
        while self._idle and now - self._idle[0].since > _IDLE_SECONDS:
            self._idle.popleft().close()


def _unchunk(received: bytes, at: int) -> bytes | None:
    """The body of an answer in chunks; None while it is not complete."""
    parts: list[bytes] = []
    while True:
        end = received.find(b"\r\n", at)
        if end < 0:
            return None
        size = int(received[at:end].partition(b";")[0].strip() or b"0", 16)
        if not size:
            return b"".join(parts) if received.find(b"\r\n", end + 2) >= 0 else None
        if len(received) < end + 2 + size + 2:
            return None
        parts.append(received[end + 2 : end + 2 + size])
        at = end + 4 + size
