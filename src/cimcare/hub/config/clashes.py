"""What does not go together in a configuration of partners and subscriptions, wherever it comes from.

Pure.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from cimcare.exchange.partners import Partner
from cimcare.exchange.subscriptions import Subscription
from cimcare.hub.config.keys import nearest
from cimcare.model.nouns import ENTRIES, Noun, Role

__all__ = ["Clash", "clashes_of", "find_wrong_address", "owners_of"]


class Clash(NamedTuple):
    """Parts of a configuration that do not go together: at which table and key (`owns`, or empty for the table)."""

    subject: Partner | Subscription
    key: str
    code: str
    found: str
    accepted: str
    why: str = ""


def clashes_of(
    partners: Sequence[Partner], subscriptions: Sequence[Subscription], sources: Mapping[Role, str]
) -> tuple[Clash, ...]:
    """What does not go together in a configuration: sources, owners of nouns, destinations of subscriptions.

    Args:
        partners: All partners; their names differ.
        subscriptions: All subscriptions of the file.
        sources: Header/Source of each role as far as it is built in.
    """
    remote = {partner.role for partner in partners}
    speakers = {source: f"the built-in system {role}" for role, source in sources.items() if role not in remote}
    owners: dict[Noun, Partner] = {}
    found = []
    for partner in partners:
        if partner.source in speakers:
            told = f"source {partner.source!r}, which is that of {speakers[partner.source]}"
            why = "who sent a message is known by its Header/Source"
            found.append(Clash(partner, "source", "SET-109", told, "a source of its own", why))
        speakers.setdefault(partner.source, partner.name)
        for noun in partner.owns:
            if noun in owners:
                told = f"{noun}, which {owners[noun].name} owns"
                found.append(Clash(partner, "owns", "SET-108", told, "one owner of each noun"))
            owners.setdefault(noun, partner)
    for partner in partners:
        left = [entry.noun for entry in ENTRIES if entry.owner is partner.role and entry.noun not in owners]
        if left:
            told = f"no owner of {', '.join(left)}"
            accepted = "the noun here, or as one that another partner owns"
            why = f"the built-in {partner.role} serves nothing while the role is remote"
            found.append(Clash(partner, "owns", "SET-108", told, accepted, why))
    return (*found, *_lost(subscriptions, {partner.name for partner in partners}))


def _lost(subscriptions: Sequence[Subscription], names: set[str]) -> Iterator[Clash]:
    """Subscriptions that lead nowhere."""
    for subscription in subscriptions:
        wanted = subscription.partner
        if wanted in names:
            continue
        if wanted in frozenset(Role):
            accepted = f"url in [systems.{wanted}], or no subscription"
            why = f"the system {wanted} is built in, and hears what it needs"
        else:
            near = nearest(wanted, sorted(names))
            others = f", or one of {', '.join(sorted(names))}" if names else ""
            accepted, why = f"perhaps {near}" if near else f"a table [partners.{wanted}]{others}", ""
        yield Clash(subscription, "partner", "SET-110", f"partner {wanted!r}", accepted, why)


def owners_of(partners: Iterable[Partner]) -> dict[Noun, Partner | Role]:
    """Who owns each noun: a partner, or the built-in system of a role."""
    owners: dict[Noun, Partner | Role] = {entry.noun: entry.owner for entry in ENTRIES}
    for partner in partners:
        owners.update((noun, partner) for noun in partner.owns)
    return owners


def find_wrong_address(url: str) -> str:
    """What is wrong with the address of a service, in words; empty if nothing is."""
    # What stands before an @ may be a password, and so may options.
    shown = "it" if "@" in url else repr(re.sub(r"\?.*", "?...", url, flags=re.DOTALL))
    if not url.isprintable() or " " in url or "\\" in url:
        return f"{shown} has characters that no address has"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return f"{shown} cannot be read ({error})"
    if parts.scheme not in ("http", "https"):
        return f"{shown} is neither http nor https"
    if "@" in parts.netloc:
        return "it has a name or password"
    if not parts.hostname:
        return f"{shown} has no host"
    if port == 0:
        return f"{shown} has port 0"
    return f"{shown} has a fragment" if parts.fragment else ""
