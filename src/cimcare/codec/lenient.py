"""Lenient reading: field variants brought into the standard form, and a finding for each thing forgiven.

Works on a parsed tree before it is validated, so that everything behind it sees the standard form only. Strict reading
does not come here.

Forgiven: spelling of verbs, results and levels; older words for verbs; `www.` and older namespaces; other years of a
noun's namespace; other names of a noun; a wrapper element between payload root and objects; some misspelt element
names.

Source: variants met in public implementations of IEC 61968-100 and of the sister parts.
"""

import re

from lxml import etree

from cimcare.codec.envelope import MESSAGE_NAMESPACE
from cimcare.errors import Finding, finding_of
from cimcare.model.envelope import ErrorLevel, Result
from cimcare.model.nouns import ENTRIES, NounEntry, find_noun
from cimcare.model.verbs import EVENT_VERBS, REQUEST_VERBS, Verb
from cimcare.schema.places import path_of

__all__ = ["forgive"]

_OLD_ENVELOPES = re.compile(r"http://(?:www\.)?iec\.ch/TC57/(?:2008|2010|2011|2019)/schema/message#?\Z")
_NOUN_NAMESPACE = re.compile(r"http://(?:www\.)?iec\.ch/TC57/(?:\d{4}/)?(?P<name>(?:Get)?[A-Za-z]+)#?\Z")
_ROOTS = frozenset({"RequestMessage", "ResponseMessage", "EventMessage", "Message"})
_OLD_VERBS = {
    "update": "change",
    "updated": "changed",
    "show": "reply",
    "cancelled": "canceled",
    "response": "reply",
}
_RESULTS = {
    "success": "OK",
    "successful": "OK",
    "ok": "OK",
    "partial": "PARTIAL",
    "failed": "FAILED",
    "failure": "FAILED",
}
_LEVELS = {level.lower(): level.value for level in ErrorLevel} | {"error": "FATAL", "info": "INFORM", "warn": "WARNING"}
_MISSPELT = {"format": "Format", "operationID": "operationId", "RelatedID": "relatedID", "Code": "code"}
_VERB_VALUES = frozenset(verb.value for verb in Verb)
_CLAUSE = "variants met in the field"


def forgive(root: etree._Element) -> tuple[etree._Element, tuple[Finding, ...]]:
    """The document in the standard form (the tree is changed in place) and what was forgiven, in document order."""
    findings: list[Finding] = []
    _forgive_namespaces(root, findings)
    for element in root.iter():
        name = etree.QName(element)
        if name.namespace == MESSAGE_NAMESPACE:
            _forgive_spelling(element, name.localname, findings)
    for element in [root, *root.iterdescendants()]:
        name = etree.QName(element)
        if name.namespace == MESSAGE_NAMESPACE and name.localname in _ROOTS:
            _forgive_header(element, findings)
    for entry in ENTRIES:
        for element in list(root.iter(f"{{{entry.namespace}}}{entry.noun}")):
            _forgive_wrapper(element, entry, findings)
    return root, tuple(findings)


def _note(findings: list[Finding], code: str, element: etree._Element, found: str, accepted: str) -> None:
    finding = finding_of(code, path_of(element), found, accepted, _CLAUSE, line=element.sourceline)
    findings.append(
        Finding(
            code=finding.code,
            path=finding.path,
            found=found,
            accepted=accepted,
            clause=_CLAUSE,
            line=finding.line,
            level=finding.level,
            forgiven=True,
        )
    )


def _forgive_namespaces(root: etree._Element, findings: list[Finding]) -> None:
    seen: dict[str, str | None] = {}
    for element in root.iter():
        name = etree.QName(element)
        old = name.namespace or ""
        if old not in seen:
            seen[old] = _standard_namespace(old)
            if seen[old] is not None:
                _note(findings, "LEN-102", element, f"namespace {old}", f"namespace {seen[old]}")
        new = seen[old]
        if new is None:
            continue
        entry = next((entry for entry in ENTRIES if new == entry.namespace), None)
        local = name.localname
        parent = element.getparent()
        # The parent comes first in document order, so it bears the new namespace by now.
        is_root = parent is None or etree.QName(parent).namespace != new
        if entry is not None and is_root and local in entry.aliases:
            _note(findings, "LEN-104", element, f"root {local}", f"root {entry.noun}")
            local = entry.noun.value
        element.tag = f"{{{new}}}{local}"


def _standard_namespace(namespace: str) -> str | None:
    """The namespace that stands for this one; None if it is standard already or unknown."""
    if namespace != MESSAGE_NAMESPACE and _OLD_ENVELOPES.match(namespace):
        return MESSAGE_NAMESPACE
    match = _NOUN_NAMESPACE.match(namespace)
    if match is None:
        return None
    name = match["name"]
    entry = find_noun(name.removeprefix("Get"), aliases=True)
    if entry is None:
        return None
    standard = entry.query_namespace if name.startswith("Get") else entry.namespace
    return None if namespace == standard else standard


def _forgive_spelling(element: etree._Element, local: str, findings: list[Finding]) -> None:
    text = (element.text or "").strip()
    if local in _MISSPELT:
        _note(findings, "LEN-106", element, f"element {local}", f"element {_MISSPELT[local]}")
        element.tag = f"{{{MESSAGE_NAMESPACE}}}{_MISSPELT[local]}"
    elif local == "Verb" and text not in _VERB_VALUES:
        word = _OLD_VERBS.get(text.lower(), text.lower())
        if word in _VERB_VALUES:
            _note(findings, "LEN-101", element, f'verb "{text}"', f'verb "{word}"')
            element.text = word
    elif local == "Result" and text not in Result.__members__ and text.lower() in _RESULTS:
        _note(findings, "LEN-105", element, f'result "{text}"', f'result "{_RESULTS[text.lower()]}"')
        element.text = _RESULTS[text.lower()]
    elif local == "level" and text not in ErrorLevel.__members__ and text.lower() in _LEVELS:
        _note(findings, "LEN-105", element, f'level "{text}"', f'level "{_LEVELS[text.lower()]}"')
        element.text = _LEVELS[text.lower()]
    elif local == "Noun":
        entry = find_noun(text, aliases=True)
        if entry is not None and text != entry.noun:
            _note(findings, "LEN-104", element, f'noun "{text}"', f'noun "{entry.noun}"')
            element.text = entry.noun.value


def _forgive_header(message: etree._Element, findings: list[Finding]) -> None:
    """A response that repeats the request's verb, and an event sent as a request."""
    verb = message.find(f"{{{MESSAGE_NAMESPACE}}}Header/{{{MESSAGE_NAMESPACE}}}Verb")
    if verb is None:
        return
    text = verb.text or ""
    root = etree.QName(message).localname
    if root == "ResponseMessage" and text in REQUEST_VERBS:
        _note(findings, "LEN-101", verb, f'verb "{text}" in a ResponseMessage', 'verb "reply"')
        verb.text = Verb.REPLY.value
    elif root == "RequestMessage" and text in EVENT_VERBS and message.find(f"{{{MESSAGE_NAMESPACE}}}Request") is None:
        _note(findings, "LEN-101", verb, f'verb "{text}" in a RequestMessage', "an EventMessage")
        message.tag = f"{{{MESSAGE_NAMESPACE}}}EventMessage"


def _forgive_wrapper(root: etree._Element, entry: NounEntry, findings: list[Finding]) -> None:
    """root/<wrapper>/Work -> root/Work; identity of the wrapper goes to a Work that has none."""
    if entry.wrapper == entry.item_name:
        return
    own = f"{{{entry.namespace}}}"
    for wrapper in list(root.iterchildren(f"{own}{entry.wrapper}")):
        _note(
            findings,
            "LEN-103",
            wrapper,
            f"wrapper {entry.wrapper} between {entry.noun} and {entry.item_name}",
            f"{entry.item_name} directly below {entry.noun}",
        )
        identity = [child for child in wrapper if child.tag in (f"{own}mRID", f"{own}Names")]
        objects = [child for child in wrapper if child not in identity]
        place = root.index(wrapper)
        for position, child in enumerate(objects):
            if child.tag == f"{own}{entry.item_name}" and not _has_identity(child, own):
                _give_identity(child, identity, own)
            root.insert(place + position, child)
        root.remove(wrapper)
    root[:] = sorted(root, key=lambda child: etree.QName(child).localname.lower())


def _has_identity(element: etree._Element, own: str) -> bool:
    return element.find(f"{own}mRID") is not None or element.find(f"{own}Names") is not None


def _give_identity(element: etree._Element, identity: list[etree._Element], own: str) -> None:
    names = [child for child in identity if child.tag == f"{own}Names"]
    mrid = next((child for child in identity if child.tag == f"{own}mRID"), None)
    complex_children = [child for child in element if len(child)]
    later = [child for child in complex_children if etree.QName(child).localname.lower() > "names"]
    at = element.index(later[0]) if later else len(element)
    for offset, name in enumerate(names):
        element.insert(at + offset, name)
    if mrid is not None:
        element.insert(0, mrid)
