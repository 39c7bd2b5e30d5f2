"""Payload/Compressed: what is packed, what is left, and what comes out again."""

import base64
import gzip

import msgspec
import pytest

from cimcare.codec.compressed import compress_payload, pack, unpack_payload
from cimcare.codec.limits import Limits, unpack
from cimcare.codec.payload import render_payload
from cimcare.errors import InputError
from cimcare.model.envelope import EventMessage, ObjectID, Payload, RequestMessage, ResponseMessage
from cimcare.model.nouns import Noun, PayloadRoot
from cimcare.model.structure import Extension
from cimcare.model.verbs import Verb
from cimcare.samples import build_message, build_payload

CREATE = build_message(Noun.SERVICE_ORDERS, Verb.CREATE)
assert isinstance(CREATE, RequestMessage)
assert CREATE.payload is not None
(CONTENT,) = CREATE.payload.content
assert isinstance(CONTENT, PayloadRoot)
SIZE = len(render_payload(CONTENT))


def with_payload(payload: Payload | None) -> RequestMessage:
    return msgspec.structs.replace(CREATE, payload=payload)


@pytest.mark.parametrize("verb", [Verb.CREATE, Verb.CREATED, Verb.REPLY])
def test_what_is_packed_comes_out_again(verb: Verb) -> None:
    """Requests, events and replies alike; the format is said, so that nobody has to guess."""
    message = build_message(Noun.SERVICE_ORDERS, verb, seed=1)
    assert isinstance(message, RequestMessage | EventMessage | ResponseMessage)
    packed = compress_payload(message, above_bytes=1)
    assert packed.payload is not None
    assert packed.payload.content == ()
    assert packed.payload.format == "XML"
    assert packed.header == message.header
    plain = unpack_payload(packed)
    assert message.payload is not None
    assert plain.payload == Payload(content=message.payload.content)


def test_packed_is_gzip_then_base64() -> None:
    """Any other reader of gzip reads it."""
    packed = compress_payload(CREATE, above_bytes=1)
    assert packed.payload is not None
    assert packed.payload.compressed is not None
    assert gzip.decompress(base64.b64decode(packed.payload.compressed)) == render_payload(CONTENT)


def test_packing_is_the_same_each_time() -> None:
    """A repeat must be the same bytes, so no instant stands in the frame of gzip."""
    raw = base64.b64decode(pack(b"content"))
    assert raw[4:8] == b"\0\0\0\0"
    assert raw[3] == 0
    assert unpack(pack(b"content"), format_name=None) == b"content"


def test_only_what_is_larger_is_packed() -> None:
    """The bound counts the bytes of the XML; the bound itself is not above."""
    assert compress_payload(CREATE, above_bytes=SIZE) is CREATE
    assert compress_payload(CREATE, above_bytes=SIZE - 1) is not CREATE
    assert compress_payload(CREATE, above_bytes=0) is CREATE


@pytest.mark.parametrize(
    "payload",
    [
        None,
        Payload(),
        Payload(id=(ObjectID(value="x" * 100),)),
        Payload(content=(CONTENT, CONTENT)),
        Payload(content=(CONTENT,), format="CSV"),
        Payload(content=(Extension(xml="<a/>"),)),
        Payload(compressed="already"),
    ],
    ids=["no payload", "empty", "identifiers", "two elements", "other format", "unknown element", "compressed"],
)
def test_what_has_no_place_in_compressed_is_left(payload: Payload | None) -> None:
    """One document of a known noun fits; all else goes as it is."""
    message = with_payload(payload)
    assert compress_payload(message, above_bytes=1) is message


def test_an_operation_set_is_left() -> None:
    """Nobody serves a compressed one."""
    message = build_message(Noun.SERVICE_ORDERS, Verb.EXECUTE)
    assert isinstance(message, RequestMessage)
    assert compress_payload(message, above_bytes=1) is message
    packed = msgspec.structs.replace(message, payload=Payload(compressed=pack(b"<a/>")))
    assert unpack_payload(packed) is packed


@pytest.mark.parametrize("payload", [None, Payload(), Payload(compressed="AAAA", format="BINARY")])
def test_what_is_not_packed_xml_is_left(payload: Payload | None) -> None:
    """Whoever sends pictures knows what to do with them."""
    message = with_payload(payload)
    assert unpack_payload(message) is message


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"<broken", "XML-101"),
        (b"<a/>", "SCH-106"),
        (b" " * 5000 + b"<a/>", "XML-107"),
        (b'<GetIncidents xmlns="http://iec.ch/TC57/2014/GetIncidents#"/>', "CNV-106"),
    ],
)
def test_bad_content_is_refused_with_its_code(content: bytes, code: str) -> None:
    """Unpacked content is as little trusted as any other."""
    message = with_payload(Payload(compressed=pack(content)))
    with pytest.raises(InputError) as caught:
        unpack_payload(message, limits=Limits(max_unpacked_bytes=4000))
    assert caught.value.code == code


def test_variants_in_the_content_are_forgiven_where_that_is_wanted() -> None:
    """A partner of an older edition packs what it would have sent plainly."""
    raw = render_payload(build_payload(Noun.SERVICE_ORDERS)).replace(b"TC57/2014/", b"TC57/2010/")
    assert b"TC57/2010/" in raw
    message = with_payload(Payload(compressed=pack(raw)))
    with pytest.raises(InputError):
        unpack_payload(message)
    assert unpack_payload(message, lenient=True).payload == Payload(content=(build_payload(Noun.SERVICE_ORDERS),))
