"""The sender on real sockets: it keeps its instants, and counts honestly whatever the other side does."""

import asyncio

import pytest

from cimcare.storm.judging import UNANSWERED, Outcome
from cimcare.storm.plan import Item, Plan
from cimcare.storm.sending import Pace, Sending
from cimcare.storm.tally import Histogram, Tally
from cimcare.storm.wording import Form, Target, Wording
from tests.support.endpoint import OK, Arrived, Endpoint, answered, reply
from tests.unit.storm.profiles import START, a_plan


def a_sending(plan: Plan, address: str, pace: Pace) -> tuple[Sending, Tally, Wording]:
    url = f"{address}/messages"
    tally, wording = Tally(plan), Wording(plan, Target(url=url, form=Form.XML), START)
    return Sending(plan, wording, tally, url=url, tls=None, pace=pace), tally, wording


async def play(plan: Plan, address: str, pace: Pace) -> Tally:
    sending, tally, _ = a_sending(plan, address, pace)
    await asyncio.wait_for(sending.run(), 30)
    return tally


def _all(tally: Tally) -> Histogram:
    times = Histogram()
    for minute in tally.latencies:
        for group in minute:
            times.join(group)
    return times


async def test_all_of_it_arrives_as_it_was_drawn() -> None:
    """Byte for byte, in order, where one connection keeps the order."""
    plan = a_plan()
    async with Endpoint() as endpoint:
        sending, tally, wording = a_sending(plan, endpoint.address, Pace(speed=200, connections=1))
        await asyncio.wait_for(sending.run(), 30)

    assert [one.body for one in endpoint.arrived] == list(wording.bodies())
    assert tally.total(Outcome.OK) == tally.settled == tally.sent == len(plan.at)
    assert endpoint.connections == 1


async def test_arrivals_do_not_wait_for_answers() -> None:
    """The defect of most load generators: while the other side sleeps they send nothing, and measure nothing."""
    plan = a_plan()
    open_now = most = 0

    async def slow(_: Arrived) -> bytes:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        await asyncio.sleep(0.4)
        open_now -= 1
        return OK

    async with Endpoint(slow) as endpoint:
        tally = await play(plan, endpoint.address, Pace(speed=120, connections=500))

    assert most > 40
    assert tally.total(Outcome.OK) == len(plan.at)


async def test_latency_counts_from_the_instant_at_which_a_message_was_due() -> None:
    """A standstill of a second is felt by all who would have come in it, and not by one."""
    plan = a_plan()
    count = 0

    async def stalls(_: Arrived) -> bytes:
        nonlocal count
        count += 1
        if count == 20:
            await asyncio.sleep(1.0)
        return OK

    async with Endpoint(stalls) as endpoint:
        tally = await play(plan, endpoint.address, Pace(speed=60, connections=1))
    times = _all(tally)

    assert times.most > 0.9
    assert times.percentile(90) > 0.3
    assert sum(tally.late) > len(plan.at) / 8


async def test_who_is_not_there_any_more_is_counted_and_ends_nothing() -> None:
    """An endpoint that dies in the middle: what comes behind is offered all the same, and got no answer."""
    plan = a_plan()
    async with Endpoint() as endpoint:

        async def die(_: Arrived) -> bytes:
            if len(endpoint.arrived) == 30:
                asyncio.get_running_loop().call_soon(lambda: stopping.append(asyncio.ensure_future(endpoint.stop())))
            return OK

        stopping: list[asyncio.Future[None]] = []
        endpoint._answer = die
        tally = await play(plan, endpoint.address, Pace(speed=120, connections=8))

    assert tally.settled == len(plan.at) == sum(map(sum, tally.offered))
    assert tally.total(Outcome.OK) + tally.total(*UNANSWERED) == len(plan.at)
    assert tally.total(Outcome.UNREACHABLE) > 20


async def test_nobody_waits_for_a_connection_that_nobody_opens() -> None:
    """Where nobody listens each message is offered, though more are due at once than there may be connections."""
    plan = a_plan()
    tally = await play(plan, "http://127.0.0.1:9", Pace(speed=1_000_000, connections=1))

    assert tally.total(Outcome.UNREACHABLE) == tally.settled == len(plan.at)


async def test_an_answer_that_breaks_off_is_no_answer() -> None:
    """Half of an OK is nothing to rely on."""
    plan = a_plan().cut(30)

    async def breaks(_: Arrived) -> bytes | None:
        return None

    async with Endpoint(breaks) as endpoint:
        tally = await play(plan, endpoint.address, Pace(speed=60))

    assert tally.total(Outcome.BROKEN) == len(plan.at) > 0


async def test_an_answer_that_does_not_come_is_not_waited_for_without_end() -> None:
    """And what waited for its connection is told apart: it was never sent, so it cannot be in doubt."""
    plan = a_plan().cut(20)

    async def hangs(_: Arrived) -> bytes:
        await asyncio.sleep(60)
        return OK

    async with Endpoint(hangs) as endpoint:
        tally = await play(plan, endpoint.address, Pace(speed=60, connections=2, timeout=0.6))

    assert tally.total(Outcome.TIMEOUT) >= 2
    assert tally.total(Outcome.UNSENT) > 0
    assert tally.total(*UNANSWERED) == len(plan.at)


async def test_who_is_told_to_come_again_comes_again_if_asked_to() -> None:
    """The same bytes, after the pause that the answer names; the latency counts from the first instant."""
    plan = a_plan().cut(20)
    seen: set[bytes] = set()

    async def busy_at_first(request: Arrived) -> bytes:
        if request.body in seen:
            return OK
        seen.add(request.body)
        return answered(reply("FAILED", "5.1"), 503, "Retry-After: 1")

    async with Endpoint(busy_at_first) as endpoint:
        tally = await play(plan, endpoint.address, Pace(speed=60, resend=2))

    assert tally.total(Outcome.OK) == len(plan.at)
    assert tally.sent_again == len(seen)
    assert _all(tally).most > 0.9


async def test_a_refusal_is_counted_where_nobody_asked_to_come_again() -> None:
    """It is no loss, since the sender knows; and it is not fine."""
    plan = a_plan().cut(10)

    async def busy(_: Arrived) -> bytes:
        return answered(reply("FAILED", "5.1"), 503, "Retry-After: 1")

    async with Endpoint(busy) as endpoint:
        tally = await play(plan, endpoint.address, Pace(speed=60))

    assert tally.total(Outcome.BUSY) == len(plan.at)
    assert not any(tally.accepted)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\n" + reply()[:5] + b"\r\n"
        + f"{len(reply()) - 5:x}\r\n".encode() + reply()[5:] + b"\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        answered(reply(), 200, "Connection: close"),
    ],
    ids=["chunks", "continue", "close"],
)  # fmt: skip
async def test_answers_of_other_servers_are_read(answer: bytes) -> None:
    """A storm is for anybody's endpoint, and theirs write HTTP as the standard allows."""
    plan = a_plan().cut(30)

    async def gives(_: Arrived) -> bytes:
        return answer

    async with Endpoint(gives) as endpoint:
        tally = await play(plan, endpoint.address, Pace(speed=60, timeout=2))

    assert tally.total(Outcome.OK) == len(plan.at) > 0


async def test_an_answer_may_end_with_its_connection() -> None:
    """HTTP/1.0 without a length."""
    plan = a_plan().cut(30)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"</RequestMessage>")
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/xml\r\n\r\n" + reply())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    tally = await play(plan, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", Pace(speed=60, timeout=2))
    server.close()

    assert tally.total(Outcome.OK) == len(plan.at) > 0


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", b"nonsense\r\n\r\n"])
async def test_nonsense_is_no_answer_and_harms_nobody(answer: bytes) -> None:
    """A hostile peer gets no further than its own connection."""
    plan = a_plan().cut(30)

    async def gives(_: Arrived) -> bytes:
        return answer

    async with Endpoint(gives) as endpoint:
        tally = await play(plan, endpoint.address, Pace(speed=60, timeout=0.5))

    assert tally.total(*UNANSWERED) == len(plan.at) > 0


async def test_a_storm_that_is_stopped_counts_what_was_offered() -> None:
    """Nothing more is begun; what is under way is waited for, until somebody is impatient."""
    plan = a_plan()

    async def hangs(_: Arrived) -> bytes:
        await asyncio.sleep(60)
        return OK

    async with Endpoint(hangs) as endpoint:
        sending, tally, _ = a_sending(plan, endpoint.address, Pace(speed=30, connections=2))
        running = asyncio.create_task(sending.run())
        await asyncio.sleep(1.5)
        sending.stop()
        await asyncio.sleep(0.1)
        assert not running.done()
        sending.stop()
        await asyncio.wait_for(running, 5)
        await asyncio.sleep(0)

    assert 0 < sending.offered < len(plan.at)
    assert tally.settled == sending.offered
    assert Item.TICKET in plan.kinds[: sending.offered]


async def test_a_plan_without_messages_ends_at_once() -> None:
    """A cut may leave nothing."""
    plan = a_plan().cut(0)
    sending, tally, _ = a_sending(plan, "http://127.0.0.1:9", Pace())
    await asyncio.wait_for(sending.run(), 1)

    assert tally.settled == 0
