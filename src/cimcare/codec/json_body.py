"""The JSON form of messages and payloads, used by REST. Our own profile: the standards define none.

Members bear the names of the XML elements. The kind of message stands in `message`, the noun of a payload in `noun`:
`{"message": "RequestMessage", "Header": {"Verb": "create", ...}, "Payload": {"content": [{"noun": "TroubleTickets",
"TroubleTicket": [{...}]}]}}`. What is empty or absent is left out.
"""

import re
from typing import TypeVar

import msgspec

from cimcare.codec.limits import Limits, require_size
from cimcare.errors import InputError, finding_of
from cimcare.model.envelope import AnyMessage
from cimcare.model.nouns import PayloadRoot, Query

__all__ = ["parse_json", "parse_json_payload", "render_json", "render_json_payload"]

_MESSAGES = msgspec.json.Decoder(AnyMessage)
_PAYLOADS = msgspec.json.Decoder(PayloadRoot | Query)
_ENCODER = msgspec.json.Encoder(decimal_format="string")
_T = TypeVar("_T")
_AT = re.compile(r" - at `(.*)`$")


def parse_json(raw: bytes, limits: Limits | None = None) -> AnyMessage:
    """Message from its JSON form.

    Raises:
        InputError: XML-103 too large, COD-105 not JSON or not of the expected form.
    """
    message: AnyMessage = _decode(raw, _MESSAGES, limits)
    return message


def parse_json_payload(raw: bytes, limits: Limits | None = None) -> PayloadRoot | Query:
    """Payload root or `Get<Noun>` element from its JSON form. Raises InputError as `parse_json` does."""
    payload: PayloadRoot | Query = _decode(raw, _PAYLOADS, limits)
    return payload


def _decode(raw: bytes, decoder: msgspec.json.Decoder[_T], limits: Limits | None) -> _T:
    require_size(raw, limits or Limits())
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        place = _AT.search(str(error))
        raise InputError(
            finding_of(
                "COD-105",
                place[1] if place else "$",
                _AT.sub("", str(error)),
                "the JSON form of the model: names as in XML, values of their types",
                "JSON form (our profile)",
            )
        ) from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InputError(
            finding_of("COD-105", "$", str(error), "one JSON document in UTF-8", "RFC 8259; JSON form (our profile)")
        ) from error


def render_json(message: AnyMessage) -> bytes:
    """JSON form of a message, compact, in UTF-8."""
    return _ENCODER.encode(message)


def render_json_payload(payload: PayloadRoot | Query) -> bytes:
    """JSON form of a payload root or `Get<Noun>` element, compact, in UTF-8."""
    return _ENCODER.encode(payload)
