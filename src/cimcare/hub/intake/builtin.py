"""The built-in systems, put together: who serves what, and where the objects of each noun are kept."""

from typing import cast

import msgspec

from cimcare.exchange.dispatch import System
from cimcare.exchange.ports import Collection
from cimcare.model.nouns import NOUNS, Noun, Role
from cimcare.systems import cis, oms, third_party, wms

__all__ = ["COLLECTIONS", "SYSTEMS", "Body", "collection_of"]

Body = msgspec.Struct
"""Body of a stored object; the collection says which Struct it is."""

SYSTEMS: tuple[System, ...] = tuple(
    System(
        role=role,
        serves=part.SERVES,
        listens=part.LISTENS,
        ticks=getattr(part, "TICKS", ()),
        news=getattr(part, "NEWS", None),
    )
    for role, part in ((Role.OMS, oms), (Role.WMS, wms), (Role.CIS, cis), (Role.THIRD_PARTY, third_party))
)
"""All four, in the order in which they hear of events."""

COLLECTIONS: dict[str, Collection[Body]] = {
    collection.name: cast("Collection[Body]", collection)
    for part in (oms, wms, cis, third_party)
    for collection in part.COLLECTIONS
}
"""All that they keep, by name."""


def collection_of(noun: Noun) -> Collection[Body]:
    """Where the owner of a noun keeps its objects."""
    return COLLECTIONS[f"{NOUNS[noun].owner}.{noun}"]
