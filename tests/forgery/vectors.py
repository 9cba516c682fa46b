"""JOSE vectors of any origin, read and verified by the product: ``python -m tests.forgery.vectors FILE...``

Each file is JSON: the shape of the RFC 7520 cookbook, one vector, or a list of them (also under ``vectors``). A vector
has ``jws`` (compact text, or the flattened or general object) with ``key`` and, when detached, ``payload`` (text) or
``payload_b64u``; or ``jwe`` (compact) with ``key``; keys are JWK. ``expect`` is optional: what must be said.

Said of each: ``accepted``, or ``refused:`` with one of

- ``malformed``: not in the one spelling that the strict reader takes;
- ``algorithm``: another than ES256, ML-DSA-65, or ECDH-ES with A256GCM on P-256;
- ``header``: members beyond alg kid typ cty crit b64 (JWS) or alg enc kid typ cty apu apv epk (JWE), or unprotected;
- ``key``: the key is not for this algorithm and use;
- ``signature``, ``decryption``: it does not hold;
- ``high-s``: an ES256 signature that holds, in the one of its two spellings that policy does not take.

A vector of another origin cannot carry our types, so this is the layer below them: `read_compact`, the signature and
key agreement functions. What stands above (typ, closed seals, key records) is tried by the attacks of this folder.
Prints one JSON document; exit code 1 when an ``expect`` is not met.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.errors import ConfigInvalid, MalformedMessage, SignatureInvalid
from gateway.wire import jwe, mldsa
from gateway.wire.jws import ALG, PublicKey, _verify_es256, read_compact
from gateway.wire.strict import b64url, b64url_decode, parse_json
from tests.forgery.forge import ORDER

Word = Literal["malformed", "algorithm", "header", "key", "signature", "high-s", "decryption"]

JWS_MEMBERS = {"alg", "kid", "typ", "cty", "crit", "b64"}
JWE_MEMBERS = {"alg", "enc", "kid", "typ", "cty", "apu", "apv", "epk"}
COORDINATE = 32  # bytes on P-256


class Refused(Exception):
    """Why a vector is not accepted, in one word."""

    def __init__(self, word: Word) -> None:
        super().__init__(word)
        self.word = word


class Vector(msgspec.Struct, frozen=True):
    """One object with the key that it is to be read with."""

    name: str
    key: Mapping[str, Any]
    jws: str | Mapping[str, Any] | None = None
    jwe: str | None = None
    payload: bytes | None = None  # of a detached JWS, or what is expected inside
    expect: str = ""


def judge(vector: Vector) -> str:
    """``accepted`` or ``refused: <word>``; nothing else, whatever the vector holds."""
    try:
        if vector.jwe is not None:
            _open(vector.jwe, vector.key)
        else:
            _verify(vector.jws, vector.key, vector.payload)
    except Refused as refused:
        return f"refused: {refused.word}"
    except MalformedMessage:
        return "refused: malformed"
    return "accepted"


# --- signatures ------------------------------------------------------------------------------------------------------


def _verify(jws: object, key: Mapping[str, Any], payload: bytes | None) -> None:
    """Every signature of the object holds (RFC 7515 §5.2), or the first reason against it.

    (1) each serialization becomes the compact one; (2) strict reading; (3) algorithm; (4) closed header; (5) b64 and
    payload agree (RFC 7797 §6); (6) the key is for this; (7) the signature holds.
    """
    # (1)
    for protected, carried, signature in _compact(jws):
        # (2)
        unencoded = _unencoded(protected)
        token = f"{protected}.{'' if unencoded else carried}.{signature}"
        read = read_compact(token)
        header = read.header
        # (3)
        if header.get("alg") not in (ALG, mldsa.ALG):
            raise Refused("algorithm")
        # (4)
        if not header.keys() <= JWS_MEMBERS or ("crit" in header) != ("b64" in header):
            raise Refused("header")
        if "crit" in header and (header["crit"] != ["b64"] or header["b64"] is not False):
            raise Refused("header")
        # (5)
        content = (carried.encode() or payload) if unencoded else None
        if unencoded and (content is None or (carried and payload not in (None, carried.encode()))):
            raise Refused("malformed")
        if not unencoded and not carried and payload:
            token = (
                f"{protected}.{b64url(payload)}.{signature}"  # detached, but encoded (RFC 7515 appendix F)
            )
        # (6), (7)
        _hold(token, read.signature, _public(key, str(header["alg"])), content)


def _compact(jws: object) -> Iterator[tuple[str, str, str]]:
    """Protected header, payload as carried, signature: of each signature of any serialization (RFC 7515 §7)."""
    if isinstance(jws, str):
        parts = jws.split(".")
        if len(parts) != 3:
            raise Refused("malformed")
        yield parts[0], parts[1], parts[2]
        return
    if not isinstance(jws, Mapping) or not all(
        isinstance(jws.get(name, ""), str) for name in ("payload", "protected")
    ):
        raise Refused("malformed")
    single = "signature" in jws
    signatures = [jws] if single else jws.get("signatures")
    if not isinstance(signatures, list) or not signatures or (single and "signatures" in jws):
        raise Refused("malformed")
    for one in signatures:
        if not isinstance(one, Mapping) or not isinstance(one.get("signature"), str):
            raise Refused("malformed")
        if "header" in one:
            raise Refused("header")
        if not isinstance(one.get("protected"), str):
            raise Refused("malformed")
        yield one["protected"], jws.get("payload", ""), one["signature"]


def _unencoded(protected: str) -> bool:
    header = parse_json(b64url_decode(protected))
    return isinstance(header, dict) and header.get("b64") is False


def _hold(token: str, signature: bytes, key: PublicKey, content: bytes | None) -> None:
    """The signature over the signing input (RFC 7515 §5.2 step 8, RFC 7797 §3) holds, in its one form."""
    message = token.rpartition(".")[0].encode() + (content or b"")
    try:
        if isinstance(key, MLDSA65PublicKey):
            return mldsa.verify(message, signature, key)
        return _verify_es256(message, signature, key)
    except SignatureInvalid:
        if isinstance(key, MLDSA65PublicKey) or not _high(signature):
            raise Refused("signature") from None
    r, s = signature[:COORDINATE], int.from_bytes(signature[COORDINATE:], "big")
    try:
        _verify_es256(message, r + (ORDER - s).to_bytes(COORDINATE, "big"), key)
    except SignatureInvalid:
        raise Refused("signature") from None
    raise Refused("high-s")


def _high(signature: bytes) -> bool:
    return (
        len(signature) == 2 * COORDINATE
        and ORDER // 2 < int.from_bytes(signature[COORDINATE:], "big") < ORDER
    )


# --- encryption ------------------------------------------------------------------------------------------------------


def _open(token: str, key: Mapping[str, Any]) -> None:
    """Decrypt a compact JWE (RFC 7516 §5.2): ECDH-ES direct on P-256 with A256GCM.

    (1) five segments, strict; (2) algorithm; (3) closed header; (4) no encrypted key, nonce and tag of their length;
    (5) the ephemeral key is on the curve; (6) our key is for this; (7) it opens.
    """
    # (1)
    segments = token.split(".")
    if len(segments) != 5 or not token.isascii():
        raise Refused("malformed")
    protected, encrypted_key, nonce, content, tag = (b64url_decode(segment) for segment in segments)
    header = parse_json(protected)
    if not isinstance(header, dict):
        raise Refused("malformed")
    # (2)
    if (header.get("alg"), header.get("enc")) != ("ECDH-ES", jwe.ENC):
        raise Refused("algorithm")
    # (3)
    if not header.keys() <= JWE_MEMBERS:
        raise Refused("header")
    # (4)
    if encrypted_key or len(nonce) != 12 or len(tag) != 16:
        raise Refused("malformed")
    # (5)
    stated = {name: header[name] for name in ("alg", "enc", "apu", "apv", "epk") if name in header}
    try:
        closed = msgspec.convert({"apu": "", "apv": ""} | stated, jwe.JweHeader)
    except msgspec.ValidationError:
        epk = header.get("epk")
        raise Refused("algorithm" if isinstance(epk, dict) and _other_curve(epk) else "malformed") from None
    point = jwe._point(closed.epk)
    # (6)
    private = _private(key)
    # (7)
    try:
        AESGCM(jwe._agree(private, point, closed)).decrypt(nonce, content + tag, segments[0].encode())
    except InvalidTag:
        raise Refused("decryption") from None


def _other_curve(epk: Mapping[str, Any]) -> bool:
    return epk.get("kty") in ("EC", "OKP") and epk.get("crv") in (
        "P-384",
        "P-521",
        "X25519",
        "X448",
        "secp256k1",
    )


# --- keys ------------------------------------------------------------------------------------------------------------


def _public(key: Mapping[str, Any], alg: str) -> PublicKey:
    """The verification key of a JWK, when it is for this algorithm and no other use (RFC 7517 §4)."""
    _require(key, "sig", "verify", alg)
    if alg == mldsa.ALG:
        if key.get("kty") != "AKP" or not isinstance(key.get("pub"), str):
            raise Refused("key")
        try:
            return mldsa.load_raw(key["pub"])
        except ConfigInvalid:
            raise Refused("key") from None
    return _numbers(key)


def _private(key: Mapping[str, Any]) -> ec.EllipticCurvePrivateKey:
    _require(key, "enc", "deriveKey", "ECDH-ES")
    public = _numbers(key)
    if not isinstance(key.get("d"), str):
        raise Refused("key")
    try:
        private = ec.derive_private_key(int.from_bytes(b64url_decode(key["d"]), "big"), ec.SECP256R1())
    except ValueError:
        raise Refused("key") from None
    if private.public_key() != public:
        raise Refused("key")
    return private


def _numbers(key: Mapping[str, Any]) -> ec.EllipticCurvePublicKey:
    if key.get("kty") != "EC" or key.get("crv") != "P-256":
        raise Refused("key")
    x, y = (b64url_decode(part) if isinstance(part := key.get(name), str) else b"" for name in ("x", "y"))
    if len(x) != COORDINATE or len(y) != COORDINATE:
        raise Refused("key")
    try:
        numbers = ec.EllipticCurvePublicNumbers(
            int.from_bytes(x, "big"), int.from_bytes(y, "big"), ec.SECP256R1()
        )
        return numbers.public_key()
    except ValueError:
        raise Refused("key") from None


def _require(key: Mapping[str, Any], use: str, operation: str, alg: str) -> None:
    operations = key.get("key_ops", [operation])
    if key.get("use", use) != use or key.get("alg", alg) != alg:
        raise Refused("key")
    if not isinstance(operations, list) or not set(operations) & {
        operation,
        "sign" if use == "sig" else "deriveBits",
    }:
        raise Refused("key")


# --- files -----------------------------------------------------------------------------------------------------------


def read(path: Path) -> Iterator[Vector]:
    """The vectors of a file; raises `ValueError` for one that has none of the shapes."""
    tree = json.loads(path.read_bytes())
    found = tree.get("vectors", [tree]) if isinstance(tree, dict) else tree
    for number, one in enumerate(found):
        name = f"{path.name}#{number}" if len(found) > 1 else path.name
        yield from _cookbook(name, one) if "output" in one else _plain(name, one)


def _cookbook(name: str, one: Mapping[str, Any]) -> Iterator[Vector]:
    """Each serialization that the RFC 7520 shape gives of one object."""
    given, output = one["input"], one["output"]
    keys = given["key"] if isinstance(given["key"], list) else [given["key"]]
    for form in ("compact", "json", "json_flat"):
        if form not in output:
            continue
        if "encrypting_content" in one:
            if form == "compact":
                yield Vector(f"{name} {form}", keys[0], jwe=output[form], expect=one.get("expect", ""))
            continue
        payload = given["payload"].encode() if _detached(output[form]) else None
        yield Vector(
            f"{name} {form}", keys[0], jws=output[form], payload=payload, expect=one.get("expect", "")
        )


def _detached(jws: str | Mapping[str, Any]) -> bool:
    return ".." in jws if isinstance(jws, str) else "payload" not in jws


def _plain(name: str, one: Mapping[str, Any]) -> Iterator[Vector]:
    if "key" not in one or not ("jws" in one or "jwe" in one):
        raise ValueError(f"{name} is of no known shape")
    payload = one["payload"].encode() if "payload" in one else None
    if "payload_b64u" in one:
        payload = b64url_decode(one["payload_b64u"])
    title = f"{name} {one.get('name', one.get('title', ''))}".strip()
    yield Vector(title, one["key"], one.get("jws"), one.get("jwe"), payload, one.get("expect", ""))


def main(arguments: Sequence[str]) -> int:
    """The command; returns its exit code."""
    said: dict[str, str] = {}
    unmet: list[str] = []
    for argument in arguments:
        for vector in read(Path(argument)):
            said[vector.name] = judge(vector)
            if vector.expect and vector.expect != said[vector.name]:
                unmet.append(vector.name)
    print(json.dumps({"vectors": said, "unmet": unmet}, indent=1, ensure_ascii=False))
    return 1 if unmet or not said else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
