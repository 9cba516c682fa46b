"""The tests of a room, and which of them reach which line: run once for each state of the tree, then kept in a file."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path

import coverage
import hypothesis
import msgspec
import pytest

ROOT = Path(__file__).resolve().parents[2]

#: Where maps of coverage and fates of mutants are kept; ignored by git.
CACHE = ROOT / ".mutation_cache"

#: Drawn examples of one test while others have not been asked yet; those that ask for fewer keep their number.
FEW = 20

#: Seconds of all tests together that are asked at first.
FIRST = 4.0

#: A mutant's plan: tests in the order they are run, each with whether it draws only a `FEW` examples.
Plan = list[tuple[str, bool]]


class Suite(msgspec.Struct):
    """Tests, each with the seconds it took with a `FEW` examples, and for each line of a product file the tests that
    reach it."""

    seconds: dict[str, float] = {}
    reach: dict[str, dict[int, list[str]]] = {}
    drawn: dict[str, int] = {}  # tests that draw more than a few examples: how many times as many
    seen: list[str] = []  # files that were read, by their path from the root
    red: list[str] = []

    def add(self, other: Suite) -> None:
        """Take in the tests of another file."""
        self.seconds |= other.seconds
        self.drawn |= other.drawn
        self.seen = sorted({*self.seen, *other.seen})
        self.red += other.red
        for file, lines in other.reach.items():
            mine = self.reach.setdefault(file, {})
            for line, tests in lines.items():
                mine[line] = sorted({*mine.get(line, ()), *tests})

    def plan(self, file: str, lines: range, kills: Mapping[str, int], first: bool, at_import: bool) -> Plan:
        """The tests in the order in which they are likely to see a change of these lines. At first those that reach
        one of them, for `FIRST` seconds, the quickest first and sooner the more mutants of the file it killed. Then
        all that reach one; and those that draw examples, as many as they ask for, if they reach the file: more may
        reach more.

        The rest has a say only where it is `at_import` that the change is made: then what any test was given may have
        been made there.
        """
        reach = self.reach.get(file, {})
        near = {test for line in lines for test in reach.get(line, ())}
        same = {test for tests in reach.values() for test in tests} - near
        rest = self.seconds.keys() - near - same

        def ordered(tests: set[str]) -> list[str]:
            return sorted(tests, key=lambda test: (self.seconds[test] / (1 + kills.get(test, 0)), test))

        if first:
            tests = ordered(near or same)
            until = accumulate(self.seconds[test] for test in tests)
            return [(test, True) for test, seconds in zip(tests, until, strict=True) if seconds <= FIRST]
        few = [
            (test, True) for tests in (near, same, rest)[: 3 if at_import else 1] for test in ordered(tests)
        ]
        return few + [(test, False) for test in ordered((near | same) & self.drawn.keys())]

    def limit(self, test: str, few: bool) -> float:
        """Seconds of processor time after which a test is a loop."""
        usual = self.seconds.get(test, 1.0) * (1 if few else self.drawn.get(test, 1))
        return 4.0 + 8.0 * usual


def digest(files: Sequence[str]) -> str:
    """Of what stands in these files, data of the product included."""
    found = hashlib.sha256()
    for file in sorted({*files, *_data(ROOT / "schemas")}):
        path = ROOT / file
        found.update(f"{file}\0".encode())
        found.update(hashlib.sha256(path.read_bytes()).digest() if path.exists() else b"")
    return found.hexdigest()


def _data(folder: Path) -> Iterator[str]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc"))
    yield from (str(path.relative_to(ROOT)) for path in found)


def run(tests: Sequence[str], *plugins: object) -> int:
    """pytest over files, in this process; its exit code."""
    quiet = ["-q", "--tb=no", "--no-header", "--no-summary", "-p", "no:cacheprovider", "-p", "no:xdist"]
    quiet += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # hypothesis is imported already
    here = [f"--config-file={ROOT / 'pyproject.toml'}", f"--rootdir={ROOT}"]
    return int(pytest.main([*quiet, *here, *tests], plugins=plugins))


def identity(item: pytest.Item) -> str:
    """The test by its file, wherever that lies, and its name."""
    return f"{item.path}::{item.nodeid.partition('::')[2]}"


def draw(item: pytest.Item, few: bool) -> int:
    """Set how many examples a test draws; returns how many times as many as a few it would draw otherwise, 0 if none.

    Examples are the same in each run, none is remembered, a failure is enough without the smallest one, and a busy
    machine kills nothing.
    """
    test = getattr(item, "obj", None)
    if not getattr(test, "is_hypothesis_test", False):
        return 0
    own = vars(item).setdefault("own_settings", getattr(test, "_hypothesis_internal_use_settings", None))
    wanted = (own or hypothesis.settings()).max_examples
    test._hypothesis_internal_use_settings = hypothesis.settings(  # type: ignore[union-attr]
        own,
        max_examples=min(FEW, wanted) if few else wanted,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    )
    return -(-wanted // FEW)


class Watch:
    """Takes the time of each test, and tells the coverage whose lines run."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self._measured, self.suite = measured, Suite()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        times = draw(item, few=True)
        if times > 1:
            self.suite.drawn[identity(item)] = times
        self._measured.switch_context(identity(item))
        began = time.process_time()
        try:
            return (yield)
        finally:
            self.suite.seconds[identity(item)] = round(time.process_time() - began, 4)
            self._measured.switch_context("")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.suite.red.append(report.nodeid)


def measure(tests: str, rooms: Sequence[str]) -> Suite:
    """Run a file of tests once without a mutant. Imports the product: in a process of its own."""
    measured = coverage.Coverage(
        data_file=None, config_file=False, include=[f"{ROOT / room}/*" for room in rooms]
    )
    measured.set_option("run:core", "ctrace")  # the one that tells contexts apart on every Python
    watch = Watch(measured)
    measured.start()
    code = run([tests], watch)
    measured.stop()
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED) and not watch.suite.red:
        watch.suite.red.append(f"pytest ended with {code}")
    data = measured.get_data()
    for path in data.measured_files():
        file = str(Path(path).relative_to(ROOT))
        watch.suite.reach[file] = {
            line: sorted(filter(None, names)) for line, names in data.contexts_by_lineno(path).items()
        }
    loaded = {
        Path(str(each)) for module in [*sys.modules.values()] if (each := getattr(module, "__file__", ""))
    }
    tops = [ROOT / top for top in ("gateway", "adapters", "schemas", "certs", "tests")]
    loaded = {path for path in loaded if Path(__file__).parent not in path.parents}  # a harness is no test
    seen = [path for path in loaded if any(path.is_relative_to(top) for top in tops)]
    beside = Path(tests).parent.glob("*.json")
    watch.suite.seen = sorted(
        str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path) for path in (*seen, *beside)
    )
    return watch.suite
