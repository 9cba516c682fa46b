"""Agreements: exact terms, and which side signed them."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from gateway.errors import GatewayError, MalformedMessage, SignatureInvalid, WrongAudience
from gateway.model.agreement import AgreementTerms, Bulk, Ceiling, ProtocolFields, SignedAgreement
from gateway.model.party import Assurance
from gateway.wire.agreement import read_terms, sign_terms, verify_agreement
from gateway.wire.strict import b64url, canonical
from tests.wire.parties import KEY, KID, NOW, OTHER_KEY, OURS, THEIRS, key_record

VALUE = AgreementTerms(
    series="be-fr",
    version=1,
    parties=(OURS, THEIRS),
    recipient_kinds={THEIRS: "police"},
    regime="BE-OCAM",
    route="police",
    legal_basis="be-2024-03-29:art28",
    purposes=("ct-prevention",),
    kinds=("bdc-person/1.0",),
    lifts=(),
    ceiling=Ceiling("BEL", "UNCLASSIFIED"),
    retention_days=365,
    onward="none",
    suites=("hpke-mlkem768-x25519-a256gcm",),
    signature_profiles=("classic",),
    formats=("ct-exchange-json/1.0",),
    languages=("fr",),
    not_before=NOW,
    not_after=NOW + timedelta(days=365),
    protocol=ProtocolFields((), (), (), (), "", ""),
    minimum_assurance=Assurance(origin_signed=True),
    bulk=Bulk(10, 30),
)
TERMS = canonical(VALUE)
KEYS = {OURS: [key_record("agreement")], THEIRS: [key_record("agreement", key=OTHER_KEY, kid="fr-1")]}
BOTH = {OURS: sign_terms(TERMS, KEY, KID), THEIRS: sign_terms(TERMS, OTHER_KEY, "fr-1")}


def verify(signatures: dict[str, str], terms: bytes = TERMS, **changes: Any) -> Any:
    arguments: dict[str, Any] = {"ours": OURS, "theirs": THEIRS, "now": NOW} | changes
    return verify_agreement(
        SignedAgreement(b64url(terms), signatures), arguments.pop("keys", KEYS), **arguments
    )


@pytest.mark.parametrize("signers", [(), (OURS,), (THEIRS,), (OURS, THEIRS)])
def test_who_signed(signers: tuple[str, ...]) -> None:
    """A missing signature is a state, told for each side alone; the digest is that of the exact terms."""
    state = verify({org: BOTH[org] for org in signers})
    assert (state.signed_ours, state.signed_theirs) == (OURS in signers, THEIRS in signers)
    assert (state.terms, state.sha256, state.revoked) == (VALUE, hashlib.sha256(TERMS).hexdigest(), False)


def test_seen_from_the_other_side() -> None:
    """For the partner ours and theirs change places."""
    state = verify({OURS: BOTH[OURS]}, ours=THEIRS, theirs=OURS)
    assert (state.signed_ours, state.signed_theirs) == (False, True)


@pytest.mark.parametrize(
    ("signatures", "changes", "error"),
    [
        ({OURS: BOTH[THEIRS]}, {}, SignatureInvalid),
        ({OURS: BOTH[OURS], THEIRS: BOTH[OURS]}, {}, SignatureInvalid),
        ({OURS: BOTH[OURS][:-2] + "AA"}, {}, SignatureInvalid),
        ({OURS: ""}, {}, MalformedMessage),
        ({"nld.other": BOTH[OURS]}, {}, MalformedMessage),
        (BOTH, {"theirs": "nld.other"}, WrongAudience),
        (BOTH, {"ours": "nld.other"}, WrongAudience),
        (BOTH, {"keys": {}}, SignatureInvalid),
        (BOTH, {"keys": {OURS: [key_record("message")], THEIRS: KEYS[THEIRS]}}, SignatureInvalid),
        (BOTH, {"now": NOW + timedelta(days=2)}, SignatureInvalid),
        (BOTH, {"terms": canonical(msgspec.structs.replace(VALUE, version=2))}, SignatureInvalid),
    ],
)
def test_refused(signatures: dict[str, str], changes: dict[str, Any], error: type[GatewayError]) -> None:
    """A wrong signature is an error, never merely "not signed"; third parties and foreign terms are refused."""
    with pytest.raises(error):
        verify(signatures, **changes)


@pytest.mark.parametrize(
    "terms",
    [
        TERMS + b"\n",
        TERMS.replace(b'"version":1', b'"version":1,"extra":1'),
        TERMS.replace(b'"version":1', b'"version":1.0'),
        canonical(msgspec.structs.replace(VALUE, version=0)),
        canonical(msgspec.structs.replace(VALUE, parties=(OURS, OURS))),
        canonical(msgspec.structs.replace(VALUE, suites=())),
        canonical(
            msgspec.structs.replace(VALUE, suites=("hpke-mlkem768-x25519-a256gcm", "jwe-ecdh-es-a256gcm"))
        ),
        canonical(msgspec.structs.replace(VALUE, signature_profiles=("classic", "hybrid"))),
        canonical(msgspec.structs.replace(VALUE, not_after=NOW)),
        b"{}",
        b"",
    ],
)
def test_terms_in_no_other_form(terms: bytes) -> None:
    """Terms are read in their one form only, and what could not be read is not signed."""
    for act in (lambda: read_terms(terms), lambda: sign_terms(terms, KEY, KID), lambda: verify({}, terms)):
        with pytest.raises(MalformedMessage):
            act()
