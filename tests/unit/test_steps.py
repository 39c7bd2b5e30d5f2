"""Steps are counted of what is done, and of nothing else that the process does at that time."""

import asyncio
import weakref

from cimcare.store.memory import MemoryStore
from tests.support.steps import steps_of


class Ring:
    """What only the collector can take away, and tells so."""

    def __init__(self) -> None:
        self.itself = self
        weakref.finalize(self, str, 1)


async def test_neither_what_is_collected_nor_what_else_runs_is_counted() -> None:
    store = MemoryStore()

    def work() -> None:
        for _ in range(100):
            str(1)

    async def others() -> None:
        while True:
            work()
            await asyncio.sleep(0)

    async def action() -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        work()
        assert len([[] for _ in range(2000)]) == 2000  # enough new lists for a collection to be due

    alone = await steps_of(store, action)
    assert alone > 100
    disturbing = asyncio.create_task(others())
    for _ in range(500):
        Ring()
    assert await steps_of(store, action) == alone
    disturbing.cancel()
