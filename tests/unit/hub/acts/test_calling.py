"""Calls by the REST interface: recognised, attached to what is open, taken as messages; call-backs, preferences."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from cimcare.exchange.log import Direction
from cimcare.exchange.ports import Selection
from cimcare.hub.acts.acting import Acting
from cimcare.hub.acts.asking import Asking
from cimcare.hub.acts.calling import Calling
from cimcare.model.envelope import EventMessage, Header, Payload, RequestMessage
from cimcare.model.identity import MRID, MessageID
from cimcare.model.incident import Incident, IncidentOutage, Incidents
from cimcare.model.nouns import Noun
from cimcare.model.trouble_ticket import TroubleTicket, TroubleTickets
from cimcare.model.values import DateTimeInterval, Status
from cimcare.model.verbs import Verb
from cimcare.samples.northlake import Premises, find_premises
from cimcare.simulator.partner import SimulatedPartner
from cimcare.systems.cis.intake import Call
from cimcare.systems.cis.kinds import TICKETS
from cimcare.systems.etr import Etr, EtrStage, render_remark
from cimcare.systems.oms import kinds as oms
from tests.support.hub import Response, call, hub_settings
from tests.unit.hub.conftest import NOON, HeldHub

HOME = find_premises(8)
ILL = find_premises(3)


class Desk(HeldHub):
    """A hub with the town, and somebody at the telephone."""

    async def send(self, path: str, body: object, method: str = "POST", **headers: str) -> Response:
        given = {"content-type": "application/json", **{key.replace("_", "-"): text for key, text in headers.items()}}
        raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
        response = await call(self.hub.app, path, raw, method=method, headers=given)
        assert response is not None
        return response

    async def take(self, expected: int = 201, **said: object) -> Mapping[str, object]:
        response = await self.send("/api/v1/calls", said, x_actor="desk-1")
        assert response.status == expected, response.body
        taken: Mapping[str, object] = msgspec.json.decode(response.body)
        return taken

    async def read(self, path: str, expected: int = 200) -> Mapping[str, object]:
        response = await self.get(path)
        assert response.status == expected, response.body
        answer: Mapping[str, object] = msgspec.json.decode(response.body)
        return answer

    async def tell(self, incident: str, **outage: object) -> None:
        """Tell of an incident as another system would."""
        etr = Etr(source="crew CREW-11", said_at=self.now, valid_until=self.now + timedelta(hours=4))
        end = outage.pop("etr", None)
        self.later(seconds=1)
        body = Incident(
            mrid=MRID(incident),
            last_modified_date_time=self.now,
            outage=IncidentOutage(estimated_period=DateTimeInterval(end=end), **outage),  # type: ignore[arg-type]
            status=Status(
                value="open",
                reason=EtrStage.CREW.value if end is not None else None,
                remark=render_remark(etr) if end is not None else None,
            ),
        )
        header = Header(
            verb=Verb.CHANGED,
            noun=Noun.INCIDENTS,
            source="CONTROL",
            message_id=MessageID(self.new_id()),
            timestamp=self.now,
        )
        await self.post(EventMessage(header=header, payload=Payload(content=(Incidents(incident=(body,)),))))

    async def tickets(self) -> int:
        return len(await self.store.reader.records.select(oms.TICKETS.collection, Selection()))


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk()
    await desk.open(tmp_path, seed_town=True)
    yield desk
    await desk.hub.close()


async def test_a_call_becomes_a_ticket_by_a_message(desk: Desk) -> None:
    """Stored, safe to repeat and audited like any other; the caller hears where things stand."""
    taken = await desk.take(account=HOME.account, trouble="noPower", comment="all dark")

    assert taken["isNew"] is True
    assert taken["incident"]
    assert taken["etr"] == {"stage": "none", "at": None, "source": "", "confidence": None, "validUntil": None}
    assert taken["sentence"] == (
        f"Your report for {HOME.house_number} {HOME.street} {HOME.street_type} is taken."
        " No restoration time is known yet."
    )
    (entry,) = await desk.log(noun="TroubleTickets", verb="create", direction=Direction.IN)
    assert (entry.partner, entry.outcome) == ("CIS", "OK")
    stored = await desk.store.reader.records.find(TICKETS.collection, MRID(str(taken["ticket"])))
    assert stored is not None
    assert stored.body.comment == "all dark"
    assert stored.body.customer is not None
    assert stored.body.customer.mrid == HOME.mrid("customer")


@pytest.mark.parametrize(
    "said",
    [
        {"account": HOME.account.lower()},
        {"premises": HOME.location},
        {"premises": HOME.mrid("location")},
        {"customer": HOME.customer},
        {"telephone": "906 555 0108"},
        {"caller": HOME.usage_point},
        {"caller": f"{HOME.organisation[:6]} {HOME.street[:4]} {HOME.house_number}"},
        {"caller": f"{HOME.house_number} {HOME.street} {HOME.street_type}"},
    ],
)
async def test_callers_are_recognised_as_typed(desk: Desk, said: dict[str, str]) -> None:
    """By whatever they can say of themselves, in whatever spelling."""
    if "telephone" in said:  # numbers of the made-up town come twice
        response = await desk.send("/api/v1/calls", said)
        callers = msgspec.json.decode(response.body)["callers"]
        assert HOME.mrid("location") in [one["premises"] for one in callers]
        return
    taken = await desk.take(**said)
    assert taken["caller"]["premises"] == HOME.mrid("location")  # type: ignore[index]


async def test_report_once_attach_many(desk: Desk) -> None:
    """A caller whose place is reported already never makes a second ticket; what is new is added."""
    first = await desk.take(account=HOME.account, trouble="noPower")
    await desk.tell(str(first["incident"]), etr=NOON + timedelta(hours=3))
    wish = {"trigger": "powerRestored", "contactType": "e-mail", "contactValue": "a@post.example"}

    again = await desk.take(200, caller=HOME.account, hazards=["wireDown"], notify=wish)

    assert (again["ticket"], again["incident"], again["isNew"]) == (first["ticket"], first["incident"], False)
    assert "reported already" in str(again["sentence"])
    assert "Danger goes before everything else" in str(again["sentence"])
    assert "expected back at 15:00 on Saturday, 1 June (UTC), an estimate by crew CREW-11" in str(again["sentence"])
    assert again["etr"]["stage"] == "crewEstimate"  # type: ignore[index]
    assert await desk.tickets() == 1
    stored = await desk.store.reader.records.find(TICKETS.collection, MRID(str(first["ticket"])))
    assert stored is not None
    assert [hazard.type for hazard in stored.body.hazards] == ["wireDown"]
    assert stored.body.notification is not None
    third = await desk.take(200, caller=HOME.account, hazards=["wireDown"], notify=wish)
    assert third["isNew"] is False
    assert len(await desk.log(noun="TroubleTickets", verb="change", direction=Direction.IN)) == 1


async def test_two_calls_at_once_make_one_ticket(desk: Desk) -> None:
    """Husband and wife, each with a telephone; also where two processes answer."""
    pages = Calling(
        asking=Asking(
            receive=desk.hub.pipeline.receive,
            sources=desk.hub.pipeline.setup.sources,
            context="",
            clock=desk.clock,
            new_id=desk.new_id,
        ),
        reader=desk.store.reader,
        acting=Acting(store=desk.store, setup=lambda: desk.hub.pipeline.setup, clock=desk.clock, new_id=desk.new_id),
        sources=desk.hub.pipeline.setup.sources,
        clock=desk.clock,
        new_id=desk.new_id,
    )
    other = Call(account=HOME.account, comment="by the other process")
    taken = await asyncio.gather(desk.take(account=HOME.account), pages.take(other, "desk-2"), return_exceptions=True)

    assert await desk.tickets() == 1
    first, second = taken
    assert isinstance(first, dict)
    assert not isinstance(second, BaseException)
    assert second.ticket == first["ticket"]  # type: ignore[union-attr]


async def test_a_new_outage_is_a_new_ticket(desk: Desk) -> None:
    """A ticket that was settled takes no more calls."""
    first = await desk.take(account=HOME.account)
    await _close(desk, str(first["ticket"]))
    desk.later(hours=30)
    second = await desk.take(account=HOME.account)
    assert second["ticket"] != first["ticket"]


async def _close(desk: Desk, ticket: str) -> None:
    desk.later(minutes=30)
    body = TroubleTicket(
        mrid=MRID(ticket), resolved_date_time=desk.now, status=Status(value="resolved", reason="operator")
    )
    header = Header(verb=Verb.CLOSE, noun=Noun.TROUBLE_TICKETS, source="CONTROL", message_id=MessageID(desk.new_id()))
    reply = await desk.ask(
        RequestMessage(header=header, payload=Payload(content=(TroubleTickets(trouble_ticket=(body,)),)))
    )
    assert reply.reply.result.value == "OK", reply


@pytest.fixture
async def elsewhere(tmp_path: Path) -> AsyncIterator[tuple[Desk, SimulatedPartner]]:
    """A desk whose outage management is a partner that serves calls and tells nothing of them."""
    partner, desk = SimulatedPartner(name="OMS"), Desk()
    await partner.start()
    more = f'[systems.oms]\nkind = "rest"\nurl = "{partner.address}/messages"\n'
    await desk.open(tmp_path, seed_town=True, partners=hub_settings(tmp_path, more).partners)
    yield desk, partner
    await desk.hub.close()
    await partner.stop()


async def test_report_once_also_where_the_outage_management_tells_nothing(
    elsewhere: tuple[Desk, SimulatedPartner],
) -> None:
    """What we have reported ourselves we know, whoever takes it; a ticket that proves ended makes way for a new one."""
    desk, partner = elsewhere
    first = await desk.take(account=HOME.account, trouble="noPower")
    assert "No restoration time is known yet." in str(first["sentence"])

    second = await desk.take(200, account=HOME.account, hazards=["wireDown"])

    assert second["ticket"] == first["ticket"]
    assert [entry.verb for entry in partner.entries if entry.noun == "TroubleTickets"] == ["create", "change"]
    partner.behave("refuse:6.1")
    refused = await desk.send("/api/v1/calls", {"account": HOME.account, "comment": "once more"})
    assert (refused.status, msgspec.json.decode(refused.body)["finding"]["code"]) == (502, "BUS-142")
    assert [entry.verb for entry in partner.entries][-2:] == ["change", "create"]


async def test_several_who_fit_are_shown_to_choose(desk: Desk) -> None:
    """Nobody guesses which of two houses is dark."""
    response = await desk.send("/api/v1/calls", {"caller": HOME.street})
    problem = msgspec.json.decode(response.body)

    assert (response.status, problem["finding"]["code"]) == (409, "BUS-143")
    assert 2 <= len(problem["callers"]) <= 20
    assert await desk.tickets() == 0


async def test_a_caller_whom_nobody_knows_is_taken_all_the_same(desk: Desk) -> None:
    """A wrong account number loses no call."""
    taken = await desk.take(account="AC-99999", trouble="noPower")

    assert taken["caller"] is None
    assert await desk.tickets() == 1
    assert any("REF-105" in warning for warning in taken["warnings"])  # type: ignore[attr-defined]


async def test_a_passer_by_reports_a_danger(desk: Desk) -> None:
    """Without account and place, and before everything else."""
    taken = await desk.take(hazards=["wireDown"], comment="at the church")
    assert taken["isNew"] is True
    nothing = await desk.send("/api/v1/calls", {"comment": "hello"})
    assert (nothing.status, msgspec.json.decode(nothing.body)["finding"]["code"]) == (400, "BUS-141")


async def test_life_support_keeps_its_priority(desk: Desk) -> None:
    """The message of the call says what depends on supply, so it goes before others at every door."""
    taken = await desk.take(account=ILL.account)
    stored = await desk.store.reader.records.find(TICKETS.collection, MRID(str(taken["ticket"])))
    assert stored is not None
    assert stored.body.customer is not None
    assert stored.body.customer.special_need == ILL.special_need


async def test_callers_by_what_was_typed(desk: Desk) -> None:
    """With the ticket that is open there, so that the agent sees it before asking."""
    taken = await desk.take(account=HOME.account)
    found = await desk.read(f"/api/v1/callers?q={HOME.account}")
    (one,) = found["items"]  # type: ignore[misc]
    assert (one["accountNumber"], one["openTicket"]) == (HOME.account, taken["ticket"])
    assert (await desk.read("/api/v1/callers?q=x"))["items"] == []
    assert (await desk.read("/api/v1/callers?q=Northlake"))["more"] is True
    await desk.read("/api/v1/callers?who=x", 400)


async def _listed(desk: Desk, home: Premises = HOME) -> Mapping[str, object]:
    """A wish for a restoration time by telephone, for which there is no channel."""
    wish = {"trigger": "initialEtr", "contactType": "phone", "contactValue": "+1 906 555 0108"}
    taken = await desk.take(account=home.account, notify=wish)
    await desk.tell(str(taken["incident"]), etr=desk.now + timedelta(hours=2))
    await desk.hub.notifier.round()
    return taken


async def test_an_agent_calls_back_and_hears_that_supply_is_there(desk: Desk) -> None:
    """The customer's word is evidence for this place: the ticket is closed by a message that says so."""
    taken = await _listed(desk)
    page = await desk.read(f"/api/v1/callbacks?state=waiting&group={HOME.feeder}")
    (waiting,) = page["items"]  # type: ignore[misc]
    assert (waiting["contact"], waiting["name"]) == ("+1 906 555 0108", HOME.organisation)
    path = f"/api/v1/callbacks/{waiting['id']}"

    claimed = await desk.send("/api/v1/callbacks/next", {"agent": "kim", "group": HOME.feeder})
    assert msgspec.json.decode(claimed.body)["id"] == waiting["id"]
    assert (await desk.send("/api/v1/callbacks/next", {"agent": "lee"})).status == 204
    assert (await desk.send(f"{path}/claim", {"agent": "lee"})).status == 409
    assert (await desk.send(f"{path}/answer", {"agent": "lee", "answer": "restored"})).status == 409
    answered = await desk.send(f"{path}/answer", {"agent": "kim", "answer": "restored"})

    assert answered.status == 200, answered.body
    assert msgspec.json.decode(answered.body)["state"] == "answered"
    ticket = await desk.store.reader.records.find(oms.TICKETS.collection, MRID(str(taken["ticket"])))
    assert ticket is not None
    assert ticket.state == "resolved"
    assert ticket.body.status is not None
    assert ticket.body.status.reason == "callback"
    assert (await desk.send(f"{path}/answer", {"agent": "kim", "answer": "restored"})).status == 409


async def test_still_out_is_believed(desk: Desk) -> None:
    """Where a ticket is open it says so from now on; where none is, there is one."""
    taken = await _listed(desk)
    claimed = msgspec.json.decode((await desk.send("/api/v1/callbacks/next", {"agent": "kim"})).body)
    path = f"/api/v1/callbacks/{claimed['id']}/answer"
    answered = await desk.send(path, {"agent": "kim", "answer": "stillOut", "remark": "half of the house"})

    assert answered.status == 200, answered.body
    ticket = await desk.store.reader.records.find(oms.TICKETS.collection, MRID(str(taken["ticket"])))
    assert ticket is not None
    assert ticket.state == "open"
    assert str(ticket.body.comment).endswith("still without power, by call-back: half of the house")


async def test_still_out_after_the_ticket_was_settled_is_a_new_one(desk: Desk) -> None:
    """The customer is in the dark, whatever the books say."""
    taken = await _listed(desk)
    claimed = msgspec.json.decode((await desk.send("/api/v1/callbacks/next", {"agent": "kim"})).body)
    await _close(desk, str(taken["ticket"]))
    path = f"/api/v1/callbacks/{claimed['id']}/answer"
    answered = await desk.send(path, {"agent": "kim", "answer": "stillOut"})

    assert answered.status == 200, answered.body
    assert await desk.tickets() == 2


async def test_who_does_not_answer_is_called_again_later(desk: Desk) -> None:
    """Three times, and then no more."""
    await _listed(desk)
    for _ in range(3):
        response = await desk.send("/api/v1/callbacks/next", {"agent": "kim"})
        assert response.status == 200
        path = f"/api/v1/callbacks/{msgspec.json.decode(response.body)['id']}/answer"
        await desk.send(path, {"agent": "kim", "answer": "noAnswer"})
        assert (await desk.send("/api/v1/callbacks/next", {"agent": "kim"})).status == 204
        desk.later(minutes=30)
    assert (await desk.send("/api/v1/callbacks/next", {"agent": "kim"})).status == 204


async def test_a_call_that_is_not_true_any_more_is_not_made(desk: Desk) -> None:
    """Nobody is called to hear a time that has changed since."""
    taken = await _listed(desk)
    await desk.tell(str(taken["incident"]), etr=desk.now + timedelta(hours=5))

    assert (await desk.send("/api/v1/callbacks/next", {"agent": "kim"})).status == 204
    page = await desk.read("/api/v1/callbacks?state=dropped")
    assert page["items"][0]["remark"] == "the restoration time has changed meanwhile"  # type: ignore[index]


async def test_life_support_has_a_list_of_its_own(desk: Desk) -> None:
    """Those who depend on supply are called first, by whoever has that list."""
    await _listed(desk, ILL)
    response = await desk.send("/api/v1/callbacks/next", {"agent": "kim", "group": "life-support"})
    assert msgspec.json.decode(response.body)["group"] == "life-support"


async def test_notices_are_seen(desk: Desk) -> None:
    """Each with its state and reason."""
    taken = await _listed(desk)
    page = await desk.read(f"/api/v1/notices?incident={taken['incident']}&limit=1")
    (notice,) = page["items"]  # type: ignore[misc]
    assert (notice["state"], notice["reason"], notice["dueAt"]) == ("listed", "no channel for phone", None)
    assert (await desk.read(f"/api/v1/notices/{notice['id']}"))["text"] == notice["text"]
    await desk.read("/api/v1/notices/none", 404)
    await desk.read("/api/v1/callbacks/none", 404)


async def test_customers_and_their_preferences(desk: Desk) -> None:
    """Who depends on supply is listed; what customers want is kept and shown."""
    page = await desk.read("/api/v1/customers?specialNeed=true")
    assert ILL.mrid("customer") in [one["id"] for one in page["items"]]  # type: ignore[attr-defined]
    assert all(one["specialNeed"] for one in page["items"])  # type: ignore[attr-defined]
    detail = await desk.read(f"/api/v1/customers/{ILL.customer}")
    assert detail["accounts"] == [ILL.account]
    assert [contact["kind"] for contact in detail["preferences"]["contacts"]] == ["sms", "phone"]  # type: ignore[index]

    wanted = {
        "contacts": [
            {
                "kind": "email",
                "value": "a@post.example",
                "triggers": ["powerRestored"],
                "earliest": "08:00",
                "latest": "20:00",
            }
        ],
        "timeZone": "America/Chicago",
    }
    path = f"/api/v1/customers/{ILL.mrid('customer')}/preferences"
    kept = await desk.send(path, wanted, "PUT")

    assert kept.status == 200, kept.body
    assert (await desk.read(f"/api/v1/customers/{ILL.customer}"))["preferences"] == wanted
    assert (await desk.send(path.replace(ILL.mrid("customer"), "none"), wanted, "PUT")).status == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeZone": "Mars/Olympus", "contacts": []},
        {"contacts": [{"kind": "other", "value": "x", "triggers": []}]},
        {"contacts": [{"kind": "sms", "value": " ", "triggers": []}]},
        {"contacts": [{"kind": "sms", "value": "1", "triggers": [], "earliest": "08:00"}]},
        {"contacts": [{"kind": "sms", "value": "1", "triggers": [], "earliest": "8", "latest": "9"}]},
        {"contacts": [{"kind": "sms", "value": "1", "triggers": ["x"]}]},
    ],
)
async def test_preferences_that_cannot_be_are_refused(desk: Desk, wrong: object) -> None:
    """And not found out in the night of the storm."""
    response = await desk.send(f"/api/v1/customers/{ILL.mrid('customer')}/preferences", wrong, "PUT")
    assert response.status == 400
