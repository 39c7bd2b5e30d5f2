"""How much work a store has with something, in steps that do not depend on the machine."""

import sys
from collections.abc import Awaitable, Callable
from types import FrameType

from cimcare.exchange.store import Store
from cimcare.store.sqlite import SqliteStore

__all__ = ["steps_of"]

_INSTRUCTIONS = 10


async def steps_of(store: Store, action: Callable[[], Awaitable[None]]) -> int:
    """Do it, and count: calls of Python, and for SQLite what its virtual machine executes, by tens."""
    steps = 0

    def count(*_: FrameType | str | object) -> None:
        nonlocal steps
        steps += 1

    connections = (store._writer, store._reader) if isinstance(store, SqliteStore) else ()
    for connection in connections:
        connection.set_progress_handler(count, _INSTRUCTIONS)
    sys.setprofile(count)
    try:
        await action()
    finally:
        sys.setprofile(None)
        for connection in connections:
            connection.set_progress_handler(None, 0)
    return steps
