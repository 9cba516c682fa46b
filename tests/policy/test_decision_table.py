"""The decision table: each rule as the sole reason of a denial, and next to it the case that is just permitted.

`decision_table.json` is written to be read by a lawyer. A row says which rule speaks, when (``set``, ``remove`` and
``approver`` change the permitted baseline, ``fusion`` makes the partner a fusion centre, ``of`` takes a record of
another kind), and what is different in the near miss (``but``, ``near``; ``near_of`` where it is of another kind). With
``withheld`` the rule keeps one field back; without it the rule denies the release, or has it wait for a person
(``effect`` REVIEW). ``error`` names the fact whose absence denied.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.policy.decide import decide
from gateway.policy.redact import released
from tests.policy.worlds import FUSION_CENTRE, KIND, OTHERS, POLICY, approver, policy_without, world, world_of

TABLE: list[dict[str, Any]] = json.loads(Path(__file__).with_name("decision_table.json").read_text("utf-8"))
ROWS = [pytest.param(row, id=f"{row['rule']}: {row['when']}") for row in TABLE]

#: PERMIT rules that hold the baseline up: they deny by saying nothing, and have tests of their own.
BY_SILENCE = {"release.permit", "class.A"}


def spoken(row: dict[str, Any]) -> Any:
    """The row's world."""
    return _world(row, row.get("of"), row.get("set", {}), row.get("approver"), row.get("remove", ()))


def near_miss(row: dict[str, Any]) -> Any:
    """The world of the row's near miss."""
    of = row.get("near_of", row.get("of"))
    return _world({"fusion": row.get("near_fusion")}, of, row["near"], row.get("near_approver"))


def _world(row: dict[str, Any], of: str | None, changes: dict[str, Any], patch: Any, remove: Any = ()) -> Any:
    start = (world_of(of) if of else {}) | (FUSION_CENTRE if row.get("fusion") else {})
    return world(_with_approver({**start, **changes}, patch), remove, of=OTHERS[of][0] if of else KIND)


def _with_approver(changes: dict[str, Any], patch: dict[str, Any] | None) -> dict[str, Any]:
    if patch is not None:
        roles = changes.pop("officers.0.roles", ["requester"])
        requester = approver(id="be-requester", person="person-be-requester", roles=roles)
        changes["officers"] = [requester, approver(**patch)]
    return changes


@pytest.mark.parametrize("row", ROWS)
def test_the_rule_is_the_sole_reason(row: dict[str, Any]) -> None:
    """The named rule, and no other, denies the release or withholds the field; its source stands in the reason."""
    decision = decide(POLICY, spoken(row))
    rule = next(rule for rule in POLICY.rules if rule.id == row["rule"])
    if "withheld" in row:
        assert decision.effect == row.get("effect", "PERMIT")
        outcome = next(field for field in decision.fields if field.pointer == row["withheld"])
        assert (outcome.outcome, outcome.rule, outcome.article) == ("withheld", rule.id, rule.article)
    else:
        assert decision.effect == row.get("effect", "DENY")
        assert [reason.rule for reason in decision.reasons] == [rule.id]
        assert decision.reasons[0].article == rule.article
        assert decision.reasons[0].error == row.get("error", "")
        assert released(decision) == ()
        assert decision.obligations == ()


@pytest.mark.parametrize("row", ROWS)
def test_the_near_miss_is_permitted(row: dict[str, Any]) -> None:
    """What differs by the named circumstance alone is permitted, and the field in question leaves."""
    decision = decide(POLICY, near_miss(row))
    assert (decision.effect, [reason.rule for reason in decision.reasons]) == ("PERMIT", ["release.permit"])
    if "withheld" in row:
        assert row.get("released", row["withheld"]) in decision.released


#: Rows that other rules hold as well, so that the policy does not hang on one line.
HELD_TWICE = {
    "there is no agreement at all",
    "neither names a legal basis, and fields of every class would be due",
    "the kind does not know the field",
    "the transfer rests on a derogation that nobody recorded",
}


@pytest.mark.parametrize("row", ROWS)
def test_without_the_rule_nothing_else_would_stop_it(row: dict[str, Any]) -> None:
    """Take the rule out of the policy and the release goes through, or the field leaves unless no permit names it:
    no other rule was hiding behind it."""
    decision = decide(policy_without(row["rule"]), spoken(row))
    if row["when"] in HELD_TWICE:
        assert row.get("withheld") not in decision.released
        assert "withheld" in row or decision.effect == "DENY"
    elif "withheld" in row:
        outcome = next(field for field in decision.fields if field.pointer == row["withheld"])
        silent = (
            "default.deny",
            "class.A",
        )  # class X and unknown fields have no permit; classes B and C lost theirs
        assert outcome.outcome == "released" or outcome.rule in silent
    else:
        assert decision.effect == "PERMIT"


def test_every_rule_has_its_rows() -> None:
    """No rule of the shipped policy is without a row, and no row without its rule."""
    assert {row["rule"] for row in TABLE} == {rule.id for rule in POLICY.rules} - BY_SILENCE
