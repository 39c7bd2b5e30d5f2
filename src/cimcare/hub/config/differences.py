"""What differs between two configurations, told key by key as the file of settings has them.

Pure. What may be a secret is not shown: options of an address, which some services take for a password.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from urllib.parse import urlsplit

import msgspec

from cimcare.exchange.partners import Partner, Wire
from cimcare.exchange.subscriptions import Subscription
from cimcare.hub.config.brokers import broker_keys
from cimcare.hub.config.keys import Plain, keys_of, written
from cimcare.hub.config.partner_keys import OF_PARTNERS, OF_SUBSCRIPTIONS
from cimcare.hub.config.settings import SETTINGS, Settings

__all__ = [
    "Change",
    "Difference",
    "Turn",
    "compare",
    "compare_settings",
    "flat_settings",
    "partner_keys",
    "shown_address",
    "subscription_keys",
]

_OF_PROCESS = frozenset({"host", "port", "database", "schema.directory"})
"""Settings that processes of one hub may have each for itself, and that options of `serve` override."""

_BROKERS = "brokers."
_UNSEEN = " (differs in what is not shown)"


class Turn(StrEnum):
    """What happened to a part of a configuration."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A key with its values before and after, as a file in TOML has them; empty where there is none."""

    key: str
    before: str = ""
    after: str = ""

    def describe(self) -> str:
        """In one line."""
        if not self.before or not self.after:
            return f"{self.key} = {self.before or self.after}"
        return f"{self.key}: {self.before} -> {self.after}"


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A partner, or a subscription, that differs. `changes` of one that was added are its keys without defaults."""

    sort: str
    name: str
    turn: Turn
    changes: tuple[Change, ...] = ()

    def describe(self) -> str:
        """In one line, or in several if it changed."""
        sign = {Turn.ADDED: "+", Turn.REMOVED: "-", Turn.CHANGED: "~"}[self.turn]
        head = f"{sign} {self.sort} {self.name}"
        changes = [change.describe() for change in self.changes]
        if self.turn is Turn.CHANGED:
            return "\n".join((head, *(f"    {change}" for change in changes)))
        return f"{head}: {', '.join(changes)}" if changes else head


def shown_address(url: str) -> str:
    """The address without its options."""
    parts = urlsplit(url)
    return parts._replace(query="...").geturl() if parts.query else url


def partner_keys(partner: Partner) -> dict[str, Plain]:
    """The partner as the keys of its table."""
    retry, tls = partner.retry, partner.tls
    return {
        "kind": partner.wire.value,
        "url": "" if partner.wire is Wire.JMS else partner.url,
        "broker": partner.broker,
        "destination": partner.url if partner.wire is Wire.JMS else "",
        "event_destination": partner.event_url,
        "source": partner.source,
        "owns": tuple(noun.value for noun in partner.owns),
        "soap_version": "1.2" if partner.soap_12 else "1.1",
        "format": "json" if partner.as_json else "xml",
        "edition": partner.edition.value,
        "compress_above_bytes": partner.compress_above_bytes,
        "forward": partner.forward.value,
        "replies": partner.replies.value,
        "deadline_seconds": partner.deadline.total_seconds(),
        "reply_seconds": partner.reply_within.total_seconds(),
        "parallel": partner.parallel,
        "rate_per_second": partner.rate,
        "retry_first_seconds": retry.first.total_seconds(),
        "retry_factor": retry.factor,
        "retry_most_seconds": retry.most.total_seconds(),
        "retry_jitter": retry.jitter,
        "retry_hours": retry.patience.total_seconds() / 3600,
        "retry_attempts": retry.attempts,
        "ca_file": tls.ca_file,
        "certificate_file": tls.certificate_file,
        "key_file": tls.key_file,
        "secret_file": partner.secret_file,
        "third_party": partner.third_party,
        "drill": partner.drill.value,
    }


def subscription_keys(subscription: Subscription) -> dict[str, Plain]:
    """The subscription as the keys of its table."""
    wanted = subscription.filter
    return {
        "partner": subscription.partner,
        "verbs": wanted.verbs,
        "nouns": wanted.nouns,
        "premises": wanted.premises,
        "areas": wanted.areas,
        "sources": wanted.sources,
        "properties": wanted.properties,
    }


def flat_settings(settings: Settings) -> dict[str, str]:
    """Settings by name, as a file in TOML has them, without those that each process may have for itself.

    A broker is one setting, with its keys as a table in one line.
    """
    plain = {
        key.setting.name: written(key.setting.default)
        for key in keys_of(settings)
        if key.setting.name not in _OF_PROCESS
    }
    for broker in settings.brokers:
        told = ", ".join(f"{key} = {written(value)}" for key, value in broker_keys(broker).items())
        plain[f"{_BROKERS}{broker.name}"] = f"{{ {told} }}"
    return plain


def compare(
    before: tuple[Iterable[Partner], Iterable[Subscription]], after: tuple[Iterable[Partner], Iterable[Subscription]]
) -> tuple[Difference, ...]:
    """What differs between partners and subscriptions before and after."""
    partners = _compare(
        {each.name: (_sort_of(each), partner_keys(each)) for each in before[0]},
        {each.name: (_sort_of(each), partner_keys(each)) for each in after[0]},
        {name: _plain(key.setting.default) for name, key in OF_PARTNERS.items()},
    )
    subscriptions = _compare(
        {each.name: ("subscription", subscription_keys(each)) for each in before[1]},
        {each.name: ("subscription", subscription_keys(each)) for each in after[1]},
        {name: _plain(key.setting.default) for name, key in OF_SUBSCRIPTIONS.items()},
    )
    return (*partners, *subscriptions)


def _sort_of(partner: Partner) -> str:
    return "role" if partner.role is not None else "partner"


def _plain(value: Plain) -> Plain:
    return str(value) if isinstance(value, str) else value  # an enumeration is a text of its own


_Parts = Mapping[str, tuple[str, Mapping[str, Plain]]]


def _compare(before: _Parts, after: _Parts, defaults: Mapping[str, Plain]) -> list[Difference]:
    found = []
    for name in [*before, *(name for name in after if name not in before)]:
        if name not in after:
            found.append(Difference(sort=before[name][0], name=name, turn=Turn.REMOVED))
            continue
        sort, keys = after[name]
        known = before[name][1] if name in before else defaults
        changes = tuple(
            _change(key, known.get(key), value, is_new=name not in before)
            for key, value in keys.items()
            if known.get(key) != value
        )
        if name not in before:
            found.append(Difference(sort=sort, name=name, turn=Turn.ADDED, changes=changes))
        elif changes:
            found.append(Difference(sort=sort, name=name, turn=Turn.CHANGED, changes=changes))
    return found


def _change(key: str, before: Plain, after: Plain, *, is_new: bool) -> Change:
    if key == "url":
        before, after = shown_address(str(before)), shown_address(str(after))
    told = written(after)
    if is_new:
        return Change(key=key, after=told)
    return Change(key=key, before=written(before), after=told + (_UNSEEN if before == after else ""))


def compare_settings(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Change, ...]:
    """Settings that differ, of those that both know; and brokers that came, went or changed."""
    order = [setting.name for setting in SETTINGS]
    plain = tuple(
        Change(key=name, before=before[name], after=after[name])
        for name in order
        if name in before and name in after and before[name] != after[name]
    )
    if not before:  # nothing is known of the start before
        return plain
    brokers = sorted({name for name in (*before, *after) if name.startswith(_BROKERS)})
    return plain + tuple(
        Change(key=name, before=before.get(name, ""), after=after.get(name, ""))
        for name in brokers
        if before.get(name) != after.get(name)
    )
