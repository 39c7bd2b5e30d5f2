"""XML of the nouns: payload roots and `Get<Noun>` elements <-> values.

Source: IEC 61968-8:2015, clauses 5.2 to 5.7 (content: our reading); namespaces from `model.nouns`.
"""

from collections.abc import Callable

from lxml import etree

from cimcare.codec.binding import Binding, Next, embed, read_whole
from cimcare.codec.limits import Limits, parse_xml
from cimcare.codec.values import canonical_xml
from cimcare.errors import InputError, finding_of
from cimcare.model.nouns import ENTRIES, PayloadRoot, Query
from cimcare.model.structure import Extension, Structure

__all__ = ["parse_payload", "read_content", "read_payload", "render_payload", "write_content"]

_READERS: dict[object, Callable[[etree._Element, Next], PayloadRoot | Query]] = {}
_WRITERS: dict[type[Structure], Callable[[Structure], str]] = {}
_STARTS: dict[type[Structure], tuple[str, str]] = {}


def _bind(root: type[Structure], namespace: str) -> None:
    binding = Binding(namespace)
    name = root.XML_TYPE
    _READERS[f"{{{namespace}}}{name}"] = binding.reader(root)
    _WRITERS[root] = binding.writer(root)
    _STARTS[root] = (f'<{name} xmlns="{namespace}">', f"</{name}>")


for _entry in ENTRIES:
    _bind(_entry.payload, _entry.namespace)
    _bind(_entry.query, _entry.query_namespace)


def read_content(element: etree._Element, following: Next) -> PayloadRoot | Query | Extension:
    """Value of an element in a wildcard slot: a known root as its Structure, anything else as Extension."""
    reader = _READERS.get(element.tag)
    if reader is not None:
        return reader(element, following)
    for _ in element.iterdescendants():
        following()
    return Extension(xml=canonical_xml(element))


def write_content(value: Structure | Extension) -> str:
    """Text of a payload root, a `Get<Noun>` element or an extension, with its own namespace declaration."""
    if isinstance(value, Extension):
        return embed(value)
    start, end = _STARTS[type(value)]
    return start + _WRITERS[type(value)](value) + end


def read_payload(element: etree._Element) -> PayloadRoot | Query:
    """Value of a payload root or `Get<Noun>` element of a parsed document.

    Raises:
        InputError: SCH-106 no such root, COD-1xx a value that the model cannot hold.
    """
    reader = _READERS.get(element.tag)
    if reader is None:
        raise InputError(
            finding_of(
                "SCH-106",
                f"/{etree.QName(element).localname}",
                f"element {element.tag!s}",
                "one of " + ", ".join(f"{{{entry.namespace}}}{entry.noun}" for entry in ENTRIES),
                "namespaces of the nouns (our reading of IEC 61968-8:2015, Annex A)",
                line=element.sourceline,
            )
        )
    value: PayloadRoot | Query = read_whole(element, reader)
    return value


def parse_payload(raw: bytes, limits: Limits | None = None) -> PayloadRoot | Query:
    """Value of a bare payload document. Raises InputError as `parse_xml` and `read_payload` do."""
    return read_payload(parse_xml(raw, limits))


def render_payload(value: PayloadRoot | Query) -> bytes:
    """A bare payload document: UTF-8 with XML declaration, root in the default namespace, nothing indented.

    Raises:
        InputError: XML-109 or COD-102, a value that XML cannot carry.
    """
    return ('<?xml version="1.0" encoding="UTF-8"?>\n' + write_content(value)).encode()
