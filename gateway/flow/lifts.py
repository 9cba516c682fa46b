"""Lifts, before an approver is asked about them: each names something there is, and one that does nothing is told."""

from __future__ import annotations

import msgspec

from gateway.flow.typed import fault
from gateway.model.decision import Decision, IdleLift
from gateway.model.kind import RecordKind
from gateway.model.request import Lift
from gateway.policy.context import Context
from gateway.policy.decide import decide
from gateway.policy.facts.dna import CORE_DATA
from gateway.policy.facts.release import PERSON, REPEAT
from gateway.policy.rules import Policy

#: What a lift may name that is no field, and the rule that asks for it.
NO_FIELDS = {PERSON: "person.minor", REPEAT: "held.repeats", CORE_DATA: "dna.core-data"}

#: Lifts of one release: more than a person weighs one by one, and each is decided once more without it.
MAX_LIFTS = 64

#: The one reason that is no rule of the policy; it has its sentence among the explanations.
REASONS = ("lift.field",)


def require_lifts(lifts: tuple[Lift, ...], kind: RecordKind) -> None:
    """Raises `RequestInvalid`, naming the lift, for one of what records of this kind never have, and for too many."""
    if len(lifts) > MAX_LIFTS:
        raise fault("lifts", f"at most {MAX_LIFTS} lifts")
    for index, lift in enumerate(lifts):
        if lift.pointer not in NO_FIELDS and kind.pattern(lift.pointer) not in kind.fields:
            rule = f"no record of this kind has such a field, and it is none of {', '.join(NO_FIELDS)}"
            raise fault(f"lifts[{index}].pointer", rule)


def idle_lifts(ctx: Context, policy: Policy, decision: Decision) -> tuple[IdleLift, ...]:
    """Lifts without which the same would leave as by ``decision``, a permit, each with the rule that has the last word
    there.

    One after the other is left away, so that of two that do the same one stays. Of a denial nothing is told: its
    reasons come first.
    """
    if decision.effect != "PERMIT":
        return ()
    outcomes = {field.pointer: field.rule for field in decision.fields}
    found = []
    for lift in ctx.lifts:
        without = msgspec.structs.replace(ctx, lifts=tuple(one for one in ctx.lifts if one is not lift))
        if _leaving(decide(policy, without)) == _leaving(decision):
            ctx = without
            found.append(
                IdleLift(lift.pointer, NO_FIELDS.get(lift.pointer) or outcomes.get(lift.pointer, REASONS[0]))
            )
    return tuple(found)


def _leaving(decision: Decision) -> tuple[str, tuple[str, ...]]:
    """What a decision comes to. By which rule a field stays may hang on a lift that does not unlock it."""
    return decision.effect, decision.released
