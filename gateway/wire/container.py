"""The sealed message: ``preamble LF ciphertext`` (``application/vnd.ecluse.sealed``), and the framing of batches.

The plaintext holds four length-prefixed parts (JWS, second JWS or empty, payload, zero padding) and fills a size
bucket exactly, so the ciphertext tells only the bucket. Two suites encrypt it, `hpke` and `jwe`; the preamble names
which, and each binds the exact preamble bytes. Neither proves anything about the sender: the seal inside does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey

from gateway.errors import ConfigInvalid, MalformedMessage, RequestInvalid
from gateway.model.agreement import Suite
from gateway.model.party import KeyRecord
from gateway.wire import hpke, jwe
from gateway.wire.jws import MAX_TOKEN_CHARS
from gateway.wire.seal import SealHeader
from gateway.wire.strict import KeyId, OrgId, Uuid4, canonical, read_canonical

#: An opening key; its type says of which suite.
OpeningKey = MLKEM768X25519PrivateKey | EllipticCurvePrivateKey

BUCKETS = tuple(kib * 1024 for kib in (4, 16, 64, 256, 1024, 4096))  # bytes of plaintext
MAX_PREAMBLE = 1024  # bytes
# A JWE is base64url: four characters for three bytes, and at most 1 KiB of header, nonce, tag and dots.
MAX_SEALED = MAX_PREAMBLE + 1 + BUCKETS[-1] * 4 // 3 + 1024  # bytes of one sealed message
MAX_BATCH = 64  # messages of one POST
_SEALS = 14 * 1024  # bytes of both seals as we make them: two headers with a checkpoint, ES256, ML-DSA-65

_LENGTH = 4  # bytes of a length prefix, big-endian
_PARTS = 4


class Preamble(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a recipient must know before it can decrypt: no label, no size, nothing personal."""

    v: Literal[1]
    suite: Suite
    iss: OrgId
    aud: OrgId
    jti: Uuid4
    enc_kid: KeyId


class Unpacked(msgspec.Struct, frozen=True):
    """The parts of a plaintext. ``second`` is the ML-DSA signature of profile hybrid, empty in profile classic.

    Whether it may or must be there, the agreement says: `verify_seal` refuses the one and the other.
    """

    jws: str
    second: str
    payload: bytes


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


def pack(jws: str, payload: bytes, second: str = "") -> bytes:
    """The plaintext, padded with zeros to the smallest bucket it fits; raises `RequestInvalid` beyond the largest."""
    parts = _prefixed(jws.encode("ascii")) + _prefixed(second.encode("ascii")) + _prefixed(payload)
    used = len(parts) + _LENGTH
    bucket = next((size for size in BUCKETS if used <= size), None)
    if bucket is None:
        raise RequestInvalid(
            "the message is larger than the largest size bucket", diagnostic={"limit": BUCKETS[-1]}
        )
    return parts + _prefixed(bytes(bucket - used))


def most_sealed(payload: int) -> int:
    """Bytes of the sealed message with a payload of so many bytes, at most, under any suite and signature profile."""
    bucket = next((size for size in BUCKETS if payload + _SEALS <= size), BUCKETS[-1])
    return MAX_SEALED - (BUCKETS[-1] - bucket) * 4 // 3


def unpack(plaintext: bytes) -> Unpacked:
    """Read a plaintext; there is one spelling of it. Raises `MalformedMessage`.

    1. exactly a bucket   2. four parts that fill it   3. padding all zero, and no smaller bucket would do
    4. both JWS are short ASCII text, the second may be empty
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
    # (4)
    if any(len(token) > MAX_TOKEN_CHARS or not token.isascii() for token in (jws, second)):
        raise MalformedMessage("a seal is not a compact JWS")
    return Unpacked(jws.decode("ascii"), second.decode("ascii"), payload)


# --- encryption ------------------------------------------------------------------------------------------------------


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
        if preamble.suite == hpke.SUITE:
            return line + b"\n" + hpke.encrypt(line, plaintext, key.public)
        return line + b"\n" + jwe.encrypt(line, preamble.iss, plaintext, key.public)
    except MalformedMessage:
        raise ConfigInvalid("the preamble or the encryption key does not follow its form") from None


def split(sealed: bytes) -> tuple[Preamble, bytes, bytes]:
    """Preamble, its exact bytes, and the ciphertext; raises `MalformedMessage`. Nothing is authenticated yet.

    1. a line of at most 1 KiB   2. RFC 8785, closed, of this version and a known suite
    3. a ciphertext of the suite's form and a bucket's size
    """
    # (1)
    end = sealed.find(b"\n", 0, MAX_PREAMBLE + 1)
    if end < 0:
        raise MalformedMessage("a sealed message starts with a preamble line")
    line, ciphertext = sealed[:end], sealed[end + 1 :]
    # (2)
    preamble = read_canonical(line, Preamble, limit=MAX_PREAMBLE)
    # (3)
    if preamble.suite == hpke.SUITE:
        size = len(ciphertext) - hpke.OVERHEAD
    else:
        size = len(jwe.read(ciphertext, preamble=line, iss=preamble.iss).ciphertext)
    if size not in BUCKETS:
        raise MalformedMessage("the ciphertext has no size bucket's length")
    return preamble, line, ciphertext


def decrypt(preamble_bytes: bytes, ciphertext: bytes, private_key: OpeningKey) -> bytes:
    """The plaintext; raises `MalformedMessage` when it does not open under exactly this preamble.

    1. the preamble, strictly   2. its suite is the one this key is for: no key serves two   3. decrypt
    """
    # (1)
    preamble = read_canonical(preamble_bytes, Preamble, limit=MAX_PREAMBLE)
    # (2), (3)
    if preamble.suite == hpke.SUITE and isinstance(private_key, MLKEM768X25519PrivateKey):
        return hpke.decrypt(preamble_bytes, ciphertext, private_key)
    if preamble.suite == jwe.SUITE and isinstance(private_key, EllipticCurvePrivateKey):
        return jwe.decrypt(preamble_bytes, preamble.iss, ciphertext, private_key)
    raise MalformedMessage("the message is sealed under another suite than the key's")


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
