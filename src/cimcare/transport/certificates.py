"""When certificates end: of a file in PEM, or of the bytes that a server shows, without trusting them.

Reads no more of a certificate than its validity. Source: RFC 5280, 4.1 (TBSCertificate, Validity).
"""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

__all__ = ["CertificateError", "end_of", "ends_of_file"]

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_SEQUENCE, _UTC_TIME, _GENERALIZED_TIME, _VERSION = 0x30, 0x17, 0x18, 0xA0
_LAST_OF_1900S = 50


class CertificateError(ValueError):
    """Bytes that are no certificate."""


def ends_of_file(file: str) -> tuple[datetime, ...]:
    """When each certificate of a file in PEM ends, in the order of the file.

    Raises:
        OSError: It cannot be read.
        ValueError: It holds no certificate, or one that is none.
    """
    text = Path(file).read_text("ascii", errors="replace")
    ends = tuple(end_of(ssl.PEM_cert_to_DER_cert(f"{block}\n")) for block in _blocks(text))
    if not ends:
        raise CertificateError("no certificate in PEM")
    return ends


def end_of(raw: bytes) -> datetime:
    """When a certificate in DER ends, in UTC. Raises ValueError if it is none."""
    try:
        kind, whole, _ = _element(raw)
        _require(kind, _SEQUENCE)
        kind, body, _ = _element(whole)
        _require(kind, _SEQUENCE)
        kind, _, rest = _element(body)
        if kind == _VERSION:  # optional, before the serial number
            _, _, rest = _element(rest)
        for _ in range(2):  # algorithm of the signature, issuer
            _, _, rest = _element(rest)
        kind, validity, _ = _element(rest)
        _require(kind, _SEQUENCE)
        _, _, rest = _element(validity)
        kind, text, _ = _element(rest)
        return _instant(kind, text.decode("ascii"))
    except (IndexError, UnicodeDecodeError) as error:
        raise CertificateError("no certificate") from error


def _blocks(text: str) -> Iterator[str]:
    start = text.find(_BEGIN)
    while start >= 0:
        end = text.find(_END, start)
        if end < 0:
            raise CertificateError("a certificate in PEM without its end")
        yield text[start : end + len(_END)]
        start = text.find(_BEGIN, end)


def _element(raw: bytes) -> tuple[int, bytes, bytes]:
    """Tag, content, and what stands behind it."""
    tag, length, start = raw[0], raw[1], 2
    if length & 0x80:
        size = length & 0x7F
        length, start = int.from_bytes(raw[2 : 2 + size], "big"), 2 + size
    if start + length > len(raw):
        raise CertificateError("a certificate that is cut off")
    return tag, raw[start : start + length], raw[start + length :]


def _require(found: int, wanted: int) -> None:
    if found != wanted:
        raise CertificateError("no certificate")


def _instant(kind: int, text: str) -> datetime:
    if kind == _UTC_TIME:
        century = "20" if int(text[:2]) < _LAST_OF_1900S else "19"
        text = century + text
    else:
        _require(kind, _GENERALIZED_TIME)
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
