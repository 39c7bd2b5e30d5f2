"""config: check, plan and apply, with the exit codes that scripts go by."""

import asyncio
import getpass
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cimcare.exchange.audit import Action, AuditRow
from cimcare.hub.config.configuration import Configuration, adopt, load
from cimcare.hub.config.settings import load_settings, read_settings
from cimcare.store.opening import open_reader, open_store
from tests.unit.cli.conftest import Run

GOOD = """\
[systems.oms]
url = "https://oms.example/soap"

[partners.billing]
kind = "rest"
url = "https://billing.example/in?key=secret"
owns = ["CustomerAgreements"]

[subscriptions.gis]
partner = "billing"
nouns = ["Incidents"]
properties = { Region = "North" }

[subscriptions.all]
partner = "oms"
"""
OWNERS = ["oms", "oms", "wms, built in", "wms, built in", "wms, built in", "billing"]
DATABASE = "sqlite:///hub.db"


def start_hub(text: str = "") -> None:
    """Do what a hub does with its database when it starts."""

    async def start() -> None:
        store = await open_store(DATABASE)
        await adopt(store, read_settings(text), datetime(2030, 1, 1, tzinfo=UTC))
        await store.close()

    asyncio.run(start())


def stored() -> tuple[Configuration, tuple[AuditRow, ...]]:
    async def look() -> tuple[Configuration, tuple[AuditRow, ...]]:
        async with open_reader(DATABASE) as reader:
            return await load(reader.records), await reader.audit.rows()

    return asyncio.run(look())


@pytest.fixture(autouse=True)
def file(run: Run) -> Path:
    file = Path("cimcare.toml")
    file.write_text(f'database = "{DATABASE}"\n{GOOD}')
    return file


def test_check_says_what_it_checked(run: Run) -> None:
    """An answer of `good` alone leaves open whether the right file was read."""
    result = run("config", "check")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "cimcare.toml: good",
        "role oms: soap at https://oms.example/soap, source OMS",
        "partner billing: rest at https://billing.example/in?..., source billing",
        'subscription gis: to billing, nouns ["Incidents"], properties { "Region" = "North" }',
        "subscription all: to oms, all events",
        *(
            f"{noun}: {owner}"
            for noun, owner in zip(
                [
                    "TroubleTickets",
                    "Incidents",
                    "ServiceRequests",
                    "ServiceOrders",
                    "WorkRequests",
                    "CustomerAgreements",
                ],
                OWNERS,
                strict=True,
            )
        ),
    ]


def test_check_without_a_file_says_so(run: Run, file: Path) -> None:
    """A file in the wrong folder is read by nobody."""
    file.unlink()
    result = run("config", "check")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith(
        "cimcare.toml is not there; defaults and environment: good\nTroubleTickets: oms, built in"
    )


def test_check_names_every_mistake(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the environment too, which a service has and a shell has not."""
    Path("bad.toml").write_text("prot = 1\n\n[partners.a]\nurl = 'a'\n")
    monkeypatch.setenv("CIMCARE_SYSTEMS_OMS_URL", "oms")
    result = run("config", "check", "--config", "bad.toml")
    assert (result.exit_code, result.stderr) == (1, "")
    assert [line.split("; ")[0] for line in result.stdout.splitlines()] == [
        "bad.toml:1: prot: SET-101 no such setting",
        "bad.toml:4: partners.a.url: SET-107 'a' is neither http nor https",
        "environment: CIMCARE_SYSTEMS_OMS_URL: SET-107 'oms' is neither http nor https",
    ]


def test_check_for_programs(run: Run) -> None:
    """A pipeline that checks the file before it is rolled out."""
    result = run("config", "check", "--json")
    data = json.loads(result.stdout)
    assert (result.exit_code, data["ok"], data["mistakes"]) == (0, True, [])
    assert [(one["name"], one["role"], one["url"]) for one in data["partners"]] == [
        ("oms", "oms", "https://oms.example/soap"),
        ("billing", None, "https://billing.example/in?..."),
    ]
    assert [one["name"] for one in data["subscriptions"]] == ["gis", "all"]
    assert data["owners"]["WorkRequests"] == {"name": "wms", "builtIn": True}
    assert data["owners"]["Incidents"] == {"name": "oms", "builtIn": False}
    Path("bad.toml").write_text("prot = 1\n")
    result = run("config", "check", "--config", "bad.toml", "--json")
    data = json.loads(result.stdout)
    assert (result.exit_code, data["ok"]) == (1, False)
    assert [(one["file"], one["line"], one["code"]) for one in data["mistakes"]] == [("bad.toml", 1, "SET-101")]


def test_a_file_that_is_not_there_is_wrong_use(run: Run) -> None:
    """Not a mistake in a file."""
    for command in ("check", "plan", "apply"):
        result = run("config", command, "--config", "none.toml")
        assert (result.exit_code, result.stdout) == (2, "")
        assert "none.toml" in result.stderr


def test_plan_shows_the_change_and_makes_none(run: Run) -> None:
    """It is safe to look."""
    start_hub("hub.queue_limit = 5")
    result = run("config", "plan")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert [line.split(":")[0] for line in lines[:4]] == [
        "+ role oms",
        "+ partner billing",
        "+ subscription gis",
        "+ subscription all",
    ]
    assert [line[:24] for line in lines[4:]] == [
        "! requests for TroubleTi",
        "! requests for Incidents",
        "! requests for CustomerA",
        "at the next start: hub.q",
    ]
    assert "secret" not in result.stdout
    assert stored()[0] == Configuration()
    data = json.loads(run("config", "plan", "--json", "--partner", "billing").stdout)
    assert [(one["sort"], one["name"], one["turn"]) for one in data["differences"]] == [
        ("partner", "billing", "added"),
        ("subscription", "gis", "added"),
    ]


def test_apply_puts_it_in_force_under_the_name_of_who_does_it(run: Run) -> None:
    """The hub reads it from the database, the auditor from the trail."""
    start_hub()
    result = run("config", "apply", "--actor", "ann")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("+ role oms")
    assert result.stdout.endswith("version 1 is in force\n")
    configuration, rows = stored()
    settings = load_settings()
    assert (configuration.version, configuration.actor) == (1, "ann")
    assert (configuration.partners, configuration.subscriptions) == (settings.partners, settings.subscriptions)
    assert [(row.action, row.actor) for row in rows] == [(Action.CONFIGURE, "ann")]
    again = run("config", "apply", "--actor", "bob")
    assert (again.exit_code, again.stdout) == (0, "nothing to change\n")
    assert stored() == (configuration, rows)


def test_apply_changes_one_partner_alone(run: Run, file: Path) -> None:
    """The rest of the file may be half done."""
    start_hub()
    run("config", "apply")
    file.write_text(file.read_text().replace("oms.example", "new.example").replace("key=secret", "key=other"))
    result = run("config", "apply", "--partner", "oms", "--json")
    data = json.loads(result.stdout)
    assert (result.exit_code, data["version"]) == (0, 2)
    assert [one["name"] for one in data["plan"]["differences"]] == ["oms"]
    assert [partner.url for partner in stored()[0].partners] == [
        "https://new.example/soap",
        "https://billing.example/in?key=secret",
    ]


@pytest.mark.parametrize("command", ["plan", "apply"])
def test_what_cannot_be_done_is_refused(run: Run, file: Path, command: str) -> None:
    """With the code of a no, or of wrong use."""
    missing = run("config", command)
    assert (missing.exit_code, missing.stdout) == (2, "")
    assert "hub.db" in missing.stderr
    assert not Path("hub.db").exists()
    start_hub()
    unknown = run("config", command, "--partner", "oma")
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert "SET-110 no partner 'oma'; one of billing, oms" in unknown.stderr
    file.write_text("[partners.a]\nurl = 'a'\nb = 1\n")
    wrong = run("config", command, "--database", DATABASE)
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert [line.split(":")[1] for line in wrong.stderr.splitlines()[:2]] == ["2", "3"]


def test_apply_without_a_file_removes_nothing(run: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the wrong folder it would take all partners away; where roles come from the environment it has its use."""
    start_hub(GOOD)
    before = stored()
    file.unlink()
    result = run("config", "apply", "--database", DATABASE)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--config" in result.stderr
    assert stored() == before
    monkeypatch.setenv("CIMCARE_SYSTEMS_WMS_URL", "https://wms.example")
    assert run("config", "apply", "--database", DATABASE).exit_code == 0
    assert [partner.name for partner in stored()[0].partners] == ["wms"]


@pytest.mark.parametrize("error", [KeyError("no such user"), OSError("no such user")])
def test_who_has_no_name_goes_by_number(run: Run, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """In a container there may be no table of users."""

    def getuser() -> str:
        raise error

    start_hub()
    monkeypatch.setattr(getpass, "getuser", getuser)
    assert run("config", "apply").exit_code == 0
    assert stored()[0].actor == str(os.getuid())
