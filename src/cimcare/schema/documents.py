"""The documents as files: derived from the model, listed, rendered for a client, bundled and exported.

Derived documents name neither the address of a service nor the place of a schema. Both are put in here: for a hub that
serves `<address>?wsdl` and `<address>?xsd=<file>`, or for a folder with the WSDLs beside a folder `xsd`.
"""

import json
from pathlib import Path
from xml.sax.saxutils import escape

from cimcare.model.envelope import MESSAGE_NAMESPACE
from cimcare.model.nouns import ENTRIES, NOUNS, Noun
from cimcare.schema.catalog import Catalog, Document, read_stored
from cimcare.schema.derive import EDITION, json_schema, message_schema, noun_schema, query_schema
from cimcare.schema.wsdl import (
    ABSTRACT_NAMESPACE,
    ADDRESS,
    GENERIC,
    SCHEMAS,
    SERVICES,
    ServiceRole,
    generic_wsdl,
    message_schema_of,
    query_message_schema_of,
    typed_wsdl,
)

__all__ = [
    "DEFAULT_ADDRESS",
    "bundle",
    "derive_documents",
    "export",
    "list_documents",
    "render_schema",
    "render_wsdl",
    "schema_files",
]

DEFAULT_ADDRESS = "http://127.0.0.1:8968/soap"
"""Address of the generic service of a hub with default settings; typed services stand below it."""


def derive_documents() -> dict[str, bytes]:
    """All documents, derived from the model, by path below the package's `schema` folder."""
    xsd, wsdl = f"xsd/{EDITION}", f"wsdl/{EDITION}"
    documents = {f"{xsd}/Message.xsd": message_schema(), f"{wsdl}/{GENERIC}.wsdl": generic_wsdl()}
    for entry in ENTRIES:
        documents[f"{xsd}/{entry.noun}.xsd"] = noun_schema(entry)
        documents[f"{xsd}/partial/{entry.noun}.xsd"] = noun_schema(entry, partial=True)
        documents[f"{xsd}/Get{entry.noun}.xsd"] = query_schema(entry)
        documents[f"{wsdl}/xsd/{entry.noun}Message.xsd"] = message_schema_of(entry)
        documents[f"{wsdl}/xsd/Get{entry.noun}Message.xsd"] = query_message_schema_of(entry)
    for name, service in SERVICES.items():
        documents[f"{wsdl}/{name}.wsdl"] = typed_wsdl(service)
    return documents


def list_documents(catalog: Catalog | None = None) -> tuple[Document, ...]:
    """All schemas in force and all service descriptions."""
    services = [
        Document(
            file=f"{name}.wsdl",
            path=f"wsdl/{EDITION}/{name}.wsdl",
            namespace=SERVICES[name].namespace if name in SERVICES else ABSTRACT_NAMESPACE,
            kind="service",
            form="both",
            noun=SERVICES[name].entry.noun if name in SERVICES else None,
            clause="IEC 61968-100:2013, SOAP binding",
            origin="built in",
        )
        for name in (GENERIC, *SERVICES)
    ]
    return (*(catalog or Catalog()).documents(), *services)


def schema_files(service: str) -> tuple[str, ...]:
    """Files of the schemas that a service needs.

    Raises:
        KeyError: no such service.
    """
    if service == GENERIC:
        nouns = [entry.noun for entry in ENTRIES]
        return ("Message.xsd", *(f"{noun}.xsd" for noun in nouns), *(f"Get{noun}.xsd" for noun in nouns))
    return SERVICES[service].schemas


def render_wsdl(service: str, address: str, *, served: bool = True) -> bytes:
    """WSDL of a service at an address.

    Args:
        service: `Service` for the generic one, else `<Role><Noun>`.
        address: Full address of the service, such as `http://127.0.0.1:8968/soap/ReceiveIncidents`.
        served: True: schemas are imported from `<address>?xsd=<file>`; False: from the folder `xsd` beside the WSDL.

    Raises:
        KeyError: no such service.
    """
    if service != GENERIC and service not in SERVICES:
        raise KeyError(service)
    raw = read_stored(f"wsdl/{EDITION}/{service}.wsdl")
    return _placed(raw, address, f"{address}?xsd=" if served else "xsd/")


def render_schema(service: str, file: str, address: str = "", *, catalog: Catalog | None = None) -> bytes:
    """Schema of a service by file name, the partial form of a noun's, with the user's own in place of ours.

    Args:
        service: As for `render_wsdl`.
        file: One of `schema_files(service)`.
        address: Address of the service; empty: imports name files of the same folder.
        catalog: Where schemas come from; the built-in ones if None.

    Raises:
        KeyError: no such service, or no such file with it.
    """
    if file not in schema_files(service):
        raise KeyError(file)
    name = file.removesuffix(".xsd")
    if name.endswith("Message") and name != "Message":
        raw = read_stored(f"wsdl/{EDITION}/xsd/{file}")
    else:
        found = (catalog or Catalog()).find(_namespace_of(name), partial=True)
        if found is None:
            raise KeyError(file)
        raw = found[1]
    return _placed(raw, address, f"{address}?xsd=" if address else "")


def _namespace_of(name: str) -> str:
    if name == "Message":
        return MESSAGE_NAMESPACE
    entry = NOUNS[Noun(name.removeprefix("Get"))]
    return entry.query_namespace if name.startswith("Get") else entry.namespace


def _placed(raw: bytes, address: str, schemas: str) -> bytes:
    places = {SCHEMAS: schemas, ADDRESS: address}
    for placeholder, place in places.items():
        raw = raw.replace(placeholder.encode(), escape(place, {'"': "&quot;"}).encode())
    return raw


def bundle(
    noun: Noun | None,
    role: ServiceRole | None = None,
    *,
    catalog: Catalog | None = None,
    address: str = DEFAULT_ADDRESS,
) -> dict[str, bytes]:
    """WSDL of one service and the schemas it needs, by path below a folder.

    Args:
        noun: Noun of a strongly typed service; None for the generic one.
        role: Role of the strongly typed service; needed with a noun.
        catalog: Where schemas come from; the built-in ones if None.
        address: Address of the generic service.

    Raises:
        KeyError: no such service.
    """
    service = GENERIC if noun is None else f"{role}{noun}"
    place = address if noun is None else f"{address}/{service}"
    catalog = catalog or Catalog()
    files = {f"{service}.wsdl": render_wsdl(service, place, served=False)}
    return files | {f"xsd/{file}": render_schema(service, file, catalog=catalog) for file in schema_files(service)}


def export(directory: Path, *, catalog: Catalog | None = None, address: str = DEFAULT_ADDRESS) -> tuple[Path, ...]:
    """Write everything below a directory and return the files.

    `*.xsd` full forms, envelope and query elements; `partial/*.xsd` partial forms; `wsdl/` all services with their
    `xsd` folder; `json/` JSON Schemas. The directory itself can serve as a user's schema directory.

    Raises:
        OSError: a file cannot be written.
    """
    catalog = catalog or Catalog()
    files: dict[str, bytes] = {}
    for document in catalog.documents():
        found = catalog.find(document.namespace, partial=document.form == "partial")
        if found is not None and document.kind != "typed message":
            folder = "partial/" if document.form == "partial" else ""
            files[f"{folder}{document.file}"] = found[1]
    services: list[tuple[Noun | None, ServiceRole | None]] = [(None, None)]
    services += [(service.entry.noun, service.role) for service in SERVICES.values()]
    for noun, role in services:
        content = bundle(noun, role, catalog=catalog, address=address)
        files |= {f"wsdl/{path}": raw for path, raw in content.items()}
    for noun in Noun:
        schema = json.dumps(json_schema(noun), indent=2, ensure_ascii=False)
        files[f"json/{noun}.schema.json"] = f"{schema}\n".encode()
    written = []
    for path, raw in sorted(files.items()):
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(raw)
        written.append(target)
    return tuple(written)
