"""Writing of schema documents as text: one function that makes an element, indented two blanks a level.

The committed documents are read in reviews, so their layout is part of what is kept stable.
"""

from collections.abc import Iterable, Mapping
from xml.sax.saxutils import escape, quoteattr

__all__ = ["Lines", "annotation", "document", "node"]

Lines = list[str]
"""Lines of a part of a document, without line ends."""


def node(name: str, attributes: Mapping[str, str] | None = None, *parts: Lines, text: str | None = None) -> Lines:
    """An element with its attributes in the order given and its parts one level deeper."""
    start = name + "".join(f" {key}={quoteattr(value)}" for key, value in (attributes or {}).items())
    if text is not None:
        return [f"<{start}>{escape(text)}</{name}>"]
    inner = [f"  {line}" for part in parts for line in part]
    return [f"<{start}>", *inner, f"</{name}>"] if inner else [f"<{start}/>"]


def annotation(text: str) -> Lines:
    """An xs:annotation with one documentation; nothing if there is no text."""
    if not text:
        return []
    return node("xs:annotation", {}, node("xs:documentation", {}, text=text))


def document(lines: Iterable[str]) -> bytes:
    """The finished document in UTF-8, with declaration and a final line end."""
    return ('<?xml version="1.0" encoding="UTF-8"?>\n' + "\n".join(lines) + "\n").encode()
