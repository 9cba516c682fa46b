"""Exchange agreements: what two organisations signed that they may send each other, and how.

An agreement names organisations only. A series grows by versions; older versions never come back. Its terms are
hashed over their RFC 8785 bytes; both sides' *offline* agreement keys sign those bytes.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from gateway.model.party import Assurance, RecipientKind
from gateway.model.time import Instant

Regime = Literal["BE-OCAM", "BE-POLICE", "BE-INTEL", "SPOC"]
Route = Literal["police", "intelligence", "other"]
Suite = Literal["hpke-mlkem768-x25519-a256gcm", "jwe-ecdh-es-a256gcm"]
SignatureProfile = Literal["classic", "hybrid"]


#: Of a list that permits nothing while it is empty; said to editors, and asked for by `flow.terms`.
_SOME: dict[str, Any] = {"minItems": 1, "uniqueItems": True}
_ONE: dict[str, Any] = {"minItems": 1, "maxItems": 1}
_TEXT: dict[str, Any] = {"minLength": 1}
_POSITIVE: dict[str, Any] = {"minimum": 1}


def _said(description: str, extra: dict[str, Any] | None = None) -> msgspec.Meta:
    """What an editor is told of a member. Nothing of it is asked for while decoding: what a decision makes of an empty
    list is the policy's, and `flow.terms` refuses terms that permit nothing before anybody signs them."""
    return msgspec.Meta(description=description, extra_json_schema=extra)


class Ceiling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The highest level this channel may carry, as (policy, level)."""

    policy: Annotated[str, _said("Whose policy of classification: BEL, FRA, EU, NATO.", _TEXT)]
    level: Annotated[str, _said("The level, as that policy writes it.", _TEXT)]


class Bulk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At most ``records`` distinct records in ``days`` days (police-function law art. 44/11/13)."""

    records: Annotated[int, _said("Distinct records.", _POSITIVE)]
    days: Annotated[int, _said("Days.", _POSITIVE)]


class ProtocolFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The six fields of law 30.7.2018 art. 158."""

    bodies: Annotated[tuple[str, ...], _said("Bodies that exchange: both organisations among them.", _SOME)]
    controllers: Annotated[tuple[str, ...], _said("Controllers.", _SOME)]
    dpo_contacts: Annotated[tuple[str, ...], _said("Contacts of the data protection officers.", _SOME)]
    purposes: Annotated[tuple[str, ...], _said("Purposes: at least those of the agreement.", _SOME)]
    legal_basis: Annotated[str, _said("Legal basis of the exchange.", _TEXT)]
    restrictions_on_rights: Annotated[
        str, _said("Restrictions on the rights of the persons concerned, and on what they rest.", _TEXT)
    ]


class AgreementTerms(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is agreed between ``parties[0]`` and ``parties[1]``. Empty tuples permit nothing; absent thresholds deny."""

    series: Annotated[
        str, _said("Names one agreement; it goes on by versions, and older ones never come back.", _TEXT)
    ]
    version: Annotated[int, _said("Number in the series, from 1.", _POSITIVE)]
    parties: Annotated[tuple[str, str], _said("The two organisations.")]
    recipient_kinds: Annotated[
        dict[str, RecipientKind], _said("What each of the two organisations is under this agreement.")
    ]
    regime: Annotated[Regime, _said("The one regime that each exchange declares.")]
    route: Annotated[Route, _said("Legal route (law 29.3.2024 art. 28).")]
    legal_basis: Annotated[str, _said("Legal basis that a disclosure under it names.", _TEXT)]
    purposes: Annotated[tuple[str, ...], _said("Purposes for which records may leave.", _SOME)]
    kinds: Annotated[tuple[str, ...], _said("Record kinds with their version: bdc-person/1.0.", _SOME)]
    lifts: Annotated[
        tuple[str, ...],
        _said("Class C field patterns that a named approver may lift. Empty: none.", {"uniqueItems": True}),
    ]
    ceiling: Annotated[Ceiling, _said("The highest level that may be sent.")]
    retention_days: Annotated[int, _said("Days that the recipient may keep what it gets.", _POSITIVE)]
    onward: Annotated[
        Literal["none", "originator-consent"],
        _said("Onward transfer: none, or with the originator's consent."),
    ]
    suites: Annotated[tuple[Suite, ...], _said("Encryption: exactly one suite.", _ONE)]
    signature_profiles: Annotated[
        tuple[SignatureProfile, ...], _said("Signatures: exactly one profile.", _ONE)
    ]
    formats: Annotated[tuple[str, ...], _said("Formats with their version: ct-exchange-json/1.0.", _SOME)]
    languages: Annotated[tuple[str, ...], _said("Languages (ISO 639-1) that both sides read.", _SOME)]
    not_before: Annotated[Instant, _said("In force from (UTC, whole seconds).")]
    not_after: Annotated[Instant, _said("In force until, exclusive.")]
    protocol: Annotated[ProtocolFields, _said("The six fields of law 30.7.2018 art. 158.")]
    minimum_assurance: Annotated[Assurance, _said("What the recipient's transport must prove.")]
    bulk: Annotated[
        Bulk | None,
        _said(
            "At most so many distinct records in so many days; compulsory for BDC data by the police route."
        ),
    ] = None


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
