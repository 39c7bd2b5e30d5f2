"""When an alarm is raised, and what it says."""

import random
import re
from datetime import UTC, datetime, timedelta

import click.testing
import msgspec
import pytest

from cimcare.cli import main
from cimcare.exchange.ledger import Account, Balance, Line, balance_of
from cimcare.exchange.outbox import Backlog
from cimcare.exchange.partners import Partner, Retry
from cimcare.exchange.sending import Circuit
from cimcare.hub.config.settings import read_settings
from cimcare.hub.intake.listening import BrokerState
from cimcare.hub.operation.alarms import Alarm, AlarmLimits, AlarmName, Severity, Situation, evaluate, is_watched
from cimcare.hub.outgoing.halting import Halt
from cimcare.model.nouns import Noun, Role

NOON = datetime(2030, 6, 1, 12, 30, tzinfo=UTC)
LIMITS = AlarmLimits(queue=timedelta(minutes=5), silence=timedelta(minutes=10), failures=0.2)
OMS = Partner(name="oms", source="OMS-REAL", url="http://oms", role=Role.OMS)


def a_backlog(minutes: float | None = None, **changes: object) -> Backlog:
    oldest_at = None if minutes is None else NOON - timedelta(minutes=minutes)
    backlog = Backlog(partner="oms", waiting=3, awaiting=0, dead=0, oldest_at=oldest_at)
    return msgspec.structs.replace(backlog, **changes)


def a_line(account: Account = Account.IN, partner: str = "OMS-REAL", hours: int = 0, **counts: int) -> Line:
    hour = NOON.replace(minute=0) - timedelta(hours=hours)
    return Line(hour=hour, partner=partner, account=account, **counts)


def a_broker(trouble: str = "", seconds: float = 60) -> BrokerState:
    since = NOON - timedelta(seconds=seconds) if trouble else None
    return BrokerState(name="main", links=(), consumers=(), holding=0, counts={}, trouble=trouble, trouble_since=since)


def found_in(limits: AlarmLimits = LIMITS, **facts: object) -> list[tuple[str, str, str]]:
    """Name, partner and level of all alarms."""
    return [(one.name.value, one.partner, one.level.value) for one in alarms_in(limits, **facts)]


def alarms_in(limits: AlarmLimits = LIMITS, **facts: object) -> tuple[Alarm, ...]:
    return evaluate(msgspec.structs.replace(Situation(now=NOON, partners=(OMS,)), **facts), limits)


def test_nothing_is_wrong_where_nothing_is() -> None:
    """An alarm that is always there is read by nobody."""
    quiet = Circuit(Retry())
    assert found_in(
        backlogs=(a_backlog(5), a_backlog(partner="wms", waiting=0, awaiting=2)),
        circuits={"oms": quiet},
        balances=(balance_of(a_line(received=30, delivered=28, refused=1), 1),),
        received_at={"oms": NOON - timedelta(minutes=10)},
        turned_away_at=NOON - timedelta(minutes=6),
    ) == []  # fmt: skip


def test_a_delivery_that_waits_too_long_is_told_with_since_when() -> None:
    """The one who is asked wants to know how bad it is."""
    (alarm,) = alarms_in(backlogs=(a_backlog(6),))
    assert (alarm.name, alarm.partner, alarm.level) == (AlarmName.QUEUE_AGE, "oms", Severity.CRITICAL)
    assert alarm.found == "the oldest of 3 deliveries waits since 2030-06-01T12:24:00+00:00"
    assert (alarm.since, alarm.key) == (NOON, "queue-age oms")


def test_a_halted_queue_names_who_halted_it_and_why() -> None:
    """Nothing is broken then; somebody may have forgotten it."""
    halts = {"oms": Halt(at=NOON - timedelta(hours=1), actor="me", reason="new server")}
    (alarm,) = alarms_in(backlogs=(a_backlog(6),), halts=halts)
    assert alarm.level is Severity.WARNING
    assert "halted since 2030-06-01T11:30:00+00:00 by me: new server" in alarm.found


def test_a_queue_of_nobody_says_so() -> None:
    """A partner that was taken out of the configuration leaves what waits for it."""
    alarms = alarms_in(backlogs=(a_backlog(6, partner="gis"), a_backlog(6, partner="reply host:80")))
    assert ["no partner has this name" in alarm.found for alarm in alarms] == [True, False]


@pytest.mark.parametrize(("dead", "told"), [(1, "1 dead letter"), (2, "2 dead letters")])
def test_each_dead_letter_counts(dead: int, told: str) -> None:
    """One is one too many."""
    (alarm,) = alarms_in(backlogs=(a_backlog(dead=dead),))
    assert (alarm.name, alarm.level, alarm.found) == (AlarmName.DEAD_LETTERS, Severity.WARNING, told)


def test_a_partner_that_is_spared_does_not_answer() -> None:
    """The reason of the last attempt is what the one who is called needs first."""
    circuit = Circuit(Retry(), opens_after=2)
    for _ in range(2):
        circuit.note(is_reached=False, reason="connection refused", now=NOON, chance=random.Random(1))
    (alarm,) = alarms_in(circuits={"oms": circuit})
    assert (alarm.name, alarm.level) == (AlarmName.NOT_ANSWERING, Severity.CRITICAL)
    assert alarm.found == "no answer 2 times in a row: connection refused"


def test_silence_is_an_alarm_where_it_is_asked_for() -> None:
    """Many partners have nothing to say for hours."""
    silent = {"oms": NOON - timedelta(minutes=11)}
    assert found_in(received_at=silent) == [("silent", "oms", "warning")]
    assert found_in(msgspec.structs.replace(LIMITS, silence=None), received_at=silent) == []


def test_only_who_has_something_to_say_is_watched() -> None:
    """A webhook never calls."""
    assert is_watched(OMS)
    assert is_watched(Partner(name="gis", source="GIS", url="http://gis", owns=(Noun.INCIDENTS,)))
    assert not is_watched(Partner(name="gis", source="GIS", url="http://gis"))


@pytest.mark.parametrize(
    ("line", "is_raised"),
    [
        (a_line(delivered=15, refused=5), True),
        (a_line(delivered=16, refused=4), False),
        (a_line(delivered=14, refused=5), False),
        (a_line(delivered=5, repeats=10, refused=5), True),
        (a_line(hours=1, delivered=10, refused=10), True),
        (a_line(hours=2, delivered=10, refused=10), False),
        (a_line(Account.OUT, partner="oms", delivered=10, dead=6, refused=4), True),
        (a_line(Account.OUT, partner="oms", received=100, delivered=2, dead=2), False),
    ],
)  # fmt: skip
def test_failures_are_told_by_their_share(line: Line, is_raised: bool) -> None:
    """A few among many are daily life, and a few alone say nothing."""
    balances = (Balance(line=line, waiting=0, missing=0),)
    assert found_in(balances=balances) == ([("failures", "oms", "warning")] if is_raised else [])


def test_strangers_are_one_partner() -> None:
    """Whoever sends under ever new names must not fill the list of alarms."""
    balances = tuple(balance_of(a_line(partner=f"stranger {number}", received=5, refused=5), 0) for number in range(10))
    (alarm,) = alarms_in(balances=balances)
    assert (alarm.name, alarm.partner, alarm.key) == (AlarmName.FAILURES, "", "failures")
    assert "50 of 50 messages from it were refused" in alarm.found


def test_an_imbalance_names_account_and_hour() -> None:
    """It is where one begins to look."""
    balances = (
        balance_of(a_line(received=2), 0),
        balance_of(a_line(Account.OUT, "oms", hours=100, received=2, delivered=1), 2),
        *(balance_of(a_line(hours=hours, received=1), 0) for hours in (7, 8, 9)),
    )
    (alarm,) = alarms_in(balances=balances)
    assert (alarm.name, alarm.partner, alarm.level) == (AlarmName.LEDGER, "oms", Severity.CRITICAL)
    assert alarm.found.startswith("2 missing in account in of the hour from 2030-06-01T12:00:00+00:00; 1 too many in")
    assert alarm.found.endswith("; and 2 hours more")


def test_overload_stands_for_a_while() -> None:
    """An alarm that comes and goes with every second is none."""
    turned_away_at = NOON - timedelta(minutes=5)
    assert found_in(turned_away_at=turned_away_at) == [("overload", "", "critical")]


def test_limits_are_those_of_the_settings() -> None:
    """Silence is off unless it is set."""
    text = "[alarms]\nqueue_seconds = 300\nsilence_minutes = 10\nfailure_percent = 20\n"
    assert AlarmLimits.of(read_settings(text)) == LIMITS
    assert AlarmLimits.of(read_settings("")).silence is None


def test_a_broker_that_is_not_there_is_told_when_it_does_not_come_back() -> None:
    """A queue that nobody consumes looks as quiet as one into which nothing is put."""
    (alarm,) = alarms_in(brokers=(a_broker("no consumer is attached to jms:queue:A"),))
    assert (alarm.name, alarm.partner, alarm.level) == (AlarmName.BROKER, "main", Severity.CRITICAL)
    assert alarm.found == "no consumer is attached to jms:queue:A, since 2030-06-01T12:29:00+00:00"
    assert not alarms_in(brokers=(a_broker("no session for queues", seconds=10), a_broker()))


def test_each_alarm_says_what_to_do() -> None:
    """Whoever is woken by it may never have seen it."""
    circuit = Circuit(Retry(), opens_after=1)
    circuit.note(is_reached=False, reason="", now=NOON, chance=random.Random(1))
    alarms = alarms_in(
        backlogs=(a_backlog(6, dead=1),),
        circuits={"oms": circuit},
        balances=(balance_of(a_line(received=30, refused=20), 0),),
        received_at={"oms": NOON - timedelta(hours=1)},
        turned_away_at=NOON,
        brokers=(a_broker("no session for sending"),),
    )
    assert {alarm.name for alarm in alarms} == set(AlarmName)
    commands = [command for alarm in alarms for command in re.findall("`cimcare ([a-z ]+?)(?: --|`)", alarm.remedy)]
    assert len(commands) >= 5
    for command in commands:
        shown = click.testing.CliRunner().invoke(main, [*command.split(), "--help"])
        assert (command, shown.exit_code) == (command, 0)
