"""The certificates of section 5: an authority of the peer's own, and the check of the other end's leaf."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from Crypto.Hash import SHA256
from Crypto.PublicKey import ECC
from Crypto.Signature import DSS

from tests.peer import der
from tests.peer.jose import P256_SPKI, p256_spki
from tests.peer.spelling import Misspelt, b64url

#: The one purpose of each certificate.
PURPOSES = {
    "tls-server": "1.3.6.1.5.5.7.3.1",
    "tls-client": "1.3.6.1.5.5.7.3.2",
    "message": "2.25.125992376850277329181432193131182252506.1",
    "receipt": "2.25.125992376850277329181432193131182252506.2",
}

LONGEST_LIFE = 398 * 24 * 3600  # seconds
LONGEST_SERIAL = 20  # octets
SHORTEST_RSA = 3000  # bits

_DAY = 24 * 3600  # seconds
_ORGANISATION = "urn:ecluse:org:"
_ECDSA_SHA256 = der.tlv(der.SEQUENCE, der.oid("1.2.840.10045.4.3.2"))
_SIGNATURES = {
    der.oid(f"1.2.840.10045.4.3.{hashed}") for hashed in (2, 3, 4)
} | {der.oid(f"1.2.840.113549.1.1.{hashed}") for hashed in (11, 12, 13)}  # fmt: skip
_P384 = bytes.fromhex("3076301006072a8648ce3d020106052b81040022036200")
_RSA = der.tlv(der.SEQUENCE, der.oid("1.2.840.113549.1.1.1"), b"\x05\x00")

_SUBJECT_KEY, _KEY_USAGE, _ALT_NAME, _BASIC, _CRL_NUMBER, _AUTHORITY_KEY, _PURPOSE = (
    der.oid(f"2.5.29.{number}") for number in (14, 15, 17, 19, 20, 35, 37)
)
_UNDERSTOOD = {_SUBJECT_KEY, _KEY_USAGE, _ALT_NAME, _BASIC, _AUTHORITY_KEY, _PURPOSE, der.oid("2.5.29.31")}

_DIGITAL_SIGNATURE, _SIGN_CERTIFICATES = der.bits(b"\x80", 7), der.bits(b"\x06", 1)


def ml_dsa_spki(public: bytes) -> bytes:
    """RFC 9881."""
    algorithm = der.tlv(der.SEQUENCE, der.oid("2.16.840.1.101.3.4.3.18"))
    return der.tlv(der.SEQUENCE, algorithm, der.bits(public))


def thumbprint(certificate: bytes) -> str:
    return b64url(hashlib.sha256(certificate).digest())


def pem(label: str, raw: bytes) -> str:
    return f"-----BEGIN {label}-----\n{base64.encodebytes(raw).decode()}-----END {label}-----\n"


class Authority:
    """Issues the certificates of one organisation."""

    def __init__(self, org: str) -> None:
        self._key = ECC.generate(curve="P-256")
        self._org, self._name = org, _name(f"{org} authority")
        self._spki = p256_spki(self._key)
        self._key_id = hashlib.sha1(self._spki, usedforsecurity=False).digest()
        self.certificate = self._issue(
            self._name,
            self._spki,
            _extension(_BASIC, der.tlv(der.SEQUENCE, der.tlv(der.BOOLEAN, b"\xff"), der.integer(0)), True),
            _extension(_KEY_USAGE, _SIGN_CERTIFICATES, True),
            _extension(_SUBJECT_KEY, der.tlv(der.OCTETS, self._key_id)),
        )

    def leaf(self, role: str, spki: bytes, hosts: Sequence[str] = ()) -> bytes:
        """DER of a certificate over this key with the one purpose of its role."""
        names = [der.tlv(0x86, f"{_ORGANISATION}{self._org}".encode())]
        names += [der.tlv(0x82, host.encode()) for host in hosts]
        return self._issue(
            _name(f"{self._org} {role}"),
            spki,
            _extension(_BASIC, der.tlv(der.SEQUENCE), True),
            _extension(_KEY_USAGE, _DIGITAL_SIGNATURE, True),
            _extension(_PURPOSE, der.tlv(der.SEQUENCE, der.oid(PURPOSES[role]))),
            _extension(_ALT_NAME, der.tlv(der.SEQUENCE, *names)),
            _extension(_AUTHORITY_KEY, der.tlv(der.SEQUENCE, der.tlv(0x80, self._key_id))),
        )

    def revocation_list(self) -> bytes:
        """DER of a list that revokes nothing and counts for a week."""
        now = time.time()
        extensions = der.tlv(
            der.SEQUENCE,
            _extension(_AUTHORITY_KEY, der.tlv(der.SEQUENCE, der.tlv(0x80, self._key_id))),
            _extension(_CRL_NUMBER, der.integer(1)),
        )
        return self._sign(
            der.integer(1),
            _ECDSA_SHA256,
            self._name,
            _time(now - 60),
            _time(now + 7 * _DAY),
            der.tlv(0xA0, extensions),
        )

    def _issue(self, subject: bytes, spki: bytes, *extensions: bytes) -> bytes:
        now = time.time()
        return self._sign(
            der.tlv(0xA0, der.integer(2)),
            der.integer(secrets.randbits(120) + 1),
            _ECDSA_SHA256,
            self._name,
            der.tlv(der.SEQUENCE, _time(now - 60), _time(now + 7 * _DAY)),
            subject,
            spki,
            der.tlv(0xA3, der.tlv(der.SEQUENCE, *extensions)),
        )

    def _sign(self, *parts: bytes) -> bytes:
        content = der.tlv(der.SEQUENCE, *parts)
        signature = DSS.new(self._key, "fips-186-3", encoding="der").sign(SHA256.new(content))
        return der.tlv(der.SEQUENCE, content, _ECDSA_SHA256, der.bits(signature))


def _name(common: str) -> bytes:
    attribute = der.tlv(der.SEQUENCE, der.oid("2.5.4.3"), der.tlv(der.UTF8, common.encode()))
    return der.tlv(der.SEQUENCE, der.tlv(der.SET, attribute))


def _extension(name: bytes, value: bytes, critical: bool = False) -> bytes:
    flag = der.tlv(der.BOOLEAN, b"\xff") if critical else b""
    return der.tlv(der.SEQUENCE, name, flag, der.tlv(der.OCTETS, value))


def _time(seconds: float) -> bytes:
    return der.tlv(der.UTC_TIME, datetime.fromtimestamp(seconds, UTC).strftime("%y%m%d%H%M%SZ").encode())


# --- the other end's leaf --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Leaf:
    """A leaf that follows the certificate profile; its path and revocation are the TLS library's business."""

    org: str
    spki: bytes


def read_leaf(certificate: bytes, role: str) -> Leaf:
    """The profile of section 5, for the role the certificate has to have. Raises `Misspelt`."""
    whole = der.first(certificate).children()
    fields = whole[0].children()
    if len(whole) != 3 or [field.tag for field in (fields[0], fields[-1])] != [0xA0, 0xA3]:
        raise Misspelt
    version, serial, algorithm, _, validity, _, key, extensions = fields
    if version.children()[0].content != b"\x02" or not _serial_holds(serial.content):
        raise Misspelt
    begins, ends = (_seconds(moment) for moment in validity.children())
    if ends - begins > LONGEST_LIFE or algorithm.children()[0].raw not in _SIGNATURES:
        raise Misspelt
    _check_key(key)
    names = _check_extensions(extensions.children()[0].children(), role)
    uris = [name.content for name in names if name.tag == 0x86]
    if len(uris) != 1 or any(b"*" in name.content for name in names):
        raise Misspelt
    uri = uris[0].decode("ascii", "replace")
    if not uri.startswith(_ORGANISATION):
        raise Misspelt
    return Leaf(uri.removeprefix(_ORGANISATION), key.raw)


def _serial_holds(raw: bytes) -> bool:
    return len(raw) <= LONGEST_SERIAL and int.from_bytes(raw, "big", signed=True) > 0


def _check_key(key: der.Element) -> None:
    if key.raw.startswith((P256_SPKI, _P384)):
        return
    algorithm, public = key.children()
    if algorithm.raw != _RSA:
        raise Misspelt
    modulus = der.first(public.content[1:]).children()[0].content
    if int.from_bytes(modulus, "big").bit_length() < SHORTEST_RSA:
        raise Misspelt


def _check_extensions(extensions: Sequence[der.Element], role: str) -> list[der.Element]:
    """The names of the certificate, once the rest is as demanded."""
    found: dict[bytes, tuple[bool, der.Element]] = {}
    for extension in extensions:
        name, *rest = extension.children()
        critical = len(rest) == 2
        if name.raw in found or (critical and name.raw not in _UNDERSTOOD):
            raise Misspelt
        found[name.raw] = critical, der.first(rest[-1].content)
    wanted = {
        _BASIC: (True, der.tlv(der.SEQUENCE)),
        _KEY_USAGE: (True, _DIGITAL_SIGNATURE),
        _PURPOSE: (False, der.tlv(der.SEQUENCE, der.oid(PURPOSES[role]))),
    }
    for name_raw, (must, value) in wanted.items():
        critical, element = found.get(name_raw, (False, None))
        if element is None or element.raw != value or (must and not critical):
            raise Misspelt
    if _ALT_NAME not in found:
        raise Misspelt
    return found[_ALT_NAME][1].children()


def _seconds(moment: der.Element) -> float:
    form = "%y%m%d%H%M%SZ" if moment.tag == der.UTC_TIME else "%Y%m%d%H%M%SZ"
    try:
        return datetime.strptime(moment.content.decode("ascii"), form).replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise Misspelt from None
