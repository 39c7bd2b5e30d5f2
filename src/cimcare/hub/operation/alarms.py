"""Alarms: what an operator has to know of without looking, judged from what is in the database and in the process.

Pure. Each alarm says what was found and what to do. Source: guarantees G5, G7, G8 and G11.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from cimcare.exchange.ledger import Account, Balance, Line, hour_of
from cimcare.exchange.outbox import Backlog
from cimcare.exchange.partners import BROKER, DIRECT, Partner
from cimcare.exchange.sending import Circuit
from cimcare.hub.config.settings import Settings
from cimcare.hub.intake.listening import BrokerState
from cimcare.hub.outgoing.halting import Halt

__all__ = ["Alarm", "AlarmLimits", "AlarmName", "Severity", "Situation", "evaluate", "is_watched"]

_HOUR = timedelta(hours=1)
_FEWEST = 20
"""Messages below which a share says nothing."""

_OVERLOAD_LASTS = timedelta(minutes=5)
"""How long an alarm stands behind the last message that was turned away."""

_BROKER_LASTS = timedelta(seconds=15)
"""A broker that is started anew is back before; longer than this somebody has to know."""

_OTHERS = ""
"""Stands for whoever is no partner."""


class AlarmName(StrEnum):
    """What may be wrong."""

    QUEUE_AGE = "queue-age"
    DEAD_LETTERS = "dead-letters"
    NOT_ANSWERING = "not-answering"
    SILENT = "silent"
    FAILURES = "failures"
    LEDGER = "ledger"
    OVERLOAD = "overload"
    BROKER = "broker"


class Severity(StrEnum):
    """`critical`: something is lost, turned away or not going out. `warning`: it will be noticed without haste."""

    WARNING = "warning"
    CRITICAL = "critical"


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """One alarm.

    `partner` is the name of a destination, or of a broker, empty where it is about none; `since` is when it was raised.
    `found` says what was found, `remedy` what to do.
    """

    name: AlarmName
    partner: str
    level: Severity
    since: datetime
    found: str
    remedy: str

    @property
    def key(self) -> str:
        """What tells it from others."""
        return f"{self.name} {self.partner}".strip()


class AlarmLimits(msgspec.Struct, frozen=True, kw_only=True):
    """When an alarm is raised. `silence` is None where it is off; `failures` is a part of 1."""

    queue: timedelta
    silence: timedelta | None
    failures: float

    @classmethod
    def of(cls, settings: Settings) -> "AlarmLimits":
        """The limits of the settings."""
        alarms = settings.alarms
        return cls(
            queue=timedelta(seconds=alarms.queue_seconds),
            silence=timedelta(minutes=alarms.silence_minutes) or None,
            failures=alarms.failure_percent / 100,
        )


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """What is judged.

    `balances` are those of some days, `received_at` when something came last from each partner that is watched, and
    `turned_away_at` when a message was last refused as too busy; None where it never was.
    """

    now: datetime
    partners: tuple[Partner, ...] = ()
    backlogs: tuple[Backlog, ...] = ()
    halts: Mapping[str, Halt] = {}
    circuits: Mapping[str, Circuit] = {}
    balances: tuple[Balance, ...] = ()
    received_at: Mapping[str, datetime] = {}
    turned_away_at: datetime | None = None
    brokers: tuple[BrokerState, ...] = ()


def is_watched(partner: Partner) -> bool:
    """Whether something is to be heard from a partner: it plays a role or owns nouns, and does not merely listen."""
    return partner.role is not None or bool(partner.owns)


def evaluate(situation: Situation, limits: AlarmLimits) -> tuple[Alarm, ...]:
    """All alarms of a situation, each raised now."""
    return tuple(
        Alarm(name=name, partner=partner, level=level, since=situation.now, found=found, remedy=remedy)
        for name, partner, level, found, remedy in (
            *_queues(situation, limits),
            *_dead_letters(situation),
            *_silent_wires(situation),
            *_silence(situation, limits),
            *_failures(situation, limits),
            *_imbalances(situation),
            *_overload(situation),
            *_brokers(situation),
        )
    )


_Judged = tuple[AlarmName, str, Severity, str, str]


def _queues(situation: Situation, limits: AlarmLimits) -> Iterator[_Judged]:
    known = {partner.name for partner in situation.partners}
    for backlog in situation.backlogs:
        if backlog.oldest_at is None or situation.now - backlog.oldest_at <= limits.queue:
            continue
        name = backlog.partner
        found = f"the oldest of {backlog.waiting} deliveries waits since {_shown(backlog.oldest_at)}"
        level, remedy = Severity.CRITICAL, "see what the partner says to them, with `cimcare deliveries list`"
        halt = situation.halts.get(name)
        if halt is not None:
            level = Severity.WARNING
            found = f"{found}; halted since {_shown(halt.at)} by {halt.actor}: {halt.reason}"
            remedy = "let delivery go on when the reason is gone, with `cimcare deliveries release`"
        elif name not in known and not name.startswith((f"{DIRECT} ", f"{BROKER} ")):
            found = f"{found}; no partner has this name"
            remedy = "configure the partner again, and what waits goes on; or `cimcare deliveries abandon`"
        yield AlarmName.QUEUE_AGE, name, level, found, remedy


def _dead_letters(situation: Situation) -> Iterator[_Judged]:
    for backlog in situation.backlogs:
        if backlog.dead:
            found = f"{backlog.dead} dead letter{'s' if backlog.dead > 1 else ''}"
            remedy = "read why, with `cimcare deadletters list`; then resend or discard them, with a reason"
            yield AlarmName.DEAD_LETTERS, backlog.partner, Severity.WARNING, found, remedy


def _silent_wires(situation: Situation) -> Iterator[_Judged]:
    for name, circuit in sorted(situation.circuits.items()):
        if circuit.is_open:
            found = f"no answer {circuit.failures} times in a row: {circuit.reason}"
            remedy = "bring the partner or the way to it back; one delivery at a time finds out when it is"
            yield AlarmName.NOT_ANSWERING, name, Severity.CRITICAL, found, remedy


def _silence(situation: Situation, limits: AlarmLimits) -> Iterator[_Judged]:
    if limits.silence is None:
        return
    for name, received_at in sorted(situation.received_at.items()):
        if situation.now - received_at > limits.silence:
            minutes = int(limits.silence.total_seconds() // 60)
            found = f"nothing has come for more than {minutes} minutes, the last before {_shown(received_at)}"
            remedy = "ask whether the partner has nothing to say, or cannot; setting alarms.silence_minutes"
            yield AlarmName.SILENT, name, Severity.WARNING, found, remedy


def _failures(situation: Situation, limits: AlarmLimits) -> Iterator[_Judged]:
    recent = [one.line for one in situation.balances if one.line.hour >= hour_of(situation.now - _HOUR)]
    for name, lines in _grouped(recent, situation.partners).items():
        told = []
        for account, what in ((Account.IN, "messages from it were refused"), (Account.OUT, "deliveries were given up")):
            own = [line for line in lines if line.account is account]
            failed = sum(line.refused + line.dead for line in own)
            ended = failed + sum(line.delivered + line.repeats for line in own)
            if ended >= _FEWEST and failed > limits.failures * ended:
                told.append(f"{failed} of {ended} {what}")
        if told:
            found = f"in this hour and the one before {' and '.join(told)}"
            remedy = "look why, with `cimcare messages list --outcome FAILED --newest` or `cimcare deadletters list`"
            yield AlarmName.FAILURES, name, Severity.WARNING, found, remedy


def _imbalances(situation: Situation) -> Iterator[_Judged]:
    off = {id(one.line): one for one in situation.balances if one.missing}
    for name, lines in _grouped([one.line for one in off.values()], situation.partners).items():
        found = "; ".join(
            f"{_off_by(off[id(line)])} in account {line.account} of the hour from {_shown(line.hour)}"
            for line in lines[:3]
        )
        more = f"; and {len(lines) - 3} hours more" if len(lines) > 3 else ""
        remedy = "see `cimcare ledger` for these hours and run `cimcare audit verify`: rows were lost or doubled"
        yield AlarmName.LEDGER, name, Severity.CRITICAL, found + more, remedy


def _overload(situation: Situation) -> Iterator[_Judged]:
    at = situation.turned_away_at
    if at is not None and situation.now - at <= _OVERLOAD_LASTS:
        found = f"messages are refused as too busy, the last before {_shown(at)}"
        remedy = "give the hub more processes or processors, or have senders slow down; settings hub.queue_limit and"
        yield AlarmName.OVERLOAD, _OTHERS, Severity.CRITICAL, found, f"{remedy} hub.wait_seconds"


def _brokers(situation: Situation) -> Iterator[_Judged]:
    for broker in situation.brokers:
        if broker.trouble_since is not None and situation.now - broker.trouble_since >= _BROKER_LASTS:
            found = f"{broker.trouble}, since {_shown(broker.trouble_since)}"
            remedy = "bring the broker or the way to it back; see `cimcare brokers` or /api/v1/brokers"
            yield AlarmName.BROKER, broker.name, Severity.CRITICAL, found, remedy


def _off_by(balance: Balance) -> str:
    return f"{balance.missing} missing" if balance.missing > 0 else f"{-balance.missing} too many"


def _grouped(lines: Iterable[Line], partners: tuple[Partner, ...]) -> dict[str, list[Line]]:
    """Lines by the name of the partner; what came from others goes together, whatever they call themselves."""
    by_source = {partner.source: partner.name for partner in reversed(partners)}
    grouped: dict[str, list[Line]] = {}
    for line in lines:
        name = by_source.get(line.partner, _OTHERS) if line.account is Account.IN else line.partner
        grouped.setdefault(name, []).append(line)
    return dict(sorted(grouped.items()))


def _shown(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
