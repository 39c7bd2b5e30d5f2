"""The message log in memory: the reference of what `MessageLog` means."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice

import msgspec

from cimcare.exchange.log import Direction, Expiry, LogEntry, LogSelection, Outcome
from cimcare.exchange.outbox import DeliveryState
from cimcare.store.instants import to_micros
from cimcare.store.memory_tables import Message, Tables
from cimcare.store.sealing import Sealing

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
        if selection.newest_first:
            sequences.reverse()
        found: list[LogEntry] = []
        for sequence in sequences:
            if len(found) >= selection.limit:
                break
            entry = self._tables.messages.rows[sequence].entry
            if _is_wanted(entry, selection):
                found.append(entry)
        return tuple(found)

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

    def _candidates(self, selection: LogSelection) -> list[int]:
        """Sequences on the right side of `after`, by the narrowest index that fits."""
        messages = self._tables.messages
        group: object = "all"
        for name in ("message_id", "correlation_id", "answer_to"):
            if (value := getattr(selection, name)) not in ("", None):
                group = (name, value)
        if selection.after is None:
            return messages.keys(group)
        if selection.newest_first:
            return list(messages.keys_before(group, (selection.after,)))
        return messages.keys(group, after=(selection.after,))

    def _entries(self, group: tuple[str, str | int]) -> Iterator[LogEntry]:
        return (self._tables.messages.rows[sequence].entry for sequence in self._tables.messages.keys(group))


class MemoryLog(MemoryLogReader):
    """Implements `cimcare.exchange.log.MessageLog`. What it keeps or settles goes into `sealing`."""

    def __init__(self, tables: Tables, sealing: Sealing) -> None:
        super().__init__(tables)
        self._sealing = sealing

    async def append(self, entry: LogEntry, raw: bytes) -> int:
        """Keep the message; return its sequence."""
        numbers = self._tables.numbers
        sequence = numbers.message + 1
        self._tables.give(numbers._replace(message=sequence))
        self._put(msgspec.structs.replace(entry, sequence=sequence), raw)
        return sequence

    async def settle(self, sequence: int, outcome: Outcome, codes: tuple[str, ...] = ()) -> bool:
        """Give a message that was passed on its outcome."""
        message = self._tables.messages.rows.get(sequence)
        if message is None or message.entry.direction is not Direction.IN or message.entry.outcome is not Outcome.NONE:
            return False
        self._put(msgspec.structs.replace(message.entry, outcome=outcome, codes=codes), message.raw)
        return True

    async def remove(self, sequences: Iterable[int]) -> None:
        """Forget messages for good."""
        for sequence in sequences:
            if sequence in self._tables.messages.rows:
                self._tables.messages.put(sequence, None)
                self._sealing.drop(sequence)

    def _put(self, entry: LogEntry, raw: bytes) -> None:
        self._tables.messages.put(entry.sequence, Message(entry, raw))
        self._sealing.add(entry, raw)


def _is_wanted(entry: LogEntry, selection: LogSelection) -> bool:
    return (
        (not selection.verb or entry.verb == selection.verb)
        and (not selection.noun or entry.noun == selection.noun)
        and (not selection.partner or entry.partner == selection.partner)
        and (not selection.message_id or entry.message_id == selection.message_id)
        and (not selection.correlation_id or entry.correlation_id == selection.correlation_id)
        and (selection.outcome is None or entry.outcome is selection.outcome)
        and (selection.direction is None or entry.direction is selection.direction)
        and (selection.answer_to is None or entry.answer_to == selection.answer_to)
        and (selection.since is None or entry.received_at >= selection.since)
        and (selection.until is None or entry.received_at <= selection.until)
    )


def _is_expired(entry: LogEntry, expiry: Expiry) -> bool:
    return (
        entry.received_at < expiry.before
        and (not expiry.archetypes or entry.archetype in expiry.archetypes)
        and (not expiry.verbs or entry.verb in expiry.verbs)
        and (entry.outcome in _REFUSED) is expiry.refused
    )
