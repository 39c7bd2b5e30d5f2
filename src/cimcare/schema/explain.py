"""Why an element was refused: where, what was found, what would pass, which clause.

libxml2 decides (`validate.py`); this module is asked only after a refusal. xmlschema finds the places, the content
models of the schema say what would pass. Where xmlschema sees nothing wrong, cannot work, or would take too long, the
error log of libxml2 answers in its stead.
"""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING, cast

import msgspec
from lxml import etree
from xmlschema import XMLSchemaException, XMLSchemaValidationError
from xmlschema.validators import (
    XMLSchemaChildrenValidationError,
    XsdAnyElement,
    XsdAtomic,
    XsdAtomicBuiltin,
    XsdAttributeGroup,
    XsdElement,
    XsdEnumerationFacets,
    XsdFacet,
    XsdGroup,
)

from cimcare.errors import Finding, finding_of
from cimcare.schema.catalog import CompiledSchema
from cimcare.schema.places import MOST_FINDINGS, path_of

if TYPE_CHECKING:
    from elementpath.protocols import ElementProtocol

__all__ = ["explain"]

_MOST_ELEMENTS = 3_000  # beyond this xmlschema may take seconds: libxml2's own words have to do
_LONGEST_VALUE = 60
_LONGEST_LIST = 12

_TYPES = {
    "boolean": "true or false",
    "date": "a date such as 2031-02-11",
    "dateTime": "date and time, best with offset or Z, such as 2031-02-11T07:42:05Z",
    "decimal": "a decimal number such as 12.50",
    "float": "a number such as 230.0",
    "integer": "a whole number such as 3",
    "QName": "a qualified name such as m:TroubleTicket, not a path; leave the element out",
    "string": "text",
    "time": "a time such as 07:42:05Z",
}


def explain(element: etree._Element, schema: CompiledSchema, *, limit: int = MOST_FINDINGS) -> tuple[Finding, ...]:
    """Findings for an element that the schema refused, in the order of their lines; at least one, at most `limit`."""
    findings: dict[Finding, None] = {}
    if sum(1 for _ in islice(element.iter(), _MOST_ELEMENTS + 1)) <= _MOST_ELEMENTS:
        try:
            for finding in _explained(element, schema):
                findings[finding] = None
                if len(findings) >= limit:
                    break
        except (XMLSchemaException, ValueError, RecursionError):
            findings.clear()  # xmlschema cannot work with this schema or element: libxml2 has the word
    if not findings:
        findings = dict.fromkeys(islice(_logged(element, schema), limit))
    return tuple(sorted(findings, key=lambda one: one.line or 0))


def _explained(element: etree._Element, schema: CompiledSchema) -> Iterator[Finding]:
    clause = schema.document.clause
    judged: set[str] = set()
    # xmlschema takes elements of lxml, which its own annotations call a protocol that lxml's stubs do not spell out.
    for error in schema.explainer.iter_errors(cast("ElementProtocol", element)):
        place: object = error.elem
        at = place if isinstance(place, etree._Element) else element
        if isinstance(error, XMLSchemaChildrenValidationError) and isinstance(error.validator, XsdGroup):
            path = path_of(at)
            if path in judged:
                continue
            judged.add(path)
            found = list(_children(at, error.validator, clause))
            yield from found or [
                finding_of("SCH-107", path, _plain(error.reason), "content as the schema has it", clause)
            ]
        else:
            yield _single(error, at, schema)


# ------------------------------------------------------------------------------------------------- children


class _Slot(msgspec.Struct):
    """A place in a content model: which elements may stand there, how often."""

    tags: dict[str, int | None]
    wildcards: list[XsdAnyElement]
    least: int
    most: int | None
    is_choice: bool

    def takes(self, child: etree._Element) -> bool:
        if child.tag in self.tags:
            return True
        namespace = etree.QName(child).namespace or ""
        return any(wildcard.is_namespace_allowed(namespace) for wildcard in self.wildcards)

    def names(self) -> list[str]:
        named = [_local(tag) for tag in self.tags]
        return [*named, "an element of another namespace"] if self.wildcards else named


def _slots(group: XsdGroup) -> list[_Slot]:
    if group.model != "sequence" or group.max_occurs != 1:
        return [_choice(group)]
    slots: list[_Slot] = []
    for particle in group:
        if isinstance(particle, XsdGroup):
            inner = _slots(particle) if particle.model == "sequence" else [_choice(particle)]
            if particle.min_occurs == 0:
                for slot in inner:
                    slot.least = 0
            slots.extend(inner)
        else:
            slots.append(_slot(particle))
    return slots


def _slot(particle: XsdElement | XsdAnyElement) -> _Slot:
    wildcards = [particle] if isinstance(particle, XsdAnyElement) else []
    tags = {} if wildcards else {str(particle.name): particle.max_occurs}
    return _Slot(tags, wildcards, particle.min_occurs, particle.max_occurs, is_choice=False)


def _choice(group: XsdGroup) -> _Slot:
    leaves = list(group.iter_elements())
    tags = {str(one.name): one.max_occurs for one in leaves if isinstance(one, XsdElement)}
    wildcards = [one for one in leaves if isinstance(one, XsdAnyElement)]
    least = 0 if group.min_occurs == 0 or any(one.min_occurs == 0 for one in leaves) else 1
    plain = group.model == "choice" and group.max_occurs == 1 and len(leaves) == len(group)
    return _Slot(tags, wildcards, least, None, is_choice=plain)


def _children(parent: etree._Element, group: XsdGroup, clause: str) -> Iterator[Finding]:
    """All that is wrong with the children of one element: unknown, misplaced, too many, missing."""
    slots = _slots(group)
    counts = [0] * len(slots)
    taken: dict[int, str] = {}  # of a choice: the alternative that was met first
    met: list[tuple[int, str]] = []  # slots and names of the children accepted so far
    at = 0
    for child in parent.iterchildren(etree.Element):
        ahead = (index for index in range(at, len(slots)) if slots[index].takes(child))
        behind = (index for index in range(at) if slots[index].takes(child))
        index = next(ahead, None)
        name = etree.QName(child).localname
        if index is None:
            earlier = next(behind, None)
            if earlier is None:
                yield _unknown(child, parent, slots, _next(slots, counts, at), clause)
            else:
                counts[earlier] += 1
                overtaken = next((other for slot, other in met if slot > earlier), "")
                order = f"order of the schema: {name} before {overtaken}"
                yield _finding("SCH-101", child, f"{name} after {overtaken}", order, clause)
            continue
        at, slot = index, slots[index]
        counts[index] += 1
        met.append((index, name))
        key = child.tag if child.tag in slot.tags else "*"
        if slot.is_choice and taken.setdefault(index, key) != key:
            others = (
                f"{name} beside {_local(taken[index]) if taken[index] != '*' else 'an element of another namespace'}"
            )
            yield _finding("SCH-101", child, others, f"only one of {_listed(slot.names())}", clause)
        elif slot.most is not None and counts[index] == slot.most + 1:
            yield _finding("SCH-101", child, f"{name} once more", f"{name} at most {_times(slot.most)}", clause)
    for slot, count in zip(slots, counts, strict=True):
        if count < slot.least:
            missing = _listed(slot.names())
            found = f"{missing} missing" if not count else f"{missing} only {_times(count)}"
            yield _finding("SCH-102", parent, found, f"{missing} at least {_times(slot.least)}", clause)


def _unknown(
    child: etree._Element, parent: etree._Element, slots: list[_Slot], expected: list[str], clause: str
) -> Finding:
    """Finding for a child that the content model does not know; `expected` names what may stand in its place."""
    tag = etree.QName(child)
    tags = [known for slot in slots for known in slot.tags]
    twin = next((known for known in tags if _local(known) == tag.localname), None)
    where = f"{tag.localname} in {_name(parent)}"
    if twin is not None:
        found = f"{where}, in {_space(tag.namespace)}"
        return _finding("SCH-101", child, found, f"{tag.localname} in {_space(etree.QName(twin).namespace)}", clause)
    accepted = f"at this place {_listed(expected)}" if expected else f"nothing further in {_name(parent)}"
    meant = _near(tag.localname, [_local(known) for known in tags])
    space = f", in {_space(tag.namespace)}" if tag.namespace != etree.QName(parent).namespace else ""
    return _finding("SCH-101", child, where + space, accepted + meant, clause)


def _next(slots: list[_Slot], counts: list[int], at: int) -> list[str]:
    """Names of what may come next from position `at` on, up to the first that must."""
    names: list[str] = []
    for slot, count in list(zip(slots, counts, strict=True))[at:]:
        if slot.most is None or count < slot.most:
            names += slot.names()
        if count < slot.least:
            break
    return names


# --------------------------------------------------------------------------------- values, attributes, rest


def _single(error: XMLSchemaValidationError, at: etree._Element, schema: CompiledSchema) -> Finding:
    clause = schema.document.clause
    reason = str(error.reason or "")
    attribute = re.match(r"attribute ([^=\s]+)=", reason)
    value = at.get(attribute[1], "") if attribute else at.text or ""
    suffix = f"/@{attribute[1]}" if attribute else ""
    validator = error.validator
    if isinstance(validator, XsdEnumerationFacets):
        literals = [str(one) for one in validator.enumeration]
        accepted = f"one of {_listed(literals, len(literals))}{_near(value, literals)}"
        return _finding("SCH-104", at, _value(value), accepted, clause, suffix)
    if isinstance(validator, XsdFacet):
        return _finding("SCH-103", at, _value(value), _plain(reason), clause, suffix)
    if isinstance(validator, XsdAttributeGroup):
        return _finding("SCH-105", at, _plain(reason), f"attributes of {_name(at)}: {_attributes(validator)}", clause)
    if schema.roots and validator is schema.explainer:
        found = f"{_name(at)} as outermost element of {_space(etree.QName(at).namespace)}"
        accepted = f"{_listed(list(schema.roots))}{_near(etree.QName(at).localname, list(schema.roots))}"
        return _finding("SCH-101", at, found, accepted, clause)
    if "child elements" in reason and "simple content" in reason:
        child = next(at.iterchildren(etree.Element), at)
        return _finding("SCH-101", child, f"{_name(child)} in {_name(at)}", "text only", clause)
    if "character data" in reason:
        return _finding("SCH-107", at, f"text between the children of {_name(at)}", "elements only", clause)
    kind = _type_of(validator)
    if kind is not None:
        return _finding("SCH-103", at, _value(value), _TYPES.get(kind, f"a value of type xs:{kind}"), clause, suffix)
    return _finding("SCH-107", at, _plain(reason), "content as the schema has it", clause, suffix)


def _type_of(validator: object) -> str | None:
    """Local name of the XML Schema type that a refused value is not of; None if the breach is no matter of a type."""
    if isinstance(validator, XsdAtomic):
        builtin = validator if isinstance(validator, XsdAtomicBuiltin) else validator.primitive_type
        return str(builtin.local_name)
    return "QName" if getattr(validator, "__name__", "") == "qname_validator" else None


def _attributes(group: XsdAttributeGroup) -> str:
    return _listed([_local(str(name)) for name in group if name]) or "none"


def _logged(element: etree._Element, schema: CompiledSchema) -> Iterator[Finding]:
    """Findings from libxml2's error log; one general finding if the log is empty."""
    schema.decider.validate(element)
    empty = True
    for entry in schema.decider.error_log:
        empty = False
        path = path_of(_find(element, entry.path or ""))
        found, _, accepted = _plain(entry.message).partition(". Expected is ")
        literals = re.search(r" is not an element of the set \{(.*)\}", found)
        if literals:
            found, accepted = found[: literals.start()] + " is no literal", "one of " + literals[1].replace("'", "")
        code = _LOG_CODES.get(str(entry.type_name), "SCH-107")
        if code == "SCH-101" and "Missing child" in found:
            code = "SCH-102"
        kind = re.search(r"type 'xs:(\w+)'", found)
        accepted = accepted or (_TYPES.get(kind[1], "") if kind else "") or "content as the schema has it"
        yield finding_of(code, path, found, accepted, schema.document.clause, line=entry.line or None)
    if empty:
        yield _finding(
            "SCH-107", element, f"{_name(element)} refused", "content as the schema has it", schema.document.clause
        )


_LOG_CODES = {
    "SCHEMAV_ELEMENT_CONTENT": "SCH-101",
    "SCHEMAV_CVC_ELT_1": "SCH-101",
    "SCHEMAV_CVC_ENUMERATION_VALID": "SCH-104",
    "SCHEMAV_CVC_DATATYPE_VALID_1_2_1": "SCH-103",
    "SCHEMAV_CVC_COMPLEX_TYPE_3_2_1": "SCH-105",
    "SCHEMAV_CVC_COMPLEX_TYPE_4": "SCH-105",
}


def _find(element: etree._Element, path: str) -> etree._Element:
    """Element that a path of libxml2 means, which starts at the validated element; that element if there is none."""
    steps = path.removeprefix("/").split("/")[1:]
    prefixes = {prefix: space for prefix, space in element.nsmap.items() if prefix}
    try:
        found = element.xpath("/".join([".", *steps]), namespaces=prefixes)
    except etree.XPathError:
        return element
    first = found[0] if isinstance(found, list) and found else None
    return first if isinstance(first, etree._Element) else element


# ---------------------------------------------------------------------------------------------------- words


def _finding(code: str, at: etree._Element, found: str, accepted: str, clause: str, suffix: str = "") -> Finding:
    return finding_of(code, path_of(at) + suffix, found, accepted, clause, line=at.sourceline)


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _name(element: etree._Element | None) -> str:
    return "" if element is None else etree.QName(element).localname


def _space(namespace: str | None) -> str:
    return f"namespace {namespace}" if namespace else "no namespace"


def _value(value: str) -> str:
    shown = value if len(value) <= _LONGEST_VALUE else value[:_LONGEST_VALUE] + "..."
    return f"value {shown!r}" if shown.strip() else "an empty value"


def _listed(names: list[str], most: int = _LONGEST_LIST) -> str:
    names = list(dict.fromkeys(names))
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _near(word: str, known: list[str]) -> str:
    by_lower = {one.lower(): one for one in known}
    close = get_close_matches(word.strip().lower(), by_lower, n=1)
    return f" (did you mean {by_lower[close[0]]}?)" if close else ""


def _plain(text: object) -> str:
    """A processor's message without namespaces in braces and without line ends."""
    return re.sub(r"\s+", " ", re.sub(r"\{[^{}']*\}", "", str(text))).strip().rstrip(".")
