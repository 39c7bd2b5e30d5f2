"""Messages that were read lately, so that what goes to several partners is read once.

What is in the log under a sequence never changes, and no other message ever gets that sequence.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping

import msgspec

from cimcare.errors import CimcareError
from cimcare.exchange.log import LogEntry, MessageReader, Transport
from cimcare.hub.intake.judging import Readable
from cimcare.hub.intake.reading import read_back

__all__ = ["Recalled", "Recalling"]

_MOST_BYTES = 4 * 1024 * 1024
_LARGEST_BYTES = 256 * 1024
"""A larger message is read each time: its delivery takes long enough for that not to matter."""


class Recalled(msgspec.Struct, frozen=True, kw_only=True):
    """A message of the log; if there is none, why not. `raw` are its bytes if it was written here, else empty."""

    message: Readable | None = None
    reason: str = ""
    raw: bytes = b""


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
        self._under_way: dict[int, asyncio.Task[Recalled]] = {}
        self._wanted: list[int] = []
        self._looking: asyncio.Task[Mapping[int, tuple[LogEntry, bytes]]] | None = None

    async def recall(self, sequence: int) -> Recalled:
        """The message with this sequence. Who asks while it is being read for another gets what that one gets.

        Raises:
            StoreError: The log cannot be read.
        """
        known = self._known.get(sequence)
        if known is not None:
            self._known.move_to_end(sequence)
            return known[0]
        reading = self._under_way.get(sequence)
        if reading is None:
            reading = self._under_way[sequence] = asyncio.ensure_future(self._read(sequence))
            reading.add_done_callback(lambda one: self._is_read(sequence, one))
        return await asyncio.shield(reading)  # whoever is let go of must not take the others with him

    def _is_read(self, sequence: int, reading: asyncio.Task[Recalled]) -> None:
        del self._under_way[sequence]
        if not reading.cancelled():
            reading.exception()  # seen, should nobody wait for it any more

    async def _read(self, sequence: int) -> Recalled:
        entry, raw = (await self._find(sequence)).get(sequence, (None, b""))
        if entry is None:
            return Recalled(reason=f"message {sequence} is not in the log any more")
        try:
            message = read_back(entry, raw)
        except CimcareError as error:
            return Recalled(reason=f"message {sequence} cannot be read any more ({error.code})")
        recalled = Recalled(message=message, raw=raw if entry.transport is Transport.INTERNAL else b"")
        self._remember(sequence, recalled, len(raw))
        return recalled

    async def _find(self, sequence: int) -> Mapping[int, tuple[LogEntry, bytes]]:
        """What was found for all that were wanted in one round of the loop, by one look."""
        self._wanted.append(sequence)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        return await asyncio.shield(self._looking)

    async def _look(self) -> Mapping[int, tuple[LogEntry, bytes]]:
        await asyncio.sleep(0)
        wanted, self._wanted, self._looking = self._wanted, [], None
        return await self._log.find_whole(wanted)

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
