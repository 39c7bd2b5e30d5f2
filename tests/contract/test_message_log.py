"""What every message log has to do, while its transaction runs and when it is committed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from cimcare.exchange.log import Direction, LogSelection, MessageReader, Outcome, Transport
from cimcare.exchange.store import Store
from tests.support.stored import NOON, an_entry


class Written:
    """Says where to look: inside the transaction that wrote, or from outside when it is committed."""

    def __init__(self, store: Store, where: str) -> None:
        self._store = store
        self._where = where

    @asynccontextmanager
    async def __call__(self, *entries: tuple[dict[str, object], bytes]) -> AsyncIterator[tuple[MessageReader, int]]:
        """Write the entries; the log that has them, and the sequence of the first."""
        async with self._store.transaction() as transaction:
            given = [await transaction.log.append(an_entry(**changes), raw) for changes, raw in entries]
            assert given == list(range(given[0], given[0] + len(given)))
            if self._where == "inside":
                yield transaction.log, given[0]
        if self._where == "outside":
            yield self._store.reader.log, given[0]


@pytest.fixture(params=["inside", "outside"])
def written(request: pytest.FixtureRequest, store: Store) -> Written:
    return Written(store, request.param)


async def test_gives_back_what_it_was_given(written: Written) -> None:
    """The log is evidence: every field of it counts."""
    entry: dict[str, object] = {
        "direction": Direction.OUT, "transport": Transport.SOAP_TYPED, "partner": "CIS",
        "archetype": "ResponseMessage", "verb": "reply", "noun": "TroubleTickets", "message_id": "m",
        "correlation_id": "c", "context": "TESTING", "outcome": Outcome.PARTIAL, "codes": ("0.2", "2.15"),
        "answer_to": 7, "repeat_of": 3, "digest": b"\x00\xff", "content_type": "text/xml", "status": 200,
        "truncated": True, "size_bytes": 70_000, "redeliveries": 3,
    }  # fmt: skip
    async with written((entry, b"\x00raw"), ({}, b"")) as (log, sequence):
        assert await log.find(sequence) == an_entry(**entry, sequence=sequence)
        assert await log.find_raw(sequence) == b"\x00raw"
        assert await log.find_raw(sequence + 1) == b""
        assert await log.find(sequence + 2) is None
        assert await log.find_raw(sequence + 2) is None
        assert await log.select(LogSelection(limit=1)) == (an_entry(**entry, sequence=sequence),)


async def test_original_is_the_first_accepted_of_its_partner(written: Written) -> None:
    """Failed attempts, repeats, replies and other partners' numbers are not originals."""
    mine = {"partner": "A", "message_id": "1", "outcome": Outcome.OK}
    async with written(
        (mine | {"received_at": NOON.replace(hour=1)}, b""),
        (mine | {"outcome": Outcome.FAILED}, b""),
        (mine | {"partner": "B"}, b""),
        (mine | {"direction": Direction.OUT}, b""),
        (mine | {"repeat_of": 1}, b""),
        (mine | {"outcome": Outcome.PARTIAL}, b""),
        (mine, b""),
    ) as (log, first):
        found = await log.find_original("A", "1", NOON)
        assert found is not None
        assert found.sequence == first + 5
        assert await log.find_original("C", "1", NOON) is None
        assert await log.find_original("A", "2", NOON) is None


async def test_answer_is_the_reply_and_not_an_event(written: Written) -> None:
    """A repeat gets the reply again, never one of the events that the request caused."""
    out = {"direction": Direction.OUT, "answer_to": 77}
    async with written(
        ({}, b""),
        (out | {"archetype": "EventMessage"}, b""),
        (out | {"archetype": "ResponseMessage"}, b""),
        (out | {"archetype": "FaultMessage"}, b""),
    ) as (log, first):
        found = await log.find_answer(77)
        assert found is not None
        assert found.sequence == first + 2
        assert await log.find_answer(78) is None


async def test_correlated_by_either_identifier(written: Written) -> None:
    """A later reply may name the request by its MessageID or by the CorrelationID that it carried."""
    request, event = {"archetype": "RequestMessage"}, {"archetype": "EventMessage"}
    async with written(
        (request | {"message_id": "m1"}, b""),
        (event | {"correlation_id": "c1"}, b""),
        (request | {"message_id": "c1"}, b""),
    ) as (log, first):
        assert [found.sequence for found in [await log.find_correlated("m1")] if found] == [first]
        assert [found.sequence for found in [await log.find_correlated("c1")] if found] == [first + 1]
        assert await log.find_correlated("x") is None


async def test_replies_and_what_was_refused_correlate_with_nothing(written: Written) -> None:
    """Else a reply that belongs to nothing would belong to itself when it comes a second time."""
    mine = {"message_id": "m1", "correlation_id": "c1"}
    async with written(
        (mine | {"archetype": "ResponseMessage", "outcome": Outcome.OK}, b""),
        (mine | {"archetype": "RequestMessage", "outcome": Outcome.FAILED}, b""),
        (mine | {"archetype": "Message", "outcome": Outcome.FAULT}, b""),
        (mine | {"archetype": "Message"}, b""),
    ) as (log, first):
        for identifier in ("m1", "c1"):
            assert [found.sequence for found in [await log.find_correlated(identifier)] if found] == [first + 3]


async def test_takes_identifiers_of_any_length(written: Written) -> None:
    """A partner with strange identifiers is answered like everybody else."""
    odd = "".join(f"id-ä{number}" for number in range(3000))
    entry = {"message_id": odd, "correlation_id": odd, "partner": odd, "noun": odd, "outcome": Outcome.OK}
    async with written((entry, b"")) as (log, first):
        assert await log.find(first) == an_entry(**entry, sequence=first)
        assert await log.find_original(odd, odd, NOON) == an_entry(**entry, sequence=first)
        assert [found.sequence for found in await log.select(LogSelection(message_id=odd))] == [first]


@pytest.mark.parametrize(
    ("selection", "wanted"),
    [
        (LogSelection(), [1, 2, 3]),
        (LogSelection(newest_first=True), [3, 2, 1]),
        (LogSelection(after=1), [2, 3]),
        (LogSelection(after=3, newest_first=True, limit=1), [2]),
        (LogSelection(verb="get"), [2]),
        (LogSelection(noun="Incidents"), [2, 3]),
        (LogSelection(partner="A"), [1]),
        (LogSelection(message_id="m3"), [3]),
        (LogSelection(correlation_id="m1"), [3]),
        (LogSelection(outcomes=(Outcome.NONE,)), [2, 3]),
        (LogSelection(outcomes=(Outcome.OK,)), [1]),
        (LogSelection(outcomes=(Outcome.OK, Outcome.FAULT)), [1]),
        (LogSelection(outcomes=(Outcome.OK, Outcome.NONE)), [1, 2, 3]),
        (LogSelection(direction=Direction.OUT), [3]),
        (LogSelection(answer_to=1), [3]),
        (LogSelection(since=NOON.replace(minute=1)), [2, 3]),
        (LogSelection(until=NOON.replace(minute=1)), [1, 2]),
        (LogSelection(verb="reply", noun="Incidents", after=2, since=NOON, until=NOON.replace(minute=2)), [3]),
    ],
)  # fmt: skip
async def test_selection(store: Store, selection: LogSelection, wanted: list[int]) -> None:
    """Each filter of `messages list` alone; a filter that is ignored would show too much."""
    async with store.transaction() as transaction:
        log = transaction.log
        await log.append(an_entry(partner="A", verb="create", message_id="m1", outcome=Outcome.OK), b"")
        await log.append(an_entry(verb="get", noun="Incidents", received_at=NOON.replace(minute=1)), b"")
        await log.append(
            an_entry(
                direction=Direction.OUT, verb="reply", noun="Incidents", message_id="m3", correlation_id="m1",
                answer_to=1, received_at=NOON.replace(minute=2),
            ),
            b"",
        )  # fmt: skip
        assert [entry.sequence for entry in await log.select(selection)] == wanted
    assert [entry.sequence for entry in await store.reader.log.select(selection)] == wanted


async def test_what_was_undone_was_never_there(store: Store) -> None:
    """Also if the transaction looked at the log before it failed, when its neighbour is not committed yet."""
    kept: list[int] = []

    async def keep(name: str) -> None:
        async with store.transaction() as transaction:
            kept.append(await transaction.log.append(an_entry(message_id=name), name.encode()))

    async def fail() -> None:
        async with store.transaction() as transaction:
            await transaction.log.append(an_entry(message_id="half"), b"")
            assert {entry.message_id for entry in await transaction.log.select(LogSelection())} == {"a", "half"}
            raise LookupError("on purpose")

    results = await asyncio.gather(keep("a"), fail(), keep("b"), return_exceptions=True)
    assert [type(result) for result in results] == [type(None), LookupError, type(None)]
    found = await store.reader.log.select(LogSelection())
    assert [(entry.sequence, entry.message_id) for entry in found] == list(zip(kept, "ab", strict=True))
    assert [await store.reader.log.find_raw(sequence) for sequence in kept] == [b"a", b"b"]


async def test_pages_hold_every_entry_once(store: Store) -> None:
    """Whoever reads on behind the last sequence misses nothing, also of what came meanwhile."""
    seen: list[int] = []
    for round_ in range(3):
        for _ in range(3):
            async with store.transaction() as transaction:
                await transaction.log.append(msgspec.structs.replace(an_entry(), verb=str(round_)), b"")
        after = seen[-1] if seen else None
        seen += [entry.sequence for entry in await store.reader.log.select(LogSelection(after=after))]
    assert len(seen) == len(set(seen)) == 9
    assert seen == sorted(seen)
