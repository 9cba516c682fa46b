"""A forger: writes sealed messages from the specification alone, and spoils any layer on the way.

Shares no code with the product: the standard library and `cryptography` only. What it makes without an edit is a
message that the gateway accepts, so an edit is the only reason for a refusal.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PublicKey, Suite
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash

HPKE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
HPKE_SUITE = "hpke-mlkem768-x25519-a256gcm"
JWE_SUITE = "jwe-ecdh-es-a256gcm"
BUCKETS = tuple(kib * 1024 for kib in (4, 16, 64, 256, 1024, 4096))
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256 (FIPS 186-5)

#: Members that stand in preamble and seal; the preamble adds ``v``.
SHARED = ("suite", "iss", "aud", "jti", "enc_kid")

#: Members of the seal, in the order of the wire.
SEAL = (
    *("alg", "kid", "typ", "cty", "crit", "b64", "x5t#S256", "iat", "exp", "iss", "aud", "enc_kid", "suite"),
    *("sig_profile", "jti", "conv", "seq", "mode", "agreement", "payload_sha256", "checkpoint"),
)

Edit = Callable[[Any], Any]
Edits = Mapping[str, Edit]

#: The layers, in the order in which they are made; an edit of one is what everything after it is made from.
STAGES = (
    *("payload", "members", "preamble", "line", "header", "protected", "input", "key", "signature", "jws"),
    *("second_header", "second_protected", "second_signature", "second"),
    *(
        "sent",
        "parts",
        "plaintext",
        "encapsulation",
        "jwe_header",
        "jwe_protected",
        "jwe",
        "ciphertext",
        "sealed",
    ),
)


def b64(raw: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def sha(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def dumps(value: Any) -> bytes:
    """Compact JSON, members in the order given."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def es256(key: EllipticCurvePrivateKey, raw: bytes, *, high: bool = False) -> bytes:
    """r ‖ s with the lower s, as the specification demands; ``high`` gives its equally valid twin."""
    der = key.sign(raw, ECDSA(hashes.SHA256(), deterministic_signing=True))
    r, s = decode_dss_signature(der)
    low = min(s, ORDER - s)
    return r.to_bytes(32, "big") + (ORDER - low if high else low).to_bytes(32, "big")


SigningKey = EllipticCurvePrivateKey | MLDSA65PrivateKey


def sign(key: SigningKey, raw: bytes) -> bytes:
    """What a key of this kind makes, whatever a header says of it."""
    return key.sign(raw) if isinstance(key, MLDSA65PrivateKey) else es256(key, raw)


def compact(header: Mapping[str, Any] | bytes, payload: bytes, key: SigningKey) -> str:
    """An attached compact JWS under any header."""
    head = b64(header if isinstance(header, bytes) else dumps(header))
    body = b64(payload)
    return f"{head}.{body}.{b64(sign(key, f'{head}.{body}'.encode()))}"


def detached(header: Mapping[str, Any] | bytes, payload: bytes, key: SigningKey) -> str:
    """A detached compact JWS with ``b64`` false (RFC 7797) under any header."""
    head = b64(header if isinstance(header, bytes) else dumps(header))
    return f"{head}..{b64(sign(key, head.encode() + b'.' + payload))}"


def prefixed(part: bytes) -> bytes:
    return len(part).to_bytes(4, "big") + part


def framed(items: Sequence[bytes]) -> bytes:
    """A batch."""
    return b"".join(map(prefixed, items))


def padded(parts: Sequence[bytes]) -> bytes:
    """Parts behind their lengths, filled with zeros to the smallest bucket."""
    raw = framed(parts)
    used = len(raw) + 4
    bucket = next(size for size in BUCKETS if used <= size)
    return raw + prefixed(bytes(bucket - used))


@dataclass(frozen=True)
class Second:
    """The key of the second signature in profile hybrid."""

    key: MLDSA65PrivateKey
    kid: str
    x5t: str


@dataclass(frozen=True)
class Base:
    """An honest message before it is written: what it says, and the keys that its sender has for it."""

    members: Mapping[str, Any]  # of the seal, in the order of the wire
    payload: bytes
    key: EllipticCurvePrivateKey
    addressee: MLKEM768X25519PublicKey
    reader: ec.EllipticCurvePublicKey  # the addressee's key of the JWE suite
    second: Second | None = None


def write(base: Base, edits: Edits | None = None) -> bytes:
    """The sealed message of this base, each layer edited as asked."""
    edits = edits or {}
    unknown = edits.keys() - set(STAGES)
    assert not unknown, unknown

    def stage(name: str, value: Any) -> Any:
        return edits[name](value) if name in edits else value

    payload = stage("payload", base.payload)
    members = stage("members", dict(base.members) | {"payload_sha256": sha(payload)})
    preamble = stage("preamble", {"v": 1} | {name: members.get(name, "") for name in SHARED})
    line = stage("line", json.dumps(preamble, sort_keys=True, separators=(",", ":")).encode())
    header = stage("header", dict(members))
    protected = stage("protected", dumps(header))
    signed = stage("input", b64(protected).encode() + b"." + payload)
    key = stage("key", base.key)
    signature = stage("signature", es256(key, signed))
    jws = stage("jws", f"{b64(protected)}..{b64(signature)}")
    second = stage("second", _second(base, header, payload, stage))
    sent = stage("sent", payload)
    parts = stage("parts", [jws.encode(), second, sent])
    plaintext = stage("plaintext", padded(parts))
    if members.get("suite") == JWE_SUITE:
        made = ".".join(stage("jwe", _jwe(base, line, plaintext, stage))).encode()
    else:
        info = stage("encapsulation", b"ecluse/hpke/1\n" + hashlib.sha256(line).digest())
        made = HPKE.encrypt(plaintext, base.addressee, info=info)
    ciphertext = stage("ciphertext", made)
    sealed: bytes = stage("sealed", line + b"\n" + ciphertext)
    return sealed


Stage = Callable[[str, Any], Any]


def _second(base: Base, header: Mapping[str, Any], payload: bytes, stage: Stage) -> bytes:
    """The second signature of profile hybrid, empty in profile classic."""
    if base.second is None:
        return b""
    named = {"alg": "ML-DSA-65", "kid": base.second.kid, "x5t#S256": base.second.x5t}
    protected = stage("second_protected", dumps(stage("second_header", dict(header) | named)))
    signed = b64(protected).encode() + b"." + payload
    signature = stage("second_signature", base.second.key.sign(signed))
    return f"{b64(protected)}..{b64(signature)}".encode()


def _jwe(base: Base, line: bytes, plaintext: bytes, stage: Stage) -> list[str]:
    """The five segments of the JWE suite (RFC 7516 §7.1, RFC 7518 §4.6.2)."""
    ephemeral = new_key()
    numbers = ephemeral.public_key().public_numbers()
    header: dict[str, Any] = {
        "alg": "ECDH-ES", "enc": "A256GCM", "apu": b64(json.loads(line).get("iss", "").encode()),
        "apv": b64(hashlib.sha256(line).digest()),
        "epk": {"kty": "EC", "crv": "P-256", "x": b64(numbers.x.to_bytes(32, "big")),
                "y": b64(numbers.y.to_bytes(32, "big"))},
    }  # fmt: skip
    stated = stage("jwe_header", header)
    protected = b64(stage("jwe_protected", dumps(stated)))
    # Derived with what the header states: a reader that only derives would open another sender's name as well.
    parties = (unb64(stated.get(name) or "") for name in ("apu", "apv"))
    other = b"".join(prefixed(part) for part in (b"A256GCM", *parties)) + (256).to_bytes(4, "big")
    kdf = ConcatKDFHash(hashes.SHA256(), length=32, otherinfo=other)
    key = kdf.derive(ephemeral.exchange(ec.ECDH(), base.reader))
    nonce = bytes(12)  # the key is used once
    content = AESGCM(key).encrypt(nonce, plaintext, protected.encode())
    return [protected, "", b64(nonce), b64(content[:-16]), b64(content[-16:])]


# --- edits -----------------------------------------------------------------------------------------------------------


def put(**values: Any) -> Edit:
    """Members set to these values, in their place; ``x5t`` stands for ``x5t#S256``."""
    named = {"x5t#S256" if name == "x5t" else name: value for name, value in values.items()}
    return lambda members: members | named


def drop(name: str) -> Edit:
    return lambda members: {key: value for key, value in members.items() if key != name}


def swap(old: bytes, new: bytes, count: int = 1) -> Edit:
    """One text for another in bytes; it must be there, or the attack would be none."""

    def edit(raw: bytes) -> bytes:
        assert old in raw, old
        return raw.replace(old, new, count)

    return edit


def flip(position: int, bit: int = 0) -> Edit:
    """One bit turned over; a negative position counts from the end."""

    def edit(raw: bytes) -> bytes:
        found = bytearray(raw)
        found[position] ^= 1 << bit
        return bytes(found)

    return edit


def cut(position: int) -> Edit:
    return lambda raw: raw[:position]


def constant(value: Any) -> Edit:
    return lambda _: value


def new_key(curve: ec.EllipticCurve | None = None) -> EllipticCurvePrivateKey:
    return ec.generate_private_key(curve or ec.SECP256R1())
