"""Subscriptions: which events a partner wants, by verb, noun and what they are about.

Pure. The standard leaves subscribing to the transport; the filters are our own profile.
"""

import msgspec

from cimcare.exchange.facts import Facts
from cimcare.model.verbs import Verb

__all__ = ["Filter", "Subscription", "is_wanted"]


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


def is_wanted(wanted: Filter, facts: Facts) -> bool:
    """Whether an event passes a filter. Case does not count in premises and areas."""
    return (
        _has_pair(wanted, facts)
        and (not wanted.sources or facts.source in wanted.sources)
        and _has_one(wanted.premises, facts.premises)
        and _has_one(wanted.areas, facts.areas)
        and (not wanted.properties or any(_has_property(facts, *one) for one in wanted.properties.items()))
    )


def _has_pair(wanted: Filter, facts: Facts) -> bool:
    """Verb and noun have to be wanted of one and the same operation, or of the event as a whole."""
    return any(
        (not wanted.verbs or verb in wanted.verbs) and (not wanted.nouns or noun in wanted.nouns)
        for verb, noun in ((Verb(facts.verb), facts.noun), *facts.operations)
    )


def _has_one(wanted: tuple[str, ...], found: frozenset[str]) -> bool:
    return not wanted or any(value.casefold() in found for value in wanted)


def _has_property(facts: Facts, name: str, value: str) -> bool:
    return any(have == name and (not value or given == value) for have, given in facts.properties)
