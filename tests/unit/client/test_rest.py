"""Plain messages over HTTP, and the peer by its base address."""

import socket

import aiohttp
import pytest

from cimcare.client import FaultReceivedError, NoAnswerError, Peer, RestClient, send_document
from cimcare.codec.envelope import render_message
from cimcare.codec.json_body import render_json
from cimcare.codec.soap import SoapVersion, render_soap
from cimcare.model.envelope import FaultMessage, Reply, ReplyError, Result
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from cimcare.schema.documents import render_wsdl
from tests.support.fake_peer import FakePeer, Told, fake_peer

CREATE = build_message(Noun.WORK_REQUESTS, Verb.CREATE)
REPLY = build_message(Noun.WORK_REQUESTS, Verb.REPLY)
FAULT = FaultMessage(reply=Reply(result=Result.FAILED, error=(ReplyError(code="3.1", details="too large"),)))
JSON = "application/json; charset=utf-8"


@pytest.mark.parametrize("as_json", [False, True], ids=["xml", "json"])
async def test_sends_and_reads(peer: FakePeer, session: aiohttp.ClientSession, as_json: bool) -> None:
    """The same message in both forms; the answer may come in either."""
    client = RestClient(session, peer.address + "/messages")
    for told in (Told(render_message(REPLY), 200, "application/xml"), Told(render_json(REPLY), 200, JSON)):
        peer.tell("/messages", told)
        answer = await client.send(CREATE, as_json=as_json)
        assert answer.message == REPLY
        assert answer.raw == told.body
    assert {asked.body for asked in peer.asked} == {render_json(CREATE) if as_json else render_message(CREATE)}
    assert {asked.headers["content-type"] for asked in peer.asked} == {
        "application/json" if as_json else "application/xml"
    }


@pytest.mark.parametrize(
    "told", [Told(render_message(FAULT), 413, "application/xml"), Told(render_json(FAULT), 400, JSON)]
)
async def test_fault_message_is_raised(peer: FakePeer, session: aiohttp.ClientSession, told: Told) -> None:
    """With its content, in either form."""
    client = RestClient(session, peer.tell("/messages", told))
    with pytest.raises(FaultReceivedError, match=rf"HTTP status {told.status}: 3.1 too large") as caught:
        await client.send(CREATE)
    assert caught.value.fault == FAULT


@pytest.mark.parametrize(
    "told",
    [
        Told(b"<html>no</html>", 502, "text/html"),
        Told(b"", 503),
        Told(b'{"error": "nope"}', 400, "application/problem+json"),
        Told(b"{", 200, "application/json"),
        Told(b"\xff\xfe", 200, "application/json"),
        Told(b"[" * 5000, 200, "application/json"),
        Told(render_json(CREATE), 200, "application/json"),
        Told(b"", 200, "application/json", breaks_off=True),
    ],
)
async def test_what_is_no_answer_is_said_to_be_none(peer: FakePeer, session: aiohttp.ClientSession, told: Told) -> None:
    """Whatever comes back, the caller gets one of two exceptions, and the address in it."""
    url = peer.tell("/messages", told)
    with pytest.raises(NoAnswerError) as caught:
        await RestClient(session, url).send(CREATE, as_json=True)
    assert str(caught.value).startswith(url)


@pytest.mark.parametrize("content_type", ["", "application/json", "application/xml"])
async def test_empty_202_is_an_acknowledgement(
    peer: FakePeer, session: aiohttp.ClientSession, content_type: str
) -> None:
    """Whatever media type the server puts on nothing."""
    client = RestClient(session, peer.tell("/messages", Told(status=202, content_type=content_type)))
    answer = await client.send(CREATE, as_json=True)
    assert (answer.status, answer.message) == (202, None)


async def test_raw_bytes_go_out_untouched(peer: FakePeer) -> None:
    """For those who test a peer with what it should refuse."""
    url = peer.tell("/x", Told(render_soap(REPLY, SoapVersion.V12)))
    answer = await send_document(url, b"\x00broken", "text/xml", action="urn:act")
    assert answer.message == REPLY
    assert peer.asked[-1].body == b"\x00broken"
    assert peer.asked[-1].headers["soapaction"] == '"urn:act"'


async def test_nobody_listens(session: aiohttp.ClientSession) -> None:
    """A server that is down."""
    with fake_peer() as gone:
        url = gone.address + "/messages"
    with pytest.raises(NoAnswerError, match=r"could not connect: .*cimcare serve"):
        await RestClient(session, url).send(CREATE)
    with pytest.raises(NoAnswerError, match="could not connect"):
        async with Peer(gone.address) as peer:
            await peer.read("/healthz")


async def test_a_peer_that_never_answers_is_given_up() -> None:
    """A call waits as long as it was told to, and not for ever."""
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        async with Peer(f"http://127.0.0.1:{mute.getsockname()[1]}", timeout_seconds=0.05) as peer:
            with pytest.raises(NoAnswerError, match="no answer in time"):
                await peer.send(CREATE)
            with pytest.raises(NoAnswerError, match="no answer in time"):
                await peer.soap()


async def test_peer_knows_its_services_by_their_wsdl(peer: FakePeer) -> None:
    """Below the base address, with or without a slash at its end; each WSDL is fetched once."""
    for service, path in (("Service", "/soap"), ("GetWorkRequests", "/soap/GetWorkRequests")):
        peer.tell(f"{path}?wsdl", Told(render_wsdl(service, peer.address + path)), method="GET")
    async with Peer(peer.address + "/") as known:
        generic = await known.soap()
        assert await known.soap() is generic
        assert (await known.soap(version=SoapVersion.V12)).port.version is SoapVersion.V12
        assert (await known.soap("GetWorkRequests")).port.address == f"{peer.address}/soap/GetWorkRequests"
    assert [asked.path for asked in peer.asked] == ["/soap?wsdl", "/soap?wsdl", "/soap/GetWorkRequests?wsdl"]


async def test_peer_reads_and_sends(peer: FakePeer) -> None:
    """The read interface and plain messages stand below the same base."""
    peer.tell("/api/v1/messages?verb=create", Told(b"[]", 200, "application/json"), method="GET")
    peer.tell("/messages", Told(render_json(REPLY), 200, "application/json"))
    async with Peer(peer.address) as known:
        assert await known.read("/api/v1/messages", verb="create") == b"[]"
        assert (await known.send(CREATE, as_json=True)).message == REPLY
        with pytest.raises(NoAnswerError, match="HTTP status 404: nothing here"):
            await known.read("/nothing")


async def test_peer_is_used_inside_its_context() -> None:
    """A session that nobody closes would leak."""
    with pytest.raises(RuntimeError, match="async with"):
        await Peer("http://127.0.0.1:1").send(CREATE)
