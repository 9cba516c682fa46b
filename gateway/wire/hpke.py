"""Suite ``hpke-mlkem768-x25519-a256gcm``: HPKE (RFC 9180, base mode) with the hybrid KEM MLKEM768-X25519.

``info`` binds the preamble into the key schedule. HPKE proves nothing about the sender: the seal inside does.
"""

from __future__ import annotations

import hashlib
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import mlkem, x25519
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from gateway.errors import ConfigInvalid, MalformedMessage
from gateway.wire.strict import b64url_decode

SUITE: Literal["hpke-mlkem768-x25519-a256gcm"] = "hpke-mlkem768-x25519-a256gcm"
OVERHEAD = 1088 + 32 + 16  # bytes: ML-KEM-768 ciphertext, X25519 share, AES-GCM tag

KEM_SEED_BYTES = 32
_KEM_PUBLIC_BYTES = 1184 + 32  # ML-KEM-768 encapsulation key ‖ X25519 public key

_INFO = b"ecluse/hpke/1\n"
_HPKE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


# --- keys of the KEM -------------------------------------------------------------------------------------------------


def kem_private(seed: bytes) -> MLKEM768X25519PrivateKey:
    """The private key of a 32-byte random seed, the form key files hold (X-Wing §5.2: SHAKE256 gives d ‖ z ‖ x).

    Raises `ConfigInvalid` for a seed of another length. The caller draws it: the core makes no chance of its own.
    """
    return MLKEM768X25519PrivateKey(*_components(seed))


def kem_public_bytes(seed: bytes) -> bytes:
    """The public key of a seed: ML-KEM-768 encapsulation key ‖ X25519 public key, 1216 bytes (X-Wing §5.3)."""
    mlkem_key, x25519_key = _components(seed)
    return mlkem_key.public_key().public_bytes_raw() + x25519_key.public_key().public_bytes_raw()


def kem_public(raw: bytes) -> MLKEM768X25519PublicKey:
    """The public key from its 1216 bytes; raises `ConfigInvalid`."""
    if len(raw) != _KEM_PUBLIC_BYTES:
        raise ConfigInvalid("an encryption key has 1216 bytes")
    try:
        return MLKEM768X25519PublicKey(
            mlkem.MLKEM768PublicKey.from_public_bytes(raw[:-32]),
            x25519.X25519PublicKey.from_public_bytes(raw[-32:]),
        )
    except ValueError:
        raise ConfigInvalid("an encryption key is not a valid MLKEM768-X25519 key") from None


def _components(seed: bytes) -> tuple[mlkem.MLKEM768PrivateKey, x25519.X25519PrivateKey]:
    if len(seed) != KEM_SEED_BYTES:
        raise ConfigInvalid("the seed of an encryption key has 32 bytes")
    expanded = hashlib.shake_256(seed).digest(96)
    return (
        mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:64]),
        x25519.X25519PrivateKey.from_private_bytes(expanded[64:]),
    )


# --- encryption ------------------------------------------------------------------------------------------------------


def _info(preamble: bytes) -> bytes:
    return _INFO + hashlib.sha256(preamble).digest()


def encrypt(preamble: bytes, plaintext: bytes, public: str) -> bytes:
    """The ciphertext for the holder of ``public`` (1216 bytes, base64url), bound to these preamble bytes.

    Raises `MalformedMessage` for a key that is not base64url, `ConfigInvalid` for one that cannot be used.
    """
    key = kem_public(b64url_decode(public))
    try:
        return _HPKE.encrypt(plaintext, key, info=_info(preamble))
    except ValueError:  # an X25519 share of small order (RFC 7748 §6.1)
        raise ConfigInvalid("the encryption key cannot be used") from None


def decrypt(preamble: bytes, ciphertext: bytes, private_key: MLKEM768X25519PrivateKey) -> bytes:
    """The plaintext; raises `MalformedMessage` when it does not open under exactly this preamble."""
    try:
        return _HPKE.decrypt(ciphertext, private_key, info=_info(preamble))
    except (InvalidTag, ValueError):
        raise MalformedMessage("the message does not open with our key") from None
