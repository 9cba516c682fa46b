"""The partner protocol a second time, from `docs/partner-protocol.md` and primitives alone.

Nothing here imports the gateway: what the vectors hold was made by other code than the code they test. All keys come
from published seeds, so no key file exists anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, mlkem, x25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

HPKE, JWE = "hpke-mlkem768-x25519-a256gcm", "jwe-ecdh-es-a256gcm"
BUCKETS = (4096, 16384, 65536, 262144, 1048576, 4194304)
HPKE_ID = bytes.fromhex("647a00010002")  # KEM, KDF, AEAD
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # n of P-256

Members = dict[str, Any]


# --- §2 spelling -----------------------------------------------------------------------------------------------------


def b64u(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def from_b64u(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def ordered(value: object) -> bytes:
    """JSON with members as they stand, compact, nothing escaped that JSON does not force."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def canonical(value: object) -> bytes:
    """RFC 8785, for what occurs here: member names in ASCII, integers, text."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True).encode()


def sha256(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()


# --- §3 keys from published seeds ------------------------------------------------------------------------------------


def seed(name: str) -> bytes:
    """The 32-byte seed of a named key of the vectors."""
    return sha256(b"ecluse/vector/1\n" + name.encode())


def p256(name: str) -> ec.EllipticCurvePrivateKey:
    """Private scalar: the seed as a big-endian integer modulo n − 1, plus 1."""
    return ec.derive_private_key(int.from_bytes(seed(name), "big") % (ORDER - 1) + 1, ec.SECP256R1())


def log_key(name: str) -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.from_private_bytes(seed(name))


def ml_dsa(name: str) -> mldsa.MLDSA65PrivateKey:
    return mldsa.MLDSA65PrivateKey.from_seed_bytes(seed(name))


def kem(name: str) -> tuple[mlkem.MLKEM768PrivateKey, x25519.X25519PrivateKey]:
    expanded = hashlib.shake_256(seed(name)).digest(96)
    return (
        mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:64]),
        x25519.X25519PrivateKey.from_private_bytes(expanded[64:]),
    )


def spki(key: ec.EllipticCurvePrivateKey) -> str:
    return b64u(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def kem_public(name: str) -> bytes:
    first, second = kem(name)
    return first.public_key().public_bytes_raw() + second.public_key().public_bytes_raw()


# --- §9 signatures ---------------------------------------------------------------------------------------------------


def es256(message: bytes, key: ec.EllipticCurvePrivateKey, *, high: bool = False) -> bytes:
    """r ‖ s with the lower s (or, for a bad example, the higher one); RFC 6979."""
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)))
    low, other = min(s, ORDER - s), max(s, ORDER - s)
    return r.to_bytes(32, "big") + (other if high else low).to_bytes(32, "big")


def detached(header: bytes, payload: bytes, key: ec.EllipticCurvePrivateKey, *, high: bool = False) -> str:
    head = b64u(header)
    return f"{head}..{b64u(es256(head.encode() + b'.' + payload, key, high=high))}"


def detached_ml_dsa(
    header: bytes, payload: bytes, key: mldsa.MLDSA65PrivateKey, *, context: bytes | None = None
) -> str:
    head = b64u(header)
    return f"{head}..{b64u(key.sign(head.encode() + b'.' + payload, context))}"


def attached(header: bytes, payload: bytes, key: ec.EllipticCurvePrivateKey, *, high: bool = False) -> str:
    body = f"{b64u(header)}.{b64u(payload)}"
    return f"{body}.{b64u(es256(body.encode(), key, high=high))}"


# --- §8 plaintext and suites -----------------------------------------------------------------------------------------


def prefixed(part: bytes) -> bytes:
    return len(part).to_bytes(4, "big") + part


def plaintext(jws: str, second: str, payload: bytes) -> bytes:
    """Four parts that fill the smallest bucket."""
    parts = prefixed(jws.encode()) + prefixed(second.encode()) + prefixed(payload)
    bucket = next(size for size in BUCKETS if size >= len(parts) + 4)
    return parts + prefixed(bytes(bucket - len(parts) - 4))


def shared_secret(ss_m: bytes, ss_x: bytes, ct_x: bytes, pk_x: bytes) -> bytes:
    """The combiner of X-Wing."""
    return hashlib.sha3_256(ss_m + ss_x + ct_x + pk_x + b"\\.//^\\").digest()


def hpke_schedule(secret: bytes, info: bytes) -> tuple[bytes, bytes]:
    """Key and nonce: RFC 9180 §5.1, base mode, suite 647a/0001/0002."""
    suite = b"HPKE" + HPKE_ID

    def extract(salt: bytes, label: bytes, ikm: bytes) -> bytes:
        return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")

    def expand(prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
        labeled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
        return hmac.digest(prk, labeled + b"\x01", "sha256")[:length]  # one block is enough

    context = b"\x00" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
    prk = extract(secret, b"secret", b"")
    return expand(prk, b"key", context, 32), expand(prk, b"base_nonce", context, 12)


def hpke_info(preamble: bytes) -> bytes:
    return b"ecluse/hpke/1\n" + sha256(preamble)


def hpke_seal(info: bytes, content: bytes, public: bytes) -> bytes:
    """enc ‖ ciphertext ‖ tag."""
    ss_m, ct_m = mlkem.MLKEM768PublicKey.from_public_bytes(public[:1184]).encapsulate()
    ephemeral = x25519.X25519PrivateKey.generate()
    ct_x = ephemeral.public_key().public_bytes_raw()
    ss_x = ephemeral.exchange(x25519.X25519PublicKey.from_public_bytes(public[1184:]))
    key, nonce = hpke_schedule(shared_secret(ss_m, ss_x, ct_x, public[1184:]), info)
    return ct_m + ct_x + AESGCM(key).encrypt(nonce, content, b"")


def hpke_open(info: bytes, ciphertext: bytes, name: str) -> bytes:
    """The content, with the key of that seed; raises whatever the primitives raise."""
    sk_m, sk_x = kem(name)
    ct_m, ct_x, sealed = ciphertext[:1088], ciphertext[1088:1120], ciphertext[1120:]
    ss_x = sk_x.exchange(x25519.X25519PublicKey.from_public_bytes(ct_x))
    pk_x = sk_x.public_key().public_bytes_raw()
    key, nonce = hpke_schedule(shared_secret(sk_m.decapsulate(ct_m), ss_x, ct_x, pk_x), info)
    return AESGCM(key).decrypt(nonce, sealed, b"")


def coordinates(key: ec.EllipticCurvePrivateKey) -> Members:
    size = (key.curve.key_size + 7) // 8
    numbers = key.public_key().public_numbers()
    return {part: b64u(getattr(numbers, part).to_bytes(size, "big")) for part in ("x", "y")}


def jwe_key(shared: bytes, apu: bytes, apv: bytes) -> bytes:
    """Concat KDF (RFC 7518 §4.6.2): one round gives 256 bits."""
    named = b"".join(len(part).to_bytes(4, "big") + part for part in (b"A256GCM", apu, apv))
    return sha256(b"\x00\x00\x00\x01" + shared + named + (256).to_bytes(4, "big"))


def jwe_header(preamble: bytes, iss: str, ephemeral: ec.EllipticCurvePrivateKey) -> Members:
    return {
        "alg": "ECDH-ES",
        "enc": "A256GCM",
        "apu": b64u(iss.encode()),
        "apv": b64u(sha256(preamble)),
        "epk": {"kty": "EC", "crv": "P-256", **coordinates(ephemeral)},
    }


def jwe_seal(
    header: Members,
    content: bytes,
    public: ec.EllipticCurvePublicKey,
    ephemeral: ec.EllipticCurvePrivateKey,
    *,
    raw: bytes = b"",
) -> bytes:
    """A compact JWE under this header; ``raw`` gives another spelling of it."""
    apu, apv = (base64.urlsafe_b64decode(header[name] + "==") for name in ("apu", "apv"))
    key = jwe_key(ephemeral.exchange(ec.ECDH(), public), apu, apv)
    protected, nonce = b64u(raw or ordered(header)), os.urandom(12)
    sealed = AESGCM(key).encrypt(nonce, content, protected.encode())
    return ".".join((protected, "", b64u(nonce), b64u(sealed[:-16]), b64u(sealed[-16:]))).encode()


def jwe_open(compact: bytes, private: ec.EllipticCurvePrivateKey) -> bytes:
    """The content of a well-formed JWE; raises whatever the primitives raise."""
    protected, _, nonce, body, tag = compact.decode().split(".")
    header = json.loads(base64.urlsafe_b64decode(protected + "=="))
    apu, apv, x, y, iv, sealed, end = (
        base64.urlsafe_b64decode(text + "==")
        for text in (header["apu"], header["apv"], header["epk"]["x"], header["epk"]["y"], nonce, body, tag)
    )
    point = ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), ec.SECP256R1())
    key = jwe_key(private.exchange(ec.ECDH(), point.public_key()), apu, apv)
    return AESGCM(key).decrypt(iv, sealed + end, protected.encode())


# --- §14 logs --------------------------------------------------------------------------------------------------------


def root(leaves: list[bytes]) -> bytes:
    """Merkle tree hash of RFC 9162 §2.1.1."""
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0])
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\x01" + root(leaves[:half]) + root(leaves[half:]))


def note_line(name: str, text: bytes, key: ed25519.Ed25519PrivateKey) -> str:
    """One signature line of a note."""
    public = key.public_key().public_bytes_raw()
    key_id = sha256(name.encode() + b"\n\x01" + public)[:4]
    return f"— {name} {b64(key_id + key.sign(text))}\n"


def checkpoint(origin: str, size: int, head: bytes, name: str, key: ed25519.Ed25519PrivateKey) -> str:
    """A signed head."""
    text = f"{origin}\n{size}\n{b64(head)}\n"
    return f"{text}\n{note_line(name, text.encode(), key)}"


def entry(payload: bytes, *, at: str, conv: str, message_id: str, seq: int, type: str) -> bytes:
    """A log entry of a message on its way out, with salts and blind that anybody can derive from its id."""
    salt, second, blind = (
        sha256(f"{what}/{message_id}".encode()) for what in ("salt", "second salt", "blind")
    )
    return canonical(
        {
            "at": at,
            "blind": b64u(blind),
            "body": sha256(b"ecluse/body/1\n" + salt + sha256(payload)).hex(),
            "conv": conv,
            "dir": "out",
            "event": "message",
            "id": message_id,
            "master": sha256(b"ecluse/master/1\n" + second).hex(),
            "seq": seq,
            "type": type,
            "v": 1,
        }
    )
