"""A restoration that cannot be gone through, before a whole hub: what it has begun is undone, and others go on."""

from datetime import timedelta
from pathlib import Path

import pytest

from cimcare.exchange.ports import Stored
from cimcare.model.envelope import Result
from cimcare.model.trouble_ticket import TroubleTicket
from cimcare.model.verbs import Verb
from cimcare.systems.oms.restoring import Restorer
from tests.drill.desk import Desk, open_desk, said, settings_of
from tests.drill.places import Northlake
from tests.drill.scenario import instant


async def test_a_broken_ticket_does_not_keep_those_of_other_outages_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three crews say that supply is back; of the first outage one ticket cannot be worked upon."""
    places, resolve, broken = Northlake(), Restorer.resolve, {"1"}

    async def fails(restorer: Restorer, ticket: Stored[TroubleTicket], *more: object) -> Stored[TroubleTicket]:
        if broken.intersection(name.name for name in ticket.body.names):
            raise RuntimeError("this ticket cannot be worked upon")
        return await resolve(restorer, ticket, *more)  # type: ignore[arg-type]

    async def states(desk: Desk) -> list[str]:
        tickets = await desk.tickets()
        return [status.value or "" for label in "123" if (status := tickets[label].status) is not None]

    monkeypatch.setattr(Restorer, "resolve", fails)
    async with open_desk(settings_of(f"sqlite:///{tmp_path / 'hub.db'}"), instant("09:00")) as desk:
        for label, place in (("1", "3"), ("2", "63"), ("3", "123")):
            await desk.call_in(label, places.location(place))
            incident = await desk.incident_of(label)
            word = said(incident, evidence="crew", by="CREW-11", restored_at=desk.now)
            reply = await desk.change_incident(word, verb=Verb.CLOSE)
            assert reply.reply.result is Result.OK, reply.reply.error
        for _ in range(2):
            await desk.move(desk.now + timedelta(minutes=2))
        assert await states(desk) == ["open", "resolved", "resolved"]
        broken.clear()
        await desk.move(desk.now + timedelta(minutes=2))
        assert await states(desk) == ["resolved"] * 3
