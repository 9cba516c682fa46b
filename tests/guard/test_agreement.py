"""The guard's word on what is said of an agreement: exact terms of these two organisations, or one digest."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import GuardRefused
from gateway.guard import guard_agreement
from tests.guard import test_recall
from tests.guard.worlds import encode
from tests.policy.worlds import world

ENVELOPE = test_recall.ENVELOPE | {"type": "agreement"}
SIGNATURE = "e30.." + "A" * 86


def written(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def terms(**changes: Any) -> bytes:
    """Terms between sender and addressee, in canonical form; members may be changed."""
    agreed = world().agreement
    assert agreed is not None
    tree = msgspec.to_builtins(agreed.terms) | {"parties": ["bel.ocam", "fra.police-demo"]} | changes
    return encode(test_recall._sorted(tree))


OFFER = {"action": "offered", "terms": written(terms()), "signature": SIGNATURE}
SIGNED = OFFER | {"action": "signed"}
REVOKED = {"action": "revoked", "terms_sha256": "0" * 64}
ALL = (OFFER, SIGNED, REVOKED)


def decided(said: dict[str, Any], **members: Any) -> bytes:
    """The endorsed decision over this message, in its canonical form; members may be changed."""
    document = {
        "v": 1,
        "effect": "PERMIT",
        "envelope": ENVELOPE,
        "agreement": said,
        "agreement_sha256": "0" * 64,
        "agreement_series": "be-fr",
        "agreement_version": 1,
        "partner": "fra.police-demo",
        "partner_version": 1,
        "justification": "synthetic",
        "reasons": [],
    } | members
    return encode(test_recall._sorted(document))


def told(payload: dict[str, Any], decision: bytes) -> dict[str, Any]:
    with pytest.raises(GuardRefused) as caught:
        guard_agreement(encode(payload), decision=decision)
    return dict(caught.value.diagnostic)


@pytest.mark.parametrize("said", ALL)
def test_terms_and_a_signature_or_a_digest_pass(said: dict[str, Any]) -> None:
    """Each member a leaf; the verdict names these bytes and this decision."""
    raw, decision = encode(ENVELOPE | said), decided(said)
    verdict = guard_agreement(raw, decision=decision)
    assert verdict.leaves == len(ENVELOPE) + len(said)
    assert verdict.payload_sha256 == hashlib.sha256(raw).hexdigest()
    assert verdict.decision_sha256 == hashlib.sha256(decision).hexdigest()


@pytest.mark.parametrize(
    ("decision", "payload", "expected"),
    [
        (OFFER, OFFER | {"note": "Zzemo Exemple"}, "unexplained"),
        (OFFER, OFFER | {"terms_sha256": "0" * 64}, "unexplained"),
        (OFFER, SIGNED, "altered-constant"),
        (SIGNED, OFFER, "altered-constant"),
        (OFFER, OFFER | {"terms": written(terms(retention_days=9))}, "altered-protocol"),
        (OFFER, OFFER | {"signature": "e30.." + "B" * 86}, "altered-protocol"),
        (OFFER, {"action": "offered", "terms": OFFER["terms"]}, "missing"),
        (REVOKED, REVOKED | {"terms_sha256": "1" * 64}, "altered-protocol"),
        (REVOKED, REVOKED | {"terms": OFFER["terms"]}, "unexplained"),
        (REVOKED, {"action": "revoked"}, "missing"),
    ],
)
def test_anything_more_or_other_is_refused(
    decision: dict[str, Any], payload: dict[str, Any], expected: str
) -> None:
    """Each addition or change by its rule."""
    said = told(ENVELOPE | payload, decided(decision))
    assert (said["rule"], said["subject"]) == (expected, "payload")


@pytest.mark.parametrize(
    ("said", "members", "expected"),
    [
        (OFFER, {"effect": "DENY"}, "form"),
        (OFFER | {"action": "accepted"}, {}, "form"),
        (OFFER, {"partner": "fra.other"}, "decision"),
        (OFFER, {"envelope": ENVELOPE | {"to": "fra.other"}}, "decision"),
        (OFFER, {"envelope": ENVELOPE | {"type": "recall"}}, "decision"),
        (OFFER | {"terms_sha256": "0" * 64}, {}, "decision"),
        ({"action": "offered", "terms": OFFER["terms"]}, {}, "decision"),
        (OFFER | {"terms": written(terms(parties=["bel.ocam", "fra.other"]))}, {}, "decision"),
        (OFFER | {"terms": written(terms(parties=["nld.other", "fra.police-demo"]))}, {}, "decision"),
        (OFFER | {"terms": OFFER["terms"] + "="}, {}, "decision"),
        (OFFER | {"terms": "*" * 8}, {}, "form"),
        (OFFER | {"terms": "A"}, {}, "form"),
        (OFFER | {"terms": "e30"}, {}, "form"),
        (OFFER | {"terms": written(terms() + b" ")}, {}, "syntax"),
        (OFFER | {"terms": written(terms(note="Zzemo"))}, {}, "form"),
        ({"action": "offered", "signature": SIGNATURE}, {}, "syntax"),
        (REVOKED | {"terms": OFFER["terms"]}, {}, "decision"),
        (REVOKED | {"signature": SIGNATURE}, {}, "decision"),
        (REVOKED | {"terms_sha256": "1" * 64}, {}, "decision"),
        ({"action": "revoked"}, {}, "decision"),
        (OFFER | {"signature": "Zzemo"}, {}, "protocol-form"),
        (OFFER, {"envelope": ENVELOPE | {"format": "other/1.0"}}, "type"),
        ({"action": "revoked", "terms_sha256": "x"}, {"agreement_sha256": "x"}, "protocol-form"),
    ],
)
def test_the_decision_must_be_about_these_two(
    said: dict[str, Any], members: dict[str, Any], expected: str
) -> None:
    """Another effect, addressee, type or party, terms of another form or spelling, or a digest of other terms."""
    found = told(ENVELOPE | OFFER, decided(said, **members))
    subject = "payload" if expected in ("type", "protocol-form") else "decision"
    assert (found["rule"], found["subject"]) == (expected, subject)


@given(st.sampled_from(ALL), st.integers(0, 10**6), st.integers(1, 255))
@settings(max_examples=200, deadline=None)
def test_no_byte_can_change(said: dict[str, Any], position: int, mask: int) -> None:
    """Of the one payload that a decision allows."""
    raw = bytearray(encode(ENVELOPE | said))
    raw[position % len(raw)] ^= mask
    with pytest.raises(GuardRefused):
        guard_agreement(bytes(raw), decision=decided(said))


def test_every_sign_of_base64url_may_stand_in_terms() -> None:
    """Terms whose encoding needs the two signs that plain base64 spells otherwise pass, as they stand."""
    text = written(terms(legal_basis="?>?>?>?>??>>??>>"))
    assert {"-", "_"} <= set(text)
    said = OFFER | {"terms": text}
    assert guard_agreement(encode(ENVELOPE | said), decision=decided(said)).leaves == len(ENVELOPE) + 3
