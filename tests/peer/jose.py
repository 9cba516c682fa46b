"""Sections 9.2 and 9.3: signatures over the bytes as they are, by ES256 with a low s and by ML-DSA-65.

Written with PyCryptodome, verified with jwcrypto (ES256): what we write, a stock JOSE library reads.
"""

from __future__ import annotations

import re
from typing import Any

from Crypto.Hash import SHA256
from Crypto.PublicKey import ECC, MLDSA
from Crypto.Signature import DSS, mldsa
from jwcrypto import jwk, jws
from jwcrypto.common import JWException

from tests.peer.spelling import Misspelt, b64url, b64url_bytes, ordered, parse_json

#: Order of the group of P-256 (FIPS 186-5, SP 800-186).
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

#: DER of a P-256 SubjectPublicKeyInfo up to the point: named curve, 66 bits string bytes, uncompressed.
P256_SPKI = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")

#: Bytes of an ML-DSA-65 public key and signature (FIPS 204 table 2).
ML_DSA_PUBLIC, ML_DSA_SIGNATURE = 1952, 3309

SigningKey = ECC.EccKey | MLDSA.MLDSAKey


class NotSigned(Exception):
    """No signature of that key over those bytes."""


def p256_point(spki: bytes) -> tuple[bytes, bytes]:
    """Coordinates of the point in the one encoding of a P-256 SubjectPublicKeyInfo; on the curve."""
    if len(spki) != len(P256_SPKI) + 65 or not spki.startswith(P256_SPKI + b"\x04"):
        raise Misspelt
    x, y = spki[-64:-32], spki[-32:]
    p256_public(x, y)
    return x, y


def p256_public(x: bytes, y: bytes) -> ECC.EccKey:
    try:
        return ECC.construct(
            curve="P-256", point_x=int.from_bytes(x, "big"), point_y=int.from_bytes(y, "big")
        )
    except ValueError:
        raise Misspelt from None


def p256_spki(key: ECC.EccKey) -> bytes:
    x, y = (int(part).to_bytes(32, "big") for part in key.pointQ.xy)
    return P256_SPKI + b"\x04" + x + y


def sign(header: dict[str, Any], payload: bytes, key: SigningKey, *, detached: bool) -> str:
    """A compact JWS; detached ones carry the payload as it is (RFC 7797), attached ones in base64url."""
    head = b64url(ordered(header)).encode()
    body = payload if detached else b64url(payload).encode()
    signature = _sign(head + b"." + body, key)
    return f"{head.decode()}.{'' if detached else body.decode()}.{b64url(signature)}"


def _sign(signing_input: bytes, key: SigningKey) -> bytes:
    if isinstance(key, MLDSA.MLDSAKey):
        return mldsa.new(key).sign(signing_input)
    signature: bytes = DSS.new(key, "deterministic-rfc6979").sign(SHA256.new(signing_input))
    r, s = signature[:32], int.from_bytes(signature[32:], "big")
    return r + min(s, N - s).to_bytes(32, "big")


def segments(token: str, *, detached: bool) -> tuple[bytes, bytes, bytes]:
    """Header JSON, payload and signature of a compact JWS."""
    middle = "" if detached else "[A-Za-z0-9_-]*"
    if re.fullmatch(rf"[A-Za-z0-9_-]+\.{middle}\.[A-Za-z0-9_-]*", token) is None:
        raise Misspelt
    header, payload, signature = token.split(".")
    return b64url_bytes(header), b64url_bytes(payload), b64url_bytes(signature)


def verify_es256(token: str, spki: bytes, payload: bytes | None = None) -> None:
    """The signature holds, and its s is low; ``payload`` is that of a detached JWS. Raises `NotSigned`."""
    try:
        signature = segments(token, detached=payload is not None)[2]
        if len(signature) != 64 or int.from_bytes(signature[32:], "big") > N // 2:
            raise NotSigned
        x, y = p256_point(spki)
        key = jwk.JWK(kty="EC", crv="P-256", x=b64url(x), y=b64url(y))
        reader = jws.JWS()
        reader.allowed_algs = ["ES256"]
        reader.deserialize(token)
        reader.verify(key, detached_payload=payload)
    except (JWException, Misspelt, ValueError):
        raise NotSigned from None


def verify_ml_dsa(token: str, public: bytes, payload: bytes) -> None:
    """The ML-DSA-65 signature with the empty context holds over a detached payload. Raises `NotSigned`."""
    try:
        signature = segments(token, detached=True)[2]
        if len(public) != ML_DSA_PUBLIC or len(signature) != ML_DSA_SIGNATURE:
            raise NotSigned
        key = MLDSA.construct(param_set=MLDSA.ML_DSA_65, pk=public)
        mldsa.new(key).verify(token.split(".")[0].encode() + b"." + payload, signature)
    except (Misspelt, ValueError):
        raise NotSigned from None


def read_header(token: str, *, detached: bool) -> dict[str, Any]:
    """The protected header of a token as a tree in its own order; whether that is the right one says the caller."""
    raw = segments(token, detached=detached)[0]
    tree = parse_json(raw)
    if not isinstance(tree, dict) or ordered(tree) != raw:
        raise Misspelt
    return tree
