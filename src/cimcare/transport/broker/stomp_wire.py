"""A STOMP 1.2 connection on the event loop: frames in and out, and heart-beats.

Nothing here blocks or has a thread. How much waits to be written is bounded by who waits for receipts.

Source: STOMP 1.2.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from itertools import chain
from typing import NamedTuple, cast

__all__ = ["Frame", "FrameReader", "Wire", "render_frame"]

_ESCAPES = str.maketrans({"\\": "\\\\", "\r": "\\r", "\n": "\\n", ":": "\\c"})
_UNESCAPED = {"\\\\": "\\", "\\r": "\r", "\\n": "\n", "\\c": ":"}
_SPECIAL = re.compile(r"[\\\r\n:]")
_PLAIN = frozenset({"STOMP", "CONNECT", "CONNECTED"})
"""Commands whose headers are not escaped, for the sake of STOMP 1.0."""

_EOLS = b"\r\n"


class Frame(NamedTuple):
    """A frame: its command, its headers (the first of each name) and its body."""

    command: str
    headers: dict[str, str]
    body: bytes


def render_frame(command: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """A frame as bytes. It has no header `content-length` unless one is given; then the body must not contain NUL."""
    is_plain = command in _PLAIN or _SPECIAL.search("".join(chain.from_iterable(headers.items()))) is None
    if is_plain:
        lines = [f"{name}:{text}\n" for name, text in headers.items()]
    else:
        lines = [f"{name.translate(_ESCAPES)}:{text.translate(_ESCAPES)}\n" for name, text in headers.items()]
    return b"%b\n%b\0" % (f"{command}\n{''.join(lines)}".encode(errors="replace"), body)


class FrameReader:
    """Takes bytes as they come, and gives the frames that are complete."""

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._head: Frame | None = None
        self._start = 0
        self._looked_to = 0

    def feed(self, data: bytes) -> list[Frame]:
        """Frames that end in these bytes, oldest first; heart-beats are none."""
        self._waiting += data
        frames: list[Frame] = []
        at = 0
        while True:
            if self._head is None:
                while at < len(self._waiting) and self._waiting[at] in _EOLS:
                    at += 1
                begun = self._read_head(at)
                if begun is None:
                    break
                self._head, self._start = begun
                self._looked_to = self._start
            end = self._find_end(self._head)
            if end < 0:
                break
            frames.append(self._head._replace(body=bytes(self._waiting[self._start : end])))
            self._head, at = None, end + 1
        begins = at if self._head is None else self._start
        del self._waiting[:begins]
        self._start = 0
        self._looked_to = max(self._looked_to - begins, 0)
        return frames

    def _read_head(self, at: int) -> tuple[Frame, int] | None:
        """Command and headers, and where the body begins; None if they are not complete."""
        end = self._waiting.find(b"\n\n", at)
        other = self._waiting.find(b"\n\r\n", at, end if end >= 0 else len(self._waiting))
        if end < 0 and other < 0:
            return None
        start = end + 2 if other < 0 else other + 3
        command, *lines = self._waiting[at:start].decode(errors="replace").rstrip("\r\n").split("\n")
        command = command.rstrip("\r")
        headers: dict[str, str] = {}
        for line in lines:
            name, _, text = line.rstrip("\r").partition(":")
            if "\\" in line and command not in _PLAIN:
                name, text = _unescaped(name), _unescaped(text)
            headers.setdefault(name, text)
        return Frame(command, headers, b""), start

    def _find_end(self, head: Frame) -> int:
        """Where the NUL is that ends the frame; below 0 if it has not come."""
        length = head.headers.get("content-length", "").strip()
        if length.isdigit():
            end = self._start + int(length)
            return end if end < len(self._waiting) else -1
        end = self._waiting.find(b"\0", self._looked_to)
        self._looked_to = len(self._waiting)
        return end


def _unescaped(text: str) -> str:
    parts = text.split("\\")
    plain = [parts[0]]
    rest = iter(parts[1:])
    for part in rest:
        if part:
            plain.append(_UNESCAPED.get(f"\\{part[0]}", f"\\{part[0]}") + part[1:])
        else:  # of two in a row the second begins nothing
            plain.append("\\" + next(rest, ""))
    return "".join(plain)


class Wire(asyncio.Protocol):
    """One connection.

    Args:
        on_frame: Told of each frame.
        on_lost: Told once, in words, when the connection is gone.
    """

    def __init__(self, on_frame: Callable[[Frame], None], on_lost: Callable[[str], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._reader = FrameReader()
        self._transport: asyncio.WriteTransport | None = None
        self._beat: asyncio.TimerHandle | None = None
        self._has_written = False
        self.heard_at = self._loop.time()
        """When something of the other side came last, by the clock of the loop."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection of the system is there."""
        self._transport = cast("asyncio.WriteTransport", transport)  # that of uvloop is one, and no subclass

    def data_received(self, data: bytes) -> None:
        """Something came."""
        self.heard_at = self._loop.time()
        for frame in self._reader.feed(data):
            self._on_frame(frame)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection of the system is gone."""
        del exc
        self.end()
        self._on_lost("the connection broke off")

    def send(self, command: str, headers: Mapping[str, str], body: bytes = b"") -> None:
        """Send a frame, behind all that was sent before; nothing if the connection is gone, as `on_lost` tells."""
        if self._transport is not None and not self._transport.is_closing():
            self._has_written = True
            self._transport.write(render_frame(command, headers, body))

    def beat(self, seconds: float) -> None:
        """From now on be heard of at least every so many seconds."""
        self._beat = self._loop.call_later(seconds / 2, self._keep_beating, seconds)

    def _keep_beating(self, seconds: float) -> None:
        if self._transport is not None and not self._has_written and not self._transport.is_closing():
            self._transport.write(b"\n")
        self._has_written = False
        self.beat(seconds)

    def end(self) -> None:
        """End the connection without waiting for anybody."""
        if self._beat is not None:
            self._beat.cancel()
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
