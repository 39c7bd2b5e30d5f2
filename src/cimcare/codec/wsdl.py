"""WSDL 1.1: the description of a SOAP service as a value, read by clients.

Only what a client of document/literal services needs: ports with address and SOAP version, operations with action and
the elements that go in and come out.

Source: W3C WSDL 1.1 and its SOAP bindings; IEC 61968-100:2013, SOAP binding.
"""

import msgspec
from lxml import etree

from cimcare.codec.limits import Limits, parse_xml
from cimcare.codec.soap import SoapVersion
from cimcare.errors import InputError, finding_of

__all__ = ["ElementName", "OperationDescription", "Port", "ServiceDescription", "parse_wsdl"]

_WSDL = "{http://schemas.xmlsoap.org/wsdl/}"
_BINDINGS = {
    "{http://schemas.xmlsoap.org/wsdl/soap/}": SoapVersion.V11,
    "{http://schemas.xmlsoap.org/wsdl/soap12/}": SoapVersion.V12,
}


class ElementName(msgspec.Struct, frozen=True):
    """Namespace and local name of an element."""

    namespace: str
    name: str


class OperationDescription(msgspec.Struct, frozen=True, kw_only=True):
    """One operation of a port: its SOAPAction, and the elements of its input and output."""

    name: str
    action: str
    input: ElementName
    output: ElementName | None = None


class Port(msgspec.Struct, frozen=True, kw_only=True):
    """Where a service is reached in one version of SOAP."""

    name: str
    version: SoapVersion
    address: str
    operations: tuple[OperationDescription, ...]

    def find_operation(self, name: str) -> OperationDescription | None:
        """The operation of that name; None if the port has none."""
        return next((operation for operation in self.operations if operation.name == name), None)


class ServiceDescription(msgspec.Struct, frozen=True, kw_only=True):
    """A service as its WSDL describes it."""

    target_namespace: str
    service: str
    ports: tuple[Port, ...]

    def find_port(self, version: SoapVersion) -> Port | None:
        """The port for that version of SOAP; None if there is none."""
        return next((port for port in self.ports if port.version is version), None)


def parse_wsdl(raw: bytes, limits: Limits | None = None) -> ServiceDescription:
    """Description from a WSDL document.

    Raises:
        InputError: as `parse_xml`; SCH-107 if it is no WSDL 1.1 with at least one SOAP port.
    """
    root = parse_xml(raw, limits)
    messages = {
        message.get("name", ""): _element_of(part)
        for message in root.iterfind(f"{_WSDL}message")
        for part in message.iterfind(f"{_WSDL}part")
    }
    exchanged = {
        (port_type.get("name", ""), operation.get("name", "")): (
            _message_of(operation, "input", messages),
            _message_of(operation, "output", messages),
        )
        for port_type in root.iterfind(f"{_WSDL}portType")
        for operation in port_type.iterfind(f"{_WSDL}operation")
    }
    bindings = {binding.get("name", ""): binding for binding in root.iterfind(f"{_WSDL}binding")}
    ports = [
        port
        for element in root.iterfind(f"{_WSDL}service/{_WSDL}port")
        if (port := _port_of(element, bindings, exchanged)) is not None
    ]
    if root.tag != f"{_WSDL}definitions" or not ports:
        raise InputError(
            finding_of(
                "SCH-107",
                f"/{etree.QName(root).localname}",
                f"element {root.tag!s} with {len(ports)} SOAP ports",
                "WSDL 1.1 definitions with a SOAP 1.1 or 1.2 port",
                "W3C WSDL 1.1",
                line=root.sourceline,
            )
        )
    service = root.find(f"{_WSDL}service")
    return ServiceDescription(
        target_namespace=root.get("targetNamespace", ""),
        service=service.get("name", "") if service is not None else "",
        ports=tuple(ports),
    )


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def _element_of(part: etree._Element) -> ElementName:
    prefix, _, local = part.get("element", "").rpartition(":")
    return ElementName(part.nsmap.get(prefix or None, ""), local)


def _message_of(operation: etree._Element, direction: str, messages: dict[str, ElementName]) -> ElementName | None:
    message = operation.find(f"{_WSDL}{direction}")
    return messages.get(_local(message.get("message", ""))) if message is not None else None


def _port_of(
    element: etree._Element,
    bindings: dict[str, etree._Element],
    exchanged: dict[tuple[str, str], tuple[ElementName | None, ElementName | None]],
) -> Port | None:
    binding = bindings.get(_local(element.get("binding", "")))
    if binding is None:
        return None
    for namespace, version in _BINDINGS.items():
        address = element.find(f"{namespace}address")
        if address is None or binding.find(f"{namespace}binding") is None:
            continue
        port_type = _local(binding.get("type", ""))
        operations = []
        for operation in binding.iterfind(f"{_WSDL}operation"):
            name = operation.get("name", "")
            sent, answered = exchanged.get((port_type, name), (None, None))
            action = operation.find(f"{namespace}operation")
            if sent is not None:
                operations.append(
                    OperationDescription(
                        name=name,
                        action=action.get("soapAction", "") if action is not None else "",
                        input=sent,
                        output=answered,
                    )
                )
        return Port(
            name=element.get("name", ""),
            version=version,
            address=address.get("location", ""),
            operations=tuple(operations),
        )
    return None
