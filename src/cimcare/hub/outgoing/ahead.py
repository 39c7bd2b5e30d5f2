"""What a courier has claimed ahead: under its lease, read, and not begun.

Whoever begins it need not wait for a commit. What is urgent and came later must not wait behind it, so it may be begun
only while nobody can know of more: see `Ahead.is_current`. Decision 0125 has the reasons.
"""

from collections.abc import Iterable
from datetime import datetime
from operator import itemgetter

from cimcare.exchange.outbox import Delivery
from cimcare.exchange.partners import Partner
from cimcare.hub.outgoing.recalling import Recalled

__all__ = ["Ahead"]

_CURRENT_SECONDS = 0.25
"""For so long after a claim it is taken to have seen all that is urgent, unless somebody tells otherwise."""


class Ahead:
    """Deliveries to one partner in the order in which they are begun: the urgent first, then the oldest."""

    def __init__(self) -> None:
        self._ready: list[tuple[tuple[int, int], Delivery, Recalled]] = []
        self._partner: Partner | None = None
        self._looked_at = self._seen_at = float("-inf")

    def __len__(self) -> int:
        return len(self._ready)

    def note_claim(self, at: float) -> None:
        """A claim looks at what waits, now by the clock of the loop; what it finds is added later."""
        self._looked_at = at

    def add(self, ready: Iterable[tuple[Delivery, Recalled]], partner: Partner) -> None:
        """What the last claim found for a partner as he is set up now, with the messages."""
        self._ready += [((-one.priority, one.number), one, recalled) for one, recalled in ready]
        self._ready.sort(key=itemgetter(0))
        self._partner = partner
        self._seen_at = self._looked_at

    def note_news(self) -> None:
        """Something was put in of which the last claim may not have known."""
        self._looked_at = self._seen_at = float("-inf")

    def is_current(self, partner: Partner, at: float) -> bool:
        """Whether what is here is next for this partner, as far as can be known without another claim.

        Args:
            partner: As he is set up now.
            at: Now, by the clock of the loop.
        """
        return at - self._seen_at < _CURRENT_SECONDS and self.is_for(partner)

    def is_for(self, partner: Partner) -> bool:
        """Whether it was claimed and read for the partner as he is set up now."""
        return not self._ready or self._partner == partner

    def attempts(self) -> set[tuple[int, int]]:
        """What is here, by number and attempt."""
        return {(one.number, one.attempts) for _, one, _ in self._ready}

    def take(self, most: int, now: datetime) -> list[tuple[Delivery, Recalled]]:
        """The first of them, to be begun. One whose lease ran out is somebody else's and gone."""
        self._ready = [entry for entry in self._ready if entry[1].due_at > now]
        taken, self._ready = self._ready[:most], self._ready[most:]
        return [(delivery, recalled) for _, delivery, recalled in taken]

    def take_back(self, now: datetime, *, before: datetime | None = None) -> list[Delivery]:
        """Those that are not to be begun, to be given back; with `before` only those whose lease ends before then."""
        mine = [entry for entry in self._ready if entry[1].due_at > now]
        self._ready = [entry for entry in mine if before is not None and entry[1].due_at >= before]
        return [one for _, one, _ in mine if before is None or one.due_at < before]
