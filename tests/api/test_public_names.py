"""What the library promises to those who import it: names, light imports, types that hold."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import cimcare

USE = Path(__file__).with_name("typed_use.py")
SCRIPTS = ("cimcare.__main__", "cimcare.store.migrations")
"""Run, not imported: the command, and what Alembic loads by path."""

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(cimcare.__path__, "cimcare.")
    if not module.name.startswith(SCRIPTS) and not module.name.rpartition(".")[2].startswith("_")
)
PACKAGES = {module for module in MODULES if any(other.startswith(f"{module}.") for other in MODULES)}

HEAVY = (
    "aiohttp",
    "alembic",
    "asyncpg",
    "lxml",
    "prometheus_client",
    "sqlalchemy",
    "starlette",
    "uvicorn",
    "xmlschema",
)

WRONG_USES = {
    "a noun that is none": "Header(verb=Verb.CREATE, noun=7)",
    "a verb as text": 'Header(verb="create", noun="Incidents")',
    "an instant as text": 'TroubleTicket(date_time_of_report="2026-05-04T09:30:00Z")',
    "an identifier as plain text": 'TroubleTicket(mrid="x")',
    "a member that is none": "TroubleTicket(colour='red')",
    "a change of a value": "TroubleTicket().trouble_code = 'x'",
    "a payload of another sort": "Payload(content=(TroubleTicket(),))",
}


def run_python(program: str) -> str:
    """Standard output of a program in an interpreter of its own."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def loaded_by(module: str) -> set[str]:
    """Which of the heavy libraries an import loads."""
    names = run_python(f"import sys, {module}\nprint(*(name for name in {HEAVY!r} if name in sys.modules))")
    return set(names.split())


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_is_there(name: str) -> None:
    """`from cimcare.x import *` and the reference pages stand on `__all__`."""
    module = importlib.import_module(name)
    names = getattr(module, "__all__", None)
    if names is None:
        assert name in PACKAGES, f"{name} has no __all__"
        return
    assert len(names) == len(set(names))
    missing = [one for one in names if not hasattr(module, one) and f"{name}.{one}" not in MODULES]
    assert missing == []


@pytest.mark.parametrize("name", MODULES)
def test_every_module_and_public_thing_says_what_it_is(name: str) -> None:
    """`help()` is the first page of the reference."""
    module = importlib.import_module(name)
    assert module.__doc__, name
    silent = [
        one
        for one in getattr(module, "__all__", ())
        if callable(thing := getattr(module, one, None))
        and getattr(thing, "__module__", "") == name
        and not getattr(thing, "__doc__", None)
    ]
    assert silent == []


def test_importing_the_library_loads_nothing() -> None:
    """A version check must not cost half a second."""
    assert loaded_by("cimcare") == set()
    assert (
        run_python("import sys, cimcare\nprint([name for name in sys.modules if name.startswith('cimcare.')])") == "[]"
    )


@pytest.mark.parametrize(
    "module", ["cimcare.errors", "cimcare.model.envelope", "cimcare.model.nouns", "cimcare.rules", "cimcare.samples"]
)
def test_values_and_rules_need_no_heavy_library(module: str) -> None:
    """Whoever only builds values, or checks them, installs and loads no server, no database and no XML."""
    assert loaded_by(module) == set()


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("cimcare.codec.envelope", {"lxml"}),
        ("cimcare.codec.soap", {"lxml"}),
        ("cimcare.schema", {"lxml"}),
        ("cimcare.validation", {"lxml"}),
        ("cimcare.client", {"lxml", "aiohttp"}),
    ],
)
def test_each_part_loads_its_own_libraries_only(module: str, allowed: set[str]) -> None:
    """A client program does not drag a server along, and a validator no network."""
    assert loaded_by(module) <= allowed


def test_version_is_the_installed_one() -> None:
    """One number, in the package and in its metadata."""
    from importlib.metadata import version

    assert cimcare.__version__ == version("cimcare")


def test_typed_marker_is_there() -> None:
    """Without it, type checkers treat the whole library as untyped."""
    assert (Path(cimcare.__file__).parent / "py.typed").exists()


def check_types(file: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    """The strict verdict of mypy about a program of a user, without the settings of this project."""
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={cache}", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=file.parent)


def test_a_program_that_uses_it_passes_strict_types(tmp_path: Path) -> None:
    """Users run strict type checks too; our types must stand them without a single exception."""
    file = tmp_path / "use.py"
    file.write_text(USE.read_text())
    done = check_types(file, tmp_path / "cache")
    assert done.returncode == 0, done.stdout
    assert subprocess.run([sys.executable, str(file)], check=False).returncode == 0


def test_wrong_use_is_found_by_types(tmp_path: Path) -> None:
    """Types that accept everything are worth nothing: each of these is refused, in its own line."""
    head = USE.read_text().partition("\n\n\ndef ")[0]
    file = tmp_path / "wrong.py"
    file.write_text("\n".join([head, *WRONG_USES.values()]))
    first = head.count("\n") + 2
    done = check_types(file, tmp_path / "cache")
    refused = {int(line.split(":")[1]) for line in done.stdout.splitlines() if ": error: " in line}
    accepted = [name for number, name in enumerate(WRONG_USES, first) if number not in refused]
    assert accepted == []


def test_model_knows_no_clock_and_no_chance() -> None:
    """Values are made of what they are given; identifiers and instants come from outside."""
    banned = {"random", "secrets", "uuid", "time", "os", "socket"}
    for file in (Path(cimcare.__file__).parent / "model").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                assert not banned & {alias.name.partition(".")[0] for alias in node.names}, file
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").partition(".")[0] not in banned, file
            elif isinstance(node, ast.Attribute):
                assert node.attr not in ("now", "utcnow", "today"), file
