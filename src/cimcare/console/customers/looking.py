"""What the pages of customers show: a list, and all that is known of one, with personal data masked or not. Reads only.

Masked are telephone numbers, addresses of mail, numbers of houses, what depends on supply, and the texts of notices,
which may have an address in them. Who sees them has asked for it; see `cimcare.hub.acts.revealing`.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import msgspec

from cimcare.console.masking import MASK, mask_address, mask_contact
from cimcare.console.owned import callers_at, service_orders, tickets
from cimcare.console.tickets.looking import number_of_ticket
from cimcare.exchange.ports import Key, Records, Selection, Stored
from cimcare.hub.acts.customer_views import CallerView, ContactView, CustomerDetail
from cimcare.hub.rest.customer_pages import find_customer
from cimcare.hub.rest.inside import Inside
from cimcare.model import service_order
from cimcare.model.customer_agreement import CustomerAgreement
from cimcare.model.identity import MRID
from cimcare.model.structure import Structure
from cimcare.systems.cis.callers import Caller, find_callers
from cimcare.systems.cis.consents import ConsentRecord, list_consents
from cimcare.systems.cis.directory import find_account, keys_of_customers
from cimcare.systems.cis.due import DUE, DueRecord
from cimcare.systems.cis.kinds import AGREEMENTS
from cimcare.systems.cis.notices import NOTICES, NoticeRecord
from cimcare.systems.cis.point_of_sale import ReceiptRecord, list_receipts
from cimcare.systems.identity import labels_of
from cimcare.systems.objects import as_utc
from cimcare.systems.premises import CUSTOMERS, PREMISES
from cimcare.systems.wms.board import OrderView, view_order

__all__ = ["AgreementRow", "CustomerPage", "CustomerRow", "CustomerSheet", "find_sheet", "list_customers"]

_MOST_ROWS = 25
_MOST_OF_EACH = 20


class CustomerRow(msgspec.Struct, frozen=True, kw_only=True):
    """A customer in one line, personal data masked."""

    name: str
    number: str
    account: str
    premises: str
    address: str
    town: str
    telephone: str
    depends: bool

    @property
    def key(self) -> str:
        """What the page is found by; empty for premises where nobody is supplied."""
        return self.account or self.number


class CustomerPage(msgspec.Struct, frozen=True, kw_only=True):
    """Customers that fit what was typed, or those who depend on supply. `after` asks for more of the latter."""

    items: tuple[CustomerRow, ...]
    has_more: bool = False
    after: MRID | None = None


class AgreementRow(msgspec.Struct, frozen=True, kw_only=True):
    """An agreement: its state, from when until when it holds, and what is due to happen to it."""

    mrid: MRID
    number: str
    state: str
    start: datetime | None
    end: datetime | None
    signed: str
    tariff: str
    supplier: str
    service: str
    is_pre_pay: bool
    shut_off_at: datetime | None
    due: tuple[DueRecord, ...]


class CustomerSheet(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of a customer. `is_open` says that personal data are not masked."""

    is_open: bool
    mrid: MRID
    key: str
    name: str
    number: str
    kind: str
    telephone: str
    email: str
    depends: bool
    special_need: str
    accounts: tuple[str, ...]
    homes: tuple[tuple[CallerView, str, str], ...]
    contacts: tuple[ContactView, ...]
    time_zone: str
    agreements: tuple[AgreementRow, ...]
    consents: tuple[ConsentRecord, ...]
    tickets: tuple[tuple[MRID, str, str, str, datetime], ...]
    orders: tuple[OrderView, ...]
    notices: tuple[Stored[NoticeRecord], ...]
    receipts: tuple[tuple[ReceiptRecord, Decimal], ...]


async def list_customers(inside: Inside, asked: str, *, depends: bool = False, after: str = "") -> CustomerPage:
    """Customers that fit what was typed; with `depends` those who depend on supply, in the order they were made."""
    records = inside.reader.records
    if asked:
        found, has_more = await find_callers(records, asked)
        return CustomerPage(items=tuple(_row_of(one.body) for one in found), has_more=has_more)
    if not depends:
        return CustomerPage(items=())
    wanted = Selection(
        keys=((Key("special-need", "yes"),),), after=MRID(after) if after else None, limit=_MOST_ROWS + 1
    )
    found_customers = await records.select(CUSTOMERS, wanted)
    shown = found_customers[:_MOST_ROWS]
    rows: list[CustomerRow] = []
    for customer in shown:
        homes = await records.find_by_key(PREMISES, Key("customer", customer.mrid))
        callers = await callers_at(records, [one.mrid for one in homes])
        rows += [_row_of(callers[one.mrid]) for one in homes if one.mrid in callers]
    return CustomerPage(items=tuple(rows), after=shown[-1].mrid if len(found_customers) > len(shown) else None)


def _row_of(caller: Caller) -> CustomerRow:
    return CustomerRow(
        name=caller.name,
        number=caller.customer_number,
        account=caller.account_number,
        premises=caller.place,
        address=mask_address(caller.address),
        town=caller.town,
        telephone=mask_contact(caller.telephone),
        depends=caller.special_need is not None,
    )


async def find_sheet(inside: Inside, asked: str, *, is_open: bool = False) -> CustomerSheet | None:
    """The customer of an account, by its number or mRID, or a customer by number or mRID; None if there is none."""
    records = inside.reader.records
    account = await find_account(records, asked)
    detail = await find_customer(inside.reader, account.body.customer if account is not None else asked)
    if detail is None:
        return None
    mrid = MRID(detail.id)
    mine = await keys_of_customers(records, [mrid])
    newest = Selection(keys=(mine,), newest_first=True, limit=_MOST_OF_EACH)
    found_tickets = await records.select(tickets(inside), newest)
    found_orders = await records.select(service_orders(inside), newest)
    agreements = await records.select(AGREEMENTS.collection, newest)
    notices = await records.select(
        NOTICES, Selection(keys=((Key("customer", mrid),),), newest_first=True, limit=_MOST_OF_EACH)
    )
    return CustomerSheet(
        is_open=is_open,
        mrid=mrid,
        key=asked,
        name=detail.name,
        number=detail.number,
        kind=detail.kind.value,
        telephone=_shown(detail.telephone, mask_contact(detail.telephone), is_open=is_open),
        email=_shown(detail.email, mask_contact(detail.email), is_open=is_open),
        depends=detail.special_need is not None,
        special_need=_shown(detail.special_need or "", MASK, is_open=is_open),
        accounts=detail.accounts,
        homes=await _homes_of(records, detail, is_open=is_open),
        contacts=tuple(
            msgspec.structs.replace(one, value=_shown(one.value, mask_contact(one.value), is_open=is_open))
            for one in detail.preferences.contacts
        ),
        time_zone=detail.preferences.time_zone,
        agreements=tuple([await _agreement_of(records, one) for one in agreements]),
        consents=await list_consents(records, customer=mrid, limit=_MOST_OF_EACH),
        tickets=tuple(
            (
                one.mrid,
                number_of_ticket(one),
                one.state,
                one.body.trouble_code or "",
                as_utc(one.body.date_time_of_report) or one.created_at,
            )
            for one in found_tickets
        ),
        orders=tuple([await _order_of(records, one, is_open=is_open) for one in found_orders]),
        notices=notices,
        receipts=await _receipts_of(records, detail.accounts),
    )


def _shown(text: str, masked: str, *, is_open: bool) -> str:
    return text if is_open or not text else masked


async def _homes_of(
    records: Records, detail: CustomerDetail, *, is_open: bool
) -> tuple[tuple[CallerView, str, str], ...]:
    """Premises, each with feeder and transformer."""
    homes = []
    for home in detail.premises:
        stored = await records.find(PREMISES, MRID(home.premises))
        shown = msgspec.structs.replace(home, address=_shown(home.address, mask_address(home.address), is_open=is_open))
        homes.append(
            (shown, stored.body.feeder if stored is not None else "", stored.body.transformer if stored else "")
        )
    return tuple(homes)


async def _agreement_of(records: Records, stored: Stored[CustomerAgreement]) -> AgreementRow:
    body, validity = stored.body, stored.body.validity_interval
    due = await records.find_by_key(DUE, Key("agreement", stored.mrid))
    return AgreementRow(
        mrid=stored.mrid,
        number=_name_of(body) or stored.mrid,
        state=stored.state,
        start=as_utc(validity.start) if validity is not None else None,
        end=as_utc(validity.end) if validity is not None else None,
        signed=body.sign_date.isoformat() if body.sign_date is not None else "",
        tariff=", ".join(one.code or _name_of(one) for one in body.pricing_structures),
        supplier=_name_of(body.service_supplier),
        service=body.service_category.kind.value
        if body.service_category is not None and body.service_category.kind is not None
        else "",
        is_pre_pay=bool(body.is_pre_pay),
        shut_off_at=as_utc(body.shut_off_date_time),
        due=tuple(one.body for one in due),
    )


def _name_of(value: Structure | None) -> str:
    labels = labels_of(value) if value is not None else ()
    return labels[0].name if labels else ""


async def _order_of(records: Records, stored: Stored[service_order.Work], *, is_open: bool) -> OrderView:
    shown = await view_order(records, stored)
    return msgspec.structs.replace(shown, place=_shown(shown.place, mask_address(shown.place), is_open=is_open))


async def _receipts_of(records: Records, accounts: Sequence[str]) -> tuple[tuple[ReceiptRecord, Decimal], ...]:
    found: list[ReceiptRecord] = []
    for account in accounts:
        found += await list_receipts(records, account=account, limit=_MOST_OF_EACH, newest_first=True) or ()
    newest = sorted(found, key=lambda one: one.at, reverse=True)[:_MOST_OF_EACH]
    return tuple((one, sum((each.amount for each in one.transactions), Decimal(0))) for one in newest)
