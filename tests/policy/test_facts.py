"""Facts, one by one: the value in a world, None where it is not known, and failure where it cannot be told."""

from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pytest

from gateway.model.record import fields_of
from gateway.policy.expr import FactUnreadable, Reading
from gateway.policy.facts import FACTS
from gateway.policy.facts.declare import DECLARED, fact, months_begun
from tests.policy.worlds import FUSION_CENTRE, KIND, NOW, approver, world

ASKS = {"id": "r1", "partner": "fra.police-demo", "purpose": "ct-prevention", "asks": ["/threat"]}
PEOPLE = [
    approver(id="a", roles=["requester"]),
    approver(id="b", person="person-be-approver", clearance=None),
]

#: Law 30.7.2018 art. 158: what the agreement must state.
PROTOCOL = frozenset(
    {"bodies", "controllers", "dpo_contacts", "purposes", "legal_basis", "restrictions_on_rights"}
)

#: fact, changes to the baseline, value (None: not known)
RELEASE: list[tuple[str, dict[str, Any], Any]] = [
    ("agreement.signed_ours", {}, True),
    ("agreement.signed_ours", {"agreement": None}, None),
    ("agreement.signed_theirs", {"agreement.signed_theirs": False}, False),
    ("agreement.signed_theirs", {"agreement": None}, None),
    ("agreement.current", {}, True),
    ("agreement.current", {"agreement.revoked": True}, False),
    ("agreement.current", {"agreement.terms.not_after": "2026-11-21T21:00:00Z"}, False),
    ("agreement.current", {"agreement.terms.not_before": "2026-11-21T21:00:01Z"}, False),
    ("agreement.current", {"agreement": None}, None),
    ("agreement.parties", {}, frozenset({"bel.ocam", "fra.police-demo"})),
    ("agreement.kinds", {}, frozenset({"bdc-person/1.0"})),
    ("agreement.kinds", {"agreement": None}, None),
    ("agreement.purposes", {"agreement.terms.purposes": []}, frozenset()),
    ("agreement.lifts", {}, frozenset({"/national_number", "/special"})),
    ("agreement.languages", {}, frozenset({"fr"})),
    ("agreement.formats", {}, frozenset({"ct-exchange-json/1.0"})),
    ("agreement.regime", {}, "BE-OCAM"),
    ("agreement.route", {}, "police"),
    ("agreement.route", {"agreement": None}, None),
    ("agreement.recipient_kind", {}, "police"),
    ("agreement.recipient_kind", {"agreement.terms.recipient_kinds": {}}, None),
    ("agreement.legal_basis", {}, "be-2024-03-29:art28"),
    ("agreement.protocol", {}, PROTOCOL),
    ("agreement.protocol", {"agreement.terms.protocol.bodies": []}, PROTOCOL - {"bodies"}),
    ("agreement.protocol", {"agreement.terms.protocol.bodies": ["OCAM", "\u00a0"]}, PROTOCOL - {"bodies"}),
    ("agreement.protocol", {"agreement.terms.protocol.legal_basis": " "}, PROTOCOL - {"legal_basis"}),
    ("agreement.protocol", {"agreement": None}, None),
    ("agreement.ceiling", {}, 1),
    ("agreement.ceiling", {"agreement.terms.ceiling": {"policy": "NLD", "level": "Stg. GEHEIM"}}, 3),
    ("agreement.ceiling", {"agreement.terms.ceiling": {"policy": "NLD", "level": "GEHEIM"}}, None),
    ("agreement.retention_days", {}, 365),
    ("agreement.bulk.records", {}, 50),
    ("agreement.bulk.records", {"agreement.terms.bulk": None}, None),
    ("partner.org", {}, "fra.police-demo"),
    ("partner.kind", FUSION_CENTRE, "fusion"),
    ("partner.stopped", {}, False),
    ("partner.languages", {}, frozenset({"en", "fr"})),
    ("partner.formats", {}, frozenset({"ct-exchange-json/1.0"})),
    ("partner.in_eu", {}, True),
    ("partner.in_eu", {"partner.nation": "USA"}, False),
    ("partner.in_eu", {"settings.eu_states": []}, None),
    ("partner.bdc_route", {}, "police"),
    ("partner.bdc_route", {"partner.recipient_kind": "intelligence"}, "intelligence"),
    ("partner.bdc_route", FUSION_CENTRE, None),
    ("assurance.shortfalls", {}, 0),
    ("assurance.shortfalls", {"partner.assurance": {}}, 4),
    ("assurance.shortfalls", {"partner.assurance.receipt": "fetched"}, 1),
    (
        "assurance.shortfalls",
        {
            "agreement.terms.minimum_assurance": {"ordered": True, "recall_ack": True},
            "partner.assurance.ordered": False,
        },
        1,
    ),
    ("assurance.shortfalls", {"settings.minimum_assurance": None}, None),
    ("assurance.shortfalls", {"agreement": None}, None),
    ("our.org", {}, "bel.ocam"),
    ("release.purpose", {}, "ct-prevention"),
    ("release.legal_basis", {}, "be-2024-03-29:art28"),
    ("release.justification", {"release.justification": " x\n"}, "x"),
    ("release.language", {}, "fr"),
    ("release.format", {}, "ct-exchange-json/1.0"),
    ("release.judicial_authorisation", {"release.judicial_authorisation": " "}, ""),
    ("held.records_after", {"held.records": 3}, 4),
    ("held.records_after", {"held.records": 3, "held.subject_held": True}, 3),
    ("compilation.level", {"held.records": 99}, 0),
    ("compilation.level", {"held.records": 100}, 2),
    ("compilation.level", {"held.records": 100, "settings.compilation.level.level": "?"}, None),
    ("compilation.level", {"settings.compilation": None}, None),
    ("channel.ceiling", {}, 1),
    ("channel.ceiling", {"settings.channel_ceiling": None}, None),
    ("lifts.count", {"lifts": [{"pointer": "/special", "reason": "x"}]}, 1),
    (
        "lifts.without_reason",
        {"lifts": [{"pointer": "/special", "reason": "x"}, {"pointer": "/a", "reason": " "}]},
        1,
    ),
    ("lifts.person", {"lifts": [{"pointer": "/person", "reason": "x"}]}, True),
    ("lifts.person", {"lifts": [{"pointer": "/special", "reason": "x"}]}, False),
    ("fields.permitted", {}, None),
    ("officers.count", {"officers": []}, 0),
    ("officers.persons", {"officers": PEOPLE}, 1),
    ("officers.unfit", {"officers": PEOPLE}, 0),
    ("officers.unfit", {"officers": PEOPLE[::-1]}, 2),
    ("officers.unfit", {"officers.0.suspended": True}, 1),
    ("officers.lift_approvers", {"officers": PEOPLE}, 1),
    ("officers.lift_approvers", {"officers.0.roles": ["requester", "lift-approver"]}, 0),
    ("officers.without_need_to_know", {"officers.0.need_to_know": []}, 1),
    ("officers.without_need_to_know", {"officers.0.need_to_know": ["bdc-person/2.0"]}, 1),
    ("officers.without_need_to_know", {"officers.0.need_to_know": ["bdc-person/1.0"]}, 0),
    ("officers.clearance", {}, 3),
    ("officers.clearance", {"officers": PEOPLE}, 0),
    ("officers.clearance", {"officers": []}, None),
    ("record.kind", {}, "bdc-person/1.0"),
    ("record.regime", {}, "bdc"),
    ("record.unlabelled_items", {}, 0),
    ("record.unlabelled_items", {"labels./names/1.label": None, "labels./health.label": None}, 2),
    ("record.unlabelled_items", {"labels./names/1.pointer": "/names/0"}, 2),
    ("record.unknown_levels", {}, 0),
    (
        "record.unknown_levels",
        {"labels./sex.label.level": "RESTRICTED", "labels./threat.label.policy": "FRA"},
        1,
    ),
    ("record.embargoed", {}, False),
    ("record.embargoed", {"release.embargoed": True}, True),
    ("record.embargoed", {"labels./names/0.label.embargo": True}, True),
    ("record.members", {"content": {"sex": "M", "names": []}}, frozenset({"sex"})),
    ("kind.required", {}, frozenset({"category", "names"})),
    ("extract.age_s", {}, 43200),
    ("extract.age_s", {"record.extracted_at": "2026-11-21T21:05:00Z"}, 0),
    ("record.validation", {"content.validation.state": "rejected"}, "rejected"),
    ("record.validation", {"content": {}}, None),
    ("record.card", {}, "information-card"),
    ("record.card", {"content": {}}, None),
    ("record.archived", {"content.status.archived": True}, True),
    ("record.archived", {"content": {}}, None),
    ("record.judicial_information", {}, False),
    ("record.judicial_information", {"content": {}}, None),
    ("record.in_pre_inquiry", {"content.pre_inquiry": {"since": "2026-11-21"}}, True),
    ("record.in_pre_inquiry", {}, False),
    ("pre_inquiry.age_months", {"content.pre_inquiry": {"since": "2026-05-20"}}, 7),
    ("pre_inquiry.age_months", {}, None),
    ("person.min_age", {}, 36),
    ("person.min_age", {"content.birth": []}, None),
    ("person.min_age", {"content.birth": [{"date": "1990", "precision": "year"}]}, 35),
    ("person.min_age", {"content.birth": [{"date": "1990", "precision": "year", "about": True}]}, None),
    ("person.min_age", {"content.birth": [{"date": "1990-13", "precision": "month"}]}, None),
    ("person.min_age", {"content.birth": [{"date": "2030", "precision": "year"}]}, -5),
    ("settings.freshness_s", {"settings.freshness_s": None}, None),
    ("settings.evaluation_months", {}, 6),
    ("settings.pre_inquiry_months", {}, 6),
    ("settings.min_age", {}, 12),
    ("settings.flagged_age", {}, 18),
    ("settings.intelligence_conditions", {"settings.intelligence_conditions": ""}, None),
    ("settings.intelligence_conditions", {"settings.intelligence_conditions": "NSC 1"}, "NSC 1"),
    ("settings.domestic_handling_codes", {}, frozenset({"H0"})),
]

#: fact, changes, value at `/threat`
FIELD: list[tuple[str, dict[str, Any], Any]] = [
    ("field.pattern", {}, "/threat"),
    ("field.class", {}, "A"),
    ("field.level", {}, 0),
    ("field.level", {"labels./threat.label.level": "SECRET"}, 3),
    ("field.level", {"labels./threat.label.level": "?"}, None),
    ("field.level", {"labels./threat.label": None}, None),
    ("field.releasable", {}, True),
    ("field.releasable", {"labels./threat.label.releasable_to": ["BEL"]}, False),
    ("field.releasable", {"labels./threat.label": None}, None),
    ("field.no_foreign", {"labels./threat.label.no_foreign": True}, True),
    ("field.no_foreign", {"labels./threat.label": None}, None),
    ("field.tlp", {}, "AMBER"),
    ("field.tlp", {"labels./threat.label": None}, None),
    ("field.purposes", {}, None),
    ("field.purposes", {"labels./threat.label.purpose": []}, frozenset()),
    ("field.retention_passed", {}, False),
    ("field.retention_passed", {"labels./threat.label.retention_until": "2026-11-20"}, True),
    ("field.retention_passed", {"labels./threat.label": None}, None),
    ("field.handling_codes", {"labels./threat.label.handling_code": ["H1"]}, frozenset({"H1"})),
    ("field.handling_codes", {"labels./threat.label": None}, None),
    ("field.consent", {"labels./threat.consent": ["fra.police-demo"]}, frozenset({"fra.police-demo"})),
    ("field.foreign_origin", {}, False),
    ("field.foreign_origin", {"labels./threat.originator": "nld.aivd-demo"}, True),
    ("field.foreign_origin", {"labels./threat.label.originators": ["nld.aivd-demo"]}, True),
    ("field.foreign_origin", {"labels./threat.originator": "bel.vsse"}, False),
    ("field.foreign_origin", {"labels./threat.originator": ""}, None),
    ("field.controlled_by_other", {"labels./threat.originator": "bel.vsse"}, False),
    ("field.controlled_by_other", {"labels./threat.label.originator_control": True}, False),
    (
        "field.controlled_by_other",
        {"labels./threat.originator": "bel.vsse", "labels./threat.label.originator_control": True},
        True,
    ),
    ("field.controlled_by_other", {"labels./threat.originator": ""}, None),
    ("field.asked_for", {}, False),
    ("field.asked_for", {"request": ASKS}, True),
    ("field.asked_for", {"request": {**ASKS, "partner": "fra.other-demo"}}, False),
    ("field.asked_for", {"request": {**ASKS, "purpose": "other"}}, False),
    ("field.asked_for", {"request": {**ASKS, "asks": []}}, False),
    ("field.lifted", {"lifts": [{"pointer": "/threat", "reason": ""}]}, True),
    ("field.lifted", {}, False),
    ("evaluation.age_months", {}, 2),
    ("evaluation.age_months", {"content.threat.date": "2026-11-22"}, 0),
    ("evaluation.lapsed", {}, False),
    ("evaluation.lapsed", {"content.threat": {"level": 1, "date": "2026-11-01"}}, False),
    ("evaluation.lapsed", {"content.threat.valid_until": "2026-11-20"}, True),
]

FAILING: list[tuple[str, dict[str, Any]]] = [
    ("record.kind", {"record.kind": "bdc-person/2.0"}),
    ("extract.age_s", {"record.extracted_at": "2026-11-21T21:05:01Z"}),
    ("pre_inquiry.age_months", {"content.pre_inquiry": {"since": "2026-11"}}),
    ("pre_inquiry.age_months", {"content.pre_inquiry": {"since": "2026-11-23"}}),
    ("record.validation", {"content.validation": "validated"}),
    ("record.archived", {"content.status.archived": "no"}),
    ("person.min_age", {"content.birth": [{"precision": "year"}]}),
    ("person.min_age", {"content.birth": [{"date": "1990", "precision": "decade"}]}),
    ("evaluation.age_months", {"content.threat.date": "2026-11-23"}),
    ("evaluation.age_months", {"content.threat.date": "20261001"}),
    ("evaluation.lapsed", {"content.threat.valid_until": None}),
    ("field.retention_passed", {"labels./threat.label.retention_until": "2026"}),
]


def read(name: str, changes: dict[str, Any]) -> Any:
    """The fact's value in the changed baseline, or None; field facts at `/threat`."""
    ctx = world(changes)
    reading = Reading(ctx)
    if FACTS[name].scope == "field":
        field = next(field for field in fields_of(ctx.record, KIND) if field.pointer == "/threat")
        reading = reading.of_field(field)
    return reading.value(FACTS[name]) if reading.known(FACTS[name]) else None


@pytest.mark.parametrize(("name", "changes", "value"), RELEASE + FIELD)
def test_the_fact(name: str, changes: dict[str, Any], value: Any) -> None:
    """The fact has this value, of exactly this type, in this world."""
    found = read(name, changes)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(("name", "changes"), FAILING)
def test_the_fact_cannot_be_told(name: str, changes: dict[str, Any]) -> None:
    """Nonsense is no value and no absence: reading it fails, and the failure names the fact alone."""
    with pytest.raises(FactUnreadable) as caught:
        read(name, changes)
    assert str(caught.value) == name


def test_every_fact_is_tested() -> None:
    """No fact without a case."""
    assert {name for name, _, _ in RELEASE + FIELD} == set(FACTS)


def test_an_unknown_field_has_no_class() -> None:
    """A field that the kind does not know has neither class nor pattern, and nobody asked for it."""
    ctx = world({"content.nickname": "invented", "request": {**ASKS, "asks": ["/nickname"]}})
    field = next(field for field in fields_of(ctx.record, KIND) if field.pointer == "/nickname")
    reading = Reading(ctx).of_field(field)
    assert not reading.known(FACTS["field.class"])
    assert not reading.known(FACTS["field.pattern"])
    assert reading.value(FACTS["field.asked_for"]) is False


def test_a_field_fact_needs_a_field() -> None:
    """Read where there is no field, a field fact fails rather than answer."""
    with pytest.raises(FactUnreadable):
        Reading(world()).value(FACTS["field.consent"])


def test_facts_about_the_subject_outlive_redaction() -> None:
    """What would be rendered may be empty: age, validation and labels are still those of the whole record."""
    ctx = world()
    bare = msgspec.structs.replace(ctx, record=msgspec.structs.replace(ctx.record, content={}, labels=()))
    for name in (
        "person.min_age",
        "record.validation",
        "record.unlabelled_items",
        "extract.age_s",
        "record.card",
    ):
        assert Reading(bare).value(FACTS[name]) == Reading(ctx).value(FACTS[name])
    assert Reading(bare).value(FACTS["record.members"]) == frozenset()


def test_the_age_is_told_at_the_given_instant() -> None:
    """Nothing reads a clock: another `now`, another age."""
    later = world(now=datetime(2030, 11, 21, tzinfo=UTC))
    assert Reading(later).value(FACTS["person.min_age"]) == 40
    assert NOW.year == 2026


@pytest.mark.parametrize(
    ("since", "today", "months"),
    [
        (date(2026, 5, 21), date(2026, 11, 21), 6),
        (date(2026, 5, 21), date(2026, 11, 22), 7),
        (date(2026, 8, 31), date(2027, 2, 28), 6),
        (date(2026, 8, 31), date(2027, 3, 1), 7),
        (date(2025, 11, 21), date(2026, 11, 21), 12),
        (date(2026, 11, 21), date(2026, 11, 21), 0),
        (date(2026, 11, 22), date(2026, 11, 21), 0),
    ],
)
def test_a_begun_month_counts(since: date, today: date, months: int) -> None:
    """Exactly n months are n; a day more is n + 1, also at the ends of short months and of years."""
    assert months_begun(since, today) == months


def test_no_two_facts_share_a_name() -> None:
    """A second fact of a name is refused when it is declared."""
    with pytest.raises(ValueError, match="two facts"):
        fact("our.org", str)(lambda ctx: ctx.our_org)
    assert DECLARED["our.org"].compute(world(), None) == "bel.ocam"
