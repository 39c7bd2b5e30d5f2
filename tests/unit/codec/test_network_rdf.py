"""A network as CIM RDF/XML: several generations of CIM, identities however they are written, and broken input."""

import re
from collections import Counter

import pytest

from cimcare.codec.limits import Limits
from cimcare.codec.network import parse_network
from cimcare.codec.network_rdf import parse_network_rdf
from cimcare.errors import InputError, Level
from cimcare.model.network import Device, DeviceKind, Network, NetworkReading
from tests.support.feeders import read_feeder

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
CIM100 = "http://iec.ch/TC57/CIM100#"
CIM16 = "http://iec.ch/TC57/2013/CIM-schema-cim16#"

MODEL = """
Substation sub IdentifiedObject.name=Hill
Feeder fd IdentifiedObject.name=North
BaseVoltage mv BaseVoltage.nominalVoltage=11000
BaseVoltage lv BaseVoltage.nominalVoltage=400
EnergySource src IdentifiedObject.name=grid Equipment.EquipmentContainer=#sub
Terminal src-t Terminal.ConductingEquipment=#src Terminal.ConnectivityNode=#n0
Breaker cb IdentifiedObject.name=CB Equipment.EquipmentContainer=#fd Switch.normalOpen=false
  PowerSystemResource.Location=#loc
Terminal cb-1 Terminal.ConductingEquipment=#cb Terminal.ConnectivityNode=#n0 ACDCTerminal.sequenceNumber=1
Terminal cb-2 Terminal.ConductingEquipment=#cb Terminal.ConnectivityNode=#n1 ACDCTerminal.sequenceNumber=2
ACLineSegment ln IdentifiedObject.name=line
Terminal ln-1 Terminal.ConductingEquipment=#ln Terminal.ConnectivityNode=#n1
Terminal ln-2 Terminal.ConductingEquipment=#ln Terminal.ConnectivityNode=#n2
PowerTransformer tx IdentifiedObject.name=TX Equipment.EquipmentContainer=#fd
PowerTransformerEnd tx-e2 PowerTransformerEnd.PowerTransformer=#tx TransformerEnd.endNumber=2
  TransformerEnd.BaseVoltage=#lv TransformerEnd.Terminal=#tx-2
PowerTransformerEnd tx-e1 PowerTransformerEnd.PowerTransformer=#tx TransformerEnd.endNumber=1
  TransformerEnd.BaseVoltage=#mv TransformerEnd.Terminal=#tx-1
Terminal tx-2 Terminal.ConductingEquipment=#tx Terminal.ConnectivityNode=#n3
Terminal tx-1 Terminal.ConductingEquipment=#tx Terminal.ConnectivityNode=#n2
EnergyConsumer ec IdentifiedObject.name=EC EnergyConsumer.customerCount=3 Equipment.EquipmentContainer=#fd
Terminal ec-t Terminal.ConductingEquipment=#ec Terminal.ConnectivityNode=#n3
Location loc Location.CoordinateSystem=#crs
CoordinateSystem crs CoordinateSystem.crsUrn=urn:ogc:def:crs:EPSG::4326
PositionPoint pp-2 PositionPoint.Location=#loc PositionPoint.sequenceNumber=2
  PositionPoint.xPosition=9 PositionPoint.yPosition=9
PositionPoint pp-1 PositionPoint.Location=#loc PositionPoint.sequenceNumber=1
  PositionPoint.xPosition=1.5 PositionPoint.yPosition=2.5
"""


def xml(rows: str, *, cim: str = CIM100, attribute: str = "ID", prefix: str = "", reference: str = "#") -> bytes:
    """RDF/XML of rows `Class id member=value ...`, indented where they go on; `#` begins a reference."""
    objects = []
    for row in rows.replace("\n  ", " ").strip().splitlines():
        name, identity, *members = row.split()
        parts = []
        for member in members:
            key, _, value = member.partition("=")
            if value.startswith("#"):
                parts.append(f'<cim:{key} rdf:resource="{reference}{prefix}{value[1:]}"/>')
            else:
                parts.append(f"<cim:{key}>{value}</cim:{key}>")
        mark = f"{reference}{prefix}" if attribute == "about" else prefix
        objects.append(f'<cim:{name} rdf:{attribute}="{mark}{identity}">\n{"".join(parts)}\n</cim:{name}>')
    head = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<rdf:RDF xmlns:rdf="{RDF}" xmlns:cim="{cim}"'
        ' xmlns:md="http://iec.ch/TC57/61970-552/ModelDescription/1#">\n'
        '<md:FullModel rdf:about="urn:uuid:0"><md:Model.version>1</md:Model.version></md:FullModel>\n'
    )
    return (head + "\n".join(objects) + "\n</rdf:RDF>\n").encode()


def read(*files: bytes) -> NetworkReading:
    return parse_network_rdf([(f"{at}.xml", raw) for at, raw in enumerate(files)])


def network_of(reading: NetworkReading) -> Network:
    assert reading.network is not None, [finding.describe() for finding in reading.findings]
    return reading.network


def devices_of(network: Network) -> dict[str, Device]:
    return {device.name: device for device in network.devices}


def joined(network: Network) -> Counter[tuple[str, ...]]:
    return Counter(tuple(sorted(line)) for line in network.lines)


def test_a_model_makes_a_network() -> None:
    """Source, breaker, line, transformer and consumer, from end to end."""
    network = network_of(read(xml(MODEL)))
    devices = devices_of(network)
    assert {name: (one.kind, one.nodes, one.feeder) for name, one in devices.items()} == {
        "grid": (DeviceKind.SOURCE, ("n0",), ""),
        "CB": (DeviceKind.BREAKER, ("n0", "n1"), "North"),
        "TX": (DeviceKind.TRANSFORMER, ("n2", "n3"), "North"),
    }
    assert devices["CB"].position == (1.5, 2.5)
    assert network.crs == "urn:ogc:def:crs:EPSG::4326"
    assert network.lines == (("n1", "n2"),)
    (point,) = network.points
    assert (point.name, point.node, point.customers, point.mrid) == ("EC", "n3", 3, "ec")


@pytest.mark.parametrize("cim", [CIM100, CIM16, "http://iec.ch/TC57/2016/CIM-schema-cim17#"])
@pytest.mark.parametrize(
    ("attribute", "prefix", "reference"),
    [("ID", "_", "#"), ("ID", "", "#"), ("about", "_", "#"), ("about", "", "urn:uuid:"), ("about", "", "#")],
)
def test_any_generation_and_spelling_of_identities_is_read(
    cim: str, attribute: str, prefix: str, reference: str
) -> None:
    """Exports differ in namespace, in rdf:ID and rdf:about, in underscores and urn:uuid."""
    raw = xml(MODEL, cim=cim, attribute=attribute, prefix=prefix, reference=reference)
    assert network_of(read(raw)) == network_of(read(xml(MODEL)))


def test_a_uuid_is_one_in_either_case() -> None:
    """One exporter writes capitals where it defines, and small letters where it refers."""
    capital = "0DCC57AF-F4FA-457D-BB24-2EFDA9865A1A"
    raw = xml(MODEL.replace("#cb", f"#{capital.lower()}").replace("Breaker cb", f"Breaker {capital}"))
    assert devices_of(network_of(read(raw)))["CB"].mrid == capital


def test_an_mrid_that_is_said_counts() -> None:
    """The identity inside the file need not be that of the object."""
    raw = xml(MODEL.replace("IdentifiedObject.name=CB", "IdentifiedObject.name=CB IdentifiedObject.mRID=ID-OF-CB"))
    assert devices_of(network_of(read(raw)))["CB"].mrid == "ID-OF-CB"


def test_states_may_come_in_a_file_of_their_own() -> None:
    """A planning model with the steady state hypothesis beside it: statements about one object are put together."""
    states = xml("Breaker cb Switch.open=true", attribute="about")
    breaker = devices_of(network_of(read(xml(MODEL), states)))["CB"]
    assert (breaker.is_open, breaker.is_normally_open) == (True, False)
    assert network_of(read(states, xml(MODEL))) == network_of(read(xml(MODEL), states))


def test_objects_may_be_descriptions_with_a_type() -> None:
    """The long form of RDF/XML says the same."""
    raw = xml(MODEL).decode()
    long = re.sub(
        r'<cim:(\w+) rdf:ID="([^"]+)">\n(.*?)\n</cim:\1>',
        rf'<rdf:Description rdf:about="#\2"><rdf:type rdf:resource="{CIM100}\1"/>\3</rdf:Description>',
        raw,
    )
    assert long.count("rdf:Description") > 20
    assert network_of(read(long.encode())) == network_of(read(raw.encode()))


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ("Switch.normalOpen=true", (True, True)),
        ("Switch.normalOpen=true Switch.open=false", (False, True)),
        ("", (False, False)),
    ],
)
def test_a_switch_stands_as_it_says_or_as_it_normally_does(members: str, expected: tuple[bool, bool]) -> None:
    breaker = devices_of(network_of(read(xml(MODEL.replace("Switch.normalOpen=false", members)))))["CB"]
    assert (breaker.is_open, breaker.is_normally_open) == expected


@pytest.mark.parametrize(
    ("phases", "expected"),
    [
        (("closed=false", "closed=false"), True),
        (("closed=true", "closed=false"), False),
        (("normalOpen=true", "normalOpen=true"), True),
    ],
)
def test_a_switch_told_phase_by_phase_is_open_if_all_are(phases: tuple[str, str], expected: bool) -> None:
    """Phases are not told apart: where one leads, all lead."""
    rows = "\n".join(f"SwitchPhase p{at} SwitchPhase.Switch=#cb SwitchPhase.{one}" for at, one in enumerate(phases))
    text = MODEL.replace("Switch.normalOpen=false", "") + rows
    assert devices_of(network_of(read(xml(text))))["CB"].is_open is expected


@pytest.mark.parametrize(
    ("low", "high", "is_device"),
    [
        ("400", "11000", True),
        ("11000", "11000", False),
        ("11000", "110000", False),
        ("0.4", "11", True),
        ("11", "110", False),
    ],
)
def test_a_transformer_is_a_device_if_it_supplies_low_voltage(low: str, high: str, is_device: bool) -> None:
    """Regulators and substation transformers lead on, in volts and in the kilovolts of CIM16."""
    text = MODEL.replace("nominalVoltage=11000", f"nominalVoltage={high}").replace(
        "nominalVoltage=400", f"nominalVoltage={low}"
    )
    network = network_of(read(xml(text)))
    assert ("TX" in devices_of(network)) is is_device
    assert joined(network)[("n2", "n3")] == (not is_device)


def test_a_transformer_of_tanks_has_the_voltages_of_their_ends() -> None:
    """A bank of single-phase units; its ends are those of the tanks."""
    text = MODEL.replace("PowerTransformerEnd tx-e", "TransformerTankEnd tx-e").replace(
        "PowerTransformerEnd.PowerTransformer=#tx", "TransformerTankEnd.TransformerTank=#tank"
    )
    text += "TransformerTank tank TransformerTank.PowerTransformer=#tx"
    assert network_of(read(xml(text))) == network_of(read(xml(MODEL)))


def test_a_transformer_of_unknown_voltage_is_a_device() -> None:
    """Better one suspect too many than customers without any."""
    text = re.sub(r"TransformerEnd.BaseVoltage=#\w+", "", MODEL)
    assert "TX" in devices_of(network_of(read(xml(text))))


def test_usage_points_stand_for_their_consumer() -> None:
    """Where the model goes down to meters, calls are matched by these."""
    text = MODEL + (
        "UsagePoint up1 IdentifiedObject.name=UP-1 UsagePoint.Equipments=#ec UsagePoint.ServiceLocation=#sl\n"
        "UsagePoint up2 IdentifiedObject.name=UP-2 UsagePoint.Equipments=#ec\n"
        "UsagePoint up3 IdentifiedObject.name=UP-3 UsagePoint.Equipments=#tx\n"
        "ServiceLocation sl IdentifiedObject.name=SL-1 IdentifiedObject.mRID=id-sl\n"
        "PositionPoint pp PositionPoint.Location=#sl PositionPoint.xPosition=-87.5 PositionPoint.yPosition=47.6\n"
        "Meter m IdentifiedObject.name=M-2 EndDevice.UsagePoint=#up2\n"
    )
    points = {point.name: point for point in network_of(read(xml(text))).points}
    assert {name: (point.node, point.customers) for name, point in points.items()} == {
        "UP-1": ("n3", 1),
        "UP-2": ("n3", 1),
        "UP-3": ("n3", 1),
    }
    assert (points["UP-1"].location, points["UP-1"].location_mrid) == ("SL-1", "id-sl")
    assert points["UP-2"].meter == "M-2"
    assert (points["UP-1"].position, points["UP-2"].position) == ((-87.5, 47.6), None)


def test_a_consumer_without_usage_points_is_where_its_own_location_is() -> None:
    """As devices are."""
    text = MODEL.replace("EnergyConsumer ec ", "EnergyConsumer ec PowerSystemResource.Location=#home ") + (
        "Location home IdentifiedObject.name=home\n"
        "PositionPoint pp PositionPoint.Location=#home PositionPoint.xPosition=3 PositionPoint.yPosition=4\n"
    )
    (point,) = network_of(read(xml(text))).points
    assert point.position == (3.0, 4.0)


def test_a_single_usage_point_has_the_customers_of_its_consumer() -> None:
    """References may be written on either side."""
    text = MODEL.replace("EnergyConsumer ec ", "EnergyConsumer ec Equipment.UsagePoints=#up ") + (
        "UsagePoint up IdentifiedObject.name=UP\n"
        "ServiceLocation sl IdentifiedObject.name=SL ServiceLocation.UsagePoints=#up"
    )
    (point,) = network_of(read(xml(text))).points
    assert (point.name, point.customers, point.location) == ("UP", 3, "SL")


def test_a_feeder_without_source_begins_at_its_head() -> None:
    """A model of one feeder may end at the bus bar of the substation."""
    text = MODEL.replace("EnergySource src", "EnergyArea src").replace(
        "Feeder fd", "Feeder fd Feeder.NormalHeadTerminal=#cb-1"
    )
    network = network_of(read(xml(text.replace("ConductingEquipment=#src", "ConductingEquipment=#cb"))))
    assert devices_of(network)["North"].kind is DeviceKind.SOURCE
    assert devices_of(network)["North"].nodes == ("n0",)


def test_a_feeder_whose_head_is_nowhere_is_left_out() -> None:
    """Without a source the network is refused later; here it is told which feeder has none."""
    text = MODEL.replace("EnergySource src", "EnergyArea src").replace("Equipment=#src", "Equipment=#cb")
    reading = read(xml(text.replace("Feeder fd", "Feeder fd Feeder.NormalHeadTerminal=#gone")))
    assert [(one.code, one.path) for one in reading.findings] == [("REF-123", "0.xml, Feeder North")]
    assert DeviceKind.SOURCE not in {device.kind for device in network_of(reading).devices}


def test_buses_serve_where_there_are_no_connectivity_nodes() -> None:
    """A model of buses and branches."""
    assert network_of(read(xml(MODEL.replace("Terminal.ConnectivityNode", "Terminal.TopologicalNode")))) == network_of(
        read(xml(MODEL))
    )


def test_names_that_several_have_are_made_unique() -> None:
    """Tickets name devices; two that are called F1 must not share their outages."""
    text = MODEL + "".join(
        f"Feeder f{at} IdentifiedObject.name={feeder}\n"
        f"Fuse fuse{at} IdentifiedObject.name=F1 Equipment.EquipmentContainer=#f{at}\n"
        f"Terminal t{at} Terminal.ConductingEquipment=#fuse{at} Terminal.ConnectivityNode=#n{at}\n"
        for at, feeder in enumerate(("East", "West", "South", "South"))
    )
    reading = read(xml(text))
    names = sorted(name for name, device in devices_of(network_of(reading)).items() if device.kind is DeviceKind.FUSE)
    assert names == ["East.F1", "South.F1 fuse2", "South.F1 fuse3", "West.F1"]
    assert {(finding.code, finding.level) for finding in reading.findings} == {("REF-128", Level.INFORM)}


def test_what_is_connected_to_nothing_is_left_out_and_told() -> None:
    """One device that was forgotten in the export does not cost the import."""
    text = MODEL + "Fuse f IdentifiedObject.name=F9\nEnergyConsumer e IdentifiedObject.name=E9\n"
    text += "Terminal ft Terminal.ConductingEquipment=#f Terminal.ConnectivityNode=#n1 ACDCTerminal.connected=false\n"
    reading = read(xml(text))
    assert network_of(reading) == network_of(read(xml(MODEL)))
    assert [(one.code, one.level, one.path) for one in reading.findings] == [
        ("REF-123", Level.WARNING, "0.xml, Fuse F9"),
        ("REF-123", Level.WARNING, "0.xml, EnergyConsumer E9"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "code", "found"),
    [
        ("Terminal.ConductingEquipment=#ln", "Terminal.ConductingEquipment=#other", "REF-123", "none of the files"),
        ("Terminal.ConductingEquipment=#ln", "", "REF-123", "no equipment"),
        ("customerCount=3", "customerCount=many", "REF-121", "many"),
        ("customerCount=3", "customerCount=-3", "REF-121", "-3"),
        ("customerCount=3", "customerCount=1e300", "REF-121", "1e300"),
        ("customerCount=3", "customerCount=nan", "REF-121", "nan"),
        ("normalOpen=false", "normalOpen=perhaps", "REF-121", "perhaps"),
        ("xPosition=1.5", "xPosition=west", "REF-121", "west"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(old: str, new: str, code: str, found: str) -> None:
    """Whoever has to mend the export finds the object."""
    assert old in MODEL
    reading = read(xml(MODEL.replace(old, new)))
    assert reading.network is None
    assert {one.code for one in reading.findings} == {code}
    assert found in reading.findings[0].found
    assert reading.findings[0].line
    assert reading.findings[0].path.startswith("0.xml, ")


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (b"<html/>", "root element html"),
        (xml(MODEL, cim="http://example.org/"), "no object of CIM"),
        (xml(MODEL).replace(b"md:FullModel", b"md:DifferenceModel"), "difference model"),
        (xml(MODEL).replace(b'rdf:ID="cb"', b""), "neither rdf:ID nor rdf:about"),
    ],
)  # fmt: skip
def test_what_is_no_model_is_refused(raw: bytes, found: str) -> None:
    """And nothing is made of it."""
    reading = read(raw)
    assert reading.network is None
    assert found in reading.findings[0].found


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (xml(MODEL)[:-20], "XML-101"),
        (b"<!DOCTYPE rdf [<!ENTITY a 'b'>]>" + xml(MODEL).partition(b"\n")[2], "XML-102"),
        (xml(MODEL).replace(b"North", b"N\xf8rd"), "XML-106"),
        (xml(MODEL).replace(b"North", b"<a>" * 300 + b"</a>" * 300), "XML-104"),
        (b"\xff\xfe\x00", "XML-106"),
    ],
)
def test_what_is_no_xml_is_refused_as_everywhere(raw: bytes, code: str) -> None:
    """A model is parsed with the same doors shut as a message."""
    with pytest.raises(InputError) as refusal:
        read(raw)
    assert refusal.value.code == code


def test_models_have_limits_too() -> None:
    """Wide ones, but not none."""
    raw = xml(MODEL)
    for limits, code in ((Limits(max_bytes=100), "XML-103"), (Limits(max_elements=10), "XML-110")):
        with pytest.raises(InputError) as refusal:
            parse_network_rdf([("a.xml", raw)], limits)
        assert refusal.value.code == code


def test_utf_16_is_read() -> None:
    """XML may come so, and some modelling tools write it."""
    raw = xml(MODEL).decode().replace('encoding="UTF-8"', 'encoding="UTF-16"').encode("utf-16")
    assert parse_network([("model.xml", raw)]).network == network_of(read(xml(MODEL)))


@pytest.mark.parametrize(
    ("name", "kinds", "points"),
    [
        ("IEEE13", {"source": 1, "breaker": 1, "recloser": 1, "fuse": 1, "switch": 2, "transformer": 2}, 16),
        ("IEEE123", {"source": 1, "switch": 8, "transformer": 1}, 91),
    ],
)
def test_ieee_feeders_are_read(name: str, kinds: dict[str, int], points: int) -> None:
    """Models that nobody here wrote: counts as in the file, regulators and the substation transformer lead on."""
    file, raw = read_feeder(name)
    reading = parse_network([(file, raw)])
    network = network_of(reading)
    assert reading.findings == ()
    assert Counter(device.kind.value for device in network.devices) == kinds
    assert len(network.points) == points == len(re.findall(rb"<cim:EnergyConsumer ", raw))
    assert sum(point.customers for point in network.points) == points
    assert all(device.position is not None for device in network.devices)
