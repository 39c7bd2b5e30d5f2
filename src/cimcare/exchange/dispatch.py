"""Who serves a request, and who listens to an event."""

from collections.abc import Iterable, Mapping

import msgspec

from cimcare.errors import Finding, finding_of
from cimcare.exchange.ports import EventHandler, Handler, News, Tick
from cimcare.model.nouns import Noun, Role
from cimcare.model.verbs import REQUEST_VERBS, Verb

__all__ = ["Dispatcher", "System"]


class System(msgspec.Struct, frozen=True, kw_only=True):
    """A built-in system: the role it plays, what it serves, what it listens to, what it does by the clock.

    `news` is what it holds back, to be told every few seconds; None if nothing.
    """

    role: Role
    serves: Mapping[tuple[Verb, Noun], Handler]
    listens: Mapping[tuple[Verb, Noun], EventHandler]
    ticks: tuple[Tick, ...] = ()
    news: News | None = None


class Dispatcher:
    """The tables of all systems, put together.

    Args:
        systems: In the order in which listeners hear of an event.

    Raises:
        ValueError: Two systems serve the same verb and noun.
    """

    def __init__(self, systems: Iterable[System]) -> None:
        self._serves: dict[tuple[Verb, str], tuple[Role, Handler]] = {}
        self._listens: dict[tuple[Verb, str], list[tuple[Role, EventHandler]]] = {}
        for system in systems:
            for (verb, noun), handler in system.serves.items():
                if (verb, noun) in self._serves:
                    raise ValueError(f"{verb} {noun} is served by {self._serves[verb, noun][0]} and by {system.role}")
                self._serves[verb, noun] = (system.role, handler)
            for (verb, noun), listener in system.listens.items():
                self._listens.setdefault((verb, noun), []).append((system.role, listener))

    def find_handler(self, verb: Verb, noun: str) -> tuple[Role, Handler] | Finding:
        """Role and handler that serve a request, or why nobody does."""
        found = self._serves.get((verb, noun))
        if found is not None:
            return found
        clause = "IEC 61968-100:2013, Header/Verb and Header/Noun"
        verbs = sorted(verb for verb, served in self._serves if served == noun)
        if not verbs:
            nouns = ", ".join(sorted({served for _, served in self._serves}))
            return finding_of("EXC-103", "/RequestMessage/Header/Noun", f"noun {noun}", f"one of {nouns}", clause)
        return finding_of(
            "EXC-102", "/RequestMessage/Header/Verb", f"{verb} {noun}", f"for {noun} one of {', '.join(verbs)}", clause
        )

    def listeners(self, verb: Verb, noun: str, *, but: Role | None = None) -> tuple[tuple[Role, EventHandler], ...]:
        """Roles and handlers that want an event, without the role that speaks."""
        return tuple((role, listener) for role, listener in self._listens.get((verb, noun), ()) if role is not but)

    def served(self) -> frozenset[tuple[Verb, str]]:
        """All that is served, as pairs of a request verb and a noun."""
        return frozenset((verb, noun) for verb, noun in self._serves if verb in REQUEST_VERBS)
