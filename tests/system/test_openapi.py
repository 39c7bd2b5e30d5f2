"""The description of the REST interface against the interface itself, by a tool that believes only the description."""

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from tests.support.hub import HubProcess, hub_process

MANY = 15


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    with hub_process(tmp_path_factory.mktemp("hub"), seed_town=True) as running:
        yield running


@pytest.fixture
def described(hub: HubProcess) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_url(f"{hub.address}/api/v1/openapi.json")


schema = schemathesis.pytest.from_fixture("described")


@schema.include(method="GET").parametrize()
@settings(max_examples=MANY, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_read_behaves_as_described(case: schemathesis.Case) -> None:
    """Good and bad parameters alike: only the statuses, types and bodies that the description names."""
    case.call_and_validate(timeout=30)


def test_description_is_valid(described: schemathesis.BaseSchema) -> None:
    """By the schema of OpenAPI 3.1 itself."""
    described.validate()
