"""deadletters: list, show, resend and discard, with the exit codes that scripts go by."""

import asyncio
import getpass
import json
import os
import shlex
import signal
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import TypeVar

import pytest

from cimcare.cli import dead_letters
from cimcare.exchange.audit import Action, AuditRow
from cimcare.exchange.log import Direction, Outcome
from cimcare.exchange.outbox import DeliverySelection
from cimcare.exchange.store import Reader, Store
from cimcare.hub.outgoing import dead_letters as letters
from cimcare.hub.outgoing.halting import halt
from cimcare.store.opening import open_reader, open_store
from tests.support.dead_letters import bury_again, deliver, put, put_dead
from tests.support.stored import NOON, an_entry
from tests.unit.cli.conftest import Run

T = TypeVar("T")

SQLITE = "sqlite:///hub.db"
DEAD_GIS = [1, 2, 3, 4, 5]
DEAD_CRM, WAITING = 6, 7


def on_store(deed: Callable[[Store], Awaitable[T]], database: str = SQLITE) -> T:
    """Do something to the database between two commands."""

    async def run() -> T:
        store = await open_store(database)
        try:
            return await deed(store)
        finally:
            await store.close()

    return asyncio.run(run())


def read(question: Callable[[Reader], Coroutine[object, object, T]], database: str = SQLITE) -> T:
    async def run() -> T:
        async with open_reader(database) as reader:
            return await question(reader)

    return asyncio.run(run())


async def fill(store: Store) -> None:
    """Five dead letters for one partner, one for another, and one that waits."""
    await put_dead(store, 5)
    await put_dead(store, 1, partner="crm", reason="NET-109 no answer", received=b"busy", verb="closed")
    await put(store, "w")


@pytest.fixture(autouse=True)
def _filled(run: Run) -> None:
    Path("cimcare.toml").write_text(f'database = "{SQLITE}"\n')
    on_store(fill)


def states(database: str = SQLITE) -> list[str]:
    async def look(reader: Reader) -> list[str]:
        return [one.state.value for one in await reader.outbox.select(DeliverySelection(limit=100))]

    return read(look, database)


def acts(database: str = SQLITE) -> list[AuditRow]:
    async def look(reader: Reader) -> list[AuditRow]:
        return [row for row in await reader.audit.rows() if row.action is not Action.MESSAGES]

    return read(look, database)


def numbers(text: str) -> list[int]:
    return [int(line.split()[0]) for line in text.splitlines()]


def test_list_is_a_line_a_dead_letter(run: Run) -> None:
    """What is dead, to whom, and why, at a glance; what waits is not here."""
    result = run("deadletters", "list")
    assert (result.exit_code, result.stderr) == (0, "")
    assert numbers(result.stdout) == [*DEAD_GIS, DEAD_CRM]
    first = result.stdout.splitlines()[0]
    assert first == (
        "1 2030-06-01T12:01:00.123+00:00 dead      gis created TroubleTickets message 1, attempts 1: "
        "FAILED: 2.15 no such premises"
    )


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["--partner", "crm"], [6]),
        (["--verb", "closed"], [6]),
        (["--noun", "Incidents"], []),
        (["--code", "2.15"], DEAD_GIS),
        (["--code", "NET-109"], [6]),
        (["--since", "2030-06-01T12:05:00Z"], [5, 6]),
        (["--before", "2030-06-01T14:02:59+02:00"], [1, 2]),
        (["--after", 4], [5, 6]),
        (["--partner", "gis", "--after", 4], [5]),
    ],
)
def test_list_filters(run: Run, filters: list[object], expected: list[int]) -> None:
    """The same filters choose what is sent again, so the list shows what would be."""
    assert numbers(run("deadletters", "list", *filters).stdout) == expected
    given = ["resend", *filters, "--dry-run", "--json"]
    result = run("deadletters", *given)
    if filters[0] == "--after":
        assert result.exit_code == 2, "a number to go on behind says nothing of what is wanted"
    else:
        assert json.loads(result.stdout)["numbers"] == expected


def test_list_says_how_to_see_more(run: Run) -> None:
    """On stderr, so that the list stays a list."""
    result = run("deadletters", "list", "--limit", 2, "--json")
    assert [json.loads(line)["number"] for line in result.stdout.splitlines()] == [1, 2]
    assert result.stderr == "more: --after 2\n"
    first = json.loads(result.stdout.splitlines()[0])
    assert (first["state"], first["messageId"][:2], first["objectKeys"][0][:15]) == ("dead", "m-", "TroubleTickets ")


def test_a_code_that_is_none_is_wrong_use(run: Run) -> None:
    """It would match nothing, and be taken for good news."""
    result = run("deadletters", "list", "--code", "no such premises")
    assert result.exit_code == 2
    assert "2.15 or NET-109" in result.stderr


async def keep_exchange(store: Store) -> None:
    """What a courier keeps of the last attempt."""
    sent = an_entry(
        direction=Direction.OUT,
        partner="gis",
        archetype="EventMessage",
        verb="created",
        noun="TroubleTickets",
        answer_to=1,
        outcome=Outcome.FAILED,
    )
    came = an_entry(partner="gis", archetype="ResponseMessage", verb="reply", noun="TroubleTickets", answer_to=1)
    async with store.transaction() as transaction:
        await transaction.log.append(sent, b"<sent/>")
        await transaction.log.append(came, b"<came/>\n")


def test_show_has_all_of_it(run: Run) -> None:
    """Reason, what went out and what came back on one screen: all that the partner's people are going to ask for."""
    on_store(keep_exchange)
    result = run("deadletters", "show", 1)
    assert (result.exit_code, result.stderr) == (0, "")
    facts, sent, received = result.stdout.split("\n--- ")
    assert "reason: FAILED: 2.15 no such premises\n" in facts
    assert "attempts: 1\n" in facts
    assert "received" not in facts.splitlines()
    assert sent == "sent, message 8 of the log\n<sent/>\n"
    assert received == "received, message 9 of the log\n<came/>\n"
    data = json.loads(run("deadletters", "show", 1, "--json").stdout)
    assert (data["sent"], data["received"], data["sentAs"], data["receivedAs"]) == ("<sent/>", "<came/>\n", 8, 9)


def test_show_without_what_was_sent_shows_the_message(run: Run) -> None:
    """An attempt that never left, or whose bytes nobody kept."""
    result = run("deadletters", "show", DEAD_CRM)
    _, kept, received = result.stdout.split("\n--- ")
    assert kept.startswith("to be sent, as it is kept: message 6 of the log\n<message>crm0")
    assert received == "received\nbusy\n"


@pytest.mark.parametrize(("number", "told"), [(WAITING, "waiting for its next attempt"), (99, "no such delivery")])
def test_show_of_what_is_no_dead_letter_says_no(run: Run, number: int, told: str) -> None:
    """The answer is no; nothing goes to stdout."""
    result = run("deadletters", "show", number)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"delivery {number}: EXC-135 " in result.stderr
    assert told in result.stderr


def test_resend_by_number(run: Run) -> None:
    """One that was looked at, and mended."""
    result = run("deadletters", "resend", 2, 3, "--reason", "premises are there now", "--actor", "ann")
    assert (result.exit_code, result.stdout) == (0, "2 of 2 sent again\n")
    assert "2 dead letters\n  2 to gis, created TroubleTickets (2 to 3): FAILED: 2.15" in result.stderr
    assert "no partner gis is in force" in result.stderr
    assert states() == ["dead", "waiting", "waiting", "dead", "dead", "dead", "waiting"]
    assert [(row.action, row.actor, row.subject, row.details) for row in acts()] == [
        (Action.RESEND, "ann", "delivery 2 to gis", "premises are there now"),
        (Action.RESEND, "ann", "delivery 3 to gis", "premises are there now"),
    ]
    period = ("--since", "2030-06-01T12:00:00Z", "--until", "2030-06-01T13:00:00Z")
    lines = [json.loads(line) for line in run("ledger", *period, "--partner", "gis", "--json").stdout.splitlines()]
    assert [(one["received"], one["waiting"], one["dead"], one["missing"]) for one in lines] == [(6, 3, 3, 0)]


def test_the_actor_is_the_user_if_nobody_is_named(run: Run) -> None:
    """Forgetting an option must not make an act nobody's."""
    assert run("deadletters", "discard", 1, "--reason", "again").exit_code == 0
    assert [row.actor for row in acts()] == [getpass.getuser()]


def test_numbers_that_are_no_dead_letters_are_named(run: Run) -> None:
    """The others are done, and the exit code says that it was not all."""
    for command in ("resend", "discard"):
        result = run("deadletters", command, WAITING, 1 if command == "resend" else 2, 99, "--reason", "again")
        assert (result.exit_code, result.stdout.split(" of ")[0]) == (1, "1")
        assert f"delivery {WAITING}: EXC-135 it is waiting" in result.stderr
        assert "delivery 99: EXC-135 there is no such" in result.stderr
    assert states()[:3] == ["waiting", "discarded", "dead"]


@pytest.mark.parametrize("command", ["resend", "discard"])
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "which dead letters?"),
        (["--after", "3"], "which dead letters?"),
        (["1", "--partner", "gis"], "not both: partner"),
        (["x"], "'x' is not a valid integer"),
        (["1", "--reason", " "], "EXC-136 blank"),
    ],
)
def test_wrong_use_does_nothing(run: Run, command: str, arguments: list[str], told: str) -> None:
    """Least of all to everything."""
    reason = [] if "--reason" in arguments else ["--reason", "again"]
    result = run("deadletters", command, *arguments, *reason)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr
    assert acts() == []


@pytest.mark.parametrize("command", ["resend", "discard"])
def test_a_reason_has_to_be_given(run: Run, command: str) -> None:
    """Not for a look, though."""
    result = run("deadletters", command, 1)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--reason is missing" in result.stderr
    assert run("deadletters", command, 1, "--dry-run").exit_code == 0


def test_a_dry_run_changes_nothing(run: Run) -> None:
    """How many and which, before ten thousand go out."""
    result = run("deadletters", "resend", "--since", "2030-06-01T00:00:00Z", "--dry-run")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "6 dead letters",
        "  5 to gis, created TroubleTickets (1 to 5): FAILED: 2.15 no such premises",
        "  1 to crm, closed TroubleTickets (6): NET-109 no answer",
    ]
    assert set(states()[:6]) == {"dead"}
    assert acts() == []
    named = run("deadletters", "discard", 1, WAITING, "--dry-run")
    assert (named.exit_code, named.stdout.splitlines()[0]) == (1, "1 dead letters")
    assert f"delivery {WAITING}: EXC-135" in named.stderr


def test_a_preview_ends_after_the_large_groups(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A screen full."""
    monkeypatch.setattr(dead_letters, "_MOST_GROUPS", 1)
    lines = run("deadletters", "discard", "--verb", "created", "--dry-run").stdout.splitlines()
    assert len(lines) == 2
    lines = run("deadletters", "discard", "--noun", "TroubleTickets", "--dry-run").stdout.splitlines()
    assert lines[2:] == ["  and 1 smaller groups"]


def test_many_by_filter(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Preview and progress on stderr, the result on stdout."""
    monkeypatch.setattr(letters, "_BATCH", 2)
    monkeypatch.setattr(dead_letters.time, "monotonic", iter(range(100, 200)).__next__)
    result = run("deadletters", "resend", "--partner", "gis", "--reason", "mended", "--json", "--rate", 1000)
    assert result.exit_code == 0
    tally = json.loads(result.stdout)
    assert (tally["chosen"], tally["done"], tally["open"], tally["is_halted"]) == (5, 5, 5, False)
    lines = result.stderr.splitlines()
    assert lines[0] == "5 dead letters"
    assert lines[-3:] == ["2 of 5 sent again", "4 of 5 sent again", "5 of 5 sent again"]
    result = run("deadletters", "discard", "--partner", "crm", "--reason", "old")
    assert (result.exit_code, result.stdout) == (0, "1 of 1 discarded\n")
    assert states() == ["waiting"] * 5 + ["discarded", "waiting"]


def test_a_filter_that_matches_nothing_is_no_error(run: Run) -> None:
    """A script that runs every hour has nothing to do in most of them."""
    result = run("deadletters", "resend", "--partner", "nobody", "--reason", "again")
    assert (result.exit_code, result.stdout) == (0, "0 of 0 sent again\n")


def test_a_halted_destination_is_told(run: Run) -> None:
    """Else whoever sent them again waits for nothing."""

    async def deed(store: Store) -> None:
        async with store.transaction() as transaction:
            await halt(transaction, "gis", actor="bob", reason="maintenance", now=NOON)

    on_store(deed)
    result = run("deadletters", "resend", 1, "--reason", "again")
    assert result.exit_code == 0
    assert "gis is halted by bob (maintenance): what is sent again waits until" in result.stderr


@pytest.mark.parametrize("command", ["resend", "discard"])
@pytest.mark.parametrize(
    "chosen", [["--partner", "gis", "--since", "2030-06-01T00:00:00+0000"], ["1", "2", "3", "4", "5"]]
)
def test_ctrl_c_halts_between_two_transactions(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: str, chosen: list[str]
) -> None:
    """Nothing is half done, and what is printed goes on from there."""
    place = ("--database", SQLITE)
    with monkeypatch.context() as patch:
        patch.setattr(letters, "_BATCH", 2)
        reports = hurt(patch, on_report=1)
        result = run("deadletters", *place, command, *chosen, "--reason", "it's mended", "--actor", "ann")
    done = {"resend": "waiting", "discard": "discarded"}[command]
    assert (result.exit_code, result.stdout.split(" of ")[0]) == (1, "2")
    assert states()[:5] == [done] * 2 + ["dead"] * 3
    assert len(acts()) == 2
    assert reports == [2]
    *_, told, line = result.stderr.splitlines()
    assert told == "halted behind 2; 3 are left as they were. To go on:"
    again = run(*shlex.split(line)[1:])
    assert (again.exit_code, again.stdout.split(" of ")[0]) == (0, "3")
    assert states()[:6] == [done] * 5 + ["dead"]
    assert {row.actor for row in acts()} == {"ann"}
    assert {row.details for row in acts()} == {"it's mended"}


def hurt(monkeypatch: pytest.MonkeyPatch, *, on_report: int = 0, on_pause: int = 0) -> list[int]:
    """Press Ctrl-C at the n-th report, or when the n-th pause begins; what was done at each report."""
    reports: list[int] = []
    pauses: list[float] = []
    control_of = dead_letters._control

    def control(*arguments: object) -> letters.Control:
        inner = control_of(*arguments)  # type: ignore[arg-type]

        def report(tally: letters.Tally) -> None:
            reports.append(tally.done)
            inner.report(tally)
            if len(reports) == on_report:
                os.kill(os.getpid(), signal.SIGINT)

        async def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == on_pause:
                os.kill(os.getpid(), signal.SIGINT)
            await inner.pause(1000 if on_pause else seconds)  # which ends at once if it is halted

        def is_halted() -> bool:
            return inner.is_halted() or (on_report > 0 and len(reports) >= on_report)

        return letters.Control(is_halted=is_halted, pause=pause, report=report)

    monkeypatch.setattr(dead_letters, "_control", control)
    return reports


def test_ctrl_c_ends_a_pause(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """At one a minute nobody wants to wait for the next."""
    hurt(monkeypatch, on_pause=1)
    result = run("deadletters", "resend", "--partner", "gis", "--reason", "again", "--rate", "0.01")
    assert (result.exit_code, result.stdout) == (1, "1 of 5 sent again\n")
    line = result.stderr.splitlines()[-1]
    assert line == "cimcare deadletters resend --partner gis --after 1 --reason again --rate 0.01"


def test_halted_before_the_first_it_goes_on_with_all(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the preview is read."""

    def control(*_: object) -> letters.Control:
        async def pause(_: float) -> None:
            raise AssertionError

        return letters.Control(is_halted=lambda: True, pause=pause, report=lambda _: None)

    monkeypatch.setattr(dead_letters, "_control", control)
    place = ("--config", "cimcare.toml")
    result = run("deadletters", *place, "resend", "--code", "2.15", "--reason", "again", "--watch")
    assert (result.exit_code, result.stdout) == (1, "0 of 5 sent again\n")
    told, line = result.stderr.splitlines()[-2:]
    assert told == "halted before the first; 5 are left as they were. To go on:"
    assert line == "cimcare deadletters --config cimcare.toml resend --code 2.15 --reason again --watch"


@pytest.mark.parametrize("dies", [False, True])
def test_watching_ends_with_what_became_of_them(run: Run, monkeypatch: pytest.MonkeyPatch, dies: bool) -> None:
    """Exit code 1 if a mend was none."""
    meanwhile(monkeypatch, bury_again if dies else deliver)
    result = run("deadletters", "resend", "--partner", "gis", "--reason", "again", "--watch")
    told = "4 delivered, 1 dead again" if dies else "5 delivered"
    assert (result.exit_code, result.stdout) == (int(dies), f"5 of 5 sent again: {told}\n")


def meanwhile(monkeypatch: pytest.MonkeyPatch, last: Callable[[Store, int], Awaitable[None]]) -> None:
    """A hub that delivers while the command watches; `last` is what becomes of the last one."""
    control_of = dead_letters._control

    def control(*arguments: object) -> letters.Control:
        inner = control_of(*arguments)  # type: ignore[arg-type]

        async def pause(_: float) -> None:
            store = await open_store(SQLITE)
            try:
                for number in DEAD_GIS:
                    await (last if number == DEAD_GIS[-1] else deliver)(store, number)
            finally:
                await store.close()

        return letters.Control(is_halted=inner.is_halted, pause=pause, report=inner.report)

    monkeypatch.setattr(dead_letters, "_control", control)


def test_ctrl_c_ends_the_watch_alone(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was sent again goes on by itself."""
    hurt(monkeypatch, on_pause=1)
    result = run("deadletters", "resend", 1, "--reason", "again", "--watch")
    assert (result.exit_code, result.stdout) == (1, "1 of 1 sent again: 1 not ended\n")
    assert result.stderr.splitlines()[-1].startswith("no longer watched; ")
    assert states()[0] == "waiting"


@pytest.mark.parametrize(
    "arguments", [["list"], ["show", "1"], ["resend", "1", "--reason", "x"], ["discard", "1", "--dry-run"]]
)
def test_a_database_that_is_not_there_is_wrong_use(run: Run, arguments: list[str]) -> None:
    """A mistyped name must not make an empty one."""
    result = run("deadletters", "--database", "sqlite:///typo.db", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "typo.db" in result.stderr
    assert not Path("typo.db").exists()


def test_on_postgresql_too(run: Run, postgres_url: str) -> None:
    """The same commands beside several hosts."""
    on_store(fill, postgres_url)
    place = ("deadletters", "--database", postgres_url)
    assert numbers(run(*place, "list").stdout) == [*DEAD_GIS, DEAD_CRM]
    assert run(*place, "resend", "--partner", "gis", "--code", "2.15", "--reason", "mended").exit_code == 0
    assert run(*place, "discard", DEAD_CRM, "--reason", "old", "--actor", "ann").exit_code == 0
    assert states(postgres_url) == ["waiting"] * 5 + ["discarded", "waiting"]
    assert [row.action for row in acts(postgres_url)] == [Action.RESEND] * 5 + [Action.DISCARD]
    since = ("--since", "2030-06-01T00:00:00Z", "--until", "2030-06-02T00:00:00Z")
    ledger = run("ledger", "--database", postgres_url, *since, "--partner", "crm", "--json")
    (line,) = map(json.loads, ledger.stdout.splitlines())
    assert (line["received"], line["refused"], line["dead"], line["missing"]) == (1, 1, 0, 0)
    assert run("ledger", "--database", postgres_url, "check", *since).exit_code == 0
    assert run("audit", "--database", postgres_url, "verify").exit_code == 0
    partner = run("deliveries", "--database", postgres_url, "halt", "gis", "--reason", "maintenance")
    assert partner.exit_code == 0
    assert "gis: waiting 6, awaiting 0, dead 0" in run("deliveries", "--database", postgres_url, "partners").stdout


def test_help_names_every_option(run: Run) -> None:
    """At three in the morning nobody looks for the manual."""
    text = run("deadletters", "resend", "--help").stdout
    for option in ("--partner", "--noun", "--verb", "--code", "--since", "--before", "--after", "--reason", "--actor"):
        assert option in text
    for option in ("--rate", "--dry-run", "--watch", "--json", "Exit code 0"):
        assert option in text
