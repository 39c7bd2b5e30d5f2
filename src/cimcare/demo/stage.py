"""The stage: speaks for the parties over SOAP, and writes down what was said and what followed."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import msgspec

from cimcare.client import FaultReceivedError, Peer
from cimcare.codec.envelope import parse_message
from cimcare.codec.soap import SoapVersion
from cimcare.demo.steps import Exchange, Step
from cimcare.model.envelope import (
    EventMessage,
    FaultMessage,
    Header,
    ObjectID,
    Payload,
    Request,
    RequestMessage,
    ResponseMessage,
)
from cimcare.model.identity import MRID, CorrelationID, MessageID
from cimcare.model.incident import Incidents
from cimcare.model.nouns import NOUNS, Noun, PayloadRoot, Query
from cimcare.model.verbs import EVENT_VERBS, Verb

__all__ = ["Stage"]

_NAMES = {SoapVersion.V11: "SOAP 1.1", SoapVersion.V12: "SOAP 1.2"}


class _Kept(msgspec.Struct, frozen=True, rename="camel"):
    """What the read interface shows of a message, as far as the stage looks at it."""

    sequence: int
    direction: str
    archetype: str
    partner: str
    message_id: str


class _KeptPage(msgspec.Struct, frozen=True):
    items: list[_Kept]


class _StoppedError(Exception):
    """A reply was not the expected one, so what was to follow from it cannot be played."""


class Stage:
    """Plays the parties of one exchange after another. `mark` makes the names of each run its own."""

    def __init__(self, peer: Peer, *, context: str = "TESTING") -> None:
        self._peer = peer
        self._context = context
        self._steps: list[Step] = []
        self._exchanges: list[Exchange] = []
        self.mark = uuid.uuid4().int % 10**9

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """What was played so far."""
        return tuple(self._exchanges)

    def new_id(self) -> MRID:
        """A new identity."""
        return MRID(str(uuid.uuid4()))

    def now(self) -> datetime:
        """The time of the stage."""
        return datetime.now(UTC)

    @contextmanager
    def exchange(self, figure: int, title: str, noun: Noun) -> Iterator[None]:
        """What is said inside is the exchange of a figure. A reply that was not expected ends it there."""
        try:
            yield
        except _StoppedError:
            pass  # the last step shows what was expected and what came
        finally:
            steps, self._steps = tuple(self._steps), []
            self._exchanges.append(Exchange(figure=figure, title=title, clause=NOUNS[noun].clause, steps=steps))

    async def say(
        self,
        sender: str,
        receiver: str,
        verb: Verb,
        noun: Noun,
        why: str,
        *,
        payload: PayloadRoot | None = None,
        ids: tuple[str, ...] = (),
        object_type: str = "",
        query: Query | None = None,
        service: str = "",
        version: SoapVersion = SoapVersion.V11,
        expected: str = "OK",
    ) -> tuple[str, ...]:
        """Send one message, write down the answer and the events that followed, and return the identities in it.

        The exchange ends here if the answer is not the expected one.

        Args:
            sender: Header/Source, one of the parties.
            receiver: Who is meant; the hub routes by noun.
            verb: Verb; a past-tense one makes an event.
            noun: Noun.
            why: What moves the sender, in a few words.
            payload: Content.
            ids: mRIDs for Request/ID.
            object_type: What they are of; objects of the noun if empty.
            query: `Get<Noun>` element for Request.
            service: Strongly typed service; the generic one if empty.
            version: Version of SOAP.
            expected: The result the reply has to have, with a code behind it where one is expected.
        """
        message = self._message(sender, verb, noun, payload=payload, ids=ids, object_type=object_type, query=query)
        client = await self._peer.soap(service, version=version)
        reply: ResponseMessage | None = None
        result, detail = "", ""
        codes: tuple[str, ...] = ()
        try:
            answer = await client.send(message)
            reply = answer.message
        except FaultReceivedError as error:
            result, detail = "FAULT", str(error)
            codes = tuple(one.code for one in error.fault.reply.error) if error.fault is not None else ()
        if reply is not None:
            result = reply.reply.result.value
            codes = tuple(one.code for one in reply.reply.error)
            detail = "; ".join(one.details or one.reason or "" for one in reply.reply.error if one.code != "0.0")
        stored = await self._find(message.header.message_id or "")
        step = Step(
            sender=sender,
            receiver=receiver,
            verb=verb.value,
            noun=noun.value,
            kind="event" if verb in EVENT_VERBS else "request",
            why=why,
            service=f"{service or 'generic'}, {_NAMES[version]}",
            message_id=message.header.message_id or "",
            correlation_id=(reply.header.correlation_id or "") if reply is not None else "",
            result=result,
            codes=codes,
            ids=_own_ids(reply, noun) if reply is not None else (),
            objects=_count(reply, noun),
            expected=expected,
            detail=detail,
            stored_as=stored,
        )
        self._steps.append(step)
        if stored is not None:
            await self._note_events(stored)
        if reply is None or not step.went_as_expected:
            raise _StoppedError
        return _own_ids(reply, noun) or _identities(reply, noun)

    def _message(
        self,
        sender: str,
        verb: Verb,
        noun: Noun,
        *,
        payload: PayloadRoot | None,
        ids: tuple[str, ...],
        object_type: str,
        query: Query | None,
    ) -> RequestMessage | EventMessage:
        header = Header(
            verb=verb,
            noun=noun,
            revision="1",
            context=self._context,
            timestamp=self.now(),
            source=sender,
            message_id=MessageID(str(uuid.uuid4())),
            correlation_id=None if verb in EVENT_VERBS else CorrelationID(str(uuid.uuid4())),
        )
        content = Payload(content=(payload,)) if payload is not None else None
        if verb in EVENT_VERBS:
            return EventMessage(header=header, payload=content)
        request = None
        if ids or query is not None:
            names = tuple(ObjectID(value=value, object_type=object_type or NOUNS[noun].item_name) for value in ids)
            request = Request(id=names, query=query)
        return RequestMessage(header=header, request=request, payload=content)

    async def _find(self, message_id: str) -> int | None:
        raw = await self._peer.read("/api/v1/messages", message=message_id, direction="in")
        page = msgspec.json.decode(raw, type=_KeptPage)
        return page.items[0].sequence if page.items else None

    async def _note_events(self, cause: int) -> None:
        """Write down the events that the hub published because of a message, each receiver in one list."""
        raw = await self._peer.read("/api/v1/messages", answerTo=str(cause), limit="1000")
        events = [kept for kept in msgspec.json.decode(raw, type=_KeptPage).items if kept.archetype == "EventMessage"]
        receivers: dict[str, list[str]] = {}
        for kept in events:
            receivers.setdefault(kept.message_id, []).append(kept.partner)
        seen: set[str] = set()
        for kept in events:
            if kept.message_id in seen:
                continue
            seen.add(kept.message_id)
            message = parse_message(await self._peer.read(f"/api/v1/messages/{kept.sequence}/raw"))
            if isinstance(message, FaultMessage):
                continue
            self._steps.append(
                Step(
                    sender=message.header.source or "",
                    receiver=", ".join(dict.fromkeys(name for name in receivers[kept.message_id] if name)) or "all",
                    verb=message.header.verb.value,
                    noun=message.header.noun,
                    kind="consequent event",
                    why=_told(message),
                    service="in the hub",
                    message_id=kept.message_id,
                    correlation_id=message.header.correlation_id or "",
                    ids=_identities(message, Noun(message.header.noun)),
                    stored_as=kept.sequence,
                )
            )


def _own_ids(reply: ResponseMessage, noun: Noun) -> tuple[str, ...]:
    """Objects of the noun that a reply names; one about tickets names their incidents, too."""
    own = NOUNS[noun].item_name
    return tuple(one.value for one in reply.reply.id if one.object_type in (None, own))


def _content(message: object, noun: Noun) -> tuple[object, ...]:
    payload = getattr(message, "payload", None)
    if payload is None or not payload.content:
        return ()
    return tuple(getattr(payload.content[0], NOUNS[noun].item, ()))


def _count(message: object, noun: Noun) -> int:
    return len(_content(message, noun))


def _identities(message: object, noun: Noun) -> tuple[str, ...]:
    return tuple(mrid for item in _content(message, noun) if (mrid := getattr(item, "mrid", None)))


def _told(message: object) -> str:
    """What an event says, in a few words."""
    payload = getattr(message, "payload", None)
    if payload is None or not payload.content:
        return ""
    root = payload.content[0]
    if isinstance(root, Incidents) and root.incident:
        outage = root.incident[0].outage
        said = []
        if outage is not None and outage.summary is not None:
            said.append(f"{outage.summary.total_count} premises out")
        if outage is not None and outage.estimated_period is not None and outage.estimated_period.end is not None:
            said.append(f"restoration estimated {outage.estimated_period.end:%Y-%m-%d %H:%M}Z")
        if outage is not None and outage.actual_period is not None and outage.actual_period.end is not None:
            said.append(f"restored {outage.actual_period.end:%Y-%m-%d %H:%M}Z")
        return ", ".join(said)
    return ", ".join(_states_of(root))


def _states_of(root: object) -> Iterator[str]:
    for field in ("trouble_ticket", "work", "customer_agreement"):
        for item in getattr(root, field, ()):
            state = getattr(item, "status_kind", None) or getattr(getattr(item, "status", None), "value", None)
            if state:
                yield str(state)
            for appointment in getattr(item, "appointments", ()):
                if appointment.meeting_interval is not None and appointment.meeting_interval.start is not None:
                    yield f"appointment {appointment.meeting_interval.start:%Y-%m-%d %H:%M}Z"
