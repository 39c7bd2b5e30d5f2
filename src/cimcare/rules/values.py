"""Rules for values of every class, wherever they stand: zones, periods, names, identifiers, twins.

For each Structure class a plan is made once: which members can hold an instant, a period, a name or an identifier, or
lead to a value that can. Everything else is never looked at, so that a plain ticket costs microseconds.
"""

from collections.abc import Callable
from datetime import date, datetime
from operator import attrgetter

import msgspec

from cimcare.model.customer_agreement import Tariff
from cimcare.model.envelope import Request
from cimcare.model.identity import Name
from cimcare.model.incident import IncidentCustomerNotification
from cimcare.model.structure import Structure, elements_of
from cimcare.model.trouble_ticket import CustomerNotification, TroubleTicket
from cimcare.model.values import DateTimeInterval
from cimcare.rules.report import OUR_RULE, Path, Report, index_of

__all__ = ["check_twins", "check_value"]

# First and second instant by field, and the code if the second is earlier. Equal instants are fine: an interruption may
# be shorter than a second, a reading has no length, a ticket may be resolved while it is written.
_ORDERED: dict[type[Structure], tuple[str, str, str]] = {
    DateTimeInterval: ("start", "end", "BUS-104"),
    CustomerNotification: ("earliest_date_time_to_call", "latest_date_time_to_call", "BUS-104"),
    IncidentCustomerNotification: ("earliest_date_time_to_call", "latest_date_time_to_call", "BUS-104"),
    Tariff: ("start_date", "end_date", "BUS-104"),
    TroubleTicket: ("date_time_of_report", "resolved_date_time", "BUS-102"),
    Request: ("start_time", "end_time", "CNV-112"),
}
_IDENTIFIERS = frozenset({"MRID", "MessageID", "CorrelationID"})


class _Ordered(msgspec.Struct, frozen=True):
    """Two instants of a class of which the second is not before the first."""

    read: Callable[[Structure], tuple[date | None, date | None]]
    first: str
    second: str
    code: str


class _Plan(msgspec.Struct, frozen=True):
    """What to look at in one class: for each member its name in XML and how to read it.

    `ones` and `manys` (values, lists of values) lead on by plans of their own. `text` reads the text of an element that
    is an identifier itself.
    """

    instants: tuple[tuple[str, Callable[[Structure], datetime | None]], ...]
    identifiers: tuple[tuple[str, Callable[[Structure], str | None]], ...]
    names: tuple[tuple[str, Callable[[Structure], tuple[Name, ...]]], ...]
    ones: tuple[tuple[str, Callable[[Structure], Structure | None], "_Plan"], ...]
    manys: tuple[tuple[str, Callable[[Structure], tuple[Structure, ...]], "_Plan"], ...]
    text: Callable[[Structure], str] | None
    ordered: _Ordered | None


def check_value(value: Structure, path: Path, report: Report) -> None:
    """Check one value and all that it holds."""
    plan = _plan_of(type(value))
    if plan is not None:
        _check(value, plan, path, report)


def check_twins(items: tuple[Structure, ...], path: Path, name: str, report: Report) -> None:
    """Find items of one list that have the same mRID."""
    first: dict[str, int] = {}
    for position, item in enumerate(items):
        mrid: str | None = getattr(item, "mrid", None)
        if mrid and (earlier := first.setdefault(mrid, position)) != position:
            report.add(
                "REF-102",
                (path, name, position + 1),
                f"mRID {mrid} is that of {name}[{earlier + 1}] too",
                "an mRID of its own for each object, or one object in place of the two",
                clause=report.clause + OUR_RULE,
            )


def _check(value: Structure, plan: _Plan, path: Path, report: Report) -> None:
    for name, read_identifier in plan.identifiers:
        identifier = read_identifier(value)
        if identifier is not None and (not identifier or identifier.isspace()):
            _add_blank((path, name, 0), name, report)
    for name, read_instant in plan.instants:
        instant = read_instant(value)
        if instant is not None and instant.tzinfo is None:
            _add_zoneless(instant, (path, name, 0), report)
    for name, read_names in plan.names:
        names = read_names(value)
        if names:
            _check_names(names, path, name, report)
    for name, read_one, inner in plan.ones:
        one = read_one(value)
        if one is not None:
            _check(one, inner, (path, name, 0), report)
    for name, read_many, inner in plan.manys:
        many = read_many(value)
        count = len(many)
        if count > 1:
            check_twins(many, path, name, report)
        for position, each in enumerate(many):
            _check(each, inner, (path, name, index_of(position, count)), report)
    if plan.text is not None and not plan.text(value).strip():
        _add_blank(path, path[1], report)
    if plan.ordered is not None:
        _check_order(value, plan.ordered, path, report)


def _check_order(value: Structure, ordered: _Ordered, path: Path, report: Report) -> None:
    first, second = ordered.read(value)
    if first is None or second is None:
        return
    if isinstance(first, datetime) and isinstance(second, datetime) and (first.tzinfo is None) != (not second.tzinfo):
        return  # they cannot be compared, and the one without a zone is a finding of its own
    if second < first:
        report.add(
            ordered.code,
            (path, ordered.second, 0),
            f"{ordered.second} {second.isoformat()} is before {ordered.first} {first.isoformat()}",
            f"{ordered.second} at or after {ordered.first}",
            clause=report.clause + OUR_RULE,
        )


def _check_names(names: tuple[Name, ...], path: Path, name: str, report: Report) -> None:
    untyped = 0
    for position, each in enumerate(names):
        if not each.name or each.name.isspace():
            _add_blank(((path, name, index_of(position, len(names))), "name", 0), "name", report)
        if each.name_type is None:
            untyped += 1
            if untyped == 2:
                report.add(
                    "REF-108",
                    (path, name, position + 1),
                    "a second name without NameType",
                    "a NameType for all names but one, so that each can be told by its numbering scheme",
                    clause=report.clause + OUR_RULE,
                )


def _add_zoneless(instant: datetime, path: Path, report: Report) -> None:
    text = instant.isoformat()
    accepted = f"Z or an offset at the end, such as {text}Z"
    report.add("CNV-108", path, f"{text} has no time zone", accepted, clause=report.clause + OUR_RULE)


def _add_blank(path: Path, name: str, report: Report) -> None:
    accepted = "the identifier, or no such element"
    report.add("REF-109", path, f"{name} without text", accepted, clause=report.clause + OUR_RULE)


def _plan_of(structure: type[Structure]) -> _Plan | None:
    """Plan of a class; None if nothing in it is of interest."""
    try:
        return _PLANS[structure]
    except KeyError:
        return _PLANS.setdefault(structure, _make_plan(structure))


_PLANS: dict[type[Structure], _Plan | None] = {}


def _make_plan(structure: type[Structure]) -> _Plan | None:
    elements = elements_of(structure)
    names = {element.field: element.name for element in elements}
    ordered = None
    if structure in _ORDERED:
        first, second, code = _ORDERED[structure]
        ordered = _Ordered(attrgetter(first, second), names[first], names[second], code)
    # Names are judged as a list; the text of an element (that of ID is the only one) has no name of its own.
    simple = [each for each in elements if not (each.is_complex or each.member.text_content)]
    complex_ones = [(each, _plan_of(each.kind)) for each in elements if each.is_complex and each.kind is not Name]
    plan = _Plan(
        instants=tuple((each.name, attrgetter(each.field)) for each in simple if each.kind is datetime),
        identifiers=tuple((each.name, attrgetter(each.field)) for each in simple if each.datatype in _IDENTIFIERS),
        names=tuple((each.name, attrgetter(each.field)) for each in elements if each.kind is Name),
        ones=tuple(
            (each.name, attrgetter(each.field), inner)
            for each, inner in complex_ones
            if not each.many and inner is not None
        ),
        manys=tuple(
            (each.name, attrgetter(each.field), inner)
            for each, inner in complex_ones
            if each.many and inner is not None
        ),
        text=next((attrgetter(each.field) for each in elements if each.member.text_content), None),
        ordered=ordered,
    )
    is_idle = not (plan.instants or plan.identifiers or plan.names or plan.ones or plan.manys or plan.text)
    return None if is_idle and ordered is None else plan
