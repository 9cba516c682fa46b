"""Conditions: a tree of fifteen frozen node types over facts, decoded from JSON lists, typed, compiled once.

::

    ["gt", ["fact", "field.level"], ["fact", "agreement.ceiling"]]
    ["not", ["in", ["fact", "release.purpose"], ["fact", "agreement.purposes"]]]
    ["all", ["known", ["fact", "field.purposes"]], ["eq", ["fact", "field.class"], ["const", "A"]]]

``all`` and ``any`` read from left to right and stop when the answer is fixed, so a ``known`` in front guards what
follows. A tree that names an unknown fact or compares unlike types is refused when it is loaded, never when it is used.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, cast

import msgspec

from gateway.errors import PolicyInvalid
from gateway.model.kind import FieldSpec
from gateway.model.record import LabelledField
from gateway.policy.context import Context
from gateway.policy.facts import FactSpec, Scope, Value
from gateway.policy.facts.declare import NOTHING, marked

#: Levels of nesting; a condition that a lawyer must read has three or four.
MAX_DEPTH = 16


class FactUnreadable(Exception):
    """A fact is missing, failed, or is not of its type. Stays in this room: it denies the rule that asked."""

    def __init__(self, fact: str) -> None:
        super().__init__(fact)
        self.fact = fact


class Unseen(Exception):
    """A fact that cannot be told from this place: whoever asked asks again from nearer."""


class Look(dict[FactSpec, Value]):
    """What was found from one place of looking, each fact computed when it is first asked for, and once.

    Asking for a fact without a value raises `FactUnreadable`. Specifications are found by identity: each is declared
    once.
    """

    __slots__ = ("ctx", "field", "gaps", "kept")

    def __init__(self, ctx: Context, field: LabelledField | None) -> None:
        self.ctx = ctx
        self.field = field  # as a fact sees it from here
        #: Facts without a value: unknown, or at fault.
        self.gaps: Mapping[FactSpec, FactUnreadable | None] = _NO_GAPS
        self.kept: Any = None  # what rules have answered; whoever asks them keeps it here

    def __missing__(self, spec: FactSpec) -> Value:
        # The way of nearly every fact of a decision, so without a call to spare: `knows` goes the same.
        if spec not in self.gaps:
            value: Any
            try:
                value = spec.compute(self.ctx, self.field)
            except Exception:  # whatever went wrong in a fact, the answer is the same: it cannot be told
                value = _FAILED
            if type(value) is spec.type:  # not isinstance: True is no count of 1
                found: Value = value
                self[spec] = found
                return found
            self._miss(spec, value)
        raise FactUnreadable(spec.name)

    def knows(self, spec: FactSpec) -> bool:
        """Whether the fact has a value. Only absence is answered: a failing fact raises here as well."""
        if spec in self:
            return True
        if spec not in self.gaps:
            value: Any
            try:
                value = spec.compute(self.ctx, self.field)
            except Exception:
                value = _FAILED
            if type(value) is spec.type:
                self[spec] = value
                return True
            self._miss(spec, value)
        if self.gaps[spec] is not None:
            raise FactUnreadable(spec.name)
        return False

    def _miss(self, spec: FactSpec, value: object) -> None:
        self.gaps = {**self.gaps, spec: None if value is None else FactUnreadable(spec.name)}


_NO_GAPS: Mapping[FactSpec, FactUnreadable | None] = {}

#: Stands for the value of a fact that failed, and is of no fact's type.
_FAILED: Any = object()


class Nowhere(Look):
    """A place from which nothing can be told yet."""

    __slots__ = ()

    def __missing__(self, spec: FactSpec) -> Value:
        raise Unseen

    def knows(self, spec: FactSpec) -> bool:
        """Never told."""
        raise Unseen


#: The four places, in the order of what is seen from them.
Places = tuple[Look, Look, Look, Look]

#: Nothing is seen from here.
NOWHERE = Nowhere(cast(Context, None), None)

#: Specifications whose facts are kept: those of some hundred kinds.
MAX_SPECIFICATIONS = 4096


@lru_cache(MAX_SPECIFICATIONS)
def of_kind(spec: FieldSpec | None) -> Look:
    """The place from which a specification is seen and nothing else, so that what is found there holds in any world."""
    return Look(cast(Context, None), LabelledField("", None, spec, None, "", ()))


class Reading:
    """One look at the world: each fact is computed at most once, so no decision straddles two values of it."""

    __slots__ = ("_ctx", "_last", "_mark", "_marks", "looks")

    def __init__(self, ctx: Context, looks: Places | None = None) -> None:
        self._ctx = ctx
        #: One place for all fields marked alike.
        self._marks: dict[object, Look] = {}
        #: Of the field before: most are marked alike, and comparing is less than hashing.
        self._last: Look | None = None
        self._mark: object = None
        self.looks = looks or _of_release(Look(ctx, None), ctx)  # by what a fact sees

    def of_field(self, field: LabelledField) -> "Reading":
        """The same look, at one field. Shared with other fields: what is seen of the release, and of all alike."""
        return Reading(self._ctx, self.places(field))

    def places(self, field: LabelledField) -> Places:
        """The places from which a field is seen."""
        mark = (field.label, field.originator, field.consent)
        last = self._last
        if last is None or mark != self._mark:
            last = self._marks.get(mark)
            if last is None:
                last = self._marks[mark] = Look(self._ctx, marked(field))
            self._mark, self._last = mark, last
        return self.looks[NOTHING], last, of_kind(field.spec), Look(self._ctx, field)

    def after(self, ctx: Context) -> "Reading":
        """The same look, at the release after the field rules: only facts of what they left are computed again."""
        return Reading(ctx, _of_release(self.looks[NOTHING], ctx))

    def value(self, spec: FactSpec) -> Value:
        """The fact's value; raises `FactUnreadable` for a missing or failing one."""
        return self.looks[spec.sees][spec]

    def known(self, spec: FactSpec) -> bool:
        """Whether the fact has a value. Only absence is answered: a failing fact raises here as well."""
        return self.looks[spec.sees].knows(spec)


def _of_release(release: Look, ctx: Context) -> Places:
    """The places from which a release is seen: no field is near."""
    return release, Look(ctx, None), Look(ctx, None), Look(ctx, None)


#: A question compiled: asked of the four places, in the order of what is seen from them.
Ask = Callable[[Look, Look, Look, Look], Any]


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

#: JSON name -> node, and the pairs of operand types it takes.
_BINARY: dict[str, tuple[type[Binary], tuple[tuple[type, type], ...]]] = {
    "eq": (Eq, _SCALARS),
    "ne": (Ne, _SCALARS),
    "lt": (Lt, _NUMBERS),
    "le": (Le, _NUMBERS),
    "gt": (Gt, _NUMBERS),
    "ge": (Ge, _NUMBERS),
    "in": (In, ((str, frozenset),)),
    "subset": (Subset, _SETS),
    "intersects": (Intersects, _SETS),
}


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
            node, pairs = _BINARY[op]
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


def compile_rule(applies: Node, condition: Node, *, otherwise: bool) -> Ask:
    """Both questions of a rule as one function: None where it says nothing, else whether its condition holds.

    It says nothing where it does not apply and, unless ``otherwise`` makes that an answer, where it does not hold.

    The trees become one expression of Python over the facts, which an interpreter answers in one step; a tree of
    closures costs a call for each node.
    """
    names: dict[str, object] = {}
    holds = _source(condition, names) if otherwise else f"({_source(condition, names)} or None)"
    when = _source(applies, names)
    whole = holds if applies == Const(True) else f"({holds}) if {when} else None"
    # What is evaluated was written here from a typed tree; every name in it is bound here, and there is no other.
    made = eval(f"lambda n, m, s, f: {whole}", {"__builtins__": {}, **names})  # noqa: S307
    return cast(Ask, made)


def first_seen(node: Node) -> int:
    """What the fact sees that is read first, whatever the world; `NOTHING` for a tree that reads none."""
    match node:
        case Fact(spec=spec) | Known(spec=spec):
            return spec.sees
        case Not(operand=operand) | All(operands=(operand, *_)) | Any_(operands=(operand, *_)):
            return first_seen(operand)
        case Binary(left=left, right=right):
            return first_seen(right if isinstance(left, Const) else left)
        case _:
            return NOTHING


def compile_condition(node: Node) -> Callable[[Reading], Any]:
    """The tree as a function: called with a `Reading` it answers, or raises `FactUnreadable`."""
    ask = compile_rule(Const(True), node, otherwise=True)
    return lambda reading: ask(*reading.looks)


def _source(node: Node, names: dict[str, object]) -> str:
    """The expression of a tree. Constants and specifications are named, never written."""

    def named(value: object) -> str:
        name = f"v{len(names)}"
        names[name] = value
        return name

    match node:
        case Const(value=value):
            return named(value)
        case Fact(spec=spec):
            return f"{_PLACES[spec.sees]}[{named(spec)}]"
        case Known(spec=spec):
            place, name = _PLACES[spec.sees], named(spec)
            return f"({name} in {place} or {place}.knows({name}))"
        case Not(operand=operand):
            return f"(not {_source(operand, names)})"
        case All(operands=operands):
            return f"({' and '.join(_source(each, names) for each in operands)})"
        case Any_(operands=operands):
            return f"({' or '.join(_source(each, names) for each in operands)})"
        case Binary(left=left, right=right):
            return _WRITTEN[type(node)].format(_source(left, names), _source(right, names))
        case _:
            raise PolicyInvalid("a node of an unknown kind cannot be compiled")


_PLACES = "nmsf"
_WRITTEN: dict[type[Binary], str] = {
    Eq: "({} == {})",
    Ne: "({} != {})",
    Lt: "({} < {})",
    Le: "({} <= {})",
    Gt: "({} > {})",
    Ge: "({} >= {})",
    In: "({} in {})",
    Subset: "({} <= {})",
    Intersects: "(not {}.isdisjoint({}))",
}
