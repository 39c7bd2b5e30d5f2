"""sales: a shift by commands, beside a hub that delivers what is to be told."""

import json
from decimal import Decimal

import pytest

from cimcare.exchange.outbox import DeliverySelection
from cimcare.exchange.store import Store
from cimcare.hub.config.configuration import adopt
from cimcare.hub.config.settings import read_settings
from tests.support.stored import NOON
from tests.unit.cli.conftest import Run
from tests.unit.cli.test_consents import DATABASE, HOME, on_store, town

PARTNERS = """
[partners.cash]
url = "http://cash.example/soap"

[subscriptions.cash]
partner = "cash"
nouns = ["Receipts"]
"""


def sale(number: str = "R-1", amount: str = "12.50") -> bytes:
    body = {
        "number": number,
        "shift": "S-1",
        "account": HOME.account,
        "tenders": [{"kind": "cash", "amount": amount}],
        "transactions": [{"kind": "accountPayment", "amount": amount}],
    }
    return json.dumps(body).encode()


@pytest.fixture
def kiosk(run: Run) -> Run:
    on_store(town)

    async def put_in_force(store: Store) -> None:
        await adopt(store, read_settings(PARTNERS), NOON)

    on_store(put_in_force)

    def command(*arguments: object, stdin: bytes = b"") -> object:
        return run("sales", "--database", DATABASE, *arguments, stdin=stdin)

    opening = ("open", "S-1", "--at", "KIOSK-7", "--cashier", "Ada", "--currency", "EUR", "--float", "100")
    assert command(*opening).exit_code == 0  # type: ignore[attr-defined]
    return command  # type: ignore[return-value]


def test_a_shift_by_commands(kiosk: Run) -> None:
    """Sold, undone, counted; and what subscribers are to be told waits in the outbox."""
    for number in ("R-1", "R-2", "R-2"):
        assert kiosk("sell", stdin=sale(number)).stdout == f"{number}\n"
    undone = kiosk("reverse", "R-2", "--as", "R-3", "--shift", "S-1", "--reason", "sold twice")
    assert (undone.exit_code, undone.stdout) == (0, "R-3\n")
    listed = kiosk("list", "--account", HOME.account, "--json").stdout.splitlines()
    assert [json.loads(line)["number"] for line in listed] == ["R-1", "R-2", "R-3"]
    assert "reversed by R-3" in kiosk("list", "--shift", "S-1").stdout
    closed = kiosk("close", "S-1", "--counted", "112.00")
    assert "missing 0.5" in closed.stdout
    checked = kiosk("check", "S-1")
    assert (checked.exit_code, "3 receipts, 12.50 EUR" in checked.stdout) == (0, True)

    async def look(store: Store) -> list[tuple[str, str]]:
        found = await store.reader.outbox.select(DeliverySelection(limit=10))
        return [(one.partner, one.noun) for one in found]

    assert on_store(look) == [("cash", "Receipts")] * 3


@pytest.mark.parametrize(
    ("arguments", "stdin", "code"),
    [
        (("sell",), sale().replace(b'"12.50"}], "trans', b'"1.50"}], "trans'), 1),
        (("sell",), b"{", 2),
        (("reverse", "R-9", "--as", "X", "--shift", "S-1", "--reason", "x"), b"", 1),
        (("close", "S-9", "--counted", "1"), b"", 1),
        (("close", "S-1", "--counted", "much"), b"", 2),
        (("check", "S-9"), b"", 1),
        (("list", "--account", "nobody"), b"", 1),
        (("open", "S-2", "--at", "K", "--cashier", "Ada", "--currency", "euro"), b"", 2),
    ],
)
def test_what_cannot_be_done_says_why(kiosk: Run, arguments: tuple[str, ...], stdin: bytes, code: int) -> None:
    """1 for a no, 2 for wrong use, and nothing on standard output."""
    result = kiosk(*arguments, stdin=stdin)
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr


def test_totals_that_were_tampered_with_are_found(kiosk: Run) -> None:
    """The sums of the shift are held against its receipts."""
    import msgspec

    from cimcare.model.identity import MRID
    from cimcare.systems.cis.point_of_sale import SHIFTS

    kiosk("sell", stdin=sale())

    async def tamper(store: Store) -> None:
        async with store.transaction() as transaction:
            stored = await transaction.records.find(SHIFTS, MRID("S-1"))
            assert stored is not None
            totals = msgspec.structs.replace(stored.body.totals, transactions=Decimal(5))
            body = msgspec.structs.replace(stored.body, totals=totals)
            await transaction.records.save(SHIFTS, msgspec.structs.replace(stored, body=body))

    on_store(tamper)
    assert kiosk("check", "S-1").exit_code == 1
