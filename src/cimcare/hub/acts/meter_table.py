"""Tables of meter events, as CSV or JSON: what is in them, or all that is wrong with them by row.

Pure. A table that is not right as a whole is refused as a whole, so that nobody has to find out which half was taken.
Our own profile.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import msgspec

from cimcare.errors import CimcareError, Finding, finding_of
from cimcare.model.network import MeterEvent

__all__ = ["CSV", "JSON", "MOST_EVENTS", "TableError", "read_events", "render_events"]

CSV, JSON = "text/csv", "application/json"

MOST_EVENTS = 1000
"""Most events of one table: they are judged in one transaction, and others wait meanwhile."""

_COLUMNS = ("point", "state", "at")
_STATES = {"off": True, "on": False}
_LONGEST_NAME = 200
_MOST_FINDINGS = 100
_DELIMITERS = ";\t,"
_CLAUSE = "meter events (our profile)"


class TableError(CimcareError):
    """A table that cannot be taken, and what is wrong about it, by row."""

    def __init__(self, *findings: Finding) -> None:
        super().__init__("; ".join(finding.describe() for finding in findings))
        self.findings = findings
        self.code = findings[0].code


class _Row(msgspec.Struct, frozen=True):
    """What stands in one row, and where it is: `place` is for people, `number` counts events from 1."""

    number: int
    place: str
    values: Mapping[str, object]


def read_events(raw: bytes, media_type: str, *, most: int | None = MOST_EVENTS) -> tuple[MeterEvent, ...]:
    """The events of a table, in its order.

    CSV has a line with the names `point`, `state` and `at` first, in any order and among others, parted by comma,
    semicolon or tab. JSON is an array of objects with these members. `point` is the mRID or a name of a usage point,
    `state` is `off` or `on`, `at` is an instant of ISO 8601 with its offset.

    Args:
        raw: The table, in UTF-8.
        media_type: `text/csv` or `application/json`.
        most: Most events; None for any number.

    Raises:
        TableError: NET-102 another media type; COD-101, COD-104 and COD-105 something cannot be read; CNV-110 there is
            no event; XML-103 there are too many.
    """
    if media_type not in (CSV, JSON):
        found = f"content type {media_type}" if media_type else "no content type"
        raise TableError(finding_of("NET-102", "/", found, f"{CSV} or {JSON}", _CLAUSE))
    rows = list(_rows_of_csv(raw) if media_type == CSV else _rows_of_json(raw))
    if not rows:
        raise TableError(finding_of("CNV-110", "/", "no events", "at least one", _CLAUSE))
    if most is not None and len(rows) > most:
        accepted = f"at most {most}; a longer table in several requests, as `cimcare meter-events` does it"
        raise TableError(finding_of("XML-103", "/", f"{len(rows)} events", accepted, _CLAUSE))
    events: list[MeterEvent] = []
    findings: list[Finding] = []
    for row in rows:
        wrong = list(_wrong_in(row))
        findings += wrong
        if len(findings) >= _MOST_FINDINGS:
            break
        if not wrong:
            events.append(_event_of(row))
    if findings:
        raise TableError(*findings[:_MOST_FINDINGS])
    return tuple(events)


def render_events(events: tuple[MeterEvent, ...]) -> bytes:
    """The events as a table in JSON."""
    states = {is_off: word for word, is_off in _STATES.items()}
    return msgspec.json.encode([{"point": one.point, "state": states[one.is_off], "at": one.at} for one in events])


def _rows_of_csv(raw: bytes) -> Iterator[_Row]:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TableError(finding_of("COD-101", "/", f"byte {error.start} is no UTF-8", "UTF-8", _CLAUSE)) from error
    first = text.partition("\n")[0]
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=max(_DELIMITERS, key=first.count), strict=True, skipinitialspace=True
    )
    names: list[str] = []
    number = 0
    try:
        for line in reader:
            if not any(cell.strip() for cell in line):
                continue
            if not names:
                names = _names_of(line)
                continue
            number += 1
            yield _Row(number, f"line {reader.line_num}", dict(zip(names, line, strict=False)))
    except csv.Error as error:
        found = f"line {reader.line_num}: {error}"
        raise TableError(finding_of("COD-101", f"/events[{number + 1}]", found, "CSV", "RFC 4180")) from error


def _names_of(line: list[str]) -> list[str]:
    names = [cell.strip().lower() for cell in line]
    missing = [name for name in _COLUMNS if names.count(name) != 1]
    if missing:
        found = f"columns {', '.join(name or '(none)' for name in names[:20])}"
        accepted = f"each of {', '.join(_COLUMNS)} once in the first line"
        raise TableError(finding_of("COD-104", "/", found, accepted, _CLAUSE))
    return names


def _rows_of_json(raw: bytes) -> Iterator[_Row]:
    try:
        objects = msgspec.json.decode(raw, type=list[dict[str, object]])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        accepted = f"an array of objects with {', '.join(_COLUMNS)}"
        raise TableError(finding_of("COD-105", "/", str(error), accepted, "RFC 8259")) from error
    for number, values in enumerate(objects, 1):
        yield _Row(number, f"event {number}", values)


def _wrong_in(row: _Row) -> Iterator[Finding]:
    for name in _COLUMNS:
        path = f"/events[{row.number}]/{name}"
        text = row.values.get(name)
        if text is None or text == "":
            yield finding_of("COD-104", path, f"{row.place}: no {name}", _ACCEPTED[name], _CLAUSE)
        elif not isinstance(text, str) or _read(name, text) is None:
            shown = text[:80] if isinstance(text, str) else type(text).__name__
            yield finding_of("COD-101", path, f"{row.place}: {shown!r}", _ACCEPTED[name], _CLAUSE)


_ACCEPTED = {
    "point": f"the mRID or a name of a usage point, of at most {_LONGEST_NAME} characters",
    "state": "off or on",
    "at": "an instant of ISO 8601 with its offset, such as 2030-06-01T12:00:00Z",
}


def _event_of(row: _Row) -> MeterEvent:
    point, is_off, at = (_read(name, str(row.values[name])) for name in _COLUMNS)
    assert isinstance(point, str)
    assert isinstance(at, datetime)
    return MeterEvent(point=point, is_off=bool(is_off), at=at)


def _read(name: str, text: str) -> str | bool | datetime | None:
    """The value of a column; None if it cannot be read."""
    text = text.strip()
    if name == "point":
        return text if text.isprintable() and 0 < len(text) <= _LONGEST_NAME else None
    if name == "state":
        return _STATES.get(text.lower())
    try:
        at = msgspec.convert(text, datetime)
        return at.astimezone(UTC) if at.tzinfo is not None else None
    except (msgspec.ValidationError, OverflowError):
        return None
