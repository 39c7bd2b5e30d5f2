"""What a system keeps of the objects of others, by what their events tell.

An event may come twice, late or out of order. So objects are kept by identity, and of two values of a member the one
that was told later holds: lastModifiedDateTime decides, failing that Header/Timestamp. An older event only fills gaps.
`changed` for an object not known so far is kept as far as it goes. Of a deleted object its identity stays, so that an
event which comes late does not bring it back.

Source: IEC 61968-100:2013 for events; handling by identity and time is our rule.
"""

from datetime import datetime
from typing import TypeVar

import msgspec

from cimcare.exchange.ports import EventHandler, Served, ServingContext, Stored
from cimcare.model.enumerations import WorkStatusKind
from cimcare.model.envelope import EventMessage, IDKind
from cimcare.model.identity import MRID, Name, NameType, NameTypeAuthority
from cimcare.model.nouns import Noun
from cimcare.model.structure import Structure
from cimcare.model.values import Status
from cimcare.model.verbs import Verb
from cimcare.rules.lifecycle import AgreementState, IncidentState, TicketState, is_ended_state
from cimcare.systems.identity import Label, label_of_id, mrid_of
from cimcare.systems.merging import merge
from cimcare.systems.objects import Kind, Said, as_utc, find_by_id, find_by_names, refused, said_or_named_in, unknown
from cimcare.systems.removing import left_of
from cimcare.systems.serving import Course

__all__ = ["DELETED", "keep_told", "listeners_of"]

BodyT = TypeVar("BodyT", bound=Structure)

DELETED = "deleted"
"""State of what is left of an object that its owner has deleted."""

_TOLD_BY = (Verb.CREATED, Verb.CHANGED, Verb.CANCELED, Verb.CLOSED, Verb.DELETED)

_CLOSED: dict[Noun, str] = {
    Noun.TROUBLE_TICKETS: TicketState.RESOLVED,
    Noun.INCIDENTS: IncidentState.CLOSED,
    Noun.CUSTOMER_AGREEMENTS: AgreementState.ENDED,
}


def listeners_of(kind: Kind[BodyT]) -> dict[tuple[Verb, Noun], EventHandler]:
    """Handlers that keep what the events of one noun tell."""

    async def keep(message: EventMessage, context: ServingContext) -> Served:
        """Keep what is told."""
        return await keep_told(message, context, kind)

    return {(verb, kind.noun): keep for verb in _TOLD_BY}


async def keep_told(message: EventMessage, context: ServingContext, kind: Kind[BodyT]) -> Served:
    """Keep what an event tells of each of its objects."""
    course: Course[BodyT] = Course(kind, context)
    verb = message.header.verb
    for said in said_or_named_in(message, kind):
        body = said.body if said.body is not None else _named(said, kind)
        if not kind.identity_of(body):
            course.refuse(refused("REF-101", said, kind, f"a {kind.item_name} without identity", "mRID or Names/name"))
            continue
        known = await _find_known(said, body, context, kind)
        modified_at = None if context.removes else getattr(kind.core(body), "last_modified_date_time", None)
        stamp = modified_at or message.header.timestamp
        told_at = as_utc(stamp if isinstance(stamp, datetime) else None) or context.now
        if context.removes:
            if known is None or known.state == DELETED:
                course.refuse(unknown(kind, said))
                continue
            stored = _reduced(known, body, told_at, kind)
        else:
            stored = await _kept(known, body, verb, told_at, context, kind)
        if stored is not None:
            if known is not None and known.mrid != stored.mrid:
                await context.records.drop(kind.collection, known.mrid)
            await context.records.save(kind.collection, stored)
        kept = stored or known
        if kept is not None:
            course.accept(kept.mrid, None)
    return course.served(verb)


def _named(said: Said[BodyT], kind: Kind[BodyT]) -> BodyT:
    """An object of which an event gives the ID alone."""
    identifier = said.id
    label = label_of_id(identifier) if identifier is not None else Label("", "", "")
    core = kind.item()
    if identifier is not None and (identifier.kind is IDKind.uuid or (identifier.kind is None and not label.type)):
        return kind.alone(msgspec.structs.replace(core, mrid=MRID(label.name)))
    authority = NameTypeAuthority(name=label.authority) if label.authority else None
    scheme = NameType(name=label.type, name_type_authority=authority) if label.type else None
    return kind.alone(msgspec.structs.replace(core, names=(Name(name=label.name, name_type=scheme),)))


async def _find_known(
    said: Said[BodyT], body: BodyT, context: ServingContext, kind: Kind[BodyT]
) -> Stored[BodyT] | None:
    """The object as far as it is known; by a name also where its mRID was not told so far."""
    if said.id is not None:
        found = await find_by_id(context.records, kind, said.id)
        return found[0] if len(found) == 1 else None
    mrid = mrid_of(kind.core(body))
    if mrid:
        stored = await context.records.find(kind.collection, mrid)
        if stored is not None:
            return stored
    named = await find_by_names(context.records, kind, kind.labels(body))
    if mrid:
        named = tuple(stored for stored in named if mrid_of(kind.core(stored.body)) is None)
    return named[0] if len(named) == 1 else None


async def _kept(
    known: Stored[BodyT] | None,
    body: BodyT,
    verb: Verb,
    told_at: datetime,
    context: ServingContext,
    kind: Kind[BodyT],
) -> Stored[BodyT] | None:
    """The object as it is to be kept; None if the event brings nothing new."""
    is_newer = known is None or told_at >= known.modified_at
    is_gone = known is not None and known.state == DELETED
    if is_gone and not (is_newer and verb is Verb.CREATED):
        return None
    merged = body
    if known is not None and not is_gone:
        merged = merge(known.body, body) if is_newer else merge(body, known.body)
    if verb is Verb.DELETED:
        merged = kind.identity_only(merged)
    state = _state_after(verb, body, "" if known is None or is_gone else known.state, kind, is_newer=is_newer)
    if known is not None and merged == known.body and state == known.state and told_at <= known.modified_at:
        return None
    mrid = mrid_of(kind.core(merged)) or (known.mrid if known is not None else MRID(context.new_id()))
    return Stored(
        mrid=mrid,
        body=merged,
        created_at=known.created_at if known is not None else told_at,
        modified_at=told_at if known is None else max(told_at, known.modified_at),
        state=state,
        keys=kind.name_keys(merged),  # a copy is looked up by its identity alone
    )


def _reduced(known: Stored[BodyT], doomed: BodyT, told_at: datetime, kind: Kind[BodyT]) -> Stored[BodyT] | None:
    """The object without what was removed from it; None if nothing of that is there, or if later things are known."""
    left = left_of(known.body, kind.put(doomed, last_modified_date_time=None), kind)
    if told_at < known.modified_at or left == known.body:
        return None
    return msgspec.structs.replace(known, body=left, modified_at=told_at, keys=kind.name_keys(left))


def _state_after(verb: Verb, body: BodyT, known: str, kind: Kind[BodyT], *, is_newer: bool) -> str:
    """State after an event. An end is final, whenever it was told; else the event that was told last decides."""
    if verb is Verb.DELETED:
        return DELETED
    if known and is_ended_state(kind.noun, known):
        return known
    if verb is Verb.CANCELED:
        return WorkStatusKind.cancelled  # the literal is that of every noun
    if verb is Verb.CLOSED:
        return _CLOSED.get(kind.noun, WorkStatusKind.closed)
    core = kind.core(body)
    status = getattr(core, "status_kind", None) or getattr(core, "status", None)
    told = status.value if isinstance(status, Status) else status
    return told if isinstance(told, str) and told and (is_newer or not known) else known
