"""The network altered under outages that are open: nobody is forgotten, and names stay."""

import msgspec
import pytest

from cimcare.model.network import Network
from cimcare.systems.oms.importing import import_network
from cimcare.systems.oms.operating import operate
from tests.unit.systems.outages import ControlRoom, feeder


def without(network: Network, *names: str) -> Network:
    """The network with these devices gone and their two sides joined."""
    lines = tuple((one.nodes[0], one.nodes[1]) for one in network.devices if one.name in names)
    devices = tuple(one for one in network.devices if one.name not in names)
    return msgspec.structs.replace(network, devices=devices, lines=(*network.lines, *lines))


@pytest.fixture
async def room() -> ControlRoom:
    room = ControlRoom()
    await room.open()
    return room


async def device_of(room: ControlRoom, incident: str) -> str:
    location = (await room.incident(incident)).location
    assert location is not None
    return location.names[0].name


async def test_an_incident_keeps_the_name_of_a_device_that_an_import_removes(room: ControlRoom) -> None:
    """The crew is on its way to it, whatever the mapping says since this morning."""
    await room.outage("i-1", "F1")
    await room.call("H11-1", "t-1")
    await import_network(room.records, without(feeder(), "F1"), room.now)
    assert await device_of(room, "i-1") == "F1"
    assert await room.state("i-1") == "open"
    assert await room.incident_of("t-1") == "i-1"
    assert (await room.close("i-1")).findings == ()
    assert await room.state("i-1") == "closed"


async def test_calls_go_on_after_the_network_was_altered(room: ControlRoom) -> None:
    """A call that came before stands by the way that was known then; one that comes after, by that of now."""
    await room.call("H11-1", "t-1")
    await import_network(room.records, without(feeder(), "T11"), room.now)
    for number, house in enumerate(("H11-2", "H12-1", "H12-2", "H21-1")):
        room.pass_time(minutes=1)
        served = await room.call(house, f"t-{number + 2}")
        assert served.result == "OK"
        assert await room.incident_of(f"t-{number + 2}")
    await room.tick()


async def test_calls_from_behind_an_open_switch_belong_to_it(room: ControlRoom) -> None:
    """An operator has opened the fuse and says so; callers are told of that outage, not of one each."""
    await operate(room.records, "F1", room.now, is_open=True)
    await room.outage("i-1", "F1")
    for number, house in enumerate(("H11-1", "H12-1")):
        await room.call(house, f"t-{number}")
        assert await room.incident_of(f"t-{number}") == "i-1"
    await room.call("H21-1", "t-9")
    assert await room.incident_of("t-9") != "i-1"
