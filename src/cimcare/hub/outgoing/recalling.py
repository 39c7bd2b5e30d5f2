"""Messages that were read lately, so that what goes to several partners is read once.

What is in the log under a sequence never changes, and no other message ever gets that sequence.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Mapping
from functools import partial

import msgspec

from cimcare.codec.envelope import read_beginning
from cimcare.errors import CimcareError
from cimcare.exchange.log import LogEntry, MessageReader, Transport
from cimcare.hub.intake.judging import Readable
from cimcare.hub.intake.reading import read_kept

__all__ = ["Recalled", "Recalling"]

_MOST_BYTES = 4 * 1024 * 1024
_LARGEST_BYTES = 256 * 1024
"""A larger message is read each time: its delivery takes long enough for that not to matter."""


class Recalled(msgspec.Struct, frozen=True, kw_only=True):
    """A message of the log; if there is none, why not. `raw` are its bytes if it was written here, else empty.

    Where it is not `is_whole`, it is an event that was written here, with its header and without its payload.
    """

    message: Readable | None = None
    reason: str = ""
    raw: bytes = b""
    is_whole: bool = True


class Recalling:
    """Reads messages of the log by sequence. Use it on one event loop.

    Args:
        log: Where they are.
        most_bytes: So many bytes of messages are remembered, as they are kept.
    """

    def __init__(self, log: MessageReader, *, most_bytes: int = _MOST_BYTES) -> None:
        self._log = log
        self._most_bytes = most_bytes
        self._known: OrderedDict[int, tuple[Recalled, int]] = OrderedDict()
        self._known_bytes = 0
        self._under_way: dict[int, asyncio.Task[Mapping[int, Recalled]]] = {}

    async def recall(self, sequences: Collection[int], *, whole: bool = True) -> dict[int, Recalled]:
        """The messages with these sequences. Who asks while one is being read for another gets what that one gets.

        Args:
            sequences: Which, by one look for all that are not at hand.
            whole: False if the header is enough of an event that was written here and has its MessageID.

        Raises:
            StoreError: The log cannot be read.
        """
        found: dict[int, Recalled] = {}
        missing: list[int] = []
        readings: dict[asyncio.Task[Mapping[int, Recalled]], None] = {}
        for sequence in sequences:
            known = self._known.get(sequence)
            if known is not None:
                self._known.move_to_end(sequence)
                found[sequence] = known[0]
            elif sequence in self._under_way:
                readings[self._under_way[sequence]] = None
            else:
                missing.append(sequence)
        if missing:
            reading = asyncio.ensure_future(self._read(missing, whole=whole))
            self._under_way.update(dict.fromkeys(missing, reading))
            reading.add_done_callback(partial(self._is_read, missing))
            readings[reading] = None
        for reading in readings:
            # Whoever is let go of must not take the others with him.
            read = await asyncio.shield(reading)
            found.update((sequence, read[sequence]) for sequence in sequences if sequence in read)
        if whole:
            for sequence, recalled in found.items():
                if not recalled.is_whole:
                    found[sequence] = self._complete(sequence, recalled)
        return found

    def _is_read(self, sequences: list[int], reading: asyncio.Task[Mapping[int, Recalled]]) -> None:
        for sequence in sequences:
            del self._under_way[sequence]
        if not reading.cancelled():
            reading.exception()  # seen, should nobody wait for it any more

    async def _read(self, sequences: list[int], *, whole: bool) -> Mapping[int, Recalled]:
        rows = await self._log.find_whole(sequences)
        read: dict[int, Recalled] = {}
        for sequence in sequences:
            entry, raw = rows.get(sequence, (None, b""))
            read[sequence] = recalled = _recalled(sequence, entry, raw, whole=whole)
            if recalled.message is not None:
                self._remember(sequence, recalled, len(raw))
            if recalled.is_whole:
                await asyncio.sleep(0)  # reading takes its time, and others have work too
        return read

    def _complete(self, sequence: int, known: Recalled) -> Recalled:
        """Read the rest of an event of which the header was enough before."""
        recalled = _read_whole(sequence, Transport.INTERNAL, known.raw)
        if sequence in self._known:
            self._known[sequence] = (recalled, len(known.raw))
        return recalled

    def remember(self, sequence: int, recalled: Recalled) -> None:
        """Take over a message that was written here, and is on disk, without reading it."""
        self._remember(sequence, recalled, len(recalled.raw))

    def _remember(self, sequence: int, recalled: Recalled, size_bytes: int) -> None:
        if size_bytes > _LARGEST_BYTES or sequence in self._known:
            return
        self._known[sequence] = (recalled, size_bytes)
        self._known_bytes += size_bytes
        while self._known_bytes > self._most_bytes:
            _, (_, oldest_bytes) = self._known.popitem(last=False)
            self._known_bytes -= oldest_bytes


def _recalled(sequence: int, entry: LogEntry | None, raw: bytes, *, whole: bool) -> Recalled:
    if entry is None:
        return Recalled(reason=f"message {sequence} is not in the log any more")
    if not whole and entry.transport is Transport.INTERNAL:
        event = read_beginning(raw)
        if event is not None and event.header.message_id is not None:
            return Recalled(message=event, raw=raw, is_whole=False)
    return _read_whole(sequence, entry.transport, raw)


def _read_whole(sequence: int, transport: Transport, raw: bytes) -> Recalled:
    try:
        message = read_kept(raw, transport)
    except CimcareError as error:
        return Recalled(reason=f"message {sequence} cannot be read any more ({error.code})")
    return Recalled(message=message, raw=raw if transport is Transport.INTERNAL else b"")
