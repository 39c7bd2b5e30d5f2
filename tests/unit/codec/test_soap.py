"""SOAP: every body shape met in the field gives the same message; answers and faults have the form of their version."""

import pytest
from lxml import etree

from cimcare.codec.envelope import MESSAGE_NAMESPACE, parse_message, read_message, write_element
from cimcare.codec.limits import parse_xml
from cimcare.codec.soap import (
    ABSTRACT_NAMESPACE,
    BodyShape,
    SoapVersion,
    TypedNames,
    is_soap,
    read_soap,
    render_soap,
    render_soap_fault,
)
from cimcare.codec.values import escape_text
from cimcare.errors import InputError
from cimcare.model.envelope import (
    FaultMessage,
    Header,
    Operation,
    OperationSet,
    Payload,
    Reply,
    ReplyError,
    RequestMessage,
    ResponseMessage,
    Result,
)
from cimcare.model.nouns import NOUNS, Noun
from cimcare.model.structure import Extension
from cimcare.model.trouble_ticket import TroubleTicket, TroubleTickets
from cimcare.model.verbs import Verb

REQUEST = RequestMessage(
    header=Header(verb=Verb.CREATE, noun="TroubleTickets", source="CIS"),
    payload=Payload(content=(TroubleTickets(trouble_ticket=(TroubleTicket(comment="a <b> & c"),)),), format="XML"),
)
XML = write_element(REQUEST)
INNER = XML[XML.index(">") + 1 : XML.rindex("<")]
FAULT = FaultMessage(reply=Reply(result=Result.FAILED, error=(ReplyError(code="1.8", details="line 3"),)))
TYPED = TypedNames(
    noun=Noun.TROUBLE_TICKETS,
    namespace=NOUNS[Noun.TROUBLE_TICKETS].message_namespace,
    operation="CreateTroubleTickets",
)


def in_body(content: str, version: SoapVersion = SoapVersion.V11, header: str = "") -> etree._Element:
    return parse_xml(f'<s:Envelope xmlns:s="{version}">{header}<s:Body>{content}</s:Body></s:Envelope>'.encode())


SHAPES = {
    BodyShape.MESSAGE: XML,
    BodyShape.WRAPPER: f'<m:Request xmlns:m="{MESSAGE_NAMESPACE}" xmlns="{MESSAGE_NAMESPACE}">{INNER}</m:Request>',
    BodyShape.NESTED: (
        f'<a:Request xmlns:a="{ABSTRACT_NAMESPACE}"><message xmlns="{MESSAGE_NAMESPACE}">{INNER}</message></a:Request>'
    ),
    BodyShape.TEXT: f'<v:Send xmlns:v="urn:vendor"><v:arg0>{escape_text(XML)}</v:arg0></v:Send>',
}


@pytest.mark.parametrize("version", list(SoapVersion), ids=lambda version: version.name)
@pytest.mark.parametrize("shape", list(SHAPES), ids=lambda shape: shape.name)
def test_every_body_shape_holds_the_same_message(shape: BodyShape, version: SoapVersion) -> None:
    body = read_soap(in_body(SHAPES[shape], version))
    assert body.shape is shape
    assert body.version is version
    assert body.element is not None
    assert read_message(body.element) == REQUEST


def test_a_message_element_in_the_abstract_namespace_is_a_shape_too() -> None:
    inner = f'<a:message xmlns="{MESSAGE_NAMESPACE}">{INNER}</a:message>'
    content = f'<a:Request xmlns:a="{ABSTRACT_NAMESPACE}">{inner}</a:Request>'
    body = read_soap(in_body(content))
    assert body.element is not None
    assert read_message(body.element) == REQUEST


@pytest.mark.parametrize("version", list(SoapVersion), ids=lambda version: version.name)
def test_typed_messages_come_back_as_they_were_sent(version: SoapVersion) -> None:
    written = render_soap(REQUEST, version, typed=TYPED)
    assert b":CreateTroubleTickets" in written
    body = read_soap(parse_xml(written))
    assert body.typed == TYPED
    assert body.element is not None
    assert read_message(body.element) == REQUEST


def test_the_outer_elements_of_a_typed_message_are_in_the_namespace_of_its_noun() -> None:
    """The children of Header are not: their types come from the common schema."""
    root = parse_xml(render_soap(REQUEST, SoapVersion.V11, typed=TYPED))
    outer = {etree.QName(element).localname: etree.QName(element).namespace for element in root.iter()}
    for name in ("CreateTroubleTickets", "Header", "Payload", "Format"):
        assert outer[name] == TYPED.namespace
    assert outer["Verb"] == MESSAGE_NAMESPACE


def test_typed_answers_and_faults_have_the_names_of_the_noun() -> None:
    answer = ResponseMessage(header=Header(verb=Verb.REPLY, noun="TroubleTickets"), reply=Reply(result=Result.OK))
    body = read_soap(parse_xml(render_soap(answer, SoapVersion.V12, typed=TYPED)))
    assert body.operation == "TroubleTicketsResponseMessage"
    assert body.element is not None
    assert read_message(body.element) == answer
    fault = read_soap(parse_xml(render_soap_fault(FAULT, SoapVersion.V11, reason="no", typed=TYPED)))
    assert fault.element is not None
    assert read_message(fault.element) == FAULT


@pytest.mark.parametrize("version", list(SoapVersion), ids=lambda version: version.name)
@pytest.mark.parametrize(("server", "side"), [(False, "the sender"), (True, "the receiver")])
def test_a_fault_says_whose_it_is(version: SoapVersion, server: bool, side: str) -> None:
    body = read_soap(parse_xml(render_soap_fault(FAULT, version, reason="not <well>-formed", server=server)))
    codes = {
        (SoapVersion.V11, False): "soap:Client",
        (SoapVersion.V11, True): "soap:Server",
        (SoapVersion.V12, False): "soap:Sender",
        (SoapVersion.V12, True): "soap:Receiver",
    }
    assert body.fault is not None, side
    assert body.fault.code == codes[version, server]
    assert body.fault.reason == "not <well>-formed"
    assert body.element is not None
    assert read_message(body.element) == FAULT


def test_a_fault_without_message_is_still_a_fault() -> None:
    body = read_soap(parse_xml(render_soap_fault(None, SoapVersion.V11, reason="x", code="MustUnderstand")))
    assert body.element is None
    assert body.fault is not None
    assert body.fault.code == "soap:MustUnderstand"


def test_header_blocks_that_must_be_understood_are_listed() -> None:
    header = '<s:Header><w:Security xmlns:w="urn:w" s:mustUnderstand="1"/><w:Other xmlns:w="urn:w"/></s:Header>'
    assert read_soap(in_body(XML, header=header)).not_understood == ("{urn:w}Security",)


@pytest.mark.parametrize(
    "content",
    ["", '<x xmlns="urn:x"/>', '<x xmlns="urn:x">text</x>', f'<m:Request xmlns:m="{MESSAGE_NAMESPACE}"/>'],
)
def test_a_body_without_message_is_refused(content: str) -> None:
    with pytest.raises(InputError, match="ENV-108"):
        read_soap(in_body(content))


def test_a_text_that_is_broken_xml_is_refused_as_such() -> None:
    with pytest.raises(InputError, match="XML-101"):
        read_soap(in_body("<x>&lt;RequestMessage&gt;</x>"))


def test_other_roots_are_no_soap() -> None:
    assert not is_soap(parse_xml(XML.encode()))
    assert not is_soap(parse_xml(b'<Envelope xmlns="http://www.w3.org/2001/06/soap-envelope"/>'))
    with pytest.raises(InputError, match="ENV-108"):
        read_soap(parse_xml(XML.encode()))


def test_an_extension_does_not_catch_the_default_namespace() -> None:
    """A vendor's element without namespace must not slip into ours when it is written."""
    vendor = Extension(xml='<x:a xmlns:x="urn:x"><b></b></x:a>')
    message = RequestMessage(
        header=Header(verb=Verb.GET, noun="Incidents", extensions=(Extension(xml=vendor.xml, after=2),)),
        payload=Payload(content=(vendor,)),
    )
    written = write_element(message)
    root = parse_xml(written.encode())
    assert [element.tag for element in root.iter("b")] == ["b", "b"]
    assert parse_message(written.encode()) == message


@pytest.mark.parametrize(
    "payload",
    [
        Payload(compressed="H4sI", format="XML"),
        Payload(operation_set=OperationSet(operation=(Operation(operation_id=1, noun="x", verb="create"),))),
    ],
)
def test_a_typed_message_without_noun_content_has_an_empty_noun_element(payload: Payload) -> None:
    """The typed payload is a sequence that begins with the noun; the generic one is a choice."""
    message = RequestMessage(header=REQUEST.header, payload=payload)
    root = parse_xml(render_soap(message, SoapVersion.V11, typed=TYPED))
    noun = root.find(f".//{{{NOUNS[Noun.TROUBLE_TICKETS].namespace}}}TroubleTickets")
    assert noun is not None
    assert len(noun) == 0
    body = read_soap(root)
    assert body.element is not None
    assert read_message(body.element) == message
