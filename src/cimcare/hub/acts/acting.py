"""A built-in system does something that no message asked for: in one transaction, and others are told of it.

What is done by the clock has no message before it. Its events stand in the log without one that caused them, share a
CorrelationID of their own, and are delivered like all others.

Source: guarantees G1, G3 and G7.
"""

from collections.abc import Awaitable, Callable, Collection

import msgspec

from cimcare.errors import CimcareError
from cimcare.exchange.outbox import Priority
from cimcare.exchange.patterns import Asked
from cimcare.exchange.ports import Clock, NewID, Served, ServingContext
from cimcare.exchange.store import Store, Transaction
from cimcare.hub.intake.setup import Setup
from cimcare.hub.intake.telling import Teller
from cimcare.model.envelope import Header, Result
from cimcare.model.identity import CorrelationID
from cimcare.model.nouns import Role
from cimcare.model.verbs import Verb

__all__ = ["Acting", "NotBuiltInError", "Work", "tell_of"]

Work = Callable[[ServingContext], Awaitable[Served]]
"""What is to be done; see `Tick` for what it may do."""


class NotBuiltInError(CimcareError):
    """The role is played by a partner, whose work is not done here."""

    code = "EXC-138"


class _Undone(Exception):  # noqa: N818 - the way out of a transaction, answered at once
    """It was said to have failed, and is to leave nothing."""

    def __init__(self, served: Served) -> None:
        super().__init__("work failed")
        self.served = served


async def tell_of(
    transaction: Transaction,
    setup: Setup,
    served: Served,
    context: ServingContext,
    asked: Asked,
    *,
    cause: int | None = None,
    priority: Priority = Priority.NORMAL,
) -> Collection[str]:
    """Tell of what was done, in the transaction in which it was done; for whom something was put into the outbox.

    Args:
        transaction: In which it was done.
        setup: Who plays which role now.
        served: What was done.
        context: With which it was done.
        asked: What its events are linked to.
        cause: The entry of the log from which it came; None for what no message asked for.
        priority: Whose turn the deliveries are.
    """
    teller = Teller(
        transaction,
        setup,
        asked,
        cause=cause,
        priority=priority,
        make_context=lambda message, removes: msgspec.structs.replace(context, header=message.header, removes=removes),
        now=context.now,
        new_id=context.new_id,
    )
    await teller.tell(served.events)
    await teller.tell_own(served.own_events)
    return teller.destinations


class Acting:
    """Does the work of built-in systems.

    Args:
        store: Where it is kept.
        setup: Who plays which role now.
        clock: Now.
        new_id: New identifiers.
        on_put: Told for whom something was put into the outbox, once it is on disk.
    """

    def __init__(
        self,
        *,
        store: Store,
        setup: Callable[[], Setup],
        clock: Clock,
        new_id: NewID,
        on_put: Callable[[Collection[str]], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._setup = setup
        self._clock = clock
        self._new_id = new_id
        self._on_put = on_put

    def is_built_in(self, role: Role) -> bool:
        """Whether the role is played here."""
        return role not in self._setup().routes.remote_roles()

    def require_built_in(self, role: Role) -> None:
        """Raise NotBuiltInError if a partner plays the role."""
        if not self.is_built_in(role):
            source = self._setup().sources[role]
            raise NotBuiltInError(f"{role} is played by {source}, a partner, and not by this hub")

    async def act(self, role: Role, work: Work, *, priority: Priority = Priority.NORMAL) -> Served:
        """Do it, and tell of it. What is said to have FAILED leaves nothing, neither events nor identifiers.

        Args:
            role: Who does it, and speaks of it.
            work: What is done.
            priority: Whose turn it is in the store, and in deliveries.

        Raises:
            NotBuiltInError: A partner plays the role.
            StoreError: It could not be made durable; nothing was done.
        """
        self.require_built_in(role)
        setup = self._setup()
        now = self._clock()
        link = CorrelationID(self._new_id())
        header = Header(verb=Verb.EXECUTE, noun="", timestamp=now, source=setup.sources[role], correlation_id=link)
        try:
            async with self._store.transaction(priority) as transaction:
                context = ServingContext(records=transaction.records, now=now, new_id=self._new_id, header=header)
                served = await work(context)
                if served.result is Result.FAILED:
                    raise _Undone(served)
                asked = Asked(noun="", correlation_id=link)
                destinations = await tell_of(transaction, setup, served, context, asked, priority=priority)
        except _Undone as undone:
            return msgspec.structs.replace(undone.served, ids=(), events=(), own_events=(), has_more=False)
        if destinations:
            self._on_put(destinations)
        return served
