"""Laws of the decision, over drawn worlds of which a good part are permitted and withhold something."""

import functools
import itertools
from typing import Any

import msgspec
from hypothesis import event, given, settings
from hypothesis import strategies as st

from gateway.policy.context import Context
from gateway.policy.decide import decide
from gateway.policy.redact import decide_again, redact
from gateway.policy.rules import Policy
from tests.policy.worlds import POLICY, leaving, policy_without, world

THREAT = {"threat": "invented: an announced attack"}
POINTERS = (
    "/category",
    "/names/0",
    "/names/1",
    "/sex",
    "/birth/0",
    "/threat",
    "/contacts/0",
    "/special",
    "/health",
    "*",
)
LEVELS_UP = ("UNCLASSIFIED", "RESTREINT", "CONFIDENTIEL", "SECRET", "TRES SECRET", "?")
ASKS = {
    "id": "r1",
    "partner": "fra.police-demo",
    "purpose": "ct-prevention",
    "asks": ["/contacts/*", "/addresses/*"],
}

#: Changes that only restrict: each takes something permissive away or adds something restrictive.
RELEASE_RESTRICTIONS: tuple[dict[str, Any], ...] = (
    {"agreement": None},
    {"agreement.signed_theirs": False},
    {"agreement.revoked": True},
    {"agreement.terms.kinds": []},
    {"agreement.terms.lifts": []},
    {"agreement.terms.ceiling.level": "no such level"},
    {"agreement.terms.bulk.records": 0},
    {"agreement.terms.bulk": None},
    {"agreement.terms.languages": []},
    {"agreement.terms.protocol.controllers": []},
    {"release.embargoed": True},
    {"release.justification": ""},
    {"settings.channel_ceiling": None},
    {"settings.evaluation_months": 1},
    {"settings.evaluation_months": None},
    {"settings.freshness_s": 60},
    {"settings.bdc_recipients": {}},
    {"settings.compilation": None},
    {"settings.eu_states": ["BEL"]},
    {"settings.ungraded_kinds": []},
    {"partner.stopped": True},
    {"partner.assurance.origin_signed": False},
    {"officers.0.clearance": None},
    {"officers.0.clearance.level": "RESTREINT"},
    {"officers.0.need_to_know": []},
    {"held.records": 1000},
    {"held.total": 1000},
    {"held.disclosures": 3},
    {"settings.repeats": None},
    {"settings.emergency": None},
    {"settings.emergency.waives": []},
    {"settings.emergency.kinds": []},
    {"release.emergencies_overdue": 1},
    {"request": None},
    {"lifts": []},
    {"content.threat.date": "2020-01-01"},
    {"content.validation.state": "proposed"},
    {"content.birth": [{"date": "2020", "precision": "year"}]},
)
FIELD_RESTRICTIONS: tuple[tuple[str, Any], ...] = (
    ("label", None),
    ("label.level", "TRES SECRET"),
    ("label.level", "no such level"),
    ("label.releasable_to", []),
    ("label.releasable_to", ["BEL"]),
    ("label.no_foreign", True),
    ("label.embargo", True),
    ("label.purpose", []),
    ("label.retention_until", "2026-01-01"),
    ("label.tlp", "RED"),
    ("label.pap", "RED"),
    ("label.legal_basis", []),
    ("label.person", ["victim"]),
    ("label.person", ["minor"]),
    ("label.caveat", ["DIFFUSION RESTREINTE"]),
    ("label.handling_code", ["H3"]),
    ("label.originators", ["nld.aivd-demo"]),
    ("originator", "nld.aivd-demo"),
    ("originator", ""),
)


@st.composite
def starting_points(draw: st.DrawFn) -> dict[str, Any]:
    """Changes of the baseline that keep many worlds permitted: asked-for fields, lifts, ceilings and odd labels."""
    changes: dict[str, Any] = {
        "request": draw(st.sampled_from([None, ASKS])),
        "emergency": draw(st.sampled_from([None, THREAT])),
        "lifts": draw(st.sampled_from([[], [{"pointer": "/special", "reason": "invented"}]])),
        "agreement.terms.ceiling.level": draw(st.sampled_from(LEVELS_UP[:4])),
        "settings.channel_ceiling.level": draw(st.sampled_from(LEVELS_UP[:4])),
    }
    for pointer in draw(st.lists(st.sampled_from(POINTERS[:-1]), max_size=3, unique=True)):
        name, value = draw(
            st.sampled_from(
                [("label.level", "RESTREINT"), ("label.level", "CONFIDENTIEL"), *FIELD_RESTRICTIONS[3:6]]
            )
        )
        changes[f"labels.{pointer}.{name}"] = value
    return changes


restrictions = st.sampled_from(RELEASE_RESTRICTIONS) | st.tuples(
    st.sampled_from(POINTERS), st.sampled_from(FIELD_RESTRICTIONS)
).map(lambda drawn: {f"labels.{drawn[0]}.{drawn[1][0]}": drawn[1][1]})


def restricted(changes: dict[str, Any], restriction: dict[str, Any]) -> dict[str, Any]:
    """The changes with the restriction on top; what lay below a path that it replaces is gone."""
    (path,) = restriction
    return {key: value for key, value in changes.items() if not key.startswith(f"{path}.")} | restriction


def measured(ctx: Context) -> frozenset[str]:
    """What leaves; tells how many draws are permits that withhold something."""
    decision = decide(POLICY, ctx)
    event(f"{decision.effect}, {'withholding' if decision.obligations else 'all or nothing'}")
    return leaving(ctx)


@settings(max_examples=300, deadline=None)
@given(starting_points(), restrictions)
def test_a_restriction_never_releases_more(changes: dict[str, Any], restriction: dict[str, Any]) -> None:
    """Add a restrictive value or take a permissive one away: what leaves is a subset of what left before."""
    assert leaving(world(restricted(changes, restriction))) <= measured(world(changes))


@settings(max_examples=100, deadline=None)
@given(
    starting_points(), st.sampled_from(["agreement.terms.ceiling.level", "settings.channel_ceiling.level"])
)
def test_a_lower_ceiling_never_releases_more(changes: dict[str, Any], ceiling: str) -> None:
    """Lower one ceiling step by step: what leaves only shrinks."""
    worlds = [leaving(world({**changes, ceiling: level})) for level in LEVELS_UP[:5]]
    assert all(low <= high for low, high in itertools.pairwise(worlds))


HELD_MEMBERS = ("addresses", "contacts", "documents", "names", "special", "threat")
SHARER = {"org": "deu.police-demo", "ceiling": {"policy": "BEL", "level": "RESTREINT"}, "quota": 40}

holdings = st.fixed_dictionaries(
    {
        "held.records": st.integers(0, 60),
        "held.total": st.integers(90, 110),
        "held.disclosures": st.integers(0, 4),
        "held.members": st.lists(st.sampled_from(HELD_MEMBERS), unique=True),
        "held.sharing": st.sampled_from([[], [SHARER], [{**SHARER, "quota": 10}]]),
    }
)
more_held = st.fixed_dictionaries(
    {
        "held.records": st.integers(0, 5),
        "held.total": st.integers(0, 5),
        "held.disclosures": st.integers(0, 2),
    }
)


@settings(max_examples=200, deadline=None)
@given(starting_points(), holdings, more_held, st.sets(st.sampled_from(HELD_MEMBERS)), st.booleans())
def test_more_held_never_releases_more(
    changes: dict[str, Any],
    held: dict[str, Any],
    more: dict[str, Any],
    members: set[str],
    shared: bool,
) -> None:
    """More records, subjects, disclosures or members held, or one more to share with: what leaves only shrinks."""
    after = {name: held[name] + count for name, count in more.items()}
    after["held.members"] = sorted({*held["held.members"], *members})
    after["held.sharing"] = held["held.sharing"] + ([{**SHARER, "org": "nld.police-demo"}] if shared else [])
    assert leaving(world({**changes, **after})) <= measured(world({**changes, **held}))


@settings(max_examples=150, deadline=None)
@given(starting_points(), restrictions, holdings, st.sampled_from(["", "be-approver"]))
def test_an_emergency_that_waives_nothing_releases_no_more_than_none(
    changes: dict[str, Any], restriction: dict[str, Any], held: dict[str, Any], oral: str
) -> None:
    """Under a scope that is empty of waivers a claimed emergency only adds rules."""
    drawn = {**changes, **held, **restriction, "settings.emergency.waives": []}
    drawn = {key: value for key, value in drawn.items() if not key.startswith("emergency")}
    if "settings.emergency" in restriction:
        del drawn["settings.emergency.waives"]
    claimed = {**drawn, "emergency": {**THREAT, "oral_approver": oral}}
    assert leaving(world(claimed)) <= measured(world(drawn))


#: What no emergency waives, each enough to stop the release or the field.
NEVER: tuple[dict[str, Any], ...] = (
    {"release.embargoed": True},
    {"labels.*.label.embargo": True},
    {"content.birth": [{"date": "2020", "precision": "year"}]},
    {"labels.*.label.level": "TRES SECRET"},
    {"labels.*.label.no_foreign": True},
    {"agreement.revoked": True},
    {"partner.stopped": True},
    {"officers": []},
)


@settings(max_examples=100, deadline=None)
@given(starting_points(), holdings, st.sampled_from(NEVER), st.sampled_from(["", "be-approver"]))
def test_no_emergency_waives_what_must_never_leave(
    changes: dict[str, Any], held: dict[str, Any], never: dict[str, Any], oral: str
) -> None:
    """Embargo, a child, a level above every ceiling, national eyes, no agreement: nothing leaves; class X never."""
    claimed = {**changes, **held, "emergency": {**THREAT, "oral_approver": oral}}
    left = measured(world(claimed))
    assert not left & {"/links/0", "/financial", "/health", "/validation", "/status"}
    drawn = {key: value for key, value in claimed.items() if not key.startswith("labels.")}
    assert not leaving(world({**drawn, **never}))


FOREIGN = ("nld.aivd-demo", "deu.bfv-demo")
consents = st.fixed_dictionaries(
    {
        "kind": st.just("consent"),
        "originator": st.sampled_from(FOREIGN),
        "recipients": st.sampled_from([["fra.police-demo"], ["fra.police-demo", "esp.police-demo"]]),
        "purposes": st.sampled_from([["ct-prevention"], ["ct-prevention", "prosecution"]]),
        "items": st.sampled_from([["*"], ["/threat", "/names/*"]]),
        "until": st.sampled_from(["2026-11-21", "2026-12-31"]),
        "given": st.sampled_from(["telephone", "paper", "message"]),
        "by": st.just("invented"),
        "at": st.just("2026-11-20T09:00:00Z"),
    }
)
#: What makes a consent speak of something else, or no more.
ASIDE: tuple[dict[str, Any], ...] = (
    {"originator": "esp.cnp-demo"},
    {"recipients": ["esp.police-demo"]},
    {"purposes": ["prosecution"]},
    {"items": ["/nickname"]},
    {"items": []},
    {"until": "2026-11-20"},
)


@settings(max_examples=200, deadline=None)
@given(
    starting_points(),
    st.dictionaries(st.sampled_from(POINTERS[:-1]), st.sampled_from(FOREIGN), max_size=4),
    st.lists(consents, min_size=1, max_size=4),
    st.data(),
)
def test_a_consent_withdrawn_ended_or_of_something_else_never_releases_more(
    changes: dict[str, Any], origins: dict[str, str], given: list[dict[str, Any]], data: st.DataObject
) -> None:
    """Take one consent away: what leaves only shrinks. Give one that is another originator's, toward another partner,
    for another purpose or over: nothing more leaves, and nothing less."""
    origin = {f"labels.{pointer}.originator": org for pointer, org in origins.items()}
    start = {**changes, **origin}
    less = data.draw(st.integers(0, len(given) - 1))
    fewer = given[:less] + given[less + 1 :]
    without_it = leaving(world({**start, "consents": fewer}))
    assert without_it <= measured(world({**start, "consents": given}))
    aside = {**given[less], **data.draw(st.sampled_from(ASIDE))}
    assert leaving(world({**start, "consents": [*fewer, aside]})) == without_it


@functools.cache
def without(rule: str) -> Policy:
    return policy_without(rule)


@settings(max_examples=100, deadline=None)
@given(starting_points(), st.sampled_from([rule.id for rule in POLICY.rules if rule.effect == "PERMIT"]))
def test_removing_a_permit_rule_never_releases_more(changes: dict[str, Any], rule: str) -> None:
    """A policy less one permit releases a subset."""
    ctx = world(changes)
    assert leaving(ctx, without(rule)) <= leaving(ctx)


@settings(max_examples=150, deadline=None)
@given(starting_points(), restrictions, st.booleans())
def test_redact_then_decide_again_is_a_fixpoint(
    changes: dict[str, Any], restriction: dict[str, Any], restrict: bool
) -> None:
    """What is left is a clean permit; redacting by it changes nothing; denied worlds leave nothing."""
    ctx = world(restricted(changes, restriction) if restrict else changes)
    decision = decide(POLICY, ctx)
    left = redact(ctx.record, decision)
    again = decide_again(POLICY, ctx, decision)
    event(decision.effect)
    if decision.effect == "PERMIT":
        assert (again.effect, again.obligations) == ("PERMIT", ())
        assert len(again.released) == len(decision.released)
        assert redact(left, again) == left
        assert decide_again(POLICY, msgspec.structs.replace(ctx, record=left), again) == again
    else:
        assert (left.content, left.labels) == ({}, ())
        assert again == decision


@settings(max_examples=100, deadline=None)
@given(starting_points())
def test_a_decision_is_a_function_of_its_context(changes: dict[str, Any]) -> None:
    """Equal contexts, equal decisions; each field has exactly one outcome, and obligations name the withheld ones."""
    ctx = world(changes)
    decision = decide(POLICY, ctx)
    assert decide(POLICY, world(changes)) == decision
    pointers = [field.pointer for field in decision.fields]
    assert len(set(pointers)) == len(pointers) == len(ctx.record.labels)
    if decision.effect == "PERMIT":
        assert [redact.pointer for redact in decision.obligations] == [
            field.pointer for field in decision.withheld
        ]
