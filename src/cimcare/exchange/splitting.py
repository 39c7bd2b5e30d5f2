"""One answer in several replies, and several replies as one answer.

Pure. Source: IEC 61968-100:2013, asynchronous request/reply and Reply/Result; codes 0.1 and 0.2.
"""

from collections.abc import Sequence

import msgspec

from cimcare.model.envelope import ErrorLevel, Payload, Reply, ReplyError, ResponseMessage, Result
from cimcare.model.nouns import NOUNS, Noun, PayloadRoot
from cimcare.model.structure import Extension

__all__ = ["MORE_FOLLOWS", "is_last", "is_receipt", "joined", "pieces_of"]

MORE_FOLLOWS = ReplyError(code="0.1", level=ErrorLevel.INFORM, reason="partial, more messages follow")

_LAST = ReplyError(code="0.2", level=ErrorLevel.INFORM, reason="partial, nothing more follows")

_FINE = "0.0"
_FATAL = (ErrorLevel.FATAL, ErrorLevel.CATASTROPHIC)


def pieces_of(payload: PayloadRoot | None, most: int) -> tuple[PayloadRoot | None, ...]:
    """The payload in pieces of at most `most` objects, in order; itself where it is no larger."""
    if payload is None:
        return (None,)
    item = NOUNS[Noun(payload.XML_TYPE)].item
    objects = getattr(payload, item)
    if len(objects) <= most:
        return (payload,)
    return tuple(
        msgspec.structs.replace(payload, **{item: objects[start : start + most]})
        for start in range(0, len(objects), most)
    )


def is_receipt(reply: Reply) -> bool:
    """Whether a reply says no more than that the request came (0.3), so that the real one is still to come."""
    return reply.result is not Result.FAILED and any(error.code == "0.3" for error in reply.error)


def is_last(reply: Reply) -> bool:
    """Whether no reply to the same request follows this one."""
    return not is_receipt(reply) and not (
        reply.result is Result.PARTIAL and any(error.code == MORE_FOLLOWS.code for error in reply.error)
    )


def joined(replies: Sequence[ResponseMessage]) -> ResponseMessage:
    """Replies of which all but the last said that more follows, as one. At least one is given.

    The last decides header and result, but is no OK for what had a fatal error in one before it. All payload objects,
    identifiers and errors are there in order; an error keeps the operation of an OperationSet that its reply was about.
    """
    last = replies[-1]
    if len(replies) == 1:
        return last
    errors = tuple(_at_operation(error, one.reply) for one in replies for error in one.reply.error if _says_more(error))
    result = last.reply.result
    if result is Result.OK and any(error.level in _FATAL for error in errors):
        result, errors = Result.PARTIAL, tuple(error for error in errors if error.code != _FINE)
    if result is Result.PARTIAL and not any(error.code == _LAST.code for error in errors):
        errors = (_LAST, *errors)
    operations = {one.reply.operation_id for one in replies}
    reply = msgspec.structs.replace(
        last.reply,
        result=result,
        error=errors,
        id=tuple(identifier for one in replies for identifier in one.reply.id),
        operation_id=operations.pop() if len(operations) == 1 else None,
    )
    return msgspec.structs.replace(last, reply=reply, payload=_payload_of(replies))


def _says_more(error: ReplyError) -> bool:
    return error.code != MORE_FOLLOWS.code


def _at_operation(error: ReplyError, reply: Reply) -> ReplyError:
    if error.operation_id is not None or reply.operation_id is None:
        return error
    return msgspec.structs.replace(error, operation_id=reply.operation_id)


def _payload_of(replies: Sequence[ResponseMessage]) -> Payload | None:
    contents = [content for one in replies if one.payload is not None for content in one.payload.content]
    whole: list[PayloadRoot | Extension] = []
    for content in contents:
        before = whole[-1] if whole else None
        if isinstance(content, PayloadRoot) and type(before) is type(content):
            item = NOUNS[Noun(content.XML_TYPE)].item
            whole[-1] = msgspec.structs.replace(before, **{item: (*getattr(before, item), *getattr(content, item))})
        else:
            whole.append(content)
    return Payload(content=tuple(whole)) if whole else replies[-1].payload
