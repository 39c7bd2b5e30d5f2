"""The description of the REST interface against the interface itself, by a tool that believes only the description."""

import asyncio
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from cimcare.exchange.searching import words_of
from cimcare.hub.outgoing.halting import halt
from cimcare.store.opening import open_store
from tests.support.dead_letters import put, put_dead
from tests.support.hub import HubProcess, hub_process
from tests.support.stored import NOON

MANY = 15


PARTNER = """
[partners.gis]
url = "http://127.0.0.1:9/soap"
"""


async def fill(database: str) -> None:
    """Something to be read by operators: a delivery that nobody takes, dead letters, a halted partner."""
    store = await open_store(database)
    await put(store, "waits")
    await put_dead(store, 2, received=b"not what was expected")
    async with store.transaction() as transaction:
        await halt(transaction, "gis", actor="tests", reason="to be read", now=NOON)
    await store.close()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    folder = tmp_path_factory.mktemp("hub")
    asyncio.run(fill(f"sqlite:///{folder / 'hub.db'}"))
    with hub_process(folder, PARTNER, seed_town=True) as running:
        yield running


@pytest.fixture
def described(hub: HubProcess) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_url(f"{hub.address}/api/v1/openapi.json")


def test_everything_behaves_as_described(described: schemathesis.BaseSchema) -> None:
    """Only the statuses, types and bodies that the description names, whatever is asked or sent."""
    seen = 0
    for result in described.get_all_operations():
        operation = result.ok()
        if operation.path.endswith("/stream"):  # has no end; tests/system/test_streams.py
            continue

        @given(case=operation.as_strategy())
        @settings(max_examples=MANY, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        def check(case: schemathesis.Case) -> None:
            # That a message fits the description does not mean that it is sensible, so it may be refused. And that a
            # text has a word is more than a schema can say in all languages.
            is_wordless = "text" in case.query and not words_of(str(case.query["text"]))
            excluded = [positive_data_acceptance] if case.method in ("POST", "PUT") or is_wordless else []
            case.call_and_validate(timeout=30, excluded_checks=excluded)

        check()
        seen += 1
    assert seen >= 30


def test_description_is_valid(described: schemathesis.BaseSchema) -> None:
    """By the schema of OpenAPI 3.1 itself."""
    described.validate()
