"""The STOMP adapter before a server that behaves as brokers do on a bad day. On good ones: tests/contract."""

import asyncio
import contextlib
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cimcare.exchange.partners import Tls
from cimcare.transport.broker.ports import Arrived, BrokerError, BrokerMessage, Credentials, HeartBeat, parse_address
from cimcare.transport.broker.stomp import StompSession, open_session
from cimcare.transport.broker.stomp_wire import Frame as WireFrame
from cimcare.transport.broker.stomp_wire import FrameReader, render_frame
from tests.support.broker_sessions import a_place

_LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)
Frame = tuple[str, dict[str, str], bytes]
Answer = Callable[[Frame], bytes]


def frame(command: str, body: bytes = b"", **headers: str) -> bytes:
    lines = [command, *(f"{name.replace('_', '-')}:{value}" for name, value in headers.items())]
    return "\n".join(lines).encode() + b"\n\n" + body + b"\0"


def well(got: Frame, *, server: str = "ActiveMQ/5", beat: str = "0,0") -> bytes:
    """What a broker answers on a good day."""
    command, headers, _ = got
    if command in ("STOMP", "CONNECT"):
        return frame("CONNECTED", version="1.2", server=server, heart_beat=beat)
    return frame("RECEIPT", receipt_id=headers["receipt"]) if "receipt" in headers else b""


class Server:
    """Reads frames and answers as it is told. `frames` are all but heart-beats."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.frames: list[Frame] = []
        self.heard = bytearray()
        self.reads = True
        self.writers: list[asyncio.StreamWriter] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                while not self.reads:
                    await asyncio.sleep(0.01)
                while (first := await reader.readexactly(1)) == b"\n":
                    self.heard += first
                raw = first + (await reader.readuntil(b"\0"))[:-1]
                head, _, body = raw.partition(b"\n\n")
                command, *lines = head.decode().split("\n")
                got = (command, dict(line.split(":", 1) for line in lines), body)
                self.frames.append(got)
                writer.write(self.answer(got))
                await writer.drain()
        writer.close()

    def say(self, raw: bytes) -> None:
        for writer in self.writers:
            writer.write(raw)

    def sent(self, command: str) -> list[Frame]:
        return [each for each in self.frames if each[0] == command]


Opens = Callable[..., Awaitable[StompSession]]


@asynccontextmanager
async def served(answer: Answer = well) -> AsyncIterator[tuple[Server, Opens]]:
    server = Server(answer)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, limit=2**24)
    server.port = listening.sockets[0].getsockname()[1]
    sessions: list[StompSession] = []

    async def opening(*, beat: float = 10.0, within: float = 5.0, **more: object) -> StompSession:
        session = await open_session(
            parse_address(f"stomp://127.0.0.1:{server.port}"),
            client_id=str(more.get("client_id", "")),
            credentials=more.get("credentials", Credentials()),
            tls=Tls(),
            heart_beat=HeartBeat(seconds=beat, tolerance=2),
            within=within,
        )
        sessions.append(session)
        return session

    try:
        yield server, opening
    finally:
        server.reads = True
        for session in sessions:
            await session.close()
        listening.close()
        for writer in server.writers:
            writer.close()
        await asyncio.sleep(0.05)


async def lost(session: StompSession) -> str:
    async with asyncio.timeout(10):
        return str(await asyncio.shield(session.lost))


async def test_what_a_java_client_reads_has_no_length() -> None:
    """ActiveMQ makes a BytesMessage of what has one, and a TextMessage listener fails on it."""
    async with served() as (server, opens):
        session = await opens(client_id="hub", credentials=Credentials(user="u", password="p:w"))
        message = BrokerMessage(body="<ä/>".encode(), priority=9, properties={"Verb": "a:b\n", "receipt": "no"})
        await session.publish(a_place("queue:A.B"), message, within=5)
        _, connect, _ = server.frames[0]
        assert (connect["client-id"], connect["login"], connect["passcode"]) == ("hub", "u", "p:w")
        _, headers, body = server.sent("SEND")[0]
        assert "content-length" not in headers
        assert (headers["destination"], headers["persistent"], headers["priority"]) == ("/queue/A.B", "true", "9")
        assert headers["Verb"] == "a\\cb\\n"
        assert headers["receipt"] != "no"
        assert body == "<ä/>".encode()


async def test_who_is_refused_is_told_why() -> None:
    """A wrong password looks like a dead broker otherwise."""
    async with served(lambda _: frame("ERROR", message="User name [u] or password is invalid.")) as (_, opens):
        with pytest.raises(BrokerError, match="password is invalid") as caught:
            await opens()
        assert caught.value.code == "NET-121"


async def test_a_server_that_says_nothing_is_given_up_in_time() -> None:
    """Something listens there, and it is no broker, or one that hangs."""
    async with served(lambda _: b"") as (_, opens):
        with pytest.raises(BrokerError, match=r"no session within 0.2 s") as caught:
            await opens(within=0.2)
        assert caught.value.code == "NET-120"


async def test_an_error_about_one_message_is_that_messages_own() -> None:
    """Others on the same connection are not held up by it."""

    def answer(got: Frame) -> bytes:
        if got[0] == "SEND" and "BAD" in got[1]["destination"]:
            return frame("ERROR", message="no right", receipt_id=got[1]["receipt"])
        return well(got)

    async with served(answer) as (_, opens):
        session = await opens()
        with pytest.raises(BrokerError, match="no right") as caught:
            await session.publish(a_place("queue:BAD"), BrokerMessage(body=b"a"), within=5)
        assert caught.value.code == "NET-124"
        await session.publish(a_place("queue:GOOD"), BrokerMessage(body=b"a"), within=5)


async def test_an_error_about_the_session_ends_it_for_all() -> None:
    """Whoever waits hears of it at once."""
    async with served(lambda got: b"" if got[0] == "SEND" else well(got)) as (server, opens):
        session = await opens()
        waiting = asyncio.create_task(session.publish(a_place("queue:A"), BrokerMessage(body=b"a"), within=60))
        while not server.sent("SEND"):
            await asyncio.sleep(0.01)
        server.say(frame("ERROR", message="shutting down"))
        with pytest.raises(BrokerError, match="shutting down") as caught:
            await waiting
        assert (caught.value.code, caught.value.is_gone) == ("NET-123", True)
        with pytest.raises(BrokerError):
            await session.acknowledge(Arrived(message=BrokerMessage(body=b""), destination=a_place("queue:A")))


async def test_what_is_not_confirmed_in_time_is_told() -> None:
    """A broker whose disk is full takes the message and keeps silent."""
    async with served(lambda got: b"" if got[0] == "SEND" else well(got)) as (_, opens):
        session = await opens()
        with pytest.raises(BrokerError, match="no receipt for SEND") as caught:
            await session.publish(a_place("queue:A"), BrokerMessage(body=b"a"), within=0.1)
        assert caught.value.code == "NET-122"


async def test_a_broker_that_does_not_read_holds_nobody_else_up() -> None:
    """Its socket is full: the event loop goes on, and silence ends it."""
    async with served(lambda got: well(got, beat="200,200")) as (server, opens):
        session = await opens(beat=0.2)
        server.reads = False
        large = BrokerMessage(body=b"x" * 8_000_000)
        waiting = [asyncio.create_task(session.publish(a_place("queue:A"), large, within=20)) for _ in range(3)]
        longest = 0.0
        while not session.lost.done():
            before = time.monotonic()
            await asyncio.sleep(0.01)
            longest = max(longest, time.monotonic() - before)
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [getattr(result, "code", None) for result in results[1:]] == ["NET-123"] * 2  # it was reading the first
        assert longest < 2


async def test_a_connection_that_is_silent_is_dead() -> None:
    """A cable that was pulled says nothing: only heart-beats that do not come tell of it."""
    async with served(lambda got: well(got, beat="100,100")) as (_, opens):
        session = await opens(beat=0.1)
        began = time.monotonic()
        assert "NET-123" in await lost(session)
        assert time.monotonic() - began < 8


async def test_heart_beats_keep_a_connection() -> None:
    """A quiet hour is no failure."""
    async with served(lambda got: well(got, beat="200,200")) as (server, opens):
        session = await opens(beat=0.2)
        for _ in range(15):
            server.say(b"\n")
            await asyncio.sleep(0.1)
        assert not session.lost.done()


async def test_a_connection_that_breaks_off_is_told() -> None:
    """A broker that was killed."""
    async with served() as (server, opens):
        session = await opens()
        server.writers[0].transport.abort()
        assert "NET-123" in await lost(session)


async def test_nothing_is_left_of_a_session_that_ended() -> None:
    """A hub that reconnects for a week must not gather tasks and threads."""
    async with served(lambda got: well(got, beat="100,100")) as (server, opens):
        before = threading.active_count(), len(asyncio.all_tasks())
        for _ in range(5):
            session = await opens(beat=0.1)
            await session.close()
            await session.close()
        assert server.sent("DISCONNECT")
        async with asyncio.timeout(5):
            while (threading.active_count(), len(asyncio.all_tasks())) != before:
                await asyncio.sleep(0.02)


async def test_our_own_heart_beats_keep_a_connection() -> None:
    """A broker ends a connection that says nothing for longer than was agreed."""
    async with served(lambda got: well(got, beat="0,100")) as (server, opens):
        session = await opens(beat=0.1)
        heard = len(server.heard)
        await asyncio.sleep(1)
        assert len(server.heard) - heard >= 10
        assert not session.lost.done()


WELL = (
    WireFrame("CONNECTED", {"version": "1.2"}, b""),
    WireFrame("MESSAGE", {"a\r\n": "b\\:\\\\c:", "content-length": "5"}, b"\0\n\0\n\n"),
    WireFrame("MESSAGE", {"subscription": "1", "nothing": ""}, "<ä>\n\n\r\n\r\n</ä>".encode()),
    WireFrame("RECEIPT", {"receipt-id": "7"}, b""),
    WireFrame("ERROR", {}, b""),
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
def test_frames_are_read_however_they_come(size: int) -> None:
    """A network cuts where it likes; heart-beats stand between frames."""
    raw = b"\n\r\n".join(render_frame(*frame) for frame in WELL) + b"\n"
    reader = FrameReader()
    frames = [frame for at in range(0, len(raw), size) for frame in reader.feed(raw[at : at + size])]
    assert tuple(frames) == WELL
    assert reader.feed(b"\nRECEIPT\r\nreceipt-id:1\r\nreceipt-id:2\r\nodd\r\nx:\\q\\\r\n\r\n\0") == [
        WireFrame("RECEIPT", {"receipt-id": "1", "odd": "", "x": "\\q\\"}, b"")
    ]


def test_a_large_frame_is_looked_through_once() -> None:
    """A message of megabytes comes in pieces, and looking for its end anew with each would take minutes."""
    raw = render_frame("MESSAGE", {"subscription": "1"}, b"x" * 20_000_000)
    reader = FrameReader()
    began = time.process_time()
    frames = [frame for at in range(0, len(raw), 4096) for frame in reader.feed(raw[at : at + 4096])]
    assert len(frames[0].body) == 20_000_000
    assert time.process_time() - began < 2


async def test_messages_are_brought_with_what_jms_says() -> None:
    """All that the mapping needs; what is nonsense is as if it were not there."""
    inbox: asyncio.Queue[Arrived] = asyncio.Queue()
    async with served() as (server, opens):
        session = await opens()
        subscription = await session.subscribe(
            a_place("topic:A.>"), inbox.put_nowait, durable="d", selector="Verb = 'created'", prefetch=7
        )
        _, headers, _ = server.sent("SUBSCRIBE")[0]
        assert headers["destination"] == "/topic/A.*.>"
        assert (headers["activemq.subscriptionName"], headers["activemq.prefetchSize"]) == ("d", "7")
        assert headers["selector"] == "Verb = 'created'"
        number = headers["id"]
        server.say(
            frame(
                "MESSAGE",
                b"<a/>",
                subscription=number,
                message_id="ID\\c1",
                ack="a1",
                destination="/topic/A.b",
                timestamp="1893499200000",
                expires="0",
                priority="9",
                persistent="true",
                redelivered="true",
                reply_to="/remote-temp-queue/ID\\chost",
                Verb="created",
            )
        )
        arrived = await inbox.get()
        message = arrived.message
        assert (message.message_id, message.priority, message.redeliveries) == ("ID:1", 9, 1)
        assert message.sent_at is not None
        assert message.expires_at is None
        assert str(message.reply_to) == "jms:temp-queue:ID:host"
        assert message.properties == {"Verb": "created"}
        await session.acknowledge(arrived)
        server.say(frame("MESSAGE", b"", subscription=number, destination="elsewhere", priority="x", expires="soon"))
        odd = await inbox.get()
        assert (odd.message.priority, odd.message.expires_at, odd.destination.name) == (4, None, "elsewhere")
        await subscription.close()
        server.say(frame("MESSAGE", b"", subscription=number, destination="/queue/a"))
        await session.publish(message.reply_to, BrokerMessage(body=b"a"), within=5)
        assert inbox.empty()
    assert [each[1]["id"] for each in server.frames if each[0] in ("ACK", "NACK")] == ["a1"]
    assert server.sent("SEND")[0][1]["destination"] == "/remote-temp-queue/ID\\chost"


async def test_a_consumer_that_is_refused_is_none() -> None:
    """It would wait for ever."""

    def answer(got: Frame) -> bytes:
        refused = got[0] == "SUBSCRIBE"
        return frame("ERROR", message="no", receipt_id=got[1]["receipt"]) if refused else well(got)

    async with served(answer) as (_, opens):
        session = await opens()
        with pytest.raises(BrokerError, match="NET-124"):
            await session.subscribe(a_place("queue:A"), lambda _: None)


async def test_rabbitmq_is_spoken_to_in_its_own_way() -> None:
    """Reply queues, wildcards and expiry differ from broker to broker."""
    inbox: asyncio.Queue[Arrived] = asyncio.Queue()
    async with served(lambda got: well(got, server="RabbitMQ/3")) as (server, opens):
        session = await opens()
        reply_to = await session.open_reply_queue(inbox.put_nowait)
        await session.subscribe(a_place("topic:A.>"), inbox.put_nowait, durable="d")
        assert server.sent("SUBSCRIBE")[0][1]["destination"] == "/topic/A.*.#"
        assert server.sent("SUBSCRIBE")[0][1]["id"] == "d"
        message = BrokerMessage(body=b"a", reply_to=reply_to, expires_at=_LONG_AGO)
        await session.publish(a_place("queue:A"), message, within=5)
        _, headers, _ = server.sent("SEND")[0]
        assert headers["reply-to"] == f"/temp-queue/{reply_to.name}"
        assert headers["expiration"] == "0"
        server.say(frame("MESSAGE", b"r", subscription=headers["reply-to"], destination="/queue/amq.gen-1"))
        assert (await inbox.get()).token is None
        await session.publish(a_place("jms:temp-queue:amq.gen-1"), BrokerMessage(body=b"a"), within=5)
        assert server.sent("SEND")[1][1]["destination"] == "/reply-queue/amq.gen-1"


async def test_at_rabbitmq_what_we_send_ourselves_has_a_way_of_its_own() -> None:
    """It ends the session of who sends to a temporary queue, or names a queue that is kept as one that is not."""
    inbox: asyncio.Queue[Arrived] = asyncio.Queue()
    async with served(lambda got: well(got, server="RabbitMQ/3")) as (server, opens):
        session = await opens()
        replies = await session.open_reply_queue(inbox.put_nowait)
        for _ in range(2):
            await session.publish(replies, BrokerMessage(body=b"a", persistent=False), within=5)
        ((_, subscribed, _),) = server.sent("SUBSCRIBE")
        queue = subscribed["destination"].removeprefix("/queue/")
        assert (subscribed["exclusive"], subscribed["durable"]) == ("true", "false")
        assert [sent["destination"] for _, sent, _ in server.sent("SEND")] == [f"/amq/queue/{queue}"] * 2
        assert not any("persistent" in sent for _, sent, _ in server.sent("SEND"))
        server.say(frame("MESSAGE", b"r", subscription=subscribed["id"], destination=f"/queue/{queue}"))
        assert (await inbox.get()).token is None


async def test_at_rabbitmq_a_way_round_that_is_refused_is_asked_for_again() -> None:
    """Rights may be given meanwhile."""
    refused = [True]

    def answer(got: Frame) -> bytes:
        if got[0] == "SUBSCRIBE" and refused:
            refused.clear()
            return frame("ERROR", receipt_id=got[1]["receipt"], message="access_refused")
        return well(got, server="RabbitMQ/3")

    async with served(answer) as (server, opens):
        session = await opens()
        replies = await session.open_reply_queue(lambda _: None)
        with pytest.raises(BrokerError, match="NET-124"):
            await session.publish(replies, BrokerMessage(body=b"a"), within=5)
        await session.publish(replies, BrokerMessage(body=b"a"), within=5)
        assert len(server.sent("SUBSCRIBE")) == 2


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("stomp://127.0.0.1:1", "Connection refused"),
        ("stomp://no-such-host.invalid", "NET-120 could not connect"),
        ("stomp+ssl://127.0.0.1:{port}", "NET-120"),
    ],
)
async def test_why_there_is_no_connection_is_told(url: str, told: str) -> None:
    """An operator reads it, and mends it."""
    async with served(lambda _: b"this is no TLS") as (server, _):
        with pytest.raises(BrokerError) as caught:
            await open_session(
                parse_address(url.format(port=server.port)),
                client_id="",
                credentials=Credentials(),
                tls=Tls(),
                heart_beat=HeartBeat(),
                within=2,
            )
        assert told in str(caught.value)


TLS = Path(__file__).parents[3] / "support" / "tls"


@asynccontextmanager
async def served_by_tls() -> AsyncIterator[int]:
    """A broker behind a certificate of the tests' own authority; its port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(TLS / "server.pem")
    server = Server(well)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context, limit=2**24)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        for writer in server.writers:
            writer.close()
        await asyncio.sleep(0.05)


async def test_tls_is_spoken_with_authorities_of_our_own() -> None:
    """Brokers of utilities have certificates of the house."""
    async with served_by_tls() as port:
        session = await open_session(
            parse_address(f"stomp+ssl://localhost:{port}"),
            client_id="",
            credentials=Credentials(),
            tls=Tls(ca_file=str(TLS / "ca.pem")),
            heart_beat=HeartBeat(),
            within=5,
        )
        await session.publish(a_place("queue:A"), BrokerMessage(body=b"x" * 200_000), within=5)
        await session.close()


async def test_a_certificate_that_nobody_trusts_is_told() -> None:
    """And nothing is sent, least of all the password."""
    async with served_by_tls() as port:
        with pytest.raises(BrokerError, match="TLS refused") as caught:
            await open_session(
                parse_address(f"stomp+ssl://localhost:{port}"),
                client_id="",
                credentials=Credentials(user="u", password="secret"),
                tls=Tls(),
                heart_beat=HeartBeat(),
                within=5,
            )
        assert caught.value.code == "NET-120"
