"""The configuration in force, kept in the database so that all processes of a hub go by the same.

It changes as a whole, or one partner alone, in one transaction with its row in the audit trail; hubs look for a change
from time to time. Subscriptions that were made by API are objects of their own, beside what the file of settings says.
Nothing that is to be delivered is touched by a change.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import TypeVar

import msgspec

from cimcare.errors import CimcareError, Finding, finding_of
from cimcare.exchange.audit import Action, Note
from cimcare.exchange.partners import Partner
from cimcare.exchange.ports import Collection, Records, Selection, Stored
from cimcare.exchange.store import Store, Transaction
from cimcare.exchange.subscriptions import Subscription
from cimcare.hub.config.clashes import clashes_of
from cimcare.hub.config.differences import compare, compare_settings, flat_settings
from cimcare.hub.config.settings import Settings
from cimcare.model.identity import MRID
from cimcare.model.nouns import Role

__all__ = [
    "CONFIGURATION",
    "SUBSCRIPTIONS",
    "Configuration",
    "ConfigurationError",
    "InForce",
    "OwnSubscription",
    "adopt",
    "apply",
    "choose",
    "in_force",
    "load",
    "load_own",
    "load_started",
    "merge",
]

BodyT = TypeVar("BodyT", bound=msgspec.Struct)

_ALL = 2**31 - 1


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """Partners and subscriptions of the file of settings, as they were applied last.

    `version` is 0 before anything was applied, and rises by one with each change. `actor` made the last one.
    """

    version: int = 0
    applied_at: datetime | None = None
    actor: str = ""
    partners: tuple[Partner, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()


class OwnSubscription(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription that was made by API.

    `destination` is the partner made for it, None if it leads to one that is there anyway. `created_by` says who
    made it.
    """

    subscription: Subscription
    destination: Partner | None
    created_at: datetime
    created_by: str


class InForce(msgspec.Struct, frozen=True, kw_only=True):
    """All partners and subscriptions by which a hub goes, those made by API included. Names of partners differ."""

    partners: tuple[Partner, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()


class _Started(msgspec.Struct, frozen=True, kw_only=True):
    """Settings with which a process of the hub started last, by name, as a file in TOML has them."""

    settings: dict[str, str]


CONFIGURATION = Collection("hub.configuration", Configuration)
"""The configuration in force: one object."""

SUBSCRIPTIONS = Collection("hub.subscriptions", OwnSubscription)
"""Subscriptions made by API; the mRID of each is its name."""

_STARTED = Collection("hub.started", _Started)
_ONE = MRID("in-force")


class ConfigurationError(CimcareError):
    """A configuration that cannot be put in force."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.describe())
        self.finding = finding
        self.code = finding.code


async def load(records: Records) -> Configuration:
    """The configuration that was applied last; one without partners if none was."""
    stored = await records.find(CONFIGURATION, _ONE)
    return Configuration() if stored is None else stored.body


async def load_own(records: Records) -> tuple[OwnSubscription, ...]:
    """Subscriptions made by API, oldest first."""
    # In one piece: of a page that begins behind one that is removed meanwhile nothing would be found.
    return tuple(stored.body for stored in await records.select(SUBSCRIPTIONS, Selection(limit=_ALL)))


async def load_started(records: Records) -> dict[str, str] | None:
    """Settings with which the hub started last; None if it never did."""
    stored = await records.find(_STARTED, _ONE)
    return None if stored is None else stored.body.settings


async def in_force(records: Records) -> InForce:
    """What a hub is to go by now."""
    return merge(await load(records), await load_own(records))


def merge(configuration: Configuration, own: Iterable[OwnSubscription]) -> InForce:
    """The file's partners and subscriptions together with those made by API.

    A destination made by API whose name the file gives to another partner is left out, with its subscription: its
    events must not go to that partner.
    """
    partners = {partner.name: partner for partner in configuration.partners}
    subscriptions = list(configuration.subscriptions)
    for one in own:
        destination = one.destination
        if destination is not None and partners.setdefault(destination.name, destination) != destination:
            continue
        subscriptions.append(one.subscription)
    return InForce(partners=tuple(partners.values()), subscriptions=tuple(subscriptions))


def choose(current: Configuration, wanted: Settings, only: str | None = None) -> InForce:
    """Partners and subscriptions of the file that a change leads to.

    Args:
        current: What is in force.
        wanted: Settings with the wanted partners and subscriptions.
        only: Name of the one partner that is to change, with the subscriptions that lead to it; None changes all.

    Raises:
        ConfigurationError: SET-110 there is no such partner, before or after; SET-117 it does not go together with
            what remains; else the code of what does not go together.
    """
    chosen = InForce(partners=wanted.partners, subscriptions=wanted.subscriptions)
    if only is not None:
        _require_partner(only, current, wanted)
        chosen = _with_one(current, wanted, only)
    sources = {role: wanted.systems.source_of(role) for role in Role}
    for clash in clashes_of(chosen.partners, chosen.subscriptions, sources):
        path = f"{clash.subject.name}.{clash.key}"
        if only is None:
            raise ConfigurationError(finding_of(clash.code, path, clash.found, clash.accepted, clash.why))
        found = f"{only} cannot be changed alone: of {clash.subject.name}, {clash.found}"
        raise ConfigurationError(finding_of("SET-117", path, found, "a change of all partners at once", clash.why))
    return chosen


def _require_partner(name: str, current: Configuration, wanted: Settings) -> None:
    names = sorted({partner.name for partner in (*current.partners, *wanted.partners)})
    if name not in names:
        accepted = f"one of {', '.join(names)}" if names else "a partner of the file or of what is in force"
        raise ConfigurationError(finding_of("SET-110", "/", f"no partner {name!r}", accepted))


def _with_one(current: Configuration, wanted: Settings, name: str) -> InForce:
    new = [partner for partner in wanted.partners if partner.name == name]
    partners = [partner for partner in current.partners if partner.name != name or new]
    partners = [new[0] if partner.name == name else partner for partner in partners]
    if new and new[0] not in partners:
        partners += new
    leading = {each.name: each for each in wanted.subscriptions if each.partner == name}
    subscriptions = [each for each in current.subscriptions if each.partner != name and each.name not in leading]
    return InForce(partners=tuple(partners), subscriptions=(*subscriptions, *leading.values()))


async def apply(
    transaction: Transaction, wanted: Settings, *, only: str | None = None, actor: str, now: datetime
) -> Configuration:
    """Put partners and subscriptions in force, with a row in the audit trail; nothing is written if nothing differs.

    Args:
        transaction: In which it is done.
        wanted: Settings with the wanted partners and subscriptions.
        only: As for `choose`.
        actor: Who does it.
        now: When.

    Returns:
        What is in force then.

    Raises:
        ConfigurationError: As for `choose`.
    """
    current = await load(transaction.records)
    chosen = choose(current, wanted, only)
    differences = compare((current.partners, current.subscriptions), (chosen.partners, chosen.subscriptions))
    if not differences:
        return current
    configuration = Configuration(
        version=current.version + 1,
        applied_at=now,
        actor=actor,
        partners=chosen.partners,
        subscriptions=chosen.subscriptions,
    )
    await transaction.records.save(CONFIGURATION, _stored(configuration, now))
    details = "\n".join(difference.describe() for difference in differences)
    subject = f"configuration {configuration.version}"
    await transaction.audit.append(Note(at=now, action=Action.CONFIGURE, actor=actor, subject=subject, details=details))
    return configuration


async def adopt(store: Store, settings: Settings, now: datetime) -> Configuration:
    """Put in force what the settings say, as a hub does when it starts, and note with which settings it starts.

    Raises:
        ConfigurationError: As for `choose`; not for settings that were read from a file.
        StoreError: It could not be stored.
    """
    async with store.transaction() as transaction:
        configuration = await apply(transaction, settings, actor="start", now=now)
        await _note_start(transaction, settings, now)
    return configuration


async def _note_start(transaction: Transaction, settings: Settings, now: datetime) -> None:
    started = flat_settings(settings)
    before = await load_started(transaction.records)
    if before == started:
        return
    await transaction.records.save(_STARTED, _stored(_Started(settings=started), now))
    changes = compare_settings(before if before is not None else flat_settings(Settings()), started)
    if changes:
        details = "\n".join(change.describe() for change in changes)
        await transaction.audit.append(
            Note(at=now, action=Action.CONFIGURE, actor="start", subject="settings", details=details)
        )


def _stored(body: BodyT, now: datetime) -> Stored[BodyT]:
    return Stored(mrid=_ONE, body=body, created_at=now, modified_at=now)
