"""Suite ``jwe-ecdh-es-a256gcm``: a compact JWE (RFC 7516 §7.1), ECDH-ES direct on P-256 and A256GCM.

Libraries read JWE headers leniently (``zip``, PBES2, members nobody asked for, padded base64url), so our own reader
takes every segment first and leaves one spelling of one header. What then remains is the key agreement of RFC 7518
§4.6, from three primitives of `cryptography`. ``apu`` and ``apv`` bind sender and preamble into the key; like HPKE,
this proves nothing about the sender.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash

from gateway.errors import MalformedMessage
from gateway.wire.jws import load_spki
from gateway.wire.strict import b64url, b64url_decode, parse_json

SUITE: Literal["jwe-ecdh-es-a256gcm"] = "jwe-ecdh-es-a256gcm"
ENC: Literal["A256GCM"] = "A256GCM"

MAX_HEADER_BYTES = 512  # the longest has 352: an organisation id of 64 characters is 86 in base64url
_IV_BYTES = 12  # RFC 7518 §5.3
_TAG_BYTES = 16
_KEY_BITS = 256

Coordinate = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_-]{43}\Z")]  # 32 bytes (RFC 7518 §6.2.1.2)


class EphemeralKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``epk`` (RFC 7518 §4.6.1.1): the public half alone."""

    kty: Literal["EC"]
    crv: Literal["P-256"]
    x: Coordinate
    y: Coordinate


class JweHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The protected header: these members, in this order, no white space. No ``zip``, no ``crit``, no way to a key."""

    alg: Literal["ECDH-ES"]
    enc: Literal["A256GCM"]
    apu: str  # base64url of the sender's organisation id
    apv: str  # base64url of SHA-256 over the preamble bytes
    epk: EphemeralKey


class ReadJwe(msgspec.Struct, frozen=True):
    """A JWE whose form is the one we accept, and whose ephemeral key lies on the curve. Nothing is decrypted."""

    protected: str  # first segment: the additional data (RFC 7516 §5.1 step 14)
    header: JweHeader
    ephemeral: ec.EllipticCurvePublicKey
    iv: bytes
    ciphertext: bytes  # as long as the plaintext
    tag: bytes


def read(compact: bytes, *, preamble: bytes, iss: str) -> ReadJwe:
    """Take a JWE apart without any key (RFC 7516 §5.2 steps 1–8); raises `MalformedMessage`.

    1. ASCII, five segments, the encrypted key empty (direct agreement, RFC 7518 §4.6)
    2. each segment the one canonical base64url; nonce of 12 bytes, tag of 16
    3. header: strict JSON, closed types, its own one encoding
    4. ``apu`` is the sender and ``apv`` the digest of exactly this preamble
    5. ``epk`` is a point of P-256 (SP 800-56A §5.6.2.3.3)
    """
    # (1)
    if not compact.isascii():
        raise MalformedMessage("a compact JWE is ASCII text")
    segments = compact.decode("ascii").split(".")
    if len(segments) != 5 or segments[1]:
        raise MalformedMessage("a compact JWE has five segments, and in direct agreement no encrypted key")
    # (2)
    protected, _, iv, ciphertext, tag = (b64url_decode(segment) for segment in segments)
    if len(iv) != _IV_BYTES or len(tag) != _TAG_BYTES:
        raise MalformedMessage("nonce or tag of a JWE has another length than A256GCM demands")
    # (3) msgspec quotes what it refuses: nothing of its text goes on
    try:
        header = msgspec.convert(parse_json(protected, limit=MAX_HEADER_BYTES), JweHeader)
    except msgspec.ValidationError:
        raise MalformedMessage("the JWE header does not follow its closed schema") from None
    if msgspec.json.encode(header) != protected:
        raise MalformedMessage("the JWE header is not in its one encoding")
    # (4)
    if (header.apu, header.apv) != _parties(preamble, iss):
        raise MalformedMessage("the JWE names another sender or preamble than the one it came with")
    # (5)
    return ReadJwe(segments[0], header, _point(header.epk), iv, ciphertext, tag)


def encrypt(preamble: bytes, iss: str, plaintext: bytes, public: str) -> bytes:
    """The compact JWE for the holder of ``public`` (P-256, SubjectPublicKeyInfo DER in base64url).

    A fresh ephemeral key for each call, so the content key is used once. Raises `ConfigInvalid` for another key.
    """
    key = load_spki(public)
    ephemeral = ec.generate_private_key(ec.SECP256R1())
    numbers = ephemeral.public_key().public_numbers()
    epk = EphemeralKey("EC", "P-256", *(b64url(part.to_bytes(32, "big")) for part in (numbers.x, numbers.y)))
    header = JweHeader("ECDH-ES", ENC, *_parties(preamble, iss), epk)
    protected = b64url(msgspec.json.encode(header))
    # `cryptography` is this room's only source of chance; a nonce is as random as a key
    iv = AESGCM.generate_key(bit_length=128)[:_IV_BYTES]
    content = AESGCM(_agree(ephemeral, key, header)).encrypt(iv, plaintext, protected.encode("ascii"))
    segments = (protected, "", b64url(iv), b64url(content[:-_TAG_BYTES]), b64url(content[-_TAG_BYTES:]))
    return ".".join(segments).encode("ascii")


def decrypt(preamble: bytes, iss: str, compact: bytes, private_key: ec.EllipticCurvePrivateKey) -> bytes:
    """The plaintext; raises `MalformedMessage` for any form `read` refuses, and for what does not open."""
    jwe = read(compact, preamble=preamble, iss=iss)
    key = _agree(private_key, jwe.ephemeral, jwe.header)
    try:
        return AESGCM(key).decrypt(jwe.iv, jwe.ciphertext + jwe.tag, jwe.protected.encode("ascii"))
    except InvalidTag:
        raise MalformedMessage("the message does not open with our key") from None


def _parties(preamble: bytes, iss: str) -> tuple[str, str]:
    return b64url(iss.encode("ascii")), b64url(hashlib.sha256(preamble).digest())


def _point(epk: EphemeralKey) -> ec.EllipticCurvePublicKey:
    x, y = (int.from_bytes(b64url_decode(part), "big") for part in (epk.x, epk.y))
    try:
        return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    except ValueError:
        raise MalformedMessage("the ephemeral key of a JWE is not a point of its curve") from None


def _agree(
    private_key: ec.EllipticCurvePrivateKey, public: ec.EllipticCurvePublicKey, header: JweHeader
) -> bytes:
    """The content key: Concat KDF with SHA-256 over the shared secret (RFC 7518 §4.6.2)."""
    named = (ENC.encode("ascii"), b64url_decode(header.apu), b64url_decode(header.apv))
    info = b"".join(len(part).to_bytes(4, "big") + part for part in named) + _KEY_BITS.to_bytes(4, "big")
    kdf = ConcatKDFHash(hashes.SHA256(), length=_KEY_BITS // 8, otherinfo=info)
    return kdf.derive(private_key.exchange(ec.ECDH(), public))
