"""Where things are: the networks of the scenarios, how places go by name in them, and what comes in beside messages.

Northlake is the product's own town; its premises go by number, 0 to 199. The feeders of the IEEE lie beside the
project, where somebody has put them there; their points of supply go by name.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cache
from typing import NamedTuple

import msgspec

from cimcare.codec.network import parse_network
from cimcare.exchange.ports import Selection
from cimcare.model.incident import Incident, IncidentHazard, UsagePointIdentity
from cimcare.model.network import Network
from cimcare.model.trouble_ticket import (
    CustomerAgreementPlace,
    ServiceLocationIdentity,
    TroubleTicket,
    TroubleTicketCustomer,
)
from cimcare.model.values import Status
from cimcare.samples.northlake import PREMISES_COUNT, Premises, find_premises, name_of
from cimcare.samples.northlake_network import build_network
from cimcare.systems.cis.callbacks import CALL_BACKS, CallBackState
from cimcare.systems.etr import Etr, render_remark
from cimcare.systems.oms.estimates import EstimateRules
from cimcare.systems.oms.estimating import save_rules
from cimcare.systems.oms.importing import import_network
from cimcare.systems.oms.indices import Indices
from cimcare.systems.oms.kinds import REPORTS
from cimcare.systems.oms.operating import operate
from cimcare.systems.oms.reliability import Reliability, load_reliability
from cimcare.systems.premises import PREMISES
from tests.drill.desk import Desk
from tests.drill.scenario import Rules
from tests.support.feeders import read_feeder
from tests.support.hub import Response

__all__ = ["FeederPlaces", "Northlake", "Notice", "Places", "places_of"]


class Notice(NamedTuple):
    """What a customer was told: where, on what occasion, in which words, and when."""

    place: str
    trigger: str
    text: str
    at: datetime


class Places:
    """A network, and how its places are spoken of."""

    network: Network
    has_town = False

    async def prepare(self, desk: Desk) -> None:
        """Give a hub the network, if it does not have it by itself."""

    async def rule(self, desk: Desk, rules: Rules) -> None:
        """Put rules of estimates in force, as an operator does."""
        async with desk.store.transaction() as transaction:
            await save_rules(transaction.records, EstimateRules(**msgspec.structs.asdict(rules)), desk.now)

    def point_name(self, place: str) -> str:
        """The name of the point of supply at a place."""
        raise NotImplementedError

    def location(self, place: str) -> ServiceLocationIdentity | None:
        """The place as a caller gives it."""
        raise NotImplementedError

    def point(self, place: str) -> UsagePointIdentity:
        """The point of supply as messages name it."""
        return UsagePointIdentity(names=name_of(self.point_name(place), "UsagePointNumber"))

    def point_of(self, ticket: TroubleTicket) -> str:
        """The name of the point from which a ticket is."""
        location = ticket.service_location
        assert location is not None
        name = location.names[0].name
        return next((point.name for point in self.network.points if point.location == name), name)

    def customer(self, place: str, account: str) -> TroubleTicketCustomer | None:
        """Who calls."""
        return None

    def contact(self, place: str, way: str) -> str:
        """Number or address of whoever lives there, which nobody else has."""
        return f"{place}@post.example" if way == "email" else f"+1-906-556-{int(place):04}"

    def place_of(self, contact: str, text: str = "") -> str:
        """Where the number or address belongs; if several share it, the text says which of them is meant."""
        return contact.removesuffix("@post.example") if "@" in contact else str(int(contact[-4:]))

    async def operate(self, desk: Desk, name: str, *, is_open: bool) -> None:
        """Tell the outage management that contacts were opened or closed."""
        async with desk.store.transaction() as transaction:
            await operate(transaction.records, name, desk.now, is_open=is_open)

    async def alter(self, desk: Desk, network: Network) -> None:
        """Give the outage management another model of the network; devices stay open or closed as they are."""
        async with desk.store.transaction() as transaction:
            await import_network(transaction.records, network, desk.now)

    async def meter_events(self, desk: Desk, *, off: Iterable[str], on: Iterable[str], at: datetime) -> Response:
        """Give the hub a table of what meters say."""
        said = [(place, "off") for place in off] + [(place, "on") for place in on]
        rows = [f"{self.point_name(place)},{state},{at.isoformat()}" for place, state in said]
        table = "\n".join(["point,state,at", *rows]).encode()
        return await desk.rest("/api/v1/meter-events", table, method="POST", content_type="text/csv")

    def with_estimate(
        self, change: Incident, *, stage: str, confidence: int | None, valid: datetime | None, evidence: str, by: str
    ) -> Incident:
        """The same with how much is known of the restoration time, in the grammar of our profile."""
        if not stage and confidence is None and valid is None:
            return change
        told = Etr(source=f"{evidence} {by}", confidence=confidence / 100 if confidence else None, valid_until=valid)
        reason = stage or ("crewEstimate" if evidence == "crew" else "areaEstimate")
        return msgspec.structs.replace(change, status=Status(reason=reason, remark=render_remark(told)))

    def notices(self, desk: Desk) -> list[Notice]:
        """All notices that have left, in order."""
        return [
            Notice(self.place_of(one.notice.address, one.notice.text), one.notice.trigger, one.notice.text, one.at)
            for one in desk.phones.sent
        ]

    async def call_backs(self, desk: Desk) -> list[str]:
        """Places on the list of those whom people are to call."""
        wanted = Selection(states=(CallBackState.WAITING, CallBackState.CLAIMED))
        found = await desk.store.reader.records.select(CALL_BACKS, wanted)
        return [self.place_of(one.body.contact, one.body.text) for one in found]

    async def indices(self, desk: Desk, at: datetime) -> Indices:
        """How reliable supply was up to an instant, planned interruptions left out."""
        return (await self.reliability(desk, at)).unplanned

    async def reliability(self, desk: Desk, at: datetime) -> Reliability:
        """How reliable supply was up to an instant."""
        return await load_reliability(
            desk.store.reader.records,
            since=at - timedelta(days=7),
            until=at + timedelta(minutes=1),
            now=at,
            customers=sum(point.customers for point in self.network.points),
        )

    async def counted(self, desk: Desk) -> dict[str, str]:
        """Points whose meters have lost supply, and the incident in which the place of each is counted now."""
        records = desk.store.reader.records
        names = {point.mrid: point.name for point in self.network.points}
        found = await records.select(REPORTS, Selection(limit=1000))
        places = await records.select(PREMISES, Selection(mrids=tuple(one.mrid for one in found), limit=1000))
        points = {one.mrid: names.get(one.body.usage_point or "", "") for one in places} if found else {}
        return {points.get(one.mrid, one.mrid): one.body.incident for one in found if one.body.off_at is not None}

    def hazard(self, sort: str) -> IncidentHazard:
        """A danger."""
        return IncidentHazard(type=sort)


class Northlake(Places):
    """The town."""

    has_town = True

    def __init__(self) -> None:
        self.network = build_network()

    def premises(self, place: str) -> Premises | None:
        """The premises of this number; None for a place that is not in the town."""
        return find_premises(int(place)) if place.isdigit() else None

    def point_name(self, place: str) -> str:
        premises = self.premises(place)
        return premises.usage_point if premises else place

    def location(self, place: str) -> ServiceLocationIdentity | None:
        if not place:
            return None
        premises = self.premises(place)
        return ServiceLocationIdentity(names=name_of(premises.location if premises else place, "ServiceLocationNumber"))

    def place_of(self, contact: str, text: str = "") -> str:
        for one in map(find_premises, range(PREMISES_COUNT)):  # those whom the customer system knows how to reach
            street = f"{one.house_number} {one.street} {one.street_type}"
            if contact in (one.telephone, one.email) and (not text or f" {street} " in f" {_without_stops(text)} "):
                return str(one.index)
        return super().place_of(contact, text)

    def customer(self, place: str, account: str) -> TroubleTicketCustomer | None:
        premises = self.premises(place)
        if account:
            return TroubleTicketCustomer(names=name_of(account, "CustomerNumber"))
        return TroubleTicketCustomer(names=name_of(premises.customer, "CustomerNumber")) if premises else None


def _without_stops(text: str) -> str:
    return "".join(" " if sign in ".:," else sign for sign in text)


class FeederPlaces(Places):
    """A feeder of which only the network is known: no customers, no addresses. Callers give their point of supply."""

    def __init__(self, network: Network) -> None:
        self.network = network

    async def prepare(self, desk: Desk) -> None:
        async with desk.store.transaction() as transaction:
            await import_network(transaction.records, self.network, desk.now)

    def point_name(self, place: str) -> str:
        return place

    def location(self, place: str) -> ServiceLocationIdentity | None:
        return None

    def customer(self, place: str, account: str) -> TroubleTicketCustomer | None:
        return TroubleTicketCustomer(customer_agreements=(CustomerAgreementPlace(usage_points=(self.point(place),)),))

    def point_of(self, ticket: TroubleTicket) -> str:
        assert ticket.customer is not None
        return ticket.customer.customer_agreements[0].usage_points[0].names[0].name


@cache
def _read_feeder(name: str) -> Network:
    return parse_network([read_feeder(name)]).network


def places_of(network: str) -> Places:
    """The places of a network by its name. Skips the test where the network is not on this machine."""
    return Northlake() if network == "northlake" else FeederPlaces(_read_feeder(network))
