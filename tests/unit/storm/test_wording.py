"""The bytes of a storm: valid, each of its own, and the same each time."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from cimcare.client.answers import read_body
from cimcare.codec.envelope import render_message
from cimcare.codec.limits import parse_xml
from cimcare.model.envelope import RequestMessage
from cimcare.rules.check import check_rules
from cimcare.schema.catalog import Catalog
from cimcare.schema.validate import check_message as check_schema
from cimcare.storm.plan import Hazard, Item, Origin
from cimcare.storm.wording import Form, Target, Wording
from tests.unit.storm.profiles import START, a_plan

ROOT = Path(__file__).resolve().parents[3]


def a_wording(form: Form = Form.XML, **values: object) -> Wording:
    plan = a_plan(meters={"share": 0.2})
    target = Target(url="http://127.0.0.1:1/soap?a=b", form=form, api="http://127.0.0.1:1")
    return Wording(plan, msgspec.structs.replace(target, **values), START)


def _messages(wording: Wording) -> list[RequestMessage]:
    found = [read_body(body).message for body in wording.bodies() if not body.startswith(b"point,")]
    assert all(isinstance(one, RequestMessage) for one in found)
    return found  # type: ignore[return-value]


def test_every_message_is_valid() -> None:
    """A storm of messages that are wrong would test how they are refused."""
    catalog = Catalog()
    for message in _messages(a_wording()):
        assert not check_schema(parse_xml(render_message(message)), catalog)
        assert not check_rules(message)


@pytest.mark.parametrize("form", list(Form))
def test_all_forms_say_the_same(form: Form) -> None:
    """SOAP of either version, XML and JSON are one storm."""
    assert _messages(a_wording(form)) == _messages(a_wording(Form.XML))


def test_the_same_seed_sends_the_same_bytes_in_another_process() -> None:
    """Same seed, same storm: nothing depends on the process, its hashes or its clock."""
    script = (
        "import hashlib; from tests.unit.storm.test_wording import a_wording; digest = hashlib.sha256();"
        "[digest.update(body) for body in a_wording().bodies()]; print(digest.hexdigest())"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", script],
            check=True,
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        ).stdout
        for seed in ("1", "2")
    }

    assert len(seen) == 1


def test_each_message_has_an_identifier_of_its_own_but_for_what_is_sent_again() -> None:
    """Two messages under one identifier would be taken for a repeat, and the second would be lost."""
    wording, plan = a_wording(), a_plan(meters={"share": 0.2})
    identifiers = [message.header.message_id for message in _messages(wording)]

    assert len(set(identifiers)) == len(identifiers) - plan.kinds.count(Item.AGAIN)


def test_what_is_sent_again_is_the_same_to_the_byte() -> None:
    """As a sender does that has got no answer."""
    plan, wording = a_plan(meters={"share": 0.2}), a_wording()
    again = [number for number, kind in enumerate(plan.kinds) if kind == Item.AGAIN]

    assert again
    for number in again:
        first = next(
            one
            for one, kind in enumerate(plan.kinds)
            if kind == Item.TICKET and plan.subjects[one] == plan.subjects[number]
        )
        assert wording.body(number) == wording.body(first)


@pytest.mark.parametrize("change", [{"source": "OTHER"}, {"context": "STUDY"}])
def test_another_sender_has_other_identifiers(change: dict[str, str]) -> None:
    """Else two storms would be in one another's way."""
    ours = {message.header.message_id for message in _messages(a_wording())}
    theirs = {message.header.message_id for message in _messages(a_wording(**change))}

    assert ours.isdisjoint(theirs)


def test_tickets_say_what_the_plan_says() -> None:
    """Premises, hazards, and who does not exist."""
    plan, wording = a_plan(meters={"share": 0.2}), a_wording()
    for number, kind in enumerate(plan.kinds):
        if kind != Item.TICKET:
            continue
        ticket = plan.subjects[number]
        message = read_body(wording.body(number)).message
        assert isinstance(message, RequestMessage)
        assert message.payload is not None
        (sent,) = message.payload.content[0].trouble_ticket  # type: ignore[union-attr]
        is_wrong = plan.origins[ticket] == Origin.WRONG_ACCOUNT
        assert sent.mrid == wording.ticket_id(ticket)
        assert sent.names[0].name == wording.ticket_name(ticket)
        assert sent.service_location.names[0].name == f"ST-{'X' if is_wrong else ''}SL-{plan.premises[ticket]}"
        assert bool(sent.hazards) == (plan.hazards[ticket] != Hazard.NONE)
        assert abs((sent.date_time_of_report - START).total_seconds() - plan.reported[ticket]) < 1


def test_the_head_says_how_long_and_of_what_kind_the_body_is() -> None:
    """What any server of HTTP needs; and what the user adds."""
    wording = a_wording(Form.SOAP11, headers=(("Authorization", "Bearer x"),))
    head, _, body = wording.request(0).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")

    assert lines[0] == "POST /soap?a=b HTTP/1.1"
    assert {"Host: 127.0.0.1:1", "Authorization: Bearer x", f"Content-Length: {len(body)}"} <= set(lines)
    assert 'SOAPAction: "http://iec.ch/61968/Request"' in lines


def test_the_action_of_soap_1_2_stands_in_the_media_type() -> None:
    """SOAP 1.2 has no header SOAPAction."""
    head = a_wording(Form.SOAP12).request(0).partition(b"\r\n\r\n")[0]

    assert b'application/soap+xml; charset=utf-8; action="http://iec.ch/61968/Request"' in head
    assert b"SOAPAction" not in head


def test_a_table_of_meters_is_known_again_by_its_key() -> None:
    """Sent twice, it has one effect."""
    plan, wording = a_plan(meters={"share": 0.2}), a_wording()
    number = plan.kinds.index(Item.METERS)
    head, _, body = wording.request(number).partition(b"\r\n\r\n")

    assert head.startswith(b"POST /api/v1/meter-events HTTP/1.1")
    assert b"Idempotency-Key: " in head
    assert body.startswith(b"point,state,at\nST-UP-")
