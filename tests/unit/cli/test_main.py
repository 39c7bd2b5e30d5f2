"""The command as a whole: help, version, wrong use."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cimcare import __version__
from cimcare.cli import main
from tests.unit.cli.conftest import Run

NAMED = [
    "audit",
    "brokers",
    "call",
    "callbacks",
    "config",
    "consents",
    "convert",
    "customers",
    "deadletters",
    "deliveries",
    "demo",
    "doctor",
    "ledger",
    "messages",
    "meter-events",
    "network",
    "notices",
    "outages",
    "record",
    "report",
    "sales",
    "sample",
    "schema",
    "send",
    "serve",
    "simulate",
    "storm",
    "validate",
    "work",
]


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command below a group, with its words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


ALL = dict(commands(main))


def test_all_commands_are_there() -> None:
    """The names are promised to scripts."""
    assert [words[0] for words in ALL if len(words) == 1] == NAMED
    assert {" ".join(words) for words in ALL if len(words) > 1} == {
        "callbacks answer",
        "callbacks claim",
        "callbacks list",
        "callbacks next",
        "customers import",
        "customers list",
        "customers prefer",
        "customers show",
        "notices list",
        "audit head",
        "audit list",
        "audit verify",
        "config apply",
        "config check",
        "config plan",
        "consents give",
        "consents list",
        "consents scopes",
        "consents withdraw",
        "deadletters discard",
        "deadletters list",
        "deadletters resend",
        "deadletters show",
        "deliveries abandon",
        "deliveries halt",
        "deliveries list",
        "deliveries partners",
        "deliveries release",
        "deliveries show",
        "ledger check",
        "messages list",
        "messages purge",
        "messages show",
        "network check",
        "network close",
        "network import",
        "network open",
        "network show",
        "network trace",
        "outages cancel",
        "outages decisions",
        "outages dispatch",
        "outages etr",
        "outages etr-rules",
        "outages history",
        "outages indices",
        "outages list",
        "outages restore",
        "outages rules",
        "outages show",
        "outages storm",
        "outages unresolved",
        "sales check",
        "sales close",
        "sales list",
        "sales open",
        "sales reverse",
        "sales sell",
        "schema compare",
        "schema export",
        "schema list",
        "work board",
        "work crews",
        "work list",
    }


@pytest.mark.parametrize("words", ALL, ids=" ".join)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_is_complete(run: Run, words: tuple[str, ...], flag: str) -> None:
    """Whoever is at a console at night has nothing but this: every option says what it is for."""
    result = run(*words, flag)
    assert result.exit_code == 0
    assert result.stderr == ""
    command = ALL[words]
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name
            assert all(name in result.stdout for name in parameter.opts)
        else:
            assert str(parameter.make_metavar(click.Context(command))) in result.stdout


def test_help_needs_no_settings(run: Run) -> None:
    """A broken file of settings must not stand in the way of the help that would explain it."""
    Path("cimcare.toml").write_text("nonsense = 1\n")
    for words in ALL:
        assert run(*words, "--help").exit_code == 0
    assert run("messages", "list").exit_code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["--nonsense"],
        ["validate"],
        ["validate", "--verb", "show", "-"],
        ["convert", "-"],
        ["convert", "--to", "yaml", "-"],
        ["sample"],
        ["sample", "TroubleTickets", "--verb", "show"],
        ["sample", "TroubleTickets", "--seed", "x"],
        ["send", "-"],
        ["schema"],
        ["schema", "compare"],
        ["messages"],
        ["messages", "show"],
        ["messages", "show", "first"],
        ["messages", "list", "--limit", "0"],
        ["messages", "list", "--outcome", "GOOD"],
        ["messages", "list", "--since", "yesterday"],
        ["serve", "--port", "65536"],
        ["serve", "nonsense"],
        ["demo", "--port", "-1"],
    ],
    ids=" ".join,
)
def test_wrong_use_is_told_on_stderr(run: Run, arguments: list[str]) -> None:
    """A script that reads stdout must not read a complaint, and must see from the code that it is its own fault."""
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr


def test_version(run: Run) -> None:
    """The first question of any support."""
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"cimcare, version {__version__}\n")


def test_module_is_the_command() -> None:
    """`python -m cimcare` works where no script was installed, under the command's own name."""
    done = subprocess.run([sys.executable, "-m", "cimcare", "sample"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("Usage: cimcare sample")


def test_help_loads_nothing_heavy() -> None:
    """Completion in a shell asks for the help; it must not load servers and schemas."""
    heavy = "lxml xmlschema starlette uvicorn aiohttp sqlalchemy msgspec"
    program = (
        "import sys\nfrom cimcare.cli import main\n"
        "try: main(['--version'])\nexcept SystemExit: pass\n"
        f"print([name for name in {heavy.split()!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
