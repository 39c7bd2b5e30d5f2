"""outages: what dispatchers say and see from the command line."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from cimcare.codec.envelope import render_message
from cimcare.hub.serving.lifespan import running_hub
from cimcare.model.envelope import Header, Payload, RequestMessage
from cimcare.model.identity import MRID, MessageID
from cimcare.model.nouns import Noun
from cimcare.model.trouble_ticket import ServiceLocationIdentity, TroubleTicket, TroubleTickets
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from tests.support.hub import hub_settings
from tests.unit.cli.conftest import Run


class Hub(NamedTuple):
    """A hub that runs: its address, and its database."""

    address: str
    database: str


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub on a thread of its own, for the command brings its own event loop."""
    address: list[str] = []
    ready, over = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()
    settings = hub_settings(tmp_path_factory.mktemp("hub"), "hub.tick_seconds = 0.2\n")

    async def serve() -> None:
        async with running_hub(settings) as running:
            address.append(running.address)
            ready.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(30)
        yield Hub(address[0], settings.database)
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(30)
        loop.close()


def a_request(verb: Verb, tickets: TroubleTickets) -> RequestMessage:
    """A request about tickets."""
    header = Header(verb=verb, noun=Noun.TROUBLE_TICKETS, source="CIS", message_id=MessageID(f"request {id(tickets)}"))
    return RequestMessage(header=header, payload=Payload(content=(tickets,)))


def opened(run: Run, hub: Hub, seed: int) -> str:
    """The incident of a new ticket."""
    message = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=seed, now=datetime.now(UTC))
    before = {line.split()[0] for line in listed(run, hub)}
    assert run("send", "-", "--to", f"{hub.address}/messages", stdin=render_message(message)).exit_code == 0
    (new,) = {line.split()[0] for line in listed(run, hub)} - before
    return new


def listed(run: Run, hub: Hub, *more: str) -> list[str]:
    result = run("outages", "--database", hub.database, "list", "--limit", "1000", *more)
    assert result.exit_code == 0, result.stderr
    return result.stdout.splitlines()


def hours(count: int) -> str:
    return (datetime.now(UTC) + timedelta(hours=count)).strftime("%Y-%m-%dT%H:%M:%S+00:00")


@pytest.mark.parametrize("path", ["/messages", "/soap"])
def test_from_estimate_to_restoration(run: Run, hub: Hub, path: str) -> None:
    """A dispatcher without any console: says when supply is back, sends a crew, says that it is back."""
    incident, to = opened(run, hub, len(path) * 10), f"{hub.address}{path}"
    shown = run("outages", "--database", hub.database, "show", incident).stdout
    assert "No restoration time is known yet." in shown
    said = run("outages", "dispatch", incident, "--crew", "Lakeside 4", "--to", to)
    assert (said.exit_code, said.stdout) == (0, f"OK change {incident}\n"), said.stderr
    said = run("outages", "etr", incident, "--at", hours(2), "--who", "Ana Ruiz", "--confidence", "60", "--to", to)
    assert said.exit_code == 0, said.stderr
    shown = run("outages", "--database", hub.database, "show", incident).stdout
    assert "by Ana Ruiz (operator, confidence 60 %" in shown
    assert "crew: Lakeside 4 dispatched" in shown
    said = run("outages", "etr", incident, "--at", hours(3), "--by", "crew", "--who", "Lakeside 4", "--to", to)
    assert said.exit_code == 0, said.stderr
    said = run("outages", "restore", incident, "--by", "crew", "--who", "Lakeside 4", "--to", to)
    assert (said.exit_code, said.stdout) == (0, f"OK close {incident}\n"), said.stderr
    assert any(line.startswith(incident) and " closed " in line for line in listed(run, hub, "--state", "closed"))
    told = run("outages", "--database", hub.database, "history", incident).stdout.splitlines()
    assert [line.split()[1] for line in told[:3]] == ["assessing", "areaEstimate", "crewEstimate"]
    assert told[3] == "customers heard another time 1 times"
    assert told[4].endswith("restored by crew Lakeside 4")


def test_what_is_refused_is_said_and_ends_with_code_1(run: Run, hub: Hub) -> None:
    """A script must be able to tell."""
    incident, to = opened(run, hub, 400), f"{hub.address}/messages"
    past = run("outages", "etr", incident, "--at", hours(-2), "--to", to)
    assert (past.exit_code, "BUS-132" in past.stderr) == (1, True)
    assert past.stdout == f"FAILED change {incident}\n"
    cancelled = run("outages", "cancel", incident, "--to", to)
    assert (cancelled.exit_code, "BUS-133" in cancelled.stderr) == (1, True)
    alone = run("outages", "restore", incident, "--by", "meter", "--who", "head end", "--to", to)
    assert (alone.exit_code, "BUS-131" in alone.stderr) == (1, True)


def test_wrong_use_ends_with_code_2(run: Run, hub: Hub) -> None:
    """Nothing is sent that would not say who speaks."""
    to = f"{hub.address}/messages"
    assert run("outages", "restore", "I", "--by", "crew", "--to", to).exit_code == 2
    assert run("outages", "etr", "I", "--to", to).exit_code == 2
    assert run("outages", "etr", "I", "--at", hours(1), "--withdraw", "--to", to).exit_code == 2
    assert run("outages", "--database", hub.database, "show", "nothing").exit_code == 1
    assert run("outages", "--database", hub.database, "indices", "--since", hours(-1), "--zone", "x").exit_code == 2
    assert run("outages", "--database", hub.database, "indices", "--since", hours(-1)).exit_code == 2


def test_indices_of_what_has_happened(run: Run, hub: Hub) -> None:
    """The report that the regulator asks for, out of what was noted."""
    opened(run, hub, 404)
    close = build_message(Noun.TROUBLE_TICKETS, Verb.CLOSE, seed=404, now=datetime.now(UTC))
    assert run("send", "-", "--to", f"{hub.address}/messages", stdin=render_message(close)).exit_code == 0
    report = ("outages", "--database", hub.database, "indices", "--since", hours(-24), "--customers", "1000")
    ends_at = time.monotonic() + 60  # an outage counts once its points are gone through, tick by tick
    while True:
        found = json.loads(run(*report, "--json").stdout)
        if found["unplanned"]["interruptions"] + found["unplanned"]["momentary"] or time.monotonic() > ends_at:
            break
        time.sleep(0.2)
    assert found["unplanned"]["customers"] == 1000
    assert found["unplanned"]["interruptions"] + found["unplanned"]["momentary"] >= 1
    assert found["planned"]["interruptions"] == 0
    lines = run(*report, "--zone", "Europe/Zurich").stdout.splitlines()
    assert lines[0] == "customers served: 1000"
    assert lines[1].startswith("unplanned: SAIDI ")
    assert lines[5] == "major event days: none"


def test_storm_assessment_is_switched(run: Run, hub: Hub) -> None:
    """And stays as it was set."""
    place = ("outages", "--database", hub.database, "storm")
    assert run(*place).stdout == "storm assessment: auto\n"
    assert run(*place, "on").stdout == "storm assessment: on\n"
    assert run(*place).stdout == "storm assessment: on\n"
    assert run(*place, "auto").stdout == "storm assessment: auto\n"


def test_rules_are_shown_and_changed(run: Run, hub: Hub) -> None:
    """What is not given stays as it is."""
    place = ("outages", "--database", hub.database, "etr-rules")
    before = run(*place).stdout.splitlines()
    assert before[1] == "least change that is told: 15 min"
    assert before[2].startswith("estimates by: operators and crews alone")
    after = run(*place, "--least-change", 20, "--automatic", "--still-out", 12).stdout.splitlines()
    assert after[0] == before[0]
    assert after[1] == "least change that is told: 20 min"
    assert after[2].startswith("estimates by: past outages too")
    assert after[3] == "still out within: 12 h"
    assert run(*place, "--least-change", 15, "--by-hand", "--still-out", 24).stdout.splitlines() == before


def test_who_changes_rules_stands_in_the_audit_trail(run: Run, hub: Hub) -> None:
    """A storm mode that nobody remembers to have set is a riddle at four in the morning."""
    place = ("outages", "--database", hub.database)
    run(*place, "storm", "on", "--actor", "Ana Ruiz")
    run(*place, "etr-rules", "--still-out", 12, "--actor", "Ben Okoro")
    run(*place, "storm")  # who looks changes nothing, and is not noted
    found = run("audit", "--database", hub.database, "list").stdout
    assert "configure by Ana Ruiz rules of estimates (storm auto -> on)" in found
    assert "configure by Ben Okoro rules of estimates (still_out 1 day, 0:00:00 -> 12:00:00)" in found
    run(*place, "storm", "auto")
    run(*place, "etr-rules", "--still-out", 24)


def test_a_database_that_is_not_there_is_not_made(run: Run, tmp_path: Path) -> None:
    """A mistyped name is no new utility."""
    assert run("outages", "--database", f"sqlite:///{tmp_path}/none.db", "storm", "on").exit_code == 2


# --------------------------------------------------------------------------------------------------------- grouping


def test_every_decision_about_an_incident_can_be_read(run: Run, hub: Hub) -> None:
    """A dispatcher who is told why can say no."""
    incident = opened(run, hub, 40)
    result = run("outages", "--database", hub.database, "decisions", incident)
    assert result.exit_code == 0
    assert "Opened for premises" in result.stdout
    result = run("outages", "--database", hub.database, "decisions", incident, "--json")
    assert json.loads(result.stdout.splitlines()[0])["incident"] == incident
    result = run("outages", "--database", hub.database, "decisions", "nonsense")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no incident nonsense is known" in result.stderr


def test_places_that_the_model_does_not_know_are_listed(run: Run, hub: Hub) -> None:
    """Somebody has to find out where they are."""
    place = ServiceLocationIdentity(mrid=MRID("a new house"))
    ticket = TroubleTicket(
        mrid=MRID("t-new"), service_location=place, date_time_of_report=datetime.now(UTC), trouble_code="NO_SUPPLY"
    )
    message = a_request(Verb.CREATE, TroubleTickets(trouble_ticket=(ticket,)))
    assert run("send", "-", "--to", f"{hub.address}/messages", stdin=render_message(message)).exit_code == 0
    result = run("outages", "--database", hub.database, "unresolved")
    (line,) = (line for line in result.stdout.splitlines() if "a new house" in line)
    assert "1 premises at service-location:a new house" in line
    result = run("outages", "--database", hub.database, "unresolved", "--json")
    assert "service-location:a new house" in [json.loads(line)["place"] for line in result.stdout.splitlines()]


def test_rules_are_shown_and_put_in_force(run: Run, hub: Hub, tmp_path: Path) -> None:
    """What is shown is what a file has to hold; each change is a version with a name to it."""
    rules = ("outages", "--database", hub.database, "rules")
    before = run(*rules)
    assert before.exit_code == 0
    assert before.stdout.startswith("# as the product brings them\nseparation-minutes = 120\n")
    file = tmp_path / "rules.toml"
    file.write_text(before.stdout.replace("separation-minutes = 120", "separation-minutes = 60"))
    after = run(*rules, "--set", str(file), "--who", "Ana Ruiz")
    assert after.exit_code == 0
    assert "# version 1, by Ana Ruiz" in after.stdout
    assert "separation-minutes = 60" in after.stdout
    again = run(*rules, "--set", str(file), "--json")
    assert json.loads(again.stdout)["version"] == 1
    assert "in force already" in again.stderr
    assert len(run(*rules, "--versions").stdout.split("# version ")) == 2


@pytest.mark.parametrize(
    "text", ["nonsense", "separation-minutes = 0", "fuse = { calls = 0, share = 0.1, spread = 0.5 }", "fused = 1"]
)
def test_rules_that_mean_nothing_are_refused(run: Run, hub: Hub, tmp_path: Path, text: str) -> None:
    """A slip in a file must not group a storm by chance."""
    file = tmp_path / "rules.toml"
    file.write_text(text)
    result = run("outages", "--database", hub.database, "rules", "--set", str(file))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "shows what a file looks like" in result.stderr
