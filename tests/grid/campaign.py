"""What the grid asks, and what both evaluators answer: points, differences, sole reasons and their near misses.

Three sorts of points: every combination of the core axes; a covering array in which every three values of all axes
stand together; and around each of some starts every single change, around the ordinary world every two.

A rule is the *sole reason* where it alone denies the release, or alone keeps a field back. The *near miss* is a permit
one value away, in which that field leaves, or another in its place.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from gateway.policy.rules import Policy, default_policy
from tests.grid.axes import AXES, CORE
from tests.grid.covering import covering_array
from tests.grid.evaluator import Answer, evaluate
from tests.grid.worlds import ORDINARY, Point, context, describe, point, product, values_of

#: Sole reasons kept of one rule, to look for near misses; all are counted.
KEPT = 100

#: Differences described; there should be none.
SHOWN = 20

SIZES = tuple(len(values) for _, values in AXES)

#: Around these every single change is asked: kinds of every regime, and worlds in which a rule is about to speak.
STARTS: tuple[dict[str, str], ...] = (
    *(
        {"kind": kind}
        for kind in ("bdc", "note", "evaluation", "support", "sanctions", "dna", "pnr", "anything")
    ),
    {"kind": "information-note", "release list": "nobody"},
    {"lift": "the person"},
    {"origin": "foreign, no consent"},
    {"emergency": "claimed"},
    {"level": "BEL CONFIDENTIEL"},
    {"regime": "BE-POLICE"},
    {"regime": "BE-POLICE", "handling": "H0"},
    {"recipient": "judicial"},
    {"recipient": "intelligence"},
    {"recipient": "fusion", "recipients of the database": "more, by law"},
    {"kind": "evaluation", "recipient": "fusion"},
    {"kind": "note", "origin": "domestic"},
    {"kind": "dna", "more": "core data", "match": "confirmed"},
    {"kind": "dna", "more": "core data", "lift": "core data"},
)


@dataclass(frozen=True)
class Sole:
    """Where one rule alone denied: the point, the field it keeps back (empty: the release), and all fields there."""

    at: Point
    pointer: str
    fields: frozenset[str]


@dataclass
class Tally:
    """What some points answered."""

    decisions: int = 0
    effects: Counter[str] = field(default_factory=Counter)
    differing: int = 0
    differences: list[dict[str, object]] = field(default_factory=list)
    soles: Counter[str] = field(default_factory=Counter)
    kept: dict[str, list[Sole]] = field(default_factory=dict)
    permits: dict[Point, frozenset[str]] = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        self.decisions += other.decisions
        self.effects += other.effects
        self.differing += other.differing
        self.differences = (self.differences + other.differences)[:SHOWN]
        self.soles += other.soles
        for rule, kept in other.kept.items():
            self.kept[rule] = (self.kept.get(rule, []) + kept)[:KEPT]
        self.permits |= other.permits


def ask(policy: Policy, points: Iterable[Point]) -> Tally:
    """Decide every point twice."""
    tally = Tally()
    for at in points:
        world = describe(at)
        ours, theirs = product(policy, context(world, at)), evaluate(world)
        tally.decisions += 1
        tally.effects[theirs.effect] += 1
        if ours != theirs:
            tally.differing += 1
            if len(tally.differences) < SHOWN:
                tally.differences.append(difference(at, ours, theirs))
        _note(tally, at, theirs)
    return tally


def work(points: Sequence[Point]) -> Tally:
    """The shipped policy over one portion: for a process of its own."""
    return ask(default_policy(), points)


def difference(at: Point, ours: Answer, theirs: Answer) -> dict[str, object]:
    """Where two answers differ: values, effects and rule ids, nothing else."""
    return {
        "at": values_of(at),
        "product": ours.effect,
        "evaluator": theirs.effect,
        "rules": sorted(ours.rules ^ theirs.rules),
        "fields": {
            pointer: sorted(ours.fields[pointer].rules ^ theirs.fields[pointer].rules) or "released"
            for pointer in theirs.fields
            if pointer in ours.fields and ours.fields[pointer] != theirs.fields[pointer]
        },
    }


def _note(tally: Tally, at: Point, answer: Answer) -> None:
    alone: list[tuple[str, str]] = []
    if answer.effect == "DENY" and len(answer.rules) == 1:
        alone += [(rule, "") for rule in answer.rules]
    for pointer, outcome in answer.fields.items():
        if not outcome.released and len(outcome.rules) == 1 and outcome.rules != answer.rules:
            alone += [(rule, pointer) for rule in outcome.rules]
    if answer.effect == "REVIEW" and len(answer.rules) == 1:  # of fields, or of the release
        held = [name for name, each in answer.fields.items() if each.rules == answer.rules]
        alone += [(rule, pointer) for rule in answer.rules for pointer in held or [""]]
    for rule, pointer in alone:
        tally.soles[rule] += 1
        kept = tally.kept.setdefault(rule, [])
        if len(kept) < KEPT:
            kept.append(Sole(at, pointer, frozenset(answer.fields)))
    if answer.effect == "PERMIT":
        tally.permits[at] = frozenset(name for name, each in answer.fields.items() if each.released)


def near_misses(tally: Tally, rule: str) -> Iterator[Point]:
    """Permits one value away from a place where the rule alone denied; some come more than once."""
    for sole in tally.kept.get(rule, []):
        for near in neighbours(sole.at):
            released = tally.permits.get(near)
            if released is not None and (
                not sole.pointer or sole.pointer in released or released - sole.fields
            ):
                yield near


def neighbours(at: Point) -> Iterator[Point]:
    """Every point that differs in one value of one axis."""
    for axis, size in enumerate(SIZES):
        for value in range(size):
            if value != at[axis]:
                yield (*at[:axis], value, *at[axis + 1 :])


# --- the points ------------------------------------------------------------------------------------------------------


def core() -> Iterator[Point]:
    """Every combination of the core values; all else is ordinary."""
    for values in itertools.product(*CORE.values()):
        yield point(dict(zip(CORE, values, strict=True)))


def rest(seed: int) -> list[Point]:
    """Rows in which every three values of all axes stand together at least once."""
    return covering_array(SIZES, seed)


def singles() -> Iterator[Point]:
    """Each start, and every single change of it."""
    for start in STARTS:
        yield point(start)
        yield from neighbours(point(start))


def around() -> Iterator[Point]:
    """Every single change of each start, and every two changes of the ordinary world."""
    yield from singles()
    for one, other in itertools.combinations(range(len(SIZES)), 2):
        for first, second in itertools.product(range(1, SIZES[one]), range(1, SIZES[other])):
            changed = [*ORDINARY]
            changed[one], changed[other] = first, second
            yield tuple(changed)


def portions(points: Sequence[Point], size: int) -> list[Sequence[Point]]:
    return [points[start : start + size] for start in range(0, len(points), size)]
