"""Which root, verb, noun and parts go together."""

from datetime import UTC, datetime

import msgspec
import pytest

from cimcare.errors import Finding
from cimcare.model.envelope import (
    AnyMessage,
    EventMessage,
    FaultMessage,
    Header,
    Message,
    ObjectID,
    Operation,
    OperationSet,
    Payload,
    Reply,
    ReplyError,
    Request,
    RequestMessage,
    ResponseMessage,
    Result,
)
from cimcare.model.identity import MRID, CorrelationID, MessageID
from cimcare.model.incident import Incident, Incidents
from cimcare.model.nouns import Noun
from cimcare.model.queries import GetIncidents, GetTroubleTickets
from cimcare.model.structure import Extension
from cimcare.model.trouble_ticket import ServiceLocationIdentity, TroubleTicket, TroubleTickets
from cimcare.model.verbs import EVENT_VERBS, REQUEST_VERBS, Archetype, Verb
from cimcare.rules import check_reply, check_rules
from cimcare.samples.build import build_message

NOON = datetime(2031, 2, 11, 12, 0, tzinfo=UTC)
TICKETS = Noun.TROUBLE_TICKETS
TICKET = TroubleTicket(
    mrid=MRID("T-1"), date_time_of_report=NOON, service_location=ServiceLocationIdentity(mrid=MRID("SL-1"))
)
ROOT = TroubleTickets(trouble_ticket=(TICKET,))
CONTENT = Payload(content=(ROOT,))
BY_ID = Request(id=(ObjectID(value="T-1"),))
OK = Reply(result=Result.OK)
SET = Payload(
    operation_set=OperationSet(operation=(Operation(operation_id=1, noun=TICKETS, verb="create", content=ROOT),))
)
FOREIGN = Extension(xml='<x:Meters xmlns:x="urn:example:vendor"></x:Meters>')


def a_header(verb: Verb, noun: str = TICKETS, **more: object) -> Header:
    return msgspec.structs.replace(Header(verb=verb, noun=noun), **more)


def a_request(verb: Verb, noun: str = TICKETS, **parts: object) -> RequestMessage:
    return msgspec.structs.replace(RequestMessage(header=a_header(verb, noun)), **parts)


def an_event(verb: Verb, noun: str = TICKETS, payload: Payload | None = CONTENT) -> EventMessage:
    return EventMessage(header=a_header(verb, noun), payload=payload)


def a_reply(reply: Reply = OK, noun: str = TICKETS, payload: Payload | None = None) -> ResponseMessage:
    return ResponseMessage(header=a_header(Verb.REPLY, noun), reply=reply, payload=payload)


def codes(message: AnyMessage) -> list[str]:
    return [each.code for each in check_rules(message)]


def the_finding(message: AnyMessage) -> Finding:
    (finding,) = check_rules(message)
    return finding


# ------------------------------------------------------------------------------------------------ root and verb

ROOTS = {
    Archetype.REQUEST: lambda header: RequestMessage(header=header),
    Archetype.RESPONSE: lambda header: ResponseMessage(header=header, reply=OK),
    Archetype.EVENT: lambda header: EventMessage(header=header),
    Archetype.GENERIC: lambda header: Message(header=header),
}


def belongs(verb: Verb, archetype: Archetype) -> bool:
    if archetype is Archetype.GENERIC:
        return True
    kinds = {Archetype.REQUEST: REQUEST_VERBS, Archetype.EVENT: EVENT_VERBS, Archetype.RESPONSE: {Verb.REPLY}}
    return verb in kinds[archetype]


@pytest.mark.parametrize("archetype", ROOTS)
@pytest.mark.parametrize("verb", Verb)
def test_a_verb_stands_only_in_the_root_it_belongs_to(verb: Verb, archetype: Archetype) -> None:
    """The schema lets every verb stand everywhere; a `created` in a RequestMessage would be served by nobody."""
    found = check_rules(ROOTS[archetype](a_header(verb)))

    refused = [each for each in found if each.code == "CNV-101"]
    assert bool(refused) is not belongs(verb, archetype)
    for each in refused:
        assert each.path == f"/{archetype}/Header/Verb"
        assert each.found == f"{verb} in a {archetype}"


# ---------------------------------------------------------------------------------------- parts, by verb

PARTS = [
    # verb, request, payload, code (None: fine)
    (Verb.CREATE, None, CONTENT, None),
    (Verb.CREATE, Request(), CONTENT, None),
    (Verb.CREATE, None, None, "CNV-102"),
    (Verb.CREATE, None, Payload(), "CNV-102"),
    (Verb.CREATE, None, Payload(id=(ObjectID(value="T-1"),)), "CNV-102"),
    (Verb.CREATE, None, Payload(compressed="H4sI"), None),
    (Verb.CREATE, None, SET, "CNV-103"),
    (Verb.CHANGE, None, CONTENT, None),
    (Verb.CHANGE, BY_ID, CONTENT, None),
    (Verb.CHANGE, BY_ID, None, "CNV-102"),
    (Verb.GET, BY_ID, None, None),
    (Verb.GET, Request(), None, None),
    (Verb.GET, Request(), Payload(), None),
    (Verb.GET, None, None, "CNV-104"),
    (Verb.GET, BY_ID, CONTENT, "CNV-103"),
    (Verb.CANCEL, BY_ID, None, None),
    (Verb.CANCEL, None, None, "CNV-104"),
    (Verb.CANCEL, Request(), None, "CNV-105"),
    (Verb.CLOSE, BY_ID, None, None),
    (Verb.CLOSE, None, Payload(id=(ObjectID(value="T-1"),)), None),
    (Verb.CLOSE, None, None, "CNV-104"),
    (Verb.CLOSE, Request(start_time=NOON), Payload(), "CNV-105"),
    (Verb.DELETE, BY_ID, None, None),
    (Verb.DELETE, None, CONTENT, None),
    (Verb.DELETE, None, None, "CNV-104"),
    (Verb.DELETE, Request(), SET, "CNV-103"),
]


@pytest.mark.parametrize(("verb", "request_part", "payload", "code"), PARTS)
def test_a_request_has_the_parts_its_verb_wants(
    verb: Verb, request_part: Request | None, payload: Payload | None, code: str | None
) -> None:
    """What is asked must be sayable from the message: objects in the payload, or identifiers."""
    assert codes(a_request(verb, request=request_part, payload=payload)) == ([code] if code else [])


@pytest.mark.parametrize("verb", sorted(EVENT_VERBS - {Verb.EXECUTED}))
def test_an_event_has_a_payload(verb: Verb) -> None:
    """An event without content tells nobody anything."""
    assert codes(an_event(verb)) == []
    assert codes(an_event(verb, payload=None)) == ["CNV-102"]
    assert codes(an_event(verb, payload=SET)) == ["CNV-103"]


@pytest.mark.parametrize("verb", sorted(EVENT_VERBS - {Verb.EXECUTED}))
def test_identifiers_alone_will_do_where_the_object_is_gone_or_done(verb: Verb) -> None:
    """A deleted object has no content any more; a created one has."""
    message = an_event(verb, payload=Payload(id=(ObjectID(value="T-1"),)))

    assert codes(message) == ([] if verb in {Verb.CANCELED, Verb.CLOSED, Verb.DELETED} else ["CNV-102"])


def test_the_generic_root_is_judged_by_its_verb() -> None:
    """Intermediaries use one root for all; the same parts are asked of it."""
    assert codes(Message(header=a_header(Verb.CREATE), payload=CONTENT)) == []
    assert codes(Message(header=a_header(Verb.CREATE), payload=CONTENT, reply=OK)) == ["CNV-114"]
    assert codes(Message(header=a_header(Verb.CREATED), payload=CONTENT, request=BY_ID)) == ["CNV-114"]
    assert codes(Message(header=a_header(Verb.REPLY), reply=OK)) == []
    assert codes(Message(header=a_header(Verb.REPLY))) == ["CNV-115"]
    assert the_finding(Message(header=a_header(Verb.GET))).path == "/Message/Request"


# ------------------------------------------------------------------------------------------------ noun


def test_an_unknown_noun_is_named_and_an_alias_explained() -> None:
    """`TroubleTicket` is the commonest slip; the answer should be the right word."""
    assert the_finding(a_request(Verb.GET, "Meters", request=BY_ID)).code == "ENV-106"
    finding = the_finding(a_request(Verb.GET, "IncidentInformation", request=BY_ID))
    assert (finding.path, finding.accepted) == (
        "/RequestMessage/Header/Noun",
        "Incidents (another name of IncidentInformation)",
    )


def test_operation_set_is_the_noun_of_execute_and_of_nothing_else() -> None:
    """Otherwise routing by noun would send transactions astray."""
    assert codes(a_request(Verb.EXECUTE, "OperationSet", payload=SET)) == []
    assert codes(a_request(Verb.EXECUTE, TICKETS, payload=SET)) == ["CNV-116"]
    assert codes(a_request(Verb.CREATE, "OperationSet", payload=CONTENT)) == ["CNV-116"]
    assert codes(a_reply(noun="OperationSet")) == []


def test_content_of_another_noun_is_refused() -> None:
    """A header that says incidents above tickets would go to the wrong system."""
    finding = the_finding(an_event(Verb.CREATED, Noun.INCIDENTS))

    assert (finding.code, finding.path) == ("CNV-106", "/EventMessage/Payload/TroubleTickets")
    assert (finding.found, finding.accepted) == ("TroubleTickets with the noun Incidents", "Incidents")


def test_content_of_no_known_namespace_is_named() -> None:
    """An element of a draft or a vendor is not read as tickets by chance."""
    finding = the_finding(a_request(Verb.CREATE, payload=Payload(content=(FOREIGN,))))

    assert (finding.code, finding.path) == ("CNV-106", "/RequestMessage/Payload/Meters")


def test_one_payload_has_one_root() -> None:
    """Two roots in one message could not be answered by one reply; one root holds any number of objects."""
    found = check_rules(a_request(Verb.CREATE, payload=Payload(content=(ROOT, ROOT))))

    assert [(each.code, each.path) for each in found] == [("CNV-113", "/RequestMessage/Payload/TroubleTickets[2]")]


def test_an_empty_root_says_nothing_but_in_a_reply() -> None:
    """A get that finds nothing answers with an empty root; an empty create is a mistake."""
    empty = Payload(content=(TroubleTickets(),))

    finding = the_finding(a_request(Verb.CREATE, payload=empty))
    assert (finding.code, finding.path) == ("CNV-110", "/RequestMessage/Payload/TroubleTickets")
    assert codes(an_event(Verb.CHANGED, payload=empty)) == ["CNV-110"]
    assert codes(a_reply(payload=empty)) == []


def test_a_query_is_that_of_the_noun() -> None:
    """`get` of tickets with GetIncidents inside would be answered with one or the other."""
    good = a_request(Verb.GET, request=Request(query=GetTroubleTickets()))
    bad = a_request(Verb.GET, request=Request(query=GetIncidents()))

    assert codes(good) == []
    finding = the_finding(bad)
    assert (finding.code, finding.path) == ("CNV-106", "/RequestMessage/Request/GetIncidents")


# ------------------------------------------------------------------------------------------------ header


def test_an_asynchronous_request_can_be_answered() -> None:
    """Without an address or an identifier the reply would be lost for certain."""

    def asks(**more: object) -> list[str]:
        header = a_header(Verb.CREATE, async_reply_flag=True, **more)
        return codes(RequestMessage(header=header, payload=CONTENT))

    assert asks(reply_address="queue:replies", message_id=MessageID("m-1")) == []
    assert asks(reply_address="queue:replies", correlation_id=CorrelationID("c-1")) == []
    assert asks(message_id=MessageID("m-1")) == ["CNV-107"]
    assert asks(reply_address=" ", message_id=MessageID("m-1")) == ["CNV-107"]
    assert asks(reply_address="queue:replies") == ["CNV-120"]
    assert codes(RequestMessage(header=a_header(Verb.CREATE, async_reply_flag=False), payload=CONTENT)) == []


# ------------------------------------------------------------------------------------------------ reply

OUTCOMES = [
    (Result.OK, (), None),
    (Result.OK, ("0.0",), None),
    (Result.FAILED, ("2.15",), None),
    (Result.FAILED, (), "CNV-109"),
    (Result.FAILED, ("0.0",), "CNV-109"),
    (Result.FAILED, (" ",), "CNV-109"),
    (Result.PARTIAL, ("0.1",), None),
    (Result.PARTIAL, ("0.2", "6.1"), None),
    (Result.PARTIAL, ("6.1",), "CNV-119"),
    (Result.PARTIAL, (), "CNV-119"),
]


@pytest.mark.parametrize(("result", "error_codes", "code"), OUTCOMES)
def test_result_and_error_codes_fit(result: Result, error_codes: tuple[str, ...], code: str | None) -> None:
    """A client decides by these two whether to wait, to go on, or to tell somebody."""
    reply = Reply(result=result, error=tuple(ReplyError(code=each) for each in error_codes))

    assert codes(a_reply(reply)) == ([code] if code else [])
    assert codes(FaultMessage(reply=reply)) == ([code] if code else [])


def asked(verb: Verb = Verb.CREATE, **more: object) -> RequestMessage:
    return RequestMessage(header=a_header(verb, message_id=MessageID("m-1"), **more))


def answers(request: RequestMessage, reply: Reply = OK, payload: Payload | None = None, **more: object) -> list[str]:
    header = a_header(Verb.REPLY, **{"correlation_id": CorrelationID("m-1"), **more})
    return [each.code for each in check_reply(request, ResponseMessage(header=header, reply=reply, payload=payload))]


def test_a_reply_carries_the_correlation_of_its_request() -> None:
    """A reply that cannot be linked leaves the caller waiting."""
    assert answers(asked()) == []
    assert answers(asked(), correlation_id=None) == ["EXC-107"]
    assert answers(asked(correlation_id=CorrelationID("c-1"))) == ["EXC-107"]
    assert answers(asked(correlation_id=CorrelationID("c-1")), correlation_id=CorrelationID("c-1")) == []
    assert answers(RequestMessage(header=a_header(Verb.CREATE)), correlation_id=None) == []
    assert answers(RequestMessage(header=a_header(Verb.CREATE))) == ["EXC-107"]


def test_a_reply_to_a_get_has_a_payload_and_one_to_a_transaction_has_none() -> None:
    """OK without content leaves open whether nothing was found or something was lost."""
    receipt = Reply(result=Result.OK, error=(ReplyError(code="0.3"),))
    failed = Reply(result=Result.FAILED, error=(ReplyError(code="2.15"),))

    assert answers(asked(Verb.GET), payload=CONTENT) == []
    assert answers(asked(Verb.GET)) == ["CNV-102"]
    assert answers(asked(Verb.GET), receipt) == []
    assert answers(asked(Verb.GET), failed) == []
    assert answers(asked(Verb.CHANGE), payload=CONTENT) == ["CNV-103"]
    assert answers(asked(Verb.GET), payload=CONTENT, noun="Incidents") == ["CNV-106"]


# ------------------------------------------------------------------------------------------------ operation sets


def executes(*operations: Operation, verb: Verb = Verb.EXECUTE) -> AnyMessage:
    payload = Payload(operation_set=OperationSet(operation=operations))
    header = a_header(verb, "OperationSet")
    if verb is Verb.EXECUTED:
        return EventMessage(header=header, payload=payload)
    return RequestMessage(header=header, payload=payload)


def an_operation(number: int = 1, verb: str | None = "create", **more: object) -> Operation:
    return msgspec.structs.replace(Operation(operation_id=number, noun=TICKETS, verb=verb, content=ROOT), **more)


def test_an_execute_holds_an_operation_set() -> None:
    """There is nothing else to run."""
    assert codes(a_request(Verb.EXECUTE, "OperationSet")) == ["CNV-102"]
    assert codes(a_request(Verb.EXECUTE, "OperationSet", payload=CONTENT)) == ["CNV-103"]
    assert codes(a_request(Verb.EXECUTE, "OperationSet", payload=Payload(compressed="H4sI"))) == []
    assert codes(executes()) == ["CNV-111"]


def test_operations_are_told_apart_by_their_number() -> None:
    """The reply names operations by operationId."""
    assert codes(executes(an_operation(1), an_operation(2, "delete"))) == []
    finding = the_finding(executes(an_operation(7), an_operation(7, "change")))
    assert (finding.code, finding.path) == (
        "CNV-118",
        "/RequestMessage/Payload/OperationSet/Operation[2]/operationId",
    )


@pytest.mark.parametrize("inner", [*Verb, None, "update"])
@pytest.mark.parametrize("verb", [Verb.EXECUTE, Verb.EXECUTED])
def test_operations_create_change_and_delete_only(verb: Verb, inner: str | None) -> None:
    """Nothing else can be undone as part of a transaction."""
    allowed = {"create", "change", "delete"} if verb is Verb.EXECUTE else {"created", "changed", "deleted"}

    found = codes(executes(an_operation(verb=inner), verb=verb))

    assert found == ([] if inner in allowed else ["CNV-117"])


def test_an_operation_has_content_of_its_noun() -> None:
    """The same rule as for a message, one level deeper, with the path that leads there."""
    assert codes(executes(an_operation(content=None))) == ["CNV-121"]
    assert codes(executes(an_operation(noun=None))) == []
    assert codes(executes(an_operation(noun="Meters"))) == ["ENV-106"]
    assert codes(executes(an_operation(noun=None, content=FOREIGN))) == ["CNV-106"]
    finding = the_finding(executes(an_operation(noun="Incidents")))
    assert (finding.code, finding.path) == (
        "CNV-106",
        "/RequestMessage/Payload/OperationSet/Operation/TroubleTickets",
    )


def test_objects_inside_operations_are_judged_by_the_inner_verb() -> None:
    """A create inside a set is a create; an operation on elements of an object is a change of it."""
    nameless = Incidents(incident=(Incident(cause="ice"),))

    def inside(verb: str, *, element_operation: bool = False) -> list[str]:
        return codes(
            executes(an_operation(verb=verb, noun="Incidents", content=nameless, element_operation=element_operation))
        )

    assert inside("create") == []
    assert inside("change") == ["REF-101"]
    assert inside("create", element_operation=True) == ["REF-101"]


def test_findings_cite_their_clause() -> None:
    """A partner who doubts a finding must be able to look it up."""
    finding = the_finding(a_request(Verb.GET))

    assert finding.clause == "IEC 61968-100:2013, message organisation"
    assert finding.line is None


@pytest.mark.parametrize(
    ("revision", "is_known"), [(None, True), ("1", True), ("1.2", True), ("2", False), ("x", False)]
)
def test_a_revision_that_is_not_spoken_here_is_found(revision: str | None, is_known: bool) -> None:
    """The hub refuses it, so whoever validates before sending must hear of it."""
    message = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=1)
    assert isinstance(message, RequestMessage)
    header = msgspec.structs.replace(message.header, revision=revision)
    codes = [finding.code for finding in check_rules(msgspec.structs.replace(message, header=header))]
    assert codes == ([] if is_known else ["ENV-109"])
