"""Who the peer is: all keys of section 3, their certificates, and the directory entry it hands over."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from Crypto.PublicKey import ECC, MLDSA

from tests.peer import agreement, receipt
from tests.peer.certificates import Authority, ml_dsa_spki, pem, thumbprint
from tests.peer.container import HPKE, JWE, OpeningKey
from tests.peer.entry import ASSURANCE, Entry, Key, entry_of
from tests.peer.hpke import HpkeKey
from tests.peer.jose import SigningKey, p256_spki
from tests.peer.payload import FORMAT
from tests.peer.seal import TYPES, MessageKey
from tests.peer.spelling import b64url, b64url_bytes, canonical, instant, parse_canonical

MESSAGE_TYPES = [f"ecluse-msg-{name}+jws" for name in TYPES]


@dataclass(frozen=True)
class Identity:
    """One organisation with its private keys."""

    org: str
    nation: str
    kind: str
    authority: Authority
    records: tuple[dict[str, Any], ...]
    private: Mapping[tuple[str, str], Any]

    @classmethod
    def generate(cls, org: str, kind: str = "police") -> Identity:
        """All keys at once; each has one use."""
        authority, started = Authority(org), instant(time.time() - 60)
        records, private = [], {}

        def hold(
            use: str, alg: str, key: Any, public: bytes, typ: list[str], certificate: bytes = b""
        ) -> None:
            record: dict[str, Any] = {
                "kid": f"{org}/{use}/{alg}",
                "use": use,
                "alg": alg,
                "public": b64url(public),
            }
            if certificate:
                record |= {"certificate": b64url(certificate), "x5t": thumbprint(certificate)}
            if typ:
                record["typ"] = typ
            records.append(record | {"not_before": started})
            private[use, alg] = key

        for use, typ in (
            ("tls-server", []),
            ("tls-client", []),
            ("message", MESSAGE_TYPES),
            ("receipt", [receipt.TYP]),
        ):
            key = ECC.generate(curve="P-256")
            hosts = ["localhost"] if use == "tls-server" else []
            hold(use, "ES256", key, p256_spki(key), typ, authority.leaf(use, p256_spki(key), hosts))
        lattice = MLDSA.generate(param_set=MLDSA.ML_DSA_65)
        certificate = authority.leaf("message", ml_dsa_spki(lattice.pk))
        hold("message", "ML-DSA-65", lattice, lattice.pk, MESSAGE_TYPES, certificate)
        hpke = HpkeKey.generate()
        hold("encryption", HPKE, hpke, hpke.public, [])
        for use, alg, typ in (("encryption", JWE, []), ("agreement", "ES256", [agreement.TYP])):
            key = ECC.generate(curve="P-256")
            hold(use, alg, key, p256_spki(key), typ)
        log = ECC.generate(curve="Ed25519")
        hold("log", "Ed25519", log, log.public_key().export_key(format="raw"), [])
        return cls(org, org[:3].upper(), kind, authority, tuple(records), private)

    def entry_document(self, endpoint: str) -> bytes:
        """The directory entry, canonical, as it is handed over."""
        return canonical(
            {
                "org": self.org,
                "nation": self.nation,
                "name": f"{self.org} (synthetic)",
                "recipient_kind": self.kind,
                "keys": list(self.records),
                "endpoint": endpoint,
                "tls_name": "localhost",
                "formats": [FORMAT],
                "languages": ["fr", "nl"],
                "assurance": ASSURANCE,
            }
        )

    @cached_property
    def own(self) -> Entry:
        """The same, as the peer sees itself."""
        return entry_of(parse_canonical(self.entry_document("https://localhost:1")))

    def record(self, use: str, alg: str) -> Key:
        return next(key for key in self.own.keys if (key.use, key.alg) == (use, alg))

    def message_key(self, alg: str) -> MessageKey:
        private: SigningKey = self.private["message", alg]
        return MessageKey(self.record("message", alg), private)

    def opening_keys(self) -> dict[str, OpeningKey]:
        """Private encryption keys by key id."""
        return {self.record("encryption", alg).kid: self.private["encryption", alg] for alg in (HPKE, JWE)}

    def sign_terms(self, terms: bytes) -> str:
        return agreement.sign_terms(
            terms, self.record("agreement", "ES256").kid, self.private["agreement", "ES256"]
        )

    def write_tls(self, folder: Path) -> None:
        """Files that a TLS library loads: each role's certificate with its key, the authority, its list."""
        for role in ("tls-server", "tls-client"):
            self.write_pair(folder, role)
        (folder / "ca.pem").write_text(self.authority_pem())
        (folder / "crl.pem").write_text(self.revocation_pem())

    def write_pair(self, folder: Path, use: str) -> Path:
        """The certificate of one use with its private key."""
        certificates = {record["use"]: record for record in self.records if record["alg"] == "ES256"}
        certificate = b64url_bytes(certificates[use]["certificate"])
        return _write_pair(folder / f"{use}.pem", certificate, self.private[use, "ES256"])

    def write_new_pair(self, folder: Path, role: str) -> Path:
        """A new key that no record names, with a certificate by our authority."""
        key = ECC.generate(curve="P-256")
        return _write_pair(folder / f"new-{role}.pem", self.authority.leaf(role, p256_spki(key)), key)

    def authority_pem(self) -> str:
        return pem("CERTIFICATE", self.authority.certificate)

    def revocation_pem(self) -> str:
        return pem("X509 CRL", self.authority.revocation_list())


def _write_pair(path: Path, certificate: bytes, key: ECC.EccKey) -> Path:
    path.write_text(f"{pem('CERTIFICATE', certificate)}{key.export_key(format='PEM')}\n")
    return path
