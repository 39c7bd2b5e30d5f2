"""Points of sale: receipts once each, reversals once, totals that balance."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cimcare.exchange.ports import Served, Stored
from cimcare.model.customer_agreement import CustomerAgreement
from cimcare.model.envelope import Result
from cimcare.model.payment import Receipts, TenderKind, TransactionKind
from cimcare.rules.lifecycle import AgreementState
from cimcare.systems.cis.kinds import AGREEMENTS
from cimcare.systems.cis.point_of_sale import (
    CloseShift,
    OpenShift,
    Paid,
    Reversal,
    Sale,
    Sold,
    Totals,
    close_shift,
    count_again,
    find_receipt,
    find_shift,
    list_receipts,
    open_shift,
    reverse,
    sell,
)
from cimcare.systems.identity import Label, stored_keys
from cimcare.systems.premises import ACCOUNTS, AccountRecord
from tests.unit.systems.utility import MONDAY, Utility, codes_of, mrid, names

TEN = Decimal("10.00")
TOKEN = Sold(
    kind=TransactionKind.tokenSalePayment, amount=TEN, energy=Decimal("41.5"), token="1234 5678 9012 3456 7890"
)


async def shop(pre_pay: bool = True) -> Utility:
    """A shift at a kiosk, and an account of somebody who pays in advance."""
    utility = Utility()
    account = AccountRecord(
        mrid=mrid("ac-1"),
        names=names("AC-1", scheme="AccountNumber"),
        customer=mrid("c-1"),
        agreements=(mrid("a-1"),),
    )
    keys = stored_keys("name", [Label("", "AccountNumber", "AC-1")])
    await utility.records.save(
        ACCOUNTS, Stored(mrid=account.mrid, body=account, created_at=MONDAY, modified_at=MONDAY, keys=keys)
    )
    body = CustomerAgreement(mrid=mrid("a-1"), is_pre_pay=pre_pay)
    await utility.records.save(
        AGREEMENTS.collection,
        Stored(mrid=mrid("a-1"), body=body, created_at=MONDAY, modified_at=MONDAY, state=AgreementState.ACTIVE),
    )
    assert (await opened(utility)).result is Result.OK
    return utility


async def opened(utility: Utility, number: str = "S-1", **changes: object) -> Served:
    asked = OpenShift(number=number, point_of_sale="KIOSK-7", cashier="Ada", currency="ZAR", cash_float=Decimal(100))
    return await open_shift(msgspec.structs.replace(asked, **changes), utility.context())


def sale(number: str = "R-1", **changes: object) -> Sale:
    asked = Sale(number=number, shift="S-1", account="AC-1", tenders=(Paid(amount=TEN),), transactions=(TOKEN,))
    return msgspec.structs.replace(asked, **changes)


async def sold(utility: Utility, asked: Sale) -> Served:
    return await sell(asked, utility.context())


async def totals(utility: Utility, number: str = "S-1") -> Totals:
    found = await find_shift(utility.records, number)
    assert found is not None
    assert found.totals == await count_again(utility.records, found)
    return found.totals


async def test_a_token_sale_is_kept_with_the_account_and_told_without_the_token() -> None:
    """Whoever hears of it may count the money; what opens the meter is for the customer."""
    utility = await shop()
    served = await sold(utility, sale())
    assert served.result is Result.OK
    (receipt,) = await list_receipts(utility.records, account="AC-1", limit=10) or ()
    assert receipt.transactions[0].token == TOKEN.token
    (event,) = served.own_events
    assert isinstance(event.content, Receipts)
    (told,) = event.content.receipt
    assert told.line is not None
    assert (told.line.amount, told.currency) == (TEN, "ZAR")
    assert told.transactions[0].service_units_energy == Decimal("41.5")
    assert told.transactions[0].customer_account is not None
    assert told.transactions[0].customer_account.mrid == "ac-1"
    assert b"1234" not in msgspec.json.encode(event.content)
    assert event.keys == ("Receipts ac-1",)


async def test_a_receipt_taken_twice_is_one_and_told_once() -> None:
    """The kiosk lost the answer, and sends it again when the line is back."""
    utility = await shop()
    await sold(utility, sale())
    utility.pass_time(hours=1)
    again = await sold(utility, sale())
    assert (again.result, again.own_events) == (Result.OK, ())
    assert (await totals(utility)).receipts == 1
    await close_shift(CloseShift(number="S-1", counted_cash=Decimal(110)), utility.context())
    assert (await sold(utility, sale())).result is Result.OK, "also when the shift is over"


@pytest.mark.parametrize(
    "changes",
    [
        {"tenders": (Paid(amount=Decimal("12.00"), change=Decimal("2.00")),)},
        {"is_bankable": False},
        {"transactions": (msgspec.structs.replace(TOKEN, token="9"),)},
    ],
)
async def test_a_number_with_another_content_is_refused(changes: dict[str, object]) -> None:
    """Two customers with one receipt: one of them has paid for nothing."""
    utility = await shop()
    await sold(utility, sale())
    assert codes_of(await sold(utility, sale(**changes))) == ["BUS-166"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"tenders": (Paid(amount=Decimal("9.99")),)}, "BUS-165"),
        ({"tenders": ()}, "BUS-165"),
        ({"transactions": ()}, "BUS-165"),
        ({"tenders": (Paid(amount=Decimal(-10)),)}, "BUS-165"),
        ({"tenders": (Paid(amount=Decimal("NaN")),)}, "BUS-165"),
        ({"tenders": (Paid(amount=Decimal("10.00001"), change=Decimal("0.00001")),)}, "BUS-165"),
        ({"tenders": (Paid(kind=TenderKind.card, amount=Decimal(20), change=TEN),)}, "BUS-165"),
        ({"tenders": (Paid(amount=Decimal(5), change=Decimal(6)), Paid(amount=Decimal(11)))}, "BUS-165"),
        ({"transactions": (msgspec.structs.replace(TOKEN, token=""),)}, "BUS-165"),
        ({"transactions": (Sold(kind=TransactionKind.transactionReversal, amount=TEN),)}, "BUS-165"),
        ({"shift": "S-9"}, "BUS-167"),
        ({"account": "AC-9"}, "BUS-168"),
    ],
)
async def test_what_does_not_add_up_is_refused(changes: dict[str, object], code: str) -> None:
    """And leaves nothing."""
    utility = await shop()
    served = await sold(utility, sale(**changes))
    assert (served.result, codes_of(served), served.own_events) == (Result.FAILED, [code], ())
    assert await totals(utility) == Totals()


async def test_a_token_needs_an_agreement_that_is_paid_in_advance() -> None:
    """A payment into the account does not."""
    utility = await shop(pre_pay=False)
    assert codes_of(await sold(utility, sale())) == ["BUS-168"]
    payment = sale(transactions=(Sold(kind=TransactionKind.accountPayment, amount=TEN),))
    assert (await sold(utility, payment)).result is Result.OK


async def test_a_reversal_undoes_a_receipt_once() -> None:
    """The totals are as if it had not been, both receipts stay, and the second try is refused."""
    utility = await shop()
    await sold(utility, sale())
    asked = Reversal(number="R-2", shift="S-1", reverses="R-1", reason="wrong meter")
    served = await reverse(asked, utility.context())
    (event,) = served.own_events
    assert isinstance(event.content, Receipts)
    assert event.content.receipt[0].transactions[0].reversed_id == "R-1"
    after = await totals(utility)
    assert (after.receipts, after.transactions, after.cash) == (2, Decimal(0), Decimal(0))
    original = await find_receipt(utility.records, "KIOSK-7", "R-1")
    assert original is not None
    assert original.reversed_by == "R-2"
    again = await reverse(asked, utility.context())
    assert (again.result, again.own_events) == (Result.OK, ())
    other = msgspec.structs.replace(asked, number="R-3")
    assert codes_of(await reverse(other, utility.context())) == ["BUS-169"]
    assert codes_of(await reverse(msgspec.structs.replace(other, reverses="R-2"), utility.context())) == ["REF-103"]
    assert (await sold(utility, sale())).result is Result.OK, "the original sent again is still itself"


async def test_a_reversal_may_come_in_a_later_shift_of_the_same_place() -> None:
    """The customer comes back the next day; another currency is not the same drawer."""
    utility = await shop()
    await sold(utility, sale())
    await opened(utility, "S-2")
    await opened(utility, "S-3", currency="USD")
    await opened(utility, "S-4", point_of_sale="KIOSK-8")
    for shift, code in (("S-3", "BUS-165"), ("S-4", "REF-103")):
        asked = Reversal(number="R-2", shift=shift, reverses="R-1", reason="x")
        assert codes_of(await reverse(asked, utility.context())) == [code]
    asked = Reversal(number="R-2", shift="S-2", reverses="R-1", reason="x")
    assert (await reverse(asked, utility.context())).result is Result.OK
    assert (await totals(utility, "S-2")).transactions == -TEN


async def test_the_end_of_a_shift_says_what_is_missing() -> None:
    """Float and cash that came in, against what was counted; cards are not in the drawer."""
    utility = await shop()
    await sold(utility, sale())
    await sold(utility, sale("R-2", tenders=(Paid(kind=TenderKind.card, amount=TEN),), is_bankable=False))
    await close_shift(CloseShift(number="S-1", counted_cash=Decimal("108.50")), utility.context())
    closed = await find_shift(utility.records, "S-1")
    assert closed is not None
    assert closed.missing == Decimal("1.50")
    assert (closed.totals.bankable, closed.totals.non_bankable, closed.totals.is_balanced) == (TEN, TEN, True)
    assert codes_of(await sold(utility, sale("R-3"))) == ["BUS-167"]
    again = CloseShift(number="S-1", counted_cash=Decimal("108.5"))
    assert (await close_shift(again, utility.context())).result is Result.OK
    other = CloseShift(number="S-1", counted_cash=Decimal(110))
    assert codes_of(await close_shift(other, utility.context())) == ["BUS-167"]


async def test_a_shift_is_opened_once() -> None:
    """Opened twice alike it is one; another drawer under its number is refused."""
    utility = await shop()
    assert (await opened(utility)).result is Result.OK
    assert codes_of(await opened(utility, cashier="Bob")) == ["BUS-166"]
    assert codes_of(await opened(utility, "S-2", cash_float=Decimal(-1))) == ["BUS-165"]


@given(
    amounts=st.lists(st.decimals(min_value="0.01", max_value="500", places=2), max_size=12),
    undone=st.sets(st.integers(0, 11)),
)
async def test_totals_balance_whatever_is_sold_and_undone(amounts: list[Decimal], undone: set[int]) -> None:
    """To the cent: no sum is kept as a binary fraction."""
    utility = await shop()
    for number, amount in enumerate(amounts):
        change = Decimal("0.07") if number % 2 else Decimal(0)
        asked = sale(
            f"R-{number}",
            tenders=(Paid(amount=amount + change, change=change),),
            transactions=(Sold(kind=TransactionKind.accountPayment, amount=amount),),
            is_bankable=number % 3 == 0,
        )
        assert (await sold(utility, asked)).result is Result.OK
    for number in undone & set(range(len(amounts))):
        asked_back = Reversal(number=f"X-{number}", shift="S-1", reverses=f"R-{number}", reason="x")
        assert (await reverse(asked_back, utility.context())).result is Result.OK
    found = await totals(utility)
    assert found.is_balanced
    assert found.transactions == sum(
        (amount for number, amount in enumerate(amounts) if number not in undone), Decimal(0)
    )
