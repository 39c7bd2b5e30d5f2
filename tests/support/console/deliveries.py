"""A hub whose partners are in trouble, beside that of the seeded day: deliveries, dead letters and partners.

One partner takes all, one refuses trouble tickets for good, one is not there. It is a hub of its own, so that the
others are well.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

from cimcare.codec.envelope import render_message
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from tests.support.console.shown import Shown
from tests.support.endpoint import reply
from tests.support.fake_peer import FakePeer, Told, fake_peer
from tests.support.hub import HubProcess, hub_process

__all__ = ["PAGES", "Trouble", "seed", "trouble", "troubled"]

_TICKETS = 6
_SECONDS = 30.0


class Trouble:
    """The hub and its partners: `CRM` is well, `GIS` refuses, `field-devices` does not answer."""

    def __init__(self, hub: HubProcess, peer: FakePeer) -> None:
        self.hub = hub
        self.peer = peer

    def post(self, seed: int) -> None:
        """A caller's ticket."""
        ticket = render_message(build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=seed))
        asked = Request(f"{self.hub.address}/messages", ticket, {"content-type": "application/xml"})
        with urlopen(asked) as answer:
            assert answer.status == 200

    def mend(self) -> None:
        """`GIS` takes what it refused."""
        self.peer.tell(_GIS, _FINE)

    def worsen(self) -> None:
        """`GIS` refuses."""
        self.peer.tell(_GIS, _REFUSES)

    def count(self, partner: str, state: str) -> int:
        """How many deliveries of a partner are in a state."""
        with urlopen(f"{self.hub.address}/api/v1/deliveries?partner={partner}&state={state}&limit=1000") as answer:
            return len(json.load(answer)["items"])

    def until(self, partner: str, state: str, least: int) -> None:
        """Wait until so many are."""
        until = time.monotonic() + _SECONDS
        while self.count(partner, state) < least:
            assert time.monotonic() < until, f"{partner}: fewer than {least} {state}"
            time.sleep(0.05)


_GIS = "/gis?key=not-to-be-seen"
_FINE = Told(reply())
_REFUSES = Told(reply("FAILED", "2.15"))
_running: list[Trouble] = []


def trouble() -> Trouble:
    """That which is there now."""
    return _running[-1]


@contextmanager
def troubled(folder: Path) -> Iterator[Trouble]:
    """The hub with its partners, after some calls."""
    (folder / "troubled").mkdir()
    with fake_peer() as peer, hub_process(folder / "troubled", _settings(peer), seed_town=True) as hub:
        found = Trouble(hub, peer)
        peer.tell("/crm", _FINE)
        found.worsen()
        for number in range(_TICKETS):
            found.post(number + 1)
        found.until("GIS", "dead", _TICKETS)
        found.until("CRM", "delivered", _TICKETS)
        _running.append(found)
        yield found
        _running.remove(found)


def _settings(peer: FakePeer) -> str:
    return f"""
[partners.CRM]
kind = "rest"
url = "{peer.address}/crm"

[partners.GIS]
kind = "rest"
url = "{peer.address}{_GIS}"

[partners.field-devices]
url = "http://127.0.0.1:9/soap"

[subscriptions.crm]
partner = "CRM"

[subscriptions.gis]
partner = "GIS"
nouns = ["TroubleTickets"]

[subscriptions.devices]
partner = "field-devices"
nouns = ["TroubleTickets", "Incidents"]
"""


def seed(_: HubProcess) -> None:
    """Nothing happens in the utility of the day."""


def _address(path: str, state: str = "") -> str:
    """There; of a delivery to `GIS` in that state its number is put in."""
    hub = trouble().hub
    if state:
        with urlopen(f"{hub.address}/api/v1/deliveries?partner=GIS&state={state}&limit=1") as answer:
            path = path.format(json.load(answer)["items"][0]["number"])
    return hub.address + path


PAGES = {
    "deliveries": Shown(path=lambda _: _address("/console/deliveries"), told="2.15", whole=False),
    "delivery": Shown(path=lambda _: _address("/console/deliveries/{}", "dead"), told="Attempts"),
    "deliveries-preview": Shown(
        path=lambda _: _address("/console/deliveries/preview?act=resend&partner=GIS"), told="What would go where"
    ),
    "deliveries-jobs": Shown(path=lambda _: _address("/console/deliveries/jobs"), told="again", is_pictured=False),
    "partners": Shown(path=lambda _: _address("/console/partners"), told="field-devices"),
    "partner": Shown(path=lambda _: _address("/console/partners/GIS"), told="Delivery goes on"),
}
