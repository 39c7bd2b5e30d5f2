"""What a seed decides before anything runs: who takes part, what each of them does and when, and what goes wrong.

Each kind of trouble is there in some runs and not in others, so that none hides another. All spans are virtual seconds.
"""

import random
from collections.abc import Collection, Iterator
from datetime import timedelta
from enum import StrEnum
from urllib.parse import urlsplit

import msgspec

from cimcare.exchange.log import Transport
from cimcare.exchange.partners import Forward, Partner, Replies, Retry, Wire
from cimcare.exchange.subscriptions import Filter, Subscription
from cimcare.hub.config.settings import DeliverySettings, HubSettings, Settings, SystemsSettings
from cimcare.model.nouns import NOUNS, Noun, Role
from cimcare.model.verbs import Verb

__all__ = [
    "Client",
    "Manner",
    "Mood",
    "Network",
    "Peer",
    "Plan",
    "Step",
    "Storage",
    "Story",
    "Trouble",
    "TroubleKind",
    "plan_of",
    "stream",
]

HUB_ADDRESS = "http://hub.example"


def stream(seed: int, name: str) -> random.Random:
    """Chance for one part of a run, so that what one part draws moves nothing in another."""
    return random.Random(f"{seed} {name}")


class Mood(StrEnum):
    """How a partner behaves for a while."""

    WELL = "well"
    SLOW = "slow"  # answers late, sometimes too late
    DOWN = "down"  # takes no connection
    HANGING = "hanging"  # takes a message, with or without effect, and says nothing
    BUSY = "busy"  # says so, by reply or by fault
    BROKEN = "broken"  # a fault of its own
    FORGETFUL = "forgetful"  # takes the message, and its answer gets lost


class Manner(StrEnum):
    """How a message wants to be answered."""

    SYNC = "sync"
    ONE_WAY = "one-way"
    LATER = "later"
    ANONYMOUS = "anonymous"  # at once, without any identifier, and so sent once only


class Step(msgspec.Struct, frozen=True):
    """One message of a story: the sample `number` of noun and verb. `pause` comes before it.

    `twins` are sent at once, `again` more after it was accepted; `clashes`: then something else under its identifier.
    """

    noun: Noun
    verb: Verb
    number: int
    manner: Manner = Manner.SYNC
    pause: float = 0.0
    twins: int = 1
    again: int = 0
    clashes: bool = False


class Story(msgspec.Struct, frozen=True):
    """Messages that are sent one after another, each when the one before it has its answer."""

    starts_at: float
    steps: tuple[Step, ...]


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """Who sends messages of its own, in the form of one transport.

    `patience` is for one answer, `pause` between two attempts. After so many `tries` it gives up; 0: never.
    """

    source: str
    address: str
    transport: Transport = Transport.REST_XML
    stories: tuple[Story, ...]
    patience: float
    pause: float
    tries: int = 0
    moods: tuple[tuple[float, Mood], ...] = ()
    refuses: float = 0.0

    @property
    def host(self) -> str:
        """Host of the address to which later replies go."""
        return urlsplit(self.address).netloc


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """A partner.

    `moods` hold until the instant beside them; after the last it is well. `refuses` is the part of messages that it
    refuses for good, `bare` that which it acknowledges without a reply.
    Of requests that it answers later `pieces` replies are the most. `early` is the part whose reply overtakes the
    receipt, `begun` that of those in pieces whose first piece is the answer itself, `twice` that whose reply comes
    again, and `never` that which it loses.
    """

    partner: Partner
    moods: tuple[tuple[float, Mood], ...] = ()
    refuses: float = 0.0
    bare: float = 0.0
    pieces: int = 1
    early: float = 0.0
    begun: float = 0.0
    twice: float = 0.0
    never: float = 0.0


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """Between everybody. `loses` is the part of requests, and of answers, that never arrive."""

    delay: float
    loses: float


class Storage(msgspec.Struct, frozen=True, kw_only=True):
    """How the store behaves. `suspends`: every access takes a moment, as with a server.

    `fails` is the part of transactions that cannot be begun or made durable, `slow` that which takes up to `slowest`.
    """

    suspends: bool = False
    fails: float = 0.0
    slow: float = 0.0
    slowest: float = 0.0


class TroubleKind(StrEnum):
    """What happens to a process of the hub."""

    KILL = "kill"
    POWER = "power"  # all processes at once, and whatever is not durable
    STOP = "stop"  # as it should be: drain, end, start
    FREEZE = "freeze"  # runs no step for a while, and goes on
    HALT = "halt"  # an operator halts delivery to a partner for a while
    REMOVE = "remove"  # an operator takes a partner out of the configuration for a while
    ABANDON = "abandon"  # an operator gives up all that waits for a partner


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """From `at` on after `steps` more steps of a process; `lasts` until it is back.

    `partner` is whom a halt or a removal is for.
    """

    kind: TroubleKind
    at: float
    steps: int
    lasts: float
    process: int = 0
    partner: int = 0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All of a run. `active` is when the world heals; until then everything may go wrong.

    `skews` say by how many seconds the clock of each process is wrong. `resends` and `discards`: what an operator does
    with dead letters in the end. `grows_old`: then years pass, and retention does its work.
    """

    seed: int
    active: float
    skews: tuple[float, ...]
    settings: Settings
    peers: tuple[Peer, ...]
    clients: tuple[Client, ...]
    network: Network
    storage: Storage
    troubles: tuple[Trouble, ...]
    resends: bool
    discards: bool
    grows_old: bool

    @property
    def hubs(self) -> int:
        """Processes of the hub."""
        return len(self.skews)

    def settings_without(self, absent: Collection[str]) -> Settings:
        """The settings without some of the partners, and the subscriptions that lead to them."""
        return msgspec.structs.replace(
            self.settings,
            partners=tuple(one for one in self.settings.partners if one.name not in absent),
            subscriptions=tuple(one for one in self.settings.subscriptions if one.partner not in absent),
        )

    def struck_by(self, kind: TroubleKind) -> frozenset[str]:
        """Partners that a trouble of this kind is for."""
        return frozenset(self.peers[one.partner].partner.name for one in self.troubles if one.kind is kind)

    def describe(self) -> Iterator[str]:
        """The plan in lines for people."""
        yield (
            f"{self.hubs} hub(s), clocks wrong by {', '.join(f'{skew:+g}' for skew in self.skews)} s, trouble until"
            f" {self.active:.1f} s; network loses {self.network.loses:.0%}, delay up to {self.network.delay:.2f} s;"
            f" store {'suspends' if self.storage.suspends else 'is prompt'}, fails {self.storage.fails:.0%}, slow"
            f" {self.storage.slow:.0%}"
        )
        for peer in self.peers:
            one = peer.partner
            yield (
                f"partner {one.name}: source {one.source}, role {one.role.value if one.role else '-'},"
                f" {one.forward.value}, replies {one.replies.value}, deadline {one.deadline.total_seconds():g} s,"
                f" parallel {one.parallel}, rate {one.rate:g}, patience {one.retry.patience.total_seconds():g} s or"
                f" {one.retry.attempts} attempts, refuses {peer.refuses:.0%}; {_told(peer.moods)}"
            )
        for subscription in self.settings.subscriptions:
            wanted = subscription.filter
            yield f"subscription of {subscription.partner}: verbs {wanted.verbs or '*'} nouns {wanted.nouns or '*'}"
        for client in self.clients:
            stories = f"{len(client.stories)} stories, waits {client.patience:g} s, {client.tries or 'endless'} tries"
            yield f"client {client.source} by {client.transport.value}: {stories}; {_told(client.moods)}"
            for number, story in enumerate(client.stories):
                steps = ", ".join(
                    f"{step.verb.value} {step.noun.value} {step.number} {step.manner.value}"
                    f"{f' x{step.twins}' if step.twins > 1 else ''}{f' +{step.again}' if step.again else ''}"
                    for step in story.steps
                )
                yield f"  story {number} at {story.starts_at:.1f} s: {steps}"
        for trouble in self.troubles:
            yield (
                f"{trouble.kind.value} at {trouble.at:.1f} s + {trouble.steps} steps for {trouble.lasts:.1f} s"
                f" (process {trouble.process}, partner {trouble.partner})"
            )


def _told(moods: tuple[tuple[float, Mood], ...]) -> str:
    return ", ".join(f"{mood.value} until {until:.1f}" for until, mood in moods) or "always well"


# ------------------------------------------------------------------------------------------------------------ drawing

_ROLES = {Role.OMS: 0.45, Role.WMS: 0.45, Role.THIRD_PARTY: 0.2, Role.CIS: 0.1}
_STORIES: tuple[tuple[Verb, ...], ...] = (
    (Verb.CREATE,),
    (Verb.CREATE, Verb.CHANGE),
    (Verb.CREATE, Verb.CHANGE, Verb.CHANGE, Verb.CLOSE),
    (Verb.CREATE, Verb.CANCEL, Verb.DELETE),
    (Verb.CREATE, Verb.GET, Verb.CHANGE),
    (Verb.CHANGE, Verb.CHANGE),
    (Verb.GET,),
    (Verb.EXECUTE,),
    (Verb.CREATED, Verb.CHANGED),
)
_STORY_WEIGHTS = (3, 4, 6, 2, 2, 4, 1, 1, 2)
_NOUN_WEIGHTS = {
    Noun.TROUBLE_TICKETS: 6,
    Noun.SERVICE_REQUESTS: 2,
    Noun.SERVICE_ORDERS: 1,
    Noun.WORK_REQUESTS: 2,
    Noun.CUSTOMER_AGREEMENTS: 1,
    Noun.INCIDENTS: 1,
}
_TRANSPORTS = (Transport.REST_XML, Transport.REST_XML, Transport.REST_JSON, Transport.SOAP11, Transport.SOAP12)
_SAMPLES = 40
"""Different samples of a noun that occur at all; few, so that they need not be built for every seed."""


def plan_of(seed: int) -> Plan:
    """The plan of a seed."""
    chance = stream(seed, "plan")
    active = chance.uniform(12, 45)
    hubs = 2 if chance.random() < 0.35 else 1
    peers = _peers(chance, active)
    hub = HubSettings(
        address=HUB_ADDRESS,
        reply_hosts=("*",),
        reply_objects=chance.choice((1, 200)),
        queue_limit=chance.choice((4, 1000, 1000, 1000)),
        log_level="warning",
    )
    delivery = DeliverySettings(
        lease_seconds=chance.choice((3.0, 6.0, 15.0)),
        poll_seconds=chance.choice((1.0, 4.0)),
        circuit_after=chance.choice((1, 3, 5)),
    )
    return Plan(
        seed=seed,
        active=active,
        skews=tuple(chance.choice((0.0, 0.0, 0.0, -1.5, 1.5, 20.0)) if hubs > 1 else 0.0 for _ in range(hubs)),
        settings=Settings(
            hub=hub,
            delivery=delivery,
            systems=SystemsSettings(seed_town=False),
            partners=tuple(peer.partner for peer in peers),
            subscriptions=_subscriptions(chance, peers),
        ),
        peers=peers,
        clients=_clients(chance, active, peers),
        network=Network(delay=chance.choice((0.01, 0.2, 1.0)), loses=chance.choice((0.0, 0.0, 0.05, 0.2))),
        storage=Storage(
            suspends=chance.random() < 0.5,
            fails=chance.choice((0.0, 0.0, 0.02, 0.1)),
            slow=chance.choice((0.0, 0.0, 0.05, 0.2)),
            slowest=chance.choice((0.05, 1.0, 5.0)),
        ),
        troubles=_troubles(chance, active, hubs, len(peers)),
        resends=chance.random() < 0.3,
        discards=chance.random() < 0.2,
        grows_old=chance.random() < 0.2,
    )


def _peers(chance: random.Random, active: float) -> tuple[Peer, ...]:
    peers = [
        _peer(chance, active, role.value, role.value.upper(), role)
        for role, part in _ROLES.items()
        if chance.random() < part
    ]
    peers += [_peer(chance, active, name, name.upper(), None) for name in ("gis", "crm") if chance.random() < 0.7]
    return tuple(peers)


def _peer(chance: random.Random, active: float, name: str, source: str, role: Role | None) -> Peer:
    deadline = chance.choice((1.0, 3.0, 10.0))
    is_patient = chance.random() < 0.75
    replies = chance.choice((Replies.AT_ONCE, Replies.LATER)) if role is not None else Replies.AT_ONCE
    partner = Partner(
        name=name,
        wire=Wire.REST,
        url=f"http://{name}.example/messages",
        source=source,
        role=role,
        owns=tuple(noun for noun, entry in NOUNS.items() if entry.owner is role),
        forward=chance.choice((Forward.THROUGH, Forward.QUEUE)),
        replies=replies,
        deadline=timedelta(seconds=deadline),
        reply_within=timedelta(seconds=chance.choice((5, 20, 60))),
        parallel=chance.choice((1, 2, 4)),
        rate=chance.choice((0.0, 0.0, 0.0, 2.0)),
        retry=Retry(
            first=timedelta(seconds=chance.choice((0.2, 1.0))),
            most=timedelta(seconds=chance.choice((2, 10))),
            jitter=chance.choice((0.0, 0.3, 1.0)),
            patience=timedelta(hours=24) if is_patient else timedelta(seconds=chance.choice((2, 10, 30))),
            attempts=1000 if is_patient else chance.choice((1, 3, 1000)),
        ),
    )
    return Peer(
        partner=partner,
        moods=_moods(chance, active),
        refuses=chance.choice((0.0, 0.0, 0.1, 0.3)),
        bare=chance.choice((0.0, 0.5, 1.0)),
        pieces=chance.choice((1, 1, 3)),
        early=chance.choice((0.0, 0.3)),
        begun=chance.choice((0.0, 0.5)),
        twice=chance.choice((0.0, 0.3)),
        never=chance.choice((0.0, 0.0, 0.2)),
    )


def _moods(chance: random.Random, active: float) -> tuple[tuple[float, Mood], ...]:
    if chance.random() < 0.3:
        return ()
    moods, at = [], 0.0
    while at < active:
        at += chance.expovariate(1 / 12)
        moods.append((min(at, active), chance.choice(tuple(Mood))))
    return tuple(moods)


def _subscriptions(chance: random.Random, peers: tuple[Peer, ...]) -> tuple[Subscription, ...]:
    subscriptions = []
    for peer in peers:
        for number in range(chance.choice((0, 1, 2)) if peer.partner.role else chance.choice((1, 1, 2))):
            wanted = Filter(
                verbs=chance.choice(((), (), ("created",), ("created", "changed", "closed"))),
                nouns=chance.choice(((), (), ("TroubleTickets",), ("TroubleTickets", "Incidents"))),
            )
            name = f"{peer.partner.name}-{number}"
            subscriptions.append(Subscription(name=name, partner=peer.partner.name, filter=wanted))
    return tuple(subscriptions)


def _clients(chance: random.Random, active: float, peers: tuple[Peer, ...]) -> tuple[Client, ...]:
    objects = {noun: tuple(chance.randrange(_SAMPLES) for _ in range(2)) for noun in NOUNS}
    sources = ["CALLS", "PORTAL", "METERS"][: chance.randint(1, 3)]
    sources += [peer.partner.source for peer in peers if chance.random() < 0.3]
    return tuple(
        Client(
            source=source,
            address=f"http://{source.lower()}.client.example/replies",
            transport=chance.choice(_TRANSPORTS),
            stories=tuple(_story(chance, active, objects) for _ in range(chance.choice((1, 1, 2, 3)))),
            patience=chance.choice((2.0, 8.0, 30.0)),
            pause=chance.choice((0.1, 1.0, 4.0)),
            tries=chance.choice((0, 0, 1, 2)),
            moods=_moods(chance, active) if chance.random() < 0.5 else (),
            refuses=chance.choice((0.0, 0.0, 0.2)),
        )
        for source in sources
    )


def _story(chance: random.Random, active: float, objects: dict[Noun, tuple[int, ...]]) -> Story:
    (noun,) = chance.choices(tuple(_NOUN_WEIGHTS), weights=tuple(_NOUN_WEIGHTS.values()))
    (verbs,) = chance.choices(_STORIES, weights=_STORY_WEIGHTS)
    number = chance.choice(objects[noun])
    is_plain = chance.random() < 0.4
    return Story(
        starts_at=chance.uniform(0, active * 0.8),
        steps=tuple(
            Step(
                noun=noun,
                verb=verb,
                number=number,
                manner=_manner(chance, verb) if not is_plain else Manner.SYNC,
                pause=chance.choice((0.0, 0.0, 0.5, 3.0)),
                twins=1 if is_plain else chance.choice((1, 1, 1, 2, 3)),
                again=0 if is_plain else chance.choice((0, 0, 0, 1)),
                clashes=not is_plain and chance.random() < 0.1,
            )
            for verb in verbs
        ),
    )


def _manner(chance: random.Random, verb: Verb) -> Manner:
    if verb in (Verb.CREATED, Verb.CHANGED):  # events are answered in the same exchange
        return chance.choice((Manner.SYNC, Manner.ONE_WAY, Manner.ANONYMOUS))
    if verb is Verb.GET:
        return chance.choice((Manner.SYNC, Manner.LATER, Manner.ANONYMOUS))
    return chance.choice((Manner.SYNC, Manner.SYNC, Manner.SYNC, Manner.LATER, Manner.LATER, Manner.ONE_WAY))


def _troubles(chance: random.Random, active: float, hubs: int, peers: int) -> tuple[Trouble, ...]:
    kinds = [TroubleKind.KILL, TroubleKind.KILL, TroubleKind.POWER, TroubleKind.STOP]
    kinds += [TroubleKind.FREEZE] * (2 if hubs > 1 else 1)
    kinds += [TroubleKind.HALT, TroubleKind.REMOVE, TroubleKind.ABANDON] if peers else []
    return tuple(
        Trouble(
            kind=chance.choice(kinds),
            at=chance.uniform(0, active),
            steps=chance.choice((0, chance.randrange(30), chance.randrange(300))),
            lasts=chance.choice((0.01, 2.0, chance.uniform(0, 20))),
            process=chance.randrange(hubs),
            partner=chance.randrange(peers) if peers else 0,
        )
        for _ in range(chance.choice((0, 1, 2, 3, 5)))
    )
