"""What each language says of each kind of tree, frame and term, in full: a file that its readers correct, not the code.

A word changed in the code fails here until somebody who reads that language has changed it in ``spoken.json``, too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.model.decision import IdleLift, Reason
from gateway.policy.explain import LANGUAGES, explain, explain_lift, explain_rule, word
from gateway.policy.expr import parse_condition
from gateway.policy.facts import FACTS
from gateway.policy.words import words

SPOKEN = Path(__file__).with_name("spoken.json")

LEVEL, TLP, CLASSES, CODES = (
    ["fact", name] for name in ("field.level", "field.tlp", "agreement.lifts", "field.handling_codes")
)

#: One tree of each kind of node.
TREES: dict[str, Any] = {
    "always": ["const", True],
    "never": ["const", False],
    "holds": ["fact", "record.embargoed"],
    "fails": ["not", ["fact", "record.embargoed"]],
    "known": ["known", TLP],
    "unknown": ["not", ["known", TLP]],
    "not": ["not", ["eq", TLP, ["const", "RED"]]],
    "all": ["all", ["known", TLP], ["fact", "record.embargoed"]],
    "any": ["any", ["known", TLP], ["fact", "record.embargoed"]],
    **{name: [name, LEVEL, ["const", 2]] for name in ("eq", "ne", "lt", "le", "gt", "ge")},
    "in": ["in", TLP, ["const", ["AMBER", "RED"]]],
    "subset": ["subset", CODES, CLASSES],
    "intersects": ["intersects", CODES, CLASSES],
}

TERMS = ("field", "rule", "source", "article", "released", "withheld", "preview", "another term")


def reason(article: str, *, error: str = "", version: int = 1) -> Reason:
    return Reason("label.tlp", version, "DENY", "house", article, "label.tlp", "/sex", error)


def said(language: str) -> dict[str, Any]:
    """Everything that is said in this language, but the messages of the rules."""
    return {
        "trees": {
            name: list(words(parse_condition(tree, "field", FACTS), language)) for name, tree in TREES.items()
        },
        "terms": {term: word(term, language) for term in TERMS},
        "reason": explain(reason("an article"), language),
        "unread": explain(reason("an article [M]"), language),
        "error": explain(reason("an article", error="field.tlp"), language),
        "unknown rule": explain_rule("no.such-rule", language),
        "lift": explain_lift(IdleLift("/health", "lift.unknown"), language),
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_is_said_as_its_readers_left_it(language: str) -> None:
    """Word for word."""
    assert said(language) == json.loads(SPOKEN.read_bytes())[language]
