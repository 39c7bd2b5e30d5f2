"""Rows of the audit trail that name removed messages."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cimcare.exchange.audit import START, Action, chained
from cimcare.exchange.removal import removal_of, removed_by, runs_of
from tests.support.stored import NOON


@given(st.sets(st.integers(1, 200)))
def test_what_is_removed_is_what_the_row_says(sequences: set[int]) -> None:
    """Otherwise the trail would cover for messages that somebody else took away, or accuse retention."""
    row = chained(removal_of(sequences, at=NOON, actor="retention"), 1, START)
    assert [sequence for run in removed_by(row) for sequence in run] == sorted(sequences)


def test_runs_are_short_to_read() -> None:
    """A hundred messages in a row are one word of the row."""
    assert removal_of([25, 17, 18, 20, 19, 30, 29], at=NOON, actor="x").details == "17-20 25 29-30"
    assert list(runs_of([])) == []


@pytest.mark.parametrize("details", ["", "all", "5-", "-5", "1-2-3", "7 x", "١-"])
def test_a_text_that_no_hub_wrote_removes_nothing(details: str) -> None:
    """It must not let messages disappear, nor end the verification."""
    note = msgspec.structs.replace(removal_of([], at=NOON, actor="x"), details=details)
    assert removed_by(chained(note, 1, START)) == ()


def test_rows_of_another_kind_remove_no_messages() -> None:
    """Forgotten deliveries, and what somebody wrote into the details of anything else."""
    note = removal_of([1], at=NOON, actor="x")
    assert removed_by(chained(msgspec.structs.replace(note, subject="deliveries"), 1, START)) == ()
    assert removed_by(chained(msgspec.structs.replace(note, action=Action.DISCARD), 1, START)) == ()
