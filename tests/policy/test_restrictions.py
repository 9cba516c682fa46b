"""Restriction, member by member: nothing that says more strictly who may have what ever releases more.

The tables hold, for each member of every type that a decision reads, values that only restrict, or say that the member
decides nothing. They are held against the types: a new axis, list, threshold or quality without a law fails here.
"""

import itertools
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model.agreement import AgreementState, AgreementTerms, ProtocolFields
from gateway.model.label import LevelTable, SecurityLabel
from gateway.model.officer import Officer
from gateway.model.party import Assurance, Partner
from gateway.model.record import FieldLabel
from gateway.policy.context import Context, Held, Settings
from gateway.policy.decide import decide
from gateway.policy.redact import decide_again, redact
from gateway.policy.rules import Policy, load_policy
from tests.policy.test_decision_table import TABLE, near_miss
from tests.policy.test_laws import LEVELS_UP, POINTERS, measured, starting_points
from tests.policy.worlds import LEVELS, OURS, POLICE, POLICY, leaving, policy_document, world

ELSEWHERE = "nld.aivd-demo"
SHARER = {"org": "deu.police-demo", "ceiling": {"policy": "BEL", "level": "UNCLASSIFIED"}, "quota": 0}

#: Decides nothing: whatever it is, the same leaves.
INDIFFERENT = "indifferent"

#: Axis of a label -> values stricter than, or as strict as, any that is drawn.
LABEL: dict[str, list[Any]] = {
    "policy": ["ZZZ"],
    "level": ["TRES SECRET", "no such level"],
    "releasable_to": [[], ["BEL"], ["fra.other-demo"]],
    "originators": [[ELSEWHERE], [OURS, ELSEWHERE]],
    "originator_control": [True],
    "handling_code": [["H1"], ["H2"], ["H3"]],
    "tlp": ["RED"],
    "purpose": [[], ["border-control"]],
    "retention_until": ["2026-01-01"],
    "no_foreign": [True],
    "embargo": [True],
    "pap": ["AMBER", "RED"],
    "legal_basis": [[], ["be-2006-07-10:art8"]],
    "person": [["victim"], ["witness"], ["minor"], ["minor", "suspect"]],
    "caveat": [["DIFFUSION RESTREINTE"]],
}

#: What stands beside a label: whose item it is, and toward whom it may go.
ITEM: dict[str, Any] = {
    "pointer": INDIFFERENT,  # the item's own name: there is no stricter one
    "label": [None],
    "source": INDIFFERENT,
    "originator": ["", ELSEWHERE],
    "consent": [[]],
}

TERMS: dict[str, Any] = {
    "series": ["another"],
    "version": INDIFFERENT,
    "parties": [[OURS, ELSEWHERE], [ELSEWHERE, POLICE]],
    "recipient_kinds": [{}, {POLICE: "private"}, {POLICE: "other"}],
    "regime": ["BE-POLICE", "SPOC"],
    "route": ["other", "intelligence"],
    "legal_basis": ["", "be-2006-07-10:art8"],
    "purposes": [[], ["border-control"]],
    "kinds": [[], ["another/1.0"]],
    "lifts": [[]],
    "ceiling": [{"policy": "BEL", "level": "UNCLASSIFIED"}, {"policy": "ZZZ", "level": "SECRET"}],
    "retention_days": [0],
    "onward": INDIFFERENT,  # binds the recipient
    "suites": INDIFFERENT,  # how it is sealed
    "signature_profiles": INDIFFERENT,
    "formats": [[], ["another/1.0"]],
    "languages": [[], ["nl"]],
    "not_before": ["2027-01-01T00:00:00Z"],
    "not_after": ["2026-06-01T00:00:00Z"],
    "protocol": [
        {**{name: ["stated"] for name in ProtocolFields.__struct_fields__}, "legal_basis": "a",
         "restrictions_on_rights": "b", name: "" if name in ("legal_basis", "restrictions_on_rights") else []}
        for name in ProtocolFields.__struct_fields__
    ],
    "minimum_assurance": [{"origin_signed": True, "receipt": "signed", "ordered": True, "recall_ack": True}],
    "bulk": [None, {"records": 0, "days": 30}],
}  # fmt: skip

AGREEMENT: dict[str, Any] = {
    "terms": INDIFFERENT,  # `TERMS`, member by member
    "sha256": INDIFFERENT,
    "signed_ours": [False],
    "signed_theirs": [False],
    "revoked": [True],
}

PARTNER: dict[str, Any] = {
    "org": [ELSEWHERE, "fra.other-demo"],
    "nation": ["USA", "NLD"],
    "name": INDIFFERENT,
    "recipient_kind": ["private", "other", "crisis"],
    "keys": INDIFFERENT,
    "endpoint": INDIFFERENT,
    "tls_name": INDIFFERENT,
    "formats": [[]],
    "languages": [[]],
    "assurance": [{}],
    "version": INDIFFERENT,
    "stopped": [True],
}

OFFICER: dict[str, Any] = {
    "id": INDIFFERENT,
    "person": INDIFFERENT,  # one officer: who it is does not matter before there is a second
    "name": INDIFFERENT,
    "roles": [[], ["approver"]],
    "keys": INDIFFERENT,
    "clearance": [None, {"policy": "BEL", "level": "SECRET", "until": "2026-01-01T00:00:00Z"}],
    "need_to_know": [[], ["another"]],
    "suspended": [True],
    "version": INDIFFERENT,
    "mandate": INDIFFERENT,  # of a reviewer, who decides about no release
}

HELD: dict[str, Any] = {
    "records": [1000],
    "subject_held": [False],
    "total": [1000],
    "subject_ever": [False],
    "disclosures": [1000],
    "members": [["documents", "names", "special", "threat"]],
    "sharing": [[SHARER]],
}

#: Where each table lies in the plain data of a world, and the type that it is held against.
TABLES: dict[str, tuple[type, dict[str, Any]]] = {
    "agreement": (AgreementState, AGREEMENT),
    "agreement.terms": (AgreementTerms, TERMS),
    "partner": (Partner, PARTNER),
    "officers.0": (Officer, OFFICER),
    "held": (Held, HELD),
}

CHANGES = [
    (f"{path}.{name}", value)
    for path, (_, table) in TABLES.items()
    for name, values in table.items()
    if values is not INDIFFERENT
    for value in values
]
#: Members of the context itself.
CHANGES += [
    ("agreement", None),
    ("release.our_org", "bel.other-demo"),
    ("release.purpose", "border-control"),
    ("release.legal_basis", ""),
    ("release.justification", " "),
    ("release.language", "nl"),
    ("release.format", "another/1.0"),
    ("release.embargoed", True),
    ("mentioned_age", 11),
    ("release.emergencies_overdue", 1),
    ("officers", []),
    ("request", None),
    ("lifts", []),
    ("derogation", None),
    ("consents", []),
    ("release.judicial_authorisation", ""),
]

#: Members of the context that have no stricter value, or have a law of their own, and which.
ELSEWHERE_HELD = {
    "record": "`LABEL`, `ITEM`",
    "subject": "`LABEL`, `ITEM`",
    "kind": "a higher class: `test_a_stricter_class_never_releases_more`",
    "partner": "`PARTNER`",
    "our_nation": "says who is foreign to whom; neither is stricter",
    "held": "`HELD`",
    "levels": "`test_without_a_rank_or_an_equivalent_nothing_more_leaves`",
    "settings": "`test_a_threshold_that_is_absent_never_releases_more`",
    "now": "time has no strict end: embargoes end, and agreements begin",
    "emergency": "a claim waives some rules and meets others",
    "grounds": "named by a decision, read by no rule",
    "permitted": "what `decide` finds",
    "members": "what `decide` finds",
    "left": "what `decide` finds",
    "fields": "what `decide` reads, of the record",
    "mentioned": "`test_a_text_that_tells_of_somebody_mentioned_keeps_back_more`",
}


@pytest.mark.parametrize("path", TABLES)
def test_every_member_has_a_law(path: str) -> None:
    """A table names exactly the members of its type."""
    shape, table = TABLES[path]
    assert set(table) == set(shape.__struct_fields__)  # type: ignore[attr-defined]


def test_every_axis_has_a_law() -> None:
    """Each axis of a label, and each member beside one, is in its table; some value of each axis keeps an item back."""
    assert set(LABEL) == set(SecurityLabel.__struct_fields__)
    assert set(ITEM) == set(FieldLabel.__struct_fields__)
    for axis, values in LABEL.items():
        kept = [
            leaving(world({f"labels./threat.label.{axis}": value})) < leaving(world()) for value in values
        ]
        assert any(kept) or axis == "originator_control"  # which our own items bear without effect
    ours = {"labels./threat.label.originators": ["bel.vsse-demo"]}
    assert leaving(world({**ours, "labels./threat.label.originator_control": True})) < leaving(world(ours))


def test_every_member_of_the_context_has_a_law() -> None:
    """Each is changed above, or its law is named."""
    changed = {path.removeprefix("release.").split(".")[0] for path, _ in CHANGES}
    assert changed | set(ELSEWHERE_HELD) == set(Context.__struct_fields__)


def test_a_text_that_tells_of_somebody_mentioned_keeps_back_more() -> None:
    """Once it says what our record about that person keeps from this partner."""
    text = {
        "content.detention_release": {"date": "2026-09-02", "conditions": "calls himself Zzemo le Fictif"}
    }
    assert leaving(world({**text, "mentioned": ["/detention_release/conditions"]})) < leaving(world(text))


def under(changes: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The changes with this one on top; what lay at, above or below its path is gone."""
    return {
        key: kept
        for key, kept in changes.items()
        if not (key == path or key.startswith(f"{path}.") or path.startswith(f"{key}."))
    } | {path: value}


@settings(max_examples=400, deadline=None)
@given(starting_points(), st.sampled_from(CHANGES))
def test_a_stricter_member_never_releases_more(changes: dict[str, Any], change: tuple[str, Any]) -> None:
    """Agreement, partner, officer, holdings and the act itself: a restrictive value added, a permissive one removed."""
    assert leaving(world(under(changes, *change))) <= measured(world(changes))


@settings(max_examples=400, deadline=None)
@given(
    starting_points(),
    st.sampled_from(POINTERS),
    st.sampled_from(
        [(f"label.{axis}", value) for axis, values in LABEL.items() for value in values]
        + [(name, value) for name, values in ITEM.items() if values is not INDIFFERENT for value in values]
    ),
)
def test_a_stricter_axis_never_releases_more(
    changes: dict[str, Any], pointer: str, change: tuple[str, Any]
) -> None:
    """Each axis of the label of one item, or of all, and what stands beside it."""
    name, value = change
    assert leaving(world(changes | {f"labels.{pointer}.{name}": value})) <= measured(world(changes))


@settings(max_examples=300, deadline=None)
@given(starting_points(), st.sampled_from(Settings.__struct_fields__))
def test_a_threshold_that_is_absent_never_releases_more(changes: dict[str, Any], name: str) -> None:
    """Take any setting away: its default is absence, and absence denies."""
    ctx = world(changes)
    without = msgspec.structs.replace(ctx.settings, **{name: getattr(Settings(), name)})
    assert leaving(msgspec.structs.replace(ctx, settings=without)) <= measured(ctx)


@pytest.mark.slow
def test_a_threshold_that_is_absent_never_permits_what_the_table_denies() -> None:
    """The same of permitted neighbours in the decision table: other regimes, states and recipients."""
    for row in TABLE[::3]:
        ctx = near_miss(row)
        for name in Settings.__struct_fields__:
            without = msgspec.structs.replace(ctx.settings, **{name: getattr(Settings(), name)})
            assert leaving(msgspec.structs.replace(ctx, settings=without)) <= leaving(ctx), (
                row["rule"],
                name,
            )


@pytest.mark.parametrize(
    ("path", "name"),
    [(path, name) for path, (_, table) in TABLES.items() for name in table if table[name] is INDIFFERENT],
)
def test_what_decides_nothing_is_read_by_no_rule(path: str, name: str) -> None:
    """Another value of an indifferent member, and the whole decision is the same."""
    others: dict[str, Any] = {
        "version": 7, "sha256": "f" * 64, "onward": "originator-consent", "suites": ["jwe-ecdh-es-a256gcm"],
        "signature_profiles": ["hybrid"], "keys": [], "mandate": None,
    }  # fmt: skip
    if name != "terms":
        assert decide(POLICY, world({f"{path}.{name}": others.get(name, "another")})) == decide(
            POLICY, world()
        )


@settings(max_examples=100, deadline=None)
@given(starting_points(), st.sampled_from(["RESTREINT", "CONFIDENTIEL"]))
def test_a_lower_clearance_never_sees_more(changes: dict[str, Any], marked: str) -> None:
    """Lower the officer's clearance step by step to none, items of several levels in the record: less leaves."""
    mixed = {"labels./sex.label.level": marked, "labels./birth/0.label.level": "RESTREINT"} | changes
    cleared = [{"policy": "BEL", "level": level, "until": "2028-01-01T00:00:00Z"} for level in LEVELS_UP[:5]]
    steps = [None, *cleared]
    worlds = [leaving(world(under(mixed, "officers.0.clearance", step))) for step in steps]
    assert all(low <= high for low, high in itertools.pairwise(worlds))


def test_a_lower_clearance_sees_less() -> None:
    """The law is not empty: each step down from what the items demand takes some of them away."""
    high = {
        "agreement.terms.ceiling.level": "TRES SECRET",
        "settings.channel_ceiling.level": "TRES SECRET",
        "labels./sex.label.level": "TRES SECRET",
        "labels./threat.label.level": "SECRET",
    }
    clearance = {"policy": "BEL", "until": "2028-01-01T00:00:00Z"}
    seen = [
        leaving(world({**high, "officers.0.clearance": {**clearance, "level": level}}))
        for level in ("UNCLASSIFIED", "SECRET", "TRES SECRET")
    ]
    assert seen[0] < seen[1] < seen[2]


@settings(max_examples=60, deadline=None)
@given(starting_points(), st.sampled_from(["ranks", "receiving"]), st.sampled_from(["BEL", "FRA", "NLD"]))
def test_without_a_rank_or_an_equivalent_nothing_more_leaves(
    changes: dict[str, Any], table: str, policy: str
) -> None:
    """A level table less one policy, or less one recipient's row, releases a subset."""
    ctx = world(changes)
    rows = {name: row for name, row in getattr(LEVELS, table).items() if name != policy}
    less: LevelTable = msgspec.structs.replace(LEVELS, **{table: rows})
    assert leaving(msgspec.structs.replace(ctx, levels=less)) <= leaving(ctx)


@settings(max_examples=100, deadline=None)
@given(starting_points(), st.data())
def test_a_stricter_class_never_releases_more(changes: dict[str, Any], data: st.DataObject) -> None:
    """A field pattern raised from A to B, C or X, or marked special or without a statement, releases a subset."""
    ctx = world(changes)
    pattern = data.draw(st.sampled_from(sorted(ctx.kind.fields)))
    spec = ctx.kind.fields[pattern]
    stricter = "ABCX"["ABCX".index(spec.export_class) + 1 :] or "X"
    change: dict[str, Any] = data.draw(
        st.sampled_from(
            [{"export_class": each} for each in stricter] + [{"special": True}, {"statement": None}]
        )
    )
    fields = {**ctx.kind.fields, pattern: msgspec.structs.replace(spec, **change)}
    kind = msgspec.structs.replace(ctx.kind, fields=fields)
    assert leaving(msgspec.structs.replace(ctx, kind=kind)) <= leaving(ctx)


# --- the policy itself -------------------------------------------------------------------------------------------


def with_rule(scope: str, effect: str, tree: Any) -> Policy:
    """The shipped policy and one more rule."""
    document = policy_document()
    like = next(rule for rule in document["rules"] if rule["scope"] == scope)
    rule = {**like, "id": "one.more", "effect": effect, "applies": ["const", True], "condition": tree}
    document["rules"].append(rule)
    return load_policy(json.dumps(document).encode())


_CONDITIONS = [rule["condition"] for rule in policy_document()["rules"] if rule["scope"] == "release"]
_CONDITIONS += [["const", True], ["const", False], *(["not", condition] for condition in _CONDITIONS)]


@settings(max_examples=80, deadline=None)
@given(
    starting_points(),
    st.sampled_from(["release", "field"]),
    st.sampled_from(["DENY", "REVIEW"]),
    st.sampled_from(_CONDITIONS),
)
def test_adding_a_rule_that_denies_never_releases_more(
    changes: dict[str, Any], scope: str, effect: str, condition: Any
) -> None:
    """A policy with one more DENY or REVIEW rule, whatever it asks, releases a subset."""
    ctx = world(changes)
    assert leaving(ctx, with_rule(scope, effect, condition)) <= leaving(ctx)


@settings(max_examples=100, deadline=None)
@given(starting_points())
def test_redaction_is_idempotent(changes: dict[str, Any]) -> None:
    """What is left, redacted by the decision about what is left, is itself; however often. Not by the first decision
    again: items of a list are counted anew once one is gone."""
    ctx = world(changes)
    decision = decide(POLICY, ctx)
    left = redact(ctx.record, decision)
    for _ in range(3):
        decision, ctx = decide_again(POLICY, ctx, decision), msgspec.structs.replace(ctx, record=left)
        assert redact(left, decision) == left


def test_assurance_is_stronger_with_every_promise() -> None:
    """Each promise of a partner's transport that is taken away denies, under a minimum of all of them."""
    every: dict[str, Any] = {
        "origin_signed": True, "end_to_end_encrypted": True, "receipt": "signed", "ordered": True, "recall_ack": True
    }  # fmt: skip
    assert set(every) | {"style"} == set(Assurance.__struct_fields__)
    demanded = {"agreement.terms.minimum_assurance": every, "partner.assurance": every}
    assert leaving(world(demanded))
    for name in every:
        less = {key: value for key, value in every.items() if key != name}
        assert leaving(world({**demanded, "partner.assurance": less})) == frozenset(), name
