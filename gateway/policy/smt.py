"""Rules as formulas: the trees and the combination of `decide`, as an SMT solver (extra ``prove``, z3) reads them.

How a fact stands is modelled as `decide` has it: ``known`` forgives absence, never failure, and every other use of a
missing or failing fact denies. Numbers are the integers. Texts are a finite universe: each constant of the trees, one
element for each text fact, and one for each comparison of two sets. That is exact, not a bound: a world with more texts
keeps the value of every comparison when it is cut down to those.
"""

import contextlib
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, Literal, NamedTuple, cast

import msgspec

from gateway.errors import ConfigInvalid, PolicyInvalid
from gateway.model.agreement import Route
from gateway.model.party import RecipientKind
from gateway.policy.context import Settings
from gateway.policy.expr import (
    All,
    Any_,
    Binary,
    Const,
    Eq,
    Fact,
    Ge,
    Gt,
    In,
    Intersects,
    Known,
    Le,
    Lt,
    Ne,
    Node,
    Not,
    Subset,
    facts_of,
)
from gateway.policy.facts import FACTS, FactSpec, Scope, Value
from gateway.policy.facts.declare import NOTHING
from gateway.policy.rules import Policy, Rule

#: Steps of the solver for one question, in its own deterministic unit; the shipped questions take some thousandth.
MAX_STEPS = 200_000_000

#: Facts of what the field rules left: unknown to those rules. The first is the number of fields, counted here.
PERMITTED = "fields.permitted"
AFTER = frozenset(name for name, spec in FACTS.items() if spec.scope == "release" and spec.sees != NOTHING)

#: What the settings say of a recipient kind, as a fact of the partner.
ROUTE, KIND = "partner.bdc_route", "partner.kind"


State = Literal["proven", "broken", "undecided", "needs-settings"]


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """One fact of a world: its value, or ``unknown`` or ``unreadable``. Every text in it is invented."""

    fact: str
    state: Literal["known", "unknown", "unreadable"]
    value: bool | int | str | tuple[str, ...] | None = None


class _Read(NamedTuple):
    """A fact as the solver has it. A set has one bit for each text of the universe; a text is the set of itself."""

    known: Any
    fails: Any
    value: Any


class _Term(NamedTuple):
    """A tree as the solver has it: its value, and whether asking it raises `FactUnreadable`."""

    value: Any
    error: Any


#: What each comparison is of the solver's terms. A text is among others as a set lies within a set.
_COMPARE: dict[type[Binary], Callable[[Any, Any], Any]] = {
    Eq: operator.eq,
    Ne: operator.ne,
    Lt: operator.lt,
    Le: operator.le,
    Gt: operator.gt,
    Ge: operator.ge,
    In: lambda one, two: one & ~two == 0,
    Subset: lambda one, two: one & ~two == 0,
    Intersects: lambda one, two: one & two != 0,
}


class _Alone(NamedTuple):
    """What a fact is given to see whether it hangs on the thresholds alone."""

    settings: Settings


class Verdict(NamedTuple):
    """What the rules of one scope say together, as the solver has it: exactly one of the three is true."""

    denies: Any
    reviews: Any
    permits: Any


class Model:
    """Rules as formulas over the facts they read.

    ``trees`` are asked about beside the rules, ``facts`` hold of every world, and with ``settings`` the thresholds are
    these. ``texts`` are further texts of the universe, by name.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        trees: Sequence[Node] = (),
        facts: Sequence[Node] = (),
        settings: Settings | None = None,
        *,
        texts: Iterable[str] = (),
    ) -> None:
        self.z3 = _z3()
        trees = [*trees, *facts, *(tree for rule in rules for tree in (rule.applies, rule.condition))]
        nodes = [node for tree in trees for node in nodes_of(tree)]
        self.facts = {node.spec.name: node.spec for node in nodes if isinstance(node, Fact | Known)}
        held = {} if settings is None else self._held_by(settings)
        routes = {} if settings is None else settings.bdc_recipients
        values = (value if isinstance(value, frozenset) else {value} for value in held.values())
        named = dict.fromkeys(sorted({*texts, *routes, *routes.values()}))
        named |= dict.fromkeys(sorted(text for each in values for text in each if isinstance(text, str)))
        for node in nodes:
            if isinstance(node, Const):
                constant = node.value if isinstance(node.value, frozenset) else {node.value}
                named |= dict.fromkeys(sorted(text for text in constant if isinstance(text, str)))
        spare = sum(spec.type is str for spec in self.facts.values()) + sum(
            isinstance(node, Subset | Intersects) for node in nodes
        )
        #: Every text there is; those of the trees first.
        self.universe = (*named, *(f"some text {number}" for number in range(1, spare + 1)))
        self._place = {text: place for place, text in enumerate(self.universe)}
        self._read = {name: self._declare(spec) for name, spec in self.facts.items()}
        self.lost, self.elsewhere = self.z3.Bools("something_required_is_lost another_field_awaits_review")
        self.others = self.z3.Int("other_fields_left")
        self._rules: dict[Rule, tuple[Any, Any]] = {}
        self._solver, self._literals, self._terms = self.z3.Solver(), dict[int, Any](), list[Any]()
        self._solver.set("rlimit", MAX_STEPS)
        self._solver.add(self.others >= 0)
        for name, spec in self.facts.items():
            if spec.type is str:
                text = self._read[name].value
                self._solver.add(text != 0, text & (text - 1) == 0)  # one bit
        self._solver.add(*map(self.truth, facts))
        for name, value in held.items():
            self._solver.add(self.stands(name, "unknown" if value is None else "known"))
            if value is not None:
                self._solver.add(self.equal(name, value))
        if settings is not None:
            self._route(routes)

    def _declare(self, spec: FactSpec) -> _Read:
        known, fails = self.z3.Bools(f"{spec.name}:known {spec.name}:fails")
        if spec.type is bool:
            return _Read(known, fails, self.z3.Bool(spec.name))
        if spec.type in (str, frozenset):
            return _Read(known, fails, self.z3.BitVec(spec.name, len(self.universe)))
        return _Read(known, fails, self.z3.Int(spec.name))

    # --- trees ----------------------------------------------------------------------------------------------------

    def truth(self, node: Node) -> Any:
        """That the tree can be read in full, and is true."""
        term = self._term(node, self._read)
        return self.z3.And(self.z3.Not(term.error), term.value)

    def _term(self, node: Node, read: Mapping[str, _Read]) -> _Term:
        """The closed set of nodes, each as `compile_condition` has it."""
        z3 = self.z3
        match node:
            case Const(value=value):
                return _Term(self._constant(value), z3.BoolVal(False))
            case Fact(spec=spec):
                fact = read[spec.name]
                return _Term(fact.value, z3.Or(fact.fails, z3.Not(fact.known)))
            case Known(spec=spec):
                return _Term(read[spec.name].known, read[spec.name].fails)
            case Not(operand=operand):
                term = self._term(operand, read)
                return _Term(z3.Not(term.value), term.error)
            case All(operands=operands):
                return self._until(False, [self._term(operand, read) for operand in operands])
            case Any_(operands=operands):
                return self._until(True, [self._term(operand, read) for operand in operands])
            case Binary(left=left, right=right):
                one, two = self._term(left, read), self._term(right, read)
                return _Term(_COMPARE[type(node)](one.value, two.value), z3.Or(one.error, two.error))
            case _:
                raise PolicyInvalid("a node of an unknown kind cannot be translated")

    def _until(self, answer: bool, terms: Sequence[_Term]) -> _Term:
        """From left to right until one gives this answer: what stands behind it is not asked, and cannot fail."""
        z3 = self.z3
        value, error = z3.BoolVal(not answer), z3.BoolVal(False)
        for term in reversed(terms):
            stops = term.value if answer else z3.Not(term.value)
            value = z3.If(stops, z3.BoolVal(answer), value)
            error = z3.Or(term.error, z3.And(z3.Not(stops), error))
        return _Term(value, error)

    def _constant(self, value: Value) -> Any:
        if isinstance(value, bool):
            return self.z3.BoolVal(value)
        if isinstance(value, int):
            return self.z3.IntVal(value)
        texts = value if isinstance(value, frozenset) else {value}
        return self.z3.BitVecVal(sum(1 << self._place[text] for text in texts), len(self.universe))

    # --- the decision ---------------------------------------------------------------------------------------------

    def _verdict(self, policy: Policy, scope: Scope, left: Any) -> Verdict:
        """`judge`: deny overrides review, review overrides permit, no permit denies, an erring rule denies."""
        z3 = self.z3
        denying: list[Any] = []
        reviewing: list[Any] = []
        permitting: list[Any] = []
        for rule in policy.rules:
            if rule.scope != scope:
                continue
            fires, erring = self._asked(rule, left)
            if rule.effect == "PERMIT":
                permitting.append(fires)
                continue
            denying.append(erring)
            (denying if rule.effect == "DENY" else reviewing).append(fires)
        denies = z3.Or(z3.Or(denying), z3.Not(z3.Or(permitting)))
        reviews = z3.And(z3.Not(denies), z3.Or(reviewing))
        return Verdict(denies, reviews, z3.Not(z3.Or(denies, reviews)))

    def _asked(self, rule: Rule, left: Any) -> tuple[Any, Any]:
        """Whether the rule fires, and whether that cannot be told, where so many fields are left: a field rule is told
        nothing of those. Translated once, but for a rule that hangs on the others by that number."""
        if rule in self._rules:
            return self._rules[rule]
        z3 = self.z3
        read = {**self._read, PERMITTED: _Read(z3.BoolVal(True), z3.BoolVal(False), left)}
        if rule.scope == "field":
            read |= {
                name: read[name]._replace(known=z3.BoolVal(False), fails=z3.BoolVal(False))
                for name in AFTER & read.keys()
            }
        applies, condition = self._term(rule.applies, read), self._term(rule.condition, read)
        asked = z3.And(z3.Not(applies.error), applies.value)
        fires = z3.And(asked, z3.Not(condition.error), condition.value)
        answers = fires, z3.Or(applies.error, z3.And(asked, condition.error))
        if PERMITTED not in facts_of(rule.applies) | facts_of(rule.condition):
            self._rules[rule] = answers
        return answers

    def decision(self, policy: Policy) -> tuple[Verdict, Verdict]:
        """`decide`, for one field among ``others``: the field's own verdict, and that of the whole.

        (1) the field, to whose rules the facts of `AFTER` are unknown; (2) the release, told how many fields are left;
        (3) what the kind requires may be lost; (4) a review of any field awaits a person.
        """
        z3 = self.z3
        # (1)
        field = self._verdict(policy, "field", z3.IntVal(0))
        # (2)
        left = self.others + z3.If(field.denies, z3.IntVal(0), z3.IntVal(1))
        release = self._verdict(policy, "release", left)
        # (3), (4)
        denies = z3.Or(release.denies, self.lost)
        reviews = z3.And(z3.Not(denies), z3.Or(release.reviews, field.reviews, self.elsewhere))
        return field, Verdict(denies, reviews, z3.Not(z3.Or(denies, reviews)))

    def leaves(self, policy: Policy) -> Any:
        """That the field leaves."""
        field, whole = self.decision(policy)
        return self.z3.And(field.permits, whole.permits)

    def stops(self, rule: Rule) -> Any:
        """That a rule, which denies or sends to review, keeps the field, or the release, from leaving."""
        return self.z3.Or(*self._asked(rule, self.others + 1))

    def permitted(self, policy: Policy) -> Any:
        """That a rule permits the field, and one the release: it leaves, where nothing `stops` it."""
        permits = [rule for rule in policy.rules if rule.effect == "PERMIT"]
        return self.z3.And(
            [
                self.z3.Or([self._asked(rule, self.others + 1)[0] for rule in permits if rule.scope == scope])
                for scope in ("field", "release")
            ]
        )

    # --- thresholds -----------------------------------------------------------------------------------------------

    def _held_by(self, settings: Settings) -> dict[str, Value | None]:
        """The facts that hang on the thresholds alone: those that can be computed where there is nothing else."""
        found: dict[str, Value | None] = {}
        for name, spec in self.facts.items():
            if spec.scope == "release":
                with contextlib.suppress(Exception):  # it asks for more
                    value = spec.compute(cast(Any, _Alone(settings)), None)
                    if value is None or type(value) is spec.type:
                        found[name] = value
        return found

    def _route(self, routes: Mapping[RecipientKind, Route]) -> None:
        """A recipient kind has the legal route that the thresholds give it, or none."""
        if ROUTE not in self._read or KIND not in self._read:
            return
        z3, route, kind = self.z3, self._read[ROUTE], self._read[KIND]
        rows = [
            z3.And(kind.value == self._constant(row), route.known, route.value == self._constant(value))
            for row, value in routes.items()
        ]
        none = z3.And(*(kind.value != self._constant(row) for row in routes), z3.Not(route.known))
        self._solver.add(z3.Or(kind.fails, z3.Not(kind.known), *rows, none))

    def equal(self, name: str, value: Value) -> Any:
        """That a fact has this value, as far as its value goes."""
        return self._read[name].value == self._constant(value)

    def stands(self, name: str, state: str) -> Any:
        """That a fact is known, unknown or unreadable."""
        fact = self._read[name]
        readable = fact.known if state == "known" else self.z3.Not(fact.known)
        return fact.fails if state == "unreadable" else self.z3.And(self.z3.Not(fact.fails), readable)

    # --- asking ---------------------------------------------------------------------------------------------------

    def ask(self, *question: Any, first: Node | None = None) -> tuple[State, tuple[Told, ...]]:
        """Look for a world in which all of this holds: ``broken`` with the world, or ``proven`` that there is none.

        People read it: a world is looked for first in which no number is negative and the facts of ``first`` are
        known. One solver answers every question, and keeps what it learned.
        """
        z3 = self.z3
        asked = [self._literal(term) for term in question]
        counts = [fact.value >= 0 for name, fact in self._read.items() if self.facts[name].type is int]
        known = [self.stands(name, "known") for name in (facts_of(first) if first else ())]
        for plain in ([*counts, *known], counts, []):
            found = self._solver.check(*asked, self._literal(z3.And(plain)))
            if found == z3.sat:
                break
        if found == z3.unsat:
            return "proven", ()
        if found == z3.unknown:
            return "undecided", ()
        return "broken", self._told(self._solver.model(), first)

    def _literal(self, term: Any) -> Any:
        """A name for the term, so that a question is a list of names and nothing has to be told twice."""
        known = self._literals.get(term.get_id())
        if known is None:
            known = self.z3.Bool(f"asked {len(self._literals)}")
            self._solver.add(self.z3.Implies(known, term))
            self._literals[term.get_id()] = known
            self._terms.append(term)  # a term that is gone gives its id to another
        return known

    def _told(self, world: Any, first: Node | None) -> tuple[Told, ...]:
        def holds(term: Any) -> bool:
            return bool(self.z3.is_true(world.eval(term, model_completion=True)))

        def told(name: str) -> Told:
            fact, kind = self._read[name], self.facts[name].type
            if name == PERMITTED:  # the others, and the field itself
                return Told(name, "known", 1 + world.eval(self.others, model_completion=True).as_long())
            if holds(fact.fails):
                return Told(name, "unreadable")
            if not holds(fact.known):
                return Told(name, "unknown")
            if kind is bool:
                return Told(name, "known", holds(fact.value))
            number = world.eval(fact.value, model_completion=True).as_long()
            if kind is int:
                return Told(name, "known", number)
            members = tuple(text for place, text in enumerate(self.universe) if number >> place & 1)
            return Told(name, "known", members[0] if kind is str else members)

        asked = facts_of(first) if first else frozenset()
        return tuple(told(name) for name in sorted(self.facts, key=lambda name: (name not in asked, name)))


def nodes_of(node: Node) -> Iterable[Node]:
    """The node and everything below it."""
    yield node
    match node:
        case Not(operand=operand):
            yield from nodes_of(operand)
        case All(operands=operands) | Any_(operands=operands):
            for operand in operands:
                yield from nodes_of(operand)
        case Binary(left=left, right=right):
            yield from nodes_of(left)
            yield from nodes_of(right)


def _z3() -> Any:
    try:
        return import_module("z3")
    except ImportError:
        raise ConfigInvalid(
            "a proof needs the solver z3, which is not installed: install ecluse with its extra `prove`"
        ) from None
