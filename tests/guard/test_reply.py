"""The guard's word on a coded answer: an id and the codes of its type, and not one leaf beside them."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import GuardRefused
from gateway.guard import GuardVerdict, guard, guard_reply
from gateway.model.agreement import Ceiling
from gateway.policy.levels import default_levels
from tests.guard import test_recall
from tests.guard.worlds import ENVELOPE, World, canonical, encode, payload_tree

ASKED, OTHER = "1a1c7f0e-6a0e-4a53-9d57-0f3c1c2b7a01", "2b2c7f0e-6a0e-4a53-9d57-0f3c1c2b7a02"


def envelope(type: str) -> dict[str, Any]:
    return test_recall.ENVELOPE | {"type": type}


SILENT = envelope("no-information") | {"answers": ASKED}
REFUSED = envelope("refusal") | {"answers": ASKED, "ground": "incomplete"}
DENIED = envelope("consent-answer") | {"answers": ASKED, "consent": "refused"}
GRANTED = DENIED | {"consent": "granted"}
LIMITED = GRANTED | {"until": "2027-01-01"}
ALL = (SILENT, REFUSED, DENIED, LIMITED)


ABOUT = {
    "release": "release-1",
    "message_id": OTHER,
    "record": "record-1",
    "kind": "bdc-person/1.0",
    "items": ["/threat"],
    "purpose": "ct-prevention",
    "recipient": "",
}


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
        **({"about": ABOUT} if reply.get("consent") == "granted" else {}),
    } | members
    return encode(test_recall._sorted(document))


def told(payload: bytes, decision: bytes) -> dict[str, Any]:
    """The whole of what a refusal says."""
    with pytest.raises(GuardRefused) as caught:
        guard_reply(payload, decision=decision)
    return dict(caught.value.diagnostic)


@pytest.mark.parametrize("payload", ALL)
def test_an_id_and_a_code_pass(payload: dict[str, Any]) -> None:
    """Envelope, id and code, each a leaf; the verdict names these bytes and this decision."""
    raw, decision = encode(payload), decided(payload)
    verdict = guard_reply(raw, decision=decision)
    assert isinstance(verdict, GuardVerdict)
    assert verdict.leaves == len(payload)
    assert verdict.payload_sha256 == hashlib.sha256(raw).hexdigest()
    assert verdict.decision_sha256 == hashlib.sha256(decision).hexdigest()


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
        (LIMITED, LIMITED | {"consent": "refused"}, "altered-constant"),
        (DENIED, GRANTED, "altered-constant"),
        (DENIED, DENIED | {"until": "2027-01-01"}, "unexplained"),
        (LIMITED, GRANTED, "missing"),
        (LIMITED, LIMITED | {"until": "2027-01-02"}, "altered-protocol"),
    ],
)
def test_anything_more_or_other_is_refused(
    decision: dict[str, Any], payload: dict[str, Any], expected: str
) -> None:
    """Each addition or change by its rule; a decision of one code lets no other leave."""
    said = told(encode(payload), decided(decision))
    assert said.pop("leaf", None) is None or expected != "missing"
    assert said == {"rule": expected, "subject": "payload"}


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
        (decided(SILENT | {"consent": "refused"}), "decision"),
        (decided(SILENT, envelope=envelope("ping")), "decision"),
        (decided(SILENT, envelope=envelope("consent-request")), "decision"),
        (decided(GRANTED), "decision"),
        (decided(LIMITED, about=None), "form"),
        (decided(DENIED, about=ABOUT), "decision"),
        (decided(SILENT, about=ABOUT), "decision"),
        (decided(DENIED | {"ground": "incomplete"}), "decision"),
        (decided(GRANTED | {"ground": "incomplete", "until": "2027-01-01"}), "decision"),
        (decided(REFUSED | {"until": "2027-01-01"}), "decision"),
        (decided(SILENT | {"until": "2027-01-01"}), "decision"),
    ],
)
def test_the_decision_must_be_about_this_answer(decision: bytes, expected: str) -> None:
    """Another effect, addressee, type, form or code is refused before the payload says anything; the decision is
    named, or the allow-list that knows no such format or value."""
    said = told(encode(SILENT), decision)
    at = {"at": said.get("at")} if expected == "syntax" else {}
    subject = "payload" if expected in ("type", "protocol-form") else "decision"
    assert said == {"rule": expected, "subject": subject, **at}


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


def answered(request: str, type: str = "answer") -> bytes:
    """The decision over the release of the baseline, of this type and for this request."""
    world = World(envelope=msgspec.structs.replace(ENVELOPE, type=type))
    return canonical(msgspec.structs.replace(world.document(), request=request))


def answer(**members: str) -> bytes:
    """The baseline's bytes as an answer: its id after the envelope."""
    tree = payload_tree()
    head = {name: tree.pop(name) for name in test_recall.ENVELOPE}
    return encode(head | {"type": "answer"} | members | tree)


def test_an_answer_names_its_request() -> None:
    """With the id that was decided on it passes, with another or none it does not."""
    world = World(envelope=msgspec.structs.replace(ENVELOPE, type="answer"))
    verdict = world.guard(answer(answers=ASKED), decision=answered(ASKED))
    assert verdict.decision_sha256 == hashlib.sha256(answered(ASKED)).hexdigest()
    for payload, expected in (
        (answer(answers=OTHER), {"rule": "altered-protocol", "subject": "payload", "leaf": 9}),
        (answer(), {"rule": "missing", "subject": "payload"}),
    ):
        with pytest.raises(GuardRefused) as caught:
            world.guard(payload, decision=answered(ASKED))
        assert caught.value.diagnostic == expected


@pytest.mark.parametrize(
    ("decision", "payload"),
    [
        (answered(""), answer()),
        (answered(""), answer(answers="")),
        (answered(ASKED, "disclosure"), encode(payload_tree())),
        (answered(ASKED, "disclosure"), answer(type="disclosure", answers=ASKED)),
    ],
)
def test_an_answer_names_a_request_and_nothing_else_does(decision: bytes, payload: bytes) -> None:
    """A decision over an answer to nothing, or over a disclosure that answers, is refused as such."""
    with pytest.raises(GuardRefused) as caught:
        World().guard(payload, decision=decision)
    assert caught.value.diagnostic == {"rule": "decision", "subject": "decision"}


@given(st.sampled_from(ALL), st.integers(0, 10**6), st.integers(1, 255))
@settings(max_examples=300, deadline=None)
def test_no_byte_can_change(payload: dict[str, Any], position: int, mask: int) -> None:
    """Of the one payload that a decision allows."""
    raw = bytearray(encode(payload))
    raw[position % len(raw)] ^= mask
    with pytest.raises(GuardRefused):
        guard_reply(bytes(raw), decision=decided(payload))
