"""Several operations in one message: order, what a failure does to the others, and what the others are told."""

import base64
import gzip

import msgspec
import pytest

from cimcare.codec.envelope import parse_message
from cimcare.errors import ERRORS
from cimcare.exchange.dispatch import Dispatcher, System
from cimcare.exchange.log import Direction, Outcome, Transport
from cimcare.exchange.ports import Selection, Served, ServingContext, Stored
from cimcare.hub.intake.builtin import COLLECTIONS
from cimcare.model.envelope import (
    EventMessage,
    FaultMessage,
    Header,
    Operation,
    OperationSet,
    Payload,
    RequestMessage,
    ResponseMessage,
    Result,
)
from cimcare.model.identity import MRID, MessageID
from cimcare.model.nouns import NOUNS, Noun, PayloadRoot, Role
from cimcare.model.trouble_ticket import TroubleTicket
from cimcare.model.verbs import Verb
from cimcare.samples import build_message, build_payload, sample_mrid
from cimcare.samples.build import BASE_INSTANT
from cimcare.systems.oms.tickets import create_trouble_tickets
from tests.support.channels import CHANNELS
from tests.unit.hub.conftest import HeldHub

PLAIN = [name for name in CHANNELS if name != "soap-typed"]
"""Ways in that take a message of any noun; a strongly typed service has no operation for OperationSet."""

TICKETS, REQUESTS, AGREEMENTS = Noun.TROUBLE_TICKETS, Noun.SERVICE_REQUESTS, Noun.CUSTOMER_AGREEMENTS


def an_operation(number: int, verb: str, noun: Noun, seed: int = 0, /, **changes: object) -> Operation:
    """An operation on the sample object of a noun and seed."""
    content = build_payload(noun, seed=seed, partial=verb in ("change", "changed"))
    if verb in ("delete", "deleted"):
        content = root_of(noun, NOUNS[noun].payload, mrid=sample_mrid(noun, seed))
    operation = Operation(operation_id=number, noun=noun, verb=verb, content=content)
    return msgspec.structs.replace(operation, **changes)


def root_of(noun: Noun, payload: type[PayloadRoot], **members: object) -> PayloadRoot:
    """A payload with one object of these members."""
    (sample,) = getattr(build_payload(noun), NOUNS[noun].item)
    item = msgspec.structs.replace(type(sample)(), **members)
    return msgspec.structs.replace(payload(), **{NOUNS[noun].item: (item,)})


def removal(number: int, seed: int = 0, verb: str = "delete") -> Operation:
    """The operation that takes the comment away from a ticket."""
    content = root_of(TICKETS, NOUNS[TICKETS].payload, mrid=sample_mrid(TICKETS, seed), comment="")
    return Operation(operation_id=number, noun=TICKETS, verb=verb, element_operation=True, content=content)


def an_execute(
    *operations: Operation, sequence: bool | None = None, integrity: bool | None = None, message_id: str = "m-1"
) -> RequestMessage:
    """An execute of these operations."""
    header = Header(verb=Verb.EXECUTE, noun="OperationSet", source="CRM", message_id=MessageID(message_id))
    operation_set = OperationSet(
        enforce_msg_sequence=sequence, enforce_transactional_integrity=integrity, operation=operations
    )
    return RequestMessage(header=header, payload=Payload(operation_set=operation_set))


def an_executed(*operations: Operation, sequence: bool | None = None) -> EventMessage:
    """The event of a partner that has done these operations."""
    header = Header(
        verb=Verb.EXECUTED, noun="OperationSet", source="CRM", timestamp=BASE_INSTANT, message_id=MessageID("e-1")
    )
    operation_set = OperationSet(enforce_msg_sequence=sequence, operation=operations)
    return EventMessage(header=header, payload=Payload(operation_set=operation_set))


@pytest.fixture
def held(held: HeldHub) -> HeldHub:
    """A hub at the instant at which the samples play."""
    held.now = BASE_INSTANT
    return held


async def stored(held: HeldHub, collection: str) -> tuple[Stored[msgspec.Struct], ...]:
    """Objects of a collection, as committed."""
    return await held.hub._store.reader.records.select(COLLECTIONS[collection], Selection())


async def everything(held: HeldHub) -> dict[str, int]:
    """How many objects each collection has, as committed; those that have none are left out."""
    counts = {name: len(await stored(held, name)) for name in COLLECTIONS}
    return {name: count for name, count in counts.items() if count}


async def ask(held: HeldHub, message: RequestMessage | EventMessage, channel: str = "rest-xml") -> ResponseMessage:
    """Send a message and return the reply."""
    answer = await held.ask(message, CHANNELS[channel])
    assert isinstance(answer, ResponseMessage)
    assert held.logged == []
    return answer


def errors_of(answer: ResponseMessage | FaultMessage) -> list[tuple[int | None, str, str]]:
    """Of each error its operation, its reply code and our code in it."""
    found = []
    for error in answer.reply.error:
        words = (error.details or "").replace(":", " ").split()
        found.append((error.operation_id, error.code, next((word for word in words if word in ERRORS), "")))
    return found


async def told(held: HeldHub) -> list[EventMessage]:
    """The events that the hub has published, in order."""
    events = []
    for entry in await held.log(direction=Direction.OUT):
        if entry.transport is Transport.INTERNAL:
            raw = await held.hub._store.reader.log.find_raw(entry.sequence)
            assert raw is not None
            message = parse_message(raw)
            assert isinstance(message, EventMessage)
            events.append(message)
    return events


def operations_in(event: EventMessage) -> list[tuple[int, str | None, str | None]]:
    """Number, noun and verb of each operation that an event tells of."""
    assert event.payload is not None
    assert event.payload.operation_set is not None
    return [(one.operation_id, one.noun, one.verb) for one in event.payload.operation_set.operation]


# -------------------------------------------------------------------------------------------------- served


@pytest.mark.parametrize("channel", PLAIN)
async def test_operations_of_several_nouns_are_served_in_one_transaction(held: HeldHub, channel: str) -> None:
    """A call, the visit that it leads to and the new contract come in one message, over every way in."""
    message = an_execute(
        an_operation(7, "create", TICKETS), an_operation(3, "create", REQUESTS), an_operation(5, "create", AGREEMENTS)
    )
    answer = await ask(held, message, channel)
    assert (answer.reply.result, errors_of(answer)) == (Result.OK, [(None, "0.0", "")])
    assert (answer.header.noun, answer.header.correlation_id) == ("OperationSet", "m-1")
    assert [one.value for one in answer.reply.id] == [sample_mrid(noun, 0) for noun in (TICKETS, REQUESTS, AGREEMENTS)]
    made = await everything(held)
    for name in ("oms.TroubleTickets", "oms.Incidents", "wms.ServiceRequests", "cis.CustomerAgreements"):
        assert made[name] == 1
    assert held.ids > 0


async def test_copies_and_what_follows_from_an_operation_are_told_once(held: HeldHub) -> None:
    """One `executed` in place of the single events, told to each listener once; the incident has its own event."""
    await ask(held, an_execute(*(an_operation(at, "create", noun) for at, noun in enumerate(Noun, 1) if at != 2)))
    executed, *further = await told(held)
    assert (executed.header.verb, executed.header.noun) == (Verb.EXECUTED, "OperationSet")
    assert executed.header.correlation_id == "m-1"
    assert executed.header.source == "OMS"
    assert operations_in(executed) == [(at, noun, "created") for at, noun in enumerate(Noun, 1) if at != 2]
    assert [(event.header.verb, event.header.noun) for event in further] == [(Verb.CREATED, "Incidents")]
    made = await everything(held)
    copies = [
        name
        for name in COLLECTIONS
        if name.startswith(("cis.", "third-party.")) and name.partition(".")[2] in frozenset(Noun)
    ]
    assert {name: made[name] for name in copies if name in made} == {
        "cis.CustomerAgreements": 1,
        "cis.TroubleTickets": 1,
        "cis.Incidents": 1,
        "cis.ServiceRequests": 1,
        "cis.ServiceOrders": 1,
        "cis.WorkRequests": 1,
        "third-party.CustomerAgreements": 1,
    }


async def test_a_copy_has_what_the_owner_gave(held: HeldHub) -> None:
    """The mRID that the owner minted and the state are told, not the request as it came."""
    (sample,) = getattr(build_payload(TICKETS), NOUNS[TICKETS].item)
    nameless = msgspec.structs.replace(
        NOUNS[TICKETS].payload(), trouble_ticket=(msgspec.structs.replace(sample, mrid=None),)
    )
    answer = await ask(held, an_execute(an_operation(1, "create", TICKETS, content=nameless)))
    (copy,) = await stored(held, "cis.TroubleTickets")
    (own,) = await stored(held, "oms.TroubleTickets")
    assert copy.mrid == own.mrid == answer.reply.id[0].value
    assert copy.state == "open"


async def test_a_noun_that_is_not_stated_is_that_of_the_content(held: HeldHub) -> None:
    """The element noun of an operation is optional by the schema."""
    answer = await ask(held, an_execute(an_operation(1, "create", TICKETS, noun=None)))
    assert answer.reply.result is Result.OK
    assert operations_in((await told(held))[0]) == [(1, "TroubleTickets", "created")]


async def test_a_change_of_an_element_merges(held: HeldHub) -> None:
    """On elements, create and change both say what is to be there; the object need not be whole."""
    await ask(held, an_execute(an_operation(1, "create", TICKETS)))
    part = root_of(TICKETS, NOUNS[TICKETS].payload, mrid=sample_mrid(TICKETS, 0), comment="new")
    for number, verb in ((2, "create"), (3, "change")):
        operation = Operation(operation_id=number, noun=TICKETS, verb=verb, element_operation=True, content=part)
        answer = await ask(held, an_execute(operation, message_id=verb))
        assert answer.reply.result is Result.OK, answer.reply.error
    (copy,) = await stored(held, "cis.TroubleTickets")
    assert isinstance(copy.body, TroubleTicket)
    assert (copy.body.comment, copy.state) == ("new", "open")
    assert copy.body.names


async def test_a_removed_member_is_gone_at_the_owner_and_in_its_copies(held: HeldHub) -> None:
    """Nothing but this can take a member away; listeners hear of it as an operation on elements."""
    await ask(held, an_execute(an_operation(1, "create", TICKETS)))
    held.later(minutes=1)
    answer = await ask(held, an_execute(removal(1), message_id="m-2"))
    assert (answer.reply.result, [one.value for one in answer.reply.id]) == (Result.OK, [sample_mrid(TICKETS, 0)])
    for name in ("oms.TroubleTickets", "cis.TroubleTickets"):
        (ticket,) = await stored(held, name)
        assert isinstance(ticket.body, TroubleTicket)
        assert ticket.body.comment is None
        assert (ticket.body.last_modified_date_time, ticket.state) == (held.now, "open")
        assert ticket.body.incident is not None
    *_, executed, changed = await told(held)
    assert operations_in(executed) == [(1, "TroubleTickets", "deleted")]
    assert executed.payload is not None
    assert executed.payload.operation_set is not None
    assert executed.payload.operation_set.operation[0].element_operation is True
    assert (changed.header.verb, changed.header.noun) == (Verb.CHANGED, "TroubleTickets")


# --------------------------------------------------------------------------------------------------- order


async def test_order_by_operation_id_is_enforced_where_it_is_asked_for(held: HeldHub) -> None:
    """The number says what comes first, wherever it stands in the message."""
    operations = (an_operation(9, "change", TICKETS), an_operation(2, "create", TICKETS))
    assert (await ask(held, an_execute(*operations))).reply.result is Result.PARTIAL
    other = (an_operation(9, "change", TICKETS, 4), an_operation(2, "create", TICKETS, 4))
    answer = await ask(held, an_execute(*other, sequence=True, message_id="m-2"))
    assert answer.reply.result is Result.OK
    *_, executed = [event for event in await told(held) if event.header.verb is Verb.EXECUTED]
    assert operations_in(executed) == [(2, "TroubleTickets", "created"), (9, "TroubleTickets", "changed")]


async def test_after_a_failure_the_sequence_ends(held: HeldHub) -> None:
    """What builds on an operation that failed must not be tried; the sender hears which were not."""
    operations = (
        an_operation(30, "create", REQUESTS),
        an_operation(10, "create", TICKETS),
        an_operation(20, "change", TICKETS, 4),
    )
    answer = await ask(held, an_execute(*operations, sequence=True))
    assert answer.reply.result is Result.PARTIAL
    assert errors_of(answer) == [(None, "0.2", ""), (20, "2.15", "REF-103"), (30, "5.2", "EXC-114")]
    assert "Operation[1]" in (answer.reply.error[2].details or "")
    assert [one.value for one in answer.reply.id] == [sample_mrid(TICKETS, 0)]
    assert await stored(held, "wms.ServiceRequests") == ()


async def test_without_sequence_each_is_attempted_in_the_order_given(held: HeldHub) -> None:
    """Independent operations are not held up by one that is wrong."""
    operations = (
        an_operation(2, "create", TICKETS),
        an_operation(3, "change", TICKETS, 4),
        an_operation(1, "create", REQUESTS),
    )
    answer = await ask(held, an_execute(*operations, sequence=False))
    assert errors_of(answer) == [(None, "0.2", ""), (3, "2.15", "REF-103")]
    assert [one.value for one in answer.reply.id] == [sample_mrid(TICKETS, 0), sample_mrid(REQUESTS, 0)]
    assert operations_in((await told(held))[0]) == [(2, "TroubleTickets", "created"), (1, "ServiceRequests", "created")]


# --------------------------------------------------------------------------------------------- all or nothing


@pytest.mark.parametrize("sequence", [True, False])
@pytest.mark.parametrize("channel", PLAIN)
async def test_with_integrity_one_failure_undoes_all_across_nouns(held: HeldHub, channel: str, sequence: bool) -> None:
    """Objects, incidents, booked windows, copies and events: nothing of it stays, and each operation hears why."""
    before = await everything(held)
    operations = (
        an_operation(1, "create", TICKETS),
        an_operation(2, "create", REQUESTS),
        an_operation(3, "change", AGREEMENTS),
        an_operation(4, "create", Noun.SERVICE_ORDERS),
    )
    answer = await ask(held, an_execute(*operations, sequence=sequence, integrity=True), channel)
    assert answer.reply.result is Result.FAILED
    assert errors_of(answer) == [
        (1, "5.9", "EXC-113"),
        (2, "5.9", "EXC-113"),
        (3, "2.15", "REF-103"),
        (4, "5.9", "EXC-113"),
    ]
    assert answer.reply.id == ()
    assert await everything(held) == before
    assert await told(held) == []
    log = await held.log()
    assert [(entry.direction, entry.outcome) for entry in log] == [("in", "FAILED"), ("out", "FAILED")]


async def test_with_integrity_each_culprit_has_its_own_codes(held: HeldHub) -> None:
    """Whoever mends the message wants to mend all of it at once."""
    operations = (
        an_operation(1, "change", TICKETS, 4),
        an_operation(2, "create", REQUESTS),
        an_operation(3, "delete", Noun.INCIDENTS),
    )
    answer = await ask(held, an_execute(*operations, integrity=True))
    assert errors_of(answer) == [(1, "2.15", "REF-103"), (2, "5.9", "EXC-113"), (3, "2.9", "EXC-102")]


async def test_with_integrity_all_good_is_ok(held: HeldHub) -> None:
    """And the sample that the documentation shows is served."""
    for noun in (TICKETS, REQUESTS, Noun.SERVICE_ORDERS, Noun.WORK_REQUESTS, AGREEMENTS):
        answer = await held.ask(build_message(noun, Verb.EXECUTE, seed=2))
        assert answer.reply.result is Result.OK, (noun, answer.reply.error)
        assert len(answer.reply.id) == 3


async def test_a_failed_operation_leaves_nothing_beside_the_good_ones(held: HeldHub) -> None:
    """A handler may have begun before it fails; its half must not be found beside the work of the others."""

    async def begin_and_fail(message: RequestMessage, context: ServingContext) -> Served:
        return msgspec.structs.replace(await create_trouble_tickets(message, context), result=Result.FAILED)

    serves = {(Verb.CREATE, TICKETS): create_trouble_tickets, (Verb.CHANGE, TICKETS): begin_and_fail}
    system = System(role=Role.OMS, serves=serves, listens={})
    held.serve_by(Dispatcher([system]))
    answer = await ask(held, an_execute(an_operation(1, "create", TICKETS), removal(2, seed=4)))
    assert answer.reply.result is Result.PARTIAL
    assert [one.value for one in answer.reply.id] == [sample_mrid(TICKETS, 0)]
    assert [one.mrid for one in await stored(held, "oms.TroubleTickets")] == [sample_mrid(TICKETS, 0)]
    assert len(await stored(held, "oms.Incidents")) == 1


async def test_an_operation_that_is_done_in_part_keeps_its_part(held: HeldHub) -> None:
    """As a message of its own it would be PARTIAL; only the objects that were taken are told of."""
    await ask(held, an_execute(an_operation(1, "create", TICKETS)))
    tickets = tuple(
        msgspec.structs.replace(TroubleTicket(), mrid=MRID(mrid), comment="new")
        for mrid in ("nobody", sample_mrid(TICKETS, 0))
    )
    both = msgspec.structs.replace(NOUNS[TICKETS].payload(), trouble_ticket=tickets)
    part = an_operation(1, "change", TICKETS, content=both)
    for integrity, result in ((True, Result.FAILED), (False, Result.PARTIAL)):
        answer = await ask(held, an_execute(part, integrity=integrity, message_id=f"m-{integrity}"))
        assert answer.reply.result is result
        assert errors_of(answer)[-1] == (1, "2.15", "REF-103")
        assert answer.reply.error[-1].id is not None
        assert answer.reply.error[-1].id.value == "nobody"
        (copy,) = await stored(held, "cis.TroubleTickets")
        assert isinstance(copy.body, TroubleTicket)
        assert (copy.body.comment == "new") is (result is Result.PARTIAL)


async def test_if_all_fail_the_message_has_failed(held: HeldHub) -> None:
    """PARTIAL with nothing done would be a lie; and what failed may be sent again under its identifier."""
    message = an_execute(an_operation(1, "change", TICKETS), an_operation(2, "change", REQUESTS))
    answer = await ask(held, message)
    assert answer.reply.result is Result.FAILED
    assert errors_of(answer) == [(1, "2.15", "REF-103"), (2, "2.15", "REF-103")]
    assert await everything(held) == {}
    await ask(held, an_execute(an_operation(1, "create", TICKETS), an_operation(2, "create", REQUESTS), message_id="m"))
    assert (await ask(held, message)).reply.result is Result.OK


async def test_an_error_of_the_program_undoes_the_whole_message(held: HeldHub) -> None:
    """Whatever the flags say: a state that nobody foresaw is not kept."""

    async def fail(_: RequestMessage, __: ServingContext) -> Served:
        raise LookupError("on purpose")

    serves = {(Verb.CREATE, TICKETS): create_trouble_tickets, (Verb.CHANGE, TICKETS): fail}
    held.serve_by(Dispatcher([System(role=Role.OMS, serves=serves, listens={})]))
    answer = await held.ask(an_execute(an_operation(1, "create", TICKETS), an_operation(2, "change", TICKETS)))
    assert errors_of(answer) == [(None, "5.3", "EXC-109")]
    assert await everything(held) == {}


# ------------------------------------------------------------------------------------------------- refusals

START = "/RequestMessage/Payload/OperationSet/Operation"


@pytest.mark.parametrize(
    ("operations", "code", "path"),
    [
        ((an_operation(1, "create", TICKETS), an_operation(1, "create", REQUESTS)), "CNV-118", "[2]/operationId"),
        ((an_operation(1, "create", TICKETS), an_operation(2, "close", TICKETS)), "CNV-117", "[2]/verb"),
        ((an_operation(1, "create", TICKETS), an_operation(2, "created", TICKETS)), "CNV-117", "[2]/verb"),
        (
            (an_operation(1, "create", TICKETS), an_operation(2, "create", TICKETS, noun="Meters")),
            "ENV-106",
            "[2]/noun",
        ),
        (
            (an_operation(1, "create", TICKETS), an_operation(2, "create", TICKETS, noun="Incidents")),
            "CNV-106",
            "[2]/T",
        ),
        ((an_operation(1, "create", TICKETS), Operation(operation_id=2, verb="create")), "CNV-121", "[2]: "),
        ((an_operation(1, "delete", Noun.INCIDENTS),), "EXC-102", "[1]/verb"),
        ((an_operation(1, "change", TICKETS),), "REF-103", "[1]/TroubleTickets/TroubleTicket[1]: "),
        ((removal(1),), "REF-103", "[1]/TroubleTickets/TroubleTicket[1]: "),
    ],
)
async def test_an_operation_is_refused_at_its_place(
    held: HeldHub, operations: tuple[Operation, ...], code: str, path: str
) -> None:
    """Of fifty operations one is wrong: the answer says which, and where in it."""
    answer = await ask(held, an_execute(*operations))
    assert answer.reply.result is Result.FAILED
    assert errors_of(answer)[0][1:] == (ERRORS[code].reply_code, code)
    assert (answer.reply.error[0].details or "").startswith(f"{START}{path}"), answer.reply.error[0].details
    assert await everything(held) == {}


async def test_a_member_that_is_not_there_is_named(held: HeldHub) -> None:
    """A removal that removes nothing is a mistake of the sender."""
    await ask(held, an_execute(an_operation(1, "create", TICKETS)))
    await ask(held, an_execute(removal(1), message_id="m-2"))
    answer = await ask(held, an_execute(removal(4), message_id="m-3"))
    assert errors_of(answer) == [(4, "2.15", "REF-110")]
    assert "no comment in" in (answer.reply.error[0].details or "")


async def test_a_whole_object_is_not_asked_of_an_operation_on_elements(held: HeldHub) -> None:
    """A create asks for all mandatory members; one on elements shows a path to some."""
    part = root_of(TICKETS, NOUNS[TICKETS].payload, comment="no identity, no instant")
    answer = await ask(held, an_execute(an_operation(1, "create", TICKETS, content=part, element_operation=True)))
    assert [code for _, _, code in errors_of(answer)] == ["REF-101"]
    answer = await ask(held, an_execute(an_operation(1, "create", TICKETS, content=part), message_id="m-2"))
    assert "REF-101" not in [code for _, _, code in errors_of(answer)]


@pytest.mark.parametrize("message_type", [RequestMessage, EventMessage])
async def test_a_compressed_set_is_refused(
    held: HeldHub, message_type: type[RequestMessage] | type[EventMessage]
) -> None:
    """Said plainly, instead of an OK for operations that nobody has run."""
    packed = base64.b64encode(gzip.compress(b"<OperationSet/>")).decode()
    plain = an_execute() if message_type is RequestMessage else an_executed()
    answer = await ask(held, msgspec.structs.replace(plain, payload=Payload(compressed=packed)))
    assert answer.reply.result is Result.FAILED
    assert [code for _, _, code in errors_of(answer)] == ["CNV-111"]


# -------------------------------------------------------------------------------------------------- repeats


@pytest.mark.parametrize("channel", PLAIN)
async def test_a_repeated_set_has_one_effect_and_one_answer(held: HeldHub, channel: str) -> None:
    """The sender of a transaction that got no answer sends it again; PARTIAL counts as taken."""
    message = an_execute(an_operation(1, "create", TICKETS), an_operation(2, "change", TICKETS, 4))
    first = await held.post(message, CHANNELS[channel])
    made, events = await everything(held), len(await told(held))
    again = await held.post(message, CHANNELS[channel])
    assert again.body == first.body
    assert (await everything(held), len(await told(held))) == (made, events)
    repeats = [entry for entry in await held.log() if entry.repeat_of is not None]
    assert [entry.outcome for entry in repeats] == [Outcome.PARTIAL]


async def test_other_operations_under_the_same_identifier_are_refused(held: HeldHub) -> None:
    """Flags, numbers, verbs and content all belong to what a message says."""
    one, two = an_operation(1, "create", TICKETS), an_operation(2, "create", REQUESTS)
    await ask(held, an_execute(one, two))
    others = (
        an_execute(two, one),
        an_execute(one),
        an_execute(one, two, integrity=True),
        an_execute(one, two, sequence=True),
        an_execute(one, msgspec.structs.replace(two, operation_id=3)),
        an_execute(one, msgspec.structs.replace(two, element_operation=True)),
    )
    for other in others:
        answer = await ask(held, other)
        assert errors_of(answer) == [(None, "2.29", "EXC-101")]


# --------------------------------------------------------------------------------------------------- events


@pytest.mark.parametrize("channel", PLAIN)
async def test_each_operation_of_a_partners_event_goes_to_its_listeners(held: HeldHub, channel: str) -> None:
    """A call centre or a market hub that works in transactions tells of them in one event too."""
    event = an_executed(
        an_operation(1, "created", TICKETS),
        an_operation(2, "created", AGREEMENTS),
        an_operation(3, "created", REQUESTS),
    )
    answer = await ask(held, event, channel)
    assert (answer.reply.result, answer.header.source) == (Result.OK, "OMS")
    made = await everything(held)
    for name in ("oms.TroubleTickets", "oms.Incidents", "cis.TroubleTickets", "cis.ServiceRequests", "cis.Incidents"):
        assert made[name] == 1, name
    assert made["third-party.CustomerAgreements"] == 1
    assert "wms.ServiceRequests" not in made


async def test_a_partners_removal_reaches_owner_and_copy(held: HeldHub) -> None:
    """What the outage management takes over from it goes on to the customer system as it came."""
    await ask(held, an_execute(an_operation(1, "create", TICKETS)))
    held.later(minutes=1)
    event = an_executed(removal(1, verb="deleted"))
    event = msgspec.structs.replace(event, header=msgspec.structs.replace(event.header, timestamp=held.now))
    assert (await ask(held, event)).reply.result is Result.OK
    for name in ("oms.TroubleTickets", "cis.TroubleTickets"):
        (ticket,) = await stored(held, name)
        assert isinstance(ticket.body, TroubleTicket)
        assert ticket.body.comment is None, name


async def test_an_event_is_told_in_order_of_its_numbers_where_it_says_so(held: HeldHub) -> None:
    """A change that is heard before its create would be kept as something else."""
    operations = (an_operation(2, "deleted", REQUESTS), an_operation(1, "created", REQUESTS))
    await ask(held, an_executed(*operations, sequence=True))
    (copy,) = await stored(held, "cis.ServiceRequests")
    assert copy.state == "deleted"


async def test_what_a_listener_cannot_take_is_said_at_its_place(held: HeldHub) -> None:
    """The partner hears which of its operations means nothing here."""
    event = an_executed(an_operation(1, "created", REQUESTS), removal(2, verb="deleted"))
    answer = await ask(held, event)
    assert answer.reply.result is Result.PARTIAL
    assert errors_of(answer)[1] == (2, "2.15", "REF-103")
    details = answer.reply.error[1].details or ""
    assert details.startswith("/EventMessage/Payload/OperationSet/Operation[2]/TroubleTickets/TroubleTicket[1]: ")
