"""Replies that a partner sends or answers with: to whom they go, in which form, and linked as the standard wants it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from cimcare.codec.compressed import compress_payload
from cimcare.exchange.outbox import DeliveryState
from cimcare.exchange.partners import Forward, Partner, Replies
from cimcare.hub.intake import later as later_module
from cimcare.model.envelope import Message, RequestMessage, ResponseMessage, Result
from cimcare.model.identity import CorrelationID, MessageID
from cimcare.model.trouble_ticket import TroubleTickets
from tests.support.channels import CHANNELS, answer_of
from tests.support.sender import replied, reply_to, silent
from tests.unit.hub.outgoing.test_delivery import Delivering, a_create, ask_ok
from tests.unit.hub.test_forwarding import OMS, a_get, asynchronous, opened, tickets

LATER = msgspec.structs.replace(OMS, replies=Replies.LATER)
CALLER = "reply caller.example"


@pytest.fixture
async def remote(tmp_path: Path) -> AsyncIterator[Delivering]:
    hub = await opened(tmp_path, OMS)
    yield hub
    await hub.hub.close()


@pytest.fixture
async def later(tmp_path: Path) -> AsyncIterator[Delivering]:
    hub = await opened(tmp_path, LATER)
    hub.sender.answers["oms"] = [replied(Result.OK, "0.3")]
    yield hub
    await hub.hub.close()


def with_header(message: RequestMessage, **changes: object) -> RequestMessage:
    return msgspec.structs.replace(message, header=msgspec.structs.replace(message.header, **changes))


def reply_with(message: ResponseMessage, **changes: object) -> ResponseMessage:
    return msgspec.structs.replace(message, header=msgspec.structs.replace(message.header, **changes))


async def test_a_reply_that_wants_no_acknowledgement_goes_on_all_the_same(later: Delivering) -> None:
    """Whether the owner wants an acknowledgement says nothing of whether the sender wants the reply."""
    await later.ask(asynchronous(a_create()))
    await later.until_state("oms", DeliveryState.AWAITING)
    (given,) = later.sender.to("oms")
    assert (await later.post(reply_with(reply_to(given.message), ack_required=False))).status == 202
    await later.until_state(CALLER, DeliveryState.DELIVERED)


async def test_a_reply_in_the_generic_form_is_a_reply(later: Delivering) -> None:
    """Message stands for all four kinds; a sender must not wait in vain because of the root."""
    await later.ask(asynchronous(a_create()))
    await later.until_state("oms", DeliveryState.AWAITING)
    (given,) = later.sender.to("oms")
    for number in range(2):
        reply = reply_to(given.message, message_id=f"r-{number}")
        await later.ask(Message(header=reply.header, reply=reply.reply))
    await later.until_state(CALLER, DeliveryState.DELIVERED)
    await later.quiet()
    assert len(later.sender.to(CALLER)) == 1, "and only one of them is the last"


async def test_who_waits_gets_a_reply_in_the_generic_form(later: Delivering) -> None:
    """The same for a sender that holds the line."""
    request = a_create()
    later.sender.answers["oms"] = [replied(Result.OK, "0.3")]
    task = asyncio.create_task(later.ask(request))
    await later.until_given("oms", 1)
    reply = reply_to(later.sender.to("oms")[0].message)
    await later.ask(Message(header=reply.header, reply=reply.reply))
    assert (await task).reply.result is Result.OK


@pytest.mark.parametrize("partner", [OMS, LATER])
async def test_a_later_reply_is_linked_as_its_receiver_expects_it(tmp_path: Path, partner: Partner) -> None:
    """The CorrelationID of the request, although the owner links by MessageID; nobody else could match the two."""
    hub = await opened(tmp_path, partner)
    request = with_header(a_create(), correlation_id=CorrelationID("business-7"))

    def by_message_id(given: object) -> object:
        sent = replied(Result.OK, "0.0")(given)  # type: ignore[arg-type]
        return msgspec.structs.replace(sent, reply=reply_with(sent.reply, correlation_id=CorrelationID("create-2")))  # type: ignore[arg-type]

    hub.sender.answers["oms"] = [by_message_id if partner is OMS else replied(Result.OK, "0.3")]  # type: ignore[list-item]
    await hub.ask(asynchronous(request))
    if partner is LATER:
        await hub.until_state("oms", DeliveryState.AWAITING)
        reply = reply_to(hub.sender.to("oms")[0].message)
        await hub.ask(reply_with(reply, correlation_id=CorrelationID("create-2")))
    await hub.until_state(CALLER, DeliveryState.DELIVERED)
    (told,) = hub.sender.to(CALLER)
    assert told.message.header.correlation_id == "business-7"
    await hub.hub.close()


async def test_a_one_way_request_to_an_owner_that_replies_later_awaits_nothing(later: Delivering) -> None:
    """Else each of them would be a dead letter an hour later."""
    later.sender.answers["oms"] = [lambda given: msgspec.structs.replace(replied()(given), reply=None, received=b"")]
    await later.post(with_header(a_create(), ack_required=False))
    await later.until_state("oms", DeliveryState.DELIVERED)
    header = later.sender.to("oms")[0].message.header
    assert not header.async_reply_flag
    assert header.reply_address is None


async def test_nobody_is_told_of_a_one_way_request_that_came_to_nothing(remote: Delivering) -> None:
    """Its ReplyAddress is to be ignored: nobody waits there, and it may be anybody's address."""
    remote.sender.answers["oms"] = [silent("nobody there")]
    await remote.post(with_header(asynchronous(a_create(), "http://anybody.example/"), ack_required=False))
    await remote.until_failed("oms", 1)
    remote.later(hours=25)
    await remote.until_state("oms", DeliveryState.DEAD)
    await remote.quiet()
    assert {one.partner for one in await remote.deliveries()} == {"oms"}


async def test_compressed_content_goes_on_as_it_came(remote: Delivering) -> None:
    """It is unpacked to be judged; what the owner gets is what the sender sent."""
    packed = compress_payload(a_create(), above_bytes=1)
    assert packed.payload is not None
    assert packed.payload.compressed
    await ask_ok(remote, packed)
    assert remote.sender.to("oms")[0].message.payload == packed.payload


async def test_compressed_pieces_of_a_reply_are_put_together(later: Delivering) -> None:
    """Whoever holds the line gets all objects, not those of the last piece."""
    task = asyncio.create_task(later.ask(a_get("a", "b")))
    await later.until_given("oms", 1)
    (given,) = later.sender.to("oms")
    first = reply_to(given.message, Result.PARTIAL, "0.1", payload=tickets("a"), message_id="p-1")
    last = reply_to(given.message, Result.OK, "0.0", payload=tickets("b"), message_id="p-2")
    await later.ask(compress_payload(first, above_bytes=1))
    await later.ask(compress_payload(last, above_bytes=1))
    reply = await task
    assert isinstance(reply, ResponseMessage)
    assert reply.payload is not None
    assert reply.payload.content == (tickets("a", "b"),)


@pytest.mark.parametrize("name", list(CHANNELS))
async def test_a_forwarded_request_is_answered_and_repeated_in_the_form_in_which_it_came(
    remote: Delivering, name: str
) -> None:
    """The strongly typed form too, whatever the owner speaks."""
    remote.sender.answers["oms"] = [replied(Result.OK, "0.0", source="NEW-OMS")]
    channel = CHANNELS[name]
    first = await remote.post(a_create(), channel)
    answer = answer_of(channel, first)
    assert isinstance(answer, ResponseMessage)
    assert (answer.reply.result, answer.header.source) == (Result.OK, "NEW-OMS")
    assert (await remote.post(a_create(), channel)).body == first.body
    assert len(remote.sender.to("oms")) == 1
    other = await remote.ask(a_create(), CHANNELS["rest-xml"])
    assert isinstance(other, ResponseMessage)
    assert other.header.message_id == answer.header.message_id


@pytest.mark.parametrize("name", list(CHANNELS))
async def test_a_queued_request_goes_out_whatever_form_it_came_in(remote: Delivering, name: str) -> None:
    """It is read back from what came."""
    await remote.post(asynchronous(a_create()), CHANNELS[name])
    await remote.until_state(CALLER, DeliveryState.DELIVERED)
    assert remote.sender.to("oms")[0].message.payload == a_create().payload


@pytest.mark.parametrize(
    "second",
    [
        {"message_id": MessageID("other"), "correlation_id": CorrelationID("business-7")},
        {"source": "OTHER", "correlation_id": CorrelationID("business-7")},
    ],
    ids=["one CorrelationID", "one MessageID and CorrelationID of two senders"],
)
async def test_a_reply_belongs_to_the_request_that_waits_for_one(later: Delivering, second: dict[str, object]) -> None:
    """A CorrelationID may be shared by messages that belong together, and the first of them may be long done."""
    first = with_header(asynchronous(a_create()), correlation_id=CorrelationID("business-7"))
    await later.ask(first)
    await later.until_state("oms", DeliveryState.AWAITING)
    await later.ask(reply_to(first, message_id="r-1"))
    await later.until_state("oms", DeliveryState.DELIVERED)
    request = with_header(asynchronous(a_create(3)), message_id=first.header.message_id)
    await later.ask(with_header(request, **second))
    await later.until_state("oms", DeliveryState.DELIVERED, DeliveryState.AWAITING)
    await later.ask(reply_to(first, message_id="r-2"))
    await later.until_state("oms", DeliveryState.DELIVERED, DeliveryState.DELIVERED)
    await later.until_state(CALLER, DeliveryState.DELIVERED, DeliveryState.DELIVERED)


async def test_a_request_without_identifiers_gets_its_later_reply(later: Delivering) -> None:
    """The owner could not link its reply to anything; so the hub gives the request an identifier on its way."""
    task = asyncio.create_task(later.ask(with_header(a_create(), message_id=None, correlation_id=None)))
    await later.until_given("oms", 1)
    given = later.sender.to("oms")[0].message
    assert given.header.message_id
    await later.ask(reply_to(given))
    answer = await task
    assert isinstance(answer, ResponseMessage)
    assert (answer.reply.result, answer.header.correlation_id) == (Result.OK, None)


async def test_a_queued_request_without_identifiers_is_done_when_its_reply_comes(tmp_path: Path) -> None:
    """Else it would be a dead letter although it was answered."""
    hub = await opened(tmp_path, msgspec.structs.replace(LATER, forward=Forward.QUEUE))
    hub.sender.answers["oms"] = [replied(Result.OK, "0.3")]
    await hub.ask(with_header(a_create(), message_id=None, correlation_id=None))
    await hub.until_state("oms", DeliveryState.AWAITING)
    await hub.ask(reply_to(hub.sender.to("oms")[0].message))
    await hub.until_state("oms", DeliveryState.DELIVERED)
    await hub.hub.close()


async def test_an_answer_that_is_the_first_piece_is_waited_for_to_the_end(later: Delivering) -> None:
    """'More follows' would be a lie to a sender to whom nothing can follow."""
    later.sender.answers["oms"] = [replied(Result.PARTIAL, "0.1", payload=tickets("a"))]
    task = asyncio.create_task(later.ask(a_get("a", "b")))
    await later.until_given("oms", 1)
    given = later.sender.to("oms")[0].message
    await later.ask(reply_to(given, Result.OK, "0.0", payload=tickets("b"), message_id="p-2"))
    reply = await task
    assert isinstance(reply, ResponseMessage)
    assert reply.payload is not None
    assert reply.payload.content == (tickets("a", "b"),)
    assert [error.code for error in reply.reply.error] == ["0.0"]


async def test_a_reply_in_more_pieces_than_a_page_of_the_log_is_seen_whole(
    later: Delivering, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last piece says that it is the last, and must not be the one that is not looked at."""
    monkeypatch.setattr(later_module, "_PAGE", 2)
    task = asyncio.create_task(later.ask(a_get("a")))
    await later.until_given("oms", 1)
    message = later.sender.to("oms")[0].message
    for number in range(5):
        piece = reply_to(message, Result.PARTIAL, "0.1", payload=tickets(f"t{number}"), message_id=f"p-{number}")
        await later.ask(piece)
    await later.ask(reply_to(message, Result.OK, "0.0", payload=tickets("t5"), message_id="p-5"))
    answer = await task
    assert answer.payload is not None
    (whole,) = answer.payload.content
    assert isinstance(whole, TroubleTickets)
    assert [one.mrid for one in whole.trouble_ticket] == [f"t{number}" for number in range(6)]
    surplus = reply_to(message, Result.OK, "0.0", message_id="p-6")
    assert [error.code for error in (await later.ask(surplus)).reply.error] == ["0.3"]
