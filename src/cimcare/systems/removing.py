"""Removal of members from an object of a system: the object without them, or why it keeps them.

What the owner sets himself (state, instants of creation and modification, the incident of a ticket) cannot be removed,
nor what the rules ask of an object.

Source: our reading of public IEC 61968-6 samples; IEC 61968-100:2013, Operation/elementOperation.
"""

from typing import TypeVar

import msgspec

from cimcare.errors import Finding
from cimcare.model.nouns import NOUNS
from cimcare.model.structure import Structure
from cimcare.model.verbs import Verb
from cimcare.rules.business import check_business
from cimcare.rules.report import Report
from cimcare.systems.objects import Kind, Said, refused
from cimcare.systems.pruning import Pruned, prune

__all__ = ["left_of", "without"]

BodyT = TypeVar("BodyT", bound=Structure)

_OWNERS = frozenset({"created_date_time", "incident", "last_modified_date_time", "status", "status_kind"})
_CLAUSE = "IEC 61968-100:2013, Operation/elementOperation"


def without(known: BodyT, doomed: BodyT, said: Said[BodyT], kind: Kind[BodyT]) -> tuple[BodyT, tuple[Finding, ...]]:
    """The body without the members to which `doomed` leads, and findings if one of them cannot go.

    REF-110 for what is not there, LIF-106 for what cannot be removed, else the code of the rule that would be broken.
    """
    pruned = _pruned(known, doomed, kind, keep=_OWNERS)
    findings = [
        refused(
            "REF-110",
            said,
            kind,
            f"no {member} in {kind.item_name} {kind.identity_of(doomed)}",
            "the path to a member that is there, a list item by its identity or its whole content",
            _CLAUSE,
        )
        for member in pruned.unknown
    ]
    findings += [
        refused(
            "LIF-106",
            said,
            kind,
            f"{member} of {kind.item_name} {kind.identity_of(doomed)} is to be removed",
            "members that are optional and not set by the owner of the object",
            _CLAUSE,
        )
        for member in pruned.fixed
    ]
    if not findings and pruned.value == known:
        findings.append(
            refused(
                "REF-110",
                said,
                kind,
                "no member beside the identity of the object",
                "the path to what is to be removed; delete without elementOperation removes the object",
                _CLAUSE,
            )
        )
    broken = () if findings else _broken_rules(known, pruned.value, said, kind)
    return pruned.value, (*findings, *broken)


def left_of(known: BodyT, doomed: BodyT, kind: Kind[BodyT]) -> BodyT:
    """The body without what is there of the members to which `doomed` leads, as a listener takes it."""
    return _pruned(known, doomed, kind).value


def _pruned(known: BodyT, doomed: BodyT, kind: Kind[BodyT], *, keep: frozenset[str] = frozenset()) -> Pruned[BodyT]:
    core = prune(kind.core(known), kind.core(doomed), keep=keep)
    body = kind.with_core(known, core.value)
    if kind.core(doomed) is doomed:
        return Pruned(value=body, unknown=core.unknown, fixed=core.fixed)
    # The root stands around the object; what it holds beside it may be doomed as well.
    around = msgspec.structs.replace(doomed, **{NOUNS[kind.noun].item: ()})
    rest = prune(body, around)
    return Pruned(value=rest.value, unknown=(*core.unknown, *rest.unknown), fixed=(*core.fixed, *rest.fixed))


def _broken_rules(known: BodyT, left: BodyT, said: Said[BodyT], kind: Kind[BodyT]) -> tuple[Finding, ...]:
    """Findings about the object that is left which the known one did not give."""
    before = {(one.code, one.path) for one in _check(known, said, kind)}
    return tuple(one for one in _check(left, said, kind) if (one.code, one.path) not in before)


def _check(body: BodyT, said: Said[BodyT], kind: Kind[BodyT]) -> list[Finding]:
    report = Report()
    report.clause, report.object_id = NOUNS[kind.noun].clause, said.identity(kind) or None
    check_business(kind.core(body), Verb.CREATE, (None, said.path.removeprefix("/"), 0), report)
    return report.found
