"""Which object a value means: mRID and names, the keys under which objects are found, and whether two values are one.

An object is known by its mRID or by a name of one numbering scheme (name, name type, authority). A look-up may leave
out authority and type; it then finds every object that fits, and the caller decides what several hits mean.

Source: IEC 61968-100:2013 (ID and its attributes); identity by mRID or Names as in the IEC 61968 payload schemas.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import NamedTuple

from cimcare.exchange.ports import Key
from cimcare.model.envelope import ObjectID
from cimcare.model.identity import MRID, Name
from cimcare.model.structure import Structure, elements_of

__all__ = [
    "RELATED",
    "Label",
    "describe_identity",
    "fits",
    "has_identity",
    "identity_keys",
    "is_same",
    "label_of",
    "label_of_id",
    "labels_of",
    "lookup_keys",
    "mrid_of",
    "names_of",
    "related_keys",
    "stored_keys",
]

RELATED: dict[str, str] = {
    "Asset": "asset",
    "Crew": "crew",
    "Customer": "customer",
    "CustomerAccount": "account",
    "CustomerAgreement": "agreement",
    "Incident": "incident",
    "Organisation": "organisation",
    "ServiceLocation": "service-location",
    "ServiceSupplier": "supplier",
    "TroubleTicket": "ticket",
    "UsagePoint": "usage-point",
}
"""Classes of objects that payloads refer to, and the sort of key under which the referring object is then found."""


class Label(NamedTuple):
    """A name with its numbering scheme; what was not said is empty."""

    authority: str
    type: str
    name: str

    def __str__(self) -> str:
        """The name as people would say it: `TT-1 (TicketNumber, CIS)`."""
        scheme = ", ".join(part for part in (self.type, self.authority) if part)
        return f"{self.name} ({scheme})" if scheme else self.name


def label_of(name: Name) -> Label:
    """A name of a payload as label."""
    kind = name.name_type
    authority = kind.name_type_authority if kind else None
    return Label(authority.name.strip() if authority else "", kind.name.strip() if kind else "", name.name.strip())


def label_of_id(identifier: ObjectID) -> Label:
    """An ID of the envelope as label: idType is the name type, idAuthority its authority."""
    return Label((identifier.id_authority or "").strip(), (identifier.id_type or "").strip(), identifier.value.strip())


def mrid_of(value: Structure) -> MRID | None:
    """The mRID of a value; None if it has none or a blank one."""
    mrid = getattr(value, "mrid", None)
    return MRID(mrid.strip()) if isinstance(mrid, str) and mrid.strip() else None


def names_of(value: Structure) -> tuple[Name, ...]:
    """The names of a value; empty if it cannot have any."""
    names = getattr(value, "names", ())
    return names if isinstance(names, tuple) else ()


def labels_of(value: Structure, *, without: frozenset[str] = frozenset()) -> tuple[Label, ...]:
    """Labels of all names that say something, but for those whose type is in `without`."""
    labels = (label_of(name) for name in names_of(value))
    return tuple(label for label in labels if label.name and label.type not in without)


def has_identity(value: Structure) -> bool:
    """Whether a value says which object it is."""
    return mrid_of(value) is not None or bool(labels_of(value))


def is_same(one: Structure, other: Structure) -> bool:
    """Whether two values say that they are the same object: equal mRIDs decide, failing those a name of one scheme."""
    first, second = mrid_of(one), mrid_of(other)
    if first and second:
        return first == second
    return not set(labels_of(one)).isdisjoint(labels_of(other))


def fits(asked: Label, label: Label) -> bool:
    """Whether a label is meant by a look-up that may leave out type and authority."""
    return asked.name == label.name and asked.type in ("", label.type) and asked.authority in ("", label.authority)


def describe_identity(value: Structure) -> str:
    """How findings name an object: its mRID, failing that its first name, failing that nothing."""
    mrid = mrid_of(value)
    if mrid:
        return mrid
    labels = labels_of(value)
    return str(labels[0]) if labels else ""


def _text(authority: str, type: str, name: str) -> str:
    # A bar inside authority or type must not look like the bar between them; the name comes last and needs no care.
    return f"{authority.replace('|', '%7C')}|{type.replace('|', '%7C')}|{name}"


def stored_keys(sort: str, labels: Iterable[Label]) -> frozenset[Key]:
    """Keys under which an object with these names is kept: one for every manner of asking, `authority|type|name`."""
    keys = set()
    for authority, type, name in labels:
        for asked_authority in {authority, ""}:
            for asked_type in {type, ""}:
                keys.add(Key(sort, _text(asked_authority, asked_type, name)))
    return frozenset(keys)


def identity_keys(sort: str, value: Structure) -> frozenset[Key]:
    """Keys under which an object is kept that refers to this value: by its mRID and by its names."""
    mrid = mrid_of(value)
    return stored_keys(sort, labels_of(value)) | ({Key(sort, mrid)} if mrid else frozenset())


def lookup_keys(sort: str, mrid: MRID | None, labels: Iterable[Label]) -> tuple[Key, ...]:
    """Keys to ask for when an object is given like this; each of them alone is a hit."""
    by_mrid = (Key(sort, mrid),) if mrid else ()
    return by_mrid + tuple(Key(sort, _text(*label)) for label in labels)


def related_keys(value: Structure) -> frozenset[Key]:
    """Keys for every object of a known class to which a value refers, at any depth; not for the value itself."""
    keys: set[Key] = set()
    for part in _parts_of(value):
        sort = RELATED.get(part.XML_TYPE)
        if sort:
            keys |= identity_keys(sort, part)
    return frozenset(keys)


@cache
def _fields_of(structure: type[Structure]) -> tuple[tuple[str, bool], ...]:
    """Fields that hold other objects, each with whether it holds many; names are no objects."""
    return tuple(
        (element.field, element.many)
        for element in elements_of(structure)
        if element.is_complex and not issubclass(element.kind, Name)
    )


def _parts_of(value: Structure) -> Iterator[Structure]:
    for name, is_many in _fields_of(type(value)):
        content = getattr(value, name)
        if is_many:
            for part in content:
                yield part
                yield from _parts_of(part)
        elif content is not None:
            yield content
            yield from _parts_of(content)
