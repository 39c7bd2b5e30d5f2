"""What JMS says beside the envelope, and what names objects in it."""

from datetime import UTC, datetime

import pytest

from cimcare.codec.envelope import parse_message, render_message
from cimcare.codec.limits import Limits
from cimcare.model.envelope import Header, Reply, ReplyError, RequestMessage, ResponseMessage, Result
from cimcare.model.identity import MessageID
from cimcare.model.verbs import Verb
from cimcare.transport.broker.mapping import (
    as_kept,
    is_expired,
    keys_in,
    named_reply_to,
    place_of,
    properties_in,
    properties_of,
    reply_place,
)
from cimcare.transport.broker.ports import BrokerError, BrokerMessage
from tests.support.broker_sessions import a_place

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)


def an_envelope(header: str = "", archetype: str = "RequestMessage") -> bytes:
    return (
        f'<?xml version="1.0"?>\n<m:{archetype} xmlns:m="http://iec.ch/TC57/2011/schema/message"><m:Header>'
        f"<m:Verb>create</m:Verb><m:Noun>TroubleTickets</m:Noun>{header}</m:Header></m:{archetype}>"
    ).encode()


def kept(body: bytes, **more: object) -> bytes:
    return as_kept(BrokerMessage(body=body, message_id="ID:1", **more), "main", Limits())


def test_a_message_that_lacks_nothing_stays_as_it_came() -> None:
    """Raw bytes are evidence; most messages are kept byte for byte."""
    body = an_envelope("<m:MessageID>m1</m:MessageID>")
    assert kept(body, reply_to=a_place("queue:R"), correlation_id="c") is body


def test_the_identifier_of_the_broker_stands_in_for_one_that_is_missing() -> None:
    """Else a redelivery would have its effect twice."""
    message = parse_message(kept(an_envelope("<m:Source>CIS</m:Source><m:CorrelationID>c1</m:CorrelationID>")))
    assert isinstance(message, RequestMessage)
    assert (message.header.message_id, message.header.correlation_id) == ("ID:1", "c1")
    assert (message.header.source, message.header.verb) == ("CIS", "create")


def test_a_later_reply_goes_to_where_jms_wants_it() -> None:
    """A Java client sets JMSReplyTo and nothing else."""
    body = an_envelope("<m:AsyncReplyFlag>true</m:AsyncReplyFlag><m:MessageID>m1</m:MessageID>")
    message = parse_message(kept(body, reply_to=a_place("queue:R.1")))
    assert message.header.reply_address == "jms:queue:R.1?broker=main"
    assert message.header.message_id == "m1"


@pytest.mark.parametrize("address", ["queue:R.1", "jms:queue:R.1", "jms:queue:R.1?broker=elsewhere"])
def test_an_address_of_the_envelope_means_the_broker_that_it_came_from(address: str) -> None:
    """The envelope rules the application; and nobody is sent to another broker than his own."""
    body = an_envelope(f"<m:AsyncReplyFlag>1</m:AsyncReplyFlag><m:ReplyAddress>{address}</m:ReplyAddress>")
    message = parse_message(kept(body, reply_to=a_place("queue:OTHER")))
    assert message.header.reply_address == "jms:queue:R.1?broker=main"


def test_an_address_over_http_is_left_alone() -> None:
    """Asked by queue, answered by web service: that is judged as any address is."""
    header = "<m:AsyncReplyFlag>true</m:AsyncReplyFlag><m:ReplyAddress>http://cis/soap</m:ReplyAddress>"
    assert parse_message(kept(an_envelope(header))).header.reply_address == "http://cis/soap"


def test_a_later_reply_may_be_linked_by_jms_alone() -> None:
    """Else what awaits it would wait in vain."""
    body = an_envelope("<m:MessageID>m1</m:MessageID>", "ResponseMessage")
    assert b"<m:CorrelationID>c1</m:CorrelationID>" in kept(body, correlation_id="c1")


@pytest.mark.parametrize("body", [b"", b"<a", b"<a/>", b"<!DOCTYPE a><a/>"])
def test_what_is_no_envelope_is_left_to_who_judges_it(body: bytes) -> None:
    """Here nothing is refused."""
    assert kept(body) == body


@pytest.mark.parametrize("text", ["jms:queue:A.B", "jms:topic:A", "jms:temp-queue:ID:host-1:2"])
def test_an_address_with_its_broker_is_read_back(text: str) -> None:
    """It is kept with the delivery, maybe for days."""
    assert reply_place(place_of("a b", a_place(text))) == ("a b", a_place(text))
    assert reply_place(text) == ("", a_place(text))


def test_an_address_that_is_none_is_told() -> None:
    """Nothing is sent anywhere else in its place."""
    with pytest.raises(BrokerError, match="NET-126"):
        reply_place("jms:jndi:cn=queue")
    assert named_reply_to(b"<ReplyAddress>\xff</ReplyAddress>") is None
    assert named_reply_to(b"<ReplyAddress>http://a</ReplyAddress>") is None


def test_objects_are_found_by_what_may_name_them() -> None:
    """One key too many makes a message wait; one too few would let it overtake another."""
    body = (
        b"<T><mRID>t1</mRID><Names><name>TT-7</name><NameType><name>number</name></NameType></Names>"
        b'<x:ID idType="name"> t2 </x:ID><kind>a</kind></T>'
    )
    assert keys_in(body) == {b"t1", b"TT-7", b"t2"}


def test_a_message_expires_at_its_instant() -> None:
    """The bound is the sender's."""
    assert is_expired(BrokerMessage(body=b"", expires_at=NOON), NOON)
    assert not is_expired(BrokerMessage(body=b"", expires_at=NOON), NOON.replace(hour=11))
    assert not is_expired(BrokerMessage(body=b""), NOON)


def test_the_properties_of_an_answer_are_read_out_of_its_bytes() -> None:
    """A repeat is answered by the bytes of the first time; who selects replies by property must find that one too."""
    header = Header(verb=Verb.REPLY, noun="TroubleTickets", source="R & D <OMS>", message_id=MessageID("m-1"))
    reply = ResponseMessage(header=header, reply=Reply(result=Result.OK, error=(ReplyError(code="0.0"),)))
    assert properties_in(render_message(reply), hub="h") == properties_of(header, hub="h")
    assert properties_in(b"<FaultMessage/>", hub="h") == {"Hub": "h"}
