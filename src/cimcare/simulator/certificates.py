"""Certificates that a simulated partner makes for itself, good and bad ones, from an authority of its own.

In the folder stand `ca.pem`, which whoever connects has to trust, `ca-key.pem`, and `server.pem`, made anew each time.
"""

import os
import ssl
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cimcare.simulator.acts import BehaviourError
from cimcare.simulator.behaviours import CertificateKind

__all__ = ["AUTHORITY", "server_context"]

AUTHORITY = "ca.pem"
"""File of the certificate to trust."""

_KEY = "ca-key.pem"
_SERVER = "server.pem"
_CA_DAYS = 3650
_SERVER_DAYS = 30
_LEEWAY = timedelta(hours=1)
"""Clocks of two machines differ."""

_OTHER_NAME = "somebody-else.invalid"


class _Authority:
    """An authority: its key and its certificate."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self.key = key
        self.certificate = certificate

    @classmethod
    def make(cls, name: str, now: datetime) -> "_Authority":
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _LEEWAY)
            .not_valid_after(now + timedelta(days=_CA_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(key, certificate)

    @classmethod
    def find(cls, folder: Path, now: datetime) -> "_Authority":
        """That of the folder; a new one where there is none or it is over. Raises BehaviourError, OSError."""
        file, key_file = folder / AUTHORITY, folder / _KEY
        if file.exists() and key_file.exists():
            try:
                key = serialization.load_pem_private_key(key_file.read_bytes(), None)
                certificate = x509.load_pem_x509_certificate(file.read_bytes())
            except (ValueError, TypeError) as error:
                raise BehaviourError(f"{folder}: {AUTHORITY} and {_KEY} are no authority ({error})") from error
            if not isinstance(key, ec.EllipticCurvePrivateKey):
                raise BehaviourError(f"{key_file}: no key of ours; name another folder")
            if certificate.not_valid_after_utc > now + timedelta(days=_SERVER_DAYS):
                return cls(key, certificate)
        made = cls.make("cimcare simulated partners", now)
        _write_secret(key_file, _pem_of(made.key))
        file.write_bytes(made.certificate.public_bytes(serialization.Encoding.PEM))
        return made

    def issue(self, names: tuple[str, ...], begins: datetime, ends: datetime) -> bytes:
        """Certificate and key for a server of these names, in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        authority = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])]))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM) + _pem_of(key)


def server_context(folder: Path, kind: CertificateKind, *, host: str, now: datetime) -> ssl.SSLContext:
    """TLS of a server with a certificate of that kind; the folder is made if it is not there.

    Args:
        folder: Where authority and certificate stand.
        kind: What is wrong with the certificate, if anything.
        host: Address on which it listens; the certificate also names `localhost`, 127.0.0.1 and ::1.
        now: Instant, aware.

    Raises:
        BehaviourError: The folder holds something else under these names.
        OSError: It cannot be read or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    authority = _Authority.find(folder, now)
    if kind is CertificateKind.UNKNOWN_ISSUER:
        authority = _Authority.make("an authority that nobody knows", now)
    names = tuple(dict.fromkeys((host, "localhost", "127.0.0.1", "::1")))
    begins, ends = now - _LEEWAY, now + timedelta(days=_SERVER_DAYS)
    if kind is CertificateKind.EXPIRED:
        begins, ends = now - timedelta(days=_SERVER_DAYS), now - timedelta(days=1)
    elif kind is CertificateKind.OTHER_NAME:
        names = (_OTHER_NAME,)
    file = folder / _SERVER
    _write_secret(file, authority.issue(names, begins, ends))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write_secret(file: Path, content: bytes) -> None:
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
        opened.write(content)
