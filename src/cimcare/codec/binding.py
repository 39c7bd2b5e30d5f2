"""Compiles readers and writers from the Structures: straight-line code, one function a Structure and namespace.

A reader walks the document once with one flat iterator that all readers share, and expects the elements in the order of
the schema; elements in another order are still read, elements it does not know become extensions. A writer concatenates
text. Both are made at import, so there is no table to look into while a message is on its way.

Source: order, optionality and identity rules of IEC 61968 payload schemas.
"""

import itertools
import re
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any, NoReturn

from lxml import etree

from cimcare.codec.values import (
    canonical_xml,
    escape_attribute,
    escape_text,
    reader_of,
    refuse_value,
    writer_of,
)
from cimcare.errors import Finding, InputError, finding_of
from cimcare.model.structure import Element, Extension, Structure, elements_of
from cimcare.schema.places import path_of

__all__ = ["Binding", "Wildcard", "embed", "read_whole"]

Next = Callable[[], etree._Element]
Reader = Callable[[etree._Element, Next], Any]
Writer = Callable[[Any], str]


class Wildcard(StrEnum):
    """Where a reader puts an element that is none of the Structure's members."""

    EXTENSIONS = "extensions"
    CONTENT_MANY = "content, any number"
    CONTENT_ONE = "content, one"
    QUERY = "query"


class Binding:
    """Readers and writers of all Structures reachable from some roots, in one namespace.

    `wildcards` names the Structures whose unknown elements go elsewhere than into `extensions`; for those `read_other`
    reads such an element and `write_other` writes its value. `query_tags` are the elements that Wildcard.QUERY takes.
    """

    def __init__(
        self,
        namespace: str,
        *,
        wildcards: dict[type[Structure], Wildcard] | None = None,
        read_other: Callable[[etree._Element, Next], Any] | None = None,
        write_other: Callable[[Any], str] | None = None,
        query_tags: frozenset[str] = frozenset(),
    ) -> None:
        self.namespace = namespace
        self._wildcards = wildcards or {}
        self._scope: dict[str, Any] = {
            "unknown": _unknown,
            "embed": embed,
            "escape": escape_text,
            "escape_attribute": escape_attribute,
            "weave": _weave,
            "literal": _literal,
            "missing": _missing,
            "skip": _skip,
            "read_other": read_other,
            "write_other": write_other,
            "query_tags": query_tags,
        }
        self._names: dict[type[Structure], str] = {}

    def reader(self, structure: type[Structure]) -> Reader:
        """Function that reads the children of an element as `structure`."""
        reader: Reader = self._scope[f"read_{self._compile(structure)}"]
        return reader

    def writer(self, structure: type[Structure]) -> Writer:
        """Function that writes the children of an element from a value of `structure`."""
        writer: Writer = self._scope[f"write_{self._compile(structure)}"]
        return writer

    def _compile(self, structure: type[Structure]) -> str:
        known = self._names.get(structure)
        if known is not None:
            return known
        name = f"{structure.__name__}_{len(self._names)}"
        self._names[structure] = name
        self._scope[name] = structure
        members = elements_of(structure)
        for member in members:
            if member.is_complex:
                self._compile(member.kind)
        if any(member.member.text_content for member in members):
            source = _text_reader_source(name, members) + _text_writer_source(name, members)
        else:
            wildcard = self._wildcards.get(structure, Wildcard.EXTENSIONS)
            source = self._reader_source(structure, name, members, wildcard) + self._writer_source(
                name, members, wildcard
            )
        for member in members:
            if not member.is_complex and member.kind is not str:
                self._scope[f"from_{_simple(member)}"] = reader_of(member.kind)
                if not issubclass(member.kind, StrEnum):
                    self._scope[f"to_{_simple(member)}"] = writer_of(member.kind)
                else:
                    self._scope[f"literals_{_simple(member)}"] = {literal.value: literal for literal in member.kind}
        exec(compile(source, f"<binding of {structure.__name__}>", "exec"), self._scope)  # noqa: S102 - our own source
        return name

    def _reader_source(
        self, structure: type[Structure], name: str, members: tuple[Element, ...], wildcard: Wildcard
    ) -> str:
        lines = [f"def read_{name}(element, following):"]
        lines += [f"    v_{member.field} = {'()' if member.many else 'None'}" for member in members]
        other = {
            Wildcard.EXTENSIONS: None,
            Wildcard.CONTENT_MANY: "content",
            Wildcard.CONTENT_ONE: "content",
            Wildcard.QUERY: "query",
        }[wildcard]
        if other:
            lines.append(f"    v_{other} = {'()' if wildcard is Wildcard.CONTENT_MANY else 'None'}")
        lines += [
            "    extensions = ()",
            "    left = len(element)",
            "    if left:",
            "        child = following(); tag = child.tag; left -= 1",
            "        while True:",
            "            before = child",
        ]
        advance = "if not left: break"
        step = "child = following(); tag = child.tag; left -= 1"
        for member in members:
            tag = f"{{{self.namespace}}}{member.name}"
            lines.append(f"            {'while' if member.many else 'if'} tag == {tag!r}:")
            value = self._read_expression(member)
            if member.many:
                lines.append(f"                v_{member.field} += ({value},)")
            else:
                lines.append(f"                v_{member.field} = {value}")
            # A break inside `while` leaves only that loop, so it also leaves word for the outer one.
            stop = "if not left: tag = None; break" if member.many else advance
            lines += [f"                {stop}", f"                {step}"]
        lines += ["            if tag is None: break", "            if child is before:"]
        if wildcard is Wildcard.EXTENSIONS:
            lines += [
                "                extensions += (unknown(child, len(element) - left - 1 - len(extensions)),)",
                "                skip(child, following)",
            ]
        else:
            free = {
                Wildcard.CONTENT_MANY: "True",
                Wildcard.CONTENT_ONE: "v_content is None",
                Wildcard.QUERY: "v_query is None and tag in query_tags",
            }[wildcard]
            lines += [
                f"                if not ({free}):",
                "                    extensions += (unknown(child, len(element) - left - 1 - len(extensions)),)",
                "                    skip(child, following)",
                "                else:",
                "                    found = read_other(child, following)",
                f"                    v_{other} {'+= (found,)' if wildcard is Wildcard.CONTENT_MANY else '= found'}",
            ]
        lines += [f"                {advance}", f"                {step}"]
        for member in members:
            if not member.many and member.least_partial:
                lines.append(f"    if v_{member.field} is None: missing(element, {member.name!r})")
        fields = [member.field for member in members] + ([other] if other else [])
        arguments = _arguments(structure, fields)
        lines += [
            f"    if extensions: return {name}({arguments}, extensions=extensions)",
            f"    return {name}({arguments})",
        ]
        return "\n".join(lines) + "\n"

    def _read_expression(self, member: Element) -> str:
        if member.is_complex:
            return f"read_{self._names[member.kind]}(child, following)"
        if member.kind is str:
            return 'child.text or ""'
        if issubclass(member.kind, StrEnum):
            # The function is for what the table does not hold: it says what would pass.
            return f"literals_{_simple(member)}.get(child.text) or from_{_simple(member)}(child)"
        return f"from_{_simple(member)}(child)"

    def _writer_source(self, name: str, members: tuple[Element, ...], wildcard: Wildcard) -> str:
        quick = [
            f"def write_{name}(value):",
            f"    if value.extensions: return write_parts_{name}(value)",
            '    out = ""',
        ]
        parts = [f"def write_parts_{name}(value):", "    parts = []"]
        for member in members:
            if member.name == "Format" and wildcard is Wildcard.CONTENT_MANY:
                quick.append("    for item in value.content: out += write_other(item)")
                parts.append("    parts += [write_other(item) for item in value.content]")
            text = self._write_expression(member)
            if member.many:
                quick += [f"    for item in value.{member.field}:", f"        out += {text}"]
                parts += [f"    for item in value.{member.field}:", f"        parts.append({text})"]
            else:
                quick += [f"    item = value.{member.field}", "    if item is not None:", f"        out += {text}"]
                parts += [
                    f"    item = value.{member.field}",
                    "    if item is not None:",
                    f"        parts.append({text})",
                ]
        if wildcard in (Wildcard.CONTENT_ONE, Wildcard.QUERY):
            other = "content" if wildcard is Wildcard.CONTENT_ONE else "query"
            quick.append(f"    if value.{other} is not None: out += write_other(value.{other})")
            parts.append(f"    if value.{other} is not None: parts.append(write_other(value.{other}))")
        quick.append("    return out")
        parts.append("    return weave(parts, value.extensions)")
        return "\n".join(quick + parts) + "\n"

    def _write_expression(self, member: Element) -> str:
        if member.is_complex and any(part.member.text_content for part in elements_of(member.kind)):
            return f"write_{self._names[member.kind]}(item, {member.name!r})"
        if member.is_complex:
            inner = f"write_{self._names[member.kind]}(item)"
        elif member.kind is str:
            plain = 'item.isprintable() and "&" not in item and "<" not in item and ">" not in item'
            inner = f"item if {plain} else escape(item)"
            return f'"<{member.name}>" + ({inner}) + "</{member.name}>"'
        elif issubclass(member.kind, StrEnum):
            inner = "item._value_"
        else:
            inner = f"to_{_simple(member)}(item)"
        return f'"<{member.name}>" + {inner} + "</{member.name}>"'


def _arguments(structure: type[Structure], fields: list[str]) -> str:
    """Arguments of the constructor by position, which is several times faster than by name."""
    return ", ".join(f"v_{field}" for field in structure.__struct_fields__ if field in fields)


def _simple(member: Element) -> str:
    return member.kind.__name__


def _text_reader_source(name: str, members: tuple[Element, ...]) -> str:
    """Reader of an element with text and attributes, such as ID."""
    arguments = []
    for member in members:
        if member.member.text_content:
            arguments.append(f'{member.field}=element.text or ""')
        elif member.kind is str:
            arguments.append(f"{member.field}=element.get({member.name!r})")
        else:
            arguments.append(f"{member.field}=literal(element, {member.name!r}, literals_{_simple(member)})")
    return f"def read_{name}(element, following):\n    return {name}({', '.join(arguments)})\n"


def _text_writer_source(name: str, members: tuple[Element, ...]) -> str:
    lines = [f"def write_{name}(value, tag):", '    out = "<" + tag']
    for member in members:
        if not member.member.text_content:
            lines += [
                f"    item = value.{member.field}",
                f"    if item is not None: out += ' {member.name}=\"' + escape_attribute(item) + '\"'",
            ]
    content = next(member.field for member in members if member.member.text_content)
    lines.append(f'    return out + ">" + escape(value.{content}) + "</" + tag + ">"')
    return "\n".join(lines) + "\n"


def _literal(element: etree._Element, name: str, literals: dict[str, StrEnum]) -> StrEnum | None:
    """Attribute of an enumeration; None if absent."""
    text = element.get(name)
    if text is None:
        return None
    value = literals.get(text)
    if value is None:
        raise InputError(
            finding_of(
                "COD-101",
                f"{path_of(element)}/@{name}",
                f'"{text[:60]}"',
                "one of " + ", ".join(literals),
                "IEC 61968-100:2013, Message.xsd, IDatts",
                line=element.sourceline,
            )
        )
    return value


def _unknown(element: etree._Element, after: int) -> Extension:
    return Extension(xml=canonical_xml(element), after=after)


def _skip(element: etree._Element, following: Next) -> None:
    """Move the shared iterator past the descendants of an element that was taken as a whole."""
    for _ in element.iterdescendants():
        following()


def _missing(element: etree._Element, name: str) -> NoReturn:
    raise InputError(
        finding_of(
            "COD-104",
            path_of(element),
            f"no {name}",
            f"the mandatory element {name}",
            "cardinality of the schema",
            line=element.sourceline,
        )
    )


_TAG = re.compile(r"""<(?P<end>/?)(?P<name>[^\s/>]+)(?P<attributes>(?:\s+[^\s=]+="[^"]*")*)\s*(?P<empty>/?)>""")


def embed(extension: Extension) -> str:
    """An extension as text for a place where a default namespace is in force, which must not catch its elements."""
    depth = 0
    shielded: int | None = None  # depth of the outermost element that sets the default namespace itself

    def shield(tag: re.Match[str]) -> str:
        nonlocal depth, shielded
        if tag["end"]:
            depth -= 1
            if shielded is not None and depth <= shielded:
                shielded = None
            return tag[0]
        text = tag[0]
        if shielded is None and ' xmlns="' in tag["attributes"]:
            shielded = depth
        elif shielded is None and ":" not in tag["name"]:
            text = f'<{tag["name"]} xmlns=""{tag["attributes"]}{tag["empty"]}>'
            shielded = depth
        if not tag["empty"]:
            depth += 1
        elif shielded == depth:
            shielded = None
        return text

    return _TAG.sub(shield, extension.xml)


def _weave(parts: list[str], extensions: tuple[Extension, ...]) -> str:
    """Known children and extensions in the order in which they stood."""
    woven = []
    waiting = sorted(extensions, key=lambda extension: extension.after)
    for index, part in enumerate(itertools.chain(parts, [""])):
        while waiting and (waiting[0].after <= index or index == len(parts)):
            woven.append(embed(waiting.pop(0)))
        woven.append(part)
    return "".join(woven)


def read_whole(element: etree._Element, reader: Reader) -> Any:
    """Read an element and all below it.

    Raises:
        InputError: COD-103, a text element turned out to have children; COD-106, parts that exclude one another.
    """
    nodes: Iterator[etree._Element] = element.iter()
    following = nodes.__next__
    following()
    value: Any = None
    stumbled = False
    try:
        value = reader(element, following)
    except StopIteration:
        stumbled = True
    except ValueError as error:  # the constructor of a Structure refused the combination of its members
        raise InputError(_finding_of_combination(element, str(error))) from error
    if stumbled or next(nodes, None) is not None:
        _refuse_children(element, value)
    return value


def _finding_of_combination(element: etree._Element, reason: str) -> Finding:
    found, _, accepted = reason.partition("; ")
    culprit = next((node for node in element.iter() if etree.QName(node).localname == found.partition(" ")[0]), element)
    return finding_of(
        "COD-106",
        path_of(culprit),
        found,
        accepted or "a combination that the schema allows",
        "IEC 61968-100:2013, Message.xsd",
        line=culprit.sourceline,
    )


def _refuse_children(element: etree._Element, value: object) -> NoReturn:
    """Name the text element that has children: it has both text and elements, or no member of that name is complex."""
    culprit = next((node for node in element.iter() if len(node) and (node.text or "").strip()), None)
    if culprit is None:
        simple = _simple_names(type(value)) if isinstance(value, Structure) else set()
        culprit = next(
            (node for node in element.iter() if len(node) and etree.QName(node).localname in simple), element
        )
    refuse_value(culprit, "text only, no child elements", code="COD-103")


def _simple_names(structure: type[Structure]) -> set[str]:
    names: set[str] = set()
    for member in elements_of(structure):
        names |= _simple_names(member.kind) if member.is_complex else {member.name}
    return names
