"""Generated pages: up to date, whole, and with samples that are valid."""

import re
from pathlib import Path

import click
import make_docs
import pytest
from docs.tables import ROOT

from cimcare.cli import main
from cimcare.errors import ERRORS
from cimcare.hub.config.brokers import BROKER_KEYS
from cimcare.hub.config.partner_keys import PARTNER_KEYS, SUBSCRIPTION_KEYS
from cimcare.hub.config.settings import SETTINGS
from cimcare.model.nouns import ENTRIES, NounEntry
from cimcare.model.structure import elements_of
from cimcare.schema import Catalog
from cimcare.validation import judge
from docs import structures

REFERENCE = ROOT / "docs/reference"
XML = re.compile(r"```xml\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def pages() -> dict[Path, str]:
    return make_docs.make_pages()


def test_pages_are_up_to_date(pages: dict[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    """A page that tells of another release is worse than none; `make docs` writes them anew."""
    assert make_docs.check(pages) == 0, capsys.readouterr().err


def test_a_page_that_differs_or_is_stale_is_named(
    pages: dict[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The check of the pages must be able to fail."""
    monkeypatch.setattr(make_docs, "ROOT", tmp_path)
    monkeypatch.setattr(make_docs, "DOCS", tmp_path / "docs")
    own = {tmp_path / file.relative_to(ROOT): text for file, text in pages.items()}
    assert make_docs.check(own) == 1
    make_docs.write(own)
    assert make_docs.check(own) == 0
    (tmp_path / "docs/reference/errors.md").write_text("other")
    (tmp_path / "docs/reference/nouns/Meters.md").write_text("stale")
    capsys.readouterr()
    assert make_docs.check(own) == 1
    named = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in named] == ["docs/reference/errors.md", "docs/reference/nouns/Meters.md"]
    make_docs.write(own)
    assert not (tmp_path / "docs/reference/nouns/Meters.md").exists()


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.noun)
def test_a_noun_page_shows_every_structure_once(entry: NounEntry) -> None:
    """Whoever maps a field looks here for it."""
    page = (REFERENCE / f"nouns/{entry.noun}.md").read_text("utf-8")
    for structure in structures.reachable(entry.payload):
        section = page.partition(f"\n### {structure.__name__}\n")[2].partition("\n### ")[0]
        for element in elements_of(structure):
            assert f"| `{element.name}` | `{element.field}` |" in section, (structure, element.name)
        assert page.count(f"\n### {structure.__name__}\n") == 1


@pytest.mark.parametrize("file", [*(f"nouns/{entry.noun}.md" for entry in ENTRIES), "envelope.md"])
def test_samples_in_pages_are_valid(file: str) -> None:
    """They are copied before anything else is read."""
    found = XML.findall((REFERENCE / file).read_text("utf-8"))
    assert found
    for sample in found:
        judgement = judge(sample.encode(), Catalog())
        assert judgement.is_valid, judgement.findings
        assert judgement.findings == ()


def test_every_code_setting_and_command_has_its_entry() -> None:
    """What is looked up by its name must be found by it."""
    errors = (REFERENCE / "errors.md").read_text("utf-8")
    assert [code for code in ERRORS if f"| `{code}` |" not in errors] == []
    settings = (REFERENCE / "settings.md").read_text("utf-8")
    named = (*SETTINGS, *BROKER_KEYS, *PARTNER_KEYS, *SUBSCRIPTION_KEYS)
    assert [one.name for one in named if f"| `{one.name}` |" not in settings] == []
    commands = (REFERENCE / "cli.md").read_text("utf-8")
    context = click.Context(main)
    assert [name for name in main.list_commands(context) if f"\n## cimcare {name}\n" not in commands] == []
    readme = (ROOT / "README.md").read_text("utf-8")
    assert [
        name for name in main.list_commands(context) if not re.search(rf"^\| `cimcare {name}\b", readme, re.MULTILINE)
    ] == []


def test_a_transcript_stands_between_its_markers() -> None:
    """The rest of the README must stay as it is."""
    filled = make_docs.fill_transcript("a\n<!-- transcript -->\nold\n<!-- /transcript -->\nb\n", "new\n")
    assert filled == "a\n<!-- transcript -->\n```text\nnew\n```\n<!-- /transcript -->\nb\n"
    assert make_docs.fill_transcript(filled, "new") == filled
    with pytest.raises(SystemExit, match="lacks"):
        make_docs.fill_transcript("no markers", "new")


def test_a_transcript_is_cut_where_it_says_so() -> None:
    """A reader must see that something was left out."""
    whole = "Hub\n\nFigure 2: A\n  one\n\nFigure 4: B\n  two\n\nFigure 6: C\n  three\n\nall well\n"
    assert make_docs.shorten(whole) == "Hub\n\nFigure 2: A\n  one\n\n[... Figures 4, 6 ...]\n\nall well"
    assert make_docs.shorten("Hub\n\nFigure 2: A\n  one\n") == "Hub\n\nFigure 2: A\n  one"
