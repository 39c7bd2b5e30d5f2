"""What deciding about a message needs of its content: objects, premises, areas, urgency.

Pure. It runs for every message, so the members that lead to the classes in question are worked out once for all types
of a payload, and nothing else of it is looked at. A compressed payload shows nothing.
"""

import unicodedata
from collections.abc import Callable, Iterator
from hashlib import sha256
from itertools import chain

import msgspec

from cimcare.exchange.outbox import Priority
from cimcare.model.envelope import EventMessage, ObjectID, Payload, RequestMessage, ResponseMessage
from cimcare.model.nouns import ENTRIES, PayloadRoot, find_noun
from cimcare.model.structure import Structure, elements_of
from cimcare.model.verbs import EVENT_OF, Verb

__all__ = ["LONGEST_KEY", "Facts", "Subjects", "facts_of", "fold", "object_keys_of", "priority_of", "subjects_of"]

LONGEST_KEY = 200
"""Characters of an object key; in place of a longer one stands its beginning with a digest of all of it."""

_PREMISES = frozenset({"ServiceLocation", "UsagePoint"})
_ACCOUNTS = frozenset({"Customer", "CustomerAccount", "CustomerAgreement"})
_AREA_PARTS = {"StreetAddress": ("postal_code",), "TownDetail": ("name", "section", "state_or_province", "code")}
_NO_NEED = frozenset({"", "-", "0", "false", "n", "n/a", "na", "no", "none", "nil"})
"""Customer.specialNeed of those who have none; it was a yes or no before it became a text."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What an event is about. `premises` and `areas` are as `fold` gives them; `operations` those of an `executed`."""

    verb: Verb
    noun: str
    source: str
    operations: tuple[tuple[Verb, str], ...] = ()
    premises: frozenset[str] = frozenset()
    areas: frozenset[str] = frozenset()
    properties: tuple[tuple[str, str], ...] = ()


def fold(text: str) -> str:
    """A text such that two which people take for the same are equal: without case, blanks at the ends, and forms."""
    if text.isascii():
        return text.strip().lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold()).strip()


# ------------------------------------------------------------------------------------------------------------ routes

_Routes = dict[type[Structure], tuple[tuple[str, bool], ...]]
"""For each type, the members that lead to a type in question: field, and whether it may occur more than once."""


def _routes_to(is_wanted: Callable[[type[Structure]], bool]) -> _Routes:
    """Routes from the payload roots; a type that is wanted or leads nowhere has no entry or an empty one."""
    children: dict[type[Structure], list[tuple[str, bool, type[Structure]]]] = {}
    waiting: list[type[Structure]] = [entry.payload for entry in ENTRIES]
    while waiting:
        at = waiting.pop()
        if at not in children:
            children[at] = [(each.field, each.many, each.kind) for each in elements_of(at) if each.is_complex]
            waiting.extend(kind for *_, kind in children[at])
    leading = {kind for kind in children if is_wanted(kind)}
    while True:
        more = {kind for kind, inner in children.items() if any(to in leading for *_, to in inner)} - leading
        if not more:
            break
        leading |= more
    return {
        kind: tuple((field, many) for field, many, to in inner if to in leading)
        for kind, inner in children.items()
        if kind in leading
    }


def _is_place(kind: type[Structure]) -> bool:
    return kind.CIM_CLASS in _PREMISES or bool(_area_parts(kind))


def _area_parts(kind: type[Structure]) -> tuple[str, ...]:
    """Members that name an area; a noun does not show all of them."""
    return tuple(part for part in _AREA_PARTS.get(kind.CIM_CLASS or "", ()) if part in kind.__struct_fields__)


def _is_danger(kind: type[Structure]) -> bool:
    return kind.CIM_CLASS == "IncidentHazard"


def _has_need(kind: type[Structure]) -> bool:
    return "special_need" in kind.__struct_fields__


_TO_PLACES = _routes_to(_is_place)
_TO_SUBJECTS = _routes_to(lambda kind: kind.CIM_CLASS in _PREMISES or kind.CIM_CLASS in _ACCOUNTS)
_TO_DANGERS = _routes_to(_is_danger)
_TO_NEEDS = _routes_to(_has_need)
_PREMISES_TYPES = frozenset(kind for kind in _TO_PLACES if kind.CIM_CLASS in _PREMISES)
_ACCOUNT_TYPES = frozenset(kind for kind in _TO_SUBJECTS if kind.CIM_CLASS in _ACCOUNTS)
_SUBJECT_TYPES = _PREMISES_TYPES | _ACCOUNT_TYPES
_AREAS = {kind: parts for kind in _TO_PLACES if (parts := _area_parts(kind))}
_PLACE_TYPES = _PREMISES_TYPES | frozenset(_AREAS)
_DANGER_TYPES = frozenset(kind for kind in _TO_DANGERS if _is_danger(kind))
_NEED_TYPES = frozenset(kind for kind in _TO_NEEDS if _has_need(kind))


def _walk(waiting: list[Structure], routes: _Routes, wanted: frozenset[type[Structure]]) -> Iterator[Structure]:
    """The values of wanted types at and below those that wait; the list is used up."""
    while waiting:
        at = waiting.pop()
        kind = type(at)
        if kind in wanted:
            yield at
        for field, many in routes.get(kind, ()):
            found = getattr(at, field)
            if found:
                if many:
                    waiting.extend(found)
                else:
                    waiting.append(found)


def _contents(payload: Payload | None) -> list[Structure]:
    """Payload elements of known nouns, those of all operations included."""
    if payload is None:
        return []
    within = payload.operation_set.operation if payload.operation_set is not None else ()
    found = chain(payload.content, (operation.content for operation in within))
    return [each for each in found if isinstance(each, PayloadRoot)]


# ------------------------------------------------------------------------------------------------------------- facts


def facts_of(message: EventMessage) -> Facts:
    """What an event is about.

    Of an `executed` each operation counts with the verb of its event; one on elements inside an object is a change of
    that object. Premises are mRIDs and names of all service locations and usage points in the payload; areas are town,
    section, town code, state or province, and postal code of all addresses, those of customers included.
    """
    header = message.header
    premises: set[str] = set()
    areas: set[str] = set()
    for place in _walk(_contents(message.payload), _TO_PLACES, _PLACE_TYPES):
        if type(place) in _PREMISES_TYPES:
            premises.update(map(fold, _identity_of(place)))
        else:
            areas.update(fold(value) for part in _AREAS[type(place)] if (value := getattr(place, part)))
    premises.discard("")
    areas.discard("")
    return Facts(
        verb=header.verb,
        noun=_plain(header.noun),
        source=header.source or "",
        operations=_operations_of(message.payload),
        premises=frozenset(premises),
        areas=frozenset(areas),
        properties=tuple((each.name, each.value or "") for each in header.property),
    )


def _operations_of(payload: Payload | None) -> tuple[tuple[Verb, str], ...]:
    if payload is None or payload.operation_set is None:
        return ()
    found = []
    for operation in payload.operation_set.operation:
        noun = operation.noun or (operation.content.XML_TYPE if isinstance(operation.content, PayloadRoot) else "")
        if operation.verb in _VERBS and noun:
            verb = Verb(operation.verb)
            found.append((Verb.CHANGED if operation.element_operation else EVENT_OF.get(verb, verb), _plain(noun)))
    return tuple(dict.fromkeys(found))


_VERBS = frozenset(Verb)


def _plain(noun: str) -> str:
    """The noun by its own name, where it goes by another."""
    entry = find_noun(noun, aliases=True)
    return noun if entry is None else entry.noun.value


def _identity_of(value: Structure) -> Iterator[str]:
    """The mRID of an object, and its names."""
    mrid = getattr(value, "mrid", None)
    if mrid:
        yield mrid
    for name in getattr(value, "names", ()):
        yield name.name


# ---------------------------------------------------------------------------------------------------------- subjects


class Subjects(msgspec.Struct, frozen=True, kw_only=True):
    """What a message is searched by: mRIDs and names, as they stand in it.

    `premises` are service locations and usage points; `accounts` customers, their accounts and agreements; `objects`
    stand directly in the payload, each with all that it is called, those without identity left out; `references` are
    IDs in request, reply and payload.
    """

    premises: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()
    objects: tuple[tuple[str, ...], ...] = ()
    references: tuple[str, ...] = ()


def subjects_of(message: RequestMessage | EventMessage | ResponseMessage) -> Subjects:
    """What a message is searched by."""
    contents = _contents(message.payload)
    objects = [tuple(_identity_of(value)) for root in contents for value in getattr(root, _ITEM_OF[type(root)])]
    premises: set[str] = set()
    accounts: set[str] = set()
    for subject in _walk(contents, _TO_SUBJECTS, _SUBJECT_TYPES):
        (premises if type(subject) in _PREMISES_TYPES else accounts).update(_identity_of(subject))
    return Subjects(
        premises=frozenset(premises),
        accounts=frozenset(accounts),
        objects=tuple(filter(None, objects)),
        references=tuple(identifier.value for identifier in _ids_of(message)),
    )


# ------------------------------------------------------------------------------------------------------- object keys


def object_keys_of(message: RequestMessage | EventMessage | ResponseMessage) -> tuple[str, ...]:
    """Keys of the business objects of a message, for the order of their deliveries; sorted, each once.

    `<Noun> <mRID>` and `<Noun> <name>` of every object that stands directly in the payload, of all operations of an
    OperationSet, and of every ID in request, reply and payload. Objects further inside are only referred to. Empty for
    a message without any identity: it waits for nobody.

    All objects have their keys, however many they are, since two messages are kept in order only where they share one:
    a few collective keys for a large message would let it overtake the small ones. Their number is bounded by that of
    the elements that a message may have.
    """
    keys: set[str] = set()
    for root in _contents(message.payload):
        noun = root.XML_TYPE
        for value in getattr(root, _ITEM_OF[type(root)]):
            keys.update(_key(noun, text) for text in _identity_of(value))
    noun = _plain(message.header.noun)
    keys.update(_key(noun, identifier.value) for identifier in _ids_of(message))
    keys.discard("")
    return tuple(sorted(keys))


def _ids_of(message: RequestMessage | EventMessage | ResponseMessage) -> tuple[ObjectID, ...]:
    """IDs of the payload, and of request or reply."""
    given = message.payload.id if message.payload is not None else ()
    if isinstance(message, RequestMessage) and message.request is not None:
        return (*given, *message.request.id)
    if isinstance(message, ResponseMessage):
        return (*given, *message.reply.id)
    return given


_ITEM_OF: dict[type[Structure], str] = {entry.payload: entry.item for entry in ENTRIES}


def _key(noun: str, text: str) -> str:
    """Key of an object; empty without identity."""
    identity = text.strip()
    key = f"{noun} {identity}"
    if not identity:
        return ""
    if len(key) > LONGEST_KEY or "\0" in key:  # what no index takes
        digest = sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        return f"{key[: LONGEST_KEY - len(digest) - 1].replace(chr(0), '?')} {digest}"
    return key


# ----------------------------------------------------------------------------------------------------------- urgency


def priority_of(message: RequestMessage | EventMessage | ResponseMessage) -> Priority:
    """How urgent a message is.

    HAZARD if a ticket or an incident of the payload reports a danger. The hazards of a location do not count: they
    warn the crew of a dog or of steep stairs, today and in ten years. LIFE_SUPPORT if a customer in the payload has a
    special need, whatever its words are, so long as they do not say that there is none.
    """
    contents = _contents(message.payload)
    if not contents:
        return Priority.NORMAL
    if next(_walk(contents.copy(), _TO_DANGERS, _DANGER_TYPES), None) is not None:
        return Priority.HAZARD
    for customer in _walk(contents, _TO_NEEDS, _NEED_TYPES):
        need = getattr(customer, "special_need", None)
        if need and fold(need) not in _NO_NEED:
            return Priority.LIFE_SUPPORT
    return Priority.NORMAL
