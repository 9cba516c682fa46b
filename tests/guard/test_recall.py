"""The guard's word on a recall: two ids and a code, and not one leaf beside them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import GuardRefused
from gateway.guard import GuardVerdict, guard, guard_recall
from gateway.model.agreement import Ceiling
from gateway.policy.levels import default_levels
from tests.guard.worlds import encode

RECALLED, INSTEAD = "1a1c7f0e-6a0e-4a53-9d57-0f3c1c2b7a01", "2b2c7f0e-6a0e-4a53-9d57-0f3c1c2b7a02"
ENVELOPE = {
    "format": "ct-exchange-json/1.0",
    "type": "recall",
    "mode": "operational",
    "message_id": "5f0c7f0e-6a0e-4a53-9d57-0f3c1c2b7a11",
    "conversation": "c1b0e3a4-1d5b-4a0e-8a5a-2b9f6f1f7d20",
    "from": "bel.ocam",
    "to": "fra.police-demo",
    "created": "2026-11-21T21:00:00Z",
    "language": "fr",
}
WITHDRAWN = {"recalls": RECALLED, "action": "withdrawn"}
REPLACED = {"recalls": RECALLED, "action": "replaced", "replaced_by": INSTEAD}


def decided(said: dict[str, Any], **members: Any) -> bytes:
    """The endorsed decision over this recall, in its canonical form; members may be changed."""
    document = {
        "v": 1,
        "effect": "PERMIT",
        "envelope": ENVELOPE,
        "recall": said,
        "release": "release-1",
        "agreement_sha256": "0" * 64,
        "agreement_series": "be-fr",
        "agreement_version": 1,
        "partner": "fra.police-demo",
        "partner_version": 1,
        "justification": "synthetic",
        "reasons": [],
    } | members
    return encode(_sorted(document))


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return value


def refused(payload: bytes, decision: bytes) -> GuardRefused:
    with pytest.raises(GuardRefused) as caught:
        guard_recall(payload, decision=decision)
    return caught.value


def rule(payload: bytes, decision: bytes) -> object:
    return refused(payload, decision).diagnostic["rule"]


@pytest.mark.parametrize("said", [WITHDRAWN, WITHDRAWN | {"action": "expired"}, REPLACED])
def test_ids_and_a_code_pass(said: dict[str, Any]) -> None:
    """Envelope, ids and code, each a leaf; the verdict names these bytes and this decision."""
    verdict = guard_recall(encode(ENVELOPE | said), decision=decided(said))
    assert isinstance(verdict, GuardVerdict)
    assert verdict.leaves == len(ENVELOPE) + len(said)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (ENVELOPE | WITHDRAWN | {"reason": "Zzemo Exemple"}, "unexplained"),
        (ENVELOPE | WITHDRAWN | {"replaced_by": INSTEAD}, "unexplained"),
        (ENVELOPE | WITHDRAWN | {"label": {"policy": "BEL", "level": "SECRET"}}, "unexplained"),
        (ENVELOPE | WITHDRAWN | {"records": []}, "unexplained"),
        (ENVELOPE | WITHDRAWN | {"recalls": INSTEAD}, "altered-protocol"),
        (ENVELOPE | WITHDRAWN | {"action": "expired"}, "altered-protocol"),
        (ENVELOPE | WITHDRAWN | {"type": "void"}, "altered-constant"),
        (ENVELOPE | WITHDRAWN | {"to": "fra.other"}, "altered-protocol"),
        (ENVELOPE | WITHDRAWN | {"created": "2026-11-21T21:00:01Z"}, "altered-protocol"),
        (ENVELOPE | {"recalls": RECALLED}, "missing"),
        (ENVELOPE, "missing"),
        (WITHDRAWN | ENVELOPE, "order"),
    ],
)
def test_anything_more_or_other_is_refused(payload: dict[str, Any], expected: str) -> None:
    """Each addition or change by its rule."""
    assert rule(encode(payload), decided(WITHDRAWN)) == expected


@pytest.mark.parametrize(
    ("decision", "expected"),
    [
        (decided(WITHDRAWN, effect="DENY"), "form"),
        (decided(WITHDRAWN, partner="fra.other"), "decision"),
        (decided(WITHDRAWN, envelope=ENVELOPE | {"type": "void"}), "decision"),
        (decided(WITHDRAWN | {"replaced_by": INSTEAD}), "decision"),
        (decided({"recalls": RECALLED, "action": "replaced"}), "decision"),
        (decided(REPLACED | {"replaced_by": RECALLED}), "decision"),
        (decided(WITHDRAWN | {"recalls": ENVELOPE["message_id"]}), "decision"),
        (decided(WITHDRAWN | {"action": "deleted"}), "form"),
        (decided(WITHDRAWN | {"why": "x"}), "form"),
        (decided(WITHDRAWN | {"replaced_by": ""}), "form"),
        (decided(WITHDRAWN | {"recalls": "Zzemo"}), "protocol-form"),
        (decided(WITHDRAWN, envelope=ENVELOPE | {"format": "other/1.0"}), "type"),
        (decided(WITHDRAWN) + b"\n", "syntax"),
        (b"", "syntax"),
    ],
)
def test_the_decision_must_be_about_a_recall(decision: bytes, expected: str) -> None:
    """Another effect, addressee, type or form is refused before the payload says anything."""
    said = refused(encode(ENVELOPE | WITHDRAWN), decision).diagnostic
    of_the_payload = expected in ("protocol-form", "type")
    assert said["rule"] == expected
    assert said["subject"] == ("payload" if of_the_payload else "decision")


def test_a_recall_never_passes_as_a_release() -> None:
    """The guard of content does not take a recall, whatever decision comes with it."""
    with pytest.raises(GuardRefused):
        guard(
            encode(ENVELOPE | WITHDRAWN),
            decision=decided(WITHDRAWN),
            records=(),
            pseudonyms={},
            ceiling=Ceiling("BEL", "UNCLASSIFIED"),
            levels=default_levels(),
            kinds={},
        )


@given(st.integers(0, 10**6), st.integers(1, 255))
@settings(max_examples=150, deadline=None)
def test_no_byte_can_change(position: int, mask: int) -> None:
    """Of the one payload that a decision allows."""
    raw = bytearray(encode(ENVELOPE | REPLACED))
    raw[position % len(raw)] ^= mask
    with pytest.raises(GuardRefused):
        guard_recall(bytes(raw), decision=decided(REPLACED))
