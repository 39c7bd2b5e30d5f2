"""Subscriptions by API: made, shown and removed while the hub runs, beside those of the file of settings.

What is asked for has the keys of a table `[subscriptions.<name>]` and is checked by the same rules. Two more hold,
since anybody who reaches the port may ask: the address has to be one to which the hub may send at all, and files are
named without their folder and lie in the one that is meant for them.
"""

import contextlib
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from cimcare.errors import CimcareError, Finding, finding_of
from cimcare.exchange.audit import Action, Note
from cimcare.exchange.partners import Partner, Wire
from cimcare.exchange.ports import Clock, Stored
from cimcare.exchange.routing import Routes
from cimcare.exchange.store import Store, StoreError
from cimcare.exchange.subscriptions import Filter, Subscription
from cimcare.hub.config.clashes import clashes_of
from cimcare.hub.config.configuration import SUBSCRIPTIONS, Configuration, OwnSubscription, load, load_own, merge
from cimcare.hub.config.differences import shown_address
from cimcare.hub.config.partnering import read_tables
from cimcare.model.identity import MRID
from cimcare.model.nouns import Role
from cimcare.transport.broker.brokers import Broker

__all__ = ["MOST_SUBSCRIPTIONS", "Made", "Subscribing", "SubscriptionError", "SubscriptionView", "Wanted"]

MOST_SUBSCRIPTIONS = 1000
"""Most subscriptions made by API."""

_FILES = ("secret_file", "ca_file", "certificate_file", "key_file")
_OF_ALL = frozenset({"SET-108", "SET-109", "SET-110"})
"""What does not go together with others, which one table alone cannot tell."""

_CLAUSE = "subscriptions by API (our profile)"


class SubscriptionView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A subscription, as it is shown.

    `origin` is `file` or `api`. `kind` and `url` say how its destination is reached, the latter without options;
    `signed` whether what is sent there is signed. `active` is false where its destination is not there, or bears a name
    that the file of settings gives to another one.
    """

    name: str
    origin: str
    active: bool
    partner: str
    kind: str
    url: str
    signed: bool
    filter: Filter
    created_at: datetime | None = None
    created_by: str = ""


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription that was asked for, and whether it is new; asked for twice alike, it is made once."""

    view: SubscriptionView
    is_new: bool


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a stored subscription asks for. `sender` is Header/Source of who asks, which is not told its own events.

    `third_party` is the same where who asks is outside of the utility, else empty.
    """

    filter: Filter
    sender: str
    third_party: str = ""


class SubscriptionError(CimcareError):
    """A subscription that cannot be made or removed, and all that is wrong about it."""

    def __init__(self, *findings: Finding) -> None:
        super().__init__("; ".join(finding.describe() for finding in findings))
        self.findings = findings
        self.code = findings[0].code


class Subscribing:
    """Makes, shows and removes subscriptions.

    Args:
        store: Where they are.
        sources: Header/Source of each role as far as it is built in.
        reply_hosts: Hosts to which a subscription may lead, besides those of the file's partners.
        key_directory: Folder with the files that may be named; empty for none.
        clock: Now.
        brokers: Brokers by way of which a subscription may be served.
        on_change: Told when something was made or removed; None if nobody waits for it. If the store fails it then,
            what was done is done all the same, and is found at the next look.
    """

    def __init__(
        self,
        store: Store,
        *,
        sources: Mapping[Role, str],
        reply_hosts: Collection[str],
        key_directory: str,
        clock: Clock,
        brokers: Sequence[Broker] = (),
        on_change: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._store = store
        self._sources = sources
        self._reply_hosts = reply_hosts
        self._key_directory = key_directory
        self._clock = clock
        self._brokers = tuple(brokers)
        self._on_change = on_change

    async def all(self) -> tuple[SubscriptionView, ...]:
        """All subscriptions: the file's, then those made by API, oldest first. Raises StoreError."""
        records = self._store.reader.records
        return tuple(_views(await load(records), await load_own(records)))

    async def find(self, name: str) -> SubscriptionView | None:
        """The subscription of this name; None if there is none. Raises StoreError."""
        return next((view for view in await self.all() if view.name == name), None)

    async def wanted(self, name: str) -> Wanted | None:
        """What the subscription of this name asks for; None if there is none. Raises StoreError."""
        records = self._store.reader.records
        configuration, own = await load(records), await load_own(records)
        partners = {partner.name: partner for partner in merge(configuration, own).partners}
        for subscription in (*configuration.subscriptions, *(one.subscription for one in own)):
            if subscription.name == name:
                partner = partners.get(subscription.partner)
                if partner is None:
                    return Wanted(filter=subscription.filter, sender="")
                third_party = partner.source if partner.is_third_party else ""
                return Wanted(filter=subscription.filter, sender=partner.source, third_party=third_party)
        return None

    async def make(self, asked: Mapping[str, object], actor: str) -> Made:
        """Make a subscription, with a row in the audit trail.

        Args:
            asked: `name`, and the keys of a table of a subscription.
            actor: Who asks.

        Raises:
            SubscriptionError: EXC-121 something about it is wrong, EXC-122 the hub may not send there, EXC-123 the name
                is taken.
            StoreError: It could not be stored.
        """
        subscription, destination = self._read(asked)
        now = self._clock()
        new = OwnSubscription(subscription=subscription, destination=destination, created_at=now, created_by=actor)
        async with self._store.transaction() as transaction:
            configuration, own = await load(transaction.records), await load_own(transaction.records)
            same = next((one for one in own if one.subscription.name == subscription.name), None)
            if same is not None and (same.subscription, same.destination) == (subscription, destination):
                return Made(view=_view_of_own(same, configuration, own), is_new=False)
            self._require_possible(new, configuration, own)
            name = subscription.name
            stored = Stored(mrid=MRID(name), body=new, created_at=now, modified_at=now)
            await transaction.records.save(SUBSCRIPTIONS, stored)
            await transaction.audit.append(
                Note(at=now, action=Action.SUBSCRIBE, actor=actor, subject=f"subscription {name}", details=_told(new))
            )
        await self._tell()
        return Made(view=_view_of_own(new, configuration, (*own, new)), is_new=True)

    async def remove(self, name: str, actor: str) -> bool:
        """Remove a subscription, with a row in the audit trail; False if there is none of this name.

        What waits for its destination stays, and is delivered when there is a destination of this name again.

        Raises:
            SubscriptionError: EXC-124 it stands in the file of settings.
            StoreError: It could not be stored.
        """
        async with self._store.transaction() as transaction:
            stored = await transaction.records.find(SUBSCRIPTIONS, MRID(name))
            if stored is None:
                if any(one.name == name for one in (await load(transaction.records)).subscriptions):
                    found, accepted = f"{name} stands in the file of settings", "a subscription that was made by API"
                    raise SubscriptionError(finding_of("EXC-124", "/name", found, accepted, _CLAUSE))
                return False
            await transaction.records.drop(SUBSCRIPTIONS, MRID(name))
            await transaction.audit.append(
                Note(
                    at=self._clock(),
                    action=Action.UNSUBSCRIBE,
                    actor=actor,
                    subject=f"subscription {name}",
                    details=_told(stored.body),
                )
            )
        await self._tell()
        return True

    async def _tell(self) -> None:
        if self._on_change is not None:
            with contextlib.suppress(StoreError):
                await self._on_change()

    # -------------------------------------------------------------------------------------------------- checks

    def _read(self, asked: Mapping[str, object]) -> tuple[Subscription, Partner | None]:
        """The subscription, and the destination of its own if it has one; raises SubscriptionError."""
        name = asked.get("name")
        if not isinstance(name, str):
            raise SubscriptionError(_refused("/name", "no name", "a name of letters, digits, - and _"))
        table = {key: value for key, value in asked.items() if key != "name"}
        files = tuple(self._check_files(table))
        for key in _FILES:
            if isinstance(table.get(key), str) and table[key]:
                table[key] = str(Path(self._key_directory) / str(table[key]))
        if files:
            raise SubscriptionError(*files)
        tables = read_tables(
            {"subscriptions": {name: table}},
            {},
            file="",
            lines={},
            sources=self._sources,
            address="",
            context="",
            files=True,
            brokers=self._brokers,
        )
        mistakes = [one.finding for one in tables.mistakes if one.finding.code not in _OF_ALL]
        if mistakes:
            raise SubscriptionError(*(_of_table(finding, name) for finding in mistakes))
        (subscription,) = tables.subscriptions
        return subscription, next(iter(tables.partners), None)

    def _check_files(self, table: Mapping[str, object]) -> Iterator[Finding]:
        """A path would tell what there is on this machine, and let any file of it serve as a key."""
        for key in _FILES:
            file = table.get(key)
            if not isinstance(file, str) or not file:
                continue
            if not self._key_directory:
                accepted = "no file, or the setting hub.key_directory with the folder in which such files are"
                yield _refused(f"/{key}", f"file {file!r}", accepted)
            elif Path(file).name != file or file in ("", ".", "..") or "\0" in file:
                yield _refused(f"/{key}", f"file {file!r}", "the name of a file, without folder")

    def _require_possible(
        self, new: OwnSubscription, configuration: Configuration, own: tuple[OwnSubscription, ...]
    ) -> None:
        """Whether the subscription goes together with what there is; raises SubscriptionError."""
        name, destination = new.subscription.name, new.destination
        now = merge(configuration, own)
        taken = {one.name for one in configuration.subscriptions} | {one.subscription.name for one in own}
        if destination is not None:
            taken |= {partner.name for partner in now.partners}
        if name in taken:
            raise SubscriptionError(finding_of("EXC-123", "/name", f"name {name}, which is taken", "another", _CLAUSE))
        if len(own) >= MOST_SUBSCRIPTIONS:
            raise SubscriptionError(
                _refused("/", f"{len(own)} subscriptions made by API", "one that is removed before")
            )
        if destination is not None and destination.wire is not Wire.JMS:
            # By the hosts of the file's partners: one that somebody has subscribed with must not open the next door.
            routes = Routes(configuration.partners, (), {})
            if not routes.may_reply_to(destination.url, self._reply_hosts):
                accepted = "an address at the host of a partner, or at one of the setting hub.reply_hosts"
                found = f"address {shown_address(destination.url)}"
                raise SubscriptionError(finding_of("EXC-122", "/url", found, accepted, _CLAUSE))
        partners = now.partners if destination is None else (*now.partners, destination)
        for clash in clashes_of(partners, (*now.subscriptions, new.subscription), self._sources):
            if clash.subject in (new.subscription, destination):
                raise SubscriptionError(_refused(f"/{clash.key}", f"{clash.code} {clash.found}", clash.accepted))


def _refused(path: str, found: str, accepted: str, why: str = "") -> Finding:
    return finding_of("EXC-121", path, found, accepted, why or _CLAUSE)


def _of_table(finding: Finding, name: str) -> Finding:
    """What is wrong about a table, as what is wrong about a body."""
    key = finding.path.removeprefix("subscriptions.").removeprefix(f'"{name}"').removeprefix(name)
    path = "/name" if finding.code == "SET-106" else key.replace(".", "/") or "/"
    return _refused(path, f"{finding.code} {finding.found}", finding.accepted, finding.clause)


def _told(own: OwnSubscription) -> str:
    """What the audit trail says of it."""
    wanted = msgspec.json.encode(own.subscription.filter).decode()
    if own.destination is None:
        return f"to {own.subscription.partner}: {wanted}"
    return f"to {own.destination.wire} {shown_address(own.destination.url)}: {wanted}"


def _views(configuration: Configuration, own: tuple[OwnSubscription, ...]) -> Iterator[SubscriptionView]:
    partners = {partner.name: partner for partner in merge(configuration, own).partners}
    for subscription in configuration.subscriptions:
        yield _view_of(subscription, partners.get(subscription.partner), is_active=True)
    for one in own:
        yield _view_of_own(one, configuration, own)


def _view_of_own(
    one: OwnSubscription, configuration: Configuration, own: tuple[OwnSubscription, ...]
) -> SubscriptionView:
    now = merge(configuration, own)
    partner = one.destination or next((each for each in now.partners if each.name == one.subscription.partner), None)
    view = _view_of(one.subscription, partner, is_active=partner is not None and one.subscription in now.subscriptions)
    return msgspec.structs.replace(view, origin="api", created_at=one.created_at, created_by=one.created_by)


def _view_of(subscription: Subscription, partner: Partner | None, *, is_active: bool) -> SubscriptionView:
    return SubscriptionView(
        name=subscription.name,
        origin="file",
        active=is_active,
        partner=subscription.partner,
        kind=partner.wire.value if partner is not None else "",
        url=shown_address(partner.url) if partner is not None else "",
        signed=partner is not None and bool(partner.secret_file),
        filter=subscription.filter,
    )
