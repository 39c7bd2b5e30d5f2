"""Moving what SQLite's log of writes holds into the file, beside the loop.

SQLite does that at the end of a commit, when the log has become long; the loop of the hub would stand still for it, the
longer the more places of a large file were written to. Here a thread does it over a connection of its own, while
messages are worked on and committed: first all that is there, then what has come meanwhile, until little is left. When
the log has become long, that last bit is moved on the loop, between two commits, since the log begins anew only if
nothing came behind and nobody reads it. Decisions 0132, 0135 and 0137 have the reasons.
"""

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

__all__ = ["AT_LATEST_BYTES", "Checkpoints"]

AT_LATEST_BYTES = 128 << 20
"""Of a log that is longer than this the one who commits moves it himself, as SQLite does."""

_ROWS = 2_000
"""So many rows written are worth a round of the thread. A ticket that three partners are told of writes about 60."""

_LONG_BYTES = 32 << 20
"""A log of that length begins anew. That makes the loop wait for the disk, and is not worth it more often."""

_LITTLE_BYTES = 2 << 20
"""So much the loop moves itself, in a millisecond or two."""

_MOST_PASSES = 5
"""Each takes over what came during the one before; more would mean that more comes than can be moved."""

_MOVE = "PRAGMA wal_checkpoint(PASSIVE)"
"""As much as can be moved without anybody having to wait."""

_BEGIN_ANEW = "PRAGMA wal_checkpoint(RESTART)"
"""All of it, while nobody writes; what comes then begins the log anew. If it is in use, no more than the other does."""


class Checkpoints:
    """When the log is moved, and by whom.

    Args:
        writer: The connection that commits, on the loop.
        mover: Another one to the same file, which the thread uses.
    """

    def __init__(self, writer: sqlite3.Connection, mover: sqlite3.Connection) -> None:
        self._writer = writer
        self._mover = mover
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._round: asyncio.Future[None] | None = None
        self._seen = writer.total_changes
        (page,) = writer.execute("PRAGMA page_size").fetchone()  # a file keeps the size with which it was made
        self._long, self._little = _LONG_BYTES // page, _LITTLE_BYTES // page
        self._length = 0
        self._is_rest_due = False

    def note_commit(self) -> None:
        """Something was committed, and no transaction is open."""
        if self._round is not None:
            return
        if self._is_rest_due:
            with suppress(sqlite3.Error):  # the log only grows for longer
                is_in_use, _, _ = self._writer.execute(_BEGIN_ANEW).fetchone()
                self._is_rest_due = bool(is_in_use)
        elif self._writer.total_changes - self._seen >= _ROWS:
            self._seen = self._writer.total_changes
            self._round = asyncio.get_running_loop().run_in_executor(self._thread, self._move)
            self._round.add_done_callback(self._note_moved)

    async def close(self) -> None:
        """Wait for the thread to end."""
        if self._round is not None:
            await asyncio.wait([self._round])
        self._thread.shutdown()
        self._mover.close()

    def _move(self) -> None:
        """In the thread: pass after pass, until the last has found little."""
        moved = 0
        for _ in range(_MOST_PASSES):
            _, self._length, now = self._mover.execute(_MOVE).fetchone()
            if now < self._length or 0 <= now - moved <= self._little:
                return  # somebody reads what is old, or little was left
            moved = now

    def _note_moved(self, moved: asyncio.Future[None]) -> None:
        self._round = None
        self._is_rest_due = not moved.cancelled() and moved.exception() is None and self._length >= self._long
