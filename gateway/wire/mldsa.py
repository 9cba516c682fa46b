"""ML-DSA-65 in JOSE (RFC 9964, FIPS 204): the second signature of profile ``hybrid``.

The context is empty, as RFC 9964 demands; ``typ`` separates the purposes, as it does for ES256. Signing is hedged
(FIPS 204 §3.4), so unlike with ES256 no two signatures are alike: a seal is stored, never made again.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey

from gateway.errors import ConfigInvalid, MalformedMessage, SignatureInvalid
from gateway.wire.strict import b64url, b64url_decode

ALG: Literal["ML-DSA-65"] = "ML-DSA-65"
SEED_BYTES = 32  # the private key as key files hold it (ξ of FIPS 204 §5.1; ``priv`` of an AKP key)
PUBLIC_BYTES = 1952  # FIPS 204 table 2
SIGNATURE_BYTES = 3309  # FIPS 204 table 2


def private_key(seed: bytes) -> MLDSA65PrivateKey:
    """The private key of a 32-byte random seed; raises `ConfigInvalid` for one of another length."""
    if len(seed) != SEED_BYTES:
        raise ConfigInvalid("the seed of an ML-DSA key has 32 bytes")
    return MLDSA65PrivateKey.from_seed_bytes(seed)


def public_text(key: MLDSA65PublicKey) -> str:
    """1952 raw bytes in base64url: the form key records hold (``pub`` of an AKP key)."""
    return b64url(key.public_bytes_raw())


@lru_cache(maxsize=256)  # public keys of the directory
def load_raw(public: str) -> MLDSA65PublicKey:
    """The public key from its 1952 bytes in base64url; raises `ConfigInvalid`."""
    try:
        raw = b64url_decode(public)
    except MalformedMessage:
        raise ConfigInvalid("a public key is not raw bytes in base64url") from None
    if len(raw) != PUBLIC_BYTES:
        raise ConfigInvalid("a public key for ML-DSA-65 has 1952 bytes")
    return MLDSA65PublicKey.from_public_bytes(raw)


def verify(message: bytes, signature: bytes, key: MLDSA65PublicKey) -> None:
    """Raise `SignatureInvalid` unless the signature holds, with the empty context."""
    if len(signature) != SIGNATURE_BYTES:
        raise SignatureInvalid("the signature value is out of range")
    try:
        key.verify(signature, message)
    except InvalidSignature:
        raise SignatureInvalid("the signature does not hold") from None
