"""Regrouping by the clock: what messages have left to be done, part by part, until nothing is left."""

from cimcare.exchange.ports import Served, ServingContext
from cimcare.model.envelope import Result
from cimcare.systems.oms.incidents import IncidentBook
from cimcare.systems.oms.judgement import GroupingRules
from cimcare.systems.oms.regrouping import Regrouping, is_quiet
from cimcare.systems.oms.rules import RulesRecord, save_rules

__all__ = ["put_rules_in_force", "regroup"]

_MOST_ITEMS = 20


async def regroup(context: ServingContext) -> Served:
    """A tick: do a part of what is left to be regrouped."""
    book = IncidentBook(context)
    if not await book.work.recall(_MOST_ITEMS):
        return Served(result=Result.OK)
    events = await book.events()
    return Served(result=Result.OK, events=events, has_more=not await is_quiet(context.records))


async def put_rules_in_force(context: ServingContext, rules: GroupingRules, by: str) -> RulesRecord | None:
    """Other rules from now on; what is open is grouped anew by them, by the clock. None if they hold already."""
    record = await save_rules(context.records, rules, by, context.now)
    if record is not None:
        book = IncidentBook(context)
        book.work.add(Regrouping(why=f"rules of version {record.version} are in force"))
        await book.work.keep()
    return record
