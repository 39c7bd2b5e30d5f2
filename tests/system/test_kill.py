"""Power cuts: what got an OK is there afterwards, and nothing is there twice (guarantees G1, G2 and G6)."""

import asyncio
import sqlite3
from collections import Counter
from pathlib import Path

import aiohttp
import msgspec
import pytest

from cimcare.codec.envelope import read_message
from cimcare.codec.limits import parse_xml
from cimcare.codec.soap import SoapVersion, read_soap, render_soap
from cimcare.hub.serving.lifespan import ListenError, serve
from cimcare.model.envelope import ResponseMessage, Result
from cimcare.model.identity import MRID, MessageID
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from tests.support.hub import hub_process, hub_settings

MANY = 1000
LIMIT = "hub.queue_limit = 5000\nhub.wait_seconds = 600\n"


def a_create(number: int) -> tuple[str, bytes]:
    """Identity and SOAP message of one ticket."""
    message = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=number)
    ticket = message.payload.content[0].trouble_ticket[0]
    mrid = MRID(f"00000000-0000-4000-8000-{number:012}")
    ticket = msgspec.structs.replace(ticket, mrid=mrid, names=(), incident=None)
    payload = msgspec.structs.replace(message.payload.content[0], trouble_ticket=(ticket,))
    message = msgspec.structs.replace(
        message,
        header=msgspec.structs.replace(message.header, source="KILL", message_id=MessageID(f"kill-{number}")),
        payload=msgspec.structs.replace(message.payload, content=(payload,)),
    )
    return mrid, render_soap(message, SoapVersion.V11)


async def send(session: aiohttp.ClientSession, address: str, raw: bytes) -> ResponseMessage | None:
    """The reply; None if there was none."""
    try:
        async with session.post(f"{address}/soap", data=raw, headers={"content-type": "text/xml"}) as answer:
            body = await answer.read()
    except (aiohttp.ClientError, ConnectionError):
        return None
    element = read_soap(parse_xml(body)).element
    message = read_message(element) if element is not None else None
    return message if isinstance(message, ResponseMessage) else None


def result_of(reply: ResponseMessage | None) -> Result | None:
    return reply.reply.result if reply is not None else None


async def send_all(address: str, messages: dict[str, bytes], on_ok: object = None) -> dict[str, ResponseMessage | None]:
    """Send all at once, over a hundred connections; `on_ok` hears of each OK."""
    connector = aiohttp.TCPConnector(limit=100)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def one(mrid: str, raw: bytes) -> tuple[str, ResponseMessage | None]:
            reply = await send(session, address, raw)
            if result_of(reply) is Result.OK and callable(on_ok):
                on_ok()
            return mrid, reply

        return dict(await asyncio.gather(*(one(mrid, raw) for mrid, raw in messages.items())))


def stored_tickets(database: Path) -> Counter[str]:
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT mrid FROM records WHERE collection = 'oms.TroubleTickets'").fetchall()
    connection.close()
    return Counter(mrid for (mrid,) in rows)


def effects_of(database: Path) -> Counter[str]:
    """How often each request took effect: its consequent event of the same noun is in the log once for each time."""
    with sqlite3.connect(database) as connection:
        rows = connection.execute(
            "SELECT correlation_id FROM messages WHERE verb = 'created' AND noun = 'TroubleTickets'"
            " AND direction = 'out'"
        ).fetchall()
        (check,) = connection.execute("PRAGMA integrity_check").fetchone()
    connection.close()
    assert check == "ok"
    return Counter(correlation for (correlation,) in rows)


async def test_killed_in_the_middle_keeps_all_that_got_an_ok_and_none_twice(tmp_path: Path) -> None:
    """The worst hour of a utility is when machines fail too; an OK must hold then of all times."""
    messages = dict(a_create(number) for number in range(MANY))
    with hub_process(tmp_path, LIMIT) as hub:
        oks = 0

        def count() -> None:
            nonlocal oks
            oks += 1
            if oks == MANY // 3:
                hub.process.kill()

        replies = await send_all(hub.address, messages, count)
        hub.process.wait()
    accepted = {mrid for mrid, reply in replies.items() if result_of(reply) is Result.OK}
    assert MANY // 3 <= len(accepted) < MANY, "killed before the first or after the last answer"
    assert all(result_of(reply) in (Result.OK, None) for reply in replies.values())

    with hub_process(tmp_path, LIMIT) as hub:
        kept = stored_tickets(tmp_path / "hub.db")
        assert accepted <= set(kept), "an OK was lost"
        # Whoever got no answer sends again with the same MessageID, and so does a sender that lost its memory.
        again = await send_all(hub.address, messages)
        assert {result_of(reply) for reply in again.values()} == {Result.OK}
        for mrid in accepted:
            assert again[mrid] == replies[mrid], "a repeat gets the reply of the first time"
        assert hub.stop() == 0
    kept = stored_tickets(tmp_path / "hub.db")
    assert set(kept) == set(messages)
    assert set(kept.values()) == {1}
    effects = effects_of(tmp_path / "hub.db")
    assert len(effects) == MANY
    assert set(effects.values()) == {1}, "a request took effect twice"


async def test_asked_to_stop_it_answers_what_is_under_way(tmp_path: Path) -> None:
    """An upgrade must look like a pause: every message is either answered or not taken at all."""
    messages = dict(a_create(number) for number in range(300))
    with hub_process(tmp_path, LIMIT) as hub:

        def stop() -> None:
            hub.process.terminate()

        replies = await send_all(hub.address, messages, stop)
        assert hub.process.wait(30) == 0
    accepted = {mrid for mrid, reply in replies.items() if result_of(reply) is Result.OK}
    assert accepted
    assert set(stored_tickets(tmp_path / "hub.db")) == accepted, "taken in, but not answered"
    assert not (tmp_path / "hub.db-wal").exists(), "the log of writes was not moved into the file"


def test_a_port_in_use_is_said_plainly(tmp_path: Path) -> None:
    """The commonest mistake at the first start deserves a sentence and not a traceback."""
    with hub_process(tmp_path) as first:
        port = int(first.address.rpartition(":")[2])
        settings = msgspec.structs.replace(hub_settings(tmp_path), port=port)
        with pytest.raises(ListenError, match=rf"127\.0\.0\.1 port {port} cannot be listened on") as caught:
            serve(settings)
    assert caught.value.code == "SET-105"
