"""Hypothesis strategies made from the model: any value of any Structure, any message.

They know nothing of rules: a header may say `cancel` above a payload that nobody would send. What the XML and JSON
forms can carry is drawn, the awkward above all: markup characters, line ends, blanks at both ends, empty texts.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar

from hypothesis import strategies as st

from cimcare.model.envelope import (
    AnyMessage,
    EventMessage,
    FaultMessage,
    Message,
    Operation,
    Payload,
    ReplyError,
    Request,
    RequestMessage,
    ResponseMessage,
)
from cimcare.model.nouns import ENTRIES, PayloadRoot, Query
from cimcare.model.structure import Element, Extension, Structure, elements_of

StructureT = TypeVar("StructureT", bound=Structure)

EXTENSIONS = (
    '<x:note xmlns:x="urn:example:vendor">text</x:note>',
    '<x:flag xmlns:x="urn:example:vendor" level="2"></x:flag>',
    '<y:outer xmlns:y="urn:example:other"><y:inner>a &lt; b &amp; c</y:inner><y:inner></y:inner></y:outer>',
    '<note xmlns="urn:example:plain">text <b>and</b> more</note>',
)
"""Elements no schema of ours knows, in exclusive canonical form."""

# All that XML 1.0 can carry: no surrogates, no U+FFFE and U+FFFF, no control characters but tab, line feed and return.
_CHARACTERS = st.one_of(
    st.sampled_from("\t\n\r <>&'\"]/;é€😀\u0085\u2028"),
    st.characters(min_codepoint=0x20, exclude_categories=("Cs",), exclude_characters="\ufffe\uffff"),
)
_TEXTS = st.one_of(
    st.sampled_from(("", " ", "\t a\r\n ", "]]>", "<!-- -->", "&amp;", "plain")), st.text(_CHARACTERS, max_size=12)
)
_NAMES = st.sampled_from(("Payload", "Header", "tt:TroubleTicket"))
_FIRST, _LAST = datetime.fromisoformat("1900-01-02T00:00:00"), datetime.fromisoformat("2199-12-30T00:00:00")
_OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)) if minutes else UTC)


def texts() -> st.SearchStrategy[str]:
    """Short texts of characters that XML 1.0 can carry."""
    return _TEXTS


def instants() -> st.SearchStrategy[datetime]:
    """Aware instants with microseconds and any offset of whole minutes that xs:dateTime allows."""
    return st.datetimes(_FIRST, _LAST, timezones=_OFFSETS)


def structures(cls: type[StructureT]) -> st.SearchStrategy[StructureT]:
    """Any value of a Structure class; small, so that a search covers much."""
    return _structures(cls, 0)


def payloads() -> st.SearchStrategy[PayloadRoot]:
    """Any payload root of the six nouns."""
    return st.one_of([structures(entry.payload) for entry in ENTRIES])


def queries() -> st.SearchStrategy[Query]:
    """Any `Get<Noun>` element."""
    return st.one_of([structures(entry.query) for entry in ENTRIES])


def messages() -> st.SearchStrategy[AnyMessage]:
    """Any message of the five roots."""
    return st.one_of(
        [structures(each) for each in (RequestMessage, ResponseMessage, EventMessage, FaultMessage, Message)]
    )


@cache
def _structures(cls: type[Structure], depth: int) -> st.SearchStrategy[Any]:
    if cls is Payload:
        return _payload_values(depth)
    if cls is Operation:
        return _built(cls, depth, {"content": st.none() | st.deferred(payloads) | _unknown_elements()})
    if cls is Request:
        return _built(cls, depth, {"query": st.none() | st.deferred(queries)})
    if cls is ReplyError:
        # xs:QName by the schema: free text would not validate.
        return _built(cls, depth, {"xpath": st.none() | _NAMES})
    return _built(cls, depth, {})


def _built(cls: type[Structure], depth: int, others: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Structure]:
    """Values of a class; `others` says what to draw for fields that its elements do not describe well enough."""
    elements = [each for each in elements_of(cls) if each.field not in others]
    always = [each for each in elements if each.least_partial]
    optional = [each for each in elements if not each.least_partial]
    # Trees of these classes are wide; deep down only a few members are taken.
    most = min(len(optional), max(1, 5 - depth))
    least = min(most, max(0, 2 - depth))
    extensible = cls not in {Payload, Operation} and not any(each.member.text_content for each in elements)

    @st.composite
    def build(draw: Callable[[st.SearchStrategy[Any]], Any]) -> Structure:
        taken = (
            draw(st.sets(st.sampled_from(range(len(optional))), min_size=least, max_size=most)) if optional else set()
        )
        values: dict[str, Any] = {}
        children = 0
        for element in [*always, *(optional[index] for index in sorted(taken))]:
            value = draw(_occurrence(element, depth + 1))
            if element.many:
                value = (value, *draw(st.lists(_occurrence(element, depth + 2), max_size=1)))
            values[element.field] = value
            if not element.member.attribute:
                children += len(value) if element.many else 1
        for name, strategy in others.items():
            values[name] = draw(strategy)
            children += values[name] is not None
        if extensible and draw(st.integers(0, 7)) == 7:
            values["extensions"] = draw(_extensions(children))
        return cls(**values)

    return build()


def _payload_values(depth: int) -> st.SearchStrategy[Payload]:
    """Payload is a choice: one of its alternatives at a time, each perhaps with Format."""
    elements = {each.field: each for each in elements_of(Payload)}
    contents = st.lists(payloads() | _unknown_elements(), min_size=1, max_size=2).map(tuple)
    identifiers = st.lists(_occurrence(elements["id"], depth + 1), min_size=1, max_size=2).map(tuple)
    alternatives = st.one_of(
        contents.map(lambda value: {"content": value}),
        _occurrence(elements["operation_set"], depth + 1).map(lambda value: {"operation_set": value}),
        texts().map(lambda value: {"compressed": value}),
        identifiers.map(lambda value: {"id": value}),
        st.just({}),
    )
    formats = st.sampled_from((None, "XML", "JSON", "BINARY", ""))
    return st.builds(lambda chosen, hint: Payload(**chosen, format=hint), alternatives, formats)


def _occurrence(element: Element, depth: int) -> st.SearchStrategy[Any]:
    kind = element.kind
    if issubclass(kind, Structure):
        return _structures(kind, depth)
    if issubclass(kind, StrEnum):
        return st.sampled_from(tuple(kind))
    return _SIMPLE[kind]


_SIMPLE: dict[type[Any], st.SearchStrategy[Any]] = {
    str: texts(),
    bool: st.booleans(),
    int: st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3),
    float: st.floats(allow_nan=False, allow_infinity=False),
    Decimal: st.decimals(Decimal("-1e12"), Decimal("1e12"), places=2),
    date: st.dates(date(1900, 1, 1), date(2199, 12, 31)),
    datetime: instants(),
}


def _unknown_elements() -> st.SearchStrategy[Extension]:
    return st.sampled_from(EXTENSIONS).map(lambda xml: Extension(xml=xml))


def _extensions(children: int) -> st.SearchStrategy[tuple[Extension, ...]]:
    one = st.builds(Extension, xml=st.sampled_from(EXTENSIONS), after=st.integers(0, children))
    # They are read back in the order in which they stand.
    return st.lists(one, min_size=1, max_size=2).map(lambda found: tuple(sorted(found, key=lambda each: each.after)))
