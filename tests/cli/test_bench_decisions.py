"""`ecluse bench --against cedarpy`: equal answers, and no ratio without them. No timings here."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from gateway.cli.bench.cases import FIELDS, cases
from gateway.cli.bench.cedar import Cedar, translated
from gateway.cli.bench.decisions import compare, failures
from gateway.errors import PolicyInvalid
from gateway.model.record import fields_of
from gateway.policy.context import Context
from gateway.policy.decide import decide
from gateway.policy.rules import Policy, load_policy
from tests.cli.conftest import Run
from tests.policy.test_decision_table import TABLE, near_miss, spoken
from tests.policy.worlds import POLICY, policy_document, policy_without, world

CEDAR = Cedar(POLICY)


def both(rows: list[dict[str, Any]]) -> Iterator[Context]:
    for row in rows:
        yield spoken(row)
        yield near_miss(row)


@pytest.mark.slow
def test_drawn_cases_are_decided_alike() -> None:
    """Two hundred cases of thirty fields: no answer differs, permits and denials are both many."""
    said, kept = compare(POLICY, CEDAR, cases(1, 200), step=2)
    assert failures(said) == []
    assert said["PERMIT"] + said["DENY"] + said["not_expressible"] == 200
    assert said["fields"] == FIELDS * (said["PERMIT"] + said["DENY"])
    assert 90 <= len(kept) <= 100


@pytest.mark.slow
def test_the_decision_table_is_decided_alike() -> None:
    """Each rule's own case and the permitted one next to it, as far as Cedar can express them: all but a few."""
    said, _ = compare(POLICY, CEDAR, both(TABLE))
    assert said["differ"] == 0
    assert said["not_expressible"] <= len(TABLE) // 10


def test_equal_seeds_draw_equal_cases() -> None:
    """A seed names the cases; another names others."""
    first, again, other = (list(cases(seed, 5)) for seed in (7, 7, 8))
    assert first == again != other
    assert {len(list(fields_of(ctx.record, ctx.kind))) for ctx in first} == {FIELDS}


@pytest.mark.parametrize("rule", ["label.tlp", "label.ceiling", "embargo"])
def test_a_rule_that_is_missing_on_one_side_is_seen(rule: str) -> None:
    """The comparison can fail: without one rule, Cedar says something else of some case."""
    rows = [row for row in TABLE if row["rule"] == rule]
    said, _ = compare(POLICY, Cedar(policy_without(rule)), both(rows))
    assert said["differ"] > 0
    assert failures(said)[0].endswith(" differ")


def test_what_cedar_cannot_express_is_counted_and_not_compared() -> None:
    """A review, and a fact that fails where a rule asks whether it is known."""
    document = policy_document()
    next(rule for rule in document["rules"] if rule["id"] == "embargo")["effect"] = "REVIEW"
    reviewing = _loaded(document)
    said, kept = compare(reviewing, Cedar(reviewing), [world({"release.embargoed": True})])
    assert (said["not_expressible"], said["differ"], kept) == (1, 0, [])
    unreadable = world({"content.birth": [{"precision": "day"}]})
    assert not CEDAR.expresses(unreadable)
    assert CEDAR.expresses(world())


def test_a_missing_fact_denies_in_cedar_too() -> None:
    """Cedar leaves out a policy that errs; translated, a rule that cannot be told forbids."""
    ctx = world({"settings.channel_ceiling": None})
    decided = CEDAR.decide(ctx)
    assert decided.released == ()
    assert decided.denied_by == {reason.rule for reason in decide(POLICY, ctx).reasons if not reason.pointer}


def test_a_review_is_no_cedar_policy() -> None:
    """A rule with a third effect is refused rather than translated into one of two."""
    rule = next(rule for rule in POLICY.rules if rule.effect == "DENY")
    with pytest.raises(PolicyInvalid):
        translated(msgspec.structs.replace(rule, effect="REVIEW"))


@pytest.mark.parametrize(
    "said",
    [
        {"differ": 1},
        {"PERMIT": 95, "DENY": 5},
        {"PERMIT": 5, "DENY": 95},
        {"fields": 2999},
        {"PERMIT": 0, "DENY": 0, "fields": 0},
    ],
)
def test_a_comparison_that_proves_little_fails_the_run(said: dict[str, int]) -> None:
    """One other answer, one effect only, fewer fields or no case at all: no ratio."""
    well = Counter({"PERMIT": 40, "DENY": 60, "fields": 3000})
    assert failures(well) == []
    assert len(failures(well | Counter(said) if "differ" in said else Counter({**well, **said}))) == 1


@pytest.mark.slow
def test_a_tiny_run_compares_and_measures(ecluse: Run) -> None:
    """Forty cases, one round: one JSON document with positive figures and two ratios."""
    said = ecluse("bench", "--against", "cedarpy", "--cases", 40, "--rounds", 1, "--json")
    assert said.code == 0, said.out
    document = said.document
    assert document["guards"]["hold"] is True
    assert document["guards"]["differ"] == 0
    assert set(document["cpu_us_per_decision"]) == {"ours", "cedarpy", "cedarpy_ready"}
    assert min(*document["cpu_us_per_decision"].values(), *document["ratios"].values()) > 0


@pytest.mark.parametrize("options", [("--cases", 0), ("--cases", 100_001), ("--rounds", 51)])
def test_a_run_without_bounds_is_refused(ecluse: Run, options: tuple[object, ...]) -> None:
    """Wrong usage: exit code 2, nothing is decided."""
    said = ecluse("bench", "--against", "cedarpy", "--json", *options)
    assert said.code == 2
    assert said.document["error"]["code"] == "request-invalid"


def _loaded(document: dict[str, Any]) -> Policy:

    return load_policy(json.dumps(document).encode())
