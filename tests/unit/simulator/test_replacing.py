"""What is recorded gives nobody away, and is still the same conversation."""

import re
import string
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cimcare.codec.envelope import parse_message, render_message
from cimcare.model.envelope import EventMessage, RequestMessage, ResponseMessage
from cimcare.model.nouns import NOUNS, Noun
from cimcare.model.structure import Extension, Structure, elements_of
from cimcare.model.verbs import EVENT_VERBS, REQUEST_VERBS, Verb
from cimcare.samples import build_message
from cimcare.schema.catalog import Catalog
from cimcare.simulator.recording import Recorded, build_scenario
from cimcare.simulator.replacing import Replacer
from cimcare.simulator.scenarios import parse_scenario
from cimcare.validation import judge
from tests.support.strategies import messages

KEY = b"a key of this test alone"
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
VERBS = sorted((REQUEST_VERBS | EVENT_VERBS) - {Verb.EXECUTE, Verb.EXECUTED})
SAYS_WHAT_IT_IS = {"Header.Noun", "Operation.noun", "Operation.verb", "Payload.Format", "ReplyError.xpath"}
"""Members that the message could not do without as they are."""

UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
WORD = re.compile(rf"{UUID}|[^\s{re.escape(string.punctuation)}]+", re.ASCII)

PLAIN_WORDS = """
TESTING XML CIS OMS WMS THIRD PARTY phone email open resolved closed cancelled proposed active ended no none
AccountNumber AgreementNumber CrewName CustomerNumber DeviceNumber IncidentNumber LegalName MeterBadgeNumber
MultiplierCode OperatorName OutageNumber PricingCode ProgrammeCode ServiceCategoryCode ServiceLocationNumber
ServiceOrderNumber ServiceRequestNumber SupplierName SupplierNumber TariffCode TaskNumber TroubleTicketNumber
UsagePointNumber WorkOrderNumber WorkRequestNumber urn ogc def crs EPSG 4326
TroubleTicket Incident Work CustomerAgreement OperationSet
"""
HARMLESS = frozenset(PLAIN_WORDS.split()) | {noun.value for noun in Noun}
"""Words that may be kept: they say what a thing is, never which one."""

WORDS = st.text(st.characters(categories=("Lu", "Ll", "Lo", "Nd")), min_size=4, max_size=12)
SECRETS = st.lists(
    st.one_of(
        WORDS,
        st.sampled_from(
            ("Mary-Ann O'Brien", "+49 30 901820", "mary.ann@example.org", "12a Baker St.", "DE89 3704 0044")
        ),
        st.uuids().map(str),
        st.tuples(WORDS, WORDS).map(" ".join),
        st.integers(1000, 10**12).map(str),
    ),
    min_size=3,
    max_size=9,
)


def names_of(structure: type[Structure]) -> dict[str, str]:
    """Members by field."""
    return {each.field: each.member.cim or f"{structure.__name__}.{each.name}" for each in elements_of(structure)}


def leaves(value: object, member: str = "") -> Iterator[tuple[str, object]]:
    """Every simple value in a structure with the member that it is of."""
    if isinstance(value, Structure):
        names = {
            each.field: each.member.cim or f"{type(value).__name__}.{each.name}" for each in elements_of(type(value))
        }
        for field in value.__struct_fields__:
            yield from leaves(getattr(value, field), names.get(field, field))
    elif isinstance(value, tuple):
        for each in value:
            yield from leaves(each, member)
    elif isinstance(value, Extension):
        yield "extension", value.xml
    elif value is not None:
        yield member, value


def with_texts(value: Structure, change: Callable[[str, str], str]) -> Structure:
    """The structure with other texts in it."""
    names = names_of(type(value))

    def one(old: object, field: str) -> object:
        if isinstance(old, Structure):
            return with_texts(old, change)
        is_text = isinstance(old, str) and not isinstance(old, Enum) and names.get(field) not in SAYS_WHAT_IT_IS
        return change(names.get(field, field), old) if is_text and isinstance(old, str) else old

    changes = {}
    for field in value.__struct_fields__:
        old = getattr(value, field)
        changes[field] = tuple(one(each, field) for each in old) if isinstance(old, tuple) else one(old, field)
    return msgspec.structs.replace(value, **changes)


def is_public(value: object) -> bool:
    """Whether a value says nothing of anybody: an enumeration, a time, a yes or no, a harmless word, a code."""
    if isinstance(value, Enum | bool | date | datetime):
        return True
    text = str(value)
    return all(word in HARMLESS for word in re.findall(r"\w+", text)) or bool(
        re.fullmatch(r"-?\d{1,3}(\.\d{1,3})?", text)
    )


def private_words(*values: Structure) -> set[str]:
    """All words, numbers and UUIDs of four or more characters in everything that is not public."""
    return {
        word.lower()
        for value in values
        for _, leaf in leaves(value)
        if not is_public(leaf)
        for word in WORD.findall(str(leaf))
        if len(word) >= 4
    }


def public_text(file: str, *values: Structure) -> str:
    """What may be in a file whatever was private: names of elements and attributes, keys, times, public values."""
    tags = re.sub(r">[^<>]*<", "><", file)
    tags = re.sub(r'(kind|idType|idAuthority|objectType)="[^"]*"', r"\1", tags)
    kept = [str(leaf) for value in values for _, leaf in leaves(value) if is_public(leaf)]
    times = re.findall(r"\d{4}-\d\d-\d\d(?:T[\d:.]+(?:Z|[+-]\d\d:\d\d))?", file)
    return "\n".join([re.sub(r"gave = .*", "gave", tags), *kept, *times]).lower()


def recorded(*said: Structure) -> str:
    """The file that is made of messages."""
    spoken = [each for each in said if isinstance(each, RequestMessage | EventMessage | ResponseMessage)]
    listed = [Recorded(at=NOON + timedelta(seconds=number), message=each) for number, each in enumerate(spoken)]
    return build_scenario(listed, Replacer(KEY), about="a test")


@settings(max_examples=60, deadline=None)
@given(
    noun=st.sampled_from(Noun), verbs=st.lists(st.sampled_from(VERBS), min_size=1, max_size=3),
    seed=st.integers(0, 500), secrets=SECRETS, picks=st.randoms(use_true_random=False),
)  # fmt: skip
def test_nothing_of_anybody_is_left_anywhere(
    noun: Noun,
    verbs: list[Verb],
    seed: int,
    secrets: list[str],
    picks: Random,
) -> None:
    """Secrets stand in any member, also where a code is expected, and amid other words; the whole file is searched."""

    def hide(member: str, text: str) -> str:
        secret = picks.choice(secrets)
        return (text, secret, f"{text} {secret}, {picks.choice(secrets)}.")[picks.randrange(3)]

    said = [with_texts(build_message(noun, verb, seed=seed), hide) for verb in verbs]
    file = recorded(*said)
    allowed = public_text(file, *said)
    left = {word for word in private_words(*said) if word in file.lower() and word not in allowed}
    assert not left
    for text in secrets:
        assert text not in file or text.lower() in allowed


@settings(max_examples=60, deadline=None)
@given(noun=st.sampled_from(Noun), seed=st.integers(0, 500))
def test_what_is_replaced_is_as_valid_as_before_and_refers_to_the_same(noun: Noun, seed: int) -> None:
    """Equal things stay equal, different ones different; the schemas find nothing."""
    said = [build_message(noun, verb, seed=seed) for verb in VERBS]
    scenario = parse_scenario(recorded(*said))
    texts = {step.name: step.message for step in scenario.steps if step.message}
    played = [parse_message(texts[step.again or step.name].strip().encode()) for step in scenario.steps]
    assert len(played) == len(said)
    for message in played:
        found = judge(render_message(message), Catalog()).findings
        assert not [one.describe() for one in found if one.code.startswith(("SCH", "COD", "ENV", "XML", "CNV"))]
    there: dict[object, object] = {}
    back: dict[object, object] = {}
    for old, new in zip(said, played, strict=True):
        pairs = zip(leaves(old), leaves(new), strict=True)
        for (member, before), (_, after) in pairs:
            if isinstance(before, str) and not isinstance(before, Enum) and re.fullmatch(r"[\w-]{4,}", before):
                assert there.setdefault(before, after) == after, member
                assert back.setdefault(after, before) == before, member


@settings(max_examples=200, deadline=None)
@given(messages())
def test_whatever_a_message_holds_can_be_replaced(message: Structure) -> None:
    """And written and read again; elements that the model does not know are gone."""
    replacer = Replacer(KEY)
    replacer.learn(message)
    new = replacer.replace(message)
    assert not [member for member, _ in leaves(new) if member == "extension"]
    assert parse_message(render_message(new)) == parse_message(render_message(parse_message(render_message(new))))  # type: ignore[arg-type]


def test_a_person_is_the_same_person_throughout() -> None:
    """In names, in the middle of a comment, in capitals; who compares two messages sees that it is one."""
    replacer = Replacer(KEY)
    texts = ("Smith", "mrs SMITH called, smith's dog bites", "TT-10023345", "ticket 10023345")
    for text in texts:
        replacer.learn_text(text)
    name, comment, ticket, about = (replacer.replace_text(text) for text in texts)
    assert name.upper() in comment
    assert f"{name.lower()}'" in comment
    assert ticket.partition("-")[2] == about.partition(" ")[2]
    assert re.fullmatch(r"[a-z]+ [A-Z]+ [a-z]+, [a-z]+'[a-z]+ [a-z]+ [a-z]+", comment)
    assert len(ticket.partition("-")[2]) == 8


def test_the_key_says_what_stands_for_what() -> None:
    """The same key the same, another key something else; none that could be guessed."""
    assert Replacer(KEY).replace_text("Smith") == Replacer(KEY).replace_text("Smith")
    assert Replacer(KEY).replace_text("Smith") != Replacer(KEY[::-1]).replace_text("Smith")
    with pytest.raises(ValueError, match="too short"):
        Replacer(b"short")


def test_short_numbers_do_not_run_out() -> None:
    """A thousand houses have a thousand numbers afterwards, and none has one that another had."""
    replacer = Replacer(KEY)
    numbers = [str(number) for number in range(1000)]
    for number in numbers:
        replacer.learn_text(number)
    others = {replacer.replace_text(number) for number in numbers}
    assert len(others) == 1000
    assert not others & set(numbers)
    assert replacer.count == 1000


def test_what_the_user_keeps_is_kept() -> None:
    """Codes of the utility's own are harmless, and only the utility knows that."""
    message = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE)
    assert isinstance(message, RequestMessage)
    codes = [leaf for member, leaf in leaves(message) if member == "TroubleTicket.troubleCode"]
    for kept, there in (((), 0), (("TroubleTicket.troubleCode",), len(codes))):
        replacer = Replacer(KEY, kept=kept)
        replacer.learn(message)
        text = render_message(replacer.replace(message)).decode()  # type: ignore[arg-type]
        assert text.count(f">{codes[0]}<") == there


def test_numbers_about_people_go_and_numbers_about_things_stay() -> None:
    """What somebody owes is nobody's business."""
    account = next(each.kind for each in elements_of(_customer_agreement()) if each.kind.__name__ == "CustomerAccount")
    replacer = Replacer(KEY)
    bill = account(last_bill_amount=Decimal("123.45"))
    replacer.learn(bill)
    assert replacer.replace(bill) != bill
    never = account(last_bill_amount=Decimal("NaN"))
    assert replacer.replace(never) == account(last_bill_amount=Decimal(0))


def _customer_agreement() -> type[Structure]:
    entry = NOUNS[Noun.CUSTOMER_AGREEMENTS]
    return next(each.kind for each in elements_of(entry.payload) if each.field == entry.item)
