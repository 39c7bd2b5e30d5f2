"""What deciding about a message needs of its content: objects, premises, areas, urgency.

Pure; one pass over the payload.
"""

import msgspec

from cimcare.exchange.outbox import Priority
from cimcare.model.envelope import EventMessage, RequestMessage, ResponseMessage
from cimcare.model.verbs import Verb

__all__ = ["Facts", "facts_of", "object_keys_of", "priority_of"]


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What an event is about. `premises` and `areas` are in folded case; `operations` those of an `executed`."""

    verb: Verb
    noun: str
    source: str
    operations: tuple[tuple[Verb, str], ...] = ()
    premises: frozenset[str] = frozenset()
    areas: frozenset[str] = frozenset()
    properties: tuple[tuple[str, str], ...] = ()


def facts_of(message: EventMessage) -> Facts:
    """What an event is about."""
    raise NotImplementedError(message)


def object_keys_of(message: RequestMessage | EventMessage | ResponseMessage) -> tuple[str, ...]:
    """Keys of the business objects of a message, for the order of their deliveries."""
    raise NotImplementedError(message)


def priority_of(message: RequestMessage | EventMessage | ResponseMessage) -> Priority:
    """How urgent a message is."""
    raise NotImplementedError(message)
