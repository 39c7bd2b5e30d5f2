"""Puts into the header of an envelope what the transport said in its place, such as JMSMessageID.

Nothing that stands in the header is touched. Source: IEC 61968-100:2013, HeaderType; JMS binding.
"""

from collections.abc import Mapping

from lxml import etree

from cimcare.codec.limits import Limits, parse_xml
from cimcare.errors import InputError

__all__ = ["complete_header"]

_ORDER = (
    "Verb",
    "Noun",
    "Revision",
    "ReplayDetection",
    "Context",
    "Timestamp",
    "Source",
    "AsyncReplyFlag",
    "ReplyAddress",
    "AckRequired",
    "User",
    "MessageID",
    "CorrelationID",
    "Comment",
    "Property",
)
"""Children of Header in the order of the schema."""


def complete_header(raw: bytes, limits: Limits, *, missing: Mapping[str, str], instead: Mapping[str, str]) -> bytes:
    """The envelope with these texts in its header.

    Args:
        raw: A plain envelope; what is none is returned as it is.
        limits: Bounds of the input.
        missing: Texts of elements that are added if the header has none of their name.
        instead: Texts that take the place of others; what is not there stays away.

    Returns:
        The same bytes where there is nothing to do.
    """
    try:
        root = parse_xml(raw, limits)
    except InputError:
        return raw  # whoever reads it next says why
    header = next((child for child in root if _name(child) == "Header"), None)
    if header is None:
        return raw
    present = {_name(child): child for child in header}
    is_changed = False
    for name, text in instead.items():
        element = present.get(name)
        if element is not None and (element.text or "").strip() != text:
            element.text = text
            is_changed = True
    for name, text in missing.items():
        if name not in present and text:
            element = etree.Element(f"{{{etree.QName(header).namespace or ''}}}{name}" if _space(header) else name)
            element.text = text
            before = [child for child in header if _rank(child) < _ORDER.index(name)]
            header.insert(header.index(before[-1]) + 1 if before else 0, element)
            is_changed = True
    if not is_changed:
        return raw
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True)


def _name(element: etree._Element) -> str:
    return etree.QName(element).localname if isinstance(element.tag, str) else ""


def _space(element: etree._Element) -> str:
    return etree.QName(element).namespace or ""


def _rank(element: etree._Element) -> int:
    name = _name(element)
    return _ORDER.index(name) if name in _ORDER else len(_ORDER)
