"""What goes to several partners is written once for each form, and is what it would be if written anew."""

from datetime import UTC, datetime

import msgspec
import pytest

from cimcare.codec import soap
from cimcare.codec.envelope import render_message
from cimcare.exchange.partners import Edition, Partner, Wire
from cimcare.model.envelope import EventMessage
from cimcare.model.identity import MessageID
from cimcare.model.nouns import Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from cimcare.transport import calls
from cimcare.transport.calls import Renderings, build_call

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)
PARTNERS = (
    Partner(name="a", source="A", url="http://a.example/soap"),
    Partner(name="b", source="B", url="http://b.example/soap"),
    Partner(name="c", source="C", url="http://c.example/soap", soap_12=True),
    Partner(name="d", source="D", url="http://d.example/messages", wire=Wire.REST),
    Partner(name="e", source="E", url="http://e.example/messages", wire=Wire.REST, as_json=True),
    Partner(name="f", source="F", url="http://f.example/soap", edition=Edition.E2013_DRAFT),
    Partner(name="g", source="G", url="http://g.example/soap", compress_above_bytes=10),
)


def test_each_partner_gets_its_own_form_and_address() -> None:
    """Two partners of one form share the bytes; a third is never sent what was meant for others."""
    renderings = Renderings()
    for seed in range(100):  # more than are remembered
        event = build_message(Noun.TROUBLE_TICKETS, Verb.CREATED, seed=seed % 3)
        other = msgspec.structs.replace(
            event, header=msgspec.structs.replace(event.header, message_id=MessageID(str(seed)))
        )
        for partner in PARTNERS:
            shared = build_call(partner, other, services={}, now=NOON, renderings=renderings)
            assert shared == build_call(partner, other, services={}, now=NOON), partner


def test_an_event_for_three_partners_is_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each writing costs as much as a look at the database."""
    written: list[object] = []
    monkeypatch.setattr(
        calls, "render_soap", lambda *given, **more: written.append(given) or soap.render_soap(*given, **more)
    )
    event = build_message(Noun.INCIDENTS, Verb.CHANGED, seed=1)
    renderings = Renderings()
    for partner in (*PARTNERS[:2], PARTNERS[0]):
        build_call(partner, event, services={}, now=NOON, renderings=renderings)
    assert len(written) == 1


def test_the_header_is_enough_of_what_goes_out_as_it_is_kept() -> None:
    """A partner that was promised to need no payload, and needs one after all, would get an event without it."""
    event = build_message(Noun.TROUBLE_TICKETS, Verb.CREATED, seed=1)
    assert isinstance(event, EventMessage)
    others = (
        Partner(name="h", source="H", url="http://h.example/hook", wire=Wire.WEBHOOK),
        Partner(name="i", source="I", url="http://i.example/hook", wire=Wire.WEBHOOK, as_json=True),
        Partner(name="j", source="J", url="http://j.example/soap", wire=Wire.SOAP_TYPED),
        Partner(name="k", source="K", url="http://k.example/soap", third_party=True),
    )
    takers = [partner for partner in (*PARTNERS, *others) if partner.takes_kept]
    assert [partner.name for partner in takers] == ["a", "b", "c", "d", "h"]
    for partner in takers:
        whole = build_call(partner, event, services={}, now=NOON)
        beginning = EventMessage(header=event.header)
        assert build_call(partner, beginning, services={}, now=NOON, kept=render_message(event)) == whole
