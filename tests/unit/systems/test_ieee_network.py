"""The IEEE feeders, read and traced: models that nobody here wrote."""

import pytest

from cimcare.codec.network import parse_network
from cimcare.exchange.ports import Selection
from cimcare.model.network import DeviceKind, Network
from cimcare.store.memory import MemoryRecords
from cimcare.systems.oms.devices import SERVICE_POINTS, find_device, find_path
from cimcare.systems.oms.importing import import_network
from cimcare.systems.oms.operating import operate
from cimcare.systems.oms.wiring import check_network, wire
from tests.support.feeders import read_feeder
from tests.unit.systems.utility import MONDAY


def a_feeder(*names: str) -> Network:
    reading = parse_network([read_feeder(name) for name in names])
    assert reading.network is not None
    return reading.network


@pytest.mark.parametrize(("name", "customers"), [("IEEE13", 16), ("IEEE123", 91)])
def test_every_consumer_is_traced_to_the_source(name: str, customers: int) -> None:
    """And the model is as radial as its authors say."""
    network = a_feeder(name)
    assert check_network(network) == ()
    wired = wire(network)
    assert wired.findings == ()
    devices = {device.mrid: device for device in wired.devices}
    for point in wired.points():
        assert point.device is not None
        top = devices[point.device].path[-1] if devices[point.device].path else point.device
        assert devices[top].kind is DeviceKind.SOURCE
    (source,) = (device for device in wired.devices if device.kind is DeviceKind.SOURCE)
    assert source.customers == customers
    assert all(device.is_fed for device in wired.devices)


@pytest.mark.parametrize(
    ("feeder", "device", "path"),
    [
        ("IEEE13", "xfm1", ["fuse1", "brkr1", "source"]),
        ("IEEE13", "671692", ["rec1", "brkr1", "source"]),
        ("IEEE13", "tpoletop", ["rec1", "brkr1", "source"]),
        ("IEEE123", "xfm1", ["sw6", "sw2", "sw1", "source"]),
        ("IEEE123", "sw5", ["sw4", "sw2", "sw1", "source"]),
        ("IEEE123", "sw3", ["sw1", "source"]),
    ],
)
async def test_the_way_up_is_that_of_the_drawing(feeder: str, device: str, path: list[str]) -> None:
    """As the one-line diagrams of the test feeders have it: 13-2, 60-160, 97-197, and so on."""
    records = MemoryRecords()
    await import_network(records, a_feeder(feeder), MONDAY)
    stored = await find_device(records, device)
    assert stored is not None
    assert [one.name for one in await find_path(records, stored.body)] == [device, *path]


async def test_customers_of_the_second_feeder_move_over_the_tie() -> None:
    """The tie sw7 between nodes 151 and 300 is there for this: sw4 opens, and its 38 customers are fed from sw3."""
    records = MemoryRecords()
    await import_network(records, a_feeder("IEEE123"), MONDAY)
    assert (await operate(records, "sw4", MONDAY, is_open=True)).lost == 38
    done = await operate(records, "sw7", MONDAY, is_open=False)
    assert (done.gained, done.findings) == (38, ())
    stored = await find_device(records, "sw5")
    assert stored is not None
    names = [one.name for one in await find_path(records, stored.body)]
    assert names == ["sw5", "sw7", "sw3", "sw1", "source"]


async def test_two_models_make_one_network() -> None:
    """A utility has a file a feeder; names that both have are told apart by their feeder."""
    records = MemoryRecords()
    done = await import_network(records, a_feeder("IEEE13", "IEEE123"), MONDAY)
    assert (done.devices.added, done.points.added, done.parts.added) == (18, 107, 2)
    for name in ("ieee13nodeckt.source", "ieee123.source", "ieee13nodeckt.xfm1", "ieee123.xfm1", "sw1", "brkr1"):
        assert await find_device(records, name) is not None
    assert len(await records.select(SERVICE_POINTS, Selection())) == 107
