"""Looking at an address without sending anything, and at certificates without trusting them."""

import asyncio
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cimcare.exchange.partners import Tls
from cimcare.transport.certificates import end_of, ends_of_file
from cimcare.transport.probing import Probe, probe

TLS = Path(__file__).parents[2] / "support" / "tls"
TRUSTED = Tls(ca_file=str(TLS / "ca.pem"))


async def probed(file: str = "", tls: Tls = TRUSTED, *, host: str = "localhost") -> tuple[Probe, bytes]:
    """Probe a server that shows this certificate; and what it was sent."""
    context = None
    if file:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(TLS / file)
    got = bytearray()
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.extend(await reader.read())
        writer.close()
        done.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    found = await probe(f"{'https' if file else 'http'}://{host}:{port}/soap?key=secret", tls, within=5)
    if not found.failure:
        await asyncio.wait_for(done.wait(), 5)
    server.close()
    return found, bytes(got)


async def test_somebody_listens_and_is_sent_nothing() -> None:
    """A webhook must not be called to find out whether it is there."""
    found, got = await probed()
    assert (found.failure, found.certificate_ends_at, got) == ("", None, b"")
    found, got = await probed("server.pem")
    assert (found.failure, found.certificate_ends_at, got) == ("", datetime(2120, 1, 1, tzinfo=UTC), b"")


@pytest.mark.parametrize(
    ("file", "tls", "reason", "year"),
    [
        ("expired.pem", TRUSTED, "certificate has expired", 2021),
        ("elsewhere.pem", TRUSTED, "Hostname mismatch", 2120),
        ("server.pem", Tls(), "unable to get local issuer certificate", 2120),
    ],
)
async def test_a_certificate_that_is_refused_is_looked_at_all_the_same(
    file: str, tls: Tls, reason: str, year: int
) -> None:
    """Who has to mend it wants to know when it ended."""
    found, got = await probed(file, tls)
    assert found.is_refused
    assert reason in found.failure
    assert found.certificate_ends_at is not None
    assert (found.certificate_ends_at.year, got) == (year, b"")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:1/", "could not connect"),
        ("http://[::1/", "cannot be tried"),
        ("ftp://127.0.0.1/", "cannot be tried"),
        ("http://name.invalid/", "could not connect"),
    ],
)
async def test_nobody_is_there(url: str, reason: str) -> None:
    """Told, and not raised."""
    assert (await probe(url, Tls(), within=5)).failure.startswith(reason)


async def test_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    """It was there when the hub started."""
    found = await probe("https://127.0.0.1:1/", Tls(ca_file=str(tmp_path / "gone.pem")), within=5)
    assert found.failure == "cannot be tried (No such file or directory)"


@given(st.binary(max_size=60))
def test_what_is_no_certificate_is_said_to_be_none(raw: bytes) -> None:
    """A server may show anything."""
    with pytest.raises(ValueError):
        end_of(raw)


@given(st.integers(0, 400))
def test_a_certificate_that_was_cut_off_is_none(length: int) -> None:
    """Or has its end all the same, if that was read."""
    pem = (TLS / "ca.pem").read_text()
    raw = ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN") :])[:length]
    with pytest.raises(ValueError):
        end_of(raw)


def test_a_file_without_a_certificate(tmp_path: Path) -> None:
    """A key in the place of a certificate."""
    file = tmp_path / "key.pem"
    file.write_text("-----BEGIN PRIVATE KEY-----\n")
    with pytest.raises(ValueError, match="no certificate in PEM"):
        ends_of_file(str(file))
