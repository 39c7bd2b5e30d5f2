"""Instances of the nouns made from the model alone: every member of every type, or no more than has to be there."""

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from lxml import etree

from cimcare.model.enumerations import NOT_IN_PART_6
from cimcare.model.nouns import NounEntry
from cimcare.model.structure import Element, Structure, elements_of

_VALUES = {
    str: "some text",
    bool: "true",
    int: "3",
    float: "230.5",
    Decimal: "12.50",
    datetime: "2031-02-11T07:42:05Z",
    date: "2031-02-11",
}


def value_of(element: Element, *, part_6: bool) -> str:
    """A value that the type of a simple member accepts."""
    if issubclass(element.kind, StrEnum):
        left_out = NOT_IN_PART_6.get(element.kind, frozenset()) if part_6 else frozenset()
        return next(one.value for one in element.kind if one.value not in left_out)
    return _VALUES[element.kind]


def instance(entry: NounEntry, structure: type[Structure], namespace: str, *, full: bool) -> etree._Element:
    """Root element with all members, or with the mandatory ones only. What may repeat does so where it stands first."""
    root = etree.Element(f"{{{namespace}}}{structure.XML_TYPE}", nsmap={None: namespace})
    _fill(root, structure, namespace, entry, set() if full else None)
    return root


def _fill(
    parent: etree._Element, structure: type[Structure], namespace: str, entry: NounEntry, met: set[type] | None
) -> None:
    """Fill an element; `met` are the types that stood twice already, None asks for the mandatory members only."""
    for element in elements_of(structure):
        count = element.least
        if met is not None:
            count = 2 if element.many and element.kind not in met else 1
            met.add(element.kind)
        for _ in range(count):
            child = etree.SubElement(parent, f"{{{namespace}}}{element.name}")
            if element.is_complex:
                _fill(child, element.kind, namespace, entry, met)
            else:
                child.text = value_of(element, part_6=entry.part_6)


def first_of_each_type(
    root: etree._Element, structure: type[Structure]
) -> Iterator[tuple[etree._Element, type[Structure]]]:
    """For every type that the instance shows, the first element of it."""
    seen: set[type[Structure]] = set()
    waiting = [(root, structure)]
    while waiting:
        element, kind = waiting.pop(0)
        if kind not in seen:
            seen.add(kind)
            yield element, kind
            waiting += [
                (child, member.kind)
                for member in elements_of(kind)
                if member.is_complex
                for child in element.iterchildren(f"{{*}}{member.name}")
            ]
