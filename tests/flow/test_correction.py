"""Whether a correction may leave, what of the reasons does, and that nothing else is in the bytes."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest

from gateway.flow.coded import PreparedCoded
from gateway.flow.correction import REASON_OF, prepare_correction, reason_of
from gateway.flow.notice import Code, Finding
from gateway.flow.outbound import Refused
from gateway.flow.recall import Sent
from gateway.model.decision import CorrectionDocument
from gateway.model.message import Correction, CorrectionReason
from gateway.wire.ct_json import CtJson
from tests.flow.test_recall import DRAFT, INSTEAD, RECALLED, SENT, agreement
from tests.policy.worlds import NOW, OURS, POLICE, world

OTHER = Sent(INSTEAD, "release-2", POLICE, "disclosure", "delivered")
ERASE = Correction(RECALLED, "withdrawn", "inaccurate")
RECTIFY = Correction(RECALLED, "replaced", "outdated", INSTEAD)


def prepared(said: Correction = ERASE, **changes: Any) -> PreparedCoded | Refused:
    members: dict[str, Any] = {
        "message": SENT,
        "said": said,
        "replacement": OTHER if said.replaced_by else None,
        "draft": DRAFT,
        "ours": OURS,
        "requester": "be-requester",
        "partner": world().partner,
        "agreement": agreement(),
        "language": "fr",
        "justification": "acquitted: synthetic",
        "repeated": False,
        "now": NOW,
    }
    return prepare_correction(**members | changes)


@pytest.mark.parametrize("said", [ERASE, RECTIFY, Correction(RECALLED, "restricted", "unlawful")])
def test_ids_and_codes_are_frozen(said: Correction) -> None:
    """The bytes say which message, what is owed and why, as codes; the justification stays in the decision."""
    made = prepared(said)
    assert isinstance(made, PreparedCoded)
    message = CtJson().parse(made.payload)
    assert (message.envelope.type, message.correction) == ("correction", said)
    assert b"acquitted" not in made.payload
    document = msgspec.json.decode(made.document, type=CorrectionDocument)
    assert (document.correction, document.justification) == (said, "acquitted: synthetic")


@pytest.mark.parametrize(
    ("said", "changes", "rules"),
    [
        (ERASE, {"agreement": None}, ["coded.agreement"]),
        (ERASE, {"agreement": agreement(revoked=True)}, ["coded.agreement"]),
        (ERASE, {"message": msgspec.structs.replace(SENT, type="recall")}, ["recall.content"]),
        (ERASE, {"message": msgspec.structs.replace(SENT, state="queued")}, ["recall.sent"]),
        (ERASE, {"repeated": True}, ["correction.once"]),
        (RECTIFY, {"replacement": None}, ["recall.replacement"]),
        (
            RECTIFY,
            {"replacement": msgspec.structs.replace(OTHER, partner="nld.other")},
            ["recall.replacement"],
        ),
        (RECTIFY, {"replacement": msgspec.structs.replace(OTHER, state="queued")}, ["recall.replacement"]),
    ],
)
def test_what_denies(said: Correction, changes: dict[str, Any], rules: list[str]) -> None:
    """Each rule alone: nothing was sent, nothing is agreed, or it was said already."""
    made = prepared(said, **changes)
    assert isinstance(made, Refused)
    assert [reason.rule for reason in made.decision.reasons] == rules


def test_every_finding_has_its_reason() -> None:
    """A code without one would stop the correction; none of them leaves as it is."""
    assert set(REASON_OF) == set(get_args(Code))
    assert set(REASON_OF.values()) == set(get_args(CorrectionReason))
    assert not set(REASON_OF) & set(get_args(CorrectionReason))


@pytest.mark.parametrize(
    ("codes", "reason"),
    [
        (("false",), "inaccurate"),
        (("added",), "incomplete"),
        (("added", "expired"), "outdated"),
        (("expired", "changed"), "inaccurate"),
        (("added", "changed", "minor"), "unlawful"),
        (("embargo",), "outdated"),
        (("consent-withdrawn",), "outdated"),
    ],
)
def test_the_gravest_reason_leaves(codes: tuple[Code, ...], reason: str) -> None:
    """One code for all that is otherwise; an embargo and a withdrawn consent look like anything out of date."""
    assert reason_of(Finding(code) for code in codes) == reason
