"""Shows that the tests of the guarantees can fail: breaks each mechanism by one change and runs the tests that name it.

Each row of `BREAKS` is a documented change to one place of the program. It is made in a copy, the named tests are run
against that copy, and they have to fail; without any change all of them have to pass. `make prove` prints the table;
exit code 0 if every break was found, else 1. `--only G4` runs some of them.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("src", "tests", "pyproject.toml", "docs", "scripts", "README.md", "Makefile", "changes", "bench")


@dataclass(frozen=True)
class Break:
    """One change: what of the mechanism it takes away, where, and which tests have to notice."""

    guarantee: str
    what: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]


BREAKS: tuple[Break, ...] = ()


def run(tests: tuple[str, ...], folder: Path) -> bool:
    """Whether the tests pass against the program in this folder."""
    environment = {**os.environ, "PYTHONPATH": str(folder / "src")}
    command = [sys.executable, "-m", "pytest", "--no-cov", "-q", "-x", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"pytest ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    return done.returncode == 0


def apply(change: Break, folder: Path) -> str:
    """Make the change in the copy; the text that was there."""
    file = folder / change.file
    text = file.read_text("utf-8")
    if text.count(change.before) != 1:
        raise SystemExit(
            f"{change.guarantee}: {change.file} holds the place to change {text.count(change.before)} times"
        )
    file.write_text(text.replace(change.before, change.after), "utf-8")
    return text


def main(arguments: list[str] | None = None) -> int:
    """Do as the command line says; exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", action="append", default=[], help="guarantee to break, such as G4; may be repeated")
    given = parser.parse_args(arguments)
    chosen = [change for change in BREAKS if not given.only or change.guarantee in given.only]
    missed = 0
    with tempfile.TemporaryDirectory(prefix="cimcare-breaks-") as name:
        folder = Path(name)
        for item in COPIED:
            source = ROOT / item
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, folder / item)
        every = tuple(dict.fromkeys(test for change in chosen for test in change.tests))
        if not run(every, folder):
            print("the tests fail without any change; mend that first", file=sys.stderr)
            return 1
        for change in chosen:
            text = apply(change, folder)
            is_found = not run(change.tests, folder)
            (folder / change.file).write_text(text, "utf-8")
            missed += not is_found
            print(
                f"{change.guarantee:4} {'found ' if is_found else 'MISSED'}  {change.what} ({change.file})", flush=True
            )
    print(f"{len(chosen) - missed} of {len(chosen)} breaks found")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
