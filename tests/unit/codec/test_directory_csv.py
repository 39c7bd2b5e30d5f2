"""The table of premises and customers that a utility brings."""

import pytest

from cimcare.codec.directory_csv import DIRECTORY_COLUMNS, parse_directory_csv
from cimcare.model.directory import DirectoryRow
from cimcare.model.enumerations import CustomerKind


def codes_of(text: str) -> list[tuple[str, int | None]]:
    rows, findings = parse_directory_csv("f.csv", text.encode())
    assert rows == ()
    return [(finding.code, finding.line) for finding in findings]


@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_rows_are_read_with_whatever_parts_them(sign: str) -> None:
    """Spreadsheets of each country part columns in their own way, and begin with a mark of order."""
    text = "﻿Premises,customer,name,kind\nSL-1,C-1,Ada,residential\n\n SL-2 ,,,\n".replace(",", sign)
    rows, findings = parse_directory_csv("f.csv", text.encode())

    assert findings == ()
    assert rows == (
        DirectoryRow(premises="SL-1", customer="C-1", name="Ada", line=2),
        DirectoryRow(premises="SL-2", line=4),
    )


def test_all_columns_are_those_of_a_row() -> None:
    """A column that is described and not read is a lie."""
    fields = set(DirectoryRow.__struct_fields__) - {"line"}
    assert set(DIRECTORY_COLUMNS) == fields
    line = ",".join("residential" if name == "kind" else f"value of {name}" for name in DIRECTORY_COLUMNS)
    (row,), _ = parse_directory_csv("f.csv", f"{','.join(DIRECTORY_COLUMNS)}\n{line}\n".encode())
    for name in fields - {"kind"}:
        assert getattr(row, name) == f"value of {name}"
    assert row.kind is CustomerKind.residential


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [("REF-120", 1)]),
        ("customer\nC-1\n", [("REF-120", 1)]),
        ("premises,colour\nSL-1,red\n", [("REF-120", 1)]),
        ("premises,premises\nSL-1,SL-1\n", [("REF-120", 1)]),
        ("premises,name\n,Ada\n", [("REF-121", 2), ("REF-121", 2)]),
        ("premises\nSL-1\nSL-1\n", [("REF-122", 3)]),
        ("premises\nSL-1,x\n", [("REF-121", 2)]),
        ("premises,kind,customer\nSL-1,king,C-1\n", [("REF-121", 2)]),
        ("premises,account\nSL-1,AC-1\n", [("REF-121", 2)]),
        (f"premises\n{'x' * 301}\n", [("REF-121", 2)]),
        ('premises\n"SL-1\n', [("REF-120", 2)]),
    ],
)
def test_what_is_wrong_is_told_by_line(text: str, expected: list[tuple[str, int | None]]) -> None:
    """Who mends a table of a hundred thousand rows needs the line."""
    assert codes_of(text) == expected


def test_of_many_mistakes_some_are_told() -> None:
    """With so many it is time to look at the table as a whole."""
    text = "premises\n" + "SL-1\n" * 200
    assert len(codes_of(text)) == 50


def test_a_table_in_another_encoding_is_refused() -> None:
    """Names would come out wrong."""
    rows, (finding,) = parse_directory_csv("f.csv", "premises,name\nSL-1,Jörg\n".encode("latin-1"))
    assert rows == ()
    assert finding.code == "REF-120"
