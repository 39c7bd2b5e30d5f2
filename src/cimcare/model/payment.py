"""Receipts of a point of sale, in the words of the CIM, and a payload root of our own for them.

The standard has no message for them. Classes and members are those of the CIM package PaymentMetering, as far as they
are used here; the root, its namespace and that it is sent at all are ours.
"""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, ClassVar

from msgspec import field

from cimcare.model.identity import MRID, Name
from cimcare.model.structure import OURS, READING, Member, Structure
from cimcare.model.values import Money

__all__ = [
    "OWN_NAMESPACE",
    "OWN_NOUN",
    "LineDetail",
    "PaidAccount",
    "Receipt",
    "Receipts",
    "Tender",
    "TenderKind",
    "Transaction",
    "TransactionKind",
]

OWN_NOUN = "Receipts"
"""Header/Noun of events about receipts: a word of ours, and none of the standard's six."""

OWN_NAMESPACE = "urn:cimcare:point-of-sale:1"
"""Namespace of their payload."""


class TenderKind(StrEnum):
    """What a customer paid with."""

    card = "card"
    cash = "cash"
    cheque = "cheque"
    other = "other"
    unspecified = "unspecified"


class TransactionKind(StrEnum):
    """What was paid for."""

    accountPayment = "accountPayment"
    auxiliaryChargePayment = "auxiliaryChargePayment"
    diversePayment = "diversePayment"
    meterConfigurationToken = "meterConfigurationToken"
    other = "other"
    serviceChargePayment = "serviceChargePayment"
    taxChargePayment = "taxChargePayment"
    tokenCancellation = "tokenCancellation"
    tokenExchange = "tokenExchange"
    tokenFreeIssue = "tokenFreeIssue"
    tokenGrant = "tokenGrant"
    tokenSalePayment = "tokenSalePayment"
    transactionReversal = "transactionReversal"


class LineDetail(Structure, frozen=True):
    """An amount, when, and what it is for."""

    XML_TYPE: ClassVar[str] = "LineDetail"
    CIM_CLASS: ClassVar[str | None] = "LineDetail"

    amount: Annotated[Money | None, Member("LineDetail.amount", READING)] = None
    date_time: Annotated[datetime | None, Member("LineDetail.dateTime", READING)] = None
    note: Annotated[str | None, Member("LineDetail.note", READING)] = None


class Tender(Structure, frozen=True):
    """What was handed over, and what was given back."""

    XML_TYPE: ClassVar[str] = "Tender"
    CIM_CLASS: ClassVar[str | None] = "Tender"

    amount: Annotated[Money | None, Member("Tender.amount", READING)] = None
    change: Annotated[Money | None, Member("Tender.change", READING)] = None
    kind: Annotated[TenderKind | None, Member("Tender.kind", READING)] = None


class PaidAccount(Structure, frozen=True):
    """The account of a transaction, by identity."""

    XML_TYPE: ClassVar[str] = "CustomerAccount"
    CIM_CLASS: ClassVar[str | None] = "CustomerAccount"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", READING)] = field(default=None, name="mRID")
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")


class Transaction(Structure, frozen=True):
    """A payment or the sale of a token. What a token says stays with the account and is not told."""

    XML_TYPE: ClassVar[str] = "Transaction"
    CIM_CLASS: ClassVar[str | None] = "Transaction"

    kind: Annotated[TransactionKind | None, Member("Transaction.kind", READING)] = None
    line: Annotated[LineDetail | None, Member("Transaction.line", READING)] = None
    reversed_id: Annotated[str | None, Member("Transaction.reversedId", READING)] = None
    service_units_energy: Annotated[
        Decimal | None, Member("Transaction.serviceUnitsEnergy", READING, "In kilowatt hours (our convention).")
    ] = None
    customer_account: Annotated[PaidAccount | None, Member("Transaction.CustomerAccount", READING)] = field(
        default=None, name="CustomerAccount"
    )


class Receipt(Structure, frozen=True):
    """What was paid at a point of sale. Its Names hold its number and the number of its shift."""

    XML_TYPE: ClassVar[str] = "Receipt"
    CIM_CLASS: ClassVar[str | None] = "Receipt"

    mrid: Annotated[MRID | None, Member("IdentifiedObject.mRID", READING)] = field(default=None, name="mRID")
    is_bankable: Annotated[bool | None, Member("Receipt.isBankable", READING)] = None
    line: Annotated[LineDetail | None, Member("Receipt.line", READING)] = None
    currency: Annotated[str | None, Member(None, OURS, "ISO 4217; the CIM fixes it by agreement.")] = None
    names: Annotated[tuple[Name, ...], Member("IdentifiedObject.Names", READING)] = field(default=(), name="Names")
    tenders: Annotated[tuple[Tender, ...], Member("Receipt.Tenders", READING)] = field(default=(), name="Tenders")
    transactions: Annotated[tuple[Transaction, ...], Member("Receipt.Transactions", READING)] = field(
        default=(), name="Transactions"
    )


class Receipts(Structure, frozen=True):
    """Payload root of our own."""

    XML_TYPE: ClassVar[str] = OWN_NOUN

    receipt: Annotated[tuple[Receipt, ...], Member(None, OURS, required=True)] = field(default=(), name="Receipt")
