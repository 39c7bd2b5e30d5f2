"""Pages of the model: nouns, queries, envelope, enumerations."""

import ast
import inspect
import re
from datetime import date, datetime, time
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise
from pathlib import Path

import msgspec
from lxml import etree

from cimcare.codec.envelope import render_message
from cimcare.codec.json_body import render_json
from cimcare.errors import finding_of
from cimcare.exchange.patterns import build_fault
from cimcare.model import enumerations, envelope, identity, values
from cimcare.model.envelope import MESSAGE_NAMESPACE, AnyMessage, ErrorLevel, IDKind, Result
from cimcare.model.nouns import ENTRIES, NounEntry
from cimcare.model.structure import Element, Structure, elements_of
from cimcare.model.verbs import EVENT_OF, REQUEST_VERBS, Archetype, Verb
from cimcare.samples import build_message
from cimcare.schema.wsdl import SERVICES
from docs.markdown import anchor, code, fence, page, table

__all__ = ["pages"]

_PLAIN = {
    str: "xs:string",
    bool: "xs:boolean",
    int: "xs:integer",
    float: "xs:float",
    Decimal: "xs:decimal",
    datetime: "xs:dateTime",
    date: "xs:date",
    time: "xs:time",
}
_UNIT = re.compile(r"\bin ([a-z]+ \([^)]+\))")

CONFIDENCE = """\
How well founded a member is: **standard**, read from a schema of the standards, the published one or its final draft;
**reading**, follows from the CIM classes, since the schema of IEC 61968-8 itself was not seen; **ours**, our addition,
always optional."""


def pages() -> dict[str, str]:
    """Pages by path below docs/."""
    nouns = {f"reference/nouns/{entry.noun}.md": _noun_page(entry) for entry in ENTRIES}
    return {
        **nouns,
        "reference/nouns/README.md": _nouns_page(),
        "reference/queries.md": _queries_page(),
        "reference/envelope.md": _envelope_page(),
        "reference/enumerations.md": _enumerations_page(),
    }


# ------------------------------------------------------------------------------------------------- structures


def reachable(root: type[Structure]) -> list[type[Structure]]:
    """The Structure and all that its members lead to, in the order of the first meeting."""
    found, waiting = [root], [root]
    while waiting:
        for element in elements_of(waiting.pop(0)):
            kind = element.kind
            if issubclass(kind, Structure) and kind not in found:
                found.append(kind)
                waiting.append(kind)
    return found


def structure_section(structure: type[Structure], shown: list[type[Structure]], *, is_cim: bool) -> str:
    """Heading, sentence and table of members of one Structure."""
    elements = elements_of(structure)
    rows = [_member_row(element, shown, is_cim=is_cim) for element in elements]
    rows.extend(_open_rows(structure, elements, is_cim=is_cim))
    heads = ["Element", "Python field", "Type", "Full", "Partial"]
    heads += ["CIM member", "Unit", "Confidence", "Remark"] if is_cim else ["Confidence", "Remark"]
    names = f"Element type `{structure.XML_TYPE}`"
    if structure.CIM_CLASS:
        names += f", CIM class `{structure.CIM_CLASS}`"
    names += f", in Python `{structure.__module__}.{structure.__name__}`."
    body = table(heads, rows) if rows else "No members."
    return f"### {structure.__name__}\n\n{_first_paragraphs(structure)}\n\n{names}\n\n{body}"


def _first_paragraphs(structure: type[Structure]) -> str:
    text = inspect.cleandoc(structure.__doc__ or "")
    return text.split("\n\nMembers, in the order of the schema:")[0].strip()


def _member_row(element: Element, shown: list[type[Structure]], *, is_cim: bool) -> list[str]:
    member = element.member
    name = f"`@{element.name}`" if member.attribute else "(text)" if member.text_content else code(element.name)
    most = "\\*" if element.many else "1"
    row = [
        name,
        code(element.field),
        _type_of(element, shown),
        f"{element.least}..{most}",
        f"{element.least_partial}..{most}",
    ]
    if is_cim:
        row += [code(member.cim or ""), _UNITS.get(element.datatype or "", "")]
    return [*row, member.confidence.value, member.text]


def _open_rows(structure: type[Structure], elements: tuple[Element, ...], *, is_cim: bool) -> list[list[str]]:
    """Members that hold an element of another namespace, which is no Element of the model."""
    known = {element.field for element in elements} | {"extensions"}
    rows = []
    for info in msgspec.structs.fields(structure):
        if info.name not in known:
            most = "\\*" if info.name == "content" and structure is envelope.Payload else "1"
            row = ["(any)", code(info.name), "element of another namespace", f"0..{most}", f"0..{most}"]
            rows.append([*row, *(["", ""] if is_cim else []), "standard", _OPEN[structure.__name__]])
    return rows


_OPEN = {
    "Request": "The `Get<Noun>` element of the noun: [queries](queries.md).",
    "Payload": "The payload root of the noun: [nouns](nouns/README.md). What is not known is kept as it came.",
    "Operation": "The payload root of the operation.",
}


def _type_of(element: Element, shown: list[type[Structure]]) -> str:
    kind = element.kind
    if issubclass(kind, Structure):
        return f"[{kind.__name__}](#{anchor(kind.__name__)})" if kind in shown else kind.__name__
    if issubclass(kind, StrEnum):
        depth = "" if kind in _ENVELOPE_ENUMS else "../"
        return f"[{kind.__name__}]({depth}enumerations.md#{anchor(kind.__name__)})"
    plain = _PLAIN[kind]
    return f"{element.datatype} ({plain})" if element.datatype else plain


def _newtypes() -> dict[str, str]:
    """What the source says of each simple type of its own: name -> text."""
    texts = {}
    for module in (identity, values):
        body = ast.parse(Path(module.__file__ or "").read_text("utf-8")).body
        for statement, following in pairwise(body):
            is_newtype = (
                isinstance(statement, ast.Assign)
                and isinstance(statement.value, ast.Call)
                and isinstance(statement.value.func, ast.Name)
                and statement.value.func.id == "NewType"
            )
            if is_newtype and isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                assert isinstance(statement, ast.Assign)
                name = statement.targets[0]
                assert isinstance(name, ast.Name)
                texts[name.id] = str(following.value.value)
    return texts


NEWTYPES = _newtypes()
_UNITS = {name: found[1] for name, text in NEWTYPES.items() if (found := _UNIT.search(text))}
_ENVELOPE_ENUMS: tuple[type[StrEnum], ...] = (Verb, Archetype, Result, ErrorLevel, IDKind)


# ------------------------------------------------------------------------------------------------- pages


def pretty(message: AnyMessage) -> str:
    """A message as XML, indented for reading."""
    root = etree.fromstring(render_message(message))
    etree.indent(root)
    return etree.tostring(root, encoding="unicode")


def _facts(entry: NounEntry) -> str:
    services = ", ".join(f"`/soap/{service.name}`" for service in SERVICES.values() if service.entry is entry)
    own = "The schema of this payload in IEC 61968-8 was not available."
    part_6 = (
        "IEC 61968-8 gives no schema for this payload; it is that of IEC 61968-6, whose published form was not seen."
    )
    return f"""\
{part_6 if entry.part_6 else own} What follows is **our reading**, made from the CIM classes; it is not the official
schema. Whoever owns the official one can [put it in its place](../../guides/own-schemas.md).

- Clause: {entry.clause}
- Owner (serves requests): {entry.owner}
- Objects: `{entry.noun}/{_item_element(entry)}`
- Namespace: `{entry.namespace}`
- Namespace of the query: `{entry.query_namespace}`
- Namespace of the strongly typed messages: `{entry.message_namespace}`
- Other names read in lenient mode: {", ".join(f"`{alias}`" for alias in entry.aliases)}
- Schemas: `cimcare schema export DIR` writes `{entry.noun}.xsd`, full and partial
- Strongly typed services: {services}
- Which verbs are served: [exchanges](../exchanges.md)

{CONFIDENCE}

*Full* is the number of occurrences that a `create` or `created` must have, *partial* that of every other message."""


def _item_element(entry: NounEntry) -> str:
    return next(element.name for element in elements_of(entry.payload) if element.field == entry.item)


def _noun_page(entry: NounEntry) -> str:
    structures = reachable(entry.payload)
    structures += [declared for declared in entry.declared if declared not in structures]
    sections = [structure_section(structure, structures, is_cim=True) for structure in structures]
    return page(
        entry.noun,
        "the model",
        _facts(entry),
        "## Structures",
        *sections,
        "## Sample",
        f"A valid create, as `cimcare sample {entry.noun}` prints it (indented here).",
        fence(pretty(build_message(entry.noun, Verb.CREATE)), "xml"),
    )


def _nouns_page() -> str:
    rows = [
        [
            f"[{entry.noun}]({entry.noun}.md)",
            entry.clause,
            entry.owner.value,
            code(entry.namespace),
            ", ".join(code(alias) for alias in entry.aliases),
            "IEC 61968-6" if entry.part_6 else "our reading of the CIM classes",
        ]
        for entry in ENTRIES
    ]
    simple = [[code(name), text] for name, text in sorted(NEWTYPES.items())]
    return page(
        "Nouns",
        "the table of nouns",
        "Names, namespaces and payloads of all six are our reading, since Annex A of IEC 61968-8 was not available.",
        table(["Noun", "Clause", "Owner", "Namespace", "Other names", "Payload after"], rows),
        "## Simple types of their own",
        table(["Type", "Meaning"], simple),
    )


def _queries_page() -> str:
    parts = []
    for entry in ENTRIES:
        structures = reachable(entry.query)
        rows = []
        for element in elements_of(entry.query):
            inner = ", ".join(f"`{each.name}`" for each in elements_of(element.kind))
            rows.append([code(element.name), code(element.field), "0..\\*", inner])
        parts.append(
            f"## Get{entry.noun}\n\nNamespace `{entry.query_namespace}`.\n\n"
            + table(["Element", "Python field", "Occurs", "May hold"], rows)
        )
        assert len(structures) > 1
    return page(
        "Queries",
        "the model",
        """\
A `get` says what it wants in its Request section: by `ID`, by `StartTime` and `EndTime`, by `Option`, or by a
`Get<Noun>` element of its own namespace. The query elements are **ours**: IEC 61968-8 lists none. Their namespaces
follow the pattern of the sister parts.

- A `Get<Noun>` element that states filters wins over `StartTime`, `EndTime` and `ID`.
- Filters of one kind are alternatives; filters of different kinds add up.
- An object is named by `mRID` or by `Names/name`.
- Nothing found for a filter is an empty payload root and `OK`. An `ID` that nobody has is an error: code 2.15.
- The options `limit` (a number from 1) and `state` (a state of the lifecycle) are ours; other options are passed over
  with a warning (EXC-110).""",
        *parts,
    )


_ROOTS = (
    envelope.RequestMessage,
    envelope.ResponseMessage,
    envelope.EventMessage,
    envelope.FaultMessage,
    envelope.Message,
)


def _envelope_page() -> str:
    structures: list[type[Structure]] = []
    for root in _ROOTS:
        structures += [structure for structure in reachable(root) if structure not in structures]
    structures.sort(key=lambda structure: structure not in _ROOTS)
    verbs = [
        [code(request), "`reply`", code(EVENT_OF[request].value) if request in EVENT_OF else "none"]
        for request in sorted(REQUEST_VERBS, key=list(Verb).index)
    ]
    fault = build_fault((finding_of("ENV-103", "/RequestMessage/Header", "no Verb", "a Verb"),), node="CIS")
    noun = ENTRIES[0].noun
    json_form = msgspec.json.format(render_json(build_message(noun, Verb.CANCEL)), indent=2).decode()
    return page(
        "Envelope",
        "the model",
        f"""\
The message envelope of IEC 61968-100:2013 (edition 1), namespace `{MESSAGE_NAMESPACE}`. The schema is
**the standard's**; our `Message.xsd` is derived from the model, not copied. `Full` and `Partial` are the same here.
Elements of other namespaces are read, kept and written back wherever the schema has a wildcard.""",
        "## Verbs",
        table(["Request", "Reply", "Event"], verbs),
        "## Structures",
        *(structure_section(structure, structures, is_cim=False) for structure in structures),
        "## Samples",
        f"### Request\n\n{fence(pretty(build_message(noun, Verb.CANCEL)), 'xml')}",
        f"### Reply\n\n{fence(pretty(build_message(noun, Verb.REPLY)), 'xml')}",
        f"### Event\n\n{fence(pretty(build_message(noun, Verb.CANCELED)), 'xml')}",
        f"### Fault\n\n{fence(pretty(fault), 'xml')}",
        f"### The request as JSON (our profile)\n\n{fence(json_form, 'json')}",
    )


def _enumerations_page() -> str:
    users: dict[str, set[str]] = {}
    for root in (*(entry.payload for entry in ENTRIES), *(entry.query for entry in ENTRIES), *_ROOTS):
        for structure in reachable(root):
            for element in elements_of(structure):
                if issubclass(element.kind, StrEnum):
                    users.setdefault(element.kind.__name__, set()).add(f"{structure.__name__}.{element.field}")
    ours = [getattr(enumerations, name) for name in enumerations.__all__]
    cim = [each for each in ours if isinstance(each, type) and issubclass(each, StrEnum)]
    return page(
        "Enumerations",
        "the model",
        """\
Literals of the CIM enumerations, each the union of several levels of the CIM, spelt as the CIM spells them. Which of
them the schemas of IEC 61968-8 allow was not to be seen: this is our reading. Mind the spelling: the verb is
`canceled`, the status of work `cancelled`.""",
        "## Of the nouns",
        *(_enumeration_section(each, users) for each in cim),
        "## Of the envelope",
        *(_enumeration_section(each, users) for each in _ENVELOPE_ENUMS),
    )


def _enumeration_section(kind: type[StrEnum], users: dict[str, set[str]]) -> str:
    text = inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0]
    left_out = enumerations.NOT_IN_PART_6.get(kind, frozenset())
    literals = ", ".join(f"`{literal}`" + ("\\*" if literal in left_out else "") for literal in kind)
    used = ", ".join(f"`{user}`" for user in sorted(users.get(kind.__name__, ())))
    lines = [f"### {kind.__name__}", text, literals]
    if left_out:
        lines.append("\\* not in ServiceOrders and WorkRequests, whose schemas follow IEC 61968-6.")
    if used:
        lines.append(f"Used by {used}.")
    return "\n\n".join(lines)
