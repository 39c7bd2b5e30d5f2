"""A distribution network as a file describes it: sources, devices, lines, and the points where customers are supplied.

Nodes are places where things are joined; they have no meaning of their own, and their names are compared and nothing
else. Phases are not told apart: where one phase leads, all lead. Which device feeds which is not said here: that
follows from the trace.

Source: the classes are those of IEC 61970-301 and IEC 61968-11; the choice of what is a device of an outage is ours.
"""

from datetime import datetime
from enum import StrEnum

import msgspec

from cimcare.errors import Finding
from cimcare.model.identity import MRID

__all__ = [
    "MOST_CUSTOMERS",
    "Device",
    "DeviceKind",
    "Line",
    "MeterEvent",
    "Network",
    "NetworkReading",
    "Position",
    "ServicePoint",
]

MOST_CUSTOMERS = 1_000_000
"""Customers of one point of supply; more of them are a mistake, or a network of its own."""

Position = tuple[float, float]
"""Where something is: x and y, in whatever coordinates the file has."""


class DeviceKind(StrEnum):
    """What can be the cause of an outage, or end it."""

    SOURCE = "source"
    BREAKER = "breaker"
    RECLOSER = "recloser"
    SECTIONALIZER = "sectionalizer"
    SWITCH = "switch"
    FUSE = "fuse"
    TRANSFORMER = "transformer"

    @property
    def has_contacts(self) -> bool:
        """Whether it can be opened and closed: all can but sources and transformers."""
        return self not in (DeviceKind.SOURCE, DeviceKind.TRANSFORMER)


class Device(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A device that feeds what is below it.

    `name` is unique in the network. `nodes` are those that it joins while it is closed, the side of the supply first
    where the file knows it; a source has one. `feeder` names the feeder to which it belongs, empty if the file does not
    say.
    """

    mrid: MRID
    name: str
    kind: DeviceKind
    nodes: tuple[str, ...]
    feeder: str = ""
    is_open: bool = False
    is_normally_open: bool = False
    position: Position | None = None


class ServicePoint(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A point where customers are supplied: a usage point, and the service location to which it belongs.

    `name`, `location` and `meter` are names, empty where there is none. `customers` is zero to `MOST_CUSTOMERS`; where
    several are supplied by one point of the model, it stands for all of them. `is_critical` says that somebody there
    depends on supply. `position` is that of the service location.
    """

    mrid: MRID
    name: str
    node: str
    location_mrid: MRID | None = None
    location: str = ""
    meter: str = ""
    customers: int = 1
    is_critical: bool = False
    position: Position | None = None


Line = tuple[str, str]
"""Two nodes that are joined for good: a line, a cable, a bus bar, a regulator."""


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """A whole network, in the order of the file. `crs` names the system of coordinates, empty if it is not said."""

    devices: tuple[Device, ...] = ()
    lines: tuple[Line, ...] = ()
    points: tuple[ServicePoint, ...] = ()
    crs: str = ""


class NetworkReading(msgspec.Struct, frozen=True, kw_only=True):
    """What came of reading files. `network` is None if a finding is fatal."""

    network: Network | None
    findings: tuple[Finding, ...] = ()


class MeterEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What a meter says of its supply. `point` names the usage point or the meter; `at` is aware, in UTC."""

    point: str
    is_off: bool
    at: datetime
