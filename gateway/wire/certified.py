"""A key record and the certificate in it: that they speak of one key, before two persons approve them together."""

from __future__ import annotations

import hashlib

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.errors import MalformedMessage, RequestInvalid
from gateway.model.party import KeyRecord
from gateway.wire import mldsa
from gateway.wire.strict import b64url, b64url_decode


def require_certified(record: KeyRecord) -> None:
    """Hold a key record against its certificate; one that has none says nothing that could be wrong.

    1. one certificate: DER (RFC 5280 §4.1) in canonical base64url, with a key that can be read;
    2. its key is the record's ``public``, in the form of the record's algorithm;
    3. ``x5t`` is the SHA-256 of its bytes (RFC 7515 §4.1.8).

    Raises `RequestInvalid`. Not checked: who issued it, its profile, and whether it is valid now, which is asked when
    the key is used.
    """
    if not record.certificate:
        return
    # (1)
    try:
        der = b64url_decode(record.certificate)
        key = x509.load_der_x509_certificate(der).public_key()
        certified = _public_text(key)
    except (MalformedMessage, ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion, Warning):
        raise RequestInvalid("the certificate of a key record cannot be read") from None
    # (2)
    if isinstance(key, MLDSA65PublicKey) != (record.alg == mldsa.ALG) or certified != record.public:
        raise RequestInvalid("the certificate of a key record is another key's")
    # (3)
    if record.x5t != b64url(hashlib.sha256(der).digest()):
        raise RequestInvalid("the thumbprint in a key record is another certificate's")


def _public_text(key: CertificatePublicKeyTypes) -> str:
    """The form that key records hold."""
    if isinstance(key, MLDSA65PublicKey):
        return mldsa.public_text(key)
    return b64url(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
