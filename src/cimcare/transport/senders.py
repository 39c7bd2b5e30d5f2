"""The way to all partners: over HTTP, or by way of a broker, as each is configured."""

from cimcare.exchange.outbox import Priority
from cimcare.exchange.partners import Partner, Wire
from cimcare.exchange.sending import Sent
from cimcare.transport.broker.sender import BrokerSender
from cimcare.transport.calls import Outgoing
from cimcare.transport.partners import HttpSender

__all__ = ["Senders"]


class Senders:
    """Sends messages to partners, whatever the wire. End it with `close`."""

    def __init__(self, http: HttpSender, brokers: BrokerSender) -> None:
        self._http = http
        self._brokers = brokers

    async def send(
        self,
        partner: Partner,
        message: Outgoing,
        *,
        address: str = "",
        kept: bytes = b"",
        priority: Priority | None = None,
    ) -> Sent:
        """Send the message to the partner, or to `address` where one is given. Raises nothing but cancellation."""
        by_broker = address.startswith("jms:") if address else partner.wire is Wire.JMS
        sender = self._brokers if by_broker else self._http
        return await sender.send(partner, message, address=address, kept=kept, priority=priority)

    async def close(self) -> None:
        """Close all connections over HTTP; those to brokers end with their links."""
        await self._http.close()
