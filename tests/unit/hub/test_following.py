"""A hub goes over to another configuration by itself, and goes on looking whatever a look meets."""

import asyncio
from pathlib import Path

import msgspec

from cimcare.exchange.store import StoreError
from cimcare.hub.config.configuration import InForce, apply
from cimcare.hub.following import Follower
from cimcare.model.nouns import Role
from tests.unit.hub.conftest import HeldHub
from tests.unit.hub.outgoing.test_delivery import CRM, GIS, SUBSCRIPTIONS, Delivering, a_create, ask_ok


async def test_a_partner_that_comes_into_force_is_delivered_to(tmp_path: Path) -> None:
    """Without a restart, and without a word to the process."""
    hub = Delivering()
    await hub.open(tmp_path, "[delivery]\npoll_seconds = 0.05\n", sender=hub.sender)
    await ask_ok(hub, a_create(2))
    wanted = msgspec.structs.replace(hub.hub.settings, partners=(GIS, CRM), subscriptions=SUBSCRIPTIONS)
    async with hub.store.transaction() as transaction:
        await apply(transaction, wanted, actor="ann", now=hub.now)
    async with asyncio.timeout(60):
        while not hub.hub.pipeline.setup.routes.partners:
            await asyncio.sleep(0.01)
    await ask_ok(hub, a_create(3))
    await hub.until_given("gis", 1)
    assert {given.message.header.correlation_id for given in hub.sender.to("gis")} == {"create-3"}
    assert any(line["event"] == "configuration changed" and line["partners"] == ["gis", "crm"] for line in hub.logged)
    await hub.hub.close()


class Troubled:
    """A reader of the configuration that fails in one way after another."""

    def __init__(self) -> None:
        self.looks = 0

    @property
    def records(self) -> object:
        self.looks += 1
        if self.looks == 1:
            raise StoreError("away")
        raise LookupError("on purpose")


async def test_a_look_that_fails_is_not_the_last_one(held: HeldHub) -> None:
    """A database that was away for a moment, or an error of the program, must not freeze the configuration for good."""
    troubled = Troubled()
    follower = Follower(
        troubled,  # type: ignore[arg-type]  # stands in for a reader
        InForce(),
        dict.fromkeys(Role, "X"),
        held.hub.pipeline,
        held.hub.couriers,
        held.hub.couriers.logger,
    )
    follower.start(0.01)
    async with asyncio.timeout(60):
        while troubled.looks < 3:
            await asyncio.sleep(0.01)
    await follower.stop()
    told = [line for line in held.logged if line["event"] == "configuration not looked at"]
    assert [line["code"] for line in told][:2] == ["EXC-111", "EXC-109"]
    assert "on purpose" not in str(told)
