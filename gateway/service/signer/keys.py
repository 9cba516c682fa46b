"""The signer's keys, as loaded: private objects stay in this process, public records go to the directory."""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from gateway.errors import LocalFault
from gateway.model.party import KeyRecord
from gateway.model.signing import DataKey, Pseudonym
from gateway.wire import jwe
from gateway.wire.container import OpeningKey

#: AES-256: one fresh key for each stored body.
DATA_KEY_BYTES = 32


@dataclass(frozen=True)
class SignerKeys:
    """Every private key the signer holds, with the public record of each that partners may know."""

    message: EllipticCurvePrivateKey
    message_mldsa: MLDSA65PrivateKey
    receipt: EllipticCurvePrivateKey
    encryption: MLKEM768X25519PrivateKey
    encryption_jwe: EllipticCurvePrivateKey
    log: Ed25519PrivateKey
    kek: bytes
    index_key: bytes
    pseudonym_key: bytes
    records: tuple[KeyRecord, ...]

    def record(self, use: str, alg: str = "") -> KeyRecord:
        """Our public record of this use, and of this algorithm where a use has keys of two.

        Raises `LocalFault` when there is none.
        """
        for record in self.records:
            if record.use == use and alg in ("", record.alg):
                return record
        raise LocalFault("no key of this use and algorithm is held")

    def opening(self, suite: str) -> OpeningKey:
        """The private key of this suite; raises `LocalFault` for a suite of which none is held."""
        self.record("encryption", suite)
        return self.encryption_jwe if suite == jwe.SUITE else self.encryption

    def data_keys(self, count: int) -> list[DataKey]:
        """Fresh data keys with their wrapped forms (RFC 3394)."""
        fresh = [os.urandom(DATA_KEY_BYTES) for _ in range(count)]
        return [DataKey(key, aes_key_wrap(self.kek, key)) for key in fresh]

    def unwrap(self, wrapped: bytes) -> bytes:
        """The data key, or `LocalFault` when it was not wrapped by this KEK."""
        try:
            return aes_key_unwrap(self.kek, wrapped)
        except (InvalidUnwrap, ValueError):
            raise LocalFault("a data key does not unwrap: it belongs to another home or is damaged") from None

    def index(self, value: bytes) -> str:
        """Blind index of a value: equal values meet, and without this key nobody can guess them."""
        return hmac.new(self.index_key, value, hashlib.sha256).hexdigest()

    def pseudonym(self, wanted: Pseudonym) -> str:
        """``p-`` and 128 bits of HMAC-SHA-256 under a key of this partner, agreement series and kind."""
        scope = "\n".join(("ecluse/pseudonym/1", wanted.partner, wanted.series, wanted.kind)).encode()
        key = hmac.new(self.pseudonym_key, scope, hashlib.sha256).digest()
        return "p-" + hmac.new(key, wanted.entity_id.encode(), hashlib.sha256).hexdigest()[:32]
