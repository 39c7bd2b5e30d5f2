"""A message as an outline for the eye: one line an element, with its path as findings name it."""

from collections import Counter
from collections.abc import Iterator

import msgspec

from cimcare.codec.envelope import read_message, render_message
from cimcare.codec.json_body import parse_json, render_json
from cimcare.codec.limits import Limits, parse_xml
from cimcare.codec.soap import is_soap, read_soap
from cimcare.codec.values import Tree, name_of, namespace_of

__all__ = ["OutlineLine", "as_json", "outline"]


class OutlineLine(msgspec.Struct, frozen=True, kw_only=True):
    """One element.

    `depth` counts from 0. `path` is that of findings, from the message's own root, without the envelope of SOAP.
    `namespace` is empty where it is that of the parent. `line` is that of the document; None where it is no XML.
    """

    depth: int
    name: str
    path: str
    text: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
    namespace: str = ""
    line: int | None = None
    has_children: bool = False


def outline(raw: bytes, limits: Limits | None = None) -> tuple[OutlineLine, ...]:
    """All elements of a message, in document order.

    Args:
        raw: The message in SOAP, plain XML or JSON.
        limits: Bounds of the input; the defaults if None.

    Raises:
        InputError: It cannot be read.
    """
    if raw.lstrip()[:1] == b"{":
        return tuple(_lines(parse_xml(render_message(parse_json(raw, limits)), limits), has_lines=False))
    root = parse_xml(raw, limits)
    element = read_soap(root, limits).element if is_soap(root) else root
    return tuple(_lines(root if element is None else element, has_lines=True))


def as_json(raw: bytes, limits: Limits | None = None) -> bytes:
    """The message in JSON of our profile, indented by two.

    Raises:
        InputError: It cannot be read as a message.
    """
    if raw.lstrip()[:1] == b"{":
        message = parse_json(raw, limits)
    else:
        root = parse_xml(raw, limits)
        element = read_soap(root, limits).element if is_soap(root) else root
        message = read_message(root if element is None else element)
    return msgspec.json.format(render_json(message), indent=2)


def _lines(root: Tree, *, has_lines: bool) -> Iterator[OutlineLine]:
    stack = [(root, 0, f"/{name_of(root)}", "")]
    while stack:
        element, depth, path, outer = stack.pop()
        children = [child for child in element if isinstance(child.tag, str)]
        namespace = namespace_of(element)
        yield OutlineLine(
            depth=depth,
            name=name_of(element),
            path=path,
            text="" if children else (element.text or "").strip(),
            attributes=tuple((str(name).rpartition("}")[2], str(value)) for name, value in element.attrib.items()),
            namespace=namespace if namespace != outer else "",
            line=element.sourceline if has_lines else None,
            has_children=bool(children),
        )
        many = Counter(name_of(child) for child in children)
        seen: Counter[str] = Counter()
        below = []
        for child in children:
            name = name_of(child)
            seen[name] += 1
            step = f"{name}[{seen[name]}]" if many[name] > 1 else name
            below.append((child, depth + 1, f"{path}/{step}", namespace))
        stack.extend(reversed(below))
