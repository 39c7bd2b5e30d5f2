"""What commands share that change what a hub keeps: the reason, and Ctrl-C between two steps."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from cimcare.cli.input import fail
from cimcare.hub.outgoing.reasons import ReasonError, require_reason

__all__ = ["halted_by_ctrl_c", "require_given"]


@contextmanager
def halted_by_ctrl_c() -> Iterator[asyncio.Event]:
    """An event that the first Ctrl-C sets; the next one ends the program at once, which undoes what is half done."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def halt() -> None:
        stop.set()
        loop.remove_signal_handler(signal.SIGINT)

    loop.add_signal_handler(signal.SIGINT, halt)
    try:
        yield stop
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def require_given(reason: str | None) -> str:
    """The reason. Ends the program with code 2 if there is none, or if it says nothing."""
    if reason is None:
        fail("--reason is missing: say why, for the audit trail", code=2)
    try:
        return require_reason(reason)
    except ReasonError as error:
        fail(error, code=2)
