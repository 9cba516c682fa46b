"""The guard's word on a coded answer: an id and the codes of its type, and not one leaf beside them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import GuardRefused
from gateway.guard import GuardVerdict, guard, guard_reply
from gateway.model.agreement import Ceiling
from gateway.policy.levels import default_levels
from tests.guard import test_recall
from tests.guard.worlds import encode

ASKED, OTHER = "1a1c7f0e-6a0e-4a53-9d57-0f3c1c2b7a01", "2b2c7f0e-6a0e-4a53-9d57-0f3c1c2b7a02"


def envelope(type: str) -> dict[str, Any]:
    return test_recall.ENVELOPE | {"type": type}


SILENT = envelope("no-information") | {"answers": ASKED}
REFUSED = envelope("refusal") | {"answers": ASKED, "ground": "incomplete"}
DENIED = envelope("consent-answer") | {"answers": ASKED, "consent": "refused"}
GRANTED = DENIED | {"consent": "granted"}
LIMITED = GRANTED | {"until": "2027-01-01"}
ALL = (SILENT, REFUSED, DENIED, GRANTED, LIMITED)


def decided(payload: dict[str, Any], **members: Any) -> bytes:
    """The endorsed decision over this answer, in its canonical form; members may be changed."""
    reply = {name: payload[name] for name in ("answers", "consent", "ground", "until") if name in payload}
    document = {
        "v": 1,
        "effect": "PERMIT",
        "envelope": {name: payload[name] for name in test_recall.ENVELOPE},
        "reply": reply,
        "agreement_sha256": "0" * 64,
        "agreement_series": "be-fr",
        "agreement_version": 1,
        "partner": "fra.police-demo",
        "partner_version": 1,
        "justification": "embargoed: synthetic",
        "reasons": [],
    } | members
    return encode(test_recall._sorted(document))


def rule(payload: bytes, decision: bytes) -> object:
    with pytest.raises(GuardRefused) as caught:
        guard_reply(payload, decision=decision)
    return caught.value.diagnostic["rule"]


@pytest.mark.parametrize("payload", ALL)
def test_an_id_and_a_code_pass(payload: dict[str, Any]) -> None:
    """Envelope, id and code, each a leaf; the verdict names these bytes and this decision."""
    verdict = guard_reply(encode(payload), decision=decided(payload))
    assert isinstance(verdict, GuardVerdict)
    assert verdict.leaves == len(payload)


@pytest.mark.parametrize(
    ("decision", "payload", "expected"),
    [
        (SILENT, SILENT | {"ground": "embargoed"}, "unexplained"),
        (SILENT, SILENT | {"reason": "Zzemo Exemple"}, "unexplained"),
        (SILENT, SILENT | {"records": []}, "unexplained"),
        (SILENT, SILENT | {"label": {"policy": "BEL", "level": "SECRET"}}, "unexplained"),
        (SILENT, SILENT | {"consent": "refused"}, "unexplained"),
        (SILENT, SILENT | {"answers": OTHER}, "altered-protocol"),
        (SILENT, SILENT | {"created": "2026-11-21T21:00:01Z"}, "altered-protocol"),
        (SILENT, SILENT | {"to": "fra.other"}, "altered-protocol"),
        (SILENT, SILENT | {"type": "refusal"}, "altered-constant"),
        (SILENT, envelope("no-information"), "missing"),
        (SILENT, {"answers": ASKED} | SILENT, "order"),
        (REFUSED, SILENT, "altered-constant"),
        (REFUSED, REFUSED | {"ground": "minor-offence"}, "altered-protocol"),
        (REFUSED, REFUSED | {"ground": "withheld"}, "altered-protocol"),
        (REFUSED, envelope("refusal") | {"answers": ASKED}, "missing"),
        (GRANTED, DENIED, "altered-constant"),
        (DENIED, GRANTED, "altered-constant"),
        (GRANTED, LIMITED, "unexplained"),
        (DENIED, DENIED | {"until": "2027-01-01"}, "unexplained"),
        (LIMITED, GRANTED, "missing"),
        (LIMITED, LIMITED | {"until": "2027-01-02"}, "altered-protocol"),
    ],
)
def test_anything_more_or_other_is_refused(
    decision: dict[str, Any], payload: dict[str, Any], expected: str
) -> None:
    """Each addition or change by its rule; a decision of one code lets no other leave."""
    assert rule(encode(payload), decided(decision)) == expected


@pytest.mark.parametrize(
    ("decision", "expected"),
    [
        (decided(SILENT, effect="DENY"), "form"),
        (decided(SILENT, partner="fra.other"), "decision"),
        (decided(SILENT, envelope=envelope("answer")), "decision"),
        (decided(SILENT, envelope=envelope("recall")), "decision"),
        (decided(SILENT, envelope=envelope("void")), "decision"),
        (decided(SILENT | {"ground": "incomplete"}), "decision"),
        (decided(SILENT | {"consent": "granted"}), "decision"),
        (decided(SILENT | {"answers": SILENT["message_id"]}), "decision"),
        (decided(envelope("refusal") | {"answers": ASKED}), "decision"),
        (decided(REFUSED | {"consent": "refused"}), "decision"),
        (decided(REFUSED | {"ground": "embargoed"}), "form"),
        (decided(DENIED | {"until": "2027-01-01"}), "decision"),
        (decided(envelope("consent-answer") | {"answers": ASKED}), "decision"),
        (decided(LIMITED | {"until": "for ever"}), "protocol-form"),
        (decided(SILENT | {"answers": "Zzemo"}), "protocol-form"),
        (decided(SILENT, envelope=envelope("no-information") | {"format": "other/1.0"}), "type"),
        (decided(SILENT) + b"\n", "syntax"),
        (b"", "syntax"),
    ],
)
def test_the_decision_must_be_about_this_answer(decision: bytes, expected: str) -> None:
    """Another effect, addressee, type, form or code is refused before the payload says anything."""
    assert rule(encode(SILENT), decision) == expected


def test_a_coded_answer_never_passes_as_a_release() -> None:
    """The guard of content does not take one, whatever decision comes with it."""
    with pytest.raises(GuardRefused):
        guard(
            encode(SILENT),
            decision=decided(SILENT),
            records=(),
            pseudonyms={},
            ceiling=Ceiling("BEL", "UNCLASSIFIED"),
            levels=default_levels(),
            kinds={},
        )


@given(st.sampled_from(ALL), st.integers(0, 10**6), st.integers(1, 255))
@settings(max_examples=300, deadline=None)
def test_no_byte_can_change(payload: dict[str, Any], position: int, mask: int) -> None:
    """Of the one payload that a decision allows."""
    raw = bytearray(encode(payload))
    raw[position % len(raw)] ^= mask
    with pytest.raises(GuardRefused):
        guard_reply(bytes(raw), decision=decided(payload))
