"""Where messages go: who owns a noun, who wants an event, and to which addresses a later reply may be sent.

Pure. A remote system gets what the built-in system of its role would have heard, and what it has subscribed to beyond.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar
from urllib.parse import urlsplit

from cimcare.exchange.facts import Facts
from cimcare.exchange.partners import Partner
from cimcare.exchange.subscriptions import Matcher, Subscription
from cimcare.model.nouns import Role, find_noun
from cimcare.model.verbs import Verb

__all__ = ["Routes"]

KeyT = TypeVar("KeyT")

_ANY_HOST = "*"
_LONGEST_HOST = 253  # RFC 1035, 2.3.4


class Routes:
    """The partners of one configuration, and who gets what.

    Args:
        partners: All of them, those with an address of their own subscription included.
        subscriptions: All of them; one whose partner is not there leads nowhere.
        listens: Events that the built-in system of each role listens to.

    Raises:
        ValueError: Two partners have one name, play one role or own one noun.
    """

    def __init__(
        self,
        partners: Iterable[Partner],
        subscriptions: Iterable[Subscription],
        listens: Mapping[Role, frozenset[tuple[Verb, str]]],
    ) -> None:
        self.partners = tuple(partners)
        self._by_name = _unique(((each.name, each) for each in self.partners), "have the name")
        self._by_role = _unique(
            ((each.role, each) for each in self.partners if each.role is not None), "both play the role"
        )
        self._by_noun = _unique(((noun, each) for each in self.partners for noun in each.owns), "both own")
        matchers: dict[str, list[Matcher]] = {name: [] for name in self._by_name}
        for subscription in subscriptions:
            if subscription.partner in matchers:
                matchers[subscription.partner].append(Matcher(subscription.filter))
        self._listeners = tuple(
            (each, tuple(matchers[each.name]), listens.get(each.role, frozenset()) if each.role else frozenset())
            for each in self.partners
            if matchers[each.name] or each.role is not None
        )
        self._hosts = frozenset(host for each in self.partners if (host := _host_of(each.url)))
        self._outside = frozenset(each.source for each in self.partners if each.is_third_party)
        self.third_parties = tuple(partner for partner, _, _ in self._listeners if partner.is_third_party)
        """Partners outside of the utility that may want events, each as it is allowed to see them."""

    def third_party(self, source: str) -> str:
        """The Header/Source itself if a partner outside of the utility speaks under it, else nothing."""
        return source if source in self._outside else ""

    @property
    def has_receivers(self) -> bool:
        """Whether any event may have a receiver at all."""
        return bool(self._listeners)

    def partner(self, name: str) -> Partner | None:
        """The partner of this name; None if there is none."""
        return self._by_name.get(name)

    def by_source(self, source: str) -> Partner | None:
        """The first partner that sends under this Header/Source; None if none does."""
        return next((each for each in self.partners if each.source == source), None) if source else None

    def owner_of(self, noun: str) -> Partner | None:
        """The partner that serves requests for a noun; None if that is a built-in system, or nobody.

        Who is named as the owner of the noun comes before who plays the role to which the noun belongs.
        """
        entry = find_noun(noun, aliases=True)
        return None if entry is None else self._by_noun.get(entry.noun) or self._by_role.get(entry.owner)

    def remote_roles(self) -> frozenset[Role]:
        """Roles that partners play in place of the built-in systems."""
        return frozenset(self._by_role)

    def receivers(self, facts: Facts, *, sender: str) -> tuple[Partner, ...]:
        """Partners that are to get an event, each once however many of their subscriptions it passes.

        Those outside of the utility are not among them: whether one of them wants an event is asked with
        `is_wanted_by` of the event as that one may see it.

        Args:
            facts: What the event is about.
            sender: Header/Source of who told of it, to whom it is not told back.
        """
        return tuple(
            listener[0]
            for listener in self._listeners
            if not listener[0].is_third_party and _wants(listener, facts, sender)
        )

    def is_wanted_by(self, partner: Partner, facts: Facts, *, sender: str) -> bool:
        """Whether a partner is to get an event."""
        return any(listener[0] is partner and _wants(listener, facts, sender) for listener in self._listeners)

    def may_reply_to(self, address: str, reply_hosts: Collection[str]) -> bool:
        """Whether something may be sent to an address that a message or a subscription names.

        It has to be http or https, at the host of a partner or at one of `reply_hosts`, of which `*` stands for all.
        Otherwise anybody who can send a message could have the hub call any address of the network that it is in.
        """
        host = _host_of(address)
        if not host:
            return False
        allowed = {_plain_host(each) for each in reply_hosts}
        return _ANY_HOST in allowed or host in self._hosts or host in allowed


_Listener = tuple[Partner, tuple[Matcher, ...], frozenset[tuple[Verb, str]]]


def _wants(listener: _Listener, facts: Facts, sender: str) -> bool:
    partner, matchers, heard = listener
    if sender and partner.source == sender:
        return False
    pairs = frozenset(((facts.verb, facts.noun), *facts.operations))
    return not heard.isdisjoint(pairs) or any(matcher.accepts(facts) for matcher in matchers)


def _unique(pairs: Iterable[tuple[KeyT, Partner]], what: str) -> dict[KeyT, Partner]:
    found: dict[KeyT, Partner] = {}
    for key, partner in pairs:
        if key in found:
            raise ValueError(f"partners {found[key].name} and {partner.name} {what} {key}")
        found[key] = partner
    return found


def _host_of(address: str) -> str:
    """Host of an http or https address, in the form in which hosts are compared; empty if it has none.

    An address that two programs might read in two ways has none: with an account, a backslash, or a character that is
    not printed. So has one with a host that no name server could know.
    """
    if not address.isprintable() or " " in address or "\\" in address:
        return ""
    try:
        parts = urlsplit(address)
        is_sound = parts.scheme in ("http", "https") and parts.port != 0 and "@" not in parts.netloc
    except ValueError:  # brackets without an address in them, a port that is no number
        return ""
    host = _plain_host(parts.hostname or "") if is_sound else ""
    return host if len(host) <= _LONGEST_HOST else ""


def _plain_host(host: str) -> str:
    # In lower case only: folding would take a sharp s for ss, which is another host.
    return host.strip().strip("[]").rstrip(".").lower()
