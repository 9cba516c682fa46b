"""A short sample of `make grid`: both evaluators agree, every rule is seen alone, and a weaker policy is noticed."""

from __future__ import annotations

import ast
import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.policy.rules import load_policy
from tests.grid import campaign
from tests.grid.axes import AXES
from tests.grid.campaign import SIZES, Tally
from tests.grid.covering import covering_array, triples
from tests.grid.worlds import ORDINARY, Point
from tests.policy.worlds import POLICY, policy_document, policy_without

RULES = [rule.id for rule in POLICY.rules]


@pytest.fixture(scope="module")
def sample() -> Tally:
    """Every start, and every single change of it."""
    return campaign.ask(POLICY, campaign.singles())


def close_to(sample: Tally, rule: str) -> list[Point]:
    """Where the rule alone denied, and the permits beside."""
    soles = [sole.at for sole in sample.kept[rule]]
    return [*soles, *dict.fromkeys(itertools.islice(campaign.near_misses(sample, rule), 200))]


def test_both_evaluators_agree(sample: Tally) -> None:
    """Some thousands of decisions are equal in effect, in every denying rule, and in every field with all its rules."""
    assert sample.differences == []
    assert sample.decisions > 5_000
    assert min(sample.effects["PERMIT"], sample.effects["DENY"]) > sample.decisions / 4


@pytest.mark.parametrize("rule", RULES)
def test_the_rule_is_seen_alone_and_missed_by_one_value(sample: Tally, rule: str) -> None:
    """The rule alone denies somewhere, and one value away the release is permitted and the field leaves."""
    assert sample.soles[rule]
    assert next(campaign.near_misses(sample, rule), None) is not None


@pytest.mark.parametrize("rule", RULES)
def test_a_missing_rule_is_noticed(sample: Tally, rule: str) -> None:
    """A policy without the rule differs from the evaluator where the rule alone denied."""
    assert campaign.ask(policy_without(rule), close_to(sample, rule)[:20]).differing


def _turned(old: str, new: str) -> Callable[[Any], Any]:
    def turn(tree: Any) -> Any:
        if isinstance(tree, list):
            return [turn(item) for item in tree]
        return new if tree == old else tree

    return turn


def _raised(by: int) -> Callable[[Any], Any]:
    def turn(tree: Any) -> Any:
        if isinstance(tree, list):
            return [turn(item) for item in tree]
        return tree + by if type(tree) is int else tree

    return turn


#: A rule, and how it is twisted.
TWISTS: list[tuple[str, Callable[[Any], Any]]] = [
    ("extract.fresh", _turned("gt", "ge")),
    ("person.under-12", _turned("lt", "le")),
    ("person.minor", _turned("person.min_age", "settings.flagged_age")),
    ("pnr.masked", _turned("gt", "ge")),
    ("bdc.bulk", _turned("gt", "ge")),
    ("dna.loci", _raised(-1)),
    ("dna.reference", _raised(-1)),
    ("retention.set", _raised(1)),
    ("label.ceiling", _turned("field.protected_as", "field.level")),
    ("officer.clearance", _turned("field.protected_as", "field.level")),
    ("third-party", _turned("originator-consent", "quota")),
    ("held.repeats", _turned("gt", "ge")),
    ("handling.judicial-use", _turned("H1", "H2")),
    ("handling.led-conflict", _turned("partner.in_eu", "emergency.claimed")),
    ("agreement.in-force", _turned("any", "all")),
    ("evaluation.fresh", _turned("any", "all")),
    ("class.B", _turned("field.asked_for", "field.lifted")),
]


@pytest.mark.parametrize(("rule", "twist"), TWISTS, ids=[rule for rule, _ in TWISTS])
def test_a_twisted_rule_is_noticed(sample: Tally, rule: str, twist: Callable[[Any], Any]) -> None:
    """A comparison turned, a threshold lowered, a fact exchanged: some answer close to the rule differs."""
    document = policy_document()
    (found,) = (each for each in document["rules"] if each["id"] == rule)
    before = json.dumps(found)
    found |= {part: twist(found[part]) for part in ("applies", "condition") if part in found}
    assert json.dumps(found) != before
    assert campaign.ask(load_policy(json.dumps(document).encode()), close_to(sample, rule)).differing


def test_the_evaluator_shares_nothing_with_the_product() -> None:
    """It imports the standard library and itself: no rule, fact, table or kind of the product."""
    imported: set[str] = set()
    for path in Path(__file__).parent.glob("evaluator*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {name.name for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module or "")
    foreign = {name for name in imported if name.partition(".")[0] not in sys.stdlib_module_names}
    assert foreign
    assert all(name.startswith("tests.grid") for name in foreign)


def test_ordinary_values_come_first() -> None:
    """Of the first value of every axis alone the release is permitted."""
    assert campaign.ask(POLICY, [ORDINARY]).effects == {"PERMIT": 1}
    assert all(len(values) > 1 for _, values in AXES)
    assert len({name for name, _ in AXES}) == len(AXES)


@pytest.mark.parametrize("sizes", [(2, 2, 2), (3, 2, 4, 2, 3, 2), (5, 4, 3, 2, 2, 2, 2, 2)])
def test_every_three_values_stand_together(sizes: tuple[int, ...]) -> None:
    """The array covers every triple of values, as counted from its rows, and half of it does not."""
    rows = covering_array(sizes, 1)
    covered, there_are = triples(sizes, rows)
    assert covered == there_are
    assert triples(sizes, rows[: len(rows) // 2])[0] < there_are


def test_triples_are_counted_one_by_one() -> None:
    """The count of triples is that of a plain set of them."""
    sizes = (3, 2, 4, 2)
    rows = covering_array(sizes, 2)[:7]
    plain = {
        tuple((axis, row[axis]) for axis in axes)
        for row in rows
        for axes in itertools.combinations(range(4), 3)
    }
    assert triples(sizes, rows)[0] == len(plain)


def test_every_difference_of_one_value_is_a_neighbour() -> None:
    """A point has as many neighbours as there are other values, each at the distance of one value."""
    near = [*campaign.neighbours(ORDINARY)]
    assert len({*near}) == len(near) == sum(SIZES) - len(SIZES)
    assert all(sum(a != b for a, b in zip(each, ORDINARY, strict=True)) == 1 for each in near)
