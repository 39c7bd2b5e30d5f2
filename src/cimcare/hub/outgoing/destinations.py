"""Destinations of deliveries: partners, and whoever else something is kept for, each with what it has not got."""

import msgspec

from cimcare.exchange.outbox import Backlog
from cimcare.exchange.partners import BROKER, DIRECT, Partner
from cimcare.exchange.store import Reader
from cimcare.hub.config.configuration import in_force
from cimcare.hub.outgoing.halting import Halt, list_halts

__all__ = ["Destination", "is_destination", "list_destinations", "needs_partner"]


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """One destination.

    `partner` is None where no partner of this name is in force: one that was removed while something waits for it,
    the host of somebody who is no partner and gets later replies, or the hub itself, for which what came from a broker
    and could not be taken in is kept as `broker NAME`. `subscriptions` are the names of those that lead to
    it.
    """

    name: str
    partner: Partner | None
    subscriptions: tuple[str, ...]
    backlog: Backlog
    halt: Halt | None


async def list_destinations(reader: Reader) -> tuple[Destination, ...]:
    """All partners in force, and all other names for which something is kept or that are halted, by name."""
    found = await in_force(reader.records)
    partners = {partner.name: partner for partner in found.partners}
    backlogs = {backlog.partner: backlog for backlog in await reader.outbox.backlogs()}
    halts = await list_halts(reader.records)
    return tuple(
        Destination(
            name=name,
            partner=partners.get(name),
            subscriptions=tuple(one.name for one in found.subscriptions if one.partner == name),
            backlog=backlogs.get(name) or Backlog(partner=name, waiting=0, awaiting=0, dead=0, oldest_at=None),
            halt=halts.get(name),
        )
        for name in sorted(partners.keys() | backlogs.keys() | halts.keys())
    )


def is_destination(name: str, known: tuple[Destination, ...]) -> bool:
    """Whether something may come to be delivered to this name; one that is no partner's need not be known before."""
    return not needs_partner(name) or any(one.name == name for one in known)


def needs_partner(name: str) -> bool:
    """Whether it takes a partner of that name in force for what waits to go on."""
    return not name.startswith((f"{DIRECT} ", f"{BROKER} "))
