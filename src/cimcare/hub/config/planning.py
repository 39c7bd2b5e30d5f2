"""What putting a file of settings in force would change, and what to know before it is done.

Pure.
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from cimcare.exchange.outbox import Backlog
from cimcare.exchange.partners import Partner, Replies
from cimcare.hub.config.clashes import owners_of
from cimcare.hub.config.configuration import Configuration, InForce, OwnSubscription, choose
from cimcare.hub.config.differences import Change, Difference, compare, compare_settings, flat_settings
from cimcare.hub.config.settings import Settings
from cimcare.model.nouns import Role

__all__ = ["Plan", "plan"]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a change comes to.

    `version` is that of what is in force now. `differences` are applied to a running hub; `restart` are settings that
    it takes over at its next start. `warnings` are worth a thought before either.
    """

    version: int
    differences: tuple[Difference, ...] = ()
    restart: tuple[Change, ...] = ()
    warnings: tuple[str, ...] = ()


def plan(
    current: Configuration,
    wanted: Settings,
    *,
    only: str | None = None,
    started: Mapping[str, str] | None = None,
    own: Sequence[OwnSubscription] = (),
    backlogs: Sequence[Backlog] = (),
) -> Plan:
    """What changes when the settings are put in force.

    Args:
        current: What is in force.
        wanted: Settings with the wanted partners and subscriptions.
        only: Name of the one partner that is to change; None changes all.
        started: Settings with which the hub started last; None if it is not known.
        own: Subscriptions made by API.
        backlogs: What partners have not got.

    Raises:
        ConfigurationError: As for `choose`.
    """
    chosen = choose(current, wanted, only)
    before = InForce(partners=current.partners, subscriptions=current.subscriptions)
    differences = compare((before.partners, before.subscriptions), (chosen.partners, chosen.subscriptions))
    warnings = (
        *_left_waiting(differences, chosen, backlogs),
        *_moved_nouns(before.partners, chosen.partners),
        *_clashes_by_api(chosen, own),
        *_later_without_address(chosen.partners, started),
        *_without_broker(chosen.partners, started),
    )
    restart = _restart(started, wanted, chosen.partners) if only is None else ()
    return Plan(version=current.version, differences=differences, restart=restart, warnings=warnings)


def _restart(started: Mapping[str, str] | None, wanted: Settings, partners: Iterable[Partner]) -> tuple[Change, ...]:
    # The source of a remote role is the partner's, and changes with it.
    remote = {f"systems.{partner.role}.source" for partner in partners if partner.role is not None}
    changes = compare_settings(started or {}, flat_settings(wanted))
    return tuple(change for change in changes if change.key not in remote)


def _left_waiting(differences: Iterable[Difference], chosen: InForce, backlogs: Sequence[Backlog]) -> Iterator[str]:
    """Deliveries stay, whatever becomes of their partner."""
    names = {partner.name for partner in chosen.partners}
    waiting = {backlog.partner: backlog for backlog in backlogs}
    for each in differences:
        backlog = waiting.get(each.name)
        if backlog is None or each.sort == "subscription":
            continue
        count = f"{backlog.waiting} waiting, {backlog.awaiting} awaiting their reply, {backlog.dead} dead letters"
        if each.name not in names:
            yield (
                f"{each.name} is removed with deliveries that it has not got ({count}): they stay, and go on when it"
                f" is there again; if it never is, `cimcare deliveries abandon {shlex.quote(each.name)}` makes dead"
                " letters of them"
            )
        elif any(change.key in ("url", "kind") for change in each.changes):
            yield f"{each.name} has deliveries that it has not got ({count}): they go to where it is then"


def _moved_nouns(before: Iterable[Partner], after: Iterable[Partner]) -> Iterator[str]:
    """Objects are not handed over."""
    old, new = owners_of(before), owners_of(after)
    for noun, owner in new.items():
        if owner != old[noun]:
            yield (
                f"requests for {noun} go to {_told(owner)}, no more to {_told(old[noun])}: objects that are there stay"
                " there, and are not handed over"
            )


def _told(owner: Partner | Role) -> str:
    if isinstance(owner, Partner):
        return owner.name if owner.role is None else f"the remote {owner.name}"
    return f"the built-in {owner}"


def _clashes_by_api(chosen: InForce, own: Iterable[OwnSubscription]) -> Iterator[str]:
    """Subscriptions made by API are left alone by the file, but may lose their destination to it."""
    partners = {partner.name: partner for partner in chosen.partners}
    names = {subscription.name for subscription in chosen.subscriptions}
    made = {one.destination.name for one in own if one.destination is not None}
    for one in own:
        name, leads_to = one.subscription.name, one.subscription.partner
        if one.destination is not None and one.destination.name in partners:
            yield (
                f"subscription {name} that {one.created_by} made by API has a destination of its own called"
                f" {leads_to}, as a partner of the file: it gets nothing while both are there"
            )
        elif leads_to not in partners and leads_to not in made:
            yield (
                f"subscription {name} that {one.created_by} made by API leads to {leads_to}, which is not there: it"
                " gets nothing until it is"
            )
        if name in names:
            yield f"subscription {name} is there twice, by the file and by API of {one.created_by}: both are served"


def _later_without_address(partners: Iterable[Partner], started: Mapping[str, str] | None) -> Iterator[str]:
    """The hub's own address is known from its start on."""
    if started is None or started.get("hub.address") != '""':
        return
    for partner in partners:
        if partner.replies is Replies.LATER and not partner.reply_to:
            yield f"{partner.name} replies later to hub.address, which a hub that runs takes over at its next start"


def _without_broker(partners: Iterable[Partner], started: Mapping[str, str] | None) -> Iterator[str]:
    """Brokers are known from a hub's start on."""
    for partner in partners:
        if started is not None and partner.broker and f"brokers.{partner.broker}" not in started:
            name = partner.broker
            yield f"{partner.name} is behind broker {name}, which a hub that runs takes over at its next start"
