"""SOAP: every body shape met in the field, operations and actions that must fit, and the faults of SOAP itself."""

import pytest

from cimcare.codec.envelope import write_element
from cimcare.codec.limits import Limits, parse_xml
from cimcare.codec.soap import ABSTRACT_NAMESPACE, SoapVersion
from cimcare.codec.values import escape_text
from cimcare.errors import finding_of
from cimcare.exchange.patterns import build_fault
from cimcare.model.nouns import NOUNS, Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from cimcare.transport.channel import Opened, RefusedError
from cimcare.transport.soap import SoapChannel, TypedService, action_of

MESSAGE = write_element(build_message(Noun.INCIDENTS, Verb.GET, seed=2))
EVENT = write_element(build_message(Noun.INCIDENTS, Verb.CREATED, seed=2))
INNER = MESSAGE.partition(">")[2].rpartition("<")[0]
NAMESPACE = "http://iec.ch/TC57/2011/schema/message"
TYPED = NOUNS[Noun.INCIDENTS].message_namespace
SERVICE = TypedService(
    name="RequestIncidents",
    noun=Noun.INCIDENTS,
    message_namespace=TYPED,
    actions={"GetIncidents": "http://iec.ch/TC57/2014/Incidents/GetIncidents"},
)


def envelope(body: str, version: str = SoapVersion.V11, header: str = "") -> bytes:
    return f'<e:Envelope xmlns:e="{version}">{header}<e:Body>{body}</e:Body></e:Envelope>'.encode()


def opened(
    raw: bytes, *, action: str = "", service: TypedService | None = None, content_type: str = "text/xml"
) -> Opened:
    return SoapChannel(content_type, action, service).open(raw, Limits(), lenient=False)


def typed(operation: str = "GetIncidents") -> str:
    header = INNER.partition("<Header>")[2].partition("</Header>")[0]
    request = INNER.partition("<Request>")[2].partition("</Request>")[0]
    return (
        f'<t:{operation} xmlns:t="{TYPED}" xmlns="{NAMESPACE}"><t:Header>{header}</t:Header>'
        f"<t:Request>{request}</t:Request></t:{operation}>"
    )


SHAPES = {
    "the message itself": MESSAGE,
    "wrapper in the envelope's namespace": f'<Request xmlns="{NAMESPACE}">{INNER}</Request>',
    "operation around a message element": (
        f'<a:Request xmlns:a="{ABSTRACT_NAMESPACE}"><message xmlns="{NAMESPACE}">{INNER}</message></a:Request>'
    ),
    "operation around its own message element": (
        f'<a:Request xmlns:a="{ABSTRACT_NAMESPACE}"><a:message xmlns="{NAMESPACE}">{INNER}</a:message></a:Request>'
    ),
    "operation around the message": f'<a:Request xmlns:a="{ABSTRACT_NAMESPACE}">{MESSAGE}</a:Request>',
    "text": f'<x:send xmlns:x="urn:x"><x:arg>{escape_text(MESSAGE)}</x:arg></x:send>',
    "strongly typed": typed(),
}


@pytest.mark.parametrize("version", SoapVersion)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_body_shape_of_the_field_is_read(shape: str, version: SoapVersion) -> None:
    """The published description contradicts itself, so partners differ; each of them is understood."""
    found = opened(envelope(SHAPES[shape], version))
    assert found.findings == ()
    assert (found.glimpse.archetype, found.glimpse.verb, found.glimpse.noun) == ("RequestMessage", "get", "Incidents")
    assert found.element is not None


@pytest.mark.parametrize(
    ("content_type", "header", "action"),
    [
        ("text/xml", '"http://iec.ch/61968/Request"', "http://iec.ch/61968/Request"),
        ("text/xml", "http://iec.ch/61968/Request", "http://iec.ch/61968/Request"),
        ("text/xml", '""', ""),
        ("text/xml", None, ""),
        ('application/soap+xml; action="urn:a"; charset=utf-8', None, "urn:a"),
        ("application/soap+xml;action=urn:a", None, "urn:a"),
        ("application/soap+xml; charset=utf-8", None, ""),
    ],
)
def test_action_is_found_where_each_version_has_it(content_type: str, header: str | None, action: str) -> None:
    """SOAP 1.1 has a header for it, SOAP 1.2 a parameter of the content type."""
    assert action_of(content_type, header) == action


@pytest.mark.parametrize(
    ("body", "action"),
    [
        (MESSAGE, "http://iec.ch/61968/Request"),
        (MESSAGE, "http://www.iec.ch/61968/request"),
        (EVENT, "http://iec.ch/61968/PublishEvent"),
        (MESSAGE, ""),
    ],
)
def test_action_that_fits_is_taken(body: str, action: str) -> None:
    """The spelling of 2008 is still met."""
    assert opened(envelope(body), action=action).findings == ()


@pytest.mark.parametrize(
    ("body", "action"),
    [
        (MESSAGE, "http://iec.ch/61968/PublishEvent"),
        (EVENT, "http://iec.ch/61968/Request"),
        (MESSAGE, "urn:something-else"),
    ],
)
def test_action_that_does_not_fit_is_found(body: str, action: str) -> None:
    """One of the two is a mistake, and the hub cannot know which."""
    (finding,) = opened(envelope(body), action=action).findings
    assert finding.code == "ENV-110"


@pytest.mark.parametrize(
    ("body", "action", "found"),
    [
        (typed(), "", None),
        (typed(), "http://iec.ch/TC57/2014/Incidents/GetIncidents", None),
        (typed(), "http://iec.ch/TC57/2014/Incidents/ChangeIncidents", "SOAP action"),
        (typed("CloseIncidents"), "", "CloseIncidents at the service RequestIncidents"),
        (MESSAGE, "", "RequestMessage at the service RequestIncidents"),
        (typed().replace(">get<", ">close<"), "", "operation GetIncidents with close of Incidents"),
        (typed().replace(">Incidents<", ">WorkRequests<"), "", "operation GetIncidents with get of WorkRequests"),
    ],
)
def test_typed_service_takes_its_own_operations_only(body: str, action: str, found: str | None) -> None:
    """Element name, action, verb and noun say the same thing four times; they must agree."""
    findings = opened(envelope(body), action=action, service=SERVICE).findings
    if found is None:
        assert findings == ()
    else:
        assert [finding.code for finding in findings] == ["ENV-110"]
        assert found in findings[0].found


@pytest.mark.parametrize(
    ("raw", "code", "soap_code"),
    [
        (envelope(MESSAGE, "urn:soap-of-the-future"), "ENV-111", "VersionMismatch"),
        (
            envelope(MESSAGE, header='<e:Header><w:Security xmlns:w="urn:wsse" e:mustUnderstand="1"/></e:Header>'),
            "ENV-112",
            "MustUnderstand",
        ),
        (
            envelope(
                MESSAGE,
                SoapVersion.V12,
                '<e:Header><w:Security xmlns:w="urn:wsse" e:mustUnderstand="true"/></e:Header>',
            ),
            "ENV-112",
            "MustUnderstand",
        ),
        (envelope("<e:Fault><faultcode>e:Client</faultcode></e:Fault>"), "ENV-108", None),
    ],
)
def test_faults_of_soap_itself(raw: bytes, code: str, soap_code: str | None) -> None:
    """SOAP prescribes these codes; a stack at the other end acts on them."""
    channel = SoapChannel("text/xml")
    with pytest.raises(RefusedError) as caught:
        channel.open(raw, Limits(), lenient=False)
    assert (caught.value.code, caught.value.soap_code) == (code, soap_code)
    finding = caught.value.finding
    answer = channel.render_fault(build_fault((finding,), node="CIS"), finding, soap_code=soap_code)
    assert answer.status == 500
    root = parse_xml(answer.body)
    text = root.findtext(".//faultcode") or root.findtext(".//{*}Code/{*}Value")
    assert text == f"soap:{soap_code or 'Client'}"


def test_header_blocks_that_need_not_be_understood_are_passed_over() -> None:
    """WS-Addressing headers are everywhere; they do no harm."""
    raw = envelope(MESSAGE, header='<e:Header><w:To xmlns:w="urn:wsa">hub</w:To></e:Header>')
    assert opened(raw).findings == ()


@pytest.mark.parametrize(
    ("content_type", "version"), [("text/xml", SoapVersion.V11), ("application/soap+xml", SoapVersion.V12)]
)
def test_fault_about_what_cannot_be_parsed_speaks_the_announced_version(
    content_type: str, version: SoapVersion
) -> None:
    """Nothing but the content type says what the sender speaks."""
    finding = finding_of("XML-101", "/", "rubbish", "XML")
    answer = SoapChannel(content_type).render_fault(build_fault((finding,), node="CIS"), finding)
    assert parse_xml(answer.body).tag == f"{{{version}}}Envelope"
    assert answer.content_type == version.content_type


@pytest.mark.parametrize(("code", "status", "side"), [("XML-103", 413, "Client"), ("EXC-108", 503, "Server")])
def test_status_of_faults_that_http_has_words_for(code: str, status: int, side: str) -> None:
    """Size and overload are matters of HTTP too, and gateways look there."""
    finding = finding_of(code, "/", "found", "accepted")
    answer = SoapChannel("text/xml").render_fault(build_fault((finding,), node="CIS"), finding)
    assert answer.status == status
    assert parse_xml(answer.body).findtext(".//faultcode") == f"soap:{side}"
