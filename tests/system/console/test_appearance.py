"""Light or dark by choice, in a real browser."""

from playwright.sync_api import Browser, Page, expect

from tests.support.hub import HubProcess

_FIRST_PAINT = """
requestAnimationFrame(function look() {
  if (!document.body) return requestAnimationFrame(look);
  window.painted = getComputedStyle(document.documentElement).backgroundColor;
});
"""
_CANVAS = """() => {
  const probe = document.body.appendChild(document.createElement("i"));
  probe.style.backgroundColor = "Canvas";
  return getComputedStyle(probe).backgroundColor;
}"""
LIGHT, DARK = "rgb(244, 247, 247)", "rgb(16, 24, 27)"


def ground(page: Page) -> str:
    """The colour behind all."""
    return str(page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))


def test_the_choice_holds_on_every_page_from_its_first_frame(browser: Browser, town: HubProcess) -> None:
    """A control room at night is not lit up by each page that is opened."""
    with browser.new_context(color_scheme="light") as context:
        page = context.new_page()
        page.add_init_script(_FIRST_PAINT)
        page.goto(f"{town.address}/console/")
        assert ground(page) == LIGHT
        other = context.new_page()
        other.goto(f"{town.address}/console/messages")
        page.get_by_role("radio", name="As the machine has it").press("ArrowLeft")
        expect(page.get_by_role("radio", name="Dark")).to_be_checked()
        assert ground(page) == DARK
        other.wait_for_function(f"getComputedStyle(document.documentElement).backgroundColor === '{DARK}'")
        expect(other.get_by_role("radio", name="Dark")).to_be_checked()
        page.goto(f"{town.address}/console/partners")
        assert page.evaluate("painted") == DARK
        assert page.evaluate(_CANVAS) == "rgb(18, 18, 18)", "what browsers draw, such as fields, is dark too"
        page.emulate_media(media="print")
        assert ground(page) == LIGHT
        page.emulate_media(media="screen", color_scheme="dark")
        page.get_by_role("radio", name="Light").check(force=True)
        assert ground(page) == LIGHT
        page.get_by_role("radio", name="As the machine has it").check(force=True)
        assert ground(page) == DARK
        page.emulate_media(color_scheme="light")
        assert ground(page) == LIGHT


def test_without_scripts_there_is_no_choice(browser: Browser, town: HubProcess) -> None:
    """A button that does nothing is worse than none."""
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"{town.address}/console/messages/1")
        expect(page.get_by_role("radio")).to_have_count(0)
        expect(page.get_by_role("button", name="Copy")).to_have_count(0)
        expect(page.get_by_role("tab", name="JSON")).to_be_visible()
