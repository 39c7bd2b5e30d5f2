"""Point of sale: shifts and receipts, kept with the account, with totals that balance.

A receipt is known by its number at its point of sale. Taken twice it is one; a number with another content is refused.
A receipt is never changed: it is reversed by another one. Amounts are decimals of the shift's currency, and nothing is
rounded here.

Source: CIM, package PaymentMetering (Receipt, Tender, Transaction, CashierShift); that there is such a door is ours.
"""

from datetime import datetime
from decimal import Decimal
from typing import Annotated

import msgspec

from cimcare.errors import Finding, finding_of
from cimcare.exchange.ports import Collection, Key, OwnEvent, Records, Selection, Served, ServingContext, Stored
from cimcare.model.envelope import IDKind, ObjectID, Result
from cimcare.model.identity import MRID, Name, NameType
from cimcare.model.nouns import Role
from cimcare.model.payment import (
    OWN_NOUN,
    LineDetail,
    PaidAccount,
    Receipt,
    Receipts,
    Tender,
    TenderKind,
    Transaction,
    TransactionKind,
)
from cimcare.model.values import Money
from cimcare.model.verbs import Verb
from cimcare.rules.lifecycle import AgreementState
from cimcare.systems.cis.directory import find_account
from cimcare.systems.cis.kinds import AGREEMENTS
from cimcare.systems.premises import AccountRecord

__all__ = [
    "RECEIPTS",
    "SHIFTS",
    "CloseShift",
    "OpenShift",
    "Paid",
    "ReceiptRecord",
    "Reversal",
    "Sale",
    "ShiftRecord",
    "Sold",
    "Totals",
    "close_shift",
    "count_again",
    "find_receipt",
    "find_shift",
    "list_receipts",
    "open_shift",
    "reverse",
    "sell",
]

_OUR_RULE = "point of sale (our profile)"
_MOST_PLACES = 4

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
_Currency = Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")]


class Paid(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What was handed over: `amount` of it, and `change` given back. Of cards nothing more is kept."""

    kind: TenderKind = TenderKind.cash
    amount: Decimal
    change: Decimal = Decimal(0)


class Sold(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What was paid for. `energy` (kWh) and `token` go with a token; `reversed_id` is the receipt that is reversed."""

    kind: TransactionKind
    amount: Decimal
    energy: Decimal | None = None
    token: str = ""
    note: str = ""
    reversed_id: str = ""


class Sale(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A receipt as a point of sale hands it in. `account` is the number or mRID of the account."""

    number: _Text
    shift: _Text
    account: _Text
    tenders: tuple[Paid, ...]
    transactions: tuple[Sold, ...]
    is_bankable: bool = True


class Reversal(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """That a receipt is to be reversed: by which number, in which shift, and what it reverses at the same place."""

    number: _Text
    shift: _Text
    reverses: _Text
    reason: _Text


class OpenShift(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """That a shift begins. `cash_float` is in the drawer at its beginning."""

    number: _Text
    point_of_sale: _Text
    cashier: _Text
    currency: _Currency
    cash_float: Decimal = Decimal(0)


class CloseShift(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """That a shift ends. `counted_cash` is in the drawer then."""

    number: _Text
    counted_cash: Decimal


class Totals(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Sums over the receipts of a shift, reversals with their sign. `cash` is what they added to the drawer."""

    receipts: int = 0
    bankable: Decimal = Decimal(0)
    non_bankable: Decimal = Decimal(0)
    transactions: Decimal = Decimal(0)
    cash: Decimal = Decimal(0)

    @property
    def is_balanced(self) -> bool:
        """Whether what was taken is what was paid for."""
        return self.bankable + self.non_bankable == self.transactions

    def plus(self, receipt: "ReceiptRecord") -> "Totals":
        """The sums with one more receipt."""
        taken = sum((one.amount - one.change for one in receipt.tenders), Decimal(0))
        cash = sum((one.amount - one.change for one in receipt.tenders if one.kind is TenderKind.cash), Decimal(0))
        return Totals(
            receipts=self.receipts + 1,
            bankable=self.bankable + (taken if receipt.is_bankable else 0),
            non_bankable=self.non_bankable + (0 if receipt.is_bankable else taken),
            transactions=self.transactions + sum((one.amount for one in receipt.transactions), Decimal(0)),
            cash=self.cash + cash,
        )


class ShiftRecord(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A shift. `missing` is by how much the drawer held less than it should have at the end; negative if more."""

    number: str
    point_of_sale: str
    cashier: str
    currency: str
    cash_float: Decimal
    opened_at: datetime
    closed_at: datetime | None = None
    counted_cash: Decimal | None = None
    missing: Decimal | None = None
    totals: Totals = Totals()


class ReceiptRecord(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A receipt. `place` counts the receipts of its shift from 1; `reversed_by` is the number of the one against it."""

    number: str
    point_of_sale: str
    shift: str
    place: int
    at: datetime
    account: str
    account_names: tuple[Name, ...]
    currency: str
    is_bankable: bool
    tenders: tuple[Paid, ...]
    transactions: tuple[Sold, ...]
    reverses: str = ""
    reason: str = ""
    reversed_by: str = ""


SHIFTS: Collection[ShiftRecord] = Collection("cis.Shifts", ShiftRecord)
RECEIPTS: Collection[ReceiptRecord] = Collection("cis.Receipts", ReceiptRecord)


async def open_shift(asked: OpenShift, context: ServingContext) -> Served:
    """Begin a shift. Asked twice alike, it is one."""
    finding = _check_amount(asked.cash_float, "cashFloat", least=Decimal(0))
    if finding is not None:
        return _failed(finding)
    record = ShiftRecord(
        number=asked.number,
        point_of_sale=asked.point_of_sale,
        cashier=asked.cashier,
        currency=asked.currency,
        cash_float=asked.cash_float,
        opened_at=context.now,
    )
    before = await find_shift(context.records, asked.number)
    if before is not None:
        told = (before.point_of_sale, before.cashier, before.currency, before.cash_float)
        if told == (asked.point_of_sale, asked.cashier, asked.currency, asked.cash_float):
            return _served(asked.number)
        return _failed(_finding("BUS-166", "/number", f"shift {asked.number} with other facts", "another number"))
    await _save_shift(context, record)
    return _served(asked.number)


async def sell(asked: Sale, context: ServingContext) -> Served:
    """Take a receipt, and tell of it."""
    shift = await find_shift(context.records, asked.shift)
    if shift is None:
        return _failed(_finding("BUS-167", "/shift", f"no shift {asked.shift}", "a shift that was opened"))
    account = await find_account(context.records, asked.account)
    if account is None:
        return _failed(_finding("BUS-168", "/account", f"account {asked.account}", "number or mRID of an account"))
    record = ReceiptRecord(
        number=asked.number,
        point_of_sale=shift.point_of_sale,
        shift=shift.number,
        place=shift.totals.receipts + 1,
        at=context.now,
        account=account.mrid,
        account_names=account.body.names,
        currency=shift.currency,
        is_bankable=asked.is_bankable,
        tenders=asked.tenders,
        transactions=asked.transactions,
    )
    before = await find_receipt(context.records, shift.point_of_sale, asked.number)
    if before is not None:
        return _repeated(before, record)
    finding = _check_sale(asked) or await _check_prepayment(context.records, account.body, asked)
    return _failed(finding) if finding is not None else await _take(record, shift, context)


async def reverse(asked: Reversal, context: ServingContext) -> Served:
    """Take the receipt that undoes another one of the same point of sale, and tell of it."""
    shift = await find_shift(context.records, asked.shift)
    if shift is None:
        return _failed(_finding("BUS-167", "/shift", f"no shift {asked.shift}", "a shift that was opened"))
    original = await find_receipt(context.records, shift.point_of_sale, asked.reverses)
    if original is None or original.reverses:
        found = f"receipt {asked.reverses} at {shift.point_of_sale}"
        return _failed(_finding("REF-103", "/reverses", found, "a receipt of that place that is no reversal itself"))
    record = ReceiptRecord(
        number=asked.number,
        point_of_sale=shift.point_of_sale,
        shift=shift.number,
        place=shift.totals.receipts + 1,
        at=context.now,
        account=original.account,
        account_names=original.account_names,
        currency=original.currency,
        is_bankable=original.is_bankable,
        tenders=tuple(Paid(kind=one.kind, amount=-one.amount, change=-one.change) for one in original.tenders),
        transactions=tuple(
            Sold(
                kind=TransactionKind.transactionReversal,
                amount=-one.amount,
                energy=-one.energy if one.energy is not None else None,
                reversed_id=original.number,
            )
            for one in original.transactions
        ),
        reverses=original.number,
        reason=asked.reason,
    )
    before = await find_receipt(context.records, shift.point_of_sale, asked.number)
    if before is not None:
        return _repeated(before, record)
    if original.reversed_by:
        found = f"receipt {original.number} was reversed by {original.reversed_by}"
        return _failed(_finding("BUS-169", "/reverses", found, "a receipt that was not reversed"))
    if original.currency != shift.currency:
        found = f"shift {shift.number} takes {shift.currency}, the receipt was in {original.currency}"
        return _failed(_finding("BUS-165", "/shift", found, "a shift of the same currency"))
    served = await _take(record, shift, context)
    if served.result is Result.OK:
        await _save_receipt(context, msgspec.structs.replace(original, reversed_by=asked.number))
    return served


async def close_shift(asked: CloseShift, context: ServingContext) -> Served:
    """End a shift and say what is missing. Asked twice alike, it is ended once."""
    shift = await find_shift(context.records, asked.number)
    if shift is None:
        return _failed(_finding("BUS-167", "/number", f"no shift {asked.number}", "a shift that was opened"))
    if shift.closed_at is not None:
        if shift.counted_cash == asked.counted_cash:
            return _served(asked.number)
        found = f"shift {shift.number} was closed at {shift.closed_at.isoformat()} with {shift.counted_cash}"
        return _failed(_finding("BUS-167", "/number", found, "a shift that is open"))
    finding = _check_amount(asked.counted_cash, "countedCash", least=Decimal(0))
    if finding is not None:
        return _failed(finding)
    expected = shift.cash_float + shift.totals.cash
    closed = msgspec.structs.replace(
        shift,
        closed_at=context.now,
        counted_cash=asked.counted_cash,
        missing=expected - asked.counted_cash,
    )
    await _save_shift(context, closed)
    return _served(asked.number)


async def find_shift(records: Records, number: str) -> ShiftRecord | None:
    """The shift of this number."""
    stored = await records.find(SHIFTS, MRID(number))
    return stored.body if stored is not None else None


async def find_receipt(records: Records, point_of_sale: str, number: str) -> ReceiptRecord | None:
    """The receipt of this number at a point of sale."""
    stored = await records.find(RECEIPTS, _mrid_of(point_of_sale, number))
    return stored.body if stored is not None else None


async def list_receipts(
    records: Records,
    *,
    account: str = "",
    shift: str = "",
    after: tuple[str, str] | None = None,
    limit: int,
    newest_first: bool = False,
) -> tuple[ReceiptRecord, ...] | None:
    """Receipts of an account, of a shift, or all, oldest first; None if there is no such account.

    `after` is point of sale and number of the last one of the page before. With `newest_first` the order is reversed.
    """
    keys = [(Key("shift", shift),)] if shift else []
    if account:
        found = await find_account(records, account)
        if found is None:
            return None
        keys.append((Key("account", found.mrid),))
    behind = _mrid_of(*after) if after is not None else None
    selection = Selection(keys=tuple(keys), after=behind, limit=limit, newest_first=newest_first)
    page = await records.select(RECEIPTS, selection)
    return tuple(stored.body for stored in page)


async def count_again(records: Records, shift: ShiftRecord) -> Totals:
    """The sums of a shift from its receipts, to be held against those that it kept."""
    totals, after = Totals(), None
    while True:
        page = await list_receipts(records, shift=shift.number, after=after, limit=500) or ()
        for receipt in page:
            totals = totals.plus(receipt)
        if len(page) < 500:
            return totals
        after = (page[-1].point_of_sale, page[-1].number)


# ------------------------------------------------------------------------------------------------------- judgement


def _check_sale(asked: Sale) -> Finding | None:
    if not asked.tenders or not asked.transactions:
        return _finding("BUS-165", "/tenders", "a receipt without tenders or transactions", "at least one of each")
    for at, tender in enumerate(asked.tenders):
        finding = _check_amount(tender.amount, f"tenders/{at}/amount", least=Decimal(0)) or _check_amount(
            tender.change, f"tenders/{at}/change", least=Decimal(0)
        )
        if finding is not None:
            return finding
        if tender.change > tender.amount or (tender.change and tender.kind is not TenderKind.cash):
            found = f"change {tender.change} of {tender.amount} in {tender.kind}"
            return _finding("BUS-165", f"/tenders/{at}/change", found, "change out of cash, at most what was given")
    for at, sold in enumerate(asked.transactions):
        finding = _check_amount(sold.amount, f"transactions/{at}/amount", least=Decimal(0))
        if finding is not None:
            return finding
        if sold.kind is TransactionKind.transactionReversal or sold.reversed_id:
            return _finding("BUS-165", f"/transactions/{at}/kind", f"{sold.kind} in a sale", "a reversal of its own")
        if sold.kind is TransactionKind.tokenSalePayment and not (sold.token and sold.energy):
            found = "a token sale without token or energy"
            return _finding("BUS-165", f"/transactions/{at}", found, "token, and energy in kWh")
    taken = sum((one.amount - one.change for one in asked.tenders), Decimal(0))
    due = sum((one.amount for one in asked.transactions), Decimal(0))
    if taken != due:
        return _finding("BUS-165", "/tenders", f"{taken} taken for {due}", "as much taken as is paid for")
    return None


async def _check_prepayment(records: Records, account: AccountRecord, asked: Sale) -> Finding | None:
    """A token is for somebody who pays in advance."""
    if all(one.kind is not TransactionKind.tokenSalePayment for one in asked.transactions):
        return None
    for mrid in account.agreements:
        stored = await records.find(AGREEMENTS.collection, mrid)
        if stored is not None and stored.state == AgreementState.ACTIVE and stored.body.is_pre_pay:
            return None
    accepted = "an account with an active agreement that says isPrePay"
    return _finding("BUS-168", "/account", f"account {asked.account} for a token", accepted)


def _check_amount(amount: Decimal, where: str, *, least: Decimal) -> Finding | None:
    exponent = amount.as_tuple().exponent
    if amount.is_finite() and amount >= least and isinstance(exponent, int) and exponent >= -_MOST_PLACES:
        return None
    accepted = f"an amount from {least} on, with at most {_MOST_PLACES} decimals"
    return _finding("BUS-165", f"/{where}", f"amount {amount}", accepted)


def _repeated(before: ReceiptRecord, again: ReceiptRecord) -> Served:
    """The same receipt once more is the one that there is; another one under its number is refused."""
    same = msgspec.structs.replace(
        again,
        at=before.at,
        place=before.place,
        account_names=before.account_names,
        reversed_by=before.reversed_by,
    )
    if same == before:
        return _served(before.number)
    found = f"receipt {before.number} of {before.at.isoformat()} at {before.point_of_sale} with another content"
    return _failed(_finding("BUS-166", "/number", found, "a number that was not used at that point of sale"))


async def _take(record: ReceiptRecord, shift: ShiftRecord, context: ServingContext) -> Served:
    if shift.closed_at is not None:
        found = f"shift {shift.number} was closed at {shift.closed_at.isoformat()}"
        return _failed(_finding("BUS-167", "/shift", found, "a shift that is open"))
    await _save_receipt(context, record)
    await _save_shift(context, msgspec.structs.replace(shift, totals=shift.totals.plus(record)))
    event = OwnEvent(
        verb=Verb.CREATED,
        noun=OWN_NOUN,
        content=Receipts(receipt=(_told(record),)),
        keys=(f"{OWN_NOUN} {record.account}",),
        source=Role.CIS,
    )
    return msgspec.structs.replace(_served(record.number), own_events=(event,))


def _told(record: ReceiptRecord) -> Receipt:
    """The receipt as it is told: what was paid for what, and on which account; no token."""
    account = PaidAccount(mrid=MRID(record.account), names=record.account_names)
    total = sum((one.amount for one in record.transactions), Decimal(0))
    return Receipt(
        mrid=_mrid_of(record.point_of_sale, record.number),
        is_bankable=record.is_bankable,
        line=LineDetail(amount=Money(total), date_time=record.at, note=record.reason or None),
        currency=record.currency,
        names=(
            Name(name=record.number, name_type=NameType(name="ReceiptNumber")),
            Name(name=record.shift, name_type=NameType(name="ShiftNumber")),
            Name(name=record.point_of_sale, name_type=NameType(name="PointOfSale")),
        ),
        tenders=tuple(
            Tender(amount=Money(one.amount), change=Money(one.change), kind=one.kind) for one in record.tenders
        ),
        transactions=tuple(
            Transaction(
                kind=one.kind,
                line=LineDetail(amount=Money(one.amount), date_time=record.at, note=one.note or None),
                reversed_id=one.reversed_id or None,
                service_units_energy=one.energy,
                customer_account=account,
            )
            for one in record.transactions
        ),
    )


async def _save_shift(context: ServingContext, record: ShiftRecord) -> None:
    state = "open" if record.closed_at is None else "closed"
    stored = Stored(
        mrid=MRID(record.number),
        body=record,
        created_at=record.opened_at,
        modified_at=context.now,
        state=state,
        keys=frozenset({Key("point-of-sale", record.point_of_sale)}),
    )
    await context.records.save(SHIFTS, stored)


async def _save_receipt(context: ServingContext, record: ReceiptRecord) -> None:
    stored = Stored(
        mrid=_mrid_of(record.point_of_sale, record.number),
        body=record,
        created_at=record.at,
        modified_at=context.now,
        state="reversed" if record.reversed_by else "",
        keys=frozenset({Key("account", record.account), Key("shift", record.shift)}),
    )
    await context.records.save(RECEIPTS, stored)


def _mrid_of(point_of_sale: str, number: str) -> MRID:
    # A bar inside of the first part must not look like the one behind it.
    return MRID(f"{point_of_sale.replace('|', '%7C')}|{number}")


def _finding(code: str, where: str, found: str, accepted: str) -> Finding:
    return finding_of(code, where, found, accepted, _OUR_RULE)


def _failed(finding: Finding) -> Served:
    return Served(result=Result.FAILED, findings=(finding,))


def _served(number: str) -> Served:
    return Served(result=Result.OK, ids=(ObjectID(value=number, kind=IDKind.name),))
