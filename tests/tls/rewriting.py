"""Certificates that no library of today would make: parts of one replaced, and signed again by its authority."""

from __future__ import annotations

from collections.abc import Callable

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

#: AlgorithmIdentifiers in DER (RFC 3279 §2.2.3, RFC 5758 §3.2).
ECDSA_SHA1 = bytes.fromhex("300906072a8648ce3d0401")
ECDSA_SHA384 = bytes.fromhex("300a06082a8648ce3d040303")

SERIAL, SIGNATURE = 1, 2  # positions in TBSCertificate, after the version (RFC 5280 §4.1)


def rewritten(
    certificate: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    position: int,
    part: Callable[[bytes], bytes],
    *,
    algorithm: bytes = ECDSA_SHA384,
    digest: hashes.HashAlgorithm | None = None,
) -> bytes:
    """The certificate, PEM, with one part of its TBSCertificate replaced, and signed anew."""
    parts = _children(certificate.tbs_certificate_bytes)
    parts[position] = part(parts[position])
    tbs = _tlv(0x30, b"".join(parts))
    signature = key.sign(tbs, ec.ECDSA(digest or hashes.SHA384()))
    der = _tlv(0x30, tbs + algorithm + _tlv(0x03, b"\0" + signature))
    return ssl_pem(der)


def ssl_pem(der: bytes) -> bytes:
    """PEM around DER that `cryptography` would not read."""
    import ssl

    return ssl.DER_cert_to_PEM_cert(der).encode()


def negative(serial: bytes) -> bytes:
    """The INTEGER with its sign bit set (X.690 §8.3)."""
    return serial[:2] + bytes([serial[2] | 0x80]) + serial[3:]


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _children(sequence: bytes) -> list[bytes]:
    """The elements of a SEQUENCE, whole."""
    at, end = _content(sequence, 0)
    found = []
    while at < end:
        _, stop = _content(sequence, at)
        found.append(sequence[at:stop])
        at = stop
    return found


def _content(raw: bytes, at: int) -> tuple[int, int]:
    """Where the content of the element at this place begins and ends (X.690 §8.1.3)."""
    length, start = raw[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        length, start = int.from_bytes(raw[start : start + count], "big"), start + count
    return start, start + length


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content
