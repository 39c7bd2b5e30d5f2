"""A utility on a bench: one built-in system or more over memory, with a clock and identifiers that the test owns."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from cimcare.exchange.ports import Event, EventHandler, Handler, Records, Served, ServingContext
from cimcare.model.envelope import (
    EventMessage,
    Header,
    IDKind,
    ObjectID,
    Option,
    Payload,
    Request,
    RequestMessage,
)
from cimcare.model.identity import MRID, MessageID, Name, NameType, NameTypeAuthority
from cimcare.model.nouns import Noun, PayloadRoot, Query
from cimcare.model.structure import Structure
from cimcare.model.verbs import Verb
from cimcare.store.memory import MemoryRecords
from cimcare.systems import cis, oms, wms

MONDAY = datetime(2026, 3, 2, 9, tzinfo=UTC)
"""A Monday, inside the first window of the day."""


class Utility:
    """Serves messages by the handlers of the built-in systems. Time stands still unless `pass_time` is called."""

    def __init__(self, records: Records | None = None) -> None:
        self.records: Records = records or MemoryRecords()
        self.now = MONDAY
        self.third_party = ""
        self._minted = 0
        self._serves: Mapping[tuple[Verb, Noun], Handler] = {**oms.SERVES, **wms.SERVES, **cis.SERVES}

    def pass_time(self, **span: float) -> datetime:
        self.now += timedelta(**span)
        return self.now

    def context(self, verb: Verb = Verb.CHANGE, noun: Noun = Noun.CUSTOMER_AGREEMENTS) -> ServingContext:
        """Context of what happens without a message, such as by the clock."""
        return self._context(self._header(verb, noun))

    async def ask(
        self,
        verb: Verb,
        noun: Noun,
        *objects: Structure,
        payload: PayloadRoot | None = None,
        ids: tuple[ObjectID | str, ...] = (),
        payload_ids: tuple[ObjectID | str, ...] = (),
        query: Query | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Served:
        """Serve a request; identifiers given as text are IDs without any attribute."""
        root = payload if payload is not None else root_of(noun, *objects) if objects else None
        content = Payload(content=(root,)) if root is not None else None
        if payload_ids:
            content = Payload(id=tuple(_id(one) for one in payload_ids))
        request = Request(
            start_time=start,
            end_time=end,
            option=tuple(Option(name=name, value=value) for name, value in (options or {}).items()),
            id=tuple(_id(one) for one in ids),
            query=query,
        )
        message = RequestMessage(header=self._header(verb, noun), request=request, payload=content)
        return await self._serves[verb, noun](message, self._context(message.header))

    async def tell(
        self,
        system: Mapping[tuple[Verb, Noun], EventHandler],
        verb: Verb,
        noun: Noun,
        *objects: Structure,
        payload: PayloadRoot | None = None,
        ids: tuple[ObjectID | str, ...] = (),
        at: datetime | None = None,
    ) -> Served:
        """Give an event to a system."""
        root = payload if payload is not None else root_of(noun, *objects) if objects else None
        content = Payload(content=(root,)) if root is not None else Payload(id=tuple(_id(one) for one in ids))
        header = self._header(verb, noun, at)
        return await system[verb, noun](EventMessage(header=header, payload=content), self._context(header))

    async def pass_on(self, system: Mapping[tuple[Verb, Noun], EventHandler], events: tuple[Event, ...]) -> None:
        """Give events, as they were published, to a system."""
        for event in events:
            if (event.verb, event.noun) in system:
                await self.tell(system, event.verb, event.noun, payload=event.payload)

    def _header(self, verb: Verb, noun: Noun, at: datetime | None = None) -> Header:
        return Header(verb=verb, noun=noun, timestamp=at or self.now, message_id=MessageID("m"), source="bench")

    def _context(self, header: Header) -> ServingContext:
        return ServingContext(
            records=self.records, now=self.now, new_id=self._mint, header=header, third_party=self.third_party
        )

    def _mint(self) -> str:
        self._minted += 1
        return f"minted-{self._minted}"


def root_of(noun: Noun, *objects: Structure) -> PayloadRoot:
    from cimcare.model.nouns import NOUNS

    entry = NOUNS[noun]
    return entry.payload(**{entry.item: tuple(objects)})  # type: ignore[arg-type]


def items_of(root: PayloadRoot | None) -> tuple[Structure, ...]:
    """Objects of a payload root."""
    from cimcare.model.nouns import NOUNS

    assert root is not None
    items = getattr(root, NOUNS[Noun(root.XML_TYPE)].item)
    assert isinstance(items, tuple)
    return items


def events_of(served: Served) -> list[tuple[str, str, int]]:
    """Verb, noun and number of objects of each event."""
    return [(event.verb.value, event.noun.value, len(items_of(event.payload))) for event in served.events]


def shown_in(served: Served, verb: Verb, noun: Noun) -> Structure:
    """The one object that the one event of this verb and noun shows."""
    (event,) = (event for event in served.events if (event.verb, event.noun) == (verb, noun))
    (item,) = items_of(event.payload)
    return item


def ids_of(served: Served) -> list[str]:
    """Objects that were served; the incidents that a reply about tickets names beside them are not among them."""
    has_tickets = any(one.object_type == "TroubleTicket" for one in served.ids)
    return [one.value for one in served.ids if not has_tickets or one.object_type != "Incident"]


def codes_of(served: Served) -> list[str]:
    """Codes of what was found wrong; BUS-120 says where a ticket belongs."""
    return [finding.code for finding in served.findings if finding.code != "BUS-120"]


def names(*given: str, scheme: str | None = None, authority: str | None = None) -> tuple[Name, ...]:
    """Names of one numbering scheme."""
    issuer = NameTypeAuthority(name=authority) if authority else None
    kind = NameType(name=scheme, name_type_authority=issuer) if scheme else None
    return tuple(Name(name=one, name_type=kind) for one in given)


def mrid(value: str) -> MRID:
    return MRID(value)


def _id(given: ObjectID | str) -> ObjectID:
    return ObjectID(value=given) if isinstance(given, str) else given


def name_id(value: str, *, id_type: str | None = None, authority: str | None = None) -> ObjectID:
    return ObjectID(value=value, kind=IDKind.name, id_type=id_type, id_authority=authority)


def uuid_id(value: str) -> ObjectID:
    return ObjectID(value=value, kind=IDKind.uuid)
