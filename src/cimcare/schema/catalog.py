"""The schema documents: the built-in ones, a user's own in their place, and their compiled forms.

A user's directory overrides by target namespace: any `*.xsd` in it takes the place of both forms of the built-in
schema of that namespace, any `partial/*.xsd` of the partial form alone. Files that another file of the directory
includes belong to that file. Compilation is lazy and kept; a Catalog may be shared between threads.
"""

import re
from collections.abc import Iterator
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
from lxml import etree

from cimcare.errors import CimcareError, Finding, finding_of
from cimcare.model.envelope import MESSAGE_NAMESPACE
from cimcare.model.nouns import ENTRIES, NOUNS, Noun, NounEntry
from cimcare.schema.derive import EDITION
from cimcare.schema.wsdl import SCHEMAS, SERVICES

if TYPE_CHECKING:
    from lxml.etree._docloader import _InputDocument
    from xmlschema import XMLSchema10

__all__ = ["Catalog", "CompiledSchema", "Document", "SchemaFileError", "read_schema_file", "read_stored"]

Kind = Literal["envelope", "payload", "query", "typed message", "service", "other"]
Form = Literal["full", "partial", "both"]

_XS = "{http://www.w3.org/2001/XMLSchema}"
_ENVELOPE_CLAUSE = "IEC 61968-100:2013, Message.xsd"
_TYPED_CLAUSE = "IEC 61968-100:2013, strongly typed services"


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """One schema document of the catalog.

    `path` is the place below the package's `schema` folder, or the path of the user's file. `clause` is the source that
    findings name.
    """

    file: str
    path: str
    namespace: str
    kind: Kind
    form: Form
    noun: Noun | None
    clause: str
    origin: Literal["built in", "user"]


class SchemaFileError(CimcareError):
    """A schema file, or a directory of them, cannot be used."""

    code = "SET-103"

    def __init__(self, finding: Finding, file: str) -> None:
        super().__init__(finding.describe(file))
        self.finding = finding
        self.file = file


def _unusable(file: Path | str, found: str, accepted: str, line: int | None = None) -> SchemaFileError:
    return SchemaFileError(finding_of("SET-103", "/schema", found, accepted, line=line), str(file))


def read_stored(path: str) -> bytes:
    """A built-in document by its path below the package's `schema` folder.

    Raises:
        SchemaFileError: there is none; the installation is incomplete.
    """
    try:
        return resources.files("cimcare.schema").joinpath(path).read_bytes()
    except OSError as error:
        raise _unusable(path, "built-in schema document not found", "install the package anew") from error


def _parser() -> etree.XMLParser:
    return etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True)


def read_schema_file(raw: bytes, file: Path | str) -> etree._Element:
    """Root of a schema document.

    Raises:
        SchemaFileError: not well-formed, or its root is no xs:schema.
    """
    try:
        root = etree.fromstring(raw, _parser(), base_url=str(file))
    except etree.XMLSyntaxError as error:
        raise _unusable(
            file, f"not well-formed XML: {error.msg}", "an XML Schema 1.0 document", error.lineno
        ) from error
    if root.getroottree().docinfo.doctype:
        raise _unusable(file, "document type declaration", "an XML Schema 1.0 document without DOCTYPE; remove it")
    if root.tag != f"{_XS}schema":
        raise _unusable(file, f"root element is {root.tag!s}", "an XML Schema 1.0 document with root xs:schema", 1)
    return root


class _Imports(etree.Resolver):
    """Answers imports between built-in documents; everything else is left to libxml2, which has no network here."""

    def __init__(self, documents: dict[str, bytes]) -> None:
        super().__init__()
        self.documents = documents

    def resolve(self, url: str | None, public_id: str | None, context: object, /) -> "_InputDocument | None":
        """Content for a known file name, None for any other."""
        raw = self.documents.get((url or "").rpartition("/")[2])
        return None if raw is None else self.resolve_string(raw, context, base_url=url)


class CompiledSchema:
    """A schema document ready for use: `validate` decides, `explainer` knows why.

    `imports` holds the documents that this one imports, by the file name it gives them.
    """

    def __init__(
        self, document: Document, raw: bytes, imports: dict[str, tuple[Document, bytes]] | None = None
    ) -> None:
        self.document = document
        self.raw = raw
        self.imports = imports or {}
        self.roots = _global_elements(read_schema_file(raw, document.path))

    @cached_property
    def decider(self) -> etree.XMLSchema:
        """The schema compiled by libxml2.

        Raises:
            SchemaFileError: libxml2 refuses it.
        """
        parser = _parser()
        if self.imports:
            parser.resolvers.add(_Imports({name: _enclosed(raw) for name, (_, raw) in self.imports.items()}))
        root = etree.fromstring(self.raw, parser, base_url=self.document.path)
        _enclose_wildcards(root)
        try:
            return etree.XMLSchema(etree.ElementTree(root))
        except etree.XMLSchemaParseError as error:
            line = next((entry.line for entry in error.error_log if entry.line), None)
            found = f"no valid XML Schema: {error}"
            raise _unusable(self.document.path, found, "a schema that libxml2 can compile", line) from error

    @cached_property
    def explainer(self) -> "XMLSchema10":
        """The schema compiled by xmlschema, which says what would pass.

        Raises:
            xmlschema.XMLSchemaException: xmlschema cannot use it.
        """
        from xmlschema import XMLSchema10  # noqa: PLC0415  slow to load, and only a refusal needs it

        base = None if self.document.origin == "built in" else str(Path(self.document.path).parent)
        raw = re.sub(rb' schemaLocation="[^"]*"', b"", self.raw) if self.imports else self.raw
        schema = XMLSchema10(raw, base_url=base, build=False, allow="local")
        for document, raw in self.imports.values():
            schema.add_schema(raw, namespace=document.namespace)
        schema.build()
        return schema

    def validate(self, element: etree._Element) -> bool:
        """Whether the element, in its place in its tree, conforms."""
        return self.decider.validate(element)


def _enclosed(raw: bytes) -> bytes:
    root = etree.fromstring(raw, _parser())
    _enclose_wildcards(root)
    return etree.tostring(root)


def _enclose_wildcards(root: etree._Element) -> None:
    """Give every repeatable wildcard a sequence of its own, which changes nothing that the schema means.

    libxml2 lets the loop of a bare wildcard run back into what stands before it: it would accept an ID after an
    extension in Request, or Compressed beside a payload.
    """
    for wildcard in list(root.iter(f"{_XS}any")):
        bounds = {name: wildcard.attrib.pop(name) for name in ("minOccurs", "maxOccurs") if name in wildcard.attrib}
        sequence = etree.Element(f"{_XS}sequence", bounds)
        parent = wildcard.getparent()
        assert parent is not None
        parent.replace(wildcard, sequence)
        sequence.append(wildcard)


def _global_elements(root: etree._Element) -> tuple[str, ...]:
    return tuple(child.get("name", "") for child in root.iterchildren(f"{_XS}element"))


def _built_in() -> Iterator[Document]:
    def stored(folder: str, file: str, namespace: str, kind: Kind, form: Form, entry: NounEntry | None) -> Document:
        clause = entry.clause if entry else _ENVELOPE_CLAUSE
        if kind == "query":
            clause += " (query element, our profile)"
        elif kind == "typed message":
            clause = _TYPED_CLAUSE
        return Document(
            file=file,
            path=f"{folder}/{file}",
            namespace=namespace,
            kind=kind,
            form=form,
            noun=entry.noun if entry else None,
            clause=clause,
            origin="built in",
        )

    xsd, wsdl = f"xsd/{EDITION}", f"wsdl/{EDITION}/xsd"
    yield stored(xsd, "Message.xsd", MESSAGE_NAMESPACE, "envelope", "both", None)
    for entry in ENTRIES:
        yield stored(xsd, f"{entry.noun}.xsd", entry.namespace, "payload", "full", entry)
        yield stored(f"{xsd}/partial", f"{entry.noun}.xsd", entry.namespace, "payload", "partial", entry)
        yield stored(xsd, f"Get{entry.noun}.xsd", entry.query_namespace, "query", "both", entry)
        for service in (SERVICES[f"Receive{entry.noun}"], SERVICES[f"Get{entry.noun}"]):
            yield stored(wsdl, service.message_file, service.message_namespace, "typed message", "both", entry)


_BUILT_IN = tuple(_built_in())
_BY_NAMESPACE = {document.namespace: document for document in _BUILT_IN}


def _user_documents(directory: Path) -> Iterator[tuple[Document, bytes]]:
    """Documents of a user's directory, read but not compiled."""
    if not directory.is_dir():
        raise _unusable(directory, "no such directory", "a directory with XSD files (setting schema.directory)")
    if not any(directory.glob("*.xsd")) and not any(directory.glob("partial/*.xsd")):
        raise _unusable(directory, "no *.xsd file in this directory", "a directory with XSD files, or none at all")
    forms: tuple[tuple[Form, str], ...] = (("both", "*.xsd"), ("partial", "partial/*.xsd"))
    for form, pattern in forms:
        found: dict[str, Path] = {}
        for path, raw, root in _main_files(sorted(directory.glob(pattern))):
            namespace = root.get("targetNamespace")
            if not namespace:
                raise _unusable(path, "no targetNamespace", "a schema with the target namespace of a noun", 1)
            if namespace in found:
                raise _unusable(
                    path,
                    f"target namespace {namespace}, which {found[namespace].name} has too",
                    "one file a namespace; let one include the other, or remove one",
                    root.sourceline,
                )
            found[namespace] = path
            twin = _BY_NAMESPACE.get(namespace)
            yield (
                Document(
                    file=path.name,
                    path=str(path),
                    namespace=namespace,
                    kind=twin.kind if twin else "other",
                    form=form,
                    noun=twin.noun if twin else None,
                    clause=f"{path.name}, schema of the user" + (f" for {twin.clause}" if twin else ""),
                    origin="user",
                ),
                raw,
            )


def _main_files(paths: list[Path]) -> list[tuple[Path, bytes, etree._Element]]:
    """The files that no other of them includes."""
    files = []
    for path in paths:
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise _unusable(path, f"cannot be read: {error.strerror}", "a readable file") from error
        files.append((path, raw, read_schema_file(raw, path)))
    included = {
        (path.parent / child.get("schemaLocation", "")).resolve()
        for path, _, root in files
        for child in root.iterchildren(f"{_XS}include", f"{_XS}redefine")
    }
    return [file for file in files if file[0].resolve() not in included]


class Catalog:
    """Which schema stands for which namespace.

    Args:
        directory: A user's own schemas; they override the built-in ones by target namespace.

    Raises:
        SchemaFileError: the directory, or a file in it, cannot be used. A user's schemas are compiled here, so that a
            mistake shows at the start and not with the first message.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory
        self._compiled: dict[tuple[str, bool], CompiledSchema | None] = {}
        self._user: dict[tuple[str, bool], tuple[Document, bytes]] = {}
        if directory is None:
            return
        for document, raw in _user_documents(directory):
            for partial in (True, False) if document.form == "both" else (True,):
                self._user[document.namespace, partial] = document, raw
        for namespace, partial in self._user:
            schema = self.schema_for(namespace, partial=partial)
            assert schema is not None
            _ = schema.decider

    def documents(self) -> tuple[Document, ...]:
        """All documents in force, the user's in place of the built-in ones they override."""
        user = {document.path: document for document, _ in self._user.values()}
        kept = []
        for document in _BUILT_IN:
            forms = (document.form == "partial",) if document.form != "both" else (False, True)
            if any((document.namespace, partial) not in self._user for partial in forms):
                kept.append(document)
        return (*kept, *user.values())

    def find(self, namespace: str, *, partial: bool) -> tuple[Document, bytes] | None:
        """Document in force for a namespace and its content; None if there is none."""
        own = self._user.get((namespace, partial))
        if own is not None:
            return own
        for document in _BUILT_IN:
            if document.namespace == namespace and document.form in ("both", "partial" if partial else "full"):
                # Imports of built-in documents are by file name; where the files are is up to whom they are given.
                return document, read_stored(document.path).replace(SCHEMAS.encode(), b"")
        return None

    def schema_for(self, namespace: str, *, partial: bool) -> CompiledSchema | None:
        """Compiled schema of a namespace in the form asked for; None for a namespace without schema."""
        try:
            return self._compiled[namespace, partial]
        except KeyError:
            # A namespace comes from the input: only known ones may be kept, or the table would grow without bound.
            found = self.find(namespace, partial=partial)
            if found is None:
                return None
            document, raw = found
            twin = self._compiled.get((namespace, not partial))
            if twin is not None and twin.document == document:
                compiled = twin
            else:
                compiled = CompiledSchema(document, raw, self._imports_of(document))
            self._compiled[namespace, partial] = compiled
            return compiled

    def _imports_of(self, document: Document) -> dict[str, tuple[Document, bytes]]:
        if document.kind != "typed message" or document.origin == "user" or document.noun is None:
            return {}
        wanted = {"Message.xsd": MESSAGE_NAMESPACE, f"{document.noun}.xsd": NOUNS[document.noun].namespace}
        found = {name: self.find(namespace, partial=True) for name, namespace in wanted.items()}
        return {name: one for name, one in found.items() if one is not None}

    def payload_namespaces(self) -> tuple[str, ...]:
        """Namespaces whose elements may stand in a Payload."""
        return tuple(dict.fromkeys(one.namespace for one in self.documents() if one.kind in ("payload", "other")))
