"""Which reply and which event belong to which request.

Source: IEC 61968-100:2013, rules for CorrelationID and MessageID; `docs/conformance` says how they are read.
"""

import msgspec

from cimcare.model.envelope import Header
from cimcare.model.identity import CorrelationID

__all__ = ["correlation_of", "linked"]


def correlation_of(message_id: str | None, correlation_id: str | None) -> CorrelationID | None:
    """CorrelationID of the reply to a request, and of the events that it causes.

    The CorrelationID of the request, else its MessageID, else none.
    """
    return CorrelationID(chosen) if (chosen := correlation_id or message_id) else None


def linked(header: Header, correlation_id: CorrelationID | None) -> Header:
    """The header of a reply with this CorrelationID, as the sender of the request expects it, whoever wrote it."""
    if header.correlation_id == correlation_id:
        return header
    return msgspec.structs.replace(header, correlation_id=correlation_id)
