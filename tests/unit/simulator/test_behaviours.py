"""Behaviours: what is written of them is what is done."""

from pathlib import Path

import pytest

from cimcare.simulator.acts import Act, BehaviourError, Deed, parse_deed
from cimcare.simulator.behaviours import (
    SHIPPED,
    Behaviour,
    CertificateKind,
    Order,
    Unknown,
    find_behaviour,
    parse_behaviour,
    shipped_text,
)

PARTICULAR = """
about = "Busy twice with each new ticket."
order = "in turn"
unknown = "accept"

[[rules]]
verbs = ["create"]
nouns = ["TroubleTickets"]
attempts = 2
acts = { busy = 1 }

[acts]
accept = 1
"slow:0.5" = 1
"""


def drawn(behaviour: Behaviour, seed: str) -> list[Act]:
    """What is done with two attempts at each of fifty messages."""
    return [
        behaviour.chosen(seed, "A", f"m-{number}", "create", "TroubleTickets", attempt=attempt, turn=0).act
        for number in range(50)
        for attempt in (1, 2)
    ]


def test_acts_are_read_from_their_text() -> None:
    """A command line has nothing else."""
    assert parse_deed("accept") == Deed()
    assert parse_deed("refuse:6.1") == Deed(act=Act.REFUSE, code="6.1")
    assert parse_deed("fault:client") == Deed(act=Act.FAULT, blames_sender=True)
    assert parse_deed("slow:0.5") == Deed(act=Act.SLOW, seconds=0.5)
    assert parse_deed("unavailable") == Deed(act=Act.UNAVAILABLE, seconds=1)
    assert parse_deed("later") == Deed(act=Act.LATER)
    assert parse_deed("later:2:0.5:3") == Deed(act=Act.LATER, parts=2, seconds=0.5, times=3)
    assert parse_deed("out-of-order") == Deed(act=Act.OUT_OF_ORDER, parts=2)
    assert parse_deed("huge:3").megabytes == 3
    assert parse_deed("redirect:http://elsewhere/x").address == "http://elsewhere/x"


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "slow", "slow:soon", "slow:-1", "hang:5", "fault:server", "huge:0", "later:-1", "later:1:0:0"],
)
def test_what_is_no_act_is_refused(text: str) -> None:
    """A partner that does something else than one believes shows nothing."""
    with pytest.raises(BehaviourError, match=r"\S"):
        parse_deed(text)


def test_too_much_is_refused() -> None:
    """What would be left out has been meant."""
    with pytest.raises(BehaviourError, match="too much"):
        parse_deed("later:1:0:1:9")


def test_what_comes_with_the_product_can_be_used() -> None:
    """And says in a sentence what it does."""
    for name in SHIPPED:
        behaviour = find_behaviour(name)
        assert behaviour.about.endswith(".")
        assert behaviour.is_plain is (name == "good")
    hostile = find_behaviour("hostile")
    assert {deed.act for rule in hostile.rules for deed, _ in rule.deeds} == set(Act)
    assert (hostile.order, hostile.certificate) == (Order.IN_TURN, CertificateKind.EXPIRED)
    with pytest.raises(KeyError):
        shipped_text("friendly")


def test_chance_is_the_same_for_the_same_seed() -> None:
    """A run that failed can be repeated, in whatever order messages come."""
    flaky = find_behaviour("flaky")
    assert drawn(flaky, "7") == drawn(flaky, "7")
    assert drawn(flaky, "7") != drawn(flaky, "8")
    assert len(set(drawn(flaky, "7"))) >= 5


def test_acts_may_be_given_with_their_weights() -> None:
    """One does not write a file to see what a product makes of a partner that dies now and then."""
    behaviour = find_behaviour("accept=99,slow:0.5=1")
    assert behaviour.unknown is Unknown.ACCEPT
    acts = drawn(behaviour, "1")
    assert acts.count(Act.ACCEPT) > 80


def test_rules_choose_messages_and_attempts(tmp_path: Path) -> None:
    """Such as: the first two attempts of each new ticket meet a busy system, everything else takes its turn."""
    file = tmp_path / "busy.toml"
    file.write_text(PARTICULAR)
    behaviour = find_behaviour(str(file))

    def act(verb: str, noun: str = "TroubleTickets", attempt: int = 1, turn: int = 0) -> Act:
        return behaviour.chosen("", "A", "m", verb, noun, attempt=attempt, turn=turn).act

    assert [act("create", attempt=attempt) for attempt in (1, 2, 3)] == [Act.BUSY, Act.BUSY, Act.ACCEPT]
    assert act("create", "Incidents") is Act.ACCEPT
    assert [act("get", turn=turn) for turn in range(3)] == [Act.ACCEPT, Act.SLOW, Act.ACCEPT]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("about = 1\n[acts]\naccept = 1", "about"),
        ("colour = 'red'\n[acts]\naccept = 1", "colour"),
        ("[acts]", "acts is empty"),
        ("[acts]\naccept = 0", "no weight"),
        ("[acts]\nnonsense = 1", "no act"),
        ("order = 'sideways'\n[acts]\naccept = 1", "sideways"),
        ("[[rules]]\nverbs = ['make']\nacts = { busy = 1 }\n[acts]\naccept = 1", "'make' is no verb"),
        ("not toml", "="),
    ],
)
def test_a_file_that_cannot_be_used_says_why(text: str, told: str) -> None:
    """With the name of the file, since there may be several."""
    with pytest.raises(BehaviourError, match=r"^my\.toml: ") as caught:
        parse_behaviour(text, place="my.toml")
    assert told in str(caught.value)


@pytest.mark.parametrize("text", ["nobody.toml", "nonsense", "accept=much", "accept=-1", ""])
def test_an_unknown_behaviour_is_refused(text: str) -> None:
    """With the names of those that there are."""
    with pytest.raises(BehaviourError, match=r"\S"):
        find_behaviour(text)
