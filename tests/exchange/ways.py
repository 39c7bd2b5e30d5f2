"""The ways on which the table of exchanges is driven: which of its cells each carries, and a hub that can be asked so.

A new transport is one more entry of `WAYS`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import cycle
from pathlib import Path

import msgspec

from cimcare.model.envelope import AnyMessage, FaultMessage, ResponseMessage
from cimcare.samples.build import BASE_INSTANT
from tests.exchange.cells import CELLS, SERVED_AND_ONE_OF_EACH_REFUSAL, TYPED, Cell
from tests.support.channels import CHANNELS
from tests.unit.hub.conftest import HeldHub

__all__ = ["WAYS", "Asked", "Way", "a_hub"]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A hub and a way into it: `ask` sends a message by it and returns the message that came back."""

    hub: HeldHub
    ask: Callable[[AnyMessage], Awaitable[ResponseMessage | FaultMessage]]


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """A way in. `opened` is given a folder for the hub's database."""

    cells: Sequence[Cell]
    opened: Callable[[Path], AbstractAsyncContextManager[Asked]]


@asynccontextmanager
async def a_hub(folder: Path, more: str = "") -> AsyncIterator[HeldHub]:
    """A hub at the instant at which the samples play, so that what was agreed has begun and can end."""
    held = HeldHub()
    held.now = BASE_INSTANT
    await held.open(folder, more)
    try:
        yield held
    finally:
        await held.hub.close()
    assert held.logged == []


def _posted(*names: str) -> Callable[[Path], AbstractAsyncContextManager[Asked]]:
    """By HTTP, without sockets; with several channels message by message in turn."""

    @asynccontextmanager
    async def opened(folder: Path) -> AsyncIterator[Asked]:
        channels = cycle([CHANNELS[name] for name in names])
        async with a_hub(folder) as held:
            yield Asked(hub=held, ask=lambda message: held.ask(message, next(channels)))

    return opened


WAYS = {
    "soap": Way(cells=CELLS, opened=_posted("soap11", "soap12")),
    "soap-typed": Way(cells=TYPED, opened=_posted("soap-typed")),
    "rest-xml": Way(cells=SERVED_AND_ONE_OF_EACH_REFUSAL, opened=_posted("rest-xml")),
    "rest-json": Way(cells=SERVED_AND_ONE_OF_EACH_REFUSAL, opened=_posted("rest-json")),
}
