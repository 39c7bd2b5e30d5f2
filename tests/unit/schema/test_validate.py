"""Checking of whole messages, and what a refusal says."""

import subprocess
import sys
from pathlib import Path

import pytest
from lxml import etree

from cimcare.errors import Finding
from cimcare.model.envelope import MESSAGE_NAMESPACE
from cimcare.model.nouns import ENTRIES, NOUNS, Noun, NounEntry
from cimcare.schema import Catalog, check_element, check_message
from cimcare.schema.places import MOST_FINDINGS
from tests.support.instances import instance

TICKETS = NOUNS[Noun.TROUBLE_TICKETS].namespace
ENVELOPE = "IEC 61968-100:2013, Message.xsd"


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog()


def _request(
    payload: str = "",
    *,
    verb: str = "create",
    noun: str = "TroubleTickets",
    request: str = "",
    root: str = "RequestMessage",
) -> etree._Element:
    header = f"<Header>\n<Verb>{verb}</Verb>\n<Noun>{noun}</Noun>\n</Header>"
    body = f"<{root} xmlns='{MESSAGE_NAMESPACE}'>\n{header}\n{request}<Payload>\n{payload}\n</Payload>\n</{root}>"
    return etree.fromstring(body)


def _ticket(content: str) -> str:
    return f"<TroubleTickets xmlns='{TICKETS}'><TroubleTicket>\n{content}\n</TroubleTicket></TroubleTickets>"


def _one(findings: tuple[Finding, ...]) -> Finding:
    assert len(findings) == 1, [finding.describe() for finding in findings]
    return findings[0]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.noun)
def test_finds_nothing_wrong_with_a_valid_message(entry: NounEntry, catalog: Catalog) -> None:
    """A false refusal stops a utility's traffic."""
    for verb in ("create", "change"):
        message = _request(verb=verb, noun=entry.noun)
        message[-1].append(instance(entry, entry.payload, entry.namespace, full=True))
        assert check_message(message, catalog) == ()
    query = _request(verb="get", noun=entry.noun, request="<Request/>")
    query[1].append(instance(entry, entry.query, entry.query_namespace, full=True))
    assert check_message(query, catalog) == ()


@pytest.mark.parametrize(
    ("content", "code", "path", "found", "accepted"),
    [
        (
            "<dateTimeOfRepot>2031-02-11T07:42:05Z</dateTimeOfRepot>",
            "SCH-101",
            "/dateTimeOfRepot",
            "dateTimeOfRepot in TroubleTicket",
            "did you mean dateTimeOfReport?",
        ),
        (
            "<troubleCode>A</troubleCode><reportingKind>call</reportingKind>",
            "SCH-101",
            "/reportingKind",
            "reportingKind after troubleCode",
            "reportingKind before troubleCode",
        ),
        ("<type>a</type><type>b</type>", "SCH-101", "/type[2]", "type once more", "type at most once"),
        ("<type xmlns=''>a</type>", "SCH-101", "/type", "in no namespace", f"type in namespace {TICKETS}"),
        ("<type>a<b/></type>", "SCH-101", "/type/b", "b in type", "text only"),
        (
            "<Names><NameType><name>n</name></NameType></Names>",
            "SCH-102",
            "/Names",
            "name missing",
            "name at least once",
        ),
        (
            "<resolvedDateTime>tomorrow</resolvedDateTime>",
            "SCH-103",
            "/resolvedDateTime",
            "value 'tomorrow'",
            "such as 2031-02-11T07:42:05Z",
        ),
        ("<multiplePremises>yes</multiplePremises>", "SCH-103", "/multiplePremises", "value 'yes'", "true or false"),
        (
            "<Customer><priority><rank>1.5</rank></priority></Customer>",
            "SCH-103",
            "/Customer/priority/rank",
            "value '1.5'",
            "a whole number",
        ),
        (
            "<reportingKind>Call</reportingKind>",
            "SCH-104",
            "/reportingKind",
            "value 'Call'",
            "one of call, email, ivr, letter, other (did you mean call?)",
        ),
        ("<reportingKind/>", "SCH-104", "/reportingKind", "an empty value", "one of call, email"),
        ("<Customer id='1'/>", "SCH-105", "/Customer", "'id' attribute not allowed", "attributes of Customer: none"),
        ("<Customer>text</Customer>", "SCH-107", "/Customer", "text between the children", "elements only"),
    ],
)
def test_says_where_what_was_found_and_what_would_pass(
    content: str, code: str, path: str, found: str, accepted: str, catalog: Catalog
) -> None:
    """The engineer at the other end corrects the message from these words alone."""
    finding = _one(check_message(_request(_ticket(content)), catalog))

    assert finding.code == code
    assert finding.path == f"/RequestMessage/Payload/TroubleTickets/TroubleTicket{path}"
    assert found in finding.found
    assert accepted in finding.accepted
    assert finding.clause == "IEC 61968-8:2015, 5.2"
    assert finding.line == 8


def test_indexes_a_step_only_where_siblings_share_its_name(catalog: Catalog) -> None:
    """The second of three tickets is found at once; a lonely element is not decorated."""
    tickets = "".join(f"<TroubleTicket><type>{kind}</type></TroubleTicket>" for kind in "abc")
    message = _request(
        f"<TroubleTickets xmlns='{TICKETS}'>{tickets.replace('<type>b', '<typ/><type>b')}</TroubleTickets>"
    )

    finding = _one(check_message(message, catalog))

    assert finding.path == "/RequestMessage/Payload/TroubleTickets/TroubleTicket[2]/typ"


@pytest.mark.parametrize(
    ("message", "code", "path", "accepted"),
    [
        (_request(verb="Create"), "SCH-104", "/RequestMessage/Header/Verb", "did you mean create?"),
        (_request(root="EventMessage", request="<Request/>"), "SCH-101", "/EventMessage/Request", "Payload"),
        (_request("<x xmlns=''/>"), "SCH-101", "/RequestMessage/Payload/x", "an element of another namespace"),
        (
            _request("<ID>1</ID><Compressed>a</Compressed>"),
            "SCH-101",
            "/RequestMessage/Payload/Compressed",
            "only one of",
        ),
        (
            _request(request="<Request><ID kind='guid'>1</ID></Request>"),
            "SCH-104",
            "/RequestMessage/Request/ID/@kind",
            "one of name, uuid, transaction, other",
        ),
        (_request(root="RequestMesage"), "SCH-101", "/RequestMesage", "did you mean RequestMessage?"),
    ],
    ids=["verb", "section", "no namespace", "two alternatives", "attribute", "root"],
)
def test_explains_the_envelope(message: etree._Element, code: str, path: str, accepted: str, catalog: Catalog) -> None:
    """Mistakes in the envelope are the most common ones when two systems first meet."""
    finding = _one(check_message(message, catalog))

    assert (finding.code, finding.path, finding.clause) == (code, path, ENVELOPE)
    assert accepted in finding.accepted


def test_a_create_needs_what_a_change_may_leave_out(catalog: Catalog) -> None:
    """The full form would refuse every change; the partial one would let through an order without content."""
    namespace = NOUNS[Noun.SERVICE_ORDERS].namespace
    order = (
        f"<ServiceOrders xmlns='{namespace}'><Work><WorkTasks><subject>s</subject></WorkTasks></Work></ServiceOrders>"
    )

    for verb, root in (("create", "RequestMessage"), ("created", "EventMessage")):
        findings = check_message(_request(order, verb=verb, noun="ServiceOrders", root=root), catalog)
        assert [finding.found for finding in findings] == ["crewETA missing", "taskKind missing"]
    for verb, root in (("change", "RequestMessage"), ("changed", "EventMessage"), ("closed", "EventMessage")):
        assert check_message(_request(order, verb=verb, noun="ServiceOrders", root=root), catalog) == ()


def test_the_verb_of_an_operation_decides_for_its_payload(catalog: Catalog) -> None:
    """An OperationSet travels under `execute`, which says nothing about the objects in it."""
    empty = f"<TroubleTickets xmlns='{TICKETS}'/>"
    operations = "".join(
        f"<Operation><operationId>{number}</operationId><verb>{verb}</verb>{empty}</Operation>"
        for number, verb in enumerate(("create", "change"), 1)
    )

    finding = _one(
        check_message(
            _request(f"<OperationSet>{operations}</OperationSet>", verb="execute", noun="OperationSet"), catalog
        )
    )

    assert finding.path == "/RequestMessage/Payload/OperationSet/Operation[1]/TroubleTickets"
    assert finding.code == "SCH-102"


def test_a_payload_of_a_placeholder_namespace_is_a_finding_that_names_the_right_one(catalog: Catalog) -> None:
    """Namespaces are what partners get wrong most; the standard's own is not known to everybody."""
    message = _request("<t:TroubleTickets xmlns:t='urn:x-placeholder:TroubleTickets'><t:a/></t:TroubleTickets>")

    finding = _one(check_message(message, catalog))

    assert (finding.code, finding.path, finding.line) == ("SCH-106", "/RequestMessage/Payload/TroubleTickets", 7)
    assert "urn:x-placeholder:TroubleTickets" in finding.found
    assert finding.accepted == f"TroubleTickets in namespace {TICKETS}"
    assert finding.clause == "IEC 61968-8:2015, 5.2"


def test_a_foreign_payload_under_a_known_noun_is_told_what_the_noun_wants(catalog: Catalog) -> None:
    """The header says what was meant."""
    finding = _one(check_message(_request("<a xmlns='urn:a'/>", noun="Incidents"), catalog))

    assert finding.accepted == f"Incidents in namespace {NOUNS[Noun.INCIDENTS].namespace}"


def test_a_foreign_payload_of_an_unknown_noun_is_told_all_namespaces(catalog: Catalog) -> None:
    """Nothing says what was meant, so everything accepted is listed."""
    finding = _one(check_message(_request("<a xmlns='urn:a'/>", noun="MeterReadings"), catalog))

    assert finding.code == "SCH-106"
    assert all(entry.namespace in finding.accepted for entry in ENTRIES)


def test_a_query_of_a_placeholder_namespace_is_a_finding_but_an_extension_is_not(catalog: Catalog) -> None:
    """Request is open for extensions; an element that looks like a query and is none would be ignored silently."""
    request = "<Request><e:note xmlns:e='urn:e'/><q:GetIncidents xmlns:q='urn:q'/></Request>"

    finding = _one(check_message(_request(verb="get", noun="Incidents", request=request), catalog))

    assert finding.path == "/RequestMessage/Request/GetIncidents"
    assert finding.accepted == f"GetIncidents in namespace {NOUNS[Noun.INCIDENTS].query_namespace}"


def test_the_header_is_open_for_elements_of_other_namespaces(catalog: Catalog) -> None:
    """Signatures stand there."""
    message = _request(_ticket("<type>a</type>"))
    message[0].append(etree.Element("{http://www.w3.org/2000/09/xmldsig#}Signature"))

    assert check_message(message, catalog) == ()


@pytest.mark.parametrize(
    "root", ["<a/>", "<a xmlns='urn:a'/>", "<Envelope xmlns='http://schemas.xmlsoap.org/soap/envelope/'/>"]
)
def test_what_is_no_message_at_all_is_a_finding(root: str, catalog: Catalog) -> None:
    """Anything may be posted to the hub."""
    assert _one(check_message(etree.fromstring(root), catalog)).code == "SCH-106"


def test_checks_a_bare_payload_and_an_element_in_its_place(catalog: Catalog) -> None:
    """A file with a payload alone can be validated; a payload inside a message keeps its path and line."""
    bare = etree.fromstring(f"<TroubleTickets xmlns='{TICKETS}'/>")
    assert check_message(bare, catalog) == ()
    assert _one(check_element(bare, catalog, verb="create")).path == "/TroubleTickets"

    message = _request(_ticket("<typ/>"))
    assert _one(check_element(message[-1][0], catalog)).path.startswith("/RequestMessage/Payload/TroubleTickets")
    assert check_element(message[-1][0], catalog)[0].line == 8


def test_checks_a_strongly_typed_message(catalog: Catalog) -> None:
    """Its outer elements are in a namespace of the noun, its payload is checked all the same."""
    space = NOUNS[Noun.TROUBLE_TICKETS].message_namespace

    def create(payload: str) -> etree._Element:
        header = "<Header><m:Verb>create</m:Verb><m:Noun>TroubleTickets</m:Noun></Header>"
        start = f"<CreateTroubleTickets xmlns='{space}' xmlns:m='{MESSAGE_NAMESPACE}'>"
        return etree.fromstring(f"{start}{header}{payload}</CreateTroubleTickets>")

    assert check_message(create(f"<Payload>{_ticket('<type>a</type>')}</Payload>"), catalog) == ()
    assert _one(check_message(create(""), catalog)).found == "Payload missing"
    empty = create(f"<Payload><TroubleTickets xmlns='{TICKETS}'/></Payload>")
    assert _one(check_message(empty, catalog)).found == "TroubleTicket missing"


def test_xsi_type_with_a_prefix_declared_outside_is_understood(catalog: Catalog) -> None:
    """Generated clients write xsi:type, and declare prefixes wherever they like."""
    body = (
        f"<e xmlns:m='{TICKETS}' xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance'>"
        "<m:TroubleTickets xsi:type='m:TroubleTickets'><m:TroubleTicket/></m:TroubleTickets></e>"
    )
    assert check_element(etree.fromstring(body)[0], catalog, verb="create") == ()


def test_findings_are_capped_and_in_the_order_of_lines(catalog: Catalog) -> None:
    """A message of one kind of mistake repeated says enough after fifty."""
    ticket = "<TroubleTicket><reportingKind>x</reportingKind></TroubleTicket>\n"
    findings = check_message(_request(f"<TroubleTickets xmlns='{TICKETS}'>{ticket * 80}</TroubleTickets>"), catalog)

    assert len(findings) == MOST_FINDINGS
    lines = [finding.line or 0 for finding in findings]
    assert lines == sorted(lines)
    assert len(set(findings)) == MOST_FINDINGS


@pytest.mark.parametrize(
    ("mistake", "code", "accepted"),
    [
        ("<typ/>", "SCH-101", "mRID, comment"),
        ("<Names/>", "SCH-102", "name"),
        ("<resolvedDateTime>x</resolvedDateTime>", "SCH-103", "such as 2031-02-11T07:42:05Z"),
        ("<reportingKind>x</reportingKind>", "SCH-104", "one of call, email, ivr, letter, other"),
        ("<Customer id='1'/>", "SCH-105", "content as the schema has it"),
    ],
)
def test_a_very_large_message_is_explained_in_the_words_of_libxml2(
    mistake: str, code: str, accepted: str, catalog: Catalog
) -> None:
    """Kind words cost time that grows faster than the message; a batch of thousands still gets place and reason."""
    tickets = "<TroubleTicket><type>a</type></TroubleTicket>\n" * 3000 + f"<TroubleTicket>{mistake}</TroubleTicket>"
    findings = check_message(_request(f"<TroubleTickets xmlns='{TICKETS}'>{tickets}</TroubleTickets>"), catalog)

    finding = findings[0]
    assert finding.code == code
    assert finding.path.startswith("/RequestMessage/Payload/TroubleTickets/TroubleTicket[3001]/")
    assert finding.line == 3007
    assert accepted in finding.accepted
    assert "{" not in finding.found


OTHER = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:m="urn:o" targetNamespace="urn:o"
 elementFormDefault="qualified"><xs:element name="o"><xs:complexType><xs:sequence>
 <xs:sequence minOccurs="0"><xs:element name="a" type="xs:gYear"/><xs:element name="b" type="xs:string"/></xs:sequence>
 <xs:choice><xs:element name="c" type="xs:string"/><xs:element name="d" type="xs:string"/></xs:choice>
 <xs:sequence minOccurs="0" maxOccurs="unbounded"><xs:element name="e" type="xs:string"/></xs:sequence>
 <xs:element name="f" minOccurs="2" maxOccurs="2" type="m:short"/>
 </xs:sequence></xs:complexType></xs:element>
 <xs:element name="p"><xs:complexType><xs:all><xs:element name="a" type="xs:string"/></xs:all></xs:complexType>
 </xs:element>
 <xs:simpleType name="short"><xs:restriction base="xs:string"><xs:maxLength value="3"/></xs:restriction></xs:simpleType>
</xs:schema>"""


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        ("<o><c/><f>1</f></o>", "SCH-102", ["f only once", "f at least 2 times"]),
        ("<o><f>1</f><f>2</f></o>", "SCH-102", ["c, d missing"]),
        ("<o><c/><d/><f>1</f><f>2</f></o>", "SCH-101", ["d beside c", "only one of c, d"]),
        ("<o><c/><e/><x/><e/><f>1</f><f>2</f></o>", "SCH-101", ["x in o", "e, f"]),
        ("<o><c/><f>1</f><f>2</f><f>3</f></o>", "SCH-101", ["f once more", "at most 2 times"]),
        ("<o><c/><f>1</f><f>long</f></o>", "SCH-103", ["value 'long'", "3"]),
        ("<o><a>x</a><b/><c/><f>1</f><f>2</f></o>", "SCH-103", ["value 'x'", "type xs:gYear"]),
        ("<o><a>2031</a><c/><f>1</f><f>2</f></o>", "SCH-107", ["b"]),
        ("<p/>", "SCH-102", ["a missing"]),
    ],
)
def test_explains_content_models_that_ours_do_not_use(
    content: str, code: str, words: list[str], tmp_path: Path
) -> None:
    """The official schema of a user may have choices, groups and lengths."""
    (tmp_path / "other.xsd").write_text(OTHER)
    element = etree.fromstring(f"<x xmlns='urn:o'>{content}</x>")[0]

    finding = _one(check_element(element, Catalog(tmp_path)))

    assert finding.code == code
    assert all(word in finding.describe() for word in words), finding.describe()


def test_a_refusal_that_xmlschema_cannot_explain_is_explained_by_libxml2(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever happens, a refused message has a finding."""
    broken = Catalog()
    schema = broken.schema_for(TICKETS, partial=True)
    assert schema is not None
    monkeypatch.setattr(type(schema.explainer), "iter_errors", lambda *_: iter(()))

    finding = _one(check_message(_request(_ticket("<typ/>"), verb="change"), broken))

    assert (finding.code, finding.line) == ("SCH-101", 8)
    assert finding.path == "/RequestMessage/Payload/TroubleTickets/TroubleTicket/typ"


def test_an_ordinary_check_does_not_load_the_explaining_processor() -> None:
    """It costs a fifth of a second and some megabytes, which only a refusal is worth."""
    program = (
        "import sys; from lxml import etree; from cimcare.schema import Catalog, check_message;"
        f"root = etree.fromstring('<TroubleTickets xmlns=\"{TICKETS}\"/>');"
        "assert check_message(root, Catalog()) == (); assert 'xmlschema' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
