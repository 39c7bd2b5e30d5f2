"""Pages of the desk cost the same after years of tickets and orders as on the first day."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from cimcare.console.customers.looking import find_sheet, list_customers
from cimcare.console.incidents.board import look_at_board
from cimcare.console.incidents.reading import find_incident
from cimcare.console.tickets.calling_back import look_at_list
from cimcare.console.tickets.looking import find_ticket, list_tickets, look_up
from cimcare.console.work.looking import find_work
from cimcare.exchange.notices import ContactKind
from cimcare.exchange.ports import Key, Stored
from cimcare.hub.rest.inside import Inside
from cimcare.model import service_order
from cimcare.model.enumerations import NotificationTriggerKind, WorkStatusKind
from cimcare.model.identity import MRID
from cimcare.model.incident import Incident
from cimcare.model.trouble_ticket import ServiceLocationIdentity, TroubleTicket
from cimcare.samples.northlake import find_premises
from cimcare.store.sqlite import SqliteStore
from cimcare.systems.cis.callbacks import CallBack, CallBackState, claim_next, put_in_line
from cimcare.systems.oms import kinds as oms
from cimcare.systems.oms.kinds import EXTENTS, ExtentRecord
from cimcare.systems.wms import kinds as wms
from cimcare.systems.wms.board import load_columns
from cimcare.systems.wms.jobs import DONE, JOBS, JobRecord
from tests.support.forms import send_form
from tests.support.steps import steps_of
from tests.unit.hub.conftest import NOON, HeldHub

HOME = find_premises(66)


async def live_for(held: HeldHub, first: int, count: int) -> None:
    """Years in which tickets were resolved, outages ended and orders closed, everywhere in town but at home."""
    tickets, incidents, extents, orders, jobs = [], [], [], [], []
    for number in range(first, first + count):
        at = NOON - timedelta(days=900) + timedelta(minutes=number)
        other = find_premises(number % 60)
        mrid = MRID(f"old-{number}")
        keys = frozenset({Key("service-location", other.mrid("location")), Key("customer", other.mrid("customer"))})
        place = ServiceLocationIdentity(mrid=other.mrid("location"))
        facts = {"mrid": mrid, "created_at": at, "modified_at": at, "keys": keys}
        tickets.append(Stored(body=TroubleTicket(mrid=mrid, service_location=place), state="resolved", **facts))
        incidents.append(Stored(body=Incident(mrid=mrid), state="closed", **facts))
        extents.append(Stored(body=ExtentRecord(premises=1), state="closed", **{**facts, "keys": frozenset()}))
        body = service_order.Work(mrid=mrid, type="inspection", status_kind=WorkStatusKind.closed)
        orders.append(Stored(body=body, state="closed", **facts))
        job = JobRecord(mrid=mrid, type="inspection", slot=mrid)
        jobs.append(Stored(mrid=mrid, body=job, created_at=at, modified_at=at, state=DONE))
    async with held.store.transaction() as transaction:
        await transaction.records.save_all(oms.INCIDENTS.collection, incidents)
        await transaction.records.save_all(EXTENTS, extents)
        await transaction.records.save_all(oms.TICKETS.collection, tickets)
        await transaction.records.save_all(wms.SERVICE_ORDERS.collection, orders)
        await transaction.records.save_all(JOBS, jobs)


async def look_at_incident(inside: Inside, ticket: MRID) -> object:
    """The page of the incident to which a ticket belongs."""
    found = await find_ticket(inside, ticket)
    assert found is not None
    assert found.incident is not None
    seen = await find_incident(inside.reader.records, found.incident, inside.clock())
    assert seen is not None
    return seen


async def look_at_incidents(inside: Inside, _: MRID) -> object:
    """The board, with the incident that is open."""
    board = await look_at_board(inside.reader.records, inside.clock())
    assert len(board.rows) == 1
    return board


LOOKS: dict[str, Callable[[Inside, MRID], Awaitable[object]]] = {
    "tickets": lambda inside, _: list_tickets(inside),
    "ticket": find_ticket,
    "callers": lambda inside, _: look_up(inside, HOME.account),
    "incidents": look_at_incidents,
    "incident": look_at_incident,
    "call-backs": lambda inside, _: look_at_list(inside, "Nadia", ""),
    "board": lambda inside, _: load_columns(inside.reader.records, wms.SERVICE_ORDERS.collection),
    "order": lambda inside, _: find_work(inside, MRID("old-7")),
    "customers": lambda inside, _: list_customers(inside, "", depends=True),
    "customer": lambda inside, _: find_sheet(inside, HOME.account),
}


@pytest.mark.parametrize("page", LOOKS)
async def test_a_page_costs_the_same_however_much_is_over(held: HeldHub, page: str) -> None:
    """Counted in steps of Python and of the database, which no machine makes faster."""
    taken = await send_form(held, "/console/tickets", q=HOME.account, trouble="noPower")
    ticket = MRID(taken.headers["location"].split("/")[-1].partition("?")[0])

    async def look() -> None:
        await LOOKS[page](held.inside, ticket)

    await look()  # once before it counts: the first of a process makes what reads each kind of object
    steps = []
    for first, count in ((0, 100), (100, 4000)):
        await live_for(held, first, count)
        steps.append(await steps_of(held.store, look))
    few, many = steps
    assert few > 50
    assert many <= 1.5 * few


async def wait_for_calls(held: HeldHub, first: int, count: int) -> None:
    """Customers whom nobody could tell, after a storm."""
    async with held.store.transaction() as transaction:
        for number in range(first, first + count):
            mrid, at = MRID(f"call-{number}"), NOON - timedelta(days=1) + timedelta(seconds=number)
            call = CallBack(
                group=f"feeder-{number % 40}",
                notice=mrid,
                trigger=NotificationTriggerKind.powerRestored,
                why="no channel",
                text="Supply is back.",
                incident=MRID("i"),
                place=f"p-{number}",
                contact_kind=ContactKind.PHONE,
                contact="555 0100",
            )
            stored = Stored(mrid=mrid, body=call, created_at=at, modified_at=at, state=CallBackState.WAITING)
            await put_in_line(transaction.records, stored)


async def test_calls_to_make_cost_the_same_however_many_wait(held: HeldHub) -> None:
    """To look at, and to be given the next one."""

    async def look() -> None:
        seen = await look_at_list(held.inside, "Nadia", "")
        assert (len(seen.rows), seen.has_more) == (100, True)

    async def claim() -> None:
        async with held.store.transaction() as transaction:
            assert await claim_next(transaction.records, "", "Nadia", NOON) is not None

    steps = []
    for first, count in ((0, 200), (200, 5000)):
        await wait_for_calls(held, first, count)
        await look()
        if isinstance(held.store, SqliteStore):  # it has the first 200 in memory, and not all of 5,200
            held.store._written.records.forget()
        steps.append((await steps_of(held.store, look), await steps_of(held.store, claim)))
    for few, many in zip(*steps, strict=True):
        assert many <= 1.5 * few
