"""call, callbacks, notices, customers: against a hub that runs, and beside it."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import click.testing
import pytest

from cimcare.hub.serving.lifespan import running_hub
from cimcare.samples.northlake import find_premises
from tests.support.hub import hub_settings
from tests.unit.cli.conftest import Run

HOME, ILL = find_premises(8), find_premises(3)


class Place:
    """A running hub: its address and its database."""

    def __init__(self, address: str, database: str) -> None:
        self.address = address
        self.database = database


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Place]:
    """A hub with the town, on a thread of its own, for the command brings its own event loop."""
    found: list[Place] = []
    ready, over = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()
    settings = hub_settings(tmp_path, seed_town=True)

    async def serve() -> None:
        async with running_hub(settings) as running:
            found.append(Place(running.address, settings.database))
            ready.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(30)
        yield found[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(30)
        loop.close()


def data(result: click.testing.Result) -> dict[str, object]:
    assert result.exit_code == 0, result.stderr
    read: dict[str, object] = json.loads(result.stdout)
    return read


def test_a_call_is_taken_and_the_second_one_attached(run: Run, hub: Place) -> None:
    """What the caller is told stands on the screen."""
    first = run("call", "--account", HOME.account, "--trouble", "noPower", "--to", hub.address)
    assert first.exit_code == 0, first.stderr
    assert "No restoration time is known yet." in first.stdout
    second = run("call", "--premises", HOME.location, "--hazard", "wireDown", "--to", hub.address)
    assert "(open already)" in second.stdout
    shown = run("customers", "--database", hub.database, "show", HOME.customer)
    assert "open ticket" in shown.stdout


def test_several_who_fit_are_listed(run: Run, hub: Place) -> None:
    """The agent names one of them."""
    result = run("call", "--caller", HOME.street, "--to", hub.address)
    assert result.exit_code == 1
    assert "BUS-143" in result.stderr
    assert HOME.location in result.stderr


@pytest.mark.parametrize(
    "options", [["--notify", "powerRestored"], ["--notify", "powerRestored", "--contact", "pigeon:1"]]
)
def test_a_wish_has_trigger_and_contact(run: Run, options: list[str]) -> None:
    """Wrong use is code 2, before anything is sent."""
    result = run("call", "--account", "x", *options, "--to", "http://127.0.0.1:9")
    assert result.exit_code == 2


def test_without_a_hub_the_answer_is_no(run: Run) -> None:
    """Nobody believes that a call was taken."""
    result = run("call", "--account", "x", "--to", "http://127.0.0.1:9")
    assert result.exit_code == 1
    assert "could not connect" in result.stderr


def test_from_the_list_to_the_answer(run: Run, hub: Place) -> None:
    """Claimed, called, answered; the notice that could not be sent is seen with its reason."""
    wish = ["--notify", "informDispatched", "--contact", "phone:+1 906 555 0103"]
    taken = data(run("call", "--account", ILL.account, *wish, "--json", "--to", hub.address))
    incident = {"mRID": taken["incident"], "Works": [{"mRID": "w", "statusKind": "dispatched"}]}
    message = {
        "message": "EventMessage",
        "Header": {"Verb": "changed", "Noun": "Incidents", "Source": "X", "MessageID": "e"},
        "Payload": {"content": [{"noun": "Incidents", "Incident": [incident]}]},
    }
    told = run("send", "--to", f"{hub.address}/messages", stdin=json.dumps(message).encode())
    assert told.exit_code == 0, told.stdout
    for _ in range(100):
        listed = run("notices", "--database", hub.database, "list", "--state", "listed", "--json")
        if listed.stdout:
            break
        threading.Event().wait(0.1)
    assert data(listed)["reason"] == "no channel for phone"

    waiting = data(run("callbacks", "--database", hub.database, "list", "--group", "life-support", "--json"))
    claimed = run("callbacks", "next", "--agent", "kim", "--to", hub.address)
    assert "a crew has been sent" in claimed.stdout
    refused = run("callbacks", "claim", waiting["id"], "--agent", "lee", "--to", hub.address)
    assert refused.exit_code == 1
    assert "BUS-140" in refused.stderr
    answered = run("callbacks", "answer", waiting["id"], "restored", "--agent", "kim", "--json", "--to", hub.address)
    assert data(answered)["state"] == "answered"
    assert run("callbacks", "next", "--to", hub.address).exit_code == 1
    line = run("callbacks", "--database", hub.database, "list")
    assert "answered" in line.stdout


def test_customers_with_special_needs_and_preferences(run: Run, hub: Place) -> None:
    """Shown as kept, and set for one by name."""
    listed = run("customers", "--database", hub.database, "list", "--special-need")
    assert ILL.customer in listed.stdout
    assert HOME.customer not in listed.stdout
    mrid = ILL.mrid("customer")
    hours = ["--earliest", "08:00", "--latest", "21:00", "--time-zone", "America/Chicago"]
    kept = run(
        "customers", "prefer", mrid, "--contact", "sms:1", "--trigger", "powerRestored", *hours, "--to", hub.address
    )
    assert kept.exit_code == 0, kept.stderr
    shown = run("customers", "--database", hub.database, "show", ILL.customer)
    assert "tell by: sms 1 from 08:00 to 21:00 America/Chicago: powerRestored" in shown.stdout
    assert f"special need: {ILL.special_need}" in shown.stdout
    wrong = run("customers", "prefer", mrid, "--contact", "sms:1", "--earliest", "8", "--to", hub.address)
    assert wrong.exit_code == 1
    assert run("customers", "--database", hub.database, "show", "nobody").exit_code == 1


def test_a_directory_is_loaded_beside_a_running_hub(run: Run, hub: Place, tmp_path: Path) -> None:
    """And found by the next caller."""
    table = tmp_path / "table.csv"
    table.write_text("premises,street,house_number,customer,name\nX-1,Elm Street,7,X-C,Zora Quill\n")
    loaded = run("customers", "--database", hub.database, "import", table, "--actor", "kim")
    assert loaded.stdout == "premises: 1 added, 0 changed, 0 as they were\n"
    taken = run("call", "--caller", "zora elm", "--to", hub.address)
    assert "Your report for 7 Elm Street is taken." in taken.stdout
    table.write_text("premises\nX-1\nX-1\n")
    refused = run("customers", "--database", hub.database, "import", table)
    assert refused.exit_code == 1
    assert "REF-122" in refused.stderr
    assert run("customers", "--database", hub.database, "import", tmp_path / "none").exit_code == 2
