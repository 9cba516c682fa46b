"""Proofs about the shipped policy, and their counter-examples: the translation decides as the rules themselves do."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from gateway.errors import ConfigInvalid, PolicyInvalid
from gateway.model.record import fields_of
from gateway.policy import smt
from gateway.policy.context import Context
from gateway.policy.decide import decide
from gateway.policy.expr import FactUnreadable, Lt, Node, Reading, compile_condition, facts_of
from gateway.policy.facts import FACTS, Value
from gateway.policy.invariants import default_invariants, load_invariants
from gateway.policy.prove import Finding, Given, leaves_in, needed, prove, widening
from gateway.policy.rules import Policy, load_policy
from gateway.policy.smt import PERMITTED, Model, Told
from tests.policy.test_decision_table import TABLE, near_miss, spoken
from tests.policy.test_laws import restricted, restrictions, starting_points
from tests.policy.worlds import POLICY, policy_document, policy_without, world

pytest.importorskip("z3", reason="needs z3: the extra `prove`")

INVARIANTS = default_invariants()
SETTINGS = world().settings


def rewritten(rule: str, **members: Any) -> Policy:
    """The shipped policy with members of one rule replaced."""
    document = policy_document()
    document["rules"] = [{**one, **members} if one["id"] == rule else one for one in document["rules"]]
    return load_policy(json.dumps(document).encode())


def states(found: tuple[Finding, ...]) -> dict[str, str]:
    return {one.id: one.state for one in found}


# --- what is proven --------------------------------------------------------------------------------------------------


def test_every_invariant_of_the_shipped_policy_is_proven() -> None:
    """Under the thresholds of a home, all of them; without any, all but those that say that they hang on them. A field
    can leave at all, so nothing is proven of an empty world."""
    with_settings = states(prove(POLICY, INVARIANTS, SETTINGS))
    assert set(with_settings.values()) == {"proven"}
    assert len(with_settings) == len(INVARIANTS.invariants) + 1
    assert len(INVARIANTS.invariants) >= 12
    alone = states(prove(POLICY, INVARIANTS))
    assert {name for name, state in alone.items() if state != "proven"} == {
        one.id for one in INVARIANTS.invariants if one.with_settings
    }


#: Invariant: rules without which it is broken (and one of them is enough).
BROKEN_WITHOUT = {
    "agreement.signed": "agreement.in-force",
    "agreement.names-both": "agreement.parties",
    "agreement.scope": "agreement.covers",
    "agreement.basis": "agreement.legal-basis",
    "agreement.retention": "retention.set",
    "transport.assured": "agreement.assurance",
    "partner.active": "partner.active",
    "recipient.public": "recipient.public",
    "transfer.ground": "transfer.ground",
    "officer.justified": "justification.given",
    "officer.four-eyes": "officer.four-eyes",
    "officer.need-to-know": "officer.need-to-know",
    "officer.cleared": "officer.clearance",
    "lift.reasoned": "lift.reasoned",
    "label.whole": "label.present",
    "label.ceilings": "label.ceiling",
    "label.compilation": "compilation.level",
    "label.releasable": "label.releasable",
    "label.tlp-red": "label.tlp",
    "label.retention": "label.retention",
    "field.links": "link.target-held",
    "third-party": "third-party",
    "originator-control": "label.orcon",
    "embargo": "embargo",
    "person.age": "person.under-12",
    "extract.fresh": "extract.fresh",
    "bdc.route": "bdc.route",
    "bdc.validated": "bdc.validated",
    "bdc.bulk": "bdc.bulk",
    "bdc.fusion": "bdc.recipient",
    "emergency.scope": "emergency.partner",
    "emergency.one-officer": "emergency.second-signature",
    "emergency.never": "embargo",
    "regime.internal": "signal.local",
}

#: Invariants that rest on what a PERMIT rule asks for: broken when it asks for less.
BROKEN_BY: dict[str, tuple[str, dict[str, Any]]] = {
    "field.class-X": ("class.X", {"effect": "PERMIT"}),
    "field.class-B": ("class.B", {"condition": ["const", True]}),
    "field.class-C": ("class.C", {"condition": ["fact", "field.lifted"]}),
}


def test_every_invariant_can_be_broken() -> None:
    """None is without a row below: an invariant that no change of a rule breaks would say nothing."""
    assert BROKEN_WITHOUT.keys() | BROKEN_BY.keys() == {one.id for one in INVARIANTS.invariants}


@functools.cache
def shared() -> Model:
    """One model that was asked every invariant of the shipped policy; it keeps what it learned."""
    return Model(POLICY.rules, [one.only_if for one in INVARIANTS.invariants], INVARIANTS.facts)


def broken(policy: Policy, name: str) -> Finding:
    """The finding about one invariant; policies that only lack rules share a model."""
    one = next(one for one in INVARIANTS.invariants if one.id == name)
    if one.with_settings or not {*policy.rules} <= {*POLICY.rules}:
        stated = msgspec.structs.replace(INVARIANTS, invariants=(one,))
        return prove(policy, stated, SETTINGS if one.with_settings else None)[1]
    model = shared()
    question = model.leaves(policy), model.z3.Not(model.truth(one.only_if))
    return Finding(name, *model.ask(*question, first=one.only_if))


@pytest.mark.parametrize("name", BROKEN_WITHOUT)
def test_a_dropped_rule_breaks_its_invariant(name: str) -> None:
    """The counter-example names the facts of the invariant first; the rules themselves release the field in it, and
    withhold it as shipped."""
    policy = policy_without(BROKEN_WITHOUT[name])
    finding = broken(policy, name)
    assert finding.state == "broken"
    assert leaves_in(policy, finding.world)
    assert not leaves_in(POLICY, finding.world)
    one = next(one for one in INVARIANTS.invariants if one.id == name)
    assert finding.world[0].fact in facts_of(one.only_if)


@pytest.mark.parametrize("name", BROKEN_BY)
def test_a_weakened_permit_breaks_its_invariant(name: str) -> None:
    """A permit that asks for less lets something leave that must not."""
    rule, members = BROKEN_BY[name]
    policy = rewritten(rule, **members)
    finding = broken(policy, name)
    assert finding.state == "broken"
    assert leaves_in(policy, finding.world)


def test_a_counter_example_is_told_in_values() -> None:
    """Without the embargo rule: a field leaves where the record is embargoed, in so many words."""
    world = {told.fact: told for told in broken(policy_without("embargo"), "embargo").world}
    assert world["record.embargoed"] == Told("record.embargoed", "known", True)
    assert world["agreement.signed_ours"].value is True


def test_a_policy_that_releases_nothing_proves_nothing() -> None:
    """Every invariant would hold of it; the first finding says that it is empty."""
    found = prove(policy_without("class.A", "class.B", "class.C"), INVARIANTS)
    assert (found[0].id, found[0].state) == ("something-leaves", "broken")


# --- every rule ------------------------------------------------------------------------------------------------------

#: Rules that stop nothing which another rule would let through: two belts, each of them meant.
COVERED = {
    "class.X": "no rule permits class X",
    "field.unknown": "every permit asks for the class, and cannot read it",
}


def test_every_rule_is_needed() -> None:
    """Each rule that denies or sends to review is the only one that stops some world, but for the covered ones: drop
    it, and that world leaves. New rules are asked the same."""
    found = needed(POLICY, INVARIANTS.facts)
    assert {one.id for one in found} == {rule.id for rule in POLICY.rules if rule.effect != "PERMIT"}
    assert {one.id for one in found if one.state != "broken"} <= COVERED.keys()
    for one in found:
        if one.world:
            assert not leaves_in(POLICY, one.world), one.id


def test_a_weakened_policy_is_wider_and_a_strengthened_one_is_not() -> None:
    """`widening` proves that a further denial lets nothing more leave, and that a weakened comparison does: there
    minors leave who did not."""
    assert widening(POLICY, POLICY).state == "proven"
    strict = rewritten("embargo", condition=["const", True])
    assert widening(POLICY, strict).state == "proven"
    assert widening(strict, POLICY).state == "broken"
    weak = rewritten("retention.set", condition=["lt", ["fact", "agreement.retention_days"], ["const", 0]])
    finding = widening(POLICY, weak)
    assert Told("agreement.retention_days", "known", 0) in finding.world
    assert widening(POLICY, policy_without("class.B")).state == "proven"


# --- the translation is the decision ---------------------------------------------------------------------------------


def read(ctx: Context, reading: Reading, names: Any) -> dict[str, Value | FactUnreadable | None]:
    """What a look at the world finds of each fact."""
    found: dict[str, Value | FactUnreadable | None] = {}
    for name in names:
        try:
            found[name] = reading.value(FACTS[name]) if reading.known(FACTS[name]) else None
        except FactUnreadable as unreadable:
            found[name] = unreadable
    return found


def texts(values: Mapping[str, Value | FactUnreadable | None]) -> set[str]:
    each = (value if isinstance(value, frozenset) else {value} for value in values.values())
    return {text for one in each for text in one if isinstance(text, str)}


def fixed(model: Model, values: Mapping[str, Value | FactUnreadable | None]) -> list[Any]:
    """That each fact of the model stands as it was found."""
    terms = []
    for name in model.facts:
        value = values[name]
        if isinstance(value, FactUnreadable):
            terms.append(model.stands(name, "unreadable"))
        elif value is None:
            terms.append(model.stands(name, "unknown"))
        else:
            terms += [model.stands(name, "known"), model.equal(name, value)]
    return terms


#: The facts that the shipped rules read, and those of the release among them.
MODEL = Model(POLICY.rules)
NAMES = tuple(MODEL.facts)
RELEASE = tuple(name for name in NAMES if FACTS[name].scope == "release")

#: Fields of a world that are asked about one by one: the model is the same for all of them.
ASKED = 2


class Evaluated:
    """A model in one world, of which everything is said."""

    def __init__(
        self, model: Model, values: Mapping[str, Value | FactUnreadable | None], *given: Any
    ) -> None:
        self._z3, solver = model.z3, model.z3.Solver()
        solver.add(*fixed(model, values), *given)
        assert solver.check() == model.z3.sat
        self._world = solver.model()

    def holds(self, term: Any) -> bool:
        """Whether the term is true there; it is one or the other."""
        found = self._world.eval(term, model_completion=True)
        assert self._z3.is_true(found) or self._z3.is_false(found)
        return bool(self._z3.is_true(found))


@functools.cache
def knowing(texts: frozenset[str]) -> tuple[Model, smt.Verdict, smt.Verdict]:
    """A model with these texts in its universe, and what it decides."""
    model = Model(POLICY.rules, texts=texts)
    return model, *model.decision(POLICY)


VOCABULARY: set[str] = set()


def model_for(texts: set[str]) -> tuple[Model, smt.Verdict, smt.Verdict]:
    """One model for as many worlds as share a vocabulary: making one takes longer than asking it."""
    VOCABULARY.update(texts)
    return knowing(frozenset(VOCABULARY))


def effect(evaluated: Evaluated, verdict: smt.Verdict) -> str:
    """Exactly one of the three holds."""
    names = zip(("DENY", "REVIEW", "PERMIT"), verdict, strict=True)
    (name,) = [name for name, term in names if evaluated.holds(term)]
    return name


def agree(ctx: Context) -> str:
    """`decide` and the model say the same of every field, and of the whole; returns the effect.

    For each field the model is given what the field itself shows; of the other fields, how many are left, whether
    something required is lost, and whether one awaits a review: counted from the model's own answers.
    """
    decision = decide(POLICY, ctx)
    reading = Reading(ctx)
    fields = tuple(fields_of(ctx.record, ctx.kind))
    members = frozenset(field.pointer.split("/")[1] for field in fields)
    seen = [read(ctx, reading.of_field(field), NAMES) for field in fields]
    model, field, whole = model_for(set().union(*map(texts, seen)) | members)
    verdicts = [effect(Evaluated(model, one), field) for one in seen]
    left = [each for each, verdict in zip(fields, verdicts, strict=True) if verdict != "DENY"]
    kept = frozenset(each.pointer.split("/")[1] for each in left)
    lost = not left or bool((members & ctx.kind.required) - kept)
    pointers = frozenset(each.pointer for each in left)
    now = msgspec.structs.replace(ctx, permitted=len(left), members=kept, left=pointers)
    after = read(ctx, Reading(now), RELEASE)
    for place, values in enumerate(seen[:ASKED]):
        told = {**values, **after}
        others = len(left) - (verdicts[place] != "DENY")
        elsewhere = any(verdict == "REVIEW" for other, verdict in enumerate(verdicts) if other != place)
        given = [
            model.others == others,
            model.lost if lost else model.z3.Not(model.lost),
            model.elsewhere if elsewhere else model.z3.Not(model.elsewhere),
        ]
        evaluated = Evaluated(model, told, *given)
        assert effect(evaluated, whole) == decision.effect
        released = decision.effect == "PERMIT" and verdicts[place] == "PERMIT"
        assert evaluated.holds(model.z3.And(field.permits, whole.permits)) == released
    if decision.effect == "PERMIT":
        assert [one.outcome for one in decision.fields] == [
            "released" if verdict == "PERMIT" else "withheld" for verdict in verdicts
        ]
    return decision.effect


@pytest.mark.parametrize("row", TABLE[::16], ids=lambda row: row["rule"])
def test_the_model_decides_the_table_as_the_rules_do(row: dict[str, Any]) -> None:
    """Worlds of the decision table, spoken for a rule and nearly so."""
    assert agree(spoken(row)) == row.get("effect", "PERMIT" if "withheld" in row else "DENY")
    assert agree(near_miss(row)) == "PERMIT"


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(starting_points(), restrictions, st.booleans())
def test_the_model_decides_drawn_worlds_as_the_rules_do(
    changes: dict[str, Any], restriction: dict[str, Any], restrict: bool
) -> None:
    """Permitted, withheld and denied worlds alike."""
    drawn = world(restricted(changes, restriction) if restrict else changes)
    decided = agree(drawn)
    assert decided != "PERMIT" or decide(POLICY, drawn).released
    event(decided)


@st.composite
def stands(draw: st.DrawFn) -> dict[str, Value | FactUnreadable | None]:
    """Any state of every fact: a value of its type out of the trees' own, unknown, or unreadable."""
    found: dict[str, Value | FactUnreadable | None] = {}
    for name, spec in MODEL.facts.items():
        texts = st.sampled_from(MODEL.universe)
        values: st.SearchStrategy[Any] = {
            bool: st.booleans(),
            int: st.integers(-2, 20),
            str: texts,
            frozenset: st.frozensets(texts, max_size=4),
        }[spec.type]
        found[name] = draw(st.one_of(values, values, values, st.none(), st.just(FactUnreadable(name))))
    return found


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(stands(), st.integers(0, 3))
def test_each_rule_is_translated_as_it_is_compiled(
    found: dict[str, Value | FactUnreadable | None], others: int
) -> None:
    """In any world, possible or not: whether a rule fires, and whether it cannot be told, is the same in the formula
    and in the closure."""
    evaluated = Evaluated(MODEL, found, MODEL.others == others)
    for scope, rules in (("field", POLICY.field_rules), ("release", POLICY.release_rules)):
        told = {**found, **dict.fromkeys(smt.AFTER)} if scope == "field" else {**found, PERMITTED: others + 1}
        for each in rules:
            answer: bool | None
            try:
                answer = bool(each.ask(*Given(told).looks))  # None where it does not apply
            except FactUnreadable:
                answer = None
            fires, erring = MODEL._asked(each.rule, MODEL.others + 1)
            assert evaluated.holds(fires) == (answer is True), each.rule.id
            assert evaluated.holds(erring) == (answer is None), each.rule.id


def test_what_the_field_rules_left_is_unknown_to_them() -> None:
    """Of all facts of the release, only those of `AFTER` change with what is left, and before that they are unknown."""
    for row in TABLE[::5]:
        before = spoken(row)
        after = msgspec.structs.replace(before, permitted=1, members=frozenset({"names", "sex"}))
        names = [name for name, spec in FACTS.items() if spec.scope == "release"]
        found, later = (read(ctx, Reading(ctx), names) for ctx in (before, after))
        unequal = {name for name in names if str(found[name]) != str(later[name])}
        assert unequal <= smt.AFTER
        assert all(found[name] is None for name in smt.AFTER)


@settings(max_examples=60, deadline=None)
@given(starting_points(), restrictions)
def test_what_is_said_of_facts_holds_of_them(changes: dict[str, Any], restriction: dict[str, Any]) -> None:
    """The few facts that proofs rest on, in drawn worlds and without an agreement."""
    for ctx in (world(restricted(changes, restriction)), world({"agreement": None}), world({"officers": []})):
        for tree in INVARIANTS.facts:
            assert compile_condition(tree)(Reading(ctx)) is True


# --- the edges of the model ------------------------------------------------------------------------------------------


def test_thresholds_bind_the_facts_that_hang_on_them() -> None:
    """Under thresholds that give a fusion centre a route, the invariant about it is broken, with that route; without
    the rule about the least age, the counter-example keeps to the least age of the thresholds."""
    routes = msgspec.structs.replace(
        SETTINGS, bdc_recipients={"fusion": "other"}, bdc_references={"fusion": "x"}
    )
    one = next(one for one in INVARIANTS.invariants if one.id == "bdc.fusion")
    stated = msgspec.structs.replace(INVARIANTS, invariants=(one,))
    finding = prove(POLICY, stated, routes)[1]
    assert finding.state == "broken"
    assert Told("partner.bdc_route", "known", "other") in finding.world
    assert Told("settings.min_age", "known", 12) in finding.world


def test_a_question_beyond_the_limit_is_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    """The solver gives up after a stated number of steps, and then nothing is proven."""
    monkeypatch.setattr(smt, "MAX_STEPS", 10)
    found = prove(POLICY, INVARIANTS)
    assert {one.state for one in found} <= {"undecided", "needs-settings", "proven"}
    assert "undecided" in states(found).values()


def test_a_counter_example_that_the_rules_refuse_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were a comparison translated wrongly, the rules themselves would not release the field: the proof fails aloud."""
    comparisons: dict[Any, Any] = dict(smt._COMPARE)
    monkeypatch.setattr(smt, "_COMPARE", comparisons | {Lt: lambda one, _: one < one})  # never less
    with pytest.raises(PolicyInvalid):
        prove(POLICY, INVARIANTS)


def test_without_the_solver_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """`ConfigInvalid`, naming the extra."""

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(smt, "import_module", missing)
    with pytest.raises(ConfigInvalid, match="prove"):
        prove(POLICY, INVARIANTS)


def test_a_node_of_an_unknown_kind_is_refused() -> None:
    """The set of nodes is closed."""

    class Strange(Node, frozen=True):
        pass

    with pytest.raises(PolicyInvalid):
        MODEL.truth(Strange())


def _document() -> dict[str, Any]:
    one = {"id": "a", "text": dict.fromkeys(("fr", "nl", "de", "en"), "x"), "only_if": ["const", True]}
    return {"version": "1", "note": "", "facts": [], "invariants": [one]}


BROKEN_DOCUMENTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "none": lambda document: document.update(invariants=[]),
    "twice": lambda document: document["invariants"].append(document["invariants"][0]),
    "nameless": lambda document: document["invariants"][0].update(id=""),
    "a language short": lambda document: document["invariants"][0]["text"].pop("nl"),
    "no tree": lambda document: document["invariants"][0].update(only_if=["fact", "no.such"]),
    "a member more": lambda document: document["invariants"][0].update(more=1),
}


@pytest.mark.parametrize("name", BROKEN_DOCUMENTS)
def test_a_broken_file_of_invariants_does_not_load(name: str) -> None:
    """Nothing stated is nothing proven; the whole file loads, or none of it."""
    assert load_invariants(json.dumps(_document()).encode()).invariants
    document = _document()
    BROKEN_DOCUMENTS[name](document)
    with pytest.raises(PolicyInvalid):
        load_invariants(json.dumps(document).encode())
