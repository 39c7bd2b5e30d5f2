"""The network on every store: imported, operated, imported again."""

from datetime import UTC, datetime
from typing import Any

import pytest

from cimcare.errors import InputError
from cimcare.exchange.ports import Collection, Selection
from cimcare.exchange.store import Store
from cimcare.hub.acts import network as hub_network
from cimcare.hub.acts.network import operate_device, replace_network
from cimcare.systems.oms.devices import DEVICES, SERVICE_POINTS, find_way, points_below
from cimcare.systems.oms.importing import Plan, import_network, plan_import
from cimcare.systems.oms.parts import PARTS
from tests.support.networks import TOWN, TWO_SOURCES, a_network, with_states

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


async def counts(store: Store) -> list[int]:
    collections: tuple[Collection, ...] = (DEVICES, SERVICE_POINTS, PARTS)  # type: ignore[type-arg]
    return [len(await store.reader.records.select(one, Selection())) for one in collections]


async def replace(store: Store, text: str, **options: bool) -> None:
    chosen = {"takes_states": False, "is_dry": False} | options
    await replace_network(store, a_network(text), actor="gis", now=NOON, **chosen)


async def test_a_network_is_imported_operated_and_imported_again(store: Store) -> None:
    """The same on each of them, for a utility may change its store and not its network."""
    await replace(store, TOWN)
    assert await counts(store) == [12, 7, 1]
    for name, is_open in (("SW", True), ("TIE", False)):
        await operate_device(store, name, is_open=is_open, actor="me", reason="", now=NOON)
    supply = await find_way(store.reader.records, "UP-7")
    assert [device.name for device in supply.path] == ["TIE", "R", "B1", "S"]
    async with store.transaction() as transaction:
        network = with_states(a_network(TOWN), {"SW"})
        assert not (await import_network(transaction.records, network, NOON)).is_change
    supply = await find_way(store.reader.records, "B1")
    assert supply.device is not None
    assert len(await points_below(store.reader.records, supply.device.mrid)) == 7

    await replace(store, TWO_SOURCES, takes_states=True)
    assert await counts(store) == [13, 7, 2]


async def test_nothing_of_a_refused_import_is_kept(store: Store) -> None:
    """One transaction: all of it or none."""
    await replace(store, TOWN)
    with pytest.raises(InputError, match="REF-122"):
        await replace(store, TOWN + "fuse F1 a > b")
    assert await counts(store) == [12, 7, 1]
    with pytest.raises(InputError, match="REF-130"):
        await operate_device(store, "F9", is_open=True, actor="me", reason="", now=NOON)


async def test_a_dry_run_only_reads(store: Store) -> None:
    """It goes to the reader, which refuses to write."""
    await replace(store, TOWN, is_dry=True)
    assert await counts(store) == [0, 0, 0]


async def test_a_switch_operated_during_an_import_is_not_undone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large file takes minutes to compare, and switching does not wait for it."""
    await replace(store, TOWN)
    plans = 0

    async def plan(*given: Any, **options: Any) -> Plan:
        nonlocal plans
        made = await plan_import(*given, **options)
        plans += 1
        if plans == 1:
            await operate_device(store, "F1", is_open=True, actor="me", reason="", now=NOON)
        return made

    monkeypatch.setattr(hub_network, "plan_import", plan)
    await replace(store, TOWN.replace("fuse F2 a2 > f2", "line a2 > f2"))
    assert plans == 2
    supply = await find_way(store.reader.records, "UP-1")
    assert [(device.name, device.is_open, device.is_fed) for device in supply.path[:2]] == [
        ("T1", False, False),
        ("F1", True, True),
    ]
    assert (await find_way(store.reader.records, "F2")).device is None
