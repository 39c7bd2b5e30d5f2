"""One message, several forms: XML envelope, SOAP 1.1, SOAP 1.2, JSON.

Source: IEC 61968-100:2013 for the envelope and SOAP; the JSON form is our profile.
"""

from enum import StrEnum

from cimcare.codec.envelope import read_message, render_message
from cimcare.codec.json_body import parse_json, render_json
from cimcare.codec.lenient import forgive
from cimcare.codec.limits import Limits, parse_xml
from cimcare.codec.soap import SoapVersion, is_soap, read_soap, render_soap, render_soap_fault
from cimcare.errors import Finding, InputError, finding_of
from cimcare.model.envelope import AnyMessage, FaultMessage

__all__ = ["Form", "convert_document"]


class Form(StrEnum):
    """A form in which a message is written."""

    XML = "xml"
    SOAP11 = "soap11"
    SOAP12 = "soap12"
    JSON = "json"

    def render(self, message: AnyMessage) -> bytes:
        """The message in this form; a FaultMessage becomes a SOAP fault."""
        if self is Form.XML:
            return render_message(message)
        if self is Form.JSON:
            return render_json(message)
        version = SoapVersion.V11 if self is Form.SOAP11 else SoapVersion.V12
        if isinstance(message, FaultMessage):
            errors = message.reply.error
            reason = errors[0].reason if errors and errors[0].reason else "fault"
            return render_soap_fault(message, version, reason=reason)
        return render_soap(message, version)


def convert_document(
    raw: bytes, form: Form, *, lenient: bool = False, limits: Limits | None = None
) -> tuple[bytes, tuple[Finding, ...]]:
    """The message of a document in another form, and what lenient reading forgave.

    Raises:
        InputError: The document cannot be read, is no message, or holds what XML cannot carry.
    """
    if raw.lstrip()[:1] == b"{":
        # By way of XML, for an extension in JSON is a text that only claims to be XML.
        written = render_message(parse_json(raw, limits))
        return form.render(read_message(parse_xml(written, limits))), ()
    root = parse_xml(raw, limits)
    forgiven: tuple[Finding, ...] = ()
    if lenient:
        root, forgiven = forgive(root)
    if is_soap(root):
        element = read_soap(root, limits).element
        if element is None:
            raise InputError(
                finding_of("ENV-108", "/Envelope/Body/Fault", "a fault without FaultMessage", "a message in the Body")
            )
        root = element
    return form.render(read_message(root)), forgiven
