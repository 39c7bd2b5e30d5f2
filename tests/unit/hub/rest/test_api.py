"""The REST interface that reads, and the pages of operation."""

import json
import re
from base64 import b64encode
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import pytest
import pytest_asyncio

from cimcare.hub.rest.filters import MESSAGE_FILTERS, OBJECT_FILTERS
from cimcare.model.envelope import RequestMessage
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message, sample_mrid
from tests.unit.hub.conftest import HeldHub

pytestmark = pytest.mark.asyncio(loop_scope="module")

FIVE = tuple(sample_mrid(Noun.TROUBLE_TICKETS, seed) for seed in range(5))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def filled(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[HeldHub]:
    """A hub with the town, five tickets a minute apart (one of them cancelled), and one order."""
    held = HeldHub()
    await held.open(tmp_path_factory.mktemp("filled"), seed_town=True)
    for seed in range(5):
        await held.ask(build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=seed, now=held.now))
        held.later(minutes=1)
    await held.ask(build_message(Noun.TROUBLE_TICKETS, Verb.CANCEL, seed=4))
    await held.ask(build_message(Noun.SERVICE_ORDERS, Verb.CREATE, seed=1))
    yield held
    await held.hub.close()


async def listed(held: HeldHub, query: str = "", noun: str = "TroubleTickets") -> list[str]:
    response = await held.get(f"/api/v1/{noun}{query}")
    assert response.status == 200, response.body
    return [item["mRID"] for item in json.loads(response.body)["items"]]


@pytest.mark.parametrize(
    "path", ["/", "/api/v1/messages", "/api/v1/messages/1/raw", "/api/v1/openapi.json", "/no/where"]
)
async def test_no_policy_has_an_unsafe_word(filled: HeldHub, path: str) -> None:
    """What a partner sent is had here too, and a browser that opens it runs and styles nothing of it."""
    response = await filled.get(path)
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; frame-ancestors 'none'")
    assert "unsafe" not in policy
    styles = re.findall(r"<style>(.*?)</style>", response.body.decode(), re.DOTALL) if path == "/" else []
    digests = [b64encode(sha256(one.encode()).digest()).decode() for one in styles]
    assert re.findall(r"'sha256-([^']+)'", policy) == digests
    assert len(digests) == (path == "/")


async def test_objects_are_listed_in_the_json_form_of_their_noun(filled: HeldHub) -> None:
    """What a program reads here it can put into a message as it is."""
    response = await filled.get("/api/v1/TroubleTickets?limit=1")
    (item,) = json.loads(response.body)["items"]
    assert set(item) == {"mRID", "state", "createdAt", "modifiedAt", "object"}
    assert item["object"]["mRID"] == item["mRID"]
    assert item["state"] == "open"


async def test_pages_follow_one_another_without_gap_or_repeat(filled: HeldHub) -> None:
    """A reader that follows `next` sees each object once."""
    address, seen = "/api/v1/TroubleTickets?limit=2", []
    while address:
        page = json.loads((await filled.get(address)).body)
        seen += [item["mRID"] for item in page["items"]]
        address = page["next"]
    assert sorted(seen) == sorted(FIVE)
    assert seen == await listed(filled)


async def test_filters_of_objects(filled: HeldHub) -> None:
    """Each filter leaves out what it should; one that is ignored would show too much."""
    assert await listed(filled, "?state=cancelled") == [FIVE[4]]
    assert FIVE[4] not in await listed(filled, "?state=open")
    ordered = await listed(filled)
    page = json.loads((await filled.get("/api/v1/TroubleTickets")).body)["items"]
    third = page[2]["createdAt"]
    assert await listed(filled, f"?since={third}") == ordered[2:]
    assert await listed(filled, f"?until={third}") == ordered[:3]
    assert await listed(filled, f"?after={ordered[3]}") == ordered[4:]
    assert await listed(filled, "?premises=nowhere") == []
    assert await listed(filled, "?name=nothing") == []
    assert await listed(filled, "?customer=nobody") == []


async def test_objects_are_found_by_premises_customer_and_name(filled: HeldHub) -> None:
    """The questions of a call centre: what about this address, this customer, this number?"""
    page = json.loads((await filled.get("/api/v1/TroubleTickets")).body)["items"]
    body = next(item["object"] for item in page if "Customer" in item["object"] and "Names" in item["object"])
    customer = body["Customer"]
    known = [customer.get("mRID"), *(name["name"] for name in customer.get("Names", []))]
    for identity in filter(None, known):
        assert body["mRID"] in await listed(filled, f"?customer={identity}")
    for name in body["Names"]:
        assert body["mRID"] in await listed(filled, f"?name={name['name']}")
    place = next(item["object"]["ServiceLocation"] for item in page if "ServiceLocation" in item["object"])
    identity = place.get("mRID") or place["Names"][0]["name"]
    assert await listed(filled, f"?premises={identity}") != []


@pytest.mark.parametrize("noun", Noun)
async def test_every_noun_can_be_listed(filled: HeldHub, noun: Noun) -> None:
    """One address a noun, by the name that the standard gives it."""
    assert isinstance(await listed(filled, "?limit=3", noun.value), list)


async def test_one_object(filled: HeldHub) -> None:
    """By mRID, or 404 with the reason."""
    response = await filled.get(f"/api/v1/TroubleTickets/{FIVE[0]}")
    assert (response.status, json.loads(response.body)["mRID"]) == (200, FIVE[0])
    missing = await filled.get("/api/v1/TroubleTickets/none/of%20these")
    assert (missing.status, missing.headers["content-type"]) == (404, "application/problem+json")
    assert json.loads(missing.body)["finding"]["code"] == "REF-103"


async def test_messages_are_listed_and_shown(filled: HeldHub) -> None:
    """The log over HTTP: newest first for people, by number for programs, bytes as they came."""
    page = json.loads((await filled.get("/api/v1/messages?order=newest&limit=1")).body)
    (newest,) = page["items"]
    one = json.loads((await filled.get(f"/api/v1/messages/{newest['sequence']}")).body)
    assert one == newest
    first = json.loads((await filled.get("/api/v1/messages?limit=1")).body)["items"][0]
    raw = await filled.get(f"/api/v1/messages/{first['sequence']}/raw")
    assert raw.body.startswith(b'<?xml version="1.0"')
    assert raw.headers["content-type"].startswith("text/plain"), "a browser must not run what a partner sent"
    assert raw.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("query", "field", "value"),
    [
        ("verb=create", "verb", "create"),
        ("noun=ServiceOrders", "noun", "ServiceOrders"),
        ("source=OMS-NORTHLAKE", "partner", "OMS-NORTHLAKE"),
        ("outcome=OK", "outcome", "OK"),
        ("direction=out", "direction", "out"),
        ("answerTo=1", "answerTo", 1),
    ],
)
async def test_filters_of_messages(filled: HeldHub, query: str, field: str, value: object) -> None:
    """As in the list of objects: a filter is obeyed or refused."""
    items = json.loads((await filled.get(f"/api/v1/messages?{query}&limit=1000")).body)["items"]
    assert {item[field] for item in items} <= {value}
    everything = json.loads((await filled.get("/api/v1/messages?limit=1000")).body)["items"]
    assert len(items) == sum(item[field] == value for item in everything)


async def test_messages_of_one_conversation(filled: HeldHub) -> None:
    """Reply and events of a request, by the identifier that links them."""
    message = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=0)
    assert isinstance(message, RequestMessage)
    identifier = message.header.message_id
    items = json.loads((await filled.get(f"/api/v1/messages?correlation={identifier}")).body)["items"]
    assert {"reply", "created"} <= {item["verb"] for item in items}
    (asked,) = json.loads((await filled.get(f"/api/v1/messages?message={identifier}")).body)["items"]
    assert asked["verb"] == "create"


@pytest.mark.parametrize(
    "query",
    [
        "TroubleTickets?colour=red",
        "TroubleTickets?limit=0",
        "TroubleTickets?limit=1001",
        "TroubleTickets?limit=ten",
        "TroubleTickets?limit=\u0663",
        "TroubleTickets?since=yesterday",
        "TroubleTickets?since=2026-01-01T00:00:00",
        "TroubleTickets?state=",
        "TroubleTickets?limit=1&limit=2",
        "messages?after=-1",
        "messages?after=99999999999999999999",
        "messages?outcome=GOOD",
        "messages?direction=sideways",
        "messages?order=random",
    ],
)
async def test_filters_that_are_not_served_are_refused(filled: HeldHub, query: str) -> None:
    """A misspelt filter that is ignored shows a thousand wrong things; better none."""
    response = await filled.get(f"/api/v1/{query}")
    problem = json.loads(response.body)
    assert (response.status, problem["status"], problem["finding"]["code"]) == (400, 400, "EXC-110")
    assert problem["finding"]["accepted"]


async def test_offset_with_a_plus_sign_is_read(filled: HeldHub) -> None:
    """In a query a plus is a blank; nobody who types an offset thinks of that."""
    assert await listed(filled, "?until=2000-01-01T00:00:00+01:00") == []


@pytest.mark.parametrize(
    ("path", "method", "status", "code"),
    [
        ("/nothing", "GET", 404, "NET-103"),
        ("/api/v1/Meters", "GET", 404, "NET-103"),
        ("/api/v1/Meters/1", "GET", 404, "NET-103"),
        ("/api/v1/messages/0", "GET", 404, "REF-103"),
        ("/api/v1/messages/99999999999999999999", "GET", 404, "REF-103"),
        ("/api/v1/messages/x/raw", "GET", 404, "REF-103"),
        ("/api/v1/TroubleTickets", "POST", 405, "NET-101"),
        ("/healthz", "DELETE", 405, "NET-101"),
    ],
)
async def test_errors_are_problem_details(filled: HeldHub, path: str, method: str, status: int, code: str) -> None:
    """RFC 9457, with our finding in it."""
    response = await filled.get(path, method)
    problem = json.loads(response.body)
    assert (response.status, response.headers["content-type"]) == (status, "application/problem+json")
    assert (problem["status"], problem["finding"]["code"]) == (status, code)
    assert problem["type"] == f"urn:cimcare:error:{code}"
    if status == 405:
        assert "GET" in response.headers["allow"]


async def test_head_is_get_without_a_body(filled: HeldHub) -> None:
    """Load balancers ask so."""
    for path in ("/healthz", "/readyz", "/", "/api/v1/messages"):
        get, head = await filled.get(path), await filled.get(path, "HEAD")
        assert (head.status, head.headers["content-type"]) == (get.status, get.headers["content-type"])


async def test_first_page_links_what_is_there(filled: HeldHub) -> None:
    """Every link on it leads somewhere."""
    page = (await filled.get("/")).body.decode()
    links = [part.partition('"')[0] for part in page.split('href="')[1:]]
    assert len(links) > 20
    for link in links:
        assert (await filled.get(link)).status == 200, link


async def test_openapi_describes_every_filter_and_noun(filled: HeldHub) -> None:
    """The description is made from the same table that reads the filters, and every reference in it resolves."""
    document = json.loads((await filled.get("/api/v1/openapi.json")).body)
    assert document["openapi"].startswith("3.1")
    for noun in Noun:
        names = {one["name"] for one in document["paths"][f"/api/v1/{noun}"]["get"]["parameters"]}
        assert names == set(OBJECT_FILTERS)
        assert f"/api/v1/{noun}/{{mrid}}" in document["paths"]
    names = {one["name"] for one in document["paths"]["/api/v1/messages"]["get"]["parameters"]}
    assert names == set(MESSAGE_FILTERS)

    references = set()

    def walk(value: object) -> None:
        if isinstance(value, dict):
            references.update([value["$ref"]] if isinstance(value.get("$ref"), str) else [])
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(document)
    schemas = document["components"]["schemas"]
    assert references
    assert {reference.removeprefix("#/components/schemas/") for reference in references} <= set(schemas)
    operations = [verb["operationId"] for path in document["paths"].values() for verb in path.values()]
    assert len(operations) == len(set(operations))


async def test_an_error_of_the_program_is_a_problem_too(tmp_path: Path) -> None:
    """Reading may fail as well; the reader gets problem details and no traceback."""
    held = HeldHub()
    await held.open(tmp_path)

    async def fail(*_: object) -> object:
        raise LookupError("secret")

    held.hub.queries.list_messages = fail  # type: ignore[method-assign]  # stands in for a defect
    response = await held.get("/api/v1/messages")
    problem = json.loads(response.body)
    assert (response.status, problem["finding"]["code"]) == (500, "EXC-109")
    assert b"secret" not in response.body
    (line,) = held.logged
    assert (line["event"], line["error"]) == ("page failed", "LookupError")
    await held.hub.close()
