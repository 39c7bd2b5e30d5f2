"""The journal of a simulated partner: what it received and what it said, one JSON object a line."""

import os
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import msgspec

from cimcare.simulator.acts import Act

__all__ = ["Entry", "Line", "Said", "open_journal", "read_journal", "read_lines"]


class Entry(msgspec.Struct, frozen=True, kw_only=True, tag_field="line", tag="received"):
    """One message received.

    `order` counts from 1; `objects` are `<Noun> <mRID or name>` of its objects. `attempt` counts the deliveries of this
    Source and MessageID, `is_effect` tells the one that took effect. `findings` say what is wrong with it.
    """

    order: int
    at: datetime
    path: str
    form: str
    archetype: str
    verb: str
    noun: str
    source: str
    message_id: str
    correlation_id: str
    objects: tuple[str, ...]
    act: Act
    attempt: int
    is_effect: bool
    findings: tuple[str, ...] = ()


class Said(msgspec.Struct, frozen=True, kw_only=True, tag_field="line", tag="said"):
    """One message said: an answer (`to` is `answer`, `about` the order of what it answers), or one sent to an address.

    `status` is the HTTP status that was given or got, 0 for none; `failure` says why it did not arrive, or in which way
    it was spoilt.
    """

    at: datetime
    to: str
    about: int = 0
    archetype: str = ""
    verb: str = ""
    noun: str = ""
    message_id: str = ""
    correlation_id: str = ""
    result: str = ""
    codes: tuple[str, ...] = ()
    status: int = 0
    failure: str = ""


Line = Entry | Said
"""A line of the journal."""


def read_lines(file: Path) -> tuple[Line, ...]:
    """All of a journal; a last line that is being written does not count."""
    if not file.exists():
        return ()
    decoder = msgspec.json.Decoder(Line)
    return tuple(decoder.decode(line) for line in file.read_bytes().split(b"\n")[:-1])


def read_journal(file: Path) -> tuple[Entry, ...]:
    """What was received, by the journal."""
    return tuple(line for line in read_lines(file) if isinstance(line, Entry))


def open_journal(file: Path) -> BinaryIO:
    """The journal to append to, without a last line that was cut off by the death of its writer. Raises OSError."""
    if file.exists():
        whole = file.read_bytes().rpartition(b"\n")
        os.truncate(file, len(whole[0]) + len(whole[1]))
    return file.open("ab")
