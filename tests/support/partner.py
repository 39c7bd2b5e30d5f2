"""A simulated partner in a process of its own, by the command that the product has for it."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from cimcare.simulator.journal import Entry, read_journal

__all__ = ["PartnerProcess", "partner_process"]


class PartnerProcess(msgspec.Struct, frozen=True):
    """A partner in a process of its own."""

    process: subprocess.Popen[str]
    address: str
    journal: Path

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What it has received so far."""
        return read_journal(self.journal)

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()


@contextmanager
def partner_process(
    journal: Path, *, name: str = "PARTNER", behaviour: str = "accept", port: int = 0
) -> Iterator[PartnerProcess]:
    """Start a partner as a process and wait until it listens; whatever becomes of it, it is gone afterwards."""
    command = [sys.executable, "-m", "cimcare", "simulate", "--port", str(port), "--behaviour", behaviour]
    process = subprocess.Popen([*command, "--name", name, "--journal", str(journal)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        assert address, "the partner did not start"
        yield PartnerProcess(process, address, journal)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()
        process.stdout.close()
