"""Somebody works on the database of a hub with its own tools; verification finds every trace of it."""

import asyncio
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Column, LargeBinary, String, Text

from cimcare.exchange.audit import Action, Note
from cimcare.exchange.log import Outcome
from cimcare.exchange.removal import removal_of
from cimcare.hub.operation.auditing import Verification, verify
from cimcare.store import tables
from cimcare.store.opening import open_reader, open_store
from tests.support.stored import NOON, an_entry

NOT_SEALED = {"sequence", "terms"}  # what the index was told says nothing that the message does not say
SEALED_COLUMNS = [column for column in tables.messages.columns if column.name not in NOT_SEALED]
CHAINED_COLUMNS = [column for column in tables.audit.columns if column.name != "number"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Messages 1 to 5 in rows 1 to 4 and 6, the third message removed by row 5, an action of an operator at the end."""
    path = tmp_path_factory.mktemp("kept") / "hub.db"

    async def make() -> None:
        store = await open_store(f"sqlite:///{path}")
        for number in (1, 2, 3):
            async with store.transaction() as transaction:
                entry = an_entry(
                    partner="OMS", archetype="RequestMessage", verb="create", noun="Incidents", outcome=Outcome.NONE,
                    message_id=f"m{number}", correlation_id="c", context="TEST", codes=("0.0",), answer_to=number,
                    repeat_of=None, digest=b"digest", content_type="text/xml", status=200, size_bytes=3,
                )  # fmt: skip
                await transaction.log.append(entry, b"raw")
        async with store.transaction() as transaction:
            await transaction.log.settle(2, Outcome.OK, ("0.0",))
        async with store.transaction() as transaction:
            await transaction.log.remove([3])
            await transaction.audit.append(removal_of([3], at=NOON, actor="retention"))
        async with store.transaction() as transaction:
            await transaction.log.append(an_entry(outcome=Outcome.OK), b"four")
            await transaction.log.append(an_entry(outcome=Outcome.OK), b"five")
        async with store.transaction() as transaction:
            note = Note(at=NOON, action=Action.DISCARD, actor="me", subject="7", details="no use")
            await transaction.audit.append(note)
        await store.close()

    asyncio.run(make())
    return path


class File:
    """A copy of the database in the hands of somebody who may write to it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, *statements: str) -> None:
        with sqlite3.connect(self.path) as connection:
            for statement in statements:
                assert connection.execute(statement).rowcount > 0, statement
        connection.close()

    async def verified(self, **options: bytes) -> Verification:
        async with open_reader(f"sqlite:///{self.path}") as reader:
            return await verify(reader, **options)

    async def flaws(self, **options: bytes) -> list[tuple[str, int | None, int | None]]:
        found = await self.verified(**options)
        return [(flaw.code, flaw.number, flaw.sequence) for flaw in found.flaws]


@pytest.fixture
def file(kept: Path, tmp_path: Path) -> Iterator[File]:
    shutil.copy(kept, tmp_path / "copy.db")
    return File(tmp_path / "copy.db")


async def test_what_nobody_touched_is_whole(file: File) -> None:
    """An alarm at nothing would be the end of all alarms."""
    found = await file.verified()
    assert (found.flaws, found.rows, found.messages, found.removed) == ((), 7, 4, 1)


def _altered(column: Column[object]) -> list[str]:
    """Other values for a column: one that looks right, and one that no hub writes."""
    name = column.name
    if isinstance(column.type, LargeBinary):
        return [f"CAST({name} || x'00' AS BLOB)", "x''", "'text'"]
    if isinstance(column.type, String | Text):
        return [f"{name} || 'x'", "x'00ff'"]
    return [f"coalesce({name}, 0) + 1" if name != "truncated" else "NOT truncated", "'text'"]


@pytest.mark.parametrize("column", SEALED_COLUMNS, ids=lambda column: column.name)
async def test_an_altered_message_is_found_whatever_was_altered(file: File, column: Column[object]) -> None:
    """Bytes, sender, outcome, instant: all of it is evidence."""
    for number, value in enumerate(_altered(column)):
        own = File(file.path.with_name(f"{number}.db"))
        shutil.copy(file.path, own.path)
        own.run(f"UPDATE messages SET {column.name} = {value} WHERE sequence = 2")
        if column.name == "truncated" and value == "'text'":
            continue  # reads as true, and so as what it is not
        assert await own.flaws() == [("EXC-132", 4, 2)], value


@pytest.mark.parametrize("column", CHAINED_COLUMNS, ids=lambda column: column.name)
@pytest.mark.parametrize("number", [4, 7])
async def test_an_altered_row_is_found_whatever_was_altered(file: File, column: Column[object], number: int) -> None:
    """Also the last one, which no other row follows."""
    for place, value in enumerate(_altered(column)):
        own = File(file.path.with_name(f"{place}.db"))
        shutil.copy(file.path, own.path)
        own.run(f"UPDATE audit SET {column.name} = {value} WHERE number = {number}")
        found = await own.flaws()
        assert (found[0][0] in ("EXC-130", "EXC-131"), found[0][1]) == (True, number), (value, found)


async def test_messages_that_were_removed_swapped_or_put_in_are_found(file: File) -> None:
    """Each by itself, and all at once."""
    file.run(
        "DELETE FROM messages WHERE sequence = 1",
        "UPDATE messages SET sequence = -4 WHERE sequence = 4",
        "UPDATE messages SET sequence = 4 WHERE sequence = 5",
        "UPDATE messages SET sequence = 5 WHERE sequence = -4",
        "INSERT INTO messages SELECT 9, received_at, direction, transport, partner, archetype, verb, noun, message_id,"
        " correlation_id, context, outcome, codes, answer_to, repeat_of, digest, content_type, status, truncated,"
        " size_bytes, raw, terms, redeliveries FROM messages WHERE sequence = 2",
    )
    assert await file.flaws() == [
        ("EXC-132", 6, 4),
        ("EXC-132", 6, 5),
        ("EXC-133", None, 1),
        ("EXC-134", None, 9),
    ]


async def test_rows_that_were_removed_are_found(file: File) -> None:
    """The messages that it sealed were not removed with it."""
    file.run("DELETE FROM audit WHERE number = 6")
    assert await file.flaws() == [("EXC-130", 6, None), ("EXC-134", None, 4)]


async def test_a_row_that_covered_for_a_removal_cannot_be_taken_away(file: File) -> None:
    """Nor can one be put in its place."""
    file.run("UPDATE audit SET details = '2-3' WHERE number = 5", "DELETE FROM messages WHERE sequence = 2")
    assert await file.flaws() == [("EXC-131", 5, None)]
    file.run("DELETE FROM audit WHERE number = 5")
    assert ("EXC-133", None, 2) in await file.flaws()


async def test_rows_that_were_swapped_are_found(file: File) -> None:
    """Who acted first may matter."""
    file.run(
        "UPDATE audit SET number = -1 WHERE number = 2",
        "UPDATE audit SET number = 2 WHERE number = 3",
        "UPDATE audit SET number = 3 WHERE number = -1",
    )
    assert {("EXC-131", 2, None), ("EXC-131", 3, None)} <= set(await file.flaws())


async def test_a_row_that_was_put_in_is_found(file: File) -> None:
    """It follows nothing."""
    file.run(
        "INSERT INTO audit SELECT 8, at, action, actor, subject, details, messages, previous, hash FROM audit"
        " WHERE number = 7"
    )
    assert await file.flaws() == [("EXC-130", 8, None), ("EXC-131", 8, None)]


async def test_an_end_that_was_cut_off_is_found_by_its_messages_or_by_a_kept_hash(file: File) -> None:
    """Whatever was cut off sealed messages, or its hash was kept."""
    head = bytes.fromhex((await file.verified()).head)
    file.run("DELETE FROM audit WHERE number = 7")
    assert await file.flaws() == []
    assert await file.flaws(head=head) == [("EXC-134", None, None)]
    file.run("DELETE FROM audit WHERE number = 6")
    assert await file.flaws() == [("EXC-134", None, 4)]
    file.run("DELETE FROM audit")
    assert await file.flaws() == [("EXC-134", None, 1), ("EXC-134", None, 4)]
