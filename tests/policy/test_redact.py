"""Redaction, and the second decision on what is left."""

import json

import msgspec
import pytest

from gateway.model.decision import Decision
from gateway.model.record import fields_of
from gateway.policy.decide import decide, with_fields
from gateway.policy.facts.declare import fields_read, subject_fields
from gateway.policy.redact import decide_again, positions, redact
from gateway.policy.rules import load_policy
from tests.policy.worlds import CONTENT, POLICY, policy_document, world

ASKED = {
    "request": {"id": "r1", "partner": "fra.police-demo", "purpose": "ct-prevention", "asks": ["/contacts/*"]}
}


def test_lists_are_renumbered_and_labels_follow() -> None:
    """The first name is withheld: the second becomes the first, with its own label; withheld members are gone."""
    ctx = world({"labels./names/0.label.no_foreign": True, "labels./names/1.label.tlp": "GREEN"})
    decision = decide(POLICY, ctx)
    left = redact(ctx.record, decision)
    assert left.content["names"] == [CONTENT["names"][1]]
    assert list(left.content) == ["category", "names", "sex", "birth", "nationalities", "threat"]
    labels = {entry.pointer: entry.label for entry in left.labels}
    assert set(labels) == {"/category", "/names/0", "/sex", "/birth/0", "/nationalities/0", "/threat"}
    label = labels["/names/0"]
    assert label is not None
    assert label.tlp == "GREEN"
    assert positions(ctx.record, decision)["/names/1"] == "/names/0"


def test_the_original_is_untouched() -> None:
    """Redaction builds another record."""
    ctx = world()
    before = msgspec.json.encode(ctx.record)
    redact(ctx.record, decide(POLICY, ctx))
    assert msgspec.json.encode(ctx.record) == before


def test_a_denial_or_review_leaves_nothing() -> None:
    """Only a PERMIT releases, whatever the fields of another decision say."""
    ctx = world({"agreement.terms.regime": "SPOC", "labels./threat.label.handling_code": ["H1"]})
    review = decide(POLICY, ctx)
    assert review.effect == "REVIEW"
    assert redact(ctx.record, review).content == {}
    assert redact(ctx.record, decide(POLICY, world({"agreement": None}))).labels == ()


def test_deciding_again_is_a_clean_permit() -> None:
    """What is left needs no redaction, and a third decision says the same."""
    ctx = world(ASKED)
    first = decide(POLICY, ctx)
    again = decide_again(POLICY, ctx, first)
    assert (again.effect, again.obligations, again.withheld) == ("PERMIT", (), ())
    assert set(again.released) == set(positions(ctx.record, first).values())
    left = msgspec.structs.replace(ctx, record=redact(ctx.record, first))
    assert redact(left.record, again) == left.record
    assert decide_again(POLICY, left, again) == again


def test_lifts_follow_their_fields() -> None:
    """A lifted field stays lifted, the lift of a withheld one is dropped, the person's lift stays."""
    minor = {"content.birth.0": {"date": "2010", "precision": "year"}}
    lifts = [
        {"pointer": "/person", "reason": "invented"},
        {"pointer": "/special", "reason": "invented"},
        {"pointer": "/health", "reason": "invented"},
    ]
    ctx = world({**minor, "lifts": lifts})
    again = decide_again(POLICY, ctx, decide(POLICY, ctx))
    assert again.effect == "PERMIT"
    assert "/special" in again.released


def test_a_withheld_number_leaves_nothing() -> None:
    """A member that is no list goes as a whole, whatever stands in it."""
    ctx = world({"content.info_grade": 3, "labels./info_grade.label.no_foreign": True})
    decision = decide(POLICY, ctx)
    assert "/info_grade" in {field.pointer for field in decision.withheld}
    assert "info_grade" not in redact(ctx.record, decision).content
    assert decide_again(POLICY, ctx, decision).effect == "PERMIT"


@pytest.mark.parametrize("lifted", [(0, 1), (1,)])
def test_a_lift_goes_with_its_item(lifted: tuple[int, ...]) -> None:
    """The second item takes the number of a withheld first one, and its own lift with it."""
    document = policy_document()
    kind = world().kind
    fields = {
        **kind.fields,
        "/contacts/*": msgspec.structs.replace(kind.fields["/contacts/*"], export_class="C"),
    }
    of = msgspec.structs.replace(kind, fields=fields)
    contacts = [
        {"type": "email", "value": "a@exemple.invalid"},
        {"type": "email", "value": "b@exemple.invalid"},
    ]
    changes = {
        "content.contacts": contacts,
        "agreement.terms.lifts": ["/contacts/*"],
        "lifts": [{"pointer": f"/contacts/{index}", "reason": "invented"} for index in lifted],
        "labels./contacts/0.label.no_foreign": True,
    }
    ctx = world(changes, of=of)
    policy = load_policy(json.dumps(document).encode())
    first = decide(policy, ctx)
    assert "/contacts/1" in first.released
    again = decide_again(policy, ctx, first)
    assert again.effect == "PERMIT"
    assert "/contacts/0" in again.released


def test_the_subject_is_decided_in_full() -> None:
    """Validation and age never leave, and still count when deciding again."""
    ctx = world({"content.status.card": "information-file"})
    permitted = decide(POLICY, world())
    again = decide_again(POLICY, ctx, permitted)
    assert [reason.rule for reason in again.reasons] == ["bdc.card"]


def test_what_is_no_permit_stays_so() -> None:
    """A denial is not decided again."""
    ctx = world({"release.embargoed": True})
    denial = decide(POLICY, ctx)
    assert decide_again(POLICY, ctx, denial) is denial


def test_a_policy_that_never_settles_denies() -> None:
    """A rule that withholds one more field each time is stopped at the second decision."""
    document = policy_document()
    document["rules"].append(
        {
            "id": "unsettled",
            "version": 1,
            "scope": "field",
            "source_kind": "house",
            "article": "release policy: none such",
            "applies": [
                "all",
                ["known", ["fact", "field.pattern"]],
                ["eq", ["fact", "field.pattern"], ["const", "/sex"]],
            ],
            "condition": ["not", ["intersects", ["fact", "record.members"], ["const", ["health"]]]],
            "effect": "DENY",
            "message_id": "release.settled",
        }
    )
    policy = load_policy(json.dumps(document).encode())
    first: Decision = decide(policy, world())
    assert first.effect == "PERMIT"
    again = decide_again(policy, world(), first)
    assert (again.effect, [reason.rule for reason in again.reasons]) == ("DENY", ["release.settled"])
    assert again.released == ()


def test_the_subject_is_read_in_full_when_deciding_again() -> None:
    """What was withheld still counts; where nothing was, the fields that `decide` read are not read again."""
    ctx = world({"labels./names/0.label.no_foreign": True})
    whole = tuple(fields_of(ctx.record, ctx.kind))
    left = msgspec.structs.replace(ctx, record=redact(ctx.record, decide(POLICY, ctx)))
    again = with_fields(left, tuple(fields_of(left.record, left.kind)))
    assert subject_fields(again) == whole
    assert fields_read(again) is again.fields
    first = with_fields(ctx, whole)
    assert subject_fields(first) is whole
    assert fields_read(ctx) == whole
