"""The error table, and findings in one line."""

import re

import pytest

from cimcare.errors import ERRORS, CimcareError, Finding, InputError, Level, finding_of

GROUPS = ["XML", "ENV", "COD", "SCH", "LEN", "CNV", "REF", "LIF", "BUS", "EXC", "NET", "SET"]


def test_codes_have_their_form_and_stand_in_order() -> None:
    """A code is looked up by people; groups and numbers rise."""
    assert all(re.fullmatch(r"[A-Z]{3}-\d{3}", code) and code == row.code for code, row in ERRORS.items())
    assert set(GROUPS) <= {code[:3] for code in ERRORS}
    for group in {code[:3] for code in ERRORS}:
        own = [code for code in ERRORS if code[:3] == group]
        assert own == sorted(own)


@pytest.mark.parametrize("code", ERRORS)
def test_row_is_whole(code: str) -> None:
    """A reply without code, or a problem without title, helps nobody."""
    row = ERRORS[code]
    assert re.fullmatch(r"\d\.\d{1,2}", row.reply_code)
    assert row.title
    assert row.title[0] == row.title[0].lower() or row.title.split()[0].isupper()
    assert not row.title.endswith(".")
    assert row.http == 200 or 400 <= row.http < 600
    assert (row.reply_code.startswith("0.")) <= (row.level is not Level.FATAL)
    assert (row.soap == "Server") == (row.http >= 500)


def test_titles_are_unlike() -> None:
    """Two codes with one title could not be told apart in a reply; periods are judged in two places on purpose."""
    titles = [row.title for row in ERRORS.values()]
    assert {title for title in titles if titles.count(title) > 1} <= {"period ends before it starts"}


def test_finding_is_one_line_with_what_is_known() -> None:
    """The format is promised: editors and scripts read it."""
    finding = finding_of("SCH-103", "/A/B", "text x", "a number", "clause 5", line=7)
    assert finding.describe("f.xml") == "f.xml:7: /A/B: SCH-103 text x; a number; clause 5"
    assert finding.describe() == "7: /A/B: SCH-103 text x; a number; clause 5"
    bare = finding_of("SCH-103", "/A/B", "text x", "a number")
    assert bare.describe("f.xml") == "f.xml: /A/B: SCH-103 text x; a number"
    assert bare.describe() == "/A/B: SCH-103 text x; a number"


@pytest.mark.parametrize("mark", ["\n", "\r\n", "\t", "\x0b", "\x85", "\u2028", "\n\n  \n"])
def test_finding_is_one_line_whatever_was_found(mark: str) -> None:
    """Input decides about `found`; it must not be able to write lines of its own into a log."""
    finding = finding_of("SCH-103", "/A", f"x{mark}y.xml: valid", "z")
    assert finding.describe() == "/A: SCH-103 x y.xml: valid; z"
    assert finding.found == f"x{mark}y.xml: valid"


def test_finding_has_the_level_of_its_code() -> None:
    """Whether a message is refused hangs on it."""
    assert finding_of("REF-105", "/", "", "").level is Level.WARNING
    assert finding_of("REF-103", "/", "", "").level is Level.FATAL
    with pytest.raises(KeyError):
        finding_of("REF-999", "/", "", "")


def test_input_error_carries_finding_and_row() -> None:
    """Whoever catches it can answer in every protocol."""
    error = InputError(finding_of("XML-103", "/", "9 bytes", "8 bytes"))
    assert isinstance(error, CimcareError)
    assert (error.code, error.row.reply_code, error.row.http) == ("XML-103", "3.1", 413)
    assert str(error) == error.finding.describe()


def test_findings_are_values() -> None:
    """Equal if they say the same; nobody can change one on its way."""
    one = Finding(code="XML-101", path="/", found="a", accepted="b")
    assert one == finding_of("XML-101", "/", "a", "b")
    with pytest.raises(AttributeError):
        one.path = "/x"  # type: ignore[misc]  # that it cannot be done is the point
