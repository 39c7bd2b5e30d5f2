"""What differs between an official schema and ours, for whoever owns the official one.

Both are walked from their root element side by side, by element names; whether a type is named or written in place
makes no difference, neither do annotations. A pair of types is compared once, at the first path that reaches it.
Imports are not followed: what comes from them is noted and left alone.
"""

from enum import StrEnum

import msgspec
from lxml import etree

from cimcare.model.nouns import find_noun
from cimcare.schema.catalog import Catalog, Document, read_schema_file

__all__ = ["Difference", "DifferenceKind", "compare", "find_counterpart"]

_XSD = "http://www.w3.org/2001/XMLSchema"
_XS = f"{{{_XSD}}}"
_PARTICLES = (f"{_XS}element", f"{_XS}sequence", f"{_XS}choice", f"{_XS}all", f"{_XS}group", f"{_XS}any")


class DifferenceKind(StrEnum):
    """In what two schemas differ."""

    NAMESPACE = "namespace"
    ROOT = "root element"
    MISSING = "missing in ours"
    EXTRA = "only in ours"
    ORDER = "order"
    CARDINALITY = "cardinality"
    TYPE = "type"
    LITERALS = "literals"
    ATTRIBUTES = "attributes"
    NOTE = "note"


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One difference: at which path of elements, what the official schema has, what ours has."""

    kind: DifferenceKind
    path: str
    official: str = ""
    ours: str = ""

    def describe(self) -> str:
        """The difference in one line."""
        sides = [f"{name} {value}" for name, value in (("official:", self.official), ("ours:", self.ours)) if value]
        return f"{self.path}: {self.kind}{'; ' if sides else ''}{'; '.join(sides)}"


class _Place(msgspec.Struct):
    """One child element in a content model, with its bounds."""

    node: etree._Element
    name: str
    least: int
    most: str

    @property
    def bounds(self) -> str:
        return f"{self.least}..{self.most}"


class _Schema:
    """A schema document with its global components by name."""

    def __init__(self, raw: bytes, name: str) -> None:
        self.root = read_schema_file(raw, name)
        self.namespace = self.root.get("targetNamespace", "")
        self.imports = [
            child.get("namespace") or child.get("schemaLocation") or "no namespace"
            for child in self.root.iterchildren(f"{_XS}import", f"{_XS}include", f"{_XS}redefine")
        ]
        self.globals = {
            (etree.QName(child).localname, child.get("name", "")): child
            for child in self.root.iterchildren(etree.Element)
        }

    def resolve(self, kind: str, node: etree._Element, qname: str) -> etree._Element | None:
        """Global component that a QName in `node` means; None if it is from elsewhere."""
        prefix, _, name = qname.rpartition(":")
        space = node.nsmap.get(prefix or None, "")
        return self.globals.get((kind, name)) if space == self.namespace else None

    def type_of(self, element: etree._Element) -> tuple[etree._Element | None, str]:
        """Type of an element as a node, or as a name where it is a type of XML Schema or from elsewhere."""
        for inner in element.iterchildren(f"{_XS}complexType", f"{_XS}simpleType"):
            return inner, ""
        qname = element.get("type")
        if qname is None:
            return None, "xs:anyType"
        found = self.resolve("complexType", element, qname)
        if found is None:
            found = self.resolve("simpleType", element, qname)
        return found, "" if found is not None else _type_name(element, qname)

    def places(self, complex_type: etree._Element) -> list[_Place]:
        """Child elements of a complex type in order; those of a base type first."""
        places: list[_Place] = []
        for content in complex_type.iterchildren(f"{_XS}complexContent"):
            for extension in content.iterchildren(f"{_XS}extension", f"{_XS}restriction"):
                base = self.resolve("complexType", extension, extension.get("base", ""))
                if base is not None and extension.tag == f"{_XS}extension":
                    places += self.places(base)
                places += self._particles(extension, least=None, many=False)
        return places + self._particles(complex_type, least=None, many=False)

    def _particles(self, node: etree._Element, *, least: int | None, many: bool) -> list[_Place]:
        places: list[_Place] = []
        for part in node.iterchildren(*_PARTICLES):
            optional = part.get("minOccurs") == "0" or part.tag == f"{_XS}choice"
            repeated = part.get("maxOccurs", "1") not in ("0", "1")
            if part.tag == f"{_XS}element":
                most = "*" if many or part.get("maxOccurs") == "unbounded" else part.get("maxOccurs", "1")
                lower = int(part.get("minOccurs", "1")) if least is None else least
                target = self.resolve("element", part, part.get("ref", "")) if part.get("ref") else part
                name = part.get("name") or part.get("ref", "").rpartition(":")[2]
                places.append(_Place(part if target is None else target, name, lower, most))
            elif part.tag == f"{_XS}any":
                places.append(_Place(part, "(any element)", int(part.get("minOccurs", "1")), _most(part)))
            elif part.tag == f"{_XS}group":
                group = self.resolve("group", part, part.get("ref", ""))
                if group is not None:
                    places += self._particles(group, least=0 if optional else least, many=many or repeated)
            else:
                places += self._particles(part, least=0 if optional else least, many=many or repeated)
        return places

    def simple(self, simple_type: etree._Element) -> tuple[str, tuple[str, ...]]:
        """Base type of XML Schema and literals of a simple type."""
        restriction = simple_type.find(f"{_XS}restriction")
        if restriction is None:
            inner = next(simple_type.iterchildren(f"{_XS}list", f"{_XS}union"), simple_type)
            return etree.QName(inner).localname, ()
        literals = tuple(one.get("value", "") for one in restriction.iterchildren(f"{_XS}enumeration"))
        qname = restriction.get("base")
        base = restriction.find(f"{_XS}simpleType") if qname is None else self.resolve("simpleType", restriction, qname)
        if base is None:
            return _type_name(restriction, qname or ""), literals
        name, inherited = self.simple(base)
        return name, literals or inherited

    def attributes(self, complex_type: etree._Element) -> tuple[str, ...]:
        """Names of attributes, a required one marked; attribute groups of this document resolved."""
        names: list[str] = []
        for node in complex_type.iter(f"{_XS}attribute", f"{_XS}attributeGroup", f"{_XS}element"):
            if node.tag == f"{_XS}element":
                continue
            if any(one.tag == f"{_XS}element" for one in _between(node, complex_type)):
                continue  # belongs to a type written in place further down
            if node.tag == f"{_XS}attribute":
                name = node.get("name", "") or node.get("ref", "")
                names.append(f"{name} (required)" if node.get("use") == "required" else name)
            else:
                group = self.resolve("attributeGroup", node, node.get("ref", ""))
                names += self.attributes(group) if group is not None and group is not complex_type else []
        return tuple(sorted(names))


def _between(node: etree._Element, top: etree._Element) -> list[etree._Element]:
    found = []
    parent = node.getparent()
    while parent is not None and parent is not top:
        found.append(parent)
        parent = parent.getparent()
    return found


def _most(node: etree._Element) -> str:
    most = node.get("maxOccurs", "1")
    return "*" if most == "unbounded" else most


def _type_name(node: etree._Element, qname: str) -> str:
    prefix, _, name = qname.rpartition(":")
    space = node.nsmap.get(prefix or None, "")
    return f"xs:{name}" if space == _XSD else f"{name} of {space or 'no namespace'}"


class _Comparison:
    """Collects the differences of two schemas."""

    def __init__(self, official: _Schema, ours: _Schema) -> None:
        self.official = official
        self.ours = ours
        self.found: list[Difference] = []
        self.seen: set[tuple[str, str]] = set()

    def note(self, kind: DifferenceKind, path: str, official: str = "", ours: str = "") -> None:
        self.found.append(Difference(kind=kind, path=path, official=official, ours=ours))

    def elements(self, path: str, official: etree._Element, ours: etree._Element) -> None:
        """Compare two elements by what they hold."""
        their_type, their_name = self.official.type_of(official)
        our_type, our_name = self.ours.type_of(ours)
        if their_type is not None and our_type is not None:
            pair = (_place_of(their_type), _place_of(our_type))
            if pair in self.seen:
                return
            self.seen.add(pair)
        their_kind, our_kind = _kind(their_type), _kind(our_type)
        if their_kind == "complexType" == our_kind and their_type is not None and our_type is not None:
            self.complex_types(path, their_type, our_type)
        elif "complexType" in (their_kind, our_kind):
            self.note(
                DifferenceKind.TYPE,
                path,
                "child elements" if their_kind == "complexType" else their_name or "a simple type",
                "child elements" if our_kind == "complexType" else our_name or "a simple type",
            )
        else:
            theirs = (their_name, ()) if their_type is None else self.official.simple(their_type)
            own = (our_name, ()) if our_type is None else self.ours.simple(our_type)
            self.simple_types(path, theirs, own)

    def simple_types(self, path: str, official: tuple[str, tuple[str, ...]], ours: tuple[str, tuple[str, ...]]) -> None:
        (their_base, their_literals), (our_base, our_literals) = official, ours
        if their_base != our_base:
            self.note(DifferenceKind.TYPE, path, their_base, our_base)
        if set(their_literals) == set(our_literals):
            return
        if not their_literals or not our_literals:
            theirs, own = (", ".join(one) or "any value" for one in (their_literals, our_literals))
            self.note(DifferenceKind.LITERALS, path, theirs, own)
            return
        only_theirs = ", ".join(sorted(set(their_literals) - set(our_literals)))
        only_ours = ", ".join(sorted(set(our_literals) - set(their_literals)))
        self.note(
            DifferenceKind.LITERALS,
            path,
            f"also {only_theirs}" if only_theirs else "",
            f"also {only_ours}" if only_ours else "",
        )

    def complex_types(self, path: str, official: etree._Element, ours: etree._Element) -> None:
        theirs = {place.name: place for place in self.official.places(official)}
        own = {place.name: place for place in self.ours.places(ours)}
        for name, place in theirs.items():
            if name not in own:
                self.note(DifferenceKind.MISSING, f"{path}/{name}", place.bounds)
        for name, place in own.items():
            if name not in theirs:
                self.note(DifferenceKind.EXTRA, f"{path}/{name}", "", place.bounds)
        their_order = [name for name in theirs if name in own]
        our_order = [name for name in own if name in theirs]
        if their_order != our_order:
            at = next(i for i, (one, other) in enumerate(zip(their_order, our_order, strict=True)) if one != other)
            self.note(DifferenceKind.ORDER, path, f"{their_order[at]} first", f"{our_order[at]} first")
        attributes = (self.official.attributes(official), self.ours.attributes(ours))
        if attributes[0] != attributes[1]:
            self.note(DifferenceKind.ATTRIBUTES, path, *(", ".join(one) or "none" for one in attributes))
        for name in their_order:
            if theirs[name].bounds != own[name].bounds:
                self.note(DifferenceKind.CARDINALITY, f"{path}/{name}", theirs[name].bounds, own[name].bounds)
            if name != "(any element)":
                self.elements(f"{path}/{name}", theirs[name].node, own[name].node)


def _kind(node: etree._Element | None) -> str:
    return "" if node is None else etree.QName(node).localname


def _place_of(node: etree._Element) -> str:
    return node.getroottree().getpath(node)


def compare(official: bytes, ours: bytes, *, name: str = "the official schema") -> tuple[Difference, ...]:
    """Differences between two schema documents, in the order of the official one; empty if there are none.

    Args:
        official: Content of the official schema.
        ours: Content of ours.
        name: What errors call the official one, such as its file.

    Raises:
        SchemaFileError: one of them is no schema document.
    """
    comparison = _Comparison(_Schema(official, name), _Schema(ours, "our schema"))
    theirs, own = comparison.official, comparison.ours
    if theirs.namespace != own.namespace:
        comparison.note(DifferenceKind.NAMESPACE, "/", theirs.namespace or "none", own.namespace or "none")
    for imported in theirs.imports:
        comparison.note(DifferenceKind.NOTE, "/", f"imports {imported}, which was not followed")
    their_roots = {root: node for (kind, root), node in theirs.globals.items() if kind == "element"}
    our_roots = {root: node for (kind, root), node in own.globals.items() if kind == "element"}
    pairs = [(root, root) for root in their_roots if root in our_roots]
    if not pairs and len(their_roots) == 1 == len(our_roots):
        pairs = [(next(iter(their_roots)), next(iter(our_roots)))]  # one root each: the same thing by another name
        comparison.note(DifferenceKind.ROOT, "/", *pairs[0])
    else:
        for root in sorted(their_roots.keys() - our_roots.keys()):
            comparison.note(DifferenceKind.MISSING, f"/{root}", "root element")
        for root in sorted(our_roots.keys() - their_roots.keys()):
            comparison.note(DifferenceKind.EXTRA, f"/{root}", "", "root element")
    for their_name, our_name in pairs:
        comparison.elements(f"/{their_name}", their_roots[their_name], our_roots[our_name])
    return tuple(comparison.found)


def find_counterpart(
    official: bytes, catalog: Catalog | None = None, *, name: str = "the official schema"
) -> tuple[Document, bytes] | None:
    """Our schema to compare an official one with: by target namespace, else by a root element called like a noun.

    The full form of a noun's schema is taken. Schemas of a user never stand in for ours here, so give a catalog without
    a directory, or none. `name` is what messages call it. None if nothing of ours resembles it.

    Raises:
        SchemaFileError: it is no schema document.
    """
    catalog = catalog or Catalog()
    schema = _Schema(official, name)
    found = catalog.find(schema.namespace, partial=False)
    if found is not None:
        return found
    for kind, element in schema.globals:
        entry = find_noun(element.removeprefix("Get"), aliases=True) if kind == "element" else None
        if entry is not None:
            namespace = entry.query_namespace if element.startswith("Get") else entry.namespace
            return catalog.find(namespace, partial=False)
    return None
