"""Loading a policy: strict, hashed, and old versions beside new ones."""

import json
from typing import Any

import pytest

from gateway.errors import PolicyInvalid
from gateway.policy.document import MAX_DOCUMENT_BYTES
from gateway.policy.expr import facts_of
from gateway.policy.facts import FACTS
from gateway.policy.rules import load_policy
from tests.policy.worlds import POLICY, policy_document

RULE: dict[str, Any] = {
    "id": "one",
    "version": 1,
    "scope": "release",
    "source_kind": "house",
    "article": "release policy",
    "condition": ["const", True],
    "effect": "DENY",
    "message_id": "one",
}


def raw(*rules: dict[str, Any], **members: Any) -> bytes:
    return json.dumps({"version": "t-1", "note": "", "rules": [*rules], **members}).encode()


def test_the_smallest_policy_loads() -> None:
    """One rule is a policy; without `applies` it applies always."""
    policy = load_policy(raw(RULE))
    assert (policy.version, [rule.id for rule in policy.rules]) == ("t-1", ["one"])
    assert len(policy.release_rules) == 1
    assert policy.field_rules == ()


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(raw(), id="no rules"),
        pytest.param(raw(RULE, RULE), id="one id twice"),
        pytest.param(raw(RULE, more=1), id="an unknown member"),
        pytest.param(raw({**RULE, "more": 1}), id="an unknown member of a rule"),
        pytest.param(raw({**RULE, "id": ""}), id="an empty id"),
        pytest.param(raw({**RULE, "article": ""}), id="no source"),
        pytest.param(raw({**RULE, "version": 0}), id="version zero"),
        pytest.param(raw({**RULE, "version": True}), id="a truth as version"),
        pytest.param(raw({**RULE, "effect": "ALLOW"}), id="an unknown effect"),
        pytest.param(raw({**RULE, "scope": "partner"}), id="an unknown scope"),
        pytest.param(raw({**RULE, "source_kind": "custom"}), id="an unknown source kind"),
        pytest.param(raw({**RULE, "condition": ["fact", "unheard-of"]}), id="an unknown fact"),
        pytest.param(raw({**RULE, "scope": "field", "at": "text.withheld"}), id="places of a field rule"),
        pytest.param(raw({**RULE, "at": "unheard-of"}), id="places by an unknown fact"),
        pytest.param(raw({**RULE, "at": "field.handling_codes"}), id="places by a fact of a field"),
        pytest.param(raw({**RULE, "at": "kind.graded"}), id="places by a truth"),
        pytest.param(raw({**RULE, "applies": {"const": 1, "x": True}}), id="an object for a tree"),
        pytest.param(raw({**RULE, "applies": None}), id="null for a tree"),
        pytest.param(raw({key: RULE[key] for key in RULE if key != "condition"}), id="no condition"),
        pytest.param(b'{"version": "1", "version": "2", "note": "", "rules": []}', id="a member twice"),
        pytest.param(raw({**RULE, "version": 1.0}), id="a fraction"),
        pytest.param(raw(RULE).replace(b'"t-1"', b"NaN"), id="NaN"),
        pytest.param(b"\xef\xbb\xbf" + raw(RULE), id="a byte order mark"),
        pytest.param(raw(RULE) + b"{}", id="trailing bytes"),
        pytest.param(b'"\xff"', id="no UTF-8"),
        pytest.param(b"[" * 100_000, id="nested without end"),
        pytest.param(b" " * MAX_DOCUMENT_BYTES + raw(RULE), id="too many bytes"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"[]", id="no object"),
    ],
)
def test_a_broken_policy_is_refused(document: bytes) -> None:
    """Every flaw is a `PolicyInvalid` at load; nothing is assumed in its place."""
    with pytest.raises(PolicyInvalid):
        load_policy(document)


def test_the_rule_at_fault_is_named() -> None:
    """The operator learns which rule does not load."""
    with pytest.raises(PolicyInvalid) as caught:
        load_policy(raw({**RULE, "condition": ["fact", "unheard-of"]}))
    assert caught.value.diagnostic == {"rule": "one"}


def test_the_digest_is_over_meaning_not_spelling() -> None:
    """RFC 8785: space and member order change nothing, any content does."""
    spelled = json.dumps(policy_document(), indent=7, sort_keys=True).encode()
    assert load_policy(spelled).sha256 == POLICY.sha256
    other = policy_document()
    other["rules"][0]["version"] += 1
    assert load_policy(json.dumps(other).encode()).sha256 != POLICY.sha256


def test_versions_live_side_by_side() -> None:
    """Loading another policy changes nothing in one already loaded."""
    before = POLICY.sha256
    assert load_policy(raw(RULE)).sha256 != before
    assert POLICY.sha256 == before
    assert len(POLICY.rules) > 1


def test_every_fact_is_used_and_no_house_rule_cites_an_article() -> None:
    """The list of facts is finite and needed; a house rule cites our policy, a law or treaty its article."""
    used = frozenset[str]().union(
        *(facts_of(rule.applies) | facts_of(rule.condition) for rule in POLICY.rules)
    )
    assert used == set(FACTS)
    for rule in POLICY.rules:
        assert rule.article.startswith("release policy: ") == (rule.source_kind == "house"), rule.id
        cited = " art. " in rule.article or " annex " in rule.article
        assert cited == (rule.source_kind == "law"), rule.id


def test_class_x_has_no_permit() -> None:
    """No PERMIT rule of the field scope applies to class X."""
    permits = {rule.id for rule in POLICY.rules if rule.effect == "PERMIT"}
    assert permits == {"release.permit", "class.A", "class.B", "class.C"}
