"""Requests that were passed on and got no reply in time: who answers them at last, and how often."""

import asyncio
from datetime import timedelta

import msgspec

from cimcare.exchange.log import Direction, LogEntry, Outcome
from cimcare.exchange.outbox import DeliveryState
from cimcare.hub.intake.unanswered import longest_passage
from cimcare.model.envelope import ResponseMessage, Result
from tests.support.sender import Given, fault, replied, reply_to, silent
from tests.unit.hub.outgoing.test_delivery import Delivering, a_create, ask_ok
from tests.unit.hub.test_forwarding import OMS, asynchronous, codes_of, later, remote

__all__ = ["later", "remote"]  # fixtures, used by their names

RECEIPT = replied(Result.OK, "0.3")


async def requests(hub: Delivering) -> tuple[LogEntry, ...]:
    """What came from the sender, as the log has it."""
    return await hub.log(partner="CALLS", direction=Direction.IN)


async def begun(hub: Delivering) -> "asyncio.Task[object]":
    """A request that is being passed on, to an owner that does not answer yet."""
    hub.sender.gates["oms"] = asyncio.Event()
    task: asyncio.Task[object] = asyncio.create_task(hub.ask(a_create()))
    await hub.until_given("oms", 1)
    return task


async def timed_out(hub: Delivering) -> Given:
    """A request that the owner has taken, whose sender was told that no reply has come."""
    task = asyncio.create_task(hub.ask(a_create()))
    await hub.until_given("oms", 1)
    await hub.quiet()
    hub.later(seconds=31)
    assert codes_of(await task) == ["4.1"]
    return hub.sender.to("oms")[0]


# ----------------------------------------------------------------------------------------------- left by the dead


async def test_who_comes_too_late_with_the_reply_does_not_say_ok(remote: Delivering) -> None:
    """An OK that the log knows nothing of would be lost with the next repeat (G1)."""
    task = await begun(remote)
    remote.later(minutes=3)
    await remote.hub.upkeep.settle()
    remote.sender.gates["oms"].set()
    assert codes_of(await task) == ["5.1"]  # type: ignore[arg-type]
    await ask_ok(remote, a_create())


async def test_of_two_that_pass_it_on_one_has_a_say(remote: Delivering) -> None:
    """A process that was stopped for long goes on where it was, while another one has taken over (G2)."""
    task = await begun(remote)
    remote.later(minutes=2)
    other: asyncio.Task[object] = asyncio.create_task(remote.ask(a_create()))
    await remote.until_given("oms", 2)
    remote.sender.gates["oms"].set()
    assert codes_of(await task) == ["5.1"]  # type: ignore[arg-type]
    assert codes_of(await other) == []  # type: ignore[arg-type]
    assert [one.outcome for one in await requests(remote)] == [Outcome.FAILED, Outcome.OK]


async def test_nobody_gets_the_answer_of_a_message_that_took_the_place_of_his(remote: Delivering) -> None:
    """The first, for which a repeat waits, may not become durable; then the next message gets its sequence (G1, G2)."""
    await ask_ok(remote, a_create())
    (entry,) = await requests(remote)
    passing, hour = remote.hub._passing, timedelta(hours=1)
    assert await passing.settled(entry, hour) == entry
    for other in ({"message_id": "create-3"}, {"partner": "PORTAL"}, {"digest": b"other content"}):
        assert await passing.settled(msgspec.structs.replace(entry, **other), hour) is None


async def test_an_operation_set_is_given_as_long_as_the_slowest_partner(remote: Delivering) -> None:
    """Its noun names no owner; a repeat must not run beside the first."""
    setup = remote.hub.pipeline.setup
    assert longest_passage(setup, "TroubleTickets") == longest_passage(setup, "OperationSet")
    assert longest_passage(setup, "OperationSet") > 2 * OMS.deadline


# --------------------------------------------------------------------------------------------- replies come too late


async def test_a_reply_that_came_too_late_answers_the_next_attempt(later: Delivering) -> None:
    """The owner has done it, and may not be able to say so twice."""
    later.sender.answers["oms"] = [RECEIPT]
    given = await timed_out(later)
    assert codes_of(await later.ask(reply_to(given.message))) == ["0.3"]
    answer = await ask_ok(later, a_create())
    assert answer.header.message_id == "reply-create-2"
    assert len(later.sender.to("oms")) == 1, "it is not asked to do it again"


async def test_a_reply_to_an_earlier_attempt_answers_the_one_that_waits(later: Delivering) -> None:
    """An owner that knows the repeat answers what it was asked first."""
    later.sender.answers["oms"] = [RECEIPT]
    given = await timed_out(later)
    task = asyncio.create_task(later.ask(a_create()))
    await later.until_given("oms", 2)
    await later.ask(reply_to(given.message, Result.PARTIAL, "0.1", message_id="piece-1"))
    await later.ask(reply_to(given.message, message_id="piece-2"))
    answer = await task
    assert isinstance(answer, ResponseMessage)
    assert answer.reply.result is Result.OK


async def test_a_reply_that_is_sent_again_answers_the_request_that_was_sent_again(later: Delivering) -> None:
    """A refusal got lost on its way to the sender. He asks again, and the owner says again what it had said."""
    later.sender.answers["oms"] = [RECEIPT]
    for count in (1, 2):
        task = asyncio.create_task(later.ask(a_create()))
        await later.until_given("oms", count)
        refusal = reply_to(later.sender.to("oms")[0].message, Result.FAILED, "2.15")
        assert codes_of(await later.ask(refusal)) == ["0.3"]
        assert codes_of(await task) == ["2.15"]


async def test_a_reply_to_nothing_that_is_sent_again_stays_a_repeat(later: Delivering) -> None:
    """Only a request that waits is answered by it."""
    later.sender.answers["oms"] = [RECEIPT]
    task = asyncio.create_task(later.ask(a_create()))
    await later.until_given("oms", 1)
    reply = reply_to(later.sender.to("oms")[0].message)
    await later.ask(reply)
    await task
    await later.ask(reply)
    (again,) = [one for one in await later.log(partner="PARTNER") if one.repeat_of is not None]
    assert again.answer_to is None


# ------------------------------------------------------------------------------------------ replies that are too quick


async def test_who_has_the_reply_is_not_told_that_it_never_came(later: Delivering) -> None:
    """The reply was there, only the receipt got lost; then patience ended."""
    later.sender.answers["oms"] = [silent(), fault("Client: what?", blames_us=True)]
    await later.ask(asynchronous(a_create()))
    await later.until_given("oms", 1)
    later.sender.gates["oms"] = asyncio.Event()
    await later.until_failed("oms", 1)
    later.later(seconds=1)
    await later.until_given("oms", 2)
    await later.ask(reply_to(later.sender.to("oms")[0].message))
    later.sender.gates["oms"].set()
    await later.until_state("oms", DeliveryState.DELIVERED)
    await later.until_state("reply caller.example", DeliveryState.DELIVERED)


async def test_what_has_its_reply_is_not_sent_again(later: Delivering) -> None:
    """The owner need not know repeats as long as nobody makes any without need."""
    later.sender.answers["oms"] = [silent(), RECEIPT]
    await later.ask(asynchronous(a_create()))
    await later.until_failed("oms", 1)
    await later.ask(reply_to(later.sender.to("oms")[0].message))
    later.later(seconds=1)
    await later.until_state("oms", DeliveryState.DELIVERED)
    assert len(later.sender.to("oms")) == 1


async def test_an_answer_besides_the_reply_goes_nowhere(later: Delivering) -> None:
    """Who asked has had his answer."""
    later.sender.answers["oms"] = [replied(Result.OK, "0.0")]
    later.sender.gates["oms"] = asyncio.Event()
    await later.ask(asynchronous(a_create()))
    await later.until_given("oms", 1)
    await later.ask(reply_to(later.sender.to("oms")[0].message, message_id="by-itself"))
    later.sender.gates["oms"].set()
    await later.until_state("oms", DeliveryState.DELIVERED)
    await later.quiet()
    assert [given.id for given in later.sender.to("reply caller.example")] == ["by-itself"]
