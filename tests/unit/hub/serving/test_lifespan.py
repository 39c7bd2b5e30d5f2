"""A hub inside another program: on a free port, and gone when the block ends."""

import sqlite3
from pathlib import Path

import aiohttp
import msgspec
import pytest

from cimcare.hub.serving.lifespan import ListenError, running_hub, serve
from cimcare.schema import SchemaFileError
from cimcare.store.errors import DatabaseError
from tests.support.hub import hub_settings, local_hub


async def test_serves_while_the_block_lasts(tmp_path: Path) -> None:
    """The demo and the tests of others start a hub so."""
    async with local_hub(tmp_path) as running:
        async with aiohttp.ClientSession() as session, session.get(f"{running.address}/healthz") as answer:
            assert (answer.status, await answer.json()) == (200, {"status": "ok"})
        address = running.address
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(f"{address}/healthz")
    assert not (tmp_path / "hub.db-wal").exists()


async def test_town_is_seeded_once(tmp_path: Path) -> None:
    """A second start must not double the customers."""
    counts = []
    for _ in range(2):
        async with local_hub(tmp_path, seed_town=True):
            pass
        with sqlite3.connect(tmp_path / "hub.db") as connection:
            counts.append(connection.execute("SELECT count(*) FROM records").fetchone()[0])
        connection.close()
    assert counts[0] == counts[1] > 200


async def test_a_hub_in_memory_leaves_nothing_behind(tmp_path: Path) -> None:
    """For trying out: the town is there while it runs, and each start is the first."""
    for _ in range(2):
        async with running_hub(hub_settings(tmp_path, seed_town=True, database="memory:")) as running:
            address = f"{running.address}/api/v1/CustomerAgreements"
            async with aiohttp.ClientSession() as session, session.get(address) as answer:
                assert answer.status == 200
                assert len((await answer.json())["items"]) > 10
    assert not (tmp_path / "hub.db").exists()


async def test_a_second_hub_on_the_same_port_is_refused(tmp_path: Path) -> None:
    """And the first is not disturbed."""
    async with local_hub(tmp_path) as running:
        port = int(running.address.rpartition(":")[2])
        settings = msgspec.structs.replace(hub_settings(tmp_path), port=port)
        with pytest.raises(ListenError, match="cannot be listened on"):
            async with running_hub(settings):
                pass
        async with aiohttp.ClientSession() as session, session.get(f"{running.address}/readyz") as answer:
            assert answer.status == 200


def test_an_address_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    """Said with the settings that are to be changed."""
    settings = msgspec.structs.replace(hub_settings(tmp_path), host="192.0.2.1")
    with pytest.raises(ListenError, match="CIMCARE_HOST"):
        serve(settings)


def test_an_unusable_database_is_refused(tmp_path: Path) -> None:
    """Before anything listens for long."""
    settings = msgspec.structs.replace(hub_settings(tmp_path), database="sqlite:////nowhere/at/all/hub.db")
    with pytest.raises(DatabaseError, match="cannot be used"):
        serve(settings)


def test_unusable_schemas_are_refused(tmp_path: Path) -> None:
    """A user's own schemas are looked at on starting, not with the first message."""
    with pytest.raises(SchemaFileError):
        serve(hub_settings(tmp_path, f'schema.directory = "{tmp_path / "none"}"\n'))
