"""What a utility has kept after so many messages: outages, tickets and orders that are over, and customers.

A hub in memory lives through one outage with its calls, its crew, its restoration and an order of field work; what it
then has of them is copied as often as the length of the log asks for, twenty-five a day, each with identifiers, places
and numbers of its own. It is over to its end: the one customer whom no channel could tell has been called. What goes
on just now is the same however long the log is: the town of Northlake with its network and its crews, some outages,
tickets and orders that are open, and a list of people to be called that is longer than what a page shows of it.
"""

import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from cimcare.console.pages import console_pages
from cimcare.exchange.ports import Key, Selection, Stored
from cimcare.exchange.store import Reader, Store
from cimcare.hub.intake.builtin import COLLECTIONS
from cimcare.model import service_order
from cimcare.model.envelope import Header, Payload, RequestMessage, ResponseMessage, Result
from cimcare.model.identity import MRID, MessageID
from cimcare.model.nouns import Noun, PayloadRoot
from cimcare.model.verbs import Verb
from cimcare.samples.northlake import CREWS
from cimcare.systems.cis.callbacks import CALL_BACKS, LINE, CallBackAnswer, CallBackState
from cimcare.systems.cis.callers import index_premises
from cimcare.systems.cis.kinds import AGREEMENTS
from cimcare.systems.cis.notices import NOTICES
from cimcare.systems.oms.kinds import OPEN, TICKETS
from cimcare.systems.premises import ACCOUNTS, CUSTOMERS, PREMISES
from tests.support.forms import send_form
from tests.unit.console.control import call, restore
from tests.unit.hub.conftest import HeldHub

__all__ = ["Kept", "Utility", "fill_records", "live_a_day"]

_MESSAGES_OF_STORY = 400
"""Messages for each outage of twenty customers that is over, with its tickets and its order, and for each customer."""

_STORIES_OF_DAY = 25
_CALLS = 150
"""People to be called, however long the log is: work to be done, and not what is kept."""

_TOGETHER = 200
_OVER = (41, 46, 52)
"""Premises that call in the outage that is over."""

_GOING_ON = (5, 15, 66, 90, 120, 150, 180)
"""Premises with an outage of their own that is open."""

_INSPECTORS = next(one for one in CREWS if one.name == "CREW-21")

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})")
_HASH = re.compile(r"\b[0-9a-f]{8}([0-9a-f]{24})\b")
_NUMBER = re.compile(r"\b(AC|AG|C|SL|UP)-(\d{5})\b")
_ALL = 100_000

Kept = dict[str, list[Stored[msgspec.Struct]]]
"""Objects by collection."""


class Utility(msgspec.Struct, frozen=True, kw_only=True):
    """What is there now, what is over and of which day, one call to be made, and the objects of one household."""

    now: Kept
    to_call: Kept
    over: Kept
    day: str
    home: Kept
    incident: MRID
    ticket: MRID
    order: MRID
    account: str


async def live_a_day(ends_at: datetime) -> Utility:
    """Live through an outage on the day before, and through the beginning of some that are still going on."""
    held = HeldHub()
    held.now = (ends_at - timedelta(days=1)).replace(hour=12, minute=0, second=0)
    day = f"{held.now:%Y-%m-%d}"
    with tempfile.TemporaryDirectory() as folder:
        await held.open(Path(folder), seed_town=True, pages=console_pages)
        try:
            town = await _all_of(held.store.reader)
            (incident,) = {await call(held, index) for index in _OVER}
            order = await _order(held)
            held.later(minutes=40)
            await _do(held, order)
            await restore(held, incident)
            for _ in range(10):
                held.later(seconds=30)
                await held.hub.upkeep.ticking.round()
            to_call = await _list_for_a_call(held)
            await _call_back(held, to_call)
            over = _behind(town, await _all_of(held.store.reader))
            held.now = ends_at - timedelta(minutes=30)
            incidents = [await call(held, index) for index in _GOING_ON]
            orders = [await _order(held) for _ in range(10)]
            every = await _all_of(held.store.reader)
        finally:
            await held.hub.close()
    tickets = [one.mrid for one in every[TICKETS.collection.name] if one.state == OPEN]
    home = _home_of(town)
    return Utility(
        now=every,
        to_call=to_call,
        over=over,
        day=day,
        home=home,
        incident=incidents[-1],
        ticket=tickets[-1],
        order=orders[-1],
        account=home[ACCOUNTS.name][0].body.names[0].name,  # type: ignore[attr-defined]
    )


async def fill_records(store: Store, utility: Utility, messages: int) -> None:
    """Keep what a log of so many messages leads to.

    Args:
        store: An empty one.
        utility: What is there now, and what is to be copied.
        messages: How many messages the log has.
    """
    for name, kept in utility.now.items():
        await _save(store, name, kept)
    base = datetime.fromisoformat(utility.day)
    stories = messages // _MESSAGES_OF_STORY
    parts: Kept = {}
    for number in range(stories + 1, stories + _CALLS + 1):
        change = _renamed(number, utility.day, utility.day)
        for name, kept in utility.to_call.items():
            parts.setdefault(name, []).extend(_copies(kept, change, timedelta(seconds=number - stories)))
    await _keep(store, parts)
    for number in range(1, stories + 1):
        days = number // _STORIES_OF_DAY
        day = f"{base - timedelta(days=days):%Y-%m-%d}"
        change = _renamed(number, utility.day, day)
        back = timedelta(days=days) + timedelta(seconds=number % _STORIES_OF_DAY)
        for name, kept in utility.over.items():
            parts.setdefault(name, []).extend(_copies(kept, change, back))
        for name, kept in utility.home.items():
            parts.setdefault(name, []).extend(_copies(kept, change, timedelta(days=900)))
        if number % _TOGETHER == 0:
            await _keep(store, parts)
    await _keep(store, parts)


async def _keep(store: Store, parts: Kept) -> None:
    for name, kept in parts.items():
        await _save(store, name, kept)
    for first in range(0, len(parts.get(PREMISES.name, ())), _TOGETHER):
        async with store.transaction() as transaction:
            for one in parts[PREMISES.name][first : first + _TOGETHER]:
                await index_premises(transaction.records, one)  # type: ignore[arg-type]
    parts.clear()


async def _save(store: Store, name: str, kept: list[Stored[msgspec.Struct]]) -> None:
    for first in range(0, len(kept), _ALL):
        async with store.transaction() as transaction:
            await transaction.records.save_all(COLLECTIONS[name], kept[first : first + _ALL])


# ------------------------------------------------------------------------------------------------------------- copies


def _renamed(number: int, old: str, new: str) -> Callable[[str], str]:
    """What gives a text identifiers and numbers of a copy's own, and another day."""

    def change(text: str) -> str:
        text = _UUID.sub(rf"{number:08x}\1", text)
        text = _HASH.sub(rf"{number:08x}\1", text)
        return _NUMBER.sub(rf"\1-{number}x\2", text).replace(old, new)

    return change


def _copies(
    kept: Iterable[Stored[msgspec.Struct]], change: Callable[[str], str], back: timedelta
) -> Iterator[Stored[msgspec.Struct]]:
    for one in kept:
        text = change(msgspec.json.encode(one.body).decode())
        yield Stored(
            mrid=MRID(change(one.mrid)),
            body=msgspec.json.decode(text, type=type(one.body)),
            created_at=one.created_at - back,
            modified_at=one.modified_at - back,
            state=one.state,
            keys=frozenset(Key(key.sort, change(key.value)) for key in one.keys),
        )


async def _all_of(reader: Reader) -> Kept:
    return {
        name: list(found)
        for name, collection in COLLECTIONS.items()
        if (found := await reader.records.select(collection, Selection(limit=_ALL)))
    }


def _behind(before: Kept, after: Kept) -> Kept:
    """Objects that were not there before."""
    return {
        name: [one for one in kept if one.mrid not in {old.mrid for old in before.get(name, ())}]
        for name, kept in after.items()
    }


def _home_of(town: Kept) -> Kept:
    """The first household: its premises, customer, account and agreement. What finds callers is made of them."""
    customer = town[CUSTOMERS.name][0].mrid
    agreements = [one for one in town[AGREEMENTS.collection.name] if Key("customer", customer) in one.keys]
    places = [one for one in town[PREMISES.name] if Key("customer", customer) in one.keys]
    accounts = [one for one in town[ACCOUNTS.name] if Key("customer", customer) in one.keys]
    return {
        PREMISES.name: places,
        CUSTOMERS.name: [town[CUSTOMERS.name][0]],
        ACCOUNTS.name: accounts,
        AGREEMENTS.collection.name: agreements,
    }


# -------------------------------------------------------------------------------------------------------- what is said


async def _order(held: HeldHub) -> MRID:
    """An order of field work, in the next window that has room."""
    mrid = MRID(held.new_id())
    await _say(held, Verb.CREATE, service_order.ServiceOrders(work=(service_order.Work(mrid=mrid, type="inspection"),)))
    return mrid


async def _do(held: HeldHub, order: MRID) -> None:
    """A crew does it, by the buttons of its page."""
    for deed in ("dispatch", "enroute", "onSite", "complete", "close"):
        crew = {"crew": str(_INSPECTORS.mrid)} if deed == "dispatch" else {}
        answer = await send_form(held, f"/console/work/{order}", deed=deed, **crew)
        assert answer.status == 303, answer.body


async def _list_for_a_call(held: HeldHub) -> Kept:
    """Wait until a notice could go out, for which there is no channel: notice, call and its place, as they wait."""
    reader = held.store.reader
    while not (calls := await reader.records.select(CALL_BACKS, Selection(states=(CallBackState.WAITING,)))):
        held.later(minutes=30)
        await held.hub.notifier.round()
    notices = await reader.records.select(NOTICES, Selection(mrids=tuple(one.body.notice for one in calls)))
    line = await reader.records.select(LINE, Selection(mrids=tuple(one.mrid for one in calls)))
    return {NOTICES.name: list(notices), CALL_BACKS.name: list(calls), LINE.name: list(line)}


async def _call_back(held: HeldHub, to_call: Kept) -> None:
    """An agent calls, by the buttons of the page, and hears that supply is back."""
    for one in to_call[CALL_BACKS.name]:
        page = f"/console/tickets/callbacks/{one.mrid}"
        for deed, said in (("claim", {}), ("answer", {"answer": CallBackAnswer.RESTORED})):
            answer = await send_form(held, f"{page}/{deed}", agent="Nadia", **said)
            assert answer.status == 303, answer.body


async def _say(held: HeldHub, verb: Verb, root: PayloadRoot) -> None:
    header = Header(
        verb=verb,
        noun=Noun.SERVICE_ORDERS,
        timestamp=held.now,
        source="CIS",
        message_id=MessageID(held.new_id()),
        revision="1",
    )
    answer = await held.ask(RequestMessage(header=header, payload=Payload(content=(root,))))
    assert isinstance(answer, ResponseMessage), answer
    assert answer.reply.result is not Result.FAILED, answer.reply.error
