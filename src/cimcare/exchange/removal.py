"""Removed messages in the audit trail: the row that names them, so that removed can be told from missing.

A row names runs of sequences, such as `17-20 25`.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime

from cimcare.exchange.audit import Action, AuditRow, Note

__all__ = ["describe_runs", "removal_of", "removed_by", "runs_of"]

_MESSAGES = "messages"
_RUN = re.compile("([0-9]{1,19})(?:-([0-9]{1,19}))?")


def runs_of(numbers: Iterable[int]) -> Iterator[range]:
    """Runs of numbers that rise."""
    run = range(0)
    for number in numbers:
        if run and number == run.stop:
            run = range(run.start, number + 1)
            continue
        if run:
            yield run
        run = range(number, number + 1)
    if run:
        yield run


def describe_runs(numbers: Iterable[int]) -> str:
    """Numbers that rise as the audit trail names them, such as `3-7 9`."""
    return " ".join(f"{run.start}-{run.stop - 1}" if len(run) > 1 else str(run.start) for run in runs_of(numbers))


def removal_of(sequences: Iterable[int], *, at: datetime, actor: str) -> Note:
    """The note that these messages were removed from the log."""
    return Note(at=at, action=Action.REMOVE, actor=actor, subject=_MESSAGES, details=describe_runs(sorted(sequences)))


def removed_by(row: AuditRow) -> tuple[range, ...]:
    """Sequences of the messages that a row says were removed; none for other rows, and for one that no hub wrote."""
    if row.action is not Action.REMOVE or row.subject != _MESSAGES:
        return ()
    runs = []
    for word in row.details.split(" "):
        found = _RUN.fullmatch(word)
        if found is None:
            return ()
        runs.append(range(int(found[1]), int(found[2] or found[1]) + 1))
    return tuple(runs)
