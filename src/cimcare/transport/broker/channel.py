"""One message from a broker: a plain envelope in, a plain envelope as the answer.

Source: IEC 61968-100:2013, JMS binding.
"""

from cimcare.codec.limits import Limits
from cimcare.errors import Finding
from cimcare.exchange.log import Transport
from cimcare.model.envelope import FaultMessage, ResponseMessage, Result
from cimcare.transport.channel import Answer, Opened
from cimcare.transport.rest import XmlChannel

__all__ = ["BrokerChannel"]


class BrokerChannel(XmlChannel):
    """An envelope as the text of a message.

    `archetype` is that of what was opened, empty as long as that failed; `fault` is why it was refused with a fault.
    `refused` says in words why it was refused, by a fault or a reply; empty if it was not.
    """

    transport = Transport.JMS
    form = Transport.JMS

    def __init__(self) -> None:
        self.archetype = ""
        self.fault: Finding | None = None
        self.refused = ""

    def open(self, raw: bytes, limits: Limits, *, lenient: bool) -> Opened:
        """The document's root."""
        opened = super().open(raw, limits, lenient=lenient)
        self.archetype = opened.glimpse.archetype
        return opened

    def render_reply(self, reply: ResponseMessage) -> Answer:
        """A ResponseMessage."""
        self.refused = ""
        if reply.reply.result is Result.FAILED:
            told = (f"{error.code} {error.details or error.reason or ''}".strip() for error in reply.reply.error)
            self.refused = f"FAILED: {'; '.join(told) or 'no code'}"
        return super().render_reply(reply)

    def render_fault(self, fault: FaultMessage, finding: Finding, *, soap_code: str | None = None) -> Answer:
        """A FaultMessage; who takes it knows by its root what it is."""
        self.fault = finding
        self.refused = finding.describe()
        return super().render_fault(fault, finding, soap_code=soap_code)
