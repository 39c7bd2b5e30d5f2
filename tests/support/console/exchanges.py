"""The exchanges of the demo in the log, and the pages that show them: overview, messages, conversations, readiness."""

import asyncio
import json
from urllib.request import urlopen

from cimcare.demo.play import play_demo
from tests.support.console.shown import Shown
from tests.support.hub import HubProcess

__all__ = ["PAGES", "find_conversation", "seed"]


def seed(hub: HubProcess) -> None:
    """Play the demo."""
    assert asyncio.run(play_demo(hub.address)).went_as_expected


def find_conversation(hub: HubProcess) -> str:
    """That of the first service request, which three systems hear of."""
    with urlopen(f"{hub.address}/api/v1/messages?noun=ServiceRequests&verb=create&limit=1") as answer:
        return f"/console/conversations/{json.load(answer)['items'][0]['correlationId']}"


def find_change(hub: HubProcess) -> str:
    """The last event that tells of a change: what it says otherwise than the message before it about the object."""
    with urlopen(f"{hub.address}/api/v1/messages?verb=changed&order=newest&limit=1") as answer:
        return f"/console/messages/{json.load(answer)['items'][0]['sequence']}?as=changes"


PAGES = {
    "overview": Shown(path="/console/", told="All is well"),
    "messages": Shown(path="/console/messages", told="TroubleTickets", whole=False),
    "message": Shown(path="/console/messages/1", told="RequestMessage"),
    # Number 20 of the demo is a ticket that is refused.
    "message-refused": Shown(path="/console/messages/20", told="BUS-105"),
    "message-source": Shown(path="/console/messages/20?as=source", told="Envelope"),
    "message-json": Shown(path="/console/messages/1?as=json", told='"RequestMessage"'),
    "messages-found": Shown(path="/console/messages?premises=SL-30021&text=no_supply", told="TroubleTickets"),
    "message-changes": Shown(path=find_change, told="changed"),
    "conversation": Shown(path=find_conversation, told="create ServiceRequests"),
    "readiness": Shown(path="/console/readiness", told="this hub"),
    "nothing": Shown(path="/console/nothing-of-the-kind", told="NET-103", is_pictured=False),
}
