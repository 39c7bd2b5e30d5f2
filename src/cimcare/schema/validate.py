"""Checks against the schemas: elements in, findings out. libxml2 decides; only a refusal costs an explanation.

The envelope's schema never looks into a Payload, so every payload root, every payload of an Operation and every query
element is checked on its own, against the schema of its namespace. Compressed content is the caller's to unpack.

Source: IEC 61968-100:2013, Message.xsd (wildcards of Payload and Operation are `skip`, the one of Request is `lax`).
"""

from collections.abc import Iterator

from lxml import etree

from cimcare.errors import Finding, finding_of
from cimcare.model.envelope import MESSAGE_NAMESPACE
from cimcare.model.nouns import NounEntry, find_noun
from cimcare.schema.catalog import Catalog
from cimcare.schema.places import MOST_FINDINGS, path_of
from cimcare.schema.wsdl import SERVICES

__all__ = ["check_element", "check_message"]

_M = f"{{{MESSAGE_NAMESPACE}}}"
_FULL = frozenset({"create", "created"})
_TYPED = frozenset(service.message_namespace for service in SERVICES.values())


def check_element(
    element: etree._Element, catalog: Catalog, *, verb: str | None = None, limit: int = MOST_FINDINGS
) -> tuple[Finding, ...]:
    """Findings for one element against the schema of its namespace; empty if it conforms.

    Args:
        element: Envelope, payload root, query element or typed message, in its place in a tree without comments.
        catalog: Where schemas come from.
        verb: Decides the form: `create` and `created` ask for all mandatory members, anything else, None included, for
            those that a part always has.
        limit: Most findings wanted.
    """
    schema = catalog.schema_for(_split(element)[0], partial=verb not in _FULL)
    if schema is None:
        return (_no_schema(element, catalog, None),)
    if schema.validate(element):
        return ()
    from cimcare.schema.explain import explain  # noqa: PLC0415  loads xmlschema, which only a refusal needs

    return explain(element, schema, limit=limit)


def check_message(root: etree._Element, catalog: Catalog) -> tuple[Finding, ...]:
    """Findings for a whole message: envelope, every payload, every query element. Empty if all conform.

    The verb in the header (in an OperationSet: of the operation) decides the form of the payload's schema.
    """
    namespace, _ = _split(root)
    findings = check_element(root, catalog)
    if namespace != MESSAGE_NAMESPACE and namespace not in _TYPED:
        return findings
    for element, verb in _contents(root, namespace):
        if len(findings) >= MOST_FINDINGS:
            break
        if catalog.schema_for(_split(element)[0], partial=True) is None:
            noun = root.findtext(f"{{{namespace}}}Header/{_M}Noun", "").strip()
            findings += (_no_schema(element, catalog, find_noun(noun, aliases=True)),)
        else:
            findings += check_element(element, catalog, verb=verb, limit=MOST_FINDINGS - len(findings))
    return findings


def _split(element: etree._Element) -> tuple[str, str]:
    """Namespace and local name."""
    namespace, _, name = str(element.tag).rpartition("}")
    return namespace[1:], name


def _contents(root: etree._Element, namespace: str) -> Iterator[tuple[etree._Element, str]]:
    """Elements of other namespaces that have a schema of their own to meet, each with the verb that applies."""
    own = (MESSAGE_NAMESPACE, namespace, "")
    verb = ""
    for part in root:
        name = _split(part)[1]
        if name == "Header":
            verb = part.findtext(f"{_M}Verb", "").strip()
        elif name in {"Payload", "Request"}:
            for child in part:
                space, tag = _split(child)
                # In Request, other elements of other namespaces are extensions, which the envelope leaves free.
                if space not in own and (name == "Payload" or tag.startswith("Get")):
                    yield child, verb
                elif tag == "OperationSet":
                    yield from _operations(child)


def _operations(operation_set: etree._Element) -> Iterator[tuple[etree._Element, str]]:
    for operation in operation_set.iterchildren(f"{_M}Operation"):
        verb = operation.findtext(f"{_M}verb", "").strip()
        if operation.findtext(f"{_M}elementOperation", "").strip() in ("true", "1"):
            verb = ""  # whatever it says, what follows is a path to parts of an object
        for child in operation:
            if _split(child)[0] not in (MESSAGE_NAMESPACE, ""):
                yield child, verb


def _no_schema(element: etree._Element, catalog: Catalog, expected: NounEntry | None) -> Finding:
    """SCH-106, with the namespace that the noun of the element or of the header has, else with all of them."""
    namespace, name = _split(element)
    is_query = name.startswith("Get")
    entry = find_noun(name.removeprefix("Get"), aliases=True) or expected
    if entry is not None:
        wanted = f"Get{entry.noun}" if is_query else entry.noun
        accepted = f"{wanted} in namespace {entry.query_namespace if is_query else entry.namespace}"
    else:
        accepted = f"an element of one of the namespaces {', '.join(catalog.payload_namespaces())}"
    space = f"namespace {namespace}" if namespace else "no namespace"
    clause = entry.clause if entry else "IEC 61968-100:2013, Message.xsd, PayloadType"
    found = f"{name} in {space}, for which there is no schema"
    return finding_of("SCH-106", path_of(element), found, accepted, clause, line=element.sourceline)
