"""The schemas that are derived from the model, and the committed copies of them."""

import copy
import json
from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

import pytest
import xmlschema
import yaml
from lxml import etree

import cimcare.schema
from cimcare.codec.json_body import render_json_payload
from cimcare.codec.payload import read_payload
from cimcare.model.enumerations import NOT_IN_PART_6
from cimcare.model.envelope import MESSAGE_NAMESPACE
from cimcare.model.nouns import ENTRIES, NOUNS, Noun, NounEntry
from cimcare.model.structure import Structure, elements_of
from cimcare.schema.derive import json_schema, message_schema, noun_schema, query_schema
from cimcare.schema.documents import derive_documents
from tests.support.instances import first_of_each_type, instance

PACKAGE = Path(cimcare.schema.__file__).parent
PROFILES = Path(__file__).parents[4] / "shared" / "reference" / "payload-profiles.yaml"
XS = "{http://www.w3.org/2001/XMLSchema}"
MODEL_REFERENCE = "{http://www.w3.org/ns/sawsdl}modelReference"

entries = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.noun)


def _schemas(entry: NounEntry) -> list[tuple[bytes, type[Structure], str, bool]]:
    """Document, root type, namespace and form of the three schemas of a noun."""
    return [
        (noun_schema(entry), entry.payload, entry.namespace, True),
        (noun_schema(entry, partial=True), entry.payload, entry.namespace, False),
        (query_schema(entry), entry.query, entry.query_namespace, False),
    ]


def test_committed_documents_equal_the_derived_ones() -> None:
    """A change of the model that forgets `scripts/make_schemas.py` would ship schemas that do not fit the code."""
    derived = derive_documents()
    committed = {
        str(path.relative_to(PACKAGE)): path.read_bytes()
        for folder in ("xsd", "wsdl")
        for path in PACKAGE.glob(f"{folder}/**/*")
        if path.is_file()
    }

    assert sorted(committed) == sorted(derived)
    assert [path for path in derived if derived[path] != committed[path]] == []


def test_deriving_twice_gives_the_same_bytes() -> None:
    """Sets and dictionaries must not decide the order of a published document."""
    assert derive_documents() == derive_documents()


@entries
def test_full_and_least_instances_are_valid_for_two_processors(entry: NounEntry) -> None:
    """A partner may validate with any processor; both ours must agree that what the model can say is valid."""
    for raw, root, namespace, is_full in _schemas(entry):
        fast, kind = etree.XMLSchema(etree.fromstring(raw)), xmlschema.XMLSchema10(raw)
        for full in (True, False):
            element = instance(entry, root, namespace, full=full)
            fast.assertValid(element)
            kind.validate(etree.tostring(element))
        if not is_full:
            fast.assertValid(etree.Element(f"{{{namespace}}}{root.XML_TYPE}"))


Change = Callable[[etree._Element], object]


def _changed(root: etree._Element, at: etree._Element, change: Change) -> etree._Element:
    """A copy of the tree with a change made to the twin of one element."""
    path = root.getroottree().getpath(at)
    twin = copy.deepcopy(root)
    found = twin.getroottree().xpath(path)
    assert isinstance(found, list)
    change(found[0])
    return twin


def _breaches(structure: type[Structure], namespace: str, *, full: bool) -> Iterator[tuple[str, Change]]:
    """What must not pass in an element of a type that shows all members, by what it is."""
    members = elements_of(structure)
    first = f"{{{namespace}}}{members[0].name}"
    yield "unknown member", lambda element: etree.SubElement(element, f"{{{namespace}}}unknownMember")
    yield "member of no namespace", lambda element: etree.SubElement(element, members[0].name)
    for member in members:
        tag = f"{{{namespace}}}{member.name}"
        if tag != first:
            yield f"{member.name} before {members[0].name}", lambda e, t=tag: e.insert(0, e.findall(t)[-1])
        if not member.many:
            yield f"{member.name} twice", lambda e, t=tag: e.find(t).addnext(copy.deepcopy(e.find(t)))
        if member.least if full else member.least_partial:
            yield f"{member.name} missing", lambda e, t=tag: [e.remove(one) for one in e.findall(t)]
        bad = None if member.is_complex else _bad_value(member.kind)
        if bad is not None:
            yield f"{member.name} holds {bad!r}", lambda e, t=tag, b=bad: setattr(e.find(t), "text", b)


def _bad_value(kind: type[object]) -> str | None:
    if issubclass(kind, StrEnum):
        return "notALiteral"
    bad = {bool: "yes", int: "1.5", float: "12,5", Decimal: "1e3", datetime: "2031-02-30T07:42:05Z", date: "11.02.2031"}
    return bad.get(kind)


@entries
def test_every_type_refuses_wrong_order_number_value_and_name(entry: NounEntry) -> None:
    """A schema that accepts anything would look just as good in every other test."""
    for raw, root_type, namespace, full in _schemas(entry):
        schema = etree.XMLSchema(etree.fromstring(raw))
        root = instance(entry, root_type, namespace, full=True)
        accepted = [
            f"{structure.__name__}: {breach}"
            for element, structure in first_of_each_type(root, root_type)
            for breach, change in _breaches(structure, namespace, full=full)
            if schema.validate(_changed(root, element, change))
        ]
        assert accepted == []


@entries
def test_two_processors_agree_on_refusals(entry: NounEntry) -> None:
    """What libxml2 refuses, xmlschema must be able to explain."""
    raw, root_type, namespace = noun_schema(entry), entry.payload, entry.namespace
    schema = xmlschema.XMLSchema10(raw)
    root = instance(entry, root_type, namespace, full=True)
    for element, structure in list(first_of_each_type(root, root_type))[:6]:
        for breach, change in list(_breaches(structure, namespace, full=True))[:8]:
            assert not schema.is_valid(_changed(root, element, change)), f"{structure.__name__}: {breach}"


@entries
def test_documents_keep_the_style_of_the_sister_schemas(entry: NounEntry) -> None:
    """Readers and generators that know the IEC 61968 schemas find what they expect at its place."""
    for raw, root_type, namespace, _ in _schemas(entry):
        schema = etree.fromstring(raw)
        assert schema.get("targetNamespace") == namespace == schema.nsmap["m"]
        assert namespace.endswith("#")
        assert schema.get("elementFormDefault") == "qualified"
        children = list(schema)
        assert [child.tag for child in children[:2]] == [f"{XS}annotation", f"{XS}element"]
        assert children[1].get("name") == children[2].get("name") == root_type.XML_TYPE
        assert MODEL_REFERENCE not in children[2].attrib
        names = [child.get("name", "") for child in children[3:]]
        assert names == sorted(names)
        for element in schema.iter(f"{XS}element"):
            assert element.getparent() is schema or {"minOccurs", "maxOccurs"} <= set(element.attrib)
        for values in schema.iter(f"{XS}restriction"):
            literals = [one.get("value", "") for one in values]
            assert literals == sorted(literals)


def test_model_references_stand_on_cim_members_and_on_nothing_of_ours() -> None:
    """An extension is told from the CIM by the missing reference."""
    schema = etree.fromstring(query_schema(NOUNS[Noun.INCIDENTS]))
    members = {element.get("name"): element.get(MODEL_REFERENCE) for element in schema.iter(f"{XS}element")}

    assert members["mRID"] == "http://iec.ch/TC57/CIM-generic#IdentifiedObject.mRID"
    assert members["state"] is None
    types = {kind.get("name"): kind.get(MODEL_REFERENCE) for kind in schema.iter(f"{XS}complexType")}
    assert types["Incident"] == "http://iec.ch/TC57/CIM-generic#Incident"
    assert types["GetIncidents"] is None


@pytest.mark.parametrize("noun", [Noun.SERVICE_ORDERS, Noun.WORK_REQUESTS])
def test_part_6_nouns_leave_out_the_literals_that_part_6_does_not_have(noun: Noun) -> None:
    """A partner with the IEC 61968-6 schema would refuse them."""
    schema = etree.fromstring(noun_schema(NOUNS[noun]))
    for enumeration, left_out in NOT_IN_PART_6.items():
        for found in schema.iterfind(f"{XS}simpleType[@name='{enumeration.__name__}']"):
            literals = {one.get("value") for one in found.iter(f"{XS}enumeration")}
            assert literals == {one.value for one in enumeration} - left_out
    assert schema.find(f"{XS}complexType[@name='ActivityRecord']") is not None


@entries
def test_notes_say_that_the_schemas_are_not_the_official_ones(entry: NounEntry) -> None:
    """Nobody may take our reading for the standard's."""
    note = etree.fromstring(noun_schema(entry)).findtext(f"{XS}annotation/{XS}documentation", "")
    if entry.part_6:
        assert "IEC 61968-6" in note and "Not the published schema" in note
    else:
        assert "our reading" in note and "Not the official schema" in note


# -------------------------------------------------------------------------------------------------- envelope


def _message(body: str, root: str = "RequestMessage") -> etree._Element:
    return etree.fromstring(f'<{root} xmlns="{MESSAGE_NAMESPACE}" xmlns:x="urn:x">{body}</{root}>')


HEADER = "<Header><Verb>create</Verb><Noun>TroubleTickets</Noun></Header>"
REPLY = "<Reply><Result>OK</Result></Reply>"
ACCEPTED = {
    "extension in the header": ("RequestMessage", f"{HEADER[:-9]}<x:signature/></Header>"),
    "all of the header": (
        "Message",
        "<Header><Verb>get</Verb><Noun>N</Noun><Revision>1</Revision><ReplayDetection><Nonce>n</Nonce><Created>"
        "2031-02-11T07:42:05Z</Created></ReplayDetection><Context>TESTING</Context><Timestamp>2031-02-11T07:42:05"
        "</Timestamp><Source>s</Source><AsyncReplyFlag>true</AsyncReplyFlag><ReplyAddress>topic:a</ReplyAddress>"
        "<AckRequired>0</AckRequired><User><UserID>u</UserID><Organization>o</Organization></User><MessageID>m"
        "</MessageID><CorrelationID>c</CorrelationID><Comment>c</Comment><Property><Name>n</Name><Value>v</Value>"
        "</Property></Header>",
    ),
    "request with query": (
        "RequestMessage",
        f"{HEADER}<Request><StartTime>2031-02-11T07:42:05Z</StartTime><Option><name>n</name></Option>"
        '<ID idType="t" idAuthority="a" kind="uuid" objectType="o">1</ID><x:Get/></Request>',
    ),
    "reply with extension before operationId": (
        "ResponseMessage",
        f"{HEADER}<Reply><Result>PARTIAL</Result><Error><code>0.1</code><level>INFORM</level><xpath>x:a</xpath>"
        "<Location><node>n</node></Location><ID>1</ID><relatedID>2</relatedID><object><mRID>1</mRID><Name><name>n"
        "</name><NameType><name>t</name><description>d</description></NameType></Name><objectType>o</objectType>"
        "</object><operationId>1</operationId></Error><ID>1</ID><x:more/><operationId>7</operationId></Reply>",
    ),
    "empty payload": ("EventMessage", f"{HEADER}<Payload/>"),
    "payload of another namespace, never looked into": (
        "EventMessage",
        f"{HEADER}<Payload><x:a><Verb xmlns=''/></x:a><x:b/><Format>XML</Format></Payload>",
    ),
    "operation set": (
        "RequestMessage",
        f"{HEADER}<Payload><OperationSet><enforceMsgSequence>true</enforceMsgSequence><enforceTransactionalIntegrity>"
        "false</enforceTransactionalIntegrity><Operation><operationId>1</operationId><noun>N</noun><verb>any</verb>"
        "<elementOperation>true</elementOperation><x:a/></Operation></OperationSet></Payload>",
    ),
    "identifiers as payload": ("RequestMessage", f"{HEADER}<Payload><ID>1</ID><ID>2</ID></Payload>"),
    "fault": ("FaultMessage", REPLY),
}
REFUSED = {
    "verb in capitals": ("RequestMessage", HEADER.replace("create", "Create")),
    "verb of older drafts": ("RequestMessage", HEADER.replace("create", "update")),
    "no noun": ("RequestMessage", "<Header><Verb>get</Verb></Header>"),
    "no header": ("RequestMessage", "<Payload/>"),
    "reply in a request": ("RequestMessage", HEADER + REPLY),
    "response without reply": ("ResponseMessage", HEADER),
    "request in an event": ("EventMessage", f"{HEADER}<Request/>"),
    "header in a fault": ("FaultMessage", HEADER + REPLY),
    "payload in a fault": ("FaultMessage", f"{REPLY}<Payload/>"),
    "sections in another order": ("RequestMessage", f"<Payload/>{HEADER}"),
    "result in small letters": ("FaultMessage", "<Reply><Result>ok</Result></Reply>"),
    "path where a QName belongs": (
        "FaultMessage",
        "<Reply><Result>FAILED</Result><Error><code>1</code><xpath>/a/b[1]</xpath></Error></Reply>",
    ),
    "operationId before an extension": (
        "FaultMessage",
        "<Reply><Result>OK</Result><operationId>1</operationId><x:more/></Reply>",
    ),
    "option with capital letters": ("RequestMessage", f"{HEADER}<Request><Option><Name>n</Name></Option></Request>"),
    "two alternatives in a payload": (
        "EventMessage",
        f"{HEADER}<Payload><ID>1</ID><Compressed>a</Compressed></Payload>",
    ),
    "payload without namespace": ("EventMessage", f'{HEADER}<Payload><a xmlns=""/></Payload>'),
    "payload of the envelope's namespace": ("EventMessage", f"{HEADER}<Payload><TroubleTickets/></Payload>"),
    "unknown kind of identifier": ("EventMessage", f'{HEADER}<Payload><ID kind="guid">1</ID></Payload>'),
    "two payloads in an operation": (
        "EventMessage",
        f"{HEADER}<Payload><OperationSet><Operation><operationId>1</operationId><x:a/><x:b/></Operation>"
        "</OperationSet></Payload>",
    ),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_envelope_accepts(case: str) -> None:
    """What edition 1 allows must pass, however unusual."""
    message = _message(ACCEPTED[case][1], ACCEPTED[case][0])
    etree.XMLSchema(etree.fromstring(message_schema())).assertValid(message)
    xmlschema.XMLSchema10(message_schema()).validate(message)


@pytest.mark.parametrize("case", REFUSED)
def test_envelope_refuses(case: str) -> None:
    """What edition 1 forbids must not pass, however usual."""
    message = _message(REFUSED[case][1], REFUSED[case][0])
    assert not etree.XMLSchema(etree.fromstring(message_schema())).validate(message)
    assert not xmlschema.XMLSchema10(message_schema()).is_valid(message)


# ----------------------------------------------------------------------------------------------- JSON Schema


@entries
def test_json_schema_names_members_as_the_xml_does(entry: NounEntry) -> None:
    """One vocabulary in both forms."""
    schema = json_schema(entry.noun)
    text = json.dumps(schema)
    definitions = schema["$defs"]
    assert isinstance(definitions, dict)
    root = definitions[str(schema["$ref"]).removeprefix("#/$defs/")]
    assert {element.name for element in elements_of(entry.payload)} <= set(root["properties"])
    for reference in {part.split('"')[0] for part in text.split('"#/$defs/')[1:]}:
        assert reference in definitions


@entries
def test_json_schema_accepts_the_json_form_and_refuses_what_does_not_fit(entry: NounEntry) -> None:
    """A REST client validates with it before it sends."""
    jsonschema_rs = pytest.importorskip("jsonschema_rs", reason="comes with schemathesis")
    full = instance(entry, entry.payload, entry.namespace, full=True)
    value = json.loads(render_json_payload(read_payload(full)))
    validator = jsonschema_rs.validator_for(json_schema(entry.noun))

    assert validator.is_valid(value)
    assert not validator.is_valid(value | {"unknownMember": 1})
    assert not validator.is_valid(value | {"noun": "Other"})


# -------------------------------------------------------------------------------------------------- profiles

_PRIMITIVES = {
    "String": "string",
    "Boolean": "boolean",
    "Integer": "integer",
    "Float": "float",
    "DateTime": "dateTime",
    "Date": "date",
}


class _Profile:
    """Compares one profile with the schema of its noun, path by path."""

    def __init__(self, types: dict[str, dict[str, list[dict[str, object]]]]) -> None:
        self.types = types
        self.compared = 0

    def compare(self, path: str, kind: xmlschema.XsdType, members: list[dict[str, object]], *above: str) -> None:
        """Members of one type; `above` are the types on the way to it."""
        found = {child.local_name: child for child in kind.content.iter_elements()}
        names = [str(member["name"]) for member in members]
        assert [name for name in found if name in names] == names, path
        for member in members:
            child, step = found[str(member["name"])], f"{path}/{member['name']}"
            assert f"{child.min_occurs}..{child.max_occurs or '*'}" == member["card"], step
            self.compared += 1
            name, inline = str(member.get("type", "")), member.get("elements")
            if isinstance(inline, list):
                self.compare(step, child.type, inline, *above)
            elif name not in self.types:
                assert child.type.local_name == _PRIMITIVES.get(name, name.removeprefix("xs:")), step
            elif name not in above:
                self.compare(step, child.type, self.types[name]["elements"], *above, name)


@pytest.mark.skipif(not PROFILES.exists(), reason="payload-profiles.yaml does not lie beside the project")
@entries
def test_schemas_hold_every_member_of_the_profiles_with_its_cardinality(entry: NounEntry) -> None:
    """The profiles are the source of facts; the schemas follow them to the letter."""
    profile = yaml.safe_load(PROFILES.read_text())["profiles"][entry.noun]
    schema = xmlschema.XMLSchema10(noun_schema(entry))
    top = profile["root"]
    if "child" in top:
        members = [{"name": top["child"], "card": top["child_card"], "type": top["child_type"]}]
    else:
        members = profile["types"][entry.noun]["elements"]
        assert set(profile["types"]) <= set(schema.types)

    comparison = _Profile(profile["types"])
    comparison.compare(f"/{entry.noun}", schema.elements[entry.noun].type, members)

    assert comparison.compared > 40
    enumerations = profile["enumerations"]
    for name, literals in enumerations.items() if isinstance(enumerations, dict) else ():
        if isinstance(literals, list):
            assert sorted(literals) == list(schema.types[name].enumeration), name
