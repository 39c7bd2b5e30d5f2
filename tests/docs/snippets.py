"""Runs the code blocks of a page.

A block of `sh` is run by bash, a block of `python` by Python; the block of another language that follows it is what it
prints, where `...` stands for anything and line ends count as blanks. A block of `console` is for the reader alone.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

__all__ = ["DEFAULT_ADDRESS", "Snippet", "needs_curl", "read_snippets", "run_page"]

DEFAULT_ADDRESS = "http://127.0.0.1:8968"
"""Where a hub listens in the pages."""

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_RUN = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}
_SILENT = frozenset({"console", "toml"})


class Snippet(msgspec.Struct, frozen=True):
    """A block to run, and what it prints (None if the page does not say)."""

    language: str
    text: str
    printed: str | None


def read_snippets(page: Path) -> list[Snippet]:
    """Blocks of a page that are to be run."""
    found: list[Snippet] = []
    for language, text in _FENCE.findall(page.read_text("utf-8")):
        if language in _RUN:
            found.append(Snippet(language, text, None))
        elif language not in _SILENT:
            assert found, f"{page.name}: output before any command"
            assert found[-1].printed is None, f"{page.name}: two outputs of one command"
            found[-1] = msgspec.structs.replace(found[-1], printed=text)
    return found


def run_page(page: Path, folder: Path, address: str) -> int:
    """Run the blocks of a page one after another in a folder, against a hub; how many were run."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CIMCARE_")}
    snippets = read_snippets(page)
    for snippet in snippets:
        ran = subprocess.run(
            [*_RUN[snippet.language], snippet.text.replace(DEFAULT_ADDRESS, address)],
            cwd=folder,
            env=environment | {"PATH": programs},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ran.returncode == 0, f"{snippet.text}\n{ran.stdout}\n{ran.stderr}"
        if snippet.printed is not None:
            assert is_like(snippet.printed, ran.stdout), f"{snippet.text}\nprinted\n{ran.stdout}"
    return len(snippets)


def is_like(expected: str, printed: str) -> bool:
    """Whether a text is as expected: `...` for anything, one blank or line end as good as another."""
    pieces = [r"\s*".join(re.escape(word) for word in piece.split()) for piece in expected.split("...")]
    return re.fullmatch(r"\s*" + r".*?".join(pieces) + r"\s*", printed, re.DOTALL) is not None
