"""Known faults, put into the hub while a run lives, to show that runs can find them.

Each takes one mechanism away, as a slip of whoever changes the hub might. It works in memory and is gone afterwards.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest.mock import patch

import msgspec

from cimcare.exchange import booking
from cimcare.exchange.booking import book_delivered
from cimcare.exchange.ledger import Ends
from cimcare.hub.intake import passage, telling
from cimcare.hub.intake.passage import Passage
from cimcare.hub.operation import retention, upkeep
from cimcare.hub.outgoing import attempting
from cimcare.model.identity import MessageID
from cimcare.store.memory import MemoryStore
from cimcare.store.memory_log import MemoryLogReader
from cimcare.store.memory_outbox import MemoryOutbox
from cimcare.store.sealing import Sealing

__all__ = ["FAULTS", "Fault"]


class Fault(msgspec.Struct, frozen=True):
    """A fault: the promise that it breaks, what it is, and how it is put in."""

    promise: str
    what: str
    put: Callable[[], AbstractContextManager[object]]


@contextmanager
def _acknowledged_before_the_commit() -> Iterator[None]:
    original = MemoryStore._new_waiter

    def new_waiter(store: MemoryStore) -> Any:
        original(store).add_done_callback(lambda waiter: waiter.cancelled() or waiter.exception())
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    with patch.object(MemoryStore, "_new_waiter", new_waiter):
        yield


@contextmanager
def _delivered_before_it_is_sent() -> Iterator[None]:
    original = attempting.Attempting.attempt

    async def attempt(courier: Any, delivery: Any, *more: Any) -> Any:
        house = courier._house
        async with house.store.transaction() as transaction:
            await book_delivered(transaction, delivery, now=house.clock())
        return await original(courier, delivery, *more)

    with patch.object(attempting.Attempting, "attempt", attempt):
        yield


@contextmanager
def _new_identifier_for_each_attempt() -> Iterator[None]:
    original = attempting.Attempting._as_sent

    def as_sent(courier: Any, loaded: Any, delivery: Any, *more: Any) -> Any:
        message = original(courier, loaded, delivery, *more)
        if delivery.attempts == 1:
            return message
        header = msgspec.structs.replace(message.header, message_id=MessageID(courier._house.new_id()))
        return msgspec.structs.replace(message, header=header)

    with patch.object(attempting.Attempting, "_as_sent", as_sent):
        yield


@contextmanager
def _repeats_are_not_known() -> Iterator[None]:
    async def find_repeated(*_: Any) -> None:
        return None

    with patch.object(Passage, "_find_repeated", find_repeated):
        yield


@contextmanager
def _one_subscriber_is_enough() -> Iterator[None]:
    original = telling.book_put
    told: set[tuple[int, int]] = set()

    async def put(transaction: Any, new: Any) -> int:
        key = (id(transaction), new.message)
        if key in told:
            return 0
        told.add(key)
        return await original(transaction, new)

    with patch.object(telling, "book_put", put):
        yield


@contextmanager
def _no_object_keys() -> Iterator[None]:
    with patch.object(telling, "object_keys_of", lambda _: ()), patch.object(passage, "object_keys_of", lambda _: ()):
        yield


@contextmanager
def _leases_never_run_out() -> Iterator[None]:
    original = MemoryOutbox._due

    def due(outbox: MemoryOutbox, *arguments: Any) -> Any:
        return [row for row in original(outbox, *arguments) if row.state != "leased"]

    with patch.object(MemoryOutbox, "_due", due):
        yield


@contextmanager
def _given_up_at_the_first_failure() -> Iterator[None]:
    with patch.object(attempting, "pause_of", lambda *_, **__: None):
        yield


@contextmanager
def _no_reason_for_giving_up() -> Iterator[None]:
    original = MemoryOutbox.bury

    async def bury(outbox: MemoryOutbox, number: int, attempt: int, **facts: Any) -> bool:
        return await original(outbox, number, attempt, **{**facts, "reason": ""})

    with patch.object(MemoryOutbox, "bury", bury):
        yield


@contextmanager
def _an_end_that_is_not_counted(column: Ends) -> Iterator[None]:
    original = booking._count

    async def count(transaction: Any, delivery: Any, counted: Ends, by: int = 1) -> None:
        if counted is not column:
            await original(transaction, delivery, counted, by)

    with patch.object(booking, "_count", count):
        yield


@contextmanager
def _outcome_without_count() -> Iterator[None]:
    original = Passage._book

    async def book(one: Any, transaction: Any, column: Ends) -> None:
        if column is not Ends.REFUSED:
            await original(one, transaction, column)

    with patch.object(Passage, "_book", book):
        yield


@contextmanager
def _abandoned_for_ever() -> Iterator[None]:
    async def settle(*_: Any) -> int:
        return 0

    with patch.object(upkeep, "settle_stale", settle):
        yield


@contextmanager
def _later_reply_is_kept_and_forgotten() -> Iterator[None]:
    async def take(*_: Any) -> None:
        return None

    with patch.object(Passage, "_take_reply", take):
        yield


@contextmanager
def _a_message_is_not_sealed() -> Iterator[None]:
    original = Sealing.add

    def add(sealing: Sealing, entry: Any, raw: bytes) -> None:
        if entry.sequence % 7:
            original(sealing, entry, raw)

    with patch.object(Sealing, "add", add):
        yield


@contextmanager
def _dead_letters_are_not_needed() -> Iterator[None]:
    async def has_live_delivery(*_: Any) -> bool:
        return False

    nothing = patch.object(MemoryLogReader, "_is_needed", lambda *_: False)
    with nothing, patch.object(retention, "_has_live_delivery", has_live_delivery):
        yield


FAULTS: tuple[Fault, ...] = (
    Fault("G1", "an answer leaves before the commit", _acknowledged_before_the_commit),
    Fault("G2", "a message that was accepted is not known again", _repeats_are_not_known),
    Fault("G3", "a delivery counts as done before it is sent", _delivered_before_it_is_sent),
    Fault("G3", "each attempt has an identifier of its own", _new_identifier_for_each_attempt),
    Fault("G3", "an event is put in for one subscriber only", _one_subscriber_is_enough),
    Fault("G4", "deliveries do not know of which objects they are", _no_object_keys),
    Fault("G5", "a delivery is given up when it fails for the first time", _given_up_at_the_first_failure),
    Fault("G5", "a dead letter has no reason", _no_reason_for_giving_up),
    Fault("G6", "a lease never runs out", _leases_never_run_out),
    Fault("G6", "a request that a dead process had passed on keeps waiting", _abandoned_for_ever),
    Fault("G6", "a later reply is kept, and nobody is told", _later_reply_is_kept_and_forgotten),
    Fault("G7", "what is delivered is not counted", lambda: _an_end_that_is_not_counted(Ends.DELIVERED)),
    Fault("G7", "a refusal is not counted", _outcome_without_count),
    Fault("G9", "retention does not look at dead letters", _dead_letters_are_not_needed),
    Fault("G10", "some messages are not sealed", _a_message_is_not_sealed),
)
"""All of them."""
