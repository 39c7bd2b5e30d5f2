"""The network as imported and operated: what differs is written and nothing else, and every way of supply is true."""

import asyncio
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cimcare.errors import InputError
from cimcare.exchange.ports import Collection, Key, Records, Selection, Stored
from cimcare.model.identity import MRID
from cimcare.model.network import Network
from cimcare.store.memory import MemoryRecords
from cimcare.systems.oms.devices import DEVICES, SERVICE_POINTS, find_device, find_point, find_supply
from cimcare.systems.oms.importing import Imported, apply_plan, has_network, import_network, plan_import
from cimcare.systems.oms.operating import operate
from cimcare.systems.oms.parts import PARTS
from tests.support.networks import TOWN, TWO_SOURCES, a_network, radial_networks, with_states
from tests.unit.systems.utility import MONDAY

LATER = MONDAY + timedelta(hours=1)


class Counting(MemoryRecords):
    """Records that count what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[tuple[str, str]] = []

    async def save(self, collection: Collection[msgspec.Struct], stored: Stored[msgspec.Struct]) -> None:  # type: ignore[override]
        self.written.append((collection.name, stored.mrid))
        await super().save(collection, stored)

    async def drop(self, collection: Collection[msgspec.Struct], mrid: MRID) -> None:  # type: ignore[override]
        self.written.append((collection.name, f"-{mrid}"))
        await super().drop(collection, mrid)


async def imported(text: str | Network, records: Records | None = None) -> Records:
    records = records or Counting()
    network = a_network(text) if isinstance(text, str) else text
    await import_network(records, network, MONDAY)
    if isinstance(records, Counting):
        records.written.clear()
    return records


async def kept(records: Records) -> dict[str, dict[str, tuple[msgspec.Struct, frozenset[Key]]]]:
    """All that is kept of the network, with its keys."""
    every: dict[str, dict[str, tuple[msgspec.Struct, frozenset[Key]]]] = {}
    for collection in (DEVICES, SERVICE_POINTS, PARTS):
        found = await records.select(collection, Selection(limit=10_000))  # type: ignore[type-var]
        every[collection.name] = {one.mrid: (one.body, one.keys) for one in found}
    return every


async def way_of(records: Records, point: str) -> list[str]:
    supply = await find_supply(records, {Key("usage-point", f"id-{point}")})
    return [device.name for device in supply.path]


def counts(done: Imported) -> list[tuple[int, int, int, int]]:
    return [(one.added, one.changed, one.removed, one.same) for one in (done.devices, done.points, done.parts)]


async def test_an_import_makes_the_network_known() -> None:
    """From a file to the way of supply of each customer."""
    records = MemoryRecords()
    assert not await has_network(records)
    done = await import_network(records, a_network(TOWN), MONDAY)
    assert await has_network(records)
    assert counts(done) == [(12, 0, 0, 0), (7, 0, 0, 0), (1, 0, 0, 0)]
    assert await way_of(records, "UP-4") == ["T3", "F2", "R", "B1", "S"]


async def test_the_same_again_writes_nothing() -> None:
    """A nightly import of an unaltered export costs reading, and no more."""
    records = await imported(TOWN)
    assert isinstance(records, Counting)
    done = await import_network(records, a_network(TOWN), LATER)
    assert counts(done) == [(0, 0, 0, 12), (0, 0, 0, 7), (0, 0, 0, 1)]
    assert records.written == []


async def test_a_second_import_writes_what_differs() -> None:
    """A fuse is gone, a transformer is new, its customer has moved over."""
    records = await imported(TOWN)
    text = TOWN.replace("fuse F2 a2 > f2\n", "line a2 > f2\n").replace(
        "point UP-3 t2", "transformer T9 f1 > t9\npoint UP-3 t9"
    )
    done = await import_network(records, a_network(text), LATER)
    assert done.devices.examples["added"] == ("T9",)
    assert done.devices.examples["removed"] == ("F2",)
    assert set(done.devices.examples["changed"]) == {"R", "T2", "T3"}
    assert done.points.examples == {"changed": ("UP-3",)}
    assert await kept(records) == await kept(await imported(text))
    assert await find_device(records, "F2") is None
    stored = await find_device(records, "T3")
    assert stored is not None
    assert (stored.created_at, stored.modified_at) == (MONDAY, LATER)


async def test_a_plan_says_the_same_and_writes_nothing() -> None:
    """Look before you leap."""
    records = await imported(TOWN)
    assert isinstance(records, Counting)
    text = TOWN.replace("fuse F2 a2 > f2\n", "line a2 > f2\n")
    plan = await plan_import(records, a_network(text))
    assert records.written == []
    assert await import_network(records, a_network(text), LATER) == plan.imported


async def test_a_plan_that_the_network_has_outrun_is_not_carried_out() -> None:
    """Somebody opens a switch while a large file is compared: the plan would undo half of it."""
    records = await imported(TOWN)
    text = TOWN.replace("fuse F2 a2 > f2\n", "line a2 > f2\n")
    plan = await plan_import(records, a_network(text))
    await operate(records, "F1", LATER, is_open=True)
    before = await kept(records)
    assert await apply_plan(records, plan, LATER) is False
    assert await kept(records) == before
    assert await apply_plan(records, await plan_import(records, a_network(text)), LATER)
    stored = await find_device(records, "F1")
    assert stored is not None
    assert stored.body.is_open


async def test_what_was_operated_stays_so() -> None:
    """The file of the night does not know that a crew has opened a switch today."""
    records = await imported(TOWN)
    await operate(records, "F1", MONDAY, is_open=True)
    done = await import_network(records, a_network(TOWN), LATER)
    assert done.kept == ("F1",)
    stored = await find_device(records, "F1")
    assert stored is not None
    assert stored.body.is_open

    done = await import_network(records, a_network(TOWN), LATER, takes_states=True)
    assert done.kept == ()
    assert await kept(records) == await kept(await imported(TOWN))


async def test_an_unusable_network_leaves_the_old_one() -> None:
    """Half an import would be worse than none."""
    records = await imported(TOWN)
    before = await kept(records)
    with pytest.raises(InputError, match="REF-122"):
        await import_network(records, a_network(TOWN + "fuse F1 a > b"), LATER)
    assert await kept(records) == before


async def test_opening_a_fuse_cuts_off_what_is_below() -> None:
    """And saves these devices and no others."""
    records = await imported(TOWN)
    assert isinstance(records, Counting)
    done = await operate(records, "F1", LATER, is_open=True)
    assert (done.changed, done.lost, done.gained) == (3, 3, 0)
    assert done.device.is_open
    assert done.device.is_fed
    assert sorted(records.written) == [
        ("oms.Devices", "id-F1"),
        ("oms.Devices", "id-T1"),
        ("oms.Devices", "id-T2"),
        ("oms.NetworkParts", "id-S"),
        ("oms.NetworkRevisions", "network"),
    ]


async def test_doing_it_again_changes_nothing() -> None:
    """Two people report the same switch."""
    records = await imported(TOWN)
    assert isinstance(records, Counting)
    done = await operate(records, "F1", LATER, is_open=False)
    assert (done.changed, done.lost, done.gained, records.written) == (0, 0, 0, [])


@pytest.mark.parametrize("text", [TOWN, TWO_SOURCES])
async def test_customers_are_moved_to_the_other_feeder(text: str) -> None:
    """Open the switch, close the tie: the next call from there suspects the devices of the other feeder."""
    records = await imported(text)
    assert (await operate(records, "SW", LATER, is_open=True)).lost == 3
    done = await operate(records, "TIE", LATER, is_open=False)
    assert (done.lost, done.gained, done.findings) == (0, 3, ())
    assert await way_of(records, "UP-5") == ["T4", "TIE", "R", "B1", "S"]
    assert await way_of(records, "UP-7") == ["TIE", "R", "B1", "S"]
    assert (await operate(records, "TIE", LATER, is_open=True)).lost == 3
    assert (await operate(records, "SW", LATER, is_open=False)).gained == 3
    assert await kept(records) == await kept(await imported(text))


async def test_closing_a_loop_is_done_and_told() -> None:
    """Feeders are run in parallel for a moment when load is moved; somebody has to know that they are."""
    records = await imported(TOWN)
    (finding,) = (await operate(records, "TIE", LATER, is_open=False)).findings
    assert finding.code == "REF-126"
    assert "loop of 5 devices" in finding.found
    assert "TIE" in finding.found
    records = await imported(TWO_SOURCES)
    (finding,) = (await operate(records, "id-TIE", LATER, is_open=False)).findings
    assert "between two sources of 7 devices" in finding.found
    assert (await operate(records, "F1", LATER, is_open=True)).findings == ()


@pytest.mark.parametrize("name", ["F9", "T1", "S"])
async def test_what_cannot_be_opened_is_refused(name: str) -> None:
    """A transformer has no contacts, and a name that is mistyped must not pass."""
    records = await imported(TOWN)
    with pytest.raises(InputError, match="REF-130"):
        await operate(records, name, LATER, is_open=True)


async def test_a_point_is_found_by_any_of_its_names() -> None:
    """Meters tell their own name, people that of the usage point."""
    network = a_network("source S > s\npoint UP-1 s\npoint UP-2 s\npoint M-1 s")
    points = (msgspec.structs.replace(network.points[0], meter="M-1"), *network.points[1:])
    records = await imported(msgspec.structs.replace(network, points=points))
    for name, mrid in (("UP-2", "id-UP-2"), ("id-UP-2", "id-UP-2"), ("M-1", "id-M-1")):
        point = await find_point(records, name)
        assert point is not None
        assert point.mrid == mrid
    assert await find_point(records, "UP-9") is None


@given(radial_networks(), st.data())
def test_operating_leads_to_what_an_import_of_the_result_would(network: Network, data: st.DataObject) -> None:
    """However switches are operated one by one, all that is kept is as if the file had had them so."""
    openable = sorted(one.name for one in network.devices if one.kind.has_contacts)
    if not openable:
        return

    async def play() -> None:
        records = await imported(network)
        opened = {one.name for one in network.devices if one.is_open}
        for name in data.draw(st.lists(st.sampled_from(openable), max_size=6)):
            opened ^= {name}
            await operate(records, name, LATER, is_open=name in opened)
            now = await imported(with_states(network, opened))
            assert await kept(records) == await kept(now)

    asyncio.run(play())


async def test_an_import_mends_what_another_release_has_kept_otherwise() -> None:
    """After an upgrade the next import finds objects without the keys of today."""
    records = await imported(TOWN)
    stored = await find_device(records, "F1")
    assert stored is not None
    await records.save(DEVICES, msgspec.structs.replace(stored, keys=frozenset({Key("device", "F1")})))
    done = await import_network(records, a_network(TOWN), LATER)
    assert done.devices.examples == {"changed": ("F1",)}
    assert await kept(records) == await kept(await imported(TOWN))
