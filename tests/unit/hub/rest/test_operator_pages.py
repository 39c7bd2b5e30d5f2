"""What operators and auditors read over REST: deliveries, partners, ledger, audit trail."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio

from cimcare.exchange.partners import Partner, Retry
from cimcare.exchange.subscriptions import Subscription
from cimcare.hub.operation import hours
from cimcare.hub.outgoing.halting import halt
from cimcare.model.nouns import Noun, Role
from tests.support.dead_letters import deliver, put, put_dead
from tests.support.sender import ScriptedSender
from tests.unit.hub.conftest import NOON, HeldHub

pytestmark = pytest.mark.asyncio(loop_scope="module")

GIS = Partner(name="gis", url="http://gis.example/soap?key=secret", source="GIS")
OMS = Partner(
    name="oms",
    url="http://oms.example/in",
    source="OMS",
    role=Role.OMS,
    owns=(Noun.INCIDENTS, Noun.TROUBLE_TICKETS),
    retry=Retry(jitter=0.0),
)
QUIET = "[delivery]\npoll_seconds = 60\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def filled(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[HeldHub]:
    """A hub with deliveries of each sort to a partner that is halted."""
    held = HeldHub()
    sender = ScriptedSender()
    subscriptions = [Subscription(name="all", partner="gis")]
    await held.open(
        tmp_path_factory.mktemp("hub"), QUIET, sender=sender, partners=(GIS, OMS), subscriptions=subscriptions
    )
    async with held.store.transaction() as transaction:
        await halt(transaction, "gis", actor="ann", reason="maintenance", now=NOON)
    await deliver(held.store, await put(held.store, "a", "old"))
    await put(held.store, "b", noun="Incidents")
    await put_dead(held.store, 2, partner="old", received=b"caf\xe9")
    held.now = NOON + timedelta(hours=1)
    yield held
    await held.hub.close()


async def listed(held: HeldHub, path: str) -> list[dict[str, object]]:
    response = await held.get(f"/api/v1/{path}")
    assert response.status == 200, response.body
    items: list[dict[str, object]] = json.loads(response.body)["items"]
    return items


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [1, 2, 3, 4]),
        ("?partner=gis", [2]),
        ("?noun=Incidents", [2]),
        ("?verb=closed", []),
        ("?state=dead", [3, 4]),
        ("?state=dead&state=delivered", [1, 3, 4]),
        ("?message=2", [2]),
        ("?cause=3", [3]),
        ("?since=2030-06-01T12:03:00Z", [3, 4]),
        ("?before=2030-06-01T12:03:00Z", [1, 2]),
        ("?after=3", [4]),
    ],
)
async def test_deliveries_are_listed_by_filter(filled: HeldHub, query: str, expected: list[int]) -> None:
    """The same filters as those of the command."""
    assert [one["number"] for one in await listed(filled, f"deliveries{query}")] == expected


async def test_pages_follow_one_another(filled: HeldHub) -> None:
    """A reader that follows `next` sees each delivery once, with the same filters."""
    address, seen = "/api/v1/deliveries?limit=2&verb=created", []
    while address:
        page = json.loads((await filled.get(address)).body)
        seen += [one["number"] for one in page["items"]]
        address = page["next"]
    assert seen == [1, 2, 3, 4]


async def test_one_delivery_has_all_of_it(filled: HeldHub) -> None:
    """What came back may be no text; it is shown as far as it is."""
    found = json.loads((await filled.get("/api/v1/deliveries/3")).body)
    assert (found["state"], found["received"], found["sentAs"]) == ("dead", "caf\ufffd", None)
    assert found["reason"].startswith("FAILED: 2.15")
    (dead, _) = await listed(filled, "deliveries?state=dead")
    assert {key: found[key] for key in dead} == dead


@pytest.mark.parametrize("number", ["99", "0", "x", "9223372036854775808"])
async def test_no_delivery_is_not_found(filled: HeldHub, number: str) -> None:
    """As everywhere: problem details with the reason."""
    response = await filled.get(f"/api/v1/deliveries/{number}")
    assert response.status == 404
    assert json.loads(response.body)["finding"]["code"] == "REF-103"


async def test_partners_show_what_they_lack_and_no_secret(filled: HeldHub) -> None:
    """One look for the whole of the outside world."""
    response = await filled.get("/api/v1/partners")
    assert b"secret" not in response.body
    gis, old, oms = json.loads(response.body)["items"]
    assert (gis["url"], gis["kind"], gis["subscriptions"]) == ("http://gis.example/soap?...", "soap", ["all"])
    assert (gis["waiting"], gis["dead"], gis["oldestAt"][:16]) == (1, 0, "2030-06-01T12:02")
    assert gis["halted"] == {"at": "2030-06-01T12:00:00Z", "actor": "ann", "reason": "maintenance"}
    assert (old["inForce"], old["dead"], old["circuit"]) == (False, 2, None)
    assert (oms["role"], oms["owns"], oms["inForce"]) == ("oms", ["Incidents", "TroubleTickets"], True)


async def test_partners_show_the_circuit_of_this_process(filled: HeldHub) -> None:
    """Whether it is spared, why, and when it is tried next."""
    circuit = filled.hub.couriers.circuits.of(OMS)
    for _ in range(filled.hub.settings.delivery.circuit_after):
        circuit.note(is_reached=False, reason="NET-107 refused", now=NOON, chance=filled.hub.couriers.chance)
    oms = (await listed(filled, "partners"))[-1]
    assert oms["circuit"] == {
        "open": True,
        "failures": filled.hub.settings.delivery.circuit_after,
        "reason": "NET-107 refused",
        "nextProbeAt": "2030-06-01T12:00:01Z",
    }


async def test_the_ledger_of_a_day(filled: HeldHub) -> None:
    """The last one, if no other is asked for."""
    lines = await listed(filled, "ledger")
    told = [(one["partner"], one["received"], one["delivered"], one["waiting"], one["dead"]) for one in lines]
    assert told == [("gis", 1, 0, 1, 0), ("old", 3, 1, 0, 2)]
    assert {one["missing"] for one in lines} == {0}
    assert len(await listed(filled, "ledger?partner=old")) == 1
    assert await listed(filled, "ledger?until=2030-06-01T12:00:00Z") == []
    assert len(await listed(filled, "ledger?since=2030-06-01T18:15:00%2B05:30")) == 2, "12:45 in UTC, so from 12:00 on"


async def test_long_times_of_the_ledger_come_in_pages(filled: HeldHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten years at once would hold up everybody else."""
    monkeypatch.setattr(hours, "_PAGE", timedelta(hours=10))
    address, pages, partners = "/api/v1/ledger?since=2030-05-31T13:30:00Z&partner=gis", 0, []
    while address:
        page = json.loads((await filled.get(address)).body)
        partners += [one["partner"] for one in page["items"]]
        address, pages = page["next"], pages + 1
    assert (partners, pages) == (["gis"], 3)


@pytest.mark.parametrize(
    "query",
    [
        "since=0001-01-01T00:00:00%2B14:00&until=0001-01-01T00:00:00%2B14:00",
        "since=9999-12-31T23:59:59-14:00",
        "until=9999-12-31T23:59:59-14:00&since=2030-06-02T00:00:00Z",
    ],
)
async def test_instants_at_the_ends_of_time_are_instants(filled: HeldHub, query: str) -> None:
    """They can be written, so they are asked for."""
    assert await listed(filled, f"ledger?{query}") == []


async def test_the_audit_trail_is_read_in_pages(filled: HeldHub) -> None:
    """Row by row as they are chained."""
    rows = await listed(filled, "audit")
    assert [row["number"] for row in rows] == list(range(1, len(rows) + 1))
    assert [one["previous"] for one in rows[1:]] == [one["hash"] for one in rows[:-1]]
    (halted,) = await listed(filled, "audit?action=halt")
    assert (halted["actor"], halted["subject"], halted["details"]) == ("ann", "gis", "maintenance")
    page = json.loads((await filled.get("/api/v1/audit?limit=2&after=1")).body)
    assert ([row["number"] for row in page["items"]], page["next"]) == ([2, 3], "/api/v1/audit?limit=2&after=3")


async def test_a_row_that_cannot_be_read_is_a_problem(filled: HeldHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says that somebody has altered it."""

    async def rows(*_: object) -> object:
        raise ValueError

    monkeypatch.setattr(type(filled.store.reader.audit), "rows", rows)
    response = await filled.get("/api/v1/audit")
    assert response.status == 500
    assert json.loads(response.body)["finding"]["code"] == "EXC-131"


@pytest.mark.parametrize(
    "path",
    [
        "deliveries?state=gone",
        "deliveries?since=yesterday",
        "deliveries?colour=red",
        "partners?name=gis",
        "ledger?since=2030-06-01T00:00:00",
        "ledger?limit=3",
        "audit?action=dance",
    ],
)
async def test_filters_that_are_not_served_are_refused(filled: HeldHub, path: str) -> None:
    """One that is ignored would show too much, and be believed."""
    response = await filled.get(f"/api/v1/{path}")
    assert response.status == 400
    assert json.loads(response.body)["finding"]["code"] == "EXC-110"


@pytest.mark.parametrize("path", ["deliveries", "deliveries/3", "partners", "ledger", "audit"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_nothing_is_done_over_rest(filled: HeldHub, path: str, method: str) -> None:
    """Nobody is authenticated yet, so nobody may halt, send again or discard."""
    assert (await filled.get(f"/api/v1/{path}", method)).status == 405


@pytest.mark.parametrize("name", ["counted", "direction", "outcome"])
async def test_a_wrong_word_is_answered_with_those_that_would_pass(held: HeldHub, name: str) -> None:
    """As they are written in an address, and not as the hub holds them."""
    response = await held.get(f"/api/v1/messages?{name}=nonsense")
    assert response.status == 400
    accepted = json.loads(response.body)["finding"]["accepted"]
    assert "enum [" in accepted
    assert "<" not in accepted
