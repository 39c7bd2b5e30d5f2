"""Configuration as text in a real browser: what would change is seen before it does."""

import pytest
from playwright.sync_api import Page, expect

from tests.support.console.configuration import put_in_force
from tests.support.console.deliveries import Trouble, trouble
from tests.support.hub import HubProcess


@pytest.fixture
def broken(town: HubProcess) -> Trouble:
    """The hub in trouble that stands beside the town."""
    assert town.address
    return trouble()


def test_a_partner_gets_another_deadline(page: Page, broken: Trouble) -> None:
    """Edit, look, put in force; and it stands in the audit trail."""
    page.goto(f"{broken.hub.address}/console/configuration")
    field = page.get_by_label("TOML")
    text = field.input_value()
    assert "not-to-be-seen" not in page.content()
    field.fill(text.replace("[partners.GIS]", "[partners.GIS]\ndeadline_seconds = 11"))
    page.get_by_role("button", name="Show what would change").click()
    expect(page.get_by_role("heading", name="What would change")).to_be_visible()
    expect(page.locator(".diff .added")).to_have_text("+ added: deadline_seconds = 11")
    page.get_by_role("button", name="Put it in force").click()
    expect(page.get_by_role("status")).to_contain_text("is in force")
    expect(page.locator("main")).to_contain_text("The file with which this hub started says otherwise")
    page.get_by_role("link", name="earlier changes").click()
    expect(page.locator("tbody tr").first).to_contain_text("deadline_seconds: 30 -> 11")
    page.locator("tbody tr").first.get_by_role("link").first.click()
    expect(page.get_by_label("TOML")).to_have_value(altered(text))


def altered(text: str) -> str:
    """The text as it is in force then."""
    lines = text.splitlines()
    at = next(place for place, line in enumerate(lines) if line == "[partners.GIS]")
    end = next((place for place in range(at, len(lines)) if not lines[place]), len(lines))
    return "\n".join([*lines[:end], "deadline_seconds = 11", *lines[end:]]) + "\n"


def test_a_mistake_is_told_with_its_line_and_what_was_typed_stays(page: Page, broken: Trouble) -> None:
    """As every error of the hub is."""
    page.goto(f"{broken.hub.address}/console/configuration")
    page.get_by_label("TOML").fill('[partners.new]\nurl = "ftp://n.example"\n')
    page.get_by_role("button", name="Show what would change").click()
    expect(page.get_by_role("heading", name="It cannot be put in force")).to_be_visible()
    expect(page.locator(".findings")).to_contain_text("SET-107")
    expect(page.locator(".findings")).to_contain_text("line 2")
    expect(page.get_by_label("TOML")).to_have_value('[partners.new]\nurl = "ftp://n.example"\n')
    expect(page.get_by_role("button", name="Put it in force")).to_have_count(0)


def test_who_was_overtaken_is_told(page: Page, broken: Trouble) -> None:
    """Two people at two desks."""
    path = "/console/configuration/rules"
    page.goto(broken.hub.address + path)
    field = page.get_by_label("TOML")
    field.fill(field.input_value().replace("history-least = 10", "history-least = 12"))
    page.get_by_role("button", name="Show what would change").click()
    put_in_force(path, "separation-minutes = 120", "separation-minutes = 90")
    page.get_by_role("button", name="Put it in force").click()
    expect(page.locator(".findings")).to_contain_text("SET-119")
    page.get_by_role("button", name="Show what would change").click()
    expect(page.locator(".turns")).to_contain_text("separation-minutes: 90 -> 120")
