"""The ledger in memory: the reference of what `Ledger` means."""

from datetime import datetime

import msgspec

from cimcare.exchange.ledger import Account, Ends, Line, hour_of
from cimcare.store.instants import to_micros
from cimcare.store.memory_tables import LedgerKey, Tables

__all__ = ["MemoryLedger", "MemoryLedgerReader"]


class MemoryLedgerReader:
    """Implements `cimcare.exchange.ledger.LedgerReader`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def lines(self, since: datetime, until: datetime, partner: str = "") -> tuple[Line, ...]:
        """Lines of these hours."""
        first, end = to_micros(since), to_micros(until)
        lines = self._tables.ledger.rows
        wanted = [key for key in lines if first <= key.hour < end and partner in ("", key.partner)]
        return tuple(lines[key] for key in sorted(wanted))

    async def count_in_work(self, partner: str, since: datetime, until: datetime) -> int:
        """How many of these messages have no outcome yet."""
        messages = self._tables.messages
        entries = (messages.rows[sequence].entry for sequence in messages.keys("in work"))
        return sum(entry.partner == partner and since <= entry.received_at < until for entry in entries)


class MemoryLedger(MemoryLedgerReader):
    """Implements `cimcare.exchange.ledger.Ledger`."""

    async def count(self, partner: str, at: datetime, account: Account, column: Ends, by: int = 1) -> None:
        """Add to a column."""
        hour = hour_of(at)
        key = LedgerKey(to_micros(hour), partner, account)
        line = self._tables.ledger.rows.get(key) or Line(hour=hour, partner=partner, account=account)
        counted = msgspec.structs.replace(line, **{column.value: getattr(line, column.value) + by})
        self._tables.ledger.put(key, counted)
