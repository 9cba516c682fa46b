"""Labels: `dominates` is a partial order, `join` its upper bound, and every axis is strict alone."""

from collections.abc import Sequence
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.label import (
    PAP_ORDER,
    TLP_ORDER,
    Caveat,
    HandlingCode,
    LevelTable,
    PersonCategory,
    ReceivingRow,
    SecurityLabel,
    dominates,
    join,
    nation_of,
    of_a_state,
)

LEVELS = LevelTable(
    version="test",
    ranks={
        "BEL": {"NONE": 0, "RESTREINT": 1, "SECRET": 3},
        "NLD": {"Dep. VERTROUWELIJK": 1, "Stg. GEHEIM": 3},
    },
)
PAIRS = [(policy, level) for policy, row in LEVELS.ranks.items() for level in row]
UNKNOWN = [("BEL", "VERY SECRET"), ("ZZZ", "SECRET")]
ORGS = ("BEL", "FRA", "NLD", "fra.police-demo", "fra.other-demo", "nld.aivd-demo")


def subsets(*items: str) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(items), max_size=4).map(tuple)


@st.composite
def labels(draw: st.DrawFn, pairs: Sequence[tuple[str, str]] = PAIRS) -> SecurityLabel:
    policy, level = draw(st.sampled_from(pairs))
    return SecurityLabel(
        policy=policy,
        level=level,
        releasable_to=draw(subsets(*ORGS)),
        originators=draw(subsets("bel.ocam", "bel.vsse", "fra.police-demo")),
        originator_control=draw(st.booleans()),
        handling_code=draw(st.lists(st.sampled_from(get_args(HandlingCode)), max_size=3).map(tuple)),
        tlp=draw(st.none() | st.sampled_from(TLP_ORDER)),
        purpose=draw(st.none() | subsets("ct-prevention", "border-control")),
        retention_until=draw(st.none() | st.sampled_from(["2026-12-31", "2027-06-30"])),
        no_foreign=draw(st.booleans()),
        embargo=draw(st.booleans()),
        pap=draw(st.none() | st.sampled_from(PAP_ORDER)),
        legal_basis=draw(st.none() | subsets("be-2024-03-29:art28", "be-2006-07-10:art8")),
        person=draw(st.lists(st.sampled_from(get_args(PersonCategory)), max_size=3).map(tuple)),
        caveat=draw(st.lists(st.sampled_from(get_args(Caveat)), max_size=1).map(tuple)),
    )


#: Every axis but the level and the release list, which have two spellings of one meaning.
AXES = tuple(
    axis for axis in SecurityLabel.__struct_fields__ if axis not in ("policy", "level", "releasable_to")
)


def test_every_axis_is_drawn_and_ordered() -> None:
    """Each axis of the type changes `dominates` by itself: a new one that the order forgets fails here."""
    free = SecurityLabel("BEL", "NONE", ("FRA",))
    strict: dict[str, Any] = {
        "policy": "ZZZ", "level": "SECRET", "releasable_to": (), "originators": ("bel.ocam",),
        "originator_control": True, "handling_code": ("H3",), "tlp": "RED", "purpose": (),
        "retention_until": "2026-12-31", "no_foreign": True, "embargo": True, "pap": "RED", "legal_basis": (),
        "person": ("victim",), "caveat": ("DIFFUSION RESTREINTE",),
    }  # fmt: skip
    assert set(strict) == set(SecurityLabel.__struct_fields__)
    for axis, value in strict.items():
        stricter = msgspec.structs.replace(free, **{axis: value})
        assert not dominates(free, stricter, LEVELS), axis
        assert dominates(stricter, free, LEVELS) or axis == "policy", axis
        top = join(free, stricter, LEVELS)
        assert top is None if axis == "policy" else top is not None and dominates(top, stricter, LEVELS), axis


@given(labels([*PAIRS, *UNKNOWN]), labels([*PAIRS, *UNKNOWN]), labels([*PAIRS, *UNKNOWN]))
def test_dominates_is_a_partial_order_with_unknown_levels_outside_it(
    first: SecurityLabel, second: SecurityLabel, third: SecurityLabel
) -> None:
    """Reflexive where a level has a rank, and only there; antisymmetric on every axis; transitive, always."""
    known = LEVELS.rank(first.policy, first.level) is not None
    assert dominates(first, first, LEVELS) is known
    assert known or not (dominates(first, second, LEVELS) or dominates(second, first, LEVELS))
    if dominates(first, second, LEVELS) and dominates(second, first, LEVELS):
        assert {axis: getattr(first, axis) for axis in AXES} == {axis: getattr(second, axis) for axis in AXES}
    if dominates(first, second, LEVELS) and dominates(second, third, LEVELS):
        assert dominates(first, third, LEVELS)


def joined(first: SecurityLabel, second: SecurityLabel) -> SecurityLabel:
    top = join(first, second, LEVELS)
    assert top is not None
    return top


@given(labels())
def test_dominates_is_reflexive(label: SecurityLabel) -> None:
    """Every label is as strict as itself."""
    assert dominates(label, label, LEVELS)


@given(labels(), labels(), labels())
def test_dominates_is_transitive(first: SecurityLabel, second: SecurityLabel, third: SecurityLabel) -> None:
    """Along a chain made by joining, and along any chain drawn, strictness carries over."""
    middle, top = joined(first, second), joined(joined(first, second), third)
    assert dominates(top, first, LEVELS)
    assert dominates(top, middle, LEVELS)
    if dominates(first, second, LEVELS) and dominates(second, third, LEVELS):
        assert dominates(first, third, LEVELS)


@given(labels(), labels())
def test_dominates_is_antisymmetric_up_to_names(first: SecurityLabel, second: SecurityLabel) -> None:
    """Two labels as strict as each other reach the same organisations and agree on every other axis; only the names
    of equal levels may differ, and a state may stand with or without services it covers."""
    for one, other in ((first, second), (first, joined(first, first))):
        if dominates(one, other, LEVELS) and dominates(other, one, LEVELS):
            assert LEVELS.rank(one.policy, one.level) == LEVELS.rank(other.policy, other.level)
            assert reach(one) == reach(other)
            for axis in AXES:
                assert getattr(one, axis) == getattr(other, axis), axis


def reach(label: SecurityLabel) -> frozenset[str]:
    """Organisations, a nameless one of each state included, to which the label releases."""
    known = [
        *(org for org in ORGS if "." in org),
        *(f"{org.lower()}.nameless" for org in ORGS if "." not in org),
    ]
    return frozenset(org for org in known if label.releasable(org, nation_of(org)))


@given(labels(), labels())
def test_join_is_an_upper_bound(first: SecurityLabel, second: SecurityLabel) -> None:
    """The high-water mark is at least as strict as both, and reaches exactly whom both reach."""
    top = joined(first, second)
    assert dominates(top, first, LEVELS)
    assert dominates(top, second, LEVELS)
    assert reach(top) == reach(first) & reach(second)


@given(labels(), labels(), labels())
def test_join_is_the_least_upper_bound(
    first: SecurityLabel, second: SecurityLabel, other: SecurityLabel
) -> None:
    """Whatever is as strict as both is as strict as their join: joining invents no restriction."""
    bound = joined(joined(first, other), second)
    assert dominates(bound, joined(first, second), LEVELS)


@given(labels(), labels())
def test_join_does_not_depend_on_order_but_for_names(first: SecurityLabel, second: SecurityLabel) -> None:
    """Both orders dominate each other; joining with itself adds nothing."""
    one, other = joined(first, second), joined(second, first)
    assert dominates(one, other, LEVELS)
    assert dominates(other, one, LEVELS)
    assert dominates(first, joined(first, first), LEVELS)


@pytest.mark.parametrize(
    ("axis", "strict"),
    [
        ("level", "SECRET"),
        ("releasable_to", ("fra.police-demo",)),
        ("releasable_to", ()),
        ("originators", ("bel.ocam", "bel.vsse")),
        ("originator_control", True),
        ("handling_code", ("H1", "H2")),
        ("tlp", "RED"),
        ("purpose", ()),
        ("retention_until", "2026-12-31"),
        ("no_foreign", True),
        ("embargo", True),
        ("pap", "RED"),
        ("legal_basis", ()),
        ("person", ("victim",)),
        ("caveat", ("DIFFUSION RESTREINTE",)),
    ],
)
def test_each_axis_is_strict_alone(axis: str, strict: Any) -> None:
    """A label stricter on one axis dominates and is not dominated; nothing else relaxes it."""
    base = SecurityLabel(
        policy="BEL",
        level="RESTREINT",
        releasable_to=("FRA",),
        originators=("bel.ocam",),
        handling_code=("H1",),
        tlp="AMBER",
        purpose=("ct-prevention",),
        retention_until="2027-06-30",
    )
    stricter = msgspec.structs.replace(base, **{axis: strict})
    assert dominates(stricter, base, LEVELS)
    assert not dominates(base, stricter, LEVELS)


def test_an_unset_axis_is_the_mildest() -> None:
    """No purpose, retention or TLP set is milder than any that is; an empty purpose is the strictest."""
    free = SecurityLabel(policy="BEL", level="NONE")
    for changes in (
        {"purpose": ("a",)},
        {"purpose": ()},
        {"retention_until": "2027-01-01"},
        {"tlp": "CLEAR"},
        {"pap": "CLEAR"},
        {"legal_basis": ()},
    ):
        bound = msgspec.structs.replace(free, **changes)
        assert dominates(bound, free, LEVELS)
        assert not dominates(free, bound, LEVELS)


def test_an_unknown_level_is_in_no_order() -> None:
    """Neither above nor below anything, itself included; a whole with an unknown part is unknown."""
    known, unknown = SecurityLabel("BEL", "SECRET"), SecurityLabel("BEL", "VERY SECRET")
    assert not dominates(unknown, unknown, LEVELS)
    assert not dominates(unknown, known, LEVELS)
    assert not dominates(known, unknown, LEVELS)
    assert join(known, unknown, LEVELS) is None
    assert join(unknown, known, LEVELS) is None
    assert LEVELS.rank("ZZZ", "SECRET") is None


def test_a_state_covers_its_services() -> None:
    """`FRA` joined with one French service is that service; the two lists of strangers join to nobody."""
    state, service = (
        SecurityLabel("BEL", "NONE", ("FRA",)),
        SecurityLabel("BEL", "NONE", ("fra.police-demo",)),
    )
    assert (
        joined(state, service).releasable_to == joined(service, state).releasable_to == ("fra.police-demo",)
    )
    assert joined(state, SecurityLabel("BEL", "NONE", ("NLD",))).releasable_to == ()


def test_empty_releases_to_nobody() -> None:
    """An empty list names neither an organisation nor its state."""
    assert not SecurityLabel("BEL", "NONE").releasable("fra.police-demo", "FRA")
    assert SecurityLabel("BEL", "NONE", ("FRA",)).releasable("fra.police-demo", "FRA")
    assert SecurityLabel("BEL", "NONE", ("fra.police-demo",)).releasable("fra.police-demo", "FRA")
    assert not SecurityLabel("BEL", "NONE", ("fra.other-demo", "NLD")).releasable("fra.police-demo", "FRA")


def test_equal_labels_are_equal_bytes() -> None:
    """Sets are sorted and unique: one spelling a meaning."""
    one = SecurityLabel("BEL", "NONE", ("FRA", "BEL", "FRA"), handling_code=("H2", "H1"))
    other = SecurityLabel("BEL", "NONE", ("BEL", "FRA"), handling_code=("H1", "H2", "H1"))
    assert msgspec.json.encode(one) == msgspec.json.encode(other)
    assert msgspec.json.decode(msgspec.json.encode(one), type=SecurityLabel) == one


def test_an_unknown_axis_is_refused() -> None:
    """A label with a member nobody checks does not load."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"policy":"BEL","level":"NONE","eyes_only":true}', type=SecurityLabel)


RECEIVING = msgspec.structs.replace(
    LEVELS,
    receiving={"FRA": ReceivingRow(True, {3: 3, 2: 3}), "CAN": ReceivingRow(False, {1: 1, 3: 3})},
)


@pytest.mark.parametrize(
    ("policy", "level", "receiver", "enabled", "rank"),
    [
        ("BEL", "SECRET", "FRA", False, 3),
        ("BEL", "RESTREINT", "FRA", False, None),
        ("BEL", "RESTREINT", "BEL", False, 1),
        ("BEL", "NONE", "ZZZ", False, 0),
        ("BEL", "SECRET", "ZZZ", True, None),
        ("BEL", "SECRET", "CAN", False, None),
        ("BEL", "SECRET", "CAN", True, 3),
        ("BEL", "VERY SECRET", "BEL", True, None),
    ],
)
def test_a_level_is_protected_as(
    policy: str, level: str, receiver: str, enabled: bool, rank: int | None
) -> None:
    """The recipient's own row answers; no row, no rank in it, or a disabled row is no equivalent."""
    assert RECEIVING.protected(policy, level, receiver, enabled=enabled) == rank


def test_policies_of_states_have_alpha_3_names() -> None:
    """`BEL` is a state's policy, `EU` and `NATO` are not."""
    assert [of_a_state(policy) for policy in ("BEL", "EU", "NATO")] == [True, False, False]
