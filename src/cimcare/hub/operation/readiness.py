"""The readiness sheet: whether the hub and its partners are ready for a storm, judged from what was gathered.

Pure. Each check says what was found, what would pass, and what to do. `unknown` is no `go`: nobody has looked.
What cannot be looked at from here is not on the sheet as a check; it is named beside it.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from cimcare.exchange.drills import Drilled, Ending
from cimcare.exchange.outbox import Backlog
from cimcare.exchange.partners import Partner
from cimcare.hub.config.settings import Settings
from cimcare.hub.intake.listening import BrokerState
from cimcare.hub.operation.alarms import Alarm
from cimcare.hub.outgoing.halting import Halt

__all__ = [
    "BrokerFacts",
    "CertificateFile",
    "Check",
    "CheckName",
    "Disk",
    "Facts",
    "Limits",
    "Link",
    "PartnerFacts",
    "Sheet",
    "State",
    "Verified",
    "sheet_of",
]


class State(StrEnum):
    """What a check came to."""

    GO = "go"
    NO_GO = "no-go"
    UNKNOWN = "unknown"


class CheckName(StrEnum):
    """What is looked at."""

    HUB = "hub"
    DOOR = "door"
    DATABASE = "database"
    DISK = "disk"
    CLOCK = "clock"
    LOAD = "load"
    SCHEMAS = "schemas"
    ALARMS = "alarms"
    AUDIT = "audit"
    ANSWER = "answer"
    SPEED = "speed"
    CONTEXT = "context"
    SCHEMA = "schema"
    CERTIFICATE = "certificate"
    FILES = "files"
    BROKER = "broker"
    CONSUMER = "consumer"
    QUEUE = "queue"
    DEAD_LETTERS = "dead-letters"
    SUBSCRIBER = "subscriber"


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the sheet. `partner` is a destination, or a broker, empty for what is about the hub itself."""

    name: CheckName
    partner: str = ""
    state: State
    found: str
    accepted: str
    remedy: str = ""


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A partner, and how long a drill took there and back."""

    partner: str
    seconds: float


class Sheet(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Go or no-go.

    `state` is `go` only if every check is. `links` are the drills that were answered, the slowest first. `unseen` says
    what nobody here can look at.
    """

    at: datetime
    state: State
    checks: tuple[Check, ...]
    links: tuple[Link, ...] = ()
    unseen: tuple[str, ...] = ()

    @property
    def slowest(self) -> Link | None:
        """The slowest link; None if no drill was answered."""
        return self.links[0] if self.links else None


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What still passes."""

    slow_seconds: float
    certificate: timedelta
    clock_seconds: float
    disk_share: float
    disk: timedelta
    silent: timedelta
    answer: timedelta
    audit: timedelta | None
    queue: timedelta
    context: str

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """The limits of the settings."""
        doctor = settings.doctor
        return cls(
            slow_seconds=doctor.slow_seconds,
            certificate=timedelta(days=doctor.certificate_days),
            clock_seconds=doctor.clock_seconds,
            disk_share=doctor.disk_percent / 100,
            disk=timedelta(hours=doctor.disk_hours),
            silent=timedelta(minutes=doctor.silent_minutes),
            answer=timedelta(hours=doctor.answer_hours),
            audit=timedelta(days=doctor.audit_days) or None,
            queue=timedelta(seconds=settings.alarms.queue_seconds),
            context=settings.hub.context,
        )


class CertificateFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of ours with certificates. `ends_at` is when it is of no use any more, None where `failure` says why."""

    file: str
    ends_at: datetime | None = None
    failure: str = ""


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """The last verification of the audit trail."""

    at: datetime
    is_whole: bool
    rows: int


class PartnerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one destination.

    `partner` is None where deliveries wait for a name that no partner has. `drilled` is the last drill. `delivered_at`
    is the end of the last hour in which it took a delivery. `takes_since` is since when something has been there for it
    without it having taken anything; None if it has, or nothing was there. `spared` says why it is not sent to.
    """

    name: str
    partner: Partner | None = None
    is_subscriber: bool = False
    is_drilled: bool = True
    drilled: Drilled | None = None
    backlog: Backlog
    halt: Halt | None = None
    delivered_at: datetime | None = None
    takes_since: datetime | None = None
    spared: str = ""
    files: tuple[CertificateFile, ...] = ()


class BrokerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """How it is with a broker. `watch` is how often it is proved that consumers are attached; zero: never."""

    state: BrokerState
    watch: timedelta


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """The disk on which the database is. `fills` is how many bytes an hour it has lost; None without two looks."""

    folder: str
    size_bytes: int
    free_bytes: int
    fills: float | None = None


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """All that was gathered.

    `database` says why the database cannot be used, empty if it can; `database_clock_seconds` by how much its clock is
    ahead, None where it has none of its own. `overload` says why no more messages are taken, empty if they are, None
    where no hub was asked. `schema_failures` are messages of ours that the schemas in force refuse. `lost` are
    subscriptions that lead nowhere. `trail_began_at` is the first row of the audit trail.

    """

    now: datetime
    database: str = ""
    database_clock_seconds: float | None = None
    disk: Disk | None = None
    disk_failure: str = ""
    overload: str | None = None
    schema_failures: tuple[str, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    verified: Verified | None = None
    trail_began_at: datetime | None = None
    partners: tuple[PartnerFacts, ...] = ()
    lost: Mapping[str, str] = {}
    brokers: tuple[BrokerFacts, ...] = ()
    unseen: tuple[str, ...] = ()


def sheet_of(facts: Facts, checks: Iterable[Check], unseen: Iterable[str] = ()) -> Sheet:
    """The sheet of these checks: no-go before unknown before go, each as it was judged."""
    order = {State.NO_GO: 0, State.UNKNOWN: 1, State.GO: 2}
    found = tuple(sorted(checks, key=lambda each: order[each.state]))
    links = sorted(
        (
            Link(partner=each.name, seconds=each.drilled.seconds)
            for each in facts.partners
            if each.drilled is not None and each.drilled.ending is Ending.ANSWERED and each.drilled.seconds is not None
        ),
        key=lambda link: -link.seconds,
    )
    worst = found[0].state if found else State.UNKNOWN
    return Sheet(at=facts.now, state=worst, checks=found, links=tuple(links), unseen=(*facts.unseen, *unseen))
