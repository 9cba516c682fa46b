"""Exchange agreements on the wire: terms as exact bytes, signed by each side's offline agreement key."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import ec

from gateway.errors import MalformedMessage, WrongAudience
from gateway.model.agreement import AgreementState, AgreementTerms, SignedAgreement
from gateway.model.party import KeyRecord
from gateway.wire.jws import AGREEMENT_TYP, keys_for, sign_compact, verify_compact
from gateway.wire.strict import b64url_decode, read_canonical

MAX_TERMS_BYTES = 64 * 1024  # terms are a few KiB


def read_terms(raw: bytes) -> AgreementTerms:
    """The terms in their one form; raises `MalformedMessage`.

    1. RFC 8785 form of the closed type   2. two different parties, a version from 1, a period that is not empty
    3. exactly one suite and one signature profile
    """
    # (1)
    terms = read_canonical(raw, AgreementTerms, limit=MAX_TERMS_BYTES)
    # (2)
    if len(set(terms.parties)) != 2 or terms.version < 1 or terms.not_before >= terms.not_after:
        raise MalformedMessage("an agreement is between two organisations, numbered from 1, for a period")
    # (3)
    if len(terms.suites) != 1 or len(terms.signature_profiles) != 1:
        raise MalformedMessage("an agreement names exactly one suite and one signature profile")
    return terms


def sign_terms(terms_bytes: bytes, private_key: ec.EllipticCurvePrivateKey, kid: str) -> str:
    """One side's detached JWS over the exact terms bytes; raises `MalformedMessage` for terms nobody could accept."""
    read_terms(terms_bytes)
    return sign_compact(terms_bytes, private_key, typ=AGREEMENT_TYP, kid=kid, detached=True)


def verify_agreement(
    signed: SignedAgreement,
    keys: Mapping[str, Sequence[KeyRecord]],
    *,
    ours: str,
    theirs: str,
    now: datetime,
) -> AgreementState:
    """Terms between these two organisations, and which of them has signed so far.

    A missing signature is a state; a wrong one is an error. Whether the agreement is in force (both signed, within
    its period, not revoked, the newest of its series) is policy.

    1. terms in their one form   2. exactly these two parties (`WrongAudience`), and no signature of a third
    3. each signature present holds with that side's agreement keys, valid at ``now`` (`SignatureInvalid`)
    """
    # (1)
    raw = b64url_decode(signed.terms)
    terms = read_terms(raw)
    # (2)
    if set(terms.parties) != {ours, theirs}:
        raise WrongAudience("the agreement is between other organisations")
    if not signed.signatures.keys() <= {ours, theirs}:
        raise MalformedMessage("an agreement carries the signature of a third organisation")
    # (3)
    for org, token in signed.signatures.items():
        pinned = keys_for(keys.get(org, ()), "agreement", AGREEMENT_TYP, now=now)
        verify_compact(token, typ=AGREEMENT_TYP, keys=pinned, detached=raw)
    return AgreementState(
        terms=terms,
        sha256=hashlib.sha256(raw).hexdigest(),
        signed_ours=ours in signed.signatures,
        signed_theirs=theirs in signed.signatures,
    )
