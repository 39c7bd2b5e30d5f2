"""Certificates of a simulated partner: who trusts its authority accepts the good one and none of the others."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cimcare.codec.limits import Limits
from cimcare.exchange.partners import Partner, Tls
from cimcare.hub.app import TYPED_SERVICES
from cimcare.model.envelope import EventMessage
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from cimcare.simulator.acts import BehaviourError
from cimcare.simulator.behaviours import CertificateKind
from cimcare.simulator.certificates import AUTHORITY, server_context
from cimcare.simulator.partner import SimulatedPartner
from cimcare.transport.partners import HttpSender

CREATED = build_message(Noun.TROUBLE_TICKETS, Verb.CREATED)
assert isinstance(CREATED, EventMessage)


@pytest.fixture
async def sender() -> AsyncIterator[HttpSender]:
    sender = HttpSender(services=TYPED_SERVICES, limits=Limits(), clock=lambda: datetime.now(UTC))
    yield sender
    await sender.close()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (CertificateKind.GOOD, ""),
        (CertificateKind.EXPIRED, "certificate has expired"),
        (CertificateKind.OTHER_NAME, "IP address mismatch"),
        (CertificateKind.UNKNOWN_ISSUER, "unable to get local issuer certificate"),
    ],
)
async def test_each_certificate_is_what_it_says(
    sender: HttpSender, tmp_path: Path, kind: CertificateKind, said: str
) -> None:
    """A product that takes all of them protects nobody."""
    partner = SimulatedPartner()
    context = server_context(tmp_path / "tls", kind, host="127.0.0.1", now=datetime.now(UTC))
    await partner.start(tls=context)
    tls = Tls(ca_file=str(tmp_path / "tls" / AUTHORITY))
    to = Partner(name="P", url=partner.address, source="PARTNER", deadline=timedelta(seconds=30), tls=tls)
    sent = await sender.send(to, CREATED)
    await partner.stop()
    assert (said in sent.failure) if said else not sent.failure
    assert len(partner.entries) == (0 if said else 1)


def test_the_authority_stays_as_long_as_it_is_good(tmp_path: Path) -> None:
    """Whoever has come to trust it need not do so again with the next start."""
    now = datetime.now(UTC)
    files = []
    for later in (timedelta(), timedelta(days=1), timedelta(days=4000)):
        server_context(tmp_path, CertificateKind.GOOD, host="partner.example", now=now + later)
        files.append((tmp_path / AUTHORITY).read_bytes())
    assert files[0] == files[1] != files[2]
    assert (tmp_path / "ca-key.pem").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("content", ["nonsense", None])
def test_a_folder_with_something_else_is_left_alone(tmp_path: Path, content: str | None) -> None:
    """Nobody's keys are overwritten."""
    (tmp_path / AUTHORITY).write_text("mine")
    key = Path(__file__).parents[2] / "support/tls/client.pem"
    (tmp_path / "ca-key.pem").write_text(content or key.read_text())
    with pytest.raises(BehaviourError, match=r"\S"):
        server_context(tmp_path, CertificateKind.GOOD, host="localhost", now=datetime.now(UTC))
    assert (tmp_path / AUTHORITY).read_text() == "mine"
