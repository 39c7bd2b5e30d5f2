"""The rules that an operator changes at work, as text in TOML: by what calls are grouped, and how estimates are made.

Pure. Text in, rules or the mistake out, and back.
"""

import re
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated

import msgspec
from msgspec import Meta

from cimcare.codec.toml_lines import lines_of
from cimcare.errors import Finding, finding_of
from cimcare.hub.config.differences import Change
from cimcare.hub.config.keys import written
from cimcare.model.network import DeviceKind
from cimcare.systems.oms.estimates import EstimateRules, StormMode
from cimcare.systems.oms.judgement import GroupingRules

__all__ = ["Rules", "compare_rules", "judge_rules", "written_grouping", "written_rules"]

_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)
_Count = Annotated[int, Meta(ge=0, le=100_000)]
_CountFrom1 = Annotated[int, Meta(ge=1, le=100_000)]


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """Both kinds of rules."""

    grouping: GroupingRules = GroupingRules()
    estimates: EstimateRules = EstimateRules()


class _Estimates(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """`EstimateRules` as the text has them, with whole units."""

    storm: StormMode = StormMode.AUTO
    storm_incidents: _Count = 50
    least_change_minutes: _Count = 15
    automatic: bool = False
    automatic_after_minutes: _Count = 10
    history_least: _CountFrom1 = 10
    still_out_hours: _CountFrom1 = 24


class _Text(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    grouping: GroupingRules = GroupingRules()
    estimates: _Estimates = _Estimates()


def written_grouping(rules: GroupingRules) -> str:
    """Rules of grouping as a file in TOML."""
    lines = [f"separation-minutes = {rules.separation_minutes}"]
    for kind in DeviceKind:
        one = rules.threshold(kind)
        lines.append(f"{kind} = {{ calls = {one.calls}, share = {one.share}, spread = {one.spread} }}")
    return "\n".join(lines)


def written_rules(rules: Rules) -> str:
    """Both as text, each in its table."""
    told = _estimates_of(rules.estimates)
    lines = [
        f"{name} = {written(getattr(told, field))}"
        for field, name in zip(told.__struct_fields__, told.__struct_encode_fields__, strict=True)
    ]
    return "\n".join(("[grouping]", written_grouping(rules.grouping), "", "[estimates]", *lines, ""))


def judge_rules(text: str) -> Rules | Finding:
    """The rules that a text says, or what is wrong with it; what it leaves out is as the product brings it."""
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        where = re.search(r"line (\d+)", str(error))
        return finding_of("SET-102", "/", str(error), "text in TOML", line=int(where[1]) if where else None)
    try:
        read = msgspec.convert(content, _Text)
    except msgspec.ValidationError as error:
        found, _, path = str(error).partition(" - at `$")
        names = tuple(part for part in path.rstrip("`").lstrip(".").split(".") if part)
        unknown = re.search(r"unknown field `([^`]+)`", found)
        at = (*names, unknown[1]) if unknown else names
        lines = lines_of(text)
        line = next((lines[at[:length]] for length in range(len(at), 0, -1) if at[:length] in lines), None)
        accepted = "one that the text above has as it stands" if unknown else "what the message says"
        return finding_of("SET-101", ".".join(at) or "/", found, accepted, line=line)
    told = read.estimates
    return Rules(
        grouping=read.grouping,
        estimates=EstimateRules(
            storm=told.storm,
            storm_incidents=told.storm_incidents,
            least_change=told.least_change_minutes * _MINUTE,
            automatic=told.automatic,
            automatic_after=told.automatic_after_minutes * _MINUTE,
            history_least=told.history_least,
            still_out=told.still_out_hours * _HOUR,
        ),
    )


def _estimates_of(rules: EstimateRules) -> _Estimates:
    return _Estimates(
        storm=rules.storm,
        storm_incidents=rules.storm_incidents,
        least_change_minutes=rules.least_change // _MINUTE,
        automatic=rules.automatic,
        automatic_after_minutes=rules.automatic_after // _MINUTE,
        history_least=rules.history_least,
        still_out_hours=rules.still_out // _HOUR,
    )


def compare_rules(before: Rules, after: Rules) -> tuple[Change, ...]:
    """What differs, key by key, as the text names them."""
    old, new = dict(_flat(before)), dict(_flat(after))
    return tuple(
        Change(key=key, before=written(old[key]), after=written(value))
        for key, value in new.items()
        if old[key] != value
    )


def _flat(rules: Rules) -> Iterator[tuple[str, str | int | float | bool]]:
    yield "grouping.separation-minutes", rules.grouping.separation_minutes
    for kind in DeviceKind:
        one = rules.grouping.threshold(kind)
        for name in one.__struct_fields__:
            yield f"grouping.{kind}.{name}", getattr(one, name)
    told = _estimates_of(rules.estimates)
    for field, name in zip(told.__struct_fields__, told.__struct_encode_fields__, strict=True):
        yield f"estimates.{name}", getattr(told, field)
