"""What is counted while a storm goes on: outcomes and latencies by minute, late starts, estimates that change.

Latency counts from the instant at which a message was to be sent, so that a sender that falls behind hides nothing.
"""

from array import array
from collections import Counter
from enum import IntEnum

from cimcare.storm.judging import ACCEPTED, UNANSWERED, Outcome
from cimcare.storm.plan import Hazard, Item, Plan

__all__ = ["LATE_SECONDS", "Group", "Histogram", "Tally"]

LATE_SECONDS = 0.1
"""A message that starts later than this is counted as late."""

_SHIFT = 5
_BUCKETS = 40 << _SHIFT


class Group(IntEnum):
    """Messages that are counted together."""

    HAZARD = 0
    TICKET = 1
    QUESTION = 2
    OTHER = 3


class Histogram:
    """Spans of time in buckets that are 3 % wide, from a microsecond to a week."""

    __slots__ = ("_counts", "count", "most")

    def __init__(self) -> None:
        self._counts = array("L", bytes(8 * _BUCKETS))
        self.count = 0
        self.most = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        micros = int(seconds * 1e6) if seconds > 0 else 0
        self.count += 1
        self.most = max(self.most, seconds)
        shift = max(micros.bit_length() - _SHIFT - 1, 0)
        self._counts[min((shift << _SHIFT) + (micros >> shift), _BUCKETS - 1)] += 1

    def join(self, other: "Histogram") -> None:
        """Count all of another, too."""
        self.count += other.count
        self.most = max(self.most, other.most)
        for place, count in enumerate(other._counts):
            if count:
                self._counts[place] += count

    def percentile(self, percent: float) -> float:
        """Upper bound of the bucket in which this part of all has ended, in seconds; 0 if there are none."""
        wanted = self.count * percent / 100
        passed = 0
        for place, count in enumerate(self._counts):
            passed += count
            if count and passed >= wanted:
                shift = max((place >> _SHIFT) - 1, 0)
                return min(((place - (shift << _SHIFT) + 1) << shift) / 1e6, self.most)
        return 0.0


class Tally:
    """Counts of one storm."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        minutes = max(1, -(-int(plan.seconds) // 60), int(plan.at[-1] // 60) + 1 if plan.at else 1)
        self.outcomes = [[[0] * len(Outcome) for _ in Group] for _ in range(minutes)]
        self.latencies = [[Histogram() for _ in Group] for _ in range(minutes)]
        self.offered = [[0] * len(Group) for _ in range(minutes)]
        self.starts = Histogram()
        self.late = [0] * minutes
        self.estimates_told = [0] * minutes
        self.estimates_changed = [0] * minutes
        self.reasons: Counter[tuple[str, str]] = Counter()
        self.sent = 0
        """Requests that were written to a connection, those sent again included."""
        self.settled = 0
        self.sent_again = 0
        self.accepted = bytearray(plan.reported and len(plan.reported))
        """By the number of the ticket: 1 accepted, 2 in doubt, since no answer came."""
        self.accepted_again = 0
        self.hazard_times = Histogram()
        self.hazards_late = 0
        self._estimates: dict[int, bytes] = {}

    def group(self, number: int) -> Group:
        """Where a message of the plan is counted."""
        kind = self._plan.kinds[number]
        if kind == Item.TICKET:
            return Group.TICKET if self._plan.hazards[self._plan.subjects[number]] == Hazard.NONE else Group.HAZARD
        return Group.QUESTION if kind in (Item.ASK_INCIDENT, Item.ASK_TICKET) else Group.OTHER

    def due(self, number: int) -> None:
        """The instant of a message has come."""
        self.offered[int(self._plan.at[number] // 60)][self.group(number)] += 1

    def started(self, number: int, late_by: float) -> None:
        """A message was written to its connection for the first time, so many seconds behind its instant."""
        self.starts.add(late_by)
        if late_by > LATE_SECONDS:
            self.late[int(self._plan.at[number] // 60)] += 1

    def settle(self, number: int, outcome: Outcome, seconds: float, reason: str, *, allowed: float) -> None:
        """What became of a message in the end, so many seconds after its instant. Hazards may take `allowed`."""
        plan = self._plan
        minute, group, kind = int(plan.at[number] // 60), self.group(number), plan.kinds[number]
        self.settled += 1
        self.outcomes[minute][group][outcome] += 1
        if outcome not in UNANSWERED:
            self.latencies[minute][group].add(seconds)
        if reason:
            self.reasons[Item(kind).name.lower(), reason] += 1
        is_accepted = outcome in ACCEPTED
        if kind <= Item.AGAIN:
            ticket = plan.subjects[number]
            if is_accepted:
                self.accepted_again += kind == Item.AGAIN
                self.accepted[ticket] = 1
            elif outcome in UNANSWERED and outcome is not Outcome.UNSENT and not self.accepted[ticket]:
                self.accepted[ticket] = 2
        if group == Group.HAZARD:
            if is_accepted:
                self.hazard_times.add(seconds)
            self.hazards_late += not is_accepted or seconds > allowed

    def tell_estimate(self, number: int, estimate: bytes) -> None:
        """An answer told who asked when supply may be back."""
        minute, ticket = int(self._plan.at[number] // 60), self._plan.asked[self._plan.subjects[number]]
        before = self._estimates.get(ticket)
        self._estimates[ticket] = estimate
        self.estimates_told[minute] += 1
        if before is not None and before != estimate:
            self.estimates_changed[minute] += 1

    def total(self, *outcomes: Outcome, groups: tuple[Group, ...] = tuple(Group)) -> int:
        """How many had one of these outcomes so far; all outcomes if none is named."""
        wanted = outcomes or tuple(Outcome)
        return sum(minute[group][outcome] for minute in self.outcomes for group in groups for outcome in wanted)
