"""The audit trail in memory: the reference of what `AuditTrail` means."""

from itertools import islice

from cimcare.exchange.audit import START, AuditRow, Note, chained
from cimcare.store.memory_tables import Tables

__all__ = ["MemoryAudit", "MemoryAuditReader"]


class MemoryAuditReader:
    """Implements `cimcare.exchange.audit.AuditReader`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def rows(self, after: int = 0, limit: int = 1000) -> tuple[AuditRow, ...]:
        """Rows behind the number `after`."""
        rows = self._tables.audit.rows
        return tuple(rows[number] for number in range(after + 1, min(after + limit, len(rows)) + 1))

    async def acts(self, before: int | None = None, limit: int = 1000) -> tuple[AuditRow, ...]:
        """Rows that tell of more than messages, the newest first."""
        rows = self._tables.audit.rows
        places = reversed(self._tables.audit.keys("acts"))
        return tuple(islice((rows[number] for number in places if before is None or number < before), limit))


class MemoryAudit(MemoryAuditReader):
    """Implements `cimcare.exchange.audit.AuditTrail`."""

    async def append(self, note: Note) -> None:
        """Put a row at the end."""
        self.put(note)

    def put(self, note: Note) -> None:
        """Put a row at the end, at once."""
        rows = self._tables.audit.rows
        number = len(rows)
        row = chained(note, number + 1, rows[number].hash if number else START)
        self._tables.audit.put(row.number, row)
