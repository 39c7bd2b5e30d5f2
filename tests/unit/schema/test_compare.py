"""What differs between an official schema and ours."""

import re

import pytest

from cimcare.model.nouns import ENTRIES, NOUNS, Noun, NounEntry
from cimcare.schema import SchemaFileError
from cimcare.schema.compare import DifferenceKind, compare, find_counterpart
from cimcare.schema.derive import message_schema, noun_schema, query_schema

OURS = noun_schema(NOUNS[Noun.TROUBLE_TICKETS])
TICKET = "/TroubleTickets/TroubleTicket"


@pytest.mark.parametrize("raw", [message_schema(), *(noun_schema(entry) for entry in ENTRIES)])
def test_a_schema_does_not_differ_from_itself(raw: bytes) -> None:
    """False differences would bury the true ones."""
    assert compare(raw, raw) == ()


@pytest.mark.parametrize(
    ("old", "new", "kind", "path", "official", "ours"),
    [
        (b'name="troubleCode"', b'name="code"', DifferenceKind.MISSING, f"{TICKET}/code", "0..1", ""),
        (b'name="troubleCode"', b'name="code"', DifferenceKind.EXTRA, f"{TICKET}/troubleCode", "", "0..1"),
        (
            b'name="troubleCode" minOccurs="0"',
            b'name="troubleCode" minOccurs="1"',
            DifferenceKind.CARDINALITY,
            f"{TICKET}/troubleCode",
            "1..1",
            "0..1",
        ),
        (
            b'name="Hazards" minOccurs="0" maxOccurs="unbounded"',
            b'name="Hazards" minOccurs="0" maxOccurs="1"',
            DifferenceKind.CARDINALITY,
            f"{TICKET}/Hazards",
            "0..1",
            "0..*",
        ),
        (
            b'name="multiplePremises" minOccurs="0" maxOccurs="1" type="xs:boolean"',
            b'name="multiplePremises" minOccurs="0" maxOccurs="1" type="xs:string"',
            DifferenceKind.TYPE,
            f"{TICKET}/multiplePremises",
            "xs:string",
            "xs:boolean",
        ),
        (
            b'name="troubleCode" minOccurs="0" maxOccurs="1" type="xs:string"',
            b'name="troubleCode" minOccurs="0" maxOccurs="1" type="m:Status"',
            DifferenceKind.TYPE,
            f"{TICKET}/troubleCode",
            "child elements",
            "xs:string",
        ),
        (b'value="ivr"', b'value="fax"', DifferenceKind.LITERALS, f"{TICKET}/reportingKind", "also fax", "also ivr"),
        (
            b'type="m:TroubleReportingKind"',
            b'type="xs:string"',
            DifferenceKind.LITERALS,
            f"{TICKET}/reportingKind",
            "any value",
            "call, email, ivr, letter, other",
        ),
        (b"2014/TroubleTickets#", b"2015/TroubleTickets#", DifferenceKind.NAMESPACE, "/", "2015", "2014"),
        (b'name="TroubleTickets" type', b'name="TroubleReports" type', DifferenceKind.ROOT, "/", "TroubleReports", ""),
        (
            b'<xs:element name="TroubleTickets"',
            b'<xs:import namespace="urn:other" schemaLocation="o.xsd"/><xs:element name="TroubleTickets"',
            DifferenceKind.NOTE,
            "/",
            "imports urn:other, which was not followed",
            "",
        ),
        (
            b'<xs:attribute name="none"/>',
            b"",
            DifferenceKind.ATTRIBUTES,
            f"{TICKET}/Customer",
            "ref (required)",
            "none",
        ),
        (b"", b"", DifferenceKind.ORDER, TICKET, "comment first", "mRID first"),
    ],
)
def test_finds_a_planted_difference(
    old: bytes, new: bytes, kind: DifferenceKind, path: str, official: str, ours: str
) -> None:
    """A difference that is not shown is taken for agreement."""
    other = OURS.replace(old, new) if old else OURS
    if kind is DifferenceKind.ATTRIBUTES:
        start = other.index(b'<xs:complexType name="Customer"')
        end = other.index(b"</xs:sequence>", start) + len(b"</xs:sequence>")
        other = other[:end] + b'<xs:attribute name="ref" use="required"/>' + other[end:]
    if kind is DifferenceKind.ORDER:
        start = other.index(b'<xs:complexType name="TroubleTicket" ')
        first = re.compile(rb'<xs:element name="mRID".*?</xs:element>', re.DOTALL).search(other, start)
        assert first is not None
        other = other[: first.start()] + other[first.end() :]
        end = other.index(b"</xs:sequence>", start)
        other = other[:end] + first[0] + other[end:]
    assert other != OURS

    found = [one for one in compare(other, OURS) if (one.kind, one.path) == (kind, path)]

    assert len(found) == 1, compare(other, OURS)
    assert official in found[0].official
    assert ours in found[0].ours
    assert found[0].describe().startswith(f"{path}: {kind}")


def test_a_type_written_in_place_equals_a_named_one() -> None:
    """Tools differ in this, and it makes no difference to a message."""
    named = re.search(rb'<xs:complexType name="IncidentHazard".*?</xs:complexType>', OURS, re.DOTALL)
    assert named is not None
    inline = re.sub(rb' name="IncidentHazard"', b"", named[0])
    pattern = rb'(<xs:element name="Hazards"[^>]*) type="m:IncidentHazard"([^>]*[^/])(>.*?)</xs:element>'
    element = re.search(pattern, OURS, re.DOTALL)
    assert element is not None
    other = OURS.replace(named[0], b"").replace(
        element[0], element[1] + element[2] + element[3] + inline + b"</xs:element>"
    )

    assert b'type="m:IncidentHazard"' not in other
    assert compare(other, OURS) == ()


def test_members_of_a_base_type_count_as_own() -> None:
    """The CIM's inheritance is flattened in ours and may be kept in the official one."""
    xs = 'xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:m="urn:a" targetNamespace="urn:a"'
    a, b = '<xs:element name="a" type="xs:string"/>', '<xs:element name="b" type="xs:date" minOccurs="0"/>'
    root = '<xs:element name="R" type="m:R"/>'
    flat = (
        f'<xs:schema {xs}>{root}<xs:complexType name="R"><xs:sequence>{a}{b}</xs:sequence></xs:complexType></xs:schema>'
    )
    base = f'<xs:complexType name="B"><xs:sequence>{a}</xs:sequence></xs:complexType>'
    extension = f'<xs:extension base="m:B"><xs:sequence>{b}</xs:sequence></xs:extension>'
    derived = f'<xs:complexType name="R"><xs:complexContent>{extension}</xs:complexContent></xs:complexType>'
    layered = f"<xs:schema {xs}>{root}{base}{derived}</xs:schema>"

    assert compare(layered.encode(), flat.encode()) == ()
    choice = flat.replace(a + b, f"<xs:choice>{a}{b}</xs:choice>")
    assert [one.describe() for one in compare(choice.encode(), flat.encode())] == [
        "/R/a: cardinality; official: 0..1; ours: 1..1"
    ]


def test_groups_references_and_simple_types_are_followed() -> None:
    """Official schemas use more of XML Schema than ours do."""
    start = (
        '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:m="urn:a" targetNamespace="urn:a">'
        '<xs:element name="r" type="m:R"/><xs:element name="e" type="m:E"/>'
        '<xs:simpleType name="E"><xs:restriction base="m:F"/></xs:simpleType>'
        '<xs:simpleType name="F"><xs:restriction base="xs:string"><xs:enumeration value="x"/></xs:restriction>'
        '</xs:simpleType><xs:group name="G"><xs:sequence><xs:element name="g" type="m:L"/></xs:sequence></xs:group>'
        '<xs:simpleType name="L"><xs:list itemType="xs:string"/></xs:simpleType>'
        '<xs:attributeGroup name="A"><xs:attribute name="at"/></xs:attributeGroup>'
    )
    parts = '<xs:group ref="m:G" minOccurs="0"/><xs:element ref="m:e"/><xs:any minOccurs="0" maxOccurs="unbounded"/>'
    kind = '<xs:complexType name="R"><xs:sequence>{}</xs:sequence>{}</xs:complexType></xs:schema>'
    official = start + kind.format(parts, '<xs:attributeGroup ref="m:A"/>')
    plain = (
        '<xs:element name="g" type="xs:string" minOccurs="0"/>'
        '<xs:element name="e"><xs:simpleType><xs:restriction base="xs:string"><xs:enumeration value="y"/>'
        "</xs:restriction></xs:simpleType></xs:element>"
    )
    ours = start.replace('<xs:element name="e" type="m:E"/>', '<xs:element name="z"/>') + kind.format(plain, "")

    assert [one.describe() for one in compare(official.encode(), ours.encode())] == [
        "/e: missing in ours; official: root element",
        "/z: only in ours; ours: root element",
        "/r/(any element): missing in ours; official: 0..*",
        "/r: attributes; official: at; ours: none",
        "/r/g: type; official: list; ours: xs:string",
        "/r/e: literals; official: also x; ours: also y",
    ]


def test_a_type_that_holds_itself_is_compared_once() -> None:
    """A recursive official schema must not hang the command."""
    xs = 'xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:m="urn:a" targetNamespace="urn:a"'
    inner = '<xs:element name="t" type="m:T" minOccurs="0"/>'
    kind = f'<xs:complexType name="T"><xs:sequence>{inner}</xs:sequence></xs:complexType>'
    raw = f'<xs:schema {xs}><xs:element name="t" type="m:T"/>{kind}</xs:schema>'

    assert [one.path for one in compare(raw.encode(), raw.replace('minOccurs="0"', "").encode())] == ["/t/t"]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.noun)
def test_finds_the_counterpart_by_namespace_or_by_root(entry: NounEntry) -> None:
    """The user names one file; which of ours it is about should be plain."""
    for raw, file in ((noun_schema(entry), f"{entry.noun}.xsd"), (query_schema(entry), f"Get{entry.noun}.xsd")):
        for official in (raw, raw.replace(b"/2014/", b"/2015/")):
            found = find_counterpart(official)
            assert found is not None
            assert (found[0].file, found[1]) == (file, raw)
    alias = noun_schema(entry).replace(b"/2014/", b"/2015/")
    root, other = (f'<xs:element name="{name}"'.encode() for name in (entry.noun, entry.aliases[0]))
    found = find_counterpart(alias.replace(root, other))
    assert found is not None
    assert found[0].noun == entry.noun


def test_what_resembles_nothing_of_ours_has_no_counterpart() -> None:
    """Comparing with a wrong one would be worse than none."""
    start = b'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:a">'
    raw = start + b'<xs:element name="a"/></xs:schema>'
    assert find_counterpart(raw) is None
    with pytest.raises(SchemaFileError, match="not well-formed"):
        compare(b"<a", OURS)
