"""Grouping of calls into incidents: which device is suspected, and that nothing but the calls decides."""

from datetime import timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cimcare.exchange.ports import Key, Selection, Stored
from cimcare.model.identity import MRID
from cimcare.model.incident import Incident, IncidentIdentity, IncidentLocation, IncidentOutage
from cimcare.model.network import MeterEvent
from cimcare.model.nouns import Noun
from cimcare.model.trouble_ticket import ServiceLocationIdentity, TroubleTicket
from cimcare.model.values import DateTimeInterval, Status
from cimcare.model.verbs import Verb
from cimcare.systems.oms import incidents, take_meter_events
from cimcare.systems.oms.decisions import decisions_of
from cimcare.systems.oms.evidence import EVIDENCE
from cimcare.systems.oms.incidents import IncidentBook
from cimcare.systems.oms.judgement import DEFAULT_RULES, Threshold
from cimcare.systems.oms.kinds import CLOSED, EXTENTS, INCIDENTS, OPEN, REPORTS, TICKETS
from cimcare.systems.oms.quieting import put_rules_in_force
from cimcare.systems.oms.rules import rules_versions
from tests.unit.systems.grouping import (
    Bench,
    a_call,
    call,
    cancel,
    context_of,
    expected_groups,
    groups,
    install,
    network,
    until_quiet,
)
from tests.unit.systems.utility import MONDAY, Utility, events_of, items_of, names, shown_in

TREE = {
    "S": None,
    "F1": "S",
    "F2": "S",
    "F3": "S",
    "T1": "F1",
    "T2": "F1",
    "T3": "F1",
    "T4": "F2",
    "T5": "F2",
    "T6": "F3",
    "T7": "F3",
}
POINTS = {f"p{number}": f"T{1 + number // 4}" for number in range(28)}
BENCH = network(TREE, POINTS)

Calls = list[tuple[str, str, float]]


@st.composite
def benches(draw: st.DrawFn) -> Bench:
    """Any tree of devices, with points anywhere."""
    names = [f"d{number}" for number in range(draw(st.integers(1, 9)))]
    tree: dict[str, str | None] = {names[0]: None}
    for at, name in enumerate(names[1:], 1):
        tree[name] = names[draw(st.integers(0, at - 1))]
    count = draw(st.integers(1, 24))
    points = {f"p{number}": draw(st.sampled_from(names)) for number in range(count)}
    return network(tree, points)


@st.composite
def histories(draw: st.DrawFn) -> tuple[Bench, Calls, list[int], set[str]]:
    """A network, calls with repeats among them, an order of arrival, and the tickets that are cancelled."""
    bench = draw(benches() | st.just(BENCH))
    points = sorted(bench.points)
    minutes = st.integers(0, 60) | st.integers(0, 600)
    calls = [
        (f"t{number}", draw(st.sampled_from(points)), float(draw(minutes)))
        for number in range(draw(st.integers(1, 40)))
    ]
    order = draw(st.permutations(range(len(calls))))
    cancelled = draw(st.sets(st.sampled_from([ticket for ticket, _, _ in calls]), max_size=12))
    return bench, calls, order, cancelled


@settings(max_examples=150, deadline=None)
@given(histories(), st.sampled_from((1, 7, 1000)), st.booleans())
async def test_no_order_of_arrival_changes_what_the_calls_make(
    history: tuple[Bench, Calls, list[int], set[str]], most_moved: int, cancels_at_once: bool
) -> None:
    """Messages overtake each other in every storm; two control rooms must not see two different storms."""
    bench, calls, order, cancelled = history
    utility = Utility()
    await install(utility, bench)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(incidents, "_MOST_MOVED", most_moved)
        for at in order:
            await call(utility, calls[at])
            if cancels_at_once and calls[at][0] in cancelled:
                await cancel(utility, (calls[at][0],))
        if not cancels_at_once:
            await cancel(utility, sorted(cancelled))
        await until_quiet(utility)
    left = [one for one in calls if one[0] not in cancelled]
    assert await groups(utility) == expected_groups(bench, left, DEFAULT_RULES)


# --------------------------------------------------------------------------------------------- what a dispatcher sees


@pytest.fixture
async def town() -> Utility:
    utility = Utility()
    await install(utility, BENCH)
    return utility


async def the_incident(utility: Utility, ticket: str) -> Stored[Incident]:
    stored = await utility.records.find(TICKETS.collection, MRID(ticket))
    assert stored is not None
    assert stored.body.incident is not None
    found = await utility.records.find(INCIDENTS.collection, MRID(stored.body.incident.mrid or ""))
    assert found is not None
    return found


def place_of(incident: Stored[Incident]) -> tuple[str | None, list[str]]:
    assert incident.body.location is not None
    return incident.body.location.type, [one.name for one in incident.body.location.names]


async def test_calls_move_the_suspected_device_up(town: Utility) -> None:
    """One caller is a service, a second one the transformer, calls from all over the lateral its fuse."""
    await call(town, ("t1", "p0", 0))
    assert place_of(await the_incident(town, "t1")) == ("service", [])
    await call(town, ("t2", "p1", 1))
    assert place_of(await the_incident(town, "t1")) == ("transformer", ["T1"])
    await call(town, ("t3", "p4", 2), ("t4", "p8", 4))
    incident = await the_incident(town, "t1")
    assert place_of(incident) == ("fuse", ["F1"])
    assert {(await the_incident(town, ticket)).mrid for ticket in ("t1", "t2", "t3", "t4")} == {incident.mrid}
    assert incident.body.outage is not None
    assert incident.body.outage.summary is not None
    assert incident.body.outage.summary.total_count == 12
    assert incident.body.comment == (
        "3 of 12 customers below fuse F1 reported within 5 minutes, from 2 of 3 branches: it is suspected."
    )
    why = [one.body.why for one in await decisions_of(town.records, incident.mrid)]
    assert why[0].startswith("Opened for premises point:p0: 1 of 4 customers below transformer T1 reported")
    assert (
        "2 of 4 customers below transformer T1 reported within 5 minutes, from 2 of 4 branches: it is suspected." in why
    )


async def test_a_merger_is_told_with_few_messages(town: Utility) -> None:
    """A thousand calls that turn out to be one outage must not become a thousand events."""
    await call(town, ("t0", "p0", 0), ("x", "p20", 1), ("y", "p12", 1))
    everywhere = (a_call(f"t{number}", f"p{number}", MONDAY) for number in (1, 5, 9, 13, 17, 21, 25))
    served = await town.ask(Verb.CREATE, Noun.TROUBLE_TICKETS, *everywhere)
    assert [(verb, noun) for verb, noun, _ in events_of(served)] == [
        ("created", "TroubleTickets"),
        ("changed", "Incidents"),
        ("changed", "TroubleTickets"),
        ("canceled", "Incidents"),
    ]
    survivor = shown_in(served, Verb.CHANGED, Noun.INCIDENTS)
    assert isinstance(survivor, Incident)
    assert survivor.mrid == (await the_incident(town, "t0")).mrid == (await the_incident(town, "t25")).mrid
    assert place_of(await the_incident(town, "x")) == ("source", ["S"])
    assert {one.mrid for one in survivor.trouble_tickets} >= {"x", "y", "t1", "t13", "t25"}
    (lost,) = (event for event in served.events if event.verb is Verb.CANCELED)
    assert len(items_of(lost.payload)) == 2
    for one in items_of(lost.payload):
        assert isinstance(one, Incident)
        assert f"Merged into incident {survivor.mrid}: " in (one.comment or "")


async def test_a_wrong_guess_is_rolled_back_and_explained(town: Utility) -> None:
    """Two of the calls were from another street: the lateral is not out after all."""
    await call(town, ("t0", "p0", 0), ("t1", "p1", 0), ("t2", "p4", 1), ("t3", "p8", 1))
    whole = await the_incident(town, "t0")
    assert place_of(whole) == ("fuse", ["F1"])
    served = await town.ask(Verb.CANCEL, Noun.TROUBLE_TICKETS, ids=("t2", "t3"))
    assert ("changed", "Incidents", 1) in events_of(served)
    left = await the_incident(town, "t0")
    assert left.mrid == whole.mrid
    assert place_of(left) == ("transformer", ["T1"])
    assert "2 of 4 customers below transformer T1 reported" in (left.body.comment or "")


async def test_two_laterals_at_once_are_two_outages(town: Utility) -> None:
    """A crew for each; nobody patrols the feeder for nothing."""
    await call(town, *((f"a{number}", f"p{number}", number % 5) for number in range(12)))
    await call(town, *((f"b{number}", f"p{number}", number % 5) for number in range(20, 26)))
    assert place_of(await the_incident(town, "a0")) == ("fuse", ["F1"])
    assert place_of(await the_incident(town, "b20")) == ("fuse", ["F3"])


async def test_calls_of_different_times_are_different_outages(town: Utility) -> None:
    """What has failed in the morning and what fails in the evening are not one thing."""
    await call(town, ("a0", "p0", 0), ("a1", "p1", 5), ("b0", "p2", 300), ("b1", "p3", 305))
    morning, evening = await the_incident(town, "a0"), await the_incident(town, "b0")
    assert morning.mrid != evening.mrid
    assert place_of(morning) == place_of(evening) == ("transformer", ["T1"])
    await call(town, ("c0", "p2", 80), ("c1", "p3", 190))
    await until_quiet(town)
    assert (await the_incident(town, "b0")).mrid == (await the_incident(town, "a0")).mrid


async def test_a_repeat_that_was_made_earlier_takes_its_premises_to_the_earlier_outage() -> None:
    """The ticket of the morning comes late; who called in the morning besides is of that outage, too."""
    utility = Utility()
    points = {"p0": "d1", "p1": "d0", "p2": "d1", "p3": "d0", "p4": "d1", "p5": "d2", "p6": "d2"}
    bench = network({"d0": None, "d1": "d0", "d2": "d1"}, points)
    await install(utility, bench)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(incidents, "_MOST_MOVED", 1)
        await call(utility, ("t1", "p6", 156), ("t2", "p4", 33), ("t3", "p2", 224), ("t4", "p6", 86))
        await until_quiet(utility)
    morning = await the_incident(utility, "t2")
    assert place_of(morning) == ("fuse", ["d1"])
    assert {(await the_incident(utility, ticket)).mrid for ticket in ("t1", "t4")} == {morning.mrid}
    assert (await the_incident(utility, "t3")).mrid != morning.mrid


async def test_a_confirmed_device_keeps_what_is_below_it(town: Utility) -> None:
    """The crew stands at the fuse; neither few calls nor many elsewhere make it doubt."""
    await call(town, ("t0", "p0", 0))
    incident = await the_incident(town, "t0")
    book = IncidentBook(context_of(town))
    await book.pin(incident, BENCH.devices["F1"], "crew 7 has found fuse F1 blown")
    await book.events()
    await call(town, ("t1", "p8", 400), *((f"s{number}", f"p{number}", 401) for number in range(12, 28)))
    await until_quiet(town)
    assert (await the_incident(town, "t1")).mrid == incident.mrid
    assert place_of(await the_incident(town, "t1")) == ("fuse", ["F1"])
    assert "Crew 7 has found fuse F1 blown." in [
        one.body.why for one in await decisions_of(town.records, incident.mrid)
    ]
    await town.ask(Verb.CANCEL, Noun.TROUBLE_TICKETS, ids=("t0",))
    assert (await the_incident(town, "t1")).mrid == incident.mrid


async def test_who_confirms_a_suspected_device_gets_what_was_gathered_for_it(town: Utility) -> None:
    """The operator opens the outage himself; the calls that had made the device suspected are of it."""
    await call(town, *((f"t{number}", f"p{number}", number) for number in range(12)))
    suspected = await the_incident(town, "t0")
    book = IncidentBook(context_of(town))
    own = await book.open_for(BENCH.devices["F1"], "Ana Ruiz has seen it trip", MONDAY, is_pinned=True)
    await book.events()
    await until_quiet(town)
    assert {(await the_incident(town, f"t{number}")).mrid for number in range(12)} == {own.mrid}
    (was,) = await town.records.select(INCIDENTS.collection, Selection(mrids=(suspected.mrid,)))
    assert was.state == "cancelled"
    await call(town, ("late", "p3", 30))
    assert (await the_incident(town, "late")).mrid == own.mrid


async def test_a_premises_that_somebody_has_moved_stays_there(town: Utility) -> None:
    """Rules do not argue with the dispatcher."""
    await call(town, ("t0", "p0", 0), ("x", "p20", 0))
    elsewhere = await the_incident(town, "x")
    moved = TroubleTicket(mrid=MRID("t0"), incident=IncidentIdentity(mrid=elsewhere.mrid))
    await town.ask(Verb.CHANGE, Noun.TROUBLE_TICKETS, moved)
    await call(town, ("t1", "p1", 1), ("t2", "p2", 2), ("t3", "p4", 2), ("t4", "p8", 3))
    assert (await the_incident(town, "t0")).mrid == elsewhere.mrid
    assert place_of(await the_incident(town, "t1")) == ("fuse", ["F1"])


async def test_repeats_count_once_and_by_their_earliest_report(town: Utility) -> None:
    """One who calls ten times is one customer."""
    await call(town, *((f"t{number}", "p0", 10 * number) for number in range(5, 15)), ("t0", "p0", 5))
    incident = await the_incident(town, "t0")
    assert place_of(incident) == ("service", [])
    assert incident.body.outage is not None
    assert incident.body.outage.summary is not None
    assert incident.body.outage.summary.total_count == 1
    assert incident.body.outage.estimated_period is not None
    assert incident.body.outage.estimated_period.start == MONDAY + timedelta(minutes=5)
    why = [one.body.why for one in await decisions_of(town.records, incident.mrid)]
    assert why.count("Repeat: premises point:p0 counts once.") == 10


async def test_places_without_a_model_are_unresolved_and_never_dropped(town: Utility) -> None:
    """The model is behind; the caller is not to suffer for it, and somebody has to look."""
    place = ServiceLocationIdentity(mrid=MRID("new house"))
    await town.ask(Verb.CREATE, Noun.TROUBLE_TICKETS, TroubleTicket(mrid=MRID("t"), service_location=place))
    incident = await the_incident(town, "t")
    assert place_of(incident) == ("unresolved", [])
    found = await town.records.select(EXTENTS, Selection(keys=((Key("unresolved", "1"),),)))
    assert [one.mrid for one in found] == [incident.mrid]
    await town.ask(Verb.CLOSE, Noun.TROUBLE_TICKETS, ids=("t",))
    assert await town.records.select(EXTENTS, Selection(keys=((Key("unresolved", "1"),),))) == ()


async def test_a_place_without_a_model_goes_by_the_device_that_its_caller_names(town: Utility) -> None:
    """The caller reads the number off the pole."""
    place = ServiceLocationIdentity(mrid=MRID("new house"))
    at_pole = TroubleTicket(
        mrid=MRID("t"), service_location=place, names=names("T1", scheme="Device"), date_time_of_report=MONDAY
    )
    await town.ask(Verb.CREATE, Noun.TROUBLE_TICKETS, at_pole)
    await call(town, ("t1", "p1", 1))
    assert (await the_incident(town, "t")).mrid == (await the_incident(town, "t1")).mrid
    assert place_of(await the_incident(town, "t")) == ("transformer", ["T1"])


async def test_the_only_premises_of_a_transformer_show_it(town: Utility) -> None:
    """Nobody else can say whether it is the service or the transformer; the crew needs to know where it is."""
    utility = Utility()
    await install(utility, network({"S": None, "T": "S", "U": "S"}, {"p": "T", "q": "U"}))
    await call(utility, ("t", "p", 0))
    assert place_of(await the_incident(utility, "t")) == ("transformer", ["T"])


async def test_one_message_does_a_bounded_part_and_the_clock_the_rest(
    town: Utility, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call is answered at once, though it turns a thousand single calls into one outage."""
    monkeypatch.setattr(incidents, "_MOST_MOVED", 2)
    await call(town, *((f"t{number}", f"p{4 * number}", 1) for number in range(7)), ("x", "p1", 2), ("y", "p13", 2))
    assert len(await groups(town)) > 1
    assert await until_quiet(town) > 0
    assert len(await groups(town)) == 1
    assert await until_quiet(town) == 0


async def test_after_the_end_nothing_is_left_of_the_evidence(town: Utility) -> None:
    """The next call from there is judged by itself, and what is stored does not grow with the years."""
    await call(town, *((f"t{number}", f"p{number}", 1) for number in range(12)))
    incident = await the_incident(town, "t0")
    book = IncidentBook(context_of(town))
    await book.end(incident, CLOSED, "restored by the crew")
    await book.events()
    await call(town, ("late", "p0", 3))
    assert place_of(await the_incident(town, "late")) == ("service", [])
    await until_quiet(town)
    assert place_of(await the_incident(town, "late")) == ("service", [])
    reports = await town.records.select(REPORTS, Selection())
    assert [one.mrid for one in reports] == ["point:p0"]
    buckets = [one.body.buckets for one in await town.records.select(EVIDENCE, Selection())]
    assert [(one.calls, one.branches) for held in buckets for one in held] == [(1, 1)] * 3 + [(1, 0)]


async def test_other_rules_group_anew(town: Utility) -> None:
    """A dispatcher who finds the rules too eager says so, and sees at once what comes of it."""
    await call(town, ("t0", "p0", 0), ("t1", "p1", 0), ("t2", "p2", 1))
    assert place_of(await the_incident(town, "t0")) == ("transformer", ["T1"])
    strict = msgspec.structs.replace(DEFAULT_RULES, transformer=Threshold(calls=4, share=0.5, spread=0.0))
    assert await put_rules_in_force(context_of(town), strict, "Ana Ruiz") is not None
    await until_quiet(town)
    assert place_of(await the_incident(town, "t0")) == ("service", [])
    assert {device for device, _ in await groups(town)} == {""}
    assert await put_rules_in_force(context_of(town), strict, "Ana Ruiz") is None
    assert await put_rules_in_force(context_of(town), DEFAULT_RULES, "Ana Ruiz") is not None
    await until_quiet(town)
    assert {device for device, _ in await groups(town)} == {"T1"}
    versions = await rules_versions(town.records)
    assert [(one.version, one.by, one.rules == DEFAULT_RULES) for one in versions] == [
        (1, "Ana Ruiz", False),
        (2, "Ana Ruiz", True),
    ]


# ------------------------------------------------------------------------------------------------ whatever happens

STEPS = st.tuples(
    st.sampled_from(("call", "call", "call", "cancel", "close", "off", "on", "restore", "confirm", "tick")),
    st.integers(0, 27),
    st.integers(0, 500),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=40), st.sampled_from((1, 5, 1000)))
async def test_when_all_is_over_nothing_is_left(steps: list[tuple[str, int, int]], most_moved: int) -> None:
    """Evidence that outlives its outage is the phantom of the next storm; an incident without an end is nobody's."""
    utility = Utility()
    await install(utility, BENCH)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(incidents, "_MOST_MOVED", most_moved)
        for at, (what, number, minutes) in enumerate(steps):
            await step(utility, what, f"t{at}", number, minutes)
            assert await counts_are_right(utility)
        utility.pass_time(hours=24)
        for _ in range(10):  # one below an outage that goes on is not restored before that is
            for stored in await utility.records.select(INCIDENTS.collection, Selection(states=(OPEN,))):
                await restore(utility, stored.mrid)
            await until_quiet(utility)
    assert await utility.records.select(INCIDENTS.collection, Selection(states=(OPEN,))) == ()
    assert await utility.records.select(TICKETS.collection, Selection(states=(OPEN,))) == ()
    assert await utility.records.select(REPORTS, Selection()) == ()
    assert await utility.records.select(EVIDENCE, Selection()) == ()


async def step(utility: Utility, what: str, ticket: str, number: int, minutes: int) -> None:
    at = MONDAY + timedelta(minutes=minutes)
    tickets = await utility.records.select(TICKETS.collection, Selection(states=(OPEN,)))
    opened = await utility.records.select(INCIDENTS.collection, Selection(states=(OPEN,)))
    if what == "call":
        await call(utility, (ticket, f"p{number}", minutes))
    elif what in ("cancel", "close") and tickets:
        one = tickets[number % len(tickets)]
        body = TroubleTicket(mrid=one.mrid, resolved_date_time=one.created_at if what == "close" else None)
        await utility.ask(Verb(what), Noun.TROUBLE_TICKETS, body)
    elif what in ("off", "on"):
        event = MeterEvent(point=f"p{number}", is_off=what == "off", at=at)
        await take_meter_events((event,), context_of(utility))
    elif what == "restore" and opened:
        await restore(utility, opened[number % len(opened)].mrid)
    elif what == "confirm" and opened:
        location = IncidentLocation(names=names(sorted(BENCH.devices)[number % len(BENCH.devices)], scheme="Device"))
        body = Incident(
            mrid=opened[number % len(opened)].mrid, location=location, status=Status(reason="crew", remark="crew 7")
        )
        await utility.ask(Verb.CHANGE, Noun.INCIDENTS, body)
    elif what == "tick":
        await until_quiet(utility)


async def restore(utility: Utility, incident: MRID) -> None:
    status = Status(reason="crew", remark="crew 7")
    end = IncidentOutage(actual_period=DateTimeInterval(end=MONDAY + timedelta(hours=12)))
    await utility.ask(Verb.CLOSE, Noun.INCIDENTS, Incident(mrid=incident, outage=end, status=status))


async def counts_are_right(utility: Utility) -> bool:
    """Whether the counters of each open incident are what counting its reports gives."""
    for stored in await utility.records.select(EXTENTS, Selection(states=(OPEN,))):
        reports = await utility.records.find_by_key(REPORTS, Key("incident", stored.mrid))
        dark = sum(one.body.is_dark for one in reports)
        first = min((one.body.at for one in reports), default=None)
        extent = stored.body
        if (extent.premises, extent.dark) != (len(reports), dark) or (reports and extent.first_at != first):
            return False
    return True


async def test_an_incident_is_created_with_its_first_report(town: Utility) -> None:
    """Lists show when it began for the customers, and not on which five minutes it was counted."""
    await call(town, ("t1", "p0", 2), ("t2", "p1", 3))
    found = await town.records.select(INCIDENTS.collection, Selection(states=(OPEN,)))
    assert [one.created_at for one in found] == [MONDAY + timedelta(minutes=2)]
    assert place_of(found[0])[0] == "transformer"
