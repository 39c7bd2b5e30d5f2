"""That somebody was shown personal data: a row in the audit trail, written before anything is shown."""

from collections.abc import Sequence
from datetime import datetime

from cimcare.exchange.audit import Action, Note
from cimcare.exchange.store import Store
from cimcare.model.identity import MRID

__all__ = ["note_reveal"]

_LONGEST_REASON = 500


async def note_reveal(
    store: Store, customer: MRID, parts: Sequence[str], *, actor: str, why: str, now: datetime
) -> None:
    """Note who is shown which parts of what is known of a customer, and why if that was said.

    Raises:
        StoreError: It could not be written; then nothing may be shown.
    """
    reason = f"; why: {why[:_LONGEST_REASON]}" if why else ""
    note = Note(
        at=now, action=Action.REVEAL, actor=actor, subject=f"customer {customer}", details=f"{', '.join(parts)}{reason}"
    )
    async with store.transaction() as transaction:
        await transaction.audit.append(note)
