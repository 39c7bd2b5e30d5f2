"""Judges a whole document (envelope, SOAP message, bare payload; XML or JSON): what was checked, and what is wrong.

The steps are those of the hub: bytes, schema, values, rules. A step that cannot be taken because an earlier one failed
is not counted as checked.

Source: IEC 61968-100:2013 (envelope); IEC 61968-8:2015 (payloads, our reading).
"""

import msgspec

from cimcare.codec.envelope import MESSAGE_NAMESPACE, read_message, render_message
from cimcare.codec.json_body import parse_json, parse_json_payload
from cimcare.codec.lenient import forgive
from cimcare.codec.limits import Limits, parse_xml, unpack
from cimcare.codec.payload import read_payload, render_payload
from cimcare.codec.soap import BodyShape, is_soap, read_soap
from cimcare.codec.values import Tree, line_of, name_of, namespace_of
from cimcare.errors import Finding, InputError, Level, finding_of
from cimcare.model.envelope import AnyMessage, EventMessage, FaultMessage, Message, RequestMessage, ResponseMessage
from cimcare.model.nouns import PayloadRoot
from cimcare.rules import check_rules
from cimcare.schema.catalog import Catalog
from cimcare.schema.validate import check_element, check_message

__all__ = ["Judgement", "judge", "read_compressed"]


class Judgement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a document is, what was checked, what was found.

    `kind` says what it was taken for, `title` names verb and noun. A document is valid if no finding is FATAL;
    `forgiven` findings come from lenient reading.
    """

    kind: str
    title: str = ""
    checked: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def is_valid(self) -> bool:
        """Whether nothing fatal was found."""
        return all(finding.level is not Level.FATAL for finding in self.findings)


class _Judge:
    """The state of one judgement: findings and checks pile up."""

    def __init__(self, catalog: Catalog, limits: Limits | None, *, lenient: bool, verb: str | None) -> None:
        self.catalog = catalog
        self.limits = limits
        self.lenient = lenient
        self.verb = verb
        self.kind = "document"
        self.title = ""
        self.checked: list[str] = []
        self.findings: list[Finding] = []

    def judge(self, raw: bytes) -> Judgement:
        try:
            if raw.lstrip()[:1] in (b"{", b"["):
                self._judge_json(raw)
            else:
                self._judge_xml(raw)
        except InputError as error:
            self.findings.append(error.finding)
        return Judgement(kind=self.kind, title=self.title, checked=tuple(self.checked), findings=tuple(self.findings))

    def _judge_json(self, raw: bytes) -> None:
        self.kind = "JSON document"
        if b'"message"' in raw:
            self.kind = "JSON message"
            message = parse_json(raw, self.limits)
            self.checked.append("JSON form of the model")
            self._judge_message(parse_xml(render_message(message), self.limits), has_lines=False)
        else:
            self.kind = "JSON payload"
            payload = parse_json_payload(raw, self.limits)
            self.checked.append("JSON form of the model")
            self._judge_payload(parse_xml(render_payload(payload), self.limits))

    def _judge_xml(self, raw: bytes) -> None:
        root = parse_xml(raw, self.limits)
        self.checked.append(f"well-formed XML without DOCTYPE ({len(raw)} bytes)")
        if self.lenient:
            root, forgiven = forgive(root)
            self.findings.extend(forgiven)
        if is_soap(root):
            body = read_soap(root, self.limits)
            self.kind = f"SOAP {'1.1' if body.version.name == 'V11' else '1.2'} message ({body.shape})"
            self.checked.append(f"SOAP body: {body.operation}")
            if body.element is None:
                self.title = f"fault {body.fault.code}" if body.fault else "fault"
                return
            if self.lenient and body.shape is BodyShape.TEXT:
                element, forgiven = forgive(body.element)
                self.findings.extend(forgiven)
                self._judge_message(element)
            else:
                self._judge_message(body.element)
        elif namespace_of(root) == MESSAGE_NAMESPACE:
            self._judge_message(root)
        else:
            self._judge_payload(root)

    def _judge_message(self, element: Tree, *, has_lines: bool = True) -> None:
        if self.kind == "document":
            self.kind = name_of(element)
        schema_findings = check_message(element, self.catalog)
        self.findings.extend(schema_findings)
        self.checked.extend(self._schemas_met(element))
        try:
            message = read_message(element)
        except InputError as error:
            if not schema_findings:
                self.findings.append(error.finding)
            return
        self.title = _title_of(message)
        self._judge_compressed(message)
        self.checked.append("rules: conventions, references, business rules")
        explained = {finding.path for finding in schema_findings}
        for finding in check_rules(message):
            if finding.path in explained:
                continue  # the schema has said what is wrong there
            line = line_of(element, finding.path) if has_lines else None
            self.findings.append(msgspec.structs.replace(finding, line=line))

    def _judge_payload(self, root: Tree) -> None:
        self.kind = f"payload {name_of(root)}" if self.kind == "document" else self.kind
        found = check_element(root, self.catalog, verb=self.verb)
        self.findings.extend(found)
        form = f"as for {self.verb}" if self.verb else "as a part: no verb is known"
        if not any(finding.code == "SCH-106" for finding in found):
            self.checked.append(f"schema {namespace_of(root)} ({form})")
        if not found:
            read_payload(root)

    def _judge_compressed(self, message: AnyMessage) -> None:
        payload = getattr(message, "payload", None)
        if payload is None or payload.compressed is None:
            return
        if isinstance(message, FaultMessage) or (payload.format or "XML").upper() != "XML":
            return
        content, found = read_compressed(message, self.catalog, limits=self.limits)
        if content is not None:
            self.checked.append(f"compressed payload: unpacked, and {content.XML_TYPE} by its schema")
        self.findings += found

    def _schemas_met(self, element: Tree) -> list[str]:
        """Names of the schemas that the elements of a message were held against."""
        met = ["Message.xsd (IEC 61968-100:2013)"]
        for part in element:
            if name_of(part) in ("Payload", "Request"):
                for child in part:
                    schema = self.catalog.schema_for(namespace_of(child), partial=True)
                    if schema is not None and namespace_of(child) != MESSAGE_NAMESPACE:
                        met.append(f"schema {namespace_of(child)}")
        return met


def _title_of(message: AnyMessage) -> str:
    if isinstance(message, FaultMessage):
        return f"fault {', '.join(error.code for error in message.reply.error)}"
    return f"{message.header.verb} {message.header.noun}"


def read_compressed(
    message: RequestMessage | ResponseMessage | EventMessage | Message,
    catalog: Catalog,
    *,
    limits: Limits | None = None,
) -> tuple[PayloadRoot | None, tuple[Finding, ...]]:
    """Content of Payload/Compressed: unpacked within the limits, held against its schema, read.

    Paths of findings go on from the element Compressed; lines would count in a document that nobody has on the table.
    None comes with at least one finding.
    """
    payload = message.payload
    assert payload is not None
    assert payload.compressed is not None
    limits = limits or Limits()
    place = f"/{type(message).__name__}/Payload/Compressed"
    try:
        raw = unpack(payload.compressed, format_name=payload.format, limits=limits)
        root = parse_xml(raw, msgspec.structs.replace(limits, max_bytes=limits.max_unpacked_bytes))
        found = check_element(root, catalog, verb=message.header.verb)
        content = None if found else read_payload(root)
    except InputError as error:
        content, found = None, (error.finding,)
    if content is not None and not isinstance(content, PayloadRoot):
        clause = "IEC 61968-100:2013, Payload"
        found = (finding_of("CNV-106", "", f"{content.XML_TYPE} as content", message.header.noun, clause),)
        content = None
    at_place = tuple(
        msgspec.structs.replace(one, path=place + (one.path if one.path.startswith("/") else ""), line=None)
        for one in found
    )
    return content, at_place


def judge(
    raw: bytes,
    catalog: Catalog,
    *,
    lenient: bool = False,
    verb: str | None = None,
    limits: Limits | None = None,
) -> Judgement:
    """Judge one document; nothing is raised for bad input.

    Args:
        raw: The document.
        catalog: Where the schemas come from.
        lenient: Accept the variants met in the field and say what was forgiven.
        verb: For a bare payload: the verb it is meant for (`create` asks for all mandatory members).
        limits: Bounds of the input; the defaults if None.
    """
    return _Judge(catalog, limits, lenient=lenient, verb=verb).judge(raw)
