"""Rows of the store in memory: tables that keep them in order, and a journal to undo changes or to repeat them."""

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Generic, NamedTuple, Protocol, TypeVar

import msgspec

from cimcare.exchange.audit import Action, AuditRow
from cimcare.exchange.ledger import Account, Line
from cimcare.exchange.log import Direction, LogEntry, Outcome
from cimcare.exchange.outbox import Delivery, DeliveryState
from cimcare.exchange.ports import Stored
from cimcare.store.instants import to_micros

__all__ = [
    "Journal",
    "LedgerKey",
    "MemorySnapshot",
    "Message",
    "Numbers",
    "Place",
    "Record",
    "Table",
    "Tables",
    "is_live",
]

KeyT = TypeVar("KeyT", bound=Hashable)
RowT = TypeVar("RowT")

Place = tuple[int, ...]
"""What orders a row within a group. The last number is the key of the row."""


class Message(NamedTuple):
    """A message of the log, and what it is searched by."""

    entry: LogEntry
    raw: bytes
    terms: tuple[int, ...] = ()


class Record(NamedTuple):
    """An object of a collection. Numbers rise with insertion, for objects of one instant."""

    number: int
    collection: str
    stored: Stored[msgspec.Struct]


class LedgerKey(NamedTuple):
    """What a line of the ledger stands for."""

    hour: int
    partner: str
    account: Account


class Numbers(NamedTuple):
    """Numbers that were given last. None is given twice, even when the last row was removed."""

    message: int = 0
    record: int = 0
    delivery: int = 0


class _Change(Protocol):
    """A change of one row."""

    def undo(self) -> None:
        """Make it undone."""
        ...

    def repeat(self) -> None:
        """Make it in the table of what is committed, too."""
        ...


class Journal:
    """Changes that are not committed yet: how to undo each, and how to repeat it in the tables of what is.

    `fault` is told of each change before it is made, and may raise.
    """

    def __init__(self, fault: Callable[[str], None]) -> None:
        self._changes: list[_Change] = []
        self._fault = fault

    def note(self, change: "_Change") -> None:
        """A change is about to be made."""
        self._fault("write")
        self._changes.append(change)

    def mark(self) -> int:
        """Where a part begins, for `undo`."""
        return len(self._changes)

    def undo(self, mark: int) -> None:
        """Undo what was changed since the mark."""
        while len(self._changes) > mark:
            self._changes.pop().undo()

    def repeat(self) -> None:
        """Repeat all changes in the tables of what is committed."""
        changes, self._changes = self._changes, []
        for change in changes:
            change.repeat()


class Table(Generic[KeyT, RowT]):
    """Rows by key, and their places in order by group.

    `places_of` says in which groups a row stands, and where.
    """

    def __init__(self, places_of: Callable[[RowT], Iterable[tuple[Hashable, Place]]] = lambda _: ()) -> None:
        self.rows: dict[KeyT, RowT] = {}
        self._places_of = places_of
        self._groups: dict[Hashable, list[Place]] = {}
        self._followed: tuple[Journal, Table[KeyT, RowT]] | None = None

    def follow(self, journal: Journal, committed: "Table[KeyT, RowT]") -> None:
        """From now on note each change in the journal, to be repeated in the table of what is committed."""
        for key, row in committed.rows.items():
            self.set(key, row)
        self._followed = journal, committed

    def put(self, key: KeyT, row: RowT | None) -> None:
        """Put a row in, replace it, or take it out (None)."""
        if self._followed is not None:
            journal, committed = self._followed
            journal.note(_RowChange(self, committed, key, self.rows.get(key), row))
        self.set(key, row)

    def fill(self, rows: dict[KeyT, RowT]) -> None:
        """Put many rows in."""
        for key, row in rows.items():
            self.set(key, row)

    def places(self, group: Hashable) -> list[Place]:
        """Places of a group, in order; not to be changed."""
        return self._groups.get(group, [])

    def keys(self, group: Hashable, *, after: Place = ()) -> list[int]:
        """Keys of the rows of a group, in order, from behind a place on."""
        places = self.places(group)
        return [place[-1] for place in places[bisect_right(places, after) :]]

    def keys_before(self, group: Hashable, bound: Place) -> Iterator[int]:
        """Keys of the rows of a group before a place, in order. The table must not change meanwhile."""
        for place in self.places(group):
            if place >= bound:
                return
            yield place[-1]

    def set(self, key: KeyT, row: RowT | None) -> None:
        """The same without a note."""
        old = self.rows.get(key)
        if row is not None:
            self.rows[key] = row
        elif old is not None:
            del self.rows[key]
        before = () if old is None else tuple(self._places_of(old))
        after = () if row is None else tuple(self._places_of(row))
        for one in before:
            if one not in after:
                self._leave(*one)
        for one in after:
            if one not in before:
                insort(self._groups.setdefault(one[0], []), one[1])

    def _leave(self, group: Hashable, place: Place) -> None:
        places = self._groups[group]
        del places[bisect_left(places, place)]
        if not places:
            del self._groups[group]


class _RowChange(Generic[KeyT, RowT]):
    """A row that was put in (from None), replaced, or taken out (to None)."""

    __slots__ = ("_committed", "_key", "_new", "_old", "_table")

    def __init__(
        self,
        table: Table[KeyT, RowT],
        committed: Table[KeyT, RowT],
        key: KeyT,
        old: RowT | None,
        new: RowT | None,
    ) -> None:
        self._table = table
        self._committed = committed
        self._key = key
        self._old = old
        self._new = new

    def undo(self) -> None:
        """Put back what was there."""
        self._table.set(self._key, self._old)

    def repeat(self) -> None:
        """Make it in the table of what is committed, too."""
        self._committed.set(self._key, self._new)


class MemorySnapshot(msgspec.Struct, frozen=True):
    """What a store in memory had committed: rows of each table."""

    messages: dict[int, Message]
    records: dict[int, Record]
    deliveries: dict[int, Delivery]
    ledger: dict[LedgerKey, Line]
    audit: dict[int, AuditRow]
    numbers: Numbers


class Tables:
    """All tables. `live` has how many deliveries of a partner have not ended, for partners that have any."""

    def __init__(self) -> None:
        self.messages: Table[int, Message] = Table(_places_of_message)
        self.records: Table[int, Record] = Table(_places_of_record)
        self.deliveries: Table[int, Delivery] = Table(_places_of_delivery)
        self.live: Table[str, int] = Table()
        self.ledger: Table[LedgerKey, Line] = Table()
        self.audit: Table[int, AuditRow] = Table(_places_of_row)
        self._numbers: Table[None, Numbers] = Table()

    def follow(self, journal: Journal, committed: "Tables") -> None:
        """Begin with what is committed, and note each change in the journal."""
        self.messages.follow(journal, committed.messages)
        self.records.follow(journal, committed.records)
        self.deliveries.follow(journal, committed.deliveries)
        self.live.follow(journal, committed.live)
        self.ledger.follow(journal, committed.ledger)
        self.audit.follow(journal, committed.audit)
        self._numbers.follow(journal, committed._numbers)

    @property
    def numbers(self) -> Numbers:
        """Numbers that were given last."""
        return self._numbers.rows.get(None, Numbers())

    def give(self, numbers: Numbers) -> None:
        """Numbers were given."""
        self._numbers.put(None, numbers)

    def snapshot(self) -> MemorySnapshot:
        """All rows as they are now."""
        return MemorySnapshot(
            dict(self.messages.rows),
            dict(self.records.rows),
            dict(self.deliveries.rows),
            dict(self.ledger.rows),
            dict(self.audit.rows),
            self.numbers,
        )

    def fill(self, snapshot: MemorySnapshot) -> None:
        """Put in all rows of a snapshot; the tables must be empty."""
        self.messages.fill(snapshot.messages)
        self.records.fill(snapshot.records)
        self.deliveries.fill(snapshot.deliveries)
        self.live.fill(Counter(row.partner for row in snapshot.deliveries.values() if is_live(row)))
        self.ledger.fill(snapshot.ledger)
        self.audit.fill(snapshot.audit)
        self._numbers.fill({None: snapshot.numbers})


def is_live(row: Delivery) -> bool:
    """Whether a delivery is left of all that ever was: it waits, is leased, awaits its reply or is dead."""
    return row.state not in (DeliveryState.DELIVERED, DeliveryState.DISCARDED)


def _places_of_message(row: Message) -> Iterable[tuple[Hashable, Place]]:
    entry = row.entry
    place = (entry.sequence,)
    yield "all", place
    yield ("message_id", entry.message_id), place
    yield ("correlation_id", entry.correlation_id), place
    yield ("answer_to", entry.answer_to), place
    for term in row.terms:
        yield ("term", term), place
    if entry.direction is Direction.IN and entry.outcome is Outcome.NONE and entry.repeat_of is None:
        yield "in work", (to_micros(entry.received_at), entry.sequence)


def _places_of_record(row: Record) -> Iterable[tuple[Hashable, Place]]:
    place = (to_micros(row.stored.created_at), row.number)
    yield row.collection, place
    yield (row.collection, row.stored.mrid), place
    for key in row.stored.keys:
        yield (row.collection, key), place


def _places_of_row(row: AuditRow) -> Iterable[tuple[Hashable, Place]]:
    if row.action is not Action.MESSAGES:
        yield "acts", (row.number,)


def _places_of_delivery(row: Delivery) -> Iterable[tuple[Hashable, Place]]:
    place, due = (row.number,), (to_micros(row.due_at), row.number)
    yield "all", place
    yield ("message", row.message), place
    yield ("cause", row.cause), place
    match row.state:
        case DeliveryState.DELIVERED | DeliveryState.DISCARDED:
            yield "ended", due
            return
        case DeliveryState.AWAITING:
            yield "awaiting", due
        case DeliveryState.LEASED:
            yield ("leased", row.partner), due
        case DeliveryState.WAITING if row.is_head and row.attempts == row.attempts_before:
            yield ("fresh", row.partner, row.kind, row.priority), place
        case DeliveryState.WAITING if row.is_head:
            yield ("tried", row.partner, row.kind, row.priority), due
    yield ("live", row.partner, row.state), place
    if row.state in (DeliveryState.WAITING, DeliveryState.LEASED):
        for key in dict.fromkeys(row.object_keys):
            yield ("key", row.partner, key), place
