"""Subscriptions by API: made, shown, used and removed; what is refused, and why."""

import asyncio
import json
from collections.abc import AsyncIterator, MutableMapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cimcare.exchange.audit import Action, AuditRow
from cimcare.exchange.outbox import DeliverySelection
from cimcare.exchange.store import StoreError
from cimcare.hub.config import subscribing
from cimcare.hub.config.configuration import apply, in_force
from cimcare.hub.rest import bodies
from cimcare.model.envelope import EventMessage
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from tests.support.hub import Response, call, hub_settings
from tests.support.sender import ScriptedSender
from tests.unit.hub.conftest import NOON, HeldHub

WEBHOOK = {"name": "crm", "kind": "webhook", "url": "http://127.0.0.1:9/events?token=abc"}
FILE = """
[partners.gis]
url = "https://gis.example/soap"
source = "GIS-SYSTEM"
[subscriptions.gis-all]
partner = "gis"
nouns = ["Incidents"]
"""
PATH = "/api/v1/subscriptions"
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HEADERS = [(b"content-type", b"application/json"), (b"host", b"hub.example")]


class Desk:
    """A hub to which somebody subscribes."""

    def __init__(self, held: HeldHub) -> None:
        self.held = held

    async def ask(self, method: str, path: str = PATH, body: object = b"", **headers: str) -> Response:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {
            "content-type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        response = await call(self.held.hub.app, path, raw, method=method, headers=given)
        assert response is not None
        return response

    async def make(self, body: object = WEBHOOK, **headers: str) -> Response:
        return await self.ask("POST", PATH, body, **headers)

    async def refusal(self, body: object, **headers: str) -> tuple[int, str, str, str]:
        """Status, code, path and what was found of the one thing that is wrong."""
        response = await self.make(body, **headers)
        problem = json.loads(response.body)
        assert problem["status"] == response.status
        finding = problem["finding"]
        return response.status, finding["code"], finding["path"], finding["found"]

    async def names(self) -> list[str]:
        return [item["name"] for item in json.loads((await self.ask("GET")).body)["items"]]

    async def trail(self) -> list[AuditRow]:
        rows = await self.held.hub._store.reader.audit.rows()
        return [row for row in rows if row.action in (Action.SUBSCRIBE, Action.UNSUBSCRIBE)]

    async def configure(self, folder: Path, text: str) -> None:
        """Put what a file of settings says in force."""
        async with self.held.hub._store.transaction() as transaction:
            await apply(transaction, hub_settings(folder, text), actor="test", now=NOON)


@pytest.fixture
async def desk(held: HeldHub) -> AsyncIterator[Desk]:
    yield Desk(held)


async def test_a_subscription_is_made_and_shown_and_in_force(desk: Desk) -> None:
    """With all that the program of the subscriber may want to look at later, and without the token in its address."""
    response = await desk.make({**WEBHOOK, "nouns": ["Incidents"], "areas": ["Northlake"]}, x_actor="Jürgen")
    assert (response.status, response.headers["location"]) == (201, f"{PATH}/crm")
    view = json.loads(response.body)
    assert view == {
        "name": "crm",
        "origin": "api",
        "active": True,
        "partner": "crm",
        "kind": "webhook",
        "url": "http://127.0.0.1:9/events?...",
        "signed": False,
        "filter": {
            "verbs": [], "nouns": ["Incidents"], "premises": [],
            "areas": ["Northlake"], "sources": [], "properties": {},
        },
        "createdAt": NOON.isoformat().replace("+00:00", "Z"),
        "createdBy": "Jürgen",
    }  # fmt: skip
    assert json.loads((await desk.ask("GET", f"{PATH}/crm")).body) == view
    assert await desk.names() == ["crm"]
    now = await in_force(desk.held.hub._store.reader.records)
    assert [(partner.name, partner.url) for partner in now.partners] == [("crm", WEBHOOK["url"])]
    assert [subscription.name for subscription in now.subscriptions] == ["crm"]


async def test_who_subscribed_and_who_removed_it_is_in_the_audit_trail(desk: Desk) -> None:
    """A stream of customer data that leaves the house has to be somebody's doing."""
    await desk.make(x_actor="  ada\t")
    await desk.ask("DELETE", f"{PATH}/crm")
    made, removed = await desk.trail()
    assert (made.action, made.actor, made.subject, made.at) == (Action.SUBSCRIBE, "ada", "subscription crm", NOON)
    assert made.details.startswith("to webhook http://127.0.0.1:9/events?...: {")
    assert (removed.action, removed.actor, removed.details) == (Action.UNSUBSCRIBE, "127.0.0.1", made.details)


async def test_an_actor_is_told_in_bounds(desk: Desk) -> None:
    """The trail is read by people."""
    await desk.make(x_actor="x" * 1000)
    (row,) = await desk.trail()
    assert row.actor == "x" * 100


async def test_asked_twice_alike_it_is_made_once(desk: Desk) -> None:
    """Whoever did not get the first answer asks again."""
    first = await desk.make()
    desk.held.later(minutes=1)
    second = await desk.make()
    assert (first.status, second.status) == (201, 200)
    assert second.body == first.body
    assert len(await desk.trail()) == 1


async def test_another_one_of_the_same_name_is_refused(desk: Desk) -> None:
    """The first subscriber must not lose its events to the second."""
    await desk.make()
    other = await desk.refusal({**WEBHOOK, "url": "http://localhost:9/"})
    assert other == (409, "EXC-123", "/name", "name crm, which is taken")
    assert (await desk.make()).status == 200


async def test_a_removed_subscription_is_gone_and_its_name_free(desk: Desk) -> None:
    """It is told so a second time."""
    await desk.make()
    assert (await desk.ask("DELETE", f"{PATH}/crm")).status == 204
    assert await desk.names() == []
    gone = await desk.ask("DELETE", f"{PATH}/crm")
    assert (gone.status, json.loads(gone.body)["finding"]["code"]) == (404, "REF-103")
    assert (await desk.ask("GET", f"{PATH}/crm")).status == 404
    assert (await desk.make({**WEBHOOK, "url": "http://localhost:9/"})).status == 201


async def test_subscriptions_of_the_file_are_shown_and_stay(desk: Desk, tmp_path: Path) -> None:
    """What the operator has written down is changed by the operator."""
    await desk.configure(tmp_path, FILE)
    (item,) = json.loads((await desk.ask("GET")).body)["items"]
    assert (item["name"], item["origin"], item["partner"], item["url"], item["createdAt"]) == (
        "gis-all", "file", "gis", "https://gis.example/soap", None,
    )  # fmt: skip
    response = await desk.ask("DELETE", f"{PATH}/gis-all")
    assert (response.status, json.loads(response.body)["finding"]["code"]) == (409, "EXC-124")
    assert (await desk.refusal({"name": "gis-all", "partner": "gis"}))[:2] == (409, "EXC-123")
    assert (await desk.refusal({**WEBHOOK, "name": "gis"}))[:2] == (409, "EXC-123")


async def test_a_partner_may_get_more(desk: Desk, tmp_path: Path) -> None:
    """Without an address, since it has one; and only as long as it is there."""
    await desk.configure(tmp_path, FILE)
    response = await desk.make({"name": "gis-more", "partner": "gis", "verbs": ["closed"]})
    view = json.loads(response.body)
    assert (response.status, view["partner"], view["kind"], view["active"]) == (201, "gis", "soap", True)
    (row,) = await desk.trail()
    assert row.details.startswith("to gis: {")
    await desk.configure(tmp_path, "")
    view = json.loads((await desk.ask("GET", f"{PATH}/gis-more")).body)
    assert (view["active"], view["url"], view["kind"]) == (False, "", "")
    assert (await desk.make()).status == 201, "what is wrong with others does not stand in the way"


async def test_a_destination_whose_name_the_file_takes_is_not_active(desk: Desk, tmp_path: Path) -> None:
    """Its events must not go to the partner that has the name now."""
    await desk.make({**WEBHOOK, "name": "gis"})
    await desk.configure(tmp_path, FILE)
    view = json.loads((await desk.ask("GET", f"{PATH}/gis")).body)
    assert (view["active"], view["url"]) == (False, "http://127.0.0.1:9/events?...")


@pytest.mark.parametrize(
    ("body", "path", "found"),
    [
        ({"kind": "webhook", "url": "http://127.0.0.1/"}, "/name", "no name"),
        ({**WEBHOOK, "name": 5}, "/name", "no name"),
        ({**WEBHOOK, "name": "a b"}, "/name", "SET-106 name 'a b'"),
        ({**WEBHOOK, "name": ""}, "/name", "SET-106 name ''"),
        ({**WEBHOOK, "name": "oms"}, "/name", "SET-106 name 'oms'"),
        ({"name": "crm"}, "/", "SET-116 neither partner nor url"),
        ({**WEBHOOK, "partner": "gis"}, "/kind", "SET-114 beside partner"),
        ({"name": "crm", "partner": "gsi"}, "/partner", "SET-110 partner 'gsi'"),
        ({**WEBHOOK, "url": "ftp://127.0.0.1/"}, "/url", "SET-107 'ftp://127.0.0.1/' is neither http nor https"),
        ({**WEBHOOK, "url": None}, "/url", "SET-101 None"),
        ({**WEBHOOK, "colour": "red"}, "/colour", "SET-101 no such setting"),
        ({**WEBHOOK, "verbs": ["create"]}, "/verbs", "SET-111 verb 'create'"),
        ({**WEBHOOK, "nouns": ["TroubleTicket"]}, "/nouns", "SET-111 noun 'TroubleTicket'"),
        ({**WEBHOOK, "nouns": "Incidents"}, "/nouns", "SET-101 'Incidents'"),
        ({**WEBHOOK, "source": "OMS"}, "/source", "SET-109 source 'OMS', which is that of the built-in system oms"),
        ({**WEBHOOK, "parallel": "many"}, "/parallel", "SET-101 'many'"),
    ],
)
async def test_what_is_wrong_is_told_as_for_the_file_of_settings(
    desk: Desk, body: dict[str, object], path: str, found: str
) -> None:
    """Where, what was found, and (in `accepted`) what would pass."""
    assert await desk.refusal(body) == (400, "EXC-121", path, found)
    assert await desk.names() == []
    assert await desk.trail() == []


async def test_all_that_is_wrong_is_told_at_once(desk: Desk) -> None:
    """Each round trip that finds one mistake costs somebody a minute."""
    response = await desk.make({**WEBHOOK, "verbs": ["create"], "colour": "red"})
    assert [finding["path"] for finding in json.loads(response.body)["findings"]] == ["/colour", "/verbs"]


async def test_a_source_that_a_partner_has_is_refused(desk: Desk, tmp_path: Path) -> None:
    """Who sent a message is known by it."""
    await desk.configure(tmp_path, FILE)
    status, code, path, found = await desk.refusal({**WEBHOOK, "source": "GIS-SYSTEM"})
    assert (status, code, path) == (400, "EXC-121", "/source")
    assert found == "SET-109 source 'GIS-SYSTEM', which is that of gis"


@pytest.mark.parametrize(
    "url", ["http://inside.example/", "http://169.254.169.254/latest/", "http://gis.example.evil.example/"]
)
async def test_an_address_to_which_the_hub_may_not_send_is_refused(desk: Desk, tmp_path: Path, url: str) -> None:
    """Or the hub could be made to call any service of the network that it is in."""
    await desk.configure(tmp_path, FILE)
    status, code, path, found = await desk.refusal({**WEBHOOK, "url": url})
    assert (status, code, path) == (403, "EXC-122", "/url")
    assert url in found


async def test_the_host_of_a_partner_is_an_address_to_which_the_hub_may_send(desk: Desk, tmp_path: Path) -> None:
    """It sends there anyway."""
    await desk.configure(tmp_path, FILE)
    assert (await desk.make({**WEBHOOK, "url": "https://gis.example:8443/events"})).status == 201


async def test_hosts_of_earlier_subscriptions_open_no_door(tmp_path: Path) -> None:
    """A host that is no longer allowed does not stay so because somebody has subscribed with it."""
    held = HeldHub()
    await held.open(tmp_path, 'hub.reply_hosts = ["desk.example"]\n')
    desk = Desk(held)
    assert (await desk.make({**WEBHOOK, "url": "http://desk.example/"})).status == 201
    await held.hub.close()
    await held.open(tmp_path, "hub.reply_hosts = []\n")
    assert (await desk.refusal({**WEBHOOK, "name": "b", "url": "http://desk.example/"}))[:2] == (403, "EXC-122")
    await held.hub.close()


async def test_files_are_named_without_folder_and_lie_in_the_one_for_them(tmp_path: Path) -> None:
    """Else anybody could find out which files there are, and have any of them used as a key."""
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "crm.key").write_text(KEY)
    (tmp_path / "other.key").write_text(KEY)
    held = HeldHub()
    await held.open(tmp_path, f'hub.key_directory = "{keys}"\n')
    desk = Desk(held)
    for name in ("../other.key", str(tmp_path / "other.key"), "..", "keys/crm.key", "a\0b"):
        assert await desk.refusal({**WEBHOOK, "secret_file": name}) == (
            400, "EXC-121", "/secret_file", f"file {name!r}",
        )  # fmt: skip
    assert (await desk.refusal({**WEBHOOK, "secret_file": "none.key"}))[:3] == (400, "EXC-121", "/secret_file")
    assert (await desk.refusal({**WEBHOOK, "secret_file": 5}))[:3] == (400, "EXC-121", "/secret_file")
    response = await desk.make({**WEBHOOK, "secret_file": "crm.key"})
    assert json.loads(response.body)["signed"]
    (partner,) = (await in_force(held.hub._store.reader.records)).partners
    assert partner.secret_file == str(keys / "crm.key")
    await held.hub.close()


async def test_without_a_folder_for_them_no_file_is_taken(desk: Desk) -> None:
    """The file of settings may name any."""
    for key in ("secret_file", "ca_file", "certificate_file", "key_file"):
        assert await desk.refusal({**WEBHOOK, key: "a.key"}) == (400, "EXC-121", f"/{key}", "file 'a.key'")


async def test_there_is_an_upper_number(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each event is held against all of them."""
    monkeypatch.setattr(subscribing, "MOST_SUBSCRIPTIONS", 1)
    await desk.make()
    assert (await desk.refusal({**WEBHOOK, "name": "b"}))[:3] == (400, "EXC-121", "/")


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"{}", {"content-type": "text/plain"}, 415, "NET-102"),
        (b"{}", {"content-type": ""}, 415, "NET-102"),
        (b"[]", {}, 400, "COD-105"),
        (b"", {}, 400, "COD-105"),
        (b"\xff", {}, 400, "COD-105"),
        (b'{"name": "a"', {}, 400, "COD-105"),
        (b"[" * 60000, {}, 400, "COD-105"),
        (b" " * (bodies.LONGEST_BODY + 1), {}, 413, "XML-103"),
    ],
)
async def test_a_body_that_is_none(desk: Desk, body: bytes, headers: dict[str, str], status: int, code: str) -> None:
    """A page in a browser cannot send JSON to another site without asking first, so nothing else is taken."""
    response = await call(
        desk.held.hub.app, PATH, body, method="POST", headers={"content-type": "application/json", **headers}
    )
    assert response is not None
    assert (response.status, json.loads(response.body)["finding"]["code"]) == (status, code)


async def test_a_body_that_does_not_come(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a slow client nor one that goes away may keep anything."""
    headers = {"content-type": "application/json"}
    await call(desk.held.hub.app, PATH, b"{", method="POST", headers=headers, breaks_off=True)
    assert desk.held.logged == []
    monkeypatch.setattr(bodies, "_BODY_SECONDS", 0)
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(event: MutableMapping[str, Any]) -> None:
        sent.append(event)

    scope = {"type": "http", "method": "POST", "path": PATH, "query_string": b"", "root_path": "", "headers": HEADERS}
    await desk.held.hub.app(scope, receive, send)
    assert json.loads(sent[1]["body"])["finding"]["code"] == "NET-106"
    assert await desk.names() == []


async def test_other_methods_are_told_which_there_are(desk: Desk) -> None:
    response = await desk.ask("PUT")
    assert response.status == 405
    assert {"GET", "POST"} <= set(response.headers["allow"].split(", "))
    assert "DELETE" in (await desk.ask("PUT", f"{PATH}/crm")).headers["allow"]


async def test_a_database_that_is_away_is_told_as_such(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is worth another try, and no defect of the program."""

    def fail(*_: object) -> object:
        raise StoreError("no disk")

    monkeypatch.setattr(desk.held.hub._store, "transaction", fail)
    response = await desk.make()
    assert (response.status, json.loads(response.body)["finding"]["code"]) == (503, "EXC-111")
    assert b"no disk" not in response.body


async def test_what_was_missed_is_read_through_the_filter_of_the_subscription(desk: Desk, tmp_path: Path) -> None:
    """Also by who was away for a week, and without what it has told itself."""
    await desk.configure(tmp_path, FILE)
    await desk.make({"name": "gis-orders", "partner": "gis", "nouns": ["ServiceOrders"]})
    for noun, source in (
        (Noun.SERVICE_ORDERS, "WMS-X"),
        (Noun.SERVICE_ORDERS, "GIS-SYSTEM"),
        (Noun.INCIDENTS, "OMS-X"),
    ):
        event = build_message(noun, Verb.CREATED, seed=len(source))
        assert isinstance(event, EventMessage)
        header = msgspec.structs.replace(event.header, source=source)
        await desk.held.ask(msgspec.structs.replace(event, header=header))
    page = json.loads((await desk.ask("GET", f"{PATH}/gis-orders/events?limit=1")).body)
    assert [(item["noun"], item["source"]) for item in page["items"]] == [("ServiceOrders", "WMS-X")]
    assert page["next"] == f"{PATH}/gis-orders/events?limit=1&after={page['last']}"
    rest = json.loads((await desk.ask("GET", page["next"])).body)
    assert (rest["items"], rest["next"]) == ([], None)
    mine = json.loads((await desk.ask("GET", f"{PATH}/gis-all/events")).body)
    assert [item["noun"] for item in mine["items"]] == ["Incidents"]
    assert (await desk.ask("GET", f"{PATH}/none/events")).status == 404
    assert (await desk.ask("GET", f"{PATH}/gis-all/events?noun=Incidents")).status == 400


async def test_a_subscription_holds_from_the_next_message_on_until_it_is_removed(tmp_path: Path) -> None:
    """Between the two every event is delivered, and nothing else is; what waits then stays as it is."""
    sender, held = ScriptedSender(), HeldHub()
    sender.gates["crm"] = asyncio.Event()
    await held.open(tmp_path, "delivery.poll_seconds = 60\n", sender=sender)
    desk = Desk(held)
    await held.ask(build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=1))
    await desk.make({**WEBHOOK, "nouns": ["TroubleTickets"], "parallel": 1})
    await held.ask(build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=2))
    await held.ask(build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=3))
    async with asyncio.timeout(30):
        while True:
            if sender.to("crm"):
                break
            await asyncio.sleep(0.005)
    await desk.ask("DELETE", f"{PATH}/crm")
    sender.gates["crm"].set()
    await held.ask(build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=4))
    (given,) = sender.to("crm")
    assert (given.verb, given.wire.url) == ("created", WEBHOOK["url"])
    deliveries = await held.store.reader.outbox.select(DeliverySelection(partner="crm"))
    assert len(deliveries) == 2
    await held.hub.close()


async def test_the_hub_hears_of_each_change(held: HeldHub) -> None:
    """So that it goes by it at once, and not only when it looks again."""
    heard = []

    async def note() -> None:
        heard.append("change")

    made = subscribing.Subscribing(
        held.hub._store, sources={}, reply_hosts=("*",), key_directory="", clock=held.clock, on_change=note
    )
    await made.make(WEBHOOK, "ada")
    await made.make(WEBHOOK, "ada")
    assert heard == ["change"]
    assert await made.remove("crm", "ada")
    assert not await made.remove("crm", "ada")
    assert heard == ["change", "change"]


async def test_what_is_made_is_made_even_if_the_hub_cannot_look_at_once(held: HeldHub) -> None:
    """Whoever was told 503 would ask again for what is there."""

    async def fail() -> None:
        raise StoreError("away")

    made = subscribing.Subscribing(
        held.hub._store, sources={}, reply_hosts=("*",), key_directory="", clock=held.clock, on_change=fail
    )
    assert (await made.make(WEBHOOK, "ada")).is_new
