"""Whether a recall may leave: what it needs, what voids it later, and that it needs nothing of the content's policy."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from gateway.flow.coded import PreparedCoded, recheck_coded
from gateway.flow.lifecycle import TABLE
from gateway.flow.outbound import Draft, Go, Refused, Void
from gateway.flow.recall import ATTEMPTED, REASONS, Sent, prepare_recall
from gateway.model.agreement import AgreementState
from gateway.model.decision import RecallDocument, Statement
from gateway.model.message import Recall
from gateway.model.party import Partner
from gateway.policy.explain import messages
from tests.policy.worlds import NOW, OURS, POLICE, world

RECALLED, INSTEAD = "1a1c7f0e-6a0e-4a53-9d57-0f3c1c2b7a01", "2b2c7f0e-6a0e-4a53-9d57-0f3c1c2b7a02"
DRAFT = Draft(
    "release-9",
    "5f0c7f0e-6a0e-4a53-9d57-0f3c1c2b7a11",
    "c1b0e3a4-1d5b-4a0e-8a5a-2b9f6f1f7d20",
    "operational",
    bytes(32),
)
SENT = Sent(RECALLED, "release-1", POLICE, "disclosure", "delivered")
OTHER = Sent(INSTEAD, "release-2", POLICE, "disclosure", "delivered")


def agreement(**changes: Any) -> AgreementState:
    agreed = world().agreement
    assert agreed is not None
    terms = {name: changes.pop(name) for name in list(changes) if name in agreed.terms.__struct_fields__}
    return msgspec.structs.replace(agreed, terms=msgspec.structs.replace(agreed.terms, **terms), **changes)


def prepared(**changes: Any) -> PreparedCoded | Refused:
    said = changes.pop("recall", Recall(RECALLED, "withdrawn"))
    members: dict[str, Any] = {
        "message": SENT,
        "recall": said,
        "replacement": OTHER if said.replaced_by else None,
        "draft": DRAFT,
        "ours": OURS,
        "requester": "be-requester",
        "partner": world().partner,
        "agreement": agreement(),
        "language": "fr",
        "justification": "synthetic",
        "repeated": False,
        "now": NOW,
    }
    return prepare_recall(**members | changes)


def permitted(**changes: Any) -> PreparedCoded:
    made = prepared(**changes)
    assert isinstance(made, PreparedCoded)
    return made


def denied(**changes: Any) -> list[str]:
    made = prepared(**changes)
    assert isinstance(made, Refused)
    assert made.decision.effect == "DENY"
    return [reason.rule for reason in made.decision.reasons]


def test_preparing_is_repeatable() -> None:
    """The same inputs give the same bytes: payload, decision and statement."""
    assert permitted() == permitted()


def test_what_is_bound() -> None:
    """The statement names the officer and the bytes, the decision the message, the agreement and why."""
    made = permitted(justification="a synthetic reason")
    statement = msgspec.json.decode(made.statement, type=Statement)
    document = msgspec.json.decode(made.document, type=RecallDocument)
    assert (statement.requester, statement.release) == ("be-requester", "release-9")
    assert (document.recall, document.release) == (Recall(RECALLED, "withdrawn"), "release-1")
    assert document.justification == "a synthetic reason"
    assert b"synthetic" not in made.payload
    assert made.not_after == NOW + timedelta(days=30)


def test_a_language_that_is_agreed() -> None:
    """Our own where it is agreed, else the first that is."""
    assert b'"language":"nl"' in permitted(agreement=agreement(languages=("nl", "en"))).payload


@pytest.mark.parametrize("state", sorted(TABLE))
def test_only_what_the_partner_may_have(state: str) -> None:
    """A message that was attempted or delivered is recalled; no other is, nor is one put in its place."""
    message = msgspec.structs.replace(SENT, state=state)
    instead = msgspec.structs.replace(OTHER, state=state)
    replaced = Recall(RECALLED, "replaced", INSTEAD)
    if state in ATTEMPTED:
        permitted(message=message)
        permitted(recall=replaced, replacement=instead)
    else:
        assert denied(message=message) == ["recall.sent"]
        assert denied(recall=replaced, replacement=instead) == ["recall.replacement"]


@pytest.mark.parametrize(
    ("changes", "rules"),
    [
        ({"agreement": None}, ["coded.agreement"]),
        ({"agreement": agreement(revoked=True)}, ["coded.agreement"]),
        ({"agreement": agreement(signed_theirs=False)}, ["coded.agreement"]),
        ({"agreement": agreement(signed_ours=False)}, ["coded.agreement"]),
        ({"agreement": agreement(not_after=NOW)}, ["coded.agreement"]),
        ({"agreement": agreement(not_before=NOW + timedelta(seconds=1))}, ["coded.agreement"]),
        ({"agreement": agreement(formats=())}, ["coded.agreement"]),
        ({"agreement": agreement(parties=(OURS, "nld.other"))}, ["coded.agreement"]),
        ({"message": msgspec.structs.replace(SENT, type="recall")}, ["recall.content"]),
        ({"repeated": True}, ["recall.once"]),
        ({"recall": Recall(RECALLED, "replaced", INSTEAD), "replacement": None}, ["recall.replacement"]),
        (
            {
                "recall": Recall(RECALLED, "replaced", INSTEAD),
                "replacement": msgspec.structs.replace(OTHER, partner="nld.other"),
            },
            ["recall.replacement"],
        ),
        ({"recall": Recall(RECALLED, "replaced", RECALLED), "replacement": SENT}, ["recall.replacement"]),
        (
            {"agreement": None, "repeated": True, "message": msgspec.structs.replace(SENT, state="queued")},
            ["coded.agreement", "recall.sent", "recall.once"],
        ),
    ],
)
def test_each_denial_names_its_reasons(changes: dict[str, Any], rules: list[str]) -> None:
    """A value with every reason, never an exception."""
    assert denied(**changes) == rules


def test_the_policy_of_content_has_no_say() -> None:
    """No purpose, kind or ceiling of the agreement stands in the way of taking something back."""
    assert permitted(agreement=agreement(purposes=(), kinds=())).payload == permitted().payload


def test_every_reason_has_its_sentence() -> None:
    """In the table of explanations."""
    assert set(REASONS) <= set(messages())


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({}, ""),
        ({"now": NOW + timedelta(days=30)}, "approval.expired"),
        ({"partner": None}, "partner.unchanged"),
        ({"partner": msgspec.structs.replace(world().partner, stopped=True)}, "partner.unchanged"),
        ({"partner": msgspec.structs.replace(world().partner, version=2)}, "partner.unchanged"),
        ({"agreement": None}, "agreement.unchanged"),
        ({"agreement": agreement(sha256="1" * 64)}, "agreement.unchanged"),
        ({"agreement": agreement(revoked=True)}, "coded.agreement"),
    ],
)
def test_looking_again(changes: dict[str, Any], rule: str) -> None:
    """What it rests on must still be so; what content rests on is not asked."""
    made = permitted()
    partner: Partner = world().partner
    members: dict[str, Any] = {"partner": partner, "agreement": agreement(), "ours": OURS, "now": NOW}
    verdict = recheck_coded(made.statement, made.document, **members | changes)
    assert verdict == Go() if not rule else isinstance(verdict, Void) and verdict.rule == rule
