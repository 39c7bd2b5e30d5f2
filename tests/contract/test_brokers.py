"""What a session to a broker promises, over every protocol and broker that we have an adapter for."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import msgspec
import pytest
import uvloop

from cimcare.exchange.partners import Tls
from cimcare.transport.broker.opening import open_session
from cimcare.transport.broker.ports import (
    Arrived,
    BrokerError,
    BrokerMessage,
    Credentials,
    Destination,
    HeartBeat,
    Session,
    parse_address,
    parse_destination,
)
from tests.support.brokers import require_library
from tests.support.services import Broker, RabbitMQ

WAYS = {
    "stomp-activemq": ("stomp", "activemq"),
    "stomp-rabbitmq": ("stomp", "rabbitmq"),
    "amqp091-rabbitmq": ("amqp", "rabbitmq"),
    "amqp10-rabbitmq": ("amqp10", "rabbitmq"),
}
ON_RABBITMQ = pytest.mark.parametrize("way", [name for name in WAYS if name.endswith("rabbitmq")], indirect=True)
GUEST = Credentials(user="guest", password="guest")
SECONDS = 20.0
QUIET_SECONDS = 0.3
BODY = '<RequestMessage xmlns="http://iec.ch/TC57/2011/schema/message">Grüße</RequestMessage>'.encode()


class Opens(Protocol):
    async def __call__(self, *, client_id: str = "", beat: float = 30.0, scheme: str = "") -> Session: ...


class Inbox:
    """What a consumer got."""

    def __init__(self) -> None:
        self.arrived: list[Arrived] = []
        self._come = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, arrived: Arrived) -> None:
        self.arrived.append(arrived)
        task = asyncio.get_running_loop().create_task(self._tell())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self) -> None:
        async with self._come:
            self._come.notify_all()

    async def first(self, count: int = 1) -> list[Arrived]:
        """The first so many, once they are here."""
        async with asyncio.timeout(SECONDS), self._come:
            await self._come.wait_for(lambda: len(self.arrived) >= count)
        return self.arrived[:count]

    @property
    def bodies(self) -> list[bytes]:
        return [arrived.message.body for arrived in self.arrived]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """Which protocol and broker."""
    name: str = request.param
    if name == "amqp10-rabbitmq":
        require_library("proton")
    return name


@pytest.fixture
def broker(way: str, request: pytest.FixtureRequest) -> Broker:
    running: Broker = request.getfixturevalue(WAYS[way][1])
    return running


@pytest.fixture
async def opens(way: str, broker: Broker) -> AsyncIterator[Opens]:
    """Opens sessions that are closed after the test."""
    async with AsyncExitStack() as stack:

        async def opening(*, client_id: str = "", beat: float = 30.0, scheme: str = "") -> Session:
            session = await open_session(
                parse_address(broker.url(scheme or WAYS[way][0])),
                client_id=client_id,
                credentials=GUEST,
                tls=Tls(),
                heart_beat=HeartBeat(seconds=beat, tolerance=2.0),
                within=SECONDS,
            )
            stack.push_async_callback(session.close)
            return session

        yield opening
        broker.thaw()


@pytest.fixture
def queue(broker_context: str) -> Destination:
    return parse_destination(f"queue:{broker_context}.REQUESTS.TroubleTickets.create")


@pytest.fixture
def topic(broker_context: str) -> Destination:
    return parse_destination(f"topic:{broker_context}.EVENTS.TroubleTickets.created")


def a_message(text: str = "") -> BrokerMessage:
    return BrokerMessage(body=text.encode() or BODY)


async def eventually(opening: Callable[[], Awaitable[Session]]) -> Session:
    """A session, once there is a broker that lets us in again."""
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                return await opening()
            except BrokerError:
                await asyncio.sleep(0.1)


async def test_a_queue_keeps_a_message_for_who_comes_later(opens: Opens, queue: Destination) -> None:
    """A request is not lost because the hub that serves it is being restarted."""
    sender = await opens()
    await sender.publish(queue, a_message(), within=SECONDS)

    inbox, receiver = Inbox(), await opens()
    await receiver.subscribe(queue, inbox)
    (arrived,) = await inbox.first()

    assert arrived.message.body == BODY
    assert arrived.destination == queue
    assert arrived.message.redeliveries == 0
    assert not arrived.problem
    await receiver.acknowledge(arrived)


async def test_what_goes_with_a_message_arrives_with_it(opens: Opens, queue: Destination) -> None:
    """The other side finds its request by the correlation, and selects by properties."""
    session, inbox = await opens(), Inbox()
    reply_to = await session.open_reply_queue(Inbox())
    expires_at = (datetime.now(UTC) + timedelta(hours=1)).replace(microsecond=0)
    message = BrokerMessage(
        body=BODY,
        correlation_id="8f7a:1 ä",
        reply_to=reply_to,
        expires_at=expires_at,
        priority=7,
        properties={"Verb": "create", "Noun": "TroubleTickets", "Source": "CIS:a\nb", "MessageID": "m-1"},
    )
    await session.subscribe(queue, inbox)
    await session.publish(queue, message, within=SECONDS)
    (arrived,) = await inbox.first()

    assert arrived.message.correlation_id == message.correlation_id
    assert arrived.message.reply_to is not None
    assert arrived.message.priority == 7
    assert arrived.message.persistent
    assert arrived.message.expires_at == expires_at
    assert {name: arrived.message.properties.get(name) for name in message.properties} == message.properties


async def test_every_listener_of_a_topic_gets_a_copy(opens: Opens, topic: Destination) -> None:
    """Events fan out at the broker."""
    one, other = Inbox(), Inbox()
    await (await opens()).subscribe(topic, one)
    await (await opens()).subscribe(topic, other)
    sender = await opens()
    await sender.publish(topic, a_message(), within=SECONDS)

    for inbox in (one, other):
        (arrived,) = await inbox.first()
        assert arrived.message.body == BODY
        assert arrived.destination == topic


async def test_a_topic_without_listeners_takes_what_is_sent(opens: Opens, topic: Destination) -> None:
    """Who announces does not know who listens."""
    await (await opens()).publish(topic, a_message(), within=SECONDS)


async def test_patterns_mean_one_level_or_all_that_follow(opens: Opens, broker_context: str) -> None:
    """A listener says once what it wants, and no more comes."""
    session = await opens()
    inboxes = {"EVENTS.*.created": Inbox(), "EVENTS.>": Inbox(), "EVENTS.TroubleTickets.>": Inbox()}
    for pattern, inbox in inboxes.items():
        await session.subscribe(parse_destination(f"topic:{broker_context}.{pattern}", patterns=True), inbox)
    names = ["EVENTS.TroubleTickets.created", "EVENTS.Incidents.created", "EVENTS.TroubleTickets.created.T1", "EVENTS"]
    for name in names:
        await session.publish(parse_destination(f"topic:{broker_context}.{name}"), a_message(name), within=SECONDS)

    await inboxes["EVENTS.>"].first(3)
    await asyncio.sleep(QUIET_SECONDS)
    assert inboxes["EVENTS.*.created"].bodies == [name.encode() for name in names[:2]]
    assert inboxes["EVENTS.>"].bodies == [name.encode() for name in names[:3]]
    assert inboxes["EVENTS.TroubleTickets.>"].bodies == [names[0].encode(), names[2].encode()]


async def test_a_pattern_over_queues_works_or_is_refused(opens: Opens, way: str, queue: Destination) -> None:
    """A consumer that can never get anything must not look like one that works."""
    session, inbox = await opens(), Inbox()
    pattern = parse_destination(f"queue:{queue.name.partition('.')[0]}.REQUESTS.>", patterns=True)
    if way == "stomp-activemq":
        await session.subscribe(pattern, inbox)
        await session.publish(queue, a_message(), within=SECONDS)
        assert (await inbox.first())[0].destination == queue
    else:
        with pytest.raises(BrokerError, match="pattern over queues") as caught:
            await session.subscribe(pattern, inbox)
        assert caught.value.blames_us
        await session.publish(queue, a_message(), within=SECONDS)  # the session goes on


async def test_a_durable_subscription_collects_what_is_missed(opens: Opens, way: str, topic: Destination) -> None:
    """Who was away for a night gets the events of the night."""
    client_id = topic.name.partition(".")[0]
    pattern = parse_destination(f"topic:{client_id}.EVENTS.>", patterns=True)
    if way == "amqp10-rabbitmq":
        with pytest.raises(BrokerError, match=rf"{client_id}\.events"):
            await (await opens(client_id=client_id)).subscribe(pattern, Inbox(), durable="events")
        operator = await opens(client_id=client_id, scheme="amqp")  # makes what over AMQP 1.0 can only be used
        await operator.subscribe(pattern, Inbox(), durable="events")
        await operator.close()
    first, inbox = await opens(client_id=client_id), Inbox()
    await first.subscribe(pattern, inbox, durable="events")
    sender = await opens()
    await sender.publish(topic, a_message("one"), within=SECONDS)
    await first.acknowledge((await inbox.first())[0])
    await first.close()
    await sender.publish(topic, a_message("two"), within=SECONDS)

    again, later = await eventually(lambda: opens(client_id=client_id)), Inbox()
    await again.subscribe(pattern, later, durable="events")
    await again.acknowledge((await later.first())[0])
    await sender.publish(topic, a_message("three"), within=SECONDS)
    await later.first(2)
    assert later.bodies == [b"two", b"three"]


async def test_what_is_not_acknowledged_comes_again_and_says_so(opens: Opens, queue: Destination) -> None:
    """A hub that dies before its commit gets the message once more; one that has committed does not."""
    session, inbox = await opens(), Inbox()
    for text in ("done", "open"):
        await session.publish(queue, a_message(text), within=SECONDS)
    await session.subscribe(queue, inbox)
    done, _ = await inbox.first(2)
    await session.acknowledge(done)
    await session.close()

    again = Inbox()
    await (await opens()).subscribe(queue, again)
    (arrived,) = await again.first()
    await asyncio.sleep(QUIET_SECONDS)
    assert again.bodies == [b"open"]
    assert arrived.message.redeliveries == 1


async def test_a_selector_picks_messages_or_is_refused(opens: Opens, way: str, queue: Destination) -> None:
    """A broker that has none and said nothing would hand out what the consumer must not take away from others."""
    session, inbox, rest = await opens(), Inbox(), Inbox()
    wanted = "Noun IN ('A', 'B') AND Verb <> 'get'"
    if way != "stomp-activemq":
        with pytest.raises(BrokerError, match="no selectors") as caught:
            await session.subscribe(queue, inbox, selector=wanted, within=SECONDS)
        assert (caught.value.code, caught.value.blames_us) == ("NET-124", True)
        await session.publish(queue, a_message(), within=SECONDS)  # the session is as good as before
        return
    for number, (noun, verb) in enumerate((("A", "create"), ("A", "get"), ("C", "create"), ("B", "close"))):
        said = msgspec.structs.replace(a_message(str(number)), properties={"Noun": noun, "Verb": verb})
        await session.publish(queue, said, within=SECONDS)
    await session.subscribe(queue, inbox, selector=wanted, within=SECONDS)
    for arrived in await inbox.first(2):
        await session.acknowledge(arrived)
    assert inbox.bodies == [b"0", b"3"]
    await session.subscribe(queue, rest, within=SECONDS)
    await rest.first(2)
    assert rest.bodies == [b"1", b"2"]  # what is not wanted stays for others
    with pytest.raises(BrokerError) as caught:
        await session.subscribe(queue, inbox, selector="Noun =", within=SECONDS)
    assert caught.value.code in ("NET-123", "NET-124")


async def test_no_more_come_than_were_asked_for(opens: Opens, queue: Destination) -> None:
    """A hub under load leaves messages with the broker, where others can take them."""
    session, inbox = await opens(), Inbox()
    for number in range(5):
        await session.publish(queue, a_message(str(number)), within=SECONDS)
    await session.subscribe(queue, inbox, prefetch=2)
    await inbox.first(2)
    await asyncio.sleep(QUIET_SECONDS)
    assert inbox.bodies == [b"0", b"1"]
    for arrived in list(inbox.arrived):
        await session.acknowledge(arrived)
    await inbox.first(4)
    await asyncio.sleep(QUIET_SECONDS)
    assert inbox.bodies == [b"0", b"1", b"2", b"3"]


async def test_a_reply_finds_back_by_the_address_in_the_request(opens: Opens, queue: Destination) -> None:
    """JMSReplyTo is all that the one who answers knows of the one who asks."""
    asking, replies = await opens(), Inbox()
    reply_to = await asking.open_reply_queue(replies)
    await asking.publish(queue, BrokerMessage(body=b"ask", reply_to=reply_to), within=SECONDS)

    answering, requests = await opens(), Inbox()
    await answering.subscribe(queue, requests)
    (request,) = await requests.first()
    assert request.message.reply_to is not None
    await answering.publish(
        request.message.reply_to, BrokerMessage(body=b"answer", correlation_id="c-1"), within=SECONDS
    )
    await answering.acknowledge(request)

    (reply,) = await replies.first()
    assert (reply.message.body, reply.message.correlation_id) == (b"answer", "c-1")


async def test_what_need_not_be_kept_reaches_a_queue_that_is_kept(opens: Opens, queue: Destination) -> None:
    """The proof that a consumer is attached comes that way, and must not cost the session."""
    consuming, sending = await opens(), await opens()
    inbox = Inbox()
    await consuming.subscribe(queue, inbox)
    passing = BrokerMessage(body=BODY, persistent=False, expires_at=datetime.now(UTC) + timedelta(minutes=1))
    await sending.publish(queue, passing, within=SECONDS)
    await sending.publish(queue, BrokerMessage(body=b"<Kept/>"), within=SECONDS)
    await inbox.first(2)
    assert inbox.bodies == [BODY, b"<Kept/>"]
    await asyncio.sleep(QUIET_SECONDS)
    assert not sending.lost.done()
    assert not consuming.lost.done()


async def test_what_a_session_sends_to_its_own_reply_queue_comes_back(opens: Opens, queue: Destination) -> None:
    """The proof that the consumers of topics are attached goes round there; replies of others come as before."""
    session, other = await opens(), await opens()
    inbox, requests = Inbox(), Inbox()
    replies = await session.open_reply_queue(inbox)
    for number in range(2):
        await session.publish(replies, BrokerMessage(body=b"<Round%d/>" % number, persistent=False), within=SECONDS)
    await inbox.first(2)
    await other.subscribe(queue, requests)
    await session.publish(queue, BrokerMessage(body=BODY, reply_to=replies), within=SECONDS)
    (request,) = await requests.first()
    assert request.message.reply_to is not None
    await other.publish(request.message.reply_to, BrokerMessage(body=b"<Reply/>"), within=SECONDS)
    await inbox.first(3)
    assert inbox.bodies == [b"<Round0/>", b"<Round1/>", b"<Reply/>"]
    await asyncio.sleep(QUIET_SECONDS)
    assert not session.lost.done()


async def test_many_at_once_arrive_in_the_order_of_their_sending(opens: Opens, queue: Destination) -> None:
    """Order at the broker is what the order of deliveries of an object rests on."""
    session, inbox = await opens(), Inbox()
    await session.subscribe(queue, inbox, prefetch=500)
    async with asyncio.TaskGroup() as group:
        for number in range(200):
            group.create_task(session.publish(queue, a_message(str(number)), within=SECONDS))
    await inbox.first(200)
    assert inbox.bodies == [str(number).encode() for number in range(200)]


async def test_a_closed_consumer_gets_nothing_more(opens: Opens, queue: Destination) -> None:
    """What comes after it is for others."""
    session, inbox, other = await opens(), Inbox(), Inbox()
    subscription = await session.subscribe(queue, inbox)
    assert subscription.destination == queue
    await subscription.close()
    await session.publish(queue, a_message(), within=SECONDS)
    await (await opens()).subscribe(queue, other)
    await other.first()
    assert not inbox.arrived
    assert not session.lost.done()


async def test_a_message_of_a_megabyte_passes(opens: Opens, queue: Destination) -> None:
    """A storm's worth of incidents may come in one message."""
    session, inbox = await opens(), Inbox()
    body = b"<a>" + b"0123456789" * 100_000 + b"</a>"
    await session.subscribe(queue, inbox)
    await session.publish(queue, BrokerMessage(body=body), within=SECONDS)
    assert (await inbox.first())[0].message.body == body


@ON_RABBITMQ
async def test_a_queue_that_others_have_declared_in_their_way_is_used_as_it_is(
    opens: Opens, broker: Broker, way: str, queue: Destination
) -> None:
    """Operators give queues a type, a length and dead letters; a client that insists on its own idea gets nothing."""
    require_library("aiormq")
    import aiormq

    connection = await aiormq.connect(broker.url("amqp"))
    channel = await connection.channel()
    await channel.queue_declare(queue.name, durable=True, arguments={"x-max-priority": 9})
    await connection.close()

    session, inbox = await opens(), Inbox()
    if way == "stomp-rabbitmq":  # whose plugin insists on its own idea; that is told, and not passed over
        with pytest.raises(BrokerError, match="precondition"):
            await session.publish(queue, a_message(), within=SECONDS)
        return
    for text, priority in (("low", 1), ("high", 8)):
        await session.publish(queue, BrokerMessage(body=text.encode(), priority=priority), within=SECONDS)
    await session.subscribe(queue, inbox)
    await inbox.first(2)
    assert inbox.bodies == [b"high", b"low"]


@ON_RABBITMQ
async def test_clients_of_all_protocols_meet(opens: Opens, way: str, queue: Destination) -> None:
    """One side speaks what it can; that the other speaks something else must not matter."""
    other = await opens(scheme="amqp")
    asking, replies, requests, events = await opens(), Inbox(), Inbox(), Inbox()
    topic = parse_destination(f"topic:{queue.name}")
    await other.subscribe(queue, requests)
    await other.subscribe(topic, events)
    expires_at = (datetime.now(UTC) + timedelta(hours=1)).replace(microsecond=0)
    message = BrokerMessage(
        body=BODY,
        reply_to=await asking.open_reply_queue(replies),
        correlation_id="c-1",
        expires_at=expires_at,
        properties={"Verb": "create"},
    )
    for destination, inbox in ((queue, requests), (topic, events)):
        await asking.publish(destination, message, within=SECONDS)
        (arrived,) = await inbox.first()
        got = arrived.message
        assert (got.body, got.correlation_id) == (BODY, "c-1")
        if way != "amqp10-rabbitmq":  # of which RabbitMQ 3 shows properties to none but its kind
            assert (got.properties["Verb"], got.expires_at) == ("create", expires_at)
        assert got.reply_to is not None
        await other.publish(got.reply_to, BrokerMessage(body=b"answer", correlation_id="c-1"), within=SECONDS)
    for reply in await replies.first(2):
        assert (reply.message.body, reply.message.correlation_id) == (b"answer", "c-1")


# ---------------------------------------------------------------------------------------------------- faults


async def test_where_nobody_listens_the_broker_is_not_reached(way: str) -> None:
    """The operator reads which address, and that nobody is there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))  # bound, and not listening
        address = parse_address(f"{WAYS[way][0]}://127.0.0.1:{probe.getsockname()[1]}")
        with pytest.raises(BrokerError, match=str(address)) as caught:
            await open_session(
                address, client_id="", credentials=GUEST, tls=Tls(), heart_beat=HeartBeat(), within=SECONDS
            )
    assert caught.value.code == "NET-120"


async def test_a_listener_that_says_nothing_is_given_up_in_time(way: str) -> None:
    """Something that takes connections and answers none must not hold up the start."""
    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
    address = parse_address(f"{WAYS[way][0]}://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    before = time.monotonic()
    with pytest.raises(BrokerError) as caught:
        await open_session(address, client_id="", credentials=GUEST, tls=Tls(), heart_beat=HeartBeat(), within=0.5)
    assert caught.value.code == "NET-120"
    assert time.monotonic() - before < 10
    server.close()
    for writer in writers:
        writer.close()


@ON_RABBITMQ
async def test_a_wrong_password_is_named_as_the_cause(way: str, broker: Broker) -> None:
    """It is for the operator, and trying again does not help."""
    wrong = Credentials(user="guest", password="wrong")
    with pytest.raises(BrokerError) as caught:
        await open_session(
            parse_address(broker.url(WAYS[way][0])),
            client_id="",
            credentials=wrong,
            tls=Tls(),
            heart_beat=HeartBeat(),
            within=SECONDS,
        )
    assert caught.value.code == "NET-121"
    assert "wrong" not in str(caught.value).replace("guest", "")


async def test_a_killed_broker_is_noticed_and_nothing_waits_for_it(
    opens: Opens, broker: Broker, queue: Destination
) -> None:
    """A delivery fails at once and is tried again, rather than hang."""
    session = await opens()
    await session.publish(queue, a_message(), within=SECONDS)
    await session.subscribe(queue, Inbox())
    broker.kill()
    async with asyncio.timeout(SECONDS):
        error = await session.lost
    assert error.code == "NET-123"
    assert error.is_gone
    with pytest.raises(BrokerError) as caught:
        await session.publish(queue, a_message(), within=SECONDS)
    assert caught.value.is_gone
    with pytest.raises(BrokerError):
        await session.subscribe(queue, Inbox())


async def test_a_silent_broker_is_given_up(opens: Opens, broker: Broker, queue: Destination) -> None:
    """A cable that was pulled closes no connection; who waits for the system to notice waits for hours."""
    session = await opens(beat=1.0)
    await session.publish(queue, a_message(), within=SECONDS)
    await session.subscribe(queue, Inbox())
    await asyncio.sleep(2.5)
    assert not session.lost.done()  # heart-beats come
    broker.freeze()
    before = time.monotonic()
    with pytest.raises(BrokerError) as caught:
        await session.publish(queue, a_message(), within=0.3)
    assert caught.value.code == "NET-122"
    assert time.monotonic() - before < 2
    async with asyncio.timeout(SECONDS):
        error = await session.lost
    assert error.code == "NET-123"
    assert time.monotonic() - before < 10


@ON_RABBITMQ
async def test_a_broker_that_takes_nothing_more_is_noticed_and_its_messages_are_still_taken(
    opens: Opens, broker: Broker, queue: Destination, way: str
) -> None:
    """A broker short of memory stops taking, so that what it has is fetched; to wait for it would be a deadlock."""
    assert isinstance(broker, RabbitMQ)
    publishing, consuming, inbox = await opens(), await opens(), Inbox()
    for text in ("before", "left"):
        await publishing.publish(queue, a_message(text), within=SECONDS)
    broker.block()
    confirmed, refused = [b"before", b"left"], 0
    try:
        for number in range(3):
            try:
                await publishing.publish(queue, a_message(f"blocked {number}"), within=1.0)
                confirmed.append(f"blocked {number}".encode())
            except BrokerError as error:
                assert error.code in ("NET-122", "NET-123")
                refused += 1
        await consuming.subscribe(queue, inbox, within=SECONDS)
        for arrived in await inbox.first(2):
            await consuming.acknowledge(arrived)
    finally:
        broker.unblock()
    again = await eventually(opens)
    await again.publish(queue, a_message("after"), within=SECONDS)
    async with asyncio.timeout(SECONDS):
        while not {*confirmed, b"after"} <= set(inbox.bodies):
            await asyncio.sleep(0.05)
    assert inbox.bodies[:2] == [b"before", b"left"]
    assert (refused > 0) is (way != "amqp10-rabbitmq")  # which goes on taking, and keeps what it has confirmed


@pytest.mark.parametrize("is_crash", [True, False])
async def test_over_a_restart_nothing_confirmed_is_lost(
    opens: Opens, broker: Broker, queue: Destination, is_crash: bool
) -> None:
    """The store of the broker is what our confirmation rests on. Only a crash may bring back what was done with."""
    session, inbox = await opens(), Inbox()
    for number in range(20):
        await session.publish(queue, a_message(str(number)), within=SECONDS)
    await session.subscribe(queue, inbox, prefetch=10)
    for arrived in await inbox.first(5):
        await session.acknowledge(arrived)
    await session.close()  # what was acknowledged is then known to the broker
    if is_crash:
        broker.kill()
    else:
        broker.stop()
    broker.start()

    again, later = await eventually(opens), Inbox()
    await again.subscribe(queue, later)
    await later.first(15)
    await asyncio.sleep(QUIET_SECONDS)
    numbers = sorted(map(int, later.bodies))
    assert len(set(numbers)) == len(numbers)
    assert set(numbers) >= set(range(5, 20))
    if not is_crash:
        assert numbers == list(range(5, 20))


def test_sessions_live_and_end_on_the_event_loop_of_a_served_hub(way: str, broker: Broker, queue: Destination) -> None:
    """A served hub runs on uvloop, whose connections are of other classes than those of the standard library."""

    async def there_and_back() -> None:
        session = await open_session(
            parse_address(broker.url(WAYS[way][0])),
            client_id="",
            credentials=GUEST,
            tls=Tls(),
            heart_beat=HeartBeat(seconds=30),
            within=SECONDS,
        )
        inbox = Inbox()
        await session.publish(queue, a_message(), within=SECONDS)
        await session.subscribe(queue, inbox, within=SECONDS)
        (arrived,) = await inbox.first()
        await session.acknowledge(arrived)
        assert _connections_to(broker) > 0
        broker.freeze()
        await session.close()
        async with asyncio.timeout(SECONDS):
            while _connections_to(broker):
                await asyncio.sleep(0.05)

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(there_and_back())
    finally:
        broker.thaw()


def _connections_to(broker: Broker) -> int:
    """How many connections of this process to the broker the system holds open."""
    ports = {f"{port:04X}" for port in broker.ports.values()}
    own = {link.readlink().name for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}
    rows = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    return sum(row[2][-4:] in ports and f"socket:[{row[9]}]" in own for row in rows)


async def test_a_session_may_be_closed_whenever_and_more_than_once(opens: Opens, broker: Broker) -> None:
    """Shutting down does not depend on the broker."""
    session = await opens(beat=1.0)
    broker.freeze()
    before = time.monotonic()
    await session.close()
    await session.close()
    assert time.monotonic() - before < 10
    assert session.lost.done()


# ------------------------------------------------------------------------------------------------------------ TLS

TLS = Path(__file__).parents[1] / "support" / "tls"
TRUSTING = Tls(ca_file=str(TLS / "ca.pem"))


async def over_tls(broker: Broker, scheme: str, tls: Tls) -> Session:
    return await open_session(
        parse_address(broker.url(scheme)),
        client_id="",
        credentials=GUEST,
        tls=tls,
        heart_beat=HeartBeat(seconds=30),
        within=SECONDS,
    )


@pytest.fixture(params=["amqps", "amqp10s", "stomp+ssl"])
def ciphered(request: pytest.FixtureRequest) -> str:
    """Schemes over TLS."""
    scheme: str = request.param
    if scheme == "amqp10s":
        require_library("proton")
    return scheme


async def test_over_tls_messages_pass_with_and_without_a_certificate_of_ours(
    rabbitmq: Broker, ciphered: str, queue: Destination
) -> None:
    """What goes to a broker tells of customers; some brokers know who comes by the certificate."""
    certified = Tls(ca_file=str(TLS / "ca.pem"), certificate_file=str(TLS / "client.pem"))
    for tls in (TRUSTING, certified):
        session, inbox = await over_tls(rabbitmq, ciphered, tls), Inbox()
        try:
            await session.publish(queue, a_message(), within=SECONDS)
            await session.subscribe(queue, inbox, within=SECONDS)
            (arrived,) = await inbox.first()
            assert arrived.message.body == BODY
            await session.acknowledge(arrived)
        finally:
            await session.close()


async def test_a_broker_that_cannot_show_who_it_is_gets_nothing(rabbitmq: Broker, ciphered: str) -> None:
    """Not even the password; and the operator reads what is wrong with its certificate."""
    assert isinstance(rabbitmq, RabbitMQ)
    refused = (
        ("expired.pem", TRUSTING, "has expired"),
        ("elsewhere.pem", TRUSTING, "not valid for '127.0.0.1'"),
        ("server.pem", Tls(), "self-signed certificate in certificate chain"),
    )
    for file, tls, reason in refused:
        rabbitmq.present(file)
        with pytest.raises(BrokerError, match="TLS refused") as caught:
            await over_tls(rabbitmq, ciphered, tls)
        assert caught.value.code == "NET-120"
        assert reason in caught.value.finding.found
    await (await over_tls(rabbitmq, ciphered, TRUSTING)).close()


async def test_a_listener_without_tls_is_told_from_a_broker_that_is_away(rabbitmq: Broker, ciphered: str) -> None:
    """The port of the plain listener in the settings is the mistake of the first day."""
    port = rabbitmq.ports["stomp" if ciphered == "stomp+ssl" else "amqp"]
    with pytest.raises(BrokerError) as caught:
        await open_session(
            parse_address(f"{ciphered}://127.0.0.1:{port}"),
            client_id="",
            credentials=GUEST,
            tls=TRUSTING,
            heart_beat=HeartBeat(),
            within=SECONDS,
        )
    assert caught.value.code == "NET-120"
    assert "Connection refused" not in caught.value.finding.found


async def test_over_tls_a_session_to_a_silent_broker_leaves_nothing_behind(rabbitmq: Broker, ciphered: str) -> None:
    """Each attempt to come back would leave a connection open; some day there are no more."""
    session = await over_tls(rabbitmq, ciphered, TRUSTING)
    before = _connections_to(rabbitmq)
    rabbitmq.freeze()
    await session.close()
    await session.close()
    assert before > 0
    async with asyncio.timeout(SECONDS):
        while _connections_to(rabbitmq):
            await asyncio.sleep(0.05)
