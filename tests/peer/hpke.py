"""Section 8.3: HPKE (RFC 9180) in base mode with the KEM MLKEM768-X25519, written out from its parts."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from Crypto.Cipher import AES
from Crypto.Protocol import DH
from Crypto.PublicKey import ECC
from kyber_py.ml_kem import ML_KEM_768

from tests.peer.spelling import Misspelt

#: Bytes of the ML-KEM-768 encapsulation key and ciphertext (FIPS 203 table 3), of an X25519 value, of the GCM tag.
ML_KEM_PUBLIC, ML_KEM_CIPHERTEXT, X25519_BYTES, TAG = 1184, 1088, 32, 16

#: What a message grows by.
OVERHEAD = ML_KEM_CIPHERTEXT + X25519_BYTES + TAG

KEM_LABEL = bytes.fromhex("5c2e2f2f5e5c")
SUITE_ID = b"HPKE" + bytes.fromhex("647a00010002")
INFO = b"ecluse/hpke/1\n"


@dataclass(frozen=True)
class HpkeKey:
    """A private key, all of it from a seed of 32 bytes."""

    seed: bytes

    @classmethod
    def generate(cls) -> HpkeKey:
        return cls(secrets.token_bytes(32))

    def halves(self) -> tuple[bytes, bytes, bytes]:
        """ML-KEM encapsulation and decapsulation key, X25519 private key."""
        expanded = hashlib.shake_256(self.seed).digest(96)
        encapsulation, decapsulation = ML_KEM_768.key_derive(expanded[:64])
        return encapsulation, decapsulation, expanded[64:]

    @property
    def public(self) -> bytes:
        encapsulation, _, x25519 = self.halves()
        return encapsulation + _x25519_public(x25519)


def seal(public: bytes, preamble: bytes, plaintext: bytes) -> bytes:
    """Ciphertext for this public key, bound to these preamble bytes."""
    pk_m, pk_x = public[:ML_KEM_PUBLIC], public[ML_KEM_PUBLIC:]
    ss_m, ct_m = ML_KEM_768.encaps(pk_m)
    ephemeral = secrets.token_bytes(X25519_BYTES)
    ct_x = _x25519_public(ephemeral)
    shared = _combine(ss_m, _x25519(ephemeral, pk_x), ct_x, pk_x)
    key, nonce = schedule(shared, preamble)
    body, tag = AES.new(key, AES.MODE_GCM, nonce=nonce).encrypt_and_digest(plaintext)
    return bytes(ct_m + ct_x + body + tag)


def open_(key: HpkeKey, preamble: bytes, ciphertext: bytes) -> bytes:
    """Plaintext of a ciphertext for this key and these preamble bytes; raises `Misspelt` when it does not open."""
    if len(ciphertext) < OVERHEAD:
        raise Misspelt
    ct_m, ct_x = ciphertext[:ML_KEM_CIPHERTEXT], ciphertext[ML_KEM_CIPHERTEXT : OVERHEAD - TAG]
    _, sk_m, sk_x = key.halves()
    try:
        shared = _combine(ML_KEM_768.decaps(sk_m, ct_m), _x25519(sk_x, ct_x), ct_x, _x25519_public(sk_x))
        secret, nonce = schedule(shared, preamble)
        cipher = AES.new(secret, AES.MODE_GCM, nonce=nonce)
        plain: bytes = cipher.decrypt_and_verify(ciphertext[OVERHEAD - TAG : -TAG], ciphertext[-TAG:])
    except ValueError:
        raise Misspelt from None
    return plain


def schedule(shared: bytes, preamble: bytes) -> tuple[bytes, bytes]:
    """Key and nonce of the single message (RFC 9180 section 5.1)."""
    info = INFO + hashlib.sha256(preamble).digest()
    context = b"\x00" + _extract(b"", b"psk_id_hash", b"") + _extract(b"", b"info_hash", info)
    secret = _extract(shared, b"secret", b"")
    return _expand(secret, b"key", context, 32), _expand(secret, b"base_nonce", context, 12)


def _combine(ss_m: bytes, ss_x: bytes, ct_x: bytes, pk_x: bytes) -> bytes:
    return hashlib.sha3_256(ss_m + ss_x + ct_x + pk_x + KEM_LABEL).digest()


def _extract(salt: bytes, label: bytes, ikm: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + SUITE_ID + label + ikm, "sha256")


def _expand(prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    """HKDF-Expand; no more than one block is ever asked for."""
    labelled = length.to_bytes(2, "big") + b"HPKE-v1" + SUITE_ID + label + info
    return hmac.digest(prk, labelled + b"\x01", "sha256")[:length]


def _x25519_public(private: bytes) -> bytes:
    key: ECC.EccKey = DH.import_x25519_private_key(private)
    return bytes(key.public_key().export_key(format="raw"))


def _x25519(private: bytes, public: bytes) -> bytes:
    """The shared value; an all-zero one is refused (RFC 7748 section 6.1)."""
    try:
        shared: bytes = DH.key_agreement(
            static_priv=DH.import_x25519_private_key(private),
            eph_pub=DH.import_x25519_public_key(public),
            kdf=lambda value: value,
        )
    except ValueError:
        raise Misspelt from None
    if not any(shared):
        raise Misspelt
    return shared
