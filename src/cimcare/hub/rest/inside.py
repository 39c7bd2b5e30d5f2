"""What pages in the same process may look at, and how they are put beside those of the REST interface.

The web console is made of such pages; it imports the hub, and the hub knows of it only this.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec
from starlette.routing import BaseRoute

from cimcare.exchange.ports import Clock, NewID
from cimcare.exchange.sending import Circuit
from cimcare.exchange.store import Reader, Store
from cimcare.hub.acts.acting import Acting
from cimcare.hub.acts.asking import Asking
from cimcare.hub.acts.calling import Calling
from cimcare.hub.config.settings import Settings
from cimcare.hub.config.subscribing import Subscribing
from cimcare.hub.intake.setup import Setup
from cimcare.hub.operation.doctor import Doctor
from cimcare.hub.operation.watching import Watcher
from cimcare.hub.rest.audience import Audience
from cimcare.hub.rest.queries import Queries
from cimcare.schema import Catalog

__all__ = ["Inside", "Pages", "no_pages"]


class Inside(msgspec.Struct, frozen=True, kw_only=True):
    """The inside of a running hub.

    What changes something: `asking` makes requests that go the way of all messages; `calling` and `acting` are what
    the REST interface and the clock use; `subscribing` changes subscriptions; `store` is for operators' acts on
    deliveries; the doctor drills partners when he is told.

    `setup` and `circuits` give what is in force at the moment of the call; circuits are those of this process
    and, where others carry, theirs.
    `open_audience` makes the clients of one more stream, of so many at most; the hub ends them when it stops.
    """

    settings: Settings
    reader: Reader
    queries: Queries
    catalog: Catalog
    watcher: Watcher
    doctor: Doctor
    store: Store
    asking: Asking
    calling: Calling
    acting: Acting
    subscribing: Subscribing
    setup: Callable[[], Setup]
    circuits: Callable[[], Mapping[str, Circuit]]
    open_audience: Callable[[int], Audience]
    clock: Clock
    new_id: NewID


Pages = Callable[[Inside], Sequence[BaseRoute]]
"""Makes routes of pages that look at the inside. They stand before those of the REST interface."""


def no_pages(_: Inside) -> Sequence[BaseRoute]:
    """A hub without such pages."""
    return ()
