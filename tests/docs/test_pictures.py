"""Pictures of the console: there is one of every page, and each stands where somebody reads."""

import re
from pathlib import Path

from tests.support.console.day import PAGES

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"


def shown_in(page: Path) -> set[Path]:
    """Files of the pictures of a page."""
    return {(page.parent / path).resolve() for path in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page.read_text())}


def test_each_page_of_the_console_has_its_picture() -> None:
    """Who reads looks first."""
    pictured = {IMAGES / f"console-{name}.png" for name, shown in PAGES.items() if shown.is_pictured}
    assert pictured <= set(IMAGES.glob("*.png"))


def test_each_picture_stands_in_a_page() -> None:
    """A picture that nobody sees is not looked at by anybody before it is committed, either."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    assert set().union(*map(shown_in, pages)) == set(IMAGES.glob("*.png"))
