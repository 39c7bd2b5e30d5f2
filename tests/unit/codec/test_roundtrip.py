"""Any value survives XML and JSON; any valid document comes back canonically equal; equal values give equal bytes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from cimcare.codec.digest import digest_of
from cimcare.codec.envelope import glimpse_header, parse_message, render_message
from cimcare.codec.json_body import parse_json, parse_json_payload, render_json, render_json_payload
from cimcare.codec.limits import parse_xml
from cimcare.codec.payload import parse_payload, render_payload
from cimcare.codec.soap import SoapVersion, read_soap, render_soap
from cimcare.errors import InputError
from cimcare.model.envelope import AnyMessage, FaultMessage
from cimcare.model.nouns import ENTRIES, Noun, PayloadRoot, Query
from cimcare.model.verbs import Verb
from cimcare.samples.build import build_message
from tests.support.strategies import messages, structures

ROOTS = [entry.payload for entry in ENTRIES] + [entry.query for entry in ENTRIES]


def canonical(raw: bytes) -> bytes:
    return etree.tostring(parse_xml(raw), method="c14n")


@pytest.mark.parametrize("root", ROOTS, ids=lambda root: root.__name__)
@given(data=st.data())
def test_any_payload_survives_xml_and_json(root: type[PayloadRoot | Query], data: st.DataObject) -> None:
    value = data.draw(structures(root))
    written = render_payload(value)
    assert parse_payload(written) == value
    assert render_payload(parse_payload(written)) == written
    assert parse_json_payload(render_json_payload(value)) == value


@given(message=messages())
def test_any_message_survives_xml_json_and_soap(message: AnyMessage) -> None:
    written = render_message(message)
    assert parse_message(written) == message
    assert render_message(parse_message(written)) == written
    assert parse_json(render_json(message)) == message
    if not isinstance(message, FaultMessage):
        body = read_soap(parse_xml(render_soap(message, SoapVersion.V12)))
        assert body.element is not None
        assert parse_message(etree.tostring(body.element)) == message


@pytest.mark.parametrize("verb", list(Verb))
@pytest.mark.parametrize("noun", list(Noun))
def test_any_valid_document_comes_back_canonically_equal(noun: Noun, verb: Verb) -> None:
    """What a partner sent and what we pass on must be the same document, whatever prefixes it used."""
    document = render_message(build_message(noun, verb, seed=7))
    foreign = with_prefixes(document)
    assert canonical(with_prefixes(render_message(parse_message(foreign)))) == canonical(foreign)
    assert parse_message(foreign) == parse_message(document)


@given(message=messages())
def test_any_document_with_foreign_prefixes_comes_back_canonically_equal(message: AnyMessage) -> None:
    """The same for documents that nobody thought of: texts, extensions and instants of all sorts."""
    foreign = with_prefixes(render_message(message))
    assert canonical(with_prefixes(render_message(parse_message(foreign)))) == canonical(foreign)


def with_prefixes(raw: bytes) -> bytes:
    """The same document with a prefix for every namespace, as other tools write it."""
    root = parse_xml(raw)
    spaces = sorted({etree.QName(element).namespace or "" for element in root.iter()})
    prefixes = {f"n{number}": space for number, space in enumerate(spaces)}
    copy = etree.Element(root.tag, nsmap=prefixes)
    copy.text = root.text
    for child in root:
        copy.append(child)
    etree.cleanup_namespaces(copy, top_nsmap=prefixes)
    return etree.tostring(copy)


@given(message=messages())
def test_a_header_is_glimpsed_whatever_the_rest(message: AnyMessage) -> None:
    """An answer to a message whose content is refused needs these texts."""
    glimpse = glimpse_header(parse_xml(render_message(message)))
    assert glimpse.archetype == type(message).__name__
    if not isinstance(message, FaultMessage):
        assert glimpse.verb == message.header.verb
        assert (glimpse.source or "") == (message.header.source or "").strip()


@given(message=messages())
def test_a_digest_does_not_depend_on_the_form(message: AnyMessage) -> None:
    """A repeat over another transport is still a repeat."""
    assert digest_of(parse_json(render_json(message))) == digest_of(parse_message(render_message(message)))


def test_a_digest_forgets_what_each_attempt_makes_anew_and_nothing_else() -> None:
    message = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=1)
    text = render_message(message).decode()
    stamp = text[text.index("<Timestamp>") : text.index("</Timestamp>")]
    later = parse_message(text.replace(stamp, "<Timestamp>2031-03-01T00:00:00Z").encode())
    assert digest_of(later) == digest_of(message)
    other = build_message(Noun.TROUBLE_TICKETS, Verb.CREATE, seed=2)
    assert digest_of(other) != digest_of(message)


def test_elements_in_another_order_are_still_read() -> None:
    """The schema refuses them; the reader, which may stand behind another schema, does not lose them."""
    space = "http://iec.ch/TC57/2014/TroubleTickets#"
    ordered = f"<TroubleTickets xmlns='{space}'><TroubleTicket><mRID>1</mRID><comment>c</comment><Names><name>n</name></Names></TroubleTicket></TroubleTickets>"  # noqa: E501
    mixed = f"<TroubleTickets xmlns='{space}'><TroubleTicket><Names><name>n</name></Names><comment>c</comment><mRID>1</mRID></TroubleTicket></TroubleTickets>"  # noqa: E501
    assert parse_payload(mixed.encode()) == parse_payload(ordered.encode())


def test_unknown_elements_keep_their_place() -> None:
    space = "http://iec.ch/TC57/2014/TroubleTickets#"
    document = (
        f'<TroubleTickets xmlns="{space}"><v:first xmlns:v="urn:v">1</v:first><TroubleTicket><mRID>1</mRID>'
        f'<v:second xmlns:v="urn:v" a="b"><deep>&lt;</deep></v:second><ours>x</ours><comment>c</comment>'
        f"</TroubleTicket></TroubleTickets>"
    ).encode()
    value = parse_payload(document)
    assert canonical(render_payload(value)) == canonical(document)
    assert parse_payload(render_payload(value)) == value


@pytest.mark.parametrize(
    ("inner", "code"),
    [
        ("<TroubleTicket><comment>a<b>c</b></comment></TroubleTicket>", "COD-103"),
        ("<TroubleTicket><comment><mRID>c</mRID></comment></TroubleTicket>", "COD-103"),
        ("<TroubleTicket><Names/></TroubleTicket>", "COD-104"),
        ("<TroubleTicket><reportingKind>pigeon</reportingKind></TroubleTicket>", "COD-101"),
    ],
)
def test_what_cannot_be_held_is_refused(inner: str, code: str) -> None:
    raw = f'<TroubleTickets xmlns="http://iec.ch/TC57/2014/TroubleTickets#">{inner}</TroubleTickets>'.encode()
    with pytest.raises(InputError) as caught:
        parse_payload(raw)
    assert caught.value.finding.code == code
    assert caught.value.finding.path.startswith("/TroubleTickets")


def test_an_unknown_root_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"SCH-106 element \{urn:x\}Tickets; one of .*TroubleTickets"):
        parse_payload(b'<Tickets xmlns="urn:x"/>')


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"", "$"),
        (b"{", "$"),
        (b"[" * 100_000, "$"),
        (b'{"message": "RequestMessage"}', "$"),
        (b'{"message": "Letter", "Header": {}}', "$.message"),
        (b'{"message": "EventMessage", "Header": {"Verb": "created", "Noun": 7}}', "$.Header.Noun"),
        (b'{"message": "EventMessage", "Header": {"Verb": "created", "Noun": "x", "Nuon": 1}}', "$.Header"),
    ],
)
def test_json_that_does_not_fit_is_refused_with_its_place(raw: bytes, path: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_json(raw)
    assert caught.value.finding.code == "COD-105"
    assert caught.value.finding.path == path


def test_json_bears_the_names_of_the_xml() -> None:
    text = json.loads(render_json(build_message(Noun.INCIDENTS, Verb.CREATED, seed=3)))
    assert text["message"] == "EventMessage"
    assert text["Payload"]["content"][0]["noun"] == "Incidents"
    assert "mRID" in text["Payload"]["content"][0]["Incident"][0]
