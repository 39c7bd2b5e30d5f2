"""Signatures of webhooks after the Standard Webhooks scheme: made by the sender, checked by the receiver.

Pure. Three headers go with the body: `webhook-id`, the same in every attempt; `webhook-timestamp`, the instant of the
attempt in whole seconds of Unix time; `webhook-signature`, one `v1,<base64>` for each key, separated by blanks. Signed
is `<id>.<timestamp>.<body>`, by HMAC-SHA256.

Source: Standard Webhooks 1.0.0 (symmetric signatures); webhooks are our own profile.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from cimcare.errors import CimcareError

__all__ = ["SHORTEST_KEY_BYTES", "WebhookError", "parse_secrets", "sign_webhook", "verify_webhook"]

SHORTEST_KEY_BYTES = 24
"""Least length of a key, as the scheme asks for it."""

_PREFIX = "whsec_"
_VERSION = "v1"
_ID, _TIMESTAMP, _SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
_ACCEPTED_KEY = f"base64 of {SHORTEST_KEY_BYTES} bytes or more, behind {_PREFIX} or alone"


class WebhookError(CimcareError):
    """A webhook that does not come from who has the key, or not now. Nothing of it should be believed."""

    code = "NET-115"


def parse_secrets(text: str) -> tuple[bytes, ...]:
    """Keys out of a text that has one a line, such as `whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw`.

    Blank lines and those that begin with `#` do not count.

    Raises:
        ValueError: No key, or a line that is none. The line is named, but not quoted.
    """
    keys = []
    for number, line in enumerate(text.splitlines(), 1):
        secret = line.strip()
        if not secret or secret.startswith("#"):
            continue
        try:
            key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) < SHORTEST_KEY_BYTES:
            raise ValueError(f"line {number} is no key; a key is {_ACCEPTED_KEY}")
        keys.append(key)
    if not keys:
        raise ValueError(f"no key; a key is {_ACCEPTED_KEY}, one a line")
    return tuple(keys)


def sign_webhook(message_id: str, body: bytes, *, keys: Iterable[bytes], now: datetime) -> dict[str, str]:
    """The headers that go with a body; without keys there is no signature.

    `webhook-id` is the MessageID, in which full stops and what a header cannot carry are percent-encoded: a full stop
    would let the parts of what is signed be shifted.

    Args:
        message_id: Header/MessageID.
        body: What is sent, byte for byte.
        keys: One signature is made with each.
        now: Instant of the attempt, aware.
    """
    headers = {
        _ID: quote(message_id, safe="-_~:@/+=").replace(".", "%2E"),
        _TIMESTAMP: str(int(now.timestamp())),
    }
    signatures = [_sign(key, headers[_ID], headers[_TIMESTAMP], body) for key in keys]
    if signatures:
        headers[_SIGNATURE] = " ".join(f"{_VERSION},{signature}" for signature in signatures)
    return headers


def verify_webhook(
    headers: Mapping[str, str],
    body: bytes,
    *,
    secrets: str,
    now: datetime,
    tolerance: timedelta = timedelta(minutes=5),
) -> str:
    """`webhook-id` of a webhook that is authentic and fresh; who has served this identifier before can let it be.

    Args:
        headers: Headers of the request; the case of their names does not matter.
        body: The body as it came, byte for byte, before anything parses it.
        secrets: The shared key as text, `whsec_...`; several, one a line, while keys are exchanged.
        now: Aware instant of receipt.
        tolerance: Widest accepted distance of the timestamp from `now`, either side, bound included.

    Raises:
        WebhookError: A header is missing, the timestamp is too far away, or no signature is by one of the keys.
        ValueError: `secrets` holds no key.
    """
    keys = parse_secrets(secrets)
    given = {name.lower(): value for name, value in headers.items()}
    missing = [name for name in (_ID, _TIMESTAMP, _SIGNATURE) if not given.get(name)]
    if missing:
        raise WebhookError(f"header {', '.join(missing)} missing; a signed webhook has all three")
    identifier, timestamp = given[_ID], given[_TIMESTAMP]
    _require_fresh(timestamp, now=now, tolerance=tolerance)
    expected = [_sign(key, identifier, timestamp, body).encode() for key in keys]
    for signature in given[_SIGNATURE].split():
        version, _, value = signature.partition(",")
        # All are compared, so that the time taken does not tell which key came close.
        if version == _VERSION and sum(
            hmac.compare_digest(value.encode("utf-8", "surrogateescape"), each) for each in expected
        ):
            return identifier
    raise WebhookError(
        f"{_SIGNATURE} is by none of the keys; it has to be {_VERSION},<base64 of HMAC-SHA256 over id.timestamp.body>."
        " Hint: the body must be the bytes as they came"
    )


def _require_fresh(timestamp: str, *, now: datetime, tolerance: timedelta) -> None:
    """A captured webhook that is sent again later is not taken."""
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 11):
        raise WebhookError(f"{_TIMESTAMP} is no whole number of seconds")
    sent_at = datetime.fromtimestamp(int(timestamp), UTC)
    if abs(now - sent_at) > tolerance:
        raise WebhookError(
            f"{_TIMESTAMP} is {sent_at.isoformat()}, {abs(now - sent_at)} from now; accepted up to {tolerance}."
            " Hint: compare clocks"
        )


def _sign(key: bytes, identifier: str, timestamp: str, body: bytes) -> str:
    content = f"{identifier}.{timestamp}.".encode("utf-8", "surrogateescape") + body
    return base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode("ascii")
