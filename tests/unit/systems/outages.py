"""A control room on a bench: a small feeder, calls from its houses, and what operators and crews say."""

from datetime import datetime, timedelta

import msgspec

from cimcare.exchange.ports import Key, Selection, Served
from cimcare.model.identity import Name, NameType
from cimcare.model.incident import (
    Incident,
    IncidentLocation,
    IncidentOutage,
    TroubleTicketIdentity,
    UsagePointIdentity,
)
from cimcare.model.network import Device, DeviceKind, Network, ServicePoint
from cimcare.model.nouns import Noun
from cimcare.model.trouble_ticket import ServiceLocationIdentity, TroubleTicket
from cimcare.model.values import DateTimeInterval, Status
from cimcare.model.verbs import Verb
from cimcare.systems import oms
from cimcare.systems.oms.importing import import_network
from cimcare.systems.oms.kinds import INCIDENTS, TICKETS
from cimcare.systems.oms.restored import INTERRUPTIONS, InterruptionRecord
from tests.unit.systems.utility import MONDAY, Utility, mrid

__all__ = ["ControlRoom", "feeder", "restored_points"]

TT, INC = Noun.TROUBLE_TICKETS, Noun.INCIDENTS


def feeder(houses: int = 2) -> Network:
    """A breaker below a source, two fuses below the breaker, two transformers below each, `houses` at each of those.

    Houses are called by their transformer and number: H11-1 is the first one at the first transformer of fuse F1.
    """
    devices = [
        Device(mrid=mrid("S"), name="S", kind=DeviceKind.SOURCE, nodes=("n0",)),
        Device(mrid=mrid("B"), name="B", kind=DeviceKind.BREAKER, nodes=("n0", "n1")),
    ]
    points = []
    for fuse in "12":
        devices.append(Device(mrid=mrid(f"F{fuse}"), name=f"F{fuse}", kind=DeviceKind.FUSE, nodes=("n1", f"f{fuse}")))
        for at in "12":
            name = f"T{fuse}{at}"
            nodes = (f"f{fuse}", f"t{fuse}{at}")
            devices.append(Device(mrid=mrid(name), name=name, kind=DeviceKind.TRANSFORMER, nodes=nodes))
            points += [
                ServicePoint(
                    mrid=mrid(f"UP{fuse}{at}-{number}"),
                    name=f"UP{fuse}{at}-{number}",
                    node=f"t{fuse}{at}",
                    location_mrid=mrid(f"H{fuse}{at}-{number}"),
                )
                for number in range(1, houses + 1)
            ]
    return Network(devices=tuple(devices), points=tuple(points))


class ControlRoom(Utility):
    """The utility, with a feeder in its model."""

    async def open(self, network: Network | None = None) -> None:
        await import_network(self.records, network or feeder(), MONDAY)

    # ---------------------------------------------------------------------------------------------- what is said

    async def call(self, house: str, ticket: str, *, at: datetime | None = None, incident: str = "") -> Served:
        """Somebody from a house has no supply; with `incident` the ticket is put into that one."""
        body = TroubleTicket(
            mrid=mrid(ticket),
            date_time_of_report=at or self.now,
            service_location=ServiceLocationIdentity(mrid=mrid(house)),
        )
        served = await self.ask(Verb.CREATE, TT, body)
        if incident and await self.incident_of(ticket) != incident:
            named = TroubleTicketIdentity(mrid=mrid(ticket))
            await self.ask(Verb.CHANGE, INC, Incident(mrid=mrid(incident), trouble_tickets=(named,)))
        return served

    async def hang_up(self, ticket: str) -> Served:
        """The customer system closes a ticket: its caller says that supply is back."""
        return await self.ask(Verb.CLOSE, TT, ids=(ticket,))

    async def outage(self, incident: str, device: str, *, at: datetime | None = None, **more: object) -> Served:
        """An operator sees that a device is out."""
        period = DateTimeInterval(start=at or self.now)
        body = Incident(
            mrid=mrid(incident),
            location=IncidentLocation(names=(Name(name=device, name_type=NameType(name="Device")),)),
            outage=IncidentOutage(actual_period=period),
        )
        return await self.ask(Verb.CREATE, INC, msgspec.structs.replace(body, **more))

    async def say(
        self,
        incident: str,
        *,
        kind: str | None = "operator",
        who: str | None = "Ana Ruiz",
        etr: datetime | None = None,
        restored_at: datetime | None = None,
        points: tuple[str, ...] = (),
        verb: Verb = Verb.CHANGE,
        **more: object,
    ) -> Served:
        """A change or a close of an incident, with who says it."""
        outage = None
        if etr is not None or restored_at is not None or points:
            outage = IncidentOutage(
                estimated_period=DateTimeInterval(end=etr) if etr is not None else None,
                actual_period=DateTimeInterval(end=restored_at) if restored_at is not None else None,
                usage_points=tuple(UsagePointIdentity(mrid=mrid(point)) for point in points),
            )
        status = Status(reason=kind, remark=who) if kind or who else None
        body = Incident(mrid=mrid(incident), outage=outage, status=status)
        return await self.ask(verb, INC, msgspec.structs.replace(body, **more))

    async def close(self, incident: str, **more: object) -> Served:
        """The word that an outage is over."""
        return await self.say(incident, verb=Verb.CLOSE, **more)  # type: ignore[arg-type]

    async def tick(self, most: int = 200) -> list[Served]:
        """The clock goes on: all ticks until none has more. What they did."""
        done = []
        for tick in oms.TICKS:
            for _ in range(most):
                header = self._header(Verb.EXECUTE, INC)
                done.append(await tick(self._context(header)))
                if not done[-1].has_more:
                    break
            else:
                raise AssertionError("a tick that never ends")
        return done

    # --------------------------------------------------------------------------------------------- what has come

    async def incident(self, name: str) -> Incident:
        stored = await self.records.find(INCIDENTS.collection, mrid(name))
        assert stored is not None
        return stored.body

    async def state(self, name: str) -> str:
        for kind in (INCIDENTS, TICKETS):
            stored = await self.records.find(kind.collection, mrid(name))  # type: ignore[arg-type]
            if stored is not None:
                return stored.state
        raise AssertionError(f"neither incident nor ticket: {name}")

    async def ticket(self, name: str) -> TroubleTicket:
        stored = await self.records.find(TICKETS.collection, mrid(name))
        assert stored is not None
        return stored.body

    async def incident_of(self, ticket: str) -> str:
        body = await self.ticket(ticket)
        assert body.incident is not None
        return str(body.incident.mrid)

    async def extent(self, name: str) -> int | None:
        """Customers of an incident who are believed out, as it tells."""
        outage = (await self.incident(name)).outage
        assert outage is not None
        assert outage.summary is not None
        return outage.summary.total_count

    async def etr(self, name: str) -> tuple[str | None, datetime | None]:
        """Stage and time of the estimate that an incident tells."""
        body = await self.incident(name)
        period = body.outage.estimated_period if body.outage is not None else None
        return (body.status.reason if body.status is not None else None, period.end if period is not None else None)

    async def interruptions(self, point: str = "") -> tuple[InterruptionRecord, ...]:
        keys = ((Key("point", point),),) if point else ()
        found = await self.records.select(INTERRUPTIONS, Selection(keys=keys, limit=100_000))
        return tuple(stored.body for stored in found)

    async def dark(self) -> set[str]:
        """Points with an interruption of which nobody has said since that they have supply."""
        last: dict[str, InterruptionRecord] = {}
        for one in await self.interruptions():
            known = last.get(one.point)
            if known is None or (
                known.ended_at is not None and (one.ended_at is None or one.ended_at > known.ended_at)
            ):
                last[one.point] = one
        return {point for point, one in last.items() if one.evidence is None}

    def minutes(self, count: float) -> datetime:
        return MONDAY + timedelta(minutes=count)


def restored_points(served: Served) -> set[str]:
    """Points that the events of this service say to have supply again."""
    found: set[str] = set()
    for event in served.events:
        if event.noun is INC and event.verb is Verb.CHANGED:
            for incident in getattr(event.payload, "incident", ()):
                if incident.outage is not None:
                    found |= {str(point.mrid) for point in incident.outage.usage_points}
    return found
