"""The second evaluator of the release policy: plain questions, grouped by legal source, over a plain description.

It was typed from the sources that `docs/policy.md` names and shares nothing with the product: no rule file, no fact, no
table, no arithmetic. A world is what JSON can say: ``now``, ``kind`` (None for the reference record of the common
database, which it knows by heart), ``record``, ``partner``, ``agreement``, ``release``, ``held``, ``officers``,
``lifts``, ``request``, ``derogation``, ``emergency``, ``consents``,
``mentioned``, ``settings``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.grid import evaluator_field, evaluator_release, evaluator_words
from tests.grid.evaluator_release import World, items_of, member_of
from tests.grid.evaluator_sources import BDC_PERSON


@dataclass(frozen=True)
class Outcome:
    """What happens to one field, and every rule that says so."""

    released: bool
    rules: frozenset[str]


@dataclass(frozen=True)
class Answer:
    """Effect, the rules it rests on, and each field. ``released`` under a REVIEW means: once a person agrees."""

    effect: str
    rules: frozenset[str]
    fields: dict[str, Outcome]


def evaluate(world: World) -> Answer:
    """Deny overrides review, review overrides permit, and without a permit there is none.

    (1) each field alone; (2) the release as a whole; (3) what makes the record one must be left of it, and anything at
    all; (4) under a denial every field stays.
    """
    kind: World = world["kind"] or BDC_PERSON
    # (1)
    effects: dict[str, str] = {}
    rules: dict[str, frozenset[str]] = {}
    for pointer, value in items_of(world, kind):
        effects[pointer], rules[pointer] = _of_field(world, kind, pointer, value)
    kept = [pointer for pointer in effects if effects[pointer] == "DENY"]
    left = frozenset(member_of(pointer) for pointer in effects if effects[pointer] != "DENY")
    # (2)
    leaving = frozenset(pointer for pointer in effects if effects[pointer] != "DENY")
    denying = frozenset(evaluator_release.denials(world, kind, left))
    denying |= frozenset(evaluator_words.denials(world, kind, leaving))
    # (3)
    if not denying:
        gone = [pointer for pointer in kept if member_of(pointer) in set(kind["required"]) - left]
        if gone or not left:
            denying = frozenset().union(*(rules[pointer] for pointer in gone or kept))
            denying = denying or frozenset({"release.permit"})  # house: a release needs something to release
    # (4)
    fields = {}
    for pointer, effect in effects.items():
        stays = bool(denying) and effect != "DENY"
        fields[pointer] = Outcome(effect == "PERMIT" and not stays, denying if stays else rules[pointer])
    if denying:
        return Answer("DENY", denying, fields)
    looked_at = frozenset(evaluator_words.reviews(world, kind, leaving))
    looked_at = looked_at.union(*(rules[name] for name, effect in effects.items() if effect == "REVIEW"))
    if looked_at:
        return Answer("REVIEW", looked_at, fields)
    return Answer("PERMIT", frozenset({"release.permit"}), fields)


def _of_field(world: World, kind: World, pointer: str, value: Any) -> tuple[str, frozenset[str]]:
    field = evaluator_field.Field(world, kind, pointer, value)
    denying = frozenset(evaluator_field.denials(field))
    if denying:
        return "DENY", denying
    needed = evaluator_field.permit(field)
    if needed is None:
        return "DENY", frozenset({"default.deny"})
    permit, given = needed
    if not given:
        return "DENY", frozenset({permit})
    looking = frozenset(evaluator_field.reviews(field))
    return ("REVIEW", looking) if looking else ("PERMIT", frozenset({permit}))
