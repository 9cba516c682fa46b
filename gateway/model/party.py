"""Partners: versioned directory entries with their keys, endpoints and what their transport can assure."""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.model.time import Instant

#: Who may hold a key, and for what. Eight uses, no key shared between two of them (formats: separation).
KeyUse = Literal[
    "tls-client", "tls-server", "message", "receipt", "encryption", "log", "witness", "agreement"
]

#: What a partner is. A private one has its name here so that a rule can refuse it, and nothing is ever released to it.
RecipientKind = Literal[
    "police", "judicial", "intl-police", "intelligence", "fusion", "crisis", "private", "other"
]


class KeyRecord(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One public key: what it is for, with which algorithm, under which types.

    ``public`` is base64url without padding: SubjectPublicKeyInfo DER (P-256) for ES256 and for encryption by JWE, raw
    bytes for the others: 32 for Ed25519, 1952 for ML-DSA-65, 1216 for the KEM of HPKE. ``certificate`` (DER, base64url)
    and ``x5t`` (RFC 7515 §4.1.8) stand beside keys that have one.
    """

    kid: str
    use: KeyUse
    alg: str
    public: str
    typ: tuple[str, ...] = ()  # JOSE typ values this key may sign
    certificate: str = ""
    x5t: str = ""
    not_before: Instant | None = None
    not_after: Instant | None = None
    revoked: bool = False


class Assurance(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a partner's transport proves. Agreements and levels name a minimum; less is a denial with its reason."""

    origin_signed: bool = False
    end_to_end_encrypted: bool = False
    receipt: Literal["signed", "fetched", "none"] = "none"
    ordered: bool = False
    recall_ack: bool = False
    style: Literal["push", "pull"] = "push"


class Partner(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One version of a partner's directory entry. Its RFC 8785 bytes are what officers confirm and approve."""

    org: str  # organisation id: alpha-3, dot, slug
    nation: str  # ISO 3166 alpha-3
    name: str
    recipient_kind: RecipientKind
    keys: tuple[KeyRecord, ...]
    endpoint: str  # https URL of the exchange root, empty for a pull partner
    tls_name: str  # the name its server certificate must carry
    formats: tuple[str, ...]
    languages: tuple[str, ...]
    assurance: Assurance
    version: int = 1
    stopped: bool = False

    def keys_for(self, use: KeyUse) -> tuple[KeyRecord, ...]:
        """Keys of this use that are not revoked. An empty answer means no."""
        return tuple(key for key in self.keys if key.use == use and not key.revoked)
