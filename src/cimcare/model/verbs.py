"""Verbs and the archetypes of messages.

Source: IEC 61968-100:2013, Message.xsd, HeaderType/Verb; pairing of request, reply and event verbs in its text.
"""

from enum import StrEnum

__all__ = ["EVENT_OF", "EVENT_VERBS", "REQUEST_VERBS", "Archetype", "Verb"]


class Verb(StrEnum):
    """The 14 literals of Header/Verb. Mind the single l in `canceled`."""

    CANCEL = "cancel"
    CANCELED = "canceled"
    CHANGE = "change"
    CHANGED = "changed"
    CREATE = "create"
    CREATED = "created"
    CLOSE = "close"
    CLOSED = "closed"
    DELETE = "delete"
    DELETED = "deleted"
    GET = "get"
    REPLY = "reply"
    EXECUTE = "execute"
    EXECUTED = "executed"


class Archetype(StrEnum):
    """Root elements of messages, by what they are for."""

    REQUEST = "RequestMessage"
    RESPONSE = "ResponseMessage"
    EVENT = "EventMessage"
    FAULT = "FaultMessage"
    GENERIC = "Message"


EVENT_OF: dict[Verb, Verb] = {
    Verb.CREATE: Verb.CREATED,
    Verb.CHANGE: Verb.CHANGED,
    Verb.CANCEL: Verb.CANCELED,
    Verb.CLOSE: Verb.CLOSED,
    Verb.DELETE: Verb.DELETED,
    Verb.EXECUTE: Verb.EXECUTED,
}
"""The event that follows a successful transaction. `get` has none."""

REQUEST_VERBS: frozenset[Verb] = frozenset(EVENT_OF) | {Verb.GET}
"""Verbs of a RequestMessage."""

EVENT_VERBS: frozenset[Verb] = frozenset(EVENT_OF.values())
"""Verbs of an EventMessage."""
