"""Statements over one connection to SQLite: every way to run one says in words of the store what went wrong."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from cimcare.exchange.store import StoreError
from cimcare.store.sqlite_session import Session


@pytest.mark.parametrize(
    "ask",
    [
        lambda session: session.run("DELETE FROM nowhere"),
        lambda session: session.run_each("DELETE FROM nowhere WHERE a = ?", [("b",)]),
        lambda session: session.all("SELECT 1 FROM nowhere"),
        lambda session: session.one("SELECT 1 FROM nowhere"),
    ],
    ids=["run", "run_each", "all", "one"],
)
def test_an_error_of_the_database_is_one_of_the_store(ask: Callable[[Session], object]) -> None:
    """Whoever reads or writes catches one kind of error, and can tell which file it was."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    with pytest.raises(StoreError, match=r"hub\.db: no such table: nowhere") as caught:
        ask(Session(Path("hub.db"), connection))
    assert isinstance(caught.value.__cause__, sqlite3.Error)
    connection.close()
