"""Exchange agreements: what two organisations signed that they may send each other, and how.

An agreement names organisations only. A series grows by versions; older versions never come back. Its terms are
hashed over their RFC 8785 bytes; both sides' *offline* agreement keys sign those bytes.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.model.party import Assurance, RecipientKind
from gateway.model.time import Instant

Regime = Literal["BE-OCAM", "BE-POLICE", "BE-INTEL", "SPOC"]
Route = Literal["police", "intelligence", "other"]
Suite = Literal["hpke-mlkem768-x25519-a256gcm", "jwe-ecdh-es-a256gcm"]
SignatureProfile = Literal["classic", "hybrid"]


class Ceiling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The highest level this channel may carry, as (policy, level)."""

    policy: str
    level: str


class Bulk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At most ``records`` distinct records in ``days`` days (police-function law art. 44/11/13)."""

    records: int
    days: int


class ProtocolFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The six fields of law 30.7.2018 art. 158."""

    bodies: tuple[str, ...]
    controllers: tuple[str, ...]
    dpo_contacts: tuple[str, ...]
    purposes: tuple[str, ...]
    legal_basis: str
    restrictions_on_rights: str


class AgreementTerms(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is agreed between ``parties[0]`` and ``parties[1]``. Empty tuples permit nothing; absent thresholds deny."""

    series: str
    version: int
    parties: tuple[str, str]
    recipient_kinds: dict[str, RecipientKind]  # organisation id -> what it is under this agreement
    regime: Regime
    route: Route
    legal_basis: str
    purposes: tuple[str, ...]
    kinds: tuple[str, ...]
    lifts: tuple[str, ...]  # class C field patterns that a named approver may lift
    ceiling: Ceiling
    retention_days: int
    onward: Literal["none", "originator-consent"]
    suites: tuple[Suite, ...]  # exactly one
    signature_profiles: tuple[SignatureProfile, ...]  # exactly one
    formats: tuple[str, ...]
    languages: tuple[str, ...]
    not_before: Instant
    not_after: Instant
    protocol: ProtocolFields
    minimum_assurance: Assurance
    bulk: Bulk | None = None


class SignedAgreement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Terms (their exact bytes, base64url) and the detached JWS of each side that has signed so far."""

    terms: str
    signatures: dict[str, str]  # organisation id -> compact detached JWS, typ ecluse-agreement+jws


class AgreementState(msgspec.Struct, frozen=True):
    """An agreement as the policy sees it: terms, digest, and which sides' signatures hold."""

    terms: AgreementTerms
    sha256: str
    signed_ours: bool
    signed_theirs: bool
    revoked: bool = False
