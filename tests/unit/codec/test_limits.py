"""Input that is not yet trusted: what is refused, with which code, before it can do harm."""

import base64
import gzip

import pytest

from cimcare.codec.limits import Limits, parse_xml, unpack
from cimcare.errors import InputError

BOMB = b"""<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><l>&c;&c;&c;</l>"""
EXTERNAL = b"""<!DOCTYPE l [<!ENTITY x SYSTEM "file:///etc/hostname">]><l>&x;</l>"""


def refusal(raw: bytes, limits: Limits | None = None) -> str:
    with pytest.raises(InputError) as caught:
        parse_xml(raw, limits)
    return caught.value.finding.code


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "XML-101"),
        (b"plain text", "XML-101"),
        (b"<a><b></a>", "XML-101"),
        (b"<a/><b/>", "XML-101"),
        (b"<a>&undefined;</a>", "XML-101"),
        (b"<a b='1' b='2'/>", "XML-101"),
        (b"<a>\x01</a>", "XML-101"),
        (b"<!DOCTYPE a><a/>", "XML-102"),
        (b"<?xml version='1.0'?>\n<!-- c -->\n<!DOCTYPE a SYSTEM 'a.dtd'>\n<a/>", "XML-102"),
        (BOMB, "XML-102"),
        (EXTERNAL, "XML-102"),
        ("<!DOCTYPE a><a/>".encode("utf-16"), "XML-102"),
        (b"<a>" * 300 + b"</a>" * 300, "XML-104"),
        (b"<a>\xff\xfe</a>", "XML-106"),
        (b"<?xml version='1.0' encoding='no-such-thing'?><a/>", "XML-106"),
        (b"\xff\xfe\x00", "XML-106"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refuses_with_its_code(raw: bytes, code: str) -> None:
    assert refusal(raw) == code


def test_a_doctype_is_named_with_its_line() -> None:
    with pytest.raises(InputError, match=r"3: /: XML-102 a document type declaration; a document without DOCTYPE"):
        parse_xml(b"<?xml version='1.0'?>\n\n<!DOCTYPE a><a/>")


def test_the_word_doctype_in_a_text_is_harmless() -> None:
    """A customer may say anything."""
    assert parse_xml(b"<a><![CDATA[<!DOCTYPE a>]]></a>").text == "<!DOCTYPE a>"


def test_sizes_and_counts_are_bounded() -> None:
    assert refusal(b"<a>" + b"x" * 100 + b"</a>", Limits(max_bytes=50)) == "XML-103"
    assert refusal(b"<a>" + b"<b></b>" * 100 + b"</a>", Limits(max_elements=50)) == "XML-110"
    many = b" ".join(b'x%d="1"' % number for number in range(60))
    assert refusal(b"<a " + many + b"/>", Limits(max_attributes=50)) == "XML-105"


def test_a_document_within_the_limits_passes() -> None:
    limits = Limits(max_bytes=1000, max_elements=60, max_attributes=10)
    assert len(parse_xml(b"<a>" + b"<b></b>" * 50 + b"</a>", limits)) == 50


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "iso-8859-1"])
def test_encodings_that_xml_allows_are_read(encoding: str) -> None:
    declared = {"utf-8-sig": "utf-8"}.get(encoding, encoding)
    raw = f"<?xml version='1.0' encoding='{declared}'?><a>Zürich</a>".encode(encoding)
    assert parse_xml(raw).text == "Zürich"


def test_comments_and_instructions_do_not_split_a_text() -> None:
    assert parse_xml(b"<a>one<!-- x --> two<?p q?> three</a>").text == "one two three"


def packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()


def test_unpacks_gzip_in_base64_with_blanks() -> None:
    text = packed(b"<a/>")
    assert unpack(f"\n {text[:10]}\n {text[10:]}\n", format_name=None) == b"<a/>"


def test_binary_is_base64_alone() -> None:
    assert unpack(base64.b64encode(b"\x00\x01").decode(), format_name="BINARY") == b"\x00\x01"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("not base64!", "XML-108"),
        (base64.b64encode(b"no gzip").decode(), "XML-108"),
        (base64.b64encode(gzip.compress(b"x" * 1000, mtime=0)[:-9]).decode(), "XML-108"),
        (packed(b"x" * 5000), "XML-107"),
    ],
)
def test_compressed_content_is_refused_with_its_code(text: str, code: str) -> None:
    """A few hundred bytes may unpack to gigabytes: the limit holds while unpacking."""
    with pytest.raises(InputError) as caught:
        unpack(text, format_name="XML", limits=Limits(max_unpacked_bytes=4000))
    assert caught.value.finding.code == code
