"""Model to schema: XSD 1.0 of the nouns, of the query elements and of the envelope; JSON Schema of the nouns.

Each noun has two forms. The full one asks for all mandatory members and serves `create` and `created`; the partial one
has the same types with the lower bounds a change can always meet and serves every other verb, replies and the WSDLs.
The output depends on the model alone, so the committed documents can be compared with it byte by byte.

Source: design rules of the IEC 61968 payload schemas; IEC 61968-100:2013, Message.xsd, for the envelope.
"""

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

import msgspec

from cimcare.model import envelope
from cimcare.model.enumerations import NOT_IN_PART_6
from cimcare.model.envelope import MESSAGE_NAMESPACE
from cimcare.model.nouns import NOUNS, Noun, NounEntry
from cimcare.model.structure import Element, Structure, elements_of
from cimcare.schema.markup import Lines, annotation, document, node

__all__ = ["EDITION", "json_schema", "message_schema", "noun_schema", "query_schema"]

EDITION = "2013"
"""Folder of the documents: the year of the edition of IEC 61968-100 whose envelope they belong to."""

CIM = "http://iec.ch/TC57/CIM-generic#"
"""Base of model references, as in the IEC 61968-6 schemas."""

_SIMPLE: dict[type[object], str] = {
    str: "xs:string",
    bool: "xs:boolean",
    int: "xs:integer",
    float: "xs:float",
    Decimal: "xs:decimal",
    datetime: "xs:dateTime",
    date: "xs:date",
}
_DATATYPES = {"Voltage": "xs:float", "CurrentFlow": "xs:float", "Money": "xs:decimal"}


def _bounds(element: Element, *, partial: bool) -> dict[str, str]:
    least = element.least_partial if partial else element.least
    return {"minOccurs": str(least), "maxOccurs": "unbounded" if element.many else "1"}


def _reference(cim: str | None) -> dict[str, str]:
    return {"sawsdl:modelReference": CIM + cim} if cim else {}


def _structures(root: type[Structure]) -> Iterator[type[Structure]]:
    """The Structure and all it can hold, each once, a parent before its members, in the order of the schema."""
    seen: set[type[Structure]] = set()
    waiting = [root]
    while waiting:
        structure = waiting.pop(0)
        if structure in seen:
            continue
        seen.add(structure)
        yield structure
        waiting.extend(element.kind for element in elements_of(structure) if element.is_complex)


class _PayloadSchema:
    """One payload schema in the making: which shapes are global, which enumerations and datatypes are used."""

    def __init__(
        self,
        root: type[Structure],
        *,
        declared: tuple[type[Structure], ...] = (),
        left_out: dict[type[StrEnum], frozenset[str]],
        partial: bool,
    ) -> None:
        self.root = root
        self.partial = partial
        self.left_out = left_out
        self.globals: dict[str, type[Structure]] = {}
        self.enumerations: dict[str, type[StrEnum]] = {}
        self.datatypes: set[str] = set()
        structures = [found for top in (root, *declared) for found in _structures(top)]
        # A class may have several shapes in one schema. The one called like the class gets the global type.
        for structure in sorted(structures, key=lambda one: one.__name__ != one.XML_TYPE):
            self.globals.setdefault(structure.XML_TYPE, structure)
        for element in (element for structure in structures for element in elements_of(structure)):
            if element.datatype in _DATATYPES:
                self.datatypes.add(element.datatype)
            elif issubclass(element.kind, StrEnum):
                self.enumerations[element.kind.__name__] = element.kind

    def member(self, element: Element) -> Lines:
        attributes = {"name": element.name} | _bounds(element, partial=self.partial)
        inner: Lines = []
        if element.is_complex and self.globals[element.kind.XML_TYPE] is not element.kind:
            inner = self.complex_type(element.kind, named=False)
        elif element.is_complex:
            attributes["type"] = f"m:{element.kind.XML_TYPE}"
        elif element.datatype in _DATATYPES:
            attributes["type"] = f"m:{element.datatype}"
        elif issubclass(element.kind, StrEnum):
            attributes["type"] = f"m:{element.kind.__name__}"
        else:
            attributes["type"] = _SIMPLE[element.kind]
        attributes |= _reference(element.member.cim)
        return node("xs:element", attributes, annotation(element.member.text), inner)

    def complex_type(self, structure: type[Structure], *, named: bool = True) -> Lines:
        members = [line for element in elements_of(structure) for line in self.member(element)]
        attributes = {"name": structure.XML_TYPE} if named else {}
        return node("xs:complexType", attributes | _reference(structure.CIM_CLASS), node("xs:sequence", {}, members))

    def enumeration(self, enumeration: type[StrEnum]) -> Lines:
        literals = sorted({one.value for one in enumeration} - self.left_out.get(enumeration, frozenset()))
        attributes = {"name": enumeration.__name__} | _reference(enumeration.__name__)
        return node("xs:simpleType", attributes, _restriction("xs:string", literals))

    def render(self, namespace: str, note: str) -> bytes:
        """The document: annotation, root element, root type, then all other types A to Z."""
        types = {
            name: self.complex_type(structure) for name, structure in self.globals.items() if structure is not self.root
        }
        types |= {name: self.enumeration(enumeration) for name, enumeration in self.enumerations.items()}
        types |= {
            name: node(
                "xs:simpleType", {"name": name} | _reference(name), node("xs:restriction", {"base": _DATATYPES[name]})
            )
            for name in self.datatypes
        }
        root = self.root.XML_TYPE
        return document(
            node(
                "xs:schema",
                {
                    "xmlns:xs": "http://www.w3.org/2001/XMLSchema",
                    "xmlns:sawsdl": "http://www.w3.org/ns/sawsdl",
                    "xmlns:m": namespace,
                    "targetNamespace": namespace,
                    "elementFormDefault": "qualified",
                    "attributeFormDefault": "unqualified",
                },
                annotation(note),
                node("xs:element", {"name": root, "type": f"m:{root}"}),
                self.complex_type(self.root),
                *(types[name] for name in sorted(types)),
            )
        )


def _restriction(base: str, literals: list[str]) -> Lines:
    return node("xs:restriction", {"base": base}, *(node("xs:enumeration", {"value": one}) for one in literals))


def _note(entry: NounEntry, *, partial: bool) -> str:
    if entry.part_6:
        source = (
            f"Payload of the noun {entry.noun} ({entry.clause}), built from structure facts of the final draft of"
            " IEC 61968-6. Not the published schema; texts are our own."
        )
    else:
        source = (
            f"Payload of the noun {entry.noun} ({entry.clause}): our reading, derived from the CIM classes. Not the"
            " official schema, which was not seen; names, members and namespace may differ from it."
        )
    form = (
        "Partial form: no member is mandatory that a change or a reply may leave out."
        if partial
        else "Full form: the lower bounds that a create has to meet."
    )
    return f"{source} {form}"


def noun_schema(entry: NounEntry, *, partial: bool = False) -> bytes:
    """XSD of a noun's payload in the full or the partial form."""
    schema = _PayloadSchema(
        entry.payload,
        declared=entry.declared,
        left_out=NOT_IN_PART_6 if entry.part_6 else {},
        partial=partial,
    )
    return schema.render(entry.namespace, _note(entry, partial=partial))


def query_schema(entry: NounEntry) -> bytes:
    """XSD of the query element `Get<Noun>`, in its own namespace. Its content is our profile."""
    note = (
        f"Query element Get{entry.noun}, sent inside Request of a get for {entry.noun}. Our profile: no standard known"
        " to us defines query elements for this noun."
    )
    schema = _PayloadSchema(entry.query, left_out=NOT_IN_PART_6 if entry.part_6 else {}, partial=True)
    return schema.render(entry.query_namespace, note)


# -------------------------------------------------------------------------------------------------- envelope

_ROOTS = (
    envelope.Message,
    envelope.RequestMessage,
    envelope.ResponseMessage,
    envelope.EventMessage,
    envelope.FaultMessage,
)
_OPTIONAL = {"minOccurs": "0", "maxOccurs": "1"}
_ANY_NUMBER = {"minOccurs": "0", "maxOccurs": "unbounded"}
_DEFAULTS: dict[tuple[type[Structure], str], str] = {(envelope.Operation, "element_operation"): "false"}
_QNAMES = {(envelope.ReplyError, "xpath")}


def _wildcard(processing: str, bounds: dict[str, str]) -> Lines:
    return node("xs:any", {"namespace": "##other", "processContents": processing} | bounds)


_WILDCARDS: dict[type[Structure], tuple[str | None, Lines]] = {
    # Which member the wildcard follows; None: it stands last.
    envelope.Header: (None, _wildcard("lax", _ANY_NUMBER)),
    envelope.Request: (None, _wildcard("lax", _ANY_NUMBER)),
    envelope.Reply: ("id", _wildcard("lax", _ANY_NUMBER)),
    envelope.Operation: (None, _wildcard("skip", _OPTIONAL)),
}


def _envelope_member(owner: type[Structure], element: Element) -> Lines:
    attributes = {"name": element.name} | _bounds(element, partial=False)
    inner: Lines = []
    if element.kind is envelope.ObjectID:
        group = node("xs:attributeGroup", {"ref": "m:IDatts"})
        extension = node("xs:extension", {"base": "xs:string"}, group)
        inner = node("xs:complexType", {}, node("xs:simpleContent", {}, extension))
    elif element.is_complex:
        attributes["type"] = f"m:{element.kind.XML_TYPE}"
    elif issubclass(element.kind, StrEnum):
        inner = node("xs:simpleType", {}, _restriction("xs:string", [one.value for one in element.kind]))
    elif (owner, element.field) in _QNAMES:
        attributes["type"] = "xs:QName"
    else:
        attributes["type"] = _SIMPLE[element.kind]
    default = _DEFAULTS.get((owner, element.field))
    if default is not None:
        attributes["default"] = default
    return node("xs:element", attributes, annotation(element.member.text), inner)


def _envelope_type(structure: type[Structure]) -> Lines:
    members = {element.field: _envelope_member(structure, element) for element in elements_of(structure)}
    if structure is envelope.Payload:
        alternatives = [members[name] for name in ("operation_set", "compressed", "id")]
        choice = node("xs:choice", {}, _wildcard("skip", _ANY_NUMBER), *alternatives)
        parts = [choice, members["format"]]
    else:
        after, wildcard = _WILDCARDS.get(structure, (None, []))
        parts = []
        for name, lines in members.items():
            parts.append(lines)
            if name == after:
                parts.append(wildcard)
        if after is None:
            parts.append(wildcard)
    return node("xs:complexType", {"name": structure.XML_TYPE}, node("xs:sequence", {}, *parts))


def _identifier_attributes() -> Lines:
    attributes = []
    for element in elements_of(envelope.ObjectID):
        if not element.member.attribute:
            continue
        kind = "m:IDKindType" if element.kind is envelope.IDKind else _SIMPLE[element.kind]
        attributes.append(node("xs:attribute", {"name": element.name, "type": kind, "use": "optional"}))
    return node("xs:attributeGroup", {"name": "IDatts"}, *attributes)


def message_schema() -> bytes:
    """Message.xsd: the envelope of IEC 61968-100 edition 1, structurally as published, in our own words."""
    types: dict[str, Lines] = {
        "IDKindType": node(
            "xs:simpleType", {"name": "IDKindType"}, _restriction("xs:string", [one.value for one in envelope.IDKind])
        )
    }
    for root in _ROOTS:
        for structure in _structures(root):
            if structure is not envelope.ObjectID:
                types[structure.XML_TYPE] = _envelope_type(structure)
    roots = [node("xs:element", {"name": root.ARCHETYPE, "type": f"m:{root.XML_TYPE}"}) for root in _ROOTS]
    note = (
        "Message envelope of IEC 61968-100:2013 (edition 1): the same names, order, bounds, wildcards and literals as"
        " the published schema; written from the facts, with texts of our own."
    )
    return document(
        node(
            "xs:schema",
            {
                "xmlns:xs": "http://www.w3.org/2001/XMLSchema",
                "xmlns:m": MESSAGE_NAMESPACE,
                "targetNamespace": MESSAGE_NAMESPACE,
                "elementFormDefault": "qualified",
                "attributeFormDefault": "unqualified",
                "version": "1.0.0",
            },
            annotation(note),
            *roots,
            *(types[name] for name in sorted(types)),
            _identifier_attributes(),
        )
    )


# ----------------------------------------------------------------------------------------------- JSON Schema


def json_schema(noun: Noun) -> dict[str, object]:
    """JSON Schema (2020-12) of a noun's payload in the JSON form. The JSON form is our profile."""
    (top,), components = msgspec.json.schema_components([NOUNS[noun].payload], ref_template="#/$defs/{name}")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": str(noun), **top, "$defs": components}
