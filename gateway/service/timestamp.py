"""Time-stamps (RFC 3161): the request, and the check of the response.

An authority sees a digest and nothing else. Its word is as good as its certificate: the check pins the authority that
the configuration names, and demands of the token what RFC 3161 §2.4.2 and RFC 5816 demand, in DER.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NoReturn

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from certs.profiles import UNREADABLE, check_strength, load_certificate
from gateway.errors import CertificateProfileViolation, MalformedMessage, SignatureInvalid
from gateway.wire.der import (
    BOOLEAN,
    CONTEXT_0,
    CONTEXT_1,
    GENERALIZED_TIME,
    INTEGER,
    OCTETS,
    SEQUENCE,
    SET,
    Value,
    der,
    integer,
    oid,
    read,
)

#: Bytes of a response: a token with three certificates in it is some 6 KB.
MAX_RESPONSE: Final = 64 * 1024

#: How far the authority's clock and ours may be apart, with the way there and back.
SKEW: Final = timedelta(minutes=5)

#: Certificates from the signer to the authority that the configuration names.
MAX_CHAIN: Final = 4

_SIGNED_DATA, _TST_INFO = oid("1.2.840.113549.1.7.2"), oid("1.2.840.113549.1.9.16.1.4")
_CONTENT_TYPE, _DIGEST = oid("1.2.840.113549.1.9.3"), oid("1.2.840.113549.1.9.4")
_SIGNING_CERTIFICATE = oid("1.2.840.113549.1.9.16.2.47")  # version 2: the first one is bound to SHA-1
_WANTED = {_CONTENT_TYPE, _DIGEST, _SIGNING_CERTIFICATE}
_SHA512 = oid("2.16.840.1.101.3.4.2.3")
_DIGESTS: Final[dict[bytes, hashes.HashAlgorithm]] = {
    oid("2.16.840.1.101.3.4.2.1"): hashes.SHA256(),
    oid("2.16.840.1.101.3.4.2.2"): hashes.SHA384(),
    _SHA512: hashes.SHA512(),
}
_RSA: Final = oid("1.2.840.113549.1.1.1")  # rsaEncryption: the digest is the signer's digestAlgorithm
_SIGNATURES: Final = {
    oid("1.2.840.10045.4.3.2"): "sha256",
    oid("1.2.840.10045.4.3.3"): "sha384",
    oid("1.2.840.10045.4.3.4"): "sha512",
    oid("1.2.840.113549.1.1.11"): "sha256",
    oid("1.2.840.113549.1.1.12"): "sha384",
    oid("1.2.840.113549.1.1.13"): "sha512",
}
_TIME = re.compile(rb"(\d{14})(?:\.\d*[1-9])?Z")

#: Extensions that are understood here: any other that is critical refuses (RFC 5280 §4.2).
_UNDERSTOOD = frozenset(
    {ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE, ExtensionOID.EXTENDED_KEY_USAGE}
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request said, which its response must repeat."""

    imprint: bytes  # SHA-512
    nonce: int
    policy: str  # dotted

    def encode(self) -> bytes:
        """The TimeStampReq, which asks for the authority's certificates (§2.4.1)."""
        return der(
            SEQUENCE, integer(1), _imprint(self.imprint), oid(self.policy), integer(self.nonce),
            der(BOOLEAN, b"\xff"),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stamp:
    """Proof that `verify_response` or `verify_archived` found a token authentic: whoever bears this name says that the
    imprint existed at this time. ``until`` is when the first certificate of the chain ends."""

    at: datetime  # whole seconds: a fraction is dropped, which says earlier than the authority did
    by: str
    until: datetime
    chain: tuple[x509.Certificate, ...]  # the signer first, the authority that is trusted last
    policy: bytes
    nonce: int | None


def verify_response(raw: bytes, asked: Asked, trusted: Sequence[x509.Certificate], *, now: datetime) -> Stamp:
    """Check the response to a request.

    1. everything that `verify_archived` checks of a response over this imprint;
    2. it repeats the nonce, and states the policy that was asked for (§2.4.2);
    3. its time is ours, give or take `SKEW`.

    Raises `SignatureInvalid` with the rule that it breaks, `MalformedMessage` for what is no response in DER.
    """
    # (1)
    stamp = verify_archived(raw, asked.imprint, trusted)
    # (2)
    if stamp.nonce != asked.nonce:
        _refuse("nonce", "the time-stamp answers another request")
    if stamp.policy != oid(asked.policy):
        _refuse("policy", "the time-stamp is under another policy")
    # (3)
    if abs(stamp.at - now) > SKEW:
        _refuse("time", "the time-stamp is of another time")
    return stamp


def verify_archived(raw: bytes, imprint: bytes, trusted: Sequence[x509.Certificate]) -> Stamp:
    """Check a response that was kept: of whatever time, under whatever policy.

    1. it is granted, without a failure, and is one DER value of the form of RFC 3161;
    2. the token's content is this imprint, under SHA-512, with no extension;
    3. its one signer's certificate is in it, named by the signed attributes with a SHA-2 digest (RFC 5816);
    4. that certificate is for time-stamping, critically and alone (§2.3), and leads to an authority that is trusted,
       every one of them valid at the token's time and strong;
    5. the signature holds over the attributes, and they over the content.

    Raises as `verify_response` does. Not checked: that the certificate was not revoked since, and that its end has not
    come: whoever reads an archive weighs ``until`` against the next time-stamp.
    """
    if len(raw) > MAX_RESPONSE:
        raise MalformedMessage("the response is too long", diagnostic={"rule": "size"})
    try:
        return _verified(raw, imprint, trusted)
    except (*UNREADABLE, IndexError, OverflowError, CertificateProfileViolation):
        raise MalformedMessage("this is no time-stamp response") from None


def _verified(raw: bytes, imprint: bytes, trusted: Sequence[x509.Certificate]) -> Stamp:
    # (1)
    status, *token = read(raw).inside(SEQUENCE)
    code, *reasons = status.inside(SEQUENCE)
    if code.number() != 0 or any(one.tag != SEQUENCE for one in reasons) or len(token) != 1:
        _refuse("status", "the time-stamp was not granted")
    kind, content = token[0].inside(SEQUENCE)
    version, _, encapsulated, *others, signers = _only(content, CONTEXT_0).inside(SEQUENCE)
    _require_form(kind.raw == _SIGNED_DATA and version.number() == 3)
    certificates = [load_certificate(one.raw) for part in others if part.tag == CONTEXT_0
                    for one in part.members()]  # fmt: skip
    kind, content = encapsulated.inside(SEQUENCE)
    _require_form(kind.raw == _TST_INFO)
    info = _only(content, CONTEXT_0)
    _require_form(info.tag == OCTETS)
    # (2)
    policy, at, nonce = _info(info.content, imprint)
    # (3)
    signer = _only(signers, SET).inside(SEQUENCE)
    version, name, digest, signed, algorithm, value = signer[:6]
    _require_form(version.number() == 1 and value.tag == OCTETS)
    certificate = next((one for one in certificates if _name(one) == name.raw), None)
    if certificate is None:
        _refuse("certificate", "the signer's certificate is not in the time-stamp")
    attributes = _attributes(signed)
    if not _names(attributes[_SIGNING_CERTIFICATE], certificate):
        _refuse("certificate", "the signed attributes name another certificate")
    # (4)
    _require_purpose(certificate)
    chain = _chain(certificate, certificates, trusted, at)
    # (5)
    spoken = _algorithm(digest)
    if attributes[_CONTENT_TYPE].raw != _TST_INFO or attributes[_DIGEST].raw != der(
        OCTETS, _hash(spoken, info.content)
    ):
        _refuse("signature", "the signed attributes are about another content")
    _require_signed(certificate, value.content, der(SET, signed.content), algorithm, spoken)
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    by = str(names[0].value) if names else certificate.subject.rfc4514_string()
    until = min(one.not_valid_after_utc for one in chain)
    return Stamp(at, by, until, chain, policy, nonce)


# --- the token -------------------------------------------------------------------------------------------------------


def _imprint(digest: bytes) -> bytes:
    """MessageImprint; the algorithm has no parameters (RFC 5754 §2)."""
    return der(SEQUENCE, der(SEQUENCE, _SHA512), der(OCTETS, digest))


def _info(raw: bytes, imprint: bytes) -> tuple[bytes, datetime, int | None]:
    """Policy, time and nonce of a TSTInfo (§2.4.2) over this imprint."""
    version, policy, about, _serial, time, *rest = read(raw).inside(SEQUENCE)
    _require_form(version.number() == 1 and time.tag == GENERALIZED_TIME)
    algorithm, digest = about.inside(SEQUENCE)
    if algorithm.inside(SEQUENCE)[0].raw != _SHA512 or digest.raw != der(OCTETS, imprint):
        _refuse("imprint", "the time-stamp is over something else")
    if any(one.tag == CONTEXT_1 for one in rest):
        _refuse("extension", "the time-stamp has an extension")
    if not (match := _TIME.fullmatch(time.content)):
        raise MalformedMessage("the time of the time-stamp has another form")
    at = datetime.strptime(match[1].decode(), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    nonces = [one.number() for one in rest if one.tag == INTEGER]
    return policy.raw, at, nonces[0] if len(nonces) == 1 else None


def _name(certificate: x509.Certificate) -> bytes:
    """IssuerAndSerialNumber (RFC 5652 §10.2.4)."""
    return der(SEQUENCE, certificate.issuer.public_bytes(), integer(certificate.serial_number))


def _attributes(signed: Value) -> dict[bytes, Value]:
    """The value of each signed attribute that counts, which stands there once (RFC 5652 §5.3)."""
    found: dict[bytes, Value] = {}
    for attribute in signed.inside(CONTEXT_0):
        kind, values = attribute.inside(SEQUENCE)
        _require_form(kind.raw not in found)
        found[kind.raw] = values
    if not found.keys() >= _WANTED:
        _refuse("signature", "a signed attribute is missing")
    return {kind: _only(found[kind], SET) for kind in _WANTED}


def _names(attribute: Value, certificate: x509.Certificate) -> bool:
    """Whether the first ESSCertIDv2 is of this certificate; its digest is SHA-256 unless it names one (RFC 5035 §4)."""
    first = attribute.inside(SEQUENCE)[0].inside(SEQUENCE)[0].inside(SEQUENCE)
    algorithm = hashes.SHA256() if first[0].tag == OCTETS else _algorithm(first[0])
    digest = first[0] if first[0].tag == OCTETS else first[1]
    return digest.raw == der(OCTETS, _hash(algorithm, certificate.public_bytes(Encoding.DER)))


def _algorithm(identifier: Value) -> hashes.HashAlgorithm:
    digest = _DIGESTS.get(identifier.inside(SEQUENCE)[0].raw)
    if digest is None:
        _refuse("signature", "a digest is not SHA-256, SHA-384 or SHA-512")
    return digest


def _hash(algorithm: hashes.HashAlgorithm, content: bytes) -> bytes:
    return hashlib.new(algorithm.name, content).digest()


def _require_signed(
    certificate: x509.Certificate,
    signature: bytes,
    signed: bytes,
    algorithm: Value,
    spoken: hashes.HashAlgorithm,
) -> None:
    """ECDSA or RSA with PKCS #1 v1.5, with the very digest that the signer states (RFC 5754 §3)."""
    named, key = algorithm.inside(SEQUENCE)[0].raw, certificate.public_key()
    if named == _RSA or _SIGNATURES.get(named) == spoken.name:
        try:
            if isinstance(key, ec.EllipticCurvePublicKey) and named != _RSA:
                key.verify(signature, signed, ec.ECDSA(spoken))
                return
            if isinstance(key, rsa.RSAPublicKey):
                key.verify(signature, signed, padding.PKCS1v15(), spoken)
                return
        except InvalidSignature:
            pass
    _refuse("signature", "the time-stamp is not signed by its signer")


# --- certificates ----------------------------------------------------------------------------------------------------


def _require_purpose(certificate: x509.Certificate) -> None:
    """RFC 3161 §2.3: the extended key usage is critical, and time-stamping is all of it."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except x509.ExtensionNotFound:
        _refuse("purpose", "the signer's certificate has no purpose")
    if not usage.critical or list(usage.value) != [ExtendedKeyUsageOID.TIME_STAMPING]:
        _refuse("purpose", "the signer's certificate is not for time-stamping alone")


def _chain(
    certificate: x509.Certificate,
    others: Sequence[x509.Certificate],
    trusted: Sequence[x509.Certificate],
    at: datetime,
) -> tuple[x509.Certificate, ...]:
    """From the signer to a trusted authority, over certificates of the token; each valid then (RFC 5280 §6.1)."""
    _require_valid(certificate, at)
    chain = [certificate]
    while len(chain) < MAX_CHAIN:
        anchor = next(_issuers(chain[-1], trusted), None)
        issuer = anchor or next((one for one in _issuers(chain[-1], others) if one not in chain), None)
        if issuer is None:
            break
        _require_valid(issuer, at, below=len(chain) - 1, anchor=anchor is not None)
        chain.append(issuer)
        if anchor is not None:
            return tuple(chain)
    _refuse("certificate", "the signer's certificate leads to no authority that is trusted")


def _issuers(certificate: x509.Certificate, of: Sequence[x509.Certificate]) -> Iterator[x509.Certificate]:
    for one in of:
        try:
            certificate.verify_directly_issued_by(one)
        except (*UNREADABLE, InvalidSignature):
            continue
        yield one


def _require_valid(
    certificate: x509.Certificate, at: datetime, *, below: int | None = None, anchor: bool = False
) -> None:
    """``below``: how many authorities stand between this one and the signer; None for the signer itself."""
    if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
        _refuse("certificate", "a certificate of the chain was not valid at the time of the time-stamp")
    try:
        check_strength(certificate, anchor=anchor)
    except CertificateProfileViolation:
        _refuse("certificate", "a certificate of the chain is too weak")
    may = {one.oid: one.value for one in certificate.extensions}
    basic, usage = may.get(ExtensionOID.BASIC_CONSTRAINTS), may.get(ExtensionOID.KEY_USAGE)
    authority = isinstance(basic, x509.BasicConstraints) and basic.ca
    if below is None:
        fits = not authority and (
            not isinstance(usage, x509.KeyUsage) or usage.digital_signature or usage.content_commitment
        )
    else:
        length = basic.path_length if isinstance(basic, x509.BasicConstraints) else None
        fits = (
            authority
            and (length is None or length >= below)
            and (not isinstance(usage, x509.KeyUsage) or usage.key_cert_sign)
        )
    if not fits or any(one.critical and one.oid not in _UNDERSTOOD for one in certificate.extensions):
        _refuse("certificate", "a certificate of the chain stands where it may not")


# --- refusing --------------------------------------------------------------------------------------------------------


def _only(value: Value, tag: int) -> Value:
    (one,) = value.inside(tag)
    return one


def _require_form(holds: bool) -> None:
    if not holds:
        raise MalformedMessage("this is no time-stamp response")


def _refuse(rule: str, detail: str) -> NoReturn:
    raise SignatureInvalid(detail, diagnostic={"rule": rule})
