"""Debian's Chromium, driven by Playwright, over the console of a hub in a process of its own."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from cimcare.demo.play import play_demo
from tests.support.hub import HubProcess, hub_process

__all__ = ["PAGES", "open_browser", "utility"]

_ARGUMENTS = (
    "--no-sandbox",  # tests run as root where Debian's packages are installed
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

PAGES = {
    "overview": "/console/",
    "messages": "/console/messages",
    "message": "/console/messages/1",
    "message-refused": "/console/messages/20",
    "message-source": "/console/messages/20?as=source",
    "message-json": "/console/messages/1?as=json",
    "conversation": "/console/conversations/{correlation}",
    "readiness": "/console/readiness",
    "nothing": "/console/nothing-of-the-kind",
}
"""Every page of the console, by the name of its picture. Number 20 of the demo is a ticket that is refused."""


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


@contextmanager
def utility(folder: Path) -> Iterator[HubProcess]:
    """A hub with its console, with the exchanges of the demo in its log."""
    with hub_process(folder, seed_town=True) as hub:
        with ThreadPoolExecutor(1) as aside:  # Playwright has a loop of its own in this thread
            played = aside.submit(lambda: asyncio.run(play_demo(hub.address))).result()
        assert played.went_as_expected
        yield hub
