"""One process for each mutant, forked from one that has imported everything but the product, and ended by a time limit.

The mutated module takes the place of the one on disk before anything of the product is imported, so tables that are
made at import, and worlds that tests make of them, are those of the mutant.
"""

from __future__ import annotations

import ast
import contextlib
import gc
import hashlib
import importlib
import json
import os
import pkgutil
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType
from typing import Literal, NamedTuple

import msgspec
import pytest

from tests.mutation.mutants import Mutant
from tests.mutation.suite import CACHE, ROOT, Only, Suite, measure, run, state

Fate = Literal["killed", "timed out", "survived", "no program"]

#: What no mutant is made of and every child needs.
WARM = ("rfc8785", "z3", "hypothesis.strategies", "hypothesis.internal.conjecture.engine")
BELOW = "gateway.model"

# Seconds of processor time for one mutant: so many, and `SLOWER` times what its tests take without one.
BASE_SECONDS, SLOWER = 5.0, 4.0
PATIENCE = 20.0  # times that on the clock, for what waits and does not run: a busy machine is no kill
MEMORY = 4 << 30  # bytes of address space: a loop that collects ends before the machine does

#: Exit codes of a child.
SURVIVED, KILLED, NO_PROGRAM = 0, 1, 3

FATES: dict[int, Fate] = {
    SURVIVED: "survived",
    NO_PROGRAM: "no program",
    -signal.SIGXCPU: "timed out",
    -signal.SIGKILL: "timed out",
}


class Outcome(NamedTuple):
    """What became of a mutant."""

    mutant: Mutant
    fate: Fate


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


def forked(work: Callable[[], int]) -> int:
    """Start a child that does this, silently, and ends with its answer; returns its process id."""
    child = os.fork()
    if child:
        return child
    code = KILLED
    try:
        os.setpgid(0, 0)
        with silence():
            code = work()
    finally:
        os._exit(code)


def measured(tests: Sequence[str], rooms: Sequence[str]) -> Suite:
    """What the tests reach: from the cache where nothing changed, else by running them in a child."""
    kept = CACHE / f"{hashlib.sha256(repr((tests, rooms)).encode()).hexdigest()[:16]}.json"
    now = state(tests)
    if kept.exists() and (read := json.loads(kept.read_bytes()))["state"] == now:
        return msgspec.convert(read["suite"], Suite, strict=False)
    CACHE.mkdir(exist_ok=True)

    def work() -> int:
        suite = measure([str(ROOT / name) for name in tests], rooms)
        kept.write_bytes(msgspec.json.encode({"state": now, "suite": suite}))
        return SURVIVED

    _, status = os.waitpid(forked(work), 0)
    if status:
        raise RuntimeError(f"the tests could not be measured: {status}")
    return msgspec.convert(json.loads(kept.read_bytes())["suite"], Suite, strict=False)


def attempt(
    tree: ast.Module, mutant: Mutant, plan: Sequence[Sequence[str]], suite: Suite, seconds: float
) -> int:
    """In a child: plant the mutant, run the tests, file by file; returns the exit code."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 2))
    path = str(ROOT / mutant.file)
    try:
        code = compile(mutant.plant(tree), path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return NO_PROGRAM
    module = mutant.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    sys.meta_path.insert(0, Planted(module, path, code))
    for tests in plan:
        ended = run([tests[0].partition("::")[0]], Only(tests, suite.seconds))
        if ended not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            return KILLED
    return SURVIVED


def hunt(
    trees: dict[str, ast.Module],
    wanted: Sequence[Mutant],
    suite: Suite,
    jobs: int,
    told: Callable[[Outcome], None],
) -> None:
    """Try every mutant, ``jobs`` at a time; ``told`` hears each outcome when it is known."""
    waiting = list(wanted)[::-1]
    running: dict[int, tuple[Mutant, float]] = {}
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop()
            plan = suite.plan(mutant.file, range(mutant.line, mutant.last + 1))
            seconds = BASE_SECONDS + SLOWER * sum(suite.seconds[test] for tests in plan for test in tests)
            work = partial(attempt, trees[mutant.file], mutant, plan, suite, seconds)
            running[forked(work)] = mutant, time.monotonic() + PATIENCE * seconds
        for child, (mutant, deadline) in list(running.items()):
            ended, status = os.waitpid(child, os.WNOHANG)
            late = not ended and time.monotonic() > deadline
            if late:
                os.killpg(child, signal.SIGKILL)
                _, status = os.waitpid(child, 0)
            if ended or late:
                del running[child]
                told(Outcome(mutant, FATES.get(os.waitstatus_to_exitcode(status), "killed")))
        time.sleep(0.005)
