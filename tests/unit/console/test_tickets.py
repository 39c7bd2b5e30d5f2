"""Taking a call, looking at its ticket, calling back: without sockets, and without scripts."""

import pytest

from cimcare.console.masking import mask_address, mask_contact
from cimcare.console.pages import console_pages
from cimcare.exchange.notices import ContactKind
from cimcare.exchange.ports import Key, Stored
from cimcare.hub.acts.asking import MessageRefusedError
from cimcare.model.enumerations import NotificationTriggerKind
from cimcare.model.identity import MRID
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from cimcare.samples.northlake import find_premises
from cimcare.systems.cis.callbacks import LIFE_SUPPORT, CallBack, CallBackState, put_in_line
from tests.support.forms import send_form
from tests.support.hub import Response
from tests.unit.hub.conftest import NOON, HeldHub

HOME, NEIGHBOUR, VENTILATOR, VACANT = (find_premises(index) for index in (62, 64, 78, 79))
HOSTILE = '"><script>alert(1)</script>'


async def page_of(held: HeldHub, path: str, status: int = 200) -> str:
    response = await held.get(path)
    assert response.status == status
    return response.body.decode()


async def take(held: HeldHub, **said: str | list[str]) -> str:
    """Take a call, and the page to which it leads."""
    answer = await send_form(held, "/console/tickets", **said)
    assert answer.status == 303, answer.body.decode()
    return await page_of(held, answer.headers["location"])


def text_of(answer: Response) -> str:
    return answer.body.decode()


async def test_who_calls_is_found_by_whatever_is_typed(held: HeldHub) -> None:
    """Name, number, telephone, address: an agent types what the caller says first."""
    asked = (HOME.organisation, HOME.account, HOME.location, HOME.telephone, f"{HOME.house_number} chapel lane")
    for typed in asked:
        text = text_of(await send_form(held, "/console/tickets/callers", q=typed))
        assert HOME.account in text, typed
    assert HOME.local_number not in text  # enough to tell one from another, not the number itself


async def test_without_scripts_find_is_a_button_and_keeps_what_was_typed(held: HeldHub) -> None:
    """The danger that was ticked must not be lost by looking for the caller."""
    answer = await send_form(
        held, "/console/tickets", do="find", q=HOME.account, hazard=["wireDown"], comment="sparks", neighbours="yes"
    )
    text = text_of(answer)
    assert answer.status == 200
    assert 'value="wireDown" accesskey="1" data-key="Digit1" checked' in text
    assert ">sparks</textarea>" in text
    assert f'value="{HOME.mrid("location")}" checked' in text
    assert not await held.log(noun="TroubleTickets")


async def test_a_call_becomes_a_ticket_and_ends_with_what_to_say(held: HeldHub) -> None:
    """The sentence comes from what is known, and the ticket from a message like any other."""
    text = await take(held, premises=HOME.mrid("location"), trouble="noPower", comment="a bang")
    assert f"Your report for {HOME.house_number} Chapel Lane is taken." in text
    assert "No restoration time is known yet." in text
    assert HOME.organisation in text
    (request,) = await held.log(noun="TroubleTickets", verb="create")
    assert request.outcome == "OK"


async def test_who_calls_again_hears_the_incident_at_once(held: HeldHub) -> None:
    """Report once, attach many: no second ticket, and the caller is not asked everything again."""
    await take(held, q=HOME.account, trouble="noPower")
    found = text_of(await send_form(held, "/console/tickets/callers", q=HOME.account))
    assert "reported already" in found
    assert "/console/incidents/" in found
    assert "No restoration time is known yet." in found
    text = await take(held, q=HOME.account, trouble="noPower", comment="the freezer is thawing")
    assert "is reported already; your call is noted" in text
    assert "the freezer is thawing" in text
    assert len(await held.log(noun="TroubleTickets", verb="create")) == 1
    messages = text.split('id="messages-head"')[1]
    assert "<b>create</b> TroubleTickets" in messages
    assert "<b>change</b> TroubleTickets" in messages


async def test_danger_needs_nobody_and_is_told_first(held: HeldHub) -> None:
    """A passer-by sees a wire on the road."""
    text = await take(held, q="Station Road, by the bridge", hazard=["wireDown", "fire"])
    assert "Danger goes before everything else" in text
    assert text.index("wireDown") < text.index("Say to the caller")
    assert "Station Road, by the bridge" in text
    text = await take(held, hazard=["gas"])
    assert "Your report is taken." in text
    assert '<span class="tag bad">gas</span>' in await page_of(held, "/console/tickets")


async def test_what_cannot_be_taken_says_why_and_keeps_what_was_typed(held: HeldHub) -> None:
    """The caller is on the line: nobody types it twice."""
    answer = await send_form(held, "/console/tickets", comment="it is dark", trouble="flicker", way="sms", contact="1")
    text = text_of(answer)
    assert answer.status == 422
    assert "BUS-141" in text
    assert ">it is dark</textarea>" in text
    assert '<option value="flicker" selected>' in text
    answer = await send_form(held, "/console/tickets", q="chapel", comment="it is dark")
    text = text_of(answer)
    assert answer.status == 409
    assert "BUS-143" in text
    assert text.count('type="radio" name="premises"') == 20
    assert ">it is dark</textarea>" in text


async def test_a_refusal_of_who_owns_tickets_is_told(held: HeldHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is lost of the form."""

    async def refuse(*_: object, **__: object) -> None:
        raise MessageRefusedError((await find_refusal(held)).finding)

    monkeypatch.setattr(held.inside.calling, "take", refuse)
    answer = await send_form(held, "/console/tickets", q=HOME.account, comment="dark")
    assert answer.status in (409, 422)
    assert "BUS-142" in text_of(answer)
    assert ">dark</textarea>" in text_of(answer)


async def find_refusal(held: HeldHub) -> MessageRefusedError:
    with pytest.raises(MessageRefusedError) as caught:
        await held.inside.asking.ask(Verb.CANCEL, Noun.TROUBLE_TICKETS, actor="nadia")
    return caught.value


async def test_an_agent_sees_who_depends_on_supply_and_who_has_none(held: HeldHub) -> None:
    """Before a word is said."""
    found = text_of(await send_form(held, "/console/tickets/callers", q=VENTILATOR.account))
    assert "depends on supply" in found
    assert "agreement active" in found
    vacant = text_of(await send_form(held, "/console/tickets/callers", q=VACANT.location))
    assert "not supplied" in vacant
    text = await take(held, premises=VENTILATOR.mrid("location"), trouble="noPower")
    assert str(VENTILATOR.special_need) in text


async def test_a_wish_to_be_told_goes_with_the_ticket(held: HeldHub) -> None:
    """And is shown masked."""
    text = await take(
        held, q=HOME.account, trouble="noPower", trigger="powerRestored", way="sms", contact="+1 906 555 0162"
    )
    assert "powerRestored by sms ••• 62" in text
    assert "906 555 0162" not in text


async def test_hostile_text_is_text(held: HeldHub) -> None:
    """Whatever callers, agents and partners write."""
    answer = await send_form(held, "/console/tickets", do="find", q=HOSTILE, comment=HOSTILE, contact=HOSTILE)
    assert "<script>alert" not in text_of(answer)
    text = await take(held, q=HOSTILE, hazard=[HOSTILE], comment=HOSTILE)
    assert "<script>alert" not in text
    assert "<script>alert" not in await page_of(held, "/console/tickets")
    assert "<script>alert" not in await page_of(held, f"/console/tickets/callbacks?agent={HOSTILE}&group={HOSTILE}")


async def test_tickets_are_listed_newest_first_page_by_page(held: HeldHub) -> None:
    """All of them are in reach."""
    for seed in range(25):
        await held.ask(build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=seed))
        held.later(seconds=1)
    text = await page_of(held, "/console/tickets")
    assert text.count('<th scope="row"><a href="/console/tickets/') == 20
    older = text.split('rel="next" href="')[1].split('"')[0]
    assert (await page_of(held, f"/console/tickets{older}")).count('<th scope="row"><a href="/console/tickets/') == 5


async def test_no_such_ticket_is_said(held: HeldHub) -> None:
    """With what would do."""
    assert "REF-103" in await page_of(held, "/console/tickets/none", 404)


async def test_where_the_console_may_not_act_there_is_no_form(
    held: HeldHub, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Tickets are shown all the same."""
    other = HeldHub()
    await other.open(tmp_path_factory.mktemp("never"), '[console]\nacts = "never"', seed_town=True, pages=console_pages)
    for path in ("/console/tickets", "/console/tickets/callbacks"):
        assert "<form" not in await page_of(other, path)
    assert (await send_form(other, "/console/tickets", hazard="gas")).status == 403
    await other.hub.close()


# ------------------------------------------------------------------------------------------------------- call-backs


async def list_call(held: HeldHub, mark: str, **members: object) -> MRID:
    home = find_premises(62)
    given: dict[str, object] = {
        "group": "NL-11",
        "notice": MRID(f"notice-{mark}"),
        "trigger": NotificationTriggerKind.powerRestored,
        "why": "no channel for phone",
        "text": f"Supply at {home.address} is back.",
        "incident": MRID("i-1"),
        "place": home.mrid("location"),
        "contact_kind": ContactKind.PHONE,
        "contact": home.telephone,
        "name": home.organisation,
        "address": home.address,
        "premises": home.mrid("location"),
        **members,
    }
    body = CallBack(**given)  # type: ignore[arg-type]
    mrid = MRID(f"call-{mark}")
    keys = frozenset({Key("group", body.group), Key("incident", body.incident), Key("place", body.place)})
    async with held.store.transaction() as transaction:
        await put_in_line(
            transaction.records,
            Stored(mrid=mrid, body=body, created_at=held.now, modified_at=NOON, state=CallBackState.WAITING, keys=keys),
        )
    return mrid


async def test_the_next_call_is_claimed_made_and_answered(held: HeldHub) -> None:
    """Only who has claimed it sees the number, and what to say."""
    mrid = await list_call(held, "1")
    home = find_premises(62)
    waiting = await page_of(held, "/console/tickets/callbacks?agent=Nadia")
    assert home.local_number not in waiting
    assert home.address not in waiting
    answer = await send_form(held, "/console/tickets/callbacks/next", agent="Nadia")
    assert answer.status == 303
    mine = await page_of(held, answer.headers["location"])
    assert home.local_number in mine
    assert "Your call" in mine
    assert "Your call" not in await page_of(held, "/console/tickets/callbacks?agent=Ole")
    path = f"/console/tickets/callbacks/{mrid}/answer"
    answer = await send_form(held, path, agent="Nadia", answer="stillOut", remark="all dark")
    assert answer.status == 303
    assert "is believed at once" in await page_of(held, answer.headers["location"])
    (ticket,) = await held.log(noun="TroubleTickets", verb="create")
    assert ticket.outcome == "OK"
    latest = await page_of(held, "/console/tickets")
    assert f"{home.house_number} Chapel Lane" in latest


async def test_no_answer_comes_again_later_and_an_empty_list_says_so(held: HeldHub) -> None:
    """An agent knows when to stop."""
    mrid = await list_call(held, "1", group=LIFE_SUPPORT)
    await send_form(held, f"/console/tickets/callbacks/{mrid}/claim", agent="Nadia")
    await send_form(held, f"/console/tickets/callbacks/{mrid}/answer", agent="Nadia", answer="noAnswer")
    text = await page_of(held, "/console/tickets/callbacks?agent=Nadia")
    assert "later" in text
    answer = await send_form(held, "/console/tickets/callbacks/next", agent="Nadia", group=LIFE_SUPPORT)
    assert "Nobody is to be called now." in await page_of(held, answer.headers["location"])


async def test_what_cannot_be_answered_says_why_and_keeps_the_remark(held: HeldHub) -> None:
    """Two agents, one call."""
    mrid = await list_call(held, "1")
    await send_form(held, f"/console/tickets/callbacks/{mrid}/claim", agent="Ole")
    answer = await send_form(held, f"/console/tickets/callbacks/{mrid}/claim", agent="Nadia")
    assert (answer.status, "BUS-140" in text_of(answer)) == (409, True)
    answer = await send_form(
        held, f"/console/tickets/callbacks/{mrid}/answer", agent="Ole", answer="perhaps", remark="a child answered"
    )
    assert (answer.status, "COD-105" in text_of(answer)) == (409, True)
    assert "a child answered" in text_of(answer)
    for path in ("next", f"{mrid}/claim"):
        assert "COD-105" in text_of(await send_form(held, f"/console/tickets/callbacks/{path}", agent=" "))


def test_masks_tell_one_from_another_and_no_more() -> None:
    """They stand in lists that many people see."""
    assert mask_contact("+1-906-555-0162") == "••• 62"
    assert mask_contact("ada.quist@post.example") == "a•••@•••"
    assert mask_contact("112") == "•••"
    assert mask_contact("  ") == ""
    assert mask_address("6B Chapel Lane, flat 12") == "••• Chapel Lane, flat •••"
