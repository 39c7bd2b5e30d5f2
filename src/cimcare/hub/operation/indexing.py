"""Messages of an earlier release are put into the index by which messages are searched, the newest first.

Source: ours (decision 107).
"""

import asyncio

from cimcare.errors import InputError
from cimcare.exchange.log import Content
from cimcare.exchange.store import Store
from cimcare.hub.intake.reading import read_back

__all__ = ["index_old"]

_TOGETHER = 50
"""Messages of one transaction: so few that those who wait for their turn to write do not notice."""


async def index_old(store: Store, *, pause_seconds: float = 0.0) -> int:
    """Index all that is not; how many there were. Raises StoreError; what was done before that stays.

    Args:
        store: Where they are.
        pause_seconds: Between two transactions, in which others get to work.
    """
    done = 0
    while found := await store.reader.log.find_unindexed(_TOGETHER):
        contents = [(sequence, await _content_of(store, sequence)) for sequence in found]
        async with store.transaction() as transaction:
            for sequence, content in contents:
                await transaction.log.index(sequence, content)
        done += len(found)
        await asyncio.sleep(pause_seconds)
    return done


async def _content_of(store: Store, sequence: int) -> Content | None:
    """What a message says; None where it cannot be read any more, or never could."""
    entry, raw = await store.reader.log.find(sequence), await store.reader.log.find_raw(sequence)
    if entry is None or raw is None or entry.truncated:
        return None
    try:
        return read_back(entry, raw)
    except InputError:
        return None
