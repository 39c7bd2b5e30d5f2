"""Where findings are gathered while a message is gone through, and the paths that say where they were found."""

from typing import TypeAlias

from cimcare.errors import Finding, finding_of

__all__ = ["MAX_FINDINGS", "MESSAGE_CLAUSE", "OUR_RULE", "Path", "Report", "index_of", "path_text"]

MAX_FINDINGS = 50
"""Findings of one message; whoever has fifty to mend does not need the fifty-first."""

MESSAGE_CLAUSE = "IEC 61968-100:2013, message organisation"
OUR_RULE = "; our rule"
"""Follows a clause where the standard gives the subject and we the rule."""

Path: TypeAlias = tuple["Path | None", str, int]
"""Parent, element name, position among its like (0: there is only one). Text is made of it only for a finding."""


def path_text(path: Path) -> str:
    """The path as text: `/RequestMessage/Payload/TroubleTickets/TroubleTicket[2]/status`."""
    steps: list[str] = []
    step: Path | None = path
    while step is not None:
        parent, name, position = step
        steps.append(f"{name}[{position}]" if position else name)
        step = parent
    return "/" + "/".join(reversed(steps))


def index_of(position: int, count: int) -> int:
    """Position that a path shows for the element at `position` (from 0) of `count` of one name."""
    return position + 1 if count > 1 else 0


class Report:
    """Findings so far, at most `MAX_FINDINGS`; `clause` and `object_id` are those of what is being looked at."""

    __slots__ = ("clause", "found", "object_id")

    def __init__(self) -> None:
        self.found: list[Finding] = []
        self.clause = MESSAGE_CLAUSE
        self.object_id: str | None = None

    def add(self, code: str, path: Path, found: str, accepted: str, *, clause: str | None = None) -> None:
        """Note a finding, unless there are enough."""
        if len(self.found) < MAX_FINDINGS:
            self.found.append(
                finding_of(code, path_text(path), found, accepted, clause or self.clause, object_id=self.object_id)
            )
