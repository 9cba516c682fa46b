"""What changed after it was shared, as a function: a code for each thing otherwise, silence about the rest."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.flow.notice import (
    MAY,
    RELEASE_RULES,
    Code,
    Finding,
    Left,
    Removal,
    due_at,
    duty_of,
    findings,
    replaceable,
    stays,
)
from gateway.flow.replay import outcome
from tests.policy.worlds import CONTENT, NOW, POLICY, world

#: Another name of the person of the baseline.
ALIAS = {"type": "alias", "text": "Zzemo le Second", "script": "Latn", "quality": "low"}

#: The message that left: the baseline, without a request, so that class B stayed here.
THEN = world({"request": None})
LEFT = Left(THEN.record, outcome(POLICY, THEN))


def said(
    changes: dict[str, Any], *, remove: tuple[str, ...] = (), newest: bool = True, now: datetime = NOW
) -> list[str]:
    """What is found today, in a world that is otherwise by these changes."""
    today = world({"request": None} | changes, remove=remove, now=now)
    return codes(findings(LEFT, today, POLICY, removal=None, newest=newest))


def codes(found: tuple[Finding, ...]) -> list[str]:
    return [f"{one.code} /{one.member}" if one.member else one.code for one in found]


def test_what_left_is_as_it_was() -> None:
    """The baseline is permitted, holds withheld fields, and nothing about it is otherwise."""
    assert LEFT.decision.effect == "PERMIT"
    assert LEFT.decision.withheld
    assert said({}) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"release.embargoed": True}, ["embargo"]),
        ({"content.validation.state": "rejected"}, ["not-validated"]),
        ({"content.status.archived": True}, ["archived"]),
        ({"content.status.judicial_information": True}, ["judicial"]),
        ({"content.status.card": "information-file"}, ["not-validated"]),
        ({"content.birth": [{"date": "2016-01-01", "precision": "day"}]}, ["minor"]),
        ({"content.threat.level": 1}, ["level-lowered /threat"]),
        ({"content.category.criterion": "b"}, ["changed /category"]),
        ({"content.sex": "F"}, ["changed /sex"]),
        ({"labels./sex.label.tlp": "RED"}, ["label-raised /sex"]),
        ({"labels./sex.label.releasable_to": ["FRA"]}, ["label-raised /sex"]),
        ({"labels./sex.label": None}, ["label-raised /sex"]),
        ({"labels./sex.originator": "nld.police-demo"}, ["consent-withdrawn /sex"]),
    ],
)
def test_what_must_be_told(changes: dict[str, Any], expected: list[str]) -> None:
    """One change, one code; it is a duty."""
    assert said(changes) == expected
    assert {*expected[0].split(" ")[:1]}.isdisjoint(MAY)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"content.threat.level": 4}, ["level-raised /threat"]),
        ({"content.threat.date": "2026-11-01"}, ["updated /threat"]),
        ({"content.names": [*CONTENT["names"], ALIAS]}, ["added /names"]),
        ({"labels./sex.label.tlp": "GREEN"}, ["label-relaxed /sex"]),
    ],
)
def test_what_may_be_told(changes: dict[str, Any], expected: list[str]) -> None:
    """An update may be sent; once a later message has reached the partner, that one says what is new."""
    assert said(changes) == expected
    assert {*expected[0].split(" ")[:1]} <= MAY
    assert said(changes, newest=False) == []


#: Release rules that make nothing untrue of what a partner holds, or of which something else speaks. With those of
#: `RELEASE_RULES` they are all that there are: a new rule takes its place in one of the two.
NOT_NEEDED = {
    "about the agreement, the partner or the way there, not the record": """
        agreement.in-force agreement.parties agreement.covers agreement.recipient-kind agreement.legal-basis
        agreement.protocol agreement.assurance retention.set language.common format.common partner.active
        recipient.public transfer.ground request.answers evaluation.recipient bdc.recipient bdc.reference bdc.route
        bdc.intelligence-conditions bdc.bulk-configured bdc.bulk""",
    "a ground that is withdrawn has a code of its own": "transfer.derogation",
    "about who signs, and why": """
        justification.given officer.present officer.role officer.four-eyes officer.need-to-know lift.reasoned
        lift.approver""",
    "about an emergency of then": """
        emergency.scope-configured emergency.kind emergency.purpose emergency.partner emergency.threat emergency.locked
        emergency.second-signature emergency.lift""",
    "about how much the partner holds, not whether it is true": """
        compilation.level held.combination held.sharing-ceiling held.repeats held.sharing-quota""",
    "only about the next release: imported again, it may leave": "extract.fresh",
    "of each field that left: label, value, text and grade are compared": """
        label.present label.known fields.required free-text.register-number free-text.withheld free-text.mentioned
        grade.travels dna.loci dna.reference dna.mixture release.permit""",
    "of the kind: it never left, and no version changes it": """
        kind.regime person.category signal.local proposal.internal judicial.input""",
    "time that passes for what leaves from then on; the partner's copy has its own retention": "pnr.masked pnr.term",
}


def test_every_release_rule_is_looked_at_or_said_not_to_be() -> None:
    """A closed table: what stops a release as a whole is a change to tell, or it is said why not."""
    excused = [rule for rules in NOT_NEEDED.values() for rule in rules.split()]
    assert len(excused) == len(set(excused))
    assert {*excused} & RELEASE_RULES.keys() == set()
    assert {*excused} | RELEASE_RULES.keys() == {each.id for each in POLICY.rules if each.scope == "release"}


def test_what_was_judicial_information_when_it_left_did_not_become_it() -> None:
    """It left with an authorisation; that one is withdrawn with a code of its own, and ends on a day that was known."""
    changes = {"request": None, "content.status.judicial_information": True}
    then = world(changes | {"release.judicial_authorisation": "ground-1"})
    left = Left(then.record, outcome(POLICY, then))
    assert left.decision.effect == "PERMIT"
    assert findings(left, world(changes), POLICY, removal=None, newest=True) == ()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"labels./sex.label.releasable_to": []}, True),
        ({"officers.0.clearance": None}, True),
        ({"record.extracted_at": "2026-01-01T09:00:00Z"}, True),
        ({"labels.*.label.releasable_to": []}, False),
        ({"labels./names/0.label.tlp": "RED", "labels./names/1.label.tlp": "RED"}, False),
    ],
)
def test_whether_anything_of_the_record_may_stay(changes: dict[str, Any], expected: bool) -> None:
    """By the field rules alone: not who asks, nor what holds up a release for now; without what makes it a record of
    its kind nothing stays."""
    assert stays(world({"request": None} | changes), POLICY) is expected


def test_an_alias_that_is_gone_must_be_told() -> None:
    """Wherever it stood in the list; one that only stands elsewhere is the same one."""
    first, second = CONTENT["names"]
    assert said({"content.names": [first]}) == ["removed /names"]
    assert said({"content.names": [second, first]}) == []
    assert said({}, remove=("content.sex",)) == ["removed /sex"]


def test_time_makes_an_evaluation_expire() -> None:
    """Nothing was imported; six months went by."""
    later = NOW + timedelta(days=200)
    assert "expired /threat" in said({"record.extracted_at": "2027-06-09T09:00:00Z"}, now=later)


@pytest.mark.parametrize("removal", ["false", "removed", "acquitted"])
def test_a_record_deleted_for_cause(removal: Removal) -> None:
    """One finding, whatever the last version said; nothing can stand in its place."""
    found = findings(LEFT, world({"content.threat.level": 4}), POLICY, removal=removal, newest=True)
    assert codes(found) == [removal]
    assert not replaceable(found)


@pytest.mark.parametrize(
    "changes",
    [
        {"record.extracted_at": "2026-11-01T09:00:00Z"},
        {"agreement.terms.kinds": []},
        {"agreement": None},
        {"partner.stopped": True},
        {"held.disclosures": 1000},
        {"officers.0.suspended": True},
        {"officers.0.clearance": None},
        {"settings.channel_ceiling": None},
    ],
)
def test_what_is_not_about_the_record_changes_nothing_of_what_was_said(changes: dict[str, Any]) -> None:
    """A stale extract, an agreement, a quota or an officer stop the next release, and make none of the last untrue."""
    assert said(changes) == []


#: Values of members that stayed here, and the ways their labels can go: none of it may be found.
WITHHELD = {
    "addresses": st.lists(st.fixed_dictionaries({"city": st.text("xyz", min_size=1), "country": st.just("BEL")}),
                          max_size=3),
    "contacts": st.lists(st.fixed_dictionaries({"type": st.just("email"), "value": st.text("xyz", min_size=1)}),
                         max_size=3),
    "national_number": st.text("0123456789", min_size=1, max_size=11),
    "financial": st.fixed_dictionaries({"summary": st.text("xyz", min_size=1)}),
    "special": st.fixed_dictionaries({"kind": st.just("belief"), "text": st.text("xyz", min_size=1)}),
    "health": st.fixed_dictionaries({"text": st.text("xyz", min_size=1)}),
}  # fmt: skip


@given(st.fixed_dictionaries({}, optional=WITHHELD), st.sampled_from(["CLEAR", "RED", None]))
def test_a_withheld_value_that_changed_is_never_found(values: dict[str, Any], tlp: str | None) -> None:
    """Invariant 6: whatever became of what stayed here, no recall and no update comes of it."""
    changes = {f"content.{member}": value for member, value in values.items()}
    for member in values.keys() - {"addresses", "contacts"}:
        changes[f"labels./{member}.label.tlp"] = tlp
    assert said(changes) == []


@given(
    st.sampled_from(
        [
            {"content.sex": "F"},
            {"content.threat.level": 1},
            {"content.status.archived": True},
            {"content.names": [*CONTENT["names"], ALIAS]},
        ]
    ),
    st.fixed_dictionaries({}, optional=WITHHELD),
)
def test_what_is_found_does_not_hang_on_what_was_withheld(
    changes: dict[str, Any], values: dict[str, Any]
) -> None:
    """Two worlds that differ in withheld values have the same findings."""
    withheld = {f"content.{member}": value for member, value in values.items()}
    assert said(changes | withheld) == said(changes)


def test_no_clock_is_no_due_time() -> None:
    """Undetermined, never "none"; the desk shows it as overdue."""
    assert due_at(NOW, 24) == NOW + timedelta(days=1)
    assert due_at(NOW, None) is None


def test_every_code_is_a_duty_or_a_possibility() -> None:
    """The whole is a duty when one thing in it is."""
    for code in get_args(Code):
        assert Finding(code).duty == ("may" if code in MAY else "must")
    assert duty_of((Finding("added"), Finding("changed"))) == "must"
    assert duty_of((Finding("added"),)) == "may"


def test_what_something_can_stand_in_for() -> None:
    """A value or a label; not a record that must not be there at all."""
    assert replaceable((Finding("removed", "names"), Finding("level-lowered", "threat")))
    for code in ("embargo", "archived", "not-validated", "removed", "false"):
        assert not replaceable((Finding(code),))
