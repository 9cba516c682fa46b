"""The sealed message: ``preamble LF ciphertext`` (``application/vnd.ecluse.sealed``), and the framing of batches.

The plaintext holds four length-prefixed parts (JWS, second JWS or empty, payload, zero padding) and fills a size
bucket exactly, so the ciphertext tells only the bucket. Encryption is HPKE (RFC 9180, base mode) with the hybrid KEM
MLKEM768-X25519; its ``info`` binds the preamble. HPKE proves nothing about the sender: the seal inside does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal

import msgspec
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

from gateway.errors import ConfigInvalid, MalformedMessage, RequestInvalid
from gateway.model.party import KeyRecord
from gateway.wire.jws import MAX_TOKEN_CHARS
from gateway.wire.seal import SealHeader
from gateway.wire.strict import KeyId, OrgId, Uuid4, b64url_decode, canonical, read_canonical

SUITE: Literal["hpke-mlkem768-x25519-a256gcm"] = "hpke-mlkem768-x25519-a256gcm"
BUCKETS = tuple(kib * 1024 for kib in (4, 16, 64, 256, 1024, 4096))  # bytes of plaintext
MAX_PREAMBLE = 1024  # bytes
HPKE_OVERHEAD = 1088 + 32 + 16  # bytes: ML-KEM-768 ciphertext, X25519 share, AES-GCM tag
MAX_SEALED = MAX_PREAMBLE + 1 + BUCKETS[-1] + HPKE_OVERHEAD  # bytes of one sealed message
MAX_BATCH = 64  # messages of one POST

_LENGTH = 4  # bytes of a length prefix, big-endian
_PARTS = 4
_INFO = b"ecluse/hpke/1\n"
_HPKE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)

KEM_SEED_BYTES = 32
_KEM_PUBLIC_BYTES = 1184 + 32  # ML-KEM-768 encapsulation key ‖ X25519 public key


class Preamble(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a recipient must know before it can decrypt: no label, no size, nothing personal."""

    v: Literal[1]
    suite: Literal["hpke-mlkem768-x25519-a256gcm"]
    iss: OrgId
    aud: OrgId
    jti: Uuid4
    enc_kid: KeyId


class Unpacked(msgspec.Struct, frozen=True):
    """The parts of a plaintext. ``second`` is the ML-DSA signature of profile hybrid, empty in profile classic."""

    jws: str
    second: str
    payload: bytes


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


# --- plaintext -------------------------------------------------------------------------------------------------------


def _prefixed(part: bytes) -> bytes:
    return len(part).to_bytes(_LENGTH, "big") + part


def _take(raw: bytes, position: int) -> tuple[bytes, int]:
    """The length-prefixed part at ``position`` and the position after it; raises `MalformedMessage`."""
    start = position + _LENGTH
    end = start + int.from_bytes(raw[position:start], "big")
    if start > len(raw) or end > len(raw):
        raise MalformedMessage("a length reaches beyond its frame")
    return raw[start:end], end


def pack(jws: str, payload: bytes) -> bytes:
    """The plaintext, padded with zeros to the smallest bucket it fits; raises `RequestInvalid` beyond the largest."""
    parts = _prefixed(jws.encode("ascii")) + _prefixed(b"") + _prefixed(payload)
    used = len(parts) + _LENGTH
    bucket = next((size for size in BUCKETS if used <= size), None)
    if bucket is None:
        raise RequestInvalid(
            "the message is larger than the largest size bucket", diagnostic={"limit": BUCKETS[-1]}
        )
    return parts + _prefixed(bytes(bucket - used))


def unpack(plaintext: bytes) -> Unpacked:
    """Read a plaintext; there is one spelling of it. Raises `MalformedMessage`.

    1. exactly a bucket   2. four parts that fill it   3. padding all zero, and no smaller bucket would do
    4. profile classic: no second JWS; the JWS is short ASCII text
    """
    # (1)
    if len(plaintext) not in BUCKETS:
        raise MalformedMessage("the plaintext does not fill a size bucket")
    # (2)
    parts: list[bytes] = []
    position = 0
    for _ in range(_PARTS):
        part, position = _take(plaintext, position)
        parts.append(part)
    jws, second, payload, padding = parts
    if position != len(plaintext):
        raise MalformedMessage("bytes follow the last part of the plaintext")
    # (3)
    used = len(plaintext) - len(padding)
    if padding.count(0) != len(padding) or any(used <= size < len(plaintext) for size in BUCKETS):
        raise MalformedMessage("the padding is not the one the content demands")
    # (4) an unread part would be a place that no signature covers
    if second:
        raise MalformedMessage("a second signature belongs to another signature profile")
    if len(jws) > MAX_TOKEN_CHARS or not jws.isascii():
        raise MalformedMessage("the seal is not a compact JWS")
    return Unpacked(jws.decode("ascii"), "", payload)


# --- encryption ------------------------------------------------------------------------------------------------------


def _info(preamble: bytes) -> bytes:
    return _INFO + hashlib.sha256(preamble).digest()


def encrypt(preamble: Preamble, plaintext: bytes, key: KeyRecord) -> bytes:
    """The sealed message for the holder of ``key``; made anew for every attempt and never stored.

    Raises `ConfigInvalid` when the key is revoked or not the one the preamble names, `RequestInvalid` when the
    plaintext is no bucket. The key's validity period is the caller's recheck.
    """
    if key.use != "encryption" or key.alg != preamble.suite or key.kid != preamble.enc_kid or key.revoked:
        raise ConfigInvalid("the encryption key is not the one the preamble names, or may not be used")
    if len(plaintext) not in BUCKETS:
        raise RequestInvalid("the plaintext does not fill a size bucket")
    line = canonical(preamble)
    try:
        read_canonical(line, Preamble, limit=MAX_PREAMBLE)
        public = b64url_decode(key.public)
    except MalformedMessage:
        raise ConfigInvalid("the preamble or the encryption key does not follow its form") from None
    try:
        return line + b"\n" + _HPKE.encrypt(plaintext, kem_public(public), info=_info(line))
    except ValueError:  # an X25519 share of small order (RFC 7748 §6.1)
        raise ConfigInvalid("the encryption key cannot be used") from None


def split(sealed: bytes) -> tuple[Preamble, bytes, bytes]:
    """Preamble, its exact bytes, and the ciphertext; raises `MalformedMessage`. Nothing is authenticated yet.

    1. a line of at most 1 KiB   2. RFC 8785, closed, of this version and suite   3. ciphertext of a bucket's size
    """
    # (1)
    end = sealed.find(b"\n", 0, MAX_PREAMBLE + 1)
    if end < 0:
        raise MalformedMessage("a sealed message starts with a preamble line")
    line, ciphertext = sealed[:end], sealed[end + 1 :]
    # (2)
    preamble = read_canonical(line, Preamble, limit=MAX_PREAMBLE)
    # (3)
    if len(ciphertext) - HPKE_OVERHEAD not in BUCKETS:
        raise MalformedMessage("the ciphertext has no size bucket's length")
    return preamble, line, ciphertext


def decrypt(preamble_bytes: bytes, ciphertext: bytes, private_key: MLKEM768X25519PrivateKey) -> bytes:
    """The plaintext; raises `MalformedMessage` when it does not open under exactly this preamble."""
    try:
        return _HPKE.decrypt(ciphertext, private_key, info=_info(preamble_bytes))
    except (InvalidTag, ValueError):
        raise MalformedMessage("the message does not open with our key") from None


def require_consistent(preamble: Preamble, header: SealHeader) -> None:
    """Every value that stands in preamble and seal must be equal; raises `MalformedMessage`."""
    for member in ("suite", "iss", "aud", "jti", "enc_kid"):
        if getattr(preamble, member) != getattr(header, member):
            raise MalformedMessage("preamble and seal disagree", diagnostic={"member": member})


# --- batch -----------------------------------------------------------------------------------------------------------


def frame(items: Sequence[bytes]) -> bytes:
    """A batch: each item behind its 4-byte big-endian length. Raises `RequestInvalid` when empty or too long."""
    if not 0 < len(items) <= MAX_BATCH or not all(0 < len(item) <= MAX_SEALED for item in items):
        raise RequestInvalid("a batch holds 1 to 64 messages, none of them empty or oversized")
    return b"".join(map(_prefixed, items))


def deframe(raw: bytes, *, max_items: int = MAX_BATCH, max_item: int = MAX_SEALED) -> list[bytes]:
    """The items of a batch, in order; raises `MalformedMessage` for an empty batch or item, or any byte too many."""
    items: list[bytes] = []
    position = 0
    while position < len(raw):
        if len(items) == max_items:
            raise MalformedMessage("a batch holds too many messages", diagnostic={"limit": max_items})
        item, position = _take(raw, position)
        if not 0 < len(item) <= max_item:
            raise MalformedMessage(
                "a message of the batch is empty or oversized", diagnostic={"limit": max_item}
            )
        items.append(item)
    if not items:
        raise MalformedMessage("the batch is empty")
    return items
