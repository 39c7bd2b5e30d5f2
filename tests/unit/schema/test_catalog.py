"""Which document is in force, and a user's own in place of ours."""

import re
from itertools import product
from pathlib import Path

import pytest
import xmlschema
from lxml import etree

from cimcare.model.envelope import MESSAGE_NAMESPACE
from cimcare.model.nouns import ENTRIES, NOUNS, Noun
from cimcare.schema import Catalog, SchemaFileError, check_element
from cimcare.schema.derive import noun_schema

INCIDENTS = NOUNS[Noun.INCIDENTS]
CAUSE = b'<xs:element name="cause" '
MARK = b'<xs:element name="vendorMark" minOccurs="0" maxOccurs="1" type="xs:string"/>\n'
OWN = noun_schema(INCIDENTS, partial=True).replace(CAUSE, MARK + CAUSE, 1)
MARKED = etree.fromstring(
    f"<Incidents xmlns='{INCIDENTS.namespace}'><Incident><vendorMark>x</vendorMark></Incident></Incidents>"
)


def test_every_built_in_document_compiles_with_both_processors() -> None:
    """A broken document would show with the first message only."""
    catalog = Catalog()
    for document in catalog.documents():
        schema = catalog.schema_for(document.namespace, partial=document.form == "partial")
        assert schema is not None
        assert schema.document == document
        assert isinstance(schema.decider, etree.XMLSchema)
        assert isinstance(schema.explainer, xmlschema.XMLSchema10)
        assert schema.explainer.target_namespace == document.namespace
        assert set(schema.explainer.elements) == set(schema.roots)


def test_lists_envelope_nouns_queries_and_typed_messages() -> None:
    """`schema list` shows what there is."""
    documents = Catalog().documents()

    assert (
        len({(document.namespace, document.form) for document in documents}) == len(documents) == 1 + 5 * len(ENTRIES)
    )
    assert {document.origin for document in documents} == {"built in"}
    envelope = next(document for document in documents if document.kind == "envelope")
    assert (envelope.namespace, envelope.clause) == (MESSAGE_NAMESPACE, "IEC 61968-100:2013, Message.xsd")


def test_knows_no_namespace_but_those_of_its_documents() -> None:
    """Other years of a namespace are a matter of lenient reading; here they would hide a mistake."""
    catalog = Catalog()

    assert catalog.schema_for(INCIDENTS.namespace.replace("2014", "2015"), partial=True) is None
    assert catalog.schema_for("", partial=False) is None


def test_compiles_a_document_once_and_keeps_it() -> None:
    """Compiling per message would cost a hundred times the check."""
    catalog = Catalog()

    first = catalog.schema_for(INCIDENTS.namespace, partial=True)
    assert catalog.schema_for(INCIDENTS.namespace, partial=True) is first
    assert catalog.schema_for(INCIDENTS.namespace, partial=False) is not first
    envelope = catalog.schema_for(MESSAGE_NAMESPACE, partial=True)
    assert catalog.schema_for(MESSAGE_NAMESPACE, partial=False) is envelope


def test_a_users_schema_takes_the_place_of_both_forms(tmp_path: Path) -> None:
    """Whoever owns the official schema validates with it, whatever its file is called."""
    (tmp_path / "official-annex-a.xsd").write_bytes(OWN)
    catalog = Catalog(tmp_path)

    for verb in ("create", "change"):
        assert check_element(MARKED, catalog, verb=verb) == ()
        assert check_element(MARKED, Catalog(), verb=verb) != ()
    mine = [document for document in catalog.documents() if document.namespace == INCIDENTS.namespace]
    assert [(document.file, document.origin, document.noun) for document in mine] == [
        ("official-annex-a.xsd", "user", Noun.INCIDENTS)
    ]
    refused = etree.fromstring(f"<Incidents xmlns='{INCIDENTS.namespace}'><Incident><mark/></Incident></Incidents>")
    finding = check_element(refused, catalog)[0]
    assert finding.clause.startswith("official-annex-a.xsd, schema of the user")
    assert "vendorMark" in finding.accepted


def test_a_users_schema_below_partial_takes_the_place_of_that_form_alone(tmp_path: Path) -> None:
    """The export has this layout, and an export must be usable as it is."""
    (tmp_path / "partial").mkdir()
    (tmp_path / "partial" / "Incidents.xsd").write_bytes(OWN)
    catalog = Catalog(tmp_path)

    assert check_element(MARKED, catalog, verb="change") == ()
    assert check_element(MARKED, catalog, verb="create") != ()


def test_a_users_schema_of_another_namespace_is_in_force_beside_ours(tmp_path: Path) -> None:
    """The official schemas may turn out to be of another year."""
    namespace = INCIDENTS.namespace.replace("2014", "2015")
    (tmp_path / "i.xsd").write_bytes(OWN.replace(INCIDENTS.namespace.encode(), namespace.encode()))
    catalog = Catalog(tmp_path)

    element = etree.fromstring(f"<Incidents xmlns='{namespace}'><Incident/></Incidents>")
    assert check_element(element, catalog) == ()
    assert {namespace, INCIDENTS.namespace} <= set(catalog.payload_namespaces())


def test_files_that_are_included_belong_to_the_file_that_includes_them(tmp_path: Path) -> None:
    """Larger schemas come in pieces."""
    start = OWN[: OWN.index(b">", OWN.index(b"<xs:schema")) + 1]
    root = re.search(rb'<xs:element name="Incidents".*?</xs:complexType>', OWN, re.DOTALL)
    assert root is not None
    include = b'<xs:include schemaLocation="types.xsd"/>'
    (tmp_path / "main.xsd").write_bytes(start + include + root[0] + b"</xs:schema>")
    (tmp_path / "types.xsd").write_bytes(OWN.replace(root[0], b""))
    catalog = Catalog(tmp_path)

    assert check_element(MARKED, catalog, verb="create") == ()
    refused = etree.fromstring(f"<Incidents xmlns='{INCIDENTS.namespace}'><Incident><caus/></Incident></Incidents>")
    assert "did you mean cause?" in check_element(refused, catalog)[0].accepted


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        (OWN[:-20], None, ["not well-formed XML"]),
        (b"<a/>", 1, ["root element is a", "root xs:schema"]),
        (
            b'<!DOCTYPE xs:schema [<!ENTITY a "b">]>' + OWN.partition(b"?>")[2].lstrip(),
            None,
            ["document type declaration"],
        ),
        (OWN.replace(b'type="m:Operator"', b'type="m:Operater"'), None, ["no valid XML Schema", "Operater"]),
        (b'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"/>', 1, ["no targetNamespace"]),
    ],
    ids=["cut off", "no schema", "DOCTYPE", "unknown type", "no namespace"],
)
def test_an_unusable_schema_is_refused_at_the_start(
    content: bytes, line: int | None, words: list[str], tmp_path: Path
) -> None:
    """The operator learns it when the hub starts, with file and line, and not from the first partner."""
    (tmp_path / "incidents.xsd").write_bytes(content)

    with pytest.raises(SchemaFileError) as caught:
        Catalog(tmp_path)

    assert caught.value.code == "SET-103"
    assert str(tmp_path / "incidents.xsd") in str(caught.value)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    if "DOCTYPE" not in str(caught.value):
        assert caught.value.finding.line is not None
    if line is not None:
        assert caught.value.finding.line == line


def test_an_unusable_directory_is_refused_with_what_would_do(tmp_path: Path) -> None:
    """A wrong path must not mean silently validating with other schemas."""
    with pytest.raises(SchemaFileError, match="no such directory"):
        Catalog(tmp_path / "absent")
    with pytest.raises(SchemaFileError, match=r"no \*\.xsd file"):
        Catalog(tmp_path)
    for name in ("a.xsd", "b.xsd"):
        (tmp_path / name).write_bytes(OWN)
    with pytest.raises(SchemaFileError, match=r"which a\.xsd has too"):
        Catalog(tmp_path)


_PARTS = {
    "EventMessage": (
        "<Header><Verb>created</Verb><Noun>n</Noun></Header><Payload>{}</Payload>",
        ("<x:a/>", "<OperationSet/>", "<Compressed/>", "<ID/>", "<Format/>"),
    ),
    "FaultMessage": ("<Reply><Result>OK</Result>{}</Reply>", ("<x:a/>", "<ID/>", "<operationId>1</operationId>")),
    "RequestMessage": (
        "<Header><Verb>get</Verb><Noun>n</Noun></Header><Request>{}</Request>",
        ("<x:a/>", "<ID/>", "<Option><name/></Option>"),
    ),
}


@pytest.mark.parametrize("root", _PARTS)
def test_both_processors_agree_on_what_may_stand_beside_a_wildcard(root: str) -> None:
    """libxml2 alone would take Compressed beside a payload, and an ID after an extension: content lost in reading."""
    schema = Catalog().schema_for(MESSAGE_NAMESPACE, partial=True)
    assert schema is not None
    frame, parts = _PARTS[root]
    accepted = 0
    for chosen in (parts for number in (1, 2, 3) for parts in product(_PARTS[root][1], repeat=number)):
        body = frame.format("".join(chosen))
        message = etree.fromstring(f"<{root} xmlns='{MESSAGE_NAMESPACE}' xmlns:x='urn:x'>{body}</{root}>")
        assert schema.validate(message) == schema.explainer.is_valid(message), chosen
        accepted += schema.validate(message)
    assert 0 < accepted < sum(len(parts) ** number for number in (1, 2, 3))
