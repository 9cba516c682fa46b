"""Attacks on the signature of a seal: algorithm, value, key and certificate."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterator
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.service import provision
from tests.forgery.answers import AGREED, HELD, READ, spoilt
from tests.forgery.arena import DE, NL, Arena, Attack
from tests.forgery.forge import (
    ORDER,
    Edit,
    b64,
    constant,
    dumps,
    es256,
    framed,
    new_key,
    put,
    sha,
    swap,
    write,
)
from tests.service.world import BE


def signatures() -> Iterator[Attack]:
    """Every attack of this file."""
    yield from _algorithms()
    yield from _values()
    yield from _keys()


# --- algorithms ------------------------------------------------------------------------------------------------------


def _algorithms() -> Iterator[Attack]:
    for alg in ("none", "None", "NONE", "", "HS256", "ES384", "ES512", "ES256K", "RS256", "PS256", "EdDSA",
                "Ed25519", "ML-DSA-44", "ML-DSA-65", "ML-DSA-87", "es256", "ES256 ", "ES256\0"):  # fmt: skip
        yield spoilt(f"alg {alg!r}", READ, header=put(alg=alg))
    for value in (None, 256, ["ES256"], {"ES256": 1}, True):
        yield spoilt(f"alg {json.dumps(value)}", READ, header=put(alg=value))
    yield spoilt("alg none without a signature", READ, header=put(alg="none"), signature=constant(b""))
    yield spoilt("no signature", HELD, signature=constant(b""))
    yield Attack("HS256 under the public key as the secret", READ, _hmac_of_public)
    yield Attack("ES256 named, HMAC under the public key inside", HELD, _hmac_named_es256)
    yield Attack("ES384 by a P-384 key", READ, _es384)
    yield Attack(
        "ES256 named, signed with P-384 and SHA-256", HELD, _by(ec.generate_private_key(ec.SECP384R1()))
    )
    yield Attack("ES256 named, signed with secp256k1", HELD, _by(ec.generate_private_key(ec.SECP256K1())))
    yield Attack("ES256 named, RSA signature inside", HELD, _rsa)
    yield Attack("ES256 named, Ed25519 signature inside", HELD, _ed25519)
    yield Attack("ES256 over SHA-384", HELD, _sha384)
    yield spoilt("suite unknown", READ, members=put(suite="none"))
    yield spoilt("suite of the seal unknown", READ, header=put(suite="hpke-x25519-a128gcm"))
    yield spoilt("signature profile hybrid where classic is agreed", AGREED, header=put(sig_profile="hybrid"))
    yield spoilt("signature profile unknown", READ, header=put(sig_profile="none"))
    yield spoilt("signature profile empty", READ, header=put(sig_profile=""))


def _signed_by(make: Callable[[Arena, bytes], bytes], **edits: Edit) -> Callable[[Arena], bytes]:
    """A message whose signature this function makes over the true signing input."""

    def build(arena: Arena) -> bytes:
        held: dict[str, bytes] = {}

        def keep(raw: bytes) -> bytes:
            held["input"] = raw
            return raw

        return arena.batch({**edits, "input": keep, "signature": lambda _: make(arena, held["input"])})

    return build


def _public(arena: Arena) -> bytes:
    public = arena.seats[BE].key.public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


_hmac_of_public = _signed_by(
    lambda arena, raw: hmac.digest(_public(arena), raw, "sha256"), header=put(alg="HS256")
)
_hmac_named_es256 = _signed_by(lambda arena, raw: hmac.digest(_public(arena), raw, "sha256"))


def _by(key: ec.EllipticCurvePrivateKey) -> Callable[[Arena], bytes]:
    def sign_raw(_: Arena, raw: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(raw, ec.ECDSA(hashes.SHA256())))
        return (r % 2**256).to_bytes(32, "big") + (s % 2**256).to_bytes(32, "big")

    return _signed_by(sign_raw)


def _rsa(arena: Arena) -> bytes:
    key = rsa.generate_private_key(65537, 2048)
    return _signed_by(lambda _, raw: key.sign(raw, padding.PKCS1v15(), hashes.SHA256()))(arena)


def _ed25519(arena: Arena) -> bytes:
    return _signed_by(lambda _, raw: Ed25519PrivateKey.generate().sign(raw))(arena)


def _es384(arena: Arena) -> bytes:
    key = new_key(ec.SECP384R1())

    def sign_raw(_: Arena, raw: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(raw, ec.ECDSA(hashes.SHA384())))
        return r.to_bytes(48, "big") + s.to_bytes(48, "big")

    return _signed_by(sign_raw, header=put(alg="ES384"))(arena)


def _sha384(arena: Arena) -> bytes:
    def sign_raw(_: Arena, raw: bytes) -> bytes:
        r, s = decode_dss_signature(arena.seats[BE].key.sign(raw, ec.ECDSA(hashes.SHA384())))
        return r.to_bytes(32, "big") + min(s, ORDER - s).to_bytes(32, "big")

    return _signed_by(sign_raw)(arena)


# --- signature values ------------------------------------------------------------------------------------------------


def _scalars(change: Callable[[int, int], tuple[int, int]]) -> Edit:
    def edit(signature: bytes) -> bytes:
        r, s = change(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    return edit


def _der(signature: bytes) -> bytes:
    return encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))


def _values() -> Iterator[Attack]:
    scalars: dict[str, Callable[[int, int], tuple[int, int]]] = {
        "high s": lambda r, s: (r, ORDER - s),
        "r zero": lambda r, s: (0, s),
        "s zero": lambda r, s: (r, 0),
        "both zero": lambda r, s: (0, 0),
        "r and s one": lambda r, s: (1, 1),
        "r the order": lambda r, s: (ORDER, s),
        "s the order": lambda r, s: (r, ORDER),
        "r and s the order": lambda r, s: (ORDER, ORDER),
        "r and s swapped": lambda r, s: (s, r),
        "r all ones": lambda r, s: (2**256 - 1, s),
        "s all ones": lambda r, s: (r, 2**256 - 1),
        "r plus one": lambda r, s: (r + 1, s),
        "s minus one": lambda r, s: (r, s - 1),
        "s half the order": lambda r, s: (r, ORDER // 2),
    }
    for name, change in scalars.items():
        yield spoilt(f"signature: {name}", HELD, signature=_scalars(change))
    values: dict[str, Edit] = {
        "in DER": _der,
        "one byte short": lambda raw: raw[:-1],
        "one byte long": lambda raw: raw + b"\0",
        "one byte before": lambda raw: b"\0" + raw,
        "twice": lambda raw: raw + raw,
        "of 48-byte scalars": lambda raw: bytes(16) + raw[:32] + bytes(16) + raw[32:],
        "r alone": lambda raw: raw[:32],
    }
    for name, edit in values.items():
        yield spoilt(f"signature: {name}", HELD, signature=edit)
    for bit in (0, 7, 255, 256, 263, 511):
        yield spoilt(f"signature: bit {bit} flipped", HELD, signature=_bit(bit))
    yield spoilt("signature over another payload", HELD, input=lambda raw: raw + b" ")
    yield spoilt("signature over the encoded payload (RFC 7515, not 7797)", HELD, input=_encoded)
    yield spoilt("signature over the payload alone", HELD, input=lambda raw: raw.split(b".", 1)[1])
    yield Attack("signature of another message", HELD, _of_another)
    yield Attack("seal of another message over this payload", HELD, _seal_of_another)


def _bit(position: int) -> Edit:
    def edit(raw: bytes) -> bytes:
        found = bytearray(raw)
        found[position // 8] ^= 0x80 >> position % 8
        return bytes(found)

    return edit


def _encoded(raw: bytes) -> bytes:
    head, payload = raw.split(b".", 1)
    return head + b"." + b64(payload).encode()


def _of_another(arena: Arena) -> bytes:
    other = arena.base()
    raw = b64(dumps(dict(other.members))).encode() + b"." + other.payload
    return arena.batch({"signature": constant(es256(other.key, raw))})


def _seal_of_another(arena: Arena) -> bytes:
    """A true seal of one message in the sealed form of another: every name agrees, but not the bytes."""
    base = arena.base()
    other = swap(b'"language":"fr"', b'"language":"nl"')(base.payload)
    return framed([write(base, {"sent": constant(other)})])


# --- keys ------------------------------------------------------------------------------------------------------------


def _keyed(name: str, key: str = "") -> Callable[[Arena], bytes]:
    """Signed with a key of this run, under its own name; ``key`` takes another key than the one named."""

    def build(arena: Arena) -> bytes:
        x5t = b64(bytes.fromhex(sha(name.encode())))
        return arena.batch({"header": put(kid=name, x5t=x5t), "key": constant(arena.keys[key or name])})

    return build


def _keys() -> Iterator[Attack]:
    for name in (
        "revoked",
        "expired",
        "expires-now",
        "future",
        "void-only",
        "typ-less",
        "as-receipt",
        "other-alg",
    ):
        yield Attack(f"key: our own, {name}", HELD, _keyed(f"{BE}/{name}"))
    for name in (f"{NL}/message", f"{NL}/receipt", f"{NL}/agreement", f"{DE}/message"):
        yield Attack(f"key: another partner's, {name}", HELD, _keyed(name))
    yield Attack("key: another partner's under our kid", HELD, _under_our_kid(f"{NL}/message"))
    yield Attack("key: nobody's under our kid", HELD, lambda arena: arena.batch({"key": constant(new_key())}))
    yield Attack("key: nobody's under its own kid", HELD, _nobody)
    yield Attack("key: our receipt key under its kid", HELD, _role("receipt"))
    yield Attack("key: the receiver's own message key", HELD, _receivers)
    yield Attack("key: our officer's, by thumbprint", HELD, _officers("be-requester"))
    yield Attack("key: the receiver's officer's, by thumbprint", HELD, _officers("fr-inbox"))
    yield Attack("key: our agreement key under its kid", HELD, _agreement_key)
    for kid in ("unknown", "../message", "*", "bel.ocam", "0"):
        yield spoilt(f"kid {kid!r}", HELD, header=put(kid=kid))
    for value in ("", "a" * 129, "with space", 'quo"te', "é", None, 7, ["x"]):
        yield spoilt(f"kid malformed {json.dumps(value)[:12]}", READ, header=put(kid=value))
    yield spoilt("x5t of another certificate", HELD, header=put(x5t="A" * 43))
    yield Attack("x5t of another partner's certificate", HELD, _foreign_x5t)
    for value in ("A" * 42, "A" * 44, "A" * 42 + "=", "", None):
        yield spoilt(
            f"x5t malformed {json.dumps(value)[-12:]}, {len(value or '')} long", READ, header=put(x5t=value)
        )


def _under_our_kid(name: str) -> Callable[[Arena], bytes]:
    return lambda arena: arena.batch({"key": constant(arena.keys[name])})


def _nobody(arena: Arena) -> bytes:
    return arena.batch({"header": put(kid="bel.ocam/nobody"), "key": constant(new_key())})


def _role(use: Any) -> Callable[[Arena], bytes]:
    def build(arena: Arena) -> bytes:
        held = arena.world.be.home
        (record,) = held.entry.keys_for(use)
        return arena.batch(
            {
                "header": put(kid=record.kid, x5t=record.x5t or "A" * 43),
                "key": constant(getattr(held.keys, use)),
            }
        )

    return build


def _receivers(arena: Arena) -> bytes:
    held = arena.world.fr.home
    record = held.entry.keys_for("message")[0]
    return arena.batch({"header": put(kid=record.kid, x5t=record.x5t), "key": constant(held.keys.message)})


def _officers(name: str) -> Callable[[Arena], bytes]:
    def build(arena: Arena) -> bytes:
        identity = arena.world.officers[name]
        return arena.batch({"header": put(kid=identity.kid), "key": constant(identity.key)})

    return build


def _agreement_key(arena: Arena) -> bytes:
    key = provision.read_officer_key(arena.world.founded.agreement_keys[BE])
    (record,) = arena.world.founded.homes[BE].entry.keys_for("agreement")
    return arena.batch({"header": put(kid=record.kid), "key": constant(key)})


def _foreign_x5t(arena: Arena) -> bytes:
    return arena.batch({"header": put(x5t=arena.seats[NL].members["x5t#S256"])})
