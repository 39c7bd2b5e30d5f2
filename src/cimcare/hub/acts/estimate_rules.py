"""The rules of estimates in the store of a hub: altered in one transaction, with what was and what is in the trail."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from cimcare.exchange.audit import Action, Note
from cimcare.exchange.store import Store, Transaction
from cimcare.systems.oms.estimating import load_rules, save_rules

__all__ = ["alter_estimate_rules", "alter_estimates"]


async def alter_estimate_rules(store: Store, changes: Mapping[str, object], *, actor: str, now: datetime) -> None:
    """Put other rules in force: `changes` are members of `EstimateRules` by name.

    Raises:
        StoreError: It could not be written. Nothing is kept of it.
    """
    async with store.transaction() as transaction:
        await alter_estimates(transaction, changes, actor=actor, now=now)


async def alter_estimates(
    transaction: Transaction, changes: Mapping[str, object], *, actor: str, now: datetime
) -> None:
    """The same inside a transaction."""
    rules = await load_rules(transaction.records)
    await save_rules(transaction.records, msgspec.structs.replace(rules, **changes), now)
    told = (f"{name} {getattr(rules, name)} -> {value}" for name, value in changes.items())
    await transaction.audit.append(
        Note(at=now, action=Action.CONFIGURE, actor=actor, subject="rules of estimates", details=", ".join(told))
    )
