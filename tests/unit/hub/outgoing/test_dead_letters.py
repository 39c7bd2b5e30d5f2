"""Sending dead letters again and discarding them: all of it or nothing of each, with its count and its row."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from cimcare.exchange.audit import Action, AuditRow
from cimcare.exchange.log import Outcome
from cimcare.exchange.outbox import DeliverySelection, DeliveryState
from cimcare.exchange.partners import Partner
from cimcare.exchange.store import Store
from cimcare.exchange.subscriptions import Filter, Subscription
from cimcare.hub.operation.balance import balances
from cimcare.hub.outgoing import dead_letters
from cimcare.hub.outgoing.dead_letters import (
    DeadFilter,
    DeadLetters,
    choose,
    choose_numbers,
    codes_of,
    each_dead,
    explain,
    is_code,
)
from cimcare.hub.outgoing.exchanged import find_exchanged
from cimcare.hub.outgoing.reasons import LONGEST_REASON, ReasonError, require_reason
from cimcare.model.envelope import Result
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from cimcare.store.opening import open_store
from tests.support.dead_letters import FAILED, Steering, bury_again, deliver, put, put_dead
from tests.support.sender import ScriptedSender, replied
from tests.support.stored import NOON
from tests.unit.hub.conftest import HeldHub

NOW = NOON + timedelta(hours=5)


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    store = await open_store("memory:")
    yield store
    await store.close()


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages and transactions of a few, so that a few dead letters need several."""
    monkeypatch.setattr(dead_letters, "_PAGE", 3)
    monkeypatch.setattr(dead_letters, "_BATCH", 4)


def letters_of(store: Store, reason: str = "premises are there now") -> DeadLetters:
    return DeadLetters(store, actor="ann", reason=reason, clock=lambda: NOW)


async def states(store: Store) -> list[str]:
    return [one.state.value for one in await store.reader.outbox.select(DeliverySelection(limit=1000))]


async def acts(store: Store) -> list[AuditRow]:
    """Rows of the trail that tell of what operators did."""
    return [row for row in await store.reader.audit.rows() if row.action is not Action.MESSAGES]


async def sums(store: Store) -> tuple[int, int, int, int, int]:
    """Received, waiting, refused, dead and missing over all hours."""
    found = await balances(store.reader, NOON, NOW)
    lines = [one.line for one in found]
    return (
        sum(line.received for line in lines),
        sum(one.waiting for one in found),
        sum(line.refused for line in lines),
        sum(line.dead for line in lines),
        sum(abs(one.missing) for one in found),
    )


async def test_sent_again_it_waits_and_the_ledger_and_the_trail_say_so(store: Store) -> None:
    """What is done by hand has to be as accountable as what the hub does by itself (G7, G10)."""
    numbers = await put_dead(store, 2)
    assert await sums(store) == (2, 0, 0, 2, 0)
    tally = await letters_of(store).resend(numbers[:1], Steering().control)
    assert (tally.chosen, tally.done, tally.skipped, tally.open, tally.last) == (1, 1, (), 1, numbers[0])
    assert await states(store) == ["waiting", "dead"]
    assert await sums(store) == (2, 1, 0, 1, 0)
    (row,) = await acts(store)
    assert (row.action, row.actor, row.at) == (Action.RESEND, "ann", NOW)
    assert (row.subject, row.details) == (f"delivery {numbers[0]} to gis", "premises are there now")
    delivery = await store.reader.outbox.find(numbers[0])
    assert delivery is not None
    assert (delivery.attempts_before, delivery.due_at, delivery.message_id[:2]) == (1, NOW, "m-")


async def test_discarded_it_is_refused_and_the_reason_is_kept(store: Store) -> None:
    """Somebody is going to ask where it went."""
    numbers = await put_dead(store, 2)
    tally = await letters_of(store, " a duplicate ").discard(numbers, Steering().control)
    assert (tally.done, tally.open) == (2, 0)
    assert await states(store) == ["discarded", "discarded"]
    assert await sums(store) == (2, 0, 2, 0, 0)
    assert [(row.action, row.details) for row in await acts(store)] == [(Action.DISCARD, "a duplicate")] * 2
    delivery = await store.reader.outbox.find(numbers[1])
    assert delivery is not None
    assert delivery.reason == "a duplicate"


@pytest.mark.parametrize("reason", ["", "  \t\n", "x" * (LONGEST_REASON + 1), "a\0b", "a\udcff"])
async def test_nothing_is_done_without_a_reason(store: Store, reason: str) -> None:
    """A trail that says who and not why is of no use a year later."""
    with pytest.raises(ReasonError, match="EXC-136"):
        letters_of(store, reason)


def test_a_reason_loses_blanks_at_its_ends() -> None:
    """It stands in brackets in lists."""
    assert require_reason("  mended, see 4711 \n") == "mended, see 4711"
    assert len(require_reason("x" * LONGEST_REASON)) == LONGEST_REASON


async def test_what_is_no_dead_letter_is_left_alone_and_named(store: Store) -> None:
    """A number that was mistyped must not send something twice."""
    dead = await put_dead(store, 1)
    waiting = await put(store, "w")
    gone = await put(store, "g")
    await deliver(store, gone)
    letters = letters_of(store)
    tally = await letters.resend([gone, *dead, waiting, 999, *dead], Steering().control)
    assert (tally.chosen, tally.done, tally.skipped) == (4, 1, (waiting, gone, 999))
    assert len(await acts(store)) == 1
    found = [finding.describe() for finding in await explain(store.reader.outbox, tally.skipped)]
    assert [text.split(";")[0] for text in found] == [
        f"delivery {waiting}: EXC-135 it is waiting for its next attempt",
        f"delivery {gone}: EXC-135 it is delivered",
        "delivery 999: EXC-135 there is no such delivery",
    ]
    assert (await letters.discard([waiting], Steering().control)).done == 0
    assert await states(store) == ["waiting", "waiting", "delivered"]


async def test_every_state_that_is_no_dead_letter_has_its_words(store: Store) -> None:
    """Whoever is told no wants to know why."""
    one, other, third = await put_dead(store, 3)
    await letters_of(store).discard([one], Steering().control)
    await letters_of(store).resend([other], Steering().control)
    async with store.transaction() as transaction:
        (leased,) = await transaction.outbox.claim("gis", now=NOW, until=NOW, limit=1)
    told = [finding.found for finding in await explain(store.reader.outbox, [one, other, third])]
    assert told == [
        "it is discarded",
        "it is being sent",
        "it is a dead letter since, and was none when it was its turn",
    ]
    async with store.transaction() as transaction:
        assert await transaction.outbox.wait_for_reply(other, leased.attempts, until=NOW)
    assert "reply is awaited" in (await explain(store.reader.outbox, [other]))[0].found


async def test_many_are_done_in_small_transactions_and_told(store: Store) -> None:
    """A hub that takes messages meanwhile must not wait for ten thousand of them."""
    numbers = await put_dead(store, 10)
    steering = Steering()
    tally = await letters_of(store).resend(numbers, steering.control)
    assert [report.done for report in steering.reports] == [4, 8, 10]
    assert steering.reports[-1] == tally
    assert steering.pauses == []
    assert len(await acts(store)) == 10


@pytest.mark.parametrize(("reports", "done"), [(0, 0), (1, 4), (2, 8)])
async def test_halted_anywhere_nothing_is_half_done(store: Store, reports: int, done: int) -> None:
    """Ctrl-C in the middle: what is done is done with count and row, what is not is as it was."""
    numbers = await put_dead(store, 10)
    steering = Steering(halt_after=reports)
    tally = await letters_of(store).resend(numbers, steering.control)
    assert tally.is_halted
    assert (tally.done, tally.last) == (done, numbers[done - 1] if done else None)
    assert await states(store) == ["waiting"] * done + ["dead"] * (10 - done)
    assert len(await acts(store)) == done
    assert await sums(store) == (10, done, 0, 10 - done, 0)
    rest = await choose(store.reader.outbox, DeadFilter(partner="gis", after=tally.last))
    assert list(rest.numbers) == numbers[done:]
    assert (await letters_of(store).resend(rest.numbers, Steering().control)).done == 10 - done
    assert await sums(store) == (10, 10, 0, 0, 0)


async def test_a_transaction_that_fails_does_nothing_of_it(store: Store) -> None:
    """A second Ctrl-C, or a disk that is full, in the middle of a transaction."""
    numbers = await put_dead(store, 6)

    def clock() -> datetime:
        moments.append(NOW)
        if len(moments) == 6:
            raise KeyboardInterrupt
        return NOW

    moments: list[datetime] = []
    with pytest.raises(KeyboardInterrupt):
        await DeadLetters(store, actor="ann", reason="again", clock=clock).resend(numbers, Steering().control)
    assert await states(store) == ["waiting"] * 4 + ["dead"] * 2
    assert len(await acts(store)) == 4
    assert await sums(store) == (6, 4, 0, 2, 0)


@pytest.mark.parametrize(
    ("rate", "sizes", "pauses"),
    [(2.0, [2, 4, 5], [1.0, 1.0]), (0.5, [1, 2, 3, 4, 5], [2.0] * 4), (100.0, [4, 5], [0.04])],
)
async def test_the_rate_is_a_bound(store: Store, rate: float, sizes: list[int], pauses: list[float]) -> None:
    """A partner that has just come back is not to be buried under what it missed."""
    steering = Steering()
    await letters_of(store).resend(await put_dead(store, 5), steering.control, rate=rate)
    assert [report.done for report in steering.reports] == sizes
    assert steering.pauses == pauses


async def test_progress_tells_what_became_of_those_that_were_sent_again(store: Store) -> None:
    """If the first hundred die again, whoever watches halts before the other ten thousand."""
    numbers = await put_dead(store, 9)
    seen = 0

    async def meanwhile() -> None:
        nonlocal seen
        seen += 1
        if seen == 1:
            await deliver(store, numbers[0])
            await bury_again(store, numbers[1])
            await bury_again(store, numbers[2])
            await letters_of(store).discard([numbers[2]], Steering().control)

    steering = Steering(meanwhile=meanwhile)
    tally = await letters_of(store).resend(numbers, steering.control, rate=4)
    counts = [(one.done, one.delivered, one.died, one.other, one.open) for one in steering.reports]
    assert counts == [(4, 0, 0, 0, 4), (8, 1, 1, 1, 5), (9, 1, 1, 1, 6)]
    assert tally.open == 6


async def test_what_dies_again_is_not_sent_again_by_the_same_run(store: Store) -> None:
    """Else a run would go round for ever."""
    numbers = await put_dead(store, 6)

    async def meanwhile() -> None:
        if (await states(store))[0] == "waiting":
            await bury_again(store, numbers[0])

    await letters_of(store).resend(numbers, Steering(meanwhile=meanwhile).control, rate=4)
    assert await states(store) == ["dead"] + ["waiting"] * 5


async def test_watching_waits_until_all_have_ended(store: Store) -> None:
    """Then the mend is known to be one."""
    numbers = await put_dead(store, 3)
    left = list(numbers)

    async def meanwhile() -> None:
        number = left.pop()
        await (bury_again(store, number) if number == numbers[1] else deliver(store, number))

    steering = Steering(meanwhile=meanwhile)
    letters = letters_of(store)
    await letters.resend(numbers, steering.control)
    tally = await letters.watch(steering.control)
    assert (tally.delivered, tally.died, tally.open, tally.is_halted) == (2, 1, 0, False)
    assert len(steering.pauses) == 3


async def test_watching_ends_when_it_is_halted(store: Store) -> None:
    """What was sent again goes on by itself."""
    letters = letters_of(store)
    await letters.resend(await put_dead(store, 1), Steering().control)
    for halt_after in (1, 2):
        tally = await letters.watch(Steering(halt_after=halt_after).control)
        assert (tally.is_halted, tally.open) == (True, 1)


async def test_a_halt_during_a_pause_is_a_halt(store: Store) -> None:
    """The pause ends early, and nothing is begun behind it."""
    halted = False

    async def pause(_: float) -> None:
        nonlocal halted
        halted = True

    control = dead_letters.Control(is_halted=lambda: halted, pause=pause, report=lambda _: None)
    letters = letters_of(store)
    tally = await letters.resend(await put_dead(store, 3), control, rate=1)
    assert (tally.done, tally.is_halted) == (1, True)
    halted = False
    assert (await letters.watch(control)).is_halted


async def test_chosen_by_each_of_the_filters(store: Store) -> None:
    """Many at once means: exactly those that one meant."""
    gis = await put_dead(store, 4)
    slow = await put_dead(store, 2, reason="given up after 9 attempts: NET-109 no answer in 30.0 s")
    crm = await put_dead(store, 1, partner="crm", verb="closed", noun="Incidents")
    await put(store, "waits")
    for wanted, expected in (
        (DeadFilter(), gis + slow + crm),
        (DeadFilter(partner="gis"), gis + slow),
        (DeadFilter(noun="Incidents"), crm),
        (DeadFilter(verb="closed"), crm),
        (DeadFilter(code="2.15"), gis + crm),
        (DeadFilter(code="2.1"), []),
        (DeadFilter(code="NET-109"), slow),
        (DeadFilter(after=gis[1]), gis[2:] + slow + crm),
        (DeadFilter(since=NOON + timedelta(minutes=gis[3])), gis[3:] + slow + crm),
        (DeadFilter(before=NOON + timedelta(minutes=gis[3])), gis),
    ):
        chosen = await choose(store.reader.outbox, wanted)
        assert (wanted, list(chosen.numbers)) == (wanted, expected)
        assert [one.number async for one in each_dead(store.reader.outbox, wanted)] == expected
        assert sum(group.count for group in chosen.groups) == len(expected)


async def test_a_preview_names_groups_the_largest_first(store: Store) -> None:
    """Ten thousand lines are no preview."""
    await put_dead(store, 1, partner="crm", reason="something else")
    gis = await put_dead(store, 3)
    groups = (await choose(store.reader.outbox, DeadFilter())).groups
    assert [(one.partner, one.code, one.count, one.reason) for one in groups] == [
        ("gis", "2.15", 3, FAILED),
        ("crm", "", 1, "something else"),
    ]
    assert (groups[0].first, groups[0].last) == (gis[0], gis[-1])
    waiting = await put(store, "w")
    by_number = await choose_numbers(store.reader.outbox, [gis[2], waiting, gis[0], gis[0], 999])
    assert by_number.numbers == (gis[0], gis[2])


@pytest.mark.parametrize(
    ("reason", "codes"),
    [
        ("FAILED: 2.15 no such premises; 2.1 no such verb", ("2.15", "2.1")),
        ("given up after 5 attempts: NET-105 connect to 10.0.0.1:80", ("NET-105",)),
        ("FAILED: 5.1.", ("5.1",)),
        ("HTTP/1.1 is spoken, v2.4, and 112.15", ()),
        ("", ()),
    ],
)
def test_codes_are_read_off_a_reason(reason: str, codes: tuple[str, ...]) -> None:
    """The reason is for people; the code in it is what many have in common."""
    assert codes_of(reason) == codes
    assert all(is_code(code) for code in codes)
    assert not is_code("2.15 ")


async def test_the_state_of_each_is_written_whole(store: Store) -> None:
    """Sent again, delivered: counted once as delivered and not as dead (G7)."""
    (number,) = await put_dead(store, 1)
    await letters_of(store).resend([number], Steering().control)
    await deliver(store, number)
    found = await store.reader.outbox.find(number)
    assert found is not None
    assert (found.state, found.attempts) == (DeliveryState.DELIVERED, 2)
    assert await sums(store) == (1, 0, 0, 0, 0)


async def test_a_running_hub_delivers_what_was_sent_again(tmp_path: Path) -> None:
    """By another process, which can wake no courier: they look by themselves."""
    hub = HeldHub()
    sender = ScriptedSender()
    sender.answers["gis"] = [replied(Result.FAILED, "2.15")]
    gis = Partner(name="gis", url="http://gis.example/soap", source="GIS")
    subscription = Subscription(name="gis", partner="gis", filter=Filter(nouns=("TroubleTickets",)))
    more = "[delivery]\npoll_seconds = 0.05\n"
    await hub.open(tmp_path, more, sender=sender, partners=[gis], subscriptions=[subscription])
    await hub.ask(build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=2))
    async with asyncio.timeout(60):
        while await states(hub.store) != ["dead"]:
            await asyncio.sleep(0.005)
    (dead,) = await hub.store.reader.outbox.select(DeliverySelection())
    exchanged = await find_exchanged(hub.store.reader, dead)
    assert exchanged.sent is not None
    assert await hub.store.reader.log.find_raw(exchanged.sent.sequence) is not None
    assert exchanged.received is not None
    assert exchanged.received.outcome is Outcome.FAILED

    sender.answers["gis"] = [replied()]
    other = await open_store(f"sqlite:///{tmp_path / 'hub.db'}")
    letters = DeadLetters(other, actor="ann", reason="mended", clock=hub.clock)

    async def pause(_: float) -> None:
        await asyncio.sleep(0.005)

    control = dead_letters.Control(is_halted=lambda: False, pause=pause, report=lambda _: None)
    await letters.resend([dead.number], control)
    async with asyncio.timeout(60):
        tally = await letters.watch(control)
    assert (tally.delivered, tally.died, tally.open) == (1, 0, 0)
    first, second = sender.to("gis")
    assert first.id == second.id, "the same message, so that a partner that has it takes it for a repeat"
    await other.close()
    await hub.hub.close()
