"""Behaviours: which acts a simulated partner does, by chance or in turn, to which messages; read from TOML files.

    about = "Does most of it"       # one sentence
    order = "by chance"             # or "in turn": each message gets the next of the acts
    unknown = "refuse"              # or "accept": objects that the partner has never heard of
    certificate = "good"            # with TLS: good, expired, other-name or unknown-issuer

    [[rules]]                       # the first that fits a message has its say; without one, [acts]
    verbs = ["create"]              # only these verbs
    nouns = ["TroubleTickets"]      # only these nouns
    attempts = 2                    # only the first so many attempts to deliver one message
    acts = { busy = 1 }

    [acts]                          # act = weight
    accept = 6
    "slow:0.05" = 1

What is drawn depends on the seed, the message and how often it has come; in which order messages come does not matter.
"""

import random
import tomllib
from enum import StrEnum
from importlib import resources
from pathlib import Path

import msgspec

from cimcare.model.verbs import Verb
from cimcare.simulator.acts import Act, BehaviourError, Deed, parse_deed

__all__ = [
    "SHIPPED",
    "Behaviour",
    "CertificateKind",
    "Order",
    "Rule",
    "Unknown",
    "find_behaviour",
    "parse_behaviour",
    "shipped_text",
]

SHIPPED = ("good", "slow", "flaky", "dying", "hostile")
"""Names of the behaviours that come with the product."""


class Order(StrEnum):
    """How an act is chosen among several."""

    BY_CHANCE = "by chance"
    IN_TURN = "in turn"


class Unknown(StrEnum):
    """What becomes of a request about an object that the partner has never heard of."""

    REFUSE = "refuse"
    ACCEPT = "accept"


class CertificateKind(StrEnum):
    """What a partner shows over TLS."""

    GOOD = "good"
    EXPIRED = "expired"
    OTHER_NAME = "other-name"
    UNKNOWN_ISSUER = "unknown-issuer"


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """Deeds with their weights, and which messages they are for; empty and 0 mean all."""

    deeds: tuple[tuple[Deed, float], ...]
    verbs: tuple[str, ...] = ()
    nouns: tuple[str, ...] = ()
    attempts: int = 0

    def fits(self, verb: str, noun: str, attempt: int) -> bool:
        """Whether the rule is for this attempt to deliver such a message."""
        return (
            (not self.verbs or verb in self.verbs)
            and (not self.nouns or noun in self.nouns)
            and (not self.attempts or attempt <= self.attempts)
        )


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """What a partner does. The last of the rules is for all messages."""

    rules: tuple[Rule, ...]
    about: str = ""
    order: Order = Order.BY_CHANCE
    unknown: Unknown = Unknown.REFUSE
    certificate: CertificateKind = CertificateKind.GOOD

    @property
    def is_plain(self) -> bool:
        """Whether everything is accepted."""
        return all(deed.act is Act.ACCEPT for rule in self.rules for deed, _ in rule.deeds)

    def chosen(self, seed: str, source: str, message_id: str, verb: str, noun: str, *, attempt: int, turn: int) -> Deed:
        """What is done with this attempt to deliver a message.

        Args:
            seed: Of all chance.
            source: Header/Source.
            message_id: Header/MessageID.
            verb: Header/Verb.
            noun: Header/Noun.
            attempt: How often the message has come, this time included.
            turn: How many messages the partner has got before this one.
        """
        deeds = next(rule.deeds for rule in self.rules if rule.fits(verb, noun, attempt))
        if len(deeds) == 1:
            return deeds[0][0]
        if self.order is Order.IN_TURN:
            return deeds[turn % len(deeds)][0]
        chance = random.Random(f"{seed} {source} {message_id} {attempt}")  # noqa: S311 - chance that can be repeated
        (drawn,) = chance.choices([deed for deed, _ in deeds], [weight for _, weight in deeds])
        return drawn


class _RuleFile(msgspec.Struct, forbid_unknown_fields=True):
    acts: dict[str, float]
    verbs: tuple[str, ...] = ()
    nouns: tuple[str, ...] = ()
    attempts: int = 0


class _File(msgspec.Struct, forbid_unknown_fields=True):
    acts: dict[str, float]
    about: str = ""
    order: Order = Order.BY_CHANCE
    unknown: Unknown = Unknown.REFUSE
    certificate: CertificateKind = CertificateKind.GOOD
    rules: tuple[_RuleFile, ...] = ()


def parse_behaviour(text: str, *, place: str = "behaviour") -> Behaviour:
    """Behaviour out of the text of a file. Raises BehaviourError, which names `place`."""
    try:
        file = msgspec.convert(tomllib.loads(text), _File)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise BehaviourError(f"{place}: {error}; docs/reference/simulator.md shows what it may hold") from error
    verbs = frozenset(Verb)
    for rule in file.rules:
        for verb in rule.verbs:
            if verb not in verbs:
                raise BehaviourError(f"{place}: {verb!r} is no verb; verbs are {', '.join(Verb)}")
    try:
        rules = tuple(
            Rule(deeds=_deeds(rule.acts), verbs=rule.verbs, nouns=rule.nouns, attempts=rule.attempts)
            for rule in file.rules
        )
        rest = Rule(deeds=_deeds(file.acts))
    except BehaviourError as error:
        raise BehaviourError(f"{place}: {error}") from error
    return Behaviour(
        rules=(*rules, rest),
        about=file.about,
        order=file.order,
        unknown=file.unknown,
        certificate=file.certificate,
    )


def _deeds(acts: dict[str, float]) -> tuple[tuple[Deed, float], ...]:
    if not acts:
        raise BehaviourError("acts is empty; name at least one act with its weight, such as accept = 1")
    for text, weight in acts.items():
        if not 0 < weight < 1e9:
            raise BehaviourError(f"{text} = {weight:g} is no weight; it has to be above 0")
    return tuple((parse_deed(text), weight) for text, weight in acts.items())


def shipped_text(name: str) -> str:
    """The file of a behaviour that comes with the product. Raises KeyError if there is none of that name."""
    if name not in SHIPPED:
        raise KeyError(name)
    return (resources.files("cimcare.simulator") / "shipped" / "behaviours" / f"{name}.toml").read_text("utf-8")


def find_behaviour(text: str) -> Behaviour:
    """Behaviour by its name, its file, or its acts.

    Acts are written as `ACT`, or as `ACT=WEIGHT,ACT=WEIGHT`; objects that nobody has heard of are accepted then.

    Raises:
        BehaviourError: There is none, or it cannot be read.
    """
    text = text.strip()
    if text in SHIPPED:
        return parse_behaviour(shipped_text(text), place=text)
    if text.endswith(".toml"):
        try:
            return parse_behaviour(Path(text).read_text("utf-8"), place=text)
        except (OSError, UnicodeDecodeError) as error:
            raise BehaviourError(f"{text}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    acts: dict[str, float] = {}
    for part in text.split(","):
        act, _, weight = part.rpartition("=") if "=" in part else (part, "", "1")
        try:
            acts[act] = float(weight)
        except ValueError as error:
            raise BehaviourError(f"{part!r}: {weight!r} is no weight") from error
    try:
        return Behaviour(rules=(Rule(deeds=_deeds(acts)),), unknown=Unknown.ACCEPT)
    except BehaviourError as error:
        names = ", ".join(SHIPPED)
        raise BehaviourError(f"behaviour {text!r}: {error}. Behaviours are {names}, a .toml file, or acts") from error
