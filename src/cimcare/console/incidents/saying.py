"""What a dispatcher types into the forms of an incident, as the requests that say it."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cimcare.console.frame import Sent
from cimcare.console.incidents.reading import Seen
from cimcare.errors import InputError, finding_of
from cimcare.exchange.ports import NewID
from cimcare.model.enumerations import WorkStatusKind
from cimcare.model.identity import MRID
from cimcare.systems.oms.restored import EvidenceKind
from cimcare.systems.oms.sayings import (
    CREW_STATES,
    Saying,
    build_cancellation,
    build_confirmation,
    build_dispatch,
    build_estimate,
    build_move,
    build_restoration,
    build_split,
    build_withdrawal,
)

__all__ = ["ACTS", "Typed", "read_instant", "saying_of"]

_LONGEST = 100
_IN = re.compile(r"\+?\s*(\d{1,4})\s*(?:min|m|minutes)?\Z")
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)\Z")
_DAY = timedelta(days=1)


class Typed:
    """The fields of a form, each read as what it has to be.

    Args:
        sent: What was sent.
        now: An aware instant in UTC.
        path: Address of the form, for what is wrong with it.
    """

    def __init__(self, sent: Sent, now: datetime, path: str) -> None:
        self._sent = sent
        self._now = now
        self._path = path

    def wrong(self, field: str, accepted: str) -> InputError:
        """EXC-128: a field that is not what it has to be."""
        found = f"{field}: {self._sent.one(field)[:_LONGEST]!r}" if self._sent.one(field) else f"{field} is empty"
        return InputError(finding_of("EXC-128", f"{self._path}#{field}", found, accepted))

    def text(self, field: str, accepted: str) -> str:
        """Words, which must be there."""
        value = " ".join(self._sent.one(field).split())
        if not value or len(value) > _LONGEST:
            raise self.wrong(field, f"{accepted}, at most {_LONGEST} signs")
        return value

    def kind(self) -> EvidenceKind:
        """How something is known."""
        given = self._sent.one("kind")
        if given not in frozenset(EvidenceKind):
            raise self.wrong("kind", f"one of {', '.join(EvidenceKind)}")
        return EvidenceKind(given)

    def who(self) -> str:
        """Who says it."""
        return self.text("who", "the name of the person or crew who says it")

    def share(self, field: str) -> float | None:
        """Per cent, from 0 to 100, as a share; None if nothing was typed."""
        given = self._sent.one(field).rstrip("% ")
        if not given:
            return None
        if not given.isascii() or not given.isdigit() or int(given) > 100:
            raise self.wrong(field, "a whole number from 0 to 100, in per cent")
        return int(given) / 100

    def instant(self, field: str, *, is_ahead: bool) -> datetime | None:
        """An instant (see `read_instant`); None if nothing was typed."""
        given = self._sent.one(field)
        if not given:
            return None
        found = read_instant(given, self._now, is_ahead=is_ahead)
        if found is None:
            example = "90 (minutes from now)" if is_ahead else "10 (minutes ago)"
            raise self.wrong(field, f"14:30 (UTC), {example}, or 2030-06-01T14:30Z")
        return found

    def mrids(self, field: str, accepted: str) -> tuple[MRID, ...]:
        """What was ticked, at least one."""
        found = tuple(MRID(one) for one in self._sent.all(field))
        if not found:
            raise self.wrong(field, accepted)
        return found

    def optional(self, field: str) -> str:
        """Words that need not be there."""
        return self.text(field, "fewer words") if self._sent.one(field) else ""


def read_instant(text: str, now: datetime, *, is_ahead: bool) -> datetime | None:
    """An instant as people type it: `14:30`, so many minutes ahead (or ago), or an instant with its offset.

    A time of day is the next one that comes, or the last one that was. None for anything else.
    """
    if minutes := _IN.match(text):
        span = timedelta(minutes=int(minutes[1]))
        return now + span if is_ahead else now - span
    if clock := _CLOCK.match(text):
        hour, minute = int(clock[1]), int(clock[2])
        if hour > 23 or minute > 59:
            return None
        found = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
        if is_ahead:
            return found if found > now else found + _DAY
        return found if found <= now else found - _DAY
    try:
        exact = datetime.fromisoformat(text)
    except ValueError:
        return None
    return exact.astimezone(UTC) if exact.tzinfo is not None else None


def _estimate(seen: Seen, typed: Typed, _: NewID) -> Saying:
    at = typed.instant("at", is_ahead=True)
    if at is None:
        raise typed.wrong("at", "14:30 (UTC), or 90 (minutes from now)")
    return build_estimate(
        seen.row.mrid,
        at=at,
        kind=typed.kind(),
        who=typed.who(),
        confidence=typed.share("confidence"),
        valid_until=typed.instant("valid_until", is_ahead=True),
    )


def _withdrawal(seen: Seen, typed: Typed, _: NewID) -> Saying:
    return build_withdrawal(seen.row.mrid, kind=EvidenceKind.OPERATOR, who=typed.who())


def _crew(seen: Seen, typed: Typed, _: NewID) -> Saying:
    state = typed.text("state", "how far the crew is")
    if state not in frozenset(one.value for one in CREW_STATES):
        raise typed.wrong("state", f"one of {', '.join(one.value for one in CREW_STATES)}")
    return build_dispatch(seen.row.mrid, crew=typed.text("crew", "the name of the crew"), state=WorkStatusKind(state))


def _confirmation(seen: Seen, typed: Typed, _: NewID) -> Saying:
    device = typed.text("device", "the name of a device of the network")
    return build_confirmation(seen.row.mrid, device=device, kind=typed.kind(), who=typed.who())


def _restoration(seen: Seen, typed: Typed, _: NewID) -> Saying:
    at = typed.instant("at", is_ahead=False)
    return build_restoration(seen.row.mrid, at=at, kind=typed.kind(), who=typed.who())


def _part(seen: Seen, typed: Typed, _: NewID) -> Saying:
    at = typed.instant("at", is_ahead=False) or seen.at
    points = typed.mrids("points", "at least one of the premises, ticked")
    return build_restoration(seen.row.mrid, at=at, kind=typed.kind(), who=typed.who(), points=points)


def _split(seen: Seen, typed: Typed, new_id: NewID) -> Saying:
    tickets = typed.mrids("tickets", "at least one ticket of this incident, ticked")
    reported = [one.reported_at for one in seen.tickets if one.mrid in tickets and one.reported_at is not None]
    since = min(reported, default=seen.row.since)
    return build_split(MRID(new_id()), tickets=tickets, since=since, device=typed.optional("device"), who=typed.who())


def _move(_: Seen, typed: Typed, __: NewID) -> Saying:
    tickets = typed.mrids("tickets", "at least one ticket of this incident, ticked")
    return build_move(MRID(typed.text("into", "an open incident")), tickets=tickets, who=typed.who())


def _merge(seen: Seen, typed: Typed, _: NewID) -> Saying:
    tickets = tuple(one.mrid for one in seen.tickets if one.state == "open")
    if not tickets or seen.next_tickets is not None:
        raise typed.wrong("into", "an incident with 1 to 50 tickets; of more, confirm the device that is above both")
    return build_move(MRID(typed.text("into", "an open incident")), tickets=tickets, who=typed.who())


def _cancellation(seen: Seen, typed: Typed, _: NewID) -> Saying:
    return build_cancellation(seen.row.mrid, who=typed.who())


ACTS: dict[str, Callable[[Seen, Typed, NewID], Saying]] = {
    "estimate": _estimate,
    "withdraw": _withdrawal,
    "crew": _crew,
    "confirm": _confirmation,
    "restore": _restoration,
    "part": _part,
    "split": _split,
    "move": _move,
    "merge": _merge,
    "cancel": _cancellation,
}
"""What can be said of an open incident, by the name of its form."""


def saying_of(act: str, seen: Seen, typed: Typed, new_id: NewID) -> Saying:
    """The request that a form says.

    Raises:
        InputError: EXC-128, a field is not what it has to be.
    """
    if act not in ACTS:
        raise typed.wrong("act", f"one of {', '.join(ACTS)}")
    return ACTS[act](seen, typed, new_id)
