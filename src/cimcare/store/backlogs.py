"""How what partners have not got is counted: with each step of a delivery, and written with what it belongs to.

A count that looked at the rows would take the longer the more there are, in the hour in which they are looked at most.
"""

from cimcare.exchange.outbox import DeliveryState
from cimcare.store.pending import Pending

__all__ = ["Counts"]

_PLACES = {
    DeliveryState.WAITING: 0,
    DeliveryState.LEASED: 0,
    DeliveryState.AWAITING: 1,
    DeliveryState.DEAD: 2,
}
"""Where a state is counted: `waiting`, `awaiting`, `dead`. What has ended is not."""


class Counts:
    """Steps of deliveries in the transaction that is open, until their sums are written."""

    def __init__(self) -> None:
        self.pending: Pending[tuple[str, DeliveryState | None, DeliveryState]] = Pending()

    def note(self, partner: str, before: DeliveryState | None, after: DeliveryState) -> None:
        """A delivery of a partner goes from one state to another; None is from nowhere, when it is put in."""
        self.pending.add((partner, before, after))

    def sums(self) -> list[tuple[str, int, int, int]]:
        """What is to be added: partner, waiting, awaiting, dead; by name, without those that come to nothing."""
        by_partner: dict[str, list[int]] = {}
        for partner, before, after in self.pending.unwritten:
            sums = by_partner.setdefault(partner, [0, 0, 0])
            if before in _PLACES:
                sums[_PLACES[before]] -= 1
            if after in _PLACES:
                sums[_PLACES[after]] += 1
        return [
            (partner, waiting, awaiting, dead)
            for partner, (waiting, awaiting, dead) in sorted(by_partner.items())
            if waiting or awaiting or dead
        ]
