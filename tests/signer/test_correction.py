"""What the signer demands before it seals a correction: what it demands of a recall, and the guard of its own form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from gateway.flow.change import digest
from gateway.model.message import Correction
from gateway.model.signing import SealBatch
from gateway.wire.seal import read_seal
from tests.signer.test_recall import INSTEAD, RECALLED, evidence_of, recall
from tests.signer.world import OTHER_ID, authority, disk, put, refusal, with_request

ERASE = Correction(RECALLED, "withdrawn", "inaccurate")
RECTIFY = Correction(RECALLED, "replaced", "outdated", INSTEAD)


def correction(said: Correction = ERASE, **edits: Any) -> SealBatch:
    return recall(said, **edits)


@pytest.mark.parametrize("said", [ERASE, RECTIFY, Correction(RECALLED, "restricted", "unlawful")])
@pytest.mark.parametrize("officer", ["be-requester", "be-approver"])
def test_one_officer_is_enough(said: Correction, officer: str) -> None:
    """Either of the two who may let content out."""
    made = correction(said, signer=officer)
    (answer,) = authority(disk()).seal(made).results
    assert answer.code == "", answer.detail
    header = read_seal(answer.jws)
    assert (header.typ, header.payload_sha256) == (
        "ecluse-msg-correction+jws",
        digest(made.items[0].payload),
    )


REFUSED: dict[str, tuple[str, Callable[[], SealBatch]]] = {
    "a text beside the codes": ("guard-refused", lambda: correction(payload=put("text", "Zzemo Exemple"))),
    "another reason than decided": ("guard-refused", lambda: correction(payload=put("reason", "unlawful"))),
    "another action than decided": ("guard-refused", lambda: correction(payload=put("action", "restricted"))),
    "a reason that tells": (
        "request-invalid",
        lambda: correction(
            decision=put("correction.reason", "acquitted"), payload=put("reason", "acquitted")
        ),
    ),
    "a message that was never sent": (
        "audit-broken",
        lambda: correction(decision=put("correction.corrects", OTHER_ID), payload=put("corrects", OTHER_ID)),
    ),
    "a message of the partner's": ("audit-broken", lambda: correction(entry={"direction": "in"})),
    "a message without content": ("request-invalid", lambda: correction(entry={"type": "recall"})),
    "a security officer's": ("role-missing", lambda: correction(signer="be-security")),
    "an operator's": ("role-missing", lambda: correction(signer="be-operator")),
    "an approval": ("role-missing", lambda: correction(act="approve")),
    "a recall's decision": (
        "request-invalid",
        lambda: with_request(correction(), recall=evidence_of(recall())),
    ),
    "a correction's decision under a recall": (
        "request-invalid",
        lambda: with_request(recall(), recall=evidence_of(correction())),
    ),
    "one entry for two messages": ("audit-broken", lambda: _announcing(1)),
    "no entry": ("audit-broken", lambda: _announcing(0)),
    "no evidence": ("role-missing", lambda: with_request(correction(), recall=None)),
}


def _announcing(count: int) -> SealBatch:
    made = correction(RECTIFY)
    evidence = evidence_of(made)
    fewer = msgspec.structs.replace(evidence, announced=evidence.announced[:count])
    return with_request(made, recall=fewer)


@pytest.mark.parametrize("name", REFUSED)
def test_anything_else_is_refused(name: str) -> None:
    """Each attempt by its one code; nothing is signed."""
    code, make = REFUSED[name]
    assert refusal(make()) == code
