"""The page of the policy is written from the files that decide, and says of each rule where it comes from."""

import pytest

from docs import policy_table
from gateway.policy.explain import messages
from tests.policy.worlds import POLICY

PAGE = policy_table.PAGE.read_text("utf-8")


def test_the_page_shows_the_policy() -> None:
    """`make docs` has nothing to do: page, rules and equivalences agree."""
    assert policy_table.redrawn(PAGE) == PAGE


def test_every_rule_is_on_the_page() -> None:
    """One line a rule: id and version, scope, effect, and the English sentence."""
    lines = {line.split("`")[1]: line for line in PAGE.splitlines() if line.startswith("| `")}
    for rule in POLICY.rules:
        line = lines[rule.id]
        assert f"| `{rule.id}` {rule.version} | {rule.scope} |" in line
        assert f"| {rule.effect} | {rule.source_kind}: " in line
        assert messages()[rule.message_id]["en"] in line
        assert (policy_table.UNVERIFIED in line) == rule.article.endswith("[M]")


def test_an_old_page_is_noticed() -> None:
    """A page that calls a denial a permit is not what would be written."""
    old = PAGE.replace("| DENY | law: ", "| PERMIT | law: ", 1)
    assert old != PAGE
    assert policy_table.redrawn(old) == PAGE


def test_a_page_without_markers_is_refused() -> None:
    """The tables are never silently left out."""
    with pytest.raises(SystemExit, match="markers"):
        policy_table.redrawn("# The release policy\n")


@pytest.mark.parametrize(
    ("tree", "line"),
    [
        (["const", ["a", "b"]], "{a, b}"),
        (["not", ["known", ["fact", "x.y"]]], "`x.y` is not known"),
        (["not", ["all", ["fact", "a"], ["fact", "b"]]], "not (`a` and `b`)"),
        (["in", ["const", "H1"], ["fact", "codes"]], '"H1" in `codes`'),
        (["gt", ["fact", "n"], ["const", 0]], "`n` > 0"),
    ],
)
def test_a_condition_in_words(tree: object, line: str) -> None:
    """Operators stand between what they compare; what is nested stands in brackets."""
    assert policy_table.words(tree) == line


def test_an_operator_that_nobody_can_read_is_refused() -> None:
    """A tree of another form is not guessed at."""
    with pytest.raises(SystemExit, match="cannot be read"):
        policy_table.words({"gt": 1})
