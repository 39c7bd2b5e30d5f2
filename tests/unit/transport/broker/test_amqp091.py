"""What goes beside a message over AMQP 0-9-1. Sessions before a broker: tests/contract."""

from datetime import UTC, datetime

import pytest

from cimcare.transport.broker.ports import BrokerMessage
from tests.support.broker_sessions import a_place
from tests.support.brokers import require_library

require_library("aiormq")
from aiormq import spec  # noqa: E402

from cimcare.transport.broker.amqp091 import _properties_of  # noqa: E402

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "message",
    [
        BrokerMessage(body=b""),
        BrokerMessage(body=b"", correlation_id="ä" * 127, priority=9, persistent=False),
        BrokerMessage(
            body=b"",
            correlation_id="c",
            reply_to=a_place("jms:temp-queue:amq.gen-1"),
            sent_at=NOON,
            expires_at=NOON,
            properties={"Verb": "created", "Noun": "ä" * 500, "Hub": "cimcare"},
        ),
    ],
)
def test_properties_are_written_as_the_library_writes_them(message: BrokerMessage) -> None:
    """Who reads them must not notice that it was somebody else."""
    properties = _properties_of(message)
    properties.message_id = "0" * 32
    assert properties.marshal() == spec.Basic.Properties.marshal(properties)
    read = spec.Basic.Properties()
    raw = properties.marshal()
    read.unmarshal(int.from_bytes(raw[:2], "big"), raw[2:])
    assert (read.headers, read.priority, read.message_id) == (properties.headers, message.priority, "0" * 32)


def test_a_text_that_is_too_long_is_not_cut() -> None:
    """What is cut would link a reply to another request."""
    with pytest.raises(TypeError, match="256 bytes"):
        _properties_of(BrokerMessage(body=b"", correlation_id="x" * 256)).marshal()
