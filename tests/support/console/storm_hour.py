"""A hub after an hour of storm, beside that of the seeded day: for curves, which a day made in seconds has not.

It was played with a clock that was moved on, so each minute of it is kept, and all that its pages count is there.
"""

import asyncio
import math
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from cimcare.codec.envelope import render_message
from cimcare.hub.app import Hub
from cimcare.model.envelope import Header, Payload, RequestMessage
from cimcare.model.identity import MRID, MessageID
from cimcare.model.nouns import Noun
from cimcare.model.trouble_ticket import ServiceLocationIdentity, TroubleTicket, TroubleTickets
from cimcare.model.verbs import Verb
from cimcare.samples.northlake import PREMISES_COUNT, Premises, find_premises
from tests.support.console.shown import Shown
from tests.support.hub import HubProcess, call, hub_process, hub_settings

__all__ = ["PAGES", "seed", "storm", "storm_hour"]

_MINUTES = 70
_SUMMIT = 52
_MOST_CALLS = 14
"""In the worst minute."""

_GAP = range(20, 25)
"""Minutes in which no hub ran."""

_running: list[HubProcess] = []


@contextmanager
def storm_hour(folder: Path) -> Iterator[HubProcess]:
    """The hub, some seconds after its last minute."""
    (folder / "storm").mkdir()
    with ThreadPoolExecutor(1) as aside:  # Playwright has a loop of its own in this thread
        aside.submit(lambda: asyncio.run(_play(folder / "storm"))).result()
    with hub_process(folder / "storm", seed_town=True) as hub:
        _running.append(hub)
        yield hub
        _running.remove(hub)


async def _play(folder: Path) -> None:
    end, minute, chance = datetime.now(UTC), timedelta(minutes=1), Random(68)
    now = end - _MINUTES * minute
    hub = await Hub.open(hub_settings(folder, seed_town=True), clock=lambda: now)
    for number in range(_MINUTES):
        calls = round(_MOST_CALLS * math.exp(-(((number - _SUMMIT) / 17) ** 2)) * chance.uniform(0.7, 1.2))
        for _ in range(0 if number in _GAP else calls):
            # It begins at one end of the town, and wanders.
            place = find_premises(chance.randrange(min(4 + 3 * number, PREMISES_COUNT)))
            # One of a dozen asks for what nobody knows, and is refused.
            verb = Verb.CLOSE if chance.random() < 1 / 12 else Verb.CREATE
            answer = await call(hub.app, "/messages", _ticket(verb, place, now), headers=_XML)
            assert answer is not None
            assert answer.status == 200
        now += minute
        if number not in _GAP:
            await hub.upkeep.keep_minute()
    await hub.close()


_XML = {"content-type": "application/xml"}


def _ticket(verb: Verb, place: Premises, now: datetime) -> bytes:
    """Somebody there has no supply."""
    ticket = TroubleTicket(
        mrid=MRID(str(uuid.uuid4())),
        date_time_of_report=now,
        service_location=ServiceLocationIdentity(mrid=place.mrid("location")),
    )
    header = Header(
        verb=verb,
        noun=Noun.TROUBLE_TICKETS,
        revision="1",
        timestamp=now,
        source="CIS",
        message_id=MessageID(str(uuid.uuid4())),
    )
    payload = Payload(content=(TroubleTickets(trouble_ticket=(ticket,)),))
    return render_message(RequestMessage(header=header, payload=payload))


def seed(_: HubProcess) -> None:
    """Nothing happens in the utility of the day."""


def storm() -> HubProcess:
    """That which is there now."""
    return _running[-1]


def _at(path: str) -> Callable[[HubProcess], str]:
    return lambda _: storm().address + path


PAGES = {
    "overview-storm": Shown(path=_at("/console/"), told="Pace of the last minutes"),
    "history-storm": Shown(path=_at("/console/history"), told="Messages and customers out", whole=False),
    "report-storm": Shown(path=_at("/console/report"), told="Largest incidents", is_pictured=False),
}
