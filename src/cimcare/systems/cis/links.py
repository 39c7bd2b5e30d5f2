"""Whose an agreement was that is not, or no longer, kept here: so that its last events reach who may hear of it.

An agreement that was deleted leaves such a link, and one of a remote customer system has one as soon as an event names
its customer.
"""

from datetime import datetime

import msgspec

from cimcare.exchange.ports import Collection, Key, Records, Stored
from cimcare.model.customer_agreement import Customer, CustomerAgreement
from cimcare.model.identity import MRID, Name
from cimcare.systems.cis.directory import customers_of
from cimcare.systems.cis.kinds import AGREEMENTS
from cimcare.systems.identity import labels_of, lookup_keys, mrid_of
from cimcare.systems.objects import find_by_names

__all__ = ["LINKS", "LinkRecord", "bury", "find_basis", "remember"]


class LinkRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An agreement, the customers that are meant by it, and when it was deleted, if it was."""

    mrid: MRID
    names: tuple[Name, ...]
    customers: tuple[MRID, ...]
    gone_at: datetime | None = None


LINKS: Collection[LinkRecord] = Collection("cis.AgreementLinks", LinkRecord)


async def bury(records: Records, agreement: Stored[CustomerAgreement], now: datetime) -> None:
    """Keep whose a deleted agreement was."""
    customers = await customers_of(records, agreement.body.customer)
    if customers:
        await _save(records, agreement.mrid, agreement.body, customers, now, gone_at=now)


async def remember(records: Records, agreement: CustomerAgreement, now: datetime) -> None:
    """Keep whose an agreement is that an event tells of, unless it is kept here anyway."""
    mrid = mrid_of(agreement)
    if mrid is None or await records.find(AGREEMENTS.collection, mrid) is not None:
        return
    customers = await customers_of(records, agreement.customer)
    before = await records.find(LINKS, mrid)
    if customers and (before is None or before.body.customers != customers):
        await _save(records, mrid, agreement, customers, now)


async def find_basis(records: Records, agreement: CustomerAgreement) -> tuple[CustomerAgreement, ...]:
    """What says whose an agreement is: the one that is kept, or the link, and what it says of itself.

    Where they say different things, a consent of each is needed.
    """
    basis: list[CustomerAgreement] = []
    mrid = mrid_of(agreement)
    stored = await records.find(AGREEMENTS.collection, mrid) if mrid else None
    if stored is None and mrid is None:
        found = await find_by_names(records, AGREEMENTS, AGREEMENTS.labels(agreement))
        basis.extend(one.body for one in found)
    elif stored is not None:
        basis.append(stored.body)
    if not basis:
        basis.extend(await _links_of(records, agreement))
    if agreement.customer is not None:
        basis.append(agreement)
    return tuple(basis)


async def _links_of(records: Records, agreement: CustomerAgreement) -> list[CustomerAgreement]:
    mrid = mrid_of(agreement)
    link = await records.find(LINKS, mrid) if mrid else None
    links = [link] if link is not None else []
    if mrid is None:
        for key in lookup_keys("name", None, labels_of(agreement)):
            links.extend(await records.find_by_key(LINKS, key))
    return [CustomerAgreement(customer=Customer(mrid=customer)) for one in links for customer in one.body.customers]


async def _save(
    records: Records,
    mrid: MRID,
    agreement: CustomerAgreement,
    customers: tuple[MRID, ...],
    now: datetime,
    gone_at: datetime | None = None,
) -> None:
    record = LinkRecord(mrid=mrid, names=agreement.names, customers=customers, gone_at=gone_at)
    keys = AGREEMENTS.name_keys(agreement) | {Key("customer", customer) for customer in customers}
    await records.save(LINKS, Stored(mrid=mrid, body=record, created_at=now, modified_at=now, keys=keys))
