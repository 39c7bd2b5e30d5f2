"""What the removal of parts does to an object: the payload holds the path down to each doomed member.

The identity of an object says which one is meant and is never doomed itself, except where the names of the object stand
alone beside its mRID. A simple member that is given is removed, whatever value it is given with. A compound member or
list item of which the identity alone is given, or nothing, or exactly what is known, is removed as a whole; more than
that is the way to something further down. A compound that is empty afterwards goes too. What is not there cannot be
removed, and what every object of its class must have stays: both are said, and nothing of it is done.

Source: our reading of public IEC 61968-6 samples; IEC 61968-100:2013, Operation/elementOperation.
"""

from functools import cache
from typing import Generic, TypeVar, cast

import msgspec

from cimcare.model.identity import Name
from cimcare.model.structure import Extension, Structure, elements_of
from cimcare.systems.identity import has_identity, is_same, mrid_of, names_of
from cimcare.systems.merging import position_of

__all__ = ["Pruned", "prune"]

StructureT = TypeVar("StructureT", bound=Structure)

_NOTHING = (None, ())
_IDENTITY = ("mrid", "names")


class Pruned(msgspec.Struct, Generic[StructureT], frozen=True, kw_only=True):
    """What is left of an object.

    `unknown` are paths, by element names and from the object down, of what was to be removed and is not there; `fixed`
    those of what cannot be removed.
    """

    value: StructureT
    unknown: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()


def prune(known: StructureT, doomed: StructureT, *, keep: frozenset[str] = frozenset()) -> Pruned[StructureT]:
    """The known value without what `doomed` leads to. The same object if nothing is removed.

    Args:
        known: The object.
        doomed: Paths down to the members that are to go.
        keep: Fields of the object itself that cannot be removed.
    """
    shears = _Shears(keep)
    names = _given(doomed)
    if not names and mrid_of(doomed) is not None and names_of(doomed):
        names = ("names",)
    left = cast("StructureT", shears.cut(known, doomed, names, ""))
    return Pruned(value=left, unknown=tuple(shears.unknown), fixed=tuple(shears.fixed))


class _Shears:
    """One removal: what could not be done piles up."""

    def __init__(self, keep: frozenset[str]) -> None:
        self._keep = keep
        self.unknown: list[str] = []
        self.fixed: list[str] = []

    def cut(self, known: Structure, doomed: Structure, fields: tuple[str, ...], path: str) -> Structure:
        """`known` without what these fields of `doomed` lead to."""
        facts = _facts_of(type(known))
        changes: dict[str, object] = {}
        for field in fields:
            old, given = getattr(known, field), getattr(doomed, field)
            name, is_mandatory = facts[field]
            where = f"{path}{name}"
            if not path and field in self._keep:
                self.fixed.append(where)
                continue
            if old in _NOTHING:
                self.unknown.append(where)
                continue
            left = self._left(old, given, where)
            if left in _NOTHING and is_mandatory:
                self.fixed.append(where)
            elif left is not old:
                changes[field] = left
        return msgspec.structs.replace(known, **changes) if changes else known

    def _left(self, old: object, given: object, where: str) -> object:
        if isinstance(old, tuple) and isinstance(given, tuple):
            return self._left_of_list(old, given, where)
        if isinstance(old, Structure) and isinstance(given, Structure):
            return self._left_of_part(old, given, where)
        return None

    def _left_of_part(self, old: Structure, given: Structure, where: str) -> Structure | None:
        if has_identity(given) and not is_same(old, given):
            self.unknown.append(where)
            return old
        fields = _given(given)
        if not fields or given == old:
            return None
        left = self.cut(old, given, fields, f"{where}/")
        return (
            left if left is old or any(getattr(left, one) not in _NOTHING for one in left.__struct_fields__) else None
        )

    def _left_of_list(self, old: tuple[object, ...], given: tuple[object, ...], where: str) -> tuple[object, ...]:
        items = list(old)
        for number, item in enumerate(given, 1):
            place = f"{where}[{number}]" if len(given) > 1 else where
            rest = [one for one in items if not _is_equal(one, item)]
            if len(rest) < len(items):
                items = rest
                continue
            position = position_of(item, items)
            if position is None:
                self.unknown.append(place)
                continue
            found = items[position]
            fields = _given(item) if isinstance(item, Structure) and not isinstance(item, Name) else ()
            if fields and isinstance(item, Structure) and isinstance(found, Structure):
                items[position] = self.cut(found, item, fields, f"{place}/")
            else:
                del items[position]
        return tuple(items) if items != list(old) else old


def _is_equal(one: object, other: object) -> bool:
    if isinstance(one, Extension) and isinstance(other, Extension):
        return one.xml == other.xml  # where it stood among its like does not matter
    return one == other


def _given(doomed: Structure) -> tuple[str, ...]:
    """Fields that say more than which object is meant."""
    return tuple(
        field for field in doomed.__struct_fields__ if field not in _IDENTITY and getattr(doomed, field) not in _NOTHING
    )


@cache
def _facts_of(structure: type[Structure]) -> dict[str, tuple[str, bool]]:
    """Element name of each field, and whether an object must have it."""
    facts = dict.fromkeys(structure.__struct_fields__, ("*", False))
    facts.update((element.field, (element.name, element.least > 0)) for element in elements_of(structure))
    return facts
