"""A simulated partner: an HTTP server that speaks SOAP (strongly typed too), plain XML and JSON, and behaves as told.

Every message received is written down, and counted as an effect once for each Source and MessageID, so that a doubled
effect can be told from a doubled delivery.

`GET` of any address with `?wsdl` or `?xsd=FILE` gives the documents of the service there, `GET /` the counts so far as
JSON, `PUT /behaviour` with a behaviour as body changes how it behaves.
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO
from uuid import NAMESPACE_URL, uuid5

import msgspec

from cimcare.errors import InputError
from cimcare.model.envelope import (
    EventMessage,
    FaultMessage,
    Header,
    Reply,
    ReplyError,
    RequestMessage,
    ResponseMessage,
    Result,
)
from cimcare.model.identity import CorrelationID, MessageID
from cimcare.model.nouns import Role
from cimcare.model.verbs import Verb
from cimcare.schema.documents import render_schema, render_wsdl
from cimcare.schema.wsdl import GENERIC, SERVICES
from cimcare.simulator.acts import WITHOUT_EFFECT, Act, BehaviourError, Deed
from cimcare.simulator.answering import FINE, Agreeable, Answering, Books, Outcome, build_reply, objects_of, reply_id
from cimcare.simulator.behaviours import Unknown, find_behaviour
from cimcare.simulator.forms import Form, Glance, Spoken, glance_at_event, guess_form, read_any
from cimcare.simulator.journal import Entry, Line, Said, open_journal, read_journal
from cimcare.simulator.listening import Connection, HttpRequest, render_response
from cimcare.simulator.speaking import Speaker, said_of

__all__ = ["SimulatedPartner"]

_HALF_CLOSED_SECONDS = 60.0
_HELD_SECONDS = 1.0
"""How long an event is held back that is to go behind the next one, if none comes."""

_CHUNK_BYTES = 65_536
_DRIPS = 20
_RECEIPT = ReplyError(code="0.3")
_MORE = ReplyError(code="0.1")


class SimulatedPartner:
    """A partner on the running event loop: `start` it, `stop` it.

    Args:
        name: Its Header/Source.
        role: Whose nouns it serves; None: it agrees to everything and keeps nothing.
        behaviour: How it behaves, as text that `find_behaviour` reads; `behave` changes it.
        seed: Of all chance.
        journal: Where it writes down what it received and said; with a file it goes on where that ends.
        keeps: Whether it also keeps everything in memory: `entries`, `messages`, their `headers` and `bodies`.
        publish_to: Addresses that are told of what was done.
        check: Says what is wrong with a document that was received, for the journal.
        clock: Now, aware.
    """

    def __init__(
        self,
        *,
        name: str = "PARTNER",
        role: Role | None = None,
        behaviour: str = "accept",
        seed: str = "",
        journal: Path | BinaryIO | None = None,
        keeps: bool = True,
        publish_to: Sequence[str] = (),
        check: Callable[[bytes], tuple[str, ...]] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.name = name
        self.role = role
        self.behaviour = find_behaviour(behaviour)
        self.messages: list[Spoken] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.open_connections = 0
        self.most_connections = 0
        self.acts: Counter[Act] = Counter()
        known = read_journal(journal) if isinstance(journal, Path) else ()
        self._owns_file = isinstance(journal, Path)
        self._file: BinaryIO | None = open_journal(journal) if isinstance(journal, Path) else journal
        self._seed = seed
        self._clock = clock
        self._check = check
        self._attempts = Counter((entry.source, entry.message_id) for entry in known)
        self._done = {hash((entry.source, entry.message_id)) for entry in known if entry.is_effect}
        self._count = len(known)
        self._keeps = keeps
        self._entries: list[Entry] = list(known) if keeps else []
        self._answering = self._answering_now()
        self._speaker = Speaker(self._note)
        self._publish_to = tuple(publish_to)
        self._queues: list[asyncio.Queue[Spoken]] = []
        self._held: list[Spoken] = []
        self._templates: dict[tuple[object, ...], list[bytes]] = {}
        self._server: asyncio.Server | None = None
        self._open: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()
        self._scheme = "http"
        self._host = "127.0.0.1"

    # -------------------------------------------------------------------------------------------------------- life

    @property
    def address(self) -> str:
        """Where it listens."""
        assert self._server is not None
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{self._scheme}://{host}:{self._server.sockets[0].getsockname()[1]}"

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What was received, in order."""
        return tuple(self._entries)

    @property
    def effects(self) -> tuple[Entry, ...]:
        """What took effect, in order."""
        return tuple(entry for entry in self._entries if entry.is_effect)

    async def start(self, port: int = 0, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        """Listen. Raises OSError."""
        self._scheme, self._host = "https" if tls else "http", host
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self, self._changed), host, port, ssl=tls)
        for url in self._publish_to:
            queue: asyncio.Queue[Spoken] = asyncio.Queue()
            self._queues.append(queue)
            self._begin(self._publish(queue, url))

    async def stop(self) -> None:
        """Close everything, what hangs included."""
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in list(self._open):
            await connection.end()
        await self._server.wait_closed()
        await self._speaker.close()
        await asyncio.sleep(0)  # connections that were cut are told so in the next round
        if self._file is not None and self._owns_file:
            self._file.close()

    def behave(self, text: str) -> None:
        """Behave otherwise from now on. Raises BehaviourError."""
        self.behaviour = find_behaviour(text)
        if self.role is None:
            self._answering = self._answering_now()

    async def received(self, count: int) -> None:
        """Wait until it has received so many messages; on its own event loop only."""
        while len(self.messages) < count:
            await self._news.wait()

    def counts(self) -> dict[str, object]:
        """What has come so far: messages, effects, by act, and how many objects there are."""
        return {
            "name": self.name,
            "role": self.role,
            "received": self._count,
            "effects": len(self._done),
            "acts": dict(self.acts),
            "objects": self._answering.counts if isinstance(self._answering, Books) else {},
        }

    def _answering_now(self) -> Answering:
        if self.role is None:
            return Agreeable(self.name)
        return Books(self.name, self.role, knows_all=self.behaviour.unknown is Unknown.ACCEPT)

    def _changed(self, connection: Connection, is_open: bool) -> None:
        if is_open:
            self._open.add(connection)
            self.connections += 1
        else:
            self._open.discard(connection)
        self.open_connections = len(self._open)
        self.most_connections = max(self.most_connections, self.open_connections)

    def _begin(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -------------------------------------------------------------------------------------------------------- wire

    def answer_at_once(self, request: HttpRequest) -> bytes | None:
        """The acknowledgement of an event where everything is accepted and nobody writes anything down."""
        if self._keeps or self._file is not None or request.method != "POST" or not self.behaviour.is_plain:
            return None
        glance = glance_at_event(request.body)
        if glance is None:
            return None
        self._count += 1
        self.acts[Act.ACCEPT] += 1
        source, message_id = glance.source.decode(), glance.message_id.decode()
        self._done.add(hash((source, message_id)))
        form = Form(version=glance.version)
        parts = self._template(form, glance)
        own = reply_id(self.name, source, message_id, "0.0").encode()
        texts = {
            b"@N@": glance.noun,
            b"@X@": glance.context,
            b"@M@": own,
            b"@C@": glance.correlation_id or glance.message_id,
        }
        return render_response(200, form.content_type, b"".join(texts.get(part, part) for part in parts))

    def _template(self, form: Form, glance: Glance) -> list[bytes]:
        """A rendered reply, cut at the places where something of the message goes."""
        has_correlation = bool(glance.correlation_id or glance.message_id)
        key = (glance.version, bool(glance.context), has_correlation)
        known = self._templates.get(key)
        if known is None:
            reply = build_reply(self.name, EventMessage(header=Header(verb=Verb.CREATED, noun="@N@")), Result.OK, FINE)
            header = msgspec.structs.replace(
                reply.header,
                noun="@N@",
                context="@X@" if glance.context else None,
                message_id=MessageID("@M@"),
                correlation_id=CorrelationID("@C@") if has_correlation else None,
            )
            raw = form.render(msgspec.structs.replace(reply, header=header))
            known = self._templates[key] = _cut(raw, (b"@N@", b"@X@", b"@M@", b"@C@"))
        return known

    async def serve(self, request: HttpRequest, connection: Connection) -> bool:
        """Serve one request; whether the connection goes on."""
        if request.method == "PUT" and request.path == "/behaviour":
            try:
                self.behave(request.body.decode("utf-8", "replace"))
            except BehaviourError as error:
                connection.write(render_response(400, "text/plain; charset=utf-8", str(error).encode()))
                return True
            connection.write(render_response(204, "", b""))
            return True
        if request.method in ("GET", "HEAD"):
            connection.write(self._describe(request))
            return True
        if request.method != "POST":
            connection.write(render_response(405, "text/plain", b"POST a message", Allow="GET, POST"))
            return True
        content_type = request.headers.get("content-type", "")
        try:
            message, form = read_any(request.body, content_type)
        except InputError as error:
            return self._refuse_unreadable(request, content_type, error, connection)
        if self._keeps:
            self.messages.append(message)
            self.headers.append(request.headers)
            self.bodies.append(request.body)
        deed = self._choose(message)
        outcome = self._outcome(message, deed)
        entry = self._receive(message, form, request, deed, outcome)
        self._news.set()
        self._news = asyncio.Event()
        return await self._answer(message, form, deed, outcome, entry, connection)

    def _describe(self, request: HttpRequest) -> bytes:
        path, _, query = request.path.partition("?")
        service = path.rstrip("/").rpartition("/")[2]
        service = service if service in SERVICES else GENERIC
        address = f"{self._scheme}://{request.headers.get('host') or self.address.partition('//')[2]}{path}"
        kind, _, file = query.partition("=")
        with suppress(KeyError):
            if kind.lower() == "wsdl":
                return render_response(200, "text/xml; charset=utf-8", render_wsdl(service, address))
            if kind.lower() == "xsd":
                return render_response(200, "text/xml; charset=utf-8", render_schema(service, file, address))
        if path == "/" and not query:
            return render_response(200, "application/json", msgspec.json.encode(self.counts()))
        return render_response(404, "text/plain", b"POST a message, or GET ?wsdl")

    def _refuse_unreadable(
        self, request: HttpRequest, content_type: str, error: InputError, connection: Connection
    ) -> bool:
        """A fault for what is no message, and its line in the journal."""
        form = guess_form(request.body, content_type)
        self._count += 1
        self._write(
            Entry(
                order=self._count,
                at=self._clock(),
                path=request.path,
                form=form.name,
                archetype="",
                verb="",
                noun="",
                source="",
                message_id="",
                correlation_id="",
                objects=(),
                act=Act.FAULT,
                attempt=1,
                is_effect=False,
                findings=(error.finding.describe(),),
            )
        )
        reason = ReplyError(code="1.8", reason="no message", details=error.finding.describe())
        fault = FaultMessage(reply=Reply(result=Result.FAILED, error=(reason,)))
        status = 500 if form.version is not None else 400
        connection.write(render_response(status, form.content_type, form.render_fault(fault, server=False)))
        return True

    def _choose(self, message: Spoken) -> Deed:
        """What is done with this attempt to deliver a message."""
        header = message.header
        source, message_id = header.source or "", header.message_id or ""
        self._attempts[source, message_id] += 1
        attempt = self._attempts[source, message_id]
        deed = self.behaviour.chosen(
            self._seed, source, message_id, header.verb, header.noun, attempt=attempt, turn=self._count
        )
        if deed.act is Act.REFUSE and hash((source, message_id)) in self._done:
            return Deed()  # what was done is not refused afterwards
        return deed

    def _receive(self, message: Spoken, form: Form, request: HttpRequest, deed: Deed, outcome: Outcome | None) -> Entry:
        """Count it and write it down."""
        header = message.header
        source, message_id = header.source or "", header.message_id or ""
        self._count += 1
        self.acts[deed.act] += 1
        key = hash((source, message_id))
        is_done = outcome is not None and outcome.reply.reply.result is not Result.FAILED
        is_effect = is_done and deed.act not in WITHOUT_EFFECT and key not in self._done
        if is_effect:
            self._done.add(key)
        entry = Entry(
            order=self._count,
            at=self._clock(),
            path=request.path,
            form=form.name,
            archetype=message.ARCHETYPE,
            verb=header.verb,
            noun=header.noun,
            source=source,
            message_id=message_id,
            correlation_id=header.correlation_id or "",
            objects=objects_of(message),
            act=deed.act,
            attempt=self._attempts[source, message_id],
            is_effect=is_effect,
            findings=self._check(request.body) if self._check is not None else (),
        )
        if self._keeps:
            self._entries.append(entry)
        self._write(entry)
        return entry

    def _write(self, line: Line) -> None:
        if self._file is not None:
            self._file.write(msgspec.json.encode(line) + b"\n")
            self._file.flush()

    def _note(self, message: Spoken, to: str, status: int, failure: str) -> None:
        self._write(said_of(message, at=self._clock(), to=to, status=status, failure=failure))

    # ----------------------------------------------------------------------------------------------------- answers

    def _outcome(self, message: Spoken, deed: Deed) -> Outcome | None:
        """What comes of a message; None where nothing does, and no reply says why."""
        if deed.act in (Act.HANG, Act.UNAVAILABLE, Act.REDIRECT, Act.FAULT):
            return None
        if deed.act in (Act.BUSY, Act.REFUSE):
            is_busy = deed.act is Act.BUSY
            error = ReplyError(code="5.1" if is_busy else deed.code, reason="busy" if is_busy else "not here")
            return Outcome(reply=build_reply(self.name, message, Result.FAILED, error))
        return self._answering.do(message, now=self._clock())

    async def _answer(
        self, message: Spoken, form: Form, deed: Deed, outcome: Outcome | None, entry: Entry, connection: Connection
    ) -> bool:
        act = deed.act
        if act is Act.HANG:
            self._write_answer(entry, None, failure="never answered")
            await connection.until_gone()
            return False
        if outcome is None:
            self._answer_without_reply(form, deed, entry, connection)
            return True
        comes_later = act in (Act.LATER, Act.OUT_OF_ORDER) and _wants_later(message)
        reply = outcome.reply
        if comes_later:
            reply = build_reply(self.name, message, Result.OK, _RECEIPT)
        elif act is Act.WRONG_ID:
            reply = _of_somebody_else(reply)
        if outcome.event is not None:
            self._tell(outcome.event, act)
        if comes_later and isinstance(message, RequestMessage):
            self._begin(self._reply_later(message, outcome.reply, deed))
        return await self._say(form.render(reply), reply, form, deed, entry, connection)

    def _answer_without_reply(self, form: Form, deed: Deed, entry: Entry, connection: Connection) -> None:
        if deed.act is Act.UNAVAILABLE:
            status = 503
            raw = render_response(503, "text/plain", b"come again", Retry_After=f"{deed.seconds:.0f}")
        elif deed.act is Act.REDIRECT:
            status = 307
            raw = render_response(307, "", b"", Location=deed.address or f"{self.address}/elsewhere")
        else:
            code = "1.8" if deed.blames_sender else "5.3"
            fault = FaultMessage(reply=Reply(result=Result.FAILED, error=(ReplyError(code=code),)))
            status = 400 if deed.blames_sender and form.version is None else 500
            raw = render_response(status, form.content_type, form.render_fault(fault, server=not deed.blames_sender))
        self._write_answer(entry, None, status=status)
        connection.write(raw)

    def _write_answer(self, entry: Entry, reply: ResponseMessage | None, *, status: int = 0, failure: str = "") -> None:
        if self._file is None:
            return
        if reply is None:
            self._write(Said(at=self._clock(), to="answer", about=entry.order, status=status, failure=failure))
            return
        at = self._clock()
        self._write(said_of(reply, at=at, to="answer", about=entry.order, status=status, failure=failure))

    async def _say(
        self, body: bytes, reply: ResponseMessage, form: Form, deed: Deed, entry: Entry, connection: Connection
    ) -> bool:
        """Say an answer, well or badly; whether the connection goes on."""
        act = deed.act
        self._write_answer(entry, reply, status=0 if act is Act.RESET else 200, failure=_SPOILT.get(act, ""))
        if act is Act.SLOW:
            await asyncio.sleep(deed.seconds)
        if act is Act.GARBAGE:
            body, kind = b"<html><body>It works!</body></html>", "text/html"
        else:
            kind = "text/html" if act is Act.WRONG_TYPE else form.content_type
        if act is Act.TRUNCATE:
            body = body[: len(body) // 2]
        raw = render_response(200, kind, body)
        if act in (Act.DIE, Act.HALF_CLOSE):
            await connection.write_much(raw[: len(raw) // 2])
            if act is Act.HALF_CLOSE:
                connection.half_close()
                with suppress(TimeoutError):
                    await asyncio.wait_for(connection.until_gone(), _HALF_CLOSED_SECONDS)
            return False
        if act is Act.RESET:
            connection.reset()
            return False
        if act is Act.HUGE:
            await self._say_much(deed.megabytes << 20, form, connection)
            return True
        if act is Act.DRIP:
            await self._drip(raw, deed.seconds, connection)
            return True
        connection.write(raw)
        if act is Act.TWICE:
            await connection.write_much(raw)
        return True

    async def _say_much(self, size: int, form: Form, connection: Connection) -> None:
        """An answer of so many bytes, of which none is a message."""
        head = render_response(200, form.content_type, b"").replace(
            b"Content-Length: 0", f"Content-Length: {size}".encode()
        )
        connection.write(head)
        while size > 0 and not connection.is_gone:
            await connection.write_much(b" " * min(size, _CHUNK_BYTES))
            size -= _CHUNK_BYTES

    async def _drip(self, raw: bytes, seconds: float, connection: Connection) -> None:
        """The answer in small pieces over a time."""
        step = max(len(raw) // _DRIPS, 1)
        for at in range(0, len(raw), step):
            if connection.is_gone:
                return
            await connection.write_much(raw[at : at + step])
            await asyncio.sleep(seconds / _DRIPS)

    # ------------------------------------------------------------------------------------------ what others are told

    def _tell(self, event: EventMessage, act: Act) -> None:
        """Tell all who are told; out of order means behind the next one."""
        if act is Act.OUT_OF_ORDER and not self._held:
            self._held.append(event)
            self._begin(self._release_later())
            return
        told = [event, event] if act is Act.TWICE else [event]
        for each in (*told, *self._held):
            for queue in self._queues:
                queue.put_nowait(each)
        self._held.clear()

    async def _release_later(self) -> None:
        await asyncio.sleep(_HELD_SECONDS)
        for event in self._held:
            for queue in self._queues:
                queue.put_nowait(event)
        self._held.clear()

    async def _publish(self, queue: asyncio.Queue[Spoken], url: str) -> None:
        while True:
            await self._speaker.say(url, await queue.get())

    async def _reply_later(self, message: RequestMessage, last: ResponseMessage, deed: Deed) -> None:
        await asyncio.sleep(deed.seconds)
        replies = [
            build_reply(self.name, message, Result.PARTIAL, _MORE, number=number) for number in range(deed.parts)
        ]
        replies += [last] * deed.times
        if deed.act is Act.OUT_OF_ORDER:
            replies.reverse()
        for reply in replies:
            await self._speaker.say(message.header.reply_address or "", reply)


_SPOILT = {
    Act.DIE: "broke off in the middle",
    Act.HALF_CLOSE: "half of it, and the connection half closed",
    Act.RESET: "connection reset",
    Act.TRUNCATE: "cut in the middle",
    Act.GARBAGE: "something that is no message instead",
    Act.WRONG_TYPE: "as text/html",
    Act.HUGE: "far too large, and no message",
    Act.WRONG_ID: "linked to another message",
    Act.TWICE: "said twice",
}


def _wants_later(message: Spoken) -> bool:
    return isinstance(message, RequestMessage) and bool(message.header.reply_address)


def _of_somebody_else(reply: ResponseMessage) -> ResponseMessage:
    """The reply as if it answered another message."""
    other = CorrelationID(str(uuid5(NAMESPACE_URL, f"other {reply.header.correlation_id}")))
    return msgspec.structs.replace(reply, header=msgspec.structs.replace(reply.header, correlation_id=other))


def _cut(raw: bytes, places: tuple[bytes, ...]) -> list[bytes]:
    """The bytes, with each of the places as a piece of its own."""
    pieces = [raw]
    for place in places:
        cut: list[bytes] = []
        for piece in pieces:
            before, found, after = piece.partition(place)
            cut += [before, place, after] if found else [piece]
        pieces = cut
    return pieces
