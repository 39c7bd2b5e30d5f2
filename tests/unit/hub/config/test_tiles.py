"""The address of a tile server: what would not work, or would open the content policy, is refused at the start."""

import pytest

from cimcare.hub.config.settings import judge_settings
from cimcare.hub.config.tiles import origin_of

GOOD = "https://tiles.example/{z}/{x}/{y}.png"


@pytest.mark.parametrize(
    ("template", "origin"),
    [
        (GOOD, "https://tiles.example"),
        ("http://10.0.0.7:8080/wmts?layer=a;b&m={z}&c={x}&r={y}", "http://10.0.0.7:8080"),
        ("https://Tiles.Example:443/{z}/{y}/{x}?again={z}", "https://tiles.example:443"),
    ],
)
def test_a_template_gives_the_one_origin_that_is_allowed(template: str, origin: str) -> None:
    """Nothing of its path gets into the policy."""
    settings, mistakes = judge_settings(f'console.tiles = "{template}"')
    assert not mistakes
    assert settings is not None
    assert origin_of(settings.console.tiles) == origin


@pytest.mark.parametrize(
    ("template", "found"),
    [
        ("https://tiles.example/{z}/{x}.png", "has no {y}"),
        ("https://tiles.example/1.png", "has no {z}, {x}, {y}"),
        ("https://tiles.example/{z}/{x}/{y}{r}.png", "has {r}, which nothing is known for"),
        ("https://{s}.tiles.example/{z}/{x}/{y}.png", "no host that a content policy can name"),
        ("https://*.example/{z}/{x}/{y}.png", "no host that a content policy can name"),
        ("https://a;script-src/{z}/{x}/{y}.png", "no host that a content policy can name"),
        ("https://a,b/{z}/{x}/{y}.png", "no host that a content policy can name"),
        ("http://[::1]:80/{z}/{x}/{y}.png", "no host that a content policy can name"),
        ("https://tiles.example /{z}/{x}/{y}.png", "has characters that no address has"),
        ("ftp://tiles.example/{z}/{x}/{y}.png", "is neither http nor https"),
        ("/tiles/{z}/{x}/{y}.png", "is neither http nor https"),
        ("//tiles.example/{z}/{x}/{y}.png", "is neither http nor https"),
        ("data:image/png,{z}{x}{y}", "is neither http nor https"),
        ("https:///{z}/{x}/{y}.png", "has no host"),
        ("https://ana:secret@tiles.example/{z}/{x}/{y}.png", "has a name or password"),
        ("https://tiles.example/{z}/{x}/{y}.png#a", "has a fragment"),
        ("http://127.0.0.1:8968/{z}/{x}/{y}.png", "is on this hub, which has no tiles"),
        ("https://hub.example/tiles/{z}/{x}/{y}.png", "is on this hub, which has no tiles"),
    ],
)
def test_what_cannot_be_is_named_with_its_line_and_what_would_pass(template: str, found: str) -> None:
    """An operator sees it when the hub starts, and not as a map that stays grey."""
    text = f'hub.address = "https://hub.example"\n[console]\ntiles = "{template}"'
    (mistake,) = judge_settings(text).mistakes
    assert (mistake.finding.code, mistake.finding.path, mistake.finding.line) == ("SET-107", "console.tiles", 3)
    assert found in mistake.finding.found
    assert "secret" not in mistake.describe()
    assert GOOD in mistake.finding.accepted
