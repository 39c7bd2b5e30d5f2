"""The form of a message: read in whichever it comes, answered in the same."""

import pytest

from cimcare.codec.envelope import DRAFT_NAMESPACE, render_message
from cimcare.codec.json_body import render_json
from cimcare.codec.soap import SoapVersion, TypedNames, render_soap
from cimcare.errors import InputError
from cimcare.model.envelope import (
    AnyMessage,
    EventMessage,
    FaultMessage,
    Header,
    Message,
    Reply,
    ReplyError,
    RequestMessage,
    ResponseMessage,
    Result,
)
from cimcare.model.nouns import NOUNS, Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_message
from cimcare.simulator.forms import Form, guess_form, read_any

CREATE = build_message(Noun.INCIDENTS, Verb.CREATE)
TYPED = TypedNames(noun=Noun.INCIDENTS, namespace=NOUNS[Noun.INCIDENTS].message_namespace, operation="CreateIncidents")
FAULT = FaultMessage(reply=Reply(result=Result.FAILED, error=(ReplyError(code="5.3"),)))
FORMS = {
    "xml": (render_message(CREATE), "application/xml"),
    "json": (render_json(CREATE), "application/json"),
    "soap11": (render_soap(CREATE, SoapVersion.V11), "text/xml"),
    "soap12": (render_soap(CREATE, SoapVersion.V12), "application/soap+xml"),
    "soap-typed": (render_soap(CREATE, SoapVersion.V11, typed=TYPED), "text/xml"),
}


@pytest.mark.parametrize("name", FORMS)
def test_each_form_is_read_and_answered_in_itself(name: str) -> None:
    """Who asks in one form understands no other; a fault has to be understood above all."""
    raw, content_type = FORMS[name]
    message, form = read_any(raw, content_type)
    assert (message, form.name) == (CREATE, name)
    fault = form.render_fault(FAULT, server=True)
    assert b"5.3" in fault
    assert guess_form(raw, "").content_type.partition(";")[0] == form.content_type.partition(";")[0]
    assert (b"Envelope" in fault) is name.startswith("soap")


def test_older_namespaces_are_answered_in_themselves() -> None:
    """A system of the late drafts reads nothing else."""
    _, form = read_any(render_message(CREATE, namespace=DRAFT_NAMESPACE), "text/xml")
    assert form == Form(namespace=DRAFT_NAMESPACE)


@pytest.mark.parametrize(
    ("verb", "kind"),
    [(Verb.CREATE, RequestMessage), (Verb.CREATED, EventMessage), (Verb.REPLY, ResponseMessage)],
)
def test_the_generic_message_is_what_its_verb_says(verb: Verb, kind: type[AnyMessage]) -> None:
    """Intermediaries send it in the place of all others."""
    reply = Reply(result=Result.OK) if verb is Verb.REPLY else None
    generic = Message(header=Header(verb=verb, noun="Incidents"), reply=reply)
    message, _ = read_any(render_message(generic), "")
    assert isinstance(message, kind)
    assert message.header == generic.header


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (render_message(FAULT), "ENV-101"),
        (render_json(FAULT), "ENV-101"),
        (render_message(Message(header=Header(verb=Verb.REPLY, noun="Incidents"))), "CNV-115"),
        (
            b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault>'
            b"<faultcode>x</faultcode></s:Fault></s:Body></s:Envelope>",
            "ENV-101",
        ),
    ],
)
def test_what_nobody_says_to_a_partner_is_refused(raw: bytes, code: str) -> None:
    """A fault is an answer, and an answer without a result is none."""
    with pytest.raises(InputError) as caught:
        read_any(raw, "")
    assert caught.value.finding.code == code
