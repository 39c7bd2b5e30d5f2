"""What a change does to an object, and what a change message must carry.

A change holds the path from the root to what changes, with the identity of each object on the way. A simple member is
replaced. In a list, an item whose identity is known is merged, any other is added; items that are not mentioned stay,
and an item without identity is not doubled. Compound members merge member by member. Nothing is ever removed.

A single member that refers to another object than before (another supplier, another customer) is replaced as a whole:
merging the members of two different objects would describe neither.

Source: our reading of public IEC 61968-6 samples; the standard's text of the verb `change`.
"""

from functools import cache
from typing import TypeVar

import msgspec

from cimcare.model.identity import Name
from cimcare.model.structure import Structure
from cimcare.systems.identity import has_identity, is_same, label_of, mrid_of, names_of

__all__ = ["difference", "merge", "position_of"]

StructureT = TypeVar("StructureT", bound=Structure)

_NOTHING = (None, ())


def merge(known: StructureT, patch: StructureT) -> StructureT:
    """The known value after a change that carries `patch`. The same object if nothing differs."""
    changes: dict[str, object] = {}
    for name in patch.__struct_fields__:
        new, old = getattr(patch, name), getattr(known, name)
        if new in _NOTHING:
            continue
        merged = _merged(old, new)
        if merged != old:
            changes[name] = merged
    return msgspec.structs.replace(known, **changes) if changes else known


def _merged(old: object, new: object) -> object:
    if isinstance(new, tuple) and isinstance(old, tuple):
        return _merged_list(old, new)
    if isinstance(new, Structure) and isinstance(old, Structure):
        refers_elsewhere = has_identity(old) and has_identity(new) and not is_same(old, new)
        return new if refers_elsewhere else merge(old, new)
    return new


def _merged_list(old: tuple[object, ...], new: tuple[object, ...]) -> tuple[object, ...]:
    items = list(old)
    for item in new:
        position = position_of(item, items)
        if position is not None:
            items[position] = _merged(items[position], item)
        elif item not in items:
            items.append(item)
    return tuple(items)


def position_of(item: object, items: list[object]) -> int | None:
    """Where the object stands that `item` means; None if it is not there or `item` has no identity."""
    if isinstance(item, Name):
        label = label_of(item)
        return next((at for at, one in enumerate(items) if isinstance(one, Name) and label_of(one) == label), None)
    if not isinstance(item, Structure) or not has_identity(item):
        return None
    return next((at for at, one in enumerate(items) if isinstance(one, Structure) and is_same(one, item)), None)


def difference(known: StructureT, now: StructureT) -> StructureT | None:
    """The least value that makes `merge(known, it)` equal `now`, with the identity of `now`; None if nothing differs.

    What was removed is not expressed: a change cannot say it.
    """
    blanks: dict[str, object] = {}
    differs = False
    for name, required in _members_of(type(now)):
        value = _differing(getattr(known, name), getattr(now, name))
        if value in _NOTHING:
            if not required:
                blanks[name] = () if isinstance(getattr(now, name), tuple) else None
        else:
            differs = True
            blanks[name] = value
    if not differs:
        return None
    if mrid_of(now):
        blanks["mrid"] = mrid_of(now)
    if "names" in blanks and mrid_of(known) is None:
        blanks["names"] = names_of(now)  # without a known mRID the names alone say which object it is
    return msgspec.structs.replace(now, **blanks)


def _differing(old: object, new: object) -> object:
    if new == old:
        return None
    if isinstance(new, Structure) and isinstance(old, Structure):
        refers_elsewhere = has_identity(old) and has_identity(new) and not is_same(old, new)
        return new if refers_elsewhere else difference(old, new)
    if isinstance(new, tuple) and isinstance(old, tuple):
        return _differing_items(old, new)
    return new


def _differing_items(old: tuple[object, ...], new: tuple[object, ...]) -> tuple[object, ...]:
    known = list(old)
    items = []
    for item in new:
        position = position_of(item, known)
        if position is None:
            if item not in known:
                items.append(item)
            continue
        before = known[position]
        changed: object = None if item == before else item
        # A name is its own identity: cut down to what differs it would mean another name.
        if isinstance(item, Structure) and isinstance(before, Structure) and not isinstance(item, Name):
            changed = difference(before, item)
        if changed is not None:
            items.append(changed)
    return tuple(items)


@cache
def _members_of(structure: type[Structure]) -> tuple[tuple[str, bool], ...]:
    return tuple((info.name, info.required) for info in msgspec.structs.fields(structure))
