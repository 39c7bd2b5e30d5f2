"""Simple values: the text of an element <-> a Python value.

Readers take the element, so that an error can say where it stands. What the model cannot hold is refused: numbers that
are not finite, integers beyond 64 bit, years outside 1 to 9999. Two things are given up on reading and kept only in the
raw bytes: digits of a second beyond the sixth, and the zone of an xs:date.

Source: W3C XML Schema 1.0, part 2; choice of types after the IEC 61968 payload schemas.
"""

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, NoReturn

from lxml import etree

from cimcare.errors import Finding, InputError, finding_of
from cimcare.schema.places import path_of

__all__ = [
    "Tree",
    "canonical_xml",
    "escape_attribute",
    "escape_text",
    "line_of",
    "name_of",
    "namespace_of",
    "reader_of",
    "refuse_value",
    "writer_of",
]

_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
_DATE = re.compile(r"(\d{4}-\d\d-\d\d)(?:Z|[+-]\d\d:\d\d)?\Z")
_MIDNIGHT = re.compile(r"(\d{4}-\d\d-\d\d)T24:00:00(?:\.0+)?(Z|[+-]\d\d:\d\d)?\Z")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?\Z")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?\Z")
_INTEGER = re.compile(r"[+-]?\d{1,20}\Z")


Tree = etree._Element
"""A parsed element, for signatures outside the codec."""


def name_of(element: Tree) -> str:
    """Local name of an element."""
    return etree.QName(element).localname


def namespace_of(element: Tree) -> str:
    """Namespace of an element; empty if it has none."""
    return etree.QName(element).namespace or ""


_STEP = re.compile(r"(?P<name>[^\[]+)(?:\[(?P<index>\d+)\])?\Z")


def line_of(root: etree._Element, path: str) -> int | None:
    """Line of the element that `path` names (as `path_of` writes it), or of its nearest ancestor that exists."""
    steps = path.strip("/").split("/")
    node = root
    for step in steps[1:]:
        match = _STEP.match(step)
        if match is None:
            break
        same = [child for child in node if etree.QName(child).localname == match["name"]]
        index = int(match["index"] or 1) - 1
        if index >= len(same):
            break
        node = same[index]
    return node.sourceline


def refuse_value(element: etree._Element, accepted: str, *, code: str = "COD-101") -> NoReturn:
    """Raise InputError that quotes the element's text."""
    text = element.text or ""
    shown = f'"{text[:60]}"' if text else "an empty element"
    raise InputError(
        finding_of(code, path_of(element), shown, accepted, "W3C XML Schema 1.0, part 2", line=element.sourceline)
    )


def _read_text(element: etree._Element) -> str:
    return element.text or ""


def _read_boolean(element: etree._Element) -> bool:
    value = _BOOLEANS.get((element.text or "").strip())
    if value is None:
        refuse_value(element, "true or false")
    return value


def _read_integer(element: etree._Element) -> int:
    text = (element.text or "").strip()
    if not _INTEGER.match(text):
        if re.match(r"[+-]?\d+\Z", text):
            refuse_value(element, "an integer of at most 64 bit", code="COD-102")
        refuse_value(element, "an integer, such as 42")
    value = int(text)
    if not _SMALLEST <= value <= _LARGEST:
        refuse_value(element, "an integer of at most 64 bit", code="COD-102")
    return value


def _read_float(element: etree._Element) -> float:
    text = (element.text or "").strip()
    if text in ("INF", "-INF", "NaN"):
        refuse_value(element, "a finite number", code="COD-102")
    if not _NUMBER.match(text):
        refuse_value(element, "a number, such as 230.5")
    value = float(text)
    if not math.isfinite(value):
        refuse_value(element, "a finite number", code="COD-102")
    return value


def _read_decimal(element: etree._Element) -> Decimal:
    text = (element.text or "").strip()
    try:
        value = Decimal(text)
    except InvalidOperation:
        refuse_value(element, "a decimal number, such as 12.50")
    if "e" in text.lower() or not value.is_finite():
        refuse_value(element, "a decimal number without exponent, such as 12.50")
    return value


_INSTANT_FORM = "an instant such as 2031-02-11T07:42:05Z"


def _read_instant(element: etree._Element) -> datetime:
    text = element.text or ""
    if len(text) != 20 or text[10] != "T" or text[19] != "Z":
        return _read_uncommon_instant(element, text.strip())
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return _read_uncommon_instant(element, text)


def _read_uncommon_instant(element: etree._Element, text: str) -> datetime:
    try:
        if midnight := _MIDNIGHT.match(text):
            return datetime.fromisoformat(f"{midnight[1]}T00:00:00{midnight[2] or ''}") + timedelta(days=1)
        if _INSTANT.match(text):
            return datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        refuse_value(element, _INSTANT_FORM)
    if re.match(r"(?:-\d{4,}|\d{5,}|0000)-", text):
        refuse_value(element, f"{_INSTANT_FORM} (years 0001 to 9999)", code="COD-102")
    refuse_value(element, _INSTANT_FORM)


def _read_date(element: etree._Element) -> date:
    match = _DATE.match((element.text or "").strip())
    if match is None:
        refuse_value(element, "a date such as 2031-02-11")
    try:
        return date.fromisoformat(match[1])
    except ValueError:
        refuse_value(element, "a date such as 2031-02-11")


def _reader_of_literals(kind: type[StrEnum]) -> Callable[[etree._Element], StrEnum]:
    literals = {member.value: member for member in kind}

    def read(element: etree._Element) -> StrEnum:
        value = literals.get(element.text or "")
        if value is None:
            refuse_value(element, "one of " + ", ".join(literals))
        return value

    return read


_READERS: dict[type, Callable[[etree._Element], Any]] = {
    str: _read_text,
    bool: _read_boolean,
    int: _read_integer,
    float: _read_float,
    Decimal: _read_decimal,
    datetime: _read_instant,
    date: _read_date,
}


def reader_of(kind: type) -> Callable[[etree._Element], Any]:
    """Function that reads an element's text as a value of `kind`."""
    return _reader_of_literals(kind) if issubclass(kind, StrEnum) else _READERS[kind]


def _refuse_character(text: str) -> NoReturn:
    bad = next(char for char in text if not _is_xml(char))
    raise InputError(
        finding_of(
            "XML-109",
            "text",
            f"U+{ord(bad):04X} in {text[:40]!r}",
            "characters that XML 1.0 can carry (no control characters, no surrogates)",
            "XML 1.0, production Char",
        )
    )


def _is_xml(char: str) -> bool:
    code = ord(char)
    return code in (9, 10, 13) or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or code >= 0x10000


_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_TEXT = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}
_ATTRIBUTE = {**_TEXT, '"': "&quot;", "\t": "&#9;", "\n": "&#10;"}
_TEXT_TABLE = str.maketrans(_TEXT)
_ATTRIBUTE_TABLE = str.maketrans(_ATTRIBUTE)


def escape_text(text: str) -> str:
    """`text` as XML text. Raises InputError (XML-109) for characters that XML 1.0 cannot carry."""
    if _NOT_XML.search(text):
        _refuse_character(text)
    return text.translate(_TEXT_TABLE)


def escape_attribute(text: str) -> str:
    """`text` as the value of an attribute in double quotes. Raises InputError (XML-109) as `escape_text` does."""
    if _NOT_XML.search(text):
        _refuse_character(text)
    return text.translate(_ATTRIBUTE_TABLE)


def _write_boolean(value: bool) -> str:
    return "true" if value else "false"


def _write_integer(value: int) -> str:
    if not _SMALLEST <= value <= _LARGEST:
        _refuse_written(str(value)[:40], "an integer of at most 64 bit")
    return str(value)


def _write_float(value: float) -> str:
    if not math.isfinite(value):
        _refuse_written(str(value), "a finite number")
    return repr(float(value))


def _write_decimal(value: Decimal) -> str:
    if not value.is_finite():
        _refuse_written(str(value), "a finite number")
    return format(value, "f")


def _write_instant(value: datetime) -> str:
    if value.tzinfo is UTC and not value.microsecond:
        return value.isoformat()[:19] + "Z"
    text = value.isoformat()
    stem, zone = (text[:-6], text[-6:]) if value.utcoffset() is not None else (text, "")
    if zone and (zone[0] not in "+-" or zone[3] != ":" or "+" in stem or stem.count(":") != 2):
        _refuse_written(text, "an offset of whole minutes")
    if value.microsecond:
        stem = stem.rstrip("0")
    return stem + ("Z" if zone == "+00:00" else zone)


def _write_date(value: date) -> str:
    return value.isoformat()


def _refuse_written(found: str, accepted: str) -> NoReturn:
    raise InputError(finding_of("COD-102", "value to be written", found, accepted, "W3C XML Schema 1.0, part 2"))


_WRITERS: dict[type, Callable[[Any], str]] = {
    bool: _write_boolean,
    int: _write_integer,
    float: _write_float,
    Decimal: _write_decimal,
    datetime: _write_instant,
    date: _write_date,
}


def writer_of(kind: type) -> Callable[[Any], str]:
    """Function that writes a value of `kind` (neither text nor enumeration) in its canonical form."""
    return _WRITERS[kind]


_ABSOLUTE = re.compile(r"\A[A-Za-z][A-Za-z0-9+.-]*:")
_PREFIXED = re.compile(r"\A\s*([A-Za-z_][\w.-]*):[A-Za-z_]")


def canonical_xml(element: etree._Element) -> str:
    """An element in exclusive canonical form, with the prefixes that its texts and attributes name.

    Raises:
        InputError: XML-111, a namespace that is no absolute URI, which has no canonical form.
    """
    prefixes = set()
    for node in element.iter():
        for text in (node.text, *node.attrib.values()):
            match = _PREFIXED.match(text) if text else None
            if match and match[1] in node.nsmap:
                prefixes.add(match[1])
    try:
        canonical = etree.tostring(
            element, method="c14n", exclusive=True, with_comments=False, inclusive_ns_prefixes=sorted(prefixes) or None
        )
    except etree.C14NError as error:
        raise InputError(_finding_of_namespace(element)) from error
    return canonical.decode()


def _finding_of_namespace(element: etree._Element) -> Finding:
    """Where canonicalisation stopped: at the first namespace without a scheme, as far as that can be told."""
    for node in element.iter():
        for namespace in node.nsmap.values():
            if namespace and not _ABSOLUTE.match(namespace):
                found = f"namespace {namespace[:60]}"
                return _finding_of_place(node, found)
    return _finding_of_place(element, "an element without canonical form")


def _finding_of_place(element: etree._Element, found: str) -> Finding:
    return finding_of(
        "XML-111",
        path_of(element),
        found,
        "namespaces that are absolute URIs, such as http://example.com/x or urn:example:x",
        "W3C Canonical XML 1.0, 4.4",
        line=element.sourceline,
    )
