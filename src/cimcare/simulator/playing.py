"""Plays a scenario against whatever listens at an address, and holds what comes back against what is expected."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from typing import TypeVar
from uuid import NAMESPACE_URL, uuid5
from zlib import crc32

import aiohttp
import msgspec

from cimcare.client.answers import FaultReceivedError, NoAnswerError
from cimcare.codec.convert import Form
from cimcare.codec.envelope import render_message
from cimcare.codec.json_body import render_json
from cimcare.codec.soap import SoapVersion, render_soap
from cimcare.errors import CimcareError
from cimcare.model.envelope import ObjectID, Request, RequestMessage, ResponseMessage, Result
from cimcare.model.identity import MRID, CorrelationID, MessageID, Name
from cimcare.model.nouns import NOUNS, PayloadRoot
from cimcare.model.structure import Structure
from cimcare.model.verbs import Archetype
from cimcare.samples import build_message
from cimcare.simulator.forms import Spoken, read_any
from cimcare.simulator.partner import SimulatedPartner
from cimcare.simulator.scenarios import Arrival, Expectation, Scenario, ScenarioError, Step
from cimcare.simulator.speaking import is_soap_address
from cimcare.transport.sending import read_any_answer

__all__ = ["Heard", "Played", "Player", "UnmetError", "content_of"]

_PACE_BYTES = 65_536
_DRIPS = 20
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_TEXTS = re.compile(r">([^<>]+)<")
_ACTIONS = {Archetype.REQUEST: "Request", Archetype.EVENT: "PublishEvent", Archetype.RESPONSE: "Response"}


class UnmetError(CimcareError):
    """Something else came than a scenario expects."""

    code = "SIM-103"


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What came back: HTTP status (0: nothing came), the reply if it was one, and what else it was."""

    status: int = 0
    reply: ResponseMessage | None = None
    fault: str = ""
    nothing: str = ""

    def describe(self) -> str:
        """In a line."""
        if self.reply is not None:
            codes = ", ".join(f"{one.code} {one.details or one.reason or ''}".strip() for one in self.reply.reply.error)
            return f"{self.reply.reply.result}{f' ({codes})' if codes else ''}"
        if self.status in (200, 202, 204) and not self.fault and not self.nothing:
            return f"HTTP status {self.status}, taken without a reply"
        return self.fault or self.nothing


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """One step as it was played. `seconds` is how long the answer, or what was waited for, took."""

    number: int
    name: str
    text: str
    seconds: float = 0.0


def content_of(message: Spoken, form: Form) -> tuple[bytes, dict[str, str]]:
    """A message as body and headers of a POST."""
    if form is Form.JSON:
        return render_json(message), {"Content-Type": "application/json"}
    if form is Form.XML:
        return render_message(message), {"Content-Type": "application/xml; charset=utf-8"}
    version = SoapVersion.V11 if form is Form.SOAP11 else SoapVersion.V12
    action = f"http://iec.ch/61968/{_ACTIONS[message.ARCHETYPE]}"
    headers = {"Content-Type": version.content_type}
    if form is Form.SOAP11:
        headers["SOAPAction"] = f'"{action}"'
    else:
        headers["Content-Type"] += f'; action="{action}"'
    return render_soap(message, version), headers


class Player:
    """Plays scenarios.

    Args:
        url: Where messages go.
        form: In which form; None: SOAP 1.1, or plain XML where the address ends in `/messages`.
        speed: How many times as fast as it is written, for `at_seconds` and `wait_seconds`.
        seed: Another seed speaks of other objects, in other messages.
        ours: The partner to which replies and events come; needed where the scenario waits for some.
        on_step: Told of each step when it has been played.
    """

    def __init__(
        self,
        url: str,
        *,
        form: Form | None = None,
        speed: float = 1.0,
        seed: str = "",
        ours: SimulatedPartner | None = None,
        on_step: Callable[[Played], None] = lambda played: None,
    ) -> None:
        self._url = url
        self._form = form or (Form.SOAP11 if is_soap_address(url) else Form.XML)
        self._speed = speed
        self._seed = seed
        self._ours = ours
        self._on_step = on_step
        self._sent: dict[str, Spoken] = {}
        self._heard: dict[str, Heard] = {}
        self._given: dict[str, str] = {}
        self._consumed: set[int] = set()

    async def play(self, scenario: Scenario) -> int:
        """Play all steps; how many were played.

        Raises:
            UnmetError: Something else came than was expected; says in which step.
            ScenarioError: It waits for what comes to us, and there is no partner of ours.
        """
        if scenario.needs_address and self._ours is None:
            raise ScenarioError("the scenario waits for what comes to us, so that we have to listen somewhere")
        begun = time.monotonic()
        async with aiohttp.ClientSession() as session:
            for number, step in enumerate(scenario.steps, 1):
                if step.at_seconds is not None:
                    await asyncio.sleep(max(begun + step.at_seconds / self._speed - time.monotonic(), 0))
                started = time.monotonic()
                try:
                    text = await self._play(step, scenario, session)
                except UnmetError as error:
                    raise UnmetError(f"step {number}{f' ({step.name})' if step.name else ''}: {error}") from error
                self._on_step(Played(number=number, name=step.name, text=text, seconds=time.monotonic() - started))
        return len(scenario.steps)

    async def _play(self, step: Step, scenario: Scenario, session: aiohttp.ClientSession) -> str:
        if step.wait_seconds:
            await asyncio.sleep(step.wait_seconds / self._speed)
            return "waited"
        if step.arrives is not None:
            return await self._await(step.arrives)
        message = self._message(step, scenario)
        expect = step.expect or Expectation()
        heard = await self._send(session, message, step.badly, expect.within_seconds)
        if step.name:
            self._sent[step.name], self._heard[step.name] = message, heard
        what = f"{message.header.verb} {message.header.noun}"
        if step.expect is not None:
            self._judge(what, message, heard, step.expect)
        if step.gave and heard.reply is not None:
            given = (one.value for one in heard.reply.reply.id)
            self._given.update((self._own(then), now) for then, now in zip(step.gave, given, strict=False))
        return f"{what}: {heard.describe()}"

    # ------------------------------------------------------------------------------------------------------- messages

    def _message(self, step: Step, scenario: Scenario) -> Spoken:
        if step.again:
            return self._sent[step.again]
        if step.sample is not None:
            number = step.sample.seed + (crc32(self._seed.encode()) % 100_000) * 1000 * bool(self._seed)
            built = build_message(step.sample.noun, step.sample.verb, seed=number)
            assert isinstance(built, Spoken)
            message: Spoken = built
        else:
            message = self._read(step.message)
        header = message.header
        if scenario.source:
            header = msgspec.structs.replace(header, source=scenario.source)
        if scenario.context:
            header = msgspec.structs.replace(header, context=scenario.context)
        if step.reply_to_us:
            assert self._ours is not None
            address = f"{self._ours.address}/soap"
            header = msgspec.structs.replace(header, async_reply_flag=True, reply_address=address)
        elif header.reply_address:
            header = msgspec.structs.replace(header, async_reply_flag=None, reply_address=None)
        message = msgspec.structs.replace(message, header=header)
        return self._about(message, step.object) if step.object else message

    def _read(self, text: str) -> Spoken:
        """A written message, about the objects that there are now.

        With a seed its UUIDs, the names of objects and its own identifiers are others, the same throughout.
        """
        if self._seed:
            text = _UUID.sub(lambda found: self._other(found[0].lower()), text)
        if self._given:
            text = _TEXTS.sub(lambda found: f">{self._given.get(found[1], found[1])}<", text)
        message = read_any(text.encode(), "")[0]
        if not self._seed:
            return message
        message = _renamed(message, lambda name: self._given.get(self._own(name), self._own(name)))
        header = message.header
        own, linked = header.message_id, header.correlation_id
        if own and not _UUID.fullmatch(own):
            own = MessageID(self._other(own))
        if linked and not _UUID.fullmatch(linked):
            linked = CorrelationID(self._other(linked))
        return msgspec.structs.replace(
            message, header=msgspec.structs.replace(header, message_id=own, correlation_id=linked)
        )

    def _own(self, identifier: str) -> str:
        """An identifier of the file as it stands in what is sent."""
        if not self._seed:
            return identifier
        if _UUID.fullmatch(identifier):
            return self._other(identifier.lower())
        return f"{identifier}-{crc32(self._seed.encode()):08x}"

    def _other(self, identifier: str) -> str:
        return str(uuid5(NAMESPACE_URL, f"{self._seed} {identifier}"))

    def _about(self, message: Spoken, name: str) -> Spoken:
        """The message about the object whose ID came back in that step."""
        reply = self._heard[name].reply
        if reply is None or not reply.reply.id:
            raise UnmetError(f"the answer to step {name!r} has no ID; this step is about the object of it")
        mrid = reply.reply.id[0].value
        if isinstance(message, RequestMessage) and message.request is not None and message.request.id:
            ids = (msgspec.structs.replace(message.request.id[0], value=mrid), *message.request.id[1:])
            message = msgspec.structs.replace(message, request=msgspec.structs.replace(message.request, id=ids))
        elif isinstance(message, RequestMessage) and message.request is not None:
            asked = Request(id=(ObjectID(value=mrid),))
            message = msgspec.structs.replace(message, request=asked)
        payload = message.payload
        if payload is None or not payload.content or not isinstance(payload.content[0], PayloadRoot):
            return message
        root = payload.content[0]
        entry = next(each for each in NOUNS.values() if each.payload is type(root))
        first, *others = getattr(root, entry.item)
        changed: dict[str, object] = {entry.item: (msgspec.structs.replace(first, mrid=MRID(mrid)), *others)}
        content = (msgspec.structs.replace(root, **changed), *payload.content[1:])
        return msgspec.structs.replace(message, payload=msgspec.structs.replace(payload, content=content))

    # --------------------------------------------------------------------------------------------------------- sending

    async def _send(self, session: aiohttp.ClientSession, message: Spoken, badly: str, within: float) -> Heard:
        body, headers = content_of(message, self._form)
        way, _, number = badly.partition(":")
        content: bytes | AsyncIterator[bytes] = body
        if way == "truncate":
            content = body[: len(body) // 2]
        elif way == "garbage":
            content = b"<html><body>It works!</body></html>"
        elif way == "wrong-type":
            headers = headers | {"Content-Type": "application/octet-stream"}
        elif way in ("cut", "drip", "huge"):
            size = len(body) if way != "huge" else len(body) + int(float(number) * (1 << 20))
            headers = headers | {"Content-Length": str(size)}
            content = _slowly(body, way, float(number or 0))
        try:
            async with asyncio.timeout(within), session.post(
                self._url, data=content, headers=headers, allow_redirects=False
            ) as response:  # fmt: skip
                raw, status, kind = await response.read(), response.status, response.content_type
        except TimeoutError:
            return Heard(nothing=f"no answer within {within:g} s")
        except (aiohttp.ClientError, OSError, _CutError) as error:
            return Heard(nothing=f"no answer ({type(error).__name__}: {error})")
        try:
            return Heard(status=status, reply=read_any_answer(status, kind, raw, self._url).message)
        except FaultReceivedError as error:
            return Heard(status=status, fault=str(error))
        except NoAnswerError as error:
            return Heard(status=status, nothing=str(error))

    def _judge(self, what: str, message: Spoken, heard: Heard, expect: Expectation) -> None:
        def unmet(expected: str) -> UnmetError:
            return UnmetError(f"{what}: expected {expected}; got {heard.describe()}, HTTP status {heard.status or '-'}")

        if expect.status and heard.status not in expect.status:
            raise unmet(f"HTTP status {' or '.join(map(str, expect.status))}")
        if expect.fault or expect.no_answer:
            if expect.fault and not heard.fault:
                raise unmet("a fault")
            if expect.no_answer and not heard.nothing:
                raise unmet("no answer")
            return
        reply = heard.reply
        if expect.not_taken:
            if not (heard.fault or heard.nothing or (reply is not None and reply.reply.result is Result.FAILED)):
                raise unmet("a refusal")
            return
        if reply is None:
            if heard.fault or heard.nothing or expect.result or expect.ids or expect.found or expect.same_as:
                raise unmet(f"a reply{f' {expect.result}' if expect.result else ''}")
            return
        linked = reply.header.correlation_id
        if linked and linked not in (message.header.correlation_id, message.header.message_id):
            raise unmet(f"a reply to MessageID {message.header.message_id}; this one has CorrelationID {linked}")
        if expect.result and reply.reply.result != expect.result:
            raise unmet(f"result {expect.result}")
        missing = set(expect.codes) - {error.code for error in reply.reply.error}
        if missing:
            raise unmet(f"code {', '.join(sorted(missing))}")
        if len(reply.reply.id) < expect.ids:
            raise unmet(f"at least {expect.ids} ID, not {len(reply.reply.id)}")
        if (found := _objects_in(reply)) < expect.found:
            raise unmet(f"at least {expect.found} objects, not {found}")
        if expect.same_as and reply != self._heard[expect.same_as].reply:
            raise unmet(f"the reply of step {expect.same_as!r} once more")

    # --------------------------------------------------------------------------------------------------------- waiting

    async def _await(self, arrival: Arrival) -> str:
        assert self._ours is not None
        wanted = " ".join(filter(None, (arrival.verb, arrival.noun))) or "a message"
        about = f" about step {arrival.answers!r}" if arrival.answers else ""
        try:
            async with asyncio.timeout(arrival.within_seconds):
                while True:
                    for number, message in enumerate(self._ours.messages):
                        if number not in self._consumed and self._is_it(message, arrival):
                            self._consumed.add(number)
                            return f"{message.header.verb} {message.header.noun} came"
                    await self._ours.received(len(self._ours.messages) + 1)
        except TimeoutError:
            came = [
                f"{message.header.verb} {message.header.noun}"
                for number, message in enumerate(self._ours.messages)
                if number not in self._consumed
            ]
            raise UnmetError(
                f"expected {wanted}{about} within {arrival.within_seconds:g} s; "
                f"got {', '.join(came) or 'nothing'} at {self._ours.address}"
            ) from None

    def _is_it(self, message: Spoken, arrival: Arrival) -> bool:
        header = message.header
        if arrival.answers:
            sent = self._sent[arrival.answers].header
            if not header.correlation_id or header.correlation_id not in (sent.correlation_id, sent.message_id):
                return False
        if arrival.result and not (isinstance(message, ResponseMessage) and message.reply.result == arrival.result):
            return False
        return arrival.verb in ("", header.verb) and arrival.noun in ("", header.noun)


StructureT = TypeVar("StructureT", bound=Structure)


def _renamed(value: StructureT, rename: Callable[[str], str]) -> StructureT:
    """The value with other names of all objects; kinds of names stay, and identifiers that are UUIDs."""
    if isinstance(value, Name):
        return msgspec.structs.replace(value, name=rename(value.name))
    if isinstance(value, ObjectID):
        return value if _UUID.fullmatch(value.value) else msgspec.structs.replace(value, value=rename(value.value))
    changes: dict[str, object] = {}
    for field in value.__struct_fields__:
        old = getattr(value, field)
        if isinstance(old, Structure):
            changes[field] = _renamed(old, rename)
        elif isinstance(old, tuple) and any(isinstance(each, Structure) for each in old):
            changes[field] = tuple(_renamed(each, rename) if isinstance(each, Structure) else each for each in old)
    return msgspec.structs.replace(value, **changes) if changes else value


class _CutError(Exception):
    """We broke off ourselves."""


async def _slowly(body: bytes, way: str, number: float) -> AsyncIterator[bytes]:
    """The body in pieces; after half of it nothing more comes where it is to be cut."""
    if way == "huge":
        yield body
        left = int(number * (1 << 20))
        while left > 0:
            yield b" " * min(left, _PACE_BYTES)
            left -= _PACE_BYTES
        return
    step = max(len(body) // _DRIPS, 1)
    end = len(body) // 2 if way == "cut" else len(body)
    for at in range(0, end, step):
        yield body[at : min(at + step, end)]
        await asyncio.sleep(number / _DRIPS)
    if way == "cut":
        raise _CutError("broken off by us, as the scenario has it")


def _objects_in(reply: ResponseMessage) -> int:
    roots = reply.payload.content if reply.payload is not None else ()
    return sum(
        len(getattr(root, entry.item)) for root in roots for entry in NOUNS.values() if entry.payload is type(root)
    )
