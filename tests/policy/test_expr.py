"""Conditions: what loads, what is refused at load, and what a fact that cannot be read does."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import PolicyInvalid
from gateway.policy.context import Context
from gateway.policy.expr import (
    MAX_DEPTH,
    FactUnreadable,
    Node,
    Reading,
    compile_condition,
    facts_of,
    parse_condition,
)
from gateway.policy.facts import FactSpec, Scope
from tests.policy.worlds import world

CTX = world()


def fake(name: str, of: type, answer: Any, scope: Scope = "release") -> FactSpec:
    """A fact that answers the same always, or raises the answer."""

    def compute(ctx: Context, field: object) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return FactSpec(name, scope, of, compute)


FACTS = {
    spec.name: spec
    for spec in (
        fake("yes", bool, True),
        fake("no", bool, False),
        fake("three", int, 3),
        fake("word", str, "alpha"),
        fake("some", frozenset, frozenset({"alpha", "beta"})),
        fake("none", frozenset, frozenset()),
        fake("missing", int, None),
        fake("broken", int, ValueError("a name nobody may see")),
        fake("liar", int, "3"),
        fake("true-as-one", int, True),
        fake("of-field", int, 1, "field"),
    )
}


def ask(raw: Any, scope: Scope = "release") -> Any:
    """The condition's answer in the baseline."""
    return compile_condition(parse_condition(raw, scope, FACTS))(Reading(CTX))


def f(name: str) -> list[Any]:
    return ["fact", name]


@pytest.mark.parametrize(
    ("raw", "answer"),
    [
        (["const", True], True),
        (f("yes"), True),
        (["not", f("yes")], False),
        (["all", f("yes"), f("no")], False),
        (["any", f("no"), f("yes")], True),
        (["eq", f("word"), ["const", "alpha"]], True),
        (["eq", f("yes"), ["const", False]], False),
        (["ne", f("three"), ["const", 3]], False),
        (["lt", f("three"), ["const", 3]], False),
        (["lt", f("three"), ["const", 4]], True),
        (["le", f("three"), ["const", 3]], True),
        (["le", f("three"), ["const", 2]], False),
        (["gt", f("three"), ["const", 3]], False),
        (["gt", f("three"), ["const", 2]], True),
        (["ge", f("three"), ["const", 3]], True),
        (["ge", f("three"), ["const", 4]], False),
        (["in", f("word"), f("some")], True),
        (["in", f("word"), f("none")], False),
        (["subset", ["const", ["alpha"]], f("some")], True),
        (["subset", f("some"), ["const", ["alpha"]]], False),
        (["subset", f("none"), f("none")], True),
        (["intersects", f("some"), ["const", ["beta", "gamma"]]], True),
        (["intersects", f("some"), f("none")], False),
        (["known", f("three")], True),
        (["known", f("missing")], False),
    ],
)
def test_each_operator_answers(raw: Any, answer: bool) -> None:
    """Each of the fifteen nodes computes what its name says, at and next to the boundary."""
    assert ask(raw) is answer


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        (f("unheard-of"), "there is no fact"),
        (["known", f("unheard-of")], "there is no fact"),
        (f("of-field"), "cannot read the field fact"),
        (f("three"), "must be true or false"),
        (["const", 1], "must be true or false"),
        (["const", "yes"], "must be true or false"),
        (["not", f("three")], "takes only what is true or false"),
        (["all", f("yes"), f("three")], "takes only what is true or false"),
        (["gt", f("word"), ["const", "alpha"]], "wrong types"),
        (["gt", f("three"), ["const", True]], "wrong types"),
        (["eq", f("three"), ["const", "3"]], "wrong types"),
        (["eq", f("some"), f("some")], "wrong types"),
        (["in", f("some"), f("some")], "wrong types"),
        (["subset", f("word"), f("some")], "wrong types"),
        (["const", ["a", "a"]], "twice"),
        (["const", []], "no operator"),
        (["const", None], "no operator"),
        (["const", 1.5], "no operator"),
        (["const", ["a", 1]], "no operator"),
        (["all"], "no operator"),
        (["any"], "no operator"),
        (["not"], "no operator"),
        (["not", f("yes"), f("yes")], "no operator"),
        (["gt", f("three")], "no operator"),
        (["known", ["const", True]], "no operator"),
        (["xor", f("yes"), f("no")], "no operator"),
        ([], "no operator"),
        ("yes", "no operator"),
        (None, "no operator"),
        ({"fact": "yes"}, "no operator"),
    ],
)
def test_an_ill_typed_tree_is_refused_at_load(raw: Any, fault: str) -> None:
    """Unknown facts and operators, wrong arity, unlike types and empty connectives never reach a decision."""
    with pytest.raises(PolicyInvalid, match=fault):
        parse_condition(raw, "release", FACTS)


def test_a_field_rule_may_read_both_scopes() -> None:
    """A field fact is refused to release rules only."""
    node = parse_condition(["lt", f("of-field"), f("three")], "field", FACTS)
    assert facts_of(node) == {"of-field", "three"}


def test_depth_is_bounded() -> None:
    """A tree one level deeper than the limit is refused; at the limit it loads."""
    tree: Any = f("yes")
    for _ in range(MAX_DEPTH - 1):
        tree = ["not", tree]
    parse_condition(tree, "release", FACTS)
    with pytest.raises(PolicyInvalid, match="nested deeper"):
        parse_condition(["not", tree], "release", FACTS)


@pytest.mark.parametrize("name", ["missing", "broken", "liar", "true-as-one"])
def test_an_unreadable_fact_names_itself_and_nothing_else(name: str) -> None:
    """Missing, raising and wrongly typed facts all raise `FactUnreadable`, whose text is the fact's name."""
    with pytest.raises(FactUnreadable) as caught:
        ask(["gt", f(name), ["const", 0]])
    assert (caught.value.fact, str(caught.value)) == (name, name)


@pytest.mark.parametrize("name", ["broken", "liar", "true-as-one"])
def test_known_forgives_absence_only(name: str) -> None:
    """A failing fact is no absent one: `known` does not turn it into an answer."""
    with pytest.raises(FactUnreadable):
        ask(["known", f(name)])


def test_connectives_stop_when_the_answer_is_fixed() -> None:
    """Left to right: what stands behind a deciding operand is not read, what stands before it is."""
    doubt = ["gt", f("missing"), ["const", 0]]
    assert ask(["any", f("yes"), doubt]) is True
    assert ask(["all", f("no"), doubt]) is False
    for raw in (["any", doubt, f("yes")], ["all", doubt, f("no")], ["any", f("no"), doubt], ["not", doubt]):
        with pytest.raises(FactUnreadable):
            ask(raw)


def test_a_fact_is_read_once_in_one_reading() -> None:
    """Two questions to one reading see one value, though the fact would answer differently."""
    answers = iter([1, 2])
    spec = FactSpec("turning", "release", int, lambda ctx, field: next(answers))
    reading = Reading(CTX)
    assert (reading.value(spec), reading.value(spec)) == (1, 1)


def test_a_node_of_no_operator_is_refused() -> None:
    """A node that is none of the fifteen cannot be compiled into an answer."""
    with pytest.raises(PolicyInvalid):
        compile_condition(Node())


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["fact", "not", "all", "gt", "three"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=12,
)


@given(JSON)
def test_anything_else_is_policy_invalid(raw: Any) -> None:
    """Whatever JSON stands for a condition: it loads as a truth, or is refused as an invalid policy."""
    try:
        node = parse_condition(raw, "release", FACTS)
    except PolicyInvalid:
        return
    assert facts_of(node) <= set(FACTS)
