"""A role with objects of its own: what was created can be got, changed and ended, each verb in its turn."""

from datetime import UTC, datetime

import msgspec
import pytest

from cimcare.model.envelope import (
    EventMessage,
    ObjectID,
    Operation,
    OperationSet,
    Payload,
    Request,
    RequestMessage,
    ResponseMessage,
    Result,
)
from cimcare.model.identity import MRID, MessageID
from cimcare.model.nouns import ENTRIES, NOUNS, Noun, Role
from cimcare.model.queries import GetTroubleTickets, TroubleTicketFilter
from cimcare.model.structure import Structure
from cimcare.model.trouble_ticket import TroubleTicket, TroubleTickets
from cimcare.model.verbs import EVENT_OF, Verb
from cimcare.samples import build_message
from cimcare.simulator.answering import Books, Outcome

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def a_request(noun: Noun, verb: Verb, *, seed: int = 2, number: str = "") -> RequestMessage:
    message = build_message(noun, verb, seed=seed)
    assert isinstance(message, RequestMessage)
    header = msgspec.structs.replace(message.header, message_id=MessageID(f"{verb}-{seed}-{number}"))
    return msgspec.structs.replace(message, header=header)


def reply_of(books: Books, message: RequestMessage) -> ResponseMessage:
    return books.do(message, now=NOON).reply


def codes(reply: ResponseMessage) -> list[str]:
    return [error.code for error in reply.reply.error]


def items(message: ResponseMessage | EventMessage) -> tuple[Structure, ...]:
    assert message.payload is not None
    (root,) = message.payload.content
    entry = next(each for each in ENTRIES if each.payload is type(root))
    found: tuple[Structure, ...] = getattr(root, entry.item)
    return found


def the_mrid(reply: ResponseMessage) -> str:
    (identifier,) = reply.reply.id
    return identifier.value


@pytest.mark.parametrize("noun", Noun)
def test_an_object_goes_through_its_life(noun: Noun) -> None:
    """Of every noun, at the role that owns it; others are told of each step in the words of the past."""
    books = Books("IT", NOUNS[noun].owner)
    told: list[Outcome] = []
    for verb in (Verb.CREATE, Verb.CHANGE, Verb.CLOSE, Verb.DELETE):
        told.append(books.do(a_request(noun, verb), now=NOON))
        assert told[-1].reply.reply.result is Result.OK
        asked = reply_of(books, a_request(noun, Verb.GET, number=verb))
        assert asked.reply.result is (Result.FAILED if verb is Verb.DELETE else Result.OK)
    events = [outcome.event for outcome in told if outcome.event is not None]
    assert [event.header.verb for event in events] == [Verb.CREATED, Verb.CHANGED, Verb.CLOSED, Verb.DELETED]
    assert all(event.header.timestamp == NOON and event.header.source == "IT" for event in events)
    assert len({the_mrid(outcome.reply) for outcome in told}) == 1
    assert len({str(item.mrid) for event in events for item in items(event)}) == 1  # type: ignore[attr-defined]
    assert books.counts[noun] == 0


def test_a_change_leaves_what_it_does_not_name() -> None:
    """And the state; what is over cannot be changed, nor ended again."""
    books = Books("OMS", Role.OMS)
    created = a_request(Noun.TROUBLE_TICKETS, Verb.CREATE)
    mrid = MRID(the_mrid(reply_of(books, created)))
    change = TroubleTickets(trouble_ticket=(TroubleTicket(mrid=mrid, comment="new"),))
    request = a_request(Noun.TROUBLE_TICKETS, Verb.CHANGE)
    reply_of(books, msgspec.structs.replace(request, payload=Payload(content=(change,))))
    (ticket,) = items(reply_of(books, a_request(Noun.TROUBLE_TICKETS, Verb.GET)))
    assert isinstance(ticket, TroubleTicket)
    (before,) = created.payload.content[0].trouble_ticket  # type: ignore[union-attr]
    assert (ticket.comment, ticket.trouble_code) == ("new", before.trouble_code)
    assert ticket.status is not None
    assert ticket.status.value == "open"
    assert reply_of(books, a_request(Noun.TROUBLE_TICKETS, Verb.CANCEL)).reply.result is Result.OK
    for verb in (Verb.CHANGE, Verb.CLOSE, Verb.CANCEL):
        assert codes(reply_of(books, a_request(Noun.TROUBLE_TICKETS, verb, number="again"))) == ["6.1"]


def test_an_object_without_identity_is_given_one() -> None:
    """The same for the same message, and the message again does nothing more."""
    books = Books("OMS", Role.OMS)
    ticket = TroubleTickets(trouble_ticket=(TroubleTicket(comment="dark"), TroubleTicket(comment="dark too")))
    request = msgspec.structs.replace(a_request(Noun.TROUBLE_TICKETS, Verb.CREATE), payload=Payload(content=(ticket,)))
    first = books.do(request, now=NOON)
    again = books.do(request, now=NOON)
    assert len({one.value for one in first.reply.reply.id}) == 2
    assert (again.reply, again.event) == (first.reply, None)
    assert books.counts["TroubleTickets"] == 2


def test_what_is_not_there_is_refused_or_taken_as_known() -> None:
    """By the behaviour: some have to work with objects that were there before."""
    strict, knowing = Books("OMS", Role.OMS), Books("OMS", Role.OMS, knows_all=True)
    for verb in (Verb.CHANGE, Verb.CLOSE, Verb.CANCEL, Verb.DELETE):
        request = a_request(Noun.TROUBLE_TICKETS, verb, seed=4)
        assert codes(reply_of(strict, request)) == ["2.15"]
        assert reply_of(Books("OMS", Role.OMS, knows_all=True), request).reply.result is Result.OK
    assert reply_of(knowing, a_request(Noun.TROUBLE_TICKETS, Verb.CHANGE)).reply.result is Result.OK
    assert reply_of(knowing, a_request(Noun.TROUBLE_TICKETS, Verb.GET)).reply.result is Result.OK
    nameless = Payload(content=(TroubleTickets(trouble_ticket=(TroubleTicket(comment="x"),)),))
    request = msgspec.structs.replace(a_request(Noun.TROUBLE_TICKETS, Verb.CHANGE, seed=6), payload=nameless)
    assert codes(reply_of(knowing, request)) == ["2.15"]


def test_what_a_role_does_not_serve_is_refused() -> None:
    """With the code that says why."""
    books = Books("OMS", Role.OMS)
    assert codes(reply_of(books, a_request(Noun.WORK_REQUESTS, Verb.CREATE))) == ["2.5"]
    create = a_request(Noun.TROUBLE_TICKETS, Verb.CREATE)
    reply_of(books, create)
    assert codes(reply_of(books, a_request(Noun.TROUBLE_TICKETS, Verb.CREATE, number="other"))) == ["6.1"]
    empty = msgspec.structs.replace(a_request(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=8), payload=None)
    assert codes(reply_of(books, empty)) == ["1.7"]
    wrong = msgspec.structs.replace(create.header, verb=Verb.CREATED, message_id=MessageID("wrong"))
    assert codes(reply_of(books, msgspec.structs.replace(create, header=wrong))) == ["2.9"]


def test_some_of_several_may_be_refused() -> None:
    """PARTIAL, with the codes of those that are and the identifiers of those that are not."""
    books = Books("OMS", Role.OMS)
    reply_of(books, a_request(Noun.TROUBLE_TICKETS, Verb.CREATE))
    one = a_request(Noun.TROUBLE_TICKETS, Verb.CLOSE)
    assert one.request is not None
    both = msgspec.structs.replace(one, request=Request(id=(*one.request.id, ObjectID(value="nobody"))))
    reply = reply_of(books, both)
    assert (reply.reply.result, codes(reply), len(reply.reply.id)) == (Result.PARTIAL, ["2.15"], 1)


def test_a_query_finds_by_identity_state_and_place() -> None:
    """What it does not say anything about may be anything; nothing found is no failure."""
    books = Books("OMS", Role.OMS)
    created = [a_request(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=seed) for seed in (2, 3)]
    mrids = [the_mrid(reply_of(books, each)) for each in created]
    reply_of(books, a_request(Noun.TROUBLE_TICKETS, Verb.CLOSE, seed=3))

    def found(query: GetTroubleTickets | None) -> list[str]:
        number = msgspec.json.encode(query).decode()
        request = a_request(Noun.TROUBLE_TICKETS, Verb.GET, number=number)
        reply = reply_of(books, msgspec.structs.replace(request, request=Request(query=query)))
        assert reply.reply.result is Result.OK
        return [] if reply.payload is None else [str(item.mrid) for item in items(reply)]  # type: ignore[attr-defined]

    def by(**members: object) -> GetTroubleTickets:
        return GetTroubleTickets(trouble_ticket=(msgspec.structs.replace(TroubleTicketFilter(), **members),))

    assert found(None) == mrids
    assert found(by(state="open")) == mrids[:1]
    assert found(by(state="resolved")) == mrids[1:]
    assert found(by(mrid=MRID(mrids[1]))) == mrids[1:]
    assert found(by(mrid=MRID("nobody"))) == []
    ticket = created[0].payload.content[0].trouble_ticket[0]  # type: ignore[union-attr]
    assert ticket.service_location is not None
    here = found(GetTroubleTickets(service_location=(ticket.service_location,)))
    assert mrids[0] in here


@pytest.mark.parametrize("noun", [Noun.TROUBLE_TICKETS, Noun.SERVICE_ORDERS])
def test_an_operation_set_is_done_operation_by_operation(noun: Noun) -> None:
    """Create, change, and remove an element or the object; told as one."""
    books = Books("IT", NOUNS[noun].owner)
    outcome = books.do(a_request(noun, Verb.EXECUTE), now=NOON)
    assert outcome.reply.reply.result is Result.OK
    assert outcome.event is not None
    assert outcome.event.header.verb is Verb.EXECUTED
    assert outcome.event.payload is not None
    assert outcome.event.payload.operation_set is not None
    verbs = [operation.verb for operation in outcome.event.payload.operation_set.operation]
    assert verbs[:2] == [Verb.CREATED, Verb.CHANGED]
    assert verbs[2] == (Verb.CHANGED if noun is Noun.TROUBLE_TICKETS else Verb.DELETED)
    left = reply_of(books, a_request(noun, Verb.GET))
    if noun is Noun.TROUBLE_TICKETS:
        (ticket,) = items(left)
        assert isinstance(ticket, TroubleTicket)
        assert ticket.comment is None
    else:
        assert left.reply.result is Result.FAILED


@pytest.mark.parametrize("is_whole", [True, False])
def test_one_operation_that_fails_undoes_the_others_where_it_has_to(is_whole: bool) -> None:
    """As the flag of the set says."""
    books = Books("OMS", Role.OMS)
    create = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=2)
    assert isinstance(create, RequestMessage)
    assert create.payload is not None
    content = create.payload.content[0]
    operations = (
        Operation(operation_id=1, noun="TroubleTickets", verb="create", content=content),
        Operation(operation_id=2, noun="TroubleTickets", verb="create", content=content),
        Operation(operation_id=3, noun="WorkRequests", verb="create", content=content),
        Operation(operation_id=4, noun="TroubleTickets", verb="get", content=content),
        Operation(operation_id=5, noun="Incidents", verb="create", content=content),
        Operation(
            operation_id=6,
            noun="TroubleTickets",
            verb="delete",
            element_operation=True,
            content=TroubleTickets(trouble_ticket=(TroubleTicket(mrid=MRID("nobody")),)),
        ),
    )
    request = a_request(Noun.TROUBLE_TICKETS, Verb.EXECUTE)
    whole = OperationSet(enforce_transactional_integrity=is_whole, operation=operations)
    reply = reply_of(books, msgspec.structs.replace(request, payload=Payload(operation_set=whole)))
    assert [(error.operation_id, error.code) for error in reply.reply.error] == [
        (2, "6.1"),
        (3, "2.5"),
        (4, "2.9"),
        (5, "1.7"),
        (6, "2.15"),
    ]
    assert reply.reply.result is (Result.FAILED if is_whole else Result.PARTIAL)
    assert books.counts["TroubleTickets"] == (0 if is_whole else 1)
    empty = msgspec.structs.replace(request, payload=None)
    assert codes(reply_of(Books("OMS", Role.OMS), empty)) == ["1.7"]


def test_every_event_is_heard() -> None:
    """A role that does not own the noun is told of it all the same."""
    books = Books("CIS", Role.CIS)
    for verb in EVENT_OF.values():
        outcome = books.do(build_message(Noun.TROUBLE_TICKETS, verb), now=NOON)  # type: ignore[arg-type]
        assert (outcome.reply.reply.result, outcome.event) == (Result.OK, None)
