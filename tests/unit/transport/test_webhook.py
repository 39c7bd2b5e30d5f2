"""Signatures of webhooks: what is signed, and what a receiver refuses."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest

from cimcare.transport.webhook import WebhookError, parse_secrets, sign_webhook, verify_webhook

SENT_AT = datetime.fromtimestamp(1_674_087_231, UTC)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + base64.b64encode(b"o" * 32).decode()
BODY = b'{"message":"EventMessage"}'
KEYS = parse_secrets(SECRET)


def signed(message_id: str = "m-1", *, keys: tuple[bytes, ...] = KEYS) -> dict[str, str]:
    return sign_webhook(message_id, BODY, keys=keys, now=SENT_AT)


def verified(headers: dict[str, str], *, secrets: str = SECRET, body: bytes = BODY, seconds: float = 0) -> str:
    return verify_webhook(headers, body, secrets=secrets, now=SENT_AT + timedelta(seconds=seconds))


def test_signature_is_as_the_scheme_says() -> None:
    """Receivers use the library of their language, so the bytes that are signed are not ours to choose."""
    headers = signed()
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    expected = base64.b64encode(hmac.digest(key, b"m-1.1674087231." + BODY, hashlib.sha256)).decode()
    assert headers == {
        "webhook-id": "m-1",
        "webhook-timestamp": "1674087231",
        "webhook-signature": f"v1,{expected}",
    }


def test_signature_of_the_published_example() -> None:
    """The vector that the libraries of the scheme are tested with."""
    body = b'{"test": 2432232314}'
    instant = datetime.fromtimestamp(1_614_265_330, UTC)
    headers = sign_webhook("msg_p5jXN8AQM9LWM0D4loKWxJek", body, keys=KEYS, now=instant)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_what_was_signed_is_authentic() -> None:
    """The identifier comes back, by which a receiver knows a repeat."""
    assert verified(signed()) == "m-1"
    assert verified({name.title(): value for name, value in signed().items()}) == "m-1"


def test_keys_are_exchanged_without_a_gap() -> None:
    """While both ends know both keys, either end may forget the old one first."""
    both = signed(keys=parse_secrets(f"{OTHER}\n{SECRET}"))
    assert both["webhook-signature"].count("v1,") == 2
    assert verified(both) == "m-1"
    assert verified(both, secrets=OTHER) == "m-1"
    assert verified(signed(), secrets=f"{OTHER}\n{SECRET}\n") == "m-1"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"webhook-id": "m-2"}, "by none of the keys"),
        ({"webhook-timestamp": "1674087232"}, "by none of the keys"),
        ({"webhook-signature": "v1,AAAA"}, "by none of the keys"),
        ({"webhook-signature": "v1,\udce4"}, "by none of the keys"),
        ({"webhook-signature": "v1"}, "by none of the keys"),
        ({"webhook-id": ""}, "header webhook-id missing"),
        ({"webhook-signature": ""}, "header webhook-signature missing"),
        ({"webhook-timestamp": "now"}, "no whole number"),
        ({"webhook-timestamp": "-5"}, "no whole number"),
        ({"webhook-timestamp": "9" * 40}, "no whole number"),
        ({"webhook-timestamp": "¹"}, "no whole number"),
        ({"webhook-timestamp": "0"}, "1970.*compare clocks"),
    ],
)
def test_anything_changed_is_refused(changes: dict[str, str], said: str) -> None:
    """Every header is under the signature; what is missing or nonsense is named."""
    with pytest.raises(WebhookError, match=said) as caught:
        verified(signed() | changes)
    assert caught.value.code == "NET-115"


def test_another_version_of_signatures_is_no_proof() -> None:
    """A signature counts as what it says it is."""
    headers = signed()
    headers["webhook-signature"] = headers["webhook-signature"].replace("v1,", "v1a,")
    with pytest.raises(WebhookError, match="by none"):
        verified(headers)


def test_another_body_or_key_is_refused() -> None:
    """That is what it is for; the hint names the most common mistake."""
    with pytest.raises(WebhookError, match="bytes as they came"):
        verified(signed(), body=BODY + b" ")
    with pytest.raises(WebhookError, match="by none"):
        verified(signed(), secrets=OTHER)


@pytest.mark.parametrize(("seconds", "is_fresh"), [(300, True), (-300, True), (301, False), (-301, False)])
def test_what_was_captured_is_not_taken_later(seconds: int, is_fresh: bool) -> None:
    """Five minutes either side, bound included."""
    if is_fresh:
        assert verified(signed(), seconds=seconds) == "m-1"
    else:
        with pytest.raises(WebhookError, match=r"0:05:01 from now; accepted up to 0:05:00"):
            verified(signed(), seconds=seconds)


def test_tolerance_is_the_receivers_choice() -> None:
    """Clocks of the field are what they are."""
    late = SENT_AT + timedelta(hours=1)
    assert verify_webhook(signed(), BODY, secrets=SECRET, now=late, tolerance=timedelta(hours=2)) == "m-1"


def test_identifier_cannot_shift_what_is_signed() -> None:
    """With a full stop in it, the end of an identifier could be passed off as the timestamp."""
    headers = signed("a.1674087231\r\nx: ü %")
    assert headers["webhook-id"] == "a%2E1674087231%0D%0Ax:%20%C3%BC%20%25"
    assert verified(headers) == headers["webhook-id"]


def test_without_keys_there_is_no_signature() -> None:
    """The other two headers tell a repeat all the same."""
    assert signed(keys=()) == {"webhook-id": "m-1", "webhook-timestamp": "1674087231"}


def test_secrets_stand_one_a_line() -> None:
    """With or without the prefix; blank lines and remarks do not count."""
    text = f"# since June\n{SECRET}\n\n  {OTHER.removeprefix('whsec_')}  \n"
    assert parse_secrets(text) == (base64.b64decode(SECRET.removeprefix("whsec_")), b"o" * 32)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no key"),
        ("# nothing\n\n", "no key"),
        ("whsec_no base64", "line 1 is no key"),
        (f"{SECRET}\nwhsec_c2hvcnQ=", "line 2 is no key"),
        ("passwörter-die-lang-genug-wären", "line 1"),
    ],
)
def test_what_is_no_key_is_refused_without_being_shown(text: str, said: str) -> None:
    """The message goes into logs, and the line may hold most of a key."""
    with pytest.raises(ValueError, match=said) as caught:
        parse_secrets(text)
    assert "base64 of 24 bytes or more" in str(caught.value)
    assert all(line not in str(caught.value) for line in text.splitlines() if line)
