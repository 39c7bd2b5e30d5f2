"""The console while a storm is on: every page that is looked at then answers, live parts move, and nothing is lost."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.endpoint import reply
from tests.support.fake_peer import Told, fake_peer
from tests.support.hub import HubProcess, hub_process

PAGES = (
    "/console/",
    "/console/messages",
    "/console/messages?noun=TroubleTickets&verb=create",
    "/console/deliveries",
    "/console/partners",
    "/console/incidents",
    "/console/map",
    "/console/tickets",
    "/console/work",
    "/console/customers",
    "/console/history",
    "/console/report",
    "/console/configuration",
    "/console/audit",
    "/console/readiness",
    "/console/configuration/rules",
    "/console/work/calendar",
    "/console/tickets/callbacks",
)

_LISTENER = """
[partners.CRM]
kind = "rest"
url = "{peer}/crm"

[subscriptions.crm]
partner = "CRM"
"""

FIRST_OF = (
    ("/console/messages", "#found tbody a[href^='/console/messages/']"),
    ("/console/messages", "#found tbody a[href^='/console/conversations/']"),
    ("/console/deliveries", "#shelves tbody a[href^='/console/deliveries/']"),
    ("/console/partners", "#partners tbody a[href$='/CRM']"),
    ("/console/tickets", "main tbody a[href^='/console/tickets/']"),
)
"""Lists, and what leads from each to a page that is looked at then."""


@pytest.fixture(scope="module")
def storm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HubProcess, "subprocess.Popen[str]"]]:
    """A hub, and a squall line that goes over it."""
    folder = tmp_path_factory.mktemp("storm")
    with fake_peer() as peer, hub_process(folder, _LISTENER.format(peer=peer.address), seed_town=True) as hub:
        peer.tell("/crm", Told(reply()))
        command = [sys.executable, "-m", "cimcare", "storm", "--profile", "gust", "--scale", "0.04", "--speed", "20"]
        command += ["--seed", "5", "--to", f"{hub.address}/soap", "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as sending:
            try:
                yield hub, sending
            finally:
                sending.kill()


def look_at(page: Page, address: str) -> None:
    response = page.goto(address)
    assert response is not None
    assert response.status == 200, address
    expect(page.locator("h1")).to_have_count(1)


def test_pages_answer_and_move_while_a_storm_is_on(
    page: Page, storm: tuple[HubProcess, "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    """It is then that people look; and what they do must cost no caller his ticket."""
    hub, sending = storm
    page.goto(f"{hub.address}/console/")
    latest = page.locator("section[aria-labelledby=latest-head] a").first
    expect(latest).to_be_visible(timeout=30_000)
    before = latest.get_attribute("href")
    expect(latest).not_to_have_attribute("href", str(before), timeout=30_000)
    shown = [*((path, "") for path in PAGES), *FIRST_OF]
    seen = 0
    while sending.poll() is None or seen < len(shown):
        path, link = shown[seen % len(shown)]
        look_at(page, hub.address + path)
        if link:
            look_at(page, hub.address + str(page.locator(link).first.get_attribute("href")))
        seen += 1
    page.goto(f"{hub.address}/console/incidents")
    page.locator("main table a").first.click()
    expect(page.locator("main")).to_contain_text("Why")
    out, _ = sending.communicate(timeout=120)
    told = json.loads(out)
    assert {one["name"]: one["isMet"] for one in told["verdict"] if one["name"] in ("lost", "doubled", "ledger")} == {
        "lost": True,
        "doubled": True,
        "ledger": True,
    }
