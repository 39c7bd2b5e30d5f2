"""Serves OperationSets: each operation by the handler of its noun, all inside the transaction of their message.

What an operation did is under a savepoint of its own, so that one that fails leaves nothing. The set as a whole is
undone by refusing the message.

Source: IEC 61968-100:2013, OperationSet; decision 0032 for what it leaves open.
"""

from collections.abc import Callable

import msgspec

from cimcare.errors import Finding, Level, finding_of
from cimcare.exchange.dispatch import Dispatcher
from cimcare.exchange.operations import (
    Step,
    as_event,
    as_request,
    executed_operation,
    finding_at,
    findings_of_step,
    removal_operation,
    steps_of,
)
from cimcare.exchange.ports import Event, ExecutedEvent, Served, ServingContext
from cimcare.exchange.store import Transaction
from cimcare.hub.intake.judging import Refusal
from cimcare.model.envelope import EventMessage, ObjectID, Operation, OperationSet, RequestMessage, Result
from cimcare.model.nouns import NOUNS, Noun, Role
from cimcare.model.verbs import EVENT_OF

__all__ = ["Executed", "MakeContext", "execute", "hear", "nouns_of", "told"]

_CLAUSE = "IEC 61968-100:2013, OperationSet"

MakeContext = Callable[[RequestMessage | EventMessage, bool], ServingContext]
"""Context in which a message is served, and whether it removes."""


class Executed(msgspec.Struct, frozen=True, kw_only=True):
    """What the operations of a message led to: some were done, or all. `role` owns the noun of the first of them."""

    result: Result
    ids: tuple[ObjectID, ...]
    findings: tuple[Finding, ...]
    events: tuple[Event | ExecutedEvent, ...]
    role: Role


class _Undone(Exception):  # noqa: N818 - the way out of a savepoint, answered at once
    """An operation that failed, and is to leave nothing."""

    def __init__(self, served: Served) -> None:
        super().__init__("operation failed")
        self.served = served


class _Run(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one operation."""

    step: Step
    served: Served
    role: Role

    @property
    def is_done(self) -> bool:
        """Whether it did all that it was to do."""
        return self.served.result is Result.OK

    @property
    def has_effect(self) -> bool:
        """Whether it did anything."""
        return self.served.result is not Result.FAILED


async def execute(
    message: RequestMessage, transaction: Transaction, dispatcher: Dispatcher, make_context: MakeContext
) -> Executed:
    """Run the operations of an `execute`.

    Raises:
        Refusal: Nothing is to be kept: all have failed, or one has and all belong together.
    """
    operation_set = _set_of(message)
    runs: list[_Run] = []
    for step in steps_of(operation_set):
        if operation_set.enforce_msg_sequence and not all(run.is_done for run in runs):
            runs.append(_not_attempted(step, next(run.step for run in runs if not run.is_done)))
        else:
            runs.append(await _attempt(step, message, transaction, dispatcher, make_context))
    if operation_set.enforce_transactional_integrity and not all(run.is_done for run in runs):
        raise Refusal(_findings_of_all_or_nothing(runs))
    findings = tuple(finding for run in runs for finding in run.served.findings)
    if not any(run.has_effect for run in runs):
        raise Refusal(findings)
    return Executed(
        result=Result.OK if all(run.is_done for run in runs) else Result.PARTIAL,
        ids=tuple(identifier for run in runs for identifier in run.served.ids),
        findings=findings,
        events=_events_of(operation_set, [run for run in runs if run.has_effect]),
        role=runs[0].role,
    )


async def hear(
    message: EventMessage, dispatcher: Dispatcher, make_context: MakeContext, *, speaker: Role | None = None
) -> tuple[tuple[Role, Served], ...]:
    """Give an event to all who listen; of an `executed` each operation, as if it were an event of its own.

    Args:
        message: The event.
        dispatcher: Who listens.
        make_context: Context in which a listener works.
        speaker: The built-in system that tells of it and need not hear it; of several operations, for each the owner
            of its noun. None for the event of a partner.
    """
    heard: list[tuple[Role, Served]] = []
    if message.payload is None or message.payload.operation_set is None:
        for role, listener in dispatcher.listeners(message.header.verb, message.header.noun, but=speaker):
            heard.append((role, await listener(message, make_context(message, False))))
        return tuple(heard)
    for step in steps_of(message.payload.operation_set):
        event = as_event(step, message.header)
        owner = NOUNS[step.noun].owner if speaker is not None else None
        for role, listener in dispatcher.listeners(step.verb, step.noun, but=owner):
            served = await listener(event, make_context(event, step.removes))
            findings = findings_of_step(step, served.findings, message.ARCHETYPE)
            heard.append((role, msgspec.structs.replace(served, findings=findings)))
    return tuple(heard)


def nouns_of(message: RequestMessage) -> tuple[Noun, ...]:
    """Nouns on which the operations of an `execute` work, each once, in the order in which they are run."""
    return tuple(dict.fromkeys(step.noun for step in steps_of(_set_of(message))))


def told(event: Event | ExecutedEvent) -> Event | ExecutedEvent:
    """The event as it leaves: one that tells of a removal as an operation on elements."""
    if isinstance(event, ExecutedEvent) or not event.removes:
        return event
    return ExecutedEvent(operation_set=OperationSet(operation=(removal_operation(event),)), source=event.source)


def _set_of(message: RequestMessage) -> OperationSet:
    assert message.payload is not None
    assert message.payload.operation_set is not None  # the rules ask for it, and compressed content was refused
    return message.payload.operation_set


async def _attempt(
    step: Step,
    message: RequestMessage,
    transaction: Transaction,
    dispatcher: Dispatcher,
    make_context: MakeContext,
) -> _Run:
    """Run one operation; one that fails leaves nothing."""
    found = dispatcher.find_handler(step.verb, step.noun)
    role = NOUNS[step.noun].owner
    if isinstance(found, Finding):
        served = Served(result=Result.FAILED, findings=(found,))
    else:
        role, handler = found
        request = as_request(step, message.header)
        try:
            async with transaction.savepoint():
                served = await handler(request, make_context(request, step.removes))
                if served.result is Result.FAILED:
                    raise _Undone(served)
        except _Undone as undone:
            served = msgspec.structs.replace(undone.served, ids=(), events=())
    # The reply to a set speaks of its operations: of what they have made, and of what was wrong with them.
    own = NOUNS[step.noun].item_name
    ids = tuple(one for one in served.ids if one.object_type in (None, own))
    said = tuple(one for one in served.findings if one.level is not Level.INFORM)
    findings = findings_of_step(step, said, message.ARCHETYPE)
    return _Run(step=step, served=msgspec.structs.replace(served, findings=findings, ids=ids), role=role)


def _not_attempted(step: Step, culprit: Step) -> _Run:
    finding = finding_of(
        "EXC-114",
        finding_at(step, RequestMessage.ARCHETYPE),
        f"operation {step.id} comes after operation {culprit.id}, which was not done in full",
        "the same operation once that one can be done, or enforceMsgSequence false",
        _CLAUSE,
    )
    served = Served(result=Result.FAILED, findings=(msgspec.structs.replace(finding, operation_id=step.id),))
    return _Run(step=step, served=served, role=NOUNS[step.noun].owner)


def _findings_of_all_or_nothing(runs: list[_Run]) -> tuple[Finding, ...]:
    """The culprits' own findings, and EXC-113 for each of the others, in the order of the operations."""
    culprits = [run for run in runs if not run.is_done and not _was_left_out(run)]
    names = ", ".join(str(run.step.id) for run in culprits)
    findings: list[Finding] = []
    for run in runs:
        if run in culprits:
            findings.extend(run.served.findings)
            continue
        finding = finding_of(
            "EXC-113",
            finding_at(run.step, RequestMessage.ARCHETYPE),
            f"operation {run.step.id} was undone or not begun, since operation {names} was not done in full",
            "all operations of the set, or enforceTransactionalIntegrity false",
            _CLAUSE,
        )
        findings.append(msgspec.structs.replace(finding, operation_id=run.step.id))
    return tuple(findings)


def _was_left_out(run: _Run) -> bool:
    return any(finding.code == "EXC-114" for finding in run.served.findings)


def _events_of(operation_set: OperationSet, runs: list[_Run]) -> tuple[Event | ExecutedEvent, ...]:
    """One `executed` for what the operations did to their own objects, then the events of what followed from it."""
    operations: list[Operation] = []
    further: list[Event] = []
    for run in runs:
        own = next((event for event in run.served.events if _is_own(event, run.step)), None)
        if own is not None:
            operations.append(executed_operation(run.step, own))
        further.extend(event for event in run.served.events if event is not own)
    if not operations:
        return tuple(further)
    done = msgspec.structs.replace(operation_set, operation=tuple(operations))
    return (ExecutedEvent(operation_set=done, source=runs[0].role), *further)


def _is_own(event: Event, step: Step) -> bool:
    """Whether an event tells of the operation itself."""
    return event.noun is step.noun and (event.removes if step.removes else event.verb is EVENT_OF[step.verb])
