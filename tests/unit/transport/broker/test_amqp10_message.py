"""Messages of AMQP 1.0 as they are written, read by the library as any peer reads them."""

from datetime import UTC, datetime, timedelta

import pytest

from cimcare.transport.broker.amqp10_message import render_amqp10
from tests.support.brokers import require_library

require_library("proton")
from proton import Message  # noqa: E402

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)
MANY = {f"name-{number}": "ä" * 20 for number in range(300)}


@pytest.mark.parametrize("size", [0, 1, 255, 256, 300_000])
@pytest.mark.parametrize("properties", [{}, {"Verb": "created", "Noun": "ä" * 200, "": "x"}, {"a": "b" * 300}, MANY])
def test_what_is_written_is_read(size: int, properties: dict[str, str]) -> None:
    """Lengths have one form up to 255 and another from there."""
    encoded = render_amqp10(
        b"\0" * size,
        message_id="m1",
        to="/queue/A.B",
        reply_to="/topic/" + "r" * 300,
        correlation_id="ä" * 200,
        content_type="application/xml",
        durable=True,
        priority=9,
        ttl_seconds=1.5,
        expires_at=NOON + timedelta(seconds=1.5),
        created_at=NOON,
        properties=properties,
    )
    read = Message()
    read.decode(encoded)
    assert bytes(read.body) == b"\0" * size
    assert read.inferred, "data, and no value"
    assert (read.id, read.address, read.reply_to) == ("m1", "/queue/A.B", "/topic/" + "r" * 300)
    assert (read.correlation_id, str(read.content_type)) == ("ä" * 200, "application/xml")
    assert (read.durable, read.priority, read.ttl) == (True, 9, 1.5)
    assert (read.creation_time, read.expiry_time) == (NOON.timestamp(), NOON.timestamp() + 1.5)
    assert dict(read.properties or {}) == properties


def test_what_is_not_said_is_not_there() -> None:
    """An empty text would be an address, or an identifier, of its own."""
    encoded = render_amqp10(
        b"<a/>", message_id="m", to="q", content_type="text/xml", durable=False, priority=4, created_at=NOON,
        properties={},
    )  # fmt: skip
    read = Message()
    read.decode(encoded)
    assert (read.reply_to, read.correlation_id, read.durable, read.ttl, read.expiry_time) == (None, None, False, 0, 0)


def test_it_is_what_the_library_writes() -> None:
    """Brokers have seen that form for years."""
    message = Message(
        body=b"<a/>", inferred=True, address="q", id="m", correlation_id="c", durable=True, priority=7,
        creation_time=NOON.timestamp(), properties={"Verb": "created"},
    )  # fmt: skip
    encoded = render_amqp10(
        b"<a/>", message_id="m", to="q", correlation_id="c", content_type="text/xml", durable=True, priority=7,
        created_at=NOON, properties={"Verb": "created"},
    )  # fmt: skip
    theirs, ours = Message(), Message()
    theirs.decode(message.encode())
    ours.decode(encoded)
    names = ("body", "address", "id", "correlation_id", "durable", "priority", "creation_time", "properties", "ttl")
    assert [getattr(ours, name) for name in names] == [getattr(theirs, name) for name in names]
