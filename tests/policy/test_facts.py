"""Facts, one by one: the value in a world, None where it is not known, and failure where it cannot be told."""

import json
import string
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pytest

from gateway.model.record import LabelledField, fields_of
from gateway.policy.expr import FactUnreadable, Reading
from gateway.policy.facts import FACTS
from gateway.policy.facts.declare import DECLARED, day, fact, months_begun
from gateway.policy.facts.dna import ESS, SEX_MARKER
from tests.conftest import REFERENCE
from tests.policy.fact_cases import ASKS, FAILING, RELEASE
from tests.policy.field_cases import CONSENT, FIELD
from tests.policy.worlds import KIND, NOW, OTHERS, world, world_of


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


@pytest.mark.parametrize(
    ("held", "leaving", "level"),
    [
        ([], {"threat"}, 0),
        (["documents"], {"names"}, 0),
        (["documents"], {"threat"}, 2),
        (["threat"], {"documents", "names"}, 2),
        (["documents", "threat"], {"names"}, 2),
        ([], {"documents", "threat"}, 2),
    ],
)
def test_a_combination_is_of_what_is_held_and_what_leaves(
    held: list[str], leaving: set[str], level: int
) -> None:
    """Complete from either side or from both; a part of it is worth nothing."""
    ctx = msgspec.structs.replace(world({"held.members": held}), members=frozenset(leaving))
    assert Reading(ctx).value(FACTS["held.combination_level"]) == level


def test_without_combinations_nothing_is_known_of_them() -> None:
    """None configured is no combination that is worth nothing."""
    ctx = msgspec.structs.replace(
        world({"settings.compilation.combinations": []}), members=frozenset({"threat"})
    )
    assert not Reading(ctx).known(FACTS["held.combination_level"])


def test_who_shares_with_one_that_shares_holds_too() -> None:
    """Groups that have an organisation in common are one; who is in none is alone."""
    groups = {"north": ("a", "b"), "south": ("c", "b"), "west": ("x", "y")}
    settings = msgspec.structs.replace(world().settings, sharing=groups)
    assert settings.holders("a") == settings.holders("c") == ("a", "b", "c")
    assert settings.holders("z") == ("z",)


def test_an_unknown_field_has_no_class() -> None:
    """A field that the kind does not know has no class and an empty pattern, and nobody asked for it."""
    consents = [{**CONSENT, "originator": "bel.ocam"}]
    ctx = world({"content.nickname": "x", "request": {**ASKS, "asks": ["/nickname"]}, "consents": consents})
    field = next(field for field in fields_of(ctx.record, KIND) if field.pointer == "/nickname")
    reading = Reading(ctx).of_field(field)
    for name in ("field.class", "field.category", "field.statement"):
        assert not reading.known(FACTS[name])
    assert reading.value(FACTS["field.special"]) is False
    assert reading.value(FACTS["field.consent"]) == frozenset()
    assert reading.value(FACTS["field.pattern"]) == ""
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


@pytest.mark.parametrize(
    ("of", "changes", "person"),
    [
        ("note", {}, True),
        ("note", {"content.subject": "entity"}, True),
        ("nobody", {}, False),
        ("sanctions", {}, True),
        ("sanctions", {"content.subject": "entity"}, False),
        ("sanctions", {"content.subject": "?"}, True),
    ],
)
def test_a_record_is_of_a_person_unless_its_kind_knows_better(
    of: str, changes: dict[str, Any], person: bool
) -> None:
    """Only a kind that knows entities, or is about nobody, has records of none."""
    ctx = world({**world_of(of), **changes}, of=OTHERS[of][0])
    assert Reading(ctx).value(FACTS["record.of_a_person"]) is person


def test_the_kind_that_is_silent_says_nothing_of_persons_and_statements() -> None:
    """What a kind does not mark is not known, and what it marks as special is."""
    ctx = world({**world_of("unsaid")}, of=OTHERS["unsaid"][0])
    assert not Reading(ctx).known(FACTS["kind.person"])
    assert Reading(ctx).value(FACTS["kind.graded"]) is False
    note = world({**world_of("note"), "content.unmarked": "x", "content.belief": "x"}, of=OTHERS["note"][0])
    fields = {field.pointer: Reading(note).of_field(field) for field in fields_of(note.record, note.kind)}
    assert not fields["/unmarked"].known(FACTS["field.statement"])
    assert fields["/belief"].value(FACTS["field.special"]) is True
    unsaid = next(iter(fields_of(ctx.record, ctx.kind)))
    assert Reading(ctx).of_field(unsaid).value(FACTS["field.persons"]) == frozenset()


ADULT, ALIVE_SINCE = {"adult": True}, {"birth": {"date": "1990", "precision": "year"}}


@pytest.mark.parametrize(
    ("persons", "of_a_person", "age"),
    [
        (None, False, None),
        ([], False, None),
        ([{}], True, None),
        ([{"adult": False}], True, None),
        ([{"adult": 1}], True, None),
        ([ADULT], True, 18),
        ([ADULT, {}], True, None),
        ([ALIVE_SINCE], True, 35),
        ([ADULT, ALIVE_SINCE], True, 35),
        ([{**ADULT, "birth": {"date": "2012", "precision": "year"}}], True, 13),
        ([{**ADULT, "birth": {"date": "2012", "precision": "year", "about": True}}], True, None),
        ([ALIVE_SINCE, {"birth": {"date": "2012", "precision": "year"}}], True, 13),
        ([ALIVE_SINCE, {}], True, None),
    ],
)
def test_a_note_is_about_whom_it_mentions(persons: Any, of_a_person: bool, age: int | None) -> None:
    """About a person where it mentions one; the youngest counts, and one whose age nobody tells leaves it untold. A
    birth date comes before the word that somebody is of full age."""
    found: dict[str, Any] = {"content.birth": [{"date": "2015", "precision": "year"}]}
    found |= {} if persons is None else {"content.persons": persons}
    bare = {"title": "invented", "facts": [{"text": "invented"}], "language": "en"}
    ctx = world({**world_of("information-note"), "content": bare, **found}, of=OTHERS["information-note"][0])
    reading = Reading(ctx)
    assert reading.value(FACTS["record.of_a_person"]) is of_a_person
    assert (reading.value(FACTS["person.min_age"]) if reading.known(FACTS["person.min_age"]) else None) == age


@pytest.mark.parametrize(
    ("pointer", "value", "off"),
    [
        ("/source_grade", "A", False),
        ("/source_grade", "E", True),
        ("/source_grade/0", "E", True),
        ("/info_grade", 4, False),
        ("/info_grade", 6, True),
        ("/info_grade", "1", True),
        ("/remark", "E", False),
        ("/remark", 6, False),
        ("/remark", [6, {"info_grade": 6}], True),
    ],
)
def test_a_grade_of_the_whole_record_is_of_the_scale(pointer: str, value: Any, off: bool) -> None:
    """A member of its own, or inside any other; what is no grade has no scale."""
    spec = FACTS["field.off_scale"]
    assert spec.compute(world(), LabelledField(pointer, value, None, None, "", ())) is off


@pytest.mark.parametrize("text", ["1990", "1990-03", "1990-02-30", "", "1990-03-01T00:00"])
def test_a_day_is_a_full_calendar_date(text: str) -> None:
    """Anything less, or that no calendar holds, is none."""
    with pytest.raises(ValueError, match="not a calendar date"):
        day(text)


def test_consent_recorded_here_is_for_items_of_a_kind() -> None:
    """What came with an item counts for it, and no more where no kind knows it."""
    ctx = world({"consents": [CONSENT]})
    unknown = LabelledField(
        "/quux", 1, None, ctx.record.labels[0].label, "nld.aivd-demo", ("esp.police-demo",)
    )
    assert FACTS["field.consent"].compute(ctx, unknown) == frozenset({"esp.police-demo"})


def test_nothing_else_is_of_the_scale() -> None:
    """Of all signs of a keyboard these four, of numbers these four."""
    off = FACTS["field.off_scale"].compute
    signs = {"source_grade": string.printable, "info_grade": range(-1, 20)}
    found = {
        name: [
            sign for sign in every if not off(world(), LabelledField(f"/{name}", sign, None, None, "", ()))
        ]
        for name, every in signs.items()
    }
    assert found == {"source_grade": ["A", "B", "C", "X"], "info_grade": [1, 2, 3, 4]}


def test_either_grade_makes_a_kind_graded() -> None:
    """One of the two members is enough."""
    for name in ("source_grade", "info_grade"):
        fields = {pattern: spec for pattern, spec in KIND.fields.items() if pattern in ("/sex", f"/{name}")}
        kind = msgspec.structs.replace(KIND, fields=fields)
        graded = Reading(msgspec.structs.replace(world(), kind=kind)).value(FACTS["kind.graded"])
        assert graded is (f"/{name}" in fields)


def test_what_is_sent_is_of_the_kind_of_the_record() -> None:
    """The record, what it was taken from, and the kind itself: three names, one kind."""
    ctx = world()
    other = msgspec.structs.replace(ctx.record, kind="bdc-person/2.0")
    for changed in ({"record": other}, {"subject": other}):
        with pytest.raises(FactUnreadable):
            Reading(msgspec.structs.replace(ctx, **changed)).value(FACTS["record.kind"])


def test_the_european_standard_set_is_the_reference_one() -> None:
    """The seven loci are those of the reference table."""
    path = REFERENCE / "prum-dna" / "loci.json"
    if not path.exists():
        pytest.skip("the reference table of loci is not beside this checkout")
    table = json.loads(path.read_text("utf-8"))
    assert set(table["ess_7_issol"]) == ESS
    assert {SEX_MARKER} < set(table["loci_2008_616"]) - ESS


@pytest.mark.parametrize(("hours", "taken"), [(0, False), (1, True), (24, True), (25, False), (-1, False)])
@pytest.mark.parametrize("member", ["confirm_hours", "review_hours"])
def test_an_emergency_is_looked_at_within_a_day(member: str, hours: int, taken: bool) -> None:
    """Whoever configures the scope: from one hour to a day, and nothing without an end."""
    scope = world().settings.emergency
    assert scope is not None
    document = {**msgspec.to_builtins(scope), member: hours}
    if taken:
        assert getattr(msgspec.convert(document, type(scope)), member) == hours
        return
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(document, type(scope))


def test_a_scope_leaves_nothing_unsaid() -> None:
    """No member has a default, and what can be waived is a closed list."""
    scope = world().settings.emergency
    assert scope is not None
    document = msgspec.to_builtins(scope)
    for member in document:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({key: value for key, value in document.items() if key != member}, type(scope))
    for never in ("guard", "embargo", "ceiling", "audit", "class-X"):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({**document, "waives": [never]}, type(scope))
