"""The command `simulate`: what it prints, where, and how it ends."""

import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from cimcare.cli import main
from cimcare.simulator.journal import Entry, Said, read_lines
from cimcare.simulator.running import running_partner
from tests.support.partner import partner_process

REFUSED = '[[steps]]\nsample = { noun = "Incidents", verb = "get" }\nexpect = { result = "FAILED" }'


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    result = CliRunner().invoke(main, ["simulate", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_a_scenario_that_goes_well_is_told_step_by_step() -> None:
    """In a line each, and the exit code is 0."""
    with running_partner(name="OMS", behaviour="good") as partner:
        code, out, err = run("--scenario", "service-order", "--to", f"{partner.address}/soap")
    assert (code, err) == (0, "")
    assert [line.partition(" (")[0] for line in out.splitlines()][:2] == [
        "1 order: create ServiceOrders: OK",
        "2 change ServiceOrders: OK",
    ]


def test_a_scenario_that_does_not_is_told_with_its_step(tmp_path: Path) -> None:
    """Exit code 1: the answer is no."""
    file = tmp_path / "refused.toml"
    file.write_text(REFUSED)
    with running_partner() as partner:
        code, out, err = run("--scenario", str(file), "--to", f"{partner.address}/messages")
    assert (code, out) == (1, "")
    assert err.startswith("cimcare: step 1: get Incidents: expected result FAILED; got OK")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--scenario", "service-order"], "belong together"),
        (["--to", "http://127.0.0.1:1/"], "belong together"),
        (["--scenario", "nowhere.toml", "--to", "http://127.0.0.1:1/"], "cannot be read"),
        (["--behaviour", "unkind"], "'unkind' is no act"),
        (["--quiet", "--journal", "x"], "writes no journal"),
        (["--journal", "/nowhere/at/all"], "/nowhere/at/all: No such file"),
        (["--host", "203.0.113.7"], "203.0.113.7:0: "),
    ],
)
def test_wrong_use_is_told(arguments: list[str], told: str) -> None:
    """Exit code 2."""
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert told in err


def test_the_journal_holds_what_was_received_and_said_with_what_is_wrong_in_it(tmp_path: Path) -> None:
    """Whoever tries out a product reads there what happened."""
    file, wrong = tmp_path / "journal", tmp_path / "wrong.toml"
    wrong.write_text(
        '[[steps]]\nmessage = \'<RequestMessage xmlns="http://iec.ch/TC57/2011/schema/message"><Header><Verb>create'
        "</Verb><Noun>Incidents</Noun></Header></RequestMessage>'"
    )
    with partner_process(file, behaviour="good") as partner:
        assert run("--scenario", str(wrong), "--to", f"{partner.address}/messages")[0] == 0
        received, said = read_lines(file)
    assert isinstance(received, Entry)
    assert isinstance(said, Said)
    assert "CNV-102" in received.findings[0]
    assert (said.to, said.about, said.result, said.status) == ("answer", 1, "OK", 200)


def test_without_a_file_the_journal_is_standard_output() -> None:
    """One JSON object a line, from the first on; told to end, it ends well."""
    command = [sys.executable, "-m", "cimcare", "simulate", "--role", "oms"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = msgspec.json.decode(process.stdout.readline())
        code, _, _ = run("--scenario", "trouble-ticket", "--to", f"{first['address']}/soap")
        process.send_signal(signal.SIGTERM)
        lines = [msgspec.json.decode(line) for line in process.stdout]
    assert (code, process.returncode, first["line"]) == (0, 0, "listening")
    assert [line["line"] for line in lines] == ["received", "said"] * 6


def test_quietly_it_counts_and_says_so_in_the_end(tmp_path: Path) -> None:
    """Under load a journal would cost more than all the rest; over TLS it makes its own certificate."""
    command = [sys.executable, "-m", "cimcare", "simulate", "--quiet", "--tls", str(tmp_path / "tls")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("https://127.0.0.1:")
        process.send_signal(signal.SIGINT)
        assert msgspec.json.decode(process.stderr.read())["received"] == 0
        assert process.stdout.read() == ""
    assert process.returncode == 0
    assert (tmp_path / "tls/ca.pem").exists()
