"""Lenient reading: each variant of the field is brought into the standard form and named; strict reading refuses it."""

import pytest
from lxml import etree

from cimcare.codec.envelope import MESSAGE_NAMESPACE, parse_message, read_message
from cimcare.codec.lenient import forgive
from cimcare.codec.limits import parse_xml
from cimcare.errors import InputError
from cimcare.model.envelope import AnyMessage, EventMessage, RequestMessage, ResponseMessage
from cimcare.model.service_request import ServiceRequests
from cimcare.model.trouble_ticket import TroubleTickets
from cimcare.model.work_request import WorkRequests

TICKETS = "http://iec.ch/TC57/2014/TroubleTickets#"


def a_message(
    *,
    root: str = "RequestMessage",
    verb: str = "create",
    noun: str = "TroubleTickets",
    namespace: str = MESSAGE_NAMESPACE,
    body: str = "",
) -> bytes:
    return (
        f'<m:{root} xmlns:m="{namespace}"><m:Header><m:Verb>{verb}</m:Verb><m:Noun>{noun}</m:Noun></m:Header>'
        f"{body}</m:{root}>"
    ).encode()


def a_payload(inner: str) -> str:
    return f"<m:Payload>{inner}</m:Payload>"


def forgiven(raw: bytes) -> tuple[AnyMessage, list[str]]:
    root, findings = forgive(parse_xml(raw))
    assert all(finding.forgiven for finding in findings)
    return read_message(root), [finding.code for finding in findings]


@pytest.mark.parametrize(
    ("said", "meant"),
    [("Create", "create"), ("CHANGE", "change"), ("update", "change"), ("Cancel", "cancel")],
)
def test_spelling_of_verbs(said: str, meant: str) -> None:
    message, codes = forgiven(a_message(verb=said))
    assert isinstance(message, RequestMessage)
    assert message.header.verb == meant
    assert codes == ["LEN-101"]
    with pytest.raises(InputError, match="one of cancel"):
        parse_message(a_message(verb=said))


def test_an_unknown_verb_is_not_guessed() -> None:
    root, findings = forgive(parse_xml(a_message(verb="frobnicate")))
    assert findings == ()
    with pytest.raises(InputError, match="frobnicate"):
        read_message(root)


@pytest.mark.parametrize("year", ["2008", "2010", "2011"])
def test_older_envelope_namespaces(year: str) -> None:
    """Test tools and meter systems still write the `www.` form of the drafts."""
    raw = a_message(namespace=f"http://www.iec.ch/TC57/{year}/schema/message")
    message, codes = forgiven(raw)
    assert isinstance(message, RequestMessage)
    assert codes == ["LEN-102"]
    with pytest.raises(InputError, match="ENV-101"):
        parse_message(raw)


@pytest.mark.parametrize(
    "namespace",
    [
        "http://iec.ch/TC57/2015/TroubleTickets#",
        "http://www.iec.ch/TC57/2014/TroubleTickets#",
        "http://iec.ch/TC57/2014/TroubleTickets",
    ],
)
def test_other_years_of_a_noun(namespace: str) -> None:
    ticket = (
        f'<TroubleTickets xmlns="{namespace}"><TroubleTicket><comment>out</comment></TroubleTicket></TroubleTickets>'
    )
    message, codes = forgiven(a_message(body=a_payload(ticket)))
    assert isinstance(message, RequestMessage)
    assert message.payload is not None
    content = message.payload.content[0]
    assert isinstance(content, TroubleTickets)
    assert content.trouble_ticket[0].comment == "out"
    assert codes == ["LEN-102"]


def test_aliases_of_nouns_in_header_and_payload() -> None:
    body = a_payload('<IncidentInformation xmlns="http://iec.ch/TC57/2014/IncidentInformation#"/>')
    message, codes = forgiven(a_message(root="EventMessage", verb="created", noun="IncidentInformation", body=body))
    assert isinstance(message, EventMessage)
    assert message.header.noun == "Incidents"
    assert message.payload is not None
    assert type(message.payload.content[0]).__name__ == "Incidents"
    assert sorted(codes) == ["LEN-102", "LEN-104", "LEN-104"]


def test_a_wrapper_between_root_and_work() -> None:
    """The later shape of the sister messages: identity on the wrapper, the work inside."""
    body = a_payload(
        '<ServiceRequests xmlns="http://iec.ch/TC57/2014/ServiceRequests#"><ServiceRequest><mRID>w-1</mRID>'
        "<Names><name>SR-1</name></Names><Work><kind>connect</kind><Customers><mRID>c-1</mRID></Customers>"
        "<WorkTasks><mRID>t-1</mRID></WorkTasks></Work></ServiceRequest></ServiceRequests>"
    )
    message, codes = forgiven(a_message(noun="ServiceRequests", body=body))
    assert isinstance(message, RequestMessage)
    assert message.payload is not None
    content = message.payload.content[0]
    assert isinstance(content, ServiceRequests)
    assert content.work[0].mrid == "w-1"
    assert content.work[0].names[0].name == "SR-1"
    assert content.extensions == ()
    assert content.work[0].extensions == ()
    assert codes == ["LEN-103"]


def test_a_wrapper_with_an_organisation() -> None:
    body = a_payload(
        '<WorkRequests xmlns="http://iec.ch/TC57/2014/WorkRequests#"><WorkRequest><mRID>w-1</mRID>'
        "<Organisation><mRID>o-1</mRID></Organisation><Work><mRID>own</mRID></Work></WorkRequest></WorkRequests>"
    )
    message, _ = forgiven(a_message(noun="WorkRequests", body=body))
    assert isinstance(message, RequestMessage)
    assert message.payload is not None
    content = message.payload.content[0]
    assert isinstance(content, WorkRequests)
    assert content.organisation[0].mrid == "o-1"
    assert content.work[0].mrid == "own"


def test_a_response_that_repeats_the_verb_of_its_request() -> None:
    message, codes = forgiven(a_message(root="ResponseMessage", body="<m:Reply><m:Result>Success</m:Result></m:Reply>"))
    assert isinstance(message, ResponseMessage)
    assert message.header.verb == "reply"
    assert message.reply.result == "OK"
    assert sorted(codes) == ["LEN-101", "LEN-105"]


def test_an_event_sent_as_a_request() -> None:
    message, codes = forgiven(a_message(verb="created"))
    assert isinstance(message, EventMessage)
    assert codes == ["LEN-101"]


def test_misspelt_elements() -> None:
    message, codes = forgiven(a_message(body="<m:Payload><m:ID>x</m:ID><m:format>XML</m:format></m:Payload>"))
    assert isinstance(message, RequestMessage)
    assert message.payload is not None
    assert message.payload.format == "XML"
    assert codes == ["LEN-106"]


def test_what_conforms_is_left_alone() -> None:
    ticket = (
        f'<TroubleTickets xmlns="{TICKETS}"><TroubleTicket><comment>Create</comment></TroubleTicket></TroubleTickets>'
    )
    raw = a_message(body=a_payload(ticket))
    root, findings = forgive(parse_xml(raw))
    assert findings == ()
    assert etree.tostring(root, method="c14n") == etree.tostring(parse_xml(raw), method="c14n")
