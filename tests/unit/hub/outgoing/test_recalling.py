"""What goes to several partners is read once, and nothing is remembered that could be wrong."""

import asyncio
from collections.abc import Collection

import msgspec
import pytest

from cimcare.codec.envelope import parse_message, render_message
from cimcare.exchange.log import LogEntry, Transport
from cimcare.exchange.store import StoreError
from cimcare.hub.outgoing.recalling import Recalled, Recalling
from cimcare.model.envelope import EventMessage
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from tests.support.stored import an_entry


class Log:
    """A log that counts how often it is read, and can be told to wait or to fail."""

    def __init__(self, *raws: bytes) -> None:
        self.raws = dict(enumerate(raws, 1))
        self.reads: list[int] = []
        self.looks = 0
        self.transport = Transport.REST_XML
        self.gate = asyncio.Event()
        self.gate.set()
        self.failing = False

    async def find_whole(self, sequences: Collection[int]) -> dict[int, tuple[LogEntry, bytes]]:
        self.looks += 1
        self.reads.extend(sequences)
        await self.gate.wait()
        if self.failing:
            raise StoreError("the disk is gone")
        return {
            one: (an_entry(sequence=one, transport=self.transport), self.raws[one])
            for one in sequences
            if one in self.raws
        }


def a_raw(seed: int = 1, *, more: int = 0) -> bytes:
    return render_message(build_message(Noun.TROUBLE_TICKETS, Verb.CREATED, seed=seed)) + b"<!--" + b"x" * more + b"-->"


async def recall(recalling: Recalling, sequence: int) -> Recalled:
    return (await recalling.recall([sequence]))[sequence]


async def test_a_message_is_read_once_for_all_who_get_it() -> None:
    """Three partners that want an event must not cost three times its parsing."""
    log = Log(a_raw())
    recalling = Recalling(log)
    log.gate.clear()
    asking = [asyncio.create_task(recall(recalling, 1)) for _ in range(3)]
    await asyncio.sleep(0)
    log.gate.set()
    answers = await asyncio.gather(*asking)
    assert all(answer is answers[0] for answer in (*answers, await recall(recalling, 1)))
    assert answers[0].message == build_message(Noun.TROUBLE_TICKETS, Verb.CREATED, seed=1)
    assert log.reads == [1]


async def test_those_wanted_at_once_are_looked_for_at_once() -> None:
    """A courier begins many deliveries in one step, and each look at the log costs as much as a parsing."""
    log = Log(*(a_raw(seed) for seed in (1, 2, 3)))
    recalling = Recalling(log)
    answers = await recalling.recall([1, 2, 3, 4])
    assert [answers[one].message is not None for one in (1, 2, 3, 4)] == [True, True, True, False]
    assert log.looks == 1
    assert len({answers[one].message for one in (1, 2, 3)}) == 3


async def test_some_are_at_hand_some_are_being_read_and_some_are_not() -> None:
    """Two partners want overlapping events; nothing is read twice, and each gets its own."""
    log = Log(*(a_raw(seed) for seed in (1, 2, 3)))
    recalling = Recalling(log)
    await recall(recalling, 1)
    log.gate.clear()
    first, second = (asyncio.create_task(recalling.recall(wanted)) for wanted in ([1, 2], [1, 2, 3]))
    await asyncio.sleep(0)
    log.gate.set()
    assert set(await first) == {1, 2}
    assert set(await second) == {1, 2, 3}
    assert log.reads == [1, 2, 3]


async def test_of_an_event_that_goes_out_as_it_is_kept_the_header_is_read() -> None:
    """A backlog of a thousand events is sent without a payload being looked at; who needs one has it."""
    whole = build_message(Noun.TROUBLE_TICKETS, Verb.CREATED, seed=1)
    assert isinstance(whole, EventMessage)
    log = Log(render_message(whole))
    log.transport = Transport.INTERNAL
    recalling = Recalling(log)
    beginning = (await recalling.recall([1], whole=False))[1]
    assert beginning.message == EventMessage(header=whole.header)
    assert (beginning.raw, beginning.is_whole) == (log.raws[1], False)
    answers = [(await recalling.recall([1], whole=each))[1] for each in (True, False, True)]
    assert answers[0].message == whole
    assert all(answer is answers[0] for answer in answers)
    assert log.reads == [1]


@pytest.mark.parametrize("change", ["came", "no MessageID", "a request", "a part called Header"])
async def test_what_does_not_go_out_as_it_is_kept_is_read_whole(change: str) -> None:
    """An event without a MessageID is written anew with one, and must not lose its payload."""
    whole = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE if change == "a request" else Verb.CREATED, seed=1)
    if change == "no MessageID":
        whole = msgspec.structs.replace(whole, header=msgspec.structs.replace(whole.header, message_id=None))
    raw = render_message(whole)
    if change == "a part called Header":
        raw = raw.replace(b"</Header>", b'<x:a xmlns:x="urn:x"><Header xmlns="urn:x"></Header></x:a></Header>')
        whole = parse_message(raw)
    log = Log(raw)
    log.transport = Transport.REST_XML if change == "came" else Transport.INTERNAL
    recalled = (await Recalling(log).recall([1], whole=False))[1]
    assert recalled.is_whole
    assert recalled.message == whole


async def test_only_what_was_written_here_goes_out_as_it_is_kept() -> None:
    """What came from a partner may be of an older edition, or in JSON."""
    raw = a_raw()
    log = Log(raw)
    assert (await recall(Recalling(log), 1)).raw == b""
    log.transport = Transport.INTERNAL
    assert (await recall(Recalling(log), 1)).raw == raw


@pytest.mark.parametrize(
    ("raw", "reason"),
    [(None, "message 1 is not in the log any more"), (b"<a", "message 1 cannot be read any more (XML-101)")],
)
async def test_what_cannot_be_had_is_said_and_looked_for_again(raw: bytes | None, reason: str) -> None:
    """An operator hears why; and what comes back is found."""
    log = Log() if raw is None else Log(raw)
    recalling = Recalling(log)
    assert (await recall(recalling, 1)).reason == reason
    log.raws[1] = a_raw()
    assert (await recall(recalling, 1)).message is not None


async def test_a_failure_of_the_store_is_not_remembered() -> None:
    """It passes, and the next attempt must see that it has."""
    log = Log(a_raw())
    log.failing = True
    recalling = Recalling(log)
    with pytest.raises(StoreError):
        await recall(recalling, 1)
    log.failing = False
    assert (await recall(recalling, 1)).message is not None


async def test_the_oldest_are_forgotten_beyond_the_bound() -> None:
    """A hub that runs for months must not keep all that it ever sent."""
    raws = [a_raw(seed) for seed in (1, 2, 3)]
    log = Log(*raws)
    recalling = Recalling(log, most_bytes=len(raws[0]) + len(raws[1]) + len(raws[2]) - 1)
    for sequence in (1, 2, 1, 3):
        await recall(recalling, sequence)
    log.reads.clear()
    await recall(recalling, 1)
    assert log.reads == [], "used after the other"
    await recall(recalling, 2)
    assert log.reads == [2]


async def test_a_large_message_is_read_each_time() -> None:
    """One of them would drive out all others."""
    log = Log(a_raw(more=300_000))
    recalling = Recalling(log)
    for _ in range(2):
        assert (await recall(recalling, 1)).message is not None
    assert log.reads == [1, 1]


async def test_who_is_let_go_of_takes_no_other_with_him() -> None:
    """A courier that ends must not end the deliveries of the others."""
    log = Log(a_raw())
    recalling = Recalling(log)
    log.gate.clear()
    gone, stays = asyncio.create_task(recall(recalling, 1)), asyncio.create_task(recall(recalling, 1))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    log.gate.set()
    assert (await stays).message is not None


async def test_a_reading_that_ends_with_the_loop_leaves_nothing_behind() -> None:
    """A hub that stops while it reads must not complain of what nobody waits for."""
    log = Log(a_raw())
    recalling = Recalling(log)
    log.gate.clear()
    asking = asyncio.create_task(recall(recalling, 1))
    await asyncio.sleep(0)
    (reading,) = recalling._under_way.values()
    reading.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert asking.cancelled()
    assert not recalling._under_way
