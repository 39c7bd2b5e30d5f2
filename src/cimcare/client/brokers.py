"""Brokers, under the names of the client: sessions by the scheme of an address, messages and destinations."""

from cimcare.exchange.partners import Tls
from cimcare.transport.broker.opening import open_session
from cimcare.transport.broker.ports import (
    PROTOCOLS,
    Arrived,
    BrokerAddress,
    BrokerError,
    BrokerMessage,
    Credentials,
    Destination,
    HeartBeat,
    Session,
    parse_address,
    parse_destination,
)

__all__ = [
    "PROTOCOLS",
    "Arrived",
    "BrokerAddress",
    "BrokerError",
    "BrokerMessage",
    "Credentials",
    "Destination",
    "HeartBeat",
    "Session",
    "Tls",
    "open_session",
    "parse_address",
    "parse_destination",
]
