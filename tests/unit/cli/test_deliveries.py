"""deliveries: list, show, partners, halt, release and abandon, with the exit codes that scripts go by."""

import asyncio
import getpass
import json
import os
import signal
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import click
import pytest

from cimcare.cli import main
from cimcare.exchange.audit import Action, AuditRow
from cimcare.exchange.log import Direction
from cimcare.exchange.outbox import DeliveryKind
from cimcare.exchange.store import Store, Transaction
from cimcare.hub.config.configuration import adopt
from cimcare.hub.config.settings import read_settings
from cimcare.hub.outgoing import abandoning
from cimcare.hub.outgoing.exchanged import find_exchanged
from cimcare.store.opening import open_reader, open_store
from tests.support.dead_letters import deliver, put, put_dead
from tests.support.stored import NOON, an_entry
from tests.unit.cli.conftest import Run

T = TypeVar("T")

DATABASE = "sqlite:///hub.db"
PARTNERS = """
[partners.gis]
url = "http://gis.example/soap?key=secret"
source = "GIS"

[partners.crm]
kind = "rest"
url = "http://crm.example/in"

[subscriptions.all]
partner = "gis"
"""
DELIVERED, WAITING, DEAD, OTHER, DIRECT = 1, 2, 3, 4, 5


def on_store(deed: Callable[[Store], Awaitable[T]]) -> T:
    async def run() -> T:
        store = await open_store(DATABASE)
        try:
            return await deed(store)
        finally:
            await store.close()

    return asyncio.run(run())


async def fill(store: Store) -> None:
    """Partners in force, and a delivery of each sort."""
    await adopt(store, read_settings(PARTNERS), NOON)
    await deliver(store, await put(store, "a"))
    await put(store, "b", noun="Incidents", cause=1)
    await put_dead(store, 1)
    await put(store, "c", "old")
    await put(store, "d", "reply host:80", address="http://host:80/in?key=secret", kind=DeliveryKind.REPLY)


@pytest.fixture(autouse=True)
def _filled(run: Run) -> None:
    Path("cimcare.toml").write_text(f'database = "{DATABASE}"\n')
    on_store(fill)


def acts() -> list[AuditRow]:
    async def look() -> list[AuditRow]:
        async with open_reader(DATABASE) as reader:
            wanted = (Action.HALT, Action.RELEASE, Action.ABANDON)
            return [row for row in await reader.audit.rows() if row.action in wanted]

    return asyncio.run(look())


def numbers(text: str) -> list[int]:
    return [int(line.split()[0]) for line in text.splitlines()]


def test_list_is_a_line_a_delivery(run: Run) -> None:
    """Whatever state it is in."""
    result = run("deliveries", "list")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == ("1 2030-06-01T12:01:00.123+00:00 delivered gis created TroubleTickets message 1, attempts 1")
    assert numbers(result.stdout) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["--partner", "gis"], [1, 2, 3]),
        (["--noun", "Incidents"], [2]),
        (["--verb", "closed"], []),
        (["--state", "dead"], [3]),
        (["--state", "dead", "--state", "delivered"], [1, 3]),
        (["--message", 4], [4]),
        (["--cause", 1], [1, 2]),
        (["--since", "2030-06-01T12:04:00Z"], [4, 5]),
        (["--before", "2030-06-01T12:02:01Z"], [1, 2]),
        (["--after", 4], [5]),
    ],
)
def test_list_filters(run: Run, filters: list[object], expected: list[int]) -> None:
    """In an outbox of a hundred thousand only the filtered list is of use."""
    assert numbers(run("deliveries", "list", *filters).stdout) == expected


def test_list_goes_on_where_it_ended(run: Run) -> None:
    """How to see more is said on stderr, so that the list stays a list."""
    result = run("deliveries", "list", "--limit", 2, "--json")
    assert [json.loads(line)["number"] for line in result.stdout.splitlines()] == [1, 2]
    assert result.stderr == "more: --after 2\n"
    assert run("deliveries", "list", "--limit", 5).stderr == ""


def test_show_has_all_facts(run: Run) -> None:
    """For a person by name, for a program as the REST interface has it."""
    result = run("deliveries", "show", DIRECT)
    assert (result.exit_code, result.stderr) == (0, "")
    facts, sent = result.stdout.split("\n--- ")
    assert "state: waiting\n" in facts
    assert "address: http://host:80/in?...\n" in facts
    assert sent == "to be sent, as it is kept: message 5 of the log\n<message>d</message>\n"
    data = json.loads(run("deliveries", "show", DEAD, "--json").stdout)
    assert (data["state"], data["kind"], data["priority"], data["sentAs"]) == ("dead", "event", "normal", None)
    assert data["reason"].startswith("FAILED: 2.15")


def test_show_of_no_delivery_says_no(run: Run) -> None:
    """The answer is no; nothing goes to stdout."""
    result = run("deliveries", "show", 99)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no delivery 99" in result.stderr
    assert run("deliveries", "show", 2**63).exit_code == 2


def test_partners_is_a_line_a_destination(run: Run) -> None:
    """Those without any backlog, those that are no partners any more, and those that never were."""
    run("deliveries", "halt", "gis", "--reason", "maintenance until 6", "--actor", "ann")
    result = run("deliveries", "partners")
    assert (result.exit_code, result.stderr) == (0, "")
    crm, gis, old, direct = result.stdout.splitlines()
    assert crm == "crm: waiting 0, awaiting 0, dead 0"
    assert gis.startswith("gis: waiting 1, awaiting 0, dead 1, oldest 2030-06-01T12:02:00.123+00:00, halted at ")
    assert gis.endswith(" by ann: maintenance until 6")
    assert old == (
        "old: waiting 1, awaiting 0, dead 0, oldest 2030-06-01T12:04:00.123+00:00, no partner of this name is in force"
    )
    assert direct.startswith("reply host:80: waiting 1, awaiting 0, dead 0, oldest ")
    assert "no partner" not in direct


def test_partners_for_programs(run: Run) -> None:
    """Without what may be a secret."""
    lines = run("deliveries", "partners", "--json").stdout.splitlines()
    crm, gis, old, _ = map(json.loads, lines)
    assert (crm["kind"], crm["inForce"], crm["oldestAt"]) == ("rest", True, None)
    assert (gis["url"], gis["source"], gis["subscriptions"]) == ("http://gis.example/soap?...", "GIS", ["all"])
    assert (gis["waiting"], gis["dead"], gis["halted"], gis["circuit"]) == (1, 1, None, None)
    assert (old["inForce"], old["kind"], old["waiting"]) == (False, "", 1)


def test_halt_and_release_leave_rows(run: Run) -> None:
    """Who stopped it, and why, is the first question of the next shift."""
    result = run("deliveries", "halt", "gis", "--reason", " maintenance ")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "gis is halted; `cimcare deliveries release gis` lets it go on\n"
    again = run("deliveries", "halt", "gis", "--reason", "me too", "--actor", "bob")
    assert (again.exit_code, again.stdout) == (1, "")
    assert f"by {getpass.getuser()}: maintenance" in again.stderr
    assert run("deliveries", "release", "gis", "--reason", "done", "--actor", "ann").exit_code == 0
    result = run("deliveries", "release", "gis", "--reason", "done")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "gis is not halted" in result.stderr
    assert [(row.action, row.actor, row.subject, row.details) for row in acts()] == [
        (Action.HALT, getpass.getuser(), "gis", "maintenance"),
        (Action.RELEASE, "ann", "gis", "done"),
    ]


def test_programs_halt_and_release(run: Run) -> None:
    """As every command has it: one JSON document on standard output."""
    halted = run("deliveries", "halt", "gis", "--reason", "maintenance", "--actor", "ann", "--json")
    assert (halted.exit_code, halted.stderr) == (0, "")
    told = json.loads(halted.stdout)
    assert (told["partner"], told["halted"]["actor"], told["halted"]["reason"]) == ("gis", "ann", "maintenance")
    released = run("deliveries", "release", "gis", "--reason", "done", "--json")
    assert (released.exit_code, released.stderr) == (0, "")
    assert json.loads(released.stdout) == {"partner": "gis", "halted": None}
    again = run("deliveries", "release", "gis", "--reason", "done", "--json")
    assert (again.exit_code, again.stdout) == (1, "")


def test_what_is_a_list_is_shown_as_one(run: Run) -> None:
    """Objects are searched for by what is shown here."""
    shown = run("deliveries", "show", str(WAITING))
    assert "objectKeys: TroubleTickets " in shown.stdout
    assert "('" not in shown.stdout


def test_a_name_that_is_none_is_not_halted(run: Run) -> None:
    """Whoever halts the wrong one believes that the right one stands still."""
    result = run("deliveries", "halt", "gsi", "--reason", "maintenance")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "SET-110 no destination 'gsi'; one of crm, gis, old, reply host:80" in result.stderr
    assert acts() == []
    assert run("deliveries", "halt", "reply elsewhere:80", "--reason", "maintenance").exit_code == 0


def test_a_hub_without_partners_has_none_to_halt(run: Run) -> None:
    """The message has nothing to offer then."""

    async def make() -> None:
        await (await open_store("sqlite:///empty.db")).close()

    asyncio.run(make())
    result = run("deliveries", "--database", "sqlite:///empty.db", "halt", "gis", "--reason", "maintenance")
    assert result.exit_code == 1
    assert "a partner; none is in force" in result.stderr


def test_what_waits_for_one_that_was_removed_is_abandoned(run: Run) -> None:
    """Its queue keeps the alarm up, and nobody will ever send it."""
    preview = run("deliveries", "abandon", "old", "--dry-run")
    assert (preview.exit_code, preview.stderr) == (0, "")
    assert preview.stdout == "old: 1 that wait and 0 that await their reply would be dead letters\n"
    assert acts() == []
    result = run("deliveries", "abandon", "old", "--reason", " closed down ", "--actor", "ann")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "1 deliveries to old are dead letters\n", "")
    (row,) = acts()
    assert (row.action, row.actor, row.subject) == (Action.ABANDON, "ann", "deliveries to old")
    assert row.details == f"{OTHER}: closed down"
    assert numbers(run("deadletters", "list", "--partner", "old").stdout) == [OTHER]
    assert "abandoned: closed down" in run("deliveries", "show", OTHER).stdout
    assert run("deadletters", "discard", OTHER, "--reason", "as agreed").exit_code == 0
    assert run("deliveries", "abandon", "old", "--reason", "again").exit_code == 1, "nothing is kept for it any more"


def test_only_what_matches_is_abandoned(run: Run) -> None:
    """One noun that the partner takes no more, or what is too old to be of use; what comes goes on."""
    preview = run("deliveries", "abandon", "gis", "--noun", "TroubleTickets", "--dry-run")
    assert preview.stdout == "gis: 0 that wait and 0 that await their reply would be dead letters\n"
    before = ("--before", "2030-06-01T00:00:00Z")
    result = run("deliveries", "abandon", "gis", "--noun", "Incidents", *before, "--reason", "x")
    assert (result.exit_code, result.stdout) == (0, "0 deliveries to gis are dead letters\n")
    result = run("deliveries", "abandon", "gis", "--noun", "Incidents", "--reason", "x")
    assert (result.exit_code, result.stdout) == (0, "1 deliveries to gis are dead letters\n")
    assert result.stderr == "gis is in force: what is put in for it from now on is sent to it\n"
    assert [(row.actor, row.subject) for row in acts()] == [(getpass.getuser(), "deliveries to gis")]


def test_what_is_being_sent_is_left_and_told(run: Run) -> None:
    """The rest is done; this one may arrive yet."""

    async def lease(store: Store) -> None:
        later = NOON + timedelta(days=1)
        async with store.transaction() as transaction:
            assert len(await transaction.outbox.claim("old", now=later, until=later, limit=1)) == 1

    on_store(lease)
    preview = run("deliveries", "abandon", "old", "--dry-run")
    assert preview.stdout.endswith("would be dead letters; 1 are being sent, and would be left\n")
    left = {"waiting": 0, "awaiting": 0, "leased": 1}
    assert json.loads(run("deliveries", "abandon", "old", "--dry-run", "--json").stdout) == left
    result = run("deliveries", "abandon", "old", "--reason", "closed down", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"abandoned": 0, "left": left})
    assert result.stderr == "1 are being sent, and were left; ask again when they have ended\n"


@pytest.mark.parametrize("also", ["--dry-run", "--reason=closed down"])
def test_a_name_that_is_none_is_not_abandoned(run: Run, also: str) -> None:
    """Else a mistyped name looks like work that is done."""
    result = run("deliveries", "abandon", "odl", also)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "SET-110 no destination 'odl'; one of crm, gis, old, reply host:80" in result.stderr


def test_ctrl_c_ends_it_between_two_transactions(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done stays done, what is left is told, and the same words go on."""

    async def more(store: Store) -> None:
        for number in range(4):
            await put(store, f"more{number}", "old")

    on_store(more)
    monkeypatch.setattr(abandoning, "_BATCH", 2)
    book = abandoning.book_abandoned
    calls: list[int] = []

    async def press(*arguments: object, **named: object) -> object:
        calls.append(len(calls))
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return await book(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(abandoning, "book_abandoned", press)
    result = run("deliveries", "abandon", "old", "--reason", "closed down")
    assert (result.exit_code, result.stdout) == (1, "4 deliveries to old are dead letters\n")
    assert result.stderr == "halted; 1 are left as they were. To go on, say it again\n"
    assert len(acts()) == 2


def test_on_postgresql_what_is_abandoned_balances_too(run: Run, postgres_url: str) -> None:
    """The same command beside several hosts."""

    async def make() -> None:
        store = await open_store(postgres_url)
        await fill(store)
        await store.close()

    asyncio.run(make())
    place = ("--database", postgres_url)
    assert run("deliveries", *place, "abandon", "old", "--reason", "closed down").stdout.startswith("1 deliveries")
    since = ("--since", "2030-06-01T00:00:00Z", "--until", "2030-06-02T00:00:00Z")
    assert run("ledger", *place, "check", *since).exit_code == 0
    assert run("audit", *place, "verify").exit_code == 0
    assert "old: waiting 0, awaiting 0, dead 1" in run("deliveries", *place, "partners").stdout


@pytest.mark.parametrize("command", ["halt", "release", "abandon"])
@pytest.mark.parametrize(("arguments", "told"), [([], "--reason"), (["--reason", " "], "EXC-136 blank")])
def test_a_reason_has_to_be_given(run: Run, command: str, arguments: list[str], told: str) -> None:
    """The same for all that an operator does."""
    result = run("deliveries", command, "gis", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr
    assert acts() == []


async def exchange(transaction: Transaction, source: str, verb: str, answer_to: int) -> tuple[int, int]:
    """What a courier keeps of an attempt: what went out and what came back."""
    facts = {"partner": source, "noun": "TroubleTickets", "answer_to": answer_to}
    sent = an_entry(direction=Direction.OUT, archetype="RequestMessage", verb=verb, **facts)
    came = an_entry(archetype="ResponseMessage", verb="reply", **facts)
    return await transaction.log.append(sent, b"s"), await transaction.log.append(came, b"c")


async def test_what_was_sent_is_that_of_this_partner_and_the_last_one(tmp_path: Path) -> None:
    """Two partners got the same event, and one of them twice."""
    store = await open_store(f"sqlite:///{tmp_path / 'own.db'}")
    await adopt(store, read_settings(PARTNERS), NOON)
    number = await put(store, "a", created_at=NOON + timedelta(hours=1))
    event = await store.reader.outbox.find(number)
    assert event is not None
    async with store.transaction() as transaction:
        await exchange(transaction, "GIS", "created", event.message)
        expected = await exchange(transaction, "GIS", "created", event.message)
        await exchange(transaction, "CRM", "created", event.message)
        await exchange(transaction, "GIS", "closed", event.message)
    found = await find_exchanged(store.reader, event)
    assert found.sent is not None
    assert found.received is not None
    assert found.sent.sequence == expected[0]
    await store.close()


async def test_the_answer_to_a_request_is_found_with_what_led_to_it(tmp_path: Path) -> None:
    """A queued request stands in the log once as it came, and once as it was passed on."""
    store = await open_store(f"sqlite:///{tmp_path / 'own.db'}")
    async with store.transaction() as transaction:
        cause = await transaction.log.append(an_entry(verb="create", noun="TroubleTickets", partner="WEB"), b"<a/>")
    number = await put(store, "a", "gone", kind=DeliveryKind.REQUEST, cause=cause, verb="create")
    request = await store.reader.outbox.find(number)
    assert request is not None
    nothing = await find_exchanged(store.reader, request)
    assert (nothing.sent, nothing.received) == (None, None)
    async with store.transaction() as transaction:
        sent, came = await exchange(transaction, "gone", "create", cause)
        await exchange(transaction, "WEB", "create", cause)
    found = await find_exchanged(store.reader, request)
    assert found.sent is not None
    assert found.received is not None
    assert (found.sent.sequence, found.received.sequence) == (sent, came)
    await store.close()


async def test_the_message_itself_is_not_taken_for_what_was_sent(tmp_path: Path) -> None:
    """A request that was passed on stands in the log as one that was caused by another, whether or not it left."""
    store = await open_store(f"sqlite:///{tmp_path / 'own.db'}")
    async with store.transaction() as transaction:
        cause = await transaction.log.append(an_entry(verb="create", noun="TroubleTickets", partner="WEB"), b"<a/>")
        (made, _) = await exchange(transaction, "gone", "create", cause)
    number = await put(store, "a", "gone", kind=DeliveryKind.REQUEST, cause=cause, message=made, verb="create")
    request = await store.reader.outbox.find(number)
    assert request is not None
    assert (await find_exchanged(store.reader, request)).sent is None
    await store.close()


def test_every_command_of_the_runbook_speaks_to_programs() -> None:
    """The page on deliveries says so, and scripts are written by it."""
    leaves: list[str] = []
    waiting = [
        (name, main.get_command(click.Context(main), name)) for name in ("deliveries", "deadletters", "ledger", "audit")
    ]
    while waiting:
        name, command = waiting.pop()
        assert command is not None
        if isinstance(command, click.Group):
            waiting += [(f"{name} {one}", command.get_command(click.Context(command), one)) for one in command.commands]
            if not command.invoke_without_command:
                continue
        leaves.append(name)
        assert any("--json" in parameter.opts for parameter in command.params), name
    assert len(leaves) >= 14
