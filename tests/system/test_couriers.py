"""Processes that carry deliveries and take no messages: who does what, who is told, what a dead one leaves (G3, G6)."""

import asyncio
import json
import os
import signal
import urllib.request
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cimcare.exchange.outbox import DeliverySelection, DeliveryState
from cimcare.hub.operation.auditing import verify
from cimcare.hub.operation.balance import balances
from cimcare.model.envelope import Result
from cimcare.simulator.partner import SimulatedPartner
from cimcare.simulator.running import running_partner
from cimcare.store.opening import open_reader
from tests.support.hub import HubProcess, hub_process
from tests.support.postgres import a_database
from tests.system.test_kill import a_create, result_of, send_all
from tests.system.test_workers import PATIENCE_SECONDS, logged, until, watch

TICKETS = 30
POLL_SECONDS = 60.0
"""As rarely as a courier can be set to look by itself."""


def settings_for(address: str, more: str = "poll_seconds = 0.1") -> str:
    return (
        f'[partners.gis]\nurl = "{address}/soap"\nsource = "GIS"\ndeadline_seconds = 20\n'
        'retry_first_seconds = 0.1\nretry_most_seconds = 0.5\n[subscriptions.gis]\npartner = "gis"\n'
        f'nouns = ["TroubleTickets"]\n[delivery]\nlease_seconds = 1\n{more}\n[hub]\nwait_seconds = 600\n'
    )


def pid_of(folder: Path, kind: str) -> int:
    """Process of the latest worker or courier."""
    return int(str(logged(folder, f"{kind} ready")[-1]["pid"]))


async def ready(folder: Path, kind: str, count: int = 1) -> int:
    """Wait until so many of a kind became ready, those that were replaced included; process of the last."""
    await until(lambda: len(logged(folder, f"{kind} ready")) >= count)
    return pid_of(folder, kind)


async def send_ok(hub: HubProcess, numbers: range) -> None:
    replies = await send_all(hub.address, dict(a_create(number) for number in numbers))
    assert {result_of(reply) for reply in replies.values()} == {Result.OK}


async def states(url: str) -> Counter[DeliveryState]:
    async with open_reader(url) as reader:
        return Counter(one.state for one in await reader.outbox.select(DeliverySelection(limit=10_000)))


async def until_states(url: str, holds: Callable[[Counter[DeliveryState]], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds(await states(url)):
            await asyncio.sleep(0.05)


async def until_delivered(url: str, count: int) -> None:
    await until_states(url, lambda found: found == {DeliveryState.DELIVERED: count})


def effects(partner: SimulatedPartner) -> Counter[tuple[str, str]]:
    return Counter((entry.source, entry.message_id) for entry in partner.effects)


async def get(hub: HubProcess, path: str) -> bytes:
    def read() -> bytes:
        with urllib.request.urlopen(f"{hub.address}{path}", timeout=30) as answer:
            body: bytes = answer.read()
        return body

    return await asyncio.to_thread(read)


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
async def test_who_carries_is_woken_by_who_takes(tmp_path: Path, store: str) -> None:
    """An event leaves when it is there, not when somebody happens to look; and the worker carries nothing itself."""
    with a_database(store, tmp_path) as url, running_partner(name="GIS") as partner:
        settings = settings_for(partner.address, f"poll_seconds = {POLL_SECONDS}")
        with hub_process(tmp_path, settings, database=url, couriers=1) as hub:
            courier = await ready(tmp_path, "courier")
            async with asyncio.timeout(0.8 * POLL_SECONDS):
                await send_ok(hub, range(3))
                await until_delivered(url, 3)  # the first look of a courier that starts may have found these
                await send_ok(hub, range(3, 6))
                await until_delivered(url, 6)

            os.kill(courier, signal.SIGSTOP)
            try:
                await send_ok(hub, range(6, 40))
                await asyncio.sleep(1)
                assert (await states(url))[DeliveryState.DELIVERED] == 6, "carried by a process that takes messages"
            finally:
                os.kill(courier, signal.SIGCONT)
            await until_delivered(url, 40)
            page = (await get(hub, "/metrics")).decode()
            assert "\ncimcare_workers 1.0\n" in page
            assert "\ncimcare_couriers 1.0\n" in page
            assert 'cimcare_deliveries_total{outcome="delivered",partner="gis"} 40.0' in page
            assert hub.stop() == 0
        assert set(effects(partner).values()) == {1}
    drained = [next(iter({"worker", "courier"} & entry.keys()), "") for entry in logged(tmp_path, "draining")]
    assert drained == ["", "worker", "courier"], "what is taken last is to be under way before"


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
async def test_a_courier_that_is_killed_is_replaced_and_all_is_delivered_once(tmp_path: Path, store: str) -> None:
    """Out of memory with deliveries in its hands: leases run out, another takes over, and senders notice nothing."""
    with a_database(store, tmp_path) as url, running_partner(name="GIS", behaviour="hang") as partner:
        with hub_process(tmp_path, settings_for(partner.address), database=url, couriers=1) as hub:
            courier = await ready(tmp_path, "courier")
            await send_ok(hub, range(TICKETS))
            await until_states(url, lambda found: found[DeliveryState.LEASED] >= 4)
            ended = watch(courier)
            os.kill(courier, signal.SIGKILL)
            await until(ended)
            partner.behave("accept")
            await send_ok(hub, range(TICKETS, 2 * TICKETS))
            assert await ready(tmp_path, "courier", 2) != courier
            (told,) = logged(tmp_path, "courier ended")
            assert (told["courier"], told["code"], told["reason"]) == (1, "SET-121", "ended by SIGKILL")
            await until_delivered(url, 2 * TICKETS)
            assert logged(tmp_path, "worker ended") == []
            assert hub.stop() == 0
        assert len(effects(partner)) == 2 * TICKETS
        assert set(effects(partner).values()) == {1}
        async with open_reader(url) as reader:
            now = datetime.now(UTC)
            assert [one for one in await balances(reader, now - timedelta(hours=2), now) if one.missing] == []
            assert (await verify(reader)).flaws == ()


async def test_a_worker_that_is_killed_leaves_its_deliveries_to_the_courier(tmp_path: Path) -> None:
    """What got an OK goes out, though who took it is gone; and the one in its place wakes the courier as it did."""
    url = f"sqlite:///{tmp_path / 'hub.db'}"
    with running_partner(name="GIS", behaviour="hang") as partner:
        settings = settings_for(partner.address)
        with hub_process(tmp_path, settings, couriers=1) as hub:
            courier, worker = await ready(tmp_path, "courier"), await ready(tmp_path, "worker")
            await send_ok(hub, range(TICKETS))
            ended = watch(worker)
            os.kill(worker, signal.SIGKILL)
            await until(ended)
            partner.behave("accept")
            await until_delivered(url, TICKETS)
            await ready(tmp_path, "worker", 2)
            await send_ok(hub, range(TICKETS, TICKETS + 3))
            await until_delivered(url, TICKETS + 3)
            assert pid_of(tmp_path, "courier") == courier
            assert hub.stop() == 0
        assert set(effects(partner).values()) == {1}


async def test_what_workers_show_of_who_is_spared_is_what_couriers_do(tmp_path: Path) -> None:
    """The operator asks a process that has never tried to reach the partner."""
    with running_partner(name="GIS", behaviour="accept") as partner:
        address = partner.address
    settings = settings_for(address, "poll_seconds = 0.1\ncircuit_after = 2")
    with hub_process(tmp_path, settings, couriers=1) as hub:
        await ready(tmp_path, "courier")

        async def circuit() -> dict[str, object] | None:
            (gis,) = json.loads(await get(hub, "/api/v1/partners"))["items"]
            found: dict[str, object] | None = gis["circuit"]
            return found

        async def until_open(*, wanted: bool) -> dict[str, object]:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while True:
                    found = await circuit()
                    if bool(found and found["open"]) is wanted:
                        return found or {}
                    await asyncio.sleep(0.05)

        assert await circuit() is None
        await send_ok(hub, range(1))
        found = await until_open(wanted=True)
        assert int(str(found["failures"])) >= 2
        assert "NET-107" in str(found["reason"])
        async with asyncio.timeout(PATIENCE_SECONDS):
            while b"not-answering" not in await get(hub, "/api/v1/alarms"):
                await asyncio.sleep(0.1)
        port = int(address.rpartition(":")[2])
        listening = SimulatedPartner(name="GIS")
        await listening.start(port)
        try:
            await until_open(wanted=False)
        finally:
            await listening.stop()
        assert hub.stop() == 0
