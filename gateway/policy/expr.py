"""Conditions: a tree of fifteen frozen node types over facts, decoded from JSON lists, typed, compiled once.

::

    ["gt", ["fact", "field.level"], ["fact", "agreement.ceiling"]]
    ["not", ["in", ["fact", "release.purpose"], ["fact", "agreement.purposes"]]]
    ["all", ["known", ["fact", "field.purposes"]], ["eq", ["fact", "field.class"], ["const", "A"]]]

``all`` and ``any`` read from left to right and stop when the answer is fixed, so a ``known`` in front guards what
follows. A tree that names an unknown fact or compares unlike types is refused when it is loaded, never when it is used.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from gateway.errors import PolicyInvalid
from gateway.model.record import LabelledField
from gateway.policy.context import Context
from gateway.policy.facts import FactSpec, Scope, Value
from gateway.policy.facts.declare import FIELD, MARK, NOTHING, SPEC, seen

#: Levels of nesting; a condition that a lawyer must read has three or four.
MAX_DEPTH = 16


class FactUnreadable(Exception):
    """A fact is missing, failed, or is not of its type. Stays in this room: it denies the rule that asked."""

    def __init__(self, fact: str) -> None:
        super().__init__(fact)
        self.fact = fact


class Look:
    """What was found from one place of looking: of the release, or of all fields that look alike from there."""

    __slots__ = ("asked", "field", "found", "gaps", "within")

    def __init__(self, field: LabelledField | None) -> None:
        self.field = field  # as a fact sees it from here
        self.found: dict[str, Value] = {}
        self.gaps: dict[str, FactUnreadable | None] = {}  # facts without a value: unknown, or at fault
        self.within: dict[object, Look] = {}  # by what can be told apart from the next place
        self.asked: Any = None  # what rules have answered; whoever asks them keeps it here


class Reading:
    """One look at the world: each fact is computed at most once, so no decision straddles two values of it."""

    __slots__ = ("_ctx", "found", "looks")

    def __init__(self, ctx: Context, looks: Sequence[Look] = ()) -> None:
        self._ctx = ctx
        self.looks = looks or [Look(None) for _ in (NOTHING, MARK, SPEC, FIELD)]  # by what a fact sees
        self.found = [look.found for look in self.looks]

    def of_field(self, field: LabelledField) -> "Reading":
        """The same look, at one field. Shared with other fields: what is seen of the release, and of all alike."""
        release = self.looks[NOTHING]
        mark = (field.label, field.originator, field.consent)
        marked = release.within.get(mark) or release.within.setdefault(mark, Look(seen(field, MARK)))
        told = marked.within.get(field.spec) or marked.within.setdefault(field.spec, Look(seen(field, SPEC)))
        return Reading(self._ctx, (release, marked, told, Look(field)))

    def after(self, ctx: Context) -> "Reading":
        """The same look, at the release after the field rules: only facts of what they left are computed again."""
        return Reading(ctx, (self.looks[NOTHING], *(Look(None) for _ in (MARK, SPEC, FIELD))))

    def value(self, spec: FactSpec) -> Value:
        """The fact's value; raises `FactUnreadable` for a missing or failing one."""
        value = self._read(spec)
        if value is None:
            raise FactUnreadable(spec.name)
        return value

    def known(self, spec: FactSpec) -> bool:
        """Whether the fact has a value. Only absence is answered: a failing fact raises here as well."""
        return self._read(spec) is not None

    def _read(self, spec: FactSpec) -> Value | None:
        look, name = self.looks[spec.sees], spec.name
        value: Value | None = look.found.get(name)
        if value is not None:
            return value
        if name not in look.gaps:
            try:
                value = spec.compute(self._ctx, look.field)
            except Exception:  # whatever went wrong in a fact, the answer is the same: it cannot be told
                look.gaps[name] = FactUnreadable(name)
            else:
                if value is not None and type(value) is spec.type:  # not isinstance: True is no count of 1
                    look.found[name] = value
                    return value
                look.gaps[name] = None if value is None else FactUnreadable(name)
        gap = look.gaps[name]
        if gap is not None:
            raise gap
        return None


Test = Callable[[Reading], Any]


class Node(msgspec.Struct, frozen=True):
    """A condition or a part of one. Each class is one operator."""


class Const(Node, frozen=True):
    value: Value


class Fact(Node, frozen=True):
    spec: FactSpec


class Known(Node, frozen=True):
    """Whether the fact has a value: the only place where absence is an answer and no denial."""

    spec: FactSpec


class Not(Node, frozen=True):
    operand: Node


class All(Node, frozen=True):
    operands: tuple[Node, ...]


class Any_(Node, frozen=True):
    operands: tuple[Node, ...]


class Binary(Node, frozen=True):
    left: Node
    right: Node


class Eq(Binary, frozen=True):
    pass


class Ne(Binary, frozen=True):
    pass


class Lt(Binary, frozen=True):
    pass


class Le(Binary, frozen=True):
    pass


class Gt(Binary, frozen=True):
    pass


class Ge(Binary, frozen=True):
    pass


class In(Binary, frozen=True):
    """A text is one of a set."""


class Subset(Binary, frozen=True):
    """Every text of the left set is in the right one."""


class Intersects(Binary, frozen=True):
    """The two sets share a text."""


_SCALARS = ((bool, bool), (int, int), (str, str))
_NUMBERS = ((int, int),)
_SETS = ((frozenset, frozenset),)

#: JSON name -> node, the pairs of operand types it takes, and what it computes.
_BINARY: dict[str, tuple[type[Binary], tuple[tuple[type, type], ...], Callable[[Any, Any], bool]]] = {
    "eq": (Eq, _SCALARS, operator.eq),
    "ne": (Ne, _SCALARS, operator.ne),
    "lt": (Lt, _NUMBERS, operator.lt),
    "le": (Le, _NUMBERS, operator.le),
    "gt": (Gt, _NUMBERS, operator.gt),
    "ge": (Ge, _NUMBERS, operator.ge),
    "in": (In, ((str, frozenset),), lambda item, items: item in items),
    "subset": (Subset, _SETS, operator.le),
    "intersects": (Intersects, _SETS, lambda one, other: not one.isdisjoint(other)),
}
_APPLY = {node: apply for node, _, apply in _BINARY.values()}


def parse_condition(raw: Any, scope: Scope, facts: Mapping[str, FactSpec]) -> Node:
    """Read a condition of a rule of this scope: a tree whose value is true or false.

    Raises `PolicyInvalid` for an unknown operator or fact, a wrong number of operands, operands of the wrong type, a
    field fact in a release rule, an empty ``all`` or ``any``, or too deep a tree. The text names the operator or the
    fact at fault: a policy holds no personal data.
    """
    node = _parse(raw, scope, facts, MAX_DEPTH)
    if type_of(node) is not bool:
        raise PolicyInvalid("a condition must be true or false")
    return node


def _parse(raw: Any, scope: Scope, facts: Mapping[str, FactSpec], depth: int) -> Node:
    if depth == 0:
        raise PolicyInvalid(f"a condition is nested deeper than {MAX_DEPTH} levels")
    match raw:
        case ["const", bool() | int() | str() as value]:
            return Const(value)
        case ["const", [*items]] if items and all(isinstance(item, str) for item in items):
            if len(set(items)) != len(items):
                raise PolicyInvalid("a constant set names an item twice")
            return Const(frozenset(items))
        case ["fact", str(name)]:
            return Fact(_fact(name, scope, facts))
        case ["known", ["fact", str(name)]]:
            return Known(_fact(name, scope, facts))
        case ["not", operand]:
            return Not(_truth("not", _parse(operand, scope, facts, depth - 1)))
        case ["all" | "any" as op, _, *_]:
            operands = tuple(_truth(op, _parse(item, scope, facts, depth - 1)) for item in raw[1:])
            return All(operands) if op == "all" else Any_(operands)
        case [str(op), left, right] if op in _BINARY:
            node, pairs, _ = _BINARY[op]
            parsed = node(_parse(left, scope, facts, depth - 1), _parse(right, scope, facts, depth - 1))
            if (type_of(parsed.left), type_of(parsed.right)) not in pairs:
                raise PolicyInvalid(f"`{op}` compares operands of the wrong types")
            return parsed
        case _:
            raise PolicyInvalid("a condition is no operator with its operands")


def _fact(name: str, scope: Scope, facts: Mapping[str, FactSpec]) -> FactSpec:
    spec = facts.get(name)
    if spec is None:
        raise PolicyInvalid(f"there is no fact `{name}`")
    if spec.scope == "field" and scope == "release":
        raise PolicyInvalid(f"a release rule cannot read the field fact `{name}`")
    return spec


def _truth(op: str, node: Node) -> Node:
    if type_of(node) is not bool:
        raise PolicyInvalid(f"`{op}` takes only what is true or false")
    return node


def type_of(node: Node) -> type:
    """The type of the node's value."""
    match node:
        case Const(value=value):
            return type(value)
        case Fact(spec=spec):
            return spec.type
        case _:
            return bool


def facts_of(node: Node) -> frozenset[str]:
    """Names of all facts the tree reads."""
    match node:
        case Fact(spec=spec) | Known(spec=spec):
            return frozenset({spec.name})
        case Not(operand=operand):
            return facts_of(operand)
        case All(operands=operands) | Any_(operands=operands):
            return frozenset().union(*map(facts_of, operands))
        case Binary(left=left, right=right):
            return facts_of(left) | facts_of(right)
        case _:
            return frozenset()


def sees(node: Node) -> int:
    """The narrowest place from which the whole tree can be told: what the fact sees that sees most."""
    match node:
        case Fact(spec=spec) | Known(spec=spec):
            return spec.sees
        case Not(operand=operand):
            return sees(operand)
        case All(operands=operands) | Any_(operands=operands):
            return max(map(sees, operands))
        case Binary(left=left, right=right):
            return max(sees(left), sees(right))
        case _:
            return NOTHING


def compile_condition(node: Node) -> Test:
    """A closure over the tree: called with a `Reading` it answers, or raises `FactUnreadable`."""
    match node:
        case Const(value=value):
            return lambda reading: value
        case Fact(spec=spec):
            return _reader(spec)
        case Known(spec=spec):
            place, name = spec.sees, spec.name
            return lambda reading: name in reading.found[place] or reading.known(spec)
        case Not(operand=operand):
            inner = compile_condition(operand)
            return lambda reading: not inner(reading)
        case All(operands=operands):
            return _until(False, tuple(map(compile_condition, operands)))
        case Any_(operands=operands):
            return _until(True, tuple(map(compile_condition, operands)))
        case Binary(left=Fact(spec=spec), right=Const(value=constant)):  # the usual comparison, in one step
            compare, place, name = _APPLY[type(node)], spec.sees, spec.name

            def ask(reading: Reading) -> bool:
                value = reading.found[place].get(name)
                return compare(reading.value(spec) if value is None else value, constant)

            return ask
        case Binary(left=left, right=right):
            apply, first, second = _APPLY[type(node)], compile_condition(left), compile_condition(right)
            return lambda reading: apply(first(reading), second(reading))
        case _:
            raise PolicyInvalid("a node of an unknown kind cannot be compiled")


def _reader(spec: FactSpec) -> Test:
    """The fact's value: found before, as most are, or computed now."""
    place, name = spec.sees, spec.name

    def read(reading: Reading) -> Value:
        value = reading.found[place].get(name)
        return reading.value(spec) if value is None else value

    return read


def _until(answer: bool, tests: tuple[Test, ...]) -> Test:
    """Ask from left to right until one gives this answer."""

    def ask(reading: Reading) -> bool:
        for test in tests:  # a loop, for speed: a generator costs as much as what it asks
            if bool(test(reading)) is answer:
                return answer
        return not answer

    return ask
