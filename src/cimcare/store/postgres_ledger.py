"""The ledger on PostgreSQL: counted in memory, written together with its neighbours."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeAlias

from cimcare.exchange.ledger import Account, Ends, Line, hour_of
from cimcare.store.instants import from_micros, to_micros
from cimcare.store.pending import Pending
from cimcare.store.postgres_session import Session, Value, as_key, as_text

__all__ = ["PostgresLedger", "PostgresLedgerReader"]

_COUNTED = tuple(column.value for column in Ends)
_LINES = f"SELECT hour, partner, account, {', '.join(_COUNTED)} FROM ledger WHERE hour >= $1 AND hour < $2"  # noqa: S608
_IN_ORDER = 'ORDER BY hour, partner COLLATE "C", account COLLATE "C"'
_IN_WORK = (
    "SELECT count(*) FROM messages WHERE direction = 'in' AND outcome = '' AND repeat_of IS NULL"
    " AND received_at >= $1 AND received_at < $2 AND (partner = $3"
    r" OR octet_length(partner) > 2000 AND E'\x01' || encode(sha256(convert_to(partner, 'UTF8')), 'hex') = $3)"
)
_WRITE = (
    f"INSERT INTO ledger (hour, partner, account, {', '.join(_COUNTED)})"  # noqa: S608 - constants only
    " SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[]"
    f"{''.join(f', ${number}::bigint[]' for number in range(4, 4 + len(_COUNTED)))})"
    " ON CONFLICT (hour, partner, account) DO UPDATE SET"
    f" {', '.join(f'{column} = ledger.{column} + excluded.{column}' for column in _COUNTED)}"
)

_Key: TypeAlias = tuple[int, str, str]


class PostgresLedgerReader:
    """The ledger over one session, to be read."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def lines(self, since: datetime, until: datetime, partner: str = "") -> tuple[Line, ...]:
        """Lines of these hours, by hour, partner and account."""
        values: list[Value] = [to_micros(since), to_micros(until)]
        only = ""
        if partner:
            only = "AND partner = $3"
            values.append(_name_of(partner))
        rows = await self._session.fetch(f"{_LINES} {only} {_IN_ORDER}", *values)
        return tuple(
            Line(
                hour=from_micros(row["hour"]),
                partner=row["partner"],
                account=Account(row["account"]),
                received=row["received"],
                delivered=row["delivered"],
                refused=row["refused"],
                dead=row["dead"],
                repeats=row["repeats"],
            )
            for row in rows
        )

    async def count_in_work(self, partner: str, since: datetime, until: datetime) -> int:
        """How many of these messages have no outcome yet."""
        row = await self._session.fetch_one(_IN_WORK, to_micros(since), to_micros(until), as_text(partner))
        assert row is not None
        counted: int = row["count"]
        return counted


class PostgresLedger(PostgresLedgerReader):
    """The ledger inside one transaction. Every answer covers what was not written yet."""

    def __init__(self, session: Session, *, write_log: Callable[[], Awaitable[None]]) -> None:
        super().__init__(session)
        self._write_log = write_log
        self.pending: Pending[tuple[_Key, Ends, int]] = Pending()

    async def count(self, partner: str, at: datetime, account: Account, column: Ends, by: int = 1) -> None:
        """Add to a column of the hour that holds `at`."""
        self.pending.add(((to_micros(hour_of(at)), _name_of(partner), account.value), column, by))

    async def lines(self, since: datetime, until: datetime, partner: str = "") -> tuple[Line, ...]:
        """Lines of these hours."""
        await self.write()
        return await super().lines(since, until, partner)

    async def count_in_work(self, partner: str, since: datetime, until: datetime) -> int:
        """How many of these messages have no outcome yet."""
        await self._write_log()
        return await super().count_in_work(partner, since, until)

    async def write(self) -> None:
        """Write what was not written yet. Raises StoreError."""
        counts: dict[_Key, dict[Ends, int]] = {}
        for key, column, by in self.pending.unwritten:
            columns = counts.get(key)
            if columns is None:
                columns = counts[key] = dict.fromkeys(Ends, 0)
            columns[column] += by
        if not counts:
            return
        await self._session.fetch(
            _WRITE,
            [hour for hour, _, _ in counts],
            [partner for _, partner, _ in counts],
            [account for _, _, account in counts],
            *([counted[column] for counted in counts.values()] for column in Ends),
        )
        self.pending.note_written()


def _name_of(partner: str) -> str:
    """A partner as its column holds it. It is part of a key, so a very long one is replaced by what stands for it."""
    return as_key(as_text(partner))
