"""Files that browsers get: each is accounted for, and nothing else is given out."""

from importlib.resources import files
from pathlib import Path

import pytest

from cimcare.console.rendering import read_static

STATIC = Path(str(files("cimcare.console") / "static"))


def test_each_file_is_named_with_its_licence() -> None:
    """Whose something is must be known of all that is handed out."""
    told = (STATIC / "README.md").read_text("utf-8")
    rows = [row.split("|") for row in told.splitlines() if row.startswith("| ")]
    named = {name.strip() for row in rows for name in row[1].split(",")} | {"README.md", "leaflet.LICENSE"}
    assert {file.name for file in STATIC.iterdir()} - {"__pycache__"} <= named
    assert all(row[4].strip() for row in rows)


@pytest.mark.parametrize("name", ["README.md", "leaflet.LICENSE", "leaflet.js.map", "images/layers.png", "../frame.py"])
def test_what_pages_do_not_use_is_not_given_out(name: str) -> None:
    """Also what leaflet.css and leaflet.js speak of."""
    assert read_static(name) is None


def test_the_licence_of_leaflet_goes_with_it() -> None:
    """Its licence wants that."""
    assert b"1.9.4" in (STATIC / "leaflet.js").read_bytes()[:200]
    assert "BSD 2-Clause" in (STATIC / "leaflet.LICENSE").read_text()
    pyproject = Path(__file__).parents[3] / "pyproject.toml"
    assert '"src/cimcare/console/static/leaflet.LICENSE"' in pyproject.read_text()
