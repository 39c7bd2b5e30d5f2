"""Model to WSDL 1.1: the generic service, one strongly typed service per role and noun, and their message schemas.

Every service has a binding for SOAP 1.1 and one for SOAP 1.2, document style, literal, one part a message. The address
and the places of the schemas are put in when a document is served or exported (`documents.py`): `ADDRESS` and `SCHEMAS`
stand for them here.

Source: IEC 61968-100:2013, Annexes with the WSDL definitions; names and SOAP actions as the public templates have them.
"""

from enum import StrEnum

import msgspec

from cimcare.model.envelope import MESSAGE_NAMESPACE
from cimcare.model.nouns import ENTRIES, NounEntry
from cimcare.model.verbs import EVENT_OF, Verb
from cimcare.schema.markup import Lines, annotation, document, node

__all__ = [
    "ABSTRACT_NAMESPACE",
    "ADDRESS",
    "GENERIC",
    "SCHEMAS",
    "SERVICES",
    "VERBS",
    "Service",
    "ServiceRole",
    "generic_wsdl",
    "message_schema_of",
    "operation_name",
    "query_message_schema_of",
    "typed_wsdl",
]

ABSTRACT_NAMESPACE = "http://iec.ch/TC57/2011/abstract"
"""Target namespace of the generic WSDL."""

GENERIC = "Service"
"""Name of the generic service."""

ADDRESS = "urn:cimcare:address"
"""Stands for the address of the service in a derived document."""

SCHEMAS = "urn:cimcare:schema:"
"""Stands for the place of the schemas; the name of the file follows."""

_SOAP_VERSIONS = (("soap", ""), ("soap12", "12"))


class ServiceRole(StrEnum):
    """Stereotypes of strongly typed services. OperationSet, Show and Retrieve services are not offered."""

    SEND = "Send"
    RECEIVE = "Receive"
    REPLY = "Reply"
    REQUEST = "Request"
    EXECUTE = "Execute"
    GET = "Get"


_EVENTS = tuple(event for event in EVENT_OF.values() if event is not Verb.EXECUTED)
_TRANSACTIONS = (Verb.CREATE, Verb.CHANGE, Verb.CLOSE, Verb.CANCEL, Verb.DELETE)

VERBS: dict[ServiceRole, tuple[Verb, ...]] = {
    ServiceRole.SEND: _EVENTS,
    ServiceRole.RECEIVE: _EVENTS,
    ServiceRole.REPLY: _EVENTS,
    ServiceRole.REQUEST: (Verb.GET, *_TRANSACTIONS),
    ServiceRole.EXECUTE: _TRANSACTIONS,
    ServiceRole.GET: (Verb.GET,),
}
"""Verbs of each role, one operation a verb."""


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """A strongly typed service. `message_namespace` is the one of the outer elements of its messages."""

    role: ServiceRole
    entry: NounEntry
    verbs: tuple[Verb, ...]

    @property
    def name(self) -> str:
        """`<Role><Noun>`, also the last step of its address."""
        return f"{self.role}{self.entry.noun}"

    @property
    def year(self) -> str:
        """Year in the namespaces of the noun."""
        return self.entry.namespace.split("/")[-2]

    @property
    def namespace(self) -> str:
        """Target namespace of the WSDL."""
        return f"http://iec.ch/TC57/{self.year}/{self.name}"

    @property
    def message_namespace(self) -> str:
        """Namespace of the outer elements of the messages."""
        if self.role is ServiceRole.GET:
            return self.entry.query_message_namespace
        return self.entry.message_namespace

    @property
    def message_file(self) -> str:
        """File of the schema of the messages."""
        return f"{self.message_namespace.rpartition('/')[2]}.xsd"

    @property
    def schemas(self) -> tuple[str, ...]:
        """Files of all schemas that the service needs."""
        query = (f"Get{self.entry.noun}.xsd",) if Verb.GET in self.verbs else ()
        return ("Message.xsd", f"{self.entry.noun}.xsd", *query, self.message_file)

    def action(self, verb: Verb) -> str:
        """SOAP action of a verb."""
        noun = f"Get{self.entry.noun}" if self.role is ServiceRole.GET else self.entry.noun
        return f"http://iec.ch/TC57/{self.year}/{noun}/{operation_name(verb, self.entry)}"


SERVICES: dict[str, Service] = {
    service.name: service
    for role, verbs in VERBS.items()
    for service in (Service(role=role, entry=entry, verbs=verbs) for entry in ENTRIES)
}
"""All strongly typed services by name."""


def operation_name(verb: Verb, entry: NounEntry) -> str:
    """Name of an operation and of its input element: `<Verb><Noun>`."""
    return f"{verb.capitalize()}{entry.noun}"


# ------------------------------------------------------------------------------------- schemas of typed messages


def _once(name: str, kind: str, *, least: int = 1) -> Lines:
    return node("xs:element", {"name": name, "minOccurs": str(least), "maxOccurs": "1", "type": kind})


def _sequence(name: str, *members: Lines) -> Lines:
    return node("xs:complexType", {"name": name}, node("xs:sequence", {}, *members))


def _typed_schema(entry: NounEntry, namespace: str, note: str, *parts: Lines) -> bytes:
    """Frame of a schema of typed messages: imports, the given elements, and the types that all of them share."""
    noun = {"ref": f"m:{entry.payload.XML_TYPE}", "minOccurs": "1", "maxOccurs": "1"}
    payload = _sequence(
        "PayloadType",
        node("xs:element", noun),
        _once("OperationSet", "msg:OperationSet", least=0),
        _once("Compressed", "xs:string", least=0),
        _once("Format", "xs:string", least=0),
    )
    header, reply = _once("Header", "msg:HeaderType"), _once("Reply", "msg:ReplyType")
    optional = _once("Payload", "tns:PayloadType", least=0)
    return document(
        node(
            "xs:schema",
            {
                "xmlns:xs": "http://www.w3.org/2001/XMLSchema",
                "xmlns:m": entry.namespace,
                "xmlns:msg": MESSAGE_NAMESPACE,
                "xmlns:tns": namespace,
                "targetNamespace": namespace,
                "elementFormDefault": "qualified",
                "attributeFormDefault": "unqualified",
            },
            annotation(note),
            _import(MESSAGE_NAMESPACE, "Message.xsd"),
            _import(entry.namespace, f"{entry.noun}.xsd"),
            *parts,
            _element(f"{entry.noun}ResponseMessage", "ResponseMessageType"),
            _element(f"{entry.noun}FaultMessage", "FaultMessageType"),
            payload,
            _sequence("ResponseMessageType", header, reply, optional),
            _sequence("FaultMessageType", reply),
        )
    )


def _import(namespace: str, file: str) -> Lines:
    return node("xs:import", {"namespace": namespace, "schemaLocation": f"{SCHEMAS}{file}"})


def _element(name: str, kind: str) -> Lines:
    return node("xs:element", {"name": name, "type": f"tns:{kind}"})


def message_schema_of(entry: NounEntry) -> bytes:
    """`<Noun>Message.xsd`: one outer element per verb, the response and the fault, in the noun's message namespace.

    A create or change needs its payload; cancel, close and delete name their objects in Request, a get asks there.
    """
    header, payload = _once("Header", "msg:HeaderType"), "tns:PayloadType"
    requests = {
        "PayloadRequestType": ((Verb.CREATE, Verb.CHANGE), 0, 1),
        "RequestType": ((Verb.CLOSE, Verb.CANCEL, Verb.DELETE), 0, 0),
        "QueryRequestType": ((Verb.GET,), 1, 0),
    }
    elements: list[Lines] = []
    types: list[Lines] = []
    for kind, (verbs, request, content) in requests.items():
        elements.extend(_element(operation_name(verb, entry), kind) for verb in verbs)
        request_part = _once("Request", "msg:RequestType", least=request)
        types.append(_sequence(kind, header, request_part, _once("Payload", payload, least=content)))
    elements.extend(_element(operation_name(verb, entry), "EventType") for verb in _EVENTS)
    types.append(_sequence("EventType", header, _once("Payload", payload, least=0)))
    note = (
        f"Strongly typed messages for {entry.noun}, after the templates of IEC 61968-100:2013: outer elements here, the"
        " content of Header, Request and Reply in the namespace of the envelope, the payload in that of the noun."
    )
    return _typed_schema(entry, entry.message_namespace, note, *elements, *types)


def query_message_schema_of(entry: NounEntry) -> bytes:
    """`Get<Noun>Message.xsd`: request, response and fault of the query service of a noun."""
    service = SERVICES[f"Get{entry.noun}"]
    note = (
        f"Strongly typed query messages for {entry.noun}, after the templates of IEC 61968-100:2013. Request holds"
        f" identifiers, a period, options, or one Get{entry.noun} element of its own namespace."
    )
    return _typed_schema(
        entry,
        service.message_namespace,
        note,
        _element(f"Get{entry.noun}", "QueryRequestType"),
        _sequence("QueryRequestType", _once("Header", "msg:HeaderType"), _once("Request", "msg:RequestType")),
    )


# -------------------------------------------------------------------------------------------------------- WSDL


class _Operation(msgspec.Struct, frozen=True):
    """One operation: WSDL messages it takes, gives and faults with, and its SOAP action."""

    name: str
    takes: str
    gives: str
    fault: str | None
    action: str


def _wsdl(
    *,
    namespace: str,
    note: str,
    prefixes: dict[str, str],
    imports: dict[str, str],
    messages: dict[str, str],
    operations: list[_Operation],
    port_type: str,
    binding: str,
    port: str,
    service: str,
) -> bytes:
    """A WSDL: `imports` is file by namespace, `messages` element by name."""
    schema = node("xs:schema", {}, *(_import(space, file) for space, file in imports.items()))
    return document(
        node(
            "wsdl:definitions",
            {
                "name": service,
                "xmlns:wsdl": "http://schemas.xmlsoap.org/wsdl/",
                "xmlns:soap": "http://schemas.xmlsoap.org/wsdl/soap/",
                "xmlns:soap12": "http://schemas.xmlsoap.org/wsdl/soap12/",
                "xmlns:xs": "http://www.w3.org/2001/XMLSchema",
                **{f"xmlns:{prefix}": space for prefix, space in prefixes.items()},
                "xmlns:tns": namespace,
                "targetNamespace": namespace,
            },
            node("wsdl:documentation", {}, text=note),
            node("wsdl:types", {}, schema),
            *(
                node("wsdl:message", {"name": name}, node("wsdl:part", {"name": name, "element": element}))
                for name, element in messages.items()
            ),
            node("wsdl:portType", {"name": port_type}, *(_abstract(one) for one in operations)),
            *(
                node(
                    "wsdl:binding",
                    {"name": f"{binding}{suffix}", "type": f"tns:{port_type}"},
                    node(f"{soap}:binding", {"style": "document", "transport": "http://schemas.xmlsoap.org/soap/http"}),
                    *(_bound(one, soap) for one in operations),
                )
                for soap, suffix in _SOAP_VERSIONS
            ),
            node(
                "wsdl:service",
                {"name": service},
                *(
                    node(
                        "wsdl:port",
                        {"name": f"{port}{suffix}", "binding": f"tns:{binding}{suffix}"},
                        node(f"{soap}:address", {"location": ADDRESS}),
                    )
                    for soap, suffix in _SOAP_VERSIONS
                ),
            ),
        )
    )


def _abstract(operation: _Operation) -> Lines:
    parts = [
        node("wsdl:input", {"message": f"tns:{operation.takes}"}),
        node("wsdl:output", {"message": f"tns:{operation.gives}"}),
    ]
    if operation.fault:
        parts.append(node("wsdl:fault", {"name": operation.fault, "message": f"tns:{operation.fault}"}))
    return node("wsdl:operation", {"name": operation.name}, *parts)


def _bound(operation: _Operation, soap: str) -> Lines:
    body = node(f"{soap}:body", {"use": "literal"})
    parts = [
        node(f"{soap}:operation", {"soapAction": operation.action, "style": "document"}),
        node("wsdl:input", {}, body),
        node("wsdl:output", {}, body),
    ]
    if operation.fault:
        fault = node(f"{soap}:fault", {"name": operation.fault, "use": "literal"})
        parts.append(node("wsdl:fault", {"name": operation.fault}, fault))
    return node("wsdl:operation", {"name": operation.name}, *parts)


def generic_wsdl() -> bytes:
    """The generic service: operations Request, PublishEvent and Response, no faults declared.

    It imports the schemas of the six nouns and of their query elements too, so that a client has typed elements at hand
    for the wildcards of Payload and Request.
    """
    imports = {MESSAGE_NAMESPACE: "Message.xsd"}
    for entry in ENTRIES:
        imports[entry.namespace] = f"{entry.noun}.xsd"
        imports[entry.query_namespace] = f"Get{entry.noun}.xsd"
    roots = ("RequestMessage", "ResponseMessage", "EventMessage")
    takes = {"Request": "RequestMessage", "PublishEvent": "EventMessage", "Response": "ResponseMessage"}
    return _wsdl(
        namespace=ABSTRACT_NAMESPACE,
        note="Generic service of IEC 61968-100:2013 for all verbs and nouns; the binding for SOAP 1.2 is our addition.",
        prefixes={"msg": MESSAGE_NAMESPACE},
        imports=imports,
        messages={root: f"msg:{root}" for root in roots},
        operations=[
            _Operation(name, root, "ResponseMessage", None, f"http://iec.ch/61968/{name}")
            for name, root in takes.items()
        ],
        port_type="Operations",
        binding="SOAP",
        port="SOAP",
        service=GENERIC,
    )


def typed_wsdl(service: Service) -> bytes:
    """The WSDL of a strongly typed service, one operation per verb of its role."""
    entry, messages = service.entry, {}
    operations = []
    for verb in service.verbs:
        operation = operation_name(verb, entry)
        takes = f"{operation}{'EventMessage' if verb in _EVENTS else 'RequestMessage'}"
        messages[takes] = f"typed:{operation}"
        operations.append(_Operation(operation, takes, "ResponseMessage", "FaultMessage", service.action(verb)))
    messages["ResponseMessage"] = f"typed:{entry.noun}ResponseMessage"
    messages["FaultMessage"] = f"typed:{entry.noun}FaultMessage"
    imports = {MESSAGE_NAMESPACE: "Message.xsd", entry.namespace: f"{entry.noun}.xsd"}
    if Verb.GET in service.verbs:
        imports[entry.query_namespace] = f"Get{entry.noun}.xsd"
    imports[service.message_namespace] = service.message_file
    return _wsdl(
        namespace=service.namespace,
        note=f"Strongly typed service {service.name}, after the templates of IEC 61968-100:2013.",
        prefixes={"typed": service.message_namespace},
        imports=imports,
        messages=messages,
        operations=operations,
        port_type=f"{entry.noun}_Port",
        binding=f"{entry.noun}_Binding",
        port=f"{entry.noun}_Port",
        service=service.name,
    )
