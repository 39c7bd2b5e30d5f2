"""What customers and a control room say to a held hub."""

import html
import re
from datetime import datetime, timedelta

from cimcare.model.envelope import Header, Payload, RequestMessage, ResponseMessage, Result, User
from cimcare.model.identity import MRID, MessageID
from cimcare.model.incident import Incident, IncidentHazard, IncidentOutage, Incidents
from cimcare.model.nouns import Noun, PayloadRoot
from cimcare.model.trouble_ticket import ServiceLocationIdentity, TroubleTicket, TroubleTickets
from cimcare.model.values import DateTimeInterval, Status
from cimcare.model.verbs import Verb
from cimcare.samples.northlake import find_premises
from cimcare.systems.etr import Etr, render_remark
from tests.unit.hub.conftest import HeldHub

__all__ = ["call", "keep_minutes", "links_with_counts", "restore", "tell_end"]


async def keep_minutes(held: HeldHub, number: int) -> None:
    """Let the hub live on, so that it keeps each minute."""
    for _ in range(number):
        held.later(minutes=1)
        await held.hub.upkeep.keep_minute()


async def call(held: HeldHub, index: int, *, hazard: str = "") -> MRID:
    """Somebody of Northlake has no supply; the incident."""
    ticket = TroubleTicket(
        mrid=MRID(held.new_id()),
        date_time_of_report=held.now,
        service_location=ServiceLocationIdentity(mrid=find_premises(index).mrid("location")),
        hazards=(IncidentHazard(type=hazard),) if hazard else (),
    )
    answer = await _ask(held, Verb.CREATE, Noun.TROUBLE_TICKETS, TroubleTickets(trouble_ticket=(ticket,)))
    (incident,) = [one.value for one in answer.reply.id if one.object_type == "Incident"]
    return MRID(incident)


async def tell_end(held: HeldHub, incident: MRID, minutes: float, *, who: str = "Ana") -> None:
    """An operator says in how many minutes supply will be back."""
    end = held.now + timedelta(minutes=minutes)
    said = Status(reason="operator", remark=render_remark(Etr(source=who)))
    await _incident(held, Verb.CHANGE, incident, IncidentOutage(estimated_period=DateTimeInterval(end=end)), said)


async def restore(held: HeldHub, incident: MRID, at: datetime | None = None) -> None:
    """A crew says that supply is back."""
    outage = IncidentOutage(actual_period=DateTimeInterval(end=at or held.now))
    await _incident(held, Verb.CLOSE, incident, outage, Status(reason="crew", remark="7"))


async def _incident(held: HeldHub, verb: Verb, mrid: MRID, outage: IncidentOutage, status: Status) -> None:
    body = Incidents(incident=(Incident(mrid=mrid, outage=outage, status=status),))
    answer = await _ask(held, verb, Noun.INCIDENTS, body)
    assert answer.reply.result is not Result.FAILED, answer.reply


async def _ask(held: HeldHub, verb: Verb, noun: Noun, root: PayloadRoot) -> ResponseMessage:
    answer = await held.ask(_message(held, verb, noun, root))
    assert isinstance(answer, ResponseMessage), answer
    return answer


def _message(held: HeldHub, verb: Verb, noun: Noun, root: PayloadRoot) -> RequestMessage:

    header = Header(
        verb=verb,
        noun=noun.value,
        timestamp=held.now,
        source="CIS",
        message_id=MessageID(held.new_id()),
        user=User(user_id="Ana"),
    )
    return RequestMessage(header=header, payload=Payload(content=(root,)))


async def links_with_counts(held: HeldHub, path: str, pattern: str) -> list[str]:
    """The counts that lead to messages or deliveries, each of which was found to be that of the page behind it."""
    text = (await held.get(path)).body.decode()
    found = re.findall(pattern, text)
    for href, count in found:
        page = (await held.get(html.unescape(href))).body.decode()
        assert page.count('<tr id="row-') == int(count), href
    return [count for _, count in found]
