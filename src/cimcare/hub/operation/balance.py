"""Whether the ledger balances: what was counted, held against the rows that still wait.

Source: guarantee G7.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from itertools import permutations

import msgspec

from cimcare.exchange.ledger import Account, Balance, Line, balance_of, hour_of
from cimcare.exchange.store import Reader

__all__ = ["balances"]

_HOUR = timedelta(hours=1)
_INSTANT = timedelta.resolution
_LOOKS = 3
"""How often a line that does not balance is looked at, since others write between two reads."""

_Count = Callable[[str, datetime, datetime], Awaitable[int]]


async def balances(reader: Reader, since: datetime, until: datetime, partner: str = "") -> tuple[Balance, ...]:
    """Each account of each hour with what still waits, by hour, partner and account.

    A hub may be writing meanwhile. What is said to be missing is missing from a count that nothing else explains: a
    line that changes while it is looked at counts as balanced if it was so at any moment in between. Something that
    waits in an hour without a line has a line with zeros.

    Args:
        reader: Counts and rows.
        since: The hour that holds it is the first.
        until: Hours that begin before it.
        partner: Only this one; all that are in the ledger if empty.
    """
    first, until = hour_of(since), hour_of(until - _INSTANT) + _HOUR
    lines = {(line.hour, line.partner, line.account): line for line in await reader.ledger.lines(first, until, partner)}
    waiting: dict[tuple[datetime, str, Account], int] = {}
    for name, account in sorted({(name, account) for _, name, account in lines}):
        spread = await _spread(_count_of(reader, account), name, first, until)
        waiting.update({(hour, name, account): number for hour, number in spread.items()})
    found = []
    for hour, name, account in sorted(lines.keys() | waiting.keys()):
        key = (hour, name, account)
        line = lines.get(key) or Line(hour=hour, partner=name, account=account)
        balance = balance_of(line, waiting.get(key, 0))
        found.append(balance if not balance.missing else await _look_again(reader, line))
    return tuple(found)


def _count_of(reader: Reader, account: Account) -> _Count:
    return reader.outbox.count_open if account is Account.OUT else reader.ledger.count_in_work


async def _spread(count: _Count, partner: str, first: datetime, until: datetime) -> dict[datetime, int]:
    """What waits, by hour. Halves the time, so that long times in which nothing waits cost one question."""
    number = await count(partner, first, until)
    hours = (until - first) // _HOUR
    if not number:
        return {}
    if hours <= 1:
        return {first: number}
    middle = first + hours // 2 * _HOUR
    return {
        **await _spread(count, partner, first, middle),
        **await _spread(count, partner, middle, until),
    }


async def _look_again(reader: Reader, line: Line, looks: int = _LOOKS) -> Balance:
    """The balance of an hour whose line and rows were read as far as possible in one moment."""
    before = await _line_now(reader, line)
    waiting = await _count_of(reader, line.account)(line.partner, line.hour, line.hour + _HOUR)
    after = await _line_now(reader, line)
    if before == after:
        return balance_of(after, waiting)
    ends = [
        balance_of(_mixed(received=one, ended=other), waiting).missing for one, other in permutations((before, after))
    ]
    missing = max(min(ends), min(max(ends), 0))
    if missing and looks > 1:
        return await _look_again(reader, line, looks - 1)
    return Balance(line=after, waiting=waiting, missing=missing)


def _mixed(*, received: Line, ended: Line) -> Line:
    """What was ended as one line has it, and received as the other."""
    return msgspec.structs.replace(ended, received=received.received)


async def _line_now(reader: Reader, line: Line) -> Line:
    found = await reader.ledger.lines(line.hour, line.hour + _HOUR, line.partner)
    same = (one for one in found if (one.partner, one.account) == (line.partner, line.account))
    zeros = msgspec.structs.replace(line, received=0, delivered=0, refused=0, dead=0, repeats=0)
    return next(same, zeros)
