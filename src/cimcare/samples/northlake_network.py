"""The network of Northlake: one substation, two feeders, and a tie between their ends.

Each feeder has a breaker, `CB-11` and `CB-12`. Five lateral fuses hang on it, one a street, `F-111` to `F-115` and
`F-121` to `F-125`, each with four transformers of five premises. Behind the second street of feeder NL-11 stands the
recloser `R-11`, behind that of NL-12 the switch `SW-12`; the tie `TIE-1` between the ends is normally open.

Both feeders come from the west, south of the streets, which run northwards, and each street has its transformers on its
western side.
"""

from functools import cache

from cimcare.model.identity import MRID
from cimcare.model.network import Device, DeviceKind, Line, Network, Position, ServicePoint
from cimcare.samples.draw import mrid_for
from cimcare.samples.northlake import CRS_URN, PREMISES_COUNT, TOWN, Premises, find_premises

__all__ = ["build_network", "device_mrid"]

_SOURCE = "NL-SUB"
_STREETS = 5
_PREMISES_OF_A_STREET = 20
_POSITIONS: dict[str, Position] = {
    _SOURCE: (-87.5075, 47.5970),
    "CB-11": (-87.5030, 47.5976),
    "CB-12": (-87.5030, 47.5964),
    "R-11": (-87.4940, 47.5976),
    "SW-12": (-87.4740, 47.5964),
    "TIE-1": (-87.4630, 47.5976),
}
"""Of what stands at no street."""


def device_mrid(name: str) -> MRID:
    """The mRID of a device of the town by its name."""
    return mrid_for(TOWN, "device", name)


@cache
def build_network() -> Network:
    """The network, the same on every machine."""
    every = [find_premises(index) for index in range(PREMISES_COUNT)]
    devices: list[Device] = [_device(_SOURCE, DeviceKind.SOURCE, ("bus",), "")]
    lines: list[Line] = []
    for feeder in ("NL-11", "NL-12"):
        number = feeder.removeprefix("NL-")
        middle = ("R-11", DeviceKind.RECLOSER) if number == "11" else ("SW-12", DeviceKind.SWITCH)
        trunk = [f"trunk {number}/{street}" for street in range(1, _STREETS + 1)]
        devices.append(_device(f"CB-{number}", DeviceKind.BREAKER, ("bus", trunk[0]), feeder))
        devices.append(_device(middle[0], middle[1], (trunk[1], trunk[2]), feeder))
        lines += [(trunk[0], trunk[1]), (trunk[2], trunk[3]), (trunk[3], trunk[4])]
        own = [one for one in every if one.feeder == feeder]
        for street, node in enumerate(trunk):
            houses = own[street * _PREMISES_OF_A_STREET : (street + 1) * _PREMISES_OF_A_STREET]
            fuse = f"F-{number}{street + 1}"
            west = round(min(_position_of(one)[0] for one in houses) - 0.0006, 4)
            south = round(_position_of(houses[0])[1] - 0.0012, 4)
            devices.append(_device(fuse, DeviceKind.FUSE, (node, fuse), feeder, (west, south)))
            for name in dict.fromkeys(one.device for one in reversed(houses)):
                latitudes = [_position_of(one)[1] for one in houses if one.device == name]
                place = (west, round(sum(latitudes) / len(latitudes), 4))
                devices.append(_device(name, DeviceKind.TRANSFORMER, (fuse, name), feeder, place))
    ends = ("trunk 11/5", "trunk 12/5")
    devices.append(_device("TIE-1", DeviceKind.SWITCH, ends, "", is_open=True))
    return Network(devices=tuple(devices), lines=tuple(lines), points=tuple(_point(one) for one in every), crs=CRS_URN)


def _device(
    name: str,
    kind: DeviceKind,
    nodes: tuple[str, ...],
    feeder: str,
    position: Position | None = None,
    *,
    is_open: bool = False,
) -> Device:
    return Device(
        mrid=device_mrid(name),
        name=name,
        kind=kind,
        nodes=nodes,
        feeder=feeder,
        is_open=is_open,
        is_normally_open=is_open,
        position=position or _POSITIONS[name],
    )


def _position_of(premises: Premises) -> Position:
    return float(premises.x_position), float(premises.y_position)


def _point(premises: Premises) -> ServicePoint:
    return ServicePoint(
        mrid=premises.mrid("usage_point"),
        name=premises.usage_point,
        node=premises.device,
        location_mrid=premises.mrid("location"),
        location=premises.location,
        meter=premises.meter,
        is_critical=premises.special_need is not None,
        position=_position_of(premises),
    )
