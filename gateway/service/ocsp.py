"""OCSP (RFC 6960): the question, the check of the answer, and the one exchange with a responder.

No nonce: responders sign their answers in advance (RFC 5019), and an old answer ends with its ``nextUpdate``, which
is at most `MAX_VALIDITY` after its ``thisUpdate``; whoever keeps answers takes none older than the newest it ever had.
The question names a certificate that partner and responder both know, so nothing is told that is not public between
them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import aiohttp
from aiohttp.abc import AbstractResolver
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from certs.profiles import UNREADABLE, check_strength
from gateway.errors import GatewayError, PartnerUnreachable, UnknownPartner

#: Seconds for one exchange with a responder.
TIMEOUT_S = 10.0

#: An answer over one certificate, with a responder's certificate in it, is some 2 KB.
MAX_ANSWER = 32 * 1024

#: How far a responder's clock may be ahead of ours.
SKEW = timedelta(minutes=5)

#: Longest from ``thisUpdate`` to ``nextUpdate``: the CA/Browser Forum's bound (Baseline Requirements §4.9.10). A "good"
#: that was valid for years would outlive any revocation after it.
MAX_VALIDITY = timedelta(days=10)

Status = Literal["good", "revoked", "unknown"]

_STATUS: dict[ocsp.OCSPCertStatus, Status] = {
    ocsp.OCSPCertStatus.GOOD: "good",
    ocsp.OCSPCertStatus.REVOKED: "revoked",
    ocsp.OCSPCertStatus.UNKNOWN: "unknown",
}
_DIGESTS = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


@dataclass(frozen=True, slots=True)
class OcspAnswer:
    """Proof that `verify_answer` found a responder's word on one certificate authentic. Its age is the user's check."""

    status: Status
    this_update: datetime
    next_update: datetime


def question(certificate: x509.Certificate, issuer: x509.Certificate) -> bytes:
    """The question about one certificate, DER. SHA-256 names the issuer (RFC 6960 §4.3 leaves the choice).

    Raises `UnknownPartner`, rule ``ocsp``, for certificates that nothing can be asked about.
    """
    try:
        builder = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, hashes.SHA256())
        return builder.build().public_bytes(Encoding.DER)
    except UNREADABLE:
        raise _refused("the certificate cannot be asked about") from None


def verify_answer(
    raw: bytes, certificate: x509.Certificate, issuer: x509.Certificate, *, now: datetime
) -> OcspAnswer:
    """Check a responder's answer (RFC 6960 §3.2).

    1. a successful response of one answer, in DER;
    2. about this certificate: serial number, and digests of its issuer's name and key;
    3. signed with SHA-2 by that issuer, or by a responder that this issuer delegated (§4.2.2.2);
    4. it says when the next one is due, at most `MAX_VALIDITY` later, and does not come from the future.

    Raises `UnknownPartner`, rule ``ocsp``. Not checked: whether the next one is overdue, which the user holds against
    its grace, and whether there was a newer one, which the user remembers.
    """
    try:
        return _verified(ocsp.load_der_ocsp_response(raw), certificate, issuer, now)
    except UNREADABLE:  # the library reads each part when it is asked for
        raise _refused("the answer is not an OCSP response") from None


def _verified(
    response: ocsp.OCSPResponse, certificate: x509.Certificate, issuer: x509.Certificate, now: datetime
) -> OcspAnswer:
    # (1)
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise _refused("the responder has no answer")
    answers = list(response.responses)
    if len(answers) != 1:
        raise _refused("the answer is not about one certificate")
    # (2)
    answer = answers[0]
    if (
        answer.serial_number != certificate.serial_number
        or not isinstance(answer.hash_algorithm, hashes.SHA256)
        or answer.issuer_name_hash != hashlib.sha256(certificate.issuer.public_bytes()).digest()
        or answer.issuer_key_hash != hashlib.sha256(_key_bits(issuer)).digest()
    ):
        raise _refused("the answer is about another certificate")
    # (3)
    digest = response.signature_hash_algorithm
    if not isinstance(digest, _DIGESTS):
        raise _refused("the answer is not signed with SHA-256, SHA-384 or SHA-512")
    signer = _signer(response, issuer, now)
    _require_signed(signer, response.signature, response.tbs_response_bytes, digest)
    # (4)
    due = answer.next_update_utc
    if due is None or not answer.this_update_utc < due or answer.this_update_utc > now + SKEW:
        raise _refused("the answer does not say when it was made and when the next one is due")
    if due - answer.this_update_utc > MAX_VALIDITY:
        raise _refused("the answer is valid for too long")
    return OcspAnswer(_STATUS[answer.certificate_status], answer.this_update_utc, due)


async def ask(url: str, asked: bytes, resolver: Callable[[], AbstractResolver] | None = None) -> bytes:
    """One exchange with a responder (RFC 6960 appendix A.1), bounded in time and size; nothing is followed or kept.

    Raises `PartnerUnreachable`.
    """
    connector = aiohttp.TCPConnector(resolver=resolver() if resolver else None, force_close=True)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    headers = {"Content-Type": "application/ocsp-request", "User-Agent": "gw"}
    try:
        async with (
            aiohttp.ClientSession(
                connector=connector, timeout=timeout, trust_env=False, auto_decompress=False
            ) as session,
            session.post(url, data=asked, headers=headers, allow_redirects=False) as response,
        ):
            raw = b""
            while len(raw) <= MAX_ANSWER and (more := await response.content.read(MAX_ANSWER)):
                raw += more
            if response.status != 200 or len(raw) > MAX_ANSWER:
                raise PartnerUnreachable("the responder gives no answer")
            return raw
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
        raise PartnerUnreachable("the responder does not answer") from None


def _signer(response: ocsp.OCSPResponse, issuer: x509.Certificate, now: datetime) -> x509.Certificate:
    """The issuer itself, or the delegate in the response that names itself as the responder (RFC 6960 §4.2.2.2):

    1. directly signed by that issuer, with a strong key, and valid now;
    2. for OCSP signing and nothing else, and no authority;
    3. marked as needing no revocation check of its own: there is nobody we could ask (§4.2.2.2.1).
    """
    if _names(response, issuer):
        return issuer
    delegate = next((one for one in response.certificates if _names(response, one)), None)
    if delegate is None:
        raise _refused("the answer's responder is neither the issuer nor in the answer")
    try:
        # (1)
        delegate.verify_directly_issued_by(issuer)
        check_strength(delegate)
        extensions = delegate.extensions
        purposes = list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
        # (3)
        extensions.get_extension_for_class(x509.OCSPNoCheck)
    except (*UNREADABLE, InvalidSignature, x509.ExtensionNotFound, GatewayError):
        raise _refused("the answer's responder was not delegated by the issuer") from None
    if not delegate.not_valid_before_utc <= now <= delegate.not_valid_after_utc:
        raise _refused("the certificate of the answer's responder is not valid now")
    # (2)
    authority = any(isinstance(e.value, x509.BasicConstraints) and e.value.ca for e in extensions)
    if purposes != [ExtendedKeyUsageOID.OCSP_SIGNING] or authority:
        raise _refused("the certificate of the answer's responder is not for OCSP signing alone")
    return delegate


def _names(response: ocsp.OCSPResponse, certificate: x509.Certificate) -> bool:
    """Whether the ResponderID is this certificate's: by name, or by the SHA-1 of its key (RFC 6960 §4.2.1)."""
    if response.responder_key_hash is not None:
        return response.responder_key_hash == hashlib.sha1(_key_bits(certificate)).digest()  # noqa: S324 - a name
    return response.responder_name == certificate.subject


def _require_signed(
    signer: x509.Certificate, signature: bytes, signed: bytes, digest: hashes.HashAlgorithm
) -> None:
    key = signer.public_key()
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, signed, ec.ECDSA(digest))
            return
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, signed, padding.PKCS1v15(), digest)
            return
    except InvalidSignature:
        pass
    raise _refused("the answer is not signed by its responder")


def _key_bits(certificate: x509.Certificate) -> bytes:
    """The subjectPublicKey without tag, length and unused bits, which OCSP digests (RFC 6960 §4.1.1)."""
    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return key.public_bytes(Encoding.DER, PublicFormat.PKCS1)


def _refused(detail: str) -> UnknownPartner:
    return UnknownPartner(detail, diagnostic={"rule": "ocsp"})
