"""What the REST interface shows of objects and messages."""

from datetime import datetime

import msgspec

from cimcare.exchange.log import LogEntry
from cimcare.exchange.ports import Stored
from cimcare.hub.intake.builtin import Body

__all__ = ["MessageList", "MessageView", "ObjectList", "ObjectView", "view_message", "view_object"]


class ObjectView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An object as its owner keeps it, in the JSON form of its noun."""

    mrid: str = msgspec.field(name="mRID")
    state: str
    created_at: datetime
    modified_at: datetime
    object: Body


class ObjectList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of objects, oldest first. `next` is the address of the next page, null on the last."""

    items: list[ObjectView]
    next: str | None


class MessageView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A message of the log without its bytes."""

    sequence: int
    received_at: datetime
    direction: str
    transport: str
    partner: str
    archetype: str
    verb: str
    noun: str
    message_id: str
    correlation_id: str
    context: str
    outcome: str
    codes: tuple[str, ...]
    answer_to: int | None
    repeat_of: int | None
    digest: str
    content_type: str
    status: int
    truncated: bool
    size_bytes: int
    redeliveries: int


class MessageList(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A page of the log. `next` is the address of the next page, null on the last.

    With several filters a page may have few items or none and not be the last: `lookedTo` is then when the message was
    received to which was looked, and `next` goes on from there.
    """

    items: list[MessageView]
    next: str | None
    looked_to: datetime | None = None


def view_object(stored: Stored[Body]) -> ObjectView:
    """What is shown of an object."""
    return ObjectView(
        mrid=stored.mrid,
        state=stored.state,
        created_at=stored.created_at,
        modified_at=stored.modified_at,
        object=stored.body,
    )


def view_message(entry: LogEntry) -> MessageView:
    """What is shown of a message."""
    facts = msgspec.structs.asdict(entry) | {"digest": entry.digest.hex()}
    return MessageView(**facts)
