"""What became of each mutant, a line of JSON as it ends: a run that was cut short goes on where it stopped, and tests
that were added are tried on the survivors only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from tests.mutation.mutants import Mutant
from tests.mutation.suite import Suite, digest

#: Open: no quick test kills it, and the others were not asked yet.
Fate = Literal["killed", "timed out", "survived", "open", "no program"]


class Outcome(NamedTuple):
    """What became of a mutant, the test that killed it, and the seconds it took."""

    mutant: Mutant
    fate: Fate
    killer: str = ""
    seconds: float = 0.0


class Line(msgspec.Struct, omit_defaults=True):
    """One mutant's end. A fate holds for the product it was found in, and for what the tests were."""

    mutant: str
    product: str
    tests: str
    fate: Fate
    killer: str = ""
    seconds: float = 0.0


class Journal:
    """The fates of a room's mutants that are known for the tree as it is."""

    def __init__(self, path: Path, suite: Suite) -> None:
        tests = {file for file in suite.seen if file.startswith(("tests/", "/"))}
        self._helpers = sorted(file for file in tests if not Path(file).name.startswith("test_"))
        self._path = path
        self._of_file: dict[str, str] = {}
        self._product = digest([file for file in suite.seen if file not in tests])
        self._tests = digest(sorted(tests))
        #: How many mutants of a file each test has killed.
        self.kills: dict[str, Counter[str]] = {}
        self._known: dict[str, Line] = {}
        if path.exists():
            for text in path.read_bytes().splitlines():
                self._take(msgspec.json.decode(text, type=Line))

    def _take(self, line: Line) -> None:
        if line.killer:
            self.kills.setdefault(line.mutant.partition(":")[0], Counter())[line.killer] += 1
        if line.product == self._product and line.tests == self._asked(line.fate, line.killer):
            self._known[line.mutant] = line

    def _asked(self, fate: Fate, killer: str) -> str:
        """The digest of the tests a fate stands on: all, or the file that killed and what it is helped by."""
        if not killer:
            return self._tests
        file = killer.partition("::")[0]
        if file not in self._of_file:
            self._of_file[file] = digest([file, *self._helpers])
        return self._of_file[file]

    def of(self, mutant: Mutant) -> Outcome | None:
        """Its outcome if that is known."""
        line = self._known.get(mutant.name)
        return Outcome(mutant, line.fate, line.killer, line.seconds) if line else None

    def write(self, outcome: Outcome) -> None:
        """Keep an outcome."""
        mutant, fate, killer, seconds = outcome
        line = Line(mutant.name, self._product, self._asked(fate, killer), fate, killer, seconds)
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(line) + b"\n")
        self._known[mutant.name] = line

    def read_again(self, of: Sequence[Mutant]) -> list[Outcome]:
        """What is known of these by now, whoever wrote it."""
        for text in self._path.read_bytes().splitlines() if self._path.exists() else ():
            self._take(msgspec.json.decode(text, type=Line))
        return [outcome for mutant in of if (outcome := self.of(mutant))]
