"""Which premises the customer system believes to be without supply, incident by incident, as far as it was told.

A member is a ticket of an incident, or a usage point that its events name. Members of one incident are kept in shelves
of a fixed size, so that going through all of them costs the same for each, however many there are.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from hashlib import sha256

import msgspec

from cimcare.exchange.ports import Collection, Key, Records, Selection, Stored
from cimcare.model.identity import MRID
from cimcare.model.structure import Structure
from cimcare.model.trouble_ticket import TroubleTicket
from cimcare.systems.etr import Etr
from cimcare.systems.identity import describe_identity, has_identity
from cimcare.systems.premises import PremisesRecord, find_premises

__all__ = [
    "FOLLOWED",
    "LEFT",
    "MEMBERS",
    "OUT",
    "PLANNED",
    "RESTORED",
    "SHELF_SIZE",
    "Followed",
    "Member",
    "Spot",
    "digest_of",
    "find_member",
    "load_followed",
    "members_at",
    "members_at_each",
    "members_of_ticket",
    "members_on",
    "out_at",
    "save_member",
    "spot_of_point",
    "spot_of_ticket",
]

OUT, PLANNED, RESTORED, LEFT = "out", "planned", "restored", "left"
"""States of a member: without supply; to be so for planned work; supplied again by what we were told; left it."""

SHELF_SIZE = 25
"""Members of an incident that are read together: some 20 ms of work where each of them wants to be told something."""

_ALL = 2**31 - 1


class Spot(msgspec.Struct, frozen=True, kw_only=True):
    """A place as the customer system knows it. `key` is the same for all who mean it; `premises` of the directory."""

    key: str
    premises: Stored[PremisesRecord] | None = None


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One ticket or usage point of an incident.

    `place` is the key of its `Spot`. `times` counts how often supply at this place was said to be back before.
    `heard` is the restoration time that the caller heard with the answer to a call, at `heard_at`. `is_own_word` marks
    a restoration that the customer has told of.
    """

    incident: MRID
    place: str
    since: datetime
    ticket: MRID | None = None
    premises: MRID | None = None
    customer: MRID | None = None
    times: int = 0
    heard: datetime | None = None
    heard_at: datetime | None = None
    restored_at: datetime | None = None
    is_own_word: bool = False


class Followed(msgspec.Struct, frozen=True, kw_only=True):
    """What of an incident has led to notices already. `members` counts all that ever joined."""

    members: int = 0
    etr: Etr = Etr()
    works: tuple[str, ...] = ()
    is_closed: bool = False


MEMBERS: Collection[Member] = Collection("cis.Members", Member)
FOLLOWED: Collection[Followed] = Collection("cis.Followed", Followed)


def digest_of(*parts: str) -> MRID:
    """An identifier that follows from its parts."""
    return MRID(sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32])


async def load_followed(records: Records, incident: MRID, now: datetime) -> Stored[Followed]:
    """What is known of an incident; nothing if it is new."""
    found = await records.find(FOLLOWED, incident)
    return found or Stored(mrid=incident, body=Followed(), created_at=now, modified_at=now)


async def members_on(records: Records, incident: MRID, shelf: int) -> tuple[Stored[Member], ...]:
    """Members on one shelf of an incident, shelves counted from 0."""
    return await records.find_by_key(MEMBERS, Key("shelf", f"{incident} {shelf}"))


async def members_at(records: Records, incident: MRID, place: str) -> tuple[Stored[Member], ...]:
    """Members of an incident at one place."""
    return await records.find_by_key(MEMBERS, Key("spot", f"{incident} {place}"))


async def members_at_each(
    records: Records, incident: MRID, places: Iterable[str]
) -> dict[str, tuple[Stored[Member], ...]]:
    """Members of an incident at each of these places, by one look-up."""
    found: dict[str, list[Stored[Member]]] = {place: [] for place in places}
    if found:
        keys = tuple(Key("spot", f"{incident} {place}") for place in found)
        for member in await records.select(MEMBERS, Selection(keys=(keys,), limit=_ALL)):
            found[member.body.place].append(member)
    return {place: tuple(here) for place, here in found.items()}


async def find_member(records: Records, incident: MRID, ticket: MRID) -> Stored[Member] | None:
    """The membership of a ticket in one incident, past or present; None if it never was in it."""
    return await records.find(MEMBERS, digest_of("member", incident, ticket))


async def members_of_ticket(records: Records, ticket: MRID) -> tuple[Stored[Member], ...]:
    """What a ticket was and is a member of."""
    return await records.find_by_key(MEMBERS, Key("ticket", ticket))


async def out_at(records: Records, place: str) -> tuple[Stored[Member], ...]:
    """Members at a place that are without supply, of whatever incident.

    A point that an incident has named is out no longer than that; a ticket is until it is settled itself.
    """
    found = []
    for member in await records.select(MEMBERS, Selection(keys=((Key("place", place),),), states=(OUT,), limit=100)):
        if member.body.ticket is None:
            followed = await records.find(FOLLOWED, member.body.incident)
            if followed is None or followed.body.is_closed:
                continue
        found.append(member)
    return tuple(found)


async def save_member(records: Records, body: Member, state: str, now: datetime) -> Stored[Member]:
    """Keep a member; a new one takes the next place on the shelves of its incident."""
    mrid = digest_of("member", body.incident, body.ticket or body.place)
    known = await records.find(MEMBERS, mrid)
    if known is not None:
        stored = msgspec.structs.replace(known, body=body, state=state, modified_at=now)
    else:
        followed = await load_followed(records, body.incident, now)
        shelf = followed.body.members // SHELF_SIZE
        counted = msgspec.structs.replace(followed.body, members=followed.body.members + 1)
        await records.save(FOLLOWED, msgspec.structs.replace(followed, body=counted, modified_at=now))
        keys = {
            Key("shelf", f"{body.incident} {shelf}"),
            Key("spot", f"{body.incident} {body.place}"),
            Key("place", body.place),
        }
        if body.ticket is not None:
            keys.add(Key("ticket", body.ticket))
        stored = Stored(mrid=mrid, body=body, created_at=now, modified_at=now, state=state, keys=frozenset(keys))
    if stored != known:
        await records.save(MEMBERS, stored)
    return stored


async def spot_of_ticket(records: Records, ticket: Stored[TroubleTicket]) -> Spot:
    """Where a ticket is from: its place, failing that its agreement, failing that its customer if it has one place."""
    for sort, value in _pointers(ticket.body):
        found = await find_premises(records, sort, value)
        if len(found) == 1:
            return Spot(key=found[0].mrid, premises=found[0])
    return Spot(key=f"ticket:{ticket.mrid}")


async def spot_of_point(records: Records, point: Structure) -> Spot:
    """Where a usage point is."""
    found = await find_premises(records, "usage-point", point)
    if len(found) == 1:
        return Spot(key=found[0].mrid, premises=found[0])
    return Spot(key=f"point:{describe_identity(point)}")


def _pointers(ticket: TroubleTicket) -> Iterator[tuple[str, Structure]]:
    customer = ticket.customer
    agreements = customer.customer_agreements if customer is not None else ()
    if ticket.service_location is not None and has_identity(ticket.service_location):
        yield "service-location", ticket.service_location
    for agreement in agreements:
        yield from (("service-location", one) for one in agreement.service_locations if has_identity(one))
        yield from (("usage-point", one) for one in agreement.usage_points if has_identity(one))
    yield from (("agreement", one) for one in agreements if has_identity(one))
    if customer is not None and has_identity(customer):
        yield "customer", customer
