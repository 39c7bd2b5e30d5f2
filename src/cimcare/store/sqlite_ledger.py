"""The ledger on SQLite."""

from datetime import datetime

from cimcare.exchange.ledger import Account, Ends, Line, hour_of
from cimcare.store.instants import from_micros, to_micros
from cimcare.store.pending import Pending
from cimcare.store.sqlite_session import CatchingUp, Session, Value

__all__ = ["SqliteLedger", "SqliteLedgerReader"]

_COLUMNS = "received, delivered, refused, dead, repeats"
_LINES = f"SELECT hour, partner, account, {_COLUMNS} FROM ledger WHERE hour >= ? AND hour < ?"  # noqa: S608
_IN_WORK = (
    "SELECT count(*) FROM messages WHERE direction = 'in' AND outcome = '' AND repeat_of IS NULL"
    " AND partner = ? AND received_at >= ? AND received_at < ?"
)
_COUNT = (
    f"INSERT INTO ledger (hour, partner, account, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
    " ON CONFLICT (hour, partner, account) DO UPDATE SET "
    + ", ".join(f"{column} = {column} + excluded.{column}" for column in Ends)
)

_Key = tuple[int, str, str]


class SqliteLedgerReader:
    """The ledger over one connection, to be read."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def lines(self, since: datetime, until: datetime, partner: str = "") -> tuple[Line, ...]:
        """Lines of these hours."""
        values: list[Value] = [to_micros(since), to_micros(until)]
        only = ""
        if partner:
            only = " AND partner = ?"
            values.append(partner)
        rows = self._session.all(f"{_LINES}{only} ORDER BY hour, partner, account", values)
        return tuple(
            Line(
                hour=from_micros(hour),
                partner=of,
                account=Account(account),
                received=received,
                delivered=delivered,
                refused=refused,
                dead=dead,
                repeats=repeats,
            )
            for hour, of, account, received, delivered, refused, dead, repeats in rows
        )

    async def count_in_work(self, partner: str, since: datetime, until: datetime) -> int:
        """How many of these messages have no outcome yet."""
        counted: int = self._session.one(_IN_WORK, (partner, to_micros(since), to_micros(until)))[0]
        return counted


class SqliteLedger(SqliteLedgerReader):
    """The ledger inside the transaction that is open. Counts wait in memory until somebody looks, or the commit."""

    def __init__(self, session: Session) -> None:
        super().__init__(CatchingUp(session, self.write))
        self._written = session
        self.pending: Pending[tuple[_Key, Ends, int]] = Pending()

    async def count(self, partner: str, at: datetime, account: Account, column: Ends, by: int = 1) -> None:
        """Add to a column."""
        partner.encode()  # what the database cannot hold fails here, and not those who share the commit
        self.pending.add(((to_micros(hour_of(at)), partner, account.value), column, by))

    def write(self) -> None:
        """Write what was not written yet."""
        counts: dict[_Key, dict[Ends, int]] = {}
        for key, column, by in self.pending.unwritten:
            counted = counts.get(key)
            if counted is None:
                counted = counts[key] = dict.fromkeys(Ends, 0)
            counted[column] += by
        if counts:
            self._written.run_each(_COUNT, [(*key, *columns.values()) for key, columns in counts.items()])
            self.pending.note_written()
