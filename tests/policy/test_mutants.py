"""Mutants of the shipped policy: each weakened or twisted rule must be seen by the decision table.

A rule is mutated in its tree (comparisons moved by one or turned, a ``not`` dropped, an operand dropped, a constant
changed, a guard removed) and in its effect. A mutant that decides every row of the table as the policy does would be
a rule that nobody has pinned down.
"""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec
import pytest

from gateway.errors import PolicyInvalid
from gateway.model.decision import Decision
from gateway.policy.context import Context
from gateway.policy.decide import decide
from gateway.policy.rules import Policy, Rules, load_policy
from tests.policy.test_decision_table import BY_SILENCE, TABLE, near_miss, spoken
from tests.policy.worlds import KIND, POLICY, policy_document, world

TURNS = {
    "gt": ("ge", "lt"),
    "ge": ("gt", "le"),
    "lt": ("le", "gt"),
    "le": ("lt", "ge"),
    "eq": ("ne",),
    "ne": ("eq",),
    "all": ("any",),
    "any": ("all",),
}


def trees(raw: Any) -> Iterator[Any]:
    """Every mutant of one tree."""
    if not isinstance(raw, list) or not raw:
        return
    for turned in TURNS.get(raw[0], ()):
        yield [turned, *raw[1:]]
    if raw[0] == "not":
        yield raw[1]
    if raw[0] == "const" and isinstance(raw[1], bool):
        yield ["const", not raw[1]]
    if raw[0] == "const" and isinstance(raw[1], list):
        for item in raw[1]:
            yield ["const", [other for other in raw[1] if other != item]]
    if raw[0] in ("all", "any") and len(raw) > 2:
        for drop in range(1, len(raw)):
            yield raw[:drop] + raw[drop + 1 :]
    for place in range(1, len(raw)):
        for mutant in trees(raw[place]):
            yield [*raw[:place], mutant, *raw[place + 1 :]]


def mutants(rule: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every mutant of one rule: its condition, its guard, and no denial any more."""
    for tree in trees(rule["condition"]):
        yield {**rule, "condition": tree}
    for tree in trees(rule.get("applies", ["const", True])):
        yield {**rule, "applies": tree}
    if rule["effect"] != "PERMIT":
        yield {**rule, "effect": "PERMIT"}


DOCUMENT = policy_document()


@cache
def worlds() -> dict[str, list[tuple[Context, Decision]]]:
    """Every world of the table by its rule, and what the shipped policy decides in it."""
    found: dict[str, list[tuple[Context, Decision]]] = {}
    for row in TABLE:
        for ctx in (spoken(row), near_miss(row)):
            found.setdefault(row["rule"], []).append((ctx, decide(POLICY, ctx)))
    # What `release.permit` refuses: nothing is left, and nothing was required.
    free = world(of=msgspec.structs.replace(KIND, required=frozenset()))
    empty = msgspec.structs.replace(free, record=msgspec.structs.replace(free.record, content={}))
    return found | {"release.permit": [(empty, decide(POLICY, empty))]}


def mutated(place: int, mutant: dict[str, Any]) -> Policy | None:
    """The policy with this rule in that place; None when it does not even load."""
    try:
        alone = load_policy(json.dumps({**DOCUMENT, "rules": [mutant]}).encode())
    except PolicyInvalid:
        return None
    (rule,) = alone.release_rules or alone.field_rules
    former = DOCUMENT["rules"][place]["id"]

    def exchanged(rules: Rules) -> Rules:
        return Rules(rule if each.rule.id == former else each for each in rules)

    return msgspec.structs.replace(
        POLICY, release_rules=exchanged(POLICY.release_rules), field_rules=exchanged(POLICY.field_rules)
    )


def survives(policy: Policy, rule: str) -> bool:
    """Whether the policy decides every world as the shipped one does; the rule's own rows are asked first."""
    every = (pair for pairs in (worlds().get(rule, ()), *worlds().values()) for pair in pairs)
    return all(decide(policy, ctx) == decision for ctx, decision in every)


@pytest.mark.parametrize(
    "place", range(len(DOCUMENT["rules"])), ids=[rule["id"] for rule in DOCUMENT["rules"]]
)
def test_no_mutant_of_the_rule_survives(place: int) -> None:
    """Each mutant changes some decision of the table, or does not load."""
    rule = DOCUMENT["rules"][place]
    policies = [(mutant, mutated(place, mutant)) for mutant in mutants(rule)]
    alive = [mutant for mutant, policy in policies if policy is not None and survives(policy, rule["id"])]
    assert alive == []


def test_mutation_is_not_vacuous() -> None:
    """Every rule but those that speak by silence has mutants that load."""
    for place, rule in enumerate(DOCUMENT["rules"]):
        assert rule["id"] in BY_SILENCE or any(mutated(place, mutant) is not None for mutant in mutants(rule))
