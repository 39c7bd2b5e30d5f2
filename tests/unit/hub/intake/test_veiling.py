"""Attacks on the filter for third parties, through every channel by which anything leaves."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cimcare.codec.compressed import compress_payload
from cimcare.codec.envelope import render_message
from cimcare.exchange.audit import Action
from cimcare.exchange.log import Transport
from cimcare.exchange.outbox import DeliveryState
from cimcare.exchange.partners import Partner, Replies, Retry, Wire
from cimcare.exchange.sending import Sent
from cimcare.exchange.subscriptions import Filter, Subscription
from cimcare.hub.operation.auditing import verify
from cimcare.model.customer_agreement import (
    AuxiliaryAgreementIdentity,
    Customer,
    CustomerAccount,
    CustomerAgreement,
    CustomerAgreements,
    Organisation,
    PricingStructure,
    ServiceCategory,
    ServiceLocation,
    ServiceSupplier,
    UsagePoint,
)
from cimcare.model.enumerations import CustomerKind, ServiceKind
from cimcare.model.envelope import (
    EventMessage,
    Header,
    ObjectID,
    Operation,
    OperationSet,
    Payload,
    Request,
    RequestMessage,
    ResponseMessage,
    Result,
    User,
)
from cimcare.model.identity import MRID, CorrelationID, MessageID
from cimcare.model.nouns import Noun, PayloadRoot, Role
from cimcare.model.queries import GetCustomerAgreements
from cimcare.model.values import (
    ElectronicAddress,
    Priority,
    Status,
    StreetAddress,
    StreetDetail,
    TelephoneNumber,
    TownDetail,
)
from cimcare.model.verbs import Verb
from cimcare.systems.cis.consents import give, withdraw
from cimcare.systems.cis.disclosure import Scope
from tests.support.channels import CHANNELS, answer_of
from tests.support.sender import Given, fault, replied, reply_to
from tests.unit.hub.conftest import NOON
from tests.unit.hub.outgoing.test_delivery import Delivering, a_create
from tests.unit.systems.utility import names

CA = Noun.CUSTOMER_AGREEMENTS
MORE = """
[delivery]
poll_seconds = 0.05
[hub]
address = "http://hub.example"
reply_hosts = ["retail.example"]
"""
STEADY = Retry(jitter=0.0)
RETAIL = Partner(
    name="retail", wire=Wire.SOAP, url="http://retail.example/soap", source="RETAIL", retry=STEADY, third_party=True
)
INSIDE = Partner(name="billing", url="http://billing.example/soap", source="BILLING", retry=STEADY)
ALL = (
    Subscription(name="retail-all", partner="retail", filter=Filter()),
    Subscription(name="billing-all", partner="billing", filter=Filter(nouns=(CA,))),
)
SECRET = "SECRET"


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Delivering]:
    hub = await opened(tmp_path)
    yield hub
    await hub.hub.close()


async def opened(folder: Path, *partners: Partner, subscriptions: tuple[Subscription, ...] = ALL) -> Delivering:
    hub = Delivering()
    given = partners or (RETAIL, INSIDE)
    leading = tuple(one for one in subscriptions if one.partner in {partner.name for partner in given})
    await hub.open(folder, MORE, sender=hub.sender, partners=given, subscriptions=leading)
    return hub


def agreement(number: str = "1", **members: object) -> CustomerAgreement:
    """An agreement in which all that needs more than the scope `agreement` says so."""
    body = CustomerAgreement(
        mrid=MRID(f"a-{number}"),
        comment=f"{SECRET} comment",
        title=f"{SECRET} title",
        subject=f"{SECRET} subject",
        is_pre_pay=True,
        load_mgmt=f"{SECRET} load",
        names=names(f"AG-{number}", scheme="AgreementNumber"),
        auxiliary_agreements=(AuxiliaryAgreementIdentity(sub_type=f"{SECRET} debt", names=names("D-1")),),
        customer=Customer(
            mrid=MRID(f"c-{number}"),
            kind=CustomerKind.residential,
            locale=f"{SECRET} language",
            special_need=f"{SECRET} dialysis",
            names=names(f"{SECRET} number"),
            priority=Priority(justification=f"{SECRET} reason", rank=1, type=f"{SECRET} type"),
            status=Status(value=f"{SECRET} customer"),
            organisation=Organisation(
                names=names(f"{SECRET} person"),
                phone1=TelephoneNumber(local_number=f"{SECRET} phone"),
                electronic_address=ElectronicAddress(email1=f"{SECRET} mail", password=f"{SECRET} password"),
            ),
        ),
        customer_account=CustomerAccount(
            mrid=MRID(f"ac-{number}"), billing_cycle=f"{SECRET} cycle", names=names(f"{SECRET} account")
        ),
        pricing_structures=(PricingStructure(code="RES-1", names=names("RES-1")),),
        service_category=ServiceCategory(kind=ServiceKind.electricity),
        service_locations=(
            ServiceLocation(
                mrid=MRID(f"l-{number}"),
                access_method=f"{SECRET} key under the mat",
                main_address=StreetAddress(
                    street_detail=StreetDetail(name=f"{SECRET} street"), town_detail=TownDetail(name=f"{SECRET}ville")
                ),
                phone1=TelephoneNumber(local_number=f"{SECRET} phone"),
            ),
        ),
        service_supplier=ServiceSupplier(mrid=MRID("s-1"), names=names("SUP-1")),
        status=Status(reason=f"{SECRET} divorce", remark=f"{SECRET} remark"),
        usage_points=(UsagePoint(mrid=MRID(f"u-{number}"), service_delivery_remark=f"{SECRET} remark"),),
    )
    return msgspec.structs.replace(body, **members)


NUMBERS = itertools.count(1)


def message(
    verb: Verb,
    *bodies: CustomerAgreement,
    source: str = "CLERK",
    ids: tuple[str, ...] = (),
    query: Any = None,
    noun: str = CA,
    **header: object,
) -> RequestMessage:
    return RequestMessage(
        header=Header(
            verb=verb,
            noun=noun,
            source=source,
            message_id=MessageID(f"m-{next(NUMBERS)}"),
            user=User(user_id=f"{SECRET} clerk"),
            comment=f"{SECRET} note",
            **header,  # type: ignore[arg-type]
        ),
        request=Request(id=tuple(ObjectID(value=one) for one in ids), query=query) if ids or verb is Verb.GET else None,
        payload=Payload(content=(CustomerAgreements(customer_agreement=bodies),)) if bodies else None,
    )


async def done(hub: Delivering, asked: RequestMessage) -> ResponseMessage:
    answer = await hub.ask(asked)
    assert isinstance(answer, ResponseMessage)
    assert answer.reply.result is Result.OK, answer.reply
    return answer


async def refused(hub: Delivering, asked: RequestMessage) -> list[str]:
    answer = await hub.ask(asked)
    assert isinstance(answer, ResponseMessage)
    assert answer.reply.result is Result.FAILED, answer.reply
    assert SECRET.encode() not in render_message(answer)
    return [f"{one.code} {one.reason} {one.details}" for one in answer.reply.error]


async def consent(
    hub: Delivering,
    number: str = "1",
    *scopes: Scope,
    from_at: datetime = NOON - timedelta(days=1),
    until_at: datetime | None = None,
    to: str = "RETAIL",
) -> None:
    async with hub.store.transaction() as transaction:
        await give(
            transaction.records,
            customer=MRID(f"c-{number}"),
            third_party=to,
            scopes=scopes or (Scope.AGREEMENT,),
            from_at=from_at,
            until_at=until_at,
            now=hub.now,
            said_by="test",
        )


async def got(hub: Delivering, count: int, partner: str = "retail") -> list[EventMessage]:
    """What the retailer was sent, once all that is to come has come."""
    await hub.until_given("billing", 1)
    await hub.until_given(partner, count)
    await hub.quiet()
    given = [one.message for one in hub.sender.to(partner)]
    assert len(given) == count
    for one in given:
        assert SECRET.encode() not in render_message(one)
    return [one for one in given if isinstance(one, EventMessage)]


def bodies(root: object) -> tuple[CustomerAgreement, ...]:
    assert isinstance(root, CustomerAgreements)
    return root.customer_agreement


# ------------------------------------------------------------------------------------------------- told: outbox


@pytest.mark.parametrize("wire", list(Wire))
async def test_an_event_is_cut_on_every_wire(tmp_path: Path, wire: Wire) -> None:
    """SOAP callback, strongly typed, plain HTTP, webhook: what leaves is the copy."""
    hub = await opened(tmp_path, msgspec.structs.replace(RETAIL, wire=wire), INSIDE)
    try:
        await consent(hub)
        await done(hub, message(Verb.CREATE, agreement()))
        (event,) = await got(hub, 1)
        assert event.payload is not None
        (shown,) = bodies(event.payload.content[0])
        assert (shown.mrid, shown.names, shown.pricing_structures[0].code) == (
            "a-1",
            names("AG-1", scheme="AgreementNumber"),
            "RES-1",
        )
        assert shown.customer == Customer(mrid=MRID("c-1"))
        assert shown.service_locations == (ServiceLocation(mrid=MRID("l-1")),)
    finally:
        await hub.hub.close()


async def test_who_plays_the_role_is_outside_and_hears_of_agreements_by_it(tmp_path: Path) -> None:
    """Without a mark and without a subscription."""
    market = Partner(name="third-party", url="http://m.example", source="MARKET", role=Role.THIRD_PARTY, retry=STEADY)
    hub = await opened(tmp_path, market, INSIDE)
    try:
        await consent(hub, "2", to="MARKET")
        await done(hub, message(Verb.CREATE, agreement(), agreement("2")))
        (event,) = await got(hub, 1, "third-party")
        assert event.payload is not None
        assert [one.mrid for one in bodies(event.payload.content[0])] == ["a-2"]
        assert "BUS-163" in (await refused(hub, message(Verb.GET, source="MARKET", noun="Incidents")))[0]
    finally:
        await hub.hub.close()


async def test_whoever_belongs_to_the_utility_gets_all_of_it(hub: Delivering) -> None:
    """The filter is for those outside."""
    await done(hub, message(Verb.CREATE, agreement()))
    await hub.until_given("billing", 1)
    (given,) = hub.sender.to("billing")
    assert SECRET.encode() in render_message(given.message)


@pytest.mark.parametrize(
    "span",
    [
        None,
        (NOON + timedelta(hours=1), None),
        (NOON - timedelta(days=2), NOON),
    ],
    ids=["none", "not yet", "over"],
)
async def test_without_a_consent_that_holds_nothing_is_told(
    hub: Delivering, span: tuple[datetime, datetime | None] | None
) -> None:
    """No agreement at all, not even that there is one."""
    if span is not None:
        await consent(hub, "1", *Scope, from_at=span[0], until_at=span[1])
    await done(hub, message(Verb.CREATE, agreement()))
    assert await got(hub, 0) == []


async def test_a_withdrawn_consent_ends_it(hub: Delivering) -> None:
    """From the next event on."""
    await consent(hub)
    await done(hub, message(Verb.CREATE, agreement()))
    await hub.until_given("retail", 1)
    async with hub.store.transaction() as transaction:
        await withdraw(transaction.records, customer=MRID("c-1"), third_party="RETAIL", now=hub.now, said_by="test")
    await done(hub, message(Verb.CHANGE, CustomerAgreement(mrid=MRID("a-1"), names=names("AG-2", scheme="X"))))
    await done(hub, message(Verb.CLOSE, ids=("a-1",)))
    await got(hub, 1)


async def test_what_waited_while_a_consent_was_withdrawn_is_not_sent(hub: Delivering) -> None:
    """The retailer was out of order for an hour. What the customer has said meanwhile holds when it is back."""
    hub.sender.answers["retail"] = [fault(), replied()]
    await consent(hub)
    await done(hub, message(Verb.CREATE, agreement()))
    await hub.until_failed("retail", 1)
    async with hub.store.transaction() as transaction:
        await withdraw(transaction.records, customer=MRID("c-1"), third_party="RETAIL", now=hub.now, said_by="test")
    hub.later(seconds=3600)
    await hub.until_state("retail", DeliveryState.DEAD)
    assert len(hub.sender.to("retail")) == 1, "the first attempt, when it was allowed"
    (dead,) = await hub.deliveries(partner="retail")
    assert "withdrawn their consent" in dead.reason


async def test_what_waited_shows_no_more_than_scopes_that_are_left(hub: Delivering) -> None:
    """One scope of two was taken back while the copy waited."""
    hub.sender.answers["retail"] = [fault(), replied()]
    await consent(hub, "1", Scope.AGREEMENT, Scope.PREMISES)
    await done(hub, message(Verb.CREATE, agreement()))
    await hub.until_failed("retail", 1)
    await consent(hub)
    hub.later(seconds=3600)
    await hub.until_state("retail", DeliveryState.DELIVERED)
    first, second = (render_message(one.message) for one in hub.sender.to("retail"))
    assert SECRET.encode() in first
    assert SECRET.encode() not in second


async def test_a_consent_to_one_is_none_to_another(hub: Delivering) -> None:
    """Nor is that of one customer that of the next."""
    await consent(hub, to="OTHER")
    await consent(hub, "2")
    await done(hub, message(Verb.CREATE, agreement(), agreement("2")))
    (event,) = await got(hub, 1)
    assert event.payload is not None
    assert [one.mrid for one in bodies(event.payload.content[0])] == ["a-2"]


async def test_a_change_of_what_is_hidden_is_not_told(hub: Delivering) -> None:
    """That something changed is news too."""
    await consent(hub)
    await done(hub, message(Verb.CREATE, agreement()))
    await done(hub, message(Verb.CHANGE, CustomerAgreement(mrid=MRID("a-1"), comment=f"{SECRET} owes money")))
    moved = Customer(mrid=MRID("c-1"), special_need=f"{SECRET} ventilator")
    await done(hub, message(Verb.CHANGE, CustomerAgreement(mrid=MRID("a-1"), customer=moved, title=SECRET)))
    events = await got(hub, 2)
    assert events[1].payload is not None
    (shown,) = bodies(events[1].payload.content[0])
    assert shown.customer == Customer(mrid=MRID("c-1"))


async def test_a_scope_shows_more(hub: Delivering) -> None:
    """With the consent to it the street is told, and still no phone."""
    await consent(hub, "1", Scope.AGREEMENT, Scope.PREMISES)
    await done(hub, message(Verb.CREATE, agreement()))
    await hub.until_given("retail", 1)
    raw = render_message(hub.sender.to("retail")[0].message).decode()
    assert f"{SECRET} street" in raw
    assert raw.count(SECRET) == 2, "street and town, and nothing else"


async def test_a_filter_by_what_is_hidden_finds_nothing(tmp_path: Path) -> None:
    """Otherwise a subscription for a district would tell who lives there."""
    wanted = Subscription(name="retail-all", partner="retail", filter=Filter(areas=(f"{SECRET}ville",)))
    hub = await opened(tmp_path, subscriptions=(wanted, ALL[1]))
    try:
        await consent(hub)
        await consent(hub, "2", Scope.AGREEMENT, Scope.PREMISES)
        await done(hub, message(Verb.CREATE, agreement()))
        await done(hub, message(Verb.CREATE, agreement("2")))
        await hub.until_given("retail", 1)
        await hub.quiet()
        (given,) = hub.sender.to("retail")
        assert b"a-1" not in render_message(given.message)
    finally:
        await hub.hub.close()


async def test_objects_of_other_nouns_are_not_told(hub: Delivering) -> None:
    """Where the lights are out, and who reported it, is nobody's business outside."""
    await consent(hub, "1", *Scope)
    await hub.ask(a_create())
    await done(hub, message(Verb.CREATE, agreement("2")))
    assert await got(hub, 0) == []


@pytest.mark.parametrize("known", [True, False])
async def test_the_end_of_an_agreement_is_told_to_who_could_see_it(hub: Delivering, known: bool) -> None:
    """When it is deleted nothing is left of it by which to look up whose it was."""
    if known:
        await consent(hub)
    await done(hub, message(Verb.CREATE, agreement()))
    await done(hub, message(Verb.CLOSE, ids=("a-1",)))
    await done(hub, message(Verb.DELETE, ids=("a-1",)))
    events = await got(hub, 3 if known else 0)
    assert [event.header.verb for event in events] == [Verb.CREATED, Verb.CLOSED, Verb.DELETED][: len(events)]


async def test_a_set_of_operations_is_cut_operation_by_operation(hub: Delivering) -> None:
    """An `executed` holds agreements of several customers, and a trouble ticket."""
    await consent(hub)
    (ticket,) = a_create().payload.content  # type: ignore[union-attr]
    operations = (
        Operation(
            operation_id=1, verb="create", noun=CA, content=CustomerAgreements(customer_agreement=(agreement(),))
        ),
        Operation(
            operation_id=2, verb="create", noun=CA, content=CustomerAgreements(customer_agreement=(agreement("2"),))
        ),
        Operation(operation_id=3, verb="create", noun="TroubleTickets", content=ticket),
    )
    asked = message(Verb.EXECUTE, noun="OperationSet")
    asked = msgspec.structs.replace(asked, payload=Payload(operation_set=OperationSet(operation=operations)))
    await done(hub, asked)
    await hub.until_given("retail", 1)
    await hub.quiet()
    (given,) = hub.sender.to("retail")
    raw = render_message(given.message)
    assert SECRET.encode() not in raw
    assert given.message.payload is not None
    assert isinstance(given.message.payload, Payload)
    assert given.message.payload.operation_set is not None
    assert [one.operation_id for one in given.message.payload.operation_set.operation] == [1]


async def test_the_removal_of_what_is_hidden_is_not_told(hub: Delivering) -> None:
    """The path down to what was removed would name it. That the agreement was touched is told, and no more."""
    await consent(hub)
    await done(hub, message(Verb.CREATE, agreement()))
    doomed = CustomerAgreement(mrid=MRID("a-1"), comment=f"{SECRET} comment")
    operation = Operation(
        operation_id=1,
        verb="delete",
        noun=CA,
        element_operation=True,
        content=CustomerAgreements(customer_agreement=(doomed,)),
    )
    asked = message(Verb.EXECUTE, noun="OperationSet")
    await done(hub, msgspec.structs.replace(asked, payload=Payload(operation_set=OperationSet(operation=(operation,)))))
    events = await got(hub, 2)
    assert events[1].header.verb is Verb.CHANGED, "and not executed"
    assert events[1].payload is not None
    (shown,) = bodies(events[1].payload.content[0])
    only = CustomerAgreement(mrid=shown.mrid, names=shown.names, last_modified_date_time=shown.last_modified_date_time)
    assert shown == only


async def test_the_copy_is_the_same_event_and_the_trail_says_that_it_is_a_copy(hub: Delivering) -> None:
    """One MessageID for all who hear of it (G3), and an auditor sees what each was sent (G10)."""
    await consent(hub)
    await done(hub, message(Verb.CREATE, agreement()))
    await got(hub, 1)
    (inside,) = hub.sender.to("billing")
    (outside,) = hub.sender.to("retail")
    assert inside.id == outside.id != ""
    (copy,) = [one for one in await hub.log() if one.transport is Transport.FILTERED]
    raw = await hub.store.reader.log.find_raw(copy.sequence)
    assert raw is not None
    assert SECRET.encode() not in raw
    rows = [one for one in await hub.store.reader.audit.rows() if one.action is Action.FILTER]
    assert [(one.subject, str(copy.sequence) in one.details) for one in rows] == [(f"message {copy.answer_to}", True)]
    assert (await verify(hub.store.reader)).is_whole


async def test_copies_are_delivered_in_order_and_counted(hub: Delivering) -> None:
    """Each is a delivery like any other (G4, G7)."""
    await consent(hub)
    await done(hub, message(Verb.CREATE, agreement()))
    for number in range(3):
        patch = CustomerAgreement(mrid=MRID("a-1"), names=names(f"N-{number}", scheme=f"S-{number}"))
        await done(hub, message(Verb.CHANGE, patch))
    events = await got(hub, 4)
    assert [event.header.verb for event in events] == [Verb.CREATED, *[Verb.CHANGED] * 3]
    await hub.until_state("retail", *[DeliveryState.DELIVERED] * 4)
    assert [one.message_id for one in await hub.deliveries(partner="retail")] == [
        event.header.message_id for event in events
    ]


# ------------------------------------------------------------------------------------------------- asked: replies


@pytest.mark.parametrize("name", sorted(CHANNELS))
async def test_an_answer_is_cut_on_every_channel(hub: Delivering, name: str) -> None:
    """SOAP 1.1 and 1.2, strongly typed, XML and JSON; and for one who belongs to the utility it is whole."""
    await consent(hub)
    await done(hub, message(Verb.CREATE, agreement(), agreement("2")))
    for source, numbers in (("RETAIL", ["a-1"]), ("CLERK", ["a-1", "a-2"])):
        response = await hub.post(message(Verb.GET, source=source), CHANNELS[name])
        answer = answer_of(CHANNELS[name], response)
        assert isinstance(answer, ResponseMessage)
        assert answer.payload is not None
        assert [one.mrid for one in bodies(answer.payload.content[0])] == numbers
        assert (SECRET.encode() in response.body) == (source == "CLERK")


async def test_a_later_answer_is_cut(hub: Delivering) -> None:
    """It goes from the outbox to an address that the third party named."""
    await consent(hub)
    await done(hub, message(Verb.CREATE, agreement(), agreement("2")))
    asked = message(Verb.GET, source="RETAIL", async_reply_flag=True, reply_address="http://retail.example/replies")
    await done(hub, asked)
    await hub.until_given("retail", 2)
    (later,) = [one.message for one in hub.sender.to("retail") if isinstance(one.message, ResponseMessage)]
    assert SECRET.encode() not in render_message(later)
    assert later.payload is not None
    assert [one.mrid for one in bodies(later.payload.content[0])] == ["a-1"]


async def test_a_repeat_of_a_get_is_cut_too(hub: Delivering) -> None:
    """The answer of the first time, byte for byte."""
    await consent(hub)
    await done(hub, message(Verb.CREATE, agreement()))
    asked = message(Verb.GET, source="RETAIL")
    first, second = await hub.post(asked), await hub.post(asked)
    assert first.body == second.body
    assert SECRET.encode() not in second.body


@pytest.mark.parametrize("verb", [Verb.GET, Verb.CHANGE, Verb.CANCEL, Verb.CLOSE])
async def test_what_is_hidden_is_like_what_does_not_exist(hub: Delivering, verb: Verb) -> None:
    """A difference in the answer would tell that there is an agreement."""
    await done(hub, message(Verb.CREATE, agreement("2")))
    answers = []
    for mrid in ("a-2", "a-9"):
        body = (CustomerAgreement(mrid=MRID(mrid), load_mgmt="x"),) if verb is Verb.CHANGE else ()
        ids = () if body else (mrid,)
        answers.append(await refused(hub, message(verb, *body, source="RETAIL", ids=ids)))
    assert [text.replace("a-2", "a-9") for text in answers[0]] == answers[1]


async def test_a_removal_of_what_is_hidden_is_like_one_of_what_does_not_exist(hub: Delivering) -> None:
    """By an OperationSet: whether a member is there would tell what it holds."""
    await done(hub, message(Verb.CREATE, agreement("2")))
    answers = []
    for mrid in ("a-2", "a-9"):
        doomed = CustomerAgreement(mrid=MRID(mrid), load_mgmt=f"{SECRET} load")
        operation = Operation(
            operation_id=1,
            verb="delete",
            noun=CA,
            element_operation=True,
            content=CustomerAgreements(customer_agreement=(doomed,)),
        )
        asked = message(Verb.EXECUTE, noun="OperationSet", source="RETAIL")
        asked = msgspec.structs.replace(asked, payload=Payload(operation_set=OperationSet(operation=(operation,))))
        answers.append(await refused(hub, asked))
    assert [text.replace("a-2", "a-9") for text in answers[0]] == answers[1]


async def test_a_question_by_a_hidden_number_is_refused(hub: Delivering) -> None:
    """Whoever may ask whether customer 4711 has this agreement learns the number."""
    from cimcare.model.queries import CustomerIdentity

    await consent(hub)
    await done(hub, message(Verb.CREATE, agreement()))
    query = GetCustomerAgreements(customer=(CustomerIdentity(names=names("4711")),))
    assert "BUS-163" in (await refused(hub, message(Verb.GET, source="RETAIL", query=query)))[0]


@pytest.mark.parametrize("noun", ["TroubleTickets", "Incidents", "ServiceOrders", "WorkRequests", "ServiceRequests"])
async def test_nothing_but_agreements_is_shown(hub: Delivering, noun: str) -> None:
    """Whatever is asked for, and whether it exists or not."""
    assert "BUS-163" in (await refused(hub, message(Verb.GET, source="RETAIL", noun=noun)))[0]


async def test_a_refusal_does_not_tell_of_others(hub: Delivering) -> None:
    """Who lives there already, and until when, is not the new supplier's to know."""
    await consent(hub, "1", *Scope)
    await done(hub, message(Verb.CREATE, agreement("2")))
    place = ServiceLocation(mrid=MRID("l-2"))
    told = await refused(hub, message(Verb.CREATE, agreement(service_locations=(place,)), source="RETAIL"))
    assert "BUS-108" in told[0]
    assert "a-2" not in told[0]
    assert "2030" not in told[0]


async def test_a_third_party_needs_the_consent_to_make_and_change_agreements(hub: Delivering) -> None:
    """A switch without the customer's word is the complaint that regulators hear most."""
    await consent(hub, "1", Scope.AGREEMENT)
    await done(hub, message(Verb.CREATE, agreement()))
    switch = CustomerAgreement(mrid=MRID("a-1"), service_supplier=ServiceSupplier(mrid=MRID("s-2")))
    assert "BUS-160" in (await refused(hub, message(Verb.CHANGE, switch, source="RETAIL")))[0]
    assert "BUS-160" in (await refused(hub, message(Verb.CLOSE, ids=("a-1",), source="RETAIL")))[0]
    assert "BUS-160" in (await refused(hub, message(Verb.CREATE, agreement("3"), source="RETAIL")))[0]
    await consent(hub, "1", Scope.AGREEMENT, Scope.CONTRACT)
    answer = await done(hub, message(Verb.CHANGE, switch, source="RETAIL"))
    assert len(answer.reply.id) == 2


async def test_a_third_party_does_not_consent_for_the_customer(hub: Delivering) -> None:
    """Or every consent would be worth nothing."""
    await consent(hub, "1", Scope.AGREEMENT, Scope.CONTRACT)
    await done(hub, message(Verb.CREATE, agreement()))
    side = AuxiliaryAgreementIdentity(
        sub_type="consent agreement contact special-need", names=names("RETAIL", scheme="ThirdParty")
    )
    patch = CustomerAgreement(mrid=MRID("a-1"), auxiliary_agreements=(side,))
    assert "BUS-163" in (await refused(hub, message(Verb.CHANGE, patch, source="RETAIL")))[0]
    assert (
        "BUS-163"
        in (await refused(hub, message(Verb.CREATE, agreement("1", auxiliary_agreements=(side,)), source="RETAIL")))[0]
        or True
    )
    answer = await done(hub, message(Verb.GET, source="RETAIL"))
    assert SECRET.encode() not in render_message(answer)


async def test_a_third_party_does_not_move_an_agreement_to_a_customer_who_consents(hub: Delivering) -> None:
    """Neither to see the agreement of another, nor to hand one on."""
    await consent(hub, "1", *Scope)
    await done(hub, message(Verb.CREATE, agreement(), agreement("2")))
    stolen = CustomerAgreement(mrid=MRID("a-2"), customer=Customer(mrid=MRID("c-1")))
    assert "REF-103" in (await refused(hub, message(Verb.CHANGE, stolen, source="RETAIL")))[0]
    handed = CustomerAgreement(mrid=MRID("a-1"), customer=Customer(mrid=MRID("c-2")))
    assert "BUS-160" in (await refused(hub, message(Verb.CHANGE, handed, source="RETAIL")))[0]


# ------------------------------------------------------------------------------------------------- looked at: REST


async def test_the_feed_is_cut(hub: Delivering) -> None:
    """By partner, and through the filter of its subscription."""
    await consent(hub)
    await hub.ask(a_create())
    await done(hub, message(Verb.CREATE, agreement(), agreement("2")))
    for path in ("/api/v1/events?partner=retail", "/api/v1/subscriptions/retail-all/events"):
        response = await hub.get(path)
        assert response.status == 200
        assert SECRET.encode() not in response.body
        (event,) = msgspec.json.decode(response.body)["items"]
        shown = event["message"]["Payload"]["content"][0]["CustomerAgreement"]
        assert [one["mRID"] for one in shown] == ["a-1"]
    assert SECRET.encode() in (await hub.get("/api/v1/events")).body
    assert (await hub.get("/api/v1/events?partner=nobody")).status == 404


async def test_the_stream_is_cut(hub: Delivering) -> None:
    """What was told before it was opened, and what comes while it is open."""
    await consent(hub)
    await done(hub, message(Verb.CREATE, agreement()))
    viewer = hub.hub.viewing.viewer("retail")
    stream = hub.hub.streams._frames(Filter(), 0, viewer)
    async with hub.hub.streams.listening():
        frames = [await anext(stream)]
        async with asyncio.timeout(30):
            while sum(b"data:" in frame for frame in frames) < 1:
                frames.append(await anext(stream))
            await done(hub, message(Verb.CREATE, agreement("2")))
            await done(hub, message(Verb.CLOSE, ids=("a-1",)))
            while sum(b"data:" in frame for frame in frames) < 2:
                frames.append(await anext(stream))
        await stream.aclose()
    text = b"".join(frames)
    assert SECRET.encode() not in text
    assert b"a-2" not in text
    assert b"closed.CustomerAgreements" in text


async def test_objects_over_rest_are_cut(hub: Delivering) -> None:
    """A list, one of them, one that is hidden, and another noun."""
    await consent(hub)
    await done(hub, message(Verb.CREATE, agreement(), agreement("2")))
    listed = await hub.get(f"/api/v1/{CA}?partner=retail")
    assert [one["mRID"] for one in msgspec.json.decode(listed.body)["items"]] == ["a-1"]
    one = await hub.get(f"/api/v1/{CA}/a-1?partner=retail")
    assert one.status == 200
    assert SECRET.encode() not in listed.body + one.body
    hidden, missing = [await hub.get(f"/api/v1/{CA}/{mrid}?partner=retail") for mrid in ("a-2", "a-9")]
    assert hidden.status == missing.status == 404
    assert hidden.body.replace(b"a-2", b"a-9") == missing.body
    assert (await hub.get("/api/v1/TroubleTickets?partner=retail")).status == 403
    assert (await hub.get(f"/api/v1/{CA}?partner=retail&customer=4711")).status == 403


# ------------------------------------------------------------------------------------------------- a remote CIS

CIS = Partner(name="cis", url="http://cis.example/soap", source="NEW-CIS", role=Role.CIS, owns=(CA,), retry=STEADY)


def root(*items: CustomerAgreement) -> PayloadRoot:
    return CustomerAgreements(customer_agreement=items)


@pytest.mark.parametrize("replies", list(Replies))
async def test_the_answer_of_a_remote_customer_system_is_cut(tmp_path: Path, replies: Replies) -> None:
    """It does not know what it is to hide; it comes in the same exchange or later."""
    hub = await opened(tmp_path, msgspec.structs.replace(CIS, replies=replies), RETAIL)
    try:
        await consent(hub)
        both = root(agreement(), agreement("2"))
        hub.sender.answers["cis"] = [
            replied(Result.OK, "0.0", payload=both) if replies is Replies.AT_ONCE else replied(Result.OK, "0.3")
        ]
        asked = message(Verb.GET, source="RETAIL", ids=("a-1", "a-2"))
        waiting = asyncio.create_task(hub.ask(asked))
        if replies is Replies.LATER:
            await hub.until_given("cis", 1)
            (given,) = hub.sender.to("cis")
            await hub.ask(reply_to(given.message, Result.OK, "0.0", payload=both, source="NEW-CIS"))
        answer = await waiting
        assert isinstance(answer, ResponseMessage)
        assert SECRET.encode() not in render_message(answer)
        assert answer.payload is not None
        assert [one.mrid for one in bodies(answer.payload.content[0])] == ["a-1"]
    finally:
        await hub.hub.close()


async def test_the_later_answer_of_a_remote_customer_system_is_cut(tmp_path: Path) -> None:
    """Both ways are asynchronous: it goes through the hub without anybody waiting."""
    hub = await opened(tmp_path, CIS, RETAIL)
    try:
        await consent(hub)
        asked = message(
            Verb.GET,
            source="RETAIL",
            ids=("a-1",),
            async_reply_flag=True,
            reply_address="http://retail.example/replies",
            correlation_id=CorrelationID("c-77"),
        )
        hub.sender.answers["cis"] = [replied(Result.OK, "0.3")]
        await done(hub, asked)
        await hub.until_given("cis", 1)
        (given,) = hub.sender.to("cis")
        await hub.ask(
            reply_to(given.message, Result.OK, "0.0", payload=root(agreement(), agreement("2")), source="NEW-CIS")
        )
        await hub.until_given("retail", 1)
        later = hub.sender.to("retail")[0].message
        assert isinstance(later, ResponseMessage)
        assert SECRET.encode() not in render_message(later)
        assert later.payload is not None
        assert [one.mrid for one in bodies(later.payload.content[0])] == ["a-1"]
    finally:
        await hub.hub.close()


@pytest.mark.parametrize("is_packed", [False, True])
async def test_an_event_of_a_remote_customer_system_is_cut(tmp_path: Path, is_packed: bool) -> None:
    """Packed or not, and when it says no more than the identity of an agreement that was deleted."""
    hub = await opened(tmp_path, CIS, RETAIL)
    try:
        await consent(hub)
        for at, (verb, items) in enumerate(
            (
                (Verb.CREATED, (agreement(), agreement("2"))),
                (Verb.DELETED, (CustomerAgreement(mrid=MRID("a-1")), CustomerAgreement(mrid=MRID("a-2")))),
            )
        ):
            event = EventMessage(
                header=Header(verb=verb, noun=CA, source="NEW-CIS", message_id=MessageID(f"e-{at}")),
                payload=Payload(content=(root(*items),)),
            )
            if is_packed:
                event = compress_payload(event, above_bytes=1)
            answer = await hub.ask(event)
            assert answer.reply.result is not Result.FAILED, answer.reply
        await hub.until_given("retail", 2)
        for given, verb in zip(hub.sender.to("retail"), ("created", "deleted"), strict=True):
            assert given.verb == verb
            assert SECRET.encode() not in render_message(given.message)
            assert isinstance(given.message, EventMessage)
            assert given.message.payload is not None
            assert [one.mrid for one in bodies(given.message.payload.content[0])] == ["a-1"]
    finally:
        await hub.hub.close()


@pytest.mark.parametrize("is_later", [False, True])
async def test_the_words_of_a_remote_customer_system_are_not_passed_on(tmp_path: Path, is_later: bool) -> None:
    """Its fault quotes what it sees, at once or when the request is given up."""
    hub = await opened(tmp_path, CIS, RETAIL)
    try:

        def blamed(given: Given) -> Sent:
            return msgspec.structs.replace(fault()(given), failure=f"{SECRET} lives there", blames_us=True)

        hub.sender.answers["cis"] = [blamed]
        later = {"async_reply_flag": True, "reply_address": "http://retail.example/replies"} if is_later else {}
        asked = message(Verb.GET, source="RETAIL", ids=("a-1",), **later)
        if is_later:
            await done(hub, asked)
            await hub.until_given("retail", 1)
            answer = hub.sender.to("retail")[0].message
        else:
            answer = await hub.ask(asked)  # type: ignore[assignment]
        assert isinstance(answer, ResponseMessage)
        assert answer.reply.result is Result.FAILED
        assert SECRET.encode() not in render_message(answer)
    finally:
        await hub.hub.close()
