"""validate, convert and sample."""

import json
import re
from pathlib import Path

import pytest
from lxml import etree

from cimcare.codec.payload import render_payload
from cimcare.model.nouns import NOUNS, Noun
from cimcare.model.verbs import Verb
from cimcare.samples import build_payload
from tests.unit.cli.conftest import Run

FORMS = {"--xml": "xml", "--soap": "soap11", "--soap12": "soap12", "--json": "json"}
SHARED = Path(__file__).resolve().parents[4] / "shared" / "reference" / "samples"
LINE = re.compile(r"^-:\d+: /\S+: [A-Z]{3}-\d{3} .+; .+; .+$")


def a_sample(run: Run, noun: Noun = Noun.TROUBLE_TICKETS, *arguments: object) -> bytes:
    result = run("sample", noun, *arguments)
    assert result.exit_code == 0
    assert result.stderr == ""
    return result.stdout_bytes


# --------------------------------------------------------------------------------------------------- sample


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("noun", Noun)
def test_every_sample_is_valid_in_every_form(run: Run, noun: Noun, form: str) -> None:
    """`cimcare sample N | cimcare validate -` is what everybody tries first; it must hold for each verb."""
    for verb in Verb:
        for seed in (0, 1):
            raw = a_sample(run, noun, "--verb", verb, form, "--seed", seed)
            result = run("validate", "-", stdin=raw)
            assert (result.exit_code, result.stderr) == (0, ""), (verb, seed, result.stdout)
            assert re.match(rf"^-: valid: .*\b{verb} ", result.stdout), result.stdout
            assert "checked: " in result.stdout


def test_same_seed_same_bytes(run: Run) -> None:
    """Tests of others lean on samples, so they may not change by themselves."""
    assert a_sample(run, Noun.INCIDENTS, "--seed", 3) == a_sample(run, Noun.INCIDENTS, "--seed", 3)
    assert a_sample(run, Noun.INCIDENTS, "--seed", 3) != a_sample(run, Noun.INCIDENTS, "--seed", 4)
    assert a_sample(run) == a_sample(run, Noun.TROUBLE_TICKETS, "--verb", "create", "--seed", 0, "--xml")


@pytest.mark.parametrize("alias", [alias for entry in NOUNS.values() for alias in entry.aliases])
def test_sample_takes_other_names_of_a_noun(run: Run, alias: str) -> None:
    """People type the singular."""
    assert run("sample", alias).exit_code == 0


def test_sample_of_an_unknown_noun_names_the_known(run: Run) -> None:
    """The answer to a typing error is the list."""
    result = run("sample", "MeterReadings")
    assert (result.exit_code, result.stdout) == (2, "")
    assert all(noun in result.stderr for noun in Noun)


# ------------------------------------------------------------------------------------------------- validate


def test_finding_says_where_what_and_why(run: Run) -> None:
    """file:line: path: CODE found; accepted; clause, and nothing on stderr: editors jump by this."""
    raw = a_sample(run).replace(b"<Verb>create</Verb>", b"\n<Verb>crate</Verb>")
    result = run("validate", "-", stdin=raw)
    assert (result.exit_code, result.stderr) == (1, "")
    (line,) = result.stdout.splitlines()
    assert LINE.match(line)
    assert line.startswith("-:3: /RequestMessage/Header/Verb: SCH-104 ")
    assert "crate" in line


def test_each_file_is_judged(run: Run) -> None:
    """One bad file among many: it is named, the others are said to be valid, the code says no."""
    Path("good.xml").write_bytes(a_sample(run))
    Path("bad.xml").write_bytes(a_sample(run)[:-200])
    result = run("validate", "good.xml", "bad.xml")
    assert result.exit_code == 1
    good, bad = result.stdout.splitlines()
    assert good.startswith("good.xml: valid: RequestMessage create TroubleTickets; checked: ")
    assert bad.startswith("bad.xml:2: /: XML-101 ")


def test_a_finding_is_one_line_whatever_was_found(run: Run) -> None:
    """A value with line breaks must not break the list into pieces."""
    raw = a_sample(run).replace(b"<Verb>create</Verb>", b"<Verb>cre\n\n\tate</Verb>")
    result = run("validate", "-", stdin=raw)
    assert result.exit_code == 1
    assert all(LINE.match(line) for line in result.stdout.splitlines())


def test_json_for_programs(run: Run) -> None:
    """One document, with all that the lines say."""
    Path("good.xml").write_bytes(a_sample(run))
    Path("bad.xml").write_bytes(a_sample(run).replace(b"<Noun>TroubleTickets</Noun>", b""))
    result = run("validate", "--json", "good.xml", "bad.xml")
    assert result.exit_code == 1
    good, bad = json.loads(result.stdout)
    assert (good["file"], good["valid"], good["findings"]) == ("good.xml", True, [])
    assert good["title"] == "create TroubleTickets"
    assert len(good["checked"]) >= 4
    assert (bad["file"], bad["valid"]) == ("bad.xml", False)
    (finding,) = bad["findings"]
    assert set(finding) == {"line", "path", "code", "level", "found", "accepted", "clause", "forgiven"}
    assert (finding["code"], finding["level"], finding["forgiven"]) == ("SCH-102", "FATAL", False)


@pytest.mark.parametrize("name", ["missing.xml", "."])
def test_unreadable_file_is_wrong_use(run: Run, name: str) -> None:
    """A file that is not there is not an invalid message."""
    for command in (["validate", name], ["convert", "--to", "json", name], ["send", name, "--to", "http://localhost"]):
        result = run(*command)
        assert (result.exit_code, result.stdout) == (2, "")
        assert f"{name}: cannot be read" in result.stderr


@pytest.mark.parametrize(
    "raw", [b"", b" ", b"\x00", b"\xff\xfe", b"text", b"{", b"[]", b'{"message": 1}', b"<a/>", b"\xef\xbb\xbf"]
)
def test_nonsense_is_a_finding(run: Run, raw: bytes) -> None:
    """Whatever is piped in gets an answer, never a traceback."""
    result = run("validate", "-", stdin=raw)
    assert (result.exit_code, result.stderr) == (1, "")
    assert re.match(r"^-(:\d+)?: .+: [A-Z]{3}-\d{3} ", result.stdout)


def test_a_file_without_end_is_refused(run: Run) -> None:
    """Named by mistake, a device must not fill the memory."""
    result = run("validate", "/dev/zero")
    assert result.exit_code == 1
    assert "XML-103" in result.stdout


def test_lenient_says_what_it_forgave(run: Run) -> None:
    """A partner's dialect can be taken, but nobody should take it unknowingly."""
    raw = a_sample(run).replace(
        b"http://iec.ch/TC57/2011/schema/message", b"http://www.iec.ch/TC57/2008/schema/message"
    )
    raw = raw.replace(b"<Verb>create</Verb>", b"<Verb>CREATE</Verb>")
    assert run("validate", "-", stdin=raw).exit_code == 1
    result = run("validate", "--lenient", "-", stdin=raw)
    assert result.exit_code == 0
    *forgiven, verdict = result.stdout.splitlines()
    assert [re.sub(r".*: (LEN-\d+) .*", r"\1", line) for line in forgiven] == ["LEN-102", "LEN-101"]
    assert all(line.startswith("forgiven: -:") for line in forgiven)
    assert verdict.startswith("-: valid: RequestMessage create TroubleTickets")
    (judged,) = json.loads(run("validate", "--lenient", "--json", "-", stdin=raw).stdout)
    assert judged["valid"]
    assert all(finding["forgiven"] for finding in judged["findings"])


@pytest.mark.parametrize("noun", Noun)
def test_bare_payload_is_judged_for_a_verb(run: Run, noun: Noun) -> None:
    """A payload by itself does not say whether it is whole; `--verb create` asks for all mandatory members."""
    whole = render_payload(build_payload(noun))
    part = render_payload(build_payload(noun, partial=True))
    empty = f'<{noun} xmlns="{NOUNS[noun].namespace}"/>'.encode()
    assert run("validate", "--verb", "create", "-", stdin=whole).exit_code == 0
    for raw in (whole, part, empty):
        result = run("validate", "-", stdin=raw)
        assert (result.exit_code, result.stdout.partition(";")[0]) == (0, f"-: valid: payload {noun}")
    result = run("validate", "--verb", "create", "-", stdin=empty)
    if noun in (Noun.TROUBLE_TICKETS, Noun.INCIDENTS, Noun.CUSTOMER_AGREEMENTS):
        assert result.exit_code == 1
        assert f"/{noun}: SCH-102 " in result.stdout
    else:  # the profile lets the other three be empty; that a create is about something is a rule of the message
        assert result.exit_code == 0


def test_own_schemas_decide(run: Run) -> None:
    """Who owns the official schema validates with it: option, or variable of the environment."""
    space = NOUNS[Noun.TROUBLE_TICKETS].namespace
    Path("own").mkdir()
    Path("own/TroubleTickets.xsd").write_text(
        f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="{space}"'
        ' elementFormDefault="qualified">'
        '<xs:element name="TroubleTickets"><xs:complexType><xs:sequence><xs:element name="other"/></xs:sequence>'
        "</xs:complexType></xs:element></xs:schema>"
    )
    raw = a_sample(run)
    assert run("validate", "-", stdin=raw).exit_code == 0
    result = run("validate", "--schema-dir", "own", "-", stdin=raw)
    assert result.exit_code == 1
    assert "SCH-101" in result.stdout


@pytest.mark.parametrize(
    "content", ["<x/>", "no XML", "<xs:schema xmlns:xs='http://www.w3.org/2001/XMLSchema'><xs:element/>"]
)
def test_unusable_own_schema_is_wrong_use(run: Run, content: str) -> None:
    """The file is named, so that it can be mended."""
    Path("own").mkdir()
    Path("own/bad.xsd").write_text(content)
    result = run("validate", "--schema-dir", "own", "-", stdin=a_sample(run))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "bad.xsd" in result.stderr
    assert "SET-103" in result.stderr
    assert run("validate", "--schema-dir", "missing", "-").exit_code == 2


VERDICTS = {
    "01-create-troubleticket-request": ["SCH-106"],
    "02-create-troubleticket-response-ok": [],
    "03-create-troubleticket-response-failed": [],
    "04-created-troubleticket-event": ["SCH-106"],
    "05-get-incidents-request-by-id": [],
    "06-get-incidents-response": ["SCH-106"],
    "07-execute-operationset-request": ["SCH-106", "SCH-106"],
    "08-get-customeragreements-async-request": ["SCH-106"],
    "09-fault-message": [],
    "10-changed-incidents-event-compressed": ["SCH-106"],
}
"""The ten envelopes of the reference: their payloads have placeholder namespaces, which is the one thing wrong."""


@pytest.mark.parametrize("lenient", [False, True], ids=["strict", "lenient"])
def test_reference_envelopes_are_judged_rightly(run: Run, lenient: bool) -> None:
    """Envelopes written by others: the envelope passes, the payload is said to be of no known schema."""
    files = sorted(SHARED.glob("*.xml"))
    if not files:
        pytest.skip("the reference samples are not beside this project")
    result = run("validate", "--json", *(["--lenient"] if lenient else []), *files)
    assert result.exit_code == 1
    judged = {
        Path(one["file"]).stem: [finding["code"] for finding in one["findings"] if finding["level"] == "FATAL"]
        for one in json.loads(result.stdout)
    }
    assert judged == VERDICTS


# -------------------------------------------------------------------------------------------------- convert


@pytest.mark.parametrize("noun", Noun)
def test_convert_there_and_back(run: Run, noun: Noun) -> None:
    """No form loses anything: through all four and back to the first, the bytes are the same."""
    for verb in Verb:
        first = a_sample(run, noun, "--verb", verb)
        raw = first
        for form in ("json", "soap11", "soap12", "json", "soap12", "xml"):
            result = run("convert", "--to", form, stdin=raw)
            assert (result.exit_code, result.stderr) == (0, ""), (verb, form)
            raw = result.stdout_bytes
        assert raw == first


def test_convert_of_each_form_is_what_sample_writes(run: Run) -> None:
    """There is one way to write a message."""
    for option, form in FORMS.items():
        assert run("convert", "-", "--to", form, stdin=a_sample(run)).stdout_bytes == a_sample(
            run, Noun.TROUBLE_TICKETS, option
        )


def test_convert_reads_a_file(run: Run) -> None:
    """By name as well as from a pipe."""
    Path("m.xml").write_bytes(a_sample(run))
    assert json.loads(run("convert", "m.xml", "--to", "json").stdout)["message"] == "RequestMessage"


@pytest.mark.parametrize("raw", [b"", b"<a/>", b"{", b'{"message": "Nonsense"}', b"\xff"])
def test_convert_of_nonsense_says_no(run: Run, raw: bytes) -> None:
    """Nothing on stdout that somebody could take for a message."""
    result = run("convert", "--to", "xml", stdin=raw)
    assert (result.exit_code, result.stdout) == (1, "")
    assert re.search(r"[A-Z]{3}-\d{3}", result.stderr)


def test_convert_writes_no_broken_xml(run: Run) -> None:
    """An extension in JSON is a text that only claims to be XML; it must not break out of its place."""
    message = json.loads(a_sample(run, Noun.TROUBLE_TICKETS, "--json"))
    for text in ("</Payload>", "<a", "<!DOCTYPE a>", "<a xmlns='relative'/>", "\x00"):
        message["Payload"]["content"] = [{"noun": "*", "xml": text}]
        result = run("convert", "--to", "xml", stdin=json.dumps(message).encode())
        assert (result.exit_code, result.stdout) == (1, ""), text


def test_convert_lenient_writes_the_standard_form(run: Run) -> None:
    """A partner's dialect in, the standard out; what was forgiven stands on stderr, out of the way."""
    raw = a_sample(run).replace(b"<Verb>create</Verb>", b"<Verb>Create</Verb>")
    assert run("convert", "--to", "xml", stdin=raw).exit_code == 1
    result = run("convert", "--to", "xml", "--lenient", stdin=raw)
    assert result.exit_code == 0
    assert result.stdout_bytes == a_sample(run)
    assert "LEN-101" in result.stderr


def test_convert_keeps_unknown_elements(run: Run) -> None:
    """What we do not know is somebody else's business, and passes through JSON unharmed."""
    raw = a_sample(run).replace(b"</Header>", b'<x:y xmlns:x="urn:x" z="1">\xc3\xa4<x:w/></x:y></Header>')
    as_json = run("convert", "--to", "json", stdin=raw).stdout_bytes
    back = run("convert", "--to", "xml", stdin=as_json).stdout_bytes
    assert etree.tostring(etree.fromstring(back), method="c14n") == etree.tostring(etree.fromstring(raw), method="c14n")


def test_fault_becomes_a_soap_fault_and_comes_back(run: Run) -> None:
    """A FaultMessage travels in the detail of a fault."""
    fault = (
        b'<FaultMessage xmlns="http://iec.ch/TC57/2011/schema/message"><Reply><Result>FAILED</Result>'
        b"<Error><code>1.8</code><reason>broken</reason></Error></Reply></FaultMessage>"
    )
    for form in ("soap11", "soap12"):
        soap = run("convert", "--to", form, stdin=fault).stdout_bytes
        assert b"Fault>" in soap
        assert run("validate", "-", stdin=soap).exit_code == 0
        assert fault in run("convert", "--to", "xml", stdin=soap).stdout_bytes
