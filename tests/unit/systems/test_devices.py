"""The network as kept: what supplies a place, in few look-ups; what the model does not know is not invented."""

import msgspec
import pytest

from cimcare.exchange.ports import Key, Stored
from cimcare.model.identity import MRID, Name
from cimcare.model.network import DeviceKind
from cimcare.store.memory import MemoryRecords
from cimcare.systems.identity import Label, stored_keys
from cimcare.systems.oms.devices import (
    DEVICES,
    SERVICE_POINTS,
    DeviceRecord,
    ServicePointRecord,
    Supply,
    device_keys,
    find_device,
    find_supply,
    names_of_device,
    point_keys,
    points_below,
)
from tests.unit.systems.utility import MONDAY, mrid

UPSTREAM = {"S": None, "B": "S", "F1": "B", "F2": "B", "T1": "F1", "T2": "F1", "T3": "F2"}
"""A breaker below a source, two fuses below the breaker, three transformers below the fuses."""


def a_device(name: str) -> DeviceRecord:
    path: list[MRID] = []
    above = UPSTREAM[name]
    while above is not None:
        path.append(mrid(above))
        above = UPSTREAM[above]
    return DeviceRecord(
        mrid=mrid(name),
        name=f"dev-{name}",
        names=names_of_device(f"dev-{name}"),
        kind=DeviceKind.FUSE,
        upstream=path[0] if path else None,
        path=tuple(path),
    )


def a_point(name: str, device: str | None, location: str = "") -> ServicePointRecord:
    return ServicePointRecord(
        mrid=mrid(f"mrid-{name}"),
        names=(Name(name=name),),
        location_names=(Name(name=location),) if location else (),
        device=mrid(device) if device is not None else None,
    )


async def save(records: MemoryRecords, *points: ServicePointRecord) -> None:
    for name in UPSTREAM:
        device = a_device(name)
        await records.save(
            DEVICES,
            Stored(mrid=device.mrid, body=device, created_at=MONDAY, modified_at=MONDAY, keys=device_keys(device)),
        )
    for point in points:
        await records.save(
            SERVICE_POINTS,
            Stored(mrid=point.mrid, body=point, created_at=MONDAY, modified_at=MONDAY, keys=point_keys(point)),
        )


def keys_of(sort: str, name: str) -> frozenset[Key]:
    return stored_keys(sort, (Label("Northlake CIS", "Number", name),))


def shown(supply: Supply) -> list[str]:
    return [str(device.mrid) for device in supply.path]


async def test_a_place_is_found_by_usage_point_with_its_way_up() -> None:
    """Grouping moves a suspicion up along this path."""
    records = MemoryRecords()
    await save(records, a_point("UP-1", "T1"), a_point("UP-2", "T3"))

    supply = await find_supply(records, keys_of("usage-point", "UP-1"))

    assert supply.point is not None
    assert supply.point.mrid == "mrid-UP-1"
    assert supply.device is not None
    assert supply.device.mrid == "T1"
    assert shown(supply) == ["T1", "F1", "B", "S"]


@pytest.mark.parametrize(
    "keys",
    [
        {Key("usage-point", "mrid-UP-1")},
        keys_of("service-location", "SL-1"),
        {Key("customer", "c"), *keys_of("service-location", "SL-1"), *keys_of("usage-point", "unknown")},
    ],
)
async def test_any_key_of_the_place_will_do(keys: set[Key]) -> None:
    """A caller may be known by location alone, and the model by the meter point alone."""
    records = MemoryRecords()
    await save(records, a_point("UP-1", "T1", "SL-1"), a_point("UP-2", "T3", "SL-2"))
    assert shown(await find_supply(records, keys)) == ["T1", "F1", "B", "S"]


async def test_several_points_of_a_place_mean_the_nearest_device_above_all() -> None:
    """A farm with two connections: what is said of it must hold for both."""
    records = MemoryRecords()
    await save(
        records,
        a_point("UP-1", "T1", "twins"),
        a_point("UP-2", "T1", "twins"),
        a_point("UP-3", "T1", "farm"),
        a_point("UP-4", "T2", "farm"),
        a_point("UP-5", "T1", "estate"),
        a_point("UP-6", "T3", "estate"),
    )
    for location, path in (("twins", ["T1", "F1", "B", "S"]), ("farm", ["F1", "B", "S"]), ("estate", ["B", "S"])):
        supply = await find_supply(records, keys_of("service-location", location))
        assert supply.point is None
        assert supply.device is not None
        assert shown(supply) == path


async def test_the_transformer_of_the_directory_counts_where_the_model_has_no_point() -> None:
    """A model may end at the transformers; the directory of premises knows which one."""
    records = MemoryRecords()
    await save(records)
    supply = await find_supply(records, keys_of("usage-point", "UP-1"), "dev-T3")
    assert supply.point is None
    assert shown(supply) == ["T3", "F2", "B", "S"]


async def test_what_is_not_in_the_model_is_none() -> None:
    """Unknown is said to be unknown, and a point without supply keeps its identity."""
    records = MemoryRecords()
    await save(records, a_point("UP-1", None), a_point("UP-2", "dropped"))
    assert await find_supply(records, keys_of("usage-point", "UP-9"), "dev-T9") == Supply()
    assert await find_supply(records, ()) == Supply()
    for name in ("UP-1", "UP-2"):
        supply = await find_supply(records, keys_of("usage-point", name))
        assert supply.point is not None
        assert (supply.device, supply.path) == (None, ())


async def test_devices_are_found_by_name_and_by_mrid() -> None:
    """Tickets name devices, records hold mRIDs."""
    records = MemoryRecords()
    await save(records)
    for asked in ("dev-F1", "F1"):
        stored = await find_device(records, asked)
        assert stored is not None
        assert stored.body.name == "dev-F1"
    assert await find_device(records, "F9") is None


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
@pytest.mark.parametrize(("top", "expected"), [("B", 9), ("F1", 5), ("T1", 2), ("F2", 3), ("S", 10)])
async def test_points_below_come_in_pages_each_once(limit: int, top: str, expected: int) -> None:
    """All that a device feeds are told when it is restored, however many pages that takes."""
    records = MemoryRecords()
    hung = ("S", "B", "F1", "T1", "T1", "T2", "T2", "F2", "T3", "T3")
    await save(records, *(a_point(f"UP-{at}", device) for at, device in enumerate(hung)))
    found: list[MRID] = []
    after = None
    while page := await points_below(records, mrid(top), after, limit):
        assert len(page) <= limit
        found += [point.mrid for point in page]
        after = page[-1].mrid
    assert len(found) == expected == len(set(found))


async def test_nothing_comes_behind_a_point_that_is_gone() -> None:
    """A page after a point that an import removed is the last one, not an error."""
    records = MemoryRecords()
    await save(records, a_point("UP-1", "T1"))
    assert await points_below(records, mrid("S"), mrid("gone")) == ()


async def test_a_place_costs_few_look_ups() -> None:
    """Each call passes here: what it costs must not follow the size of the network."""

    class Counting(MemoryRecords):
        asked = 0

        async def select(self, *wanted: object) -> object:  # type: ignore[override]
            self.asked += 1
            return await super().select(*wanted)  # type: ignore[arg-type]

    records = Counting()
    await save(records, *(a_point(f"UP-{at}", "T1", f"SL-{at}") for at in range(100)))
    await find_supply(records, keys_of("service-location", "SL-70") | keys_of("usage-point", "unknown"))
    assert records.asked <= 4


def test_records_survive_the_store() -> None:
    """Bodies are kept as JSON."""
    for value in (a_device("T1"), a_point("UP-1", "T1", "SL-1")):
        assert msgspec.json.decode(msgspec.json.encode(value), type=type(value)) == value
