"""All rules on one message: `check_rules`."""

from typing import NamedTuple, TypeAlias

from cimcare.errors import Finding
from cimcare.model import service_order, service_request, work_request
from cimcare.model.customer_agreement import CustomerAgreement
from cimcare.model.envelope import AnyMessage, EventMessage, FaultMessage, Message, RequestMessage, ResponseMessage
from cimcare.model.incident import Incident
from cimcare.model.nouns import NOUNS, Noun, PayloadRoot
from cimcare.model.trouble_ticket import TroubleTicket
from cimcare.model.verbs import EVENT_VERBS, Verb
from cimcare.rules.business import check_business
from cimcare.rules.conventions import check_conventions, content_paths, read_operation_verb
from cimcare.rules.references import check_identity, identity_of
from cimcare.rules.report import MESSAGE_CLAUSE, Path, Report, index_of
from cimcare.rules.values import check_twins, check_value

__all__ = ["check_rules"]

Item: TypeAlias = (
    TroubleTicket | Incident | service_request.Work | service_order.Work | work_request.Work | CustomerAgreement
)
"""An object of a payload."""

_NOT_EMPTY = EVENT_VERBS | {Verb.CREATE, Verb.CHANGE}


class _Content(NamedTuple):
    """A payload root of a known noun, under which verb it comes, and where it stands."""

    root: PayloadRoot
    verb: Verb
    path: Path


def check_rules(message: AnyMessage) -> tuple[Finding, ...]:
    """Findings of all rules beyond the schemas: conventions, identity inside the message, business rules.

    Pure; looks at the message alone. What needs the objects as they are stored (unknown, twice, in the wrong state) is
    for the system that keeps them; what needs the request that a reply answers is for `check_reply`. At most
    `MAX_FINDINGS`, conventions first. Lines are not known here.
    """
    report = Report()
    root: Path = (None, message.ARCHETYPE.value, 0)
    check_conventions(message, root, report)
    if not isinstance(message, FaultMessage):
        check_value(message.header, (root, "Header", 0), report)
    if isinstance(message, RequestMessage | Message) and message.request is not None:
        path: Path = (root, "Request", 0)
        check_value(message.request, path, report)
        if message.request.query is not None:
            check_value(message.request.query, (path, message.request.query.XML_TYPE, 0), report)
    if isinstance(message, ResponseMessage | FaultMessage | Message) and message.reply is not None:
        check_value(message.reply, (root, "Reply", 0), report)
    if not isinstance(message, FaultMessage) and message.payload is not None:
        check_value(message.payload, (root, "Payload", 0), report)
        for content in _contents(message, (root, "Payload", 0)):
            _check_content(content, report)
            report.clause, report.object_id = MESSAGE_CLAUSE, None
    return tuple(report.found)


def _contents(message: RequestMessage | ResponseMessage | EventMessage | Message, path: Path) -> list[_Content]:
    payload = message.payload
    if payload is None:
        return []
    found = [
        _Content(root, message.header.verb, where)
        for root, where in content_paths(payload.content, path)
        if isinstance(root, PayloadRoot)
    ]
    if payload.operation_set is not None:
        operations = payload.operation_set.operation
        for position, operation in enumerate(operations):
            verb = read_operation_verb(operation)
            if verb is None or not isinstance(operation.content, PayloadRoot):
                continue
            where = ((path, "OperationSet", 0), "Operation", index_of(position, len(operations)))
            found.append(_Content(operation.content, verb, (where, operation.content.XML_TYPE, 0)))
    return found


def _check_content(content: _Content, report: Report) -> None:
    root, verb, path = content
    entry = NOUNS[Noun(root.XML_TYPE)]
    report.clause = entry.clause
    name = entry.item_name
    items: tuple[Item, ...] = getattr(root, entry.item)
    if not items and verb in _NOT_EMPTY:
        report.add("CNV-110", path, f"{entry.noun} without {name}", f"at least one {name}", clause=MESSAGE_CLAUSE)
    count = len(items)
    if count > 1:
        check_twins(items, path, name, report)
    for position, item in enumerate(items):
        where: Path = (path, name, index_of(position, count))
        report.object_id = identity_of(item)
        check_identity(item, verb, where, report)
        check_value(item, where, report)
        check_business(item, verb, where, report)
    report.object_id = None
    if isinstance(root, work_request.WorkRequests):
        for position, each in enumerate(root.organisation):
            check_value(each, (path, "Organisation", index_of(position, len(root.organisation))), report)
