"""Requests that were passed on by a process that is gone: nobody will give them an outcome any more.

Their senders were told nothing, so they count as refused, and a repeat is processed anew. Source: guarantees G2 and G7.
"""

from datetime import datetime

from cimcare.exchange.ledger import Account, Ends
from cimcare.exchange.log import Outcome
from cimcare.exchange.store import Store

__all__ = ["settle_stale"]

_CODE = "NET-105"
_TOGETHER = 100


async def settle_stale(store: Store, before: datetime) -> int:
    """Give all that came in before then and have no outcome FAILED (NET-105), and count them as refused; how many.

    Raises StoreError; what was settled before that stays so.
    """
    settled = 0
    while await store.reader.log.find_in_work(before, 1):
        async with store.transaction() as transaction:
            for entry in await transaction.log.find_in_work(before, _TOGETHER):
                if await transaction.log.settle(entry.sequence, Outcome.FAILED, (_CODE,)):
                    await transaction.ledger.count(entry.partner, entry.received_at, Account.IN, Ends.REFUSED)
                    settled += 1
    return settled
