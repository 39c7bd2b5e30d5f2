"""The rules that an operator changes at work, put in force with their rows in the audit trail."""

from datetime import datetime

import msgspec

from cimcare.exchange.audit import Action, Note
from cimcare.exchange.ports import NewID, Records, ServingContext
from cimcare.exchange.store import Transaction
from cimcare.hub.config.rules_text import Rules, compare_rules
from cimcare.model.envelope import Header
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.systems.oms.estimating import load_rules as load_estimates
from cimcare.systems.oms.judgement import DEFAULT_RULES, GroupingRules
from cimcare.systems.oms.quieting import put_rules_in_force
from cimcare.systems.oms.rules import RulesRecord
from cimcare.systems.oms.rules import load_rules as load_grouping

__all__ = ["load_rules", "put_grouping"]


async def load_rules(records: Records) -> Rules:
    """The rules in force."""
    record = await load_grouping(records)
    grouping = record.rules if record is not None else DEFAULT_RULES
    return Rules(grouping=grouping, estimates=await load_estimates(records))


async def put_grouping(
    transaction: Transaction, wanted: GroupingRules, *, actor: str, now: datetime, new_id: NewID
) -> RulesRecord | None:
    """Group by other rules from now on; what is open is grouped anew by the clock. None if they hold already."""
    before = await load_rules(transaction.records)
    header = Header(verb=Verb.CHANGE, noun=Noun.INCIDENTS)
    context = ServingContext(records=transaction.records, now=now, new_id=new_id, header=header)
    record = await put_rules_in_force(context, wanted, actor)
    if record is not None:
        changes = compare_rules(before, msgspec.structs.replace(before, grouping=wanted))
        details = "\n".join(change.describe() for change in changes)
        subject = f"grouping rules {record.version}"
        await transaction.audit.append(
            Note(at=now, action=Action.CONFIGURE, actor=actor, subject=subject, details=details)
        )
    return record
