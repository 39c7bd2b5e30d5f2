"""The network of the invented town: every one of its premises has its way of supply, and agrees with the directory."""

from collections import Counter

from cimcare.exchange.ports import Selection
from cimcare.model.network import DeviceKind
from cimcare.samples.northlake import PREMISES_COUNT, find_premises
from cimcare.samples.northlake_network import build_network, device_mrid
from cimcare.store.memory import MemoryRecords
from cimcare.systems.cis import seed_town
from cimcare.systems.oms.devices import DEVICES, SERVICE_POINTS, find_device, find_supply
from cimcare.systems.oms.operating import operate
from cimcare.systems.oms.town import seed_network
from cimcare.systems.oms.wiring import check_network, wire
from cimcare.systems.premises import PREMISES
from tests.unit.systems.utility import MONDAY


async def a_town() -> MemoryRecords:
    records = MemoryRecords()
    await seed_town(records, MONDAY)
    assert await seed_network(records, MONDAY)
    return records


def test_the_network_has_nothing_odd() -> None:
    """It is what a newcomer looks at first."""
    assert check_network(build_network()) == ()
    assert wire(build_network()).findings == ()


def test_the_network_has_what_was_drawn() -> None:
    kinds = Counter(device.kind for device in build_network().devices)
    assert kinds == {
        DeviceKind.SOURCE: 1,
        DeviceKind.BREAKER: 2,
        DeviceKind.RECLOSER: 1,
        DeviceKind.SWITCH: 2,
        DeviceKind.FUSE: 10,
        DeviceKind.TRANSFORMER: 40,
    }
    assert len(build_network().points) == PREMISES_COUNT


async def test_everything_has_a_place_of_its_own() -> None:
    """The map of the town is true without anything that is guessed."""
    network = build_network()
    places = [one.position for one in (*network.devices, *network.points)]
    assert None not in places
    assert len(set(places)) == len(places)
    stored = await (await a_town()).select(SERVICE_POINTS, Selection())
    assert {one.mrid: one.body.position for one in stored} == {one.mrid: one.position for one in network.points}


async def test_each_of_the_premises_is_below_its_transformer_and_feeder() -> None:
    """Directory and network speak of the same devices."""
    records = await a_town()
    for stored in await records.select(PREMISES, Selection()):
        supply = await find_supply(records, stored.keys)
        assert supply.point is not None
        assert supply.point.mrid == stored.body.usage_point
        assert supply.point.is_critical == stored.body.is_critical
        assert supply.device is not None
        assert (supply.device.name, supply.device.feeder) == (stored.body.transformer, stored.body.feeder)
        kinds = [device.kind for device in supply.path if device.kind not in (DeviceKind.RECLOSER, DeviceKind.SWITCH)]
        assert kinds == [DeviceKind.TRANSFORMER, DeviceKind.FUSE, DeviceKind.BREAKER, DeviceKind.SOURCE]


async def test_customers_are_counted_street_by_street() -> None:
    records = await a_town()
    counts = {}
    for name in ("NL-SUB", "CB-11", "CB-12", "R-11", "SW-12", "F-113", "TX-1101", "TIE-1"):
        stored = await find_device(records, name)
        assert stored is not None
        assert stored.mrid == device_mrid(name)
        counts[name] = stored.body.customers
    assert counts == {
        "NL-SUB": 200, "CB-11": 100, "CB-12": 100, "R-11": 60, "SW-12": 60, "F-113": 20, "TX-1101": 5, "TIE-1": 0,
    }  # fmt: skip


async def test_the_tie_carries_the_end_of_the_other_feeder() -> None:
    """What the tie is for: three streets are moved over, and nobody sees a loop."""
    records = await a_town()
    assert (await operate(records, "SW-12", MONDAY, is_open=True)).lost == 60
    done = await operate(records, "TIE-1", MONDAY, is_open=False)
    assert (done.gained, done.findings) == (60, ())
    supply = await find_supply(records, (), find_premises(199).device)
    assert [device.name for device in supply.path] == ["TX-1240", "F-125", "TIE-1", "R-11", "CB-11", "NL-SUB"]


async def test_the_network_is_seeded_once_and_only_for_the_town() -> None:
    """Somebody's own premises must not get an invented network, and a restart must not undo what was operated."""
    records = MemoryRecords()
    assert not await seed_network(records, MONDAY)
    assert await records.select(DEVICES, Selection()) == ()
    await seed_town(records, MONDAY)
    assert await seed_network(records, MONDAY)
    await operate(records, "F-113", MONDAY, is_open=True)
    assert not await seed_network(records, MONDAY)
    stored = await find_device(records, "F-113")
    assert stored is not None
    assert stored.body.is_open
