"""The page of exchanges is whole. That the hub does as it says: `tests/exchange/test_table.py`."""

import pytest
from docs.exchanges import ARCHETYPES, NOUN_NAMES, cells

from cimcare.model.verbs import EVENT_VERBS, REQUEST_VERBS, Archetype, Verb


def test_the_table_is_whole() -> None:
    """A case that is missing would be a case that nobody thought of."""
    assert {(cell.verb, cell.noun, cell.archetype) for cell in cells()} == {
        (verb, noun, archetype) for verb in Verb for noun in NOUN_NAMES for archetype in ARCHETYPES
    }
    assert len(cells()) == 14 * 7 * 3


@pytest.mark.parametrize("archetype", ARCHETYPES)
def test_no_verb_is_taken_in_the_wrong_root(archetype: Archetype) -> None:
    """The standard's own rule, apart from anything that our systems serve."""
    own = {
        Archetype.REQUEST: REQUEST_VERBS,
        Archetype.EVENT: EVENT_VERBS,
        Archetype.RESPONSE: frozenset({Verb.REPLY}),
    }[archetype]
    taken = {cell.verb for cell in cells() if cell.archetype is archetype and not cell.code}
    assert taken <= own
