"""The signer's keys, as loaded: private objects stay in this process, public records go to the directory."""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA65PrivateKey
from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey

from gateway.errors import LocalFault
from gateway.model.find_rows import TERM_BYTES
from gateway.model.party import KeyRecord
from gateway.model.signing import DataKey, Pseudonym
from gateway.service.signer.keks import KEY_BYTES, Keks
from gateway.wire import jwe
from gateway.wire.container import OpeningKey


@dataclass(frozen=True)
class SignerKeys:
    """Every private key the signer holds, with the public record of each that partners may know."""

    message: EllipticCurvePrivateKey
    message_mldsa: MLDSA65PrivateKey
    receipt: EllipticCurvePrivateKey
    encryption: MLKEM768X25519PrivateKey
    encryption_jwe: EllipticCurvePrivateKey
    log: Ed25519PrivateKey
    witness: Ed25519PrivateKey
    witness_mldsa: MLDSA44PrivateKey
    keks: Keks
    index_key: bytes
    pseudonym_key: bytes
    find_key: bytes
    records: tuple[KeyRecord, ...]
    epoch: int = 1  # of ``log``: each epoch of the logs has a key of its own

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
        """Fresh data keys with their wrapped forms."""
        fresh = [os.urandom(KEY_BYTES) for _ in range(count)]
        return [DataKey(key, self.keks.wrap(key)) for key in fresh]

    def unwrap(self, wrapped: bytes) -> bytes:
        """The data key; raises as `Keks.unwrap` does."""
        return self.keks.unwrap(wrapped)

    def rewrap(self, wrapped: bytes) -> bytes:
        """The same data key under the newest generation."""
        return self.keks.wrap(self.keks.unwrap(wrapped))

    def index(self, value: bytes) -> str:
        """Blind index of a value: equal values meet, and without this key nobody can guess them."""
        return hmac.new(self.index_key, value, hashlib.sha256).hexdigest()

    def term(self, key: str) -> bytes:
        """What stands for one key of a name, birth date or document number in the index that reviewers search.

        Under a key of its own: no other operation gives anybody a value of this index.
        """
        return hmac.new(self.find_key, key.encode(), hashlib.sha256).digest()[:TERM_BYTES]

    def pseudonym(self, wanted: Pseudonym) -> str:
        """``p-`` and 128 bits of HMAC-SHA-256 under a key of this partner, agreement series and kind."""
        scope = "\n".join(("ecluse/pseudonym/1", wanted.partner, wanted.series, wanted.kind)).encode()
        key = hmac.new(self.pseudonym_key, scope, hashlib.sha256).digest()
        return "p-" + hmac.new(key, wanted.entity_id.encode(), hashlib.sha256).hexdigest()[:32]
