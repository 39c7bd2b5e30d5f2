"""The network as the outage management keeps it: devices with their way to the source, and points of supply.

Everything that a call needs is found in a bounded number of look-ups, whatever the size of the network: the way up is
kept with each device. What is not in the model is None and never guessed.
"""

from collections.abc import AsyncIterator, Iterable, Sequence

import msgspec

from cimcare.exchange.ports import Collection, Key, Records, Selection, Stored
from cimcare.model.identity import MRID, Name, NameType
from cimcare.model.network import DeviceKind, Position
from cimcare.systems.identity import Label, label_of, lookup_keys, stored_keys

__all__ = [
    "DEVICES",
    "DEVICE_TYPE",
    "PLACE_SORTS",
    "SERVICE_POINTS",
    "DeviceRecord",
    "ServicePointRecord",
    "Supply",
    "device_keys",
    "find_device",
    "find_path",
    "find_point",
    "find_supply",
    "find_supply_below",
    "find_supply_of_place",
    "find_way",
    "names_of_device",
    "point_keys",
    "points_below",
]

DEVICE_TYPE = "Device"
"""Type of the name of a device in messages."""

PLACE_SORTS = ("usage-point", "service-location")
"""Keys of a place that name a point of supply, the more exact first."""

_MOST_POINTS = 100
"""Points looked at for one place. A place with more of them is a street, not premises."""


_MOST_CHILDREN = 1_000_000
"""Devices that one device may feed: as many as there are."""


class DeviceRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A device, and what the trace says of it.

    `upstream` is the next device towards the source, `path` all of them, nearest first, without the device itself; the
    last one is a source. Where the supply is cut by switches that are open, the path is the one by which it would come
    were they closed: first those that are normally closed, and only then those that are normally open. `is_fed` says
    whether it comes now. Without any way to a source `path` is empty.

    `customers` and `critical` count all that are below. `branches` says how they are spread: pairs of the customers of
    a branch and the number of such branches, where a branch is a device fed by this one, or a point of supply with no
    other device between. `direct` customers have no other device between. `spots` are pairs of the direct customers of
    a device and the number of such devices, of this one and all below it. `near` customers are the direct ones of the
    devices that it feeds next, and `laterals` stand to them as `spots` to the direct ones. `parts` are the pieces of
    the network that the device joins (`NetworkPart`).
    """

    mrid: MRID
    name: str
    names: tuple[Name, ...]
    kind: DeviceKind
    feeder: str = ""
    upstream: MRID | None = None
    path: tuple[MRID, ...] = ()
    customers: int = 0
    critical: int = 0
    branches: tuple[tuple[int, int], ...] = ()
    direct: int = 0
    spots: tuple[tuple[int, int], ...] = ()
    near: int = 0
    laterals: tuple[tuple[int, int], ...] = ()
    is_open: bool = False
    is_normally_open: bool = False
    position: Position | None = None
    is_fed: bool = True
    parts: tuple[MRID, ...] = ()


class ServicePointRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A point of supply. `mrid` and `names` are those of the usage point; `meter` is the name of a meter there.

    `device` is the nearest device above; None where nothing joins the point to a device. `section` is the piece of the
    network between devices in which it lies.
    """

    mrid: MRID
    names: tuple[Name, ...] = ()
    location_mrid: MRID | None = None
    location_names: tuple[Name, ...] = ()
    meter: str = ""
    device: MRID | None = None
    section: str = ""
    customers: int = 1
    is_critical: bool = False
    position: Position | None = None


DEVICES: Collection[DeviceRecord] = Collection("oms.Devices", DeviceRecord)
SERVICE_POINTS: Collection[ServicePointRecord] = Collection("oms.ServicePoints", ServicePointRecord)


class Supply(msgspec.Struct, frozen=True, kw_only=True):
    """What supplies a place, as far as the model knows.

    `device` is the nearest one and the first of `path`; the others follow up to the source.
    """

    point: ServicePointRecord | None = None
    device: DeviceRecord | None = None
    path: tuple[DeviceRecord, ...] = ()


def names_of_device(name: str) -> tuple[Name, ...]:
    """The name of a device, as messages have it."""
    return (Name(name=name, name_type=NameType(name=DEVICE_TYPE)),)


def device_keys(device: DeviceRecord) -> frozenset[Key]:
    """Keys of a device: its names, `device` with the bare name, `feeder`, and `upstream` with the mRID of the next."""
    keys = {Key("device", device.name), *stored_keys("name", (label_of(name) for name in device.names))}
    if device.feeder:
        keys.add(Key("feeder", device.feeder))
    if device.upstream is not None:
        keys.add(Key("upstream", device.upstream))
    return frozenset(keys)


def point_keys(point: ServicePointRecord) -> frozenset[Key]:
    """Keys under which a point is found: usage point and service location by mRID and by name, meter, and device.

    Without a device the section takes its place. There may be very many points, so there is one key for a name and no
    more: without its type and authority. Whoever asks by a whole name asks by the bare one too.
    """
    keys = {Key("usage-point", point.mrid)} | _bare("usage-point", point.names)
    keys |= _bare("service-location", point.location_names)
    if point.location_mrid is not None:
        keys.add(Key("service-location", point.location_mrid))
    if point.meter:
        keys.add(Key("meter", point.meter))
    if point.device is not None:
        keys.add(Key("device", point.device))
    else:
        keys.add(Key("section", point.section))
    return frozenset(keys)


def _bare(sort: str, names: tuple[Name, ...]) -> frozenset[Key]:
    return stored_keys(sort, (Label("", "", name.name) for name in names if name.name))


async def find_device(records: Records, name: str) -> Stored[DeviceRecord] | None:
    """The device with this name or mRID; None if the model has none."""
    found = await records.find_by_key(DEVICES, Key("device", name))
    return found[0] if found else await records.find(DEVICES, MRID(name))


async def find_path(records: Records, device: DeviceRecord) -> tuple[DeviceRecord, ...]:
    """The device and all above it, nearest first."""
    if not device.path:
        return (device,)
    found = await records.select(DEVICES, Selection(mrids=device.path, limit=len(device.path)))
    by_mrid = {stored.mrid: stored.body for stored in found}
    return (device, *(by_mrid[mrid] for mrid in device.path if mrid in by_mrid))


async def find_supply(records: Records, keys: Iterable[Key], transformer: str | None = None) -> Supply:
    """What supplies the place that these keys mean, failing that what is below the transformer of this name.

    At most four look-ups.

    Args:
        records: Objects of the store.
        keys: Keys of one place: those of the sorts `usage-point` and `service-location` are looked at.
        transformer: Name of the transformer, from a directory that knows the place where the model does not.
    """
    supply = await find_supply_of_place(records, keys)
    if supply is None:
        supply = await find_supply_below(records, transformer) if transformer else Supply()
    return supply


async def find_supply_of_place(records: Records, keys: Iterable[Key]) -> Supply | None:
    """What supplies the place that these keys mean; None if the model does not know it.

    A place may have several points. Where they hang on several devices, the nearest device above all of them counts,
    and no single point.
    """
    wanted = sorted(set(keys))
    for sort in PLACE_SORTS:
        group = tuple(key for key in wanted if key.sort == sort)
        if not group:
            continue
        found = await records.select(SERVICE_POINTS, Selection(keys=(group,), limit=_MOST_POINTS))
        if found:
            return await _supply_of(records, [stored.body for stored in found])
    return None


async def find_supply_below(records: Records, device: str) -> Supply:
    """The supply of what is directly below the device of this name; empty if the model does not know it."""
    stored = await find_device(records, device)
    return Supply() if stored is None else Supply(device=stored.body, path=await find_path(records, stored.body))


async def find_point(records: Records, name: str) -> ServicePointRecord | None:
    """The one point that this names: name or mRID of the usage point, failing that name of the meter; None if none."""
    usage_point = Label("", "", name)
    for key in (Key("usage-point", name), *lookup_keys("usage-point", None, (usage_point,)), Key("meter", name)):
        found = await records.select(SERVICE_POINTS, Selection(keys=((key,),), limit=2))
        if len(found) == 1:
            return found[0].body
    return None


async def find_way(records: Records, name: str) -> Supply:
    """What supplies whatever this names: a device, a usage point, a meter or a service location; empty if nothing."""
    supply = await find_supply_below(records, name)
    if supply.device is not None:
        return supply
    point = await find_point(records, name)
    if point is not None:
        return await _supply_of(records, [point])
    sort = "service-location"
    return await find_supply(records, (Key(sort, name), *lookup_keys(sort, None, (Label("", "", name),))))


async def _supply_of(records: Records, points: Sequence[ServicePointRecord]) -> Supply:
    point = points[0] if len(points) == 1 else None
    own = tuple(dict.fromkeys(one.device for one in points if one.device is not None))
    if not own:
        return Supply(point=point)
    stored = await records.select(DEVICES, Selection(mrids=own, limit=len(own)))
    if not stored:
        return Supply(point=point)
    path = await find_path(records, stored[0].body)
    for other in stored[1:]:
        above = {other.mrid, *other.body.path}
        path = tuple(device for device in path if device.mrid in above)
    return Supply(point=point, device=path[0] if path else None, path=path)


async def points_below(
    records: Records, device: MRID, after: MRID | None = None, limit: int = 1000
) -> tuple[ServicePointRecord, ...]:
    """Points below a device, at most `limit` of them; `after` is the last point of the page before.

    Depth first, in the order in which devices and points were created. The cost follows the number of devices passed.
    """
    page: list[ServicePointRecord] = []
    async for each, start in _walk(records, device, after):
        page.extend(await _points_of(records, each, start, limit - len(page)))
        if len(page) >= limit:
            break
    return tuple(page)


async def _points_of(records: Records, device: MRID, after: MRID | None, limit: int) -> tuple[ServicePointRecord, ...]:
    selection = Selection(keys=((Key("device", device),),), after=after, limit=limit)
    return tuple(stored.body for stored in await records.select(SERVICE_POINTS, selection))


async def _walk(records: Records, top: MRID, after: MRID | None) -> AsyncIterator[tuple[MRID, MRID | None]]:
    """Devices from `top` down, depth first, each with the point after which to go on in it."""
    if after is None:
        yield top, None
        async for child in _below(records, top, None):
            yield child, None
        return
    point = await records.find(SERVICE_POINTS, after)
    stored = await records.find(DEVICES, point.body.device) if point is not None and point.body.device else None
    if stored is None:
        return
    yield stored.mrid, after
    async for child in _below(records, stored.mrid, None):
        yield child, None
    done = stored.mrid
    if done == top:
        return
    for above in stored.body.path:
        async for child in _below(records, above, done):
            yield child, None
        done = above
        if above == top:
            return


async def _below(records: Records, top: MRID, after: MRID | None) -> AsyncIterator[MRID]:
    """All devices below `top`, depth first; with `after`, only what comes behind this child of it."""
    levels = [await _children(records, top, after)]
    while levels:
        if not levels[-1]:
            levels.pop()
            continue
        child = levels[-1].pop()
        yield child
        levels.append(await _children(records, child, None))


async def _children(records: Records, device: MRID, after: MRID | None) -> list[MRID]:
    """Devices that this one feeds, the last one first."""
    selection = Selection(keys=((Key("upstream", device),),), after=after, limit=_MOST_CHILDREN)
    return [stored.mrid for stored in reversed(await records.select(DEVICES, selection))]
