"""Our binding against an independent one: xsdata reads the same document into classes made from our XSD.

A mistake that our reader and our writer share would pass every round trip; it does not pass this.
"""

from collections.abc import Iterator
from dataclasses import fields
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from types import ModuleType

import pytest
from lxml import etree
from xsdata.formats.dataclass.parsers import XmlParser
from xsdata.formats.dataclass.serializers import XmlSerializer
from xsdata.models.datatype import XmlDate, XmlDateTime

from cimcare.codec.envelope import parse_message, render_message
from cimcare.codec.limits import parse_xml
from cimcare.codec.payload import parse_payload, render_payload
from cimcare.model.envelope import RequestMessage
from cimcare.model.nouns import NOUNS, Noun
from cimcare.model.structure import Structure, elements_of
from cimcare.model.verbs import Verb
from cimcare.samples.build import build_message, build_payload
from tests.support.xsdata_binding import generate_classes


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModuleType]:
    folder = tmp_path_factory.mktemp("xsdata")
    return generate_classes(folder, "Message.xsd", *(f"{noun}.xsd" for noun in Noun))


def same(ours: object, theirs: object) -> bool:
    """Whether two values of simple type are the same, each in its own library's type."""
    if isinstance(theirs, Enum):
        theirs = theirs.value
    if isinstance(theirs, XmlDateTime):
        return isinstance(ours, datetime) and ours == theirs.to_datetime()
    if isinstance(theirs, XmlDate):
        return isinstance(ours, date) and ours == theirs.to_date()
    if isinstance(ours, Decimal):
        return ours == Decimal(str(theirs))
    return ours == theirs


def differences(ours: Structure, theirs: object, path: str) -> Iterator[str]:
    by_name = {field.metadata.get("name", field.name): field.name for field in fields(theirs)}  # type: ignore[arg-type]
    for element in elements_of(type(ours)):
        mine = getattr(ours, element.field)
        other = getattr(theirs, by_name[element.name])
        mine_all = list(mine) if element.many else [] if mine is None else [mine]
        other_all = list(other) if isinstance(other, list) else [] if other is None else [other]
        if len(mine_all) != len(other_all):
            yield f"{path}/{element.name}: {len(mine_all)} of ours, {len(other_all)} of theirs"
            continue
        for one, two in zip(mine_all, other_all, strict=True):
            if element.is_complex:
                yield from differences(one, two, f"{path}/{element.name}")
            elif not same(one, two):
                yield f"{path}/{element.name}: {one!r} of ours, {two!r} of theirs"


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("noun", list(Noun))
def test_both_read_the_same_payload(noun: Noun, seed: int, generated: dict[str, ModuleType]) -> None:
    document = render_payload(build_payload(noun, seed=seed))
    theirs = XmlParser().from_bytes(document, getattr(generated[f"{noun}.xsd"], noun))
    assert list(differences(parse_payload(document), theirs, f"/{noun}")) == []


@pytest.mark.parametrize("noun", list(Noun))
def test_both_write_the_same_payload(noun: Noun, generated: dict[str, ModuleType]) -> None:
    document = render_payload(build_payload(noun, seed=11))
    theirs = XmlParser().from_bytes(document, getattr(generated[f"{noun}.xsd"], noun))
    written = XmlSerializer().render(theirs, ns_map={None: NOUNS[noun].namespace}).encode()
    assert parse_payload(written) == parse_payload(document)


@pytest.mark.parametrize("verb", [Verb.CREATE, Verb.CANCEL, Verb.GET])
def test_both_read_the_same_envelope(verb: Verb, generated: dict[str, ModuleType]) -> None:
    document = render_message(build_message(Noun.SERVICE_ORDERS, verb, seed=2))
    ours = parse_message(document)
    theirs = XmlParser().from_bytes(document, generated["Message.xsd"].RequestMessage)
    assert isinstance(ours, RequestMessage)
    assert list(differences(ours.header, theirs.header, "/Header")) == []
    if ours.request is not None:
        assert [identifier.value for identifier in ours.request.id] == [one.value for one in theirs.request.id]


def test_the_comparison_finds_a_planted_difference(generated: dict[str, ModuleType]) -> None:
    """A comparison that cannot fail would prove nothing."""
    document = render_payload(build_payload(Noun.INCIDENTS, seed=1))
    root = parse_xml(document)
    text = next(element for element in root.iter() if element.text and not len(element))
    text.text = (text.text or "") + "x"
    theirs = XmlParser().from_bytes(etree.tostring(root), generated["Incidents.xsd"].Incidents)
    assert len(list(differences(parse_payload(document), theirs, "/Incidents"))) == 1
