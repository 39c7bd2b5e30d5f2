"""The message envelope: header, request, reply, payload, and the five root elements.

Wrong combinations do not construct: a RequestMessage has no Reply, a FaultMessage has nothing else. No constructor
invents an identifier or an instant.

Source: IEC 61968-100:2013, Message.xsd (namespace http://iec.ch/TC57/2011/schema/message).
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar

from msgspec import field

from cimcare.model.identity import CorrelationID, MessageID
from cimcare.model.nouns import PayloadRoot, Query
from cimcare.model.structure import STANDARD, Extension, Member, Structure
from cimcare.model.verbs import Archetype, Verb

__all__ = [
    "MESSAGE_NAMESPACE",
    "AnyMessage",
    "ErrorLevel",
    "ErrorObject",
    "EventMessage",
    "FaultMessage",
    "Header",
    "IDKind",
    "Location",
    "Message",
    "MessageName",
    "MessageNameType",
    "MessageNameTypeAuthority",
    "MessageProperty",
    "ObjectID",
    "Operation",
    "OperationSet",
    "Option",
    "Payload",
    "ReplayDetection",
    "Reply",
    "ReplyError",
    "Request",
    "RequestMessage",
    "ResponseMessage",
    "Result",
    "User",
]


MESSAGE_NAMESPACE = "http://iec.ch/TC57/2011/schema/message"
"""Namespace of the envelope, edition 1."""


class Result(StrEnum):
    """Outcome of a request."""

    OK = "OK"
    PARTIAL = "PARTIAL"
    FAILED = "FAILED"


class ErrorLevel(StrEnum):
    """Severity of an Error."""

    INFORM = "INFORM"
    WARNING = "WARNING"
    FATAL = "FATAL"
    CATASTROPHIC = "CATASTROPHIC"


class IDKind(StrEnum):
    """Sort of identifier in an ID."""

    name = "name"
    uuid = "uuid"
    transaction = "transaction"
    other = "other"


class ObjectID(Structure, frozen=True):
    """Identifier of an object: text with attributes. Source: Message.xsd, attribute group IDatts."""

    XML_TYPE: ClassVar[str] = "ID"

    value: Annotated[str, Member(None, STANDARD, "The identifier itself.", text_content=True)]
    id_type: Annotated[str | None, Member(None, STANDARD, "Numbering scheme.", attribute=True)] = None
    id_authority: Annotated[str | None, Member(None, STANDARD, "Who issues it.", attribute=True)] = None
    kind: Annotated[IDKind | None, Member(None, STANDARD, "Sort of identifier.", attribute=True)] = None
    object_type: Annotated[str | None, Member(None, STANDARD, "Class of the object.", attribute=True)] = None


class ReplayDetection(Structure, frozen=True):
    """Protects against messages that are captured and sent again."""

    XML_TYPE: ClassVar[str] = "ReplayDetectionType"

    nonce: Annotated[str, Member(None, STANDARD, "Does not recur from one source within a day.")] = field(name="Nonce")
    created: Annotated[datetime, Member(None, STANDARD)] = field(name="Created")


class User(Structure, frozen=True):
    """Person or account on whose behalf the message is sent."""

    XML_TYPE: ClassVar[str] = "UserType"

    user_id: Annotated[str, Member(None, STANDARD)] = field(name="UserID")
    organization: Annotated[str | None, Member(None, STANDARD)] = field(default=None, name="Organization")


class MessageProperty(Structure, frozen=True):
    """Agreed name and value for routing and filtering."""

    XML_TYPE: ClassVar[str] = "MessageProperty"

    name: Annotated[str, Member(None, STANDARD)] = field(name="Name")
    value: Annotated[str | None, Member(None, STANDARD)] = field(default=None, name="Value")


class Header(Structure, frozen=True):
    """What the message is, from whom, and what it belongs to."""

    XML_TYPE: ClassVar[str] = "HeaderType"

    verb: Annotated[Verb, Member(None, STANDARD)] = field(name="Verb")
    noun: Annotated[str, Member(None, STANDARD, "Type of the payload or of the object acted on.")] = field(name="Noun")
    revision: Annotated[str | None, Member(None, STANDARD, "Revision of the message definition.")] = field(
        default=None, name="Revision"
    )
    replay_detection: Annotated[ReplayDetection | None, Member(None, STANDARD)] = field(
        default=None, name="ReplayDetection"
    )
    context: Annotated[str | None, Member(None, STANDARD, "PRODUCTION, TESTING, DEVELOPMENT, STUDY, TRAINING.")] = (
        field(default=None, name="Context")
    )
    timestamp: Annotated[datetime | None, Member(None, STANDARD, "When the application made the message.")] = field(
        default=None, name="Timestamp"
    )
    source: Annotated[str | None, Member(None, STANDARD, "Sending system or organisation.")] = field(
        default=None, name="Source"
    )
    async_reply_flag: Annotated[bool | None, Member(None, STANDARD, "True: the reply comes later.")] = field(
        default=None, name="AsyncReplyFlag"
    )
    reply_address: Annotated[str | None, Member(None, STANDARD, "URL, topic or queue of later replies.")] = field(
        default=None, name="ReplyAddress"
    )
    ack_required: Annotated[bool | None, Member(None, STANDARD, "False: one-way, no reply is wanted.")] = field(
        default=None, name="AckRequired"
    )
    user: Annotated[User | None, Member(None, STANDARD)] = field(default=None, name="User")
    message_id: Annotated[MessageID | None, Member(None, STANDARD, "Unique per sender, never used again.")] = field(
        default=None, name="MessageID"
    )
    correlation_id: Annotated[
        CorrelationID | None, Member(None, STANDARD, "Links replies and events to a request.")
    ] = field(default=None, name="CorrelationID")
    comment: Annotated[str | None, Member(None, STANDARD, "For people; never processed.")] = field(
        default=None, name="Comment"
    )
    property: Annotated[tuple[MessageProperty, ...], Member(None, STANDARD)] = field(default=(), name="Property")


class Option(Structure, frozen=True):
    """Specialises a request. No list of names is standard."""

    XML_TYPE: ClassVar[str] = "OptionType"

    name: Annotated[str, Member(None, STANDARD)]
    value: Annotated[str | None, Member(None, STANDARD)] = None


class Request(Structure, frozen=True):
    """Parameters of a request. `query` holds the `Get<Noun>` element, if one was sent."""

    XML_TYPE: ClassVar[str] = "RequestType"

    start_time: Annotated[datetime | None, Member(None, STANDARD, "Start of the period asked for.")] = field(
        default=None, name="StartTime"
    )
    end_time: Annotated[datetime | None, Member(None, STANDARD, "End of the period asked for.")] = field(
        default=None, name="EndTime"
    )
    option: Annotated[tuple[Option, ...], Member(None, STANDARD)] = field(default=(), name="Option")
    id: Annotated[tuple[ObjectID, ...], Member(None, STANDARD, "Objects to fetch, cancel, close or delete.")] = field(
        default=(), name="ID"
    )
    query: Query | None = field(default=None, name="Query")


class Location(Structure, frozen=True):
    """Where in the processing chain an error arose."""

    XML_TYPE: ClassVar[str] = "LocationType"

    node: Annotated[str | None, Member(None, STANDARD)] = None
    pipeline: Annotated[str | None, Member(None, STANDARD)] = None
    stage: Annotated[str | None, Member(None, STANDARD)] = None


class MessageNameTypeAuthority(Structure, frozen=True):
    """Authority of a name type, as the envelope has it (description last)."""

    XML_TYPE: ClassVar[str] = "NameTypeAuthority"

    name: Annotated[str, Member(None, STANDARD)]
    description: Annotated[str | None, Member(None, STANDARD)] = None


class MessageNameType(Structure, frozen=True):
    """Type of a name, as the envelope has it (description in the middle)."""

    XML_TYPE: ClassVar[str] = "NameType"

    name: Annotated[str, Member(None, STANDARD)]
    description: Annotated[str | None, Member(None, STANDARD)] = None
    name_type_authority: Annotated[MessageNameTypeAuthority | None, Member(None, STANDARD)] = field(
        default=None, name="NameTypeAuthority"
    )


class MessageName(Structure, frozen=True):
    """Name of an object, as the envelope has it. Deprecated by the schema itself."""

    XML_TYPE: ClassVar[str] = "Name"

    name: Annotated[str, Member(None, STANDARD)]
    name_type: Annotated[MessageNameType | None, Member(None, STANDARD)] = field(default=None, name="NameType")


class ErrorObject(Structure, frozen=True):
    """Object at fault in the deprecated form; read, not written by us."""

    XML_TYPE: ClassVar[str] = "ObjectType"

    mrid: Annotated[str | None, Member(None, STANDARD)] = field(default=None, name="mRID")
    name: Annotated[tuple[MessageName, ...], Member(None, STANDARD)] = field(default=(), name="Name")
    object_type: Annotated[str | None, Member(None, STANDARD)] = None


class ReplyError(Structure, frozen=True):
    """The Error element of a Reply: one problem, or a code that says there is none."""

    XML_TYPE: ClassVar[str] = "ErrorType"

    code: Annotated[str, Member(None, STANDARD, "Reply code, such as 2.15.")]
    level: Annotated[ErrorLevel | None, Member(None, STANDARD)] = None
    reason: Annotated[str | None, Member(None, STANDARD, "Short description.")] = None
    details: Annotated[str | None, Member(None, STANDARD, "Free text.")] = None
    xpath: Annotated[str | None, Member(None, STANDARD, "An xs:QName by the schema; never written by us.")] = None
    stack_trace: Annotated[str | None, Member(None, STANDARD)] = None
    location: Annotated[Location | None, Member(None, STANDARD)] = field(default=None, name="Location")
    id: Annotated[ObjectID | None, Member(None, STANDARD, "The object at fault.")] = field(default=None, name="ID")
    related_id: Annotated[ObjectID | None, Member(None, STANDARD, "The other object of a bad relationship.")] = field(
        default=None, name="relatedID"
    )
    object: Annotated[ErrorObject | None, Member(None, STANDARD, "Deprecated; use ID.")] = None
    operation_id: Annotated[int | None, Member(None, STANDARD, "The operation that failed.")] = None


class Reply(Structure, frozen=True):
    """Outcome of a request, with codes and the identifiers that resulted."""

    XML_TYPE: ClassVar[str] = "ReplyType"

    result: Annotated[Result, Member(None, STANDARD)] = field(name="Result")
    error: Annotated[tuple[ReplyError, ...], Member(None, STANDARD)] = field(default=(), name="Error")
    id: Annotated[tuple[ObjectID, ...], Member(None, STANDARD)] = field(default=(), name="ID")
    operation_id: Annotated[int | None, Member(None, STANDARD)] = None


class Operation(Structure, frozen=True):
    """One operation of an OperationSet. `content` is its payload element."""

    XML_TYPE: ClassVar[str] = "OperationType"

    operation_id: Annotated[int, Member(None, STANDARD, "Unique within the set.")]
    noun: Annotated[str | None, Member(None, STANDARD)] = None
    verb: Annotated[str | None, Member(None, STANDARD)] = None
    element_operation: Annotated[bool | None, Member(None, STANDARD, "True: acts on elements inside the object.")] = (
        None
    )
    content: PayloadRoot | Extension | None = None


class OperationSet(Structure, frozen=True):
    """A transaction of several operations."""

    XML_TYPE: ClassVar[str] = "OperationSet"

    enforce_msg_sequence: Annotated[bool | None, Member(None, STANDARD, "True: run in order of operationId.")] = None
    enforce_transactional_integrity: Annotated[bool | None, Member(None, STANDARD, "True: all or nothing.")] = None
    operation: Annotated[tuple[Operation, ...], Member(None, STANDARD)] = field(default=(), name="Operation")


class Payload(Structure, frozen=True):
    """Content of a message: at most one of `content`, `operation_set`, `compressed` and `id`, then a format hint.

    `content` holds payload roots of known nouns as values, anything else as Extension.
    """

    XML_TYPE: ClassVar[str] = "PayloadType"

    content: tuple[PayloadRoot | Extension, ...] = ()
    operation_set: Annotated[OperationSet | None, Member(None, STANDARD)] = field(default=None, name="OperationSet")
    compressed: Annotated[str | None, Member(None, STANDARD, "gzip, then base64; base64 alone for BINARY.")] = field(
        default=None, name="Compressed"
    )
    id: Annotated[tuple[ObjectID, ...], Member(None, STANDARD)] = field(default=(), name="ID")
    format: Annotated[str | None, Member(None, STANDARD, "XML if absent.")] = field(default=None, name="Format")

    def __post_init__(self) -> None:
        """Refuse more than one alternative, which the schema's choice forbids."""
        given = [bool(self.content), self.operation_set is not None, self.compressed is not None, bool(self.id)]
        if sum(given) > 1:
            raise ValueError(
                "Payload holds more than one of content, OperationSet, Compressed and ID; give one of them"
            )


class RequestMessage(Structure, frozen=True, tag_field="message", tag="RequestMessage"):
    """A request: asks the receiver for data or for a transaction."""

    XML_TYPE: ClassVar[str] = "RequestMessageType"
    ARCHETYPE: ClassVar[Archetype] = Archetype.REQUEST

    header: Annotated[Header, Member(None, STANDARD)] = field(name="Header")
    request: Annotated[Request | None, Member(None, STANDARD)] = field(default=None, name="Request")
    payload: Annotated[Payload | None, Member(None, STANDARD)] = field(default=None, name="Payload")


class ResponseMessage(Structure, frozen=True, tag_field="message", tag="ResponseMessage"):
    """The answer to a request or an event."""

    XML_TYPE: ClassVar[str] = "ResponseMessageType"
    ARCHETYPE: ClassVar[Archetype] = Archetype.RESPONSE

    header: Annotated[Header, Member(None, STANDARD)] = field(name="Header")
    reply: Annotated[Reply, Member(None, STANDARD)] = field(name="Reply")
    payload: Annotated[Payload | None, Member(None, STANDARD)] = field(default=None, name="Payload")


class EventMessage(Structure, frozen=True, tag_field="message", tag="EventMessage"):
    """A notice that something has happened."""

    XML_TYPE: ClassVar[str] = "EventMessageType"
    ARCHETYPE: ClassVar[Archetype] = Archetype.EVENT

    header: Annotated[Header, Member(None, STANDARD)] = field(name="Header")
    payload: Annotated[Payload | None, Member(None, STANDARD)] = field(default=None, name="Payload")


class FaultMessage(Structure, frozen=True, tag_field="message", tag="FaultMessage"):
    """The answer to input so broken that not even its header could be read."""

    XML_TYPE: ClassVar[str] = "FaultMessageType"
    ARCHETYPE: ClassVar[Archetype] = Archetype.FAULT

    reply: Annotated[Reply, Member(None, STANDARD)] = field(name="Reply")


class Message(Structure, frozen=True, tag_field="message", tag="Message"):
    """The generic form, meant for intermediaries that handle all four kinds alike."""

    XML_TYPE: ClassVar[str] = "MessageType"
    ARCHETYPE: ClassVar[Archetype] = Archetype.GENERIC

    header: Annotated[Header, Member(None, STANDARD)] = field(name="Header")
    request: Annotated[Request | None, Member(None, STANDARD)] = field(default=None, name="Request")
    reply: Annotated[Reply | None, Member(None, STANDARD)] = field(default=None, name="Reply")
    payload: Annotated[Payload | None, Member(None, STANDARD)] = field(default=None, name="Payload")


AnyMessage = RequestMessage | ResponseMessage | EventMessage | FaultMessage | Message
"""Any of the five roots."""
