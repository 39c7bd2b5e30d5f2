"""The breaks of `make prove`: a proof that can no longer be made is found here, and not when somebody asks for it."""

import break_guarantees
import pytest
from break_guarantees import BREAKS, Break


@pytest.mark.parametrize("one", BREAKS, ids=lambda one: f"{one.guarantee} {one.what}")
def test_each_break_has_its_place_and_its_tests(one: Break) -> None:
    """The program changes; a break whose place is gone shows nothing about the promise any more."""
    assert (break_guarantees.ROOT / one.file).read_text(encoding="utf-8").count(one.before) == 1
    assert one.tests
    for test in one.tests:
        file, _, name = test.partition("::")  # without a name all tests of the file
        assert f"def {name.partition('[')[0]}" in (break_guarantees.ROOT / file).read_text(encoding="utf-8")
