"""A foreign SOAP stack, built from the served WSDL alone, talks with the hub."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
import requests
import zeep
from lxml import etree

from tests.support.hub import HubProcess, hub_process

MESSAGE = "http://iec.ch/TC57/2011/schema/message"
TICKETS = "http://iec.ch/TC57/2014/TroubleTickets#"
REPORTED = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    with hub_process(tmp_path_factory.mktemp("hub"), seed_town=True) as running:
        yield running


def a_header(verb: str, **more: object) -> dict[str, object]:
    return {"Verb": verb, "Noun": "TroubleTickets", "Source": "ZEEP", "MessageID": str(uuid4()), **more}


def a_ticket(client: zeep.Client, mrid: str) -> object:
    kind = client.get_element(f"{{{TICKETS}}}TroubleTickets")
    hazard = {"type": "wire down"}
    return kind(TroubleTicket=[{"mRID": mrid, "dateTimeOfReport": REPORTED, "Hazards": [hazard]}])


def ticket_in(payload: object) -> etree._Element:
    """The payload as the foreign stack leaves it: an element, or a value of its own."""
    if isinstance(payload, etree._Element):
        return payload
    return payload["_value_1"][0] if isinstance(payload["_value_1"], list) else payload["_value_1"]


@pytest.mark.parametrize("port", ["SOAP", "SOAP12"])
def test_generic_service_creates_and_reads_back(hub: HubProcess, port: str) -> None:
    """Whoever generates a client from the WSDL must be able to work at once, in either version of SOAP."""
    client = zeep.Client(f"{hub.address}/soap?wsdl")
    service = client.bind("Service", port)
    mrid = str(uuid4())
    payload = client.get_type(f"{{{MESSAGE}}}PayloadType")
    ticket = zeep.xsd.AnyObject(client.get_element(f"{{{TICKETS}}}TroubleTickets"), a_ticket(client, mrid))
    reply = service.Request(Header=a_header("create"), Payload=payload(_value_1=[ticket]))
    assert reply.Reply.Result == "OK"
    assert reply.Reply.ID[0]._value_1 == mrid
    assert reply.Header.Verb == "reply"

    with client.settings(raw_response=True):
        raw = service.Request(Header=a_header("get"), Request={"ID": [{"_value_1": mrid, "kind": "uuid"}]})
    found = etree.fromstring(raw.content).findall(f".//{{{TICKETS}}}TroubleTicket/{{{TICKETS}}}mRID")
    assert [element.text for element in found] == [mrid]


@pytest.mark.parametrize("binding", ["TroubleTickets_Port", "TroubleTickets_Port12"])
def test_typed_service_creates_and_reads_back(hub: HubProcess, binding: str) -> None:
    """The strongly typed service gives the foreign stack classes for everything, payload included."""
    client = zeep.Client(f"{hub.address}/soap/RequestTroubleTickets?wsdl")
    service = client.bind("RequestTroubleTickets", binding)
    mrid = str(uuid4())
    reply = service.CreateTroubleTickets(Header=a_header("create"), Payload={"TroubleTickets": a_ticket(client, mrid)})
    assert reply.Reply.Result == "OK"

    answer = service.GetTroubleTickets(Header=a_header("get"), Request={"ID": [{"_value_1": mrid, "kind": "uuid"}]})
    (ticket,) = answer.Payload.TroubleTickets.TroubleTicket
    assert ticket.mRID == mrid
    assert ticket.dateTimeOfReport == REPORTED


def test_query_service_finds_what_was_created(hub: HubProcess) -> None:
    """The service of queries has a message namespace of its own."""
    mrid = str(uuid4())
    typed = zeep.Client(f"{hub.address}/soap/RequestTroubleTickets?wsdl")
    typed.service.CreateTroubleTickets(Header=a_header("create"), Payload={"TroubleTickets": a_ticket(typed, mrid)})
    client = zeep.Client(f"{hub.address}/soap/GetTroubleTickets?wsdl")
    answer = client.service.GetTroubleTickets(
        Header=a_header("get"), Request={"ID": [{"_value_1": mrid, "kind": "uuid"}]}
    )
    assert answer.Reply.Result == "OK"
    assert [ticket.mRID for ticket in answer.Payload.TroubleTickets.TroubleTicket] == [mrid]


def test_typed_event_is_answered(hub: HubProcess) -> None:
    """Event operations answer too, as the templates of the standard have it."""
    client = zeep.Client(f"{hub.address}/soap/ReceiveTroubleTickets?wsdl")
    answer = client.service.CreatedTroubleTickets(
        Header=a_header("created"), Payload={"TroubleTickets": a_ticket(client, str(uuid4()))}
    )
    assert answer.Reply.Result == "OK"


@pytest.mark.parametrize("version", ["SOAP", "SOAP12"])
def test_foreign_stack_understands_our_fault(hub: HubProcess, version: str) -> None:
    """A fault must arrive as the exception that the foreign stack has for it, with our reason in it."""
    client = zeep.Client(f"{hub.address}/soap?wsdl")
    service = client.bind("Service", version)
    message = client.create_message(service, "Request", Header=a_header("create"))
    message.getroottree().find(f".//{{{MESSAGE}}}Verb").getparent().remove(message.find(f".//{{{MESSAGE}}}Verb"))
    binding = service._binding
    headers = {"Content-Type": "text/xml" if version == "SOAP" else "application/soap+xml"}
    response = requests.post(f"{hub.address}/soap", etree.tostring(message), headers=headers, timeout=30)
    assert response.status_code == 500
    with pytest.raises(zeep.exceptions.Fault, match="ENV-103"):
        binding.process_reply(client, service._binding._operations["Request"], response)


def test_typed_refusal_is_a_reply(hub: HubProcess) -> None:
    """FAILED is an answer, not an exception: the foreign stack reads result and codes."""
    client = zeep.Client(f"{hub.address}/soap/ExecuteTroubleTickets?wsdl")
    answer = client.service.CancelTroubleTickets(
        Header=a_header("cancel"), Request={"ID": [{"_value_1": str(uuid4()), "kind": "uuid"}]}
    )
    assert answer.Reply.Result == "FAILED"
    assert [error.code for error in answer.Reply.Error] == ["2.15"]


def test_schemas_are_served_where_the_wsdl_says(hub: HubProcess, tmp_path: Path) -> None:
    """Each import in each served document leads to a document."""
    seen: set[str] = set()
    waiting = [f"{hub.address}/soap?wsdl", f"{hub.address}/soap/GetIncidents?wsdl"]
    while waiting:
        address = waiting.pop()
        if address in seen:
            continue
        seen.add(address)
        answer = requests.get(address, timeout=30)
        assert answer.status_code == 200, address
        root = etree.fromstring(answer.content)
        waiting.extend(
            element.get("schemaLocation") for element in root.iter("{*}import") if element.get("schemaLocation")
        )
    assert len(seen) > 10


def test_plain_envelope_by_any_http_client(hub: HubProcess) -> None:
    """`curl --data-binary @file` and nothing else: create, then read back, without SOAP."""
    mrid = str(uuid4())
    header = f"<Noun>TroubleTickets</Noun><Source>CURL</Source><MessageID>{mrid}</MessageID>"
    create = (
        f'<RequestMessage xmlns="{MESSAGE}"><Header><Verb>create</Verb>{header}</Header><Payload>'
        f'<TroubleTickets xmlns="{TICKETS}"><TroubleTicket><mRID>{mrid}</mRID>'
        "<dateTimeOfReport>2026-05-04T09:30:00Z</dateTimeOfReport><Hazards><type>wire down</type></Hazards>"
        "</TroubleTicket></TroubleTickets></Payload></RequestMessage>"
    )
    get = (
        f'<RequestMessage xmlns="{MESSAGE}"><Header><Verb>get</Verb><Noun>TroubleTickets</Noun></Header>'
        f"<Request><ID>{mrid}</ID></Request></RequestMessage>"
    )
    for raw, path in ((create, f"{{{MESSAGE}}}Reply/{{{MESSAGE}}}ID"), (get, f".//{{{TICKETS}}}mRID")):
        headers = {"Content-Type": "application/x-www-form-urlencoded"}  # what curl says if nobody tells it otherwise
        answer = requests.post(f"{hub.address}/messages", raw, headers=headers, timeout=30)
        root = etree.fromstring(answer.content)
        assert (answer.status_code, root.findtext(f".//{{{MESSAGE}}}Result")) == (200, "OK")
        assert root.findtext(path) == mrid
