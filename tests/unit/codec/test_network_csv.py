"""A network as tables: what a small utility would write is read, and what is wrong is told with its row and column."""

import pytest

from cimcare.codec import network
from cimcare.codec.limits import Limits
from cimcare.codec.network import parse_network
from cimcare.codec.network_csv import parse_network_csv
from cimcare.errors import InputError, Level
from cimcare.model.network import DeviceKind, Network, NetworkReading

DEVICES = """device,kind,from,to,feeder,normally_open,open,x,y,mrid
SUB,source,,,,,,,,
CB-1,breaker,SUB,,North,,,,,
F-1,fuse,CB-1,,North,no,,-87.5,47.6,id-f1
TX-1,transformer,F-1,,,,,,,
TIE,switch,CB-1,N9,,yes,,,,
SW,Disconnector,N9,N10,,no,yes,,,
"""
LINES = "from,to,line\nF-1,N1,L1\n"
POINTS = """point,at,location,customers,critical,meter,mrid,location_mrid,x,y
UP-1,TX-1,SL-1,,yes,M-1,id-1,id-l1,-87.49,47.61
UP-2,N1,,12,,,,,,
"""


def read(**tables: str) -> NetworkReading:
    given = {"devices": DEVICES, "lines": LINES, "points": POINTS} | tables
    return parse_network_csv([(f"{name}.csv", text.encode()) for name, text in given.items() if text])


def network_of(reading: NetworkReading) -> Network:
    assert reading.network is not None, [finding.describe() for finding in reading.findings]
    return reading.network


def told(reading: NetworkReading) -> list[tuple[str, str, int | None]]:
    return [(finding.code, finding.path, finding.line) for finding in reading.findings]


def test_three_tables_make_a_network() -> None:
    """Devices say what feeds them by name, so that nobody has to invent nodes."""
    network = network_of(read())
    shown = [(one.name, one.kind, one.nodes, one.is_open, one.is_normally_open) for one in network.devices]
    assert shown == [
        ("SUB", DeviceKind.SOURCE, ("SUB",), False, False),
        ("CB-1", DeviceKind.BREAKER, ("SUB", "CB-1"), False, False),
        ("F-1", DeviceKind.FUSE, ("CB-1", "F-1"), False, False),
        ("TX-1", DeviceKind.TRANSFORMER, ("F-1", "TX-1"), False, False),
        ("TIE", DeviceKind.SWITCH, ("CB-1", "N9"), True, True),
        ("SW", DeviceKind.SWITCH, ("N9", "N10"), True, False),
    ]
    assert (network.devices[2].mrid, network.devices[2].position) == ("id-f1", (-87.5, 47.6))
    assert (network.devices[1].feeder, network.devices[3].feeder) == ("North", "")
    assert network.lines == (("F-1", "N1"),)
    first, second = network.points
    assert (first.mrid, first.name, first.node, first.customers, first.is_critical) == ("id-1", "UP-1", "TX-1", 1, True)
    assert (first.location, first.location_mrid, first.meter) == ("SL-1", "id-l1", "M-1")
    assert (first.position, second.position) == ((-87.49, 47.61), None)
    assert (second.node, second.customers, second.is_critical, second.location_mrid) == ("N1", 12, False, None)


def test_identities_follow_from_names_where_there_are_none() -> None:
    """The next export of the same table is the same network."""
    first, second = network_of(read()), network_of(read())
    assert [one.mrid for one in first.devices] == [one.mrid for one in second.devices]
    assert len({one.mrid for one in (*first.devices, *first.points)}) == 8


@pytest.mark.parametrize(
    ("old", "new"), [(",", ";"), (",", "\t"), ("\n", "\r\n"), ("device,kind", "\ufeffDevice, Kind"), ("\n", "\n\n")]
)
def test_what_spreadsheets_do_to_a_table_is_read_too(old: str, new: str) -> None:
    """Semicolons, tabs, byte order marks, capitals and empty rows."""
    assert network_of(read(devices=DEVICES.replace(old, new))) == network_of(read())


def test_columns_may_come_in_any_order_and_be_left_out() -> None:
    """Three columns are enough for a device."""
    network = network_of(
        read(devices="kind,from,device\nsource,,S\nfuse,S,F-1\n", points="at,point\nF-1,UP-1\n", lines="")
    )
    assert [one.nodes for one in network.devices] == [("S",), ("S", "F-1")]


def test_a_table_may_come_in_several_files() -> None:
    """One export a feeder."""
    more = "device,kind,from\nF-2,fuse,CB-1\n"
    network = network_of(parse_network_csv([("a.csv", DEVICES.encode()), ("b.csv", more.encode())]))
    assert network.devices[-1].name == "F-2"


def test_a_column_that_is_not_read_is_told() -> None:
    """A misspelt heading must not quietly mean that no switch is normally open."""
    reading = read(devices=DEVICES.replace("normally_open", "normaly_open"))
    (finding,) = reading.findings
    assert (finding.code, finding.level, finding.line) == ("REF-120", Level.WARNING, 1)
    assert "normaly_open" in finding.found
    assert reading.network is not None


@pytest.mark.parametrize(
    ("table", "old", "new", "code", "path", "line", "found"),
    [
        ("devices", "CB-1,breaker,SUB", "CB-1,braker,SUB", "REF-121", "devices.csv, column kind", 3, "braker"),
        ("devices", "CB-1,breaker,SUB", "CB-1,breaker,", "REF-121", "devices.csv, column from", 3, "no value"),
        ("devices", "CB-1,breaker,SUB", ",breaker,SUB", "REF-121", "devices.csv, column device", 3, "no value"),
        ("devices", "SUB,source,,", "SUB,source,A,B", "REF-121", "devices.csv, column from", 2, "A, and B"),
        ("devices", "no,,-87.5", "perhaps,,-87.5", "REF-121", "devices.csv, column normally_open", 4, "perhaps"),
        ("devices", "-87.5,47.6", "-87.5,", "REF-121", "devices.csv, column y", 4, "no value"),
        ("devices", "-87.5,47.6", "west,47.6", "REF-121", "devices.csv, column x", 4, "west"),
        ("devices", "-87.5,47.6", "nan,47.6", "REF-121", "devices.csv, column x", 4, "nan"),
        ("devices", "F-1,,,,,,,\nTIE", "F-1,,,,yes,,,\nTIE", "REF-121", "devices.csv, column open", 5, "yes"),
        ("devices", "TX-1,", "F-1,", "REF-122", "devices.csv, column device", 5, "devices.csv, line 4"),
        ("devices", "F-1,fuse,CB-1,,", "F-1,fuse,CB-1,N2,", "REF-123", "devices.csv, column from", 5, "node N2"),
        ("devices", "id-f1", "id-f1,what,is,this", "REF-121", "devices.csv", 4, "13 values"),
        ("devices", "device,kind", "device,sort", "REF-120", "devices.csv", 1, "sort"),
        ("devices", "device,kind", "device,kind,kind", "REF-120", "devices.csv", 1, "several times"),
        ("devices", "SUB,", '"SUB,', "REF-121", "devices.csv", 7, "unexpected end"),
        ("lines", "F-1,N1", "F-1,", "REF-121", "lines.csv, column to", 2, "no value"),
        ("points", "UP-2,N1", "UP-2,N77", "REF-123", "points.csv, column at", 3, "N77"),
        ("points", "UP-2,N1", "UP-1,N1", "REF-122", "points.csv, column point", 3, "points.csv, line 2"),
        ("points", ",12,", ",1.5,", "REF-121", "points.csv, column customers", 3, "1.5"),
        ("points", ",12,", ",-1,", "REF-121", "points.csv, column customers", 3, "-1"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(
    table: str, old: str, new: str, code: str, path: str, line: int, found: str
) -> None:
    """Whoever has to mend the table finds the cell."""
    text = {"devices": DEVICES, "lines": LINES, "points": POINTS}[table]
    assert old in text
    reading = read(**{table: text.replace(old, new, 1)})
    assert reading.network is None
    assert (code, path, line) in told(reading)
    assert any(found in finding.found for finding in reading.findings if finding.code == code)


def test_bytes_that_are_no_text_are_told() -> None:
    """A table in the encoding of an old spreadsheet."""
    raw = DEVICES.replace("North", "Nørd").encode("latin-1")
    reading = parse_network_csv([("devices.csv", raw)])
    assert told(reading) == [("REF-121", "devices.csv", 3)]


def test_all_that_is_wrong_is_told_at_once_up_to_a_bound() -> None:
    """Mending a table mistake by mistake takes an afternoon; a thousand of one sort are one."""
    rows = "".join(f"D-{at},valve,SUB\n" for at in range(3))
    assert len(read(devices=f"device,kind,from\n{rows}", points="", lines="").findings) == 3
    rows = "".join(f"D-{at},valve,SUB\n" for at in range(1000))
    assert len(read(devices=f"device,kind,from\n{rows}", points="", lines="").findings) == 50


def test_tables_and_xml_do_not_go_together() -> None:
    """One network comes in one form."""
    reading = parse_network([("devices.csv", DEVICES.encode()), ("model.xml", b"<rdf/>")])
    assert told(reading) == [("REF-120", "network", None)]
    assert parse_network([("devices.csv", DEVICES.encode())]).network is not None


def test_a_table_has_a_limit_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wide one; what is cut off must not look like a whole network."""
    monkeypatch.setattr(network, "RDF_LIMITS", Limits(max_bytes=len(DEVICES) - 1))
    with pytest.raises(InputError, match="XML-103"):
        parse_network([("devices.csv", DEVICES.encode())])
