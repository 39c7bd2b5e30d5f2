"""A scripted remote partner: an HTTP server that speaks SOAP, strongly typed SOAP and REST, and does what it is told.

In a thread (`remote_partner`), or as a process of its own (`partner_process`, or
`python -m tests.support.partner --behaviour flaky:7 --journal FILE`), which prints its address when it listens.

Every message received is written to a journal. Effects are counted once for each Source and MessageID, so that a
doubled effect can be told from a doubled delivery.

Behaviours, as text:

    accept              does what is asked: OK with IDs, a get with payload
    refuse[:CODE]       FAILED with a code that means it (2.15)
    busy                FAILED with 5.1
    fault[:client]      a fault that blames itself, or the sender
    hang                never answers
    die                 does it, sends half of the answer, and closes the connection
    slow:SECONDS        does it at once, and answers later
    twice               does it once, and sends the answer two times
    garbage             does it, and answers something that is no message
    later[:PARTS[:SECONDS[:TIMES]]]
                        acknowledges a request that asks for it with 0.3, and sends its reply to the ReplyAddress after
                        that time: so many PARTIAL ones with 0.1, then OK, the last one so many times
    flaky:SEED[:BEHAVIOUR=WEIGHT,...]
                        one of them by chance, the same for the same seed, message and attempt
"""

import argparse
import asyncio
import contextlib
import os
import random
import signal
import ssl
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO
from uuid import NAMESPACE_URL, uuid5

import aiohttp
import msgspec

from cimcare.codec.envelope import DRAFT_NAMESPACE, MESSAGE_NAMESPACE, read_message, render_message
from cimcare.codec.json_body import parse_json, render_json
from cimcare.codec.lenient import forgive
from cimcare.codec.limits import parse_xml
from cimcare.codec.soap import SoapVersion, TypedNames, is_soap, read_soap, render_soap, render_soap_fault
from cimcare.exchange.facts import object_keys_of
from cimcare.model.envelope import (
    EventMessage,
    FaultMessage,
    Header,
    IDKind,
    ObjectID,
    Payload,
    Reply,
    ReplyError,
    RequestMessage,
    ResponseMessage,
    Result,
)
from cimcare.model.identity import CorrelationID, MessageID
from cimcare.model.nouns import NOUNS, PayloadRoot, find_noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_payload

__all__ = [
    "Act",
    "Behaviour",
    "Entry",
    "PartnerProcess",
    "RemotePartner",
    "parse_behaviour",
    "partner_process",
    "read_journal",
    "remote_partner",
]

ROOT = Path(__file__).resolve().parents[2]
_AGAIN_SECONDS = 0.2
_FINE = ReplyError(code="0.0")
_MIXTURE = "accept=6,busy=1,fault=1,die=1,garbage=1,slow:0.05=1,twice=1"


class Act(StrEnum):
    """What is done with one message."""

    ACCEPT = "accept"
    REFUSE = "refuse"
    BUSY = "busy"
    FAULT = "fault"
    HANG = "hang"
    DIE = "die"
    SLOW = "slow"
    TWICE = "twice"
    GARBAGE = "garbage"
    LATER = "later"


_WITHOUT_EFFECT = frozenset({Act.REFUSE, Act.BUSY, Act.FAULT, Act.HANG})


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """What a partner does. With a `mixture` (behaviours and their weights) it is drawn anew for each message."""

    act: Act = Act.ACCEPT
    code: str = "2.15"
    blames_sender: bool = False
    seconds: float = 0.0
    parts: int = 0
    times: int = 1
    seed: str = ""
    mixture: tuple[tuple["Behaviour", float], ...] = ()

    def drawn(self, source: str, message_id: str, attempt: int) -> "Behaviour":
        """What is done with this attempt to deliver a message; in a mixture, its order among others does not matter."""
        if not self.mixture:
            return self
        chance = random.Random(f"{self.seed} {source} {message_id} {attempt}")
        behaviours, weights = zip(*self.mixture, strict=True)
        (drawn,) = chance.choices(behaviours, weights)
        return drawn


def parse_behaviour(text: str) -> Behaviour:
    """Behaviour out of its text. Raises ValueError for what is none."""
    name, *more = text.strip().split(":", 1)
    rest = more[0] if more else ""
    if name == "flaky":
        seed, _, mixture = rest.partition(":")
        pairs = [part.rsplit("=", 1) for part in (mixture or _MIXTURE).split(",")]
        return Behaviour(seed=seed, mixture=tuple((parse_behaviour(each), float(weight)) for each, weight in pairs))
    act = Act(name)
    if act is Act.REFUSE:
        return Behaviour(act=act, code=rest or "2.15")
    if act is Act.FAULT:
        return Behaviour(act=act, blames_sender=rest == "client")
    if act is Act.SLOW:
        return Behaviour(act=act, seconds=float(rest))
    if act is Act.LATER:
        parts, seconds, times = ([*rest.split(":"), "", "", ""] if rest else ["", "", ""])[:3]
        return Behaviour(act=act, parts=int(parts or 0), seconds=float(seconds or 0), times=int(times or 1))
    if rest:
        raise ValueError(f"{text}: {name} takes nothing behind it")
    return Behaviour(act=act)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One message received. `order` counts from 1; `objects` are its keys as for deliveries.

    `attempt` counts the deliveries of this Source and MessageID, `is_effect` tells the one that took effect.
    """

    order: int
    at: datetime
    path: str
    archetype: str
    verb: str
    noun: str
    source: str
    message_id: str
    correlation_id: str
    objects: tuple[str, ...]
    act: Act
    attempt: int
    is_effect: bool


def read_journal(file: Path) -> tuple[Entry, ...]:
    """The journal of a partner; a last line that is being written does not count."""
    if not file.exists():
        return ()
    lines = file.read_bytes().split(b"\n")[:-1]
    return tuple(msgspec.json.decode(line, type=Entry) for line in lines)


def _open_journal(file: Path) -> BinaryIO:
    """The journal to append to, without a last line that was cut off by the death of its writer."""
    if file.exists():
        whole = file.read_bytes().rpartition(b"\n")
        os.truncate(file, len(whole[0]) + len(whole[1]))
    return file.open("ab")


Received = RequestMessage | EventMessage | ResponseMessage


class _Form(msgspec.Struct, frozen=True, kw_only=True):
    """How a message came, and so how it is answered."""

    version: SoapVersion | None = None
    typed: TypedNames | None = None
    is_json: bool = False
    namespace: str = MESSAGE_NAMESPACE

    @property
    def content_type(self) -> str:
        if self.version is not None:
            return self.version.content_type
        return "application/json" if self.is_json else "application/xml; charset=utf-8"

    def render(self, reply: ResponseMessage) -> bytes:
        if self.version is not None:
            return render_soap(reply, self.version, typed=self.typed, namespace=self.namespace)
        return render_json(reply) if self.is_json else render_message(reply, namespace=self.namespace)

    def render_fault(self, fault: FaultMessage, *, server: bool) -> bytes:
        if self.version is not None:
            reason = "at fault"
            return render_soap_fault(
                fault, self.version, reason=reason, server=server, typed=self.typed, namespace=self.namespace
            )
        return render_json(fault) if self.is_json else render_message(fault, namespace=self.namespace)


def _read(raw: bytes, content_type: str) -> tuple[Received, _Form]:
    if "json" in content_type:
        message, form = parse_json(raw), _Form(is_json=True)
    else:
        namespace = DRAFT_NAMESPACE if f'"{DRAFT_NAMESPACE}"'.encode() in raw else MESSAGE_NAMESPACE
        root, _ = forgive(parse_xml(raw))
        if is_soap(root):
            body = read_soap(root)
            assert body.element is not None
            message = read_message(body.element)
            form = _Form(version=body.version, typed=body.typed, namespace=namespace)
        else:
            message, form = read_message(root), _Form(namespace=namespace)
    assert isinstance(message, RequestMessage | EventMessage | ResponseMessage)
    return message, form


class RemotePartner:
    """The partner, on the running event loop. `behaviour` may be set at any time; `entries` is the journal.

    `name` is its Header/Source. With a journal file it goes on where that ends, as after a restart. One that runs long
    had better write a file and keep nothing (`keeps`), since all it keeps is in memory: `messages`, their `headers` and
    `bodies`, and `entries`.
    """

    def __init__(
        self,
        *,
        name: str = "PARTNER",
        behaviour: str = "accept",
        journal: Path | None = None,
        keeps: bool = True,
    ) -> None:
        self.name = name
        self.behaviour = parse_behaviour(behaviour)
        self.messages: list[Received] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.open_connections = 0
        self.most_connections = 0
        self._news = asyncio.Condition()
        known = read_journal(journal) if journal is not None else ()
        self._file = _open_journal(journal) if journal is not None else None
        self._attempts = Counter((entry.source, entry.message_id) for entry in known)
        self._done = {(entry.source, entry.message_id) for entry in known if entry.is_effect}
        self._count = len(known)
        self._keeps = keeps
        self._entries: list[Entry] = list(known) if keeps else []
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._scheme = "http"

    @property
    def address(self) -> str:
        """Where it listens."""
        assert self._server is not None
        return f"{self._scheme}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What was received, in order."""
        return tuple(self._entries)

    @property
    def effects(self) -> tuple[Entry, ...]:
        """What took effect, in order."""
        return tuple(entry for entry in self._entries if entry.is_effect)

    async def start(self, port: int = 0, *, tls: ssl.SSLContext | None = None) -> None:
        """Listen."""
        self._scheme = "https" if tls else "http"
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, ssl=tls)

    async def stop(self) -> None:
        """Close everything, what hangs included."""
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        if self._file is not None:
            self._file.close()

    def behave(self, text: str) -> None:
        """Behave otherwise from now on."""
        self.behaviour = parse_behaviour(text)

    async def received(self, count: int) -> None:
        """Wait until it has received so many messages; on its own event loop only."""
        async with self._news:
            await self._news.wait_for(lambda: len(self.messages) >= count)

    # -------------------------------------------------------------------------------------------------------- wire

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open_connections += 1
        self.most_connections = max(self.most_connections, self.open_connections)
        try:
            while await self._serve_one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.open_connections -= 1
            self._tasks.discard(task)
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request; whether the connection goes on."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        if method == "PUT" and path == "/behaviour":
            self.behave(body.decode())
            writer.write(_response(204, "", b""))
            await writer.drain()
            return True
        message, form = _read(body, headers.get("content-type", ""))
        if self._keeps:
            self.messages.append(message)
            self.headers.append(headers)
            self.bodies.append(body)
        behaviour = self._receive(message, path)
        async with self._news:
            self._news.notify_all()
        return await self._answer(message, form, behaviour, reader, writer)

    def _receive(self, message: Received, path: str) -> Behaviour:
        """Write it down, and let it take effect if it does."""
        header = message.header
        key = (header.source or "", header.message_id or "")
        self._attempts[key] += 1
        behaviour = self.behaviour.drawn(*key, self._attempts[key])
        if key in self._done and behaviour.act is Act.REFUSE:
            behaviour = Behaviour()  # what was done is not refused afterwards
        self._count += 1
        is_effect = behaviour.act not in _WITHOUT_EFFECT and key not in self._done
        if is_effect:
            self._done.add(key)
        entry = Entry(
            order=self._count,
            at=datetime.now(UTC),
            path=path,
            archetype=message.ARCHETYPE,
            verb=header.verb,
            noun=header.noun,
            source=key[0],
            message_id=key[1],
            correlation_id=header.correlation_id or "",
            objects=object_keys_of(message),
            act=behaviour.act,
            attempt=self._attempts[key],
            is_effect=is_effect,
        )
        if self._keeps:
            self._entries.append(entry)
        if self._file is not None:
            self._file.write(msgspec.json.encode(entry) + b"\n")
            self._file.flush()
        return behaviour

    async def _answer(
        self,
        message: Received,
        form: _Form,
        behaviour: Behaviour,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        act = behaviour.act
        if act is Act.HANG:
            await reader.read()
            return False
        if act is Act.GARBAGE:
            writer.write(_response(200, "text/html", b"<html><body>It works!</body></html>"))
            await writer.drain()
            return True
        if act is Act.FAULT:
            code = "1.8" if behaviour.blames_sender else "5.3"
            fault = FaultMessage(reply=Reply(result=Result.FAILED, error=(ReplyError(code=code),)))
            status = 400 if behaviour.blames_sender and form.version is None else 500
            raw = form.render_fault(fault, server=not behaviour.blames_sender)
            writer.write(_response(status, form.content_type, raw))
            await writer.drain()
            return True
        comes_later = act is Act.LATER and isinstance(message, RequestMessage) and bool(message.header.reply_address)
        raw = _response(200, form.content_type, form.render(self._reply_to(message, behaviour, is_receipt=comes_later)))
        if act is Act.DIE:
            writer.write(raw[: len(raw) // 2])
            await writer.drain()
            return False
        if act is Act.SLOW:
            await asyncio.sleep(behaviour.seconds)
        writer.write(raw)
        await writer.drain()
        if act is Act.TWICE:
            writer.write(raw)
            await writer.drain()
        if comes_later:
            assert isinstance(message, RequestMessage)
            task = asyncio.create_task(self._reply_later(message, behaviour))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return True

    # ----------------------------------------------------------------------------------------------------- replies

    def _reply_to(self, message: Received, behaviour: Behaviour, *, is_receipt: bool) -> ResponseMessage:
        if behaviour.act is Act.BUSY:
            return self._reply(message, Result.FAILED, ReplyError(code="5.1", reason="busy"))
        if behaviour.act is Act.REFUSE:
            return self._reply(message, Result.FAILED, ReplyError(code=behaviour.code, reason="not here"))
        if is_receipt:
            return self._reply(message, Result.OK, ReplyError(code="0.3"))
        return self._outcome(message)

    def _outcome(self, message: Received) -> ResponseMessage:
        """Same for the same message, however often it comes."""
        payload: Payload | None = None
        entry = find_noun(message.header.noun)
        if message.header.verb is Verb.GET and entry is not None:
            payload = Payload(content=(build_payload(entry.noun),))
        return self._reply(message, Result.OK, _FINE, ids=_ids_of(message), payload=payload)

    def _reply(
        self,
        message: Received,
        result: Result,
        error: ReplyError,
        *,
        ids: tuple[ObjectID, ...] = (),
        payload: Payload | None = None,
        number: int = 0,
    ) -> ResponseMessage:
        header = message.header
        correlation_id = header.correlation_id or header.message_id
        own = f"{self.name} {header.source} {header.message_id} {error.code} {number}"
        return ResponseMessage(
            header=Header(
                verb=Verb.REPLY,
                noun=header.noun,
                source=self.name,
                message_id=MessageID(str(uuid5(NAMESPACE_URL, own))),
                correlation_id=CorrelationID(correlation_id) if correlation_id else None,
            ),
            reply=Reply(result=result, error=(error,), id=ids),
            payload=payload,
        )

    async def _reply_later(self, message: RequestMessage, behaviour: Behaviour) -> None:
        await asyncio.sleep(behaviour.seconds)
        more = ReplyError(code="0.1")
        replies = [self._reply(message, Result.PARTIAL, more, number=number) for number in range(behaviour.parts)]
        replies += [self._outcome(message)] * behaviour.times
        async with aiohttp.ClientSession() as session:
            for reply in replies:
                while True:
                    if await _post_reply(session, message.header.reply_address or "", reply):
                        break
                    await asyncio.sleep(_AGAIN_SECONDS)


async def _post_reply(session: aiohttp.ClientSession, address: str, reply: ResponseMessage) -> bool:
    """Send a later reply; whether somebody was there to take it."""
    if address.endswith("/messages"):
        headers, raw = {"Content-Type": "application/xml"}, render_message(reply)
    else:
        headers = {"Content-Type": "text/xml", "SOAPAction": '"http://iec.ch/61968/Response"'}
        raw = render_soap(reply, SoapVersion.V11)
    try:
        async with session.post(address, data=raw, headers=headers) as response:
            await response.read()
            return response.status < 500
    except (aiohttp.ClientError, OSError):
        return False


def _ids_of(message: Received) -> tuple[ObjectID, ...]:
    """IDs of the objects of a transaction."""
    if message.header.verb is Verb.GET or isinstance(message, ResponseMessage):
        return ()
    if isinstance(message, RequestMessage) and message.request is not None and message.request.id:
        return message.request.id
    roots = message.payload.content if message.payload is not None else ()
    return tuple(
        ObjectID(value=value.mrid, kind=IDKind.uuid)
        for root in roots
        if isinstance(root, PayloadRoot)
        for value in getattr(root, next(entry.item for entry in NOUNS.values() if entry.payload is type(root)))
        if value.mrid
    )


_REASONS = {200: "OK", 204: "No Content", 400: "Bad Request", 500: "Internal Server Error"}


def _response(status: int, content_type: str, body: bytes) -> bytes:
    kind = f"Content-Type: {content_type}\r\n" if content_type else ""
    return f"HTTP/1.1 {status} {_REASONS[status]}\r\n{kind}Content-Length: {len(body)}\r\n\r\n".encode() + body


# ------------------------------------------------------------------------------------------------ thread and process


@contextmanager
def remote_partner(
    *,
    name: str = "PARTNER",
    behaviour: str = "accept",
    journal: Path | None = None,
    tls: ssl.SSLContext | None = None,
) -> Iterator[RemotePartner]:
    """A partner in a thread of its own, on a free port of this machine."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def begin() -> RemotePartner:
        partner = RemotePartner(name=name, behaviour=behaviour, journal=journal)
        await partner.start(tls=tls)
        return partner

    try:
        partner = asyncio.run_coroutine_threadsafe(begin(), loop).result(30)
        try:
            yield partner
        finally:
            asyncio.run_coroutine_threadsafe(partner.stop(), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class PartnerProcess(msgspec.Struct, frozen=True):
    """A partner in a process of its own."""

    process: subprocess.Popen[str]
    address: str
    journal: Path

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What it has received so far."""
        return read_journal(self.journal)

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()


@contextmanager
def partner_process(
    journal: Path, *, name: str = "PARTNER", behaviour: str = "accept", port: int = 0
) -> Iterator[PartnerProcess]:
    """Start a partner as a process and wait until it listens; whatever becomes of it, it is gone afterwards."""
    command = [sys.executable, "-m", "tests.support.partner", "--port", str(port), "--behaviour", behaviour]
    process = subprocess.Popen(
        [*command, "--name", name, "--journal", str(journal)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        assert address, "the partner did not start"
        yield PartnerProcess(process, address, journal)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()
        process.stdout.close()


async def _run(arguments: argparse.Namespace) -> None:
    partner = RemotePartner(name=arguments.name, behaviour=arguments.behaviour, journal=arguments.journal, keeps=False)
    await partner.start(arguments.port)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    print(partner.address, flush=True)
    await ended.wait()
    await partner.stop()


def main(arguments: Sequence[str] | None = None) -> None:
    """The partner as a command."""
    parser = argparse.ArgumentParser(description="A scripted remote partner.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--name", default="PARTNER")
    parser.add_argument("--behaviour", default="accept", help="see the module; PUT /behaviour sets another one")
    parser.add_argument("--journal", type=Path, help="file to which every message is appended")
    asyncio.run(_run(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
