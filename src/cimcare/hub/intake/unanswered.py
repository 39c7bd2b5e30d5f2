"""Requests that were passed on and got no reply: for how long somebody works on one, and what becomes of it after that.

Its sender sends it again, under the same identifier, and it is passed on again. A reply to any of these attempts is the
reply to the request.

Source: guarantees G2 and G7.
"""

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from cimcare.exchange.ledger import Account, Ends
from cimcare.exchange.log import Direction, LogEntry, LogSelection, MessageReader, Outcome
from cimcare.exchange.outbox import DeliverySelection, DeliveryState
from cimcare.exchange.replay import is_identified
from cimcare.exchange.store import Transaction
from cimcare.hub.intake.setup import Setup
from cimcare.model.verbs import REQUEST_VERBS

__all__ = ["attempts_of", "find_asked", "give_up", "longest_passage"]

_GRACE = timedelta(seconds=5)
"""How much longer than its deadline a request that was passed on counts as being in work."""

_UNANSWERED = frozenset({"NET-105", "EXC-109", "EXC-117", "EXC-119"})
"""Codes of requests that were passed on and whose senders were told that no reply has come."""

_OPEN = (DeliveryState.WAITING, DeliveryState.LEASED, DeliveryState.AWAITING)
_MOST = 1000
_MOST_SHARING = 100
"""Of so many of the newest messages with one CorrelationID it is found out which still has its reply to come."""


def longest_passage(setup: Setup, noun: str) -> timedelta:
    """After this long a request for a noun that was passed on is worked on by nobody any more.

    The operations of a set may be for any partner.
    """
    owner = setup.routes.owner_of(noun)
    partners = setup.routes.partners if owner is None else (owner,)
    return 2 * max((partner.deadline for partner in partners), default=timedelta()) + _GRACE


async def attempts_of(log: MessageReader, sequence: int) -> Sequence[int]:
    """The request with this sequence, and the same one before it as often as its sender then got no reply to it.

    A partner that has the message by its first attempt may well answer that one alone.
    """
    entry = await log.find(sequence)
    attempts = [sequence]
    if entry is None or not is_identified(entry.partner, entry.message_id):
        return attempts
    wanted = LogSelection(
        partner=entry.partner,
        message_id=entry.message_id,
        direction=Direction.IN,
        newest_first=True,
        after=sequence,
        limit=_MOST,
    )
    for before in await log.select(wanted):
        if before.digest != entry.digest or not _is_unanswered(before):
            break
        attempts.append(before.sequence)
    return attempts


async def find_asked(transaction: Transaction, correlation_id: str) -> LogEntry | None:
    """What a later reply with this CorrelationID answers; of a request that was passed on several times the last time.

    Messages that belong together may share a CorrelationID, and two senders may use one MessageID. So what still has
    its reply to come goes before what has it, and of that the oldest. A request to which no reply came in time is
    answered all the same: its sender is going to ask again.
    """
    if (open_one := await _find_open(transaction, correlation_id)) is not None:
        return open_one
    log = transaction.log
    found = await log.find_correlated(correlation_id) or await _find_unanswered(log, correlation_id)
    if found is not None and found.verb in REQUEST_VERBS and found.direction is Direction.OUT:
        found = await log.find(found.answer_to) if found.answer_to is not None else found  # what led to its being sent
    if found is None or found.outcome is not Outcome.FAILED or not is_identified(found.partner, found.message_id):
        return found
    wanted = LogSelection(
        partner=found.partner, message_id=found.message_id, direction=Direction.IN, newest_first=True, limit=1
    )
    return next((entry for entry in await log.select(wanted) if entry.digest == found.digest), found)


async def _find_open(transaction: Transaction, correlation_id: str) -> LogEntry | None:
    """The oldest request with this MessageID or CorrelationID that is in work at a partner, or on its way there."""
    found: list[LogEntry] = []
    for wanted in (LogSelection(message_id=correlation_id), LogSelection(correlation_id=correlation_id)):
        selection = msgspec.structs.replace(wanted, direction=Direction.IN, newest_first=True, limit=_MOST_SHARING)
        found += [entry for entry in await transaction.log.select(selection) if entry.verb in REQUEST_VERBS]
    for entry in sorted(found, key=lambda one: one.sequence):
        if not entry.outcome:
            return entry
        deliveries = DeliverySelection(message=entry.sequence, states=_OPEN, limit=1)
        if entry.outcome is not Outcome.FAILED and await transaction.outbox.select(deliveries):
            return entry
    return None


async def _find_unanswered(log: MessageReader, correlation_id: str) -> LogEntry | None:
    """The last request with this MessageID or CorrelationID to which no reply had come when its sender was answered."""
    for wanted in (LogSelection(message_id=correlation_id), LogSelection(correlation_id=correlation_id)):
        selection = msgspec.structs.replace(wanted, direction=Direction.IN, newest_first=True, limit=10)
        for entry in await log.select(selection):
            if entry.verb in REQUEST_VERBS and _is_unanswered(entry):
                return entry
    return None


def _is_unanswered(entry: LogEntry) -> bool:
    """Whether a request has no outcome, or FAILED for want of a reply."""
    return not entry.outcome or (entry.outcome is Outcome.FAILED and not _UNANSWERED.isdisjoint(entry.codes))


async def give_up(transaction: Transaction, entry: LogEntry) -> None:
    """Give a request that was passed on the outcome that no reply has come. Who comes later with one is told so."""
    if await transaction.log.settle(entry.sequence, Outcome.FAILED, ("EXC-119",)):
        await transaction.ledger.count(entry.partner, entry.received_at, Account.IN, Ends.REFUSED)
