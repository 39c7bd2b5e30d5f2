"""The result of a storm: counts, latencies by minute, proof, ledger, and the verdict. Pure."""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from cimcare.storm.judging import ACCEPTED, UNANSWERED, Outcome
from cimcare.storm.plan import Plan
from cimcare.storm.proof import LedgerLine, Proof
from cimcare.storm.tally import LATE_SECONDS, Group, Histogram, Tally

__all__ = ["Criterion", "GroupResult", "Minute", "Reason", "Result", "Spread", "judge_storm", "minutes_of", "spread_of"]

_REFUSED = (Outcome.FAILED, Outcome.FAULT, Outcome.UNREADABLE)


class _Shown(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A part of the result, as JSON has it."""


class Spread(_Shown, frozen=True, kw_only=True):
    """Latencies in seconds, from the instant at which a message was to be sent."""

    count: int = 0
    p50: float = 0.0
    p90: float = 0.0
    p99: float = 0.0
    p999: float = 0.0
    most: float = 0.0


class GroupResult(_Shown, frozen=True, kw_only=True):
    """Messages of one group: hazard, ticket, question, other.

    `offered` = `accepted` + `busy` + `refused` + `unanswered`. `busy` were refused as one too many, `refused` for
    another reason.
    """

    name: str
    offered: int
    accepted: int
    busy: int
    refused: int
    unanswered: int
    latency: Spread


class Minute(_Shown, frozen=True, kw_only=True):
    """One minute of the storm."""

    minute: int
    groups: tuple[GroupResult, ...]
    late: int
    estimates_told: int
    estimates_changed: int


class Reason(_Shown, frozen=True, kw_only=True):
    """Why messages of a sort were not taken."""

    item: str
    reason: str
    count: int


class Criterion(_Shown, frozen=True, kw_only=True):
    """One line of the verdict. `is_met` is None where it cannot be told, and `found` says why."""

    name: str
    wanted: str
    found: str
    is_met: bool | None


class Result(_Shown, frozen=True, kw_only=True):
    """All of it. Instants are aware; `start` is what the virtual clock showed at the beginning."""

    profile: str
    title: str
    profile_digest: str
    scale: float
    seed: int
    speed: float
    start: datetime
    began_at: datetime
    seconds: float
    address: str
    form: str
    interrupted: bool
    planned: int
    tickets: int
    premises: int
    connections: int
    processor_seconds: float
    sent: int
    sent_again: int
    late: int
    late_beyond_seconds: float = LATE_SECONDS
    starts: Spread
    groups: tuple[GroupResult, ...]
    minutes: tuple[Minute, ...]
    hazards_late: int
    hazard_seconds: float
    repeats_accepted: int
    estimates_told: int
    estimates_changed: int
    reasons: tuple[Reason, ...]
    proof: Proof | None
    ledger: tuple[LedgerLine, ...]
    partners: tuple["PartnerEnd", ...] = ()
    notes: tuple[str, ...] = ()
    verdict: tuple[Criterion, ...] = ()

    @property
    def is_fine(self) -> bool:
        """Whether nothing of the verdict says no."""
        return all(one.is_met is not False for one in self.verdict)


class PartnerEnd(_Shown, frozen=True, kw_only=True):
    """What a simulated partner says that it took: events, each once, and how often it was sent one that it had."""

    name: str
    behaviour: str
    taken: int
    again: int


def spread_of(times: Histogram) -> Spread:
    """The percentiles that are shown."""
    return Spread(
        count=times.count,
        p50=times.percentile(50),
        p90=times.percentile(90),
        p99=times.percentile(99),
        p999=times.percentile(99.9),
        most=times.most,
    )


def _group(name: str, offered: int, counts: list[int], times: Histogram) -> GroupResult:
    return GroupResult(
        name=name,
        offered=offered,
        accepted=sum(counts[one] for one in ACCEPTED),
        busy=counts[Outcome.BUSY],
        refused=sum(counts[one] for one in _REFUSED),
        unanswered=sum(counts[one] for one in UNANSWERED),
        latency=spread_of(times),
    )


def minutes_of(tally: Tally) -> tuple[Minute, ...]:
    """Counts minute by minute."""
    return tuple(
        Minute(
            minute=minute,
            groups=tuple(
                _group(
                    group.name.lower(),
                    tally.offered[minute][group],
                    tally.outcomes[minute][group],
                    tally.latencies[minute][group],
                )
                for group in Group
            ),
            late=tally.late[minute],
            estimates_told=tally.estimates_told[minute],
            estimates_changed=tally.estimates_changed[minute],
        )
        for minute in range(len(tally.offered))
    )


def groups_of(tally: Tally) -> tuple[GroupResult, ...]:
    """Counts of the whole storm."""
    found = []
    for group in Group:
        times = Histogram()
        for minute in tally.latencies:
            times.join(minute[group])
        counts = [sum(minute[group][one] for minute in tally.outcomes) for one in Outcome]
        found.append(_group(group.name.lower(), sum(minute[group] for minute in tally.offered), counts, times))
    return tuple(found)


def judge_storm(
    plan: Plan,
    tally: Tally,
    groups: Iterable[GroupResult],
    *,
    proof: Proof | None,
    ledger: tuple[LedgerLine, ...],
    partners: tuple[PartnerEnd, ...],
    source: str,
    hazard_seconds: float,
    interrupted: bool,
) -> tuple[Criterion, ...]:
    """The verdict, line by line."""
    by_name = {group.name: group for group in groups}
    tickets = (by_name["hazard"], by_name["ticket"])
    offered, taken = sum(one.offered for one in tickets), sum(one.accepted for one in tickets)
    busy, refused = sum(one.busy for one in tickets), sum(one.refused for one in tickets)
    silent = sum(one.unanswered for one in tickets)
    found = f"{taken} of {offered}; {busy} refused as one too many, {refused} otherwise, {silent} without an answer"
    verdict = [Criterion(name="tickets taken", wanted="all that were offered", found=found, is_met=taken == offered)]
    verdict += _proven(proof)
    hazards = by_name["hazard"]
    slowest = f"slowest {tally.hazard_times.most:.3f} s" if tally.hazard_times.count else "none acknowledged"
    verdict.append(
        Criterion(
            name="hazards",
            wanted=f"each acknowledged within {hazard_seconds:g} s",
            found=f"{hazards.offered - tally.hazards_late} of {hazards.offered}, {slowest}"
            if hazards.offered
            else "none",
            is_met=not tally.hazards_late if hazards.offered else None,
        )
    )
    verdict.append(_balanced(tally, ledger, source))
    if partners:
        verdict.append(_delivered(ledger, partners))
    if interrupted:
        whole = f"{sum(map(sum, tally.offered))} of {len(plan.at)} messages"
        verdict.append(
            Criterion(name="whole storm", wanted="all of it", found=f"interrupted after {whole}", is_met=False)
        )
    return tuple(verdict)


def _proven(proof: Proof | None) -> list[Criterion]:
    if proof is None:
        return [Criterion(name="lost, doubled", wanted="none", found="not asked (--no-proof)", is_met=None)]
    examples = f" ({', '.join(proof.examples)})" if proof.examples else ""
    doubt = f"; of {proof.in_doubt} without an answer {proof.found_of_doubt} are there" if proof.in_doubt else ""
    if not proof.complete:
        found = f"{proof.found} of {proof.accepted} were found, and then nobody answered"
        return [
            Criterion(name="lost, doubled", wanted="none", found=found, is_met=None if not proof.doubled else False)
        ]
    lost = f"{proof.lost} of {proof.accepted} accepted, by {proof.how}{doubt}{examples if proof.lost else ''}"
    doubled = f"{proof.doubled}{examples if proof.doubled else ''}"
    return [
        Criterion(name="lost", wanted="none", found=lost, is_met=not proof.lost),
        Criterion(name="doubled", wanted="none", found=doubled, is_met=not proof.doubled),
    ]


def _delivered(ledger: tuple[LedgerLine, ...], partners: tuple[PartnerEnd, ...]) -> Criterion:
    """Whether each partner took once what the hub counts as delivered to it."""
    sent = {line.partner: line for line in ledger if line.account == "out"}
    found, is_met = [], True
    for one in partners:
        line = sent.get(one.name, LedgerLine(partner=one.name, account="out"))
        # What waits or was given up may have arrived all the same, if its answer was lost.
        is_met = is_met and line.delivered <= one.taken <= line.delivered + line.waiting + line.dead
        is_met = is_met and not line.waiting and not line.dead
        found.append(f"{one.name} took {one.taken} of {line.received}")
    wanted = "each took once all that was for it"
    return Criterion(name="partners", wanted=wanted, found="; ".join(found), is_met=is_met)


def _balanced(tally: Tally, ledger: tuple[LedgerLine, ...], source: str) -> Criterion:
    """Whether the ledger balances, and counts as many messages as we do."""
    wanted = "nothing missing, and both ends count the same"
    if not ledger:
        return Criterion(name="ledger", wanted=wanted, found="the other side shows none", is_met=None)
    missing = sum(abs(line.missing) for line in ledger)
    waiting = sum(line.waiting for line in ledger)
    dead = sum(line.dead for line in ledger)
    ours = tally.total(Outcome.OK, Outcome.PARTIAL, Outcome.FAILED, Outcome.FAULT)
    doubt = tally.total(Outcome.BROKEN, Outcome.TIMEOUT)
    theirs = sum(line.received for line in ledger if line.account == "in" and line.partner == source)
    is_same = ours <= theirs <= ours + doubt + tally.sent_again
    sides = f"we had {ours} answers{f' and {doubt} in doubt' if doubt else ''}, they count {theirs} received"
    found = f"{missing} missing; {sides}; {waiting} still to be delivered, {dead} given up"
    return Criterion(name="ledger", wanted=wanted, found=found, is_met=not missing and is_same)
