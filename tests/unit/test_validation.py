"""Judging a whole document: what it is taken for, what was checked, what was found."""

import base64
import gzip
import json
import random

import msgspec
import pytest
from lxml import etree

from cimcare.codec.convert import Form, convert_document
from cimcare.codec.envelope import render_message
from cimcare.codec.json_body import render_json_payload
from cimcare.codec.payload import render_payload
from cimcare.codec.soap import SoapVersion, TypedNames, render_soap, render_soap_fault
from cimcare.errors import InputError, Level
from cimcare.model.envelope import EventMessage, FaultMessage, Payload, Reply, ReplyError, RequestMessage, Result
from cimcare.model.nouns import NOUNS, Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message, build_payload
from cimcare.schema import Catalog
from cimcare.validation import Judgement, judge
from tests.support.mutations import BYTES, TREE, build_mutations, mutate_json

CATALOG = Catalog()
CREATE = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE)
ENVELOPE = render_message(CREATE)


def codes_of(judgement: Judgement) -> list[str]:
    return [finding.code for finding in judgement.findings]


def packed(event: EventMessage, content: bytes, format_name: str | None = None) -> bytes:
    """The event with `content` as Payload/Compressed."""
    text = base64.b64encode(gzip.compress(content, mtime=0)).decode()
    return render_message(msgspec.structs.replace(event, payload=Payload(compressed=text, format=format_name)))


@pytest.fixture
def event() -> EventMessage:
    event = build_message(Noun.INCIDENTS, Verb.CHANGED)
    assert isinstance(event, EventMessage)
    return event


# -------------------------------------------------------------------------------------- what it is taken for


def test_says_what_a_document_is() -> None:
    """The first thing that somebody with an unknown file wants to know."""
    names = TypedNames(
        noun=Noun.TROUBLE_TICKETS,
        namespace=NOUNS[Noun.TROUBLE_TICKETS].message_namespace,
        operation="CreateTroubleTickets",
    )
    fault = FaultMessage(reply=Reply(result=Result.FAILED, error=(ReplyError(code="1.8"),)))
    payload = build_payload(Noun.INCIDENTS)
    kinds = {
        "RequestMessage": ENVELOPE,
        "SOAP 1.1 message (message)": render_soap(CREATE, SoapVersion.V11),
        "SOAP 1.2 message (message)": render_soap(CREATE, SoapVersion.V12),
        "SOAP 1.1 message (strongly typed)": render_soap(CREATE, SoapVersion.V11, typed=names),
        "SOAP 1.2 message (SOAP fault)": render_soap_fault(fault, SoapVersion.V12, reason="x"),
        "JSON message": Form.JSON.render(CREATE),
        "FaultMessage": render_message(fault),
        "payload Incidents": render_payload(payload),
        "JSON payload": render_json_payload(payload),
    }
    for kind, raw in kinds.items():
        judgement = judge(raw, CATALOG)
        assert (judgement.kind, judgement.is_valid) == (kind, True), judgement.findings
        assert judgement.checked


def test_names_every_check_that_was_made() -> None:
    """`valid` means little without what was looked at."""
    judgement = judge(ENVELOPE, CATALOG)
    assert judgement.title == "create TroubleTickets"
    assert judgement.checked == (
        f"well-formed XML without DOCTYPE ({len(ENVELOPE)} bytes)",
        "Message.xsd (IEC 61968-100:2013)",
        "schema http://iec.ch/TC57/2014/TroubleTickets#",
        "rules: conventions, references, business rules",
    )


def test_does_not_name_a_check_that_was_not_made() -> None:
    """Rules need a message that can be read, a schema one that is well-formed."""
    assert judge(ENVELOPE[:-10], CATALOG).checked == ()
    unread = judge(ENVELOPE.replace(b"<Verb>create<", b"<Verb>crate<"), CATALOG)
    assert not [check for check in unread.checked if check.startswith("rules")]
    unknown = judge(ENVELOPE.replace(b"/2014/", b"/1914/"), CATALOG)
    assert not [check for check in unknown.checked if check.startswith("schema ")]


# --------------------------------------------------------------------------------------------- what is found


def test_one_fault_is_one_finding() -> None:
    """Schema, binding and rules all stumble over the same place; it is told once."""
    for old, new, code in (
        (b"<Verb>create</Verb>", b"<Verb>crate</Verb>", "SCH-104"),
        (b"<Verb>create</Verb>", b"", "SCH-102"),
        (b"<Noun>TroubleTickets</Noun>", b"<Noun>Incidents</Noun>", "CNV-106"),
        (b"2031-02-11T07:42:05Z", b"yesterday", "SCH-103"),
        (b"<Payload>", b"<Payload><!DOCTYPE a>", "XML-101"),
        (b"<mRID>", b"<oddity/><mRID>", "SCH-101"),
    ):
        raw = ENVELOPE.replace(old, new, 1)
        assert raw != ENVELOPE
        judgement = judge(raw, CATALOG)
        assert codes_of(judgement) == [code], judgement.findings
        (finding,) = judgement.findings
        assert finding.path
        assert finding.found
        assert finding.accepted
        assert finding.line


def test_findings_say_the_line() -> None:
    """In a file of ten thousand lines the path alone is not enough."""
    root = etree.fromstring(ENVELOPE)
    etree.indent(root)
    lines = etree.tostring(root, encoding="unicode").splitlines()
    number = next(index for index, line in enumerate(lines) if "<Noun>" in line)
    lines[number] = lines[number].replace("TroubleTickets", "Incidents")
    (finding,) = judge("\n".join(lines).encode(), CATALOG).findings
    assert finding.code == "CNV-106"
    assert "TroubleTickets" in lines[(finding.line or 0) - 1]


def test_several_faults_are_all_told() -> None:
    """Nobody wants to run it once for each mistake."""
    raw = ENVELOPE.replace(b"<Verb>create<", b"<Verb>crate<").replace(b"<mRID>", b"<oddity/><mRID>", 1)
    assert sorted(codes_of(judge(raw, CATALOG))) == ["SCH-101", "SCH-104"]


def test_warnings_do_not_make_it_invalid() -> None:
    """A message with a warning is served, so it is valid."""
    ticket = CREATE.payload.content[0].trouble_ticket[0]
    names = tuple(msgspec.structs.replace(name, name_type=None) for name in (*ticket.names, *ticket.names))
    assert len(names) >= 2
    raw = render_payload(msgspec.structs.replace(CREATE.payload.content[0], trouble_ticket=(
        msgspec.structs.replace(ticket, names=names),
    )))  # fmt: skip
    start, end = ENVELOPE.index(b"<TroubleTickets"), ENVELOPE.index(b"</TroubleTickets>") + len("</TroubleTickets>")
    judgement = judge(ENVELOPE[:start] + raw[raw.index(b"<TroubleTickets") :] + ENVELOPE[end:], CATALOG)
    assert set(codes_of(judgement)) == {"REF-108"}
    assert {finding.level for finding in judgement.findings} == {Level.WARNING}
    assert judgement.is_valid


def test_more_than_one_alternative_of_a_payload_is_a_finding() -> None:
    """The schema's choice; the value could not even be built, which must not show."""
    raw = ENVELOPE.replace(b"<Format>", b"<Compressed>AA==</Compressed><Format>")
    assert codes_of(judge(raw, CATALOG)) == ["SCH-101"]
    with pytest.raises(InputError, match="COD-106") as caught:
        convert_document(raw, Form.JSON)
    assert caught.value.finding.path == "/RequestMessage/Payload"


def test_namespace_that_is_no_uri_is_a_finding() -> None:
    """Unknown elements are kept in canonical form, which such a namespace does not have."""
    raw = ENVELOPE.replace(b"</Header>", b'<x xmlns="relative"/></Header>')
    with pytest.raises(InputError, match="XML-111") as caught:
        convert_document(raw, Form.JSON)
    assert caught.value.finding.path == "/RequestMessage/Header/x"
    assert not judge(raw, CATALOG).is_valid
    get = build_message(Noun.INCIDENTS, Verb.GET)
    free = render_message(get).replace(b"</Request>", b'<x xmlns="relative"/></Request>')
    assert codes_of(judge(free, CATALOG)) == ["XML-111"]
    assert judge(free.replace(b"relative", b"urn:absolute"), CATALOG).is_valid


# ------------------------------------------------------------------------------------------ compressed content


def test_compressed_content_is_judged(event: EventMessage) -> None:
    """A large payload travels packed; what is in it counts all the same."""
    assert event.payload is not None
    content = render_payload(event.payload.content[0])
    judgement = judge(packed(event, content), CATALOG)
    assert judgement.is_valid, judgement.findings
    assert [check for check in judgement.checked if check.startswith("compressed payload")]
    bad = judge(packed(event, content.replace(b"<mRID>", b"<oddity/><mRID>", 1)), CATALOG)
    (finding,) = bad.findings
    assert finding.code == "SCH-101"
    assert finding.path.startswith("/EventMessage/Payload/Compressed/Incidents/Incident")
    assert finding.line is None


@pytest.mark.parametrize("content", [b"", b"text", b"<a/>", b"<!DOCTYPE a><a/>", b"<a", b"\x00\xff"])
def test_compressed_nonsense_is_a_finding(event: EventMessage, content: bytes) -> None:
    """With its place, whatever it is."""
    judgement = judge(packed(event, content), CATALOG)
    assert not judgement.is_valid
    assert all(finding.path.startswith("/EventMessage/Payload/Compressed") for finding in judgement.findings)


@pytest.mark.parametrize("text", ["", "AAAA", "not base64!", "H4sIAAAAAAAA"])
def test_what_does_not_unpack_is_a_finding(event: EventMessage, text: str) -> None:
    """No base64, no gzip, or one that breaks off."""
    raw = render_message(msgspec.structs.replace(event, payload=Payload(compressed=text or " ")))
    assert "XML-108" in codes_of(judge(raw, CATALOG))


# ------------------------------------------------------------------------------------------------- never raises


def test_no_mutation_makes_it_raise() -> None:
    """Strict, lenient and by way of a conversion: bad input is a finding, never a traceback."""
    verdicts = {True: 0, False: 0}
    for mutation in build_mutations(500, seed=8):
        strict = judge(mutation.raw, CATALOG)
        lenient = judge(mutation.raw, CATALOG, lenient=True)
        verdicts[strict.is_valid] += 1
        if strict.is_valid:
            assert lenient.is_valid, mutation
            assert not lenient.findings or strict.findings
        for form in Form:
            try:
                written, _ = convert_document(mutation.raw, form, lenient=True)
            except InputError:
                assert not strict.is_valid
            else:
                assert judge(written, CATALOG).is_valid or not strict.is_valid
    assert min(verdicts.values()) > 100


def test_no_mutation_of_a_bare_payload_makes_it_raise() -> None:
    """Payloads come by themselves as well, as files of a test or a batch."""
    chance = random.Random(3)
    valid = 0
    for number in range(500):
        payload = build_payload(chance.choice(list(Noun)), seed=number)
        if number % 3 == 0:
            raw = mutate_json(render_json_payload(payload), chance)
        elif number % 3 == 1:
            raw = chance.choice(BYTES)(render_payload(payload), chance)
        else:
            root = etree.fromstring(render_payload(payload))
            chance.choice(TREE)(root, chance)
            raw = etree.tostring(root)
        for verb in (None, "create"):
            valid += judge(raw, CATALOG, verb=verb, lenient=number % 2 == 0).is_valid
    assert 100 < valid < 900


@pytest.mark.parametrize("text", ["</Payload>", "<a", "<!DOCTYPE a>", "\x00", "<a xmlns='relative'/>"])
def test_extension_in_json_cannot_break_out_of_its_place(text: str) -> None:
    """An extension is a text that claims to be XML; what it claims is looked at."""
    document = json.loads(Form.JSON.render(CREATE))
    document["Payload"]["content"].append({"noun": "*", "xml": text})
    raw = json.dumps(document).encode()
    assert not judge(raw, CATALOG).is_valid
    with pytest.raises(InputError):
        convert_document(raw, Form.SOAP11)


def test_request_message_is_what_it_was() -> None:
    """Judging changes nothing in the value."""
    assert isinstance(CREATE, RequestMessage)
    judge(ENVELOPE, CATALOG, lenient=True)
    assert render_message(CREATE) == ENVELOPE
