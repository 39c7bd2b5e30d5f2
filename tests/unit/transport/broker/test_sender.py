"""Sending by way of a broker: events that are confirmed, requests and their replies, and all that may go wrong."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
import structlog

from cimcare.codec.envelope import render_message
from cimcare.codec.limits import Limits
from cimcare.exchange.log import Transport
from cimcare.exchange.outbox import Priority
from cimcare.exchange.partners import Edition, Partner, Replies, Retry, Wire
from cimcare.exchange.sending import Next, Sent, judge_attempt
from cimcare.model.envelope import (
    EventMessage,
    FaultMessage,
    Header,
    Reply,
    ReplyError,
    RequestMessage,
    ResponseMessage,
    Result,
)
from cimcare.model.identity import CorrelationID, MessageID
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from cimcare.transport.broker.brokers import Broker
from cimcare.transport.broker.ports import Arrived, BrokerMessage
from cimcare.transport.broker.sender import BrokerSender, Outlet
from tests.support.broker_sessions import MemoryBroker, a_place

PARTNER = Partner(
    name="oms",
    source="OMS",
    wire=Wire.JMS,
    broker="main",
    url="jms:queue:OMS.{noun}.{verb}",
    event_url="jms:topic:EVENTS.{noun}.{verb}",
    deadline=timedelta(seconds=2),
)
NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)


class House:
    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.settings = Broker(
            name="main",
            urls=("stomp://here",),
            client_id="hub-a",
            replies=a_place("queue:R"),
            reconnect=Retry(first=timedelta(seconds=0.01), most=timedelta(seconds=0.02)),
            confirm=timedelta(seconds=1),
        )
        self.asked: list[BrokerMessage] = []
        self.outlet: Outlet
        self.sender: BrokerSender

    def start(self, **changes: object) -> None:
        logger = structlog.wrap_logger(structlog.testing.ReturnLogger(), processors=[structlog.testing.LogCapture()])
        self.outlet = Outlet(
            msgspec.structs.replace(self.settings, **changes),
            open_session=self.broker.open_session,
            limits=Limits(),
            clock=lambda: NOON,
            chance=random.Random(1),
            logger=logger,
        )
        self.sender = BrokerSender([self.outlet], limits=Limits(), clock=lambda: NOON)
        self.outlet.link.start()

    async def serve(self, answer: object) -> None:
        """A partner that consumes its queue: `answer` makes the reply of what was asked, or None."""
        session = await self.broker.open_session(
            self.settings.addresses[0], client_id="", credentials=None, tls=None, heart_beat=None, within=1
        )
        tasks = set()

        def take(arrived: Arrived) -> None:
            self.asked.append(arrived.message)
            reply = answer(arrived.message)
            if reply is not None:
                assert arrived.message.reply_to is not None
                task = asyncio.ensure_future(session.publish(arrived.message.reply_to, reply, within=1))
                tasks.add(task)

        await session.subscribe(a_place("queue:OMS.>"), take)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    made = House()
    yield made
    await made.outlet.link.stop()


def a_request(message_id: str = "m1", *, correlation_id: str = "", **more: object) -> RequestMessage:
    header = Header(
        verb=Verb.CREATE,
        noun="TroubleTickets",
        message_id=MessageID(message_id),
        correlation_id=CorrelationID(correlation_id) if correlation_id else None,
        **more,
    )
    return RequestMessage(header=header)


def an_event(**more: object) -> EventMessage:
    header = Header(verb=Verb.CREATED, noun="TroubleTickets", message_id=MessageID("e1"), source="OMS", **more)
    return EventMessage(header=header)


def a_reply(correlation_id: str, result: Result = Result.OK) -> bytes:
    header = Header(verb=Verb.REPLY, noun="TroubleTickets", correlation_id=CorrelationID(correlation_id))
    return render_message(ResponseMessage(header=header, reply=Reply(result=result, error=(ReplyError(code="0.0"),))))


def answers(message: BrokerMessage) -> BrokerMessage:
    return BrokerMessage(body=a_reply("m1"), correlation_id=message.correlation_id)


def verdict_of(sent: Sent) -> Next:
    return judge_attempt(sent, awaits_reply=False).next


async def test_an_event_is_delivered_when_the_broker_has_confirmed_it(house: House) -> None:
    """G3: what was only written to a socket is not delivered."""
    house.start()
    sent = await house.sender.send(PARTNER, an_event())
    assert (sent.failure, sent.reply, sent.transport, sent.status) == ("", None, Transport.JMS, 0)
    assert verdict_of(sent) is Next.DELIVERED
    (message,) = house.broker.sent_to("topic:EVENTS.TroubleTickets.created")
    assert message.body == sent.sent
    assert message.persistent
    assert message.properties == {
        "Verb": "created",
        "Noun": "TroubleTickets",
        "Source": "OMS",
        "MessageID": "e1",
        "Hub": "hub-a",
    }


async def test_an_event_that_is_kept_goes_out_as_it_is(house: House) -> None:
    """Its header is enough for what stands beside it, and how urgent it is was known when it was put in."""
    house.start()
    kept = render_message(build_message(Noun.TROUBLE_TICKETS, Verb.CREATED, seed=1))
    sent = await house.sender.send(PARTNER, an_event(), kept=kept, priority=Priority.HAZARD)
    (message,) = house.broker.sent_to("topic:EVENTS.TroubleTickets.created")
    assert (message.body, sent.sent, message.priority) == (kept, kept, 9)


@pytest.mark.parametrize(
    ("code", "is_reached"), [("NET-122", False), ("NET-123", False), ("NET-124", True), ("NET-130", False)]
)
async def test_an_event_that_is_not_confirmed_is_tried_again(house: House, code: str, *, is_reached: bool) -> None:
    """Nobody knows whether the broker has it; who gets it twice knows its MessageID."""
    house.broker.refuses = lambda to: code if to.name.startswith("EVENTS") else ""
    house.start()
    sent = await house.sender.send(PARTNER, an_event())
    assert (sent.code, sent.is_reached, verdict_of(sent)) == (code, is_reached, Next.RETRY)
    house.broker.refuses = lambda _: ""
    async with asyncio.timeout(5):
        while (await house.sender.send(PARTNER, an_event())).failure:
            await asyncio.sleep(0.01)
    assert house.broker.opened == (2 if code in ("NET-122", "NET-123") else 1)  # may be blocked for good


async def test_a_broker_that_is_away_is_not_reached(house: House) -> None:
    """So that its partners are spared, and what is for them waits."""
    house.broker.is_up = False
    house.start()
    sent = await house.sender.send(PARTNER, an_event())
    assert (sent.code, sent.is_reached) == ("NET-120", False)
    assert "Connection refused" in sent.failure


async def test_a_request_brings_its_reply(house: House) -> None:
    """Request and reply over a temporary queue, as JMS clients do."""
    house.start()
    await house.serve(answers)
    sent = await house.sender.send(PARTNER, a_request())
    assert sent.reply is not None
    assert sent.reply.reply.result is Result.OK
    assert (sent.status, sent.received) == (200, a_reply("m1"))
    (asked,) = house.asked
    assert asked.correlation_id == "m1"
    assert asked.expires_at == NOON + timedelta(seconds=2)


async def test_requests_need_not_expire(house: House) -> None:
    """Where clocks differ, a request would be gone before it comes."""
    house.start(expires=False)
    await house.serve(answers)
    await house.sender.send(PARTNER, a_request())
    assert house.asked[0].expires_at is None


@pytest.mark.parametrize("linked_by", ["m1", "c1"])
async def test_a_reply_that_is_linked_in_the_envelope_alone_is_found(house: House, linked_by: str) -> None:
    """Many clients answer with the JMSMessageID of the request, which the sender never learns."""
    house.start()
    await house.serve(lambda _: BrokerMessage(body=a_reply(linked_by), correlation_id="ID:broker:1"))
    sent = await house.sender.send(PARTNER, a_request(correlation_id="c1"))
    assert sent.reply is not None


async def test_requests_that_share_a_correlation_get_each_its_own_reply(house: House) -> None:
    """A CorrelationID may hold several messages together."""
    house.start()
    await house.serve(lambda asked: BrokerMessage(body=a_reply("c1"), correlation_id=asked.correlation_id))
    sent = await asyncio.gather(*(house.sender.send(PARTNER, a_request("m1", correlation_id="c1")) for _ in range(4)))
    assert [one.failure for one in sent] == [""] * 4
    assert len({asked.correlation_id for asked in house.asked}) == 4


async def test_a_reply_that_nobody_waits_for_is_counted(house: House) -> None:
    """It comes when one had ceased to wait; more than a few say that deadlines are too short."""
    house.start()
    await house.serve(lambda _: BrokerMessage(body=b"<nothing", correlation_id="?"))
    sent = await house.sender.send(msgspec.structs.replace(PARTNER, deadline=timedelta(seconds=0.2)), a_request())
    assert (sent.code, sent.is_reached) == ("NET-125", False)
    assert house.outlet.stray == 1


async def test_no_reply_in_time_is_told_with_where_one_was_awaited(house: House) -> None:
    """The first question of an operator."""
    house.start()
    sent = await house.sender.send(msgspec.structs.replace(PARTNER, deadline=timedelta(seconds=0.1)), a_request())
    assert "no reply to jms:queue:OMS.TroubleTickets.create within 0.1 s" in sent.failure


async def test_a_session_that_breaks_while_one_waits_ends_the_attempt(house: House) -> None:
    """The reply queue is gone with it; to wait on would be for nothing."""
    house.start()
    await house.serve(lambda _: None)
    waiting = asyncio.create_task(house.sender.send(PARTNER, a_request()))
    while not house.asked:
        await asyncio.sleep(0.005)
    house.broker.break_off()
    sent = await waiting
    assert (sent.code, verdict_of(sent)) == ("NET-123", Next.RETRY)


async def test_a_fault_says_that_the_message_is_wrong(house: House) -> None:
    """The same one would be refused another time too."""
    fault = render_message(FaultMessage(reply=Reply(result=Result.FAILED, error=(ReplyError(code="1.8"),))))
    house.start()
    await house.serve(lambda asked: BrokerMessage(body=fault, correlation_id=asked.correlation_id))
    sent = await house.sender.send(PARTNER, a_request())
    assert (sent.code, sent.blames_us, verdict_of(sent)) == ("NET-113", True, Next.BURY)
    assert "HTTP" not in sent.failure


async def test_what_is_no_message_is_no_reply(house: House) -> None:
    """It is kept, for somebody to look at."""
    house.start()
    await house.serve(lambda asked: BrokerMessage(body=b"<a/>", correlation_id=asked.correlation_id))
    sent = await house.sender.send(PARTNER, a_request())
    assert (sent.code, sent.received, verdict_of(sent)) == ("NET-104", b"<a/>", Next.RETRY)
    assert "HTTP" not in sent.failure


@pytest.mark.parametrize("later", [True, False])
async def test_a_request_without_reply_in_the_exchange_ends_with_its_confirmation(house: House, *, later: bool) -> None:
    """Its reply comes by itself, or never."""
    house.start()
    partner = msgspec.structs.replace(PARTNER, replies=Replies.LATER if later else Replies.AT_ONCE)
    sent = await house.sender.send(partner, a_request(ack_required=None if later else False))
    assert (sent.failure, sent.reply) == ("", None)
    (asked,) = house.broker.sent_to("queue:OMS.TroubleTickets.create")
    assert (asked.reply_to, asked.expires_at) == (None, None)


async def test_a_later_reply_goes_to_the_address_that_was_asked_for(house: House) -> None:
    """The broker is named in it, for the hub may have several."""
    house.start()
    reply = ResponseMessage(header=Header(verb=Verb.REPLY, noun="TroubleTickets"), reply=Reply(result=Result.OK))
    direct = Partner(name="reply jms:main", source="reply jms:main", url="")
    sent = await house.sender.send(direct, reply, address="jms:queue:BACK?broker=main")
    assert not sent.failure
    assert len(house.broker.sent_to("queue:BACK")) == 1


@pytest.mark.parametrize(
    ("changes", "code", "told"),
    [
        ({"broker": "other"}, "NET-120", "broker 'other'"),
        ({"url": "jms:queue:A.{what}.>"}, "NET-126", "jms:queue:A.{what}.>"),
    ],
)
async def test_a_partner_that_cannot_be_sent_to_is_told(
    house: House, changes: dict[str, str], code: str, told: str
) -> None:
    """A configuration may name a broker that a hub which runs has not yet."""
    house.start()
    sent = await house.sender.send(msgspec.structs.replace(PARTNER, **changes), a_request())
    assert (sent.code, sent.is_reached) == (code, False)
    assert told in sent.failure


async def test_a_message_that_cannot_be_written_is_final(house: House) -> None:
    """However often it is tried."""
    house.start()
    sent = await house.sender.send(PARTNER, an_event(comment="\x00"))
    assert (sent.code, sent.blames_us) == ("NET-114", True)


async def test_an_older_edition_is_spoken_over_a_broker_too(house: House) -> None:
    """The envelope is the partner's affair, not the broker's."""
    house.start()
    sent = await house.sender.send(msgspec.structs.replace(PARTNER, edition=Edition.E2013_DRAFT), an_event())
    assert b"http://www.iec.ch/TC57/2011/schema/message" in sent.sent
