"""Debian's Chromium, driven by Playwright, and what must hold of each page that it shows."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect, sync_playwright

__all__ = ["open_browser", "require_fit"]

_WIDE = 1280
_ONE_ROW = 64.0
"""Pixels: a window in which the whole menu stands beside the name, and how high the header is then at most."""

_ARGUMENTS = (
    "--no-sandbox",  # tests run as root where Debian's packages are installed
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Chromium, if it is installed; where tests must not be skipped it has to be."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no Chromium: scripts/test-services install brings it")
        pytest.skip("no Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


def require_fit(browser: Browser, address: str, *, width: int, scheme: str) -> None:
    """A page fits its window, has one heading, no grave fault for who cannot see it, and reports nothing.

    It is no wider than the window, and its header is one row where there is room for it. A violation of the content
    policy is reported by the browser as an error, what Alpine cannot evaluate as a warning.
    """
    with browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme) as context:  # type: ignore[arg-type]
        page = context.new_page()
        troubles: list[str] = []
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda said: troubles.append(said.text) if said.type in ("error", "warning") else None)
        response = page.goto(address)
        assert response is not None
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        expect(page.locator("h1")).to_have_count(1)
        header = page.locator("header.bar").bounding_box()
        assert header is not None
        assert width < _WIDE or header["height"] < _ONE_ROW, header
        found = Axe().run(page)
        grave = [one for one in found.response["violations"] if one["impact"] in ("serious", "critical")]
        assert not grave, [(one["id"], one["help"], [each["html"] for each in one["nodes"]][:3]) for one in grave]
        assert [one for one in troubles if response.ok or "Failed to load resource" not in one] == []
