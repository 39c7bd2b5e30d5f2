"""Read-only directory of premises, customers and accounts, shared by the built-in systems.

The customer information system owns the records; the others look places up here and make do without where nothing is
known, because the directory of a real CIS is not at hand.
"""

from collections.abc import Iterable, Sequence

import msgspec

from cimcare.exchange.ports import Collection, Key, Records, Selection, Stored
from cimcare.model.enumerations import CustomerKind
from cimcare.model.identity import MRID, Name
from cimcare.model.structure import Structure
from cimcare.model.values import StreetAddress
from cimcare.systems.identity import labels_of, lookup_keys, mrid_of

__all__ = [
    "ACCOUNTS",
    "CUSTOMERS",
    "PREMISES",
    "AccountRecord",
    "CustomerRecord",
    "PremisesRecord",
    "find_premises",
    "has_directory",
    "need_keys",
    "widen_keys",
]


class PremisesRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One of the premises: where it is, what feeds it, who is supplied there.

    `mrid` and `names` are those of the ServiceLocation. `transformer` and `feeder` are names of devices of the network.
    `is_critical` says that somebody there depends on supply to live. Vacant premises have no customer.
    """

    mrid: MRID
    names: tuple[Name, ...]
    usage_point: MRID
    usage_point_names: tuple[Name, ...]
    address: StreetAddress
    feeder: str
    transformer: str
    customer: MRID | None = None
    account: MRID | None = None
    agreement: MRID | None = None
    is_critical: bool = False


class CustomerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A customer: who it is and how to reach it. `special_need` says what depends on supply, if anything does."""

    mrid: MRID
    names: tuple[Name, ...]
    full_name: str
    kind: CustomerKind
    telephone: str
    email: str
    special_need: str | None = None


class AccountRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An account: whose it is, and for which agreements."""

    mrid: MRID
    names: tuple[Name, ...]
    customer: MRID
    agreements: tuple[MRID, ...]


PREMISES: Collection[PremisesRecord] = Collection("cis.Premises", PremisesRecord)
CUSTOMERS: Collection[CustomerRecord] = Collection("cis.Customers", CustomerRecord)
ACCOUNTS: Collection[AccountRecord] = Collection("cis.Accounts", AccountRecord)

_PLACES = ("service-location", "usage-point")
"""Sorts of keys that mean one of the premises, and nothing but it."""


_ALL = 2**31 - 1


def need_keys(customer: CustomerRecord) -> frozenset[Key]:
    """The key by which customers are found that depend on supply; none for others."""
    return frozenset({Key("special-need", "yes")} if customer.special_need else ())


async def has_directory(records: Records) -> bool:
    """Whether any premises are known at all. Without a directory an unknown place is nothing unusual."""
    return bool(await records.select(PREMISES, Selection(limit=1)))


async def find_premises(records: Records, sort: str, value: Structure) -> tuple[Stored[PremisesRecord], ...]:
    """Premises that a value means, which is of the sort `service-location`, `usage-point`, `agreement` or `customer`.

    One for a place, any number for a customer; none if the directory does not know it.
    """
    keys = lookup_keys(sort, mrid_of(value), labels_of(value))
    found = await _with_any(records, keys)
    return next((hits for key in keys if (hits := _with(key, found))), ())


async def widen_keys(records: Records, keys: Iterable[Key]) -> frozenset[Key]:
    """The keys, and all other keys of the premises that they mean.

    So an object that names its place in one manner is found by every other, and `premises` means one place for all.
    """
    wide = set(keys)
    places = sorted(key for key in wide if key.sort in _PLACES)
    found = await _with_any(records, places)
    covered: set[Key] = set()
    for key in places:
        if key in covered:
            continue
        hits = _with(key, found)
        if len(hits) == 1:
            covered |= {one for one in hits[0].keys if one.sort in (*_PLACES, "premises")}
    return frozenset(wide | covered)


async def _with_any(records: Records, keys: Sequence[Key]) -> tuple[Stored[PremisesRecord], ...]:
    """All premises with one of the keys, oldest first, by one look-up however many keys there are."""
    if not keys:
        return ()
    return await records.select(PREMISES, Selection(keys=(tuple(keys),), limit=_ALL))


def _with(key: Key, found: tuple[Stored[PremisesRecord], ...]) -> tuple[Stored[PremisesRecord], ...]:
    return tuple(stored for stored in found if key in stored.keys)
