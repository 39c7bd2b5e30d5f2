"""Where things truly are: on the map of the world, on a plane, and where the model does not say it."""

import math
from itertools import combinations

import msgspec
import pytest

from cimcare.console.incidents.ground import Ground, survey
from cimcare.console.incidents.layout import has_places
from cimcare.console.incidents.mapping import Node, Spot, Supply, look_at_map
from cimcare.model.identity import MRID
from cimcare.model.network import DeviceKind, Position
from cimcare.samples.northlake_network import build_network
from cimcare.systems.oms.devices import DeviceRecord
from tests.unit.hub.conftest import HeldHub

EARTH_METRES = 40_075_016.7


def a_node(name: str, position: Position | None = None, *below: Node, spots: tuple[Position | None, ...] = ()) -> Node:
    device = DeviceRecord(mrid=MRID(name), name=name, names=(), kind=DeviceKind.FUSE, position=position)
    return Node(
        device=device,
        supply=Supply.SUPPLIED,
        row=None,
        children=tuple(
            msgspec.structs.replace(one, device=msgspec.structs.replace(one.device, upstream=MRID(name)))
            for one in below
        ),
        spots=tuple(Spot(label=str(at), supply=Supply.SUPPLIED, position=one) for at, one in enumerate(spots)),
        hidden=0,
    )


def metres(ground: Ground, one: Position, other: Position) -> float:
    """How far two places of the picture are from each other, on earth."""
    assert ground.bounds is not None
    south, west, north, east = ground.bounds
    wide = (east - west) / 360 * EARTH_METRES * math.cos(math.radians((south + north) / 2))
    return math.dist(one, other) / ground.width * wide


def degrees(ground: Ground, at: Position) -> Position:
    """Longitude and latitude of a place of the picture, by way of Web Mercator."""
    assert ground.bounds is not None
    south, west, north, east = ground.bounds
    top, bottom = (math.log(math.tan(math.pi / 4 + math.radians(one) / 2)) for one in (north, south))
    y = top + (bottom - top) * at[1] / ground.height
    latitude = math.degrees(2 * math.atan(math.exp(y)) - math.pi / 2)
    return west + (east - west) * at[0] / ground.width, latitude


async def test_the_town_lies_where_its_model_has_it(held: HeldHub) -> None:
    """Devices and premises, to within a metre."""
    town = await look_at_map(held.store.reader.records, ())
    assert town is not None
    ground = survey(town.roots)
    network = build_network()
    assert ground.unknown == 0
    for device in network.devices:
        assert degrees(ground, ground.devices[device.mrid]) == pytest.approx(device.position, abs=1e-5)
    premises = {point.location: point.position for point in network.points}
    for node in town.nodes():
        for spot, place in zip(node.spots, ground.spots[node.device.mrid], strict=True):
            assert degrees(ground, place) == pytest.approx(premises[spot.label], abs=1e-5)


def test_the_picture_is_as_wide_as_high_where_the_land_is() -> None:
    """A metre is a metre in both directions, also far from the equator."""
    ground = survey([a_node("a", (10.0, 60.0), a_node("b", (10.01, 60.0)), a_node("c", (10.0, 60.01)))])
    east = math.dist(ground.devices[MRID("a")], ground.devices[MRID("b")])
    north = math.dist(ground.devices[MRID("a")], ground.devices[MRID("c")])
    assert north / east == pytest.approx(1 / math.cos(math.radians(60)), rel=0.001)
    assert metres(ground, ground.devices[MRID("a")], ground.devices[MRID("c")]) == pytest.approx(1113, rel=0.01)


def test_what_the_model_does_not_place_stands_by_what_hangs_together() -> None:
    """In the middle of what it feeds, or at what feeds it; premises around their device."""
    blank = a_node("blank", None, a_node("low", None, spots=(None, None, None)))
    ground = survey([a_node("top", None, a_node("a", (10.0, 60.0)), a_node("b", (10.02, 60.0)), blank)])
    at = ground.devices
    assert ground.unknown == 3
    assert degrees(ground, at[MRID("top")]) == pytest.approx((10.01, 60.0), abs=1e-4)
    for one in (at[MRID("blank")], at[MRID("low")], *ground.spots[MRID("low")]):
        assert metres(ground, one, at[MRID("top")]) < 25


def test_premises_say_where_their_device_is() -> None:
    """A model that places houses and no transformers has places too."""
    roots = [a_node("a", None, spots=((10.0, 60.0), (10.02, 60.0)))]
    assert has_places(roots)
    assert degrees(survey(roots), survey(roots).devices[MRID("a")]) == pytest.approx((10.01, 60.0), abs=1e-4)
    assert not has_places([a_node("a", None, spots=(None,))])


def test_no_two_things_are_at_one_place() -> None:
    """Thirty flats in one house are thirty signs, once one is close enough."""
    flats = ((10.0, 60.0),) * 30
    ground = survey([a_node("a", (10.0, 60.0), spots=flats)])
    places = [*ground.devices.values(), *ground.spots[MRID("a")]]
    nearest = min(metres(ground, one, other) for one, other in combinations(places, 2))
    assert nearest > 4
    assert max(metres(ground, one, places[0]) for one in places) < 50
    assert all(0 < x < ground.width and 0 < y < ground.height for x, y in places)


@pytest.mark.parametrize("position", [(564_300.0, 5_934_000.0), (12.0, 5_934_000.0)])
def test_what_cannot_be_degrees_is_a_plane(position: Position) -> None:
    """Metres of a projection are drawn to scale, with north above and no tiles."""
    x, y = position
    ground = survey([a_node("a", position, a_node("b", (x + 500, y)), a_node("c", (x, y + 1000)))])
    a, b, c = (ground.devices[MRID(name)] for name in "abc")
    assert ground.bounds is None
    assert (a[1] - c[1]) / (b[0] - a[0]) == pytest.approx(2)
    assert (b[1], c[0]) == pytest.approx((a[1], a[0]))


def test_a_single_place_is_seen_with_its_surroundings() -> None:
    """And not at a scale without end."""
    ground = survey([a_node("a", (10.0, 60.0))])
    assert ground.bounds is not None
    south, _, north, _ = ground.bounds
    assert (north - south) / 360 * EARTH_METRES == pytest.approx(300, rel=0.01)
