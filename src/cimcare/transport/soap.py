"""SOAP over HTTP: the generic service in SOAP 1.1 and 1.2, and the strongly typed services.

Source: IEC 61968-100:2013, SOAP binding; W3C SOAP 1.1 and SOAP 1.2.
"""

import re
from collections.abc import Hashable

import msgspec

from cimcare.codec.envelope import Glimpse, glimpse_header
from cimcare.codec.lenient import forgive
from cimcare.codec.limits import Limits, parse_xml
from cimcare.codec.soap import (
    BodyShape,
    SoapBody,
    SoapVersion,
    TypedNames,
    is_soap,
    read_soap,
    render_soap,
    render_soap_fault,
)
from cimcare.codec.values import name_of, namespace_of
from cimcare.errors import ERRORS, Finding, finding_of
from cimcare.exchange.log import Transport
from cimcare.model.envelope import FaultMessage, ResponseMessage
from cimcare.model.nouns import Noun
from cimcare.transport.channel import Answer, Opened, RefusedError, fault_status

__all__ = ["SoapChannel", "TypedService", "action_of"]

_CLAUSE = "IEC 61968-100:2013, SOAP binding"
_GENERIC_ACTIONS = re.compile(r"\Ahttp://(?:www\.)?iec\.ch/61968/(request|publishevent|response)\Z", re.IGNORECASE)
_ROOT_OF_ACTION = {"request": "RequestMessage", "publishevent": "EventMessage", "response": "ResponseMessage"}
_ACTION_PARAMETER = re.compile(r"""action\s*=\s*(?:"([^"]*)"|([^;\s]*))""", re.IGNORECASE)
_MESSAGES = "RequestMessage, EventMessage or ResponseMessage"


class TypedService(msgspec.Struct, frozen=True, kw_only=True):
    """A strongly typed service: its name (last step of its address), noun, and SOAP actions by operation."""

    name: str
    noun: Noun
    message_namespace: str
    actions: dict[str, str]


def action_of(content_type: str, soap_action: str | None) -> str:
    """The action that a request names, SOAP 1.2 in the content type, SOAP 1.1 in a header; empty if it names none."""
    if soap_action is not None and (action := soap_action.strip().strip('"')):
        return action
    parameter = _ACTION_PARAMETER.search(content_type)
    return (parameter[1] or parameter[2] or "").strip() if parameter else ""


class SoapChannel:
    """One SOAP message. `service` is the strongly typed service that was called, None for the generic one."""

    def __init__(self, content_type: str, action: str = "", service: TypedService | None = None) -> None:
        self._action = action
        self._service = service
        self._version = SoapVersion.V12 if "soap+xml" in content_type.lower() else SoapVersion.V11
        self._typed: TypedNames | None = None
        if service is not None:
            self._typed = TypedNames(noun=service.noun, namespace=service.message_namespace, operation="")

    @property
    def transport(self) -> Transport:
        """SOAP 1.1, SOAP 1.2 or strongly typed."""
        if self._typed is not None:
            return Transport.SOAP_TYPED
        return Transport.SOAP11 if self._version is SoapVersion.V11 else Transport.SOAP12

    @property
    def form(self) -> Hashable:
        """Version of SOAP and outer names."""
        return self._version, self._typed

    def open(self, raw: bytes, limits: Limits, *, lenient: bool) -> Opened:
        """The message in the body, in whichever of the shapes met in the field it stands."""
        root = parse_xml(raw, limits)
        forgiven: tuple[Finding, ...] = ()
        if lenient:
            root, forgiven = forgive(root)
        if name_of(root) == "Envelope" and not is_soap(root):
            raise RefusedError(
                finding_of(
                    "ENV-111",
                    "/Envelope",
                    f"an Envelope in namespace {namespace_of(root) or '(none)'}",
                    " or ".join(SoapVersion),
                    "W3C SOAP 1.1, 4.1.2; SOAP 1.2, 2.8",
                    line=root.sourceline,
                ),
                soap_code="VersionMismatch",
            )
        if is_soap(root):
            self._version = SoapVersion(namespace_of(root))
        body = read_soap(root, limits)
        if body.typed is not None:
            self._typed = body.typed
        if body.not_understood:
            raise RefusedError(
                finding_of(
                    "ENV-112",
                    "/Envelope/Header",
                    f"mustUnderstand on {', '.join(body.not_understood)}",
                    "no header block that must be understood: none is",
                    "W3C SOAP 1.1, 4.2.3; SOAP 1.2, 2.4",
                ),
                soap_code="MustUnderstand",
            )
        if body.element is None or body.shape is BodyShape.FAULT:
            raise RefusedError(finding_of("ENV-108", "/Envelope/Body/Fault", "a fault", _MESSAGES, _CLAUSE))
        glimpse = glimpse_header(body.element)
        return Opened(
            glimpse=glimpse,
            element=body.element,
            findings=(*forgiven, *self._check_operation(body, glimpse)),
        )

    def render_reply(self, reply: ResponseMessage) -> Answer:
        """Status 200 also for FAILED: SOAP keeps errors of the application out of HTTP."""
        return self._answer(200, render_soap(reply, self._version, typed=self._typed))

    def render_fault(self, fault: FaultMessage, finding: Finding, *, soap_code: str | None = None) -> Answer:
        """Status 500 as SOAP prescribes for faults, unless HTTP itself has something to say."""
        row = ERRORS[finding.code]
        version = SoapVersion.V11 if soap_code == "VersionMismatch" else self._version
        content = render_soap_fault(
            # A fault about SOAP's own header carries no detail (SOAP 1.1, 4.4); version and names are not known there.
            None if soap_code == "MustUnderstand" else fault,
            version,
            reason=finding.describe(),
            server=row.soap == "Server",
            code=soap_code,
            typed=self._typed if soap_code is None else None,
        )
        return self._answer(fault_status(finding, 500), content, version)

    def _answer(self, status: int, body: bytes, version: SoapVersion | None = None) -> Answer:
        return Answer(status=status, content_type=(version or self._version).content_type, body=body)

    def _check_operation(self, body: SoapBody, glimpse: Glimpse) -> tuple[Finding, ...]:
        """Action, operation, address and message must belong together."""
        if self._service is not None:
            return self._check_typed(body, glimpse, self._service)
        path = "/Envelope/Body"
        if body.typed is not None:
            expected = f"{glimpse.verb or ''}{glimpse.noun or ''}".lower()
            if body.operation.lower() != expected:
                return (_unfit(path, f"operation {body.operation}", f"{glimpse.verb} of {glimpse.noun}"),)
            return ()
        action = _GENERIC_ACTIONS.match(self._action)
        if not self._action or (action and _ROOT_OF_ACTION[action[1].lower()] == glimpse.archetype):
            return ()
        if action and glimpse.archetype == "Message":
            return ()
        return (_unfit(path, f"SOAP action {self._action}", f"{glimpse.archetype}"),)

    def _check_typed(self, body: SoapBody, glimpse: Glimpse, service: TypedService) -> tuple[Finding, ...]:
        path = f"/Envelope/Body/{body.operation}"
        if body.typed is None or body.operation not in service.actions:
            return (
                finding_of(
                    "ENV-110",
                    path,
                    f"{body.operation} at the service {service.name}",
                    f"one of {', '.join(service.actions)} in namespace {service.message_namespace}",
                    _CLAUSE,
                ),
            )
        if body.operation.lower() != f"{glimpse.verb or ''}{glimpse.noun or ''}".lower():
            return (_unfit(path, f"operation {body.operation}", f"{glimpse.verb} of {glimpse.noun}"),)
        if self._action and self._action != service.actions[body.operation]:
            return (_unfit(path, f"SOAP action {self._action}", f"operation {body.operation}"),)
        return ()


def _unfit(path: str, named: str, message: str) -> Finding:
    return finding_of(
        "ENV-110",
        path,
        f"{named} with {message}",
        "an operation and an action that fit the message; the SOAP action may be left out",
        _CLAUSE,
    )
