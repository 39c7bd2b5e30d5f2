"""The audit trail on PostgreSQL: chained in memory, written together with its neighbours."""

import msgspec

from cimcare.exchange.audit import Action, AuditRow, Note, chained
from cimcare.store.instants import from_micros, to_micros
from cimcare.store.pending import Pending
from cimcare.store.postgres_session import Row, Session, as_text
from cimcare.store.sealing import messages_of, text_of

__all__ = ["PostgresAudit", "PostgresAuditReader"]

_COLUMNS = "number, at, action, actor, subject, details, messages, previous, hash"
_ROWS = f"SELECT {_COLUMNS} FROM audit WHERE number > $1 ORDER BY number LIMIT $2"  # noqa: S608 - constants only
_ACTS = f"SELECT {_COLUMNS} FROM audit WHERE action <> 'messages' AND number < $1 ORDER BY number DESC LIMIT $2"  # noqa: S608
_WRITE = (
    f"INSERT INTO audit ({_COLUMNS}) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[]"  # noqa: S608
    ", $5::text[], $6::text[], $7::text[], $8::bytea[], $9::bytea[])"
)


class PostgresAuditReader:
    """The trail over one session, to be read."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def rows(self, after: int = 0, limit: int = 1000) -> tuple[AuditRow, ...]:
        """Rows behind the number `after`, in order."""
        return tuple(_audit_row_of(row) for row in await self._session.fetch(_ROWS, after, limit))

    async def acts(self, before: int | None = None, limit: int = 1000) -> tuple[AuditRow, ...]:
        """Rows that tell of more than messages, the newest first."""
        found = await self._session.fetch(_ACTS, before if before is not None else 2**63 - 1, limit)
        return tuple(_audit_row_of(row) for row in found)


class PostgresAudit(PostgresAuditReader):
    """The trail inside one transaction. Every answer covers what was not written yet."""

    def __init__(self, session: Session, *, number: int, end: bytes) -> None:
        """Go on behind the row `number`, which has the hash `end`."""
        super().__init__(session)
        self._behind = number, end
        self.pending: Pending[AuditRow] = Pending()

    async def append(self, note: Note) -> None:
        """Put a row at the end."""
        self.put(note)

    def put(self, note: Note) -> None:
        """Put a row at the end, in memory."""
        last = self.pending.last
        number, previous = self._behind if last is None else (last.number, last.hash)
        self.pending.add(chained(_as_stored(note), number + 1, previous))

    async def rows(self, after: int = 0, limit: int = 1000) -> tuple[AuditRow, ...]:
        """Rows behind the number `after`."""
        await self.write()
        return await super().rows(after, limit)

    async def acts(self, before: int | None = None, limit: int = 1000) -> tuple[AuditRow, ...]:
        """Rows that tell of more than messages, the newest first."""
        await self.write()
        return await super().acts(before, limit)

    async def write(self) -> None:
        """Write what was not written yet. Raises StoreError."""
        if not (rows := self.pending.unwritten):
            return
        await self._session.fetch(
            _WRITE,
            [row.number for row in rows],
            [to_micros(row.at) for row in rows],
            [row.action.value for row in rows],
            [row.actor for row in rows],
            [row.subject for row in rows],
            [row.details for row in rows],
            [text_of(row.messages) for row in rows],
            [row.previous for row in rows],
            [row.hash for row in rows],
        )
        self.pending.note_written()


def _as_stored(note: Note) -> Note:
    """The note as it will be read: the hash of its row covers all of it."""
    return msgspec.structs.replace(
        note,
        at=from_micros(to_micros(note.at)),
        actor=as_text(note.actor),
        subject=as_text(note.subject),
        details=as_text(note.details),
    )


def _audit_row_of(row: Row) -> AuditRow:
    return AuditRow(
        number=row["number"],
        at=from_micros(row["at"]),
        action=Action(row["action"]),
        actor=row["actor"],
        subject=row["subject"],
        details=row["details"],
        messages=messages_of(row["messages"]),
        previous=row["previous"],
        hash=row["hash"],
    )
