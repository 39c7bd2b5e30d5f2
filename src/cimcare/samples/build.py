"""Builds sample messages and payloads: any noun, any verb, any seed.

All verbs of one noun and seed speak of one object: the reply and the event of seed 7 answer to the request of seed 7.
Pure: the same arguments give the same value, on every machine.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from cimcare.model.envelope import (
    AnyMessage,
    EventMessage,
    Header,
    IDKind,
    MessageProperty,
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
    User,
)
from cimcare.model.identity import CorrelationID, MessageID
from cimcare.model.nouns import NOUNS, Noun, PayloadRoot, Query, Role
from cimcare.model.queries import (
    AssetIdentity,
    CustomerAgreementFilter,
    GetCustomerAgreements,
    GetIncidents,
    GetServiceOrders,
    GetServiceRequests,
    GetTroubleTickets,
    GetWorkRequests,
    IncidentFilter,
    TroubleTicketFilter,
    WorkFilter,
)
from cimcare.model.trouble_ticket import ServiceLocationIdentity
from cimcare.model.verbs import EVENT_OF, EVENT_VERBS, Verb
from cimcare.samples.agreements import build_customer_agreements
from cimcare.samples.draw import Draw
from cimcare.samples.northlake import name_of
from cimcare.samples.scene import BASE_INSTANT, Form, Scene, build_scene, sample_mrid
from cimcare.samples.troubles import build_incidents, build_trouble_tickets
from cimcare.samples.works import build_service_orders, build_service_requests, build_work_requests

__all__ = ["BASE_INSTANT", "build_message", "build_payload", "sample_mrid"]

OPERATION_SET = "OperationSet"
"""Header/Noun of execute and executed."""

_BUILDERS: dict[Noun, Callable[[Scene, Form], PayloadRoot]] = {
    Noun.TROUBLE_TICKETS: build_trouble_tickets,
    Noun.INCIDENTS: build_incidents,
    Noun.SERVICE_REQUESTS: build_service_requests,
    Noun.SERVICE_ORDERS: build_service_orders,
    Noun.WORK_REQUESTS: build_work_requests,
    Noun.CUSTOMER_AGREEMENTS: build_customer_agreements,
}
_FORMS: dict[Verb, Form] = {
    Verb.CREATE: Form.FULL,
    Verb.CREATED: Form.FULL,
    Verb.CHANGE: Form.CHANGE,
    Verb.CHANGED: Form.CHANGED,
    Verb.CANCELED: Form.CANCELED,
    Verb.CLOSE: Form.CLOSE,
    Verb.CLOSED: Form.CLOSED,
    Verb.DELETE: Form.IDENTITY,
    Verb.DELETED: Form.IDENTITY,
    Verb.REPLY: Form.FULL,
}
_REMAINING = frozenset({Noun.TROUBLE_TICKETS, Noun.INCIDENTS, Noun.CUSTOMER_AGREEMENTS})
"""Nouns whose objects are closed or cancelled before they can be deleted."""

_SYSTEMS = {
    Role.CIS: "CIS-NORTHLAKE",
    Role.OMS: "OMS-NORTHLAKE",
    Role.WMS: "WMS-NORTHLAKE",
    Role.THIRD_PARTY: "LAKESHORE-RETAIL",
}


def build_payload(noun: Noun, *, seed: int = 0, partial: bool = False, now: datetime | None = None) -> PayloadRoot:
    """A payload with one object: all of it as a create wants it, or (`partial`) identity and what changes.

    Args:
        noun: Noun of the payload.
        seed: Which of the samples; every number gives another object.
        partial: As in a change.
        now: Aware instant at which the sample plays; `BASE_INSTANT` if not given.

    Raises:
        ValueError: `now` has no time zone.
    """
    return _BUILDERS[noun](_scene(noun, seed, now), Form.CHANGE if partial else Form.FULL)


def build_message(noun: Noun, verb: Verb, *, seed: int = 0, now: datetime | None = None) -> AnyMessage:
    """A valid message of this noun and verb, in the root element that the verb belongs to.

    A reply answers a create where the seed is even, a get where it is odd. A get asks by ID where the seed is even, by
    `Get<Noun>` where it is odd. For execute and executed the header says `OperationSet`, and the noun is that of the
    operations: one object is created, changed and deleted; where an object cannot be deleted as long as it is open, its
    comment is removed instead, by an operation on elements.

    Args:
        noun: Noun of the objects.
        verb: Header/Verb.
        seed: Which of the samples; all verbs of one seed speak of the same object.
        now: Aware instant at which the sample plays; `BASE_INSTANT` if not given.

    Raises:
        ValueError: `now` has no time zone.
    """
    scene = _scene(noun, seed, now)
    header = _header(scene, verb)
    if verb is Verb.REPLY:
        if seed % 2:
            return ResponseMessage(header=header, reply=_ok(), payload=_payload(scene, verb))
        return ResponseMessage(header=header, reply=_ok(_object_id(scene)))
    if verb in EVENT_VERBS:
        return EventMessage(header=header, payload=_payload(scene, verb))
    if verb is Verb.GET:
        return RequestMessage(header=header, request=_get(scene))
    if verb in {Verb.CANCEL, Verb.CLOSE, Verb.DELETE}:
        # Nobody closes an incident without saying who knows that it is over, nor an order without what was read.
        says_more = verb is Verb.CLOSE and noun in {Noun.INCIDENTS, Noun.SERVICE_ORDERS}
        payload = _payload(scene, verb) if says_more else None
        return RequestMessage(header=header, request=Request(id=(_object_id(scene),)), payload=payload)
    return RequestMessage(header=header, payload=_payload(scene, verb))


def _scene(noun: Noun, seed: int, now: datetime | None) -> Scene:
    base = BASE_INSTANT if now is None else now
    if base.tzinfo is None:
        raise ValueError(f"now is {base.isoformat()}, without a time zone; give an aware instant")
    return build_scene(noun, seed, base)


def _header(scene: Scene, verb: Verb) -> Header:
    owner = NOUNS[scene.noun].owner
    # The CIS asks the other systems; what it owns itself, third parties ask for.
    asker = Role.THIRD_PARTY if owner is Role.CIS else Role.CIS
    asks = verb is not Verb.REPLY and verb not in EVENT_VERBS
    cause = _cause_of(verb, scene.seed)
    return Header(
        verb=verb,
        noun=OPERATION_SET if verb in {Verb.EXECUTE, Verb.EXECUTED} else scene.noun,
        revision="1",
        # A sample never acts on a system in production: that is what Context is for.
        context="TESTING",
        timestamp=scene.base if asks else scene.base + timedelta(seconds=1 if verb is Verb.REPLY else 2),
        source=_SYSTEMS[asker if asks else owner],
        async_reply_flag=False if asks else None,
        ack_required=True if asks else None,
        user=User(user_id=f"agent.{scene.draw('user').between(100, 999):04}", organization="Northlake Contact Centre")
        if asks
        else None,
        message_id=_message_id(scene, verb),
        correlation_id=None if cause is None else CorrelationID(_message_id(scene, cause)),
        property=(MessageProperty(name="channel", value=scene.draw("channel").pick(("voice", "web", "counter"))),)
        if asks
        else (),
    )


def _cause_of(verb: Verb, seed: int) -> Verb | None:
    """The request that a reply or event answers to; None for a request."""
    if verb is Verb.REPLY:
        return Verb.GET if seed % 2 else Verb.CREATE
    return next((cause for cause, event in EVENT_OF.items() if event is verb), None)


def _message_id(scene: Scene, verb: Verb) -> MessageID:
    return MessageID(Draw("MessageID", scene.noun, verb, scene.seed).uuid())


def _payload(scene: Scene, verb: Verb) -> Payload:
    if verb in {Verb.EXECUTE, Verb.EXECUTED}:
        inner = (Verb.CREATE, Verb.CHANGE, Verb.DELETE)
        verbs = inner if verb is Verb.EXECUTE else tuple(EVENT_OF[each] for each in inner)
        return Payload(
            operation_set=OperationSet(
                enforce_msg_sequence=True,
                enforce_transactional_integrity=True,
                operation=tuple(
                    Operation(
                        operation_id=number,
                        noun=scene.noun,
                        verb=each,
                        element_operation=_FORMS[each] is Form.IDENTITY and scene.noun in _REMAINING,
                        content=_content(scene, each),
                    )
                    for number, each in enumerate(verbs, 1)
                ),
            ),
            format="XML",
        )
    return Payload(content=(_BUILDERS[scene.noun](scene, _FORMS[verb]),), format="XML")


def _content(scene: Scene, verb: Verb) -> PayloadRoot:
    """Payload element of an operation; the path to the comment where that is what goes."""
    root = _BUILDERS[scene.noun](scene, _FORMS[verb])
    if _FORMS[verb] is not Form.IDENTITY or scene.noun not in _REMAINING:
        return root
    field = NOUNS[scene.noun].item
    (item,), (whole,) = getattr(root, field), getattr(_BUILDERS[scene.noun](scene, Form.FULL), field)
    doomed = msgspec.structs.replace(item, comment=whole.comment)
    return msgspec.structs.replace(root, **{field: (doomed,)})


def _object_id(scene: Scene) -> ObjectID:
    return ObjectID(value=scene.mrid, kind=IDKind.uuid, object_type=NOUNS[scene.noun].item_name)


def _ok(*ids: ObjectID) -> Reply:
    return Reply(result=Result.OK, error=(ReplyError(code="0.0"),), id=ids)


def _get(scene: Scene) -> Request:
    if scene.seed % 2:
        return Request(query=_query(scene))
    if scene.seed % 4:
        return Request(start_time=scene.at(days=-30), end_time=scene.at(days=1), id=(_object_id(scene),))
    return Request(id=(_object_id(scene),))


def _query(scene: Scene) -> Query:
    premises = scene.premises
    place = ServiceLocationIdentity(
        mrid=premises.mrid("location"), names=name_of(premises.location, "ServiceLocationNumber")
    )
    work = WorkFilter(mrid=scene.mrid)
    match scene.noun:
        case Noun.TROUBLE_TICKETS:
            return GetTroubleTickets(service_location=(place,), trouble_ticket=(TroubleTicketFilter(state="open"),))
        case Noun.INCIDENTS:
            return GetIncidents(incident=(IncidentFilter(mrid=scene.mrid),), service_location=(place,))
        case Noun.SERVICE_REQUESTS:
            return GetServiceRequests(service_location=(place,), work=(work,))
        case Noun.SERVICE_ORDERS:
            return GetServiceOrders(service_location=(place,), work=(work,))
        case Noun.WORK_REQUESTS:
            asset = AssetIdentity(names=name_of(premises.device, "DeviceNumber", "Northlake OMS"))
            return GetWorkRequests(asset=(asset,), work=(work,))
        case Noun.CUSTOMER_AGREEMENTS:
            return GetCustomerAgreements(
                customer_agreement=(CustomerAgreementFilter(state="active"),), service_location=(place,)
            )
