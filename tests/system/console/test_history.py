"""The past in a real browser: the knob is moved, and the page follows."""

from playwright.sync_api import Page, expect

from tests.support.hub import HubProcess


def test_the_page_follows_the_knob_and_its_address_can_be_passed_on(page: Page, town: HubProcess) -> None:
    """Who found the minute sends it to others."""
    page.goto(f"{town.address}/console/history?span=10m")
    page.evaluate("window.isSame = true")
    instant = page.locator("#stood-head time")
    before = instant.get_attribute("datetime")
    knob = page.get_by_label("Instant within the stretch")
    knob.focus()
    for _ in range(12):
        page.keyboard.press("ArrowLeft")
    expect(instant).not_to_have_attribute("datetime", str(before))
    place = knob.input_value()
    expect(page).to_have_url(f"{page.url.partition('step=')[0]}step={place}")
    assert page.evaluate("window.isSame")
    kept = page.evaluate("Object.values({...localStorage, ...sessionStorage}).join()")
    assert "Instant within" not in kept, "what pages show is not kept in the browser"
    shown = instant.get_attribute("datetime")
    page.goto(page.url)
    expect(instant).to_have_attribute("datetime", str(shown))
    assert knob.input_value() == place


def test_a_report_is_one_click_and_its_pdf_another(page: Page, town: HubProcess) -> None:
    """The morning after, for who has to hand it in."""
    page.goto(f"{town.address}/console/history")
    page.get_by_role("link", name="Report on this stretch").click()
    expect(page.locator("h1")).to_have_text("After-action report")
    page.get_by_role("link", name="last 24 hours").click()
    expect(page.locator("section[aria-labelledby=incidents-head]")).to_contain_text("fuse F-122")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="PDF").click()
    assert waiting.value.suggested_filename.endswith(".pdf")
    assert waiting.value.path().read_bytes().startswith(b"%PDF-")
