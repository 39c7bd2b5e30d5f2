"""Replaces everything in a message that could give somebody away, the same by the same throughout.

Whatever is not known to be harmless goes: a member is kept only if it is an enumeration, an instant, a yes or no, or
stands in the tables below with a word or a shape that says nothing of anybody. All other texts, free ones included, are
cut into tokens (runs of letters and digits; a UUID is one), and each token is replaced by one drawn with a key. So a
name is the same name wherever it occurs, also in the middle of a comment; numbers stay numbers, identifiers stay
apart, and references between messages hold. Elements that the model does not know are dropped.

Pure: the key comes in. Without the key nobody can tell which token stands for which.
"""

import hmac
import re
import string
from collections.abc import Callable, Iterable
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from uuid import UUID

import msgspec

from cimcare.model.enumerations import WorkStatusKind
from cimcare.model.envelope import EventMessage, Operation, Payload, Request, RequestMessage, ResponseMessage
from cimcare.model.nouns import NOUNS, find_noun
from cimcare.model.structure import Extension, Structure, elements_of
from cimcare.model.verbs import Verb

__all__ = ["DROPPED", "KEPT_NUMBERS", "Replacer", "is_harmless", "member_of"]

_SYSTEMS = frozenset({"CIS", "OMS", "WMS", "THIRD-PARTY"})
_STATES = frozenset(
    {"open", "resolved", "closed", "cancelled", "proposed", "active", "ended", *(one.value for one in WorkStatusKind)}
)
_NAME_TYPES = frozenset(
    {
        "AccountNumber",
        "AgreementNumber",
        "CrewName",
        "CustomerNumber",
        "DeviceNumber",
        "IncidentNumber",
        "LegalName",
        "MeterBadgeNumber",
        "MultiplierCode",
        "OperatorName",
        "OutageNumber",
        "PricingCode",
        "ProgrammeCode",
        "ServiceCategoryCode",
        "ServiceLocationNumber",
        "ServiceOrderNumber",
        "ServiceRequestNumber",
        "SupplierName",
        "SupplierNumber",
        "TariffCode",
        "TaskNumber",
        "TroubleTicketNumber",
        "UsagePointNumber",
        "WorkOrderNumber",
        "WorkRequestNumber",
    }
)
_ITEM_NAMES = frozenset(entry.item_name for entry in NOUNS.values())
_CONTEXTS = frozenset({"PRODUCTION", "TESTING", "DEVELOPMENT", "STUDY", "TRAINING"})
_NO_NEEDS = frozenset({"", "-", "0", "false", "n", "n/a", "na", "no", "none", "nil"})
_CONTACT_TYPES = frozenset({"phone", "email", "e-mail", "sms", "text", "letter"})


def _among(words: Iterable[str]) -> Callable[[str], bool]:
    return frozenset(words).__contains__


def _shaped(pattern: str) -> Callable[[str], bool]:
    shape = re.compile(pattern, re.ASCII)
    return lambda text: shape.fullmatch(text) is not None


_HARMLESS: dict[str, Callable[[str], bool]] = {
    "Header.Noun": lambda text: text == "OperationSet" or find_noun(text, aliases=True) is not None,
    "Header.Context": _among(_CONTEXTS),
    "Header.Revision": _shaped(r"\d{1,2}(\.\d{1,2}){0,2}"),
    "Header.Source": _among(_SYSTEMS),
    "Operation.noun": lambda text: find_noun(text, aliases=True) is not None,
    "Operation.verb": _among(verb.value for verb in Verb),
    "Payload.Format": _among({"XML", "JSON"}),
    "ObjectID.objectType": _among(_ITEM_NAMES),
    "ReplyError.code": _shaped(r"\d{1,2}\.\d{1,2}"),
    "NameType.name": _among(_NAME_TYPES),
    "Status.value": _among(_STATES),
    "TroubleTicketFilter.state": _among(_STATES),
    "IncidentFilter.state": _among(_STATES),
    "CustomerAgreementFilter.state": _among(_STATES),
    "Customer.specialNeed": lambda text: text.strip().lower() in _NO_NEEDS,
    "Customer.locale": _shaped(r"[a-z]{2}([-_][A-Z]{2})?"),
    "CustomerNotification.contactType": lambda text: text.lower() in _CONTACT_TYPES,
    "CoordinateSystem.crsUrn": _shaped(r"urn:ogc:def:crs:EPSG:[\d.]*:\d{4,5}"),
    **{
        f"ReadingType.{member}": _shaped(r"-?\d{1,3}")
        for member in (
            "accumulation",
            "aggregate",
            "commodity",
            "currency",
            "flowDirection",
            "macroPeriod",
            "measurementKind",
            "measuringPeriod",
            "multiplier",
            "phases",
            "unit",
        )
    },
}
"""Texts that are kept: by member, which words or shapes of it."""

KEPT_NUMBERS = frozenset(
    {
        "MeterMultiplier.value",
        "Operation.operationId",
        "PositionPoint.sequenceNumber",
        "Priority.rank",
        "ReadingType.consumptionTier",
        "ReadingType.cpp",
        "ReadingType.tou",
        "Reply.operationId",
        "ReplyError.operationId",
        "ServiceMultiplier.value",
        "ServicePointOutageSummary.criticalCount",
        "ServicePointOutageSummary.totalCount",
        "UsagePoint.nominalServiceVoltage",
        "UsagePoint.ratedCurrent",
    }
)
"""Numbers that are kept: counts, ranks, and what is printed on every device of a kind."""

DROPPED = frozenset(
    {"Header.ReplayDetection", "Header.ReplyAddress", "Payload.Compressed", "ReplyError.xpath", "ReplyError.stackTrace"}
)
"""Members that are left out: what has been used up, leads somewhere, or cannot be looked into."""

_UUID = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_TOKEN = re.compile(rf"{_UUID}|[^\s{re.escape(string.punctuation)}]+", re.ASCII)
_IS_UUID = re.compile(_UUID)
_CONSONANTS, _VOWELS, _DIGITS = "bdfgklmnprstvz", "aeiou", "0123456789"
_TRIES = 50
"""How often another token is drawn rather than one that holds a token of the originals."""

_HELD = 4
"""Characters from which on a token may not occur inside another."""


def member_of(structure: type[Structure], name: str, cim: str | None) -> str:
    """By what name a member goes here: that of the CIM, or class and element where there is none."""
    return cim or f"{structure.__name__}.{name}"


def is_harmless(member: str, text: str) -> bool:
    """Whether a text may be kept where it stands."""
    judge = _HARMLESS.get(member)
    return judge is not None and judge(text)


@lru_cache(maxsize=1024)
def _members(structure: type[Structure]) -> dict[str, str]:
    """Names of members by field; fields that hold whole payloads have none."""
    return {each.field: member_of(structure, each.name, each.member.cim) for each in elements_of(structure)}


@lru_cache(maxsize=1)
def _all_members() -> frozenset[str]:
    """All members that a message may have."""
    found: set[str] = set()
    seen: set[type[Structure]] = set()
    waiting: list[type[Structure]] = [RequestMessage, ResponseMessage, EventMessage, Payload, Request, Operation]
    waiting += [kind for entry in NOUNS.values() for kind in (entry.payload, entry.query)]
    while waiting:
        kind = waiting.pop()
        if kind not in seen:
            seen.add(kind)
            found.update(_members(kind).values())
            waiting += [each.kind for each in elements_of(kind) if each.is_complex]
    return frozenset(found)


class Replacer:
    """Replaces with one key. First `learn` all that will be replaced, then replace it.

    Args:
        key: Of all replacements, secret, 16 bytes or more; the same key replaces alike.
        kept: Further members to be kept as they are, by the name that `member_of` gives, such as
            `TroubleTicket.troubleCode`.

    Raises:
        ValueError: The key is too short, or there is no such member.
    """

    def __init__(self, key: bytes, *, kept: Iterable[str] = ()) -> None:
        if len(key) < 16:
            raise ValueError(f"a key of {len(key)} bytes is too short; 16 or more are needed")
        self._key = key
        self._kept = frozenset(kept)
        for member in self._kept - _all_members():
            raise ValueError(f"{member} is no member; write it as in the reference of the nouns, class and member")
        self._known: set[str] = set()
        self._longest = 0
        self._tokens: dict[str, str] = {}
        self._taken: set[str] = set()

    @property
    def count(self) -> int:
        """How many different tokens have been replaced."""
        return len(self._tokens)

    def learn(self, value: Structure) -> None:
        """Take note of everything that will be replaced, so that nothing is replaced by it."""
        self._map(value, self._note)

    def learn_text(self, text: str) -> None:
        """The same with a text that stands outside of messages."""
        for found in _TOKEN.finditer(text):
            token = found[0].lower()
            self._known.add(token)
            self._longest = max(self._longest, len(token))

    def replace(self, value: Structure) -> Structure:
        """The value with everything replaced that is not known to be harmless."""
        return self._map(value, self._put)

    def replace_text(self, text: str) -> str:
        """A text with all its tokens replaced."""
        return _TOKEN.sub(lambda found: self._other(found[0]), text)

    # --------------------------------------------------------------------------------------------------------- walking

    def _map(self, value: Structure, leaf: Callable[[str], str]) -> Structure:
        members = _members(type(value))
        changes: dict[str, object] = {}
        for field in value.__struct_fields__:
            old = getattr(value, field)
            if old is None or old == ():
                continue
            member = members.get(field, "")
            if field == "extensions":
                changes[field] = ()
            elif member in DROPPED:
                changes[field] = None
            elif isinstance(old, tuple):
                changes[field] = tuple(new for each in old if (new := self._one(each, member, leaf)) is not None)
            else:
                changes[field] = self._one(old, member, leaf)
        return msgspec.structs.replace(value, **changes)

    def _one(self, old: object, member: str, leaf: Callable[[str], str]) -> object:
        if isinstance(old, Structure):
            return self._map(old, leaf)
        if isinstance(old, Extension):
            return None
        if isinstance(old, Enum | bool | date | datetime) or member in self._kept:
            return old
        if isinstance(old, str):
            return old if is_harmless(member, old) else leaf(old)
        if member in KEPT_NUMBERS:
            return old
        if isinstance(old, int):
            return int(leaf(str(old)))
        if isinstance(old, Decimal | float):
            exact = Decimal(old)
            return type(old)(leaf(format(exact, "f")) if exact.is_finite() else 0)
        raise TypeError(f"{member}: {type(old).__name__} is no value of the model")

    def _note(self, text: str) -> str:
        self.learn_text(text)
        return text

    def _put(self, text: str) -> str:
        return self.replace_text(text)

    # ---------------------------------------------------------------------------------------------------------- tokens

    def _other(self, token: str) -> str:
        """What stands for a token; two that differ in more than the usual ways of capitals have different ones."""
        base, dress = _undressed(token)
        known = self._tokens.get(base)
        if known is None:
            known = self._tokens[base] = self._draw(base)
            self._taken.add(known)
        return dress(known)

    def _draw(self, base: str) -> str:
        attempt = 0
        while True:
            drawn = _shape(base, _Stream(self._key, f"{base}\0{attempt}"), attempt // _TRIES)
            lower = drawn.lower()
            if lower not in self._known and drawn not in self._taken and (attempt >= _TRIES or not self._holds(lower)):
                return drawn
            attempt += 1

    def _holds(self, drawn: str) -> bool:
        """Whether one of the originals stands inside of it."""
        longest = min(self._longest, len(drawn))
        return any(
            drawn[at : at + size] in self._known
            for size in range(_HELD, longest + 1)
            for at in range(len(drawn) - size + 1)
        )


class _Stream:
    """Numbers drawn with a key from a text: the same for both the same."""

    def __init__(self, key: bytes, text: str) -> None:
        self._key = key
        self._text = text.encode("utf-8", "surrogatepass")
        self._block = 0
        self._bytes = b""

    def bytes(self, count: int) -> bytes:
        """So many bytes more."""
        while len(self._bytes) < count:
            self._bytes += hmac.digest(self._key, self._block.to_bytes(4, "big") + self._text, "sha256")
            self._block += 1
        taken, self._bytes = self._bytes[:count], self._bytes[count:]
        return taken

    def below(self, limit: int) -> int:
        """A number from 0 on; the bias of 32 bits does not matter here."""
        return int.from_bytes(self.bytes(4), "big") % limit

    def pick(self, letters: str) -> str:
        """One of the letters."""
        return letters[self.below(len(letters))]


def _undressed(token: str) -> tuple[str, Callable[[str], str]]:
    """A token without the usual ways of capitals, and what puts them on again."""
    lower = token.lower()
    if token == lower:
        return lower, str.lower
    if token == lower.upper():
        return lower, str.upper
    if token == lower.capitalize():
        return lower, str.capitalize
    return token, str


def _shape(base: str, stream: _Stream, longer: int) -> str:
    """Something of the same sort as a token: UUID, number, word, or a mixture of letters and digits.

    How long a word or a short number is says nothing of the original; long numbers keep their length, for those of one
    sort have one length. `longer` adds to it where all of that length are taken.
    """
    if _IS_UUID.fullmatch(base):
        return str(UUID(bytes=stream.bytes(16), version=4))
    if base.isdecimal():
        size = (len(base) if len(base) > 4 else 2 + stream.below(3)) + longer
        return stream.pick(_DIGITS[1:]) + "".join(stream.pick(_DIGITS) for _ in range(size - 1))
    if base.isalpha():
        syllables = 2 + stream.below(3) + longer
        return "".join(stream.pick(_CONSONANTS) + stream.pick(_VOWELS) for _ in range(syllables))
    mixed = "".join(stream.pick(_DIGITS if each.isdecimal() else _CONSONANTS) for each in base)
    return mixed + "".join(stream.pick(_CONSONANTS) for _ in range(longer))
