"""Board, calendar, one order, and what is done about it by message: without sockets."""

from urllib.parse import unquote

import pytest

from cimcare.exchange.log import Direction
from cimcare.model import service_order, service_request
from cimcare.model.enumerations import WorkKind, WorkStatusKind
from cimcare.model.envelope import Header, Payload, RequestMessage, ResponseMessage, Result
from cimcare.model.identity import MRID, MessageID, Name, NameType
from cimcare.model.nouns import Noun, PayloadRoot
from cimcare.model.values import DateTimeInterval
from cimcare.model.verbs import Verb
from cimcare.model.work import Appointment
from cimcare.samples.northlake import CREWS, find_premises, name_of
from cimcare.systems.wms.board import Stage, load_columns
from cimcare.systems.wms.kinds import SERVICE_ORDERS
from tests.support.forms import send_form
from tests.unit.hub.conftest import NOON, HeldHub

LINES, METERS = CREWS[0], CREWS[2]
HOSTILE = '"><script>alert(1)</script>'


async def page_of(held: HeldHub, path: str, status: int = 200) -> str:
    response = await held.get(path)
    assert response.status == status
    return response.body.decode()


async def say(held: HeldHub, noun: Noun, content: PayloadRoot, verb: Verb = Verb.CREATE) -> None:
    header = Header(
        verb=verb, noun=noun, timestamp=held.now, source="WMS", message_id=MessageID(held.new_id()), revision="1"
    )
    reply = await held.ask(RequestMessage(header=header, payload=Payload(content=(content,))))
    assert isinstance(reply, ResponseMessage)
    assert reply.reply.result is Result.OK, reply.reply.error


async def order(held: HeldHub, mrid: str, kind: str, *, days: int = 3, names: tuple[Name, ...] = ()) -> str:
    start = NOON.replace(hour=8)
    start = start.replace(day=start.day + days)  # the third of June 2030 is a Monday
    work = service_order.Work(
        mrid=MRID(mrid),
        type=kind,
        names=names,
        appointments=(Appointment(meeting_interval=DateTimeInterval(start=start, end=start.replace(hour=12))),),
    )
    await say(held, Noun.SERVICE_ORDERS, service_order.ServiceOrders(work=(work,)))
    return f"/console/work/{mrid}"


async def do(held: HeldHub, path: str, deed: str, **fields: str) -> str:
    """Press a button; the page that follows."""
    answer = await send_form(held, path, deed=deed, **fields)
    assert answer.status == 303, answer.body.decode()
    return await page_of(held, answer.headers["location"])


async def stages(held: HeldHub) -> dict[Stage, list[str]]:
    columns = await load_columns(held.store.reader.records, SERVICE_ORDERS.collection)
    return {one.stage: [str(order.order) for order in one.orders] for one in columns if one.orders}


async def test_an_order_goes_across_the_board_by_the_buttons(held: HeldHub) -> None:
    """Each of them is a message, so that every system that listens hears of it."""
    path = await order(held, "so-1", "special read")
    assert await stages(held) == {Stage.SCHEDULED: ["so-1"]}
    text = await do(held, path, "dispatch", crew=METERS.mrid)
    assert METERS.name in text
    assert await stages(held) == {Stage.DISPATCHED: ["so-1"]}
    await do(held, path, "enroute")
    assert await stages(held) == {Stage.DISPATCHED: ["so-1"]}
    await do(held, path, "onSite")
    assert await stages(held) == {Stage.ON_SITE: ["so-1"]}
    text = await do(held, path, "complete", left_meter="M-1", left_reading="41007")
    assert "as left" in text
    assert "41007" in text
    assert await stages(held) == {Stage.DONE: ["so-1"]}
    text = await do(held, path, "close")
    steps = [one.split("</a>")[0] for one in text.split('id="history-head"')[1].split("</ol>")[0].split('">')[2:]]
    said = [one for one in steps if one and not one.startswith("20")]
    assert said == ["created", f"dispatched ({METERS.name})", "enroute", "onSite", "completed", "closed"]
    assert "<b>close</b> ServiceOrders" in text
    told = [
        one.verb
        for one in await held.log(noun="ServiceOrders", direction=Direction.OUT)
        if one.archetype == "EventMessage"
    ]
    assert told == ["created", "changed", "changed", "changed", "changed", "closed"]


async def test_what_was_not_done_is_to_be_visited_again_with_its_reason(held: HeldHub) -> None:
    """Whoever plans the next visit has to know."""
    path = await order(held, "so-1", "inspection")
    await do(held, path, "dispatch", crew=METERS.mrid)
    answer = await send_form(held, path, deed="incomplete")
    assert (answer.status, b"BUS-153" in answer.body) == (409, True)
    text = await do(held, path, "incomplete", reason="nobody at home")
    assert "nobody at home" in text
    assert await stages(held) == {Stage.INCOMPLETE: ["so-1"]}
    assert "nobody at home" in await page_of(held, "/console/work")


async def test_a_cancel_that_comes_too_late_says_why(held: HeldHub) -> None:
    """6.1 of the standard: the work has begun."""
    path = await order(held, "so-1", "service line")
    await do(held, path, "dispatch", crew=LINES.mrid)
    await do(held, path, "onSite")
    answer = await send_form(held, path, deed="cancel")
    text = answer.body.decode()
    assert answer.status == 409
    assert "6.1" in text
    assert "LIF-104" in text
    assert await stages(held) == {Stage.ON_SITE: ["so-1"]}
    other = await order(held, "so-2", "service line")
    assert "cancelled" in await do(held, other, "cancel")


async def test_a_wrong_crew_and_missing_readings_are_refused_and_the_form_is_kept(held: HeldHub) -> None:
    """With what would pass."""
    path = await order(held, "so-1", "meter exchange")
    answer = await send_form(held, path, deed="dispatch", crew=LINES.mrid)
    assert b"BUS-150" in answer.body
    await do(held, path, "dispatch", crew=METERS.mrid)
    answer = await send_form(held, path, deed="complete", found_meter="M-OLD", found_reading="88213")
    text = answer.body.decode()
    assert "BUS-154" in text
    assert 'value="88213"' in text
    given = {"found_meter": "M-OLD", "found_reading": "88213", "left_meter": "M-NEW", "left_reading": "0"}
    text = await do(held, path, "complete", **given)
    assert text.index("as found") < text.index("M-OLD") < text.index("as left") < text.index("M-NEW")


async def test_a_deed_that_is_not_offered_is_refused(held: HeldHub) -> None:
    """A page that was left open for an hour."""
    path = await order(held, "so-1", "inspection")
    for deed in ("complete", "nonsense", ""):
        answer = await send_form(held, path, deed=deed)
        assert (answer.status, b"LIF-102" in answer.body) == (409, True)
    assert (await send_form(held, "/console/work/none", deed="cancel")).status == 404


async def test_a_request_shows_its_orders_and_a_visit_leads_to_it(held: HeldHub) -> None:
    """From the calendar to the wish of the customer and back."""
    home = find_premises(70)
    work = service_request.Work(
        mrid=MRID("sr-1"),
        type="inspection",
        kind=WorkKind.inspection,
        request_date_time=held.now,
        names=name_of("SR 1", "ServiceRequestNumber"),
        customers=(service_request.Customer(mrid=home.mrid("customer")),),
        work_location=service_request.ServiceLocation(mrid=home.mrid("location"), access_method="ring twice"),
    )
    await say(held, Noun.SERVICE_REQUESTS, service_request.ServiceRequests(work=(work,)))
    text = await page_of(held, "/console/work/sr-1")
    assert "ring twice" in text
    assert home.organisation in text
    orders = text.split("Orders that carry it out")[1]
    path = orders.split('href="')[1].split('"')[0]
    assert "/console/work/sr-1" in await page_of(held, path)
    calendar = await page_of(held, "/console/work/calendar?from=2030-06-03")
    assert "/console/work/sr-1" in calendar
    assert "60 / 240" in calendar
    crew = calendar.split('<a href="/console/work?crew=')[1].split('"')[0]
    assert "/console/work" in await page_of(held, f"/console/work?crew={crew}")
    assert "cancelled" in await do(held, "/console/work/sr-1", "cancel")


async def test_a_weekend_shows_the_week_to_come(held: HeldHub) -> None:
    """The first of June 2030 is a Saturday."""
    assert "Week from 2030-06-03" in await page_of(held, "/console/work/calendar")
    assert "Week from 2030-05-27" in await page_of(held, "/console/work/calendar?from=2030-05-29")
    assert "Week from 2030-06-03" in await page_of(held, "/console/work/calendar?from=tomorrow&day=never")


async def test_an_order_leads_to_its_incident(held: HeldHub) -> None:
    """And to the tickets of it."""
    path = await order(held, "so-1", "repair", names=(Name(name="i 1", name_type=NameType(name="Incident")),))
    text = await page_of(held, path)
    assert "/console/incidents/i%201" in text
    assert "/console/tickets?incident=i%201" in text


async def test_hostile_text_is_text(held: HeldHub) -> None:
    """Partners choose identifiers and texts."""
    work = service_order.Work(mrid=MRID(f"a/{HOSTILE}"), type=HOSTILE, status_kind=WorkStatusKind.waitingToBeScheduled)
    await say(held, Noun.SERVICE_ORDERS, service_order.ServiceOrders(work=(work,)))
    board = await page_of(held, "/console/work")
    assert "<script>alert" not in board
    path = unquote(board.split('class="card"><a href="')[1].split('"')[0])  # as a server does
    text = await page_of(held, path)
    assert "<script>alert" not in text
    answer = await send_form(held, path, deed="dispatch", crew=HOSTILE)
    assert answer.status == 409
    assert b"<script>alert" not in answer.body


async def test_no_such_work_is_said(held: HeldHub) -> None:
    """With what would do."""
    assert "REF-103" in await page_of(held, "/console/work/none", 404)


@pytest.mark.parametrize("state", [WorkStatusKind.approved, WorkStatusKind.waitingOnApproval])
async def test_what_cannot_be_planned_yet_stands_under_to_schedule(held: HeldHub, state: WorkStatusKind) -> None:
    """Nothing that is open is missing from the board."""
    work = service_order.Work(mrid=MRID("so-1"), type="inspection", status_kind=state)
    await say(held, Noun.SERVICE_ORDERS, service_order.ServiceOrders(work=(work,)))
    assert await stages(held) == {Stage.TO_SCHEDULE: ["so-1"]}
