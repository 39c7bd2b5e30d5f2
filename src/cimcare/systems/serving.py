"""The course of a transaction, the same for every noun: objects are found, judged one by one, stored, and told of.

A message with several objects is judged object by object: all good is OK, some good is PARTIAL with the findings of the
bad ones and the identities of the good ones, none good is FAILED. What a system decides about one object comes in as a
function; it answers with a `Verdict` and raises nothing for bad content.

Source: IEC 61968-100:2013 for verbs, results and events; judgement object by object is our reading of public samples.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Generic, TypeVar

import msgspec

from cimcare.errors import Finding, finding_of
from cimcare.exchange.ports import Event, Key, Served, ServingContext, Stored
from cimcare.model.envelope import EventMessage, ObjectID, RequestMessage, Result
from cimcare.model.identity import MRID
from cimcare.model.structure import Structure
from cimcare.model.verbs import Verb
from cimcare.systems.identity import mrid_of
from cimcare.systems.merging import difference, merge
from cimcare.systems.objects import Kind, Said, find_said, find_twin, refused, said_in, said_or_named_in
from cimcare.systems.removing import without

__all__ = ["Course", "Verdict", "change_each", "create_each", "delete_each", "end_each", "file_object"]

BodyT = TypeVar("BodyT", bound=Structure)


class Verdict(msgspec.Struct, Generic[BodyT], frozen=True, kw_only=True):
    """What a system decides about one object.

    `stored` is the object as it is to be kept, None if it was refused. `shown` is what the event tells of it; nothing
    is told where it is None, or where `is_told` is False because it is not to be told yet. `removed` is the path down
    to what was removed from it. Findings of a refusal are FATAL, those of an acceptance warnings or less.
    """

    stored: Stored[BodyT] | None = None
    shown: BodyT | None = None
    removed: BodyT | None = None
    findings: tuple[Finding, ...] = ()
    is_told: bool = True


Judge = Callable[[Said[BodyT], BodyT], Awaitable[Verdict[BodyT]]]
"""Decides about a new object: how it was named, and the body with its mRID."""

Alter = Callable[[Said[BodyT], Stored[BodyT], BodyT], Awaitable[Verdict[BodyT]]]
"""Decides about a known object: how it was named, what is stored, and the body as the message wants it."""


class Course(Generic[BodyT]):
    """What has come of the objects of one message so far."""

    def __init__(self, kind: Kind[BodyT], context: ServingContext) -> None:
        self._kind = kind
        self._context = context
        self._ids: list[ObjectID] = []
        self._findings: list[Finding] = []
        self._shown: list[BodyT] = []
        self._removed: list[BodyT] = []
        self._refused = 0

    async def settle(self, verdict: Verdict[BodyT]) -> None:
        """Keep the object and what is to be told of it, or its refusal."""
        self._findings.extend(verdict.findings)
        if verdict.stored is None:
            self._refused += 1
            return
        await self._context.records.save(self._kind.collection, verdict.stored)
        if verdict.removed is not None:
            self._removed.append(verdict.removed)
        self.accept(verdict.stored.mrid, verdict.shown if verdict.is_told else None)

    def accept(self, mrid: MRID, shown: BodyT | None) -> None:
        """Note an object that was served."""
        self._ids.append(self._kind.id_of(mrid))
        if shown is not None:
            self._shown.append(shown)

    def warn(self, *findings: Finding) -> None:
        """Note what has to be said of objects that were served."""
        self._findings.extend(findings)

    def refuse(self, *findings: Finding) -> None:
        """Note an object that was not served."""
        self._findings.extend(findings)
        self._refused += 1

    def served(self, verb: Verb, more: Sequence[Event] = ()) -> Served:
        """Outcome of a message with this event verb; `more` are events of other nouns that follow its own."""
        if not self._ids and not self._refused:
            self.refuse(nothing_said(self._kind, verb))
        own = (self._kind.event(verb, self._shown),) if self._shown else ()
        if self._removed:  # told first, since what follows is said of the object without it
            removal = msgspec.structs.replace(self._kind.event(Verb.DELETED, self._removed), removes=True)
            own = (removal, *own)
        result = Result.FAILED if not self._ids else Result.PARTIAL if self._refused else Result.OK
        return Served(result=result, ids=tuple(self._ids), findings=tuple(self._findings), events=(*own, *more))


def nothing_said(kind: Kind[BodyT], verb: Verb) -> Finding:
    """Finding about a message that names no object."""
    if verb in (Verb.CREATED, Verb.CHANGED):
        return finding_of(
            "CNV-110",
            f"/Payload/{kind.noun}",
            f"no {kind.item_name} in the payload",
            f"at least one {kind.item_name}",
            "IEC 61968-100:2013, Payload",
        )
    return finding_of(
        "CNV-105",
        "/Request/ID",
        f"no {kind.item_name} is named",
        f"Request/ID, Payload/ID or at least one {kind.item_name} in the payload",
        "IEC 61968-100:2013, Request/ID",
    )


async def file_object(
    kind: Kind[BodyT],
    body: BodyT,
    context: ServingContext,
    *,
    state: str,
    filed_at: datetime | None = None,
    before: Stored[BodyT] | None = None,
    keys: frozenset[Key] = frozenset(),
) -> Stored[BodyT]:
    """The object as it is to be kept. `filed_at` is when it was reported or asked for; now if that is not known."""
    mrid = mrid_of(kind.core(body)) or (before.mrid if before is not None else MRID(context.new_id()))
    return Stored(
        mrid=mrid,
        body=body,
        created_at=before.created_at if before is not None else filed_at or context.now,
        modified_at=context.now,
        state=state,
        keys=await kind.keys(body, context.records) | keys,
    )


async def create_each(
    message: RequestMessage | EventMessage, context: ServingContext, kind: Kind[BodyT], judge: Judge[BodyT]
) -> Course[BodyT]:
    """Objects of the payload as new ones. An mRID is minted where none was given; LIF-103 for one that exists."""
    course: Course[BodyT] = Course(kind, context)
    for said in said_in(message, kind):
        if said.body is None:
            continue
        twin = await find_twin(context.records, kind, said.body)
        if twin is not None:
            course.refuse(
                refused(
                    "LIF-103",
                    said,
                    kind,
                    f"{kind.item_name} {said.identity(kind)} exists already (mRID {twin.mrid})",
                    "an mRID and names that no other object has, or the verb change",
                    "IEC 61968-100:2013, verb create",
                )
            )
            continue
        mrid = mrid_of(kind.core(said.body)) or MRID(context.new_id())
        await course.settle(await judge(said, kind.put(said.body, mrid=mrid)))
    return course


async def change_each(
    message: RequestMessage | EventMessage, context: ServingContext, kind: Kind[BodyT], alter: Alter[BodyT]
) -> Course[BodyT]:
    """Objects of the payload as changes of known ones; `alter` gets each with the change merged in.

    Where the context says that the message removes, `alter` gets each without what is to be removed.
    """
    course: Course[BodyT] = Course(kind, context)
    for said in said_in(message, kind):
        found = await find_said(context.records, kind, said)
        if isinstance(found, Finding):
            course.refuse(found)
        elif context.removes:
            await course.settle(await _reduced(said, found, kind, alter))
        else:
            await course.settle(await _altered(said, found, context, kind, alter))
    return course


async def _altered(
    said: Said[BodyT], stored: Stored[BodyT], context: ServingContext, kind: Kind[BodyT], alter: Alter[BodyT]
) -> Verdict[BodyT]:
    assert said.body is not None  # a change names objects by value
    patch = kind.put(said.body, mrid=stored.mrid)
    merged = merge(stored.body, patch)
    if set(kind.labels(merged)) != set(kind.labels(stored.body)):
        other = await find_twin(context.records, kind, merged, stored.mrid)
        if other is not None:
            return Verdict(
                findings=(
                    refused(
                        "REF-102",
                        said,
                        kind,
                        f"a name given to {stored.mrid} is that of {other.mrid}",
                        "a name that no other object has in this numbering scheme",
                    ),
                )
            )
    verdict = await alter(said, stored, merged)
    if verdict.stored is None:
        return verdict
    known_now = difference(stored.body, verdict.stored.body)
    shown = patch if known_now is None else merge(patch, known_now)
    return msgspec.structs.replace(verdict, shown=kind.told(shown, verdict.stored.body))


async def _reduced(said: Said[BodyT], stored: Stored[BodyT], kind: Kind[BodyT], alter: Alter[BodyT]) -> Verdict[BodyT]:
    """The object without the members to which the message leads; all of them, or it stays as it is."""
    assert said.body is not None  # a change names objects by value
    doomed = kind.put(said.body, mrid=stored.mrid)
    wanted, findings = without(stored.body, doomed, said, kind)
    if findings:
        return Verdict(findings=findings)
    who = msgspec.structs.replace(said, body=kind.identity_only(kind.put(stored.body, mrid=stored.mrid)))
    verdict = await alter(who, stored, wanted)
    if verdict.stored is None:
        return verdict
    altered = difference(wanted, verdict.stored.body)
    bare = kind.identity_only(kind.put(verdict.stored.body, mrid=stored.mrid))
    shown = bare if altered is None else merge(bare, altered)
    return msgspec.structs.replace(verdict, shown=kind.told(shown, verdict.stored.body), removed=doomed)


async def end_each(
    message: RequestMessage | EventMessage, context: ServingContext, kind: Kind[BodyT], alter: Alter[BodyT]
) -> Course[BodyT]:
    """Objects that a cancel or close names. `alter` gets each with what the payload says of it merged in.

    The event tells the identity of each object and what its end has altered.
    """
    course: Course[BodyT] = Course(kind, context)
    for said, stored in await _found(message, context, kind, course):
        wanted = stored.body if said.body is None else merge(stored.body, kind.put(said.body, mrid=stored.mrid))
        verdict = await alter(said, stored, wanted)
        if verdict.stored is not None:
            bare = kind.identity_only(kind.put(verdict.stored.body, mrid=stored.mrid))
            altered = difference(stored.body, verdict.stored.body)
            shown = bare if altered is None else merge(bare, altered)
            verdict = msgspec.structs.replace(verdict, shown=kind.told(shown, verdict.stored.body, with_state=True))
        await course.settle(verdict)
    return course


async def delete_each(
    message: RequestMessage,
    context: ServingContext,
    kind: Kind[BodyT],
    is_free: Callable[[Stored[BodyT]], bool],
    release: Callable[[Stored[BodyT]], Awaitable[None]] | None = None,
) -> Course[BodyT]:
    """Objects that a delete names: dropped where `is_free` says they have not begun or have ended, else LIF-101.

    `release` gives back what a dropped object held.
    """
    course: Course[BodyT] = Course(kind, context)
    for said, stored in await _found(message, context, kind, course):
        if not is_free(stored):
            course.refuse(
                refused(
                    "LIF-101",
                    said,
                    kind,
                    f"{kind.item_name} {stored.mrid} is {stored.state} and cannot be deleted",
                    "an object that has not begun or has ended; cancel or close it first",
                    "IEC 61968-100:2013, verb delete",
                )
            )
            continue
        await context.records.drop(kind.collection, stored.mrid)
        if release is not None:
            await release(stored)
        course.accept(stored.mrid, kind.identity_only(kind.put(stored.body, mrid=stored.mrid)))
    return course


async def _found(
    message: RequestMessage | EventMessage, context: ServingContext, kind: Kind[BodyT], course: Course[BodyT]
) -> tuple[tuple[Said[BodyT], Stored[BodyT]], ...]:
    """Objects that a message names, each once however often it is named; the value says more than the ID."""
    found: dict[MRID, tuple[Said[BodyT], Stored[BodyT]]] = {}
    for said in said_or_named_in(message, kind):
        stored = await find_said(context.records, kind, said)
        if isinstance(stored, Finding):
            course.refuse(stored)
        elif stored.mrid not in found or said.body is not None:
            found[stored.mrid] = (said, stored)
    return tuple(found.values())
