"""New identifiers are UUIDs, all different, and stand in the order of time."""

import os
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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_process_that_forked_makes_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random bits are drawn for many at a time, and who has a copy of a process must not have a copy of them."""
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_000_000_000)
    fresh_id()
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, " ".join(fresh_id() for _ in range(20)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = set(os.read(read, 4096).decode().split())
    os.close(read)
    os.close(write)
    assert len(theirs) == 20
    assert theirs.isdisjoint(fresh_id() for _ in range(1000))
