"""Decisions: what the table cannot show one rule at a time."""

import json
from typing import Any, cast

import msgspec
import pytest

from gateway.model.decision import Reason
from gateway.model.record import LabelledField, fields_of
from gateway.policy.context import Context
from gateway.policy.decide import SILENCE, decide, judge
from gateway.policy.explain import messages
from gateway.policy.expr import Const, Reading, facts_of
from gateway.policy.facts import FACTS, FactSpec
from gateway.policy.facts.declare import MARK, SPEC, marked
from gateway.policy.rules import Rule, Rules, load_policy
from tests.policy.worlds import (
    FUSION_CENTRE,
    KIND,
    NOTE,
    NOTE_WORLD,
    POLICY,
    leaving,
    policy_document,
    policy_without,
    world,
)

BASELINE = world()


def test_the_baseline_is_permitted_with_its_class_b_c_and_x_withheld() -> None:
    """Class A leaves; each other field names the rule that withheld it; each withheld field is an obligation."""
    decision = decide(POLICY, BASELINE)
    assert decision.effect == "PERMIT"
    assert decision.released == (
        "/category",
        "/names/0",
        "/names/1",
        "/sex",
        "/birth/0",
        "/nationalities/0",
        "/threat",
    )
    assert {field.pointer: field.rule for field in decision.withheld} == {
        "/addresses/0": "class.B",
        "/contacts/0": "class.B",
        "/links/0": "link.target-held",
        "/national_number": "class.C",
        "/financial": "financial.route",
        "/special": "special.justified",
        "/health": "class.X",
        "/validation": "class.X",
        "/status": "class.X",
    }
    assert {reason.error for reason in decision.reasons} == {""}
    assert [redact.pointer for redact in decision.obligations] == [
        field.pointer for field in decision.withheld
    ]


def test_a_fusion_centre_is_denied_by_rule_two_alone() -> None:
    """A valid, current agreement both sides signed does not help: the law names no such recipient of BDC data."""
    decision = decide(POLICY, world(FUSION_CENTRE))
    assert [(reason.rule, reason.article, reason.source_kind) for reason in decision.reasons] == [
        ("bdc.recipient", "law 29.3.2024 art. 28", "law")
    ]
    assert decide(policy_without("bdc.recipient"), world(FUSION_CENTRE)).effect == "PERMIT"


def test_a_denial_names_every_denying_rule_and_withholds_every_field() -> None:
    """All reasons at once, in policy order; a field keeps its own reason, the others get the first of the release."""
    decision = decide(
        POLICY,
        world({"agreement.signed_theirs": False, "release.embargoed": True, "content.status.archived": True}),
    )
    assert [reason.rule for reason in decision.reasons] == ["agreement.in-force", "embargo", "bdc.archived"]
    rules = {field.pointer: field.rule for field in decision.fields}
    assert (rules["/names/0"], rules["/health"]) == ("agreement.in-force", "class.X")
    assert decision.released == ()


def test_a_lost_required_member_denies_with_the_rules_that_withheld_it() -> None:
    """Both names are withheld by different rules: both rules are reasons, each at its first field."""
    changes = {"labels./names/0.label.no_foreign": True, "labels./names/1.label.releasable_to": ["BEL"]}
    decision = decide(POLICY, world(changes))
    assert [(reason.rule, reason.pointer) for reason in decision.reasons] == [
        ("label.no-foreign", "/names/0"),
        ("label.releasable", "/names/1"),
    ]
    del changes["labels./names/1.label.releasable_to"]
    assert "/names/1" in leaving(world(changes))


def test_nothing_left_denies_even_where_nothing_is_required() -> None:
    """A kind without required members: when every field is withheld, the field rules are the reasons."""
    kind = msgspec.structs.replace(BASELINE.kind, required=frozenset())
    ctx = world({"labels.*.label.releasable_to": []}, of=kind)
    assert "label.releasable" in {reason.rule for reason in decide(POLICY, ctx).reasons}
    assert leaving(
        world({"labels.*.label.releasable_to": [], "labels./sex.label.releasable_to": ["FRA"]}, of=kind)
    ) == {"/sex"}


def test_an_empty_record_is_denied_by_the_missing_permit() -> None:
    """No field, nothing required: `release.permit` does not fire, and that is the reason."""
    kind = msgspec.structs.replace(BASELINE.kind, required=frozenset())
    ctx = world(of=kind)
    decision = decide(
        POLICY, msgspec.structs.replace(ctx, record=msgspec.structs.replace(ctx.record, content={}))
    )
    (reason,) = decision.reasons
    assert (reason.rule, reason.effect) == ("release.permit", "DENY")
    assert (reason.pointer, reason.error) == ("", "")


def test_a_denied_release_is_the_reason_even_where_required_members_are_lost() -> None:
    """Rules of the release that deny come before what the field rules withheld."""
    changes = {"labels.*.label.no_foreign": True, "release.embargoed": True}
    assert [reason.rule for reason in decide(POLICY, world(changes)).reasons] == ["embargo"]


def test_a_policy_that_is_silent_denies() -> None:
    """Without any permit of the release, or any rule on fields, silence is the reason."""
    decision = decide(policy_without("release.permit"), BASELINE)
    assert [reason.rule for reason in decision.reasons] == ["default.deny"]
    fieldless = policy_without(*(rule.id for rule in POLICY.rules if rule.scope == "field"))
    assert {reason.rule for reason in decide(fieldless, BASELINE).reasons} == {"default.deny"}


def test_silence_is_a_reason_like_any_other() -> None:
    """It denies, names the rule of the house, the field it is about, and a message that can be read."""
    silence = Reason(
        rule="default.deny",
        version=1,
        effect="DENY",
        source_kind="house",
        article="release policy: no permit denies",
        message_id="default.deny",
        pointer="/sex",
    )
    verdict = judge(Rules(()), Reading(BASELINE))
    assert (verdict.effect, verdict.overruled, verdict.reasons("/sex")) == ("DENY", False, (silence,))
    assert verdict.reasons() == (msgspec.structs.replace(silence, pointer=""),)
    assert "default.deny" in messages()
    assert (SILENCE.scope, SILENCE.effect) == ("release", "DENY")
    assert SILENCE.applies == SILENCE.condition == Const(True)


def test_a_denied_release_withholds_every_field_with_its_reason() -> None:
    """A field that a field rule withholds keeps that rule; what could have left names the rule that denied it all."""
    decision = decide(POLICY, world({"release.embargoed": True}))
    (reason,) = decision.reasons
    rules = {field.pointer: (field.outcome, field.rule) for field in decision.fields}
    assert rules["/sex"] == ("withheld", reason.rule)
    assert rules["/health"] == ("withheld", "class.X")
    assert (decision.released, decision.obligations) == ((), ())


def test_without_the_class_a_permit_the_record_stays() -> None:
    """A permit rule taken away releases nothing in its place."""
    assert decide(policy_without("class.A"), BASELINE).effect == "DENY"
    assert (
        decide(POLICY, world({"release.legal_basis": "", "agreement.terms.legal_basis": ""})).effect == "DENY"
    )


def test_deny_overrides_review_and_review_overrides_permit() -> None:
    """A field in conflict holds the whole release back for a person, but not against a denial."""
    changes = {"agreement.terms.regime": "BE-POLICE", "labels./threat.label.handling_code": ["H2"]}
    review = decide(POLICY, world(changes))
    assert review.effect == "REVIEW"
    assert [(reason.rule, reason.pointer) for reason in review.reasons] == [
        ("handling.led-conflict", "/threat")
    ]
    assert review.obligations == ()
    assert decide(POLICY, world({**changes, "release.embargoed": True})).effect == "DENY"
    required = decide(
        POLICY, world({"agreement.terms.regime": "SPOC", "labels.*.label.handling_code": ["H2"]})
    )
    assert required.effect == "REVIEW"


def test_a_review_rule_of_the_release_holds_it_back() -> None:
    """Also a release rule may ask for a person."""
    document = policy_document()
    embargo = next(rule for rule in document["rules"] if rule["id"] == "embargo")
    embargo["effect"] = "REVIEW"
    policy = load_policy(json.dumps(document).encode())
    decision = decide(policy, world({"release.embargoed": True}))
    told = [(reason.rule, reason.pointer) for reason in decision.reasons]
    assert (decision.effect, told) == ("REVIEW", [("embargo", "")])


@pytest.mark.parametrize(("places", "pointers"), [(set("edcba"), list("abcde")), (set(), [""]), (None, [""])])
def test_a_rule_names_the_places_at_fault(places: Any, pointers: list[str]) -> None:
    """One reason for each place that the rule's own fact names; where it names none, one about the release."""
    document = policy_document()
    embargo = next(rule for rule in document["rules"] if rule["id"] == "embargo")
    embargo["at"] = "places"
    found = None if places is None else frozenset(places)
    spec = FactSpec("places", "release", frozenset, lambda ctx, field: found)
    policy = load_policy(json.dumps(document).encode(), {**FACTS, "places": spec})
    decision = decide(policy, world({"release.embargoed": True}))
    assert [(reason.rule, reason.pointer, reason.error) for reason in decision.reasons] == [
        ("embargo", pointer, "") for pointer in pointers
    ]


def _broken(spec: FactSpec) -> FactSpec:
    def compute(ctx: Any, field: Any) -> Any:
        raise RuntimeError("Zzemo Exemple")  # what a fact trips over may be personal data

    return FactSpec(spec.name, spec.scope, spec.type, compute)


@pytest.mark.parametrize("name", sorted(FACTS))
def test_a_failing_fact_never_releases_more(name: str) -> None:
    """Break one fact: nothing leaves that did not leave before, wherever it is read something is denied, and no
    reason quotes what it tripped over."""
    policy = load_policy(json.dumps(policy_document()).encode(), {**FACTS, name: _broken(FACTS[name])})
    world_of_all = world(
        {
            "request": {
                "id": "r",
                "partner": "fra.police-demo",
                "purpose": "ct-prevention",
                "asks": ["/contacts/*"],
            },
            "lifts": [{"pointer": "/special", "reason": "invented"}],
        }
    )
    decision = decide(policy, world_of_all)
    assert (frozenset(decision.released) if decision.effect == "PERMIT" else frozenset()) <= leaving(
        world_of_all
    )
    assert "Zzemo" not in repr(decision)
    reading = [rule for rule in POLICY.rules if name in facts_of(rule.applies) | facts_of(rule.condition)]
    if any(
        rule.scope == "release" and name in facts_of(rule.condition) and _always(rule) for rule in reading
    ):
        assert decision.effect == "DENY"
        assert name in {reason.error for reason in decision.reasons}


def _always(rule: Rule) -> bool:
    return not facts_of(rule.applies)


@pytest.mark.parametrize("rule", [rule.id for rule in POLICY.rules])
def test_an_erring_rule_denies(rule: str) -> None:
    """Replace a rule's condition by one that cannot be told: a DENY or REVIEW rule denies wherever it applies, a
    PERMIT rule permits nothing; the fact at fault is named."""
    document = policy_document()
    found = next(entry for entry in document["rules"] if entry["id"] == rule)
    found["condition"], found["applies"] = ["gt", ["fact", "broken"], ["const", 0]], ["const", True]
    broken = _broken(FactSpec("broken", "release", int, lambda ctx, field: 0))
    decision = decide(load_policy(json.dumps(document).encode(), {**FACTS, "broken": broken}), BASELINE)
    if rule in ("class.B", "class.C"):
        assert decision.released == decide(POLICY, BASELINE).released
        return
    assert decision.effect == "DENY"
    told = {(reason.rule, reason.error): (reason.effect, reason.pointer) for reason in decision.reasons}
    scope = next(entry["scope"] for entry in document["rules"] if entry["id"] == rule)
    effect, pointer = told[rule, "broken"]
    assert (effect, bool(pointer)) == ("DENY", scope == "field")


def test_two_labels_of_one_field_are_a_doubt() -> None:
    """A second, milder label cannot talk the first one down: the release is denied."""
    ctx = world({"labels./threat.label.level": "SECRET"})
    milder = next(entry for entry in BASELINE.record.labels if entry.pointer == "/threat")
    record = msgspec.structs.replace(ctx.record, labels=(*ctx.record.labels, milder))
    decision = decide(POLICY, msgspec.structs.replace(ctx, record=record, subject=record))
    assert [reason.rule for reason in decision.reasons] == ["label.present"]


def test_a_member_cannot_pass_for_an_item_of_another() -> None:
    """A member named `names/0` is not the first name: its pointer is `/names~10`, which the kind does not know."""
    decision = decide(POLICY, world({"content.names/0": "invented"}))
    assert {field.pointer: field.rule for field in decision.withheld}["/names~10"] == "field.unknown"


def test_another_regime_is_free_of_the_bdc_rules() -> None:
    """The rules of the common database apply to its records only."""
    assert leaving(world({**FUSION_CENTRE, **NOTE_WORLD}, of=NOTE)) == {"/text", "/birth/0"}


def test_fields_marked_alike_are_judged_as_if_alone() -> None:
    """What rules say of one mark is kept for every field that bears it; each field judged by itself gets the same."""
    ctx = world()
    reading, fields = Reading(ctx), list(fields_of(ctx.record, ctx.kind))
    marks = [(field.label, field.originator, field.consent) for field in fields]
    assert len(set(marks)) < len(marks)
    for field in fields:
        alone = judge(POLICY.field_rules, Reading(ctx).of_field(field))
        assert judge(POLICY.field_rules, reading.of_field(field)) == alone


@pytest.mark.parametrize("name", sorted(name for name, spec in FACTS.items() if spec.sees in (MARK, SPEC)))
def test_a_fact_sees_no_more_of_a_field_than_it_says(name: str) -> None:
    """Two fields that differ only in what a fact does not see read the same, asked by itself or in a reading."""
    ctx, spec = world(), FACTS[name]
    for field in fields_of(ctx.record, ctx.kind):
        kept = field.spec if spec.sees == SPEC else None
        other = msgspec.structs.replace(field, pointer="/other", value={"date": "1990"}, spec=kept)
        assert spec.compute(ctx, other) == spec.compute(ctx, field)
        assert marked(other) == LabelledField("", None, None, field.label, field.originator, field.consent)


@pytest.mark.parametrize("name", sorted(name for name, spec in FACTS.items() if spec.sees == SPEC))
def test_what_a_kind_says_does_not_hang_on_the_world(name: str) -> None:
    """A fact of a specification reads no context, and no mark: what a rule says by it alone holds for ever."""
    spec, nowhere = FACTS[name], cast(Context, None)
    for field in fields_of(world().record, KIND):
        bare = msgspec.structs.replace(field, label=None, originator="", consent=())
        assert spec.compute(nowhere, bare) == spec.compute(world(), field)


def test_rules_of_one_policy_say_nothing_for_those_of_another() -> None:
    """One reading asked by two policies, and one kind of field met first in a world where more is denied."""
    ctx, few = world({"release.legal_basis": ""}), policy_without("class.X")
    reading = Reading(ctx)
    for field in fields_of(ctx.record, ctx.kind):
        for policy in (POLICY, few, POLICY):
            alone = judge(policy.field_rules, Reading(ctx).of_field(field))
            assert judge(policy.field_rules, reading.of_field(field)) == alone
    assert decide(POLICY, world()) == decide(load_policy(json.dumps(policy_document()).encode()), world())
