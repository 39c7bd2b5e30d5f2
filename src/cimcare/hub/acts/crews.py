"""The crews in the store of a hub: put in force in one transaction, with its row in the audit trail."""

from collections.abc import Mapping
from datetime import datetime

from cimcare.exchange.audit import Action, Note
from cimcare.exchange.ports import NewID
from cimcare.exchange.store import Store
from cimcare.systems.wms.crewing import CrewEntry, replace_crews

__all__ = ["put_crews"]


async def put_crews(
    store: Store, entries: Mapping[str, CrewEntry], *, actor: str, now: datetime, new_id: NewID
) -> tuple[int, int, int]:
    """Make these the crews that there are (see `replace_crews`).

    Raises:
        InputError: A crew that is to go has an order in hand. Nothing is written.
        StoreError: It could not be written. Nothing is kept of it.
    """
    async with store.transaction() as transaction:
        done = await replace_crews(transaction.records, entries, now, new_id)
        if any(done):
            details = "{} added, {} changed, {} removed".format(*done)
            await transaction.audit.append(
                Note(at=now, action=Action.CONFIGURE, actor=actor, subject="crews", details=details)
            )
    return done
