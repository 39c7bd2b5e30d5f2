"""Destinations and addresses of brokers."""

import pytest

from cimcare.exchange.partners import Tls
from cimcare.transport.broker import opening
from cimcare.transport.broker.opening import Adapter, open_session
from cimcare.transport.broker.ports import (
    BrokerError,
    Credentials,
    Destination,
    DestinationKind,
    HeartBeat,
    parse_address,
    parse_destination,
)

QUEUE, TOPIC = DestinationKind.QUEUE, DestinationKind.TOPIC


@pytest.mark.parametrize(
    ("text", "destination"),
    [
        ("jms:queue:REPLIES.CIS", Destination(kind=QUEUE, name="REPLIES.CIS")),
        ("topic:PRODUCTION.EVENTS", Destination(kind=TOPIC, name="PRODUCTION.EVENTS")),
        (" jms:queue:A?deliveryMode=PERSISTENT ", Destination(kind=QUEUE, name="A")),
        ("queue:ID:host-1234-5:1:1", Destination(kind=QUEUE, name="ID:host-1234-5:1:1")),
    ],
)
def test_a_destination_is_read_from_its_text(text: str, destination: Destination) -> None:
    """ReplyAddress and settings name places by RFC 6167, as other products do."""
    assert parse_destination(text) == destination
    assert parse_destination(str(destination)) == destination


@pytest.mark.parametrize(
    "text", ["", "queue", "queue:", "http://host/", "jms:jndi:a", "topic:A.*", "topic:A.>", "queue:a b", "queue:a..b"]
)
def test_what_is_no_destination_is_told(text: str) -> None:
    """A reply to nowhere would be lost without a word."""
    with pytest.raises(BrokerError, match="queue:NAME") as caught:
        parse_destination(text, path="/RequestMessage/Header/ReplyAddress")
    assert caught.value.finding.path == "/RequestMessage/Header/ReplyAddress"


@pytest.mark.parametrize("text", ["topic:>.A", "topic:A*", "topic:A.b>", "topic:A..>"])
def test_a_wildcard_stands_for_whole_levels(text: str) -> None:
    """Half of a level would be a plain name to the broker, which nobody ever sends to."""
    with pytest.raises(BrokerError):
        parse_destination(text, patterns=True)


@pytest.mark.parametrize(
    ("pattern", "name", "is_matched"),
    [
        ("queue:T.REQUESTS.>", "queue:T.REQUESTS.TroubleTickets.create", True),
        ("queue:T.REQUESTS.>", "queue:T.REQUESTS", False),
        ("queue:T.REQUESTS.>", "topic:T.REQUESTS.TroubleTickets.create", False),
        ("topic:T.*.Incidents.*", "topic:T.EVENTS.Incidents.changed", True),
        ("topic:T.*.Incidents.*", "topic:T.EVENTS.Incidents", False),
        ("topic:T.*.Incidents", "topic:T.EVENTS.Incidents.changed", False),
        ("queue:A", "queue:A", True),
        ("queue:A", "queue:B", False),
    ],
)
def test_a_pattern_means_what_brokers_mean_by_it(pattern: str, name: str, *, is_matched: bool) -> None:
    """What the hub thinks it listens to has to be what the broker hands to it."""
    assert parse_destination(pattern, patterns=True).matches(parse_destination(name)) is is_matched


def test_a_pattern_knows_that_it_is_one() -> None:
    """Nothing can be sent to a pattern."""
    assert parse_destination("topic:A.*", patterns=True).is_pattern
    assert not parse_destination("topic:A.B").is_pattern


@pytest.mark.parametrize(
    ("text", "protocol", "port", "is_tls", "shown"),
    [
        ("stomp://broker", "stomp", 61613, False, "stomp://broker:61613"),
        ("stomp+ssl://broker:1", "stomp", 1, True, "stomp+ssl://broker:1"),
        ("amqp://[::1]/a%2Fb", "amqp091", 5672, False, "amqp://[::1]:5672/a/b"),
        ("amqps://b", "amqp091", 5671, True, "amqps://b:5671"),
        ("amqp10://b", "amqp10", 5672, False, "amqp10://b:5672"),
        ("amqp10s://b", "amqp10", 5671, True, "amqp10s://b:5671"),
    ],
)
def test_an_address_says_which_protocol_is_spoken(
    text: str, protocol: str, port: int, shown: str, *, is_tls: bool
) -> None:
    """One broker often listens to several protocols; the address decides."""
    address = parse_address(text)
    assert (address.protocol, address.port, address.is_tls, str(address)) == (protocol, port, is_tls, shown)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "broker",
        "http://b",
        "stomp://",
        "stomp://b:99999",
        "stomp://u:p@b",
        "stomp://b/x",
        "amqp://b?x=1",
        "amqp10://b#x",
    ],
)
def test_what_is_no_address_is_told(text: str) -> None:
    """A password in an address would be shown wherever the address is."""
    with pytest.raises(BrokerError) as caught:
        parse_address(text, path="brokers.main.urls")
    assert caught.value.code == "SET-130"
    assert "u:p" not in str(caught.value)


def test_a_password_is_not_shown() -> None:
    """Values end up in logs and in tracebacks."""
    assert "secret" not in repr(Credentials(user="a", password="secret"))


async def test_who_lacks_a_library_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries of brokers are extras; an ImportError would send people to the source."""
    monkeypatch.setitem(opening.ADAPTERS, "stomp", Adapter("cimcare.no_such_module", "aiormq", "rabbitmq"))
    with pytest.raises(BrokerError, match=r"pip install 'cimcare\[rabbitmq\]'") as caught:
        await open_session(
            parse_address("stomp://b"),
            client_id="",
            credentials=Credentials(),
            tls=Tls(),
            heart_beat=HeartBeat(),
            within=1,
        )
    assert caught.value.code == "SET-131"
