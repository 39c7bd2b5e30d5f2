"""What a partner does to a connection, seen from the other end of it: each act is what it says, byte for byte."""

import asyncio
import time
from collections.abc import AsyncIterator

import msgspec
import pytest

from cimcare.codec.envelope import parse_message, render_message
from cimcare.model.envelope import RequestMessage, ResponseMessage, Result
from cimcare.model.identity import MessageID
from cimcare.model.nouns import Noun, Role
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from cimcare.simulator.partner import SimulatedPartner

CREATE = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE)
assert isinstance(CREATE, RequestMessage)


@pytest.fixture
async def partner() -> AsyncIterator[SimulatedPartner]:
    partner = SimulatedPartner()
    await partner.start()
    yield partner
    await partner.stop()


class Line:
    """A connection on which bytes are counted."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, partner: SimulatedPartner) -> "Line":
        return cls(*await asyncio.open_connection("127.0.0.1", int(partner.address.rpartition(":")[2])))

    def say(self, message: RequestMessage = CREATE) -> None:
        body = render_message(message)
        head = f"POST /messages HTTP/1.1\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n"
        self.writer.write(head.encode() + body)

    async def head(self) -> tuple[int, dict[str, str]]:
        first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        return int(first.split()[1]), headers

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        status, headers = await self.head()
        return status, headers, await self.reader.readexactly(int(headers["content-length"]))


@pytest.fixture
async def line(partner: SimulatedPartner) -> AsyncIterator[Line]:
    line = await Line.open(partner)
    async with asyncio.timeout(30):
        yield line
    line.writer.close()


async def test_half_an_answer_and_the_end(partner: SimulatedPartner, line: Line) -> None:
    """`die` and `half-close`: the work is done; one end is closed for good, the other listens on."""
    for behaviour in ("die", "half-close"):
        partner.behave(behaviour)
        line = await Line.open(partner)
        line.say()
        status, headers = await line.head()
        rest = await line.reader.read()
        assert status == 200
        assert 0 < len(rest) < int(headers["content-length"])
        await asyncio.sleep(0.05)
        assert (partner.open_connections == 2) is (behaviour == "half-close")
        line.writer.close()
        await line.writer.wait_closed()
    assert [entry.is_effect for entry in partner.entries] == [True, False]


async def test_a_reset_is_a_reset(partner: SimulatedPartner, line: Line) -> None:
    """No orderly end, as after a crash of the machine."""
    partner.behave("reset")
    line.say()
    with pytest.raises(ConnectionResetError):
        await line.reader.read()
    assert len(partner.effects) == 1


async def test_answers_that_are_whole_in_http_and_wrong_in_themselves(partner: SimulatedPartner, line: Line) -> None:
    """`truncate`, `garbage`, `wrong-type`, `wrong-id`, one after another on one connection."""
    found = {}
    for behaviour in ("truncate", "garbage", "wrong-type", "wrong-id", "accept"):
        partner.behave(behaviour)
        line.say()
        found[behaviour] = await line.answer()
    good = found["accept"][2]
    assert good.startswith(found["truncate"][2])
    assert len(found["truncate"][2]) == len(good) // 2
    assert found["garbage"][1]["content-type"] == "text/html"
    assert (found["wrong-type"][1]["content-type"], found["wrong-type"][2]) == ("text/html", good)
    other = parse_message(found["wrong-id"][2])
    assert isinstance(other, ResponseMessage)
    assert other.header.correlation_id not in (CREATE.header.message_id, CREATE.header.correlation_id, None)


async def test_statuses_that_speak_for_themselves(partner: SimulatedPartner, line: Line) -> None:
    """`unavailable` says when to come again, `redirect` where to go."""
    partner.behave("unavailable:7")
    line.say()
    status, headers, _ = await line.answer()
    assert (status, headers["retry-after"]) == (503, "7")
    for behaviour, place in (
        ("redirect:http://there/x", "http://there/x"),
        ("redirect", f"{partner.address}/elsewhere"),
    ):
        partner.behave(behaviour)
        line.say()
        status, headers, _ = await line.answer()
        assert (status, headers["location"]) == (307, place)
    assert not partner.effects


async def test_a_huge_answer_comes_as_fast_as_it_is_read(partner: SimulatedPartner, line: Line) -> None:
    """The partner holds little of it itself; whoever has had enough may go."""
    partner.behave("huge:2")
    line.say()
    status, headers, body = await line.answer()
    assert (status, int(headers["content-length"]), len(body)) == (200, 2 << 20, 2 << 20)
    partner.behave("huge:4096")
    line.say()
    await line.head()
    line.writer.close()
    while partner.open_connections:
        await asyncio.sleep(0.01)


async def test_slow_and_in_drips(partner: SimulatedPartner, line: Line) -> None:
    """`slow` begins late; `drip` begins at once and ends late."""
    for behaviour, begins_late in (("slow:0.4", True), ("drip:0.4", False)):
        partner.behave(behaviour)
        begun = time.monotonic()
        line.say()
        first = await line.reader.readexactly(1)
        assert (time.monotonic() - begun >= 0.4) is begins_late
        assert first == b"H"
        _, _, body = await line.answer()
        assert isinstance(parse_message(body), ResponseMessage)
        assert time.monotonic() - begun >= 0.35


async def test_out_of_order(partner: SimulatedPartner, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last reply comes first, and the event of one message behind that of the next."""
    monkeypatch.setattr("cimcare.simulator.partner._HELD_SECONDS", 3600)
    asked = SimulatedPartner(
        role=Role.OMS, behaviour="out-of-order:2", publish_to=[f"{partner.address}/messages", f"{partner.address}/soap"]
    )
    await asked.start()
    line = await Line.open(asked)
    async with asyncio.timeout(30):
        for seed in (1, 2):
            request = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=seed)
            assert isinstance(request, RequestMessage)
            address = f"{partner.address}/later" if seed == 1 else None
            header = msgspec.structs.replace(
                request.header, reply_address=address, message_id=MessageID(f"m-{seed}"), correlation_id=None
            )
            line.say(msgspec.structs.replace(request, header=header))
            await line.answer()
            if seed == 1:
                await partner.received(3)
        await partner.received(7)
    line.writer.close()
    await asked.stop()
    replies = [each.reply.result for each in partner.messages if isinstance(each, ResponseMessage)]
    assert replies == [Result.OK, Result.PARTIAL, Result.PARTIAL]
    for path in ("/messages", "/soap"):
        events = [entry.correlation_id for entry in partner.entries if entry.path == path]
        assert events == ["m-2", "m-1"]


async def test_an_event_that_is_held_back_comes_in_the_end() -> None:
    """A second late at most, where no other follows; and twice by the act that says so."""
    listener = SimulatedPartner()
    await listener.start()
    asked = SimulatedPartner(role=Role.OMS, behaviour="out-of-order", publish_to=[f"{listener.address}/soap"])
    await asked.start()
    line = await Line.open(asked)
    async with asyncio.timeout(30):
        line.say()
        await line.answer()
        assert not listener.messages
        await listener.received(1)
        asked.behave("twice")
        line.say(_another())
        await line.answer()
        await listener.received(3)
    line.writer.close()
    await asked.stop()
    await listener.stop()
    assert [entry.is_effect for entry in listener.entries] == [True, True, False]


def _another() -> RequestMessage:
    request = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=5)
    assert isinstance(request, RequestMessage)
    return request


async def test_too_much_is_not_read(line: Line) -> None:
    """A partner is not brought down by whom it tests."""
    line.writer.write(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"%x\r\n%b\r\n" % (1 << 20, b" " * (1 << 20))
    try:
        for _ in range(70):
            line.writer.write(chunk)
            await line.writer.drain()
        assert (await line.head())[0] == 413
    except ConnectionError:
        pass
