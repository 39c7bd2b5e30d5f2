"""SOAP client that knows of a service what its WSDL says: address, operations, actions, elements.

Source: IEC 61968-100:2013, SOAP binding (generic and strongly typed services).
"""

from typing import Self

import aiohttp

from cimcare.client.answers import Answer, NoAnswerError, post, silence
from cimcare.codec.envelope import MESSAGE_NAMESPACE
from cimcare.codec.soap import SoapVersion, TypedNames, render_soap
from cimcare.codec.wsdl import OperationDescription, Port, ServiceDescription, parse_wsdl
from cimcare.errors import InputError
from cimcare.model.envelope import AnyMessage, FaultMessage
from cimcare.model.nouns import ENTRIES
from cimcare.model.verbs import Archetype
from cimcare.transport.sending import read_answer

__all__ = ["SoapClient"]

_OPERATIONS = {Archetype.REQUEST: "Request", Archetype.RESPONSE: "Response", Archetype.EVENT: "PublishEvent"}
_TYPED = {
    namespace: entry.noun for entry in ENTRIES for namespace in (entry.message_namespace, entry.query_message_namespace)
}


class SoapClient:
    """One SOAP service of a peer.

    Build it with `from_wsdl`. The session belongs to the caller, who closes it.
    """

    def __init__(self, session: aiohttp.ClientSession, description: ServiceDescription, port: Port) -> None:
        self.description = description
        self.port = port
        self._session = session

    @classmethod
    async def from_wsdl(
        cls, session: aiohttp.ClientSession, url: str, *, version: SoapVersion = SoapVersion.V11
    ) -> Self:
        """Client of the service whose WSDL is served at `url`.

        Raises:
            NoAnswerError: nothing there, no WSDL, or no port for that version of SOAP.
        """
        try:
            async with session.get(url) as response:
                status, raw = response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NoAnswerError(f"{url}: {silence(error)}") from error
        if status != 200:
            raise NoAnswerError(f"{url}: HTTP status {status}; a WSDL was expected (status 200)")
        try:
            description = parse_wsdl(raw)
        except InputError as error:
            raise NoAnswerError(f"{url}: {error}") from error
        port = description.find_port(version)
        if port is None:
            raise NoAnswerError(
                f"{url}: no port for {version.name}; ports: {[port.name for port in description.ports]}"
            )
        return cls(session, description, port)

    async def send(self, message: AnyMessage, *, operation: str | None = None) -> Answer:
        """Send a message and read the answer.

        Args:
            message: Request, event or response; a generic service takes all three.
            operation: Name of the operation; for the generic service it follows from the kind of message, for a
                strongly typed one from verb and noun.

        Raises:
            FaultReceivedError: The peer answered with a SOAP fault.
            NoAnswerError: No connection, or an answer that is no message.
        """
        described = self._operation_for(message, operation)
        typed = self._typed_names(described)
        version = self.port.version
        headers = {"Content-Type": version.content_type}
        if version is SoapVersion.V11:
            headers["SOAPAction"] = f'"{described.action}"'
        else:
            headers["Content-Type"] += f'; action="{described.action}"'
        body = render_soap(message, version, typed=typed)
        status, content_type, raw = await post(self._session, self.port.address, body, headers)
        return read_answer(status, content_type, raw, self.port.address)

    def _operation_for(self, message: AnyMessage, name: str | None) -> OperationDescription:
        if name is None:
            name = _OPERATIONS.get(type(message).ARCHETYPE, "")
            if self.port.find_operation(name) is None and not isinstance(message, FaultMessage):
                name = f"{message.header.verb.capitalize()}{message.header.noun}"
        described = self.port.find_operation(name)
        if described is None:
            offered = ", ".join(operation.name for operation in self.port.operations)
            raise NoAnswerError(f"{self.description.service} has no operation {name}; it has {offered}")
        return described

    @staticmethod
    def _typed_names(described: OperationDescription) -> TypedNames | None:
        if described.input.namespace == MESSAGE_NAMESPACE:
            return None
        noun = _TYPED.get(described.input.namespace)
        if noun is None:
            raise NoAnswerError(f"operation {described.name}: messages in {described.input.namespace} are not known")
        return TypedNames(noun=noun, namespace=described.input.namespace, operation=described.input.name)
