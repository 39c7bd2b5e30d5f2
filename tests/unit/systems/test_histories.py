"""Customer-minutes of any history of outages, as the outage management notes them, against a count minute by minute.

Outages of breaker, fuses and transformers begin in any order, one within another; parts of them are restored, they end,
prove false. The count beside it knows nothing of intervals: for each house it keeps which outages keep it out, and
looks every minute.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from cimcare.model.envelope import Result
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.systems.oms.interruptions import Interval, duration_of
from tests.unit.systems.outages import ControlRoom
from tests.unit.systems.utility import MONDAY

HOUSES = [f"{transformer}-{number}" for transformer in ("11", "12", "21", "22") for number in (1, 2)]
DEVICES = ["B", "F1", "F2", "T11", "T12", "T21", "T22"]


def below(device: str) -> set[str]:
    """Houses that a device feeds."""
    if device == "B":
        return set(HOUSES)
    return {house for house in HOUSES if house.startswith(device[1:])}


def is_under(inner: str, outer: str) -> bool:
    return inner != outer and below(inner) < below(outer)


@dataclass
class Claim:
    """An outage keeps a house out, from a minute on, until a minute if that is known."""

    start: int
    end: int | None = None


@dataclass
class Outage:
    device: str
    start: int
    is_open: bool = True


@dataclass
class Count:
    """What is true, kept as simply as can be."""

    outages: dict[str, Outage] = field(default_factory=dict)
    claims: dict[tuple[str, str], Claim] = field(default_factory=dict)

    def nested(self, outer: str, at: int) -> list[Outage]:
        own = self.outages[outer]
        return [
            one
            for name, one in self.outages.items()
            if name != outer and one.is_open and is_under(one.device, own.device) and one.start <= at
        ]

    def houses_out(self, name: str, at: int) -> set[str]:
        """Houses of an outage for which its end is not theirs, because of one below."""
        return {house for one in self.nested(name, at) for house in below(one.device)}

    def restore(self, house: str, at: int) -> None:
        """The house has supply: no outage that is open keeps it out."""
        for (name, where), claim in self.claims.items():
            if where == house and claim.end is None and self.outages[name].is_open:
                claim.end = at

    def end(self, name: str, at: int) -> None:
        """The outage keeps nobody out any more; another one may."""
        self.outages[name].is_open = False
        for (outage, _), claim in self.claims.items():
            if outage == name and claim.end is None:
                claim.end = at

    def cancel(self, name: str) -> None:
        """It never kept anybody out."""
        del self.outages[name]
        for key in [key for key in self.claims if key[0] == name]:
            del self.claims[key]

    def is_kept_out(self, name: str) -> bool:
        """Whether an outage above keeps somebody below this one out."""
        device = self.outages[name].device
        return any(
            claim.end is None and self.outages[outer].is_open and is_under(device, self.outages[outer].device)
            for (outer, house), claim in self.claims.items()
            if house in below(device)
        )

    def minutes(self, until: int) -> dict[str, int]:
        found = {}
        for house in HOUSES:
            own = [claim for (_, where), claim in self.claims.items() if where == house]
            dark = sum(
                any(claim.start <= minute and (claim.end is None or minute < claim.end) for claim in own)
                for minute in range(until)
            )
            if dark:
                found[house] = dark
        return found


steps = st.lists(
    st.tuples(
        st.integers(0, 9),
        st.sampled_from(["begin", "begin", "part", "end", "end", "false", "tick"]),
        st.integers(0, 10_000),
        st.integers(0, 10_000),
    ),
    min_size=1,
    max_size=14,
)


async def play(history: list[tuple[int, str, int, int]]) -> tuple[dict[str, int], dict[str, int]]:
    """Both counts after a history: that of the outage management, and the simple one."""
    room, count = ControlRoom(), Count()
    await room.open()
    minute = number = 0
    for wait, what, one, other in history:
        minute += wait
        room.pass_time(minutes=wait)
        is_open = [name for name, outage in count.outages.items() if outage.is_open]
        if what == "begin":
            device, number = DEVICES[one % len(DEVICES)], number + 1
            if any(count.outages[name].device == device for name in is_open):
                continue
            name = f"I{number}"
            await room.outage(name, device)
            count.outages[name] = Outage(device, minute)
            for house in below(device):
                count.claims[name, house] = Claim(minute)
        elif what == "tick":
            await room.tick()
        elif not is_open:
            continue
        elif what == "part":
            name = is_open[one % len(is_open)]
            houses = sorted(below(count.outages[name].device))
            chosen = houses[: 1 + other % len(houses)]
            points = tuple(f"UP{house}" for house in chosen)
            served = await room.say(name, kind="crew", who="crew 7", restored_at=room.now, points=points)
            assert served.result is Result.OK
            for house in set(chosen) - count.houses_out(name, minute):
                count.restore(house, minute)
            for other_name in [one for one, outage in count.outages.items() if outage.is_open]:
                if await room.state(other_name) == "closed":  # nobody was left in it
                    count.end(other_name, minute)
        elif what == "end":
            name = is_open[one % len(is_open)]
            served = await room.close(name, kind="crew", who="crew 7")
            assert (served.result is Result.FAILED) == count.is_kept_out(name)
            if served.result is not Result.FAILED:
                count.end(name, minute)
        elif what == "false":
            name = is_open[one % len(is_open)]
            touched = [claim for (outage, _), claim in count.claims.items() if outage == name and claim.end is not None]
            if touched:  # of a part of it somebody has said that it was true
                continue
            served = await room.ask(Verb.CANCEL, Noun.INCIDENTS, ids=(name,))
            assert served.result is Result.OK
            count.cancel(name)
    await room.tick()
    now = MONDAY + timedelta(minutes=minute)
    found: dict[str, list[Interval]] = {}
    for row in await room.interruptions():
        found.setdefault(row.point.removeprefix("UP"), []).append(row.interval)
    # An outage that goes on is noted when it ends; until then its incident says since when.
    for name, outage in count.outages.items():
        if outage.is_open:
            for house in below(outage.device):
                if not any(row.incident == name for row in await room.interruptions(f"UP{house}")):
                    found.setdefault(house, []).append(Interval(MONDAY + timedelta(minutes=outage.start), None))
    noted = {house: duration_of(own, now) // timedelta(minutes=1) for house, own in found.items()}
    return {house: minutes for house, minutes in noted.items() if minutes}, count.minutes(minute)


@settings(max_examples=250, deadline=None)
@given(steps)
def test_minutes_are_those_of_a_count_minute_by_minute(history: list[tuple[int, str, int, int]]) -> None:
    """Nested, overlapping, in steps, in any order: no customer is counted twice, and none is forgotten."""
    noted, counted = asyncio.run(play(history))
    assert noted == counted
