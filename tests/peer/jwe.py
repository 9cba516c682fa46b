"""Section 8.4: one compact JWE (RFC 7516) with ECDH-ES on P-256; written out, and opened with jwcrypto."""

from __future__ import annotations

import hashlib
import re
import secrets

from Crypto.Cipher import AES
from Crypto.Protocol import DH
from Crypto.PublicKey import ECC
from jwcrypto import jwe, jwk
from jwcrypto.common import JWException

from tests.peer.jose import p256_point, p256_public
from tests.peer.spelling import Misspelt, b64url, b64url_bytes, ordered, parse_json

#: Bytes of the header's JSON at most.
LONGEST_HEADER = 512


def seal(public_spki: bytes, preamble: bytes, iss: str, plaintext: bytes) -> bytes:
    """Compact JWE for this public key, bound to the sender's name and these preamble bytes.

    jwcrypto writes its header sorted, which is not the order demanded, so writing is done by hand.
    """
    x, y = p256_point(public_spki)
    ephemeral = ECC.generate(curve="P-256")
    ex, ey = (int(part).to_bytes(32, "big") for part in ephemeral.public_key().pointQ.xy)
    header = ordered(header_of(preamble, iss, ex, ey))
    z = DH.key_agreement(eph_priv=ephemeral, static_pub=p256_public(x, y), kdf=lambda value: value)
    iv = secrets.token_bytes(12)
    cipher = AES.new(concat_kdf(z, preamble, iss), AES.MODE_GCM, nonce=iv)
    protected = b64url(header)
    cipher.update(protected.encode())
    body, tag = cipher.encrypt_and_digest(plaintext)
    return f"{protected}..{b64url(iv)}.{b64url(body)}.{b64url(tag)}".encode()


def header_of(preamble: bytes, iss: str, x: bytes, y: bytes) -> dict[str, object]:
    return {
        "alg": "ECDH-ES",
        "enc": "A256GCM",
        "apu": b64url(iss.encode()),
        "apv": b64url(hashlib.sha256(preamble).digest()),
        "epk": {"kty": "EC", "crv": "P-256", "x": b64url(x), "y": b64url(y)},
    }


def concat_kdf(z: bytes, preamble: bytes, iss: str) -> bytes:
    """RFC 7518 section 4.6.2, one round."""
    apu, apv = iss.encode(), hashlib.sha256(preamble).digest()
    other = b"".join(len(part).to_bytes(4, "big") + part for part in (b"A256GCM", apu, apv))
    return hashlib.sha256(b"\x00\x00\x00\x01" + z + other + (256).to_bytes(4, "big")).digest()


def open_(key: ECC.EccKey, preamble: bytes, iss: str, ciphertext: bytes) -> bytes:
    """Plaintext, after every byte of the header was found to be the one expected; raises `Misspelt` otherwise."""
    token = split(ciphertext)
    try:
        header = parse_json(b64url_bytes(token[0]))
        x, y = (b64url_bytes(header["epk"][axis]) for axis in ("x", "y"))
    except (KeyError, TypeError, AttributeError):
        raise Misspelt from None
    if len(x) != 32 or len(y) != 32 or ordered(header_of(preamble, iss, x, y)) != b64url_bytes(token[0]):
        raise Misspelt
    p256_public(x, y)  # on the curve, before it is used
    reader = jwe.JWE()
    reader.allowed_algs = ["ECDH-ES", "A256GCM"]
    private = int(key.d).to_bytes(32, "big")
    qx, qy = (int(part).to_bytes(32, "big") for part in key.pointQ.xy)
    try:
        reader.deserialize(ciphertext.decode())
        reader.decrypt(jwk.JWK(kty="EC", crv="P-256", x=b64url(qx), y=b64url(qy), d=b64url(private)))
    except (JWException, ValueError):
        raise Misspelt from None
    plain: bytes = reader.payload
    return plain


def split(ciphertext: bytes) -> tuple[str, str, str, str]:
    """Header, iv, ciphertext and tag segments; the encrypted key is empty."""
    found = re.fullmatch(
        rb"([A-Za-z0-9_-]+)\.\.([A-Za-z0-9_-]{16})\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{22})", ciphertext
    )
    if found is None:
        raise Misspelt
    header, iv, body, tag = (part.decode() for part in found.groups())
    if len(b64url_bytes(header)) > LONGEST_HEADER:
        raise Misspelt
    return header, iv, body, tag


def plaintext_bytes(ciphertext: bytes) -> int:
    """How long the plaintext will be."""
    return len(b64url_bytes(split(ciphertext)[2]))
