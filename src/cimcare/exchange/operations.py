"""Operations of an OperationSet as messages of their own, and what is said of them as part of the whole.

Pure. An operation on elements inside an object is a change of that object, whatever its verb; with the verb delete the
change takes away what its payload leads to.

Source: IEC 61968-100:2013, OperationSet and Operation; decision 0032 for what it leaves open.
"""

from collections.abc import Iterable

import msgspec

from cimcare.errors import Finding
from cimcare.exchange.ports import Event
from cimcare.model.envelope import EventMessage, Header, Operation, OperationSet, Payload, RequestMessage
from cimcare.model.nouns import Noun, PayloadRoot
from cimcare.model.verbs import EVENT_OF, Verb

__all__ = [
    "Step",
    "as_event",
    "as_request",
    "executed_operation",
    "finding_at",
    "findings_of_step",
    "removal_operation",
    "steps_of",
]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One operation as it is to be run: which it is, where it stands (from 1), and as what it is served.

    `verb` is that of the message as which it is served. With `removes` its payload leads to what is to go.
    """

    operation: Operation
    position: int
    noun: Noun
    verb: Verb
    removes: bool
    content: PayloadRoot

    @property
    def id(self) -> int:
        """Its operationId."""
        return self.operation.operation_id


def steps_of(operation_set: OperationSet) -> tuple[Step, ...]:
    """The operations in the order in which they are to be run: by operationId where that is asked for, else as given.

    Raises:
        TypeError: An operation without content of a known noun, which the rules of conventions refuse.
        ValueError: One with an unknown verb, which they refuse too.
    """
    steps = [_step(operation, position) for position, operation in enumerate(operation_set.operation, 1)]
    return tuple(sorted(steps, key=lambda step: step.id) if operation_set.enforce_msg_sequence else steps)


def _step(operation: Operation, position: int) -> Step:
    content = operation.content
    if not isinstance(content, PayloadRoot):
        raise TypeError(f"operation {operation.operation_id} holds no payload element of a known noun")
    stated = Verb(operation.verb or "")
    on_elements = bool(operation.element_operation)
    verb = stated
    if on_elements:
        verb = Verb.CHANGED if stated in EVENT_OF.values() else Verb.CHANGE
    return Step(
        operation=operation,
        position=position,
        noun=Noun(operation.noun or content.XML_TYPE),
        verb=verb,
        removes=on_elements and stated in (Verb.DELETE, Verb.DELETED),
        content=content,
    )


def as_request(step: Step, header: Header) -> RequestMessage:
    """The operation as a request of its own, under the header of the whole."""
    return RequestMessage(header=_header_of(step, header), payload=Payload(content=(step.content,)))


def as_event(step: Step, header: Header) -> EventMessage:
    """The operation as an event of its own, under the header of the whole."""
    return EventMessage(header=_header_of(step, header), payload=Payload(content=(step.content,)))


def _header_of(step: Step, header: Header) -> Header:
    return msgspec.structs.replace(header, verb=step.verb, noun=step.noun.value)


def findings_of_step(step: Step, findings: Iterable[Finding], archetype: str) -> tuple[Finding, ...]:
    """Findings about the operation as a message of its own, as findings about a part of the whole.

    Args:
        step: The operation.
        findings: With paths as in a message of its own.
        archetype: Root element of the whole.
    """
    return tuple(
        msgspec.structs.replace(one, path=_path_of(step, one.path, archetype), operation_id=step.id) for one in findings
    )


def _path_of(step: Step, path: str, archetype: str) -> str:
    start = finding_at(step, archetype)
    for own in (f"/{archetype}/Payload/", "/Payload/"):
        if path.startswith(own):
            return f"{start}/{path.removeprefix(own)}"
    if path.startswith(f"/{archetype}/Header/"):
        return f"{start}/{path.rpartition('/')[2].lower()}"  # verb and noun are in lower case there
    return start


def finding_at(step: Step, archetype: str) -> str:
    """Path of the operation."""
    return f"/{archetype}/Payload/{OperationSet.XML_TYPE}/Operation[{step.position}]"


def executed_operation(step: Step, event: Event) -> Operation:
    """The operation as it is told when it was done, with what `event` would have told of it alone."""
    return msgspec.structs.replace(
        step.operation,
        noun=step.noun.value,
        verb=EVENT_OF[Verb(step.operation.verb or "")].value,
        content=event.payload,
    )


def removal_operation(event: Event) -> Operation:
    """The one operation that tells of a removal."""
    return Operation(
        operation_id=1,
        noun=event.noun.value,
        verb=Verb.DELETED.value,
        element_operation=True,
        content=event.payload,
    )
