"""Prepare freezes once; recheck asks the same rules again and names what no longer holds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import msgspec
import pytest

from gateway.errors import PolicyInvalid
from gateway.flow.outbound import (
    Draft,
    Go,
    Prepared,
    Refused,
    Void,
    assert_same_content,
    four_eyes,
    prepare,
    recheck,
)
from gateway.model.decision import DecisionDocument
from gateway.model.ground import Consent, GroundName
from gateway.model.officer import Officer
from gateway.model.request import Lift
from gateway.policy.context import Context
from tests.policy.worlds import NOW, POLICY, approver, policy_without, world

DRAFT = Draft(
    "5f0c7f0e-6a0e-4a53-9d57-0f3c1c2b7a10",
    "5f0c7f0e-6a0e-4a53-9d57-0f3c1c2b7a11",
    "c1b0e3a4-1d5b-4a0e-8a5a-2b9f6f1f7d20",
    "operational",
    bytes(32),
)
REF = "p-" + "0" * 32


def prepared(ctx: Context) -> Prepared:
    made = prepare(ctx, POLICY, DRAFT, ref=REF)
    assert isinstance(made, Prepared), made.decision.reasons
    return made


def test_preparing_is_repeatable() -> None:
    """The same inputs give the same bytes: payload, decision and statement."""
    assert prepared(world()) == prepared(world())


@pytest.mark.parametrize(
    ("pointer", "until", "last"),
    [
        ("/threat", None, "2027-11-21"),
        ("/threat", "2026-12-31", "2026-12-31"),
        ("/threat", "2028-01-01", "2027-11-21"),
        ("/health", "2026-12-31", "2027-11-21"),
    ],
)
def test_the_earliest_end_of_retention_is_the_message_s(pointer: str, until: str | None, last: str) -> None:
    """The agreement's days, or a released field's earlier end; what stays here leaves no trace in it."""
    made = prepared(world({f"labels.{pointer}.label.retention_until": until}))
    document = msgspec.json.decode(made.document, type=DecisionDocument)
    assert document.handling.retention_until == last


def test_nothing_changed_may_go_on() -> None:
    """The baseline over the same state."""
    assert recheck(prepared(world()), world(), POLICY, now=NOW) == Go()


def _partner(ctx: Context) -> Context:
    return msgspec.structs.replace(ctx, partner=msgspec.structs.replace(ctx.partner, version=9))


def _agreement(ctx: Context) -> Context:
    assert ctx.agreement is not None
    return msgspec.structs.replace(ctx, agreement=msgspec.structs.replace(ctx.agreement, sha256="1" * 64))


def _levels(ctx: Context) -> Context:
    return msgspec.structs.replace(ctx, levels=msgspec.structs.replace(ctx.levels, version="another"))


def _settings(ctx: Context) -> Context:
    return msgspec.structs.replace(ctx, settings=msgspec.structs.replace(ctx.settings, freshness_s=1_000_000))


CHANGES: dict[str, tuple[Callable[[Context], Context], str]] = {
    "partner entry": (_partner, "partner.unchanged"),
    "no agreement": (lambda ctx: msgspec.structs.replace(ctx, agreement=None), "agreement.unchanged"),
    "another agreement": (_agreement, "agreement.unchanged"),
    "level table": (_levels, "policy.unchanged"),
    "thresholds": (_settings, "policy.unchanged"),
    "embargo": (lambda ctx: msgspec.structs.replace(ctx, embargoed=True), "embargo"),
    "time": (lambda ctx: msgspec.structs.replace(ctx, now=NOW + timedelta(days=3)), "extract.fresh"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changed_is_named(name: str) -> None:
    """Each change of the state since the approval voids the release, with its rule."""
    change, rule = CHANGES[name]
    ctx = change(world())
    verdict = recheck(prepared(world()), ctx, POLICY, now=ctx.now)
    assert isinstance(verdict, Void)
    assert verdict.rule == rule


CONSENT = Consent(
    "nld.aivd-demo",
    ("fra.police-demo",),
    ("ct-prevention",),
    ("*",),
    "2026-11-30",
    "telephone",
    "desk 3",
    NOW,
)
NAMES = (
    GroundName("g1", "consent", "1" * 64, "nld.aivd-demo"),
    GroundName("g2", "consent", "2" * 64, "deu.bfv-demo"),
    GroundName("g3", "authorisation", "3" * 64, ""),
    GroundName("g4", "derogation", "4" * 64, ""),
)


def consented(*names: GroundName, consents: tuple[Consent, ...] = (CONSENT,)) -> Context:
    """The Dutch service supplied the threat, and consented."""
    ctx = world({"labels./threat.originator": "nld.aivd-demo"})
    return msgspec.structs.replace(ctx, consents=consents, grounds=names)


def grounds_of(made: Prepared) -> tuple[GroundName, ...]:
    return msgspec.json.decode(made.document, type=DecisionDocument).grounds


def test_a_decision_names_the_grounds_it_rests_on() -> None:
    """Of those in force, the consent of who supplied what leaves; neither what nobody needed, nor what came with the
    item. A decision that rests on none has the bytes it always had."""
    assert grounds_of(prepared(consented(*NAMES))) == NAMES[:1]
    came = world(
        {"labels./threat.originator": "nld.aivd-demo", "labels./threat.consent": ["fra.police-demo"]}
    )
    assert grounds_of(prepared(msgspec.structs.replace(came, grounds=NAMES))) == ()
    assert b"grounds" not in prepared(world()).document
    judicial = world({"content.status.judicial_information": True, "release.judicial_authorisation": "g3"})
    assert grounds_of(prepared(msgspec.structs.replace(judicial, grounds=NAMES))) == NAMES[2:3]


@pytest.mark.parametrize("names", [(), NAMES[1:], (msgspec.structs.replace(NAMES[0], id="g9"), *NAMES[1:])])
def test_a_ground_that_holds_no_more_voids(names: tuple[GroundName, ...]) -> None:
    """Withdrawn, over, or replaced by one that nobody approved with: the release does not go on."""
    verdict = recheck(prepared(consented(*NAMES)), consented(*names), POLICY, now=NOW)
    assert isinstance(verdict, Void)
    assert verdict.rule == "ground.in-force"


def test_a_ground_more_changes_nothing() -> None:
    """Another consent beside the one named does not stop the release; the rules still ask for theirs."""
    made = prepared(consented(NAMES[0]))
    assert recheck(made, consented(*NAMES), POLICY, now=NOW) == Go()
    verdict = recheck(made, consented(*NAMES, consents=()), POLICY, now=NOW)
    assert isinstance(verdict, Void)
    assert verdict.rule == "third-party"


def test_an_approval_expires() -> None:
    """At the end of the statement's own time, to the second."""
    made = prepared(world())
    late = recheck(made, world(), POLICY, now=NOW + timedelta(days=31))
    assert isinstance(late, Void)
    assert late.rule == "approval.expired"


def test_a_field_that_would_now_be_withheld_voids_with_its_rule_and_pointer() -> None:
    """The release as a whole is still permitted, but one field in its bytes is not: nothing of it leaves."""
    pointer = next(
        field
        for field in prepared(world()).decision.released
        if field.startswith("/names/") or field == "/sex"
    )
    narrowed = world({f"labels.{pointer}.label.releasable_to": ["BEL"]})
    verdict = recheck(prepared(world()), narrowed, POLICY, now=NOW)
    assert isinstance(verdict, Void)
    assert {(reason.rule, reason.pointer, reason.effect) for reason in verdict.reasons} == {
        ("label.releasable", pointer, "DENY")
    }


def test_a_denial_is_a_value() -> None:
    """An embargo refuses at preparation, with its reason."""
    refused = prepare(msgspec.structs.replace(world(), embargoed=True), POLICY, DRAFT, ref=REF)
    assert isinstance(refused, Refused)
    assert [reason.rule for reason in refused.decision.reasons] == ["embargo"]


def test_a_permit_without_an_agreement_is_a_broken_policy() -> None:
    """Rules that let something go without an agreement are refused, not followed."""
    rules = [rule.id for rule in POLICY.rules if rule.id.startswith("agreement.")]
    lax = policy_without(*rules)
    ctx = msgspec.structs.replace(world(), agreement=None)
    try:
        refused = prepare(ctx, lax, DRAFT, ref=REF)
    except PolicyInvalid:
        return
    assert isinstance(refused, Refused)


def test_two_roads_must_give_one_content() -> None:
    """What was decided again and what was rendered are compared; a difference is never sent."""
    assert_same_content({"a": 1}, {"a": 1})
    with pytest.raises(PolicyInvalid):
        assert_same_content({"a": 1}, {"a": 2})


def test_a_lift_needs_a_lift_approver() -> None:
    """Two persons are not enough for a lifted field; neither may operate the gateway."""
    requester = world().officers[0]
    document = msgspec.json.decode(prepared(world()).document, type=DecisionDocument)
    lifted = msgspec.structs.replace(document, lifts=(Lift("/national_number", "synthetic"),))
    plain = msgspec.convert(approver(roles=("approver",)), Officer)
    lifting = msgspec.convert(approver(roles=("approver", "lift-approver")), Officer)
    assert four_eyes(requester, plain, document) == Go()
    assert four_eyes(requester, lifting, lifted) == Go()
    assert isinstance(four_eyes(requester, plain, lifted), Void)
    operating = msgspec.structs.replace(requester, roles=(*requester.roles, "operator"))
    assert isinstance(four_eyes(operating, plain, document), Void)
    assert isinstance(four_eyes(requester, requester, document), Void)
