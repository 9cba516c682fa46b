"""JOSE vectors of our own: valid objects made at test time, each spoilt in one place, with what must be said of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA65PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash

from tests.forgery.forge import ORDER, b64, dumps, es256, flip, new_key, unb64
from tests.forgery.vectors import Vector

PAYLOAD = b"Zzemo Exemple was seen in Fictiville"
OK, FORM, ALG, HEAD, KEY, SIG, HIGH, SHUT = (
    "accepted",
    *(
        f"refused: {word}"
        for word in ("malformed", "algorithm", "header", "key", "signature", "high-s", "decryption")
    ),
)

SIGNER, READER, OTHER = new_key(), new_key(), new_key()
LATTICE = MLDSA65PrivateKey.generate()


def jwk(
    key: ec.EllipticCurvePrivateKey, *, private: bool = False, crv: str = "P-256", **more: Any
) -> dict[str, Any]:
    """A JWK of an EC key."""
    size = (key.curve.key_size + 7) // 8
    numbers = key.public_key().public_numbers()
    made = {
        "kty": "EC",
        "crv": crv,
        "x": b64(numbers.x.to_bytes(size, "big")),
        "y": b64(numbers.y.to_bytes(size, "big")),
    }
    if private:
        made["d"] = b64(key.private_numbers().private_value.to_bytes(size, "big"))
    return made | more


AKP = {"kty": "AKP", "alg": "ML-DSA-65", "pub": b64(LATTICE.public_key().public_bytes_raw())}


# --- valid objects ---------------------------------------------------------------------------------------------------


def jws(
    header: Mapping[str, Any] | bytes | None = None,
    payload: bytes = PAYLOAD,
    *,
    key: Any = SIGNER,
    b64_: bool = True,
) -> tuple[str, str, str]:
    """The three segments of a JWS; ``b64_`` False signs the payload unencoded and leaves it out (RFC 7797)."""
    alg = "ES256" if isinstance(key, ec.EllipticCurvePrivateKey) else "ML-DSA-65"
    head = b64(header if isinstance(header, bytes) else dumps(header or {"alg": alg, "kid": "k1"}))
    body = b64(payload)
    signed = f"{head}.".encode() + (body.encode() if b64_ else payload)
    signature = es256(key, signed) if isinstance(key, ec.EllipticCurvePrivateKey) else key.sign(signed)
    return head, body if b64_ else "", b64(signature)


def compact(*arguments: Any, **options: Any) -> str:
    return ".".join(jws(*arguments, **options))


def jwe_parts(
    changes: Mapping[str, Any] | None = None,
    *,
    raw: Callable[[bytes], bytes] = lambda header: header,
    curve: ec.EllipticCurve | None = None,
    info: tuple[str, bytes, bytes] = ("A256GCM", b"bel.ocam", b"\0" * 32),
) -> list[str]:
    """The five segments of a JWE to `READER`, its key derived as RFC 7518 §4.6.2 says."""
    ephemeral = new_key(curve)
    names = {"P-256": "P-256", "secp256r1": "P-256", "secp384r1": "P-384"}
    public = jwk(ephemeral, crv=names[ephemeral.curve.name])
    header: dict[str, Any] = {
        "alg": "ECDH-ES",
        "enc": "A256GCM",
        "apu": b64(info[1]),
        "apv": b64(info[2]),
        "epk": public,
    }
    header |= changes or {}
    protected = b64(raw(dumps({name: value for name, value in header.items() if value is not None})))
    peer = READER if curve is None else new_key(curve)
    other = b"".join(len(part).to_bytes(4, "big") + part for part in (info[0].encode(), info[1], info[2]))
    kdf = ConcatKDFHash(hashes.SHA256(), length=32, otherinfo=other + (256).to_bytes(4, "big"))
    secret = kdf.derive(ephemeral.exchange(ec.ECDH(), peer.public_key()))
    nonce = bytes(range(12))  # the key is fresh each time
    content = AESGCM(secret).encrypt(nonce, PAYLOAD, protected.encode())
    return [protected, "", b64(nonce), b64(content[:-16]), b64(content[-16:])]


# --- vectors ---------------------------------------------------------------------------------------------------------


def vectors() -> Iterator[Vector]:
    """Every vector, each name once."""
    yield from _valid()
    yield from _headers()
    yield from _tokens()
    yield from _values()
    yield from _keys()
    yield from _objects()
    yield from _lattice()
    yield from _encrypted()


def _jws(name: str, expect: str, token: Any, key: Any = None, payload: bytes | None = None) -> Vector:
    return Vector(f"jws: {name}", key or jwk(SIGNER), jws=token, payload=payload, expect=expect)


def _jwe(name: str, expect: str, parts: list[str] | str, key: Any = None) -> Vector:
    token = parts if isinstance(parts, str) else ".".join(parts)
    return Vector(f"jwe: {name}", key or jwk(READER, private=True), jwe=token, expect=expect)


#: A detached header with an unencoded payload.
LOOSE = {"alg": "ES256", "kid": "k1", "crit": ["b64"], "b64": False}


def _valid() -> Iterator[Vector]:
    head, body, signature = jws()
    yield _jws("compact", OK, compact())
    yield _jws("with typ and cty", OK, compact({"alg": "ES256", "typ": "JWT", "cty": "text/plain"}))
    yield _jws("alg alone", OK, compact({"alg": "ES256"}))
    yield _jws("empty payload", OK, compact(None, b""))
    yield _jws("payload of 100 KB", OK, compact(None, b"x" * 100_000))
    yield _jws("flattened", OK, {"payload": body, "protected": head, "signature": signature})
    yield _jws("general", OK, {"payload": body, "signatures": [{"protected": head, "signature": signature}]})
    yield _jws("detached, unencoded", OK, compact(LOOSE, b64_=False), payload=PAYLOAD)
    yield _jws("detached, encoded", OK, f"{head}..{signature}", payload=PAYLOAD)
    flat = jws(LOOSE, b64_=False)
    carried = {"payload": PAYLOAD.decode(), "protected": flat[0], "signature": flat[2]}
    yield _jws("flattened, unencoded", OK, carried)
    yield _jws("ML-DSA-65", OK, compact(key=LATTICE), AKP)
    yield _jws(
        "ML-DSA-65, detached",
        OK,
        compact(LOOSE | {"alg": "ML-DSA-65"}, b64_=False, key=LATTICE),
        AKP,
        PAYLOAD,
    )
    yield _jwe("ECDH-ES on P-256, A256GCM", OK, jwe_parts())
    yield _jwe("without apu and apv", OK, jwe_parts({"apu": None, "apv": None}, info=("A256GCM", b"", b"")))
    yield _jwe("with typ and kid", OK, jwe_parts({"typ": "x", "kid": "r1"}))


def _headers() -> Iterator[Vector]:
    for alg in ("none", "None", "", "HS256", "HS512", "RS256", "PS256", "ES384", "ES512", "ES256K", "EdDSA",
                "ML-DSA-44", "ML-DSA-87", "es256", "ES256 ", None, 256, ["ES256"]):  # fmt: skip
        yield _jws(f"alg {json.dumps(alg)}", ALG, compact({"alg": alg}))
    yield _jws("no alg", ALG, compact({"kid": "k1"}))
    for name, value in {"jwk": jwk(SIGNER), "jku": "https://key.invalid", "x5u": "https://key.invalid", "x5c": ["A"],
                        "x5t": "A", "x5t#S256": "A", "zip": "DEF", "nonce": "x", "exp": 1, "": 1}.items():  # fmt: skip
        yield _jws(f"member {name!r}", HEAD, compact({"alg": "ES256", name: value}))
    crits: list[Any] = [[], ["b64", "exp"], ["exp"], ["alg"], ["b64", "b64"], "b64", None, {}, 0]
    for crit in crits:
        yield _jws(
            f"crit {json.dumps(crit)}", HEAD, compact(LOOSE | {"crit": crit}, b64_=False), payload=PAYLOAD
        )
    yield _jws("crit without b64", HEAD, compact({"alg": "ES256", "crit": ["b64"]}))
    yield _jws("b64 without crit", HEAD, compact({"alg": "ES256", "b64": False}, b64_=False), payload=PAYLOAD)
    yield _jws("b64 true under crit", HEAD, compact({"alg": "ES256", "crit": ["b64"], "b64": True}))
    for name, raw in {
        "alg twice": b'{"alg":"none","alg":"ES256"}', "alg twice, turned round": b'{"alg":"ES256","alg":"none"}',
        "alg twice by an escape": b'{"alg":"ES256","\\u0061lg":"none"}', "NaN": b'{"alg":"ES256","x":NaN}',
        "fraction": b'{"alg":"ES256","x":1.0}', "big integer": b'{"alg":"ES256","x":9007199254740992}',
        "lone surrogate": b'{"alg":"ES256","kid":"\\ud800"}', "byte order mark": b'\xef\xbb\xbf{"alg":"ES256"}',
        "trailing bytes": b'{"alg":"ES256"}x', "trailing comma": b'{"alg":"ES256",}', "array": b'["ES256"]',
        "text": b'"ES256"', "null": b"null", "empty": b"", "not UTF-8": b'{"alg":"ES256","kid":"\xff"}',
        "deep": b'{"alg":"ES256","x":' + b"[" * 99 + b"]" * 99 + b"}",
        "of 20 KiB": dumps({"alg": "ES256", "kid": "x" * 20_000}),
    }.items():  # fmt: skip
        yield _jws(f"header {name}", FORM, compact(raw))


def _tokens() -> Iterator[Vector]:
    token = compact()
    head, body, signature = token.split(".")
    for name, text in {
        "padding of the header": f"{head}=.{body}.{signature}", "padding of the payload": f"{head}.{body}=.{signature}",
        "padding of the signature": f"{token}==", "space inside": f"{head} .{body}.{signature}",
        "line feed at the end": f"{token}\n", "line feed inside": f"{head}.{body[:4]}\n{body[4:]}.{signature}",
        "space before": f" {token}", "standard alphabet": f"{head}.{body}.{signature[:-2]}+/",
        "outside the alphabet": f"{head}.{body}.{signature[:-1]}~", "not ASCII": f"{head}.{body}.{signature[:-1]}é",
        "fullwidth digit": f"{head}.{body}.{signature[:-1]}Ａ", "a digit too few": token[:-1],
        "trailing bits of the signature": token[:-1] + _loose(signature),
        "two segments": f"{head}.{signature}", "four segments": f"{token}.", "one segment": head, "empty": "",
        "dots": "..",
        "five segments": f"{token}..", "no header": f".{body}.{signature}",
    }.items():  # fmt: skip
        yield _jws(f"token with {name}", FORM, text)
    yield _jws("token without a signature", SIG, f"{head}.{body}.")
    yield _jws("token with another payload", SIG, f"{head}.{b64(b'other')}.{signature}")
    yield _jws("token without its payload", SIG, f"{head}..{signature}")
    yield _jws(
        "token with another header", SIG, f"{b64(dumps({'alg': 'ES256', 'kid': 'k2'}))}.{body}.{signature}"
    )
    yield _jws("detached with another payload", SIG, compact(LOOSE, b64_=False), payload=PAYLOAD + b" ")
    yield _jws("unencoded, no payload given", FORM, compact(LOOSE, b64_=False))
    yield _jws(
        "declared unencoded, signed encoded", SIG, f"{b64(dumps(LOOSE))}..{jws(LOOSE)[2]}", payload=PAYLOAD
    )


def _loose(text: str) -> str:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return alphabet[alphabet.index(text[-1]) + 1]


def _values() -> Iterator[Vector]:
    head, body, signature = jws()
    raw = unb64(signature)
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")

    def pair(first: int, second: int) -> str:
        return f"{head}.{body}.{b64(first.to_bytes(32, 'big') + second.to_bytes(32, 'big'))}"

    yield _jws("high s", HIGH, pair(r, ORDER - s))
    for name, (first, second) in {
        "r zero": (0, s), "s zero": (r, 0), "both zero": (0, 0), "r the order": (ORDER, s), "s the order": (r, ORDER),
        "s beyond the order": (r, min(s + ORDER, 2**256 - 1)), "r and s swapped": (s, r), "r one more": (r + 1, s),
        "r all ones": (2**256 - 1, s),
    }.items():  # fmt: skip
        yield _jws(f"signature with {name}", SIG, pair(first, second))
    for bit in (0, 100, 255, 300, 511):
        yield _jws(
            f"signature with bit {bit} flipped", SIG, f"{head}.{body}.{b64(flip(bit // 8, bit % 8)(raw))}"
        )
    for name, value in {
        "one byte short": raw[:-1],
        "one byte long": raw + b"\0",
        "twice": raw * 2,
        "r alone": raw[:32],
    }.items():
        yield _jws(f"signature {name}", SIG, f"{head}.{body}.{b64(value)}")


def _keys() -> Iterator[Vector]:
    token = compact()
    yield _jws("another key", SIG, token, jwk(OTHER))
    yield _jws("key for encryption", KEY, token, jwk(SIGNER, use="enc"))
    yield _jws("key for another algorithm", KEY, token, jwk(SIGNER, alg="ES384"))
    yield _jws("key for other operations", KEY, token, jwk(SIGNER, key_ops=["encrypt"]))
    yield _jws("key operations no list", KEY, token, jwk(SIGNER, key_ops="verify"))
    yield _jws("key on P-384", KEY, token, jwk(new_key(ec.SECP384R1()), crv="P-384"))
    yield _jws("key on P-384 called P-256", KEY, token, jwk(new_key(ec.SECP384R1())))
    yield _jws("key off the curve", KEY, token, jwk(SIGNER) | {"y": b64(b"\1" * 32)})
    yield _jws("key at zero", KEY, token, jwk(SIGNER) | {"x": b64(bytes(32)), "y": b64(bytes(32))})
    yield _jws("key with a short coordinate", KEY, token, jwk(SIGNER) | {"x": b64(bytes(31))})
    yield _jws("key with a padded coordinate", FORM, token, jwk(SIGNER) | {"x": jwk(SIGNER)["x"] + "="})
    yield _jws("key symmetric", KEY, token, {"kty": "oct", "k": b64(b"k" * 32)})
    yield _jws("key RSA", KEY, token, {"kty": "RSA", "n": "AQAB", "e": "AQAB"})
    yield _jws("key without coordinates", KEY, token, {"kty": "EC", "crv": "P-256"})
    yield _jws("key ML-DSA for ES256", KEY, token, AKP)


def _objects() -> Iterator[Vector]:
    head, body, signature = jws()
    good = {"protected": head, "signature": signature}
    bad = {"protected": head, "signature": b64(bytes(64))}
    yield _jws(
        "flattened with an unprotected header", HEAD, {"payload": body, **good, "header": {"kid": "x"}}
    )
    yield _jws("flattened without a protected header", FORM, {"payload": body, "signature": signature})
    yield _jws(
        "flattened with all of its header unprotected",
        HEAD,
        {"payload": body, "signature": signature, "header": {"alg": "ES256"}},
    )
    yield _jws("flattened and general at once", FORM, {"payload": body, **good, "signatures": [good]})
    yield _jws("general without signatures", FORM, {"payload": body, "signatures": []})
    yield _jws("general with a bad signature behind", SIG, {"payload": body, "signatures": [good, bad]})
    yield _jws("general with a bad signature before", SIG, {"payload": body, "signatures": [bad, good]})
    yield _jws(
        "general with alg none behind",
        ALG,
        {"payload": body, "signatures": [good, {"protected": b64(b'{"alg":"none"}'), "signature": ""}]},
    )
    yield _jws("general with a number as signature", FORM, {"payload": body, "signatures": [1]})
    yield _jws("general with a text as signatures", FORM, {"payload": body, "signatures": "x"})
    yield _jws("payload a number", FORM, {"payload": 1, **good})
    yield _jws("signature a number", FORM, {"payload": body, "protected": head, "signature": 1})
    yield _jws("a list", FORM, [good])
    yield _jws("an empty object", FORM, {})
    yield _jws("with another payload", SIG, {"payload": b64(b"other"), **good})


def _lattice() -> Iterator[Vector]:
    head, body, signature = jws(key=LATTICE)
    raw = unb64(signature)
    yield _jws("ML-DSA-65 with a bit flipped", SIG, f"{head}.{body}.{b64(flip(100)(raw))}", AKP)
    yield _jws("ML-DSA-65 one byte short", SIG, f"{head}.{body}.{b64(raw[:-1])}", AKP)
    yield _jws("ML-DSA-65 one byte long", SIG, f"{head}.{body}.{b64(raw + bytes(1))}", AKP)
    yield _jws("ML-DSA-65 empty", SIG, f"{head}.{body}.", AKP)
    yield _jws("ML-DSA-65 over another payload", SIG, f"{head}.{b64(b'other')}.{signature}", AKP)
    with_context = LATTICE.sign(f"{head}.{body}".encode(), context=b"ecluse")
    yield _jws("ML-DSA-65 under a context", SIG, f"{head}.{body}.{b64(with_context)}", AKP)
    other = MLDSA65PrivateKey.generate().public_key().public_bytes_raw()
    yield _jws("ML-DSA-65 by another key", SIG, f"{head}.{body}.{signature}", AKP | {"pub": b64(other)})
    small = MLDSA44PrivateKey.generate()
    weaker = b64(small.sign(f"{head}.{body}".encode()))
    yield _jws("ML-DSA-65 named, ML-DSA-44 inside", SIG, f"{head}.{body}.{weaker}", AKP)
    yield _jws(
        "ML-DSA-65 with a key of ML-DSA-44",
        KEY,
        f"{head}.{body}.{weaker}",
        AKP | {"pub": b64(small.public_key().public_bytes_raw())},
    )
    yield _jws("ML-DSA-65 with an EC key", KEY, f"{head}.{body}.{signature}", jwk(SIGNER))
    yield _jws("ES256 named, ML-DSA-65 inside", SIG, f"{jws()[0]}.{body}.{signature}")
    yield _jws("ML-DSA-65 with a key for ES256", KEY, f"{head}.{body}.{signature}", AKP | {"alg": "ES256"})


def _encrypted() -> Iterator[Vector]:
    headers: dict[str, dict[str, Any]] = {
        "alg ECDH-ES+A256KW": {"alg": "ECDH-ES+A256KW"}, "alg dir": {"alg": "dir"}, "alg RSA-OAEP": {"alg": "RSA-OAEP"},
        "alg PBES2": {"alg": "PBES2-HS256+A128KW", "p2c": 10**8, "p2s": "x"}, "alg none": {"alg": "none"},
        "alg null": {"alg": 0},
        "enc A128GCM": {"enc": "A128GCM"}, "enc A128CBC-HS256": {"enc": "A128CBC-HS256"}, "enc none": {"enc": "none"},
        "no enc": {"enc": None}, "alg RSA1_5": {"alg": "RSA1_5"}, "alg A256GCMKW": {"alg": "A256GCMKW"},
    }  # fmt: skip
    for name, changes in headers.items():
        yield _jwe(name, ALG, jwe_parts(changes))
    for name, value in {
        "zip": "DEF",
        "crit": [],
        "jku": "https://key.invalid",
        "p2c": 1,
        "jwk": {},
        "x5c": [],
    }.items():
        yield _jwe(f"member {name}", HEAD, jwe_parts({name: value}))
    point = jwk(new_key())
    for name, epk in {
        "off the curve": point | {"y": b64(b"\1" * 32)}, "at zero": point | {"x": b64(bytes(32)), "y": b64(bytes(32))},
        "without y": {"kty": "EC", "crv": "P-256", "x": point["x"]}, "with d": point | {"d": b64(b"d" * 32)},
        "with a short x": point | {"x": point["x"][:-2]}, "with a padded x": point | {"x": point["x"] + "="},
        "beyond the field": point | {"x": b64(b"\xff" * 32)}, "a text": "x", "null": 0, "a list": [], "empty": {},
        "of kty RSA": point | {"kty": "RSA"}, "with a member too many": point | {"kid": "x"},
    }.items():  # fmt: skip
        yield _jwe(f"epk {name}", FORM, jwe_parts({"epk": epk}))
    yield _jwe("no epk", FORM, jwe_parts({"epk": None}))
    yield _jwe("epk on P-384", ALG, jwe_parts(curve=ec.SECP384R1()))
    yield _jwe("epk X25519", ALG, jwe_parts({"epk": {"kty": "OKP", "crv": "X25519", "x": b64(bytes(32))}}))
    yield _jwe("header with alg twice", FORM, jwe_parts(raw=lambda header: header[:-1] + b',"alg":"dir"}'))
    yield _jwe("header with NaN", FORM, jwe_parts(raw=lambda header: header[:-1] + b',"x":NaN}'))
    yield _jwe("header an array", FORM, jwe_parts(raw=lambda header: b"[" + header + b"]"))
    yield _jwe("apu another than derived with", SHUT, jwe_parts({"apu": b64(b"fra.police-demo")}))
    yield _jwe("apv another than derived with", SHUT, jwe_parts({"apv": b64(b"\1" * 32)}))
    yield _jwe("apu padded", FORM, jwe_parts({"apu": b64(b"bel.ocam") + "="}))
    yield _jwe("derived for another enc", SHUT, jwe_parts(info=("A128GCM", b"bel.ocam", b"\0" * 32)))
    parts = jwe_parts()

    def with_part(place: int, text: str) -> list[str]:
        return [text if number == place else part for number, part in enumerate(parts)]

    for place, name in ((2, "nonce"), (3, "ciphertext"), (4, "tag")):
        yield _jwe(f"bit flipped in {name}", SHUT, with_part(place, b64(flip(3)(unb64(parts[place])))))
        yield _jwe(f"padding of {name}", FORM, with_part(place, parts[place] + "="))
        yield _jwe(f"space in {name}", FORM, with_part(place, parts[place] + " "))
    yield _jwe("an encrypted key", FORM, with_part(1, b64(bytes(40))))
    yield _jwe("nonce of 16 bytes", FORM, with_part(2, b64(bytes(16))))
    yield _jwe("tag of 12 bytes", FORM, with_part(4, b64(unb64(parts[4])[:12])))
    yield _jwe("no tag", FORM, with_part(4, ""))
    yield _jwe("no ciphertext", SHUT, with_part(3, ""))
    yield _jwe("header of another", SHUT, with_part(0, jwe_parts()[0]))
    yield _jwe("four segments", FORM, parts[:4])
    yield _jwe("six segments", FORM, [*parts, ""])
    yield _jwe("a JWS", FORM, compact())
    yield _jwe("line feed at the end", FORM, ".".join(parts) + "\n")
    yield _jwe("another key", SHUT, parts, jwk(OTHER, private=True))
    yield _jwe("key without its private half", KEY, parts, jwk(READER))
    yield _jwe("key for signatures", KEY, parts, jwk(READER, private=True, use="sig"))
    yield _jwe("key whose halves differ", KEY, parts, jwk(READER) | {"d": jwk(OTHER, private=True)["d"]})
    yield _jwe("key on P-384", KEY, parts, jwk(new_key(ec.SECP384R1()), private=True, crv="P-384"))
