"""Trees in words: every rule of the policy, every node, in four languages, and nothing of it lost."""

from __future__ import annotations

import pytest

from gateway.errors import PolicyInvalid, RequestInvalid
from gateway.model.decision import FieldOutcome
from gateway.policy.explain import LANGUAGES, explain_field
from gateway.policy.expr import Node, Not, facts_of, parse_condition
from gateway.policy.facts import FACTS
from gateway.policy.words import words
from tests.policy.worlds import POLICY


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_rule_has_words(language: str) -> None:
    """Each tree names each of its facts; the four languages differ where there is anything to say."""
    for rule in POLICY.rules:
        for tree in (rule.applies, rule.condition):
            said = "\n".join(words(tree, language))
            assert said
            assert all(fact in said for fact in facts_of(tree)), rule.id
    always = {words(POLICY.rules[0].applies, each) for each in LANGUAGES}
    assert len(always) == len(LANGUAGES)


def test_two_rules_have_two_texts() -> None:
    """What differs is said differently: no two conditions over the same facts read alike."""
    seen: dict[tuple[str, ...], str] = {}
    for rule in POLICY.rules:
        text = (*words(rule.applies, "en"), "when", *words(rule.condition, "en"))
        other = seen.setdefault(text, rule.id)
        same = next(one for one in POLICY.rules if one.id == other)
        assert (same.applies, same.condition) == (rule.applies, rule.condition), (other, rule.id)


@pytest.mark.parametrize(
    ("tree", "lines"),
    [
        (["const", True], ["always"]),
        (["not", ["known", ["fact", "field.tlp"]]], ["field.tlp is unknown"]),
        (["eq", ["fact", "field.tlp"], ["const", "RED"]], ["field.tlp is “RED”"]),
        (["in", ["fact", "field.class"], ["const", ["B", "A"]]], ["field.class is among {A, B}"]),
        (
            ["any", ["fact", "record.embargoed"], ["not", ["lt", ["fact", "person.min_age"], ["const", 12]]]],
            [
                "at least one of these:",
                "  record.embargoed",
                "  not this:",
                "    person.min_age < 12",
            ],
        ),
        (
            ["eq", ["known", ["fact", "field.tlp"]], ["fact", "record.embargoed"]],
            ["(field.tlp is known) is record.embargoed"],
        ),
    ],
)
def test_a_tree_reads_as_it_is(tree: object, lines: list[str]) -> None:
    """What belongs together is indented; sets are in order."""
    assert list(words(parse_condition(tree, "field", FACTS), "en")) == lines


def test_a_node_of_an_unknown_kind_is_refused() -> None:
    """Nothing is left out of what is shown."""

    class Strange(Node, frozen=True):
        pass

    with pytest.raises(PolicyInvalid):
        words(Not(Strange()), "en")


def test_a_field_is_explained_with_its_rule() -> None:
    """Sentence, rule, source and pointer in one line; in no other language than the four."""
    field = FieldOutcome("/health", "withheld", "class.X", 1, "house", "release policy: class X never leaves")
    line = explain_field(field, "en")
    assert line.endswith("(class.X/1; house: release policy: class X never leaves; /health)")
    for language in ("es", ""):
        with pytest.raises(RequestInvalid):
            words(POLICY.rules[0].applies, language)
