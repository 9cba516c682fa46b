"""Sections 7, 8.1 and 8.2: batch, sealed message, preamble, and the four parts that fill a bucket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from Crypto.PublicKey import ECC

from tests.peer import hpke, jwe
from tests.peer.shape import closed, one_of, text
from tests.peer.spelling import KEY_ID, ORGANISATION, UUID4, Misspelt, canonical, parse_canonical

HPKE, JWE = "hpke-mlkem768-x25519-a256gcm", "jwe-ecdh-es-a256gcm"

#: Sizes a plaintext can have, in bytes.
BUCKETS = tuple(4096 * 4**power for power in range(6))

LARGEST_BATCH = 64  # messages
LONGEST_PREAMBLE = 1024  # bytes
LONGEST_SEALED = 5594454  # bytes

OpeningKey = hpke.HpkeKey | ECC.EccKey

_PREAMBLE = closed(
    {
        "aud": text(ORGANISATION),
        "enc_kid": text(KEY_ID),
        "iss": text(ORGANISATION),
        "jti": text(UUID4),
        "suite": one_of(HPKE, JWE),
        "v": one_of(1),
    }
)


@dataclass(frozen=True)
class Preamble:
    """What stands in the clear."""

    aud: str
    enc_kid: str
    iss: str
    jti: str
    suite: str
    v: int = 1

    def encode(self) -> bytes:
        return canonical(vars(self))


@dataclass(frozen=True)
class Parts:
    """What the plaintext holds."""

    first: str
    second: str
    payload: bytes


def frame(messages: Sequence[bytes]) -> bytes:
    return b"".join(_with_length(message) for message in messages)


def deframe(body: bytes) -> list[bytes]:
    """The sealed messages of a batch."""
    messages = []
    while body:
        size = int.from_bytes(body[:4], "big")
        if not 0 < size <= min(LONGEST_SEALED, len(body) - 4):
            raise Misspelt
        messages.append(body[4 : 4 + size])
        body = body[4 + size :]
    if not 1 <= len(messages) <= LARGEST_BATCH:
        raise Misspelt
    return messages


def read_preamble(line: bytes) -> Preamble:
    if len(line) > LONGEST_PREAMBLE:
        raise Misspelt
    tree = parse_canonical(line)
    return Preamble(**_PREAMBLE(tree))


def split(sealed: bytes) -> tuple[Preamble, bytes, bytes]:
    """Preamble, its bytes, and a ciphertext that has the length of a bucket."""
    line, _, ciphertext = sealed.partition(b"\n")
    preamble = read_preamble(line)
    size = len(ciphertext) - hpke.OVERHEAD if preamble.suite == HPKE else jwe.plaintext_bytes(ciphertext)
    if size not in BUCKETS:
        raise Misspelt
    return preamble, line, ciphertext


def pack(parts: Parts) -> bytes:
    """The plaintext: the smallest bucket that holds the parts, padded with zeros."""
    held = [parts.first.encode("ascii"), parts.second.encode("ascii"), parts.payload]
    used = 16 + sum(map(len, held))
    bucket = next(size for size in BUCKETS if size >= used)
    return b"".join(map(_with_length, [*held, bytes(bucket - used)]))


def unpack(plaintext: bytes) -> Parts:
    if len(plaintext) not in BUCKETS:
        raise Misspelt
    held, rest = [], plaintext
    for _ in range(4):
        size = int.from_bytes(rest[:4], "big")
        if len(rest) < 4 + size:
            raise Misspelt
        held.append(rest[4 : 4 + size])
        rest = rest[4 + size :]
    first, second, payload, padding = held
    if rest or any(padding) or not (first.isascii() and second.isascii()):
        raise Misspelt
    parts = Parts(first.decode(), second.decode(), payload)
    if pack(parts) != plaintext:
        raise Misspelt
    return parts


def encrypt(preamble: Preamble, public: bytes, plaintext: bytes) -> bytes:
    """A sealed message, new at each call."""
    line = preamble.encode()
    if preamble.suite == HPKE:
        return line + b"\n" + hpke.seal(public, line, plaintext)
    return line + b"\n" + jwe.seal(public, line, preamble.iss, plaintext)


def decrypt(preamble: Preamble, line: bytes, ciphertext: bytes, key: OpeningKey) -> bytes:
    if isinstance(key, hpke.HpkeKey):
        return hpke.open_(key, line, ciphertext)
    return jwe.open_(key, line, preamble.iss, ciphertext)


def _with_length(part: bytes) -> bytes:
    return len(part).to_bytes(4, "big") + part
