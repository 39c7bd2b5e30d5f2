"""CIM RDF/XML as objects with members: what any reader of a model needs, and nothing that is about networks.

Read are objects under `rdf:RDF` by their class, with `rdf:ID` or `rdf:about`; several statements about one object, as
when states come in a file of their own, are put together. Members that nobody asked for are passed over.

Source: IEC 61970-552.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
from lxml import etree

from cimcare.codec.limits import Limits, walk_xml
from cimcare.errors import Finding, Level, finding_of
from cimcare.model.identity import MRID

__all__ = ["CimModel", "CimObject"]

_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_CIM = re.compile(r"\{(http://iec\.ch/TC57/[^}]*CIM[^}]*)\}(.+)", re.IGNORECASE)
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_CLAUSE = "IEC 61970-552"
_MOST_TOLD = 50
"""Findings that are told; with so many of them, it is time to look at the export as a whole."""


class CimObject(NamedTuple):
    """An object of the model: its class, its members with all their values, and where it was first spoken of.

    `identity` is how the model refers to it, `given` how the file has that.
    """

    name: str
    identity: str
    given: str
    members: dict[str, list[str]]
    file: str
    line: int

    def one(self, member: str) -> str:
        """The first value of a member; empty if there is none."""
        values = self.members.get(member)
        return values[0] if values else ""

    @property
    def mrid(self) -> MRID:
        """The mRID; where it is not said, what identifies the object in the file."""
        return MRID(self.one("IdentifiedObject.mRID") or self.given)

    @property
    def label(self) -> str:
        """The name, failing that the mRID."""
        return self.one("IdentifiedObject.name") or self.mrid


class CimModel:
    """The objects of all files, and what is wrong with them. `is_unusable` tells of a finding that is fatal."""

    def __init__(self, members: frozenset[str], passed_over: frozenset[str] = frozenset()) -> None:
        """An empty model.

        Args:
            members: Members that are kept, such as `Switch.open`.
            passed_over: Classes of which nothing is kept.
        """
        self._members = members
        self._passed_over = passed_over
        self.findings: list[Finding] = []
        self.objects: dict[str, CimObject] = {}
        self.by_class: dict[str, list[str]] = defaultdict(list)
        self.is_unusable = False
        self._locals: dict[str, str] = {}

    def read(self, file: str, raw: bytes, limits: Limits) -> None:
        """Take the objects of one file."""
        elements = walk_xml(raw, limits)
        root = next(elements)
        if root.tag != f"{_RDF}RDF":
            self.tell("REF-120", file, root.sourceline, f"root element {root.tag!s}", "rdf:RDF with CIM objects")
            return
        is_cim = False
        for element in elements:
            name = self._class_of(element)
            if name == "DifferenceModel":
                self.tell("REF-120", file, element.sourceline, "a difference model", "a whole model")
                return
            if name:
                is_cim = True
                if name not in self._passed_over:
                    self._take(element, name, file)
        if not is_cim:
            spaces = ", ".join(sorted({str(space) for space in root.nsmap.values()}))
            accepted = "objects of a namespace such as http://iec.ch/TC57/CIM100#"
            self.tell("REF-120", file, root.sourceline, f"no object of CIM; namespaces {spaces}", accepted)

    def _class_of(self, element: etree._Element) -> str:
        tag = str(element.tag)
        if tag == f"{_RDF}Description":
            kinds = [str(kind.get(f"{_RDF}resource", "")) for kind in element.iterfind(f"{_RDF}type")]
            return next((kind.rpartition("#")[2] for kind in kinds if "TC57" in kind), "")
        return "DifferenceModel" if tag.endswith("}DifferenceModel") else self._local_of(tag)

    def _local_of(self, tag: str) -> str:
        """Name of a class or member of CIM; empty for what is of another namespace."""
        local = self._locals.get(tag)
        if local is None:
            match = _CIM.fullmatch(tag)
            local = self._locals[tag] = match[2] if match else ""
        return local

    def _take(self, element: etree._Element, name: str, file: str) -> None:
        given = element.get(f"{_RDF}ID") or element.get(f"{_RDF}about")
        line = element.sourceline or 0
        if not given:
            self.tell("REF-121", f"{file}, {name}", line, "neither rdf:ID nor rdf:about", "one of them")
            return
        identity = _identity_of(str(given))
        known = self.objects.get(identity)
        if known is None:
            known = self.objects[identity] = CimObject(name, identity, _plain(str(given)), {}, file, line)
            self.by_class[name].append(identity)
        for child in element:
            member = self._local_of(str(child.tag))
            if member in self._members:
                reference = child.get(f"{_RDF}resource")
                value = _identity_of(str(reference)) if reference is not None else (child.text or "").strip()
                if value:
                    known.members.setdefault(member, []).append(value)

    def of(self, *names: str) -> Iterator[tuple[str, CimObject]]:
        """Objects of these classes."""
        for name in names:
            for identity in self.by_class.get(name, ()):
                yield identity, self.objects[identity]

    def tell(self, code: str, path: str, line: int | None, found: str, accepted: str, *, warns: bool = False) -> None:
        """Note a finding, unless many are noted already."""
        finding = finding_of(code, path, found, accepted, _CLAUSE, line=line)
        finding = msgspec.structs.replace(finding, level=Level.WARNING if warns else finding.level)
        self.is_unusable = self.is_unusable or finding.level is Level.FATAL
        if len(self.findings) < _MOST_TOLD:
            self.findings.append(finding)

    def complain(
        self, code: str, one: CimObject, member: str, found: str, accepted: str, *, warns: bool = False
    ) -> None:
        """Note a finding about a member of an object."""
        path = f"{one.file}, {one.name} {one.label}{', ' if member else ''}{member}"
        self.tell(code, path, one.line, found, accepted, warns=warns)

    def number(self, one: CimObject, member: str) -> float | None:
        """A number; None if there is none, or none that can be read, which is noted."""
        text = one.one(member)
        if not text:
            return None
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            self.complain("REF-121", one, member, text, "a number")
            return None
        return number

    def truth(self, one: CimObject, member: str) -> bool | None:
        """A truth; None if there is none."""
        text = one.one(member).lower()
        if text not in ("", "true", "false"):
            self.complain("REF-121", one, member, text, "true or false")
        return None if not text else text == "true"


def _plain(reference: str) -> str:
    """An identity as rdf:ID, rdf:about or rdf:resource has it, without what only marks it as one."""
    return reference.removeprefix("#").removeprefix("urn:uuid:").removeprefix("_")


def _identity_of(reference: str) -> str:
    """The same for all spellings of one identity: digits of a UUID may be of either case."""
    plain = _plain(reference)
    return plain.lower() if _UUID.fullmatch(plain) else plain
