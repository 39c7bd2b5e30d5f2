"""Requests that come out of the hub itself go the way of all messages, and their reply comes back.

So what a person does at a page or on the telephone is stored, safe to repeat, audited, and served by whoever owns the
noun, built in or remote, as if it had come in from a system.
"""

from collections.abc import Mapping

from cimcare.codec.envelope import parse_message, render_message
from cimcare.errors import CimcareError, Finding, InputError, finding_of
from cimcare.exchange.ports import Clock, NewID
from cimcare.model.envelope import Header, Payload, Request, RequestMessage, ResponseMessage, Result, User
from cimcare.model.identity import MessageID
from cimcare.model.nouns import Noun, Role
from cimcare.model.verbs import Verb
from cimcare.transport.channel import Receive, Received
from cimcare.transport.rest import XmlChannel

__all__ = ["Asking", "MessageRefusedError"]

_CLAUSE = "requests of the hub itself (our profile)"


class MessageRefusedError(CimcareError):
    """A request was not served; `retry_after_seconds` says when to come again, 0 nothing."""

    def __init__(self, finding: Finding, *, retry_after_seconds: int = 0) -> None:
        super().__init__(finding.describe())
        self.finding = finding
        self.code = finding.code
        self.retry_after_seconds = retry_after_seconds


class Asking:
    """Makes requests.

    Args:
        receive: The way in for messages.
        sources: Header/Source of each role.
        context: Header/Context, empty for none.
        clock: Now.
        new_id: New identifiers.
    """

    def __init__(
        self, *, receive: Receive, sources: Mapping[Role, str], context: str, clock: Clock, new_id: NewID
    ) -> None:
        self._receive = receive
        self._sources = sources
        self._context = context
        self._clock = clock
        self._new_id = new_id

    async def ask(
        self,
        verb: Verb,
        noun: Noun,
        *,
        actor: str,
        role: Role = Role.CIS,
        message_id: MessageID | None = None,
        request: Request | None = None,
        payload: Payload | None = None,
    ) -> ResponseMessage:
        """The reply to a request in the name of a role.

        Args:
            verb: What is asked for.
            noun: Of which kind of object.
            actor: Header/User/UserID.
            role: Header/Source is that of this role.
            message_id: Header/MessageID; the same one makes the same request safe to repeat. A new one if None.
            request: Whose objects.
            payload: The objects.

        Raises:
            MessageRefusedError: It was not served.
        """
        header = Header(
            verb=verb,
            noun=noun,
            revision="1",
            context=self._context or None,
            timestamp=self._clock(),
            source=self._sources[role],
            user=User(user_id=actor),
            message_id=message_id or MessageID(self._new_id()),
        )
        try:
            raw = render_message(RequestMessage(header=header, request=request, payload=payload))
        except InputError as error:  # a sign that XML cannot carry, typed in by somebody
            raise MessageRefusedError(finding_of("BUS-141", "/", str(error), "text that XML can carry")) from error
        received = Received(channel=XmlChannel(), raw=raw, size_bytes=len(raw), content_type="application/xml")
        answer = await self._receive(received)
        reply = parse_message(answer.body) if answer.body else None
        if isinstance(reply, ResponseMessage) and reply.reply.result is not Result.FAILED:
            return reply
        if answer.retry_after_seconds:
            busy = finding_of("EXC-108", "/", "too many messages in work", "the same a little later")
            raise MessageRefusedError(busy, retry_after_seconds=answer.retry_after_seconds)
        errors = reply.reply.error if isinstance(reply, ResponseMessage) else ()
        told = "; ".join(f"{one.code} {one.details or one.reason or ''}".strip() for one in errors)
        raise MessageRefusedError(
            finding_of(
                "BUS-142",
                "/",
                f"{verb} {noun} was refused: {told or 'no reply'}"[:1000],
                "a request that its owner serves",
                _CLAUSE,
            )
        )
