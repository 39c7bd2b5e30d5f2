"""Storms: what breaks, who calls, what crews do and say, in any order; truth kept apart from what the hub is told."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, TypeVar

import msgspec

from cimcare.model.enumerations import WorkStatusKind
from cimcare.model.envelope import ResponseMessage, Result
from cimcare.model.incident import Incident, IncidentLocation, IncidentOutage, TroubleTicketIdentity
from cimcare.model.nouns import Noun
from cimcare.model.trouble_ticket import TroubleTicket
from cimcare.model.values import DateTimeInterval, Status
from cimcare.model.verbs import Verb
from tests.drill.beliefs import Heard
from tests.drill.desk import Desk, a_wish, belongs_to, named, said
from tests.drill.places import Northlake
from tests.drill.play import belongs, device_of, mrid_of, state_of
from tests.drill.wires import Wires
from tests.drill.world import World

T = TypeVar("T")

__all__ = ["ALL_KINDS", "DEVICES", "KINDS", "Claim", "Move", "Storm"]

DEVICES = ("TX-1101", "TX-1106", "TX-1110", "F-111", "F-112", "F-113", "R-11", "CB-11", "F-124", "SW-12", "CB-12")
"""What may break."""

KINDS = (
    "break",
    "call",
    "call",
    "call",
    "call",
    "again",
    "restore",
    "restore",
    "lie",
    "part",
    "answer",
    "mend",
    "send",
)
"""What may happen in a storm of calls and crews; calls more often than the rest."""

ALL_KINDS = (
    *KINDS,
    "meter",
    "meter",
    "table",
    "blink",
    "late",
    "switch",
    "switch",
    "cut",
    "leave",
    "plan",
    "split",
    "merge",
    "shift",
    "confirm",
    "withdraw",
    "retract",
)
"""All that may happen: meters speak, too, operators alter what the rules have made of calls, the network changes."""


class Move(NamedTuple):
    """One thing that happens, `minutes` after the one before. `choice` says to which of those in question."""

    kind: str
    choice: int
    minutes: int


class Claim(NamedTuple):
    """That somebody said these points have supply again."""

    at: datetime
    points: frozenset[str]


class Storm:
    """A storm over Northlake, and the hub that has to get through it. Only what is said by messages reaches the hub."""

    def __init__(self, desk: Desk, world: World, places: Northlake) -> None:
        self.desk = desk
        self.world = world
        self.wires = Wires(places.network, desk.now)
        """The network as it is switched, whatever has failed."""
        self.places = places
        self.claims: list[Claim] = []
        self.calls: dict[str, tuple[str, datetime]] = {}
        self.told_before: dict[str, int] = {}
        """How many notices had left when a call came in."""
        self.meters: list[Heard] = []
        """What meters have said."""
        self.counted: set[tuple[str, str]] = set()
        """Points of which a meter has told, with an incident in which they were counted until it ended."""
        self._counting: dict[str, str] = {}
        self.began_at = desk.now
        self._place_of = {places.point_name(str(number)): str(number) for number in range(200)}

    def go_on(self, before: "Storm | None") -> None:
        """The same storm before a hub that was begun anew."""
        if before is not None:
            self.wires, self.claims, self.calls = before.wires, before.claims, before.calls
            self.told_before, self.desk.phones.sent = before.told_before, before.desk.phones.sent
            self.meters, self.counted, self._counting = before.meters, before.counted, before._counting
            self.began_at = before.began_at

    # --------------------------------------------------------------------------------------------------- what happens

    async def happen(self, move: Move) -> None:
        """One move, after its time."""
        await self.desk.move(self.desk.now + timedelta(minutes=move.minutes))
        await getattr(self, f"_{move.kind}")(move.choice)
        await self.desk.tick()
        await self._look_for_meters()

    async def _break(self, choice: int) -> None:
        self.world.fail(DEVICES[choice % len(DEVICES)], at=self.desk.now)

    async def _mend(self, choice: int) -> None:
        if self.world.failed:
            self.world.mend(_one_of(sorted(self.world.failed), choice), at=self.desk.now)

    async def _call(self, choice: int) -> None:
        """Some who are dark call."""
        dark = sorted(self.world.dark())
        for number in range(min(len(dark), 1 + choice % 5)):
            await self._call_from(_one_of(dark, (choice + number) * 37))

    async def _again(self, choice: int) -> None:
        """Somebody who has called and is dark calls again."""
        dark = self.world.dark()
        known = sorted({point for point, _ in self.calls.values() if point in dark})
        if known:
            await self._call_from(_one_of(known, choice))

    async def _call_from(self, point: str) -> None:
        label = f"t{len(self.calls)}"
        place = self._place_of[point]
        self.calls[label] = (point, self.desk.now)
        self.told_before[label] = len(self.desk.phones.sent)
        _taken(
            await self.desk.call_in(
                label,
                self.places.location(place),
                wants=a_wish("powerRestored", "sms", self.places.contact(place, "sms")),
            )
        )

    async def _restore(self, choice: int) -> None:
        """A crew mends what is broken around an incident, and says so."""
        incident = await self._open(choice)
        if incident is not None:
            points = await self._covered(incident)
            broken = [name for name in self.world.failed if not points.isdisjoint(self.wires.points_below(name))]
            if broken:
                self.world.mend(*broken, at=self.desk.now)
            await self._close(incident, points)

    async def _lie(self, choice: int) -> None:
        """A crew says that it has mended what it has not."""
        incident = await self._open(choice)
        if incident is not None:
            await self._close(incident, await self._covered(incident))

    async def _close(self, incident: Incident, points: frozenset[str]) -> None:
        word = said(mrid_of(incident), evidence="crew", by="CREW-11", restored_at=self.desk.now)
        reply = await self.desk.change_incident(word, verb=Verb.CLOSE)
        if "BUS-136" in "".join(error.details or "" for error in reply.reply.error):
            return  # an outage above goes on: that one has to be ended first, and nobody was told anything
        _taken(reply)
        self.claims.append(Claim(self.desk.now, points))

    async def _part(self, choice: int) -> None:
        """A crew has brought back a part of those who are out."""
        incident = await self._open(choice)
        if incident is None:
            return
        points = sorted(await self._covered(incident))
        if not points:
            return
        part = points[: 1 + choice % len(points)]
        self.claims.append(Claim(self.desk.now, frozenset(part)))
        named = [self.places.point(self._place_of[point]) for point in part]
        word = said(mrid_of(incident), evidence="crew", by="CREW-12", restored_at=self.desk.now, restored=named)
        _taken(await self.desk.change_incident(word))

    async def _answer(self, choice: int) -> None:
        """Somebody who has called is called back, and says how it is."""
        tickets = await self.desk.tickets()
        label = _one_of(sorted(tickets), choice) if tickets else ""
        if not label:
            return
        point = self.calls[label][0]
        if point in self.world.dark():
            await self._call_from(point)
            return
        own = [one for name, one in tickets.items() if self.calls[name][0] == point and _state(one) == "open"]
        if own:
            self.claims.append(Claim(self.desk.now, frozenset({point})))
        for ticket in own[:1]:  # the answer is for the premises: further tickets of them are resolved with it
            closed = TroubleTicket(mrid=ticket.mrid, resolved_date_time=self.desk.now, status=Status(reason="callback"))
            _taken(await self.desk.ask(Verb.CLOSE, Noun.TROUBLE_TICKETS, closed, source="CALL-CENTRE"))

    async def _send(self, choice: int) -> None:
        """A crew is sent, and thinks that it takes an hour."""
        incident = await self._open(choice)
        if incident is not None:
            at = self.desk.now + timedelta(minutes=30 + choice % 90)
            word = said(mrid_of(incident), evidence="crew", by="CREW-11", etr=at, crew=WorkStatusKind.dispatched)
            _taken(await self.desk.change_incident(word))

    # ------------------------------------------------------------------------------------------------------- meters

    async def _meter(self, choice: int) -> None:
        """The meter of one house says how it is."""
        await self._meters_say(1, choice)

    async def _table(self, choice: int) -> None:
        """A table of what several meters say."""
        await self._meters_say(2 + choice % 9, choice)

    async def _meters_say(self, number: int, choice: int) -> None:
        """Some meters, half of them of places that are dark if there are such."""
        every, dark = sorted(self._place_of), sorted(self.world.dark())
        named = {_one_of(dark if dark and count % 2 else every, (choice + count) * 61) for count in range(number)}
        off = sorted(named & self.world.dark())
        on = sorted(named - self.world.dark())
        await self._hear(off, on, self.desk.now)

    async def _blink(self, choice: int) -> None:
        """A house that has supply was without it for a moment; it says so in one table, or in two."""
        lit = sorted(frozenset(self._place_of) - self.world.dark())
        if not lit:
            return
        point, at = _one_of(lit, choice * 61), self.desk.now
        if choice % 2:
            await self._hear([point], [], at)
            await self.desk.move(at + timedelta(minutes=2))
            await self._hear([], [point], self.desk.now)
        else:
            later = at + timedelta(minutes=2)
            await self.desk.move(later)
            place = self._place_of[point]
            name = self.places.point_name(place)
            table = f"point,state,at\n{name},off,{at.isoformat()}\n{name},on,{later.isoformat()}".encode()
            answer = await self.desk.rest("/api/v1/meter-events", table, method="POST", content_type="text/csv")
            assert answer.status == 200, answer.body
            self.meters += [Heard(point, True, at), Heard(point, False, later)]
            self.claims.append(Claim(later, frozenset({point})))

    async def _hear(self, off: Sequence[str], on: Sequence[str], at: datetime) -> None:
        answer = await self.places.meter_events(
            self.desk, off=[self._place_of[one] for one in off], on=[self._place_of[one] for one in on], at=at
        )
        assert answer.status == 200, answer.body
        self.meters += [Heard(point, True, at) for point in off] + [Heard(point, False, at) for point in on]
        if on:
            self.claims.append(Claim(at, frozenset(on)))

    async def _late(self, choice: int) -> None:
        """A meter is read that could not tell before: what it has lost and got within the last hours, in any order."""
        place = _one_of(sorted(self._place_of), choice * 61)
        heard = [
            Heard(place, place in self.world.dark(at), at)
            for at in (
                self.desk.now - timedelta(minutes=minutes) for minutes in (choice % 90, choice % 37, choice % 150)
            )
            if at >= self.began_at
        ]
        self.meters += heard
        name, head = self.places.point_name(self._place_of[place]), "point,state,at"
        ordered = heard if choice % 2 else heard[::-1]
        table = [f"{name},{'off' if one.is_off else 'on'},{one.at.isoformat()}" for one in ordered]
        pieces = [table] if choice % 3 else [[row] for row in table]
        for rows in pieces if heard else ():
            body = "\n".join([head, *rows]).encode()
            answer = await self.desk.rest("/api/v1/meter-events", body, method="POST", content_type="text/csv")
            assert answer.status == 200, answer.body
            await self._look_for_meters()
        self.claims += [Claim(one.at, frozenset({place})) for one in heard if not one.is_off]

    async def _look_for_meters(self) -> None:
        """In which incidents the places are counted whose meters have lost supply, until these incidents end."""
        if not self.meters:
            return
        ended = {mrid_of(one) for one in await self.desk.incidents() if state_of(one) == "closed"}
        now = await self.places.counted(self.desk)
        for point, incident in self._counting.items():
            if incident in ended and now.get(point, incident) == incident:  # it has not moved to another before
                self.counted.add((point, incident))
        self._counting = now

    # ---------------------------------------------------------------------------------------------------- the network

    async def _switch(self, choice: int) -> None:
        """A feeder is cut in the middle, and its end is fed from the other one; or all that is undone."""
        cut = [name for name in ("R-11", "SW-12") if name in self.wires.open]
        is_tied = "TIE-1" not in self.wires.open
        if not cut:
            await self._operate(("R-11", "SW-12")[choice % 2], is_open=True)
        elif is_tied:
            await self._operate("TIE-1", is_open=True)
        elif choice % 2:
            await self._operate("TIE-1", is_open=False)
        else:
            await self._operate(cut[0], is_open=False)

    async def _cut(self, choice: int) -> None:
        """The fuse of a lateral is taken out, or put in again."""
        name = ("F-111", "F-115", "F-124")[choice % 3]
        await self._operate(name, is_open=name not in self.wires.open)

    async def _leave(self, choice: int) -> None:
        """Premises leave: the next model of the network does not have their point any more."""
        staying = sorted(set(self._place_of) - self.wires.gone)
        self.wires.leave(_one_of(staying, choice * 61), self.desk.now)
        points = tuple(point for point in self.places.network.points if point.name not in self.wires.gone)
        await self.places.alter(self.desk, msgspec.structs.replace(self.places.network, points=points))

    async def _operate(self, name: str, *, is_open: bool) -> None:
        opened, closed = ((name,), ()) if is_open else ((), (name,))
        self.world.switch(opened=opened, closed=closed, at=self.desk.now)
        self.wires.switch(name, is_open=is_open, at=self.desk.now)
        await self.places.operate(self.desk, name, is_open=is_open)

    # ----------------------------------------------------------------------------------------------------- operators

    async def _plan(self, choice: int) -> None:
        """Supply is taken from a device, as planned."""
        device = _one_of(DEVICES, choice)
        self.world.fail(device, at=self.desk.now)
        await self._create(
            Incident(
                location=IncidentLocation(names=(named(device, "Device"),)),
                outage=IncidentOutage(is_planned=True, estimated_period=DateTimeInterval(start=self.desk.now)),
                status=Status(reason="operator", remark="operator.03"),
            )
        )

    async def _split(self, choice: int) -> None:
        """An operator takes some of the tickets out of an incident, perhaps to a device."""
        incident = await self._open(choice)
        own = await self._tickets_of(incident) if incident is not None else []
        if not own:
            return
        device = _one_of(DEVICES, choice) if choice % 3 == 0 else ""
        await self._create(
            Incident(
                location=IncidentLocation(names=(named(device, "Device"),)) if device else None,
                status=Status(reason="operator", remark="operator.03"),
                trouble_tickets=tuple(TroubleTicketIdentity(mrid=one.mrid) for one in own[: 1 + choice % len(own)]),
            )
        )

    async def _create(self, incident: Incident) -> None:
        _taken(await self.desk.ask(Verb.CREATE, Noun.INCIDENTS, incident, user="operator.03"))

    async def _merge(self, choice: int) -> None:
        """An operator puts all tickets of one incident into another."""
        into, other = await self._open(choice), await self._open(choice // 7)
        if into is None or other is None or into.mrid == other.mrid:
            return
        tickets = [mrid_of(one) for one in await self._tickets_of(other)]
        if tickets:
            _taken(await self.desk.change_incident(said(mrid_of(into), evidence="operator", tickets=tickets), by="o.3"))

    async def _shift(self, choice: int) -> None:
        """An operator puts one ticket into another incident."""
        into = await self._open(choice)
        tickets = [one for one in (await self.desk.tickets()).values() if _state(one) == "open"]
        if into is not None and tickets:
            moved = TroubleTicket(mrid=_one_of(tickets, choice).mrid, incident=belongs_to(mrid_of(into)))
            _taken(await self.desk.ask(Verb.CHANGE, Noun.TROUBLE_TICKETS, moved, user="operator.03"))

    async def _confirm(self, choice: int) -> None:
        """A crew has found what is broken, or thinks so."""
        incident = await self._open(choice)
        if incident is not None:
            change = said(mrid_of(incident), evidence="crew", by="CREW-11", device=_one_of(DEVICES, choice // 3))
            _taken(await self.desk.change_incident(change))

    async def _withdraw(self, choice: int) -> None:
        """A call was none."""
        tickets = [one for one in (await self.desk.tickets()).values() if _state(one) == "open"]
        if tickets:
            gone = TroubleTicket(mrid=_one_of(tickets, choice).mrid)
            _taken(await self.desk.ask(Verb.CANCEL, Noun.TROUBLE_TICKETS, gone, source="CALL-CENTRE"))

    async def _retract(self, choice: int) -> None:
        """An operator takes an incident back. Refused as long as somebody in it says otherwise."""
        incident = await self._open(choice)
        if incident is not None:
            word = said(mrid_of(incident), evidence="operator", by="operator.03")
            reply = await self.desk.change_incident(word, verb=Verb.CANCEL)
            if "BUS-133" not in "".join(error.details or "" for error in reply.reply.error):
                _taken(reply)

    async def _tickets_of(self, incident: Incident) -> list[TroubleTicket]:
        every = (await self.desk.tickets()).values()
        return [one for one in every if belongs(one, incident) and _state(one) == "open"]

    async def end(self) -> None:
        """All is mended, and the crews go from one incident to the next until none is left."""
        await self.desk.move(self.desk.now + timedelta(minutes=30))
        if self.world.failed:
            self.world.mend(*self.world.failed, at=self.desk.now)
        for turn in range(120):
            incident = await self._open(turn)
            if incident is None:
                return
            await self._close(incident, await self._covered(incident))
            await self.desk.tick()
            await self._look_for_meters()
        raise AssertionError("incidents are left however often crews end them")

    # -------------------------------------------------------------------------------------------------------- what is

    async def _open(self, choice: int) -> Incident | None:
        found = [one for one in await self.desk.incidents() if state_of(one) == "open"]
        return _one_of(found, choice) if found else None

    async def _covered(self, incident: Incident) -> frozenset[str]:
        """Points below the device of an incident, and those of its tickets."""
        tickets = await self.desk.tickets()
        own = {self.calls[label][0] for label, ticket in tickets.items() if belongs(ticket, incident)}
        device = device_of(incident)
        is_known = device in self.world.known and incident.location is not None and incident.location.type != "service"
        return frozenset(own) | (self.wires.points_below(device) if is_known else frozenset())

    # ---------------------------------------------------------------------------------------------------- what is told

    def untrue(self) -> list[str]:
        """Notices that nothing justified: of supply that was not there, and that nobody had said was there."""
        found = []
        for number, notice in enumerate(self.places.notices(self.desk)):
            point = self.places.point_name(notice.place)
            if notice.trigger != "powerRestored" or point not in self.world.dark(notice.at):
                continue
            called = [
                at for label, (where, at) in self.calls.items() if where == point and self.told_before[label] <= number
            ]
            claims = [claim.at for claim in self.claims if point in claim.points and claim.at <= notice.at]
            if not claims or (called and max(claims) < max(called)):
                found.append(f"{notice.place} was told at {notice.at:%H:%M} that supply is back: {notice.text}")
        return found

    def twice(self) -> list[str]:
        """Notices that somebody got more than once, and supply that came back more often than anybody said."""
        found, seen = [], set()
        restored: dict[str, int] = {}
        for one in self.desk.phones.sent:
            is_back = one.notice.trigger == "powerRestored"  # whatever the incidents are of which that was said
            incident = "" if is_back else one.notice.incident
            known = (one.notice.address, incident, one.notice.trigger, one.notice.text)
            if known in seen:
                found.append(f"{one.notice.address} was told twice: {one.notice.text}")
            seen.add(known)
            if one.notice.trigger == "powerRestored":
                place = self.places.place_of(one.notice.address, one.notice.text)
                restored[place] = restored.get(place, 0) + 1
        for place, times in restored.items():
            point = self.places.point_name(place)
            claims = {claim.at for claim in self.claims if point in claim.points}
            if times > len(claims):
                found.append(f"{place} was told {times} times that supply is back, which was said {len(claims)} times")
        return found


def _one_of(among: Sequence[T], choice: int) -> T:
    return among[choice % len(among)]


def _taken(reply: ResponseMessage) -> None:
    assert reply.reply.result is Result.OK, [(one.code, one.reason, one.details) for one in reply.reply.error]


def _state(ticket: TroubleTicket) -> str:
    return (ticket.status.value if ticket.status else None) or ""
