"""Notices to customers on their way out: what a channel is given, and what it has to say about it.

A notice goes out at most once. So a channel tells apart what has certainly not left from what may have.
"""

from enum import StrEnum
from typing import Protocol

import msgspec

__all__ = ["Channel", "ContactKind", "HandOver", "Handed", "Outgoing"]


class ContactKind(StrEnum):
    """How a customer is reached. `other` is whatever no channel knows: people call back."""

    EMAIL = "email"
    SMS = "sms"
    PHONE = "phone"
    OTHER = "other"


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """A notice as it is handed over. `id` is the same in every attempt; `text` has no markup and no line breaks."""

    id: str
    kind: ContactKind
    address: str
    subject: str
    text: str
    trigger: str
    incident: str


class Handed(StrEnum):
    """What became of an attempt.

    `sent`: the other side has taken it. `refused`: it never will, and nothing left. `later`: nothing left, and another
    attempt may do better. `unknown`: it may have left, so it is never tried again.
    """

    SENT = "sent"
    REFUSED = "refused"
    LATER = "later"
    UNKNOWN = "unknown"


class HandOver(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an attempt, and why: a sentence without the text of the notice."""

    result: Handed
    reason: str = ""


class Channel(Protocol):
    """One way out."""

    async def send(self, notice: Outgoing) -> HandOver:
        """Hand one notice over. Raises nothing for what the other side does; ends within the channel's deadline."""
        ...

    async def close(self) -> None:
        """Close what is open."""
        ...
