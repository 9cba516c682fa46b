"""A recall on the wire: closed, one encoding, and of a size that its action alone decides."""

from __future__ import annotations

import uuid
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RecordInvalid, SchemaViolation
from gateway.model.message import Envelope, ExchangeMessage, Recall, RecallAction
from gateway.wire.ct_json import CtJson

FORMAT = CtJson()
RECALLED, INSTEAD = "1a1c7f0e-6a0e-4a53-9d57-0f3c1c2b7a01", "2b2c7f0e-6a0e-4a53-9d57-0f3c1c2b7a02"
ENVELOPE = Envelope(
    format="ct-exchange-json/1.0",
    type="recall",
    mode="operational",
    message_id="5f0c7f0e-6a0e-4a53-9d57-0f3c1c2b7a11",
    conversation="c1b0e3a4-1d5b-4a0e-8a5a-2b9f6f1f7d20",
    sender="bel.ocam",
    recipient="fra.police-demo",
    created="2026-11-21T21:00:00Z",
    language="fr",
)
IDS = st.uuids(version=4).map(str)
ACTIONS = st.sampled_from(get_args(RecallAction))


def said(recalls: str, action: RecallAction, instead: str) -> ExchangeMessage:
    return ExchangeMessage(ENVELOPE, recall=Recall(recalls, action, instead if action == "replaced" else ""))


@given(st.lists(IDS, min_size=4, max_size=4, unique=True), ACTIONS)
def test_two_worlds(ids: list[str], action: RecallAction) -> None:
    """It comes back as it was; whatever it is about, it has the same size, and bytes that differ in the ids alone."""
    first, second = said(ids[0], action, ids[1]), said(ids[2], action, ids[3])
    raw = FORMAT.render(first).payload
    assert FORMAT.parse(raw) == first
    other = FORMAT.render(second).payload
    assert len(other) == len(raw)
    renamed = raw.decode().replace(ids[0], ids[2]).replace(ids[1], ids[3])
    assert renamed.encode() == other


@pytest.mark.parametrize(
    "recall",
    [
        None,
        Recall("", "withdrawn"),
        Recall("Zzemo Exemple", "withdrawn"),
        Recall(str(uuid.UUID(RECALLED)).upper(), "withdrawn"),
        Recall(RECALLED, "replaced"),
        Recall(RECALLED, "withdrawn", INSTEAD),
        Recall(RECALLED, "replaced", RECALLED),
        Recall(ENVELOPE.message_id, "withdrawn"),
        Recall(RECALLED, "replaced", ENVELOPE.message_id),
        Recall(RECALLED, "deleted"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_recall_is_not_rendered(recall: Recall | None) -> None:
    """Something that its reader would refuse has no bytes."""
    with pytest.raises(RecordInvalid):
        FORMAT.render(ExchangeMessage(ENVELOPE, recall=recall))


@pytest.mark.parametrize("type", ["void", "status", "refusal", "disclosure"])
def test_no_other_type_carries_one(type: str) -> None:
    """The members belong to this type."""
    envelope = msgspec.structs.replace(ENVELOPE, type=type)
    with pytest.raises(RecordInvalid):
        FORMAT.render(ExchangeMessage(envelope, recall=Recall(RECALLED, "withdrawn")))


def test_a_fault_says_nothing_of_the_input() -> None:
    """Neither text nor diagnostic repeats what was sent."""
    raw = FORMAT.render(said(RECALLED, "withdrawn", "")).payload.replace(RECALLED.encode(), b"Zzemo Exemple")
    with pytest.raises(SchemaViolation) as caught:
        FORMAT.parse(raw)
    assert "Zzemo" not in f"{caught.value} {caught.value.detail} {caught.value.diagnostic}"
