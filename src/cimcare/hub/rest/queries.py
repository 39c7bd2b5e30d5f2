"""The read side: objects and messages by filter and page, for REST, console and command line.

Reads see what is committed and nothing else, over a connection that cannot write.
"""

from datetime import datetime
from typing import cast

import msgspec

from cimcare.exchange.log import LogEntry, LogSelection
from cimcare.exchange.ports import Collection, Key, Records, Selection, Stored
from cimcare.exchange.store import Reader
from cimcare.hub.intake.builtin import Body, collection_of
from cimcare.model.identity import MRID
from cimcare.model.incident import Incident
from cimcare.model.nouns import Noun
from cimcare.systems.identity import Label, lookup_keys
from cimcare.systems.oms.looking import through_tickets, with_tickets

__all__ = ["MOST_PER_PAGE", "ObjectFilter", "ObjectPage", "Queries"]

MOST_PER_PAGE = 1000
"""Most items of one page."""


class ObjectFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which objects of a noun are wanted; what is empty does not filter.

    `premises` and `customer` are an mRID or a name of any type; `name` is a name of the object itself. `partner` is for
    whom they are listed.
    """

    state: str = ""
    premises: str = ""
    customer: str = ""
    name: str = ""
    since: datetime | None = None
    until: datetime | None = None
    after: str = ""
    limit: int = 100
    partner: str = ""


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

    def __init__(self, reader: Reader, records: Records | None = None) -> None:
        """Ask of what a reader shows; of objects what other `records` show, if they are given."""
        self._reader = reader
        self._records = records if records is not None else reader.records

    async def list_objects(self, noun: Noun, wanted: ObjectFilter) -> ObjectPage:
        """A page of objects, oldest first."""
        groups = _groups_of(wanted)
        if noun is Noun.INCIDENTS:  # which have no place of their own, and do not hold their tickets
            groups = [await self._through_tickets(group) for group in groups]
            if not all(groups):
                return ObjectPage(items=(), after=None)
        selection = Selection(
            keys=tuple(groups),
            states=(wanted.state,) if wanted.state else (),
            since=wanted.since,
            until=wanted.until,
            after=MRID(wanted.after) if wanted.after else None,
            limit=wanted.limit + 1,  # one more shows whether there is another page
        )
        found = await self._records.select(self._collection(noun), selection)
        items = found[: wanted.limit]
        after = items[-1].mrid if len(found) > len(items) else None
        return ObjectPage(items=await self._shown(noun, items), after=after)

    async def find_object(self, noun: Noun, mrid: str) -> Stored[Body] | None:
        """The object with this mRID; None if there is none."""
        stored = await self._records.find(self._collection(noun), MRID(mrid))
        return None if stored is None else (await self._shown(noun, (stored,)))[0]

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

    async def _through_tickets(self, keys: tuple[Key, ...]) -> tuple[Key, ...]:
        if any(key.sort == "name" for key in keys):
            return keys
        return await through_tickets(self._reader.records, keys)

    async def _shown(self, noun: Noun, items: tuple[Stored[Body], ...]) -> tuple[Stored[Body], ...]:
        """The objects as they are shown: incidents with their tickets, as many as an answer names."""
        if noun is not Noun.INCIDENTS:
            return items
        incidents = [cast("Incident", stored.body) for stored in items]
        shown, _ = await with_tickets(self._reader.records, incidents)
        return tuple(msgspec.structs.replace(one, body=body) for one, body in zip(items, shown, strict=True))

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
