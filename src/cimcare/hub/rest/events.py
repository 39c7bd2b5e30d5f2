"""Events as a feed: what happened behind a place in the log, for partners that ask instead of being told.

An event stands in the log once, when it was told here or came from a partner; its deliveries, its repeats and what was
refused are no events. Sequences rise in the order of commits, so whoever has seen one has missed nothing before it.
"""

import asyncio
from datetime import datetime

import msgspec
import structlog

from cimcare.codec.limits import Limits, parse_xml, unpack
from cimcare.codec.payload import read_payload
from cimcare.errors import InputError
from cimcare.exchange.facts import Facts, facts_of
from cimcare.exchange.log import LogEntry, LogSelection, is_event
from cimcare.exchange.store import Reader
from cimcare.exchange.subscriptions import Filter, Matcher
from cimcare.hub.intake.reading import read_back
from cimcare.hub.intake.veiling import Viewer
from cimcare.model.envelope import EventMessage
from cimcare.model.nouns import PayloadRoot

__all__ = ["EventPage", "EventView", "Events", "Told"]

_AT_ONCE = 200
"""Entries of the log that are read at once; between two readings others get their turn."""

_MOST_READ = 4000
"""Entries of the log that are looked at for one page."""

_MOST_BYTES = 8 * 1024 * 1024
"""Size at which a page ends, however many events it has."""

_NO_LIMITS = Limits(max_bytes=2**40, max_elements=2**40, max_attributes=2**40, max_unpacked_bytes=2**40)
"""For what was judged when it came."""


class EventView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An event. `sequence` is its place in the log; `message` is all of it, in the JSON form, unpacked."""

    sequence: int
    received_at: datetime
    verb: str
    noun: str
    source: str
    message_id: str
    correlation_id: str
    message: EventMessage


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """An event that was read: where it stands, what it is about, and its `EventView` in JSON."""

    sequence: int
    facts: Facts
    body: bytes

    @property
    def name(self) -> str:
        """Its verb and noun as one word, such as `created.TroubleTickets`."""
        return f"{self.facts.verb}.{self.facts.noun}"


class EventPage(msgspec.Struct, frozen=True, kw_only=True):
    """Events, oldest first. `last` is the place up to which the log was looked through, `is_end` whether to its end."""

    items: tuple[Told, ...]
    last: int
    is_end: bool


class Events:
    """The events in a log.

    Args:
        reader: Where they are.
        logger: Where an event is noted that cannot be read back; it is left out, since it must not stop the others.
    """

    def __init__(self, reader: Reader, logger: structlog.typing.FilteringBoundLogger) -> None:
        self._reader = reader
        self._log = logger

    async def end(self) -> int:
        """Sequence of the last message of the log; 0 without one."""
        last = await self._reader.log.select(LogSelection(limit=1, newest_first=True))
        return last[0].sequence if last else 0

    async def page(
        self, wanted: Filter, *, after: int, limit: int, sender: str = "", viewer: Viewer | None = None
    ) -> EventPage:
        """Events behind `after` that pass a filter.

        A page may have fewer than `limit` events, or none, and not be the last: the work for one page is bounded.

        Args:
            wanted: The filter.
            after: Sequence.
            limit: Most events.
            sender: Header/Source whose events are left out; nobody's if empty.
            viewer: How whoever asks sees events; None if whole.

        Raises:
            StoreError: The log cannot be read.
        """
        matcher = Matcher(wanted)
        items: list[Told] = []
        size = looked = 0
        while looked < _MOST_READ:
            entries = await self._reader.log.select(LogSelection(after=after, limit=_AT_ONCE))
            for entry in entries:
                after = entry.sequence
                is_hit = is_event(entry) and matcher.may_accept(entry.verb, entry.noun)
                told = await self._read(entry, viewer) if is_hit else None
                if told is None or (sender and told.facts.source == sender) or not matcher.accepts(told.facts):
                    continue
                items.append(told)
                size += len(told.body)
                if len(items) == limit or size >= _MOST_BYTES:
                    return EventPage(items=tuple(items), last=after, is_end=False)
            if len(entries) < _AT_ONCE:
                return EventPage(items=tuple(items), last=after, is_end=True)
            looked += len(entries)
            await asyncio.sleep(0)
        return EventPage(items=tuple(items), last=after, is_end=False)

    async def _read(self, entry: LogEntry, viewer: Viewer | None) -> Told | None:
        raw = await self._reader.log.find_raw(entry.sequence)
        if raw is None:  # removed since the entry was read
            return None
        try:
            message = _event_of(entry, raw)
            seen = message if viewer is None else await viewer(message)
            return None if seen is None else _told_of(entry, seen)
        except (InputError, TypeError) as error:
            self._log.error("event cannot be read", sequence=entry.sequence, error=type(error).__name__)
            return None


def _event_of(entry: LogEntry, raw: bytes) -> EventMessage:
    """The event of an entry.

    Raises:
        InputError: The bytes cannot be read.
        TypeError: They are no event.
    """
    message = read_back(entry, raw)
    if not isinstance(message, EventMessage):
        raise TypeError(f"message {entry.sequence} of the log is no event")
    return _unpacked(message)


def _told_of(entry: LogEntry, message: EventMessage) -> Told:
    facts, header = facts_of(message), message.header
    view = EventView(
        sequence=entry.sequence,
        received_at=entry.received_at,
        verb=facts.verb,
        noun=facts.noun,
        source=facts.source,
        message_id=header.message_id or "",
        correlation_id=header.correlation_id or "",
        message=message,
    )
    return Told(sequence=entry.sequence, facts=facts, body=msgspec.json.encode(view))


def _unpacked(message: EventMessage) -> EventMessage:
    payload = message.payload
    if payload is None or payload.compressed is None:
        return message
    content = read_payload(
        parse_xml(unpack(payload.compressed, format_name=payload.format, limits=_NO_LIMITS), _NO_LIMITS)
    )
    if not isinstance(content, PayloadRoot):
        raise TypeError("compressed content of an event is no payload")
    whole = msgspec.structs.replace(payload, compressed=None, format=None, content=(content,))
    return msgspec.structs.replace(message, payload=whole)
