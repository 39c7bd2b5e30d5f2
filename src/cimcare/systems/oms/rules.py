"""The rules of grouping in force, and those before: each change is a new version, and none is lost."""

from datetime import datetime

import msgspec

from cimcare.exchange.ports import Collection, Key, Records, Selection, Stored
from cimcare.model.identity import MRID
from cimcare.systems.oms.judgement import DEFAULT_RULES, GroupingRules

__all__ = ["GROUPING_RULES", "RulesRecord", "load_rules", "rules_versions", "save_rules"]


class RulesRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A version of the rules: its number from 1, since when, and who has set it."""

    version: int
    at: datetime
    by: str
    rules: GroupingRules


GROUPING_RULES: Collection[RulesRecord] = Collection("oms.GroupingRules", RulesRecord)

_CURRENT = MRID("current")


async def load_rules(records: Records) -> RulesRecord | None:
    """The rules in force; None as long as nobody has changed those that come with the product."""
    stored = await records.find(GROUPING_RULES, _CURRENT)
    return stored.body if stored is not None else None


async def save_rules(records: Records, rules: GroupingRules, by: str, now: datetime) -> RulesRecord | None:
    """Put rules in force from now on. None if they are in force already."""
    before = await load_rules(records)
    if rules == (before.rules if before is not None else DEFAULT_RULES):
        return None
    record = RulesRecord(version=before.version + 1 if before is not None else 1, at=now, by=by, rules=rules)
    for mrid in (_CURRENT, MRID(f"version-{record.version}")):
        keys = frozenset({Key("version", str(record.version))} if mrid != _CURRENT else ())
        await records.save(GROUPING_RULES, Stored(mrid=mrid, body=record, created_at=now, modified_at=now, keys=keys))
    return record


async def rules_versions(records: Records) -> tuple[RulesRecord, ...]:
    """All versions that were ever set, the oldest first."""
    found = await records.select(GROUPING_RULES, Selection(limit=10_000))
    return tuple(sorted((one.body for one in found if one.mrid != _CURRENT), key=lambda record: record.version))
