"""The audit trail on SQLite."""

from cimcare.exchange.audit import START, Action, AuditRow, Note, chained
from cimcare.store.instants import from_micros, to_micros
from cimcare.store.pending import Pending
from cimcare.store.sealing import messages_of, text_of
from cimcare.store.sqlite_session import CatchingUp, Session

__all__ = ["SqliteAudit", "SqliteAuditReader"]

_COLUMNS = "number, at, action, actor, subject, details, messages, previous, hash"
_SELECT = f"SELECT {_COLUMNS} FROM audit WHERE number > ? ORDER BY number LIMIT ?"  # noqa: S608 - constants only
_ACTS = (
    f"SELECT {_COLUMNS} FROM audit INDEXED BY ix_audit_acts WHERE action <> 'messages' AND number < ?"  # noqa: S608
    " ORDER BY number DESC LIMIT ?"
)
_LAST = "SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1"
_INSERT = f"INSERT INTO audit ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - constants only


class SqliteAuditReader:
    """The trail over one connection, to be read."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def rows(self, after: int = 0, limit: int = 1000) -> tuple[AuditRow, ...]:
        """Rows behind the number `after`."""
        return tuple(_row_of(*found) for found in self._session.all(_SELECT, (after, limit)))

    async def acts(self, before: int | None = None, limit: int = 1000) -> tuple[AuditRow, ...]:
        """Rows that tell of more than messages, the newest first."""
        found = self._session.all(_ACTS, (before if before is not None else 2**63 - 1, limit))
        return tuple(_row_of(*one) for one in found)


def _row_of(
    number: int,
    at: int,
    action: str,
    actor: str,
    subject: str,
    details: str,
    messages: str,
    previous: bytes,
    hash_: bytes,
) -> AuditRow:
    return AuditRow(
        number=number,
        at=from_micros(at),
        action=Action(action),
        actor=actor,
        subject=subject,
        details=details,
        messages=messages_of(messages),
        previous=previous,
        hash=hash_,
    )


class SqliteAudit(SqliteAuditReader):
    """The trail inside the transaction that is open. Rows wait in memory until somebody looks, or the commit."""

    def __init__(self, session: Session) -> None:
        super().__init__(CatchingUp(session, self.write))
        self._written = session
        self._behind: tuple[int, bytes] | None = None
        self.pending: Pending[AuditRow] = Pending()

    def forget_end(self) -> None:
        """Another process may have gone on with the trail: look anew for where it ends."""
        self._behind = None

    async def append(self, note: Note) -> None:
        """Put a row at the end."""
        self.put(note)

    def put(self, note: Note) -> None:
        """Put a row at the end, at once."""
        for text in (note.actor, note.subject, note.details):
            text.encode()  # what the database cannot hold fails here, and not those who share the commit
        if self._behind is None:
            self._behind = self._written.one(_LAST) or (0, START)
        last = self.pending.last
        number, previous = self._behind if last is None else (last.number, last.hash)
        self.pending.add(chained(note, number + 1, previous))

    def write(self) -> None:
        """Write what was not written yet."""
        rows = self.pending.unwritten
        if not rows:
            return
        self._written.run_each(
            _INSERT,
            [
                (
                    row.number,
                    to_micros(row.at),
                    row.action.value,
                    row.actor,
                    row.subject,
                    row.details,
                    text_of(row.messages),
                    row.previous,
                    row.hash,
                )
                for row in rows
            ],
        )
        self.pending.note_written()
