"""A broker as the settings have it: where it is, how one speaks to it, what the hub consumes there."""

from datetime import timedelta
from pathlib import Path

import msgspec

from cimcare.exchange.partners import Retry, Tls
from cimcare.transport.broker.ports import BrokerAddress, Credentials, Destination, HeartBeat, parse_address

__all__ = ["RECONNECT", "Broker", "Consumed", "credentials_of"]

RECONNECT = Retry(first=timedelta(seconds=0.5), most=timedelta(seconds=30))
"""Pauses between attempts to reach a broker."""


class Consumed(msgspec.Struct, frozen=True, kw_only=True):
    """A destination or pattern that the hub consumes: all that comes there, or what a selector of JMS picks."""

    destination: Destination
    selector: str = ""

    def __str__(self) -> str:
        return f"{self.destination} WHERE {self.selector}" if self.selector else str(self.destination)


class Broker(msgspec.Struct, frozen=True, kw_only=True):
    """One broker.

    `urls` are its addresses in the order of preference. `context` is the top level of destinations. `client_id`
    names this hub to the broker, which keeps what its durable subscriptions miss. `listen` is what the hub
    consumes, those of topics durably; `replies` where partners send later replies. Of each of `listen` at most
    `prefetch` messages are here at once. A connection is to be there within `connect`, and a message confirmed
    within `confirm`. `watch` is how often it is proved that consumers are attached (0: never). With `expires` a
    request is not served any more when we have ceased to wait for its reply. What comes again and was begun
    `redelivery_limit` times without an end is not begun once more (0: it is).
    """

    name: str
    urls: tuple[str, ...]
    context: str = ""
    user: str = ""
    password_file: str = ""
    client_id: str = "cimcare"
    tls: Tls = Tls()
    heart_beat: HeartBeat = HeartBeat()
    listen: tuple[Consumed, ...] = ()
    replies: Destination
    prefetch: int = 50
    redelivery_limit: int = 5
    connect: timedelta = timedelta(seconds=10)
    confirm: timedelta = timedelta(seconds=10)
    reconnect: Retry = RECONNECT
    watch: timedelta = timedelta(seconds=30)
    expires: bool = True

    @property
    def addresses(self) -> tuple[BrokerAddress, ...]:
        """The addresses, read."""
        return tuple(parse_address(url) for url in self.urls)

    @property
    def consumed(self) -> tuple[Consumed, ...]:
        """All that the hub consumes, later replies included."""
        if any(each.destination.matches(self.replies) and not each.selector for each in self.listen):
            return self.listen
        return (*self.listen, Consumed(destination=self.replies))


def credentials_of(broker: Broker) -> Credentials:
    """User and password, the latter out of its file, read anew. Raises OSError or ValueError."""
    password = Path(broker.password_file).read_text("utf-8").strip("\r\n") if broker.password_file else ""
    return Credentials(user=broker.user, password=password)
