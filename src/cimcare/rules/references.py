"""Identity of the objects of a payload: who must have one, and none twice.

A create may come without identity, for the master of the objects gives one (IEC 61968-100:2013, Reply/ID). Whatever
speaks of an object that exists already has to say which.
"""

from typing import Protocol

from cimcare.model.identity import MRID, Name
from cimcare.model.verbs import Verb
from cimcare.rules.report import OUR_RULE, Path, Report

__all__ = ["Identified", "check_identity", "has_identity", "identity_of"]


class Identified(Protocol):
    """A value with mRID and names."""

    @property
    def mrid(self) -> MRID | None:
        """The mRID, if there is one."""
        ...

    @property
    def names(self) -> tuple[Name, ...]:
        """Names by numbering scheme."""
        ...


def identity_of(item: Identified) -> str | None:
    """The mRID of an object, or its first name with text; None if it has neither."""
    if item.mrid and item.mrid.strip():
        return item.mrid
    return next((each.name for each in item.names if each.name.strip()), None)


def has_identity(item: Identified | None) -> bool:
    """Whether there is an object, and it has an mRID or a name."""
    return item is not None and identity_of(item) is not None


def check_identity(item: Identified, verb: Verb, path: Path, report: Report) -> None:
    """Find an object without identity under any verb but create."""
    if verb is not Verb.CREATE and identity_of(item) is None:
        report.add(
            "REF-101",
            path,
            "neither mRID nor a name",
            f"mRID or Names/name, since {verb} speaks of an object that exists",
            clause=report.clause + OUR_RULE,
        )
