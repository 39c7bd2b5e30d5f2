"""What a transaction kept, until its row of the audit trail is written; and how messages of a row are stored."""

import msgspec

from cimcare.exchange.audit import Action, Note, Sealed, seal
from cimcare.exchange.log import LogEntry

__all__ = ["Sealing", "messages_of", "text_of"]

_Kept = dict[int, tuple[LogEntry, bytes]]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[tuple[int, str]]).decode


class Sealing:
    """Messages that one transaction has appended or settled, each as it is at the end."""

    def __init__(self) -> None:
        self._kept: _Kept = {}

    def add(self, entry: LogEntry, raw: bytes) -> None:
        """The message was kept, or is now as `entry` says."""
        self._kept[entry.sequence] = (entry, raw)

    def drop(self, sequence: int) -> None:
        """The message was removed again."""
        self._kept.pop(sequence, None)

    def clear(self) -> None:
        """A transaction begins."""
        self._kept = {}

    def mark(self) -> _Kept:
        """Where a part begins, for `undo`."""
        return self._kept.copy()

    def undo(self, mark: _Kept) -> None:
        """What was added since the mark was undone."""
        self._kept = mark

    def note(self) -> Note | None:
        """The row for all of them, by sequence; None if nothing was kept.

        It bears the instant of the youngest of its messages.
        """
        if not self._kept:
            return None
        kept = [self._kept[sequence] for sequence in sorted(self._kept)]
        return Note(at=max(entry.received_at for entry, _ in kept), action=Action.MESSAGES, messages=seal(kept))


def text_of(messages: tuple[Sealed, ...]) -> str:
    """Messages of a row as stored: JSON, a list of sequences with hashes."""
    return _encode([(one.sequence, one.hash) for one in messages]).decode()


def messages_of(text: str) -> tuple[Sealed, ...]:
    """Messages of a row as read."""
    return tuple(Sealed(sequence, hash_) for sequence, hash_ in _decode(text))
