"""Customers: found by what is typed, masked, and shown in full to who asks, which is noted."""

from decimal import Decimal

import pytest

from cimcare.console.pages import console_pages
from cimcare.exchange.audit import Action, AuditRow
from cimcare.exchange.store import StoreError
from cimcare.model.nouns import Role
from cimcare.model.payment import TransactionKind
from cimcare.samples.northlake import find_premises
from cimcare.systems.cis.point_of_sale import OpenShift, Paid, Sale, Sold, open_shift, sell
from tests.support.forms import send_form
from tests.support.hub import call
from tests.unit.hub.conftest import HeldHub

HOME, VENTILATOR = find_premises(66), find_premises(78)
PATH = f"/console/customers/{VENTILATOR.account}"
HOSTILE = '"><script>alert(1)</script>'


async def page_of(held: HeldHub, path: str, status: int = 200) -> str:
    response = await held.get(path)
    assert response.status == status
    return response.body.decode()


async def reveals(held: HeldHub) -> list[AuditRow]:
    return [row for row in await held.store.reader.audit.rows() if row.action is Action.REVEAL]


def secrets_of(text: str) -> list[str]:
    """Personal data of the customer with the ventilator that a page shows."""
    every = (VENTILATOR.local_number, VENTILATOR.email, f"{VENTILATOR.house_number} Chapel", VENTILATOR.special_need)
    return [str(one) for one in every if str(one) in text]


async def test_lists_and_pages_are_masked_and_leave_no_row(held: HeldHub) -> None:
    """Who only looks who it is has seen nothing that has to be noted."""
    for path in ("/console/customers?q=chapel", f"/console/customers?q={VENTILATOR.account}", PATH):
        text = await page_of(held, path)
        assert VENTILATOR.organisation in text
        assert "depends on supply" in text
        assert not secrets_of(text), path
    assert not await reveals(held)


async def test_each_reveal_is_noted_with_who_what_when_and_why(held: HeldHub) -> None:
    """The auditor asks who has looked."""
    for number in (1, 2):
        answer = await send_form(held, PATH, why="caller asks for a call-back")
        assert answer.status == 200
        assert len(secrets_of(answer.body.decode())) == 4
        rows = await reveals(held)
        assert len(rows) == number
    assert rows[0].actor == "nadia"
    assert rows[0].subject == f"customer {VENTILATOR.mrid('customer')}"
    assert rows[0].at == held.now
    assert "telephone" in rows[0].details
    assert "why: caller asks for a call-back" in rows[0].details
    assert not secrets_of(rows[0].details + rows[0].subject)
    assert not secrets_of(await page_of(held, PATH))  # the next look is masked again


async def test_what_cannot_be_noted_is_not_shown(held: HeldHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row comes first."""

    def broken(*_: object) -> None:
        raise StoreError("disk full")

    monkeypatch.setattr(type(held.store), "transaction", broken)
    answer = await send_form(held, PATH)
    assert answer.status == 503
    assert not secrets_of(answer.body.decode())


async def test_nobody_is_noted_for_whom_nothing_is_shown(held: HeldHub) -> None:
    """A wrong number."""
    answer = await send_form(held, "/console/customers/AC-1")
    assert answer.status == 404
    assert not await reveals(held)
    assert "REF-103" in await page_of(held, "/console/customers/AC-1", 404)


async def test_where_the_console_may_not_act_nothing_is_revealed(
    held: HeldHub, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Nobody knows who asks there."""
    other = HeldHub()
    await other.open(tmp_path_factory.mktemp("never"), '[console]\nacts = "never"', seed_town=True, pages=console_pages)
    assert "Show personal data" not in await page_of(other, PATH)
    assert (await send_form(other, PATH)).status == 403
    await other.hub.close()


@pytest.mark.parametrize("sort", ["account", "customer", "mrid"])
async def test_a_page_is_found_by_account_and_by_customer(held: HeldHub, sort: str) -> None:
    """Whatever another page has in hand."""
    key = {"account": HOME.account, "customer": HOME.customer, "mrid": HOME.mrid("account")}[sort]
    text = await page_of(held, f"/console/customers/{key}")
    assert HOME.organisation in text
    assert HOME.agreement in text
    assert "RES-1" in text


async def test_those_who_depend_on_supply_are_listed_page_by_page(held: HeldHub) -> None:
    """Before a planned outage all of them are called."""
    text = await page_of(held, "/console/customers?depends=yes")
    assert text.count('<span class="tag bad">depends on supply</span>') == 8
    assert "/console/customers?depends=yes&amp;after=" not in text


async def test_a_script_gets_the_list_alone(held: HeldHub) -> None:
    """As one types."""
    answer = await call(held.hub.app, "/console/customers?q=chapel", method="GET", headers={"hx-request": "true"})
    assert answer is not None
    assert b"<html" not in answer.body
    assert VENTILATOR.organisation.encode() in answer.body


async def test_tickets_and_sales_stand_on_the_page(held: HeldHub) -> None:
    """All that an agent is asked about."""
    ticket = await send_form(held, "/console/tickets", q=HOME.account, trouble="noPower")
    await held.inside.acting.act(
        Role.CIS,
        lambda context: open_shift(
            OpenShift(number="S-1", point_of_sale="Kiosk", cashier="Ole", currency="USD"), context
        ),
    )
    sale = Sale(
        number="R-1",
        shift="S-1",
        account=HOME.account,
        tenders=(Paid(amount=Decimal(20)),),
        transactions=(Sold(kind=TransactionKind.accountPayment, amount=Decimal(20)),),
    )
    await held.inside.acting.act(Role.CIS, lambda context: sell(sale, context))
    text = await page_of(held, f"/console/customers/{HOME.account}")
    assert ticket.headers["location"].partition("?")[0] in text
    assert "R-1" in text
    assert "20 USD" in text
    intake = text.split('class="button" href="')[1].split('"')[0]
    assert "reported already" in await page_of(held, intake)


async def test_hostile_text_is_text(held: HeldHub) -> None:
    """Of who searches, and of why."""
    assert "<script>alert" not in await page_of(held, f"/console/customers?q={HOSTILE}")
    answer = await send_form(held, PATH, why=HOSTILE)
    assert b"<script>alert" not in answer.body
    assert "<script>alert" not in await page_of(held, f"/console/customers/{HOSTILE}", 404)
