"""One answer in several replies, and back."""

from datetime import UTC, datetime

import msgspec
import pytest

from cimcare.exchange.splitting import MORE_FOLLOWS, is_last, is_receipt, joined, pieces_of
from cimcare.model.envelope import ErrorLevel, Header, ObjectID, Payload, Reply, ReplyError, ResponseMessage, Result
from cimcare.model.identity import MRID
from cimcare.model.structure import Extension
from cimcare.model.trouble_ticket import TroubleTicket, TroubleTickets
from cimcare.model.verbs import Verb

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)


def tickets(*names: str) -> TroubleTickets:
    return TroubleTickets(trouble_ticket=tuple(TroubleTicket(mrid=MRID(name)) for name in names))


def a_reply(result: Result, *codes: str, payload: object = None, ids: tuple[str, ...] = ()) -> ResponseMessage:
    return ResponseMessage(
        header=Header(verb=Verb.REPLY, noun="TroubleTickets", timestamp=NOON),
        reply=Reply(
            result=result,
            error=tuple(ReplyError(code=code) for code in codes),
            id=tuple(ObjectID(value=one) for one in ids),
        ),
        payload=None if payload is None else Payload(content=(payload,)),
    )


def test_a_payload_is_cut_into_pieces_in_order() -> None:
    """A partner that asks for a whole city must not get it in one message."""
    pieces = pieces_of(tickets("a", "b", "c", "d", "e"), 2)
    assert [[one.mrid for one in piece.trouble_ticket] for piece in pieces] == [["a", "b"], ["c", "d"], ["e"]]


@pytest.mark.parametrize("payload", [None, tickets(), tickets("a", "b")])
def test_what_is_small_enough_stays_whole(payload: TroubleTickets | None) -> None:
    """One message where one will do."""
    assert pieces_of(payload, 2) == (payload,)


@pytest.mark.parametrize(
    ("reply", "last", "receipt"),
    [
        (a_reply(Result.OK), True, False),
        (a_reply(Result.OK, "0.0"), True, False),
        (a_reply(Result.OK, "0.3"), False, True),
        (a_reply(Result.PARTIAL, "0.3"), False, True),
        (a_reply(Result.PARTIAL, "0.1"), False, False),
        (a_reply(Result.PARTIAL, "0.2"), True, False),
        (a_reply(Result.FAILED, "0.3", "2.15"), True, False),
        (a_reply(Result.FAILED, "0.1"), True, False),
    ],
)
def test_says_whether_more_is_to_come(reply: ResponseMessage, last: bool, receipt: bool) -> None:
    """Whoever stops waiting too early loses data; whoever waits on waits for ever."""
    assert is_last(reply.reply) is last
    assert is_receipt(reply.reply) is receipt


def test_pieces_are_joined_again() -> None:
    """A sender that asked in one exchange gets one reply, however the owner answered."""
    whole = joined(
        [
            a_reply(Result.PARTIAL, MORE_FOLLOWS.code, payload=tickets("a", "b"), ids=("a",)),
            a_reply(Result.PARTIAL, MORE_FOLLOWS.code, "2.16", payload=tickets("c")),
            a_reply(Result.OK, "0.0", payload=tickets("d"), ids=("d",)),
        ]
    )
    assert whole.payload is not None
    assert whole.payload.content == (tickets("a", "b", "c", "d"),)
    assert [error.code for error in whole.reply.error] == ["2.16", "0.0"]
    assert [one.value for one in whole.reply.id] == ["a", "d"]
    assert whole.reply.result is Result.OK


def test_joined_replies_say_that_nothing_more_follows() -> None:
    """PARTIAL needs one of the two codes."""
    whole = joined([a_reply(Result.PARTIAL, "0.1", payload=tickets("a")), a_reply(Result.PARTIAL)])
    assert [error.code for error in whole.reply.error] == ["0.2"]
    assert whole.payload is not None
    assert whole.payload.content == (tickets("a"),)


def test_a_single_reply_is_left_as_it_is() -> None:
    """Nothing is made up for the usual case."""
    reply = a_reply(Result.OK, "0.0", payload=tickets("a"))
    assert joined([reply]) is reply
    bare = a_reply(Result.OK)
    assert joined([bare, msgspec.structs.replace(bare)]).payload is None


def test_content_that_nobody_knows_stays_beside_what_is_known() -> None:
    """Extensions survive."""
    other = Extension(xml="<x xmlns='urn:x'/>")
    first = msgspec.structs.replace(a_reply(Result.PARTIAL, "0.1"), payload=Payload(content=(tickets("a"), other)))
    whole = joined([first, a_reply(Result.OK, payload=tickets("b"))])
    assert whole.payload is not None
    assert whole.payload.content == (tickets("a"), other, tickets("b"))


def about(operation: int, reply: ResponseMessage, level: ErrorLevel | None = None) -> ResponseMessage:
    errors = tuple(msgspec.structs.replace(error, level=level) for error in reply.reply.error)
    return msgspec.structs.replace(
        reply, reply=msgspec.structs.replace(reply.reply, operation_id=operation, error=errors)
    )


def test_replies_to_single_operations_become_one_about_all_of_them() -> None:
    """Each error stays with its operation, and nothing fatal hides behind an OK."""
    failed = about(1, a_reply(Result.PARTIAL, "0.1", "2.16"), ErrorLevel.FATAL)
    whole = joined([failed, about(2, a_reply(Result.OK, "0.0"), ErrorLevel.INFORM)]).reply
    assert (whole.result, whole.operation_id) == (Result.PARTIAL, None)
    assert [(error.code, error.operation_id) for error in whole.error] == [("0.2", None), ("2.16", 1)]


def test_replies_to_one_operation_stay_about_it() -> None:
    """And an error that names another one keeps it."""
    named = about(7, a_reply(Result.PARTIAL, "0.1", "2.16"))
    errors = tuple(msgspec.structs.replace(error, operation_id=8) for error in named.reply.error)
    named = msgspec.structs.replace(named, reply=msgspec.structs.replace(named.reply, error=errors))
    whole = joined([named, about(7, a_reply(Result.OK, "0.0"))]).reply
    assert (whole.result, whole.operation_id) == (Result.OK, 7)
    assert [(error.code, error.operation_id) for error in whole.error] == [("2.16", 8), ("0.0", 7)]
