"""The directory as a utility brings it: premises, customers and accounts by number, made or brought up to date.

What the table does not name stays as it is. An agreement that holds at premises stays with them as long as the customer
does.
"""

from datetime import datetime
from enum import StrEnum
from typing import TypeVar

import msgspec

from cimcare.exchange.ports import Collection, Key, NewID, Records, Stored
from cimcare.model.directory import DirectoryRow
from cimcare.model.identity import MRID, Name, NameType
from cimcare.model.values import StreetAddress, StreetDetail, TownDetail
from cimcare.systems.cis.callers import index_premises
from cimcare.systems.identity import Label, label_of, lookup_keys, stored_keys
from cimcare.systems.premises import (
    ACCOUNTS,
    CUSTOMERS,
    PREMISES,
    AccountRecord,
    CustomerRecord,
    PremisesRecord,
    need_keys,
)

__all__ = ["Loaded", "load_row"]

BodyT = TypeVar("BodyT", CustomerRecord, AccountRecord, PremisesRecord)


class Loaded(StrEnum):
    """What became of a row."""

    ADDED = "added"
    CHANGED = "changed"
    SAME = "same"


async def load_row(records: Records, row: DirectoryRow, now: datetime, new_id: NewID) -> Loaded:
    """Bring premises, customer and account up to one row of the table."""
    customer = await _customer(records, row, now, new_id) if row.customer else None
    account = None
    if row.account and customer is not None:
        account = await _account(records, row, customer.mrid, now, new_id)
    label = Label("", "", row.premises)
    found = [
        one
        for key in lookup_keys("service-location", None, (label,))
        for one in await records.find_by_key(PREMISES, key)
    ]
    before = found[0] if len(found) == 1 else None
    stays = before is not None and customer is not None and before.body.customer == customer.mrid
    usage_point = row.usage_point or row.premises
    body = PremisesRecord(
        mrid=before.mrid if before is not None else MRID(new_id()),
        names=before.body.names if before is not None else _names(row.premises, "ServiceLocationNumber"),
        usage_point=before.body.usage_point if before is not None else MRID(new_id()),
        usage_point_names=_names(usage_point, "UsagePointNumber"),
        address=_address(row),
        feeder=row.feeder,
        transformer=row.transformer,
        customer=customer.mrid if customer is not None else None,
        account=account.mrid if account is not None else None,
        agreement=before.body.agreement if before is not None and stays else None,
        is_critical=bool(row.special_need),
    )
    keys = _place_keys(body)
    for sort, one in (("customer", customer), ("account", account)):
        if one is not None:
            keys |= _identity(sort, one.mrid, one.body.names)
    if before is not None and stays:
        keys |= {key for key in before.keys if key.sort == "agreement"}
    stored, loaded = await _keep(records, PREMISES, before, body, frozenset(keys), now)
    await index_premises(records, stored)
    return loaded


async def _customer(records: Records, row: DirectoryRow, now: datetime, new_id: NewID) -> Stored[CustomerRecord]:
    before = await _named(records, CUSTOMERS, row.customer)
    body = CustomerRecord(
        mrid=before.mrid if before is not None else MRID(new_id()),
        names=before.body.names if before is not None else _names(row.customer, "CustomerNumber"),
        full_name=row.name,
        kind=row.kind,
        telephone=row.telephone,
        email=row.email,
        special_need=row.special_need or None,
    )
    keys = stored_keys("name", _labels(body.names)) | need_keys(body)
    return (await _keep(records, CUSTOMERS, before, body, keys, now))[0]


async def _account(
    records: Records, row: DirectoryRow, customer: MRID, now: datetime, new_id: NewID
) -> Stored[AccountRecord]:
    before = await _named(records, ACCOUNTS, row.account)
    body = AccountRecord(
        mrid=before.mrid if before is not None else MRID(new_id()),
        names=before.body.names if before is not None else _names(row.account, "AccountNumber"),
        customer=customer,
        agreements=before.body.agreements if before is not None else (),
    )
    keys = stored_keys("name", _labels(body.names)) | {Key("customer", customer)}
    return (await _keep(records, ACCOUNTS, before, body, keys, now))[0]


async def _named(records: Records, collection: Collection[BodyT], number: str) -> Stored[BodyT] | None:
    for key in lookup_keys("name", None, (Label("", "", number),)):
        found = await records.find_by_key(collection, key)
        if len(found) == 1:
            return found[0]
    return None


async def _keep(
    records: Records,
    collection: Collection[BodyT],
    before: Stored[BodyT] | None,
    body: BodyT,
    keys: frozenset[Key],
    now: datetime,
) -> tuple[Stored[BodyT], Loaded]:
    if before is None:
        stored = Stored(mrid=body.mrid, body=body, created_at=now, modified_at=now, keys=keys)
        await records.save(collection, stored)
        return stored, Loaded.ADDED
    if (before.body, before.keys) == (body, keys):
        return before, Loaded.SAME
    stored = msgspec.structs.replace(before, body=body, keys=keys, modified_at=now)
    await records.save(collection, stored)
    return stored, Loaded.CHANGED


def _place_keys(body: PremisesRecord) -> set[Key]:
    keys = set(_identity("service-location", body.mrid, body.names))
    keys |= _identity("usage-point", body.usage_point, body.usage_point_names)
    keys |= stored_keys("name", _labels(body.names)) | {Key("premises", body.mrid)}
    if body.transformer:
        keys.add(Key("transformer", body.transformer))
    if body.feeder:
        keys.add(Key("feeder", body.feeder))
    return keys


def _identity(sort: str, mrid: MRID, names: tuple[Name, ...]) -> frozenset[Key]:
    return stored_keys(sort, _labels(names)) | {Key(sort, mrid)}


def _labels(names: tuple[Name, ...]) -> tuple[Label, ...]:
    return tuple(label_of(name) for name in names)


def _names(number: str, kind: str) -> tuple[Name, ...]:
    return (Name(name=number, name_type=NameType(name=kind)),)


def _address(row: DirectoryRow) -> StreetAddress:
    return StreetAddress(
        postal_code=row.postal_code or None,
        street_detail=StreetDetail(name=row.street or None, number=row.house_number or None),
        town_detail=TownDetail(
            name=row.town or None,
            section=row.section or None,
            state_or_province=row.state or None,
            country=row.country or None,
        ),
    )
