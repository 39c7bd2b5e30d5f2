"""What a storm is drawn to be: the same each time, and of the form that its profile gives."""

from collections import Counter

from cimcare.storm.plan import Hazard, Item, Origin, draw_plan
from tests.unit.storm.profiles import a_plan, a_profile


def _when(plan: object, kind: Item) -> dict[int, float]:
    """Instants of all messages of a sort, by their subject."""
    return {
        subject: at
        for at, each, subject in zip(plan.at, plan.kinds, plan.subjects, strict=True)  # type: ignore[attr-defined]
        if each == kind
    }


def test_the_same_seed_draws_the_same_storm() -> None:
    """A result can only be compared if the storm was the same."""
    assert a_plan(7) == a_plan(7)


def test_another_seed_draws_another_storm() -> None:
    """Else a product could be built for the one storm that there is."""
    first, second = a_plan(1), a_plan(2)

    assert first.key != second.key
    assert first.at != second.at


def test_all_of_it_comes_in_the_order_of_time() -> None:
    """The sender goes through it once."""
    plan = a_plan()

    assert list(plan.at) == sorted(plan.at)
    assert len(plan.at) == len(plan.kinds) == len(plan.subjects)


def test_as_many_tickets_come_as_the_profile_says() -> None:
    """A scale of 1 is what it says; half of it is half as many."""
    profile = a_profile()

    assert draw_plan(profile, scale=1.0, seed=1).tickets == 60
    assert draw_plan(profile, scale=0.5, seed=1).tickets == 30
    assert draw_plan(profile, scale=0.001, seed=1).tickets == 1


def test_calls_come_by_the_curve() -> None:
    """Three times the rate is three times the calls."""
    plan = a_plan(
        **{
            "tickets-in-all": 4000,
            "minutes": 4,
            "curve": [[0, 1], [1.99, 1], [2, 3], [4, 3]],
            "bursts": {"seconds": 0},
            "tickets": {"still-outs": 0.0},
            "town": {"premises": 8000},
        }
    )
    early = sum(1 for at in _when(plan, Item.TICKET).values() if at < 60)
    late = sum(1 for at in _when(plan, Item.TICKET).values() if at >= 180)

    assert 2.5 < late / early < 3.6


def test_a_burst_is_five_times_as_fast_as_its_minute() -> None:
    """Averages over minutes hide what overturns a system within seconds."""
    plan = a_plan(
        **{
            "tickets-in-all": 6000,
            "minutes": 1,
            "bursts": {"every-minutes": 1, "factor": 5.0, "seconds": 6},
            "tickets": {"still-outs": 0.0},
            "town": {"premises": 12000, "calling": 0.6},
        }
    )
    found = sorted(_when(plan, Item.TICKET).values())
    fullest = max(sum(1 for at in found if begin <= at < begin + 6) for begin in range(55))

    assert 4.2 < fullest / (len(found) / 10) < 5.2


def test_callers_have_lost_supply_together() -> None:
    """Else nothing could be grouped, and the storm would show nothing of what makes storms hard."""
    plan = a_plan(**{"tickets-in-all": 200, "town": {"premises": 4000, "active-faults": 3}})
    first = [
        premises // 10 for premises, origin in zip(plan.premises, plan.origins, strict=True) if origin == Origin.FIRST
    ]

    assert len(first) / len(set(first)) > 2


def test_premises_call_for_the_first_time_once() -> None:
    """A repeat is known as one."""
    plan = a_plan(**{"tickets-in-all": 150})
    first = [one for one, origin in zip(plan.premises, plan.origins, strict=True) if origin == Origin.FIRST]
    repeats = [one for one, origin in zip(plan.premises, plan.origins, strict=True) if origin == Origin.REPEAT]

    assert len(first) == len(set(first))
    assert repeats
    assert all(0 <= one < plan.town.premises for one in plan.premises)


def test_who_is_still_out_was_called_back_before() -> None:
    """The call-back closes the ticket; the call behind it comes from the same premises."""
    plan = a_plan(minutes=6)
    closed, tickets = _when(plan, Item.CLOSE), _when(plan, Item.TICKET)
    still_out = [number for number, origin in enumerate(plan.origins) if origin == Origin.STILL_OUT]

    assert len(closed) == len(still_out) == 6
    for ticket, at in closed.items():
        assert tickets[ticket] < at
        assert any(plan.premises[one] == plan.premises[ticket] and tickets[one] > at for one in still_out)


def test_nobody_asks_about_a_ticket_that_is_not_reported_yet() -> None:
    """A question that cannot be answered would count against a system that is right."""
    plan = a_plan()
    reported = _when(plan, Item.TICKET)
    questions = _when(plan, Item.ASK_INCIDENT) | _when(plan, Item.ASK_TICKET)

    assert len(questions) == 120
    assert all(at > reported[plan.asked[question]] for question, at in questions.items())


def test_what_is_sent_again_was_sent_before() -> None:
    """The second one is a repeat, and has to have no second effect."""
    plan = a_plan(tickets={"resent": 0.5, "resent-after-seconds": 5.0})
    again, reported = _when(plan, Item.AGAIN), _when(plan, Item.TICKET)

    assert 15 < len(again) < 45
    assert all(abs(at - reported[ticket] - 5) < 1e-9 for ticket, at in again.items())


def test_hazards_are_of_the_kinds_that_were_asked_for() -> None:
    """Weights of 0 never come."""
    plan = a_plan(**{"tickets-in-all": 100, "hazards": {"share": 1.0, "wire-down": 0.0, "fire": 1.0, "gas": 1.0}})
    kinds = Counter(plan.hazards)

    assert set(kinds) == {Hazard.FIRE, Hazard.GAS}


def test_meters_tell_of_premises_that_lost_supply() -> None:
    """In tables no longer than asked, each meter once."""
    plan = a_plan(meters={"share": 1.0, "rows": 20})
    rows = [premises for table in plan.tables for premises, _ in table]
    callers = {one for one, origin in zip(plan.premises, plan.origins, strict=True) if origin == Origin.FIRST}

    assert max(map(len, plan.tables)) <= 20
    assert len(rows) == len(set(rows))
    assert callers <= set(rows)
    assert plan.kinds.count(Item.METERS) == len(plan.tables)
    assert all(at >= plan.tables[number][-1][1] for number, at in _when(plan, Item.METERS).items())


def test_a_storm_that_is_cut_is_the_beginning_of_the_whole() -> None:
    """Five minutes of the hour send what the hour would have sent in them."""
    whole = a_plan()
    cut = whole.cut(60)

    assert 0 < len(cut.at) < len(whole.at)
    assert cut.at == whole.at[: len(cut.at)]
    assert cut.kinds == whole.kinds[: len(cut.at)]
    assert cut.at[-1] <= 60 < whole.at[len(cut.at)]


def test_messages_of_a_sort_can_be_left_out() -> None:
    """Endpoints without our REST interface take no meters; the rest stays as it is."""
    whole = a_plan(meters={"share": 0.5})
    rest = whole.without(Item.METERS)

    assert Item.METERS not in rest.kinds
    assert len(rest.at) == len(whole.at) - whole.kinds.count(Item.METERS)
    assert _when(rest, Item.TICKET) == _when(whole, Item.TICKET)
