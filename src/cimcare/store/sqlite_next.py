"""Who of several processes writes to one file of SQLite next.

SQLite lets one write at a time and has no queue. Who writes message after message would take the file again before
anybody who waits has looked. So a process that has to wait claims to be the next one, by a lock on an empty file beside
the database, and who has written for a while does not begin again while another one has claimed that. The system lets
go of the lock when a process ends, however it ends. Decision 0138 has the reasons.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from cimcare.store.errors import DatabaseError

__all__ = ["NextTurn"]

_SUFFIX = "-next"


class NextTurn:
    """The claim to be the next one that writes to a file; one process has it at a time.

    Args:
        path: The database, which exists. A file with `-next` behind its name is made where there is none.

    Raises:
        DatabaseError: It cannot be made or opened.
    """

    def __init__(self, path: Path) -> None:
        beside = path.with_name(path.name + _SUFFIX)
        try:
            self._descriptor = _opened(beside, path)
        except OSError as error:
            raise DatabaseError(
                f"database {str(path)!r} needs the file {str(beside)!r} for several processes to take turns:"
                f" {error.strerror}; accepted: a file that may be read, or a folder in which it may be made"
            ) from error

    def claim(self) -> bool:
        """Claim it, without waiting; whether nobody else has it. Claimed twice it is claimed once."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def let_go(self) -> None:
        """Claim it no more."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Claim it no more, ever."""
        os.close(self._descriptor)


def _opened(beside: Path, database: Path) -> int:
    """Opened to be read, which is enough for a lock. A new one may be read by whoever may read the database."""
    with suppress(FileNotFoundError):
        return os.open(beside, os.O_RDONLY | os.O_CLOEXEC)
    descriptor = os.open(beside, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    like = database.stat()
    with suppress(PermissionError):  # another process was first, as another user
        os.fchmod(descriptor, like.st_mode & 0o777)
        os.fchown(descriptor, like.st_uid, like.st_gid)  # where a command is tried as root before the hub is started
    return descriptor
