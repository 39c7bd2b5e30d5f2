"""send: to a hub, and to peers that misbehave."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cimcare.codec.envelope import render_message
from cimcare.hub.serving.lifespan import running_hub
from cimcare.model.envelope import FaultMessage, Reply, ReplyError, Result
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from tests.support.channels import CHANNELS
from tests.support.fake_peer import FakePeer, Told, fake_peer
from tests.support.hub import hub_settings
from tests.unit.cli.conftest import Run

CREATE = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE)
CANCEL = build_message(Noun.TROUBLE_TICKETS, Verb.CANCEL, seed=9)
FORMS = {"xml": "rest-xml", "json": "rest-json", "soap11": "soap11", "soap12": "soap12"}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a hub on a thread of its own, for the command brings its own event loop."""
    address: list[str] = []
    ready, over = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with running_hub(hub_settings(tmp_path_factory.mktemp("hub"))) as running:
            address.append(running.address)
            ready.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(30)
        yield address[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(30)
        loop.close()


@pytest.fixture
def peer() -> Iterator[FakePeer]:
    with fake_peer() as peer:
        yield peer


def test_the_address_of_a_hub_is_enough(run: Run, hub: str) -> None:
    """As for all commands that ask a hub; nobody should have to know its paths by heart."""
    result = run("send", "--to", hub, stdin=render_message(build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=3)))
    assert result.exit_code == 0, result.stderr
    assert "<Result>OK" in result.stdout


def test_a_server_that_is_not_there_is_said_in_plain_words(run: Run) -> None:
    """The words of a library about its sockets help nobody."""
    result = run("send", "--to", "http://127.0.0.1:9", stdin=render_message(CREATE))
    assert result.exit_code == 1
    assert "http://127.0.0.1:9/messages: could not connect: Connection refused" in result.stderr
    assert "ssl" not in result.stderr


@pytest.mark.parametrize("form", FORMS)
def test_ok_is_code_0_and_the_reply_on_stdout(run: Run, hub: str, form: str) -> None:
    """Sent as it is, in whichever form; the answer comes in the same."""
    channel = CHANNELS[FORMS[form]]
    result = run("send", "--to", hub + channel.path(CREATE), stdin=channel.render(CREATE))
    assert (result.exit_code, result.stderr) == (0, "")
    assert channel.parse(result.stdout_bytes).reply.result is Result.OK


@pytest.mark.parametrize("form", FORMS)
def test_failed_is_code_1_with_the_errors_on_stderr(run: Run, hub: str, form: str) -> None:
    """The reply is still printed whole; the reasons stand where people look."""
    channel = CHANNELS[FORMS[form]]
    result = run("send", "--to", hub + channel.path(CANCEL), stdin=channel.render(CANCEL))
    assert result.exit_code == 1
    assert channel.parse(result.stdout_bytes).reply.result is Result.FAILED
    assert result.stderr.startswith("2.15 ")
    assert "REF-103" in result.stderr


@pytest.mark.parametrize("path", ["/soap", "/messages"])
def test_fault_is_code_1_with_the_fault_on_stdout(run: Run, hub: str, path: str) -> None:
    """Unreadable input is answered by a fault; what the hub said of it is shown."""
    raw = render_message(CREATE).replace(b"<Verb>create</Verb>", b"")
    result = run("send", "--to", hub + path, *(["--as", "xml"] if path == "/messages" else []), stdin=raw)
    assert result.exit_code == 1
    if b"ENV-103" in result.stdout_bytes:
        assert b"FaultMessage" in result.stdout_bytes
        assert "fault: " in result.stderr
    else:  # the document could not even be brought into another form
        assert "Verb" in result.stderr


@pytest.mark.parametrize("form", FORMS)
def test_a_form_can_be_chosen(run: Run, hub: str, form: str) -> None:
    """One file of samples serves all ways in."""
    channel = CHANNELS[FORMS[form]]
    result = run("send", "--to", hub + channel.path(CREATE), "--as", form, stdin=render_message(CREATE))
    assert result.exit_code == 0
    assert channel.parse(result.stdout_bytes).reply.result is Result.OK


def test_plain_message_to_a_soap_address_becomes_soap(run: Run, peer: FakePeer) -> None:
    """`cimcare sample N | cimcare send --to .../soap` just works, with the action that the service knows."""
    for verb, action in ((Verb.CREATE, "Request"), (Verb.CREATED, "PublishEvent"), (Verb.REPLY, "Response")):
        message = build_message(Noun.TROUBLE_TICKETS, verb)
        run("send", "--to", peer.tell("/x/soap", Told(status=202)), stdin=render_message(message))
        asked = peer.asked[-1]
        assert asked.body == CHANNELS["soap11"].render(message)
        assert asked.headers["content-type"] == "text/xml; charset=utf-8"
        assert asked.headers["soapaction"] == f'"http://iec.ch/61968/{action}"'


def test_bytes_go_out_as_they_are(run: Run, peer: FakePeer) -> None:
    """Whoever tests a peer with broken input must be able to send just that."""
    for raw in (b"<broken", b"", b"{"):
        run("send", "--to", peer.tell("/messages", Told(status=202)), stdin=raw)
        assert peer.asked[-1].body == raw


def test_taken_without_a_reply_is_fine(run: Run, peer: FakePeer) -> None:
    """202 and nothing else: the answer to a message that wants none."""
    result = run("send", "--to", peer.tell("/messages", Told(status=202)), stdin=render_message(CREATE))
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "told",
    [
        Told(b"<html><body>Bad gateway</body></html>", 502, "text/html"),
        Told(b"not XML at all", 200, "text/plain"),
        Told(b"", 500),
        Told(b"<ResponseMessage", breaks_off=True),
        Told(b"{}", 200, "application/json"),
        Told(render_message(CREATE)),
    ],
    ids=["error page", "text", "empty", "broken off", "empty JSON", "a request"],
)
def test_what_is_no_answer_is_code_1(run: Run, peer: FakePeer, told: Told) -> None:
    """Proxies and half-configured servers answer all sorts of things."""
    result = run("send", "--to", peer.tell("/messages", told), stdin=render_message(CREATE))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"cimcare: {peer.address}/messages: ")


def test_fault_message_of_a_peer_is_shown(run: Run, peer: FakePeer) -> None:
    """With its codes."""
    fault = FaultMessage(reply=Reply(result=Result.FAILED, error=(ReplyError(code="1.8", details="what is this"),)))
    told = Told(render_message(fault), 400, "application/xml")
    result = run("send", "--to", peer.tell("/messages", told), stdin=render_message(CREATE))
    assert result.exit_code == 1
    assert result.stdout_bytes == told.body + b"\n"
    assert "1.8 what is this" in result.stderr


def test_nobody_there_is_code_1(run: Run, peer: FakePeer) -> None:
    """The address, and what could be done."""
    Path("m.xml").write_bytes(render_message(CREATE))
    with fake_peer() as gone:
        address = gone.address
    result = run("send", "m.xml", "--to", f"{address}/messages")
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"{address}/messages: could not connect" in result.stderr
    assert "cimcare serve" in result.stderr


@pytest.mark.parametrize(
    "url", ["nonsense", "ftp://x/", "http://", "http://[x/", "http://x:99999/", "file:///etc/x", ""]
)
def test_what_is_no_address_is_wrong_use(run: Run, url: str) -> None:
    """Told before anything is read or sent."""
    result = run("send", "missing.xml", "--to", url)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "is no address" in result.stderr


@pytest.mark.parametrize("seconds", ["0", "-1", "soon"])
def test_time_to_wait_is_positive(run: Run, seconds: str) -> None:
    """0 would mean for ever."""
    assert run("send", "-", "--to", "http://localhost/", "--timeout", seconds).exit_code == 2
