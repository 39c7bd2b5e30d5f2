"""Samples: complete, valid, the same for ever for one seed."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from cimcare.codec.envelope import parse_message, render_message
from cimcare.codec.json_body import parse_json, render_json
from cimcare.codec.limits import parse_xml
from cimcare.model.envelope import EventMessage, RequestMessage, ResponseMessage
from cimcare.model.identity import Name
from cimcare.model.nouns import NOUNS, Noun
from cimcare.model.structure import Structure, elements_of
from cimcare.model.trouble_ticket import TroubleTickets
from cimcare.model.verbs import EVENT_VERBS, REQUEST_VERBS, Verb
from cimcare.rules import check_reply, check_rules
from cimcare.samples import build_message, build_payload, sample_mrid
from cimcare.samples.draw import Draw
from cimcare.samples.northlake import PREMISES_COUNT, find_premises
from cimcare.schema.catalog import Catalog
from cimcare.schema.validate import check_message

SEEDS = range(12)
CASES = [(noun, verb) for noun in Noun for verb in Verb]


@pytest.mark.parametrize(("noun", "verb"), CASES)
def test_every_sample_passes_all_rules(noun: Noun, verb: Verb) -> None:
    """A sample that our own rules refuse would teach everybody the wrong thing."""
    for seed in SEEDS:
        assert check_rules(build_message(noun, verb, seed=seed)) == (), seed


@pytest.mark.parametrize(("noun", "verb"), CASES)
def test_every_sample_is_valid_by_the_schemas_and_survives_both_forms(noun: Noun, verb: Verb) -> None:
    """A sample is the first thing a partner validates with a processor of their own."""
    catalog = Catalog()
    for seed in SEEDS:
        message = build_message(noun, verb, seed=seed)
        raw = render_message(message)
        assert check_message(parse_xml(raw), catalog) == (), seed
        assert parse_message(raw) == message
        assert parse_json(render_json(message)) == message


@pytest.mark.parametrize(("noun", "verb"), CASES)
def test_same_seed_gives_the_same_message_and_another_seed_another(noun: Noun, verb: Verb) -> None:
    """Whoever reports a problem with seed 7 must be understood; whoever wants a thousand tickets must get them."""
    built = [build_message(noun, verb, seed=seed) for seed in SEEDS]

    assert built == [build_message(noun, verb, seed=seed) for seed in SEEDS]
    assert len({msgspec.json.encode(message) for message in built}) == len(SEEDS)


@pytest.mark.parametrize(("noun", "verb"), CASES)
def test_each_verb_comes_in_the_root_it_belongs_to(noun: Noun, verb: Verb) -> None:
    """The samples cover the whole table of verbs and nouns, each in its own shape."""
    message = build_message(noun, verb, seed=1)

    expected = RequestMessage if verb in REQUEST_VERBS else EventMessage if verb in EVENT_VERBS else ResponseMessage
    assert type(message) is expected
    assert message.header.verb is verb
    assert message.header.noun == ("OperationSet" if verb in {Verb.EXECUTE, Verb.EXECUTED} else noun)


@pytest.mark.parametrize("noun", Noun)
def test_a_full_payload_has_all_that_the_full_schema_wants(noun: Noun) -> None:
    """A create is validated against the schema with every lower bound; a sample must pass it."""
    for seed in range(40):
        assert list(_missing(build_payload(noun, seed=seed), noun.value)) == [], seed


@pytest.mark.parametrize("noun", Noun)
def test_a_partial_payload_says_less_than_the_full_one_of_the_same_object(noun: Noun) -> None:
    """A change names the object and what changes, nothing else."""
    full, partial = build_payload(noun, seed=5), build_payload(noun, seed=5, partial=True)

    (item,) = getattr(partial, NOUNS[noun].item)
    assert item.mrid == sample_mrid(noun, 5)
    assert len(msgspec.json.encode(partial)) < len(msgspec.json.encode(full)) / 2


@pytest.mark.parametrize("noun", Noun)
def test_all_verbs_of_one_seed_speak_of_one_object(noun: Noun) -> None:
    """Create, change and close of seed 3, sent one after another, tell the story of one object."""
    expected = sample_mrid(noun, 3)

    for verb in (Verb.CREATE, Verb.CHANGE, Verb.CREATED, Verb.CHANGED, Verb.CANCELED, Verb.CLOSED, Verb.DELETED):
        message = build_message(noun, verb, seed=3)
        assert isinstance(message, RequestMessage | EventMessage)
        assert message.payload is not None
        (root,) = message.payload.content
        (item,) = getattr(root, NOUNS[noun].item)
        assert item.mrid == expected
    for verb in (Verb.CANCEL, Verb.CLOSE, Verb.DELETE):
        message = build_message(noun, verb, seed=3)
        assert isinstance(message, RequestMessage)
        assert message.request is not None
        assert [(each.value, each.kind, each.object_type) for each in message.request.id] == [
            (expected, "uuid", NOUNS[noun].item_name)
        ]


@pytest.mark.parametrize("noun", Noun)
def test_a_reply_answers_the_request_of_its_seed(noun: Noun) -> None:
    """Even seeds answer a create, odd ones a get; both fit by every rule of correlation."""
    for seed in SEEDS:
        request = build_message(noun, Verb.GET if seed % 2 else Verb.CREATE, seed=seed)
        reply = build_message(noun, Verb.REPLY, seed=seed)
        assert isinstance(request, RequestMessage)
        assert isinstance(reply, ResponseMessage)
        assert check_reply(request, reply) == ()


@pytest.mark.parametrize("noun", Noun)
def test_a_get_asks_by_identifier_or_by_query_in_turn(noun: Noun) -> None:
    """Both ways of asking are shown."""
    by_id, by_query = (build_message(noun, Verb.GET, seed=seed) for seed in (0, 1))

    assert isinstance(by_id, RequestMessage)
    assert by_id.request is not None
    assert by_id.request.id
    assert isinstance(by_query, RequestMessage)
    assert by_query.request is not None
    assert isinstance(by_query.request.query, NOUNS[noun].query)


def test_operations_carry_the_noun_itself() -> None:
    """An OperationSet is only of use if its operations have payloads that a system knows."""
    message = build_message(Noun.SERVICE_ORDERS, Verb.EXECUTED, seed=2)

    assert isinstance(message, EventMessage)
    assert message.payload is not None
    assert message.payload.operation_set is not None
    operations = message.payload.operation_set.operation
    assert [(each.noun, each.verb) for each in operations] == [
        ("ServiceOrders", "created"),
        ("ServiceOrders", "changed"),
        ("ServiceOrders", "deleted"),
    ]


def test_a_given_instant_moves_all_instants() -> None:
    """The simulator plays samples now, not in 2031."""
    now = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

    message = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=4, now=now)

    assert isinstance(message, RequestMessage)
    assert message.header.timestamp == now
    assert message.payload is not None
    (root,) = message.payload.content
    assert isinstance(root, TroubleTickets)
    (ticket,) = root.trouble_ticket
    assert ticket.date_time_of_report is not None
    assert timedelta(0) < now - ticket.date_time_of_report < timedelta(hours=1)


def test_an_instant_without_zone_is_refused() -> None:
    """A sample without zones would break its own rules."""
    with pytest.raises(ValueError, match="without a time zone"):
        build_message(Noun.INCIDENTS, Verb.CREATED, now=datetime.fromisoformat("2031-02-11T07:42:05"))


def test_errors_of_samples_never_carry_an_xpath() -> None:
    """The schema types it as a qualified name, so no real path would validate."""
    for noun in Noun:
        reply = build_message(noun, Verb.REPLY)
        assert isinstance(reply, ResponseMessage)
        assert [each.xpath for each in reply.reply.error] == [None]


def test_the_choices_are_fixed_for_ever() -> None:
    """Documents and bug reports quote samples; a new release must not change them by accident."""
    draw = Draw("fixed", 1)

    assert [draw.between(1, 1000) for _ in range(3)] == [995, 297, 377]
    assert sample_mrid(Noun.TROUBLE_TICKETS, 0) == "148971b7-e41b-45c7-9b18-092105c41333"


def test_no_two_premises_share_a_number() -> None:
    """The town would not hold together otherwise."""
    town = [find_premises(index) for index in range(PREMISES_COUNT)]

    for number in ("location", "usage_point", "meter", "account", "customer", "agreement", "address"):
        assert len({getattr(each, number) for each in town}) == PREMISES_COUNT, number
    assert {each.feeder for each in town} == {"NL-11", "NL-12"}
    with pytest.raises(IndexError, match="0 to 199"):
        find_premises(PREMISES_COUNT)


@pytest.mark.parametrize("noun", Noun)
def test_every_name_says_its_numbering_scheme_and_authority(noun: Noun) -> None:
    """Names mean nothing between two systems unless it is said who gave them."""
    names = list(_names(build_payload(noun, seed=8)))

    assert names
    for name in names:
        assert name.name_type is not None
        assert name.name_type.name_type_authority is not None


def _children(value: Structure) -> Iterator[tuple[str, Structure]]:
    for element in elements_of(type(value)):
        held = getattr(value, element.field)
        if element.is_complex and held is not None:
            for each in held if element.many else (held,):
                yield element.name, each


def _missing(value: Structure, path: str) -> Iterator[str]:
    for element in elements_of(type(value)):
        if element.least and getattr(value, element.field) in (None, ()):
            yield f"{path}/{element.name}"
    for name, each in _children(value):
        yield from _missing(each, f"{path}/{name}")


def _names(value: Structure) -> Iterator[Name]:
    if isinstance(value, Name):
        yield value
    for _, each in _children(value):
        yield from _names(each)
