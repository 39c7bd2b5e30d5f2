"""A network as tables: devices, lines and points of supply, as CSV; bytes in, value out.

What a table holds is seen from its columns, so files may have any name, and each table may come in several of them. The
first row names the columns, in any order. A node is a name and nothing more; a device without `to` makes a node of its
own name, so that whatever hangs on a device may simply say so.

Source: RFC 4180 for the form, with comma, semicolon or tab; the columns are ours (docs/guides/network.md).
"""

import csv
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import StringIO
from itertools import chain
from sys import intern
from typing import NamedTuple, TypeVar
from uuid import UUID, uuid5

import msgspec

from cimcare.errors import Finding, Level, finding_of
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

__all__ = ["TABLES", "Column", "parse_network_csv"]

T = TypeVar("T")

_CLAUSE = "docs/guides/network.md"
_MOST_TOLD = 50
"""Findings that are told; with so many of them, it is time to look at the file as a whole."""

_NAMESPACE = UUID("6b6e0d52-3a2f-5a0f-9a55-6f0c3d0b7a10")
"""Of identities that follow from a name, where the table has none; any fixed value does."""


class Column(NamedTuple):
    """A column: its name, whether each row must have a value, and what stands in it."""

    name: str
    is_required: bool
    text: str


TABLES: Mapping[str, tuple[Column, ...]] = {
    "devices": (
        Column("device", True, "Name of the device, once in the network."),
        Column("kind", True, "`source`, `breaker`, `recloser`, `sectionalizer`, `switch`, `fuse` or `transformer`."),
        Column("from", False, "Node on the side of the supply, or the device that feeds this one. A source has none."),
        Column("to", False, "Node on the other side. Without it, a node with the name of the device."),
        Column("feeder", False, "Name of the feeder. Without it, the first breaker from the source."),
        Column("normally_open", False, "`yes` for a tie; `no` if empty."),
        Column("open", False, "How it stands now, if not as it normally does: `yes` or `no`."),
        Column("x", False, "Where it is: longitude, or another first coordinate."),
        Column("y", False, "Where it is: latitude, or another second coordinate."),
        Column("mrid", False, "Identity. Without it, one that follows from the name."),
    ),
    "lines": (
        Column("from", True, "Node or device at one end."),
        Column("to", True, "Node or device at the other end."),
        Column("line", False, "Name of the line; for people, not kept."),
    ),
    "points": (
        Column("point", True, "Number of the usage point, once in the network."),
        Column("at", True, "Node or device on which it hangs, such as a transformer."),
        Column("location", False, "Number of the service location."),
        Column("customers", False, "How many customers it supplies, 0 to 1,000,000; 1 if empty."),
        Column("critical", False, "`yes` if somebody there depends on supply; `no` if empty."),
        Column("meter", False, "Name of the meter."),
        Column("x", False, "Where the premises are: longitude, or another first coordinate."),
        Column("y", False, "Where the premises are: latitude, or another second coordinate."),
        Column("mrid", False, "Identity of the usage point. Without it, one that follows from its number."),
        Column("location_mrid", False, "Identity of the service location."),
    ),
}
"""The tables and their columns."""

_MARKS = {"device": "devices", "kind": "devices", "point": "points", "at": "points", "from": "lines", "to": "lines"}
"""Columns by which a table is known, the surest first."""

_KINDS = {kind.value: kind for kind in DeviceKind} | {
    "sectionaliser": DeviceKind.SECTIONALIZER,
    "circuit breaker": DeviceKind.BREAKER,
    "disconnector": DeviceKind.SWITCH,
    "cutout": DeviceKind.FUSE,
}
_TRUTHS = dict.fromkeys(("yes", "y", "true", "1", "open"), True) | dict.fromkeys(
    ("no", "n", "false", "0", "closed"), False
)


class _Head(NamedTuple):
    """The first row of a file: where each column stands. All rows of the file share it, since there may be many."""

    file: str
    columns: dict[str, int]


class _Row(NamedTuple):
    """A row of a table, and the line on which it ends."""

    head: _Head
    line: int
    values: list[str]

    def get(self, column: str) -> str:
        at = self.head.columns.get(column)
        return self.values[at].strip() if at is not None and at < len(self.values) else ""


def parse_network_csv(files: Iterable[tuple[str, bytes]]) -> NetworkReading:
    """Read a network from tables.

    Findings: REF-120 a table of no known form, REF-121 a value missing or unreadable, REF-122 a name twice, REF-123 a
    node that is nowhere. Of many, the first ones are told.

    Args:
        files: Names and contents; the names appear in findings.
    """
    reader = _Reader()
    try:
        for name, raw in files:
            reader.read(name, raw)
        network = reader.build()
    except _TooManyError:
        network = Network()
    is_fatal = any(finding.level is Level.FATAL for finding in reader.findings)
    return NetworkReading(network=None if is_fatal else network, findings=tuple(reader.findings))


class _TooManyError(Exception):
    """Enough findings have been told."""


class _Reader:
    """Reads tables, and gathers what is wrong with them."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self._rows: dict[str, list[_Row]] = {table: [] for table in TABLES}

    def read(self, file: str, raw: bytes) -> None:
        """Take the rows of one file, into the table that its columns are those of."""
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            self._tell("REF-121", file, line, f"byte {raw[error.start]:#04x}, which is no UTF-8", "a file in UTF-8")
            return
        rows = csv.reader(StringIO(text, newline=""), delimiter=_delimiter_of(text), strict=True)
        try:
            head = next(rows, [])
            columns = [_column_of(name) for name in head]
            table = _table_of(columns)
            if table is None:
                self._tell("REF-120", file, 1, f"columns {', '.join(head) or 'none'}", _forms())
                return
            self._check_columns(file, table, columns, head)
            places = _Head(file, {column: at for at, column in enumerate(columns) if column})
            for values in rows:
                if any(value.strip() for value in values):
                    self._take(_Row(places, rows.line_num, values), table, len(columns))
        except csv.Error as error:
            self._tell("REF-121", file, rows.line_num, str(error), "CSV as RFC 4180 has it")

    def _check_columns(self, file: str, table: str, columns: Sequence[str], head: Sequence[str]) -> None:
        known = [column.name for column in TABLES[table]]
        for column, name in zip(columns, head, strict=True):
            if columns.count(column) > 1 and column:
                self._tell("REF-120", file, 1, f"column {name} several times", "each column once")
            elif column not in known and column:
                finding = self._finding("REF-120", file, 1, f"column {name}, which is not read", ", ".join(known))
                self.findings.append(msgspec.structs.replace(finding, level=Level.WARNING))

    def _take(self, row: _Row, table: str, most: int) -> None:
        if len(row.values) > most:
            self._tell("REF-121", row.head.file, row.line, f"{len(row.values)} values", f"{most}, as there are columns")
            return
        missing = [column.name for column in TABLES[table] if column.is_required and not row.get(column.name)]
        for column in missing:
            self._fail(row, column, "no value", "a value in each row")
        if not missing:
            self._rows[table].append(row)

    def build(self) -> Network:
        """The network of all tables; not to be used if there are fatal findings."""
        self._require_once("devices", "device")
        self._require_once("points", "point")
        devices = [self._device(row) for row in self._rows["devices"]]
        ends: dict[str, str] = {}
        nodes: set[str] = set()
        for row, device in zip(self._rows["devices"], devices, strict=True):
            nodes.update(device.nodes)
            if row.get("to"):
                ends[device.name] = row.get("to")
        lines: list[Line] = []
        for row in self._rows["lines"]:
            lines.append((row.get("from"), row.get("to")))
            nodes.update(lines[-1])
        self._require_nodes(nodes, ends)
        points = tuple(self._point(row) for row in self._rows["points"])
        return Network(devices=tuple(devices), lines=tuple(lines), points=points)

    def _require_once(self, table: str, column: str) -> None:
        first: dict[str, _Row] = {}
        for row in self._rows[table]:
            before = first.setdefault(row.get(column), row)
            if before is not row:
                found = f"{row.get(column)}, which stands in {before.head.file}, line {before.line}, too"
                self._fail(row, column, found, "a name that stands in one row", "REF-122")

    def _require_nodes(self, nodes: set[str], ends: Mapping[str, str]) -> None:
        """What points hang on must be there, and a device that ends at a named node is not meant by its own name."""
        named = set(ends.values())
        for row, column in chain(
            ((row, "from") for row in self._rows["devices"]),
            ((row, column) for row in self._rows["lines"] for column in ("from", "to")),
            ((row, "at") for row in self._rows["points"]),
        ):
            node = row.get(column)
            if node in ends and node not in named:
                found = f"device {node}, whose other side is node {ends[node]}"
                self._fail(row, column, found, f"{ends[node]}, or no `to` at the device", "REF-123")
            elif column == "at" and node not in nodes:
                self._fail(row, column, node, "a node or device of the other tables", "REF-123")

    def _device(self, row: _Row) -> Device:
        name, start, end = row.get("device"), row.get("from"), row.get("to")
        kind = self._value(row, "kind", lambda text: _KINDS[text.lower()], ", ".join(_KINDS), DeviceKind.SWITCH)
        if kind is DeviceKind.SOURCE:
            if start and end:
                self._fail(row, "from", f"{start}, and {end} in column to", "one node for a source, in one of them")
            nodes: tuple[str, ...] = (end or start or name,)
        else:
            if not start:
                self._fail(row, "from", "no value", "a node or a device; only a source has none")
            nodes = (start, end or name)
        is_normally_open = self._truth(row, "normally_open", otherwise=False)
        is_open = self._truth(row, "open", otherwise=is_normally_open)
        if (is_open or is_normally_open) and not kind.has_contacts:
            self._fail(row, "open" if is_open else "normally_open", "yes", f"no: a {kind} cannot be opened")
        return Device(
            mrid=MRID(row.get("mrid")) if row.get("mrid") else _mrid_of("device", name),
            name=name,
            kind=kind,
            nodes=nodes,
            feeder=row.get("feeder"),
            is_open=is_open,
            is_normally_open=is_normally_open,
            position=self._position(row),
        )

    def _point(self, row: _Row) -> ServicePoint:
        return ServicePoint(
            mrid=MRID(row.get("mrid")) if row.get("mrid") else _mrid_of("point", row.get("point")),
            name=row.get("point"),
            node=intern(row.get("at")),
            location_mrid=MRID(row.get("location_mrid")) if row.get("location_mrid") else None,
            location=row.get("location"),
            meter=row.get("meter"),
            customers=self._value(row, "customers", _count, f"a whole number, 0 to {MOST_CUSTOMERS:,}", 1),
            is_critical=self._truth(row, "critical", otherwise=False),
            position=self._position(row),
        )

    def _position(self, row: _Row) -> Position | None:
        if not row.get("x") and not row.get("y"):
            return None
        for column in ("x", "y"):
            if not row.get(column):
                self._fail(row, column, "no value", "both coordinates, or none")
        x, y = (self._value(row, column, _coordinate, "a number such as -87.5012", 0.0) for column in ("x", "y"))
        return x, y

    def _truth(self, row: _Row, column: str, *, otherwise: bool) -> bool:
        return self._value(row, column, lambda text: _TRUTHS[text.lower()], "yes or no", otherwise)

    def _value(self, row: _Row, column: str, read: Callable[[str], T], accepted: str, otherwise: T) -> T:
        text = row.get(column)
        if not text:
            return otherwise
        try:
            return read(text)
        except (KeyError, ValueError):
            self._fail(row, column, text, accepted)
            return otherwise

    def _fail(self, row: _Row, column: str, found: str, accepted: str, code: str = "REF-121") -> None:
        self._tell(code, f"{row.head.file}, column {column}", row.line, found, accepted)

    def _tell(self, code: str, path: str, line: int, found: str, accepted: str) -> None:
        self.findings.append(self._finding(code, path, line, found, accepted))
        if len(self.findings) == _MOST_TOLD:
            raise _TooManyError

    def _finding(self, code: str, path: str, line: int, found: str, accepted: str) -> Finding:
        return finding_of(code, path, found, accepted, _CLAUSE, line=line)


def _delimiter_of(text: str) -> str:
    head = text.partition("\n")[0]
    return max(",;\t", key=head.count)


def _column_of(name: str) -> str:
    return "_".join(name.replace("-", " ").replace("_", " ").lower().split())


def _table_of(columns: Sequence[str]) -> str | None:
    """The table that a file with these columns means to be; None if it is none, or lacks what it must have."""
    table = next((table for column, table in _MARKS.items() if column in columns), None)
    required = {column.name for column in TABLES[table] if column.is_required} if table is not None else set()
    return table if table is not None and required <= set(columns) else None


def _forms() -> str:
    forms = (
        f"{', '.join(column.name for column in columns if column.is_required)} for {table}"
        for table, columns in TABLES.items()
    )
    return "columns " + "; ".join(forms)


def _count(text: str) -> int:
    number = int(text)
    if not 0 <= number <= MOST_CUSTOMERS:
        raise ValueError(text)
    return number


def _coordinate(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _mrid_of(sort: str, name: str) -> MRID:
    return MRID(str(uuid5(_NAMESPACE, f"{sort}:{name}")))
