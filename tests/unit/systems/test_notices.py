"""Notices of the customer system: who is told what, once each, in time, and only as long as it is true."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cimcare.exchange.notices import ContactKind, Handed, HandOver, Outgoing
from cimcare.exchange.ports import Collection, Key, Records, Selection, Stored
from cimcare.model.enumerations import NotificationTriggerKind, WorkStatusKind
from cimcare.model.identity import MRID
from cimcare.model.incident import (
    Incident,
    IncidentIdentity,
    IncidentOutage,
    IncidentWork,
    TroubleTicketIdentity,
    UsagePointIdentity,
)
from cimcare.model.nouns import Noun
from cimcare.model.trouble_ticket import CustomerNotification, ServiceLocationIdentity, TroubleTicket
from cimcare.model.values import DateTimeInterval, Status
from cimcare.model.verbs import Verb
from cimcare.samples.northlake import find_premises
from cimcare.systems import cis
from cimcare.systems.cis.callbacks import CALL_BACKS
from cimcare.systems.cis.contacts import (
    NOTICE_RULES,
    PREFERENCES,
    RULES_KEY,
    ContactPreference,
    Hours,
    NoticeRules,
    Preferences,
    next_allowed,
)
from cimcare.systems.cis.following import carry_on
from cimcare.systems.cis.members import FOLLOWED, MEMBERS, SHELF_SIZE
from cimcare.systems.cis.notices import NOTICES, NoticeRecord
from cimcare.systems.cis.outgoing import MOST_ATTEMPTS, claim_notices, settle_notice
from cimcare.systems.etr import Etr, EtrStage, render_remark
from tests.unit.systems.utility import MONDAY, Utility, mrid

Trigger = NotificationTriggerKind
FAULT = MRID("INC-1")
HOME = find_premises(8)
NEIGHBOUR = find_premises(9)
SENT = HandOver(result=Handed.SENT)
LEASE = timedelta(minutes=2)
ALL = frozenset(ContactKind)


class Bench(Utility):
    """A customer system that hears of one incident, and somebody who sends its notices."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Outgoing] = []

    async def ticket(
        self,
        name: str,
        trigger: Trigger | None = None,
        *,
        place: str = "",
        incident: MRID | None = FAULT,
        contact: str = "ada@post.example",
        contact_type: str = "e-mail",
        earliest: datetime | None = None,
        latest: datetime | None = None,
        verb: Verb = Verb.CREATED,
    ) -> None:
        wish = None
        if trigger is not None:
            wish = CustomerNotification(
                contact_type=contact_type,
                contact_value=contact,
                trigger=trigger,
                earliest_date_time_to_call=earliest,
                latest_date_time_to_call=latest,
            )
        ticket = TroubleTicket(
            mrid=mrid(name),
            date_time_of_report=self.now,
            last_modified_date_time=self.now,
            incident=IncidentIdentity(mrid=incident) if incident else None,
            service_location=ServiceLocationIdentity(mrid=mrid(place)) if place else None,
            notification=wish,
            status=Status(value="open", date_time=self.now),
        )
        await self.tell(cis.LISTENS, verb, Noun.TROUBLE_TICKETS, ticket)

    async def end_ticket(self, name: str, reason: str | None = None, verb: Verb = Verb.CLOSED) -> None:
        ticket = TroubleTicket(
            mrid=mrid(name),
            resolved_date_time=self.now if verb is Verb.CLOSED else None,
            last_modified_date_time=self.now,
            status=Status(value="resolved" if verb is Verb.CLOSED else "cancelled", reason=reason),
        )
        await self.tell(cis.LISTENS, verb, Noun.TROUBLE_TICKETS, ticket)

    async def incident(
        self,
        etr: datetime | None = None,
        *,
        verb: Verb = Verb.CHANGED,
        stage: EtrStage | None = None,
        valid_until: datetime | None = None,
        crew: WorkStatusKind | None = None,
        points: Sequence[str] = (),
        restored_at: datetime | None = None,
        planned: tuple[datetime, datetime] | None = None,
        tickets: Sequence[str] = (),
        name: MRID = FAULT,
        said_at: datetime | None = None,
    ) -> None:
        told = Etr(source="crew CREW-11", confidence=0.8, said_at=self.now, valid_until=valid_until)
        has_etr = etr is not None or stage is not None
        stage = stage or (EtrStage.CREW if etr is not None else None)
        period = DateTimeInterval(end=etr) if etr is not None else None
        if planned is not None:
            period = DateTimeInterval(start=planned[0], end=planned[1])
        body = Incident(
            mrid=name,
            last_modified_date_time=said_at or self.now,
            outage=IncidentOutage(
                is_planned=planned is not None or None,
                estimated_period=period,
                actual_period=DateTimeInterval(end=restored_at) if restored_at is not None else None,
                usage_points=tuple(UsagePointIdentity(mrid=mrid(one)) for one in points),
            ),
            status=Status(
                value="closed" if verb is Verb.CLOSED else "open",
                reason=stage.value if stage is not None else None,
                remark=render_remark(told) if has_etr else None,
            ),
            works=(IncidentWork(mrid=mrid("W-1"), status_kind=crew),) if crew is not None else (),
            trouble_tickets=tuple(TroubleTicketIdentity(mrid=mrid(one)) for one in tickets),
        )
        await self.tell(cis.LISTENS, verb, Noun.INCIDENTS, body, at=said_at)

    async def prefer(self, customer: MRID, *contacts: ContactPreference, time_zone: str = "") -> None:
        body = Preferences(contacts=contacts, time_zone=time_zone)
        await self.records.save(PREFERENCES, Stored(mrid=customer, body=body, created_at=MONDAY, modified_at=MONDAY))

    async def claim(self, channels: frozenset[ContactKind] = ALL, process: str = "p") -> tuple[Outgoing, ...]:
        while await carry_on(self.records, self.now, self._mint):
            pass
        return await claim_notices(self.records, self.now, channels=channels, process=process, lease=LEASE, limit=1000)

    async def send(self, handed: HandOver = SENT, channels: frozenset[ContactKind] = ALL) -> list[str]:
        """Send what is due; the triggers of what left, in order."""
        left = []
        for notice in await self.claim(channels):
            await settle_notice(self.records, MRID(notice.id), handed, self.now, process="p")
            self.sent.append(notice)
            left.append(notice.trigger)
        return left

    async def notices(self) -> list[NoticeRecord]:
        return [one.body for one in await self.records.select(NOTICES, Selection())]

    async def states(self) -> list[str]:
        return [one.state for one in await self.records.select(NOTICES, Selection())]


async def a_town() -> Bench:
    """A bench with the premises and customers of Northlake."""
    bench = Bench()
    await cis.seed_town(bench.records, bench.now)
    for preferences in await bench.records.select(PREFERENCES, Selection()):
        await bench.records.drop(PREFERENCES, preferences.mrid)
    return bench


def at(hours: float) -> datetime:
    return MONDAY + timedelta(hours=hours)


async def test_a_caller_is_told_the_first_restoration_time_with_source_and_validity() -> None:
    """A time without source and validity is what made customers of other utilities angry."""
    bench = await a_town()
    await bench.incident(verb=Verb.CREATED)
    await bench.ticket("T-1", Trigger.initialEtr, place=HOME.mrid("location"))

    await bench.incident(at(3), valid_until=at(2))

    assert await bench.send() == ["initialEtr"]
    (notice,) = bench.sent
    assert (notice.kind, notice.address) == (ContactKind.EMAIL, "ada@post.example")
    assert notice.text == (
        f"Power outage at {HOME.house_number} {HOME.street} {HOME.street_type}. Supply is expected back at 12:00 on"
        " Monday, 2 March (UTC), an estimate by crew CREW-11. It holds until 11:00 on Monday, 2 March (UTC)."
    )


async def test_nobody_is_told_a_time_that_is_not_known() -> None:
    """An incident that is being assessed has no restoration time, and none may reach a customer."""
    bench = Bench()
    await bench.ticket("T-1", Trigger.initialEtr)
    await bench.incident(stage=EtrStage.ASSESSING)
    await bench.incident(stage=EtrStage.NONE)

    assert await bench.notices() == []


async def test_a_change_is_told_to_whom_the_old_time_was_told() -> None:
    """Who waits for a time that no longer holds is let down twice."""
    bench = Bench()
    await bench.ticket("T-1", Trigger.initialEtr)
    await bench.ticket("T-2", Trigger.etrChange, contact="beatriz@post.example")
    await bench.incident(at(3))
    assert await bench.send() == ["initialEtr"]

    bench.pass_time(minutes=10)
    await bench.incident(at(5))

    assert sorted(await bench.send()) == ["etrChange", "etrChange"]
    assert "no longer holds. Supply is expected back at 14:00" in bench.sent[1].text


async def test_a_time_that_is_withdrawn_is_taken_back() -> None:
    """The withdrawn stage says that nothing is known; so does the notice."""
    bench = Bench()
    await bench.ticket("T-1", Trigger.initialEtr)
    await bench.incident(at(3))
    await bench.send()
    bench.pass_time(minutes=1)
    await bench.incident(stage=EtrStage.WITHDRAWN)

    assert await bench.send() == ["etrChange"]
    assert bench.sent[-1].text.endswith("no longer holds. No restoration time is known yet.")
    bench.pass_time(minutes=1)
    await bench.incident(stage=EtrStage.ASSESSING)
    assert await bench.send() == []


async def test_who_heard_the_time_with_the_call_is_not_told_it_again() -> None:
    """The answer to a call says incident and restoration time; the notice would say it twice."""
    bench = Bench()
    await bench.incident(at(3), verb=Verb.CREATED)
    await bench.ticket("T-1", Trigger.initialEtr)
    assert await bench.send() == []
    bench.pass_time(minutes=1)
    await bench.incident(at(6))
    assert await bench.send() == ["etrChange"]


async def test_a_notice_whose_time_has_changed_before_it_left_is_withdrawn() -> None:
    """Only what holds now goes out, however long it had to wait for the morning."""
    bench = Bench()
    await bench.ticket("T-1", Trigger.initialEtr, earliest=at(1))
    await bench.incident(at(5))
    assert await bench.send() == []
    bench.pass_time(minutes=10)
    await bench.incident(at(7))
    bench.pass_time(hours=1)

    assert await bench.send() == ["initialEtr"]
    assert "back at 16:00" in bench.sent[0].text
    assert "no longer holds" not in bench.sent[0].text
    assert sorted(await bench.states()) == ["sent", "withdrawn"]


async def test_there_and_back_again_is_told_as_it_stands() -> None:
    """Twelve, then five, then twelve again: whoever was told five has to hear twelve, and once."""
    bench = Bench()
    await bench.ticket("T-1", Trigger.initialEtr)
    for hour in (3, 8, 3):
        await bench.incident(at(hour))
        await bench.send()
        bench.pass_time(minutes=1)
    await bench.incident(at(3))
    await bench.send()

    assert [notice.text.partition("back at ")[2][:5] for notice in bench.sent] == ["12:00", "17:00", "12:00"]


async def test_a_validity_that_ends_before_the_notice_leaves_ends_the_notice() -> None:
    """An estimate is a promise until its validity ends, and none afterwards."""
    bench = Bench()
    await bench.ticket("T-1", Trigger.initialEtr, earliest=at(2))
    await bench.incident(at(5), valid_until=at(1))
    bench.pass_time(hours=2)

    assert await bench.send() == []
    assert (await bench.notices())[0].reason == "the restoration time is no longer valid"


async def test_a_crew_that_was_sent_is_told_once() -> None:
    """dispatched, enroute and onSite are three events and one piece of news."""
    bench = Bench()
    await bench.ticket("T-1", Trigger.informDispatched)
    for state in (WorkStatusKind.dispatched, WorkStatusKind.enroute, WorkStatusKind.onSite):
        await bench.incident(crew=state)
        bench.pass_time(minutes=1)

    assert await bench.send() == ["informDispatched"]


async def test_a_crew_that_was_called_off_is_not_announced() -> None:
    """A crew that is sent elsewhere in the storm before the notice left is on its way to nobody here."""
    bench = Bench()
    await bench.ticket("T-1", Trigger.informDispatched, earliest=at(1))
    await bench.incident(crew=WorkStatusKind.dispatched)
    bench.pass_time(minutes=5)
    await bench.incident(crew=WorkStatusKind.cancelled)
    bench.pass_time(hours=1)

    assert await bench.send() == []


async def test_restored_is_told_for_the_points_that_are_restored_and_no_other() -> None:
    """Half of a lateral is back; the dark half must not read that it is."""
    bench = await a_town()
    await bench.ticket("T-1", Trigger.powerRestored, place=HOME.mrid("location"), contact="a@post.example")
    await bench.ticket("T-2", Trigger.powerRestored, place=NEIGHBOUR.mrid("location"), contact="b@post.example")
    bench.pass_time(hours=1)
    await bench.incident(points=[HOME.mrid("usage_point")], restored_at=bench.now)

    await bench.send()

    assert [notice.address for notice in bench.sent] == ["a@post.example"]
    bench.pass_time(hours=1)
    await bench.incident(verb=Verb.CLOSED, restored_at=bench.now)
    await bench.send()
    assert [notice.address for notice in bench.sent] == ["a@post.example", "b@post.example"]
    assert bench.sent[0].text.startswith(f"Supply at {HOME.house_number} {HOME.street}")


async def test_who_says_still_out_is_not_told_restored() -> None:
    """A customer in the dark who reads `restored` stops believing anything."""
    bench = await a_town()
    home = HOME.mrid("location")
    await bench.ticket("T-1", Trigger.powerRestored, place=home, earliest=at(3))
    bench.pass_time(hours=1)
    await bench.incident(verb=Verb.CLOSED, restored_at=bench.now)
    bench.pass_time(minutes=10)
    await bench.ticket("T-2", Trigger.powerRestored, place=home, incident=mrid("INC-2"))
    bench.pass_time(hours=2)

    assert await bench.send() == []
    assert (await bench.notices())[0].reason == "supply at this place is reported to be out again"
    await bench.incident(verb=Verb.CLOSED, restored_at=bench.now, name=mrid("INC-2"))
    assert await bench.send() == ["powerRestored"]


async def test_a_nested_outage_stays_out() -> None:
    """The feeder is back, the fuse of the house is not."""
    bench = await a_town()
    home = HOME.mrid("location")
    await bench.ticket("T-1", Trigger.powerRestored, place=home)
    await bench.ticket("T-2", Trigger.powerRestored, place=home, incident=mrid("INC-2"))
    bench.pass_time(hours=1)
    await bench.incident(verb=Verb.CLOSED, restored_at=bench.now)

    assert await bench.send() == []


async def test_what_the_customer_has_said_is_not_told_back() -> None:
    """Evidence `callback` is the customer's own word."""
    bench = Bench()
    await bench.ticket("T-1", Trigger.powerRestored)
    await bench.ticket("T-2", Trigger.powerRestored, contact="b@post.example")
    bench.pass_time(hours=1)
    await bench.end_ticket("T-1", "callback")
    await bench.end_ticket("T-2", "crew")

    assert await bench.send() == ["powerRestored"]
    assert bench.sent[0].address == "b@post.example"


async def test_a_cancelled_ticket_ends_what_was_planned_for_it() -> None:
    """A ticket that should not have been leads to no notice."""
    bench = Bench()
    await bench.ticket("T-1", Trigger.initialEtr, earliest=at(1))
    await bench.incident(at(5))
    await bench.end_ticket("T-1", verb=Verb.CANCELED)
    bench.pass_time(hours=1)

    assert await bench.send() == []


async def test_customers_with_preferences_are_told_of_points_that_events_name() -> None:
    """Who has asked once to be told need not call each time."""
    bench = await a_town()
    wish = ContactPreference(
        kind=ContactKind.SMS, value="+1 906 555 0108", triggers=(Trigger.powerOut, Trigger.powerRestored)
    )
    await bench.prefer(HOME.mrid("customer"), wish)
    points = [HOME.mrid("usage_point"), NEIGHBOUR.mrid("usage_point")]
    await bench.incident(verb=Verb.CREATED, points=points)
    assert await bench.send() == ["powerOut"]
    bench.pass_time(hours=1)
    await bench.incident(verb=Verb.CLOSED, restored_at=bench.now)

    assert await bench.send() == ["powerRestored"]
    assert {notice.kind for notice in bench.sent} == {ContactKind.SMS}


async def test_the_wish_of_a_caller_goes_before_stored_preferences() -> None:
    """One household, one notice: by what was asked for just now."""
    bench = await a_town()
    wish = ContactPreference(kind=ContactKind.SMS, value="+1 906 555 0108", triggers=(Trigger.initialEtr,))
    await bench.prefer(HOME.mrid("customer"), wish)
    await bench.ticket("T-1", Trigger.initialEtr, place=HOME.mrid("location"))
    await bench.incident(at(4))

    await bench.send()

    assert [notice.kind for notice in bench.sent] == [ContactKind.EMAIL]


async def test_two_calls_of_one_household_lead_to_one_notice() -> None:
    """Repeat callers are told once."""
    bench = await a_town()
    for name in ("T-1", "T-2", "T-3"):
        await bench.ticket(name, Trigger.initialEtr, place=HOME.mrid("location"))
    await bench.incident(at(4))

    assert await bench.send() == ["initialEtr"]


@pytest.mark.parametrize("trigger", [Trigger.informDispatched, Trigger.initialEtr])
async def test_a_later_call_of_the_household_brings_no_second_notice(trigger: Trigger) -> None:
    """Somebody else of the house calls when the first one was told already."""
    bench = await a_town()
    await bench.ticket("T-1", trigger, place=HOME.mrid("location"))
    await bench.incident(at(5), crew=WorkStatusKind.dispatched)
    assert await bench.send() == [trigger]
    bench.pass_time(minutes=5)
    await bench.ticket("T-2", trigger, place=HOME.mrid("location"))

    assert await bench.send() == []


async def test_who_reported_later_than_the_restoration_is_still_out() -> None:
    """The word of ten o'clock says nothing of who called at half past, though it comes at eleven."""
    bench = await a_town()
    await bench.ticket("T-1", Trigger.powerRestored, place=HOME.mrid("location"), contact="a@post.example")
    bench.pass_time(minutes=90)
    await bench.ticket("T-2", Trigger.powerRestored, place=NEIGHBOUR.mrid("location"), contact="b@post.example")
    bench.pass_time(minutes=30)
    await bench.incident(verb=Verb.CLOSED, restored_at=at(1))

    await bench.send()

    assert [notice.address for notice in bench.sent] == ["a@post.example"]


async def test_planned_work_is_announced_with_its_period() -> None:
    """A planned interruption has a begin and an end, and neither is an estimate of a restoration."""
    bench = await a_town()
    wish = ContactPreference(
        kind=ContactKind.EMAIL, value="a@post.example", triggers=(Trigger.powerOut, Trigger.initialEtr)
    )
    await bench.prefer(HOME.mrid("customer"), wish)
    await bench.incident(verb=Verb.CREATED, points=[HOME.mrid("usage_point")], planned=(at(24), at(28)))

    assert await bench.send() == ["powerOut"]
    assert "planned work from 09:00 on Tuesday, 3 March (UTC)" in bench.sent[0].text
    assert "planned to end at 13:00" in bench.sent[0].text


async def test_an_incident_that_names_its_tickets_is_enough() -> None:
    """An OMS of another make may tell which tickets an incident has, and nothing on the tickets."""
    bench = Bench()
    await bench.ticket("T-1", Trigger.initialEtr, incident=None)
    await bench.incident(at(4), tickets=["T-1"])

    assert await bench.send() == ["initialEtr"]


async def test_a_ticket_that_moves_hears_what_holds_where_it_is_now() -> None:
    """The guess was wrong, and with it the time that was told."""
    bench = Bench()
    await bench.ticket("T-1", Trigger.initialEtr)
    await bench.incident(at(3))
    await bench.send()
    bench.pass_time(minutes=5)
    other = mrid("INC-2")
    await bench.incident(at(9), verb=Verb.CREATED, name=other)
    await bench.ticket("T-1", Trigger.initialEtr, incident=other, verb=Verb.CHANGED)

    assert await bench.send() == ["etrChange"]
    assert "back at 18:00" in bench.sent[-1].text
    bench.pass_time(minutes=5)
    await bench.incident(at(4))
    assert await bench.send() == []


async def test_hours_of_a_wish_are_kept() -> None:
    """Not before the first instant, and not after the last."""
    bench = Bench()
    await bench.ticket("T-1", Trigger.initialEtr, latest=at(1))
    bench.pass_time(hours=2)
    await bench.incident(at(5))

    assert await bench.send() == []
    assert (await bench.notices())[0].reason == "the hours in which the customer may be told are over"


async def test_hours_of_a_customer_are_those_of_the_customers_clock() -> None:
    """22:00 in Chicago is not the hour for a text message, whatever the time is in Greenwich."""
    bench = await a_town()
    rules = NoticeRules(time_zone="America/Chicago")
    await bench.records.save(NOTICE_RULES, Stored(mrid=RULES_KEY, body=rules, created_at=MONDAY, modified_at=MONDAY))
    wish = ContactPreference(
        kind=ContactKind.SMS, value="+1", triggers=(Trigger.initialEtr,), earliest="08:00", latest="21:00"
    )
    await bench.prefer(HOME.mrid("customer"), wish)
    await bench.ticket("T-1", place=HOME.mrid("location"))
    await bench.incident(at(9))  # at 09:00 UTC, which is 03:00 there

    assert await bench.send() == []
    bench.now = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)
    assert await bench.send() == ["initialEtr"]
    assert "12:00 on Monday, 2 March (CST)" in bench.sent[0].text


@pytest.mark.parametrize(
    ("earliest", "latest", "local", "expected"),
    [
        ("08:00", "21:00", "2026-03-02T12:00", "2026-03-02T12:00"),
        ("08:00", "21:00", "2026-03-02T07:59", "2026-03-02T08:00"),
        ("08:00", "21:00", "2026-03-02T21:01", "2026-03-03T08:00"),
        ("22:00", "06:00", "2026-03-02T23:00", "2026-03-02T23:00"),
        ("22:00", "06:00", "2026-03-02T05:00", "2026-03-02T05:00"),
        ("22:00", "06:00", "2026-03-02T12:00", "2026-03-02T22:00"),
        ("02:30", "04:00", "2026-03-08T00:00", "2026-03-08T03:30"),  # the hour that is left out
        ("08:00", "21:00", "2026-10-31T23:00", "2026-11-01T08:00"),  # the night that has an hour more
        ("", "", "2026-03-02T03:00", "2026-03-02T03:00"),
    ],
)
def test_the_next_allowed_hour(earliest: str, latest: str, local: str, expected: str) -> None:
    """Also over midnight, and when the clocks change."""
    zone = ZoneInfo("America/Chicago")
    now = datetime.fromisoformat(local).replace(tzinfo=zone).astimezone(UTC)
    hours = Hours(earliest=earliest, latest=latest)

    due = next_allowed(hours, zone, now)

    assert due is not None
    assert due.astimezone(zone).replace(tzinfo=None).isoformat(timespec="minutes") == expected


async def test_without_a_channel_people_are_to_call() -> None:
    """A wish that no machine can serve is not lost."""
    bench = await a_town()
    await bench.ticket(
        "T-1", Trigger.initialEtr, place=HOME.mrid("location"), contact="+1 906 555 0108", contact_type="phone"
    )
    await bench.incident(at(3))

    assert await bench.send(channels=frozenset({ContactKind.EMAIL})) == []
    (call,) = await bench.records.select(CALL_BACKS, Selection())
    assert (call.body.group, call.body.contact, call.body.ticket) == (HOME.feeder, "+1 906 555 0108", "T-1")
    assert call.body.name == HOME.organisation


@pytest.mark.parametrize(("reason", "waiting"), [("callback", 1), ("crew", 2)])
async def test_who_was_called_back_by_whatever_way_is_not_on_the_list_any_more(reason: str, waiting: int) -> None:
    """Agents of another desk close the ticket by a message; nobody is to be called twice for it."""
    bench = await a_town()
    phone = {"contact": "+1 906 555 0108", "contact_type": "phone"}
    await bench.ticket("T-1", Trigger.initialEtr, place=HOME.mrid("location"), **phone)
    await bench.ticket("T-2", Trigger.initialEtr, place=find_premises(0).mrid("location"), **phone)
    await bench.incident(at(3))
    assert await bench.send(channels=frozenset({ContactKind.EMAIL})) == []

    await bench.end_ticket("T-1", reason)

    calls = {one.body.ticket: one.state for one in await bench.records.select(CALL_BACKS, Selection())}
    assert list(calls.values()).count("waiting") == waiting
    assert calls["T-2"] == "waiting"


async def test_nothing_left_is_tried_again_and_then_called() -> None:
    """A mail server that is down for a minute costs nobody a notice; one that stays down makes work for people."""
    bench = Bench()
    await bench.ticket("T-1", Trigger.initialEtr)
    await bench.incident(at(9))
    later = HandOver(result=Handed.LATER, reason="connection refused")
    attempts = 0
    for _ in range(3 * MOST_ATTEMPTS):
        attempts += len(await bench.send(later))
        bench.pass_time(minutes=10)

    assert attempts == MOST_ATTEMPTS
    assert await bench.states() == ["listed"]
    assert len(await bench.records.select(CALL_BACKS, Selection())) == 1


async def test_who_dies_while_sending_leaves_it_unknown_and_nobody_sends_again() -> None:
    """At most once: a second message is worse than a call that asks."""
    bench = Bench()
    await bench.ticket("T-1", Trigger.initialEtr)
    await bench.incident(at(3))
    (notice,) = await bench.claim(process="dead")
    assert await bench.claim(process="other") == ()

    bench.now += LEASE
    assert await bench.claim(process="other") == ()

    assert await bench.states() == ["unknown"]
    assert len(await bench.records.select(CALL_BACKS, Selection(states=("waiting",)))) == 1
    assert await settle_notice(bench.records, MRID(notice.id), SENT, bench.now, process="other") == ""
    assert await settle_notice(bench.records, MRID(notice.id), SENT, bench.now, process="dead") == "sent"
    assert await bench.records.select(CALL_BACKS, Selection(states=("waiting",))) == ()


async def test_a_change_waits_for_what_is_under_way() -> None:
    """Two messages over two connections may overtake one another; the last one read has to be the one that holds."""
    bench = Bench()
    await bench.ticket("T-1", Trigger.initialEtr)
    await bench.incident(at(3))
    (first,) = await bench.claim()
    bench.pass_time(seconds=1)
    await bench.incident(at(6))
    assert await bench.claim() == ()
    later = HandOver(result=Handed.LATER, reason="connection refused")
    await settle_notice(bench.records, MRID(first.id), later, bench.now, process="p")
    bench.pass_time(minutes=1)

    (second,) = await bench.claim()

    assert "back at 15:00" in second.text
    assert "no longer holds" not in second.text  # for nothing was told before


async def test_who_depends_on_supply_is_told_first() -> None:
    """Of all whose notices are due, however late theirs was planned."""
    bench = await a_town()
    ill = find_premises(3)
    for home in (HOME, NEIGHBOUR, ill):
        contact = f"{home.index}@post.example"
        await bench.ticket(f"T-{home.index}", Trigger.initialEtr, place=home.mrid("location"), contact=contact)
    await bench.incident(at(4))
    await bench.send()

    assert bench.sent[0].address == "3@post.example"
    assert len(bench.sent) == 3


async def test_many_members_are_told_in_slices() -> None:
    """The message that tells of a restoration time does not wait for all the customers of a feeder."""
    bench = Bench()
    count = 2 * SHELF_SIZE + 3
    for number in range(count):
        await bench.ticket(f"T-{number}", Trigger.initialEtr, contact=f"{number}@post.example")
    await bench.incident(at(4))
    assert len(await bench.notices()) == SHELF_SIZE

    assert len(await bench.send()) == count
    assert len({notice.address for notice in bench.sent}) == count


async def test_what_is_old_and_over_is_forgotten() -> None:
    """Who was in the dark, and under which number, is kept no longer than it has to be; what goes on stays."""
    bench = Bench()
    other = mrid("INC-2")
    await bench.ticket("T-1", Trigger.informDispatched)
    await bench.ticket("T-2", Trigger.informDispatched, incident=other, contact="b@post.example")
    await bench.ticket("T-3", Trigger.informDispatched, incident=other, contact="1", contact_type="phone")
    await bench.incident(crew=WorkStatusKind.onSite)
    await bench.incident(crew=WorkStatusKind.onSite, name=other)
    await bench.send(channels=frozenset({ContactKind.EMAIL}))
    await bench.incident(verb=Verb.CLOSED, restored_at=bench.now)
    for days, expected in ((399, 3), (2, 0)):
        bench.pass_time(days=days)
        served = await cis.TICKS[-1](bench._context(bench._header(Verb.EXECUTE, Noun.INCIDENTS)))
        assert served.has_more is False
        assert len(await bench.states()) == expected
    (call,) = await bench.records.select(CALL_BACKS, Selection())
    assert call.state == "waiting"
    assert [one.body.ticket for one in await bench.records.select(MEMBERS, Selection())] == ["T-2", "T-3"]
    assert [one.mrid for one in await bench.records.select(FOLLOWED, Selection())] == [other]


class Counted:
    """Records that count how often they are asked, and how much they give."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self.work = 0

    async def find(self, collection: Collection[Any], mrid: MRID) -> Stored[Any] | None:
        self.work += 1
        return await self._records.find(collection, mrid)

    async def find_by_key(self, collection: Collection[Any], key: Key) -> tuple[Stored[Any], ...]:
        found = await self._records.find_by_key(collection, key)
        self.work += 1 + len(found)
        return found

    async def select(self, collection: Collection[Any], selection: Selection) -> tuple[Stored[Any], ...]:
        found = await self._records.select(collection, selection)
        self.work += 1 + len(found)
        return found

    async def save(self, collection: Collection[Any], stored: Stored[Any]) -> None:
        self.work += 1
        await self._records.save(collection, stored)

    async def drop(self, collection: Collection[Any], mrid: MRID) -> None:
        self.work += 1
        await self._records.drop(collection, mrid)


async def _costs(members: int) -> tuple[int, int]:
    """Work for one more call, and for a word on the restoration time, with so many members of the incident."""
    bench = Bench()
    counted = Counted(bench.records)
    bench.records = counted
    for number in range(members):
        await bench.ticket(f"T-{number}", Trigger.initialEtr, contact=f"{number}@post.example")
    before = counted.work
    await bench.ticket("T", Trigger.initialEtr, contact="one.more@post.example")
    told = counted.work
    await bench.incident(at(4))
    return told - before, counted.work - told


async def test_a_message_costs_the_same_however_many_are_out() -> None:
    """The hundred-thousandth call of a storm, and a word on the restoration time of all of them."""
    assert await _costs(2 * SHELF_SIZE) == await _costs(8 * SHELF_SIZE)


# ------------------------------------------------------------------------------------------------------- property

_TRIGGERS = st.sampled_from(list(Trigger))
_STEPS = st.one_of(
    st.tuples(st.just("ticket"), st.integers(0, 3), _TRIGGERS, st.integers(0, 1), st.integers(0, 1)),
    st.tuples(st.just("etr"), st.integers(0, 1), st.sampled_from([3, 5, 5, 8, None]), st.integers(-30, 0)),
    st.tuples(st.just("crew"), st.integers(0, 1), st.sampled_from(list(WorkStatusKind))),
    st.tuples(st.just("points"), st.integers(0, 1), st.integers(0, 1)),
    st.tuples(st.just("restore"), st.integers(0, 1), st.integers(0, 1)),
    st.tuples(st.just("close"), st.integers(0, 1)),
    st.tuples(st.just("end"), st.integers(0, 3), st.sampled_from(["callback", "crew", None])),
    st.tuples(st.just("again"), st.integers(0, 30)),
    st.tuples(st.just("send"), st.sampled_from(list(Handed))),
    st.tuples(st.just("wait"), st.integers(1, 90)),
)


class Story:
    """Plays steps against a bench; each event may be played again later, as it was."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.played: list[tuple[datetime, tuple[object, ...]]] = []

    async def play(self, step: tuple[object, ...]) -> None:
        bench = self.bench
        match step:
            case ("again", int(back)):
                if self.played:
                    then, before = self.played[-1 - back % len(self.played)]
                    now, bench.now = bench.now, then
                    await self._event(before)
                    bench.now = now
            case ("send", Handed() as result):
                await bench.send(HandOver(result=result))
            case ("wait", int(minutes)):
                bench.pass_time(minutes=minutes)
            case _:
                self.played.append((bench.now, step))
                await self._event(step)

    async def _event(self, step: tuple[object, ...]) -> None:
        bench = self.bench
        homes = (HOME, NEIGHBOUR)
        faults = (FAULT, mrid("INC-2"))
        match step:
            case ("ticket", int(number), Trigger() as trigger, int(home), int(fault)):
                await bench.ticket(
                    f"T-{number}",
                    trigger,
                    place=homes[home].mrid("location"),
                    incident=faults[fault],
                    contact=f"{home}@post.example",
                )
            case ("etr", int(fault), hours, int(age)):
                stage = EtrStage.WITHDRAWN if hours is None else None
                etr = at(float(hours)) if isinstance(hours, int) else None
                await bench.incident(etr, stage=stage, name=faults[fault], said_at=bench.now + timedelta(minutes=age))
            case ("crew", int(fault), WorkStatusKind() as state):
                await bench.incident(crew=state, name=faults[fault])
            case ("points", int(fault), int(home)):
                await bench.incident(points=[homes[home].mrid("usage_point")], name=faults[fault])
            case ("restore", int(fault), int(home)):
                await bench.incident(
                    points=[homes[home].mrid("usage_point")], restored_at=bench.now, name=faults[fault]
                )
            case ("close", int(fault)):
                await bench.incident(verb=Verb.CLOSED, restored_at=bench.now, name=faults[fault])
            case ("end", int(number), reason):
                await bench.end_ticket(f"T-{number}", reason if isinstance(reason, str) else None)


@example(
    [
        ("ticket", 0, Trigger.informDispatched, 0, 0),
        ("crew", 0, WorkStatusKind.dispatched),
        ("send", Handed.SENT),
        ("wait", 5),
        ("ticket", 1, Trigger.informDispatched, 0, 0),
    ]
)
@given(st.lists(_STEPS, max_size=25))
async def test_no_notice_is_planned_or_sent_twice(steps: list[tuple[object, ...]]) -> None:
    """Whatever the order and repetition of events, and whatever becomes of attempts."""
    bench = Bench()
    for index in (8, 9):
        await _settle(bench, index)
    story = Story(bench)

    for step in [*steps, ("send", Handed.SENT)]:
        await story.play(step)

    for stored in await bench.records.select(NOTICES, Selection()):
        assert stored.body.attempts == sum(notice.id == stored.mrid for notice in bench.sent)
    first_etr = next((number for number, step in enumerate(steps) if step[0] == "etr"), len(steps))
    _require_no_repetition(
        await _that_left(bench), may_hear_by_call=any(step[0] in ("ticket", "again") for step in steps[first_etr:])
    )


async def _that_left(bench: Bench) -> list[NoticeRecord]:
    found = [one.body for one in await bench.records.select(NOTICES, Selection()) if one.state in ("sent", "unknown")]
    return sorted(found, key=lambda one: one.ended_at or MONDAY)


def _require_no_repetition(left: list[NoticeRecord], *, may_hear_by_call: bool) -> None:
    """Of one place and incident nobody reads one thing twice; a restoration time only after another one was told."""
    last: dict[tuple[object, ...], str] = {}
    seen: set[tuple[object, ...]] = set()
    for one in left:
        key = (one.contact, one.place, one.incident)
        if one.trigger in (Trigger.initialEtr, Trigger.etrChange):
            assert may_hear_by_call or last.get(key) != one.text
            last[key] = one.text
        else:
            assert (*key, one.trigger, one.text) not in seen
            seen.add((*key, one.trigger, one.text))


async def _settle(bench: Bench, index: int) -> None:
    town = cis.build_town(bench.now)
    from cimcare.systems.premises import CUSTOMERS, PREMISES

    await bench.records.save(PREMISES, town.premises[index])
    customer = next(one for one in town.customers if one.mrid == find_premises(index).mrid("customer"))
    await bench.records.save(CUSTOMERS, customer)


def test_records_survive_the_store() -> None:
    """What is kept has to be read again by the next release."""
    record = NoticeRecord(
        kind=ContactKind.SMS,
        contact="+1",
        trigger=Trigger.powerOut,
        incident=FAULT,
        place="p",
        subject="s",
        text="t",
        hours=Hours(not_before=MONDAY),
    )
    assert msgspec.json.decode(msgspec.json.encode(record), type=NoticeRecord) == record
