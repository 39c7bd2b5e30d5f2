"""Take the pictures of the console that stand in the documentation: `make screenshots`.

From a utility with the exchanges of the demo, so that they show the same whenever they are taken. Look at each of them
before they are committed.
"""

import json
import sys
import tempfile
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.browser import PAGES, open_browser, utility  # noqa: E402 - the path is set above

_LOOKS = (
    ("", 1280, "light", tuple(name for name in PAGES if name != "nothing")),
    ("-tablet", 768, "dark", ("overview",)),
)
"""Suffix of the file, width, colours, and pages."""


def main() -> None:
    images = ROOT / "docs" / "images"
    images.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="northlake-") as folder,
        utility(Path(folder)) as hub,
        open_browser() as browser,
    ):
        with urlopen(f"{hub.address}/api/v1/messages?noun=ServiceRequests&verb=create&limit=1") as answer:
            correlation = json.load(answer)["items"][0]["correlationId"]
        for suffix, width, scheme, names in _LOOKS:
            with browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme) as context:  # type: ignore[arg-type]
                page = context.new_page()
                for name in names:
                    page.goto(hub.address + PAGES[name].format(correlation=correlation))
                    page.screenshot(path=images / f"console-{name}{suffix}.png", full_page=name != "messages")
                    print(f"docs/images/console-{name}{suffix}.png")


if __name__ == "__main__":
    main()
