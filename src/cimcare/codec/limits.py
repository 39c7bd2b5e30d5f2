"""Limits for input that is not yet trusted, and the hardened XML parser.

What is over a limit is refused, never repaired. A document type declaration is refused before anything is parsed, so no
entity is ever declared. Nesting is limited to 256 levels by libxml2 itself.

Source: IEC 61968-100:2013 sets no limits; these are ours.
"""

import base64
import binascii
import re
import zlib
from collections.abc import Iterator
from io import BytesIO

import msgspec
from lxml import etree

from cimcare.errors import Finding, InputError, finding_of

__all__ = ["Limits", "parse_xml", "require_size", "unpack", "walk_xml"]

_CLAUSE = "XML 1.0; limits of the receiver"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Upper bounds of one message. Sizes are bytes, the other two are counts over the whole document."""

    max_bytes: int = 8 * 1024 * 1024
    max_elements: int = 200_000
    max_attributes: int = 100_000
    max_unpacked_bytes: int = 32 * 1024 * 1024


_PARSER = etree.XMLParser(
    resolve_entities=False,
    no_network=True,
    load_dtd=False,
    huge_tree=False,
    remove_comments=True,
    remove_pis=True,
)

# A document in UTF-8 for certain, so that a search in its bytes finds what the parser would find.
_UTF8 = re.compile(
    rb"""(?:\xef\xbb\xbf)?(?:<\?xml version=["']1\.0["'](?: encoding=["'](?:UTF|utf)-8["'])?[^>]*\?>|(?!<\?xml))"""
)

# What may stand before the root element: byte order mark, XML declaration, comments, processing instructions, blanks.
_PROLOG = re.compile(rb"(?:\xef\xbb\xbf)?(?:\s+|<\?.*?\?>|<!--.*?-->)*", re.DOTALL)


def require_size(raw: bytes, limits: Limits) -> None:
    """Raise InputError (XML-103) if `raw` is longer than the limit."""
    if len(raw) > limits.max_bytes:
        raise InputError(
            finding_of(
                "XML-103", "/", f"{len(raw)} bytes", f"at most {limits.max_bytes} bytes", "limits of the receiver"
            )
        )


def parse_xml(raw: bytes, limits: Limits | None = None) -> etree._Element:
    """Root element of a document, parsed with all doors shut; comments and processing instructions are dropped.

    Args:
        raw: The document: UTF-8, or any encoding that XML lets it declare.
        limits: Bounds; the defaults of `Limits` if None.

    Raises:
        InputError: XML-101 not well-formed, XML-102 document type declaration, XML-103 too large, XML-104 nested too
            deeply, XML-105 too many attributes, XML-106 encoding, XML-110 too many elements.
    """
    limits = limits or Limits()
    require_size(raw, limits)
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in raw[:4]:
        raw = _from_utf16(raw)
    # Looking for one byte is far quicker than for a word, and most documents have none of it.
    plain = (b"!" not in raw or b"!DOCTYPE" not in raw) and _UTF8.match(raw) is not None
    if not plain:
        _require_no_doctype(raw)
    # An element takes four bytes at least and an attribute five, so most documents need not be counted.
    if len(raw) > 4 * limits.max_elements and raw.count(b"<") > 2 * limits.max_elements:
        raise InputError(
            finding_of("XML-110", "/", f"{raw.count(b'<')} tags", f"at most {limits.max_elements} elements", _CLAUSE)
        )
    if len(raw) > 5 * limits.max_attributes and raw.count(b"=") > limits.max_attributes:
        attributes = raw.count(b'="') + raw.count(b"='")
        if attributes > limits.max_attributes:
            accepted = f"at most {limits.max_attributes} attributes"
            raise InputError(finding_of("XML-105", "/", f"{attributes} attributes", accepted, _CLAUSE))
    try:
        root = etree.fromstring(raw, _PARSER)
    except etree.XMLSyntaxError as error:
        raise InputError(_finding_of_syntax(error)) from error
    except (ValueError, LookupError) as error:
        raise InputError(finding_of("XML-106", "/", str(error), "UTF-8", _CLAUSE)) from error
    if not plain and root.getroottree().docinfo.doctype:
        raise _doctype(None)
    return root


def walk_xml(raw: bytes, limits: Limits) -> Iterator[etree._Element]:
    """The root of a document, then each of its children when it is read to its end; for documents of any size.

    Doors are shut as in `parse_xml`. A child is emptied when the next one is asked for, so the tree never grows.

    Raises:
        InputError: as `parse_xml`; also after children were handed out.
    """
    require_size(raw, limits)
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in raw[:4]:
        raw = _from_utf16(raw)
    _require_no_doctype(raw)
    count = raw.count(b"<")
    if count > 2 * limits.max_elements:
        raise InputError(
            finding_of("XML-110", "/", f"{count} tags", f"at most {limits.max_elements} elements", _CLAUSE)
        )
    events = etree.iterparse(
        BytesIO(raw),
        events=("start", "end"),
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    depth = 0
    try:
        for event, element in events:
            depth += 1 if event == "start" else -1
            if depth == 1 and event == "start":
                if element.getroottree().docinfo.doctype:
                    raise _doctype(None)
                yield element
            elif depth == 1:
                yield element
                element.clear()
                while element.getprevious() is not None:
                    del element.getparent()[0]  # type: ignore[union-attr, unused-ignore]
    except etree.XMLSyntaxError as error:
        raise InputError(_finding_of_syntax(error)) from error
    except (ValueError, LookupError) as error:
        raise InputError(finding_of("XML-106", "/", str(error), "UTF-8", _CLAUSE)) from error


def _require_no_doctype(raw: bytes) -> None:
    """Refuse a document type declaration before the parser sees it; the same letters in a text are harmless."""
    prolog = _PROLOG.match(raw)
    start = prolog.end() if prolog else 0
    if raw[start : start + 9].upper() == b"<!DOCTYPE":
        raise _doctype(raw.count(b"\n", 0, start) + 1)


def _doctype(line: int | None) -> InputError:
    return InputError(
        finding_of("XML-102", "/", "a document type declaration", "a document without DOCTYPE", _CLAUSE, line=line)
    )


def _from_utf16(raw: bytes) -> bytes:
    """The same document in UTF-8, so that the checks on bytes see what the parser sees."""
    try:
        text = raw.decode(
            "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-16-be" if raw[0] == 0 else "utf-16-le"
        )
    except UnicodeDecodeError as error:
        raise InputError(finding_of("XML-106", "/", "bytes that are no UTF-16", "UTF-8", _CLAUSE)) from error
    declaration = re.compile(r"\A\ufeff?<\?xml.*?\?>", re.DOTALL)
    return declaration.sub("", text).lstrip("\ufeff").encode("utf-8", "replace")


def _finding_of_syntax(error: etree.XMLSyntaxError) -> Finding:
    message = " ".join(str(error.msg or "not well-formed").split())
    line = error.lineno or None
    lowered = message.lower()
    if "depth" in lowered:
        return finding_of("XML-104", "/", "more than 256 levels of elements", "at most 256 levels", _CLAUSE, line=line)
    if "encoding" in lowered or "not proper utf-8" in lowered:
        return finding_of(
            "XML-106", "/", message, "UTF-8, or the encoding that the declaration names", _CLAUSE, line=line
        )
    if "huge" in lowered or "too long" in lowered:
        return finding_of("XML-103", "/", message, "shorter names and texts", _CLAUSE, line=line)
    return finding_of("XML-101", "/", message, "a well-formed XML document", _CLAUSE, line=line)


def unpack(text: str, *, format_name: str | None, limits: Limits | None = None) -> bytes:
    """Content of Payload/Compressed: base64, then gzip unless `format_name` is `BINARY`.

    White space in the base64 is ignored.

    Raises:
        InputError: XML-108 unreadable, XML-107 larger than `limits.max_unpacked_bytes` when unpacked.
    """
    limits = limits or Limits()
    clause = "IEC 61968-100:2013, Payload/Compressed"
    path = "Payload/Compressed"
    try:
        packed = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(finding_of("XML-108", path, f"no base64 ({error})", "base64 of gzip", clause)) from error
    if (format_name or "").upper() == "BINARY":
        return packed
    machine = zlib.decompressobj(wbits=31)
    try:
        content = machine.decompress(packed, limits.max_unpacked_bytes + 1)
    except zlib.error as error:
        raise InputError(finding_of("XML-108", path, f"no gzip ({error})", "base64 of gzip", clause)) from error
    if len(content) > limits.max_unpacked_bytes:
        raise InputError(
            finding_of(
                "XML-107",
                path,
                f"more than {limits.max_unpacked_bytes} bytes when unpacked",
                f"at most {limits.max_unpacked_bytes} bytes",
                clause,
            )
        )
    if not machine.eof:
        raise InputError(finding_of("XML-108", path, "gzip data that breaks off", "a whole gzip member", clause))
    return content
