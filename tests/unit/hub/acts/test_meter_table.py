"""Tables of meter events: what is read, and that everything wrong is named by row."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cimcare.hub.acts.meter_table import CSV, JSON, MOST_EVENTS, TableError, read_events, render_events
from cimcare.model.network import MeterEvent

OFF = MeterEvent(point="UP-1", is_off=True, at=datetime(2030, 6, 1, 12, tzinfo=UTC))
ON = MeterEvent(point="M 2; ä", is_off=False, at=datetime(2030, 6, 1, 12, 0, 0, 500000, tzinfo=UTC))


def wrong_in(raw: bytes | str, media_type: str = CSV, **more: int) -> list[tuple[str, str]]:
    with pytest.raises(TableError) as caught:
        read_events(raw if isinstance(raw, bytes) else raw.encode(), media_type, **more)
    return [(finding.code, finding.path) for finding in caught.value.findings]


@pytest.mark.parametrize(
    "text",
    [
        'point,state,at\nUP-1,off,2030-06-01T12:00:00Z\n"M 2; ä",on,2030-06-01T14:00:00.5+02:00\n',
        '\ufeffAt;State;Point\r\n2030-06-01T12:00:00Z;OFF;UP-1\r\n\r\n2030-06-01T12:00:00.5Z;On;"M 2; ä"\r\n',
        "point\tmake\tstate\tat\nUP-1\tx\toff\t2030-06-01T12:00:00Z\nM 2; ä\t\ton\t2030-06-01T12:00:00.500Z",
    ],
    ids=["comma", "semicolon, as from a spreadsheet", "tab, and more columns"],
)
def test_csv_is_read_as_programs_write_it(text: str) -> None:
    """Nobody should have to reshape the export of a head end."""
    assert read_events(text.encode(), CSV) == (OFF, ON)


@given(
    st.lists(
        st.builds(
            MeterEvent,
            point=st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=20),
            is_off=st.booleans(),
            at=st.datetimes(timezones=st.just(UTC)),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_what_is_written_is_read_back(events: list[MeterEvent]) -> None:
    """The command sends what it has read in the other form."""
    assert read_events(render_events(tuple(events)), JSON) == tuple(events)


def test_everything_wrong_is_named_by_row_and_line() -> None:
    """One correction for all, and no search."""
    table = "point,state,at\n\nUP-1,off,2030-06-01T12:00:00Z\n,away,2030-06-01T12:00:00\nUP-3,on\n"
    assert wrong_in(table) == [
        ("COD-104", "/events[2]/point"),
        ("COD-101", "/events[2]/state"),
        ("COD-101", "/events[2]/at"),
        ("COD-104", "/events[3]/at"),
    ]
    with pytest.raises(TableError, match="line 4: 'away'"):
        read_events(table.encode(), CSV)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "CNV-110"),
        (b"point,state,at\n", "CNV-110"),
        (b"point,at\nUP-1,2030-06-01T12:00:00Z\n", "COD-104"),
        (b"point,point,state,at\n", "COD-104"),
        (b"point,state,at\n\xff,off,2030-06-01T12:00:00Z\n", "COD-101"),
        (b'point,state,at\n"UP-1,off,2030-06-01T12:00:00Z\n', "COD-101"),
    ],
)
def test_what_is_no_such_csv_is_refused(raw: bytes, code: str) -> None:
    """With what would be one."""
    assert [found for found, _ in wrong_in(raw)] == [code]


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"[]", "CNV-110"),
        (b"{}", "COD-105"),
        (b"[1]", "COD-105"),
        (b"[" * 10_000, "COD-105"),
        (b'[{"point": 7, "state": "off", "at": "2030-06-01T12:00:00Z"}]', "COD-101"),
        (b'[{"point": "a\\u0000", "state": "off", "at": "2030-06-01T12:00:00Z"}]', "COD-101"),
        (b'[{"point": "' + b"x" * 201 + b'", "state": "off", "at": "2030-06-01T12:00:00Z"}]', "COD-101"),
        (b'[{"point": "a", "state": "off", "at": "0001-01-01T00:00:00+14:00"}]', "COD-101"),
    ],
)
def test_what_is_no_such_json_is_refused(raw: bytes, code: str) -> None:
    """With what would be one."""
    assert [found for found, _ in wrong_in(raw, JSON)] == [code]


def test_tables_have_bounds() -> None:
    """One transaction judges all of it, and a list of ten thousand mistakes helps nobody."""
    row = "UP-1,off,2030-06-01T12:00:00Z\n"
    whole = "point,state,at\n" + row * (MOST_EVENTS + 1)
    assert wrong_in(whole) == [("XML-103", "/")]
    assert len(read_events(whole.encode(), CSV, most=None)) == MOST_EVENTS + 1
    assert len(wrong_in("point,state,at\n" + "x,y,z\n" * 500)) == 100
    assert wrong_in("x", "text/plain") == [("NET-102", "/")]
