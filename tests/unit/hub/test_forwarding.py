"""Requests whose noun belongs to a partner, and replies that come or go later."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cimcare.codec.digest import digest_of
from cimcare.exchange.log import Direction, Outcome
from cimcare.exchange.outbox import DeliveryKind, DeliveryState
from cimcare.exchange.partners import Forward, Partner, Replies, Retry
from cimcare.exchange.ports import Selection
from cimcare.hub.intake.builtin import COLLECTIONS
from cimcare.hub.operation.balance import balances
from cimcare.model.envelope import (
    EventMessage,
    FaultMessage,
    ObjectID,
    Operation,
    OperationSet,
    Payload,
    Request,
    RequestMessage,
    ResponseMessage,
    Result,
)
from cimcare.model.identity import MRID, CorrelationID, MessageID
from cimcare.model.nouns import Noun, Role
from cimcare.model.trouble_ticket import TroubleTicket, TroubleTickets
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from tests.support.channels import CHANNELS
from tests.support.sender import fault, replied, reply_to, silent
from tests.unit.hub.conftest import NOON, HeldHub
from tests.unit.hub.outgoing.test_delivery import Delivering, a_create, ask_ok

MORE = """
[delivery]
poll_seconds = 0.05
[hub]
address = "http://hub.example"
reply_objects = 2
reply_hosts = ["caller.example"]
"""
OMS = Partner(
    name="oms",
    url="http://oms.example/soap",
    source="NEW-OMS",
    role=Role.OMS,
    owns=(Noun.TROUBLE_TICKETS, Noun.INCIDENTS),
    retry=Retry(jitter=0.0),
)


async def opened(folder: Path, *partners: Partner) -> Delivering:
    hub = Delivering()
    await hub.open(folder, MORE, sender=hub.sender, partners=partners)
    return hub


@pytest.fixture
async def remote(tmp_path: Path) -> AsyncIterator[Delivering]:
    hub = await opened(tmp_path, OMS)
    yield hub
    await hub.hub.close()


@pytest.fixture
async def later(tmp_path: Path) -> AsyncIterator[Delivering]:
    hub = await opened(tmp_path, msgspec.structs.replace(OMS, replies=Replies.LATER))
    yield hub
    await hub.hub.close()


@pytest.fixture
async def queued(tmp_path: Path) -> AsyncIterator[Delivering]:
    hub = await opened(tmp_path, msgspec.structs.replace(OMS, forward=Forward.QUEUE))
    yield hub
    await hub.hub.close()


def asynchronous(message: RequestMessage, address: str = "http://caller.example/replies") -> RequestMessage:
    header = msgspec.structs.replace(message.header, async_reply_flag=True, reply_address=address)
    return msgspec.structs.replace(message, header=header)


def a_get(*mrids: str, **changes: object) -> RequestMessage:
    header = msgspec.structs.replace(a_create().header, verb=Verb.GET, message_id=MessageID("get-1"))
    ids = tuple(ObjectID(value=mrid) for mrid in mrids)
    return RequestMessage(header=msgspec.structs.replace(header, **changes), request=Request(id=ids))


def tickets(*names: str) -> TroubleTickets:
    return TroubleTickets(trouble_ticket=tuple(TroubleTicket(mrid=MRID(name)) for name in names))


def codes_of(answer: ResponseMessage | FaultMessage) -> list[str]:
    """Codes of a reply, without those that say where a ticket belongs."""
    return [error.code for error in answer.reply.error if "BUS-120" not in (error.details or "")]


# ------------------------------------------------------------------------------------------------- passed through


async def test_a_request_goes_to_the_owner_and_its_reply_to_the_sender(remote: Delivering) -> None:
    """Point one line at a real system, and it plays the role."""
    remote.sender.answers["oms"] = [replied(Result.OK, "0.0", source="NEW-OMS")]
    answer = await ask_ok(remote, a_create())
    (given,) = remote.sender.to("oms")
    assert digest_of(given.message) == digest_of(a_create()), "as it came, with its MessageID and its Source"
    assert (answer.header.source, answer.header.correlation_id) == ("NEW-OMS", "create-2")
    came, out, back, reply = await remote.log()
    assert (came.direction, came.outcome, came.partner) == (Direction.IN, Outcome.OK, "CALLS")
    assert (out.direction, out.partner, out.answer_to) == (Direction.OUT, "NEW-OMS", came.sequence)
    assert (back.direction, back.partner, back.outcome) == (Direction.IN, "NEW-OMS", Outcome.OK)
    assert (reply.direction, reply.partner, reply.answer_to) == (Direction.OUT, "CALLS", came.sequence)
    assert await remote.log(noun="Incidents") == (), "the built-in system of the role keeps out of it"


async def test_the_owners_refusal_is_the_senders_refusal(remote: Delivering) -> None:
    """In the owner's words, not in ours."""
    remote.sender.answers["oms"] = [replied(Result.FAILED, "2.16")]
    answer = await remote.ask(a_create())
    assert isinstance(answer, ResponseMessage)
    assert (answer.reply.result, codes_of(answer)) == (Result.FAILED, ["2.16"])
    (came,) = await remote.log(direction=Direction.IN, partner="CALLS")
    assert (came.outcome, came.codes) == (Outcome.FAILED, ("2.16",))


@pytest.mark.parametrize(
    ("script", "code", "word"),
    [
        (silent("no answer within 30 s"), "4.1", "whether it took the message is not known"),
        (fault("Server: out of order"), "5.3", "answered with an error: Server: out of order"),
        (lambda given: msgspec.structs.replace(replied()(given), reply=None, received=b""), "5.3", "without any reply"),
    ],
)
async def test_an_owner_that_does_not_reply_is_said_honestly(
    remote: Delivering, script: object, code: str, word: str
) -> None:
    """Neither OK nor 'not done' would be the truth."""
    remote.sender.answers["oms"] = [script, replied()]  # type: ignore[list-item]
    answer = await remote.ask(a_create())
    assert (answer.reply.result, codes_of(answer)) == (Result.FAILED, [code])
    assert word in (answer.reply.error[0].details or "")
    again = await ask_ok(remote, a_create())
    assert again.header.correlation_id == "create-2"
    assert [given.id for given in remote.sender.to("oms")] == ["create-2", "create-2"]


@pytest.mark.parametrize(
    ("failure", "more"),
    [("Client: element Foo is not expected", {"blames_us": True}), ("HTTP 413 Payload Too Large", {"status": 413})],
)
async def test_an_owner_that_holds_the_message_to_be_wrong_is_not_asked_the_same_again(
    remote: Delivering, failure: str, more: dict[str, Any]
) -> None:
    """Who is told to send the same message again would do so for ever."""
    remote.sender.answers["oms"] = [fault(failure, **more)]
    answer = await remote.ask(a_create())
    assert (answer.reply.result, codes_of(answer)) == (Result.FAILED, ["1.8"])
    details = answer.reply.error[0].details or ""
    assert f"oms refused the message: {failure}" in details
    assert "a message without what it names" in details
    assert "same message with the same MessageID" not in details


async def test_an_owner_that_was_not_reached_is_said_not_to_have_the_message(remote: Delivering) -> None:
    """Where nothing has left, nobody need wonder what became of it."""
    remote.sender.answers["oms"] = [
        lambda given: msgspec.structs.replace(silent("could not connect")(given), code="NET-107")
    ]
    answer = await remote.ask(a_create())
    assert "this attempt did not reach it" in (answer.reply.error[0].details or "")


async def test_a_repeat_gets_the_stored_reply_and_the_owner_is_not_asked_again(remote: Delivering) -> None:
    """G2 over the whole way."""
    first = await remote.post(a_create())
    assert (await remote.post(a_create())).body == first.body
    assert len(remote.sender.to("oms")) == 1


async def test_a_repeat_while_the_owner_still_works_waits_for_the_same_answer(remote: Delivering) -> None:
    """An impatient sender must not make two tickets."""
    remote.sender.gates["oms"] = asyncio.Event()
    first = asyncio.create_task(remote.post(a_create()))
    await remote.until_given("oms", 1)
    second = asyncio.create_task(remote.post(a_create()))
    await remote.quiet()
    remote.sender.gates["oms"].set()
    assert (await first).body == (await second).body
    assert len(remote.sender.to("oms")) == 1


async def test_a_repeat_of_what_then_fails_is_told_to_come_again(remote: Delivering) -> None:
    """It is processed anew when it comes again (G2)."""
    remote.sender.answers["oms"] = [silent(), replied()]
    remote.sender.gates["oms"] = asyncio.Event()
    first = asyncio.create_task(remote.post(a_create()))
    await remote.until_given("oms", 1)
    second = asyncio.create_task(remote.post(a_create()))
    await remote.quiet()
    remote.sender.gates["oms"].set()
    assert (await first).status == 200
    busy = await second
    assert (busy.status, busy.headers["retry-after"]) == (503, "2")
    await ask_ok(remote, a_create())


async def test_a_repeat_long_after_its_hub_died_is_passed_on_again(remote: Delivering) -> None:
    """What nobody works on any more must not be 'in work' for ever."""
    remote.sender.gates["oms"] = asyncio.Event()
    task = asyncio.create_task(remote.post(a_create()))
    await remote.until_given("oms", 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    del remote.sender.gates["oms"]  # the first attempt never ends, as if its process had been killed
    remote.later(minutes=2)
    await ask_ok(remote, a_create())
    assert len(remote.sender.to("oms")) == 2


async def test_a_dead_owner_is_not_asked_over_and_over(remote: Delivering) -> None:
    """Every caller would wait for its deadline, and all places would be taken by those who wait (G11)."""
    remote.sender.answers["oms"] = [silent("connection refused")]
    for seed in range(2, 7):
        await remote.ask(a_create(seed))
    answer = await remote.ask(a_create(8))
    assert codes_of(answer) == ["4.1"]
    assert "has not answered 5 times in a row (connection refused)" in (answer.reply.error[0].details or "")
    assert len(remote.sender.to("oms")) == 5
    remote.sender.answers["oms"] = [replied()]
    remote.later(minutes=1)
    await ask_ok(remote, a_create(8))


async def test_too_many_that_wait_for_one_partner_are_refused_and_others_are_not(remote: Delivering) -> None:
    """G8 and G11: a slow partner fills its own places and nobody else's."""
    remote.sender.gates["oms"] = asyncio.Event()
    tasks = [asyncio.create_task(remote.post(a_create(seed))) for seed in range(2, 102)]
    await remote.until_given("oms", 100)
    async with asyncio.timeout(60):  # an answer at once, and not when the partner moves
        answer = await remote.ask(a_create(200))
    assert codes_of(answer) == ["5.1"]
    assert remote.hub.pipeline.waiting == 0
    agreement = build_message(Noun.CUSTOMER_AGREEMENTS, Verb.CREATE, seed=3)
    assert isinstance(agreement, RequestMessage)
    await ask_ok(remote, agreement)
    remote.sender.gates["oms"].set()
    await asyncio.gather(*tasks)


async def test_a_bad_message_is_refused_here_and_never_reaches_the_owner(remote: Delivering) -> None:
    """Rules are judged once, before anybody else is troubled."""
    answer = await remote.ask(msgspec.structs.replace(a_create(), payload=None))
    assert codes_of(answer) == ["1.7"]
    assert remote.sender.given == []


async def test_the_partners_events_reach_the_built_in_systems(remote: Delivering) -> None:
    """A customer system that is built in has to follow an outage system that is not."""
    event = build_message(Noun.TROUBLE_TICKETS, Verb.CREATED, seed=4)
    header = msgspec.structs.replace(event.header, source="NEW-OMS", message_id=MessageID("e-1"))
    await ask_ok(remote, msgspec.structs.replace(event, header=header))
    collection = "cis.TroubleTickets"

    assert len(await remote.store.reader.records.select(COLLECTIONS[collection], Selection())) == 1


async def test_a_remote_role_hears_what_the_built_in_one_would(tmp_path: Path) -> None:
    """A real customer system gets the tickets and incidents without any subscription."""
    hub = await opened(
        tmp_path,
        msgspec.structs.replace(OMS, name="cis", source="CIS", role=Role.CIS, owns=(Noun.CUSTOMER_AGREEMENTS,)),
    )
    await ask_ok(hub, a_create())
    await hub.until_given("cis", 2)
    assert {given.message.header.noun for given in hub.sender.to("cis")} == {"TroubleTickets", "Incidents"}
    await hub.hub.close()


# ------------------------------------------------------------------------------------------------- operation sets


def an_operation_set(*nouns: Noun, source: str = "CALLS") -> RequestMessage:
    operations = []
    for number, noun in enumerate(nouns, 1):
        content = build_message(noun, Verb.CREATE, seed=number).payload.content[0]  # type: ignore[union-attr]
        operations.append(Operation(operation_id=number, noun=noun.value, verb="create", content=content))
    header = msgspec.structs.replace(
        a_create().header, verb=Verb.EXECUTE, noun="OperationSet", message_id=MessageID("set-1"), source=source
    )
    return RequestMessage(header=header, payload=Payload(operation_set=OperationSet(operation=tuple(operations))))


async def test_a_set_of_one_owner_goes_there_whole(remote: Delivering) -> None:
    """All or nothing can only be kept by one system."""
    await ask_ok(remote, an_operation_set(Noun.TROUBLE_TICKETS, Noun.TROUBLE_TICKETS))
    (given,) = remote.sender.to("oms")
    assert digest_of(given.message) == digest_of(an_operation_set(Noun.TROUBLE_TICKETS, Noun.TROUBLE_TICKETS))


async def test_a_set_over_several_systems_is_refused(remote: Delivering) -> None:
    """Nobody could undo the half of it."""
    answer = await remote.ask(an_operation_set(Noun.TROUBLE_TICKETS, Noun.CUSTOMER_AGREEMENTS))
    assert codes_of(answer) == ["5.2"]
    assert "TroubleTickets to oms, CustomerAgreements to a built-in system" in (answer.reply.error[0].details or "")
    assert remote.sender.given == []


async def test_a_set_of_built_in_owners_is_served_here(remote: Delivering) -> None:
    """A partner elsewhere changes nothing for the others."""
    await ask_ok(remote, an_operation_set(Noun.CUSTOMER_AGREEMENTS))
    assert remote.sender.given == []


# -------------------------------------------------------------------------------------------- owner that replies later


async def test_a_sender_that_waits_gets_a_reply_that_comes_later(later: Delivering) -> None:
    """Who asks in one exchange need not know how the owner answers."""
    later.sender.answers["oms"] = [replied(Result.OK, "0.3")]
    task = asyncio.create_task(later.ask(a_get("a", "b", "c")))
    await later.until_given("oms", 1)
    (given,) = later.sender.to("oms")
    header = given.message.header
    assert (header.async_reply_flag, header.reply_address) == (True, "http://hub.example/soap")
    parts = [
        reply_to(given.message, Result.PARTIAL, "0.1", payload=tickets("a", "b"), message_id="p-1"),
        reply_to(given.message, Result.OK, "0.0", payload=tickets("c"), message_id="p-2"),
    ]
    for part in parts:
        answer = await later.ask(part, CHANNELS["soap11"])
        assert codes_of(answer) == ["0.3"]
    reply = await task
    assert isinstance(reply, ResponseMessage)
    assert reply.payload is not None
    assert reply.payload.content == (tickets("a", "b", "c"),)
    assert (reply.reply.result, reply.header.correlation_id) == (Result.OK, "get-1")


async def test_a_reply_that_does_not_come_in_time_is_said_to_be_missing(later: Delivering) -> None:
    """And the message may come again: the owner knows it."""
    later.sender.answers["oms"] = [replied(Result.OK, "0.3")]
    task = asyncio.create_task(later.ask(a_create()))
    await later.until_given("oms", 1)
    await later.quiet()
    later.later(seconds=31)
    answer = await task
    assert codes_of(answer) == ["4.1"]
    assert "has the message and has not answered within 30 s" in (answer.reply.error[0].details or "")
    (given,) = later.sender.to("oms")
    assert codes_of(await later.ask(reply_to(given.message))) in (["0.3"], ["2.15"])


async def test_an_acknowledgement_without_content_is_a_receipt(later: Delivering) -> None:
    """202 is a fair answer to a request whose reply comes later."""
    later.sender.answers["oms"] = [lambda given: msgspec.structs.replace(replied()(given), reply=None, received=b"")]
    task = asyncio.create_task(later.ask(a_create()))
    await later.until_given("oms", 1)
    (given,) = later.sender.to("oms")
    await later.ask(reply_to(given.message))
    assert (await task).reply.result is Result.OK


async def test_an_asynchronous_request_to_an_owner_that_replies_later(later: Delivering) -> None:
    """Both legs are asynchronous: a receipt at once, the replies one after another to the sender's own address."""
    later.sender.answers["oms"] = [replied(Result.OK, "0.3")]
    assert codes_of(await later.ask(asynchronous(a_create()))) == ["0.3"]
    await later.until_state("oms", DeliveryState.AWAITING)
    (given,) = later.sender.to("oms")
    for number, (result, code) in enumerate([(Result.PARTIAL, "0.1"), (Result.OK, "0.0")]):
        await later.ask(reply_to(given.message, result, code, message_id=f"p-{number}"))
    destination = "reply caller.example"
    await later.until_state(destination, DeliveryState.DELIVERED, DeliveryState.DELIVERED)
    told = later.sender.to(destination)
    assert [one.message.reply.result for one in told] == [Result.PARTIAL, Result.OK]  # type: ignore[union-attr]
    assert {one.address for one in told} == {"http://caller.example/replies"}
    assert {one.message.header.correlation_id for one in told} == {"create-2"}
    await later.until_state("oms", DeliveryState.DELIVERED)


async def test_a_reply_that_is_quicker_than_its_acknowledgement_is_not_awaited_again(later: Delivering) -> None:
    """Else its sender would hear an hour later that it never came."""
    later.sender.answers["oms"] = [silent(), replied(Result.OK, "0.3")]
    await later.ask(asynchronous(a_create()))
    await later.until_failed("oms", 1)
    (given,) = later.sender.to("oms")
    await later.ask(reply_to(given.message))
    await later.until_state("reply caller.example", DeliveryState.DELIVERED)
    later.later(seconds=1)
    await later.until_state("oms", DeliveryState.DELIVERED)


async def test_the_rest_of_a_reply_that_began_in_the_answer_is_awaited(later: Delivering) -> None:
    """Whoever has got the first piece must hear how it ends, and be it that the rest never came."""
    later.sender.answers["oms"] = [replied(Result.PARTIAL, "0.1", message_id="p-1")]
    await later.ask(asynchronous(a_create()))
    await later.until_state("oms", DeliveryState.AWAITING)
    later.later(hours=1, seconds=1)
    await later.until_state("oms", DeliveryState.DEAD)
    await later.until_state("reply caller.example", DeliveryState.DELIVERED, DeliveryState.DELIVERED)
    first, last = (given.message for given in later.sender.to("reply caller.example"))
    assert [codes_of(one) for one in (first, last)] == [["0.1"], ["4.1"]]  # type: ignore[arg-type]


async def test_only_one_last_reply_reaches_the_sender(later: Delivering) -> None:
    """An owner that answers twice must not make two answers of one."""
    later.sender.answers["oms"] = [replied(Result.OK, "0.3")]
    await later.ask(asynchronous(a_create()))
    await later.until_state("oms", DeliveryState.AWAITING)
    (given,) = later.sender.to("oms")
    for number in range(2):
        assert codes_of(await later.ask(reply_to(given.message, message_id=f"p-{number}"))) == ["0.3"]
    await later.until_state("reply caller.example", DeliveryState.DELIVERED)
    await later.quiet()
    assert len(later.sender.to("reply caller.example")) == 1


async def test_a_reply_that_never_comes_ends_as_a_dead_letter_and_the_sender_hears_of_it(later: Delivering) -> None:
    """Nothing waits for ever, and nobody is left without an answer."""
    later.sender.answers["oms"] = [replied(Result.OK, "0.3")]
    await later.ask(asynchronous(a_create()))
    await later.until_state("oms", DeliveryState.AWAITING)
    later.later(hours=1, seconds=1)
    await later.until_state("oms", DeliveryState.DEAD)
    await later.until_state("reply caller.example", DeliveryState.DELIVERED)
    (told,) = later.sender.to("reply caller.example")
    assert isinstance(told.message, ResponseMessage)
    assert (told.message.reply.result, codes_of(told.message)) == (Result.FAILED, ["4.1"])


async def test_who_hears_that_a_request_was_given_up_is_advised_what_helps(later: Delivering) -> None:
    """The same message again brings the stored receipt and nothing else, for ever; so that is what must not be said."""
    later.sender.answers["oms"] = [replied(Result.OK, "0.3")]
    await later.ask(asynchronous(a_create()))
    await later.until_state("oms", DeliveryState.AWAITING)
    later.later(hours=1, seconds=1)
    await later.until_state("reply caller.example", DeliveryState.DELIVERED)
    (told,) = later.sender.to("reply caller.example")
    assert isinstance(told.message, ResponseMessage)
    details = told.message.reply.error[0].details or ""
    assert "a request with a new MessageID" in details
    assert "this one again brings no more than its receipt" in details
    assert codes_of(await later.ask(asynchronous(a_create()))) == ["0.3"]
    await later.quiet()
    assert len(later.sender.to("oms")) == 1


async def test_a_reply_that_comes_after_all_settles_the_dead_letter(later: Delivering) -> None:
    """The sender gets the truth, and no operator sends again what the owner has done."""
    later.sender.answers["oms"] = [replied(Result.OK, "0.3")]
    await later.ask(asynchronous(a_create()))
    await later.until_state("oms", DeliveryState.AWAITING)
    later.later(hours=1, seconds=1)
    await later.until_state("oms", DeliveryState.DEAD)
    await later.until_state("reply caller.example", DeliveryState.DELIVERED)
    (given,) = later.sender.to("oms")
    assert codes_of(await later.ask(reply_to(given.message, Result.OK, "0.0"))) == ["0.3"]
    await later.until_state("reply caller.example", DeliveryState.DELIVERED, DeliveryState.DELIVERED)
    told = [one.message for one in later.sender.to("reply caller.example")]
    assert [codes_of(one) for one in told] == [["4.1"], ["0.0"]]  # type: ignore[arg-type]
    (settled,) = await later.deliveries(partner="oms")
    assert (settled.state, settled.due_at) == (DeliveryState.DELIVERED, later.now)
    assert settled.reason.startswith("answered after it was given up: ")
    found = await balances(later.store.reader, NOON - timedelta(hours=1), later.now + timedelta(hours=1))
    assert [(one.line.dead, one.line.delivered, one.missing) for one in found if one.line.partner == "oms"] == [
        (0, 1, 0)
    ]


async def test_a_piece_of_a_reply_settles_no_dead_letter(later: Delivering) -> None:
    """The rest may never come."""
    later.sender.answers["oms"] = [replied(Result.OK, "0.3")]
    await later.ask(asynchronous(a_create()))
    await later.until_state("oms", DeliveryState.AWAITING)
    later.later(hours=1, seconds=1)
    await later.until_state("oms", DeliveryState.DEAD)
    (given,) = later.sender.to("oms")
    assert codes_of(await later.ask(reply_to(given.message, Result.PARTIAL, "0.1"))) == ["0.3"]
    assert await later.states("oms") == [DeliveryState.DEAD]


# ----------------------------------------------------------------------------------------------- store and forward


async def test_a_queued_request_is_taken_at_once_and_delivered(queued: Delivering) -> None:
    """The sender need not wait for an owner that is down."""
    queued.sender.answers["oms"] = [silent(), replied()]
    assert codes_of(await queued.ask(a_create())) == ["0.3"]
    await queued.until_failed("oms", 1)
    queued.later(seconds=1)
    await queued.until_state("oms", DeliveryState.DELIVERED)
    (delivery,) = await queued.deliveries(partner="oms")
    assert (delivery.kind, delivery.attempts) == (DeliveryKind.REQUEST, 2)
    assert [given.id for given in queued.sender.to("oms")] == ["create-2", "create-2"]


async def test_a_get_is_never_queued(queued: Delivering) -> None:
    """Its reply is all that anybody wants of it."""
    queued.sender.answers["oms"] = [replied(Result.OK, "0.0", payload=tickets("a"))]
    answer = await ask_ok(queued, a_get("a"))
    assert answer.payload is not None
    assert answer.payload.content == (tickets("a"),)


async def test_a_queued_request_that_is_refused_is_a_dead_letter(queued: Delivering) -> None:
    """Nobody waits for the reply, so an operator has to see it."""
    queued.sender.answers["oms"] = [replied(Result.FAILED, "2.16")]
    await queued.ask(a_create())
    await queued.until_state("oms", DeliveryState.DEAD)
    (dead,) = await queued.deliveries(partner="oms")
    assert dead.reason == "FAILED: 2.16 told 2.16"


async def test_a_repeat_of_a_queued_request_is_queued_once(queued: Delivering) -> None:
    """G2."""
    first = await queued.post(a_create())
    assert (await queued.post(a_create())).body == first.body
    assert len(await queued.deliveries(partner="oms")) == 1


async def test_a_one_way_request_is_taken_without_an_answer(remote: Delivering) -> None:
    """AckRequired false: the transport acknowledges, and delivery is the hub's business."""
    message = a_create()
    header = msgspec.structs.replace(message.header, ack_required=False)
    response = await remote.post(msgspec.structs.replace(message, header=header))
    assert (response.status, response.body) == (202, b"")
    await remote.until_state("oms", DeliveryState.DELIVERED)


async def test_an_asynchronous_request_gets_the_owners_reply_at_its_address(remote: Delivering) -> None:
    """The owner answers in one exchange; the sender wants it later."""
    remote.sender.answers["oms"] = [replied(Result.OK, "0.0", source="NEW-OMS")]
    assert codes_of(await remote.ask(asynchronous(a_create()))) == ["0.3"]
    await remote.until_state("reply caller.example", DeliveryState.DELIVERED)
    (told,) = remote.sender.to("reply caller.example")
    assert (told.message.header.source, told.message.header.correlation_id) == ("NEW-OMS", "create-2")
    (given,) = remote.sender.to("oms")
    assert (given.message.header.async_reply_flag, given.message.header.reply_address) == (None, None)


async def test_an_asynchronous_request_that_the_owner_refuses_gets_the_refusal(remote: Delivering) -> None:
    """A refusal is an answer, not a dead letter."""
    remote.sender.answers["oms"] = [replied(Result.FAILED, "2.16")]
    await remote.ask(asynchronous(a_create()))
    await remote.until_state("reply caller.example", DeliveryState.DELIVERED)
    assert await remote.states("oms") == [DeliveryState.DELIVERED]
    (told,) = remote.sender.to("reply caller.example")
    assert codes_of(told.message) == ["2.16"]  # type: ignore[arg-type]


async def test_an_asynchronous_request_that_is_given_up_is_answered_all_the_same(remote: Delivering) -> None:
    """Its sender must not wait for ever."""
    remote.sender.answers["oms"] = [silent("nobody there")]
    await remote.ask(asynchronous(a_create()))
    await remote.until_failed("oms", 1)
    remote.later(hours=25)
    await remote.until_state("oms", DeliveryState.DEAD)
    await remote.until_state("reply caller.example", DeliveryState.DELIVERED)
    (told,) = remote.sender.to("reply caller.example")
    assert codes_of(told.message) == ["4.1"]  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------ later replies of built-in systems


PORTAL = Partner(name="portal", url="http://portal.example/soap", source="PORTAL")


@pytest.fixture
async def built_in(tmp_path: Path) -> AsyncIterator[Delivering]:
    hub = await opened(tmp_path, PORTAL)
    yield hub
    await hub.hub.close()


async def test_a_built_in_system_replies_later_too(built_in: Delivering) -> None:
    """A receipt at once, the reply to the ReplyAddress, and the effect once."""
    answer = await built_in.ask(asynchronous(a_create()))
    assert codes_of(answer) == ["0.3"]
    await built_in.until_state("reply caller.example", DeliveryState.DELIVERED)
    (told,) = built_in.sender.to("reply caller.example")
    assert isinstance(told.message, ResponseMessage)
    assert (told.message.reply.result, codes_of(told.message)) == (Result.OK, ["0.0"])
    assert told.message.header.correlation_id == "create-2"
    assert told.message.reply.id
    again = await built_in.ask(asynchronous(a_create()))
    assert again == answer
    await built_in.quiet()
    assert len(built_in.sender.to("reply caller.example")) == 1


async def test_a_large_answer_comes_in_pieces_in_order(built_in: Delivering) -> None:
    """PARTIAL and 0.1 while more follows; the last one is OK."""
    for seed in range(2, 7):
        await ask_ok(built_in, a_create(seed))
    await built_in.ask(asynchronous(a_get()))
    destination = "reply caller.example"
    await built_in.until_state(destination, *[DeliveryState.DELIVERED] * 3)
    messages = [one.message for one in built_in.sender.to(destination)]
    assert all(isinstance(one, ResponseMessage) for one in messages)
    assert [one.reply.result for one in messages] == [Result.PARTIAL, Result.PARTIAL, Result.OK]  # type: ignore[union-attr]
    assert [codes_of(one) for one in messages] == [["0.1"], ["0.1"], ["0.0"]]  # type: ignore[arg-type]
    assert [len(one.payload.content[0].trouble_ticket) for one in messages] == [2, 2, 1]  # type: ignore[union-attr]
    assert len({one.header.message_id for one in messages}) == 3


async def test_pieces_keep_their_order_when_one_is_delayed(built_in: Delivering) -> None:
    """The last piece says that nothing more follows, so it has to be the last."""
    destination = "reply caller.example"
    built_in.sender.answers[destination] = [silent(), replied()]
    for seed in range(2, 6):
        await ask_ok(built_in, a_create(seed))
    await built_in.ask(asynchronous(a_get()))
    await built_in.until_failed(destination, 1)
    built_in.later(seconds=2)
    await built_in.until_state(destination, DeliveryState.DELIVERED, DeliveryState.DELIVERED)
    codes = [codes_of(one.message) for one in built_in.sender.to(destination)]  # type: ignore[arg-type]
    assert codes == [["0.1"], ["0.1"], ["0.0"]]


async def test_a_partner_gets_its_later_replies_as_it_is_configured(built_in: Delivering) -> None:
    """With its certificates, retries and circuit, but to the address that the request names."""
    header = msgspec.structs.replace(a_create().header, source="PORTAL")
    request = msgspec.structs.replace(a_create(), header=header)
    await built_in.ask(asynchronous(request, "http://portal.example/inbox"))
    await built_in.until_state("portal", DeliveryState.DELIVERED)
    (told,) = built_in.sender.to("portal")
    assert (told.address, told.wire.url) == ("http://portal.example/inbox", "http://portal.example/soap")


@pytest.mark.parametrize("name", ["soap11", "soap12", "rest-xml", "rest-json"])
async def test_who_is_no_partner_is_answered_in_the_form_in_which_it_asked(built_in: Delivering, name: str) -> None:
    """Nothing else is known of it."""
    channel = CHANNELS[name]
    await built_in.ask(asynchronous(a_create()), channel)
    await built_in.until_state("reply caller.example", DeliveryState.DELIVERED)
    (told,) = built_in.sender.to("reply caller.example")
    assert (told.wire.wire.value, told.wire.as_json, told.wire.soap_12) == (
        "rest" if name.startswith("rest") else "soap",
        name == "rest-json",
        name == "soap12",
    )


@pytest.mark.parametrize(
    "address", ["http://elsewhere.example/x", "queue:replies", "ftp://caller.example/x", "http://caller.example@evil/"]
)
async def test_replies_go_only_where_they_may(built_in: Delivering, address: str) -> None:
    """A hub that posts to whatever address a message names is a tool for attackers."""
    answer = await built_in.ask(asynchronous(a_create(), address))
    assert codes_of(answer) == ["7.7"]
    assert "hub.reply_hosts" in (answer.reply.error[0].details or "")
    assert await built_in.deliveries() == ()


async def test_a_request_that_fails_says_so_at_once(built_in: Delivering) -> None:
    """There is nothing to wait for."""
    answer = await built_in.ask(asynchronous(a_get("nobody")))
    assert answer.reply.result is Result.FAILED
    await built_in.quiet()
    assert built_in.sender.given == []


async def test_an_event_is_not_answered_later(built_in: Delivering) -> None:
    """The pattern is for requests."""
    event = build_message(Noun.TROUBLE_TICKETS, Verb.CREATED, seed=4)
    header = msgspec.structs.replace(
        event.header,
        async_reply_flag=True,
        reply_address="http://caller.example/",
        message_id=MessageID("e-1"),
        correlation_id=CorrelationID("c-1"),
    )
    assert isinstance(event, EventMessage)
    assert codes_of(await built_in.ask(msgspec.structs.replace(event, header=header))) == ["5.2"]


async def test_in_work_is_seen_in_the_ledger_until_it_ends(remote: HeldHub) -> None:
    """A request that is being passed on is neither delivered nor refused yet (G7)."""
    assert isinstance(remote, Delivering)
    remote.sender.gates["oms"] = asyncio.Event()
    task = asyncio.create_task(remote.post(a_create()))
    await remote.until_given("oms", 1)
    start = remote.now.replace(minute=0)
    reader = remote.store.reader.ledger
    assert await reader.count_in_work("CALLS", start, start + timedelta(hours=1)) == 1
    (line,) = await reader.lines(start, start + timedelta(hours=1))
    assert (line.received, line.delivered) == (1, 0)
    remote.sender.gates["oms"].set()
    await task
    assert await reader.count_in_work("CALLS", start, start + timedelta(hours=1)) == 0
    (line,) = await reader.lines(start, start + timedelta(hours=1))
    assert (line.received, line.delivered) == (1, 1)
