"""Plays a scenario before a hub, and says in words where what the hub does is not as expected."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

import msgspec

from cimcare.model.enumerations import WorkStatusKind
from cimcare.model.envelope import IDKind, ObjectID, ResponseMessage, Result
from cimcare.model.identity import MRID
from cimcare.model.incident import Incident, IncidentLocation, IncidentOutage, TroubleTicketIdentity
from cimcare.model.nouns import Noun
from cimcare.model.trouble_ticket import TroubleTicket
from cimcare.model.values import DateTimeInterval, Status
from cimcare.model.verbs import Verb
from tests.drill.desk import Desk, a_wish, belongs_to, named, said
from tests.drill.places import Places
from tests.drill.scenario import Act, Call, Expected, ExpectedIncident, Plan, Scenario, Split, Step, instant
from tests.drill.world import World

__all__ = ["Player", "codes_in"]

_ENDED = frozenset({"closed", "cancelled"})


class Player:
    """One scenario under way."""

    def __init__(self, scenario: Scenario, desk: Desk, world: World, places: Places) -> None:
        self.scenario = scenario
        self.desk = desk
        self.world = world
        self.places = places
        self.wrong: list[str] = []
        self._incidents: dict[str, MRID] = {}
        self._told = 0
        self._step = ""

    async def play(self) -> None:
        """All steps. What is not as expected is noted in `wrong`, and the play goes on."""
        for step in self.scenario.steps:
            at = instant(step.at)
            self._step = step.at
            while self.desk.now < at - timedelta(minutes=1):  # a tick amid each pause, as the minutes of a real one
                await self.desk.move(min(self.desk.now + timedelta(minutes=10), at - timedelta(minutes=1)))
            await self.desk.move(at)
            await self._happen(step, at)
            await self.desk.tick()
            if step.expect is not None:
                await self._compare(step.expect, at)

    def _differs(self, what: str) -> None:
        self.wrong.append(f"{self._step}: {what}")

    # ------------------------------------------------------------------------------------------------ what happens

    async def _happen(self, step: Step, at: datetime) -> None:
        if step.fails:
            self.world.fail(*step.fails, at=at)
        if step.mends:
            self.world.mend(*step.mends, at=at)
        if step.generators:
            self.world.feed(*step.generators, at=at)
        if step.switches is not None:
            self.world.switch(opened=step.switches.opens, closed=step.switches.closes, at=at)
            for name in step.switches.opens:
                await self.places.operate(self.desk, name, is_open=True)
            for name in step.switches.closes:
                await self.places.operate(self.desk, name, is_open=False)
        replies: list[ResponseMessage] = []
        for label, given in step.calls.items():
            replies.append(await self._call(label, given if isinstance(given, Call) else Call(place=given), at))
        for label, given in step.again.items():
            replies.append(await self._again(label, given))
        if step.meters is not None:
            stated = instant(step.meters.at) if step.meters.at else at
            answer = await self.places.meter_events(self.desk, off=step.meters.off, on=step.meters.on, at=stated)
            if answer.status != 200:
                self._differs(f"meter events are answered {answer.status}: {answer.body.decode()}")
        replies += [await self._end(label, Verb.CANCEL) for label in step.withdraws]
        for label, target in step.moves.items():
            replies.append(await self._move(label, target))
        for name, plan in step.plans.items():
            replies.append(await self._plan(name, plan))
        replies += [await self._act(act, at) for act in step.acts]
        for name, split in step.splits.items():
            replies.append(await self._split(name, split))
        for label, answer in step.answers.items():
            replies.append(await self._answer(label, answer, at))
        self._check_replies(step, replies)

    def _check_replies(self, step: Step, replies: Iterable[ResponseMessage]) -> None:
        for reply in replies:
            codes = codes_in(reply)
            text = " ".join(f"{one.reason} {one.details}" for one in reply.reply.error)
            if step.refused:
                if reply.reply.result is not Result.FAILED or step.refused not in codes:
                    self._differs(f"{step.refused} should refuse it; it was {reply.reply.result}: {text}")
            elif reply.reply.result is not Result.OK:
                self._differs(f"refused: {text}")
            for words in step.hears:
                if words not in text:
                    self._differs(f"the reply does not say {words!r}, but {text!r}")

    async def _call(self, label: str, given: Call, at: datetime) -> ResponseMessage:
        wish = None
        if given.wants:
            trigger, way = given.wants.split()
            wish = a_wish(trigger, way, self.places.contact(given.place, way))
            if given.hours:
                earliest, latest = (instant(text) for text in given.hours.split(" to "))
                wish = msgspec.structs.replace(
                    wish, earliest_date_time_to_call=earliest, latest_date_time_to_call=latest
                )
        return await self.desk.call_in(
            label,
            self.places.location(given.place),
            reported_at=instant(given.reported) if given.reported else at,
            hazard=given.hazard,
            device=given.device,
            customer=self.places.customer(given.place, given.account),
            code=given.code,
            wants=wish,
        )

    async def _again(self, label: str, given: Call) -> ResponseMessage:
        known = await self.desk.ticket(label)
        return await self.desk.ask(
            Verb.CHANGE,
            Noun.TROUBLE_TICKETS,
            TroubleTicket(
                mrid=known.mrid,
                hazards=(self.places.hazard(given.hazard),) if given.hazard else (),
                service_location=self.places.location(given.place) if given.place else None,
            ),
            source="CALL-CENTRE",
        )

    async def _end(self, label: str, verb: Verb) -> ResponseMessage:
        named_so = ObjectID(value=label, kind=IDKind.name)
        return await self.desk.ask(verb, Noun.TROUBLE_TICKETS, ids=(named_so,), source="CALL-CENTRE")

    async def _move(self, label: str, target: str) -> ResponseMessage:
        ticket = await self.desk.ticket(label)
        mrid = await self._incident(target)
        moved = TroubleTicket(mrid=ticket.mrid, incident=belongs_to(mrid))
        return await self.desk.ask(Verb.CHANGE, Noun.TROUBLE_TICKETS, moved, user="operator.03")

    async def _incident(self, label: str) -> MRID:
        """The incident of a plan or split of this name, else of the ticket."""
        return self._incidents.get(label) or await self.desk.incident_of(label)

    async def _plan(self, name: str, plan: Plan) -> ResponseMessage:
        period = DateTimeInterval(start=instant(plan.start), end=instant(plan.end))
        incident = Incident(
            location=IncidentLocation(names=(named(plan.device, "Device"),)),
            outage=IncidentOutage(is_planned=True, estimated_period=period),
            status=Status(reason="operator", remark="operator.03"),
        )
        return await self._created(name, incident)

    async def _split(self, name: str, split: Split) -> ResponseMessage:
        tickets = [(await self.desk.ticket(label)).mrid for label in split.tickets]
        incident = Incident(
            location=IncidentLocation(names=(named(split.device, "Device"),)) if split.device else None,
            status=Status(reason="operator", remark="operator.03"),
            trouble_tickets=tuple(TroubleTicketIdentity(mrid=mrid) for mrid in tickets),
        )
        return await self._created(name, incident)

    async def _created(self, name: str, incident: Incident) -> ResponseMessage:
        reply = await self.desk.ask(Verb.CREATE, Noun.INCIDENTS, incident, user="operator.03")
        if reply.reply.id:
            self._incidents[name] = MRID(reply.reply.id[0].value)
        return reply

    async def _act(self, act: Act, at: datetime) -> ResponseMessage:
        mrid = await self._incident(act.of)
        tickets = [
            mrid_of(one)
            for label in act.merges
            for one in await self._all_tickets_of(await self.desk.incident_of(label))
        ]
        restored_at = instant(act.restored_at) if act.restored_at else at
        points = act.restored if isinstance(act.restored, list) else []
        change = said(
            mrid,
            evidence=act.evidence,
            by=act.by,
            device=act.device,
            etr=instant(act.etr) if act.etr else None,
            restored_at=restored_at if act.restored or act.close else None,
            restored=[self.places.point(one) for one in points],
            crew=WorkStatusKind(act.crew) if act.crew else None,
            tickets=tickets,
            cause=act.cause,
        )
        change = self.places.with_estimate(
            change,
            stage=act.stage,
            confidence=act.confidence,
            valid=instant(act.valid) if act.valid else None,
            evidence=act.evidence,
            by=act.by,
        )
        verb = Verb.CLOSE if act.close else Verb.CANCEL if act.cancel else Verb.CHANGE
        return await self.desk.change_incident(change, verb=verb, by=act.by)

    async def _all_tickets_of(self, incident: MRID) -> list[TroubleTicket]:
        every = await self.desk.tickets()
        return [one for one in every.values() if one.incident is not None and one.incident.mrid == incident]

    async def _answer(self, label: str, answer: str, at: datetime) -> ResponseMessage:
        """A customer who is called back: supply is back, or it is not."""
        ticket = await self.desk.ticket(label)
        if answer == "restored":
            closed = TroubleTicket(mrid=ticket.mrid, resolved_date_time=at, status=Status(reason="callback"))
            return await self.desk.ask(Verb.CLOSE, Noun.TROUBLE_TICKETS, closed, source="CALL-CENTRE")
        assert answer == "still out", answer
        return await self.desk.call_in(
            f"{label} again", ticket.service_location, reported_at=at, customer=ticket.customer, code="STILL_OUT"
        )

    # ------------------------------------------------------------------------------------------------ what is so

    async def _compare(self, expected: Expected, at: datetime) -> None:
        tickets = await self.desk.tickets()
        incidents = await self.desk.incidents()
        if expected.incidents is not None:
            is_open = [one for one in incidents if state_of(one) not in _ENDED]
            self._compare_incidents("open", expected.incidents, is_open, tickets)
        if expected.ended is not None:
            ended = [one for one in incidents if state_of(one) in _ENDED]
            self._compare_incidents("ended", expected.ended, ended, tickets)
        if expected.unresolved is not None:
            found = {
                label
                for label, ticket in tickets.items()
                for one in incidents
                if belongs(ticket, one) and one.location is not None and one.location.type == "unresolved"
            }
            self._equal("unresolved tickets", sorted(found), sorted(expected.unresolved))
        if expected.dark is not None:
            self._equal("points that are dark in truth", len(self.world.dark()), expected.dark)
        await self._compare_notices(expected)
        await self._compare_indices(expected, at)

    def _equal(self, what: str, found: object, wanted: object) -> None:
        if found != wanted:
            self._differs(f"{what}: {found}, expected {wanted}")

    def _compare_incidents(
        self, which: str, wanted: list[ExpectedIncident], found: list[Incident], tickets: dict[str, TroubleTicket]
    ) -> None:
        left = {mrid_of(one): one for one in found}
        for each in wanted:
            mrid = self._find(each, left, tickets)
            if mrid is None:
                self._differs(f"no incident that is {which} has {each.tickets or each.device}")
                continue
            for difference in self._differences(each, left.pop(mrid), tickets):
                self._differs(difference)
        for one in left.values():
            labels = sorted(label for label, ticket in tickets.items() if counts(ticket, one))
            self._differs(f"one incident more is {which}: {device_of(one)} with {labels}: {one.comment}")

    def _find(
        self, each: ExpectedIncident, among: dict[MRID, Incident], tickets: dict[str, TroubleTicket]
    ) -> MRID | None:
        """The incident with the first of these tickets, failing that the one of the device."""
        for label in each.tickets:
            ticket = tickets.get(label)
            for mrid, one in among.items():
                if ticket is not None and belongs(ticket, one):
                    return mrid
        if each.tickets:
            return None
        return next((mrid for mrid, one in among.items() if each.device and device_of(one) == each.device), None)

    def _differences(self, each: ExpectedIncident, one: Incident, tickets: dict[str, TroubleTicket]) -> Iterator[str]:
        outage = one.outage or IncidentOutage()
        summary = outage.summary
        estimated = outage.estimated_period or DateTimeInterval()
        actual = outage.actual_period or DateTimeInterval()
        facts: dict[str, tuple[object, object]] = {
            "tickets": (
                sorted(label for label, ticket in tickets.items() if counts(ticket, one)),
                sorted(each.tickets),
            ),
            "device": (device_of(one), each.device),
            "kind": (one.location.type if one.location else None, each.kind),
            "customers": (summary.total_count if summary else None, each.customers),
            "critical": (summary.critical_count if summary else None, each.critical),
            "stage": ((one.status.reason if one.status else None) or "none", each.stage),
            "etr": (clock(estimated.end), each.etr),
            "crew": (one.works[-1].status_kind if one.works else "", each.crew),
            "state": (state_of(one), each.state),
            "start": (clock(actual.start or estimated.start), each.start),
            "end": (clock(actual.end), each.end),
            "planned": (bool(outage.is_planned), each.planned),
            "hazards": (sorted(hazard.type or "" for hazard in one.hazards), each.hazards),
        }
        name = f"incident of {each.tickets or each.device}"
        for what, (found, wanted) in facts.items():
            if wanted is not None and found != wanted:
                yield f"{name}: {what} is {found}, expected {wanted} ({one.comment})"
        for words in each.says:
            if words not in (one.comment or ""):
                yield f"{name}: its comment does not say {words!r}, but {one.comment!r}"

    async def _compare_notices(self, expected: Expected) -> None:
        if expected.told is None and not expected.not_told and expected.call_backs is None:
            return
        notices = self.places.notices(self.desk)
        if expected.told is not None:
            new = sorted(f"{one.place} {one.trigger}" for one in notices[self._told :])
            self._told = len(notices)
            self._equal("notices", new, sorted(expected.told))
        told = {one.place for one in notices}
        for place in expected.not_told:
            if place in told:
                self._differs(f"{place} was told something")
        if expected.call_backs is not None:
            found = sorted(await self.places.call_backs(self.desk))
            self._equal("places to be called back", found, sorted(expected.call_backs))

    async def _compare_indices(self, expected: Expected, at: datetime) -> None:
        if expected.customer_minutes is None and expected.interruptions is None and expected.momentary is None:
            return
        found = await self.places.indices(self.desk, at)
        for name in ("customer_minutes", "interruptions", "momentary"):
            wanted = getattr(expected, name)
            if wanted is not None:
                self._equal(name, round(getattr(found, name)), wanted)

    def untrue(self) -> list[str]:
        """Notices that supply is back at places that were dark in truth."""
        return [
            f"{one.place} at {one.at:%H:%M}: {one.text}"
            for one in self.places.notices(self.desk)
            if one.trigger == "powerRestored" and self.places.point_name(one.place) in self.world.dark(one.at)
        ]


def codes_in(reply: ResponseMessage) -> set[str]:
    """Our codes that the details of a reply name."""
    words = " ".join(one.details or "" for one in reply.reply.error).replace(":", " ").split()
    return set(words) | {one.code for one in reply.reply.error}


def belongs(ticket: TroubleTicket, incident: Incident) -> bool:
    """Whether a ticket names this incident as its own."""
    return ticket.incident is not None and ticket.incident.mrid == incident.mrid


def counts(ticket: TroubleTicket, incident: Incident) -> bool:
    """Whether a ticket is one of an incident's: it was not withdrawn, unless the incident was too."""
    is_withdrawn = ticket.status is not None and ticket.status.value == "cancelled"
    return belongs(ticket, incident) and (not is_withdrawn or state_of(incident) == "cancelled")


def mrid_of(one: Incident | TroubleTicket) -> MRID:
    """The mRID, which what the hub keeps always has."""
    assert one.mrid is not None
    return one.mrid


def state_of(incident: Incident) -> str:
    """The state of an incident."""
    return (incident.status.value if incident.status else None) or ""


def device_of(incident: Incident) -> str:
    """The device that an incident names; empty if none."""
    return next((name.name for name in incident.location.names if name.name), "") if incident.location else ""


def clock(at: datetime | None) -> str:
    """An instant as scenarios write it; empty for none."""
    return f"{at:%H:%M}" if at is not None else ""
