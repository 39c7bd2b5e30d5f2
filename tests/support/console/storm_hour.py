"""A hub after an hour of storm, of which each minute is kept: for curves, which a day made in seconds has not."""

import asyncio
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from cimcare.exchange.ledger import Account, Ends
from cimcare.exchange.ports import Selection
from cimcare.hub.operation.minutes import MINUTES, keep_minute
from cimcare.store.opening import open_store
from tests.support.hub import HubProcess, hub_process

__all__ = ["MINUTES_OF_STORM", "storm_hour"]

MINUTES_OF_STORM = 75
_GAP = range(40, 46)
"""Minutes in which no hub ran."""


@contextmanager
def storm_hour(folder: Path, *, calls: int = 400) -> Iterator[HubProcess]:
    """The hub after it, with up to so many messages in a minute."""
    with ThreadPoolExecutor(1) as aside:  # Playwright has a loop of its own in this thread
        aside.submit(lambda: asyncio.run(_seed(folder, calls))).result()
    with hub_process(folder) as hub:
        yield hub


async def _seed(folder: Path, calls: int) -> None:
    store = await open_store(f"sqlite:///{folder / 'hub.db'}")
    now = datetime.now(UTC).replace(second=5, microsecond=0)
    for minute in range(MINUTES_OF_STORM + 1):
        at = now - timedelta(minutes=MINUTES_OF_STORM - minute)
        swell = math.exp(-(((minute - 55) / 16) ** 2))
        came = round(calls * swell * (1 + 0.2 * math.sin(minute * 1.7))) + 2
        refused = came // 9
        async with store.transaction() as transaction:
            for ends, number in ((Ends.RECEIVED, came), (Ends.REFUSED, refused), (Ends.DELIVERED, came - refused)):
                await transaction.ledger.count("CIS", at - timedelta(seconds=30), Account.IN, ends, number)
        if minute in _GAP:
            continue
        await keep_minute(store, at, has_outages=True, keep=timedelta(days=1))
        (stored,) = await store.reader.records.select(MINUTES, Selection(since=at, limit=1))
        record = msgspec.structs.replace(stored.body, incidents=12, customers=round(1800 * swell**0.5))
        async with store.transaction() as transaction:
            await transaction.records.save(MINUTES, msgspec.structs.replace(stored, body=record))
    await store.close()
