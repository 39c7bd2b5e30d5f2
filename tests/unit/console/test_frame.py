"""Forms are taken only from pages of the console, and only where it may act."""

from pathlib import Path

import pytest

from cimcare.console.frame import Sent
from cimcare.console.pages import console_pages
from tests.support.hub import call
from tests.unit.hub.conftest import HeldHub


@pytest.mark.parametrize(
    ("host", "acts", "status"),
    [("127.0.0.1", "local", 303), ("::1", "local", 303), ("0.0.0.0", "local", 403), ("0.0.0.0", "always", 303)],
)
async def test_it_acts_where_it_may(tmp_path: Path, host: str, acts: str, status: int) -> None:
    """Whoever reaches the hub is not known, so a hub that others reach does nothing unless told that it may."""
    held = HeldHub()
    await held.open(tmp_path, f'host = "{host}"\n[console]\nacts = "{acts}"', pages=console_pages)
    response = await call(held.hub.app, "/console/readiness", b"")
    page = await held.get("/console/readiness")
    await held.hub.close()
    assert response is not None
    assert response.status == status
    assert (b"EXC-127" in response.body) == (status == 403)
    assert (b"<form" in page.body) == (status == 303)


async def test_where_it_never_acts_it_shows(tmp_path: Path) -> None:
    """Also on one's own machine."""
    held = HeldHub()
    await held.open(tmp_path, '[console]\nacts = "never"', pages=console_pages)
    response = await call(held.hub.app, "/console/readiness", b"")
    await held.hub.close()
    assert response is not None
    assert response.status == 403


def test_fields_are_given_without_space_around() -> None:
    """What is pasted often has some."""
    sent = Sent({"reason": [" gone  "], "number": ["1", "", " 2"]})
    assert (sent.one("reason"), sent.one("none"), sent.all("number")) == ("gone", "", ["1", "2"])
