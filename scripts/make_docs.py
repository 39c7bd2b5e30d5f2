"""Writes the generated pages of docs/ anew (`make docs`), or says which are out of date (`--check`).

`--transcript` also runs `cimcare demo --once` and puts the first figure and the last line of what it prints between the
markers of README.md. That part is not compared by `--check`, since identifiers and times differ from run to run.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

from docs import drill, exchanges, simulating, storms, structures, tables

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
MARKERS = ("<!-- transcript -->", "<!-- /transcript -->")
GENERATED = ("reference/**/*.md", "conformance/requirements.md")
"""Where every page is generated: one that nothing makes any more is stale."""


def make_pages() -> dict[Path, str]:
    """All generated pages by file."""
    sources = (structures, tables, exchanges, drill, simulating, storms)
    made = {name: text for source in sources for name, text in source.pages().items()}
    return {DOCS / name: text for name, text in made.items()}


def stale_files(pages: dict[Path, str]) -> set[Path]:
    """Files in generated folders that nothing makes any more."""
    return {file for pattern in GENERATED for file in DOCS.glob(pattern)} - set(pages)


def check(pages: dict[Path, str]) -> int:
    """Name each page that is out of date; exit code."""
    wrong = [file for file, text in pages.items() if not file.exists() or file.read_text("utf-8") != text]
    for file in sorted([*wrong, *stale_files(pages)]):
        print(f"{file.relative_to(ROOT)} is out of date; run `make docs`", file=sys.stderr)
    return 1 if wrong or stale_files(pages) else 0


def write(pages: dict[Path, str]) -> None:
    """Write all pages and remove stale ones."""
    for file in stale_files(pages):
        file.unlink()
    for file, text in pages.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    print(f"{len(pages)} pages written")


def fill_transcript(readme: str, transcript: str) -> str:
    """The text of README.md with a transcript between its markers."""
    before, found, rest = readme.partition(MARKERS[0])
    _, closed, after = rest.partition(MARKERS[1])
    if not found or not closed:
        raise SystemExit(f"README.md lacks {' or '.join(MARKERS)}")
    return f"{before}{MARKERS[0]}\n```text\n{transcript.strip()}\n```\n{closed}{after}"


def shorten(transcript: str) -> str:
    """The first figure and the last line of a transcript; what is left out between them is marked."""
    first, *others = re.split(r"^(?=Figure \d)", transcript.strip(), flags=re.MULTILINE)
    if len(others) < 2:
        return transcript.strip()
    left_out = ", ".join(other.partition(":")[0].removeprefix("Figure ") for other in others[1:])
    last = transcript.strip().splitlines()[-1]
    return f"{first}{others[0].strip()}\n\n[... Figures {left_out} ...]\n\n{last}"


def run_demo() -> str:
    """What a real run of the demonstration prints."""
    command = [sys.executable, "-m", "cimcare", "demo", "--once"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if ran.returncode:
        raise SystemExit(f"`cimcare demo --once` ended with {ran.returncode}: {ran.stderr.strip()}")
    return "\n".join(line.rstrip() for line in ran.stdout.splitlines())


def main(arguments: list[str] | None = None) -> int:
    """Do as the command line says; exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a page is out of date")
    parser.add_argument("--transcript", action="store_true", help="run the demonstration and put it into README.md")
    given = parser.parse_args(arguments)
    pages = make_pages()
    if given.check:
        return check(pages)
    write(pages)
    if given.transcript:
        readme = ROOT / "README.md"
        readme.write_text(fill_transcript(readme.read_text("utf-8"), shorten(run_demo())), "utf-8")
        print("README.md: transcript written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
