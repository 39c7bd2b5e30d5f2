"""Runs a simulated partner: in a thread beside somebody's own program, or as a process until it is told to end."""

import asyncio
import signal
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cimcare.model.nouns import Role
from cimcare.simulator.partner import SimulatedPartner

__all__ = ["loop_factory", "running_partner", "serve_partner"]

_PATIENCE_SECONDS = 30


@contextmanager
def running_partner(
    *,
    name: str = "PARTNER",
    role: Role | None = None,
    behaviour: str = "accept",
    seed: str = "",
    journal: Path | None = None,
    keeps: bool = True,
    tls: ssl.SSLContext | None = None,
) -> Iterator[SimulatedPartner]:
    """A partner in a thread of its own, on a free port of this machine. Arguments are those of `SimulatedPartner`."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def begin() -> SimulatedPartner:
        partner = SimulatedPartner(name=name, role=role, behaviour=behaviour, seed=seed, journal=journal, keeps=keeps)
        await partner.start(tls=tls)
        return partner

    try:
        partner = asyncio.run_coroutine_threadsafe(begin(), loop).result(_PATIENCE_SECONDS)
        try:
            yield partner
        finally:
            asyncio.run_coroutine_threadsafe(partner.stop(), loop).result(_PATIENCE_SECONDS)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def serve_partner(
    partner: SimulatedPartner,
    *,
    host: str,
    port: int,
    tls: ssl.SSLContext | None,
    on_start: Callable[[str], None],
) -> None:
    """Serve until SIGTERM or SIGINT; `on_start` is told the address. Raises OSError."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    await partner.start(port, host=host, tls=tls)
    try:
        on_start(partner.address)
        await ended.wait()
    finally:
        await partner.stop()


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The quickest event loop there is on this platform; None for Python's own."""
    try:
        import uvloop  # noqa: PLC0415 - not made for every platform
    except ImportError:
        return None
    return uvloop.new_event_loop
