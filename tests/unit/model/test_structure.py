"""The model's own rules: order, names, facts of every member."""

import re
from pathlib import Path

import msgspec
import pytest
import yaml

from cimcare.model import enumerations
from cimcare.model.envelope import Header, ObjectID, Payload
from cimcare.model.nouns import ENTRIES, NOUNS, Noun, find_noun
from cimcare.model.service_order import UsagePoint
from cimcare.model.structure import Element, Structure, elements_of
from cimcare.model.trouble_ticket import TroubleTicket
from cimcare.model.verbs import EVENT_OF, EVENT_VERBS, REQUEST_VERBS, Verb

PROFILES = Path(__file__).parents[4] / "shared" / "reference" / "payload-profiles.yaml"


def reachable(structure: type[Structure]) -> dict[type[Structure], tuple[Element, ...]]:
    found: dict[type[Structure], tuple[Element, ...]] = {}
    waiting = [structure]
    while waiting:
        current = waiting.pop()
        if current in found:
            continue
        found[current] = elements_of(current)
        waiting += [element.kind for element in found[current] if element.is_complex]
    return found


def payload_structures() -> list[type[Structure]]:
    found: dict[type[Structure], None] = {}
    for entry in ENTRIES:
        for root in (entry.payload, entry.query, *entry.declared):
            found |= dict.fromkeys(reachable(root))
    return list(found)


def snake(name: str) -> str:
    if name == "mRID":
        return "mrid"
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


@pytest.mark.parametrize("structure", payload_structures(), ids=lambda structure: structure.__name__)
def test_members_stand_in_the_order_of_the_schemas(structure: type[Structure]) -> None:
    """A sequence refuses another order: mRID, simple members A to Z, complex members A to Z."""
    compounds_and_associations = [element for element in elements_of(structure) if element.is_complex]
    simple = [element for element in elements_of(structure) if not element.is_complex]
    names = [element.name for element in (*simple, *compounds_and_associations)]

    assert [element.name for element in elements_of(structure)] == names
    rest = [element.name.lower() for element in simple if element.name != "mRID"]
    assert rest == sorted(rest)
    assert "mRID" not in [element.name for element in simple[1:]]
    lowered = [element.name.lower() for element in compounds_and_associations]
    assert lowered == sorted(lowered)


@pytest.mark.parametrize("structure", payload_structures(), ids=lambda structure: structure.__name__)
def test_a_field_is_its_element_in_snake_case(structure: type[Structure]) -> None:
    """One mechanical rule, so nobody has to look a name up."""
    for element in elements_of(structure):
        assert element.field == snake(element.name)


@pytest.mark.parametrize("structure", payload_structures(), ids=lambda structure: structure.__name__)
def test_an_element_bears_the_name_of_its_cim_member(structure: type[Structure]) -> None:
    """What a reader finds in the CIM has the same name in the message."""
    for element in elements_of(structure):
        if element.member.cim is not None:
            assert element.member.cim.rpartition(".")[2] == element.name


@pytest.mark.parametrize("structure", payload_structures(), ids=lambda structure: structure.__name__)
def test_docstrings_give_cim_member_and_confidence(structure: type[Structure]) -> None:
    """`help()` is the first reference page an engineer opens."""
    text = structure.__doc__ or ""

    for element in elements_of(structure):
        line = next(line for line in text.splitlines() if line.strip().startswith(f"{element.field}:"))
        assert str(element.member.confidence) in line
        assert (element.member.cim or "") in line


def test_docstrings_give_units() -> None:
    """A voltage in kilovolts would be a thousand times wrong."""
    lines = (UsagePoint.__doc__ or "").splitlines()
    assert any("nominal_service_voltage" in line and "in volts" in line for line in lines)
    assert any("rated_current" in line and "in amperes" in line for line in lines)


def profile_shape(elements: list[dict[str, object]]) -> dict[str, tuple[str, object]]:
    return {str(element["name"]): (str(element["card"]), element) for element in elements}


def cardinality(element: Element) -> str:
    return f"{element.least}..{'*' if element.many else 1}"


@pytest.mark.skipif(not PROFILES.exists(), reason="the reference material does not lie beside the project")
@pytest.mark.parametrize("noun", list(Noun))
def test_every_element_of_the_profile_is_there_with_its_cardinality(noun: Noun) -> None:
    """The profiles are all we know of the payloads: nothing of them may get lost."""
    profile = yaml.safe_load(PROFILES.read_text())["profiles"][noun.value]
    checked = 0

    def compare(structure: type[Structure], elements: list[dict[str, object]]) -> None:
        nonlocal checked
        ours = {element.name: element for element in elements_of(structure)}
        for wanted in elements:
            element = ours[str(wanted["name"])]
            assert cardinality(element) == wanted["card"], (structure, wanted)
            checked += 1
            if "elements" in wanted:
                compare(element.kind, wanted["elements"])  # type: ignore[arg-type]
            elif wanted["type"] in profile["types"]:
                compare(element.kind, profile["types"][wanted["type"]]["elements"])
            elif str(wanted["type"])[0].isupper() and element.kind.__module__.endswith("enumerations"):
                assert element.kind.__name__ == wanted["type"]

    root = profile["types"].get(noun.value)
    if root is None:
        form = profile["root"]
        root = {"elements": [{"name": form["child"], "card": form["child_card"], "type": form["child_type"]}]}
    wanted_root = [{**element, "card": element["card"]} for element in root["elements"]]
    compare(NOUNS[noun].payload, wanted_root)
    assert checked > 40


@pytest.mark.skipif(not PROFILES.exists(), reason="the reference material does not lie beside the project")
def test_every_enumeration_has_all_literals() -> None:
    """A literal left out would make a valid message of a partner invalid."""
    model = yaml.safe_load((PROFILES.parent / "cim-customer-model.yaml").read_text())

    for name in enumerations.__all__:
        kind = getattr(enumerations, name)
        if name != "NOT_IN_PART_6":
            assert [member.value for member in kind] == model["enumerations"][name]["literals"]


def test_nothing_invents_identifiers_or_instants() -> None:
    """Two values built from the same arguments are the same value, whenever they are built."""
    assert TroubleTicket() == TroubleTicket()
    assert Header(verb=Verb.GET, noun="Incidents") == Header(verb=Verb.GET, noun="Incidents")
    assert Header(verb=Verb.GET, noun="Incidents").message_id is None


def test_values_are_frozen() -> None:
    with pytest.raises(AttributeError):
        TroubleTicket().comment = "changed"  # type: ignore[misc]


def test_a_payload_holds_one_alternative_only() -> None:
    """Message.xsd has a choice there; a value that breaks it must not come into being."""
    with pytest.raises(ValueError, match="give one of them"):
        Payload(compressed="x", id=(ObjectID(value="1"),))


def test_unknown_members_are_refused_in_json() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.json.decode(b'{"troubelCode": "NO_SUPPLY"}', type=TroubleTicket)


def test_every_verb_is_request_event_or_reply() -> None:
    assert REQUEST_VERBS | EVENT_VERBS | {Verb.REPLY} == frozenset(Verb)
    assert frozenset(EVENT_OF) == REQUEST_VERBS - {Verb.GET}


def test_aliases_of_nouns_count_only_when_asked_for() -> None:
    """Strict reading must not let a noun pass that the standard does not know."""
    assert find_noun("IncidentInformation") is None
    entry = find_noun("IncidentInformation", aliases=True)
    assert entry is not None
    assert entry.noun is Noun.INCIDENTS


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.noun)
def test_the_table_names_the_field_that_holds_the_objects(entry: object) -> None:
    names = {element.field: element.name for element in elements_of(entry.payload)}  # type: ignore[attr-defined]
    assert names[entry.item] == entry.item_name  # type: ignore[attr-defined]
