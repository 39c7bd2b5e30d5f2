"""The SOAP client: by the WSDL alone, and whatever a peer may answer."""

import aiohttp
import pytest

from cimcare.client import FaultReceivedError, NoAnswerError, SoapClient
from cimcare.codec.envelope import read_message, render_message
from cimcare.codec.limits import parse_xml
from cimcare.codec.soap import SoapVersion, TypedNames, read_soap, render_soap, render_soap_fault
from cimcare.model.envelope import AnyMessage, FaultMessage, Reply, ReplyError, ResponseMessage, Result
from cimcare.model.nouns import NOUNS, Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from cimcare.schema.documents import render_wsdl
from tests.support.fake_peer import FakePeer, Told

CREATE = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE)
REPLY = build_message(Noun.TROUBLE_TICKETS, Verb.REPLY)
FAULT = FaultMessage(reply=Reply(result=Result.FAILED, error=(ReplyError(code="1.8", details="no such element"),)))
VERSIONS = pytest.mark.parametrize("version", SoapVersion, ids=lambda version: version.name)


async def a_client(
    peer: FakePeer, session: aiohttp.ClientSession, service: str = "Service", version: SoapVersion = SoapVersion.V11
) -> SoapClient:
    """Client of a service that says it is at an odd address."""
    wsdl = Told(render_wsdl(service, f"{peer.address}/elsewhere"))
    return await SoapClient.from_wsdl(session, peer.tell("/any?wsdl", wsdl, method="GET"), version=version)


def sent_to(peer: FakePeer) -> AnyMessage:
    element = read_soap(parse_xml(peer.asked[-1].body)).element
    assert element is not None
    return read_message(element)


@VERSIONS
async def test_sends_to_where_the_wsdl_says_and_reads_the_reply(
    peer: FakePeer, session: aiohttp.ClientSession, version: SoapVersion
) -> None:
    """Address and action are the peer's to choose; the client knows them from nowhere else."""
    client = await a_client(peer, session, version=version)
    peer.tell("/elsewhere", Told(render_soap(REPLY, version)))
    answer = await client.send(CREATE)
    assert answer.message == REPLY
    assert answer.status == 200
    asked = peer.asked[-1]
    assert (asked.method, asked.path) == ("POST", "/elsewhere")
    assert asked.body == render_soap(CREATE, version)
    action = "http://iec.ch/61968/Request"
    if version is SoapVersion.V11:
        assert asked.headers["soapaction"] == f'"{action}"'
        assert asked.headers["content-type"] == "text/xml; charset=utf-8"
    else:
        assert "soapaction" not in asked.headers
        assert asked.headers["content-type"] == f'application/soap+xml; charset=utf-8; action="{action}"'


@pytest.mark.parametrize(
    ("verb", "operation"), [(Verb.CREATE, "Request"), (Verb.CREATED, "PublishEvent"), (Verb.REPLY, "Response")]
)
async def test_operation_follows_from_the_kind_of_message(
    peer: FakePeer, session: aiohttp.ClientSession, verb: Verb, operation: str
) -> None:
    """The generic service has one for requests, one for events, one for replies."""
    client = await a_client(peer, session)
    peer.tell("/elsewhere", Told(status=202))
    await client.send(build_message(Noun.INCIDENTS, verb))
    assert peer.asked[-1].headers["soapaction"] == f'"http://iec.ch/61968/{operation}"'


async def test_typed_service_takes_and_gives_its_own_elements(peer: FakePeer, session: aiohttp.ClientSession) -> None:
    """What goes out is in the namespace of the noun's messages; what comes back too."""
    client = await a_client(peer, session, "RequestTroubleTickets")
    names = TypedNames(
        noun=Noun.TROUBLE_TICKETS,
        namespace=NOUNS[Noun.TROUBLE_TICKETS].message_namespace,
        operation="CreateTroubleTickets",
    )
    peer.tell("/elsewhere", Told(render_soap(REPLY, SoapVersion.V11, typed=names)))
    assert (await client.send(CREATE)).message == REPLY
    assert peer.asked[-1].body == render_soap(CREATE, SoapVersion.V11, typed=names)
    assert sent_to(peer) == CREATE


async def test_operation_that_the_service_lacks_is_not_sent(peer: FakePeer, session: aiohttp.ClientSession) -> None:
    """The message says which operations there are; the peer is not bothered."""
    client = await a_client(peer, session, "GetTroubleTickets")
    with pytest.raises(NoAnswerError, match=r"no operation CreateTroubleTickets; it has GetTroubleTickets$"):
        await client.send(CREATE)
    with pytest.raises(NoAnswerError, match="no operation Nonsense"):
        await client.send(CREATE, operation="Nonsense")
    assert [asked.method for asked in peer.asked] == ["GET"]


@VERSIONS
@pytest.mark.parametrize("status", [200, 500])
async def test_fault_is_raised_with_what_it_says(
    peer: FakePeer, session: aiohttp.ClientSession, version: SoapVersion, status: int
) -> None:
    """A fault cannot be taken for a reply by mistake; its FaultMessage and the bytes come with it."""
    client = await a_client(peer, session, version=version)
    raw = render_soap_fault(FAULT, version, reason="not to be read")
    peer.tell("/elsewhere", Told(raw, status))
    with pytest.raises(FaultReceivedError, match=r"not to be read: 1\.8 no such element") as caught:
        await client.send(CREATE)
    assert caught.value.fault == FAULT
    assert caught.value.raw == raw
    assert caught.value.code == "NET-104"


@VERSIONS
async def test_fault_without_our_detail_is_a_fault_all_the_same(
    peer: FakePeer, session: aiohttp.ClientSession, version: SoapVersion
) -> None:
    """Gateways and frameworks fault in their own words."""
    client = await a_client(peer, session, version=version)
    peer.tell("/elsewhere", Told(render_soap_fault(None, version, reason="out of paper", server=True), 500))
    with pytest.raises(FaultReceivedError, match="out of paper") as caught:
        await client.send(CREATE)
    assert caught.value.fault is None


@pytest.mark.parametrize("status", [200, 202, 204])
async def test_empty_answer_is_an_acknowledgement(peer: FakePeer, session: aiohttp.ClientSession, status: int) -> None:
    """Events and messages that want no reply are answered by an empty 202."""
    client = await a_client(peer, session)
    peer.tell("/elsewhere", Told(status=status, content_type=""))
    answer = await client.send(CREATE)
    assert (answer.status, answer.message, answer.raw) == (status, None, b"")


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (Told(b"<html><body>502 Bad Gateway</body></html>", 502, "text/html"), "status 502, text/html.*no message"),
        (Told(b"<!DOCTYPE html><html></html>", 200, "text/html"), "XML-102"),
        (Told(b"Service Unavailable", 503, "text/plain"), "status 503"),
        (Told(b"", 500), "status 500 without a body"),
        (Told(b"<soap:Envelope", 200), "XML-101"),
        (Told(render_soap(CREATE, SoapVersion.V11)), "RequestMessage received; a ResponseMessage was expected"),
        (Told(b'<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body/></Envelope>'), "ENV-108"),
        (Told(b'<Envelope xmlns="urn:x"><Body/></Envelope>'), "ENV-101"),
        (Told(render_soap(REPLY, SoapVersion.V11), breaks_off=True), "no answer"),
    ],
    ids=["error page", "document type", "text", "empty", "half", "request", "empty body", "other soap", "broken off"],
)  # fmt: skip
async def test_what_is_no_answer_is_said_to_be_none(
    peer: FakePeer, session: aiohttp.ClientSession, told: Told, said: str
) -> None:
    """Address, status and reason in one line: whoever reads the log at the other end must find the culprit."""
    client = await a_client(peer, session)
    url = peer.tell("/elsewhere", told)
    with pytest.raises(NoAnswerError, match=said) as caught:
        await client.send(CREATE)
    assert str(caught.value).startswith(url)
    assert caught.value.code == "NET-105"


async def test_two_alternatives_in_a_payload_are_no_answer(peer: FakePeer, session: aiohttp.ClientSession) -> None:
    """A peer that breaks the schema's choice must not break the client."""
    client = await a_client(peer, session)
    raw = render_soap(build_message(Noun.TROUBLE_TICKETS, Verb.REPLY, seed=1), SoapVersion.V11)
    peer.tell("/elsewhere", Told(raw.replace(b"<Format>", b"<Compressed>AA==</Compressed><Format>")))
    with pytest.raises(NoAnswerError, match="COD-106"):
        await client.send(CREATE)


async def test_plain_message_in_the_answer_is_read(peer: FakePeer, session: aiohttp.ClientSession) -> None:
    """Some peers forget the envelope of SOAP on the way back."""
    client = await a_client(peer, session)
    peer.tell("/elsewhere", Told(render_message(REPLY), 200, "application/xml"))
    answer = await client.send(CREATE)
    assert isinstance(answer.message, ResponseMessage)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (Told(b"gone", 404, "text/plain"), "status 404; a WSDL was expected"),
        (Told(b"<html></html>", 200, "text/html"), "SCH-107"),
        (Told(b"no XML", 200), "XML-101"),
        (Told(b"", 200), "XML-101"),
        (Told(b'<definitions xmlns="http://schemas.xmlsoap.org/wsdl/"/>'), "0 SOAP ports"),
        (Told(b"<half", breaks_off=True), "no answer"),
    ],
    ids=["missing", "page", "text", "empty", "no ports", "broken off"],
)
async def test_what_is_no_wsdl_is_said_to_be_none(
    peer: FakePeer, session: aiohttp.ClientSession, told: Told, said: str
) -> None:
    """A wrong address is the most common mistake of all; the answer names address and what is there."""
    url = peer.tell("/x?wsdl", told, method="GET")
    with pytest.raises(NoAnswerError, match=said) as caught:
        await SoapClient.from_wsdl(session, url)
    assert str(caught.value).startswith(url)


async def test_missing_port_names_those_that_are_there(peer: FakePeer, session: aiohttp.ClientSession) -> None:
    """Many peers serve one version of SOAP only."""
    wsdl = render_wsdl("Service", f"{peer.address}/soap")
    start, end = wsdl.index(b'<wsdl:port name="SOAP12"'), wsdl.rindex(b"</wsdl:port>") + len(b"</wsdl:port>")
    url = peer.tell("/x?wsdl", Told(wsdl[:start] + wsdl[end:]), method="GET")
    assert (await SoapClient.from_wsdl(session, url)).port.version is SoapVersion.V11
    with pytest.raises(NoAnswerError, match=r"no port for V12; ports: \['SOAP'\]"):
        await SoapClient.from_wsdl(session, url, version=SoapVersion.V12)


async def test_service_of_an_unknown_noun_is_refused(peer: FakePeer, session: aiohttp.ClientSession) -> None:
    """A WSDL whose messages are not ours cannot be served by guessing."""
    wsdl = render_wsdl("RequestTroubleTickets", f"{peer.address}/soap").replace(
        NOUNS[Noun.TROUBLE_TICKETS].message_namespace.encode(), b"urn:other"
    )
    client = await SoapClient.from_wsdl(session, peer.tell("/x?wsdl", Told(wsdl), method="GET"))
    with pytest.raises(NoAnswerError, match="urn:other"):
        await client.send(CREATE)
