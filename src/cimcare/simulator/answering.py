"""What a simulated partner answers when it plays well, and what it tells others afterwards.

`Agreeable` does whatever it is asked, keeps nothing and knows every object: a stand-in for any system. `Books` is one
role as the standard has it: it serves the nouns that the role owns, and what was created can be got, changed and ended.

Pure but for what `Books` keeps in memory. Source: IEC 61968-100:2013 for verbs, replies and events; which role owns
which noun, and the states, are our reading of IEC 61968-8:2015.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Protocol
from uuid import NAMESPACE_URL, uuid5

import msgspec

from cimcare.model.enumerations import WorkStatusKind
from cimcare.model.envelope import (
    EventMessage,
    Header,
    IDKind,
    ObjectID,
    Operation,
    OperationSet,
    Payload,
    Reply,
    ReplyError,
    RequestMessage,
    ResponseMessage,
    Result,
)
from cimcare.model.identity import MRID, CorrelationID, MessageID
from cimcare.model.nouns import NOUNS, NounEntry, PayloadRoot, Query, Role, find_noun
from cimcare.model.structure import Structure, elements_of
from cimcare.model.values import Status
from cimcare.model.verbs import EVENT_OF, Verb
from cimcare.samples import build_payload
from cimcare.simulator.forms import Spoken

__all__ = ["Agreeable", "Answering", "Books", "Outcome", "build_reply", "objects_of", "reply_id"]

FINE = ReplyError(code="0.0")
_ENDS = frozenset({Verb.CANCEL, Verb.CLOSE})
_STATES = {Verb.CANCEL: "cancelled", Verb.CLOSE: "closed"}
_CLOSED_WORDS = {"TroubleTickets": "resolved", "CustomerAgreements": "ended"}
_FIRST_WORDS = {"CustomerAgreements": "active"}
_WORK_STATES = {
    "open": WorkStatusKind.approved,
    "closed": WorkStatusKind.closed,
    "cancelled": WorkStatusKind.cancelled,
}
_KEPT_REPLIES = 50_000
"""How many replies are kept for messages that come again."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What is answered, and what is told to others once it is."""

    reply: ResponseMessage
    event: EventMessage | None = None


class Answering(Protocol):
    """Does what a message asks for."""

    def do(self, message: Spoken, *, now: datetime) -> Outcome:
        """Do it; the same message again gives the same reply, and no event."""


def reply_id(name: str, source: str, message_id: str, code: str, number: int = 0) -> MessageID:
    """MessageID of a reply: the same for the same message."""
    return MessageID(str(uuid5(NAMESPACE_URL, f"{name} {source} {message_id} {code} {number}")))


def build_reply(
    name: str,
    message: Spoken,
    result: Result,
    *errors: ReplyError,
    ids: tuple[ObjectID, ...] = (),
    payload: Payload | None = None,
    number: int = 0,
) -> ResponseMessage:
    """A reply to a message, the same for the same message. `number` tells replies to one message apart."""
    header = message.header
    correlation_id = header.correlation_id or header.message_id
    code = errors[0].code if errors else ""
    return ResponseMessage(
        header=Header(
            verb=Verb.REPLY,
            noun=header.noun,
            context=header.context,
            source=name,
            message_id=reply_id(name, header.source or "", header.message_id or "", code, number),
            correlation_id=CorrelationID(correlation_id) if correlation_id else None,
        ),
        reply=Reply(result=result, error=errors, id=ids),
        payload=payload,
    )


def objects_of(message: Spoken) -> tuple[str, ...]:
    """`<Noun> <mRID>` and `<Noun> <name>` of the objects of a message, and `<Noun> <ID>` of its IDs; sorted."""
    found: set[str] = set()
    payload = message.payload
    contents: list[object] = []
    given: tuple[ObjectID, ...] = ()
    if payload is not None:
        contents = [*payload.content]
        given = payload.id
        if payload.operation_set is not None:
            contents += [operation.content for operation in payload.operation_set.operation]
    for root in contents:
        if isinstance(root, PayloadRoot):
            for item in _items_of(root):
                found.update(f"{root.XML_TYPE} {text.strip()}" for text in _identities(item) if text.strip())
    if isinstance(message, RequestMessage) and message.request is not None:
        given = (*given, *message.request.id)
    elif isinstance(message, ResponseMessage):
        given = (*given, *message.reply.id)
    entry = find_noun(message.header.noun, aliases=True)
    noun = entry.noun if entry is not None else message.header.noun
    found.update(f"{noun} {identifier.value.strip()}" for identifier in given if identifier.value.strip())
    return tuple(sorted(found))


_ENTRY_OF: dict[type[Structure], NounEntry] = {entry.payload: entry for entry in NOUNS.values()}


def _items_of(root: PayloadRoot) -> tuple[Structure, ...]:
    items: tuple[Structure, ...] = getattr(root, _ENTRY_OF[type(root)].item)
    return items


def _identities(item: Structure) -> Iterator[str]:
    """The mRID of an object and its names."""
    mrid = getattr(item, "mrid", None)
    if mrid:
        yield mrid
    for name in getattr(item, "names", ()):
        yield name.name


def _ids_of(message: Spoken) -> tuple[ObjectID, ...]:
    """IDs of the objects of a transaction."""
    if message.header.verb is Verb.GET or not isinstance(message, RequestMessage):
        return ()
    if message.request is not None and message.request.id:
        return message.request.id
    roots = message.payload.content if message.payload is not None else ()
    return tuple(
        ObjectID(value=mrid, kind=IDKind.uuid)
        for root in roots
        if isinstance(root, PayloadRoot)
        for item in _items_of(root)
        if (mrid := getattr(item, "mrid", None))
    )


class Agreeable:
    """Does whatever it is asked: OK with the IDs of the message; of a get, a sample object."""

    def __init__(self, name: str) -> None:
        self._name = name

    def do(self, message: Spoken, *, now: datetime) -> Outcome:
        """Answer; nothing is kept and nothing told."""
        del now
        payload: Payload | None = None
        entry = find_noun(message.header.noun)
        if message.header.verb is Verb.GET and entry is not None:
            payload = Payload(content=(build_payload(entry.noun),))
        return Outcome(reply=build_reply(self._name, message, Result.OK, FINE, ids=_ids_of(message), payload=payload))


# ------------------------------------------------------------------------------------------------------------- books


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One object: its body, its state in a word, and all identities in it, its own and those it refers to."""

    body: Structure
    state: str
    within: frozenset[str]


class _RefusedError(Exception):
    """One object or operation is refused."""

    def __init__(self, code: str, reason: str, details: str = "") -> None:
        super().__init__(reason)
        self.error = ReplyError(code=code, reason=reason, details=details or None)


class _Done(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the objects of one verb and noun."""

    told: tuple[Structure, ...]
    ids: tuple[ObjectID, ...]
    errors: tuple[ReplyError, ...]


class Books:
    """The objects that a role is master of.

    Args:
        name: Header/Source.
        role: Whose nouns are served.
        knows_all: Whether a request about an object that is not there is done all the same, as if it had been there.
    """

    def __init__(self, name: str, role: Role, *, knows_all: bool = False) -> None:
        self._name = name
        self._role = role
        self._knows_all = knows_all
        self._objects: dict[str, dict[str, _Kept]] = {entry.noun: {} for entry in NOUNS.values() if entry.owner is role}
        self._mrids: dict[tuple[str, str], str] = {}
        self._replies: dict[tuple[str, str], ResponseMessage] = {}

    @property
    def counts(self) -> dict[str, int]:
        """How many objects of each noun there are."""
        return {noun: len(kept) for noun, kept in self._objects.items()}

    def do(self, message: Spoken, *, now: datetime) -> Outcome:
        """Do it, and say what came of it and what is told to others."""
        header = message.header
        key = (header.source or "", header.message_id or "")
        if header.message_id and key in self._replies:
            return Outcome(reply=self._replies[key])
        if isinstance(message, RequestMessage):
            outcome = self._serve(message, now)
        else:
            outcome = Outcome(reply=build_reply(self._name, message, Result.OK, FINE))
        if header.message_id and outcome.reply.reply.result is not Result.FAILED:
            self._replies[key] = outcome.reply
            if len(self._replies) > _KEPT_REPLIES:
                del self._replies[next(iter(self._replies))]
        return outcome

    def _serve(self, message: RequestMessage, now: datetime) -> Outcome:
        header = message.header
        try:
            if header.verb is Verb.EXECUTE:
                return self._execute(message, now)
            entry = self._require(header.noun)
            if header.verb is Verb.GET:
                return Outcome(reply=self._get(message, entry))
            if header.verb not in EVENT_OF:
                raise _RefusedError("2.9", f"verb {header.verb} is not served in a request")
            items = self._items(message, entry)
            done = self._apply(header.verb, entry, items, message, now)
        except _RefusedError as refused:
            return Outcome(reply=build_reply(self._name, message, Result.FAILED, refused.error))
        if not done.told:
            return Outcome(reply=build_reply(self._name, message, Result.FAILED, *done.errors))
        result = Result.PARTIAL if done.errors else Result.OK
        reply = build_reply(self._name, message, result, *(done.errors or (FINE,)), ids=done.ids)
        event = self._event(message, Payload(content=(_root(entry, done.told),)), now)
        return Outcome(reply=reply, event=event)

    def _require(self, noun: str) -> NounEntry:
        entry = find_noun(noun, aliases=True)
        if entry is None or entry.noun not in self._objects:
            raise _RefusedError("2.5", f"noun {noun} is not served", f"served are {', '.join(self._objects)}")
        return entry

    def _items(self, message: RequestMessage, entry: NounEntry) -> list[Structure]:
        """The objects that a request names: in full, or by identifier alone."""
        roots = message.payload.content if message.payload is not None else ()
        items = [item for root in roots if type(root) is entry.payload for item in _items_of(root)]
        named = message.request.id if message.request is not None else ()
        if named and message.header.verb in (*_ENDS, Verb.DELETE):
            kind = next(each.kind for each in elements_of(entry.payload) if each.field == entry.item)
            said = {text for item in items for text in _identities(item)}
            items += [kind(mrid=MRID(one.value)) for one in named if one.value not in said]
        if not items:
            raise _RefusedError("1.7", "no object is named", f"a payload {entry.noun}, or Request/ID")
        return items

    def _apply(
        self, verb: Verb, entry: NounEntry, items: list[Structure], message: RequestMessage, now: datetime
    ) -> _Done:
        told, ids, errors = [], [], []
        for number, item in enumerate(items):
            try:
                if verb is Verb.CREATE:
                    kept = self._create(entry, item, f"{message.header.source} {message.header.message_id} {number}")
                else:
                    kept = self._alter(verb, entry, item, now)
            except _RefusedError as refused:
                errors.append(refused.error)
                continue
            told.append(kept.body)
            mrid = str(kept.body.mrid)  # type: ignore[attr-defined]  # each kind of object has one
            ids.append(ObjectID(value=mrid, kind=IDKind.uuid, object_type=entry.item_name))
        return _Done(told=tuple(told), ids=tuple(ids), errors=tuple(errors))

    def _create(self, entry: NounEntry, item: Structure, origin: str) -> _Kept:
        if any((entry.noun, text) in self._mrids for text in _identities(item)):
            raise _RefusedError("6.1", f"{entry.item_name} exists already")
        mrid = getattr(item, "mrid", None) or MRID(str(uuid5(NAMESPACE_URL, f"{self._name} {origin}")))
        state = _FIRST_WORDS.get(entry.noun, "open")
        return self._keep(entry, _with_state(msgspec.structs.replace(item, mrid=mrid), state, None), state)

    def _alter(self, verb: Verb, entry: NounEntry, item: Structure, now: datetime) -> _Kept:
        mrid = next((found for text in _identities(item) if (found := self._mrids.get((entry.noun, text)))), None)
        if mrid is None:
            if not self._knows_all or not any(_identities(item)):
                raise _RefusedError("2.15", f"{entry.item_name} is not known")
            mrid = str(self._create(entry, item, "known before").body.mrid)  # type: ignore[attr-defined]
        kept = self._objects[entry.noun][mrid]
        if verb is Verb.DELETE:
            self._drop(entry, mrid)
            return kept
        if kept.state in ("closed", "cancelled"):
            raise _RefusedError("6.1", f"{entry.item_name} is {kept.state} already")
        body = _merged(kept.body, msgspec.structs.replace(item, mrid=MRID(mrid)))
        if verb not in _ENDS:
            return self._keep(entry, body, kept.state)
        return self._keep(entry, _with_state(body, _word_of(entry, _STATES[verb]), now), _STATES[verb])

    def _keep(self, entry: NounEntry, body: Structure, state: str) -> _Kept:
        kept = _Kept(body=body, state=state, within=frozenset(_all_identities(body)))
        mrid = str(body.mrid)  # type: ignore[attr-defined]
        self._objects[entry.noun][mrid] = kept
        for text in _identities(body):
            self._mrids[entry.noun, text] = mrid
        return kept

    def _drop(self, entry: NounEntry, mrid: str) -> None:
        del self._objects[entry.noun][mrid]
        self._mrids = {key: value for key, value in self._mrids.items() if (key[0], value) != (entry.noun, mrid)}

    # --------------------------------------------------------------------------------------------------------- get

    def _get(self, message: RequestMessage, entry: NounEntry) -> ResponseMessage:
        request = message.request
        found = self._objects[entry.noun]
        if request is not None and request.id:
            mrids = {self._mrids.get((entry.noun, one.value)) for one in request.id}
            chosen = [kept.body for mrid, kept in found.items() if mrid in mrids]
            if not chosen:
                raise _RefusedError("2.15", f"{entry.item_name} is not known")
        else:
            query = request.query if request is not None else None
            chosen = [kept.body for kept in found.values() if _fits(kept, query, entry)]
        payload = Payload(content=(_root(entry, tuple(chosen)),)) if chosen else None
        return build_reply(self._name, message, Result.OK, FINE, payload=payload)

    # ------------------------------------------------------------------------------------------------- OperationSet

    def _execute(self, message: RequestMessage, now: datetime) -> Outcome:
        operations = message.payload.operation_set if message.payload is not None else None
        if operations is None or not operations.operation:
            raise _RefusedError("1.7", "no operation is there")
        before = ({noun: dict(kept) for noun, kept in self._objects.items()}, dict(self._mrids))
        done: list[Operation] = []
        ids: list[ObjectID] = []
        errors: list[ReplyError] = []
        for operation in operations.operation:
            try:
                result = self._operate(operation, message, now)
            except _RefusedError as refused:
                errors.append(msgspec.structs.replace(refused.error, operation_id=operation.operation_id))
                continue
            errors += [msgspec.structs.replace(one, operation_id=operation.operation_id) for one in result.errors]
            ids += result.ids
            if result.told:
                entry = self._require(operation.noun or "")
                verb = Verb.CHANGED if operation.element_operation else EVENT_OF[Verb(operation.verb or "")]
                content = _root(entry, result.told)
                done.append(msgspec.structs.replace(operation, verb=verb, element_operation=None, content=content))
        if not done or (errors and operations.enforce_transactional_integrity):
            self._objects, self._mrids = before
            return Outcome(reply=build_reply(self._name, message, Result.FAILED, *(errors or [FINE])))
        result_of_all = Result.PARTIAL if errors else Result.OK
        reply = build_reply(self._name, message, result_of_all, *(errors or [FINE]), ids=tuple(ids))
        told = Payload(operation_set=OperationSet(operation=tuple(done)))
        return Outcome(reply=reply, event=self._event(message, told, now))

    def _operate(self, operation: Operation, message: RequestMessage, now: datetime) -> _Done:
        entry = self._require(operation.noun or "")
        root = operation.content
        if operation.verb not in EVENT_OF or operation.verb == Verb.EXECUTE:
            raise _RefusedError("2.9", f"verb {operation.verb} is not served in an operation")
        if type(root) is not entry.payload:
            raise _RefusedError("1.7", f"no {entry.noun} is there")
        items = list(_items_of(root))
        verb = Verb(operation.verb)
        if not operation.element_operation:
            return self._apply(verb, entry, items, message, now)
        if verb is Verb.DELETE:
            return self._remove(entry, items)
        return self._apply(Verb.CHANGE, entry, items, message, now)

    def _remove(self, entry: NounEntry, items: list[Structure]) -> _Done:
        """Remove the members that an operation on elements names; objects themselves stay."""
        told = []
        for item in items:
            mrid = next((found for text in _identities(item) if (found := self._mrids.get((entry.noun, text)))), None)
            if mrid is None:
                raise _RefusedError("2.15", f"{entry.item_name} is not known")
            kept = self._objects[entry.noun][mrid]
            given = {field for field, value in _given(item).items() if field not in ("mrid", "names") and value}
            empty = {each.field: () if each.many else None for each in elements_of(type(item)) if each.field in given}
            told.append(self._keep(entry, msgspec.structs.replace(kept.body, **empty), kept.state).body)
        return _Done(told=tuple(told), ids=(), errors=())

    def _event(self, message: RequestMessage, payload: Payload, now: datetime) -> EventMessage:
        header = message.header
        verb = EVENT_OF[header.verb]
        correlation_id = header.correlation_id or header.message_id
        return EventMessage(
            header=Header(
                verb=verb,
                noun=header.noun,
                context=header.context,
                timestamp=now,
                source=self._name,
                message_id=reply_id(self._name, header.source or "", header.message_id or "", verb),
                correlation_id=CorrelationID(correlation_id) if correlation_id else None,
            ),
            payload=payload,
        )


def _root(entry: NounEntry, items: tuple[Structure, ...]) -> PayloadRoot:
    values: dict[str, object] = {entry.item: items}
    return msgspec.structs.replace(entry.payload(), **values)


def _given(item: Structure) -> Mapping[str, object]:
    return {field: value for field in item.__struct_fields__ if (value := getattr(item, field)) not in (None, ())}


def _merged(old: Structure, new: Structure) -> Structure:
    """What was there, with what is given now in its place."""
    return msgspec.structs.replace(old, **{each: value for each, value in _given(new).items() if each != "extensions"})


def _word_of(entry: NounEntry, state: str) -> str:
    return _CLOSED_WORDS.get(entry.noun, state) if state == "closed" else state


def _with_state(body: Structure, state: str, now: datetime | None) -> Structure:
    fields = body.__struct_fields__
    if "status_kind" in fields:
        kind = next((_WORK_STATES[word] for word in _WORK_STATES if word == state), None)
        return body if kind is None else msgspec.structs.replace(body, status_kind=kind)
    return msgspec.structs.replace(body, status=Status(value=state, date_time=now))


def _all_identities(value: Structure) -> Iterator[str]:
    """MRIDs and names of an object and of everything in it."""
    yield from _identities(value)
    for field in value.__struct_fields__:
        inner = getattr(value, field)
        for each in inner if isinstance(inner, tuple) else (inner,):
            if isinstance(each, Structure):
                yield from _all_identities(each)


def _fits(kept: _Kept, query: Query | None, entry: NounEntry) -> bool:
    """Whether an object is among those that a query asks for; identities and states count."""
    if query is None:
        return True
    own: set[str] = set()
    states: set[str] = set()
    others: set[str] = set()
    for field in query.__struct_fields__:
        for each in getattr(query, field) if isinstance(getattr(query, field), tuple) else ():
            if not isinstance(each, Structure):
                continue
            (own if field == entry.item else others).update(_all_identities(each))
            if field == entry.item and (state := getattr(each, "state", None)):
                states.add(str(state))
    word = _word_of(entry, kept.state)
    return (
        (not own or not own.isdisjoint(_identities(kept.body)))
        and (not states or kept.state in states or word in states)
        and (not others or not others.isdisjoint(kept.within))
    )
