"""The directory of premises follows the agreements: who moves in is found there, and who moves out is not.

The record of the premises names the customer, account and agreement of supply with electricity that holds there now;
records of customer and account are made, or follow what an agreement says of them. What callers are recognised by
follows too. A place that the directory does not
know is not made up: what feeds it is the network's to say.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

import msgspec

from cimcare.exchange.ports import Collection, Key, NewID, Records, Selection, ServingContext, Stored
from cimcare.model.customer_agreement import Customer, CustomerAccount, CustomerAgreement
from cimcare.model.enumerations import CustomerKind, ServiceKind
from cimcare.model.identity import MRID, Name
from cimcare.model.structure import Structure
from cimcare.rules.lifecycle import AgreementState
from cimcare.systems.cis.callers import index_premises
from cimcare.systems.identity import Label, label_of, labels_of, lookup_keys, mrid_of, names_of, stored_keys
from cimcare.systems.premises import (
    ACCOUNTS,
    CUSTOMERS,
    PREMISES,
    AccountRecord,
    CustomerRecord,
    PremisesRecord,
    find_premises,
    need_keys,
)

__all__ = ["customers_of", "find_account", "keys_of_customers", "occupy", "settle_place", "vacate"]

_WHO = ("customer", "account", "agreement")
"""Sorts of keys of the premises that mean who is supplied there."""

_BodyT = TypeVar("_BodyT", CustomerRecord, AccountRecord)


async def settle_place(context: ServingContext, agreement: Stored[CustomerAgreement], state: AgreementState) -> None:
    """Bring the directory up to the state of an agreement. One that is proposed has no place yet."""
    if state is AgreementState.ACTIVE:
        await occupy(context.records, agreement, context.now, context.new_id)
    elif state is not AgreementState.PROPOSED:
        await vacate(context.records, agreement.mrid, context.now)


async def occupy(records: Records, agreement: Stored[CustomerAgreement], now: datetime, new_id: NewID) -> None:
    """Note that an agreement holds now: at its premises, and in the records of its customer and account."""
    body = agreement.body
    if not _is_electricity(body):
        return
    customer = await _kept_customer(records, body.customer, now, new_id) if body.customer is not None else None
    account = (
        await _kept_account(records, body.customer_account, customer, agreement.mrid, now, new_id)
        if body.customer_account is not None and customer is not None
        else None
    )
    keys = {Key("agreement", agreement.mrid)} | stored_keys("agreement", labels_of(body))
    for sort, value, mrid in (
        ("customer", body.customer, customer and customer.mrid),
        ("account", body.customer_account, account and account.mrid),
    ):
        if value is not None and mrid:
            keys |= {Key(sort, mrid)} | stored_keys(sort, labels_of(value))
    for premises in await _premises_of(records, body):
        record = msgspec.structs.replace(
            premises.body,
            customer=customer.mrid if customer is not None else None,
            account=account.mrid if account is not None else None,
            agreement=agreement.mrid,
            is_critical=customer is not None and customer.body.special_need is not None,
        )
        await _save_premises(records, premises, record, frozenset(keys), now)
    if customer is not None:  # who may be found by another name or number from now on, wherever else they are supplied
        for premises in await records.find_by_key(PREMISES, Key("customer", customer.mrid)):
            await index_premises(records, premises)


async def vacate(records: Records, agreement: MRID, now: datetime) -> None:
    """Note that an agreement holds no longer: its premises are vacant, unless another one has taken its place."""
    for premises in await records.find_by_key(PREMISES, Key("agreement", agreement)):
        if premises.body.agreement == agreement:
            record = msgspec.structs.replace(
                premises.body, customer=None, account=None, agreement=None, is_critical=False
            )
            await _save_premises(records, premises, record, frozenset(), now)


async def customers_of(records: Records, customer: Customer | None) -> tuple[MRID, ...]:
    """MRIDs of the customer that an agreement names: its own, failing that those known by one of its names."""
    if customer is None:
        return ()
    mrid = mrid_of(customer)
    if mrid:
        return (mrid,)
    found = await _find_by_names(records, CUSTOMERS, customer)
    return (found.mrid,) if found is not None else ()


async def keys_of_customers(records: Records, customers: Sequence[MRID]) -> tuple[Key, ...]:
    """Keys of objects that refer to one of these customers, by mRID or by a number that the directory knows.

    A number may be that of several customers, if nobody says of which numbering it is: what is found this way has to be
    held against `customers_of`.
    """
    if not customers:
        return ()
    found = await records.select(CUSTOMERS, Selection(mrids=tuple(customers), limit=len(customers)))
    by_name = (
        key for stored in found for key in lookup_keys("customer", None, [label_of(name) for name in stored.body.names])
    )
    return tuple(dict.fromkeys((*(Key("customer", customer) for customer in customers), *by_name)))


async def find_account(records: Records, said: str) -> Stored[AccountRecord] | None:
    """The account with this mRID or number; None if there is none, or the number means several."""
    stored = await records.find(ACCOUNTS, MRID(said))
    if stored is not None:
        return stored
    for key in lookup_keys("name", None, (Label("", "", said),)):
        found = await records.find_by_key(ACCOUNTS, key)
        if len(found) == 1:
            return found[0]
    return None


def _is_electricity(agreement: CustomerAgreement) -> bool:
    """Whether it is about what the directory is about; a kind that is not said may be."""
    kind = agreement.service_category.kind if agreement.service_category is not None else None
    return kind in (None, ServiceKind.electricity)


async def _premises_of(records: Records, agreement: CustomerAgreement) -> tuple[Stored[PremisesRecord], ...]:
    found: dict[MRID, Stored[PremisesRecord]] = {}
    places: tuple[tuple[str, tuple[Structure, ...]], ...] = (
        ("service-location", agreement.service_locations),
        ("usage-point", agreement.usage_points),
    )
    for sort, values in places:
        for value in values:
            for premises in await find_premises(records, sort, value):
                found[premises.mrid] = premises
    return tuple(found.values())


async def _save_premises(
    records: Records,
    before: Stored[PremisesRecord],
    record: PremisesRecord,
    who: frozenset[Key],
    now: datetime,
) -> None:
    keys = frozenset(key for key in before.keys if key.sort not in _WHO) | who
    now_known = msgspec.structs.replace(before, body=record, keys=keys)
    if now_known != before:
        now_known = msgspec.structs.replace(now_known, modified_at=now)
        await records.save(PREMISES, now_known)
    await index_premises(records, now_known)


async def _kept_customer(
    records: Records, said: Customer, now: datetime, new_id: NewID
) -> Stored[CustomerRecord] | None:
    """The record of the customer with what the agreement says of it; None if nobody could tell who it is."""
    mrid, labels = mrid_of(said), labels_of(said)
    before = await _find(records, CUSTOMERS, said)
    if before is None and not mrid and not labels:
        return None
    organisation = said.organisation
    told: dict[str, object] = {
        "kind": said.kind,
        "special_need": said.special_need,
        "full_name": next((name.name for name in organisation.names), None) if organisation is not None else None,
        "telephone": _telephone_of(said),
        "email": organisation.electronic_address.email1
        if organisation is not None and organisation.electronic_address is not None
        else None,
    }
    known = {name: value for name, value in told.items() if value}
    if before is not None:
        body = msgspec.structs.replace(before.body, names=_joined(before.body.names, names_of(said)), **known)
    else:
        start = CustomerRecord(
            mrid=mrid or MRID(new_id()),
            names=names_of(said),
            full_name="",
            kind=CustomerKind.other,
            telephone="",
            email="",
        )
        body = msgspec.structs.replace(start, **known)
    keys = stored_keys("name", (label_of(name) for name in body.names)) | need_keys(body)
    if before is not None and body.special_need is None:
        before = msgspec.structs.replace(before, keys=before.keys - need_keys(before.body))
    return await _keep(records, CUSTOMERS, before, body, keys, now)


async def _kept_account(
    records: Records,
    said: CustomerAccount,
    customer: Stored[CustomerRecord],
    agreement: MRID,
    now: datetime,
    new_id: NewID,
) -> Stored[AccountRecord] | None:
    """The record of the account, whose it is now, and with the agreement among its own."""
    mrid, labels = mrid_of(said), labels_of(said)
    before = await _find(records, ACCOUNTS, said)
    if before is None and not mrid and not labels:
        return None
    start = (
        before.body
        if before is not None
        else AccountRecord(mrid=mrid or MRID(new_id()), names=names_of(said), customer=customer.mrid, agreements=())
    )
    body = msgspec.structs.replace(
        start,
        names=_joined(start.names, names_of(said)),
        customer=customer.mrid,
        agreements=tuple(dict.fromkeys((*start.agreements, agreement))),
    )
    keys = stored_keys("name", (label_of(name) for name in body.names)) | {Key("customer", body.customer)}
    return await _keep(records, ACCOUNTS, before, body, keys, now)


async def _keep(
    records: Records,
    collection: Collection[_BodyT],
    before: Stored[_BodyT] | None,
    body: _BodyT,
    keys: frozenset[Key],
    now: datetime,
) -> Stored[_BodyT]:
    if before is None:
        stored = Stored(mrid=body.mrid, body=body, created_at=now, modified_at=now, keys=keys)
    elif before.body == body:
        return before
    else:
        # Keys that others gave the record, such as one by which it is called, stay.
        stored = msgspec.structs.replace(before, body=body, keys=before.keys | keys, modified_at=now)
    await records.save(collection, stored)
    return stored


async def _find(records: Records, collection: Collection[_BodyT], said: Structure) -> Stored[_BodyT] | None:
    mrid = mrid_of(said)
    found = await records.find(collection, mrid) if mrid else None
    return found or (None if mrid else await _find_by_names(records, collection, said))


async def _find_by_names(records: Records, collection: Collection[_BodyT], said: Structure) -> Stored[_BodyT] | None:
    for key in lookup_keys("name", None, labels_of(said)):
        found = await records.find_by_key(collection, key)
        if len(found) == 1:
            return found[0]
    return None


def _telephone_of(said: Customer) -> str | None:
    phone = said.organisation.phone1 if said.organisation is not None else None
    if phone is None:
        return None
    parts = (phone.country_code, phone.area_code, phone.city_code, phone.local_number)
    return " ".join(part for part in parts if part) or None


def _joined(known: tuple[Name, ...], more: tuple[Name, ...]) -> tuple[Name, ...]:
    labels = {label_of(name) for name in known}
    return (*known, *(name for name in more if label_of(name) not in labels))
