"""What one third party sees: payloads, events, replies and look-ups, cut by the consents of the customers.

An agreement that is not seen is as if it were not there. Objects of all other nouns are not shown to third parties.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TypeVar

import msgspec

from cimcare.errors import ERRORS, Finding
from cimcare.exchange.ports import Collection, Key, Records, Selection, Stored
from cimcare.model.customer_agreement import CustomerAgreement, CustomerAgreements
from cimcare.model.envelope import (
    EventMessage,
    Header,
    ObjectID,
    Operation,
    OperationSet,
    Payload,
    Reply,
    ReplyError,
    ResponseMessage,
)
from cimcare.model.identity import MRID
from cimcare.model.nouns import Noun, PayloadRoot
from cimcare.model.structure import Extension
from cimcare.model.verbs import Verb
from cimcare.systems.cis.consents import CONSENTS, ConsentRecord, scopes_of
from cimcare.systems.cis.directory import keys_of_customers
from cimcare.systems.cis.disclosure import Scope, cut, tells_nothing
from cimcare.systems.cis.kinds import AGREEMENTS
from cimcare.systems.cis.links import find_basis, remember
from cimcare.systems.objects import find_by_id

__all__ = ["MOST_CUSTOMERS", "OPEN", "Sight", "VeiledRecords", "discreet", "is_open"]

BodyT = TypeVar("BodyT", bound=msgspec.Struct)

MOST_CUSTOMERS = 1000
"""Customers among whom a get without any filter looks; the list for reconciliation goes through all."""

OPEN: frozenset[tuple[Verb, Noun]] = frozenset(
    {
        *((verb, Noun.CUSTOMER_AGREEMENTS) for verb in Verb),
        (Verb.CREATE, Noun.SERVICE_REQUESTS),
        (Verb.CREATE, Noun.WORK_REQUESTS),
    }
)
"""What a third party may ask for at all: agreements, and that work be done."""

_TOLD_IN_FULL = frozenset({"REF-101", "REF-103", "BUS-160", "BUS-162", "BUS-163"})
_ABOUT_OBJECTS = ("BUS-", "LIF-", "REF-")
_WORDS_OF_OTHERS = frozenset({"EXC-117", "EXC-125"})
"""Findings that quote what another system said."""


def is_open(verb: Verb, noun: str) -> bool:
    """Whether a third party may ask for this."""
    return (verb, noun) in OPEN


def discreet(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings as a third party reads them: what they say could be about objects of others, or quote who sees those."""
    return tuple(
        msgspec.structs.replace(
            one,
            found=ERRORS[one.code].title,
            accepted="another request; a third party is not told more",
        )
        if one.code in _WORDS_OF_OTHERS or (one.code.startswith(_ABOUT_OBJECTS) and one.code not in _TOLD_IN_FULL)
        else one
        for one in findings
    )


class Sight:
    """What a third party sees now.

    Args:
        records: Agreements and consents.
        third_party: Header/Source under which it speaks.
        now: Consents that hold at this instant count.
    """

    def __init__(self, records: Records, third_party: str, now: datetime) -> None:
        self._records = records
        self._third_party = third_party
        self._now = now

    async def scopes(self, agreement: CustomerAgreement) -> frozenset[Scope]:
        """What it may see and do about an agreement."""
        found = [
            await scopes_of(self._records, basis, self._third_party, self._now)
            for basis in await find_basis(self._records, agreement)
        ]
        return frozenset.intersection(*found) if found else frozenset()

    async def agreement(self, agreement: CustomerAgreement) -> CustomerAgreement | None:
        """The agreement as it is seen; None if it is not."""
        return cut(agreement, await self.scopes(agreement))

    async def payload(self, root: PayloadRoot | Extension | None, verb: Verb | None = None) -> PayloadRoot | None:
        """A payload as it is seen; None if nothing of it is. A change of what is hidden is not told."""
        if not isinstance(root, CustomerAgreements):
            return None
        seen = [await self.agreement(one) for one in root.customer_agreement]
        items = tuple(one for one in seen if one is not None and not (verb is Verb.CHANGED and tells_nothing(one)))
        return CustomerAgreements(customer_agreement=items) if items else None

    async def event(self, message: EventMessage) -> EventMessage | None:
        """An event as it is seen; None if it is not. Compressed content has to be unpacked before."""
        payload = message.payload
        if payload is None:
            return None
        seen: Payload | None = None
        if payload.operation_set is not None:
            operations = await self._operations(payload.operation_set)
            if operations:
                whole = msgspec.structs.replace(payload.operation_set, operation=operations, extensions=())
                seen = Payload(operation_set=whole)
        elif message.header.noun == Noun.CUSTOMER_AGREEMENTS:
            seen = await self._content(payload, message.header.verb)
        return None if seen is None else EventMessage(header=_plain(message.header), payload=seen)

    async def reply(self, message: ResponseMessage) -> ResponseMessage:
        """A reply of another system as it is seen: errors without their texts, and of the payload what is seen."""
        errors = tuple(ReplyError(code=one.code, level=one.level) for one in message.reply.error)
        content = message.payload.content if message.payload is not None else ()
        seen = [part for root in content if (part := await self.payload(root)) is not None]
        reply = Reply(result=message.reply.result, error=errors, id=message.reply.id)
        payload = Payload(content=tuple(seen)) if seen else None
        return ResponseMessage(header=_plain(message.header), reply=reply, payload=payload)

    async def remember(self, message: EventMessage) -> None:
        """Keep whose agreements are that an event tells of; needs records that can be written."""
        if message.payload is None:
            return
        operations = message.payload.operation_set.operation if message.payload.operation_set is not None else ()
        for root in (*message.payload.content, *(one.content for one in operations)):
            if isinstance(root, CustomerAgreements):
                for agreement in root.customer_agreement:
                    await remember(self._records, agreement, self._now)

    async def _content(self, payload: Payload, verb: Verb) -> Payload | None:
        if payload.id:
            ids = tuple([one for one in payload.id if await self._sees_id(one)])
            return Payload(id=ids) if ids else None
        parts = [part for root in payload.content if (part := await self.payload(root, verb)) is not None]
        return Payload(content=tuple(parts)) if parts else None

    async def _operations(self, operation_set: OperationSet) -> tuple[Operation, ...]:
        seen = []
        for one in operation_set.operation:
            if (one.noun or Noun.CUSTOMER_AGREEMENTS) != Noun.CUSTOMER_AGREEMENTS:
                continue
            is_change = bool(one.element_operation) or one.verb == Verb.CHANGED
            content = await self.payload(one.content, Verb.CHANGED if is_change else None)
            if content is not None:
                seen.append(msgspec.structs.replace(one, content=content, extensions=()))
        return tuple(seen)

    async def _sees_id(self, identifier: ObjectID) -> bool:
        found = await find_by_id(self._records, AGREEMENTS, identifier)
        bodies = [one.body for one in found] or [CustomerAgreement(mrid=MRID(identifier.value))]
        return all([Scope.AGREEMENT in await self.scopes(body) for body in bodies])


def _plain(header: Header) -> Header:
    """The header without what people write into it, and without who they are."""
    return Header(
        verb=header.verb,
        noun=header.noun,
        revision=header.revision,
        context=header.context,
        timestamp=header.timestamp,
        source=header.source,
        message_id=header.message_id,
        correlation_id=header.correlation_id,
    )


class VeiledRecords:
    """Records in which a third party finds those agreements that it sees, and no other. All else is as it is.

    Bodies are whole: what leaves is cut where it leaves.
    """

    def __init__(self, records: Records, third_party: str, now: datetime) -> None:
        self._records = records
        self._third_party = third_party
        self._now = now
        self._sight = Sight(records, third_party, now)

    async def find(self, collection: Collection[BodyT], mrid: MRID) -> Stored[BodyT] | None:
        """The object with this mRID, if it is seen."""
        stored = await self._records.find(collection, mrid)
        return stored if stored is not None and await self._is_seen(stored) else None

    async def find_by_key(self, collection: Collection[BodyT], key: Key) -> tuple[Stored[BodyT], ...]:
        """All objects with this key that are seen."""
        return await self._seen(await self._records.find_by_key(collection, key))

    async def select(self, collection: Collection[BodyT], selection: Selection) -> tuple[Stored[BodyT], ...]:
        """The objects that match and are seen. Without a filter those of the first customers with a consent."""
        if collection.name != AGREEMENTS.collection.name:
            return await self._records.select(collection, selection)
        if not selection.mrids and not selection.keys:
            customers = await self._customers()
            if not customers:
                return ()
            selection = msgspec.structs.replace(selection, keys=(customers,))
        found: list[Stored[BodyT]] = []
        while True:
            page = await self._records.select(collection, selection)
            found.extend(await self._seen(page))
            if len(page) < selection.limit or len(found) >= selection.limit:
                return tuple(found[: selection.limit])
            selection = msgspec.structs.replace(selection, after=page[-1].mrid)

    async def save(self, collection: Collection[BodyT], stored: Stored[BodyT]) -> None:
        """As ever."""
        await self._records.save(collection, stored)

    async def save_all(self, collection: Collection[BodyT], stored: Sequence[Stored[BodyT]]) -> None:
        """As ever."""
        await self._records.save_all(collection, stored)

    async def drop(self, collection: Collection[BodyT], mrid: MRID) -> None:
        """As ever."""
        await self._records.drop(collection, mrid)

    async def has_more_customers(self) -> bool:
        """Whether there are more consents than a get without a filter looks at."""
        return len(await self._consents(MOST_CUSTOMERS + 1)) > MOST_CUSTOMERS

    async def _customers(self) -> tuple[Key, ...]:
        consents = await self._consents(MOST_CUSTOMERS)
        holding = [one.body.customer for one in consents if one.body.holds_at(self._now)]
        return await keys_of_customers(self._records, holding)

    async def _consents(self, limit: int) -> tuple[Stored[ConsentRecord], ...]:
        mine = (Key("third-party", self._third_party),)
        return await self._records.select(CONSENTS, Selection(keys=(mine,), limit=limit))

    async def _seen(self, found: Iterable[Stored[BodyT]]) -> tuple[Stored[BodyT], ...]:
        return tuple([one for one in found if await self._is_seen(one)])

    async def _is_seen(self, stored: Stored[BodyT]) -> bool:
        return not isinstance(stored.body, CustomerAgreement) or Scope.AGREEMENT in await self._sight.scopes(
            stored.body
        )
