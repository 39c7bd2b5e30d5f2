"""What a storm looks like while it goes on, for a terminal: one table that is drawn again and again."""

from rich.console import Group as Lines
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cimcare.storm.judging import ACCEPTED, UNANSWERED, Outcome
from cimcare.storm.run import Running
from cimcare.storm.tally import Group, Histogram

__all__ = ["draw_progress", "say_progress"]

_REFUSED = (Outcome.FAILED, Outcome.FAULT, Outcome.UNREADABLE)
_NAMES = {Group.HAZARD: "hazards", Group.TICKET: "tickets", Group.QUESTION: "questions", Group.OTHER: "other"}


def draw_progress(running: Running) -> Lines:
    """The table as it stands."""
    tally, sending, plan = running.tally, running.sending, running.plan
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for name in ("offered", "accepted", "too many", "refused", "no answer", "p50", "p99"):
        table.add_column(name, justify="right")
    for group in Group:
        offered = sum(minute[group] for minute in tally.offered)
        if not offered:
            continue
        times = Histogram()
        for minute in tally.latencies:
            times.join(minute[group])
        counts = (
            tally.total(*ACCEPTED, groups=(group,)),
            tally.total(Outcome.BUSY, groups=(group,)),
            tally.total(*_REFUSED, groups=(group,)),
            tally.total(*UNANSWERED, groups=(group,)),
        )
        spans = (_span(times.percentile(50)), _span(times.percentile(99)))
        table.add_row(_NAMES[group], f"{offered:,}", *(f"{count:,}" for count in counts), *spans)
    clock = f"{int(sending.passed) // 60:02}:{int(sending.passed) % 60:02}"
    end = f"{int(plan.at[-1]) // 60:02}:{int(plan.at[-1]) % 60:02}" if plan.at else "00:00"
    state = Text(
        f"storm at {clock} of {end}   under way {sending.under_way:,}   connections {sending.connections}   "
        f"late {sum(tally.late):,}"
    )
    return Lines(ProgressBar(total=max(len(plan.at), 1), completed=sending.offered, width=60), state, table)


def say_progress(running: Running) -> str:
    """The same in one line, where nobody watches."""
    tally, sending = running.tally, running.sending
    return (
        f"{sending.offered} of {len(running.plan.at)} offered, {tally.total(*ACCEPTED)} accepted, "
        f"{tally.total(Outcome.BUSY)} refused as too many, {tally.total(*_REFUSED)} refused, "
        f"{tally.total(*UNANSWERED)} without an answer, {sum(tally.late)} late"
    )


def _span(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
