"""The invented town of Northlake in the customer system: premises, customers, accounts, agreements.

The same on every machine, for the same instant. The people, streets and devices are those of `cimcare.samples`, so that
sample messages speak of places that the directory knows.
"""

from datetime import datetime, timedelta

import msgspec

from cimcare.exchange.notices import ContactKind
from cimcare.exchange.ports import Key, Records, Stored
from cimcare.model.customer_agreement import (
    Customer,
    CustomerAccount,
    CustomerAgreement,
    PricingStructure,
    ServiceCategory,
    ServiceLocation,
    ServiceSupplier,
    UsagePoint,
)
from cimcare.model.enumerations import CustomerKind, NotificationTriggerKind, RevenueKind, ServiceKind, SupplierKind
from cimcare.model.identity import MRID, Name
from cimcare.model.values import DateTimeInterval, Priority, Status, StreetAddress, StreetDetail, TownDetail
from cimcare.rules.lifecycle import AgreementState
from cimcare.samples.draw import mrid_for
from cimcare.samples.northlake import COUNTRY, PREMISES_COUNT, STATE, TOWN, Premises, find_premises, name_of
from cimcare.systems.cis.callers import index_premises
from cimcare.systems.cis.contacts import PREFERENCES, ContactPreference, Preferences
from cimcare.systems.cis.kinds import AGREEMENTS
from cimcare.systems.identity import Label, label_of, stored_keys
from cimcare.systems.premises import (
    ACCOUNTS,
    CUSTOMERS,
    PREMISES,
    AccountRecord,
    CustomerRecord,
    PremisesRecord,
    has_directory,
    need_keys,
)

__all__ = ["Town", "build_town", "is_vacant", "seed_town"]


class Town(msgspec.Struct, frozen=True, kw_only=True):
    """All records of the town."""

    premises: tuple[Stored[PremisesRecord], ...]
    customers: tuple[Stored[CustomerRecord], ...]
    accounts: tuple[Stored[AccountRecord], ...]
    agreements: tuple[Stored[CustomerAgreement], ...]
    preferences: tuple[Stored[Preferences], ...]


def is_vacant(index: int) -> bool:
    """Whether nobody lives at these premises: one in twenty, so that somebody can move in."""
    return index % 20 == 19


def build_town(now: datetime) -> Town:
    """The town as it is at `now`, an aware instant in UTC: 200 premises on two feeders, ten of them vacant."""
    every = [find_premises(index) for index in range(PREMISES_COUNT)]
    inhabited = [one for one in every if not is_vacant(one.index)]
    return Town(
        premises=tuple(_premises(one, now) for one in every),
        customers=tuple(_customer(one, now) for one in inhabited),
        accounts=tuple(_account(one, now) for one in inhabited),
        agreements=tuple(_agreement(one, now) for one in inhabited),
        preferences=tuple(found for one in inhabited if (found := _preferences(one, now)) is not None),
    )


async def seed_town(records: Records, now: datetime) -> bool:
    """Write the town unless premises are known already. Whether anything was written."""
    if await has_directory(records):
        return False
    town = build_town(now)
    for premises in town.premises:
        await records.save(PREMISES, premises)
    for customer in town.customers:
        await records.save(CUSTOMERS, customer)
    for account in town.accounts:
        await records.save(ACCOUNTS, account)
    for agreement in town.agreements:
        await records.save(AGREEMENTS.collection, agreement)
    for preferences in town.preferences:
        await records.save(PREFERENCES, preferences)
    for premises in town.premises:
        await index_premises(records, premises)
    return True


def _labels(names: tuple[Name, ...]) -> tuple[Label, ...]:
    return tuple(label_of(name) for name in names)


def _identity(sort: str, mrid: MRID, names: tuple[Name, ...]) -> frozenset[Key]:
    return stored_keys(sort, _labels(names)) | {Key(sort, mrid)}


def _place_keys(premises: Premises) -> frozenset[Key]:
    return (
        _identity("service-location", premises.mrid("location"), name_of(premises.location, "ServiceLocationNumber"))
        | _identity("usage-point", premises.mrid("usage_point"), name_of(premises.usage_point, "UsagePointNumber"))
        | {Key("premises", premises.mrid("location"))}
    )


def _address(premises: Premises) -> StreetAddress:
    return StreetAddress(
        postal_code=premises.postal_code,
        street_detail=StreetDetail(
            name=premises.street, number=premises.house_number, type=premises.street_type, within_town_limits=True
        ),
        town_detail=TownDetail(country=COUNTRY, name=TOWN, section=premises.section, state_or_province=STATE),
    )


def _premises(premises: Premises, now: datetime) -> Stored[PremisesRecord]:
    names = name_of(premises.location, "ServiceLocationNumber")
    keys = set(_place_keys(premises) | stored_keys("name", _labels(names)))
    keys |= {Key("transformer", premises.device), Key("feeder", premises.feeder)}
    inhabited = not is_vacant(premises.index)
    if inhabited:
        keys |= _identity("customer", premises.mrid("customer"), name_of(premises.customer, "CustomerNumber"))
        keys |= _identity("account", premises.mrid("account"), name_of(premises.account, "AccountNumber"))
        keys |= _identity("agreement", premises.mrid("agreement"), name_of(premises.agreement, "AgreementNumber"))
    record = PremisesRecord(
        mrid=premises.mrid("location"),
        names=names,
        usage_point=premises.mrid("usage_point"),
        usage_point_names=name_of(premises.usage_point, "UsagePointNumber"),
        address=_address(premises),
        feeder=premises.feeder,
        transformer=premises.device,
        customer=premises.mrid("customer") if inhabited else None,
        account=premises.mrid("account") if inhabited else None,
        agreement=premises.mrid("agreement") if inhabited else None,
        is_critical=inhabited and premises.special_need is not None,
    )
    return Stored(mrid=record.mrid, body=record, created_at=now, modified_at=now, keys=frozenset(keys))


def _customer(premises: Premises, now: datetime) -> Stored[CustomerRecord]:
    record = CustomerRecord(
        mrid=premises.mrid("customer"),
        names=name_of(premises.customer, "CustomerNumber"),
        full_name=premises.organisation,
        kind=premises.kind,
        telephone=premises.telephone,
        email=premises.email,
        special_need=premises.special_need,
    )
    keys = stored_keys("name", _labels(record.names)) | need_keys(record)
    return Stored(mrid=record.mrid, body=record, created_at=now, modified_at=now, keys=keys)


def _preferences(premises: Premises, now: datetime) -> Stored[Preferences] | None:
    """How a customer wants to be told: most in no way, so that they call; those who depend on supply in every way."""
    by_mail, by_text = premises.index % 3 == 0, premises.index % 4 == 0
    contacts = []
    if premises.special_need is not None:
        every = tuple(NotificationTriggerKind)
        contacts = [
            ContactPreference(kind=ContactKind.SMS, value=premises.telephone, triggers=every),
            ContactPreference(kind=ContactKind.PHONE, value=premises.telephone, triggers=every),
        ]
    elif by_text:
        both = (NotificationTriggerKind.powerOut, NotificationTriggerKind.powerRestored)
        contacts = [
            ContactPreference(
                kind=ContactKind.SMS, value=premises.telephone, triggers=both, earliest="07:00", latest="22:00"
            )
        ]
    elif by_mail:
        some = (
            NotificationTriggerKind.initialEtr,
            NotificationTriggerKind.etrChange,
            NotificationTriggerKind.powerRestored,
        )
        contacts = [ContactPreference(kind=ContactKind.EMAIL, value=premises.email, triggers=some)]
    if not contacts:
        return None
    body = Preferences(contacts=tuple(contacts))
    return Stored(mrid=premises.mrid("customer"), body=body, created_at=now, modified_at=now)


def _account(premises: Premises, now: datetime) -> Stored[AccountRecord]:
    record = AccountRecord(
        mrid=premises.mrid("account"),
        names=name_of(premises.account, "AccountNumber"),
        customer=premises.mrid("customer"),
        agreements=(premises.mrid("agreement"),),
    )
    keys = stored_keys("name", _labels(record.names)) | {Key("customer", record.customer)}
    return Stored(mrid=record.mrid, body=record, created_at=now, modified_at=now, keys=keys)


def _agreement(premises: Premises, now: datetime) -> Stored[CustomerAgreement]:
    # Whole days, so that two builds on one day differ in nothing else than the day; some moved in long ago.
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    begins_at = midnight - timedelta(days=400 + 11 * premises.index)
    is_business = premises.kind is CustomerKind.commercialIndustrial
    tariff = "COM-1" if is_business else "RES-1"
    body = CustomerAgreement(
        mrid=premises.mrid("agreement"),
        created_date_time=begins_at,
        is_pre_pay=False,
        last_modified_date_time=begins_at,
        sign_date=(begins_at - timedelta(days=14)).date(),
        subject=f"Electricity for {premises.address}",
        title="Supply contract",
        type="supply",
        customer=Customer(
            mrid=premises.mrid("customer"),
            kind=premises.kind,
            special_need=premises.special_need,
            names=name_of(premises.customer, "CustomerNumber"),
            priority=Priority(justification=premises.special_need, rank=1, type="restoration")
            if premises.special_need
            else None,
        ),
        customer_account=CustomerAccount(
            mrid=premises.mrid("account"),
            billing_cycle=str(1 + premises.index % 28),
            names=name_of(premises.account, "AccountNumber"),
        ),
        names=name_of(premises.agreement, "AgreementNumber"),
        pricing_structures=(
            PricingStructure(
                mrid=mrid_for(TOWN, "pricing", tariff),
                code=tariff,
                revenue_kind=RevenueKind.commercial if is_business else RevenueKind.residential,
                names=name_of(tariff, "PricingCode"),
            ),
        ),
        service_category=ServiceCategory(
            mrid=mrid_for(TOWN, "category", "electricity"),
            kind=ServiceKind.electricity,
            names=name_of("ELEC", "ServiceCategoryCode"),
        ),
        service_locations=(
            ServiceLocation(
                mrid=premises.mrid("location"),
                main_address=_address(premises),
                names=name_of(premises.location, "ServiceLocationNumber"),
            ),
        ),
        service_supplier=ServiceSupplier(
            mrid=mrid_for(TOWN, "supplier", "SUP-1"),
            kind=SupplierKind.utility,
            names=name_of("SUP-1", "SupplierNumber"),
        ),
        status=Status(date_time=begins_at, value=AgreementState.ACTIVE.value),
        usage_points=(
            UsagePoint(
                mrid=premises.mrid("usage_point"),
                is_sdp=True,
                names=name_of(premises.usage_point, "UsagePointNumber"),
            ),
        ),
        validity_interval=DateTimeInterval(start=begins_at),
    )
    return Stored(
        mrid=premises.mrid("agreement"),
        body=body,
        created_at=begins_at,
        modified_at=now,
        state=AgreementState.ACTIVE,
        keys=AGREEMENTS.own_keys(body) | _place_keys(premises),
    )
