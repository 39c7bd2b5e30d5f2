"""What follows from an attempt: delivered, awaited, tried again after a pause, or given up; and who is spared."""

import random
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cimcare.exchange.log import Transport
from cimcare.exchange.outbox import Delivery, DeliveryKind, DeliveryState
from cimcare.exchange.partners import Retry
from cimcare.exchange.sending import Circuit, Next, Sent, Verdict, judge_attempt, pause_of
from cimcare.model.envelope import Header, Reply, ReplyError, ResponseMessage, Result
from cimcare.model.verbs import Verb

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)
RETRY = Retry(
    first=timedelta(seconds=1),
    factor=2.0,
    most=timedelta(seconds=60),
    jitter=0.0,
    patience=timedelta(hours=1),
    attempts=100,
)
DELIVERY = Delivery(
    number=1,
    state=DeliveryState.LEASED,
    due_at=NOON,
    message=1,
    cause=1,
    partner="OMS",
    kind=DeliveryKind.EVENT,
    object_keys=(),
    verb="created",
    noun="TroubleTickets",
    message_id="m-1",
    created_at=NOON,
)


def an_attempt(**more: object) -> Sent:
    sent = Sent(transport=Transport.SOAP11, sent=b"<sent/>", content_type="text/xml", status=200)
    return msgspec.structs.replace(sent, **more)


def a_reply(result: Result, *errors: tuple[str, str]) -> ResponseMessage:
    return ResponseMessage(
        header=Header(verb=Verb.REPLY, noun="TroubleTickets"),
        reply=Reply(result=result, error=tuple(ReplyError(code=code, details=text or None) for code, text in errors)),
    )


def tried(times: int, *, before: int = 0) -> Delivery:
    return msgspec.structs.replace(DELIVERY, attempts=before + times, attempts_before=before)


def pause(retry: Retry, delivery: Delivery, *, now: datetime = NOON, **more: timedelta) -> timedelta | None:
    return pause_of(retry, delivery, now=now, chance=random.Random(1), **more)


# ---------------------------------------------------------------------------------------------------------- judging


@pytest.mark.parametrize("awaits", [False, True])
@pytest.mark.parametrize(
    "reply", [None, a_reply(Result.OK, ("0.0", "")), a_reply(Result.OK, ("0.3", "")), a_reply(Result.PARTIAL)]
)
def test_who_takes_it_has_it(reply: ResponseMessage | None, awaits: bool) -> None:
    """An empty acknowledgement is as good as a reply; PARTIAL was taken too. A request may still want its reply."""
    assert judge_attempt(an_attempt(reply=reply), awaits_reply=awaits) == Verdict(
        next=Next.AWAIT if awaits else Next.DELIVERED
    )


@pytest.mark.parametrize("code", ["3.2", "4.1", "4.7", "5.1", "5.2", "5.3", "7.1"])
def test_a_refusal_for_now_is_tried_again(code: str) -> None:
    """Busy today is not busy tomorrow."""
    verdict = judge_attempt(an_attempt(reply=a_reply(Result.FAILED, (code, "later"))), awaits_reply=True)
    assert verdict == Verdict(next=Next.RETRY, reason=f"FAILED: {code} later")


@pytest.mark.parametrize("code", ["1.8", "2.15", "2.5", "3.1", "5.8", "5.9", "5.10", "5.11", "6.1", "7.5", "HAND-005"])
def test_a_refusal_that_is_meant_is_final(code: str) -> None:
    """The same bytes would be refused for ever; 5.10 is not 5.1."""
    verdict = judge_attempt(an_attempt(reply=a_reply(Result.FAILED, (code, ""))), awaits_reply=False)
    assert verdict == Verdict(next=Next.BURY, reason=f"FAILED: {code}")


def test_one_meant_refusal_among_others_is_final() -> None:
    """What is wrong for good stays wrong, even if the partner was busy besides; the reason names both."""
    reply = a_reply(Result.FAILED, ("5.1", "busy"), ("2.15", "no such ticket"))
    verdict = judge_attempt(an_attempt(reply=reply), awaits_reply=False)
    assert verdict == Verdict(next=Next.BURY, reason="FAILED: 5.1 busy; 2.15 no such ticket")


def test_a_refusal_without_code_is_final() -> None:
    """It says no more than that it does not want it."""
    verdict = judge_attempt(an_attempt(reply=a_reply(Result.FAILED)), awaits_reply=False)
    assert verdict == Verdict(next=Next.BURY, reason="FAILED: no code")


@pytest.mark.parametrize("status", [0, 200, 301, 401, 403, 404, 405, 408, 429, 500, 502, 503, 504])
def test_silence_and_a_wrong_address_are_tried_again(status: int) -> None:
    """A server that is being renewed says 404 for a minute; an operator who mends a password finds nothing lost."""
    verdict = judge_attempt(an_attempt(status=status, failure="no"), awaits_reply=False)
    assert verdict == Verdict(next=Next.RETRY, reason="no")


@pytest.mark.parametrize("status", [410, 413, 414, 415, 422, 431])
def test_statuses_about_the_message_are_final(status: int) -> None:
    """A message that is too large does not shrink; and who says that he is gone is believed."""
    assert judge_attempt(an_attempt(status=status, failure="no"), awaits_reply=False).next is Next.BURY


def test_who_blames_the_message_is_not_asked_again() -> None:
    """A fault of the client is one of ours."""
    sent = an_attempt(status=500, failure="fault soap:Client", blames_us=True)
    assert judge_attempt(sent, awaits_reply=True) == Verdict(next=Next.BURY, reason="fault soap:Client")


# ----------------------------------------------------------------------------------------------------------- pauses


def test_pauses_grow_up_to_the_longest() -> None:
    """Twice as long each time, and no longer than agreed."""
    pauses = [pause(RETRY, tried(times)) for times in range(1, 9)]
    assert pauses == [timedelta(seconds=seconds) for seconds in (1, 2, 4, 8, 16, 32, 60, 60)]


def test_the_first_attempt_need_not_have_been_counted() -> None:
    """Who asks before any attempt gets the first pause."""
    assert pause(RETRY, tried(0)) == timedelta(seconds=1)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"factor": 1.0}, timedelta(seconds=1)),
        ({"factor": 0.5}, timedelta(seconds=1)),
        ({"first": timedelta()}, timedelta()),
        ({"first": timedelta(minutes=5)}, timedelta(minutes=1)),
        ({"most": timedelta()}, timedelta()),
        ({"factor": 1e300}, timedelta(minutes=1)),
    ],
    ids=["even", "shrinking", "none", "above the longest", "longest is none", "huge factor"],
)
def test_odd_settings_give_a_pause_all_the_same(changes: dict[str, object], expected: timedelta) -> None:
    """Whatever is configured, a courier must not stumble over arithmetic."""
    assert pause(msgspec.structs.replace(RETRY, **changes), tried(7)) == expected


def test_thousands_of_attempts_do_not_overflow() -> None:
    """Two to the power of some thousand is no number any more."""
    patient = msgspec.structs.replace(RETRY, attempts=10**6, patience=timedelta(days=100_000))
    assert pause(patient, tried(100_000)) == timedelta(minutes=1)


def test_jitter_shortens_by_up_to_its_part() -> None:
    """Partners that come back are not met by everybody in the same second; the same chance gives the same pause."""
    jittery = msgspec.structs.replace(RETRY, jitter=0.5)
    chance = random.Random(7)
    pauses = [pause_of(jittery, tried(4), now=NOON, chance=chance) for _ in range(200)]
    assert len(set(pauses)) == 200
    assert all(each is not None and timedelta(seconds=4) < each <= timedelta(seconds=8) for each in pauses)
    assert pause(jittery, tried(4)) == pause(jittery, tried(4))


@pytest.mark.parametrize(("wanted", "expected"), [(0, 4), (2, 4), (20, 20), (60, 60), (10**6, 60)], ids=str)
def test_a_partner_is_left_alone_as_long_as_it_asks(wanted: int, expected: int) -> None:
    """Retry-After is kept, but nobody puts us off for ever."""
    assert pause(RETRY, tried(3), at_least=timedelta(seconds=wanted)) == timedelta(seconds=expected)


def test_given_up_after_the_last_attempt() -> None:
    """Bounded by number."""
    assert pause(RETRY, tried(99)) is not None
    assert pause(RETRY, tried(100)) is None


def test_given_up_when_patience_is_at_its_end() -> None:
    """Bounded by age, counted from when it was put in."""
    assert pause(RETRY, tried(3), now=NOON + timedelta(minutes=59)) is not None
    assert pause(RETRY, tried(3), now=NOON + timedelta(hours=1)) is None


def test_a_long_pause_does_not_end_patience() -> None:
    """A partner that is asked every ten minutes for five of patience still gets all five."""
    slow = msgspec.structs.replace(RETRY, most=timedelta(minutes=10), patience=timedelta(minutes=5))
    assert pause(slow, tried(2), now=NOON + timedelta(minutes=4)) is not None
    assert pause(slow, tried(2), now=NOON + timedelta(minutes=5)) is None


def test_sent_again_by_hand_it_has_its_attempts_anew() -> None:
    """Old as it is, an operator wants it tried; and not once only, nor for ever."""
    late = NOON + timedelta(days=30)
    assert pause(RETRY, tried(1, before=100), now=late) == timedelta(seconds=1)
    often = msgspec.structs.replace(RETRY, attempts=1000)
    assert pause(often, tried(119, before=100), now=late) == timedelta(minutes=1)
    assert pause(often, tried(120, before=100), now=late) is None
    assert pause(RETRY, tried(100, before=100), now=late) is None


@given(
    first=st.timedeltas(min_value=timedelta(), max_value=timedelta(days=400)),
    most=st.timedeltas(min_value=timedelta(), max_value=timedelta(days=400)),
    factor=st.floats(min_value=0, max_value=1e308),
    jitter=st.floats(min_value=0, max_value=1),
    times=st.integers(min_value=0, max_value=10**6),
    seed=st.integers(),
)
def test_every_pause_is_within_its_bounds(
    first: timedelta, most: timedelta, factor: float, jitter: float, times: int, seed: int
) -> None:
    """Whatever the numbers are."""
    retry = Retry(first=first, factor=factor, most=most, jitter=jitter, patience=timedelta(days=10**6), attempts=10**7)
    found = pause_of(retry, tried(times), now=NOON, chance=random.Random(seed))
    assert found is None or timedelta() <= found <= most


# ---------------------------------------------------------------------------------------------------------- circuit


def noted(circuit: Circuit, times: int, *, is_reached: bool = False, now: datetime = NOON, **more: timedelta) -> None:
    for number in range(times):
        circuit.note(is_reached=is_reached, reason=f"no {number}", now=now, chance=random.Random(1), **more)


def test_a_few_failures_open_nothing() -> None:
    """A line may be noisy."""
    circuit = Circuit(RETRY, opens_after=3)
    noted(circuit, 2)
    assert not circuit.is_open
    assert circuit.allows(4, now=NOON) == 4


def test_silence_opens_it_and_one_probe_at_a_time_goes_through() -> None:
    """A dead partner costs one attempt now and then, not a place for each message that waits for it."""
    circuit = Circuit(RETRY, opens_after=3)
    noted(circuit, 3)
    assert circuit.is_open
    assert circuit.reason == "no 2"
    assert circuit.allows(4, now=NOON) == 0
    then = NOON + timedelta(seconds=1)
    assert circuit.allows(4, now=then) == 1
    assert circuit.allows(0, now=then) == 0
    assert circuit.allows(4, now=then, under_way=1) == 0
    assert circuit.allows(4, now=then, under_way=2) == 0


def test_any_answer_closes_it() -> None:
    """Whoever refuses is there."""
    circuit = Circuit(RETRY, opens_after=3)
    noted(circuit, 5)
    noted(circuit, 1, is_reached=True)
    assert (circuit.is_open, circuit.failures, circuit.reason) == (False, 0, "")
    assert circuit.allows(4, now=NOON, under_way=3) == 4


def test_answers_in_between_keep_it_closed() -> None:
    """Only failures in a row count."""
    circuit = Circuit(RETRY, opens_after=3)
    for _ in range(5):
        noted(circuit, 2)
        noted(circuit, 1, is_reached=True)
    assert not circuit.is_open


def test_probes_become_rarer_up_to_the_longest_pause() -> None:
    """A partner that is away for a day is asked once a minute, and not once a second."""
    circuit = Circuit(RETRY, opens_after=3)
    noted(circuit, 2)
    waits = []
    for _ in range(9):
        noted(circuit, 1)
        assert circuit.next_probe_at is not None
        waits.append((circuit.next_probe_at - NOON).total_seconds())
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    noted(circuit, 5000)
    assert circuit.next_probe_at == NOON + timedelta(minutes=1)


def test_a_probe_waits_as_long_as_the_partner_asks() -> None:
    """Retry-After, within the longest pause."""
    circuit = Circuit(RETRY, opens_after=1)
    noted(circuit, 1, at_least=timedelta(seconds=30))
    assert circuit.next_probe_at == NOON + timedelta(seconds=30)
    noted(circuit, 1, at_least=timedelta(days=1))
    assert circuit.next_probe_at == NOON + timedelta(minutes=1)
