"""Partners as an operator sees them: what each gets and sends, what it has not got, and how it is with it."""

from datetime import datetime, timedelta

import msgspec

from cimcare.console.deliveries.browsing import take_newest
from cimcare.console.overview.looking import Flow, flows_of
from cimcare.exchange.drills import DRILLED, Drilled
from cimcare.exchange.ledger import hour_of
from cimcare.exchange.log import LogEntry, LogSelection
from cimcare.exchange.outbox import Delivery, DeliverySelection, DeliveryState
from cimcare.exchange.sending import Circuit
from cimcare.exchange.subscriptions import Subscription
from cimcare.hub.config.configuration import in_force
from cimcare.hub.config.differences import partner_keys, shown_address, subscription_keys
from cimcare.hub.config.keys import written
from cimcare.hub.config.partner_keys import OF_PARTNERS
from cimcare.hub.operation.balance import balances
from cimcare.hub.operation.readiness import CertificateFile
from cimcare.hub.operation.readiness_facts import read_certificates
from cimcare.hub.outgoing.destinations import Destination, list_destinations, needs_partner
from cimcare.hub.rest.inside import Inside
from cimcare.model.identity import MRID

__all__ = ["Listed", "ShownPartner", "find_partner", "list_partners"]

_HOUR = timedelta(hours=1)
_HOURS = 24
_LATEST = 15
_MOST_LOOKED_AT = 2000
"""Of the latest deliveries, and of the latest messages, how many are looked at."""


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A partner in the list. `destination` and `circuit` are None for who only sends.

    `is_missed`: something is kept for a partner of this name, and none is in force.
    """

    flow: Flow
    destination: Destination | None
    circuit: Circuit | None
    address: str
    is_missed: bool


class ShownPartner(msgspec.Struct, frozen=True, kw_only=True):
    """One partner with all that belongs to it.

    `keys` are those of its table that are not as they come with the product. `delivered_at` is when it took something
    last, as far as the latest deliveries tell. `subscriptions` are with their filters in words.
    """

    listed: Listed
    keys: tuple[tuple[str, str], ...]
    subscriptions: tuple[tuple[str, str], ...]
    drilled: Drilled | None
    files: tuple[CertificateFile, ...]
    delivered_at: datetime | None
    open: tuple[Delivery, ...]
    messages: tuple[LogEntry, ...]


async def list_partners(inside: Inside) -> tuple[Listed, ...]:
    """All that send or are sent to, by name; what was counted in the 24 hours up to now. Raises StoreError."""
    now = inside.clock()
    books = await balances(inside.reader, hour_of(now) - (_HOURS - 1) * _HOUR, now + _HOUR)
    destinations = await list_destinations(inside.reader)
    places = {one.name: one for one in destinations}
    circuits = inside.circuits()
    return tuple(
        Listed(
            flow=flow,
            destination=places.get(flow.name),
            circuit=circuits.get(flow.name),
            address=_address(places.get(flow.name)),
            is_missed=_is_missed(places.get(flow.name)),
        )
        for flow in flows_of(inside, books, destinations, now)
    )


def _is_missed(destination: Destination | None) -> bool:
    return destination is not None and destination.partner is None and needs_partner(destination.name)


def _address(destination: Destination | None) -> str:
    return "" if destination is None or destination.partner is None else shown_address(destination.partner.url)


async def find_partner(inside: Inside, name: str) -> ShownPartner | None:
    """One of them; None if there is none of this name. Raises StoreError."""
    listed = next((one for one in await list_partners(inside) if one.flow.name == name), None)
    if listed is None:
        return None
    reader = inside.reader
    partner = listed.destination.partner if listed.destination is not None else None
    found = await in_force(reader.records)
    drilled = await reader.records.find(DRILLED, MRID(name))
    source = partner.source if partner is not None else name
    backlog = listed.destination.backlog if listed.destination is not None else None
    states = (DeliveryState.DEAD, DeliveryState.WAITING, DeliveryState.LEASED, DeliveryState.AWAITING)
    wanted = DeliverySelection(partner=name, states=states, limit=_LATEST)
    return ShownPartner(
        listed=listed,
        keys=()
        if partner is None
        else tuple(
            (key, shown_address(str(value)) if key == "url" else written(value))
            for key, value in partner_keys(partner).items()
            if value != OF_PARTNERS[key].setting.default and value not in ("", ())
        ),
        subscriptions=tuple((one.name, _told(one)) for one in found.subscriptions if one.partner == name),
        drilled=drilled.body if drilled is not None else None,
        files=await read_certificates(partner) if partner is not None else (),
        delivered_at=await _delivered_at(inside, name),
        open=await reader.outbox.select(wanted) if backlog is not None else (),
        messages=await _latest_messages(inside, source),
    )


def _told(subscription: Subscription) -> str:
    keys = {key: value for key, value in subscription_keys(subscription).items() if value and key != "partner"}
    return ", ".join(f"{key} {written(value)}" for key, value in keys.items()) or "all events"


async def _latest_messages(inside: Inside, source: str) -> tuple[LogEntry, ...]:
    """Its messages among the latest of all."""
    found = await inside.reader.log.select(LogSelection(newest_first=True, limit=_MOST_LOOKED_AT))
    return tuple(entry for entry in found if entry.partner == source)[:_LATEST]


async def _delivered_at(inside: Inside, name: str) -> datetime | None:
    """When it took the last of the latest deliveries."""
    seen = 0
    async for one in take_newest(
        inside.reader.outbox, DeliverySelection(states=(DeliveryState.DELIVERED,), newest_first=True)
    ):
        seen += 1
        if one.partner == name and one.state is DeliveryState.DELIVERED:
            return one.due_at
        if seen == _MOST_LOOKED_AT:
            return None
    return None
