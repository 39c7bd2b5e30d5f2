"""Which root element, verb, noun and parts go together, and what header and reply must say.

Source: IEC 61968-100:2013, message organisation; the strictness beyond the schema is in part ours.
"""

import re

from cimcare.errors import Finding
from cimcare.model.envelope import (
    AnyMessage,
    FaultMessage,
    Header,
    Message,
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
from cimcare.model.nouns import Noun, PayloadRoot, find_noun
from cimcare.model.structure import Extension
from cimcare.model.verbs import EVENT_VERBS, REQUEST_VERBS, Archetype, Verb
from cimcare.rules.report import MESSAGE_CLAUSE, OUR_RULE, Path, Report, index_of

__all__ = [
    "ARCHETYPE_OF",
    "OPERATION_SET",
    "REVISIONS",
    "check_conventions",
    "check_reply",
    "content_paths",
    "is_known_revision",
    "read_operation_verb",
]

OPERATION_SET = "OperationSet"
"""Header/Noun of execute and executed."""

REVISIONS = "1, 1.x, or no Revision"
"""What Header/Revision may say, in words."""

ARCHETYPE_OF: dict[Verb, Archetype] = {
    **dict.fromkeys(REQUEST_VERBS, Archetype.REQUEST),
    **dict.fromkeys(EVENT_VERBS, Archetype.EVENT),
    Verb.REPLY: Archetype.RESPONSE,
}
"""The root element that each verb belongs to. `Message` takes them all."""

_BY_IDENTIFIER = frozenset({Verb.CANCEL, Verb.CLOSE, Verb.DELETE})
_IDENTIFIERS_WILL_DO = _BY_IDENTIFIER | {Verb.CANCELED, Verb.CLOSED, Verb.DELETED}
_EXECUTES = frozenset({Verb.EXECUTE, Verb.EXECUTED})
_INNER_VERBS = {
    Verb.EXECUTE: (Verb.CREATE, Verb.CHANGE, Verb.DELETE),
    Verb.EXECUTED: (Verb.CREATED, Verb.CHANGED, Verb.DELETED),
}
_ANY_INNER = {verb.value: verb for verbs in _INNER_VERBS.values() for verb in verbs}
_NOUNS = ", ".join(Noun)
_REVISION = re.compile(r"1(\.\d+)*\Z")
_ELEMENT_NAME = re.compile(r"<(?:[^\s<>:/]+:)?([^\s<>:/]+)")


def check_conventions(message: AnyMessage, path: Path, report: Report) -> None:
    """Check root, verb, noun and parts of a message against each other. `path` is that of the root."""
    if isinstance(message, FaultMessage):
        _check_outcome(message.reply, (path, "Reply", 0), report)
        return
    header, payload = message.header, message.payload
    verb = header.verb
    _check_noun(header, path, report)
    if header.revision and not is_known_revision(header.revision):
        where: Path = ((path, "Header", 0), "Revision", 0)
        report.add("ENV-109", where, f"Revision is {header.revision!r}", REVISIONS)
    request = message.request if isinstance(message, RequestMessage | Message) else None
    reply = message.reply if isinstance(message, ResponseMessage | Message) else None
    expected = ARCHETYPE_OF[verb]
    if message.ARCHETYPE is not Archetype.GENERIC and message.ARCHETYPE is not expected:
        report.add(
            "CNV-101", ((path, "Header", 0), "Verb", 0), f"{verb} in a {message.ARCHETYPE}", f"{verb} in a {expected}"
        )
        return  # which parts belong here cannot be told any more
    if expected is Archetype.REQUEST:
        _check_asynchronous(header, path, report)
    if request is not None and expected is not Archetype.REQUEST:
        report.add("CNV-114", (path, "Request", 0), f"Request under the verb {verb}", "Request in a request alone")
    if expected is Archetype.RESPONSE:
        if reply is None:
            report.add("CNV-115", (path, "Reply", 0), "Reply is not given", "Reply with a Result")
        else:
            _check_outcome(reply, (path, "Reply", 0), report)
    elif reply is not None:
        report.add("CNV-114", (path, "Reply", 0), f"Reply under the verb {verb}", "Reply under the verb reply alone")
    _check_parts(verb, request, payload, path, report)
    if request is not None and request.query is not None:
        _check_query(header, request, path, report)
    if payload is not None:
        _check_roots(header.noun, payload, (path, "Payload", 0), report)


def is_known_revision(revision: str) -> bool:
    """Whether a Header/Revision says that the message is of the revision that is spoken here."""
    return _REVISION.match(revision) is not None


def check_reply(request: RequestMessage, reply: ResponseMessage) -> tuple[Finding, ...]:
    """Findings on a reply as the answer to a request: correlation, noun, and whether a payload belongs there.

    The reply by itself is judged by `check_rules`. A receipt (code 0.3) needs no payload yet.

    Source: IEC 61968-100:2013, correlation of messages and message organisation.
    """
    report = Report()
    path: Path = (None, reply.ARCHETYPE.value, 0)
    header, asked = reply.header, request.header
    expected = asked.correlation_id or asked.message_id
    if header.correlation_id != expected:
        report.add(
            "EXC-107",
            ((path, "Header", 0), "CorrelationID", 0),
            f"CorrelationID is {header.correlation_id or 'not given'}",
            f"{expected}, the CorrelationID of the request or else its MessageID" if expected else "no CorrelationID",
        )
    if header.noun != asked.noun:
        report.add("CNV-106", ((path, "Header", 0), "Noun", 0), f"Noun is {header.noun}", f"{asked.noun}, as asked")
    given = reply.payload is not None and _is_filled(reply.payload)
    where: Path = (path, "Payload", 0)
    if asked.verb is not Verb.GET:
        if given:
            report.add("CNV-103", where, f"payload in the reply to a {asked.verb}", "identifiers in Reply/ID")
    elif reply.reply.result is Result.OK and not given and not any(each.code == "0.3" for each in reply.reply.error):
        report.add("CNV-102", where, "no payload in the reply to a get", f"{asked.noun}, empty if nothing was found")
    return tuple(report.found)


def content_paths(
    content: tuple[PayloadRoot | Extension, ...], path: Path
) -> list[tuple[PayloadRoot | Extension, Path]]:
    """Each element of a payload with its path."""
    if len(content) == 1:
        return [(content[0], (path, _name_of(content[0]), 0))]
    names = [_name_of(each) for each in content]
    return [
        (each, (path, name, index_of(names[:position].count(name), names.count(name))))
        for position, (each, name) in enumerate(zip(content, names, strict=True))
    ]


def read_operation_verb(operation: Operation) -> Verb | None:
    """The verb by which the content of an operation is to be judged; None if it is none of the six.

    An operation on elements inside an object shows a path to them, as a change does, whatever its verb.
    """
    verb = _ANY_INNER.get(operation.verb or "")
    if verb is not None and operation.element_operation:
        return Verb.CHANGED if verb in EVENT_VERBS else Verb.CHANGE
    return verb


def _check_noun(header: Header, path: Path, report: Report) -> None:
    where: Path = ((path, "Header", 0), "Noun", 0)
    noun = header.noun
    if header.verb in _EXECUTES:
        if noun != OPERATION_SET:
            report.add("CNV-116", where, f"Noun is {noun} with {header.verb}", OPERATION_SET)
    elif noun == OPERATION_SET:
        if header.verb is not Verb.REPLY:
            report.add("CNV-116", where, f"Noun is {noun} with {header.verb}", "execute or executed as the verb")
    elif find_noun(noun) is None:
        report.add("ENV-106", where, f"Noun is {noun!r}", _known(noun))


def _check_asynchronous(header: Header, path: Path, report: Report) -> None:
    if not header.async_reply_flag:
        return
    where: Path = (path, "Header", 0)
    if not (header.reply_address or "").strip():
        report.add(
            "CNV-107",
            (where, "ReplyAddress", 0),
            "AsyncReplyFlag is true, but ReplyAddress is not given",
            "a URL, topic:name or queue:name to which the reply can go",
        )
    if not header.message_id and not header.correlation_id:
        report.add(
            "CNV-120",
            (where, "MessageID", 0),
            "AsyncReplyFlag is true, but neither MessageID nor CorrelationID is given",
            "one of them, so that the reply can be linked to the request",
            clause=MESSAGE_CLAUSE + OUR_RULE,
        )


def _check_outcome(reply: Reply, path: Path, report: Report) -> None:
    where: Path = (path, "Error", 0)
    if reply.result is Result.FAILED:
        if not any(_tells_a_problem(each) for each in reply.error):
            report.add(
                "CNV-109", where, "Result is FAILED without a problem", "an Error for each problem, with its code"
            )
    elif reply.result is Result.PARTIAL and not any(each.code in {"0.1", "0.2"} for each in reply.error):
        report.add(
            "CNV-119",
            where,
            "Result is PARTIAL without code 0.1 or 0.2",
            "an Error with code 0.1 (more follows) or 0.2 (that was all)",
        )


def _tells_a_problem(error: ReplyError) -> bool:
    return bool(error.code.strip()) and not error.code.startswith("0.")


def _check_parts(verb: Verb, request: Request | None, payload: Payload | None, path: Path, report: Report) -> None:
    where: Path = (path, "Payload", 0)
    if verb is Verb.GET:
        if request is None:
            report.add(
                "CNV-104", (path, "Request", 0), "Request is not given", "Request with ID, times or a Get element"
            )
        if payload is not None and _is_filled(payload):
            report.add("CNV-103", where, "payload in a get", "no payload; what is wanted stands in Request")
    elif verb in _EXECUTES:
        _check_execution(verb, payload, where, report)
    elif verb is not Verb.REPLY:
        if payload is not None and payload.operation_set is not None:
            report.add(
                "CNV-103", (where, OPERATION_SET, 0), f"OperationSet under the verb {verb}", "execute as the verb"
            )
        elif verb in _BY_IDENTIFIER:
            _check_identifiers(verb, request, payload, path, report)
        elif payload is None or not _is_filled(payload):
            report.add("CNV-102", where, "no payload", f"a payload: {verb} is about its content")
        elif payload.id and verb not in _IDENTIFIERS_WILL_DO:
            report.add("CNV-102", where, "identifiers alone", f"the objects: {verb} is about their content")


def _check_identifiers(
    verb: Verb, request: Request | None, payload: Payload | None, path: Path, report: Report
) -> None:
    # Objects in the payload name themselves: test cases of 2015 delete in this way, so it is taken as well.
    if (request is not None and request.id) or (payload is not None and _is_filled(payload)):
        return
    if request is None:
        report.add("CNV-104", (path, "Request", 0), "Request is not given", f"Request with an ID of what to {verb}")
    else:
        where: Path = ((path, "Request", 0), "ID", 0)
        report.add("CNV-105", where, "no ID", f"an ID of each object to {verb}")


def _check_execution(verb: Verb, payload: Payload | None, path: Path, report: Report) -> None:
    if payload is None or not _is_filled(payload):
        report.add("CNV-102", path, "no payload", OPERATION_SET)
    elif payload.operation_set is not None:
        _check_operations(verb, payload.operation_set, (path, OPERATION_SET, 0), report)
    elif payload.compressed is None:
        report.add("CNV-103", path, f"payload without OperationSet under the verb {verb}", OPERATION_SET)


def _check_operations(verb: Verb, operations: OperationSet, path: Path, report: Report) -> None:
    count = len(operations.operation)
    if not count:
        report.add("CNV-111", path, "no Operation", "at least one Operation")
    seen: set[int] = set()
    accepted = _INNER_VERBS[verb]
    for position, operation in enumerate(operations.operation):
        where: Path = (path, "Operation", index_of(position, count))
        if operation.operation_id in seen:
            found = f"operationId {operation.operation_id} once more"
            report.add("CNV-118", (where, "operationId", 0), found, "a number of its own for each Operation")
        seen.add(operation.operation_id)
        if operation.verb not in accepted:
            found = f"verb is {operation.verb or 'not given'} inside {verb}"
            report.add("CNV-117", (where, "verb", 0), found, ", ".join(accepted))
        if operation.content is None:
            report.add("CNV-121", where, "no content", "the payload element of the objects concerned")
        if operation.noun is not None and find_noun(operation.noun) is None:
            report.add("ENV-106", (where, "noun", 0), f"noun is {operation.noun!r}", _known(operation.noun))
        elif operation.content is not None:
            _check_root(operation.noun, operation.content, (where, _name_of(operation.content), 0), report)


def _check_query(header: Header, request: Request, path: Path, report: Report) -> None:
    query = request.query
    if query is not None and f"Get{header.noun}" != query.XML_TYPE and find_noun(header.noun) is not None:
        report.add(
            "CNV-106",
            ((path, "Request", 0), query.XML_TYPE, 0),
            f"{query.XML_TYPE} with the noun {header.noun}",
            f"Get{header.noun}",
        )


def _check_roots(noun: str, payload: Payload, path: Path, report: Report) -> None:
    if not payload.content:
        return
    contents = content_paths(payload.content, path)
    if len(contents) > 1:
        report.add(
            "CNV-113",
            contents[1][1],
            f"{len(contents)} elements in one payload",
            "one element, named like the noun, with all the objects",
            clause=MESSAGE_CLAUSE + OUR_RULE,
        )
    if find_noun(noun) is not None:
        for root, where in contents:
            _check_root(noun, root, where, report)


def _check_root(noun: str | None, root: PayloadRoot | Extension, path: Path, report: Report) -> None:
    """Find content that is not the payload root of the noun; without a noun, that is of no noun at all."""
    if isinstance(root, Extension):
        report.add("CNV-106", path, f"{path[1]}, of a namespace that is not known", noun or _NOUNS)
    elif noun is not None and noun != root.XML_TYPE:
        report.add("CNV-106", path, f"{root.XML_TYPE} with the noun {noun}", noun)


def _is_filled(payload: Payload) -> bool:
    return bool(
        payload.content
        or payload.operation_set is not None
        or payload.compressed is not None
        or payload.id
        or payload.extensions
    )


def _name_of(root: PayloadRoot | Extension) -> str:
    if not isinstance(root, Extension):
        return root.XML_TYPE
    found = _ELEMENT_NAME.match(root.xml)
    return found.group(1) if found else "*"


def _known(noun: str) -> str:
    entry = find_noun(noun, aliases=True)
    return f"{entry.noun} (another name of {noun})" if entry else f"one of {_NOUNS}"
