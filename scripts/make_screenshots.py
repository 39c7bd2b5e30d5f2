"""Take the pictures of the console that stand in the documentation: `make screenshots`, or this with names of some.

From a utility after the seeded day, so that they show the same whenever they are taken. Look at each of them
before they are committed.
"""

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.console.browser import open_browser  # noqa: E402 - the path is set above
from tests.support.console.day import PAGES, utility  # noqa: E402

_LOOKS = (
    ("", 1280, "light", tuple(name for name, shown in PAGES.items() if shown.is_pictured)),
    ("-tablet", 768, "dark", ("overview",)),
)
"""Suffix of the file, width, colours, and pages."""


def main() -> None:
    """Take those that are named, or all."""
    wanted = frozenset(sys.argv[1:])
    images = ROOT / "docs" / "images"
    images.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="northlake-") as folder,
        utility(Path(folder)) as hub,
        open_browser() as browser,
    ):
        for suffix, width, scheme, names in _LOOKS:
            with browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme) as context:  # type: ignore[arg-type]
                page = context.new_page()
                for name in names:
                    if wanted and name not in wanted:
                        continue
                    page.goto(PAGES[name].address(hub))
                    page.screenshot(path=images / f"console-{name}{suffix}.png", full_page=PAGES[name].whole)
                    print(f"docs/images/console-{name}{suffix}.png")


if __name__ == "__main__":
    main()
