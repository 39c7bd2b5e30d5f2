"""Files that browsers get: each is accounted for, and nothing else is given out."""

from importlib.resources import files
from pathlib import Path

import pytest

from cimcare.console.rendering import read_static

STATIC = Path(str(files("cimcare.console") / "static"))


def test_each_file_of_others_is_named_with_its_licence() -> None:
    """Whose something is must be known of all that is handed out; what is large is not ours."""
    told = (STATIC / "README.md").read_text("utf-8")
    rows = [row.split("|") for row in told.splitlines() if row.startswith("| ")]
    named = {name.strip() for row in rows for name in row[1].split(",")}
    minified = {file.name for file in STATIC.glob("*.js") if max(map(len, file.read_text("utf-8").splitlines())) > 500}
    assert {"htmx.js", "idiomorph.js", "alpine.js", "uplot.js", "leaflet.js"} == minified
    assert minified <= named
    assert all((STATIC / name).is_file() for name in named - {"file", "all others"})
    assert all(row[4].strip() for row in rows)


@pytest.mark.parametrize("name", ["README.md", "licences.md", "leaflet.js.map", "images/layers.png", "../frame.py"])
def test_what_pages_do_not_use_is_not_given_out(name: str) -> None:
    """Also what leaflet.css and leaflet.js speak of."""
    assert read_static(name) is None


def test_licences_that_want_it_go_with_what_they_are_of() -> None:
    """With what is installed, too."""
    licences = (STATIC / "licences.md").read_text("utf-8")
    for name, version, owner in (
        ("leaflet.js", b"1.9.4", "Volodymyr Agafonkin"),
        ("uplot.js", b"1.6.32", "Leon Sorokin"),
        ("alpine.js", b"3.17.4", "Caleb Porzio"),
    ):
        assert version in (STATIC / name).read_bytes(), name
        assert owner in licences
    pyproject = Path(__file__).parents[3] / "pyproject.toml"
    assert '"src/cimcare/console/static/licences.md"' in pyproject.read_text()
