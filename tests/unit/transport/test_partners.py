"""Sending to partners: over each wire, and whatever comes back, or does not."""

import asyncio
import contextlib
import os
import re
import shutil
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from cimcare.codec.compressed import compress_payload
from cimcare.codec.envelope import DRAFT_NAMESPACE, parse_message, render_message
from cimcare.codec.json_body import parse_json, render_json
from cimcare.codec.limits import Limits, parse_xml
from cimcare.codec.soap import SoapVersion, read_soap, render_soap, render_soap_fault
from cimcare.exchange.log import Transport
from cimcare.exchange.partners import Edition, Partner, Tls, Wire
from cimcare.exchange.sending import Next, Sent, judge_attempt
from cimcare.hub.app import TYPED_SERVICES
from cimcare.model.envelope import (
    EventMessage,
    FaultMessage,
    ObjectID,
    Payload,
    Reply,
    ReplyError,
    RequestMessage,
    ResponseMessage,
    Result,
)
from cimcare.model.identity import CorrelationID
from cimcare.model.nouns import NOUNS, Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from cimcare.simulator.partner import SimulatedPartner
from cimcare.transport.calls import Outgoing
from cimcare.transport.connections import Places
from cimcare.transport.partners import HttpSender
from cimcare.transport.webhook import verify_webhook
from tests.support.fake_peer import FakePeer, Told, fake_peer
from tests.unit.transport.conftest import NOON

CREATE = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE)
GET = build_message(Noun.TROUBLE_TICKETS, Verb.GET)
CREATED = build_message(Noun.TROUBLE_TICKETS, Verb.CREATED)
REPLY = build_message(Noun.TROUBLE_TICKETS, Verb.REPLY)
EXECUTE = build_message(Noun.TROUBLE_TICKETS, Verb.EXECUTE)
assert isinstance(CREATE, RequestMessage)
assert isinstance(CREATED, EventMessage)
assert isinstance(REPLY, ResponseMessage)
MESSAGES = {"create": CREATE, "get": GET, "created": CREATED, "reply": REPLY, "execute": EXECUTE}
FAULT = FaultMessage(reply=Reply(result=Result.FAILED, error=(ReplyError(code="1.8", details="no such element"),)))
TLS = Path(__file__).parents[2] / "support/tls"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LONG = timedelta(seconds=30)


def a_partner(url: str, **more: object) -> Partner:
    partner = Partner(name="OMS", url=url, source="PARTNER", deadline=LONG)
    return msgspec.structs.replace(partner, **more)


def outgoing(name: str) -> Outgoing:
    message = MESSAGES[name]
    assert isinstance(message, RequestMessage | EventMessage | ResponseMessage)
    return message


def result_of(sent: Sent) -> Result:
    assert not sent.failure
    assert sent.reply is not None
    return sent.reply.reply.result


@asynccontextmanager
async def a_server(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """A server that does as `serve` does, on a free port."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def some_rounds() -> None:
    """Let the event loop read what has arrived; what was written on this machine has."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
async def hasten(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes the clock of the event loop jump beyond every deadline, so that nobody has to wait for it."""
    loop = asyncio.get_running_loop()
    real, jump = loop.time, 0.0

    def later() -> None:
        nonlocal jump
        jump += 3600

    monkeypatch.setattr(loop, "time", lambda: real() + jump)
    return later


# ------------------------------------------------------------------------------------------------------------ wires


@pytest.mark.parametrize("soap_12", [False, True])
@pytest.mark.parametrize(
    ("name", "operation"),
    [
        ("create", "Request"),
        ("get", "Request"),
        ("execute", "Request"),
        ("created", "PublishEvent"),
        ("reply", "Response"),
    ],
)
async def test_generic_soap_has_the_exact_action(
    remote: SimulatedPartner, sender: HttpSender, name: str, operation: str, soap_12: bool
) -> None:
    """A header in SOAP 1.1, a parameter of the media type in SOAP 1.2; some stacks dispatch by nothing else."""
    sent = await sender.send(a_partner(f"{remote.address}/services", soap_12=soap_12), outgoing(name))
    assert result_of(sent) is Result.OK
    assert remote.entries[0].path == "/services"
    assert remote.messages == [outgoing(name)]
    headers, action = remote.headers[0], f"http://iec.ch/61968/{operation}"
    if soap_12:
        assert headers["content-type"] == f'application/soap+xml; charset=utf-8; action="{action}"'
        assert "soapaction" not in headers
        assert sent.transport is Transport.SOAP12
    else:
        assert headers["content-type"] == "text/xml; charset=utf-8"
        assert headers["soapaction"] == f'"{action}"'
        assert sent.transport is Transport.SOAP11
    assert sent.content_type == headers["content-type"]
    assert sent.sent == remote.bodies[0]
    assert parse_xml(sent.received).tag == f"{{{SoapVersion.V12 if soap_12 else SoapVersion.V11}}}Envelope"
    assert (sent.status, sent.received_type.rpartition("/")[2]) == (200, "soap+xml" if soap_12 else "xml")


@pytest.mark.parametrize("soap_12", [False, True])
@pytest.mark.parametrize(
    ("name", "service", "operation"),
    [
        ("create", "ExecuteTroubleTickets", "CreateTroubleTickets"),
        ("get", "GetTroubleTickets", "GetTroubleTickets"),
        ("created", "ReceiveTroubleTickets", "CreatedTroubleTickets"),
    ],
)
async def test_typed_partner_gets_each_message_at_its_service(
    remote: SimulatedPartner, sender: HttpSender, name: str, service: str, operation: str, soap_12: bool
) -> None:
    """Address, element and action all follow from verb and noun."""
    partner = a_partner(f"{remote.address}/typed/", wire=Wire.SOAP_TYPED, soap_12=soap_12)
    sent = await sender.send(partner, outgoing(name))
    assert result_of(sent) is Result.OK
    assert sent.transport is Transport.SOAP_TYPED
    assert remote.entries[0].path == f"/typed/{service}"
    assert remote.messages == [outgoing(name)]
    action = TYPED_SERVICES[service].actions[operation]
    where = "content-type" if soap_12 else "soapaction"
    assert f'"{action}"' in remote.headers[0][where]
    body = read_soap(parse_xml(sent.sent))
    assert body.typed is not None
    assert (body.operation, body.typed.namespace) == (operation, TYPED_SERVICES[service].message_namespace)


IDENTIFIED = msgspec.structs.replace(CREATED, payload=Payload(id=(ObjectID(value="x"),)))
UNKNOWN = msgspec.structs.replace(CREATED, header=msgspec.structs.replace(CREATED.header, noun="MeterReadings"))


@pytest.mark.parametrize("message", [EXECUTE, REPLY, IDENTIFIED, UNKNOWN], ids=["set", "reply", "identifiers", "noun"])
async def test_typed_partner_gets_what_no_service_takes_at_its_address(
    remote: SimulatedPartner, sender: HttpSender, message: Outgoing
) -> None:
    """Typed services have no operation for a reply, a transaction, or bare identifiers."""
    sent = await sender.send(a_partner(f"{remote.address}/typed", wire=Wire.SOAP_TYPED), message)
    assert result_of(sent) is Result.OK
    assert sent.transport is Transport.SOAP11
    assert remote.entries[0].path == "/typed"
    assert remote.messages == [message]


@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize("as_json", [False, True])
async def test_rest_is_the_plain_envelope(
    remote: SimulatedPartner, sender: HttpSender, name: str, as_json: bool
) -> None:
    """XML or JSON, as the partner likes it."""
    sent = await sender.send(a_partner(f"{remote.address}/in", wire=Wire.REST, as_json=as_json), outgoing(name))
    assert result_of(sent) is Result.OK
    assert sent.transport is (Transport.REST_JSON if as_json else Transport.REST_XML)
    assert remote.headers[0]["content-type"] == ("application/json" if as_json else "application/xml; charset=utf-8")
    assert remote.bodies[0] == (render_json if as_json else render_message)(outgoing(name))
    parsed = (parse_json if as_json else parse_message)(sent.received)
    assert sent.reply == parsed


async def test_a_later_reply_goes_to_the_address_that_was_given(remote: SimulatedPartner, sender: HttpSender) -> None:
    """ReplyAddress of a request comes before the address of its sender."""
    partner = a_partner("http://127.0.0.1:1/nowhere")
    sent = await sender.send(partner, REPLY, address=f"{remote.address}/replies?for=7")
    assert result_of(sent) is Result.OK
    assert remote.entries[0].path == "/replies?for=7"


# ---------------------------------------------------------------------------------------------------------- editions


DRAFTS: dict[str, dict[str, object]] = {
    "generic": {},
    "typed": {"wire": Wire.SOAP_TYPED},
    "rest": {"wire": Wire.REST},
}


@pytest.mark.parametrize("changes", DRAFTS.values(), ids=DRAFTS)
async def test_a_partner_of_the_draft_is_spoken_to_in_its_namespace(
    remote: SimulatedPartner, sender: HttpSender, changes: dict[str, object]
) -> None:
    """Both ways, and nothing of the published namespace goes out."""
    partner = a_partner(f"{remote.address}/old", edition=Edition.E2013_DRAFT, **changes)
    sent = await sender.send(partner, CREATE)
    assert result_of(sent) is Result.OK
    assert DRAFT_NAMESPACE.encode() in sent.sent
    assert b'"http://iec.ch/TC57/2011/schema/message"' not in sent.sent
    assert DRAFT_NAMESPACE.encode() in sent.received
    assert remote.messages == [CREATE]


async def test_the_draft_is_not_read_from_who_speaks_the_published_edition(peer: FakePeer, sender: HttpSender) -> None:
    """It is a switch of the partner, unless variants are read from everybody."""
    url = peer.tell("/x", Told(render_soap(REPLY, SoapVersion.V11, namespace=DRAFT_NAMESPACE)))
    sent = await sender.send(a_partner(url), CREATE)
    assert "NET-104" in sent.failure
    lenient = HttpSender(services={}, limits=Limits(), clock=lambda: NOON, lenient=True)
    assert (await lenient.send(a_partner(url), CREATE)).reply == REPLY
    await lenient.close()


async def test_a_draft_reply_in_a_text_is_read(peer: FakePeer, sender: HttpSender) -> None:
    """The oddest body of the field, in the oldest namespace."""
    inner = render_message(REPLY, namespace=DRAFT_NAMESPACE).decode().partition("\n")[2]
    text = inner.replace("&", "&amp;").replace("<", "&lt;")
    body = f'<e:Envelope xmlns:e="{SoapVersion.V11}"><e:Body><x:a xmlns:x="urn:x">{text}</x:a></e:Body></e:Envelope>'
    partner = a_partner(peer.tell("/x", Told(body.encode())), edition=Edition.E2013_DRAFT)
    assert (await sender.send(partner, CREATE)).reply == REPLY


# -------------------------------------------------------------------------------------------------------- compressed


@pytest.mark.parametrize("wire", [Wire.SOAP, Wire.SOAP_TYPED, Wire.REST])
async def test_large_content_goes_compressed(remote: SimulatedPartner, sender: HttpSender, wire: Wire) -> None:
    """The partner said from which size on; what it unpacks is what there was."""
    sent = await sender.send(a_partner(remote.address, wire=wire, compress_above_bytes=100), CREATE)
    assert result_of(sent) is Result.OK
    assert b"Compressed>" in sent.sent
    (message,) = remote.messages
    assert message.payload == msgspec.structs.replace(CREATE.payload, format=None)
    if wire is Wire.SOAP_TYPED:
        assert f'<TroubleTickets xmlns="{NOUNS[Noun.TROUBLE_TICKETS].namespace}"/>'.encode() in sent.sent


async def test_a_compressed_answer_is_unpacked(peer: FakePeer, sender: HttpSender) -> None:
    """Whoever asked need not know how it came."""
    answer = build_message(Noun.TROUBLE_TICKETS, Verb.REPLY, seed=1)
    assert isinstance(answer, ResponseMessage)
    assert answer.payload is not None
    raw = render_soap(compress_payload(answer, above_bytes=1), SoapVersion.V11)
    question = build_message(Noun.TROUBLE_TICKETS, Verb.GET, seed=1)
    assert isinstance(question, RequestMessage)
    sent = await sender.send(a_partner(peer.tell("/x", Told(raw))), question)
    assert sent.reply is not None
    assert sent.reply.payload == msgspec.structs.replace(answer.payload, format=None)


async def test_an_answer_that_unpacks_beyond_bounds_is_no_message(peer: FakePeer) -> None:
    """A kilobyte of zeros must not become a gigabyte of them."""
    answer = msgspec.structs.replace(
        REPLY, payload=compress_payload(CREATE, above_bytes=1).payload, header=REPLY.header
    )
    sender = HttpSender(services={}, limits=Limits(max_unpacked_bytes=100), clock=lambda: NOON)
    sent = await sender.send(a_partner(peer.tell("/x", Told(render_soap(answer, SoapVersion.V11)))), CREATE)
    assert "XML-107" in sent.failure
    assert sent.code == "NET-104"
    await sender.close()


# ---------------------------------------------------------------------------------------------------------- webhooks


async def test_a_webhook_is_signed(remote: SimulatedPartner, sender: HttpSender, tmp_path: Path) -> None:
    """The receiver can tell who sent it, and when, and whether it had it before."""
    file = tmp_path / "secret"
    file.write_text(SECRET)
    partner = a_partner(f"{remote.address}/hook", wire=Wire.WEBHOOK, as_json=True, secret_file=str(file))
    sent = await sender.send(partner, CREATED)
    assert judge_attempt(sent, awaits_reply=False).next is Next.DELIVERED
    assert sent.transport is Transport.REST_JSON
    assert verify_webhook(remote.headers[0], remote.bodies[0], secrets=SECRET, now=NOON) == CREATED.header.message_id


async def test_the_key_may_change_under_way(remote: SimulatedPartner, sender: HttpSender, tmp_path: Path) -> None:
    """No restart, and no delivery lost, while a file is missing, half written, or new."""
    file = tmp_path / "secret"
    partner = a_partner(remote.address, wire=Wire.WEBHOOK, secret_file=str(file))
    sent = await sender.send(partner, CREATED)
    assert f"secret_file {file} cannot be used (No such file or directory)" in sent.failure
    assert (sent.code, sent.is_reached, sent.sent) == ("NET-114", False, b"")
    assert judge_attempt(sent, awaits_reply=False).next is Next.RETRY
    file.write_text("half")
    assert "line 1 is no key" in (await sender.send(partner, CREATED)).failure
    for number, text in enumerate((SECRET, SECRET, f"whsec_{'A' * 64}\n{SECRET}")):
        file.write_text(text)
        os.utime(file, ns=(number, number))
        assert not (await sender.send(partner, CREATED)).failure
    assert [headers["webhook-signature"].count("v1,") for headers in remote.headers] == [1, 1, 2]


@pytest.mark.parametrize(
    ("told", "is_delivered"),
    [
        (Told(b"", 204, ""), True),
        (Told(b"thanks", 200, "text/plain"), True),
        (Told(b'{"ok":true}', 201, "application/json"), True),
        (Told(render_message(CREATE), 200, "application/xml"), True),
        (Told(render_message(FAULT), 200, "application/xml"), False),
        (Told(b"no", 410, "text/plain"), False),
        (Told(b"no", 500, "text/plain"), False),
    ],
)
async def test_a_webhook_is_delivered_by_its_status(
    peer: FakePeer, sender: HttpSender, told: Told, is_delivered: bool
) -> None:
    """Receivers answer whatever comes to their mind; a 2xx is enough."""
    sent = await sender.send(a_partner(peer.tell("/x", told), wire=Wire.WEBHOOK), CREATED)
    assert (sent.failure == "") is is_delivered
    assert sent.reply is None
    assert "webhook-signature" not in peer.asked[0].headers


async def test_a_reply_to_a_webhook_counts(peer: FakePeer, sender: HttpSender) -> None:
    """Who speaks the standard is heard."""
    refusal = msgspec.structs.replace(REPLY, reply=FAULT.reply, header=msgspec.structs.replace(REPLY.header))
    refusal = msgspec.structs.replace(
        refusal, header=msgspec.structs.replace(refusal.header, correlation_id=CREATED.header.message_id)
    )
    url = peer.tell("/x", Told(render_json(refusal), 200, "application/json"))
    sent = await sender.send(a_partner(url, wire=Wire.WEBHOOK), CREATED)
    assert judge_attempt(sent, awaits_reply=False).next is Next.BURY


# ----------------------------------------------------------------------------------------------- answers and silence


@pytest.mark.parametrize(
    ("behaviour", "next_step", "code"),
    [
        ("refuse:2.15", Next.BURY, ""),
        ("busy", Next.RETRY, ""),
        ("fault", Next.RETRY, "NET-113"),
        ("fault:client", Next.BURY, "NET-113"),
        ("garbage", Next.RETRY, "NET-104"),
        ("die", Next.RETRY, "NET-110"),
    ],
)
@pytest.mark.parametrize("changes", [{}, {"soap_12": True}, {"wire": Wire.SOAP_TYPED}, {"wire": Wire.REST}])
async def test_what_a_partner_does_decides_what_follows(
    remote: SimulatedPartner, sender: HttpSender, changes: dict[str, object], behaviour: str, next_step: Next, code: str
) -> None:
    """Refused for good, refused for now, at fault, or gone in the middle of a word."""
    remote.behave(behaviour)
    sent = await sender.send(a_partner(f"{remote.address}/x", **changes), CREATE)
    assert judge_attempt(sent, awaits_reply=False).next is next_step
    assert sent.code == code
    assert sent.is_reached is (behaviour != "die")
    assert sent.sent == remote.bodies[0]


async def test_a_fault_comes_with_what_it_says(remote: SimulatedPartner, sender: HttpSender) -> None:
    """Code, reason and the codes of the FaultMessage, for whoever looks at the dead letter."""
    remote.behave("fault:client")
    sent = await sender.send(a_partner(f"{remote.address}/x"), CREATE)
    assert sent.failure == f"{remote.address}/x: NET-113 fault soap:Client at fault: 1.8; a ResponseMessage; " + (
        "IEC 61968-100:2013, Reply"
    )
    assert sent.fault is not None
    assert sent.fault.reply.error[0].code == "1.8"
    assert sent.blames_us


@pytest.mark.parametrize(
    ("code", "blames_us"),
    [
        ("soap:Client", True),
        ("Sender", True),
        ("soap:Client.Authentication", True),
        ("soap:MustUnderstand", True),
        ("soap:VersionMismatch", True),
        ("soap:Server", False),
        ("wsse:FailedAuthentication", False),
        ("", False),
    ],
)
async def test_a_fault_tells_whose_it_is(peer: FakePeer, sender: HttpSender, code: str, blames_us: bool) -> None:
    """Ours is not sent again, theirs is."""
    raw = render_soap_fault(None, SoapVersion.V11, reason="tired\n of it").replace(b"soap:Client", code.encode())
    sent = await sender.send(a_partner(peer.tell("/x", Told(raw, 500))), CREATE)
    assert sent.blames_us is blames_us
    assert "tired of it" in sent.failure
    assert sent.fault is None
    assert sent.is_reached


def with_reply(**changes: object) -> ResponseMessage:
    return msgspec.structs.replace(REPLY, **changes)


def rest(message: ResponseMessage | FaultMessage | RequestMessage, status: int = 200) -> Told:
    return Told(render_message(message), status, "application/xml")


OTHERS = with_reply(header=msgspec.structs.replace(REPLY.header, correlation_id=CorrelationID("other\x85one")))
UNLINKED = with_reply(header=msgspec.structs.replace(REPLY.header, correlation_id=None))


@pytest.mark.parametrize(
    ("told", "code", "said", "is_reached", "blames_us"),
    [
        (Told(b"<html/>", 200, "text/html"), "NET-104", r"HTTP status 200, text/html, 7 bytes.*ENV-101", True, False),
        (Told(b"no", 200, ""), "NET-104", "status 200, no media type, 2 bytes", True, False),
        (Told(b"[1]", 200, "application/json"), "NET-104", "COD-105", True, False),
        (Told(b"{", 200, "text/plain"), "NET-104", "COD-105", True, False),
        (Told(b"<!DOCTYPE a><a/>", 200, "text/xml"), "NET-104", "XML-102", True, False),
        (rest(CREATE), "NET-104", "a RequestMessage in the answer", True, False),
        (rest(OTHERS), "NET-104", "CorrelationID other one", True, False),
        (rest(FAULT, 400), "NET-113", "fault HTTP status 400: 1.8 no such element", True, True),
        (rest(FAULT, 429), "NET-113", "fault HTTP status 429", True, False),
        (rest(FAULT, 503), "NET-113", "fault HTTP status 503", False, False),
        (rest(REPLY, 500), "NET-111", "HTTP status 500 beside the result OK", True, False),
        (Told(b"", 400), "NET-111", "HTTP status 400, without a body", True, True),
        (Told(b"no", 422, "text/plain"), "NET-111", "HTTP status 422, text/plain, 2 bytes", True, True),
        (Told(b"no", 404, "text/plain"), "NET-111", "HTTP status 404", True, False),
        (Told(b"", 500), "NET-111", "HTTP status 500, without a body", True, False),
        (Told(b"", 502), "NET-111", "HTTP status 502", False, False),
        (Told(b"<html/>", 503, "text/html"), "NET-111", "HTTP status 503", False, False),
        (Told(b"", 504), "NET-111", "HTTP status 504", False, False),
        (Told(b"x", 200, headers={"Content-Encoding": "br"}), "NET-104", "Content-Encoding", True, False),
        (Told(b"x" * 100_001, 200), "NET-112", "100001 bytes or more", True, False),
        (Told(b"x" * 9, 200, breaks_off=True), "NET-110", "after 9 bytes of the answer", False, False),
    ],
)  # fmt: skip
async def test_what_is_no_reply_is_named(
    peer: FakePeer, sender: HttpSender, told: Told, code: str, said: str, is_reached: bool, blames_us: bool
) -> None:
    """Whoever finds a delivery stuck has to see from one line what the partner did."""
    url = peer.tell("/x", told)
    sent = await sender.send(a_partner(url, wire=Wire.REST), CREATE)
    assert sent.failure.startswith(f"{url}: {code} ")
    assert re.search(said, sent.failure), sent.failure
    assert (sent.code, sent.is_reached, sent.blames_us) == (code, is_reached, blames_us)
    assert sent.status == told.status
    assert sent.received == told.body[:65536]
    assert sent.reply is None


@pytest.mark.parametrize(
    "told",
    [
        Told(b"", 200),
        Told(b" \n", 202),
        Told(b"", 204, ""),
        rest(UNLINKED),
        rest(with_reply(reply=FAULT.reply), 500),
        Told(render_json(REPLY), 200, "text/plain"),
        Told(b"\xef\xbb\xbf" + render_message(REPLY), 200, ""),
    ],
    ids=["empty", "blank", "no content", "unlinked", "refusal with 500", "JSON without a word", "mark"],
)
async def test_what_can_be_understood_is_an_answer(peer: FakePeer, sender: HttpSender, told: Told) -> None:
    """Partners forget media types, links and statuses; the message counts."""
    sent = await sender.send(a_partner(peer.tell("/x", told), wire=Wire.REST), CREATE)
    assert sent.failure == ""
    assert (sent.reply is None) is (not told.body.strip())


async def test_an_answer_too_large_is_given_up_although_it_goes_on(sender: HttpSender) -> None:
    """Nobody can fill our memory by never coming to an end; what was read shows what it was."""
    gone = asyncio.Event()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
                await writer.drain()
        except ConnectionError:
            gone.set()

    async with a_server(endless) as address:
        sent = await sender.send(a_partner(address), CREATE)
        await gone.wait()
    assert sent.code == "NET-112"
    assert sent.received == b"x" * 65536


async def test_a_redirect_is_not_followed(peer: FakePeer, sender: HttpSender) -> None:
    """Whoever can answer could lead our messages to anybody."""
    peer.tell("/there", rest(REPLY))
    moved = Told(b"", 307, headers={"Location": f"{peer.address}/there?token=s3cret"})
    sent = await sender.send(a_partner(peer.tell("/x", moved), wire=Wire.REST), CREATE)
    assert f"HTTP status 307, which leads to {peer.address}/there; the final address" in sent.failure
    assert "s3cret" not in sent.failure
    assert [asked.path for asked in peer.asked] == ["/x"]
    lost = await sender.send(a_partner(peer.tell("/y", Told(b"", 302)), wire=Wire.REST), CREATE)
    assert "HTTP status 302, which leads nowhere" in lost.failure


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("Sat, 01 Jun 2030 12:01:30 GMT", 90.0),
        ("Sat, 01 Jun 2030 12:01:30 -0000", 90.0),
        ("Sat, 01 Jun 2030 11:00:00 GMT", 0.0),
        ("soon", 0.0),
        ("-5", 0.0),
        ("1" * 400, 0.0),
        ("", 0.0),
    ],
)
async def test_retry_after_is_told(peer: FakePeer, sender: HttpSender, header: str, seconds: float) -> None:
    """A busy partner says when it wants to be asked again, in seconds or as an instant."""
    url = peer.tell("/x", Told(b"", 503, headers={"Retry-After": header} if header else {}))
    assert (await sender.send(a_partner(url), CREATE)).retry_after_seconds == seconds


async def test_words_of_a_partner_are_cut_short(peer: FakePeer, sender: HttpSender) -> None:
    """A reason of ten megabytes is no reason."""
    raw = render_soap_fault(None, SoapVersion.V11, reason="x" * 5000, server=True)
    sent = await sender.send(a_partner(peer.tell("/x", Told(raw, 500))), CREATE)
    assert len(sent.failure) < 1000
    assert "xxx..." in sent.failure


async def test_the_text_of_an_answer_is_not_repeated(peer: FakePeer, sender: HttpSender) -> None:
    """What a partner sends may be about customers, and failures go into logs."""
    for raw in (b"Mrs Miller, 5 Elm St", b"<a>Mrs Miller</a>", b'{"message": "Miller"}', b"HTTP"):
        sent = await sender.send(a_partner(peer.tell("/x", Told(raw, 200))), CREATE)
        assert sent.failure
        assert "Miller" not in sent.failure
        assert sent.received == raw


# ---------------------------------------------------------------------------------------------------------- silence


async def test_nobody_listens(sender: HttpSender) -> None:
    """A server that is down."""
    with fake_peer() as gone:
        url = f"{gone.address}/x"
    sent = await sender.send(a_partner(url), CREATE)
    assert f"{url}: NET-107 could not connect (Connection refused)" in sent.failure
    assert (sent.is_reached, sent.status) == (False, 0)
    assert parse_xml(sent.sent) is not None


async def test_a_name_that_nobody_knows(sender: HttpSender) -> None:
    """A misspelt host."""
    sent = await sender.send(a_partner("http://nobody.invalid/x"), CREATE)
    assert sent.code == "NET-107"
    assert "nobody.invalid" in sent.failure


@pytest.mark.parametrize(
    "url", ["", "oms", "ftp://127.0.0.1/x", "http://", "http://[::1", "http://127.0.0.1:99999/", f"http://{'a' * 70}/"]
)
async def test_an_address_that_cannot_be_used(sender: HttpSender, url: str) -> None:
    """Found when it is used, if it was not before; and nothing is raised."""
    for sent in (await sender.send(a_partner(url), CREATE), await sender.send(a_partner(""), CREATE, address=url)):
        assert sent.code == "NET-114", sent.failure
        assert not sent.is_reached


async def test_secrets_of_an_address_are_not_shown(sender: HttpSender) -> None:
    """Failures are read by many."""
    sent = await sender.send(a_partner("http://user:s3cret@127.0.0.1:1/x?key=s3cret"), CREATE)
    assert sent.failure.startswith("http://127.0.0.1:1/x: NET-107")
    assert "s3cret" not in sent.failure


async def test_a_partner_that_hangs_is_given_up(
    hanging: SimulatedPartner, sender: HttpSender, hasten: Callable[[], None]
) -> None:
    """At the deadline, and no later."""
    task = asyncio.create_task(sender.send(a_partner(f"{hanging.address}/x"), CREATE))
    await hanging.received(1)
    hasten()
    sent = await task
    assert f"{hanging.address}/x: NET-109 no answer within 30 s" in sent.failure
    assert (sent.is_reached, sent.status) == (False, 0)


async def test_a_partner_that_takes_no_connection_is_given_up(sender: HttpSender, hasten: Callable[[], None]) -> None:
    """A firewall that says nothing; the deadline holds for connecting too."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:  # until the queue of the socket is full
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        task = asyncio.create_task(sender.send(a_partner(f"http://127.0.0.1:{full.getsockname()[1]}"), CREATE))
        await some_rounds()
        hasten()
        sent = await task
        for each in waiting:
            each.close()
    assert "NET-107 not connected within 30 s" in sent.failure
    assert not sent.is_reached


async def test_an_answer_that_does_not_come_to_its_end(sender: HttpSender, hasten: Callable[[], None]) -> None:
    """The deadline holds for the whole answer."""
    begun = asyncio.Event()

    async def halting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()
        begun.set()
        await reader.read()
        writer.close()

    async with a_server(halting) as address:
        task = asyncio.create_task(sender.send(a_partner(address), CREATE))
        await begun.wait()
        await some_rounds()
        hasten()
        sent = await task
    assert "NET-109 4 bytes of an answer that was not complete within 30 s" in sent.failure
    assert (sent.status, sent.received, sent.is_reached) == (200, b"half", False)


@pytest.mark.parametrize(
    ("raw", "code"),
    [(b"", "NET-110"), (b"SSH-2.0-OpenSSH_9.2\r\n", "NET-104"), (b"HTTP/1.1 200 OK\r\nContent-", "NET-110")],
)
async def test_a_server_of_another_kind(sender: HttpSender, raw: bytes, code: str) -> None:
    """The port is open, and somebody else is behind it."""

    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        await writer.drain()
        writer.close()

    async with a_server(other) as address:
        sent = await sender.send(a_partner(address), CREATE)
    assert sent.code == code
    assert "SSH" not in sent.failure


async def test_cancellation_goes_through(remote: SimulatedPartner, sender: HttpSender) -> None:
    """A hub that is stopped does not wait for a partner that hangs."""
    remote.behave("hang")
    task = asyncio.create_task(sender.send(a_partner(remote.address), CREATE))
    await remote.received(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_message_that_xml_cannot_carry_is_not_sent(remote: SimulatedPartner, sender: HttpSender) -> None:
    """However often it were tried; the partner is not to blame."""
    broken = msgspec.structs.replace(CREATED, header=msgspec.structs.replace(CREATED.header, comment="\0"))
    sent = await sender.send(a_partner(remote.address), broken)
    assert "XML-109" in sent.failure
    assert judge_attempt(sent, awaits_reply=False).next is Next.BURY
    assert remote.messages == []


# ------------------------------------------------------------------------------------------------------- connections


async def test_connections_are_used_again(remote: SimulatedPartner, sender: HttpSender) -> None:
    """A handshake for each event would cost more than the event."""
    for _ in range(5):
        assert result_of(await sender.send(a_partner(remote.address), CREATE)) is Result.OK
    assert remote.connections == 1


@pytest.mark.parametrize("at_once", [True, False])
async def test_who_answers_twice_does_not_answer_the_next_message(sender: HttpSender, at_once: bool) -> None:
    """Else the message behind it would count as delivered although it was refused."""
    connections = 0
    again = asyncio.Event()
    done = asyncio.Event()
    answers = [with_reply(header=UNLINKED.header), with_reply(header=UNLINKED.header, reply=FAULT.reply)]

    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        body = render_message(answers.pop(0))
        raw = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        await reader.readuntil(b"</RequestMessage>")
        writer.write(raw)
        if not at_once:
            await again.wait()
        writer.write(raw)
        done.set()
        await reader.read()
        writer.close()

    async with a_server(twice) as address:
        partner = a_partner(address, wire=Wire.REST)
        assert result_of(await sender.send(partner, CREATE)) is Result.OK
        again.set()
        await done.wait()
        await some_rounds()  # what stands in the socket is read, while nobody has asked for it
        assert result_of(await sender.send(partner, CREATE)) is Result.FAILED
    assert connections == 2


async def test_a_hanging_partner_holds_its_own_places_only(
    remote: SimulatedPartner, hanging: SimulatedPartner, sender: HttpSender, hasten: Callable[[], None]
) -> None:
    """One bad partner must not cost the others anything; of itself it can hold as many places as agreed."""
    bad = a_partner(hanging.address, parallel=2)
    tasks = [asyncio.create_task(sender.send(bad, CREATE)) for _ in range(5)]
    await hanging.received(2)
    for number in range(10):
        good = a_partner(remote.address, name=f"GOOD-{number}", parallel=1)
        assert result_of(await sender.send(good, CREATE)) is Result.OK
    assert hanging.most_connections == 2
    hasten()
    failures = [sent.failure.partition("NET-109 ")[2][:30] for sent in await asyncio.gather(*tasks)]
    assert Counter(failures) == {"no answer within 30 s; an answ": 2, "no place within 30 s, for all ": 3}


async def test_reply_addresses_do_not_share_places(
    remote: SimulatedPartner, hanging: SimulatedPartner, sender: HttpSender
) -> None:
    """Replies to strangers all go under one name; a stranger that hangs must not hold up the others."""
    strangers = a_partner("", name="reply", parallel=1)
    task = asyncio.create_task(sender.send(strangers, REPLY, address=hanging.address))
    await hanging.received(1)
    assert result_of(await sender.send(strangers, REPLY, address=remote.address)) is Result.OK
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_places_are_forgotten_when_nobody_needs_them() -> None:
    """Addresses of replies are without number."""
    places = Places()
    async with places.take("a", 1), places.take("b", 1):
        pass
    assert places._taken == {}


async def test_after_the_end_nothing_is_sent(remote: SimulatedPartner, sender: HttpSender) -> None:
    """A courier that is late finds the door closed, and its delivery waits for the next start."""
    assert result_of(await sender.send(a_partner(remote.address), CREATE)) is Result.OK
    await sender.close()
    sent = await sender.send(a_partner(remote.address), CREATE)
    assert "the hub is being stopped" in sent.failure
    assert not sent.is_reached
    assert len(remote.messages) == 1


async def test_closing_ends_what_is_under_way(remote: SimulatedPartner, sender: HttpSender) -> None:
    """It fails like a connection that broke."""
    remote.behave("hang")
    task = asyncio.create_task(sender.send(a_partner(remote.address), CREATE))
    await remote.received(1)
    await sender.close()
    assert (await task).code == "NET-110"


# --------------------------------------------------------------------------------------------------------------- TLS


def tls_context(certificate: str, *, wants_client: bool, version: ssl.TLSVersion) -> ssl.SSLContext:
    """What a server of tests shows and asks for."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.maximum_version = version
    context.load_cert_chain(TLS / certificate)
    if wants_client:
        context.load_verify_locations(TLS / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@asynccontextmanager
async def a_tls_partner(
    certificate: str, *, wants_client: bool = False, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> AsyncIterator[SimulatedPartner]:
    partner = SimulatedPartner()
    await partner.start(tls=tls_context(certificate, wants_client=wants_client, version=version))
    yield partner
    await partner.stop()


TRUSTING = Tls(ca_file=str(TLS / "ca.pem"))
KNOWN = Tls(ca_file=str(TLS / "ca.pem"), certificate_file=str(TLS / "client.pem"))


async def test_a_certificate_that_is_trusted(sender: HttpSender) -> None:
    """By the authority that the partner's settings name."""
    async with a_tls_partner("server.pem") as partner:
        assert result_of(await sender.send(a_partner(partner.address, tls=TRUSTING), CREATE)) is Result.OK


@pytest.mark.parametrize(
    ("certificate", "tls", "said"),
    [
        ("expired.pem", TRUSTING, "certificate has expired"),
        ("elsewhere.pem", TRUSTING, "IP address mismatch, certificate is not valid for '127.0.0.1'"),
        ("server.pem", Tls(), "unable to get local issuer certificate"),
    ],
    ids=["expired", "other name", "unknown authority"],
)
async def test_a_certificate_that_is_not_trusted_is_named(
    sender: HttpSender, certificate: str, tls: Tls, said: str
) -> None:
    """Nothing is sent, and the reason is one that somebody can act on."""
    async with a_tls_partner(certificate) as partner:
        sent = await sender.send(a_partner(partner.address, tls=tls), CREATE)
        assert partner.messages == []
    assert f"NET-108 TLS refused ({said}" in sent.failure
    assert (sent.code, sent.is_reached) == ("NET-108", False)


async def test_a_partner_that_wants_to_know_us(sender: HttpSender) -> None:
    """Our certificate is shown to who asks for it."""
    async with a_tls_partner("server.pem", wants_client=True) as partner:
        assert result_of(await sender.send(a_partner(partner.address, tls=KNOWN), CREATE)) is Result.OK


@pytest.mark.parametrize(
    ("version", "said"),
    [
        (ssl.TLSVersion.TLSv1_2, r"NET-108 TLS refused \((TLSV1|SSLV3)_ALERT_HANDSHAKE_FAILURE"),
        # From 1.3 on we are told after the handshake, and often learn no more than that the connection is gone.
        (ssl.TLSVersion.TLSv1_3, r"NET-108 TLS refused|NET-110 .*a certificate of ours if the partner asks for one"),
    ],
)
async def test_a_partner_that_does_not_know_us(sender: HttpSender, version: ssl.TLSVersion, said: str) -> None:
    """What is missing on our side is said where it can be known, and hinted at elsewhere."""
    context = tls_context("server.pem", wants_client=True, version=version)

    def refuse(listening: socket.socket) -> None:  # blocking, as only then the reason is sent before the end
        connection, _ = listening.accept()
        with connection, contextlib.suppress(OSError):
            context.wrap_socket(connection, server_side=True)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        refusing = asyncio.create_task(asyncio.to_thread(refuse, listening))
        address = f"https://127.0.0.1:{listening.getsockname()[1]}"
        sent = await sender.send(a_partner(address, tls=TRUSTING), CREATE)
        await refusing
    assert re.search(said, sent.failure), sent.failure
    assert not sent.is_reached


async def test_a_handshake_that_breaks_off(sender: HttpSender) -> None:
    """Some servers refuse without a word."""
    async with a_tls_partner("server.pem", wants_client=True, version=ssl.TLSVersion.TLSv1_2) as partner:
        sent = await sender.send(a_partner(partner.address, tls=TRUSTING), CREATE)
    assert "NET-110 connection broke off while it was made" in sent.failure
    assert not sent.is_reached


async def test_https_to_a_server_without_it(peer: FakePeer, sender: HttpSender) -> None:
    """The scheme is wrong, not the network."""
    sent = await sender.send(a_partner(peer.address.replace("http:", "https:")), CREATE)
    assert "NET-108 TLS refused (" in sent.failure
    assert not sent.is_reached


@pytest.mark.parametrize(
    ("tls", "said"),
    [
        (Tls(ca_file="gone.pem"), "gone.pem: No such file or directory"),
        (Tls(certificate_file=str(TLS / "locked.pem")), "locked.pem: the key has a password; give one without"),
        (Tls(certificate_file=str(TLS / "ca.pem")), "ca.pem: "),
        (Tls(ca_file=__file__), "test_partners.py: "),
    ],
    ids=["missing", "password", "no key", "no certificate"],
)
async def test_files_that_cannot_be_used_are_named(
    remote: SimulatedPartner, sender: HttpSender, tls: Tls, said: str
) -> None:
    """And nobody is asked for a password on a terminal that is not there."""
    sent = await sender.send(a_partner(remote.address, tls=tls), CREATE)
    assert said in sent.failure
    assert (sent.code, sent.is_reached) == ("NET-114", False)
    assert judge_attempt(sent, awaits_reply=False).next is Next.RETRY


async def test_a_renewed_certificate_is_taken_without_a_restart(sender: HttpSender, tmp_path: Path) -> None:
    """What is under way ends over the connection that it has; what comes after shows the new one."""
    ours = tmp_path / "ca.pem"
    shutil.copy(TLS / "elsewhere.pem", ours)  # trusts somebody else
    tls = Tls(ca_file=str(ours))
    async with a_tls_partner("server.pem") as partner:
        target = a_partner(partner.address, tls=tls)
        assert (await sender.send(target, CREATE)).code == "NET-108"
        shutil.copy(TLS / "ca.pem", ours)
        os.utime(ours, ns=(1, 1))
        partner.behave("hang")
        task = asyncio.create_task(sender.send(target, CREATE))
        await partner.received(1)
        os.utime(ours, ns=(2, 2))
        partner.behave("accept")
        assert result_of(await sender.send(target, CREATE)) is Result.OK
        assert not task.done()
        assert partner.open_connections == 2
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert len(sender._pools._pools) == 1
