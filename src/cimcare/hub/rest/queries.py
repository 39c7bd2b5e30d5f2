"""The read side: objects and messages by filter and page, for REST, console and command line.

Reads see what is committed and nothing else, over a connection that cannot write.
"""

from datetime import datetime
from typing import cast

import msgspec

from cimcare.exchange.log import Group, LogEntry, LogSelection
from cimcare.exchange.ports import Collection, Key, Records, Selection, Stored
from cimcare.exchange.searching import Subject, term_of, word_groups
from cimcare.exchange.store import Reader
from cimcare.hub.intake.builtin import Body, collection_of
from cimcare.model.identity import MRID
from cimcare.model.incident import Incident
from cimcare.model.nouns import Noun
from cimcare.systems.identity import Label, lookup_keys
from cimcare.systems.oms.looking import through_tickets, with_tickets
from cimcare.systems.premises import ACCOUNTS, PREMISES

__all__ = ["MOST_PER_PAGE", "MessageFilter", "MessagePage", "ObjectFilter", "ObjectPage", "Queries"]

MOST_PER_PAGE = 1000
"""Most items of one page."""


_MOST_MEANT = 20
"""Premises or accounts of the directory that one name may mean."""


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


class MessageFilter(LogSelection, frozen=True, kw_only=True):
    """Which messages are wanted; what is empty does not filter.

    `premises` is an mRID or a name of a service location or usage point, `account` one of a customer, an account or an
    agreement, `object` one of an object that a message holds or refers to. `text` are words, all of which have to be in
    the message. In none of them does case count.
    """

    premises: str = ""
    account: str = ""
    object: str = ""
    text: str = ""


class MessagePage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of the log. `after` asks for the next page; None if this is the last.

    A page may have fewer items than asked for, or none, and yet not be the last: `looked_to` is then when the message
    was received to which was looked so far.
    """

    items: tuple[LogEntry, ...]
    after: int | None
    looked_to: datetime | None = None


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

    async def list_messages(self, wanted: LogSelection) -> MessagePage:
        """A page of the log, at a cost that does not grow with it.

        Raises:
            NoWordsError: A text without a word.
        """
        groups: list[Group] = []
        if isinstance(wanted, MessageFilter):
            if wanted.premises:
                groups.append(await self._same_premises(wanted.premises))
            if wanted.account:
                groups.append(await self._same_account(wanted.account))
            if wanted.object:
                groups.append(_terms(wanted.object, Subject.OBJECT, Subject.REFERENCE))
            if wanted.text:
                groups += word_groups(wanted.text)
        found = await self._reader.log.search(wanted, groups)
        return MessagePage(items=found.entries, after=found.after, looked_to=found.looked_to)

    async def _same_premises(self, value: str) -> Group:
        """Terms of all that the directory calls premises, and of the value itself."""
        keys = tuple(key for sort in ("service-location", "usage-point") for key in _keys(sort, value))
        values = {value}
        for stored in await self._records.select(PREMISES, Selection(keys=(keys,), limit=_MOST_MEANT)):
            body = stored.body
            values |= {body.mrid, body.usage_point}
            values.update(name.name for name in (*body.names, *body.usage_point_names))
        return frozenset(term for each in values for term in _terms(each, Subject.PREMISES))

    async def _same_account(self, value: str) -> Group:
        """Terms of an account as the directory knows it, of its agreements, and of the value itself."""
        values = {value}
        accounts = list(
            await self._records.select(ACCOUNTS, Selection(keys=(_keys("name", value),), limit=_MOST_MEANT))
        )
        by_mrid = await self._records.find(ACCOUNTS, MRID(value))
        for stored in (*accounts, *((by_mrid,) if by_mrid is not None else ())):
            values |= {stored.body.mrid, *stored.body.agreements}
            values.update(name.name for name in stored.body.names)
        return frozenset(term for each in values for term in _terms(each, Subject.ACCOUNT))

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


def _keys(sort: str, value: str) -> tuple[Key, ...]:
    """Keys of an object that has this mRID, or a name of any type."""
    return lookup_keys(sort, MRID(value), (Label("", "", value),))


def _terms(value: str, *subjects: Subject) -> Group:
    return frozenset(term_of(subject, value) for subject in subjects)


def _groups_of(wanted: ObjectFilter) -> list[tuple[Key, ...]]:
    groups = []
    for value, sorts in (
        (wanted.premises, ("service-location", "usage-point")),
        (wanted.customer, ("customer", "account")),
        (wanted.name, ("name",)),
    ):
        if value:
            groups.append(tuple(key for sort in sorts for key in _keys(sort, value)))
    return groups
