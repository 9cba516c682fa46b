"""The harness tells a tested line from one that is only run, and a sample of what decides survives nothing."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.mutation.hunt import changed
from tests.mutation.journal import Journal, Outcome
from tests.mutation.mutants import Mutant, mutants
from tests.mutation.suite import ROOT, Plan, Suite

#: Runs every line of `refusal.py` and looks at nothing that comes back but the type.
WEAK = """
from gateway.errors import GuardRefused
from gateway.guard.refusal import refuse

def test_weak() -> None:
    assert isinstance(refuse("size", "x"), GuardRefused)
"""


def hunt(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Run the harness by its command; its exit code and its document."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.mutation", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.slow
def test_a_weak_test_lets_mutants_live_and_they_are_named(tmp_path: Path) -> None:
    """What the weak test does not look at survives by name; a mutant that does not even return one is killed."""
    (tmp_path / "test_weak.py").write_text(WEAK)
    code, found = hunt("gateway/guard/refusal.py", "--jobs", "1", "--tests", str(tmp_path / "test_weak.py"))
    names = [survivor["name"] for survivor in found["survivors"]]
    assert code == 1
    assert any(":constant: 'payload' -> 'payload~q'" in name for name in names)
    assert not any(":result: " in name for name in names)
    assert found["breaches"][0].startswith("gateway/guard: ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("places", "tests"),
    [
        (
            ["gateway/policy/decide.py:decide", "gateway/policy/decide.py:judge"],
            ["tests/policy/test_decide.py", "tests/policy/test_once.py"],
        ),
        (
            ["gateway/guard/labels.py:require_sendable", "gateway/guard/labels.py:_require_one"],
            ["tests/guard/test_release.py", "tests/guard/test_leaks.py"],
        ),
    ],
)
def test_a_sample_of_what_decides_is_killed(places: list[str], tests: list[str]) -> None:
    """Fifteen mutants drawn from the rule combiner, and as many from the guard's look at labels: none lives."""
    named = [word for test in tests for word in ("--tests", test)]
    code, found = hunt(*places, "--sample", "15", "--seed", "1", "--jobs", "1", *named)
    assert found["survivors"] == []
    assert code == 0


@pytest.mark.parametrize(
    ("source", "after"),
    [
        ("a = x < 3", {"x <= 3", "x >= 3", "4", "2", "a = None"}),
        (
            "return x and not y",
            {"x or not y", "x", "not y", "y", "return None", "return True", "return False"},
        ),
        (
            "if x:\n    raise Wrong('two words', where='here')",
            {"if True:", "if False:", "nothing", "'here~q'", "Wrong('two words')"},
        ),
        ("keep(1, cause=2)", {"nothing", "keep(cause=2)", "keep(1)", "2", "0", "3", "1"}),
        ("for x in y:\n    continue", {"for x in ():", "break", "nothing"}),
        ("a = b[1:n]", {"b[:n]", "b[1:]", "2", "0", "a = None"}),
        ("a = [x for x in y if x]", {"[x for x in y]", "a = None"}),
        ("a = max(b)", {"min(b)", "max()", "a = None"}),
    ],
)
def test_a_place_is_changed_in_each_way(source: str, after: set[str]) -> None:
    """The mutants of a line are these and no others."""
    assert {mutant.after for mutant in mutants(ast.parse(source), "x.py")} == after


@pytest.mark.parametrize(
    "source",
    [
        '"""Said."""',
        "from a import b",
        "__all__ = ['a']",
        "T = TypeVar('T')",
        "Kind = Literal['a', 'b']",
        "def f(x: 'int' = y) -> 'str': pass",
        "@cache\ndef f(): pass",
        "class A(B, frozen=True): pass",
        "_USUAL_NAME = compile(x)",
    ],
)
def test_what_no_test_could_see_is_left_alone(source: str) -> None:
    """Docstrings, imports, types, caches, and what stops only a programmer have no mutants."""
    assert list(mutants(ast.parse(source), "x.py")) == []


def test_the_tests_that_reach_a_line_are_tried_first() -> None:
    """Quick tests first, sooner those that killed before; many examples last; where a change is made at import, all
    the other tests between them. At first only the quick ones that reach it."""
    suite = Suite(
        seconds={"a": 4.0, "b": 0.1, "c": 0.5, "d": 0.4, "e": 0.3},
        reach={"x.py": {4: ["a", "c", "e"], 5: ["b"]}},
        drawn={"a": 5},
    )

    def plan(
        line: int, *, kills: dict[str, int] | None = None, first: bool = False, at_import: bool = False
    ) -> Plan:
        return suite.plan("x.py", range(line, line + 1), kills or {}, first, at_import)

    few, many = [("e", True), ("c", True), ("a", True)], [("a", False)]
    assert plan(4) == few + many
    assert plan(4, kills={"a": 99})[0] == ("a", True)
    assert plan(4, at_import=True) == [*few, ("b", True), ("d", True), *many]
    assert plan(4, first=True) == [("e", True), ("c", True)]
    assert plan(5) == [("b", True), ("a", False)]


def test_only_functions_that_differ_get_new_code() -> None:
    """The one with the change in its own lines, and those around it; what only stands beside it stays."""
    source = "def beside(): return 1\ndef around():\n    def inside(): return 2\n    return inside\n"
    tree = ast.parse(source)
    (mutant,) = (each for each in mutants(tree, "x.py") if each.after == "3")
    before = compile(tree, "x.py", "exec")
    after = compile(mutant.plant(tree), "x.py", "exec")
    assert [(old.co_name, own) for old, _, own in changed(before, after)] == [
        ("<module>", False),
        ("around", False),
        ("inside", True),
    ]


def test_a_table_changes_in_the_module_itself() -> None:
    """A constant outside functions has run when the first test starts: its mutant goes the long way."""
    tree = ast.parse("TABLE = (1,)\ndef f(): return TABLE")
    mutant = next(each for each in mutants(tree, "x.py") if each.after == "2")
    before = compile(tree, "x.py", "exec")
    (changes,) = changed(before, compile(mutant.plant(tree), "x.py", "exec"))
    assert (changes[0].co_name, changes[2]) == ("<module>", True)


def a_mutant(source: str = "return 4") -> Mutant:
    """The first mutant of a line."""
    return next(mutants(ast.parse(source), "x.py"))


def test_a_fate_is_known_while_what_it_stands_on_is_as_it_was(tmp_path: Path) -> None:
    """A survivor is tried again when any test changes, a killed one only when the file that
    killed it does."""
    killing, other = tmp_path / "test_a.py", tmp_path / "test_b.py"
    for file in (killing, other):
        file.write_text("")
    killed, survived = (
        Outcome(a_mutant(), "killed", f"{killing}::f"),
        Outcome(a_mutant("return 5"), "survived"),
    )

    def known() -> list[bool]:
        journal = Journal(tmp_path / "journal", Suite(seen=[str(killing), str(other), "gateway/errors.py"]))
        return [journal.of(outcome.mutant) is not None for outcome in (killed, survived)]

    first = Journal(tmp_path / "journal", Suite(seen=[str(killing), str(other), "gateway/errors.py"]))
    first.write(killed)
    first.write(survived)
    assert known() == [True, True]
    other.write_text("more")
    assert known() == [True, False]
    killing.write_text("more")
    assert known() == [False, False]


def test_another_product_knows_no_fate(tmp_path: Path) -> None:
    """What was found in other code is tried again, by the tests that killed there first."""
    mutant = a_mutant()
    Journal(tmp_path / "journal", Suite(seen=["gateway/errors.py"])).write(
        Outcome(mutant, "killed", "test_a.py::f")
    )
    journal = Journal(tmp_path / "journal", Suite(seen=["gateway/ids.py"]))
    assert journal.of(mutant) is None
    assert journal.kills["x.py"]["test_a.py::f"] == 1
