"""One process for each mutant, forked from one that has imported what it needs, and ended by a time limit.

The quick way: the parent has imported the product and collected the tests, and the child puts other code into the
functions that were changed. That is right only for what has not run yet: a function that ran while the product was
imported and the tests were collected left something behind. For those, for tables and for classes there is the long
way: the parent has imported nothing of the rooms, the mutated module takes the place of the one on disk before
anything imports it, and tables made at import, and worlds that tests make of them, are those of the mutant.
"""

from __future__ import annotations

import ast
import contextlib
import gc
import hashlib
import importlib
import math
import os
import pkgutil
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from itertools import groupby
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import NamedTuple

import msgspec
import pytest

from tests.mutation.journal import Fate, Journal, Outcome
from tests.mutation.mutants import Mutant
from tests.mutation.suite import CACHE, ROOT, Plan, Suite, digest, draw, identity, measure, run

#: What no mutant is made of and every child needs.
WARM = ("rfc8785", "z3", "hypothesis.strategies", "hypothesis.internal.conjecture.engine")
BELOW = "gateway.model"

PATIENCE = (
    1800.0  # seconds on the clock for one mutant that waits and does not run: a busy machine is no kill
)
MEMORY = 4 << 30  # bytes of address space: a loop that collects ends before the machine does

#: Exit codes of a child.
SURVIVED, KILLED, NO_PROGRAM, NOT_HERE, BROKEN = 0, 1, 3, 4, 70

FATES: dict[int, Fate] = {
    SURVIVED: "survived",
    NO_PROGRAM: "no program",
    -signal.SIGPROF: "timed out",
    -signal.SIGKILL: "timed out",
}


class Planted(SourceFileLoader):
    """Finds one module, with other code in it."""

    def __init__(self, name: str, path: str, code: CodeType) -> None:
        super().__init__(name, path)
        self._code = code

    def find_spec(self, name: str, path: Sequence[str] | None, target: object = None) -> ModuleSpec | None:
        if name != self.name or (spec := PathFinder.find_spec(name, path)) is None:
            return None
        spec.loader = self
        return spec

    def get_code(self, fullname: str) -> CodeType:
        return self._code


def warm_up() -> None:
    """Import what every child needs; nothing of the rooms that are mutated, and nothing that imports them."""
    for name in WARM:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    model = importlib.import_module(BELOW)
    for module in pkgutil.iter_modules(model.__path__, f"{BELOW}."):
        importlib.import_module(module.name)
    with silence():
        run([str(ROOT / "tests/mutation/suite.py")])  # no test is in it; pytest imports its plugins
    gc.freeze()


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Nothing that runs inside reaches our output."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        for each in (*kept, nothing):
            os.close(each)


def forked(work: Callable[[Say], int], to: int) -> int:
    """Start a child that does this, silently, says its word there, and ends with its answer; returns its process id."""
    child = os.fork()
    if child:
        return child
    code = BROKEN
    try:
        with silence():
            code = work(partial(_say, to))
    except MemoryError:
        code = KILLED
    except BaseException:
        _say(to, traceback.format_exc())
    finally:
        os._exit(code)


#: How a child leaves a word beside its exit code.
Say = Callable[[str], None]


def _say(to: int, word: str) -> None:
    os.write(to, word.encode()[-4096:])  # what a pipe takes in one piece while nobody reads it


class Task(NamedTuple):
    """Work for a child, and what is done with its exit code and the word it left."""

    work: Callable[[Say], int]
    ended: Callable[[int, str], None]


def together(tasks: Iterable[Task], jobs: int, patience: float = math.inf) -> None:
    """Do the work in children, ``jobs`` at a time, each for so many seconds on the clock."""
    waiting = iter(tasks)
    running: dict[int, tuple[Task, int, float]] = {}
    while True:
        while len(running) < jobs and (task := next(waiting, None)):
            read, write = os.pipe()
            child = forked(task.work, write)
            os.close(write)
            running[child] = task, read, time.monotonic() + patience
        if not running:
            return
        for child, (task, read, deadline) in list(running.items()):
            ended, status = os.waitpid(child, os.WNOHANG)
            if not ended and time.monotonic() > deadline:
                os.killpg(child, signal.SIGKILL)
                ended, status = os.waitpid(child, 0)
            if ended:
                del running[child]
                with os.fdopen(read, "rb") as words:
                    task.ended(os.waitstatus_to_exitcode(status), words.read().decode())
        time.sleep(0.002)


def measured(tests: Sequence[str], rooms: Sequence[str], jobs: int) -> Suite:
    """What the tests reach, file by file: from the cache where nothing changed, else by running them in a child."""
    CACHE.mkdir(exist_ok=True)
    whole = Suite()

    class Kept(msgspec.Struct):
        state: str
        suite: Suite

    def kept_at(file: str) -> Path:
        return CACHE / f"{hashlib.sha256(repr((file, rooms)).encode()).hexdigest()[:16]}.json"

    def known(file: str) -> Suite | None:
        if not kept_at(file).exists():
            return None
        kept = msgspec.json.decode(kept_at(file).read_bytes(), type=Kept)
        return kept.suite if kept.state == digest(kept.suite.seen) else None

    def work(file: str, say: Say) -> int:
        suite = measure(file, rooms)
        kept_at(file).write_bytes(msgspec.json.encode(Kept(digest(suite.seen), suite)))
        return SURVIVED

    def ended(file: str, code: int, word: str) -> None:
        if code:
            raise RuntimeError(f"{file} could not be measured: {code} {word}")

    together((Task(partial(work, file), partial(ended, file)) for file in tests if not known(file)), jobs)
    for file in tests:
        if suite := known(file):
            whole.add(suite)
    return whole


# --- tests in a child -------------------------------------------------------------------------------------------------


class Chosen:
    """Runs a plan instead of all that was collected, up to the first failure, and such tests as nobody knew before; a
    test that is gone under a mutant kills nothing."""

    def __init__(self, plan: Plan, suite: Suite) -> None:
        self._plan, self._suite = plan, suite
        self._now = self.killer = ""

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        found = {identity(item): item for item in session.items}
        steps = [(found[test], few) for test, few in self._plan if test in found]
        steps += [(item, True) for test, item in found.items() if test not in self._suite.seconds]
        for place, (item, few) in enumerate(steps):
            following = steps[place + 1][0] if place + 1 < len(steps) else None
            draw(item, few)
            self._now = identity(item)
            signal.setitimer(signal.ITIMER_PROF, self._suite.limit(self._now, few))
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self.killer:
                break
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.killer = self._now


def _bounded() -> None:
    os.setpgid(0, 0)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.setitimer(signal.ITIMER_PROF, 60.0)  # for what runs before the first test


def _compiled(tree: ast.Module, file: str) -> CodeType:
    return compile(tree, str(ROOT / file), "exec", dont_inherit=True)


def long_way(tree: ast.Module, mutant: Mutant, plan: Plan, suite: Suite, say: Say) -> int:
    """In a child that knows nothing of the product: plant the mutant, run the plan, file by file."""
    _bounded()
    try:
        code = _compiled(mutant.plant(tree), mutant.file)
    except (SyntaxError, ValueError):
        return NO_PROGRAM
    module = mutant.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    sys.meta_path.insert(0, Planted(module, str(ROOT / mutant.file), code))
    for file, steps in _by_file(plan):
        chosen = Chosen(steps, suite)
        ended = run([file], chosen)
        if chosen.killer or ended not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            say(chosen.killer or f"{file}::")
            return KILLED
    return SURVIVED


def _by_file(plan: Plan) -> Iterator[tuple[str, Plan]]:
    """The steps of a plan by file of tests, files in the order of their first step, a few examples before many."""
    order: dict[tuple[bool, str], Plan] = {}
    for test, few in plan:
        order.setdefault((few, test.partition("::")[0]), []).append((test, few))
    for _, group in groupby(order.items(), key=lambda entry: entry[0][0]):
        yield from ((file, steps) for (_, file), steps in group)


# --- the quick way ----------------------------------------------------------------------------------------------------

Place = tuple[object, ...]


def place_of(code: CodeType) -> Place:
    """What tells a piece of code from all others, in whatever module it was compiled from the same lines."""
    return code.co_filename, code.co_qualname, code.co_firstlineno, *code.co_positions()


def changed(old: CodeType, new: CodeType) -> Iterator[tuple[CodeType, CodeType, bool]]:
    """Old and new code of every function that differs, and whether in its own lines and not only in those of a
    function inside it."""
    inner = [[each for each in code.co_consts if isinstance(each, CodeType)] for code in (old, new)]
    alike = len(inner[0]) == len(inner[1])
    own = not alike or _bare(old) != _bare(new)
    below = [pair for pairs in zip(*inner, strict=False) for pair in changed(*pairs)] if alike else []
    if own or below:
        yield old, new, own
        yield from below


def _bare(code: CodeType) -> CodeType:
    """The code without that of functions inside it."""
    consts = tuple(None if isinstance(each, CodeType) else each for each in code.co_consts)
    return code.replace(co_consts=consts)


class Hunter:
    """Collects the tests of a room once, and tries every mutant that can be put into what was imported."""

    def __init__(self, trees: dict[str, ast.Module], suite: Suite) -> None:
        self._codes = {file: _compiled(tree, file) for file, tree in trees.items()}
        self._trees, self._suite = trees, suite
        self._run: dict[int, CodeType] = {}  # kept, so that no other code gets its number
        self._ran: set[Place] = set()
        self._made: dict[Place, list[FunctionType]] = {}

    def watch(self, frame: FrameType, event: str, _: object) -> None:
        """Note what runs before the first test: of that, no change is seen any more."""
        if event == "call":
            self._run[id(frame.f_code)] = frame.f_code

    def settle(self) -> None:
        """Find every function that was made, when all is imported and collected."""
        for each in gc.get_objects():
            if isinstance(each, FunctionType) and "/gateway/" in each.__code__.co_filename:
                self._made.setdefault(place_of(each.__code__), []).append(each)
        self._ran = {place_of(each) for each in self._run.values() if "/gateway/" in each.co_filename}
        gc.freeze()

    def quick_way(self, mutant: Mutant, chosen: Chosen, session: pytest.Session, say: Say) -> int:
        """In a child: give every function that differs its new code, run the plan."""
        _bounded()
        try:
            new = _compiled(mutant.plant(self._trees[mutant.file]), mutant.file)
        except (SyntaxError, ValueError):
            return NO_PROGRAM
        pairs = list(changed(self._codes[mutant.file], new))
        if any(own and place_of(old) in self._ran for old, _, own in pairs):
            return NOT_HERE
        functions = [(each, other) for old, other, _ in pairs for each in self._made.get(place_of(old), ())]
        if pairs and not functions:
            return NOT_HERE
        for function, other in functions:
            try:
                function.__code__ = other
            except ValueError:  # it no longer closes over the same names
                return NOT_HERE
        session.config.pluginmanager.register(chosen)
        chosen.pytest_runtestloop(session)
        say(chosen.killer)
        return KILLED if chosen.killer else SURVIVED


def try_all(
    trees: dict[str, ast.Module], wanted: Sequence[Mutant], suite: Suite, jobs: int, journal: Journal
) -> list[Outcome]:
    """Try every mutant whose fate is not known, ``jobs`` at a time; each is in the journal as soon as it ends. At
    first all by the few quick tests that reach it; what they leave open, then by all the others."""

    def left(first: bool) -> list[Mutant]:
        over = ("killed", "timed out", "survived", "no program", *(["open"] if first else []))
        return [mutant for mutant in wanted if not (known := journal.of(mutant)) or known.fate not in over]

    def collected(first: bool, _: Say) -> int:
        hunter = Hunter(trees, suite)

        class Loop:
            def pytest_runtestloop(self, session: pytest.Session) -> bool:
                sys.setprofile(None)
                hunter.settle()

                def work(mutant: Mutant, say: Say) -> int:
                    chosen = Chosen(_planned(suite, mutant, journal, first, at_import=False), suite)
                    return hunter.quick_way(mutant, chosen, session, say)

                together(_tasks(left(first), work, journal, first), jobs, PATIENCE)
                return True

        sys.setprofile(hunter.watch)
        return run(sorted({test.partition("::")[0] for test in suite.seconds}), Loop())

    def work(first: bool, mutant: Mutant, say: Say) -> int:
        plan = _planned(suite, mutant, journal, first, at_import=True)
        return long_way(trees[mutant.file], mutant, plan, suite, say)

    def ended(code: int, word: str) -> None:
        if code:
            raise RuntimeError(f"the tests could not be collected: {code} {word}")

    for first in (True, False):
        if left(first):
            together([Task(partial(collected, first), ended)], 1)
            journal.read_again(wanted)
            together(_tasks(left(first), partial(work, first), journal, first), jobs, PATIENCE)
    return journal.read_again(wanted)


def _planned(suite: Suite, mutant: Mutant, journal: Journal, first: bool, at_import: bool) -> Plan:
    lines = range(mutant.line, mutant.last + 1)
    return suite.plan(mutant.file, lines, journal.kills.get(mutant.file, {}), first, at_import)


def _tasks(
    wanted: Sequence[Mutant], work: Callable[[Mutant, Say], int], journal: Journal, first: bool
) -> Iterator[Task]:
    for mutant in wanted:
        began = time.monotonic()

        def ended(code: int, word: str, mutant: Mutant = mutant, began: float = began) -> None:
            if code == BROKEN:
                raise RuntimeError(f"{mutant.name}: {word}")
            if code == NOT_HERE:
                return
            fate: Fate = "open" if first and code == SURVIVED else FATES.get(code, "killed")
            journal.write(Outcome(mutant, fate, word, round(time.monotonic() - began, 2)))

        yield Task(partial(work, mutant), ended)
