"""A message of AMQP 1.0 as bytes: header, properties, application properties and one section of data.

The library sets each field by a call of its own, and writes a message again and again until its buffer is large enough.
Messages of ours have one shape, so they are written here; what others send is read by the library.

Source: AMQP 1.0, parts 1 (types, encodings) and 3.2 (sections).
"""

import struct
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache

__all__ = ["render_amqp10"]

_HEADER, _PROPERTIES, _APPLICATION_PROPERTIES, _DATA = (b"\x00\x53%c" % code for code in (0x70, 0x73, 0x74, 0x75))
_NULL, _TRUE, _FALSE = b"\x40", b"\x41", b"\x42"
_SHORT = 255
_UINT, _TIMESTAMP, _WIDE, _WIDE_PAIR = (struct.Struct(form) for form in (">BI", ">Bq", ">BI", ">BII"))
_MOST_MILLISECONDS = 2**32 - 1


def render_amqp10(
    body: bytes,
    *,
    message_id: str,
    to: str,
    reply_to: str = "",
    correlation_id: str = "",
    content_type: str,
    durable: bool,
    priority: int,
    ttl_seconds: float | None = None,
    expires_at: datetime | None = None,
    created_at: datetime,
    properties: Mapping[str, str],
) -> bytes:
    """The message as it goes over a link.

    Args:
        body: The data.
        message_id: Property message-id.
        to: Address that it is sent to.
        reply_to: Address for the reply; empty for none.
        correlation_id: Property correlation-id; empty for none.
        content_type: Of the data.
        durable: Whether it is to outlive the broker's process.
        priority: 0 to 9.
        ttl_seconds: How long it is wanted, above 0; None for ever.
        expires_at: Until when it is wanted, aware; None for ever.
        created_at: When it was made, aware.
        properties: Those of the application.
    """
    ttl = _NULL if ttl_seconds is None else _UINT.pack(0x70, min(int(ttl_seconds * 1000), _MOST_MILLISECONDS))
    header = (_TRUE if durable else _FALSE, b"\x50%c" % priority, ttl)
    told = (
        _text(message_id),
        _NULL,
        _word(to),
        _NULL,
        _text(reply_to) if reply_to else _NULL,
        _text(correlation_id) if correlation_id else _NULL,
        _symbol(content_type),
        _NULL,
        _NULL if expires_at is None else _instant(expires_at),
        _instant(created_at),
    )
    pairs = [part for name, text in properties.items() for part in (_word(name), _text(text))]
    return b"".join(
        (
            _HEADER,
            _compound(0xC0, header),
            _PROPERTIES,
            _compound(0xC0, told),
            _APPLICATION_PROPERTIES,
            _compound(0xC1, pairs),
            _DATA,
            _sized(0xA0, body),
        )
    )


def _sized(code: int, raw: bytes) -> bytes:
    """A value of variable width: one byte for its length, or four under a code that is higher by 0x10."""
    if len(raw) <= _SHORT:
        return b"%c%c%b" % (code, len(raw), raw)
    return _WIDE.pack(code + 0x10, len(raw)) + raw


def _compound(code: int, parts: "tuple[bytes, ...] | list[bytes]") -> bytes:
    """A list or map; its size counts what says how many parts there are."""
    raw = b"".join(parts)
    if len(raw) + 1 <= _SHORT and len(parts) <= _SHORT:
        return b"%c%c%c%b" % (code, len(raw) + 1, len(parts), raw)
    return _WIDE_PAIR.pack(code + 0x10, len(raw) + 4, len(parts)) + raw


def _text(text: str) -> bytes:
    return _sized(0xA1, text.encode())


@lru_cache(maxsize=1000)
def _word(text: str) -> bytes:
    """A text that comes again with other messages."""
    return _text(text)


@lru_cache(maxsize=16)
def _symbol(text: str) -> bytes:
    return _sized(0xA3, text.encode("ascii"))


def _instant(instant: datetime) -> bytes:
    return _TIMESTAMP.pack(0x83, int(instant.timestamp() * 1000))
