"""Ports: what the exchange and the built-in systems need from the world, as Protocols.

One asynchronous path for all of it; the SQLite store answers without ever suspending.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Generic, NamedTuple, Protocol, TypeVar

import msgspec

from cimcare.errors import Finding
from cimcare.model.envelope import EventMessage, Header, ObjectID, OperationSet, RequestMessage, Result
from cimcare.model.identity import MRID
from cimcare.model.nouns import Noun, PayloadRoot, Role
from cimcare.model.structure import Structure
from cimcare.model.verbs import Verb

__all__ = [
    "Clock",
    "Collection",
    "Event",
    "EventHandler",
    "ExecutedEvent",
    "Handler",
    "Key",
    "NewID",
    "News",
    "OwnEvent",
    "Records",
    "Selection",
    "Served",
    "ServingContext",
    "Stored",
    "Tick",
]

BodyT = TypeVar("BodyT", bound=msgspec.Struct)

Clock = Callable[[], datetime]
"""Now: an aware instant in UTC."""

NewID = Callable[[], str]
"""A new identifier, a random UUID as text; the one place where identifiers are minted."""


class Collection(NamedTuple, Generic[BodyT]):
    """A kind of stored object: its name in the store and the type of its body."""

    name: str
    body: type[BodyT]


class Key(NamedTuple):
    """A look-up key of an object: what sort of key (`name`, `premises`, `customer`, `device`, ...), and its value."""

    sort: str
    value: str


class Stored(msgspec.Struct, Generic[BodyT], frozen=True, kw_only=True):
    """An object as stored. `state` is the state of its lifecycle, empty if it has none; instants are aware, in UTC."""

    mrid: MRID
    body: BodyT
    created_at: datetime
    modified_at: datetime
    state: str = ""
    keys: frozenset[Key] = frozenset()


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which objects of a collection are wanted. What is empty does not filter.

    `keys` holds one group for each kind of filter: an object must have at least one key of every group. `since` and
    `until` bound the instant of creation (both included). `after` is the mRID of the last object of the page before.
    Objects come in the order in which they were created; with `newest_first` in the reverse of it, and `after` then
    means older than.
    """

    mrids: tuple[MRID, ...] = ()
    keys: tuple[tuple[Key, ...], ...] = ()
    states: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    after: MRID | None = None
    limit: int = 1000
    newest_first: bool = False


class Records(Protocol):
    """Objects of the built-in systems, inside one transaction."""

    async def find(self, collection: Collection[BodyT], mrid: MRID) -> Stored[BodyT] | None:
        """The object with this mRID; None if there is none."""
        ...

    async def find_by_key(self, collection: Collection[BodyT], key: Key) -> tuple[Stored[BodyT], ...]:
        """All objects with this key, oldest first."""
        ...

    async def select(self, collection: Collection[BodyT], selection: Selection) -> tuple[Stored[BodyT], ...]:
        """The objects that match."""
        ...

    async def save(self, collection: Collection[BodyT], stored: Stored[BodyT]) -> None:
        """Insert the object, or replace the one with its mRID."""
        ...

    async def save_all(self, collection: Collection[BodyT], stored: Sequence[Stored[BodyT]]) -> None:
        """Save each of these, in their order; for many at once, which is cheaper. Each mRID stands among them once."""
        ...

    async def drop(self, collection: Collection[BodyT], mrid: MRID) -> None:
        """Remove the object; nothing happens if there is none."""
        ...


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """An event to be published. `source` is the role that speaks; identifiers and instants are added on sending.

    With `removes` the payload is the path down to what was removed from its objects. No verb says so: such an event
    leaves as an operation of an OperationSet.
    """

    verb: Verb
    noun: Noun
    payload: PayloadRoot
    source: Role
    removes: bool = False


class ExecutedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The event that tells of several operations at once. `source` is the role that speaks."""

    operation_set: OperationSet
    source: Role

    @property
    def verb(self) -> Verb:
        """Always executed."""
        return Verb.EXECUTED

    @property
    def noun(self) -> str:
        """Header/Noun, always OperationSet."""
        return OperationSet.XML_TYPE


class OwnEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event of ours about something for which the standard has no message. `source` is the role that speaks.

    `noun` is a word of our own and `content` a payload root in a namespace of our own. `keys` name the business objects
    that it is about, for the order of deliveries. No built-in system hears it.
    """

    verb: Verb
    noun: str
    content: Structure
    keys: tuple[str, ...]
    source: Role


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """What serving a message led to.

    `findings` become Errors of the reply (object by object where `object_id` is set). `ids` go into Reply/ID. `payload`
    answers a get. `events` and `own_events` are published when, and only when, the transaction is committed; the latter
    only of what no message asked for. `has_more` is said by a `Tick` that did a part of what is due.
    """

    result: Result
    ids: tuple[ObjectID, ...] = ()
    findings: tuple[Finding, ...] = ()
    payload: PayloadRoot | None = None
    events: tuple[Event, ...] = ()
    own_events: tuple[OwnEvent, ...] = ()
    has_more: bool = False


class ServingContext(msgspec.Struct, frozen=True, kw_only=True):
    """All that a handler may use while it serves one message.

    With `removes` the message, a change or an event of one, holds the path down to what is to be removed from its
    objects, as an operation on elements has it. With `is_unbounded` the answer to a get may have any number of objects,
    since it is sent in several pieces. Where no message is served, as in a `Tick`, `header` says who acts (Source) and
    by which CorrelationID the events belong together; its noun is empty. `third_party` is Header/Source of a sender
    that is a third party, who sees and does what customers consent to; it is empty for all others.
    """

    records: Records
    now: datetime
    new_id: NewID
    header: Header
    removes: bool = False
    is_unbounded: bool = False
    third_party: str = ""


Handler = Callable[[RequestMessage, ServingContext], Awaitable[Served]]
"""Serves a request. Raises nothing for bad content: that becomes `Served` with FAILED or PARTIAL and findings."""

EventHandler = Callable[[EventMessage, ServingContext], Awaitable[Served]]
"""Takes an event. `Served.ids` name what was kept or changed."""

Tick = Callable[[ServingContext], Awaitable[Served]]
"""Does what is due by the clock, every `hub.tick_seconds` in one transaction of one process; `TICKS` of a system.

It does a bounded part, what takes some 50 ms, since messages wait meanwhile; with `Served.has_more` it is called again
at once, in a transaction of its own. What it says with FAILED is noted for the operator, and nothing is kept of what it
did. It raises nothing for bad content; an error undoes its transaction alone. What is due is found by look-up, never by
walking a collection. It may be called late, or twice in a row, and is not called for a role that a partner plays.
"""


class News(msgspec.Struct, frozen=True, kw_only=True):
    """What a system holds back for some seconds so as to tell of it together; `NEWS` of a system.

    `is_waiting` looks whether there is any, `tell` tells of a bounded part of it, as a Tick does what it does.
    """

    is_waiting: Callable[[Records], Awaitable[bool]]
    tell: Tick
