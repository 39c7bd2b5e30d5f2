"""How the built-in systems keep the objects of a noun, and how a message names them.

Pure but for `Records`: instants and identifiers come in with the ServingContext.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Generic, TypeVar, cast

import msgspec

from cimcare.errors import Finding, Level, finding_of
from cimcare.exchange.ports import Collection, Event, Key, Records, Stored
from cimcare.model.envelope import EventMessage, IDKind, ObjectID, RequestMessage
from cimcare.model.identity import MRID
from cimcare.model.nouns import NOUNS, Noun, PayloadRoot, Role
from cimcare.model.structure import Structure
from cimcare.model.verbs import Verb
from cimcare.systems.identity import (
    Label,
    describe_identity,
    fits,
    label_of_id,
    labels_of,
    lookup_keys,
    mrid_of,
    names_of,
    related_keys,
    stored_keys,
)
from cimcare.systems.premises import widen_keys

__all__ = [
    "CLAUSE_ID",
    "Kind",
    "Said",
    "as_utc",
    "find_by_id",
    "find_by_names",
    "find_said",
    "find_twin",
    "kind_of",
    "refused",
    "said_in",
    "said_or_named_in",
    "unknown",
    "warning_of",
]

BodyT = TypeVar("BodyT", bound=Structure)

CLAUSE_ID = "IEC 61968-100:2013, Request/ID and IDatts"

_ATTRIBUTES = ("kind", "reporting_kind", "trouble_code")
"""Simple members by which a get may ask; each is a sort of key, with dashes."""


class Kind(msgspec.Struct, Generic[BodyT], frozen=True, kw_only=True):
    """How one system keeps the objects of one noun.

    A body is one object of the payload root, except where the root holds more than objects: then it is a root with one
    object. `item` is the class of the objects. `split` takes the bodies out of a root, `join` puts bodies into one,
    `core` is the object itself, `with_core` a body with another object in the place of its own, `alone` a body with
    this object only. `references` are types of names that point to something else and do not identify the object,
    each with the sort of key under which the object is then found.
    """

    noun: Noun
    role: Role
    collection: Collection[BodyT]
    item: type[Structure]
    split: Callable[[PayloadRoot], tuple[BodyT, ...]]
    join: Callable[[Sequence[BodyT]], PayloadRoot]
    core: Callable[[BodyT], Structure]
    with_core: Callable[[BodyT, Structure], BodyT]
    alone: Callable[[Structure], BodyT]
    references: Mapping[str, str] = {}

    @property
    def item_name(self) -> str:
        """Class of the objects, such as `TroubleTicket`."""
        return NOUNS[self.noun].item_name

    def put(self, body: BodyT, **members: object) -> BodyT:
        """The body with these members of its object set; members that the object cannot have are left out."""
        core = self.core(body)
        fitting = {name: value for name, value in members.items() if name in core.__struct_fields__}
        return self.with_core(body, msgspec.structs.replace(core, **fitting)) if fitting else body

    def labels(self, body: BodyT) -> tuple[Label, ...]:
        """Names that identify the object."""
        return labels_of(self.core(body), without=frozenset(self.references))

    def identity_of(self, body: BodyT) -> str:
        """How findings name the object."""
        return describe_identity(self.core(body))

    def id_of(self, mrid: MRID) -> ObjectID:
        """The object as Reply/ID."""
        return ObjectID(value=mrid, kind=IDKind.uuid, object_type=self.item_name)

    def identity_only(self, body: BodyT) -> BodyT:
        """A body with the identity of the object and nothing else."""
        core = self.core(body)
        bare = msgspec.structs.replace(self.item(), mrid=mrid_of(core), names=names_of(core))
        return self.alone(bare)

    def told(self, shown: BodyT, now: BodyT, *, with_state: bool = False) -> BodyT:
        """What an event shows, made whole: the time of modification always, a state either in full or not at all.

        `with_state` shows the state even where it is not among what has altered.
        """
        part, whole = self.core(shown), self.core(now)
        members = {"last_modified_date_time": getattr(whole, "last_modified_date_time", None)}
        for name in ("status", "status_kind"):
            if with_state or getattr(part, name, None) is not None:
                members[name] = getattr(whole, name, None)
        return self.put(shown, **members)

    def name_keys(self, body: BodyT) -> frozenset[Key]:
        """Keys by which the object is found by its names."""
        return stored_keys("name", labels_of(self.core(body)))

    def own_keys(self, body: BodyT) -> frozenset[Key]:
        """Keys that follow from the object alone: its names, what it refers to, and what a get may ask by."""
        core = self.core(body)
        labels = labels_of(core)
        keys = set(self.name_keys(body)) | related_keys(body)
        keys |= {Key(self.references[label.type], label.name) for label in labels if label.type in self.references}
        for name in _ATTRIBUTES:
            value = getattr(core, name, None)
            if isinstance(value, str) and value:
                keys.add(Key(name.replace("_", "-"), value))
        return frozenset(keys)

    async def keys(self, body: BodyT, records: Records) -> frozenset[Key]:
        """All keys under which the object is found, with those that the directory of premises adds."""
        return await widen_keys(records, self.own_keys(body))

    def event(self, verb: Verb, bodies: Sequence[BodyT]) -> Event:
        """The event that tells of these objects."""
        return Event(verb=verb, noun=self.noun, payload=self.join(bodies), source=self.role)


def kind_of(
    noun: Noun,
    role: Role,
    body: type[BodyT],
    *,
    references: Mapping[str, str] | None = None,
) -> Kind[BodyT]:
    """The Kind of a noun whose payload root holds objects and nothing else.

    The collection is called `<role>.<Noun>`.
    """
    entry = NOUNS[noun]

    def split(root: PayloadRoot) -> tuple[BodyT, ...]:
        items = getattr(root, entry.item) if isinstance(root, entry.payload) else ()
        return tuple(item for item in items if isinstance(item, body))

    def join(bodies: Sequence[BodyT]) -> PayloadRoot:
        return msgspec.structs.replace(entry.payload(), **{entry.item: tuple(bodies)})

    return Kind(
        noun=noun,
        role=role,
        collection=Collection(f"{role}.{noun}", body),
        item=body,
        split=split,
        join=join,
        core=lambda one: one,
        with_core=lambda _, core: cast("BodyT", core),
        alone=lambda core: cast("BodyT", core),
        references=references or {},
    )


class Said(msgspec.Struct, Generic[BodyT], frozen=True, kw_only=True):
    """An object as a message names it: where, and by a value, an ID, or both."""

    path: str
    body: BodyT | None = None
    id: ObjectID | None = None

    def identity(self, kind: Kind[BodyT]) -> str:
        """How findings name the object."""
        if self.body is not None and kind.identity_of(self.body):
            return kind.identity_of(self.body)
        return self.id.value if self.id is not None else ""


def said_in(message: RequestMessage | EventMessage, kind: Kind[BodyT]) -> tuple[Said[BodyT], ...]:
    """Objects of the payload. IDs of the Request section belong to them in order where there are as many."""
    if message.payload is None:
        return ()
    roots = [part for part in message.payload.content if isinstance(part, NOUNS[kind.noun].payload)]
    bodies = [body for root in roots for body in kind.split(root)]
    request = message.request if isinstance(message, RequestMessage) else None
    ids: Sequence[ObjectID | None] = request.id if request is not None and len(request.id) == len(bodies) else ()
    start = f"/{message.XML_TYPE.removesuffix('Type')}/Payload/{kind.noun}/{kind.item_name}"
    return tuple(
        Said(path=f"{start}[{at}]", body=body, id=ids[at - 1] if ids else None) for at, body in enumerate(bodies, 1)
    )


def said_or_named_in(message: RequestMessage | EventMessage, kind: Kind[BodyT]) -> tuple[Said[BodyT], ...]:
    """Objects of the payload and of all IDs, wherever the sender put them: Request/ID, Payload/ID, payload objects."""
    start = f"/{message.XML_TYPE.removesuffix('Type')}"
    request = message.request if isinstance(message, RequestMessage) else None
    named: list[Said[BodyT]] = []
    for section, ids in (
        ("Request", request.id if request is not None else ()),
        ("Payload", message.payload.id if message.payload is not None else ()),
    ):
        named.extend(Said(path=f"{start}/{section}/ID[{at}]", id=one) for at, one in enumerate(ids, 1))
    return (*named, *(msgspec.structs.replace(one, id=None) for one in said_in(message, kind)))


async def find_by_names(records: Records, kind: Kind[BodyT], labels: Iterable[Label]) -> tuple[Stored[BodyT], ...]:
    """All objects that one of these names identifies, each once."""
    found: dict[MRID, Stored[BodyT]] = {}
    for label in labels:
        for key in lookup_keys("name", None, (label,)):
            for stored in await records.find_by_key(kind.collection, key):
                if any(fits(label, own) for own in kind.labels(stored.body)):
                    found[stored.mrid] = stored
    return tuple(found.values())


async def find_by_id(records: Records, kind: Kind[BodyT], identifier: ObjectID) -> tuple[Stored[BodyT], ...]:
    """All objects that an ID names: by mRID if its kind is uuid, by mRID or name if its kind is name or not given."""
    label = label_of_id(identifier)
    if not label.name or identifier.kind in (IDKind.transaction, IDKind.other):
        return ()
    if identifier.object_type and not _is_called(kind, identifier.object_type):
        return ()
    if identifier.kind is IDKind.uuid or not label.type:
        stored = await records.find(kind.collection, MRID(label.name))
        if stored is not None or identifier.kind is IDKind.uuid:
            return () if stored is None else (stored,)
    return await find_by_names(records, kind, (label,))


def _is_called(kind: Kind[BodyT], object_type: str) -> bool:
    entry = NOUNS[kind.noun]
    return object_type in (entry.item_name, kind.noun, entry.wrapper, *entry.aliases)


async def find_said(records: Records, kind: Kind[BodyT], said: Said[BodyT]) -> Stored[BodyT] | Finding:
    """The one object that is meant, or why there is none: REF-101, REF-103 or REF-104."""
    if said.body is not None:
        mrid = mrid_of(kind.core(said.body))
        labels = kind.labels(said.body)
        if mrid:
            stored = await records.find(kind.collection, mrid)
            return unknown(kind, said) if stored is None else stored
        if labels:
            return _only(await find_by_names(records, kind, labels), kind, said)
    if said.id is None:
        return finding_of(
            "REF-101",
            said.path,
            f"a {kind.item_name} without mRID and without a name that identifies it",
            "mRID, or Names/name with the numbering scheme of the object",
            "IEC 61968-100:2013, identity of objects",
        )
    return _only(await find_by_id(records, kind, said.id), kind, said)


def _only(found: tuple[Stored[BodyT], ...], kind: Kind[BodyT], said: Said[BodyT]) -> Stored[BodyT] | Finding:
    if len(found) == 1:
        return found[0]
    if not found:
        return unknown(kind, said)
    several = ", ".join(stored.mrid for stored in found[:3])
    return finding_of(
        "REF-104",
        said.path,
        f"{said.identity(kind)} means {len(found)} objects of {kind.noun} ({several})",
        "the mRID, or the name with its type and authority",
        CLAUSE_ID,
        object_id=said.identity(kind),
    )


def unknown(kind: Kind[BodyT], said: Said[BodyT]) -> Finding:
    """REF-103 for an object that is not known here."""
    identity = said.identity(kind)
    return finding_of(
        "REF-103",
        said.path,
        f"no {kind.item_name} {identity} is known",
        f"mRID or name of a {kind.item_name} that exists",
        CLAUSE_ID,
        object_id=identity or None,
    )


async def find_twin(
    records: Records, kind: Kind[BodyT], body: BodyT, besides: MRID | None = None
) -> Stored[BodyT] | None:
    """Another object than `besides` with the mRID of this one, or one of its names with the same type and authority."""
    mrid = mrid_of(kind.core(body))
    if mrid:
        stored = await records.find(kind.collection, mrid)
        if stored is not None and mrid != besides:
            return stored
    own = set(kind.labels(body))
    for stored in await find_by_names(records, kind, kind.labels(body)):
        if stored.mrid != besides and not own.isdisjoint(kind.labels(stored.body)):
            return stored
    return None


def refused(code: str, said: Said[BodyT], kind: Kind[BodyT], found: str, accepted: str, clause: str = "") -> Finding:
    """Finding about one object of a message."""
    return finding_of(code, said.path, found, accepted, clause, object_id=said.identity(kind) or None)


def warning_of(finding: Finding) -> Finding:
    """The finding as a warning: something was done, though not all that was asked."""
    return msgspec.structs.replace(finding, level=Level.WARNING)


def as_utc(instant: datetime | None) -> datetime | None:
    """An instant of a payload as aware instant in UTC; without a zone it is taken as UTC."""
    if instant is None:
        return None
    if instant.tzinfo is None:
        return instant.replace(tzinfo=UTC)
    try:
        return instant.astimezone(UTC)
    except OverflowError:  # within a day of year 1 or year 9999: the zone no longer matters
        return instant.replace(tzinfo=UTC)
