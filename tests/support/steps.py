"""How much work a store has with something, in steps that do not depend on the machine."""

import gc
import sys
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from types import FrameType

from cimcare.exchange.store import Store
from cimcare.store.sqlite import SqliteStore

__all__ = ["steps_of"]

_INSTRUCTIONS = 10
_is_counted: ContextVar[bool] = ContextVar("is_counted", default=False)


async def steps_of(store: Store, action: Callable[[], Awaitable[None]]) -> int:
    """Do it, and count: calls of Python, and for SQLite what its virtual machine executes, by tens.

    What a hub does by its clock meanwhile is not counted: it runs in tasks that were not begun here. Nor is what is
    called when garbage is collected, which may be that of a test before.
    """
    steps = 0

    def count(*_: FrameType | str | object) -> None:
        nonlocal steps
        if _is_counted.get():
            steps += 1

    connections = (store._writer, store._reader) if isinstance(store, SqliteStore) else ()
    for connection in connections:
        connection.set_progress_handler(count, _INSTRUCTIONS)
    gc.collect()
    gc.disable()
    token = _is_counted.set(True)
    sys.setprofile(count)
    try:
        await action()
    finally:
        sys.setprofile(None)
        _is_counted.reset(token)
        gc.enable()
        for connection in connections:
            connection.set_progress_handler(None, 0)
    return steps
