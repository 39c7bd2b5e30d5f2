"""The readiness sheet: each check alone, from facts; and the facts, from each store."""

import os
import sqlite3
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import asyncpg
import msgspec
import pytest

from cimcare.exchange.drills import Drilled, Ending
from cimcare.exchange.outbox import Backlog
from cimcare.exchange.partners import Drill, Partner, Tls
from cimcare.exchange.store import Store, StoreError
from cimcare.hub.config.configuration import adopt
from cimcare.hub.config.settings import Settings, read_settings
from cimcare.hub.intake.listening import BrokerState, ConsumerState
from cimcare.hub.metrics import Metrics
from cimcare.hub.operation.alarms import Alarm, AlarmName, Severity
from cimcare.hub.operation.doctor import metrics_of
from cimcare.hub.operation.readiness import (
    BrokerFacts,
    CertificateFile,
    CheckName,
    Disk,
    Facts,
    Limits,
    PartnerFacts,
    Sheet,
    State,
    Verified,
)
from cimcare.hub.operation.readiness_checks import judge_readiness
from cimcare.hub.operation.readiness_facts import Gatherer
from cimcare.hub.outgoing.halting import Halt
from cimcare.model.nouns import NOUNS, Noun
from cimcare.schema import Catalog
from cimcare.store.looking import look_at
from cimcare.store.opening import open_store
from cimcare.transport.broker.life import LinkState
from tests.support.stored import ALL_STORES, NOON

LIMITS = Limits.of(read_settings('[hub]\ncontext = "PRODUCTION"\n'))
OMS = Partner(name="oms", url="https://oms.example/soap", source="OMS", owns=(Noun.TROUBLE_TICKETS,))
NOTHING = Backlog(partner="oms", waiting=0, awaiting=0, dead=0, oldest_at=None)
ANSWERED = Drilled(
    id="drill-1",
    partner="oms",
    kind=Drill.GET,
    began_at=NOON,
    ending=Ending.ANSWERED,
    seconds=0.1,
    result="FAILED",
    codes=("2.15",),
    words="2.15 unknown",
    sent_context="PRODUCTION",
    context="PRODUCTION",
    revision="1",
    clock_seconds=0.0,
    certificate_ends_at=NOON + timedelta(days=100),
)
FINE = PartnerFacts(name="oms", partner=OMS, is_subscriber=True, drilled=ANSWERED, backlog=NOTHING)
GIB = 2**30


def of_hub(**facts: object) -> Sheet:
    """The sheet where this is so, and all else is well."""
    fine = Facts(
        now=NOON,
        disk=Disk(folder="/data", size_bytes=100 * GIB, free_bytes=50 * GIB),
        overload="",
        trail_began_at=NOON,
        partners=(FINE,),
    )
    return judge_readiness(msgspec.structs.replace(fine, **facts), LIMITS)


def of_partner(**facts: object) -> Sheet:
    return of_hub(partners=(msgspec.structs.replace(FINE, **facts),))


def of_drill(**facts: object) -> Sheet:
    return of_partner(drilled=msgspec.structs.replace(ANSWERED, **facts))


def wrong(sheet: Sheet) -> dict[str, str]:
    """Checks that are not go, and what was found."""
    assert all(check.remedy for check in sheet.checks if check.state is not State.GO), "says what to do"
    assert not any(check.remedy for check in sheet.checks if check.state is State.GO)
    return {f"{check.name} {check.state}": check.found for check in sheet.checks if check.state is not State.GO}


def test_all_is_well() -> None:
    """The facts from which each test below departs by one."""
    sheet = of_hub()
    assert (sheet.state, wrong(sheet), sheet.unseen) == (State.GO, {}, ())
    assert sheet.slowest is not None
    assert (sheet.slowest.partner, sheet.slowest.seconds) == ("oms", 0.1)


FAR = timedelta(days=365)
NO_GO = [
    ({"database": "disk I/O error"}, "database", "disk I/O error"),
    ({"disk": Disk(folder="/data", size_bytes=100 * GIB, free_bytes=9 * GIB)}, "disk", "(9%)"),
    (
        {"disk": Disk(folder="/data", size_bytes=100 * GIB, free_bytes=50 * GIB, fills=1.0 * GIB)},
        "disk",
        "full in 50 hours",
    ),
    ({"database_clock_seconds": -6.0}, "clock", "clock of the database is 6.0 s behind"),
    ({"overload": "1000 messages in work"}, "load", "1000 messages"),
    ({"schema_failures": ("created Incidents: SCH-101",)}, "schemas", "SCH-101"),
    ({"verified": Verified(at=NOON - timedelta(days=32), is_whole=True, rows=9)}, "audit", "verified 32 days ago"),
    ({"verified": Verified(at=NOON, is_whole=False, rows=9)}, "audit", "with findings"),
    ({"trail_began_at": NOON - FAR}, "audit", "not verified"),
    ({"lost": {"gis": "elsewhere"}}, "subscriber", "leads to elsewhere"),
]


@pytest.mark.parametrize(("facts", "name", "found"), NO_GO)
def test_what_is_wrong_with_the_hub(facts: dict[str, object], name: str, found: str) -> None:
    """One thing at a time, and nothing else is blamed for it."""
    sheet = of_hub(**facts)
    assert sheet.state is State.NO_GO
    assert list(wrong(sheet)) == [f"{name} no-go"]
    assert found in wrong(sheet)[f"{name} no-go"]


def an_alarm(level: Severity) -> Alarm:
    return Alarm(name=AlarmName.FAILURES, partner="oms", level=level, since=NOON, found="many", remedy="look")


def test_critical_alarms_stand_in_the_way_and_warnings_do_not() -> None:
    """A warning is for the morning, or has a check of its own."""
    assert wrong(of_hub(alarms=(an_alarm(Severity.CRITICAL),))) == {"alarms no-go": "failures oms: many"}
    assert of_hub(alarms=(an_alarm(Severity.WARNING),)).state is State.GO


def test_a_disk_that_becomes_emptier_is_not_predicted_to_fill() -> None:
    """Retention has just run."""
    disk = Disk(folder="/data", size_bytes=100 * GIB, free_bytes=50 * GIB, fills=0.0)
    assert of_hub(disk=disk).state is State.GO


OF_PARTNERS = [
    (
        {"backlog": Backlog(partner="oms", waiting=3, awaiting=0, dead=0, oldest_at=NOON - timedelta(minutes=6))},
        "queue",
    ),
    ({"backlog": Backlog(partner="oms", waiting=0, awaiting=0, dead=2, oldest_at=None)}, "dead-letters"),
    ({"halt": Halt(at=NOON - FAR, actor="ann", reason="works")}, "subscriber"),
    ({"takes_since": NOON - timedelta(minutes=3)}, "subscriber"),
    ({"spared": "no answer"}, "answer"),
    ({"files": (CertificateFile(file="a.pem", ends_at=NOON + timedelta(days=13)),)}, "files"),
    ({"files": (CertificateFile(file="a.pem", failure="no such file"),)}, "files"),
]


@pytest.mark.parametrize(("facts", "name"), OF_PARTNERS)
def test_what_is_wrong_with_a_partner(facts: dict[str, object], name: str) -> None:
    """What the database and the files say of it."""
    assert list(wrong(of_partner(**facts))) == [f"{name} no-go"]


OF_DRILLS = [
    ({"ending": Ending.FAILED, "code": "NET-107", "failure": "refused"}, ["answer"]),
    ({"ending": Ending.FAILED, "code": "NET-104", "failure": "no message"}, ["answer", "schema"]),
    (
        {"ending": Ending.FAILED, "code": "NET-113", "failure": "fault Client: Context TEST expected"},
        ["answer", "context"],
    ),
    ({"seconds": 3.5}, ["speed"]),
    ({"codes": ("5.3",), "words": "5.3 broken"}, ["answer"]),
    ({"codes": ("7.4",), "words": "7.4 who are you"}, ["answer"]),
    ({"codes": ("7.7",), "words": "7.7 Header/Context is PRODUCTION"}, ["context"]),
    ({"codes": ("1.8",), "words": "1.8 Property not expected"}, ["schema"]),
    ({"codes": (), "words": ""}, ["answer"]),
    ({"context": "TRAINING"}, ["context"]),
    ({"revision": "2.0"}, ["schema"]),
    ({"breach": "/ResponseMessage: SCH-101 Foo"}, ["schema"]),
    ({"clock_seconds": 5.1}, ["clock"]),
    ({"certificate_ends_at": NOON + timedelta(days=13)}, ["certificate"]),
    (
        {"ending": Ending.FAILED, "code": "NET-108", "failure": "TLS refused", "tls_failure": "expired"},
        ["answer", "certificate"],
    ),
]


@pytest.mark.parametrize(("facts", "names"), OF_DRILLS)
def test_what_a_drill_shows(facts: dict[str, object], names: list[str]) -> None:
    """What the answer says is told apart: to mend a Context somebody else has to get up than to mend a cable."""
    assert sorted(wrong(of_drill(**facts))) == [f"{name} no-go" for name in names]


@pytest.mark.parametrize("codes", [("2.15",), ("0.0",), ("0.3", "2.5")])
def test_unknown_is_the_right_answer_to_a_get_of_a_drill(codes: tuple[str, ...]) -> None:
    """It was asked for what cannot be there."""
    assert of_drill(codes=codes, result="FAILED" if codes[-1] != "0.0" else "OK").state is State.GO


def test_what_an_answer_does_not_say_is_unseen_and_not_unknown() -> None:
    """Timestamp and Context are optional: a partner that leaves them out could never be green."""
    sheet = of_drill(clock_seconds=None, context="", certificate_ends_at=None)
    assert sheet.state is State.GO
    assert [one.partition(":")[0] for one in sheet.unseen] == ["Context of oms", "clock of oms"]


def test_nobody_has_looked_is_no_go() -> None:
    """A sheet that is green because nobody looked is worse than none."""
    for facts in (
        {"drilled": None},
        {"is_drilled": False},
        {"drilled": msgspec.structs.replace(ANSWERED, began_at=NOON - FAR)},
    ):
        sheet = of_partner(**facts)
        assert sheet.state is State.UNKNOWN
        assert list(wrong(sheet)) == ["answer unknown"]


def test_real_deliveries_speak_for_a_partner_that_is_not_drilled() -> None:
    """Whoever took something an hour ago is there."""
    assert of_partner(is_drilled=False, delivered_at=NOON - timedelta(hours=1)).state is State.GO
    assert of_partner(is_drilled=False, delivered_at=NOON - timedelta(hours=25)).state is State.UNKNOWN


def test_a_drill_that_was_spared_says_why() -> None:
    """Then that is the finding."""
    spared = msgspec.structs.replace(ANSWERED, ending=Ending.SPARED, seconds=None, failure="4 deliveries go before it")
    assert wrong(of_partner(drilled=spared)) == {"answer unknown": "not drilled: 4 deliveries go before it"}


def test_a_destination_that_no_partner_has_is_looked_at_too() -> None:
    """It was removed, and what was for it waits for ever."""
    gone = Backlog(partner="gone", waiting=0, awaiting=0, dead=1, oldest_at=None)
    sheet = of_hub(partners=(FINE, PartnerFacts(name="gone", backlog=gone)))
    assert list(wrong(sheet)) == ["dead-letters no-go"]


def test_what_was_wrong_and_is_gone_does_not_stay_on_the_metrics() -> None:
    """A gauge of a check that is not made any more says `unknown`, and neither go nor no-go."""
    metrics = Metrics()
    metrics.know_partners(["oms"])
    show = metrics_of(metrics)
    show(of_drill(context="TRAINING"))
    assert 'cimcare_readiness{check="context",partner="oms"} 0.0' in metrics.render().decode()
    show(of_partner(drilled=None))
    text = metrics.render().decode()
    assert 'cimcare_readiness{check="context",partner="oms"} -1.0' in text
    assert 'cimcare_readiness{check="answer",partner="oms"} -1.0' in text
    assert 'cimcare_drill_seconds{partner="oms"} 0.0' in text


# ------------------------------------------------------------------------------------------------------------- facts


@pytest.fixture(params=ALL_STORES)
async def opened(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Store, Settings]]:
    urls = {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path / 'hub.db'}"}
    url = urls.get(request.param) or request.getfixturevalue("postgres_url")
    store = await open_store(url)
    yield store, msgspec.structs.replace(read_settings(""), database=url)
    await store.close()


def a_gatherer(store: Store, settings: Settings, now: list[timedelta]) -> Gatherer:
    return Gatherer(store=store, settings=settings, catalog=Catalog(), clock=lambda: NOON + now[-1])


async def test_a_database_is_looked_at_whichever_it_is(opened: tuple[Store, Settings]) -> None:
    """It takes writes, and has the tables of this release; a server has a clock of its own."""
    store, settings = opened
    facts = await a_gatherer(store, settings, [timedelta()]).gather(writes=True)
    assert facts.database == ""
    is_server = settings.database.startswith("postgresql")
    assert (facts.database_clock_seconds is not None) is is_server
    assert abs(facts.database_clock_seconds or 0.0) < 1
    assert (facts.disk is not None) is settings.database.startswith("sqlite")
    assert any("disk" in one for one in facts.unseen) is (facts.disk is None)
    sheet = judge_readiness(facts, LIMITS)
    assert {check.name for check in sheet.checks if check.state is State.GO} >= {CheckName.DATABASE, CheckName.AUDIT}


async def test_tables_of_another_release_are_seen(opened: tuple[Store, Settings]) -> None:
    """A newer hub has upgraded them under this one."""
    store, settings = opened
    statement = "UPDATE alembic_version SET version_num = '0999'"
    if settings.database == "memory:":
        return
    if settings.database.startswith("sqlite"):
        with sqlite3.connect(settings.database.removeprefix("sqlite:///")) as connection:
            connection.execute(statement)
        connection.close()
    else:
        server = await asyncpg.connect(settings.database)
        await server.execute(statement)
        await server.close()
    facts = await a_gatherer(store, settings, [timedelta()]).gather(writes=True)
    assert "0999" in facts.database
    assert wrong(judge_readiness(facts, LIMITS)).keys() == {"database no-go"}


@pytest.mark.parametrize("url", ["sqlite:////no/such/folder/hub.db", "postgresql://nobody@127.0.0.1:1/none"])
async def test_a_database_that_is_not_there(url: str) -> None:
    """Told, and not raised: it is what the sheet is for."""
    assert "cannot be used" in (await look_at(url)).failure


async def test_a_database_that_takes_no_writes(opened: tuple[Store, Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    """It can be read all the same, so that everything looks well until the first message."""
    store, settings = opened

    def refuse(*_: object) -> object:
        raise StoreError("disk is full")

    monkeypatch.setattr(type(store), "transaction", refuse)
    gatherer = a_gatherer(store, settings, [timedelta()])
    assert (await gatherer.gather(writes=True)).database == "disk is full"
    assert (await gatherer.gather(writes=False)).database == ""


async def test_how_a_disk_fills_is_learnt_by_looking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half full is fine, unless it was empty this morning. A process that was started anew knows it, too."""
    settings = msgspec.structs.replace(read_settings(""), database=f"sqlite:///{tmp_path / 'hub.db'}")
    store = await open_store(settings.database)
    now, free = [timedelta()], [80]
    space = lambda _: SimpleNamespace(f_frsize=GIB, f_blocks=100, f_bavail=free[-1])  # noqa: E731
    monkeypatch.setattr(os, "statvfs", space)
    first = (await a_gatherer(store, settings, now).gather(writes=True)).disk
    assert first == Disk(folder=str(tmp_path), size_bytes=100 * GIB, free_bytes=80 * GIB)
    now.append(timedelta(hours=10))
    free.append(60)
    disk = (await a_gatherer(store, settings, now).gather(writes=False)).disk
    assert disk is not None
    assert disk.fills == 2.0 * GIB
    assert wrong(judge_readiness(Facts(now=NOON, disk=disk, trail_began_at=NOON), LIMITS)).keys() == {"disk no-go"}
    await store.close()


async def test_files_of_ours_are_read(tmp_path: Path) -> None:
    """Our own certificate ends by itself; of authorities one that is valid is enough; a file may be gone."""
    tls = Path(__file__).parents[3] / "support" / "tls"
    authorities = tmp_path / "both.pem"
    authorities.write_text((tls / "expired.pem").read_text() + (tls / "ca.pem").read_text())
    url = f"sqlite:///{tmp_path / 'hub.db'}"
    text = (
        f'database = "{url}"\n[partners.a]\nurl = "https://a.example"\nca_file = "{authorities}"\n'
        f'certificate_file = "{tls / "expired.pem"}"\n'
    )
    settings = read_settings(text)
    store = await open_store(url)
    await adopt(store, settings, NOON)
    (one,) = (await a_gatherer(store, settings, [timedelta()]).gather(writes=False)).partners
    assert [(file.ends_at and file.ends_at.year) for file in one.files] == [2021, 2126]
    await store.close()
    assert one.partner is not None
    assert one.partner.tls == Tls(ca_file=str(authorities), certificate_file=str(tls / "expired.pem"))


async def test_schemas_of_the_user_that_refuse_our_own_messages(tmp_path: Path) -> None:
    """Official schemas are put in the place of ours, and the first event of the storm is refused by them."""
    schemas = tmp_path / "schemas"
    schemas.mkdir()
    namespace = NOUNS[Noun.INCIDENTS].namespace
    (schemas / "Incidents.xsd").write_text(
        f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="{namespace}" xmlns="{namespace}"'
        ' elementFormDefault="qualified"><xs:element name="Incidents"><xs:complexType><xs:sequence>'
        '<xs:element name="Nothing" type="xs:string"/></xs:sequence></xs:complexType></xs:element></xs:schema>'
    )
    url = f"sqlite:///{tmp_path / 'hub.db'}"
    store = await open_store(url)
    settings = read_settings(f'database = "{url}"\n[schema]\ndirectory = "{schemas}"\n')
    gatherer = Gatherer(store=store, settings=settings, catalog=Catalog(schemas), clock=lambda: NOON)
    facts = await gatherer.gather(writes=False)
    await store.close()
    assert [one.partition(":")[0] for one in facts.schema_failures] == ["created Incidents"]
    assert wrong(judge_readiness(msgspec.structs.replace(facts, trail_began_at=NOON), LIMITS)).keys() == {
        "schemas no-go"
    }


# ----------------------------------------------------------------------------------------------------------- brokers


def at_broker(*, reason: str = "", is_open: bool = True, watch: float = 30, **consumer: object) -> Sheet:
    link = LinkState(
        purpose="queues", is_open=is_open, address="stomp://b", since=NOON, opened=1, failures=0, reason=reason
    )
    found = {"destination": "jms:queue:Q", "attached": True, "waits": False, "proven_at": NOON, **consumer}
    state = BrokerState(
        name="bus",
        links=(link,),
        consumers=(ConsumerState(**found),),
        holding=0,
        counts={},
        trouble="",
        trouble_since=None,
    )
    return of_hub(brokers=(BrokerFacts(state=state, watch=timedelta(seconds=watch)),))


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, []),
        ({"is_open": False, "reason": "refused"}, ["broker no-go"]),
        ({"attached": False}, ["consumer no-go"]),
        ({"attached": False, "waits": True}, []),
        ({"proven_at": None}, ["consumer unknown"]),
        ({"proven_at": None, "reason": "nothing comes through the consumer of jms:queue:Q"}, ["consumer no-go"]),
        ({"proven_at": None, "watch": 0}, []),
        ({"proven_at": NOON - timedelta(seconds=90)}, []),
        ({"proven_at": NOON - timedelta(seconds=100)}, ["consumer no-go"]),
    ],
)
def test_a_consumer_is_attached_when_something_comes_through(facts: dict[str, object], expected: list[str]) -> None:
    """A broker that has confirmed a subscription, and hands nothing out, is what nobody notices."""
    assert list(wrong(at_broker(**facts))) == expected
