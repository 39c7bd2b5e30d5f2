"""Repeats: the same message sent again, told from other content under the same identifier.

A sender that got no answer sends again with the same MessageID. It must get the answer of the first time, and nothing
may happen twice. Source: guarantee G2.
"""

from datetime import datetime, timedelta

from cimcare.errors import Finding, finding_of
from cimcare.exchange.log import LogEntry

__all__ = ["check_original", "is_identified", "window_start"]


def is_identified(source: str | None, message_id: str | None) -> bool:
    """Whether repeats of a message can be told: it needs both, for identifiers are unique within a source only."""
    return bool(source and message_id)


def window_start(now: datetime, window: timedelta) -> datetime:
    """Earliest receipt of an original that a message received `now` may repeat, included."""
    return now - window


def check_original(original: LogEntry, digest: bytes) -> tuple[Finding, ...]:
    """Findings about a message whose Source and MessageID an accepted message had; empty for a plain repeat."""
    if original.digest == digest:
        return ()
    return (
        finding_of(
            "EXC-101",
            "/Header/MessageID",
            f"{original.message_id!r} of source {original.partner!r} with content {digest.hex()}; message"
            f" {original.sequence}, received {original.received_at.isoformat()}, had it with content"
            f" {original.digest.hex()}",
            "a new MessageID for new content, or the same content for a repeat",
            "IEC 61968-100:2013, Header/MessageID",
        ),
    )
