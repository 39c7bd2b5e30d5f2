"""The directory of premises and customers in the store of a hub: brought by a utility, with rows in the audit trail."""

from collections import Counter
from collections.abc import Sequence

import msgspec

from cimcare.exchange.audit import Action, Note
from cimcare.exchange.ports import Clock, NewID
from cimcare.exchange.store import Store
from cimcare.model.directory import DirectoryRow
from cimcare.systems.cis.loading import Loaded, load_row

__all__ = ["LoadedDirectory", "load_directory"]

_SLICE = 200
"""Rows of one transaction, between which messages have their turn."""


class LoadedDirectory(msgspec.Struct, frozen=True, kw_only=True):
    """How many of the premises are new, altered, and as they were."""

    added: int
    changed: int
    same: int


async def load_directory(
    store: Store, rows: Sequence[DirectoryRow], *, file: str, actor: str, clock: Clock, new_id: NewID
) -> LoadedDirectory:
    """Bring the directory up to a table, some hundred rows in a transaction; done again, it goes on where it ended.

    Raises:
        StoreError: A part could not be written. What was written before it stays.
    """
    total: Counter[Loaded] = Counter()
    for start in range(0, len(rows), _SLICE):
        async with store.transaction() as transaction:
            now = clock()
            part = rows[start : start + _SLICE]
            done = Counter([await load_row(transaction.records, row, now, new_id) for row in part])
            if done[Loaded.ADDED] or done[Loaded.CHANGED]:
                told = f"{file}, lines {part[0].line} to {part[-1].line}:"
                details = f"{told} {done[Loaded.ADDED]} added, {done[Loaded.CHANGED]} changed"
                note = Note(at=now, action=Action.DIRECTORY, actor=actor, subject="directory", details=details)
                await transaction.audit.append(note)
        total += done
    return LoadedDirectory(added=total[Loaded.ADDED], changed=total[Loaded.CHANGED], same=total[Loaded.SAME])
