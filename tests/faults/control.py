"""Faults of system calls in a hub process: the shim, compiled once, and what the test says to it."""

import errno
import mmap
import shutil
import struct
import subprocess
from enum import IntEnum
from pathlib import Path

__all__ = ["Faults", "Kind", "build_shim"]

_SOURCE = Path(__file__).with_name("shim.c")
_FORM = struct.Struct("6i")


class Kind(IntEnum):
    """Which calls are meant."""

    NONE = 0
    WRITE = 1
    SYNC = 2
    SEND = 3
    RECEIVE = 4
    CONNECT = 5


class Faults:
    """What the test says to the shim of one process. `environment` is for that process."""

    def __init__(self, folder: Path, shim: Path) -> None:
        self._file = folder / "faults"
        self._file.write_bytes(bytes(_FORM.size))
        with self._file.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _FORM.size)
        self.environment = {"LD_PRELOAD": str(shim), "FAULTS_CONTROL": str(self._file)}

    def arm(self, kind: Kind, *, nth: int = 1, times: int = 1, error: int = errno.EIO, delay_us: int = 0) -> None:
        """From now on the n-th call of this kind, and `times` - 1 behind it, fail; with error 0 they take longer."""
        self._memory[:] = _FORM.pack(kind, nth, times, error, delay_us, 0)

    def disarm(self) -> int:
        """No more faults; how many calls of the kind there were."""
        hits: int = _FORM.unpack(self._memory[:])[5]
        self._memory[:] = bytes(_FORM.size)
        return hits

    def close(self) -> None:
        """Let go of the file."""
        self._memory.close()


def build_shim(folder: Path) -> Path | None:
    """The compiled shim; None where there is no compiler or no way to load it."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    shim = folder / "shim.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", shim, _SOURCE, "-ldl"], check=True)
    return shim
