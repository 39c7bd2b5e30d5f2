"""Hostile input over real sockets: refused with a reason, in bounded memory, and the hub serves on."""

import base64
import gzip
import io
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from cimcare.codec.envelope import render_message
from cimcare.codec.json_body import render_json
from cimcare.codec.soap import SoapVersion, render_soap
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from tests.support.hub import HubProcess, exchange_raw, hub_process

CREATE = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=2)
ENVELOPE = render_message(CREATE)
SOAP = render_soap(CREATE, SoapVersion.V11)
MEGABYTE = 1024 * 1024

LAUGHS = b"".join(
    [b'<!DOCTYPE a [<!ENTITY l0 "ha">']
    + [b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 12)]
    + [b"]><a>&l11;</a>"]
)


def nested(depth: int) -> bytes:
    """A message with a comment in `depth` levels of an unknown element in its header."""
    deep = b'<x xmlns="urn:x">' + b"<y>" * depth + b"</y>" * depth + b"</x>"
    return ENVELOPE.replace(b"</Header>", deep + b"</Header>")


def nested_json(depth: int) -> bytes:
    return render_json(CREATE).replace(b'"Payload":', b'"Payload":' + b"[" * depth, 1) + b"]" * depth


def bomb() -> bytes:
    """A kilobyte that unpacks to a gigabyte."""
    packed = base64.b64encode(gzip.compress(b" " * (64 * MEGABYTE), 9))
    head, _, rest = ENVELOPE.partition(b"<Payload>")
    return head + b"<Payload><Compressed>" + packed + b"</Compressed></Payload>" + rest.partition(b"</Payload>")[2]


HOSTILE: dict[str, tuple[bytes, str]] = {
    "document type": (b'<!DOCTYPE RequestMessage SYSTEM "http://127.0.0.1:1/x.dtd">' + ENVELOPE[39:], "XML-102"),
    "external entity": (b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "XML-102"),
    "parameter entity": (b'<!DOCTYPE a [<!ENTITY % x SYSTEM "file:///etc/passwd"> %x;]><a/>', "XML-102"),
    "entity bomb": (LAUGHS, "XML-102"),
    "document type in UTF-16": (LAUGHS.decode().encode("utf-16"), "XML-102"),
    "document type behind a comment": (b"<!-- a --><?b?>\n<!DOCTYPE a><a/>", "XML-102"),
    "undeclared entity": (ENVELOPE.replace(b"TESTING", b"&x;"), "XML-101"),
    "300 levels": (nested(300), "XML-104"),
    "100,000 levels": (nested(100_000), "XML-104"),
    "a million elements": (b"<a>" + b"<b/>" * 1_000_000 + b"</a>", "XML-110"),
    "a million attributes": (b"<a " + b" ".join(b'b%d=""' % n for n in range(500_000)) + b"/>", "XML-105"),
    "gzip bomb": (bomb(), "XML-107"),
    "too long": (b"x" * (9 * MEGABYTE), "XML-103"),
    "nothing": (b"", "XML-101"),
    "zeros": (b"\x00" * 1000, "XML-1"),
    "noise": (bytes(range(256)) * 100, "XML-1"),
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    with hub_process(tmp_path_factory.mktemp("hub"), "hub.receive_seconds = 5\n") as running:
        yield running


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def peak_memory(hub: HubProcess) -> int:
    """Most memory that the hub ever held, in bytes."""
    for line in Path(f"/proc/{hub.process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


async def assert_serves(hub: HubProcess, session: aiohttp.ClientSession) -> None:
    async with session.get(f"{hub.address}/readyz") as answer:
        assert answer.status == 200


@pytest.mark.parametrize("path", ["/messages", "/soap"])
@pytest.mark.parametrize("case", HOSTILE)
async def test_hostile_input_is_refused_with_its_reason(
    hub: HubProcess, session: aiohttp.ClientSession, case: str, path: str
) -> None:
    """Each classic attack on XML, by name; the answer is a fault or a reply, and says why."""
    raw, code = HOSTILE[case]
    if path == "/soap" and b"<RequestMessage" in raw[:100] and code not in ("XML-102", "XML-103"):
        start, _, rest = SOAP.partition(b"<RequestMessage")
        del rest
        raw = start + raw[raw.index(b"<RequestMessage") :] + b"</soap:Body></soap:Envelope>"
    async with session.post(hub.address + path, data=io.BytesIO(raw), headers={"content-type": "text/xml"}) as answer:
        body = await answer.text()
    assert code in body
    assert "FAILED" in body
    assert "root:" not in body
    assert answer.status in ({200, 400, 413} if path == "/messages" else {200, 413, 500})
    await assert_serves(hub, session)


@pytest.mark.parametrize("depth", [300, 100_000])
async def test_deep_json_is_refused(hub: HubProcess, session: aiohttp.ClientSession, depth: int) -> None:
    """JSON nests as well, and its reader calls itself."""
    headers = {"content-type": "application/json"}
    async with session.post(f"{hub.address}/messages", data=io.BytesIO(nested_json(depth)), headers=headers) as answer:
        body = await answer.text()
    assert "COD-105" in body
    await assert_serves(hub, session)


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "chunked"])
async def test_fifty_megabytes_cost_no_memory(hub: HubProcess, session: aiohttp.ClientSession, announced: bool) -> None:
    """Twenty in a row: the hub reads no further than its limit, so memory stays where it was."""
    raw = b"<a>" + b"x" * (50 * MEGABYTE)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(raw), MEGABYTE):
            yield raw[start : start + MEGABYTE]

    async def one() -> None:
        data = io.BytesIO(raw) if announced else pieces()
        try:
            async with session.post(f"{hub.address}/messages", data=data) as answer:
                assert answer.status == 413
                assert "XML-103" in await answer.text()
        except aiohttp.ClientError:  # the answer came while this side was still writing
            return

    await assert_serves(hub, session)
    before = peak_memory(hub)
    for _ in range(20):
        await one()
    await assert_serves(hub, session)
    assert peak_memory(hub) - before < 64 * MEGABYTE


async def test_what_was_refused_for_its_size_is_kept_in_part(hub: HubProcess, session: aiohttp.ClientSession) -> None:
    """Enough to see who sent it, not enough to fill the disk."""
    async with session.post(f"{hub.address}/messages", data=io.BytesIO(b"<a>" + b"y" * (9 * MEGABYTE))) as answer:
        assert answer.status == 413
    async with session.get(f"{hub.address}/api/v1/messages?order=newest&direction=in&limit=1") as answer:
        (entry,) = (await answer.json())["items"]
    assert (entry["truncated"], entry["sizeBytes"], entry["outcome"]) == (True, 9 * MEGABYTE + 3, "FAULT")
    async with session.get(f"{hub.address}/api/v1/messages/{entry['sequence']}/raw") as answer:
        kept = await answer.read()
    assert len(kept) == 64 * 1024
    assert kept.startswith(b"<a>yyy")


async def test_half_a_request_is_noted(hub: HubProcess, session: aiohttp.ClientSession) -> None:
    """A sender that breaks off gets no answer, leaves a trace, and does no harm."""
    request = (
        b"POST /messages HTTP/1.1\r\nHost: h\r\nContent-Type: text/xml\r\nContent-Length: 5000\r\n\r\n<RequestMessage"
    )
    assert await exchange_raw(hub.address, request, end=True) == b""
    async with session.get(f"{hub.address}/api/v1/messages?order=newest&direction=in&limit=1") as answer:
        (entry,) = (await answer.json())["items"]
    assert entry["codes"] == ["NET-106"]
    await assert_serves(hub, session)


@pytest.mark.parametrize(
    "request_line",
    [b"NONSENSE", b"GET", b"POST /messages HTTP/9.9", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"GET /\xff HTTP/1.1"],
)
async def test_what_is_no_http_harms_nobody(
    hub: HubProcess, session: aiohttp.ClientSession, request_line: bytes
) -> None:
    """Scanners speak everything at every port."""
    await exchange_raw(hub.address, request_line + b"\r\nHost: h\r\nConnection: close\r\n\r\n", end=True)
    await assert_serves(hub, session)


@pytest.mark.parametrize("head", [b"GET /" + b"a" * 200_000, b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * 30_000])
async def test_endless_head_is_cut_off(hub: HubProcess, session: aiohttp.ClientSession, head: bytes) -> None:
    """Header fields are collected before anybody looks at them, so they need a bound of their own."""
    answer = await exchange_raw(hub.address, head)
    assert answer.startswith((b"HTTP/1.1 431", b"HTTP/1.1 400")) or answer == b""
    await assert_serves(hub, session)
