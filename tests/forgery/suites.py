"""Attacks on suites and signature profiles: downgrade, stripped, swapped and foreign second signatures, hostile JWE.

The Luxembourg partner has agreed on `jwe-ecdh-es-a256gcm` and profile `hybrid`; the Belgian one on HPKE and `classic`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA65PrivateKey

from tests.forgery.answers import AGREED, HELD, READ, SEAL_MEMBERS, UUID
from tests.forgery.arena import LU, NL, Arena, Attack
from tests.forgery.forge import (
    HPKE,
    HPKE_SUITE,
    JWE_SUITE,
    Edit,
    Second,
    b64,
    constant,
    detached,
    drop,
    dumps,
    flip,
    framed,
    new_key,
    put,
    sha,
    unb64,
    write,
)
from tests.service.world import BE

BYTES = "receipt malformed"


def suites() -> Iterator[Attack]:
    """Every attack of this file."""
    yield from _downgrades()
    yield from _seconds()
    yield from _second_headers()
    yield from _jwe_headers()
    yield from _jwe_tokens()


def _spoilt(name: str, expect: str, **edits: Edit) -> Attack:
    """A message of the Luxembourg partner with these layers edited."""
    return Attack(name, expect, lambda arena: arena.batch(edits, org=LU), LU)


# --- downgrade and upgrade -------------------------------------------------------------------------------------------


def _downgrades() -> Iterator[Attack]:
    yield Attack("profile classic where hybrid is agreed", AGREED, _classic, LU)
    yield Attack("profile classic claimed over two signatures", AGREED, _claimed, LU)
    yield Attack("profile hybrid, first signature alone", HELD, _stripped, LU)
    yield Attack("profile hybrid, second signature alone", READ, _second_alone, LU)
    yield Attack("profile hybrid, signatures swapped", READ, _swapped, LU)
    yield Attack("profile hybrid where classic is agreed, both sign", AGREED, _upgraded)
    yield Attack("second signature where classic is agreed", HELD, _second_beside)
    yield Attack("suite HPKE where JWE is agreed", AGREED, _hpke, LU)
    yield Attack("suite JWE where HPKE is agreed", AGREED, _jwe)
    yield Attack("suite JWE in the preamble over an HPKE ciphertext", READ, _hpke_inside, LU)
    yield Attack(
        "suite HPKE in the preamble over a JWE",
        READ,
        lambda arena: arena.batch({"preamble": put(suite=HPKE_SUITE)}, org=LU),
        LU,
    )
    yield Attack(
        "suite JWE with the key id of HPKE",
        READ,
        lambda a: a.batch({"members": put(enc_kid=a.seats[BE].members["enc_kid"])}, org=LU),
        LU,
    )


def _classic(arena: Arena) -> bytes:
    base = replace(arena.base(LU), second=None)
    return framed([write(base, {"members": put(sig_profile="classic")})])


def _claimed(arena: Arena) -> bytes:
    return arena.batch({"members": put(sig_profile="classic")}, org=LU)


def _stripped(arena: Arena) -> bytes:
    return framed([write(replace(arena.base(LU), second=None))])


def _second_alone(arena: Arena) -> bytes:
    return arena.batch({"parts": lambda parts: [b"", parts[1], parts[2]]}, org=LU)


def _swapped(arena: Arena) -> bytes:
    return arena.batch({"parts": lambda parts: [parts[1], parts[0], parts[2]]}, org=LU)


def _upgraded(arena: Arena) -> bytes:
    second = arena.seats[LU].second
    return framed([write(replace(arena.base(), second=second), {"members": put(sig_profile="hybrid")})])


def _second_beside(arena: Arena) -> bytes:
    return framed([write(replace(arena.base(), second=arena.seats[LU].second))])


def _hpke(arena: Arena) -> bytes:
    kid = arena.seats[BE].members["enc_kid"]
    return arena.batch(org=LU, suite=HPKE_SUITE, enc_kid=kid)


def _jwe(arena: Arena) -> bytes:
    kid = arena.seats[LU].members["enc_kid"]
    return arena.batch(suite=JWE_SUITE, enc_kid=kid)


def _hpke_inside(arena: Arena) -> bytes:
    held: dict[str, bytes] = {}

    def keep(name: str) -> Edit:
        def edit(raw: bytes) -> bytes:
            held[name] = raw
            return raw

        return edit

    def other(_: bytes) -> bytes:
        info = b"ecluse/hpke/1\n" + hashlib.sha256(held["line"]).digest()
        return HPKE.encrypt(held["plaintext"], arena.addressee, info=info)

    return arena.batch({"line": keep("line"), "plaintext": keep("plaintext"), "ciphertext": other}, org=LU)


# --- the second signature --------------------------------------------------------------------------------------------


def _with_second(change: Callable[[Arena, Second], Second]) -> Callable[[Arena], bytes]:
    def build(arena: Arena) -> bytes:
        base = arena.base(LU)
        assert base.second is not None
        return framed([write(replace(base, second=change(arena, base.second)))])

    return build


def _seconds() -> Iterator[Attack]:
    signatures: dict[str, Edit] = {
        "with a bit flipped": flip(1000),
        "with its last bit flipped": flip(-1, 7),
        "one byte short": lambda raw: raw[:-1],
        "one byte long": lambda raw: raw + b"\0",
        "empty": constant(b""),
        "zero": lambda raw: bytes(len(raw)),
        "of ones": lambda raw: b"\xff" * len(raw),
        "of 64 bytes": lambda raw: raw[:64],
    }
    for name, edit in signatures.items():
        yield _spoilt(f"second signature {name}", HELD, second_signature=edit)
    yield Attack("second signature by nobody's key", HELD, _with_second(
        lambda _, second: replace(second, key=MLDSA65PrivateKey.generate())), LU)  # fmt: skip
    yield Attack("second signature under an unknown kid", HELD, _with_second(
        lambda _, second: replace(second, kid="lux.police-demo/other")), LU)  # fmt: skip
    yield Attack("second signature under the first kid", HELD, _with_second(
        lambda arena, second: replace(second, kid=arena.seats[LU].members["kid"])), LU)  # fmt: skip
    yield Attack("second signature with another certificate", HELD, _with_second(
        lambda _, second: replace(second, x5t="A" * 43)), LU)  # fmt: skip
    yield Attack("second signature with the first certificate", HELD, _with_second(
        lambda arena, second: replace(second, x5t=arena.seats[LU].members["x5t#S256"])), LU)  # fmt: skip
    yield Attack("second signature of another message", HELD, _second_of_another, LU)
    yield Attack("second signature over another payload", HELD, _second_over(lambda raw: raw + b" "), LU)
    yield Attack("second signature under a context", HELD, _under_context, LU)
    yield Attack("second signature by ML-DSA-44", HELD, _weaker, LU)
    yield Attack(
        "first signature by nobody, second true",
        HELD,
        lambda a: a.batch({"key": lambda _: new_key()}, org=LU),
        LU,
    )
    yield Attack(
        "first signature flipped, second true", HELD, lambda a: a.batch({"signature": flip(9)}, org=LU), LU
    )
    yield Attack(
        "first signature twice", BYTES, lambda a: a.batch({"parts": lambda p: [p[0], p[0], p[2]]}, org=LU), LU
    )
    yield Attack("second signature by ES256", BYTES, _two_es256, LU)
    yield Attack("second signature with its payload attached", BYTES, _second_token(
        lambda token: token.replace("..", f".{b64(b'x')}.")), LU)  # fmt: skip
    tokens: dict[str, Callable[[str], str]] = {
        "padded": lambda token: token + "=",
        "with a space": lambda token: token + " ",
        "of two segments": lambda token: token.replace("..", "."),
        "of four segments": lambda token: token + ".",
        "that is text": lambda token: "x",
        "with loose bits": lambda token: token[:-1] + _loose(token[-1]),
    }
    for name, change in tokens.items():
        yield Attack(f"second token {name}", BYTES, _second_token(change), LU)


def _loose(digit: str) -> str:
    """Bytes of 3309 end on a whole digit; a digit more is one too many."""
    return digit + "A"


def _second_token(change: Callable[[str], str]) -> Callable[[Arena], bytes]:
    return lambda arena: arena.batch({"second": lambda raw: change(raw.decode()).encode()}, org=LU)


def _second_of_another(arena: Arena) -> bytes:
    other = arena.base(LU)
    assert other.second is not None
    header = dict(other.members) | {"alg": "ML-DSA-65", "kid": other.second.kid, "x5t#S256": other.second.x5t}
    signed = b64(dumps(header | {"payload_sha256": sha(other.payload)})).encode() + b"." + other.payload
    return arena.batch({"second_signature": constant(other.second.key.sign(signed))}, org=LU)


def _second_input(arena: Arena, sign: Callable[[Second, bytes], bytes]) -> bytes:
    """A second signature made by this function over the true input."""
    base = arena.base(LU)
    second = base.second
    assert second is not None
    held: dict[str, bytes] = {}

    def keep(raw: bytes) -> bytes:
        held["protected"] = raw
        return raw

    def signature(_: bytes) -> bytes:
        return sign(second, b64(held["protected"]).encode() + b"." + base.payload)

    return framed([write(base, {"second_protected": keep, "second_signature": signature})])


def _second_over(change: Callable[[bytes], bytes]) -> Callable[[Arena], bytes]:
    return lambda arena: _second_input(arena, lambda second, raw: second.key.sign(change(raw)))


def _under_context(arena: Arena) -> bytes:
    return _second_input(arena, lambda second, raw: second.key.sign(raw, context=b"ecluse/msg/1\n"))


def _weaker(arena: Arena) -> bytes:
    return _second_input(arena, lambda _, raw: MLDSA44PrivateKey.generate().sign(raw))


def _two_es256(arena: Arena) -> bytes:
    """Two signatures of the classic key, where a quantum computer would need to forge only one kind."""
    base = arena.base(LU)
    header = dict(base.members) | {"payload_sha256": sha(base.payload)}
    return framed([write(base, {"second": constant(detached(header, base.payload, base.key).encode())})])


def _second_headers() -> Iterator[Attack]:
    """Each member of the second header changed alone: it says another thing than the first."""
    others: dict[str, Any] = {
        "typ": "ecluse-msg-void+jws", "cty": "text/plain", "iat": 1, "exp": 2**40, "iss": BE, "aud": NL,
        "enc_kid": "other", "suite": HPKE_SUITE, "sig_profile": "classic", "jti": UUID, "conv": UUID, "seq": 2,
        "mode": "operational", "agreement": "0" * 64, "payload_sha256": "0" * 64, "checkpoint": "x",
    }  # fmt: skip
    for name, value in others.items():
        yield _spoilt(f"second header says another {name}", HELD, second_header=put(**{name: value}))
    for name in SEAL_MEMBERS:
        yield _spoilt(f"second header without {name}", BYTES, second_header=drop(name))
    for alg in ("none", "ES256", "ML-DSA-44", "ML-DSA-87", "HS256"):
        yield _spoilt(f"second header with alg {alg}", BYTES, second_header=put(alg=alg))
    for name, value in {"crit": [], "b64": True, "jwk": {}, "x5c": []}.items():
        yield _spoilt(f"second header with {name}", BYTES, second_header=put(**{name: value}))
    yield _spoilt(
        "second header unordered",
        BYTES,
        second_protected=lambda raw: dumps(dict(reversed(json.loads(raw).items()))),
    )
    yield _spoilt("second header spaced", BYTES, second_protected=lambda raw: raw.replace(b",", b", ", 1))
    yield _spoilt(
        "second header with alg twice", BYTES, second_protected=lambda raw: raw[:-1] + b',"alg":"ES256"}'
    )


# --- JWE -------------------------------------------------------------------------------------------------------------


def _jwe_headers() -> Iterator[Attack]:
    value: Any
    for name, value in {
        "alg": "ECDH-ES+A256KW", "enc": "A128GCM", "apu": b64(b"bel.ocam"), "apv": b64(bytes(32)), "epk": {},
    }.items():  # fmt: skip
        yield _spoilt(f"JWE with another {name}", READ, jwe_header=put(**{name: value}))
        yield _spoilt(f"JWE without {name}", READ, jwe_header=drop(name))
        yield _spoilt(f"JWE with {name} null", READ, jwe_header=put(**{name: None}))
    for alg in ("dir", "none", "RSA-OAEP", "PBES2-HS512+A256KW", "ECDH-1PU", "A256KW"):
        yield _spoilt(f"JWE alg {alg}", READ, jwe_header=put(alg=alg))
    for enc in ("A256CBC-HS512", "A192GCM", "none", "XC20P"):
        yield _spoilt(f"JWE enc {enc}", READ, jwe_header=put(enc=enc))
    for name, value in {
        "zip": "DEF", "p2c": 10**8, "p2s": "x", "crit": ["exp"], "kid": "x", "typ": "JWE", "cty": "x",
        "jku": "https://x.invalid",
        "x5c": [], "jwk": {}, "b64": False,
    }.items():  # fmt: skip
        yield _spoilt(f"JWE with a member too many: {name}", READ, jwe_header=put(**{name: value}))
    for name, change in {
        "off the curve": {"y": b64(b"\1" * 32)}, "at zero": {"x": b64(bytes(32)), "y": b64(bytes(32))},
        "with crv P-384": {"crv": "P-384"}, "with kty OKP": {"kty": "OKP"}, "with d": {"d": b64(b"d" * 32)},
        "with a short x": {"x": b64(bytes(31))}, "with a long x": {"x": b64(bytes(33))},
        "with a padded x": {"x": "A" * 43 + "="},
        "beyond the field": {"x": b64(b"\xff" * 32)}, "with a kid": {"kid": "x"},
    }.items():  # fmt: skip
        yield _spoilt(f"JWE epk {name}", READ, jwe_header=_epk(change))
    yield _spoilt("JWE epk of another key", READ, jwe_header=lambda h: h | {"epk": _point(new_key())})
    headers: dict[str, Edit] = {
        "unordered": lambda raw: dumps(dict(reversed(json.loads(raw).items()))),
        "spaced": lambda raw: raw.replace(b",", b", ", 1),
        "with alg twice": lambda raw: b'{"alg":"dir",' + raw[1:],
        "escaped": lambda raw: raw.replace(b'"alg"', b'"\\u0061lg"'),
        "an array": lambda raw: b"[" + raw + b"]",
        "empty": constant(b""),
        "of 600 bytes": lambda raw: raw[:-1] + b" " * 600 + b"}",
        "with a byte order mark": lambda raw: b"\xef\xbb\xbf" + raw,
    }
    for name, edit in headers.items():
        yield _spoilt(f"JWE header {name}", READ, jwe_protected=edit)


def _epk(change: Mapping[str, Any]) -> Edit:
    return lambda header: header | {"epk": header["epk"] | change}


def _point(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    return {
        "kty": "EC",
        "crv": "P-256",
        "x": b64(numbers.x.to_bytes(32, "big")),
        "y": b64(numbers.y.to_bytes(32, "big")),
    }


def _jwe_tokens() -> Iterator[Attack]:
    def part(place: int, change: Callable[[str], str]) -> Edit:
        return lambda parts: [change(one) if number == place else one for number, one in enumerate(parts)]

    for place, name in enumerate(("header", "encrypted key", "nonce", "content", "tag")):
        yield _spoilt(f"JWE {name} padded", READ, jwe=part(place, lambda one: one + "="))
        yield _spoilt(f"JWE {name} with a space", READ, jwe=part(place, lambda one: one + " "))
        yield _spoilt(f"JWE {name} with a line feed", READ, jwe=part(place, lambda one: one + "\n"))
        if place != 1:
            yield _spoilt(f"JWE {name} missing", READ, jwe=part(place, lambda _: ""))
            yield _spoilt(
                f"JWE {name} with a bit flipped", READ, jwe=part(place, lambda one: b64(flip(5)(unb64(one))))
            )
            yield _spoilt(f"JWE {name} cut", READ, jwe=part(place, lambda one: one[:-4]))
    yield _spoilt("JWE with an encrypted key", READ, jwe=part(1, lambda _: b64(bytes(40))))
    yield _spoilt("JWE of four segments", READ, jwe=lambda parts: parts[:4])
    yield _spoilt("JWE of six segments", READ, jwe=lambda parts: [*parts, ""])
    yield _spoilt(
        "JWE in JSON", READ, ciphertext=lambda raw: json.dumps({"protected": raw.decode()}).encode()
    )
    yield _spoilt("JWE not ASCII", READ, ciphertext=lambda raw: raw[:-1] + "é".encode())
    yield _spoilt("JWE with a byte behind", READ, sealed=lambda raw: raw + b"\n")
    yield _spoilt("JWE plaintext of another bucket", READ, plaintext=lambda raw: raw[:4096])
    yield _spoilt("JWE plaintext a byte longer", READ, plaintext=lambda raw: raw + b"\0")
    yield Attack("JWE to a key that is not the receiver's", READ, _to_nobody, LU)
    yield Attack("JWE of another preamble", READ, _other_preamble, LU)


def _to_nobody(arena: Arena) -> bytes:
    return framed([write(replace(arena.base(LU), reader=new_key().public_key()))])


def _other_preamble(arena: Arena) -> bytes:
    line, _, _ = write(arena.base(LU)).partition(b"\n")
    _, _, token = write(arena.base(LU)).partition(b"\n")
    return framed([line + b"\n" + token])
