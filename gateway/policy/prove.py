"""Proof: what a policy can never let leave, shown for every world at once by an SMT solver (extra ``prove``, z3).

The rules are translated as they are, trees and combination (`smt`), and asked about *one field of any record*: is there
a world, unknown and unreadable facts included, in which the field leaves although the invariant says that it must not?
None means proven. One is the counter-example, and is not believed before the compiled rules, the same closures that
`decide` asks, have released the field in it too.

What is not modelled: facts are independent of each other but for the few ``facts`` that the file of invariants states
and a test asks of the real ones (more worlds than there can be, so a proof stands, and a counter-example may be one
that no record ever shows); and the second decision after redaction and the guard, which only ever take away.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import msgspec

from gateway.errors import PolicyInvalid
from gateway.policy.context import Settings
from gateway.policy.decide import judge
from gateway.policy.expr import FactUnreadable, Node, Reading
from gateway.policy.facts import FACTS, Value
from gateway.policy.invariants import Invariants
from gateway.policy.rules import Policy, Rule, Rules
from gateway.policy.smt import AFTER, Model, State, Told


class Finding(msgspec.Struct, frozen=True):
    """The answer to one question; ``world`` is the counter-example of a broken one, the facts of the question first."""

    id: str
    state: State
    world: tuple[Told, ...] = ()


def prove(policy: Policy, stated: Invariants, settings: Settings | None = None) -> tuple[Finding, ...]:
    """Ask each invariant of the policy, under these thresholds, or under any when there are none.

    The first finding, ``something-leaves``, is the question that keeps the others from being empty: it is proven by a
    world in which a field leaves, and broken when there is none. Raises `ConfigInvalid` where z3 is not installed.
    """
    model = Model(policy.rules, [one.only_if for one in stated.invariants], stated.facts, settings)
    leaves = model.leaves(policy)
    turned: dict[State, State] = {"broken": "proven", "proven": "broken"}
    something = _finding("something-leaves", model, [leaves], policy)
    findings = [Finding(something.id, turned.get(something.state, "undecided"))]
    for one in stated.invariants:
        if one.with_settings and settings is None:
            findings.append(Finding(one.id, "needs-settings"))
            continue
        holds = model.truth(one.only_if)
        findings.append(_finding(one.id, model, [leaves, model.z3.Not(holds)], policy, one.only_if))
    return tuple(findings)


def widening(before: Policy, after: Policy, facts: Sequence[Node] = ()) -> Finding:
    """Whether anything leaves under ``after`` that does not leave under ``before``: proven means that nothing does."""
    model = Model([*before.rules, *after.rules], facts=facts)
    more = [model.leaves(after), model.z3.Not(model.leaves(before))]
    return _finding("nothing-more-leaves", model, more, after)


def needed(policy: Policy, facts: Sequence[Node] = ()) -> tuple[Finding, ...]:
    """Of each rule that denies or sends to review, a world in which it alone keeps a field from leaving.

    ``broken`` with that world means that the policy would be broken without the rule; ``proven``, that whatever it
    stops, another rule stops as well.
    """
    model = Model(policy.rules, facts=facts)
    stops = {rule: model.stops(rule) for rule in policy.rules if rule.effect != "PERMIT"}
    passes = {rule: model.z3.Not(stop) for rule, stop in stops.items()}
    permitted = model.permitted(policy)
    findings = []
    for rule, stop in stops.items():
        others = [passed for other, passed in passes.items() if other is not rule]
        findings.append(_finding(rule.id, model, [permitted, stop, *others], _without(policy, rule)))
    return tuple(findings)


def _without(policy: Policy, rule: Rule) -> Policy:
    return msgspec.structs.replace(
        policy,
        rules=tuple(one for one in policy.rules if one is not rule),
        release_rules=Rules(one for one in policy.release_rules if one.rule is not rule),
        field_rules=Rules(one for one in policy.field_rules if one.rule is not rule),
    )


def _finding(
    name: str, model: Model, question: Sequence[Any], policy: Policy, first: Node | None = None
) -> Finding:
    state, world = model.ask(*question, first=first)
    if world and not leaves_in(policy, world):
        raise PolicyInvalid("the rules do not do what their translation does", diagnostic={"invariant": name})
    return Finding(name, state, world)


class Given(Reading):
    """A look at a world of which every fact was said before."""

    def __init__(self, world: Mapping[str, Value | FactUnreadable | None]) -> None:
        super().__init__(cast(Any, None))
        for look in self.looks:
            for name, value in world.items():
                if value is None or isinstance(value, FactUnreadable):
                    look.gaps = {**look.gaps, FACTS[name]: value}
                else:
                    look[FACTS[name]] = value


def leaves_in(policy: Policy, world: Iterable[Told]) -> bool:
    """Whether a field leaves in this world, by the compiled rules themselves."""
    given: dict[str, Value | FactUnreadable | None] = {}
    for told in world:
        value = frozenset(told.value) if isinstance(told.value, tuple) else told.value
        given[told.fact] = FactUnreadable(told.fact) if told.state == "unreadable" else value
    field = judge(policy.field_rules, Given({**given, **dict.fromkeys(AFTER)}))
    release = judge(policy.release_rules, Given(given))
    return field.effect == release.effect == "PERMIT"
