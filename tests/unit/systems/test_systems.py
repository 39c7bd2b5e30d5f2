"""What holds for all built-in systems together."""

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cimcare.exchange.ports import ServingContext
from cimcare.model.envelope import EventMessage, Header, ObjectID, Payload, Request, RequestMessage, Result
from cimcare.model.nouns import ENTRIES, Noun, Role
from cimcare.model.verbs import EVENT_OF, Verb
from cimcare.samples import build_message, sample_mrid
from cimcare.store.memory import MemoryRecords
from cimcare.systems import cis, oms, third_party, wms
from cimcare.systems.cis import seed_town
from tests.support.strategies import payloads, queries, structures
from tests.unit.systems.utility import MONDAY, Utility, codes_of

SYSTEMS = {Role.CIS: cis, Role.OMS: oms, Role.WMS: wms, Role.THIRD_PARTY: third_party}


def test_every_noun_is_served_by_its_owner_alone() -> None:
    """The table of nouns says who is master; routing and handlers must agree with it."""
    for entry in ENTRIES:
        for role, system in SYSTEMS.items():
            verbs = {verb for verb, noun in system.SERVES if noun is entry.noun}
            if role is not entry.owner:
                assert verbs == set()
            elif entry.noun is Noun.INCIDENTS:
                assert verbs == {Verb.CREATE, Verb.CHANGE, Verb.CANCEL, Verb.CLOSE, Verb.GET}
            else:
                assert verbs == {Verb.CREATE, Verb.CHANGE, Verb.CANCEL, Verb.CLOSE, Verb.DELETE, Verb.GET}


def test_systems_listen_to_events_and_to_nothing_else() -> None:
    """A request verb among the listeners would never be reached."""
    told = {Verb.CREATED, Verb.CHANGED, Verb.CANCELED, Verb.CLOSED}
    orders = {(verb, Noun.SERVICE_ORDERS) for verb in {*told, Verb.DELETED}}
    assert set(oms.LISTENS) == {(verb, Noun.TROUBLE_TICKETS) for verb in told} | orders
    assert wms.LISTENS == {}
    assert set(third_party.LISTENS) == {(verb, Noun.CUSTOMER_AGREEMENTS) for verb in {*told, Verb.DELETED}}
    others = [entry.noun for entry in ENTRIES if entry.owner is not Role.CIS]
    assert set(cis.LISTENS) == {(verb, noun) for noun in others for verb in {*told, Verb.DELETED}}


def test_collections_have_names_of_their_own() -> None:
    """Two systems that write one collection would overwrite each other."""
    names = [one.name for one in chain.from_iterable(system.COLLECTIONS for system in SYSTEMS.values())]
    assert len(names) == len(set(names))
    assert {name.split(".")[0] for name in names} == {role.value for role in SYSTEMS}


@pytest.mark.parametrize("noun", [entry.noun for entry in ENTRIES if entry.noun is not Noun.INCIDENTS])
async def test_samples_of_every_verb_are_served(noun: Noun) -> None:
    """A sample message sent to a fresh hub does what it says, and its event is told to those who listen."""
    utility = Utility()
    utility.now = MONDAY
    serves = {**cis.SERVES, **oms.SERVES, **wms.SERVES}
    for seed in range(6):
        for verb in (Verb.CREATE, Verb.CHANGE, Verb.GET, Verb.CLOSE, Verb.DELETE):
            message = build_message(noun, verb, seed=seed, now=MONDAY)
            assert isinstance(message, RequestMessage)
            context = ServingContext(
                records=utility.records, now=utility.now, new_id=lambda: "new", header=message.header
            )
            served = await serves[verb, noun](message, context)
            assert served.result is Result.OK, (verb, seed, served.findings)
            if verb is not Verb.GET:
                assert served.ids[0].value == sample_mrid(noun, seed)
                assert served.events[0].verb is EVENT_OF[verb]
                assert served.events[0].noun is noun
                await utility.pass_on(
                    third_party.LISTENS if noun is Noun.CUSTOMER_AGREEMENTS else cis.LISTENS, served.events
                )


async def test_sample_places_are_those_of_the_town() -> None:
    """Otherwise every demonstration would start with a warning."""
    utility = Utility()
    await seed_town(utility.records, MONDAY)
    for seed in range(6):
        message = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=seed, now=MONDAY)
        assert isinstance(message, RequestMessage)
        context = ServingContext(records=utility.records, now=utility.now, new_id=lambda: "new", header=message.header)
        served = await oms.SERVES[Verb.CREATE, Noun.TROUBLE_TICKETS](message, context)
        assert "REF-105" not in codes_of(served)


@given(
    st.lists(payloads(), max_size=2).map(tuple),
    st.none() | structures(Request),
    st.none() | queries(),
    st.lists(structures(ObjectID), max_size=2).map(tuple),
    structures(Header),
)
async def test_no_content_makes_a_handler_raise(
    content: tuple[object, ...],
    request: Request | None,
    query: object,
    ids: tuple[ObjectID, ...],
    header: Header,
) -> None:
    """A handler that raises would end as an internal error, with nothing said about what is wrong."""
    import msgspec

    records, minted = MemoryRecords(), iter(range(10_000))
    request = request and msgspec.structs.replace(request, query=query)
    payloads = [msgspec.structs.replace(Payload(), content=content), Payload(id=ids)]
    context = ServingContext(records=records, now=MONDAY, new_id=lambda: f"new-{next(minted)}", header=header)
    for system in SYSTEMS.values():
        for payload in payloads:
            for (verb, _), handler in system.SERVES.items():
                asked = msgspec.structs.replace(header, verb=verb)
                served = await handler(RequestMessage(header=asked, request=request, payload=payload), context)
                assert (served.result is Result.FAILED) <= bool(served.findings)
            for (verb, _), listener in system.LISTENS.items():
                told = msgspec.structs.replace(header, verb=verb)
                await listener(EventMessage(header=told, payload=payload), context)
