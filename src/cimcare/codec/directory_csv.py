"""The directory of premises and customers as a table in CSV: bytes in, rows and findings out.

The first row names the columns, in any order. Source: RFC 4180 for the form, with comma, semicolon or tab; the columns
are ours (docs/guides/customers.md).
"""

import csv
from collections.abc import Iterator, Mapping
from io import StringIO

from cimcare.errors import Finding, finding_of
from cimcare.model.directory import DirectoryRow
from cimcare.model.enumerations import CustomerKind

__all__ = ["DIRECTORY_COLUMNS", "parse_directory_csv"]

DIRECTORY_COLUMNS: Mapping[str, str] = {
    "premises": "Number of the service location, once in the table; the only column that has to be there.",
    "usage_point": "Number of the usage point, as in the network.",
    "street": "Street, with its type.",
    "house_number": "Number in the street.",
    "postal_code": "Postal code.",
    "town": "Town.",
    "section": "Part of the town.",
    "state": "State or province.",
    "country": "Country.",
    "transformer": "Device of the network that feeds the premises, where the network does not know the usage point.",
    "feeder": "Feeder; call-back lists are grouped by it.",
    "customer": "Number of the customer; empty for vacant premises.",
    "name": "Name of the customer.",
    "kind": "Literal of CIM CustomerKind; residential if empty.",
    "telephone": "Telephone number.",
    "email": "Address of mail.",
    "account": "Number of the account.",
    "special_need": "What depends on supply there, such as a home ventilator.",
}
"""Columns, and what stands in them."""

_CLAUSE = "docs/guides/customers.md"
_MOST_TOLD = 50
_LONGEST = 300


def parse_directory_csv(file: str, raw: bytes) -> tuple[tuple[DirectoryRow, ...], tuple[Finding, ...]]:
    """Rows of a table, and what is wrong with it; no rows if anything is.

    Findings: REF-120 no such table, REF-121 a value missing or unreadable, REF-122 premises twice. Of many, the first
    50 are told.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return (), (finding_of("REF-120", file, f"byte {error.start} is not UTF-8", "a table in UTF-8", _CLAUSE),)
    head, _, _ = text.partition("\n")
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[DirectoryRow] = []
    findings: list[Finding] = []
    try:
        columns = [name.strip().lower() for name in next(reader, [])]
        wrong = _wrong_columns(columns)
        if wrong:
            accepted = f"premises, and any of {', '.join(DIRECTORY_COLUMNS)}"
            return (), (finding_of("REF-120", file, wrong, accepted, _CLAUSE, line=1),)
        seen: dict[str, int] = {}
        for values in reader:
            if not any(value.strip() for value in values):
                continue
            found = tuple(_check(file, columns, values, reader.line_num, seen))
            findings.extend(found)
            if not found:
                rows.append(_row_of(columns, values, reader.line_num))
            if len(findings) >= _MOST_TOLD:
                break
    except csv.Error as error:
        findings.append(finding_of("REF-120", file, str(error), "a table in CSV", "RFC 4180", line=reader.line_num))
    return (() if findings else tuple(rows)), tuple(findings[:_MOST_TOLD])


def _wrong_columns(columns: list[str]) -> str:
    unknown = [name for name in columns if name not in DIRECTORY_COLUMNS]
    if unknown:
        return f"column {unknown[0]!r}"
    if "premises" not in columns:
        return "no column premises"
    twice = [name for name in columns if columns.count(name) > 1]
    return f"column {twice[0]!r} twice" if twice else ""


def _check(file: str, columns: list[str], values: list[str], line: int, seen: dict[str, int]) -> Iterator[Finding]:
    given = {name: value.strip() for name, value in zip(columns, values, strict=False)}
    if len(values) > len(columns):
        yield finding_of("REF-121", file, f"{len(values)} values", f"at most {len(columns)}", _CLAUSE, line=line)
    number = given.get("premises", "")
    if not number:
        yield finding_of("REF-121", f"{file}/premises", "no value", DIRECTORY_COLUMNS["premises"], _CLAUSE, line=line)
    elif number in seen:
        found = f"premises {number}, which stand in line {seen[number]} already"
        yield finding_of("REF-122", f"{file}/premises", found, "each of the premises once", _CLAUSE, line=line)
    seen.setdefault(number, line)
    for name, value in given.items():
        if len(value) > _LONGEST or "\0" in value:
            found = f"{len(value)} characters"
            yield finding_of("REF-121", f"{file}/{name}", found, f"at most {_LONGEST}, no NUL", _CLAUSE, line=line)
    kind = given.get("kind", "")
    if kind and kind not in frozenset(CustomerKind):
        yield finding_of("REF-121", f"{file}/kind", repr(kind), ", ".join(CustomerKind), "CIM CustomerKind", line=line)
    if not given.get("customer"):
        beside = [name for name in ("name", "account", "special_need") if given.get(name)]
        if beside:
            found = f"{beside[0]} without a customer"
            yield finding_of("REF-121", f"{file}/customer", found, "the number of the customer", _CLAUSE, line=line)


def _row_of(columns: list[str], values: list[str], line: int) -> DirectoryRow:
    given: dict[str, str] = {name: value.strip() for name, value in zip(columns, values, strict=False)}
    kind = CustomerKind(given.pop("kind", "") or CustomerKind.residential)
    return DirectoryRow(**given, kind=kind, line=line)
