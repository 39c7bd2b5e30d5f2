"""A small storm over Northlake, with an outage in every state that there is, and the pages that show it.

Nobody has been sent to fuse F-121, where a wire is down. A crew is at F-113; F-124 is back in part, and one of those
who were said to be back calls again; F-122 is over. At TX-1105 an estimate was withdrawn, TX-1115 is planned work, one
house is out alone, one call came from a place that the network model does not know, and one was a false alarm. All
called more than two hours ago: whoever calls now is of another cluster, and changes nothing of this.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.request import Request, urlopen
from uuid import uuid4

import msgspec

from cimcare.codec.envelope import parse_message, render_message
from cimcare.model.enumerations import NotificationTriggerKind, TroubleReportingKind, WorkStatusKind
from cimcare.model.envelope import Header, Payload, RequestMessage, ResponseMessage, Result, User
from cimcare.model.identity import MRID, MessageID, Name, NameType
from cimcare.model.incident import (
    Incident,
    IncidentHazard,
    IncidentLocation,
    IncidentOutage,
    Incidents,
    IncidentWork,
    UsagePointIdentity,
)
from cimcare.model.nouns import Noun
from cimcare.model.trouble_ticket import (
    CustomerNotification,
    ServiceLocationIdentity,
    TroubleTicket,
    TroubleTicketCustomer,
    TroubleTickets,
)
from cimcare.model.values import DateTimeInterval, Status
from cimcare.model.verbs import Verb
from cimcare.samples.northlake import find_premises, name_of
from cimcare.systems.etr import Etr, render_remark
from tests.support.console.shown import Shown
from tests.support.hub import HubProcess

__all__ = ["PAGES", "Evening", "Reported", "find_incident", "seed"]

_DEVICE = NameType(name="Device")


class Reported(NamedTuple):
    """A ticket, and the incident in which it is."""

    ticket: MRID
    incident: MRID


class Evening:
    """What customers and the control room say to a hub. `at` gives the instant so many minutes from now."""

    def __init__(self, hub: HubProcess) -> None:
        self._address = f"{hub.address}/messages"
        self._start = datetime.now(UTC).replace(microsecond=0)

    def at(self, minutes: float) -> datetime:
        """So many minutes after the beginning; less than none before."""
        return self._start + timedelta(minutes=minutes)

    def call(self, index: int, minutes: float, **members: object) -> Reported:
        """Somebody calls from one of the premises."""
        premises = find_premises(index)
        ticket = TroubleTicket(
            mrid=MRID(str(uuid4())),
            date_time_of_report=self.at(minutes),
            reporting_kind=TroubleReportingKind.call,
            trouble_code="noPower",
            customer=TroubleTicketCustomer(
                mrid=premises.mrid("customer"),
                names=name_of(premises.customer, "CustomerNumber"),
                special_need=premises.special_need,
            ),
            service_location=ServiceLocationIdentity(
                mrid=premises.mrid("location"), names=name_of(premises.location, "ServiceLocationNumber")
            ),
            notification=CustomerNotification(
                contact_type="email", contact_value=premises.email, trigger=NotificationTriggerKind.powerRestored
            ),
        )
        return self.report(msgspec.structs.replace(ticket, **members))

    def calls(self, *calls: tuple[int, float]) -> MRID:
        """Some of them, one after another: the incident in which the last one is."""
        return [self.call(index, minutes) for index, minutes in calls][-1].incident

    def report(self, ticket: TroubleTicket) -> Reported:
        """A ticket comes in."""
        reply = self._send(Verb.CREATE, Noun.TROUBLE_TICKETS, TroubleTickets(trouble_ticket=(ticket,)), "CIS")
        incidents = [one.value for one in reply.reply.id if one.object_type == "Incident"]
        assert ticket.mrid is not None
        return Reported(ticket.mrid, MRID(incidents[0]))

    def cancel(self, ticket: MRID) -> None:
        """It should not have been."""
        payload = TroubleTickets(trouble_ticket=(TroubleTicket(mrid=ticket),))
        self._send(Verb.CANCEL, Noun.TROUBLE_TICKETS, payload, "CIS")

    def say(self, verb: Verb, incident: Incident) -> None:
        """The control room, or somebody in the field, says something of an incident."""
        self._send(verb, Noun.INCIDENTS, Incidents(incident=(incident,)), "control-room")

    def confirm(self, incident: MRID, device: str) -> None:
        """An operator has seen which device it is."""
        place = IncidentLocation(names=(Name(name=device, name_type=_DEVICE),))
        self.say(
            Verb.CHANGE,
            Incident(mrid=incident, location=place, status=Status(reason="operator", remark="operator Ana Ruiz")),
        )

    def send_crew(self, incident: MRID, crew: str, state: WorkStatusKind) -> None:
        """A crew is sent, or has come further."""
        work = IncidentWork(status_kind=state, names=(Name(name=crew),))
        self.say(Verb.CHANGE, Incident(mrid=incident, works=(work,)))

    def estimate(self, incident: MRID, minutes: float, who: str, confidence: float | None = None) -> None:
        """Somebody says when supply will be back."""
        outage = IncidentOutage(estimated_period=DateTimeInterval(end=self.at(minutes)))
        status = Status(reason=who.split(maxsplit=1)[0], remark=render_remark(Etr(source=who, confidence=confidence)))
        self.say(Verb.CHANGE, Incident(mrid=incident, outage=outage, status=status))

    def withdraw(self, incident: MRID, who: str) -> None:
        """The estimate does not hold any longer."""
        status = Status(reason="withdrawn", remark=render_remark(Etr(source=who)))
        self.say(Verb.CHANGE, Incident(mrid=incident, status=status))

    def restore(self, incident: MRID, minutes: float, who: str, points: tuple[int, ...] = ()) -> None:
        """Supply is back, for all or for these premises."""
        outage = IncidentOutage(
            actual_period=DateTimeInterval(end=self.at(minutes)),
            usage_points=tuple(UsagePointIdentity(mrid=find_premises(one).mrid("usage_point")) for one in points),
        )
        status = Status(reason=who.split(maxsplit=1)[0], remark=who)
        self.say(Verb.CHANGE if points else Verb.CLOSE, Incident(mrid=incident, outage=outage, status=status))

    def plan(self, device: str, first: float, last: float) -> MRID:
        """Planned work on a device."""
        mrid = MRID(str(uuid4()))
        period = DateTimeInterval(start=self.at(first), end=self.at(last))
        self.say(
            Verb.CREATE,
            Incident(
                mrid=mrid,
                location=IncidentLocation(names=(Name(name=device, name_type=_DEVICE),)),
                outage=IncidentOutage(is_planned=True, estimated_period=period),
                status=Status(reason="operator", remark=render_remark(Etr(source="operator Ana Ruiz", confidence=0.9))),
                cause="transformer is replaced",
            ),
        )
        return mrid

    def _send(self, verb: Verb, noun: Noun, content: TroubleTickets | Incidents, source: str) -> ResponseMessage:
        header = Header(
            verb=verb,
            noun=noun,
            revision="1",
            timestamp=datetime.now(UTC),
            source=source,
            user=User(user_id="ana"),
            message_id=MessageID(str(uuid4())),
        )
        raw = render_message(RequestMessage(header=header, payload=Payload(content=(content,))))
        with urlopen(Request(self._address, raw, {"content-type": "application/xml"})) as answer:
            reply = parse_message(answer.read())
        assert isinstance(reply, ResponseMessage)
        assert reply.reply.result is not Result.FAILED, reply.reply.error
        return reply


def seed(hub: HubProcess) -> None:
    """Let the storm pass over the town."""
    evening = Evening(hub)
    wire = IncidentHazard(type="wireDown", description="a wire hangs over the pavement, it sparks")
    _end_mill_street(evening)
    _serve_cooper_street(evening)
    _restore_birch_avenue(evening)
    for index, minutes in ((101, -173), (106, -169), (103, -168), (111, -164), (117, -161)):
        evening.call(index, minutes, hazards=(wire,) if index == 106 else ())
    evening.call(21, -430)
    transformer = evening.call(23, -423).incident
    evening.estimate(transformer, 40, "operator Ana Ruiz", 0.5)
    evening.withdraw(transformer, "operator Ana Ruiz")
    planned = evening.plan("TX-1115", -20, 120)
    evening.send_crew(planned, "CREW-21", WorkStatusKind.onSite)
    evening.call(15, -139, trouble_code="partialPower")
    place = ServiceLocationIdentity(names=(Name(name="Old ferry quay"),))
    evening.report(
        TroubleTicket(
            mrid=MRID(str(uuid4())),
            date_time_of_report=evening.at(-220),
            reporting_kind=TroubleReportingKind.call,
            trouble_code="noPower",
            comment="the lamps on the quay are dark",
            service_location=place,
        )
    )
    evening.cancel(evening.call(11, -585).ticket)


def _end_mill_street(evening: Evening) -> None:
    """F-122 was out for more than two hours and is back."""
    incident = evening.calls((121, -315), (126, -311), (131, -310), (128, -305))
    evening.confirm(incident, "F-122")
    evening.send_crew(incident, "CREW-12", WorkStatusKind.dispatched)
    evening.estimate(incident, 30, "crew CREW-12", 0.7)
    evening.say(Verb.CHANGE, Incident(mrid=incident, cause="tree on the line"))
    evening.restore(incident, -150, "crew CREW-12")


def _serve_cooper_street(evening: Evening) -> None:
    """A crew is at F-113; what the control room had estimated was replaced by what the crew has seen."""
    incident = evening.calls((41, -255), (46, -252), (52, -247), (57, -226))
    evening.send_crew(incident, "CREW-11", WorkStatusKind.dispatched)
    evening.estimate(incident, 180, "operator Ana Ruiz", 0.4)
    evening.confirm(incident, "F-113")
    evening.send_crew(incident, "CREW-11", WorkStatusKind.onSite)
    evening.estimate(incident, 70, "crew CREW-11", 0.8)
    evening.say(Verb.CHANGE, Incident(mrid=incident, cause="conductor is broken"))


def _restore_birch_avenue(evening: Evening) -> None:
    """Half of F-124 is back; one of those who were said to be back is not."""
    incident = evening.calls((161, -235), (168, -233), (173, -229), (176, -228))
    evening.confirm(incident, "F-124")
    evening.send_crew(incident, "CREW-22", WorkStatusKind.enroute)
    evening.estimate(incident, 95, "operator Ana Ruiz", 0.6)
    evening.restore(incident, -137, "crew CREW-22", tuple(range(160, 170)))
    evening.call(168, -129, comment="it was said to be back, and all is dark here")


def find_incident(device: str) -> Callable[[HubProcess], str]:
    """The page of the incident of a device."""

    def find(hub: HubProcess) -> str:
        with urlopen(f"{hub.address}/api/v1/Incidents?limit=1000") as answer:
            found = json.load(answer)["items"]
        mrids = [one["mRID"] for one in found if f'"{device}"' in json.dumps(one) and one["state"] != "cancelled"]
        return f"/console/incidents/{mrids[0]}"

    return find


PAGES = {
    "incidents": Shown(path="/console/incidents", told="Nobody is working on these"),
    "map": Shown(path="/console/map", told="Out here"),
    "map-places": Shown(path="/console/map?as=places", told="fuse F-113", is_pictured=False),
    "map-feeder": Shown(path="/console/map?feeder=NL-12", told="fuse F-124", is_pictured=False),
    "incident": Shown(path=find_incident("F-113"), told="What was said of its end"),
    "incident-part": Shown(path=find_incident("F-124"), told="was said to be back"),
    "incident-over": Shown(path=find_incident("F-122"), told="tree on the line", is_pictured=False),
}
