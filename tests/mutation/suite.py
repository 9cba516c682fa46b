"""The tests of a room, and which of them reach which line: run once for each state of the tree, then kept in a file."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import coverage
import hypothesis
import msgspec
import pytest

ROOT = Path(__file__).resolve().parents[2]

#: Where maps of coverage are kept; ignored by git.
CACHE = ROOT / ".mutation_cache"

#: Drawn examples are the same in each run, none is remembered, a failure is enough without the smallest one, and a
#: busy machine kills nothing.
hypothesis.settings.register_profile(
    "mutation",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)


class Suite(msgspec.Struct):
    """Tests, each with the seconds it took, and for each line of a product file the tests that reach it."""

    seconds: dict[str, float] = {}
    reach: dict[str, dict[int, list[str]]] = {}
    red: list[str] = []

    def plan(self, file: str, lines: range) -> list[list[str]]:
        """Every test, by file of tests, in the order in which they are likely to see a change of these lines: those
        that reach one of them, the quickest file first, those that reach another line of their file, and the rest.

        None is left out: what runs at import, or is remembered from one test for the next, is reached by more tests
        than were seen to.
        """
        reach = self.reach.get(file, {})
        near = {test for line in lines for test in reach.get(line, ())}
        same = {test for tests in reach.values() for test in tests} - near
        rest = self.seconds.keys() - near - same
        return [*self._by_file(near), *self._by_file(same), *self._by_file(rest)]

    def _by_file(self, found: Collection[str]) -> list[list[str]]:
        files: dict[str, list[str]] = {}
        for test in found:
            files.setdefault(test.partition("::")[0], []).append(test)
        return sorted(files.values(), key=lambda tests: sum(self.seconds[test] for test in tests))


def state(tests: Sequence[str]) -> str:
    """The digest of all that the tests can see."""
    digest = hashlib.sha256()
    seen = [ROOT / "gateway", ROOT / "schemas", Path(__file__), *((ROOT / name) for name in tests)]
    for path in sorted(path for top in seen for path in ((top,) if top.is_file() else top.rglob("*"))):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(f"{path}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def run(tests: Sequence[str], *plugins: object) -> int:
    """pytest over files, in this process, up to the first failure; its exit code."""
    hypothesis.settings.load_profile("mutation")
    quiet = ["-q", "-x", "--tb=no", "--no-header", "--no-summary", "-p", "no:cacheprovider", "-p", "no:xdist"]
    quiet += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # hypothesis is imported already
    here = [f"--config-file={ROOT / 'pyproject.toml'}", f"--rootdir={ROOT}"]
    return int(pytest.main([*quiet, *here, *tests], plugins=plugins))


def identity(item: pytest.Item) -> str:
    """The test by its file, wherever that lies, and its name."""
    return f"{item.path}::{item.nodeid.partition('::')[2]}"


class Only:
    """Runs these tests and such as nobody knew before; a test that is gone under a mutant kills nothing."""

    def __init__(self, wanted: Sequence[str], known: dict[str, float]) -> None:
        self._wanted, self._known = {*wanted}, known

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [
            item for item in items if identity(item) in self._wanted or identity(item) not in self._known
        ]


class Watch:
    """Takes the time of each test, and tells the coverage whose lines run."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self._measured, self.suite = measured, Suite()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._measured.switch_context(identity(item))
        began = time.perf_counter()
        try:
            return (yield)
        finally:
            self.suite.seconds[identity(item)] = round(time.perf_counter() - began, 4)
            self._measured.switch_context("")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.suite.red.append(report.nodeid)


def measure(tests: Sequence[str], rooms: Sequence[str]) -> Suite:
    """Run the tests once without a mutant. Imports the product: in a process of its own."""
    measured = coverage.Coverage(
        data_file=None, config_file=False, include=[f"{ROOT / room}/*" for room in rooms]
    )
    measured.set_option("run:core", "ctrace")  # the one that tells contexts apart on every Python
    watch = Watch(measured)
    measured.start()
    code = run(tests, watch)
    measured.stop()
    if code and not watch.suite.red:
        watch.suite.red.append(f"pytest ended with {code}")
    data = measured.get_data()
    for path in data.measured_files():
        file = str(Path(path).relative_to(ROOT))
        watch.suite.reach[file] = {
            line: sorted(filter(None, names)) for line, names in data.contexts_by_lineno(path).items()
        }
    return watch.suite
