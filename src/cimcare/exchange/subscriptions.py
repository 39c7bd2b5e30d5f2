"""Subscriptions: which events a partner wants, by verb, noun and what they are about.

Pure. The standard leaves subscribing to the transport; the filters are our own profile.
"""

import msgspec

from cimcare.exchange.facts import Facts, fold
from cimcare.model.envelope import OperationSet
from cimcare.model.nouns import find_noun

__all__ = ["Filter", "Matcher", "Subscription", "is_wanted"]


class Filter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which events are wanted. What is empty does not filter; values of one kind are alternatives, kinds add up.

    `verbs` and `nouns` are those of the event, or of one of the operations of an `executed`. `premises` are mRIDs or
    names of service locations and usage points, `areas` towns, districts, postal codes or regions of addresses,
    `sources` Header/Source, `properties` names and values of Header/Property (an empty value: any).
    """

    verbs: tuple[str, ...] = ()
    nouns: tuple[str, ...] = ()
    premises: tuple[str, ...] = ()
    areas: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    properties: dict[str, str] = {}


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """Who wants which events: `partner` names the destination."""

    name: str
    partner: str
    filter: Filter = Filter()


class Matcher:
    """A filter made ready to be asked often.

    Case and blanks at the ends do not count in premises and areas, and a noun may go by any of its names.
    """

    def __init__(self, wanted: Filter) -> None:
        self._verbs = frozenset(wanted.verbs)
        self._nouns = frozenset(map(_plain, wanted.nouns))
        self._premises = frozenset(map(fold, wanted.premises))
        self._areas = frozenset(map(fold, wanted.areas))
        self._sources = frozenset(wanted.sources)
        self._properties = wanted.properties

    def may_accept(self, verb: str, noun: str) -> bool:
        """False if verb and noun of the header alone rule an event out, so that its content need not be read."""
        if noun == OperationSet.XML_TYPE:  # what its operations are, the header does not say
            return True
        return (not self._verbs or verb in self._verbs) and (not self._nouns or noun in self._nouns)

    def accepts(self, facts: Facts) -> bool:
        """Whether the event passes."""
        return (
            self._has_pair(facts)
            and (not self._sources or facts.source in self._sources)
            and (not self._premises or not self._premises.isdisjoint(facts.premises))
            and (not self._areas or not self._areas.isdisjoint(facts.areas))
            and (not self._properties or any(self._has_property(*each) for each in facts.properties))
        )

    def _has_pair(self, facts: Facts) -> bool:
        """Verb and noun have to be wanted of one and the same operation, or of the event as a whole."""
        return any(
            (not self._verbs or verb in self._verbs) and (not self._nouns or noun in self._nouns)
            for verb, noun in ((facts.verb, facts.noun), *facts.operations)
        )

    def _has_property(self, name: str, value: str) -> bool:
        wanted = self._properties.get(name)
        return wanted is not None and wanted in ("", value)


def is_wanted(wanted: Filter, facts: Facts) -> bool:
    """Whether an event passes a filter."""
    return Matcher(wanted).accepts(facts)


def _plain(noun: str) -> str:
    entry = find_noun(noun, aliases=True)
    return noun if entry is None else entry.noun.value
