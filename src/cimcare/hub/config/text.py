"""Partners and subscriptions in force as text in TOML, and a text that somebody has altered read back.

The text has the tables of the file of settings: `systems` as far as a role is remote, `partners`, `subscriptions`, each
with the keys that are not as they come with the product. Options of an address may hold a secret and are left out; an
address that is given back as it was shown keeps those that it has.

Pure, but that files that the text names are looked for.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from cimcare.codec.toml_lines import lines_of
from cimcare.errors import Finding, finding_of
from cimcare.exchange.partners import Partner, Wire
from cimcare.exchange.subscriptions import Subscription
from cimcare.hub.config.configuration import Configuration
from cimcare.hub.config.differences import partner_keys, shown_address, subscription_keys
from cimcare.hub.config.keys import Key, Plain, closest, written
from cimcare.hub.config.partner_keys import OF_PARTNERS, OF_SUBSCRIPTIONS, ROLE_KEYS
from cimcare.hub.config.partnering import read_tables
from cimcare.hub.config.settings import Settings
from cimcare.model.nouns import Role

__all__ = ["JudgedText", "judge_text", "written_configuration"]

_TABLES = ("systems", "partners", "subscriptions")
_HIDDEN = "?..."
_BARE = re.compile(r"[A-Za-z0-9_-]+")


class JudgedText(msgspec.Struct, frozen=True, kw_only=True):
    """Settings with the partners and subscriptions of a text, or None and all that is wrong with it."""

    settings: Settings | None
    findings: tuple[Finding, ...]


def written_configuration(configuration: Configuration) -> str:
    """Partners and subscriptions of the file, as they are in force, as text."""
    tables = [
        *(_partner_table(partner) for partner in configuration.partners),
        *(_subscription_table(subscription) for subscription in configuration.subscriptions),
    ]
    return "\n\n".join("\n".join(table) for table in tables) + "\n" if tables else ""


def _partner_table(partner: Partner) -> Iterator[str]:
    keys = partner_keys(partner)
    keys["url"] = shown_address(partner.url) if partner.wire is not Wire.JMS else ""
    if partner.role is not None or partner.source == partner.name:
        del keys["source"]
    yield f"[{'systems' if partner.role is not None else 'partners'}.{_key(partner.name)}]"
    kept = ("owns",) if partner.role is not None else ()  # left out, a role owns what its built-in system owns
    yield from _lines(keys, OF_PARTNERS, kept)


def _subscription_table(subscription: Subscription) -> Iterator[str]:
    yield f"[subscriptions.{_key(subscription.name)}]"
    yield from _lines(subscription_keys(subscription), OF_SUBSCRIPTIONS, ("partner",))


def _lines(values: Mapping[str, Plain], keys: Mapping[str, Key], kept: Iterable[str]) -> Iterator[str]:
    for name, value in values.items():
        if name in kept or (value != keys[name].setting.default and value not in (None, "")):
            yield f"{name} = {written(value)}"


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else written(name)


def judge_text(text: str, current: Configuration, settings: Settings) -> JudgedText:
    """Read a text, with the settings of the hub for all that it does not say.

    Args:
        text: As `written_configuration` gives it, altered.
        current: What is in force, whose hidden options are kept.
        settings: Those with which the hub started.
    """
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        where = re.search(r"line (\d+)", str(error))
        found = finding_of("SET-102", "/", str(error), "text in TOML", line=int(where[1]) if where else None)
        return JudgedText(settings=None, findings=(found,))
    lines = lines_of(text)
    findings = [*_check_tables(content, lines), *_restore_addresses(content, current, lines)]
    tables = read_tables(
        {name: content.get(name, {}) for name in _TABLES},
        {},
        file="",
        lines=lines,
        sources={role: settings.systems.source_of(role) for role in Role},
        address=settings.hub.address,
        context=settings.hub.context,
        files=True,
        brokers=settings.brokers,
    )
    findings += [mistake.finding for mistake in tables.mistakes]
    if findings:
        return JudgedText(settings=None, findings=tuple(sorted(findings, key=lambda one: one.line or 0)))
    wanted = msgspec.structs.replace(settings, partners=tables.partners, subscriptions=tables.subscriptions)
    return JudgedText(settings=wanted, findings=())


def _check_tables(content: Mapping[str, object], lines: Mapping[tuple[str, ...], int]) -> Iterator[Finding]:
    """What belongs into the file of settings alone, or nowhere."""
    for name in content:
        if name not in _TABLES:
            accepted = "partners, subscriptions, and systems that are remote; all else stands in the file of settings"
            yield finding_of("SET-101", name, "no such table here", accepted, line=lines.get((name,)))
    systems = content.get("systems", {})
    for role, table in systems.items() if isinstance(systems, dict) else ():
        at = lines.get(("systems", role))
        if role not in frozenset(Role):
            accepted = f"perhaps systems.{closest(role, list(Role))}" if closest(role, list(Role)) else "a role"
            yield finding_of("SET-101", f"systems.{role}", "no such role", accepted, line=at)
            continue
        for key in table if isinstance(table, dict) else ():
            if key not in ROLE_KEYS:
                path, line = f"systems.{role}.{key}", lines.get(("systems", role, key))
                accepted = f"one of {', '.join(sorted(ROLE_KEYS))}; all else stands in the file of settings"
                yield finding_of("SET-101", path, "no such key here", accepted, line=line)


def _restore_addresses(
    content: Mapping[str, object], current: Configuration, lines: Mapping[tuple[str, ...], int]
) -> Iterator[Finding]:
    """Put options of addresses back where an address was left as it was shown."""
    known = {partner.name: partner.url for partner in current.partners}
    for section in _TABLES:
        tables = content.get(section, {})
        for name, table in tables.items() if isinstance(tables, dict) else ():
            url = table.get("url") if isinstance(table, dict) else None
            if not isinstance(url, str) or not url.endswith(_HIDDEN):
                continue
            if name in known and shown_address(known[name]) == url:
                table["url"] = known[name]
            else:
                accepted = "the address with its options, or as it was shown"
                line = lines.get((section, name, "url"))
                yield finding_of(
                    "SET-107", f"{section}.{name}.url", "options left out of another address", accepted, line=line
                )
