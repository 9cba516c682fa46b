"""The guard's word on a correction: ids and two codes, and not one leaf beside them."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import GuardRefused
from gateway.guard import guard_correction
from tests.guard import test_recall
from tests.guard.test_recall import INSTEAD
from tests.guard.worlds import encode

WRONG = "3c3c7f0e-6a0e-4a53-9d57-0f3c1c2b7a03"
ENVELOPE = test_recall.ENVELOPE | {"type": "correction"}
OWN = ENVELOPE["message_id"]
ERASE = {"corrects": WRONG, "action": "withdrawn", "reason": "inaccurate"}
RECTIFY = {"corrects": WRONG, "action": "replaced", "reason": "outdated", "replaced_by": INSTEAD}
RESTRICT = {"corrects": WRONG, "action": "restricted", "reason": "unlawful"}


def decided(said: dict[str, Any], **members: Any) -> bytes:
    """The endorsed decision over this correction, in its canonical form; members may be changed."""
    document = {
        "v": 1,
        "effect": "PERMIT",
        "envelope": ENVELOPE,
        "correction": said,
        "release": "release-1",
        "agreement_sha256": "0" * 64,
        "agreement_series": "be-fr",
        "agreement_version": 1,
        "partner": "fra.police-demo",
        "partner_version": 1,
        "justification": "acquitted: synthetic",
        "reasons": [],
    } | members
    return encode(test_recall._sorted(document))


def told(payload: dict[str, Any], decision: bytes) -> dict[str, Any]:
    with pytest.raises(GuardRefused) as caught:
        guard_correction(encode(payload), decision=decision)
    return dict(caught.value.diagnostic)


@pytest.mark.parametrize("said", [ERASE, RECTIFY, RESTRICT])
def test_ids_and_codes_pass(said: dict[str, Any]) -> None:
    """Envelope, ids and codes, each a leaf; the verdict names these bytes and this decision."""
    raw, decision = encode(ENVELOPE | said), decided(said)
    verdict = guard_correction(raw, decision=decision)
    assert verdict.leaves == len(ENVELOPE) + len(said)
    assert verdict.payload_sha256 == hashlib.sha256(raw).hexdigest()
    assert verdict.decision_sha256 == hashlib.sha256(decision).hexdigest()


@pytest.mark.parametrize(
    ("decision", "payload", "expected"),
    [
        (ERASE, ERASE | {"text": "Zzemo Exemple"}, "unexplained"),
        (ERASE, ERASE | {"replaced_by": INSTEAD}, "unexplained"),
        (ERASE, ERASE | {"records": []}, "unexplained"),
        (ERASE, ERASE | {"corrects": INSTEAD}, "altered-protocol"),
        (ERASE, ERASE | {"action": "restricted"}, "altered-protocol"),
        (ERASE, ERASE | {"reason": "unlawful"}, "altered-protocol"),
        (ERASE, ERASE | {"reason": "acquitted"}, "altered-protocol"),
        (ERASE, ERASE | {"to": "fra.other"}, "altered-protocol"),
        (ERASE, ERASE | {"type": "recall"}, "altered-constant"),
        (ERASE, {"corrects": WRONG, "action": "withdrawn"}, "missing"),
        (ERASE, {"corrects": WRONG, "reason": "inaccurate", "action": "withdrawn"}, "order"),
        (RECTIFY, ERASE, "altered-constant"),
        (RECTIFY, {name: RECTIFY[name] for name in ("corrects", "action", "reason")}, "missing"),
        (RECTIFY, RECTIFY | {"replaced_by": OWN}, "altered-protocol"),
    ],
)
def test_anything_more_or_other_is_refused(
    decision: dict[str, Any], payload: dict[str, Any], expected: str
) -> None:
    """Each addition or change by its rule; a decision of one code lets no other leave."""
    said = told(ENVELOPE | payload, decided(decision))
    assert (said["rule"], said["subject"]) == (expected, "payload")


@pytest.mark.parametrize(
    ("decision", "expected"),
    [
        (decided(ERASE, effect="DENY"), "form"),
        (decided(ERASE | {"reason": "acquitted"}), "form"),
        (decided(ERASE | {"action": "expired"}), "form"),
        (decided(ERASE, partner="fra.other"), "decision"),
        (decided(ERASE, envelope=ENVELOPE | {"type": "recall"}), "decision"),
        (decided(ERASE, envelope=ENVELOPE | {"to": "fra.other"}), "decision"),
        (decided(ERASE | {"corrects": OWN}), "decision"),
        (decided(ERASE | {"replaced_by": INSTEAD}), "decision"),
        (decided(RESTRICT | {"replaced_by": INSTEAD}), "decision"),
        (decided(RECTIFY | {"replaced_by": WRONG}), "decision"),
        (decided(RECTIFY | {"replaced_by": OWN}), "decision"),
        (decided({name: RECTIFY[name] for name in ("corrects", "action", "reason")}), "decision"),
        (decided(ERASE | {"corrects": "Zzemo"}), "protocol-form"),
        (decided(RECTIFY | {"replaced_by": "Zzemo"}), "protocol-form"),
        (decided(ERASE, envelope=ENVELOPE | {"format": "other/1.0"}), "type"),
        (b"", "syntax"),
    ],
)
def test_the_decision_must_be_about_this_correction(decision: bytes, expected: str) -> None:
    """Another effect, addressee, type, form or code is refused before the payload says anything."""
    said = told(ENVELOPE | ERASE, decision)
    subject = "payload" if expected in ("type", "protocol-form") else "decision"
    assert (said["rule"], said["subject"]) == (expected, subject)


@given(st.sampled_from((ERASE, RECTIFY, RESTRICT)), st.integers(0, 10**6), st.integers(1, 255))
@settings(max_examples=300, deadline=None)
def test_no_byte_can_change(said: dict[str, Any], position: int, mask: int) -> None:
    """Of the one payload that a decision allows."""
    raw = bytearray(encode(ENVELOPE | said))
    raw[position % len(raw)] ^= mask
    with pytest.raises(GuardRefused):
        guard_correction(bytes(raw), decision=decided(said))
