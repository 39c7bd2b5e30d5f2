"""Requirements: each statement is bound to tests that exist, and the page is made from them."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from docs.tables import ROOT, read_requirements

FIELDS = {"id", "group", "clause", "text", "origin", "tests"}
ID = re.compile(r"R-(100|8|OUR)-\d{3}\Z")
REQUIREMENTS = read_requirements()


@cache
def names_in(file: str) -> frozenset[str]:
    """Names of the test functions of a file; none if there is no such file."""
    path = ROOT / file
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text("utf-8"))
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


def is_there(test: str) -> bool:
    file, _, name = test.partition("::")
    return name in names_in(file)


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda each: str(each["id"]))
def test_a_statement_names_tests_that_exist(requirement: dict[str, object]) -> None:
    """A claim without a test is a wish; a claim whose test was renamed is one that nobody looks after."""
    assert set(requirement) == FIELDS
    tests = requirement["tests"]
    assert isinstance(tests, list)
    assert tests
    assert [test for test in tests if not is_there(test)] == []
    assert len(set(tests)) == len(tests)


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda each: str(each["id"]))
def test_a_statement_says_what_whence_and_by_which_clause(requirement: dict[str, object]) -> None:
    """An auditor reads these four and nothing else."""
    assert ID.match(str(requirement["id"]))
    assert requirement["origin"] in {"standard", "reading", "profile"}
    assert str(requirement["text"]).endswith(".")
    assert str(requirement["clause"]).strip()
    # Statements under our own numbers are never said to be the standard's.
    assert not (str(requirement["id"]).startswith("R-OUR") and requirement["origin"] != "profile")


def test_identifiers_are_unique() -> None:
    """They are quoted in contracts."""
    identifiers = [requirement["id"] for requirement in REQUIREMENTS]
    assert len(set(identifiers)) == len(identifiers)


def test_the_search_for_tests_can_fail() -> None:
    """Or it would find whatever it is asked for."""
    own = Path(__file__).relative_to(ROOT).as_posix()
    assert is_there(f"{own}::test_identifiers_are_unique")
    assert not is_there(f"{own}::test_that_nobody_wrote")
    assert not is_there(f"{own}::is_there")
    assert not is_there("tests/docs/test_nowhere.py::test_identifiers_are_unique")


def test_guarantees_name_tests_that_exist() -> None:
    """A promise that holds is one that somebody tries to break."""
    page = (ROOT / "docs/guarantees.md").read_text("utf-8")
    named = re.findall(r"`(tests/[^`]+::test_[^`]+)`", page)
    assert named
    assert [test for test in named if not is_there(test)] == []
    holding = re.findall(r"^\| (G\d+) \|.*\| \*\*(?:holds|in part)\*\*", page, re.MULTILINE)
    tested = set(re.findall(r"^\| (G\d+)[^|]*\|[^|]*\| `tests/", page, re.MULTILINE))
    assert set(holding) == tested
