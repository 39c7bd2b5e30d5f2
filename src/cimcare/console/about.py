"""The newest messages that hold an object or name it, as they stand on the page of the object."""

import msgspec

from cimcare.exchange.log import LogEntry
from cimcare.hub.rest.inside import Inside
from cimcare.hub.rest.queries import MessageFilter

__all__ = ["About", "messages_about"]

_MOST = 30


class About(msgspec.Struct, frozen=True, kw_only=True):
    """Messages about an object, newest first. `has_more` says that there are older ones, or that there may be."""

    object: str
    entries: tuple[LogEntry, ...]
    has_more: bool


async def messages_about(inside: Inside, object: str) -> About:
    """At most thirty messages, found by the index of what messages say."""
    page = await inside.queries.list_messages(MessageFilter(object=object, newest_first=True, limit=_MOST))
    return About(object=object, entries=page.items, has_more=page.after is not None)
