"""Simple values: what a text means, how a value is written, and what is refused with which words."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from lxml import etree

from cimcare.codec.payload import parse_payload, render_payload
from cimcare.codec.values import canonical_xml, escape_text, line_of, reader_of, writer_of
from cimcare.errors import InputError
from cimcare.model.enumerations import WorkKind
from cimcare.model.trouble_ticket import TroubleTicket, TroubleTickets
from cimcare.schema.places import path_of


def read(kind: type, text: str) -> object:
    element = etree.Element("value")
    element.text = text
    return reader_of(kind)(element)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (bool, "1", True),
        (bool, " false ", False),
        (int, "+007", 7),
        (int, "-9223372036854775808", -(2**63)),
        (float, "1E3", 1000.0),
        (float, "-.5", -0.5),
        (Decimal, "12.50", Decimal("12.50")),
        (datetime, "2031-02-11T07:42:05Z", datetime(2031, 2, 11, 7, 42, 5, tzinfo=UTC)),
        (datetime, "2031-02-11T07:42:05.25+01:00", datetime(2031, 2, 11, 6, 42, 5, 250000, tzinfo=UTC)),
        (datetime, "2031-02-11T24:00:00Z", datetime(2031, 2, 12, tzinfo=UTC)),
        (datetime, "2031-02-11T07:42:05", datetime(2031, 2, 11, 7, 42, 5)),  # noqa: DTZ001 - without zone on purpose
        (datetime, "\n2031-02-11T07:42:05Z ", datetime(2031, 2, 11, 7, 42, 5, tzinfo=UTC)),
        (date, "2031-02-11", date(2031, 2, 11)),
        (WorkKind, "connect", WorkKind.connect),
        (str, "", ""),
        (str, "  blanks stay  ", "  blanks stay  "),
    ],
)
def test_reads(kind: type, text: str, value: object) -> None:
    assert read(kind, text) == value


@pytest.mark.parametrize(
    ("kind", "text", "code", "accepted"),
    [
        (bool, "yes", "COD-101", "true or false"),
        (int, "1.5", "COD-101", "an integer"),
        (int, "1_000", "COD-101", "an integer"),
        (int, "9223372036854775808", "COD-102", "64 bit"),
        (int, "9" * 5000, "COD-102", "64 bit"),
        (float, "nan", "COD-101", "a number"),
        (float, "INF", "COD-102", "finite"),
        (float, "1E999", "COD-102", "finite"),
        (Decimal, "1E3", "COD-101", "without exponent"),
        (Decimal, "NaN", "COD-101", "without exponent"),
        (Decimal, "twelve", "COD-101", "decimal"),
        (datetime, "", "COD-101", "an instant such as"),
        (datetime, "2031-02-11", "COD-101", "an instant such as"),
        (datetime, "11.02.2031 07:42", "COD-101", "an instant such as"),
        (datetime, "2031-02-30T00:00:00Z", "COD-101", "an instant such as"),
        (datetime, "12031-02-11T00:00:00Z", "COD-102", "years 0001 to 9999"),
        (datetime, "9999-12-31T24:00:00Z", "COD-101", "an instant such as"),
        (date, "2031-13-01", "COD-101", "a date such as"),
        (date, "today", "COD-101", "a date such as"),
        (WorkKind, "Connect", "COD-101", "one of connect"),
    ],
)
def test_refuses_and_says_what_would_pass(kind: type, text: str, code: str, accepted: str) -> None:
    with pytest.raises(InputError) as caught:
        read(kind, text)
    assert caught.value.finding.code == code
    assert accepted in caught.value.finding.accepted


def test_two_things_are_given_up_on_reading() -> None:
    """Digits beyond the microsecond and the zone of a date live on in the raw bytes only; the docs say so."""
    assert read(datetime, "2031-02-11T07:42:05.123456789Z") == datetime(2031, 2, 11, 7, 42, 5, 123456, tzinfo=UTC)
    assert read(date, "2031-02-11+01:00") == date(2031, 2, 11)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (datetime(2031, 2, 11, 7, 42, 5, tzinfo=UTC), "2031-02-11T07:42:05Z"),
        (datetime(2031, 2, 11, 7, 42, 5, 250000, tzinfo=UTC), "2031-02-11T07:42:05.25Z"),
        (datetime(2031, 2, 11, 7, 42, 5, tzinfo=timezone(timedelta(hours=-5))), "2031-02-11T07:42:05-05:00"),
        (datetime(2031, 2, 11, 7, 42, 5, tzinfo=timezone(timedelta(0))), "2031-02-11T07:42:05Z"),
        (datetime(31, 2, 11, 7, 42, 5, tzinfo=UTC), "0031-02-11T07:42:05Z"),
        (True, "true"),
        (1e-07, "1e-07"),
        (Decimal("1E+2"), "100"),
        (Decimal("12.50"), "12.50"),
        (date(2031, 2, 11), "2031-02-11"),
    ],
)
def test_writes_the_canonical_form(value: object, text: str) -> None:
    assert writer_of(type(value))(value) == text


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        2**63,
        Decimal("Infinity"),
        datetime(2031, 2, 11, tzinfo=timezone(timedelta(hours=1, seconds=30))),
    ],
)
def test_refuses_to_write_what_xml_schema_does_not_know(value: object) -> None:
    with pytest.raises(InputError) as caught:
        writer_of(type(value))(value)
    assert caught.value.finding.code == "COD-102"


@pytest.mark.parametrize("text", ["\x00", "bell \x07", "\ud800", "\ufffe"])
def test_refuses_characters_that_xml_cannot_carry(text: str) -> None:
    """Silently dropping them would change what a customer said."""
    with pytest.raises(InputError, match="XML-109"):
        escape_text(text)
    with pytest.raises(InputError, match="XML-109"):
        render_payload(TroubleTickets(trouble_ticket=(TroubleTicket(comment=text),)))


def test_markup_and_line_ends_survive() -> None:
    said = 'a < b & "c" > d\r\nnext\tline '
    payload = TroubleTickets(trouble_ticket=(TroubleTicket(comment=said),))
    assert parse_payload(render_payload(payload)) == payload


def test_a_path_counts_only_where_names_repeat() -> None:
    root = etree.fromstring("<a><b/><b>\n<c/></b></a>")
    assert path_of(root[1][0]) == "/a/b[2]/c"
    assert line_of(root, "/a/b[2]/c") == 2
    assert line_of(root, "/a/b[2]/nothing/here") == 1


def test_prefixes_named_in_texts_are_kept() -> None:
    """An xsi:type is worth nothing without the namespace that its prefix stands for."""
    root = etree.fromstring('<a xmlns:p="urn:p" xmlns:q="urn:q"><q:b kind="p:x">text</q:b>tail</a>')
    assert canonical_xml(root[0]) == '<q:b xmlns:p="urn:p" xmlns:q="urn:q" kind="p:x">text</q:b>'
