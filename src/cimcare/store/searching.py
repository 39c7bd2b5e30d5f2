"""How the log is searched by terms: the same steps on every store, whose index answers small questions.

Terms that one message has to have all of are brought together within a stretch of the log that is bounded by the rarest
of them, or by one that is rare enough. So a search costs about the same however many messages are kept; where that was
not enough it says how far back it has looked, and can be gone on with.

Source: ours (decision 107).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

import msgspec

from cimcare.exchange.log import Counted, Found, Group, LogEntry, LogSelection
from cimcare.exchange.searching import LOOK, groups_of
from cimcare.store.instants import from_micros, to_micros

__all__ = ["COUNTED", "SearchIndex", "Stretch", "search"]

_SLACK = 256
"""Messages around an instant that may stand in another order than that of their instants, since several were in work
at a time."""


_CAME = "direction = 'in' AND status = 0"  # a status has what came as an answer

COUNTED = {
    Counted.RECEIVED: _CAME,
    Counted.DELIVERED: f"{_CAME} AND outcome NOT IN ('', 'FAILED', 'FAULT') AND repeat_of IS NULL",
    Counted.REFUSED: f"{_CAME} AND outcome IN ('FAILED', 'FAULT') AND repeat_of IS NULL",
    Counted.REPEATS: f"{_CAME} AND repeat_of IS NOT NULL",
    Counted.WAITING: f"{_CAME} AND outcome = '' AND repeat_of IS NULL",
}
"""What the columns have to say of a message that the ledger counts so; the same in both languages of databases."""

_FAR = 10
"""Terms of which only one message in so many has one are rare enough to go by (decision 122)."""


class Stretch(NamedTuple):
    """Sequences between two, both included, and whether they are gone through from the newest one on."""

    low: int
    high: int
    newest_first: bool

    @property
    def is_empty(self) -> bool:
        """Whether it can hold no message."""
        return self.low > self.high

    def behind(self, sequence: int) -> "Stretch":
        """What is left when one has come so far."""
        if self.newest_first:
            return self._replace(high=sequence - 1)
        return self._replace(low=sequence + 1)

    def to(self, sequence: int) -> "Stretch":
        """The part up to a sequence, itself included."""
        return self._replace(low=sequence) if self.newest_first else self._replace(high=sequence)


class SearchIndex(Protocol):
    """What a store has to answer. Each answer goes by an index, and costs as much as its limit says."""

    async def last_sequence(self) -> int:
        """The newest message; 0 if there is none."""
        ...

    async def last_unindexed(self) -> int:
        """The newest message that is not in the index of terms yet; 0 if all are."""
        ...

    async def instant_at(self, sequence: int) -> tuple[int, int] | None:
        """The first message at or behind a sequence, and when it was received, in microseconds; None without one."""
        ...

    async def having(self, group: Group, stretch: Stretch, limit: int) -> Sequence[int]:
        """Messages of a stretch with one of these terms, in its order, up to a limit."""
        ...

    async def among(
        self, candidates: Sequence[int], selection: LogSelection, groups: Sequence[Group]
    ) -> Sequence[LogEntry]:
        """Entries of some messages that match and have a term of each group, in the order of the selection.

        By looking at each of them.
        """
        ...

    async def within(self, selection: LogSelection, stretch: Stretch) -> Sequence[LogEntry]:
        """Entries of a stretch that match, in its order, by looking at each."""
        ...

    async def terms(self, sequences: Sequence[int]) -> dict[int, frozenset[int]]:
        """Terms of messages; none for one that is not in the index."""
        ...


async def search(index: SearchIndex, selection: LogSelection, groups: Sequence[Group]) -> Found:
    """A page of the messages that match a selection and have a term of each group.

    Args:
        index: The log.
        selection: What the columns of the log have to say, and which page it is.
        groups: Terms.
    """
    stretch = await _stretch_of(index, selection)
    selection = msgspec.structs.replace(selection, after=None)
    if stretch.is_empty:
        return Found(entries=())
    more = msgspec.structs.replace(selection, limit=selection.limit + 1)
    if selection.message_id or selection.correlation_id or selection.answer_to is not None:
        return await _by_identifier(index, more, groups, stretch)
    if not groups and not groups_of(selection):
        return _page(list(await index.within(more, stretch)), selection.limit)
    found: list[LogEntry] = []
    for part, is_indexed in _parts_of(stretch, await index.last_unindexed()):
        go_on = _by_terms if is_indexed else _by_looking
        edge = await go_on(index, selection, groups, part, found)
        if len(found) > selection.limit:
            break
        if edge is not None:
            at = await index.instant_at(edge)
            return Found(entries=tuple(found), after=edge, looked_to=None if at is None else from_micros(at[1]))
    return _page(found, selection.limit)


def _page(found: list[LogEntry], limit: int) -> Found:
    shown = tuple(found[:limit])
    return Found(entries=shown, after=shown[-1].sequence if len(found) > limit else None)


def _parts_of(stretch: Stretch, unindexed: int) -> list[tuple[Stretch, bool]]:
    """The stretch in its order, cut where the index begins; which part is in the index."""
    parts = [
        (stretch._replace(low=max(stretch.low, unindexed + 1)), True),
        (stretch._replace(high=min(stretch.high, unindexed)), False),
    ]
    if not stretch.newest_first:
        parts.reverse()
    return [(part, is_indexed) for part, is_indexed in parts if not part.is_empty]


async def _by_terms(
    index: SearchIndex, selection: LogSelection, groups: Sequence[Group], stretch: Stretch, found: list[LogEntry]
) -> int | None:
    """Add what is found to `found`; the message to which was looked if there may be more behind it, else None."""
    wanted = [*groups, *groups_of(selection)]
    if len(wanted) == 1:
        return await _by_term(index, selection, wanted[0], stretch, found)
    if selection.direction is not None or selection.counted is not None:
        wanted.pop()  # one of two ways is never rare; each message is held against it anyway
    reaches: list[tuple[Sequence[int], Group]] = []
    for group in wanted:
        reached = await index.having(group, stretch, LOOK)
        reaches.append((reached, group))
        if len(reached) < LOOK or _how_far(stretch, reached[-1]) >= _FAR * LOOK:
            break  # all that there is, or rare enough: others need not be rarer
    # The rarest: that with the fewest, or else that which goes the farthest.
    candidates, rarest = min(
        reaches, key=lambda each: (len(each[0]), [-_how_far(stretch, one) for one in each[0][-1:]])
    )
    if candidates:
        more = msgspec.structs.replace(selection, limit=selection.limit + 1 - len(found))
        found += await index.among(candidates, more, [group for group in groups if group is not rarest])
    return candidates[-1] if len(candidates) >= LOOK else None


def _how_far(stretch: Stretch, sequence: int) -> int:
    """Messages of a stretch to a sequence, in its order."""
    return stretch.high - sequence if stretch.newest_first else sequence - stretch.low


async def _by_term(
    index: SearchIndex, selection: LogSelection, group: Group, stretch: Stretch, found: list[LogEntry]
) -> int | None:
    """The same for one group, of which as many are asked for as are wanted, and more once some were others."""
    looked = 0
    while not stretch.is_empty and len(found) <= selection.limit:
        wanted = selection.limit + 1 - len(found)
        sequences = await index.having(group, stretch, max(wanted, looked))
        found += await index.among(sequences, msgspec.structs.replace(selection, limit=wanted), ())
        if len(sequences) < max(wanted, looked):
            break
        looked += len(sequences)
        stretch = stretch.behind(sequences[-1])
        if looked >= LOOK and len(found) <= selection.limit:
            return sequences[-1]
    return None


async def _by_looking(
    index: SearchIndex, selection: LogSelection, groups: Sequence[Group], stretch: Stretch, found: list[LogEntry]
) -> int | None:
    """The same where there is no index yet: some messages are looked at. By content none of them can be found."""
    edge = stretch.high - LOOK + 1 if stretch.newest_first else stretch.low + LOOK - 1
    part = stretch
    if stretch.low < edge < stretch.high:
        part = stretch.to(edge)
    if not groups:
        limit = selection.limit + 1 - len(found)
        found += await index.within(msgspec.structs.replace(selection, limit=limit), part)
    return None if part == stretch else edge


async def _by_identifier(
    index: SearchIndex, selection: LogSelection, groups: Sequence[Group], stretch: Stretch
) -> Found:
    """What has an identifier is little, and has an index of its own."""
    limit = selection.limit - 1
    if groups:
        selection = msgspec.structs.replace(selection, limit=LOOK)
    entries = list(await index.within(selection, stretch))
    if groups:
        terms = await index.terms([entry.sequence for entry in entries])
        entries = [
            entry
            for entry in entries
            if all(not group.isdisjoint(terms.get(entry.sequence, frozenset())) for group in groups)
        ]
    return _page(entries, limit)


# --------------------------------------------------------------------------------------------------------- instants


async def _stretch_of(index: SearchIndex, selection: LogSelection) -> Stretch:
    """The part of the log in which all that match must stand."""
    low, high = 1, await index.last_sequence()
    if selection.after is not None:
        if selection.newest_first:
            high = min(high, selection.after - 1)
        else:
            low = selection.after + 1
    if low <= high and selection.since is not None:
        low = max(low, await _first_from(index, selection.since, low, high) - _SLACK)
    if low <= high and selection.until is not None:
        high = min(high, await _first_from(index, selection.until, low, high, is_behind=True) - 1 + _SLACK)
    return Stretch(low, high, selection.newest_first)


async def _first_from(index: SearchIndex, at: datetime, low: int, high: int, *, is_behind: bool = False) -> int:
    """The first message that was received at an instant or later, behind it with `is_behind`; instants rise."""
    bound = to_micros(at) + is_behind
    while low <= high:
        middle = (low + high) // 2
        seen = await index.instant_at(middle)
        if seen is None or seen[1] >= bound:
            high = middle - 1
        else:
            low = seen[0] + 1
    return low
