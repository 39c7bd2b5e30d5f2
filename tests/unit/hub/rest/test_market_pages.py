"""Reconciliation and points of sale over REST, and what subscribers are told of receipts."""

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cimcare.codec.envelope import render_message
from cimcare.exchange.outbox import DeliveryState
from cimcare.exchange.partners import Wire
from cimcare.exchange.subscriptions import Filter, Subscription
from cimcare.hub.rest.filters import RECEIPT_FILTERS, RECONCILIATION_FILTERS
from cimcare.model.customer_agreement import CustomerAgreement
from cimcare.model.envelope import EventMessage, Option, Request, ResponseMessage, Result
from cimcare.model.identity import MRID
from cimcare.model.payment import OWN_NAMESPACE
from cimcare.model.structure import Extension
from cimcare.model.verbs import Verb
from cimcare.samples.northlake import PREMISES_COUNT, find_premises
from cimcare.systems.cis.town import is_vacant
from tests.support.hub import Response, call
from tests.unit.hub.intake.test_veiling import (
    ALL,
    CIS,
    INSIDE,
    MORE,
    RETAIL,
    SECRET,
    agreement,
    bodies,
    consent,
    done,
    message,
)
from tests.unit.hub.outgoing.test_delivery import Delivering

HOME = next(find_premises(index) for index in range(PREMISES_COUNT) if not is_vacant(index))
SALE: dict[str, Any] = {
    "number": "R-1",
    "shift": "S-1",
    "account": HOME.account,
    "tenders": [{"kind": "cash", "amount": "20.00", "change": "7.50"}],
    "transactions": [{"kind": "accountPayment", "amount": "12.50"}],
}
SHIFT: dict[str, Any] = {"number": "S-1", "pointOfSale": "KIOSK-7", "cashier": "Ada", "currency": "EUR"}


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Delivering]:
    hub = Delivering()
    typed = msgspec.structs.replace(INSIDE, name="typed", source="TYPED", wire=Wire.SOAP_TYPED)
    subscriptions = (
        *ALL[:1],
        Subscription(name="cash", partner="billing", filter=Filter(nouns=("Receipts",))),
        Subscription(name="typed", partner="typed", filter=Filter()),
    )
    await hub.open(
        tmp_path,
        MORE,
        seed_town=True,
        sender=hub.sender,
        partners=(RETAIL, INSIDE, typed),
        subscriptions=subscriptions,
    )
    yield hub
    await hub.hub.close()


async def post(hub: Delivering, path: str, body: object) -> Response:
    raw = msgspec.json.encode(body)
    response = await call(hub.hub.app, f"/api/v1/sales/{path}", raw, headers={"content-type": "application/json"})
    assert response is not None
    return response


async def test_a_shift_from_its_beginning_to_its_end(hub: Delivering) -> None:
    """Open, sell, sell once more by mistake, undo, count, close."""
    assert (await post(hub, "shifts", SHIFT)).status == 201
    for body in (SALE, SALE, {**SALE, "number": "R-2"}):
        answer = await post(hub, "receipts", body)
        assert (answer.status, msgspec.json.decode(answer.body)) == (201, {"number": body["number"]})
    undo = {"number": "R-3", "shift": "S-1", "reverses": "R-2", "reason": "sold twice"}
    assert (await post(hub, "reversals", undo)).status == 201
    assert (await post(hub, "shifts/S-1/end", {"countedCash": "12.50"})).status == 201
    shown = msgspec.json.decode((await hub.get("/api/v1/sales/shifts/S-1")).body)
    assert shown["isBalanced"] is True
    assert {name: Decimal(shown["shift"][name]) for name in ("missing", "countedCash")} == {
        "missing": 0,
        "countedCash": Decimal("12.5"),
    }
    assert (shown["shift"]["totals"]["receipts"], Decimal(shown["shift"]["totals"]["cash"])) == (3, Decimal("12.5"))


async def test_receipts_are_listed_by_account_page_by_page(hub: Delivering) -> None:
    """Without gap or repeat; an account that is not there is a mistake and not an empty list."""
    await post(hub, "shifts", SHIFT)
    for number in range(5):
        await post(hub, "receipts", {**SALE, "number": f"R-{number}"})
    path, seen = f"/api/v1/sales/receipts?account={HOME.account}&limit=2", []
    while path:
        page = msgspec.json.decode((await hub.get(path)).body)
        seen += [one["number"] for one in page["items"]]
        path = page["next"]
    assert seen == [f"R-{number}" for number in range(5)]
    assert (await hub.get("/api/v1/sales/receipts?account=nobody")).status == 404
    assert (await hub.get("/api/v1/sales/receipts?after=x")).status == 404


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("receipts", {**SALE, "tenders": [{"amount": "1"}]}, 400, "BUS-165"),
        ("receipts", {**SALE, "account": "x"}, 400, "BUS-168"),
        ("receipts", {**SALE, "shift": "x"}, 409, "BUS-167"),
        ("receipts", {**SALE, "tenders": [{"amount": "much"}]}, 400, "COD-105"),
        ("receipts", {**SALE, "surprise": 1}, 400, "COD-105"),
        ("receipts", {}, 400, "COD-105"),
        ("shifts", {**SHIFT, "cashier": "Bob"}, 409, "BUS-166"),
        ("shifts", {**SHIFT, "currency": "euro"}, 400, "COD-105"),
        ("shifts/S-9/end", {"countedCash": "1"}, 409, "BUS-167"),
        ("reversals", {"number": "X", "shift": "S-1", "reverses": "R-9", "reason": "x"}, 404, "REF-103"),
    ],
)
async def test_what_is_wrong_is_told_as_a_problem(
    hub: Delivering, path: str, body: object, status: int, code: str
) -> None:
    """With the code of the table of errors, and nothing done."""
    await post(hub, "shifts", SHIFT)
    answer = await post(hub, path, body)
    assert (answer.status, msgspec.json.decode(answer.body)["finding"]["code"]) == (status, code)


async def test_amounts_are_read_to_the_last_digit(hub: Delivering) -> None:
    """As text or as a number; a binary fraction would lose a cent of a large one."""
    await post(hub, "shifts", SHIFT)
    for number, amount in (("R-1", '"90071992547409930.01"'), ("R-2", "90071992547409930.02")):
        raw = (
            f'{{"number": "{number}", "shift": "S-1", "account": "{HOME.account}", "tenders": [{{"amount": {amount}}}],'
            f' "transactions": [{{"kind": "accountPayment", "amount": {amount}}}]}}'
        )
        answer = await call(
            hub.hub.app, "/api/v1/sales/receipts", raw.encode(), headers={"content-type": "application/json"}
        )
        assert answer is not None
        assert answer.status == 201, answer.body
    shown = msgspec.json.decode((await hub.get("/api/v1/sales/shifts/S-1")).body)
    assert shown["shift"]["totals"]["transactions"] == "180143985094819860.03"


async def test_no_shift_of_that_number(hub: Delivering) -> None:
    """As for everything that is not there."""
    assert (await hub.get("/api/v1/sales/shifts/S-9")).status == 404


async def test_subscribers_are_told_in_a_namespace_of_ours(hub: Delivering) -> None:
    """In the standard's envelope, with an element that nobody can take for the standard's; once, and in order."""
    await post(hub, "shifts", SHIFT)
    for number in ("R-1", "R-1", "R-2"):
        await post(hub, "receipts", {**SALE, "number": number})
    await hub.until_given("billing", 2)
    await hub.quiet()
    events = [given.message for given in hub.sender.to("billing")]
    assert len(events) == 2
    for event, number in zip(events, ("R-1", "R-2"), strict=True):
        assert isinstance(event, EventMessage)
        assert (event.header.verb, event.header.noun, event.header.source) == (Verb.CREATED, "Receipts", "CIS")
        assert event.payload is not None
        (content,) = event.payload.content
        assert isinstance(content, Extension)
        assert content.xml.startswith(f'<Receipts xmlns="{OWN_NAMESPACE}">')
        assert f"<name>{number}</name>" in content.xml
        assert b"Receipts" in render_message(event)
    await hub.until_state("billing", DeliveryState.DELIVERED, DeliveryState.DELIVERED)


async def test_neither_third_parties_nor_typed_services_are_told_of_receipts(hub: Delivering) -> None:
    """What somebody paid is for the utility, and a WSDL of the standard has no operation for it."""
    await post(hub, "shifts", SHIFT)
    await post(hub, "receipts", SALE)
    await hub.until_given("billing", 1)
    await hub.quiet()
    assert hub.sender.to("retail") == hub.sender.to("typed") == []
    feed = msgspec.json.decode((await hub.get("/api/v1/events?noun=Receipts")).body)
    assert [one["noun"] for one in feed["items"]] == ["Receipts"]
    assert msgspec.json.decode((await hub.get("/api/v1/events?partner=retail")).body)["items"] == []


async def test_a_hub_whose_customer_system_is_remote_takes_no_receipts(tmp_path: Path) -> None:
    """The accounts are somewhere else."""
    hub = Delivering()
    await hub.open(tmp_path, MORE, sender=hub.sender, partners=(CIS,))
    try:
        answer = await post(hub, "shifts", SHIFT)
        assert msgspec.json.decode(answer.body)["finding"]["code"] == "EXC-138"
    finally:
        await hub.hub.close()


# ------------------------------------------------------------------------------------------------- reconciliation


async def test_the_list_shows_what_the_third_party_may_see(hub: Delivering) -> None:
    """Page by page, with digests, and nothing that is hidden."""
    for number in ("1", "2", "3"):
        await consent(hub, number)
    await done(hub, message(Verb.CREATE, *(agreement(number) for number in ("1", "2", "3", "4"))))
    path, seen = "/api/v1/reconciliation?partner=retail&limit=1", []
    while path:
        response = await hub.get(path)
        assert response.status == 200
        assert SECRET.encode() not in response.body
        page = msgspec.json.decode(response.body)
        assert len(page["items"]) <= 1
        seen += [(one["mRID"], len(one["digest"])) for one in page["items"]]
        path = page["next"]
    assert seen == [("a-1", 64), ("a-2", 64), ("a-3", 64)]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 404),
        ("partner=billing", 404),
        ("partner=nobody", 404),
        ("partner=retail&asOf=soon", 400),
        ("partner=retail&after=x", 404),
    ],
)
async def test_a_list_for_nobody_in_particular_is_refused(hub: Delivering, query: str, status: int) -> None:
    """It is the list of one third party."""
    assert (await hub.get(f"/api/v1/reconciliation?{query}")).status == status


async def test_the_list_by_message_goes_on_where_it_ended(hub: Delivering) -> None:
    """Over every transport of the standard: options of the request, and a finding that names the next place."""
    for number in ("1", "2"):
        await consent(hub, number)
    await done(hub, message(Verb.CREATE, agreement("1"), agreement("2")))
    options = {"asOf": "2030-06-01T12:00:00Z", "limit": "1"}
    seen = []
    for _ in range(5):
        asked = message(Verb.GET, source="RETAIL")
        given = tuple(Option(name=name, value=value) for name, value in options.items())
        answer = await hub.ask(msgspec.structs.replace(asked, request=Request(option=given)))
        assert isinstance(answer, ResponseMessage)
        assert SECRET.encode() not in render_message(answer)
        if answer.payload is not None:
            seen += [one.mrid for one in bodies(answer.payload.content[0])]
        if answer.reply.result is Result.OK:
            break
        (told,) = [one.details for one in answer.reply.error if one.details and "option after" in one.details]
        options["after"] = told.partition("option after with ")[2].partition(";")[0]
    assert seen == ["a-1", "a-2"]
    wrong = msgspec.structs.replace(
        message(Verb.GET, source="RETAIL"), request=Request(option=(Option(name="asOf", value="soon"),))
    )
    answer = await hub.ask(wrong)
    assert answer.reply.result is Result.FAILED


async def test_the_list_by_message_names_what_was_deleted(hub: Delivering) -> None:
    """So that the copy goes."""
    await consent(hub)
    await done(hub, message(Verb.CREATE, agreement()))
    await done(hub, message(Verb.CLOSE, ids=("a-1",)))
    hub.later(hours=1)
    since = hub.now.isoformat()
    hub.later(hours=1)
    await done(hub, message(Verb.DELETE, ids=("a-1",)))
    asked = msgspec.structs.replace(
        message(Verb.GET, source="RETAIL"), request=Request(option=(Option(name="changedSince", value=since),))
    )
    answer = await done(hub, asked)
    assert answer.payload is not None
    (gone,) = bodies(answer.payload.content[0])
    assert isinstance(gone, CustomerAgreement)
    assert gone.status is not None
    assert (gone.mrid, gone.status.value) == (MRID("a-1"), "deleted")


async def test_openapi_describes_these_pages(hub: Delivering) -> None:
    """Whoever writes a kiosk reads that first."""
    paths = msgspec.json.decode((await hub.get("/api/v1/openapi.json")).body)["paths"]
    for path, table in (
        ("/api/v1/reconciliation", RECONCILIATION_FILTERS),
        ("/api/v1/sales/receipts", RECEIPT_FILTERS),
    ):
        assert {one["name"] for one in paths[path]["get"]["parameters"]} == set(table)
    assert {path for path in paths if path.startswith("/api/v1/sales/")} == {
        f"/api/v1/sales/{end}" for end in ("receipts", "reversals", "shifts", "shifts/{number}", "shifts/{number}/end")
    }
