"""Deliveries to partners: who gets what, in which order, how often, and what becomes of what nobody takes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from cimcare.codec.envelope import render_message
from cimcare.exchange.facts import priority_of
from cimcare.exchange.ledger import Account
from cimcare.exchange.log import Direction, LogEntry, LogSelection
from cimcare.exchange.outbox import Delivery, DeliverySelection, DeliveryState, Priority
from cimcare.exchange.partners import Partner, Retry
from cimcare.exchange.patterns import Asked
from cimcare.exchange.searching import word_groups
from cimcare.exchange.store import Store, StoreError, Transaction
from cimcare.exchange.subscriptions import Filter, Subscription
from cimcare.hub.intake.telling import Teller
from cimcare.hub.outgoing import courier as courier_module
from cimcare.hub.outgoing.halting import halt, list_halts, release
from cimcare.hub.outgoing.recalling import Recalling
from cimcare.model.envelope import EventMessage, RequestMessage, ResponseMessage, Result
from cimcare.model.identity import MessageID
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from tests.support.sender import ScriptedSender, broken, fault, replied, silent
from tests.unit.hub.conftest import NOON, HeldHub

QUICK = "[delivery]\npoll_seconds = 0.05\n"
STEADY = Retry(jitter=0.0)
GIS = Partner(name="gis", url="http://gis.example/soap", source="GIS", retry=STEADY)
CRM = Partner(name="crm", url="http://crm.example/soap", source="CRM", retry=STEADY)
SUBSCRIPTIONS = (
    Subscription(name="gis", partner="gis", filter=Filter(nouns=("TroubleTickets",))),
    Subscription(name="crm", partner="crm", filter=Filter(verbs=("created",))),
)


class Delivering(HeldHub):
    """A hub with partners that a test plays."""

    def __init__(self) -> None:
        super().__init__()
        self.sender = ScriptedSender()

    async def begin(self, folder: Path, *partners: Partner) -> None:
        """Open with these partners and the subscriptions of the two."""
        given = partners or (GIS, CRM)
        await self.open(folder, QUICK, sender=self.sender, partners=given, subscriptions=SUBSCRIPTIONS)

    async def deliveries(self, **wanted: object) -> tuple[Delivery, ...]:
        selection = msgspec.structs.replace(DeliverySelection(limit=1000), **wanted)
        return await self.store.reader.outbox.select(selection)

    async def states(self, partner: str) -> list[DeliveryState]:
        return [one.state for one in await self.deliveries(partner=partner)]

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Let the couriers work until something is so."""
        async with asyncio.timeout(60):
            while True:
                if await condition():
                    return
                await asyncio.sleep(0.005)

    async def until_state(self, partner: str, *states: DeliveryState) -> None:
        async def is_so() -> bool:
            return await self.states(partner) == list(states)

        await self.until(is_so)

    async def until_failed(self, partner: str, attempts: int) -> None:
        """Let the couriers work until the first delivery of a partner has failed so often, and waits."""

        async def is_so() -> bool:
            first = (await self.deliveries(partner=partner))[0]
            return (first.state, first.attempts) == (DeliveryState.WAITING, attempts)

        await self.until(is_so)

    async def until_given(self, partner: str, count: int) -> None:
        async def is_so() -> bool:
            return len(self.sender.to(partner)) >= count

        await self.until(is_so)

    async def quiet(self) -> None:
        """Give the couriers several looks."""
        await asyncio.sleep(0.1)


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Delivering]:
    hub = Delivering()
    await hub.begin(tmp_path)
    yield hub
    await hub.hub.close()


def a_create(seed: int = 2, **changes: object) -> RequestMessage:
    message = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=seed)
    assert isinstance(message, RequestMessage)
    header = msgspec.structs.replace(message.header, source="CALLS", message_id=MessageID(f"create-{seed}"))
    return msgspec.structs.replace(message, header=msgspec.structs.replace(header, **changes))


def a_change(seed: int = 2, number: int = 1) -> RequestMessage:
    message = build_message(Noun.TROUBLE_TICKETS, Verb.CHANGE, seed=seed)
    assert isinstance(message, RequestMessage)
    header = msgspec.structs.replace(message.header, source="CALLS", message_id=MessageID(f"change-{seed}-{number}"))
    return msgspec.structs.replace(message, header=header)


async def ask_ok(hub: HeldHub, message: RequestMessage | EventMessage) -> ResponseMessage:
    answer = await hub.ask(message)
    assert isinstance(answer, ResponseMessage)
    assert answer.reply.result is Result.OK, answer
    return answer


async def test_what_was_written_here_goes_out_without_being_read_again(
    hub: Delivering, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a storm each event goes to several partners within milliseconds; and what goes out is what is kept."""
    looked: list[int] = []

    async def find_whole(sequences: Collection[int]) -> dict[int, tuple[LogEntry, bytes]]:
        looked.extend(sequences)
        return {}

    monkeypatch.setattr(hub.hub.couriers.recalling, "_log", SimpleNamespace(find_whole=find_whole))
    await ask_ok(hub, a_create())
    await hub.until_given("gis", 1)
    assert not looked
    (given,) = hub.sender.to("gis")
    delivery = (await hub.deliveries(partner="gis"))[0]
    kept = await hub.store.reader.log.find_raw(delivery.message)
    assert given.kept == kept
    assert render_message(given.message) == kept


async def test_what_was_not_committed_is_not_remembered(hub: Delivering) -> None:
    """Its number in the log goes to another message, which partners would get in place of it or the reverse."""

    class Failing:
        reader = hub.store.reader

        @asynccontextmanager
        async def transaction(self, priority: Priority = Priority.NORMAL) -> AsyncIterator[Transaction]:
            async with hub.store.transaction(priority) as transaction:
                yield transaction
                raise StoreError("the disk is full")

    whole = hub.hub.pipeline._means.store
    hub.replace(store=Failing())
    await hub.ask(a_create(seed=3))
    hub.replace(store=whole)
    await ask_ok(hub, a_create())
    await hub.until_given("gis", 1)
    assert [given.id for given in hub.sender.to("gis")] == [(await hub.deliveries(partner="gis"))[0].message_id]


async def test_each_subscriber_gets_what_it_wants_and_has_its_own_state(hub: Delivering) -> None:
    """A message for two receivers must not count as sent when one of them has it (G3)."""
    hub.sender.answers["crm"] = [silent()]
    await ask_ok(hub, a_create())
    await hub.until_state("gis", DeliveryState.DELIVERED)
    await hub.until_given("crm", 1)
    assert {given.verb for given in hub.sender.to("gis")} == {"created"}
    assert [given.message.header.noun for given in hub.sender.to("gis")] == ["TroubleTickets"]
    assert DeliveryState.DELIVERED not in await hub.states("crm")
    assert len(await hub.states("crm")) == 2, "the ticket, and the incident that was opened for it"


async def test_a_retry_is_the_same_message(hub: Delivering) -> None:
    """A new identifier with each attempt makes two tickets out of one at the far end (G3)."""
    hub.sender.answers["gis"] = [silent(), fault(), replied(Result.FAILED, "5.1"), replied()]
    await ask_ok(hub, a_create())
    for attempts in (1, 2, 3):
        await hub.until_failed("gis", attempts)
        hub.later(seconds=2**attempts)
    await hub.until_state("gis", DeliveryState.DELIVERED)
    given = hub.sender.to("gis")
    assert len(given) == 4
    assert len({one.id for one in given}) == 1
    assert len({msgspec.json.encode(one.message) for one in given}) == 1
    (delivery,) = await hub.deliveries(partner="gis")
    assert (delivery.attempts, delivery.reason) == (4, "")


async def test_pauses_grow_and_the_reason_is_kept(hub: Delivering) -> None:
    """Retries at full speed are how one sick partner makes two."""
    hub.sender.answers["gis"] = [silent("nobody there")]
    await ask_ok(hub, a_create())
    pauses = []
    for attempts in range(1, 5):
        await hub.until_failed("gis", attempts)
        (delivery,) = await hub.deliveries(partner="gis")
        assert delivery.reason == "nobody there"
        pauses.append(delivery.due_at - hub.now)
        hub.now = delivery.due_at
    assert pauses == [timedelta(seconds=seconds) for seconds in (1, 2, 4, 8)]


async def test_what_the_partner_will_never_take_is_a_dead_letter_with_reason_and_bytes(hub: Delivering) -> None:
    """An operator must see why without asking the partner (G5)."""
    hub.sender.answers["gis"] = [replied(Result.FAILED, "2.15")]
    await ask_ok(hub, a_create())
    await hub.until_state("gis", DeliveryState.DEAD)
    (dead,) = await hub.deliveries(partner="gis")
    assert dead.reason == "FAILED: 2.15 told 2.15"
    assert b"2.15" in dead.received
    out, came = await hub.log(answer_to=dead.message)
    assert (out.direction, out.partner, out.archetype, out.verb) == (Direction.OUT, "GIS", "EventMessage", "created")
    assert (came.direction, came.archetype, came.codes) == (Direction.IN, "ResponseMessage", ("2.15",))
    sent = await hub.store.reader.log.find_raw(out.sequence)
    assert sent is not None
    assert b"created" in sent


async def test_a_backlog_goes_out_as_it_is_kept_and_what_is_given_up_is_found_by_its_objects(hub: Delivering) -> None:
    """Of each only the header is read; a dead letter must be found by its ticket all the same."""
    hub.sender.answers["gis"] = [replied(Result.FAILED, "2.15")]
    async with hub.store.transaction() as transaction:
        await halt(transaction, "gis", actor="ann", reason="x", now=NOON)
    await ask_ok(hub, a_create())
    hub.hub.couriers.recalling = Recalling(hub.store.reader.log)  # that of a process which has not written it
    async with hub.store.transaction() as transaction:
        await release(transaction, "gis", actor="ann", reason="x", now=NOON)
    await hub.until_state("gis", DeliveryState.DEAD)
    (dead,) = await hub.deliveries(partner="gis")
    assert hub.sender.to("gis")[-1].kept == await hub.store.reader.log.find_raw(dead.message)
    out, _ = await hub.log(answer_to=dead.message)
    mrid = dead.object_keys[0].rpartition(" ")[2]
    found = await hub.store.reader.log.search(LogSelection(), word_groups(mrid))
    assert out in found.entries


async def test_what_an_event_says_of_danger_makes_it_urgent(hub: Delivering) -> None:
    """A harmless call may change an incident at which a wire is down, and the crew's system must hear of that first."""
    await ask_ok(hub, a_create())
    await hub.until_state("gis", DeliveryState.DELIVERED)
    event = next(
        each
        for each in (build_message(Noun.TROUBLE_TICKETS, Verb.CREATED, seed=seed) for seed in range(100))
        if isinstance(each, EventMessage) and priority_of(each) is Priority.HAZARD
    )
    async with hub.store.transaction() as transaction:
        teller = Teller(
            transaction,
            hub.hub.couriers.setup,
            Asked(noun=event.header.noun),
            cause=None,
            priority=Priority.NORMAL,
            make_context=lambda *_: pytest.fail("nobody hears it"),
            now=NOON,
            new_id=lambda: "unused",
        )
        await teller.pass_on(event, 1, cause=1)
    assert [one.priority for one in await hub.deliveries(partner="gis")] == [Priority.NORMAL, Priority.HAZARD]


async def test_nothing_is_tried_for_ever(hub: Delivering) -> None:
    """Endless retry hides a partner that is gone (G5)."""
    hub.sender.answers["gis"] = [silent("nobody there")]
    await ask_ok(hub, a_create())
    await hub.until_failed("gis", 1)
    hub.later(hours=24)
    await hub.until_state("gis", DeliveryState.DEAD)
    (dead,) = await hub.deliveries(partner="gis")
    assert dead.reason == "given up after 2 attempts: nobody there"


async def test_order_is_kept_for_an_object_and_others_go_past(hub: Delivering) -> None:
    """A change must not arrive before its ticket; another ticket must not wait for it (G4)."""
    hub.sender.answers["gis"] = [silent(), replied()]
    await ask_ok(hub, a_create(2))
    await hub.until_given("gis", 1)
    await ask_ok(hub, a_change(2))
    await ask_ok(hub, a_create(3))
    await hub.until_given("gis", 2)
    await hub.quiet()
    assert [given.verb for given in hub.sender.to("gis")] == ["created", "created"]
    hub.later(seconds=1)
    await hub.until_given("gis", 4)
    own = [given.verb for given in hub.sender.to("gis") if "00000002" in msgspec.json.encode(given.message).decode()]
    assert [given.verb for given in hub.sender.to("gis")].count("changed") == 1
    assert hub.sender.to("gis")[-1].verb == "changed", own


async def test_a_dead_letter_holds_nothing_up(hub: Delivering) -> None:
    """What follows is told all the same; the partner sees by itself that something is missing."""
    hub.sender.answers["gis"] = [replied(Result.FAILED, "2.15"), replied()]
    await ask_ok(hub, a_create(2))
    await ask_ok(hub, a_change(2))
    await hub.until_state("gis", DeliveryState.DEAD, DeliveryState.DELIVERED)


async def test_one_that_hangs_slows_no_other(hub: Delivering) -> None:
    """G11."""
    hub.sender.gates["crm"] = asyncio.Event()
    for seed in range(2, 12):
        await ask_ok(hub, a_create(seed))
    await hub.until_state("gis", *[DeliveryState.DELIVERED] * 10)
    assert len(hub.sender.to("crm")) == 4, "as many as may be under way at once"
    hub.sender.gates["crm"].set()
    await hub.until_given("crm", len(await hub.deliveries(partner="crm")))


async def test_a_silent_partner_is_probed_and_not_flooded(hub: Delivering) -> None:
    """The circuit opens after five silent attempts; then one probe at a time, until it answers."""
    hub.sender.answers["gis"] = [silent("dead")]
    for seed in range(2, 22):
        await ask_ok(hub, a_create(seed))
    await hub.until_given("gis", 5)
    await hub.quiet()
    opened = len(hub.sender.to("gis"))
    assert opened <= 8, "those that were under way when it opened"
    hub.later(seconds=10)  # more than the pause after eight, less than those after two probes more
    await hub.until_given("gis", opened + 1)
    await hub.quiet()
    assert len(hub.sender.to("gis")) == opened + 1
    hub.sender.answers["gis"] = [replied()]
    hub.later(minutes=10)
    await hub.until_state("gis", *[DeliveryState.DELIVERED] * 20)


async def test_a_halted_partner_gets_nothing_until_it_is_released(hub: Delivering) -> None:
    """For a partner's maintenance window; nothing is lost and nobody else notices."""
    async with hub.store.transaction() as transaction:
        assert await halt(transaction, "gis", actor="ann", reason="upgrade", now=NOON)
        assert not await halt(transaction, "gis", actor="bob", reason="again", now=NOON)
    await ask_ok(hub, a_create())
    await hub.until_given("crm", 2)
    await hub.quiet()
    assert hub.sender.to("gis") == []
    assert [one.reason for one in (await list_halts(hub.store.reader.records)).values()] == ["upgrade"]
    async with hub.store.transaction() as transaction:
        assert await release(transaction, "gis", actor="ann", reason="done", now=NOON)
        assert not await release(transaction, "gis", actor="ann", reason="done", now=NOON)
    await hub.until_state("gis", DeliveryState.DELIVERED)
    told = [(row.action.value, row.actor, row.subject, row.details) for row in await hub.store.reader.audit.rows()]
    assert ("halt", "ann", "gis", "upgrade") in told
    assert ("release", "ann", "gis", "done") in told


def an_event(**header: object) -> EventMessage:
    event = build_message(Noun.TROUBLE_TICKETS, Verb.CREATED, seed=5)
    assert isinstance(event, EventMessage)
    return msgspec.structs.replace(event, header=msgspec.structs.replace(event.header, **header))


async def test_a_partners_event_goes_to_others_and_not_back(hub: Delivering) -> None:
    """Two systems that tell each other everything must not do so for ever; and what followed comes behind it."""
    await ask_ok(hub, an_event(source="CRM", message_id=MessageID("from-crm")))
    await hub.until_state("gis", DeliveryState.DELIVERED, DeliveryState.DELIVERED)
    first, second = hub.sender.to("gis")
    assert (first.id, first.verb, first.message.header.source) == ("from-crm", "created", "CRM")
    assert (second.verb, second.message.header.source) == ("changed", "OMS")
    assert all(given.message.header.source == "OMS" for given in hub.sender.to("crm"))


async def test_an_event_without_identifier_gets_one_that_stays(hub: Delivering) -> None:
    """Else the subscriber could not tell a retry from news."""
    hub.sender.answers["gis"] = [silent(), replied()]
    await ask_ok(hub, an_event(source="CRM", message_id=None))
    await hub.until_failed("gis", 1)
    hub.later(seconds=1)
    await hub.until_state("gis", DeliveryState.DELIVERED, DeliveryState.DELIVERED)
    first, second, _ = hub.sender.to("gis")
    assert first.id == second.id != ""


async def test_our_own_event_that_comes_back_has_no_effect(hub: Delivering) -> None:
    """A partner that sends round what it got must not set off another round."""
    await ask_ok(hub, a_create())
    await hub.until_state("gis", DeliveryState.DELIVERED)
    (given,) = hub.sender.to("gis")
    before = len(await hub.deliveries())
    answer = await hub.ask(given.message)
    assert isinstance(answer, ResponseMessage)
    assert answer.reply.result is Result.OK
    assert any("EXC-118" in (error.details or "") for error in answer.reply.error)
    assert len(await hub.deliveries()) == before


async def test_what_cannot_be_sent_is_buried_and_the_next_one_goes(hub: Delivering) -> None:
    """An error of the program in one delivery must not end the courier."""
    hub.sender.answers["gis"] = [broken, replied()]
    await ask_ok(hub, a_create(2))
    await ask_ok(hub, a_create(3))
    await hub.until_state("gis", DeliveryState.DEAD, DeliveryState.DELIVERED)
    (dead,) = await hub.deliveries(states=(DeliveryState.DEAD,))
    assert dead.reason == "EXC-109: an error inside the hub while it delivered (LookupError)"
    assert any(line.get("code") == "EXC-109" for line in hub.logged)


async def test_a_message_that_left_the_log_cannot_be_delivered_and_says_so(hub: Delivering) -> None:
    """It never should; if somebody tampers with the database, an operator hears of it."""
    async with hub.store.transaction() as transaction:
        await halt(transaction, "gis", actor="ann", reason="x", now=NOON)
    await ask_ok(hub, a_create())
    (delivery,) = await hub.deliveries(partner="gis")
    async with hub.store.transaction() as transaction:
        await transaction.log.remove([delivery.message])
        await release(transaction, "gis", actor="ann", reason="x", now=NOON)
    hub.hub.couriers.recalling = Recalling(hub.store.reader.log)  # that of a process which has not written it
    await hub.until_state("gis", DeliveryState.DEAD)
    (dead,) = await hub.deliveries(partner="gis")
    assert dead.reason == f"message {delivery.message} is not in the log any more"


async def test_the_ledger_balances_whatever_happens(hub: Delivering) -> None:
    """G7: what was put in is delivered, dead, or waits."""
    hub.sender.answers["gis"] = [replied(), replied(Result.FAILED, "2.15"), silent()]
    for seed in range(2, 8):
        await ask_ok(hub, a_create(seed))
    await hub.until_given("gis", 6)
    await hub.quiet()
    until = NOON + timedelta(hours=1)
    lines = await hub.store.reader.ledger.lines(NOON.replace(minute=0), until)
    out = {line.partner: line for line in lines if line.account is Account.OUT}
    gis = out["gis"]
    waiting = await hub.store.reader.outbox.count_open("gis", NOON.replace(minute=0), until)
    assert (gis.received, gis.delivered, gis.dead, waiting) == (6, 1, 1, 4)
    (came,) = [line for line in lines if line.account is Account.IN]
    assert (came.partner, came.received, came.delivered) == ("CALLS", 6, 6)


async def test_a_rate_is_kept(tmp_path: Path) -> None:
    """A partner that takes ten a second gets no more, and gets all of them."""
    hub = Delivering()
    await hub.begin(tmp_path, msgspec.structs.replace(GIS, rate=50.0), CRM)
    started = asyncio.get_running_loop().time()
    for seed in range(2, 8):
        await ask_ok(hub, a_create(seed))
    await hub.until_state("gis", *[DeliveryState.DELIVERED] * 6)
    assert asyncio.get_running_loop().time() - started >= 5 / 50
    await hub.hub.close()


async def test_a_hub_that_starts_goes_on_with_what_waits(tmp_path: Path) -> None:
    """Nothing depends on the memory of the process that took the message (G6)."""
    first = Delivering()
    first.sender.answers["gis"] = [silent()]
    await first.begin(tmp_path)
    await ask_ok(first, a_create())
    await first.until_failed("gis", 1)
    await first.hub.close()
    second = Delivering()
    second.now = NOON + timedelta(minutes=1)
    await second.begin(tmp_path)
    await second.until_state("gis", DeliveryState.DELIVERED)
    assert second.sender.to("gis")[0].id == first.sender.to("gis")[0].id
    await second.hub.close()


async def test_a_lease_that_ran_out_is_taken_over(tmp_path: Path) -> None:
    """What a process that was killed had in its hands is not lost with it (G6)."""
    hub = Delivering()
    await hub.begin(tmp_path)
    async with hub.store.transaction() as transaction:
        await halt(transaction, "gis", actor="x", reason="x", now=NOON)
    await ask_ok(hub, a_create())
    async with hub.store.transaction() as transaction:
        taken = await transaction.outbox.claim("gis", now=NOON, until=NOON + timedelta(seconds=15), limit=1)
        assert len(taken) == 1
        await release(transaction, "gis", actor="x", reason="x", now=NOON)
    await hub.quiet()
    assert hub.sender.to("gis") == []
    hub.later(seconds=16)
    await hub.until_state("gis", DeliveryState.DELIVERED)
    (delivery,) = await hub.deliveries(partner="gis")
    assert delivery.attempts == 2
    await hub.hub.close()


async def test_an_attempt_whose_lease_ran_out_keeps_its_place(tmp_path: Path) -> None:
    """A process that was stopped takes its own delivery again while the first attempt lasts; both count (G11)."""
    hub = Delivering()
    await hub.begin(tmp_path, msgspec.structs.replace(GIS, parallel=2), CRM)
    hub.sender.gates["gis"] = asyncio.Event()
    await ask_ok(hub, a_create())
    await hub.until_given("gis", 1)
    hub.later(seconds=16)
    await hub.until_given("gis", 2)
    await ask_ok(hub, a_create(7))
    await hub.quiet()
    assert len({one.id for one in hub.sender.to("gis")}) == 1, "both places are taken"
    hub.sender.gates["gis"].set()
    await hub.until_state("gis", DeliveryState.DELIVERED, DeliveryState.DELIVERED)
    await hub.hub.close()


async def test_attempts_are_counted_by_what_became_of_them(hub: Delivering) -> None:
    """A partner that fails one in three is a curve before it is an outage."""
    hub.sender.answers["gis"] = [silent(), replied(Result.FAILED, "2.15"), replied()]
    await ask_ok(hub, a_create(2))
    await hub.until_failed("gis", 1)
    hub.later(seconds=1)
    await hub.until_state("gis", DeliveryState.DEAD)
    await ask_ok(hub, a_create(3))
    await hub.until_state("gis", DeliveryState.DEAD, DeliveryState.DELIVERED)
    page = (await hub.get("/metrics")).body.decode()
    for outcome in ("retry", "bury", "delivered"):
        assert f'cimcare_deliveries_total{{outcome="{outcome}",partner="gis"}} 1.0' in page


class Watched:
    """A store whose transactions a test counts, delays or lets fail."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.reader = store.reader
        self.priorities: list[Priority] = []
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    @asynccontextmanager
    async def transaction(self, priority: Priority = Priority.NORMAL) -> AsyncIterator[Transaction]:
        if self.error is not None:
            raise self.error
        self.priorities.append(priority)
        async with self.store.transaction(priority) as transaction:
            yield transaction
            await self.gate.wait()


async def held_back(hub: Delivering, seeds: range, **changes: object) -> None:
    """Let deliveries for gis wait behind a halt, and then their answers behind a gate; the other gets nothing."""
    async with hub.store.transaction() as transaction:
        for name in ("gis", "crm"):
            await halt(transaction, name, actor="ann", reason="x", now=NOON)
    for seed in seeds:
        await ask_ok(hub, a_create(seed, **changes))
    hub.sender.gates["gis"] = asyncio.Event()
    async with hub.store.transaction() as transaction:
        await release(transaction, "gis", actor="ann", reason="x", now=NOON)


async def test_what_ended_together_is_written_together_with_what_begins_next(tmp_path: Path) -> None:
    """A transaction for the end of each delivery and one for each claim would halve the pace."""
    hub = Delivering()
    await hub.begin(tmp_path)
    await held_back(hub, range(2, 10))
    await hub.until_given("gis", 4)
    watched = hub.hub.couriers.store = Watched(hub.store)
    hub.sender.gates["gis"].set()
    await hub.until_state("gis", *[DeliveryState.DELIVERED] * 8)
    assert len(watched.priorities) <= 4, "eight ends and the claims of four of them"
    await hub.hub.close()


async def test_the_end_of_an_urgent_delivery_is_written_with_its_urgency(tmp_path: Path) -> None:
    """The next one of its object waits for it, and may be about the same danger."""
    hub = Delivering()
    await hub.begin(tmp_path)
    watched = hub.hub.couriers.store = Watched(hub.store)
    seed = next(seed for seed in range(2, 99) if priority_of(a_create(seed)) is Priority.HAZARD)
    await ask_ok(hub, a_create(seed))
    await hub.until_state("gis", DeliveryState.DELIVERED)
    assert Priority.HAZARD in watched.priorities
    await hub.hub.close()


async def test_what_is_delivered_while_the_hub_stops_is_written(tmp_path: Path) -> None:
    """Else every restart would send again what was just taken."""
    hub = Delivering()
    await hub.begin(tmp_path)
    await held_back(hub, range(2, 4))
    await hub.until_given("gis", 2)
    closing = asyncio.create_task(hub.hub.couriers.stop())
    await hub.quiet()
    hub.sender.gates["gis"].set()
    await closing
    assert await hub.states("gis") == [DeliveryState.DELIVERED] * 2
    await hub.hub.close()


async def test_what_cannot_be_written_while_the_hub_stops_is_sent_again_later(tmp_path: Path) -> None:
    """It stops all the same, and nothing is lost (G6)."""
    hub = Delivering()
    await hub.begin(tmp_path)
    await held_back(hub, range(2, 3))
    await hub.until_given("gis", 1)
    watched = hub.hub.couriers.store = Watched(hub.store)
    closing = asyncio.create_task(hub.hub.couriers.stop())
    await hub.quiet()
    watched.error = StoreError("the disk is full")
    hub.sender.gates["gis"].set()
    await closing
    assert await hub.states("gis") == [DeliveryState.LEASED]
    assert "the disk is full" in [line.get("reason") for line in hub.logged]
    await hub.hub.close()


async def test_a_write_that_is_cut_off_by_the_stop_is_written_again(tmp_path: Path) -> None:
    """Nobody knows whether it got to the disk; written twice it does no harm."""
    hub = Delivering()
    await hub.begin(tmp_path)
    await held_back(hub, range(2, 3))
    await hub.until_given("gis", 1)
    watched = hub.hub.couriers.store = Watched(hub.store)
    watched.gate.clear()
    hub.sender.gates["gis"].set()
    async with asyncio.timeout(20):
        while not watched.priorities:
            await asyncio.sleep(0)
    closing = asyncio.create_task(hub.hub.couriers.stop())
    await asyncio.sleep(0)
    watched.gate.set()
    await closing
    assert await hub.states("gis") == [DeliveryState.DELIVERED]
    await hub.hub.close()


@pytest.mark.parametrize("error", [StoreError("locked"), LookupError("a bug")])
async def test_a_courier_goes_on_after_trouble_with_claiming(
    tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong once, deliveries must not stand still until the next restart."""
    monkeypatch.setattr(courier_module, "_STORE_PAUSE_SECONDS", 0.01)
    hub = Delivering()
    await hub.begin(tmp_path)
    watched = hub.hub.couriers.store = Watched(hub.store)
    watched.error = error
    await ask_ok(hub, a_create())
    async with asyncio.timeout(20):
        while not hub.logged:
            await asyncio.sleep(0.005)
    watched.error = None
    await hub.until_state("gis", DeliveryState.DELIVERED)
    codes = {line["code"] for line in hub.logged}
    assert codes == {"EXC-111" if isinstance(error, StoreError) else "EXC-109"}
    assert not any("a bug" in str(line) for line in hub.logged), "texts of errors may quote content"
    await hub.hub.close()
