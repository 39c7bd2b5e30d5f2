"""The message log in memory: the reference of what `MessageLog` means."""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from heapq import merge
from itertools import islice

import msgspec

from cimcare.exchange.log import Content, Direction, Expiry, Found, Group, LogEntry, LogSelection, Outcome, is_wanted
from cimcare.exchange.outbox import DeliveryState
from cimcare.exchange.searching import outcome_term, terms_of
from cimcare.store.instants import to_micros
from cimcare.store.memory_tables import Message, Tables
from cimcare.store.sealing import Sealing
from cimcare.store.searching import Stretch, search

__all__ = ["MemoryLog", "MemoryLogReader"]

_ACCEPTED = frozenset({Outcome.OK, Outcome.PARTIAL})
_REFUSED = frozenset({Outcome.FAILED, Outcome.FAULT})
_ANSWERS = frozenset({"ResponseMessage", "FaultMessage"})
_CAUSES = frozenset({"RequestMessage", "EventMessage", "Message"})
_GONE = frozenset({DeliveryState.DELIVERED, DeliveryState.DISCARDED})


class MemoryLogReader:
    """Implements `cimcare.exchange.log.MessageReader`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def select(self, selection: LogSelection) -> tuple[LogEntry, ...]:
        """The entries that match, in the order asked for."""
        sequences = self._candidates(selection)
        found: list[LogEntry] = []
        for sequence in sequences:
            if len(found) >= selection.limit:
                break
            entry = self._tables.messages.rows[sequence].entry
            if is_wanted(entry, selection):
                found.append(entry)
        return tuple(found)

    async def search(self, selection: LogSelection, groups: Sequence[Group] = ()) -> Found:
        """A page of the entries that match, and whose messages have a term of each group."""
        return await search(self, selection, groups)

    async def find_unindexed(self, limit: int) -> tuple[int, ...]:
        """None: a store in memory has no messages of an earlier release."""
        del limit
        return ()

    # What a search asks, see `SearchIndex`.

    async def last_sequence(self) -> int:
        """The newest message; 0 if there is none."""
        places = self._tables.messages.places("all")
        return places[-1][0] if places else 0

    async def last_unindexed(self) -> int:
        """0: all are in the index."""
        return 0

    async def instant_at(self, sequence: int) -> tuple[int, int] | None:
        """The first message at or behind a sequence, and when it was received."""
        places = self._tables.messages.places("all")
        at = bisect_left(places, (sequence,))
        if at == len(places):
            return None
        entry = self._tables.messages.rows[places[at][0]].entry
        return entry.sequence, to_micros(entry.received_at)

    async def having(self, group: Group, stretch: Stretch, limit: int) -> Sequence[int]:
        """Messages of a stretch with one of these terms, in its order, up to a limit."""
        return list(islice(self._with(group, stretch), limit))

    async def among(
        self, candidates: Sequence[int], selection: LogSelection, groups: Sequence[Group]
    ) -> Sequence[LogEntry]:
        """Entries of some messages that match and have a term of each group, in the order of the selection."""
        rows = self._tables.messages.rows
        found = (
            rows[each].entry
            for each in sorted(candidates, reverse=selection.newest_first)
            if is_wanted(rows[each].entry, selection)
            and not any(group.isdisjoint(rows[each].terms) for group in groups)
        )
        return list(islice(found, selection.limit))

    async def within(self, selection: LogSelection, stretch: Stretch) -> Sequence[LogEntry]:
        """Entries of a stretch that match, in its order."""
        rows = self._tables.messages.rows
        found = (
            entry for each in self._candidates(selection, stretch) if is_wanted(entry := rows[each].entry, selection)
        )
        return list(islice(found, selection.limit))

    async def terms(self, sequences: Sequence[int]) -> dict[int, frozenset[int]]:
        """Terms of messages."""
        rows = self._tables.messages.rows
        return {sequence: frozenset(rows[sequence].terms) for sequence in sequences if sequence in rows}

    def _with(self, group: Group, stretch: Stretch) -> Iterator[int]:
        """Messages of a stretch with one of these terms, in its order, each once."""
        parts = []
        for term in group:
            places = self._tables.messages.places(("term", term))
            part = places[bisect_left(places, (stretch.low,)) : bisect_right(places, (stretch.high,))]
            parts.append(reversed(part) if stretch.newest_first else iter(part))
        before = 0
        for (sequence,) in merge(*parts, reverse=stretch.newest_first):
            if sequence != before:
                yield sequence
            before = sequence

    async def find(self, sequence: int) -> LogEntry | None:
        """The entry with this sequence."""
        message = self._tables.messages.rows.get(sequence)
        return None if message is None else message.entry

    async def find_raw(self, sequence: int) -> bytes | None:
        """The bytes of the message with this sequence."""
        message = self._tables.messages.rows.get(sequence)
        return None if message is None else message.raw

    async def find_whole(self, sequences: Collection[int]) -> Mapping[int, tuple[LogEntry, bytes]]:
        """Entries with the bytes of their messages."""
        rows = self._tables.messages.rows
        return {sequence: (rows[sequence].entry, rows[sequence].raw) for sequence in sequences if sequence in rows}

    async def find_original(self, partner: str, message_id: str, since: datetime) -> LogEntry | None:
        """The first message of this partner with this identifier that was accepted since then, or the last in work."""
        in_work = None
        for entry in self._entries(("message_id", message_id)):
            if entry.partner != partner or entry.direction is not Direction.IN or entry.repeat_of is not None:
                continue
            if entry.received_at < since:
                continue
            if entry.outcome in _ACCEPTED:
                return entry
            if entry.outcome is Outcome.NONE:
                in_work = entry
        return in_work

    async def find_answer(self, sequence: int) -> LogEntry | None:
        """The reply that was sent to the message with this sequence."""
        for entry in self._entries(("answer_to", sequence)):
            if entry.direction is Direction.OUT and entry.archetype in _ANSWERS:
                return entry
        return None

    async def find_correlated(self, correlation_id: str) -> LogEntry | None:
        """The first request or event with this MessageID or CorrelationID that was not refused."""
        found = [
            entry
            for name in ("message_id", "correlation_id")
            for entry in self._entries((name, correlation_id))
            if entry.archetype in _CAUSES and entry.outcome not in _REFUSED
        ]
        return min(found, key=lambda entry: entry.sequence, default=None)

    async def find_in_work(self, before: datetime, limit: int) -> tuple[LogEntry, ...]:
        """What came in before then and has no outcome yet."""
        sequences = self._tables.messages.keys_before("in work", (to_micros(before),))
        return tuple(self._tables.messages.rows[sequence].entry for sequence in islice(sequences, limit))

    async def find_expired(self, expiry: Expiry, *, after: int, limit: int) -> tuple[int, ...]:
        """Sequences of messages that may be forgotten."""
        found: list[int] = []
        for sequence in self._tables.messages.keys("all", after=(after,)):
            if len(found) >= limit:
                break
            entry = self._tables.messages.rows[sequence].entry
            if _is_expired(entry, expiry) and not self._is_needed(entry):
                found.append(sequence)
        return tuple(found)

    def _is_needed(self, entry: LogEntry) -> bool:
        if entry.direction is Direction.IN and entry.outcome is Outcome.NONE and entry.repeat_of is None:
            return True
        groups = [("message", entry.sequence), ("cause", entry.sequence)]
        if entry.direction is Direction.OUT and entry.archetype in _ANSWERS and entry.answer_to is not None:
            groups.append(("cause", entry.answer_to))
        deliveries = self._tables.deliveries
        return any(deliveries.rows[number].state not in _GONE for group in groups for number in deliveries.keys(group))

    def _candidates(self, selection: LogSelection, stretch: Stretch | None = None) -> list[int]:
        """Sequences in the order asked for, on the right side of `after`, by the narrowest index that fits."""
        group: object = "all"
        for name in ("message_id", "correlation_id", "answer_to"):
            if (value := getattr(selection, name)) not in ("", None):
                group = (name, value)
        places = self._tables.messages.places(group)
        low, high = (
            (0, len(places))
            if stretch is None
            else (
                bisect_left(places, (stretch.low,)),
                bisect_right(places, (stretch.high,)),
            )
        )
        if selection.after is not None and selection.newest_first:
            high = min(high, bisect_left(places, (selection.after,)))
        elif selection.after is not None:
            low = max(low, bisect_right(places, (selection.after,)))
        sequences = [place[-1] for place in places[low:high]]
        if selection.newest_first:
            sequences.reverse()
        return sequences

    def _entries(self, group: tuple[str, str | int]) -> Iterator[LogEntry]:
        return (self._tables.messages.rows[sequence].entry for sequence in self._tables.messages.keys(group))


class MemoryLog(MemoryLogReader):
    """Implements `cimcare.exchange.log.MessageLog`. What it keeps or settles goes into `sealing`."""

    def __init__(self, tables: Tables, sealing: Sealing) -> None:
        super().__init__(tables)
        self._sealing = sealing

    async def append(self, entry: LogEntry, raw: bytes, about: Content | None = None) -> int:
        """Keep the message; return its sequence."""
        numbers = self._tables.numbers
        sequence = numbers.message + 1
        self._tables.give(numbers._replace(message=sequence))
        self._put(msgspec.structs.replace(entry, sequence=sequence), raw, terms_of(entry, raw, about))
        return sequence

    async def settle(self, sequence: int, outcome: Outcome, codes: tuple[str, ...] = ()) -> bool:
        """Give a message that was passed on its outcome."""
        message = self._tables.messages.rows.get(sequence)
        if message is None or message.entry.direction is not Direction.IN or message.entry.outcome is not Outcome.NONE:
            return False
        terms = (*message.terms, outcome_term(outcome)) if outcome else message.terms
        self._put(msgspec.structs.replace(message.entry, outcome=outcome, codes=codes), message.raw, terms)
        return True

    async def index(self, sequence: int, about: Content | None) -> None:
        """Nothing: what is in memory was put into the index when it came."""

    async def remove(self, sequences: Iterable[int]) -> None:
        """Forget messages for good."""
        for sequence in sequences:
            if sequence in self._tables.messages.rows:
                self._tables.messages.put(sequence, None)
                self._sealing.drop(sequence)

    def _put(self, entry: LogEntry, raw: bytes, terms: tuple[int, ...]) -> None:
        self._tables.messages.put(entry.sequence, Message(entry, raw, terms))
        self._sealing.add(entry, raw)


def _is_expired(entry: LogEntry, expiry: Expiry) -> bool:
    return (
        entry.received_at < expiry.before
        and (not expiry.archetypes or entry.archetype in expiry.archetypes)
        and (not expiry.verbs or entry.verb in expiry.verbs)
        and (entry.outcome in _REFUSED) is expiry.refused
    )
