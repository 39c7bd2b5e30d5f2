"""Verifies the audit trail: the chain itself, and each message that it seals against the log.

The log may hold more than fits in memory: rows and messages are read page by page, and what has to be remembered of a
message is a bit. A running hub may write meanwhile.

What cannot be found: whoever may write to the database can also make the chain anew, or take away its newest rows
together with the messages that they seal. Only a hash of a row that was kept elsewhere shows that. `Verification.head`
is the one to keep, and `verify` takes one that was kept.

Source: guarantee G10.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TypeVar

import msgspec

from cimcare.exchange.audit import START, AuditRow, Sealed, hash_of_message, hash_of_row
from cimcare.exchange.log import LogEntry, LogSelection
from cimcare.exchange.removal import removed_by, runs_of
from cimcare.exchange.store import Reader

__all__ = ["UNREADABLE", "Flaw", "Verification", "verify"]

T = TypeVar("T")

_PAGE = 1000
_MOST_SKIPPED = 10_000
"""How many numbers behind a row that cannot be read are tried, to find the next one."""

UNREADABLE = (ValueError, TypeError, AttributeError, OverflowError, msgspec.MsgspecError)
"""What a value raises that no hub has written."""


class Flaw(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not as the trail was written.

    `code` is a row of the error table. `number` is that of the row of the trail, `sequence` that of the message, and
    `until` that of the last of several messages in a row; None where it is about none.
    """

    code: str
    found: str
    number: int | None = None
    sequence: int | None = None
    until: int | None = None

    def describe(self) -> str:
        """In one line."""
        row = f"row {self.number}" if self.number is not None else ""
        last = f" to {self.until}" if self.until is not None else ""
        message = f"message {self.sequence}{last}" if self.sequence is not None else ""
        place = ", ".join(part for part in (row, message) if part) or "trail"
        return f"{place}: {self.code} {self.found}"


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it.

    `rows` were read; `messages` are in the log as they were sealed, `removed` were removed by retention as a row says.
    `head_number` and `head`, in hexadecimal digits, are number and hash of the last row. `flaws` are the first ones
    found, of `more` that are not listed.
    """

    rows: int
    messages: int
    removed: int
    head_number: int
    head: str
    flaws: tuple[Flaw, ...]
    more: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether nothing was found."""
        return not self.flaws


async def verify(reader: Reader, *, head: bytes = b"", since: int = 0, most: int = 1000) -> Verification:
    """Walk the whole trail and the whole log. Raises StoreError.

    Args:
        reader: Trail and log.
        head: Hash of a row that was kept elsewhere; it has to be in the chain.
        since: Messages before this sequence need no seal: a release without a trail has kept them.
        most: Most flaws that are listed.
    """
    walk = _Walk(reader, head, most)
    await walk.along_the_chain()
    await walk.along_the_log(since)
    await walk.along_the_chain()  # what came meanwhile is sealed by rows that came meanwhile
    return walk.end()


class _Walk:
    """One verification under way."""

    def __init__(self, reader: Reader, head: bytes, most: int) -> None:
        self._reader = reader
        self._head = head
        self._most = most
        self._number = 0
        self._hash: bytes | None = START
        self._rows = 0
        self._removed = 0
        self._sealed = _Marks()
        self._altered = _Marks()
        self._missing = _Marks()
        self._unsealed = _Marks()
        self._altered_by: dict[int, int] = {}
        self._flaws: list[Flaw] = []
        self._more = 0

    # ------------------------------------------------------------------------------------------------------ chain

    async def along_the_chain(self) -> None:
        """Look at each row behind the last one that was seen, and at the messages that it seals."""
        async for number, row in _each(self._reader.audit.rows, lambda one: one.number, after=self._number):
            self._rows += 1
            if row is None:
                self._note("EXC-131", "what stands in it cannot be read", number=number)
                self._number, self._hash = number, None
                continue
            self._check_link(row)
            for sealed in row.messages:
                await self._check_message(number, sealed)
            for run in removed_by(row):
                self._removed += len(run)
                for marks in (self._sealed, self._altered, self._missing):
                    marks.discard(run)

    def _check_link(self, row: AuditRow) -> None:
        number = self._number + 1
        if row.number != number:
            found = f"rows {number} to {row.number - 1} are missing" if row.number - 1 > number else "is missing"
            self._note("EXC-130", found, number=number)
        elif self._hash is not None and row.previous != self._hash:
            before = f"row {self._number}" if self._number else "the beginning"
            self._note("EXC-130", f"does not follow {before}, whose hash it should repeat", number=row.number)
        if not _is_sound(row):
            self._note("EXC-131", "is not what its hash was made of", number=row.number)
        if self._head and row.hash == self._head:
            self._head = b""
        self._number, self._hash = row.number, row.hash

    async def _check_message(self, number: int, sealed: Sealed) -> None:
        """What was sealed last counts, for a message is sealed anew when it gets its outcome."""
        sequence = sealed.sequence
        this = range(sequence, sequence + 1)
        self._sealed.add(sequence)
        self._missing.discard(this)
        self._altered.discard(this)
        self._altered_by.pop(sequence, None)
        try:
            entry, raw = await self._reader.log.find(sequence), await self._reader.log.find_raw(sequence)
            if entry is None or raw is None:
                self._missing.add(sequence)
                return
            is_whole = hash_of_message(entry, raw) == sealed.hash
        except UNREADABLE:
            is_whole = False
        if not is_whole:
            self._altered.add(sequence)
            if len(self._altered_by) < self._most:
                self._altered_by[sequence] = number

    # -------------------------------------------------------------------------------------------------------- log

    async def along_the_log(self, since: int) -> None:
        """Look for messages that no row seals."""

        async def read(after: int, limit: int) -> tuple[LogEntry, ...]:
            return await self._reader.log.select(LogSelection(after=after, limit=limit))

        async for sequence, _ in _each(read, lambda one: one.sequence, after=max(since - 1, 0)):
            if sequence not in self._sealed:
                self._unsealed.add(sequence)

    # -------------------------------------------------------------------------------------------------------- end

    def end(self) -> Verification:
        """What came of it."""
        if self._head:
            self._note("EXC-134", f"no row has the hash {self._head.hex()}: rows were taken away, or made anew")
        for sequence in self._altered:
            found = "is not in the log as it was sealed"
            self._note("EXC-132", found, number=self._altered_by.get(sequence), sequence=sequence)
        self._note_runs("EXC-133", "not in the log, and no row says that it was removed", iter(self._missing))
        unsealed = (sequence for sequence in self._unsealed if sequence not in self._sealed)
        self._note_runs("EXC-134", "in the log, and no row seals it, or one says that it was removed", unsealed)
        return Verification(
            rows=self._rows,
            messages=len(self._sealed) - len(self._altered) - len(self._missing),
            removed=self._removed,
            head_number=self._number,
            head=_hex_of(self._hash) if self._number else "",
            flaws=tuple(self._flaws),
            more=self._more,
        )

    def _note_runs(self, code: str, found: str, sequences: Iterator[int]) -> None:
        for run in runs_of(sequences):
            self._note(code, found, sequence=run.start, until=run.stop - 1 if len(run) > 1 else None)

    def _note(
        self,
        code: str,
        found: str,
        *,
        number: int | None = None,
        sequence: int | None = None,
        until: int | None = None,
    ) -> None:
        if len(self._flaws) == self._most:
            self._more += 1
            return
        self._flaws.append(Flaw(code=code, found=found, number=number, sequence=sequence, until=until))


def _hex_of(value: bytes | None) -> str:
    """Hexadecimal digits; none of what is no hash at all."""
    try:
        return (value or b"").hex()
    except UNREADABLE:
        return ""


def _is_sound(row: AuditRow) -> bool:
    try:
        return hash_of_row(row) == row.hash
    except UNREADABLE:
        return False


async def _each(
    read: Callable[[int, int], Awaitable[tuple[T, ...]]], number_of: Callable[[T], int], *, after: int
) -> AsyncIterator[tuple[int, T | None]]:
    """Rows behind a number, page by page, each with its number; None stands for one that cannot be read."""
    limit, skipped = _PAGE, 0
    while True:
        try:
            rows = await read(after + skipped, limit)
        except UNREADABLE:
            if limit == 1:
                skipped += 1
            limit = 1  # one by one up to the culprit, whose number is the first behind which it is not met
            if skipped <= _MOST_SKIPPED:
                continue
            rows = ()
        if skipped:
            after, skipped, limit = after + skipped, 0, _PAGE
            yield after, None
        if not rows:
            return
        for row in rows:
            yield number_of(row), row
        after = number_of(rows[-1])


class _Marks:
    """A set of sequences that takes a bit for each, in pages."""

    _BITS = 16

    def __init__(self) -> None:
        self._pages: dict[int, int] = {}

    def add(self, sequence: int) -> None:
        """Put one in."""
        page, bit = divmod(sequence, 1 << self._BITS)
        self._pages[page] = self._pages.get(page, 0) | 1 << bit

    def discard(self, run: range) -> None:
        """Take out all of a run."""
        first, last = run.start >> self._BITS, (run.stop - 1) >> self._BITS
        for page in range(first, last + 1) if last - first < len(self._pages) else list(self._pages):
            bits = self._pages.get(page)
            if bits is None:
                continue
            start = page << self._BITS
            from_, to = max(run.start - start, 0), min(run.stop - start, 1 << self._BITS)
            if from_ < to:
                bits &= ~((1 << to) - (1 << from_))
                if bits:
                    self._pages[page] = bits
                else:
                    del self._pages[page]

    def __contains__(self, sequence: int) -> bool:
        page, bit = divmod(sequence, 1 << self._BITS)
        return bool(self._pages.get(page, 0) >> bit & 1)

    def __len__(self) -> int:
        return sum(bits.bit_count() for bits in self._pages.values())

    def __iter__(self) -> Iterator[int]:
        for page in sorted(self._pages):
            bits = self._pages[page]
            while bits:
                lowest = bits & -bits
                yield (page << self._BITS) + lowest.bit_length() - 1
                bits ^= lowest
