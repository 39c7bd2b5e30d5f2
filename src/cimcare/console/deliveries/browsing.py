"""Deliveries by filter and page, and one of them with what went out, what came back, and how it is with its partner.

What has ended stands by number alone, among all that ever was: a page looks at so many and no more, and says where to
look on. An instant is found by its number, since both rise together.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime, timedelta
from urllib.parse import urlencode

import msgspec

from cimcare.errors import finding_of
from cimcare.exchange.log import LogEntry
from cimcare.exchange.outbox import Delivery, DeliveryKind, DeliverySelection, DeliveryState, OutboxReader
from cimcare.exchange.partners import Partner
from cimcare.exchange.sending import Circuit
from cimcare.hub.config.configuration import in_force
from cimcare.hub.config.differences import shown_address
from cimcare.hub.outgoing.destinations import needs_partner
from cimcare.hub.outgoing.exchanged import Attempt, find_attempts, load_carried
from cimcare.hub.outgoing.halting import Halt, find_halt
from cimcare.hub.rest.filters import FilterError, read_delivery_filters
from cimcare.hub.rest.inside import Inside

__all__ = [
    "ENDED",
    "OPEN",
    "DeliveryPage",
    "Shelf",
    "ShownDelivery",
    "address_of",
    "find_delivery",
    "list_deliveries",
    "take_newest",
]

OPEN = (DeliveryState.LEASED, DeliveryState.WAITING, DeliveryState.AWAITING)
ENDED = (DeliveryState.DELIVERED, DeliveryState.DISCARDED)

_PER_PAGE = 50
_PER_SHELF = 20
_STEP = 500
_MOST_LOOKED_AT = 5000
"""Deliveries that one page is looked for in."""

_UNEVEN = timedelta(minutes=1)
"""By how much numbers and instants of several processes may be out of step."""

_MOST_BYTES = 20_000
"""Of what was sent and of what came back, as a page shows them; the rest is in the log."""


class Shelf(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the list: deliveries of some states. `more` leads to all of them, empty if these are all."""

    name: str
    title: str
    items: tuple[Delivery, ...]
    more: str


class DeliveryPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the list. `given` are the filters as they were asked for.

    Without a state there are three shelves: given up, under way, ended last; with one there is one. `next` is the
    address behind; `looked_until` says up to when was looked where not everything was.
    """

    shelves: tuple[Shelf, ...]
    given: Mapping[str, str]
    partners: tuple[str, ...]
    next: str
    looked_until: datetime | None
    is_first: bool

    @property
    def is_live(self) -> bool:
        """Whether it goes on by itself: on the first page, which has no end in the past."""
        return self.is_first and "before" not in self.given


class ShownDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery with all that belongs to it.

    `address` is where it goes, or would now, without options. `partner` is None where none of that name is in force,
    which `is_missed` where it takes one for it to go on; `circuit` is None where this process has sent nothing to it.
    `sent_as` and `received_as` are sequences of the log.
    """

    delivery: Delivery
    address: str
    partner: Partner | None
    halt: Halt | None
    circuit: Circuit | None
    is_missed: bool
    message: LogEntry | None
    attempts: tuple[Attempt, ...]
    sent: str
    sent_bytes: int
    sent_as: int | None
    received: str
    received_bytes: int
    received_as: int | None


class _Wanted(msgspec.Struct, frozen=True, kw_only=True):
    selection: DeliverySelection
    kind: DeliveryKind | None

    def matches(self, one: Delivery) -> bool:
        wanted = self.selection
        return (
            (not wanted.noun or one.noun == wanted.noun)
            and (not wanted.verb or one.verb == wanted.verb)
            and (self.kind is None or one.kind is self.kind)
            and (not wanted.partner or one.partner == wanted.partner)
            and (wanted.message is None or one.message == wanted.message)
            and (wanted.cause is None or one.cause == wanted.cause)
            and (wanted.since is None or one.created_at >= wanted.since)
            and (wanted.before is None or one.created_at <= wanted.before)
        )


async def list_deliveries(inside: Inside, given: Iterable[tuple[str, str]]) -> DeliveryPage:
    """A page of deliveries.

    Args:
        inside: The hub.
        given: Parameters of the address, those of the REST interface and `kind`; empty ones come from fields left
            empty.

    Raises:
        FilterError: A parameter is unknown or wrong.
        StoreError: The database cannot be read.
    """
    filled = [(name, value.strip()) for name, value in given if value.strip()]
    wanted = _read(filled)
    outbox = inside.reader.outbox
    backlogs = {one.partner for one in await outbox.backlogs()}
    known = {one.name for one in (await in_force(inside.reader.records)).partners}
    kept = [(name, value) for name, value in filled if name not in ("after", "state")]
    states = wanted.selection.states
    following, until = "", None
    if states:
        found, after, until = await _page(outbox, wanted, states, _PER_PAGE)
        shelves = [Shelf(name="found", title="", items=found, more="")]
        if after is not None:
            again = [*kept, *(("state", state.value) for state in states), ("after", str(after))]
            following = f"/console/deliveries?{urlencode(again)}"
    else:
        shelves = [await _shelf(outbox, wanted, name, title, of, kept) for name, title, of in _SHELVES]
    return DeliveryPage(
        shelves=tuple(shelves),
        given=dict(filled),
        partners=tuple(sorted(backlogs | known)),
        next=following,
        looked_until=until,
        is_first=wanted.selection.after is None,
    )


_SHELVES = (
    ("dead", "Given up", (DeliveryState.DEAD,)),
    ("open", "Under way", OPEN),
    ("ended", "Ended last", ENDED),
)


def _read(filled: list[tuple[str, str]]) -> _Wanted:
    kinds = [value for name, value in filled if name == "kind"]
    selection = read_delivery_filters([(name, value) for name, value in filled if name != "kind"])
    if kinds and kinds[0] not in frozenset(DeliveryKind):
        accepted = f"one of {', '.join(DeliveryKind)}"
        raise FilterError(finding_of("EXC-110", "kind", repr(kinds[0]), accepted))
    return _Wanted(selection=selection, kind=DeliveryKind(kinds[0]) if kinds else None)


async def _shelf(
    outbox: OutboxReader,
    wanted: _Wanted,
    name: str,
    title: str,
    states: tuple[DeliveryState, ...],
    kept: list[tuple[str, str]],
) -> Shelf:
    items, after, _ = await _page(outbox, wanted, states, _PER_SHELF)
    query = urlencode([*kept, *(("state", state.value) for state in states)])
    return Shelf(name=name, title=title, items=items, more=f"/console/deliveries?{query}" if after is not None else "")


async def _page(
    outbox: OutboxReader, wanted: _Wanted, states: tuple[DeliveryState, ...], most: int
) -> tuple[tuple[Delivery, ...], int | None, datetime | None]:
    """Newest first; behind which number to go on, None at the end; and up to when was looked, if that was the bound."""
    selection = wanted.selection
    after = selection.after
    if selection.before is not None:
        bound = await _number_at(outbox, selection.before + _UNEVEN)
        after = bound if after is None or bound < after else after
    start = DeliverySelection(
        after=after,
        partner=selection.partner,
        states=states,
        message=selection.message,
        cause=selection.cause,
        newest_first=True,
    )
    found: list[Delivery] = []
    seen, last = 0, None
    async for one in take_newest(outbox, start):
        if len(found) == most:
            return tuple(found), found[-1].number, None
        if selection.since is not None and one.created_at < selection.since - _UNEVEN:
            break
        seen, last = seen + 1, one
        if one.state in states and wanted.matches(one):
            found.append(one)
        if seen == _MOST_LOOKED_AT:
            return tuple(found), last.number, last.created_at
    return tuple(found), None, None


async def take_newest(outbox: OutboxReader, start: DeliverySelection) -> AsyncIterator[Delivery]:
    """Deliveries from where the selection begins, the newest first, read step by step.

    Those that ended have no index of their own: of them all states are given, and whoever takes them picks.
    """
    is_ended = not set(start.states).isdisjoint(ENDED)
    by_message = start.message is not None or start.cause is not None
    selection = msgspec.structs.replace(start, partner="", states=()) if is_ended and not by_message else start
    selection = msgspec.structs.replace(selection, limit=_STEP)
    while True:
        page = await outbox.select(selection)
        for one in page:
            yield one
        if len(page) < _STEP:
            return
        selection = msgspec.structs.replace(selection, after=page[-1].number)


async def _number_at(outbox: OutboxReader, at: datetime) -> int:
    """A number of which all smaller ones were put in up to then, and no greater one was; by halving."""
    newest = await outbox.select(DeliverySelection(newest_first=True, limit=1))
    low, high = 0, newest[0].number + 1 if newest else 1
    while high - low > 1:
        middle = (low + high) // 2
        found = await outbox.select(DeliverySelection(after=middle - 1, limit=1))
        if found and found[0].created_at <= at:
            low = middle
        else:
            high = middle
    return high


async def find_delivery(inside: Inside, number: int) -> ShownDelivery | None:
    """One delivery with all that belongs to it; None if there is none."""
    reader = inside.reader
    delivery = await reader.outbox.find(number)
    if delivery is None:
        return None
    partner = next((one for one in (await in_force(reader.records)).partners if one.name == delivery.partner), None)
    carried = await load_carried(reader, delivery)
    exchanged = carried.exchanged
    return ShownDelivery(
        delivery=delivery,
        address=address_of(delivery, partner),
        partner=partner,
        halt=await find_halt(reader.records, delivery.partner),
        circuit=inside.circuits().get(delivery.partner),
        is_missed=partner is None and needs_partner(delivery.partner),
        message=await reader.log.find(delivery.message),
        attempts=await find_attempts(reader, delivery),
        sent=_as_text(carried.sent),
        sent_bytes=len(carried.sent),
        sent_as=exchanged.sent.sequence if exchanged.sent is not None else None,
        received=_as_text(carried.received),
        received_bytes=len(carried.received),
        received_as=exchanged.received.sequence if exchanged.received is not None else None,
    )


def address_of(delivery: Delivery, partner: Partner | None) -> str:
    """Where a delivery goes now, without options; empty if nobody knows. What is taken in again goes to the hub."""
    if delivery.kind is DeliveryKind.INTAKE:
        return "this hub"
    if delivery.address or partner is None:
        return shown_address(delivery.address)
    is_told = delivery.kind is not DeliveryKind.REQUEST and partner.event_url
    return shown_address(partner.event_url if is_told else partner.url)


def _as_text(raw: bytes) -> str:
    return raw[:_MOST_BYTES].decode("utf-8", "replace")
