"""Points of the grid as worlds: the plain description for the second evaluator, and the context for the product.

A point is one value of every axis. Each value changes the permitted baseline by path, in the order of the axes; a path
under what is not there (an agreement that does not exist) changes nothing. ``@org``, ``@nation`` and ``@target`` stand
for the partner, its state, and the field whose label the axes speak of.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import msgspec

from gateway.model.agreement import AgreementState
from gateway.model.ground import Consent
from gateway.model.officer import Officer
from gateway.model.party import Partner
from gateway.model.record import CanonicalRecord, fields_of
from gateway.model.request import Emergency, Lift, Request
from gateway.policy.context import Context, Derogation, Held, Settings
from gateway.policy.decide import decide, judge
from gateway.policy.expr import Reading
from gateway.policy.rules import Policy
from tests.grid.axes import AXES, NAMES
from tests.grid.evaluator import Answer, Outcome
from tests.grid.evaluator_release import items_of
from tests.grid.evaluator_sources import BDC_PERSON
from tests.grid.ordinary import BASE, KINDS, ORIGIN, TARGETS
from tests.policy.worlds import LEVELS

#: One value of each axis, by its place there.
Point = tuple[int, ...]

ORDINARY: Point = (0,) * len(AXES)

_BASE = json.dumps(BASE)
_PLACES = {name: place for place, name in enumerate(NAMES)}
_KIND, _NATION = _PLACES["kind"], _PLACES["nationality"]
_STATES = [*dict(AXES)["nationality"]]


def point(values: Mapping[str, str], start: Point = ORDINARY) -> Point:
    """The point with these values by name, the rest as in ``start``."""
    changed = [*start]
    for name, value in values.items():
        place = _PLACES[name]
        changed[place] = [*AXES[place][1]].index(value)
    return tuple(changed)


def values_of(at: Point) -> dict[str, str]:
    """What is not ordinary about the point, by name."""
    return {
        name: [*values][chosen]
        for (name, values), chosen in zip(AXES, at, strict=True)
        if chosen or name == "kind"
    }


def describe(at: Point) -> dict[str, Any]:
    """The world at this point, as plain data."""
    kind_name, nation = KINDS[at[_KIND]], at[_NATION]
    world: dict[str, Any] = json.loads(_BASE)
    marks: list[tuple[tuple[str, ...], str]] = []
    for axis, chosen in enumerate(at):
        for path, value in _patch(axis, chosen, kind_name, nation):
            if path[0] == "labels":
                marks.append((path[1:], value))
            else:
                _put(world, path, json.loads(value))
    common, entries = json.dumps(world.pop("mark")), []
    for pointer, _ in items_of(world, world["kind"] or BDC_PERSON):
        entry = {"pointer": pointer, **json.loads(common)}
        for (place, *inner), value in marks:
            if place in (pointer, "*"):
                _put(entry, inner, json.loads(value))
        entries.append(entry)
    entries += [{"pointer": path[1], **json.loads(value)} for path, value in marks if path[0] == "again"]
    world["record"]["labels"] = entries
    return world


def context(world: Mapping[str, Any], at: Point) -> Context:
    """The same world as the product takes it."""
    labels = [{**entry, "source": "item"} for entry in world["record"]["labels"]]
    record = msgspec.convert({**world["record"], "labels": labels}, CanonicalRecord)
    return Context(
        record=record,
        subject=record,
        kind=ORIGIN[KINDS[at[_KIND]]],
        partner=msgspec.convert(world["partner"], Partner),
        agreement=msgspec.convert(world["agreement"], AgreementState | None),
        held=msgspec.convert(world["held"], Held),
        officers=msgspec.convert(world["officers"], tuple[Officer, ...]),
        lifts=msgspec.convert(world["lifts"], tuple[Lift, ...]),
        request=msgspec.convert(world["request"], Request | None),
        derogation=msgspec.convert(world["derogation"], Derogation | None),
        emergency=msgspec.convert(world["emergency"], Emergency | None),
        consents=msgspec.convert(world["consents"], tuple[Consent, ...]),
        mentioned=frozenset(world["mentioned"]),
        mentioned_age=world["mentioned_age"],
        settings=msgspec.convert(world["settings"], Settings),
        levels=LEVELS,
        now=datetime.fromisoformat(world["now"]),
        **world["release"],
    )


def product(policy: Policy, ctx: Context) -> Answer:
    """The product's answer. `decide` names one rule a field; what the others say is asked of the rules themselves."""
    decision = decide(policy, ctx)
    reading = Reading(ctx)
    fields = {}
    for field, outcome in zip(fields_of(ctx.record, ctx.kind), decision.fields, strict=True):
        alone = judge(policy.field_rules, reading.of_field(field))
        own = decision.effect != "DENY" or alone.effect == "DENY"
        rules = frozenset(reason.rule for reason in (alone.reasons() if own else decision.reasons))
        if outcome.pointer != field.pointer or outcome.rule not in rules:
            rules |= {f"named: {outcome.rule}"}
        fields[field.pointer] = Outcome(outcome.outcome == "released", rules)
    return Answer(decision.effect, frozenset(reason.rule for reason in decision.reasons), fields)


@cache
def _patch(axis: int, chosen: int, kind_name: str, nation: int) -> tuple[tuple[tuple[str, ...], str], ...]:
    """The changes of one value, names filled in: where, and what as JSON."""
    patch = [*AXES[axis][1].values()][chosen]
    state = _STATES[nation]
    names = {
        "@org": f"{state.lower()}.service-demo",
        "@nation": state,
        "@target": TARGETS.get(kind_name, "/text"),
    }
    return tuple(
        (tuple(names.get(token, token) for token in path.split(".")), json.dumps(_filled(value, names)))
        for path, value in patch.items()
    )


def _filled(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, list | tuple):
        return [_filled(item, names) for item in value]
    if isinstance(value, Mapping):
        return {names.get(key, key): _filled(item, names) for key, item in value.items()}
    return value


def _put(data: Any, path: Sequence[str], value: Any) -> None:
    """Set what the path names, or add to the list it ends in; nothing where the way to it is not there."""
    *way, last = path
    for token in way:
        if isinstance(data, list) and token.isdigit() and int(token) < len(data):
            data = data[int(token)]
        elif isinstance(data, dict) and data.get(token) is not None:
            data = data[token]
        else:
            return
    if last == "+":
        data.append(value)
    elif isinstance(data, list):
        data[int(last)] = value
    else:
        data[last] = value
