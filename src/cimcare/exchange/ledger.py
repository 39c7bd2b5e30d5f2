"""The ledger: how many messages of each partner and hour came to which end, counted in the transaction that did it.

Two accounts a partner. `in` counts what came from it by the hour of receipt; `out` counts what was to be delivered to
it, by the hour in which that was put in, however long it takes. An account balances when what was received is the sum
of its ends and of what still waits. What waits is counted from the rows themselves, so a row that got lost shows.

Source: guarantee G7.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

import msgspec

__all__ = ["Account", "Balance", "Ends", "Ledger", "LedgerReader", "Line", "balance_of", "hour_of"]


class Account(StrEnum):
    """Which way the messages went, seen from the hub."""

    IN = "in"
    OUT = "out"


class Ends(StrEnum):
    """Columns of the ledger.

    `delivered`: in: accepted, with its effects; out: the partner has it. `refused`: in: answered with FAILED or a
    fault; out: discarded by an operator. `dead`: a dead letter. `repeats`: recognised as sent before.
    """

    RECEIVED = "received"
    DELIVERED = "delivered"
    REFUSED = "refused"
    DEAD = "dead"
    REPEATS = "repeats"


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One account of one partner in one hour, as counted. `partner` may be empty: who did not say who it is."""

    hour: datetime
    partner: str
    account: Account
    received: int = 0
    delivered: int = 0
    refused: int = 0
    dead: int = 0
    repeats: int = 0


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """A line with what still waits. `missing` is what no column accounts for; the ledger balances if it is 0."""

    line: Line
    waiting: int
    missing: int


class LedgerReader(Protocol):
    """The ledger, to be read."""

    async def lines(self, since: datetime, until: datetime, partner: str = "") -> tuple[Line, ...]:
        """Lines of the hours from `since` to before `until`, by hour, partner and account; of all partners if empty."""
        ...

    async def count_in_work(self, partner: str, since: datetime, until: datetime) -> int:
        """How many messages that came from `partner` from `since` to before `until` have no outcome yet."""
        ...


class Ledger(LedgerReader, Protocol):
    """The ledger, inside one transaction."""

    async def count(self, partner: str, at: datetime, account: Account, column: Ends, by: int = 1) -> None:
        """Add to a column of the hour that holds `at`; `by` is negative where something left a column again."""
        ...


def hour_of(at: datetime) -> datetime:
    """Beginning of the hour that holds the instant."""
    return at - timedelta(minutes=at.minute, seconds=at.second, microseconds=at.microsecond)


def balance_of(line: Line, waiting: int) -> Balance:
    """The line held against what still waits."""
    ended = line.delivered + line.refused + line.dead + line.repeats
    return Balance(line=line, waiting=waiting, missing=line.received - ended - waiting)
