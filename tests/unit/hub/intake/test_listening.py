"""What becomes of messages that a broker brings, by a broker in memory and a pipeline that the test plays."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta

import pytest
import structlog

from cimcare.codec.limits import Limits
from cimcare.exchange.partners import Retry
from cimcare.exchange.patterns import build_fault
from cimcare.exchange.store import StoreError
from cimcare.hub.intake.listening import Listener, Taken
from cimcare.hub.intake.suspects import StoredSuspects
from cimcare.store.memory import MemoryStore
from cimcare.transport.broker.brokers import Broker, Consumed
from cimcare.transport.broker.mapping import HUB, PROBE, origin_of
from cimcare.transport.broker.ports import BrokerMessage
from cimcare.transport.broker.sender import Outlet
from cimcare.transport.channel import Answer, Received
from tests.support.broker_sessions import MemoryBroker, MemorySession, a_place

QUEUE = "queue:T.REQUESTS.TroubleTickets.create"
QUICK = Retry(first=timedelta(seconds=0.01), most=timedelta(seconds=0.02))
SECONDS = 10.0


def an_envelope(message_id: str = "m1", *, object_id: str = "t1", archetype: str = "RequestMessage") -> bytes:
    identifier = f"<MessageID>{message_id}</MessageID>" if message_id else ""
    return (
        f'<{archetype} xmlns="http://iec.ch/TC57/2011/schema/message"><Header><Verb>create</Verb>'
        f"<Noun>TroubleTickets</Noun>{identifier}</Header><Payload><mRID>{object_id}</mRID></Payload></{archetype}>"
    ).encode()


class Pipeline:
    """Takes what comes and answers as it is told."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answers: list[Answer] = []
        self.gates: dict[bytes, asyncio.Event] = {}
        self.commits: list[str] = []

    async def __call__(self, received: Received) -> Answer:
        self.received.append(received)
        if received.aside is not None and self.answers:
            return self.answers.pop(0)
        if received.aside is not None:
            fault = build_fault((received.aside,), node="CIS")
            return received.channel.render_fault(fault, received.aside)
        received.channel.open(received.raw, Limits(), lenient=False)
        for text, gate in self.gates.items():
            if text in received.raw:
                await gate.wait()
        self.commits.append(received.raw.decode())
        return self.answers.pop(0) if self.answers else Answer(status=200, body=b"<ResponseMessage/>")


class House:
    """A listener, its broker and its pipeline."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.pipeline = Pipeline()
        self.now = datetime.now(UTC)
        self.has_turn = True
        self.store = MemoryStore()
        self.ids = 0
        self.events: list[structlog.typing.EventDict] = []
        self.listener: Listener
        self.outlet: Outlet

    def clock(self) -> datetime:
        return self.now

    def new_id(self) -> str:
        self.ids += 1
        return f"id{self.ids}"

    async def hold_turn(self, name: str, lease: timedelta) -> bool:
        assert name == "broker main"
        assert lease > timedelta(seconds=5)
        if self.has_turn is None:
            raise StoreError("away")
        return self.has_turn

    def start(
        self,
        *,
        watch: float = 0.0,
        listen: tuple[str, ...] = ("queue:T.REQUESTS.>", "topic:T.EVENTS.>"),
        selectors: Mapping[str, str] = {},
    ) -> None:
        capture = structlog.testing.LogCapture()
        self.events = capture.entries
        logger = structlog.wrap_logger(structlog.testing.ReturnLogger(), processors=[capture])
        settings = Broker(
            name="main",
            urls=("stomp://away", "stomp://here"),
            client_id="hub-a",
            listen=tuple(Consumed(destination=a_place(each), selector=selectors.get(each, "")) for each in listen),
            replies=a_place("queue:T.REPLIES.hub-a"),
            reconnect=QUICK,
            watch=timedelta(seconds=watch),
            confirm=timedelta(seconds=1),
        )
        common = {
            "open_session": self.broker.open_session,
            "limits": Limits(),
            "clock": self.clock,
            "chance": random.Random(1),
            "logger": logger,
        }
        self.outlet = Outlet(settings, **common)
        self.listener = Listener(
            self.outlet,
            receive=self.pipeline,
            hold_turn=self.hold_turn,
            new_id=self.new_id,
            suspects=StoredSuspects(self.store, self.clock),
            **common,
        )
        self.outlet.link.start()
        self.listener.start()

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS):
            while not is_so():
                await asyncio.sleep(0.005)

    async def attached(self) -> None:
        await self.until(lambda: not self.listener.state().trouble and not self._waits())

    def _waits(self) -> bool:
        return any(each.waits for each in self.listener.state().consumers)

    def session_of(self, text: str) -> MemorySession:
        return next(each.session for each in self.broker.consumers if each.destination == a_place(text))

    def count(self, word: Taken) -> int:
        return self.listener.counts.by[word]


@pytest.fixture
async def house() -> AsyncIterator[House]:
    made = House()
    yield made
    await made.listener.stop()
    await made.outlet.link.stop()
    assert not made.broker.sessions


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cimcare.hub.intake.listening._PAUSE_SECONDS", 0.01)
    monkeypatch.setattr("cimcare.hub.intake.listening._TURN_SECONDS", 0.02)
    monkeypatch.setattr("cimcare.hub.intake.listening._LEASE_TIMES", 1000)


def asked(body: bytes, **more: object) -> BrokerMessage:
    return BrokerMessage(body=body, reply_to=a_place("queue:ANSWERS"), **more)


async def test_a_request_is_answered_and_only_then_acknowledged(house: House) -> None:
    """G1: what is acknowledged before it is on disk is lost with the hub."""
    gate = house.pipeline.gates[b"t1"] = asyncio.Event()
    house.start()
    await house.attached()
    house.broker.put(QUEUE, asked(an_envelope(), correlation_id="c1", priority=9))
    await house.until(lambda: bool(house.pipeline.received))
    session = house.session_of("queue:T.REQUESTS.>")
    await asyncio.sleep(0.05)
    assert not session.acknowledged
    assert len(session.unsettled) == 1
    gate.set()
    await house.until(lambda: bool(session.acknowledged))
    (reply,) = house.broker.sent_to("queue:ANSWERS")
    assert (reply.correlation_id, reply.body, reply.priority) == ("c1", b"<ResponseMessage/>", 9)
    assert house.count(Taken.SERVED) == 1


async def test_the_reply_is_linked_by_the_message_id_where_the_request_has_no_correlation(house: House) -> None:
    """The rule of JMS, by which Java clients find their reply."""
    house.start()
    await house.attached()
    house.broker.put(QUEUE, asked(an_envelope(), message_id="ID:7"))
    await house.until(lambda: bool(house.broker.sent_to("queue:ANSWERS")))
    assert house.broker.sent_to("queue:ANSWERS")[0].correlation_id == "ID:7"


async def test_a_message_under_way_when_the_session_breaks_comes_again(house: House) -> None:
    """G2 and G6: it is given to the pipeline a second time, which knows it by its MessageID."""
    gate = house.pipeline.gates[b"t1"] = asyncio.Event()
    house.start()
    await house.attached()
    house.broker.put(QUEUE, asked(an_envelope("")))
    await house.until(lambda: bool(house.pipeline.received))
    house.broker.break_off()
    gate.set()
    await house.until(lambda: house.count(Taken.SERVED) == 1)
    first, second = (each.raw for each in house.pipeline.received)
    assert first == second
    assert b"<MessageID>ID:" in first  # the broker's identifier stands in for the one that it has not
    assert house.count(Taken.REDELIVERED) == 1
    await house.attached()
    assert all(link.opened == 2 for link in house.listener.state().links)


async def test_what_cannot_be_kept_now_is_offered_again_and_not_acknowledged(house: House) -> None:
    """G8: an overload slows the broker down; nothing is lost, and nothing is asked for in a hot loop."""
    house.pipeline.answers = [Answer(status=503, is_kept=False, retry_after_seconds=0)] * 3
    house.start()
    await house.attached()
    house.broker.put(QUEUE, asked(an_envelope()))
    await house.until(lambda: house.count(Taken.SERVED) == 1)
    assert house.count(Taken.HELD) == 3
    assert len(house.broker.sent_to("queue:ANSWERS")) == 1


async def test_messages_about_one_object_keep_their_order_and_others_go_past(house: House) -> None:
    """G4: a change that overtakes its create is refused."""
    gate = house.pipeline.gates[b"m1"] = asyncio.Event()
    house.start()
    await house.attached()
    for message_id, object_id in (("m1", "t1"), ("m2", "t1"), ("m3", "t2")):
        house.broker.put(QUEUE, asked(an_envelope(message_id, object_id=object_id)))
    await house.until(lambda: len(house.pipeline.commits) == 1)
    assert "m3" in house.pipeline.commits[0]
    gate.set()
    await house.until(lambda: len(house.pipeline.commits) == 3)
    assert "m1" in house.pipeline.commits[1]
    assert "m2" in house.pipeline.commits[2]


@pytest.mark.parametrize("body", [b"", b"  \n"])
async def test_a_message_without_text_goes_to_the_dead_letters_with_its_reason(house: House, body: bytes) -> None:
    """It would come again for ever, and whoever sent it wants to know."""
    house.start()
    await house.attached()
    house.broker.put(QUEUE, asked(body))
    await house.until(lambda: house.count(Taken.UNREADABLE) == 1)
    (received,) = house.pipeline.received
    assert received.aside is not None
    assert (received.aside.code, received.aside.found) == ("NET-128", "a message without text")
    assert received.origin is not None
    assert (received.origin.broker, received.origin.place) == ("main", f"jms:{QUEUE}")
    assert b"FaultMessage" in house.broker.sent_to("queue:ANSWERS")[0].body
    await house.until(lambda: bool(house.session_of("queue:T.REQUESTS.>").acknowledged))


async def test_an_expired_message_is_not_served(house: House) -> None:
    """Its sender was told that it failed, and has done without."""
    house.start()
    await house.attached()
    house.broker.put(QUEUE, asked(an_envelope(), expires_at=house.now))
    await house.until(lambda: house.count(Taken.EXPIRED) == 1)
    assert not house.pipeline.commits
    (received,) = house.pipeline.received
    assert received.aside is not None
    assert received.aside.code == "NET-127"
    assert received.raw == an_envelope()
    assert not house.broker.sent_to("queue:ANSWERS")
    assert house.session_of("queue:T.REQUESTS.>").acknowledged


async def test_what_cannot_be_put_aside_now_is_not_acknowledged(house: House) -> None:
    """G1: a dead letter that is not on disk is a lost message."""
    house.pipeline.answers = [Answer(status=503, is_kept=False)] * 3
    house.start()
    await house.attached()
    house.broker.put(QUEUE, asked(b"", message_id="ID:1"))
    await house.until(lambda: house.count(Taken.HELD) == 3 and house.count(Taken.UNREADABLE) == 1)
    assert not house.pipeline.answers


async def test_what_the_hub_died_of_again_and_again_is_put_aside(house: House) -> None:
    """One message must not keep the hub from living; how often it was begun is known to the store alone."""
    suspects = StoredSuspects(house.store, house.clock)
    killer = asked(an_envelope("killer", object_id="k"), message_id="ID:k", redeliveries=7)
    origin = origin_of(killer, a_place(QUEUE), "main")
    for _ in range(5):
        await suspects.begin(origin)
    house.start()
    await house.attached()
    house.broker.put(QUEUE, asked(an_envelope("other"), message_id="ID:o", redeliveries=7))
    house.broker.put(QUEUE, killer)
    await house.until(lambda: house.count(Taken.UNREADABLE) == 1 and house.count(Taken.SERVED) == 1)
    (aside,) = [one.aside for one in house.pipeline.received if one.aside is not None]
    assert (aside.code, aside.found) == (
        "NET-131",
        "a message begun 5 times and never ended, handed out 7 times before",
    )
    assert len(house.pipeline.commits) == 1
    assert await suspects.times(origin) == 0  # an operator who sends it again begins anew


async def test_what_may_kill_is_begun_alone_and_not_blamed_once_it_has_ended(house: House) -> None:
    """Fifty that were under way at a death would else be put aside with the one that was its cause."""
    suspects = StoredSuspects(house.store, house.clock)
    messages = [asked(an_envelope(f"m{n}", object_id=f"t{n}"), message_id=f"ID:{n}", redeliveries=1) for n in range(3)]
    origins = [origin_of(one, a_place(QUEUE), "main") for one in messages]
    for origin in origins:
        await suspects.begin(origin)
    gate = house.pipeline.gates[b"<MessageID>m"] = asyncio.Event()
    house.start()
    await house.attached()
    for message in messages:
        house.broker.put(QUEUE, message)
    await house.until(lambda: bool(house.pipeline.received))
    await asyncio.sleep(0.05)
    assert len(house.pipeline.received) == 1
    assert sorted([await suspects.times(origin) for origin in origins]) == [1, 1, 2]
    gate.set()
    await house.until(lambda: house.count(Taken.SERVED) == 3)
    assert [await suspects.times(origin) for origin in origins] == [0, 0, 0]


async def test_a_message_that_cannot_be_kept_now_is_no_suspect(house: House) -> None:
    """That the store is away is not its fault, however often the broker hands it out meanwhile."""
    house.pipeline.answers = [Answer(status=503, is_kept=False)] * 2
    house.start()
    await house.attached()
    message = asked(an_envelope(), message_id="ID:1", redeliveries=30)
    house.broker.put(QUEUE, message)
    await house.until(lambda: house.count(Taken.SERVED) == 1)
    assert await StoredSuspects(house.store, house.clock).times(origin_of(message, a_place(QUEUE), "main")) == 0


async def test_a_selector_goes_to_the_broker_and_lets_our_own_probes_pass(house: House) -> None:
    """A consumer whose probes are not handed to it would look dead; through a topic none go."""
    chosen = {"queue:T.REQUESTS.>": "Noun = 'A' OR Noun = 'B'", "topic:T.EVENTS.>": "Verb = 'created'"}
    house.start(selectors=chosen)
    await house.attached()
    assert house.broker.selectors["T.REQUESTS.>"] == "(Noun = 'A' OR Noun = 'B') OR Probe IS NOT NULL"
    assert house.broker.selectors["T.EVENTS.>"] == "Verb = 'created'"
    assert house.broker.selectors["T.REPLIES.hub-a"] == ""
    shown = {each.destination: each.selector for each in house.listener.state().consumers}
    assert shown["jms:topic:T.EVENTS.>"] == "Verb = 'created'"


async def test_a_reply_that_the_broker_refuses_is_let_go(house: House) -> None:
    """Such as one to the temporary queue of a client that has gone: the request was served all the same."""
    house.broker.refuses = lambda to: "NET-124" if to.name == "ANSWERS" else ""
    house.start()
    await house.attached()
    house.broker.put(QUEUE, asked(an_envelope()))
    await house.until(lambda: house.count(Taken.SERVED) == 1)
    assert house.count(Taken.UNANSWERED) == 1


async def test_a_reply_that_is_not_confirmed_is_sent_again_before_anything_is_acknowledged(house: House) -> None:
    """Else the asker would wait in vain for a reply that nobody has."""
    codes = ["NET-122", "NET-123", "NET-130", ""]
    house.broker.refuses = lambda to: codes.pop(0) if to.name == "ANSWERS" else ""
    house.start()
    await house.attached()
    house.broker.put(QUEUE, asked(an_envelope()))
    await house.until(lambda: house.count(Taken.SERVED) == 1)
    assert len(house.broker.sent_to("queue:ANSWERS")) == 1
    assert len(house.pipeline.received) == 1


@pytest.mark.parametrize("archetype", ["ResponseMessage", "FaultMessage"])
async def test_an_answer_is_not_answered(house: House, archetype: str) -> None:
    """Two hubs would thank one another for ever."""
    house.start()
    await house.attached()
    house.broker.put("queue:T.REPLIES.hub-a", asked(an_envelope(archetype=archetype)))
    await house.until(lambda: house.count(Taken.SERVED) == 1)
    assert not house.broker.sent_to("queue:ANSWERS")


async def test_a_reply_address_in_the_envelope_serves_where_jms_names_none(house: House) -> None:
    """A static reply queue is the other way of the standard."""
    body = an_envelope().replace(b"<MessageID>", b"<ReplyAddress>queue:STATIC</ReplyAddress><MessageID>")
    house.start()
    await house.attached()
    house.broker.put(QUEUE, BrokerMessage(body=body))
    await house.until(lambda: bool(house.broker.sent_to("queue:STATIC")))


async def test_own_events_are_let_go_without_a_second_look(house: House) -> None:
    """A hub publishes to topics that it listens to itself."""
    house.start()
    await house.attached()
    for hub in ("hub-a", "hub-b"):
        message = BrokerMessage(body=an_envelope(archetype="EventMessage"), properties={HUB: hub})
        house.broker.put("topic:T.EVENTS.TroubleTickets.created", message)
    await house.until(lambda: house.count(Taken.SERVED) == 1)
    assert house.count(Taken.OWN) == 1
    assert len(house.pipeline.received) == 1


async def test_a_durable_subscription_brings_what_came_meanwhile(house: House) -> None:
    """Events of the time of a restart are events too."""
    house.start()
    await house.attached()
    house.broker.is_up = False
    house.broker.break_off()
    house.broker.put("topic:T.EVENTS.TroubleTickets.created", BrokerMessage(body=an_envelope(archetype="EventMessage")))
    state = house.listener.state()
    assert state.trouble.startswith("no session for")
    assert state.trouble_since is not None
    house.broker.is_up = True
    await house.until(lambda: house.count(Taken.SERVED) == 1)
    await house.attached()
    assert house.listener.state().trouble_since is None


async def test_durable_subscriptions_go_with_the_turn(house: House) -> None:
    """A broker lets one client in under a name; of several processes one holds what is durable."""
    house.has_turn = False
    house.start()
    await house.until(lambda: not house.listener.state().trouble)
    (topic,) = (each for each in house.listener.state().consumers if "topic" in each.destination)
    assert (topic.waits, topic.attached) == (True, False)
    house.has_turn = True
    await house.attached()
    assert house.session_of("topic:T.EVENTS.>").client_id == "hub-a"
    house.has_turn = False
    await house.until(lambda: not any("EVENTS" in each.destination.name for each in house.broker.consumers))
    house.has_turn = True
    await house.attached()


async def test_who_cannot_ask_for_the_turn_keeps_what_he_has(house: House) -> None:
    """While the database is away nobody else can have taken it."""
    house.start()
    await house.attached()
    house.has_turn = None
    await asyncio.sleep(0.1)
    assert any("EVENTS" in each.destination.name for each in house.broker.consumers)


async def test_consumers_are_proven_by_messages_that_come_back(house: House) -> None:
    """Behind a reconnect a queue that nobody consumes looks as quiet as an empty one."""
    house.start(watch=0.05)
    await house.until(lambda: all(each.proven_at for each in house.listener.state().consumers))
    assert house.broker.sent_to("queue:T.REQUESTS.cimcare.probe")
    assert not [to for to, message in house.broker.published if PROBE in message.properties and to.kind == "topic"]
    assert not house.pipeline.received


async def test_a_consumer_that_gets_nothing_is_attached_anew(house: House) -> None:
    """The broker had confirmed it, and hands it nothing: the session is given up, and the next one is well."""
    house.broker.deaf.add("T.REQUESTS.>")
    house.start(watch=0.05)
    await house.until(lambda: house.broker.opened >= 2)

    def is_given_up() -> bool:
        house.now += timedelta(seconds=1)
        return any(event["event"] == "consumer not attached" for event in house.events)

    await house.until(is_given_up)
    assert house.listener.state().trouble
    house.broker.deaf.clear()
    house.broker.hand_out()
    await house.until(
        lambda: all(each.proven_at for each in house.listener.state().consumers if "queue" in each.destination)
    )


async def test_the_probe_of_another_process_is_sent_back_to_it(house: House) -> None:
    """Two processes consume one queue; each is to know that somebody does."""
    house.start()
    await house.attached()
    message = BrokerMessage(
        body=b"<Probe/>", reply_to=a_place("queue:OTHER"), properties={PROBE: "other 1", HUB: "hub-a"}
    )
    house.broker.put("queue:T.REQUESTS.cimcare.probe", message)
    await house.until(lambda: bool(house.broker.sent_to("queue:OTHER")))
    assert house.broker.sent_to("queue:OTHER")[0].properties[PROBE] == "other 1"
    assert not house.pipeline.received


async def test_a_consumer_that_the_broker_refuses_is_told(house: House) -> None:
    """Rights at the broker are the first thing that is forgotten."""
    house.broker.refuses = lambda to: "NET-124" if to.is_pattern else ""
    house.start()
    await house.until(lambda: "no consumer for" in house.listener.state().trouble)
    assert any(event.get("code") == "NET-124" for event in house.events)


async def test_an_error_of_the_program_is_noted_and_leaves_the_message_with_the_broker(house: House) -> None:
    """It comes again with the next session; silence would be the worst."""

    async def broken(received: Received) -> Answer:
        raise RuntimeError(received.raw)

    house.start()
    house.listener._receive = broken
    await house.attached()
    house.broker.put(QUEUE, asked(an_envelope()))
    await house.until(lambda: any(event["event"] == "broker message failed" for event in house.events))
    assert len(house.session_of("queue:T.REQUESTS.>").unsettled) == 1
    assert "t1" not in str(house.events)


async def test_what_is_under_way_at_the_end_is_finished(house: House) -> None:
    """A hub that is stopped answers whom it has let in."""
    gate = house.pipeline.gates[b"t1"] = asyncio.Event()
    house.start()
    await house.attached()
    house.broker.put(QUEUE, asked(an_envelope()))
    await house.until(lambda: bool(house.pipeline.received))
    stopping = asyncio.create_task(house.listener.stop())
    await asyncio.sleep(0.02)
    gate.set()
    await stopping
    assert len(house.broker.sent_to("queue:ANSWERS")) == 1
    assert not [message for to, message in house.broker.waiting if to.name != "ANSWERS"]
