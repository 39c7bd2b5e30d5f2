"""What every implementation of `AuditTrail` has to do, and what a store puts into it by itself."""

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from cimcare.exchange.audit import START, Action, AuditRow, Note, Sealed, chained, hash_of_message, hash_of_row
from cimcare.exchange.log import Direction, LogEntry, Outcome, Transport
from cimcare.exchange.store import Reader, Store
from tests.support.steps import steps_of
from tests.support.stored import NOON, an_entry, save


def a_note(**changes: object) -> Note:
    note = Note(at=NOON, action=Action.DISCARD, actor="anna", subject="delivery 7", details="obsolete: ä, \u2026")
    return msgspec.structs.replace(note, **changes)


async def rows_of(reader: Reader) -> tuple[AuditRow, ...]:
    """All rows, which are a whole chain."""
    rows = await reader.audit.rows()
    previous = START
    for number, row in enumerate(rows, start=1):
        assert (row.number, row.previous, row.hash) == (number, previous, hash_of_row(row))
        previous = row.hash
    return rows


async def assert_sealed(reader: Reader, row: AuditRow) -> None:
    """The row seals its messages as they stand in the log."""
    for sealed in row.messages:
        entry, raw = await reader.log.find(sealed.sequence), await reader.log.find_raw(sealed.sequence)
        assert entry is not None
        assert raw is not None
        assert hash_of_message(entry, raw) == sealed.hash


# ------------------------------------------------------------------------------------------------------- rows


async def test_rows_are_given_back_in_order_and_chained(store: Store) -> None:
    """Each holds the hash of the one before it, or the trail would prove nothing (G10)."""
    notes = [a_note(), a_note(action=Action.HALT, messages=(Sealed(3, "ab"), Sealed(4, "cd"))), a_note(actor="")]
    async with store.transaction() as transaction:
        for note in notes[:2]:
            await transaction.audit.append(note)
        assert len(await transaction.audit.rows()) == 2
    async with store.transaction() as transaction:
        await transaction.audit.append(notes[2])
    rows = await rows_of(store.reader)
    previous = START
    for number, (row, note) in enumerate(zip(rows, notes, strict=True), start=1):
        assert row == chained(note, number, previous)
        previous = row.hash
    assert await store.reader.audit.rows(after=1, limit=1) == rows[1:2]
    assert await store.reader.audit.rows(after=3) == ()


async def test_what_operators_did_is_found_among_many_messages(store: Store) -> None:
    """Who asks who has done what must not wade through what came in."""
    acts = [a_note(action=Action.HALT, subject=f"partner {number}") for number in range(3)]
    for note in acts:
        async with store.transaction() as transaction:
            await transaction.log.append(an_entry(), b"1")
            await transaction.audit.append(note)
            assert (await transaction.audit.acts(limit=1))[0].subject == note.subject
    found = await store.reader.audit.acts()
    assert [row.subject for row in found] == ["partner 2", "partner 1", "partner 0"]
    rows = await rows_of(store.reader)
    assert all(row in rows for row in found)
    assert await store.reader.audit.acts(before=found[0].number, limit=1) == found[1:2]
    assert await store.reader.audit.acts(before=found[2].number) == ()


async def test_their_cost_does_not_grow_with_the_messages(store: Store) -> None:
    """There are millions of them."""
    async with store.transaction() as transaction:
        await transaction.audit.append(a_note(action=Action.HALT))

    async def look() -> None:
        async with store.transaction() as transaction:
            assert len(await transaction.audit.acts(limit=1)) == 1

    await look()
    few = await steps_of(store, look)
    for _ in range(200):
        async with store.transaction() as transaction:
            await transaction.log.append(an_entry(), b"1")
    assert await steps_of(store, look) <= 1.5 * few


async def test_rows_that_were_undone_leave_no_gap(store: Store) -> None:
    """A gap would look like a row that somebody removed."""
    async with store.transaction() as transaction:
        await transaction.audit.append(a_note(actor="a"))
        with pytest.raises(LookupError):
            async with transaction.savepoint():
                await transaction.audit.append(a_note(actor="undone"))
                raise LookupError("on purpose")
        await transaction.audit.append(a_note(actor="b"))

    async def put(actor: str, *, fails: bool = False) -> None:
        async with store.transaction() as transaction:
            await transaction.audit.append(a_note(actor=actor))
            if fails:
                raise LookupError("on purpose")

    await asyncio.gather(put("c"), put("x", fails=True), put("d"), put("y", fails=True), return_exceptions=True)
    assert [row.actor for row in await rows_of(store.reader)] == ["a", "b", "c", "d"]


# ------------------------------------------------------------------------------------------------------ seals


async def test_a_transaction_that_kept_messages_ends_with_their_row(store: Store) -> None:
    """One row for all of them, after what was noted in between, with the facts as they stand in the log."""
    full = LogEntry(
        received_at=NOON + timedelta(seconds=1), direction=Direction.OUT, transport=Transport.REST_JSON, partner="ä",
        archetype="ResponseMessage", verb="reply", noun="Incidents", message_id="m", correlation_id="c",
        context="TEST", outcome=Outcome.PARTIAL, codes=("0.2", "2.15"), answer_to=1, repeat_of=None,
        digest=b"\x00\xff", content_type="application/json", status=200, truncated=True, size_bytes=9, redeliveries=2,
    )  # fmt: skip
    async with store.transaction() as transaction:
        first = await transaction.log.append(an_entry(), b"<m/>")
        second = await transaction.log.append(full, b"\x00")
        await transaction.audit.append(a_note())
        assert len(await transaction.audit.rows()) == 1
    note, row = await rows_of(store.reader)
    assert note.action is Action.DISCARD
    assert (row.action, row.at, row.actor) == (Action.MESSAGES, full.received_at, "")
    assert [sealed.sequence for sealed in row.messages] == [first, second]
    await assert_sealed(store.reader, row)


def test_a_message_of_an_earlier_release_has_the_hash_that_it_had() -> None:
    """A trail is verified for years, and a fact that messages did not have then must not count against them."""
    entry = LogEntry(
        received_at=datetime(2030, 6, 1, 12, tzinfo=UTC), direction=Direction.IN, transport=Transport.JMS,
        sequence=7, partner="CIS", message_id="m", digest=b"d", size_bytes=1,
    )  # fmt: skip
    sealed = "2711f0616eb6889d0232497d8346b663e3d66cdbc73c9e6770468daa3346f306"
    assert hash_of_message(entry, b"x") == sealed
    assert hash_of_message(msgspec.structs.replace(entry, redeliveries=1), b"x") != sealed


async def test_a_transaction_without_messages_gets_no_row(store: Store) -> None:
    """Objects and deliveries are consequences of messages, which have their row."""
    await save(store, "a")
    async with store.transaction():
        pass
    assert await store.reader.audit.rows() == ()


async def test_a_settled_message_is_sealed_anew(store: Store) -> None:
    """Both states are proven: that it was passed on, and what became of it."""
    async with store.transaction() as transaction:
        sequence = await transaction.log.append(an_entry(), b"<m/>")
    async with store.transaction() as transaction:
        assert await transaction.log.settle(sequence, Outcome.FAILED, ("3.2",))
    async with store.transaction() as transaction:
        assert not await transaction.log.settle(sequence, Outcome.OK)
    passed_on, settled = await rows_of(store.reader)
    await assert_sealed(store.reader, settled)
    assert settled.messages != passed_on.messages
    assert hash_of_message(an_entry(sequence=sequence), b"<m/>") == passed_on.messages[0].hash


async def test_a_message_settled_where_it_was_kept_is_sealed_once(store: Store) -> None:
    """As it is at the end."""
    async with store.transaction() as transaction:
        sequence = await transaction.log.append(an_entry(), b"<m/>")
        assert await transaction.log.settle(sequence, Outcome.OK, ("0.0",))
    (row,) = await rows_of(store.reader)
    assert len(row.messages) == 1
    await assert_sealed(store.reader, row)


async def test_what_was_undone_is_not_sealed(store: Store) -> None:
    """Else the trail would name messages that never were."""
    async with store.transaction() as transaction:
        kept = await transaction.log.append(an_entry(), b"1")
        with pytest.raises(LookupError):
            async with transaction.savepoint():
                await transaction.log.append(an_entry(), b"2")
                await transaction.log.settle(kept, Outcome.OK)
                async with transaction.savepoint():
                    await transaction.log.append(an_entry(), b"3")
                raise LookupError("on purpose")
        async with transaction.savepoint():
            inner = await transaction.log.append(an_entry(), b"4")
    with pytest.raises(LookupError):
        async with store.transaction() as transaction:
            await transaction.log.append(an_entry(), b"5")
            raise LookupError("on purpose")
    async with store.transaction() as transaction:
        with pytest.raises(LookupError):
            async with transaction.savepoint():
                await transaction.log.append(an_entry(), b"6")
                raise LookupError("on purpose")
    async with store.transaction() as transaction:
        removed = await transaction.log.append(an_entry(), b"7")
        await transaction.log.remove([removed])
    (row,) = await rows_of(store.reader)
    assert [sealed.sequence for sealed in row.messages] == [kept, inner]
    await assert_sealed(store.reader, row)


async def test_each_of_many_transactions_has_its_row(store: Store) -> None:
    """Also when they share a commit, and some of them fail."""

    async def keep(number: int) -> None:
        async with store.transaction() as transaction:
            await transaction.log.append(an_entry(message_id=str(number)), b"x")
            if number % 3 == 0:
                raise LookupError("on purpose")

    await asyncio.gather(*(keep(number) for number in range(30)), return_exceptions=True)
    rows = await rows_of(store.reader)
    assert len(rows) == 20
    for row in rows:
        assert len(row.messages) == 1
        await assert_sealed(store.reader, row)


# -------------------------------------------------------------------------------------------------- tampering


@pytest.mark.parametrize(
    "change",
    [
        {"received_at": NOON + timedelta(microseconds=1)},
        {"partner": "B"},
        {"outcome": Outcome.OK},
        {"codes": ("0.0",)},
        {"answer_to": 1},
        {"digest": b"x"},
        {"status": 200},
        {"sequence": 99},
    ],
)  # fmt: skip
async def test_a_fact_that_was_altered_does_not_match(store: Store, change: dict[str, object]) -> None:
    """Whoever edits the log in the database is found out, whichever column it was."""
    async with store.transaction() as transaction:
        sequence = await transaction.log.append(an_entry(partner="A"), b"<m/>")
    (row,) = await rows_of(store.reader)
    entry = await store.reader.log.find(sequence)
    assert entry is not None
    assert hash_of_message(entry, b"<m/>") == row.messages[0].hash
    assert hash_of_message(entry, b"<m />") != row.messages[0].hash
    assert hash_of_message(msgspec.structs.replace(entry, **change), b"<m/>") != row.messages[0].hash


@pytest.mark.parametrize(
    "change",
    [
        {"at": NOON + timedelta(microseconds=1)},
        {"action": Action.RESEND},
        {"actor": "b"},
        {"subject": ""},
        {"details": "obsolete"},
        {"messages": ()},
        {"previous": b"\x01" * 32},
        {"number": 2},
    ],
)  # fmt: skip
async def test_a_row_that_was_altered_does_not_match(store: Store, change: dict[str, object]) -> None:
    """The hash covers all of the row, its place included."""
    async with store.transaction() as transaction:
        await transaction.audit.append(a_note(messages=(Sealed(1, "ab"),)))
    (row,) = await rows_of(store.reader)
    assert hash_of_row(msgspec.structs.replace(row, **change)) != row.hash
