"""The read side: objects and messages by filter and page, for REST, console and command line.

Reads see what is committed and nothing else, over a connection that cannot write.
"""

from datetime import datetime

import msgspec

from cimcare.exchange.log import LogEntry, LogSelection
from cimcare.exchange.ports import Collection, Key, Selection, Stored
from cimcare.exchange.store import Reader
from cimcare.hub.builtin import Body, collection_of
from cimcare.model.identity import MRID
from cimcare.model.nouns import Noun
from cimcare.systems.identity import Label, lookup_keys

__all__ = ["MOST_PER_PAGE", "ObjectFilter", "ObjectPage", "Queries"]

MOST_PER_PAGE = 1000
"""Most items of one page."""


class ObjectFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which objects of a noun are wanted; what is empty does not filter.

    `premises` and `customer` are an mRID or a name of any type; `name` is a name of the object itself.
    """

    state: str = ""
    premises: str = ""
    customer: str = ""
    name: str = ""
    since: datetime | None = None
    until: datetime | None = None
    after: str = ""
    limit: int = 100


class ObjectPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of objects. `after` asks for the next page; None if this is the last."""

    items: tuple[Stored[Body], ...]
    after: str | None


class MessagePage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of the log. `after` asks for the next page; None if this is the last."""

    items: tuple[LogEntry, ...]
    after: int | None


class Queries:
    """Questions to the durable state."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def list_objects(self, noun: Noun, wanted: ObjectFilter) -> ObjectPage:
        """A page of objects, oldest first."""
        selection = Selection(
            keys=tuple(_groups_of(wanted)),
            states=(wanted.state,) if wanted.state else (),
            since=wanted.since,
            until=wanted.until,
            after=MRID(wanted.after) if wanted.after else None,
            limit=wanted.limit + 1,  # one more shows whether there is another page
        )
        found = await self._reader.records.select(self._collection(noun), selection)
        items = found[: wanted.limit]
        return ObjectPage(items=items, after=items[-1].mrid if len(found) > len(items) else None)

    async def find_object(self, noun: Noun, mrid: str) -> Stored[Body] | None:
        """The object with this mRID; None if there is none."""
        return await self._reader.records.find(self._collection(noun), MRID(mrid))

    async def list_messages(self, selection: LogSelection) -> MessagePage:
        """A page of the log."""
        found = await self._reader.log.select(msgspec.structs.replace(selection, limit=selection.limit + 1))
        items = found[: selection.limit]
        return MessagePage(items=items, after=items[-1].sequence if len(found) > len(items) else None)

    async def find_message(self, sequence: int) -> LogEntry | None:
        """The message with this sequence; None if there is none."""
        return await self._reader.log.find(sequence)

    async def find_raw(self, sequence: int) -> bytes | None:
        """The bytes of the message with this sequence."""
        return await self._reader.log.find_raw(sequence)

    @staticmethod
    def _collection(noun: Noun) -> Collection[Body]:
        return collection_of(noun)


def _groups_of(wanted: ObjectFilter) -> list[tuple[Key, ...]]:
    groups = []
    for value, sorts in (
        (wanted.premises, ("service-location", "usage-point")),
        (wanted.customer, ("customer", "account")),
        (wanted.name, ("name",)),
    ):
        if value:
            label = Label("", "", value)
            groups.append(tuple(key for sort in sorts for key in lookup_keys(sort, MRID(value), (label,))))
    return groups
