"""Which events pass a filter."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cimcare.exchange.facts import Facts, facts_of
from cimcare.exchange.subscriptions import Filter, Matcher, is_wanted
from cimcare.model.envelope import EventMessage
from cimcare.model.nouns import Noun
from cimcare.model.verbs import EVENT_VERBS, Verb
from cimcare.samples.build import build_message

FACTS = Facts(
    verb=Verb.CREATED,
    noun="TroubleTickets",
    source="OMS",
    premises=frozenset({"sl-7", "strasse 5"}),
    areas=frozenset({"northlake", "49811"}),
    properties=(("channel", "voice"), ("flag", "")),
)
EXECUTED = Facts(
    verb=Verb.EXECUTED,
    noun="OperationSet",
    source="OMS",
    operations=((Verb.CREATED, "TroubleTickets"), (Verb.CLOSED, "Incidents")),
)


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(),
        Filter(verbs=("created", "closed"), nouns=("TroubleTickets",)),
        Filter(nouns=("TroubleTicket",)),
        Filter(premises=("SL-7",)),
        Filter(premises=("nowhere", " Straße 5 ")),
        Filter(areas=("NORTHLAKE",)),
        Filter(sources=("CIS", "OMS")),
        Filter(properties={"channel": "voice"}),
        Filter(properties={"channel": ""}),
        Filter(properties={"flag": ""}),
        Filter(properties={"channel": "web", "flag": ""}),
        Filter(verbs=("created",), premises=("sl-7",), areas=("49811",), properties={"channel": "voice"}),
    ],
)
def test_passes(wanted: Filter) -> None:
    """Values of one kind are alternatives."""
    assert is_wanted(wanted, FACTS)


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(verbs=("closed",)),
        Filter(nouns=("Incidents",)),
        Filter(premises=("sl-70",)),
        Filter(premises=("",)),
        Filter(areas=("southlake",)),
        Filter(sources=("oms",)),
        Filter(properties={"channel": "web"}),
        Filter(properties={"region": ""}),
        Filter(verbs=("created",), areas=("southlake",)),
        Filter(verbs=("closed",), areas=("northlake",)),
    ],
)
def test_is_kept_back(wanted: Filter) -> None:
    """Kinds add up: one that does not fit is enough."""
    assert not is_wanted(wanted, FACTS)


def test_verb_and_noun_have_to_be_wanted_of_the_same_operation() -> None:
    """A set that creates a ticket and closes an incident does not close a ticket."""
    assert is_wanted(Filter(verbs=("closed",), nouns=("Incidents",)), EXECUTED)
    assert not is_wanted(Filter(verbs=("closed",), nouns=("TroubleTickets",)), EXECUTED)
    assert is_wanted(Filter(verbs=("executed",)), EXECUTED)
    assert is_wanted(Filter(nouns=("OperationSet",)), EXECUTED)
    assert not is_wanted(Filter(verbs=("executed",), nouns=("Incidents",)), EXECUTED)


_SOME = st.lists(st.sampled_from(("created", "closed", "Incidents", "TroubleTickets", "sl-7", "49811", "OMS", "")))


@given(values=st.fixed_dictionaries({name: _SOME.map(tuple) for name in Filter.__struct_fields__[:5]}))
def test_a_filter_lets_through_what_all_its_kinds_alone_let_through(values: dict[str, tuple[str, ...]]) -> None:
    """No kind weakens another; verbs and nouns, which belong together, count as one kind."""
    pair = {name: values[name] for name in ("verbs", "nouns")}
    others = [{name: value} for name, value in values.items() if name not in pair]
    assert is_wanted(Filter(**values), FACTS) == all(is_wanted(Filter(**one), FACTS) for one in [pair, *others])


@pytest.mark.parametrize("verb", sorted(EVENT_VERBS))
@pytest.mark.parametrize("noun", list(Noun))
def test_a_subscription_to_verb_and_noun_gets_each_event_of_them(noun: Noun, verb: Verb) -> None:
    """For every event of the standard, by what its message says."""
    event = build_message(noun, verb, seed=2)
    assert isinstance(event, EventMessage)
    facts = facts_of(event)
    assert is_wanted(Filter(verbs=(verb,)), facts)
    assert is_wanted(Filter(nouns=(noun,)), facts)
    assert is_wanted(Filter(premises=tuple(sorted(facts.premises)[:1])), facts)
    assert not is_wanted(Filter(nouns=tuple(other for other in Noun if other is not noun)), facts)


def test_a_filter_with_an_unknown_kind_is_not_read() -> None:
    """A misspelt kind that was ignored would let everything through."""
    with pytest.raises(msgspec.ValidationError, match="premise"):
        msgspec.convert({"premise": ["SL-7"]}, Filter)


@given(values=st.fixed_dictionaries({name: _SOME.map(tuple) for name in ("verbs", "nouns")}))
def test_the_header_alone_rules_out_nothing_that_would_pass(values: dict[str, tuple[str, ...]]) -> None:
    """Reading only what may pass is quicker, and must not be another filter."""
    matcher = Matcher(Filter(**values))
    for facts in (FACTS, EXECUTED):
        assert matcher.may_accept(facts.verb, facts.noun) or not matcher.accepts(facts)
    assert not matcher.may_accept("changed", "WorkRequests") or not (values["verbs"] or values["nouns"])
