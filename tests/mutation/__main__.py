"""`make mutation`: every mutant of the release policy and of the guard, tried against the tests of its room.

Prints one JSON document: figures by room and file, and each survivor by its name. Ends with 1 when fewer than `LEAST`
of a room's mutants are killed, or when a dangerous one survives.
"""

from __future__ import annotations

import argparse
import ast
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.mutation.hunt import measured, try_all, warm_up
from tests.mutation.journal import Journal, Outcome
from tests.mutation.mutants import Mutant, mutants
from tests.mutation.suite import CACHE, ROOT

#: Rooms, and the tests that must kill their mutants: their own, nobody else's.
ROOMS = {"gateway/policy": "tests/policy", "gateway/guard": "tests/guard"}

#: Share of a room's mutants that must be killed; a time-out is a kill.
LEAST = 0.95

#: Files that say in words, or prove, what others decide: nothing leaves through them.
TELLING = frozenset(
    f"gateway/policy/{name}.py" for name in ("explain", "invariants", "prove", "smt", "words")
)
#: Where obligations are made and met.
OBLIGING = frozenset({"gateway/policy/redact.py"})

COMPARING = frozenset({"comparison", "function", "calculation"})
DECIDING = frozenset(
    {"and-or", "operand", "sign", "condition", "raise", "result", "statement", "jump", "handler", "case"}
)


def danger(mutant: Mutant) -> str:
    """What a survivor may do at worst, by what was changed and where; empty for the rest.

    Whoever reads a survivor decides, but not that it counts: a changed comparison is weaker, and a changed branch or
    answer of what decides permits, until a test shows otherwise.
    """
    if mutant.operator in COMPARING:
        return "weakens a comparison"
    if mutant.file in TELLING:
        return ""
    if mutant.file in OBLIGING or "Redact" in mutant.before:
        return "drops an obligation"
    if mutant.operator in DECIDING or mutant.before in ("True", "False"):
        return "turns deny into permit"
    return ""


def report(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The figures; ``breaches`` is empty when every room is as good as it must be."""
    counted = [outcome for outcome in outcomes if outcome.fate != "no program"]

    def figures(those: Sequence[Outcome]) -> dict[str, Any]:
        fates = Counter(outcome.fate for outcome in those)
        killed = fates["killed"] + fates["timed out"]
        return {
            "mutants": len(those),
            "killed": killed,
            "of them timed out": fates["timed out"],
            "survived": fates["survived"],
            "open": fates["open"],
            "score": round(killed / len(those), 4),
        }

    def of(prefix: str) -> list[Outcome]:
        return [outcome for outcome in counted if outcome.mutant.file.startswith(prefix)]

    alive = [outcome for outcome in counted if outcome.fate in ("survived", "open")]
    rooms = {room: figures(of(f"{room}/")) for room in ROOMS if of(f"{room}/")}
    survivors = [
        {"name": mutant.name, "danger": danger(mutant), **({"open": True} if fate == "open" else {})}
        for mutant, fate, *_ in alive
    ]
    low = [f"{room}: {each['score']:.1%} killed" for room, each in rooms.items() if each["score"] < LEAST]
    return {
        "rooms": rooms,
        "files": {file: figures(of(file)) for file in sorted({each.mutant.file for each in counted})},
        "survivors": survivors,
        "breaches": low + [f"{each['danger']}: {each['name']}" for each in survivors if each["danger"]],
    }


def main(arguments: Sequence[str]) -> int:
    """The command; returns its exit code."""
    options = _options(arguments)
    began = time.monotonic()
    warm_up()
    outcomes: list[Outcome] = []
    asked = 0
    for room, folder in ROOMS.items():
        files = sorted(str(path.relative_to(ROOT)) for path in (ROOT / room).rglob("*.py"))
        trees = {file: ast.parse((ROOT / file).read_bytes()) for file in files}
        wanted = [
            mutant
            for file, tree in trees.items()
            for lines in _lines(file, tree, options.files)
            for mutant in mutants(tree, file)
            if mutant.line in lines
        ]
        if options.sample:
            wanted = random.Random(options.seed).sample(wanted, min(options.sample, len(wanted)))  # noqa: S311
        if not wanted:
            continue
        asked += len(wanted)
        suite = measured(options.tests or _tests(ROOT / folder), [room], options.jobs)
        if suite.red:
            print(
                json.dumps({"breaches": [f"fails without a mutant: {test}" for test in suite.red]}, indent=1)
            )
            return 1
        journal = Journal(CACHE / f"{folder.replace('/', '-')}.jsonl", suite)
        known = [] if options.report else try_all(trees, wanted, suite, options.jobs, journal)
        outcomes += known or journal.read_again(wanted)
    found = {"asked": asked, **report(outcomes), "seconds": round(time.monotonic() - began, 1)}
    print(json.dumps(found, indent=1, ensure_ascii=False))
    return 1 if found["breaches"] or not outcomes else 0


def _tests(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("test_*.py"))


def _lines(file: str, tree: ast.Module, chosen: Sequence[str]) -> Iterator[range]:
    """The lines of a file that were chosen: all without a choice, a whole file or folder, or one function of a file."""
    if not chosen:
        yield range(1, sys.maxsize)
    for choice in chosen:
        path, _, function = choice.partition(":")
        if not function and file.startswith(path.rstrip("/")):
            yield range(1, sys.maxsize)
        elif file == path:
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef) and node.name == function:
                    yield range(node.lineno, (node.end_lineno or node.lineno) + 1)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("files", nargs="*", help="files, folders or FILE:FUNCTION; none: both rooms")
    parser.add_argument("--sample", type=int, default=0, help="so many mutants of each room; 0: all")
    parser.add_argument("--seed", default="0", help="of the sample")
    parser.add_argument("--jobs", type=int, default=2, help="mutants tried at a time")
    parser.add_argument("--report", action="store_true", help="only what is known, try nothing")
    parser.add_argument("--tests", action="append", help="these files of tests instead of the room's own")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
