"""Verifying the audit trail against the log."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import TypeVar, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cimcare.exchange.audit import START, Action, AuditRow, Note, chained, seal
from cimcare.exchange.log import LogEntry, LogSelection, Outcome
from cimcare.exchange.removal import removal_of
from cimcare.exchange.store import Reader
from cimcare.hub.operation import auditing
from cimcare.hub.operation.auditing import Flaw, Verification, verify
from tests.support.stored import NOON, an_entry

T = TypeVar("T")


class Trail:
    """A trail and a log as lists. None stands for what cannot be read. `between` happens before a read."""

    def __init__(self) -> None:
        self.rows: dict[int, AuditRow | None] = {}
        self.messages: dict[int, tuple[LogEntry, bytes] | None] = {}
        self.between: list[Callable[[], None]] = []
        log = SimpleNamespace(find=self._find, find_raw=self._find_raw, select=self._select)
        self.reader = cast("Reader", SimpleNamespace(audit=SimpleNamespace(rows=self._rows), log=log))

    def note(self, note: Note) -> AuditRow:
        last = self.rows[max(self.rows)] if self.rows else None
        row = chained(note, last.number + 1 if last else 1, last.hash if last else START)
        self.rows[row.number] = row
        return row

    def keep(self, *sequences: int, outcome: Outcome = Outcome.OK) -> AuditRow:
        """Messages of one transaction, kept anew or with another outcome."""
        kept = [(an_entry(sequence=one, outcome=outcome), b"raw %d" % one) for one in sequences]
        self.messages.update({entry.sequence: (entry, raw) for entry, raw in kept})
        return self.note(Note(at=NOON, action=Action.MESSAGES, messages=seal(kept)))

    def remove(self, *sequences: int) -> AuditRow:
        for one in sequences:
            del self.messages[one]
        return self.note(removal_of(sequences, at=NOON, actor="retention"))

    def change(self, number: int, **changes: object) -> None:
        row = self.rows[number]
        assert row is not None
        self.rows[number] = msgspec.structs.replace(row, **changes)

    async def _rows(self, after: int = 0, limit: int = 1000) -> tuple[AuditRow, ...]:
        if self.between:
            self.between.pop(0)()
        found = [self.rows[number] for number in sorted(self.rows) if number > after][:limit]
        return tuple(_readable(row) for row in found)

    async def _find(self, sequence: int) -> LogEntry | None:
        return _readable(self.messages[sequence])[0] if sequence in self.messages else None

    async def _find_raw(self, sequence: int) -> bytes | None:
        return _readable(self.messages[sequence])[1] if sequence in self.messages else None

    async def _select(self, selection: LogSelection) -> tuple[LogEntry, ...]:
        after = selection.after or 0
        found = [self.messages[one] for one in sorted(self.messages) if one > after][: selection.limit]
        return tuple(_readable(one)[0] for one in found)


def _readable(value: T | None) -> T:
    if value is None:
        raise ValueError("'x' is not a valid Action")
    return value


async def codes_of(trail: Trail, **options: object) -> list[tuple[str, int | None, int | None]]:
    """Code, row and message of each flaw."""
    found = await verify(trail.reader, **options)
    return [(flaw.code, flaw.number, flaw.sequence) for flaw in found.flaws]


@pytest.fixture(params=[1000, 2], ids=["one page", "small pages"])
def trail(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Trail:
    """Five rows: messages 1 to 3, message 4 without outcome, an action, message 4 with its outcome, message 5."""
    monkeypatch.setattr(auditing, "_PAGE", request.param)
    trail = Trail()
    trail.keep(1, 2, 3)
    trail.keep(4, outcome=Outcome.NONE)
    trail.note(Note(at=NOON, action=Action.DISCARD, actor="me", subject="7", details="no use"))
    trail.keep(4)
    trail.keep(5)
    return trail


async def test_an_untouched_trail_is_whole(trail: Trail) -> None:
    """Also where a message got its outcome later, and where retention took some away."""
    trail.remove(1, 3)
    head = trail.note(Note(at=NOON, action=Action.STOP))
    found = await verify(trail.reader)
    assert found == Verification(rows=7, messages=3, removed=2, head_number=7, head=head.hash.hex(), flaws=())
    assert found.is_whole


async def test_an_empty_trail_of_an_empty_log_is_whole() -> None:
    """A hub that has not begun."""
    found = await verify(Trail().reader)
    assert found == Verification(rows=0, messages=0, removed=0, head_number=0, head="", flaws=())


@pytest.mark.parametrize(
    "changes",
    [
        {"at": NOON.replace(year=2031)}, {"action": Action.RESEND}, {"actor": "you"}, {"subject": "8"},
        {"details": ""}, {"messages": seal([(an_entry(sequence=5), b"")])}, {"hash": b"x" * 32},
    ],
)  # fmt: skip
async def test_an_altered_row_is_found(trail: Trail, changes: dict[str, object]) -> None:
    """Whatever is altered of it."""
    trail.change(3, **changes)
    assert ("EXC-131", 3, None) in await codes_of(trail)


async def test_a_row_that_was_altered_with_its_hash_does_not_fit_the_next(trail: Trail) -> None:
    """Who alters a row has to make all later ones anew."""
    altered = msgspec.structs.replace(trail.rows[3], actor="you")
    trail.rows[3] = chained(altered, 3, altered.previous)
    assert await codes_of(trail) == [("EXC-130", 4, None)]


async def test_an_altered_link_is_found(trail: Trail) -> None:
    """It is part of the chain and of the row."""
    trail.change(1, previous=b"x" * 32)
    assert await codes_of(trail) == [("EXC-130", 1, None), ("EXC-131", 1, None)]


async def test_swapped_rows_are_found(trail: Trail) -> None:
    """Order is what the chain is about."""
    trail.rows[2], trail.rows[3] = (
        msgspec.structs.replace(trail.rows[3], number=2),
        msgspec.structs.replace(trail.rows[2], number=3),
    )
    assert [flaw for flaw in await codes_of(trail) if flaw[0] == "EXC-131"] == [
        ("EXC-131", 2, None),
        ("EXC-131", 3, None),
    ]


@pytest.mark.parametrize(("gone", "told"), [((3,), "row 3: EXC-130 is missing"), ((2, 3), "rows 2 to 3 are missing")])
async def test_missing_rows_are_found(trail: Trail, gone: tuple[int, ...], told: str) -> None:
    """Also those that seal nothing."""
    for number in gone:
        del trail.rows[number]
    (flaw,) = (await verify(trail.reader)).flaws
    assert flaw.number == gone[0]
    assert told in flaw.describe()


async def test_first_rows_that_are_missing_are_found(trail: Trail) -> None:
    """Their messages are then sealed by no row."""
    del trail.rows[1]
    assert await codes_of(trail) == [("EXC-130", 1, None), ("EXC-134", None, 1)]


async def test_last_rows_that_are_missing_are_found_by_their_messages(trail: Trail) -> None:
    """The end of the trail has no next row that would miss them."""
    del trail.rows[5]
    (flaw,) = (await verify(trail.reader)).flaws
    assert (flaw.code, flaw.sequence, flaw.until) == ("EXC-134", 5, None)


async def test_a_hash_that_was_kept_shows_that_the_end_was_taken_away(trail: Trail) -> None:
    """Rows together with their messages leave nothing else behind."""
    kept = bytes.fromhex((await verify(trail.reader)).head)
    del trail.rows[5], trail.messages[5]
    assert await codes_of(trail) == []
    (flaw,) = (await verify(trail.reader, head=kept)).flaws
    assert (flaw.code, kept.hex() in flaw.describe()) == ("EXC-134", True)


async def test_a_hash_of_any_row_will_do(trail: Trail) -> None:
    """It was the last one when it was kept."""
    row = trail.rows[2]
    assert row is not None
    assert await codes_of(trail, head=row.hash) == []


async def test_a_trail_that_was_made_anew_has_other_hashes(trail: Trail) -> None:
    """Who may write to the database can make a sound chain; only a hash that was kept elsewhere shows it."""
    kept = bytes.fromhex((await verify(trail.reader)).head)
    anew = Trail()
    anew.keep(1, 2, 3, 4)
    assert await codes_of(anew) == []
    assert await codes_of(anew, head=kept) == [("EXC-134", None, None)]


async def test_an_altered_message_is_found(trail: Trail) -> None:
    """Facts and bytes alike, and an outcome that was taken back to what it was before."""
    trail.messages[1] = (an_entry(sequence=1, outcome=Outcome.OK, partner="other"), b"raw 1")
    trail.messages[2] = (an_entry(sequence=2, outcome=Outcome.OK), b"raw two")
    trail.messages[4] = (an_entry(sequence=4, outcome=Outcome.NONE), b"raw 4")
    found = await verify(trail.reader)
    assert [(one.code, one.number, one.sequence) for one in found.flaws] == [
        ("EXC-132", 1, 1),
        ("EXC-132", 1, 2),
        ("EXC-132", 4, 4),
    ]
    assert found.messages == 2


async def test_swapped_messages_are_found(trail: Trail) -> None:
    """Each is sealed with its place."""
    trail.messages[1], trail.messages[2] = (
        (an_entry(sequence=1, outcome=Outcome.OK), b"raw 2"),
        (an_entry(sequence=2, outcome=Outcome.OK), b"raw 1"),
    )
    assert await codes_of(trail) == [("EXC-132", 1, 1), ("EXC-132", 1, 2)]


async def test_a_message_that_went_without_a_row_is_found(trail: Trail) -> None:
    """Several in a row are one flaw."""
    trail.remove(2)
    del trail.messages[4], trail.messages[5]
    found = await verify(trail.reader)
    assert [flaw.describe().partition(" EXC-133 ")[0] for flaw in found.flaws] == ["message 4 to 5:"]
    assert (found.messages, found.removed) == (2, 1)


async def test_a_row_that_removes_does_so_for_what_was_there_before(trail: Trail) -> None:
    """A removal in advance would cover for anybody."""
    trail.note(removal_of([6], at=NOON, actor="retention"))
    trail.keep(6)
    del trail.messages[6]
    assert await codes_of(trail) == [("EXC-133", None, 6)]


async def test_a_message_that_was_put_in_or_came_back_is_found(trail: Trail) -> None:
    """Nobody can add to what was received, be it with what was removed."""
    was = trail.messages[3]
    trail.remove(3)
    trail.messages[3] = was
    trail.messages[9] = (an_entry(sequence=9), b"forged")
    assert await codes_of(trail) == [("EXC-134", None, 3), ("EXC-134", None, 9)]


async def test_messages_from_before_the_trail_can_be_left_out(trail: Trail) -> None:
    """A database that was upgraded has such."""
    trail.rows = {}
    trail.keep(5)
    assert await codes_of(trail) == [("EXC-134", None, 1)]
    assert await codes_of(trail, since=5) == []


async def test_what_cannot_be_read_is_a_flaw_and_not_the_end(trail: Trail) -> None:
    """Somebody who alters a row may leave something in it that no hub understands."""
    trail.rows[3] = None
    trail.messages[2] = None
    assert await codes_of(trail) == [("EXC-131", 3, None), ("EXC-132", 1, 2)]
    trail.rows[4], trail.rows[5] = None, None
    del trail.messages[4], trail.messages[5]
    assert ("EXC-131", 5, None) in await codes_of(trail)


async def test_values_of_another_type_are_a_flaw(trail: Trail) -> None:
    """SQLite keeps what it is given."""
    trail.change(3, previous="text", at=None)
    assert await codes_of(trail) == [("EXC-130", 3, None), ("EXC-131", 3, None)]


async def test_a_row_far_away_that_cannot_be_read_ends_the_walk(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its number may be anything."""
    monkeypatch.setattr(auditing, "_MOST_SKIPPED", 3)
    trail.rows[10**12] = None
    assert ("EXC-131", 9, None) in await codes_of(trail)


async def test_flaws_beyond_the_bound_are_counted(trail: Trail) -> None:
    """A trail of millions that somebody has replaced must not fill the memory."""
    for one in (1, 2, 3, 4):
        trail.messages[one] = (an_entry(sequence=one), b"")
    found = await verify(trail.reader, most=2)
    assert ([flaw.sequence for flaw in found.flaws], found.more, found.messages) == ([1, 2], 2, 1)


async def test_a_hub_may_go_on_meanwhile(trail: Trail) -> None:
    """Messages kept, given an outcome and removed while the trail is walked are no flaws."""
    trail.between = [
        lambda: trail.keep(6, outcome=Outcome.NONE),
        lambda: trail.keep(7),
        lambda: trail.keep(6),
        lambda: trail.remove(1, 6),
    ]
    while trail.between:
        assert await codes_of(trail) == []


def test_a_flaw_without_a_place_is_about_the_trail() -> None:
    """It is read as a line."""
    assert Flaw(code="EXC-134", found="no").describe() == "trail: EXC-134 no"
    assert Flaw(code="EXC-132", found="no", number=1, sequence=2).describe() == "row 1, message 2: EXC-132 no"


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 1 << 18), st.integers(1, 1 << 17)), max_size=8))
def test_marks_are_a_set(steps: list[tuple[bool, int, int]]) -> None:
    """They hold what a set would, across their pages."""
    marks, expected = auditing._Marks(), set[int]()
    for is_added, start, length in steps:
        if is_added:
            for one in range(start, start + length, 997):
                marks.add(one)
                expected.add(one)
        else:
            marks.discard(range(start, start + length))
            expected -= set(range(start, start + length))
    assert list(marks) == sorted(expected)
    assert len(marks) == len(expected)
    assert all((one in marks) == (one in expected) for one in range(0, 1 << 18, 331))
