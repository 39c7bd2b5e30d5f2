"""Opens a session to a broker by the adapter for the scheme of its address.

Libraries are optional extras; an adapter is imported when it is needed, and who lacks its library is told which extra
has it.
"""

from importlib import import_module
from typing import Protocol, cast

import msgspec

from cimcare.exchange.partners import Tls
from cimcare.transport.broker.ports import BrokerAddress, BrokerError, Credentials, HeartBeat, Session

__all__ = ["ADAPTERS", "Adapter", "OpenSession", "open_session", "require_adapter"]


class Adapter(msgspec.Struct, frozen=True):
    """A module with `open_session`, the library that it needs, and the extra of this package that installs it.

    Both are empty where it needs none.
    """

    module: str
    library: str = ""
    extra: str = ""


ADAPTERS = {
    "stomp": Adapter("cimcare.transport.broker.stomp"),
    "amqp091": Adapter("cimcare.transport.broker.amqp091", "aiormq", "rabbitmq"),
    "amqp10": Adapter("cimcare.transport.broker.amqp10", "proton", "amqp"),
}
"""Adapters by the name of their protocol."""


class OpenSession(Protocol):
    """Opens a session.

    Args:
        address: Where.
        client_id: Name of this client, by which the broker knows its durable subscriptions; may be empty.
        credentials: User and password.
        tls: Files for TLS; not looked at where the address is not encrypted.
        heart_beat: When silence is the end.
        within: Seconds until it is given up.

    Raises:
        BrokerError: NET-120 not reached, NET-121 refused.
    """

    async def __call__(
        self,
        address: BrokerAddress,
        *,
        client_id: str,
        credentials: Credentials,
        tls: Tls,
        heart_beat: HeartBeat,
        within: float,
    ) -> Session:
        """Open it."""
        ...


def require_adapter(address: BrokerAddress, *, path: str = "") -> OpenSession:
    """What opens sessions to such an address.

    Raises:
        BrokerError: SET-131, its library is not installed.
    """
    adapter = ADAPTERS[address.protocol]
    try:
        module = import_module(adapter.module)
    except ImportError as error:
        found = f"{address.scheme}:// needs the library {adapter.library}, which is not installed ({error})"
        accepted = f"pip install 'cimcare[{adapter.extra}]', or cimcare[jms] for all brokers"
        raise BrokerError("SET-131", path or str(address), found, accepted) from error
    return cast("OpenSession", module.open_session)


async def open_session(
    address: BrokerAddress,
    *,
    client_id: str,
    credentials: Credentials,
    tls: Tls,
    heart_beat: HeartBeat,
    within: float,
) -> Session:
    """Open a session by the adapter for the address. As `OpenSession`; raises SET-131 besides."""
    opening = require_adapter(address)
    return await opening(
        address, client_id=client_id, credentials=credentials, tls=tls, heart_beat=heart_beat, within=within
    )
