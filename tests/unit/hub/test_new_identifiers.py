"""New identifiers are UUIDs, all different, and stand in the order of time."""

import time
import uuid

import pytest

from cimcare.hub.new_identifiers import fresh_id


def test_a_new_identifier_is_a_uuid_of_version_7() -> None:
    """Others read them with their own libraries, which look at version and variant."""
    for _ in range(1000):
        text = fresh_id()
        read = uuid.UUID(text)
        assert str(read) == text
        assert (read.version, read.variant) == (7, uuid.RFC_4122)


def test_identifiers_stand_in_the_order_of_time_and_name_the_instant(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is new goes to the end of an index, so that much that is new touches few of its pages."""
    instants = [0, 1, 1_700_000_000_000, 1_700_000_000_001, (1 << 48) - 1]
    made = []
    for instant in instants:
        monkeypatch.setattr(time, "time_ns", lambda instant=instant: instant * 1_000_000 + 999_999)
        made.append(fresh_id())
    assert made == sorted(made)
    assert [uuid.UUID(text).int >> 80 for text in made] == instants


def test_those_of_one_millisecond_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub makes several in a millisecond, and several hubs make theirs at the same time."""
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_000_000_000)
    assert len({fresh_id() for _ in range(10_000)}) == 10_000
