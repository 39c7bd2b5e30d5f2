"""HTTP itself: methods, media types, sizes, addresses, and senders that break off."""

import asyncio
from collections.abc import AsyncIterator, Mapping

import msgspec
import pytest

from cimcare.exchange.log import Transport
from cimcare.model.nouns import Noun
from cimcare.transport.channel import Answer, Received
from cimcare.transport.http import MessageEndpoints, Scope, Send
from cimcare.transport.soap import TypedService
from tests.support.hub import Response, call

MOST = 100_000
SERVICE = TypedService(
    name="RequestIncidents",
    noun=Noun.INCIDENTS,
    message_namespace="http://iec.ch/TC57/2014/IncidentsMessage",
    actions={"GetIncidents": "http://iec.ch/TC57/2014/Incidents/GetIncidents"},
)


class Documents:
    """Two documents, which say for whom they were made."""

    def find_wsdl(self, service: str, address: str) -> bytes | None:
        return f"wsdl of {service or 'generic'} at {address}".encode()

    def find_schema(self, service: str, file: str, address: str) -> bytes | None:
        return f"{file} of {service or 'generic'} at {address}".encode() if file == "Message.xsd" else None


class Front:
    """Endpoints that note what they were given."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.app = MessageEndpoints(
            self.receive,
            services={SERVICE.name: SERVICE},
            documents=Documents(),
            otherwise=self.otherwise,
            max_bytes=MOST,
            receive_seconds=0.05,
        )

    async def receive(self, received: Received) -> Answer:
        self.received.append(received)
        if received.refusal is not None:
            return Answer(status=400, content_type="text/plain", body=received.refusal.code.encode())
        return Answer(status=200, content_type="text/xml", body=b"taken")

    async def otherwise(self, _: Scope, __: object, send: Send) -> None:
        await send({"type": "http.response.start", "status": 299, "headers": []})
        await send({"type": "http.response.body", "body": b"elsewhere"})

    async def call(
        self,
        path: str,
        body: bytes | list[bytes] = b"",
        *,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
        breaks_off: bool = False,
    ) -> Response | None:
        return await call(self.app, path, body, method=method, headers=headers, breaks_off=breaks_off)


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    yield Front()


@pytest.mark.parametrize(
    ("path", "content_type", "body", "transport"),
    [
        ("/soap", "text/xml", b"", Transport.SOAP11),
        ("/soap", "application/soap+xml; charset=utf-8", b"", Transport.SOAP12),
        ("/soap/RequestIncidents", "text/xml", b"", Transport.SOAP_TYPED),
        ("/messages", "application/xml", b"", Transport.REST_XML),
        ("/messages", "text/xml; charset=utf-8", b"", Transport.REST_XML),
        ("/messages", "application/vnd.utility+xml", b"", Transport.REST_XML),
        ("/messages", "application/json", b"", Transport.REST_JSON),
        ("/messages", "Application/JSON; charset=utf-8", b"", Transport.REST_JSON),
        ("/messages", "", b"<a/>", Transport.REST_XML),
        ("/messages", "", b' {"message":', Transport.REST_JSON),
        ("/messages", "application/x-www-form-urlencoded", b"<a/>", Transport.REST_XML),
    ],
)
async def test_way_in_is_chosen_by_address_and_content_type(
    front: Front, path: str, content_type: str, body: bytes, transport: Transport
) -> None:
    """The answer takes the form of the question, so the form must be known before anything is read."""
    response = await front.call(path, body, headers={"content-type": content_type})
    assert response is not None
    assert response.status == 200
    (received,) = front.received
    assert (received.channel.transport, received.raw, received.refusal) == (transport, body, None)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/messages", {"content-type": "text/csv"}),
        ("/messages", {"content-encoding": "gzip"}),
        ("/soap", {"content-encoding": "gzip"}),
        ("/soap", {"content-type": 'multipart/related; type="application/xop+xml"'}),
    ],
)
async def test_content_that_is_not_served_is_refused(front: Front, path: str, headers: dict[str, str]) -> None:
    """Attachments and compressed transfer are said not to be served, instead of being misread."""
    await front.call(path, b"<a/>", headers=headers)
    (received,) = front.received
    assert received.refusal is not None
    assert received.refusal.code == "NET-102"


@pytest.mark.parametrize(
    ("path", "method", "allowed"),
    [
        ("/messages", "GET", "POST"),
        ("/messages", "HEAD", "POST"),
        ("/messages", "DELETE", "POST"),
        ("/soap", "PUT", "GET, HEAD, POST"),
        ("/soap/RequestIncidents", "OPTIONS", "GET, HEAD, POST"),
    ],
)
async def test_other_methods_are_refused_with_those_allowed(front: Front, path: str, method: str, allowed: str) -> None:
    """RFC 9110 asks for Allow; people read the problem details."""
    response = await front.call(path, method=method)
    assert response is not None
    assert (response.status, response.headers["allow"]) == (405, allowed)
    assert response.headers["content-type"] == "application/problem+json"
    if method == "HEAD":
        assert response.body == b""
    else:
        problem = msgspec.json.decode(response.body)
        assert (problem["status"], problem["finding"]["code"]) == (405, "NET-101")
    assert front.received == []


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/soap?wsdl", b"wsdl of generic at http://hub.example/soap"),
        ("/soap?WSDL", b"wsdl of generic at http://hub.example/soap"),
        ("/soap", b"wsdl of generic at http://hub.example/soap"),
        ("/soap?xsd=Message.xsd", b"Message.xsd of generic at http://hub.example/soap"),
        ("/soap/RequestIncidents?wsdl", b"wsdl of RequestIncidents at http://hub.example/soap/RequestIncidents"),
        (
            "/soap/RequestIncidents?xsd=Message.xsd",
            b"Message.xsd of RequestIncidents at http://hub.example/soap/RequestIncidents",
        ),
    ],
)
async def test_descriptions_name_the_address_by_which_the_client_came(front: Front, path: str, document: bytes) -> None:
    """A client behind another name must not be sent to 127.0.0.1."""
    response = await front.call(path, method="GET")
    assert response is not None
    assert (response.status, response.body) == (200, document)
    head = await front.call(path, method="HEAD")
    assert head is not None
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(document)))


@pytest.mark.parametrize("host", ['evil.example/"><x', "a b", "", "h:99999999"])
async def test_a_host_that_is_none_is_not_echoed(front: Front, host: str) -> None:
    """What goes into a WSDL was looked at first."""
    response = await front.call("/soap?wsdl", method="GET", headers={"host": host})
    assert response is not None
    assert response.body == b"wsdl of generic at http://127.0.0.1:80/soap"


@pytest.mark.parametrize(
    "path", ["/soap?xsd=Nothing.xsd", "/soap?xsd=../../etc/passwd", "/soap?what", "/soap/None?wsdl"]
)
async def test_documents_that_are_not_there(front: Front, path: str) -> None:
    """404 with what would be there."""
    response = await front.call(path, method="GET")
    assert response is not None
    assert response.status == 404
    assert msgspec.json.decode(response.body)["finding"]["code"] == "NET-103"


async def test_message_to_a_service_that_is_not_there(front: Front) -> None:
    """A SOAP client understands a fault, not a page."""
    await front.call("/soap/RequestMeters", b"<a/>")
    (received,) = front.received
    assert received.refusal is not None
    assert received.refusal.code == "NET-103"
    assert "RequestIncidents" in received.refusal.accepted


async def test_other_paths_go_elsewhere(front: Front) -> None:
    """The message endpoints take their own paths and no others."""
    for path in ("/", "/soaps", "/messages/", "/soap.wsdl", "/api/v1/messages"):
        response = await front.call(path, method="GET")
        assert response is not None
        assert response.status == 299


async def test_body_in_pieces_is_put_together(front: Front) -> None:
    """Chunked bodies are the rule behind proxies."""
    await front.call("/messages", [b"<a>", b"", b"</a>"])
    assert front.received[0].raw == b"<a></a>"


async def test_longest_body_is_taken(front: Front) -> None:
    """The bound belongs to what is allowed."""
    await front.call("/messages", b"x" * MOST)
    assert (front.received[0].refusal, len(front.received[0].raw)) == (None, MOST)


async def test_longer_body_is_refused_while_it_is_read(front: Front) -> None:
    """Without an announced length, reading stops at the limit, not at the end."""
    pieces = [b"x" * 10_000] * 1000
    sent = iter(pieces)
    taken = 0

    async def receive() -> dict[str, object]:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": next(sent), "more_body": True}

    responses: list[object] = []

    async def send(event: object) -> None:
        responses.append(event)

    scope = {"type": "http", "method": "POST", "path": "/messages", "headers": [], "query_string": b""}
    await front.app(scope, receive, send)
    (received,) = front.received
    assert received.refusal is not None
    assert received.refusal.code == "XML-103"
    assert taken == MOST // 10_000 + 1
    assert len(received.raw) == 64 * 1024
    assert len(responses) == 2


async def test_announced_length_is_believed(front: Front) -> None:
    """Of what announces itself as too long, only the beginning is read, for the log."""
    await front.call("/messages", [b"x" * 50_000] * 10, headers={"content-length": "50000000"})
    (received,) = front.received
    assert received.refusal is not None
    assert (received.refusal.code, received.size_bytes) == ("XML-103", 50_000_000)
    assert len(received.raw) == 64 * 1024


async def test_who_asks_before_sending_is_told_before_sending(front: Front) -> None:
    """With Expect: 100-continue a client need not send 50 MB to learn that they are too many."""
    headers = {"content-length": "50000000", "expect": "100-continue"}
    await front.call("/messages", b"never read", headers=headers)
    assert (front.received[0].raw, front.received[0].size_bytes) == (b"", 50_000_000)


async def test_a_body_that_breaks_off_is_noted_and_not_answered(front: Front) -> None:
    """Half a message is no message; that somebody tried is worth keeping."""
    response = await front.call("/messages", b"<RequestMess", headers={"content-length": "500"}, breaks_off=True)
    assert response is None
    (received,) = front.received
    assert received.refusal is not None
    assert (received.refusal.code, received.raw) == ("NET-106", b"<RequestMess")


async def test_a_body_that_does_not_come_is_given_up(front: Front) -> None:
    """A sender that stops in the middle holds no place for ever."""
    responses: list[dict[str, object]] = []
    first = True

    async def receive() -> dict[str, object]:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request", "body": b"<a", "more_body": True}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(event: dict[str, object]) -> None:
        responses.append(event)

    scope = {"type": "http", "method": "POST", "path": "/soap", "headers": [], "query_string": b""}
    await front.app(scope, receive, send)
    assert front.received[0].refusal is not None
    assert front.received[0].refusal.code == "NET-106"
    assert responses[0]["status"] == 400
