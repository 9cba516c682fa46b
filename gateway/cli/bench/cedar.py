"""The release policy as Cedar reads it: rules translated from their trees, facts as attributes.

Cedar permits and forbids; it has no review, and a policy that errs is left out. So every translated rule that denies
also asks whether all that it reads can be told, and denies where not, as ours do. Two things it cannot express, and
`Cedar.expresses` says of which decisions that matters: a REVIEW, and a fact that fails where a rule asks ``known``,
which here is the same as a fact that is absent. Needs ``cedarpy``; nothing else in the gateway does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from gateway.errors import ConfigInvalid, PolicyInvalid
from gateway.model.record import fields_of
from gateway.policy.context import Context
from gateway.policy.decide import after_fields
from gateway.policy.expr import (
    All,
    Any_,
    Binary,
    Const,
    Eq,
    Fact,
    FactUnreadable,
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
    Reading,
    Subset,
    facts_of,
)
from gateway.policy.facts import FACTS, FactSpec, Value
from gateway.policy.rules import Policy, Rule

_COMPARE = {Eq: "==", Ne: "!=", Lt: "<", Le: "<=", Gt: ">", Ge: ">="}

#: Who asks, for what: the rules tell cases apart by facts alone.
_ASKS = {"principal": 'Release::"r"', "action": 'Action::"leave"', "resource": 'Field::"f"'}


class Decided(NamedTuple):
    """A decision as both sides can state it."""

    released: tuple[str, ...]  # pointers that leave
    denied_by: frozenset[str]  # release rules that deny


class Prepared(NamedTuple):
    """One case as cedarpy takes it: facts of the release as an entity, those of each field as a request's context."""

    reading: Reading
    pointers: tuple[str, ...]
    release: str  # JSON of the entities
    fields: list[dict[str, str]]


class Cedar:
    """The rules of one policy, parsed once (`cedarpy.PolicySet`)."""

    def __init__(self, policy: Policy) -> None:
        self._cedarpy = _cedarpy()
        rules = {
            scope: [rule for rule in policy.rules if rule.scope == scope and rule.effect != "REVIEW"]
            for scope in ("field", "release")
        }
        self._field, self._release = (
            self._cedarpy.PolicySet.from_str("\n".join(map(translated, rules[scope])))
            for scope in ("field", "release")
        )
        read = {
            scope: sorted(
                {name for rule in chosen for name in facts_of(rule.applies) | facts_of(rule.condition)}
            )
            for scope, chosen in rules.items()
        }
        self._of_field = [FACTS[name] for name in read["field"] if FACTS[name].scope == "field"]
        self._of_release = [
            FACTS[name]
            for name in sorted({*read["field"], *read["release"]})
            if FACTS[name].scope == "release"
        ]
        self._asked_known = {
            name
            for rule in policy.rules
            for tree in (rule.applies, rule.condition)
            for name in _asked_known(tree)
        }

    def prepare(self, ctx: Context) -> Prepared:
        """Compute the facts, each as often as our own decision does, and write them as cedarpy reads them."""
        reading = Reading(ctx)
        fields = tuple(fields_of(ctx.record, ctx.kind))
        contexts = [
            {**_ASKS, "context": json.dumps(_values(reading.of_field(field), self._of_field))}
            for field in fields
        ]
        return Prepared(
            reading,
            tuple(field.pointer for field in fields),
            _entity(_values(reading, self._of_release)),
            contexts,
        )

    def after(self, prepared: Prepared, ctx: Context, left: Iterable[str]) -> str:
        """The release as an entity again, told what the field rules left."""
        kept = frozenset(left)
        then = after_fields(ctx, [each for each in fields_of(ctx.record, ctx.kind) if each.pointer in kept])
        return _entity(_values(prepared.reading.after(then), self._of_release))

    def fields(self, prepared: Prepared) -> tuple[str, ...]:
        """Pointers that the field rules permit: one batch."""
        entities = self._cedarpy.Entities.from_json_str(prepared.release)
        answers = self._cedarpy.is_authorized_batch(prepared.fields, self._field, entities)
        return tuple(
            pointer for pointer, answer in zip(prepared.pointers, answers, strict=True) if answer.allowed
        )

    def release(self, entity: str) -> tuple[bool, frozenset[str]]:
        """Whether the release rules permit, and the rules that say why."""
        entities = self._cedarpy.Entities.from_json_str(entity)
        answer = self._cedarpy.is_authorized(_ASKS, self._release, entities)
        return answer.allowed, frozenset(answer.diagnostics.id_annotations_by_reason.values())

    def decide(self, ctx: Context) -> Decided:
        """The whole decision from the record on, combined as `gateway.policy.decide` combines."""
        prepared = self.prepare(ctx)
        left = self.fields(prepared)
        allowed, rules = self.release(self.after(prepared, ctx, left))
        members = {pointer.split("/")[1] for pointer in prepared.pointers}
        lost = (members & ctx.kind.required) - {pointer.split("/")[1] for pointer in left}
        return Decided(left if allowed and not lost else (), frozenset() if allowed else rules)

    def expresses(self, ctx: Context) -> bool:
        """Whether no fact fails here that a rule asks to be known."""
        reading = Reading(ctx)
        looks = [reading.of_field(field) for field in fields_of(ctx.record, ctx.kind)]
        return not any(
            _fails(look, FACTS[name])
            for name in self._asked_known
            for look in (looks if FACTS[name].scope == "field" else [reading])
        )


def _cedarpy() -> Any:
    try:
        return import_module("cedarpy")
    except ImportError:
        raise ConfigInvalid(
            "measuring against Cedar needs the extra `bench`: pip install 'ecluse[bench]'"
        ) from None


def _values(reading: Reading, specs: Sequence[FactSpec]) -> dict[str, Any]:
    """Facts that have a value, as JSON has it; a set is a list."""
    found: dict[str, Any] = {}
    for spec in specs:
        try:
            if reading.known(spec):
                value = reading.value(spec)
                found[spec.name] = [*value] if isinstance(value, frozenset) else value
        except FactUnreadable:
            continue
    return found


def _fails(reading: Reading, spec: FactSpec) -> bool:
    try:
        reading.known(spec)
    except FactUnreadable:
        return True
    return False


def _entity(facts: dict[str, Any]) -> str:
    return json.dumps([{"uid": {"type": "Release", "id": "r"}, "attrs": facts, "parents": []}])


# --- rules -----------------------------------------------------------------------------------------------------------


class _Text(NamedTuple):
    """A tree as Cedar text: its value, and what must hold for it to be told ("" for nothing)."""

    value: str
    told: str


def translated(rule: Rule) -> str:
    """One Cedar policy. Raises `PolicyInvalid` for a REVIEW rule, or a node of an unknown kind."""
    applies, condition = _text(rule.applies), _text(rule.condition)
    head = f"@id({json.dumps(rule.id)})"
    if rule.effect == "PERMIT":
        holds = _all(applies.told, applies.value, condition.told, condition.value)
        return f"{head} permit(principal, action, resource) when {{ {holds} }};"
    if rule.effect != "DENY":
        raise PolicyInvalid("Cedar has no review", diagnostic={"rule": rule.id})
    speaks = _any(_not(condition.told), condition.value)
    stops = _any(_not(applies.told), _all(applies.value, speaks))
    return f"{head} forbid(principal, action, resource) when {{ {stops} }};"


def _text(node: Node) -> _Text:
    match node:
        case Const(value=value):
            return _Text(_constant(value), "")
        case Fact(spec=spec):
            return _Text(f"{_where(spec)}[{json.dumps(spec.name)}]", _has(spec))
        case Known(spec=spec):
            return _Text(_has(spec), "")
        case Not(operand=operand):
            inner = _text(operand)
            return _Text(_not(inner.value), inner.told)
        case All(operands=operands):
            return _until(_all, _not, [_text(operand) for operand in operands])
        case Any_(operands=operands):
            return _until(_any, str, [_text(operand) for operand in operands])
        case Binary(left=left, right=right):
            one, two = _text(left), _text(right)
            return _Text(_comparison(node, one.value, two.value), _all(one.told, two.told))
        case _:
            raise PolicyInvalid("a node of an unknown kind cannot be translated")


def _until(join: Any, stops: Any, parts: Sequence[_Text]) -> _Text:
    """Left to right: what stands behind the operand that fixes the answer need not be told."""
    told = ""
    for part in reversed(parts):
        told = _all(part.told, _any(stops(part.value), told) if told else "")
    return _Text(join(*(part.value for part in parts)), told)


def _comparison(node: Binary, one: str, two: str) -> str:
    match node:
        case In():
            return f"{two}.contains({one})"
        case Subset():
            return f"{two}.containsAll({one})"
        case Intersects():
            return f"{one}.containsAny({two})"
        case _:
            return f"({one} {_COMPARE[type(node)]} {two})"


def _where(spec: FactSpec) -> str:
    return "principal" if spec.scope == "release" else "context"


def _has(spec: FactSpec) -> str:
    return f"({_where(spec)} has {json.dumps(spec.name)})"


def _constant(value: Value) -> str:
    return json.dumps(sorted(value) if isinstance(value, frozenset) else value)


def _not(text: str) -> str:
    return f"!({text})" if text else ""


def _all(*texts: str) -> str:
    return _joined(
        " && ", [text for text in texts if text not in ("", "true")], "true" if "true" in texts else ""
    )


def _any(*texts: str) -> str:
    return "true" if "true" in texts else _joined(" || ", [text for text in texts if text], "")


def _joined(sign: str, texts: Sequence[str], none: str) -> str:
    each = list(dict.fromkeys(texts))
    return f"({sign.join(each)})" if len(each) > 1 else each[0] if each else none


def _asked_known(node: Node) -> frozenset[str]:
    match node:
        case Known(spec=spec):
            return frozenset({spec.name})
        case Not(operand=operand):
            return _asked_known(operand)
        case All(operands=operands) | Any_(operands=operands):
            return frozenset().union(*map(_asked_known, operands))
        case Binary(left=left, right=right):
            return _asked_known(left) | _asked_known(right)
        case _:
            return frozenset()
