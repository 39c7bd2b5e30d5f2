"""A network as CIM RDF/XML: one model in one file or several; bytes in, value out.

Every device is told by its class: breakers, reclosers, fuses and the like, energy sources, and transformers that supply
low voltage. Whatever else has two terminals joins its nodes for good: line segments, and also regulators and substation
transformers, which stand in the way of supply but are not what an outage is put down to. Ground switches and what has
one terminal join nothing. Generators and batteries are not sources.

Source: IEC 61970-552 for the form; classes and members of IEC 61970-301 and IEC 61968-11, as in CIM16 and CIM100.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import TypeVar

import msgspec

from cimcare.codec.limits import Limits
from cimcare.codec.rdf import CimModel, CimObject
from cimcare.model.identity import MRID
from cimcare.model.network import (
    MOST_CUSTOMERS,
    Device,
    DeviceKind,
    Line,
    Network,
    NetworkReading,
    Position,
    ServicePoint,
)

__all__ = ["HIGHEST_LOW_VOLTAGE", "RDF_LIMITS", "parse_network_rdf"]

RDF_LIMITS = Limits(max_bytes=2**31, max_elements=100_000_000, max_attributes=100_000_000)
"""A model is a file of an operator, not a message of a stranger, and may be large."""

HIGHEST_LOW_VOLTAGE = 1000.0
"""Volts; a transformer with an end at or below it supplies customers (IEC 60050-601: low voltage)."""

NamedT = TypeVar("NamedT", Device, ServicePoint)

_HIGHEST_KILOVOLTS = 1200.0

_SWITCHES = {
    "Breaker": DeviceKind.BREAKER,
    "DisconnectingCircuitBreaker": DeviceKind.BREAKER,
    "Recloser": DeviceKind.RECLOSER,
    "Sectionaliser": DeviceKind.SECTIONALIZER,
    "Fuse": DeviceKind.FUSE,
    "LoadBreakSwitch": DeviceKind.SWITCH,
    "Disconnector": DeviceKind.SWITCH,
    "Jumper": DeviceKind.SWITCH,
    "Cut": DeviceKind.SWITCH,
    "ProtectedSwitch": DeviceKind.SWITCH,
    "Switch": DeviceKind.SWITCH,
}
_SOURCES = ("EnergySource", "ExternalNetworkInjection")
_CONSUMERS = ("EnergyConsumer", "ConformLoad", "NonConformLoad")
_NO_LINES = (*_SWITCHES, *_SOURCES, *_CONSUMERS, "GroundDisconnector", "PowerTransformer")
_FEEDERS = ("Feeder", "Line")

_MEMBERS = frozenset(
    {
        "IdentifiedObject.mRID",
        "IdentifiedObject.name",
        "ACDCTerminal.connected",
        "ACDCTerminal.sequenceNumber",
        "Terminal.sequenceNumber",
        "Terminal.ConductingEquipment",
        "Terminal.ConnectivityNode",
        "Terminal.TopologicalNode",
        "Equipment.EquipmentContainer",
        "PowerSystemResource.Location",
        "Switch.open",
        "Switch.normalOpen",
        "SwitchPhase.closed",
        "SwitchPhase.normalOpen",
        "SwitchPhase.Switch",
        "Feeder.NormalHeadTerminal",
        "PowerTransformerEnd.PowerTransformer",
        "PowerTransformerEnd.ratedU",
        "TransformerTank.PowerTransformer",
        "TransformerTankEnd.TransformerTank",
        "TransformerEnd.BaseVoltage",
        "TransformerEnd.endNumber",
        "TransformerEnd.Terminal",
        "BaseVoltage.nominalVoltage",
        "EnergyConsumer.customerCount",
        "UsagePoint.Equipments",
        "UsagePoint.ServiceLocation",
        "Equipment.UsagePoints",
        "ServiceLocation.UsagePoints",
        "EndDevice.UsagePoint",
        "PositionPoint.Location",
        "PositionPoint.sequenceNumber",
        "PositionPoint.xPosition",
        "PositionPoint.yPosition",
        "Location.CoordinateSystem",
        "CoordinateSystem.crsUrn",
    }
)
"""Members that are read."""

_PASSED_OVER = frozenset({"ACLineSegmentPhase", "EnergyConsumerPhase", "PhaseImpedanceData", "PerLengthPhaseImpedance"})
"""Classes of which models have many and from which nothing is needed."""


def parse_network_rdf(files: Iterable[tuple[str, bytes]], limits: Limits = RDF_LIMITS) -> NetworkReading:
    """Read a network from the files of one model, or of several models that belong together.

    Findings: REF-120 no CIM model, REF-121 a value missing or unreadable, REF-123 a reference to an object that is in
    none of the files; as warning, what is left out because it is connected to nothing; REF-128, a name that several
    devices or points share and that was made unique by that of its feeder.

    Args:
        files: Names and contents; the names appear in findings.
        limits: Bounds of each file.

    Raises:
        InputError: A file is no XML, or over a limit (XML-101 to XML-110).
    """
    model = CimModel(_MEMBERS, _PASSED_OVER)
    for name, raw in files:
        model.read(name, raw, limits)
    network = Network() if model.is_unusable else _Builder(model).build()
    return NetworkReading(network=None if model.is_unusable else network, findings=tuple(model.findings))


class _Builder:
    """Makes the network of a model."""

    def __init__(self, model: CimModel) -> None:
        self._model = model
        self._positions = self._read_positions()
        self._terminals = self._read_terminals()

    def build(self) -> Network:
        """The network; not to be used if there are fatal findings."""
        model = self._model
        phases = self._referring("SwitchPhase", "SwitchPhase.Switch")
        devices = [self._device(identity, one, DeviceKind.SOURCE) for identity, one in model.of(*_SOURCES)]
        if not devices:
            devices = [self._head(one) for _, one in model.of("Feeder") if one.one("Feeder.NormalHeadTerminal")]
        devices += [self._switch(identity, one, phases.get(identity, ())) for identity, one in model.of(*_SWITCHES)]
        lines = list(self._lines())
        for identity, one in model.of("PowerTransformer"):
            if self._supplies_low_voltage(identity):
                devices.append(self._device(identity, one, DeviceKind.TRANSFORMER))
            else:
                lines += _pairs(self._nodes(identity))
        named = [one for one in devices if one is not None]
        return Network(
            devices=tuple(self._unique(named, "device", {one.mrid: one.feeder for one in named})),
            lines=tuple(lines),
            points=tuple(self._unique(list(self._points()), "point", self._feeders_of_points)),
            crs=next((one.one("CoordinateSystem.crsUrn") for _, one in model.of("CoordinateSystem")), ""),
        )

    def _read_positions(self) -> dict[str, Position]:
        """The first position of each location."""
        first: dict[str, tuple[float, Position]] = {}
        for _, one in self._model.of("PositionPoint"):
            number = self._model.number(one, "PositionPoint.sequenceNumber") or 0.0
            x, y = (self._model.number(one, f"PositionPoint.{axis}Position") for axis in "xy")
            location = one.one("PositionPoint.Location")
            if x is not None and y is not None and (location not in first or number < first[location][0]):
                first[location] = (number, (x, y))
        return {location: position for location, (_, position) in first.items()}

    def _read_terminals(self) -> dict[str, list[tuple[float, str]]]:
        """Nodes of each piece of equipment, with the number of the end or terminal."""
        model = self._model
        ends = {
            one.one("TransformerEnd.Terminal"): model.number(one, "TransformerEnd.endNumber")
            for _, one in model.of("PowerTransformerEnd", "TransformerTankEnd")
        }
        nodes: dict[str, list[tuple[float, str]]] = {}
        for identity, one in model.of("Terminal"):
            equipment = one.one("Terminal.ConductingEquipment")
            if equipment not in model.objects:
                found = f"equipment {equipment}, which is in none of the files" if equipment else "no equipment"
                model.complain("REF-123", one, "Terminal.ConductingEquipment", found, "equipment; name all files")
                continue
            node = one.one("Terminal.ConnectivityNode") or one.one("Terminal.TopologicalNode")
            if not node or model.truth(one, "ACDCTerminal.connected") is False:
                continue
            number = ends.get(identity)
            if number is None:
                number = model.number(one, "ACDCTerminal.sequenceNumber") or 0.0
            nodes.setdefault(equipment, []).append((number, node))
        return nodes

    def _nodes(self, equipment: str) -> tuple[str, ...]:
        """Nodes that equipment joins, in the order of its ends, each once."""
        found = sorted(self._terminals.get(equipment, ()), key=lambda end: end[0])
        return tuple(dict.fromkeys(node for _, node in found))

    def _referring(self, name: str, member: str) -> dict[str, list[CimObject]]:
        """Objects of a class by what they refer to."""
        found: dict[str, list[CimObject]] = {}
        for _, one in self._model.of(name):
            for target in one.members.get(member, ()):
                found.setdefault(target, []).append(one)
        return found

    def _device(
        self,
        identity: str,
        one: CimObject,
        kind: DeviceKind,
        *,
        is_open: bool = False,
        is_normally_open: bool = False,
    ) -> Device | None:
        nodes = self._nodes(identity)
        if not nodes:
            self._leave_out(one)
            return None
        return Device(
            mrid=one.mrid,
            name=one.label,
            kind=kind,
            nodes=nodes[:1] if kind is DeviceKind.SOURCE else nodes,
            feeder=self._feeder_of(one),
            is_open=is_open,
            is_normally_open=is_normally_open,
            position=self._positions.get(one.one("PowerSystemResource.Location")),
        )

    def _leave_out(self, one: CimObject) -> None:
        self._model.complain(
            "REF-123", one, "", "no terminal that is connected to a node; it is left out", "a Terminal", warns=True
        )

    def _switch(self, identity: str, one: CimObject, phases: Iterable[CimObject]) -> Device | None:
        """A switch: open if it says so, failing that if all its phases are, failing that if it normally is."""
        truth = self._model.truth
        normally = truth(one, "Switch.normalOpen")
        if normally is None:
            states = [truth(phase, "SwitchPhase.normalOpen") for phase in phases]
            normally = bool(states) and all(states)
        now = truth(one, "Switch.open")
        if now is None:
            closed = [truth(phase, "SwitchPhase.closed") for phase in phases]
            now = not any(closed) if any(state is not None for state in closed) else normally
        return self._device(identity, one, _SWITCHES[one.name], is_open=now, is_normally_open=normally)

    def _head(self, feeder: CimObject) -> Device | None:
        """The head of a feeder as source, for a model that ends there."""
        terminal = self._model.objects.get(feeder.one("Feeder.NormalHeadTerminal"))
        node = terminal.one("Terminal.ConnectivityNode") if terminal is not None else ""
        if not node:
            self._leave_out(feeder)
            return None
        return Device(mrid=feeder.mrid, name=feeder.label, kind=DeviceKind.SOURCE, nodes=(node,), feeder=feeder.label)

    def _lines(self) -> Iterator[Line]:
        """What joins nodes for good: whatever has two terminals and is no device."""
        for equipment in self._terminals:
            if self._model.objects[equipment].name not in _NO_LINES:
                yield from _pairs(self._nodes(equipment))

    @cached_property
    def _voltages(self) -> dict[str, list[float]]:
        """Volts of the ends of each transformer, as far as they are said.

        CIM16 has kilovolts where other models have volts, and does not say so. No network is above 1200 kV, and none
        with transformers has nothing above 1200 V.
        """
        model = self._model
        base = {identity: model.number(one, "BaseVoltage.nominalVoltage") for identity, one in model.of("BaseVoltage")}
        banks = {identity: one.one("TransformerTank.PowerTransformer") for identity, one in model.of("TransformerTank")}
        found: dict[str, list[float]] = {}
        for _, one in model.of("PowerTransformerEnd", "TransformerTankEnd"):
            tank = one.one("TransformerTankEnd.TransformerTank")
            owner = one.one("PowerTransformerEnd.PowerTransformer") or banks.get(tank, "")
            volts = model.number(one, "PowerTransformerEnd.ratedU") or base.get(one.one("TransformerEnd.BaseVoltage"))
            if volts:
                found.setdefault(owner, []).append(volts)
        every = [volts for ends in found.values() for volts in ends] + [volts for volts in base.values() if volts]
        factor = 1000.0 if max(every, default=0.0) <= _HIGHEST_KILOVOLTS else 1.0
        return {owner: [factor * volts for volts in ends] for owner, ends in found.items()}

    def _supplies_low_voltage(self, transformer: str) -> bool:
        """Whether it goes down to low voltage; also if nothing is known of its ends."""
        volts = self._voltages.get(transformer)
        return not volts or (min(volts) <= HIGHEST_LOW_VOLTAGE and min(volts) < max(volts))

    def _feeder_of(self, one: CimObject) -> str:
        container = self._model.objects.get(one.one("Equipment.EquipmentContainer"))
        return container.label if container is not None and container.name in _FEEDERS else ""

    def _points(self) -> Iterator[ServicePoint]:
        """Usage points where the model has them, failing that consumers."""
        model = self._model
        self._feeders_of_points: dict[MRID, str] = {}
        usage = self._referring("UsagePoint", "UsagePoint.Equipments")
        for _, one in model.of(*_CONSUMERS, "PowerTransformer"):
            for identity in one.members.get("Equipment.UsagePoints", ()):
                if identity in model.objects:
                    usage.setdefault(one.identity, []).append(model.objects[identity])
        meters = self._referring("Meter", "EndDevice.UsagePoint") | self._referring("EndDevice", "EndDevice.UsagePoint")
        places = self._referring("ServiceLocation", "ServiceLocation.UsagePoints")
        for identity, one in model.of(*_CONSUMERS, "PowerTransformer"):
            own = {point.identity: point for point in usage.get(identity, ())}
            if one.name == "PowerTransformer" and not own:
                continue
            nodes = self._nodes(identity)
            if not nodes:
                self._leave_out(one)
                continue
            count = self._customers(one) if len(own) < 2 else 1
            for point in own.values() or (one,):
                self._feeders_of_points[point.mrid] = self._feeder_of(one)
                place = model.objects.get(point.one("UsagePoint.ServiceLocation"))
                place = place or next(iter(places.get(point.identity, ())), None)
                meter = next(iter(meters.get(point.identity, ())), None)
                yield ServicePoint(
                    mrid=point.mrid,
                    name=point.label,
                    node=nodes[-1],
                    location_mrid=place.mrid if place is not None else None,
                    location=place.one("IdentifiedObject.name") if place is not None else "",
                    meter=meter.one("IdentifiedObject.name") if meter is not None else "",
                    customers=count,
                    position=self._positions.get(
                        place.identity if place is not None else one.one("PowerSystemResource.Location")
                    ),
                )

    def _customers(self, one: CimObject) -> int:
        """Customers of a consumer; one where it does not say."""
        number = self._model.number(one, "EnergyConsumer.customerCount")
        if number is None:
            return 1
        if not 0 <= number <= MOST_CUSTOMERS or number != int(number):
            found = one.one("EnergyConsumer.customerCount")
            self._model.complain(
                "REF-121", one, "EnergyConsumer.customerCount", found, f"a whole number, 0 to {MOST_CUSTOMERS:,}"
            )
            return 1
        return int(number)

    def _unique(self, items: list[NamedT], what: str, feeders: Mapping[MRID, str]) -> Iterator[NamedT]:
        """The same with names that are unique: with the feeder in front, and where that will not do the mRID behind."""
        counts = Counter(item.name for item in items)
        wide = {item.mrid: f"{feeders.get(item.mrid, '')}.{item.name}".lstrip(".") for item in items}
        wider = Counter(wide[item.mrid] for item in items if counts[item.name] > 1)
        for item in items:
            if counts[item.name] == 1:
                yield item
                continue
            name = wide[item.mrid]
            if wider[name] > 1 or name in counts:
                name = f"{name} {item.mrid}"
            found = f"{counts[item.name]} {what}s are called {item.name}; this one is kept as {name}"
            self._model.tell("REF-128", f"{what} {item.name}", None, found, "a name that is used once")
            yield msgspec.structs.replace(item, name=name)


def _pairs(nodes: tuple[str, ...]) -> list[Line]:
    return [(nodes[0], other) for other in nodes[1:]]
