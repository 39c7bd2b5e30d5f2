"""work: list, board and crews, beside a running hub or alone."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cimcare.exchange.audit import AuditRow
from cimcare.exchange.ports import ServingContext
from cimcare.model import service_order
from cimcare.model.enumerations import WorkKind, WorkStatusKind
from cimcare.model.envelope import Header, Payload, RequestMessage
from cimcare.model.identity import MRID
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.model.work import Crew
from cimcare.samples.northlake import CREWS
from cimcare.store.opening import open_reader, open_store
from cimcare.systems import wms
from cimcare.systems.wms import seed_crews
from tests.unit.cli.conftest import Run

FILE = """
[crews.CREW-11]
skills = ["lines"]
on_call = true

[crews.CREW-31]
skills = ["meters", "service"]
days = ["sat", "sun"]
start = 06:00:00
end = 14:30:00
takes_jobs = false
"""


@pytest.fixture
def filled(run: Run) -> None:
    """A database with the crews of Northlake and two orders, one of them in the hands of CREW-12."""

    async def make() -> None:
        now = datetime.now(UTC)
        store = await open_store("sqlite:///cimcare.db")
        async with store.transaction() as transaction:
            await seed_crews(transaction.records, now - timedelta(hours=1))
            for number, crews in (("o-1", ()), ("o-2", (Crew(mrid=CREWS[1].mrid, names=()),))):
                order = service_order.Work(
                    mrid=MRID(number),
                    kind=WorkKind.repair,
                    status_kind=WorkStatusKind.dispatched if crews else None,
                    request_date_time=now - timedelta(minutes=5),
                    work_tasks=(service_order.WorkTask(crews=crews),),
                )
                header = Header(verb=Verb.CREATE, noun=Noun.SERVICE_ORDERS)
                message = RequestMessage(
                    header=header, payload=Payload(content=(service_order.ServiceOrders(work=(order,)),))
                )
                context = ServingContext(
                    records=transaction.records, now=now, new_id=iter(("a", "b")).__next__, header=header
                )
                served = await wms.SERVES[Verb.CREATE, Noun.SERVICE_ORDERS](message, context)
                assert served.findings == ()
        await store.close()

    asyncio.run(make())


def trail() -> list[AuditRow]:
    async def read() -> list[AuditRow]:
        async with open_reader("sqlite:///cimcare.db") as reader:
            return list(await reader.audit.rows())

    return asyncio.run(read())


def test_list_shows_what_has_not_ended(run: Run, filled: None) -> None:
    """One line an order; a state or a crew narrows it, and a crew that is not there is said to be so."""
    result = run("work", "list")
    assert (result.exit_code, result.stderr) == (0, "")
    assert [line.split()[:3] for line in result.stdout.splitlines()] == [
        ["waitingToBeScheduled", "o-1", "repair"],
        ["dispatched", "o-2", "repair"],
    ]
    assert run("work", "list", "--crew", "CREW-12").stdout.split()[:2] == ["dispatched", "o-2"]
    assert run("work", "list", "--state", "completed").stdout == ""
    (line,) = run("work", "list", "--state", "dispatched", "--json").stdout.splitlines()
    assert json.loads(line)["order"] == "o-2"
    first = run("work", "list", "--limit", "1")
    assert first.stderr == "more: --after o-1\n"
    assert run("work", "list", "--after", "o-1").stdout.split()[1] == "o-2"
    missing = run("work", "list", "--crew", "CREW-99")
    assert (missing.exit_code, "no crew CREW-99" in missing.stderr) == (1, True)


def test_board_shows_who_is_at_what_and_what_waits(run: Run, filled: None) -> None:
    """The screen on the wall of the dispatcher."""
    lines = run("work", "board").stdout.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["CREW-11", "CREW-12", "CREW-21", "CREW-22"]
    assert lines[0].startswith("CREW-11 free, o")
    assert lines[1].startswith("CREW-12 dispatched o-2 repair")
    assert lines[4] == "due and without a crew: 1"
    board = json.loads(run("work", "board", "--json").stdout)
    assert (board["to_send"], len(board["crews"])) == (1, 4)


def test_crews_of_a_file_take_the_place_of_those_that_are_there(run: Run, filled: None) -> None:
    """At once, with a row in the audit trail; who has an order in hand cannot be removed."""
    Path("crews.toml").write_text(FILE)
    refused = run("work", "crews", "--set", "crews.toml", "--actor", "ada")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "crews.CREW-12: BUS-151" in refused.stderr
    assert [row.subject for row in trail() if row.subject == "crews"] == []
    Path("crews.toml").write_text(FILE + '\n[crews.CREW-12]\nskills = ["lines"]\n')
    done = run("work", "crews", "--set", "crews.toml", "--actor", "ada")
    assert (done.exit_code, done.stderr) == (0, "crews: 1 added, 2 changed, 2 removed\n")
    first, second, third = done.stdout.splitlines()
    assert first.startswith("CREW-11 free, ")
    assert second.endswith("lines; order o-2")
    assert third.endswith("sent by people alone: meters, service")
    (row,) = (row for row in trail() if row.subject == "crews")
    assert (row.action, row.actor, row.details) == ("configure", "ada", "1 added, 2 changed, 2 removed")
    assert run("work", "crews", "--set", "crews.toml").stderr == "crews: 0 added, 0 changed, 0 removed\n"
    assert len([json.loads(line) for line in run("work", "crews", "--json").stdout.splitlines()]) == 3


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "nothing"),
        ("[crew.A]\nskills = []\n", "crew"),
        ('[crews.A]\nskills = ["flying"]\n', "skills flying"),
        ('[crews.A]\nskills = []\ndays = ["mo"]\n', "days mo"),
        ("[crews.A]\nskills = []\nstart = 18:00:00\n", "from 18:00:00 to 17:00:00"),
        ("[crews.A]\nskills = []\nskill = 1\n", "unknown field `skill`"),
        ("[crews.A]\n", "missing required field `skills`"),
        ("[crews.A", "crews.toml"),
    ],
)
def test_a_file_that_cannot_be_read_changes_nothing(run: Run, filled: None, content: str, said: str) -> None:
    """Half a list of crews would send half of them home."""
    Path("crews.toml").write_text(content)
    result = run("work", "crews", "--set", "crews.toml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert len(run("work", "crews").stdout.splitlines()) == 4
