"""The durable store as a Protocol: transactions in which messages, effects, deliveries and counts are written together.

Source: guarantees G1, G3, G7 and G10.
"""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from cimcare.errors import CimcareError
from cimcare.exchange.audit import AuditReader, AuditTrail
from cimcare.exchange.ledger import Ledger, LedgerReader
from cimcare.exchange.log import MessageLog, MessageReader
from cimcare.exchange.outbox import Outbox, OutboxReader, Priority
from cimcare.exchange.ports import Records

__all__ = ["Reader", "Store", "StoreError", "Transaction"]


class Transaction(Protocol):
    """What may be written together."""

    @property
    def log(self) -> MessageLog:
        """The message log."""
        ...

    @property
    def records(self) -> Records:
        """The objects of the built-in systems."""
        ...

    @property
    def outbox(self) -> Outbox:
        """What is to be delivered to partners."""
        ...

    @property
    def ledger(self) -> Ledger:
        """Counts by partner and hour."""
        ...

    @property
    def audit(self) -> AuditTrail:
        """The audit trail. A transaction that kept messages ends with the row that seals them."""
        ...

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        """A part of the transaction that can be undone alone; parts may be nested.

        Leaving the block by an exception undoes what was written inside it, and lets the exception through; who catches
        it may go on with the transaction. Leaving it otherwise keeps the part as long as what is around it is kept.
        """
        ...


class Reader(Protocol):
    """The durable state, to be read: what is committed, and nothing else."""

    @property
    def log(self) -> MessageReader:
        """The message log."""
        ...

    @property
    def records(self) -> Records:
        """The objects of the built-in systems; saving to them is refused."""
        ...

    @property
    def outbox(self) -> OutboxReader:
        """What is to be delivered to partners."""
        ...

    @property
    def ledger(self) -> LedgerReader:
        """Counts by partner and hour."""
        ...

    @property
    def audit(self) -> AuditReader:
        """The audit trail."""
        ...

    async def version(self) -> str:
        """Version of what is committed: another one as soon as anybody has committed a change, in whatever process.

        It says nothing else, may change although nothing did, and compares only with what the same reader said before.
        It costs the same however much is stored.

        Raises:
            StoreError: The database cannot be read.
        """
        ...


class Store(Protocol):
    """A durable store."""

    def transaction(self, priority: Priority = Priority.NORMAL) -> AbstractAsyncContextManager[Transaction]:
        """One transaction: all or nothing. Of those that wait for their turn the most urgent is next, then the oldest.

        Leaving the block without an exception returns when all that was written is on disk; leaving it by an exception
        undoes it.

        Raises:
            StoreError: The transaction could not be begun, written or made durable. Nothing of it is kept.
        """
        ...

    @property
    def reader(self) -> Reader:
        """The durable state, to be read."""
        ...

    async def reclaim(self) -> None:
        """Give back to the disk what removed rows have left free, as far as the database does not do it by itself."""
        ...

    async def close(self) -> None:
        """Finish what is under way, and close."""
        ...


class StoreError(CimcareError):
    """The store could not do what was asked, and kept nothing of it."""

    code = "EXC-111"
