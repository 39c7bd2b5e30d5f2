"""Configuration, rules and audit trail, shown at the hub whose partners are in trouble, where operators had to act."""

import html
import re
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from tests.support.console.deliveries import trouble
from tests.support.console.shown import Shown
from tests.support.hub import HubProcess

__all__ = ["PAGES", "put_in_force", "seed"]


def seed(_: HubProcess) -> None:
    """Operators halt a partner and let it go on, give a slow one more time, and alter a rule before the storm."""
    _send("/console/partners/CRM/halt", reason="they restart at noon", actor="anna")
    _send("/console/partners/CRM/release", reason="it is back", actor="anna")
    put_in_force("/console/configuration", "[partners.field-devices]", "[partners.field-devices]\nparallel = 1")
    put_in_force("/console/configuration/rules", "storm-incidents = 50", "storm-incidents = 40")


def put_in_force(path: str, old: str, new: str) -> None:
    """Alter a text of the configuration, by somebody else."""
    with urlopen(trouble().hub.address + path) as answer:
        found = re.search(r"<textarea[^>]*>(.*?)</textarea>", answer.read().decode(), re.DOTALL)
    assert found
    text = html.unescape(found[1])
    assert old in text
    page = _send(f"{path}/proposal", text=text.replace(old, new), actor="otto")
    base = re.search(r'name="base" value="([^"]*)"', page)
    assert base
    _send(path, text=text.replace(old, new), base=base[1], actor="otto")


def _send(path: str, *, actor: str, **fields: str) -> str:
    headers = {"content-type": "application/x-www-form-urlencoded", "x-actor": actor}
    with urlopen(Request(trouble().hub.address + path, urlencode(fields).encode(), headers)) as answer:
        assert answer.status == 200
        return str(answer.read().decode())


PAGES = {
    "configuration": Shown(
        path=lambda _: f"{trouble().hub.address}/console/configuration", told="Partners and subscriptions in force"
    ),
    "rules": Shown(path=lambda _: f"{trouble().hub.address}/console/configuration/rules", told="Rules in force"),
    "audit": Shown(path=lambda _: f"{trouble().hub.address}/console/audit", told="they restart at noon"),
}
